"""Isolation: few requests find what a batch was refused for, and only that does not get through."""

import asyncio
from datetime import timedelta
import math
import time

import pytest

from custom_components.eniris.api import FieldValue
from custom_components.eniris.exporting.outbox.batches import Sample
from homeassistant.core import HomeAssistant
from simulator.model import SeriesKey
from simulator.server import Simulator
from simulator.store import IncomingPoint
from simulator.timestamps import datetime_to_ns
from tests.kit.common import until

from .conftest import SERIES, START, TARGET, Received, UploaderKit, issue_ids, sample

PATH = "/v1/telemetry"
DAY = 86_400.0
TOO_OLD = -400 * DAY
LIMIT = 20
"""Requests that a bad sample among 5,000 may cost."""

OUTAGE = pytest.mark.expected_log("cannot be uploaded at present")
SET_ASIDE = pytest.mark.expected_log("refuses a value of field .* set aside")
BLOCKED = pytest.mark.expected_log("refuses every value of field")
LEFT_OUT = pytest.mark.expected_log("takes no values for .* or older")


def write_before(simulator: Simulator, *names: str) -> None:
    """Let fields be words at the service."""
    series = SeriesKey(
        TARGET.database, TARGET.retention_policy, SERIES.measurement, SERIES.tags
    )
    time_ns = datetime_to_ns(START - timedelta(days=1))
    fields: dict[str, FieldValue] = dict.fromkeys(names, "word")
    simulator.store.write([IncomingPoint(series, time_ns, fields)])


@pytest.mark.parametrize(
    ("position", "is_backlog"),
    [(0, False), (1, True), (2499, True), (2500, False), (4999, True), (4999, False)],
)
@SET_ASIDE
async def test_one_bad_among_5000(
    kit: UploaderKit, received: Received, position: int, is_backlog: bool
) -> None:
    """It costs few requests, and nobody else."""
    kit.add(sample(-10, 0.0))
    await kit.upload()
    received.simulator.log.reset()
    samples = [
        sample(n / 10, "word" if n == position else float(n)) for n in range(5000)
    ]
    if is_backlog:
        await kit.add_to_disk(*samples)
    else:
        kit.add(*samples)
    await kit.upload()
    assert len(received.writes) <= LIMIT
    assert [value for _, value in received.values()][1:] == [
        float(n) for n in range(5000) if n != position
    ]
    ((value, reason),) = await kit.reasons()
    assert value == "word"
    assert "is type string, already exists as type float" in reason or "422" in reason
    assert await kit.waiting() == 0
    assert not kit.outbox.blocked


@SET_ASIDE
async def test_badly_formatted(kit: UploaderKit, received: Received) -> None:
    """What the client itself finds wrong is set aside without a request that holds it."""
    kit.add(
        *[sample(n, 1.0, "_hidden" if n == 3 else "actualPowerTot_W") for n in range(8)]
    )
    await kit.upload()
    assert len(received.values()) == 7
    assert set(received.statuses) == {204}
    ((_, reason),) = await kit.reasons()
    assert "'_hidden' is not a valid name" in reason


@SET_ASIDE
async def test_nothing_but_badly_formatted(
    hass: HomeAssistant, kit: UploaderKit, received: Received
) -> None:
    """It is no fault of the target, which was not even asked."""
    kit.add(*[sample(n, 1.0, "_hidden") for n in range(8)])
    await kit.upload()
    assert received.writes == []
    assert len(await kit.reasons()) + await kit.waiting() == 8
    assert "target_refuses" not in issue_ids(hass)


@pytest.mark.parametrize("status", [400, 409, 422])
async def test_refused_for_no_reason(
    kit: UploaderKit, received: Received, simulator: Simulator, status: int
) -> None:
    """Once: where every part of a batch is stored, nothing was bad."""
    kit.add(*[sample(n) for n in range(100)])
    simulator.faults.add(PATH, "status", status=status, times=1)
    await kit.upload()
    assert len(received.values()) == 100
    assert await kit.reasons() == []
    assert len(received.writes) <= 2 * math.log2(100)


@SET_ASIDE
async def test_single_value_of_a_field_that_was_right_before(
    hass: HomeAssistant, kit: UploaderKit, received: Received
) -> None:
    """A word among numbers is a reject; the next number tells that the field is well."""
    kit.add(sample(0, 1.0), sample(0, 1.0, "b_W"))
    await kit.upload()
    kit.add(sample(1, 2.0), sample(2, "high"), sample(3, 3.0), sample(3, 1.0, "b_W"))
    await kit.upload()
    assert received.values() == [(0, 1.0), (1, 2.0), (3, 3.0)]
    ((value, reason),) = await kit.reasons()
    assert value == "high"
    assert "is type string, already exists as type float" in reason
    assert issue_ids(hass) == set()


@SET_ASIDE
@BLOCKED
async def test_field_that_was_right_before(
    hass: HomeAssistant, kit: UploaderKit, received: Received
) -> None:
    """Once its values are of another type for good, that type is blocked, and the old one goes on."""
    kit.add(sample(0, 1.0), sample(0, 1.0, "b_W"))
    await kit.upload()
    for n in range(1, 20):
        kit.add(sample(n, "on" if n < 10 else float(n)), sample(n, 1.0, "b_W"))
        await kit.upload()
    (key,) = kit.outbox.blocked
    assert (key.field, key.type) == ("actualPowerTot_W", "string")
    assert issue_ids(hass) == {"field_blocked"}
    assert await kit.waiting() == 9
    assert await kit.reasons() == []
    assert [value for _, value in received.values()] == [
        1.0,
        *[float(n) for n in range(10, 20)],
    ]
    assert len(received.values("b_W")) == 20
    assert len(received.writes) <= 20 + 15


@pytest.mark.parametrize("wrong", [1, 2, 5])
@BLOCKED
async def test_wrong_fields_in_a_backlog(
    hass: HomeAssistant,
    kit: UploaderKit,
    received: Received,
    simulator: Simulator,
    wrong: int,
) -> None:
    """Some of ten fields have another type at the service: a few requests to find out, and nothing is lost."""
    names = [f"f{n}_W" for n in range(10)]
    bad = names[3 : 3 + wrong]
    write_before(simulator, *bad)
    for begin in range(0, 2000, 100):
        await kit.add_to_disk(
            *[
                sample(n * 10, float(n), name)
                for n in range(begin, begin + 100)
                for name in names
            ]
        )
    await kit.wait(20_000)
    await kit.upload()
    assert len(received.writes) <= 20 + 12 * wrong
    assert {key.field for key in kit.outbox.blocked} == set(bad)
    assert await kit.waiting() == 2000 * wrong
    assert await kit.reasons() == []
    for name in set(names) - set(bad):
        assert len(received.values(name)) == 2000
    assert issue_ids(hass) == {"field_blocked"}


@BLOCKED
async def test_half_of_many_fields_wrong(kit: UploaderKit, received: Received) -> None:
    """What one search does not find the next ones do: then no refusal costs anything, and nothing is lost."""
    names = [f"f{n}_W" for n in range(120)]
    write_before(received.simulator, *names[::2])
    for second in range(10):
        for n in range(3):
            kit.add(*[sample(second + n / 3, 1.0, name) for name in names])
        await kit.upload()
        await kit.wait(6)
    assert {key.field for key in kit.outbox.blocked} == set(names[::2])
    received.simulator.log.reset()
    kit.add(*[sample(10, 1.0, name) for name in names])
    await kit.upload()
    assert len(received.writes) <= 3
    for name in names[1::2]:
        assert len(received.values(name)) == 31
    assert await kit.waiting() == 60 * 31
    assert await kit.reasons() == []


@BLOCKED
async def test_wrong_behind_a_value_that_was_stored(
    kit: UploaderKit, received: Received, simulator: Simulator
) -> None:
    """The type changes while older values wait: they are not taken for too old, nor set aside one by one."""
    kit.add(sample(0), sample(0, 1.0, "b_W"))
    await kit.upload()
    await kit.add_to_disk(
        *[
            sample(-20_000 + n, float(n), name)
            for n in range(300)
            for name in ("actualPowerTot_W", "b_W")
        ]
    )
    simulator.switches.refuse_fields["b_W"] = "string"
    for second in range(1, 11):
        kit.add(sample(second))
        await kit.upload()
        await kit.wait(6)
    assert [key.field for key in kit.outbox.blocked] == ["b_W"]
    assert await kit.waiting() == 300
    assert await kit.reasons() == []
    assert len(received.values()) == 311


@BLOCKED
async def test_wrong_in_requests_that_are_too_large(
    kit: UploaderKit, received: Received, simulator: Simulator
) -> None:
    """A 413 beside it makes no value of the field a reject."""
    kit.add(sample(-5))
    await kit.upload()
    simulator.switches.max_body = 400
    simulator.switches.refuse_fields["b_W"] = "string"
    kit.add(
        *[
            sample(second, float(second), name)
            for second in range(8)
            for name in ("actualPowerTot_W", "b_W")
        ]
    )
    for _ in range(5):
        await kit.upload()
        await kit.wait(6)
    assert len(received.values()) == 9
    assert await kit.waiting() == 8
    assert await kit.reasons() == []


@BLOCKED
async def test_event_loop_is_not_held_up(
    kit: UploaderKit, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever goes through all samples of a large batch does so in a thread."""
    names = [f"f{n}_W" for n in range(7)]
    kit.add(*[sample(-5, 0.0, name) for name in names])
    await kit.upload()
    simulator.switches.refuse_fields["f6_W"] = "string"
    kit.add(*[sample(n / 10, float(n), name) for n in range(4000) for name in names])
    costs: list[float] = []
    run = asyncio.Handle._run

    def measure(handle: asyncio.Handle) -> None:
        """Measure what the loop's thread computes for an upload, and not for the simulator."""
        callback = handle._callback  # type: ignore[attr-defined]
        task = getattr(callback, "__self__", None)
        before = time.thread_time()
        run(handle)
        if isinstance(task, asyncio.Task) and "eniris upload" in task.get_name():
            costs.append(time.thread_time() - before)

    monkeypatch.setattr(asyncio.Handle, "_run", measure)
    await kit.upload()
    assert await kit.waiting() == 4000
    assert max(costs) < 0.01


@SET_ASIDE
@BLOCKED
async def test_wrong_from_its_first_sample_one_a_minute(
    hass: HomeAssistant, kit: UploaderKit, received: Received, simulator: Simulator
) -> None:
    """The first one that comes alone is set aside; the second shows that it is the field, and the first is taken back."""
    write_before(simulator, "slow_W")
    for minute in range(60):
        for second in range(0, 60, 10):
            kit.add(sample(minute * 60 + second))
            await kit.upload()
            await kit.wait(10)
        kit.add(sample(minute * 60 + 59, 5.0, "slow_W"))
        await kit.upload()
        if minute == 0:
            assert len(await kit.reasons()) == 1
    assert await kit.reasons() == []
    assert await kit.waiting() == 60
    assert issue_ids(hass) == {"field_blocked"}
    assert len(received.writes) <= 360 + 15
    assert (await kit.outbox.refresh_figures())["export"].rejected == 0


@BLOCKED
async def test_blocked_while_another_is_fine(
    kit: UploaderKit, received: Received, simulator: Simulator
) -> None:
    """A point of which one field is refused keeps the others, with their time."""
    write_before(simulator, "status")
    for second in range(1, 4):
        kit.add(
            sample(second, 1.0, "a_W"),
            sample(second, 5.0, "status"),
            sample(second, 2.0, "b_W"),
        )
    await kit.upload()
    assert [point.fields for point in received.points()][1:] == [
        {"a_W": 1.0, "b_W": 2.0}
    ] * 3
    assert await kit.waiting() == 3


@SET_ASIDE
async def test_two_that_conflict_with_each_other(
    kit: UploaderKit, received: Received
) -> None:
    """422: one decides on the type, the other is set aside, the rest gets through."""
    kit.add(
        sample(0, 1.0, "good_W"),
        sample(1, "word", "both"),
        sample(2, 1.0, "good_W"),
        sample(3, 5.0, "both"),
        sample(4, 1.0, "good_W"),
    )
    await kit.upload()
    assert 422 in received.statuses
    assert len(received.values("both")) == 1
    assert len(received.values("good_W")) == 3
    assert len(await kit.reasons()) == 1


@pytest.mark.parametrize("count", [1000, 20_000])
@pytest.mark.parametrize("old", [0.51, 0.8, 0.99])
@LEFT_OUT
async def test_too_old_at_the_beginning_of_a_backlog(
    kit: UploaderKit, received: Received, simulator: Simulator, count: int, old: float
) -> None:
    """What waited for longer than the service accepts: where it ends is found by halving."""
    simulator.switches.max_age_s = DAY
    step = 2 * DAY / count
    # Some seconds away from the limit itself
    start = -DAY - old * 2 * DAY + step / 2
    samples = [sample(start + n * step, float(n)) for n in range(count)]
    expected = [float(n) for n in range(count) if start + n * step >= -DAY]
    for begin in range(0, count, 500):
        await kit.add_to_disk(*samples[begin : begin + 500])
    kit.add(sample(0, -1.0))
    await kit.upload()
    for _ in range(10):
        await kit.wait(0.001)
        await kit.upload()
    assert len(received.writes) <= 60
    assert [value for _, value in received.values()][:-1] == expected
    assert await kit.waiting() == 0
    figures = (await kit.outbox.refresh_figures())["export"]
    assert figures.rejected == count - len(expected)
    assert len(await kit.reasons()) == min(1000, figures.rejected)


@LEFT_OUT
async def test_too_old_in_the_middle_of_a_backlog(
    kit: UploaderKit, received: Received, simulator: Simulator
) -> None:
    """A clock that was wrong for a while: what it dated too early is left out, its neighbours are not."""
    simulator.switches.max_age_s = DAY
    wrong = range(8000, 11_000)
    samples = [
        sample(n / 10 - (5 * DAY if n in wrong else 0), float(n)) for n in range(20_000)
    ]
    for begin in range(0, 20_000, 500):
        await kit.add_to_disk(*samples[begin : begin + 500])
    await kit.wait(3000)
    await kit.upload()
    assert len(received.writes) <= 80
    assert len(received.values()) == 17_000
    assert await kit.waiting() == 0
    figures = (await kit.outbox.refresh_figures())["export"]
    assert (figures.uploaded, figures.rejected) == (17_000, 3000)


@OUTAGE
async def test_nothing_but_too_old(
    kit: UploaderKit, received: Received, simulator: Simulator
) -> None:
    """Nothing says that the target takes anything: it waits until something newer is stored."""
    simulator.switches.max_age_s = DAY
    kit.add(*[sample(-5 * DAY + n, float(n)) for n in range(1000)])
    await kit.upload()
    assert await kit.waiting() == 1000
    assert kit.uploader.targets[TARGET].present_wanted is not None
    assert len(received.writes) <= 12


@pytest.mark.parametrize("ahead", [1, 40])
@SET_ASIDE
async def test_dated_ahead(kit: UploaderKit, received: Received, ahead: int) -> None:
    """What a clock that was wrong has dated ahead blocks no field."""
    kit.add(
        *[sample(n) for n in range(-20, 0)],
        *[sample(2 * DAY + n, 9.0) for n in range(ahead)],
        *[sample(n, 3.0) for n in range(20)],
    )
    await kit.upload()
    assert len(received.values()) == 40
    assert not kit.outbox.blocked
    assert [value for value, _ in await kit.reasons()] == [9.0] * ahead
    assert len(received.writes) <= LIMIT


@SET_ASIDE
async def test_isolation_that_is_cut_short(
    kit: UploaderKit, received: Received, simulator: Simulator
) -> None:
    """An outage in the middle of a search costs nothing: what is not known yet waits."""
    kit.add(sample(-1, 0.0))
    await kit.upload()
    kit.add(*[sample(n, "no" if n == 70 else float(n)) for n in range(300)])
    kit.uploader.async_wake()
    await until(lambda: len(received.writes) == 5)
    fault = simulator.faults.add(PATH, "drop")
    await kit.uploader.async_finish()
    assert await kit.reasons() == []
    assert await kit.waiting() >= 1
    simulator.faults.remove(fault.id)
    await kit.wait(400)
    await kit.upload()
    assert len(received.values()) == 300
    assert await kit.waiting() == 0
    assert len(await kit.reasons()) == 1


@pytest.mark.parametrize("reason", ["time", "type"])
async def test_settlement_counts_each_once(
    kit: UploaderKit, received: Received, caplog: pytest.LogCaptureFixture, reason: str
) -> None:
    """Stored, set aside, left out and waiting together are what was added."""
    kit.add(sample(-1, 0.0), sample(-1, "w", "text"))
    await kit.upload()
    count = 1200
    samples: list[Sample] = [sample(n, float(n)) for n in range(count)]
    for n in range(0, count, 7):
        samples[n] = sample(TOO_OLD + n) if reason == "time" else sample(n, 1.0, "text")
    kit.add(*samples)
    for _ in range(40):
        await kit.upload()
        await kit.wait(30)
    figures = (await kit.outbox.refresh_figures())["export"]
    total = figures.uploaded + figures.rejected + figures.waiting
    assert total == count + 2
    assert len(received.values()) == 1 + count - len(range(0, count, 7))
    caplog.clear()


@pytest.mark.parametrize("bad", [1, 3])
async def test_newest_is_bad_and_nothing_else_comes(
    kit: UploaderKit, received: Received, caplog: pytest.LogCaptureFixture, bad: int
) -> None:
    """After a restart nothing is known to be stored: a bad value at the end of a backlog holds up the rest for a while alone."""
    kit.add(sample(-1, 0.0))
    await kit.upload()
    kit.make()
    await kit.add_to_disk(
        *[sample(n / 10, "no" if n >= 500 - bad else float(n)) for n in range(500)]
    )
    for _ in range(20):
        await kit.wait(60)
        await kit.upload()
    assert len(received.values()) == 501 - bad
    assert kit.uploader.problem(TARGET) is None
    assert len(received.writes) <= 60
    caplog.clear()
