"""The dialog of a field that Eniris refuses in every value, so that its values wait."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import voluptuous as vol

from homeassistant.data_entry_flow import FlowResult
from homeassistant.helpers.selector import TextSelector

from ..const import CONF_FIELD, CONF_FIELDS, CONF_KIND, CONF_MEASUREMENT
from ..data import EnirisConfigEntry
from ..exporting.config import Export, async_entity_id, read_exports
from ..exporting.exporter import ACTION
from ..exporting.fields.names import name_problem
from ..exporting.fields.units import field_unit
from ..exporting.outbox import corrections
from ..exporting.outbox.batches import FieldKey
from ..flows.taken_fields import field_problem, taken_fields
from .base import Fix, outbox_errors


class FieldFix(Fix):
    """Send under another name, what waits, too; or discard that, or try again.

    What an action has pushed keeps its name: no export of ours has it.
    """

    _step = "init"
    _name = ""

    @property
    def _field(self) -> str:
        return self._detail(CONF_FIELD)

    async def _begin(self, entry: EnirisConfigEntry) -> FlowResult:
        waiting = await self._async_waiting(entry)
        senders = [*self._affected(entry), *self._renamed_since(entry, waiting)]
        titles = [export.title for export in senders]
        if not titles and not waiting:
            return self.async_abort(reason="solved")
        if not titles and not waiting.keys() - {ACTION}:
            self._step = "pushed"
        self._placeholders |= {
            "waiting": str(waiting.total()),
            "exports": ", ".join(titles) or "–",
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
        waiting = await self._async_waiting(entry)
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
        if user_input is None:
            waiting = await self._async_waiting(entry)
            return self._form("discard", waiting=str(waiting.total()))
        exporter = entry.runtime_data.exporter
        with outbox_errors():
            async with exporter.uploader.async_paused():
                await exporter.outbox.correct(
                    corrections.discard_blocked, self._keys(entry), ()
                )
        await exporter.async_refresh()
        return self._done()

    async def async_step_rename(
        self, user_input: dict[str, Any] | None = None
    ) -> FlowResult:
        """Ask for another name, and what becomes of what waits."""
        entry = self._entry
        errors: dict[str, str] = {}
        waiting = await self._async_waiting(entry)
        name = self._suggested(entry, waiting)
        if user_input is not None:
            self._name = name = user_input[CONF_FIELD].strip()
            problem = self._problem(entry, name, waiting)
            if problem is None:
                del waiting[ACTION]
                self._placeholders |= {
                    "waiting": str(waiting.total()),
                    "new_field": name,
                }
                if waiting:
                    return await self.async_step_waiting()
                return await self._async_rename(send=self._means_the_same)
            errors[CONF_FIELD] = problem
        key = vol.Required(CONF_FIELD, default=name)
        return self._form("rename", {key: TextSelector()}, errors)

    def _suggested(self, entry: EnirisConfigEntry, waiting: Mapping[str, int]) -> str:
        """Return the name that an export has for the field by now, where that can be told, or a new one."""
        if not self._affected(entry):
            unit = field_unit(self._field)
            names = {
                its.field
                for export in self._renamed_since(entry, waiting)
                for its in export.fields
                if field_unit(its.field) is unit
            }
            if len(names) == 1:
                return names.pop()
        return _another_name(self._field)

    def _problem(
        self, entry: EnirisConfigEntry, name: str, waiting: Mapping[str, int]
    ) -> str | None:
        """Return what is wrong with a name, as the dialog of an export would say it."""
        if name == self._field:
            return "unchanged"
        for export in self._affected(entry):
            taken = taken_fields(self.hass, export.series)
            for exported in export.fields:
                if exported.field == self._field:
                    entity_id = async_entity_id(self.hass, exported.entity)
                    state = self.hass.states.get(entity_id) if entity_id else None
                    if problem := field_problem(name, state, exported.attribute, taken):
                        return problem
        for export in self._renamed_since(entry, waiting):
            if name in taken_fields(self.hass, export.series, without={export.id}):
                return "field_taken"
        return name_problem(name)

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

    def _keys(self, entry: EnirisConfigEntry) -> list[FieldKey]:
        """Return the blocked fields of that name, whatever type they have: there is one answer for all of them."""
        named = (self._target, self._detail(CONF_MEASUREMENT), self._field)
        blocked = entry.runtime_data.exporter.outbox.blocked
        return [key for key in blocked if key[:3] == named]

    async def _async_waiting(self, entry: EnirisConfigEntry) -> Counter[str]:
        outbox = entry.runtime_data.exporter.outbox
        with outbox_errors():
            return await corrections.count_blocked(outbox, self._keys(entry))

    def _affected(self, entry: EnirisConfigEntry) -> list[Export]:
        place = (self._target, self._detail(CONF_MEASUREMENT))
        return [
            export
            for export in read_exports(entry)[0]
            if (export.series.target, export.series.measurement) == place
            and any(exported.field == self._field for exported in export.fields)
        ]

    def _renamed_since(
        self, entry: EnirisConfigEntry, waiting: Mapping[str, int]
    ) -> list[Export]:
        """Return the exports of which values wait, and that send the field no more."""
        affected = {export.id for export in self._affected(entry)}
        return [
            export
            for export in read_exports(entry)[0]
            if waiting.get(export.id) and export.id not in affected
        ]

    def _renamed(self, row: dict[str, Any]) -> dict[str, Any]:
        """Return the stored row of a field under the new name, which has a kind of its own."""
        if row[CONF_FIELD] != self._field:
            return row
        kept = {key: value for key, value in row.items() if key != CONF_KIND}
        return {**kept, CONF_FIELD: self._name}

    async def _async_rename(self, *, send: bool) -> FlowResult:
        entry = self._entry
        changes = {
            export.id: {
                CONF_FIELDS: [
                    self._renamed(row)
                    for row in entry.subentries[export.id].data[CONF_FIELDS]
                ]
            }
            for export in self._affected(entry)
        }
        # In this order: once the account runs with that, nothing is taken under the old name any more
        entry = await self._async_change_exports(entry, changes)
        exporter = entry.runtime_data.exporter
        outbox, keys = exporter.outbox, self._keys(entry)
        with outbox_errors():
            async with exporter.uploader.async_paused():
                if send:
                    await outbox.correct(
                        corrections.rename_blocked, keys, self._name, {ACTION}
                    )
                else:
                    await outbox.correct(corrections.discard_blocked, keys, {ACTION})
        exporter.uploader.async_wake()
        await exporter.async_refresh()
        if left := await self._async_waiting(entry):
            return self._unsolved("pushed_left", waiting=str(left.total()))
        return self._done()


def _another_name(field: str) -> str:
    """Return a name with the same unit at its end."""
    if field_unit(field) is None:
        return f"{field}_2"
    name, separator, unit = field.rpartition("_")
    # A name that is known for a ratio has no unit at its end
    return f"{name}_2_{unit}" if separator else f"{field}_2_frac"
