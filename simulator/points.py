"""Points as JSON, and the rules that hold for a point in either notation."""

import math
from typing import Any

from .errors import bad_request
from .model import FieldValue, SeriesKey
from .shapes import as_list, as_object, as_str
from .store import IncomingPoint
from .timestamps import parse_iso_ns

_POINT_KEYS = frozenset({"measurement", "time", "tags", "fields"})
_INT64 = range(-(2**63), 2**63)


def check_name(name: str, what: str) -> str:
    """Return the name of a measurement, tag or field; 400 if it is empty, has a newline or a leading underscore."""
    if not name or "\n" in name or name.startswith("_"):
        raise bad_request(
            f"{what} '{name}' is empty, contains a newline or starts with an underscore"
        )
    return name


def check_tag_value(value: str, what: str) -> str:
    """Return the value of a tag; 400 if it is empty or has a newline."""
    if not value or "\n" in value:
        raise bad_request(f"{what} is empty or contains a newline")
    return value


def check_integer(value: int, what: str) -> int:
    """Return an integer; 400 if it needs more than 64 bits."""
    if value not in _INT64:
        raise bad_request(f"{what} {value} is out of range")
    return value


def parse_points(
    value: Any, database: str, retention_policy: str
) -> list[IncomingPoint]:
    """Return the points of a parsed JSON body.

    `[{"measurement": str, "time": ISO 8601 with an offset, "tags": {str: str}, "fields": {str: value}}]`, all four
    keys mandatory, `tags` possibly empty, `fields` not. 400 names the point that is wrong by its index. An empty array is
    refused: nobody knows whether it is valid, so nobody should send one.
    """
    items = as_list(value, "The body")
    if not items:
        raise bad_request("The body has no points")
    return [
        _parse_point(item, f"point {index}", database, retention_policy)
        for index, item in enumerate(items)
    ]


def _parse_point(
    value: Any, where: str, database: str, retention_policy: str
) -> IncomingPoint:
    point = as_object(value, where, required=_POINT_KEYS)
    measurement = check_name(
        as_str(point["measurement"], f"{where}: measurement"), f"{where}: measurement"
    )
    try:
        time_ns = check_integer(
            parse_iso_ns(as_str(point["time"], f"{where}: time")), f"{where}: time"
        )
    except ValueError as err:
        raise bad_request(f"{where}: {err}") from err
    tags = point["tags"]
    fields = point["fields"]
    if not isinstance(tags, dict) or not isinstance(fields, dict):
        raise bad_request(f"{where}: tags and fields have to be objects")
    if not fields:
        raise bad_request(f"{where}: there are no fields")
    for key, tag in tags.items():
        check_name(key, f"{where}: tag")
        check_tag_value(as_str(tag, f"{where}: tag '{key}'"), f"{where}: tag '{key}'")
    for key, field in fields.items():
        check_name(key, f"{where}: field")
        _check_field(field, f"{where}: field '{key}'")
    series = SeriesKey(
        database, retention_policy, measurement, tuple(sorted(tags.items()))
    )
    return IncomingPoint(series, time_ns, fields)


def _check_field(value: Any, where: str) -> FieldValue:
    match value:
        case bool() | str():
            return value
        case int():
            return check_integer(value, where)
        case float() if math.isfinite(value):
            return value
        case _:
            raise bad_request(
                f"{where} has to be a finite number, a boolean or a string"
            )
