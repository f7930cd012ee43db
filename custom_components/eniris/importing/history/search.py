"""Where there is data: what has none for a day may have had some years ago, elsewhere, or never before."""

from collections.abc import Collection, Iterable
from dataclasses import replace
from typing import Final

from ...api import SeriesInfo
from ..budget.reader import BudgetedReader
from ..coordinator import NodeCoordinator
from ..plan import FieldKey, counting_candidates
from .hours import DAY, HOUR, HourQuery, StatisticField, plan

_FIRST_SEARCH: Final = 2 * DAY
_LONGEST_SEARCH: Final = 10 * 366 * DAY


class DataSearch:
    """Knows which series each field is read from, and up to when there is something to read."""

    def __init__(self, nodes: NodeCoordinator, reader: BudgetedReader) -> None:
        """Know nothing yet: fields are read from the series a minute, and have data all the time."""
        self._nodes = nodes
        self._reader = reader
        self._found: dict[FieldKey, SeriesInfo] = {}
        """The series with the newest data of fields that had none for a day."""
        self._ends: dict[FieldKey, int] = {}

    def _candidates(self, field: StatisticField) -> list[SeriesInfo]:
        """Return the series that may have a field, the one that it is read from first.

        Metadata may list one that is never written.
        """
        node = self._nodes.data.by_id.get(field.key.node_id)
        if node is None:
            return []
        candidates = counting_candidates(node, field.key.measurement, field.key.field)
        found = self._found.get(field.key)
        return sorted(candidates, key=lambda series: series != found)

    def plan(
        self,
        spans: Iterable[tuple[StatisticField, int, int]],
        *,
        raw: bool = False,
        place: int = 0,
    ) -> list[HourQuery]:
        """Return what to ask for stretches of time, in their order: a field, start and end in Unix seconds.

        With `place` 1 the series is asked that comes after the one that a field is read from, if there is one.
        """
        return plan(
            (
                (field, series, start, end)
                for field, start, end in spans
                for series in self._candidates(field)[place : place + 1]
            ),
            raw=raw,
        )

    def end(self, field: StatisticField, otherwise: int) -> int:
        """Return up to when there may be something to import of a field, in Unix seconds."""
        return self._ends.get(field.key, otherwise)

    async def async_find(
        self,
        fields: Iterable[StatisticField],
        silent: Collection[StatisticField],
        since: int,
        start: int,
        end: int,
    ) -> None:
        """Find the newest data before `start` of fields, which were read from there to `end`.

        Of those that were silent then, it is looked for back to `since`, over stretches of time that double in
        length; in other series than the one that was read also from `start` to `end`.
        """
        candidates = {field: self._candidates(field) for field in silent}
        left = {
            (field, series): end if place else start
            for field, all_series in candidates.items()
            for place, series in enumerate(all_series)
            if place or start > since
        }
        self._ends.update((field.key, start) for field in fields)
        self._ends.update((field.key, since) for field, _ in left)
        span = _FIRST_SEARCH
        while left:
            queries = plan(
                (
                    (field, series, max(since, last - span), last)
                    for (field, series), last in left.items()
                ),
                raw=True,
            )
            is_refused = False
            found: list[tuple[int, int, StatisticField]] = []
            """When, and in which of the candidates; of two on one day, the preferred one."""
            async for query, result in self._reader.query(
                replace(query, limit=1) for query in queries
            ):
                is_refused |= result.error is not None
                times = {
                    name: int(time.timestamp())
                    for series in result.series
                    for name, (time, _) in series.newest().items()
                }
                for field in query.fields:
                    place = candidates[field].index(query.series)
                    if field.key.field in times:
                        found.append((times[field.key.field], place, field))
                    elif times:
                        # The newest row is another field's
                        left[field, query.series] = max(times.values()) + 1
                    elif result.error is None and query.start > since:
                        left[field, query.series] = query.start
                    elif result.error is None:
                        del left[field, query.series]
                    elif span <= DAY:
                        # Each day has to be asked for
                        found.append((start - 1, 0, field))
            for time, place, field in sorted(
                found, key=lambda each: (each[0] // DAY, -each[1])
            ):
                self._found[field.key] = candidates[field][place]
                self._ends[field.key] = time // HOUR * HOUR + HOUR
                for series in candidates[field]:
                    left.pop((field, series), None)
            if is_refused:
                span //= 2
            elif self._reader.can_cost_more:
                span = min(2 * span, _LONGEST_SEARCH)
