"""Totals by themselves: what is asked, and what becomes of the answers."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from math import fsum
from typing import Any

from hypothesis import given, settings, strategies as st
import pytest

from custom_components.eniris.api import Device, SeriesInfo, StatementResult
from custom_components.eniris.api.telemetry import parse_statements
from custom_components.eniris.importing.energy import CountingQuery, Span, Total, Totals
from custom_components.eniris.importing.nodes import Node
from custom_components.eniris.importing.plan import FieldKey

HOUR = 3600
DAY = 24 * HOUR
NOON = int(datetime(2026, 7, 1, 12, tzinfo=UTC).timestamp())
DELTA = "importedEnergyDeltaTot_Wh"
OTHER = "exportedEnergyDeltaTot_Wh"
SERIES = SeriesInfo("db", "rp_one_m", "m", (("nodeId", "n"),), (DELTA, OTHER))
KEY, OTHER_KEY = FieldKey("n", "m", DELTA), FieldKey("n", "m", OTHER)
NODES = {"n": Node(Device("n", series=(SERIES,)), None)}


def at(seconds: int) -> datetime:
    """Return a time as the totals take it."""
    return datetime.fromtimestamp(seconds, UTC)


def answer(*cells: Any, columns: Iterable[str] = ("sum", "sum_1")) -> StatementResult:
    """Return the answer with one row of sums."""
    names = ["time", *columns][: len(cells) + 1]
    series = {"columns": names, "values": [[0, *cells]]}
    [result] = parse_statements([{"series": [series]}], 1)
    return result


def test_nothing_wanted() -> None:
    """Nothing is asked of what nobody wants, and it has no value."""
    totals = Totals()
    assert not totals.queries(NODES, at(NOON))
    assert totals.value(KEY) is None
    totals.want(KEY, at(NOON))
    assert totals.value(KEY) is None
    assert not totals.queries({}, at(NOON))
    assert totals.queries(NODES, at(NOON))
    totals.unwant(KEY)
    assert not totals.queries(NODES, at(NOON))


def test_fields_share_a_query() -> None:
    """Fields of one series and span are summed by one query, a hundred at a time."""
    totals = Totals()
    totals.want(KEY, at(NOON))
    totals.want(OTHER_KEY, at(NOON))
    [query] = totals.queries(NODES, at(NOON + 60))
    assert query.fields == (OTHER, DELTA)
    assert query.query().as_json() == {
        "select": [
            {"field": OTHER, "function": "sum"},
            {"field": DELTA, "function": "sum"},
        ],
        "from": {
            "namespace": {
                "version": "1",
                "database": "db",
                "retentionPolicy": "rp_one_m",
            },
            "measurement": "m",
        },
        "where": {
            "time": [
                {"operator": ">=", "value": NOON * 1000},
                {"operator": "<", "value": (NOON + HOUR) * 1000},
            ],
            "tags": {"nodeId": "n"},
        },
        "orderBy": "ASC",
    }
    totals.take([query], [answer(1, 2.5)], at(NOON + 60))
    assert totals.value(OTHER_KEY) == 1
    assert totals.value(KEY) == 2.5

    many = tuple(f"d{number}_Wh" for number in range(250))
    series = SeriesInfo("db", "rp_one_m", "m", (("nodeId", "n"),), many)
    totals = Totals()
    for name in many:
        totals.want(FieldKey("n", "m", name), at(NOON))
    queries = totals.queries(
        {"n": Node(Device("n", series=(series,)), None)}, at(NOON + 60)
    )
    assert [len(query.fields) for query in queries] == [100, 100, 50]
    for query in queries:
        query.query()


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
    # And one that began there goes back
    total = Total(0.0, ahead)
    for span in total.spans(ahead):
        total.take(span, None, NOON + 120)
    assert total.until == NOON


def test_stored_form() -> None:
    """What is stored comes back, in JSON's types; what cannot be read is left out."""
    totals = Totals()
    totals.want(KEY, at(NOON))
    totals.take(totals.queries(NODES, at(NOON + 60)), [answer(3.25)], at(NOON + 60))
    stored = totals.as_json()
    assert stored == [[*KEY, 0.0, NOON, [[NOON, 3.25, NOON + 60]]]]
    again = Totals()
    odd: list[Any] = [None, [], [1, 2], [*KEY, "x", 0, []], [*KEY, 0, 0, [[1]]], 7, {}]
    again.load([*odd, *stored])
    assert again.as_json() == stored
    again.want(KEY, at(NOON + 90))
    assert again.value(KEY) == 3.25
    nothings: tuple[Any, ...] = (None, {}, 5, "x")
    for nothing in nothings:
        again.load(nothing)
    assert again.as_json() == stored


Event = tuple[int, int, int, bool]
"""Seconds until the next poll, and of a row: minutes since its time, its energy, whether it comes twice."""


@settings(max_examples=300, deadline=None)
@given(
    events=st.lists(
        st.tuples(
            st.sampled_from([10, 61, 61, 61, 700, 3601, 20_000, 90_000, 700_000]),
            st.integers(0, 23 * 60),
            st.integers(-50, 500),
            st.booleans(),
        ),
        max_size=40,
    ),
    fails=st.sets(st.integers(0, 40)),
    restarts=st.sets(st.integers(0, 40)),
)
def test_rows_count_once(
    events: list[Event], fails: set[int], restarts: set[int]
) -> None:
    """Rows that come late, polls that fail and restarts: in the end each row is counted once."""
    rows: dict[int, int] = {}
    now = NOON + 1200
    totals = Totals()
    totals.want(KEY, at(now))

    def poll() -> None:
        queries = totals.queries(NODES, at(now))
        assert len(queries) <= 8
        results = []
        for query in queries:
            inside = [
                energy
                for moment, energy in rows.items()
                if query.span.start <= moment < query.span.end
            ]
            results.append(answer(sum(inside)) if inside else StatementResult([]))
        totals.take(queries, results, at(now))

    for number, (seconds, late, energy, twice) in enumerate(events):
        now += seconds
        moment = now - 60 * late
        rows[moment] = energy
        if twice:
            rows[moment] = energy
        if number in restarts:
            stored = totals.as_json()
            totals = Totals()
            totals.load(stored)
            totals.want(KEY, at(now))
        if number not in fails:
            poll()
    # What is known at once is what is not late; the rest comes within a day
    for _ in range(60):
        now += 61
        poll()
    expected = fsum(energy for moment, energy in rows.items() if moment >= NOON)
    assert totals.value(KEY) == pytest.approx(expected)
    now += int(timedelta(days=9).total_seconds())
    for _ in range(12):
        now += 61
        poll()
    assert totals.value(KEY) == pytest.approx(expected)
