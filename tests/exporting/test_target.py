"""The uploads to one target: every answer of the service, and how long what is refused waits."""

import asyncio
import math
from pathlib import Path

import pytest
from pytest_homeassistant_custom_component.common import async_fire_time_changed

from custom_components.eniris.api import WriteTarget
from custom_components.eniris.exporting.outbox.batches import (
    BATCH_BYTES,
    Batch,
    Settlement,
)
from custom_components.eniris.exporting.outbox.corrections import discard
from custom_components.eniris.exporting.outbox.outbox import Outbox
from custom_components.eniris.exporting.outbox.store import OutboxError
from homeassistant.core import HomeAssistant
from simulator.faults import FaultKind
from simulator.server import Simulator
from tests.kit.common import until

from .conftest import TARGET, Received, UploaderKit, at, issue_ids, sample, to_target

PATH = "/v1/telemetry"
NOWHERE = WriteTarget("demo-ingress", "nowhere", "rp_one_s")

OUTAGE = pytest.mark.expected_log("cannot be uploaded at present")
SET_ASIDE = pytest.mark.expected_log("refuses a value of field .* set aside")
LEFT_OUT = pytest.mark.expected_log("takes no values for .* or older")
BLOCKED = pytest.mark.expected_log("refuses every value of field")


async def next_request_after(
    kit: UploaderKit, received: Received, shortest: float, longest: float
) -> None:
    """Assert that the next request comes after `shortest` seconds, and by `longest`."""
    before = len(received.writes)
    await kit.wait(shortest)
    await kit.upload()
    assert len(received.writes) == before, "too early"
    await kit.wait(longest - shortest)
    await kit.upload()
    assert len(received.writes) == before + 1, "too late"


@pytest.mark.parametrize(
    ("status", "where", "fields"),
    [
        *((400, "memory", 1), (409, "memory", 7), (422, "disk", 1)),
        *((400, "disk", 7), (409, "both", 1), (422, "both", 7)),
    ],
)
@OUTAGE
async def test_everything_refused_for_a_minute(
    hass: HomeAssistant,
    kit: UploaderKit,
    received: Received,
    simulator: Simulator,
    status: int,
    where: str,
    fields: int,
) -> None:
    """It is the target's problem and no sample's: nothing leaves the outbox, little is asked, and all goes up afterwards."""
    fault = simulator.faults.add(PATH, "status", status=status, message="no, thanks")
    samples = [
        sample(n / 10, float(n), f"f{m}_W") for n in range(1500) for m in range(fields)
    ]
    half = 0 if where == "memory" else len(samples)
    if where == "both":
        half //= 2
    await kit.add_to_disk(*samples[:half])
    kit.add(*samples[half:])
    for second in range(60):
        await kit.upload()
        kit.add(sample(200 + second, 5.0, "f0_W"))
        await kit.wait(1)
    assert len(received.writes) <= 40
    assert await kit.waiting() == len(samples) + 60
    assert await kit.reasons() == []
    assert not kit.outbox.blocked
    assert "no, thanks" in (kit.uploader.problem(TARGET) or "")
    assert issue_ids(hass) == {"target_refuses"}
    simulator.faults.remove(fault.id)
    await kit.wait(361)
    await kit.upload()
    assert await kit.waiting() == 0
    assert len(received.values("f0_W")) == 1560
    assert all(len(received.values(f"f{n}_W")) == 1500 for n in range(1, fields))
    assert kit.uploader.problem(TARGET) is None
    assert issue_ids(hass) == set()
    assert await kit.reasons() == []


@pytest.mark.parametrize("status", [400, 409, 422])
@OUTAGE
async def test_everything_refused_after_it_worked(
    hass: HomeAssistant,
    kit: UploaderKit,
    received: Received,
    simulator: Simulator,
    status: int,
) -> None:
    """What was stored a moment ago and is refused now, too, tells a target's problem from a field's."""
    kit.add(sample(0), sample(0, 2.0, "b_W"))
    await kit.upload()
    received.simulator.log.reset()
    fault = simulator.faults.add(PATH, "status", status=status)
    for n in range(1, 60):
        kit.add(sample(n), sample(n, 2.0, "b_W"), sample(n, "new", f"new{n}"))
        await kit.upload()
        await kit.wait(1)
    assert len(received.writes) <= 20
    assert await kit.waiting() == 59 * 3
    assert await kit.reasons() == []
    assert issue_ids(hass) == {"target_refuses"}
    simulator.faults.remove(fault.id)
    await kit.wait(361)
    await kit.upload()
    assert len(received.values()) == 60
    assert await kit.waiting() == 0
    assert issue_ids(hass) == set()


@OUTAGE
async def test_lone_sample_that_is_refused(
    hass: HomeAssistant, kit: UploaderKit, received: Received, simulator: Simulator
) -> None:
    """Nothing beside it is stored, so nobody knows whose fault it is: it waits."""
    simulator.faults.add(PATH, "status", status=400, times=1)
    kit.add(sample(0))
    await kit.upload()
    assert await kit.waiting() == 1
    assert await kit.reasons() == []
    assert issue_ids(hass) == {"target_refuses"}
    await kit.wait(7)
    await kit.upload()
    assert received.values() == [(0, 1.0)]
    assert issue_ids(hass) == set()


@pytest.mark.parametrize("status", [400, 403, 404, 422, 503])
@OUTAGE
async def test_a_problem_ends_once_nothing_waits(
    hass: HomeAssistant, kit: UploaderKit, simulator: Simulator, status: int
) -> None:
    """A target that nothing is sent to has no problem, whatever became of what waited."""
    simulator.faults.add(PATH, "status", status=status)
    kit.add(sample(0))
    await kit.upload()
    assert not kit.uploader.works
    await kit.outbox.correct(discard, TARGET)
    kit.uploader.async_wake()
    assert kit.uploader.problem(TARGET) is None
    assert issue_ids(hass) == set()
    assert TARGET not in kit.outbox.failing


@pytest.mark.parametrize(
    ("status", "kind"), [(403, "role_missing"), (404, "namespace_unknown")]
)
@OUTAGE
async def test_pause(
    hass: HomeAssistant,
    kit: UploaderKit,
    received: Received,
    simulator: Simulator,
    status: int,
    kind: str,
) -> None:
    """403 and 404: kept, told, and tried again from 1 minute to 1 hour apart."""
    target = NOWHERE if status == 404 else TARGET
    if status == 403:
        simulator.accounts["demo@example.com"].roles.clear()
    kit.add(sample(0, series=to_target(target)))
    await kit.upload()
    for expected in (60, 120, 240, 480, 960, 1920, 3600, 3600):
        await next_request_after(kit, received, expected * 0.79, expected * 1.21)
    assert set(received.statuses) == {status}
    assert issue_ids(hass) == {kind}
    assert str(status) in (kit.uploader.problem(target) or "")
    assert await kit.waiting() == 1
    if status == 403:
        simulator.accounts["demo@example.com"].roles.add("CustomerName")
    simulator.switches.namespaces.add((NOWHERE.database, NOWHERE.retention_policy))
    await kit.wait(3600 * 1.21)
    await kit.upload()
    assert await kit.waiting() == 0
    assert issue_ids(hass) == set()
    assert kit.uploader.problem(target) is None


@OUTAGE
async def test_pause_after_an_outage_begins_small(
    kit: UploaderKit, received: Received, simulator: Simulator
) -> None:
    """An outage and a refusal are two things; the waits of one do not add to the other's."""
    kit.add(sample(0))
    outage = simulator.faults.add(PATH, "status", status=503)
    for _ in range(8):
        await kit.upload()
        await kit.wait(361)
    simulator.faults.remove(outage.id)
    simulator.accounts["demo@example.com"].roles.clear()
    await kit.upload()
    await next_request_after(kit, received, 60 * 0.79, 60 * 1.21)


@pytest.mark.parametrize("retry_after", [2.0, 17.0, 900.0, 80_000.0])
@OUTAGE
async def test_retry_after(
    kit: UploaderKit, received: Received, simulator: Simulator, retry_after: float
) -> None:
    """429: as long as the service says, to the second."""
    kit.add(sample(0))
    simulator.faults.add(PATH, "status", status=429, retry_after=retry_after, times=1)
    await kit.upload()
    assert received.statuses == [429]
    await next_request_after(kit, received, retry_after - 0.01, retry_after + 0.01)
    assert received.values() == [(0, 1.0)]


@OUTAGE
async def test_retry_after_that_is_nonsense(
    kit: UploaderKit, received: Received, simulator: Simulator
) -> None:
    """A server that asks for a century waits a day."""
    kit.add(sample(0))
    simulator.faults.add(PATH, "status", status=429, retry_after=3e9, times=1)
    await kit.upload()
    await next_request_after(kit, received, 86_399, 86_401)


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        *(("status", 429), ("status", 500), ("status", 502), ("status", 503)),
        *(("status", 504), ("status", 418), ("status", 405), ("status", 302)),
        *(("drop", None), ("drop_after", None), ("half_body", None)),
        *(("garbage", None), ("html", None), ("html", 503), ("json", 200)),
        *(("wrong_type", None), ("empty", 200), ("garbage", 500)),
    ],
)
async def test_later(
    kit: UploaderKit,
    received: Received,
    simulator: Simulator,
    caplog: pytest.LogCaptureFixture,
    request: pytest.FixtureRequest,
    fault: FaultKind,
    status: int | None,
) -> None:
    """Whatever else comes, or does not come: kept, and tried again a little later."""
    if fault not in ("drop", "drop_after", "half_body"):
        request.node.add_marker(OUTAGE)
    kit.add(*[sample(n, float(n)) for n in range(300)])
    simulator.faults.add(PATH, fault, status=status, times=1)
    await kit.upload()
    assert len(received.writes) == 1
    assert await kit.waiting() == 300
    assert kit.uploader.problem(TARGET) is not None
    await next_request_after(kit, received, 3.9, 6.1)
    assert await kit.waiting() == 0
    assert received.values() == [(n, float(n)) for n in range(300)]
    assert kit.uploader.problem(TARGET) is None
    assert await kit.reasons() == []
    assert caplog.text.count("cannot be uploaded at present") == 1
    assert caplog.text.count("work again") == 1


async def test_no_answer(
    hass: HomeAssistant, kit: UploaderKit, received: Received, simulator: Simulator
) -> None:
    """A server that is silent is given up after a minute."""
    kit.add(sample(0))
    simulator.faults.add(PATH, "delay", delay=100_000, times=1)
    upload = hass.async_create_background_task(kit.upload(), "upload")
    await until(lambda: len(received.writes) == 1)
    for tick, done in ((59, False), (2, True)):
        await kit.wait(tick)
        async_fire_time_changed(hass)
        for _ in range(50):
            await asyncio.sleep(0)
        assert upload.done() is done
    assert await kit.waiting() == 1
    assert "no answer" in (kit.uploader.problem(TARGET) or "")


@OUTAGE
async def test_back_off(
    kit: UploaderKit,
    received: Received,
    simulator: Simulator,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Waits double up to five minutes, one line is logged, and a success resets everything."""
    outage = simulator.faults.add(PATH, "status", status=503)
    kit.add(sample(0))
    await kit.upload()
    for expected in (5, 10, 20, 40, 80, 160, 300, 300):
        await next_request_after(kit, received, expected * 0.79, expected * 1.21)
    assert caplog.text.count("cannot be uploaded at present") == 1
    simulator.faults.remove(outage.id)
    await kit.wait(361)
    await kit.upload()
    assert received.statuses[-1] == 204
    assert caplog.text.count("work again") == 1
    simulator.faults.add(PATH, "status", status=503)
    kit.add(sample(1))
    await kit.upload()
    await next_request_after(kit, received, 5 * 0.79, 5 * 1.21)
    assert caplog.text.count("cannot be uploaded at present") == 2


async def test_too_large(
    kit: UploaderKit, received: Received, simulator: Simulator
) -> None:
    """413: the batch is halved until it passes, at once, and that is remembered."""
    simulator.switches.max_body = 150_000
    await kit.add_to_disk(*[sample(n / 10, float(n)) for n in range(5000)])
    await kit.upload()
    assert len(received.values()) == 5000
    assert await kit.reasons() == []
    assert received.statuses.count(413) <= 2 * math.ceil(5000 * 130 / 150_000)
    await kit.add_to_disk(*[sample(n / 10, float(n)) for n in range(5000, 10_000)])
    refused = received.statuses.count(413)
    await kit.upload()
    assert received.statuses.count(413) == refused
    assert len(received.values()) == 10_000


async def test_larger_again(
    kit: UploaderKit, received: Received, simulator: Simulator
) -> None:
    """An hour after a 413 twice as much is tried, and again after another one: it costs one in vain."""

    async def refused_of(first: int) -> int:
        before = received.statuses.count(413)
        await kit.add_to_disk(
            *[sample(n / 10, 1.0) for n in range(first, first + 3000)]
        )
        await kit.upload()
        return received.statuses.count(413) - before

    simulator.switches.max_body = 150_000
    assert await refused_of(0) >= 1
    assert await refused_of(3000) == 0
    await kit.wait(3601)
    assert await refused_of(6000) <= 1
    assert await refused_of(9000) == 0
    simulator.switches.max_body = 10_000_000
    for hour in range(6):
        await kit.wait(3601)
        assert await refused_of(12_000 + 3000 * hour) == 0
    assert kit.uploader.targets[TARGET].size == BATCH_BYTES
    assert len(received.values()) == 30_000
    assert await kit.reasons() == []


async def test_small_batch_too_large(
    kit: UploaderKit, received: Received, simulator: Simulator
) -> None:
    """It is the batch that is halved, not the most that there could be."""
    simulator.switches.max_body = 6_000
    kit.add(*[sample(n) for n in range(80)])
    await kit.upload()
    assert len(received.values()) == 80
    assert received.statuses.count(413) <= 2


@SET_ASIDE
async def test_one_sample_too_large(
    kit: UploaderKit, received: Received, simulator: Simulator
) -> None:
    """What is too large by itself is set aside; the others are not held up."""
    simulator.switches.max_body = 10_000
    kit.add(*[sample(n, "x" * (20_000 if n == 20 else 10), "note") for n in range(40)])
    await kit.upload()
    assert len(received.points()) == 39
    ((value, reason),) = await kit.reasons()
    assert value == "x" * 20_000
    assert "413" in reason
    assert len(received.writes) < 25


@pytest.mark.parametrize("refused_again", [False, pytest.param(True, marks=SET_ASIDE)])
async def test_refusal_that_was_not_written_down(
    kit: UploaderKit,
    simulator: Simulator,
    monkeypatch: pytest.MonkeyPatch,
    refused_again: bool,
) -> None:
    """The disk is full: the same value that is refused once more is no second one, and blocks no field."""
    kit.add(sample(-1))
    await kit.upload()
    simulator.switches.refuse_fields["b_W"] = "string"
    kit.add(sample(0), sample(0, 1.0, "b_W"))
    with monkeypatch.context() as patch:
        patch.setattr(kit.outbox, "settle", _disk_full)
        await kit.upload()
    await kit.wait(6)
    if not refused_again:
        simulator.switches.refuse_fields.clear()
    await kit.upload()
    assert not kit.outbox.blocked
    assert len(await kit.reasons()) == int(refused_again)
    assert await kit.waiting() == 0


async def _disk_full(_batch: Batch, _result: Settlement) -> None:
    raise OutboxError("database or disk is full")


@OUTAGE
async def test_present_is_wanted_once(kit: UploaderKit, simulator: Simulator) -> None:
    """Of a target that refuses everything; what has held for an hour is not sent anew with each try."""
    simulator.faults.add(PATH, "status", status=400)
    kit.add(sample(0), sample(0, 1.0, "b_W"))
    await kit.upload()
    state = kit.uploader.targets[TARGET]
    assert state.present_wanted == at(-3600)
    state.present_wanted = None
    for _ in range(3):
        await kit.wait(400)
        await kit.upload()
    assert state.failures > 1
    assert state.present_wanted is None


async def block_note(kit: UploaderKit) -> None:
    """Have the field `note` blocked, which is a number at the service, and two words of it wait."""
    kit.add(sample(0, 1.0, "note"), sample(0))
    await kit.upload()
    kit.add(sample(1, "word", "note"), sample(2, "words", "note"), sample(1), sample(2))
    await kit.upload()
    (key,) = kit.outbox.blocked
    assert (key.field, key.type) == ("note", "string")


@BLOCKED
async def test_blocked_field_is_tried_each_hour(
    hass: HomeAssistant, kit: UploaderKit, received: Received, simulator: Simulator
) -> None:
    """One request an hour; once the service takes it, all that waited goes up and the issue ends."""
    await block_note(kit)
    for n in range(3, 60):
        kit.add(sample(n * 60, "more", "note"))
        await kit.outbox.commit()
        await kit.wait(59)
        await kit.upload()
    before = len(received.writes)
    await kit.wait(300)
    await kit.upload()
    assert len(received.writes) == before + 1, "the probe"
    await kit.wait(60)
    await kit.upload()
    assert len(received.writes) == before + 1
    assert issue_ids(hass) == {"field_blocked"}
    assert await kit.waiting() == 59
    # The type is forgotten, as when somebody has dropped the field
    simulator.store.clear()
    await kit.wait(3601)
    await kit.upload()
    assert await kit.waiting() == 0
    assert len(received.values("note")) == 59
    assert issue_ids(hass) == set()
    assert not kit.outbox.blocked
    assert await kit.reasons() == []


@BLOCKED
async def test_blocked_field_is_tried_by_the_button(
    hass: HomeAssistant, kit: UploaderKit, received: Received, simulator: Simulator
) -> None:
    """The user need not wait for the hour."""
    await block_note(kit)
    assert await kit.uploader.async_upload_now() is None
    assert issue_ids(hass) == {"field_blocked"}
    simulator.store.clear()
    await kit.uploader.async_upload_now()
    assert received.values("note") == [(1, "word"), (2, "words")]
    assert issue_ids(hass) == set()


@BLOCKED
@LEFT_OUT
async def test_blocked_field_whose_values_are_too_old(
    kit: UploaderKit, simulator: Simulator
) -> None:
    """The hourly try may be refused for its time: then the value that holds is wanted with the present one."""
    await block_note(kit)
    state = kit.uploader.targets[TARGET]
    await kit.wait(3601)
    await kit.upload()
    assert state.present_wanted is None, "the type alone"
    simulator.switches.max_age_s = 3600
    simulator.store.clear()
    await kit.wait(3601)
    await kit.upload()
    assert state.present_wanted == at(2)
    await kit.add_to_disk(sample(7202, "now", "note"))
    await kit.wait(3601)
    simulator.switches.max_age_s = 4000
    await kit.upload()
    assert not kit.outbox.blocked


@BLOCKED
async def test_blocked_field_after_a_restart(
    hass: HomeAssistant, kit: UploaderKit, received: Received, tmp_path: Path
) -> None:
    """It is still known, its samples wait, and nothing of it is in the batches."""
    await block_note(kit)
    await kit.outbox.close()
    kit.outbox = Outbox(hass, tmp_path / "outbox.db")
    await kit.outbox.open()
    kit.make()
    received.simulator.log.reset()
    for n in range(3, 30):
        kit.add(sample(n, "again", "note"), sample(n))
        await kit.upload()
    assert received.statuses.count(409) <= 1
    assert len(received.writes) <= 28
    assert len(received.values()) == 30
    assert await kit.waiting() == 29
    assert await kit.reasons() == []
    await kit.outbox.close()
