"""The sampler: state changes are noted on the event loop, and become samples in a worker thread once a second."""

import asyncio
from collections import defaultdict, deque
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
import logging
from time import monotonic, time as wall_clock
from typing import Any, Final

from homeassistant import core
from homeassistant.config_entries import ConfigEntry
from homeassistant.core import CALLBACK_TYPE, Event, HomeAssistant, State, callback
from homeassistant.helpers import entity_registry as er
from homeassistant.helpers.event import (
    async_track_state_change_event,
    async_track_time_interval,
)
from homeassistant.util import dt as dt_util
from homeassistant.util.hass_dict import HassKey

from ..api import FieldValue, WriteTarget
from ..const import CONF_ENTITY, CONF_FIELD, CONF_FIELDS, CONF_KIND, DOMAIN
from .config import EPOCH, Export, ExportedField, Mode, async_entity_id, read_exports
from .fields.kinds import FieldKind, decide_kind, is_counter
from .fields.values import is_changed, to_value
from .issues import ATTR_EXPORT_ID, Issues
from .outbox.batches import Block, Sample, to_blocks
from .outbox.outbox import Outbox
from .trackers import IntervalTracker, Tracker, make_tracker

_LOGGER = logging.getLogger(__name__)

INTERVAL: Final = timedelta(seconds=1)
"""Between two times at which samples are made of what was noted."""

_CLOCK_SET: Final = 1.0
"""Seconds by which the clock has to jump until it counts as set; a machine that slept is like one whose clock was set."""

_COLLECTED_SINCE: Final[HassKey[dict[str, datetime]]] = HassKey(
    f"{DOMAIN}_collected_since"
)
"""By export, when it was made or switched on in this run of Home Assistant, whatever was reloaded since."""

_LONG_AGO: Final = timedelta(hours=1)
"""After which a state that has held since is sent with the present time: its own may be older than Eniris takes."""


@dataclass(slots=True, eq=False)
class ExportedEntity:
    """A field of an export with what follows its entity."""

    export: Export
    exported: ExportedField
    reference: str
    kind: FieldKind | None
    enabled: bool = True
    """Whether the values of its export are collected; time stands still for it else."""
    tracker: Tracker | None = None

    def value(self, state: State | None) -> FieldValue | None:
        """Return what a state means under the field's name."""
        name, attribute = self.exported.field, self.exported.attribute
        self.kind = self.kind or decide_kind(state, name, attribute)
        if self.kind is None:
            return None
        if self.kind is FieldKind.NUMBER and attribute is None and is_counter(state):
            # Its state class came later
            self.kind = FieldKind.COUNTER
            if isinstance(self.tracker, IntervalTracker):
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
type _Change = tuple[
    list[ExportedEntity], Event[core.EventStateChangedData], float, float
]


# What is found: an entity's field, a state that nobody has seen begin, and the time since which that counts.
type _Found = tuple[ExportedEntity, State, datetime]


@dataclass(frozen=True, slots=True)
class _Note:
    """Entities are followed from `now` on, or no more; where there are none, time has passed."""

    now: datetime
    at: float
    found: Sequence[_Found]
    lost: Collection[ExportedEntity]
    """Their last values must not be repeated for ever."""


@dataclass(slots=True)
class SamplerClock:
    """Notices for the worker thread that the clock was set between two notes."""

    timed: list[ExportedEntity]
    ahead: float | None = None
    """Seconds of the wall clock ahead of the monotonic one, when it was looked at last."""

    def look(self, wall: float, at: float) -> None:
        """Compare the wall clock with the monotonic time."""
        ahead = wall - at
        if self.ahead is not None and abs(ahead - self.ahead) > _CLOCK_SET:
            now = dt_util.utc_from_timestamp(wall)
            for entity in self.timed:
                if isinstance(entity.tracker, IntervalTracker):
                    entity.tracker.clock_set(now)
        self.ahead = ahead


def take_samples(clock: SamplerClock, notes: Iterable[_Change | _Note]) -> list[Block]:
    """Carry out notes in their order, and return the samples that come of it. Runs in a worker thread."""
    samples: list[Sample] = []
    for note in notes:
        try:
            touched = _carry_out(clock, note)
        except Exception:
            # As Home Assistant does with listeners: one that no type of error was foreseen for costs none of the others
            _LOGGER.exception("A value could not be taken")
            continue
        for entity in touched:
            if (tracker := entity.tracker) is not None and tracker.made:
                export, name = entity.export, entity.exported.field
                for time, value in tracker.made:
                    samples.append(Sample(export.id, export.series, time, name, value))
                tracker.made.clear()
    return to_blocks(samples)


def _carry_out(clock: SamplerClock, note: _Change | _Note) -> Iterable[ExportedEntity]:
    """Carry out one note; return the entities whose trackers may have made samples."""
    if not isinstance(note, _Note):
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
        return [*note.lost, *(entity for entity, *_ in note.found)]
    for entity in clock.timed:
        if entity.enabled and entity.tracker:
            entity.tracker.advance(now)
    return clock.timed


def _is_change_before(entity: ExportedEntity, state: State, time: datetime) -> bool:
    """Tell whether a state makes a sample of its own that would be older than a time."""
    is_change = entity.export.policy.mode is Mode.CHANGE
    return is_change and state.last_updated < time


@dataclass(eq=False)
class Sampler:
    """Follows the entities of all exports."""

    hass: HomeAssistant
    exports: Iterable[Export]
    outbox: Outbox
    issues: Issues
    _followed: dict[ExportedEntity, str] = field(default_factory=dict)
    """The present ids of the entities of exports that are enabled, but for those that were deleted."""
    _by_id: dict[str, list[ExportedEntity]] = field(default_factory=dict)
    _ids: set[str | None] = field(default_factory=set)
    """The present ids of all entities, None where one was deleted."""
    _notes: deque[_Change | _Note] = field(default_factory=deque)
    _unsubscribe_states: CALLBACK_TYPE | None = None
    _unsubscribe: list[CALLBACK_TYPE] = field(default_factory=list)
    _taking: asyncio.Lock = field(default_factory=asyncio.Lock)
    _decided: dict[tuple[str, str, str], dict[str, str]] | None = None
    """What was decided of fields when that was stored the last time."""

    def __post_init__(self) -> None:
        """Know the fields of the exports."""
        self._entities = [
            ExportedEntity(export, its, its.entity, its.kind, export.enabled)
            for export in self.exports
            for its in export.fields
        ]
        timed = [its for its in self._entities if its.export.policy.is_timed]
        self._clock = SamplerClock(timed)

    @callback
    def async_start(self) -> None:
        """Follow the entities from now on, beginning with the states that they have."""
        self._async_follow()
        self._unsubscribe = [
            self.hass.bus.async_listen(
                er.EVENT_ENTITY_REGISTRY_UPDATED, self._async_registry_updated
            ),
            # Until the very end, so not cancelled when Home Assistant begins to stop
            async_track_time_interval(self.hass, self.async_take, INTERVAL),
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
                self.outbox.add(
                    await self.hass.async_add_executor_job(
                        take_samples, self._clock, notes
                    )
                )

    def _note(
        self, found: Sequence[_Found] = (), lost: Collection[ExportedEntity] = ()
    ) -> None:
        self._notes.append(_Note(dt_util.utcnow(), monotonic(), found, lost))

    @property
    def adopted(self) -> dict[tuple[str, str, str], str]:
        """What exports stored for entities that were registered since, by export, field and registry id."""
        return {
            (its.export.id, its.exported.field, its.reference): its.exported.entity
            for its in self._entities
            if its.reference != its.exported.entity
        }

    def entities_of(self, export_id: str) -> Sequence[ExportedEntity]:
        """Return the fields of an export with what is known of them by now: kind and reference."""
        return [entity for entity in self._entities if entity.export.id == export_id]

    @callback
    def store_decisions(self, entry: ConfigEntry[Any]) -> None:
        """Store what was decided of fields since the start: their kinds, and what their entities are known by."""
        decided = {
            (its.export.id, its.exported.field, reference): its.decided
            for its in self._entities
            for reference in (its.exported.entity, its.reference)
        }
        if decided == self._decided:
            return
        self._decided = decided
        for export in read_exports(entry)[0]:
            # What the user has changed meanwhile is nothing of ours
            subentry = entry.subentries[export.id]
            stored = subentry.data[CONF_FIELDS]
            rows = [
                row | decided.get((export.id, row[CONF_FIELD], row[CONF_ENTITY]), {})
                for row in stored
            ]
            if rows != stored:
                self.hass.config_entries.async_update_subentry(
                    entry, subentry, data={**subentry.data, CONF_FIELDS: rows}
                )

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
            (entity, state, now)
            for entity, entity_id in self._followed.items()
            if entity.export.series.target == target
            and (state := self.hass.states.get(entity_id)) is not None
            and _is_change_before(entity, state, since + timedelta.resolution)
        ]:
            self._note(found)

    @callback
    def _async_follow(self, *, from_now: bool = False) -> None:
        """Subscribe to the present ids of the entities; what is new counts `from_now` on, or since it holds."""
        now, registry = dt_util.utcnow(), er.async_get(self.hass)
        begun = self.hass.data.setdefault(_COLLECTED_SINCE, {})
        before, self._followed = self._followed, {}
        by_id: defaultdict[str, list[ExportedEntity]] = defaultdict(list)
        self._ids = set()
        gone: list[dict[str, str]] = []
        deleted = registry.deleted_entities.values()
        names = {entry.id: entry.entity_id for entry in deleted}
        found: list[_Found] = []
        for entity in self._entities:
            entity_id = async_entity_id(self.hass, entity.reference)
            self._ids.add(entity_id)
            if entity_id is None:
                export, name = entity.export, names.get(entity.reference, "–")
                about = {ATTR_EXPORT_ID: export.id, CONF_FIELD: entity.exported.field}
                gone.append(about)
                self.issues.report(
                    "entity_gone", about, export=export.title, entity=name
                )
                continue
            if (registered := registry.async_get(entity_id)) is not None:
                # From now on it is followed when it is renamed
                entity.reference = registered.id
            if not entity.enabled:
                begun.pop(entity.export.id, None)
                continue
            self._followed[entity] = entity_id
            by_id[entity_id].append(entity)
            state = self.hass.states.get(entity_id)
            if state is not None and before.get(entity) != entity_id:
                # What changed while nobody listened is caught up; a state that was sampled
                # before keeps its time, and the service overwrites equal points
                is_old = from_now or _is_change_before(entity, state, now - _LONG_AGO)
                since = now if is_old else state.last_updated
                first = begun.setdefault(
                    entity.export.id, now if self.hass.is_running else EPOCH
                )
                if entity.export.policy.mode is Mode.INTERVAL:
                    # Of time in which the export was not there or paused there are no intervals
                    since = max(since, first)
                found.append((entity, state, since))
        self._by_id = dict(by_id)
        # In this order, or a change of state that is yet to be handed over would find nobody
        unsubscribe = self._unsubscribe_states
        self._unsubscribe_states = async_track_state_change_event(
            self.hass, self._by_id, self._async_state_changed
        )
        if unsubscribe is not None:
            unsubscribe()
        lost = before.keys() - self._followed.keys()
        if found or lost:
            self._note(found, lost)
        self.issues.resolve_others("entity_gone", gone)

    @callback
    def _async_registry_updated(
        self, event: Event[er.EventEntityRegistryUpdatedData]
    ) -> None:
        """Follow a renamed entity under its new name, one that came back, and one that was registered."""
        entity_id = event.data["entity_id"]
        if event.data["action"] == "update":
            entity_id = event.data.get("old_entity_id", "")
        is_new = event.data["action"] == "create"
        if entity_id in self._ids or (is_new and None in self._ids):
            self._async_follow()

    @callback
    def _async_state_changed(self, event: Event[core.EventStateChangedData]) -> None:
        entities = self._by_id.get(event.data["entity_id"])
        if entities is not None:
            self._notes.append((entities, event, wall_clock(), monotonic()))
