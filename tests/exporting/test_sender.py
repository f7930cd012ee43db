"""The sender: every answer of the service, and what becomes of the samples."""

import asyncio
from datetime import timedelta
import gc
import math
from pathlib import Path
from typing import Any

import pytest
from pytest_homeassistant_custom_component.common import async_fire_time_changed

from custom_components.eniris.api import WireFormat, WriteTarget
from custom_components.eniris.const import CONF_OUTBOX, CONF_SIZE_LIMIT
from custom_components.eniris.exporting.config import Series
from custom_components.eniris.exporting.outbox import (
    BATCH_BYTES,
    Limits,
    Outbox,
    Sample,
    StoredSample,
)
from homeassistant.config_entries import SOURCE_REAUTH
from homeassistant.const import (
    CONF_PASSWORD,
    EVENT_HOMEASSISTANT_FINAL_WRITE,
    EVENT_HOMEASSISTANT_STOP,
)
from homeassistant.core import HomeAssistant
from simulator.faults import FaultKind
from simulator.server import Simulator
from tests.common import until

from .conftest import (
    OTHER_TARGET,
    SERIES,
    START,
    TARGET,
    WRITE,
    AddAccount,
    Clock,
    Received,
    SenderKit,
    at,
    export_data,
    issue_ids,
    outbox_file,
    sample,
    to_target,
)

PATH = "/v1/telemetry"
TOO_OLD = -400 * 86_400
NOWHERE = WriteTarget("demo-ingress", "nowhere", "rp_one_s")
LIMIT = 2 * math.log2(5000)
"""Requests that a bad sample among 5,000 may cost."""

SET_ASIDE = pytest.mark.expected_log("refuses a value of field .* set aside")
OUTAGE = pytest.mark.expected_log("cannot be uploaded at present")


async def next_request_after(
    kit: SenderKit, received: Received, shortest: float, longest: float
) -> None:
    """Assert that the next request comes after `shortest` seconds, and by `longest`."""
    before = len(received.writes)
    await kit.wait(shortest)
    await kit.upload()
    assert len(received.writes) == before, "too early"
    await kit.wait(longest - shortest)
    await kit.upload()
    assert len(received.writes) == before + 1, "too late"


async def test_stored(kit: SenderKit, received: Received) -> None:
    """204: in one request, as the API page has it, and then nothing waits."""
    await kit.outbox.add(
        [
            sample(0, 2000.0),
            sample(0, True, "evRequiringCharge"),
            sample(1, "idle", "status"),
            sample(0.5, -1.25),
        ]
    )
    await kit.upload()
    (request,) = received.writes
    assert request.status == 204
    assert request.query == [
        *(("db", "demo"), ("rp", "rp_one_s"), ("u", "demo-ingress")),
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
    figures = (await kit.outbox.figures())["export"]
    assert (figures.waiting, figures.uploaded) == (0, 4)
    assert figures.last_upload == START
    await kit.upload()
    assert len(received.writes) == 1
    assert kit.sender.problem(TARGET) is None


@pytest.mark.parametrize("status", [pytest.param(503, marks=OUTAGE), 413])
async def test_nothing_stays_of_a_failed_request(
    kit: SenderKit, received: Received, simulator: Simulator, status: int
) -> None:
    """Why a request failed is still known, but what was in it is not kept."""
    simulator.faults.add(PATH, "status", status=status, times=1)
    await kit.outbox.add([sample(n, float(n)) for n in range(300)])
    await kit.upload()
    await kit.wait(60)
    await kit.upload()
    assert len(received.values()) == 300
    state = kit.sender.targets[TARGET]
    assert str(status) in str(state.failure or state.refusal)
    gc.collect()
    assert not [thing for thing in gc.get_objects() if isinstance(thing, StoredSample)]


async def test_compressed(kit: SenderKit, received: Received) -> None:
    """A batch is sent gzipped, and is small on its way."""
    await kit.outbox.add([sample(n, float(n)) for n in range(1000)])
    await kit.upload()
    (request,) = received.writes
    assert request.headers["Content-Encoding"] == "gzip"
    assert request.received_bytes < request.body_bytes / 5
    assert len(received.values()) == 1000


async def test_line_protocol(kit: SenderKit, received: Received) -> None:
    """The expert's choice stores the same."""
    kit.make(WireFormat.LINE_PROTOCOL)
    await kit.outbox.add([sample(0, 5.0), sample(0, True, "on"), sample(1, "x y", "s")])
    await kit.upload()
    assert received.statuses == [204]
    assert [point.fields for point in received.points()] == [
        {"actualPowerTot_W": 5.0, "on": True},
        {"s": "x y"},
    ]


async def test_oldest_first(kit: SenderKit, received: Received) -> None:
    """More than a batch goes in several, in order."""
    await kit.outbox.add([sample(n / 10, float(n)) for n in range(12_000)])
    await kit.upload()
    assert [request.points for request in received.writes] == [5000, 5000, 2000]
    assert received.values() == [(n / 10, float(n)) for n in range(12_000)]
    assert received.simulator.store.overwritten == 0


async def test_a_mebibyte_at_most(kit: SenderKit, received: Received) -> None:
    """What the simulator gets is no larger before compression."""
    await kit.outbox.add([sample(n / 10, "\x00ü" * 400, "s") for n in range(1000)])
    await kit.upload()
    sizes = [request.body_bytes for request in received.writes]
    assert max(sizes) <= 1024 * 1024
    assert len(sizes) == math.ceil(sum(sizes) / (1024 * 1024))
    assert len(received.points()) == 1000


async def test_stale_access_token(
    kit: SenderKit, received: Received, simulator: Simulator
) -> None:
    """401 once: a new token and a repeat."""
    await kit.outbox.add([sample(0)])
    simulator.revoke("demo@example.com", "access")
    await kit.upload()
    assert received.statuses == [401, 204]
    assert not kit.log_ins_wanted
    assert kit.sender.problem(TARGET) is None


async def test_refused_twice(
    kit: SenderKit, received: Received, simulator: Simulator
) -> None:
    """401 twice: a log-in is asked for, nothing is tried any more, and everything is kept."""
    await kit.outbox.add([sample(0), sample(1, series=to_target(OTHER_TARGET))])
    simulator.faults.add(PATH, "status", status=401)
    await kit.upload()
    assert kit.log_ins_wanted >= 1
    assert kit.sender.reauthentication_needed
    asked = len(received.writes)
    assert asked <= 4
    await kit.wait(7200)
    await kit.upload()
    assert len(received.writes) == asked
    assert await kit.waiting() == 2
    assert await kit.reasons() == []


@pytest.mark.parametrize("status", [400, 403, 404, 409, 413, 422, 500])
@OUTAGE
async def test_trouble_with_the_token(
    hass: HomeAssistant,
    kit: SenderKit,
    received: Received,
    simulator: Simulator,
    status: int,
) -> None:
    """What the authentication host says is not about the samples, nor about the target."""
    await kit.outbox.add([sample(0), sample(1)])
    await kit.wait(250)
    simulator.faults.add("/auth/accesstoken", "status", status=status, times=1)
    await kit.upload()
    assert received.writes == []
    assert await kit.waiting() == 2
    assert await kit.reasons() == []
    assert issue_ids(hass) == set()
    assert kit.sender.problem(TARGET) is not None
    await kit.wait(6.1)
    await kit.upload()
    assert len(received.values()) == 2


async def test_reauthentication(
    hass: HomeAssistant,
    clock: Clock,
    add_account: AddAccount,
    received: Received,
    simulator: Simulator,
) -> None:
    """A dead refresh token costs nothing: after the log-in all goes up."""
    hass.states.async_set("sensor.a", "1")
    entry = await add_account(export_data({"sensor.a": "actualPowerTot_W"}))
    await clock.advance(6)
    simulator.revoke("demo@example.com", "access")
    simulator.revoke("demo@example.com", "refresh")
    for number in range(2, 12):
        hass.states.async_set("sensor.a", str(number))
        await clock.advance(5)
    (flow,) = hass.config_entries.flow.async_progress()
    assert flow["context"]["source"] == SOURCE_REAUTH
    assert received.values() == [(0, 1.0)]
    exporter = entry.runtime_data.exporter
    await exporter.async_refresh()
    (status,) = [exporter.status(id_) for id_ in exporter.exports]
    assert status.problem == "log in again"
    assert status.figures.waiting == 10
    await hass.config_entries.flow.async_configure(
        flow["flow_id"], {CONF_PASSWORD: "demo"}
    )
    await clock.settle()
    await clock.advance(6)
    assert received.values() == [
        (0, 1.0),
        *((6 + 5 * n, n + 2.0) for n in range(10)),
    ]


@pytest.mark.parametrize(
    ("status", "kind"), [(403, "role_missing"), (404, "namespace_unknown")]
)
@OUTAGE
async def test_pause(
    hass: HomeAssistant,
    kit: SenderKit,
    received: Received,
    simulator: Simulator,
    status: int,
    kind: str,
) -> None:
    """403 and 404: kept, told, and tried again from 1 minute to 1 hour apart."""
    target = NOWHERE if status == 404 else TARGET
    if status == 403:
        simulator.accounts["demo@example.com"].roles.clear()
    await kit.outbox.add([sample(0, series=to_target(target))])
    await kit.upload()
    for expected in (60, 120, 240, 480, 960, 1920, 3600, 3600):
        await next_request_after(kit, received, expected * 0.79, expected * 1.21)
    assert set(received.statuses) == {status}
    assert issue_ids(hass) == {kind}
    assert str(status) in (kit.sender.problem(target) or "")
    assert await kit.waiting() == 1
    if status == 403:
        simulator.accounts["demo@example.com"].roles.add("CustomerName")
    simulator.switches.namespaces.add((NOWHERE.database, NOWHERE.retention_policy))
    await kit.wait(3600 * 1.21)
    await kit.upload()
    assert await kit.waiting() == 0
    assert issue_ids(hass) == set()
    assert kit.sender.problem(target) is None


@OUTAGE
async def test_others_go_on(
    hass: HomeAssistant, kit: SenderKit, received: Received
) -> None:
    """A target that is paused holds up no other."""
    for seconds in range(0, 50, 5):
        await kit.outbox.add(
            [
                sample(seconds, series=to_target(NOWHERE)),
                sample(seconds),
                sample(seconds, series=to_target(OTHER_TARGET)),
            ]
        )
        await kit.upload()
        await kit.wait(4)
    assert len(received.points(retention_policy="rp_one_s")) == 10
    assert len(received.points(retention_policy="rp_one_m")) == 10
    assert received.statuses.count(404) == 1
    assert kit.sender.problem(TARGET) is None
    assert kit.sender.problem(NOWHERE) is not None
    assert issue_ids(hass) == {"namespace_unknown"}


@OUTAGE
async def test_one_issue_for_a_target(
    hass: HomeAssistant, kit: SenderKit, simulator: Simulator
) -> None:
    """Another refusal of the same target takes the place of the one before."""
    await kit.outbox.add([sample(0, series=to_target(NOWHERE))])
    simulator.accounts["demo@example.com"].roles.clear()
    await kit.upload()
    assert issue_ids(hass) == {"role_missing"}
    simulator.accounts["demo@example.com"].roles.add("CustomerName")
    await kit.wait(73)
    await kit.upload()
    assert issue_ids(hass) == {"namespace_unknown"}


@OUTAGE
async def test_pause_after_an_outage_begins_small(
    kit: SenderKit, received: Received, simulator: Simulator
) -> None:
    """An outage and a refusal are two things; the waits of one do not add to the other's."""
    await kit.outbox.add([sample(0)])
    outage = simulator.faults.add(PATH, "status", status=503)
    for _ in range(8):
        await kit.upload()
        await kit.wait(361)
    simulator.faults.remove(outage.id)
    simulator.accounts["demo@example.com"].roles.clear()
    await kit.upload()
    await next_request_after(kit, received, 60 * 0.79, 60 * 1.21)


@SET_ASIDE
async def test_conflict_of_types(
    hass: HomeAssistant, kit: SenderKit, received: Received
) -> None:
    """409: the one with the other type is set aside, with the reason; the issue names both."""
    await kit.outbox.add([sample(0, 1.0)])
    await kit.upload()
    await kit.outbox.add([sample(1, 2.0), sample(2, "high"), sample(3, 3.0)])
    await kit.upload()
    assert received.values() == [(0, 1.0), (1, 2.0), (3, 3.0)]
    ((value, reason),) = await kit.reasons()
    assert value == "high"
    assert "409" in reason
    assert "is type string, already exists as type float" in reason
    assert issue_ids(hass) == set(), "a right value came after it"
    await kit.outbox.add([sample(4, True)])
    await kit.upload()
    assert issue_ids(hass) == {"type_conflict"}
    await kit.outbox.add([sample(5, 1.0, "other_W")])
    await kit.upload()
    assert issue_ids(hass) == {"type_conflict"}
    await kit.outbox.add([sample(6, 4.0)])
    await kit.upload()
    assert issue_ids(hass) == set()


@SET_ASIDE
async def test_outside_the_time_range(
    hass: HomeAssistant, kit: SenderKit, received: Received
) -> None:
    """409 as well, but no conflict of types."""
    await kit.outbox.add([sample(0), sample(TOO_OLD), sample(5), sample(86_400)])
    await kit.upload()
    assert received.values() == [(0, 1.0), (5, 1.0)]
    reasons = await kit.reasons()
    assert len(reasons) == 2
    assert all("outside the allowed time range" in reason for _, reason in reasons)
    assert issue_ids(hass) == set()


@SET_ASIDE
async def test_two_that_conflict_with_each_other(
    kit: SenderKit, received: Received
) -> None:
    """422: the first decides on the type, the second is set aside, the others get through."""
    await kit.outbox.add(
        [
            sample(0, 1.0, "good_W"),
            sample(1, "word", "both"),
            sample(2, 1.0, "good_W"),
            sample(3, 5.0, "both"),
            sample(4, 1.0, "good_W"),
        ]
    )
    await kit.upload()
    assert 422 in received.statuses
    assert received.values("both") == [(1, "word")]
    assert len(received.values("good_W")) == 3
    ((value, _),) = await kit.reasons()
    assert value == 5.0


@SET_ASIDE
async def test_badly_formatted(kit: SenderKit, received: Received) -> None:
    """What the client itself finds wrong is set aside without a request that holds it."""
    await kit.outbox.add(
        [sample(n, 1.0, "_hidden" if n == 3 else "actualPowerTot_W") for n in range(8)]
    )
    await kit.upload()
    assert len(received.values()) == 7
    assert set(received.statuses) == {204}
    ((_, reason),) = await kit.reasons()
    assert "'_hidden' is not a valid name" in reason


async def test_refused_for_no_reason(
    kit: SenderKit, received: Received, simulator: Simulator
) -> None:
    """400 once: where every part of a batch is stored, nothing was bad."""
    await kit.outbox.add([sample(n) for n in range(100)])
    simulator.faults.add(PATH, "status", status=400, times=1)
    await kit.upload()
    assert len(received.values()) == 100
    assert await kit.reasons() == []
    assert len(received.writes) <= 2 * math.log2(100)


@SET_ASIDE
async def test_every_one_refused(
    kit: SenderKit, received: Received, simulator: Simulator
) -> None:
    """400 for ever: each is set aside, at a request each."""
    await kit.outbox.add([sample(n) for n in range(100)])
    simulator.faults.add(PATH, "status", status=400, message="I dislike this")
    await kit.upload()
    assert await kit.waiting() == 0
    assert (await kit.outbox.figures())["export"].rejected == 100
    assert all(reason.endswith("I dislike this)") for _, reason in await kit.reasons())
    assert len(received.writes) <= 100 + 2 * math.log2(100)


@pytest.mark.parametrize("position", [0, 1, 2499, 2500, 3333, 4999])
@SET_ASIDE
async def test_one_bad_among_5000(
    kit: SenderKit, received: Received, position: int
) -> None:
    """It costs few requests, and nobody else."""
    await kit.outbox.add(
        [sample(TOO_OLD if n == position else n / 10, float(n)) for n in range(5000)]
    )
    await kit.upload()
    assert len(received.writes) <= LIMIT
    assert [value for _, value in received.values()] == [
        float(n) for n in range(5000) if n != position
    ]
    assert [value for value, _ in await kit.reasons()] == [float(position)]
    assert await kit.waiting() == 0


@SET_ASIDE
async def test_ten_bad_among_5000(kit: SenderKit, received: Received) -> None:
    """Each costs few requests."""
    bad = {7, 8, 500, 1234, 1235, 2500, 3000, 4000, 4998, 4999}
    await kit.outbox.add(
        [sample(TOO_OLD - n if n in bad else n / 10, float(n)) for n in range(5000)]
    )
    await kit.upload()
    assert len(received.writes) <= LIMIT * len(bad)
    assert len(received.values()) == 4990
    assert {value for value, _ in await kit.reasons()} == bad


@SET_ASIDE
async def test_bad_ones_in_a_backlog(kit: SenderKit, received: Received) -> None:
    """What was made ready behind a batch that is refused is sent all the same, once and in order."""
    bad = {4999, 5000, 7500, 11_999}
    await kit.outbox.add(
        [sample(TOO_OLD - n if n in bad else n / 10, float(n)) for n in range(12_000)]
    )
    await kit.upload()
    assert [value for _, value in received.values()] == [
        float(n) for n in range(12_000) if n not in bad
    ]
    assert {value for value, _ in await kit.reasons()} == bad
    assert received.simulator.store.overwritten == 0
    assert await kit.waiting() == 0


@OUTAGE
async def test_outage_in_a_backlog(
    kit: SenderKit, received: Received, simulator: Simulator
) -> None:
    """What was made ready when the service went away is forgotten, and read anew afterwards."""
    await kit.outbox.add([sample(n / 10, float(n)) for n in range(12_000)])
    simulator.faults.add(PATH, "status", status=503, times=1)
    await kit.upload()
    assert await kit.waiting() == 12_000
    dropped, _ = await kit.outbox.enforce(Limits(2**30, timedelta(seconds=1)), at(701))
    assert dropped == 7000
    await kit.wait(30)
    await kit.upload()
    assert received.statuses == [503, 204]
    assert [value for _, value in received.values()] == [
        float(n) for n in range(7000, 12_000)
    ]


@SET_ASIDE
async def test_bad_field_of_a_good_point(kit: SenderKit, received: Received) -> None:
    """The other fields of the same point are stored, under the same time."""
    await kit.outbox.add([sample(0, "word", "status")])
    await kit.upload()
    for seconds in range(1, 4):
        await kit.outbox.add(
            [
                sample(seconds, 1.0, "a_W"),
                sample(seconds, 5.0, "status"),
                sample(seconds, 2.0, "b_W"),
            ]
        )
    await kit.upload()
    assert [point.fields for point in received.points()] == [
        {"status": "word"},
        *[{"a_W": 1.0, "b_W": 2.0}] * 3,
    ]
    assert [value for value, _ in await kit.reasons()] == [5.0] * 3


async def test_too_large(
    kit: SenderKit, received: Received, simulator: Simulator
) -> None:
    """413: the batch is halved until it passes, at once, and that is remembered."""
    simulator.switches.max_body = 60_000
    await kit.outbox.add([sample(n / 10, float(n)) for n in range(5000)])
    await kit.upload()
    assert len(received.values()) == 5000
    assert await kit.reasons() == []
    size = 5000 * 130
    assert received.statuses.count(413) <= math.ceil(math.log2(size / 60_000))
    await kit.outbox.add([sample(n / 10, float(n)) for n in range(5000, 10_000)])
    refused = received.statuses.count(413)
    await kit.upload()
    assert received.statuses.count(413) == refused


async def test_larger_again(
    kit: SenderKit, received: Received, simulator: Simulator
) -> None:
    """An hour after a 413 twice as much is tried, and again after another one: it costs one in vain."""

    async def refused_of(first: int) -> int:
        before = received.statuses.count(413)
        await kit.outbox.add([sample(n / 10, 1.0) for n in range(first, first + 3000)])
        await kit.upload()
        return received.statuses.count(413) - before

    simulator.switches.max_body = 60_000
    assert await refused_of(0) > 1
    assert await refused_of(3000) == 0
    await kit.wait(3601)
    assert await refused_of(6000) == 1
    assert await refused_of(9000) == 0
    simulator.switches.max_body = 10_000_000
    for hour in range(6):
        await kit.wait(3601)
        assert await refused_of(12_000 + 3000 * hour) == 0
    [state] = kit.sender.targets.values()
    assert state.size == BATCH_BYTES
    assert len(received.values()) == 30_000
    assert await kit.reasons() == []


async def test_small_batch_too_large(
    kit: SenderKit, received: Received, simulator: Simulator
) -> None:
    """It is the batch that is halved, not the most that there could be."""
    simulator.switches.max_body = 6_000
    await kit.outbox.add([sample(n) for n in range(80)])
    await kit.upload()
    assert len(received.values()) == 80
    assert received.statuses.count(413) <= 2


@SET_ASIDE
async def test_one_sample_too_large(
    kit: SenderKit, received: Received, simulator: Simulator
) -> None:
    """What is too large by itself is set aside; the others are not held up."""
    simulator.switches.max_body = 10_000
    await kit.outbox.add(
        [sample(n, "x" * (20_000 if n == 20 else 10), "note") for n in range(40)]
    )
    await kit.upload()
    assert len(received.points()) == 39
    ((value, reason),) = await kit.reasons()
    assert value == "x" * 20_000
    assert "413" in reason
    assert len(received.writes) < 25


@pytest.mark.parametrize("retry_after", [2.0, 17.0, 900.0, 80_000.0])
@OUTAGE
async def test_retry_after(
    kit: SenderKit, received: Received, simulator: Simulator, retry_after: float
) -> None:
    """429: as long as the service says, to the second."""
    await kit.outbox.add([sample(0)])
    simulator.faults.add(PATH, "status", status=429, retry_after=retry_after, times=1)
    await kit.upload()
    assert received.statuses == [429]
    await next_request_after(kit, received, retry_after - 0.01, retry_after + 0.01)
    assert received.values() == [(0, 1.0)]


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
    kit: SenderKit,
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
    await kit.outbox.add([sample(n, float(n)) for n in range(300)])
    simulator.faults.add(PATH, fault, status=status, times=1)
    await kit.upload()
    assert len(received.writes) == 1
    assert await kit.waiting() == 300
    assert kit.sender.problem(TARGET) is not None
    await next_request_after(kit, received, 3.9, 6.1)
    assert await kit.waiting() == 0
    assert received.values() == [(n, float(n)) for n in range(300)]
    assert kit.sender.problem(TARGET) is None
    assert await kit.reasons() == []
    assert caplog.text.count("cannot be uploaded at present") == 1
    assert caplog.text.count("work again") == 1


async def test_no_answer(
    hass: HomeAssistant,
    kit: SenderKit,
    received: Received,
    simulator: Simulator,
) -> None:
    """A server that is silent is given up after a minute."""
    await kit.outbox.add([sample(0)])
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
    assert "no answer" in (kit.sender.problem(TARGET) or "")


async def test_service_gone(
    kit: SenderKit, received: Received, simulator: Simulator
) -> None:
    """Nobody listens at all; then somebody does again."""
    port = simulator.port
    await simulator.stop()
    for number in range(5):
        await kit.outbox.add([sample(number, float(number))])
        await kit.upload()
        await kit.wait(100)
    assert kit.sender.problem(TARGET) is not None
    await simulator.start(port=port)
    await kit.upload()
    assert received.values() == [(n, float(n)) for n in range(5)]


@OUTAGE
async def test_back_off(
    kit: SenderKit,
    received: Received,
    simulator: Simulator,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Waits double up to five minutes, one line is logged, and a success resets everything."""
    outage = simulator.faults.add(PATH, "status", status=503)
    await kit.outbox.add([sample(0)])
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
    await kit.outbox.add([sample(1)])
    await kit.upload()
    await next_request_after(kit, received, 5 * 0.79, 5 * 1.21)
    assert caplog.text.count("cannot be uploaded at present") == 2


@OUTAGE
async def test_jitter(kit: SenderKit, simulator: Simulator) -> None:
    """Not everybody comes back at the same moment."""
    targets = [WriteTarget("u", "demo", "rp_one_s")]
    targets += [WriteTarget(f"u{n}", "demo", "rp_one_s") for n in range(9)]
    await kit.outbox.add([sample(0, series=to_target(target)) for target in targets])
    simulator.faults.add(PATH, "status", status=503)
    await kit.upload()
    waits = {state.not_before for state in kit.sender._targets.values()}
    assert len(waits) > 5


@OUTAGE
async def test_upload_now(
    kit: SenderKit, received: Received, simulator: Simulator
) -> None:
    """The user's button knows no pause, and says what stands in the way."""
    await kit.outbox.add([sample(0), sample(0, series=to_target(OTHER_TARGET))])
    simulator.faults.add(PATH, "status", status=503, message="busy")
    await kit.upload()
    assert "busy" in (await kit.sender.upload_now() or "")
    assert len(received.writes) == 4
    simulator.faults.clear()
    assert await kit.sender.upload_now(TARGET) is None
    assert await kit.outbox.targets() == [OTHER_TARGET]
    assert await kit.sender.upload_now() is None
    assert await kit.outbox.targets() == []


async def test_live_data_does_not_wait_behind_a_backlog(
    hass: HomeAssistant, kit: SenderKit, received: Received
) -> None:
    """With 50,000 waiting, a fresh one is stored within two requests after it is taken."""
    await kit.outbox.add([sample(n / 100, float(n)) for n in range(50_000)])
    upload = hass.async_create_background_task(kit.upload(), "upload")
    taken: dict[str, int] = {}
    for number in range(3):
        while len(received.writes) <= number * 3:  # noqa: ASYNC110
            await asyncio.sleep(0)
        await kit.outbox.add([sample(1000 + number, 1.0, f"fresh{number}")])
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
    backlog = [request for request in received.writes if request.points == 5000]
    assert len(backlog) == 10
    assert len(received.writes) <= 13


async def test_last_upload(
    hass: HomeAssistant, kit: SenderKit, received: Received
) -> None:
    """When it stops, the sender sends what waits."""
    await kit.outbox.add([sample(n / 10) for n in range(7000)])
    await kit.sender.stop()
    assert len(received.values()) == 7000
    assert await kit.waiting() == 0


async def test_last_upload_to_a_slow_server(
    hass: HomeAssistant,
    kit: SenderKit,
    received: Received,
    simulator: Simulator,
) -> None:
    """It takes five seconds at most, and the rest stays on disk."""
    await kit.outbox.add([sample(n) for n in range(10)])
    simulator.faults.add(PATH, "delay", delay=100_000, times=1)
    stop = hass.async_create_background_task(kit.sender.stop(), "stop")
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


@pytest.mark.parametrize("way", ["stop", "unload"])
async def test_stop_of_home_assistant(
    hass: HomeAssistant,
    clock: Clock,
    add_account: AddAccount,
    received: Received,
    way: str,
) -> None:
    """What was sampled a moment before goes up; what comes after the last upload is kept."""
    entry = await add_account(export_data({"sensor.a": "actualPowerTot_W"}))
    hass.states.async_set("sensor.a", "1")
    if way == "unload":
        assert await hass.config_entries.async_unload(entry.entry_id)
        expected = 0
    else:
        hass.bus.async_fire(EVENT_HOMEASSISTANT_STOP)
        await clock.settle()
        clock.freezer.tick(1)
        hass.states.async_set("sensor.a", "2")
        hass.bus.async_fire(EVENT_HOMEASSISTANT_FINAL_WRITE)
        expected = 1
    await clock.settle()
    assert received.values() == [(0, 1.0)]
    outbox = Outbox(outbox_file(hass, entry))
    await outbox.open()
    assert len(await outbox.batch(TARGET)) == expected
    await outbox.close()


@OUTAGE
async def test_stop_while_the_service_is_down(
    hass: HomeAssistant,
    clock: Clock,
    add_account: AddAccount,
    received: Received,
    simulator: Simulator,
) -> None:
    """What was not uploaded waits for the next start."""
    entry = await add_account(export_data({"sensor.a": "actualPowerTot_W"}))
    outage = simulator.faults.add(PATH, "status", status=500)
    hass.states.async_set("sensor.a", "1")
    await clock.advance(6)
    assert await hass.config_entries.async_unload(entry.entry_id)
    simulator.faults.remove(outage.id)
    hass.states.async_remove("sensor.a")
    assert await hass.config_entries.async_setup(entry.entry_id)
    await clock.settle()
    await clock.advance(6)
    assert received.values() == [(0, 1.0)]


@OUTAGE
@pytest.mark.expected_log("reached its limit")
async def test_outbox_limit(
    hass: HomeAssistant,
    clock: Clock,
    add_account: AddAccount,
    received: Received,
    simulator: Simulator,
) -> None:
    """The issue comes with the first that is dropped, and goes when there is room again."""
    entry = await add_account(
        export_data({"sensor.a": "a_W"}), options={CONF_OUTBOX: {CONF_SIZE_LIMIT: 1}}
    )
    exporter = entry.runtime_data.exporter
    outage = simulator.faults.add(PATH, "status", status=500)
    await exporter.async_push([sample(n / 100, float(n)) for n in range(40_000)])
    await clock.advance(31)
    assert issue_ids(hass) == {"outbox_limit"}
    figures = (await exporter.outbox.figures())["export"]
    assert figures.dropped > 0
    assert figures.waiting == 40_000 - figures.dropped
    (id_,) = exporter.exports
    assert exporter.status(id_).problem is not None
    await clock.advance(60, step=30)
    assert issue_ids(hass) == {"outbox_limit"}
    simulator.faults.remove(outage.id)
    await clock.advance(200, step=10)
    assert issue_ids(hass) == set()
    assert exporter.status(id_).problem is None
    assert [value for _, value in received.values()] == [
        float(n) for n in range(figures.dropped, 40_000)
    ]


@pytest.mark.expected_log("cannot be read")
async def test_outbox_damaged(
    hass: HomeAssistant, clock: Clock, add_account: AddAccount, received: Received
) -> None:
    """The issue names the file that was set aside, and goes with it."""
    entry = await add_account(
        export_data({"sensor.a": "actualPowerTot_W"}), set_up=False
    )
    file = outbox_file(hass, entry)
    file.write_bytes(b"garbage" * 1000)
    assert await hass.config_entries.async_setup(entry.entry_id)
    await clock.settle()
    assert issue_ids(hass) == {"outbox_damaged"}
    hass.states.async_set("sensor.a", "1")
    await clock.advance(6)
    assert received.values() == [(0, 1.0)]
    for name in await entry.runtime_data.exporter.outbox.damaged_files():
        _file(file, name).unlink()
    await clock.advance(31, step=10)
    assert issue_ids(hass) == set()


def _file(outbox: Path, name: str) -> Path:
    return outbox.with_name(name)


@OUTAGE
async def test_issues_go_with_the_account(
    hass: HomeAssistant,
    clock: Clock,
    add_account: AddAccount,
) -> None:
    """An account that is unloaded has none; they are found again after the next start."""
    hass.states.async_set("sensor.a", "1")
    entry = await add_account(
        export_data({"sensor.a": "actualPowerTot_W"}), username="norole@example.com"
    )
    await clock.advance(6)
    assert issue_ids(hass) == {"role_missing"}
    assert await hass.config_entries.async_unload(entry.entry_id)
    assert issue_ids(hass) == set()
    assert await hass.config_entries.async_setup(entry.entry_id)
    await clock.settle()
    await clock.advance(6)
    assert issue_ids(hass) == {"role_missing"}


async def test_targets_with_similar_names(
    hass: HomeAssistant, kit: SenderKit, simulator: Simulator
) -> None:
    """What works at one target takes back nothing of another."""
    kit.sender._issues.namespace_unknown(WriteTarget("a_demo", "x", "rp_one_s"), "no")
    simulator.switches.namespaces.add(("demo_x", "rp_one_s"))
    works = Series(WriteTarget("a", "demo_x", "rp_one_s"), "m", SERIES.tags)
    await kit.outbox.add([Sample("export", works, at(0), "f", 1.0)])
    await kit.upload()
    assert await kit.waiting() == 0
    assert issue_ids(hass) == {"namespace_unknown"}


async def test_fields_of_any_age_are_merged_across_exports(
    kit: SenderKit, received: Received
) -> None:
    """Two exports to one series and time make one point, and each has its own figures."""
    moment = timedelta(seconds=1)
    await kit.outbox.add(
        [
            Sample("a", SERIES, START - moment, "x_W", 1.0),
            Sample("b", SERIES, START - moment, "y_W", 2.0),
        ]
    )
    await kit.upload()
    (point,) = received.points()
    assert point.fields == {"x_W": 1.0, "y_W": 2.0}
    assert point.writes == 1
    figures: dict[str, Any] = await kit.outbox.figures()
    assert [figures[name].uploaded for name in "ab"] == [1, 1]
    assert received.simulator.log.count(WRITE) == 1
