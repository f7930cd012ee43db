"""What is written into the statistics of sums."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
import math

from hypothesis import assume, given, strategies as st
import pytest

from custom_components.eniris.importing.history.hours import StatisticKind
from custom_components.eniris.importing.history.sums import (
    HourlyRows,
    Recorded,
    Steps,
    begins_low,
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
    found = meter_steps(method, by_second, 0, behind)
    return [
        (start // HOUR, energy, state)
        for start, (energy, state) in found.items()
        if start < DAY
    ]


@pytest.mark.parametrize(
    ("hours", "steps"),
    [
        ({}, []),
        ({-1: (5,)}, []),
        ({0: (100, 110)}, [(0, 10, 110)]),
        ({-1: (95,), 0: (100, 110)}, [(0, 15, 110)]),
        # Between two hours, too, and over a gap
        ({-1: (90, 100), 0: (100, 110), 1: (112, 112)}, [(0, 10, 110), (1, 2, 112)]),
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
        # Far too much for a few rows, on either side of an hour, and with less beside it
        ({-1: (100,), 0: (101, 99_999, 99_999, 102)}, None, [(0, 2, 102)]),
        (
            {-1: (100,), 0: (101, 900), 1: (900, 901, 103)},
            None,
            [(0, 1, 101), (1, 2, 103)],
        ),
        ({-1: (100,), 0: (101, 99_999, 0, 103)}, None, [(0, 3, 103)]),
        ({-1: (100,), 0: (101, 0, 99_999, 103)}, None, [(0, 3, 103)]),
        ({-1: (100,), 23: (101, 99_999)}, 103.0, [(23, 1, 101)]),
        # A little too much is too much, but what units are converted to and back is not
        ({-1: (1e7,), 0: (1e7 + 1, 1.05e7, 1e7 + 2)}, None, [(0, 2, 1e7 + 2)]),
        ({-1: (1e7,), 0: (1e7 + 1, 1e7 + 1)}, 1e7 + 1 - 1e-8, [(0, 1, 1e7 + 1)]),
        # In a meter that was exchanged a while ago, and while one shows too little
        ({-1: (900,), 0: (5, *range(6, 20), 99_999, 20)}, None, [(0, 20, 20)]),
        ({-1: (100,), 0: (101, 0, 0, 0, 0, 5000, 0, 102)}, None, [(0, 2, 102)]),
        # Back, but for what it shows less precisely
        ({-1: (100.9,), 0: (101.3, 0, 101, 103.3)}, None, [(0, 2.4, 103.3)]),
        ({-1: (100.9,), 0: (101.3, 99_999, 101, 103.3)}, None, [(0, 2.4, 103.3)]),
        ({-1: (100,), 0: (101.3, 0), 9: (0, 101)}, None, [(9, 1, 101)]),
        # It was not read yet
        (
            {0: (0, 10_001, 10_002), 1: (10_003, 10_005)},
            10_100.0,
            [(0, 1, 10_002), (1, 3, 10_005)],
        ),
        ({0: (0, 0, 0, 0), 1: (0, 10_001, 10_002)}, None, [(1, 1, 10_002)]),
        ({0: (0,), 9: (10_001, 10_002)}, None, [(9, 1, 10_002)]),
        ({23: (0,)}, 10_001.0, []),
        # It is new
        ({0: (0, 1, 2), 1: (3, 5)}, 9.0, [(0, 2, 2), (1, 3, 5)]),
        ({0: (0, 0), 1: (0, 0), 2: (0, 40)}, 50.0, [(0, 0, 0), (1, 0, 0), (2, 40, 40)]),
        # It begins anew every day
        ({0: (0, 0, 200, 400, 600, 800, 0)}, 50.0, [(0, 800, 0)]),
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
    assert set(without_misreadings(readings)) <= set(readings)
    rising = [value + 1 for value in sorted(values)]
    readings = [(number * HOUR, value) for number, value in enumerate(rising)]
    assert without_misreadings(readings) == readings


@pytest.mark.parametrize(
    ("hours", "behind", "doubtful"),
    [
        ({}, None, set()),
        ({-1: (900, 901), 0: (902, 903)}, 903.0, set()),
        # A fall on its own, and one that is taken back
        (
            {-2: (890, 899), -1: (900, 901), 0: (902, 903), 1: (3, 5), 2: (5, 9)},
            9.0,
            {-1, 0, 1, 24},
        ),
        ({-1: (900, 901), 0: (0, 903), 1: (903, 904)}, None, {-1, 0}),
        ({-1: (900, 901), 0: (0, 0), 1: (0, 0), 5: (0, 905)}, None, {-1, 0, 1, 5}),
        # Far too much for a few rows, also in the end
        ({0: (902, 9999), 1: (9999, 9999), 2: (904, 905)}, None, {0, 1, 2, 24}),
        ({0: (900, 901), 23: (902, 9999)}, 905.0, {0, 23, 24}),
        # What units are converted to and back
        ({0: (1e7, 1e7)}, 1e7 - 1e-8, set()),
        # It begins at 0
        ({-1: (0, 0), 0: (0, 0), 1: (0, 110), 2: (110, 120)}, 120.0, {0, 1}),
        ({-1: (0, 0), 0: (0, 0)}, 0.0, set()),
    ],
)
def test_doubtful_hours(
    hours: dict[int, tuple[float, ...]], behind: float | None, doubtful: set[int]
) -> None:
    """Single values are asked for where a meter fell and where it came back, and for no other hours."""
    row = None if behind is None else Recorded(DAY, DAY + HOUR, behind, 0, 0)
    by_second = {hour * HOUR: values for hour, values in hours.items()}
    found = doubtful_hours(by_second, row, DAY)
    assert {hour // HOUR for hour in found} == doubtful


@pytest.mark.parametrize(
    ("first", "behind", "low"),
    [(90, None, False), (10, None, True), (95, 100, False), (95, 110, True)],
)
def test_begins_low(first: float, behind: float | None, low: bool) -> None:
    """What a meter showed before is asked for if it begins far below what it shows later."""
    row = None if behind is None else Recorded(DAY, DAY + HOUR, behind, 0, 0)
    assert begins_low({0: (first, 96), HOUR: (96, 97)}, row) == low


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
    rises=st.lists(st.integers(1, 50), min_size=3, max_size=60),
    new=st.integers(0, 60),
    misread=st.dictionaries(
        st.integers(1, 58),
        st.tuples(st.sampled_from([0, 7, 10**7]), st.integers(1, 2)),
        max_size=5,
    ),
    has_first=st.booleans(),
)
def test_counter_counts_each_rise_once(
    rises: list[int], new: int, misread: dict[int, tuple[int, int]], has_first: bool
) -> None:
    """However often a meter is misread, for a row or two, and exchanged once, the hours count what flowed."""
    shown, values, counted = 100_000, [100_000 if has_first else 0], 0
    wrong = {
        number + row: value
        for number, (value, rows) in misread.items()
        for row in range(rows)
    }
    for number, rise in enumerate(rises):
        is_new = number == new
        shown = 1 if is_new else shown + rise
        if is_new:
            counted += 1
        elif number or has_first:
            counted += rise
        # Far from where the meter begins or is exchanged, and not in the last rows: nobody knows what follows them
        if number in wrong and min(abs(number - new), number) > 6:
            if number < len(rises) - 1 and not {number - 2, number - 3} & wrong.keys():
                values.append(wrong[number])
                continue
        values.append(shown)
    hours: dict[int, tuple[float, ...]] = {-1: (values[0],)}
    for number, value in enumerate(values[1:]):
        hours[number // 3] = (*hours.get(number // 3, ()), value)
    steps = steps_of(hours)
    assert math.fsum(energy for _, energy, _ in steps) == pytest.approx(counted)
    assert min(energy for _, energy, _ in steps) >= 0


@given(
    rises=st.lists(st.integers(0, 9), min_size=20, max_size=60),
    at_rest=st.integers(0, 9),
)
def test_new_meter_counts_from_its_first_row(rises: list[int], at_rest: int) -> None:
    """A meter that grows bit by bit from 0 on has been there all the time, and all of it counts."""
    assume(2 * max(rises) < sum(rises))
    hours: dict[int, tuple[float, ...]] = dict.fromkeys(range(at_rest), (0.0, 0.0))
    shown = 0
    for number, rise in enumerate([0, *rises]):
        shown += rise
        hour = at_rest + number // 10
        hours[hour] = (*hours.get(hour, ()), shown)
    assert sum(energy for _, energy, _ in steps_of(hours)) == sum(rises)


def test_sum_steps() -> None:
    """The states of a sum lead to what it shows in the end, hours without data notwithstanding."""
    steps = sum_steps({2: 5.0, 0: 10.0, 7: -1.0}, 100.0)
    assert steps == {0: (10, 96), 2: (5, 101), 7: (-1, 100)}
    assert sum_steps({}, 100.0) == {}


@given(
    hours=st.dictionaries(st.integers(0, 30), st.floats(-1e6, 1e6), min_size=1),
    end=st.floats(-1e9, 1e9),
)
def test_sum_steps_rise_by_their_energy(hours: dict[int, float], end: float) -> None:
    """The state of an hour is that of the hour before and its energy."""
    steps = sorted(sum_steps(hours, end).items())
    assert steps[-1][1][1] == pytest.approx(end, abs=1e-6)
    assert {start: energy for start, (energy, _) in steps} == hours
    for (_, (_, before)), (_, (energy, state)) in pairwise(steps):
        assert state == pytest.approx(before + energy, abs=1e-6)


# Rows: what the recorder had, what is written over it, and what is to be seen in the end


def test_first_rows() -> None:
    """The first rows of all begin at zero; without a row behind them nothing is shifted."""
    steps = {0: (5.0, 105.0), 2 * HOUR: (7.0, 112.0)}
    rows, shift = sum_rows(steps, [], DAY)
    assert rows == {0: {"state": 105, "sum": 5}, 2 * HOUR: {"state": 112, "sum": 12}}
    assert shift == 0


@pytest.mark.parametrize("steps", [{}, {DAY: (10.0, 20.0)}])
def test_nothing_to_write(steps: Steps) -> None:
    """Where the service has nothing, what is there stays as it is."""
    recorded = [
        Recorded(HOUR, 2 * HOUR, 1, 40, 10),
        Recorded(DAY, DAY + HOUR, 1, 50, 10),
    ]
    assert sum_rows(steps, recorded, DAY) == ({}, 0)


def test_before_live_rows() -> None:
    """What is put before a row is added to it and to all that follow."""
    behind = Recorded(DAY, DAY + HOUR, 103, 3, 3)
    steps = {HOUR: (5.0, 93.0), 2 * HOUR: (7.0, 100.0), DAY: (3.0, 103.0)}
    rows, shift = sum_rows(steps, [behind], DAY)
    assert [row["sum"] for row in rows.values()] == [5, 12]
    assert shift == 12


@pytest.mark.parametrize("noise", [3e-7, -3e-7, 0])
def test_joined_without_an_hour_below_zero(noise: float) -> None:
    """Where sums differ by less than energy does, what follows stays, and is not less than what is written."""
    steps = {DAY - 2 * HOUR: (1.5, 101.5), DAY - HOUR: (0.5, 102), DAY: (1, 103)}
    behind = Recorded(DAY, DAY + HOUR, 103, 3 + noise, 3 + noise)
    rows, shift = sum_rows(steps, [behind], DAY)
    assert shift == 0
    sums = [row["sum"] for row in rows.values()]
    assert sums == pytest.approx([1.5, 2])
    flat, shift = sum_rows(
        {**steps, DAY: (0, 102)},
        [behind._replace(sum=2 + noise, change=2 + noise)],
        DAY,
    )
    assert shift == 0
    assert [row["sum"] for row in flat.values()][-1] <= 2 + noise


def test_carried_hours() -> None:
    """A row in between of which the service knows nothing counts nothing; one before is left alone."""
    recorded = [
        Recorded(0, HOUR, 1, 10, 2),
        Recorded(2 * HOUR, 3 * HOUR, 5, 14, 4),
        Recorded(3 * HOUR, 4 * HOUR, 6, 15, 1),
        Recorded(DAY, DAY + HOUR, 9, 18, 3),
    ]
    steps = {HOUR: (2.0, 3.0), 3 * HOUR: (4.0, 7.0), DAY: (3.0, 9.0)}
    rows, shift = sum_rows(steps, recorded, DAY)
    assert rows == {
        HOUR: {"state": 3, "sum": 12},
        2 * HOUR: {"state": 3, "sum": 12},
        3 * HOUR: {"state": 7, "sum": 16},
    }
    assert shift == 16 + 3 - 18


def test_sum_goes_on_from_the_newest_row() -> None:
    """Where all rows are older, the sum goes on from there."""
    rows, shift = sum_rows(
        {HOUR: (2.0, 3.0)}, [Recorded(-DAY, HOUR - DAY, 1, 40, 0)], DAY
    )
    assert (rows[HOUR]["sum"], shift) == (42, 0)


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

    def recorded(self, start: int, end: int) -> list[Recorded]:
        """Return what is read of it: the hours asked for, and the first one behind."""
        changes = self.changes
        found: list[Recorded] = []
        for hour, total in sorted(self.sums.items()):
            if hour >= start and (not found or found[-1].start < end * HOUR):
                begun = hour * HOUR
                found.append(Recorded(begun, begun + HOUR, 0, total, changes[hour]))
        return found

    def imported(self, truth: Mapping[int, float], start: int, end: int) -> "Statistic":
        """Return what the recorder makes of an import of what the service tells of some hours."""
        recorded = self.recorded(start, end)
        steps = {
            hour * HOUR: (energy, 0.0)
            for hour, energy in truth.items()
            if start <= hour < end
        }
        if recorded and (behind := recorded[-1].start) >= end * HOUR:
            steps[behind] = (truth[behind // HOUR], 0.0)
        rows, shift = sum_rows(steps, recorded, end * HOUR)
        return self.written(rows, shift)

    def written(self, rows: HourlyRows, shift: float) -> "Statistic":
        """Return what the recorder makes of it."""
        first = min(rows, default=0) // HOUR
        shifted = {
            hour: total + shift if hour >= first and rows else total
            for hour, total in self.sums.items()
        }
        return Statistic(
            shifted | {start // HOUR: row["sum"] for start, row in rows.items()}
        )


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
    told = {hour: energy for hour, energy in told.items() if start <= hour < end}
    behind = {hour: energy for hour, energy in kept.items() if hour >= end}
    after = Statistic.of(kept).imported(told | behind, start, end).changes
    first = min(told, default=end)
    expected = {
        **{hour: energy for hour, energy in kept.items() if not first <= hour < end},
        **{hour: 0.0 for hour in kept if first <= hour < end},
        **told,
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
    wanted = {hour: energy for hour, energy in truth.items() if hour >= began}
    statistic = Statistic.of(wanted)
    for start, length in spans:
        end = start + length
        statistic = statistic.imported(truth, start, end)
        wanted |= {hour: truth[hour] for hour in truth if start <= hour < end}
    assert statistic.changes == pytest.approx(wanted, abs=1e-6)
