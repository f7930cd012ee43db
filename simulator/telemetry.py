"""Telemetry queries as they are answered: from the world and from what was written."""

import asyncio
from collections.abc import Callable, Iterable
from datetime import datetime
import json
import math
from typing import Any

from aiohttp import web

from .auth import Authority
from .errors import ApiError
from .model import FieldValue, SeriesKey, World
from .query import Query, Selected, parse_queries
from .rate_limit import QueryEstimate, RateLimiter, request_cost
from .request_log import RequestLog, current_request
from .shapes import json_body, only_query_keys
from .store import PointStore, field_type
from .switches import Switches
from .timestamps import NS_PER_MS, datetime_to_ns, format_ns
from .world_index import WorldIndex

# How far back an open range reaches
HORIZON_DAYS = 366
# Where rows lie in the future, and how far at most; of all else a world knows the past alone
PLANNING = "planning"
PLANNED_DAYS = 2
# Rows that one query may touch, as InfluxDB's max-select-point
MAX_ROWS = 100_000

_NS_PER_DAY = 86_400_000 * NS_PER_MS
_FOREVER_NS = 2**63
# Distance of rows of which only the retention policy is known
_POLICY_INTERVAL_MS = {"rp_one_m": 60_000}
_DEFAULT_INTERVAL_MS = 1_000

type Row = tuple[int, dict[str, FieldValue]]


class StatementError(Exception):
    """One query fails; the others do not."""


class TelemetryApi:
    """`POST /v1/telemetry/query`, of the api host."""

    def __init__(
        self,
        *,
        world: World,
        index: WorldIndex,
        store: PointStore,
        authority: Authority,
        limiter: RateLimiter,
        log: RequestLog,
        clock: Callable[[], datetime],
        switches: Switches,
    ) -> None:
        """Answer from a world and a store."""
        self._world = world
        self._index = index
        self._store = store
        self._authority = authority
        self._limiter = limiter
        self._log = log
        self._clock = clock
        self._switches = switches

    def routes(self) -> list[web.RouteDef]:
        """Return the route."""
        return [web.post("/v1/telemetry/query", self.query)]

    async def query(self, request: web.Request) -> web.Response:
        """Answer one query or an array of them.

        400 not of the documented form; 401; 403 the tier may not be used; 422 dearer than the whole bucket; 429 the
        bucket is full, with `Retry-After`. Once the token is good, every answer carries the rate-limit headers.
        """
        remote = request.remote or ""
        self._limiter.refuse_banned(remote)
        account, _ = self._authority.require(request, "access")
        try:
            queries = await self._queries(request)
            now_ns = datetime_to_ns(self._clock())
            cost = request_cost([self.estimate(query, now_ns) for query in queries])
            current_request().cost = cost
            headers = self._limiter.admit(account.user_id, remote, cost)
        except ApiError as err:
            err.headers = {**self._limiter.free_headers(account.user_id), **err.headers}
            raise
        answers: list[dict[str, Any]] = []
        for number, query in enumerate(queries):
            answers.append(self.answer(number, query, now_ns))
            await asyncio.sleep(0)
        is_array = (await request.read()).lstrip().startswith(b"[")
        text = json.dumps(answers if is_array else answers[0], separators=(",", ":"))
        return web.Response(text=text, content_type="application/json", headers=headers)

    async def _queries(self, request: web.Request) -> list[Query]:
        if not self._switches.tier_allowed:
            raise ApiError(403, "The account may not use this tier")
        only_query_keys(request)
        self._log.keep_body(current_request(), await request.read())
        return parse_queries(await json_body(request))

    def estimate(self, query: Query, now_ns: int) -> QueryEstimate:
        """Return what a query is expected to touch; without a start of its range, the worst case in spite of `limit`."""
        start_ns, end_ns = _closed_range(query, now_ns)
        span_ns = max(0, end_ns - start_ns)
        shards = (
            0
            if span_ns == 0
            else (end_ns - 1) // _NS_PER_DAY - start_ns // _NS_PER_DAY + 1
        )
        rows = 0
        for series in self._matching(query):
            expected = self._expected_rows(series, span_ns)
            is_limited = query.limit is not None and query.start_ns is not None
            rows += min(expected, query.limit or expected) if is_limited else expected
        return QueryEstimate(rows * len(query.select), shards)

    def answer(self, number: int, query: Query, now_ns: int) -> dict[str, Any]:
        """Return one item of the answer: `statement_id` and `series`, `error`, or nothing more where there is no data."""
        answer: dict[str, Any] = {"statement_id": number}
        try:
            if series := [
                found
                for key in self._matching_or_fail(query)
                if (found := self._read(query, key, now_ns))
            ]:
                answer["series"] = series
        except StatementError as err:
            answer["error"] = str(err)
        return answer

    def _matching_or_fail(self, query: Query) -> list[SeriesKey]:
        if query.error is not None:
            raise StatementError(query.error)
        if query.namespace not in self._switches.namespaces | self._index.namespaces():
            raise StatementError("Unauthorized")
        functions = {item.function is None for item in query.select}
        if len(functions) > 1 and self._switches.refuse_mixed_select:
            raise StatementError(
                "mixing aggregate and non-aggregate queries is not supported"
            )
        return self._matching(query)

    def _matching(self, query: Query) -> list[SeriesKey]:
        if query.namespace is None:
            return []
        wanted = query.tags.items()
        written = {
            series
            for series in self._store.series()
            if (series.database, series.retention_policy) == query.namespace
            and series.measurement == query.measurement
            and wanted <= dict(series.tags).items()
        }
        return sorted(
            written.union(
                self._index.matching(*query.namespace, query.measurement, query.tags)
            )
        )

    def _read(
        self, query: Query, series: SeriesKey, now_ns: int
    ) -> dict[str, Any] | None:
        fields = query.fields & (
            self._world.fields(series) | self._store.fields(series)
        )
        if not fields:
            return None
        is_aggregated = any(item.function is not None for item in query.select)
        limit = None if is_aggregated else query.limit
        rows = self._rows(query, series, fields, limit, now_ns)
        if not rows:
            return None
        if is_aggregated:
            rows = [(query.start_ns or 0, _aggregate(query, rows))]
            names = [item.function or item.field for item in query.select]
            if self._switches.aggregate_columns == "field":
                names = [item.field for item in query.select]
            values = [[rows[0][1].get(_column(item)) for item in query.select]]
        else:
            names = [item.field for item in query.select]
            values = [[row.get(name) for name in names] for _, row in rows]
        time_format = self._switches.time_format
        return {
            "name": series.measurement,
            "tags": dict(series.tags),
            "columns": ["time", *_distinct(names)],
            "values": [
                [format_ns(time_ns, time_format), *map(_as_influxdb, row)]
                for (time_ns, _), row in zip(rows, values, strict=True)
            ],
        }

    def _rows(
        self,
        query: Query,
        series: SeriesKey,
        fields: frozenset[str],
        limit: int | None,
        now_ns: int,
    ) -> list[Row]:
        """Return the rows of a query in its order."""
        rows: dict[int, dict[str, FieldValue]] = {}
        if world_fields := fields & self._world.fields(series):
            start_ns, end_ns = _closed_range(query, now_ns)
            expected = self._expected_rows(series, max(0, end_ns - start_ns))
            if min(expected, limit or expected) > MAX_ROWS:
                raise StatementError(
                    f"max-select-point limit exceeded: ({expected}/{MAX_ROWS})"
                )
            rows = dict(self._world_rows(query, series, world_fields, limit, now_ns))
        # What was written may lie in the future, of which a world tells nothing
        written_start_ns = -_FOREVER_NS if query.start_ns is None else query.start_ns
        written_end_ns = _FOREVER_NS if query.end_ns is None else query.end_ns
        for time_ns, written in self._store.rows(
            series, written_start_ns, written_end_ns
        ):
            if kept := {
                name: value for name, value in written.items() if name in fields
            }:
                rows[time_ns] = rows.get(time_ns, {}) | kept
        ordered = sorted(rows.items(), reverse=query.descending)
        return ordered[:limit]

    def _world_rows(
        self,
        query: Query,
        series: SeriesKey,
        fields: frozenset[str],
        limit: int | None,
        now_ns: int,
    ) -> Iterable[Row]:
        start_ns, end_ns = _closed_range(query, now_ns)
        start_ms, end_ms = _ceil_ms(start_ns), _ceil_ms(end_ns)
        if start_ms >= end_ms:
            return
        if limit is None or query.descending:
            for row in self._world.rows(series, fields, start_ms, end_ms, newest=limit):
                yield row.time_ms * NS_PER_MS, row.fields
            return
        # A world can be asked for its newest rows only: the oldest are sought window by window
        window_ms = limit * self._world.interval_ms(series)
        while limit > 0 and start_ms < end_ms:
            for row in self._world.rows(
                series, fields, start_ms, min(start_ms + window_ms, end_ms)
            ):
                yield row.time_ms * NS_PER_MS, row.fields
                limit -= 1
            start_ms += window_ms
            window_ms = min(2 * window_ms, MAX_ROWS * self._world.interval_ms(series))

    def _expected_rows(self, series: SeriesKey, span_ns: int) -> int:
        if self._world.fields(series):
            interval_ms = self._world.interval_ms(series)
        else:
            interval_ms = _POLICY_INTERVAL_MS.get(
                series.retention_policy, _DEFAULT_INTERVAL_MS
            )
        return math.ceil(span_ns / (interval_ms * NS_PER_MS))


def _closed_range(query: Query, now_ns: int) -> tuple[int, int]:
    if query.measurement == PLANNING:
        now_ns += PLANNED_DAYS * _NS_PER_DAY
    end_ns = now_ns if query.end_ns is None else min(query.end_ns, now_ns)
    return (
        now_ns - HORIZON_DAYS * _NS_PER_DAY
        if query.start_ns is None
        else query.start_ns
    ), end_ns


def _ceil_ms(time_ns: int) -> int:
    return -(-time_ns // NS_PER_MS)


def _column(item: Selected) -> str:
    return f"{item.function} {item.field}"


def _aggregate(query: Query, rows: list[Row]) -> dict[str, FieldValue]:
    """Return one value per selected item; a plain field among them gives its first value in the query's order."""
    result: dict[str, FieldValue] = {}
    for item in query.select:
        values = [row[item.field] for _, row in rows if item.field in row]
        if not values:
            continue
        if item.function is None:
            result[_column(item)] = values[0]
            continue
        numbers = [value for value in values if not isinstance(value, bool | str)]
        if len(numbers) < len(values):
            wrong = next(value for value in values if isinstance(value, bool | str))
            raise StatementError(
                f"unsupported {item.function} iterator type: {field_type(wrong)}"
            )
        result[_column(item)] = _FUNCTIONS[item.function](numbers)
    return result


def _total(numbers: list[float]) -> float:
    return (
        math.fsum(numbers)
        if any(isinstance(number, float) for number in numbers)
        else sum(numbers)
    )


_FUNCTIONS: dict[str, Callable[[list[float]], float]] = {
    "sum": _total,
    "min": min,
    "max": max,
    "mean": lambda numbers: math.fsum(numbers) / len(numbers),
}


def _distinct(names: list[str]) -> list[str]:
    """Return column names as InfluxDB makes them unique: `sum`, `sum_1`, `sum_2`."""
    seen: dict[str, int] = {}
    result = []
    for name in names:
        count = seen.get(name, 0)
        seen[name] = count + 1
        result.append(f"{name}_{count}" if count else name)
    return result


def _as_influxdb(value: FieldValue | None) -> FieldValue | None:
    """Return a value as InfluxDB's JSON shows it: a whole float looks like an integer."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return int(value)
    return value
