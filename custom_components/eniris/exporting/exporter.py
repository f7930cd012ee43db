"""`Exporter`: sampler, outbox and sender of one account, started and stopped together."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from homeassistant.config_entries import ConfigEntry
from homeassistant.core import HomeAssistant

from ..api import Session
from .config import Export
from .outbox import Outbox
from .sampler import Sampler
from .sender import Sender


class Exporter:
    """The export path of one account. It waits for nothing else, and nothing waits for it."""

    def __init__(
        self,
        hass: HomeAssistant,
        session: Session,
        outbox: Outbox,
        exports: Sequence[Export],
        on_reauthenticate: Callable[[], None],
    ) -> None:
        """Carry out `exports` over `session`, by way of `outbox`."""
        self._hass = hass
        self._upload_task: asyncio.Task[None] | None = None
        self.outbox = outbox
        self.sampler = Sampler(hass, exports, outbox)
        self.sender = Sender(session, outbox, on_reauthenticate)

    async def async_start(self, entry: ConfigEntry[Any]) -> None:
        """Open the outbox and begin; raises `OutboxError` where there can be none."""
        await self.outbox.open()
        self.sampler.async_start()
        self._upload_task = entry.async_create_background_task(
            self._hass, self.sender.run(), name="eniris sender"
        )

    async def async_last_upload(self) -> None:
        """Upload what can be uploaded in a few seconds; sampling goes on."""
        await self.sampler.async_flush()
        if self._upload_task is not None:
            self._upload_task.cancel()
            await asyncio.gather(self._upload_task, return_exceptions=True)
            self._upload_task = None
            await self.sender.last_upload()

    async def async_stop(self) -> None:
        """Stop for good: upload what goes quickly, and keep the rest on disk."""
        await self.async_last_upload()
        await self.sampler.async_stop()
        await self.outbox.close()
