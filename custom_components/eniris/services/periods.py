"""Stretches of time as people count them: quarters of an hour, days, months."""

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import Final

from homeassistant.util import dt as dt_util


class Period(StrEnum):
    """What an aggregate is made of, in the words of Home Assistant's statistics."""

    FIVE_MINUTES = "5minute"
    QUARTER = "15minute"
    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"


_LENGTHS: Final = {
    Period.FIVE_MINUTES: timedelta(minutes=5),
    Period.QUARTER: timedelta(minutes=15),
    Period.HOUR: timedelta(hours=1),
}


def _next_month(day: date) -> date:
    return (day.replace(day=1) + timedelta(days=31)).replace(day=1)


_NEXT: Final[dict[Period, Callable[[date], date]]] = {
    Period.DAY: lambda day: day + timedelta(days=1),
    Period.WEEK: lambda day: day + timedelta(days=7 - day.weekday()),
    Period.MONTH: _next_month,
}

_EPOCH: Final = datetime.fromtimestamp(0, UTC)


def periods(
    period: Period, start: datetime, end: datetime
) -> Iterator[tuple[datetime, datetime]]:
    """Yield the periods between two times, in UTC; the first and the last may be cut.

    All are local: hours begin at full hours of the clock on the wall, also in a time zone of half hours, and days,
    weeks and months at midnight, whatever the clock does in between; weeks begin on Monday.
    """
    ends = _calendar_ends if period in _NEXT else _clock_ends
    begin = start
    for boundary in ends(period, start):
        yield begin, min(boundary, end)
        if boundary >= end:
            return
        begin = boundary


def _clock_ends(period: Period, start: datetime) -> Iterator[datetime]:
    length = _LENGTHS[period]
    boundary = start
    while True:
        following = _clock_start(boundary, length) + length
        # If the clock was changed in between, it may have come to a full hour before
        sooner = _clock_start(following, length)
        if boundary < sooner and sooner == _clock_start(sooner, length):
            following = sooner
        yield following
        boundary = following


def _clock_start(moment: datetime, length: timedelta) -> datetime:
    """Return when the period began in which a moment is, by the clock that holds then."""
    local = dt_util.as_local(moment).replace(tzinfo=UTC)
    return moment - (local - _EPOCH) % length


def _calendar_ends(period: Period, start: datetime) -> Iterator[datetime]:
    day = dt_util.as_local(start).date()
    while True:
        day = _NEXT[period](day)
        yield dt_util.as_utc(dt_util.start_of_local_day(day))
