"""The reader of telemetry for all but the polls, which leaves these what they need of the budget.

`BudgetedReader` asks queries; `TelemetryReader` asks what an action wants to know, and makes rows of the answers.
"""

import asyncio
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import batched
import math
import time
from typing import Final, Protocol, Self

from ...api import (
    Aggregate,
    AggregateFunction,
    DatabaseNamespace,
    EnirisError,
    EnirisResponseError,
    FieldValue,
    QueryCost,
    RateLimitedError,
    ReauthenticationRequiredError,
    SeriesInfo,
    Session,
    StatementResult,
    TelemetryQuery,
    UnprocessableError,
)
from ...api.telemetry import FIELDS_PER_QUERY
from ...const import LOGGER
from ...field_description import usable_number
from .poll_rate import SHARE, PollRate

MOST_QUERIES: Final = 1000
"""Of one question: as many as the service takes in one request."""

_SHORTEST_SPAN: Final = timedelta(minutes=1)

type Rows = list[tuple[datetime, dict[str, FieldValue | None]]]

_FIRST_QUERIES: Final = 10
"""In a request, before it is known what a query costs."""
_MOST_AT_ONCE: Final = 250
_SMALLEST_SHARE: Final = 0.05
_NEGLIGIBLE: Final = 0.01
"""Seconds for which waiting is not worth while."""

_RETRY_FIRST: Final = 30.0
_RETRY_LONGEST: Final = 900.0
_DAY: Final = 24 * 3600


class TelemetryReaderError(Exception):
    """The service does not answer a question."""


class StatementFailedError(TelemetryReaderError):
    """The service refuses to tell some fields."""

    def __init__(self, fields: Iterable[str], reason: str) -> None:
        """Keep the names of the fields, and what the service says."""
        self.fields = tuple(fields)
        self.reason = reason
        super().__init__(f"{', '.join(self.fields)}: {reason}")


class SeveralSeriesError(TelemetryReaderError):
    """The tags fit several series, of which no mean can be made."""


class TooDearError(TelemetryReaderError):
    """The budget has no room for a query, however it is divided."""


class DivisibleQuery(Protocol):
    """What the reader can ask."""

    def query(self) -> TelemetryQuery:
        """Return the query as the service takes it."""

    def parts(self) -> Sequence[Self]:
        """Return queries that together say the same; none if it cannot be divided."""


@dataclass(frozen=True, slots=True)
class QueryBudget:
    """What of an account's budget may be used by somebody who is not a poll."""

    per_request: float
    """The part of the budget that one request may cost."""
    of_remainder: float | None
    """The part of what polls leave over that requests may cost in the long run; None for no such limit."""
    longest_wait: float
    """Seconds for which one call waits for the budget in all; infinite: it waits for the service as well."""


ACTION_BUDGET: Final = QueryBudget(0.25, None, 300.0)
HISTORY_BUDGET: Final = QueryBudget(0.1, 0.5, math.inf)


class BudgetedReader:
    """Asks queries within a `QueryBudget`, as many in a request as that allows."""

    def __init__(self, session: Session, pace: PollRate, budget: QueryBudget) -> None:
        """Leave to the polls that `pace` paces what they need."""
        self._session = session
        self._pace = pace
        self._budget = budget
        self._most = _MOST_AT_ONCE
        self._per_query: float | None = None
        self._not_before = 0.0

    @property
    def can_cost_more(self) -> bool:
        """Whether a query that costs twice as much as the last ones would still fit into a request."""
        per_minute = self._session.budget.per_minute
        if per_minute is None or self._per_query is None:
            return True
        return 2 * self._per_query <= per_minute * self._budget.per_request

    async def query[Q: DivisibleQuery](
        self, queries: Iterable[Q]
    ) -> AsyncIterator[tuple[Q, StatementResult]]:
        """Yield each query, or the parts that it was divided into, with its result.

        With an infinite `longest_wait`, what is too dear is a result with an error, and a service that
        cannot be read is asked again; only `ReauthenticationRequiredError` is raised. Otherwise raises
        `TooDearError`, and whatever the client raises.
        """
        left = deque(queries)
        is_patient = math.isinf(self._budget.longest_wait)
        waited, retry = 0.0, _RETRY_FIRST
        while left:
            size, wait = self._next(len(left))
            if wait > _NEGLIGIBLE:
                waited += wait
                if waited > self._budget.longest_wait:
                    raise TooDearError
                await asyncio.sleep(wait)
                # A poll may have come meanwhile
                continue
            part = [left.popleft() for _ in range(size)]
            started = time.monotonic()
            try:
                answer = await self._session.query_telemetry(
                    [query.query() for query in part]
                )
            except UnprocessableError as err:
                self._most = max(1, size // 2)
                again = part if size > 1 else part[0].parts()
                left.extendleft(reversed(again))
                if not again:
                    if not is_patient:
                        raise TooDearError from err
                    yield part[0], StatementResult([], str(err))
                continue
            except EnirisError as err:
                if not is_patient or isinstance(err, ReauthenticationRequiredError):
                    raise
                LOGGER.debug("Telemetry cannot be read at present: %s", err)
                left.extendleft(reversed(part))
                told = err.retry_after if isinstance(err, RateLimitedError) else None
                await asyncio.sleep(max(retry, min(told or 0, _DAY)))
                retry = min(2 * retry, _RETRY_LONGEST)
                continue
            retry = _RETRY_FIRST
            # One query that was too dear says nothing of the others
            self._most = min(_MOST_AT_ONCE, 2 * self._most)
            self._note(answer.cost, size, time.monotonic() - started)
            for query, result in zip(part, answer.results, strict=True):
                yield query, result

    def _next(self, most: int) -> tuple[int, float]:
        """Return how many queries may be asked next, and the seconds until then."""
        most = min(most, self._most)
        pause = max(0.0, self._not_before - time.monotonic())
        per_minute = self._session.budget.per_minute
        remaining = self._session.budget.remaining
        if per_minute is None or remaining is None:
            return most, pause
        size, cost = min(most, _FIRST_QUERIES), 0.0
        if self._per_query:
            largest = per_minute * self._budget.per_request
            size = max(1, min(most, int(largest / self._per_query)))
            cost = size * self._per_query
        # Polls must find what they need, at any time
        poll = self._pace.cost or 0.0
        kept = min(2 * poll, max(poll, per_minute / 2))
        # What the bucket cannot hold is not worth waiting for
        needed = min(kept + cost, per_minute)
        return size, max(pause, 60 * (needed - remaining) / per_minute)

    def _note(self, cost: QueryCost, queries: int, seconds: float) -> None:
        """Learn from an answer what a query costs, and how long to pause after it."""
        if cost.cost is not None:
            self._per_query = cost.cost / queries
        if self._budget.of_remainder is None:
            return
        per_minute = self._session.budget.per_minute
        # If nobody says what it costs, half of the time
        pause = seconds
        if cost.cost is not None and per_minute is not None:
            remainder = per_minute * SHARE - (self._pace.cost_per_minute or 0.0)
            share = remainder * self._budget.of_remainder
            pause = 60 * cost.cost / max(share, per_minute * _SMALLEST_SHARE)
        self._not_before = time.monotonic() + pause


# What an action wants to know


@dataclass(frozen=True, slots=True)
class Column:
    """A field of a series, under the name that it has in the rows."""

    name: str
    series: SeriesInfo
    field: str


@dataclass(frozen=True, slots=True)
class TelemetryRequest:
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

    question: TelemetryRequest
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


class TelemetryReader:
    """Asks what somebody wants to know of one account, a question at a time."""

    def __init__(self, session: Session, pace: PollRate) -> None:
        """Leave to the polls that `pace` paces what they need."""
        self._session = session
        self._pace = pace
        self._turn = asyncio.Lock()

    async def ask(
        self, question: TelemetryRequest, *, skip_refused: bool = False
    ) -> tuple[Rows, bool]:
        """Return the rows, in their order, and whether there are more than the question wants.

        With `skip_refused`, what the service refuses to tell has no values. Raises
        `TelemetryReaderError`, `TooDearError`, and what the client raises.
        """
        async with self._turn:
            reader = BudgetedReader(self._session, self._pace, ACTION_BUDGET)
            results = [each async for each in reader.query(question.queries())]
        for query, result in results:
            if result.error is not None and not skip_refused:
                raise StatementFailedError(
                    dict.fromkeys(column.field for column in query.columns),
                    result.error,
                )
        if question.function is not None:
            return _aggregated(question, results), False
        return await asyncio.to_thread(_raw, question, results)


def _raw(
    question: TelemetryRequest, results: Iterable[tuple[_Query, StatementResult]]
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
    question: TelemetryRequest, results: Iterable[tuple[_Query, StatementResult]]
) -> Rows:
    found: defaultdict[tuple[int, str], list[float]] = defaultdict(list)
    for query, result in results:
        for row in (row for series in result.series for row in series.rows):
            if len(row.cells) != len(query.columns):
                raise EnirisResponseError("a row does not hold what was asked for")
            # By place: how the service names the columns is not known
            for column, cell in zip(query.columns, row.cells, strict=True):
                if (number := usable_number(cell)) is not None:
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


_TOGETHER: Final[Mapping[AggregateFunction | None, Callable[..., float]]] = {
    AggregateFunction.SUM: math.fsum,
    AggregateFunction.MIN: min,
    AggregateFunction.MAX: max,
}


def _together(
    function: AggregateFunction | None, numbers: Sequence[float]
) -> float | None:
    """Return the aggregate over parts of a span, or over series that the same tags fit."""
    if len(numbers) <= 1:
        return numbers[0] if numbers else None
    if function not in _TOGETHER:
        raise SeveralSeriesError
    return _TOGETHER[function](numbers)
