"""What is in an outbox' file: the one place of the harness that knows its tables."""

from contextlib import closing
import json
from pathlib import Path
import shutil
import sqlite3
from typing import Any, NamedTuple

from custom_components.eniris.exporting.outbox.rows import Rows

from .journal import Key

_REJECTS = (
    "SELECT measurement, field, time_us, value, reason FROM reject"
    " JOIN series ON series.id = series_id"
)


class RejectRow(NamedTuple):
    """A value that was set aside."""

    measurement: str
    field: str
    wall: int
    value: Any
    reason: str


def read(
    file: Path, scratch: Path, *, live: bool
) -> tuple[set[Key], list[RejectRow]] | None:
    """Return what waits, and rejects; None where it cannot be told. Blocks."""
    if not live:
        # Reading the file itself would tidy it up
        for suffix in ("", "-wal"):
            source = file.with_name(f"{file.name}{suffix}")
            copy = scratch / f"outbox.db{suffix}"
            copy.unlink(missing_ok=True)
            if source.exists():
                shutil.copyfile(source, copy)
        file = scratch / "outbox.db"
    uri = f"file:{file}?mode=rw"
    with closing(sqlite3.connect(uri, uri=True)) as connection:
        try:
            return _waiting(connection), [
                RejectRow(measurement, field, wall, json.loads(value), reason)
                for measurement, field, wall, value, reason in connection.execute(
                    _REJECTS
                )
            ]
        except (sqlite3.Error, ValueError):
            return None


def _waiting(connection: sqlite3.Connection) -> set[Key]:
    rows = Rows(connection)
    found = connection.execute("SELECT id, series_id, export_id, data FROM block")
    blocks = list(map(rows.decode, found.fetchall()))
    return {
        Key(block.series.measurement, field, wall)
        for block in blocks
        for field, wall in zip(block.fields, block.times, strict=True)
    }
