"""What a live value is to Home Assistant."""

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any, Final

from homeassistant.components.sensor import SensorDeviceClass, SensorStateClass
from homeassistant.const import UnitOfEnergy

from ..field_description import (
    FieldDescription,
    Kind,
    describe_by_name,
    known_field,
    readable,
)
from .live import POWER
from .message import LiveKey

_DISABLED: Final[Mapping[str, Any]] = {"entity_registry_enabled_default": False}
_TODAY: Final[Mapping[str, Any]] = {
    "state_class": SensorStateClass.TOTAL_INCREASING,
    "suggested_unit_of_measurement": UnitOfEnergy.KILO_WATT_HOUR,
}
_STORED: Final[Mapping[str, Any]] = {
    "device_class": SensorDeviceClass.ENERGY_STORAGE,
    "state_class": SensorStateClass.MEASUREMENT,
    "suggested_unit_of_measurement": UnitOfEnergy.KILO_WATT_HOUR,
}

_KNOWN: Final[Mapping[LiveKey, FieldDescription]] = {
    LiveKey(source, field): known_field(field, name, **changes)
    for source, field, name, changes in (
        ("grid", "active_power_W", "grid_power", {}),
        ("solar", "active_power_W", "solar_power", {}),
        ("storage", "active_power_W", "storage_power", {}),
        ("heat_pump", "active_power_W", "heat_pump_power", {}),
        ("switched_load", "active_power_W", "switched_load_power", {}),
        ("variable_power_load", "active_power_W", "ev_power", {}),
        ("grid", "today_imported_energy_Wh", "today_imported_energy", _TODAY),
        ("grid", "today_exported_energy_Wh", "today_exported_energy", _TODAY),
        # The cloud has them on the site, and beside the schedules they are numbers
        ("grid", "import_limit_W", "import_limit", _DISABLED),
        ("grid", "export_limit_W", "export_limit", _DISABLED),
        ("storage", "energy_stored_Wh", "stored_energy", _STORED),
        ("storage", "energy_capacity_Wh", "storage_capacity", _STORED),
        (
            "storage",
            "mean_soc_perc",
            "storage_state_of_charge",
            {
                "device_class": SensorDeviceClass.BATTERY,
                "suggested_display_precision": 0,
            },
        ),
        ("storage", "today_charged_Wh", "today_charged_energy", _TODAY),
        ("storage", "today_discharged_Wh", "today_discharged_energy", _TODAY),
        ("solar", "today_energy_Wh", "today_produced_energy", _TODAY),
        ("heat_pump", "operation_modes", "operation_modes", {"kind": Kind.WORD}),
    )
}

GROUPS: Final = frozenset(key.source for key in _KNOWN)
"""Those of the page, which are no node ids."""


@lru_cache(maxsize=4096)
def describe_live(key: LiveKey, *, is_node: bool) -> FieldDescription:
    """Return what a live value is: of a node, or of a group, which its name then begins with.

    What nobody has written down is named after its field and disabled by default.
    """
    if (known := _KNOWN.get(key)) is not None and not is_node:
        return known
    described = describe_by_name(key.field)
    if described.device_class is SensorDeviceClass.ENERGY:
        # Which counter it is, and whether it is one, nobody knows
        described = replace(described, state_class=None, accumulates=False)
    if not is_node:
        return replace(described, name=readable(f"{key.source}_{described.name}"))
    if POWER.fullmatch(key.field):
        # The cloud's is on the same device
        return known_field(key.field, "live_power", **_DISABLED)
    return replace(described, name=f"{described.name} (live)")
