"""From a state to a value of a field's kind, in the unit that the field's name ends in.

Numbers are always floats, since the service fixes a field's type by its first write.
"""

import math
from typing import Any, Final

from homeassistant.const import (
    ATTR_DEVICE_CLASS,
    ATTR_UNIT_OF_MEASUREMENT,
    STATE_OFF,
    STATE_ON,
)
from homeassistant.core import State

from ...api import FieldValue
from .kinds import FieldKind, is_known
from .units import convert_to_field

_MAY_BE_NUMBER: Final = (str, int, float)


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
        state.attributes.get(ATTR_UNIT_OF_MEASUREMENT),
        state.attributes.get(ATTR_DEVICE_CLASS),
    )


def to_value(
    state: State | None, field: str, attribute: str | None, kind: FieldKind
) -> FieldValue | None:
    """Return what `state`, or an attribute of it, means as a value of `field`.

    None where it means nothing: unknown and unavailable, what is not of the field's kind, numbers
    that are not finite, and units that cannot be brought to the field's. An attribute has no unit
    of its own and is taken to be in the field's.
    """
    if state is None or not is_known(state):
        return None
    raw = state.state if attribute is None else state.attributes.get(attribute)
    if kind is FieldKind.BOOLEAN:
        return _to_boolean(raw)
    if kind is FieldKind.TEXT:
        return to_text(raw)
    number = to_number(raw)
    if number is None or attribute is not None:
        return number
    attributes = state.attributes
    converted = convert_to_field(
        number,
        field,
        attributes.get(ATTR_UNIT_OF_MEASUREMENT),
        attributes.get(ATTR_DEVICE_CLASS),
    )
    return converted if converted is not None and math.isfinite(converted) else None


def to_number(raw: Any) -> float | None:
    """Return a finite number, also of a text that is one; None for anything else."""
    if isinstance(raw, bool) or not isinstance(raw, _MAY_BE_NUMBER):
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
    """Return a text that can be written down; half a surrogate pair cannot.

    A number is one, too, where a field of words has become one of its codes.
    """
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


def _to_boolean(raw: Any) -> bool | None:
    if isinstance(raw, str):
        return {STATE_ON: True, STATE_OFF: False}.get(raw)
    return raw if isinstance(raw, bool) else None
