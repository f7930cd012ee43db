"""For how long each value of a meter held, which is what values of intervals are judged by."""

from bisect import bisect_left, bisect_right
from typing import Final

from .journal import SECOND, Set, Value
from .notes import Life

HOLDS: Final = 5 * SECOND
"""How long a value can still hold whose successor was set by another clock or process."""

_LONG: Final = 10 * SECOND
"""Longer than a value holds that is set every second, unless the clock was set."""


class Holds:
    """For how long each value of a field held, by the wall clock."""

    def __init__(self, items: list[Set], lives: list[Life]) -> None:
        """Take a field's values in the order in which they were set."""
        starts = [life.start for life in lives]
        self._held: dict[Value, list[tuple[int, int]]] = {}
        for item, following in zip(items, [*items[1:], None], strict=True):
            begin = item.key.wall
            # A process that takes long to stop shows its last values until its end
            life = lives[bisect_right(starts, item.at) - 1]
            left = HOLDS if life.end is None else max(HOLDS, life.end - item.at)
            held = [(begin, begin + left)]
            if following is None and lives[-1].end is None:
                # Nothing is set any more, and it holds on
                held = [(begin, begin + 100 * HOLDS)]
            elif following is not None and bisect_right(
                starts, item.at
            ) == bisect_right(starts, following.at):
                end = following.key.wall
                lasted = following.at - item.at
                held = [(begin, end)]
                if abs(end - begin - lasted) > SECOND // 2:
                    # The clock was set in between: it held for a while by either
                    held = [(begin, begin + lasted), (end - lasted, end)]
                    if end > begin:
                        held.append((begin, end))
            self._held[item.value] = held
        self._sorted = sorted(
            (begin, end, value)
            for value, held in self._held.items()
            for begin, end in held
        )
        self._long = [item for item in self._sorted if item[1] - item[0] > _LONG]

    def was_set(self, value: object) -> bool:
        """Tell whether the field ever had a value."""
        return value in self._held

    def problem_of_last(self, wall: int, value: object) -> str | None:
        """Return what is wrong with a value as the last one at a time."""
        if not isinstance(value, float | str) or value not in self._held:
            return "was never set"
        held = self._held[value]
        if not any(begin <= wall <= end + SECOND // 5 for begin, end in held):
            return f"held at {held} alone"
        return None

    def problem_of_mean(self, wall: int, length: int, value: object) -> str | None:
        """Return what is wrong with a value as the mean of an interval."""
        last = bisect_right(self._sorted, (wall + length, 0, ""))
        first = bisect_left(self._sorted, (wall - _LONG, 0, ""))
        within = [
            held
            for begin, end, held in [*self._sorted[first:last], *self._long]
            if begin <= wall + length and end >= wall and isinstance(held, float)
        ]
        if not within or not isinstance(value, float):
            return "nothing was set in that interval"
        low, high = min(within), max(within)
        if not low * (1 - 1e-9) <= value <= high * (1 + 1e-9):
            return f"outside of {low} to {high}"
        return None
