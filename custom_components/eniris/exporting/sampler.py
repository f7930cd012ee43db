"""The sampler: state changes of the exported entities become samples.

On the event loop it only notes what happens, as data. Once a second a worker thread turns the notes into samples, in
their order (`take_samples`). Trackers go by the times that they are told, so it makes no difference to them when that is.
"""

import asyncio
from collections import defaultdict, deque
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
import logging
from time import monotonic, time as wall_clock
from typing import Final, NamedTuple

from homeassistant.core import (
    CALLBACK_TYPE,
    Event,
    EventStateChangedData,
    HomeAssistant,
    State,
    callback,
)
from homeassistant.helpers import entity_registry as er
from homeassistant.helpers.event import (
    async_track_state_change_event,
    async_track_time_interval,
)
from homeassistant.util import dt as dt_util

from ..api import FieldValue, WriteTarget
from ..const import CONF_ENTITY, CONF_FIELD, CONF_KIND
from .config import Export, ExportedField, Mode, async_entity_id
from .fields.kinds import FieldKind, decide_kind, is_counter
from .fields.values import is_changed, to_value
from .issues import ATTR_EXPORT_ID, Issues
from .outbox.batches import Block, BlockBuilder
from .outbox.outbox import Outbox
from .trackers import Tracker, make_tracker

_LOGGER = logging.getLogger(__name__)

INTERVAL: Final = timedelta(seconds=1)
"""Between two times at which samples are made of what was noted."""

_CLOCK_SET: Final = 1.0
"""Seconds by which the clock has to jump until it counts as set; a machine that slept is like one whose clock was set."""

_LONG_AGO: Final = timedelta(hours=1)
"""After which a state that has held since is sent with the present time: its own may be older than Eniris takes."""


@dataclass(slots=True, eq=False)
class ExportedEntity:
    """A field of an export with what follows its entity."""

    export: Export
    exported: ExportedField
    reference: str
    """A registry id or, for an entity without one, an entity id."""
    kind: FieldKind | None
    enabled: bool = True
    """Whether the values of its export are collected; time stands still for it else."""
    tracker: Tracker | None = None
    """The worker thread's."""

    def value(self, state: State | None) -> FieldValue | None:
        """Return what a state means under the field's name."""
        name, attribute = self.exported.field, self.exported.attribute
        if self.kind is None:
            self.kind = decide_kind(state, name, attribute)
        if self.kind is None:
            return None
        if self.kind is FieldKind.NUMBER and attribute is None and is_counter(state):
            # Its state class came later
            self.kind = FieldKind.COUNTER
            if self.tracker is not None:
                self.tracker.become_counter()
        if self.tracker is None:
            self.tracker = make_tracker(self.export.policy, self.kind)
        return to_value(state, name, attribute, self.kind)

    @property
    def decided(self) -> dict[str, str]:
        """What was decided of the field since the start, as an export stores it."""
        kind = {} if self.kind is None else {CONF_KIND: self.kind.value}
        return {CONF_ENTITY: self.reference, **kind}


# What the event loop notes. A change of a state, by far the most frequent, is a bare tuple:
# the entity's fields, the event, the wall clock and the monotonic time.
type _Change = tuple[list[ExportedEntity], Event[EventStateChangedData], float, float]


class _Found(NamedTuple):
    """An entity has a state that nobody has seen begin, which counts since a time."""

    entity: ExportedEntity
    state: State
    since: datetime


@dataclass(frozen=True, slots=True)
class _Note:
    """Entities are followed from `now` on, or no more; where there are none, time has passed."""

    now: datetime
    at: float
    """The monotonic time."""
    found: Sequence[_Found] = ()
    lost: Collection[ExportedEntity] = ()
    """Their last values must not be repeated for ever."""


@dataclass(slots=True)
class SamplerClock:
    """Notices for the worker thread that the clock was set between two notes."""

    timed: list[ExportedEntity]
    """Those whose trackers have to know."""
    ahead: float | None = None
    """Seconds of the wall clock ahead of the monotonic one, when it was looked at last."""

    def look(self, wall: float, at: float) -> None:
        """Compare the wall clock with the monotonic time."""
        ahead = wall - at
        if self.ahead is not None and abs(ahead - self.ahead) > _CLOCK_SET:
            now = dt_util.utc_from_timestamp(wall)
            for entity in self.timed:
                if entity.tracker:
                    entity.tracker.clock_set(now)
        self.ahead = ahead


def take_samples(clock: SamplerClock, notes: Iterable[_Change | _Note]) -> list[Block]:
    """Carry out notes in their order, and return the samples that come of it. Runs in a worker thread."""
    blocks = BlockBuilder()
    for note in notes:
        try:
            touched = _carry_out(clock, note)
        except Exception:
            # As Home Assistant does with listeners: one that no type of error was foreseen for costs none of the others
            _LOGGER.exception("A value could not be taken")
            continue
        for entity in touched:
            tracker = entity.tracker
            if tracker is None or not tracker.made:
                continue
            export, name = entity.export, entity.exported.field
            for time, value in tracker.made:
                blocks.add(export.id, export.series, time, name, value)
            tracker.made.clear()
    return blocks.take()


def _carry_out(clock: SamplerClock, note: _Change | _Note) -> Iterable[ExportedEntity]:
    """Carry out one note; return the entities whose trackers may have made samples."""
    if isinstance(note, _Note):
        return _carry_out_rare(clock, note)
    entities, event, wall, at = note
    # Not the event's time, which an integration may set to the past
    clock.look(wall, at)
    new, old = event.data["new_state"], event.data["old_state"]
    time = event.time_fired if new is None else new.last_updated
    for entity in entities:
        # A change of something else is none of this field
        if is_changed(old, new, entity.exported.attribute):
            value = entity.value(new)
            if entity.tracker:
                entity.tracker.observe(time, value)
    return entities


def _carry_out_rare(clock: SamplerClock, note: _Note) -> Iterable[ExportedEntity]:
    now = note.now
    clock.look(now.timestamp(), note.at)
    for entity in note.lost:
        if entity.tracker:
            entity.tracker.observe(now, None)
            entity.tracker.finish()
    for entity, state, since in note.found:
        value = entity.value(state)
        if entity.tracker:
            entity.tracker.catch_up(since, value, now)
    if note.lost or note.found:
        return [*note.lost, *(its.entity for its in note.found)]
    for entity in clock.timed:
        if entity.enabled and entity.tracker:
            entity.tracker.advance(now)
    return clock.timed


def _is_change_before(entity: ExportedEntity, state: State, time: datetime) -> bool:
    """Tell whether a state makes a sample of its own that would be older than a time."""
    is_change = entity.export.policy.mode is Mode.CHANGE
    return is_change and state.last_updated < time


class Sampler:
    """Follows the entities of all exports."""

    def __init__(
        self,
        hass: HomeAssistant,
        exports: Iterable[Export],
        outbox: Outbox,
        issues: Issues,
    ) -> None:
        """Put what `exports` ask for into `outbox`."""
        self._hass = hass
        self._outbox = outbox
        self._issues = issues
        self._entities = [
            ExportedEntity(
                export, exported, exported.entity, exported.kind, export.enabled
            )
            for export in exports
            for exported in export.fields
        ]
        self._clock = SamplerClock(
            [its for its in self._entities if its.export.policy.is_timed]
        )
        self._followed: dict[ExportedEntity, str] = {}
        """The present ids of the entities of exports that are enabled, but for those that were deleted."""
        self._by_id: dict[str, list[ExportedEntity]] = {}
        self._ids: set[str | None] = set()
        """The present ids of all entities, None where one was deleted."""
        self._notes: deque[_Change | _Note] = deque()
        self._unsubscribe_states: CALLBACK_TYPE | None = None
        self._unsubscribe: list[CALLBACK_TYPE] = []
        self._taking = asyncio.Lock()

    @callback
    def async_start(self) -> None:
        """Follow the entities from now on, beginning with the states that they have."""
        self._async_follow()
        self._unsubscribe = [
            self._hass.bus.async_listen(
                er.EVENT_ENTITY_REGISTRY_UPDATED, self._async_registry_updated
            ),
            # Until the very end, so not cancelled when Home Assistant begins to stop
            async_track_time_interval(
                self._hass, self.async_take, INTERVAL, name="eniris samples"
            ),
        ]

    async def async_stop(self) -> None:
        """Follow nothing any more, and hand over what was noted."""
        await self.async_take()
        if self._unsubscribe_states is not None:
            self._unsubscribe_states()
        for unsubscribe in self._unsubscribe:
            unsubscribe()
        self._note(lost=self._entities)
        await self.async_take()

    async def async_take(self, _now: datetime | None = None) -> None:
        """Put the samples of what was noted so far into the outbox."""
        # A change of state is handed over in the loop's next round, in older versions of Home Assistant
        await asyncio.sleep(0)
        # One after the other: trackers are told of everything in its order
        async with self._taking:
            if self._clock.timed:
                self._note()
            if self._notes:
                notes, self._notes = self._notes, deque()
                self._outbox.add(
                    await self._hass.async_add_executor_job(
                        take_samples, self._clock, notes
                    )
                )

    def _note(
        self, found: Sequence[_Found] = (), lost: Collection[ExportedEntity] = ()
    ) -> None:
        self._notes.append(_Note(dt_util.utcnow(), monotonic(), found, lost))

    @property
    def adopted(self) -> dict[tuple[str, str, str], str]:
        """What exports stored for entities that were registered since, by export, field and registry id.

        Of one entity another export can have stored the registry id from the beginning.
        """
        return {
            (its.export.id, its.exported.field, its.reference): its.exported.entity
            for its in self._entities
            if its.reference != its.exported.entity
        }

    def entities_of(self, export_id: str) -> Sequence[ExportedEntity]:
        """Return the fields of an export with what is known of them by now: kind and reference."""
        return [entity for entity in self._entities if entity.export.id == export_id]

    @callback
    def async_enable(self, export_id: str, enabled: bool) -> None:
        """Collect the values of an export, beginning with those that hold now, or collect nothing of it."""
        for entity in self.entities_of(export_id):
            entity.enabled = enabled
        self._async_follow(from_now=True)

    @callback
    def async_send_present(self, target: WriteTarget, since: datetime) -> None:
        """Send again, with the present time, what has held since a time that may be too old for Eniris."""
        now = dt_util.utcnow()
        if found := [
            _Found(entity, state, now)
            for entity, entity_id in self._followed.items()
            if entity.export.series.target == target
            and (state := self._hass.states.get(entity_id)) is not None
            and _is_change_before(entity, state, since + timedelta.resolution)
        ]:
            self._note(found)

    @callback
    def _async_follow(self, *, from_now: bool = False) -> None:
        """Subscribe to the entity ids that the exports' references stand for at present.

        What is new counts `from_now` on, or since it holds.
        """
        now, registry = dt_util.utcnow(), er.async_get(self._hass)
        before, self._followed = self._followed, {}
        by_id: defaultdict[str, list[ExportedEntity]] = defaultdict(list)
        self._ids = set()
        gone: list[ExportedEntity] = []
        found: list[_Found] = []
        for entity in self._entities:
            entity_id = async_entity_id(self._hass, entity.reference)
            self._ids.add(entity_id)
            if entity_id is None:
                gone.append(entity)
                continue
            if (registered := registry.async_get(entity_id)) is not None:
                # From now on it is followed when it is renamed
                entity.reference = registered.id
            if not entity.enabled:
                continue
            self._followed[entity] = entity_id
            by_id[entity_id].append(entity)
            state = self._hass.states.get(entity_id)
            if state is not None and before.get(entity) != entity_id:
                # What changed while nobody listened is caught up; a state that was sampled
                # before keeps its time, and the service overwrites equal points
                is_old = from_now or _is_change_before(entity, state, now - _LONG_AGO)
                found.append(
                    _Found(entity, state, now if is_old else state.last_updated)
                )
        self._by_id = dict(by_id)
        # In this order, or a change of state that is yet to be handed over would find nobody
        unsubscribe = self._unsubscribe_states
        self._unsubscribe_states = async_track_state_change_event(
            self._hass, self._by_id, self._async_state_changed
        )
        if unsubscribe is not None:
            unsubscribe()
        lost = before.keys() - self._followed.keys()
        if found or lost:
            self._note(found, lost)
        self._report_gone(gone)

    def _report_gone(self, gone: Iterable[ExportedEntity]) -> None:
        """Tell which entities were deleted, and what they were called if that is known."""
        deleted = {
            entry.id: entry.entity_id
            for entry in er.async_get(self._hass).deleted_entities.values()
        }
        subjects = {
            its: {ATTR_EXPORT_ID: its.export.id, CONF_FIELD: its.exported.field}
            for its in gone
        }
        for its, subject in subjects.items():
            title, entity_id = its.export.title, deleted.get(its.reference, "–")
            self._issues.report("entity_gone", subject, export=title, entity=entity_id)
        self._issues.resolve_others("entity_gone", subjects.values())

    @callback
    def _async_registry_updated(
        self, event: Event[er.EventEntityRegistryUpdatedData]
    ) -> None:
        """Follow a renamed entity under its new name, one that came back, and one that was registered."""
        data = event.data
        is_update, is_new = data["action"] == "update", data["action"] == "create"
        entity_id = data.get("old_entity_id") if is_update else data["entity_id"]
        if entity_id in self._ids or (is_new and None in self._ids):
            self._async_follow()

    @callback
    def _async_state_changed(self, event: Event[EventStateChangedData]) -> None:
        entities = self._by_id.get(event.data["entity_id"])
        if entities is not None:
            self._notes.append((entities, event, wall_clock(), monotonic()))
