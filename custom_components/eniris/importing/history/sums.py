"""What is written into the statistic of a sum: what was counted in each hour, joined to what is there.

A `sum` counts from the first row on, so whatever is put in front of a row has to be added to it and
to all that follow.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from .hours import HOUR, StatisticKind, Values

_DIGITS: Final = 9
_RESET_BELOW: Final = 0.9
"""Home Assistant takes a meter that shows less than this part of what it showed for a new one."""
_FEW_ROWS: Final = 3
"""Rows within which a meter that was misread is back where it was."""
_BACK: Final = 0.99
"""The part of a fall after which it is back: it may tell its energy less precisely by then."""
_NEGLIGIBLE: Final = 1e-6
"""A difference of sums that is none of energy, in Wh and the like."""
_NOISE: Final = 1e-6
"""The part of a value that conversions between units may change."""

type Steps = Mapping[int, tuple[float, float]]
"""By hour: what was counted in it, and what the entity shows at its end, or would have shown."""

type HourlyRows = dict[int, dict[str, float]]
"""What is to be written: values by their names, by hour, in the field's native unit."""


class Recorded(NamedTuple):
    """A row of a sum that the recorder has, in the field's native unit and Unix seconds."""

    start: int
    end: int
    state: float
    sum: float
    change: float
    """What it adds to the sum of the row before."""


def counter_increase(kind: StatisticKind, before: float, after: float) -> float:
    """Return what a meter counted between two values, as Home Assistant does.

    One that only counts up began at 0 if it shows much less.
    """
    is_new = kind is StatisticKind.COUNTER and after < _RESET_BELOW * before
    return after if is_new else after - before


def begins_low(hours: Mapping[int, Values], behind: Recorded | None) -> bool:
    """Tell whether a counter may have fallen before its first hour: it begins far below what it shows later."""
    highest = max(values[-1] for values in hours.values())
    if behind is not None:
        highest = max(highest, behind.state)
    return hours[min(hours)][0] < _RESET_BELOW * highest


def _is_back(value: float, level: float, low: float) -> bool:
    """Tell whether a counter that fell from a level is back there, or nearly so."""
    return value - low >= _BACK * (level - low)


def doubtful_hours(
    hours: Mapping[int, Values], behind: Recorded | None, end: int
) -> set[int]:
    """Return hours of which single values are needed to know what a counter counted before `end`.

    They are those around a fall, those in which it was back where it had been, and the first in which it
    does not show 0 any more; of what follows, `behind` included, only the hour that begins with `end`. Of
    each hour, `hours` tells lowest and highest.
    """
    told = dict(hours)
    if behind is not None:
        told[behind.start] = (behind.state,)
    doubtful: set[int] = set()
    before: list[int] = []
    falls: list[tuple[float, float]] = []
    last = 0.0
    for hour, values in sorted(told.items()):
        low, top = values[0], values[-1]
        if low < last - _NOISE * last:
            # The rows that it falls from may be misread, from the hour before on
            doubtful.update(before[-2:], (hour,))
            falls.append((last, low))
        while falls and _is_back(top, *falls[-1]):
            falls.pop()
            doubtful.update(before[-1:], (hour,))
        if low <= 0 < top and not last:
            doubtful.update(before[-1:], (hour,))
        before.append(hour)
        last = top
    return {min(hour, end) for hour in doubtful} | ({end} if falls else set())


def without_misreadings(
    readings: Iterable[tuple[int, float]],
) -> list[tuple[int, float]]:
    """Return what a counter showed, with the hour of each value, without values that the next ones take back.

    A meter that was exchanged begins low and then counts up bit by bit. One that is back within a few rows
    where it was had been read wrongly, however long it showed less. So had a few rows that are above or below
    both their neighbours, unless these show 0: a meter that begins anew every day does the same.

    If the very first rows show 0, for an hour or so, and the next value is at least half of the highest that
    follows, nothing tells a meter that was not read yet from a new one that has counted all this unseen. It
    is taken for the former: nobody expects the energy of years in one hour, and of a new meter no more is
    missing than what it had counted when it was read.
    """
    kept: list[tuple[int, float]] = []
    falls: list[int] = []
    """Places in `kept` after which less is shown."""

    def drop_after(place: int) -> None:
        del kept[place + 1 :]
        while falls and falls[-1] >= place:
            falls.pop()

    for hour, value in readings:
        for place in falls[::-1]:
            level, low = kept[place][1], kept[place + 1][1]
            # What is far above is no way back
            if _is_back(value, level, low) and value <= 2 * level:
                falls.remove(place)
                since = max(place + 1, len(kept) - _FEW_ROWS)
                if value - kept[since][1] >= (level - low) / 2:
                    drop_after(place)
        for place in range(len(kept) - 2, max(-1, len(kept) - 2 - _FEW_ROWS), -1):
            base = kept[place][1]
            low, top = _RESET_BELOW * base, (1 + _NOISE) * max(base, value)
            if 0 < low <= value and not any(
                low <= between <= top for _, between in kept[place + 1 :]
            ):
                drop_after(place)
                break
        if kept and value < kept[-1][1]:
            falls.append(len(kept) - 1)
        kept.append((hour, value))
    rise = next((place for place, (_, value) in enumerate(kept) if value), 0)
    if (
        rise
        and kept[rise - 1][0] - kept[0][0] <= HOUR
        and 2 * kept[rise][1] >= max(value for _, value in kept)
    ):
        return kept[rise:]
    return kept


def meter_steps(
    kind: StatisticKind,
    hours: Mapping[int, Values],
    start: int,
    behind: Recorded | None,
) -> Steps:
    """Return the steps of a meter from `start` on, by what it showed in each hour, in the order of time.

    Hours before them and `behind`, the row that they lead to, tell what was misread, the hour before them
    also what it showed last; if that is not known, the first value stands for it.
    """
    readings = [
        (hour, value) for hour, values in sorted(hours.items()) for value in values
    ]
    if behind is not None:
        readings.append((behind.start, behind.state))
    if kind is StatisticKind.COUNTER:
        readings = without_misreadings(readings)
    steps: dict[int, tuple[float, float]] = {}
    before: float | None = None
    for hour, value in readings:
        if hour >= start:
            counted = steps[hour][0] if hour in steps else 0.0
            if before is not None:
                counted += counter_increase(kind, before, value)
            steps[hour] = (counted, value)
        if hour >= start - HOUR:
            before = value
    return steps


def sum_steps(energies: Mapping[int, float], state_at_end: float) -> Steps:
    """Return the steps of a sum of energies of which the entity shows `state_at_end` in the end."""
    steps = {}
    for hour, energy in sorted(energies.items(), reverse=True):
        steps[hour] = (energy, round(state_at_end, _DIGITS))
        state_at_end -= energy
    return steps


def sum_rows(
    steps: Steps, recorded: Sequence[Recorded], end: int
) -> tuple[HourlyRows, float]:
    """Return the rows of a sum before `end`, and by how much what follows has to be shifted.

    `recorded` is what there is, by the hour, with the first row from `end` on; steps from `end` on lead to
    that one. Hours of which the recorder has a row but the service has no data count nothing.
    """
    first = min(steps, default=end)
    if first >= end:
        return {}, 0.0
    total = _sum_before(recorded, first)
    state = 0.0
    rows: HourlyRows = {}
    between = {row.start for row in recorded if first < row.start < end}
    for hour in sorted(steps.keys() | between):
        if hour in steps:
            energy, state = steps[hour]
            total += energy
        if hour < end:
            rows[hour] = {"state": state, "sum": total}
    if not recorded or recorded[-1].start < end:
        return rows, 0.0
    shift = total - recorded[-1].sum
    if abs(shift) > _NEGLIGIBLE:
        return rows, shift
    for row in rows.values():
        # What follows is not touched for so little, and no hour is below zero for it
        if 0 < row["sum"] - recorded[-1].sum <= _NEGLIGIBLE:
            row["sum"] = recorded[-1].sum
    return rows, 0.0


def _sum_before(recorded: Iterable[Recorded], start: int) -> float:
    """Return the sum at `start`, 0 where nothing was counted before."""
    before = 0.0
    for row in recorded:
        if row.start >= start:
            return row.sum - row.change
        before = row.sum
    return before
