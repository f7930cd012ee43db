"""The file of an outbox: its tables, how it is opened, and the keys that its rows refer to.

What one commit brings for one export and series is one row of `block`. The upper bits of a row's id name the queue
that it waits in, so that a queue is one stretch of the table, in its order, without an index to be kept.
"""

from contextlib import closing, suppress
from dataclasses import asdict
import json
import os
from pathlib import Path
import sqlite3
from typing import Any, Final

from ...api import WriteTarget
from ..config import Series

SCHEMA_VERSION: Final = 3
"""A file of any other version is set aside: none was ever released."""

QUEUE_BITS: Final = 40
"""A queue takes 2**40 rows before its ids run into those of the next."""

SIDE_FILES: Final = ("", "-wal", "-shm")

PAGE_SIZE: Final = 512
"""The smallest pages: beside a second's samples a commit writes some of them as a whole."""

_LOG_BYTES: Final = 1024 * 1024
"""What the write-ahead log is cut back to after it was emptied."""

_TABLES: Final = f"""
PRAGMA user_version = {SCHEMA_VERSION};
CREATE TABLE target (
    id INTEGER PRIMARY KEY,
    collector TEXT NOT NULL, database TEXT NOT NULL, retention_policy TEXT NOT NULL,
    UNIQUE (collector, database, retention_policy)
) STRICT;
CREATE TABLE series (
    id INTEGER PRIMARY KEY,
    target_id INTEGER NOT NULL REFERENCES target (id),
    measurement TEXT NOT NULL,
    tags TEXT NOT NULL,
    UNIQUE (target_id, measurement, tags)
) STRICT;
CREATE TABLE field (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE export (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    uploaded INTEGER NOT NULL DEFAULT 0,
    rejected INTEGER NOT NULL DEFAULT 0,
    dropped INTEGER NOT NULL DEFAULT 0,
    last_upload REAL
) STRICT;
CREATE TABLE queue (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    target_id INTEGER REFERENCES target (id),
    measurement TEXT, field TEXT, type TEXT,
    reason TEXT,
    since REAL
) STRICT;
CREATE TABLE block (
    id INTEGER PRIMARY KEY,
    series_id INTEGER NOT NULL REFERENCES series (id),
    export_id INTEGER NOT NULL REFERENCES export (id),
    count INTEGER NOT NULL,
    oldest_us INTEGER NOT NULL,
    data BLOB NOT NULL
) STRICT;
CREATE TABLE reject (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    series_id INTEGER NOT NULL REFERENCES series (id),
    export_id INTEGER NOT NULL REFERENCES export (id),
    time_us INTEGER NOT NULL, field TEXT NOT NULL, value TEXT NOT NULL,
    reason TEXT NOT NULL
) STRICT;
CREATE TABLE history_job (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    queue_id INTEGER NOT NULL REFERENCES queue (id),
    export TEXT NOT NULL,
    start_us INTEGER NOT NULL, end_us INTEGER NOT NULL,
    cursor_us INTEGER NOT NULL, chunk_end_us INTEGER NOT NULL,
    stored INTEGER NOT NULL DEFAULT 0,
    outside INTEGER NOT NULL DEFAULT 0,
    refused INTEGER NOT NULL DEFAULT 0,
    unusable INTEGER NOT NULL DEFAULT 0,
    outside_until_us INTEGER,
    reason TEXT,
    finished REAL
) STRICT;
CREATE TABLE history_field (
    job_id INTEGER NOT NULL REFERENCES history_job (id),
    target_id INTEGER NOT NULL REFERENCES target (id),
    measurement TEXT NOT NULL, field TEXT NOT NULL, type TEXT NOT NULL,
    refused INTEGER NOT NULL,
    newest_us INTEGER,
    PRIMARY KEY (job_id, target_id, measurement, field, type)
) STRICT;
CREATE TABLE history_offer (export TEXT PRIMARY KEY) STRICT;
"""
"""Kinds of queues: `live` has a target, `blocked` a field of one, and since when it is refused with which reason;
`history` has the targets of its rows' series.

`history_field` has the fields that are left out of a job, with how many of their samples had waited; `newest_us` is the
newest of these as long as they may be refused for their age.
"""


class UselessFileError(sqlite3.DatabaseError):
    """There is a file, but none of this version of the outbox."""


def connect(path: Path) -> sqlite3.Connection:
    """Open or create the file, private to its owner, and check it.

    Raises `sqlite3.DatabaseError` where it is damaged or of no use, `OSError` where it cannot be opened.
    """
    if path.exists() and not path.is_file():
        raise UselessFileError("not a file")
    # SQLite gives its side files the mode of the file itself, but leaves those that are there as they are
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    for suffix in SIDE_FILES:
        with suppress(FileNotFoundError):
            path.with_name(f"{path.name}{suffix}").chmod(0o600)
    connection = sqlite3.connect(path, check_same_thread=False)
    try:
        # Before anything changes: what is of no use is kept as it is
        tables = _tables_of(connection)
        if tables and tables != _our_tables():
            raise UselessFileError("its tables are others")
        connection.execute(f"PRAGMA page_size = {PAGE_SIZE}")
        connection.execute("PRAGMA journal_mode = WAL")
        # A commit is on the disk when it returns, a power cut included
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA journal_size_limit = {_LOG_BYTES}")
        if not tables:
            connection.executescript(f"BEGIN; {_TABLES} COMMIT;")
        (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise UselessFileError(" ".join(str(verdict).split()))
        # The file can be written, so it is its header that says otherwise; a mere `BEGIN IMMEDIATE` would not tell
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        connection.rollback()
    except (sqlite3.Error, UnicodeDecodeError) as err:
        connection.close()
        if getattr(err, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_READONLY:
            raise UselessFileError(str(err)) from err
        raise
    return connection


def _tables_of(db: sqlite3.Connection) -> set[str]:
    """Return the version of the tables and how they were made; nothing of a new file."""
    (version,) = db.execute("PRAGMA user_version").fetchone()
    tables = {str(sql) for (sql,) in db.execute("SELECT sql FROM sqlite_schema")}
    return tables | ({f"version {version}"} if version else set())


def _our_tables() -> set[str]:
    with closing(sqlite3.connect(":memory:")) as db:
        db.executescript(_TABLES)
        return _tables_of(db)


def first_id(queue_id: int) -> int:
    """Return the lowest id that a row of a queue can have."""
    return queue_id << QUEUE_BITS


def select(
    db: sqlite3.Connection,
    columns: str,
    queue_id: int,
    rest: str = "",
    *args: object,
    since: int = 0,
) -> list[tuple[Any, ...]]:
    """Return columns of the rows of a queue from an id on; `rest` is that of the statement."""
    return db.execute(
        f"SELECT {columns} FROM block WHERE id >= ? AND id < ? {rest}",  # noqa: S608
        (max(since, first_id(queue_id)), first_id(queue_id + 1), *args),
    ).fetchall()


def target_id(db: sqlite3.Connection, target: WriteTarget) -> int:
    """Return the id of a target, made where it is missing."""
    return key_of(db, "target", **asdict(target))


def key_of(db: sqlite3.Connection, table: str, **columns: str | float) -> int:
    """Return the id of the row with some values, made where there is none that has those that are unique."""
    names, marks = ", ".join(columns), ", ".join("?" * len(columns))
    (key,) = db.execute(
        f"INSERT INTO {table} ({names}) VALUES ({marks})"  # noqa: S608
        " ON CONFLICT DO UPDATE SET id = id RETURNING id",
        tuple(columns.values()),
    ).fetchone()
    return int(key)


class Names[T](dict[int, T]):
    """What the ids of a table stand for: names, or series."""

    def __init__(
        self, db: sqlite3.Connection, table: str, values: dict[int, T]
    ) -> None:
        """Know `values`, which are in the table."""
        super().__init__(values)
        self._db = db
        self._table = table
        self._ids = {value: key for key, value in values.items()}

    def id_of(self, value: T) -> int:
        """Return the id of a value; a row is made for one that has none."""
        if value not in self._ids:
            columns: dict[str, str | float] = {"name": str(value)}
            if isinstance(value, Series):
                columns = {
                    "target_id": target_id(self._db, value.target),
                    "measurement": value.measurement,
                    "tags": json.dumps(value.tags, ensure_ascii=False),
                }
            key = self._ids[value] = key_of(self._db, self._table, **columns)
            self[key] = value
        return self._ids[value]


def load_names(db: sqlite3.Connection, table: str) -> Names[str]:
    """Return the names of exports or fields."""
    # Not from the index, which can be damaged by itself
    rows = db.execute(f"SELECT id, name FROM {table} NOT INDEXED").fetchall()  # noqa: S608
    return Names(db, table, dict(rows))


def load_series(db: sqlite3.Connection) -> Names[Series]:
    """Return the series; raises `ValueError` where tags are not what was written."""
    series = {}
    for key, *names, measurement, text in db.execute(
        "SELECT series.id, collector, database, retention_policy, measurement, tags"
        " FROM series JOIN target ON target.id = target_id"
    ).fetchall():
        try:
            tags = tuple((str(tag), str(value)) for tag, value in json.loads(text))
        except TypeError as err:
            raise ValueError("these are no tags") from err
        series[key] = Series(WriteTarget(*names), measurement, tags)
    return Names(db, "series", series)
