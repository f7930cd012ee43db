"""The outbox: samples on disk, from the moment they are taken to the moment they are stored.

SQLite in write-ahead mode on a thread of its own. A sample is one value of one field, so that
one that the service refuses takes no other with it.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
import errno
import functools
import json
import logging
import os
from pathlib import Path
import sqlite3
import time
from typing import Any, Final, NamedTuple

import orjson

from ..api import FieldValue, Point, WriteTarget
from .config import Series
from .damage import LAST_ID, NonsenseError, are_tags, take_out_nonsense

_LOGGER = logging.getLogger(__name__)

SCHEMA_VERSION: Final = 2

_SCHEMA_1: Final = """
CREATE TABLE target (
    id INTEGER PRIMARY KEY,
    collector TEXT NOT NULL,
    database TEXT NOT NULL,
    retention_policy TEXT NOT NULL,
    UNIQUE (collector, database, retention_policy)
);
CREATE TABLE series (
    id INTEGER PRIMARY KEY,
    target_id INTEGER NOT NULL REFERENCES target (id),
    measurement TEXT NOT NULL,
    tags TEXT NOT NULL,
    UNIQUE (target_id, measurement, tags)
);
CREATE TABLE export (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    uploaded INTEGER NOT NULL DEFAULT 0,
    rejected INTEGER NOT NULL DEFAULT 0,
    dropped INTEGER NOT NULL DEFAULT 0,
    last_upload REAL
);
CREATE TABLE sample (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    target_id INTEGER NOT NULL REFERENCES target (id),
    series_id INTEGER NOT NULL REFERENCES series (id),
    export_id INTEGER NOT NULL REFERENCES export (id),
    time_us INTEGER NOT NULL,
    field TEXT NOT NULL,
    value NOT NULL
);
CREATE INDEX sample_by_target ON sample (target_id, id);
CREATE TABLE reject (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    series_id INTEGER NOT NULL REFERENCES series (id),
    export_id INTEGER NOT NULL REFERENCES export (id),
    time_us INTEGER NOT NULL,
    field TEXT NOT NULL,
    value NOT NULL,
    reason TEXT NOT NULL
);
"""

_SCHEMA_2: Final = """
CREATE TABLE history_job (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    export TEXT NOT NULL,
    start_us INTEGER NOT NULL,
    end_us INTEGER NOT NULL,
    cursor_us INTEGER NOT NULL,
    chunk_end_us INTEGER NOT NULL,
    stored INTEGER NOT NULL DEFAULT 0,
    outside INTEGER NOT NULL DEFAULT 0,
    refused INTEGER NOT NULL DEFAULT 0,
    unusable INTEGER NOT NULL DEFAULT 0,
    outside_until_us INTEGER,
    reason TEXT,
    finished REAL
);
CREATE TABLE history_offer (export TEXT PRIMARY KEY);
CREATE TABLE history_field (
    job_id INTEGER NOT NULL REFERENCES history_job (id),
    measurement TEXT NOT NULL,
    field TEXT NOT NULL,
    type TEXT NOT NULL,
    accepted INTEGER NOT NULL,
    PRIMARY KEY (job_id, measurement, field, type)
);
CREATE TABLE history_sample (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    job_id INTEGER NOT NULL REFERENCES history_job (id),
    target_id INTEGER NOT NULL REFERENCES target (id),
    series_id INTEGER NOT NULL REFERENCES series (id),
    time_us INTEGER NOT NULL,
    field TEXT NOT NULL,
    value NOT NULL
);
"""
"""What `lane` works with: samples of the past, which wait in a table of their own."""

_STEPS: Final = (_SCHEMA_1, _SCHEMA_2)
"""What brings a file from one version to the next, beginning with none."""

BATCH_POINTS: Final = 5000
BATCH_BYTES: Final = 1024 * 1024
REJECTS_KEPT: Final = 1000

_DROP_AT_ONCE: Final = 1000
_VACUUM_PAGES: Final = 256
_SIDE_FILES: Final = ("", "-wal", "-shm")
_DAMAGED: Final = "damaged"
_JSON_OF_POINT: Final = len(
    '{"measurement":,"time":"2026-07-01T12:00:00.000000Z","tags":{},"fields":{}},'
)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


class Sample(NamedTuple):
    """One value of one field of a series at an aware time, taken for an export."""

    export_id: str
    series: Series
    time: datetime
    field: str
    value: FieldValue


@dataclass(frozen=True, slots=True)
class StoredSample:
    """A sample as it waits, with the id by which it is deleted."""

    id: int
    export_id: str
    measurement: str
    tags: tuple[tuple[str, str], ...]
    time: datetime
    field: str
    value: FieldValue


@dataclass(frozen=True, slots=True)
class Reject:
    """A sample that the service refused for good, and why."""

    target: WriteTarget
    sample: StoredSample
    reason: str


@dataclass(frozen=True, slots=True)
class Figures:
    """What became of an export's samples since the outbox was made, and what waits."""

    waiting: int = 0
    uploaded: int = 0
    rejected: int = 0
    dropped: int = 0
    oldest: datetime | None = None
    """The time of the sample that has waited longest."""
    last_upload: datetime | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """What the outbox may grow to: bytes on disk, and the age of a sample (zero: any)."""

    size: int
    age: timedelta = timedelta()


class OutboxError(Exception):
    """The file could not be read or written, because the disk is full for instance."""


def outbox_path(storage: Path, entry_id: str) -> Path:
    """Return the file of one account's outbox in Home Assistant's storage directory."""
    return storage / f"eniris.{entry_id}.outbox.db"


def delete_outbox(path: Path) -> None:
    """Delete an outbox that is closed, and all that was set aside of it. Blocks."""
    for file in path.parent.glob(f"{path.name}*"):
        if not file.is_dir():
            file.unlink(missing_ok=True)


class Outbox:
    """Samples that wait for their upload. Its methods raise `OutboxError`."""

    def __init__(self, path: Path) -> None:
        """Keep the samples in the file at `path`, which `open` creates where it is missing."""
        self._path = path
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="eniris-outbox")
        self._connection: sqlite3.Connection | None = None
        self._ended = False
        self._lost = False
        self._sound = False
        """Whether all rows were looked at without finding a damaged one."""
        # Known to the outbox' thread alone; counting rows would take longer the more wait
        self._waiting: defaultdict[str, int] = defaultdict(int)

    async def open(self) -> None:
        """Open the file; one that cannot be used is set aside and a fresh one begun.

        Where there can be none at present the outbox is of no use any more.
        """
        try:
            await self._run(self._open)
        except OutboxError:
            await self.close()
            raise

    async def close(self) -> None:
        """Close the file and end the thread."""
        if self._ended:
            return
        try:
            await self._run(self._close)
        finally:
            self._ended = True
            await asyncio.get_running_loop().run_in_executor(
                None, functools.partial(self._executor.shutdown, wait=True)
            )

    async def add(self, samples: Sequence[Sample]) -> None:
        """Put samples on disk, all or none."""
        if samples:
            await self._run(self._add, samples)

    async def targets(self) -> list[WriteTarget]:
        """Return the targets that samples wait for."""
        return await self._run(self._targets)

    async def newest_id(self, target: WriteTarget) -> int:
        """Return the id of the sample that was added last, 0 where none waits."""
        return await self._run(self._newest_id, target)

    async def batch(
        self,
        target: WriteTarget,
        *,
        after_id: int = 0,
        until_id: int | None = None,
        limit: int | None = None,
        size: int = BATCH_BYTES,
    ) -> list[StoredSample]:
        """Return what makes one request: the oldest samples within the limits of a batch.

        Only samples with ids above `after_id` and up to `until_id`, `limit` of them and `size`
        bytes of JSON at most.
        """
        return await self._run(self._batch, target, after_id, until_id, limit, size)

    async def delete_uploaded(self, samples: Sequence[StoredSample]) -> None:
        """Forget samples that the service has stored."""
        await self._run(self._delete_uploaded, samples, time.time())

    async def reject(self, sample: StoredSample, reason: str) -> None:
        """Set a sample aside that the service refuses for good, with its reason."""
        await self._run(self._reject, sample, reason)

    async def rejects(self) -> list[Reject]:
        """Return what is set aside, the newest first."""
        return await self._run(self._rejects)

    async def discard_rejects(self) -> int:
        """Forget what is set aside, and return how many that were."""
        return await self._run(self._discard_rejects)

    async def figures(self) -> dict[str, Figures]:
        """Return the figures of every export that ever had a sample, by its id."""
        return await self._run(self._figures)

    async def enforce(self, limits: Limits, now: datetime) -> tuple[int, bool]:
        """Drop the oldest samples beyond `limits`.

        Return how many were dropped, and whether the outbox is well below its size again.
        """
        return await self._run(self._enforce, limits, now)

    async def damaged_files(self) -> list[str]:
        """Return the names of the files that were set aside and still exist."""
        return await self._run(self._damaged_files)

    async def delete_damaged(self, names: Iterable[str]) -> None:
        """Delete files that were set aside, by the names that `damaged_files` returns."""
        await self._run(self._delete_damaged, names)

    async def note_dropped(self, counts: Mapping[str, int]) -> None:
        """Count samples, by export, that were dropped before they could be put on disk."""
        await self._run(self._note_dropped, counts)

    async def run[R](
        self, function: Callable[[sqlite3.Connection], R], *, recount: bool = False
    ) -> R:
        """Call `function` with the connection, in the outbox' thread.

        One that changes how many samples of the present wait asks for a `recount`.
        """

        def run() -> R:
            result = function(self._db)
            if recount:
                self._count_waiting(self._db)
            return result

        return await self._run(run)

    async def size(self) -> int:
        """Return the bytes in use."""
        return await self._run(self._size)

    async def _run[**P, R](
        self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        if self._ended:
            raise OutboxError("the outbox is closed")
        try:
            return await asyncio.get_running_loop().run_in_executor(
                self._executor,
                functools.partial(self._guarded, function, *args, **kwargs),
            )
        # A text with half a surrogate pair, an integer of more than 64 bits, or a row that is nonsense
        except (sqlite3.Error, OSError, ValueError, OverflowError) as err:
            raise OutboxError(str(err)) from err

    def _guarded[**P, R](
        self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """Call a function, again on a fresh file where the present one turns out to be damaged."""
        if not self._lost:
            try:
                return self._sane(function, *args, **kwargs)
            except sqlite3.DatabaseError as err:
                if self._connection is None or not _is_damage(err):
                    raise
                self._lost = True
                self._close()
                self._set_aside(err)
        self._open()
        self._lost = False
        return function(*args, **kwargs)

    def _sane[**P, R](
        self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """Call a function, again without the damaged rows where it meets one."""
        try:
            return function(*args, **kwargs)
        except (NonsenseError, sqlite3.OperationalError) as err:
            if (
                self._connection is None
                or self._sound
                or not (isinstance(err, NonsenseError) or _is_undecodable(err))
            ):
                raise
        if self._take_out_nonsense(self._connection):
            self._count_waiting(self._connection)
        else:
            self._sound = True
        return function(*args, **kwargs)

    def _take_out_nonsense(self, connection: sqlite3.Connection) -> bool:
        taken = take_out_nonsense(connection)
        if taken:
            # What was left of the past is read again
            put_history_back(connection)
        return bool(taken)

    @property
    def _db(self) -> sqlite3.Connection:
        if self._connection is None:
            raise sqlite3.ProgrammingError("the outbox is closed")
        return self._connection

    def _open(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._connect()
        except (
            sqlite3.DatabaseError,
            UnicodeDecodeError,
            IsADirectoryError,
            PermissionError,
        ) as err:
            if isinstance(err, sqlite3.Error) and not _is_damage(err):
                raise
            if not self._path.exists(follow_symlinks=False):
                raise
            self._set_aside(err)
            self._connect()

    def _connect(self) -> None:
        connection = _connect(self._path)
        try:
            # Reads everything, and so finds most of what can be damaged
            self._check_ids(connection)
            try:
                self._count_waiting(connection)
            except NonsenseError:
                self._take_out_nonsense(connection)
                self._count_waiting(connection)
        except (sqlite3.Error, UnicodeDecodeError):
            connection.close()
            raise
        except NonsenseError as err:
            connection.close()
            raise _UselessFileError(str(err)) from err
        self._connection = connection
        self._sound = False

    @staticmethod
    def _check_ids(connection: sqlite3.Connection) -> None:
        """Raise where no id would be left for another sample."""
        for table in ("sample", "history_sample"):
            (last,) = connection.execute(f"SELECT max(id) FROM {table}").fetchone()  # noqa: S608
            rows = connection.execute(
                "SELECT seq FROM sqlite_sequence WHERE name = ?", (table,)
            ).fetchall()
            for (id_,) in ((last or 0,), *rows):
                if not isinstance(id_, int) or id_ > LAST_ID:
                    raise _UselessFileError("no ids are left")

    def _count_waiting(self, connection: sqlite3.Connection) -> None:
        waiting = connection.execute(
            "SELECT export.name, count(*) FROM sample"
            " LEFT JOIN export ON export.id = export_id GROUP BY export_id"
        ).fetchall()
        (stray,) = connection.execute(
            "SELECT EXISTS (SELECT 1 FROM sample WHERE target_id <"
            " (SELECT coalesce(min(id), 0) FROM target))"
            " OR EXISTS (SELECT 1 FROM sample WHERE target_id >"
            " (SELECT coalesce(max(id), 0) FROM target))"
        ).fetchone()
        if stray or not all(isinstance(name, str) for name, _ in waiting):
            raise NonsenseError("samples belong to nothing")
        self._waiting.clear()
        self._waiting.update(waiting)

    def _set_aside(self, err: Exception) -> None:
        aside = f"{self._path.name}.{_DAMAGED}-{datetime.now(UTC):%Y%m%d-%H%M%S}"
        number = 1
        while any(self._path.parent.glob(f"{aside}*")):
            number += 1
            aside = f"{aside.partition('~')[0]}~{number}"
        for suffix in _SIDE_FILES:
            file = self._path.with_name(f"{self._path.name}{suffix}")
            if file.exists(follow_symlinks=False):
                file.replace(self._path.with_name(f"{aside}{suffix}"))
        _LOGGER.error(
            "The outbox %s cannot be read (%s); it was kept as %s and a new one begun",
            self._path.name,
            err,
            aside,
        )

    def _damaged_files(self) -> list[str]:
        return sorted(
            file.name
            for file in self._path.parent.glob(f"{self._path.name}.{_DAMAGED}-*")
            if not file.name.endswith(_SIDE_FILES[1:])
        )

    def _delete_damaged(self, names: Iterable[str]) -> None:
        for name in set(names) & set(self._damaged_files()):
            # The file itself last: what is left over of a failure is still listed
            for suffix in reversed(_SIDE_FILES):
                self._path.with_name(f"{name}{suffix}").unlink(missing_ok=True)

    def _note_dropped(self, counts: Mapping[str, int]) -> None:
        with self._db as db:
            for export_id, count in counts.items():
                db.execute(
                    "UPDATE export SET dropped = dropped + ? WHERE id = ?",
                    (count, export_key(db, export_id)),
                )

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _add(self, samples: Iterable[Sample]) -> None:
        counts: defaultdict[str, int] = defaultdict(int)
        with self._db as db:
            series_ids: dict[Series, tuple[int, int]] = {}
            export_ids: dict[str, int] = {}
            rows = []
            for sample in samples:
                if sample.series not in series_ids:
                    series_ids[sample.series] = series_keys(db, sample.series)
                if sample.export_id not in export_ids:
                    export_ids[sample.export_id] = export_key(db, sample.export_id)
                counts[sample.export_id] += 1
                rows.append(
                    (
                        *series_ids[sample.series],
                        export_ids[sample.export_id],
                        to_us(sample.time),
                        sample.field,
                        sample.value,
                    )
                )
            db.executemany(
                "INSERT INTO sample"
                " (target_id, series_id, export_id, time_us, field, value)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                rows,
            )
        for export_id, count in counts.items():
            self._waiting[export_id] += count

    def _targets(self) -> list[WriteTarget]:
        rows = self._db.execute(
            "SELECT collector, database, retention_policy FROM target"
            " WHERE EXISTS (SELECT 1 FROM sample WHERE target_id = target.id)"
            " OR EXISTS (SELECT 1 FROM history_sample WHERE target_id = target.id)"
        )
        return [as_target(row) for row in rows]

    def _newest_id(self, target: WriteTarget) -> int:
        (newest,) = self._db.execute(
            "SELECT max(id) FROM sample WHERE target_id = ?",
            (target_key(self._db, target),),
        ).fetchone()
        return newest or 0

    def _batch(
        self,
        target: WriteTarget,
        after_id: int,
        until_id: int | None,
        limit: int | None,
        max_size: int,
    ) -> list[StoredSample]:
        with closing(
            self._db.execute(
                "SELECT sample.id, export.name, series_id, measurement, tags, time_us,"
                " field, value FROM sample"
                " LEFT JOIN series ON series.id = series_id"
                " LEFT JOIN export ON export.id = export_id"
                " WHERE sample.target_id = ? AND sample.id > ? AND sample.id <= ?"
                " ORDER BY sample.id LIMIT ?",
                (
                    target_key(self._db, target),
                    after_id,
                    2**62 if until_id is None else until_id,
                    -1 if limit is None else limit,
                ),
            )
        ) as rows:
            return cut_batch(rows, max_size)

    def _delete_uploaded(self, samples: Sequence[StoredSample], now: float) -> None:
        ids: defaultdict[str, list[tuple[int]]] = defaultdict(list)
        for sample in samples:
            ids[sample.export_id].append((sample.id,))
        with self._db as db:
            # What a limit has dropped in the meantime is counted already
            counts = {
                export_id: db.executemany(
                    "DELETE FROM sample WHERE id = ?", its_ids
                ).rowcount
                for export_id, its_ids in ids.items()
            }
            db.executemany(
                "UPDATE export SET uploaded = uploaded + ?, last_upload = ?"
                " WHERE name = ?",
                [(count, now, export_id) for export_id, count in counts.items()],
            )
        for export_id, count in counts.items():
            self._waiting[export_id] -= count
        self._give_space_back()

    def _give_space_back(self) -> None:
        """Shrink the file a little after a backlog, so that no single step takes long."""
        (free,) = self._db.execute("PRAGMA freelist_count").fetchone()
        if free > _VACUUM_PAGES:
            self._db.execute(f"PRAGMA incremental_vacuum({_VACUUM_PAGES})").fetchall()

    def _reject(self, sample: StoredSample, reason: str) -> None:
        with self._db as db:
            inserted = db.execute(
                "INSERT INTO reject (series_id, export_id, time_us, field, value, reason)"
                " SELECT series_id, export_id, time_us, field, value, ?"
                " FROM sample WHERE id = ?",
                (reason, sample.id),
            ).rowcount
            if not inserted:
                # A limit has dropped it in the meantime
                return
            db.execute("DELETE FROM sample WHERE id = ?", (sample.id,))
            note_reject(db, sample.export_id)
        self._waiting[sample.export_id] -= 1

    def _rejects(self) -> list[Reject]:
        rows = self._db.execute(
            "SELECT collector, database, retention_policy, reject.id, export.name,"
            " measurement, tags, time_us, field, value, reason FROM reject"
            " JOIN export ON export.id = export_id JOIN series ON series.id = series_id"
            " JOIN target ON target.id = target_id ORDER BY reject.id DESC"
        )
        return [
            Reject(
                as_target(row[:3]),
                _stored_sample(
                    row[3], row[4], row[5], parse_tags(row[6]), row[7], row[8], row[9]
                ),
                row[10],
            )
            for row in rows
        ]

    def _discard_rejects(self) -> int:
        with self._db as db:
            return db.execute("DELETE FROM reject").rowcount

    def _figures(self) -> dict[str, Figures]:
        figures = {}
        for name, uploaded, rejected, dropped, last_upload in self._db.execute(
            "SELECT name, uploaded, rejected, dropped, last_upload FROM export"
        ).fetchall():
            if not all(isinstance(n, int) for n in (uploaded, rejected, dropped)):
                raise NonsenseError("a figure is no number")
            figures[name] = Figures(
                waiting=self._waiting[name],
                uploaded=uploaded,
                rejected=rejected,
                dropped=dropped,
                last_upload=(
                    None if last_upload is None else from_seconds(last_upload)
                ),
            )
            if self._waiting[name]:
                row = self._db.execute(
                    "SELECT time_us FROM sample WHERE export_id ="
                    " (SELECT id FROM export WHERE name = ?) ORDER BY id LIMIT 1",
                    (name,),
                ).fetchone()
                if row is not None:
                    figures[name] = replace(figures[name], oldest=from_us(row[0]))
        return figures

    def _size(self) -> int:
        """Return the bytes in use; freed pages are used again before the file grows."""
        (page_size,) = self._db.execute("PRAGMA page_size").fetchone()
        (pages,) = self._db.execute("PRAGMA page_count").fetchone()
        (free,) = self._db.execute("PRAGMA freelist_count").fetchone()
        return int(page_size * (pages - free))

    def _enforce(self, limits: Limits, now: datetime) -> tuple[int, bool]:
        dropped = 0
        if limits.age:
            dropped += self._drop_older(to_us(now - limits.age))
        if self._size() > limits.size:
            put_history_back(self._db)
        while self._size() > limits.size:
            count = self._drop_oldest()
            if not count:
                break
            dropped += count
        return dropped, self._size() < limits.size * 0.8

    def _drop_oldest(self) -> int:
        (last,) = self._db.execute(
            "SELECT max(id) FROM (SELECT id FROM sample ORDER BY id LIMIT ?)",
            (_DROP_AT_ONCE,),
        ).fetchone()
        return 0 if last is None else self._drop_until(last)

    def _drop_older(self, time_us: int) -> int:
        """Drop samples by age. The oldest were added first, so that no index is needed."""
        dropped = 0
        while True:
            last = None
            for id_, sample_us in self._db.execute(
                "SELECT id, time_us FROM sample ORDER BY id LIMIT ?", (_DROP_AT_ONCE,)
            ).fetchall():
                if not isinstance(sample_us, int):
                    raise NonsenseError("a time is no number")
                if sample_us >= time_us:
                    break
                last = id_
            if last is None:
                return dropped
            dropped += self._drop_until(last)

    def _drop_until(self, last_id: int) -> int:
        """Delete the samples up to an id, and count them."""
        with self._db as db:
            rows = db.execute(
                "SELECT export.name, count(*) FROM sample"
                " JOIN export ON export.id = export_id"
                " WHERE sample.id <= ? GROUP BY export_id",
                (last_id,),
            ).fetchall()
            db.execute("DELETE FROM sample WHERE id <= ?", (last_id,))
            db.executemany(
                "UPDATE export SET dropped = dropped + ? WHERE name = ?",
                [(count, name) for name, count in rows],
            )
        for name, count in rows:
            self._waiting[name] -= count
        return sum(count for _, count in rows)


_DAMAGE: Final = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


class _UselessFileError(sqlite3.DatabaseError):
    """The file is whole, but not one of ours."""


def _is_damage(err: sqlite3.Error) -> bool:
    """Tell a file that is of no use from trouble that may pass, a full disk for instance."""
    return (
        isinstance(err, _UselessFileError)
        or _is_undecodable(err)
        # The low byte is the kind of an error, the others say more about it
        or getattr(err, "sqlite_errorcode", 0) & 0xFF in _DAMAGE
    )


def _is_undecodable(err: sqlite3.Error) -> bool:
    """Tell a text that is not UTF-8, for which SQLite has no code."""
    return str(err).startswith("Could not decode to UTF-8")


def _connect(path: Path) -> sqlite3.Connection:
    """Open or create the file, private to its owner; raises `sqlite3.DatabaseError`."""
    if path.exists() and not path.is_file():
        raise _UselessFileError("not a file")
    try:
        # SQLite gives its side files the mode of the file itself
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as err:
        if err.errno == errno.ELOOP:
            raise _UselessFileError("a link that leads to itself") from err
        raise
    path.chmod(0o600)
    connection = sqlite3.connect(path, check_same_thread=False)
    try:
        version = _version(connection)
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("PRAGMA journal_mode = WAL")
        # In write-ahead mode a power cut then costs the last commits at most, never the file
        connection.execute("PRAGMA synchronous = NORMAL")
        if version < SCHEMA_VERSION:
            steps = "".join(_STEPS[version:])
            connection.executescript(
                f"BEGIN; {steps} PRAGMA user_version = {SCHEMA_VERSION};"
            )
            if not version:
                # No id comes twice, also not after a file was set aside: what is deleted goes by ids
                connection.executemany(
                    "INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)",
                    [
                        (table, time.time_ns() // 1000)
                        for table in ("sample", "history_sample")
                    ],
                )
            connection.commit()
    # The second of an error whose message quotes a damaged schema
    except (sqlite3.Error, UnicodeDecodeError):
        connection.close()
        raise
    return connection


def _version(connection: sqlite3.Connection) -> int:
    """Return the version of the file, 0 of an empty one; raises where it is no outbox."""
    version: int
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    columns = _columns(connection)
    if version == 0 and not columns:
        return 0
    with closing(sqlite3.connect(":memory:")) as sound:
        for number, step in enumerate(_STEPS, start=1):
            sound.executescript(step)
            # The number itself may be what is damaged
            if version == number - 1 and columns >= _columns(sound):
                version = number
            if version == number and not columns >= _columns(sound):
                raise _UselessFileError("tables are missing")
    if not 0 < version <= SCHEMA_VERSION:
        raise _UselessFileError(f"unknown version {version}")
    return version


def _columns(connection: sqlite3.Connection) -> set[tuple[str, str]]:
    """Return tables and columns by name."""
    return set(
        connection.execute(
            "SELECT tables.name, columns.name FROM sqlite_schema AS tables"
            " JOIN pragma_table_info(tables.name) AS columns"
        ).fetchall()
    )


def target_key(db: sqlite3.Connection, target: WriteTarget) -> int:
    """Return the id of a target, 0 of one that nothing was ever meant for."""
    row = db.execute(
        "SELECT id FROM target"
        " WHERE collector = ? AND database = ? AND retention_policy = ?",
        (target.collector, target.database, target.retention_policy),
    ).fetchone()
    return 0 if row is None else int(row[0])


def cut_batch(rows: Iterable[tuple[Any, ...]], max_size: int) -> list[StoredSample]:
    """Return the first of `rows` that one request takes, at least one where there is any.

    A row has id, export id, number of the series, measurement, tags, time, field and value.
    """
    samples: list[StoredSample] = []
    points: set[tuple[int, int]] = set()
    size = 0
    tags: dict[str, tuple[tuple[str, str], ...]] = {}
    for id_, export_id, series_id, measurement, tag_text, time_us, field, value in rows:
        if tag_text not in tags:
            tags[tag_text] = parse_tags(tag_text)
        sample = _stored_sample(
            id_, export_id, measurement, tags[tag_text], time_us, field, value
        )
        if (series_id, time_us) not in points:
            if len(points) == BATCH_POINTS:
                break
            points.add((series_id, time_us))
            size += _json_of_point(sample)
        size += _json_of_field(sample)
        if samples and size > max_size:
            break
        samples.append(sample)
    return samples


def _stored_sample(
    id: int,
    export_id: str,
    measurement: str,
    tags: tuple[tuple[str, str], ...],
    time_us: int,
    field: str,
    value: Any,
) -> StoredSample:
    """Return a sample as it stands in the file; raises `NonsenseError` where that cannot be."""
    if not (type(export_id) is type(measurement) is type(field) is str):
        raise NonsenseError("a name is no text")
    if type(value) not in _STORED_TYPES:
        raise NonsenseError("a value is none")
    return StoredSample(
        id, export_id, measurement, tags, from_us(time_us), field, _parse_value(value)
    )


_STORED_TYPES: Final = (float, int, str)


def as_target(row: Sequence[Any]) -> WriteTarget:
    """Return a stored target; raises `NonsenseError` where it is none."""
    if not all(isinstance(name, str) for name in row):
        raise NonsenseError("a name is no text")
    return WriteTarget(*row)


def note_reject(db: sqlite3.Connection, export_id: str) -> None:
    """Count a sample that was just set aside, and keep no more of them than are of use."""
    db.execute(
        "DELETE FROM reject WHERE id <= (SELECT max(id) FROM reject) - ?",
        (REJECTS_KEPT,),
    )
    db.execute("UPDATE export SET rejected = rejected + 1 WHERE name = ?", (export_id,))


def put_history_back(connection: sqlite3.Connection) -> None:
    """Make room by dropping what waits of the past: the recorder has it, and it is read again."""
    with connection as db:
        db.execute(
            "UPDATE history_job SET cursor_us = chunk_end_us"
            " WHERE id IN (SELECT job_id FROM history_sample)"
        )
        db.execute("DELETE FROM history_sample")


def to_us(time: datetime) -> int:
    """Return a time as it is stored: microseconds since 1970."""
    return (time - _EPOCH) // _MICROSECOND


def from_us(time_us: int) -> datetime:
    """Return a stored time; raises `NonsenseError` where it is none."""
    if type(time_us) is int:
        try:
            return _EPOCH + time_us * _MICROSECOND
        except OverflowError:
            pass
    raise NonsenseError("a time is none")


def from_seconds(seconds: float) -> datetime:
    """Return a time that is stored in seconds since 1970; raises `NonsenseError` where it is none."""
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (TypeError, ValueError, OverflowError, OSError) as err:
        raise NonsenseError("a time is none") from err


def series_keys(db: sqlite3.Connection, series: Series) -> tuple[int, int]:
    """Return the ids of a series' target and of itself, made where they are missing."""
    target = series.target
    key = (target.collector, target.database, target.retention_policy)
    db.execute(
        "INSERT OR IGNORE INTO target (collector, database, retention_policy)"
        " VALUES (?, ?, ?)",
        key,
    )
    target_id = _id_of(
        db.execute(
            "SELECT id FROM target"
            " WHERE collector = ? AND database = ? AND retention_policy = ?",
            key,
        )
    )
    tags = json.dumps(series.tags, ensure_ascii=False)
    db.execute(
        "INSERT OR IGNORE INTO series (target_id, measurement, tags) VALUES (?, ?, ?)",
        (target_id, series.measurement, tags),
    )
    series_id = _id_of(
        db.execute(
            "SELECT id FROM series WHERE target_id = ? AND measurement = ? AND tags = ?",
            (target_id, series.measurement, tags),
        )
    )
    return target_id, series_id


def export_key(db: sqlite3.Connection, name: str) -> int:
    """Return the id of an export's row, made where it is missing."""
    db.execute("INSERT OR IGNORE INTO export (name) VALUES (?)", (name,))
    return _id_of(db.execute("SELECT id FROM export WHERE name = ?", (name,)))


def _id_of(rows: sqlite3.Cursor) -> int:
    """Return the id of a row that was just seen to."""
    row = rows.fetchone()
    if row is None:
        raise _UselessFileError("an index has not what the table has")
    return int(row[0])


def _json_of_point(sample: StoredSample) -> int:
    """Return the bytes of a point's JSON without its fields, or a few more."""
    return _JSON_OF_POINT + len(
        orjson.dumps((sample.measurement, *sum(sample.tags, ())))
    )


def _json_of_field(sample: StoredSample) -> int:
    """Return the bytes of a field's JSON, or a few more."""
    return len(orjson.dumps(sample.field)) + len(orjson.dumps(sample.value)) + len(":,")


def json_size(samples: Iterable[StoredSample]) -> int:
    """Return the bytes that samples take in one request, or a few more."""
    points = {(s.measurement, s.tags, s.time): s for s in samples}
    return sum(map(_json_of_point, points.values())) + sum(map(_json_of_field, samples))


def parse_tags(text: str) -> tuple[tuple[str, str], ...]:
    """Return tags as `series_keys` has written them down; raises `NonsenseError` for others."""
    try:
        pairs = json.loads(text)
    except (TypeError, ValueError, RecursionError) as err:
        raise NonsenseError("tags are no JSON") from err
    if not are_tags(pairs):
        raise NonsenseError("tags are none")
    return tuple((key, value) for key, value in pairs)


def _parse_value(value: float | str) -> FieldValue:
    """SQLite has no booleans, and nothing else is stored as an integer."""
    return bool(value) if isinstance(value, int) else value


def merge_points(samples: Iterable[StoredSample]) -> list[Point]:
    """Return the samples as points: those of the same series and time become one."""
    merged: dict[
        tuple[str, tuple[tuple[str, str], ...], datetime], dict[str, FieldValue]
    ] = {}
    for sample in samples:
        fields = merged.setdefault((sample.measurement, sample.tags, sample.time), {})
        fields[sample.field] = sample.value
    return [
        Point(measurement, dict(tags), moment, fields)
        for (measurement, tags, moment), fields in merged.items()
    ]
