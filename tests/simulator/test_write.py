"""Telemetry writes: what is stored, and what is refused."""

from collections.abc import Iterable
import gzip
import json
from typing import Any
import zlib

import aiohttp
import pytest

from simulator.model import SeriesKey
from simulator.server import Simulator

from .conftest import Answer, Client

PATH = "/v1/telemetry?u=collector&db=demo&rp=rp_one_m"
LINES = "/v1/telemetry?db=demo&rp=rp_one_m"
TIME = "2026-07-01T11:59:00Z"
JSON_TYPE = {"Content-Type": "application/json"}


def point(**changes: Any) -> dict[str, Any]:
    """Return a point, with changes; None takes a key out."""
    body = {
        "measurement": "exampleMetrics",
        "time": TIME,
        "tags": {"serialNr": "aaaa"},
        "fields": {"maximumProductionPower_W": 2000.0},
        **changes,
    }
    return {key: value for key, value in body.items() if value is not None}


async def raw(
    client: Client, body: bytes | str, path: str = PATH, **headers: str
) -> Answer:
    """Post a body as it is, by default as JSON."""
    data = body.encode() if isinstance(body, str) else body
    return await client.request(
        "POST",
        path,
        data=data,
        headers={
            key.replace("_", "-"): value for key, value in (JSON_TYPE | headers).items()
        },
    )


async def lines(client: Client, *text: str) -> Answer:
    """Post line protocol without a Content-Type, like the official driver."""
    body = "\n".join(text).encode()
    return await client.request(
        "POST", LINES, data=body, skip_auto_headers=["Content-Type"]
    )


async def test_the_literal_decides_the_type(
    simulator: Simulator, client: Client
) -> None:
    fields = '{"a": 2000, "b": 2000.0, "c": 2e3, "d": true, "e": "x", "f": -0}'
    body = (
        f'[{{"measurement": "m", "time": "{TIME}", "tags": {{}}, "fields": {fields}}}]'
    )
    assert (await raw(client, body)).status == 204
    assert simulator.store.points()[0].types == {
        "a": "integer",
        "b": "float",
        "c": "float",
        "d": "boolean",
        "e": "string",
        "f": "integer",
    }


async def test_same_instant_is_merged(simulator: Simulator, client: Client) -> None:
    await client.post(
        PATH, [point(fields={"a": 1.0, "b": 1.0}), point(fields={"b": 2.0, "c": 2.0})]
    )
    await client.post(
        PATH, [point(fields={"c": 3.0}, time="2026-07-01T13:59:00.000+02:00")]
    )
    [stored] = simulator.store.points()
    assert stored.fields == {"a": 1.0, "b": 2.0, "c": 3.0}
    assert stored.writes == 3
    store = simulator.store
    assert (len(store), store.received, store.overwritten, store.batches) == (
        1,
        3,
        2,
        2,
    )


async def test_other_tags_are_another_series(
    simulator: Simulator, client: Client
) -> None:
    await client.post(
        PATH, [point(), point(tags={}), point(tags={"serialNr": "aaaa", "a": "b"})]
    )
    assert len(simulator.store) == 3
    assert len(simulator.store.points(tags={"serialNr": "aaaa"})) == 2
    assert simulator.store.points(tags={"a": "b"})[0].tags == {
        "a": "b",
        "serialNr": "aaaa",
    }


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (json.dumps([point()]).encode(), "gzip"),
        (gzip.compress(json.dumps([point()]).encode())[:-4], "gzip"),
        (gzip.compress(json.dumps([point()]).encode()) + b"x", "gzip"),
        (gzip.compress(json.dumps([point()]).encode()), "identity"),
        (zlib.compress(json.dumps([point()]).encode()), "deflate"),
        (json.dumps([point()]).encode(), "br"),
    ],
    # A compressed body has the time of its making in it
    ids=["plain", "cut", "longer", "identity", "deflate", "br"],
)
async def test_broken_encoding(client: Client, body: bytes, encoding: str) -> None:
    assert (await raw(client, body, Content_Encoding=encoding)).status == 400


@pytest.mark.parametrize(
    "query",
    [
        "",
        "?u=c",
        "?u=c&db=demo",
        "?u=c&rp=rp_one_m",
        "?db=demo&rp=rp_one_m",
        "?u=&db=demo&rp=rp_one_m",
        "?u=c&db=&rp=rp_one_m",
        "?u=c&db=demo&rp=rp_one_m&precision=ms",
        "?u=c&db=demo&db=demo&rp=rp_one_m",
    ],
)
async def test_malformed_parameters(client: Client, query: str) -> None:
    assert (await client.post(f"/v1/telemetry{query}", [point()])).status == 400


async def test_known_namespaces(simulator: Simulator, client: Client) -> None:
    simulator.switches.namespaces.add(("klantennaam", "rp_one_m"))
    for database, policy in (
        ("klantennaam", "rp_one_m"),
        ("tiny", "rp_one_s"),
        ("demo", "rp_one_s"),
    ):
        answer = await client.post(
            f"/v1/telemetry?u=c&db={database}&rp={policy}", [point()]
        )
        assert answer.status == 204
    assert [stored.database for stored in simulator.store.points()] == [
        "klantennaam",
        "tiny",
        "demo",
    ]


@pytest.mark.parametrize(
    "body",
    [
        [],
        {},
        None,
        point(),
        [1],
        [[point()]],
        [point(extra=1)],
        [point(measurement=None)],
        [point(time=None)],
        [point(tags=None)],
        [point(fields=None)],
        [point(measurement="")],
        [point(measurement="_m")],
        [point(measurement="a\nb")],
        [point(measurement=1)],
        [point(time=1_782_907_140_000)],
        [point(time="2026-07-01T11:59:00")],
        [point(time="2026-07-01 11:59:00Z")],
        [point(time="2026-07-01T11:59:00.1234567890Z")],
        [point(time="2026-07-01T11:59:00.Z")],
        [point(time="2026-07-01")],
        [point(time="2026-02-30T11:59:00Z")],
        [point(time="9999-07-01T11:59:00Z")],
        [point(tags=[])],
        [point(tags={"": "x"})],
        [point(tags={"_a": "x"})],
        [point(tags={"a\nb": "x"})],
        [point(tags={"a": ""})],
        [point(tags={"a": "x\ny"})],
        [point(tags={"a": 1})],
        [point(fields={})],
        [point(fields=[])],
        [point(fields={"": 1.0})],
        [point(fields={"_a": 1.0})],
        [point(fields={"a\nb": 1.0})],
        [point(fields={"a": [1.0]})],
        [point(fields={"a": {}})],
        [point(fields={"a": 2**63})],
    ],
)
async def test_malformed_points(
    simulator: Simulator, client: Client, body: Any
) -> None:
    assert (await client.post(PATH, body)).status == 400
    if isinstance(body, list) and body:
        answer = await client.post(PATH, [point(), *body])
        assert answer.status == 400
        assert "point 1" in answer.json["message"]
    assert len(simulator.store) == 0


@pytest.mark.parametrize(
    "value",
    [
        "NaN",
        "Infinity",
        "-Infinity",
        "1e999",
        "null",
        '1.0, "a": 2.0',
        "01",
        "9" * 5000,
        "'x'",
    ],
)
async def test_malformed_values(client: Client, value: str) -> None:
    body = f'[{{"measurement": "m", "time": "{TIME}", "tags": {{}}, "fields": {{"a": {value}}}}}]'
    assert (await raw(client, body)).status == 400


@pytest.mark.parametrize("body", [b"", b"[", b"\xff", b"[" * 100_000])
async def test_malformed_json(client: Client, body: bytes) -> None:
    assert (await raw(client, body)).status == 400


async def test_content_type(client: Client) -> None:
    body = json.dumps([point()])
    assert (
        await raw(client, body, Content_Type="application/json; charset=utf-8")
    ).status == 204
    for content_type in ("text/plain", "application/octet-stream", "application/xml"):
        assert (await raw(client, body, Content_Type=content_type)).status == 400


@pytest.mark.parametrize(
    ("time", "status"),
    [
        ("2025-07-01T12:00:00Z", 204),
        ("2025-07-01T11:59:59.999999999Z", 409),
        ("2026-07-01T13:00:00Z", 204),
        ("2026-07-01T13:00:00.000000001Z", 409),
    ],
)
async def test_time_range(client: Client, time: str, status: int) -> None:
    answer = await client.post(PATH, [point(), point(time=time)])
    assert answer.status == status
    if status == 409:
        assert "time range" in answer.json["message"]


async def test_time_range_is_a_switch(simulator: Simulator, client: Client) -> None:
    simulator.switches.max_age_s = 10.0
    assert (await client.post(PATH, [point()])).status == 409


async def test_wrong_type_for_a_time(simulator: Simulator, client: Client) -> None:
    """All that has a value of the field is refused, until its type is mended."""
    sound, refused = point(fields={"sound": 1.0}), point(fields={"wrong": 1.0})
    simulator.switches.refuse_fields["wrong"] = "string"
    answer = await client.post(PATH, [sound, refused])
    assert answer.status == 409
    assert answer.json["message"] == conflict("wrong", "float", "string")
    assert len(simulator.store) == 0
    assert (await client.post(PATH, [sound])).status == 204
    simulator.switches.refuse_fields.clear()
    assert (await client.post(PATH, [refused])).status == 204


def conflict(field: str, sent: str, stored: str) -> str:
    """Return InfluxDB's words for a conflict."""
    return (
        f'field type conflict: input field "{field}" on measurement "exampleMetrics" is type {sent}, '
        f"already exists as type {stored}"
    )


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        (1.0, 1, ("integer", "float")),
        (1, 1.0, ("float", "integer")),
        (1, True, ("boolean", "integer")),
        (True, 1, ("integer", "boolean")),
        ("x", 1.0, ("float", "string")),
    ],
)
async def test_stored_type(
    simulator: Simulator, client: Client, first: Any, second: Any, words: Iterable[str]
) -> None:
    assert (await client.post(PATH, [point(fields={"a": first})])).status == 204
    other_tags = point(tags={"other": "tag"}, fields={"a": second})
    answer = await client.post(PATH, [point(fields={"good": 1.0}), other_tags])
    assert (answer.status, answer.json["message"]) == (409, conflict("a", *words))
    assert simulator.store.points()[0].fields == {"a": first}
    elsewhere = "/v1/telemetry?u=c&db=demo&rp=rp_one_s"
    assert (await client.post(elsewhere, [other_tags])).status == 204
    assert (
        await client.post(PATH, [point(measurement="other", fields={"a": second})])
    ).status == 204


async def test_type_in_the_world(client: Client) -> None:
    path = "/v1/telemetry?u=c&db=tiny&rp=rp_one_s"
    body = point(
        measurement="submeteringMetrics",
        tags={"nodeId": "new"},
        fields={"actualPowerTot_W": 1},
    )
    answer = await client.post(path, [body])
    assert (
        answer.status,
        "already exists as type float" in answer.json["message"],
    ) == (409, True)
    body["fields"] = {"actualPowerTot_W": 1.0, "phases": 1, "unheardOf": "x"}
    assert (await client.post(path, [body])).status == 204


async def test_size_beyond_any_switch(simulator: Simulator, client: Client) -> None:
    try:
        answer = await raw(client, b" " * (64 * 1024 * 1024 + 1))
    except aiohttp.ClientConnectionError:
        pass
    else:
        assert answer.status == 413
    assert simulator.log.requests[-1].status == 413


async def test_line_protocol(simulator: Simulator, client: Client) -> None:
    answer = await lines(
        client,
        'm,tag=x a=1.5,b=2i,c=t,d="text" 1782907140000000001',
        "m a=2 1782907140000000000",
        "m a=3.0",
        "",
    )
    assert (answer.status, answer.body) == (204, b"")
    first, second, third = simulator.store.points()
    assert (first.tags, first.time_ns) == ({"tag": "x"}, 1_782_907_140_000_000_001)
    assert first.fields == {"a": 1.5, "b": 2, "c": True, "d": "text"}
    assert first.types == {"a": "float", "b": "integer", "c": "boolean", "d": "string"}
    assert (second.tags, second.types) == ({}, {"a": "float"})
    assert third.time_ns == 1_782_907_200_000_000_000


async def test_line_protocol_obeys_the_same_rules(
    simulator: Simulator, client: Client
) -> None:
    assert (await lines(client, "m a=1i", "m a=1.0")).status == 422
    assert (await lines(client, "m a=1i")).status == 204
    assert (await lines(client, "m a=1.0")).status == 409
    assert (await lines(client, "m b=1.0 1")).status == 409
    assert (await lines(client, "_m b=1.0")).status == 400
    assert (await lines(client, "")).status == 400
    assert (await lines(client, "# nothing")).status == 400
    assert (await client.request("POST", LINES, data=b"m a=\xff")).status == 400
    body = gzip.compress(b"m a=5i")
    answer = await client.request(
        "POST", LINES, data=body, headers={"Content-Encoding": "gzip"}
    )
    assert answer.status == 204
    text_plain = {"Content-Type": "text/plain; charset=utf-8"}
    assert (
        await client.request("POST", f"{LINES}&u=c", data=b"m a=6i", headers=text_plain)
    ).status == 204
    assert [stored.fields for stored in simulator.store.points()] == [{"a": 6}]
    await client.log_in("norole@example.com")
    assert (await lines(client, "m a=1i")).status == 403


async def test_filters_of_the_store(simulator: Simulator, client: Client) -> None:
    await client.post(
        PATH,
        [
            point(),
            point(measurement="other", time="2026-07-01T11:58:00Z", fields={"x": 1.0}),
        ],
    )
    store = simulator.store
    key = SeriesKey("demo", "rp_one_m", "other", (("serialNr", "aaaa"),))
    assert key in store.series()
    assert store.fields(key) == {"x"}
    assert (
        len(
            store.points(
                measurement="other", database="demo", retention_policy="rp_one_m"
            )
        )
        == 1
    )
    assert len(store.points(field_name="x")) == 1
    assert len(store.points(start_ns=1_782_907_140_000_000_000)) == 1
    assert len(store.points(end_ns=1_782_907_140_000_000_000)) == 1
    assert store.points(database="none") == []
    store.clear()
    assert (len(store), store.received, store.batches) == (0, 0, 0)
    assert (await client.post(PATH, [point(fields={"x": 1})])).status == 204
