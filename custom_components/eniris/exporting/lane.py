"""The lower lane of the outbox: jobs that send the past, and the little of it that waits.

A job goes from its end back to its start, a chunk at a time. The next chunk is put in only when
the one before is through, so that a year of history fills neither the memory nor the disk. What
is put in and how far the job has come are written together: a kill in between loses and
doubles nothing.
"""

from collections.abc import Collection, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
import sqlite3
import time
from typing import Any, Final, NamedTuple

from ..api import FieldValue, WriteTarget
from .damage import NonsenseError
from .outbox import (
    BATCH_BYTES,
    Outbox,
    Sample,
    StoredSample,
    as_target,
    cut_batch,
    export_key,
    from_seconds,
    from_us,
    note_reject,
    series_keys,
    target_key,
    to_us,
)

_SAME_RANGE: Final = timedelta(minutes=1)
"""Two requests up to the present mean the same when they are this close."""


class FieldType(NamedTuple):
    """A field of a measurement with the type of a value; the service takes one type of a field."""

    measurement: str
    field: str
    type: str


def field_type(measurement: str, field: str, value: FieldValue) -> FieldType:
    """Return what the service may refuse altogether."""
    return FieldType(measurement, field, type(value).__name__)


@dataclass(frozen=True, slots=True)
class Job:
    """A part of the past that is sent for an export, and how far that has come."""

    id: int
    export_id: str
    start: datetime
    end: datetime
    cursor: datetime
    """Everything from here on was read."""
    chunk_end: datetime
    """Everything from here on was sent."""
    stored: int
    outside: int
    """Values that are older than the service takes, as far as they were read."""
    refused: int
    """Values that the service refused for another reason."""
    unusable: int
    """States that mean nothing under the field's name."""
    outside_until: datetime | None
    """The service takes nothing of this time or older; None where that was not met."""
    reason: str | None
    """What the service said of the last values that it refused."""
    finished: datetime | None


_JOBS: Final = (
    "SELECT id, export, start_us, end_us, cursor_us, chunk_end_us, stored, outside,"
    " refused, unusable, outside_until_us, reason, finished FROM history_job"
    " WHERE id = ?1 OR ?1 IS NULL AND (finished IS NULL OR id IN"
    " (SELECT max(id) FROM history_job WHERE finished IS NOT NULL GROUP BY export))"
    " ORDER BY id"
)
"""One job, or without an id those to be done and of each export the last one done."""

_OF_JOB: Final = (
    "DELETE FROM history_sample WHERE job_id = ?",
    "DELETE FROM history_field WHERE job_id = ?",
    "DELETE FROM history_job WHERE id = ?",
)


class Lane:
    """Jobs and their samples in the outbox' file. Its methods raise `OutboxError`."""

    def __init__(self, outbox: Outbox) -> None:
        """Use the file of `outbox`."""
        self._outbox = outbox

    async def ask(
        self, export_id: str, start: datetime, end: datetime, *, offer: bool = False
    ) -> bool:
        """Make a job, unless one that is not finished will do the same; return whether it was.

        An `offer` is what the dialog of a new export asks for: it is taken up once.
        """

        def ask(connection: sqlite3.Connection) -> bool:
            with connection as db:
                if offer:
                    if not db.execute(
                        "INSERT OR IGNORE INTO history_offer (export) VALUES (?)",
                        (export_id,),
                    ).rowcount:
                        return False
                elif db.execute(
                    "SELECT 1 FROM history_job WHERE export = ? AND finished IS NULL"
                    " AND start_us <= ? AND end_us >= ?",
                    (export_id, to_us(start), to_us(end - _SAME_RANGE)),
                ).fetchone():
                    return False
                end_us = to_us(end)
                db.execute(
                    "INSERT INTO history_job"
                    " (export, start_us, end_us, cursor_us, chunk_end_us)"
                    " VALUES (?, ?, ?, ?, ?)",
                    (export_id, to_us(start), end_us, end_us, end_us),
                )
            return True

        return await self._outbox.run(ask)

    async def forget_others(self, export_ids: Collection[str]) -> None:
        """Forget the jobs of exports that are not among `export_ids`."""

        def forget(connection: sqlite3.Connection) -> None:
            with connection as db:
                gone = [
                    (id_,)
                    for id_, export in db.execute("SELECT id, export FROM history_job")
                    if export not in export_ids
                ]
                for statement in _OF_JOB:
                    db.executemany(statement, gone)

        await self._outbox.run(forget)

    async def jobs(self) -> list[Job]:
        """Return the jobs in their order: those to be done, and of each export the last one done."""

        def jobs(db: sqlite3.Connection) -> list[Job]:
            return [_job(row) for row in db.execute(_JOBS, (None,))]

        return await self._outbox.run(jobs)

    async def job(self, job_id: int) -> Job | None:
        """Return a job; None where it is not known any more."""

        def job(db: sqlite3.Connection) -> Job | None:
            row = db.execute(_JOBS, (job_id,)).fetchone()
            return None if row is None else _job(row)

        return await self._outbox.run(job)

    async def add(
        self,
        job: Job,
        since: datetime,
        samples: Sequence[Sample],
        *,
        refused: int = 0,
        unusable: int = 0,
    ) -> bool:
        """Put in what was read of a job from `since` up to its cursor, and move that.

        Return False where the job is somewhere else by now.
        """

        def add(connection: sqlite3.Connection) -> bool:
            with connection as db:
                moved = db.execute(
                    "UPDATE history_job SET cursor_us = ?, chunk_end_us = cursor_us,"
                    " refused = refused + ?, unusable = unusable + ?"
                    " WHERE id = ? AND cursor_us = ? AND finished IS NULL",
                    (to_us(since), refused, unusable, job.id, to_us(job.cursor)),
                ).rowcount
                if not moved:
                    return False
                keys = {
                    series: series_keys(db, series)
                    for series in {sample.series for sample in samples}
                }
                db.executemany(
                    "INSERT INTO history_sample"
                    " (job_id, target_id, series_id, time_us, field, value)"
                    " VALUES (?, ?, ?, ?, ?, ?)",
                    [
                        (
                            job.id,
                            *keys[sample.series],
                            to_us(sample.time),
                            sample.field,
                            sample.value,
                        )
                        for sample in samples
                    ],
                )
            return True

        return await self._outbox.run(add)

    async def waiting(self, job_id: int) -> int:
        """Return how many samples of a job wait."""

        def waiting(db: sqlite3.Connection) -> int:
            (count,) = db.execute(
                "SELECT count(*) FROM history_sample WHERE job_id = ?", (job_id,)
            ).fetchone()
            return int(count)

        return await self._outbox.run(waiting)

    async def targets(self, job_id: int) -> list[WriteTarget]:
        """Return the targets that samples of a job wait for."""

        def targets(db: sqlite3.Connection) -> list[WriteTarget]:
            rows = db.execute(
                "SELECT collector, database, retention_policy FROM target WHERE id IN"
                " (SELECT target_id FROM history_sample WHERE job_id = ?)",
                (job_id,),
            )
            return [as_target(row) for row in rows]

        return await self._outbox.run(targets)

    async def batch(
        self, target: WriteTarget, limit: int | None, size: int = BATCH_BYTES
    ) -> tuple[int, list[StoredSample]]:
        """Return a job and what makes one request of it: the newest, in that order.

        Each field has one type in it, since the service refuses a mixture as a whole.
        """

        def batch(db: sqlite3.Connection) -> tuple[int, list[StoredSample]]:
            key = target_key(db, target)
            (job_id,) = db.execute(
                "SELECT min(job_id) FROM history_sample WHERE target_id = ?", (key,)
            ).fetchone()
            with closing(
                db.execute(
                    "SELECT history_sample.id, history_job.export, series_id,"
                    " measurement, tags, time_us, field, value FROM history_sample"
                    " LEFT JOIN series ON series.id = series_id"
                    " LEFT JOIN history_job ON history_job.id = job_id"
                    " WHERE history_sample.target_id = ? AND job_id = ?"
                    " ORDER BY history_sample.id LIMIT ?",
                    (key, job_id, -1 if limit is None else limit),
                )
            ) as rows:
                return job_id or 0, _of_one_type(cut_batch(rows, size))

        return await self._outbox.run(batch)

    async def delete_stored(
        self, job_id: int, samples: Sequence[StoredSample], new: Collection[FieldType]
    ) -> None:
        """Forget samples that the service has stored, and note what it takes."""

        def delete(connection: sqlite3.Connection) -> None:
            with connection as db:
                count = db.executemany(
                    "DELETE FROM history_sample WHERE id = ?",
                    [(sample.id,) for sample in samples],
                ).rowcount
                db.execute(
                    "UPDATE history_job SET stored = stored + ? WHERE id = ?",
                    (count, job_id),
                )
                _note_fields(db, job_id, new, accepted=True)

        await self._outbox.run(delete)

    async def fields(self, job_id: int) -> dict[FieldType, bool]:
        """Return which fields with which type the service takes or refuses, as far as known."""

        def fields(db: sqlite3.Connection) -> dict[FieldType, bool]:
            return {
                FieldType(*row[:3]): bool(row[3])
                for row in db.execute(
                    "SELECT measurement, field, type, accepted FROM history_field"
                    " WHERE job_id = ?",
                    (job_id,),
                )
            }

        return await self._outbox.run(fields)

    async def set_field_aside(self, job_id: int, field: FieldType, reason: str) -> int:
        """Send no more of a field with a type; return how many of its samples had waited."""

        def set_aside(connection: sqlite3.Connection) -> int:
            with connection as db:
                _note_fields(db, job_id, (field,), accepted=False)
                ids = [
                    (id_,)
                    for id_, value in db.execute(
                        "SELECT history_sample.id, value FROM history_sample"
                        " JOIN series ON series.id = series_id"
                        " WHERE job_id = ? AND measurement = ? AND field = ?",
                        (job_id, field.measurement, field.field),
                    )
                    if _stored_type(value) == field.type
                ]
                db.executemany("DELETE FROM history_sample WHERE id = ?", ids)
                db.execute(
                    "UPDATE history_job SET refused = refused + ?, reason = ? WHERE id = ?",
                    (len(ids), reason, job_id),
                )
            return len(ids)

        return await self._outbox.run(set_aside)

    async def reject(self, job_id: int, sample: StoredSample, reason: str) -> None:
        """Set one sample aside that the service refuses for good, as one of the present is."""

        def reject(connection: sqlite3.Connection) -> None:
            with connection as db:
                inserted = db.execute(
                    "INSERT INTO reject"
                    " (series_id, export_id, time_us, field, value, reason)"
                    " SELECT series_id, ?, time_us, field, value, ?"
                    " FROM history_sample WHERE id = ?",
                    (export_key(db, sample.export_id), reason, sample.id),
                ).rowcount
                if not inserted:
                    # It was put back in the meantime
                    return
                db.execute("DELETE FROM history_sample WHERE id = ?", (sample.id,))
                note_reject(db, sample.export_id)
                db.execute(
                    "UPDATE history_job SET refused = refused + 1, reason = ? WHERE id = ?",
                    (reason, job_id),
                )

        await self._outbox.run(reject)

    async def end_outside(
        self, job_id: int, until: datetime, reason: str, recounted: int = 0
    ) -> None:
        """End a job, since the service takes nothing of `until` or older.

        What waits is outside of its range, and so are `recounted` values that were refused before.
        """

        def end(connection: sqlite3.Connection) -> None:
            with connection as db:
                count = db.execute(
                    "DELETE FROM history_sample WHERE job_id = ?", (job_id,)
                ).rowcount
                db.execute(
                    "UPDATE history_job SET outside = outside + ?, refused = refused - ?,"
                    " outside_until_us = ?, reason = ? WHERE id = ?",
                    (count + recounted, recounted, to_us(until), reason, job_id),
                )

        await self._outbox.run(end)

    async def finish(self, job_id: int) -> None:
        """Note that a job is done, and forget what was done for its export before."""

        def finish(connection: sqlite3.Connection) -> None:
            with connection as db:
                db.execute(
                    "UPDATE history_job SET finished = ? WHERE id = ?",
                    (time.time(), job_id),
                )
                db.execute("DELETE FROM history_field WHERE job_id = ?", (job_id,))
                db.execute(
                    "DELETE FROM history_job WHERE id < ? AND finished IS NOT NULL"
                    " AND export = (SELECT export FROM history_job WHERE id = ?)",
                    (job_id, job_id),
                )

        await self._outbox.run(finish)


def _job(row: tuple[Any, ...]) -> Job:
    outside_until, reason, finished = row[10:]
    if not isinstance(row[1], str) or not all(isinstance(n, int) for n in row[6:10]):
        raise NonsenseError("a job is none")
    values: list[Any] = [
        *row[:2],
        *map(from_us, row[2:6]),
        *row[6:10],
        None if outside_until is None else from_us(outside_until),
        reason,
        None if finished is None else from_seconds(finished),
    ]
    return Job(*values)


def _note_fields(
    db: sqlite3.Connection,
    job_id: int,
    fields: Collection[FieldType],
    *,
    accepted: bool,
) -> None:
    db.executemany(
        "INSERT OR REPLACE INTO history_field (job_id, measurement, field, type, accepted)"
        " VALUES (?, ?, ?, ?, ?)",
        [(job_id, *field, accepted) for field in fields],
    )


def _stored_type(value: float | str) -> str:
    """Return the type of a value as SQLite keeps it, which has no booleans."""
    return bool.__name__ if isinstance(value, int) else type(value).__name__


def _of_one_type(samples: list[StoredSample]) -> list[StoredSample]:
    """Return the samples before the first whose type is not that of its field so far."""
    types: dict[tuple[str, str], type[FieldValue]] = {}
    for index, sample in enumerate(samples):
        known = types.setdefault((sample.measurement, sample.field), type(sample.value))
        if known is not type(sample.value):
            return samples[:index]
    return samples
