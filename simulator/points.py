"""Points as JSON, and the rules that hold for a point in either notation."""

import math
from typing import Any

from .errors import ApiError, bad_request
from .model import SeriesKey
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
    series = _SeriesReader(database, retention_policy)
    points: list[IncomingPoint] = []
    for item in items:
        try:
            points.append(_parse_point(item, series))
        except ApiError as err:
            raise bad_request(f"point {len(points)}: {err.detail}") from err
    return points


class _SeriesReader:
    """Series and names of fields, each checked where it first stands in a body."""

    def __init__(self, database: str, retention_policy: str) -> None:
        self._database = database
        self._retention_policy = retention_policy
        self._series: dict[tuple[str, ...], SeriesKey] = {}
        self.fields: set[str] = set()

    def series(self, measurement: str, tags: dict[str, Any]) -> SeriesKey:
        """Return a series; 400 for a measurement, tag or value of one that is not valid."""
        # Nothing but the same text equals a text, so that what is known is valid
        named = (measurement, *tags, *map(repr, tags.values()))
        if (series := self._series.get(named)) is None:
            check_name(measurement, "measurement")
            for key, tag in tags.items():
                check_name(key, "tag")
                check_tag_value(as_str(tag, f"tag '{key}'"), f"tag '{key}'")
            series = self._series[named] = SeriesKey(
                self._database,
                self._retention_policy,
                measurement,
                tuple(sorted(tags.items())),
            )
        return series


def _parse_point(value: Any, reader: _SeriesReader) -> IncomingPoint:
    point = as_object(value, "the point", required=_POINT_KEYS)
    measurement = as_str(point["measurement"], "measurement")
    try:
        time_ns = check_integer(parse_iso_ns(as_str(point["time"], "time")), "time")
    except ValueError as err:
        raise bad_request(str(err)) from err
    tags = point["tags"]
    fields = point["fields"]
    if not isinstance(tags, dict) or not isinstance(fields, dict):
        raise bad_request("tags and fields have to be objects")
    if not fields:
        raise bad_request("there are no fields")
    series = reader.series(measurement, tags)
    for name, field in fields.items():
        if name not in reader.fields:
            reader.fields.add(check_name(name, "field"))
        if not isinstance(field, float) or not math.isfinite(field):
            _check_other_field(field, name)
    return IncomingPoint(series, time_ns, fields)


def _check_other_field(value: Any, name: str) -> None:
    match value:
        case bool() | str():
            pass
        case int():
            check_integer(value, f"field '{name}'")
        case _:
            raise bad_request(
                f"field '{name}' has to be a finite number, a boolean or a string"
            )
