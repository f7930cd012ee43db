"""The dialog of a target that takes nothing."""

from dataclasses import replace
from typing import Any, Final

import voluptuous as vol

from homeassistant.data_entry_flow import FlowResult
from homeassistant.helpers.selector import BooleanSelector, TextSelector

from ..api import WriteTarget
from ..data import EnirisConfigEntry
from ..exporting.config import Export, read_exports
from ..exporting.fields.names import target_problems
from ..exporting.outbox import corrections
from ..flows.taken_fields import taken_fields
from .base import Fix, outbox_errors

_CONF_MOVE: Final = "move"

_CHOICES: Final = {
    # Most often it is spelt wrong
    "namespace_unknown": ["correct", "try_again"],
    "role_missing": ["try_again", "correct"],
    "target_refuses": ["try_again", "correct", "discard"],
}
"""What is offered, by the kind of the issue."""


class TargetFix(Fix):
    """A target takes nothing: try again, correct it and send what waits there, or discard that."""

    async def _begin(self, entry: EnirisConfigEntry) -> FlowResult:
        waiting = await self._async_count(entry)
        return self._menu("init", _CHOICES[self._kind], waiting=str(waiting))

    async def _async_count(self, entry: EnirisConfigEntry) -> int:
        outbox = entry.runtime_data.exporter.outbox
        with outbox_errors():
            return await corrections.count_waiting(outbox, self._target)

    async def async_step_try_again(
        self, user_input: dict[str, Any] | None = None
    ) -> FlowResult:
        """Upload at once, and tell what the service says."""
        entry = self._entry
        exporter = entry.runtime_data.exporter
        problem = await exporter.async_upload_now(self._target)
        if problem is None or not await self._async_count(entry):
            exporter.uploader.async_forget(self._target)
            return self._done()
        self._placeholders["error"] = problem
        return await self.async_step_still_refused()

    async def async_step_still_refused(
        self, user_input: dict[str, Any] | None = None
    ) -> FlowResult:
        """Tell that it did not help, and offer the same again."""
        return self._menu("still_refused", _CHOICES[self._kind])

    async def async_step_correct(
        self, user_input: dict[str, Any] | None = None
    ) -> FlowResult:
        """Ask for the right target, and whether what waits is for it, too."""
        entry = self._entry
        errors: dict[str, str] = {}
        target = self._target
        if user_input is not None:
            target = WriteTarget(
                **{key: user_input[key].strip() for key in target._asdict()}
            )
            errors = self._problems(entry, target)
            if not errors:
                move = user_input.get(_CONF_MOVE, False)
                return await self._async_correct(entry, target, move)
        waiting = await self._async_count(entry)
        fields: dict[vol.Marker, Any] = {
            vol.Required(key, default=value): TextSelector()
            for key, value in target._asdict().items()
        }
        if waiting:
            fields[vol.Required(_CONF_MOVE, default=True)] = BooleanSelector()
        return self._form("correct", fields, errors, waiting=str(waiting))

    def _problems(
        self, entry: EnirisConfigEntry, target: WriteTarget
    ) -> dict[str, str]:
        if errors := target_problems(target):
            return errors
        if target == self._target:
            return {"base": "unchanged"}
        return {"base": "field_taken"} if self._is_taken(entry, target) else {}

    def _affected(self, entry: EnirisConfigEntry) -> list[Export]:
        exports = read_exports(entry)[0]
        return [export for export in exports if export.series.target == self._target]

    def _is_taken(self, entry: EnirisConfigEntry, target: WriteTarget) -> bool:
        """Tell whether two exports would write the same field, of whichever account."""
        affected = self._affected(entry)
        ids = {export.id for export in affected}
        for export in affected:
            series = replace(export.series, target=target)
            taken = taken_fields(self.hass, series, without=ids)
            if any(exported.field in taken for exported in export.fields):
                return True
        return False

    async def _async_correct(
        self, entry: EnirisConfigEntry, target: WriteTarget, move: bool
    ) -> FlowResult:
        named = target._asdict()
        # In this order: once the account runs with that, nothing is taken for the old target any more
        entry = await self._async_change_exports(
            entry, {export.id: named for export in self._affected(entry)}
        )
        exporter = entry.runtime_data.exporter
        if move:
            with outbox_errors():
                async with exporter.uploader.async_paused():
                    await exporter.outbox.correct(
                        corrections.move, self._target, target
                    )
        problem = await exporter.async_upload_now(target)
        if left := await self._async_count(entry):
            # The issue of the old target stays, since it is true
            return self._unsolved(
                "left_waiting" if problem is None else "corrected_still_refused",
                waiting=str(left),
                error=problem or "",
            )
        exporter.uploader.async_forget(self._target)
        if problem is None:
            return self._done()
        # From here on the dialog is about the new target
        self._details = {**self._details, **named}
        self._placeholders |= {**named, "error": problem}
        return await self.async_step_still_refused()

    async def async_step_discard(
        self, user_input: dict[str, Any] | None = None
    ) -> FlowResult:
        """Drop what waits for the target, once the user has seen how much that is."""
        entry = self._entry
        if user_input is None:
            waiting = await self._async_count(entry)
            return self._form("discard", waiting=str(waiting))
        exporter = entry.runtime_data.exporter
        with outbox_errors():
            async with exporter.uploader.async_paused():
                await exporter.outbox.correct(corrections.discard, self._target)
        exporter.uploader.async_forget(self._target)
        await exporter.async_refresh()
        return self._done()
