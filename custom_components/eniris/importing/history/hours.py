"""What the service says of single hours: sums, counters, means.

Statistics are kept by the hour, and the service adds up any range but groups nothing. So there is one
query per hour and series, for all that is wanted of it; the range of each is short, as it should be.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from itertools import batched
import math
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
from ...field_description import FieldDescription, Kind
from ..plan import FieldKey

HOUR: Final = 3600
DAY: Final = 24 * HOUR

type Values = tuple[float, ...]
"""What is known of an hour, in the field's native unit, by `StatisticKind`.

SUM: the energy. COUNTER: lowest and highest, or single values in the order of time. BALANCE: all values.
MEAN: mean, lowest, highest.
"""


class StatisticKind(Enum):
    """How the statistic of a field is made, with what the service makes of an hour's values for it."""

    SUM = (AggregateFunction.SUM,)
    """Of the energy of intervals."""
    COUNTER = (AggregateFunction.MIN, AggregateFunction.MAX)
    """Of what a meter shows that only counts up."""
    BALANCE = ()
    """Of what a meter shows that may run back: of the values themselves."""
    MEAN = (AggregateFunction.MEAN, AggregateFunction.MIN, AggregateFunction.MAX)
    """Of measured values."""


def statistic_kind(description: FieldDescription) -> StatisticKind | None:
    """Return how the statistic of a field is made, None where it has none."""
    if description.kind is not Kind.NUMBER or description.state_class is None:
        return None
    if description.accumulates:
        return StatisticKind.SUM
    return {
        SensorStateClass.TOTAL_INCREASING: StatisticKind.COUNTER,
        SensorStateClass.TOTAL: StatisticKind.BALANCE,
    }.get(SensorStateClass(description.state_class), StatisticKind.MEAN)


@dataclass(frozen=True, slots=True, eq=False)
class StatisticField:
    """A field that has a statistic, or a direction of one."""

    key: FieldKey
    description: FieldDescription
    kind: StatisticKind

    @property
    def is_energy_or_power(self) -> bool:
        """Whether it is of those whose past everybody wants."""
        return self.description.device_class in (
            SensorDeviceClass.ENERGY,
            SensorDeviceClass.POWER,
        )

    @property
    def functions(self) -> tuple[AggregateFunction, ...]:
        """What the service makes of its values; nothing where the values themselves are needed.

        The service cannot tell directions apart.
        """
        return () if self.description.sign is not None else self.kind.value


@dataclass(frozen=True, slots=True)
class HourQuery:
    """What is asked of one series for one stretch of time, in Unix seconds, the end not included."""

    series: SeriesInfo
    fields: tuple[StatisticField, ...]
    start: int
    end: int
    raw: bool = False
    """Whether the values themselves are asked for rather than what can be made of them."""
    limit: int | None = None
    """How many rows are asked for, the newest ones; None for all."""

    def query(self) -> TelemetryQuery:
        """Return the query."""
        return TelemetryQuery(
            DatabaseNamespace(self.series.database, self.series.retention_policy),
            self.series.measurement,
            dict(self.series.tags),
            list(dict.fromkeys(field.key.field for field in self.fields))
            if self.raw
            else [
                Aggregate(field.key.field, function)
                for field in self.fields
                for function in field.functions
            ],
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
        useless: dict[StatisticField, Values | None] = dict.fromkeys(self.fields)
        if result.error is not None or (are_skipped and not rows):
            return useless
        if self.raw:
            rows.sort(key=lambda row: row.time)
            told = [
                [row.values.get(field.key.field) for row in rows]
                for field in self.fields
            ]
        elif not rows:
            return {}
        else:
            widths = [len(field.functions) for field in self.fields]
            # The API answers with one row. Several, or another width, would say something else
            if are_skipped or len(rows) > 1 or len(rows[0].cells) != sum(widths):
                return useless
            cells = iter(rows[0].cells)
            told = [[next(cells) for _ in range(width)] for width in widths]
        read: dict[StatisticField, Values | None] = {}
        for field, values in zip(self.fields, told, strict=True):
            numbers = tuple(
                float(number)
                for value in values
                if isinstance(number := field.description.native(value), int | float)
            )
            if numbers and self.raw and field.kind is StatisticKind.MEAN:
                mean = math.fsum(numbers) / len(numbers)
                read[field] = (mean, min(numbers), max(numbers))
            elif numbers and (self.raw or len(numbers) == len(values)):
                read[field] = numbers
            elif any(value is not None for value in values):
                read[field] = None
        return read


def plan(
    spans: Iterable[tuple[StatisticField, SeriesInfo | None, int, int]],
    *,
    raw: bool = False,
) -> list[HourQuery]:
    """Return what to ask for stretches of time, in their order; those of one series and time share a query.

    A span is a field, the series to read it from (None: nothing is asked), start and end in Unix seconds.
    """
    together: defaultdict[tuple[SeriesInfo, int, int, bool], list[StatisticField]] = (
        defaultdict(list)
    )
    for field, series, start, end in spans:
        if series is not None:
            together[series, start, end, raw or not field.functions].append(field)
    return [
        HourQuery(series, part, start, end, is_raw)
        for (series, start, end, is_raw), fields in together.items()
        # What the service makes of a field is up to three columns
        for part in batched(
            fields, FIELDS_PER_QUERY if is_raw else FIELDS_PER_QUERY // 3, strict=False
        )
    ]
