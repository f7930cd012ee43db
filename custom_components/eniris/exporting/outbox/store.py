"""The store: the outbox' file, on a thread of its own.

SQLite in write-ahead mode, `synchronous=FULL`: a commit that has returned survives a power cut.
"""

import asyncio
from collections.abc import (
    AsyncIterator,
    Callable,
    Iterable,
    Mapping,
    Set as AbstractSet,
)
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
import logging
from pathlib import Path
import sqlite3

from ...api import WriteTarget
from .batches import FieldKey
from .rescue import carry_over, damaged_files, delete_damaged, is_damage, set_aside
from .rows import BlockedField, Rows
from .schema import connect

_LOGGER = logging.getLogger(__name__)


class OutboxError(Exception):
    """The file could not be read or written, because the disk is full for instance."""


class Store:
    """The file of one account's outbox. Its methods raise `OutboxError`."""

    def __init__(self, path: Path, awake: asyncio.Event) -> None:
        """Keep samples in the file at `path`, which `open` creates where it is missing.

        `awake` is cleared while the file is at rest, since somebody copies it.
        """
        self._path = path
        self.awake = awake
        self._executor: ThreadPoolExecutor | None = None
        self._rows: Rows | None = None
        self.carried_over: int | None = None
        """How many samples were read of a damaged file since the start; None where none was damaged."""

    @property
    def is_open(self) -> bool:
        """Whether the file can be used."""
        return self._rows is not None

    @property
    def blocked(self) -> Mapping[FieldKey, BlockedField]:
        """The fields that the service refuses in every sample."""
        return {} if (rows := self._rows) is None else rows.blocked

    @property
    def on_disk(self) -> AbstractSet[WriteTarget]:
        """The targets that live samples wait for in the file."""
        return frozenset() if (rows := self._rows) is None else rows.on_disk

    def can_read(self, target: WriteTarget) -> bool:
        """Tell whether live samples of a target wait in the file, and can be read at present."""
        return self.awake.is_set() and target in self.on_disk

    async def open(self) -> None:
        """Open the file; one that cannot be used is set aside, and what can be read of it is carried over."""
        if self._executor is None:
            self._executor = ThreadPoolExecutor(1, thread_name_prefix="eniris-outbox")
        await self._in_thread(self._open)

    async def close(self) -> None:
        """Close the file and end the thread."""
        executor, self._executor = self._executor, None
        if executor is None:
            return
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(executor, self._close)
        # Not on the event loop, however short the wait for a thread that is idle by now
        await loop.run_in_executor(None, executor.shutdown)

    async def run[*Ts, R](self, function: Callable[[Rows, *Ts], R], *args: *Ts) -> R:
        """Call a function with the rows, in the outbox' thread, as one transaction.

        While the file is at rest this waits.
        """
        await self.awake.wait()
        return await self.read(function, *args)

    async def read[*Ts, R](self, function: Callable[[Rows, *Ts], R], *args: *Ts) -> R:
        """Call a function that writes nothing, see `run`, also while the file is at rest."""
        return await self._in_thread(self._transaction, function, *args)

    @asynccontextmanager
    async def at_rest(self) -> AsyncIterator[None]:
        """Write nothing meanwhile, with everything in one file."""
        self.awake.clear()
        try:
            # What was begun before has ended when this does
            await self._in_thread(self._transaction, _checkpoint)
            yield
        finally:
            self.awake.set()

    async def damaged_files(self) -> list[str]:
        """Return the names of the files that were set aside and still exist."""
        return await asyncio.to_thread(damaged_files, self._path)

    async def delete_damaged(self, names: Iterable[str]) -> None:
        """Delete files that were set aside, by the names that `damaged_files` returns."""
        await self._in_thread(delete_damaged, self._path, set(names))

    async def _in_thread[*Ts, R](self, function: Callable[[*Ts], R], *args: *Ts) -> R:
        if self._executor is None:
            raise OutboxError("the outbox is closed")
        try:
            return await asyncio.get_running_loop().run_in_executor(
                self._executor, function, *args
            )
        except (sqlite3.Error, OSError, ValueError, OverflowError) as err:
            raise OutboxError(str(err)) from err

    def _transaction[*Ts, R](self, function: Callable[[Rows, *Ts], R], *args: *Ts) -> R:
        # It can have been set aside when no new one could be made
        rows = self._rows or self._open()
        try:
            return _attempt(rows, function, *args)
        except (sqlite3.DatabaseError, UnicodeDecodeError) as err:
            if not is_damage(err):
                raise
            rows = self._begin_anew(err)
        return _attempt(rows, function, *args)

    def _open(self) -> Rows:
        if self._rows is not None:
            return self._rows
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            connection = connect(self._path)
            try:
                rows = Rows(connection)
                rows.look_around()
            except (sqlite3.Error, ValueError):
                connection.close()
                raise
        except (sqlite3.Error, ValueError, OSError) as err:
            if not is_damage(err) or not self._path.exists(follow_symlinks=False):
                raise
            return self._begin_anew(err)
        self._rows = rows
        return rows

    def _begin_anew(self, err: Exception) -> Rows:
        """Set the file aside and begin a new one with what can be read of the old."""
        self._close()
        aside = set_aside(self._path, err)
        rows = self._rows = Rows(connect(self._path))
        with rows.db:
            carried = carry_over(aside, rows)
        self.carried_over = (self.carried_over or 0) + carried
        _LOGGER.warning(
            "%s waiting values were carried over into the new outbox", carried
        )
        return rows

    def _close(self) -> None:
        if self._rows is not None:
            self._rows.db.close()
            self._rows = None


def _attempt[*Ts, R](rows: Rows, function: Callable[[Rows, *Ts], R], *args: *Ts) -> R:
    before = rows.waiting.copy(), rows.dropped.copy(), rows.on_disk
    try:
        with rows.db:
            return function(rows, *args)
    except BaseException:
        # What was counted in memory is rolled back with the rows
        rows.waiting, rows.dropped, rows.on_disk = before
        rows.load()
        raise


def _checkpoint(rows: Rows) -> None:
    rows.db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()


def outbox_path(storage: Path, entry_id: str) -> Path:
    """Return the file of one account's outbox in Home Assistant's storage directory."""
    return storage / f"eniris.{entry_id}.outbox.db"


def delete_outbox(path: Path) -> None:
    """Delete an outbox that is closed, and all that was set aside of it. Blocks."""
    for file in path.parent.glob(f"{path.name}*"):
        if not file.is_dir():
            file.unlink(missing_ok=True)
