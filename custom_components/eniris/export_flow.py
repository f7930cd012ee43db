"""The `export` subentry flow: where to, which entities, as which fields."""

from collections.abc import Mapping
from typing import Any

import voluptuous as vol

from homeassistant.config_entries import (
    SOURCE_RECONFIGURE,
    ConfigEntry,
    ConfigEntryState,
    ConfigSubentryFlow,
    SubentryFlowResult,
)
from homeassistant.const import ATTR_UNIT_OF_MEASUREMENT, CONF_NAME
from homeassistant.helpers.selector import (
    EntitySelector,
    EntitySelectorConfig,
    SelectSelector,
    SelectSelectorConfig,
    SelectSelectorMode,
    TextSelector,
    TextSelectorConfig,
)

from .const import (
    CONF_COLLECTOR,
    CONF_DATABASE,
    CONF_ENTITIES,
    CONF_ENTITY,
    CONF_FIELD,
    CONF_FIELDS,
    CONF_MEASUREMENT,
    CONF_RETENTION_POLICY,
    CONF_TAGS,
    SUBENTRY_EXPORT,
)
from .data import EnirisConfigEntry
from .exporting.config import Export, async_entity_id, async_entity_reference
from .exporting.names import (
    MEASUREMENTS,
    RETENTION_POLICIES,
    name_problem,
    namespace_problem,
    parse_tags,
)
from .exporting.values import field_unit, suggest_field

_DOMAINS = [
    "binary_sensor",
    "counter",
    "input_boolean",
    "input_number",
    "input_select",
    "input_text",
    "number",
    "select",
    "sensor",
    "switch",
]


class ExportSubentryFlow(ConfigSubentryFlow):
    """Add an export, or change one."""

    def __init__(self) -> None:
        """Start with nothing chosen."""
        self._data: dict[str, Any] = {}
        self._fields: dict[str, str] = {}

    async def async_step_user(
        self, user_input: dict[str, Any] | None = None
    ) -> SubentryFlowResult:
        """Ask where the values go."""
        return await self._where("user", user_input)

    async def async_step_reconfigure(
        self, user_input: dict[str, Any] | None = None
    ) -> SubentryFlowResult:
        """Begin with what the export does today."""
        if user_input is None:
            subentry = self._get_reconfigure_subentry()
            self._data = {CONF_NAME: subentry.title, **subentry.data}
            for row in subentry.data[CONF_FIELDS]:
                entity_id = async_entity_id(self.hass, row[CONF_ENTITY])
                if entity_id is not None:
                    self._fields[entity_id] = row[CONF_FIELD]
        return await self._where("reconfigure", user_input)

    async def _where(
        self, step_id: str, user_input: dict[str, Any] | None
    ) -> SubentryFlowResult:
        errors: dict[str, str] = {}
        if user_input is not None:
            tags, tag_problem = parse_tags(user_input[CONF_TAGS])
            problems = {
                CONF_NAME: None if user_input[CONF_NAME].strip() else "empty",
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
                return await self.async_step_entities()
        return self.async_show_form(
            step_id=step_id,
            data_schema=self.add_suggested_values_to_schema(
                self._where_schema(), user_input or self._shown_data()
            ),
            errors=errors,
        )

    def _shown_data(self) -> Mapping[str, Any]:
        """Return what the first step shows before anything was typed."""
        if not self._data:
            return {
                CONF_RETENTION_POLICY: RETENTION_POLICIES[0],
                CONF_MEASUREMENT: MEASUREMENTS[0],
            }
        return {
            **self._data,
            CONF_TAGS: [
                f"{key}={value}" for key, value in self._data[CONF_TAGS].items()
            ],
        }

    def _where_schema(self) -> vol.Schema:
        series = [
            series for node in self._loaded_nodes() for series in node.device.series
        ]
        return vol.Schema(
            {
                vol.Required(CONF_NAME): TextSelector(),
                vol.Required(CONF_COLLECTOR): TextSelector(),
                vol.Required(CONF_DATABASE): _suggestions(
                    sorted({item.database for item in series})
                ),
                vol.Required(CONF_RETENTION_POLICY): _suggestions(RETENTION_POLICIES),
                vol.Required(CONF_MEASUREMENT): _suggestions(MEASUREMENTS),
                vol.Required(CONF_TAGS): TextSelector(
                    TextSelectorConfig(multiple=True)
                ),
            }
        )

    def _loaded_nodes(self) -> list[Any]:
        entry = self._entry
        if entry.state is not ConfigEntryState.LOADED:
            return []
        return list(entry.runtime_data.nodes.data.by_id.values())

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
        errors: dict[str, str] = {}
        if user_input is not None:
            self._fields = {
                entity_id: self._fields.get(entity_id, "")
                for entity_id in user_input[CONF_ENTITIES]
            }
            if self._fields:
                return await self.async_step_fields()
            errors[CONF_ENTITIES] = "no_entities"
        return self.async_show_form(
            step_id="entities",
            data_schema=self.add_suggested_values_to_schema(
                vol.Schema(
                    {
                        vol.Required(CONF_ENTITIES): EntitySelector(
                            EntitySelectorConfig(domain=_DOMAINS, multiple=True)
                        )
                    }
                ),
                {CONF_ENTITIES: list(self._fields)},
            ),
            errors=errors,
        )

    async def async_step_fields(
        self, user_input: dict[str, Any] | None = None
    ) -> SubentryFlowResult:
        """Ask for the name of each entity's field."""
        errors: dict[str, str] = {}
        if user_input is not None:
            self._fields = {
                entity_id: user_input[entity_id].strip() for entity_id in self._fields
            }
            errors = self._field_errors()
            if not errors:
                return self._save()
        else:
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
        )

    def _suggest_fields(self) -> None:
        taken = self._taken_elsewhere() | {
            name for name in self._fields.values() if name
        }
        for entity_id, field in self._fields.items():
            if not field:
                state = self.hass.states.get(entity_id)
                self._fields[entity_id] = suggest_field(state, entity_id, taken)
                taken.add(self._fields[entity_id])

    def _field_errors(self) -> dict[str, str]:
        errors: dict[str, str] = {}
        taken = self._taken_elsewhere()
        for entity_id, field in self._fields.items():
            state = self.hass.states.get(entity_id)
            unit = field_unit(field)
            if problem := name_problem(field):
                errors[entity_id] = problem
            elif field in taken:
                errors[entity_id] = "field_taken"
            elif (
                state is not None
                and unit is not None
                and not unit.reaches(state.attributes.get(ATTR_UNIT_OF_MEASUREMENT))
            ):
                errors[entity_id] = "unit_mismatch"
            taken.add(field)
        return errors

    def _taken_elsewhere(self) -> set[str]:
        """Return the fields of the chosen series that other exports write."""
        own_id = (
            self._get_reconfigure_subentry().subentry_id
            if self.source == SOURCE_RECONFIGURE
            else None
        )
        here = Export.from_data("", "", {**self._data, CONF_FIELDS: []}).series
        return {
            exported.field
            for subentry in self._entry.subentries.values()
            if subentry.subentry_type == SUBENTRY_EXPORT
            and subentry.subentry_id != own_id
            and (export := Export.from_subentry(subentry)).series == here
            for exported in export.fields
        }

    def _save(self) -> SubentryFlowResult:
        title = self._data[CONF_NAME].strip()
        data = {key: value for key, value in self._data.items() if key != CONF_NAME}
        data[CONF_FIELDS] = [
            {
                CONF_ENTITY: async_entity_reference(self.hass, entity_id),
                CONF_FIELD: field,
            }
            for entity_id, field in self._fields.items()
        ]
        if self.source == SOURCE_RECONFIGURE:
            return self.async_update_and_abort(
                self._entry, self._get_reconfigure_subentry(), title=title, data=data
            )
        return self.async_create_entry(title=title, data=data)


def _suggestions(options: list[str]) -> SelectSelector:
    """Return a field that offers `options` and takes any text."""
    return SelectSelector(
        SelectSelectorConfig(
            options=options, custom_value=True, mode=SelectSelectorMode.DROPDOWN
        )
    )
