"""The history queue: jobs that send the past, and the little that waits of them.

What is put in and how far its job has come are written together: a kill in between loses and doubles nothing. The
functions block, in the outbox' thread, and each is one transaction.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
import time
from typing import Any, Final

from ...api import WriteTarget
from ..outbox.batches import (
    Batch,
    Entry,
    FieldKey,
    Settlement,
    cut,
    from_us,
    make_batch,
    regroup,
    split,
    to_blocks,
    to_us,
)
from ..outbox.live import add_rejects, recall
from ..outbox.outbox import Outbox
from ..outbox.rows import Rows
from ..outbox.schema import QUEUE_BITS, target_id
from .recorder import Chunk

_SAME_RANGE: Final = timedelta(minutes=1)
"""Two requests up to the present mean the same when they are this close."""


@dataclass(frozen=True, slots=True)
class Job:
    """A part of the past that is sent for an export, from its end back to its start, and how far that has come."""

    id: int
    queue_id: int
    export_id: str
    start: datetime
    end: datetime
    cursor: datetime
    """Everything from here on was read."""
    chunk_end: datetime
    """Everything from here on was sent."""
    outside_until: datetime | None
    """The service takes nothing of this time or older; None where that was not met."""
    finished: datetime | None
    stored: int
    outside: int
    """Values that are older than the service takes, as far as they were read."""
    refused: int
    """Values that the service refused for another reason."""
    unusable: int
    """States that mean nothing under the field's name."""
    reason: str | None
    """What the service said of the last values that it refused."""


class HistoryQueue:
    """A source of the uploader, as the live queue is. Its methods raise `OutboxError`.

    It keeps nothing of an upload: the rows of a batch tell which job it belongs to, so that uploads to several
    targets at once do not get into each other's way.
    """

    def __init__(self, outbox: Outbox) -> None:
        """Use the file of `outbox`."""
        self.outbox = outbox
        self.wanted: set[WriteTarget] = set()
        """The targets that samples are known to wait for."""

    async def waiting(self, job: Job) -> Counter[WriteTarget]:
        """Return how many samples of a job wait for which target."""
        waiting = await self.outbox.store.read(count_waiting, job.queue_id)
        self.wanted.update(waiting)
        return waiting

    async def next_batch(
        self, target: WriteTarget, max_samples: int | None, max_bytes: int
    ) -> Batch | None:
        """Return what makes one request to a target: the newest of the first job that has something for it."""
        batch = await self.outbox.store.run(next_batch, target, max_samples, max_bytes)
        if batch is None:
            self.wanted.discard(target)
        return batch

    async def settle(self, batch: Batch, result: Settlement) -> None:
        """Do with samples of the past as their upload went."""
        if await self.outbox.store.run(settle, batch, result):
            self.outbox.ledger.count_rejected(result.rejects, result.recalled)


def load_jobs(rows: Rows, job_id: int | None = None) -> list[Job]:
    """Return one job if it is known, or without an id all: those to be done, and of each export the last one done."""
    jobs = []
    for id_, queue_id, export, *rest in rows.db.execute(
        "SELECT id, queue_id, export, start_us, end_us, cursor_us, chunk_end_us,"
        " outside_until_us, CAST(finished * 1e6 AS INTEGER),"
        " stored, outside, refused, unusable, reason"
        " FROM history_job WHERE id = ifnull(?, id) ORDER BY id",
        (job_id,),
    ).fetchall():
        times: list[Any] = [None if us is None else from_us(us) for us in rest[:6]]
        jobs.append(Job(id_, queue_id, export, *times, *rest[6:]))
    return jobs


def ask(rows: Rows, export_id: str, start: datetime, end: datetime) -> bool:
    """Make a job, unless one that is not finished will do the same; return whether it was made."""
    if rows.db.execute(
        "SELECT 1 FROM history_job WHERE export = ? AND finished IS NULL"
        " AND start_us <= ? AND end_us >= ?",
        (export_id, to_us(start), to_us(end - _SAME_RANGE)),
    ).fetchone():
        return False
    _add(rows, export_id, start, end)
    return True


def begin(
    rows: Rows,
    export_ids: Collection[str],
    starts: Mapping[str, datetime],
    end: datetime,
) -> None:
    """Forget the jobs of other exports, and make those that the dialogs of new ones have asked for.

    `starts` has these by export id; each is taken up once and for all.
    """
    for id_, queue_id, export in rows.db.execute(
        "SELECT id, queue_id, export FROM history_job"
    ).fetchall():
        if export not in export_ids:
            _forget(rows, id_, queue_id)
    for export, start in starts.items():
        if rows.db.execute(
            "INSERT OR IGNORE INTO history_offer (export) VALUES (?)", (export,)
        ).rowcount:
            _add(rows, export, start, end)


def _add(rows: Rows, export_id: str, start: datetime, end: datetime) -> None:
    rows.db.execute(
        "INSERT INTO history_job"
        " (queue_id, export, start_us, end_us, cursor_us, chunk_end_us)"
        " VALUES (?1, ?2, ?3, ?4, ?4, ?4)",
        (rows.history_queue(), export_id, to_us(start), to_us(end)),
    )


def finish(rows: Rows, job_id: int) -> None:
    """Note that a job is done, and forget what was done for its export before."""
    _count_as_outside(rows, job_id)
    rows.db.execute(
        "UPDATE history_job SET finished = ? WHERE id = ?", (time.time(), job_id)
    )
    rows.db.execute("DELETE FROM history_field WHERE job_id = ?", (job_id,))
    for id_, queue_id in rows.db.execute(
        "SELECT id, queue_id FROM history_job WHERE id <> ?1 AND finished IS NOT NULL"
        " AND export = (SELECT export FROM history_job WHERE id = ?1)",
        (job_id,),
    ).fetchall():
        _forget(rows, id_, queue_id)


def _forget(rows: Rows, job_id: int, queue_id: int) -> None:
    rows.drop_history_queue(queue_id)
    rows.db.execute("DELETE FROM history_field WHERE job_id = ?", (job_id,))
    rows.db.execute("DELETE FROM history_job WHERE id = ?", (job_id,))


def go_on(rows: Rows, job_id: int) -> None:
    """Go on with a job that another target than the present one takes no more of."""
    rows.db.execute(
        "UPDATE history_job SET outside_until_us = NULL WHERE id = ?", (job_id,)
    )


def add_chunk(rows: Rows, job: Job, chunk: Chunk) -> bool:
    """Put in what was read of a job before its cursor, and move that to where the chunk begins.

    What is of a field that the service refuses is left out. Return False where the job is somewhere else by now.
    """
    keys = load_refused(rows, job.id)
    blocks = [split(block, keys)[0] for block in to_blocks(chunk.samples)]
    refused = len(chunk.samples) - sum(map(len, blocks))
    moved = rows.db.execute(
        "UPDATE history_job SET cursor_us = ?, chunk_end_us = cursor_us,"
        " refused = refused + ?, unusable = unusable + ?"
        " WHERE id = ? AND cursor_us = ? AND finished IS NULL",
        (to_us(chunk.since), refused, chunk.unusable, job.id, to_us(job.cursor)),
    ).rowcount
    if moved:
        rows.insert(job.queue_id, filter(len, blocks))
    return bool(moved)


def load_refused(rows: Rows, job_id: int) -> set[FieldKey]:
    """Return the fields that are left out of a job."""
    return {
        FieldKey(WriteTarget(*names), measurement, field, type_)
        for *names, measurement, field, type_ in rows.db.execute(
            "SELECT collector, database, retention_policy, measurement, field, type"
            " FROM history_field JOIN target ON target.id = target_id WHERE job_id = ?",
            (job_id,),
        ).fetchall()
    }


def count_waiting(rows: Rows, queue_id: int) -> Counter[WriteTarget]:
    """Return how many samples of a queue wait for which target."""
    waiting: Counter[WriteTarget] = Counter()
    for block in rows.read(queue_id):
        waiting[block.series.target] += len(block)
    return waiting


def next_batch(
    rows: Rows, target: WriteTarget, max_samples: int | None, max_bytes: int
) -> Batch | None:
    """Return the newest of the first job that has something for a target."""
    for (queue_id,) in rows.db.execute(
        "SELECT queue_id FROM history_job WHERE finished IS NULL ORDER BY id"
    ).fetchall():
        its = (block for block in rows.read(queue_id) if block.series.target == target)
        if blocks := cut(its, max_samples, max_bytes):
            return make_batch(target, blocks)
    return None


def settle(rows: Rows, batch: Batch, result: Settlement) -> bool:
    """Do with a batch as its upload went.

    Return False where the batch was put back meanwhile or its job forgotten: then nothing has come of it.
    """
    ids = [block.row.id for block in batch.blocks if block.row.id is not None]
    queue_id = ids[0] >> QUEUE_BITS
    job = rows.db.execute(
        "SELECT id, export, end_us FROM history_job WHERE queue_id = ?", (queue_id,)
    ).fetchone()
    if job is None or not rows.delete(ids):
        return False
    job_id, export_id, end_us = job
    recalled = 0
    for its in result.recalled:
        # It was set aside as a single one. One of the present goes up as others of its field do
        sample = its.sample
        is_ours = sample.export_id == export_id and to_us(sample.time) < end_us
        recalled += is_ours
        recall(rows, its)
        rows.insert(
            queue_id if is_ours else rows.live_queue(batch.target), to_blocks([sample])
        )
    for block in result.remaining:
        rows.rewrite(block)
    add_rejects(rows, result.rejects)
    refused = len(result.rejects) - recalled
    reasons = [reject.reason for reject in result.rejects]
    too_old = result.too_old
    until_us = None if too_old is None else to_us(too_old.until)
    gone = _take_out(rows, queue_id, result.blocked, batch.target, until_us)
    for key, reason in result.blocked.items():
        reasons.append(reason)
        times = gone[key]
        refused += len(times)
        # A refusal that speaks of a type is not about the age of a value
        newest_us = None if "type" in reason else max(times, default=None)
        rows.db.execute(
            "INSERT OR REPLACE INTO history_field"
            " (job_id, target_id, measurement, field, type, refused, newest_us)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (job_id, target_id(rows.db, key.target), *key[1:], len(times), newest_us),
        )
    if result.stored:
        # What was refused and is not older than this was refused for something else than its age
        rows.db.execute(
            "UPDATE history_field SET newest_us = NULL"
            " WHERE job_id = ? AND target_id = ? AND newest_us >= ?",
            (
                job_id,
                target_id(rows.db, batch.target),
                min(min(block.times) for block in result.stored),
            ),
        )
    outside = len(gone[None])
    if too_old is not None:
        outside += sum(map(len, too_old.blocks))
        reasons.append(too_old.reason)
    rows.db.execute(
        "UPDATE history_job SET stored = stored + ?, refused = refused + ?,"
        " outside = outside + ?, outside_until_us = coalesce(?, outside_until_us),"
        " reason = coalesce(?, reason) WHERE id = ?",
        (
            sum(map(len, result.stored)),
            refused,
            outside,
            until_us,
            reasons[-1] if reasons else None,
            job_id,
        ),
    )
    if too_old is not None:
        _count_as_outside(rows, job_id)
    return True


def _take_out(
    rows: Rows,
    queue_id: int,
    keys: Collection[FieldKey],
    target: WriteTarget,
    until_us: int | None,
) -> defaultdict[FieldKey | None, list[int]]:
    """Forget what waits of fields, and what of a target is not newer than a time.

    Return the times of the samples by field, under None of those that are too old.
    """
    gone: defaultdict[FieldKey | None, list[int]] = defaultdict(list)
    if not keys and until_us is None:
        return gone
    for block in list(rows.read(queue_id)):
        kept = []
        its_until = until_us if block.series.target == target else None
        for number, time_us in enumerate(block.times):
            entry = Entry(block, number)
            if entry.key in keys:
                gone[entry.key].append(time_us)
            elif its_until is not None and time_us <= its_until:
                gone[None].append(time_us)
            else:
                kept.append(entry)
        if len(kept) < len(block):
            rows.delete([block.row.id])
            for part in regroup(kept):
                rows.rewrite(part)
    return gone


def _count_as_outside(rows: Rows, job_id: int) -> None:
    """Decide on fields of which nothing was stored since, nor of anything older: they were too old."""
    count, newest_us = rows.db.execute(
        "SELECT coalesce(sum(refused), 0), max(newest_us) FROM history_field"
        " WHERE job_id = ? AND newest_us IS NOT NULL",
        (job_id,),
    ).fetchone()
    if newest_us is None:
        return
    rows.db.execute(
        "UPDATE history_job SET outside = outside + ?1, refused = refused - ?1,"
        " outside_until_us = max(?2, coalesce(outside_until_us, ?2)) WHERE id = ?3",
        (count, newest_us, job_id),
    )
    rows.db.execute(
        "UPDATE history_field SET newest_us = NULL WHERE job_id = ?", (job_id,)
    )
