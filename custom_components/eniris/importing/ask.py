"""Telemetry that somebody asks for: what to ask, within what polls leave of the budget, and the rows that come of it."""

import asyncio
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import batched
import math
from typing import Final

from ..api import (
    Aggregate,
    AggregateFunction,
    DatabaseNamespace,
    EnirisResponseError,
    FieldValue,
    SeriesInfo,
    Session,
    StatementResult,
    TelemetryQuery,
    UnprocessableError,
)
from ..api.telemetry import FIELDS_PER_QUERY
from .pace import Pace

MOST_QUERIES: Final = 1000
"""Of one question: as many as the service takes in one request."""

_FIRST_QUERIES: Final = 10
_MOST_AT_ONCE: Final = 250
_LARGEST_PART: Final = 0.25
"""Of the budget, in one request."""

_LONGEST_WAIT: Final = 300.0
"""Seconds for which a question waits for the budget in all."""

_SHORTEST_SPAN: Final = timedelta(minutes=1)

type Rows = list[tuple[datetime, dict[str, FieldValue | None]]]


class QuestionError(Exception):
    """The service does not answer a question."""


class StatementFailedError(QuestionError):
    """The service refuses to tell some fields."""

    def __init__(self, fields: Iterable[str], reason: str) -> None:
        """Keep the names of the fields, and what the service says."""
        self.fields = tuple(fields)
        self.reason = reason
        super().__init__(f"{', '.join(self.fields)}: {reason}")


class SeveralSeriesError(QuestionError):
    """The tags fit several series, of which no mean can be made."""


class TooDearError(QuestionError):
    """The budget has no room for the question, however it is divided."""


@dataclass(frozen=True, slots=True)
class Column:
    """A field of a series, under the name that it has in the rows."""

    name: str
    series: SeriesInfo
    field: str


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked for: the rows between two times, or one value for each of `spans`."""

    columns: Sequence[Column]
    spans: Sequence[tuple[datetime, datetime]]
    """Start and end, the end not included. Without a function, one."""
    function: AggregateFunction | None = None
    limit: int | None = None
    """The most rows; None where there is one for each span."""
    descending: bool = False

    def queries(self) -> "list[_Query]":
        """Return what has to be asked, in the order of the rows."""
        by_series: defaultdict[SeriesInfo, list[Column]] = defaultdict(list)
        for column in self.columns:
            by_series[column.series].append(column)
        groups = [
            group
            for columns in by_series.values()
            for group in batched(columns, FIELDS_PER_QUERY, strict=False)
        ]
        return [
            _Query(self, group, number, *span)
            for number, span in enumerate(self.spans)
            for group in groups
        ]


@dataclass(frozen=True, slots=True)
class _Query:
    """Some columns of one series over one span or a part of it."""

    question: Question
    columns: tuple[Column, ...]
    number: int
    """Of the span."""
    start: datetime
    end: datetime

    def query(self) -> TelemetryQuery:
        """Return the query."""
        series, function = self.columns[0].series, self.question.function
        limit = self.question.limit
        fields = dict.fromkeys(column.field for column in self.columns)
        return TelemetryQuery(
            DatabaseNamespace(series.database, series.retention_policy),
            series.measurement,
            dict(series.tags),
            list(fields)
            if function is None
            else [Aggregate(column.field, function) for column in self.columns],
            start=self.start,
            end=self.end,
            descending=self.question.descending and function is None,
            # One more tells whether there are more
            limit=None if limit is None or function is not None else limit + 1,
        )

    def parts(self) -> "list[_Query]":
        """Return queries that together say the same; none where it cannot be divided."""
        if len(self.columns) > 1:
            half = len(self.columns) // 2
            return [
                replace(self, columns=self.columns[:half]),
                replace(self, columns=self.columns[half:]),
            ]
        if (
            # A mean of means is none
            self.question.function is AggregateFunction.MEAN
            or self.end - self.start < 2 * _SHORTEST_SPAN
        ):
            return []
        middle = self.start + (self.end - self.start) / 2
        return [replace(self, end=middle), replace(self, start=middle)]


class Asker:
    """Asks what somebody wants to know of one account, a question at a time."""

    def __init__(self, session: Session, pace: Pace) -> None:
        """Leave to the polls that `pace` paces what they need."""
        self._session = session
        self._pace = pace
        self._turn = asyncio.Lock()

    async def ask(self, question: Question) -> tuple[Rows, bool]:
        """Return the rows, in their order, and whether there are more than the question wants.

        Raises `QuestionError`, and what the client raises.
        """
        async with self._turn:
            results = [
                (query, result)
                async for query, result in self._results(question.queries())
            ]
        for query, result in results:
            if result.error is not None:
                raise StatementFailedError(
                    dict.fromkeys(column.field for column in query.columns),
                    result.error,
                )
        if question.function is not None:
            return _aggregated(question, results), False
        return await asyncio.to_thread(_raw, question, results)

    async def _results(
        self, queries: Sequence[_Query]
    ) -> AsyncIterator[tuple[_Query, StatementResult]]:
        left = deque(queries)
        waited, most = 0.0, _MOST_AT_ONCE
        per_query: float | None = None
        while left:
            size, wait = self._next(min(len(left), most), per_query)
            waited += wait
            if waited > _LONGEST_WAIT:
                raise TooDearError
            if wait > 0:
                await asyncio.sleep(wait)
            part = [left.popleft() for _ in range(size)]
            try:
                answer = await self._session.query_telemetry(
                    [query.query() for query in part]
                )
            except UnprocessableError as err:
                most = max(1, size // 2)
                again = part if size > 1 else part[0].parts()
                if not again:
                    raise TooDearError from err
                left.extendleft(reversed(again))
                continue
            if answer.cost.cost is not None:
                per_query = answer.cost.cost / size
            for query, result in zip(part, answer.results, strict=True):
                yield query, result

    def _next(self, most: int, per_query: float | None) -> tuple[int, float]:
        """Return how many queries may be asked next, and the seconds until then.

        Polls must find what they need, at any time.
        """
        budget = self._session.budget
        per_minute, remaining = budget.per_minute, budget.remaining
        if per_minute is None or remaining is None:
            return most, 0.0
        size = min(most, _FIRST_QUERIES)
        cost = 0.0
        if per_query:
            size = max(1, min(most, int(per_minute * _LARGEST_PART / per_query)))
            cost = size * per_query
        kept = min(2 * (self._pace.cost or 0.0), per_minute / 2)
        # What the bucket cannot hold is not worth waiting for
        needed = min(kept + cost, per_minute)
        return size, max(0.0, 60 * (needed - remaining) / per_minute)


def _raw(
    question: Question, results: Iterable[tuple[_Query, StatementResult]]
) -> tuple[Rows, bool]:
    rows: defaultdict[datetime, dict[str, FieldValue]] = defaultdict(dict)
    for query, result in results:
        for series in result.series:
            for row in series.rows:
                values = rows[row.time]
                for column in query.columns:
                    value = row.values.get(column.field)
                    if value is not None:
                        values[column.name] = value
    times = sorted(rows, reverse=question.descending)
    kept = times[: question.limit]
    empty: dict[str, FieldValue | None] = dict.fromkeys(
        column.name for column in question.columns
    )
    # Not before: what is left out may be many times as much, one limit of each series
    return [(time, {**empty, **rows[time]}) for time in kept], len(kept) < len(times)


def _aggregated(
    question: Question, results: Iterable[tuple[_Query, StatementResult]]
) -> Rows:
    found: defaultdict[tuple[int, str], list[float]] = defaultdict(list)
    for query, result in results:
        for column, number in _cells(query, result):
            found[query.number, column.name].append(number)
    return [
        (
            start,
            {
                column.name: _together(question.function, found[number, column.name])
                for column in question.columns
            },
        )
        for number, (start, _) in enumerate(question.spans)
    ]


def _cells(
    query: _Query, result: StatementResult
) -> Iterator[tuple[Column, float | int]]:
    for series in result.series:
        for row in series.rows:
            if len(row.cells) != len(query.columns):
                raise EnirisResponseError("a row does not hold what was asked for")
            # By place: how the service names the columns is not known
            for column, cell in zip(query.columns, row.cells, strict=True):
                if isinstance(cell, int | float) and not isinstance(cell, bool):
                    yield column, cell


def _together(
    function: AggregateFunction | None, numbers: Sequence[float]
) -> float | None:
    """Return the aggregate over parts of a span, or over series that the same tags fit."""
    if len(numbers) <= 1:
        return numbers[0] if numbers else None
    match function:
        case AggregateFunction.SUM:
            return math.fsum(numbers)
        case AggregateFunction.MIN:
            return min(numbers)
        case AggregateFunction.MAX:
            return max(numbers)
        case _:
            raise SeveralSeriesError
