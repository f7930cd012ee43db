"""Telemetry writes: points, where they go, and the body in which they travel."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
import math
from typing import Any, Final, NamedTuple
import zlib

import orjson

from .errors import EnirisQueryError
from .telemetry import FieldValue

GZIP_FROM: Final = 1024
"""Bytes below which a body fits a packet anyway, so that compressing it gains nothing."""

_LEVEL: Final = 4
"""No larger than the official driver's body, and a third cheaper than the usual 6."""

_AS_GZIP: Final = 31
_INTEGERS: Final = range(-(2**63), 2**63)


class WriteTarget(NamedTuple):
    """Where points are stored: the collector (`u`), and the namespace that it writes to."""

    collector: str
    database: str
    retention_policy: str

    @property
    def params(self) -> dict[str, str]:
        """The query parameters."""
        return {"db": self.database, "rp": self.retention_policy, "u": self.collector}


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


def name_problem(name: str) -> str | None:
    """Return what is wrong with a measurement's, tag's or field's name, as one word, or None."""
    if not name:
        return "empty"
    if "\n" in name or "\r" in name:
        return "newline"
    if name.startswith("_"):
        return "underscore"
    return None


def _check_name(name: str) -> None:
    if problem := name_problem(name):
        raise EnirisQueryError(f"{name!r} is not a valid name ({problem})")


def encode_points(points: Iterable[Point]) -> Body:
    """Return the request body that stores points, compressed where that makes it smaller.

    Raises `EnirisQueryError` for a point that the API page declares invalid. Points of one series
    should stand together and share their tags: a series is checked where it changes.
    """
    try:
        data = _dump(_rows(points))
    except (OverflowError, TypeError, ValueError) as err:
        # Half a surrogate pair, a value of another type, a time in the year 0
        raise EnirisQueryError("a point cannot be written down") from err
    headers = {"Content-Type": "application/json"}
    if len(data) >= GZIP_FROM:
        compressed = zlib.compress(data, _LEVEL, wbits=_AS_GZIP)
        if len(compressed) < len(data):
            return Body(compressed, {**headers, "Content-Encoding": "gzip"})
    return Body(data, headers)


def _rows(points: Iterable[Point]) -> list[dict[str, Any]]:
    """Return points as they are written down, values unchecked.

    What is the same for all points of a series stands together, which compresses best.
    """
    rows: list[dict[str, Any]] = []
    names: set[str] = set()
    series: tuple[str, Mapping[str, str]] | None = None
    for measurement, tags, time, fields in points:
        if series is None or tags is not series[1] or measurement != series[0]:
            series = measurement, tags
            for name in (measurement, *tags):
                _check_name(name)
            for key, text in tags.items():
                if not text or "\n" in text:
                    raise EnirisQueryError(f"tag {key!r} has no valid value")
        if not fields:
            raise EnirisQueryError("a point has at least one field")
        if not names.issuperset(fields):
            for name in fields:
                _check_name(name)
            names.update(fields)
        if time.tzinfo is not UTC:
            if time.tzinfo is None:
                raise EnirisQueryError("a point's time has a time zone")
            time = time.astimezone(UTC)
        rows.append(
            {"measurement": measurement, "tags": tags, "time": time, "fields": fields}
        )
    return rows


def _dump(rows: list[dict[str, Any]]) -> bytes:
    """Return JSON. Look at each value only if there is a sign of invalid ones.

    orjson hands datetimes of other classes than Python's own to `format_time`.
    """
    try:
        data = orjson.dumps(
            rows,
            default=format_time,
            option=orjson.OPT_UTC_Z | orjson.OPT_STRICT_INTEGER,
        )
    except orjson.JSONEncodeError:
        # An integer of more than 53 bits is one reason, and may be valid
        _check_values(rows)
        return orjson.dumps(rows, default=format_time, option=orjson.OPT_UTC_Z)
    # What is not a finite number is written as null; a text may have the same signs
    if b":null" in data:
        _check_values(rows)
    return data


def _check_values(rows: Iterable[dict[str, Any]]) -> None:
    for row in rows:
        for name, value in row["fields"].items():
            if isinstance(value, float):
                if not math.isfinite(value):
                    raise EnirisQueryError(f"field {name!r} is not a finite number")
            elif isinstance(value, int):
                if value not in _INTEGERS:
                    raise EnirisQueryError(f"field {name!r} needs more than 64 bits")
            elif not isinstance(value, str):
                raise EnirisQueryError(f"field {name!r} is no number and no text")


def format_time(moment: datetime) -> str:
    """Return ISO 8601 in UTC, as the API's example has it, with as many digits as it takes."""
    return f"{moment.astimezone(UTC).replace(tzinfo=None).isoformat()}Z"
