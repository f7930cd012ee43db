"""The jobs that send the past. How far each has come is on disk; what a kill interrupts is read again, and counts once."""

from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
import json
from typing import Final

from homeassistant.util import dt as dt_util

from ...api import WriteTarget
from ..outbox import batches
from ..outbox.batches import Batch, Block, Entry, FieldKey, Reject, Sample, Settlement
from ..outbox.live import add_rejects, recall
from ..outbox.rows import Rows
from .recorder import Chunk

_SAME_RANGE: Final = timedelta(minutes=1)
"""Two requests up to the present mean the same when they are this close."""

_TIMES: Final = (
    *("start", "end", "cursor", "finished"),
    *("oldest_stored", "outside_until", "suspects_until"),
)


@dataclass(slots=True)
class Job:
    """A part of the past that is sent for an export, from its end back to its start, and how far that has come."""

    id: int
    export_id: str
    start: datetime
    end: datetime
    cursor: datetime
    """Everything from here on was read; in a job that is written down it was sent, too."""
    finished: datetime | None = None
    stored: int = 0
    oldest_stored: datetime | None = None
    outside: int = 0
    """Values that are older than the service takes, as far as they were read."""
    outside_until: datetime | None = None
    """The service takes nothing of this time or older; None where that was not met."""
    refused: int = 0
    """Values that the service refused for another reason."""
    suspects: int = 0
    """Those of `refused` for which that may have been their age."""
    suspects_until: datetime | None = None
    unusable: int = 0
    """States that mean nothing under the field's name."""
    reason: str | None = None
    """What the service said of the last values that it refused."""

    def has(self, sample: Sample) -> bool:
        """Tell whether a sample is of this job, and not of the present."""
        return sample.export_id == self.export_id and sample.time < self.end

    def finish(self) -> None:
        """End the job: where nothing as old was stored, fields were refused for their age."""
        until, stored = self.suspects_until, self.oldest_stored
        if until is not None and (stored is None or until < stored):
            self.outside += self.suspects
            self.refused -= self.suspects
            self.outside_until = max(until, self.outside_until or until)
        self.suspects, self.suspects_until = 0, None
        self.finished = dt_util.utcnow()


@dataclass(slots=True, eq=False)
class Sending:
    """A job that is under way, and what waits of it."""

    job: Job
    blocks: list[Block] = field(default_factory=list)
    left_out: set[FieldKey] = field(default_factory=set)
    """Fields that the service refuses."""
    rejects: list[Reject] = field(default_factory=list)
    recalled: list[Reject] = field(default_factory=list)
    """Samples that were set aside, and those of which that is taken back, since the job was written down."""

    def put(self, chunk: Chunk) -> None:
        """Take what was read before the cursor; what is of a field that the service refuses is left out."""
        parts = [
            batches.split(block, self.left_out)[0]
            for block in batches.to_blocks(chunk.samples)
        ]
        self.blocks = list(filter(len, parts))
        self.job.refused += len(chunk.samples) - sum(map(len, parts))
        self.job.unusable += chunk.unusable
        self.job.cursor = chunk.since

    def settle(self, batch: Batch, result: Settlement) -> None:
        """Do with samples as their upload went."""
        job, gone = self.job, set(batch.blocks)
        waiting = [*result.remaining, *(its for its in self.blocks if its not in gone)]
        for block in result.stored:
            oldest = batches.from_us(min(block.times))
            job.stored += len(block)
            job.oldest_stored = min(oldest, job.oldest_stored or oldest)
        self.rejects += result.rejects
        self.recalled += result.recalled
        job.refused += len(result.rejects)
        for reject in result.rejects:
            job.reason = reject.reason
        for sample, _ in result.recalled:
            if job.has(sample):
                job.refused -= 1
                waiting += batches.to_blocks([sample])
        self.left_out.update(result.blocked)
        self.blocks = []
        for block in waiting:
            rest, held = batches.split(block, result.blocked)
            self.blocks += [rest] if len(rest) else []
            for key, part in held.items():
                job.reason = result.blocked[key]
                job.refused += len(part)
                # A refusal that speaks of a type is not about the age of a value
                if "type" not in job.reason:
                    newest = batches.from_us(max(part.times))
                    job.suspects += len(part)
                    job.suspects_until = max(newest, job.suspects_until or newest)
        if (too_old := result.too_old) is not None:
            job.outside_until, job.reason = too_old.until, too_old.reason
            before, until_us = sum(map(len, self.blocks)), batches.to_us(too_old.until)
            self.blocks = batches.regroup(
                Entry(block, number)
                for block in self.blocks
                for number, time_us in enumerate(block.times)
                if time_us > until_us
            )
            job.outside += before - sum(map(len, self.blocks))
            job.outside += sum(map(len, too_old.blocks))


@dataclass(slots=True, eq=False)
class HistoryQueue:
    """A source of the uploader, as the live queue is: what waits of the jobs that are under way."""

    sendings: dict[int, Sending] = field(default_factory=dict)

    @property
    def targets(self) -> set[WriteTarget]:
        """The targets that samples wait for."""
        return {
            its.blocks[0].series.target for its in self.sendings.values() if its.blocks
        }

    async def next_batch(self, target: WriteTarget, max_bytes: int) -> Batch | None:
        """Return what makes one request to a target: the newest of the first job that has something for it."""
        for its in self.sendings.values():
            if its.blocks and its.blocks[0].series.target == target:
                blocks = batches.cut(its.blocks, max_bytes)
                count = sum(map(len, blocks))
                return await batches.async_aside(
                    count, batches.make_batch, target, blocks
                )
        return None

    async def settle(self, batch: Batch, result: Settlement) -> None:
        """Do with samples of the past as their upload went."""
        for its in self.sendings.values():
            if batch.blocks[0] in its.blocks:
                its.settle(batch, result)


def load_jobs(rows: Rows) -> list[Job]:
    """Return the jobs to be done, and of each export the last one done."""
    jobs = []
    for (text,) in rows.db.execute("SELECT job FROM history_job ORDER BY id"):
        with suppress(KeyError, TypeError, ValueError):
            stored = json.loads(text)
            for name in _TIMES:
                time = stored[name]
                stored[name] = None if time is None else datetime.fromisoformat(time)
            jobs.append(Job(**stored))
    return jobs


def save(rows: Rows, sending: Sending) -> None:
    """Write a job down with what was set aside; one that is done takes the place of what was done before."""
    job = sending.job
    rows.db.execute(
        "INSERT OR REPLACE INTO history_job (id, job) VALUES (?, ?)",
        (job.id, json.dumps(asdict(job), default=str)),
    )
    add_rejects(rows, sending.rejects)
    for its in sending.recalled:
        # It was set aside as a single one. One of the present goes up as others of its field do
        recall(rows, its)
        if not job.has(its.sample):
            queue_id = rows.live_queue(its.sample.series.target)
            rows.insert(queue_id, batches.to_blocks([its.sample]))
    for other in load_jobs(rows) if job.finished else ():
        if other.export_id == job.export_id and other.finished and other.id != job.id:
            _forget(rows, other)


def _forget(rows: Rows, job: Job) -> None:
    rows.db.execute("DELETE FROM history_job WHERE id = ?", (job.id,))


def ask(rows: Rows, export_id: str, start: datetime, end: datetime) -> bool:
    """Make a job, unless one that is not finished will do the same; return whether it was made."""
    jobs = load_jobs(rows)
    if any(
        job.export_id == export_id
        and job.finished is None
        and job.start <= start
        and job.end >= end - _SAME_RANGE
        for job in jobs
    ):
        return False
    id_ = max((job.id for job in jobs), default=0) + 1
    save(rows, Sending(Job(id_, export_id, start, end, end)))
    return True


def begin(
    rows: Rows, exports: Collection[str], starts: Mapping[str, datetime], end: datetime
) -> None:
    """Forget the jobs of other exports, and make, once, those that new ones ask for with the `starts` by export id."""
    jobs = load_jobs(rows)
    for job in jobs:
        if job.export_id not in exports:
            _forget(rows, job)
    for export_id in starts.keys() - {job.export_id for job in jobs}:
        ask(rows, export_id, starts[export_id], end)
