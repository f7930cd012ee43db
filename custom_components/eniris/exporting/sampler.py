"""The sampler: state changes of the followed entities become samples, and reach the disk."""

import asyncio
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
import logging
from time import monotonic, time as wall_clock
from typing import Any, Final

from homeassistant.core import (
    CALLBACK_TYPE,
    Event,
    EventStateChangedData,
    HomeAssistant,
    State,
    callback,
)
from homeassistant.helpers import entity_registry as er
from homeassistant.helpers.event import async_track_state_change_event
from homeassistant.util import dt as dt_util

from ..api import FieldValue
from .config import Export, ExportedField, async_deleted_entity_id, async_entity_id
from .issues import Issues
from .outbox import Outbox, OutboxError, Sample
from .trackers import Tracker, make_tracker
from .values import state_gist, to_value

_LOGGER = logging.getLogger(__name__)

MEMORY_LIMIT: Final = 100_000
"""Samples that are kept in memory while they cannot be put on disk, some 30 MB."""

_CLOCK_SET: Final = 1.0
"""Seconds by which the clock has to jump until it counts as set; a machine that slept is like one whose clock was set."""


@dataclass(frozen=True, slots=True)
class _Followed:
    """A field of an export, with the tracker of its values."""

    export: Export
    exported: ExportedField
    tracker: Tracker

    def observe(self, state: State | None, time: datetime) -> None:
        self.tracker.observe(time, self._value(state))

    def catch_up(self, state: State, now: datetime) -> None:
        self.tracker.catch_up(state.last_updated, self._value(state), now)

    def _value(self, state: State | None) -> FieldValue | None:
        return to_value(state, self.exported.field, self.exported.attribute)

    def gist(self, state: State | None) -> Any:
        return state_gist(state, self.exported.attribute)


class Sampler:
    """Follows the entities of all exports. On the event loop it only notes what happens.

    What was noted is carried out in the outbox' thread when it is put on disk: values are converted and trackers
    told of them, in the order in which they were noted. Trackers go by the times that they are told, so it
    makes no difference to them when that is.
    """

    def __init__(
        self,
        hass: HomeAssistant,
        exports: Sequence[Export],
        outbox: Outbox,
        issues: Issues,
        unsaved: list[Sample] | None = None,
    ) -> None:
        """Put what `exports` ask for into `outbox`.

        `unsaved` holds what could not be put on disk before, and outlives this sampler.
        """
        self._hass = hass
        self._outbox = outbox
        self._issues = issues
        self._followed = [
            _Followed(export, exported, self._make_tracker(export, exported.field))
            for export in exports
            for exported in export.fields
        ]
        self._timed = [each for each in self._followed if each.export.when.is_timed]
        self._by_entity: dict[str, list[_Followed]] = {}
        self._gone: list[_Followed] = []
        self._noted: deque[Callable[[], None]] = deque()
        """What is yet to be carried out in the outbox' thread."""
        # What follows, and all trackers, are known to that thread alone while it works
        self._ahead: float | None = None
        """Seconds of the wall clock ahead of the monotonic one, when it was looked at last."""
        self._disabled = {export.id for export in exports if not export.enabled}
        self._pending: list[Sample] = [] if unsaved is None else unsaved
        self._flushing = asyncio.Lock()
        self._unsubscribe_states: CALLBACK_TYPE | None = None
        self._unsubscribe_registry: CALLBACK_TYPE | None = None
        self.problem: str | None = None
        """Why samples cannot be put on disk, None while they can."""
        self.dropped = 0
        """Samples that were dropped for it, until the user has taken note of it."""
        self._not_counted: Counter[str] = Counter()
        """What was dropped of each export, until that can be put on disk."""

    def _make_tracker(self, export: Export, field: str) -> Tracker:
        def emit(time: datetime, value: FieldValue) -> None:
            self._pending.append(Sample(export.id, export.series, time, field, value))

        return make_tracker(export.when, emit)

    @callback
    def async_start(self) -> None:
        """Follow the entities from now on, beginning with the states that they have."""
        self._async_follow()
        self._unsubscribe_registry = self._hass.bus.async_listen(
            er.EVENT_ENTITY_REGISTRY_UPDATED, self._async_registry_updated
        )

    async def async_stop(self) -> None:
        """Follow nothing any more, and put on disk what is still in memory."""
        # Home Assistant hands over a change of state in the loop's next round
        await asyncio.sleep(0)
        for unsubscribe in (self._unsubscribe_registry, self._unsubscribe_states):
            if unsubscribe is not None:
                unsubscribe()
        self._unsubscribe_registry = self._unsubscribe_states = None
        self._noted.extend(followed.tracker.finish for followed in self._followed)
        await self.async_flush()
        if self._pending and self._hass.is_stopping:
            _LOGGER.error(
                "%s samples are lost: they could not be put on disk before Home Assistant"
                " stopped (%s)",
                len(self._pending),
                self.problem,
            )

    @callback
    def async_enable(self, export_id: str, enabled: bool) -> None:
        """Collect the values of an export, or collect nothing of it."""
        note = self._disabled.discard if enabled else self._disabled.add
        self._noted.append(partial(note, export_id))
        now = dt_util.utcnow()
        for entity_id, all_followed in self._by_entity.items():
            state = self._hass.states.get(entity_id) if enabled else None
            for followed in all_followed:
                if followed.export.id == export_id:
                    self._noted.append(partial(followed.observe, state, now))
                    if not enabled:
                        self._noted.append(followed.tracker.finish)

    @callback
    def _async_follow(self) -> None:
        """Subscribe to the entity ids that the exports' references stand for at present."""
        now = dt_util.utcnow()
        by_entity: defaultdict[str, list[_Followed]] = defaultdict(list)
        self._gone = []
        for followed in self._followed:
            entity_id = async_entity_id(self._hass, followed.exported.entity)
            if entity_id is None:
                self._gone.append(followed)
                # Else its last value would be repeated for ever
                self._noted.append(partial(followed.observe, None, now))
                self._issues.entity_gone(
                    followed.export,
                    followed.exported.field,
                    async_deleted_entity_id(self._hass, followed.exported.entity),
                )
            else:
                by_entity[entity_id].append(followed)
                self._issues.entity_back(followed.export, followed.exported.field)
        new = by_entity.keys() - self._by_entity.keys()
        self._by_entity = dict(by_entity)
        # In this order, or a change of state that is yet to be handed over would find nobody
        unsubscribe = self._unsubscribe_states
        self._unsubscribe_states = async_track_state_change_event(
            self._hass, self._by_entity, self._async_state_changed
        )
        if unsubscribe is not None:
            unsubscribe()
        # What changed while nobody listened is caught up; a state that was sampled
        # before keeps its time, and the service overwrites equal points
        for entity_id in new:
            if (state := self._hass.states.get(entity_id)) is not None:
                all_followed = self._by_entity[entity_id]
                self._noted.append(partial(self._catch_up, all_followed, state, now))

    @callback
    def _async_registry_updated(
        self, event: Event[er.EventEntityRegistryUpdatedData]
    ) -> None:
        """Follow a renamed entity under its new name, and one that came back."""
        data = event.data
        if data["action"] == "create":
            concerns_us = bool(self._gone)
        elif data["action"] == "remove":
            concerns_us = data["entity_id"] in self._by_entity
        else:
            concerns_us = data.get("old_entity_id") in self._by_entity
        if concerns_us:
            self._async_follow()

    @callback
    def _async_state_changed(self, event: Event[EventStateChangedData]) -> None:
        all_followed = self._by_entity.get(event.data["entity_id"])
        if all_followed is not None:
            self._noted.append(
                partial(self._change, all_followed, event, wall_clock(), monotonic())
            )

    @callback
    def async_advance(self) -> None:
        """Take the samples that the time which has passed asks for."""
        if self._timed:
            now = dt_util.utcnow()
            self._noted.append(partial(self._advance, now, monotonic()))

    def _take(self) -> list[Sample]:
        """Carry out what was noted, and return what is to be put on disk."""
        for _ in range(len(self._noted)):
            note = self._noted.popleft()
            try:
                note()
            except Exception:
                # As Home Assistant does with listeners: one that no type of error was foreseen for is told of in
                # full, and costs none of the others, which would else be tried behind it for ever
                _LOGGER.exception("A value could not be taken")
        return self._pending

    def _change(
        self,
        all_followed: Sequence[_Followed],
        event: Event[EventStateChangedData],
        wall: float,
        at: float,
    ) -> None:
        if self._timed:
            # Not the event's time, which an integration may set to the past
            self._look_at_clock(wall, at)
        new, old = event.data["new_state"], event.data["old_state"]
        time = event.time_fired if new is None else new.last_updated
        for followed in all_followed:
            # A change of something else is none of this field
            if followed.export.id not in self._disabled and (
                old is None or followed.gist(new) != followed.gist(old)
            ):
                followed.observe(new, time)

    def _catch_up(
        self, all_followed: Sequence[_Followed], state: State, now: datetime
    ) -> None:
        for followed in all_followed:
            if followed.export.id not in self._disabled:
                followed.catch_up(state, now)

    def _look_at_clock(self, wall: float, at: float) -> None:
        """Notice a clock that was set between what was noted before and now; `at` is the monotonic time."""
        ahead = wall - at
        if self._ahead is not None and abs(ahead - self._ahead) > _CLOCK_SET:
            now = dt_util.utc_from_timestamp(wall)
            for followed in self._timed:
                followed.tracker.clock_set(now)
        self._ahead = ahead

    def _advance(self, now: datetime, at: float) -> None:
        self._look_at_clock(now.timestamp(), at)
        for followed in self._timed:
            if followed.export.id not in self._disabled:
                followed.tracker.advance(now)

    async def async_flush(self) -> None:
        """Put on disk all that was noted so far; while that fails the samples stay in memory.

        No more than `MEMORY_LIMIT` of them: beyond it the oldest are dropped, and counted.
        """
        # One after the other, or what fails would get behind what comes after it
        async with self._flushing:
            await self._flush()

    async def _flush(self) -> None:
        if not self._noted and not self._pending:
            await self._count_dropped()
            return
        try:
            await self._outbox.add_from(self._take)
        except OutboxError as err:
            if self.problem is None:
                _LOGGER.error(
                    "Samples cannot be put on disk (%s). They are kept in memory and"
                    " would be lost if Home Assistant stopped now; free some space",
                    err,
                )
            self.problem = str(err)
            # Where there is no file at all nothing was carried out, and what is noted has no other bound
            await self._hass.async_add_executor_job(self._take)
            self._drop_oldest()
            return
        if self.problem is not None:
            self.problem = None
            if self._not_counted:
                _LOGGER.warning(
                    "Samples can be put on disk again; %s were lost, as there was no room"
                    " for more of them in memory",
                    self._not_counted.total(),
                )
            else:
                _LOGGER.warning("Samples can be put on disk again; none was lost")
        await self._count_dropped()

    def _drop_oldest(self) -> None:
        excess = self._pending[: max(0, len(self._pending) - MEMORY_LIMIT)]
        if excess and not self.dropped:
            _LOGGER.error(
                "More samples than memory has room for wait for the disk: the oldest are"
                " dropped"
            )
        del self._pending[: len(excess)]
        self.dropped += len(excess)
        self._not_counted.update(sample.export_id for sample in excess)

    async def _count_dropped(self) -> None:
        if not self._not_counted:
            return
        counts = dict(self._not_counted)
        try:
            await self._outbox.note_dropped(counts)
        except OutboxError as err:
            _LOGGER.debug("What was dropped is not counted on disk yet: %s", err)
        else:
            self._not_counted.subtract(counts)
            self._not_counted = +self._not_counted
