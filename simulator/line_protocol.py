r"""InfluxDB line protocol: `measurement,tag=value field=1.5,other=2i 1690970400000000000`.

What may be escaped, and what a backslash means elsewhere, follows
https://docs.influxdata.com/influxdb/v2/reference/syntax/line-protocol/: `\,`, `\=` and `\ ` in names and tags, `\"` in
strings; a doubled backslash stands for one.
"""

import math
import re

from .errors import ApiError, bad_request
from .model import FieldValue, SeriesKey
from .points import check_integer, check_name, check_tag_value
from .store import IncomingPoint

_NAME = r"(?:\\.|[^,= \n\\]|\\(?=\n|\Z))+"
_HEAD = re.compile(r"(?:\\.|[^ \n\\]|\\(?=\n|\Z))+")
_MEASUREMENT = re.compile(r"(?:\\.|[^, \n\\])+")
_TAG = re.compile(rf",({_NAME})=({_NAME})")
_FIELD = re.compile(rf'({_NAME})=("(?:\\.|[^"\\])*"|[^, \n"]+)', re.DOTALL)
_TIME = re.compile(r" +(-?\d{1,20})(?= *(?:\r?\n|\Z))", re.ASCII)
_LINE_END = re.compile(r" *(?:\r?\n|\Z)")
_SKIPPED = re.compile(r"(?:[ \t\r\n]+|#[^\n]*(?:\n|\Z))+")
_NAME_ESCAPE = re.compile(r"\\([,= \\])")
_STRING_ESCAPE = re.compile(r'\\(["\\])')
_FLOAT = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_INTEGER = re.compile(r"[+-]?\d{1,20}i", re.ASCII)
_BOOLEANS = {
    **dict.fromkeys(("t", "T", "true", "True", "TRUE"), True),
    **dict.fromkeys(("f", "F", "false", "False", "FALSE"), False),
}


def parse_lines(
    text: str, database: str, retention_policy: str, now_ns: int
) -> list[IncomingPoint]:
    """Return the points of a text; one without a time gets `now_ns`. 400 names the line that is wrong."""
    points: list[IncomingPoint] = []
    known: dict[str, SeriesKey] = {}
    position = 0
    while True:
        if skipped := _SKIPPED.match(text, position):
            position = skipped.end()
        if position == len(text):
            return points
        try:
            point, position = _parse_line(
                text, position, database, retention_policy, now_ns, known
            )
        except ApiError as err:
            line = text[position:].partition("\n")[0][:200]
            raise bad_request(f"unable to parse '{line}': {err.detail}") from err
        points.append(point)


def _parse_line(
    text: str,
    position: int,
    database: str,
    retention_policy: str,
    now_ns: int,
    known: dict[str, SeriesKey],
) -> tuple[IncomingPoint, int]:
    head = _HEAD.match(text, position)
    if head is not None and (series := known.get(head[0])) is not None:
        position = head.end()
    else:
        start = position
        series, position = _parse_series(text, position, database, retention_policy)
        known[text[start:position]] = series
    while text.startswith(" ", position):
        position += 1

    fields: dict[str, FieldValue] = {}
    while match := _FIELD.match(text, position):
        fields[check_name(_unescape(match[1]), "field key")] = _field_value(match[2])
        position = match.end()
        if not text.startswith(",", position):
            break
        position += 1
    else:
        raise bad_request("invalid field format")

    time_ns = now_ns
    if match := _TIME.match(text, position):
        time_ns = check_integer(int(match[1]), "timestamp")
        position = match.end()
    if (match := _LINE_END.match(text, position)) is None:
        raise bad_request("invalid timestamp or trailing text")
    return IncomingPoint(series, time_ns, fields), match.end()


def _parse_series(
    text: str, position: int, database: str, retention_policy: str
) -> tuple[SeriesKey, int]:
    """Return what stands before the first space that is not escaped, and where that is."""
    if (match := _MEASUREMENT.match(text, position)) is None:
        raise bad_request("missing measurement")
    measurement = check_name(_unescape(match[0]), "measurement")
    position = match.end()

    tags: dict[str, str] = {}
    while match := _TAG.match(text, position):
        key = check_name(_unescape(match[1]), "tag key")
        if key in tags:
            raise bad_request(f"duplicate tag '{key}'")
        tags[key] = check_tag_value(_unescape(match[2]), f"tag '{key}'")
        position = match.end()
    if not text.startswith(" ", position):
        raise bad_request("invalid tag or missing fields")
    series = SeriesKey(
        database, retention_policy, measurement, tuple(sorted(tags.items()))
    )
    return series, position


def _unescape(text: str) -> str:
    return _NAME_ESCAPE.sub(r"\1", text) if "\\" in text else text


def _field_value(text: str) -> FieldValue:
    if text.startswith('"'):
        return _STRING_ESCAPE.sub(r"\1", text[1:-1])
    if (boolean := _BOOLEANS.get(text)) is not None:
        return boolean
    if _INTEGER.fullmatch(text):
        return check_integer(int(text[:-1]), "field value")
    if _FLOAT.fullmatch(text) and math.isfinite(number := float(text)):
        return number
    raise bad_request(f"invalid field value '{text}'")
