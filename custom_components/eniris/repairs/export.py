"""The dialogs of what is wrong with an export itself."""

from typing import Any

import voluptuous as vol

from homeassistant.config_entries import ConfigSubentry
from homeassistant.data_entry_flow import AbortFlow, FlowResult

from ..const import CONF_ATTRIBUTE, CONF_ENTITY, CONF_FIELD, CONF_FIELDS
from ..data import EnirisConfigEntry
from ..export_flow import entity_selector
from ..exporting.config import async_entity_id
from ..exporting.fields.kinds import unit_problem
from ..exporting.issues import ATTR_EXPORT_ID
from .base import Fix, changed_row, exports_of, rows_of


class EntityGoneFix(Fix):
    """An exported entity was deleted: choose another one, or leave the field out."""

    async def _begin(self, entry: EnirisConfigEntry) -> FlowResult:
        export = self._export(entry)
        if len(rows_of(export)) == 1:
            # An export of nothing is none
            return await self.async_step_replace()
        return self._menu("init", ["replace", "leave_out"])

    def _export(self, entry: EnirisConfigEntry) -> ConfigSubentry:
        """Return the export while it sends an entity that is gone; without that the dialog ends."""
        for export in exports_of(entry):
            if export.subentry_id == self._detail(ATTR_EXPORT_ID) and any(
                row[CONF_FIELD] == self._detail(CONF_FIELD)
                and async_entity_id(self.hass, row[CONF_ENTITY]) is None
                for row in rows_of(export)
            ):
                return export
        raise AbortFlow("solved")

    async def async_step_replace(
        self, user_input: dict[str, Any] | None = None
    ) -> FlowResult:
        """Ask for another entity."""
        entry = self._entry
        export = self._export(entry)
        errors: dict[str, str] = {}
        entity_id = (user_input or {}).get(CONF_ENTITY)
        if entity_id is not None:
            problem = self._problem(export, entity_id)
            if problem is None:
                return await self._async_change(entry, export, entity_id)
            errors[CONF_ENTITY] = problem
        key = vol.Required(
            CONF_ENTITY, description={"suggested_value": entity_id or None}
        )
        return self._form("replace", {key: entity_selector(multiple=False)}, errors)

    def _problem(self, export: ConfigSubentry, entity_id: str) -> str | None:
        rows = {row[CONF_FIELD]: row for row in rows_of(export)}
        if entity_id in (
            async_entity_id(self.hass, row[CONF_ENTITY]) for row in rows.values()
        ):
            return "entity_in_export"
        field = self._detail(CONF_FIELD)
        if rows[field].get(CONF_ATTRIBUTE) is not None:
            # An attribute has no unit of its own
            return None
        return unit_problem(self.hass.states.get(entity_id), field)

    async def async_step_leave_out(
        self, user_input: dict[str, Any] | None = None
    ) -> FlowResult:
        """Send the other fields of the export alone."""
        entry = self._entry
        export = self._export(entry)
        return await self._async_change(entry, export, None)

    async def _async_change(
        self, entry: EnirisConfigEntry, export: ConfigSubentry, entity_id: str | None
    ) -> FlowResult:
        field = self._detail(CONF_FIELD)
        rows = []
        for row in rows_of(export):
            if row[CONF_FIELD] != field:
                rows.append(row)
            elif entity_id is not None:
                rows.append(changed_row(self.hass, row, entity_id, field))
        self._update_export(entry, export, **{CONF_FIELDS: rows})
        await self._async_reloaded(entry)
        return self._done()


class ExportDamagedFix(Fix):
    """Stored settings of an export cannot be read: its own dialog mends that, else delete it."""

    async def _begin(self, entry: EnirisConfigEntry) -> FlowResult:
        return self._form("delete_export")

    async def async_step_delete_export(
        self, user_input: dict[str, Any] | None = None
    ) -> FlowResult:
        """Delete the export; what waits of it is sent."""
        entry = self._entry
        export_id = self._detail(ATTR_EXPORT_ID)
        if self._issue is None or export_id not in entry.subentries:
            return self.async_abort(reason="solved")
        self.hass.config_entries.async_remove_subentry(entry, export_id)
        await self._async_reloaded(entry)
        return self._done()
