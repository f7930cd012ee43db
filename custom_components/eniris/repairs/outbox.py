"""The dialogs of the file in which values wait."""

from collections.abc import Sequence
from typing import Any

import voluptuous as vol

from homeassistant.data_entry_flow import FlowResult

from ..const import (
    CONF_AGE_LIMIT,
    CONF_OUTBOX,
    CONF_SIZE_LIMIT,
    DEFAULT_AGE_LIMIT,
    DEFAULT_SIZE_LIMIT,
    LARGEST_SIZE,
    LONGEST_AGE,
)
from ..data import EnirisConfigEntry
from ..exporting.outbox.store import OutboxError
from ..options_flow import LIMIT_SELECTORS
from .base import Fix


class LimitFix(Fix):
    """Values were dropped at a limit: raise it, or take note."""

    async def _begin(self, entry: EnirisConfigEntry) -> FlowResult:
        return self._menu("init", ["raise_limit", "acknowledge"])

    async def async_step_raise_limit(
        self, user_input: dict[str, Any] | None = None
    ) -> FlowResult:
        """Ask for the new limits, beginning with twice what they are."""
        entry = self._entry
        options = self._options(entry, CONF_OUTBOX)
        size = int(options.get(CONF_SIZE_LIMIT, DEFAULT_SIZE_LIMIT))
        age = int(options.get(CONF_AGE_LIMIT, DEFAULT_AGE_LIMIT))
        shown = {CONF_SIZE_LIMIT: min(2 * size, LARGEST_SIZE)}
        if age:
            shown[CONF_AGE_LIMIT] = min(2 * age, LONGEST_AGE)
        errors: dict[str, str] = {}
        if user_input is not None:
            shown = {key: int(user_input[key]) for key in shown}
            days = shown.get(CONF_AGE_LIMIT, age)
            if shown[CONF_SIZE_LIMIT] > size or (age and (not days or days > age)):
                await self._async_set_options(entry, CONF_OUTBOX, **shown)
                return self._done()
            errors["base"] = "not_raised"
        fields: dict[vol.Marker, Any] = {
            vol.Required(key, default=value): LIMIT_SELECTORS[key]
            for key, value in shown.items()
        }
        return self._form("raise_limit", fields, errors)

    async def async_step_acknowledge(
        self, user_input: dict[str, Any] | None = None
    ) -> FlowResult:
        """Count anew from now on."""
        entry = self._entry
        entry.runtime_data.exporter.async_acknowledge_limit()
        return self._done()


class DamagedFix(Fix):
    """A file could not be read and was kept: delete it."""

    _files: Sequence[str] = ()

    async def _begin(self, entry: EnirisConfigEntry) -> FlowResult:
        self._files = await entry.runtime_data.exporter.outbox.store.damaged_files()
        if not self._files:
            return self.async_abort(reason="solved")
        names = "\n".join(f"- `{name}`" for name in self._files)
        return self._form("confirm", files=names)

    async def async_step_confirm(
        self, user_input: dict[str, Any] | None = None
    ) -> FlowResult:
        """Delete what was shown."""
        exporter = self._entry.runtime_data.exporter
        try:
            await exporter.outbox.store.delete_damaged(self._files)
        except OutboxError as err:
            return self._failed(err)
        await exporter.async_refresh()
        return self._done()


class DiskFix(Fix):
    """Values cannot be put on disk, or could not for so long that some were dropped: try again."""

    async def _begin(self, entry: EnirisConfigEntry) -> FlowResult:
        return self._form("try_again")

    async def async_step_try_again(
        self, user_input: dict[str, Any] | None = None
    ) -> FlowResult:
        """Put on disk what is in memory."""
        entry = self._entry
        problem = await entry.runtime_data.exporter.async_try_disk()
        if problem is not None:
            return self._form(
                "try_again", errors={"base": "still_failing"}, error=problem
            )
        return self._done()
