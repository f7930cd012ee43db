"""Totals by themselves: what is asked, and what becomes of the answers."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from custom_components.eniris.api import SeriesInfo, StatementResult
from custom_components.eniris.api.telemetry import parse_statements
from custom_components.eniris.importing.energy import (
    CountingQuery,
    Span,
    Total,
    counted_from,
)

HOUR = 3600
DAY = 24 * HOUR
NOON = int(datetime(2026, 7, 1, 12, tzinfo=UTC).timestamp())
DELTA = "importedEnergyDeltaTot_Wh"
OTHER = "exportedEnergyDeltaTot_Wh"
SERIES = SeriesInfo("db", "rp_one_m", "m", (("nodeId", "n"),), (DELTA, OTHER))


def answer(*cells: Any, columns: Iterable[str] = ("sum", "sum_1")) -> StatementResult:
    """Return the answer with one row of sums."""
    names = ["time", *columns][: len(cells) + 1]
    series = {"columns": names, "values": [[0, *cells]]}
    [result] = parse_statements([{"series": [series]}], 1)
    return result


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (answer(1, 2), {DELTA: 1, OTHER: 2}),
        (answer(-1, None), {DELTA: -1, OTHER: None}),
        (answer(True, "x"), {DELTA: None, OTHER: None}),
        (answer(0, 1e300), {DELTA: 0}),
        (answer(2**80, -1e16), {}),
        (answer(1), {}),
        (StatementResult([]), {DELTA: None, OTHER: None}),
        (StatementResult([], "Unauthorized"), {}),
        (answer(1, 2, columns=("a", "a")), {DELTA: 1, OTHER: 2}),
    ],
)
def test_answers(result: StatementResult, expected: dict[str, float | None]) -> None:
    """Sums are told apart by their place; what is no energy is none."""
    query = CountingQuery("n", SERIES, (DELTA, OTHER), Span(NOON, NOON + HOUR))
    assert query.read(result) == expected


def test_bounded() -> None:
    """However long ago the last answer was, a poll asks for a few spans of a day at the most."""
    for away in (1, 60, HOUR, 5 * HOUR, 23 * HOUR, DAY, 25 * HOUR, 30 * DAY, 900 * DAY):
        total = Total(5.0, NOON)
        total.take(Span(NOON, NOON + HOUR), 7.0, NOON + 60)
        now = NOON + away
        polls = 0
        while True:
            spans = total.spans(now)
            assert len(spans) <= 8
            assert len(set(spans)) == len(spans)
            assert all(0 < span.end - span.start <= DAY for span in spans)
            known = total.value
            for span in spans:
                total.take(span, 1.0, now)
            polls += 1
            if total.value == known and polls > away // DAY + 6:
                break
        assert total.until >= now - now % HOUR - 24 * HOUR
        assert len(total.hours) <= 25


def test_what_the_service_has_lost() -> None:
    """Without a value in the answer what was known stands, an hour's and a day's."""
    total = Total(100.0, NOON)
    span = Span(NOON, NOON + HOUR)
    total.take(span, 7.0, NOON + 60)
    total.take(span, None, NOON + 120)
    assert total.value == 107.0
    total.take(Span(NOON, NOON + DAY), None, NOON + 3 * DAY)
    assert total.value == 107.0
    assert total.until == NOON + DAY
    assert not total.hours


def test_what_comes_too_late() -> None:
    """An answer about what is final already, or a repeated one, changes nothing."""
    total = Total(0.0, NOON)
    day = Span(NOON, NOON + DAY)
    total.take(day, 50.0, NOON + 3 * DAY)
    total.take(day, 50.0, NOON + 3 * DAY)
    total.take(Span(NOON, NOON + HOUR), 5.0, NOON + 3 * DAY)
    assert total.value == 50.0


def test_a_clock_that_is_ahead() -> None:
    """Nothing becomes final before the service's own clock says that it is over."""
    total = Total(0.0, NOON)
    total.take(Span(NOON, NOON + HOUR), 5.0, NOON + 60)
    ahead = NOON + 3 * DAY
    for span in total.spans(ahead):
        total.take(span, 1.0, NOON + 120)
    assert total.until == NOON


def test_read_at_all() -> None:
    """A total is known when every hour was read, the present one included."""
    total = Total(5.0, NOON)
    now = NOON + 2 * HOUR + 60
    assert not total.is_read(now)
    spans = total.spans(now)
    assert len(spans) == 3
    for span in spans:
        assert not total.is_read(now)
        total.take(span, 1.0, now)
    assert total.is_read(now)
    # Neither by a clock that is behind, nor where days are missing
    assert not total.is_read(NOON - 60)
    assert not total.is_read(now + 2 * DAY)


def test_late_change() -> None:
    """A change is told of that would not be read again soon."""
    total = Total(0.0, NOON)
    span = Span(NOON, NOON + HOUR)
    assert not total.take(span, 1.0, NOON + 60)
    assert not total.take(span, 2.0, NOON + 2 * HOUR)
    assert not total.take(span, 2.0, NOON + 3 * HOUR)
    assert not total.take(span, None, NOON + 3 * HOUR)
    assert total.take(span, 3.0, NOON + 4 * HOUR)
    assert total.value == 3.0


MINUTE, SECOND, TEN, OTHERS = (
    SeriesInfo("db", policy, "m", (("nodeId", "n"),), (DELTA,))
    for policy in ("rp_one_m", "rp_one_s", "rp_ten_m", "rp_x")
)
THIS, PAST = Span(NOON, NOON + HOUR), Span(NOON - HOUR, NOON)


@pytest.mark.parametrize(
    ("answers", "minutes", "expected"),
    [
        ({SECOND: {THIS: 1.0}, MINUTE: {THIS: 1.0}}, 30, (MINUTE, True)),
        ({SECOND: {THIS: 1.0}, MINUTE: {THIS: None}}, 30, (SECOND, True)),
        ({SECOND: {THIS: 1.0}, MINUTE: {THIS: None}}, 1, (SECOND, True)),
        ({SECOND: {THIS: 1.0}, MINUTE: {THIS: None, PAST: 1}}, 1, (MINUTE, True)),
        ({SECOND: {THIS: 1.0}, MINUTE: {THIS: None, PAST: 1}}, 30, (SECOND, True)),
        ({SECOND: {THIS: 0.0}, MINUTE: {}}, 30, (SECOND, True)),
        ({SECOND: {THIS: None}, MINUTE: {THIS: None}}, 30, (MINUTE, False)),
        ({TEN: {THIS: 2.0}, SECOND: {THIS: 1.0}}, 30, (TEN, True)),
        ({OTHERS: {THIS: 2.0}, SECOND: {THIS: 1.0}}, 30, (OTHERS, True)),
        ({TEN: {THIS: None, PAST: 2.0}}, 30, (TEN, False)),
        ({TEN: {THIS: None, PAST: 2.0}}, 1, (TEN, True)),
    ],
)
def test_series_to_count_from(
    answers: Mapping[SeriesInfo, Mapping[Span, float | None]],
    minutes: int,
    expected: tuple[SeriesInfo, bool],
) -> None:
    """The lightest series is counted from that has values, and is left when it has none any more."""
    assert counted_from(answers, NOON + 60 * minutes) == expected
