"""The uploader: a task per target, the log-in, the stop, and what the user's button does."""

import asyncio
import gc

import pytest
from pytest_homeassistant_custom_component.common import async_fire_time_changed

from custom_components.eniris.api import Body, Session, WriteTarget
from custom_components.eniris.exporting.outbox.batches import Batch, Block
from homeassistant.core import HomeAssistant
from simulator.server import Simulator
from tests.kit.common import until

from .conftest import (
    OTHER_TARGET,
    START,
    TARGET,
    Received,
    UploaderKit,
    issue_ids,
    sample,
    to_target,
)

PATH = "/v1/telemetry"
NOWHERE = WriteTarget("demo-ingress", "nowhere", "rp_one_s")

OUTAGE = pytest.mark.expected_log("cannot be uploaded at present")


def needs_log_in(kit: UploaderKit) -> bool:
    """Return whether only a new log-in helps."""
    return kit.uploader.needs_log_in


async def test_stored(kit: UploaderKit, received: Received) -> None:
    """204: in one request, as the API page has it, and then nothing waits."""
    kit.add(
        sample(0, 2000.0),
        sample(0, True, "evRequiringCharge"),
        sample(1, "idle", "status"),
        sample(0.5, -1.25),
    )
    await kit.upload()
    (request,) = received.writes
    assert request.status == 204
    assert request.query == [
        *(("db", "demo"), ("rp", "rp_one_s"), ("u", "demo-ingress"))
    ]
    assert request.headers["Content-Type"] == "application/json"
    # Those of the same series and time are one point, and the order is that of the outbox
    assert request.json == [
        {
            "measurement": "gridMetrics",
            "time": time,
            "tags": {"serialNr": "abc"},
            "fields": fields,
        }
        for time, fields in (
            (
                "2026-07-01T12:00:00Z",
                {"actualPowerTot_W": 2000.0, "evRequiringCharge": True},
            ),
            ("2026-07-01T12:00:01Z", {"status": "idle"}),
            ("2026-07-01T12:00:00.500000Z", {"actualPowerTot_W": -1.25}),
        )
    ]
    assert received.points()[0].types == {
        "actualPowerTot_W": "float",
        "evRequiringCharge": "boolean",
    }
    figures = (await kit.outbox.refresh_figures())["export"]
    assert (figures.waiting, figures.uploaded) == (0, 4)
    assert figures.last_upload == START
    await kit.upload()
    assert len(received.writes) == 1
    assert kit.uploader.problem(TARGET) is None
    assert kit.uploader.works


async def test_exports_that_share_a_point(kit: UploaderKit, received: Received) -> None:
    """Two exports to one series and time make one point, and each has its own figures."""
    kit.add(
        sample(-1, 1.0, "x_W", export_id="a"), sample(-1, 2.0, "y_W", export_id="b")
    )
    await kit.upload()
    (point,) = received.points()
    assert point.fields == {"x_W": 1.0, "y_W": 2.0}
    assert point.writes == 1
    figures = await kit.outbox.refresh_figures()
    assert [figures[name].uploaded for name in "ab"] == [1, 1]
    assert len(received.writes) == 1


@pytest.mark.parametrize("status", [pytest.param(503, marks=OUTAGE), 413])
async def test_little_stays_of_a_failed_request(
    kit: UploaderKit, received: Received, simulator: Simulator, status: int
) -> None:
    """Why a request failed is still known; of what was in it no more than the block of the newest sample is kept."""
    simulator.faults.add(PATH, "status", status=status, times=1)
    kit.add(*[sample(n, float(n)) for n in range(3000)])
    await kit.upload()
    await kit.wait(60)
    await kit.upload()
    assert len(received.values()) == 3000
    state = kit.uploader.targets[TARGET]
    assert str(status) in str(state.failure or state.refusal)
    gc.collect()
    ours = [its for its in gc.get_objects() if isinstance(its, Block | Batch)]
    assert not [its for its in ours if isinstance(its, Batch)]
    # What another test has left has an export of its own
    blocks = [its for its in ours if isinstance(its, Block)]
    assert len([block for block in blocks if block.export_id == "export"]) <= 1


@pytest.mark.parametrize("is_backlog", [False, True])
async def test_oldest_first(
    kit: UploaderKit, received: Received, is_backlog: bool
) -> None:
    """More than a batch goes in several, in order."""
    samples = [sample(n / 10, float(n)) for n in range(12_000)]
    if is_backlog:
        await kit.add_to_disk(*samples)
    else:
        kit.add(*samples)
    await kit.upload()
    assert [request.points for request in received.writes] == [5000, 5000, 2000]
    assert received.values() == [(n / 10, float(n)) for n in range(12_000)]
    assert received.simulator.store.overwritten == 0
    assert await kit.waiting() == 0


async def test_refused_twice(
    kit: UploaderKit, received: Received, simulator: Simulator
) -> None:
    """401 twice: only a log-in helps, perhaps; it is tried again each hour, and a success ends it."""
    kit.add(sample(0), sample(1, series=to_target(OTHER_TARGET)))
    fault = simulator.faults.add(PATH, "status", status=401)
    await kit.upload()
    assert needs_log_in(kit)
    asked = len(received.writes)
    assert asked <= 4
    for _ in range(59):
        await kit.wait(60)
        await kit.upload()
    assert len(received.writes) == asked
    assert await kit.waiting() == 2
    await kit.wait(61)
    await kit.upload()
    assert asked < len(received.writes) <= asked + 4
    assert needs_log_in(kit)
    assert await kit.waiting() == 2
    assert await kit.reasons() == []
    simulator.faults.remove(fault.id)
    await kit.wait(3601)
    await kit.upload()
    assert not needs_log_in(kit)
    assert await kit.waiting() == 0
    assert len(received.points()) == 2
    assert kit.uploader.problem(TARGET) is None


@pytest.mark.parametrize("status", [400, 403, 404, 409, 413, 422, 500])
@OUTAGE
async def test_trouble_with_the_token(
    hass: HomeAssistant,
    kit: UploaderKit,
    received: Received,
    simulator: Simulator,
    status: int,
) -> None:
    """What the authentication host says is not about the samples, nor about the target."""
    kit.add(sample(0), sample(1))
    await kit.wait(250)
    simulator.faults.add("/auth/accesstoken", "status", status=status, times=1)
    await kit.upload()
    assert received.writes == []
    assert await kit.waiting() == 2
    assert await kit.reasons() == []
    assert issue_ids(hass) == set()
    assert kit.uploader.problem(TARGET) is not None
    await kit.wait(6.1)
    await kit.upload()
    assert len(received.values()) == 2


@OUTAGE
async def test_others_go_on(
    hass: HomeAssistant, kit: UploaderKit, received: Received
) -> None:
    """A target that is paused holds up no other."""
    for seconds in range(0, 50, 5):
        kit.add(
            sample(seconds, series=to_target(NOWHERE)),
            sample(seconds),
            sample(seconds, series=to_target(OTHER_TARGET)),
        )
        await kit.upload()
        await kit.wait(4)
    assert len(received.points(retention_policy="rp_one_s")) == 10
    assert len(received.points(retention_policy="rp_one_m")) == 10
    assert received.statuses.count(404) == 1
    assert kit.uploader.problem(TARGET) is None
    assert kit.uploader.problem(NOWHERE) is not None
    assert not kit.uploader.works
    assert issue_ids(hass) == {"namespace_unknown"}


async def test_a_silent_target_holds_up_no_other(
    kit: UploaderKit, received: Received, simulator: Simulator
) -> None:
    """While one target is waited for, another goes on."""
    simulator.faults.add(PATH, "delay", delay=100_000, times=1)
    kit.add(sample(0))
    kit.uploader.async_wake()
    await until(lambda: len(received.writes) == 1)
    kit.add(sample(1, series=to_target(OTHER_TARGET)))
    kit.uploader.async_wake()
    await until(lambda: kit.outbox.targets() == {TARGET})
    assert received.points()[0].retention_policy == "rp_one_m"
    async with kit.uploader.async_paused():
        assert await kit.waiting() == 1


@OUTAGE
async def test_upload_now(
    kit: UploaderKit, received: Received, simulator: Simulator
) -> None:
    """The user's button knows no pause, and says what stands in the way."""
    kit.add(sample(0), sample(0, series=to_target(OTHER_TARGET)))
    simulator.faults.add(PATH, "status", status=503, message="busy")
    await kit.upload()
    assert "busy" in (await kit.uploader.async_upload_now() or "")
    assert len(received.writes) == 4
    simulator.faults.clear()
    assert await kit.uploader.async_upload_now(TARGET) is None
    assert kit.outbox.targets() == {OTHER_TARGET}
    assert await kit.uploader.async_upload_now() is None
    assert kit.outbox.targets() == set()


@OUTAGE
async def test_upload_now_again_and_again(
    kit: UploaderKit, received: Received, simulator: Simulator
) -> None:
    """Tries by hand do not make the wait for the next one by itself longer."""
    simulator.faults.add(PATH, "status", status=503)
    kit.add(sample(0))
    for _ in range(6):
        assert await kit.uploader.async_upload_now()
    tried = len(received.writes)
    await kit.wait(13)
    await kit.upload()
    assert len(received.writes) == tried + 1


@pytest.mark.expected_log("refuses every value of field")
async def test_upload_now_of_a_blocked_field(
    kit: UploaderKit, received: Received, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A value that came just before the button, or while its field was tried, goes up with the others."""
    switches = received.simulator.switches
    kit.add(sample(-1, 0.0, "a_W"))
    await kit.upload()
    switches.refuse_fields["bad_W"] = "string"
    kit.add(*[sample(n, float(n), name) for n in range(4) for name in ("a_W", "bad_W")])
    await kit.upload()
    assert kit.outbox.blocked
    await kit.outbox.commit(everything=True)
    switches.refuse_fields.clear()
    write_body = Session.write_body

    async def write(session: Session, target: WriteTarget, body: Body) -> None:
        if kit.outbox.blocked:
            kit.add(sample(5, 5.0, "bad_W"))
        await write_body(session, target, body)

    monkeypatch.setattr(Session, "write_body", write)
    kit.add(sample(4, 4.0, "bad_W"))
    assert await kit.uploader.async_upload_now() is None
    assert not kit.outbox.blocked
    await kit.outbox.commit()
    await kit.upload()
    assert sorted(value for _, value in received.values("bad_W")) == [
        float(n) for n in range(6)
    ]
    assert await kit.waiting() == 0


async def test_upload_now_does_not_wait_for_a_log_in(
    kit: UploaderKit, received: Received, simulator: Simulator
) -> None:
    """The user may know that the account is well again."""
    kit.add(sample(0))
    simulator.faults.add(PATH, "status", status=401, times=2)
    await kit.upload()
    assert needs_log_in(kit)
    assert await kit.uploader.async_upload_now() is None
    assert not needs_log_in(kit)
    assert received.values() == [(0, 1.0)]


async def test_wakes_by_itself(kit: UploaderKit, received: Received) -> None:
    """Once started, what is added goes up at once."""
    kit.add(sample(0))
    kit.uploader.async_start()
    await kit.clock.settle()
    assert received.values() == [(0, 1.0)]
    kit.add(sample(1))
    await kit.clock.settle()
    assert len(received.values()) == 2


@pytest.mark.parametrize(
    ("fault", "status"),
    [("status", 503), ("status", 404), ("status", 400), ("drop", None)],
)
async def test_retries_by_itself(
    kit: UploaderKit,
    received: Received,
    simulator: Simulator,
    caplog: pytest.LogCaptureFixture,
    request: pytest.FixtureRequest,
    fault: str,
    status: int | None,
) -> None:
    """What had to wait goes up without anything new, by timers on the event loop."""
    if fault == "status":
        request.node.add_marker(OUTAGE)
    simulator.faults.add(PATH, "status" if status else "drop", status=status, times=2)
    kit.uploader.async_start()
    kit.add(sample(0))
    await kit.clock.advance(1)
    assert received.values() == []
    await kit.clock.advance(240, step=5)
    assert received.values() == [(0, 1.0)]
    assert "thread" not in caplog.text.lower().replace("eniris-outbox", "")


async def test_paused(
    kit: UploaderKit, received: Received, simulator: Simulator
) -> None:
    """While what waits is changed nothing goes up; what was under way is sent once more."""
    simulator.faults.add(PATH, "delay", delay=100_000, times=1)
    kit.add(sample(0))
    kit.uploader.async_wake()
    await until(lambda: len(received.writes) == 1)
    async with kit.uploader.async_paused():
        await kit.upload()
        assert len(received.writes) == 1
        assert await kit.waiting() == 1
    await kit.upload()
    assert received.values() == [(0, 1.0)]


async def test_upload_now_while_paused(kit: UploaderKit, received: Received) -> None:
    """The button waits for no change of what waits, and disturbs none."""
    await kit.add_to_disk(sample(0))
    async with kit.uploader.async_paused():
        await kit.uploader.async_upload_now()
        assert received.writes == []
    await kit.upload()
    assert received.values() == [(0, 1.0)]


async def test_last_upload(kit: UploaderKit, received: Received) -> None:
    """When it stops, the uploader sends what waits, and afterwards nothing more."""
    await kit.add_to_disk(*[sample(n / 10) for n in range(7000)])
    kit.add(sample(-1))
    await kit.uploader.async_stop()
    assert len(received.values()) == 7001
    assert await kit.waiting() == 0
    kit.add(sample(-2))
    await kit.upload()
    assert await kit.waiting() == 1


async def test_last_upload_to_a_slow_server(
    hass: HomeAssistant, kit: UploaderKit, received: Received, simulator: Simulator
) -> None:
    """It takes five seconds at most, and the rest is kept."""
    kit.add(*[sample(n) for n in range(10)])
    simulator.faults.add(PATH, "delay", delay=100_000, times=1)
    stop = hass.async_create_background_task(kit.uploader.async_stop(), "stop")
    await until(lambda: len(received.writes) == 1)
    for tick, done in ((4, False), (1.1, True)):
        await kit.wait(tick)
        async_fire_time_changed(hass)
        for _ in range(50):
            await asyncio.sleep(0)
        assert stop.done() is done
    assert await kit.waiting() == 10
    kit.make()
    await kit.upload()
    assert len(received.values()) == 10


@OUTAGE
async def test_jitter(kit: UploaderKit, simulator: Simulator) -> None:
    """Not everybody comes back at the same moment."""
    targets = [WriteTarget(f"u{n}", "demo", "rp_one_s") for n in range(10)]
    kit.add(*[sample(0, series=to_target(target)) for target in targets])
    simulator.faults.add(PATH, "status", status=503)
    await kit.upload()
    waits = {state.not_before for state in kit.uploader.targets.values()}
    assert len(waits) > 5
