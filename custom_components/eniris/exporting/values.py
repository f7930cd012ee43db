"""From a state to a value: its type, and its unit by the end of the field's name.

Numbers are always floats, since the service fixes a field's type by its first write.
"""

from dataclasses import dataclass
import math
from typing import Any, Final

from homeassistant.components.sensor import SensorDeviceClass
from homeassistant.const import (
    ATTR_DEVICE_CLASS,
    ATTR_UNIT_OF_MEASUREMENT,
    PERCENTAGE,
    STATE_OFF,
    STATE_ON,
    STATE_UNAVAILABLE,
    STATE_UNKNOWN,
    UnitOfElectricCurrent,
    UnitOfElectricPotential,
    UnitOfEnergy,
    UnitOfFrequency,
    UnitOfPower,
    UnitOfReactivePower,
    UnitOfTemperature,
    UnitOfTime,
)
from homeassistant.core import State, split_entity_id
from homeassistant.util import unit_conversion
from homeassistant.util.unit_conversion import (
    BaseUnitConverter,
    DurationConverter,
    ElectricCurrentConverter,
    ElectricPotentialConverter,
    EnergyConverter,
    PowerConverter,
    TemperatureConverter,
    UnitlessRatioConverter,
)

from ..api import FieldValue

ON_OFF_DOMAINS: Final = {
    "automation",
    "binary_sensor",
    "fan",
    "group",
    "humidifier",
    "input_boolean",
    "light",
    "remote",
    "schedule",
    "script",
    "siren",
    "switch",
    "update",
}

_DIGITS: Final = 15

_WORD_DOMAINS: Final = {"input_select", "select"}
"""Whose states are words, also where some of them look like numbers."""


@dataclass(frozen=True, slots=True)
class FieldUnit:
    """A unit that a field's name can end in, and what brings other units to it."""

    unit: str | None
    converter: type[BaseUnitConverter] | None = None

    def convert(self, value: float, unit: str | None) -> float | None:
        """Return `value` of `unit` in this unit, None where there is no way to it.

        A value without a unit is taken to be in the right one.
        """
        if unit is None or unit == self.unit:
            return value
        if self.converter is None or not self.reaches(unit):
            return None
        converted = self.converter.convert(value, unit, self.unit)
        # 2.28 kW are 2279.9999999999995 W; the noise is beyond what any state says
        return float(f"{converted:.{_DIGITS}g}")

    def reaches(self, unit: str | None) -> bool:
        """Tell whether a value of `unit` can be brought to this unit."""
        return (
            unit is None
            or unit == self.unit
            or (
                self.converter is not None
                and isinstance(unit, str)
                and unit in self.converter.VALID_UNITS
            )
        )


def _newer_converter(name: str) -> type[BaseUnitConverter] | None:
    """Return a converter that the oldest Home Assistant does not have yet."""
    converter: type[BaseUnitConverter] | None = getattr(unit_conversion, name, None)
    return converter


_UNITS: Final = {
    "W": FieldUnit(UnitOfPower.WATT, PowerConverter),
    "Wh": FieldUnit(UnitOfEnergy.WATT_HOUR, EnergyConverter),
    "VAr": FieldUnit(
        UnitOfReactivePower.VOLT_AMPERE_REACTIVE,
        _newer_converter("ReactivePowerConverter"),
    ),
    "A": FieldUnit(UnitOfElectricCurrent.AMPERE, ElectricCurrentConverter),
    "V": FieldUnit(UnitOfElectricPotential.VOLT, ElectricPotentialConverter),
    "Hz": FieldUnit(UnitOfFrequency.HERTZ, _newer_converter("FrequencyConverter")),
    "s": FieldUnit(UnitOfTime.SECONDS, DurationConverter),
    "degC": FieldUnit(UnitOfTemperature.CELSIUS, TemperatureConverter),
    "frac": FieldUnit(None, UnitlessRatioConverter),
}


def field_unit(field: str) -> FieldUnit | None:
    """Return the unit that a field's name ends in, None for a name without one."""
    name, separator, suffix = field.rpartition("_")
    return _UNITS.get(suffix) if name and separator else None


def raw_value(state: State | None, attribute: str | None) -> Any:
    """Return what a field is made of: the state, or an attribute of it."""
    if state is None:
        return None
    return state.state if attribute is None else state.attributes.get(attribute)


def state_gist(state: State | None, attribute: str | None) -> Any:
    """Return all of a state that a field's value is made of; a change of it makes a sample."""
    if state is None or state.state in (STATE_UNKNOWN, STATE_UNAVAILABLE):
        return None
    return (
        raw_value(state, attribute),
        state.attributes.get(ATTR_UNIT_OF_MEASUREMENT),
    )


def to_value(
    state: State | None, field: str, attribute: str | None = None
) -> FieldValue | None:
    """Return what `state`, or an attribute of it, means as a value of `field`.

    None where it means nothing: unknown and unavailable, numbers that are not finite, units that
    cannot be brought to the field's, and words where the field's name asks for a number. An
    attribute has no unit of its own and is taken to be in the field's. A state that is one of
    several words stays a word, also where it looks like a number: a field has one type.
    """
    if state is None or state.state in (STATE_UNKNOWN, STATE_UNAVAILABLE):
        return None
    raw = raw_value(state, attribute)
    if isinstance(raw, bool):
        return raw
    if (
        attribute is None
        and raw in (STATE_ON, STATE_OFF)
        and split_entity_id(state.entity_id)[0] in ON_OFF_DOMAINS
    ):
        return bool(raw == STATE_ON)
    unit = field_unit(field)
    if not isinstance(raw, str | int | float):
        return None
    if unit is None and attribute is None and _is_word(state):
        return _word(raw)
    try:
        number = _number(raw)
    except OverflowError:
        return None
    except ValueError:
        return _word(raw) if unit is None else None
    if not math.isfinite(number):
        return None
    if unit is None or attribute is not None:
        return number
    converted = unit.convert(number, state.attributes.get(ATTR_UNIT_OF_MEASUREMENT))
    return converted if converted is not None and math.isfinite(converted) else None


def unit_problem(state: State | None, field: str) -> str | None:
    """Return a translation key for why a state cannot have the unit of a field, or None.

    None also where that cannot be told yet, because the entity has no state.
    """
    unit = field_unit(field)
    if state is None or unit is None:
        return None
    if split_entity_id(state.entity_id)[0] in ON_OFF_DOMAINS or _is_word(state):
        return "no_number"
    if not unit.reaches(state.attributes.get(ATTR_UNIT_OF_MEASUREMENT)):
        return "unit_mismatch"
    return None


def _is_word(state: State) -> bool:
    return (
        state.attributes.get(ATTR_DEVICE_CLASS) == SensorDeviceClass.ENUM
        or split_entity_id(state.entity_id)[0] in _WORD_DOMAINS
    )


def _number(raw: str | float) -> float:
    if isinstance(raw, str) and "_" in raw:
        raise ValueError("Python alone takes 1_000 for a number")
    return float(raw)


def _word(raw: str | float) -> str | None:
    """Return a text as it can be written down; half a surrogate pair cannot."""
    # Of a text that is more than that, an enumeration's for one, the text itself
    text = str.__str__(raw) if isinstance(raw, str) else str(raw)
    try:
        text.encode()
    except UnicodeEncodeError:
        return None
    return text or None


def unit_suffix(unit: str | None) -> str | None:
    """Return the ending of a field's name that stands for `unit`, None where there is none."""
    if unit is None:
        return None
    if unit == PERCENTAGE:
        return "frac"
    return next(
        (suffix for suffix, field in _UNITS.items() if field.reaches(unit)), None
    )
