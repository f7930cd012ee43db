"""What the tests of the imported past share: an account with one meter, and time that passes."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
import time
from typing import Any

from freezegun.api import FrozenDateTimeFactory
from pytest_homeassistant_custom_component.common import async_capture_events

from custom_components.eniris.data import EnirisConfigEntry
from custom_components.eniris.importing.history import EVENT_IMPORTED
from homeassistant.components.recorder.statistics import StatisticsRow
from homeassistant.core import Event, HomeAssistant, State
from homeassistant.helpers import entity_registry as er
from homeassistant.util import dt as dt_util
from simulator.model import FieldValue
from simulator.request_log import LoggedRequest
from simulator.server import Simulator
from simulator.store import IncomingPoint
from simulator.timestamps import datetime_to_ns

from .common import settle
from .meter import METER_SERIES, add_meter
from .recorded import live, rows

QUERY = "POST /v1/telemetry/query"
QUERY_PATH = "/v1/telemetry/query"
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)

NOW = datetime(2026, 7, 15, 11, 42, 30, tzinfo=UTC)
THIS_HOUR = NOW.replace(minute=0, second=0)
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
EVER = datetime(2000, 1, 1, tzinfo=UTC)

POWER = "actualPowerTot_W"
IMPORTED = "importedEnergyDeltaTot_Wh"
COUNTER = "importedAbsEnergyTot_Wh"


def only_a_meter(simulator: Simulator, *fields: str) -> None:
    """Let the account have one node, a meter that has measured nothing yet."""
    for device in simulator.world.devices(dt_util.utcnow()):
        simulator.devices.hide(device["id"])
    add_meter(simulator, *fields)


def measure(simulator: Simulator, moment: datetime, **fields: FieldValue) -> None:
    """Let the meter have measured something."""
    simulator.store.write([IncomingPoint(METER_SERIES, datetime_to_ns(moment), fields)])


def measure_hourly(
    simulator: Simulator, start: datetime, end: datetime, **fields: FieldValue
) -> None:
    """Let the meter have measured the same in the middle of every hour, and right now."""
    while start < end:
        measure(simulator, start + 30 * MINUTE, **fields)
        start += HOUR
    measure(simulator, dt_util.utcnow() - timedelta(seconds=1), **fields)


async def pass_time(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    until: Callable[[], object],
    step: float = 2,
    steps: int = 3000,
) -> None:
    """Let time pass, a step of so many seconds after the other, until something is true."""
    for _ in range(steps):
        if until():
            return
        freezer.tick(step)
        # Answers and the recorder come at their own pace
        await hass.async_add_executor_job(time.sleep, 0.01)
    raise AssertionError("it did not happen")


async def live_with(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    simulator: Simulator,
    until: datetime,
    **fields: FieldValue,
) -> None:
    """Let time pass with a meter that shows the same all the time."""
    while dt_util.utcnow() < until:
        measure(simulator, dt_util.utcnow(), **fields)
        await live(hass, freezer, min(until, dt_util.utcnow() + MINUTE))


async def finished(
    hass: HomeAssistant, freezer: FrozenDateTimeFactory, events: list[Event]
) -> Event:
    """Let time pass until an import has ended."""
    await pass_time(hass, freezer, lambda: events, steps=6000)
    return events.pop(0)


async def import_past(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    entry: EnirisConfigEntry,
    start: datetime,
    end: datetime | None = None,
) -> Event:
    """Import the past of everything, and wait for its end."""
    events = async_capture_events(hass, EVENT_IMPORTED)
    await entry.runtime_data.history.async_request(start, end)
    event = await finished(hass, freezer, events)
    await settle(hass)
    return event


async def kept(hass: HomeAssistant, entity_id: str) -> dict[datetime, StatisticsRow]:
    """Return the rows by the hour of an entity, energies in Wh."""
    return (await rows(hass, [entity_id], EVER)).get(entity_id, {})


def changes(found: Mapping[datetime, StatisticsRow]) -> dict[datetime, float]:
    """Return what was counted in each hour, in Wh."""
    return {moment: row["change"] or 0.0 for moment, row in found.items()}


def measured_by_world(
    simulator: Simulator, node_id: str, field: str, hour: datetime
) -> list[float]:
    """Return the values of a field, by the minute, that the simulator's home has of an hour."""
    [series] = [
        key
        for key in simulator.world.series()
        if key.retention_policy == "rp_one_m"
        and dict(key.tags).get("nodeId") == node_id
        and field in simulator.world.fields(key)
    ]
    return [
        float(row.fields[field])
        for row in simulator.world.rows(
            series,
            frozenset({field}),
            round(hour.timestamp() * 1000),
            round((hour + HOUR).timestamp() * 1000),
        )
    ]


def asked_of_the_past(simulator: Simulator) -> list[LoggedRequest]:
    """Return the requests of imports: those that ask for no rows of the present."""
    return [
        request
        for request in simulator.log.find(QUERY)
        if request.json
        and all(
            "limit" not in statement
            and any(item["operator"] == "<" for item in statement["where"]["time"])
            for statement in request.json
        )
    ]


def account_state(hass: HomeAssistant, entry: EnirisConfigEntry, key: str) -> State:
    """Return the state of one of the account's own sensors."""
    entity_id = er.async_get(hass).async_get_entity_id(
        "sensor", "eniris", f"{entry.unique_id}_{key}"
    )
    assert entity_id
    state = hass.states.get(entity_id)
    assert state
    return state


def was_imported(hass: HomeAssistant, entry: EnirisConfigEntry) -> bool:
    """Tell whether an import of the past is or was shown."""
    unique_id = f"{entry.unique_id}_history_progress"
    return bool(er.async_get(hass).async_get_entity_id("sensor", "eniris", unique_id))


async def import_since(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    entry: EnirisConfigEntry,
    start: datetime,
) -> Mapping[str, Any]:
    """Import the past of everything since `start`, and return what the event says."""
    return (await import_past(hass, freezer, entry, start)).data


async def counted_by(hass: HomeAssistant, entity_id: str) -> dict[datetime, float]:
    """Return what an entity counted in each hour."""
    return changes(await kept(hass, entity_id))
