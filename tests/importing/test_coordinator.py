"""Polls: what they cost, how they keep within the budget, and what an outage looks like."""

from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
import gc
from itertools import pairwise
import logging
from typing import Any

from freezegun.api import FrozenDateTimeFactory
import pytest
from pytest_homeassistant_custom_component.common import async_capture_events

from custom_components.eniris.api import (
    QueryCost,
    StatementResult,
    TelemetryAnswer,
    TelemetryQuery,
)
from custom_components.eniris.const import DOMAIN
from custom_components.eniris.data import EnirisConfigEntry
from custom_components.eniris.importing.plan import FieldKey
from homeassistant.const import STATE_UNAVAILABLE, STATE_UNKNOWN
from homeassistant.core import HomeAssistant
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers import entity_registry as er, issue_registry as ir
from homeassistant.util import dt as dt_util
from simulator.rate_limit import TIERS
from simulator.server import Simulator
from simulator.world import FleetWorld, HomeWorld
from tests.kit.common import (
    METADATA_POLL,
    POLL,
    advance,
    advance_in_polls,
    imported_entities,
    set_up_frozen,
    settle,
    state_of,
)

GRID = HomeWorld.GRID_METER
POWER = "actualPowerTot_W"
PATH = "/v1/telemetry/query"
QUERY = f"POST {PATH}"
DEVICES = "POST /v1/device/query"
ACCESS = "GET /auth/accesstoken"
HOUR = timedelta(hours=1)


def logged(caplog: pytest.LogCaptureFixture) -> list[int]:
    """Return the levels of our messages, from `info` on."""
    return [
        record.levelno
        for record in caplog.records
        if record.name.startswith("custom_components.eniris")
        and record.levelno >= logging.INFO
    ]


def budget_issue(hass: HomeAssistant, entry: EnirisConfigEntry) -> ir.IssueEntry | None:
    """Return the repair issue of a budget that is too small."""
    return ir.async_get(hass).async_get_issue(DOMAIN, f"budget_{entry.entry_id}")


async def press_refresh(hass: HomeAssistant, entry: EnirisConfigEntry) -> None:
    """Press the button that reads the account now."""
    entity_id = er.async_get(hass).async_get_entity_id(
        "button", DOMAIN, f"{entry.unique_id}_refresh"
    )
    await hass.services.async_call(
        "button", "press", {"entity_id": entity_id}, blocking=True
    )
    await settle(hass)


def user_id(simulator: Simulator) -> int:
    """Return the id of the account that the tests use."""
    return simulator.accounts["demo@example.com"].user_id


async def test_steady_state(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> None:
    """The home costs one request a poll, an empty metadata answer in 15 minutes, and 2.1 tokens a minute."""
    await set_up_frozen(hass, freezer, user_input)
    await advance(hass, freezer)
    simulator.log.reset()
    begin = dt_util.utcnow()
    await advance_in_polls(hass, freezer, 4 * HOUR)
    polls = (dt_util.utcnow() - begin) // POLL
    assert simulator.log.count(QUERY) == simulator.log.count(QUERY, 200) == polls
    times = [request.time for request in simulator.log.find(DEVICES)]
    assert simulator.log.count(DEVICES, 204) == len(times)
    assert 14 <= len(times) <= 16
    gaps = [later - before for before, later in pairwise(times)]
    assert min(gaps) >= timedelta(minutes=15)
    tokens = [request.time for request in simulator.log.find(ACCESS)]
    assert min(later - before for before, later in pairwise(tokens)) >= timedelta(
        minutes=3.75
    )
    # And nothing else
    assert set(simulator.log.counts) == {QUERY, DEVICES, ACCESS}
    cost = sum(request.cost or 0 for request in simulator.log.find(QUERY))
    assert cost / 240 <= 2.1, cost / 240


@pytest.mark.timeout(300)
async def test_free_tier(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> None:
    """On the smallest tier no poll is refused, from the very first on, nor when the prices of tomorrow come."""
    simulator.tier = "free"
    # That of the market, whose prices are those of a local day
    await hass.config.async_set_time_zone("Europe/Brussels")
    entry = await set_up_frozen(hass, freezer, user_input, "2026-07-01T09:00:30Z")
    assert entry.runtime_data.telemetry.totals.wanted
    highest = 0.0
    for _ in range(180):
        await advance(hass, freezer)
        highest = max(highest, simulator.limiter.level(user_id(simulator)))
    assert simulator.log.count(QUERY) == simulator.log.count(QUERY, 200)
    polls = 1 + 180
    # And prices, once more at one o'clock
    assert polls + 1 <= simulator.log.count(QUERY) <= polls + 4
    assert highest < 30
    pace = entry.runtime_data.telemetry.pace
    assert pace.interval == timedelta(seconds=60)
    assert pace.cost_per_minute
    assert not budget_issue(hass, entry)


@pytest.fixture
async def fleet(
    socket_enabled: None,
    budget: float,
    freezer: FrozenDateTimeFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Simulator]:
    """Return a simulator of sites that cost some 18 tokens a poll, with a budget a minute."""
    monkeypatch.setitem(TIERS, "free", budget)
    freezer.move_to("2026-07-01T12:00:30Z")
    world = FleetWorld(6, clock=lambda: dt_util.utcnow().timestamp())
    async with Simulator(world, tier="free") as running:
        yield running


def with_addresses(user_input: dict[str, Any], simulator: Simulator) -> dict[str, Any]:
    """Return the form's input for another simulator."""
    return user_input | {
        "advanced": dict.fromkeys(user_input["advanced"], simulator.url)
    }


@pytest.mark.parametrize("budget", [4.0])
async def test_account_too_large_for_its_tier(
    hass: HomeAssistant,
    fleet: Simulator,
    budget: float,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> None:
    """The pace slows until it fits, nothing is refused, an issue says so once; all is read still."""
    events = async_capture_events(hass, ir.EVENT_REPAIRS_ISSUE_REGISTRY_UPDATED)
    entry = await set_up_frozen(hass, freezer, with_addresses(user_input, fleet), None)
    telemetry = entry.runtime_data.telemetry
    for _ in range(180):
        await advance(hass, freezer, timedelta(seconds=20))
    assert fleet.log.count(QUERY, 429) == 0
    assert fleet.log.count(QUERY, 200) >= 3
    assert telemetry.pace.is_slowed
    assert telemetry.pace.interval > timedelta(seconds=60)
    assert telemetry.pace.cost_per_minute is not None
    assert telemetry.pace.cost_per_minute <= budget
    ours = [event.data for event in events if event.data["domain"] == DOMAIN]
    assert [event["action"] for event in ours] == ["create"]
    issue = budget_issue(hass, entry)
    assert issue
    assert issue.translation_placeholders
    assert issue.translation_placeholders["wanted"] == "60"
    # What one round teaches of seldom-written and silent fields is asked for in the next
    for _ in range(2 * telemetry.pace.parts):
        await advance(
            hass, freezer, telemetry.pace.between_polls + timedelta(seconds=1)
        )
    # 422 is what splitting is learnt from, again only when there is something new to ask
    refused = fleet.log.count(QUERY, 422)
    for _ in range(60):
        await advance(hass, freezer, timedelta(seconds=20))
    assert fleet.log.count(QUERY, 422) == refused
    slowly = set(telemetry.data)
    shown = {
        entity.entity_id
        for entity in imported_entities(hass, entry)
        if (state := hass.states.get(entity.entity_id))
        and state.state not in (STATE_UNAVAILABLE, STATE_UNKNOWN)
    }
    assert shown

    fleet.tier = "unlimited"
    # Parts are merged two by two, each time when everything was read once
    for _ in range(70):
        await advance(
            hass, freezer, telemetry.pace.between_polls + timedelta(seconds=1)
        )
    assert budget_issue(hass, entry) is None
    assert telemetry.pace.interval == timedelta(seconds=60)
    assert [event["action"] for event in ours] == ["create"]
    # All that a generous tier shows at once was shown by the small one, too
    assert set(telemetry.data) <= slowly


@pytest.mark.parametrize("budget", [12.0])
async def test_availability_in_parts(
    hass: HomeAssistant,
    fleet: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> None:
    """A value that is read every few polls alone stays available in between."""
    entry = await set_up_frozen(hass, freezer, with_addresses(user_input, fleet), None)
    for _ in range(60):
        await advance(hass, freezer, timedelta(seconds=10))
    telemetry = entry.runtime_data.telemetry
    assert telemetry.pace.interval > timedelta(seconds=60)
    power = [
        key
        for key in telemetry.data
        if key.field == POWER and telemetry.is_available(key)
    ]
    assert len(power) > 20
    for _ in range(60):
        await advance(hass, freezer, timedelta(seconds=10))
        assert all(telemetry.is_available(key) for key in power)


@pytest.mark.expected_log("fetching Eniris")
@pytest.mark.parametrize("seconds", [1, 2, 37, 60, 61, 300, 4000])
async def test_retry_after(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
    seconds: int,
) -> None:
    """Nothing is asked before the time that the service names, and then something soon."""
    entry = await set_up_frozen(hass, freezer, user_input)
    simulator.faults.add(PATH, "status", status=429, retry_after=seconds, times=1)
    await advance(hass, freezer)
    [refused] = simulator.log.find(QUERY, status=429)
    simulator.log.reset()
    for _ in range(max(seconds, 60) + 3):
        await advance(hass, freezer, timedelta(seconds=1))
        if simulator.log.count(QUERY):
            break
    [asked] = simulator.log.find(QUERY)
    waited = (asked.time - refused.time).total_seconds()
    assert seconds <= waited <= max(seconds, 60) + 2
    await advance(hass, freezer)
    assert state_of(hass, entry, GRID, POWER) != STATE_UNAVAILABLE


@pytest.mark.expected_log("fetching Eniris")
async def test_retry_after_holds_for_everybody(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> None:
    """The button does not ask before the time either, and says how long it takes."""
    entry = await set_up_frozen(hass, freezer, user_input)
    simulator.faults.add(PATH, "status", status=429, retry_after=200, times=1)
    await advance(hass, freezer)
    simulator.log.reset()
    await advance(hass, freezer, timedelta(seconds=100))
    with pytest.raises(HomeAssistantError, match=r"100|101"):
        await press_refresh(hass, entry)
    assert simulator.log.count(QUERY) == 0
    await advance(hass, freezer, timedelta(seconds=99))
    assert simulator.log.count(QUERY) == 0
    await advance(hass, freezer, timedelta(seconds=3))
    assert simulator.log.count(QUERY) == 1


@pytest.mark.expected_log("fetching Eniris")
async def test_budget_that_somebody_else_uses_up(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> None:
    """Where the bucket is full whenever it is our turn, no refusal is ignored: there is no ban."""
    simulator.tier = "free"
    entry = await set_up_frozen(hass, freezer, user_input)
    user = user_id(simulator)
    for _ in range(600):
        simulator.limiter.fill(user, 100)
        await advance(hass, freezer, timedelta(seconds=1))
    assert simulator.log.count(QUERY, 429) > 3
    assert not any(simulator.limiter._ignored.values())
    assert not simulator.limiter.is_banned("127.0.0.1")
    await advance_in_polls(hass, freezer, timedelta(minutes=4))
    assert state_of(hass, entry, GRID, POWER) != STATE_UNAVAILABLE


@pytest.mark.expected_log("Eniris refuses")
async def test_what_is_always_too_dear(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A service that calls each query too dear is not asked without end, and recovers."""
    entry = await set_up_frozen(hass, freezer, user_input)
    fault = simulator.faults.add(PATH, "status", status=422)
    simulator.log.reset()
    await advance(hass, freezer)
    assert simulator.log.count(QUERY, 422) < 10
    await advance_in_polls(hass, freezer, HOUR)
    assert simulator.log.count(QUERY, 422) < 80
    assert state_of(hass, entry, GRID, POWER) == STATE_UNAVAILABLE
    fault.times = 0
    await advance_in_polls(hass, freezer, 2 * HOUR)
    assert state_of(hass, entry, GRID, POWER) != STATE_UNAVAILABLE
    telemetry = entry.runtime_data.telemetry
    assert not telemetry.poll.refused


async def test_more_requests_than_the_budget_holds(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Where the requests of one poll are dearer than the budget together, each gets its turn."""
    for module in ("api.session", "importing.poll"):
        monkeypatch.setattr(f"custom_components.eniris.{module}.QUERIES_PER_REQUEST", 4)
    simulator.tier = "free"
    entry = await set_up_frozen(hass, freezer, user_input)
    telemetry = entry.runtime_data.telemetry
    monkeypatch.setitem(TIERS, "free", 2.5)
    simulator.limiter.reset()
    for _ in range(360):
        await advance(hass, freezer, timedelta(seconds=20))
    assert not simulator.limiter.is_banned("127.0.0.1")
    assert telemetry.last_update_success
    assert budget_issue(hass, entry)
    assert state_of(hass, entry, GRID, POWER) != STATE_UNAVAILABLE
    caplog.clear()


async def test_availability_by_age(
    hass: HomeAssistant,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A value stays until it is older than two polls, or than five intervals of its series."""
    entry = await set_up_frozen(hass, freezer, user_input)
    telemetry = entry.runtime_data.telemetry
    await advance(hass, freezer)
    by_second = FieldKey(GRID, "submeteringMetrics", POWER)
    by_minute = FieldKey(HomeWorld.HEAT_PUMP, "heatPumpMetrics", POWER)
    assert telemetry.data[by_second].valid_for == timedelta(minutes=2)
    assert telemetry.data[by_minute].valid_for == timedelta(minutes=5)
    last = {key: telemetry.data[key].time for key in (by_second, by_minute)}
    answer_all(monkeypatch, entry, StatementResult([]))
    for _ in range(7):
        await advance(hass, freezer)
        now = dt_util.utcnow()
        assert telemetry.is_available(by_second) == (
            now - last[by_second] <= timedelta(minutes=2)
        )
        assert telemetry.is_available(by_minute) == (
            now - last[by_minute] <= timedelta(minutes=5)
        )
    assert state_of(hass, entry, GRID, POWER) == STATE_UNAVAILABLE
    monkeypatch.undo()
    await advance(hass, freezer)
    assert state_of(hass, entry, GRID, POWER) != STATE_UNAVAILABLE


async def test_availability_at_short_intervals(
    hass: HomeAssistant,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is written every second says nothing any more after two polls, short as they may be."""
    poll = timedelta(seconds=10)
    entry = await set_up_frozen(hass, freezer, user_input)
    hass.config_entries.async_update_entry(
        entry, options={"import": {"interval": poll.total_seconds()}}
    )
    await settle(hass)
    await advance(hass, freezer, poll)
    telemetry = entry.runtime_data.telemetry
    reading = telemetry.data[FieldKey(GRID, "submeteringMetrics", POWER)]
    assert reading.valid_for == 2 * poll
    answer_all(monkeypatch, entry, StatementResult([]))
    for elapsed in range(1, 5):
        await advance(hass, freezer, poll)
        is_available = state_of(hass, entry, GRID, POWER) != STATE_UNAVAILABLE
        assert is_available == (dt_util.utcnow() - reading.time <= 2 * poll), elapsed
    assert not is_available


def answer_all(
    monkeypatch: pytest.MonkeyPatch, entry: EnirisConfigEntry, result: StatementResult
) -> None:
    """Let the service say the same to all that is asked."""

    async def answer(queries: Sequence[TelemetryQuery]) -> TelemetryAnswer:
        return TelemetryAnswer([result for _ in queries], QueryCost())

    monkeypatch.setattr(entry.runtime_data.session, "query_telemetry", answer)


@pytest.mark.expected_log("fetching Eniris")
@pytest.mark.parametrize("reason", ["log-in", "wait"])
async def test_values_grow_old_without_polls(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
    reason: str,
) -> None:
    """While nobody may ask, old values are not shown as if they were of the present."""
    entry = await set_up_frozen(hass, freezer, user_input)
    await advance(hass, freezer)
    if reason == "log-in":
        simulator.revoke("demo@example.com", "refresh")
        simulator.revoke("demo@example.com", "access")
    else:
        simulator.faults.add(PATH, "status", status=429, retry_after=7200, times=1)
    await advance(hass, freezer)
    assert state_of(hass, entry, GRID, POWER) != STATE_UNAVAILABLE
    await advance_in_polls(hass, freezer, 2 * POLL)
    assert state_of(hass, entry, GRID, POWER) == STATE_UNAVAILABLE
    # One a minute lasts longer
    assert state_of(hass, entry, HomeWorld.HEAT_PUMP, POWER) != STATE_UNAVAILABLE
    await advance_in_polls(hass, freezer, 5 * POLL)
    assert state_of(hass, entry, HomeWorld.HEAT_PUMP, POWER) == STATE_UNAVAILABLE


@pytest.mark.expected_log("fetching Eniris")
@pytest.mark.parametrize("hours", [0.1, 3])
async def test_one_line_at_either_end_of_an_outage(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
    caplog: pytest.LogCaptureFixture,
    hours: float,
) -> None:
    """However long an outage takes, one line tells when it begins and one when it ends."""
    entry = await set_up_frozen(hass, freezer, user_input)
    await advance(hass, freezer)
    caplog.clear()
    await simulator.stop()
    await advance(hass, freezer)
    assert logged(caplog) == [logging.ERROR]
    # A value that is not two polls old yet says what it says
    assert state_of(hass, entry, GRID, POWER) != STATE_UNAVAILABLE
    await advance(hass, freezer)
    assert state_of(hass, entry, GRID, POWER) == STATE_UNAVAILABLE
    await advance_in_polls(hass, freezer, timedelta(hours=hours))
    assert logged(caplog) == [logging.ERROR]
    await simulator.start(port=simulator.port)
    await advance(hass, freezer)
    assert state_of(hass, entry, GRID, POWER) != STATE_UNAVAILABLE
    await advance_in_polls(hass, freezer, METADATA_POLL)
    assert logged(caplog) == [logging.ERROR, logging.INFO]


def _queries() -> list[TelemetryQuery]:
    """Return all that there are in this process."""
    gc.collect()
    return [thing for thing in gc.get_objects() if isinstance(thing, TelemetryQuery)]


@pytest.mark.expected_log("fetching Eniris")
async def test_nothing_stays_of_a_failed_poll(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """After an outage its reason is still known, but what was to be asked for is not kept."""
    # At debug level the kit keeps the records, and with them the tracebacks
    caplog.set_level(logging.INFO, "custom_components.eniris")
    entry = await set_up_frozen(hass, freezer, user_input)
    # Other tests may have left some
    before = _queries()
    simulator.faults.add(PATH, "drop")
    await advance(hass, freezer)
    telemetry = entry.runtime_data.telemetry
    assert "Can't reach Eniris" in str(telemetry.last_exception)
    simulator.faults.clear()
    await advance(hass, freezer)
    assert telemetry.last_update_success
    kept = {id(query) for query in _queries()} - {id(query) for query in before}
    assert not kept
    assert "Can't reach Eniris" in str(telemetry.last_exception)


@pytest.mark.expected_log("fetching Eniris")
async def test_changing_failures_are_one_outage(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """An outage that shows itself in ever other ways is one outage."""
    entry = await set_up_frozen(hass, freezer, user_input)
    caplog.clear()
    kinds: tuple[Any, ...] = (
        "drop",
        "half_body",
        "garbage",
        "html",
        "wrong_type",
        "empty",
        "status",
    )
    for kind in kinds:
        simulator.faults.clear()
        simulator.faults.add("/v1/", kind)
        simulator.faults.add("/auth/", kind)
        await advance_in_polls(hass, freezer, timedelta(minutes=10))
        assert logged(caplog) == [logging.ERROR]
        assert state_of(hass, entry, GRID, POWER) == STATE_UNAVAILABLE
    simulator.faults.clear()
    await advance_in_polls(hass, freezer, METADATA_POLL)
    assert logged(caplog) == [logging.ERROR, logging.INFO]
    assert state_of(hass, entry, GRID, POWER) != STATE_UNAVAILABLE


@pytest.mark.expected_log("Eniris refuses submeteringMetrics")
async def test_failing_statement(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A statement that fails makes its own values grow too old, with one line at either end."""
    device = simulator.devices.by_node_id(GRID)
    series = [
        info | {"database": "elsewhere"}
        for info in device["properties"]["nodeInfluxSeries"]
        if info["measurement"] == "submeteringMetrics"
    ]
    entry = await set_up_frozen(hass, freezer, user_input)
    caplog.clear()
    simulator.devices.edit(device["id"], {"nodeInfluxSeries": series})
    await advance_in_polls(hass, freezer, METADATA_POLL + 3 * POLL)
    assert state_of(hass, entry, GRID, POWER) == STATE_UNAVAILABLE
    assert state_of(hass, entry, HomeWorld.BATTERY, POWER) != STATE_UNAVAILABLE
    assert logged(caplog) == [logging.WARNING]
    simulator.devices.edit(
        device["id"],
        {
            "nodeInfluxSeries": [
                info | {"database": HomeWorld.DATABASE} for info in series
            ]
        },
    )
    await advance_in_polls(hass, freezer, METADATA_POLL + 3 * POLL)
    assert state_of(hass, entry, GRID, POWER) != STATE_UNAVAILABLE


@pytest.mark.expected_log("Eniris refuses .* and [0-9]+ more: ")
async def test_whole_database_is_refused(
    hass: HomeAssistant,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However many statements fail at once, there is one line at either end."""
    entry = await set_up_frozen(hass, freezer, user_input)
    await advance(hass, freezer)
    caplog.clear()
    answer_all(monkeypatch, entry, StatementResult([], "Unauthorized"))
    for number in range(4):
        await advance(hass, freezer)
        # What was read before stands until it is too old
        is_known = state_of(hass, entry, GRID, POWER) != STATE_UNAVAILABLE
        assert is_known == (number < 1)
    assert logged(caplog) == [logging.WARNING]
    monkeypatch.undo()
    for _ in range(6):
        await advance(hass, freezer)
        assert state_of(hass, entry, GRID, POWER) != STATE_UNAVAILABLE
    assert logged(caplog) == [logging.WARNING, logging.INFO]
