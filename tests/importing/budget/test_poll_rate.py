"""How far the cost headers slow the polls down."""

from datetime import timedelta
import math

from hypothesis import assume, given, strategies as st
import pytest

from custom_components.eniris.api import QueryCost
from custom_components.eniris.importing.budget.poll_rate import PollRate

MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize(
    ("cost", "remaining", "used", "seconds"),
    [
        # Cheap
        (5, 95, 5, 60),
        (80, 20, 80, 60),
        # Four fifths of the budget are used at the most
        (90, 10, 90, 68),
        (100, 0, 100, 75),
        # Others use it, too
        (5, 0, 100, 60),
        (70, 0, 100, 60),
        # An unlimited tier, or a service that does not say
        (5, None, None, 60),
        (None, None, None, 60),
        (None, 50, 50, 60),
        # Nonsense
        (5, 0, 0, 60),
        (5, -10, 5, 60),
        (-5, 50, 50, 60),
    ],
)
def test_interval(
    cost: float | None, remaining: float | None, used: float | None, seconds: int
) -> None:
    """The interval is the one that was asked for unless the budget is too small."""
    pace = PollRate(MINUTE)
    pace.note(QueryCost(cost, remaining, used))
    assert pace.interval == timedelta(seconds=seconds)
    assert pace.is_slowed == (seconds > 60)


def test_recovers() -> None:
    """The interval is that of the last poll, not of the dearest ever."""
    pace = PollRate(MINUTE)
    assert pace.cost_per_minute is None
    pace.note(QueryCost(100, 0, 100))
    assert pace.cost_per_minute == pytest.approx(80)
    pace.note(QueryCost(10, 90, 10))
    assert not pace.is_slowed
    assert pace.cost_per_minute == pytest.approx(10)


def test_parts() -> None:
    """Where a poll reads a part, each value is read once in as many polls as there are parts."""
    pace = PollRate(MINUTE)
    pace.note(QueryCost(90, 10, 90), 4)
    assert pace.between_polls == timedelta(seconds=68)
    assert pace.interval == timedelta(seconds=272)
    assert pace.is_slowed
    pace.note(QueryCost(10, 90, 10), 2)
    assert pace.interval == 2 * MINUTE
    assert pace.is_slowed


def test_fits() -> None:
    """What fits into the budget is told by the last headers; without any there is no limit."""
    pace = PollRate(MINUTE)
    assert pace.fits(10**6)
    assert not pace.fits(math.inf)
    pace.note(QueryCost(5, 95, 5))
    assert pace.fits(80)
    assert not pace.fits(81)
    pace.note(QueryCost(5))
    assert pace.fits(10**6)


@given(
    cost=st.floats(0.1, 1000),
    capacity=st.floats(1, 1000),
    level=st.floats(0, 1),
    wanted=st.integers(10, 3600),
)
def test_never_refused(cost: float, capacity: float, level: float, wanted: int) -> None:
    """Whatever was in the bucket before, polls of one cost are never refused, however many."""
    assume(cost <= capacity)
    pace = PollRate(timedelta(seconds=wanted))
    used = min(level * capacity + cost, capacity)
    for _ in range(50):
        pace.note(QueryCost(cost, capacity - used, used))
        assert pace.interval >= pace.wanted
        used = max(0.0, used - pace.interval.total_seconds() * capacity / 60)
        assert used + cost <= capacity * (1 + 1e-9)
        used += cost
