"""The field catalogue, held against what Home Assistant allows and what the translations name."""

from collections.abc import Collection
from dataclasses import replace
import json
import math
from pathlib import Path
import re
from typing import Any

import pytest

from custom_components.eniris import sensor
from custom_components.eniris.api import Device, FieldValue, SeriesInfo
from custom_components.eniris.field_description import FieldDescription, Kind
from custom_components.eniris.importing.catalogue import (
    CATALOGUE,
    beside_counter,
    describe,
    describe_node,
    directions,
    enabled_at_first,
)
from homeassistant.components.sensor import SensorDeviceClass, SensorStateClass
from homeassistant.const import EntityCategory
from simulator.world import HomeWorld
from tests.kit.catalogue import FIELDS, is_consistent

PACKAGE = Path(sensor.__file__).parent
TEXTS = json.loads((PACKAGE / "translations" / "en.json").read_text("utf-8"))["entity"]
ICONS = json.loads((PACKAGE / "icons.json").read_text("utf-8"))["entity"]

MEASUREMENTS = [
    "submeteringMetrics",
    "gridMetrics",
    "batteryMetrics",
    "hybridInverterMetrics",
    "solarInverterMetrics",
    "solarInstallationMetrics",
    "solarPlantMetrics",
    "solarStringMetrics",
    "solarOptimizerMetrics",
    "evChargerMetrics",
    "heatPumpMetrics",
    "boilerMetrics",
    "switchedLoadMetrics",
    "externalSignalMetrics",
    "installationMetrics",
    "planning",
    "getMeasStats",
]

KNOWN = {
    (description.translation_key, description.key): description
    for measurement in MEASUREMENTS
    for field in CATALOGUE
    for described in [describe(measurement, field)]
    for description in (
        described,
        *directions(measurement, described),
        *([beside_counter(described)] if described.accumulates else []),
    )
}
ALL = list(KNOWN.values())


def series(measurement: str, *fields: str, policy: str = "rp_one_s") -> SeriesInfo:
    """Return a series of a node."""
    return SeriesInfo("db", policy, measurement, (("nodeId", "x"),), fields)


def test_every_field_of_the_page() -> None:
    """The table has the page's fields, each by name in the translations."""
    assert len(FIELDS) == len(set(FIELDS))
    assert set(FIELDS) <= set(CATALOGUE)
    # The page writes "L1…L3" for active power only; real meters have the rest
    assert set(CATALOGUE) - set(FIELDS) == {
        "reacPowerL1_VAr",
        "reacPowerL2_VAr",
        "reacPowerL3_VAr",
    }


@pytest.mark.parametrize(
    "description", ALL, ids=lambda found: f"{found.key}-{found.translation_key}"
)
def test_description(description: FieldDescription) -> None:
    """Device class, unit and state class go together, and the name can be put together."""
    assert is_consistent(description)
    if description.kind is Kind.NUMBER:
        assert description.state_class
        assert description.suggested_display_precision is not None
        assert (
            description.native_unit_of_measurement
            or description.device_class is SensorDeviceClass.POWER_FACTOR
        )
    else:
        assert description.device_class is None
        assert description.state_class is None
        assert description.native_unit_of_measurement is None
        assert description.suggested_display_precision is None
    platform = "binary_sensor" if description.kind is Kind.FLAG else "sensor"
    assert description.translation_key
    name = TEXTS[platform][description.translation_key]["name"]
    assert set(re.findall(r"{(\w+)}", name)) == set(dict(description.placeholders))
    if description.device_class is None:
        # Others have the one of their device class at least
        assert ICONS[platform][description.translation_key]["default"].startswith(
            "mdi:"
        )
    assert description.entity_category in (None, EntityCategory.DIAGNOSTIC)


@pytest.mark.parametrize("field", FIELDS)
def test_unit_agrees_with_the_name(field: str) -> None:
    """A field's name ends in the unit that its values are taken to be in."""
    description = CATALOGUE[field]
    assert description.key == field
    _, separator, unit = field.rpartition("_")
    if not separator or unit == "label":
        assert description.native_unit_of_measurement is None
        assert description.factor is None
    elif unit == "frac":
        assert description.native_unit_of_measurement == "%"
        assert description.factor == 100
    elif unit == "perkWh":
        assert description.native_unit_of_measurement == "EUR/kWh"
        assert description.device_class is None
    else:
        assert str(description.native_unit_of_measurement).lower() == unit.lower()
        assert description.factor is None
    if unit == "Wh":
        assert description.suggested_unit_of_measurement == "kWh"
        assert description.accumulates == ("Delta" in field)
        assert description.state_class is (
            SensorStateClass.TOTAL
            if description.accumulates
            else SensorStateClass.TOTAL_INCREASING
        )
    else:
        assert not description.accumulates


def test_kinds() -> None:
    """Words and truth values are what the page says they are."""
    assert {key for key, found in CATALOGUE.items() if found.kind is Kind.WORD} == {
        "status",
        "operationMode",
        "policy",
        "strategy",
        "constraint_ph0_label",
    }
    assert {key for key, found in CATALOGUE.items() if found.kind is Kind.FLAG} == {
        "evRequiringCharge",
        "signalActive",
    }
    assert Kind.UNDECIDED not in {found.kind for found in CATALOGUE.values()}


def test_disabled() -> None:
    """What few people look at is disabled, unless the node is one on which they do."""
    disabled = {
        key
        for key, found in CATALOGUE.items()
        if not found.entity_registry_enabled_default
    }
    assert disabled == {
        key
        for key in CATALOGUE
        if key.endswith("_VAr")
        or key.startswith(("powerFactor", "voltage", "current"))
        or key
        in {
            *("actualPowerL1_W", "actualPowerL2_W", "actualPowerL3_W"),
            *("batteryCurrent_A", "batteryVoltage_V", "frequency_Hz", "getMeasTime_s"),
        }
    } | {
        "childrenProducedEnergyDeltaTot_Wh",
        "childrenConsumedEnergyDeltaTot_Wh",
        "autoconsumedEnergyDeltaTot_Wh",
    }


def on_at_first(
    node_type: str | None, *parents: str, fields: Collection[str] = CATALOGUE
) -> set[str]:
    """Return which fields of a node of a type are enabled."""
    device = Device("x", node_type=node_type, parents=parents)
    described = {("m", field): describe("m", field) for field in fields}
    return {
        field
        for (_, field), found in enabled_at_first(device, described).items()
        if found.entity_registry_enabled_default
    }


def test_meter_of_the_grid() -> None:
    """Phases and frequency are enabled where a meter hangs below a site, and on nothing else."""
    others = on_at_first("powerMeter", "SGC1_switchboard_0")
    assert others == on_at_first("hybridInverter", "SGC1_site_0") == on_at_first(None)
    assert on_at_first("powerMeter", "SGC1_site_0") - others == {
        "frequency_Hz",
        *(f"actualPowerL{phase}_W" for phase in (1, 2, 3)),
        *(f"currentL{phase}_A" for phase in (1, 2, 3)),
        *(f"voltageL{phase}N_V" for phase in (1, 2, 3)),
    }


@pytest.mark.parametrize(
    ("node_type", "missing"),
    [
        ("heatPump", {"exported", "produced", "discharged"}),
        ("evCharger", {"exported", "produced", "discharged"}),
        ("solarString", {"imported", "consumed", "charged"}),
        ("battery", set()),
        ("somethingNew", set()),
    ],
)
def test_energy_that_a_node_cannot_have(node_type: str, missing: set[str]) -> None:
    """What stands at zero for ever is not enabled, counter or sum."""
    directions = (
        *("imported", "exported", "produced", "consumed", "charged", "discharged"),
    )
    fields = {
        field.format(direction): direction
        for direction in directions
        for field in (
            "{}AbsEnergyTot_Wh",
            "{}EnergyDeltaTot_Wh",
            "sum_{}EnergyDeltaTot_Wh",
        )
    }
    enabled = on_at_first(node_type, fields=fields)
    assert {fields[name] for name in fields.keys() - enabled} == missing
    assert {fields[name] for name in enabled} == {*directions} - missing


def test_icons_belong_to_names() -> None:
    """No icon is left over."""
    for platform in ("sensor", "binary_sensor"):
        assert set(ICONS[platform]) <= set(TEXTS[platform])


@pytest.mark.parametrize("world_device", HomeWorld()._devices, ids=lambda found: "")
def test_distinct_names(world_device: dict[str, Any]) -> None:
    """No two fields of a node of the demo home share a name, without anything added."""
    infos = [
        series(info["measurement"], *info["fields"], policy=info["retentionPolicy"])
        for info in world_device["properties"]["nodeInfluxSeries"]
    ]
    found = describe_node(infos)
    names = [
        (description.translation_key, description.placeholders)
        for description in found.values()
    ]
    assert len(names) == len(set(names))
    assert all(description.distinction is None for description in found.values())


def test_name_on_the_battery() -> None:
    """The battery's own node does not say "Battery" twice, another node says it."""
    on_battery = describe("batteryMetrics", "batteryVoltage_V")
    on_inverter = describe("hybridInverterMetrics", "batteryVoltage_V")
    assert on_battery.translation_key == "voltage"
    assert on_inverter.translation_key == "battery_voltage"


# Directions


@pytest.mark.parametrize("measurement", MEASUREMENTS)
def test_directions(measurement: str) -> None:
    """The total of a signed power has its parts where the sign has a meaning."""
    found = {
        field: [
            (part.translation_key, part.part)
            for part in directions(measurement, describe(measurement, field))
        ]
        for field in FIELDS
    }
    storage = found.pop("childrenStoragePower_W")
    assert storage == [
        ("storage_charge_power", "charge"),
        ("storage_discharge_power", "discharge"),
    ]
    power = found.pop("actualPowerTot_W")
    if measurement == "batteryMetrics":
        assert power == [("charge_power", "charge"), ("discharge_power", "discharge")]
    elif measurement in {
        "gridMetrics",
        "submeteringMetrics",
        "installationMetrics",
        "hybridInverterMetrics",
    }:
        assert power == [("import_power", "import"), ("export_power", "export")]
    else:
        assert not power
    assert not any(found.values())


@pytest.mark.parametrize(
    ("value", "positive", "negative"),
    [
        (5.5, 5.5, 0.0),
        (-5.5, 0.0, 5.5),
        (0.0, 0.0, 0.0),
        (-0.0, 0.0, 0.0),
        (3, 3, 0),
        ("3", None, None),
        (True, None, None),
        (math.nan, None, None),
    ],
)
def test_native_value_of_directions(
    value: FieldValue, positive: float | None, negative: float | None
) -> None:
    """A part is the power in its direction and nothing in the other one, never minus nothing."""
    described = describe("batteryMetrics", "actualPowerTot_W")
    assert described.entity_registry_enabled_default
    natives = []
    for part in directions("batteryMetrics", described):
        assert not part.entity_registry_enabled_default
        natives.append(part.native(value))
    assert natives == [positive, negative]
    assert not any(
        isinstance(native, float) and math.copysign(1, native) < 0 for native in natives
    )


# The fields of a node, side by side


def test_sum_beside_its_counter() -> None:
    """The sum of a delta is for those who have no counter."""
    found = describe_node(
        [
            series("a", "importedEnergyDeltaTot_Wh", "exportedEnergyDeltaTot_Wh"),
            series("a", "importedAbsEnergyTot_Wh", policy="rp_one_m"),
            series("b", "importedEnergyDeltaTot_Wh"),
        ]
    )
    beside = found["a", "importedEnergyDeltaTot_Wh"]
    assert not beside.entity_registry_enabled_default
    assert beside.translation_key == "imported_energy_sum"
    alone = found["a", "exportedEnergyDeltaTot_Wh"]
    assert alone.entity_registry_enabled_default
    assert alone.translation_key == "exported_energy"
    elsewhere = found["b", "importedEnergyDeltaTot_Wh"]
    assert elsewhere.entity_registry_enabled_default
    counter = found["a", "importedAbsEnergyTot_Wh"]
    assert counter.entity_registry_enabled_default
    # The counter of one measurement and the sum of the other are both "Imported energy"
    assert {counter.distinction, elsewhere.distinction} == {"a", "b"}
    assert beside.distinction is None


def test_unknown_sum_beside_its_counter() -> None:
    """An unknown one stays without a translation."""
    found = describe_node([series("a", "xEnergyDeltaTot_Wh", "xAbsEnergyTot_Wh")])
    assert found["a", "xEnergyDeltaTot_Wh"].translation_key is None
    assert found["a", "xEnergyDeltaTot_Wh"].name == "X energy total"


@pytest.mark.parametrize(
    ("fields", "distinctions"),
    [
        # The same in two retention policies is one field
        ([("gridMetrics", "frequency_Hz"), ("gridMetrics", "frequency_Hz")], {None}),
        (
            [
                ("gridMetrics", "frequency_Hz"),
                ("hybridInverterMetrics", "frequency_Hz"),
                ("hybridInverterMetrics", "currentL1_A"),
                ("hybridInverterMetrics", "currentL2_A"),
            ],
            {"grid", "hybrid inverter", None},
        ),
        (
            [("m", "reacPowerSetpoint_VAr"), ("m", "reactivePowerSetpoint_VAr")],
            {"reacPowerSetpoint_VAr", "reactivePowerSetpoint_VAr"},
        ),
        (
            [
                ("m", "reacPowerSetpoint_VAr"),
                ("m", "reactivePowerSetpoint_VAr"),
                ("n", "reacPowerSetpoint_VAr"),
            ],
            {
                "m reacPowerSetpoint_VAr",
                "m reactivePowerSetpoint_VAr",
                "n reacPowerSetpoint_VAr",
            },
        ),
        # Two measurements that read the same
        (
            [("Metrics", "status"), ("grid", "status"), ("gridMetrics", "status")],
            {"Metrics status", "grid status", "gridMetrics status"},
        ),
        # A derived name that is a translated one
        (
            [("m", "power_W"), ("m", "actualPowerTot_W")],
            {"power_W", "actualPowerTot_W"},
        ),
        ([("m", "someThing"), ("m", "some_thing")], {"someThing", "some_thing"}),
    ],
)
def test_clashes(fields: list[tuple[str, str]], distinctions: set[str | None]) -> None:
    """Fields of one name are told apart by their measurements, else by their own names."""
    found = describe_node(
        series(measurement, field, policy=f"rp_{number}")
        for number, (measurement, field) in enumerate(fields)
    )
    assert {description.distinction for description in found.values()} == distinctions
    for (measurement, _), description in found.items():
        for part in directions(measurement, description):
            assert part.distinction == description.distinction


def test_what_is_made_of_a_field_is_not_beside_it() -> None:
    """Sum, mean and extremes go where the node has the field, in whichever series."""
    found = describe_node(
        [
            series("m", "importedEnergyDeltaTot_Wh", policy="rp_one_m"),
            series(
                "m",
                "sum_importedEnergyDeltaTot_Wh",
                "mean_actualPowerTot_W",
                "min_frequency_Hz",
                "max_new_kW",
                policy="rp_ten_m",
            ),
            series("n", "actualPowerTot_W", "frequency_Hz", "new_kW", "mean_status"),
        ]
    )
    assert set(found) == {
        ("m", "importedEnergyDeltaTot_Wh"),
        ("n", "actualPowerTot_W"),
        ("n", "frequency_Hz"),
        ("n", "new_kW"),
        ("n", "mean_status"),
    }
    assert {description.distinction for description in found.values()} == {None}


@pytest.mark.parametrize(
    ("source", "name", "is_enabled"),
    [
        ("importedEnergyDeltaTot_Wh", "imported_energy", True),
        ("childrenStorageChargedEnergyDeltaTot_Wh", "storage_charged_energy", True),
        ("autoconsumedEnergyDeltaTot_Wh", "self_consumed_energy", False),
        ("lentEnergyDeltaTot_Wh", "Lent energy total", False),
    ],
)
def test_sum_alone_is_the_energy(source: str, name: str, is_enabled: bool) -> None:
    """Where there is the sum alone, it is the total of that energy."""
    [found] = describe_node([series("m", f"sum_{source}", policy="rp_ten_m")]).values()
    assert found == replace(describe("m", source), key=f"sum_{source}")
    assert found.accumulates
    assert name in (found.translation_key, found.name)
    assert found.entity_registry_enabled_default == is_enabled


def test_sum_beside_a_counter() -> None:
    """The counter is the same energy: its name is the counter's, and few need the sum."""
    found = describe_node(
        [
            series("m", "importedAbsEnergyTot_Wh"),
            series("m", "sum_importedEnergyDeltaTot_Wh", policy="rp_ten_m"),
        ]
    )
    beside = found["m", "sum_importedEnergyDeltaTot_Wh"]
    assert beside.translation_key == "imported_energy_sum"
    assert not beside.entity_registry_enabled_default


@pytest.mark.parametrize("function", ["min", "max", "mean"])
@pytest.mark.parametrize("field", ["importedEnergyDeltaTot_Wh", "xDelta_Wh"])
def test_no_total_of_means(function: str, field: str) -> None:
    """The mean of an interval's energy must not be summed, nor taken for a counter."""
    found = describe("m", f"{function}_{field}")
    assert not found.accumulates
    assert found.state_class is None
    assert is_consistent(found)
    assert found.native(2.5) == 2.5


def test_extremes_side_by_side() -> None:
    """Each says which it is, since their names are those of the field."""
    fields = ("min_actualPowerTot_W", "max_actualPowerTot_W", "mean_actualPowerTot_W")
    found = describe_node([series("m", *fields), series("n", fields[0])])
    assert [each.distinction for each in found.values()] == [
        "min, m",
        "max",
        "mean",
        "min, n",
    ]
    for each in found.values():
        assert each.translation_key == "power"
        assert each.state_class is SensorStateClass.MEASUREMENT
        assert not each.entity_registry_enabled_default
        assert not directions("m", each)


@pytest.mark.parametrize(
    "field",
    [
        "sum_actualPowerTot_W",
        "sum_importedAbsEnergyTot_Wh",
        "sum_status",
        "mean_status",
    ],
)
def test_functions_that_mean_nothing(field: str) -> None:
    """What has no meaning to anybody has no statistics, and is disabled."""
    found = describe("m", field)
    assert found.state_class is None
    assert not found.accumulates
    assert not found.entity_registry_enabled_default
