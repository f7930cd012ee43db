"""The file of an outbox: its tables, how it is opened, and keys. The upper bits of a row's id name the queue of a block."""

from contextlib import suppress
import json
import os
from pathlib import Path
import sqlite3
from typing import Final

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

_SQL: Final = """
CREATE TABLE target (
    id INTEGER PRIMARY KEY,
    collector TEXT NOT NULL, database TEXT NOT NULL, retention_policy TEXT NOT NULL,
    UNIQUE (collector, database, retention_policy)
) STRICT;
CREATE TABLE series (
    id INTEGER PRIMARY KEY,
    target_id INTEGER NOT NULL REFERENCES target (id),
    measurement TEXT NOT NULL, tags TEXT NOT NULL,
    UNIQUE (target_id, measurement, tags)
) STRICT;
CREATE TABLE field (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE export (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE,
    uploaded INTEGER NOT NULL DEFAULT 0, rejected INTEGER NOT NULL DEFAULT 0,
    dropped INTEGER NOT NULL DEFAULT 0, last_upload REAL DEFAULT NULL
) STRICT;
CREATE TABLE queue (
    id INTEGER PRIMARY KEY AUTOINCREMENT CHECK (id < 1 << 22),
    target_id INTEGER NOT NULL REFERENCES target (id),
    measurement TEXT, field TEXT, type TEXT, reason TEXT, since REAL,
    CHECK (field ISNULL OR type || measurement || reason || since NOTNULL)
) STRICT;
CREATE TABLE block (
    id INTEGER PRIMARY KEY,
    series_id INTEGER NOT NULL REFERENCES series (id),
    export_id INTEGER NOT NULL REFERENCES export (id),
    count INTEGER NOT NULL, oldest_us INTEGER NOT NULL, data BLOB NOT NULL
) STRICT;
CREATE TABLE reject (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    series_id INTEGER NOT NULL REFERENCES series (id),
    export_id INTEGER NOT NULL REFERENCES export (id),
    time_us INTEGER NOT NULL,
    field TEXT NOT NULL, value TEXT NOT NULL, reason TEXT NOT NULL
) STRICT;
CREATE TABLE history_job (id INTEGER PRIMARY KEY, job TEXT NOT NULL) STRICT;
"""
"""A queue has what waits of a target or, where it names one, of a field that is blocked: with which reason, since when."""


class UselessFileError(sqlite3.DatabaseError):
    """There is a file, but none of this version of the outbox."""


def connect(path: Path) -> sqlite3.Connection:
    """Open or create the file, private to its owner, and check it; raises `sqlite3.DatabaseError` or `OSError`."""
    if path.exists() and not path.is_file():
        raise UselessFileError("not a file")
    # SQLite gives its side files the mode of the file itself, but leaves those that are there as they are
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    for suffix in SIDE_FILES:
        with suppress(FileNotFoundError):
            path.with_name(f"{path.name}{suffix}").chmod(0o600)
    db = sqlite3.connect(path, check_same_thread=False)
    try:
        _prepare(db)
    except (sqlite3.Error, UnicodeDecodeError):
        db.close()
        raise
    return db


def _prepare(db: sqlite3.Connection) -> None:
    (version,) = db.execute("PRAGMA user_version").fetchone()
    statements = db.execute(
        "SELECT sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite%'"
    ).fetchall()
    # Before anything changes: what is of no use is kept as it is
    tables = "".join(f"\n{sql};" for (sql,) in statements) + "\n"
    if (version, tables) not in ((0, "\n"), (SCHEMA_VERSION, _SQL)):
        raise UselessFileError("its tables are others")
    db.execute(f"PRAGMA page_size = {PAGE_SIZE}")
    db.execute("PRAGMA journal_mode = WAL")
    # A commit is on the disk when it returns, a power cut included
    db.execute("PRAGMA synchronous = FULL")
    db.execute(f"PRAGMA journal_size_limit = {_LOG_BYTES}")
    if not statements:
        db.executescript(
            f"BEGIN; PRAGMA user_version = {SCHEMA_VERSION}; {_SQL} COMMIT;"
        )
    (verdict,) = db.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok" or db.execute("PRAGMA foreign_key_check").fetchone():
        raise UselessFileError(" ".join(str(verdict).split()))
    # A mere `BEGIN IMMEDIATE` would not tell that the header forbids writing
    db.execute("BEGIN IMMEDIATE")
    db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    db.rollback()


def first_id(queue_id: int) -> int:
    """Return the lowest id that a row of a queue can have."""
    return queue_id << QUEUE_BITS


def target_id(db: sqlite3.Connection, target: WriteTarget) -> int:
    """Return the id of a target, made where it is missing."""
    return key_of(db, "target", **target._asdict())


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
    """Return the series, without those of which the tags are not what was written."""
    series = {}
    for key, *names, measurement, text in db.execute(
        "SELECT series.id, collector, database, retention_policy, measurement, tags"
        " FROM series JOIN target ON target.id = target_id"
    ).fetchall():
        with suppress(TypeError, ValueError):
            tags = tuple((str(tag), str(value)) for tag, value in json.loads(text))
            series[key] = Series(WriteTarget(*names), measurement, tags)
    return Names(db, "series", series)
