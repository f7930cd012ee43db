"""Units: what the end of a field's name asks for, and how values of other units are brought to it."""

from collections.abc import Mapping
from dataclasses import dataclass, field as dataclass_field
from functools import lru_cache
import re
from typing import Any, Final

from homeassistant import const
from homeassistant.util import unit_conversion
from homeassistant.util.unit_conversion import BaseUnitConverter

_DIGITS: Final = 15

_TEMPERATURE_DELTA: Final = "temperature_delta"
"""A device class that the oldest Home Assistant does not have yet."""

_RATIO: Final = re.compile(r"(?:^p|.*P)owerFactor(?:Tot|L[123])?")
"""Names that stand for a ratio although they do not end in `_frac`."""

_MICRO_SIGN, _GREEK_MU = "\u00b5", "\u03bc"


@dataclass(frozen=True, slots=True, eq=False)
class FieldUnit:
    """A unit of a field, and how others are brought to it: by `factors` what Home Assistant, or its oldest version, cannot."""

    unit: str | None
    converter: type[BaseUnitConverter] | None = None
    factors: Mapping[str, float] = dataclass_field(default_factory=dict)

    def convert(self, value: float, unit: Any) -> float | None:
        """Return `value` of `unit`, or without one, in this unit; None where it cannot be converted."""
        if not unit or unit == self.unit:
            return value
        spelled = _spelling(self, str(unit))
        if spelled is None:
            return None
        if spelled in self.factors:
            converted = value * self.factors[spelled]
        elif self.converter is not None:
            converted = self.converter.convert(value, spelled, self.unit)
        else:
            return None
        # 2.28 kW are 2279.9999999999995 W; the noise is beyond what any state says
        return float(f"{converted:.{_DIGITS}g}")

    def reaches(self, unit: Any) -> bool:
        """Tell whether a value of `unit` can be brought to this unit."""
        return not unit or _spelling(self, str(unit)) is not None


@lru_cache(256)
def _spelling(target: FieldUnit, unit: str) -> str | None:
    """Return a unit as a field's unit has it; Unicode has two signs for micro."""
    known = {target.unit, *target.factors}
    if target.converter is not None:
        known |= target.converter.VALID_UNITS
    signs = (_MICRO_SIGN, _GREEK_MU), (_GREEK_MU, _MICRO_SIGN)
    spellings = (unit, *(unit.replace(*pair) for pair in signs))
    return next((spelling for spelling in spellings if spelling in known), None)


_VAR: Final = {
    "VAr": 1.0,
    "VAR": 1.0,
    "mvar": 1e-3,
    "kvar": 1e3,
    "kVAr": 1e3,
    "kVAR": 1e3,
    "Mvar": 1e6,
    "MVAr": 1e6,
    "MVAR": 1e6,
}
_HERTZ: Final = {"mHz": 1e-3, "kHz": 1e3, "MHz": 1e6, "GHz": 1e9}
_FRACTIONS: Final = {const.PERCENTAGE: 1e-2, "‰": 1e-3, "ppm": 1e-6, "ppb": 1e-9}

_FRACTION: Final = FieldUnit(None, factors=_FRACTIONS)

_UNITS: Final = {
    "W": FieldUnit(const.UnitOfPower.WATT, unit_conversion.PowerConverter),
    "Wh": FieldUnit(const.UnitOfEnergy.WATT_HOUR, unit_conversion.EnergyConverter),
    "VAr": FieldUnit(const.UnitOfReactivePower.VOLT_AMPERE_REACTIVE, factors=_VAR),
    "A": FieldUnit(
        const.UnitOfElectricCurrent.AMPERE,
        unit_conversion.ElectricCurrentConverter,
        {"μA": 1e-6},
    ),
    "V": FieldUnit(
        const.UnitOfElectricPotential.VOLT, unit_conversion.ElectricPotentialConverter
    ),
    "Hz": FieldUnit(const.UnitOfFrequency.HERTZ, factors=_HERTZ),
    "s": FieldUnit(const.UnitOfTime.SECONDS, unit_conversion.DurationConverter),
    "degC": FieldUnit(
        const.UnitOfTemperature.CELSIUS, unit_conversion.TemperatureConverter
    ),
    "bar": FieldUnit(const.UnitOfPressure.BAR, unit_conversion.PressureConverter),
    "m3": FieldUnit(const.UnitOfVolume.CUBIC_METERS, unit_conversion.VolumeConverter),
    "L": FieldUnit(const.UnitOfVolume.LITERS, unit_conversion.VolumeConverter),
    "frac": _FRACTION,
}

_DEGREES_OF_DIFFERENCE: Final = FieldUnit(
    const.UnitOfTemperature.CELSIUS,
    factors={
        const.UnitOfTemperature.KELVIN: 1.0,
        const.UnitOfTemperature.FAHRENHEIT: 5 / 9,
    },
)


@lru_cache(4096)
def field_unit(field: str) -> FieldUnit | None:
    """Return the unit that a field's name asks for, None where it asks for none."""
    if _RATIO.fullmatch(field):
        return _FRACTION
    name, separator, suffix = field.rpartition("_")
    return _UNITS.get(suffix) if name and separator else None


def convert_to_field(
    value: float, field: str, unit: Any, device_class: Any = None
) -> float | None:
    """Return a value of `unit` as that of a field, None where there is no way to it; names without a unit take any number."""
    target = field_unit(field)
    if target is None:
        return value
    if target is _UNITS["degC"] and device_class == _TEMPERATURE_DELTA:
        target = _DEGREES_OF_DIFFERENCE
    return target.convert(value, unit)


def unit_suffix(unit: Any) -> str | None:
    """Return the ending of a field's name that stands for `unit`, None where there is none."""
    if not unit:
        return None
    if unit == const.PERCENTAGE:
        return "frac"
    for suffix, field in _UNITS.items():
        if field.unit == unit:
            return suffix
    for suffix, field in _UNITS.items():
        # Parts per million are usually asked for as such
        if field is not _FRACTION and field.reaches(unit):
            return suffix
    return None
