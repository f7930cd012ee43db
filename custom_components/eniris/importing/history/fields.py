"""Which entities of an account have a past that can be imported."""

import asyncio
from collections.abc import Collection
from dataclasses import replace
from typing import Any, Final

from homeassistant.components.recorder import is_entity_recorded
from homeassistant.config_entries import ConfigEntry
from homeassistant.const import Platform
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers import entity_registry as er

from ...const import DOMAIN
from ...unique_ids import async_unique_id
from ..catalogue import describe_node, directions
from ..coordinator import NodeCoordinator, TelemetryCoordinator
from ..plan import FieldKey
from .hours import StatisticField, statistic_kind
from .job import Job, LeftOut
from .statistics import async_statistics

_FIRST_ROW: Final = 15 * 60.0
"""Seconds for which is waited for a sum's first row of its own, which it is joined to."""

_LOOK_AGAIN: Final = 5.0
_LOOKED_UP_AT_ONCE: Final = 500
"""Fields."""


class HistoryFields:
    """The fields of an account that have statistics, as its nodes are now."""

    def __init__(
        self,
        hass: HomeAssistant,
        entry: ConfigEntry[Any],
        nodes: NodeCoordinator,
        telemetry: TelemetryCoordinator,
    ) -> None:
        """Look at the entities of `entry`."""
        self._hass = hass
        self._entry = entry
        self._nodes = nodes
        self._telemetry = telemetry

    async def async_joinable(self, job: Job) -> Job:
        """Return a job with what can be imported and what is left out.

        Sums that begin just now are waited for.
        """
        waited = 0.0
        before: Collection[str] = ()
        while True:
            wanted, excluded = await self.async_wanted(job)
            joinable = await async_statistics(self._hass, wanted, job.end, job.end)
            # After a set-up, entities take a while to be all there
            is_complete = wanted.keys() == before and len(joinable) == len(wanted)
            if ((wanted or excluded) and is_complete) or waited >= _FIRST_ROW:
                break
            before = wanted.keys()
            await asyncio.sleep(_LOOK_AGAIN)
            # While Eniris cannot be read, there are no states to make rows of
            if self._telemetry.last_update_success:
                waited += _LOOK_AGAIN
        without = dict.fromkeys(wanted.keys() - joinable.keys(), LeftOut.NO_STATISTICS)
        return replace(job, unique_ids=sorted(joinable), left_out=without | excluded)

    async def async_wanted(
        self, job: Job
    ) -> tuple[dict[str, StatisticField], dict[str, LeftOut]]:
        """Return what the enabled entities of a job show, and which of them the recorder excludes."""
        registry = er.async_get(self._hass)
        chosen = None if job.unique_ids is None else frozenset(job.unique_ids)
        fields = await self._hass.async_add_executor_job(self._fields)
        wanted, excluded = {}, {}
        for number, subject in enumerate(fields, start=1):
            if number % _LOOKED_UP_AT_ONCE == 0:
                await asyncio.sleep(0)
            unique_id = self._unique_id(subject)
            if not (
                subject.is_energy_or_power if chosen is None else unique_id in chosen
            ):
                continue
            entity_id = registry.async_get_entity_id(Platform.SENSOR, DOMAIN, unique_id)
            if entity_id is None or registry.entities[entity_id].disabled:
                continue
            if is_entity_recorded(self._hass, entity_id):
                wanted[unique_id] = subject
            else:
                excluded[unique_id] = LeftOut.NOT_RECORDED
        return wanted, excluded

    @callback
    def subjects(self) -> dict[str, StatisticField]:
        """Return all that can have a past, by the unique id of its entity."""
        return {self._unique_id(field): field for field in self._fields()}

    @callback
    def _unique_id(self, field: StatisticField) -> str:
        parts = (*field.key, field.description.part)
        return async_unique_id(self._hass, self._entry, Platform.SENSOR, *parts)

    def _fields(self) -> list[StatisticField]:
        """Return all that can have a past. It may run in a thread."""
        return [
            StatisticField(FieldKey(node.id, measurement, name), shown, kind)
            for node in self._nodes.data.by_id.values()
            for (measurement, name), description in describe_node(
                node.device.series
            ).items()
            for shown in (description, *directions(measurement, description))
            if (kind := statistic_kind(shown)) is not None
        ]
