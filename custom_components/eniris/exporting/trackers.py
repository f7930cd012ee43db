"""Trackers: when the values of one field become samples.

A tracker is told of values with their times, and of the time that passes. It is driven by those
times alone, so that a late timer makes no sample late or wrong.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
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


def make_tracker(when: When, emit: Emit) -> Tracker:
    """Return the tracker that `when` describes; it hands its samples to `emit`."""
    if when.mode is Mode.INTERVAL:
        return IntervalTracker(when.interval, when.aggregate, when.heartbeat, emit)
    return ChangeTracker(when.shortest, when.heartbeat, emit)


class ChangeTracker:
    """A sample for every change, with a shortest distance.

    A change that comes too soon waits until the distance has passed, unless the next one takes its
    place; its sample has the time of the change.
    """

    def __init__(self, shortest: timedelta, heartbeat: timedelta, emit: Emit) -> None:
        """Keep `shortest` between samples; repeat after `heartbeat`, never where that is zero."""
        self._shortest = shortest
        self._heartbeat = heartbeat
        self._emit = emit
        self._value: FieldValue | None = None
        self._sent_at: datetime | None = None
        self._waiting: tuple[datetime, FieldValue] | None = None

    def observe(self, time: datetime, value: FieldValue | None) -> None:
        """Make a sample of `value`, at once or when the shortest distance has passed."""
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
            self._send(now, self._value)

    def _send_waiting(self, now: datetime) -> None:
        if self._waiting is not None and self._elapsed(now, self._shortest):
            self._send(*self._waiting)
            self._waiting = None

    def _elapsed(self, now: datetime, distance: timedelta) -> bool:
        """Tell whether a sample is due; a clock that was set back must not hold it up."""
        return (
            self._sent_at is None
            or now - self._sent_at >= distance
            or now < self._sent_at - _CLOCK_SET_BACK
        )

    def _send(self, time: datetime, value: FieldValue) -> None:
        self._sent_at = time
        self._emit(time, value)


class IntervalTracker:
    """A sample for each interval of the clock.

    The last value has the time of the interval's end, at which it holds; mean, minimum and maximum
    have the time of its start. The mean weighs each value with the time for which it was known.
    Booleans and strings have a last value only.
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
        self._end = _EPOCH
        self._known = 0.0
        self._integral = 0.0
        self._extremes: tuple[float, float] | None = None
        self._sent: tuple[datetime, FieldValue] | None = None

    def observe(self, time: datetime, value: FieldValue | None) -> None:
        """Let `value` hold from `time` on."""
        self.advance(time)
        self._value = value
        self._include(value)

    def advance(self, now: datetime) -> None:
        """Make the samples of all intervals that have ended."""
        if (
            self._at is None
            or now < self._at - _CLOCK_SET_BACK
            or now - self._at > _ASLEEP
        ):
            self._at = now
            self._begin(now)
            return
        while self._end <= now:
            self._integrate(self._end)
            self._close()
            self._begin(self._end)
        self._integrate(now)

    def _begin(self, now: datetime) -> None:
        """Begin the interval that `now` lies in."""
        self._end = _EPOCH + ((now - _EPOCH) // self._interval + 1) * self._interval
        self._known = self._integral = 0.0
        self._extremes = None
        self._include(self._value)

    def _integrate(self, until: datetime) -> None:
        if self._at is None or until <= self._at:
            return
        if isinstance(self._value, float):
            seconds = (until - self._at).total_seconds()
            self._known += seconds
            self._integral += seconds * self._value
        self._at = until

    def _include(self, value: FieldValue | None) -> None:
        if isinstance(value, float):
            low, high = self._extremes or (value, value)
            self._extremes = (min(low, value), max(high, value))

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
        if self._aggregate is Aggregate.MEAN:
            return self._integral / self._known if self._known else None
        if self._extremes is None or self._aggregate is Aggregate.LAST:
            return None
        return self._extremes[self._aggregate is Aggregate.MAX]
