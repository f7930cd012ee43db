"""Where there is data: what has none for a day may have had some years ago, or never before."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from ..budget.reader import BudgetedReader
from ..coordinator import NodeCoordinator
from ..plan import FieldKey
from .hours import HOUR, StatisticField, candidates_of, plan_spans

DAY: Final = 24 * HOUR
_FIRST_SEARCH: Final = 2 * DAY
_LONGEST_SEARCH: Final = 10 * 366 * DAY


class DataSearch:
    """Looks for the newest data before days that have none."""

    def __init__(self, nodes: NodeCoordinator, reader: BudgetedReader) -> None:
        """Know nothing yet."""
        self._nodes = nodes
        self._reader = reader
        self.tried: dict[FieldKey, int] = {}
        """How many of a field's series have brought nothing: metadata may list one that is never written."""
        self._newest: dict[FieldKey, int] = {}
        """Where there is data again, going back, of fields that have had none for a day."""
        self.silent: set[FieldKey] = set()
        """Fields without data in the last day that was imported."""

    def may_have_data(self, field: StatisticField, start: int, end: int) -> bool:
        """Tell whether a field may have data between two times, Unix seconds."""
        return self._newest.get(field.key, end) >= start

    async def async_next_end(
        self, fields: Mapping[str, StatisticField], since: int, end: int
    ) -> int:
        """Return up to when there is something to import before `end`, the beginning of the last day.

        What had no data in that day is looked for back to `since`, over stretches of time that double in length.
        """
        before = {
            item: (max(since, end - _FIRST_SEARCH), end)
            for item in fields.values()
            if item.key in self.silent
        }
        nodes = self._nodes.data.by_id
        left = {item: len(candidates_of(nodes, item)) for item in before}
        span = _FIRST_SEARCH
        while queries := plan_spans(nodes, before, _LONGEST_SEARCH, self.tried):
            is_refused = False
            async for query, result in self._reader.query(
                replace(query, raw=True, limit=1) for query in queries
            ):
                newest = query.newest(result)
                if result.error is not None:
                    is_refused = True
                    newest = end - 1 if span <= DAY else None
                is_nowhere = (
                    result.error is None and newest is None and query.start <= since
                )
                for subject in query.subjects:
                    left[subject] -= is_nowhere
                    if is_nowhere and left[subject]:
                        self.tried[subject.key] = self.tried.get(subject.key, 0) + 1
                        before[subject] = (end, end)
                    elif is_nowhere or newest is not None:
                        self._newest[subject.key] = newest or since - 1
                        del before[subject]
                    elif result.error is None:
                        before[subject] = (query.start, query.start)
            if is_refused:
                span //= 2
            elif self._reader.can_cost_more:
                span = min(2 * span, _LONGEST_SEARCH)
            before = {
                item: (max(since, last - span), last)
                for item, (_, last) in before.items()
            }
        newest = max(
            (self._newest.get(item.key, end) for item in fields.values()), default=end
        )
        return min(end, newest // HOUR * HOUR + HOUR)
