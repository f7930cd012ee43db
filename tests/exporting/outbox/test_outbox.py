"""The outbox: nothing on disk while a target works, on disk within two seconds when it does not, and lost never."""

import asyncio
from datetime import timedelta
import os
from pathlib import Path

import pytest
from pytest_homeassistant_custom_component.common import async_fire_time_changed_exact

from custom_components.eniris.api import WriteTarget
from custom_components.eniris.exporting.outbox import live
from custom_components.eniris.exporting.outbox.batches import (
    Batch,
    Block,
    Entry,
    FieldKey,
    Reject,
    Settlement,
    TooOld,
    make_batch,
    regroup,
    to_blocks,
)
from custom_components.eniris.exporting.outbox.live import discard_rejects, load_rejects
from custom_components.eniris.exporting.outbox.memory import MEMORY_LIMIT
from custom_components.eniris.exporting.outbox.outbox import Outbox
from custom_components.eniris.exporting.outbox.rows import Rows
from custom_components.eniris.exporting.outbox.store import OutboxError
from homeassistant.core import CoreState, HomeAssistant
from homeassistant.util import dt as dt_util
from simulator.server import Simulator
from tests.exporting.conftest import (
    OTHER_TARGET,
    SERIES,
    TARGET,
    Received,
    UploaderKit,
    at,
    sample,
    to_target,
)
from tests.kit.outbox import (
    blocks_on_disk,
    drain,
    fill_disk,
    free_disk,
    next_batch,
    put,
    samples_of,
    waiting,
)

KEY = FieldKey(TARGET, SERIES.measurement, "bad_W", "float")
NOT_ON_DISK = pytest.mark.expected_log("Samples cannot be put on disk")
AGAIN = pytest.mark.expected_log("Samples can be put on disk again")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where the outbox is."""
    return tmp_path / "outbox.db"


@pytest.fixture
async def running(kit: UploaderKit) -> UploaderKit:
    """Return an uploader that uploads by itself."""
    kit.uploader.async_start()
    return kit


def state_of_files(path: Path) -> list[tuple[str, int, int]]:
    """Return name, size and time of the last change of the outbox' files."""
    return sorted(
        (file.name, file.stat().st_size, file.stat().st_mtime_ns)
        for file in path.parent.glob(f"{path.name}*")
    )


def files_are_as(path: Path, before: list[tuple[str, int, int]]) -> bool:
    """Tell whether nothing was written since."""
    return state_of_files(path) == before


async def restarted(outbox: Outbox, hass: HomeAssistant, path: Path) -> Outbox:
    """Return the outbox after a restart."""
    await outbox.close()
    outbox = Outbox(hass, path)
    await outbox.open()
    return outbox


async def figures(outbox: Outbox, name: str = "export") -> tuple[int, int, int, int]:
    """Return what waits, was uploaded, rejected and dropped of an export."""
    its = (await outbox.refresh_figures())[name]
    return its.waiting, its.uploaded, its.rejected, its.dropped


def memory_batch(outbox: Outbox, target: WriteTarget = TARGET) -> Batch:
    """Return what is in memory for a target."""
    return make_batch(target, list(outbox.memory.of(target)))


def part(batch: Batch, *numbers: int) -> list[Block]:
    """Return some samples of a batch, by their places in it."""
    entries: list[Entry] = batch.entries
    return regroup(entries[number] for number in numbers)


# Where samples are


async def test_nothing_is_written_while_uploads_work(
    running: UploaderKit, path: Path, received: Received
) -> None:
    """Minutes of values leave the files untouched, to the byte."""
    outbox = running.outbox
    before = state_of_files(path)
    changes = await outbox.store.run(lambda rows: rows.db.total_changes)
    for n in range(150):
        running.add(sample(n, float(n)), sample(n, float(n), "other_W"))
        await running.clock.advance(1)
    assert len(received.values()) == 150
    assert await outbox.store.run(lambda rows: rows.db.total_changes) == changes
    assert files_are_as(path, before)
    assert await figures(outbox) == (0, 300, 0, 0)


async def let_pass(kit: UploaderKit, seconds: float) -> None:
    """Let time pass, to the tenth of a second, and wait for what is done; not for requests under way."""
    for _ in range(round(seconds * 10)):
        kit.clock.freezer.tick(0.1)
        async_fire_time_changed_exact(kit.hass)
        await kit.hass.async_block_till_done()


async def test_on_disk_in_time(
    running: UploaderKit, path: Path, simulator: Simulator
) -> None:
    """While a request hangs, whatever is taken is on disk a second later, what is under way included."""
    simulator.faults.add("/v1/telemetry", "delay", delay=12, times=1)
    seen = []
    for n in range(8):
        running.add(sample(n, float(n)))
        await let_pass(running, 1)
        seen.append(blocks_on_disk(path))
    await let_pass(running, 5)
    await running.clock.advance(40)
    assert seen == list(range(1, 9))
    assert await figures(running.outbox) == (0, 8, 0, 0)
    assert blocks_on_disk(path) == 0


async def test_each_block_has_its_own_time(kit: UploaderKit, path: Path) -> None:
    """One that comes shortly before another is put on disk does not wait for longer than that did."""
    kit.add(sample(0))
    await let_pass(kit, 0.8)
    kit.add(sample(1, series=to_target(OTHER_TARGET)))
    assert blocks_on_disk(path) == 0
    await let_pass(kit, 0.2)
    assert blocks_on_disk(path) == 1
    await let_pass(kit, 0.9)
    assert blocks_on_disk(path) == 2


async def test_failing_target(kit: UploaderKit, path: Path) -> None:
    """What is for a target that takes nothing, or that has a backlog, is put on disk without delay."""
    kit.outbox.failing.add(TARGET)
    kit.add(sample(0))
    await let_pass(kit, 0.1)
    assert blocks_on_disk(path) == 1
    kit.outbox.failing.clear()
    assert kit.outbox.store.on_disk == {TARGET}
    kit.add(sample(1))
    await let_pass(kit, 0.1)
    assert blocks_on_disk(path) == 2
    kit.add(sample(2, series=to_target(OTHER_TARGET)))
    await let_pass(kit, 0.1)
    assert blocks_on_disk(path) == 2
    assert kit.outbox.targets() == {TARGET, OTHER_TARGET}
    await drain(kit.outbox, TARGET)
    assert kit.outbox.targets() == {OTHER_TARGET}


async def test_listeners(outbox: Outbox) -> None:
    """They are told of what is new, until they do not want to be."""
    told: list[int] = []
    stop = outbox.async_add_listener(lambda: told.append(len(outbox.memory)))
    outbox.add(to_blocks([sample(0)]))
    outbox.add([])
    stop()
    outbox.add(to_blocks([sample(1)]))
    assert told == [1]


# Restarts


async def test_survives_a_restart(
    outbox: Outbox, hass: HomeAssistant, path: Path
) -> None:
    """Samples, figures, rejects and blocked fields are what they were."""
    for n in range(10):
        await put(outbox, sample(n, float(n)))
    batch = await next_batch(outbox, TARGET)
    settlement = Settlement(
        stored=part(batch, 0, 1, 2),
        rejects=[Reject(batch.entries[3].sample, "no")],
        remaining=part(batch, *range(4, 10)),
    )
    await outbox.settle(batch, settlement)
    await outbox.store.run(Rows.block_field, KEY, "409 no")
    outbox.add(to_blocks([sample(99, name="bad_W")]))
    before = await outbox.refresh_figures(), await outbox.store.run(load_rejects)
    again = await restarted(outbox, hass, path)
    assert (
        await again.refresh_figures(),
        await again.store.run(load_rejects),
    ) == before
    assert [each.time for each in await waiting(again, TARGET)] == [
        at(n) for n in range(4, 10)
    ]
    assert again.blocked == {KEY}
    assert again.targets() == {TARGET}
    assert await figures(again) == (7, 3, 1, 0)
    # Opened once more, as somebody does who wants to know whether the disk works
    await again.open()
    assert await figures(again) == (7, 3, 1, 0)
    await again.close()


async def test_figures_of_uploads_alone_are_kept(
    kit: UploaderKit, hass: HomeAssistant, path: Path, received: Received
) -> None:
    """What never was on disk is counted after a restart all the same."""
    kit.add(sample(0))
    await kit.upload()
    assert len(received.points()) == 1
    again = await restarted(kit.outbox, hass, path)
    its = (await again.refresh_figures())["export"]
    assert (its.waiting, its.uploaded) == (0, 1)
    assert its.last_upload == at(0)
    await again.close()


async def test_two_opens_of_one_file(
    outbox: Outbox, hass: HomeAssistant, path: Path
) -> None:
    """The second waits for the first: a reload that begins before the old one is through."""
    other = Outbox(hass, path)
    opening = asyncio.ensure_future(other.open())
    await put(outbox, sample(0))
    assert not opening.done()
    await outbox.close()
    async with asyncio.timeout(5):
        await opening
    assert len(await waiting(other, TARGET)) == 1
    await other.close()
    # Nobody has it any more
    third = Outbox(hass, path)
    await third.open()
    await third.close()


async def test_added_after_the_end(
    outbox: Outbox, hass: HomeAssistant, path: Path
) -> None:
    """What comes when an outbox is closed waits in memory for the next one, and nothing complains meanwhile."""
    await outbox.close()
    # So that it would go to the disk at once
    outbox.failing.add(TARGET)
    outbox.add(to_blocks([sample(1)]))
    async_fire_time_changed_exact(hass, dt_util.utcnow() + timedelta(seconds=5))
    await hass.async_block_till_done(wait_background_tasks=True)
    assert outbox.problem is None
    again = Outbox(hass, path)
    await again.open()
    assert len(again.memory) == 1
    await again.close()


async def test_other_files_do_not_wait(
    outbox: Outbox, hass: HomeAssistant, tmp_path: Path
) -> None:
    """Each account has its own."""
    other = Outbox(hass, tmp_path / "other.db")
    await other.open()
    await other.close()


# Full disks


@NOT_ON_DISK
@AGAIN
async def test_full_disk(kit: UploaderKit, path: Path, received: Received) -> None:
    """What cannot be put on disk stays in memory, goes up from there, or goes on disk when there is room."""
    outbox, clock = kit.outbox, kit.clock
    for n in range(50):
        await put(outbox, sample(n, str(n) * 9))
    await fill_disk(outbox)
    text = os.urandom(20_000).hex()
    for n in range(50, 100):
        kit.add(sample(n, f"{text}{n}"))
    await clock.advance(5)
    assert "full" in (outbox.problem or "")
    assert blocks_on_disk(path) == 50
    assert await figures(outbox) == (100, 0, 0, 0)
    assert await outbox.store.damaged_files() == []
    with pytest.raises(OutboxError):
        await outbox.commit(everything=True)
    await free_disk(outbox)
    await clock.advance(2)
    assert outbox.problem is None
    assert blocks_on_disk(path) == 100
    await kit.upload()
    assert len(received.points()) == 100
    assert await figures(outbox) == (0, 100, 0, 0)


@NOT_ON_DISK
@AGAIN
async def test_uploads_go_on_with_a_full_disk(
    running: UploaderKit, received: Received
) -> None:
    """A service that works needs no disk."""
    await fill_disk(running.outbox)
    text = os.urandom(20_000).hex()
    with pytest.raises(OutboxError):
        await put(running.outbox, sample(0, text, "text"))
    await running.clock.advance(10)
    running.add(sample(1))
    await running.clock.advance(5)
    assert len(received.points()) == 2
    assert running.outbox.problem is None
    await free_disk(running.outbox)


@NOT_ON_DISK
@pytest.mark.parametrize("count", [1, 6000])
async def test_refused_with_a_full_disk(
    kit: UploaderKit, received: Received, count: int
) -> None:
    """What cannot be set aside waits in memory; all that is stored leaves it, and is sent once."""
    await kit.add_to_disk(sample(-1, 0.0, "bad_W"))
    await kit.upload()
    await fill_disk(kit.outbox)
    text = os.urandom(20_000).hex()
    for second in range(5):
        kit.add(
            *(sample(second + n / count, float(n)) for n in range(count)),
            sample(second, text, "bad_W"),
        )
        await kit.upload()
        await kit.wait(6)
    with pytest.raises(OutboxError):
        await kit.outbox.commit(everything=True)
    await kit.upload()
    assert len(received.values()) == 5 * count
    assert len(kit.outbox.memory) == 5
    assert await figures(kit.outbox) == (5, 5 * count + 1, 0, 0)
    assert len(received.writes) < 60
    await free_disk(kit.outbox)


@NOT_ON_DISK
@pytest.mark.expected_log("More samples than memory has room for")
async def test_memory_is_full_as_well(outbox: Outbox) -> None:
    """The newest 100,000 are kept, and what went is counted."""
    await fill_disk(outbox)
    text = os.urandom(20_000).hex()
    series = to_target(OTHER_TARGET)
    count = MEMORY_LIMIT + 3000
    first = [sample(0, text, "text", series=series), sample(0, text, "text")]
    for each in first:
        outbox.add(to_blocks([each]))
    outbox.add(to_blocks(sample(n, float(n)) for n in range(count)))
    for _ in range(2):
        with pytest.raises(OutboxError):
            await outbox.commit(everything=True)
    assert MEMORY_LIMIT - 1000 <= len(outbox.memory) <= MEMORY_LIMIT
    left = samples_of(outbox.memory.of(TARGET))
    assert left[-1].value == float(count - 1)
    assert outbox.dropped == count + 2 - len(outbox.memory)
    assert (await figures(outbox))[3] == outbox.dropped
    await free_disk(outbox)


@NOT_ON_DISK
async def test_reload_on_a_full_disk(
    outbox: Outbox, hass: HomeAssistant, path: Path
) -> None:
    """What is in memory alone outlives the reload, in its order."""
    await put(outbox, sample(0))
    await fill_disk(outbox)
    text = os.urandom(20_000).hex()
    outbox.add(to_blocks([sample(1, text, "text"), sample(2, name="bad_W")]))
    again = await restarted(outbox, hass, path)
    found = await waiting(again, TARGET)
    assert [each.time for each in found] == [at(0), at(1), at(2)]
    await again.close()
    last = Outbox(hass, path)
    await last.open()
    assert await waiting(last, TARGET) == found
    assert not len(last.memory)
    await last.close()


@NOT_ON_DISK
@pytest.mark.expected_log("1 values are lost")
async def test_the_end_on_a_full_disk(outbox: Outbox, hass: HomeAssistant) -> None:
    """When Home Assistant stops there is no memory either, and that is told."""
    await fill_disk(outbox)
    text = os.urandom(20_000).hex()
    outbox.add(to_blocks([sample(1, text, "text")]))
    hass.set_state(CoreState.final_write)
    await outbox.close()


async def test_outbox_that_is_not_open(hass: HomeAssistant, tmp_path: Path) -> None:
    """It takes samples, and has them when it can be opened."""
    path = tmp_path / "no" / "outbox.db"
    (tmp_path / "no").write_text("a file")
    outbox = Outbox(hass, path)
    with pytest.raises(OutboxError):
        await outbox.open()
    outbox.add(to_blocks([sample(0)]))
    assert await figures(outbox) == (1, 0, 0, 0)
    assert not outbox.blocked
    (tmp_path / "no").unlink()
    await outbox.open()
    await outbox.commit(everything=True)
    assert blocks_on_disk(path) == 1
    await outbox.close()


# What became of a batch


async def test_stored_from_memory(outbox: Outbox) -> None:
    """It is gone from memory, also where another block has come meanwhile."""
    outbox.add(to_blocks([sample(0), sample(1)]))
    batch = memory_batch(outbox)
    outbox.add(to_blocks([sample(2)]))
    await outbox.settle(batch, Settlement(stored=batch.blocks))
    assert await waiting(outbox, TARGET) == [sample(2)]
    assert await figures(outbox) == (1, 2, 0, 0)


async def test_put_on_disk_while_under_way(outbox: Outbox, path: Path) -> None:
    """What was stored meanwhile is deleted there; what was not keeps its place."""
    outbox.add(to_blocks([sample(n) for n in range(4)]))
    batch = memory_batch(outbox)
    await outbox.commit(everything=True)
    await put(outbox, sample(9))
    assert blocks_on_disk(path) == 5
    await outbox.settle(
        batch, Settlement(stored=part(batch, 0, 3), remaining=part(batch, 1, 2))
    )
    found = await waiting(outbox, TARGET)
    assert [each.time for each in found] == [at(1), at(2), at(9)]
    assert await figures(outbox) == (3, 2, 0, 0)


async def test_left_in_memory(outbox: Outbox) -> None:
    """What remains of a batch that was never on disk is in front again."""
    outbox.add(to_blocks([sample(n) for n in range(3)]))
    batch = memory_batch(outbox)
    outbox.add(to_blocks([sample(9)]))
    await outbox.settle(
        batch, Settlement(stored=part(batch, 1), remaining=part(batch, 0, 2))
    )
    found = await waiting(outbox, TARGET)
    assert [each.time for each in found] == [at(0), at(2), at(9)]
    assert await figures(outbox) == (3, 1, 0, 0)


async def test_left_in_memory_on_a_full_disk(outbox: Outbox) -> None:
    """A target that has to wait needs no disk for that, and what it has stored is not sent again."""
    outbox.add(to_blocks([sample(n) for n in range(3)]))
    batch = memory_batch(outbox)
    await fill_disk(outbox)
    await outbox.settle(
        batch, Settlement(stored=part(batch, 1), remaining=part(batch, 0, 2))
    )
    assert await figures(outbox) == (2, 1, 0, 0)
    await free_disk(outbox)


async def test_rejects_and_too_old(outbox: Outbox) -> None:
    """Both are set aside with their reasons and counted."""
    outbox.add(to_blocks([sample(n, float(n)) for n in range(4)]))
    batch = memory_batch(outbox)
    await outbox.settle(
        batch,
        Settlement(
            stored=part(batch, 3),
            rejects=[Reject(batch.entries[2].sample, "409 no")],
            too_old=TooOld(at(1), "409 too old", part(batch, 0, 1)),
        ),
    )
    assert await figures(outbox) == (0, 1, 3, 0)
    assert {
        (each.sample.value, each.reason)
        for each in await outbox.store.run(load_rejects)
    } == {(0.0, "409 too old"), (1.0, "409 too old"), (2.0, "409 no")}
    assert await outbox.store.run(discard_rejects) == 3
    assert await outbox.store.run(load_rejects) == []
    assert await figures(outbox) == (0, 1, 3, 0)


@pytest.mark.parametrize("on_disk", [False, True])
async def test_blocked_field(outbox: Outbox, path: Path, on_disk: bool) -> None:
    """Its samples leave the batches and wait, those of other batches and from now on, too; what was set aside is back."""
    first = sample(0, 0.0, "bad_W")
    outbox.add(to_blocks([first]))
    batch = memory_batch(outbox)
    reject = Reject(first, "409 no")
    await outbox.settle(batch, Settlement(rejects=[reject]))
    mixed = [sample(1, 1.0, "bad_W"), sample(1), sample(2, 2.0, "bad_W")]
    outbox.add(to_blocks(mixed))
    if on_disk:
        await outbox.commit(everything=True)
        batch = await next_batch(outbox, TARGET)
    else:
        batch = memory_batch(outbox)
    later = [sample(3, 3.0, "bad_W"), sample(3)]
    outbox.add(to_blocks(later))
    await outbox.settle(
        batch,
        Settlement(
            stored=part(batch, 1),
            recalled=[reject],
            blocked={KEY: "409 no"},
            remaining=part(batch, 0, 2),
        ),
    )
    assert outbox.blocked == {KEY}
    outbox.add(to_blocks([sample(4, 4.0, "bad_W")]))
    await outbox.commit(everything=True)
    assert [each.time for each in await waiting(outbox, TARGET)] == [at(3)]
    assert await outbox.store.run(load_rejects) == []
    assert await figures(outbox) == (6, 1, 0, 0)
    newest = await outbox.store.run(live.newest_of, KEY)
    assert newest is not None
    assert samples_of(newest.blocks) == [sample(4, 4.0, "bad_W")]
    assert await outbox.store.run(live.release, KEY) is False
    assert await outbox.store.run(live.release, KEY)
    assert not outbox.blocked
    released = [each for each in await waiting(outbox, TARGET) if each.field == "bad_W"]
    assert sorted(each.value for each in released if isinstance(each.value, float)) == [
        *(0.0, 1.0, 2.0, 3.0, 4.0)
    ]
    assert await figures(outbox) == (6, 1, 0, 0)
    assert await outbox.store.run(live.newest_of, KEY) is None


async def test_held_while_unblocked(outbox: Outbox) -> None:
    """A value that is still in memory when its field is blocked no longer waits as all others do."""
    await outbox.store.run(Rows.block_field, KEY, "no")
    samples = [sample(n, float(n), "bad_W") for n in range(3)]
    await put(outbox, samples[0])
    outbox.add(to_blocks(samples[1:2]))
    while not await outbox.store.run(live.release, KEY):
        outbox.add(to_blocks(samples[2:]))
    assert TARGET in outbox.targets()
    await outbox.commit()
    assert await drain(outbox, TARGET) == samples
    assert len(outbox.memory) == 0


async def test_blocked_on_its_way_from_the_disk(outbox: Outbox) -> None:
    """A backlog that holds values of a field that was blocked later is sent without them."""
    await put(outbox, sample(0), sample(0, 1.0, "bad_W"))
    await put(outbox, sample(1, 2.0, "bad_W"))
    await outbox.store.run(Rows.block_field, KEY, "no")
    batch = await next_batch(outbox, TARGET)
    assert samples_of(batch.blocks) == [sample(0)]
    await outbox.settle(batch, Settlement(stored=batch.blocks))
    assert await outbox.store.run(live.read, TARGET, 0, None, 2**20) is None
    assert await figures(outbox) == (2, 1, 0, 0)


async def test_two_targets_at_once(outbox: Outbox) -> None:
    """That a field is blocked at one concerns no batch that is under way to another."""
    outbox.add(
        to_blocks([sample(0, name="bad_W"), sample(0, series=to_target(OTHER_TARGET))])
    )
    mine, other = memory_batch(outbox), memory_batch(outbox, OTHER_TARGET)
    await outbox.settle(
        mine, Settlement(blocked={KEY: "no"}, remaining=list(mine.blocks))
    )
    await outbox.settle(other, Settlement(stored=other.blocks))
    assert await waiting(outbox, OTHER_TARGET) == []
    assert await figures(outbox) == (1, 1, 0, 0)


@NOT_ON_DISK
@AGAIN
async def test_disk_that_fails_at_the_wrong_moment(outbox: Outbox) -> None:
    """What cannot be settled waits and is sent again; of what is in memory alone that is not stored."""
    await put(outbox, *(sample(n) for n in range(3)))
    batch = await next_batch(outbox, TARGET)
    await fill_disk(outbox)
    text = os.urandom(20_000).hex()
    rejects = [Reject(sample(n, text, "t"), "no") for n in range(9)]
    with pytest.raises(OutboxError):
        await outbox.settle(batch, Settlement(stored=batch.blocks, rejects=rejects))
    assert await figures(outbox) == (3, 0, 0, 0)
    outbox.add(to_blocks([sample(9, text, "text"), sample(10)]))
    fresh = memory_batch(outbox)
    bad = Reject(fresh.entries[0].sample, "no")
    left = Settlement(stored=part(fresh, 1), rejects=[bad])
    with pytest.raises(OutboxError):
        await outbox.settle(fresh, left)
    # No row is theirs, or they would take away another's one day
    assert not any(block.row.id for block in fresh.blocks)
    assert samples_of(outbox.memory.of(TARGET)) == [bad.sample]
    with pytest.raises(OutboxError):
        await outbox.commit(everything=True)
    await free_disk(outbox)
    await outbox.commit(everything=True)
    assert await figures(outbox) == (4, 1, 0, 0)


# Figures


async def test_figures_cost_little(outbox: Outbox) -> None:
    """However much waits: as many statements as there are exports and queues, and none of them scans."""
    for n in range(300):
        await put(outbox, sample(n, export_id="ab"[n % 2]))
    db = await outbox.store.run(lambda rows: rows.db)
    await outbox.refresh_figures()
    statements: list[str] = []
    db.set_trace_callback(statements.append)
    await outbox.refresh_figures()
    db.set_trace_callback(None)
    selects = [text for text in statements if text.startswith("SELECT")]
    assert len(selects) <= 5
    for text in selects:
        plan = [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {text}")]
        assert not [step for step in plan if "TEMP B-TREE" in step or "SCAN" in step]


# Backups
