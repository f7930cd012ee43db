"""Rows of an outbox that cannot be what was put there: a flipped bit, a hand in the file.

SQLite finds pages that make no sense, but nothing that is wrong within a row. One such row must not
hold up all others, so that it is taken out and counted.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
import json
import logging
import math
import sqlite3
from typing import Any, Final

_LOGGER = logging.getLogger(__name__)

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)

_EARLIEST: Final = (datetime.min.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND
_LATEST: Final = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND

_LAST_SECOND: Final = 253_402_300_799
"""Of the year 9999."""

LAST_ID: Final = 2**62
"""Ids count up from microseconds since 1970; one beyond this is damage, and none would be left after it."""


class NonsenseError(ValueError):
    """A row holds what was never put there."""


def _is_text(value: Any) -> bool:
    """Tell whether bytes, which is how a text is read here, are one."""
    try:
        return isinstance(value, _Text) and value.decode() is not None
    except UnicodeDecodeError:
        return False


class _Text(bytes):
    """A text that is not decoded yet, to be told from a blob."""

    __slots__ = ()


def _is_tags(value: Any) -> bool:
    try:
        return _is_text(value) and are_tags(json.loads(value))
    except (ValueError, RecursionError):
        return False


def are_tags(value: Any) -> bool:
    """Tell whether decoded JSON is tags: pairs of texts."""
    return isinstance(value, list) and all(
        isinstance(pair, list)
        and len(pair) == 2
        and all(isinstance(text, str) for text in pair)
        for pair in value
    )


def _is_time(value: Any) -> bool:
    return isinstance(value, int) and _EARLIEST <= value <= _LATEST


def _is_value(value: Any) -> bool:
    return isinstance(value, int | float) or _is_text(value)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and value >= 0


def _is_moment(value: Any) -> bool:
    return value is None or (
        isinstance(value, int | float)
        and math.isfinite(value)
        and 0 <= value <= _LAST_SECOND
    )


def _or_none(is_valid: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or is_valid(value)


_COLUMNS: Final[Mapping[str, Mapping[str, Callable[[Any], bool]]]] = {
    "target": {
        "collector": _is_text,
        "database": _is_text,
        "retention_policy": _is_text,
    },
    "series": {"measurement": _is_text, "tags": _is_tags},
    "export": {"name": _is_text},
    "sample": {"time_us": _is_time, "field": _is_text, "value": _is_value},
    "reject": {
        "time_us": _is_time,
        "field": _is_text,
        "value": _is_value,
        "reason": _is_text,
    },
    "history_job": {
        "export": _is_text,
        **dict.fromkeys(("start_us", "end_us", "cursor_us", "chunk_end_us"), _is_time),
        **dict.fromkeys(("stored", "outside", "refused", "unusable"), _is_count),
        "outside_until_us": _or_none(_is_time),
        "reason": _or_none(_is_text),
        "finished": _is_moment,
    },
    "history_field": {"measurement": _is_text, "field": _is_text, "type": _is_text},
    "history_sample": {"time_us": _is_time, "field": _is_text, "value": _is_value},
}
"""What may stand in the columns, by table; a row that has anything else is of no use."""

_REFERENCES: Final[Mapping[str, Mapping[str, str]]] = {
    "series": {"target_id": "target"},
    "sample": {"target_id": "target", "series_id": "series", "export_id": "export"},
    "reject": {"series_id": "series", "export_id": "export"},
    "history_field": {"job_id": "history_job"},
    "history_sample": {
        "job_id": "history_job",
        "target_id": "target",
        "series_id": "series",
    },
}
"""Rows that a row needs, after those that these need themselves."""


def take_out_nonsense(connection: sqlite3.Connection) -> int:
    """Take out the rows that cannot be used, and return how many these are.

    Samples are counted as dropped. All rows are read, which takes seconds with millions of them.
    """
    connection.text_factory = _Text
    try:
        with connection as db:
            nonsense = {
                table: _nonsense(db, table, columns)
                for table, columns in _COLUMNS.items()
            }
            mended = _mend_exports(db)
            taken = {
                table: _take_out(db, table, ids) for table, ids in nonsense.items()
            }
            for table, references in _REFERENCES.items():
                for column, other in references.items():
                    ids = db.execute(
                        f"SELECT rowid FROM {table} WHERE {column} IS NULL"  # noqa: S608
                        f" OR {column} NOT IN (SELECT id FROM {other})"
                    ).fetchall()
                    taken[table] += _take_out(db, table, ids)
    finally:
        connection.text_factory = str
    if taken["sample"]:
        _LOGGER.error(
            "%s waiting values were damaged on disk and are lost; the others go on",
            taken["sample"],
        )
    return sum(taken.values()) + mended


def _nonsense(
    db: sqlite3.Connection, table: str, columns: Mapping[str, Callable[[Any], bool]]
) -> list[tuple[int]]:
    checks = list(columns.values())
    return [
        (row[0],)
        for row in db.execute(f"SELECT rowid, {', '.join(columns)} FROM {table}")  # noqa: S608
        if not all(check(value) for check, value in zip(checks, row[1:], strict=True))
    ]


def _take_out(db: sqlite3.Connection, table: str, ids: list[tuple[int]]) -> int:
    if table == "sample":
        db.executemany(
            "UPDATE export SET dropped = dropped + 1"
            " WHERE id = (SELECT export_id FROM sample WHERE id = ?)",
            ids,
        )
    db.executemany(f"DELETE FROM {table} WHERE rowid = ?", ids)  # noqa: S608
    return len(ids)


def _mend_exports(db: sqlite3.Connection) -> int:
    """Begin to count anew where figures are damaged; the samples of the export are sound."""
    figures = ("uploaded", "rejected", "dropped")
    mended = 0
    for id_, last_upload, *counts in db.execute(
        f"SELECT id, last_upload, {', '.join(figures)} FROM export"  # noqa: S608
    ).fetchall():
        if not all(map(_is_count, counts)) or not _is_moment(last_upload):
            mended += 1
            db.execute(
                "UPDATE export SET uploaded = ?, rejected = ?, dropped = ?,"
                " last_upload = ? WHERE id = ?",
                (
                    *(count if _is_count(count) else 0 for count in counts),
                    last_upload if _is_moment(last_upload) else None,
                    id_,
                ),
            )
    return mended
