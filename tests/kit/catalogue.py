"""What the tests of fields share."""

from custom_components.eniris.field_description import FieldDescription
from homeassistant.components.sensor.const import (
    DEVICE_CLASS_STATE_CLASSES,
    DEVICE_CLASS_UNITS,
)

DIRECTIONS = ("imported", "exported", "produced", "consumed", "charged", "discharged")
# As the API's page has them, abbreviations written out
FIELDS = (
    *[
        "actualPowerTot_W",
        "actualPowerL1_W",
        "actualPowerL2_W",
        "actualPowerL3_W",
        "childrenStoragePower_W",
        "childrenProducedPower_W",
        "childrenEVPower_W",
        "childrenConsumedPower_W",
        "childrenOtherPower_W",
        "powerSetpoint_W",
        "setpoint_W",
        "importLimit_W",
        "exportLimit_W",
        "reacPowerTot_VAr",
        "reacPowerSetpoint_VAr",
        "reactivePowerSetpoint_VAr",
        "childrenStorageChargedEnergyDeltaTot_Wh",
        "childrenStorageDischargedEnergyDeltaTot_Wh",
        "childrenProducedEnergyDeltaTot_Wh",
        "childrenConsumedEnergyDeltaTot_Wh",
        "autoconsumedEnergyDeltaTot_Wh",
        "currentL1_A",
        "currentL2_A",
        "currentL3_A",
        "currentN_A",
        "voltageL1N_V",
        "voltageL2N_V",
        "voltageL3N_V",
        "voltageL1L2_V",
        "voltageL2L3_V",
        "voltageL3L1_V",
        "frequency_Hz",
        "powerFactorTot",
        "powerFactorL1",
        "powerFactorL2",
        "powerFactorL3",
        "voltageDC_V",
        "currentDC_A",
        "batteryVoltage_V",
        "batteryCurrent_A",
        "stateOfCharge_frac",
        "stateOfHealth_frac",
        "childrenStorageStateOfCharge_frac",
        "status",
        "operationMode",
        "policy",
        "strategy",
        "constraint_ph0_label",
        "evRequiringCharge",
        "signalActive",
        "getMeasTime_s",
        "buyPrice_perkWh",
        "sellPrice_perkWh",
    ],
    *(f"{direction}AbsEnergyTot_Wh" for direction in DIRECTIONS),
    *(f"{direction}EnergyDeltaTot_Wh" for direction in DIRECTIONS),
)


def is_consistent(description: FieldDescription) -> bool:
    """Tell whether Home Assistant lets this combination pass without a warning."""
    device_class = description.device_class
    unit = description.native_unit_of_measurement
    if device_class is None:
        return description.suggested_unit_of_measurement is None
    units = DEVICE_CLASS_UNITS[device_class]
    return (
        unit in units
        and (
            description.suggested_unit_of_measurement is None
            or description.suggested_unit_of_measurement in units
        )
        and (
            description.state_class is None
            or description.state_class in DEVICE_CLASS_STATE_CLASSES[device_class]
        )
    )
