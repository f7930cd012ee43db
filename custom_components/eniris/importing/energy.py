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
    SeriesInfo,
    StatementResult,
    TelemetryQuery,
)
from .plan import Preference, preferred, series_query

HOUR: Final = 3600
DAY: Final = 24 * HOUR

LATE_HOURS: Final = 25
"""Hours for which rows may still arrive: a day, and the hour that is under way."""

ARRIVAL: Final = 10 * 60
"""Seconds after the end of an hour until its rows have usually arrived."""

_SILENT: Final = 20 * 60
"""Seconds of an hour after which a series without any value of it may not be kept any more."""

_JUST_ENDED: Final = 2 * 60
"""Seconds after the end of an hour for which it is asked for at each poll."""

_CHECK_EVERY: Final = 20 * 60
"""Seconds after which all hours are looked at together again, as long as rows may arrive late."""

_CATCH_UP_AT_ONCE: Final = 6

_ALIKE: Final = 1e-3
"""Wh by which two sums of the same rows may differ."""

_ABSURD: Final = 1e15
"""Wh in one span that no node can have moved; the sums stay finite and exact to the Wh below it."""


class Span(NamedTuple):
    """A stretch of time that is summed at once, in Unix seconds, the end not included."""

    start: int
    end: int


type Source = tuple[str, str]
"""Database and retention policy of a series."""


class Hour(NamedTuple):
    """What the service said of an hour, in Wh, and when, in Unix seconds: 0 for not since the start."""

    energy: float
    read_at: int


_UNREAD: Final = Hour(0.0, 0)


@dataclass(frozen=True, slots=True)
class Counted:
    """What a total has counted up to now, in Wh: of each hour from `since` on that was read."""

    since: int
    value: float
    hours: Mapping[int, float]


@dataclass(slots=True)
class Total:
    """The energy of one field, in Wh: `base` before `until`, and by hour from there on.

    Of the hour in which `until` is, what follows it.
    """

    base: float
    until: int
    hours: dict[int, Hour] = field(default_factory=dict)
    sources: dict[int, Source | None] = field(default_factory=dict)
    """What has told of an hour, where that is known."""
    is_new: bool = False
    """Whether it began with the hour in which it was asked for, and no answer has told yet which hour that was."""
    is_known: bool = False
    """Whether every hour was read since the total was begun or loaded."""
    checked_at: int = 0
    """When all hours that are over were looked at together."""
    doubted: set[int] = field(default_factory=set)
    """Hours of which together the service has told something else since they were read."""

    @property
    def value(self) -> float:
        """The energy counted so far, in Wh."""
        return self.base + math.fsum(hour.energy for hour in self.hours.values())

    def _recent(self, now: int) -> list[int]:
        """Return where the hours begin in which rows may still arrive, the present one last."""
        first = max(self.until, oldest(now))
        return [first, *range(_end(first), hour_of(now) + 1, HOUR)]

    def spans(self, now: int) -> list[Span]:
        """Return what to ask for.

        The present hour; hours that were not read since they ended, a few at a time; now and then, for
        rows that arrived late, all these hours together, which is one query; and for good, in long
        steps, what is too long ago to change any more.
        """
        *ended, current = self._recent(now)
        unread = [
            hour for hour in ended if hour in self.doubted or not self.is_complete(hour)
        ]
        asked = [
            hour
            for hour in unread
            if self.hours.get(hour, _UNREAD).read_at < _end(hour) + _JUST_ENDED
            or now >= _end(hour) + ARRIVAL
        ]
        spans = [
            Span(hour, _end(hour)) for hour in (current, *asked[:_CATCH_UP_AT_ONCE])
        ]
        if ended and not unread and now >= self.checked_at + _CHECK_EVERY:
            spans.append(Span(ended[0], current))
        since = oldest(now)
        if self.until < since:
            spans.append(Span(self.until, min(hour_of(self.until) + DAY, since)))
        return spans

    def is_complete(self, hour: int) -> bool:
        """Tell whether an hour was read after its rows had arrived, late ones aside."""
        known = self.hours.get(hour)
        return known is not None and known.read_at >= _end(hour) + ARRIVAL

    def take(
        self,
        span: Span,
        energy: float | None,
        now: int,
        source: Source | None = None,
    ) -> bool:
        """Adopt the energy of a span, told by `source`, in place of what was known of it.

        Another series than the one that told it before is behind until it tells as much.

        None says that the service has no value there. It has lost what was known then, which
        stands. `now` is the service's time: nothing is final before it is over there, too.
        Return whether this changed an hour that is not read again soon.
        """
        if span.start < self.until:
            return False
        is_late = False
        if span.start == self.until and span.end <= oldest(now):
            hours = [hour for hour in self.hours if hour < span.end]
            known = math.fsum(self.hours.pop(hour).energy for hour in hours)
            if {self.sources.pop(hour, source) for hour in hours} - {source}:
                energy = energy if energy and abs(energy) >= abs(known) else None
            self.base += known if energy is None else energy
            self.until = span.end
            self.doubted.difference_update(hours)
        elif span.end == _end(span.start):
            known = self.hours[span.start].energy if span.start in self.hours else 0
            if self.sources.get(span.start, source) != source:
                energy = energy if energy and abs(energy) >= abs(known) else None
            if energy is not None:
                self.sources[span.start] = source
            is_late = energy not in (None, known) and self.is_complete(span.start)
            self.hours[span.start] = Hour(known if energy is None else energy, now)
            self.doubted.discard(span.start)
        else:
            hours = [hour for hour in self.hours if span.start <= hour < span.end]
            known = math.fsum(self.hours[hour].energy for hour in hours)
            if energy is not None and not math.isclose(energy, known, abs_tol=_ALIKE):
                self.doubted.update(hours)
        if span == Span(max(self.until, oldest(now)), hour_of(now)):
            self.checked_at = now
        self.is_known = self.is_known or (
            oldest(now) <= self.until <= now
            and all(self.hours.get(hour, _UNREAD).read_at for hour in self._recent(now))
        )
        return is_late


def hour_of(seconds: int) -> int:
    """Return the beginning of an hour in UTC: there are time zones of half an hour."""
    return seconds - seconds % HOUR


def _end(seconds: int) -> int:
    """Return the end of the hour in which a moment is."""
    return hour_of(seconds) + HOUR


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
        return series_query(
            self.series,
            [Aggregate(name, AggregateFunction.SUM) for name in self.fields],
            datetime.fromtimestamp(self.span.start, UTC),
            datetime.fromtimestamp(self.span.end, UTC),
        )

    def problem(self, result: StatementResult) -> str | None:
        """Return why the answer is of no use for some of the fields, None where it is for all."""
        if result.error is not None or len(self.read(result)) == len(self.fields):
            return result.error
        return "the sums of energy have an unforeseen shape"

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
    told = {
        series: next(
            (energy for span, energy in spans.items() if span.start <= now < span.end),
            None,
        )
        for series, spans in answers.items()
        if any(energy is not None for energy in spans.values())
    }
    if now >= hour_of(now) + _SILENT:
        told = {s: energy for s, energy in told.items() if energy is not None}
    return preferred(told or answers, Preference.LIGHTEST), bool(told)
