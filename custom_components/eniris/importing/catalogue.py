"""The field catalogue: what each Eniris field is to Home Assistant.

One table covers the fields of the API's page on names. A field that it lacks is described by its
own name, which ends in the unit, and by its first value where there is no unit.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import lru_cache
import re
from typing import Any, Final, Literal

from homeassistant.components.sensor import SensorDeviceClass, SensorStateClass
from homeassistant.const import EntityCategory
from homeassistant.util import slugify

from ..api import Device, SeriesInfo
from ..field_description import (
    FieldDescription,
    Kind,
    describe_by_name,
    known_field,
    readable,
)

_DISABLED: Final[Mapping[str, Any]] = {"entity_registry_enabled_default": False}
_POWER_FACTOR: Final[Mapping[str, Any]] = {
    "kind": Kind.NUMBER,
    "device_class": SensorDeviceClass.POWER_FACTOR,
    "state_class": SensorStateClass.MEASUREMENT,
    "suggested_display_precision": 2,
    **_DISABLED,
}
# No enumeration: nobody has written down which values there are
_WORD: Final[Mapping[str, Any]] = {"kind": Kind.WORD}
_FLAG: Final[Mapping[str, Any]] = {"kind": Kind.FLAG}
_DIAGNOSTIC: Final[Mapping[str, Any]] = {"entity_category": EntityCategory.DIAGNOSTIC}
_WHOLE: Final[Mapping[str, Any]] = {"suggested_display_precision": 0}
_BATTERY: Final = {"device_class": SensorDeviceClass.BATTERY, **_WHOLE}

_TABLE: Final[tuple[tuple[str, str, Mapping[str, Any]], ...]] = (
    ("actualPowerTot_W", "power", {}),
    ("childrenStoragePower_W", "storage_power", {}),
    ("childrenProducedPower_W", "produced_power", {}),
    ("childrenEVPower_W", "ev_power", {}),
    ("childrenConsumedPower_W", "consumed_power", {}),
    ("childrenOtherPower_W", "other_power", {}),
    ("powerSetpoint_W", "power_setpoint", {}),
    ("setpoint_W", "setpoint", {}),
    ("importLimit_W", "import_limit", {}),
    ("exportLimit_W", "export_limit", {}),
    ("reacPowerTot_VAr", "reactive_power", _DISABLED),
    # Two spellings of one thing; a node that has both is disambiguated below
    ("reacPowerSetpoint_VAr", "reactive_power_setpoint", _DISABLED),
    ("reactivePowerSetpoint_VAr", "reactive_power_setpoint", _DISABLED),
    ("powerFactorTot", "power_factor", _POWER_FACTOR),
    ("childrenStorageChargedEnergyDeltaTot_Wh", "storage_charged_energy", {}),
    ("childrenStorageDischargedEnergyDeltaTot_Wh", "storage_discharged_energy", {}),
    # Seen as sums of a grid meter; the site has the first two itself
    ("childrenProducedEnergyDeltaTot_Wh", "produced_energy", _DISABLED),
    ("childrenConsumedEnergyDeltaTot_Wh", "consumed_energy", _DISABLED),
    ("autoconsumedEnergyDeltaTot_Wh", "self_consumed_energy", _DISABLED),
    ("currentDC_A", "dc_current", _DISABLED),
    ("batteryCurrent_A", "battery_current", _DISABLED),
    ("voltageDC_V", "dc_voltage", _DISABLED),
    ("batteryVoltage_V", "battery_voltage", _DISABLED),
    ("frequency_Hz", "frequency", _DISABLED),
    ("stateOfCharge_frac", "state_of_charge", _BATTERY),
    ("stateOfHealth_frac", "state_of_health", {**_DIAGNOSTIC, **_WHOLE}),
    ("childrenStorageStateOfCharge_frac", "storage_state_of_charge", _BATTERY),
    ("buyPrice_perkWh", "electricity_price", {}),
    ("sellPrice_perkWh", "feed_in_price", {}),
    # What a thing does is worth a glance; why the controller wants it so is for who looks closer
    ("status", "status", _WORD),
    ("operationMode", "operation_mode", _WORD),
    ("policy", "policy", {**_WORD, **_DIAGNOSTIC}),
    ("strategy", "strategy", {**_WORD, **_DIAGNOSTIC}),
    ("constraint_ph0_label", "constraint", {**_WORD, **_DIAGNOSTIC}),
    ("evRequiringCharge", "ev_requiring_charge", _FLAG),
    ("signalActive", "signal_active", _FLAG),
    (
        "getMeasTime_s",
        "reading_time",
        {"suggested_display_precision": 3, **_DIAGNOSTIC, **_DISABLED},
    ),
)

_DIRECTIONS: Final = (
    *("imported", "exported", "produced", "consumed", "charged", "discharged"),
)

_PHASES: Final = tuple({"phase": phase} for phase in ("L1", "L2", "L3"))
_LINES: Final = tuple(
    {"first": first, "second": second}
    for first, second in (("L1", "L2"), ("L2", "L3"), ("L3", "L1"))
)

_TABLE_OF_PHASES: Final[
    tuple[tuple[str, str, tuple[dict[str, str], ...], Mapping[str, Any]], ...]
] = (
    ("actualPower{phase}_W", "power_phase", _PHASES, _DISABLED),
    ("reacPower{phase}_VAr", "reactive_power_phase", _PHASES, _DISABLED),
    ("powerFactor{phase}", "power_factor_phase", _PHASES, _POWER_FACTOR),
    ("current{phase}_A", "current_phase", (*_PHASES, {"phase": "N"}), _DISABLED),
    ("voltage{phase}N_V", "voltage_phase", _PHASES, _DISABLED),
    ("voltage{first}{second}_V", "voltage_lines", _LINES, _DISABLED),
)

CATALOGUE: Final[Mapping[str, FieldDescription]] = {
    description.key: description
    for description in (
        *(known_field(field, name, **changes) for field, name, changes in _TABLE),
        *(
            known_field(f"{direction}{field}", f"{direction}_energy")
            for direction in _DIRECTIONS
            for field in ("AbsEnergyTot_Wh", "EnergyDeltaTot_Wh")
        ),
        *(
            known_field(
                field.format_map(each),
                name,
                placeholders=tuple(each.items()),
                **changes,
            )
            for field, name, placeholders, changes in _TABLE_OF_PHASES
            for each in placeholders
        ),
    )
}

PRICES: Final = frozenset({"buyPrice_perkWh", "sellPrice_perkWh"})
"""Fields that are known for some time ahead, and so are shown with today's and tomorrow's values."""

# On the battery's own node the word would stand twice; on a site's nobody would know whose power
_OF_MEASUREMENT: Final[Mapping[tuple[str, str], FieldDescription]] = {
    (measurement, field): known_field(field, name, **changes)
    for measurement, field, name, changes in (
        # A site's own power is that of its connection to the grid
        ("installationMetrics", "actualPowerTot_W", "grid_power", {}),
        ("batteryMetrics", "batteryCurrent_A", "current", _DISABLED),
        ("batteryMetrics", "batteryVoltage_V", "voltage", _DISABLED),
    )
}

_FUNCTION: Final = re.compile(r"(sum|min|max|mean)_(.+)", re.DOTALL)
"""How the field begins that the service makes of another one, over the interval of its policy."""


@lru_cache(maxsize=4096)
def describe(measurement: str, field: str) -> FieldDescription:
    """Return what a field is in a measurement.

    A sum of energy is the same energy. The least, the greatest and the mean value are of the kind
    of the field that they are made of.
    """
    if match := _FUNCTION.fullmatch(field):
        function, source = match.groups()
        described = _field(measurement, source)
        if function == "sum":
            if described.accumulates:
                return replace(described, key=field)
        elif described.kind is Kind.NUMBER:
            return replace(
                described,
                key=field,
                # There is no sum of what is none
                accumulates=False,
                state_class=None if described.accumulates else described.state_class,
                entity_registry_enabled_default=False,
                distinction=function,
            )
        return replace(describe_by_name(field), accumulates=False, state_class=None)
    return _field(measurement, field)


def _field(measurement: str, field: str) -> FieldDescription:
    return (
        _OF_MEASUREMENT.get((measurement, field))
        or CATALOGUE.get(field)
        or describe_by_name(field)
    )


# The two directions of a signed power

type _Parts = tuple[tuple[str, Literal[1, -1]], ...]

_IMPORT_EXPORT: Final[_Parts] = (("import", 1), ("export", -1))
_CHARGE_DISCHARGE: Final[_Parts] = (("charge", 1), ("discharge", -1))

_PARTS: Final[Mapping[str, _Parts]] = {
    # The API's page gives the sign a meaning in these. Solar power and a load's have one direction only; so has that of
    # most meters of circuits, but nothing in the data tells them from the grid's meter.
    "gridMetrics": _IMPORT_EXPORT,
    "hybridInverterMetrics": _IMPORT_EXPORT,
    "submeteringMetrics": _IMPORT_EXPORT,
    "installationMetrics": _IMPORT_EXPORT,
    "batteryMetrics": _CHARGE_DISCHARGE,
}


def directions(
    measurement: str, description: FieldDescription
) -> tuple[FieldDescription, ...]:
    """Return what a signed power is made of where its sign has a meaning.

    Nobody needs both it and its parts, so they are disabled by default.
    """
    parts: _Parts = ()
    prefix = ""
    if description.key == "actualPowerTot_W":
        parts = _PARTS.get(measurement, ())
    elif description.key == "childrenStoragePower_W":
        parts, prefix = _CHARGE_DISCHARGE, "storage_"
    return tuple(
        replace(
            description,
            translation_key=f"{prefix}{part}_power",
            entity_registry_enabled_default=False,
            part=part,
            sign=sign,
        )
        for part, sign in parts
    )


# The fields of a node, side by side

type NodeFields = dict[tuple[str, str], FieldDescription]
"""Descriptions by measurement and field."""


def describe_node(series: Iterable[SeriesInfo]) -> NodeFields:
    """Return what the fields of one node are, disambiguated where they would have the same name.

    What the service makes of a field is not among them where the node has the field itself. The sum
    of a delta is what a node without a lifetime counter has to offer. Beside the counter it says the
    same, and so is disabled by default.
    """
    found = [(info.measurement, name) for info in series for name in info.fields]
    there, names = set(found), {name for _, name in found}
    fields: NodeFields = {}
    for measurement, name in found:
        match = _FUNCTION.fullmatch(name)
        if match is not None and match[2] in names:
            continue
        description = describe(measurement, name)
        counter = name.removeprefix("sum_").replace("EnergyDelta", "AbsEnergy")
        if description.accumulates and (measurement, counter) in there:
            description = beside_counter(description)
        fields[measurement, name] = description
    return disambiguate(fields)


# What is enabled at first, where that depends on the node

_METERED_PHASES: Final = frozenset(
    field.format_map(each)
    for field in ("actualPower{phase}_W", "current{phase}_A", "voltage{phase}N_V")
    for each in _PHASES
) | {"frequency_Hz"}
"""What a person reads on the meter of the grid, where fuses and voltages have limits, and nowhere else."""

_SITE_ID: Final = re.compile(r".+_site_\d+")

_ONE_WAY: Final[Mapping[str, str]] = {
    **dict.fromkeys(
        ("boiler", "evCharger", "heatPump", "switchedLoad"),
        "exported|produced|discharged",
    ),
    **dict.fromkeys(("solarOptimizer", "solarString"), "imported|consumed|charged"),
}
"""How the energies begin that stand at zero for a type of node, which cannot have them."""


def enabled_at_first(device: Device, fields: NodeFields) -> NodeFields:
    """Return the fields of a node, those enabled by default that a person reads on such a node."""
    # What hangs directly below a site measures its connection; circuits hang below a switchboard
    is_grid_meter = device.node_type == "powerMeter" and any(
        _SITE_ID.fullmatch(parent) for parent in device.parents
    )
    impossible = re.compile(
        rf"(sum_)?({_ONE_WAY.get(device.node_type or '', '(?!)')})(Abs)?Energy.*"
    )
    changed = dict(fields)
    for key, description in fields.items():
        if is_grid_meter and description.key in _METERED_PHASES:
            changed[key] = replace(description, entity_registry_enabled_default=True)
        elif impossible.fullmatch(description.key):
            changed[key] = replace(description, entity_registry_enabled_default=False)
    return changed


def beside_counter(description: FieldDescription) -> FieldDescription:
    """Return the description of a delta's sum where the node counts the same energy itself."""
    key = description.translation_key
    return replace(
        description,
        translation_key=None if key is None else f"{key}_sum",
        entity_registry_enabled_default=False,
    )


def disambiguate(fields: NodeFields) -> NodeFields:
    """Return the descriptions, those of one name with the first text that tells all of them apart."""
    by_name: defaultdict[object, list[tuple[str, str]]] = defaultdict(list)
    for key, description in fields.items():
        # Translation keys are the English names in lower case, so a name that is none compares
        name = description.translation_key or slugify(str(description.name))
        shown = name, description.placeholders, description.distinction
        by_name[shown].append(key)
    disambiguated = dict(fields)
    for clashing in by_name.values():
        if len(clashing) == 1:
            continue
        for texts in (
            [readable(name.removesuffix("Metrics")).lower() for name, _ in clashing],
            [field for _, field in clashing],
            [f"{measurement} {field}" for measurement, field in clashing],
        ):
            if all(texts) and len(set(texts)) == len(texts):
                break
        for key, text in zip(clashing, texts, strict=True):
            distinction = ", ".join(filter(None, (fields[key].distinction, text)))
            disambiguated[key] = replace(fields[key], distinction=distinction)
    return disambiguated
