"""The live queue: fresh samples and a backlog take turns, and nothing is sent twice or left behind."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from custom_components.eniris.exporting.outbox import live
from custom_components.eniris.exporting.outbox.batches import (
    Batch,
    FieldKey,
    Settlement,
)
from custom_components.eniris.exporting.outbox.limits import Limits, enforce
from custom_components.eniris.exporting.outbox.outbox import Outbox
from custom_components.eniris.exporting.outbox.rows import Rows
from custom_components.eniris.exporting.target import LiveQueue
from homeassistant.core import HomeAssistant
from simulator.server import Simulator
from tests.exporting.conftest import SERIES, TARGET, Received, UploaderKit, at, sample

PATH = "/v1/telemetry"
SIZE = 1024 * 1024

OUTAGE = pytest.mark.expected_log("cannot be uploaded at present")


async def test_nothing(outbox: Outbox) -> None:
    """An empty outbox has no batch."""
    assert await LiveQueue(outbox).next_batch(TARGET, SIZE) is None


@pytest.mark.parametrize("is_backlog", [False, True])
async def test_bounds(kit: UploaderKit, is_backlog: bool) -> None:
    """A batch is as small as its asker wants, but for a single block."""
    for n in range(10):
        samples = [sample(n * 10 + m) for m in range(10)]
        if is_backlog:
            await kit.add_to_disk(*samples)
        else:
            kit.add(*samples)
    queue = LiveQueue(kit.outbox)
    batch = await queue.next_batch(TARGET, 1)
    assert batch is not None
    assert len(batch) == 10


async def test_turns(kit: UploaderKit) -> None:
    """Fresh ones and those of the backlog come in turns."""
    await kit.add_to_disk(*[sample(n / 10, 0.0, "old_W") for n in range(12_000)])
    queue = LiveQueue(kit.outbox)
    kinds = []
    for n in range(4):
        kit.add(sample(10_000 + n, 1.0, "new_W"))
        batch = await queue.next_batch(TARGET, SIZE)
        assert batch is not None
        kinds.append({name for block in batch.blocks for name in block.fields})
        await queue.settle(batch, Settlement(stored=batch.blocks))
    assert {"new_W"} in kinds[:2]
    assert {"old_W"} in kinds[:2]
    queue.forget_ready()


async def test_what_is_left_comes_again(kit: UploaderKit) -> None:
    """What an upload leaves stays at the head."""
    await kit.add_to_disk(*[sample(n, float(n)) for n in range(10)])
    queue = LiveQueue(kit.outbox)
    batch = await queue.next_batch(TARGET, SIZE)
    assert batch is not None
    await queue.settle(batch, Settlement(remaining=batch.blocks))
    again = await queue.next_batch(TARGET, SIZE)
    assert again is not None
    assert [block.values for block in again.blocks] == [[float(n) for n in range(10)]]
    assert await kit.waiting() == 10


@pytest.mark.parametrize("is_mixed", [False, True])
async def test_many_of_a_blocked_field(
    kit: UploaderKit, monkeypatch: pytest.MonkeyPatch, is_mixed: bool
) -> None:
    """They are put aside some rows at a time, and what waits behind them goes up."""
    monkeypatch.setattr(live, "_ROWS_AT_ONCE", 10)
    for n in range(35):
        others = [sample(n, 1.0, "a_W")] * is_mixed
        await kit.add_to_disk(sample(n, 0.0, "bad_W"), *others)
    await kit.add_to_disk(sample(99, 1.0, "a_W"))
    key = FieldKey(TARGET, SERIES.measurement, "bad_W", "float")
    await kit.outbox.store.run(Rows.block_field, key, "no")
    moved: list[int] = []
    read = live.read

    def counted(rows: Rows, *args: Any) -> Batch | None:
        queue_id = rows.blocked[key].queue_id
        before = rows.count(queue_id).total()
        batch = read(rows, *args)
        moved.append(rows.count(queue_id).total() - before)
        return batch

    monkeypatch.setattr(live, "read", counted)
    queue, values = LiveQueue(kit.outbox), 0
    while batch := await queue.next_batch(TARGET, SIZE):
        values += len(batch)
        await queue.settle(batch, Settlement(stored=batch.blocks))
    assert sum(moved) == 35
    assert max(moved) == 10
    assert values == 1 + 35 * is_mixed


@OUTAGE
async def test_outage_in_a_backlog(
    kit: UploaderKit, received: Received, simulator: Simulator
) -> None:
    """What was made ready when the service went away is forgotten, and read anew afterwards."""
    await kit.add_to_disk(*[sample(n / 10, float(n)) for n in range(12_000)])
    simulator.faults.add(PATH, "status", status=503, times=1)
    await kit.upload()
    assert await kit.waiting() == 12_000
    dropped, _ = await enforce(
        kit.outbox.store, Limits(2**30, timedelta(seconds=1)), at(701)
    )
    assert dropped == 7000
    await kit.wait(30)
    await kit.upload()
    assert received.statuses == [503, 204]
    assert [value for _, value in received.values()] == [
        float(n) for n in range(7000, 12_000)
    ]


@pytest.mark.expected_log("refuses a value of field .* set aside")
@pytest.mark.expected_log("refuses every value of field")
async def test_bad_ones_in_a_backlog(kit: UploaderKit, received: Received) -> None:
    """What was made ready behind a batch that is refused is sent all the same, once and in order."""
    bad = {4999, 7500, 11_990}
    await kit.add_to_disk(
        *[sample(n / 10, "no" if n in bad else float(n)) for n in range(12_000)]
    )
    await kit.wait(2000)
    await kit.upload()
    assert [value for _, value in received.values()] == [
        float(n) for n in range(12_000) if n not in bad
    ]
    assert await kit.waiting() + len(await kit.reasons()) == 3


async def test_live_data_does_not_wait_behind_a_backlog(
    hass: HomeAssistant, kit: UploaderKit, received: Received
) -> None:
    """With 50,000 waiting, a fresh one is stored within two requests after it is taken."""
    await kit.add_to_disk(*[sample(n / 100, float(n)) for n in range(50_000)])
    upload = hass.async_create_background_task(kit.upload(), "upload")
    taken: dict[str, int] = {}
    for number in range(3):
        while len(received.writes) <= number * 3:  # noqa: ASYNC110
            await asyncio.sleep(0)
        kit.add(sample(1000 + number, 1.0, f"fresh{number}"))
        taken[f"fresh{number}"] = len(received.writes)
    await upload
    assert len(received.values()) == 50_000
    for name, before in taken.items():
        (index,) = [
            index
            for index, request in enumerate(received.writes)
            if request.json and name in request.json[0]["fields"]
        ]
        assert index + 1 - before <= 2
    assert len(received.writes) <= 14
