"""The outbox: samples are in memory while their target works, and on disk as soon as it does not."""

import asyncio
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain
import logging
import math
from pathlib import Path
import time
from typing import Final

from homeassistant.core import CALLBACK_TYPE, HomeAssistant, callback
from homeassistant.helpers.event import async_call_later
from homeassistant.util.hass_dict import HassKey

from ...api import WriteTarget
from ...const import DOMAIN
from . import live
from .batches import Batch, Block, FieldKey, Settlement, from_us, to_blocks
from .figures import Figures, Ledger, load_figures, save_figures
from .memory import Memory
from .rows import Rows
from .store import OutboxError, Store, delete_outbox

_LOGGER = logging.getLogger(__name__)

IN_MEMORY_FOR: Final = 0.9
"""Seconds after which a block that is not stored is put on disk; its samples are up to a second older."""

_COMMIT_AGAIN_AFTER: Final = 1.0


@dataclass(slots=True)
class SharedFile:
    """What one outbox leaves to the next of the same file: it outlives a reload of the account."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while the file is open: two connections would each count their own."""
    awake: asyncio.Event = field(default_factory=asyncio.Event)
    """Cleared while the file is at rest, since somebody copies it."""
    memory: Memory = field(default_factory=Memory)
    """With what is not on disk, since that is full for instance."""

    def __post_init__(self) -> None:
        """Begin awake."""
        self.awake.set()


_FILES: HassKey[dict[Path, SharedFile]] = HassKey(f"{DOMAIN}_outbox_files")


class Outbox:
    """Samples that are not stored yet, and what became of all others; on disk by functions that `store.run` calls."""

    def __init__(self, hass: HomeAssistant, path: Path) -> None:
        """Keep in the file at `path` what has to be on disk."""
        self._hass = hass
        self._file = hass.data.setdefault(_FILES, {}).setdefault(path, SharedFile())
        self.store = Store(path, self._file.awake)
        self.memory = self._file.memory
        self._is_owner = False
        self._is_closed = False
        self._listeners: list[Callable[[], None]] = []
        self._timer: CALLBACK_TYPE | None = None
        self.failing: set[WriteTarget] = set()
        """Targets that take nothing at present: their samples are put on disk without delay."""
        self.problem: str | None = None
        """Why samples cannot be put on disk; None while they can, or need not."""
        self.dropped = 0
        """Samples that memory had no room for, until the user has taken note of it."""
        self.ledger = Ledger()
        self._lock = asyncio.Lock()
        """Held while rows are written, so that it is known of each block whether it has one."""
        self._committing: set[Block] = set()

    @property
    def blocked(self) -> Collection[FieldKey]:
        """The fields that the service refuses in every sample."""
        return self.store.blocked.keys()

    async def open(self) -> None:
        """Open the file; raises `OutboxError` where there can be none at present."""
        if not self._is_owner:
            # The one before may still be at it, of an account that is reloaded
            await self._file.lock.acquire()
            self._is_owner = True
        await self.store.open()
        self.memory.hold(self.blocked)

    async def close(self) -> None:
        """Put everything on disk and close the file; what could not be put there waits for the next to open it."""
        self._is_closed = True
        if self._timer is not None:
            self._timer()
        if self._hass.is_stopping:
            # Whoever copies the file has to do without what is written at the very end
            self._file.awake.set()
        if self._file.awake.is_set():
            try:
                await self.commit(everything=True)
                await self._save_figures()
            except OutboxError as err:
                self.problem = str(err)
        await self.store.close()
        if len(self.memory) and self._hass.is_stopping:
            _LOGGER.error(
                "%s values are lost: they could not be put on disk before Home Assistant"
                " stopped (%s)",
                len(self.memory),
                self.problem,
            )
        if self._is_owner:
            self._is_owner = False
            self._file.lock.release()

    @callback
    def async_add_listener(self, listener: Callable[[], None]) -> CALLBACK_TYPE:
        """Call `listener` when there are new samples or another problem, until the returned function is called."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    @callback
    def add(self, blocks: Collection[Block]) -> None:
        """Take samples, which go up at once, or are put on disk soon."""
        if not blocks:
            return
        taken = time.monotonic()
        for block in blocks:
            block.taken = taken
        self.memory.add(blocks, self.blocked)
        self._tell()
        self._schedule_commit()

    def _tell(self) -> None:
        for listener in self._listeners:
            listener()

    @callback
    def _schedule_commit(self) -> None:
        # What is added after the end is in memory for the next outbox
        if self._timer is None and len(self.memory) and not self._is_closed:
            wait = 0.0 if self._due(False) else IN_MEMORY_FOR
            if self.problem is not None or not self._file.awake.is_set():
                wait = _COMMIT_AGAIN_AFTER
            self._timer = async_call_later(self._hass, wait, self._async_commit)

    async def _async_commit(self, _now: datetime) -> None:
        self._timer = None
        before = self.problem
        if self._file.awake.is_set():
            with suppress(OutboxError):
                await self.commit()
        else:
            self._drop_excess()
        if self.problem != before:
            self._tell()
        self._schedule_commit()

    def targets(self) -> set[WriteTarget]:
        """Return the targets that live samples wait for."""
        return {*self.store.on_disk, *self.memory.targets}

    async def commit(self, *, everything: bool = False) -> None:
        """Put on disk what cannot wait; raises `OutboxError`, and then it stays in memory, up to a limit."""
        # Nothing must wait for the lock while the file is at rest: what is in memory goes up meanwhile
        await self._file.awake.wait()
        async with self._lock:
            due = self._due(everything)
            blocks = list(chain(*due.values()))
            self._committing = set(blocks)
            try:
                if due:
                    ids = await self.store.run(live.insert, due)
                    for block, id_ in zip(blocks, ids, strict=True):
                        block.row.id = id_
                    self.memory.remove(blocks)
                if self.ledger.is_due():
                    await self._save_figures()
            except OutboxError as err:
                self._note_problem(err)
                raise
            finally:
                self._committing = set()
            if self.problem is not None and (
                due or (self.store.is_open and not len(self.memory))
            ):
                self.problem = None
                _LOGGER.warning("Samples can be put on disk again")

    def _due(self, everything: bool) -> dict[WriteTarget | FieldKey, list[Block]]:
        """Return what has to be put on disk by now: all of blocked fields, and of targets what cannot wait."""
        latest = math.inf if everything else time.monotonic() - IN_MEMORY_FOR
        at_once = self.failing | self.store.on_disk
        due = {
            key: [
                block
                for block in blocks
                if block.taken <= latest or key in at_once or isinstance(key, FieldKey)
            ]
            for key, blocks in self.memory.blocks.items()
        }
        return {key: blocks for key, blocks in due.items() if blocks}

    async def _save_figures(self) -> None:
        saved, self.ledger = self.ledger, Ledger()
        try:
            await self.store.run(save_figures, saved)
        except OutboxError:
            self.ledger.add(saved)
            raise

    def _note_problem(self, err: OutboxError) -> None:
        """Tell that samples stay in memory, and keep no more of them than there is room for."""
        if self.problem is None:
            _LOGGER.error(
                "Samples cannot be put on disk (%s). They are kept in memory and would be"
                " lost if Home Assistant stopped now; free some space",
                err,
            )
        self.problem = str(err)
        self._drop_excess()

    def _drop_excess(self) -> None:
        counts = self.memory.drop_excess()
        if counts and not self.dropped:
            _LOGGER.error(
                "More samples than memory has room for wait for the disk: the oldest are"
                " dropped"
            )
        self.dropped += counts.total()
        self.ledger.add({name: Figures(dropped=n) for name, n in counts.items()})

    async def settle(self, batch: Batch, result: Settlement) -> None:
        """Do with live samples as their upload went; raises `OutboxError`, and then those wait that are on disk or not stored."""
        if (
            result.stored == batch.blocks
            and not any(block.row.id for block in batch.blocks)
            and self._committing.isdisjoint(batch.blocks)
        ):
            self.memory.remove(batch.blocks)
            self.ledger.count_stored(batch.blocks)
            return
        left, error = result.remaining, None
        async with self._lock:
            is_on_disk = any(block.row.id for block in batch.blocks)
            if is_on_disk or result.set_aside or result.blocked:
                try:
                    await self._write_down(batch, result)
                    self.ledger.count_rejected(result.set_aside, result.recalled)
                    left = []
                except OutboxError as err:
                    if is_on_disk:
                        raise
                    # What is stored waits no longer; what is refused, until it can be written down
                    left = [*to_blocks(its.sample for its in result.set_aside), *left]
                    error = err
            self.memory.remove(batch.blocks)
            self.memory.put_back(left)
            self.memory.hold(result.blocked)
            self.ledger.count_stored(result.stored)
        if error is not None:
            raise error
        self._schedule_commit()

    async def _write_down(self, batch: Batch, result: Settlement) -> None:
        if not self._file.awake.is_set():
            # Uploads do not wait for whoever copies the file
            raise OutboxError("the file is being copied")
        await self.store.run(live.settle, batch, result)

    async def newest_waiting(self, target: WriteTarget) -> Batch | None:
        """Return the newest live sample of a target; None where none waits."""
        if blocks := self.memory.of(target):
            return live.newest_sample(blocks[-1])
        if not self.store.can_read(target):
            return None
        return await self.store.run(live.newest_of, target)

    async def correct[*Ts, R](
        self, function: Callable[[Rows, *Ts], R], *args: *Ts
    ) -> R:
        """Put everything on disk and change what waits there, see `corrections`; raises `OutboxError`."""
        await self.commit(everything=True)
        return await self.store.run(function, *args)

    async def refresh_figures(self) -> dict[str, Figures]:
        """Return the figures of every export that ever had a sample, by its id."""
        figures = Ledger()
        # Or what is on its way from memory to disk would count twice
        async with self._lock:
            if self.store.is_open:
                figures.add(await self.store.read(load_figures))
            figures.add(self.ledger)
            for block in self.memory.all():
                waiting = Figures(len(block), oldest=from_us(min(block.times)))
                figures.add({block.export_id: waiting})
        return figures


async def async_delete_outbox(hass: HomeAssistant, path: Path) -> None:
    """Delete an outbox that is closed, all that was set aside of it, and what was left in memory."""
    hass.data.get(_FILES, {}).pop(path, None)
    await hass.async_add_executor_job(delete_outbox, path)
