"""One day of a household, minute by minute.

A day of a given kind (month, sky, habit) is always the same day, so that any instant of any year
is known without living through the ones before it. Every profile begins and ends with the battery
at its reserve, which makes days of any two kinds fit together.

Powers are whole watts and times whole minutes or seconds: energies in joules are then integers,
and no sum of them ever drifts.
"""

from enum import IntEnum
from functools import cache, lru_cache
from itertools import accumulate, repeat
from math import asin, cos, exp, radians, sin, sqrt, tau
from operator import add, mul, sub
from random import Random
from typing import NamedTuple

MINUTES = 1440
"""Length of a profile."""

DAWN_HOUR = 3
"""Hour (UTC) at which a profile begins: the sun is never up in Belgium and the battery is empty."""


class Flows(NamedTuple):
    """What flows where at one moment, in watts, or has flowed until then, in joules.

    Never negative. Always: both suns + discharge + imported = all the others but `drawn` together.
    """

    sun_east: float
    sun_west: float
    heat: float
    car: float
    kitchen: float
    rest: float
    standby: float
    charge: float
    discharge: float
    imported: float
    exported: float
    drawn: float
    """Of `charge`, what the sun on the inverter does not give; none unless the controller is told to."""


class Sky(IntEnum):
    """Weather of a day."""

    CLEAR = 0
    BROKEN = 1
    OVERCAST = 2


class Habit(IntEnum):
    """What the people in the house do that day."""

    WORK = 0
    WORK_THEN_CHARGE_CAR = 1
    WEEKEND = 2


class Kind(NamedTuple):
    """All that decides a day."""

    month: int
    sky: Sky
    habit: Habit


class CarState(IntEnum):
    """What the charge point sees."""

    AWAY = 0
    WAITING = 1
    CHARGING = 2
    FULL = 3


class HeatMode(IntEnum):
    """What the heat pump is busy with."""

    OFF = 0
    HEATING = 1
    HOT_WATER = 2


class Household(NamedTuple):
    """What a house has besides its solar panels."""

    battery: bool = True
    car: bool = True
    heat_pump: bool = True


BATTERY_CAPACITY_WH = 10_240
BATTERY_RESERVE = 0.10
"""State of charge (0–1) at the seams of the days."""
BATTERY_CEILING = 0.95
BATTERY_POWER_W = 5_000
BATTERY_EFFICIENCY = 0.9
"""Share of the charged energy that can be discharged again; all of the loss is booked on charging.

Charging goes in steps of 10 W, so that what is stored stays a whole number.
"""

STANDBY_W = 14
STRING_PEAK_W = 4_600
LATITUDE = radians(51.0)
LONGITUDE_DEG = 4.4
TILT = radians(35)
HEATING_NEED = (1.0, 0.95, 0.75, 0.45, 0.15, 0.0, 0.0, 0.0, 0.1, 0.4, 0.75, 0.95)
"""By month, as a share of what the heat pump can do."""


class Day(NamedTuple):
    """The minutes of one kind of day.

    `watts[i]` are the mean powers of minute `i`; `joules[i]` is what has flowed since the start of
    the day when that minute begins. Both rows are in the order of `Flows`.
    """

    watts: list[tuple[int, ...]]
    joules: list[tuple[int, ...]]
    car_states: bytes
    heat_modes: bytes


class _Load(NamedTuple):
    """What the people of the house draw that does not depend on the weather."""

    rest: list[int]
    kitchen: list[int]
    car: list[int]
    car_states: bytes
    all: list[int]
    totals: tuple[int, int, int]


class _Heat(NamedTuple):
    """The heat pump's power and its mode."""

    watts: list[int]
    modes: bytes
    total: int


class _Sun(NamedTuple):
    """Production of a south-eastern and a south-western string."""

    east: list[int]
    west: list[int]
    all: list[int]
    standby: list[int]
    """What an inverter with a battery draws itself while neither produces."""
    totals: tuple[int, int]


class Patterns:
    """The parts that profiles are made of; each is made once per seed and shared."""

    def __init__(self, seed: int) -> None:
        """Prepare what every pattern needs."""
        self._seed = seed
        random = self._random("noise")
        noise: list[float] = [0.0]
        for _ in range(MINUTES - 1):
            noise.append(0.8 * noise[-1] + random.uniform(-1.0, 1.0))
        self._noise = noise
        self.sun = cache(self._sun)
        self.rest = cache(self._rest)
        self.load = cache(self._load)
        self.heat = cache(self._heat)
        # All totals are needed for one counter and are small; of minutes only a few days are
        # looked at, and they are large
        self.totals = cache(self._totals)
        self.day = lru_cache(maxsize=24)(self._day)

    def _totals(self, kind: Kind, household: Household) -> tuple[int, ...]:
        """Return the joules of a whole day, in the order of `Flows`."""
        sun = self.sun(kind.month, kind.sky)
        heat = self.heat(kind.month, kind.sky is Sky.CLEAR, household.heat_pump)
        load = self.load(kind.month, kind.habit, household.car)
        *battery, grid = self._settle(kind, household)
        imported = sum([watts for watts in grid if watts > 0])
        watts = (
            *(*sun.totals, heat.total, *load.totals, *map(sum, battery)),
            *(imported, imported - sum(grid), 0),
        )
        return tuple(60 * total for total in watts)

    def _day(self, kind: Kind, household: Household) -> Day:
        """Return the day of `kind` in `household`."""
        sun = self.sun(kind.month, kind.sky)
        heat = self.heat(kind.month, kind.sky is Sky.CLEAR, household.heat_pump)
        load = self.load(kind.month, kind.habit, household.car)
        *battery, grid = self._settle(kind, household)
        imported = [max(0, watts) for watts in grid]
        exported = list(map(sub, imported, grid))
        columns = (
            *(sun.east, sun.west, heat.watts, load.car, load.kitchen, load.rest),
            *(*battery, imported, exported, _ZEROS),
        )
        running = [
            accumulate(map(mul, column, repeat(60)), initial=0) for column in columns
        ]
        watts = list(zip(*columns, strict=True))
        return Day(watts, list(zip(*running, strict=True)), load.car_states, heat.modes)

    def _settle(self, kind: Kind, household: Household) -> tuple[list[int], ...]:
        """Return the watts of standby, charge, discharge and the grid that they leave."""
        month, sky, habit = kind
        sun = self.sun(month, sky)
        heat = self.heat(month, sky is Sky.CLEAR, household.heat_pump)
        load = self.load(month, habit, household.car)
        grid = [
            drawn + warming - light
            for drawn, warming, light in zip(load.all, heat.watts, sun.all, strict=True)
        ]
        if not household.battery:
            return _ZEROS, _ZEROS, _ZEROS, grid
        standby = sun.standby
        if min(grid) > -10:
            return standby, _ZEROS, _ZEROS, list(map(add, grid, standby))
        charge, discharge = _run_battery(grid)
        standby = [
            0 if drawn else idle for idle, drawn in zip(standby, discharge, strict=True)
        ]
        grid = [
            watts + idle + into - out
            for watts, idle, into, out in zip(
                grid, standby, charge, discharge, strict=True
            )
        ]
        return standby, charge, discharge, grid

    def _random(self, *purpose: object) -> Random:
        return Random(f"{self._seed}/{'/'.join(map(str, purpose))}")

    def _sun(self, month: int, sky: Sky) -> _Sun:
        sunrise, clear_east, clear_west = _clear_sky(month)
        veil = self._veil(month, sky, len(clear_east))
        night = [0] * sunrise, [0] * (MINUTES - sunrise - len(veil))
        east, west = (
            [*night[0], *map(int, map(mul, clear, veil)), *night[1]]
            for clear in (clear_east, clear_west)
        )
        together = list(map(add, east, west))
        standby = [0 if watts else STANDBY_W for watts in together]
        return _Sun(east, west, together, standby, (sum(east), sum(west)))

    def _load(self, month: int, habit: Habit, car: bool) -> _Load:
        rest = self.rest(month, habit is Habit.WEEKEND)
        kitchen = self._kitchen(month, habit)
        watts, states = self._car(month, habit) if car else (_ZEROS, _IDLE)
        together = list(map(add, map(add, rest, kitchen), watts))
        totals = sum(watts), sum(kitchen), sum(rest)
        return _Load(rest, kitchen, watts, states, together, totals)

    def _veil(self, month: int, sky: Sky, minutes: int) -> list[float]:
        """Return the share of a clear sky's light that comes through."""
        random = self._random("sky", month, sky)
        veil: list[float] = []
        if sky is Sky.CLEAR:
            clarity = random.uniform(0.94, 1.0)
            return [clarity + 0.004 * wobble for wobble in self._noise[:minutes]]
        cover = random.uniform(0.16, 0.34)
        while len(veil) < minutes:
            if sky is Sky.OVERCAST:
                cover = min(0.55, max(0.1, cover + random.uniform(-0.05, 0.05)))
                veil += [cover] * random.randrange(4, 9)
            else:
                veil += [random.uniform(0.9, 1.05)] * int(3 + 50 * random.random() ** 2)
                edge = random.uniform(0.25, 0.6)
                veil += [(edge + 1) / 2, *[edge] * int(2 + 25 * random.random() ** 2)]
        del veil[minutes:]
        return [
            share + 0.006 * wobble
            for share, wobble in zip(veil, self._noise, strict=False)
        ]

    def _rest(self, month: int, weekend: bool) -> list[int]:
        """Return lights, electronics, fridge: what no meter of its own sees."""
        random = self._random("rest", month, weekend)
        shift = random.randrange(MINUTES)
        noise = self._noise[shift:] + self._noise[:shift]
        # Lamps burn longer and people stay inside in winter
        winter = 0.5 + 0.5 * cos(tau * (month - 1) / 12)
        dawn = _dawn_local(month)
        day = _presence(weekend)
        day = day[dawn:] + day[:dawn]
        watts = [
            int(215 + (520 + 160 * winter) * level + 11 * wobble)
            for level, wobble in zip(day, noise, strict=True)
        ]
        for start in range(random.randrange(30), MINUTES - 14, 41):
            for minute in range(start, start + 14):
                watts[minute] += 72
        return watts

    def _kitchen(self, month: int, habit: Habit) -> list[int]:
        """Return the circuit of cooker, dishwasher and laundry."""
        random = self._random("kitchen", month, habit)
        dawn = _dawn_local(month)
        watts = [8] * MINUTES

        def run(local: float, spread: int, *stages: tuple[int, int]) -> None:
            minute = int(60 * local) - dawn + random.randrange(-spread, spread + 1)
            for power, minutes in stages:
                for at in range(minute, minute + minutes):
                    watts[at] += power
                minute += minutes

        hob = tuple(
            (random.choice((420, 900, 1750)), random.randrange(2, 7)) for _ in range(9)
        )
        if habit is not Habit.WEEKEND:
            run(6.8, 12, (2080, 3), (0, 6), (1250, 2))
            run(18.3, 20, *hob)
            run(19.1, 10, (1900, 2))
            run(20.6, 25, (60, 5), (2010, 17), (70, 38), (1990, 14), (45, 22))
        else:
            run(8.9, 25, (2080, 3), (0, 8), (1250, 3))
            run(10.4, 40, (90, 6), (2050, 16), (210, 48), (520, 7))
            run(12.6, 15, (1750, 6), (900, 11))
            run(13.9, 30, (2350, 4), (1050, 55))
            run(17.6, 20, (2400, 9), (1100, 32))
            run(18.4, 15, *hob)
            run(20.9, 25, (60, 5), (2010, 17), (70, 38), (1990, 14), (45, 22))
        return watts

    def _heat(self, month: int, clear: bool, fitted: bool) -> _Heat:
        if not fitted:
            return _Heat(_ZEROS, _IDLE, 0)
        random = self._random("heat", month, clear)
        watts = [16] * MINUTES
        modes = bytearray(MINUTES)

        def run(start: int, minutes: int, power: int, mode: HeatMode) -> None:
            for minute in range(start, min(start + minutes, MINUTES - 5)):
                # A compressor starts gently and never draws quite the same
                rising = min(1.0, 0.55 + 0.15 * (minute - start))
                watts[minute] = int(power * rising + 14 * self._noise[minute])
                modes[minute] = mode

        # Nothing to heat with a bright sun in the windows, in spring and in autumn
        need = HEATING_NEED[month - 1] * (0.85 if clear else 1.0)
        start = 20
        while need and start < MINUTES - 30:
            period = random.randrange(58, 84)
            run(
                start,
                int(period * (0.15 + 0.45 * need)),
                int(1300 + 600 * need + random.uniform(-60, 60)),
                HeatMode.HEATING,
            )
            start += period
        dawn = _dawn_local(month)
        for local in (5.8, 13.4):
            start = int(60 * local) - dawn + random.randrange(-10, 11)
            run(start, int(20 + 12 * need), 2050, HeatMode.HOT_WATER)
        return _Heat(watts, bytes(modes), sum(watts))

    def _car(self, month: int, habit: Habit) -> tuple[list[int], bytes]:
        """Return the charge point's power and what it sees of the car."""
        random = self._random("car", month, habit)
        watts = [0] * MINUTES
        states = bytearray(MINUTES)
        dawn = _dawn_local(month)
        if habit is Habit.WORK_THEN_CHARGE_CAR:
            arrival = int(60 * 18.1) - dawn + random.randrange(-20, 21)
            start, power = arrival + 12, 11_040
            full = start + random.randrange(105, 165)
        elif habit is Habit.WEEKEND:
            # At leisure, with the sun
            arrival = int(60 * 10.7) - dawn + random.randrange(-25, 26)
            start, power = arrival + 5, 4_140
            full = start + random.randrange(190, 260)
        else:
            return watts, bytes(states)
        for minute in range(arrival, MINUTES):
            states[minute] = CarState.WAITING if minute < start else CarState.FULL
        for minute in range(start, full):
            # The last quarter of an hour tapers off
            taper = min(1.0, 0.3 + 0.047 * (full - minute))
            watts[minute] = int(power * taper)
            states[minute] = CarState.CHARGING
        return watts, bytes(states)


_ZEROS = [0] * MINUTES
_IDLE = bytes(MINUTES)
_SLIP = [(minute * 37) % 53 % 31 - 12 for minute in range(MINUTES)]


def _run_battery(net: list[int]) -> tuple[list[int], list[int]]:
    """Return the watts of charge and discharge for a day with this load minus sun.

    There must be a minute with a surplus.

    The controller stores only what the hours until the next dawn will draw: that is how a
    forecasting controller works, and it brings the battery to its reserve at the seam of the days.
    """
    # Nothing is stored before the first surplus, and little goes on after the last one
    surplus = [minute for minute, watts in enumerate(net) if watts <= -10]
    first, last = surplus[0], surplus[-1]
    # A controller that follows the meter leaves a few watts on it, now import, now export
    wish = [
        min(watts - slip, BATTERY_POWER_W) if watts >= 50 else 0
        for watts, slip in zip(net[first:], _SLIP, strict=False)
    ]
    # What will still be drawn after the minute, in watt-minutes
    later = sum(wish)
    charge, discharge = [0] * MINUTES, [0] * MINUTES
    ceiling = int((BATTERY_CEILING - BATTERY_RESERVE) * BATTERY_CAPACITY_WH * 60)
    stored = 0
    for minute, drawn in enumerate(wish, first):
        if drawn:
            later -= drawn
            if stored:
                given = min(drawn, stored)
                discharge[minute] = given
                stored -= given
            elif minute > last:
                break
        elif net[minute] <= -10:
            room = min(later, ceiling) - stored
            if room >= 9:
                steps = min(-net[minute] // 10, BATTERY_POWER_W // 10, room // 9)
                charge[minute] = 10 * steps
                stored += 9 * steps
    return charge, discharge


def _dawn_local(month: int) -> int:
    """Return the minute of the local day at which a profile begins.

    People live by local time, profiles by UTC; whole months are near enough to summer time.
    """
    return 60 * (DAWN_HOUR + (2 if 4 <= month <= 10 else 1))


@cache
def _presence(weekend: bool) -> list[float]:
    """Return how busy the house is (0–1) by minute of the local day."""
    peaks = (
        ((9.6, 1.2, 0.5), (13.5, 2.6, 0.45), (20.6, 2.3, 1.0))
        if weekend
        else ((7.2, 0.8, 0.55), (13.0, 3.0, 0.12), (20.3, 2.2, 1.0))
    )
    return [
        sum(
            height * exp(-(((minute / 60 - hour) / width) ** 2))
            for hour, width, height in peaks
        )
        for minute in range(MINUTES)
    ]


@cache
def _hour_angles() -> list[tuple[float, float]]:
    """Return sine and cosine of the sun's hour angle by minute of a profile."""
    angles = [
        radians((DAWN_HOUR * 60 + minute) / 4 - 180 + LONGITUDE_DEG)
        for minute in range(MINUTES)
    ]
    return [(sin(angle), cos(angle)) for angle in angles]


@cache
def _clear_sky(month: int) -> tuple[int, list[float], list[float]]:
    """Return the minute of sunrise, and from it on the watts of both strings under a clear sky."""
    declination = asin(0.398 * sin(tau * (30.4 * (month - 1) + 15 - 80) / 365))
    sin_lat, cos_lat = sin(LATITUDE), cos(LATITUDE)
    sin_dec, cos_dec = sin(declination), cos(declination)
    across = sin(TILT) * sqrt(0.5)
    upward = cos(TILT)
    peak = 0.86 * STRING_PEAK_W
    sunrise = 0
    east_watts: list[float] = []
    west_watts: list[float] = []
    for minute, (sin_hour, cos_hour) in enumerate(_hour_angles()):
        height = sin_lat * sin_dec + cos_lat * cos_dec * cos_hour
        if height <= 0.0:
            continue
        if not east_watts:
            sunrise = minute
        east = -cos_dec * sin_hour * across
        south = sin_lat * cos_dec * cos_hour - cos_lat * sin_dec
        direct = 1.02 * exp(-0.2 / (height + 0.03))
        diffuse = 0.10 * sqrt(height)
        facing = south * across + height * upward
        east_watts.append(peak * (direct * max(0.0, facing + east) + diffuse))
        west_watts.append(peak * (direct * max(0.0, facing - east) + diffuse))
    return sunrise, east_watts, west_watts
