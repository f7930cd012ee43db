"""Periods: aligned with the clock or the calendar, cut at the ends of the range."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from custom_components.eniris.services.periods import Period, periods
from homeassistant.util import dt as dt_util


@pytest.fixture(autouse=True)
async def brussels() -> AsyncIterator[None]:
    """Be in Brussels."""
    before = dt_util.get_default_time_zone()
    await be_in("Europe/Brussels")
    yield
    dt_util.set_default_time_zone(before)


async def be_in(name: str) -> None:
    """Move to another time zone."""
    zone = await dt_util.async_get_time_zone(name)
    assert zone
    dt_util.set_default_time_zone(zone)


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc,arg-type]


@pytest.mark.parametrize(
    ("period", "start", "end", "starts"),
    [
        (
            Period.FIVE_MINUTES,
            utc(2026, 7, 1, 10, 3),
            utc(2026, 7, 1, 10, 11),
            [utc(2026, 7, 1, 10, 3), utc(2026, 7, 1, 10, 5), utc(2026, 7, 1, 10, 10)],
        ),
        (
            Period.QUARTER,
            utc(2026, 7, 1, 10),
            utc(2026, 7, 1, 10, 30),
            [utc(2026, 7, 1, 10), utc(2026, 7, 1, 10, 15)],
        ),
        (
            Period.HOUR,
            utc(2026, 7, 1, 10),
            utc(2026, 7, 1, 12),
            [utc(2026, 7, 1, 10), utc(2026, 7, 1, 11)],
        ),
        # A Sunday of 23 hours, and one of 25
        (
            Period.DAY,
            utc(2026, 3, 27, 23),
            utc(2026, 3, 30, 22),
            [utc(2026, 3, 27, 23), utc(2026, 3, 28, 23), utc(2026, 3, 29, 22)],
        ),
        (
            Period.DAY,
            utc(2026, 10, 24, 12),
            utc(2026, 10, 26, 12),
            [utc(2026, 10, 24, 12), utc(2026, 10, 24, 22), utc(2026, 10, 25, 23)],
        ),
        # From Monday on
        (
            Period.WEEK,
            utc(2026, 7, 1),
            utc(2026, 7, 14),
            [utc(2026, 7, 1), utc(2026, 7, 5, 22), utc(2026, 7, 12, 22)],
        ),
        (
            Period.MONTH,
            utc(2025, 12, 31, 23),
            utc(2026, 4, 30, 22),
            [
                utc(2025, 12, 31, 23),
                utc(2026, 1, 31, 23),
                utc(2026, 2, 28, 23),
                utc(2026, 3, 31, 22),
            ],
        ),
    ],
)
def test_periods(
    period: Period, start: datetime, end: datetime, starts: list[datetime]
) -> None:
    """Periods follow each other without a gap, from start to end."""
    found = list(periods(period, start, end))
    assert [each for each, _ in found] == starts
    assert found[-1][1] == end
    assert all(first[1] == second[0] for first, second in pairwise(found))


async def test_midnight_that_is_not() -> None:
    """Where clocks skip midnight, a day begins when the one before ends."""
    await be_in("America/Santiago")
    found = list(periods(Period.DAY, utc(2025, 9, 6, 4), utc(2025, 9, 8, 3)))
    assert [end - start for start, end in found] == [
        timedelta(hours=24),
        timedelta(hours=23),
    ]


@pytest.mark.parametrize(
    ("zone", "period", "start", "starts"),
    [
        # Half past in UTC is a full hour in India, a quarter past is one in Nepal
        (
            "Asia/Kolkata",
            Period.HOUR,
            utc(2026, 7, 1, 0, 10),
            [utc(2026, 7, 1, 0, 10), utc(2026, 7, 1, 0, 30), utc(2026, 7, 1, 1, 30)],
        ),
        (
            "Asia/Kathmandu",
            Period.HOUR,
            utc(2026, 7, 1, 0, 15),
            [utc(2026, 7, 1, 0, 15), utc(2026, 7, 1, 1, 15)],
        ),
        (
            "Asia/Kathmandu",
            Period.QUARTER,
            utc(2026, 7, 1, 0, 20),
            [utc(2026, 7, 1, 0, 20), utc(2026, 7, 1, 0, 30), utc(2026, 7, 1, 0, 45)],
        ),
        # Clocks are changed by half an hour: two hours of thirty minutes
        (
            "Australia/Lord_Howe",
            Period.HOUR,
            utc(2026, 10, 3, 14, 30),
            [
                utc(2026, 10, 3, 14, 30),
                utc(2026, 10, 3, 15, 30),
                utc(2026, 10, 3, 16, 0),
                utc(2026, 10, 3, 17, 0),
            ],
        ),
        (
            "Australia/Lord_Howe",
            Period.HOUR,
            utc(2026, 4, 4, 14, 0),
            [
                utc(2026, 4, 4, 14, 0),
                utc(2026, 4, 4, 15, 0),
                utc(2026, 4, 4, 15, 30),
                utc(2026, 4, 4, 16, 30),
            ],
        ),
        # Clocks were changed in the middle of an hour, from half past two to three
        (
            "America/Caracas",
            Period.HOUR,
            utc(2016, 5, 1, 6, 30),
            [utc(2016, 5, 1, 6, 30), utc(2016, 5, 1, 7, 0), utc(2016, 5, 1, 8, 0)],
        ),
        # A whole hour more or less changes nothing
        (
            "Europe/Brussels",
            Period.HOUR,
            utc(2026, 10, 24, 23, 30),
            [utc(2026, 10, 24, 23, 30), utc(2026, 10, 25, 0), utc(2026, 10, 25, 1)],
        ),
        # Offsets of the past had seconds
        (
            "Africa/Monrovia",
            Period.HOUR,
            utc(1970, 1, 1, 0, 44, 30),
            [utc(1970, 1, 1, 0, 44, 30), utc(1970, 1, 1, 1, 44, 30)],
        ),
    ],
)
async def test_hours_of_the_local_clock(
    zone: str, period: Period, start: datetime, starts: list[datetime]
) -> None:
    """Hours and quarters begin when the local clock shows full ones."""
    await be_in(zone)
    end = starts[-1] + timedelta(minutes=5)
    found = list(periods(period, start, end))
    assert [begin for begin, _ in found] == starts
    assert [until for _, until in found] == [*starts[1:], end]


@pytest.mark.parametrize("zone", ["Asia/Kolkata", "Australia/Lord_Howe"])
async def test_hours_of_a_year(zone: str) -> None:
    """Each begins at a full hour of the local clock and ends where the next begins."""
    await be_in(zone)
    start, end = utc(2026, 1, 1, 0, 7), utc(2027, 1, 1)
    found = list(periods(Period.HOUR, start, end))
    odd = []
    assert found[0][0] == start
    assert found[-1][1] == end
    for (first_start, first_end), (second_start, _) in pairwise(found):
        assert first_start < first_end == second_start
        if dt_util.as_local(second_start).minute:
            odd.append(dt_util.as_local(second_start))
    # Where the clock is changed by half an hour, twice a year
    assert {(moment.hour, moment.minute) for moment in odd} <= {(2, 30), (1, 30)}
    assert len(odd) == (2 if zone == "Australia/Lord_Howe" else 0)
