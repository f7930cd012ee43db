"""The field catalogue: what each Eniris field is to Home Assistant.

One table covers the fields of the API's page on names. A field that it lacks is described by its
own name, which ends in the unit, and by its first value where there is no unit.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import Enum, auto
from functools import lru_cache
import re
from typing import Any, Final, Literal

from homeassistant.components.sensor import (
    SensorDeviceClass,
    SensorEntityDescription,
    SensorStateClass,
)
from homeassistant.const import (
    DEGREE,
    LIGHT_LUX,
    PERCENTAGE,
    REVOLUTIONS_PER_MINUTE,
    EntityCategory,
    UnitOfApparentPower,
    UnitOfElectricCurrent,
    UnitOfElectricPotential,
    UnitOfEnergy,
    UnitOfFrequency,
    UnitOfIrradiance,
    UnitOfPower,
    UnitOfPressure,
    UnitOfReactivePower,
    UnitOfTemperature,
    UnitOfTime,
    UnitOfVolume,
    UnitOfVolumeFlowRate,
)
from homeassistant.helpers.typing import UNDEFINED
from homeassistant.util import slugify

from ..api import FieldValue, SeriesInfo

_SCALED_DIGITS: Final = 10

_LONGEST_TEXT: Final = 255
"""Characters that a state may have."""

_LONGEST_NAME: Final = 100

_LARGEST_NUMBER: Final = 2.0**63
"""The service stores integers of 64 bits; nothing that it measures is beyond."""


class Kind(Enum):
    """What the values of a field are."""

    NUMBER = auto()
    TEXT = auto()
    FLAG = auto()
    UNDECIDED = auto()
    """The name does not tell: what the first value is."""


@dataclass(frozen=True, kw_only=True)
class FieldDescription(SensorEntityDescription):
    """What the field named `key` is. Flags, too, are described in a sensor's terms."""

    kind: Kind = Kind.NUMBER

    accumulates: bool = False
    """The service has the energy of each interval; what is shown is their sum."""

    factor: float | None = None
    """What a value is multiplied with to be in the native unit."""

    placeholders: tuple[tuple[str, str], ...] = ()
    """Parts of the name, a phase for instance, so that one translation serves all."""

    distinction: str | None = None
    """What tells it from another field of the same node that has the same name."""

    part: str | None = None
    """Which direction of a signed field this is, None for the field itself."""

    sign: Literal[1, -1] | None = None
    """The sign of the values in that direction."""

    def native(self, value: FieldValue | None) -> float | int | str | bool | None:
        """Return the value in the native unit, None for one that cannot be shown."""
        match self.kind:
            case Kind.FLAG:
                # Some devices know no truth values
                return bool(value) if value in (0, 1) else None
            case Kind.TEXT:
                return _text(value)
            case _:
                return self._number(value)

    def _number(self, value: FieldValue | None) -> float | int | None:
        number = usable_number(value)
        if number is None:
            return None
        if self.sign is not None:
            # In this order, since -0.0 is not to be seen
            number = max(0.0, self.sign * number)
        if self.factor is None:
            return number
        # 0.07 * 100 is 7.000000000000001
        return usable_number(round(number * self.factor, _SCALED_DIGITS))

    def decided(self, value: FieldValue | None) -> "FieldDescription":
        """Return the description with its kind, where that depends on the first value."""
        if self.kind is not Kind.UNDECIDED:
            return self
        if isinstance(value, bool):
            return replace(self, kind=Kind.FLAG)
        if isinstance(value, str):
            return replace(self, kind=Kind.TEXT)
        return replace(self, kind=Kind.NUMBER, state_class=SensorStateClass.MEASUREMENT)


def usable_number(value: object) -> float | int | None:
    """Return a number that Home Assistant can show and count with, None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    # False for NaN, too
    return value if -_LARGEST_NUMBER <= value <= _LARGEST_NUMBER else None


def _text(value: FieldValue | None) -> str | None:
    """Return a text that can be a state: one line that can be printed, and not too long.

    States can be numbers, the meaning of which is the device's own.
    """
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = " ".join(str(value).split())
    if not 0 < len(text) <= _LONGEST_TEXT or not text.isprintable():
        return None
    return text


_WORD_BOUNDARY: Final = re.compile(
    r"(?<=[a-z])(?=[A-Z])|(?<=[0-9])(?=[A-Z][a-z])|(?<=[A-Z])(?=[A-Z][a-z])|[_\s]+"
)
_LONG_FORMS: Final = {"tot": "total", "abs": "absolute"}


def readable(name: str) -> str:
    """Return the words of a camelCase name; abbreviations keep their capital letters."""
    text = " ".join(
        word if word.isupper() else _LONG_FORMS.get(word.lower(), word.lower())
        for word in _WORD_BOUNDARY.sub(" ", name[:_LONGEST_NAME]).split()
    )
    return text[:1].upper() + text[1:]


# What the end of a name tells


@dataclass(frozen=True)
class _Unit:
    unit: str
    device_class: SensorDeviceClass | None = None
    precision: int | None = None
    state_class: SensorStateClass = SensorStateClass.MEASUREMENT
    factor: float | None = None


_TOTAL: Final = SensorStateClass.TOTAL
_VOLUME: Final = _Unit(UnitOfVolume.CUBIC_METERS, SensorDeviceClass.VOLUME, 3, _TOTAL)
_VOLUME_FLOW: Final = _Unit(
    UnitOfVolumeFlowRate.CUBIC_METERS_PER_HOUR, SensorDeviceClass.VOLUME_FLOW_RATE, 3
)
_IRRADIANCE: Final = _Unit(
    UnitOfIrradiance.WATTS_PER_SQUARE_METER, SensorDeviceClass.IRRADIANCE, 0
)
_VA: Final = _Unit(UnitOfApparentPower.VOLT_AMPERE, SensorDeviceClass.APPARENT_POWER, 0)
_VAR: Final = _Unit(
    UnitOfReactivePower.VOLT_AMPERE_REACTIVE, SensorDeviceClass.REACTIVE_POWER, 0
)
_VOLT: Final = _Unit(UnitOfElectricPotential.VOLT, SensorDeviceClass.VOLTAGE, 1)

_UNITS: Final[Mapping[str, _Unit]] = {
    # Where Home Assistant knows a unit only since lately, the value is multiplied instead.
    # Units that are as likely a word (min, max, m, C) are missing on purpose.
    "W": _Unit(UnitOfPower.WATT, SensorDeviceClass.POWER, 0),
    "kW": _Unit(UnitOfPower.KILO_WATT, SensorDeviceClass.POWER, 2),
    "MW": _Unit(UnitOfPower.MEGA_WATT, SensorDeviceClass.POWER, 3),
    "VA": _VA,
    "kVA": replace(_VA, factor=1000),
    "VAr": _VAR,
    "kVAr": replace(_VAR, factor=1000),
    "Wh": _Unit(UnitOfEnergy.WATT_HOUR, SensorDeviceClass.ENERGY, 2, _TOTAL),
    "kWh": _Unit(UnitOfEnergy.KILO_WATT_HOUR, SensorDeviceClass.ENERGY, 2, _TOTAL),
    "MWh": _Unit(UnitOfEnergy.MEGA_WATT_HOUR, SensorDeviceClass.ENERGY, 3, _TOTAL),
    "VArh": _Unit("varh", None, 0, _TOTAL),
    "V": _VOLT,
    "mV": _Unit(UnitOfElectricPotential.MILLIVOLT, SensorDeviceClass.VOLTAGE, 0),
    "kV": replace(_VOLT, precision=0, factor=1000),
    "A": _Unit(UnitOfElectricCurrent.AMPERE, SensorDeviceClass.CURRENT, 2),
    "mA": _Unit(UnitOfElectricCurrent.MILLIAMPERE, SensorDeviceClass.CURRENT, 0),
    "Ah": _Unit("Ah", None, 1),
    "Hz": _Unit(UnitOfFrequency.HERTZ, SensorDeviceClass.FREQUENCY, 2),
    "s": _Unit(UnitOfTime.SECONDS, SensorDeviceClass.DURATION),
    "ms": _Unit(UnitOfTime.MILLISECONDS, SensorDeviceClass.DURATION),
    "h": _Unit(UnitOfTime.HOURS, SensorDeviceClass.DURATION),
    # A sum of money takes the device class `monetary`, a price for each kWh has none
    "perkWh": _Unit("EUR/kWh", None, 4),
    "frac": _Unit(PERCENTAGE, None, 1, factor=100),
    "pct": _Unit(PERCENTAGE, None, 1),
    "%": _Unit(PERCENTAGE, None, 1),
    "degC": _Unit(UnitOfTemperature.CELSIUS, SensorDeviceClass.TEMPERATURE, 1),
    "degF": _Unit(UnitOfTemperature.FAHRENHEIT, SensorDeviceClass.TEMPERATURE, 1),
    "K": _Unit(UnitOfTemperature.KELVIN, SensorDeviceClass.TEMPERATURE, 1),
    "deg": _Unit(DEGREE, None, 1),
    "Pa": _Unit(UnitOfPressure.PA, SensorDeviceClass.PRESSURE, 0),
    "hPa": _Unit(UnitOfPressure.HPA, SensorDeviceClass.PRESSURE, 1),
    "kPa": _Unit(UnitOfPressure.KPA, SensorDeviceClass.PRESSURE, 1),
    "mbar": _Unit(UnitOfPressure.MBAR, SensorDeviceClass.PRESSURE, 1),
    "bar": _Unit(UnitOfPressure.BAR, SensorDeviceClass.PRESSURE, 2),
    "m3": _VOLUME,
    "m³": _VOLUME,
    "m3/h": _VOLUME_FLOW,
    "m³/h": _VOLUME_FLOW,
    "L/min": _Unit(
        UnitOfVolumeFlowRate.LITERS_PER_MINUTE, SensorDeviceClass.VOLUME_FLOW_RATE, 1
    ),
    "W/m2": _IRRADIANCE,
    "W/m²": _IRRADIANCE,
    "lx": _Unit(LIGHT_LUX, SensorDeviceClass.ILLUMINANCE, 0),
    "rpm": _Unit(REVOLUTIONS_PER_MINUTE, None, 0),
    "ohm": _Unit("Ω"),
    "Ohm": _Unit("Ω"),
}


def _of_name(field: str) -> FieldDescription:
    """Describe a field by its name alone; nobody may want it, so it is disabled by default."""
    stem, separator, suffix = field.rpartition("_")
    unit = _UNITS.get(suffix) if separator else None
    if unit is None:
        return FieldDescription(
            key=field,
            name=readable(field),
            kind=Kind.UNDECIDED,
            entity_registry_enabled_default=False,
        )
    state_class: SensorStateClass | None = unit.state_class
    accumulates = False
    suggested_unit: str | None = None
    if unit.device_class is SensorDeviceClass.ENERGY:
        suggested_unit = UnitOfEnergy.KILO_WATT_HOUR
        if "AbsEnergy" in stem:
            state_class = SensorStateClass.TOTAL_INCREASING
        elif "Delta" in stem:
            accumulates = unit.unit == UnitOfEnergy.WATT_HOUR
            # A delta may be negative, so the sum may fall. Where none is made, statistics would
            # take the energy of one interval for a counter.
            state_class = state_class if accumulates else None
    if accumulates:
        stem = stem.replace("Delta", "", 1)
    return FieldDescription(
        key=field,
        name=readable(stem) or readable(field),
        device_class=unit.device_class,
        state_class=state_class,
        native_unit_of_measurement=unit.unit,
        suggested_unit_of_measurement=suggested_unit,
        suggested_display_precision=unit.precision,
        entity_registry_enabled_default=False,
        accumulates=accumulates,
        factor=unit.factor,
    )


# The table


def _known(field: str, name: str, **changes: Any) -> FieldDescription:
    """Describe a field by the unit in its name, the key of its translation, and what differs from that."""
    return replace(
        _of_name(field),
        name=UNDEFINED,
        translation_key=name,
        **{"entity_registry_enabled_default": True, **changes},
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
_TEXT: Final[Mapping[str, Any]] = {"kind": Kind.TEXT}
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
    ("currentDC_A", "dc_current", {}),
    ("batteryCurrent_A", "battery_current", {}),
    ("voltageDC_V", "dc_voltage", {}),
    ("batteryVoltage_V", "battery_voltage", {}),
    ("frequency_Hz", "frequency", {}),
    ("stateOfCharge_frac", "state_of_charge", _BATTERY),
    ("stateOfHealth_frac", "state_of_health", {**_DIAGNOSTIC, **_WHOLE}),
    ("childrenStorageStateOfCharge_frac", "storage_state_of_charge", _BATTERY),
    ("buyPrice_perkWh", "electricity_price", {}),
    ("sellPrice_perkWh", "feed_in_price", {}),
    # What a thing does is worth a glance; why the controller wants it so is for who looks closer
    ("status", "status", _TEXT),
    ("operationMode", "operation_mode", _TEXT),
    ("policy", "policy", {**_TEXT, **_DIAGNOSTIC}),
    ("strategy", "strategy", {**_TEXT, **_DIAGNOSTIC}),
    ("constraint_ph0_label", "constraint", {**_TEXT, **_DIAGNOSTIC}),
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
    ("actualPower{phase}_W", "power_phase", _PHASES, {}),
    ("reacPower{phase}_VAr", "reactive_power_phase", _PHASES, _DISABLED),
    ("powerFactor{phase}", "power_factor_phase", _PHASES, _POWER_FACTOR),
    ("current{phase}_A", "current_phase", (*_PHASES, {"phase": "N"}), {}),
    ("voltage{phase}N_V", "voltage_phase", _PHASES, {}),
    ("voltage{first}{second}_V", "voltage_lines", _LINES, {}),
)

CATALOGUE: Final[Mapping[str, FieldDescription]] = {
    description.key: description
    for description in (
        *(_known(field, name, **changes) for field, name, changes in _TABLE),
        *(
            _known(f"{direction}{field}", f"{direction}_energy")
            for direction in _DIRECTIONS
            for field in ("AbsEnergyTot_Wh", "EnergyDeltaTot_Wh")
        ),
        *(
            _known(
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
    (measurement, field): _known(field, name)
    for measurement, field, name in (
        # A site's own power is that of its connection to the grid
        ("installationMetrics", "actualPowerTot_W", "grid_power"),
        ("batteryMetrics", "batteryCurrent_A", "current"),
        ("batteryMetrics", "batteryVoltage_V", "voltage"),
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
        return replace(_of_name(field), accumulates=False, state_class=None)
    return _field(measurement, field)


def _field(measurement: str, field: str) -> FieldDescription:
    return (
        _OF_MEASUREMENT.get((measurement, field))
        or CATALOGUE.get(field)
        or _of_name(field)
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
