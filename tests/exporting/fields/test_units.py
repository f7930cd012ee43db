"""Which unit a field's name asks for, and how others are brought to it."""

from typing import Any

import pytest

from custom_components.eniris.exporting.fields.kinds import FieldKind, unit_problem
from custom_components.eniris.exporting.fields.units import (
    convert_to_field,
    field_unit,
    unit_suffix,
)
from custom_components.eniris.exporting.fields.values import to_value

from . import state


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
        ("importedAbsEnergyTot_Wh", "J", 1 / 3600),
        ("importedAbsEnergyTot_Wh", "kJ", 1 / 3.6),
        ("importedAbsEnergyTot_Wh", "MJ", 1e3 / 3.6),
        ("importedAbsEnergyTot_Wh", "GJ", 1e6 / 3.6),
        ("importedAbsEnergyTot_Wh", "cal", 4.184 / 3600),
        ("currentL1_A", "A", 1),
        ("currentL1_A", "mA", 1e-3),
        ("currentL1_A", "μA", 1e-6),
        ("currentL1_A", "µA", 1e-6),
        ("voltageL1N_V", "V", 1),
        ("voltageL1N_V", "mV", 1e-3),
        ("voltageL1N_V", "µV", 1e-6),
        ("voltageL1N_V", "μV", 1e-6),
        ("voltageL1N_V", "kV", 1e3),
        ("reacPowerTot_VAr", "var", 1),
        ("reacPowerTot_VAr", "kvar", 1e3),
        ("reacPowerTot_VAr", "kVAr", 1e3),
        ("reacPowerTot_VAr", "VAr", 1),
        ("reacPowerTot_VAr", "mvar", 1e-3),
        ("reacPowerTot_VAr", "MVAr", 1e6),
        ("frequency_Hz", "Hz", 1),
        ("frequency_Hz", "mHz", 1e-3),
        ("frequency_Hz", "kHz", 1e3),
        ("frequency_Hz", "MHz", 1e6),
        ("getMeasTime_s", "s", 1),
        ("getMeasTime_s", "ms", 1e-3),
        ("getMeasTime_s", "µs", 1e-6),
        ("getMeasTime_s", "min", 60),
        ("getMeasTime_s", "h", 3600),
        ("getMeasTime_s", "d", 86400),
        ("stateOfCharge_frac", "%", 1e-2),
        ("stateOfCharge_frac", "‰", 1e-3),
        ("stateOfCharge_frac", "ppm", 1e-6),
        ("powerFactorTot", "%", 1e-2),
        ("powerFactorL3", "%", 1e-2),
        ("inverterPowerFactorTot", "%", 1e-2),
        ("powerFactorTot", None, 1),
        ("powerFactorTot", "", 1),
        ("humidity", "%", 1),
        ("anything", "furlong", 1),
        *(
            (name, unit, 1)
            for name in ("actualPowerTot_W", "stateOfCharge_frac", "x_s", "x_degC")
            for unit in (None, "")
        ),
    ],
)
def test_units(name: str, unit: str | None, factor: float) -> None:
    """A value comes in the unit that the name asks for, on every version of Home Assistant."""
    shown = state("12", unit)
    value = to_value(shown, name, None, FieldKind.NUMBER)
    assert type(value) is float
    assert value == pytest.approx(12 * factor, rel=1e-12)
    assert unit_problem(shown, name) is None


@pytest.mark.parametrize(
    ("text", "unit", "device_class", "value"),
    [
        ("50", "°F", "temperature", 10.0),
        ("50", "°F", None, 10.0),
        ("50", "°C", "temperature", 50.0),
        ("283.15", "K", "temperature", 10.0),
        # A difference has no zero to begin from
        ("9", "°F", "temperature_delta", 5.0),
        ("-9", "°F", "temperature_delta", -5.0),
        ("5", "K", "temperature_delta", 5.0),
        ("5", "°C", "temperature_delta", 5.0),
        ("5", None, "temperature_delta", 5.0),
        ("5", "W", "temperature_delta", None),
    ],
)
def test_temperatures(
    text: str, unit: str | None, device_class: str | None, value: float | None
) -> None:
    """Scales with another zero; of a difference the size of a degree alone counts."""
    shown = state(text, unit, device_class=device_class)
    assert to_value(shown, "boiler_degC", None, FieldKind.NUMBER) == value
    assert convert_to_field(float(text), "boiler_degC", unit, device_class) == value


def test_no_noise() -> None:
    """What binary fractions add beyond what a state says is left out."""
    assert convert_to_field(2.28, "x_W", "kW") == 2280.0
    assert convert_to_field(57, "x_frac", "%") == 0.57


def test_pressure_and_volume() -> None:
    """What is sent under these names is in their unit, whatever unit an entity changes to."""
    assert convert_to_field(2500, "x_bar", "hPa") == 2.5
    assert convert_to_field(1.5, "x_m3", "m³") == 1.5
    assert convert_to_field(1.5, "x_L", "m³") == 1500.0
    assert convert_to_field(250, "x_m3", "L") == 0.25


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("actualPowerTot_W", "kWh"),
        ("actualPowerTot_W", "VA"),
        ("importedAbsEnergyTot_Wh", "W"),
        ("importedAbsEnergyTot_Wh", "varh"),
        ("voltageL1N_V", "A"),
        ("currentL1_A", "V"),
        ("frequency_Hz", "rpm"),
        ("reacPowerTot_VAr", "W"),
        ("getMeasTime_s", "Hz"),
        ("stateOfCharge_frac", "W"),
        ("powerFactorTot", "°"),
        ("boilerTemperature_degC", "%"),
        ("actualPowerTot_W", ["kW"]),
        ("actualPowerTot_W", 5),
        ("stateOfCharge_frac", ["%"]),
    ],
)
def test_units_that_cannot_be_reached(name: str, unit: Any) -> None:
    """A wrong value is worse than none, and the form says so."""
    shown = state("1", unit)
    assert to_value(shown, name, None, FieldKind.NUMBER) is None
    assert unit_problem(shown, name) == "unit_mismatch"


@pytest.mark.parametrize(
    ("name", "has_unit"),
    [
        ("actualPowerTot_W", True),
        ("two_parts_Wh", True),
        ("powerFactorTot", True),
        ("powerFactorL1", True),
        ("constraint_ph0_label", False),
        ("status", False),
        ("powerFactorMode", False),
        ("W", False),
        ("_W", False),
        ("x_w", False),
        ("x_", False),
    ],
)
def test_field_unit(name: str, has_unit: bool) -> None:
    """The unit stands behind the last underscore, as Eniris spells it, but for known ratios."""
    assert (field_unit(name) is not None) is has_unit


@pytest.mark.parametrize(
    ("unit", "suffix"),
    [
        ("kW", "W"),
        ("%", "frac"),
        ("ppm", None),
        ("", None),
        (None, None),
        (["W"], None),
    ],
)
def test_unit_suffix(unit: Any, suffix: str | None) -> None:
    """The ending that is suggested for a unit."""
    assert unit_suffix(unit) == suffix
