"""The sampler: from a state to a point at the service, whatever happens to the entity."""

import time
from typing import Any

import pytest

from custom_components.eniris.const import (
    CONF_AGGREGATE,
    CONF_HEARTBEAT,
    CONF_INTERVAL,
    CONF_MODE,
    CONF_SHORTEST,
)
from custom_components.eniris.exporting import sampler as sampler_module
from custom_components.eniris.exporting.exporter import Exporter
from homeassistant.core import HomeAssistant
from homeassistant.helpers import entity_registry as er

from .conftest import (
    AddAccount,
    Clock,
    Received,
    attribute_row,
    export_data,
    export_id,
    issue_ids,
)

A_FIELD = {"sensor.a": "actualPowerTot_W"}
EVERY_MINUTE = {CONF_MODE: "interval", CONF_INTERVAL: 60}


@pytest.fixture
def registry(hass: HomeAssistant) -> er.EntityRegistry:
    """Return the entity registry."""
    return er.async_get(hass)


def register(registry: er.EntityRegistry) -> er.RegistryEntry:
    """Register `sensor.a`."""
    return registry.async_get_or_create(
        "sensor", "test", "unique-a", suggested_object_id="a"
    )


async def test_changes(
    hass: HomeAssistant, clock: Clock, add_account: AddAccount, received: Received
) -> None:
    """Value, unit, type and time are right, and so is the series."""
    unit = {"unit_of_measurement": "kW"}
    hass.states.async_set("sensor.a", "1.5", unit)
    hass.states.async_set("binary_sensor.b", "on")
    hass.states.async_set("sensor.c", "idle")
    await add_account(
        export_data(
            {**A_FIELD, "binary_sensor.b": "signalActive", "sensor.c": "status"}
        )
    )
    await clock.advance(2.25, step=0.75)
    hass.states.async_set("sensor.a", "-2", unit)
    hass.states.async_set("binary_sensor.b", "off")
    await clock.advance(3)
    hass.states.async_set("sensor.a", "3000", {"unit_of_measurement": "W"})
    hass.states.async_set("sensor.c", "charging")
    await clock.advance(6)
    assert received.values() == [(0, 1500.0), (2.25, -2000.0), (5.25, 3000.0)]
    assert received.values("signalActive") == [(0, True), (2.25, False)]
    assert received.values("status") == [(0, "idle"), (5.25, "charging")]
    (first, *_) = points = received.points()
    assert (first.database, first.retention_policy) == ("demo", "rp_one_s")
    assert (first.measurement, first.tags) == ("gridMetrics", {"serialNr": "abc"})
    assert first.types == {
        "actualPowerTot_W": "float",
        "signalActive": "boolean",
        "status": "string",
    }
    # Fields of one time are one point
    assert len(points) == 3


async def test_what_makes_no_sample(
    hass: HomeAssistant, clock: Clock, add_account: AddAccount, received: Received
) -> None:
    """Neither the unknown, nor words for a number, nor other attributes."""
    await add_account(export_data(A_FIELD))
    for text, attributes in (
        ("unknown", {}),
        ("5", {}),
        ("5", {"note": "x"}),
        ("5", {"note": "y"}),
        ("unavailable", {}),
        ("nan", {}),
        ("high", {}),
        ("5", {"unit_of_measurement": "V"}),
        ("6", {}),
    ):
        hass.states.async_set("sensor.a", text, attributes)
        await clock.advance(1)
    hass.states.async_set("sensor.a", "6", force_update=True)
    await clock.advance(6)
    assert received.values() == [(1, 5.0), (8, 6.0)]


async def test_change_of_the_unit_alone(
    hass: HomeAssistant, clock: Clock, add_account: AddAccount, received: Received
) -> None:
    """The same number in another unit is another value."""
    await add_account(export_data(A_FIELD))
    for unit in ("W", "kW"):
        hass.states.async_set("sensor.a", "5", {"unit_of_measurement": unit})
        await clock.advance(1)
    await clock.advance(6)
    assert received.values() == [(0, 5.0), (1, 5000.0)]


async def test_attribute(
    hass: HomeAssistant, clock: Clock, add_account: AddAccount, received: Received
) -> None:
    """An attribute is followed by itself: the state's changes are none of it."""
    rows = [attribute_row("climate.room", "power", "actualPowerTot_W")]
    await add_account(export_data(rows))
    for state, power in (
        ("heat", 100),
        ("off", 100),
        ("off", 0),
        ("unavailable", 0),
        ("off", 0),
        ("off", None),
        ("off", "50.5"),
    ):
        hass.states.async_set("climate.room", state, {"power": power})
        await clock.advance(1)
    await clock.advance(6)
    assert received.values() == [(0, 100.0), (2, 0.0), (4, 0.0), (6, 50.5)]


async def test_unavailable_interrupts_an_attribute(
    hass: HomeAssistant, clock: Clock, add_account: AddAccount, received: Received
) -> None:
    """An entity that is unavailable may keep its attributes; they do not hold any more."""
    rows = [attribute_row("climate.room", "power", "actualPowerTot_W")]
    await add_account(export_data(rows, **EVERY_MINUTE, **{CONF_AGGREGATE: "mean"}))
    hass.states.async_set("climate.room", "heat", {"power": 100})
    await clock.advance(30)
    hass.states.async_set("climate.room", "unavailable", {"power": 100})
    await clock.advance(45)
    hass.states.async_set("climate.room", "heat", {"power": 10})
    await clock.advance(60)
    assert received.values() == [(0, 100.0), (60, 10.0)]


@pytest.mark.parametrize(
    ("aggregate", "expected"),
    [
        ("last", [(60, 40.0), (120, 40.0)]),
        ("mean", [(0, (10 * 15 + 40 * 30) / 45), (60, 40.0)]),
        ("min", [(0, 10.0), (60, 40.0)]),
        ("max", [(0, 40.0), (60, 40.0)]),
    ],
)
async def test_intervals(
    hass: HomeAssistant,
    clock: Clock,
    add_account: AddAccount,
    received: Received,
    aggregate: str,
    expected: list[Any],
) -> None:
    """One sample a minute, with the time that was unknown left out."""
    await add_account(
        export_data(A_FIELD, **EVERY_MINUTE, **{CONF_AGGREGATE: aggregate})
    )
    hass.states.async_set("sensor.a", "10")
    await clock.advance(15, step=5)
    hass.states.async_set("sensor.a", "unavailable")
    await clock.advance(15, step=5)
    hass.states.async_set("sensor.a", "40")
    await clock.advance(96, step=3)
    assert received.values() == expected


async def test_renamed_entity(
    hass: HomeAssistant,
    clock: Clock,
    registry: er.EntityRegistry,
    add_account: AddAccount,
    received: Received,
) -> None:
    """A new name changes nothing: the series goes on, and nothing is told."""
    registered = register(registry)
    hass.states.async_set("sensor.a", "1")
    await add_account(export_data({registered.id: "actualPowerTot_W"}))
    await clock.advance(1)
    registry.async_update_entity("sensor.a", new_entity_id="sensor.b")
    hass.states.async_remove("sensor.a")
    await clock.advance(1)
    hass.states.async_set("sensor.b", "2")
    await clock.advance(1)
    hass.states.async_set("sensor.a", "99")
    await clock.advance(6)
    assert received.values() == [(0, 1.0), (2, 2.0)]
    assert issue_ids(hass) == set()


@pytest.mark.parametrize("when", [{}, EVERY_MINUTE, {CONF_HEARTBEAT: 30}])
async def test_deleted_entity(
    hass: HomeAssistant,
    clock: Clock,
    registry: er.EntityRegistry,
    add_account: AddAccount,
    received: Received,
    when: dict[str, Any],
) -> None:
    """It is told, its last value is not repeated for ever, and all is well when it comes back."""
    registered = register(registry)
    hass.states.async_set("sensor.a", "1")
    await add_account(export_data({registered.id: "actualPowerTot_W"}, **when))
    await clock.advance(66, step=3)
    before = received.values()
    assert before[-1][1] == 1.0
    registry.async_remove("sensor.a")
    hass.states.async_remove("sensor.a")
    await clock.advance(66, step=3)
    assert issue_ids(hass) == {"entity_gone"}
    await clock.advance(66, step=3)
    assert received.values() == before
    # The registry gives the same unique id the same registry id again
    assert register(registry).id == registered.id
    await clock.advance(1)
    assert issue_ids(hass) == set()
    hass.states.async_set("sensor.a", "2")
    await clock.advance(66, step=3)
    assert received.values()[len(before)][1] == 2.0


async def test_deleted_while_unloaded(
    hass: HomeAssistant,
    clock: Clock,
    registry: er.EntityRegistry,
    add_account: AddAccount,
    received: Received,
) -> None:
    """It is told at the start, and the other fields of the export go on."""
    registered = register(registry)
    registry.async_remove("sensor.a")
    hass.states.async_set("sensor.b", "1")
    await add_account(export_data({registered.id: "a_W", "sensor.b": "b_W"}))
    await clock.advance(6)
    assert issue_ids(hass) == {"entity_gone"}
    assert received.values("b_W") == [(0, 1.0)]


async def test_late_entity(
    hass: HomeAssistant,
    clock: Clock,
    registry: er.EntityRegistry,
    add_account: AddAccount,
    received: Received,
) -> None:
    """One whose integration is slow, or that has no registry entry at all, is picked up."""
    registered = register(registry)
    await add_account(export_data({registered.id: "a_W", "sensor.b": "b_W"}))
    await clock.advance(10)
    assert issue_ids(hass) == set()
    hass.states.async_set("sensor.a", "1")
    await clock.advance(10)
    hass.states.async_set("sensor.b", "2")
    await clock.advance(6)
    assert received.values("a_W") == [(10, 1.0)]
    assert received.values("b_W") == [(20, 2.0)]


@pytest.mark.parametrize("when", [{}, {CONF_MODE: "interval", CONF_INTERVAL: 1}])
async def test_disabled(
    hass: HomeAssistant,
    clock: Clock,
    add_account: AddAccount,
    received: Received,
    when: dict[str, Any],
) -> None:
    """While it is off an export collects nothing; on again it begins with what holds then."""
    hass.states.async_set("sensor.a", "1")
    entry = await add_account(
        export_data(A_FIELD, **when), export_data({"sensor.a": "b_W"})
    )
    exporter: Exporter = entry.runtime_data.exporter
    id_ = export_id(entry)
    await clock.advance(3)
    exporter.sampler.async_enable(id_, False)
    hass.states.async_set("sensor.a", "2")
    await clock.advance(10)
    before = received.values()
    assert {value for _, value in before} == {1.0}
    hass.states.async_set("sensor.a", "3")
    await clock.advance(10)
    assert received.values() == before
    exporter.sampler.async_enable(id_, True)
    await clock.advance(6)
    since = received.values()[len(before) :]
    assert {value for _, value in since} == {3.0}
    assert since[0][0] == (23 if not when else 24)
    assert [value for _, value in received.values("b_W")] == [1.0, 2.0, 3.0]


async def test_switched_between_two_changes(
    hass: HomeAssistant, clock: Clock, add_account: AddAccount, received: Received
) -> None:
    """What was before the switch counts and what was after it does not, however quickly they follow."""
    entry = await add_account(export_data(A_FIELD))
    exporter: Exporter = entry.runtime_data.exporter
    hass.states.async_set("sensor.a", "1")
    await hass.async_block_till_done()
    clock.freezer.tick(0.001)
    exporter.sampler.async_enable(export_id(entry), False)
    hass.states.async_set("sensor.a", "2")
    await hass.async_block_till_done()
    await clock.advance(6)
    assert received.values() == [(0, 1.0)]


@pytest.mark.expected_log("A value could not be taken")
async def test_one_that_cannot_be_taken(
    hass: HomeAssistant, clock: Clock, add_account: AddAccount, received: Received
) -> None:
    """It takes no other with it."""

    class Odd(float):
        def __float__(self) -> float:
            raise RuntimeError("no number after all")

    rows = [
        attribute_row("sensor.a", "level", "a_W"),
        attribute_row("sensor.b", "level", "b_W"),
    ]
    await add_account(export_data(rows))
    for number in range(2):
        hass.states.async_set("sensor.a", "on", {"level": Odd(number)})
        hass.states.async_set("sensor.b", "on", {"level": number})
        await hass.async_block_till_done()
        clock.freezer.tick(1)
    await clock.advance(6)
    assert received.values("b_W") == [(0, 0.0), (1, 1.0)]


async def test_reload_catches_up(
    hass: HomeAssistant, clock: Clock, add_account: AddAccount, received: Received
) -> None:
    """A change while nobody listened is sampled with its own time."""
    hass.states.async_set("sensor.a", "1")
    entry = await add_account(export_data(A_FIELD))
    await clock.advance(6)
    assert await hass.config_entries.async_unload(entry.entry_id)
    clock.freezer.tick(1)
    hass.states.async_set("sensor.a", "2")
    await clock.settle()
    clock.freezer.tick(100)
    assert await hass.config_entries.async_setup(entry.entry_id)
    await clock.settle()
    await clock.advance(6)
    assert received.values() == [(0, 1.0), (7, 2.0)]


@pytest.mark.parametrize("aggregate", ["last", "mean", "min", "max"])
async def test_reload_changes_no_interval(
    hass: HomeAssistant,
    clock: Clock,
    add_account: AddAccount,
    received: Received,
    aggregate: str,
) -> None:
    """What a reload sends again is what was sent before."""
    hass.states.async_set("sensor.a", "10")
    entry = await add_account(
        export_data(A_FIELD, **EVERY_MINUTE, **{CONF_AGGREGATE: aggregate})
    )
    await clock.advance(30, step=3)
    hass.states.async_set("sensor.a", "40")
    await clock.advance(96, step=3)
    before = received.values()
    assert len(before) == 2
    assert await hass.config_entries.async_reload(entry.entry_id)
    await clock.settle()
    await clock.advance(60, step=3)
    assert received.values()[:2] == before
    assert received.values()[2:] == [(180 if aggregate == "last" else 120, 40.0)]


async def test_no_interval_of_before(
    hass: HomeAssistant, clock: Clock, add_account: AddAccount, received: Received
) -> None:
    """There is no interval of a time in which there was no export, or in which it was paused, whatever is reloaded."""
    hass.states.async_set("sensor.a", "10")
    await clock.advance(300, step=30)
    entry = await add_account(export_data(A_FIELD, **EVERY_MINUTE))
    await clock.advance(60, step=3)
    assert [time for time, _ in received.values()] == [360]
    [export_id] = entry.subentries
    entry.runtime_data.exporter.sampler.async_enable(export_id, enabled=False)
    await clock.advance(120, step=3)
    entry.runtime_data.exporter.sampler.async_enable(export_id, enabled=True)
    await clock.advance(3)
    assert await hass.config_entries.async_reload(entry.entry_id)
    await clock.settle()
    await clock.advance(60, step=3)
    assert [time for time, _ in received.values()] == [360, 540]


async def test_events_of_others_cost_nothing(
    hass: HomeAssistant,
    clock: Clock,
    add_account: AddAccount,
    received: Received,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing of the export is called for entities that no export follows."""
    calls: list[str] = []
    changed = sampler_module.Sampler._async_state_changed

    def count(self: sampler_module.Sampler, event: Any) -> None:
        calls.append(event.data["entity_id"])
        changed(self, event)

    monkeypatch.setattr(sampler_module.Sampler, "_async_state_changed", count)
    await add_account(export_data(A_FIELD))
    for number in range(100):
        hass.states.async_set(f"sensor.other{number}", str(number))
    hass.states.async_set("sensor.a", "1")
    await clock.advance(6)
    assert calls == ["sensor.a"]
    assert received.values() == [(0, 1.0)]


async def test_registry_changes_of_others(
    hass: HomeAssistant,
    clock: Clock,
    registry: er.EntityRegistry,
    add_account: AddAccount,
    received: Received,
) -> None:
    """They neither end nor repeat anything."""
    hass.states.async_set("sensor.a", "1")
    await add_account(export_data(A_FIELD))
    await clock.advance(6)
    registry.async_get_or_create("sensor", "test", "x", suggested_object_id="x")
    registry.async_update_entity("sensor.x", new_entity_id="sensor.y")
    registry.async_remove("sensor.y")
    await clock.advance(6)
    hass.states.async_set("sensor.a", "2")
    await clock.advance(6)
    assert received.values() == [(0, 1.0), (12, 2.0)]
    assert sum(point.writes for point in received.points()) == 2


async def test_clock_set_back(
    hass: HomeAssistant, clock: Clock, add_account: AddAccount, received: Received
) -> None:
    """Samples go on at once, with the times that the clock shows."""
    entry = await add_account(
        export_data(A_FIELD, **{CONF_SHORTEST: 5}),
        export_data({"sensor.a": "b_W"}, **{CONF_MODE: "interval", CONF_INTERVAL: 10}),
    )
    exporter: Exporter = entry.runtime_data.exporter
    hass.states.async_set("sensor.a", "1")
    await clock.advance(12)
    clock.freezer.tick(-600)
    hass.states.async_set("sensor.a", "2")
    for _ in range(12):
        clock.freezer.tick(1)
        # Home Assistant's timers go by a clock that is never set back
        await exporter.async_upload_now()
    assert received.values() == [(-588, 2.0), (0, 1.0)]
    assert received.values("b_W") == [(-580, 2.0), (10, 1.0)]


@pytest.mark.parametrize("is_changing", [True, False])
async def test_clock_set_forward(
    hass: HomeAssistant,
    clock: Clock,
    add_account: AddAccount,
    received: Received,
    monkeypatch: pytest.MonkeyPatch,
    is_changing: bool,
) -> None:
    """A machine that slept for minutes, or whose clock was set, has no values for them."""
    jumps = 0.0
    monkeypatch.setattr(sampler_module, "monotonic", lambda: time.time() - jumps)
    entry = await add_account(
        export_data(A_FIELD, **{CONF_MODE: "interval", CONF_INTERVAL: 10})
    )
    exporter: Exporter = entry.runtime_data.exporter
    hass.states.async_set("sensor.a", "1")
    await clock.advance(12)
    jumps = 600.0
    clock.freezer.tick(jumps)
    if is_changing:
        hass.states.async_set("sensor.a", "2")
    for _ in range(12):
        clock.freezer.tick(1)
        await exporter.async_upload_now()
    assert received.values() == [(10, 1.0), (620, 2.0 if is_changing else 1.0)]


async def test_state_of_the_past_is_no_clock_that_was_set(
    hass: HomeAssistant, clock: Clock, add_account: AddAccount, received: Received
) -> None:
    """An integration that gives a state an earlier time costs the intervals of others nothing."""
    await add_account(
        export_data(
            {"sensor.a": "a_W", "sensor.b": "b_W"},
            **EVERY_MINUTE,
            **{CONF_AGGREGATE: "mean"},
        )
    )
    hass.states.async_set("sensor.b", "10")
    await clock.advance(30, step=5)
    hass.states.async_set("sensor.b", "40")
    await clock.advance(15, step=5)
    hass.states.async_set("sensor.a", "1", timestamp=time.time() - 10)
    await clock.advance(30, step=5)
    assert received.values("b_W") == [(0, 25.0)]
