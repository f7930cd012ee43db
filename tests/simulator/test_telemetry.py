"""Telemetry queries."""

from typing import Any

import pytest

from simulator.server import Simulator

from .conftest import Answer, Client

PATH = "/v1/telemetry/query"
NOON = 1_782_907_200_000


def query(**changes: Any) -> dict[str, Any]:
    """Return a query for the last three seconds of the meter, with changes; None takes a key out."""
    body = {
        "select": ["actualPowerTot_W"],
        "from": {
            "namespace": {
                "version": "1",
                "database": "tiny",
                "retentionPolicy": "rp_one_s",
            },
            "measurement": "submeteringMetrics",
        },
        "where": {
            "time": [{"operator": ">=", "value": NOON - 3000}],
            "tags": {"nodeId": "meter"},
        },
        **changes,
    }
    return {key: value for key, value in body.items() if value is not None}


def where(*conditions: tuple[str, Any], **tags: str) -> dict[str, Any]:
    """Return a `where` with time conditions and tags."""
    result: dict[str, Any] = {
        "time": [
            {"operator": operator, "value": value} for operator, value in conditions
        ]
    }
    return {**result, "tags": tags} if tags else result


def source(
    database: str = "tiny",
    policy: str = "rp_one_s",
    measurement: str = "submeteringMetrics",
) -> dict[str, Any]:
    """Return a `from`."""
    return {"database": database, "retentionPolicy": policy, "measurement": measurement}


def rows(
    answer: Answer, statement: int | None = None, series: int = 0
) -> list[list[Any]]:
    """Return the values of one series of an answer."""
    assert answer.status == 200, answer.text
    item = answer.json if statement is None else answer.json[statement]
    assert "error" not in item
    values: list[list[Any]] = item["series"][series]["values"]
    return values


@pytest.mark.parametrize(
    "namespace",
    [
        {"version": "1", "database": "tiny", "retentionPolicy": "rp_none"},
        {"version": "2", "organization": "o", "bucket": "b"},
        {"version": "IOx", "value": "v"},
    ],
)
async def test_unknown_namespace(client: Client, namespace: Any) -> None:
    body = query(
        **{"from": {"namespace": namespace, "measurement": "submeteringMetrics"}}
    )
    assert (await client.post(PATH, body)).json == {
        "statement_id": 0,
        "error": "Unauthorized",
    }


@pytest.mark.parametrize(
    ("conditions", "seconds"),
    [
        ([(">=", NOON - 2000)], [58, 59]),
        ([(">", NOON - 2000)], [59]),
        ([(">=", NOON - 4000), ("<", NOON - 2000)], [56, 57]),
        ([(">=", NOON - 4000), ("<=", NOON - 2000)], [56, 57, 58]),
        ([("=", NOON - 2000)], [58]),
        ([(">=", "2026-07-01T11:59:58Z")], [58, 59]),
        ([(">=", "2026-07-01T13:59:58.000000001+02:00")], [59]),
        ([(">=", NOON - 2000), ("<=", NOON + 10_000_000)], [58, 59]),
        ([(">=", NOON - 5000), (">=", NOON - 1000)], [59]),
    ],
)
async def test_time(
    client: Client, conditions: list[tuple[str, Any]], seconds: list[int]
) -> None:
    answer = await client.post(PATH, query(where=where(*conditions, nodeId="meter")))
    assert [value for _, value in rows(answer)] == seconds


@pytest.mark.parametrize(
    "value", ["yesterday", "2026-07-01", "2026-07-01T12:00:00", "2026-13-01T12:00:00Z"]
)
async def test_time_that_is_none(client: Client, value: str) -> None:
    answer = await client.post(PATH, [query(where=where((">=", value))), query()])
    assert answer.json[0]["error"].startswith("Invalid format: ")
    assert len(rows(answer, 1)) == 3


async def test_columns_of_functions(simulator: Simulator, client: Client) -> None:
    select = [
        {"field": "actualPowerTot_W", "function": "sum"},
        {"field": "phases", "function": "sum"},
        {"field": "frequency_Hz", "function": "max"},
    ]
    answer = await client.post(PATH, query(select=select))
    assert answer.json["series"][0]["columns"] == ["time", "sum", "sum_1", "max"]
    assert rows(answer)[0][1:] == [174, 9, None]
    simulator.switches.aggregate_columns = "field"
    answer = await client.post(PATH, query(select=select))
    assert answer.json["series"][0]["columns"] == [
        "time",
        "actualPowerTot_W",
        "phases",
        "frequency_Hz",
    ]


async def test_function_without_a_start(client: Client) -> None:
    body = query(
        **{"from": source(policy="rp_one_m")},
        select=[{"field": "importedEnergyDeltaTot_Wh", "function": "sum"}],
        where=where((">=", "2026-07-01T11:00:00Z")),
    )
    assert rows(await client.post(PATH, body)) == [["2026-07-01T11:00:00.000Z", 150]]
    body["where"] = where(("<", "2026-01-01T00:10:00Z"))
    answer = await client.post(PATH, body)
    assert answer.json["error"].startswith("max-select-point limit exceeded")


async def test_functions_need_numbers(client: Client) -> None:
    body = query(
        select=[{"field": "status", "function": "mean"}],
        where=where((">=", NOON - 60_000)),
    )
    answer = await client.post(PATH, [body, query()])
    assert answer.json[0] == {
        "statement_id": 0,
        "error": "unsupported mean iterator type: string",
    }
    assert len(rows(answer, 1)) == 3


async def test_mixed_select(simulator: Simulator, client: Client) -> None:
    body = query(
        select=["actualPowerTot_W", {"field": "phases", "function": "sum"}],
        orderBy="DESC",
        limit=1,
    )
    assert rows(await client.post(PATH, body)) == [["2026-07-01T11:59:57.000Z", 59, 9]]
    simulator.switches.refuse_mixed_select = True
    assert "mixing" in (await client.post(PATH, body)).json["error"]


@pytest.mark.parametrize(
    "changes",
    [
        {"select": None},
        {"select": []},
        {"select": "actualPowerTot_W"},
        {"select": ["x"] * 101},
        {"select": [""]},
        {"select": ["a;b"]},
        {"select": ["a\n"]},
        {"select": [1]},
        {"select": [{"field": "a"}]},
        {"select": [{"field": "a", "function": "median"}]},
        {"select": [{"field": "a", "function": "sum", "as": "b"}]},
        {"from": None},
        {"from": {}},
        {"from": source(database="a.b")},
        {"from": source(policy="")},
        {"from": source(measurement="a b")},
        {
            "from": {
                **source(),
                "namespace": {"version": "1", "database": "d", "retentionPolicy": "r"},
            }
        },
        {"from": {"namespace": {"version": "1", "database": "d"}, "measurement": "m"}},
        {
            "from": {
                "namespace": {"version": 1, "database": "d", "retentionPolicy": "r"},
                "measurement": "m",
            }
        },
        {"from": {"namespace": {"version": "3", "value": "v"}, "measurement": "m"}},
        {
            "from": {
                "namespace": {"version": "2", "organization": "o"},
                "measurement": "m",
            }
        },
        {
            "from": {
                "namespace": {"version": "2", "organization": "o", "bucket": "b/c"},
                "measurement": "m",
            }
        },
        {
            "from": {
                "namespace": {"version": "IOx", "value": "v", "x": "y"},
                "measurement": "m",
            }
        },
        {"from": {"namespace": {"version": "IOx", "value": ""}, "measurement": "m"}},
        {"from": {"namespace": "tiny", "measurement": "m"}},
        {"where": []},
        {"where": {"field": {}}},
        {"where": {"time": {}}},
        {"where": where((">", 1), ("<", 2), ("=", 3))},
        {"where": where(("==", 1))},
        {"where": where((">", 1.5))},
        {"where": where((">", None))},
        {"where": where((">", True))},
        {"where": {"time": [{"operator": ">"}]}},
        {"where": {"time": [{"operator": ">", "value": 1, "unit": "ms"}]}},
        {"where": {"tags": {}}},
        {"where": {"tags": {"a": 1}}},
        {"where": {"tags": {"a": ""}}},
        {"where": {"tags": {"a": "x\ny"}}},
        {"where": {"tags": {"a": "€"}}},
        {"where": {"tags": ["a"]}},
        {"orderBy": "desc"},
        {"orderBy": 1},
        {"limit": 0},
        {"limit": -1},
        {"limit": "1"},
        {"limit": 1.0},
        {"limit": True},
        {"groupBy": "x"},
    ],
)
async def test_malformed_query(client: Client, changes: Any) -> None:
    body = query(**changes)
    assert (await client.post(PATH, body)).status == 400
    answer = await client.post(PATH, [query(), body])
    assert answer.status == 400
    assert answer.headers["X-RateLimit-Cost"] == "0"


@pytest.mark.parametrize("body", [None, "x", 1, [1], [[]]])
async def test_malformed_body(client: Client, body: Any) -> None:
    assert (await client.post(PATH, body)).status == 400


async def test_odd_but_allowed(client: Client) -> None:
    variants: tuple[dict[str, Any], ...] = (
        {"select": ["a B_-+*/.²³%()"]},
        {"select": ["x"] * 100},
        {"where": {"tags": {"naïve key": "wärme ÿ"}}},
        {"where": {}},
        {"where": None},
        {"limit": 1000000},
    )
    for changes in variants:
        assert (await client.post(PATH, query(**changes))).status == 200
    assert (await client.post(PATH, [query()] * 1000)).status == 200
    assert (await client.post(PATH, [query()] * 1001)).status == 400
    assert (await client.post(f"{PATH}?x=1", query())).status == 400
    assert (await client.request("POST", PATH, data=b"{}")).status == 400


async def test_same_field_twice(client: Client) -> None:
    answer = await client.post(PATH, query(select=["phases", "phases"]))
    assert answer.json["series"][0]["columns"] == ["time", "phases", "phases_1"]


async def test_written_series_alone(client: Client) -> None:
    point = {
        "measurement": "own",
        "time": "2026-07-01T11:59:58Z",
        "tags": {},
        "fields": {"x": 1},
    }
    assert (
        await client.post("/v1/telemetry?u=c&db=demo&rp=rp_one_m", [point])
    ).status == 204
    body = query(
        **{"from": source("demo", "rp_one_m", "own")},
        select=["x"],
        where=where((">=", NOON - 60_000)),
    )
    answer = await client.post(PATH, body)
    assert answer.json["series"] == [
        {
            "name": "own",
            "tags": {},
            "columns": ["time", "x"],
            "values": [["2026-07-01T11:59:58.000Z", 1]],
        }
    ]


async def test_written_series_without_a_range(client: Client) -> None:
    point = {
        "measurement": "own",
        "time": "2026-01-01T00:00:00Z",
        "tags": {},
        "fields": {"x": 1.5},
    }
    path = "/v1/telemetry?u=c&db=demo&rp=rp_one_s"
    assert (await client.post(path, [point])).status == 204
    body = query(
        **{"from": source("demo", "rp_one_s", "own")}, select=["x"], where=None
    )
    assert rows(await client.post(PATH, body)) == [["2026-01-01T00:00:00.000Z", 1.5]]


async def test_too_many_rows(simulator: Simulator, client: Client) -> None:
    simulator.tier = "unlimited"
    answer = await client.post(PATH, query(where=where((">=", NOON - 2 * 86_400_000))))
    assert answer.json["error"].startswith("max-select-point limit exceeded")
