"""What a field is to Home Assistant, as far as its name tells: unit, device class, state class, readable name."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum, auto
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

from .api import FieldValue
from .words import word_state

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
    WORD = auto()
    """A text of which some values are known, and translated."""
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
            case Kind.WORD:
                text = _text(value)
                return text and word_state(str(self.translation_key), text)
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
_WRITTEN_OUT: Final = {"tot": "total", "abs": "absolute", "ev": "EV"}


def readable(name: str) -> str:
    """Return the words of a camelCase name; abbreviations keep their capital letters."""
    text = " ".join(
        word if word.isupper() else _WRITTEN_OUT.get(word.lower(), word.lower())
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
    "perc": _Unit(PERCENTAGE, None, 1),
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
    "L": replace(_VOLUME, unit=UnitOfVolume.LITERS, precision=0),
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


def describe_by_name(field: str) -> FieldDescription:
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


def known_field(field: str, name: str, **changes: Any) -> FieldDescription:
    """Describe a field by the unit in its name, the key of its translation, and what differs from that."""
    return replace(
        describe_by_name(field),
        name=UNDEFINED,
        translation_key=name,
        **{"entity_registry_enabled_default": True, **changes},
    )
