"""What is written into the statistics of sums."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
import math

from hypothesis import assume, given, strategies as st
import pytest

from custom_components.eniris.importing.history.hours import StatisticKind
from custom_components.eniris.importing.history.sums import (
    Anchor,
    Hourly,
    Known,
    Recorded,
    Step,
    counter_increase,
    doubtful_hours,
    meter_steps,
    sum_rows,
    sum_steps,
    without_misreadings,
)

HOUR = 3600


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
def test_counter_increase(before: float, after: float, counted: float) -> None:
    """What a meter counted between two values is what Home Assistant makes of them."""
    assert counter_increase(StatisticKind.COUNTER, before, after) == pytest.approx(
        counted
    )
    # One that may run back is never taken for a new one
    assert counter_increase(StatisticKind.BALANCE, before, after) == pytest.approx(
        after - before
    )


DAY = 24 * HOUR


def steps_of(
    hours: Mapping[int, tuple[float, ...]],
    behind: Recorded | None = None,
    method: StatisticKind = StatisticKind.COUNTER,
) -> list[tuple[int, float, float]]:
    """Return hour, energy and state of the steps of a meter in hours 0 to 23."""
    by_second = {hour * HOUR: values for hour, values in hours.items()}
    found = meter_steps(method, by_second, 0, DAY, behind)
    return [(start // HOUR, energy, state) for start, energy, state in found]


@pytest.mark.parametrize(
    ("hours", "steps"),
    [
        ({}, []),
        ({-1: (5,)}, []),
        ({0: (100, 110)}, [(0, 10, 110)]),
        ({-1: (95,), 0: (100, 110)}, [(0, 15, 110)]),
        # Between two hours, too, and over a gap
        (
            {-1: (90, 100), 0: (100, 110), 1: (112, 112)},
            [(0, 10, 110), (1, 2, 112)],
        ),
        ({5: (150, 160), 0: (100, 110)}, [(0, 10, 110), (5, 50, 160)]),
        # Another meter: between two hours, and within one that is known value by value
        ({-1: (900_000,), 0: (3, 9)}, [(0, 9, 9)]),
        ({-1: (90,), 0: (100, 110, 4, 4, 10)}, [(0, 30, 10)]),
        ({-1: (90,), 0: (100, 101), 1: (1, 2)}, [(0, 11, 101), (1, 2, 2)]),
        # Another meter that comes to where the first one was
        (
            {-1: (90,), 0: (100, 2, 4), 1: (30, 50, 70), 2: (90, 99, 104)},
            [(0, 14, 4), (1, 66, 70), (2, 34, 104)],
        ),
        # One that begins anew every day
        ({-1: (190, 200), 0: (0, 1, 2, 3), 1: (3, 9)}, [(0, 3, 3), (1, 6, 9)]),
        # A slight fall from which it counts on
        (
            {-1: (100,), 0: (96, 96.5, 97), 1: (97.5, 98, 98.5, 99, 99.5, 100)},
            [(0, -3, 97), (1, 3, 100)],
        ),
        # What hours further back showed is not counted here
        ({-9: (50,), 0: (100, 110)}, [(0, 10, 110)]),
    ],
)
def test_meter_steps(
    hours: dict[int, tuple[float, ...]], steps: list[tuple[int, float, float]]
) -> None:
    """A meter counts from what it showed last, and shows its last value."""
    assert steps_of(hours) == [pytest.approx(step) for step in steps]


@pytest.mark.parametrize(
    ("hours", "behind", "steps"),
    [
        # Once, and several times
        ({-1: (100,), 0: (101, 0, 103)}, None, [(0, 3, 103)]),
        ({-1: (100,), 0: (101, 0, 0, 0, 103)}, None, [(0, 3, 103)]),
        ({-1: (100,), 0: (101, 0, 7, 0, 50, 103)}, None, [(0, 3, 103)]),
        (
            {-1: (100,), 0: (101, 90, 91, 103), 1: (0, 105)},
            None,
            [(0, 3, 103), (1, 2, 105)],
        ),
        # A little less
        ({-1: (100,), 0: (99, 102)}, None, [(0, 2, 102)]),
        # At the border of an hour, of the day, and over hours
        ({-1: (100,), 0: (101, 0), 1: (0, 104)}, None, [(0, 1, 101), (1, 3, 104)]),
        ({-1: (100, 0), 0: (0, 104)}, None, [(0, 4, 104)]),
        ({-1: (0,), 0: (0, 104, 105), -9: (99,)}, None, [(0, 1, 105)]),
        (
            {-1: (100,), 0: (101, 0), 5: (0, 0), 9: (0, 109)},
            None,
            [(0, 1, 101), (9, 8, 109)],
        ),
        # Taken back behind the day
        ({-1: (100,), 23: (101, 0)}, 110.0, [(23, 1, 101)]),
        ({-1: (100,), 23: (101, 0), 24: (0, 102)}, 110.0, [(23, 1, 101)]),
        # All of the day
        ({-9: (100,), -1: (0,), 0: (0, 0), 23: (0, 0)}, 110.0, []),
        # Far too much, once
        ({-1: (100,), 0: (101, 99_999, 102)}, None, [(0, 2, 102)]),
        ({-1: (100, 99_999), 0: (102, 103)}, None, [(0, 3, 103)]),
        # An exchange in which the new one is misread as well
        ({-1: (900,), 0: (901, 5, 6, 0, 8)}, None, [(0, 1 + 8, 8)]),
    ],
)
def test_misreadings(
    hours: dict[int, tuple[float, ...]],
    behind: float | None,
    steps: list[tuple[int, float, float]],
) -> None:
    """What the next rows take back is no exchange of the meter, and counts nothing."""
    row = None if behind is None else Recorded(DAY, DAY + HOUR, behind, 0, 0)
    assert steps_of(hours, row) == [pytest.approx(step) for step in steps]


@given(st.lists(st.floats(0, 1e9), max_size=60))
def test_what_remains_of_readings(values: list[float]) -> None:
    """Readings are left out, never changed; those that only rise all remain."""
    readings = [(number * HOUR, value) for number, value in enumerate(values)]
    found = without_misreadings(readings)
    assert found.items() <= {hour: (value,) for hour, value in readings}.items()
    rising = sorted(values)
    readings = [(number * HOUR, value) for number, value in enumerate(rising)]
    assert without_misreadings(readings) == {hour: (value,) for hour, value in readings}


@pytest.mark.parametrize(
    ("hours", "behind", "doubtful"),
    [
        ({}, None, (set(), False)),
        ({-1: (900, 901), 0: (902, 903)}, 910.0, (set(), False)),
        # A fall on its own, and one that is taken back
        (
            {-1: (900, 901), 0: (902, 903), 1: (3, 5), 2: (5, 9)},
            9.0,
            ({0, 1, 24}, False),
        ),
        ({-1: (900, 901), 0: (0, 903), 1: (903, 904)}, 904.0, ({-1, 0}, False)),
        (
            {-1: (900, 901), 0: (0, 0), 1: (0, 0), 5: (0, 905)},
            905.0,
            ({-1, 0, 5}, False),
        ),
        # It may have fallen before
        ({-1: (0, 0), 0: (0, 0), 1: (0, 110), 2: (110, 120)}, 120.0, ({1}, True)),
        ({-1: (0, 0), 0: (0, 0)}, 120.0, (set(), True)),
    ],
)
def test_doubtful_hours(
    hours: dict[int, tuple[float, ...]],
    behind: float | None,
    doubtful: tuple[set[int], bool],
) -> None:
    """Single values are asked for where a meter fell and where it came back, and for no other hours."""
    row = None if behind is None else Recorded(DAY, DAY + HOUR, behind, 0, 0)
    by_second = {hour * HOUR: values for hour, values in hours.items()}
    found, may_have_fallen = doubtful_hours(by_second, row, DAY)
    assert ({hour // HOUR for hour in found}, may_have_fallen) == doubtful


READINGS = st.lists(
    st.tuples(st.integers(0, 23), st.lists(st.integers(0, 10**6), min_size=1)),
    unique_by=lambda item: item[0],
)


@given(readings=READINGS, before=st.none() | st.integers(0, 10**6))
def test_balance_counts_each_difference_once(
    readings: list[tuple[int, list[int]]], before: int | None
) -> None:
    """Together, the hours of a meter that may run back count what it shows in the end."""
    hours: dict[int, tuple[float, ...]] = {
        hour: tuple(found) for hour, found in readings
    }
    values = [value for _, found in sorted(readings) for value in found]
    if before is not None:
        hours[-1] = (before,)
        values.insert(0, before)
    steps = steps_of(hours, method=StatisticKind.BALANCE)
    expected = values[-1] - values[0] if values else 0
    assert math.fsum(energy for _, energy, _ in steps) == pytest.approx(expected)
    assert [start for start, _, _ in steps] == sorted(hour for hour, _ in readings)


@given(
    rises=st.lists(st.integers(0, 50), min_size=3, max_size=60),
    new=st.integers(0, 60),
    dips=st.sets(st.integers(1, 58), max_size=5),
)
def test_counter_counts_each_rise_once(
    rises: list[int], new: int, dips: set[int]
) -> None:
    """However often a meter is misread, and exchanged once, the hours count what flowed."""
    shown, values, counted = 100_000, [100_000], 0
    for number, rise in enumerate(rises):
        # Far from where the meter is exchanged, and not in the last row: nobody knows what follows it
        if number in dips and abs(number - new) > 3 and number < len(rises) - 1:
            values.append(0)
            continue
        shown = 1 if number == new else shown + rise
        counted += 1 if number == new else rise
        values.append(shown)
    hours: dict[int, tuple[float, ...]] = {-1: (values[0],)}
    for number, value in enumerate(values[1:]):
        hours[number // 3] = (*hours.get(number // 3, ()), value)
    steps = steps_of(hours)
    assert math.fsum(energy for _, energy, _ in steps) == pytest.approx(counted)


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
