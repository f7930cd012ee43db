"""What the service says of single hours: sums, counters, means.

Statistics are kept by the hour, and the service adds up any range but groups nothing. So there is one
query per hour and series, for all that is wanted of it; the range of each is short, as it should be.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum, auto
import math
from typing import Final

from homeassistant.components.sensor import SensorDeviceClass, SensorStateClass

from ..api import (
    Aggregate,
    AggregateFunction,
    DatabaseNamespace,
    SeriesInfo,
    StatementResult,
    TelemetryQuery,
)
from ..api.telemetry import FIELDS_PER_QUERY
from .catalogue import FieldDescription, Kind
from .nodes import Node
from .plan import FieldKey, counting_series

HOUR: Final = 3600


class Method(Enum):
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
class Subject:
    """A field that has a statistic, or a direction of one."""

    key: FieldKey
    description: FieldDescription

    def unique_id(self, account: str | None) -> str:
        """Return the identity of its entity."""
        return self.key.unique_id(account, self.description.part)

    @property
    def is_energy_or_power(self) -> bool:
        """Whether it is of those whose past everybody wants."""
        return self.description.device_class in (
            SensorDeviceClass.ENERGY,
            SensorDeviceClass.POWER,
        )

    @property
    def method(self) -> Method | None:
        """How its statistic is made, None where it has none."""
        description = self.description
        if description.kind is not Kind.NUMBER or description.state_class is None:
            return None
        if description.accumulates:
            return Method.SUM
        if description.state_class is SensorStateClass.TOTAL_INCREASING:
            return Method.COUNTER
        if description.state_class is SensorStateClass.TOTAL:
            return Method.BALANCE
        return Method.MEAN if description.sign is None else Method.MEAN_OF_DIRECTION


RAW: Final = (Method.BALANCE, Method.MEAN_OF_DIRECTION)
"""Methods that need the single values."""

_FUNCTIONS: Final[Mapping[Method, tuple[AggregateFunction, ...]]] = {
    Method.SUM: (AggregateFunction.SUM,),
    Method.COUNTER: (AggregateFunction.MIN, AggregateFunction.MAX),
    Method.MEAN: (
        AggregateFunction.MEAN,
        AggregateFunction.MIN,
        AggregateFunction.MAX,
    ),
}

type Values = tuple[float, ...]
"""What is known of an hour, in the field's native unit, by `Method`.

SUM: the energy. COUNTER: lowest and highest, or all values where it fell. BALANCE: all values. MEAN and
MEAN_OF_DIRECTION: mean, lowest, highest.
"""

type Answers = dict[Subject, dict[int, Values]]
"""By subject and hour, in Unix seconds; hours without data are missing."""


@dataclass(frozen=True, slots=True)
class HourQuery:
    """What is asked of one series for one stretch of time, in Unix seconds, the end not included."""

    series: SeriesInfo
    subjects: tuple[Subject, ...]
    start: int
    end: int
    raw: bool = False
    """Whether the values themselves are asked for rather than what can be made of them."""

    def query(self) -> TelemetryQuery:
        """Return the query."""
        select: list[str | Aggregate]
        if self.raw:
            select = list(self._fields())
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
        )

    def _fields(self) -> Iterable[str]:
        return dict.fromkeys(subject.key.field for subject in self.subjects)

    def read(self, result: StatementResult) -> dict[Subject, Values]:
        """Return what the answer says; what has no value in this time is missing."""
        if self.raw:
            return {
                subject: _summary(subject, numbers)
                for subject, numbers in self.read_raw(result).items()
                if numbers
            }
        rows = [row.cells for series in result.series for row in series.rows]
        width = sum(len(_functions(subject)) for subject in self.subjects)
        values: dict[Subject, Values] = {}
        # The API answers with one row. Several, or another width, would say something else
        if len(rows) != 1 or len(rows[0]) != width:
            return values
        cells = iter(rows[0])
        for subject in self.subjects:
            found = tuple(
                float(number)
                for _ in _functions(subject)
                if isinstance(
                    number := subject.description.native(next(cells)), int | float
                )
            )
            if len(found) == len(_functions(subject)):
                values[subject] = found
        return values

    def read_raw(self, result: StatementResult) -> dict[Subject, list[float]]:
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


def _summary(subject: Subject, numbers: Sequence[float]) -> Values:
    if subject.method is not Method.MEAN_OF_DIRECTION:
        return tuple(numbers)
    return math.fsum(numbers) / len(numbers), min(numbers), max(numbers)


def _functions(subject: Subject) -> tuple[AggregateFunction, ...]:
    method = subject.method
    return () if method is None else _FUNCTIONS.get(method, ())


def plan_hours(
    nodes: Mapping[str, Node], subjects: Iterable[Subject], start: int, end: int
) -> list[HourQuery]:
    """Return what to ask for every hour from `start` to `end`, Unix seconds; the newest hour first."""
    groups = list(_grouped(nodes, subjects))
    return [
        HourQuery(series, group, hour, hour + HOUR, raw)
        for hour in reversed(range(start, end, HOUR))
        for series, group, raw in groups
    ]


def plan_spans(
    nodes: Mapping[str, Node], spans: Mapping[Subject, tuple[int, int]], longest: int
) -> list[HourQuery]:
    """Return what to ask for stretches of time that differ by subject, in steps not longer than `longest`."""
    by_span: defaultdict[tuple[int, int], list[Subject]] = defaultdict(list)
    for subject, span in spans.items():
        by_span[span].append(subject)
    return [
        HourQuery(series, group, first, min(first + longest, end), raw)
        for (start, end), subjects in by_span.items()
        for series, group, raw in _grouped(nodes, subjects)
        for first in range(start, end, longest)
    ]


def plan_raw(
    nodes: Mapping[str, Node], hours: Iterable[tuple[Subject, int]]
) -> list[HourQuery]:
    """Return what to ask for the single values of some hours."""
    return [
        HourQuery(series, (subject,), hour, hour + HOUR, True)
        for subject, hour in hours
        if (series := series_of(nodes, subject)) is not None
    ]


def series_of(nodes: Mapping[str, Node], subject: Subject) -> SeriesInfo | None:
    """Return the series that a statistic is made of, the one a minute where there is one."""
    node = nodes.get(subject.key.node_id)
    if node is None:
        return None
    return counting_series(node, subject.key.measurement, subject.key.field)


def _grouped(
    nodes: Mapping[str, Node], subjects: Iterable[Subject]
) -> Iterable[tuple[SeriesInfo, tuple[Subject, ...], bool]]:
    """Yield what can share a query: series, subjects, and whether single values are needed."""
    together: defaultdict[tuple[str, SeriesInfo, bool], list[Subject]] = defaultdict(
        list
    )
    for subject in subjects:
        series = series_of(nodes, subject)
        if series is not None and subject.method is not None:
            raw = subject.method in RAW
            together[subject.key.node_id, series, raw].append(subject)
    for (_, series, raw), group in together.items():
        for part in _fitting(group, raw):
            yield series, part, raw


def _fitting(group: Sequence[Subject], raw: bool) -> Iterable[tuple[Subject, ...]]:
    """Yield parts of a group, each of which one query can select."""
    part: list[Subject] = []
    width = 0
    for subject in group:
        needed = 1 if raw else len(_functions(subject))
        if part and width + needed > FIELDS_PER_QUERY:
            yield tuple(part)
            part, width = [], 0
        part.append(subject)
        width += needed
    if part:
        yield tuple(part)
