"""Exact running totals of energy that the service counts by interval.

A total is a sum over hours, each of which the service adds up itself. An hour that is asked for
again replaces what was known of it, so that a row counts once however often it is read: neither a
restart nor an outage nor a row that arrives late loses or doubles anything.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
import math
from typing import Final, NamedTuple

from ..api import (
    Aggregate,
    AggregateFunction,
    DatabaseNamespace,
    SeriesInfo,
    StatementResult,
    TelemetryQuery,
)
from .plan import Preference, preferred

HOUR: Final = 3600
DAY: Final = 24 * HOUR

LATE_HOURS: Final = 25
"""Hours for which rows may still arrive: a day, and the hour that is under way."""

ARRIVAL: Final = 10 * 60
"""Seconds after the end of an hour until its rows have usually arrived."""

_SILENT: Final = 20 * 60
"""Seconds of an hour after which a series without any value of it may not be kept any more."""

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
        current = hour_of(now)
        since = oldest(now)
        spans = [Span(current, current + HOUR)]
        recent = range(max(self.until, since), current, HOUR)
        unread = [hour for hour in recent if not self.is_complete(hour)]
        asked = unread[:_CATCH_UP_AT_ONCE]
        if len(unread) <= 1:
            asked += sorted(
                set(recent) - set(unread), key=lambda hour: self.hours[hour].read_at
            )[:1]
        spans += [Span(hour, hour + HOUR) for hour in asked]
        if self.until < since:
            spans.append(Span(self.until, min(self.until + DAY, since)))
        return spans

    def is_complete(self, hour: int) -> bool:
        """Tell whether an hour was read after its rows had arrived, late ones aside."""
        known = self.hours.get(hour)
        return known is not None and known.read_at >= hour + HOUR + ARRIVAL

    def is_read(self, now: int) -> bool:
        """Tell whether every hour up to the present one was read since the total was begun or loaded."""
        current = hour_of(now)
        return oldest(now) <= self.until <= current and all(
            hour in self.hours and self.hours[hour].read_at
            for hour in range(self.until, current + 1, HOUR)
        )

    def take(self, span: Span, energy: float | None, now: int) -> bool:
        """Adopt the energy of a span in place of what was known of it.

        None says that the service has no value there. It has lost what was known then, which
        stands. `now` is the service's time: nothing is final before it is over there, too.
        Return whether this changed an hour that is not read again soon.
        """
        if span.start < self.until:
            return False
        if span.start == self.until and span.end <= oldest(now):
            hours = [hour for hour in self.hours if hour < span.end]
            known = math.fsum(self.hours.pop(hour).energy for hour in hours)
            self.base += known if energy is None else energy
            self.until = span.end
        elif span.end - span.start == HOUR:
            known = self.hours[span.start].energy if span.start in self.hours else 0
            is_late = energy not in (None, known) and self.is_complete(span.start)
            self.hours[span.start] = Hour(known if energy is None else energy, now)
            return is_late
        return False


def hour_of(seconds: int) -> int:
    """Return the beginning of an hour in UTC: there are time zones of half an hour."""
    return seconds - seconds % HOUR


def oldest(now: int) -> int:
    """Return the beginning of the time in which rows may still arrive."""
    return hour_of(now) - (LATE_HOURS - 1) * HOUR


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


def counted_from(
    answers: Mapping[SeriesInfo, Mapping[Span, float | None]], now: int
) -> tuple[SeriesInfo, bool]:
    """Return which of several series a field is to be counted from, and whether to stay with it.

    It is the lightest one with a value: metadata may list a series in which the field is never
    written. Once an hour has lasted long enough, it has to have a value of this hour.
    """
    hour = hour_of(now)
    told = {
        series: spans.get(Span(hour, hour + HOUR))
        for series, spans in answers.items()
        if any(energy is not None for energy in spans.values())
    }
    if now >= hour + _SILENT:
        told = {s: energy for s, energy in told.items() if energy is not None}
    return preferred(told or answers, Preference.LIGHTEST), bool(told)
