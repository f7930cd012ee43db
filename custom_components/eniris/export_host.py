"""`ExportHost`: the exporter of a loaded account, and another in its place when exports change: nothing that is read blinks."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from homeassistant.config_entries import ConfigEntry
from homeassistant.core import CALLBACK_TYPE, HomeAssistant, callback
from homeassistant.helpers import instance_id
from homeassistant.helpers.storage import STORAGE_DIR

from .account import outbox_limits, sent_fingerprint
from .api import Session
from .const import LOGGER
from .devices import async_register_exports
from .events import async_fire_history_exported
from .exporting.config import read_exports
from .exporting.exporter import Exporter
from .exporting.history.jobs import Job
from .exporting.issues import Issues
from .exporting.outbox.outbox import Outbox
from .exporting.outbox.store import outbox_path


async def async_issues(hass: HomeAssistant, entry: ConfigEntry[Any]) -> Issues:
    """Return what tells of an account's export."""
    return Issues(hass, entry.entry_id, entry.title, await instance_id.async_get(hass))


def account_outbox(hass: HomeAssistant, entry: ConfigEntry[Any]) -> Path:
    """Return the file of what an account has not uploaded yet."""
    return outbox_path(Path(hass.config.path(STORAGE_DIR)), entry.entry_id)


class ExportHost:
    """Makes, starts and stops the exporter of one account."""

    exporter: Exporter
    """The present one; there is none before the start."""

    def __init__(
        self, hass: HomeAssistant, entry: ConfigEntry[Any], session: Session
    ) -> None:
        """Upload over `session`, once this is started."""
        self.hass = hass
        self._entry = entry
        self._session = session
        self._lock = asyncio.Lock()
        self._stopped = False
        self._started_with: tuple[Any, ...] = ()
        self._listeners: list[Callable[[], None]] = []

    async def async_start(self) -> None:
        """Begin with the exports that the account has now."""
        async with self._lock:
            await self._async_start()

    async def _async_start(self) -> None:
        self._started_with = sent_fingerprint(self._entry)
        exports, invalid = read_exports(self._entry)
        for err in invalid:
            LOGGER.error(
                "Stored settings of the export %s are invalid, so that it is skipped: %s",
                err.title,
                ", ".join(err.keys),
            )
        self.exporter = Exporter(
            self.hass,
            self._entry,
            self._session,
            Outbox(self.hass, account_outbox(self.hass, self._entry)),
            {export.id: export for export in exports},
            invalid,
            outbox_limits(self._entry),
            await async_issues(self.hass, self._entry),
        )
        await self.exporter.async_start()
        self.exporter.backfill.async_add_listener(self._async_history_finished)
        async_register_exports(self.hass, self._entry, exports)

    @callback
    def _async_history_finished(self, job: Job) -> None:
        async_fire_history_exported(self.hass, self._entry, job)

    async def async_follow(self) -> None:
        """Go on with what the account has now, if that is something else, and tell who listens."""
        async with self._lock:
            wanted = sent_fingerprint(self._entry, self.exporter.sampler.adopted)
            if self._stopped or wanted == self._started_with:
                return
            await self.exporter.async_stop()
            await self._async_start()
        for listener in tuple(self._listeners):
            listener()

    async def async_stop(self) -> None:
        """Stop for good."""
        async with self._lock:
            self._stopped = True
            await self.exporter.async_stop()

    @callback
    def async_add_listener(self, listener: Callable[[], None]) -> CALLBACK_TYPE:
        """Call `listener` when another exporter is there."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)
