"""What the dialogs of repair issues share."""

from abc import ABCMeta, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any

import voluptuous as vol

from homeassistant.components.repairs import RepairsFlow
from homeassistant.config_entries import ConfigEntryState, ConfigSubentry
from homeassistant.core import HomeAssistant, callback
from homeassistant.data_entry_flow import AbortFlow, FlowResult
from homeassistant.helpers import issue_registry as ir

from ..account import read_options
from ..api import WriteTarget
from ..const import (
    CONF_ATTRIBUTE,
    CONF_COLLECTOR,
    CONF_DATABASE,
    CONF_FIELD,
    CONF_FIELDS,
    CONF_KIND,
    CONF_RETENTION_POLICY,
    DOMAIN,
)
from ..data import EnirisConfigEntry
from ..exporting.config import Series, async_field_row, parse_series, read_exports
from ..exporting.issues import ATTR_ENTRY_ID, Detail
from ..exporting.outbox.store import OutboxError


class Fix(RepairsFlow, metaclass=ABCMeta):
    """A dialog that mends something of an account that is loaded."""

    def __init__(
        self, details: Mapping[str, Detail], placeholders: Mapping[str, str]
    ) -> None:
        """Mend what `details` name; the texts of the issue quote `placeholders`."""
        self._details = details
        self._placeholders = dict(placeholders)

    def _detail(self, name: str) -> str:
        return str(self._details[name])

    @property
    def _target(self) -> WriteTarget:
        """The target that the issue is about."""
        return WriteTarget(
            self._detail(CONF_COLLECTOR),
            self._detail(CONF_DATABASE),
            self._detail(CONF_RETENTION_POLICY),
        )

    @property
    def _entry(self) -> EnirisConfigEntry:
        """The account, while it is loaded; without that the dialog ends."""
        entry: EnirisConfigEntry | None = self.hass.config_entries.async_get_entry(
            self._detail(ATTR_ENTRY_ID)
        )
        if entry is None or entry.state is not ConfigEntryState.LOADED:
            raise AbortFlow("not_loaded")
        return entry

    @property
    def _issue(self) -> ir.IssueEntry | None:
        return ir.async_get(self.hass).async_get_issue(DOMAIN, self.issue_id)

    async def async_step_init(
        self, user_input: dict[str, Any] | None = None
    ) -> FlowResult:
        """Begin, if there is still something to mend."""
        entry = self._entry
        if self._issue is None:
            return self.async_abort(reason="solved")
        try:
            return await self._begin(entry)
        except OutboxError as err:
            return self._failed(err)

    @abstractmethod
    async def _begin(self, entry: EnirisConfigEntry) -> FlowResult:
        """Show the first step."""

    def _failed(self, err: OutboxError) -> FlowResult:
        return self.async_abort(
            reason="outbox_failed", description_placeholders={"error": str(err)}
        )

    def _form(
        self,
        step_id: str,
        fields: Mapping[vol.Marker, Any] | None = None,
        errors: Mapping[str, str] | None = None,
        **placeholders: str,
    ) -> FlowResult:
        self._placeholders |= placeholders
        return self.async_show_form(
            step_id=step_id,
            data_schema=vol.Schema(dict(fields or {})),
            errors=dict(errors or {}),
            description_placeholders=self._placeholders,
        )

    def _menu(
        self, step_id: str, options: list[str], **placeholders: str
    ) -> FlowResult:
        self._placeholders |= placeholders
        return self.async_show_menu(
            step_id=step_id,
            menu_options=options,
            description_placeholders=self._placeholders,
        )

    def _done(self) -> FlowResult:
        """End well; Home Assistant takes the issue back."""
        return self.async_create_entry(data={})

    def _unsolved(self, reason: str, **placeholders: str) -> FlowResult:
        """End with the issue as it is."""
        return self.async_abort(
            reason=reason,
            description_placeholders={**self._placeholders, **placeholders},
        )

    def _options(self, entry: EnirisConfigEntry, section: str) -> dict[str, Any]:
        return read_options(entry.options)[section]

    async def _async_set_options(
        self, entry: EnirisConfigEntry, section: str, **changes: Any
    ) -> None:
        """Change options, and wait until the account runs with them or has failed to."""
        options = {**self._options(entry, section), **changes}
        self.hass.config_entries.async_update_entry(
            entry, options={**entry.options, section: options}
        )
        await self._async_reloaded(entry)

    async def _async_reloaded(self, entry: EnirisConfigEntry) -> None:
        """Wait until an account runs with what was changed of it, or has failed to."""
        # A change reloads the account at once, and that holds the lock
        async with entry.setup_lock:
            pass

    @callback
    def _update_export(
        self, entry: EnirisConfigEntry, export: ConfigSubentry, **changes: Any
    ) -> None:
        """Change an export. Without a wait between several the account is reloaded once."""
        self.hass.config_entries.async_update_subentry(
            entry, export, data={**export.data, **changes}
        )


def exports_of(entry: EnirisConfigEntry) -> Iterator[ConfigSubentry]:
    """Yield the exports of which all settings are valid."""
    for export in read_exports(entry)[0]:
        yield entry.subentries[export.id]


def rows_of(export: ConfigSubentry) -> list[dict[str, Any]]:
    """Return what an export stores of its fields."""
    rows: list[dict[str, Any]] = export.data[CONF_FIELDS]
    return rows


def changed_row(
    hass: HomeAssistant, row: Mapping[str, Any], entity_id: str | None, field: str
) -> dict[str, Any]:
    """Return the row of a field with another entity or name, so that its kind is another, too."""
    changed = {key: value for key, value in row.items() if key != CONF_KIND}
    if entity_id is None:
        return {**changed, CONF_FIELD: field}
    return {
        **changed,
        **async_field_row(hass, entity_id, field, row.get(CONF_ATTRIBUTE)),
    }


def _place(series: Series) -> tuple[Any, ...]:
    """Return what identifies a series to the service: the collector is no part of it."""
    target = series.target
    return target.database, target.retention_policy, series.measurement, series.tags


def fields_of_series(
    hass: HomeAssistant, series: Series, without: set[str]
) -> set[str]:
    """Return the fields of a series that exports write, of any account but for some exports."""
    return {
        row[CONF_FIELD]
        for entry in hass.config_entries.async_entries(DOMAIN)
        for export in exports_of(entry)
        if export.subentry_id not in without
        and _place(parse_series(export.data)) == _place(series)
        for row in rows_of(export)
    }
