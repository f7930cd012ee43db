"""The dialogs of the file in which values wait."""

from collections.abc import Sequence
from typing import Any

from homeassistant.data_entry_flow import FlowResult

from ..data import EnirisConfigEntry
from .base import Fix, outbox_errors


class LimitFix(Fix):
    """Values were dropped at a limit: take note; the options raise it."""

    async def _begin(self, entry: EnirisConfigEntry) -> FlowResult:
        return self._form("acknowledge")

    async def async_step_acknowledge(
        self, user_input: dict[str, Any] | None = None
    ) -> FlowResult:
        """Count anew from now on."""
        self._entry.runtime_data.exporter.async_acknowledge_limit()
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
        with outbox_errors():
            await exporter.outbox.store.delete_damaged(self._files)
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
        problem = await self._entry.runtime_data.exporter.async_try_disk()
        if problem is not None:
            errors = {"base": "still_failing"}
            return self._form("try_again", errors=errors, error=problem)
        return self._done()
