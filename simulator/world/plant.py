"""A household through the years: which day is of which kind, and what has flowed until any instant."""

from datetime import UTC, date, datetime
from functools import cache
from operator import add
from random import Random

from .measurements import Rules
from .profile import (
    BATTERY_CAPACITY_WH,
    BATTERY_EFFICIENCY,
    BATTERY_RESERVE,
    DAWN_HOUR,
    MINUTES,
    CarState,
    Day,
    Flows,
    Habit,
    HeatMode,
    Household,
    Kind,
    Patterns,
    Sky,
)

COMMISSIONED = datetime(2023, 1, 1, DAWN_HOUR, tzinfo=UTC)
"""Nothing was measured before."""

_FIRST_DAY = COMMISSIONED.date().toordinal()
_SKY_ODDS = {
    # Clear, broken, overcast, from winter to summer
    "dark": (18, 32, 50),
    "bright": (36, 40, 24),
}


class Calendar:
    """The kinds of all days of one region, drawn in order and kept."""

    def __init__(self, seed: int, region: int = 0) -> None:
        """Begin at the day of commissioning."""
        self._random = Random(f"{seed}/calendar/{region}")
        self._kinds: list[Kind] = []

    def kind(self, day: int) -> Kind:
        """Return the kind of a day, counted from commissioning."""
        while len(self._kinds) <= day:
            self._kinds.append(self._draw(len(self._kinds)))
        return self._kinds[day]

    def _draw(self, day: int) -> Kind:
        today = date.fromordinal(_FIRST_DAY + day)
        odds = _SKY_ODDS["bright" if 4 <= today.month <= 9 else "dark"]
        # Fair and foul weather last for some days
        if self._kinds and self._random.random() < 0.3:
            sky = self._kinds[-1].sky
        else:
            (sky,) = self._random.choices(tuple(Sky), odds)
        if today.weekday() >= 5:
            habit = Habit.WEEKEND
        elif self._random.random() < 0.4:
            habit = Habit.WORK_THEN_CHARGE_CAR
        else:
            habit = Habit.WORK
        return Kind(today.month, sky, habit)


class Plant:
    """One household under one region's sky; minutes are counted from commissioning."""

    def __init__(
        self, patterns: Patterns, calendar: Calendar, household: Household
    ) -> None:
        """Put the household under the sky of `calendar`."""
        self._patterns = patterns
        self._calendar = calendar
        self._household = household
        self._before: list[tuple[int, ...]] = [(0,) * len(Flows._fields)]
        self._today: tuple[int, Day] | None = None

    def watts(self, minute: int) -> tuple[int, ...]:
        """Return the mean watts of a minute, in the order of `Flows`."""
        day, minute = divmod(minute, MINUTES)
        return self._day(day).watts[minute]

    def at_second(
        self, minute: int, second: int
    ) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return the watts of a second, and the joules before it."""
        return within_minute(self.watts(minute), self.joules(minute), minute, second)

    def rules(self, minute: int, second: int) -> Rules:
        """Return what the controller keeps to."""
        del minute, second
        return _RULES

    def joules(self, minute: int) -> tuple[int, ...]:
        """Return what has flowed before a minute, in the order of `Flows`."""
        day, minute = divmod(minute, MINUTES)
        while len(self._before) <= day:
            kind = self._calendar.kind(len(self._before) - 1)
            total = self._patterns.totals(kind, self._household)
            self._before.append(tuple(map(add, self._before[-1], total)))
        return tuple(map(add, self._before[day], self._day(day).joules[minute]))

    def car_state(self, minute: int) -> CarState:
        """Return what the charge point sees."""
        day, minute = divmod(minute, MINUTES)
        return _CAR_STATES[self._day(day).car_states[minute]]

    def heat_mode(self, minute: int) -> HeatMode:
        """Return what the heat pump is busy with."""
        day, minute = divmod(minute, MINUTES)
        return _HEAT_MODES[self._day(day).heat_modes[minute]]

    def _day(self, day: int) -> Day:
        # A range of rows asks for the same day again and again
        today = self._today
        if today is None or today[0] != day:
            minutes = self._patterns.day(self._calendar.kind(day), self._household)
            today = self._today = (day, minutes)
        return today[1]


_RULES = Rules()
_CAR_STATES = tuple(CarState)
_HEAT_MODES = tuple(HeatMode)


def state_of_charge(joules: Flows) -> float:
    """Return the battery's state of charge (0–1) after these lifetime flows, not yet scaled."""
    stored_wh = (BATTERY_EFFICIENCY * joules.charge - joules.discharge) / 3600
    return BATTERY_RESERVE + stored_wh / BATTERY_CAPACITY_WH


_WOBBLE_STEPS = 8


@cache
def wobbles() -> list[tuple[list[int], list[int]]]:
    """Return how a power strays within a minute: steps by second, and their sums before it.

    The steps are within ±8 and add up to nothing, so that a minute's energy stays what it is.
    """
    random = Random("wobbles")
    tables = []
    for _ in range(16):
        half = [random.randint(-_WOBBLE_STEPS, _WOBBLE_STEPS) for _ in range(30)]
        steps = half + [-step for step in half]
        random.shuffle(steps)
        sums = [sum(steps[:second]) for second in range(61)]
        tables.append((steps, sums))
    return tables


def within_minute(
    watts: tuple[int, ...],
    joules: tuple[int, ...],
    minute: int,
    second: int,
    since: int = 0,
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return watts and joules at a second of a minute that has these means from the second `since` on.

    Load and sun stray a little, and what strays is taken by the grid or the battery, whichever
    carries most: every flow keeps its direction, the sum of all stays nothing.
    """
    elapsed = tuple(
        before + (second - since) * power
        for before, power in zip(joules, watts, strict=True)
    )
    flows = Flows._make(watts)
    carried, carrier, sign = max(
        (flows.imported, _IMPORTED, 1),
        (flows.exported, _EXPORTED, -1),
        (flows.discharge, _DISCHARGE, 1),
    )
    load_step = min(int(min(flows.rest, carried) // 40), 5)
    sun_step = min(int(min(flows.sun_east, flows.sun_west, carried) // 40), 12)
    if flows.drawn:
        # All of the sun goes into the battery, whose power does not stray
        sun_step = 0
    tables = wobbles()
    load_steps, load_sums = tables[minute % len(tables)]
    sun_steps, sun_sums = tables[(minute // 3 + 7) % len(tables)]
    moved_watts, moved_joules = list(watts), list(elapsed)
    load = load_step * (load_sums[second] - load_sums[since])
    sun = sun_step * (sun_sums[second] - sun_sums[since])
    strays = [(moved_joules, load, sun)]
    if second < 60:
        strays.append(
            (moved_watts, load_step * load_steps[second], sun_step * sun_steps[second])
        )
    for moved, load, sun in strays:
        moved[_REST] += load
        moved[_SUN_EAST] += sun
        moved[_SUN_WEST] += sun
        moved[carrier] += sign * (load - 2 * sun)
    return tuple(moved_watts), tuple(moved_joules)


_SUN_EAST, _SUN_WEST, _REST = map(Flows._fields.index, ("sun_east", "sun_west", "rest"))
_DISCHARGE, _IMPORTED, _EXPORTED = map(
    Flows._fields.index, ("discharge", "imported", "exported")
)
