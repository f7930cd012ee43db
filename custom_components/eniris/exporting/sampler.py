"""The sampler: state changes of the followed entities become samples, and reach the disk."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
import logging
from typing import Final

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

from .config import Export, Series, async_entity_id
from .outbox import Outbox, OutboxError, Sample
from .values import state_to_value

_LOGGER = logging.getLogger(__name__)

FLUSH_INTERVAL: Final = timedelta(seconds=1)
"""At most this long, and the time of one commit, is a sample in memory alone."""


class Sampler:
    """Follows the entities of all exports. Does next to nothing per event: one conversion."""

    def __init__(
        self, hass: HomeAssistant, exports: Sequence[Export], outbox: Outbox
    ) -> None:
        """Put what `exports` ask for into `outbox`."""
        self._hass = hass
        self._exports = exports
        self._outbox = outbox
        self._fields: dict[str, list[tuple[Series, str]]] = {}
        self._pending: list[Sample] = []
        self._unsubscribe_states: CALLBACK_TYPE | None = None
        self._unsubscribe: list[CALLBACK_TYPE] = []
        self._outbox_failing = False

    @callback
    def async_start(self) -> None:
        """Follow the entities from now on, beginning with the states that they have."""
        self._async_follow()
        self._unsubscribe = [
            self._hass.bus.async_listen(
                er.EVENT_ENTITY_REGISTRY_UPDATED, self._async_registry_updated
            ),
            async_track_time_interval(
                self._hass,
                self._async_flush_on_time,
                FLUSH_INTERVAL,
                name="eniris outbox",
            ),
        ]

    async def async_stop(self) -> None:
        """Follow nothing any more, and put on disk what is still in memory."""
        for unsubscribe in self._unsubscribe:
            unsubscribe()
        self._unsubscribe = []
        if self._unsubscribe_states is not None:
            self._unsubscribe_states()
            self._unsubscribe_states = None
        await self.async_flush()

    @callback
    def _async_follow(self) -> None:
        """Subscribe to the entity ids that the exports' references stand for at present."""
        fields: defaultdict[str, list[tuple[Series, str]]] = defaultdict(list)
        for export in self._exports:
            for exported in export.fields:
                entity_id = async_entity_id(self._hass, exported.entity)
                if entity_id is None:
                    _LOGGER.warning(
                        "Export %s: the entity of field %s does not exist any more",
                        export.title,
                        exported.field,
                    )
                    continue
                fields[entity_id].append((export.series, exported.field))
        new = fields.keys() - self._fields.keys()
        self._fields = dict(fields)
        if self._unsubscribe_states is not None:
            self._unsubscribe_states()
        self._unsubscribe_states = async_track_state_change_event(
            self._hass, self._fields, self._async_state_changed
        )
        # What changed while nobody listened is caught up; a state that was sampled
        # before keeps its time, and the service overwrites equal points
        for entity_id in new:
            if (state := self._hass.states.get(entity_id)) is not None:
                self._async_sample(state)

    @callback
    def _async_registry_updated(
        self, event: Event[er.EventEntityRegistryUpdatedData]
    ) -> None:
        """Follow a renamed entity under its new name, and none that was removed."""
        data = event.data
        if data["action"] == "create" or (
            data["action"] == "update" and "old_entity_id" not in data
        ):
            return
        if data.get("old_entity_id", data["entity_id"]) in self._fields:
            self._async_follow()

    @callback
    def _async_state_changed(self, event: Event[EventStateChangedData]) -> None:
        new, old = event.data["new_state"], event.data["old_state"]
        # Attributes alone change nothing, but for the unit
        if new is None or (
            old is not None
            and new.state == old.state
            and new.attributes.get("unit_of_measurement")
            == old.attributes.get("unit_of_measurement")
        ):
            return
        self._async_sample(new)

    @callback
    def _async_sample(self, state: State) -> None:
        for series, field in self._fields.get(state.entity_id, ()):
            value = state_to_value(state, field)
            if value is not None:
                self._pending.append(Sample(series, state.last_updated, field, value))

    async def _async_flush_on_time(self, _now: datetime) -> None:
        await self.async_flush()

    async def async_flush(self) -> None:
        """Put all samples in memory on disk; while that fails they stay in memory."""
        if not self._pending:
            return
        samples, self._pending = self._pending, []
        try:
            await self._outbox.add(samples)
        except OutboxError as err:
            self._pending = samples + self._pending
            if not self._outbox_failing:
                self._outbox_failing = True
                _LOGGER.error(
                    "Samples cannot be put on disk (%s). They are kept in memory and"
                    " would be lost if Home Assistant stopped now; free some space",
                    err,
                )
            return
        if self._outbox_failing:
            self._outbox_failing = False
            _LOGGER.warning("Samples can be put on disk again; none was lost")
