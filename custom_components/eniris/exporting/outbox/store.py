"""The store: the outbox' file, on a thread of its own. A commit that has returned survives a power cut."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, closing, suppress
from datetime import UTC, datetime
import errno
from itertools import product
import logging
from pathlib import Path
from secrets import token_hex
import sqlite3
from typing import Any, Final

from ...api import WriteTarget
from .batches import FieldKey
from .rows import BlockedField, Rows
from .schema import QUEUE_BITS, SCHEMA_VERSION, SIDE_FILES, UselessFileError, connect

_LOGGER = logging.getLogger(__name__)

_DAMAGED: Final = "damaged"


class OutboxError(Exception):
    """The file could not be read or written, because the disk is full for instance."""


class Store:
    """The file of one account's outbox. Its methods raise `OutboxError`."""

    def __init__(self, path: Path, awake: asyncio.Event) -> None:
        """Keep samples in the file at `path`. `awake` is cleared while the file is at rest, since somebody copies it."""
        self._path = path
        self.awake = awake
        self._executor: ThreadPoolExecutor | None = None
        self._rows: Rows | None = None
        self.blocked: Mapping[FieldKey, BlockedField] = {}
        """The fields that the service refuses in every sample."""
        self.on_disk: frozenset[WriteTarget] = frozenset()
        """The targets that live samples wait for in the file."""
        self.carried_over: int | None = None
        """How many samples were read of a damaged file since the start; None where none was damaged."""

    @property
    def is_open(self) -> bool:
        """Whether the file can be used."""
        return self._rows is not None

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
        """Call a function with the rows, in the outbox' thread, as one transaction; while the file is at rest this waits."""
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
        return await asyncio.to_thread(_damaged_files, self._path)

    async def delete_damaged(self, names: Iterable[str]) -> None:
        """Delete files that were set aside, by the names that `damaged_files` returns."""
        await self._in_thread(_delete_damaged, self._path, set(names))

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
        try:
            return self._attempt(function, *args)
        except sqlite3.DatabaseError as err:
            if not _is_damage(err):
                raise
            self._begin_anew(err)
        return self._attempt(function, *args)

    def _attempt[*Ts, R](self, function: Callable[[Rows, *Ts], R], *args: *Ts) -> R:
        # It can have been set aside when no new one could be made
        rows = self._rows or self._open()
        waiting = rows.waiting.copy()
        try:
            with rows.db:
                return function(rows, *args)
        except BaseException:
            # What was counted in memory is rolled back with the rows
            rows.waiting = waiting
            rows.load()
            raise
        finally:
            self._note(rows)

    def _note(self, rows: Rows) -> None:
        self.blocked, self.on_disk = rows.blocked.copy(), rows.on_disk

    def _open(self) -> Rows:
        if self._rows is not None:
            return self._rows
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            return self._use(connect(self._path))
        except (sqlite3.Error, ValueError, OSError) as err:
            if not _is_damage(err) or not self._path.exists(follow_symlinks=False):
                raise
            return self._begin_anew(err)

    def _use(self, db: sqlite3.Connection) -> Rows:
        try:
            rows = Rows(db)
            rows.look_around()
            self._note(rows)
        except (sqlite3.Error, ValueError):
            db.close()
            raise
        self._rows = rows
        return rows

    def _begin_anew(self, err: Exception) -> Rows:
        """Set the file aside and begin a new one with what can be read of the old."""
        self._close()
        aside = _set_aside(self._path, err)
        db = connect(self._path)
        _carry_over(aside, db)
        rows = self._use(db)
        carried = rows.waiting.total()
        self.carried_over = (self.carried_over or 0) + carried
        _LOGGER.warning(
            "%s waiting values were carried over into the new outbox", carried
        )
        return rows

    def _close(self) -> None:
        if self._rows is not None:
            self._rows.db.close()
            self._rows, self.blocked, self.on_disk = None, {}, frozenset()


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


def _is_damage(err: Exception) -> bool:
    """Tell a file that is of no use from trouble that may pass, a full disk for instance."""
    return (
        isinstance(err, UselessFileError | PermissionError | ValueError)
        # SQLite has no codes for these
        or str(err).startswith(("Could not decode to UTF-8", "unsupported file format"))
        # A link that leads to itself
        or getattr(err, "errno", 0) == errno.ELOOP
        # The low byte is the kind of an error, the others say more about it
        or getattr(err, "sqlite_errorcode", 0) & 0xFF
        in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_READONLY)
    )


def _set_aside(path: Path, err: Exception) -> Path:
    """Give a file and its side files another name, and return that."""
    now = f"{datetime.now(UTC):%Y%m%d-%H%M%S}"
    aside = f"{path.name}.{_DAMAGED}-{now}-{token_hex(4)}"
    for suffix in SIDE_FILES:
        file = path.with_name(f"{path.name}{suffix}")
        if file.exists(follow_symlinks=False):
            file.replace(path.with_name(f"{aside}{suffix}"))
    _LOGGER.error(
        "The outbox %s cannot be read (%s); it is kept as %s, and a new one begins",
        path.name,
        err,
        aside,
    )
    return path.with_name(aside)


def _damaged_files(path: Path) -> list[str]:
    """Return the names of the files that were set aside and still exist."""
    return sorted(
        file.name
        for file in path.parent.glob(f"{path.name}.{_DAMAGED}-*")
        if not file.name.endswith(SIDE_FILES[1:])
    )


def _delete_damaged(path: Path, names: set[str]) -> None:
    """Delete files that were set aside, by the names that `damaged_files` returns."""
    for name in names.intersection(_damaged_files(path)):
        # The file itself last: what is left over of a failure is still listed
        for suffix in reversed(SIDE_FILES):
            path.with_name(f"{name}{suffix}").unlink(missing_ok=True)


def _carry_over(aside: Path, db: sqlite3.Connection) -> None:
    """Copy what can be read of a damaged file, and fits, into a new one."""
    if not aside.is_file():
        # A pipe would be waited for
        return
    uri = f"{aside.absolute().as_uri()}?mode=ro"
    with suppress(sqlite3.Error), closing(sqlite3.connect(uri, uri=True)) as damaged:
        damaged.text_factory = lambda text: text.decode(errors="replace")
        (version,) = damaged.execute("PRAGMA user_version").fetchone()
        if version == SCHEMA_VERSION:
            _copy_tables(damaged, db)
    with db:
        queue = f"id >> {QUEUE_BITS}"
        db.execute(f"DELETE FROM block WHERE {queue} NOT IN (SELECT id FROM queue)")  # noqa: S608
        rows = Rows(db)
        found = db.execute("SELECT id, series_id, export_id, data FROM block")
        rows.delete([row[0] for row in found if not _is_sound(rows, row)])


def _is_sound(rows: Rows, row: tuple[Any, ...]) -> bool:
    try:
        return len(rows.decode(row)) > 0
    except UselessFileError:
        return False


def _copy_tables(damaged: sqlite3.Connection, db: sqlite3.Connection) -> None:
    # What refers to something that could not be read does not fit
    db.execute("PRAGMA foreign_keys = ON")
    for table, everything, needed in db.execute(
        "SELECT its.name, group_concat(columns.name),"
        " group_concat(columns.name) FILTER (WHERE dflt_value ISNULL)"
        " FROM sqlite_schema AS its, pragma_table_info(its.name) AS columns"
        " WHERE its.name NOT LIKE 'sqlite%' GROUP BY its.rowid ORDER BY its.rowid"
    ).fetchall():
        # From both ends, so that a page that cannot be read hides none of the others
        ways = product(dict.fromkeys((everything, needed)), ("ASC", "DESC"))
        for columns, order in ways:
            select = f"SELECT {columns} FROM {table} ORDER BY rowid {order}"  # noqa: S608
            marks = ", ".join("?" * len(columns.split(",")))
            insert = f"INSERT OR IGNORE INTO {table} ({columns}) VALUES ({marks})"  # noqa: S608
            with db, suppress(sqlite3.Error):
                for row in damaged.execute(select):
                    with suppress(sqlite3.IntegrityError):
                        db.execute(insert, row)
    db.execute("PRAGMA foreign_keys = OFF")
