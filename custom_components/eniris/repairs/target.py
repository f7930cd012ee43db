"""The dialogs of a target that takes nothing."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

import voluptuous as vol

from homeassistant.config_entries import ConfigSubentry
from homeassistant.data_entry_flow import FlowResult
from homeassistant.helpers.selector import BooleanSelector, TextSelector

from ..api import WriteTarget
from ..const import CONF_COLLECTOR, CONF_DATABASE, CONF_FIELD, CONF_RETENTION_POLICY
from ..data import EnirisConfigEntry
from ..exporting.config import parse_series
from ..exporting.fields.names import namespace_problem
from ..exporting.outbox import corrections
from ..exporting.outbox.store import OutboxError
from .base import Fix, exports_of, fields_of_series, rows_of

_CONF_MOVE: Final = "move"


class TargetFix(Fix):
    """A target takes nothing: try again, or correct it and send what waits there."""

    _choices: tuple[str, ...] = ("try_again", "correct")

    async def _begin(self, entry: EnirisConfigEntry) -> FlowResult:
        waiting = await self._async_count(entry)
        return self._menu("init", list(self._choices), waiting=str(waiting))

    async def _async_count(self, entry: EnirisConfigEntry) -> int:
        outbox = entry.runtime_data.exporter.outbox
        return await corrections.count_waiting(outbox, self._target)

    async def async_step_try_again(
        self, user_input: dict[str, Any] | None = None
    ) -> FlowResult:
        """Upload at once, and tell what the service says."""
        entry = self._entry
        exporter = entry.runtime_data.exporter
        problem = await exporter.async_upload_now(self._target)
        try:
            if problem is None or not await self._async_count(entry):
                exporter.uploader.async_forget(self._target)
                return self._done()
        except OutboxError as err:
            return self._failed(err)
        self._placeholders["error"] = problem
        return await self.async_step_still_refused()

    async def async_step_still_refused(
        self, user_input: dict[str, Any] | None = None
    ) -> FlowResult:
        """Tell that it did not help, and offer the same again."""
        return self._menu("still_refused", list(self._choices))

    async def async_step_correct(
        self, user_input: dict[str, Any] | None = None
    ) -> FlowResult:
        """Ask for the right target, and whether what waits is for it, too."""
        entry = self._entry
        errors: dict[str, str] = {}
        shown = {
            CONF_COLLECTOR: self._target.collector,
            CONF_DATABASE: self._target.database,
            CONF_RETENTION_POLICY: self._target.retention_policy,
        }
        try:
            waiting = await self._async_count(entry)
            if user_input is not None:
                shown = {key: user_input[key].strip() for key in shown}
                errors = self._problems(entry, shown)
                if not errors:
                    return await self._async_correct(
                        entry, WriteTarget(**shown), user_input.get(_CONF_MOVE, False)
                    )
        except OutboxError as err:
            return self._failed(err)
        fields: dict[vol.Marker, Any] = {
            vol.Required(key, default=value): TextSelector()
            for key, value in shown.items()
        }
        if waiting:
            fields[vol.Required(_CONF_MOVE, default=True)] = BooleanSelector()
        return self._form("correct", fields, errors, waiting=str(waiting))

    def _problems(
        self, entry: EnirisConfigEntry, typed: Mapping[str, str]
    ) -> dict[str, str]:
        problems = {key: namespace_problem(value) for key, value in typed.items()}
        errors = {key: problem for key, problem in problems.items() if problem}
        if not errors and WriteTarget(**typed) == self._target:
            errors["base"] = "unchanged"
        if not errors and self._is_taken(entry, typed):
            errors["base"] = "field_taken"
        return errors

    def _affected(self, entry: EnirisConfigEntry) -> list[ConfigSubentry]:
        return [
            export
            for export in exports_of(entry)
            if parse_series(export.data).target == self._target
        ]

    def _is_taken(self, entry: EnirisConfigEntry, typed: Mapping[str, str]) -> bool:
        """Tell whether two exports would write the same field, of whichever account."""
        affected = self._affected(entry)
        ids = {export.subentry_id for export in affected}
        return any(
            not fields.isdisjoint(
                fields_of_series(self.hass, parse_series({**export.data, **typed}), ids)
            )
            for export in affected
            if (fields := {row[CONF_FIELD] for row in rows_of(export)})
        )

    async def _async_correct(
        self, entry: EnirisConfigEntry, target: WriteTarget, move: bool
    ) -> FlowResult:
        affected = self._affected(entry)
        for export in affected:
            self._update_export(
                entry,
                export,
                **{
                    CONF_COLLECTOR: target.collector,
                    CONF_DATABASE: target.database,
                    CONF_RETENTION_POLICY: target.retention_policy,
                },
            )
        # In this order: by now nothing is taken for the old target any more
        if affected:
            await self._async_reloaded(entry)
        entry = self._entry
        exporter = entry.runtime_data.exporter
        if move:
            async with exporter.uploader.async_paused():
                await exporter.outbox.correct(corrections.move, self._target, target)
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
        named = asdict(target)
        self._details = {**self._details, **named}
        self._placeholders |= {**named, "error": problem}
        return await self.async_step_still_refused()


class NamespaceFix(TargetFix):
    """The service does not know a target: most often it is spelt wrong."""

    _choices = ("correct", "try_again")


class RefusesFix(TargetFix):
    """A target refuses whatever is sent to it; what waits can be given up, too."""

    _choices = ("try_again", "correct", "discard")

    async def async_step_discard(
        self, user_input: dict[str, Any] | None = None
    ) -> FlowResult:
        """Drop what waits for the target, once the user has seen how much that is."""
        entry = self._entry
        exporter = entry.runtime_data.exporter
        try:
            if user_input is None:
                count = await corrections.count_waiting(
                    exporter.outbox, self._target, with_past=False
                )
                return self._form("discard", waiting=str(count))
            async with exporter.uploader.async_paused():
                await exporter.outbox.correct(corrections.discard, self._target)
        except OutboxError as err:
            return self._failed(err)
        exporter.uploader.async_forget(self._target)
        await exporter.async_refresh()
        return self._done()
