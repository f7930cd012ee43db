"""The `export` subentry flow: where to, which entities, as which fields, when; then a trial."""

from abc import ABCMeta, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import Any, Final

import voluptuous as vol

from homeassistant.config_entries import (
    SOURCE_RECONFIGURE,
    ConfigSubentryFlow,
    SubentryFlowResult,
)
from homeassistant.const import CONF_NAME
from homeassistant.util import dt as dt_util

from ..api import (
    EnirisError,
    FieldValue,
    Hosts,
    NotFoundError,
    ReauthenticationRequiredError,
)
from ..const import (
    CONF_ATTRIBUTES,
    CONF_ENTITIES,
    CONF_HISTORY,
    CONF_MODE,
    CONF_RETENTION_POLICY,
    CONF_TAGS,
)
from ..exporting.config import BackfillRange, Mode, parse_series
from ..http import account_hosts
from ..recorder_access import has_recorder
from .export_draft import SERIES, ExportDraft
from .export_forms import (
    STATE,
    attributes_form,
    backfill_form,
    change_form,
    entities_form,
    fields_form,
    interval_form,
    read_where,
    shown_where,
    where_form,
)
from .export_trial import announced, as_code, async_write, verdict
from .ranges import range_problem

_NAMED: Final = 6
"""Entities or devices that a text names before it counts the rest."""


class SettingsSteps(ConfigSubentryFlow, metaclass=ABCMeta):
    """Ask what is sent where, and when."""

    def __init__(self) -> None:
        """Start with nothing asked."""
        self._placeholders: dict[str, str] = {"error": ""}
        self._errors: dict[str, str] = {}
        self._past: BackfillRange | None = None

    @property
    def _is_change(self) -> bool:
        return self.source == SOURCE_RECONFIGURE

    @cached_property
    def _draft(self) -> ExportDraft:
        subentry_id = self._reconfigure_subentry_id if self._is_change else None
        return ExportDraft(self.hass, self._get_entry(), subentry_id)

    def _take_errors(self) -> dict[str, str]:
        """Return, once, the errors that a later step has sent the user back with."""
        errors, self._errors = self._errors, {}
        return errors

    @abstractmethod
    async def async_step_trial(
        self, user_input: dict[str, Any] | None = None
    ) -> SubentryFlowResult:
        """Go on once all is asked."""

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
        invalid, self._draft.invalid = self._draft.invalid, ()
        if invalid:
            self._errors = {
                key: "tag_missing" if key == CONF_TAGS else "name_empty"
                for key in invalid
                if key in SERIES
            }
            return await self.async_step_where()
        return self.async_show_menu(
            step_id="reconfigure",
            menu_options=["where", "entities", "fields", "when", "trial"],
            description_placeholders={
                CONF_NAME: self._draft.settings[CONF_NAME],
                "entities": _some(list(self._draft.names().values())),
            },
        )

    async def _where(
        self, step_id: str, user_input: dict[str, Any] | None
    ) -> SubentryFlowResult:
        errors = self._take_errors()
        shown = shown_where(self._draft.settings)
        if user_input is not None:
            shown, errors = read_where(user_input)
            if not errors:
                self._draft.settings |= shown
                if self._draft.owners():
                    return await self.async_step_own_series()
                return await self._after_where()
        known = [series for _, series in self._draft.series_by_device()]
        return self.async_show_form(
            step_id=step_id,
            data_schema=self.add_suggested_values_to_schema(where_form(known), shown),
            errors=errors,
            description_placeholders=self._placeholders,
        )

    async def async_step_own_series(
        self, user_input: dict[str, Any] | None = None
    ) -> SubentryFlowResult:
        """Have it confirmed that values go where a device's own values go."""
        return self.async_show_menu(
            step_id="own_series",
            menu_options=["other_series", "accept_series"],
            description_placeholders={
                "devices": _some([as_code(name) for name in self._draft.owners()])
            },
        )

    async def async_step_other_series(
        self, user_input: dict[str, Any] | None = None
    ) -> SubentryFlowResult:
        """Go back to the form that asks where the values go."""
        return await self._where("where" if self._is_change else "user", None)

    async def async_step_accept_series(
        self, user_input: dict[str, Any] | None = None
    ) -> SubentryFlowResult:
        """Go on with a series that a device writes to as well."""
        self._draft.accepted = self._draft.series_key
        return await self._after_where()

    async def _after_where(self) -> SubentryFlowResult:
        if self._is_change:
            return await self.async_step_reconfigure()
        return await self.async_step_entities()

    async def async_step_entities(
        self, user_input: dict[str, Any] | None = None
    ) -> SubentryFlowResult:
        """Ask which entities."""
        errors = self._take_errors()
        chosen = self._draft.chosen
        if user_input is not None:
            if user_input[CONF_ENTITIES]:
                self._draft.choose(user_input[CONF_ENTITIES])
                if user_input[CONF_ATTRIBUTES]:
                    return await self.async_step_attributes()
                for its in self._draft.chosen.values():
                    its.attribute = None
                return await self.async_step_fields()
            errors[CONF_ENTITIES] = "no_entities"
        return self.async_show_form(
            step_id="entities",
            data_schema=self.add_suggested_values_to_schema(
                entities_form(),
                {
                    CONF_ENTITIES: list(chosen),
                    CONF_ATTRIBUTES: any(its.attribute for its in chosen.values()),
                },
            ),
            errors=errors,
        )

    async def async_step_attributes(
        self, user_input: dict[str, Any] | None = None
    ) -> SubentryFlowResult:
        """Ask whether an attribute is sent in place of the state."""
        chosen = self._draft.chosen
        if user_input is not None:
            for entity_id, name in self._draft.names().items():
                attribute = user_input[name].strip()
                chosen[entity_id].attribute = (
                    None if attribute in ("", STATE) else attribute
                )
            return await self.async_step_fields()
        return self.async_show_form(
            step_id="attributes",
            data_schema=attributes_form(self.hass, chosen, self._draft.names()),
        )

    async def async_step_fields(
        self, user_input: dict[str, Any] | None = None
    ) -> SubentryFlowResult:
        """Ask for the name of each entity's field."""
        errors = self._take_errors()
        chosen, names = self._draft.chosen, self._draft.names()
        if user_input is not None:
            for entity_id, its in chosen.items():
                its.field = user_input[names[entity_id]].strip()
            errors = self._draft.field_errors()
            if not errors and self._is_change:
                return await self.async_step_reconfigure()
            if not errors:
                return await self.async_step_when()
        elif not errors:
            self._draft.suggest_fields()
        return self.async_show_form(
            step_id="fields",
            data_schema=fields_form(chosen, names),
            # Those of a whole form have a key of their own
            errors={names.get(key, key): problem for key, problem in errors.items()},
            description_placeholders=self._placeholders,
        )

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
        form = change_form(self._draft.settings[CONF_RETENTION_POLICY])
        return await self._when(Mode.CHANGE, form, user_input)

    async def async_step_interval(
        self, user_input: dict[str, Any] | None = None
    ) -> SubentryFlowResult:
        """Ask for the interval and what is sent of it."""
        form = interval_form(self._draft.settings[CONF_RETENTION_POLICY])
        return await self._when(Mode.INTERVAL, form, user_input)

    async def _when(
        self, mode: Mode, form: vol.Schema, user_input: dict[str, Any] | None
    ) -> SubentryFlowResult:
        settings = self._draft.settings
        errors, quoted = range_problem(form, user_input or {})
        if user_input is None or errors:
            shown = settings if settings.get(CONF_MODE) == mode else {}
            return self.async_show_form(
                step_id=mode.value,
                data_schema=self.add_suggested_values_to_schema(
                    form, user_input or shown
                ),
                errors=errors,
                description_placeholders=quoted,
            )
        settings |= {CONF_MODE: mode.value, **user_input}
        if self._is_change:
            return await self.async_step_reconfigure()
        return await self.async_step_trial()


class ExportSubentryFlow(SettingsSteps):
    """Add an export, or change one: after the settings comes a trial, then it is saved."""

    _values: dict[str, FieldValue]

    async def async_step_trial(
        self, user_input: dict[str, Any] | None = None
    ) -> SubentryFlowResult:
        """Tell which values a real write would bring where, before one is made."""
        draft = self._draft
        if not draft.chosen:
            # All that the export sent was deleted
            self._errors = {CONF_ENTITIES: "no_entities"}
            return await self.async_step_entities()
        self._errors = draft.field_errors()
        if self._errors:
            # The series may be another one since the names were checked
            return await self.async_step_fields()
        self._values, self._at = draft.values(), dt_util.utcnow()
        self._placeholders = {
            "error": "",
            **announced(parse_series(draft.settings), draft.chosen, self._values),
            "entities": ", ".join(draft.names().values()),
        }
        if not self._values:
            return await self.async_step_nothing_to_send()
        return self._menu("trial", "write", "save")

    async def async_step_write(
        self, user_input: dict[str, Any] | None = None
    ) -> SubentryFlowResult:
        """Send the values as one real write, and do as the server's answer says."""
        draft, entry = self._draft, self._get_entry()
        series = parse_series(draft.settings)
        try:
            await async_write(self.hass, entry, series, self._at, self._values)
        except EnirisError as err:
            if isinstance(err, ReauthenticationRequiredError):
                entry.async_start_reauth(self.hass)
            self._placeholders["error"] = str(err)
            ingress = account_hosts(entry.data).ingress
            if isinstance(err, NotFoundError) and ingress != Hosts().ingress:
                # It may not be the database that is wrong
                self._placeholders["error"] += f"; {ingress}"
            step, self._errors = verdict(err, draft.chosen)
            if step == "where":
                return await self.async_step_other_series()
            if step == "fields":
                return await self.async_step_fields()
            return await self.async_step_unreachable()
        return await self.async_step_written()

    async def async_step_unreachable(
        self, user_input: dict[str, Any] | None = None
    ) -> SubentryFlowResult:
        """Tell that the service gave no verdict."""
        return self._menu("unreachable", "write", "save")

    async def async_step_nothing_to_send(
        self, user_input: dict[str, Any] | None = None
    ) -> SubentryFlowResult:
        """Tell that no entity has a value at present."""
        return self._menu("nothing_to_send", "trial", "save")

    async def async_step_written(
        self, user_input: dict[str, Any] | None = None
    ) -> SubentryFlowResult:
        """Show what was written."""
        return self._menu("written", "history" if self._asks_for_past() else "save")

    def _menu(self, step_id: str, *options: str) -> SubentryFlowResult:
        return self.async_show_menu(
            step_id=step_id,
            menu_options=list(options),
            description_placeholders=self._placeholders,
        )

    async def async_step_save(
        self, user_input: dict[str, Any] | None = None
    ) -> SubentryFlowResult:
        """Create the export, or change it."""
        self._errors = self._draft.field_errors()
        if self._errors:
            # A name was taken while the dialog was open
            return await self.async_step_fields()
        if self._asks_for_past():
            return await self.async_step_history()
        data = self._draft.data()
        title = self._draft.settings[CONF_NAME]
        if self._is_change:
            return self.async_update_and_abort(
                self._get_entry(), self._draft.subentry, title=title, data=data
            )
        if self._past not in (None, BackfillRange.NOTHING):
            data[CONF_HISTORY] = str(self._past)
        return self.async_create_entry(title=title, data=data)

    def _asks_for_past(self) -> bool:
        """Tell whether there is a question left: a new export may begin with the past."""
        return self._past is None and not self._is_change and has_recorder(self.hass)

    async def async_step_history(
        self, user_input: dict[str, Any] | None = None
    ) -> SubentryFlowResult:
        """Ask how much of what the recorder has is sent, then save."""
        if user_input is not None:
            self._past = BackfillRange(user_input[CONF_HISTORY])
            return await self.async_step_save()
        return self.async_show_form(
            step_id="history", data_schema=backfill_form(), last_step=True
        )


def _some(names: Sequence[str]) -> str:
    """Return the first few names, and how many there are besides."""
    rest = len(names) - _NAMED
    return (", ".join(names[:_NAMED]) or "–") + (f" … (+{rest})" if rest > 0 else "")
