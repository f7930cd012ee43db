"""An outbox at rest, as a backup has it: nothing is written to the file meanwhile, and uploads go on without it."""

import asyncio
from collections.abc import AsyncGenerator
import time

import pytest
from pytest_homeassistant_custom_component.common import async_fire_time_changed_exact

from custom_components.eniris.exporting.outbox.memory import MEMORY_LIMIT
from tests.exporting.conftest import Received, UploaderKit, sample

PATH = "/v1/telemetry"
OUTAGE = pytest.mark.expected_log("cannot be uploaded at present")


@pytest.fixture
async def copied(kit: UploaderKit) -> AsyncGenerator[UploaderKit]:
    """Return an uploader with a backlog and a field of numbers, of which the file is being copied."""
    kit.add(sample(-9, 0.0, "bad_W"))
    await kit.upload()
    await kit.add_to_disk(*[sample(n - 5) for n in range(3)])
    async with kit.outbox.store.at_rest():
        kit.uploader.async_start()
        yield kit


async def pass_second(kit: UploaderKit) -> None:
    """Let a second pass; what waits for the file is never done, so nothing is waited for."""
    kit.clock.freezer.tick(1)
    async_fire_time_changed_exact(kit.hass)
    for _ in range(10):
        await asyncio.sleep(0)


async def is_stored(received: Received, second: float) -> bool:
    """Wait for a value to be stored; return whether it is."""
    for _ in range(200):
        if second in dict(received.values()):
            return True
        # The loop's clock stands still
        await asyncio.to_thread(time.sleep, 0.01)
    return False


async def test_past_a_backlog(copied: UploaderKit, received: Received) -> None:
    """What is in memory goes up meanwhile; the backlog, which cannot be read, follows afterwards."""
    for n in range(3):
        copied.add(sample(n))
        await pass_second(copied)
        assert await is_stored(received, n)
    assert [second for second, _ in received.values()] == [0, 1, 2]
    copied.outbox.store.awake.set()
    await copied.clock.advance(10)
    assert len(received.values()) == 6
    assert await copied.waiting() == 0


@pytest.mark.expected_log("refuses a value .* set aside|refuses every value of field")
@pytest.mark.parametrize("count", [1, 20])
async def test_past_a_refusal(
    copied: UploaderKit, received: Received, count: int
) -> None:
    """What is refused waits until it can be written down; the others go up, once, and leave memory."""
    copied.add(*[sample(n / 100, "word", "bad_W") for n in range(count)], sample(0))
    assert await is_stored(received, 0)
    for n in range(1, 13):
        copied.add(sample(n))
        await pass_second(copied)
    # A target rests for some seconds after what cannot be written down
    assert await is_stored(received, 5)
    requests = len(received.writes)
    copied.outbox.store.awake.set()
    await copied.clock.advance(10)
    assert len(received.values()) == 16
    assert await copied.waiting() + len(await copied.reasons()) == count
    assert requests < 30


@OUTAGE
@pytest.mark.expected_log("More samples than memory has room for")
async def test_memory_keeps_to_its_limit(
    copied: UploaderKit, received: Received
) -> None:
    """A backup that takes long, or never ends, while nothing can be uploaded: what is dropped is counted."""
    received.simulator.faults.add(PATH, "status", status=503)
    step = MEMORY_LIMIT // 4
    for n in range(6):
        copied.add(*[sample(n, 1.0, f"f{m}_W") for m in range(step)])
        await pass_second(copied)
        await pass_second(copied)
        assert len(copied.outbox.memory) <= MEMORY_LIMIT
    dropped = 6 * step - len(copied.outbox.memory)
    assert len(copied.outbox.memory) > MEMORY_LIMIT - 2000
    assert copied.outbox.dropped == dropped
    figures = await copied.outbox.refresh_figures()
    assert figures["export"].dropped == dropped
    assert figures["export"].waiting == len(copied.outbox.memory) + 3
