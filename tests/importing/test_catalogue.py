"""The field catalogue, held against what Home Assistant allows and what the translations name."""

import json
from pathlib import Path
import re

import pytest

from custom_components.eniris import sensor
from custom_components.eniris.api import FieldValue
from custom_components.eniris.importing.catalogue import (
    CATALOGUE,
    FieldDescription,
    describe,
)
from homeassistant.components.sensor.const import (
    DEVICE_CLASS_STATE_CLASSES,
    DEVICE_CLASS_UNITS,
)
from simulator.world import HomeWorld

TRANSLATIONS = json.loads(
    (Path(sensor.__file__).parent / "translations" / "en.json").read_text("utf-8")
)["entity"]["sensor"]

ALL = [
    *CATALOGUE.values(),
    *(
        description
        for field in CATALOGUE
        if (description := describe("batteryMetrics", field)) is not CATALOGUE[field]
        and description is not None
    ),
]


@pytest.mark.parametrize("description", ALL, ids=lambda found: found.translation_key)
def test_description(description: FieldDescription) -> None:
    """Device class, unit and state class go together, and the name can be put together."""
    device_class = description.device_class
    if device_class is not None:
        assert (
            description.native_unit_of_measurement in DEVICE_CLASS_UNITS[device_class]
        )
        assert description.state_class in DEVICE_CLASS_STATE_CLASSES[device_class]
        if description.suggested_unit_of_measurement is not None:
            assert (
                description.suggested_unit_of_measurement
                in DEVICE_CLASS_UNITS[device_class]
            )
    assert description.native_unit_of_measurement
    assert description.state_class
    assert description.suggested_display_precision is not None
    assert description.translation_key
    name = TRANSLATIONS[description.translation_key]["name"]
    assert set(re.findall(r"{(\w+)}", name)) == set(dict(description.placeholders))


def test_unit_agrees_with_the_name() -> None:
    """A field's name ends in the unit that its values are taken to be in."""
    for field, description in CATALOGUE.items():
        assert field == description.key
        unit = field.rpartition("_")[2]
        if unit == "frac":
            assert description.native_unit_of_measurement == "%"
            assert description.factor == 100
        else:
            assert str(description.native_unit_of_measurement).lower() == unit.lower()
            assert description.factor is None


def test_no_translation_is_orphaned() -> None:
    """Every name of a field's sensor belongs to a field."""
    used = {description.translation_key for description in ALL}
    # Names of other sensors than those of fields are not told apart from orphans here
    assert used <= set(TRANSLATIONS)


def test_distinct_names() -> None:
    """No two fields that a measurement has of the same node share a name."""
    for device in HomeWorld()._devices:
        for info in device["properties"]["nodeInfluxSeries"]:
            names = [
                (description.translation_key, description.placeholders)
                for field in info["fields"]
                if (description := describe(info["measurement"], field)) is not None
            ]
            assert len(names) == len(set(names))


def test_name_on_the_battery() -> None:
    """The battery's own node does not say "Battery" twice, another node says it."""
    on_battery = describe("batteryMetrics", "batteryVoltage_V")
    on_inverter = describe("hybridInverterMetrics", "batteryVoltage_V")
    assert on_battery is not None
    assert on_inverter is not None
    assert on_battery.translation_key == "voltage"
    assert on_inverter.translation_key == "battery_voltage"
    assert describe("batteryMetrics", "nothing") is None


@pytest.mark.parametrize(
    ("field", "value", "native"),
    [
        ("actualPowerTot_W", 3, 3),
        ("actualPowerTot_W", -2.5, -2.5),
        ("stateOfCharge_frac", 0.07, 7.0),
        ("stateOfCharge_frac", 1, 100),
        ("stateOfCharge_frac", 0.536728515625, 53.6728515625),
        ("actualPowerTot_W", True, None),
        ("actualPowerTot_W", "3", None),
    ],
)
def test_native_value(field: str, value: FieldValue, native: float | None) -> None:
    """Values are scaled without noise; what is no number is none."""
    assert CATALOGUE[field].native(value) == native
