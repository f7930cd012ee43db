"""When values become samples: exact numbers, and the same whenever a timer happens to fire."""

from collections.abc import Sequence
from datetime import timedelta
import math
from typing import Any

from hypothesis import given, settings, strategies as st
import pytest

from custom_components.eniris.api import FieldValue
from custom_components.eniris.exporting.config import Aggregate, Mode, SamplingPolicy
from custom_components.eniris.exporting.fields.kinds import FieldKind
from custom_components.eniris.exporting.trackers import Tracker, make_tracker

from .conftest import START, at


class Track:
    """A tracker with what it made: seconds after the start, and value."""

    def __init__(
        self,
        mode: Mode,
        aggregate: str,
        seconds: dict[str, float],
        kind: FieldKind = FieldKind.NUMBER,
    ) -> None:
        """Make a tracker; `seconds` are those of `SamplingPolicy`."""
        spans: dict[str, Any] = {
            name: timedelta(seconds=value) for name, value in seconds.items()
        }
        self.tracker: Tracker = make_tracker(
            SamplingPolicy(mode, aggregate=Aggregate(aggregate), **spans), kind
        )

    @property
    def made(self) -> list[tuple[float, FieldValue]]:
        """What was made so far."""
        return [
            ((time - START).total_seconds(), value) for time, value in self.tracker.made
        ]

    def observe(self, seconds: float, value: FieldValue | None) -> None:
        """Let a value hold from a time on."""
        self.tracker.observe(at(seconds), value)

    def advance(self, *seconds: float) -> list[tuple[float, FieldValue]]:
        """Let timers fire, and return everything made so far."""
        for second in seconds:
            self.tracker.advance(at(second))
        return self.made


def changes(**seconds: float) -> Track:
    """Return a tracker of changes."""
    return Track(Mode.CHANGE, "last", seconds)


def intervals(aggregate: str, interval: float = 60, **seconds: float) -> Track:
    """Return a tracker of intervals."""
    return Track(Mode.INTERVAL, aggregate, {"interval": interval, **seconds})


def test_every_change() -> None:
    """Without a shortest distance each change is a sample, at once and with its own time."""
    track = changes()
    for seconds, value in ((0, 1.0), (0.001, 2.0), (0.002, "x"), (5, True)):
        track.observe(seconds, value)
        assert track.made[-1] == (seconds, value)
    assert len(track.advance(6, 1000)) == 4


def test_shortest_distance_holds_after_one_that_waited() -> None:
    """One that waited counts from when it was due, so that pairs of changes are no way around."""
    track = changes(shortest=10)
    for seconds in range(31):
        if seconds % 10 < 2:
            track.observe(seconds, float(seconds))
        track.advance(seconds)
    assert track.made == [(0, 0.0), (1, 1.0), (11, 11.0), (21, 21.0)]


def test_late_timer_does_not_lose_what_was_due() -> None:
    """A change after the distance is none that takes the place of the one that waits."""
    track = changes(shortest=10)
    track.observe(0, 1.0)
    track.observe(9, 2.0)
    track.observe(10.5, 3.0)
    assert track.made == [(0, 1.0), (9, 2.0)]
    assert track.advance(20) == [(0, 1.0), (9, 2.0), (10.5, 3.0)]


def test_heartbeat_counts_from_the_last_sample() -> None:
    """A change puts the heartbeat off."""
    track = changes(heartbeat=30)
    track.observe(0, 1.0)
    track.observe(20, 2.0)
    assert track.advance(30, 49) == [(0, 1.0), (20, 2.0)]
    assert track.advance(50, 79, 80)[2:] == [(50, 2.0), (80, 2.0)]


def test_no_heartbeat_of_the_unknown() -> None:
    """What is not known is not repeated, and makes no sample."""
    track = changes(heartbeat=30)
    track.observe(0, 1.0)
    track.observe(10, None)
    assert track.advance(40, 100) == [(0, 1.0)]
    track.observe(101, 1.0)
    assert track.made == [(0, 1.0), (101, 1.0)]


def test_unknown_does_not_take_the_place_of_what_waits() -> None:
    """A change that waits was one, whatever came after."""
    track = changes(shortest=10)
    track.observe(0, 1.0)
    track.observe(5, 2.0)
    track.observe(6, None)
    assert track.advance(10) == [(0, 1.0), (5, 2.0)]


def test_changes_with_the_clock_set_back() -> None:
    """A clock that was wrong by an hour must not hold samples up for an hour."""
    track = changes(shortest=10, heartbeat=30)
    track.observe(3600, 1.0)
    track.observe(0, 2.0)
    assert track.made == [(3600, 1.0), (0, 2.0)]
    track.observe(5, 3.0)
    assert track.advance(10)[2:] == [(5, 3.0)]
    assert track.advance(40)[3:] == [(40, 3.0)]


def test_interval_last() -> None:
    """The last value has the time of the interval's end, unchanged ones included."""
    track = intervals("last")
    track.observe(5, 1.0)
    track.observe(50, 2.0)
    assert track.advance(59.999) == []
    assert track.advance(60) == [(60, 2.0)]
    assert track.advance(120)[1:] == [(120, 2.0)]


@pytest.mark.parametrize(
    ("aggregate", "expected"),
    [("mean", (100 * 10 + 200 * 20 + 50 * 30) / 60), ("min", 50.0), ("max", 200.0)],
)
def test_aggregates(aggregate: str, expected: float) -> None:
    """Each value has the weight of its time, and the sample the time of the interval's start."""
    track = intervals(aggregate)
    track.observe(0, 100.0)
    track.observe(10, 200.0)
    track.observe(30, 50.0)
    assert track.advance(60) == [(0, expected)]
    assert track.advance(120)[1:] == [(60, 50.0)]


def test_mean_of_a_partial_interval() -> None:
    """Only the time for which the value was known counts."""
    track = intervals("mean")
    track.observe(30, 10.0)
    track.observe(50, 40.0)
    assert track.advance(60) == [(0, (10 * 20 + 40 * 10) / 30)]


def test_unknown_interrupts_a_mean() -> None:
    """While it is unknown a value weighs nothing."""
    track = intervals("mean")
    track.observe(0, 10.0)
    track.observe(20, None)
    track.observe(50, 70.0)
    assert track.advance(60) == [(0, (10 * 20 + 70 * 10) / 30)]
    track.observe(60.0, None)
    assert len(track.advance(120, 180)) == 1


@pytest.mark.parametrize("aggregate", ["last", "mean", "min", "max"])
def test_unknown_makes_no_sample(aggregate: str) -> None:
    """An interval of which nothing is known is left out."""
    track = intervals(aggregate)
    track.observe(0, None)
    assert track.advance(60, 120) == []
    track.observe(130, 1.0)
    track.advance(180)
    track.observe(180, None)
    assert track.advance(240, 300) == [(180 if aggregate == "last" else 120, 1.0)]


def test_last_of_an_interval_that_ends_unknown() -> None:
    """What was known before is not what holds at the end."""
    track = intervals("last")
    track.observe(0, 1.0)
    track.observe(59, None)
    assert track.advance(60) == []


@pytest.mark.parametrize("aggregate", ["last", "mean", "min", "max"])
def test_words_and_booleans_have_a_last_value_only(aggregate: str) -> None:
    """There is no mean of words."""
    track = intervals(aggregate)
    track.observe(0, "idle")
    track.observe(10, "charging")
    track.advance(60)
    track.observe(70, True)
    assert track.advance(120) == [(60, "charging"), (120, True)]


@pytest.mark.parametrize(
    ("interval", "ends"),
    [
        (1, [1, 2, 3]),
        (10, [10, 20, 30]),
        (60, [60, 120, 180]),
        (900, [900, 1800, 2700]),
        (0.5, [0.5, 1, 1.5]),
    ],
)
def test_alignment(interval: float, ends: list[float]) -> None:
    """Intervals are those of the clock, whenever the first value came."""
    track = intervals("last", interval)
    track.observe(interval * 0.3, 1.0)
    for end in ends:
        track.advance(end + interval * 0.1)
    assert [seconds for seconds, _ in track.made] == ends


@pytest.mark.parametrize(
    ("aggregate", "expected"),
    [
        ("last", [(60, 1.0), (120, 9.0)]),
        ("mean", [(0, 1.0), (60, 9.0)]),
        ("min", [(0, 1.0), (60, 9.0)]),
        ("max", [(0, 1.0), (60, 9.0)]),
    ],
)
def test_change_exactly_at_a_boundary(aggregate: str, expected: list[Any]) -> None:
    """It belongs to the interval that begins, and the value before has no part in that."""
    for timer_first in (True, False):
        track = intervals(aggregate)
        track.observe(0, 1.0)
        if timer_first:
            track.advance(60)
        track.observe(60, 9.0)
        assert track.advance(120) == expected


def test_heartbeat_on_intervals() -> None:
    """An unchanged value is repeated at the heartbeat alone, a changed one at once."""
    track = intervals("last", 10, heartbeat=30)
    track.observe(0, 1.0)
    for seconds in range(10, 75, 10):
        track.advance(seconds)
    assert track.made == [(10, 1.0), (40, 1.0), (70, 1.0)]
    track.observe(71, 2.0)
    assert track.advance(80, 90, 100, 110)[3:] == [(80, 2.0), (110, 2.0)]


def test_intervals_with_the_clock_set_back() -> None:
    """The interval under way is given up; from then on the new time counts."""
    track = intervals("last", 60, heartbeat=600)
    track.observe(3600, 1.0)
    assert track.advance(3660) == [(3660, 1.0)]
    track.advance(30)
    assert track.advance(60, 120)[1:] == [(60, 1.0)]


def test_mean_with_the_clock_set_back() -> None:
    """Time that is gone through twice does not weigh twice."""
    track = intervals("mean")
    track.observe(3600, 10.0)
    track.advance(3630)
    track.advance(30)
    track.observe(45, 40.0)
    assert track.advance(60) == [(0, (10 * 15 + 40 * 15) / 30)]


def test_sleeping_machine() -> None:
    """Nobody knows what held while the machine slept."""
    track = intervals("last")
    track.observe(0, 1.0)
    assert track.advance(60) == [(60, 1.0)]
    assert track.advance(60 + 3600) == [(60, 1.0)]
    assert track.advance(60 + 3660) == [(60, 1.0), (3720, 1.0)]
    mean = intervals("mean")
    mean.observe(0, 1.0)
    mean.advance(3630)
    mean.observe(3640, 4.0)
    assert mean.advance(3660) == [(3600, (1 * 10 + 4 * 20) / 30)]


def test_catch_up() -> None:
    """Whole intervals since the value's last change are made up for."""
    last = intervals("last")
    last.tracker.catch_up(at(30), 5.0, at(200))
    assert last.advance(200) == [(60, 5.0), (120, 5.0), (180, 5.0)]
    mean = intervals("mean")
    mean.tracker.catch_up(at(30), 5.0, at(200))
    # The first one began with another value, which may be part of what was sent already
    assert mean.advance(200) == [(60, 5.0), (120, 5.0)]
    current = intervals("mean")
    current.tracker.catch_up(at(30), 5.0, at(40))
    assert current.advance(60) == [(0, 5.0)]
    change = changes()
    change.tracker.catch_up(at(30), 5.0, at(200))
    assert change.made == [(30, 5.0)]


def test_catch_up_lives_no_time_twice() -> None:
    """An entity that comes back with an old state has had its samples."""
    track = intervals("last")
    track.observe(0, 1.0)
    track.advance(150)
    track.observe(150, None)
    track.tracker.catch_up(at(10), 1.0, at(170))
    assert track.advance(180) == [(60, 1.0), (120, 1.0), (180, 1.0)]


@pytest.mark.parametrize("aggregate", ["mean", "min", "max"])
def test_huge_values(aggregate: str) -> None:
    """What overflows is left out, and never infinite or not a number."""
    track = intervals(aggregate)
    track.observe(0, 1.7e308)
    track.observe(20, -1.7e308)
    track.observe(40, 1.7e308)
    track.advance(60)
    assert all(math.isfinite(float(value)) for _, value in track.made)
    track.observe(61, 5.0)
    assert track.advance(120, 180)[-1] == (120, 5.0)


type Events = list[tuple[int, FieldValue | None]]

_values = (
    st.none()
    | st.floats(-1e6, 1e6, allow_nan=False)
    | st.booleans()
    | st.sampled_from(["a", "b"])
)
_events = st.lists(st.tuples(st.integers(1, 40_000), _values), max_size=25)


def _replay(
    when: SamplingPolicy, events: Events, timers: Sequence[int]
) -> list[tuple[Any, FieldValue]]:
    """Return the samples of events that are milliseconds apart, with timers at these milliseconds."""
    tracker = make_tracker(when, FieldKind.NUMBER)
    pending = sorted(timers, reverse=True)
    now = 0
    for distance, value in events:
        now += distance
        while pending and pending[-1] <= now:
            tracker.advance(at(pending.pop() / 1000))
        tracker.observe(at(now / 1000), value)
    # Long enough for everything that waits
    for second in range(now // 1000 + 1, now // 1000 + 242, 30):
        tracker.advance(at(second))
    return [*tracker.made]


@settings(max_examples=300, deadline=None)
@given(
    events=_events,
    timers=st.lists(st.integers(0, 800_000), max_size=40),
    aggregate=st.sampled_from(Aggregate),
    interval=st.sampled_from([1, 7, 60]),
    heartbeat=st.sampled_from([0, 30, 120]),
)
def test_late_timers_change_nothing(
    events: Events,
    timers: list[int],
    aggregate: Aggregate,
    interval: int,
    heartbeat: int,
) -> None:
    """Samples of intervals depend on the values and their times alone, to the last bit."""
    when = SamplingPolicy(
        Mode.INTERVAL,
        interval=timedelta(seconds=interval),
        aggregate=aggregate,
        heartbeat=timedelta(seconds=heartbeat),
    )
    end = sum(distance for distance, _ in events)
    begin = events[0][0] if events else 0
    timers = [timer for timer in timers if begin < timer <= end]
    on_time = _replay(when, events, range(begin, end, 250))
    assert _replay(when, events, timers) == on_time


@settings(max_examples=300, deadline=None)
@given(
    events=_events,
    timers=st.lists(st.integers(0, 800_000), max_size=40),
    shortest=st.sampled_from([0, 1, 10]),
)
def test_late_timers_lose_no_change(
    events: Events, timers: list[int], shortest: int
) -> None:
    """The same holds for changes, and their samples keep their times."""
    when = SamplingPolicy(Mode.CHANGE, shortest=timedelta(seconds=shortest))
    end = sum(distance for distance, _ in events)
    on_time = _replay(when, events, range(0, end, 250))
    assert _replay(when, events, timers) == on_time
    now, observed = 0, set()
    for distance, value in events:
        now += distance
        observed.add((at(now / 1000), value))
    assert set(on_time) <= observed
    if events and events[-1][1] is not None:
        assert on_time[-1] == (at(now / 1000), events[-1][1])


@settings(max_examples=200, deadline=None)
@given(values=st.lists(st.floats(-1e300, 1e300), min_size=1, max_size=20))
def test_a_mean_lies_between_its_values(values: list[float]) -> None:
    """However sums are rounded; the mean of one value is that value."""
    track = intervals("mean")
    for number, value in enumerate(values):
        track.observe(number * 2.7, value)
    (mean,) = [float(value) for _, value in track.advance(60)[:1]]
    assert min(values) <= mean <= max(values)


@pytest.mark.parametrize("aggregate", list(Aggregate))
def test_a_counter_has_a_last_value_only(aggregate: str) -> None:
    """A mean of what a meter has counted means nothing."""
    track = Track(Mode.INTERVAL, aggregate, {"interval": 60}, kind=FieldKind.COUNTER)
    track.observe(0, 100.0)
    track.observe(30, 200.0)
    assert track.advance(60) == [(60, 200.0)]
