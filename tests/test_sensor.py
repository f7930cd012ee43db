"""Sensors: what a user finds in the registries, and what becomes of the values."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from freezegun.api import FrozenDateTimeFactory
import pytest
from pytest_homeassistant_custom_component.common import async_capture_events
from syrupy.assertion import SnapshotAssertion

from custom_components.eniris.data import EnirisConfigEntry
from homeassistant.components.sensor import ATTR_STATE_CLASS
from homeassistant.config_entries import ConfigEntry
from homeassistant.const import (
    ATTR_DEVICE_CLASS,
    ATTR_FRIENDLY_NAME,
    ATTR_UNIT_OF_MEASUREMENT,
    EVENT_STATE_CHANGED,
    STATE_UNAVAILABLE,
)
from homeassistant.core import Event, HomeAssistant
from homeassistant.helpers import entity_registry as er
from homeassistant.helpers.entity import Entity
from homeassistant.util import dt as dt_util
from simulator.model import FieldValue
from simulator.server import Simulator
from simulator.world import HomeWorld

from .kit.common import (
    METADATA_POLL,
    advance,
    entity_id_of,
    imported_entities,
    set_up_frozen,
    state_of,
)
from .kit.meter import METER, add_meter, write

GRID = HomeWorld.GRID_METER
BATTERY = HomeWorld.BATTERY
HEAT_PUMP = HomeWorld.HEAT_PUMP
QUERY = "/v1/telemetry/query"
PRICE_ATTRIBUTES = {
    "currency",
    "raw_today",
    "raw_tomorrow",
    "today",
    "tomorrow",
    "tomorrow_valid",
    "unit",
}


def queries(simulator: Simulator) -> list[dict[str, Any]]:
    """Return the statements of the newest poll, which asks for more than prices."""
    statements: list[dict[str, Any]] = next(
        request.json
        for request in reversed(simulator.log.find(f"POST {QUERY}"))
        if {each["from"]["measurement"] for each in request.json} != {"planning"}
    )
    return statements


@pytest.fixture
def all_enabled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Enable the entities that are registered as disabled otherwise."""
    monkeypatch.setattr(
        Entity, "entity_registry_enabled_default", property(lambda _: True)
    )


@pytest.mark.usefixtures("all_enabled")
async def test_all_entities(
    hass: HomeAssistant,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
    snapshot: SnapshotAssertion,
) -> None:
    """Every entity of the demo home, as registered and as shown at one instant."""
    entry = await set_up_frozen(hass, freezer, user_input, "2026-07-01T11:59:29Z")
    await advance(hass, freezer)
    assert dt_util.utcnow().isoformat() == "2026-07-01T12:00:30+00:00"
    found = {}
    for registered in imported_entities(hass, entry):
        state = hass.states.get(registered.entity_id)
        assert state is not None
        options = dict(registered.options)
        sensor: Mapping[str, Any] = options.get("sensor", {})
        private: Mapping[str, Any] = options.get("sensor.private", {})
        found[registered.entity_id] = {
            "unique_id": registered.unique_id,
            "translation_key": registered.translation_key,
            "category": str(registered.entity_category),
            "state_class": str((registered.capabilities or {}).get("state_class")),
            "precision": sensor.get("suggested_display_precision"),
            "suggested_unit": str(private.get("suggested_unit_of_measurement")),
            "name": state.attributes[ATTR_FRIENDLY_NAME],
            "device_class": str(state.attributes.get(ATTR_DEVICE_CLASS)),
            "unit": str(state.attributes.get(ATTR_UNIT_OF_MEASUREMENT)),
            "state": rounded(state.state),
        }
        assert set(state.attributes) <= {
            ATTR_DEVICE_CLASS,
            ATTR_FRIENDLY_NAME,
            ATTR_STATE_CLASS,
            ATTR_UNIT_OF_MEASUREMENT,
            *(PRICE_ATTRIBUTES if "price" in registered.entity_id else ()),
        }
    assert found == snapshot


def rounded(state: str) -> str:
    """Return a state without the last digits, which are the mathematics library's."""
    try:
        return f"{float(state):.6g}"
    except ValueError:
        return state


async def test_entities_that_are_disabled(
    hass: HomeAssistant, entry: EnirisConfigEntry
) -> None:
    """What a person reads of a home is enabled; all else is there for those who enable it."""
    registered_entities = imported_entities(hass, entry)
    assert all(
        its.disabled_by in (None, er.RegistryEntryDisabler.INTEGRATION)
        for its in registered_entities
    )
    enabled = {its.entity_id for its in registered_entities if its.disabled_by is None}
    assert {
        "sensor.battery_state_of_charge",
        "sensor.charge_point_imported_energy",
        "sensor.charge_point_power",
        "sensor.charge_point_status",
        "sensor.grid_meter_electricity_price",
        "sensor.grid_meter_frequency",
        "sensor.grid_meter_power_l1",
        "sensor.grid_meter_voltage_l1",
        "sensor.home_import_limit",
        "sensor.home_produced_power",
    } <= enabled
    assert not enabled & {
        "sensor.charge_point_exported_energy",
        "sensor.charge_point_power_l1",
        "sensor.grid_meter_current_n",
        "sensor.grid_meter_voltage_l1_l2",
        "sensor.hybrid_inverter_frequency",
        "sensor.hybrid_inverter_voltage_l1",
    }
    assert len(enabled) < len(registered_entities) / 2


async def test_polls(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> None:
    """A poll a minute, one request each, keeps the states at what the service has."""
    entry = await set_up_frozen(hass, freezer, user_input)
    simulator.log.reset()
    shown = set()
    for _ in range(5):
        await advance(hass, freezer)
        shown.add(state_of(hass, entry, GRID, "actualPowerTot_W"))
    assert len(shown) == 5
    assert simulator.log.count(f"POST {QUERY}", 200) == 5
    assert simulator.log.count("POST /v1/device/query") == 0
    await advance(hass, freezer, METADATA_POLL)
    assert simulator.log.count("POST /v1/device/query", 204) == 1
    assert simulator.log.count("POST /v1/device/query") == 1


async def test_every_query_has_a_short_range(
    simulator: Simulator, entry: ConfigEntry[Any]
) -> None:
    """No statement of a poll is without a start, which would cost the most, and none is doubled."""
    statements = queries(simulator)
    now_ms = dt_util.utcnow().timestamp() * 1000
    seen = set()
    for statement in statements:
        start = statement["where"]["time"][0]
        assert start["operator"] == ">="
        short = 300_000 + 60_000
        if statement["from"]["namespace"]["retentionPolicy"] == "rp_ten_m":
            short = 50 * 60_000 + 2 * 60_000
        if statement["from"]["measurement"] == "planning":
            # A price can have held for a day
            short = 25 * 3_600_000
        assert now_ms - start["value"] <= short
        for field in statement["select"]:
            name = (
                tuple(sorted(statement["where"]["tags"].items())),
                statement["from"]["measurement"],
                field,
            )
            assert name not in seen
            seen.add(name)
    policies = {
        statement["from"]["namespace"]["retentionPolicy"] for statement in statements
    }
    assert policies == {"rp_one_s", "rp_one_m", "rp_ten_m"}


async def test_state_of_charge_is_a_percentage(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> None:
    """A fraction is shown in per cent, without the noise of the multiplication."""
    freezer.move_to("2026-07-01T12:00:30Z")
    add_meter(simulator, "stateOfCharge_frac")
    write(simulator, {"stateOfCharge_frac": 0.07})
    entry = await set_up_frozen(hass, freezer, user_input)
    assert 0.07 * 100 != 7
    assert float(state_of(hass, entry, METER, "stateOfCharge_frac")) == 7


@pytest.mark.parametrize("wrong", ["n/a", True])
async def test_value_of_the_wrong_type(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
    wrong: FieldValue,
) -> None:
    """A text or a truth value where a number belongs costs one entity its value."""
    freezer.move_to("2026-07-01T12:00:30Z")
    add_meter(simulator, "actualPowerTot_W", "frequency_Hz")
    write(simulator, {"actualPowerTot_W": wrong, "frequency_Hz": 50.0})
    entry = await set_up_frozen(hass, freezer, user_input)
    assert state_of(hass, entry, METER, "actualPowerTot_W") == STATE_UNAVAILABLE
    assert float(state_of(hass, entry, METER, "frequency_Hz")) == 50
    write(simulator, {"actualPowerTot_W": 5.0}, timedelta(0))
    await advance(hass, freezer)
    assert float(state_of(hass, entry, METER, "actualPowerTot_W")) == 5


async def test_unchanged_value_writes_no_state(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> None:
    """A poll that brings the same value again leaves the state alone, time of report included."""
    freezer.move_to("2026-07-01T12:00:30Z")
    add_meter(simulator, "actualPowerTot_W", "frequency_Hz")
    write(simulator, {"actualPowerTot_W": 7.0, "frequency_Hz": 50.0})
    entry = await set_up_frozen(hass, freezer, user_input)
    power = entity_id_of(hass, entry, METER, "actualPowerTot_W")
    frequency = entity_id_of(hass, entry, METER, "frequency_Hz")
    changes: list[Event[Any]] = async_capture_events(hass, EVENT_STATE_CHANGED)
    before = hass.states.get(power)
    assert before is not None
    reported = before.last_reported
    for number in range(3):
        write(simulator, {"actualPowerTot_W": 7.0, "frequency_Hz": 50.1 + number})
        await advance(hass, freezer)
    changed = [event.data["entity_id"] for event in changes]
    assert changed.count(frequency) == 3
    assert power not in changed
    after = hass.states.get(power)
    assert after is not None
    assert after.last_reported == reported


def registered_name(hass: HomeAssistant, entity_id: str) -> str | None:
    """Return the name under which an entity was registered."""
    registered = er.async_get(hass).async_get(entity_id)
    assert registered is not None
    return registered.original_name


async def test_unknown_fields(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> None:
    """Fields that the catalogue lacks are there for those who enable them."""
    freezer.move_to("2026-07-01T12:00:30Z")
    values: dict[str, FieldValue] = {
        "someNewPower_W": 5.0,
        "cycleCount": 7.0,
        "firmwareState": "OK",
        "***": 1.0,
    }
    add_meter(simulator, *values)
    write(simulator, values)
    entry = await set_up_frozen(hass, freezer, user_input)
    names = {}
    for field in values:
        entity_id = entity_id_of(hass, entry, METER, field)
        registered = er.async_get(hass).async_get(entity_id)
        assert registered is not None
        assert registered.disabled_by is er.RegistryEntryDisabler.INTEGRATION
        names[entity_id] = registered.original_name
    assert names.pop(entity_id_of(hass, entry, METER, "***")) == "***"
    assert names == {
        "sensor.shed_some_new_power": "Some new power",
        "sensor.shed_cycle_count": "Cycle count",
        "sensor.shed_firmware_state": "Firmware state",
    }


@pytest.mark.parametrize(
    ("field", "value", "shown"),
    [
        ("status", "x" * 255, "X" + "x" * 254),
        ("status", "x" * 256, STATE_UNAVAILABLE),
        ("status", "a\n b", "A b"),
        ("status", "a\0b", STATE_UNAVAILABLE),
        ("status", "", STATE_UNAVAILABLE),
        ("status", 4.0, "4"),
        ("status", True, STATE_UNAVAILABLE),
        ("actualPowerTot_W", 1e300, STATE_UNAVAILABLE),
        ("importedAbsEnergyTot_Wh", 1e300, STATE_UNAVAILABLE),
        ("stateOfCharge_frac", 1e18, STATE_UNAVAILABLE),
    ],
)
async def test_values_that_cannot_be_shown(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
    field: str,
    value: FieldValue,
    shown: str,
) -> None:
    """What cannot be a state costs its own entity its state, and no other."""
    freezer.move_to("2026-07-01T12:00:30Z")
    add_meter(simulator, field, "frequency_Hz")
    write(simulator, {field: value, "frequency_Hz": 50.0})
    entry = await set_up_frozen(hass, freezer, user_input)
    assert state_of(hass, entry, METER, field) == shown
    assert float(state_of(hass, entry, METER, "frequency_Hz")) == 50


@pytest.mark.usefixtures("all_enabled")
async def test_directions(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> None:
    """A signed power and its two directions always agree."""
    freezer.move_to("2026-07-01T12:00:30Z")
    add_meter(simulator, "actualPowerTot_W", measurements=("batteryMetrics",))
    write(simulator, {"actualPowerTot_W": 1.0}, measurement="batteryMetrics")
    entry = await set_up_frozen(hass, freezer, user_input)
    values: list[tuple[float, float, float]] = [(7, 7, 0), (-8, 0, 8), (0, 0, 0)]
    for power, charge, discharge in values:
        write(
            simulator, {"actualPowerTot_W": float(power)}, measurement="batteryMetrics"
        )
        await advance(hass, freezer)
        for name, expected in (
            ("actualPowerTot_W", power),
            ("actualPowerTot_W_charge", charge),
            ("actualPowerTot_W_discharge", discharge),
        ):
            shown = state_of(hass, entry, METER, name)
            assert float(shown) == expected
            assert expected or not shown.startswith("-")
    write(simulator, {"actualPowerTot_W": "n/a"}, measurement="batteryMetrics")
    await advance(hass, freezer)
    for name in ("", "_charge", "_discharge"):
        field = f"actualPowerTot_W{name}"
        assert state_of(hass, entry, METER, field) == STATE_UNAVAILABLE


@pytest.mark.usefixtures("all_enabled")
async def test_two_spellings(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> None:
    """Two fields of one measurement that mean the same are told apart by their own names."""
    freezer.move_to("2026-07-01T12:00:30Z")
    fields = ("reacPowerSetpoint_VAr", "reactivePowerSetpoint_VAr")
    add_meter(simulator, *fields)
    write(simulator, dict.fromkeys(fields, 1.0))
    entry = await set_up_frozen(hass, freezer, user_input)
    for field in fields:
        entity_id = entity_id_of(hass, entry, METER, field)
        assert registered_name(hass, entity_id) == f"Reactive power setpoint ({field})"


async def test_metadata(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> None:
    """What a maker prints on a device is shown and followed, field values or not."""
    freezer.move_to("2026-07-01T12:00:30Z")
    add_meter(
        simulator, "actualPowerTot_W", info={"nomPower_W": 5000, "capacity_Wh": 10_240}
    )
    entry = await set_up_frozen(hass, freezer, user_input)
    power = hass.states.get("sensor.shed_nominal_power")
    assert power is not None
    assert float(power.state) == 5000
    capacity = hass.states.get("sensor.shed_capacity")
    assert capacity is not None
    assert float(capacity.state) == 10.24
    assert capacity.attributes[ATTR_UNIT_OF_MEASUREMENT] == "kWh"
    changed = er.async_get(hass).async_get("sensor.shed_metadata_changed")
    assert changed is not None
    assert changed.disabled_by is er.RegistryEntryDisabler.INTEGRATION

    number = simulator.devices.by_node_id(METER)["id"]
    simulator.devices.edit(number, {"info": {"nomPower_W": 6000, "capacity_Wh": "?"}})
    await advance(hass, freezer, METADATA_POLL)
    power = hass.states.get("sensor.shed_nominal_power")
    assert power is not None
    assert float(power.state) == 6000
    capacity = hass.states.get("sensor.shed_capacity")
    assert capacity is not None
    assert capacity.state == STATE_UNAVAILABLE
    assert entry.runtime_data.nodes.last_update_success


@pytest.mark.usefixtures("all_enabled")
async def test_time_of_change(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> None:
    """The time of the last change of the metadata follows each change."""
    entry = await set_up_frozen(hass, freezer, user_input)
    before = state_of(hass, entry, GRID, "last_change")
    simulator.devices.rename(simulator.devices.by_node_id(GRID)["id"], "Main meter")
    await advance(hass, freezer, METADATA_POLL)
    after = state_of(hass, entry, GRID, "last_change")
    assert dt_util.parse_datetime(before) < dt_util.parse_datetime(after)  # type: ignore[operator]


@pytest.mark.parametrize(
    "info",
    [
        {},
        {"nomPower_W": None, "capacity_Wh": None},
        {"nomPower_W": "much", "capacity_Wh": []},
        {"nomPower_W": True, "capacity_Wh": 1e300},
    ],
)
async def test_metadata_that_says_nothing(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
    info: dict[str, Any],
) -> None:
    """No sensor for what is not there."""
    freezer.move_to("2026-07-01T12:00:30Z")
    add_meter(simulator, "actualPowerTot_W", info=info)
    entry = await set_up_frozen(hass, freezer, user_input)
    for key in ("nominal_power", "capacity"):
        with pytest.raises(KeyError):
            entity_id_of(hass, entry, METER, key)
