"""Which names are suggested for an entity."""

from typing import Any

from hypothesis import given, strategies as st
import pytest

from custom_components.eniris.api.write import name_problem
from custom_components.eniris.exporting.fields.suggestions import suggest_field
from homeassistant.const import ATTR_DEVICE_CLASS, ATTR_UNIT_OF_MEASUREMENT
from homeassistant.core import State

from . import state


@pytest.mark.parametrize(
    ("device_class", "unit", "expected"),
    [
        ("power", "kW", "actualPowerTot_W"),
        ("power_factor", "%", "powerFactorTot"),
        ("power_factor", "", "powerFactorTot"),
        ("reactive_power", "kvar", "reacPowerTot_VAr"),
        ("frequency", "kHz", "frequency_Hz"),
        ("temperature_delta", "K", "someValue_degC"),
        ("carbon_dioxide", "ppm", "someValue"),
        (None, "", "someValue"),
        ("energy", "kWh", "importedAbsEnergyTot_Wh"),
        ("reactive_power", "var", "reacPowerTot_VAr"),
        ("voltage", "V", "voltageL1N_V"),
        ("current", "A", "currentL1_A"),
        ("frequency", "Hz", "frequency_Hz"),
        ("power_factor", None, "powerFactorTot"),
        ("battery", "%", "stateOfCharge_frac"),
        ("duration", "min", "someValue_s"),
        (None, "%", "someValue_frac"),
        (None, "W", "someValue_W"),
        (None, "m/s", "someValue"),
        ("pressure", "bar", "someValue_bar"),
        ("pressure", "psi", "someValue_bar"),
        ("gas", "m³", "someValue_m3"),
        ("water", "L", "someValue_L"),
        (None, None, "someValue"),
        ("power", "furlong", "someValue"),
        (["power"], ["W"], "someValue"),
    ],
)
def test_suggestions(device_class: Any, unit: Any, expected: str) -> None:
    """The device class decides, then the unit; a suggestion never has a unit out of reach."""
    shown = state("1", unit, device_class=device_class, state_class="total")
    assert suggest_field(shown, "sensor.some_value", set()) == expected


@pytest.mark.parametrize(
    ("device_class", "unit", "object_id", "expected"),
    [
        ("power", "kW", "grid_power", "actualPowerTot_W"),
        ("power", "kW", "p1_power_l2", "actualPowerL2_W"),
        ("power", "W", "meter_phase_3_power", "actualPowerL3_W"),
        ("reactive_power", "var", "inverter_l1_reactive", "reacPowerL1_VAr"),
        ("power_factor", None, "meter_l3_pf", "powerFactorL3"),
        ("voltage", "V", "meter_l2_voltage", "voltageL2N_V"),
        ("voltage", "V", "voltage_l2_l3", "voltageL2L3_V"),
        ("voltage", "V", "battery_voltage", "batteryVoltage_V"),
        ("voltage", "V", "string_dc_voltage", "voltageDC_V"),
        ("current", "mA", "neutral_current", "currentN_A"),
        ("energy", "kWh", "p1_import", "importedAbsEnergyTot_Wh"),
        ("energy", "kWh", "p1_energy_export", "exportedAbsEnergyTot_Wh"),
        ("energy", "kWh", "grid_return", "exportedAbsEnergyTot_Wh"),
        ("energy", "kWh", "battery_discharged", "dischargedAbsEnergyTot_Wh"),
        ("energy", "kWh", "battery_charged", "chargedAbsEnergyTot_Wh"),
        ("energy", "kWh", "solar_yield", "producedAbsEnergyTot_Wh"),
        ("energy", "kWh", "heat_pump_consumption", "consumedAbsEnergyTot_Wh"),
        ("battery", "%", "battery_state_of_health", "stateOfHealth_frac"),
    ],
)
def test_suggestions_by_name(
    device_class: str, unit: str | None, object_id: str, expected: str
) -> None:
    """The rest of the name tells phases and directions."""
    shown = state("1", unit, device_class=device_class, state_class="total")
    assert suggest_field(shown, f"sensor.{object_id}", set()) == expected


def test_energy_that_is_no_counter() -> None:
    """An amount of energy within some time is not suggested as a lifetime counter."""
    shown = state("1", "kWh", device_class="energy", state_class="measurement")
    assert suggest_field(shown, "sensor.last_hour", set()) == "lastHour_Wh"


def test_suggestions_next_to_taken_ones() -> None:
    """The second of a kind gets its own name and the same unit, the third a number."""
    shown = state("1", "kW", device_class="power")
    taken = {"actualPowerTot_W"}
    second = suggest_field(shown, "sensor.some_value", taken)
    assert second == "someValue_W"
    taken.add(second)
    assert suggest_field(shown, "sensor.some_value", taken) == "someValue2_W"


@pytest.mark.parametrize(
    ("entity_id", "expected"),
    [
        ("sensor.demo_p1_power", "demoP1Power"),
        ("sensor._", "value"),
        ("sensor.__a", "a"),
        ("sensor.1_2", "12"),
        ("sensor.a__b_", "aB"),
    ],
)
def test_suggestions_of_odd_object_ids(entity_id: str, expected: str) -> None:
    """Any object id yields a name."""
    assert suggest_field(None, entity_id, set()) == expected


@pytest.mark.parametrize("device_class", ["battery", "power", "battery_charging"])
def test_suggestions_for_binary_sensors(device_class: str) -> None:
    """A binary sensor's battery is no state of charge."""
    shown = state("on", entity_id="binary_sensor.low", device_class=device_class)
    assert suggest_field(shown, "binary_sensor.low", set()) == "low"


def test_suggestion_for_an_attribute() -> None:
    """An attribute has neither the class nor the unit of its entity."""
    shown = state("1", "kW", device_class="power")
    assert (
        suggest_field(shown, "sensor.boiler", set(), "water_level")
        == "boilerWaterLevel"
    )


@given(
    object_id=st.from_regex(r"[a-z0-9_]{1,30}", fullmatch=True),
    device_class=st.sampled_from(
        [None, "power", "energy", "battery", "voltage", "power_factor", "enum", "date"]
    ),
    unit=st.sampled_from([None, "W", "kWh", "%", "°C", "m/s", "var", "min", "A", ""]),
    attribute=st.none() | st.text(max_size=10),
    number=st.integers(0, 4),
)
def test_suggestions_are_valid_and_free(
    object_id: str,
    device_class: str | None,
    unit: str | None,
    attribute: str | None,
    number: int,
) -> None:
    """Whatever the entity, and however many of it: a valid name that nobody has."""
    entity_id = f"sensor.{object_id}"
    shown = State(
        "sensor.x",
        "1",
        {ATTR_DEVICE_CLASS: device_class, ATTR_UNIT_OF_MEASUREMENT: unit},
    )
    taken: set[str] = set()
    for _ in range(number + 1):
        name = suggest_field(shown, entity_id, taken, attribute)
        assert name_problem(name) is None
        assert name not in taken
        taken.add(name)
