"""The past of an account in Home Assistant's statistics, compared with the simulator's truth."""

from datetime import UTC, datetime, timedelta
import time
from typing import Any

from freezegun.api import FrozenDateTimeFactory
import pytest
from pytest_homeassistant_custom_component.common import async_capture_events

from custom_components.eniris.data import EnirisConfigEntry
from custom_components.eniris.importing.history import EVENT_IMPORTED
from custom_components.eniris.importing.plan import FieldKey
from homeassistant.components.recorder.core import Recorder
from homeassistant.core import Event, HomeAssistant
from homeassistant.helpers import entity_registry as er
from homeassistant.helpers.entity import Entity
from simulator.server import Simulator
from simulator.world import HomeWorld

from .common import set_up_frozen
from .recorded import live, rows

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)

# In Brussels, clocks were put back in the night to the 25th
NOW = datetime(2026, 10, 27, 11, 42, 30, tzinfo=UTC)


@pytest.fixture(autouse=True)
def energy_enabled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Enable the sums beside counters as well, and of power what is enabled anyway."""

    def is_enabled(entity: Entity) -> bool:
        description = getattr(entity, "description", None)
        return description is None or (description.device_class in ("energy", "power"))

    monkeypatch.setattr(Entity, "entity_registry_enabled_default", property(is_enabled))


async def set_up(
    hass: HomeAssistant, freezer: FrozenDateTimeFactory, user_input: dict[str, Any]
) -> EnirisConfigEntry:
    await hass.config.async_set_time_zone("Europe/Brussels")
    return await set_up_frozen(hass, freezer, user_input, NOW.isoformat())


async def finished(
    hass: HomeAssistant, freezer: FrozenDateTimeFactory, events: list[Event]
) -> Event:
    """Let time pass, a second after the other, until an import has ended."""
    for _ in range(3000):
        if events:
            return events.pop()
        freezer.tick(0.5)
        # Answers and the recorder come at their own pace
        await hass.async_add_executor_job(time.sleep, 0.01)
    raise AssertionError("the import did not end")


def sums(hass: HomeAssistant, entry: EnirisConfigEntry) -> dict[str, FieldKey]:
    """Return the entities that count energy, with what they show."""
    registry = er.async_get(hass)
    found = {}
    for unique_id, subject in entry.runtime_data.history.subjects().items():
        entity_id = registry.async_get_entity_id("sensor", "eniris", unique_id)
        if entity_id and subject.description.device_class == "energy":
            found[entity_id] = subject.key
    return found


async def test_energy_is_true_to_the_wh(
    recorder_mock: Recorder,
    hass: HomeAssistant,
    simulator: Simulator,
    world: HomeWorld,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> None:
    entry = await set_up(hass, freezer, user_input)
    events = async_capture_events(hass, EVENT_IMPORTED)
    await live(hass, freezer, NOW + timedelta(minutes=32))
    start = datetime(2026, 10, 23, 22, tzinfo=UTC)
    await entry.runtime_data.history.async_request(start)
    event = await finished(hass, freezer, events)
    print(event.data)
    await live(hass, freezer, NOW + timedelta(minutes=82))
    shown = sums(hass, entry)
    found = await rows(hass, shown, start - 10 * DAY)
    bad = 0
    for entity_id, key in shown.items():
        field = key.field.replace("AbsEnergy", "EnergyDelta")
        hour = start
        kept = found.get(entity_id, {})
        print(entity_id, len(kept), list(kept.items())[:1], list(kept.items())[-3:])
        while hour < datetime(2026, 10, 27, 13, tzinfo=UTC):
            truth = world.truth_energy_wh(key.node_id, field, hour, hour + HOUR)
            change = kept[hour]["change"] if hour in kept else None
            if (change is None and truth > 0.5) or (
                change is not None and abs(change - truth) > 0.5
            ):
                bad += 1
                if bad < 40:
                    print("BAD", entity_id, hour, change, truth)
            hour += HOUR
    assert not bad
