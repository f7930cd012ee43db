"""What becomes of an outbox file that cannot be used: it is set aside, and what can be read of it goes into a new one."""

from contextlib import closing, suppress
from datetime import UTC, datetime
import errno
from itertools import islice
import logging
from pathlib import Path
import sqlite3
from typing import Final

from .rows import Rows
from .schema import (
    QUEUE_BITS,
    SCHEMA_VERSION,
    SIDE_FILES,
    UselessFileError,
    first_id,
    select,
)

_LOGGER = logging.getLogger(__name__)

_DAMAGED: Final = "damaged"
_GIVE_UP_AFTER: Final = 1000
"""Rows in a row that cannot be read."""


def is_damage(err: Exception) -> bool:
    """Tell a file that is of no use from trouble that may pass, a full disk for instance."""
    return (
        isinstance(err, UselessFileError | PermissionError | ValueError)
        # SQLite has no codes for these
        or str(err).startswith(("Could not decode to UTF-8", "unsupported file format"))
        # A link that leads to itself
        or getattr(err, "errno", 0) == errno.ELOOP
        # The low byte is the kind of an error, the others say more about it
        or getattr(err, "sqlite_errorcode", 0) & 0xFF
        in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
    )


def set_aside(path: Path, err: Exception) -> Path:
    """Give a file and its side files another name, and return that."""
    name = f"{path.name}.{_DAMAGED}-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    aside, number = name, 1
    while any(path.parent.glob(f"{aside}*")):
        number += 1
        aside = f"{name}~{number}"
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


def damaged_files(path: Path) -> list[str]:
    """Return the names of the files that were set aside and still exist."""
    return sorted(
        file.name
        for file in path.parent.glob(f"{path.name}.{_DAMAGED}-*")
        if not file.name.endswith(SIDE_FILES[1:])
    )


def delete_damaged(path: Path, names: set[str]) -> None:
    """Delete files that were set aside, by the names that `damaged_files` returns."""
    for name in names.intersection(damaged_files(path)):
        # The file itself last: what is left over of a failure is still listed
        for suffix in reversed(SIDE_FILES):
            path.with_name(f"{name}{suffix}").unlink(missing_ok=True)


class _Damaged(Rows):
    """The rows of a damaged file, which is only read."""

    def _lose_queue(self) -> None:
        """Leave out what waits for nobody knows whom."""

    def _lose(self, id_: int) -> None:
        """Pass over a row that is damaged by itself: to delete it would fail, and hide those behind it."""


def carry_over(aside: Path, rows: Rows) -> int:
    """Put what can be read of a damaged file into an open one; return how many samples that are.

    The past is left out: the recorder has it, and it can be asked for again.
    """
    carried = 0
    if not aside.is_file():
        # A pipe would be waited for
        return 0
    with (
        suppress(sqlite3.Error, ValueError, OSError),
        closing(
            sqlite3.connect(f"{aside.absolute().as_uri()}?mode=ro", uri=True)
        ) as damaged,
    ):
        (version,) = damaged.execute("PRAGMA user_version").fetchone()
        if version != SCHEMA_VERSION:
            return 0
        source = _Damaged(damaged)
        for target, queue_id in source.live.items():
            carried += _carry_queue(source, queue_id, rows, rows.live_queue(target))
        for key, blocked in source.blocked.items():
            queue = rows.block_field(key, blocked.reason).queue_id
            carried += _carry_queue(source, blocked.queue_id, rows, queue)
    return carried


def _carry_queue(source: Rows, queue_id: int, rows: Rows, to_queue: int) -> int:
    """Copy the rows of a queue, and go on behind a place that cannot be read."""
    carried = failures = 0
    after, step = first_id(queue_id) - 1, 1
    while after >> QUEUE_BITS <= queue_id and failures < _GIVE_UP_AFTER:
        try:
            [(id_,)] = select(source.db, "min(id)", queue_id, since=after + 1)
        except sqlite3.Error:
            # Those behind a damaged page are sought by their ids
            failures += 1
            after += step
            step *= 2
            continue
        if id_ is None:
            break
        after, step = id_, 1
        try:
            # One by one, so that one that cannot be read hides no others
            for block in islice(source.read(queue_id, id_ - 1, 1), 1):
                rows.insert(to_queue, [block])
                carried += len(block)
                after = block.row.id
        except (sqlite3.Error, UnicodeDecodeError):
            failures += 1
    return carried
