"""From a state to a value of a field's kind, in the unit that the field's name ends in. Numbers are always floats."""

import math
from typing import Any

from homeassistant import const
from homeassistant.core import State

from ...api import FieldValue
from .kinds import FieldKind, is_known
from .units import convert_to_field


def is_changed(old: State | None, new: State | None, attribute: str | None) -> bool:
    """Tell whether a field may have another value than before."""
    if old is None or (
        attribute is None and new is not None and old.state != new.state
    ):
        # By far the most frequent
        return True
    return bool(sampled_part(old, attribute) != sampled_part(new, attribute))


def sampled_part(state: State | None, attribute: str | None) -> Any:
    """Return all of a state that a field's value is made of; a change of it makes a sample."""
    if state is None or not is_known(state):
        return None
    if attribute is not None:
        return state.attributes.get(attribute)
    return (
        state.state,
        state.attributes.get(const.ATTR_UNIT_OF_MEASUREMENT),
        state.attributes.get(const.ATTR_DEVICE_CLASS),
    )


def to_value(
    state: State | None, field: str, attribute: str | None, kind: FieldKind
) -> FieldValue | None:
    """Return what a state, or an attribute in the field's unit, means as a value of `field`; None where it means nothing."""
    if state is None or not is_known(state):
        return None
    raw = state.state if attribute is None else state.attributes.get(attribute)
    if kind is FieldKind.BOOLEAN:
        words = {const.STATE_ON: True, const.STATE_OFF: False}
        raw = words.get(raw) if isinstance(raw, str) else raw
        return raw if isinstance(raw, bool) else None
    if kind is FieldKind.TEXT:
        return to_text(raw)
    number = to_number(raw)
    if number is None or attribute is not None:
        return number
    attributes = state.attributes
    converted = convert_to_field(
        number,
        field,
        attributes.get(const.ATTR_UNIT_OF_MEASUREMENT),
        attributes.get(const.ATTR_DEVICE_CLASS),
    )
    return converted if converted is not None and math.isfinite(converted) else None


def to_number(raw: Any) -> float | None:
    """Return a finite number, also of a text that is one; None for anything else."""
    if isinstance(raw, bool) or not isinstance(raw, (str, int, float)):
        return None
    if isinstance(raw, str) and "_" in raw:
        # Python alone takes 1_000 for a number
        return None
    try:
        number = float(raw)
    except (OverflowError, ValueError):
        return None
    return number if math.isfinite(number) else None


def to_text(raw: Any) -> str | None:
    """Return a text, or a number as one, where it can be written down; half a surrogate pair cannot."""
    if isinstance(raw, bool) or not isinstance(raw, str | int | float):
        return None
    try:
        # Of a text that is more than that, an enumeration's for one, the text itself
        text = str.__str__(raw) if isinstance(raw, str) else str(raw)
        text.encode()
    except ValueError:
        # Also of an integer with more digits than Python writes
        return None
    return text or None
