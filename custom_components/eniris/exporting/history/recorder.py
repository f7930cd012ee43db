"""What the recorder has of an export's entities, as its samples: states, before them statistics, the finest first."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from heapq import merge
from itertools import chain
import math
from operator import attrgetter, itemgetter
import threading
from typing import Any, Final, Literal

from homeassistant import const
from homeassistant.components.recorder import history, statistics
from homeassistant.core import HomeAssistant, State, callback
from homeassistant.helpers import entity_registry as er
from homeassistant.util import dt as dt_util
from homeassistant.util.unit_conversion import BaseUnitConverter

from ...api import FieldValue
from .. import config
from ..config import EPOCH, Aggregate, Export, ExportedField, Mode, SamplingPolicy
from ..fields.kinds import FieldKind, decide_kind
from ..fields.units import convert_to_field, field_unit
from ..fields.values import sampled_part, to_value
from ..outbox.batches import Sample
from ..sampler import ExportedEntity
from ..trackers import make_tracker
from .coverage import PERIODS, RecorderCoverage

_WINDOW: Final = timedelta(hours=3)

_JUST_BEFORE: Final = timedelta(microseconds=1)
"""The recorder keeps times as floats, and asked for what is after a time it leaves that out."""

_LONGEST_LEAD: Final = timedelta(hours=1)

_STEP: Final = timedelta(minutes=10)
"""The longest time that passes at once; an interval's tracker takes more for a machine that slept."""

_COLUMNS: Final[dict[Aggregate, Literal["mean", "min", "max"]]] = {
    Aggregate.MIN: "min",
    Aggregate.MAX: "max",
}

_NOTHING: Final = ("", const.STATE_UNKNOWN, const.STATE_UNAVAILABLE)
"""States that are no values; the recorder notes an empty one when an entity goes."""

_NO_NUMBERS: Final = (FieldKind.BOOLEAN, FieldKind.TEXT)

type _Samples = Iterator[tuple[datetime, FieldValue]]
type _Observed = Iterator[tuple[datetime, FieldValue | None]]
type _Noted = Iterator[tuple[datetime, State | None]]


class StoppedError(Exception):
    """The reading was stopped."""


@dataclass(frozen=True, slots=True)
class RecordedEntity:
    """A field with the entity that it is made of; two are equal where that was not renamed, nor set up anew, in between."""

    entity_id: str
    entry: er.RegistryEntry | None
    exported: ExportedField
    kind: FieldKind | None = field(compare=False)
    state: State | None = field(compare=False)


@callback
def async_recorded_entities(
    hass: HomeAssistant, entities: Iterable[ExportedEntity]
) -> list[RecordedEntity]:
    """Return the fields of an export whose entities are there, under the ids that these have now."""
    registry = er.async_get(hass)
    found = []
    for entity in entities:
        if (id_ := config.async_entity_id(hass, entity.reference)) is not None:
            its, state = entity.exported, hass.states.get(id_)
            kind = entity.kind or decide_kind(state, its.field, its.attribute)
            found.append(RecordedEntity(id_, registry.async_get(id_), its, kind, state))
    return found


@dataclass(frozen=True, slots=True)
class Chunk:
    """What the recorder has of the time from `since` on, the newest first."""

    since: datetime
    samples: Sequence[Sample]
    unusable: int
    """States that mean nothing under the field's name."""


@dataclass(slots=True, eq=False)
class Reader:
    """Reads what the recorder has of an export in some time. Blocks, in a thread of the recorder."""

    hass: HomeAssistant
    export: Export
    entities: Sequence[RecordedEntity]
    coverage: RecorderCoverage
    since: datetime
    until: datetime
    stopped: threading.Event
    _unusable: int = 0

    def read(self, at_most: int | None) -> Chunk | None:
        """Return what is there, None where that is more than `at_most` samples; raises `StoppedError`."""
        export, samples = self.export, list[Sample]()
        for entity in self.entities:
            name = entity.exported.field
            for time, value in chain(
                self._from_statistics(entity), self._from_states(entity)
            ):
                samples.append(Sample(export.id, export.series, time, name, value))
                if at_most is not None and len(samples) > at_most:
                    return None
        samples.sort(key=attrgetter("time"), reverse=True)
        return Chunk(self.since, samples, self._unusable)

    def _from_states(self, entity: RecordedEntity) -> _Samples:
        begin = self.coverage.entities[entity.entity_id].states
        if begin is None or begin >= self.until:
            return
        # Read beyond both ends, so that a chunk's border is none of the samples'
        policy = self.export.policy
        is_change = policy.mode is Mode.CHANGE
        tail = min(policy.shortest, _LONGEST_LEAD) if is_change else timedelta()
        end = self.until + tail
        first = max(self.since, begin)
        first -= max(tail, min(policy.heartbeat, _LONGEST_LEAD))
        outages = (
            (max(down, first), None)
            for down, up in self.coverage.outages
            if up > first and down < self.until
        )
        states = self._states(entity.entity_id, first, end)
        its, kind = entity.exported, entity.kind
        for state in states:
            kind = kind or decide_kind(state, its.field, its.attribute)
            if kind is not None:
                found = ((each.last_updated, each) for each in chain([state], states))
                # A state may be the last thing that was written before, so it comes first
                noted = merge(found, outages, key=itemgetter(0))
                values = self._values(its, kind, noted)
                yield from replay(policy, kind, values, self.since, self.until, end)

    def _values(self, its: ExportedField, kind: FieldKind, noted: _Noted) -> _Observed:
        """Yield what a field has shown from when on; None while nobody looked."""
        seen: Any = None
        for time, state in noted:
            if state is None:
                # Who looks again takes what there is
                seen = None
                yield time, None
                continue
            part = sampled_part(state, its.attribute)
            if part != seen:
                seen = part
                value = to_value(state, its.field, its.attribute, kind)
                if value is None and state.state not in _NOTHING:
                    self._unusable += self.since <= time < self.until
                yield time, value

    def _states(
        self, entity_id: str, since: datetime, until: datetime
    ) -> Iterator[State]:
        """Yield the states of an entity in their order, first that which it had before."""
        position = since - _JUST_BEFORE
        while position < until:
            if self.stopped.is_set():
                raise StoppedError
            end = min(position + _WINDOW, until)
            # Also those of which nothing but attributes changed
            states: list[Any] = history.get_significant_states(
                self.hass,
                position,
                end,
                [entity_id],
                include_start_time_state=position < since,
                significant_changes_only=False,
            ).get(entity_id, [])
            yield from states
            position = end if end == until else end - _JUST_BEFORE

    def _from_statistics(self, entity: RecordedEntity) -> _Samples:
        """Yield what statistics tell of the time before there are states."""
        its, policy = entity.exported, self.export.policy
        if its.attribute is not None or entity.kind in _NO_NUMBERS:
            return
        coverage = self.coverage.entities[entity.entity_id]
        aggregate = policy.aggregate if policy.mode is Mode.INTERVAL else Aggregate.LAST
        column = "state" if coverage.is_meter else _COLUMNS.get(aggregate, "mean")
        # As they are kept, and not as the entity shows them at present
        units: Any = {c.UNIT_CLASS: coverage.unit for c in _converters(coverage.unit)}
        for period, table in PERIODS.items():
            border = min(self.until, coverage.borders.get(period, self.since))
            if border <= self.since:
                continue
            begin, ids = self.since - table.duration, {entity.entity_id}
            for row in statistics.statistics_during_period(
                self.hass, begin, border, ids, period, units, {column}
            ).get(entity.entity_id, []):
                start, end = map(dt_util.utc_from_timestamp, (row["start"], row["end"]))
                time = end if coverage.is_meter else start
                value = row.get(column)
                is_ours = self.since <= time < border
                if value is None or not is_ours or self.coverage.was_off(start, end):
                    continue
                value = _to_field(value, coverage.unit, its.field, entity.state)
                if value is not None and math.isfinite(value):
                    yield time, float(value)


def replay(
    policy: SamplingPolicy,
    kind: FieldKind,
    observed: _Observed,
    since: datetime,
    until: datetime,
    end: datetime,
) -> _Samples:
    """Drive a tracker through the past with values observed up to `end`; yield its samples from `since` up to `until`."""
    tracker = make_tracker(policy, kind)
    is_change = policy.mode is Mode.CHANGE
    distance = policy.heartbeat if is_change else policy.interval
    # A sample may be due at distances from `origin`: from the last one, or as the clock has them
    origin = None if is_change else EPOCH
    now: datetime | None = None
    for time, value in chain(observed, [(end, None)]):
        while True:
            due = time
            if now is not None and origin is not None and distance:
                due = origin + ((now - origin) // distance + 1) * distance
                due = due if is_change else min(due, now + _STEP)
            now = min(due, time)
            if due < time:
                tracker.advance(now)
            else:
                tracker.observe(time, value)
                if time == end:
                    tracker.finish()
            if tracker.made and is_change:
                origin = now
            for sample in tracker.made:
                # The sample of an interval belongs to the chunk that the interval ends in
                is_ours = sample[0] < until if is_change else since < now <= until
                if is_ours and since <= sample[0]:
                    yield sample
            tracker.made.clear()
            if due >= time:
                break


def _converters(unit: str | None) -> list[type[BaseUnitConverter]]:
    return [c for c in BaseUnitConverter.__subclasses__() if unit in c.VALID_UNITS]


def _to_field(
    value: float, unit: str | None, name: str, state: State | None
) -> float | None:
    """Return a value of statistics as that of a field, which without a unit has the entity's own; None where there is no way."""
    attributes = {} if state is None else state.attributes
    if field_unit(name) is None:
        own = attributes.get(const.ATTR_UNIT_OF_MEASUREMENT, unit)
        for converter in _converters(unit):
            if own in converter.VALID_UNITS:
                return converter.convert(value, unit, own)
    return convert_to_field(value, name, unit, attributes.get(const.ATTR_DEVICE_CLASS))
