"""The outbox: samples on disk, from the moment they are taken to the moment they are stored.

SQLite in write-ahead mode on a thread of its own. A sample is one value of one field, so that
one that the service refuses takes no other with it.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
import functools
import json
import logging
import os
from pathlib import Path
import sqlite3
import time
from typing import Final, NamedTuple

from ..api import FieldValue, Point, WriteTarget
from .config import Series

_LOGGER = logging.getLogger(__name__)

SCHEMA_VERSION: Final = 1

_SCHEMA: Final = """
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
CREATE TABLE sample (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    target_id INTEGER NOT NULL REFERENCES target (id),
    series_id INTEGER NOT NULL REFERENCES series (id),
    time_us INTEGER NOT NULL,
    field TEXT NOT NULL,
    value NOT NULL
);
CREATE INDEX sample_by_target ON sample (target_id, id);
CREATE TABLE reject (
    id INTEGER PRIMARY KEY,
    series_id INTEGER NOT NULL REFERENCES series (id),
    time_us INTEGER NOT NULL,
    field TEXT NOT NULL,
    value NOT NULL,
    reason TEXT NOT NULL
);
CREATE TABLE total (name TEXT PRIMARY KEY, number INTEGER NOT NULL);
INSERT INTO total VALUES ('uploaded', 0), ('rejected', 0);
"""

BATCH_POINTS: Final = 5000
BATCH_BYTES: Final = 1024 * 1024
REJECTS_KEPT: Final = 1000

_SIDE_FILES: Final = ("-wal", "-shm")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


class Sample(NamedTuple):
    """One value of one field of a series at an aware time."""

    series: Series
    time: datetime
    field: str
    value: FieldValue


@dataclass(frozen=True, slots=True)
class StoredSample:
    """A sample as it waits, with the id by which it is deleted."""

    id: int
    measurement: str
    tags: tuple[tuple[str, str], ...]
    time: datetime
    field: str
    value: FieldValue


@dataclass(frozen=True, slots=True)
class Totals:
    """What the outbox has seen since it was made, and what waits."""

    waiting: int
    uploaded: int
    rejected: int


class OutboxError(Exception):
    """The file could not be read or written, because the disk is full for instance."""


def outbox_path(storage: Path, entry_id: str) -> Path:
    """Return the file of one account's outbox in Home Assistant's storage directory."""
    return storage / f"eniris.{entry_id}.outbox.db"


def delete_outbox(path: Path) -> None:
    """Delete an outbox that is closed, with all that SQLite keeps beside it. Blocks."""
    for suffix in ("", *_SIDE_FILES):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


class Outbox:
    """Samples that wait for their upload. Its methods raise `OutboxError`."""

    def __init__(self, path: Path) -> None:
        """Keep the samples in the file at `path`, which `open` creates where it is missing."""
        self._path = path
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="eniris-outbox")
        self._connection: sqlite3.Connection | None = None

    async def open(self) -> None:
        """Open the file; one that cannot be used is set aside and a fresh one begun."""
        await self._run(self._open)

    async def close(self) -> None:
        """Close the file and end the thread."""
        await self._run(self._close)
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

    async def oldest(self, target: WriteTarget) -> list[StoredSample]:
        """Return what makes one request: the oldest samples within the limits of a batch."""
        return await self._run(self._oldest, target)

    async def delete_uploaded(self, samples: Sequence[StoredSample]) -> None:
        """Forget samples that the service has stored."""
        await self._run(self._delete_uploaded, samples)

    async def reject(self, sample: StoredSample, reason: str) -> None:
        """Set a sample aside that the service refuses for good, with its reason."""
        await self._run(self._reject, sample, reason)

    async def totals(self) -> Totals:
        """Return the figures of the whole outbox."""
        return await self._run(self._totals)

    async def _run[**P, R](
        self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        try:
            return await asyncio.get_running_loop().run_in_executor(
                self._executor, functools.partial(function, *args, **kwargs)
            )
        except (sqlite3.Error, OSError) as err:
            raise OutboxError(str(err)) from err

    @property
    def _db(self) -> sqlite3.Connection:
        if self._connection is None:
            raise sqlite3.ProgrammingError("the outbox is closed")
        return self._connection

    def _open(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._connection = _connect(self._path)
        except sqlite3.DatabaseError as err:
            if isinstance(err, sqlite3.OperationalError):
                raise
            aside = self._path.with_name(
                f"{self._path.name}.{int(time.time())}.damaged"
            )
            for suffix in ("", *_SIDE_FILES):
                damaged = self._path.with_name(self._path.name + suffix)
                if damaged.exists():
                    damaged.replace(aside.with_name(aside.name + suffix))
            _LOGGER.error(
                "The outbox %s cannot be read (%s); it was kept as %s and a new one begun",
                self._path,
                err,
                aside.name,
            )
            self._connection = _connect(self._path)

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _add(self, samples: Iterable[Sample]) -> None:
        with self._db as db:
            ids: dict[Series, tuple[int, int]] = {}
            for sample in samples:
                if sample.series not in ids:
                    ids[sample.series] = _series_ids(db, sample.series)
            db.executemany(
                "INSERT INTO sample (target_id, series_id, time_us, field, value)"
                " VALUES (?, ?, ?, ?, ?)",
                (
                    (
                        *ids[sample.series],
                        (sample.time - _EPOCH) // _MICROSECOND,
                        sample.field,
                        sample.value,
                    )
                    for sample in samples
                ),
            )

    def _targets(self) -> list[WriteTarget]:
        rows = self._db.execute(
            "SELECT collector, database, retention_policy FROM target"
            " WHERE EXISTS (SELECT 1 FROM sample WHERE target_id = target.id)"
        )
        return [WriteTarget(*row) for row in rows]

    def _oldest(self, target: WriteTarget) -> list[StoredSample]:
        samples: list[StoredSample] = []
        points: set[tuple[int, int]] = set()
        size = 0
        tags: dict[str, tuple[tuple[str, str], ...]] = {}
        with closing(
            self._db.execute(
                "SELECT sample.id, series_id, measurement, tags, time_us, field, value"
                " FROM sample JOIN series ON series.id = series_id"
                " WHERE sample.target_id = (SELECT id FROM target"
                " WHERE collector = ? AND database = ? AND retention_policy = ?)"
                " ORDER BY sample.id",
                (target.collector, target.database, target.retention_policy),
            )
        ) as rows:
            for id_, series_id, measurement, tag_text, time_us, field, value in rows:
                if (series_id, time_us) not in points:
                    if len(points) == BATCH_POINTS:
                        break
                    points.add((series_id, time_us))
                    size += len(measurement) + len(tag_text) + 80
                size += len(field) + (len(value) if isinstance(value, str) else 20) + 6
                if samples and size > BATCH_BYTES:
                    break
                if tag_text not in tags:
                    tags[tag_text] = tuple(
                        (key, text) for key, text in json.loads(tag_text)
                    )
                samples.append(
                    StoredSample(
                        id_,
                        measurement,
                        tags[tag_text],
                        _EPOCH + time_us * _MICROSECOND,
                        field,
                        # SQLite has no booleans; nothing else is stored as an integer
                        bool(value) if isinstance(value, int) else value,
                    )
                )
        return samples

    def _delete_uploaded(self, samples: Sequence[StoredSample]) -> None:
        with self._db as db:
            db.executemany(
                "DELETE FROM sample WHERE id = ?", ((sample.id,) for sample in samples)
            )
            db.execute(
                "UPDATE total SET number = number + ? WHERE name = 'uploaded'",
                (len(samples),),
            )

    def _reject(self, sample: StoredSample, reason: str) -> None:
        with self._db as db:
            db.execute(
                "INSERT INTO reject (series_id, time_us, field, value, reason)"
                " SELECT series_id, time_us, field, value, ? FROM sample WHERE id = ?",
                (reason, sample.id),
            )
            db.execute("DELETE FROM sample WHERE id = ?", (sample.id,))
            db.execute(
                "DELETE FROM reject WHERE id <= (SELECT max(id) FROM reject) - ?",
                (REJECTS_KEPT,),
            )
            db.execute("UPDATE total SET number = number + 1 WHERE name = 'rejected'")

    def _totals(self) -> Totals:
        numbers = dict(self._db.execute("SELECT name, number FROM total").fetchall())
        (waiting,) = self._db.execute("SELECT count(*) FROM sample").fetchone()
        return Totals(waiting, numbers["uploaded"], numbers["rejected"])


def _connect(path: Path) -> sqlite3.Connection:
    """Open or create the file, private to its owner; raises `sqlite3.DatabaseError`."""
    # SQLite gives its side files the mode of the file itself
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    path.chmod(0o600)
    connection = sqlite3.connect(path, check_same_thread=False)
    try:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version not in (0, SCHEMA_VERSION):
            raise sqlite3.DatabaseError(f"unknown version {version}")
        connection.execute("PRAGMA journal_mode = WAL")
        # In write-ahead mode a power cut then costs the last commits at most, never the file
        connection.execute("PRAGMA synchronous = NORMAL")
        if version == 0:
            connection.executescript(
                f"BEGIN; {_SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
            )
        connection.execute("SELECT count(*) FROM total").fetchone()
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _series_ids(db: sqlite3.Connection, series: Series) -> tuple[int, int]:
    """Return the ids of a series' target and of itself, made where they are missing."""
    target = series.target
    key = (target.collector, target.database, target.retention_policy)
    db.execute(
        "INSERT OR IGNORE INTO target (collector, database, retention_policy)"
        " VALUES (?, ?, ?)",
        key,
    )
    (target_id,) = db.execute(
        "SELECT id FROM target"
        " WHERE collector = ? AND database = ? AND retention_policy = ?",
        key,
    ).fetchone()
    tags = json.dumps(series.tags, ensure_ascii=False)
    db.execute(
        "INSERT OR IGNORE INTO series (target_id, measurement, tags) VALUES (?, ?, ?)",
        (target_id, series.measurement, tags),
    )
    (series_id,) = db.execute(
        "SELECT id FROM series WHERE target_id = ? AND measurement = ? AND tags = ?",
        (target_id, series.measurement, tags),
    ).fetchone()
    return target_id, series_id


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
