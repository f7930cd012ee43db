"""What is written into the statistics of sums, and what share of the budget the past may use."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
import math

from hypothesis import assume, given, strategies as st
import pytest

from custom_components.eniris.api import QueryCost
from custom_components.eniris.importing.history import Share
from custom_components.eniris.importing.hours import Method
from custom_components.eniris.importing.pace import Pace
from custom_components.eniris.importing.statistics import (
    Anchor,
    Hourly,
    Known,
    Recorded,
    Step,
    meter_steps,
    rise,
    sum_rows,
    sum_steps,
)

HOUR = 3600
MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize(
    ("before", "after", "counted"),
    [
        (100, 110, 10),
        (100, 100, 0),
        (0, 5, 5),
        (0, 0, 0),
        # Home Assistant takes a slight fall for one, and a deep one for a new meter
        (100, 95, -5),
        (100, 90, -10),
        (100, 89.9, 89.9),
        (100, 0, 0),
        (900_000, 7, 7),
    ],
)
def test_rise(before: float, after: float, counted: float) -> None:
    """What a meter counted between two values is what Home Assistant makes of them."""
    assert rise(Method.COUNTER, before, after) == pytest.approx(counted)
    # One that may run back is never taken for a new one
    assert rise(Method.BALANCE, before, after) == pytest.approx(after - before)


@pytest.mark.parametrize(
    ("hours", "before", "steps"),
    [
        ({}, None, []),
        ({}, 5, []),
        ({0: (100, 110)}, None, [(0, 10, 110)]),
        ({0: (100, 110)}, 95, [(0, 15, 110)]),
        # Between two hours, too, and over a gap
        ({0: (100, 110), 1: (112, 112)}, 100, [(0, 10, 110), (1, 2, 112)]),
        ({5: (150, 160), 0: (100, 110)}, None, [(0, 10, 110), (5, 50, 160)]),
        # Another meter: between two hours, and within one that is known value by value
        ({0: (3, 9)}, 900_000, [(0, 9, 9)]),
        ({0: (100, 110, 4, 4, 10)}, 90, [(0, 30, 10)]),
        ({0: (100, 101), 1: (1, 2)}, 90, [(0, 11, 101), (1, 2, 2)]),
        # A slight fall
        ({0: (98, 101)}, 100, [(0, 1, 101)]),
    ],
)
def test_meter_steps(
    hours: dict[int, tuple[float, ...]],
    before: float | None,
    steps: list[tuple[int, float, float]],
) -> None:
    """A meter counts from what it showed last, and shows its last value."""
    found = meter_steps(Method.COUNTER, hours, before)
    assert [(step.start, step.state) for step in found] == [
        (start, state) for start, _, state in steps
    ]
    assert [step.energy for step in found] == pytest.approx(
        [energy for _, energy, _ in steps]
    )


READINGS = st.lists(
    st.tuples(st.integers(0, 30), st.lists(st.integers(0, 10**6), min_size=1)),
    unique_by=lambda item: item[0],
)


@given(
    method=st.sampled_from([Method.COUNTER, Method.BALANCE]),
    readings=READINGS,
    before=st.none() | st.integers(0, 10**6),
)
def test_meter_counts_each_rise_once(
    method: Method, readings: list[tuple[int, list[int]]], before: int | None
) -> None:
    """Together, the hours count what Home Assistant would have counted of the values one by one."""
    hours = {hour: tuple(found) for hour, found in readings}
    steps = meter_steps(method, hours, before)
    values = [value for _, found in sorted(readings) for value in found]
    counted = 0.0
    last: float | None = before
    for value in values:
        if last is not None:
            # As `homeassistant.components.sensor.recorder` does
            is_new = method is Method.COUNTER and value < 0.9 * last
            counted += value if is_new else value - last
        last = value
    assert math.fsum(step.energy for step in steps) == pytest.approx(counted)
    assert [step.start for step in steps] == sorted(hour for hour, _ in readings)


def test_sum_steps() -> None:
    """The states of a sum lead to what it shows in the end, hours without data notwithstanding."""
    steps = sum_steps({2: (5.0,), 0: (10.0,), 7: (-1.0,)}, 100.0)
    assert steps == [Step(0, 10, 96), Step(2, 5, 101), Step(7, -1, 100)]
    assert sum_steps({}, 100.0) == []


@given(
    hours=st.dictionaries(
        st.integers(0, 30), st.tuples(st.floats(-1e6, 1e6)), min_size=1
    ),
    end=st.floats(-1e9, 1e9),
)
def test_sum_steps_rise_by_their_energy(
    hours: dict[int, tuple[float]], end: float
) -> None:
    """The state of an hour is that of the hour before and its energy."""
    steps = sum_steps(hours, end)
    assert steps[-1].state == pytest.approx(end, abs=1e-6)
    assert {step.start: (step.energy,) for step in steps} == hours
    for before, step in pairwise(steps):
        assert step.state == pytest.approx(before.state + step.energy, abs=1e-6)


# Rows: what the recorder had, what is written over it, and what is to be seen in the end


def test_first_rows() -> None:
    """The first rows of all begin at zero; without a row behind them nothing is shifted."""
    steps = [Step(0, 5, 105), Step(2 * HOUR, 7, 112)]
    rows, shift = sum_rows(steps, Known(), 0, 24 * HOUR, None)
    assert rows == [
        Hourly(0, state=105, sum=5),
        Hourly(2 * HOUR, state=112, sum=12),
    ]
    assert shift == 0


@pytest.mark.parametrize("anchor", [None, Anchor(50, 10)])
def test_nothing_to_write(anchor: Anchor | None) -> None:
    """Where the service has nothing, what is there stays as it is."""
    known = Known((Recorded(HOUR, 2 * HOUR, 1, 40, 30),))
    assert sum_rows([], known, 0, 24 * HOUR, anchor) == ([], 0)


def test_before_live_rows() -> None:
    """What is put before a row is added to it and to all that follow."""
    behind = Recorded(24 * HOUR, 25 * HOUR, 103, 3, 0)
    steps = [Step(HOUR, 5, 93), Step(2 * HOUR, 7, 100)]
    rows, shift = sum_rows(steps, Known((behind,)), 0, 24 * HOUR, Anchor(behind.sum, 3))
    assert [row.sum for row in rows] == [5, 12]
    assert shift == 12


def test_carried_hours() -> None:
    """A row in between of which the service knows nothing counts nothing; one before is left alone."""
    known = Known(
        (
            Recorded(0, HOUR, 1, 10, 8),
            Recorded(2 * HOUR, 3 * HOUR, 5, 14, 10),
            Recorded(3 * HOUR, 4 * HOUR, 6, 15, 14),
            Recorded(24 * HOUR, 25 * HOUR, 9, 18, 15),
        )
    )
    steps = [Step(HOUR, 2, 3), Step(3 * HOUR, 4, 7)]
    rows, shift = sum_rows(steps, known, 0, 24 * HOUR, Anchor(18, 3))
    assert rows == [
        Hourly(HOUR, state=3, sum=12),
        Hourly(2 * HOUR, state=3, sum=12),
        Hourly(3 * HOUR, state=7, sum=16),
    ]
    assert shift == 16 + 3 - 18


@dataclass(frozen=True)
class Statistic:
    """A statistic as the recorder keeps it: sums by hour."""

    sums: Mapping[int, float]

    @classmethod
    def of(cls, energies: Mapping[int, float]) -> "Statistic":
        """Return the one that has counted these energies."""
        total = 0.0
        return cls(
            {hour: (total := total + energies[hour]) for hour in sorted(energies)}
        )

    @property
    def changes(self) -> dict[int, float]:
        """What each hour counts."""
        before = 0.0
        changes = {}
        for hour, total in sorted(self.sums.items()):
            changes[hour] = total - before
            before = total
        return changes

    def known(self, start: int, end: int) -> Known:
        """Return what is found out of it: the hours asked for, and the first one behind."""
        changes = self.changes
        rows = [
            Recorded(hour * HOUR, (hour + 1) * HOUR, 0, total, total - changes[hour])
            for hour, total in sorted(self.sums.items())
            if hour >= start
        ]
        behind = [number for number, row in enumerate(rows) if row.start >= end * HOUR]
        return Known(rows[: behind[0] + 1] if behind else rows)

    def written(self, rows: list[Hourly], shift: float) -> "Statistic":
        """Return what the recorder makes of it."""
        first = rows[0].start // HOUR if rows else 0
        shifted = {
            hour: total + shift if hour >= first and rows else total
            for hour, total in self.sums.items()
        }
        new = {row.start // HOUR: row.sum for row in rows if row.sum is not None}
        return Statistic(shifted | new)


ENERGIES = st.dictionaries(st.integers(0, 40), st.floats(-100, 1000))


@given(
    kept=ENERGIES, told=ENERGIES, span=st.tuples(st.integers(0, 40), st.integers(1, 24))
)
def test_every_hour_counts_its_energy(
    kept: dict[int, float], told: dict[int, float], span: tuple[int, int]
) -> None:
    """Each hour counts what the service says of it; before and behind, nothing changes."""
    start, end = span[0], span[0] + span[1]
    # Else there is no telling what the sum was before
    assume(not kept or max(kept) >= start)
    statistic = Statistic.of(kept)
    known = statistic.known(start, end)
    steps = [
        Step(hour * HOUR, energy, 0)
        for hour, energy in told.items()
        if start <= hour < end
    ]
    behind = known.behind(end * HOUR)
    anchor = Anchor(behind.sum, kept[behind.start // HOUR]) if behind else None
    rows, shift = sum_rows(steps, known, start * HOUR, end * HOUR, anchor)
    after = statistic.written(rows, shift).changes
    first = min((step.start // HOUR for step in steps), default=end)
    expected = {
        **{hour: energy for hour, energy in kept.items() if not first <= hour < end},
        **{hour: 0.0 for hour in kept if first <= hour < end},
        **{step.start // HOUR: step.energy for step in steps},
    }
    assert after == pytest.approx(expected, abs=1e-6)


@given(
    truth=st.dictionaries(st.integers(0, 60), st.floats(-100, 1000)),
    began=st.integers(0, 60),
    spans=st.lists(st.tuples(st.integers(0, 60), st.integers(1, 24)), max_size=6),
)
def test_in_whatever_order(
    truth: dict[int, float], began: int, spans: list[tuple[int, int]]
) -> None:
    """Pieces of the past in any order, once or again, put each hour's energy into its hour."""
    # A live row there has to be, as there is after the first hour of the account
    truth = {**truth, 61: 5.0}
    live = {hour: energy for hour, energy in truth.items() if hour >= began}
    statistic = Statistic.of(live)
    wanted = dict(live)
    for start, length in spans:
        end = start + length
        known = statistic.known(start, end)
        behind = known.behind(end * HOUR)
        told = {hour: energy for hour, energy in truth.items() if start <= hour < end}
        steps = [Step(hour * HOUR, energy, 0) for hour, energy in told.items()]
        anchor = Anchor(behind.sum, truth[behind.start // HOUR]) if behind else None
        rows, shift = sum_rows(steps, known, start * HOUR, end * HOUR, anchor)
        statistic = statistic.written(rows, shift)
        wanted |= told
    assert statistic.changes == pytest.approx(wanted, abs=1e-6)


# The share of the budget


def share(cost: QueryCost | None = None, *, queries: int = 1) -> Share:
    """Return the share beside polls that cost so much, with the answer to one request known."""
    pace = Pace(MINUTE)
    pace.note(QueryCost(10, 90, 10))
    shared = Share(pace)
    if cost is not None:
        shared.wait_after(queries, cost, 1)
    return shared


def test_share_of_what_polls_leave() -> None:
    """Half of what polls leave over of their four fifths is for the past."""
    assert share().per_minute == pytest.approx((80 - 10) / 2)
    pace = Pace(MINUTE)
    pace.note(QueryCost(80, 20, 80))
    # However little they leave, it does not stand still
    assert Share(pace).per_minute == pytest.approx(5)


@pytest.mark.parametrize("cost", [QueryCost(), QueryCost(5), QueryCost(None, 50, 50)])
def test_no_limit(cost: QueryCost) -> None:
    """Without a budget, requests are large, and half of the time is spent waiting."""
    pace = Pace(MINUTE)
    pace.note(cost)
    shared = Share(pace)
    assert shared.per_minute is None
    assert shared.queries() == 250
    assert shared.wait_after(250, cost, 3.5) == 3.5


def test_before_the_first_poll() -> None:
    """Of a budget that is not known yet, none is assumed."""
    shared = Share(Pace(MINUTE))
    assert shared.queries() == 250
    assert shared.wait_after(10, QueryCost(5, 95, 5), 2) == 2


@pytest.mark.parametrize(
    ("cost", "asked", "queries"),
    [
        # The first requests find out what a query costs
        (None, 1, 10),
        (2, 10, 50),
        (0.5, 250, 250),
        (30, 10, 3),
        (500, 10, 1),
        (0, 10, 10),
    ],
)
def test_size_of_requests(cost: float | None, asked: int, queries: int) -> None:
    """A request takes a tenth of the budget at the most, and has a query at the least."""
    known = None if cost is None else QueryCost(cost, 90, 10)
    assert share(known, queries=asked).queries() == queries


def test_requests_that_were_too_dear() -> None:
    """What the service found too dear once limits what follows."""
    shared = share(QueryCost(0.5, 90, 10), queries=250)
    shared.most = 7
    assert shared.queries() == 7
    without = share()
    without.most = 3
    assert without.queries() == 3


@pytest.mark.parametrize(
    ("cost", "wait"),
    [
        (QueryCost(3.5, 86.5, 13.5), 6),
        (QueryCost(35, 55, 45), 60),
        (QueryCost(0, 90, 10), 0),
        # What remains has to do for two polls and for the next request, which is of two queries
        (QueryCost(3.5, 23.5, 76.5), 6),
        (QueryCost(3.5, 3.5, 96.5), 60 * (20 + 7 - 3.5) / 100),
        (QueryCost(3.5, 0, 100), 60 * (20 + 7) / 100),
        # Headers that are missing
        (QueryCost(3.5), 6),
        (QueryCost(), 2),
    ],
)
def test_wait(cost: QueryCost, wait: float) -> None:
    """After a request its share has to come back, and what the polls need."""
    assert share().wait_after(1, cost, 2) == pytest.approx(wait)


@given(
    poll=st.floats(0.5, 70),
    query=st.floats(0.1, 2),
    level=st.floats(0, 1),
)
def test_polls_are_never_refused(poll: float, query: float, level: float) -> None:
    """Whatever is in the bucket at first, neither a poll nor the import is refused beside the other."""
    capacity = 100.0
    pace = Pace(MINUTE)
    used = level * (capacity - poll) + poll
    pace.note(QueryCost(poll, capacity - used, used))
    shared = Share(pace)
    now, next_poll, next_part = 0.0, 60.0, 0.0

    def leak(until: float) -> None:
        nonlocal now, used
        used = max(0.0, used - (until - now) * capacity / 60)
        now = until

    # Where the bucket is full at first, the first request of all finds that out
    leak(60 * max(0.0, used + 10 * query + poll - capacity) / capacity)
    next_part = now
    for _ in range(300):
        leak(max(now, min(next_poll, next_part)))
        if next_poll <= next_part:
            used += poll
            assert used <= capacity * (1 + 1e-9), "a poll is refused"
            pace.note(QueryCost(poll, capacity - used, used))
            next_poll = now + pace.interval.total_seconds()
            assert not pace.is_slowed
        else:
            queries = shared.queries()
            used += queries * query
            assert used <= capacity * (1 + 1e-9), "a request of the past is refused"
            cost = QueryCost(queries * query, capacity - used, used)
            next_part = now + shared.wait_after(queries, cost, 0)
