"""The oracle: what has to be stored of what an entity was seen to be.

Written from what the export promises, and not from how it does it: nothing of the integration is
imported. It is told of everything that happens to an entity while that happens, and computes
afterwards, from the whole history, which values belong at which times.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
import math
from typing import Literal, NamedTuple

type Value = float | bool | str
type Meaning = Callable[[str], Value | None]
type Aggregate = Literal["last", "mean", "min", "max"]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
CATCH_UP = timedelta(minutes=15)
"""Values older than this are not spread over the intervals for which nobody looked."""
LONG_AGO = timedelta(hours=1)
"""A value that has held for longer may be too old for the service: it is sent with the present time."""


class FieldKey(NamedTuple):
    """Where a value is stored."""

    database: str
    retention_policy: str
    measurement: str
    tags: tuple[tuple[str, str], ...]
    field: str


@dataclass(frozen=True)
class Rule:
    """When values are due: by change, or by interval where one is given."""

    shortest: timedelta = timedelta()
    heartbeat: timedelta = timedelta()
    interval: timedelta | None = None
    aggregate: Aggregate = "last"


def number(factor: float = 1.0, offset: float = 0.0) -> Meaning:
    """Return the meaning of a state of a field with a unit: a finite number or nothing."""

    def meaning(state: str) -> Value | None:
        try:
            value = float(state)
        except ValueError:
            return None
        return (value + offset) * factor if math.isfinite(value) else None

    return meaning


def on_off(state: str) -> Value | None:
    """Return the meaning of a state that is on or off."""
    return {"on": True, "off": False}.get(state)


def word(state: str) -> Value | None:
    """Return the meaning of a state of a field of words, which stays one also where it looks like a number."""
    return None if state in ("unknown", "unavailable", "") else state


class Change(NamedTuple):
    """A value that holds from a time on; `tick` is the number of the look at the clock before it."""

    tick: int
    time: datetime
    value: Value | None


@dataclass
class Run:
    """A time in which an entity is followed without interruption, by a clock that only advances."""

    first_tick: int
    begin: datetime
    changes: list[Change]
    last_tick: int = -1
    end: datetime | None = None
    after_clock_change: bool = False


@dataclass
class Memory:
    """What the past of a field has to say about its next sample."""

    value: Value | None = None
    sent: datetime | None = None
    waiting: tuple[datetime, Value] | None = None

    def is_over(self, distance: timedelta, now: datetime) -> bool:
        """Tell whether a distance has passed; a clock that was set back holds nothing up."""
        return (
            self.sent is None or now - self.sent >= distance or self._was_set_back(now)
        )

    def send_waiting(
        self, distance: timedelta, now: datetime
    ) -> tuple[datetime, Value]:
        """Return what waits; the next distance begins when this one was over."""
        assert self.waiting is not None
        sample, self.waiting = self.waiting, None
        over = self.sent is None or self._was_set_back(now)
        self.sent = (
            sample[0]
            if over or self.sent is None
            else max(sample[0], self.sent + distance)
        )
        return sample

    def _was_set_back(self, now: datetime) -> bool:
        return self.sent is not None and now < self.sent - timedelta(seconds=1)


@dataclass
class History:
    """What one exported field went through."""

    key: FieldKey
    rule: Rule
    meaning: Meaning
    ticks: list[datetime]
    """The moments at which the exporter looks at the clock, shared by all."""
    runs: list[Run] = field(default_factory=list)
    _run: Run | None = None

    def start(self, now: datetime, since: datetime, state: str | None) -> None:
        """Follow the entity from `now` on; its state is as it is since `since`."""
        if self.rule.interval is None and now - since > LONG_AGO:
            since = now
        tick = len(self.ticks) - 1
        self._run = Run(tick, now, [Change(tick, since, self._value(state))])
        self.runs.append(self._run)

    def change(self, now: datetime, state: str | None) -> None:
        """Note a change of the state; None where the entity has gone."""
        if self._run is not None:
            self._run.changes.append(
                Change(len(self.ticks) - 1, now, self._value(state))
            )

    def stop(self, now: datetime) -> None:
        """Cease to follow the entity."""
        if self._run is not None:
            self._run.end = now
            self._run.last_tick = len(self.ticks) - 1
        self._run = None

    def set_clock(self, before: datetime, now: datetime) -> None:
        """Note that the clock was set from one time to another, which the last tick shows."""
        if self._run is None:
            return
        value = self._run.changes[-1].value
        self.stop(before)
        tick = len(self.ticks) - 1
        self.runs[-1].last_tick = tick - 1
        # The value holds, but since when by this clock is not known
        self._run = Run(tick, now, [Change(tick, now, value)], after_clock_change=True)
        self.runs.append(self._run)

    def _value(self, state: str | None) -> Value | None:
        return None if state is None else self.meaning(state)

    def due(self) -> dict[datetime, list[Value]]:
        """Return the values due at each time; several where the clock showed a time twice."""
        values: dict[datetime, list[Value]] = {}
        memory = Memory()
        for run in self.runs:
            if not run.after_clock_change:
                memory = Memory()
            samples = self._intervals if self.rule.interval else self._changes
            for time, value in samples(run, memory):
                values.setdefault(time, []).append(value)
        return values

    def holds(self, time: datetime, value: Value) -> bool:
        """Tell whether the entity had a value at a time, by any of the clock's runs."""
        for run in self.runs:
            if run.end is None or not run.changes[0].time <= time <= run.end:
                continue
            at = [change.value for change in run.changes if change.time <= time]
            if same(at[-1], value):
                return True
        return False

    def has_held(self, time: datetime, value: Value) -> bool:
        """Tell whether a value had held for so long at a time that it may be sent once more with that."""
        if self.rule.interval is not None:
            return False
        for run in self.runs:
            if run.end is None or not run.begin <= time <= run.end:
                continue
            last = [change for change in run.changes if change.time <= time][-1]
            if time - last.time > LONG_AGO and same(last.value, value):
                return True
        return False

    def _changes(self, run: Run, memory: "Memory") -> Iterator[tuple[datetime, Value]]:
        """Go through the samples of changes.

        One that comes too soon after the one before waits until the distance has passed, or until
        another takes its place. A value that stays is repeated at the first look at the clock after
        the heartbeat. What waits when nobody follows the entity any more waits no longer.
        """
        changes = iter(run.changes)
        change = next(changes, None)
        if run.after_clock_change:
            # No news, and it has been dealt with under its own time
            change = next(changes, None)
        for tick in range(run.first_tick, run.last_tick + 1):
            now = self.ticks[tick]
            if tick > run.first_tick or run.after_clock_change:
                if memory.waiting is not None and memory.is_over(
                    self.rule.shortest, now
                ):
                    yield memory.send_waiting(self.rule.shortest, now)
                if (
                    self.rule.heartbeat
                    and memory.value is not None
                    and memory.is_over(self.rule.heartbeat, now)
                ):
                    yield now, memory.value
                    memory.sent = now
            while change is not None and change.tick == tick:
                if memory.waiting is not None and memory.is_over(
                    self.rule.shortest, change.time
                ):
                    yield memory.send_waiting(self.rule.shortest, change.time)
                memory.value = change.value
                if change.value is not None:
                    memory.waiting = change.time, change.value
                    if memory.is_over(self.rule.shortest, change.time):
                        yield memory.send_waiting(self.rule.shortest, change.time)
                change = next(changes, None)
        follower = self.runs.index(run) + 1
        goes_on = follower < len(self.runs) and self.runs[follower].after_clock_change
        if memory.waiting is not None and not goes_on:
            yield memory.waiting

    def _intervals(
        self, run: Run, memory: "Memory"
    ) -> Iterator[tuple[datetime, Value]]:
        """Go through the samples of the intervals that end within a run.

        The last value belongs to the end of its interval, an aggregate to its beginning. An
        aggregate weighs what is known of an interval, if anything is.
        """
        interval = self.rule.interval
        assert interval is not None and run.end is not None
        since = run.changes[0].time
        end = EPOCH + ((since - EPOCH) // interval + 1) * interval
        if self.rule.aggregate != "last" and end <= run.begin:
            # The interval was over before anybody looked, and its beginning is not known
            since = end
        if run.begin - since > CATCH_UP:
            since = run.begin
        start = EPOCH + (since - EPOCH) // interval * interval
        changes = [Change(run.first_tick, since, run.changes[0].value)]
        changes += run.changes[1:]
        position = 0
        while start + interval <= run.end:
            end = start + interval
            pieces: list[tuple[timedelta, Value]] = []
            while True:
                here = changes[position]
                until = (
                    changes[position + 1].time if position + 1 < len(changes) else end
                )
                length = min(until, end) - max(here.time, start)
                if here.value is not None and length > timedelta():
                    pieces.append((length, here.value))
                if until >= end:
                    break
                position += 1
            at_end = changes[position].value if changes[position].time < end else None
            value, time = self._sum_up(pieces, at_end), start
            if self.rule.aggregate == "last":
                time = end
            if value is not None and not (
                memory.sent is not None
                and memory.value == value
                and timedelta() <= time - memory.sent < self.rule.heartbeat
            ):
                memory.sent, memory.value = time, value
                yield time, value
            start = end

    def _sum_up(
        self, pieces: list[tuple[timedelta, Value]], at_end: Value | None
    ) -> Value | None:
        if self.rule.aggregate == "last":
            return at_end
        numbers = [(length, float(value)) for length, value in pieces]
        if not numbers:
            return None
        if self.rule.aggregate == "mean":
            total = sum((length for length, _ in numbers), timedelta())
            return math.fsum(length / total * value for length, value in numbers)
        choose = min if self.rule.aggregate == "min" else max
        return choose(value for _, value in numbers)


def same(one: object, other: object) -> bool:
    """Tell whether two values are the same, up to the last digits of a conversion."""
    if type(one) is not type(other):
        return False
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-9)
    return one == other
