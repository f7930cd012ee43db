"""Telemetry queries: how one is said, and what comes back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import StrEnum
from functools import lru_cache
from math import isfinite, nan
from operator import attrgetter
import re
from typing import Any, Final

import orjson

from .errors import EnirisQueryError, EnirisResponseError

QUERIES_PER_REQUEST: Final = 1000
FIELDS_PER_QUERY: Final = 100

type FieldValue = float | int | bool | str

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

_OLDEST: Final = datetime(1677, 9, 21, 0, 12, 43, 145224, UTC)
_LATEST: Final = datetime(2262, 4, 11, 23, 47, 16, 854775, UTC)
"""Between these two lie the times that InfluxDB can store. What is outside is no time of anything."""

_EXACT: Final = frozenset({int, bool, str})
"""Values of which none is no number; among floats there may be."""

_REMEMBERED: Final = 4096
"""Texts that are known to be valid or not: polls ask for the same ones over and over."""

_NAME: Final = re.compile(r"[a-zA-Z0-9_\-]+")
_FIELD: Final = re.compile(r"[a-zA-Z0-9_ \-+*/.²³%()]+")
_TAG_VALUE: Final = re.compile(r"[\x20-\x7e\xa0-\xff]+")


@lru_cache(maxsize=_REMEMBERED)
def is_name(text: str) -> bool:
    """Tell whether the query language takes `text` as database, policy or measurement."""
    return _NAME.fullmatch(text) is not None


@lru_cache(maxsize=_REMEMBERED)
def is_queryable_field(text: str) -> bool:
    """Tell whether the query language takes `text` as a field's name."""
    return _FIELD.fullmatch(text) is not None


@lru_cache(maxsize=_REMEMBERED)
def is_tag_value(text: str) -> bool:
    """Tell whether the query language takes `text` as a tag's value, or as its key.

    The API page says nothing of keys; one bad query spoils its whole request.
    """
    return _TAG_VALUE.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class DatabaseNamespace:
    """Where InfluxDB 1 keeps the points of a series."""

    database: str
    retention_policy: str


class AggregateFunction(StrEnum):
    """What the service computes over a time range."""

    SUM = "sum"
    MIN = "min"
    MAX = "max"
    MEAN = "mean"


@dataclass(frozen=True, slots=True)
class Aggregate:
    """One value computed from all values of a field in the time range."""

    field: str
    function: AggregateFunction


@dataclass(frozen=True, slots=True)
class TelemetryQuery:
    """The rows of one series, from `start` (inclusive) to `end` (exclusive), both aware.

    Both go out in whole milliseconds, rounded down: adjoining ranges stay adjoining.
    Raises `EnirisQueryError` for what the API would answer with a 400 to the whole request.
    """

    namespace: DatabaseNamespace
    measurement: str
    tags: Mapping[str, str]
    select: Sequence[str | Aggregate]
    start: datetime | None = None
    end: datetime | None = None
    descending: bool = False
    limit: int | None = None

    def __post_init__(self) -> None:
        """Check the rules that the API page gives for names and tags."""
        for item in self.select:
            name = item if isinstance(item, str) else item.field
            if not is_queryable_field(name):
                raise EnirisQueryError(f"{name!r} cannot be asked for as a field")
        source = self.namespace
        for name in (self.measurement, source.database, source.retention_policy):
            if not is_name(name):
                raise EnirisQueryError(f"{name!r} is not a valid name")
        if not self.tags:
            raise EnirisQueryError("a query names at least one tag")
        for text in (*self.tags, *self.tags.values()):
            if not is_tag_value(text):
                raise EnirisQueryError(f"{text!r} cannot be asked for in a tag")

    def as_json(self) -> dict[str, Any]:
        """Return the API's form, as orjson takes it; times as Unix milliseconds."""
        times = [
            {"operator": operator, "value": _milliseconds(moment)}
            for operator, moment in ((">=", self.start), ("<", self.end))
            if moment is not None
        ]
        source = {
            "version": "1",
            "database": self.namespace.database,
            "retentionPolicy": self.namespace.retention_policy,
        }
        query: dict[str, Any] = {
            "select": list(self.select),
            "from": {"namespace": source, "measurement": self.measurement},
            "where": {"tags": dict(self.tags)} | ({"time": times} if times else {}),
            "orderBy": "DESC" if self.descending else "ASC",
        }
        if self.limit is not None:
            query["limit"] = self.limit
        return query


@dataclass(frozen=True, slots=True)
class Row:
    """One instant. `values` by column, without nulls; `cells` in the order of what was selected.

    Aggregates are told apart by their place: how the service names their columns is not known.
    """

    time: datetime
    values: dict[str, FieldValue]
    # The same values once more: two rows are equal where time and values are
    cells: tuple[FieldValue | None, ...] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class ResultSeries:
    """The rows of one series, in the order in which they came."""

    name: str
    tags: Mapping[str, str]
    rows: list[Row]
    skipped: int = 0
    """Rows that could not be read."""

    def newest(self) -> dict[str, tuple[datetime, FieldValue]]:
        """Return time and value of each field's newest value, whatever the rows' order."""
        newest: dict[str, tuple[datetime, FieldValue]] = {}
        for row in sorted(self.rows, key=attrgetter("time"), reverse=True):
            for name in row.values.keys() - newest.keys():
                newest[name] = (row.time, row.values[name])
        return newest


@dataclass(frozen=True, slots=True)
class StatementResult:
    """What one query brought: series, or `error`, or neither where it matched no data."""

    series: list[ResultSeries]
    error: str | None = None


@dataclass(frozen=True, slots=True)
class QueryCost:
    """What the rate limit's headers tell, in tokens; None where the server does not say."""

    cost: float | None = None
    remaining: float | None = None
    used: float | None = None

    def plus(self, later: "QueryCost") -> "QueryCost":
        """Return the cost of both requests and the bucket's level after the later one."""
        known = [cost for cost in (self.cost, later.cost) if cost is not None]
        return QueryCost(sum(known) if known else None, later.remaining, later.used)


@dataclass(slots=True)
class TelemetryAnswer:
    """Results in the order of the queries, and what they cost."""

    results: list[StatementResult]
    cost: QueryCost
    time: datetime | None = None
    """The service's time at the first of the requests, None where it does not say."""


def encode_queries(queries: Sequence[TelemetryQuery]) -> bytes:
    """Return the body of a request for `queries`."""
    return orjson.dumps([query.as_json() for query in queries])


def parse_cost(headers: Mapping[str, str]) -> QueryCost:
    """Read the rate limit's headers; a malformed one counts as absent."""
    return QueryCost(
        *(
            _header_number(headers.get(f"X-RateLimit-{name}"))
            for name in ("Cost", "Remaining", "Used")
        )
    )


def parse_http_date(text: str) -> datetime | None:
    """Read a date as headers have it; a malformed one counts as absent."""
    try:
        moment = parsedate_to_datetime(text)
        return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def parse_date(headers: Mapping[str, str]) -> datetime | None:
    """Read the time at which the service answered, None where that cannot be one."""
    moment = parse_http_date(headers.get("Date", ""))
    return moment if moment and _OLDEST <= moment <= _LATEST else None


def parse_statements(body: Any, expected: int) -> list[StatementResult]:
    """Return one result per statement; a malformed one becomes an error of its own.

    Raises `EnirisResponseError` where the answer as a whole does not fit the request.
    """
    statements = [body] if isinstance(body, dict) else body
    if not isinstance(statements, list) or len(statements) != expected:
        raise EnirisResponseError(
            f"the answer does not hold one result for each of {expected} queries"
        )
    return [_parse_statement(statement) for statement in statements]


def _parse_statement(statement: Any) -> StatementResult:
    if not isinstance(statement, dict):
        return StatementResult([], "the result is not an object")
    error, entries = statement.get("error"), statement.get("series")
    if error is not None:
        return StatementResult([], error if isinstance(error, str) else "unknown error")
    if entries is None:
        return StatementResult([])
    if not isinstance(entries, list):
        return StatementResult([], "the result holds no list of series")
    series = [item for item in map(_parse_series, entries) if item is not None]
    if entries and not series:
        return StatementResult([], "no series of the result could be read")
    return StatementResult(series)


def _parse_series(entry: Any) -> ResultSeries | None:
    if not isinstance(entry, dict):
        return None
    columns, values = entry.get("columns"), entry.get("values")
    if (
        not isinstance(columns, list)
        or not isinstance(values, list)
        or "time" not in columns
    ):
        return None
    time_index = columns.index("time")
    names = [
        column if isinstance(column, str) and column != "time" else None
        for index, column in enumerate(columns)
        if index != time_index
    ]
    rows: list[Row] = []
    for line in values:
        if not isinstance(line, list) or len(line) != len(columns):
            continue
        moment = parse_time(line[time_index])
        if moment is None:
            continue
        # Not a function for each cell: an account has tens of thousands of them at a poll
        cells: list[Any] = line[:time_index] + line[time_index + 1 :]
        for index, value in enumerate(cells):
            kind = type(value)
            if kind not in _EXACT and not (kind is float and isfinite(value)):
                cells[index] = None
        rows.append(
            Row(
                moment,
                {
                    name: cell
                    for name, cell in zip(names, cells, strict=True)
                    if cell is not None and name is not None
                },
                tuple(cells),
            )
        )
    tags = entry.get("tags")
    name = entry.get("name")
    return ResultSeries(
        name if isinstance(name, str) else "",
        {key: value for key, value in tags.items() if isinstance(value, str)}
        if isinstance(tags, dict)
        else {},
        rows,
        len(values) - len(rows),
    )


def parse_time(value: Any) -> datetime | None:
    """Return an aware time from ISO 8601 (up to 9 digits of a second) or Unix milliseconds.

    None for anything else, and for what InfluxDB cannot store: nobody has to add to a time with
    care.
    """
    try:
        if isinstance(value, str):
            moment = datetime.fromisoformat(value)
            if moment.tzinfo is not UTC:
                moment = moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            moment = datetime.fromtimestamp(value / 1000, UTC)
        else:
            return None
    except (ValueError, OverflowError, OSError):
        return None
    return moment if _OLDEST <= moment <= _LATEST else None


def _milliseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def _header_number(text: str | None) -> float | None:
    try:
        number = float(text) if text is not None else nan
    except ValueError:
        return None
    return number if isfinite(number) else None
