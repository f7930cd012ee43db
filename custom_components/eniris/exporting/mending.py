"""Mending what waits: samples under a wrong target or name, once the user has put that right.

Each change is one transaction: a kill in the middle leaves everything as it was before. Uploads have to
pause meanwhile, or the answer to a request under way would be taken for one about what was changed.
"""

from collections.abc import Collection
from dataclasses import dataclass
import sqlite3
from typing import Final

from ..api import WriteTarget
from .config import Series
from .outbox import Outbox, parse_tags, series_keys, target_key

_TYPE_CONFLICT: Final = "409 *type*"
"""The reasons with which values of another type are set aside."""

_MOVE: Final = tuple(
    f"UPDATE {table} SET target_id = ?, series_id = ?"  # noqa: S608
    " WHERE target_id = ? AND series_id = ?"
    for table in ("sample", "history_sample")
)


@dataclass(frozen=True, slots=True)
class NamedField:
    """A field as it is sent to a target."""

    target: WriteTarget
    measurement: str
    field: str


class Mending:
    """Changes what waits in an outbox. Its methods raise `OutboxError`."""

    def __init__(self, outbox: Outbox) -> None:
        """Change what waits in `outbox`."""
        self._outbox = outbox

    async def waiting(self, target: WriteTarget) -> int:
        """Return how many samples wait for a target, those of the past included."""

        def waiting(db: sqlite3.Connection) -> int:
            key = target_key(db, target)
            return sum(
                db.execute(statement, (key,)).fetchone()[0]
                for statement in (
                    "SELECT count(*) FROM sample WHERE target_id = ?",
                    "SELECT count(*) FROM history_sample WHERE target_id = ?",
                )
            )

        return await self._outbox.run(waiting)

    async def move(self, old: WriteTarget, new: WriteTarget) -> int:
        """Have what waits for one target wait for another; return how many samples that are.

        Measurement, tags and order stay. What is set aside stays with the target that refused it.
        """

        def move(connection: sqlite3.Connection) -> int:
            with connection as db:
                old_id = target_key(db, old)
                moved = 0
                for series_id, measurement, tags in db.execute(
                    "SELECT id, measurement, tags FROM series WHERE target_id = ?",
                    (old_id,),
                ).fetchall():
                    keys = series_keys(db, Series(new, measurement, parse_tags(tags)))
                    moved += sum(
                        db.execute(statement, (*keys, old_id, series_id)).rowcount
                        for statement in _MOVE
                    )
            return moved

        return 0 if old == new else await self._outbox.run(move)

    async def held_back(
        self, named: NamedField, exports: Collection[str] | None = None
    ) -> int:
        """Return how many samples a conflict of types keeps from being stored.

        Of some exports: what was set aside for its type, and what still waits under the name. Without
        `exports`, what was set aside alone, whoever it came from.
        """

        def held_back(db: sqlite3.Connection) -> int:
            count = len(_refused(db, named, exports))
            return count if exports is None else count + len(_due(db, named, exports))

        return await self._outbox.run(held_back)

    async def rename(
        self, named: NamedField, exports: Collection[str], name: str
    ) -> int:
        """Send under another name what `held_back` counts; return how many samples that are."""

        def rename(connection: sqlite3.Connection) -> int:
            with connection as db:
                due, refused = _due(db, named, exports), _refused(db, named, exports)
                db.executemany(
                    "UPDATE sample SET field = ? WHERE id = ?",
                    [(name, id_) for (id_,) in due],
                )
                db.executemany(
                    "INSERT INTO sample"
                    " (target_id, series_id, export_id, time_us, field, value)"
                    " SELECT target_id, series_id, export_id, time_us, ?, value"
                    " FROM reject JOIN series ON series.id = series_id"
                    " WHERE reject.id = ?",
                    [(name, id_) for (id_,) in refused],
                )
                db.executemany("DELETE FROM reject WHERE id = ?", refused)
            return len(due) + len(refused)

        return await self._outbox.run(rename, recount=True)

    async def forget(
        self, named: NamedField, exports: Collection[str] | None = None
    ) -> int:
        """Forget what `held_back` counts; return how many samples that are."""

        def forget(connection: sqlite3.Connection) -> int:
            with connection as db:
                refused = _refused(db, named, exports)
                db.executemany("DELETE FROM reject WHERE id = ?", refused)
                due = [] if exports is None else _due(db, named, exports)
                db.executemany(
                    "UPDATE export SET dropped = dropped + 1"
                    " WHERE id = (SELECT export_id FROM sample WHERE id = ?)",
                    due,
                )
                db.executemany("DELETE FROM sample WHERE id = ?", due)
            return len(due) + len(refused)

        return await self._outbox.run(forget, recount=True)


def _refused(
    db: sqlite3.Connection, named: NamedField, exports: Collection[str] | None
) -> list[tuple[int]]:
    """Return the ids of what was set aside for its type, the oldest first."""
    rows = db.execute(
        "SELECT reject.id, export.name FROM reject"
        " JOIN series ON series.id = series_id JOIN export ON export.id = export_id"
        " WHERE target_id = ? AND measurement = ? AND field = ? AND reason GLOB ?"
        " ORDER BY reject.id",
        (target_key(db, named.target), named.measurement, named.field, _TYPE_CONFLICT),
    )
    return [(id_,) for id_, export in rows if exports is None or export in exports]


def _due(
    db: sqlite3.Connection, named: NamedField, exports: Collection[str]
) -> list[tuple[int]]:
    """Return the ids of what waits under a name, the oldest first."""
    rows = db.execute(
        "SELECT sample.id, export.name FROM sample"
        " JOIN series ON series.id = series_id JOIN export ON export.id = export_id"
        " WHERE sample.target_id = ? AND measurement = ? AND field = ?"
        " ORDER BY sample.id",
        (target_key(db, named.target), named.measurement, named.field),
    )
    return [(id_,) for id_, export in rows if export in exports]
