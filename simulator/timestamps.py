"""ISO 8601 and Unix time, exact to the nanosecond that InfluxDB keeps."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
import re
from typing import Literal

type TimeFormat = Literal["iso_ms", "iso_ns", "ms"]

NS_PER_MS = 1_000_000
NS_PER_S = 1_000_000_000

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ISO = re.compile(
    r"(\d{4}-\d\d-\d\dT\d\d:\d\d):([0-5]\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)",
    re.ASCII,
)


def utc_now() -> datetime:
    """Return the present, looked up at each call so that tests can freeze it."""
    return datetime.now(UTC)


def datetime_to_ns(value: datetime) -> int:
    """Return Unix nanoseconds of an aware datetime."""
    return (value - _EPOCH) // timedelta(microseconds=1) * 1000


def parse_iso_ns(text: str) -> int:
    """Return Unix nanoseconds of `2023-08-02T10:00:00[.1-9 digits](Z|±hh:mm)`; ValueError for anything else."""
    if (match := _ISO.fullmatch(text)) is None:
        raise ValueError(f"not an ISO 8601 instant with an offset: {text!r}")
    minute, second, fraction, offset = match.groups()
    whole = _minute_ns(minute, offset) + int(second) * NS_PER_S
    return whole + int(fraction.ljust(9, "0")) if fraction else whole


@lru_cache(maxsize=4096)
def _minute_ns(minute: str, offset: str) -> int:
    """Return Unix nanoseconds of the start of a minute; the points of a write share few of them."""
    return datetime_to_ns(datetime.fromisoformat(minute + offset))


def format_ns(time_ns: int, style: TimeFormat) -> str | int:
    """Write an instant as the service does.

    `iso_ms` has three fraction digits, or nine where three would lose something; `iso_ns` always nine; `ms` is an
    integer, which loses what is finer.
    """
    if style == "ms":
        return time_ns // NS_PER_MS
    seconds, fraction = divmod(time_ns, NS_PER_S)
    stem = (_EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")
    if style == "iso_ms" and fraction % NS_PER_MS == 0:
        return f"{stem}.{fraction // NS_PER_MS:03d}Z"
    return f"{stem}.{fraction:09d}Z"


def iso_ms(value: datetime) -> str:
    """Write a datetime the way that `lastUpdate` is written."""
    return str(format_ns(datetime_to_ns(value) // NS_PER_MS * NS_PER_MS, "iso_ms"))
