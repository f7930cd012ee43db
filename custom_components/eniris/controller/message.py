"""Live values: from the body of the controller's POST, or of its MQTT message, to values by group or node, and field.

Little of either is documented, so everything is taken that can be: groups of fields, objects by
node id, lists of objects with a node id, and one such object as the message itself.
"""

from collections.abc import Iterator, Mapping
import json
import math
import re
from typing import Any, Final, NamedTuple

from ..api import FieldValue
from ..field_description import Kind, describe_by_name
from .errors import InvalidMessageError

LARGEST_MESSAGE: Final = 256 * 1024
"""Bytes."""

_MOST_VALUES: Final = 500
"""Of one message; a home with some dozens of devices has fewer."""

_NAME: Final = re.compile(r"[\w ./%²³:-]{1,100}")
_LONGEST_TEXT: Final = 255
_LATEST: Final = 9_223_372_036
"""Unix seconds: the end of InfluxDB's range."""

_TIME: Final = "time"
_SITE: Final = "siteNodeId"
_NODE: Final = "nodeId"


class LiveKey(NamedTuple):
    """What a live value belongs to (a group such as `grid`, or a node id), and its field."""

    source: str
    field: str


class LiveMessage(NamedTuple):
    """The values of one message; `time` in Unix seconds by the controller's clock."""

    time: float
    site_node_id: str | None
    values: Mapping[LiveKey, FieldValue]


def load_json(payload: bytes) -> Any:
    """Return what a payload says in JSON, None in place of what is no number; raises `InvalidMessageError`."""
    if len(payload) > LARGEST_MESSAGE:
        raise InvalidMessageError("too large")
    try:
        return json.loads(payload, parse_constant=lambda _constant: None)
    except (ValueError, RecursionError) as err:
        raise InvalidMessageError("not JSON") from err


def read_webhook(payload: bytes) -> LiveMessage:
    """Return the values of a POST; raises `InvalidMessageError`."""
    body = load_json(payload)
    if not isinstance(body, dict) or not isinstance(body.get(_SITE), str):
        raise InvalidMessageError("no site")
    return LiveMessage(_time(body), body[_SITE], dict(_values(body)))


def read_mqtt(payload: bytes) -> LiveMessage:
    """Return the values of an MQTT message; raises `InvalidMessageError`."""
    body = load_json(payload)
    fields = body.get("fields") if isinstance(body, dict) else None
    state = fields.get("state") if isinstance(fields, dict) else None
    if not isinstance(state, dict):
        raise InvalidMessageError("no state")
    return LiveMessage(_time(body), None, dict(_values(state)))


def _time(body: dict[str, Any]) -> float:
    time = as_number(body.get(_TIME))
    if time is None or not 0 < time < _LATEST:
        raise InvalidMessageError("no time")
    return time


def _values(body: dict[str, Any]) -> Iterator[tuple[LiveKey, FieldValue]]:
    left = _MOST_VALUES
    for source, fields in _objects(body):
        for name, value in fields.items():
            if not _NAME.fullmatch(name) or (read := _value(name, value)) is None:
                continue
            if not left:
                return
            left -= 1
            yield LiveKey(source, name), read


def _objects(body: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield objects of fields, each with its group or node id."""
    if _is_source(body.get(_NODE)):
        yield body[_NODE], {its: body[its] for its in body if its not in _OWN}
    for key, part in body.items():
        if isinstance(part, list):
            for item in part:
                if isinstance(item, dict) and _is_source(item.get(_NODE)):
                    yield item[_NODE], {its: item[its] for its in item if its != _NODE}
        elif isinstance(part, dict):
            if _is_source(key):
                yield key, part
            for node_id, fields in part.items():
                if isinstance(fields, dict) and _is_source(node_id):
                    yield node_id, fields


def _is_source(name: object) -> bool:
    return (
        isinstance(name, str)
        and 0 < len(name) <= _LONGEST_TEXT
        and name.isprintable()
        and not name.isspace()
    )


_OWN: Final = {_TIME, _SITE, _NODE}
"""What is no field."""


def _value(name: str, value: Any) -> FieldValue | None:
    """Return a value that can be shown, None for anything else."""
    is_number = describe_by_name(name).kind is Kind.NUMBER
    if isinstance(value, bool):
        return None if is_number else value
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        value = ", ".join(value)
    if isinstance(value, str) and not is_number:
        return value if 0 < len(value) <= _LONGEST_TEXT else None
    return as_number(value)


def as_number(value: Any) -> float | None:
    """Return a number, which may come as text, None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
