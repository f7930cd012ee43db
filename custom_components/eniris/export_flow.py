"""The `export` subentry flow: where to, which entities, as which fields, when; then a trial."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
import re
from typing import Any, Final, NamedTuple

import voluptuous as vol

from homeassistant.config_entries import (
    SOURCE_RECONFIGURE,
    ConfigEntry,
    ConfigEntryState,
    ConfigSubentry,
    ConfigSubentryFlow,
    SubentryFlowResult,
)
from homeassistant.const import CONF_NAME
from homeassistant.helpers.json import json_dumps
from homeassistant.helpers.selector import (
    BooleanSelector,
    EntitySelector,
    EntitySelectorConfig,
    NumberSelector,
    NumberSelectorConfig,
    NumberSelectorMode,
    SelectOptionDict,
    SelectSelector,
    SelectSelectorConfig,
    SelectSelectorMode,
    TextSelector,
    TextSelectorConfig,
)
from homeassistant.util import dt as dt_util

from .account import account_hosts, async_http_session, stored_token
from .api import (
    BadRequestError,
    ConflictError,
    EnirisError,
    EnirisQueryError,
    EnirisStatusError,
    FieldValue,
    ForbiddenError,
    NotFoundError,
    PayloadTooLargeError,
    Point,
    ReauthenticationRequiredError,
    SeriesInfo,
    Session,
    UnprocessableError,
)
from .const import (
    CONF_AGGREGATE,
    CONF_ATTRIBUTE,
    CONF_ATTRIBUTES,
    CONF_COLLECTOR,
    CONF_DATABASE,
    CONF_ENTITIES,
    CONF_ENTITY,
    CONF_FIELD,
    CONF_FIELDS,
    CONF_HEARTBEAT,
    CONF_HISTORY,
    CONF_INTERVAL,
    CONF_KIND,
    CONF_MEASUREMENT,
    CONF_MODE,
    CONF_RETENTION_POLICY,
    CONF_SHORTEST,
    CONF_TAGS,
    DOMAIN,
)
from .data import EnirisConfigEntry
from .exporting.config import (
    DEFAULT_INTERVAL,
    Aggregate,
    BackfillRange,
    InvalidExport,
    Mode,
    Series,
    async_entity_id,
    async_field_row,
    parse_export,
    parse_series,
    read_exports,
)
from .exporting.fields.kinds import FieldKind, unit_problem
from .exporting.fields.names import (
    MEASUREMENTS,
    RETENTION_POLICIES,
    name_problem,
    namespace_problem,
    parse_tags,
)
from .exporting.fields.suggestions import suggest_field
from .exporting.fields.values import to_value
from .recording import has_recorder

_DEFAULT_INTERVALS: Final = {"rp_one_s": 1, "rp_one_m": DEFAULT_INTERVAL}

_DEFAULT_SHORTEST: Final = {"rp_one_m": 60}
"""Seconds that are kept between two changes, where these policies keep no more than that."""

_DOMAINS = [
    "binary_sensor",
    "climate",
    "counter",
    "cover",
    "device_tracker",
    "event",
    "fan",
    "humidifier",
    "input_boolean",
    "input_datetime",
    "input_number",
    "input_select",
    "input_text",
    "light",
    "lock",
    "number",
    "person",
    "schedule",
    "select",
    "sensor",
    "sun",
    "switch",
    "text",
    "timer",
    "update",
    "vacuum",
    "valve",
    "water_heater",
    "weather",
]

_STATE = "state"
"""The choice that stands for the state itself; no attribute has this name."""

_NO_TAGS = [""]
"""One empty row to type into; the frontend shows none for an empty list."""

_NAMED = 6
"""Entities or devices that a text names before it counts the rest."""

_REFUSED_FIELDS = (
    BadRequestError,
    ConflictError,
    EnirisQueryError,
    PayloadTooLargeError,
    UnprocessableError,
)

_SERIES = (
    CONF_COLLECTOR,
    CONF_DATABASE,
    CONF_RETENTION_POLICY,
    CONF_MEASUREMENT,
    CONF_TAGS,
)
"""What says where values go."""

_EMPTY: Mapping[str, Any] = {
    CONF_COLLECTOR: "",
    CONF_DATABASE: "",
    CONF_RETENTION_POLICY: "",
    CONF_MEASUREMENT: "",
    CONF_TAGS: {},
    CONF_FIELDS: [],
    CONF_MODE: Mode.CHANGE.value,
    CONF_SHORTEST: 0,
    CONF_INTERVAL: DEFAULT_INTERVAL,
    CONF_AGGREGATE: Aggregate.LAST.value,
    CONF_HEARTBEAT: 0,
}
"""What the forms begin with where an export has no valid setting."""

_STORED = {
    Mode.CHANGE: (CONF_SHORTEST, CONF_HEARTBEAT),
    Mode.INTERVAL: (CONF_INTERVAL, CONF_AGGREGATE, CONF_HEARTBEAT),
}
"""What is stored of a mode."""

_FORMS = {
    *_SERIES,
    CONF_FIELDS,
    CONF_MODE,
    *(key for keys in _STORED.values() for key in keys),
}
"""What the forms ask for."""

_SECONDS = NumberSelectorConfig(
    min=0, max=86_400, step="any", mode=NumberSelectorMode.BOX, unit_of_measurement="s"
)
_WHOLE_SECONDS = NumberSelectorConfig(
    min=1, max=86_400, step=1, mode=NumberSelectorMode.BOX, unit_of_measurement="s"
)


class SeriesKey(NamedTuple):
    """What is overwritten by a second writer, whatever the retention policy."""

    database: str
    measurement: str
    tags: dict[str, str]


def entity_selector(*, multiple: bool) -> EntitySelector:
    """Return what chooses among the entities that can be exported."""
    return EntitySelector(EntitySelectorConfig(domain=_DOMAINS, multiple=multiple))


class ExportSubentryFlow(ConfigSubentryFlow):
    """Add an export, or change one."""

    def __init__(self) -> None:
        """Start with nothing chosen."""
        self._data: dict[str, Any] = {}
        self._fields: dict[str, str] = {}
        self._attributes: dict[str, str | None] = {}
        self._placeholders: dict[str, str] = {"error": ""}
        self._errors: dict[str, str] = {}
        self._past: BackfillRange | None = None
        self._accepted: SeriesKey | None = None
        """A series that the user knows to be written to by a device as well."""

    async def async_step_user(
        self, user_input: dict[str, Any] | None = None
    ) -> SubentryFlowResult:
        """Ask where the values of a new export go."""
        return await self._where("user", user_input)

    async def async_step_where(
        self, user_input: dict[str, Any] | None = None
    ) -> SubentryFlowResult:
        """Ask where the values go from now on."""
        return await self._where("where", user_input)

    async def async_step_reconfigure(
        self, user_input: dict[str, Any] | None = None
    ) -> SubentryFlowResult:
        """Begin with what the export does today, and let the user choose what to change."""
        if not self._data:
            subentry = self._get_reconfigure_subentry()
            invalid = _invalid_keys(subentry)
            usable = {
                key: value for key, value in subentry.data.items() if key not in invalid
            }
            self._data = {CONF_NAME: subentry.title, **_EMPTY, **usable}
            for row in self._data[CONF_FIELDS]:
                entity_id = async_entity_id(self.hass, row[CONF_ENTITY])
                if entity_id is not None:
                    self._fields[entity_id] = row[CONF_FIELD]
                    self._attributes[entity_id] = row.get(CONF_ATTRIBUTE)
            self._accepted = _series_key(self._data)
            if invalid:
                self._errors = {
                    key: "tag_missing" if key == CONF_TAGS else "name_empty"
                    for key in invalid
                    if key in _SERIES
                }
                return await self.async_step_where()
        return self.async_show_menu(
            step_id="reconfigure",
            menu_options=["where", "entities", "fields", "when", "trial"],
            description_placeholders={
                CONF_NAME: self._data[CONF_NAME],
                "entities": _some(list(self._fields)),
            },
        )

    async def _where(
        self, step_id: str, user_input: dict[str, Any] | None
    ) -> SubentryFlowResult:
        errors = self._take_errors()
        if user_input is not None:
            user_input = {
                key: value.strip() if isinstance(value, str) else value
                for key, value in user_input.items()
            }
            # The frontend adds an empty row for the next one
            user_input[CONF_TAGS] = [
                row for row in user_input.get(CONF_TAGS, []) if row.strip()
            ]
            tags, tag_problem = parse_tags(user_input[CONF_TAGS])
            problems = {
                CONF_NAME: None if user_input[CONF_NAME] else "empty",
                CONF_COLLECTOR: namespace_problem(user_input[CONF_COLLECTOR]),
                CONF_DATABASE: namespace_problem(user_input[CONF_DATABASE]),
                CONF_RETENTION_POLICY: namespace_problem(
                    user_input[CONF_RETENTION_POLICY]
                ),
                CONF_MEASUREMENT: name_problem(user_input[CONF_MEASUREMENT]),
                CONF_TAGS: tag_problem,
            }
            errors = {key: problem for key, problem in problems.items() if problem}
            if not errors:
                self._data = {**self._data, **user_input, CONF_TAGS: tags}
                if self._accepted != _series_key(self._data) and self._owners():
                    return await self.async_step_own_series()
                return await self._after_where()
        return self.async_show_form(
            step_id=step_id,
            data_schema=self.add_suggested_values_to_schema(
                self._where_schema(), self._shown_data(user_input)
            ),
            errors=errors,
            description_placeholders=self._placeholders,
        )

    async def _after_where(self) -> SubentryFlowResult:
        if self.source == SOURCE_RECONFIGURE:
            return await self.async_step_reconfigure()
        return await self.async_step_entities()

    def _owners(self) -> list[str]:
        """Return the names of the account's nodes that write to the chosen series themselves."""
        entry = self._entry
        if entry.state is not ConfigEntryState.LOADED:
            return []
        chosen = _series_key(self._data)
        return [
            node.device.name or node.id
            for node in entry.runtime_data.nodes.data.by_id.values()
            if any(
                chosen == SeriesKey(own.database, own.measurement, dict(own.tags))
                for own in node.device.series
            )
        ]

    async def async_step_own_series(
        self, user_input: dict[str, Any] | None = None
    ) -> SubentryFlowResult:
        """Have it confirmed that values go where a device's own values go."""
        return self.async_show_menu(
            step_id="own_series",
            menu_options=["other_series", "accept_series"],
            description_placeholders={
                "devices": _some([_as_code(name) for name in self._owners()])
            },
        )

    async def async_step_other_series(
        self, user_input: dict[str, Any] | None = None
    ) -> SubentryFlowResult:
        """Go back to the form that asks where the values go."""
        if self.source == SOURCE_RECONFIGURE:
            return await self.async_step_where()
        return await self.async_step_user()

    async def async_step_accept_series(
        self, user_input: dict[str, Any] | None = None
    ) -> SubentryFlowResult:
        """Go on with a series that a device writes to as well."""
        self._accepted = _series_key(self._data)
        return await self._after_where()

    def _shown_data(self, typed: dict[str, Any] | None) -> Mapping[str, Any]:
        """Return what the first step shows: what was typed, if anything was."""
        if typed is not None:
            return {**typed, CONF_TAGS: typed[CONF_TAGS] or _NO_TAGS}
        if not self._data:
            return {
                CONF_RETENTION_POLICY: RETENTION_POLICIES[0],
                CONF_MEASUREMENT: MEASUREMENTS[0],
                CONF_TAGS: _NO_TAGS,
            }
        return {
            **self._data,
            CONF_TAGS: [
                f"{key}={value}" for key, value in self._data[CONF_TAGS].items()
            ]
            or _NO_TAGS,
        }

    def _where_schema(self) -> vol.Schema:
        """Return the first form, with suggestions from what the account's own series use."""
        series = self._known_series()
        databases = sorted({item.database for item in series})
        measurements = sorted({item.measurement for item in series})
        policies = sorted({item.retention_policy for item in series})
        return vol.Schema(
            {
                vol.Required(CONF_NAME): TextSelector(),
                vol.Required(CONF_COLLECTOR): _suggestions(
                    [f"{database}-ingress" for database in databases]
                ),
                vol.Required(CONF_DATABASE): _suggestions(databases),
                vol.Required(CONF_RETENTION_POLICY): _suggestions(
                    [*RETENTION_POLICIES, *policies]
                ),
                vol.Required(CONF_MEASUREMENT): _suggestions(
                    [*measurements, *MEASUREMENTS]
                ),
                # Nothing is suggested: what a picker finds first would be a tag of a device that
                # exists, and its series would be written to. Not required, since an older
                # frontend would then begin with a text in place of a list.
                vol.Optional(CONF_TAGS): TextSelector(
                    TextSelectorConfig(multiple=True)
                ),
            }
        )

    def _known_series(self) -> list[SeriesInfo]:
        entry = self._entry
        if entry.state is not ConfigEntryState.LOADED:
            return []
        return [
            series
            for node in entry.runtime_data.nodes.data.by_id.values()
            for series in node.device.series
        ]

    @property
    def _entry(self) -> EnirisConfigEntry:
        entry: ConfigEntry[Any] = self.hass.config_entries.async_get_known_entry(
            self.handler[0]
        )
        return entry

    async def async_step_entities(
        self, user_input: dict[str, Any] | None = None
    ) -> SubentryFlowResult:
        """Ask which entities."""
        errors = self._take_errors()
        if user_input is not None:
            chosen = user_input[CONF_ENTITIES]
            if chosen:
                self._fields = {id_: self._fields.get(id_, "") for id_ in chosen}
                self._attributes = {id_: self._attributes.get(id_) for id_ in chosen}
                if user_input[CONF_ATTRIBUTES]:
                    return await self.async_step_attributes()
                self._attributes = dict.fromkeys(chosen)
                return await self.async_step_fields()
            errors[CONF_ENTITIES] = "no_entities"
        return self.async_show_form(
            step_id="entities",
            data_schema=self.add_suggested_values_to_schema(
                vol.Schema(
                    {
                        vol.Required(CONF_ENTITIES): entity_selector(multiple=True),
                        vol.Required(CONF_ATTRIBUTES, default=False): BooleanSelector(),
                    }
                ),
                {
                    CONF_ENTITIES: list(self._fields),
                    CONF_ATTRIBUTES: any(self._attributes.values()),
                },
            ),
            errors=errors,
        )

    async def async_step_attributes(
        self, user_input: dict[str, Any] | None = None
    ) -> SubentryFlowResult:
        """Ask whether an attribute is sent in place of the state."""
        if user_input is not None:
            self._attributes = {
                entity_id: None if choice.strip() in ("", _STATE) else choice.strip()
                for entity_id, choice in user_input.items()
            }
            return await self.async_step_fields()
        return self.async_show_form(
            step_id="attributes",
            data_schema=vol.Schema(
                {
                    vol.Required(
                        entity_id, default=self._attributes[entity_id] or _STATE
                    ): self._attribute_selector(entity_id)
                    for entity_id in self._fields
                }
            ),
        )

    def _attribute_selector(self, entity_id: str) -> SelectSelector:
        state = self.hass.states.get(entity_id)
        names = [] if state is None else sorted(state.attributes)
        return SelectSelector(
            SelectSelectorConfig(
                options=[
                    SelectOptionDict(value=name, label=name)
                    for name in (_STATE, *names)
                ],
                translation_key="attribute",
                custom_value=True,
                mode=SelectSelectorMode.DROPDOWN,
            )
        )

    async def async_step_fields(
        self, user_input: dict[str, Any] | None = None
    ) -> SubentryFlowResult:
        """Ask for the name of each entity's field."""
        errors = self._take_errors()
        if user_input is not None:
            self._fields = {
                entity_id: user_input[entity_id].strip() for entity_id in self._fields
            }
            errors = self._field_errors()
            if not errors and self.source == SOURCE_RECONFIGURE:
                return await self.async_step_reconfigure()
            if not errors:
                return await self.async_step_when()
        elif not errors:
            self._suggest_fields()
        return self.async_show_form(
            step_id="fields",
            data_schema=vol.Schema(
                {
                    vol.Required(entity_id, default=field): TextSelector()
                    for entity_id, field in self._fields.items()
                }
            ),
            errors=errors,
            description_placeholders=self._placeholders,
        )

    def _suggest_fields(self) -> None:
        taken = self._taken_elsewhere() | {
            name for name in self._fields.values() if name
        }
        for entity_id, field in self._fields.items():
            if not field:
                attribute = self._attributes[entity_id]
                self._fields[entity_id] = suggest_field(
                    self.hass.states.get(entity_id), entity_id, taken, attribute
                )
                taken.add(self._fields[entity_id])

    def _field_errors(self) -> dict[str, str]:
        errors: dict[str, str] = {}
        taken = self._taken_elsewhere()
        for entity_id, field in self._fields.items():
            state = self.hass.states.get(entity_id)
            if problem := name_problem(field):
                errors[entity_id] = problem
            elif field in taken:
                errors[entity_id] = "field_taken"
            elif self._attributes[entity_id] is None and (
                problem := unit_problem(state, field)
            ):
                errors[entity_id] = problem
            taken.add(field)
        return errors

    def _taken_elsewhere(self) -> set[str]:
        """Return the fields of the chosen series that other exports write, of any account.

        The collector is left out of the comparison: it is no part of a series.
        """
        own_id = (
            self._get_reconfigure_subentry().subentry_id
            if self.source == SOURCE_RECONFIGURE
            else None
        )
        here = _without_collector(parse_series(self._data))
        return {
            exported.field
            for entry in self.hass.config_entries.async_entries(DOMAIN)
            for export in read_exports(entry)[0]
            if export.id != own_id and _without_collector(export.series) == here
            for exported in export.fields
        }

    async def async_step_when(
        self, user_input: dict[str, Any] | None = None
    ) -> SubentryFlowResult:
        """Ask what makes a value be sent."""
        return self.async_show_menu(
            step_id="when", menu_options=[Mode.CHANGE.value, Mode.INTERVAL.value]
        )

    async def async_step_change(
        self, user_input: dict[str, Any] | None = None
    ) -> SubentryFlowResult:
        """Ask how often changes are sent."""
        if user_input is not None:
            self._data |= {CONF_MODE: Mode.CHANGE.value, **user_input}
            return await self._after_when()
        shortest = _DEFAULT_SHORTEST.get(self._data[CONF_RETENTION_POLICY], 0)
        return self.async_show_form(
            step_id="change",
            data_schema=self.add_suggested_values_to_schema(
                vol.Schema(
                    {
                        vol.Required(CONF_SHORTEST, default=shortest): NumberSelector(
                            _SECONDS
                        ),
                        vol.Required(CONF_HEARTBEAT, default=0): NumberSelector(
                            _SECONDS
                        ),
                    }
                ),
                self._data if self._data.get(CONF_MODE) == Mode.CHANGE else {},
            ),
        )

    async def async_step_interval(
        self, user_input: dict[str, Any] | None = None
    ) -> SubentryFlowResult:
        """Ask for the interval and what is sent of it."""
        if user_input is not None:
            user_input[CONF_INTERVAL] = int(user_input[CONF_INTERVAL])
            self._data |= {CONF_MODE: Mode.INTERVAL.value, **user_input}
            return await self._after_when()
        interval = _DEFAULT_INTERVALS.get(
            self._data[CONF_RETENTION_POLICY], DEFAULT_INTERVAL
        )
        return self.async_show_form(
            step_id="interval",
            data_schema=self.add_suggested_values_to_schema(
                vol.Schema(
                    {
                        vol.Required(CONF_INTERVAL, default=interval): NumberSelector(
                            _WHOLE_SECONDS
                        ),
                        vol.Required(
                            CONF_AGGREGATE, default=Aggregate.LAST.value
                        ): SelectSelector(
                            SelectSelectorConfig(
                                options=[aggregate.value for aggregate in Aggregate],
                                translation_key="aggregate",
                                mode=SelectSelectorMode.LIST,
                            )
                        ),
                        vol.Required(CONF_HEARTBEAT, default=0): NumberSelector(
                            _SECONDS
                        ),
                    }
                ),
                self._data if self._data.get(CONF_MODE) == Mode.INTERVAL else {},
            ),
        )

    async def _after_when(self) -> SubentryFlowResult:
        if self.source == SOURCE_RECONFIGURE:
            return await self.async_step_reconfigure()
        return await self.async_step_trial()

    async def async_step_trial(
        self, user_input: dict[str, Any] | None = None
    ) -> SubentryFlowResult:
        """Send the current values as one real write, and do as the server's answer says."""
        if not self._fields:
            # All that the export sent was deleted
            self._errors = {CONF_ENTITIES: "no_entities"}
            return await self.async_step_entities()
        if errors := self._field_errors():
            # The series may be another one since the names were checked
            self._errors = errors
            return await self.async_step_fields()
        values = self._current_values()
        self._placeholders = {
            "error": "",
            "values": "\n".join(
                f"- {_as_code(field)} = {_as_code(json_dumps(value))}"
                for field, value in values.items()
            ),
            "missing": ", ".join(
                entity_id
                for entity_id, field in self._fields.items()
                if field not in values
            )
            or "–",
        }
        if not values:
            return await self.async_step_nothing_to_send()
        try:
            await self._write(values)
        except ReauthenticationRequiredError as err:
            self._entry.async_start_reauth(self.hass)
            return await self._not_tested(err)
        except ForbiddenError as err:
            return await self._back_to_where({"base": "role_missing"}, err)
        except NotFoundError as err:
            return await self._back_to_where(
                dict.fromkeys(
                    (CONF_DATABASE, CONF_RETENTION_POLICY), "namespace_unknown"
                ),
                err,
            )
        except _REFUSED_FIELDS as err:
            return await self._back_to_fields(err)
        except EnirisError as err:
            return await self._not_tested(err)
        return await self.async_step_written()

    def _current_values(self) -> dict[str, FieldValue]:
        values = {
            row[CONF_FIELD]: to_value(
                self.hass.states.get(entity_id),
                row[CONF_FIELD],
                row.get(CONF_ATTRIBUTE),
                FieldKind(row[CONF_KIND]),
            )
            for entity_id, row in self._rows().items()
            if CONF_KIND in row
        }
        return {field: value for field, value in values.items() if value is not None}

    def _session(self) -> Session:
        entry = self._entry
        if entry.state is ConfigEntryState.LOADED:
            return entry.runtime_data.session
        return Session(
            async_http_session(self.hass),
            stored_token(entry),
            account_hosts(entry.data),
        )

    async def _write(self, values: Mapping[str, FieldValue]) -> None:
        series = parse_series(self._data)
        await self._session().write_telemetry(
            series.target,
            [Point(series.measurement, dict(series.tags), dt_util.utcnow(), values)],
        )

    async def _back_to_where(
        self, errors: dict[str, str], err: EnirisError
    ) -> SubentryFlowResult:
        self._errors = errors
        self._placeholders = {"error": str(err)}
        return await self.async_step_other_series()

    async def _back_to_fields(self, err: EnirisError) -> SubentryFlowResult:
        """Show the refusal at the field that the server names, else above all of them."""
        key = "refused"
        if isinstance(err, ConflictError):
            key = "type_conflict" if err.says("type") else "time_range"
        message = err.message if isinstance(err, EnirisStatusError) else str(err)
        self._errors = {
            entity_id: key
            for entity_id, field in self._fields.items()
            if key == "type_conflict" and _names(message, field)
        } or {"base": key}
        self._placeholders = {"error": str(err)}
        return await self.async_step_fields()

    async def _not_tested(self, err: EnirisError) -> SubentryFlowResult:
        self._placeholders["error"] = str(err)
        return await self.async_step_unreachable()

    async def async_step_unreachable(
        self, user_input: dict[str, Any] | None = None
    ) -> SubentryFlowResult:
        """Tell that the service gave no verdict."""
        return self.async_show_menu(
            step_id="unreachable",
            menu_options=["trial", "save"],
            description_placeholders=self._placeholders,
        )

    async def async_step_nothing_to_send(
        self, user_input: dict[str, Any] | None = None
    ) -> SubentryFlowResult:
        """Tell that no entity has a value at present."""
        return self.async_show_menu(
            step_id="nothing_to_send",
            menu_options=["trial", "save"],
            description_placeholders=self._placeholders,
        )

    async def async_step_written(
        self, user_input: dict[str, Any] | None = None
    ) -> SubentryFlowResult:
        """Show what was written, then save."""
        if user_input is not None:
            return await self.async_step_save()
        return self.async_show_form(
            step_id="written",
            data_schema=vol.Schema({}),
            description_placeholders=self._placeholders,
            last_step=not self._asks_for_past(),
        )

    async def async_step_save(
        self, user_input: dict[str, Any] | None = None
    ) -> SubentryFlowResult:
        """Create the export, or change it."""
        self._errors = self._field_errors()
        if self._errors:
            # A name was taken while the dialog was open
            return await self.async_step_fields()
        if self._asks_for_past():
            return await self.async_step_history()
        stored = (
            *_SERIES,
            CONF_MODE,
            *_STORED[self._data[CONF_MODE]],
        )
        data = {key: self._data[key] for key in stored}
        data[CONF_FIELDS] = list(self._rows().values())
        title = self._data[CONF_NAME]
        if self.source == SOURCE_RECONFIGURE:
            subentry = self._get_reconfigure_subentry()
            # As it is by now: the switch may have been used while the dialog was open
            # So does what a newer version has added
            invalid = _invalid_keys(subentry)
            data |= {
                key: value
                for key, value in subentry.data.items()
                if key not in _FORMS and key not in invalid
            }
            return self.async_update_and_abort(
                self._entry, subentry, title=title, data=data
            )
        if self._past not in (None, BackfillRange.NOTHING):
            data[CONF_HISTORY] = str(self._past)
        return self.async_create_entry(title=title, data=data)

    def _asks_for_past(self) -> bool:
        """Tell whether there is a question left: a new export may begin with the past."""
        return (
            self._past is None
            and self.source != SOURCE_RECONFIGURE
            and has_recorder(self.hass)
        )

    async def async_step_history(
        self, user_input: dict[str, Any] | None = None
    ) -> SubentryFlowResult:
        """Ask how much of what the recorder has is sent, then save."""
        if user_input is not None:
            self._past = BackfillRange(user_input[CONF_HISTORY])
            return await self.async_step_save()
        return self.async_show_form(
            step_id="history",
            data_schema=vol.Schema(
                {
                    vol.Required(
                        CONF_HISTORY, default=BackfillRange.NOTHING.value
                    ): SelectSelector(
                        SelectSelectorConfig(
                            options=[past.value for past in BackfillRange],
                            translation_key="history",
                            mode=SelectSelectorMode.LIST,
                        )
                    )
                }
            ),
            last_step=True,
        )

    def _rows(self) -> dict[str, dict[str, Any]]:
        """Return what is stored of each entity's field."""
        stored = self._stored_kinds()
        rows = {}
        for entity_id, field in self._fields.items():
            attribute = self._attributes[entity_id]
            row = async_field_row(self.hass, entity_id, field, attribute)
            if kind := stored.get((entity_id, field, attribute)):
                # The service keeps the type of a field, whatever its entity has become
                row[CONF_KIND] = kind.value
            rows[entity_id] = row
        return rows

    def _stored_kinds(self) -> dict[tuple[str, str, str | None], FieldKind]:
        """Return the kinds that were decided already, by entity id, field and attribute."""
        if self.source != SOURCE_RECONFIGURE:
            return {}
        subentry = self._get_reconfigure_subentry()
        try:
            export = parse_export(subentry.subentry_id, subentry.title, subentry.data)
        except InvalidExport:
            return {}
        return {
            (entity_id, exported.field, exported.attribute): exported.kind
            for exported in export.fields
            if exported.kind is not None
            and (entity_id := async_entity_id(self.hass, exported.entity)) is not None
        }

    def _take_errors(self) -> dict[str, str]:
        """Return, once, the errors that a later step has sent the user back with."""
        errors, self._errors = self._errors, {}
        return errors


def _invalid_keys(subentry: ConfigSubentry) -> tuple[str, ...]:
    """Return the keys of stored settings that cannot be used."""
    try:
        parse_export(subentry.subentry_id, subentry.title, subentry.data)
    except InvalidExport as err:
        return err.keys
    return ()


def _without_collector(series: Series) -> Series:
    """Return what identifies a series to the service: the collector is no part of it."""
    return replace(series, target=replace(series.target, collector=""))


def _series_key(data: Mapping[str, Any]) -> SeriesKey:
    return SeriesKey(data[CONF_DATABASE], data[CONF_MEASUREMENT], dict(data[CONF_TAGS]))


def _some(names: Sequence[str]) -> str:
    """Return the first few names, and how many there are besides."""
    rest = len(names) - _NAMED
    return (", ".join(names[:_NAMED]) or "–") + (f" … (+{rest})" if rest > 0 else "")


def _as_code(text: str) -> str:
    """Return Markdown that shows a text as it is, whatever it holds."""
    return f"`{text.replace('`', "'")}`"


def _names(message: str, field: str) -> bool:
    """Tell whether a message names a field, and not one that its name is a part of."""
    return re.search(rf"(?<!\w){re.escape(field)}(?!\w)", message) is not None


def _suggestions(options: Sequence[str]) -> SelectSelector:
    """Return a field that offers `options` and takes any text."""
    return SelectSelector(
        SelectSelectorConfig(
            options=list(dict.fromkeys(options)),
            custom_value=True,
            mode=SelectSelectorMode.DROPDOWN,
        )
    )
