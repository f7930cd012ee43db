"""Telemetry queries: what may be asked, how it is said, and what comes back."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
import json
from typing import Any

from aiohttp import web
from freezegun.api import FrozenDateTimeFactory
from hypothesis import given, strategies as st
import orjson
import pytest

from custom_components.eniris.api import (
    Aggregate,
    AggregateFunction,
    DatabaseNamespace,
    EnirisQueryError,
    EnirisResponseError,
    ForbiddenError,
    QueryCost,
    RateLimitedError,
    ServerError,
    Session,
    StatementResult,
    TelemetryQuery,
    UnprocessableError,
)
from custom_components.eniris.api.telemetry import (
    FIELDS_PER_QUERY,
    ResultSeries,
    Row,
    encode_queries,
    parse_cost,
    parse_date,
    parse_statements,
    parse_time,
)
from simulator.server import Simulator
from simulator.timestamps import TimeFormat
from tests.simulator.tiny_world import TinyWorld

from .conftest import Received, StubServer

QUERY = "POST /v1/telemetry/query"
SECONDS = DatabaseNamespace("tiny", "rp_one_s")
MINUTES = DatabaseNamespace("tiny", "rp_one_m")
NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)


def query(**changes: Any) -> TelemetryQuery:
    """Return a query of the meter's power at noon, or another one."""
    arguments: dict[str, Any] = {
        "namespace": SECONDS,
        "measurement": "submeteringMetrics",
        "tags": {"nodeId": "meter"},
        "select": ["actualPowerTot_W"],
        "start": NOON,
        "end": NOON + timedelta(seconds=3),
    }
    return TelemetryQuery(**(arguments | changes))


async def only_result(session: Session, asked: TelemetryQuery) -> StatementResult:
    """Ask one query."""
    answer = await session.query_telemetry([asked])
    (result,) = answer.results
    return result


def rows(result: StatementResult) -> list[tuple[datetime, dict[str, Any]]]:
    """Return time and values of the rows of the only series."""
    assert result.error is None
    (series,) = result.series
    return [(row.time, row.values) for row in series.rows]


@pytest.fixture
def world(freezer: FrozenDateTimeFactory) -> TinyWorld:
    """Return the world at an instant around which its values are known."""
    freezer.move_to(NOON + timedelta(minutes=1))
    return TinyWorld()


def test_form_of_a_query() -> None:
    """A query with all its parts, as the API page has it."""
    asked = query(
        select=["actualPowerTot_W", Aggregate("e_Wh", AggregateFunction.SUM)],
        descending=True,
        limit=1,
    )
    (said,) = orjson.loads(encode_queries([asked]))
    assert said == {
        "select": ["actualPowerTot_W", {"field": "e_Wh", "function": "sum"}],
        "from": {
            "namespace": {
                "version": "1",
                "database": "tiny",
                "retentionPolicy": "rp_one_s",
            },
            "measurement": "submeteringMetrics",
        },
        "where": {
            "time": [
                {"operator": ">=", "value": 1782907200000},
                {"operator": "<", "value": 1782907203000},
            ],
            "tags": {"nodeId": "meter"},
        },
        "orderBy": "DESC",
        "limit": 1,
    }


def test_form_of_a_query_with_less() -> None:
    """What was not given is left out."""
    asked = query(start=None, end=None).as_json()
    assert asked["where"] == {"tags": {"nodeId": "meter"}}
    assert asked["orderBy"] == "ASC"
    assert "limit" not in asked
    assert [c["operator"] for c in query(end=None).as_json()["where"]["time"]] == [">="]
    assert [c["operator"] for c in query(start=None).as_json()["where"]["time"]] == [
        "<"
    ]


@pytest.mark.parametrize(
    ("moment", "milliseconds"),
    [
        (NOON, 1782907200000),
        (NOON.astimezone(timezone(timedelta(hours=2))), 1782907200000),
        (NOON + timedelta(microseconds=123_400), 1782907200123),
        (NOON + timedelta(microseconds=123_999), 1782907200123),
        (datetime(1970, 1, 1, tzinfo=UTC), 0),
        (datetime(1969, 12, 31, 23, 59, 59, 999_500, tzinfo=UTC), -1),
    ],
)
def test_times_are_rounded_down(moment: datetime, milliseconds: int) -> None:
    """A range begins no later than asked for, and ends where the next one begins."""
    conditions = query(start=moment, end=moment).as_json()["where"]["time"]
    assert [condition["value"] for condition in conditions] == [milliseconds] * 2


@pytest.mark.parametrize(
    "changes",
    [
        {"select": [""]},
        {"select": ["a", "b;c"]},
        {"select": ["a\n"]},
        {"select": ["a'b"]},
        {"select": ['a"b']},
        {"select": ["\u20ac"]},
        {"select": [Aggregate("a;b", AggregateFunction.MAX)]},
        {"measurement": ""},
        {"measurement": "a b"},
        {"measurement": "a.b"},
        {"measurement": "a\n"},
        {"namespace": DatabaseNamespace("", "rp")},
        {"namespace": DatabaseNamespace("d/b", "rp")},
        {"namespace": DatabaseNamespace("db", "r p")},
        {"tags": {}},
        {"tags": {"a": ""}},
        {"tags": {"a": "b\n"}},
        {"tags": {"a": "b", "c": "\u20ac"}},
        {"tags": {"a": "\x7f"}},
        {"tags": {"": "b"}},
        {"tags": {"\u65e5": "b"}},
    ],
)
def test_query_that_would_be_refused(changes: dict[str, Any]) -> None:
    """One bad query would spoil its whole request, so it is refused before it is one."""
    with pytest.raises(EnirisQueryError):
        query(**changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"select": ["a"] * FIELDS_PER_QUERY},
        {"select": ["Power (W) +/- 5%.²³*_x"]},
        {"measurement": "a-B_9"},
        {"tags": {"\u00e9 key": " \u00ff~!\"'"}},
        {"limit": 1},
        {"limit": 100_000},
    ],
)
async def test_query_that_is_not_refused(
    session: Session, changes: dict[str, Any]
) -> None:
    """What is allowed here is allowed there."""
    assert await only_result(session, query(**changes))


async def test_rows(session: Session) -> None:
    """Rows come with aware times, from the start inclusive to the end exclusive."""
    assert rows(await only_result(session, query())) == [
        (NOON, {"actualPowerTot_W": 0}),
        (NOON + timedelta(seconds=1), {"actualPowerTot_W": 1}),
        (NOON + timedelta(seconds=2), {"actualPowerTot_W": 2}),
    ]
    newest = await only_result(session, query(descending=True, limit=1))
    assert rows(newest) == [(NOON + timedelta(seconds=2), {"actualPowerTot_W": 2})]
    (series,) = newest.series
    assert (series.name, series.tags) == ("submeteringMetrics", {"nodeId": "meter"})


async def test_newest_values(session: Session) -> None:
    """The newest value of each field, with its own time, out of rows full of nulls."""
    result = await only_result(
        session,
        query(
            select=["actualPowerTot_W", "frequency_Hz", "status", "phases", "unknown"],
            start=NOON - timedelta(minutes=1),
            descending=True,
        ),
    )
    assert result.series[0].newest() == {
        "actualPowerTot_W": (NOON + timedelta(seconds=2), 2),
        "phases": (NOON + timedelta(seconds=2), 3),
        "frequency_Hz": (NOON, 50.25),
        "status": (NOON, "idle"),
    }
    assert "frequency_Hz" not in result.series[0].rows[0].values


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 1, 0], [1, 2, 0], [2, 0, 1]])
def test_newest_out_of_order(order: list[int]) -> None:
    """The newest value is so by its time, not by its place."""
    all_rows = [
        Row(NOON, {"a": 1, "b": "x"}),
        Row(NOON + timedelta(seconds=1), {"a": 2, "c": False}),
        Row(NOON + timedelta(seconds=2), {"a": 3}),
    ]
    series = ResultSeries("m", {}, [all_rows[index] for index in order])
    assert series.newest() == {
        "a": (NOON + timedelta(seconds=2), 3),
        "b": (NOON, "x"),
        "c": (NOON + timedelta(seconds=1), False),
    }
    assert ResultSeries("m", {}, []).newest() == {}


@pytest.mark.parametrize("time_format", ["iso_ms", "iso_ns", "ms"])
async def test_time_formats(
    session: Session, simulator: Simulator, time_format: TimeFormat
) -> None:
    """Times are the same in all forms in which they come."""
    simulator.switches.time_format = time_format
    assert [time for time, _ in rows(await only_result(session, query()))] == [
        NOON,
        NOON + timedelta(seconds=1),
        NOON + timedelta(seconds=2),
    ]


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        ("2026-07-01T12:00:00Z", NOON),
        ("2026-07-01T12:00:00", NOON),
        ("2026-07-01T14:00:00+02:00", NOON),
        ("2026-07-01T12:00:00.5Z", NOON + timedelta(microseconds=500_000)),
        ("2026-07-01T12:00:00.123456789Z", NOON + timedelta(microseconds=123_456)),
        (1782907200000, NOON),
        (1782907200001, NOON + timedelta(milliseconds=1)),
        (1782907200000.0, NOON),
        (0, datetime(1970, 1, 1, tzinfo=UTC)),
        (-1000, datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ("0001-01-01T00:00:00+02:00", None),
        # InfluxDB stores nothing before or after
        ("1677-09-21T00:12:43Z", None),
        ("1677-09-21T00:12:44Z", datetime(1677, 9, 21, 0, 12, 44, tzinfo=UTC)),
        ("2262-04-11T23:47:16Z", datetime(2262, 4, 11, 23, 47, 16, tzinfo=UTC)),
        ("2262-04-11T23:47:17Z", None),
        ("9999-12-31T23:59:59.999999999Z", None),
        ("9999-12-31T23:59:59-12:00", None),
        (9_300_000_000_000, None),
        ("noon", None),
        ("", None),
        (10**30, None),
        (float("nan"), None),
        (float("inf"), None),
        (True, None),
        (None, None),
        ([], None),
    ],
)
def test_times(value: Any, moment: datetime | None) -> None:
    """A time is ISO 8601 or Unix milliseconds, or none."""
    parsed = parse_time(value)
    assert parsed == moment
    assert parsed is None or parsed.tzinfo is UTC


@pytest.mark.parametrize("aggregate_columns", ["function", "field"])
@pytest.mark.parametrize(
    ("function", "value"), [("sum", 3), ("min", 0), ("max", 2), ("mean", 1)]
)
async def test_aggregates(
    session: Session,
    simulator: Simulator,
    aggregate_columns: Any,
    function: str,
    value: float,
) -> None:
    """Each function computes one value over the range."""
    simulator.switches.aggregate_columns = aggregate_columns
    asked = query(select=[Aggregate("actualPowerTot_W", AggregateFunction(function))])
    ((_, values),) = rows(await only_result(session, asked))
    assert list(values.values()) == [value]


async def test_statements_are_independent(session: Session) -> None:
    """A failing query, one without data and one of text leave the others alone."""
    answer = await session.query_telemetry(
        [
            query(namespace=DatabaseNamespace("other", "rp")),
            query(),
            query(tags={"nodeId": "nobody"}),
            query(select=[Aggregate("status", AggregateFunction.SUM)], end=None),
            query(namespace=MINUTES, select=["importedEnergyDeltaTot_Wh"]),
        ]
    )
    errors = [result.error for result in answer.results]
    assert errors[0] == "Unauthorized"
    assert errors[1:3] == [None, None]
    assert errors[3] is not None
    assert "unsupported" in errors[3]
    assert [len(result.series) for result in answer.results] == [0, 1, 0, 0, 1]
    assert rows(answer.results[4]) == [(NOON, {"importedEnergyDeltaTot_Wh": 2.5})]


async def test_several_series(session: Session) -> None:
    """A query can match several series, each with its own tags."""
    result = await only_result(
        session, query(measurement="evChargerMetrics", tags={"site": "s"}, limit=1)
    )
    assert [
        (series.tags["nodeId"], series.rows[0].values["actualPowerTot_W"])
        for series in result.series
    ] == [("left", 1), ("right", 2)]


@pytest.mark.parametrize(
    ("number", "chunks"),
    [(0, []), (1, [1]), (1000, [1000]), (1001, [1000, 1]), (2500, [1000, 1000, 500])],
)
async def test_chunks(
    stub: StubServer, stub_session: Session, number: int, chunks: list[int]
) -> None:
    """More queries than a request may hold are several; order, costs and all are kept."""

    def respond(received: Received) -> web.Response:
        if received.path == "/auth/accesstoken":
            return web.Response(text="token")
        asked = orjson.loads(received.body)
        return web.json_response(
            [
                {"statement_id": index, "error": item["where"]["tags"]["nodeId"]}
                for index, item in enumerate(asked)
            ],
            headers={
                "X-RateLimit-Cost": str(len(asked)),
                "X-RateLimit-Remaining": str(5000 - len(stub.requests)),
                "X-RateLimit-Used": str(len(stub.requests)),
            },
        )

    stub.respond = respond
    queries = [query(tags={"nodeId": f"n{index}"}) for index in range(number)]
    answer = await stub_session.query_telemetry(queries)
    assert [result.error for result in answer.results] == [
        f"n{index}" for index in range(number)
    ]
    sent = [r for r in stub.requests if r.path == "/v1/telemetry/query"]
    assert [len(orjson.loads(request.body)) for request in sent] == chunks
    last = len(stub.requests)
    assert answer.cost == (
        QueryCost(float(number), 5000.0 - last, float(last)) if number else QueryCost()
    )


async def test_chunks_at_the_simulator(session: Session, simulator: Simulator) -> None:
    """The service takes the chunks."""
    asked = query(limit=1)
    answer = await session.query_telemetry([asked] * 1001)
    assert simulator.log.count(QUERY, 200) == 2
    assert all(len(result.series) == 1 for result in answer.results)


async def test_cost(session: Session, simulator: Simulator) -> None:
    """What a request costs, and what is left of the budget."""
    simulator.tier = "basic"
    first = (await session.query_telemetry([query()])).cost
    second = (await session.query_telemetry([query()] * 3)).cost
    logged = [entry.cost for entry in simulator.log.find(QUERY)]
    assert [first.cost, second.cost] == logged
    assert first.cost is not None
    assert second.cost is not None
    assert second.used == pytest.approx(first.cost + second.cost)
    assert second.remaining == pytest.approx(6000 - first.cost - second.cost)


async def test_cost_without_a_limit(session: Session) -> None:
    """On an unlimited tier only the cost is told."""
    cost = (await session.query_telemetry([query()])).cost
    assert cost.cost is not None
    assert (cost.remaining, cost.used) == (None, None)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1.5", 1.5),
        ("0", 0.0),
        (" 7 ", 7.0),
        ("1e3", 1000.0),
        ("", None),
        ("much", None),
        ("nan", None),
        ("inf", None),
        ("1e999", None),
        ("1,5", None),
    ],
)
def test_malformed_cost(text: str, number: float | None) -> None:
    """A header that is no number counts as absent, and costs no other."""
    headers = {"X-RateLimit-Cost": text, "X-RateLimit-Used": "2"}
    assert parse_cost(headers) == QueryCost(number, None, 2.0)
    headers = {"X-RateLimit-Remaining": text}
    assert parse_cost(headers) == QueryCost(None, number, None)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"Date": "Wed, 01 Jul 2026 12:00:00 GMT"}, NOON),
        ({"Date": "Wed, 01 Jul 2026 14:00:00 +0200"}, NOON),
        ({"Date": "Wed, 01 Jul 2026 12:00:00 -0000"}, NOON),
        ({"Date": "noon"}, None),
        ({"Date": ""}, None),
        ({"Date": "Wed, 01 Jul 99999 12:00:00 GMT"}, None),
        ({"Date": "Fri, 31 Dec 9999 23:59:59 GMT"}, None),
        ({}, None),
    ],
)
def test_time_of_an_answer(headers: dict[str, str], expected: datetime | None) -> None:
    """The service's time is read off its answers, where it can be read."""
    assert parse_date(headers) == expected


async def test_cost_headers_in_any_case(
    stub: StubServer, stub_session: Session
) -> None:
    """Names of headers have no case."""
    stub.respond = lambda received: (
        web.Response(text="token")
        if received.path == "/auth/accesstoken"
        else web.json_response([{}], headers={"x-ratelimit-COST": "2"})
    )
    answer = await stub_session.query_telemetry([query()])
    assert answer.cost == QueryCost(2.0)


@pytest.mark.parametrize(
    ("first", "second", "total"),
    [
        (QueryCost(), QueryCost(), QueryCost()),
        (QueryCost(1, 9, 1), QueryCost(2, 7, 3), QueryCost(3, 7, 3)),
        (QueryCost(1, 9, 1), QueryCost(), QueryCost(1)),
        (QueryCost(), QueryCost(0, 9, 1), QueryCost(0, 9, 1)),
    ],
)
def test_sum_of_costs(first: QueryCost, second: QueryCost, total: QueryCost) -> None:
    """Costs add up; the level of the bucket is the latest one."""
    assert first.plus(second) == total


async def test_refusals(session: Session, simulator: Simulator) -> None:
    """The three refusals of the rate limit."""
    simulator.tier = "free"
    with pytest.raises(UnprocessableError) as dear:
        await session.query_telemetry([query(start=None, end=None)])
    assert dear.value.retry_after is None
    simulator.limiter.fill(1001, 99.9)
    with pytest.raises(RateLimitedError) as full:
        await session.query_telemetry([query()])
    assert full.value.retry_after == 1
    for _ in range(12):
        with pytest.raises(RateLimitedError) as banned:
            await session.query_telemetry([query()])
    assert banned.value.retry_after == 300
    simulator.limiter.reset()
    simulator.switches.tier_allowed = False
    with pytest.raises(ForbiddenError):
        await session.query_telemetry([query()])


async def test_failing_chunk(session: Session, simulator: Simulator) -> None:
    """A request that fails is an exception, not a part of an answer."""
    simulator.faults.add("/v1/telemetry/query", "delay", times=1)
    simulator.faults.add("/v1/telemetry/query", "status", status=503, times=1)
    with pytest.raises(ServerError):
        await session.query_telemetry([query(limit=1)] * 1001)


# Parsing of what comes

LINE = ["2026-07-01T12:00:00Z", 1.5, None]
SERIES = {
    "name": "m",
    "tags": {"nodeId": "n"},
    "columns": ["time", "a", "b"],
    "values": [LINE],
}
GOOD = {"statement_id": 0, "series": [SERIES]}
PARSED_SERIES = ResultSeries("m", {"nodeId": "n"}, [Row(NOON, {"a": 1.5})])
PARSED = StatementResult([PARSED_SERIES])


def test_good_statement() -> None:
    """An answer as it should be, alone or in an array."""
    assert parse_statements([GOOD, {}], 2) == [PARSED, StatementResult([])]
    assert parse_statements(GOOD, 1) == [PARSED]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (None, 1),
        ("x", 1),
        (5, 1),
        ([], 1),
        ([GOOD], 2),
        ([GOOD, GOOD], 1),
        (GOOD, 2),
        (GOOD, 0),
    ],
)
def test_answer_that_does_not_fit(body: Any, expected: int) -> None:
    """Results that cannot be told apart are no results."""
    with pytest.raises(EnirisResponseError):
        parse_statements(body, expected)


@pytest.mark.parametrize(
    ("statement", "error"),
    [
        ({"error": "Unauthorized"}, "Unauthorized"),
        ({"error": "Unauthorized", "series": [SERIES]}, "Unauthorized"),
        ({"error": {}}, "unknown error"),
        ({"error": 5}, "unknown error"),
        (None, "the result is not an object"),
        ([], "the result is not an object"),
        ({"series": {}}, "the result holds no list of series"),
        ({"series": "x"}, "the result holds no list of series"),
        ({"series": [None]}, "no series of the result could be read"),
        (
            {"series": [SERIES | {"columns": None}]},
            "no series of the result could be read",
        ),
        (
            {"series": [SERIES | {"columns": "time"}]},
            "no series of the result could be read",
        ),
        (
            {"series": [SERIES | {"columns": ["a"]}]},
            "no series of the result could be read",
        ),
        (
            {"series": [SERIES | {"values": None}]},
            "no series of the result could be read",
        ),
        (
            {"series": [SERIES | {"values": {}}]},
            "no series of the result could be read",
        ),
    ],
)
def test_malformed_statement(statement: Any, error: str) -> None:
    """A statement that cannot be read is an error of its own, and of no other."""
    assert parse_statements([GOOD, statement, GOOD], 3) == [
        PARSED,
        StatementResult([], error),
        PARSED,
    ]


@pytest.mark.parametrize(
    "statement",
    [{}, {"statement_id": 5}, {"series": None}, {"series": []}, {"error": None}],
)
def test_no_data(statement: Any) -> None:
    """A query that matched nothing is no error."""
    assert parse_statements([statement], 1) == [StatementResult([])]


def test_malformed_series() -> None:
    """A series that cannot be read costs that series."""
    statement = {"series": [None, SERIES, {}, SERIES | {"columns": []}]}
    assert parse_statements([statement], 1) == [PARSED]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"name": None, "tags": None}, ResultSeries("", {}, PARSED_SERIES.rows)),
        ({"name": 5, "tags": []}, ResultSeries("", {}, PARSED_SERIES.rows)),
        (
            {"tags": {"a": None, "b": "c"}},
            ResultSeries("m", {"b": "c"}, PARSED_SERIES.rows),
        ),
        ({"values": []}, ResultSeries("m", {"nodeId": "n"}, [])),
        (
            {
                "values": [
                    None,
                    5,
                    [],
                    LINE[:2],
                    [*LINE, 5],
                    [None, 1, 2],
                    ["noon", 1, 2],
                    [[], 1, 2],
                    LINE,
                ]
            },
            replace(PARSED_SERIES, skipped=8),
        ),
        (
            {"values": [[LINE[0], [], {}], [LINE[0], "", False], [LINE[0], 0, -1.5]]},
            ResultSeries(
                "m",
                {"nodeId": "n"},
                [
                    Row(NOON, {}),
                    Row(NOON, {"a": "", "b": False}),
                    Row(NOON, {"a": 0, "b": -1.5}),
                ],
            ),
        ),
        (
            {"columns": ["a", "b", "time"], "values": [[1.5, None, LINE[0]]]},
            PARSED_SERIES,
        ),
        ({"columns": ["time", "a", None]}, PARSED_SERIES),
        ({"columns": ["time", "a", []], "values": [[LINE[0], 1.5, 2]]}, PARSED_SERIES),
        ({"columns": ["time", "a", "time"]}, PARSED_SERIES),
    ],
)
def test_series_with_oddities(changes: dict[str, Any], expected: ResultSeries) -> None:
    """A row, a column or a value that makes no sense costs itself and nothing else."""
    assert parse_statements([{"series": [SERIES | changes]}], 1) == [
        StatementResult([expected])
    ]


def test_numbers_that_are_none() -> None:
    """Values that are not finite do not exist."""
    line = [LINE[0], float("nan"), float("inf")]
    (result,) = parse_statements([{"series": [SERIES | {"values": [line]}]}], 1)
    assert result.series[0].rows == [Row(NOON, {})]


CELL: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, 1, -1.5, "x", "time", "2026-07-01T12:00:00Z", 1782907200000, [], {}]
)
ODD_SERIES = st.fixed_dictionaries(
    {
        "columns": st.lists(CELL, max_size=2).map(lambda names: ["time", *names]),
        "values": st.lists(st.lists(CELL, max_size=4) | CELL, max_size=3),
    },
    optional={"name": CELL, "tags": st.dictionaries(st.text(max_size=2), CELL) | CELL},
)


@given(
    odd=st.lists(
        CELL | st.fixed_dictionaries({"series": st.lists(ODD_SERIES, max_size=2)}),
        max_size=3,
    )
)
def test_good_statement_among_any(odd: list[Any]) -> None:
    """A good result survives whatever stands beside it, and all that is told has its type."""
    results = parse_statements([*odd, GOOD], len(odd) + 1)
    assert results[-1] == PARSED
    for result in results:
        assert result.error is None or (
            isinstance(result.error, str) and not result.series
        )
        for series in result.series:
            for row in series.rows:
                assert row.time.tzinfo is UTC
                assert all(
                    isinstance(v, float | int | str) for v in row.values.values()
                )
            series.newest()
    json.dumps([[row.values for row in s.rows] for r in results for s in r.series])
