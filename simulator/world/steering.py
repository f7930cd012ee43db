"""A plant whose controller is told what to do: other flows from then on, and all that follows from them."""

from collections.abc import Iterable
from operator import add, sub
from typing import Final, NamedTuple

from .measurements import Rules
from .plant import Plant, within_minute
from .prices import is_dear
from .profile import (
    BATTERY_CAPACITY_WH,
    BATTERY_CEILING,
    BATTERY_POWER_W,
    BATTERY_RESERVE,
    STANDBY_W,
    CarState,
    Flows,
    HeatMode,
)

_FULL_J: Final = int((BATTERY_CEILING - BATTERY_RESERVE) * BATTERY_CAPACITY_WH * 3600)
"""What the battery holds above its reserve at most."""

_SAME_J: Final = 60
"""What a battery may hold more or less than another one and still be told from it by nobody."""

_STRAYS_W: Final = 232
"""How far the power at the connection strays at most within a minute, see `within_minute`."""


class Order(NamedTuple):
    """What a group (`storage` or `solar`) has to do from one Unix time to another; limits in W."""

    group: str
    policy: str
    start_s: int
    end_s: int
    import_w: int
    export_w: int


class _Piece(NamedTuple):
    """A part of a minute in which the rules are the same."""

    second: int
    watts: tuple[int, ...]
    joules: tuple[int, ...]


class SteeredPlant:
    """A plant that lives as the one below it does, but for what it is told.

    What was before an order stays as it was. When there is none any more the battery follows the other
    one's again, until it holds as much; counters stay apart for good.
    """

    def __init__(
        self, plant: Plant, first_s: int, scale: float, *, battery: bool
    ) -> None:
        """Steer a plant whose minutes begin at `first_s` (Unix), of a site of some scale."""
        self._plant = plant
        self._first_s = first_s
        self._scale = scale
        self._battery = battery
        self._orders: list[Order] = []
        # The joules by which this one is ahead of the other one, minute by minute from `_begun` on
        self._begun = 0
        self._ahead: list[tuple[int, ...]] = [(0,) * len(Flows._fields)]
        self._last: tuple[int, list[_Piece]] | None = None

    def obey(self, orders: Iterable[Order], from_s: int) -> None:
        """Follow these orders, and no others, from a time (Unix) on."""
        minute = (from_s - self._first_s) // 60
        ahead = self._ahead_at(minute)
        if minute < self._begun or (len(self._ahead) == 1 and not any(ahead)):
            self._begun, self._ahead = minute, [ahead]
        # It was the same since the last minute that is known
        self._ahead += [ahead] * (minute - self._begun + 1 - len(self._ahead))
        del self._ahead[minute - self._begun + 1 :]
        self._last = None
        done = [
            order._replace(end_s=min(order.end_s, from_s))
            for order in self._orders
            if order.start_s < from_s
        ]
        to_do = [
            order._replace(start_s=max(order.start_s, from_s))
            for order in orders
            if order.end_s > from_s
        ]
        self._orders = _joined([*done, *to_do])

    def watts(self, minute: int) -> tuple[float, ...]:
        """Return the mean watts of a minute, in the order of `Flows`."""
        pieces = self._pieces(minute)
        if len(pieces) == 1:
            return pieces[0].watts
        flowed = map(sub, self.joules(minute + 1), self.joules(minute))
        return tuple(joules / 60 for joules in flowed)

    def joules(self, minute: int) -> tuple[int, ...]:
        """Return what has flowed before a minute, in the order of `Flows`."""
        return tuple(map(add, self._plant.joules(minute), self._ahead_at(minute)))

    def at_second(
        self, minute: int, second: int
    ) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return the watts of a second, and the joules before it."""
        piece = next(
            piece for piece in reversed(self._pieces(minute)) if piece.second <= second
        )
        return within_minute(piece.watts, piece.joules, minute, second, piece.second)

    def rules(self, minute: int, second: int) -> Rules:
        """Return what the controller keeps to."""
        time_s = self._first_s + 60 * minute + second
        orders = [each for each in self._orders if each.start_s <= time_s < each.end_s]
        policies = {order.group: order.policy for order in orders}
        limits = [Rules(each.import_w, each.export_w) for each in orders]
        if not orders:
            return Rules()
        return Rules(
            min(limit.import_w for limit in limits) / self._scale,
            min(limit.export_w for limit in limits) / self._scale,
            policies.get("storage"),
            policies.get("solar"),
        )

    def car_state(self, minute: int) -> CarState:
        """Return what the charge point sees."""
        return self._plant.car_state(minute)

    def heat_mode(self, minute: int) -> HeatMode:
        """Return what the heat pump is busy with."""
        return self._plant.heat_mode(minute)

    def _ahead_at(self, minute: int) -> tuple[int, ...]:
        if minute < self._begun:
            return (0,) * len(Flows._fields)
        while (last := self._begun + len(self._ahead) - 1) < minute:
            if self._is_settled(last):
                return self._ahead[-1]
            piece = self._pieces(last)[-1]
            _, joules = within_minute(piece.watts, piece.joules, last, 60, piece.second)
            self._ahead.append(tuple(map(sub, joules, self._plant.joules(last + 1))))
        return self._ahead[minute - self._begun]

    def _is_settled(self, minute: int) -> bool:
        """Tell whether this plant and the other one live the same life from a minute on, of which it is known how far they are apart."""
        begins_s = self._first_s + 60 * minute
        return abs(
            _stored(Flows._make(self._ahead[minute - self._begun]))
        ) < _SAME_J and not any(order.end_s > begins_s for order in self._orders)

    def _pieces(self, minute: int) -> list[_Piece]:
        if self._last is None or self._last[0] != minute:
            # Before that, for it asks for earlier minutes
            ahead = self._ahead_at(minute)
            self._last = minute, self._make_pieces(minute, ahead)
        return self._last[1]

    def _make_pieces(self, minute: int, ahead: tuple[int, ...]) -> list[_Piece]:
        watts, joules = self._plant.watts(minute), self._plant.joules(minute)
        moved = tuple(map(add, joules, ahead))
        begins_s = self._first_s + 60 * minute
        if minute < self._begun or (
            minute - self._begun >= len(self._ahead) or self._is_settled(minute)
        ):
            return [_Piece(0, watts, moved)]
        turns = sorted(
            {
                time_s - begins_s
                for order in self._orders
                for time_s in (order.start_s, order.end_s)
                if 0 < time_s - begins_s < 60
            }
        )
        pieces: list[_Piece] = []
        for start, end in zip([0, *turns], [*turns, 60], strict=True):
            if pieces:
                _, moved = within_minute(
                    pieces[-1].watts, moved, minute, start, pieces[-1].second
                )
            _, unsteered = within_minute(watts, joules, minute, start)
            flows = _steer(
                Flows._make(watts),
                self.rules(minute, start),
                stored=_stored(Flows._make(moved)),
                more=_stored(Flows._make(moved)) - _stored(Flows._make(unsteered)),
                seconds=end - start,
                dear=is_dear(begins_s + start),
                battery=self._battery,
            )
            pieces.append(_Piece(start, tuple(map(int, flows)), moved))
        return pieces


def _joined(orders: Iterable[Order]) -> list[Order]:
    """Return orders with one in the place of those that only go on with another: one that is renewed time and again."""
    joined: list[Order] = []
    for order in sorted(orders):
        if joined:
            longer = joined[-1]._replace(end_s=order.end_s)
            goes_on = joined[-1].end_s == order.start_s
            if goes_on and longer == order._replace(start_s=longer.start_s):
                joined[-1] = longer
                continue
        joined.append(order)
    return joined


def _stored(joules: Flows) -> int:
    """Return what these lifetime flows have left in the battery above its reserve, in J; charging goes in steps of 10."""
    return int(joules.charge) * 9 // 10 - int(joules.discharge)


def _steer(
    flows: Flows,
    rules: Rules,
    *,
    stored: int,
    more: int,
    seconds: int,
    dear: bool,
    battery: bool,
) -> Flows:
    """Return the flows under some rules, where without any they would be `flows`.

    stored: what is in the battery, in J. more: by how much that is more than without any rule. seconds: how long
    the flows last.
    """
    sun_east, sun_west, heat, car = map(int, flows[:4])
    least = int(flows.kitchen + flows.rest)
    given = max(0, min(BATTERY_POWER_W, stored // seconds))
    taken = max(0, min(BATTERY_POWER_W, (_FULL_J - stored) // 9 // seconds * 10))
    needed = heat + car + least - sun_east - sun_west
    if rules.storage is None:
        charge = min(int(flows.charge), taken)
        discharge = min(int(flows.discharge), given)
        if not charge:
            # What it has too much of goes to the house
            extra = min(needed - discharge, given - discharge, more // seconds)
            discharge += max(0, extra)
    elif rules.storage == "cost":
        charge, discharge = (0, given) if dear else (taken, 0)
    else:
        charge, discharge = (
            min(max(0, -needed // 10 * 10), taken),
            min(max(0, needed), given),
        )
    if not battery:
        charge = discharge = given = taken = 0

    if rules != Rules():
        keep_import, keep_export = map(_aim, (rules.import_w, rules.export_w))
        over = needed + charge - discharge - keep_import
        if over > 0:
            cut = min(charge, -(-over // 10) * 10)
            charge -= cut
            over -= cut
            more_given = max(0, min(over, given - discharge)) if not charge else 0
            discharge += more_given
            over -= more_given
            shed_car = max(0, min(car, over))
            car -= shed_car
            heat -= max(0, min(heat, over - shed_car))
        needed = heat + car + least - sun_east - sun_west
        over = -(needed + charge - discharge) - keep_export
        if over > 0:
            cut = min(discharge, over)
            discharge -= cut
            over -= cut
            more_taken = min(over // 10 * 10, taken - charge) if not discharge else 0
            charge += max(0, more_taken)
            over -= max(0, more_taken)
            sun = sun_east + sun_west
            dark = min(over, sun)
            if dark > 0:
                dark_east = dark * sun_east // sun
                sun_east -= dark_east
                sun_west -= dark - dark_east
    sun = sun_east + sun_west
    standby = STANDBY_W if battery and not (sun or charge or discharge) else 0
    grid = heat + car + least + standby + charge - discharge - sun
    return Flows(
        sun_east,
        sun_west,
        heat,
        car,
        flows.kitchen,
        flows.rest,
        standby,
        charge,
        discharge,
        max(0, grid),
        max(0, -grid),
        max(0, charge - sun),
    )


def _aim(limit_w: float) -> int:
    """Return what to keep to so that strays do not go beyond a limit either."""
    return int(limit_w - min(_STRAYS_W, 0.6 * limit_w))
