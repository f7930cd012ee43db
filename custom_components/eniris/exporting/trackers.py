"""Trackers: when the values of one field become samples. They go by the times that they are told, so no timer is late."""

from datetime import datetime, timedelta
import math
from typing import Final

from ..api import FieldValue
from .config import EPOCH, Aggregate, Mode, SamplingPolicy
from .fields.kinds import FieldKind

type _Value = FieldValue | None

_CLOCK_SET_BACK: Final = timedelta(seconds=1)
"""Further behind than events can be out of order: the clock was set."""

_ASLEEP: Final = timedelta(minutes=15)
"""Longer than any hold-up: the machine slept or the clock was set, and nobody knows the values."""


class ChangeTracker:
    """A sample for every change; one that comes too soon waits until a distance has passed since the last was due.

    The next one can take its place before. Its sample has the time of the change.
    """

    def __init__(self, shortest: timedelta, heartbeat: timedelta) -> None:
        """Keep `shortest` between samples; repeat after `heartbeat`, never where that is zero."""
        self._shortest = shortest
        self._heartbeat = heartbeat
        self.made: list[tuple[datetime, FieldValue]] = []
        """Times and values of samples, until somebody takes them."""
        self._value: _Value = None
        self._due_at: datetime | None = None
        self._waiting: tuple[datetime, FieldValue] | None = None

    def observe(self, time: datetime, value: _Value) -> None:
        """Take the value that holds from `time` on, None where it is not known."""
        if not (self._shortest or self._heartbeat):
            if value is not None:
                self.made.append((time, value))
            return
        self._send_waiting(time)
        self._value = value
        if value is not None:
            self._waiting = (time, value)
            self._send_waiting(time)

    def advance(self, now: datetime) -> None:
        """Make a sample of what waits, or repeat an unchanged value."""
        self._send_waiting(now)
        is_due = self._heartbeat and self._is_due(now, self._heartbeat)
        if is_due and self._value is not None:
            self._due_at = now
            self.made.append((now, self._value))

    def catch_up(self, since: datetime, value: _Value, now: datetime) -> None:
        """Make a sample with the value's own time; where it was made before it is the same."""
        self.observe(since, value)

    def finish(self) -> None:
        """Make a sample of what waits, since nothing comes that it would be too close to."""
        if self._waiting is not None:
            self.made.append(self._waiting)
            self._waiting = None

    def _send_waiting(self, now: datetime) -> None:
        if self._waiting is None or (
            self._shortest and not self._is_due(now, self._shortest)
        ):
            return
        time = self._waiting[0]
        if self._due_at is not None and now >= self._due_at - _CLOCK_SET_BACK:
            time = max(time, self._due_at + self._shortest)
        self._due_at = time
        self.finish()

    def _is_due(self, now: datetime, distance: timedelta) -> bool:
        """Tell whether a distance has passed; a clock that was set back must not hold a sample up."""
        return (
            self._due_at is None
            or not -_CLOCK_SET_BACK <= now - self._due_at < distance
        )


class IntervalTracker:
    """A sample for each interval of the clock: the last value at its end, or an aggregate of numbers at its start.

    The mean weighs each value with the time for which it was known; one that held for no time counts nowhere.
    """

    def __init__(
        self, interval: timedelta, aggregate: Aggregate, heartbeat: timedelta
    ) -> None:
        """Skip unchanged values until `heartbeat` has passed, none where that is zero."""
        self._interval = interval
        self._aggregate = aggregate
        self._heartbeat = heartbeat
        self.made: list[tuple[datetime, FieldValue]] = []
        self._value: _Value = None
        self._at: datetime | None = None
        self._counted_to = EPOCH
        """Up to when values were weighed: timers in between must not change how sums are rounded."""
        self._end = EPOCH
        self._known = 0.0
        self._integral = 0.0
        self._extremes: tuple[float, float] | None = None
        self._sent: tuple[datetime, FieldValue] | None = None

    def observe(self, time: datetime, value: _Value) -> None:
        """Let `value` hold from `time` on; None where it is not known."""
        self.advance(time)
        self._count(time)
        self._value = value

    def advance(self, now: datetime) -> None:
        """Make the samples of all intervals that have ended."""
        if self._at is None or not -_CLOCK_SET_BACK <= now - self._at <= _ASLEEP:
            self.clock_set(now)
            return
        while self._end <= now:
            self._count(self._end)
            self._close()
            self._begin(self._end)
        self._at = max(self._at, now)

    def catch_up(self, since: datetime, value: _Value, now: datetime) -> None:
        """Take a value that holds since `since`; of an interval that nobody saw begin an aggregate is left out."""
        end = self._end_after(since)
        if self._aggregate is not Aggregate.LAST and end <= now:
            since = end
        # Time that has passed does not pass again
        self.observe(since if self._at is None else max(since, self._at), value)
        # At once, or a value of almost the longest hold-up would be given up before the next timer
        self.advance(now)

    def clock_set(self, now: datetime) -> None:
        """Go on at `now`, without the interval that was interrupted and those that the clock left out."""
        self._at = now
        self._begin(now)

    def become_counter(self) -> None:
        """Make last values, of the interval under way, too."""
        self._aggregate = Aggregate.LAST

    def finish(self) -> None:
        """Leave out the interval that has not ended: its sample would not speak for all of it."""

    def _end_after(self, time: datetime) -> datetime:
        return EPOCH + ((time - EPOCH) // self._interval + 1) * self._interval

    def _begin(self, now: datetime) -> None:
        self._end = self._end_after(now)
        self._counted_to = now
        self._known = self._integral = 0.0
        self._extremes = None

    def _count(self, until: datetime) -> None:
        if until <= self._counted_to:
            return
        if isinstance(self._value, float):
            seconds = (until - self._counted_to).total_seconds()
            self._known += seconds
            self._integral += seconds * self._value
            low, high = self._extremes or (self._value, self._value)
            self._extremes = (min(low, self._value), max(high, self._value))
        self._counted_to = until

    def _close(self) -> None:
        """Make the sample of the interval that ends, unless it has none or need not be sent again."""
        time, value = self._end, self._value
        if self._aggregate is not Aggregate.LAST and (
            self._extremes is not None or isinstance(value, float)
        ):
            time, value = self._end - self._interval, self._summary()
        if value is not None and not (
            self._heartbeat
            and self._sent is not None
            and self._sent[1] == value
            and timedelta() <= time - self._sent[0] < self._heartbeat
        ):
            self._sent = (time, value)
            self.made.append(self._sent)

    def _summary(self) -> float | None:
        if self._extremes is None:
            return None
        low, high = self._extremes
        if self._aggregate is not Aggregate.MEAN:
            return high if self._aggregate is Aggregate.MAX else low
        mean = self._integral / self._known
        # A sum is rounded, and a huge one overflows; no mean is outside of what it is made of
        return min(max(mean, low), high) if math.isfinite(mean) else None


type Tracker = ChangeTracker | IntervalTracker


def make_tracker(policy: SamplingPolicy, kind: FieldKind) -> Tracker:
    """Return the tracker that `policy` describes. Of a counter nothing but the last value means anything."""
    if policy.mode is Mode.CHANGE:
        return ChangeTracker(policy.shortest, policy.heartbeat)
    aggregate = Aggregate.LAST if kind is FieldKind.COUNTER else policy.aggregate
    return IntervalTracker(policy.interval, aggregate, policy.heartbeat)
