"""What is written into the statistic of a sum: what was counted in each hour, joined to what is there.

A `sum` counts from the first row on, so whatever is put in front of a row has to be added to it and
to all that follow.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from .hours import HOUR, StatisticKind, Values

_DIGITS: Final = 9
_RESET_BELOW: Final = 0.9
"""Home Assistant takes a meter that shows less than this part of what it showed for a new one."""
_ROWS_OF_RETURN: Final = 3
"""Rows within which a meter that had shown too little is back where it was."""


class Recorded(NamedTuple):
    """A row of a sum that the recorder has, in the field's native unit and Unix seconds."""

    start: int
    end: int
    state: float
    sum: float
    before: float
    """The sum of the row before it, 0 where there is none."""


@dataclass(frozen=True, slots=True)
class Known:
    """What the recorder has of one statistic."""

    rows: Sequence[Recorded] = ()
    """By the hour, those of a stretch of time and the first one after it."""
    latest: Recorded | None = None
    """The newest row of five minutes, where there is none of an hour behind."""
    before: float = 0.0
    """The sum before that time, where there is no row from its beginning on."""

    def behind(self, end: int) -> Recorded | None:
        """Return the first row from `end` on; the newest one of five minutes where there is none."""
        return next((row for row in self.rows if row.start >= end), self.latest)


@dataclass(frozen=True, slots=True)
class Hourly:
    """A row to be written. Numbers are in the field's native unit, the time in Unix seconds."""

    start: int
    mean: float | None = None
    lowest: float | None = None
    highest: float | None = None
    state: float | None = None
    sum: float | None = None


class Step(NamedTuple):
    """An hour of a sum: what was counted in it, and what the entity shows, or would have shown."""

    start: int
    energy: float
    state: float


class Anchor(NamedTuple):
    """The row after those to be written: its sum, and the energy from their end to its own."""

    sum: float
    energy: float


def counter_increase(method: StatisticKind, before: float, after: float) -> float:
    """Return what a meter counted between two values, as Home Assistant does.

    One that only counts up began at 0 if it shows much less.
    """
    is_new = method is StatisticKind.COUNTER and after < _RESET_BELOW * before
    return after if is_new else after - before


def doubtful_hours(
    hours: Mapping[int, Values], behind: Recorded | None, end: int
) -> tuple[set[int], bool]:
    """Return hours of which single values are needed to know what a counter counted.

    They are those in which it fell or was back where it had been, and those on either side of the fall.
    The second value tells whether it may have fallen before them all: it begins far below what it shows
    later, `behind` included, the row from `end` on.
    """
    if not hours:
        return set(), False
    falls: set[int] = set()
    climbs: set[int] = set()
    levels: list[float] = []
    last_hour, last = min(hours), hours[min(hours)][0]
    first = highest = last
    for hour, values in sorted(hours.items()):
        low, top = values[0], values[-1]
        if low < last:
            falls |= {last_hour, hour}
            levels.append(last)
        while levels and top >= levels[-1]:
            levels.pop()
            falls.add(hour)
        if min(last, low) < _RESET_BELOW * top:
            climbs.add(hour)
        highest = max(highest, top)
        last_hour, last = hour, top
    if levels:
        falls.add(end)
    if behind is not None:
        highest = max(highest, behind.state)
    may_have_fallen = first < _RESET_BELOW * highest
    return falls | climbs if may_have_fallen else falls, may_have_fallen


def without_misreadings(
    readings: Iterable[tuple[int, float]],
) -> dict[int, Values]:
    """Return what a counter showed by the hour, without values that the next ones take back.

    A meter that was exchanged begins low as well, but then counts up bit by bit. One that is back
    within a few rows where it was had been read wrongly, as had a single value far above both its neighbours.
    """
    kept: list[tuple[int, float]] = []
    falls: list[int] = []
    """Places in `kept` after which less is shown."""
    for hour, value in readings:
        while falls and value >= kept[falls[-1]][1]:
            place = falls.pop()
            depth = kept[place][1] - kept[place + 1][1]
            since = max(place + 1, len(kept) - _ROWS_OF_RETURN)
            if value - kept[since][1] >= depth / 2:
                del kept[place + 1 :]
        if kept and value < kept[-1][1]:
            if len(kept) > 1 and 0 < kept[-2][1] <= value:
                kept.pop()
            else:
                falls.append(len(kept) - 1)
        kept.append((hour, value))
    found: dict[int, Values] = {}
    for hour, value in kept:
        found[hour] = (*found.get(hour, ()), value)
    return found


def meter_steps(
    method: StatisticKind,
    hours: Mapping[int, Values],
    start: int,
    end: int,
    behind: Recorded | None,
) -> list[Step]:
    """Return the steps of a meter from `start` to `end` by what it showed in each hour, in the order of time.

    Hours around them and `behind`, the row from `end` on, tell what was misread, the hour before them
    also what it showed last; if that is not known, the first value stands for it.
    """
    if method is StatisticKind.COUNTER:
        readings = [
            (hour, value) for hour, values in sorted(hours.items()) for value in values
        ]
        if behind is not None and behind.start >= end and behind.start not in hours:
            readings.append((behind.start, behind.state))
        hours = without_misreadings(readings)
    steps = []
    before = hours[start - HOUR][-1] if start - HOUR in hours else None
    for hour, values in sorted(hours.items()):
        if start <= hour < end:
            energy = 0.0
            for value in values:
                if before is not None:
                    energy += counter_increase(method, before, value)
                before = value
            steps.append(Step(hour, energy, values[-1]))
    return steps


def sum_steps(hours: Mapping[int, Values], state_at_end: float) -> list[Step]:
    """Return the steps of a sum of energies of which the entity shows `state_at_end` in the end."""
    steps = []
    state = state_at_end
    for start, (energy,) in sorted(hours.items(), reverse=True):
        steps.append(Step(start, energy, round(state, _DIGITS)))
        state -= energy
    return steps[::-1]


def sum_rows(
    steps: Iterable[Step], known: Known, start: int, end: int, anchor: Anchor | None
) -> tuple[list[Hourly], float]:
    """Return the rows of a sum from `start` to `end`, and by how much what follows has to be shifted.

    Hours of which the recorder has a row but the service has no data count nothing.
    """
    by_start = {step.start: step for step in steps}
    if not by_start:
        return [], 0.0
    recorded = {row.start for row in known.rows if start <= row.start < end}
    first = min(by_start)
    total = _sum_before(known, first)
    state = by_start[first].state - by_start[first].energy
    rows = []
    for hour in sorted(by_start.keys() | {hour for hour in recorded if hour > first}):
        step = by_start.get(hour)
        if step is not None:
            total += step.energy
            state = step.state
        rows.append(Hourly(hour, state=state, sum=total))
    shift = 0.0 if anchor is None else total + anchor.energy - anchor.sum
    return rows, shift


def _sum_before(known: Known, start: int) -> float:
    """Return the sum at `start`, 0 where nothing was counted before."""
    before = known.before
    for row in known.rows:
        if row.start >= start:
            return row.before
        before = row.sum
    return before
