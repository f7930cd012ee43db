"""Trackers: when the values of one field become samples.

A tracker is told of values with their times, and of the time that passes. It is driven by those
times alone, so that a late timer makes no sample late or wrong.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
import math
from typing import Final, Protocol

from ..api import FieldValue
from .config import Aggregate, Mode, When

type Emit = Callable[[datetime, FieldValue], None]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

_CLOCK_SET_BACK: Final = timedelta(seconds=1)
"""Further behind than events can be out of order: the clock was set."""

_ASLEEP: Final = timedelta(minutes=15)
"""Longer than any hold-up: the machine slept or the clock was set, and nobody knows the values."""


class Tracker(Protocol):
    """Makes samples of one field's values; times are aware."""

    def observe(self, time: datetime, value: FieldValue | None) -> None:
        """Take the value that holds from `time` on; None where it is not known."""

    def advance(self, now: datetime) -> None:
        """Make the samples that the time which has passed asks for."""

    def catch_up(
        self, since: datetime, value: FieldValue | None, now: datetime
    ) -> None:
        """Take a value that holds since `since`, at a `now` before which nobody looked."""

    def clock_set(self, now: datetime) -> None:
        """Go on at `now`, to which the clock jumped: there are no values for what it left out."""

    def finish(self) -> None:
        """Make the samples that would else be lost: nobody looks from now on."""


def make_tracker(when: When, emit: Emit) -> Tracker:
    """Return the tracker that `when` describes; it hands its samples to `emit`."""
    if when.mode is Mode.INTERVAL:
        return IntervalTracker(when.interval, when.aggregate, when.heartbeat, emit)
    return ChangeTracker(when.shortest, when.heartbeat, emit)


class ChangeTracker:
    """A sample for every change, with a shortest distance.

    A change that comes too soon waits until the distance has passed, unless the next one takes its
    place before; its sample has the time of the change. The distance counts from the moment at
    which a sample was due, and not from the timer that happened to make it.
    """

    def __init__(self, shortest: timedelta, heartbeat: timedelta, emit: Emit) -> None:
        """Keep `shortest` between samples; repeat after `heartbeat`, never where that is zero."""
        self._shortest = shortest
        self._heartbeat = heartbeat
        self._emit = emit
        self._value: FieldValue | None = None
        self._due_at: datetime | None = None
        self._waiting: tuple[datetime, FieldValue] | None = None

    def observe(self, time: datetime, value: FieldValue | None) -> None:
        """Make a sample of `value`, at once or when the shortest distance has passed."""
        self._send_waiting(time)
        self._value = value
        if value is None:
            return
        self._waiting = (time, value)
        self._send_waiting(time)

    def advance(self, now: datetime) -> None:
        """Make a sample of what waits, or repeat an unchanged value."""
        self._send_waiting(now)
        if (
            self._heartbeat
            and self._value is not None
            and self._elapsed(now, self._heartbeat)
        ):
            self._due_at = now
            self._emit(now, self._value)

    def catch_up(
        self, since: datetime, value: FieldValue | None, now: datetime
    ) -> None:
        """Make a sample with the value's own time; where it was made before it is the same."""
        self.observe(since, value)

    def clock_set(self, now: datetime) -> None:
        """Do nothing: changes have times of their own, and a distance that has passed is none too short."""

    def finish(self) -> None:
        """Make a sample of what waits, since nothing comes that it would be too close to."""
        if self._waiting is not None:
            sample, self._waiting = self._waiting, None
            self._emit(*sample)

    def _send_waiting(self, now: datetime) -> None:
        if self._waiting is None or (
            self._shortest and not self._elapsed(now, self._shortest)
        ):
            return
        (time, value), self._waiting = self._waiting, None
        self._due_at = (
            time
            if self._due_at is None or self._is_set_back(now)
            else max(time, self._due_at + self._shortest)
        )
        self._emit(time, value)

    def _elapsed(self, now: datetime, distance: timedelta) -> bool:
        """Tell whether a sample is due; a clock that was set back must not hold it up."""
        return (
            self._due_at is None
            or now - self._due_at >= distance
            or self._is_set_back(now)
        )

    def _is_set_back(self, now: datetime) -> bool:
        return self._due_at is not None and now < self._due_at - _CLOCK_SET_BACK


class IntervalTracker:
    """A sample for each interval of the clock.

    The last value has the time of the interval's end, up to which it holds; mean, minimum and
    maximum have the time of its start. The mean weighs each value with the time for which it was
    known; a value that held for no time at all counts nowhere. Booleans and strings have a last
    value only.
    """

    def __init__(
        self,
        interval: timedelta,
        aggregate: Aggregate,
        heartbeat: timedelta,
        emit: Emit,
    ) -> None:
        """Skip unchanged values until `heartbeat` has passed, none where that is zero."""
        self._interval = interval
        self._aggregate = aggregate
        self._heartbeat = heartbeat
        self._emit = emit
        self._value: FieldValue | None = None
        self._at: datetime | None = None
        """Up to when time has passed."""
        self._counted_to = _EPOCH
        """Up to when values were weighed: timers in between must not change how sums are rounded."""
        self._end = _EPOCH
        self._known = 0.0
        self._integral = 0.0
        self._extremes: tuple[float, float] | None = None
        self._sent: tuple[datetime, FieldValue] | None = None

    def observe(self, time: datetime, value: FieldValue | None) -> None:
        """Let `value` hold from `time` on."""
        self.advance(time)
        self._count(time)
        self._value = value

    def advance(self, now: datetime) -> None:
        """Make the samples of all intervals that have ended."""
        if (
            self._at is None
            or now < self._at - _CLOCK_SET_BACK
            or now - self._at > _ASLEEP
        ):
            self.clock_set(now)
            return
        while self._end <= now:
            self._count(self._end)
            self._close()
            self._begin(self._end)
        self._at = max(self._at, now)

    def catch_up(
        self, since: datetime, value: FieldValue | None, now: datetime
    ) -> None:
        """Let `value` hold from `since` on, and make the samples of the intervals since then.

        What held before in the interval of `since` is not known, and its aggregate may have been
        sent already: it is left out where the interval is over.
        """
        end = self._end_after(since)
        if self._aggregate is not Aggregate.LAST and end <= now:
            since = end
        # Time that has passed does not pass again
        self.observe(since if self._at is None else max(since, self._at), value)
        # At once, or a value of almost the longest hold-up would be given up before the next timer
        self.advance(now)

    def clock_set(self, now: datetime) -> None:
        """Leave out the interval that was interrupted, and those that the clock left out."""
        self._at = now
        self._begin(now)

    def finish(self) -> None:
        """Leave out the interval that has not ended: its sample would not speak for all of it."""

    def _end_after(self, time: datetime) -> datetime:
        return _EPOCH + ((time - _EPOCH) // self._interval + 1) * self._interval

    def _begin(self, now: datetime) -> None:
        """Begin the interval that `now` lies in."""
        self._end = self._end_after(now)
        self._counted_to = now
        self._known = self._integral = 0.0
        self._extremes = None

    def _count(self, until: datetime) -> None:
        """Count the value for the time in which it held."""
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
        time = self._end - self._interval
        value: FieldValue | None = self._summary()
        if value is None:
            time, value = self._end, self._value
            if self._aggregate is not Aggregate.LAST and isinstance(value, float):
                return
        if value is None:
            return
        if (
            self._heartbeat
            and self._sent is not None
            and self._sent[1] == value
            and timedelta() <= time - self._sent[0] < self._heartbeat
        ):
            return
        self._sent = (time, value)
        self._emit(time, value)

    def _summary(self) -> float | None:
        """Return what the aggregate says of the interval, None where it says nothing."""
        if self._extremes is None or self._aggregate is Aggregate.LAST:
            return None
        low, high = self._extremes
        if self._aggregate is not Aggregate.MEAN:
            return high if self._aggregate is Aggregate.MAX else low
        mean = self._integral / self._known
        # A sum is rounded, and a huge one overflows; no mean is outside of what it is made of
        return min(max(mean, low), high) if math.isfinite(mean) else None
