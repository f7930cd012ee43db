"""The action that imports the past of chosen entities and devices, and the sensor that tells how far it is."""

from datetime import UTC, datetime
import math
from typing import Any

from freezegun.api import FrozenDateTimeFactory
import pytest
from pytest_homeassistant_custom_component.common import async_capture_events

from custom_components.eniris.const import DOMAIN
from custom_components.eniris.data import EnirisConfigEntry
from custom_components.eniris.importing.history.importer import EVENT_IMPORTED
from custom_components.eniris.services import SERVICE_IMPORT_HISTORY
from homeassistant.components.recorder.core import Recorder
from homeassistant.const import CONF_USERNAME
from homeassistant.core import HomeAssistant
from homeassistant.exceptions import ServiceValidationError
from homeassistant.helpers import entity_registry as er
from homeassistant.helpers.translation import async_get_exception_message
from simulator.server import Simulator
from simulator.world import HomeWorld
from tests.kit.common import device_of, entity_id_of, set_up_frozen, settle
from tests.kit.history import (
    DAY,
    HOUR,
    IMPORTED,
    LONG_AGO,
    MINUTE,
    NOW,
    POWER,
    THIS_HOUR,
    account_state,
    asked_of_the_past,
    finished,
    measure,
    measure_hourly,
    measured_by_world,
    only_a_meter,
    pass_time,
    was_imported,
)
from tests.kit.meter import METER
from tests.kit.recorded import live, rows

CHARGE = "stateOfCharge_frac"
START = THIS_HOUR - 6 * HOUR
CHARGED = ("chargedAbsEnergyTot_Wh", "dischargedAbsEnergyTot_Wh")


pytestmark = pytest.mark.usefixtures("place_and_time")


@pytest.fixture
async def home(
    recorder_mock: Recorder,
    hass: HomeAssistant,
    place_and_time: None,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> EnirisConfigEntry:
    """Return the account of the simulator's home, without the past."""
    return await set_up_frozen(hass, freezer, user_input, None)


@pytest.fixture
async def meter(
    recorder_mock: Recorder,
    hass: HomeAssistant,
    place_and_time: None,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> EnirisConfigEntry:
    """Return the account of one meter, which has measured power for ten days, without the past."""
    only_a_meter(simulator, POWER, "status")
    measure_hourly(simulator, THIS_HOUR - 10 * DAY, NOW, **{POWER: 100.0})
    measure(simulator, NOW - MINUTE, status="idle")
    return await set_up_frozen(hass, freezer, user_input, None)


async def call(hass: HomeAssistant, *, respond: bool = True, **data: Any) -> Any:
    """Call the action."""
    return await hass.services.async_call(
        DOMAIN,
        SERVICE_IMPORT_HISTORY,
        {"start": START.isoformat(), **data},
        blocking=True,
        return_response=respond,
    )


async def refused(hass: HomeAssistant, key: str, **data: Any) -> dict[str, str]:
    """Call the action in vain, for a reason that has its words, and return what these quote."""
    with pytest.raises(ServiceValidationError) as err:
        await call(hass, **data)
    assert err.value.translation_domain == DOMAIN
    assert err.value.translation_key == key
    quoted = err.value.translation_placeholders or {}
    text = async_get_exception_message(DOMAIN, key, quoted)
    assert text != key
    assert all(value in text for value in quoted.values())
    return quoted


def battery(hass: HomeAssistant, entry: EnirisConfigEntry) -> str:
    """Return the id of the battery's device."""
    device = device_of(hass, entry, HomeWorld.BATTERY)
    assert device
    return device.id


async def test_entity_by_name(
    hass: HomeAssistant,
    home: EnirisConfigEntry,
    simulator: Simulator,
    freezer: FrozenDateTimeFactory,
) -> None:
    """What is neither energy nor power is imported where it is named; mean, lowest and highest are true."""
    events = async_capture_events(hass, EVENT_IMPORTED)
    entity_id = entity_id_of(hass, home, HomeWorld.BATTERY, CHARGE)
    assert await call(hass, entity_id=entity_id) == {"entities": [entity_id]}
    event = await finished(hass, freezer, events)
    assert event.data == {
        "config_entry_id": home.entry_id,
        "start": START.isoformat(),
        "end": THIS_HOUR.isoformat(),
        "entities": 1,
        "rows": 6,
        "refused_queries": 0,
        "left_out": [],
    }
    found = await rows(hass, [entity_id], LONG_AGO)
    assert list(found[entity_id]) == [START + n * HOUR for n in range(6)]
    for hour, row in found[entity_id].items():
        told = measured_by_world(simulator, HomeWorld.BATTERY, CHARGE, hour)
        values = [100 * value for value in told]
        assert len(values) > 50
        assert row["mean"] == pytest.approx(math.fsum(values) / len(values))
        assert row["min"] == pytest.approx(min(values))
        assert row["max"] == pytest.approx(max(values))


async def test_device(
    hass: HomeAssistant,
    home: EnirisConfigEntry,
    simulator: Simulator,
    freezer: FrozenDateTimeFactory,
) -> None:
    """Of a device, what shows energy or power is imported, and nothing else of anything."""
    events = async_capture_events(hass, EVENT_IMPORTED)
    await live(hass, freezer, NOW + 9 * MINUTE)
    wanted = sorted(
        entity_id_of(hass, home, HomeWorld.BATTERY, field)
        for field in (POWER, *CHARGED)
    )
    everything = {
        entity.entity_id
        for entity in er.async_entries_for_config_entry(
            er.async_get(hass), home.entry_id
        )
    }
    simulator.log.reset()
    response = await call(hass, device_id=battery(hass, home))
    assert sorted(response["entities"]) == wanted
    event = await finished(hass, freezer, events)
    assert event.data["entities"] == len(wanted)
    found = await rows(hass, everything, LONG_AGO, NOW - HOUR)
    assert found.keys() == set(wanted)
    assert all(len(kept) == 6 for kept in found.values())
    # Nothing was asked of other nodes
    assert {
        statement["where"]["tags"]["nodeId"]
        for request in asked_of_the_past(simulator)
        for statement in request.json
        if statement["where"]["time"][1]["value"] <= THIS_HOUR.timestamp() * 1000
    } == {HomeWorld.BATTERY}


async def test_account(
    hass: HomeAssistant, home: EnirisConfigEntry, freezer: FrozenDateTimeFactory
) -> None:
    """The account's own device stands for the energy and power of all its nodes."""
    events = async_capture_events(hass, EVENT_IMPORTED)
    await live(hass, freezer, NOW + 9 * MINUTE)
    own = er.async_get(hass).async_get(
        account_state(hass, home, "poll_interval").entity_id
    )
    assert own
    wanted = {
        entity.entity_id
        for entity in er.async_entries_for_config_entry(
            er.async_get(hass), home.entry_id
        )
        if entity.disabled_by is None
        and (state := hass.states.get(entity.entity_id))
        and state.attributes.get("device_class") in ("energy", "power")
        and "state_class" in state.attributes
    }
    assert len(wanted) > 20
    response = await call(hass, device_id=own.device_id)
    assert set(response["entities"]) == wanted
    event = await finished(hass, freezer, events)
    assert event.data["entities"] == len(wanted)
    assert not event.data["left_out"]


async def test_account_with_nothing_to_import(
    hass: HomeAssistant, meter: EnirisConfigEntry
) -> None:
    """An account all of whose sensors are disabled has no past; one that does not run is named."""
    registry = er.async_get(hass)
    own = registry.async_get(account_state(hass, meter, "poll_interval").entity_id)
    assert own
    power = entity_id_of(hass, meter, METER, POWER)
    registry.async_update_entity(power, disabled_by=er.RegistryEntryDisabler.USER)
    await settle(hass)
    await refused(hass, "no_history_of_device", device_id=own.device_id)
    assert await hass.config_entries.async_unload(meter.entry_id)
    await refused(hass, "account_not_loaded", device_id=own.device_id)


async def test_entities_and_devices(
    hass: HomeAssistant, home: EnirisConfigEntry, freezer: FrozenDateTimeFactory
) -> None:
    """Entities and devices can be chosen together; what is chosen twice is imported once."""
    await live(hass, freezer, NOW + 9 * MINUTE)
    events = async_capture_events(hass, EVENT_IMPORTED)
    power = entity_id_of(hass, home, HomeWorld.BATTERY, POWER)
    charge = entity_id_of(hass, home, HomeWorld.BATTERY, CHARGE)
    other = entity_id_of(hass, home, HomeWorld.SITE, POWER)
    device = battery(hass, home)
    of_device = await call(hass, device_id=device)
    await finished(hass, freezer, events)
    response = await call(
        hass, entity_id=[power, charge, other], device_id=[device, device]
    )
    assert len(response["entities"]) == len(set(response["entities"]))
    assert set(response["entities"]) == {*of_device["entities"], charge, other}
    event = await finished(hass, freezer, events)
    assert event.data["entities"] == len(response["entities"])


async def test_without_response(
    hass: HomeAssistant, meter: EnirisConfigEntry, freezer: FrozenDateTimeFactory
) -> None:
    """Who does not want a response gets none; the import is the same."""
    events = async_capture_events(hass, EVENT_IMPORTED)
    power = entity_id_of(hass, meter, METER, POWER)
    assert await call(hass, respond=False, entity_id=power) is None
    assert (await finished(hass, freezer, events)).data["rows"] == 6


@pytest.mark.parametrize(
    ("times", "start", "end"),
    [
        ({}, START, THIS_HOUR),
        # Home Assistant's own time zone
        (
            {"start": "2026-07-15 10:00:00"},
            datetime(2026, 7, 15, 8, tzinfo=UTC),
            THIS_HOUR,
        ),
        (
            {"end": "2026-07-15T08:00:00+02:00"},
            START,
            datetime(2026, 7, 15, 6, tzinfo=UTC),
        ),
        # Whole hours
        (
            {"start": "2026-07-15T07:59:59Z", "end": "2026-07-15T09:01:00Z"},
            datetime(2026, 7, 15, 7, tzinfo=UTC),
            datetime(2026, 7, 15, 9, tzinfo=UTC),
        ),
    ],
)
async def test_times(
    hass: HomeAssistant,
    meter: EnirisConfigEntry,
    freezer: FrozenDateTimeFactory,
    times: dict[str, Any],
    start: datetime,
    end: datetime,
) -> None:
    """Start and end are local where they have no zone; the end is the present where it is left out."""
    events = async_capture_events(hass, EVENT_IMPORTED)
    power = entity_id_of(hass, meter, METER, POWER)
    await call(hass, entity_id=power, **times)
    event = await finished(hass, freezer, events)
    assert event.data["start"] == start.isoformat()
    assert event.data["end"] == end.isoformat()
    found = (await rows(hass, [power], LONG_AGO))[power]
    assert list(found) == [start + n * HOUR for n in range((end - start) // HOUR)]


async def test_nothing_chosen(
    hass: HomeAssistant, meter: EnirisConfigEntry, simulator: Simulator
) -> None:
    """A call that chooses nothing, or devices without energy and power, is told so."""
    await refused(hass, "no_history_chosen")
    await refused(hass, "no_history_chosen", entity_id=[], device_id=[])
    await refused(hass, "no_history_of_device", device_id="no such device")
    assert not asked_of_the_past(simulator)


async def test_entities_without_a_past(
    hass: HomeAssistant, meter: EnirisConfigEntry, simulator: Simulator
) -> None:
    """What is not an enabled sensor of ours with measured numbers is named; then nothing is imported."""
    registry = er.async_get(hass)
    power = entity_id_of(hass, meter, METER, POWER)
    foreign = registry.async_get_or_create("sensor", "other", "1").entity_id
    status = next(
        entity.entity_id
        for entity in er.async_entries_for_config_entry(registry, meter.entry_id)
        if entity.unique_id.endswith("_status")
    )
    registry.async_update_entity(status, disabled_by=None)
    disabled = next(
        entity.entity_id
        for entity in er.async_entries_for_config_entry(registry, meter.entry_id)
        if entity.unique_id.endswith(f"_{POWER}_export")
    )
    for entity_id in (
        foreign,
        "sensor.nobody_knows",
        status,
        disabled,
        account_state(hass, meter, "poll_interval").entity_id,
        "zone.home",
    ):
        error = "entity_disabled" if entity_id == disabled else "no_history_of"
        quoted = await refused(hass, error, entity_id=[power, entity_id])
        assert quoted == {"entity": entity_id}
    assert not was_imported(hass, meter)
    assert not asked_of_the_past(simulator)


async def test_entity_that_was_disabled(
    hass: HomeAssistant, meter: EnirisConfigEntry
) -> None:
    """An entity that the user has disabled has no statistic to be imported into; nor has its device."""
    power = entity_id_of(hass, meter, METER, POWER)
    entity = er.async_get(hass).async_update_entity(
        power, disabled_by=er.RegistryEntryDisabler.USER
    )
    await settle(hass)
    assert await refused(hass, "entity_disabled", entity_id=power) == {"entity": power}
    await refused(hass, "no_history_of_device", device_id=entity.device_id)


async def test_no_recorder(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> None:
    """Where Home Assistant keeps no statistics, the caller is told so."""
    only_a_meter(simulator, POWER)
    measure_hourly(simulator, START, NOW, **{POWER: 100.0})
    entry = await set_up_frozen(hass, freezer, user_input, None)
    await refused(
        hass, "no_recorder", entity_id=entity_id_of(hass, entry, METER, POWER)
    )
    assert not was_imported(hass, entry)


async def test_two_accounts(
    hass: HomeAssistant,
    meter: EnirisConfigEntry,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> None:
    """Entities of two accounts can be chosen in one call; each account does its own."""
    other = await set_up_frozen(
        hass, freezer, {**user_input, CONF_USERNAME: "norole@example.com"}, None
    )
    events = async_capture_events(hass, EVENT_IMPORTED)
    chosen = [entity_id_of(hass, entry, METER, POWER) for entry in (meter, other)]
    assert sorted((await call(hass, entity_id=chosen))["entities"]) == sorted(chosen)
    await pass_time(hass, freezer, lambda: len(events) == 2)
    assert {event.data["config_entry_id"] for event in events} == {
        meter.entry_id,
        other.entry_id,
    }
    found = await rows(hass, chosen, LONG_AGO)
    assert [len(found[entity_id]) for entity_id in chosen] == [6, 6]


# How far it is


async def test_progress(
    hass: HomeAssistant,
    meter: EnirisConfigEntry,
    simulator: Simulator,
    freezer: FrozenDateTimeFactory,
) -> None:
    """Not there while no past was asked for, then a percentage that grows day by day, in the end 100 for good."""
    assert not was_imported(hass, meter)
    # Now that an import takes its time
    simulator.tier = "free"
    await live(hass, freezer, NOW + 2 * MINUTE)
    events = async_capture_events(hass, EVENT_IMPORTED)
    seen: list[tuple[str, Any, Any]] = []

    def note() -> bool:
        state = account_state(hass, meter, "history_progress")
        shown = (state.state, state.attributes["fetching"], state.attributes["back_to"])
        if shown not in seen:
            seen.append(shown)
        return bool(events)

    start = datetime(2026, 7, 13, 11, tzinfo=UTC)
    power = entity_id_of(hass, meter, METER, POWER)
    await call(hass, entity_id=power, start=start)
    await pass_time(hass, freezer, note)
    await settle(hass)
    note()
    midnight = datetime(2026, 7, 15, tzinfo=UTC)
    assert [shown for shown in seen if shown[1] != start] == [
        ("0.0", THIS_HOUR, start),
        ("22.9", midnight, start),
        ("72.9", midnight - DAY, start),
        ("100.0", None, None),
    ]


async def test_requests_queue_up(
    hass: HomeAssistant,
    meter: EnirisConfigEntry,
    simulator: Simulator,
    freezer: FrozenDateTimeFactory,
) -> None:
    """A request that comes while another is at work is done after it."""
    simulator.tier = "free"
    await live(hass, freezer, NOW + 2 * MINUTE)
    events = async_capture_events(hass, EVENT_IMPORTED)
    power = entity_id_of(hass, meter, METER, POWER)
    first, second = THIS_HOUR - DAY, THIS_HOUR - 3 * DAY
    await call(hass, entity_id=power, start=first)
    await pass_time(hass, freezer, lambda: asked_of_the_past(simulator))
    await call(hass, entity_id=power, start=second, end=first)
    state = account_state(hass, meter, "history_progress")
    assert state.attributes["back_to"] == first
    await pass_time(hass, freezer, lambda: events)
    state = account_state(hass, meter, "history_progress")
    assert state.attributes["back_to"] == second
    assert float(state.state) < 50
    await pass_time(hass, freezer, lambda: len(events) == 2)
    await settle(hass)
    assert account_state(hass, meter, "history_progress").state == "100.0"
    assert [event.data["start"] for event in events] == [
        first.isoformat(),
        second.isoformat(),
    ]
    assert [event.data["rows"] for event in events] == [24, 48]
    assert len((await rows(hass, [power], LONG_AGO))[power]) == 72


async def test_queue_survives_a_reload(
    hass: HomeAssistant,
    meter: EnirisConfigEntry,
    simulator: Simulator,
    freezer: FrozenDateTimeFactory,
) -> None:
    """All that waits goes on after a reload, in its order, and the sensor tells so at once."""
    simulator.tier = "free"
    await live(hass, freezer, NOW + 2 * MINUTE)
    events = async_capture_events(hass, EVENT_IMPORTED)
    power = entity_id_of(hass, meter, METER, POWER)
    first, second = THIS_HOUR - DAY, THIS_HOUR - 3 * DAY
    await call(hass, entity_id=power, start=first)
    await call(hass, entity_id=power, start=second, end=first)
    await pass_time(hass, freezer, lambda: asked_of_the_past(simulator))
    assert await hass.config_entries.async_reload(meter.entry_id)
    await settle(hass)
    state = account_state(hass, meter, "history_progress")
    assert state.state != "unknown"
    assert state.attributes["back_to"] == first
    await pass_time(hass, freezer, lambda: len(events) == 2)
    assert [event.data["rows"] for event in events] == [24, 48]


async def test_pieces_far_from_each_other(
    recorder_mock: Recorder,
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> None:
    """Pieces of the past, the older first, before Home Assistant has a row by the hour of its own."""
    only_a_meter(simulator, IMPORTED)
    energies = {THIS_HOUR - n * HOUR: 10.0 + n for n in (230, 229, 30, 29)}
    for hour, energy in energies.items():
        measure(simulator, hour + MINUTE, **{IMPORTED: energy})
    measure(simulator, NOW - MINUTE, **{IMPORTED: 7.0})
    entry = await set_up_frozen(hass, freezer, user_input, None)
    events = async_capture_events(hass, EVENT_IMPORTED)
    await live(hass, freezer, NOW + 4 * MINUTE)
    entity_id = entity_id_of(hass, entry, METER, IMPORTED)
    for hours in (232, 32):
        start = THIS_HOUR - hours * HOUR
        await call(hass, entity_id=entity_id, start=start, end=start + 5 * HOUR)
        await finished(hass, freezer, events)
    while datetime.now(UTC) < NOW + 32 * MINUTE:
        measure(simulator, datetime.now(UTC), **{IMPORTED: 0.0})
        await live(hass, freezer, datetime.now(UTC) + MINUTE)
    found = (await rows(hass, [entity_id], LONG_AGO))[entity_id]
    assert {hour: row["change"] for hour, row in found.items()} == pytest.approx(
        {**energies, THIS_HOUR: 7}, abs=1e-3
    )
