"""Prices ahead, as their entities show them, and what reading them costs."""

from asyncio import Event
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from freezegun.api import FrozenDateTimeFactory
import pytest

from custom_components.eniris.api import (
    StatementResult,
    TelemetryAnswer,
    TelemetryQuery,
)
from custom_components.eniris.data import EnirisConfigEntry
from custom_components.eniris.importing.forecast import as_periods
from custom_components.eniris.importing.plan import FieldKey
from homeassistant.const import MATCH_ALL, STATE_UNAVAILABLE
from homeassistant.core import HomeAssistant, State
from homeassistant.helpers import entity_registry as er
from homeassistant.util import dt as dt_util
from simulator.model import FieldValue, SeriesKey
from simulator.server import Simulator
from simulator.store import IncomingPoint
from simulator.timestamps import datetime_to_ns
from simulator.world import HomeWorld
from tests.kit.common import (
    advance,
    advance_in_polls,
    entity_id_of,
    set_up_frozen,
    settle,
)
from tests.kit.series import NODE, NOW, only, series, write

GRID = HomeWorld.GRID_METER
QUERY = "POST /v1/telemetry/query"
BUY = "buyPrice_perkWh"
SELL = "sellPrice_perkWh"
PLANNING = SeriesKey(HomeWorld.DATABASE, "rp_ten_m", "planning", (("nodeId", GRID),))
HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
async def in_brussels(hass: HomeAssistant) -> None:
    await hass.config.async_set_time_zone("Europe/Brussels")


def price(hass: HomeAssistant, entry: EnirisConfigEntry, field: str = BUY) -> State:
    """Return the state of a price."""
    state = hass.states.get(entity_id_of(hass, entry, GRID, field))
    assert state is not None
    return state


def reads(simulator: Simulator) -> list[Any]:
    """Return the requests that ask for prices alone."""
    return [
        request
        for request in simulator.log.find(QUERY)
        if {each["from"]["measurement"] for each in request.json} == {"planning"}
    ]


def plan(
    simulator: Simulator, rows: Sequence[tuple[datetime, FieldValue]], field: str = BUY
) -> None:
    """Have Eniris plan something."""
    simulator.store.write(
        IncomingPoint(PLANNING, datetime_to_ns(time), {field: value})
        for time, value in rows
    )


async def forecast_of(hass: HomeAssistant, entity_id: str) -> list[Any]:
    """Return what the action tells of one price."""
    response: Any = await hass.services.async_call(
        "eniris",
        "get_forecast",
        {"entity_id": entity_id},
        blocking=True,
        return_response=True,
    )
    found: list[Any] = response["forecast"][entity_id]
    return found


async def go_to(
    hass: HomeAssistant, freezer: FrozenDateTimeFactory, moment: str
) -> None:
    """Let time pass until a moment, and for one more poll."""
    await advance(
        hass, freezer, dt_util.as_utc(datetime.fromisoformat(moment)) - dt_util.utcnow()
    )
    await advance(hass, freezer)


async def test_price_sensors(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> None:
    """Prices have a unit and a name, are on by default, and tell today's and tomorrow's."""
    hass.config.currency = "USD"
    entry = await set_up_frozen(hass, freezer, user_input, "2026-07-01T12:20:30+02:00")
    for field, name in ((BUY, "Electricity price"), (SELL, "Feed-in price")):
        state = price(hass, entry, field)
        assert state.name == f"Grid meter {name}"
        attributes = state.attributes
        assert attributes["unit_of_measurement"] == "EUR/kWh"
        assert attributes["state_class"] == "measurement"
        assert "device_class" not in attributes
        assert (attributes["currency"], attributes["unit"]) == ("EUR", "kWh")
        assert len(attributes["today"]) == 24
        assert attributes["today"] == [
            each["value"] for each in attributes["raw_today"]
        ]
        midnight = datetime.fromisoformat("2026-07-01T00:00:00+02:00")
        for hour, each in enumerate(attributes["raw_today"]):
            assert each["start"] == midnight + hour * HOUR
            assert each["end"] == each["start"] + HOUR
            assert each["start"].utcoffset() == timedelta(hours=2)
        assert float(state.state) == pytest.approx(attributes["today"][12], abs=1e-4)
        assert attributes["tomorrow"] == attributes["raw_tomorrow"] == []
        assert attributes["tomorrow_valid"] is False
    assert len(reads(simulator)) == 1


@pytest.mark.parametrize(
    ("now", "hours_today", "hours_tomorrow"),
    [
        ("2026-07-01T14:00:00+02:00", 24, 24),
        ("2026-03-28T14:00:00+01:00", 24, 23),
        ("2026-03-29T14:00:00+02:00", 23, 24),
        ("2026-10-24T14:00:00+02:00", 24, 25),
        ("2026-10-25T14:00:00+01:00", 25, 24),
    ],
)
async def test_local_days(
    hass: HomeAssistant,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
    now: str,
    hours_today: int,
    hours_tomorrow: int,
) -> None:
    """A day has the hours that it has when the clocks change, and ends where the next begins."""
    entry = await set_up_frozen(hass, freezer, user_input, now)
    attributes = price(hass, entry).attributes
    assert len(attributes["today"]) == hours_today
    assert len(attributes["tomorrow"]) == hours_tomorrow
    assert attributes["tomorrow_valid"] is True
    periods = attributes["raw_today"] + attributes["raw_tomorrow"]
    for before, after in pairwise(periods):
        assert before["end"].timestamp() == after["start"].timestamp()
        assert before["end"].timestamp() - before["start"].timestamp() == 3600
    assert periods[-1]["end"].hour == 0


async def test_tomorrow_comes_soon_after_one(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> None:
    """One read a day is enough, at one o'clock; at midnight tomorrow becomes today without any."""
    entry = await set_up_frozen(hass, freezer, user_input, "2026-07-01T09:00:00+02:00")
    await go_to(hass, freezer, "2026-07-01T12:58:00+02:00")
    assert len(reads(simulator)) == 1
    await advance_in_polls(hass, freezer, timedelta(minutes=8))
    assert len(reads(simulator)) == 2
    attributes = price(hass, entry).attributes
    assert attributes["tomorrow_valid"] is True
    tomorrow = attributes["tomorrow"]
    assert len(tomorrow) == 24
    await go_to(hass, freezer, "2026-07-02T00:00:00+02:00")
    assert len(reads(simulator)) == 2
    attributes = price(hass, entry).attributes
    assert attributes["today"] == tomorrow
    assert attributes["tomorrow"] == []
    await go_to(hass, freezer, "2026-07-02T13:06:00+02:00")
    assert len(reads(simulator)) == 3


async def test_late_prices(
    hass: HomeAssistant,
    simulator: Simulator,
    world: HomeWorld,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Until tomorrow is known: each quarter of an hour from one to three, then each hour."""
    clock = datetime.fromisoformat("2026-07-01T12:00:00+02:00").timestamp()
    monkeypatch.setattr(world, "_clock", lambda: clock)
    entry = await set_up_frozen(hass, freezer, user_input, "2026-07-01T12:50:00+02:00")
    await advance_in_polls(hass, freezer, timedelta(minutes=135))
    assert 8 <= len(reads(simulator)) <= 11
    simulator.log.reset()
    await advance_in_polls(hass, freezer, timedelta(minutes=119))
    assert 1 <= len(reads(simulator)) <= 2
    assert price(hass, entry).attributes["tomorrow_valid"] is False
    clock += 3600
    await advance_in_polls(hass, freezer, timedelta(minutes=61))
    assert price(hass, entry).attributes["tomorrow_valid"] is True


async def test_only_while_wanted(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> None:
    """Nobody who has disabled the prices pays for them."""
    entry = await set_up_frozen(hass, freezer, user_input, "2026-07-01T12:00:00+02:00")
    for field in (BUY, SELL):
        er.async_get(hass).async_update_entity(
            entity_id_of(hass, entry, GRID, field),
            disabled_by=er.RegistryEntryDisabler.USER,
        )
    await hass.config_entries.async_reload(entry.entry_id)
    await settle(hass)
    simulator.log.reset()
    await go_to(hass, freezer, "2026-07-01T14:00:00+02:00")
    await go_to(hass, freezer, "2026-07-02T14:00:00+02:00")
    assert not reads(simulator)


@pytest.mark.expected_log("cannot be reached|cannot be read|Error fetching|Eniris")
async def test_outage(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> None:
    """Prices that are known outlive an outage, and those of tomorrow come after it."""
    entry = await set_up_frozen(hass, freezer, user_input, "2026-07-01T12:40:00+02:00")
    today = price(hass, entry).attributes["today"]
    fault = simulator.faults.add("/v1/telemetry/query", "status", status=503)
    await advance_in_polls(hass, freezer, timedelta(minutes=30))
    assert entry.runtime_data.prices.last_update_success
    simulator.faults.remove(fault.id)
    await advance_in_polls(hass, freezer, timedelta(minutes=20))
    attributes = price(hass, entry).attributes
    assert attributes["today"] == today
    assert attributes["tomorrow_valid"] is True


async def test_half_a_tomorrow(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> None:
    """A horizon that ends in the middle of tomorrow is shown, but is no whole day."""
    begin = datetime.fromisoformat("2026-07-02T00:00:00+02:00")
    plan(simulator, [(begin + hour * HOUR, 0.1 + hour / 100) for hour in range(9)])
    plan(simulator, [(begin + 3 * HOUR, "nonsense")], "other")
    entry = await set_up_frozen(hass, freezer, user_input, "2026-07-01T12:00:00+02:00")
    attributes = price(hass, entry).attributes
    assert attributes["tomorrow"] == [0.1 + hour / 100 for hour in range(9)]
    assert attributes["tomorrow_valid"] is False
    assert price(hass, entry, SELL).attributes["tomorrow"] == []


async def test_attributes_are_not_recorded(
    hass: HomeAssistant, user_input: dict[str, Any], freezer: FrozenDateTimeFactory
) -> None:
    """Two days of prices a minute would fill the database."""
    entry = await set_up_frozen(hass, freezer, user_input)
    info = price(hass, entry).state_info
    assert info is not None
    assert MATCH_ALL in info["unrecorded_attributes"]
    assert price(hass, entry).state != STATE_UNAVAILABLE


async def test_as_periods(hass: HomeAssistant) -> None:
    """Each row holds until the next, the last for as long as most, a lone one an hour."""
    begin = datetime.fromisoformat("2026-10-24T22:00:00+00:00")

    def minutes(*at: int) -> list[int]:
        rows = [(begin + timedelta(minutes=minute), minute) for minute in at]
        periods = as_periods(rows)
        assert [each.start.timestamp() for each in periods] == [
            time.timestamp() for time, _ in rows
        ]
        assert [each.value for each in periods] == list(at)
        return [
            int((each.end.timestamp() - each.start.timestamp()) / 60)
            for each in periods
        ]

    assert minutes() == []
    assert minutes(0) == [60]
    assert minutes(0, 15) == [15, 15]
    assert minutes(0, 60, 180, 195) == [60, 120, 15, 15]
    # A stray row says nothing of the others
    assert minutes(0, 15, 30, 37, 45, 60) == [15, 15, 7, 8, 15, 15]
    # Through the hour that there is twice
    assert minutes(0, 60, 120, 180, 240) == [60] * 5


async def test_policy_that_is_never_written(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> None:
    """Prices come from the series that has them, whichever others metadata lists before it."""
    freezer.move_to(NOW)
    written = series("rp_ten_m", "planning")
    only(simulator, series("rp_one_m", "planning"), written, fields=[BUY])
    start = NOW.replace(minute=0, second=0) - 3 * HOUR
    for hour in range(30):
        write(simulator, written, start + hour * HOUR, **{BUY: float(hour)})
    entry = await set_up_frozen(hass, freezer, user_input, None)
    for _ in range(3):
        await advance(hass, freezer)
    entity_id = entity_id_of(hass, entry, NODE, BUY)
    state = hass.states.get(entity_id)
    assert state is not None
    assert state.attributes["today"][:4] == [0, 1, 2, 3]
    response = await forecast_of(hass, entity_id)
    assert [each["value"] for each in response] == [*range(3, 30)]


async def test_block_over_midnight(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> None:
    """A block that began hours ago is the first of a forecast, and a part of both its days."""
    freezer.move_to(NOW)
    written = series("rp_one_m", "planning")
    only(simulator, written, fields=[BUY])
    midnight = dt_util.start_of_local_day(dt_util.as_local(NOW).date())
    for number in range(5):
        moment = dt_util.as_utc(midnight) + (6 * number - 3) * HOUR
        write(simulator, written, moment, **{BUY: float(number)})
    freezer.move_to(dt_util.as_utc(midnight) + 3 * HOUR + timedelta(minutes=30))
    entry = await set_up_frozen(hass, freezer, user_input, None)
    freezer.tick(5 * HOUR)
    entity_id = entity_id_of(hass, entry, NODE, BUY)
    state = hass.states.get(entity_id)
    assert state is not None
    today = state.attributes["raw_today"]
    assert [each["value"] for each in today] == [0, 1, 2, 3, 4]
    assert (today[0]["start"], today[-1]["end"]) == (midnight, midnight + 24 * HOUR)
    response = await forecast_of(hass, entity_id)
    assert response[0]["value"] == 1


def spans(request: Any) -> list[tuple[int, int]]:
    """Return of each query of a request the start, in Unix milliseconds, and the limit."""
    return [(each["where"]["time"][0]["value"], each["limit"]) for each in request.json]


async def test_what_is_read(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> None:
    """Nothing is read of the day before where a price begins at midnight."""
    midnight = datetime.fromisoformat("2026-07-01T00:00:00+02:00")
    entry = await set_up_frozen(hass, freezer, user_input, "2026-07-01T09:00:00+02:00")
    [request] = reads(simulator)
    assert {start for start, _ in spans(request)} == {midnight.timestamp() * 1000}
    assert len(price(hass, entry).attributes["today"]) == 24


async def test_what_began_the_day_before(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> None:
    """Of the day before a few rows are read, where the price of midnight began there."""
    freezer.move_to(NOW)
    midnight = dt_util.as_utc(dt_util.start_of_local_day(dt_util.as_local(NOW).date()))
    written = series("rp_one_m", "planning")
    only(simulator, written, fields=[BUY])
    for hours in (-6, -3, 3, 6):
        write(simulator, written, midnight + hours * HOUR, **{BUY: float(hours)})
    freezer.move_to(midnight + 5 * HOUR)
    entry = await set_up_frozen(hass, freezer, user_input, None)
    state = hass.states.get(entity_id_of(hass, entry, NODE, BUY))
    assert state is not None
    assert state.attributes["today"] == [-3, 3, 6]
    asked = [each for request in reads(simulator) for each in spans(request)]
    # Polls of the present ask for a few rows, too
    assert (
        max(limit for start, limit in asked if start < midnight.timestamp() * 1000)
        <= 10
    )
    assert max(limit for _, limit in asked) > 1000


async def test_nobody_waits_for_prices(
    hass: HomeAssistant,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An action is answered while the prices wait, for the budget or for Eniris."""
    entry = await set_up_frozen(hass, freezer, user_input, "2026-07-01T09:00:00+02:00")
    data = entry.runtime_data
    query, goes_on, waiting = data.session.query_telemetry, Event(), Event()

    async def wait(queries: Sequence[TelemetryQuery]) -> TelemetryAnswer:
        if not waiting.is_set():
            waiting.set()
            await goes_on.wait()
        return await query(queries)

    monkeypatch.setattr(data.session, "query_telemetry", wait)
    refresh = hass.async_create_task(data.prices.async_refresh())
    await waiting.wait()
    assert await forecast_of(hass, entity_id_of(hass, entry, GRID, BUY))
    assert not refresh.done()
    goes_on.set()
    await refresh


async def test_one_is_refused(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What the service refuses of one price says nothing of the others, and leaves what is known of it."""
    freezer.move_to(NOW)
    both = [series("rp_ten_m", "planning"), series("rp_ten_m", "gridMetrics")]
    only(simulator, *both, fields=[BUY])
    for each in both:
        write(simulator, each, NOW.replace(minute=0, second=0), **{BUY: 0.5})
    entry = await set_up_frozen(hass, freezer, user_input, None)
    prices = entry.runtime_data.prices
    kept, other = (FieldKey(NODE, each.measurement, BUY) for each in both)
    known = prices.data[kept]
    assert known
    session = entry.runtime_data.session
    query = session.query_telemetry

    async def refuse(queries: Sequence[TelemetryQuery]) -> TelemetryAnswer:
        answer = await query(queries)
        for number, each in enumerate(queries):
            if each.measurement == kept.measurement:
                answer.results[number] = StatementResult([], "Unauthorized")
        return answer

    monkeypatch.setattr(session, "query_telemetry", refuse)
    del prices.data[other]
    await prices.async_refresh()
    assert prices.data[kept] == known
    assert [period.value for period in prices.data[other]] == [0.5]
