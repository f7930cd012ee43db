"""What the dialogs of repair issues share."""

from abc import ABCMeta, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import voluptuous as vol

from homeassistant.components.repairs import RepairsFlow
from homeassistant.config_entries import ConfigEntryState
from homeassistant.data_entry_flow import AbortFlow, FlowResult
from homeassistant.helpers import issue_registry as ir

from ..api import WriteTarget
from ..const import CONF_COLLECTOR, CONF_DATABASE, CONF_RETENTION_POLICY, DOMAIN
from ..data import EnirisConfigEntry
from ..exporting.issues import ATTR_ENTRY_ID, Detail
from ..exporting.outbox.store import OutboxError


@contextmanager
def outbox_errors() -> Iterator[None]:
    """End the dialog, in words for the user, where the outbox cannot be read or changed."""
    try:
        yield
    except OutboxError as err:
        raise AbortFlow("outbox_failed", {"error": str(err)}) from err


class Fix(RepairsFlow, metaclass=ABCMeta):
    """A dialog that mends something of an account that is loaded."""

    def __init__(
        self, kind: str, details: Mapping[str, Detail], placeholders: Mapping[str, str]
    ) -> None:
        """Mend what `details` name; the texts of the issue quote `placeholders`."""
        self._kind = kind
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
        with outbox_errors():
            return await self._begin(entry)

    @abstractmethod
    async def _begin(self, entry: EnirisConfigEntry) -> FlowResult:
        """Show the first step."""

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

    async def _async_change_exports(
        self, entry: EnirisConfigEntry, changes: Mapping[str, Mapping[str, Any]]
    ) -> EnirisConfigEntry:
        """Change the settings of exports, by their ids, and return the account once it runs with that."""
        for export_id, change in changes.items():
            export = entry.subentries[export_id]
            self.hass.config_entries.async_update_subentry(
                entry, export, data={**export.data, **change}
            )
        await entry.runtime_data.exports.async_follow()
        return self._entry
