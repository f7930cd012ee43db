"""What a state means as a value of a field, and which name is suggested for it."""

from enum import Enum
import math
from typing import Any

from hypothesis import given, strategies as st
import pytest

from custom_components.eniris.api.write import name_problem
from custom_components.eniris.exporting.suggest import suggest_field
from custom_components.eniris.exporting.values import field_unit, raw_value, to_value
from homeassistant.const import ATTR_DEVICE_CLASS, ATTR_UNIT_OF_MEASUREMENT
from homeassistant.core import State
from homeassistant.util import unit_conversion


def state(
    text: str, unit: Any = None, entity_id: str = "sensor.some_value", **more: Any
) -> State:
    """Return a state."""
    attributes = dict(more)
    if unit is not None:
        attributes[ATTR_UNIT_OF_MEASUREMENT] = unit
    return State(entity_id, text, attributes)


@pytest.mark.parametrize(
    ("name", "unit", "factor"),
    [
        ("actualPowerTot_W", "W", 1),
        ("actualPowerTot_W", "kW", 1e3),
        ("actualPowerTot_W", "MW", 1e6),
        ("actualPowerTot_W", "mW", 1e-3),
        ("actualPowerTot_W", "GW", 1e9),
        ("importedAbsEnergyTot_Wh", "Wh", 1),
        ("importedAbsEnergyTot_Wh", "kWh", 1e3),
        ("importedAbsEnergyTot_Wh", "MWh", 1e6),
        ("importedAbsEnergyTot_Wh", "GWh", 1e9),
        ("importedAbsEnergyTot_Wh", "kJ", 1 / 3.6),
        ("importedAbsEnergyTot_Wh", "MJ", 1e3 / 3.6),
        ("importedAbsEnergyTot_Wh", "GJ", 1e6 / 3.6),
        ("currentL1_A", "A", 1),
        ("currentL1_A", "mA", 1e-3),
        ("voltageL1N_V", "V", 1),
        ("voltageL1N_V", "mV", 1e-3),
        ("voltageL1N_V", "kV", 1e3),
        ("reacPowerTot_VAr", "var", 1),
        ("frequency_Hz", "Hz", 1),
        ("getMeasTime_s", "s", 1),
        ("getMeasTime_s", "ms", 1e-3),
        ("getMeasTime_s", "min", 60),
        ("getMeasTime_s", "h", 3600),
        ("getMeasTime_s", "d", 86400),
        ("stateOfCharge_frac", "%", 1e-2),
        ("powerFactorTot", "%", 1),
        ("powerFactorTot", None, 1),
    ],
)
def test_units(name: str, unit: str | None, factor: float) -> None:
    """A value comes in the unit that the name ends in, and as a float."""
    value = to_value(state("12", unit), name)
    assert type(value) is float
    assert value == pytest.approx(12 * factor, rel=1e-12)


def test_temperature() -> None:
    """A scale with another zero."""
    assert to_value(state("50", "°F"), "boilerTemperature_degC") == pytest.approx(10)
    assert to_value(state("50", "°C"), "boilerTemperature_degC") == 50


@pytest.mark.parametrize(
    ("converter", "name", "unit", "expected"),
    [
        ("ReactivePowerConverter", "reacPowerTot_VAr", "kvar", 2000.0),
        ("FrequencyConverter", "frequency_Hz", "kHz", 2000.0),
    ],
)
def test_units_of_newer_home_assistants(
    converter: str, name: str, unit: str, expected: float
) -> None:
    """Where Home Assistant can convert it, so can an export."""
    known = hasattr(unit_conversion, converter)
    assert to_value(state("2", unit), name) == (expected if known else None)
    unit_of = field_unit(name)
    assert unit_of is not None
    assert unit_of.reaches(unit) is known


@pytest.mark.parametrize("name", ["actualPowerTot_W", "stateOfCharge_frac", "x_s"])
def test_no_unit_is_the_right_unit(name: str) -> None:
    """Who says nothing of a unit means the one that is asked for."""
    assert to_value(state("0.5"), name) == 0.5


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("actualPowerTot_W", "kWh"),
        ("actualPowerTot_W", "VA"),
        ("importedAbsEnergyTot_Wh", "W"),
        ("voltageL1N_V", "A"),
        ("currentL1_A", "V"),
        ("frequency_Hz", "rpm"),
        ("reacPowerTot_VAr", "W"),
        ("getMeasTime_s", "Hz"),
        ("stateOfCharge_frac", "W"),
        ("boilerTemperature_degC", "%"),
        ("actualPowerTot_W", ["kW"]),
        ("actualPowerTot_W", 5),
    ],
)
def test_units_that_cannot_be_reached(name: str, unit: Any) -> None:
    """A wrong value is worse than none."""
    assert to_value(state("1", unit), name) is None
    known = field_unit(name)
    assert known is not None
    assert not known.reaches(unit)


@pytest.mark.parametrize(
    ("name", "suffix"),
    [
        ("actualPowerTot_W", True),
        ("two_parts_Wh", True),
        ("constraint_ph0_label", False),
        ("status", False),
        ("W", False),
        ("_W", False),
        ("x_w", False),
        ("x_", False),
    ],
)
def test_field_unit(name: str, suffix: bool) -> None:
    """The unit is what stands behind the last underscore, as Eniris spells it."""
    assert (field_unit(name) is not None) is suffix


@pytest.mark.parametrize("name", ["actualPowerTot_W", "status"])
@pytest.mark.parametrize(
    "text",
    [
        *("unknown", "unavailable", "nan", "NaN", "inf", "-inf", "Infinity", ""),
        *("1e309", "-9e999"),
    ],
)
def test_nothing(name: str, text: str) -> None:
    """Neither the unknown nor what is not finite is ever sent."""
    assert to_value(state(text), name) is None


def test_no_state() -> None:
    """An entity that is not there has no value."""
    assert to_value(None, "status") is None
    assert raw_value(None, None) is None


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e308", 1e308),
        ("-1.5e-300", -1.5e-300),
        ("1" * 250, float("1" * 250)),
        ("0", 0.0),
        ("-0.0", -0.0),
        (" 7 ", 7.0),
        ("+5", 5.0),
        ("12345678901234567890", 12345678901234567890.0),
    ],
)
def test_numbers(text: str, value: float) -> None:
    """Numbers of any form are floats."""
    got = to_value(state(text), "ratio")
    assert type(got) is float
    assert math.copysign(1, got) == math.copysign(1, value)
    assert got == value


def test_conversion_that_overflows() -> None:
    """A finite number that the unit makes infinite is not sent."""
    assert to_value(state("1e308", "MW"), "actualPowerTot_W") is None


@pytest.mark.parametrize(
    ("entity_id", "text", "value"),
    [
        ("binary_sensor.door", "on", True),
        ("binary_sensor.door", "off", False),
        ("switch.heater", "on", True),
        ("input_boolean.away", "off", False),
        ("light.hall", "on", True),
        ("schedule.night", "on", True),
        ("sensor.mode", "on", "on"),
        ("climate.room", "off", "off"),
        ("input_text.word", "on", "on"),
        ("input_select.choice", "off", "off"),
        ("switch.heater", "unavailable", None),
        ("binary_sensor.door", "unknown", None),
    ],
)
def test_booleans_by_domain(entity_id: str, text: str, value: Any) -> None:
    """On and off are booleans where nothing else is possible, words elsewhere."""
    got = to_value(state(text, entity_id=entity_id), "status")
    assert got == value
    assert type(got) is type(value)


@pytest.mark.parametrize(
    "text", ["charging", "1_000", "12:30", "0x10", "Zürich ☀", "a\nb", "1,5"]
)
def test_words(text: str) -> None:
    """A word is sent as it is, and only where the name asks for no number."""
    assert to_value(state(text), "status") == text
    assert to_value(state(text), "actualPowerTot_W") is None
    assert to_value(state(text), "stateOfCharge_frac") is None


def test_words_that_look_like_numbers() -> None:
    """One of several words stays a word, so that the field keeps its type."""
    assert to_value(state("2", entity_id="input_select.phases"), "phases") == "2"
    assert to_value(state("2", entity_id="select.phases"), "phases") == "2"
    assert to_value(state("2", device_class="enum"), "phases") == "2"
    assert to_value(state("16", entity_id="select.limit"), "importLimit_A") == 16.0
    assert to_value(state("2", entity_id="input_number.phases"), "phases") == 2.0


def test_words_of_an_enumeration() -> None:
    """A member that is a text counts as that text, and not as its own name."""

    class Colour(str, Enum):  # noqa: UP042
        RED = "red"

    assert str(Colour.RED) != "red"
    assert to_value(state("on", x=Colour.RED), "colour", "x") == "red"


def test_half_a_surrogate_pair() -> None:
    """What cannot be written down must not get into the outbox."""
    assert to_value(state("bad \ud800"), "status") is None
    assert (
        to_value(state("on", entity_id="sensor.x", note="\udfff"), "note", "note")
        is None
    )


@pytest.mark.parametrize(
    ("name", "raw", "value"),
    [
        ("actualPowerTot_W", 5, 5.0),
        ("actualPowerTot_W", "5.5", 5.5),
        ("actualPowerTot_W", 2.5, 2.5),
        ("actualPowerTot_W", "five", None),
        ("actualPowerTot_W", math.nan, None),
        ("actualPowerTot_W", math.inf, None),
        ("signalActive", True, True),
        ("signalActive", False, False),
        ("status", "heating", "heating"),
        ("status", "", None),
        ("status", "on", "on"),
        ("status", None, None),
        ("status", ["a"], None),
        ("status", {"a": 1}, None),
        ("status", 10**400, None),
        pytest.param("status", 10**5000, None, id="endless"),
        ("status", 3, 3.0),
    ],
)
def test_attributes(name: str, raw: Any, value: Any) -> None:
    """An attribute is in the unit of the name, whatever the unit of the state."""
    got = to_value(state("1", "kW", "switch.x", level=raw), name, "level")
    assert got == value
    assert type(got) is type(value)


def test_attribute_of_the_unavailable() -> None:
    """What an entity said before it became unavailable does not hold any more."""
    assert to_value(state("unavailable", level=5), "level", "level") is None
    assert to_value(state("on", level=5), "other", "missing") is None


@pytest.mark.parametrize(
    ("device_class", "unit", "expected"),
    [
        ("power", "kW", "actualPowerTot_W"),
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


@given(text=st.text(), name=st.sampled_from(["status", "actualPowerTot_W"]))
def test_any_text(text: str, name: str) -> None:
    """Whatever a state says: a finite float, a word that can be written down, or nothing."""
    shown = State("sensor.x", "ok", {"text": text})
    value = to_value(shown, name, "text")
    if isinstance(value, str):
        assert name == "status"
        assert value
        assert value.encode()
    else:
        assert value is None or (type(value) is float and math.isfinite(value))
