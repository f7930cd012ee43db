"""Telemetry writes: points, where they go, and the two forms in which they travel."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
import gzip
import math
import re
from typing import Any, Final, NamedTuple

import orjson

from .errors import EnirisQueryError
from .telemetry import FieldValue

GZIP_FROM: Final = 1024
"""Bytes below which a body fits a packet anyway, so that compressing it gains nothing."""

_OFF_LOOP_FROM: Final = 100
_GZIP_LEVEL: Final = 6
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_INTEGERS: Final = range(-(2**63), 2**63)


class WireFormat(StrEnum):
    """The forms that the ingress takes; the official driver uses line protocol."""

    JSON = "json"
    LINE_PROTOCOL = "line_protocol"


@dataclass(frozen=True, slots=True, order=True)
class WriteTarget:
    """Where points are stored: the collector (`u`), and the namespace that it writes to."""

    collector: str
    database: str
    retention_policy: str

    def as_params(self, wire_format: WireFormat) -> dict[str, str]:
        """Return the query parameters; line protocol goes without the collector."""
        params = {"db": self.database, "rp": self.retention_policy}
        if wire_format is WireFormat.JSON:
            params["u"] = self.collector
        return params


class Point(NamedTuple):
    """Fields of one series at one time (aware). Integers are sent as they are: float ≠ int."""

    measurement: str
    tags: Mapping[str, str]
    time: datetime
    fields: Mapping[str, FieldValue]


@dataclass(frozen=True, slots=True)
class Body:
    """An encoded request body with the headers that tell what it is."""

    data: bytes
    headers: dict[str, str]
    wire_format: WireFormat


def name_problem(name: str) -> str | None:
    """Return what is wrong with a measurement's, tag's or field's name, as one word, or None."""
    if not name:
        return "empty"
    if "\n" in name or "\r" in name:
        return "newline"
    if name.startswith("_"):
        return "underscore"
    return None


def check_points(points: Sequence[Point]) -> None:
    """Raise `EnirisQueryError` for a point that the API page declares invalid."""
    series: set[tuple[str, int]] = set()
    names: set[str] = set()
    for measurement, tags, time, fields in points:
        # Points of one series that share their tags are looked at once
        if (measurement, id(tags)) not in series:
            _check_series(measurement, tags)
            series.add((measurement, id(tags)))
        if not fields:
            raise EnirisQueryError("a point has at least one field")
        for name, value in fields.items():
            if name not in names:
                _check_name(name)
                names.add(name)
            if isinstance(value, float):
                if not math.isfinite(value):
                    raise EnirisQueryError(f"field {name!r} is not a finite number")
            elif isinstance(value, int) and value not in _INTEGERS:
                raise EnirisQueryError(f"field {name!r} needs more than 64 bits")
        if time.tzinfo is None:
            raise EnirisQueryError("a point's time has a time zone")


def _check_series(measurement: str, tags: Mapping[str, str]) -> None:
    for name in (measurement, *tags):
        _check_name(name)
    for key, text in tags.items():
        if not text or "\n" in text:
            raise EnirisQueryError(f"tag {key!r} has no valid value")


def _check_name(name: str) -> None:
    if problem := name_problem(name):
        raise EnirisQueryError(f"{name!r} is not a valid name ({problem})")


async def encode(points: Sequence[Point], wire_format: WireFormat) -> Body:
    """Encode and, where it pays, compress; off the event loop where it takes long."""
    if len(points) < _OFF_LOOP_FROM:
        return encode_now(points, wire_format)
    return await asyncio.to_thread(encode_now, points, wire_format)


def encode_now(points: Sequence[Point], wire_format: WireFormat) -> Body:
    """Encode in the calling thread; raises `EnirisQueryError` for an invalid point."""
    check_points(points)
    headers: dict[str, str] = {}
    try:
        if wire_format is WireFormat.JSON:
            data = orjson.dumps(
                [_as_json(point) for point in points],
                default=_other_as_json,
                option=orjson.OPT_UTC_Z,
            )
            headers["Content-Type"] = "application/json"
        else:
            # No Content-Type, as the official driver does it
            data = "\n".join(_as_line(point) for point in points).encode()
    except (OverflowError, TypeError, ValueError) as err:
        # Half a surrogate pair, a value of another type, a time in the year 0
        raise EnirisQueryError("a point cannot be written down") from err
    if len(data) >= GZIP_FROM:
        compressed = gzip.compress(data, _GZIP_LEVEL)
        if len(compressed) < len(data):
            data = compressed
            headers["Content-Encoding"] = "gzip"
    return Body(data, headers, wire_format)


def _as_json(point: Point) -> dict[str, object]:
    measurement, tags, time, fields = point
    if time.tzinfo is not UTC:
        time = time.astimezone(UTC)
    return {"measurement": measurement, "time": time, "tags": tags, "fields": fields}


def _other_as_json(value: Any) -> object:
    """Return what orjson does not write by itself: a mapping or a datetime of another class."""
    if isinstance(value, datetime):
        return format_time(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError


def format_time(moment: datetime) -> str:
    """Return ISO 8601 in UTC, as the API's example has it, with as many digits as it takes."""
    return f"{moment.astimezone(UTC).replace(tzinfo=None).isoformat()}Z"


_NOT_FIRST_IN_LINE: Final = "#\t\0"
"""A comment, and what is skipped before a line; none of it can be escaped."""

_ESCAPED: Final = {
    "measurement": re.compile(r"([, \\])"),
    "key": re.compile(r"([,= \\])"),
    "string": re.compile(r'(["\\])'),
}


def _escape(text: str, kind: str) -> str:
    return _ESCAPED[kind].sub(r"\\\1", text)


@lru_cache(maxsize=1024)
def _line_series(measurement: str, tags: tuple[tuple[str, str], ...]) -> str:
    """Return what a line begins with.

    Raises `EnirisQueryError` for a measurement that would not be read as one.
    """
    if measurement[0] in _NOT_FIRST_IN_LINE:
        raise EnirisQueryError(f"{measurement!r} cannot begin a line of line protocol")
    keys = "".join(
        f",{_escape(key, 'key')}={_escape(value, 'key')}" for key, value in tags
    )
    return f"{_escape(measurement, 'measurement')}{keys}"


@lru_cache(maxsize=1024)
def _line_field(name: str) -> str:
    return _escape(name, "key")


def _as_line(point: Point) -> str:
    """Return InfluxDB line protocol with a time in nanoseconds; see `_line_series`."""
    measurement, tags, time, fields = point
    values = ",".join(
        [f"{_line_field(name)}={_line_value(value)}" for name, value in fields.items()]
    )
    elapsed = time - _EPOCH
    microseconds = (
        elapsed.days * 86_400 + elapsed.seconds
    ) * 1_000_000 + elapsed.microseconds
    series = _line_series(measurement, tuple(sorted(tags.items())))
    return f"{series} {values} {microseconds}000"


def _line_value(value: FieldValue) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return f"{value}i"
    if isinstance(value, float):
        return repr(value)
    return f'"{_escape(value, "string")}"'
