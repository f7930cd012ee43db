"""What the tests of the dialog of an export share."""

from collections.abc import Callable, Mapping
from typing import Any

from custom_components.eniris.const import (
    CONF_DATABASE,
    CONF_FIELDS,
    CONF_KIND,
    CONF_MEASUREMENT,
    CONF_TAGS,
)
from homeassistant.helpers import entity_registry as er
from simulator.server import Simulator
from tests.kit.exports import INGRESS, POWER, Home, export_data
from tests.simulator.tiny_world import LEFT

FIELD = "actualPowerTot_W"
ENERGY = "sensor.p1_energy"


def registry_id(home: Home, entity_id: str = POWER) -> str:
    """Return the registry id of an entity."""
    registered = er.async_get(home.hass).async_get(entity_id)
    assert registered is not None
    return registered.id


def stored(fields: Mapping[str, str], /, **changes: Any) -> dict[str, Any]:
    """Return what the dialog stores of an export of numbers."""
    data = export_data(fields, **changes)
    rows = [{**row, CONF_KIND: "number"} for row in data[CONF_FIELDS]]
    return {**data, CONF_FIELDS: rows}


def refuse_with(status: int, message: str = "no") -> Callable[[Simulator], None]:
    """Return what makes the service refuse a write."""

    def refuse(simulator: Simulator) -> None:
        simulator.faults.add(INGRESS, "status", status=status, message=message, times=1)

    return refuse


OWN = {
    CONF_DATABASE: LEFT.database,
    CONF_MEASUREMENT: LEFT.measurement,
    CONF_TAGS: [f"{key}={value}" for key, value in reversed(LEFT.tags)],
}
"""Of the series that the meter of the small world writes itself, its tags in any order."""
