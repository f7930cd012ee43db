"""The dialog of a field that Eniris refuses in every value, so that its values wait."""

from collections import Counter
from typing import Any

import voluptuous as vol

from homeassistant.config_entries import ConfigSubentry
from homeassistant.data_entry_flow import FlowResult
from homeassistant.helpers.selector import TextSelector

from ..const import (
    CONF_ATTRIBUTE,
    CONF_ENTITY,
    CONF_FIELD,
    CONF_FIELDS,
    CONF_MEASUREMENT,
)
from ..data import EnirisConfigEntry
from ..exporting.config import async_entity_id, parse_series
from ..exporting.exporter import ACTION
from ..exporting.fields.kinds import unit_problem
from ..exporting.fields.names import name_problem
from ..exporting.fields.units import field_unit
from ..exporting.outbox import corrections
from ..exporting.outbox.batches import FieldKey
from ..exporting.outbox.store import OutboxError
from .base import Fix, changed_row, exports_of, fields_of_series, rows_of


class FieldFix(Fix):
    """Send under another name, what waits, too; or discard that, or try again.

    What an action has pushed keeps its name: no export of ours has it.
    """

    _step = "init"
    _name = ""

    async def _begin(self, entry: EnirisConfigEntry) -> FlowResult:
        waiting = await self._async_waiting(entry)
        affected = self._affected(entry)
        if not affected and not waiting:
            return self.async_abort(reason="solved")
        if not affected and not waiting.keys() - {ACTION}:
            self._step = "pushed"
        titles = ", ".join(export.title for export in affected)
        self._placeholders |= {
            "waiting": str(sum(waiting.values())),
            "exports": titles or "–",
        }
        return self._show_choices(self._step)

    def _show_choices(self, step_id: str, **placeholders: str) -> FlowResult:
        options = ["rename", "discard", "try_again"]
        if self._step == "pushed":
            options.remove("rename")
        return self._menu(step_id, options, **placeholders)

    async def async_step_pushed(
        self, user_input: dict[str, Any] | None = None
    ) -> FlowResult:
        """Offer what can be done with what an action has pushed."""
        return self._show_choices("pushed")

    async def async_step_try_again(
        self, user_input: dict[str, Any] | None = None
    ) -> FlowResult:
        """Upload at once, and tell what the service says."""
        entry = self._entry
        problem = await entry.runtime_data.exporter.async_upload_now(self._target)
        try:
            waiting = await self._async_waiting(entry)
        except OutboxError as err:
            return self._failed(err)
        if not self._keys(entry):
            return self._done()
        if problem is None and self._issue is not None:
            # It is of that field that this was the last refusal
            problem = (self._issue.translation_placeholders or {})["error"]
        return self._show_choices(
            "still_refused", error=problem or "", waiting=str(waiting.total())
        )

    async def async_step_still_refused(
        self, user_input: dict[str, Any] | None = None
    ) -> FlowResult:
        """Offer the same again."""
        return self._show_choices("still_refused")

    async def async_step_discard(
        self, user_input: dict[str, Any] | None = None
    ) -> FlowResult:
        """Drop what waits, once the user has seen how much that is."""
        entry = self._entry
        try:
            waiting = await self._async_waiting(entry)
            if user_input is None:
                return self._form("discard", waiting=str(waiting.total()))
            exporter = entry.runtime_data.exporter
            async with exporter.uploader.async_paused():
                await exporter.outbox.correct(
                    corrections.discard_blocked, self._keys(entry), ()
                )
        except OutboxError as err:
            return self._failed(err)
        await exporter.async_refresh()
        return self._done()

    async def async_step_rename(
        self, user_input: dict[str, Any] | None = None
    ) -> FlowResult:
        """Ask for another name."""
        entry = self._entry
        errors: dict[str, str] = {}
        name = _another_name(self._field)
        if user_input is not None:
            self._name = name = user_input[CONF_FIELD].strip()
            problem = self._problem(entry, name)
            if problem is None:
                return await self._async_ask_about_waiting(entry)
            errors[CONF_FIELD] = problem
        key = vol.Required(CONF_FIELD, default=name)
        return self._form("rename", {key: TextSelector()}, errors)

    async def _async_ask_about_waiting(self, entry: EnirisConfigEntry) -> FlowResult:
        try:
            waiting = await self._async_waiting(entry)
        except OutboxError as err:
            return self._failed(err)
        del waiting[ACTION]
        if not waiting and self._means_the_same:
            return await self.async_step_send()
        if not waiting:
            return await self.async_step_drop()
        self._placeholders |= {
            "waiting": str(waiting.total()),
            "new_field": self._name,
        }
        return await self.async_step_waiting()

    async def async_step_waiting(
        self, user_input: dict[str, Any] | None = None
    ) -> FlowResult:
        """Ask what becomes of what waits."""
        return self._menu(
            "waiting", ["send", "drop"] if self._means_the_same else ["drop"]
        )

    @property
    def _means_the_same(self) -> bool:
        """Whether a value means the same under the new name, which has the same unit then."""
        return field_unit(self._name) == field_unit(self._field)

    async def async_step_send(
        self, user_input: dict[str, Any] | None = None
    ) -> FlowResult:
        """Rename the field, and send what waits under the new name."""
        return await self._async_rename(send=True)

    async def async_step_drop(
        self, user_input: dict[str, Any] | None = None
    ) -> FlowResult:
        """Rename the field, and discard what waits."""
        return await self._async_rename(send=False)

    @property
    def _field(self) -> str:
        return self._detail(CONF_FIELD)

    @property
    def _measurement(self) -> str:
        return self._detail(CONF_MEASUREMENT)

    def _keys(self, entry: EnirisConfigEntry) -> list[FieldKey]:
        """Return what is blocked of the field, of whichever type: another name is another for all of them."""
        named = (self._target, self._measurement, self._field)
        blocked = entry.runtime_data.exporter.outbox.blocked
        return [key for key in blocked if key[:3] == named]

    async def _async_waiting(self, entry: EnirisConfigEntry) -> Counter[str]:
        outbox = entry.runtime_data.exporter.outbox
        return await corrections.count_blocked(outbox, self._keys(entry))

    def _affected(self, entry: EnirisConfigEntry) -> list[ConfigSubentry]:
        return [
            export
            for export in exports_of(entry)
            if parse_series(export.data).target == self._target
            and export.data[CONF_MEASUREMENT] == self._measurement
            and any(row[CONF_FIELD] == self._field for row in rows_of(export))
        ]

    def _problem(self, entry: EnirisConfigEntry, name: str) -> str | None:
        """Return what is wrong with a name, as the dialog of an export would say it."""
        if problem := name_problem(name):
            return problem
        if name == self._field:
            return "unchanged"
        for export in self._affected(entry):
            taken = {row[CONF_FIELD] for row in rows_of(export)}
            taken |= fields_of_series(
                self.hass, parse_series(export.data), {export.subentry_id}
            )
            if name in taken:
                return "field_taken"
            for row in rows_of(export):
                entity_id = async_entity_id(self.hass, row[CONF_ENTITY])
                if (
                    row[CONF_FIELD] == self._field
                    and row.get(CONF_ATTRIBUTE) is None
                    and entity_id is not None
                    and (problem := unit_problem(self.hass.states.get(entity_id), name))
                ):
                    return problem
        return None

    async def _async_rename(self, *, send: bool) -> FlowResult:
        entry = self._entry
        affected = self._affected(entry)
        for export in affected:
            rows = [
                changed_row(self.hass, row, None, self._name)
                if row[CONF_FIELD] == self._field
                else row
                for row in rows_of(export)
            ]
            self._update_export(entry, export, **{CONF_FIELDS: rows})
        # In this order: from now on nothing is taken under the old name any more
        if affected:
            await self._async_reloaded(entry)
            entry = self._entry
        exporter = entry.runtime_data.exporter
        outbox, keys = exporter.outbox, self._keys(entry)
        try:
            async with exporter.uploader.async_paused():
                if send:
                    await outbox.correct(
                        corrections.rename_blocked, keys, self._name, {ACTION}
                    )
                else:
                    await outbox.correct(corrections.discard_blocked, keys, {ACTION})
            exporter.uploader.async_wake()
            await exporter.async_refresh()
            left = await self._async_waiting(entry)
        except OutboxError as err:
            return self._failed(err)
        if left:
            return self._unsolved("pushed_left", waiting=str(left.total()))
        return self._done()


def _another_name(field: str) -> str:
    """Return a name with the same unit at its end."""
    if field_unit(field) is None:
        return f"{field}_2"
    name, separator, unit = field.rpartition("_")
    # A name that is known for a ratio has no unit at its end
    return f"{name}_2_{unit}" if separator else f"{field}_2_frac"
