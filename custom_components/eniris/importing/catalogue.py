"""The field catalogue: what each Eniris field is to Home Assistant.

Fields are those of the API's page on names; a field that is not here makes no entity.
"""

from dataclasses import dataclass
from typing import Final

from homeassistant.components.sensor import (
    SensorDeviceClass,
    SensorEntityDescription,
    SensorStateClass,
)
from homeassistant.const import (
    PERCENTAGE,
    UnitOfElectricCurrent,
    UnitOfElectricPotential,
    UnitOfEnergy,
    UnitOfFrequency,
    UnitOfPower,
    UnitOfReactivePower,
)
from homeassistant.util import slugify

from ..api import FieldValue

_SCALED_DIGITS: Final = 10


@dataclass(frozen=True, kw_only=True)
class FieldDescription(SensorEntityDescription):
    """A sensor for the field named `key`."""

    factor: float | None = None
    """What a value is multiplied with to be in the native unit."""

    placeholders: tuple[tuple[str, str], ...] = ()
    """Parts of the name, a phase for instance, so that one translation serves all."""

    def native(self, value: FieldValue) -> float | int | None:
        """Return the value in the native unit, None for one that is no number."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        if self.factor is None:
            return value
        # 0.07 * 100 is 7.000000000000001
        return round(value * self.factor, _SCALED_DIGITS)


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


def _counter(direction: str) -> FieldDescription:
    return FieldDescription(
        key=f"{direction}AbsEnergyTot_Wh",
        translation_key=f"{direction}_energy",
        device_class=SensorDeviceClass.ENERGY,
        state_class=SensorStateClass.TOTAL_INCREASING,
        native_unit_of_measurement=UnitOfEnergy.WATT_HOUR,
        suggested_unit_of_measurement=UnitOfEnergy.KILO_WATT_HOUR,
        suggested_display_precision=2,
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
    field: str, name: str, device_class: SensorDeviceClass | None
) -> FieldDescription:
    return FieldDescription(
        key=field,
        translation_key=name,
        device_class=device_class,
        state_class=SensorStateClass.MEASUREMENT,
        native_unit_of_measurement=PERCENTAGE,
        suggested_display_precision=0,
        factor=100,
    )


_PHASES: Final = ("L1", "L2", "L3")
_LINES: Final = (("L1", "L2"), ("L2", "L3"), ("L3", "L1"))

_DESCRIPTIONS: Final = (
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
    _reactive_power("reacPowerSetpoint_VAr", "reactive_power_setpoint"),
    _reactive_power("reactivePowerSetpoint_VAr", "reactive_power_setpoint"),
    *(
        _counter(direction)
        for direction in (
            "imported",
            "exported",
            "produced",
            "consumed",
            "charged",
            "discharged",
        )
    ),
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
    _fraction("stateOfHealth_frac", "state_of_health", None),
    _fraction(
        "childrenStorageStateOfCharge_frac",
        "storage_state_of_charge",
        SensorDeviceClass.BATTERY,
    ),
)

CATALOGUE: Final[dict[str, FieldDescription]] = {
    description.key: description for description in _DESCRIPTIONS
}

# On the battery's own node the word would stand twice
_OF_MEASUREMENT: Final[dict[tuple[str, str], FieldDescription]] = {
    ("batteryMetrics", "batteryCurrent_A"): _current("batteryCurrent_A", "current"),
    ("batteryMetrics", "batteryVoltage_V"): _voltage("batteryVoltage_V", "voltage"),
}


def describe(measurement: str, field: str) -> FieldDescription | None:
    """Return what a field is in a measurement, None for one that makes no entity."""
    return _OF_MEASUREMENT.get((measurement, field)) or CATALOGUE.get(field)
