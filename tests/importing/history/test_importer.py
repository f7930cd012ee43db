"""The past of an account in Home Assistant's statistics, compared with the simulator's truth."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import partial
import math
import time
from typing import Any

from freezegun.api import FrozenDateTimeFactory
import pytest
from pytest_homeassistant_custom_component.common import async_capture_events

from custom_components.eniris.data import EnirisConfigEntry
from custom_components.eniris.importing.history.importer import EVENT_IMPORTED
from custom_components.eniris.importing.plan import FieldKey
from homeassistant.components.recorder.core import Recorder
from homeassistant.components.sensor import SensorDeviceClass
from homeassistant.core import HomeAssistant
from homeassistant.helpers import entity_registry as er
from homeassistant.helpers.entity import Entity
from simulator.server import Simulator
from simulator.world import HomeWorld
from tests.kit.common import advance, entity_id_of, set_up_frozen, settle
from tests.kit.history import (
    COUNTER,
    DAY,
    HOUR,
    IMPORTED,
    LONG_AGO,
    MINUTE,
    POWER,
    QUERY,
    changes,
    finished,
    import_past,
    live_with,
    measure,
    measured_by_world,
    only_a_meter,
)
from tests.kit.meter import METER
from tests.kit.recorded import live, rows

# In Brussels, clocks were put back in the night to the 25th
NOW = datetime(2026, 10, 27, 11, 42, 30, tzinfo=UTC)
BEFORE_CHANGE = datetime(2026, 10, 23, 22, tzinfo=UTC)

NET = "netEnergy_kWh"


@pytest.fixture(autouse=True)
def energy_and_power_enabled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Enable all energy and power: sums beside counters, and directions, too."""

    def is_enabled(entity: Entity) -> bool:
        description = getattr(entity, "description", None)
        return description is None or description.device_class in (
            SensorDeviceClass.ENERGY,
            SensorDeviceClass.POWER,
        )

    monkeypatch.setattr(Entity, "entity_registry_enabled_default", property(is_enabled))


async def set_up(
    hass: HomeAssistant, freezer: FrozenDateTimeFactory, user_input: dict[str, Any]
) -> EnirisConfigEntry:
    """Set an account up, without the past at first."""
    await hass.config.async_set_time_zone("Europe/Brussels")
    freezer.move_to(NOW)
    return await set_up_frozen(hass, freezer, user_input, None)


def shown(
    hass: HomeAssistant, entry: EnirisConfigEntry, device_class: SensorDeviceClass
) -> dict[str, tuple[FieldKey, str | None]]:
    """Return the entities of a device class, with what they show and in which direction."""
    registry = er.async_get(hass)
    found = {}
    for unique_id, subject in entry.runtime_data.history.subjects().items():
        entity_id = registry.async_get_entity_id("sensor", "eniris", unique_id)
        if entity_id and subject.description.device_class == device_class:
            found[entity_id] = (subject.key, subject.description.part)
    return found


def hours(start: datetime, end: datetime) -> Iterable[datetime]:
    """Return the beginnings of hours."""
    while start < end:
        yield start
        start += HOUR


async def test_energy_to_the_wh(
    recorder_mock: Recorder,
    hass: HomeAssistant,
    world: HomeWorld,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> None:
    """What flowed stands in its hour, before, across and after the moment when the live sums began."""
    entry = await set_up(hass, freezer, user_input)
    await live(hass, freezer, NOW + 32 * MINUTE)
    event = await import_past(hass, freezer, entry, BEFORE_CHANGE)
    entities = shown(hass, entry, SensorDeviceClass.ENERGY)
    assert len(entities) > 25
    assert event.data["entities"] == len(entities) + len(
        shown(hass, entry, SensorDeviceClass.POWER)
    )
    assert not event.data["refused_queries"]
    await live(hass, freezer, NOW + 82 * MINUTE)
    found = await rows(hass, entities, LONG_AGO)
    end = datetime(2026, 10, 27, 13, tzinfo=UTC)
    days = await rows(hass, entities, LONG_AGO, period="day")
    for entity_id, (key, _) in entities.items():
        is_counter = "Abs" in key.field
        # A meter tells at the beginning of a minute what it has counted until then
        shift = MINUTE if is_counter else timedelta()
        field = key.field.replace("AbsEnergy", "EnergyDelta")

        truth = partial(_truth, world, FieldKey(key.node_id, "", field), shift)
        counted = changes(found[entity_id])
        assert min(counted) == BEFORE_CHANGE
        for hour in hours(BEFORE_CHANGE, datetime(2026, 10, 27, 11, tzinfo=UTC)):
            # A node that is silent tells it with its next row
            if (hour in counted and hour - HOUR in counted) or not is_counter:
                expected = truth(hour, hour + HOUR)
                assert counted.get(hour, 0) == pytest.approx(expected, abs=0.5), (
                    entity_id,
                    hour,
                )
        if is_counter:
            continue
        # The hours that live sums had begun or were making, too
        for hour in hours(datetime(2026, 10, 27, 11, tzinfo=UTC), end):
            assert counted.get(hour, 0) == pytest.approx(
                truth(hour, hour + HOUR), abs=0.5
            ), (entity_id, hour)
        # The day of 25 hours is one
        long_day = datetime(2026, 10, 24, 22, tzinfo=UTC)
        assert days[entity_id][long_day]["end"] - days[entity_id][long_day][
            "start"
        ] == (25 * 3600)
        assert days[entity_id][long_day]["change"] == pytest.approx(
            truth(long_day, long_day + 25 * HOUR), abs=0.5
        )


def _truth(
    world: HomeWorld, key: FieldKey, shift: timedelta, start: datetime, end: datetime
) -> float:
    return world.truth_energy_wh(key.node_id, key.field, start - shift, end - shift)


async def test_five_minutes_have_no_step(
    recorder_mock: Recorder,
    hass: HomeAssistant,
    world: HomeWorld,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> None:
    """The rows of five minutes and the state itself go on as if nothing had happened."""
    entry = await set_up(hass, freezer, user_input)
    await live(hass, freezer, NOW + 32 * MINUTE)
    entity_id = entity_id_of(hass, entry, HomeWorld.SITE, "consumedEnergyDeltaTot_Wh")
    before = (await rows(hass, [entity_id], LONG_AGO, period="5minute"))[entity_id]
    await import_past(hass, freezer, entry, BEFORE_CHANGE)
    after = (await rows(hass, [entity_id], LONG_AGO, period="5minute"))[entity_id]
    assert after.keys() == before.keys()
    by_hour = (await rows(hass, [entity_id], LONG_AGO))[entity_id]
    for moment, row in list(after.items())[1:]:
        assert row["change"] == pytest.approx(before[moment]["change"])
        assert row["state"] == before[moment]["state"]
    # The states of hours lead to those of the entity
    eleven = datetime(2026, 10, 27, 11, tzinfo=UTC)
    energy = world.truth_energy_wh(
        HomeWorld.SITE, "consumedEnergyDeltaTot_Wh", eleven, eleven + HOUR
    )
    assert by_hour[eleven]["state"] == pytest.approx(energy)
    assert by_hour[eleven - HOUR]["state"] == pytest.approx(0, abs=1e-6)
    assert by_hour[eleven]["sum"] == pytest.approx(
        next(row for moment, row in after.items() if moment == eleven + 55 * MINUTE)[
            "sum"
        ]
    )


async def test_power(
    recorder_mock: Recorder,
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> None:
    """Mean, lowest and highest of an hour are those of its rows; directions have theirs."""
    entry = await set_up(hass, freezer, user_input)
    await live(hass, freezer, NOW + 32 * MINUTE)
    start = NOW.replace(minute=0, second=0) - 30 * HOUR
    await import_past(hass, freezer, entry, start)
    unique_id = f"{entry.unique_id}_{HomeWorld.GRID_METER}_submeteringMetrics_{POWER}"
    registry = er.async_get(hass)
    ids = {
        sign: registry.async_get_entity_id("sensor", "eniris", f"{unique_id}{suffix}")
        for sign, suffix in ((0, ""), (1, "_import"), (-1, "_export"))
    }
    found = await rows(hass, [id_ for id_ in ids.values() if id_], LONG_AGO)
    signs = set()
    for hour in hours(start, start + 30 * HOUR):
        values = measured_by_world(simulator, HomeWorld.GRID_METER, POWER, hour)
        for sign, entity_id in ids.items():
            assert entity_id
            numbers = [max(0.0, sign * value) for value in values] if sign else values
            row = found[entity_id].get(hour)
            if not numbers:
                assert row is None
                continue
            assert row
            assert row["mean"] == pytest.approx(math.fsum(numbers) / len(numbers))
            assert row["min"] == pytest.approx(min(numbers))
            assert row["max"] == pytest.approx(max(numbers))
            signs.add((sign, max(numbers) > 0))
    assert signs >= {(1, True), (1, False), (-1, True), (-1, False)}


async def test_again_and_further(
    recorder_mock: Recorder,
    hass: HomeAssistant,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> None:
    """What is imported again is not doubled; what is older is put before it."""
    entry = await set_up(hass, freezer, user_input)
    await live(hass, freezer, NOW + 32 * MINUTE)
    entities = shown(hass, entry, SensorDeviceClass.ENERGY)

    async def counted() -> dict[str, dict[datetime, float]]:
        found = await rows(hass, entities, LONG_AGO)
        return {entity_id: changes(kept) for entity_id, kept in found.items()}

    await import_past(hass, freezer, entry, BEFORE_CHANGE + 2 * DAY)
    once = await counted()
    await import_past(hass, freezer, entry, BEFORE_CHANGE + 2 * DAY)
    twice = await counted()
    assert_same(once, twice)
    # Of the middle alone
    await import_past(
        hass, freezer, entry, BEFORE_CHANGE + 3 * DAY, BEFORE_CHANGE + 3.2 * DAY
    )
    assert_same(once, await counted())
    await import_past(hass, freezer, entry, BEFORE_CHANGE)
    further = await counted()
    newer = {
        entity_id: {
            moment: energy
            for moment, energy in kept.items()
            if moment > BEFORE_CHANGE + 2 * DAY
        }
        for entity_id, kept in further.items()
    }
    first = BEFORE_CHANGE + 2 * DAY
    for kept in once.values():
        # What a meter counts in the first hour of all is told by the hour before it
        kept.pop(first, None)
    assert_same(once, newer)
    assert all(min(kept) == BEFORE_CHANGE for kept in further.values())


def assert_same(
    left: dict[str, dict[datetime, float]], right: dict[str, dict[datetime, float]]
) -> None:
    """Compare what was counted in each hour."""
    assert left.keys() == right.keys()
    for entity_id, kept in left.items():
        assert right[entity_id] == pytest.approx(kept, abs=1e-3), entity_id


async def test_stopped_in_the_middle(
    recorder_mock: Recorder,
    hass: HomeAssistant,
    simulator: Simulator,
    world: HomeWorld,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> None:
    """After a restart it goes on from where it was, and nothing is doubled or missing."""
    entry = await set_up(hass, freezer, user_input)
    await live(hass, freezer, NOW + 32 * MINUTE)
    events = async_capture_events(hass, EVENT_IMPORTED)
    history = entry.runtime_data.history
    await history.async_request(BEFORE_CHANGE)
    for percent in (20, 45, 70):
        while (history.progress.percent or 0) < percent:
            freezer.tick(0.5)
            await hass.async_add_executor_job(time.sleep, 0.01)
        reached = history.progress.fetching
        assert await hass.config_entries.async_unload(entry.entry_id)
        await settle(hass)
        simulator.log.reset()
        assert await hass.config_entries.async_setup(entry.entry_id)
        await settle(hass)
        history = entry.runtime_data.history
        assert history.progress.fetching == reached
    await finished(hass, freezer, events)
    assert not events
    # What was done is not asked for again
    asked = [
        condition["value"]
        for request in simulator.log.find(QUERY)
        # Of long requests, the log keeps the newest alone
        for statement in request.json or ()
        if any(
            item == {"field": POWER, "function": "mean"} for item in statement["select"]
        )
        for condition in statement["where"]["time"]
        if condition["operator"] == "<"
    ]
    assert reached
    assert max(asked) <= reached.timestamp() * 1000
    entities = {
        entity_id: key
        for entity_id, (key, _) in shown(hass, entry, SensorDeviceClass.ENERGY).items()
        if "Delta" in key.field
    }
    found = await rows(hass, entities, LONG_AGO)
    for entity_id, key in entities.items():
        counted = changes(found[entity_id])
        for hour in hours(BEFORE_CHANGE, NOW.replace(minute=0, second=0)):
            expected = world.truth_energy_wh(key.node_id, key.field, hour, hour + HOUR)
            assert counted.get(hour, 0) == pytest.approx(expected, abs=0.5), entity_id


@pytest.fixture
def meter(simulator: Simulator, freezer: FrozenDateTimeFactory) -> Simulator:
    """Return the simulator with a meter that is the only node of its account."""
    freezer.move_to(NOW)
    only_a_meter(simulator, COUNTER, IMPORTED, POWER, NET)
    return simulator


async def test_exchanged_meter(
    recorder_mock: Recorder,
    hass: HomeAssistant,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
    meter: Simulator,
) -> None:
    """A meter that begins anew counts from zero, in whatever hour that happens, gaps or not."""
    midnight = datetime(2026, 10, 26, tzinfo=UTC)
    readings: list[tuple[timedelta, float]] = [
        (timedelta(minutes=-90), 900_000),
        (timedelta(minutes=-10), 900_100),
        # At midnight, which is where one day of the import meets the other
        (timedelta(minutes=5), 7),
        (timedelta(minutes=50), 20),
        (timedelta(minutes=70), 35),
        # Within an hour, after a gap
        (timedelta(hours=6, minutes=10), 100),
        (timedelta(hours=6, minutes=20), 130),
        (timedelta(hours=6, minutes=30), 4),
        (timedelta(hours=6, minutes=40), 10),
        (timedelta(hours=12), 30),
    ]
    for after, reading in readings:
        measure(meter, midnight + after, **{COUNTER: float(reading)})
    measure(meter, NOW - MINUTE, **{COUNTER: 50.0})
    entry = await set_up(hass, freezer, user_input)
    await live_with(hass, freezer, meter, NOW + 32 * MINUTE, **{COUNTER: 50.0})
    await import_past(hass, freezer, entry, midnight - 2 * HOUR)
    entity_id = entity_id_of(hass, entry, METER, COUNTER)
    found = (await rows(hass, [entity_id], LONG_AGO))[entity_id]
    assert changes(found) == pytest.approx(
        {
            midnight - 2 * HOUR: 0,
            midnight - HOUR: 100,
            midnight: 20,
            midnight + HOUR: 15,
            midnight + 6 * HOUR: 65 + 30 + 4 + 6,
            midnight + 12 * HOUR: 20,
            NOW.replace(minute=0, second=0): 20,
        },
        abs=1e-3,
    )


async def test_meter_that_runs_back(
    recorder_mock: Recorder,
    hass: HomeAssistant,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
    meter: Simulator,
) -> None:
    """Energy that is neither a counter nor of an interval is the difference of what is shown."""
    midnight = datetime(2026, 10, 27, tzinfo=UTC)
    readings: list[tuple[int, float]] = [
        (-100, 50),
        (-10, 40),
        (10, 41),
        (20, 4),
        (50, 3),
        (200, -7),
        (300, -6),
    ]
    for minutes, reading in readings:
        measure(meter, midnight + minutes * MINUTE, **{NET: float(reading)})
    measure(meter, NOW - MINUTE, **{NET: -5.0})
    entry = await set_up(hass, freezer, user_input)
    await live_with(hass, freezer, meter, NOW + 32 * MINUTE, **{NET: -5.0})
    await import_past(hass, freezer, entry, midnight - 2 * HOUR)
    entity_id = entity_id_of(hass, entry, METER, NET)
    found = (await rows(hass, [entity_id], LONG_AGO))[entity_id]
    assert changes(found) == pytest.approx(
        {
            midnight - 2 * HOUR: 0,
            midnight - HOUR: -10_000,
            midnight: -37_000,
            midnight + 3 * HOUR: -10_000,
            midnight + 5 * HOUR: 1_000,
            NOW.replace(minute=0, second=0): 1_000,
        },
        abs=1e-3,
    )


async def test_late_rows_are_not_doubled(
    recorder_mock: Recorder,
    hass: HomeAssistant,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
    meter: Simulator,
) -> None:
    """A row that comes late counts once: with the import, or with the live sum."""
    entry_hour = NOW.replace(minute=0, second=0)
    measure(meter, entry_hour - 3 * HOUR, **{IMPORTED: 100.0})
    measure(meter, NOW - MINUTE, **{IMPORTED: 10.0})
    entry = await set_up(hass, freezer, user_input)
    await live_with(hass, freezer, meter, NOW + 32 * MINUTE, **{IMPORTED: 0.0})
    # Before the import, in an hour that is not counted live, and in one that is
    measure(meter, entry_hour - 3 * HOUR + MINUTE, **{IMPORTED: 20.0})
    measure(meter, entry_hour + 20 * MINUTE, **{IMPORTED: 3.0})
    await import_past(hass, freezer, entry, entry_hour - 5 * HOUR)
    # After it
    measure(meter, entry_hour + 21 * MINUTE, **{IMPORTED: 4.0})
    await live_with(hass, freezer, meter, NOW + 142 * MINUTE, **{IMPORTED: 0.0})
    entity_id = entity_id_of(hass, entry, METER, IMPORTED)
    counted = changes((await rows(hass, [entity_id], LONG_AGO))[entity_id])
    assert counted[entry_hour - 3 * HOUR] == pytest.approx(120)
    assert sum(counted.values()) == pytest.approx(100 + 20 + 10 + 3 + 4)


async def test_entity_that_begins_while_it_is_imported(
    recorder_mock: Recorder,
    hass: HomeAssistant,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
    meter: Simulator,
) -> None:
    """A sum that Home Assistant has no row of yet is waited for, and then joined to."""
    hour = NOW.replace(minute=0, second=0)
    measure(meter, hour - 3 * HOUR, **{IMPORTED: 100.0})
    measure(meter, NOW - MINUTE, **{IMPORTED: 10.0})
    entry = await set_up(hass, freezer, user_input)
    events = async_capture_events(hass, EVENT_IMPORTED)
    await entry.runtime_data.history.async_request(hour - 5 * HOUR)
    await advance(hass, freezer)
    assert not events
    await live_with(hass, freezer, meter, NOW + 9 * MINUTE, **{IMPORTED: 0.0})
    await finished(hass, freezer, events)
    await live_with(hass, freezer, meter, NOW + 25 * MINUTE, **{IMPORTED: 0.0})
    entity_id = entity_id_of(hass, entry, METER, IMPORTED)
    counted = changes((await rows(hass, [entity_id], LONG_AGO))[entity_id])
    assert counted == pytest.approx({hour - 3 * HOUR: 100, hour: 10}, abs=1e-3)


async def test_entity_that_never_begins(
    recorder_mock: Recorder,
    hass: HomeAssistant,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
    meter: Simulator,
) -> None:
    """Without a row of its own a sum is left alone; the past of power is there all the same."""
    hour = NOW.replace(minute=0, second=0)
    measure(meter, hour - 3 * HOUR, **{IMPORTED: 100.0, POWER: 5.0})
    measure(meter, NOW - MINUTE, **{IMPORTED: 10.0, POWER: 5.0})
    entry = await set_up(hass, freezer, user_input)
    event = await import_past(hass, freezer, entry, hour - 5 * HOUR)
    assert event.data["entities"] == len(shown(hass, entry, SensorDeviceClass.POWER))
    sum_id = entity_id_of(hass, entry, METER, IMPORTED)
    power_id = entity_id_of(hass, entry, METER, POWER)
    found = await rows(hass, [sum_id, power_id], LONG_AGO)
    assert found.keys() == {power_id}
    assert event.data["reasons"] == {sum_id: "no_statistics"}
    # It is told under the id that it has by then
    er.async_get(hass).async_update_entity(sum_id, new_entity_id="sensor.renamed")
    assert entry.runtime_data.history.progress.left_out == {
        "sensor.renamed": "no_statistics"
    }


async def test_negative_and_missing(
    recorder_mock: Recorder,
    hass: HomeAssistant,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
    meter: Simulator,
) -> None:
    """Negative energy is counted as such, and an hour without a value has no row."""
    start = NOW.replace(minute=0, second=0) - 40 * HOUR
    for hour, energy in ((0, 5.0), (1, -3.0), (4, 0.0), (30, 2.5)):
        measure(
            meter, start + hour * HOUR + MINUTE, **{IMPORTED: energy, POWER: energy}
        )
    measure(meter, NOW - MINUTE, **{IMPORTED: 1.0, POWER: 1.0})
    entry = await set_up(hass, freezer, user_input)
    await live_with(hass, freezer, meter, NOW + 32 * MINUTE, **{IMPORTED: 0.0})
    await import_past(hass, freezer, entry, start - DAY)
    entity_id = entity_id_of(hass, entry, METER, IMPORTED)
    power_id = entity_id_of(hass, entry, METER, POWER)
    found = await rows(hass, [entity_id, power_id], LONG_AGO)
    assert changes(found[entity_id]) == pytest.approx(
        {
            start: 5,
            start + HOUR: -3,
            start + 4 * HOUR: 0,
            start + 30 * HOUR: 2.5,
            start + 40 * HOUR: 1,
        },
        abs=1e-3,
    )
    assert start + HOUR in found[power_id]
    assert start + 2 * HOUR not in found[power_id]
