"""The kind of a field: what type its values have, told by its entity once and kept, since the service keeps it, too."""

from enum import StrEnum
from typing import Any, Final

from homeassistant import const
from homeassistant.components import sensor
from homeassistant.components.sensor import SensorDeviceClass, SensorStateClass
from homeassistant.components.sensor.const import NON_NUMERIC_DEVICE_CLASSES
from homeassistant.core import State, split_entity_id

from .units import field_unit


class FieldKind(StrEnum):
    """What the values of a field are."""

    NUMBER = "number"
    COUNTER = "counter"
    """A number that counts on: no mean, minimum or maximum says anything of it."""
    BOOLEAN = "boolean"
    TEXT = "text"


ON_OFF_DOMAINS: Final = {
    "automation",
    "binary_sensor",
    "calendar",
    "fan",
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

_GROUP_DOMAIN: Final = "group"
"""Its states are those of what is in it: on and off, or home and not home, locked and unlocked, …"""

_CHOICE_DOMAINS: Final = {"input_select", "select"}
"""Their states are words, also where some of them look like numbers."""

_UNKNOWN: Final = (const.STATE_UNKNOWN, const.STATE_UNAVAILABLE)

_NUMBER_DOMAINS: Final = {"counter", "input_number", "number"}

COUNTER_CLASSES: Final = {SensorStateClass.TOTAL, SensorStateClass.TOTAL_INCREASING}


def is_known(state: State | None) -> bool:
    """Tell whether an entity has a state that says something."""
    return state is not None and state.state not in _UNKNOWN


def decide_kind(
    state: State | None, field: str, attribute: str | None = None
) -> FieldKind | None:
    """Return the kind of a field of an entity, or of an attribute; None where nobody can tell before it has a state."""
    if attribute is not None:
        if field_unit(field) is not None:
            return FieldKind.NUMBER
        value = state.attributes.get(attribute) if state and is_known(state) else None
        if isinstance(value, bool):
            return FieldKind.BOOLEAN
        if isinstance(value, int | float):
            return FieldKind.NUMBER
        return FieldKind.TEXT if isinstance(value, str) else None
    if state is None:
        return None
    if field_unit(field) is not None:
        if is_counter(state):
            return FieldKind.COUNTER
        return FieldKind.NUMBER if is_known(state) else None
    kind = _kind_of_entity(state)
    return FieldKind.TEXT if kind is None and is_known(state) else kind


def unit_problem(state: State | None, field: str) -> str | None:
    """Return a translation key for why a state cannot have the unit of a field, None where it can or nobody can tell yet."""
    unit = field_unit(field)
    if state is None or unit is None:
        return None
    if _kind_of_entity(state) in (FieldKind.BOOLEAN, FieldKind.TEXT):
        return "no_number"
    if not unit.reaches(state.attributes.get(const.ATTR_UNIT_OF_MEASUREMENT)):
        return "unit_mismatch"
    return None


def _kind_of_entity(state: State) -> FieldKind | None:
    """Return what an entity says that it shows, None where it says nothing."""
    # A state that the recorder returns does not know its domain
    domain = split_entity_id(state.entity_id)[0]
    if domain in ON_OFF_DOMAINS or (
        domain == _GROUP_DOMAIN and state.state in (const.STATE_ON, const.STATE_OFF)
    ):
        return FieldKind.BOOLEAN
    device_class = state.attributes.get(const.ATTR_DEVICE_CLASS)
    is_sensor = domain == sensor.DOMAIN
    has_words = sensor.ATTR_OPTIONS in state.attributes or _is_one_of(
        device_class, NON_NUMERIC_DEVICE_CLASSES
    )
    if domain in _CHOICE_DOMAINS or (is_sensor and has_words):
        return FieldKind.TEXT
    if is_counter(state):
        return FieldKind.COUNTER
    if (
        domain in _NUMBER_DOMAINS
        or _is_one_of(state.attributes.get(sensor.ATTR_STATE_CLASS), SensorStateClass)
        # Also an empty one: Home Assistant takes all that has a unit for a number
        or isinstance(state.attributes.get(const.ATTR_UNIT_OF_MEASUREMENT), str)
        or (is_sensor and _is_one_of(device_class, SensorDeviceClass))
    ):
        return FieldKind.NUMBER
    return None


def is_counter(state: State | None) -> bool:
    """Tell whether an entity says that the numbers it shows count on."""
    return state is not None and _is_one_of(
        state.attributes.get(sensor.ATTR_STATE_CLASS), COUNTER_CLASSES
    )


def _is_one_of(value: Any, choices: Any) -> bool:
    """Tell whether an attribute, which can be anything, is one of some words."""
    return isinstance(value, str) and value in choices
