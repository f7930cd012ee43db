"""Totals of energy, compared with what flowed in the simulator's world, to the Wh."""

from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp.web_response
from freezegun.api import FrozenDateTimeFactory
import pytest
from pytest_homeassistant_custom_component.common import async_fire_time_changed

from custom_components.eniris.const import CONF_IMPORT, CONF_INTERVAL
from custom_components.eniris.data import EnirisConfigEntry
from custom_components.eniris.importing.coordinator import async_forget_account
from custom_components.eniris.importing.plan import FieldKey
from custom_components.eniris.importing.service_clock import ServiceClock
from custom_components.eniris.importing.totals import totals_store
from homeassistant.const import (
    ATTR_UNIT_OF_MEASUREMENT,
    STATE_UNAVAILABLE,
    STATE_UNKNOWN,
)
from homeassistant.core import HomeAssistant
from homeassistant.helpers import entity_registry as er
from homeassistant.helpers.entity import Entity
from homeassistant.util import dt as dt_util
from simulator.faults import FaultKind
from simulator.model import FieldValue, SeriesKey
from simulator.server import Simulator
from simulator.store import IncomingPoint
from simulator.timestamps import datetime_to_ns
from simulator.world import FleetWorld, HomeWorld
from tests.kit.common import (
    advance,
    advance_in_polls,
    entity_id_of,
    set_up_frozen,
    settle,
    state_of,
)

GRID = HomeWorld.GRID_METER
EXPORTED = "exportedEnergyDeltaTot_Wh"
IMPORTED = "importedEnergyDeltaTot_Wh"
QUERY = "POST /v1/telemetry/query"

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)

START = "2026-07-01T12:20:30Z"
START_HOUR = datetime(2026, 7, 1, 12, tzinfo=UTC)

METER = "meter-7"
METER_KEY = FieldKey(METER, "submeteringMetrics", IMPORTED)
BY_MINUTE = SeriesKey(
    HomeWorld.DATABASE, "rp_one_m", "submeteringMetrics", (("nodeId", METER),)
)
BY_SECOND = SeriesKey(
    HomeWorld.DATABASE, "rp_one_s", "submeteringMetrics", (("nodeId", METER),)
)


@pytest.fixture(autouse=True)
def only_totals(monkeypatch: pytest.MonkeyPatch) -> None:
    """Enable the totals, all of them, and of the rest the little that is needed."""

    def is_enabled(entity: Entity) -> bool:
        description = getattr(entity, "description", None)
        return description is None or description.accumulates

    monkeypatch.setattr(Entity, "entity_registry_enabled_default", property(is_enabled))


def row_after(moment: datetime, field: str) -> datetime:
    """Return the end of the newest row: one stands for the minute, or ten, that it begins."""
    step = timedelta(minutes=10 if field.startswith("sum_") else 1)
    return START_HOUR + -(-(moment - START_HOUR) // step) * step


def truth(
    world: HomeWorld | FleetWorld, key: FieldKey, end: datetime, start: datetime
) -> float:
    """Return what flowed, as far as it has been told at `end`."""
    return world.truth_energy_wh(
        key.node_id, key.field, start, row_after(end, key.field)
    )


def totals(entry: EnirisConfigEntry) -> dict[FieldKey, float | None]:
    """Return the totals that are kept, by field."""
    telemetry = entry.runtime_data.telemetry
    return {key: telemetry.totals.value(key) for key in telemetry.totals._wanted}


def deltas(world: HomeWorld) -> set[FieldKey]:
    """Return the fields of the home that are energy within an interval, sums only of what is no field itself."""
    found = {
        FieldKey(device["properties"]["nodeId"], series["measurement"], name)
        for device in world.devices(START_HOUR)
        for series in device["properties"].get("nodeInfluxSeries", ())
        for name in series["fields"]
        if "EnergyDelta" in name
    }
    return {
        key
        for key in found
        if not key.field.startswith("sum_")
        or key._replace(field=key.field.removeprefix("sum_")) not in found
    }


def assert_true(
    hass: HomeAssistant,
    entry: EnirisConfigEntry,
    world: HomeWorld,
    start: datetime = START_HOUR,
) -> None:
    """Compare every total, and every entity that shows one, with the truth."""
    now = dt_util.utcnow()
    counted = totals(entry)
    assert set(counted) == deltas(world)
    expected = {key: truth(world, key, now, start) for key in counted}
    assert counted == {
        key: pytest.approx(energy, abs=0.001) for key, energy in expected.items()
    }
    registry = er.async_get(hass)
    for key, energy in expected.items():
        entity_id = registry.async_get_entity_id(
            "sensor", "eniris", f"{entry.unique_id}_{'_'.join(key)}"
        )
        assert entity_id
        state = hass.states.get(entity_id)
        assert state
        if state.state == STATE_UNAVAILABLE:
            # What has no row of late, such as a heat pump at rest, is not shown
            continue
        factor = {"Wh": 1, "kWh": 1000}[state.attributes[ATTR_UNIT_OF_MEASUREMENT]]
        assert float(state.state) * factor == pytest.approx(energy, abs=0.5), entity_id
    assert state_of(hass, entry, GRID, EXPORTED) not in (
        STATE_UNAVAILABLE,
        STATE_UNKNOWN,
    )


def counted_queries(simulator: Simulator) -> list[dict[str, Any]]:
    """Return the sums that the newest telemetry request asked for."""
    statements: list[dict[str, Any]] = simulator.log.find(QUERY)[-1].json
    return [
        statement
        for statement in statements
        if any(isinstance(item, dict) for item in statement["select"])
    ]


async def restart(
    hass: HomeAssistant,
    entry: EnirisConfigEntry,
    freezer: FrozenDateTimeFactory,
    after: timedelta,
) -> None:
    """Stop Home Assistant's part of the account, let time pass, and start it again."""
    assert await hass.config_entries.async_unload(entry.entry_id)
    await settle(hass)
    freezer.tick(after)
    async_fire_time_changed(hass)
    await settle(hass)
    assert await hass.config_entries.async_setup(entry.entry_id)
    await settle(hass)


@pytest.mark.timeout(300)
async def test_a_day_of_polls(
    hass: HomeAssistant,
    simulator: Simulator,
    world: HomeWorld,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> None:
    """Every total is exact at every poll of an hour, and at every hour of a day and a bit."""
    entry = await set_up_frozen(hass, freezer, user_input, START)
    for _ in range(60):
        await advance(hass, freezer)
        assert_true(hass, entry, world)
    hass.config_entries.async_update_entry(
        entry, options={CONF_IMPORT: {CONF_INTERVAL: 900}}
    )
    await settle(hass)
    # Longer than hours are kept apart
    for _ in range(4 * 27):
        await advance(hass, freezer, timedelta(seconds=901))
        if dt_util.utcnow().minute < 16:
            assert_true(hass, entry, world)
    # Nothing is left to be caught up, and nothing accumulates
    assert all(
        len(total.hours) <= 26
        for total in entry.runtime_data.telemetry.totals._totals.values()
    )
    series = {
        str(query["from"]) + str(query["where"]["tags"])
        for query in counted_queries(simulator)
    }
    assert len(counted_queries(simulator)) <= 3 * len(series)
    assert not simulator.log.count(QUERY, 422)


@pytest.mark.parametrize("seconds", [10, 900, 3600])
async def test_any_interval(
    hass: HomeAssistant,
    world: HomeWorld,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
    seconds: int,
) -> None:
    """The shortest and the longest interval count the same, at every poll."""
    entry = await set_up_frozen(hass, freezer, user_input, START)
    hass.config_entries.async_update_entry(
        entry, options={CONF_IMPORT: {CONF_INTERVAL: seconds}}
    )
    await settle(hass)
    start = START_HOUR
    for _ in range(40):
        await advance(hass, freezer, timedelta(seconds=seconds + 1))
        assert totals(entry) == {
            key: pytest.approx(truth(world, key, dt_util.utcnow(), start), abs=0.001)
            for key in deltas(world)
        }


@pytest.mark.parametrize("hours", [0.1, 1, 5, 23, 26, 50])
async def test_stop_of_hours(
    hass: HomeAssistant,
    world: HomeWorld,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
    hours: float,
) -> None:
    """What flowed while Home Assistant was stopped is caught up, in steps that are bounded."""
    entry = await set_up_frozen(hass, freezer, user_input, START)
    await advance_in_polls(hass, freezer, timedelta(minutes=10))
    assert_true(hass, entry, world)
    before = totals(entry)
    await restart(hass, entry, freezer, timedelta(hours=hours))
    # The first poll is through, which catches up a few hours
    now = totals(entry)
    assert all((now[key] or 0) >= (energy or 0) for key, energy in before.items())
    assert state_of(hass, entry, GRID, EXPORTED) not in (
        STATE_UNAVAILABLE,
        STATE_UNKNOWN,
    )
    for _ in range(6):
        await advance(hass, freezer)
        after = totals(entry)
        # The world's home counts nothing that is negative
        assert all((after[key] or 0) >= (before[key] or 0) for key in after)
        before = after
    assert_true(hass, entry, world)


async def test_stop_for_a_week(
    hass: HomeAssistant,
    simulator: Simulator,
    world: HomeWorld,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> None:
    """A week away costs the smallest tier no refusal, and each poll a bounded number of sums."""
    simulator.tier = "free"
    entry = await set_up_frozen(hass, freezer, user_input, START)
    # Long enough for hours that are known, and are asked for again
    for _ in range(3):
        await advance_in_polls(hass, freezer, HOUR)
    await restart(hass, entry, freezer, 7 * DAY)
    simulator.log.reset()
    before = totals(entry)
    most = 0
    for _ in range(12):
        await advance(hass, freezer)
        most = max(most, len(counted_queries(simulator)))
        after = totals(entry)
        assert all((after[key] or 0) >= (before[key] or 0) for key in after)
        before = after
    assert_true(hass, entry, world)
    assert most <= 10 * 9
    assert simulator.log.count(QUERY) == simulator.log.count(QUERY, 200) == 12


@pytest.mark.parametrize("hours", [0.5, 30])
async def test_crash(
    hass: HomeAssistant,
    world: HomeWorld,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
    hours: float,
) -> None:
    """After a crash the totals go on from what was stored the last time, which is not long ago."""
    entry = await set_up_frozen(hass, freezer, user_input, START)
    store = totals_store(hass, entry.entry_id)
    # New ones are stored at once, so that it is known where they began
    await advance(hass, freezer, timedelta(seconds=20))
    assert len(await store.async_load() or ()) == len(deltas(world))
    for _ in range(3):
        await advance_in_polls(hass, freezer, HOUR)
    stored = await totals_store(hass, entry.entry_id).async_load()
    assert stored
    newest = max(hour for *_, known, _, _ in stored for hour, *_ in known)
    assert newest >= (dt_util.utcnow() - HOUR).timestamp() - 3600
    assert await hass.config_entries.async_unload(entry.entry_id)
    await store.async_save(stored)
    freezer.tick(timedelta(hours=hours))
    assert await hass.config_entries.async_setup(entry.entry_id)
    await settle(hass)
    await advance_in_polls(hass, freezer, timedelta(minutes=8))
    assert_true(hass, entry, world)


@pytest.mark.expected_log("fetching Eniris")
@pytest.mark.parametrize("hours", [3, 30])
async def test_outage(
    hass: HomeAssistant,
    simulator: Simulator,
    world: HomeWorld,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
    hours: int,
) -> None:
    """What flowed during an outage of the service is caught up."""
    entry = await set_up_frozen(hass, freezer, user_input, START)
    await advance(hass, freezer)
    await simulator.stop()
    for _ in range(10):
        await advance(hass, freezer, timedelta(hours=hours / 10))
    assert state_of(hass, entry, GRID, EXPORTED) == STATE_UNAVAILABLE
    await simulator.start(port=simulator.port)
    await advance_in_polls(hass, freezer, timedelta(minutes=8))
    assert_true(hass, entry, world)


async def test_failing_and_malformed_answers(
    hass: HomeAssistant,
    simulator: Simulator,
    world: HomeWorld,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """An answer that is lost, cut short or nonsense neither loses nor doubles anything."""
    entry = await set_up_frozen(hass, freezer, user_input, START)
    await advance(hass, freezer)
    path = "/v1/telemetry/query"
    kinds: tuple[FaultKind, ...] = (
        "drop",
        "drop_after",
        "half_body",
        "garbage",
        "empty",
        "wrong_type",
    )
    for kind in kinds:
        simulator.faults.add(path, kind, times=1)
        await advance(hass, freezer, timedelta(minutes=20))
        await advance(hass, freezer)
    # Every statement without data, and as many as were asked for
    count = len(simulator.log.find(QUERY)[-1].json)
    items: tuple[dict[str, Any], ...] = (
        {},
        {"error": "Unauthorized"},
        {"series": []},
        {"series": [{}]},
    )
    for item in items:
        simulator.faults.add(path, "json", times=1, body=[item] * count)
        await advance(hass, freezer)
    await advance_in_polls(hass, freezer, timedelta(minutes=8))
    assert_true(hass, entry, world)
    caplog.clear()


class _Meter:
    """A meter the rows of which a test writes."""

    def __init__(
        self,
        hass: HomeAssistant,
        simulator: Simulator,
        freezer: FrozenDateTimeFactory,
        entry: EnirisConfigEntry,
    ) -> None:
        self._hass = hass
        self._simulator = simulator
        self._freezer = freezer
        self.entry = entry

    def write(
        self,
        value: FieldValue | None,
        ago: timedelta = timedelta(seconds=5),
        series: SeriesKey = BY_MINUTE,
        field: str = IMPORTED,
    ) -> None:
        """Let a row arrive; without a value it has another field alone."""
        fields: dict[str, FieldValue] = {"frequency_Hz": 50.0}
        if value is not None:
            fields[field] = value
        time_ns = datetime_to_ns(dt_util.utcnow() - ago)
        self._simulator.store.write([IncomingPoint(series, time_ns, fields)])

    async def polls(self, number: int) -> float | None:
        """Let polls pass, and return the total."""
        for _ in range(number):
            await advance(self._hass, self._freezer)
        return self.entry.runtime_data.telemetry.totals.value(METER_KEY)

    async def wait(self, by: timedelta) -> float | None:
        """Let time pass with a few polls, and return the total."""
        for _ in range(4):
            await advance(self._hass, self._freezer, by / 4)
        return await self.polls(1)


def meter_device(*series: SeriesKey) -> dict[str, Any]:
    """Return the metadata of the meter."""
    return {
        "id": 90_001,
        "lastUpdate": "2026-06-30T10:00:00.000Z",
        "properties": {
            "nodeId": METER,
            "nodeType": "powerMeter",
            "name": "Shed",
            "nodeParentsIds": [HomeWorld.SITE],
            "nodeInfluxSeries": [
                {
                    "database": key.database,
                    "retentionPolicy": key.retention_policy,
                    "measurement": key.measurement,
                    "tags": dict(key.tags),
                    "fields": [IMPORTED, "frequency_Hz"],
                }
                for key in series
            ],
        },
    }


@pytest.fixture
def series() -> tuple[SeriesKey, ...]:
    """Return the series that the meter's metadata tells of."""
    return (BY_MINUTE,)


@pytest.fixture
async def meter(
    hass: HomeAssistant,
    simulator: Simulator,
    world: HomeWorld,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
    series: tuple[SeriesKey, ...],
) -> _Meter:
    """Return a meter that has measured nothing yet, the only node of its account."""
    freezer.move_to(START)
    for device in world.devices(START_HOUR):
        simulator.devices.hide(device["id"])
    simulator.devices.add(meter_device(*series))
    simulator.store.write(
        [
            IncomingPoint(
                key,
                datetime_to_ns(dt_util.utcnow()) - 10**9,
                {IMPORTED: 0.0, "frequency_Hz": 50.0},
            )
            for key in series
        ]
    )
    entry = await set_up_frozen(hass, freezer, user_input, START)
    return _Meter(hass, simulator, freezer, entry)


@pytest.mark.parametrize("late", [1, 12, 59, 61, 119, 180, 720, 1380, 1439])
async def test_late_rows(meter: _Meter, late: int) -> None:
    """A row counts however late it comes, up to a day, and counts once."""
    meter.write(10.0)
    assert await meter.polls(1) == 10.0
    await meter.wait(timedelta(minutes=late))
    meter.write(5.0, timedelta(minutes=late))
    # All hours are looked at again every 20 minutes
    assert await meter.polls(30) == 15.0
    assert await meter.wait(timedelta(days=3)) == 15.0
    assert await meter.polls(3) == 15.0


async def test_very_late_rows(meter: _Meter) -> None:
    """A row that is later than a day changes nothing that was counted."""
    meter.write(10.0)
    assert await meter.polls(1) == 10.0
    await meter.wait(timedelta(hours=27))
    meter.write(5.0, timedelta(hours=27))
    assert await meter.polls(30) == 10.0


async def test_backlog_while_stopped(
    hass: HomeAssistant, freezer: FrozenDateTimeFactory, meter: _Meter
) -> None:
    """A backlog that arrives while Home Assistant is stopped counts as well."""
    meter.write(10.0)
    assert await meter.polls(1) == 10.0
    assert await hass.config_entries.async_unload(meter.entry.entry_id)
    freezer.tick(HOUR)
    for minutes in range(5, 60, 5):
        meter.write(1.0, timedelta(minutes=minutes))
    freezer.tick(40 * HOUR)
    meter.write(0.5)
    assert await hass.config_entries.async_setup(meter.entry.entry_id)
    await settle(hass)
    assert await meter.polls(6) == 21.5


async def test_null_and_negative(meter: _Meter) -> None:
    """A row without a value has no energy; a negative one takes some back."""
    meter.write(10.0)
    meter.write(None, timedelta(seconds=3))
    meter.write(-4.0, timedelta(seconds=2))
    meter.write(1, timedelta(seconds=1))
    assert await meter.polls(1) == 7.0
    assert await meter.wait(timedelta(hours=1)) == 7.0
    meter.write(None)
    assert await meter.polls(1) == 7.0
    meter.write(-20.0)
    assert await meter.polls(1) == -13.0
    assert await meter.wait(timedelta(days=2)) == -13.0


async def test_corrected_row(meter: _Meter) -> None:
    """A row that is written again counts as it is now, not twice."""
    meter.write(10.0)
    assert await meter.polls(1) == 10.0
    meter.write(12.0, timedelta(seconds=66))
    assert await meter.polls(1) == 12.0


async def test_rows_before_the_beginning(meter: _Meter) -> None:
    """A total begins with the hour in which it was first wanted."""
    meter.write(10.0, timedelta(minutes=25))
    assert await meter.polls(1) == 0.0
    meter.write(3.0, timedelta(minutes=15))
    assert await meter.polls(1) == 3.0
    assert await meter.wait(timedelta(hours=30)) == 3.0


@pytest.mark.parametrize("series", [(BY_MINUTE, BY_SECOND), (BY_SECOND, BY_MINUTE)])
async def test_two_retention_policies(meter: _Meter) -> None:
    """Energy that two policies tell of is counted once, by the minute."""
    for key in (BY_MINUTE, BY_SECOND):
        for seconds in (3, 2, 1):
            meter.write(10.0, timedelta(seconds=seconds), key)
    assert await meter.polls(1) == 30.0
    meter.write(99.0, series=BY_SECOND)
    assert await meter.polls(1) == 30.0


@pytest.mark.parametrize("series", [(BY_SECOND,)])
async def test_policy_that_is_the_only_one(
    hass: HomeAssistant,
    simulator: Simulator,
    freezer: FrozenDateTimeFactory,
    meter: _Meter,
) -> None:
    """Where there is none by the minute another one is summed, also from one day to the next."""
    meter.write(10.0, series=BY_SECOND)
    assert await meter.polls(1) == 10.0
    freezer.move_to("2026-07-01T13:10:30Z")
    # The other one tells of what comes, not of what was
    simulator.devices.set(
        90_001,
        meter_device(BY_SECOND, BY_MINUTE) | {"lastUpdate": "2026-07-01T13:10:00.000Z"},
    )
    await hass.services.async_call(
        "button",
        "press",
        {"entity_id": entity_id_of_refresh(hass, meter.entry)},
        blocking=True,
    )
    await settle(hass)
    assert await meter.polls(1) == 10.0
    meter.write(4.0)
    assert await meter.wait(HOUR) == 14.0


@pytest.mark.parametrize("policy", ["rp_ten_m", "rp_one_h", "raw"])
async def test_policy_that_is_coarse_or_unknown(
    hass: HomeAssistant,
    simulator: Simulator,
    freezer: FrozenDateTimeFactory,
    world: HomeWorld,
    user_input: dict[str, Any],
    policy: str,
) -> None:
    """Energy that is kept under another policy alone is summed from there."""
    freezer.move_to(START)
    for device in world.devices(START_HOUR):
        simulator.devices.hide(device["id"])
    simulator.switches.namespaces.add((HomeWorld.DATABASE, policy))
    key = BY_MINUTE._replace(retention_policy=policy)
    simulator.devices.add(meter_device(key))
    meter = _Meter(hass, simulator, freezer, None)  # type: ignore[arg-type]
    meter.write(3.0, series=key)
    meter.entry = await set_up_frozen(hass, freezer, user_input, START)
    assert await meter.polls(1) == 3.0
    for number in range(8):
        meter.write(2.0, series=key)
        await advance(hass, freezer, timedelta(minutes=10))
        assert await meter.polls(1) == 5.0 + 2 * number


async def test_stored_before_it_is_lost(hass: HomeAssistant, meter: _Meter) -> None:
    """While all is well a total is stored every quarter of an hour; a late row at once."""

    async def stored() -> float:
        found = await totals_store(hass, meter.entry.entry_id).async_load()
        assert found
        [[_, _, _, base, _, hours, *_]] = found
        return float(base + sum(energy for _, energy, _ in hours))

    await meter.polls(100)
    before = await stored()
    meter.write(10.0)
    assert await meter.polls(1) == before + 10.0
    assert await stored() == before
    meter.write(5.0, timedelta(minutes=80))
    for _ in range(30):
        if await meter.polls(1) == before + 15.0:
            break
    await meter.polls(1)
    assert await stored() == before + 15.0


def entity_id_of_refresh(hass: HomeAssistant, entry: EnirisConfigEntry) -> str:
    """Return the button that reads the account now."""
    entity_id = er.async_get(hass).async_get_entity_id(
        "button", "eniris", f"{entry.unique_id}_refresh"
    )
    assert entity_id
    return entity_id


@pytest.mark.parametrize("hours", [0.5, 20, 75])
async def test_re_enabled(
    hass: HomeAssistant, freezer: FrozenDateTimeFactory, meter: _Meter, hours: float
) -> None:
    """A total that was disabled for a while asks for nothing then, and is caught up afterwards."""
    meter.write(10.0)
    assert await meter.polls(1) == 10.0
    entity_id = entity_id_of(hass, meter.entry, METER, IMPORTED)
    registry = er.async_get(hass)
    registry.async_update_entity(entity_id, disabled_by=er.RegistryEntryDisabler.USER)
    await settle(hass)
    assert await meter.polls(1) is None
    assert not counted_queries(meter._simulator)
    freezer.tick(timedelta(hours=hours))
    meter.write(4.0, timedelta(minutes=10))
    meter.write(1.0)
    registry.async_update_entity(entity_id, disabled_by=None)
    # Home Assistant reloads the account half a minute later
    await advance(hass, freezer, timedelta(seconds=32))
    assert await meter.polls(6) == 15.0
    meter.write(1.0)
    assert await meter.polls(1) == 16.0


@pytest.mark.parametrize(
    ("zone", "before"),
    [
        ("Europe/Brussels", "2026-10-25T00:30:30Z"),
        ("Australia/Lord_Howe", "2026-04-04T14:30:30Z"),
        ("Asia/Kathmandu", "2026-07-01T17:50:30Z"),
    ],
)
async def test_changes_of_the_wall_clock(
    hass: HomeAssistant,
    world: HomeWorld,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
    zone: str,
    before: str,
) -> None:
    """Neither a change to or from daylight saving time nor an odd time zone loses or doubles an hour."""
    await hass.config.async_set_time_zone(zone)
    entry = await set_up_frozen(hass, freezer, user_input, before)
    start = dt_util.utcnow().replace(minute=0, second=0, microsecond=0)
    for _ in range(8):
        await advance(hass, freezer, timedelta(minutes=30))
        await advance_in_polls(hass, freezer, timedelta(minutes=2))
        assert_true(hass, entry, world, start)


class _ServiceClock:
    """The service's clock, from which Home Assistant's can differ."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def now(self) -> datetime:
        return dt_util.utcnow() - self.ahead

    def timestamp(self) -> float:
        return self.now().timestamp()


@pytest.fixture
def service_clock(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> _ServiceClock:
    """Give the service a clock of its own, by which its answers are dated."""
    clock = _ServiceClock()
    for part in (simulator, simulator.limiter, simulator.mint, *simulator._apis):
        for name in ("clock", "_clock"):
            if hasattr(part, name):
                monkeypatch.setattr(part, name, clock.now)
    monkeypatch.setattr(
        aiohttp.web_response,
        "rfc822_formatted_time",
        lambda: f"{clock.now():%a, %d %b %Y %H:%M:%S} GMT",
    )
    return clock


@pytest.mark.parametrize(
    "ahead",
    [
        timedelta(minutes=-3),
        timedelta(hours=2),
        timedelta(hours=-2),
        timedelta(days=2),
        timedelta(days=40),
        timedelta(days=-2),
    ],
)
async def test_clock_that_jumps(
    hass: HomeAssistant,
    world: HomeWorld,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
    service_clock: _ServiceClock,
    ahead: timedelta,
) -> None:
    """A clock that is wrong for a while, or was when a total began, spoils no total for good."""
    entry = await set_up_frozen(hass, freezer, user_input, START)
    await advance_in_polls(hass, freezer, timedelta(minutes=5))
    # Home Assistant's clock moves, the service's does not
    freezer.tick(ahead)
    service_clock.ahead = ahead
    for _ in range(3):
        await advance(hass, freezer, timedelta(minutes=20))
    await advance_in_polls(hass, freezer, timedelta(minutes=5))
    freezer.tick(-ahead)
    service_clock.ahead = timedelta()
    await advance_in_polls(hass, freezer, timedelta(minutes=8))
    await restart(hass, entry, freezer, timedelta(minutes=1))
    await advance_in_polls(hass, freezer, timedelta(minutes=8))
    assert_true(hass, entry, world)


async def test_start_with_a_clock_that_is_behind(
    hass: HomeAssistant,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
    service_clock: _ServiceClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What a meter showed days ago is not shown as the present, whatever the time is here."""
    monkeypatch.setattr(Entity, "entity_registry_enabled_default", True)
    entry = await set_up_frozen(hass, freezer, user_input, START)
    await advance_in_polls(hass, freezer, timedelta(minutes=5))

    def counters() -> dict[str, float]:
        return {
            state.entity_id: float(state.state)
            for state in hass.states.async_all("sensor")
            if state.attributes.get("state_class") == "total_increasing"
            and state.state not in ("unknown", "unavailable")
        }

    shown = counters()
    assert len(shown) > 5
    # Neither readings nor what is known of the clock outlive the process
    totals_of_account = entry.runtime_data.telemetry.totals
    assert await hass.config_entries.async_unload(entry.entry_id)
    async_forget_account(hass, entry.entry_id)
    totals_of_account.clock = ServiceClock()
    freezer.tick(timedelta(days=-2))
    service_clock.ahead = timedelta(days=-2)
    assert await hass.config_entries.async_setup(entry.entry_id)
    await settle(hass)
    for _ in range(8):
        now = counters()
        assert [key for key in now if now[key] < shown[key]] == []
        await advance(hass, freezer, timedelta(seconds=11))
    assert counters().keys() == shown.keys()


async def test_site_with_a_backlog(
    hass: HomeAssistant, user_input: dict[str, Any], freezer: FrozenDateTimeFactory
) -> None:
    """A site that is cut off for most of a day and uploads afterwards is counted to the Wh."""
    freezer.move_to(START)
    world = FleetWorld(4, clock=lambda: dt_util.utcnow().timestamp())
    site = world.sites[3]
    assert site.backlog
    cut_off_at = int(START_HOUR.timestamp()) + 3 * 3600
    site.backlog = site.backlog._replace(
        offset_s=cut_off_at % site.backlog.period_s, length_s=22 * 3600
    )
    async with Simulator(world, tier="unlimited") as simulator:
        for other in world.sites[:3]:
            for node in other.nodes:
                simulator.devices.hide(node.device["id"])
        addresses = dict.fromkeys(user_input["advanced"], simulator.url)
        entry = await set_up_frozen(
            hass, freezer, user_input | {"advanced": addresses}, START
        )

        def exact() -> list[bool]:
            return [
                energy == pytest.approx(truth(world, key, dt_util.utcnow(), START_HOUR))
                for key, energy in totals(entry).items()
            ]

        hass.config_entries.async_update_entry(
            entry, options={CONF_IMPORT: {CONF_INTERVAL: 3600}}
        )
        await settle(hass)
        for _ in range(2):
            await advance(hass, freezer, timedelta(hours=1, seconds=1))
            assert len(exact()) > 8
            assert all(exact())
        for _ in range(22):
            await advance(hass, freezer, timedelta(hours=1, seconds=1))
        assert site.backlog.missing(dt_util.utcnow().timestamp())
        assert not all(exact())
        await advance(hass, freezer, timedelta(hours=1, minutes=1))
        assert not site.backlog.missing(dt_util.utcnow().timestamp())
        hass.config_entries.async_update_entry(
            entry, options={CONF_IMPORT: {CONF_INTERVAL: 120}}
        )
        await settle(hass)
        for _ in range(20):
            await advance(hass, freezer, timedelta(seconds=121))
        assert all(exact())
