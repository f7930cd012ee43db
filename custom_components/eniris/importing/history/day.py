"""One day of the past: what Eniris says of its hours becomes rows of statistics."""

import asyncio
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
import math
from typing import Final

from homeassistant.core import HomeAssistant
from homeassistant.util import dt as dt_util

from ..budget.reader import BudgetedReader
from ..coordinator import NodeCoordinator
from ..energy import Counted
from ..totals import Totals
from .hours import DAY, HOUR, HourQuery, StatisticField, StatisticKind
from .job import Job, LeftOut
from .search import DataSearch
from .statistics import (
    Statistic,
    async_statistics,
    async_write,
    async_written,
    recorded_entity_id,
)
from .sums import (
    HourlyRows,
    Steps,
    begins_low,
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
        self._totals = totals
        self._reader = reader
        self._search = DataSearch(nodes, reader)

    async def async_import(self, job: Job, fields: Mapping[str, StatisticField]) -> Job:
        """Import the day before a job's cursor, of fields by their unique ids; return the job as it is then."""
        end = job.cursor
        start = max(job.start, (end - 1) // DAY * DAY)
        # Let the recorder make its row of the newest hour first; it cannot do so later
        await asyncio.sleep(max(0, end + _OWN_ROWS - dt_util.utcnow().timestamp()))
        awake = {
            unique_id: field
            for unique_id, field in fields.items()
            if self._search.end(field, end) > start
        }
        statistics = await async_statistics(self._hass, awake, start, end)
        refused = await self._ask(statistics.values(), start, end)
        rows = 0
        for number, (unique_id, statistic) in enumerate(statistics.items(), start=1):
            written = self._rows(statistic, start, end)
            # It may have been renamed a moment ago
            entity_id = recorded_entity_id(self._hass, unique_id)
            if entity_id is not None:
                async_write(self._hass, entity_id, statistic, *written)
                rows += len(written[0])
            if number % _DONE_AT_ONCE == 0:
                await asyncio.sleep(0)
        await async_written(self._hass)
        await self._search.async_find(
            awake.values(),
            [
                statistic.subject
                for statistic in statistics.values()
                if not any(
                    start <= hour < end
                    for hour in (*statistic.hours, *statistic.unknown)
                )
            ],
            job.start,
            start,
            end,
        )
        lacking = [each for each in statistics if statistics[each].unknown]
        left_out = dict.fromkeys(lacking, LeftOut.NO_USABLE_ANSWER)
        return replace(
            job,
            cursor=max(
                (self._search.end(field, start) for field in fields.values()),
                default=job.start,
            ),
            rows=job.rows + rows,
            refused=job.refused + refused,
            left_out={**job.left_out, **left_out},
        )

    async def _ask(
        self, statistics: Collection[Statistic], start: int, end: int
    ) -> int:
        """Ask what the service says of each hour, and return how many queries brought no usable answer.

        Of meters, the hour before tells what they counted in the first. Of energies, those up to the row
        that follows are needed to join it.
        """
        by_field = {statistic.subject: statistic for statistic in statistics}
        counters = [
            each for each in statistics if each.subject.kind is StatisticKind.COUNTER
        ]
        refused = 0

        async def ask(queries: Iterable[HourQuery]) -> None:
            nonlocal refused
            async for query, result in self._reader.query(queries):
                told = query.read(result)
                is_lacking = query.end > start
                refused += is_lacking and None in told.values()
                for field, values in told.items():
                    if values is not None:
                        # Of a week, how far a meter had come
                        told_of = values if query.end >= start else values[-1:]
                        by_field[field].hours[query.start] = told_of
                        by_field[field].unknown.discard(query.start)
                    elif is_lacking:
                        by_field[field].unknown.add(query.start)

        spans = [
            (each.subject, hour, hour + HOUR)
            for hour in reversed(range(start, end, HOUR))
            for each in statistics
        ]
        spans += [(each.subject, start - HOUR, start) for each in counters]
        spans += [
            (each.subject, first, min(first + DAY, behind.end))
            for each in statistics
            if each.subject.kind is StatisticKind.SUM
            and (behind := each.behind(end))
            and self._counted(each, end) is None
            for first in range(end, behind.end, DAY)
        ]
        await ask(await self._hass.async_add_executor_job(self._search.plan, spans))
        # One retention policy is refused, or begins on this day; another may have what it lacks
        lacking = [
            (each.subject, hour, hour + HOUR)
            for each in statistics
            for hour in range(start, end, HOUR)
            if hour in each.unknown
            or hour < min((told for told in each.hours if told < end), default=0)
        ]
        await ask(self._search.plan(lacking, place=1))
        # Counters that fell were exchanged, or misread
        counters = [each for each in counters if each.hours]
        await ask(
            self._search.plan(
                (each.subject, start - HOUR - _LOOK_BACK, start - HOUR)
                for each in counters
                if begins_low(each.hours, each.behind(end))
            )
        )
        await ask(
            self._search.plan(
                (
                    (each.subject, hour, hour + HOUR)
                    for each in counters
                    for hour in sorted(
                        doubtful_hours(each.hours, each.behind(end), end)
                    )
                    if hour >= start - HOUR
                ),
                raw=True,
            )
        )
        return refused

    def _rows(
        self, statistic: Statistic, start: int, end: int
    ) -> tuple[HourlyRows, float]:
        """Return the rows of a statistic, and by how much the sums that follow have to be shifted."""
        if statistic.is_sum:
            steps = self._steps(statistic, start, end)
            return sum_rows(steps, statistic.recorded, end)
        names = ("mean", "min", "max")
        return {
            hour: dict(zip(names, values, strict=True))
            for hour, values in statistic.hours.items()
        }, 0.0

    def _steps(self, statistic: Statistic, start: int, end: int) -> Steps:
        """Return the steps of a sum. Hours of which the service refuses to tell stay as the recorder has them."""
        kind, behind = statistic.subject.kind, statistic.behind(end)
        hours = statistic.kept_hours | statistic.hours
        if kind is not StatisticKind.SUM:
            return meter_steps(kind, hours, start, behind)
        energies = {hour: energy for hour, (energy,) in hours.items()}
        state = 0.0
        counted = self._counted(statistic, end)
        if counted is not None:
            # As the entity has counted it: what it counts later will not be in it twice
            energies = {h: e for h, e in energies.items() if h < counted.since}
            energies |= {h: e for h, e in counted.hours.items() if start <= h < end}
            later = (e for h, e in counted.hours.items() if h >= end)
            state = counted.value - math.fsum(later)
            if behind is not None:
                energies[behind.start] = behind.state - state
        elif behind is not None and any(hour >= end for hour in statistic.unknown):
            energies = {h: e for h, e in energies.items() if h < end}
            energies[behind.start] = behind.change
        return sum_steps(energies, state if behind is None else behind.state)

    def _counted(self, statistic: Statistic, end: int) -> Counted | None:
        """Return what the entity has counted itself, if it has counted all from `end` on."""
        counted = self._totals.counted(statistic.subject.key)
        return counted if counted is not None and counted.since <= end else None
