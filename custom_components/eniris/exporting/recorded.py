"""What the recorder still has of the entities of an export, as the samples that an export makes.

States as long as they are kept, before them statistics of 5 minutes, before these of an hour.
Each of the three is used for the times before the oldest value of the finer one, so that no value
comes from two of them. Everything here blocks and runs in a thread of the recorder.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
import math
import threading
from typing import Any, Final, Literal

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from homeassistant.components.recorder import history, statistics
from homeassistant.components.recorder.db_schema import (
    RecorderRuns,
    States,
    StatesMeta,
    Statistics,
    StatisticsShortTerm,
)
from homeassistant.components.recorder.models import StatisticMeanType
from homeassistant.const import (
    ATTR_UNIT_OF_MEASUREMENT,
    STATE_UNAVAILABLE,
    STATE_UNKNOWN,
)
from homeassistant.core import HomeAssistant, State, callback, split_entity_id
from homeassistant.helpers.recorder import session_scope
from homeassistant.util import dt as dt_util
from homeassistant.util.unit_conversion import BaseUnitConverter

from ..api import FieldValue
from .config import Aggregate, Export, ExportedField, Mode, When, async_entity_id
from .outbox import Sample
from .trackers import Tracker, make_tracker
from .values import ON_OFF_DOMAINS, field_unit, state_gist, to_value

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

_STATES_AT_ONCE: Final = 500
_ATTRIBUTES_AT_ONCE: Final = timedelta(hours=1)
_STEP: Final = timedelta(minutes=10)
"""So far at once time passes for a tracker; more is taken for a hold-up."""

_JUST_BEFORE: Final = timedelta(milliseconds=1)
"""The recorder keeps times as floats, and asked for what is after a time it leaves that out."""

_LONGEST_LEAD: Final = timedelta(hours=1)

_COLUMNS: Final[dict[Aggregate, Literal["mean", "min", "max"]]] = {
    Aggregate.MIN: "min",
    Aggregate.MAX: "max",
}
"""What stands for an interval of which not the mean is sent."""

_PERIODS: Final[tuple[tuple[Literal["5minute", "hour"], timedelta], ...]] = (
    ("5minute", timedelta(minutes=5)),
    ("hour", timedelta(hours=1)),
)

_NOTHING: Final = ("", STATE_UNKNOWN, STATE_UNAVAILABLE)
"""States that are no values; the recorder notes an empty one when an entity goes."""


class StoppedError(Exception):
    """The reading was stopped."""


class TooMuchError(Exception):
    """There is more in the time asked for than is read at once."""


@dataclass(frozen=True, slots=True)
class Followed:
    """A field of an export with the entity that it is made of, and that one's present unit."""

    entity_id: str
    exported: ExportedField
    unit: str | None


@callback
def async_followed(hass: HomeAssistant, export: Export) -> list[Followed]:
    """Return the fields of an export whose entities are there."""
    found = []
    for exported in export.fields:
        if (entity_id := async_entity_id(hass, exported.entity)) is not None:
            state = hass.states.get(entity_id)
            unit = None
            if state is not None:
                unit = state.attributes.get(ATTR_UNIT_OF_MEASUREMENT)
            found.append(Followed(entity_id, exported, unit))
    return found


@dataclass(slots=True)
class Kept:
    """From when on the recorder has what of an entity; None where it has nothing."""

    states: datetime | None = None
    statistics: list[datetime | None] = field(default_factory=lambda: [None, None])
    """The starts of the oldest of 5 minutes and of an hour."""
    unit: str | None = None
    """The unit of the statistics."""
    is_meter: bool = False
    """Whether the statistics have no mean, but the state at the end of the interval."""

    def oldest(self) -> datetime | None:
        """Return from when on there is anything."""
        return min(
            (time for time in (self.states, *self.statistics) if time is not None),
            default=None,
        )


@dataclass(frozen=True, slots=True)
class Inventory:
    """What the recorder has, by entity, and when Home Assistant was off."""

    kept: dict[str, Kept]
    outages: Sequence[tuple[datetime, datetime]]

    def oldest(self) -> datetime | None:
        """Return from when on there is anything."""
        times = (kept.oldest() for kept in self.kept.values())
        return min((time for time in times if time is not None), default=None)


def take_inventory(hass: HomeAssistant, entity_ids: Iterable[str]) -> Inventory:
    """Return what the recorder has of entities."""
    kept = {entity_id: Kept() for entity_id in entity_ids}
    metadata = statistics.get_metadata(hass, statistic_ids=set(kept))
    with session_scope(hass=hass, read_only=True) as session:
        for entity_id, its in kept.items():
            key = session.execute(
                select(StatesMeta.metadata_id).where(StatesMeta.entity_id == entity_id)
            ).scalar()
            its.states = _oldest(session, States.last_updated_ts, States, key)
            if entity_id in metadata:
                key, its_metadata = metadata[entity_id]
                its.statistics = [
                    _oldest(session, table.start_ts, table, key)
                    for table in (StatisticsShortTerm, Statistics)
                ]
                its.unit = its_metadata["unit_of_measurement"]
                its.is_meter = its_metadata["mean_type"] == StatisticMeanType.NONE
        runs = session.execute(
            select(RecorderRuns.start, RecorderRuns.end).order_by(RecorderRuns.start)
        ).all()
    return Inventory(
        kept,
        [
            (_aware(before.end), _aware(after.start))
            for before, after in pairwise(runs)
            if before.end is not None and before.end < after.start
        ],
    )


def _oldest(
    session: Session, column: Any, table: Any, metadata_id: int | None
) -> datetime | None:
    """Return the first time of a state or statistic, by way of the index of both."""
    oldest = session.execute(
        select(func.min(column)).where(table.metadata_id == metadata_id)
    ).scalar()
    return None if oldest is None else dt_util.utc_from_timestamp(oldest)


def _aware(time: datetime) -> datetime:
    return time if time.tzinfo is not None else time.replace(tzinfo=UTC)


def chunk_start(when: When, end: datetime, length: timedelta) -> datetime:
    """Return where a chunk of about a length begins: with an interval where those are sent."""
    start = max(end - _EPOCH - length, timedelta())
    if when.mode is Mode.INTERVAL:
        start = start // when.interval * when.interval
    return _EPOCH + start


@dataclass(slots=True)
class Chunk:
    """What the recorder has of some time, the newest first."""

    since: datetime
    samples: list[Sample] = field(default_factory=list)
    refused: int = 0
    """Values that were left out since the service refuses their type."""
    unusable: int = 0


type Refused = Callable[[str, FieldValue], bool]
"""Tells of a field and a value whether it is known to be refused."""


class Reader:
    """Reads what the recorder has of an export."""

    def __init__(
        self,
        hass: HomeAssistant,
        export: Export,
        followed: Sequence[Followed],
        inventory: Inventory,
        start: datetime,
        stopped: threading.Event,
    ) -> None:
        """Read of `followed` what is in `inventory` from `start` on, until `stopped`."""
        self._hass = hass
        self._start = start
        self._export = export
        self._followed = followed
        self._inventory = inventory
        self._stopped = stopped
        when = export.when
        is_change = when.mode is Mode.CHANGE
        # Read beyond both ends, so that a chunk's border is none of the samples'
        self._lead = min(
            max(when.shortest if is_change else timedelta(), when.heartbeat),
            _LONGEST_LEAD,
        )
        self._tail = min(when.shortest, _LONGEST_LEAD) if is_change else timedelta()

    def read(
        self, since: datetime, until: datetime, at_most: int | None, refused: Refused
    ) -> Chunk:
        """Return what is there from `since` up to `until`.

        Raises `TooMuchError` where that is more than `at_most` samples, and `StoppedError`.
        """
        chunk = Chunk(since)

        def keep(time: datetime, name: str, value: FieldValue) -> None:
            if time < self._start:
                return
            if refused(name, value):
                chunk.refused += 1
                return
            chunk.samples.append(
                Sample(self._export.id, self._export.series, time, name, value)
            )
            if at_most is not None and len(chunk.samples) > at_most:
                raise TooMuchError

        for followed in self._followed:
            kept = self._inventory.kept[followed.entity_id]
            if kept.states is not None and kept.states < until:
                chunk.unusable += self._read_states(
                    followed, max(since, kept.states), since, until, keep
                )
        self._read_statistics(since, until, keep)
        chunk.samples.sort(key=lambda sample: sample.time, reverse=True)
        return chunk

    def _read_states(
        self,
        followed: Followed,
        first: datetime,
        since: datetime,
        until: datetime,
        keep: Callable[[datetime, str, FieldValue], None],
    ) -> int:
        """Replay the states of an entity; return how many of them meant nothing."""
        exported = followed.exported
        replay = Replay(
            self._export.when,
            since,
            until,
            lambda time, value: keep(time, exported.field, value),
        )
        unusable = 0
        first -= self._lead
        outages = iter(
            [
                max(down, first)
                for down, up in self._inventory.outages
                if up > first and down < until
            ]
        )
        outage = next(outages, None)
        seen: Any = None
        for state in self._states(followed, first, until + self._tail):
            time = state.last_updated
            while outage is not None and outage <= time:
                # Nobody looked meanwhile, and who looks again takes what there is
                replay.observe(outage, None)
                seen = None
                outage = next(outages, None)
            gist = state_gist(state, exported.attribute)
            if gist == seen:
                continue
            seen = gist
            value = to_value(state, exported.field, exported.attribute)
            if value is None and state.state not in _NOTHING and since <= time < until:
                unusable += 1
            replay.observe(time, value)
        if outage is not None:
            replay.observe(outage, None)
        replay.finish(until + self._tail)
        return unusable

    def _states(
        self, followed: Followed, since: datetime, until: datetime
    ) -> Iterator[State]:
        """Return the states of an entity in their order, first that which it had before."""
        entity_id, attribute = followed.entity_id, followed.exported.attribute
        no_attributes = (
            attribute is None and split_entity_id(entity_id)[0] in ON_OFF_DOMAINS
        )
        position, is_first = since - _JUST_BEFORE, True
        while position < until:
            if self._stopped.is_set():
                raise StoppedError
            if attribute is None:
                states = history.state_changes_during_period(
                    self._hass,
                    position,
                    until,
                    entity_id,
                    no_attributes=no_attributes,
                    limit=_STATES_AT_ONCE,
                    include_start_time_state=is_first,
                ).get(entity_id, [])
                states.sort(key=lambda state: state.last_updated)
                ended = len(states) < _STATES_AT_ONCE
                position = states[-1].last_updated if states else until
            else:
                end = min(position + _ATTRIBUTES_AT_ONCE, until)
                states = self._all_states(entity_id, position, end, is_first)
                ended = end == until
                position = end - timedelta(microseconds=1)
            yield from states
            if ended:
                return
            is_first = False

    def _all_states(
        self, entity_id: str, since: datetime, until: datetime, with_first: bool
    ) -> list[State]:
        """Return the states of an entity, also those of which nothing but attributes changed."""
        states = history.get_significant_states(
            self._hass,
            since,
            until,
            [entity_id],
            include_start_time_state=with_first,
            significant_changes_only=False,
        ).get(entity_id, [])
        return [state for state in states if isinstance(state, State)]

    def _read_statistics(
        self,
        since: datetime,
        until: datetime,
        keep: Callable[[datetime, str, FieldValue], None],
    ) -> None:
        by_entity: defaultdict[str, list[Followed]] = defaultdict(list)
        for followed in self._followed:
            if followed.exported.attribute is None:
                by_entity[followed.entity_id].append(followed)
        when = self._export.when
        aggregate = when.aggregate if when.mode is Mode.INTERVAL else Aggregate.LAST
        column = _COLUMNS.get(aggregate, "mean")
        for index, (period, length) in enumerate(_PERIODS):
            borders = {
                entity_id: border
                for entity_id in by_entity
                if (border := self._border(entity_id, index)) is not None
                and border > since
            }
            by_unit: defaultdict[str | None, set[str]] = defaultdict(set)
            for entity_id in borders:
                by_unit[self._inventory.kept[entity_id].unit].add(entity_id)
            for unit, entity_ids in by_unit.items():
                if self._stopped.is_set():
                    raise StoppedError
                rows = statistics.statistics_during_period(
                    self._hass,
                    since - length,
                    until,
                    entity_ids,
                    period,
                    _unconverted(unit),
                    {column, "state"},
                )
                for entity_id in entity_ids:
                    is_meter = self._inventory.kept[entity_id].is_meter
                    end = min(until, borders[entity_id])
                    for row in rows.get(entity_id, []):
                        number = row.get("state" if is_meter else column)
                        time = dt_util.utc_from_timestamp(
                            row["end" if is_meter else "start"]
                        )
                        if number is None or not since <= time < end:
                            continue
                        for followed in by_entity[entity_id]:
                            value = _statistic_value(number, unit, followed)
                            if value is not None:
                                keep(time, followed.exported.field, value)

    def _border(self, entity_id: str, index: int) -> datetime | None:
        """Return up to when statistics are of use: to the oldest value of what is finer.

        None where there are none.
        """
        kept = self._inventory.kept[entity_id]
        if kept.statistics[index] is None:
            return None
        finer = [kept.states]
        if index and kept.statistics[0] is not None:
            finer.append(
                kept.statistics[0] + (_PERIODS[0][1] if kept.is_meter else timedelta())
            )
        return min(
            (time for time in finer if time is not None),
            default=datetime.max.replace(tzinfo=UTC),
        )


class Replay:
    """Drives a tracker through the past, and keeps what it makes of one chunk."""

    def __init__(
        self,
        when: When,
        since: datetime,
        until: datetime,
        keep: Callable[[datetime, FieldValue], None],
    ) -> None:
        """Keep what belongs to the time from `since` up to `until`."""
        self._when = when
        self._since = since
        self._until = until
        self._keep = keep
        self._is_change = when.mode is Mode.CHANGE
        self._tracker: Tracker = make_tracker(when, self._emit)
        self._now: datetime | None = None
        self._emitted: datetime | None = None

    def _emit(self, time: datetime, value: FieldValue) -> None:
        self._emitted = self._now
        if self._is_change:
            wanted = self._since <= time < self._until
        else:
            # What an interval gives belongs to the chunk that the interval lies in
            wanted = self._now is not None and self._since < self._now <= self._until
        if wanted:
            self._keep(time, value)

    def observe(self, time: datetime, value: FieldValue | None) -> None:
        """Let a value hold from `time` on."""
        self._pass(time)
        self._now = time
        self._tracker.observe(time, value)

    def finish(self, time: datetime) -> None:
        """Let time pass up to the end."""
        self._pass(time)
        self._tracker.finish()

    def _pass(self, until: datetime) -> None:
        """Let time pass, stopping wherever a sample may be due."""
        if self._is_change:
            self._pass_heartbeats(until)
        elif self._now is not None:
            while (due := self._next_due(self._now)) < until:
                self._now = due
                self._tracker.advance(due)
        self._now = until
        self._tracker.advance(until)

    def _next_due(self, now: datetime) -> datetime:
        """Return the end of the interval, or a time before it that is not too far for the tracker."""
        interval = self._when.interval
        return min(_EPOCH + ((now - _EPOCH) // interval + 1) * interval, now + _STEP)

    def _pass_heartbeats(self, until: datetime) -> None:
        heartbeat = self._when.heartbeat
        if not heartbeat or self._emitted is None:
            return
        due = self._emitted + heartbeat
        while due < until:
            self._now = due
            self._tracker.advance(due)
            due += heartbeat


def _unconverted(unit: str | None) -> dict[str, str]:
    """Return what to ask for so that statistics come in the unit in which they are kept."""
    if unit is None:
        return {}
    return {
        converter.UNIT_CLASS: unit
        for converter in _CONVERTERS
        if unit in converter.VALID_UNITS
    }


def _statistic_value(
    number: float, unit: str | None, followed: Followed
) -> float | None:
    """Return a statistic in the unit of a field, None where there is no way to it.

    A field without a unit has the entity's own, as its states have.
    """
    target = field_unit(followed.exported.field)
    if target is not None:
        converted = target.convert(number, unit)
    elif unit == followed.unit or followed.unit is None:
        converted = number
    else:
        converted = next(
            (
                converter.convert(number, unit, followed.unit)
                for converter in _CONVERTERS
                if {unit, followed.unit} <= converter.VALID_UNITS
            ),
            number,
        )
    if converted is None or not math.isfinite(converted):
        return None
    return float(converted)


_CONVERTERS: Final = BaseUnitConverter.__subclasses__()
