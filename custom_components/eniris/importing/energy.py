"""Exact running totals of energy that the service counts by interval.

A total is a sum over hours, each of which the service adds up itself. An hour that is asked for
again replaces what was known of it, so that a row counts once however often it is read: neither a
restart nor an outage nor a row that arrives late loses or doubles anything.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set as AbstractSet
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import batched
import math
from typing import Any, Final, NamedTuple

from ..api import (
    Aggregate,
    AggregateFunction,
    DatabaseNamespace,
    SeriesInfo,
    StatementResult,
    TelemetryQuery,
)
from ..api.telemetry import FIELDS_PER_QUERY
from .nodes import Node
from .plan import FieldKey, counting_series

_HOUR: Final = 3600
_DAY: Final = 24 * _HOUR

LATE_HOURS: Final = 25
"""Hours for which rows may still arrive: a day, and the hour that is under way."""

_ARRIVAL: Final = 10 * 60
"""Seconds after the end of an hour until its rows have usually arrived."""

_CATCH_UP_AT_ONCE: Final = 6

_ABSURD: Final = 1e15
"""Wh in one span that no node can have moved; the sums stay finite and exact to the Wh below it."""


class Span(NamedTuple):
    """A stretch of time that is summed at once, in Unix seconds, the end not included."""

    start: int
    end: int


class Hour(NamedTuple):
    """What the service said of an hour, in Wh, and when, in Unix seconds."""

    energy: float
    read_at: int


@dataclass(frozen=True, slots=True)
class Counted:
    """What a total has counted up to now, in Wh: of each hour from `since` on that was read."""

    since: int
    value: float
    hours: Mapping[int, float]


@dataclass(slots=True)
class Total:
    """The energy of one field, in Wh: `base` before `until`, and by hour from there on."""

    base: float
    until: int
    hours: dict[int, Hour] = field(default_factory=dict)

    @property
    def value(self) -> float:
        """The energy counted so far, in Wh."""
        return self.base + math.fsum(hour.energy for hour in self.hours.values())

    def spans(self, now: int) -> list[Span]:
        """Return what to ask for.

        The present hour; hours that were not read since they ended, a few at a time; for rows that
        arrived late the one that was read longest ago; and for good, in long steps, what is too
        long ago to change any more.
        """
        current = _hour_of(now)
        oldest = _oldest(now)
        spans = [Span(current, current + _HOUR)]
        recent = range(max(self.until, oldest), current, _HOUR)
        unread = [hour for hour in recent if not self._is_complete(hour)]
        asked = unread[:_CATCH_UP_AT_ONCE]
        if len(unread) <= 1:
            asked += sorted(
                set(recent) - set(unread), key=lambda hour: self.hours[hour].read_at
            )[:1]
        spans += [Span(hour, hour + _HOUR) for hour in asked]
        if self.until < oldest:
            spans.append(Span(self.until, min(self.until + _DAY, oldest)))
        return spans

    def _is_complete(self, hour: int) -> bool:
        known = self.hours.get(hour)
        return known is not None and known.read_at >= hour + _HOUR + _ARRIVAL

    def take(self, span: Span, energy: float | None, now: int) -> None:
        """Adopt the energy of a span in place of what was known of it.

        None says that the service has no value there. It has lost what was known then, which
        stands. `now` is the service's time: nothing is final before it is over there, too.
        """
        if not self.base and not self.hours:
            # Begun by a clock that was ahead
            self.until = min(self.until, _hour_of(now))
        if span.start < self.until:
            return
        if span.start == self.until and span.end <= _oldest(now):
            hours = [hour for hour in self.hours if hour < span.end]
            known = math.fsum(self.hours.pop(hour).energy for hour in hours)
            self.base += known if energy is None else energy
            self.until = span.end
        elif span.end - span.start == _HOUR:
            if energy is None:
                energy = (
                    self.hours[span.start].energy if span.start in self.hours else 0
                )
            self.hours[span.start] = Hour(energy, now)


def _hour_of(seconds: int) -> int:
    return seconds - seconds % _HOUR


def _oldest(now: int) -> int:
    """Return the beginning of the time in which rows may still arrive."""
    return _hour_of(now) - (LATE_HOURS - 1) * _HOUR


@dataclass(frozen=True, slots=True)
class CountingQuery:
    """The sums of some fields of one series over one span."""

    node_id: str
    series: SeriesInfo
    fields: tuple[str, ...]
    span: Span

    def query(self) -> TelemetryQuery:
        """Return the query, the end of its range not included."""
        return TelemetryQuery(
            DatabaseNamespace(self.series.database, self.series.retention_policy),
            self.series.measurement,
            dict(self.series.tags),
            [Aggregate(name, AggregateFunction.SUM) for name in self.fields],
            start=datetime.fromtimestamp(self.span.start, UTC),
            end=datetime.fromtimestamp(self.span.end, UTC),
        )

    def read(self, result: StatementResult) -> dict[str, float | None]:
        """Return the energy of each field, None where there is no value in the span.

        A field is left out where the answer is of no use.
        """
        if result.error is not None:
            return {}
        sums: dict[str, float | None] = dict.fromkeys(self.fields)
        for series in result.series:
            for row in series.rows:
                if len(row.cells) != len(self.fields):
                    return {}
                for name, cell in zip(self.fields, row.cells, strict=True):
                    if isinstance(cell, bool) or not isinstance(cell, int | float):
                        continue
                    sums[name] = (sums[name] or 0) + cell
        return {
            name: energy
            for name, energy in sums.items()
            if energy is None or abs(energy) < _ABSURD
        }


class Totals:
    """The totals of one account, and what has to be asked to keep them."""

    def __init__(self) -> None:
        """Start without any."""
        self._totals: dict[FieldKey, Total] = {}
        self._wanted: set[FieldKey] = set()

    @property
    def wanted(self) -> AbstractSet[FieldKey]:
        """The fields of which totals are kept at present."""
        return self._wanted

    def want(self, key: FieldKey, now: datetime) -> bool:
        """Keep the total of `key` from now on, or go on with the one that was kept before.

        Return whether it is a new one.
        """
        self._wanted.add(key)
        if key in self._totals:
            return False
        self._totals[key] = Total(0.0, _hour_of(int(now.timestamp())))
        return True

    def unwant(self, key: FieldKey) -> None:
        """Ask for nothing of `key` any more; what was counted is kept."""
        self._wanted.discard(key)

    def value(self, key: FieldKey) -> float | None:
        """Return a total in Wh, None where nothing was counted yet."""
        total = self._totals.get(key)
        if total is None or key not in self._wanted:
            return None
        return total.value if total.hours or total.base else None

    def counted(self, key: FieldKey) -> Counted | None:
        """Return what a total is made of, None where nothing was counted yet."""
        value = self.value(key)
        if value is None:
            return None
        total = self._totals[key]
        hours = {start: hour.energy for start, hour in total.hours.items()}
        return Counted(total.until, value, hours)

    def queries(
        self, nodes: Mapping[str, Node], now: datetime
    ) -> Sequence[CountingQuery]:
        """Return what to ask at a poll; fields of one series and span share a query."""
        seconds = int(now.timestamp())
        fields: defaultdict[tuple[str, SeriesInfo, Span], list[str]] = defaultdict(list)
        for key in sorted(self._wanted):
            node = nodes.get(key.node_id)
            series = node and counting_series(node, key.measurement, key.field)
            if series:
                for span in self._totals[key].spans(seconds):
                    fields[key.node_id, series, span].append(key.field)
        return [
            CountingQuery(node_id, series, names, span)
            for (node_id, series, span), all_names in fields.items()
            for names in batched(all_names, FIELDS_PER_QUERY, strict=False)
        ]

    def take(
        self,
        queries: Sequence[CountingQuery],
        results: Iterable[StatementResult],
        now: datetime,
    ) -> None:
        """Adopt the answers to `queries`, given when it was `now` there.

        One that failed is asked for again.
        """
        seconds = int(now.timestamp())
        for query, result in zip(queries, results, strict=True):
            for name, energy in query.read(result).items():
                key = FieldKey(query.node_id, query.series.measurement, name)
                self._totals[key].take(query.span, energy, seconds)

    def as_json(self) -> list[list[Any]]:
        """Return the form that is stored."""
        return [
            [
                *key,
                total.base,
                total.until,
                [[hour, *known] for hour, known in sorted(total.hours.items())],
            ]
            for key, total in sorted(self._totals.items())
        ]

    def load(self, stored: Any) -> None:
        """Restore what `as_json` returned; what cannot be read is left out."""
        for row in stored if isinstance(stored, list) else ():
            try:
                node_id, measurement, name, base, until, hours = row
                total = Total(
                    float(base),
                    _hour_of(int(until)),
                    {
                        int(hour): Hour(float(energy), int(read_at))
                        for hour, energy, read_at in hours
                    },
                )
            except (TypeError, ValueError):
                continue
            self._totals[FieldKey(str(node_id), str(measurement), str(name))] = total
