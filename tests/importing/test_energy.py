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


def test_known() -> None:
    """A total is known when every hour was read, the present one included."""
    now = NOON + 2 * HOUR + 60
    total = Total(5.0, NOON)
    spans = total.spans(now)
    assert len(spans) == 3
    for span in spans:
        assert not total.is_known
        total.take(span, 1.0, now)
    assert total.is_known
    # Neither by a clock that is behind, nor where days are missing
    for wrong in (NOON - 60, now + 2 * DAY):
        total = Total(5.0, NOON)
        for span in spans:
            total.take(span, 1.0, wrong)
        assert not total.is_known


def test_begun_within_an_hour() -> None:
    """A total that goes on from what was shown counts what follows, and tells of whole hours alone."""
    total = Total(5.0, NOON - 1000)
    first, this = Span(NOON - 1000, NOON), Span(NOON, NOON + HOUR)
    assert set(total.spans(NOON + 60)) == {first, this}
    known = []
    for span, energy in ((first, 2.0), (this, 1.0)):
        total.take(span, energy, NOON + 60)
        known.append(total.is_known)
    assert known == [False, True]
    assert total.value == 8.0


def test_late_rows() -> None:
    """All hours are looked at together three times an hour, and each alone where that shows something new."""
    total = Total(0.0, NOON)
    energies = dict.fromkeys(range(NOON, NOON + DAY, HOUR), 1.0)
    now, asked = NOON, 0
    while now < NOON + 12 * HOUR:
        now += 61
        spans = total.spans(now)
        asked += len(spans) - 1
        for span in spans:
            hours = range(span.start, min(span.end, now), HOUR)
            total.take(span, sum(energies[hour] for hour in hours), now)
    # Beside the present hour: two polls after each hour, one when its rows have arrived, and three
    assert 4 * 12 <= asked <= 6.5 * 12
    energies[NOON + HOUR] = 5.0
    late = []
    for _ in range(30):
        now += 61
        for span in total.spans(now):
            hours = range(span.start, min(span.end, now), HOUR)
            energy = sum(energies[hour] for hour in hours)
            late.append(total.take(span, energy, now))
    assert late.count(True) == 1
    assert total.value == sum(energies[hour] for hour in range(NOON, now, HOUR))
    assert not total.doubted


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
