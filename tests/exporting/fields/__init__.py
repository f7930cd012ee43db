"""Tests of the fields of exports."""

from typing import Any

from homeassistant.const import ATTR_UNIT_OF_MEASUREMENT
from homeassistant.core import State


def state(
    text: str, unit: Any = None, entity_id: str = "sensor.some_value", **more: Any
) -> State:
    """Return a state."""
    attributes = dict(more)
    if unit is not None:
        attributes[ATTR_UNIT_OF_MEASUREMENT] = unit
    return State(entity_id, text, attributes)
