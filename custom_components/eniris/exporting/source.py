"""The two sources of an upload: what is live, and what is of the past."""

import asyncio
from collections.abc import Callable
from typing import Final

from ..api import WriteTarget
from .history.jobs import HistoryQueue
from .outbox import live
from .outbox.batches import Batch, Settlement, cut, make_batch
from .outbox.outbox import Outbox

_AT_ONCE: Final = 100
"""Samples below which a thread costs more than the work."""


async def async_aside[*Args, Result](
    samples: int, function: Callable[[*Args], Result], *args: *Args
) -> Result:
    """Return what a function makes of so many samples, where that holds up nobody."""
    if samples < _AT_ONCE:
        return function(*args)
    return await asyncio.to_thread(function, *args)


class LiveQueue:
    """What waits of one target, in memory and on disk; fresh samples and a backlog take turns.

    While a batch of the backlog is under way the next is made ready.
    """

    def __init__(self, outbox: Outbox) -> None:
        """Take batches from `outbox`."""
        self._outbox = outbox
        self._backlog_until: int | None = None
        """The row up to which the present backlog goes; what comes after it is fresh."""
        self._fresh_next = True
        self._ready: asyncio.Task[Batch | None] | None = None
        """The making of the batch that comes next."""

    async def next_batch(
        self, target: WriteTarget, max_samples: int | None, max_bytes: int
    ) -> Batch | None:
        """Return what makes the next request, None where nothing waits."""
        self._fresh_next = not self._fresh_next
        if self._fresh_next and (
            batch := await self._fresh(target, max_samples, max_bytes)
        ):
            return batch
        if batch := await self._backlog(target, max_samples, max_bytes):
            return batch
        return await self._fresh(target, max_samples, max_bytes)

    async def _fresh(
        self, target: WriteTarget, max_samples: int | None, max_bytes: int
    ) -> Batch | None:
        blocks = cut(self._outbox.memory.of(target), max_samples, max_bytes)
        if blocks:
            return await async_aside(sum(map(len, blocks)), make_batch, target, blocks)
        if self._backlog_until is None or not self._outbox.store.can_read(target):
            return None
        return await self._outbox.store.run(
            live.read, target, self._backlog_until, None, max_samples, max_bytes
        )

    async def _backlog(
        self, target: WriteTarget, max_samples: int | None, max_bytes: int
    ) -> Batch | None:
        store = self._outbox.store
        while store.can_read(target):
            if self._backlog_until is None:
                self._backlog_until = await store.run(live.last_id, target)
            until = self._backlog_until
            ready, self._ready = self._ready, None
            batch = await (
                ready or store.run(live.read, target, 0, until, max_samples, max_bytes)
            )
            if batch is None:
                # There is more where all that was read is of blocked fields
                self._backlog_until = None
                await store.run(live.note_empty, target)
                continue
            last = max(block.row.id for block in batch.blocks)
            if max_samples is None and last < until:
                self._ready = asyncio.ensure_future(
                    store.run(live.read, target, last, until, max_samples, max_bytes)
                )
            return batch
        return None

    async def settle(self, batch: Batch, result: Settlement) -> None:
        """Do with a batch as its upload went; raises `OutboxError`, and then all of it waits."""
        if result.stored != batch.blocks:
            self.forget_ready()
        await self._outbox.settle(batch, result)

    def forget_ready(self) -> None:
        """Begin with the oldest again: what was made ready is not what comes next."""
        if self._ready is not None:
            self._ready.cancel()
            # Or its failure, which concerns nobody, would be logged
            self._ready.add_done_callback(
                lambda task: task.cancelled() or task.exception()
            )
            self._ready = None


type Source = LiveQueue | HistoryQueue
