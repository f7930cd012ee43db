"""The history queue: jobs are asked for once, and each is its own, whatever becomes of the requests of another."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime, timedelta
import gzip
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from custom_components.eniris.api import (
    Body,
    ConflictError,
    EnirisConnectionError,
    EnirisError,
    FieldValue,
    WriteTarget,
)
from custom_components.eniris.exporting.config import Series
from custom_components.eniris.exporting.history import jobs
from custom_components.eniris.exporting.history.jobs import HistoryQueue, Job
from custom_components.eniris.exporting.issues import Issues
from custom_components.eniris.exporting.outbox.batches import (
    BATCH_BYTES,
    Batch,
    FieldKey,
    Reject,
    Sample,
    Settlement,
    TooOld,
    regroup,
    to_blocks,
)
from custom_components.eniris.exporting.outbox.live import (
    add_rejects,
    load_rejects,
    read,
)
from custom_components.eniris.exporting.outbox.outbox import Outbox
from custom_components.eniris.exporting.target import TargetUploader
from homeassistant.core import HomeAssistant
from tests.kit.backfill import PastQueue

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
SLOW = WriteTarget("demo-ingress", "demo", "rp_one_m")
FAST = WriteTarget("demo-ingress", "demo", "rp_one_s")
OLD = ConflictError(409, "outside the allowed time range")


def series(target: WriteTarget) -> Series:
    """Return the series of the exports to a target."""
    return Series(target, "gridMetrics", (("serialNr", "1234"),))


def ago(seconds: float) -> datetime:
    """Return a time of the past."""
    return NOW - timedelta(seconds=seconds)


def past(
    export_id: str,
    target: WriteTarget,
    seconds: Iterable[int],
    field: str = "a_W",
    value: FieldValue = 1.0,
) -> list[Sample]:
    """Return samples so many seconds before job."""
    its = series(target)
    return [Sample(export_id, its, ago(n), field, value) for n in seconds]


@pytest.fixture
async def outbox(hass: HomeAssistant, tmp_path: Path) -> AsyncIterator[Outbox]:
    """Return an outbox that is open."""
    outbox = Outbox(hass, tmp_path / "outbox.db")
    await outbox.open()
    yield outbox
    await outbox.close()


@pytest.fixture
def queue(outbox: Outbox) -> PastQueue:
    """Return the history queue of the outbox, with its jobs."""
    return PastQueue(outbox)


async def ask(queue: PastQueue, export_id: str) -> Job:
    """Make a job for the last day, and return it."""
    assert await queue.ask(export_id, ago(86_400), NOW)
    return (await queue.jobs())[-1]


async def next_batch(queue: PastQueue, target: WriteTarget = SLOW) -> Batch:
    """Return the next batch for a target."""
    batch = await queue.next_batch(target, BATCH_BYTES)
    assert batch is not None
    return batch


class Service:
    """Answers the requests to each target with what is said of it."""

    def __init__(self) -> None:
        """Take everything."""
        self.requests = 0
        self.held: dict[WriteTarget, asyncio.Event] = {}
        """What a request to a target waits for before it is answered."""
        self.reached: dict[WriteTarget, asyncio.Event] = {
            SLOW: asyncio.Event(),
            FAST: asyncio.Event(),
        }
        self.answers: dict[WriteTarget, EnirisError] = {}

    async def write_body(self, target: WriteTarget, body: Body) -> None:
        """Answer a request."""
        self.requests += 1
        self.reached[target].set()
        if (held := self.held.get(target)) is not None:
            await held.wait()
        if (error := self.answers.get(target)) is not None:
            raise error


def uploader(outbox: Outbox, service: Service, target: WriteTarget) -> TargetUploader:
    """Return what uploads to a target."""
    session: Any = service
    return TargetUploader(session, outbox, Mock(spec=Issues), target)


async def test_newest_first(queue: PastQueue) -> None:
    """What waits of a job goes up from its end to its start, in chunks and within each."""
    job = await ask(queue, "a")
    queue.add(job, ago(60), past("a", SLOW, range(60)))
    batch = await next_batch(queue)
    assert [entry.sample.time for entry in batch.entries] == [
        ago(second) for second in range(60)
    ]
    assert await queue.next_batch(FAST, BATCH_BYTES) is None
    assert queue.waiting(job) == 60
    assert queue.targets == {SLOW}


async def test_written_down_together(queue: PastQueue) -> None:
    """What has become of a job is on disk when all that was read is through, and not before."""
    job = await ask(queue, "a")
    queue.add(job, ago(30), past("a", SLOW, range(30)), unusable=3)
    batch = await next_batch(queue)
    await queue.settle(batch, Settlement(stored=batch.blocks))
    [on_disk] = await queue.jobs()
    assert (on_disk.cursor, on_disk.stored, on_disk.unusable) == (NOW, 0, 0)
    await queue.save(job)
    assert await queue.jobs() == [job]
    assert (job.cursor, job.stored, job.unusable) == (ago(30), 30, 3)


async def test_asked_twice(queue: PastQueue, outbox: Outbox) -> None:
    """What is under way is not done again; an offer is taken up once and for all."""
    job = await ask(queue, "a")
    assert not await queue.ask("a", ago(3600), NOW)
    assert await queue.ask("b", ago(3600), NOW)
    assert await queue.ask("a", ago(100_000), NOW)
    for _ in range(2):
        await outbox.store.run(jobs.begin, "abc", {"c": ago(3600)}, NOW)
    assert [its.export_id for its in await queue.jobs()].count("c") == 1
    await queue.finish(job)
    assert await queue.ask("a", ago(200_000), NOW)


async def test_last_one_done_is_remembered(queue: PastQueue) -> None:
    """Of what was done for an export the last is kept, and with the export goes all of it."""
    for _ in range(2):
        job = await ask(queue, "a")
        await queue.finish(job)
        assert job.finished is not None
    other = await ask(queue, "b")
    assert await queue.jobs() == [job, other]
    await queue.keep({"a"})
    assert await queue.jobs() == [job]


async def test_stored(queue: PastQueue, outbox: Outbox) -> None:
    """What is stored is forgotten and counted; what waits of the past is no figure of the present."""
    job = await ask(queue, "a")
    queue.add(job, ago(30), past("a", SLOW, range(30)))
    figures = await outbox.refresh_figures()
    assert "a" not in figures or figures["a"].waiting == 0
    batch = await next_batch(queue)
    await queue.settle(batch, Settlement(stored=batch.blocks))
    assert job.stored == 30
    assert not queue.waiting(job)


async def test_too_old(queue: PastQueue) -> None:
    """At the border of what is taken the job ends: all that waits and is older is outside."""
    job = await ask(queue, "a")
    queue.add(job, ago(2000), past("a", SLOW, range(2000)))
    batch = await queue.next_batch(SLOW, 1)
    assert batch is not None
    entries = batch.entries
    result = Settlement(
        stored=regroup(entries[:100]),
        remaining=regroup(entries[100:110]),
        too_old=TooOld(ago(110), "outside", regroup(entries[110:])),
    )
    await queue.settle(batch, result)
    assert (job.stored, job.outside, job.refused) == (100, 1890, 0)
    assert job.outside_until == ago(110)
    assert job.reason == "outside"
    left = await next_batch(queue)
    assert [entry.sample.time for entry in left.entries] == [
        ago(second) for second in range(100, 110)
    ]


async def test_reject(queue: PastQueue, outbox: Outbox) -> None:
    """A single sample is set aside as one of the present is."""
    job = await ask(queue, "a")
    queue.add(job, ago(30), past("a", SLOW, range(30)))
    batch = await next_batch(queue)
    entries = batch.entries
    bad = Reject(entries[7].sample, "bad")
    await queue.settle(
        batch,
        Settlement(
            stored=regroup(entries[:7]), rejects=[bad], remaining=regroup(entries[8:])
        ),
    )
    assert (job.stored, job.refused, job.reason) == (7, 1, "bad")
    assert queue.waiting(job) == 22
    await queue.save(job)
    assert await outbox.store.run(load_rejects) == [bad]


@pytest.mark.parametrize("reason", ["field type conflict", "outside the time range"])
async def test_blocked_field(queue: PastQueue, outbox: Outbox, reason: str) -> None:
    """A field is left out of a job, and of what is read later; the others go on, and other jobs."""
    job, other = await ask(queue, "a"), await ask(queue, "b")
    both = [*past("a", SLOW, range(30)), *past("a", SLOW, range(30), "b_W")]
    both.sort(key=lambda sample: sample.time, reverse=True)
    queue.add(job, ago(30), both)
    queue.add(other, ago(30), past("b", SLOW, range(30)))
    batch = await next_batch(queue)
    key = FieldKey(SLOW, "gridMetrics", "a_W", "float")
    first = next(entry for entry in batch.entries if entry.key == key)
    await queue.settle(
        batch,
        Settlement(
            stored=regroup(entry for entry in batch.entries if entry.key != key),
            remaining=regroup(entry for entry in batch.entries if entry.key == key),
            blocked={key: reason},
        ),
    )
    assert (job.stored, job.refused, job.reason) == (30, 30, reason)
    assert not queue.waiting(job)
    assert queue.sendings[job.id].left_out == {key}
    queue.add(job, ago(60), past("a", SLOW, range(30, 60)))
    assert not queue.waiting(job)
    await queue.finish(job)
    # Of the same times others were stored, so that it was not the age
    assert (job.refused, job.outside) == (60, 0)
    assert first.sample.export_id == "a"
    assert queue.waiting(other) == 30


async def test_blocked_for_its_age(queue: PastQueue) -> None:
    """Where nothing of that age or older is stored until the end, a field was refused for its age."""
    job = await ask(queue, "a")
    samples = past("a", SLOW, range(1, 61))
    queue.add(job, ago(61), samples)
    batch = await next_batch(queue)
    key = batch.entries[0].key
    # As two requests would find it: a single one first, and with the second the field
    single = Reject(batch.entries[0].sample, str(OLD))
    await queue.settle(
        batch, Settlement(rejects=[single], remaining=regroup(batch.entries[1:]))
    )
    assert job.refused == 1
    batch = await next_batch(queue)
    await queue.settle(
        batch,
        Settlement(recalled=[single], remaining=batch.blocks, blocked={key: str(OLD)}),
    )
    assert job.refused == 60
    await queue.finish(job)
    assert (job.refused, job.outside) == (0, 60)
    assert job.outside_until == ago(1)


async def test_recalled_of_the_present(queue: PastQueue, outbox: Outbox) -> None:
    """A live sample that was set aside waits with the live ones again, where its field is refused in the past."""
    job = await ask(queue, "a")
    queue.add(job, ago(30), past("a", SLOW, range(1, 30)))
    batch = await next_batch(queue)
    live = Reject(past("a", SLOW, [-10])[0], "bad")
    await outbox.store.run(add_rejects, [live])
    await queue.settle(
        batch,
        Settlement(
            recalled=[live],
            remaining=batch.blocks,
            blocked={batch.entries[0].key: "field type conflict"},
        ),
    )
    assert job.refused == 29
    await queue.save(job)
    assert await outbox.store.run(load_rejects) == []
    assert SLOW in outbox.targets()
    back = await outbox.store.run(read, SLOW, 0, None, BATCH_BYTES)
    assert back is not None
    assert [entry.sample for entry in back.entries] == [live.sample]


def plain(body: Body) -> bytes:
    """Return what a request says."""
    is_compressed = "Content-Encoding" in body.headers
    return gzip.decompress(body.data) if is_compressed else body.data


async def two_jobs(queue: PastQueue) -> tuple[Job, Job]:
    """Make two jobs for two targets, each with something that waits."""
    slow, fast = await ask(queue, "slow"), await ask(queue, "fast")
    queue.add(slow, ago(10), past("slow", SLOW, range(1, 11)))
    queue.add(fast, ago(1000), past("fast", FAST, range(1, 1001), "b_W"))
    return slow, fast


async def test_two_targets(queue: PastQueue, outbox: Outbox) -> None:
    """Requests of two jobs that are under way at once count for their own job each."""
    slow, fast = await two_jobs(queue)
    service = Service()
    service.held[FAST] = asyncio.Event()
    uploads = [
        asyncio.create_task(uploader(outbox, service, target).upload(queue))
        for target in (FAST, SLOW)
    ]
    await uploads[1]
    assert slow.stored == 10
    assert fast.stored == 0
    service.held[FAST].set()
    await uploads[0]
    assert fast.stored == 1000
    assert slow.stored == 10


async def test_one_is_too_old_while_the_other_has_a_hiccup(
    queue: PastQueue, outbox: Outbox
) -> None:
    """The job that is refused for its age ends, and none of what waits for another is lost."""
    slow, fast = await two_jobs(queue)
    service = Service()
    # The service is known to take newer values of the field
    its = uploader(outbox, service, SLOW)
    live = past("slow", SLOW, [-1])
    outbox.add(to_blocks(live))
    await its.upload(HistoryQueue())
    service.held = {target: asyncio.Event() for target in (SLOW, FAST)}
    for reached in service.reached.values():
        reached.clear()

    async def refuse_old(target: WriteTarget, body: Body) -> None:
        await answer(target, body)
        if target == SLOW and b"12:00:01" not in plain(body):
            raise OLD

    answer = service.write_body
    service.write_body = refuse_old  # type: ignore[method-assign]
    service.answers[FAST] = EnirisConnectionError("down for a moment")
    uploads = [
        asyncio.create_task(each.upload(queue))
        for each in (its, uploader(outbox, service, FAST))
    ]
    await service.reached[FAST].wait()
    await service.reached[SLOW].wait()
    service.held[SLOW].set()
    await uploads[0]
    assert (slow.stored, slow.outside) == (0, 10)
    assert slow.outside_until is not None
    service.held[FAST].set()
    await uploads[1]
    assert (fast.stored, fast.outside, fast.outside_until) == (0, 0, None)
    assert queue.waiting(fast) == 1000
