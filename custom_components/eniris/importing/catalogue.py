"""The field catalogue: what each Eniris field is to Home Assistant.

One table covers the fields of the API's page on names. A field that it lacks is described by its
own name, which ends in the unit, and by its first value where there is no unit.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from enum import Enum, auto
from functools import lru_cache
from itertools import groupby
import re
from typing import Final, Literal

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


# The table


def _power(field: str, name: str, **placeholders: str) -> FieldDescription:
    return FieldDescription(
        key=field,
        translation_key=name,
        placeholders=tuple(placeholders.items()),
        device_class=SensorDeviceClass.POWER,
        state_class=SensorStateClass.MEASUREMENT,
        native_unit_of_measurement=UnitOfPower.WATT,
        suggested_display_precision=0,
    )


def _reactive_power(field: str, name: str, **placeholders: str) -> FieldDescription:
    return FieldDescription(
        key=field,
        translation_key=name,
        placeholders=tuple(placeholders.items()),
        device_class=SensorDeviceClass.REACTIVE_POWER,
        state_class=SensorStateClass.MEASUREMENT,
        native_unit_of_measurement=UnitOfReactivePower.VOLT_AMPERE_REACTIVE,
        suggested_display_precision=0,
        entity_registry_enabled_default=False,
    )


def _power_factor(field: str, name: str, **placeholders: str) -> FieldDescription:
    return FieldDescription(
        key=field,
        translation_key=name,
        placeholders=tuple(placeholders.items()),
        device_class=SensorDeviceClass.POWER_FACTOR,
        state_class=SensorStateClass.MEASUREMENT,
        suggested_display_precision=2,
        entity_registry_enabled_default=False,
    )


def _energy(field: str, name: str, state_class: SensorStateClass) -> FieldDescription:
    return FieldDescription(
        key=field,
        translation_key=name,
        device_class=SensorDeviceClass.ENERGY,
        state_class=state_class,
        native_unit_of_measurement=UnitOfEnergy.WATT_HOUR,
        suggested_unit_of_measurement=UnitOfEnergy.KILO_WATT_HOUR,
        suggested_display_precision=2,
        accumulates=state_class is SensorStateClass.TOTAL,
    )


def _counter(direction: str) -> FieldDescription:
    return _energy(
        f"{direction}AbsEnergyTot_Wh",
        f"{direction}_energy",
        SensorStateClass.TOTAL_INCREASING,
    )


def _delta(direction: str, name: str) -> FieldDescription:
    # A delta may be negative, so the sum may fall
    return _energy(
        f"{direction}EnergyDeltaTot_Wh", f"{name}_energy", SensorStateClass.TOTAL
    )


def _current(field: str, name: str, **placeholders: str) -> FieldDescription:
    return FieldDescription(
        key=field,
        translation_key=name,
        placeholders=tuple(placeholders.items()),
        device_class=SensorDeviceClass.CURRENT,
        state_class=SensorStateClass.MEASUREMENT,
        native_unit_of_measurement=UnitOfElectricCurrent.AMPERE,
        suggested_display_precision=2,
    )


def _voltage(field: str, name: str, **placeholders: str) -> FieldDescription:
    return FieldDescription(
        key=field,
        translation_key=name,
        placeholders=tuple(placeholders.items()),
        device_class=SensorDeviceClass.VOLTAGE,
        state_class=SensorStateClass.MEASUREMENT,
        native_unit_of_measurement=UnitOfElectricPotential.VOLT,
        suggested_display_precision=1,
    )


def _fraction(
    field: str,
    name: str,
    device_class: SensorDeviceClass | None = None,
    category: EntityCategory | None = None,
) -> FieldDescription:
    return FieldDescription(
        key=field,
        translation_key=name,
        device_class=device_class,
        state_class=SensorStateClass.MEASUREMENT,
        native_unit_of_measurement=PERCENTAGE,
        suggested_display_precision=0,
        entity_category=category,
        factor=100,
    )


def _state(
    field: str, name: str, category: EntityCategory | None = None
) -> FieldDescription:
    # No enumeration: nobody has written down which values there are
    return FieldDescription(
        key=field, translation_key=name, entity_category=category, kind=Kind.TEXT
    )


def _flag(field: str, name: str) -> FieldDescription:
    return FieldDescription(key=field, translation_key=name, kind=Kind.FLAG)


_PHASES: Final = ("L1", "L2", "L3")
_LINES: Final = (("L1", "L2"), ("L2", "L3"), ("L3", "L1"))
_DIRECTIONS: Final = (
    "imported",
    "exported",
    "produced",
    "consumed",
    "charged",
    "discharged",
)

_FIELDS: Final = (
    _power("actualPowerTot_W", "power"),
    *(_power(f"actualPower{phase}_W", "power_phase", phase=phase) for phase in _PHASES),
    *(
        _power(f"children{part}Power_W", f"{slugify(part)}_power")
        for part in ("Storage", "Produced", "EV", "Consumed", "Other")
    ),
    _power("powerSetpoint_W", "power_setpoint"),
    _power("setpoint_W", "setpoint"),
    _power("importLimit_W", "import_limit"),
    _power("exportLimit_W", "export_limit"),
    _reactive_power("reacPowerTot_VAr", "reactive_power"),
    *(
        _reactive_power(f"reacPower{phase}_VAr", "reactive_power_phase", phase=phase)
        for phase in _PHASES
    ),
    # Two spellings of one thing; a node that has both is told apart below
    _reactive_power("reacPowerSetpoint_VAr", "reactive_power_setpoint"),
    _reactive_power("reactivePowerSetpoint_VAr", "reactive_power_setpoint"),
    _power_factor("powerFactorTot", "power_factor"),
    *(
        _power_factor(f"powerFactor{phase}", "power_factor_phase", phase=phase)
        for phase in _PHASES
    ),
    *(_counter(direction) for direction in _DIRECTIONS),
    *(_delta(direction, direction) for direction in _DIRECTIONS),
    _delta("childrenStorageCharged", "storage_charged"),
    _delta("childrenStorageDischarged", "storage_discharged"),
    *(
        _current(f"current{phase}_A", "current_phase", phase=phase)
        for phase in (*_PHASES, "N")
    ),
    _current("currentDC_A", "dc_current"),
    _current("batteryCurrent_A", "battery_current"),
    *(
        _voltage(f"voltage{phase}N_V", "voltage_phase", phase=phase)
        for phase in _PHASES
    ),
    *(
        _voltage(
            f"voltage{first}{second}_V", "voltage_lines", first=first, second=second
        )
        for first, second in _LINES
    ),
    _voltage("voltageDC_V", "dc_voltage"),
    _voltage("batteryVoltage_V", "battery_voltage"),
    FieldDescription(
        key="frequency_Hz",
        translation_key="frequency",
        device_class=SensorDeviceClass.FREQUENCY,
        state_class=SensorStateClass.MEASUREMENT,
        native_unit_of_measurement=UnitOfFrequency.HERTZ,
        suggested_display_precision=2,
    ),
    _fraction("stateOfCharge_frac", "state_of_charge", SensorDeviceClass.BATTERY),
    _fraction(
        "stateOfHealth_frac", "state_of_health", category=EntityCategory.DIAGNOSTIC
    ),
    _fraction(
        "childrenStorageStateOfCharge_frac",
        "storage_state_of_charge",
        SensorDeviceClass.BATTERY,
    ),
    # What a thing does is worth a glance; why the controller wants it so is for who looks closer
    _state("status", "status"),
    _state("operationMode", "operation_mode"),
    _state("policy", "policy", EntityCategory.DIAGNOSTIC),
    _state("strategy", "strategy", EntityCategory.DIAGNOSTIC),
    _state("constraint_ph0_label", "constraint", EntityCategory.DIAGNOSTIC),
    _flag("evRequiringCharge", "ev_requiring_charge"),
    _flag("signalActive", "signal_active"),
    FieldDescription(
        key="getMeasTime_s",
        translation_key="reading_time",
        device_class=SensorDeviceClass.DURATION,
        state_class=SensorStateClass.MEASUREMENT,
        native_unit_of_measurement=UnitOfTime.SECONDS,
        suggested_display_precision=3,
        entity_category=EntityCategory.DIAGNOSTIC,
        entity_registry_enabled_default=False,
    ),
)

CATALOGUE: Final[Mapping[str, FieldDescription]] = {
    description.key: description for description in _FIELDS
}

# On the battery's own node the word would stand twice; on a site's nobody would know whose power
_OF_MEASUREMENT: Final[Mapping[tuple[str, str], FieldDescription]] = {
    # A site's own power is that of its connection to the grid
    ("installationMetrics", "actualPowerTot_W"): _power(
        "actualPowerTot_W", "grid_power"
    ),
    ("batteryMetrics", "batteryCurrent_A"): _current("batteryCurrent_A", "current"),
    ("batteryMetrics", "batteryVoltage_V"): _voltage("batteryVoltage_V", "voltage"),
}


@lru_cache(maxsize=4096)
def describe(measurement: str, field: str) -> FieldDescription:
    """Return what a field is in a measurement."""
    return (
        _OF_MEASUREMENT.get((measurement, field))
        or CATALOGUE.get(field)
        or _derived(field)
    )


# The two directions of a signed power

_IMPORT_EXPORT: Final = (("import", 1), ("export", -1))
_CHARGE_DISCHARGE: Final = (("charge", 1), ("discharge", -1))

_EXCHANGING: Final = frozenset(
    # The API's page gives the sign a meaning in the first three. Solar power and a load's have one direction only; so has that of
    # most meters of circuits, but nothing in the data tells them from the grid's meter.
    {
        "gridMetrics",
        "hybridInverterMetrics",
        "submeteringMetrics",
        "installationMetrics",
    }
)


def directions(
    measurement: str, description: FieldDescription
) -> tuple[FieldDescription, ...]:
    """Return what a signed power is made of where its sign has a meaning.

    Nobody needs both it and its parts, so they are disabled by default.
    """
    parts: tuple[tuple[str, Literal[1, -1]], ...]
    prefix = ""
    if description.key == "actualPowerTot_W" and measurement in _EXCHANGING:
        parts = _IMPORT_EXPORT
    elif description.key == "actualPowerTot_W" and measurement == "batteryMetrics":
        parts = _CHARGE_DISCHARGE
    elif description.key == "childrenStoragePower_W":
        parts = _CHARGE_DISCHARGE
        prefix = "storage_"
    else:
        return ()
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


# Fields that the table lacks


@dataclass(frozen=True)
class _Unit:
    unit: str
    device_class: SensorDeviceClass | None = None
    precision: int | None = None
    factor: float | None = None
    state_class: SensorStateClass = SensorStateClass.MEASUREMENT


_UNITS: Final[Mapping[str, _Unit]] = {
    # Where Home Assistant knows a unit only since lately, the value is multiplied instead.
    # Units that are as likely a word (min, max, m, C) are missing on purpose.
    "W": _Unit(UnitOfPower.WATT, SensorDeviceClass.POWER, 0),
    "kW": _Unit(UnitOfPower.KILO_WATT, SensorDeviceClass.POWER, 2),
    "MW": _Unit(UnitOfPower.MEGA_WATT, SensorDeviceClass.POWER, 3),
    "VA": _Unit(UnitOfApparentPower.VOLT_AMPERE, SensorDeviceClass.APPARENT_POWER, 0),
    "kVA": _Unit(
        UnitOfApparentPower.VOLT_AMPERE, SensorDeviceClass.APPARENT_POWER, 0, 1000
    ),
    "VAr": _Unit(
        UnitOfReactivePower.VOLT_AMPERE_REACTIVE, SensorDeviceClass.REACTIVE_POWER, 0
    ),
    "kVAr": _Unit(
        UnitOfReactivePower.VOLT_AMPERE_REACTIVE,
        SensorDeviceClass.REACTIVE_POWER,
        0,
        1000,
    ),
    "Wh": _Unit(
        UnitOfEnergy.WATT_HOUR,
        SensorDeviceClass.ENERGY,
        2,
        state_class=SensorStateClass.TOTAL,
    ),
    "kWh": _Unit(
        UnitOfEnergy.KILO_WATT_HOUR,
        SensorDeviceClass.ENERGY,
        2,
        state_class=SensorStateClass.TOTAL,
    ),
    "MWh": _Unit(
        UnitOfEnergy.MEGA_WATT_HOUR,
        SensorDeviceClass.ENERGY,
        3,
        state_class=SensorStateClass.TOTAL,
    ),
    "VArh": _Unit("varh", None, 0, state_class=SensorStateClass.TOTAL),
    "V": _Unit(UnitOfElectricPotential.VOLT, SensorDeviceClass.VOLTAGE, 1),
    "mV": _Unit(UnitOfElectricPotential.MILLIVOLT, SensorDeviceClass.VOLTAGE, 0),
    "kV": _Unit(UnitOfElectricPotential.VOLT, SensorDeviceClass.VOLTAGE, 0, 1000),
    "A": _Unit(UnitOfElectricCurrent.AMPERE, SensorDeviceClass.CURRENT, 2),
    "mA": _Unit(UnitOfElectricCurrent.MILLIAMPERE, SensorDeviceClass.CURRENT, 0),
    "Ah": _Unit("Ah", None, 1),
    "Hz": _Unit(UnitOfFrequency.HERTZ, SensorDeviceClass.FREQUENCY, 2),
    "s": _Unit(UnitOfTime.SECONDS, SensorDeviceClass.DURATION),
    "ms": _Unit(UnitOfTime.MILLISECONDS, SensorDeviceClass.DURATION),
    "h": _Unit(UnitOfTime.HOURS, SensorDeviceClass.DURATION),
    "frac": _Unit(PERCENTAGE, None, 1, 100),
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
    "m3": _Unit(
        UnitOfVolume.CUBIC_METERS,
        SensorDeviceClass.VOLUME,
        3,
        state_class=SensorStateClass.TOTAL,
    ),
    "m³": _Unit(
        UnitOfVolume.CUBIC_METERS,
        SensorDeviceClass.VOLUME,
        3,
        state_class=SensorStateClass.TOTAL,
    ),
    "m3/h": _Unit(
        UnitOfVolumeFlowRate.CUBIC_METERS_PER_HOUR,
        SensorDeviceClass.VOLUME_FLOW_RATE,
        3,
    ),
    "m³/h": _Unit(
        UnitOfVolumeFlowRate.CUBIC_METERS_PER_HOUR,
        SensorDeviceClass.VOLUME_FLOW_RATE,
        3,
    ),
    "L/min": _Unit(
        UnitOfVolumeFlowRate.LITERS_PER_MINUTE, SensorDeviceClass.VOLUME_FLOW_RATE, 1
    ),
    "W/m2": _Unit(
        UnitOfIrradiance.WATTS_PER_SQUARE_METER, SensorDeviceClass.IRRADIANCE, 0
    ),
    "W/m²": _Unit(
        UnitOfIrradiance.WATTS_PER_SQUARE_METER, SensorDeviceClass.IRRADIANCE, 0
    ),
    "lx": _Unit(LIGHT_LUX, SensorDeviceClass.ILLUMINANCE, 0),
    "rpm": _Unit(REVOLUTIONS_PER_MINUTE, None, 0),
    "ohm": _Unit("Ω"),
    "Ohm": _Unit("Ω"),
}


def _derived(field: str) -> FieldDescription:
    """Describe a field by its name."""
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
            accumulates = suffix == "Wh"
            # The energy of one interval, which statistics would take for a counter
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


def own_unit(field: str) -> str | None:
    """Return the unit in which the service keeps a field, None where its name tells none."""
    suffix = field.rpartition("_")[2] if "_" in field else ""
    unit = _UNITS.get(suffix)
    if unit is None:
        return None
    return unit.unit if unit.factor is None else suffix


_WORD_BOUNDARY: Final = re.compile(
    r"(?<=[a-z])(?=[A-Z])|(?<=[0-9])(?=[A-Z][a-z])|(?<=[A-Z])(?=[A-Z][a-z])|[_\s]+"
)
_LONG_FORMS: Final = {"tot": "total", "abs": "absolute"}


def readable(name: str) -> str:
    """Return the words of a camelCase name; abbreviations keep their capital letters."""
    words = []
    for word in _WORD_BOUNDARY.sub(" ", name[:_LONGEST_NAME]).split():
        if not word.isupper():
            word = word.lower()
            word = _LONG_FORMS.get(word, word)
        words.append(word)
    text = " ".join(words)
    return text[:1].upper() + text[1:]


# The fields of a node, side by side

type NodeFields = dict[tuple[str, str], FieldDescription]
"""Descriptions by measurement and field."""


def describe_node(series: Iterable[SeriesInfo]) -> NodeFields:
    """Return what the fields of one node are, told apart where they would have the same name.

    The sum of a delta is what a node without a lifetime counter has to offer. Beside the counter
    it says the same, and so is disabled by default.
    """
    fields: NodeFields = {}
    for info in series:
        for name in info.fields:
            fields[info.measurement, name] = describe(info.measurement, name)
    for (measurement, name), description in fields.items():
        counter = name.replace("EnergyDelta", "AbsEnergy")
        if description.accumulates and counter != name:
            if (measurement, counter) in fields:
                fields[measurement, name] = beside_counter(description)
    return _told_apart(fields)


def beside_counter(description: FieldDescription) -> FieldDescription:
    """Return the description of a delta's sum where the node counts the same energy itself."""
    key = description.translation_key
    return replace(
        description,
        translation_key=None if key is None else f"{key}_sum",
        entity_registry_enabled_default=False,
    )


_DISTINCTIONS: Final[tuple[Callable[[str, str], str], ...]] = (
    lambda measurement, _: readable(measurement.removesuffix("Metrics")).lower(),
    lambda _, name: name,
    lambda measurement, name: f"{measurement} {name}",
)
"""What is added to a name, by measurement and field: the first that tells all apart."""


def _told_apart(fields: NodeFields) -> NodeFields:
    told_apart = dict(fields)
    by_name = sorted(fields, key=lambda key: _shown_name(fields[key]))
    for _, group in groupby(by_name, key=lambda key: _shown_name(fields[key])):
        clashing = list(group)
        if len(clashing) == 1:
            continue
        for distinction in _DISTINCTIONS:
            texts = [distinction(*key) for key in clashing]
            if all(texts) and len(set(texts)) == len(texts):
                break
        for key, text in zip(clashing, texts, strict=True):
            told_apart[key] = replace(fields[key], distinction=text)
    return told_apart


def _shown_name(
    description: FieldDescription,
) -> tuple[str, tuple[tuple[str, str], ...]]:
    """Return what two fields share that are shown by the same name.

    Translation keys are the English names in lower case, so a name that is none compares with them.
    """
    key = description.translation_key or slugify(str(description.name))
    return key, description.placeholders
