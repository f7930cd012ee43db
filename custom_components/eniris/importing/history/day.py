"""One day of the past: what Eniris says of its hours becomes rows of statistics."""

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
import math
from typing import Final

from homeassistant.components.recorder import is_entity_recorded
from homeassistant.const import Platform
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers import entity_registry as er
from homeassistant.util import dt as dt_util

from ...const import DOMAIN
from ..budget.reader import BudgetedReader
from ..coordinator import NodeCoordinator
from ..energy import Counted
from ..nodes import Node
from ..totals import Totals
from .hours import (
    HOUR,
    Answers,
    HourQuery,
    StatisticField,
    StatisticKind,
    Tried,
    Values,
    candidates_of,
    plan_hours,
    plan_raw,
    plan_spans,
)
from .search import DAY, DataSearch
from .statistics import (
    Statistic,
    async_known,
    async_statistics,
    async_write,
    async_written,
)
from .sums import (
    Anchor,
    Hourly,
    Known,
    counter_increase,
    doubtful_hours,
    meter_steps,
    sum_rows,
    sum_steps,
)

_OWN_ROWS: Final = 150
"""Seconds into an hour until the recorder has made its row of the hour before."""

_LOOK_BACK: Final = 7 * DAY
"""How long a meter may have been misread before the hours that are imported."""

_DONE_AT_ONCE: Final = 20
"""Statistics that are put together before the event loop gets its turn."""


@callback
def recorded_entity_id(hass: HomeAssistant, unique_id: str) -> str | None:
    """Return the present id of an entity of ours, None if there are no statistics of it."""
    registry = er.async_get(hass)
    entity_id = registry.async_get_entity_id(Platform.SENSOR, DOMAIN, unique_id)
    if entity_id is None or not is_entity_recorded(hass, entity_id):
        return None
    return entity_id


async def async_read_statistics(
    hass: HomeAssistant, fields: Mapping[str, StatisticField]
) -> dict[str, Statistic]:
    """Return the statistics that rows can be put into, by unique ids, as `fields` are."""
    # The recorder renames a statistic later than the registry its entity, in a thread of its own
    await async_written(hass)
    by_entity = {
        entity_id: unique_id
        for unique_id in fields
        if (entity_id := recorded_entity_id(hass, unique_id)) is not None
    }
    found = await async_statistics(
        hass, {entity_id: fields[by_entity[entity_id]] for entity_id in by_entity}
    )
    return {by_entity[item.id]: item for item in found if item.can_be_joined}


@dataclass(slots=True)
class ImportedDay:
    """What was imported, and what was not."""

    rows: int = 0
    refused: int = 0
    """Queries that brought no usable answer."""
    lacking: set[StatisticField] = field(default_factory=set)
    """Fields that these queries asked for."""


class DayImporter:
    """Imports the hours of an account, a day at a time."""

    def __init__(
        self,
        hass: HomeAssistant,
        nodes: NodeCoordinator,
        totals: Totals,
        reader: BudgetedReader,
    ) -> None:
        """Read what `nodes` has; sums are joined to what `totals` counts."""
        self._hass = hass
        self._nodes = nodes
        self._totals = totals
        self._reader = reader
        self.search = DataSearch(nodes, reader)

    async def async_import(
        self, fields: Mapping[str, StatisticField], start: int, end: int
    ) -> ImportedDay:
        """Import the hours from `start` to `end`, Unix seconds, of fields by their unique ids."""
        # Let the recorder make its row of the newest hour first; it cannot do so later
        await asyncio.sleep(max(0, end + _OWN_ROWS - dt_util.utcnow().timestamp()))
        awake = {
            unique_id: subject
            for unique_id, subject in fields.items()
            if self.search.may_have_data(subject, start, end)
        }
        day = ImportedDay()
        answers, unknown = await self._fetch(awake.values(), start, end, day)
        statistics, known = await self._read(awake, start, end)
        sums = [item for item in statistics.values() if item.is_sum]
        await self._look_into_falls(sums, known, answers, start, end)
        energies = await self._energies_behind(sums, known, end)
        for number, (unique_id, statistic) in enumerate(statistics.items(), start=1):
            hours = answers.get(statistic.subject, {})
            if statistic.is_sum:
                kept = known[statistic.id]
                hours = hours | _kept_hours(
                    statistic, kept, unknown.get(statistic.subject, ())
                )
                rows, shift = self._sum_rows(
                    statistic, hours, kept, energies, start, end
                )
            else:
                rows, shift = _mean_rows(hours), 0.0
            # It may have been renamed a moment ago
            entity_id = recorded_entity_id(self._hass, unique_id)
            if entity_id is not None:
                async_write(self._hass, entity_id, statistic, rows, shift)
                day.rows += len(rows)
            if number % _DONE_AT_ONCE == 0:
                await asyncio.sleep(0)
        await async_written(self._hass)
        return day

    async def _fetch(
        self, subjects: Iterable[StatisticField], start: int, end: int, day: ImportedDay
    ) -> tuple[Answers, Mapping[StatisticField, set[int]]]:
        """Return what the service says of each hour, and the hours of which it does not.

        Of meters, of the hour before as well: what they showed then tells what they counted.
        """
        nodes, tried = self._nodes.data.by_id, self.search.tried
        answers: Answers = {}
        unknown: dict[StatisticField, set[int]] = {}
        left = {item: len(candidates_of(nodes, item)) for item in subjects}
        asked = list(left)
        while asked:
            queries = await self._hass.async_add_executor_job(
                _plan_day, nodes, asked, start, end, tried
            )
            async for query, result in self._reader.query(queries):
                values = query.read(result)
                day.refused += None in values.values()
                for subject, told in values.items():
                    if told is None:
                        unknown.setdefault(subject, set()).add(query.start)
                    else:
                        answers.setdefault(subject, {})[query.start] = told
            asked = [
                each for each in asked if each not in answers and each not in unknown
            ]
            for item in asked:
                left[item] -= 1
                tried[item.key] = tried.get(item.key, 0) + 1
            asked = [item for item in asked if left[item] > 0]
        day.lacking.update(unknown)
        self.search.silent = {
            item.key for item in left if item not in answers and item not in unknown
        }
        return answers, unknown

    async def _read(
        self, fields: Mapping[str, StatisticField], start: int, end: int
    ) -> tuple[dict[str, Statistic], dict[str, Known]]:
        """Return the statistics of fields, by unique id, and what the recorder has of sums, by entity id."""
        while True:
            statistics = await async_read_statistics(self._hass, fields)
            sums = [item for item in statistics.values() if item.is_sum]
            known = await async_known(self._hass, sums, start, end)
            if all(
                recorded_entity_id(self._hass, unique_id) == item.id
                for unique_id, item in statistics.items()
            ):
                return statistics, known

    async def _look_into_falls(
        self,
        sums: Iterable[Statistic],
        known: Mapping[str, Known],
        answers: Answers,
        start: int,
        end: int,
    ) -> None:
        """Find out what counters showed when they fell: they were exchanged, or misread."""
        falls: list[tuple[StatisticField, int]] = []
        before: dict[StatisticField, tuple[int, int]] = {}
        for statistic in sums:
            subject = statistic.subject
            if statistic.method is StatisticKind.COUNTER and subject in answers:
                behind = known[statistic.id].behind(end)
                hours, may_have_fallen = doubtful_hours(answers[subject], behind, end)
                falls += ((subject, hour) for hour in sorted(hours))
                if may_have_fallen:
                    before[subject] = (start - HOUR - _LOOK_BACK, start - HOUR)
        nodes = self._nodes.data.by_id
        queries = [
            *plan_raw(nodes, falls, self.search.tried),
            *plan_spans(nodes, before, _LOOK_BACK, self.search.tried),
        ]
        async for query, result in self._reader.query(queries):
            if query.raw:
                for subject, numbers in query.read_raw(result).items():
                    if numbers:
                        answers[subject][query.start] = tuple(numbers)
            else:
                for subject, values in query.read(result).items():
                    if values is not None:
                        answers[subject][query.start] = values[-1:]

    def _sum_rows(
        self,
        statistic: Statistic,
        hours: Mapping[int, Values],
        known: Known,
        energies: Mapping[StatisticField, float],
        start: int,
        end: int,
    ) -> tuple[Sequence[Hourly], float]:
        """Return the rows of a sum, and by how much what follows has to be shifted."""
        behind = known.behind(end)
        method = statistic.method
        if method is not StatisticKind.SUM:
            steps = meter_steps(method, hours, start, end, behind)
            energy = 0.0
            if behind and steps:
                energy = counter_increase(method, steps[-1].state, behind.state)
        else:
            counted = self._counted(statistic, end)
            if counted is not None:
                # As the entity has counted it: what it counts later will not be in it twice
                hours = {
                    hour: values
                    for hour, values in hours.items()
                    if hour < counted.since
                } | {
                    hour: (energy,)
                    for hour, energy in counted.hours.items()
                    if start <= hour < end
                }
                state = counted.value - math.fsum(
                    energy for hour, energy in counted.hours.items() if hour >= end
                )
                energy = behind.state - state if behind else 0.0
            else:
                energy = energies.get(statistic.subject, 0.0)
                state = behind.state - energy if behind else 0.0
            steps = sum_steps(hours, state)
        anchor = Anchor(behind.sum, energy) if behind else None
        return sum_rows(steps, known, start, end, anchor)

    def _counted(self, statistic: Statistic, end: int) -> Counted | None:
        """Return what the entity has counted itself, if it has counted all from `end` on."""
        counted = self._totals.counted(statistic.subject.key)
        return counted if counted is not None and counted.since <= end else None

    async def _energies_behind(
        self, sums: Iterable[Statistic], known: Mapping[str, Known], end: int
    ) -> dict[StatisticField, float]:
        """Return the energy from `end` to the end of the row that follows, by field."""
        spans: dict[StatisticField, tuple[int, int]] = {}
        recorded: dict[StatisticField, float] = {}
        for statistic in sums:
            behind = known[statistic.id].behind(end)
            if (
                statistic.method is StatisticKind.SUM
                and self._counted(statistic, end) is None
                and behind is not None
                and behind.end > end
            ):
                spans[statistic.subject] = (end, behind.end)
                recorded[statistic.subject] = behind.sum - behind.before
        energies: dict[StatisticField, float] = {}
        unknown: set[StatisticField] = set()
        queries = plan_spans(self._nodes.data.by_id, spans, DAY, self.search.tried)
        async for query, result in self._reader.query(queries):
            for subject, values in query.read(result).items():
                if values is None:
                    unknown.add(subject)
                else:
                    energies[subject] = energies.get(subject, 0.0) + values[0]
        # What the service does not tell stays what the recorder has
        return energies | {subject: recorded[subject] for subject in unknown}


def _plan_day(
    nodes: Mapping[str, Node],
    subjects: Iterable[StatisticField],
    start: int,
    end: int,
    tried: Tried,
) -> list[HourQuery]:
    meters = [item for item in subjects if item.method is StatisticKind.COUNTER]
    return [
        *plan_hours(nodes, subjects, start, end, tried),
        *plan_hours(nodes, meters, start - HOUR, start, tried),
    ]


def _mean_rows(hours: Mapping[int, Values]) -> list[Hourly]:
    return [
        Hourly(hour, mean=mean, lowest=lowest, highest=highest)
        for hour, (mean, lowest, highest) in sorted(hours.items())
    ]


def _kept_hours(
    statistic: Statistic, known: Known, unknown: Collection[int]
) -> dict[int, Values]:
    """Return the hours of which the service refuses to tell as the recorder has them."""
    return {
        row.start: (
            (row.sum - row.before,)
            if statistic.method is StatisticKind.SUM
            else (row.state,)
        )
        for row in known.rows
        if row.start in unknown
    }
