"""The outbox: samples on disk, from the moment they are taken to the moment they are stored.

SQLite in write-ahead mode on a thread of its own. A sample is one value of one field, so that
one that the service refuses takes no other with it.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
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

BATCH_POINTS: Final = 5000
BATCH_BYTES: Final = 1024 * 1024
REJECTS_KEPT: Final = 1000

_DROP_AT_ONCE: Final = 5000
_VACUUM_PAGES: Final = 256
_SIDE_FILES: Final = ("", "-wal", "-shm")
_DAMAGED: Final = "damaged"
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
        file.unlink(missing_ok=True)


class Outbox:
    """Samples that wait for their upload. Its methods raise `OutboxError`."""

    def __init__(self, path: Path) -> None:
        """Keep the samples in the file at `path`, which `open` creates where it is missing."""
        self._path = path
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="eniris-outbox")
        self._connection: sqlite3.Connection | None = None
        # Known to the outbox' thread alone; counting rows would take longer the more wait
        self._waiting: defaultdict[str, int] = defaultdict(int)

    async def open(self) -> None:
        """Open the file; one that cannot be used is set aside and a fresh one begun."""
        await self._run(self._open)

    async def close(self) -> None:
        """Close the file and end the thread."""
        try:
            await self._run(self._close)
        finally:
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
            self._set_aside(err)
            self._connection = _connect(self._path)
        self._waiting.update(
            self._db.execute(
                "SELECT export.name, count(*) FROM sample"
                " JOIN export ON export.id = export_id GROUP BY export_id"
            ).fetchall()
        )

    def _set_aside(self, err: sqlite3.DatabaseError) -> None:
        aside = f"{self._path.name}.{_DAMAGED}-{datetime.now(UTC):%Y%m%d-%H%M%S}"
        for suffix in _SIDE_FILES:
            file = self._path.with_name(f"{self._path.name}{suffix}")
            if file.exists():
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
                    series_ids[sample.series] = _series_ids(db, sample.series)
                if sample.export_id not in export_ids:
                    export_ids[sample.export_id] = _export_id(db, sample.export_id)
                counts[sample.export_id] += 1
                rows.append(
                    (
                        *series_ids[sample.series],
                        export_ids[sample.export_id],
                        (sample.time - _EPOCH) // _MICROSECOND,
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
        )
        return [WriteTarget(*row) for row in rows]

    def _target_id(self, target: WriteTarget) -> int:
        row = self._db.execute(
            "SELECT id FROM target"
            " WHERE collector = ? AND database = ? AND retention_policy = ?",
            (target.collector, target.database, target.retention_policy),
        ).fetchone()
        return 0 if row is None else int(row[0])

    def _newest_id(self, target: WriteTarget) -> int:
        (newest,) = self._db.execute(
            "SELECT max(id) FROM sample WHERE target_id = ?", (self._target_id(target),)
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
        samples: list[StoredSample] = []
        points: set[tuple[int, int]] = set()
        size = 0
        tags: dict[str, tuple[tuple[str, str], ...]] = {}
        with closing(
            self._db.execute(
                "SELECT sample.id, export.name, series_id, measurement, tags, time_us,"
                " field, value FROM sample"
                " JOIN series ON series.id = series_id"
                " JOIN export ON export.id = export_id"
                " WHERE sample.target_id = ? AND sample.id > ? AND sample.id <= ?"
                " ORDER BY sample.id LIMIT ?",
                (
                    self._target_id(target),
                    after_id,
                    2**62 if until_id is None else until_id,
                    -1 if limit is None else limit,
                ),
            )
        ) as rows:
            for (
                id_,
                export_id,
                series_id,
                measurement,
                tag_text,
                time_us,
                field,
                value,
            ) in rows:
                if (series_id, time_us) not in points:
                    if len(points) == BATCH_POINTS:
                        break
                    points.add((series_id, time_us))
                    size += len(measurement) + len(tag_text) + 80
                size += len(field) + (len(value) if isinstance(value, str) else 20) + 6
                if samples and size > max_size:
                    break
                if tag_text not in tags:
                    tags[tag_text] = _parse_tags(tag_text)
                samples.append(
                    StoredSample(
                        id_,
                        export_id,
                        measurement,
                        tags[tag_text],
                        _EPOCH + time_us * _MICROSECOND,
                        field,
                        _parse_value(value),
                    )
                )
        return samples

    def _delete_uploaded(self, samples: Sequence[StoredSample], now: float) -> None:
        counts: defaultdict[str, int] = defaultdict(int)
        for sample in samples:
            counts[sample.export_id] += 1
        with self._db as db:
            db.executemany(
                "DELETE FROM sample WHERE id = ?", [(sample.id,) for sample in samples]
            )
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
            db.execute(
                "INSERT INTO reject (series_id, export_id, time_us, field, value, reason)"
                " SELECT series_id, export_id, time_us, field, value, ?"
                " FROM sample WHERE id = ?",
                (reason, sample.id),
            )
            db.execute("DELETE FROM sample WHERE id = ?", (sample.id,))
            db.execute(
                "DELETE FROM reject WHERE id <= (SELECT max(id) FROM reject) - ?",
                (REJECTS_KEPT,),
            )
            db.execute(
                "UPDATE export SET rejected = rejected + 1 WHERE name = ?",
                (sample.export_id,),
            )
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
                WriteTarget(*row[:3]),
                StoredSample(
                    row[3],
                    row[4],
                    row[5],
                    _parse_tags(row[6]),
                    _EPOCH + row[7] * _MICROSECOND,
                    row[8],
                    _parse_value(row[9]),
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
            figures[name] = Figures(
                waiting=self._waiting[name],
                uploaded=uploaded,
                rejected=rejected,
                dropped=dropped,
                last_upload=(
                    None
                    if last_upload is None
                    else datetime.fromtimestamp(last_upload, UTC)
                ),
            )
            if self._waiting[name]:
                row = self._db.execute(
                    "SELECT time_us FROM sample WHERE export_id ="
                    " (SELECT id FROM export WHERE name = ?) ORDER BY id LIMIT 1",
                    (name,),
                ).fetchone()
                if row is not None:
                    figures[name] = replace(
                        figures[name], oldest=_EPOCH + row[0] * _MICROSECOND
                    )
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
            dropped += self._drop_older((now - limits.age - _EPOCH) // _MICROSECOND)
        while self._size() > limits.size:
            count = self._drop_oldest()
            if not count:
                break
            dropped += count
        return dropped, self._size() < limits.size * 0.8

    def _drop_oldest(self) -> int:
        row = self._db.execute(
            "SELECT id FROM sample ORDER BY id LIMIT 1 OFFSET ?", (_DROP_AT_ONCE,)
        ).fetchone()
        return self._drop("id <= ?", 2**62 if row is None else row[0])

    def _drop_older(self, time_us: int) -> int:
        """Drop samples by age. The oldest were added first, so that no index is needed."""
        dropped = 0
        while True:
            row = self._db.execute(
                "SELECT time_us, id FROM sample ORDER BY id LIMIT 1"
            ).fetchone()
            if row is None or row[0] >= time_us:
                return dropped
            dropped += self._drop(
                "id < (SELECT ifnull(min(id), 1 << 62) FROM"
                " (SELECT id, time_us FROM sample ORDER BY id LIMIT 5000)"
                " WHERE time_us >= ?) AND id <= (SELECT min(id) FROM sample) + 5000",
                time_us,
            )

    def _drop(self, condition: str, argument: int) -> int:
        """Delete the samples that fulfil a condition of ours, and count them."""
        with self._db as db:
            rows = db.execute(
                "SELECT export.name, count(*) FROM sample"  # noqa: S608
                " JOIN export ON export.id = export_id"
                f" WHERE sample.{condition} GROUP BY export_id",
                (argument,),
            ).fetchall()
            db.execute(f"DELETE FROM sample WHERE {condition}", (argument,))  # noqa: S608
            db.executemany(
                "UPDATE export SET dropped = dropped + ? WHERE name = ?",
                [(count, name) for name, count in rows],
            )
        for name, count in rows:
            self._waiting[name] -= count
        return sum(count for _, count in rows)


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
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("PRAGMA journal_mode = WAL")
        # In write-ahead mode a power cut then costs the last commits at most, never the file
        connection.execute("PRAGMA synchronous = NORMAL")
        if version == 0:
            connection.executescript(
                f"BEGIN; {_SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
            )
        connection.execute("SELECT count(*) FROM export").fetchone()
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


def _export_id(db: sqlite3.Connection, name: str) -> int:
    db.execute("INSERT OR IGNORE INTO export (name) VALUES (?)", (name,))
    (id_,) = db.execute("SELECT id FROM export WHERE name = ?", (name,)).fetchone()
    return int(id_)


def _parse_tags(text: str) -> tuple[tuple[str, str], ...]:
    return tuple((key, value) for key, value in json.loads(text))


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
