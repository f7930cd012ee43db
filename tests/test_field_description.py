"""What a field is as far as its name tells, and what is shown of its values."""

import json
import math

from hypothesis import given, strategies as st
import pytest

from custom_components.eniris.api import FieldValue
from custom_components.eniris.api.telemetry import is_queryable_field
from custom_components.eniris.field_description import Kind, readable, usable_number
from custom_components.eniris.importing.catalogue import CATALOGUE, describe, directions
from homeassistant.components.sensor import SensorStateClass
from tests.kit.catalogue import FIELDS, is_consistent

UNKNOWN = [
    "power_kW",
    "power_MW",
    "apparent_VA",
    "apparent_kVA",
    "reac_VAr",
    "reac_kVAr",
    "energy_Wh",
    "energy_kWh",
    "energy_MWh",
    "fooAbsEnergyTot_Wh",
    "fooEnergyDeltaTot_Wh",
    "fooDelta_kWh",
    "reacEnergy_VArh",
    "u_V",
    "u_mV",
    "u_kV",
    "i_A",
    "i_mA",
    "charge_Ah",
    "f_Hz",
    "t_s",
    "t_ms",
    "t_h",
    "share_frac",
    "share_pct",
    "share_%",
    "cell_degC",
    "cell_degF",
    "cell_K",
    "tilt_deg",
    "p_Pa",
    "p_hPa",
    "p_kPa",
    "p_mbar",
    "p_bar",
    "gas_m3",
    "gas_m³",
    "flow_m3/h",
    "flow_m³/h",
    "flow_L/min",
    "sun_W/m2",
    "sun_W/m²",
    "light_lx",
    "fan_rpm",
    "earth_ohm",
    "earth_Ohm",
    "spotPrice_perkWh",
]


@pytest.mark.parametrize(
    ("field", "value", "native"),
    [
        ("actualPowerTot_W", 3, 3),
        ("actualPowerTot_W", -2.5, -2.5),
        ("actualPowerTot_W", True, None),
        ("actualPowerTot_W", "3", None),
        ("actualPowerTot_W", None, None),
        ("actualPowerTot_W", math.nan, None),
        ("actualPowerTot_W", math.inf, None),
        ("actualPowerTot_W", -math.inf, None),
        ("actualPowerTot_W", 1e19, None),
        ("actualPowerTot_W", 10**400, None),
        ("actualPowerTot_W", 2**63, 2**63),
        ("stateOfCharge_frac", 0.07, 7.0),
        ("stateOfCharge_frac", 1, 100),
        ("stateOfCharge_frac", 0.536728515625, 53.6728515625),
        ("stateOfCharge_frac", 9e18, None),
        ("status", "RUNNING", "running"),
        ("status", "  a\tb\r\nc  ", "A b c"),
        ("status", "à l’arrêt", "À l’arrêt"),
        ("status", "", None),
        ("status", " \n", None),
        ("status", "\0", None),
        ("status", "a\x1bb", None),
        ("status", "\ud800", None),
        ("status", "x" * 255, "X" + "x" * 254),
        ("status", "x" * 256, None),
        ("status", 3, "3"),
        ("status", 3.0, "3"),
        ("status", 3.5, "3.5"),
        ("status", True, None),
        ("status", None, None),
        ("signalActive", True, True),
        ("signalActive", False, False),
        ("signalActive", 1, True),
        ("signalActive", 0.0, False),
        ("signalActive", 2, None),
        ("signalActive", "true", None),
        ("signalActive", None, None),
        ("importedEnergyDeltaTot_Wh", 12.5, 12.5),
        ("importedEnergyDeltaTot_Wh", None, None),
    ],
)
def test_native_value(
    field: str, value: FieldValue | None, native: float | str | None
) -> None:
    """Values are scaled without noise; what cannot be shown is none."""
    shown = CATALOGUE[field].native(value)
    assert shown == native
    assert isinstance(shown, bool) == isinstance(native, bool)


# Fields that the table lacks


@pytest.mark.parametrize("field", UNKNOWN)
def test_unknown_field_with_a_unit(field: str) -> None:
    """The unit tells what it is, in a way that Home Assistant accepts."""
    assert is_queryable_field(field)
    description = describe("someMetrics", field)
    assert description.key == field
    assert description.kind is Kind.NUMBER
    assert is_consistent(description)
    assert description.native_unit_of_measurement
    assert not description.entity_registry_enabled_default
    assert description.translation_key is None
    assert isinstance(description.name, str) and description.name
    assert description.decided(True) is description
    assert description.accumulates == (field == "fooEnergyDeltaTot_Wh")


@pytest.mark.parametrize(
    ("field", "name", "device_class", "state_class", "unit"),
    [
        ("someNewPower_W", "Some new power", "power", "measurement", "W"),
        (
            "maximumProductionPower_W",
            "Maximum production power",
            "power",
            "measurement",
            "W",
        ),
        ("childrenPVPower_kW", "Children PV power", "power", "measurement", "kW"),
        ("actualPowerL4_W", "Actual power L4", "power", "measurement", "W"),
        ("voltageL4N_V", "Voltage L4N", "voltage", "measurement", "V"),
        ("current2Tot_A", "Current2 total", "current", "measurement", "A"),
        ("cell_Temperature_degC", "Cell temperature", "temperature", "measurement", "°C"),
        ("gainedAbsEnergyTot_Wh", "Gained absolute energy total", "energy", "total_increasing", "Wh"),
        ("gainedEnergyDeltaTot_Wh", "Gained energy total", "energy", "total", "Wh"),
        ("gainedDelta_Wh", "Gained", "energy", "total", "Wh"),
        ("gainedEnergyDelta_kWh", "Gained energy delta", "energy", None, "kWh"),
        ("storedEnergy_Wh", "Stored energy", "energy", "total", "Wh"),
        ("reactive_VAr", "Reactive", "reactive_power", "measurement", "var"),
        ("load_frac", "Load", None, "measurement", "%"),
        ("_W", "W", "power", "measurement", "W"),
        ("Delta_Wh", "Delta wh", "energy", "total", "Wh"),
    ],
)  # fmt: skip
def test_derived(
    field: str, name: str, device_class: str | None, state_class: str | None, unit: str
) -> None:
    """Name, unit and classes of fields that nobody has written down."""
    description = describe("someMetrics", field)
    assert description.name == name
    assert description.device_class == device_class
    assert description.state_class == state_class
    assert description.native_unit_of_measurement == unit


@pytest.mark.parametrize(
    ("field", "value", "native"),
    [
        ("new_kVA", 1.5, 1500),
        ("new_kVAr", 1.5, 1500),
        ("new_kV", 0.4, 400),
        ("new_frac", 0.07, 7),
    ],
)
def test_derived_factor(field: str, value: float, native: float) -> None:
    """Units that the oldest Home Assistant lacks are multiplied."""
    assert describe("someMetrics", field).native(value) == native


@pytest.mark.parametrize(
    ("field", "name"),
    [
        ("cycleCount", "Cycle count"),
        ("W", "W"),
        ("minimum_min", "Minimum min"),
        ("constraint_ph1_label", "Constraint ph1 label"),
        ("x", "X"),
        ("***", "***"),
        ("  ", ""),
        ("errorCODE(2)", "Error CODE(2)"),
    ],
)
def test_unknown_field_without_a_unit(field: str, name: str) -> None:
    """The first value tells what it is."""
    assert is_queryable_field(field)
    description = describe("someMetrics", field)
    assert description.name == name
    assert description.kind is Kind.UNDECIDED
    assert not description.accumulates
    assert not description.entity_registry_enabled_default
    for value, kind in (
        (True, Kind.FLAG),
        (0, Kind.NUMBER),
        (1.5, Kind.NUMBER),
        ("on", Kind.TEXT),
        ("", Kind.TEXT),
        (None, Kind.NUMBER),
    ):
        decided = description.decided(value)
        assert decided.kind is kind
        assert is_consistent(decided)
        assert (decided.state_class is SensorStateClass.MEASUREMENT) == (
            kind is Kind.NUMBER
        )
        if value not in ("", None):
            assert decided.native(value) == value


@given(field=st.from_regex(r"[a-zA-Z0-9_ \-+*/.²³%()]+", fullmatch=True))
def test_any_field(field: str) -> None:
    """Whatever the name, the description holds together."""
    description = describe("someMetrics", field)
    assert description.key == field
    assert is_consistent(description)
    assert is_consistent(description.decided(1))
    assert description.translation_key or len(str(description.name)) <= 200


@given(
    value=st.one_of(st.integers(), st.floats(), st.text(), st.booleans(), st.none()),
    field=st.sampled_from([*FIELDS, "x_frac", "x_kVA", "x"]),
)
def test_any_value(value: FieldValue | None, field: str) -> None:
    """Whatever the value, there is a state of the right type or none."""
    description = describe("batteryMetrics", field).decided(value)
    for shown in (description, *directions("batteryMetrics", description)):
        native = shown.native(value)
        if native is None:
            continue
        if shown.kind in (Kind.TEXT, Kind.WORD):
            assert isinstance(native, str)
            assert len(native) <= 255
            json.dumps(native).encode()
        elif shown.kind is Kind.FLAG:
            assert isinstance(native, bool)
        else:
            assert usable_number(native) is not None
            assert len(str(native)) <= 255


def test_readable_abbreviation() -> None:
    """A type of node is written as people write it."""
    assert readable("evCharger") == "EV charger"
    assert readable("heatPump") == "Heat pump"


def test_readable_is_bounded() -> None:
    """A name of a thousand characters is cut."""
    assert len(readable("aB" * 1000)) <= 200
