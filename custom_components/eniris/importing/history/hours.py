"""What the service says of single hours: sums, counters, means.

Statistics are kept by the hour, and the service adds up any range but groups nothing. So there is one
query per hour and series, for all that is wanted of it; the range of each is short, as it should be.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum, auto
from itertools import batched
import math
from types import MappingProxyType
from typing import Final

from homeassistant.components.sensor import SensorDeviceClass, SensorStateClass

from ...api import (
    Aggregate,
    AggregateFunction,
    DatabaseNamespace,
    SeriesInfo,
    StatementResult,
    TelemetryQuery,
)
from ...api.telemetry import FIELDS_PER_QUERY
from ..catalogue import FieldDescription, Kind
from ..nodes import Node
from ..plan import FieldKey, counting_candidates

HOUR: Final = 3600

type Tried = Mapping[FieldKey, int]
"""How many of a field's series have brought nothing, in the order of preference."""

_NONE_TRIED: Final[Tried] = MappingProxyType({})


class StatisticKind(Enum):
    """How the statistic of a field is made of what the service has."""

    SUM = auto()
    """Of the energy of intervals."""
    COUNTER = auto()
    """Of what a meter shows that only counts up."""
    BALANCE = auto()
    """Of what a meter shows that may run back."""
    MEAN = auto()
    """Of measured values."""
    MEAN_OF_DIRECTION = auto()
    """Of measured values of one sign, which the service cannot tell apart."""


@dataclass(frozen=True, slots=True, eq=False)
class StatisticField:
    """A field that has a statistic, or a direction of one."""

    key: FieldKey
    description: FieldDescription

    @property
    def is_energy_or_power(self) -> bool:
        """Whether it is of those whose past everybody wants."""
        return self.description.device_class in (
            SensorDeviceClass.ENERGY,
            SensorDeviceClass.POWER,
        )

    @property
    def method(self) -> StatisticKind | None:
        """How its statistic is made, None where it has none."""
        description = self.description
        if description.kind is not Kind.NUMBER or description.state_class is None:
            return None
        if description.accumulates:
            return StatisticKind.SUM
        if description.state_class is SensorStateClass.TOTAL_INCREASING:
            return StatisticKind.COUNTER
        if description.state_class is SensorStateClass.TOTAL:
            return StatisticKind.BALANCE
        return (
            StatisticKind.MEAN
            if description.sign is None
            else StatisticKind.MEAN_OF_DIRECTION
        )


RAW: Final = (StatisticKind.BALANCE, StatisticKind.MEAN_OF_DIRECTION)
"""Methods that need the single values."""

_FUNCTIONS: Final[Mapping[StatisticKind, tuple[AggregateFunction, ...]]] = {
    StatisticKind.SUM: (AggregateFunction.SUM,),
    StatisticKind.COUNTER: (AggregateFunction.MIN, AggregateFunction.MAX),
    StatisticKind.MEAN: (
        AggregateFunction.MEAN,
        AggregateFunction.MIN,
        AggregateFunction.MAX,
    ),
}

type Values = tuple[float, ...]
"""What is known of an hour, in the field's native unit, by `StatisticKind`.

SUM: the energy. COUNTER: lowest and highest, or all values where it fell. BALANCE: all values. MEAN and
MEAN_OF_DIRECTION: mean, lowest, highest.
"""

type Answers = dict[StatisticField, dict[int, Values]]
"""By subject and hour, in Unix seconds; hours without data are missing."""


@dataclass(frozen=True, slots=True)
class HourQuery:
    """What is asked of one series for one stretch of time, in Unix seconds, the end not included."""

    series: SeriesInfo
    subjects: tuple[StatisticField, ...]
    start: int
    end: int
    raw: bool = False
    """Whether the values themselves are asked for rather than what can be made of them."""
    limit: int | None = None
    """How many rows are asked for, the newest ones; None for all."""

    def query(self) -> TelemetryQuery:
        """Return the query."""
        select: list[str | Aggregate]
        if self.raw:
            select = list(dict.fromkeys(field.key.field for field in self.subjects))
        else:
            select = [
                Aggregate(subject.key.field, function)
                for subject in self.subjects
                for function in _functions(subject)
            ]
        return TelemetryQuery(
            DatabaseNamespace(self.series.database, self.series.retention_policy),
            self.series.measurement,
            dict(self.series.tags),
            select,
            start=datetime.fromtimestamp(self.start, UTC),
            end=datetime.fromtimestamp(self.end, UTC),
            descending=self.limit is not None,
            limit=self.limit,
        )

    def parts(self) -> "list[HourQuery]":
        """Return nothing: what is too dear of a single series and hour is not to be had."""
        return []

    def read(self, result: StatementResult) -> dict[StatisticField, Values | None]:
        """Return what the answer says, None of a field for which it is of no use.

        What has no value in this time is missing.
        """
        rows = [row for series in result.series for row in series.rows]
        are_skipped = any(series.skipped for series in result.series)
        if result.error is not None or (are_skipped and not rows):
            return dict.fromkeys(self.subjects)
        if self.raw:
            return {
                subject: _summary(subject, numbers)
                for subject, numbers in self.read_raw(result).items()
                if numbers or any(subject.key.field in row.values for row in rows)
            }
        if not rows:
            return {}
        width = sum(len(_functions(subject)) for subject in self.subjects)
        # The API answers with one row. Several, or another width, would say something else
        if are_skipped or len(rows) > 1 or len(rows[0].cells) != width:
            return dict.fromkeys(self.subjects)
        values: dict[StatisticField, Values | None] = {}
        cells = iter(rows[0].cells)
        for subject in self.subjects:
            told = [next(cells) for _ in _functions(subject)]
            numbers = [
                float(number)
                for cell in told
                if isinstance(number := subject.description.native(cell), int | float)
            ]
            if len(numbers) == len(told):
                values[subject] = tuple(numbers)
            elif any(cell is not None for cell in told):
                values[subject] = None
        return values

    def newest(self, result: StatementResult) -> int | None:
        """Return when the newest row was written, in Unix seconds, None if there is none."""
        times = (row.time for series in result.series for row in series.rows)
        newest = max(times, default=None)
        return None if newest is None else int(newest.timestamp())

    def read_raw(self, result: StatementResult) -> dict[StatisticField, list[float]]:
        """Return the values of each field in the order of time, in its native unit."""
        rows = sorted(
            (row for series in result.series for row in series.rows),
            key=lambda row: row.time,
        )
        return {
            subject: [
                float(number)
                for row in rows
                if isinstance(
                    number := subject.description.native(
                        row.values.get(subject.key.field)
                    ),
                    int | float,
                )
            ]
            for subject in self.subjects
        }


def _summary(subject: StatisticField, numbers: Sequence[float]) -> Values | None:
    if not numbers:
        return None
    if subject.method is not StatisticKind.MEAN_OF_DIRECTION:
        return tuple(numbers)
    return math.fsum(numbers) / len(numbers), min(numbers), max(numbers)


def _functions(subject: StatisticField) -> tuple[AggregateFunction, ...]:
    method = subject.method
    return () if method is None else _FUNCTIONS.get(method, ())


def plan_hours(
    nodes: Mapping[str, Node],
    subjects: Iterable[StatisticField],
    start: int,
    end: int,
    tried: Tried = _NONE_TRIED,
) -> list[HourQuery]:
    """Return what to ask for every hour from `start` to `end`, Unix seconds; the newest hour first."""
    groups = list(_grouped(nodes, subjects, tried))
    return [
        HourQuery(series, group, hour, hour + HOUR, raw)
        for hour in reversed(range(start, end, HOUR))
        for series, group, raw in groups
    ]


def plan_spans(
    nodes: Mapping[str, Node],
    spans: Mapping[StatisticField, tuple[int, int]],
    longest: int,
    tried: Tried = _NONE_TRIED,
) -> list[HourQuery]:
    """Return what to ask for stretches of time that differ by subject, in steps not longer than `longest`."""
    by_span: defaultdict[tuple[int, int], list[StatisticField]] = defaultdict(list)
    for subject, span in spans.items():
        by_span[span].append(subject)
    return [
        HourQuery(series, group, first, min(first + longest, end), raw)
        for (start, end), subjects in by_span.items()
        for series, group, raw in _grouped(nodes, subjects, tried)
        for first in range(start, end, longest)
    ]


def plan_raw(
    nodes: Mapping[str, Node],
    hours: Iterable[tuple[StatisticField, int]],
    tried: Tried = _NONE_TRIED,
) -> list[HourQuery]:
    """Return what to ask for the single values of some hours."""
    return [
        HourQuery(series, (subject,), hour, hour + HOUR, True)
        for subject, hour in hours
        if (series := series_of(nodes, subject, tried)) is not None
    ]


def candidates_of(
    nodes: Mapping[str, Node], subject: StatisticField
) -> list[SeriesInfo]:
    """Return the series that a statistic can be made of, the one a minute first."""
    node = nodes.get(subject.key.node_id)
    if node is None:
        return []
    return counting_candidates(node, subject.key.measurement, subject.key.field)


def series_of(
    nodes: Mapping[str, Node], subject: StatisticField, tried: Tried = _NONE_TRIED
) -> SeriesInfo | None:
    """Return the series that a statistic is made of: the first that was not tried, or the first."""
    candidates = candidates_of(nodes, subject)
    if not candidates:
        return None
    return candidates[tried.get(subject.key, 0) % len(candidates)]


def _grouped(
    nodes: Mapping[str, Node], subjects: Iterable[StatisticField], tried: Tried
) -> Iterable[tuple[SeriesInfo, tuple[StatisticField, ...], bool]]:
    """Yield what can share a query: series, subjects, and whether single values are needed."""
    together: defaultdict[tuple[str, SeriesInfo, bool], list[StatisticField]] = (
        defaultdict(list)
    )
    for subject in subjects:
        series = series_of(nodes, subject, tried)
        if series is not None and subject.method is not None:
            raw = subject.method in RAW
            together[subject.key.node_id, series, raw].append(subject)
    for (_, series, raw), group in together.items():
        # What the service makes of a field is up to three columns
        most = FIELDS_PER_QUERY if raw else FIELDS_PER_QUERY // 3
        for part in batched(group, most, strict=False):
            yield series, part, raw
