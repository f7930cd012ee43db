"""Devices and companies: queries, edits, and what tests do to devices."""

import base64
import hashlib
from typing import Any

import pytest

from simulator.server import Simulator

from .conftest import Answer, Client

QUERY = "/v1/device/query"


def ids(answer: Answer) -> list[int]:
    """Return the ids of the devices in an answer."""
    assert answer.status == 200
    return [device["id"] for device in answer.json["device"]]


@pytest.mark.parametrize(
    "body",
    [
        [],
        None,
        {"skiphash": "x"},
        {"skipHash": None},
        {"fields": "name"},
        {"fields": [1]},
        {"filter": []},
        {"filter": {"ids": [1]}},
        {"filter": {"id": 1}},
        {"filter": {"id": ["1"]}},
        {"filter": {"id": [True]}},
        {"filter": {"nodeId": [1]}},
        {"filter": {"nodeType": "powerMeter"}},
        {"filter": {"viewId": ["1"]}},
        {"filter": {"companyId": [1.5]}},
        {"filter": {"isActive": [True]}},
        {"filter": {"isActive": 1}},
        {"conditions": []},
        {"conditions": {"name": "Grid"}},
    ],
)
async def test_malformed_query(client: Client, body: Any) -> None:
    assert (await client.post(QUERY, body)).status == 400


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"filter": {}}, [1, 2]),
        ({"filter": {"id": [2, 99]}}, [2]),
        ({"filter": {"id": []}}, []),
        ({"filter": {"nodeId": ["site_0"]}}, [1]),
        ({"filter": {"nodeType": ["powerMeter"]}}, [2]),
        ({"filter": {"companyId": [7]}}, [1]),
        ({"filter": {"viewId": [1]}}, []),
        ({"filter": {"isActive": True}}, [1]),
        ({"filter": {"isActive": False}}, [2]),
        ({"filter": {"id": [1, 2], "nodeType": ["powerMeter"]}}, [2]),
        ({"conditions": {"name": ["Grid", "Other"]}}, [2]),
        ({"conditions": {"isActive": [0]}}, []),
        ({"conditions": {"isActive": [False]}}, [2]),
        ({"conditions": {"nodeParentsIds": [["site_0"]], "name": ["Grid"]}}, [2]),
    ],
)
async def test_selection(client: Client, body: Any, expected: list[int]) -> None:
    assert ids(await client.post(QUERY, body)) == expected


async def test_fields(client: Client) -> None:
    answer = await client.post(QUERY, {"fields": ["name", "info", "unknown"]})
    assert [set(device["properties"]) for device in answer.json["device"]] == [
        {"name"},
        {"name", "info"},
    ]


async def test_skip_hash_notices_a_device_that_is_gone(
    simulator: Simulator, client: Client
) -> None:
    digest = hashlib.sha256(
        b"2026-01-01T00:00:00.000Z2026-01-02T00:00:00.000Z"
    ).digest()
    simulator.devices.hide(2)
    assert ids(
        await client.post(QUERY, {"skipHash": base64.b64encode(digest).decode()})
    ) == [1]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", [1, 2]),
        ("?id=2", [2]),
        ("?id=1&id=2", [1, 2]),
        ("?nodeId=meter&nodeType=powerMeter", [2]),
        ("?isActive=false", [2]),
        ("?companyId=7", [1]),
    ],
)
async def test_older_query(client: Client, query: str, expected: list[int]) -> None:
    assert ids(await client.get(f"/v1/device{query}")) == expected


@pytest.mark.parametrize("query", ["?id=x", "?id=", "?isActive=1", "?name=Grid"])
async def test_malformed_older_query(client: Client, query: str) -> None:
    assert (await client.get(f"/v1/device{query}")).status == 400


async def test_older_query_projects_and_skips(client: Client) -> None:
    answer = await client.get("/v1/device?id=2&fields=name")
    assert answer.json["device"][0]["properties"] == {"name": "Grid"}
    digest = hashlib.sha256(b"2026-01-02T00:00:00.000Z").digest()
    answer = await client.request(
        "GET",
        "/v1/device",
        params={"id": 2, "skipHash": base64.b64encode(digest).decode()},
    )
    assert answer.status == 204


async def put(
    client: Client, query: str, properties: Any, device_id: int = 2, **kwargs: Any
) -> Answer:
    """Edit a device."""
    return await client.request(
        "PUT",
        f"/v1/device/{device_id}{query}",
        json={"properties": properties},
        **kwargs,
    )


async def test_legacy_edit_replaces_properties(client: Client) -> None:
    answer = await put(client, "", {"info": {"model": "M"}})
    assert answer.status == 200
    properties = answer.json["device"]["properties"]
    assert properties["info"] == {"model": "M"}
    assert properties["name"] == "Grid"
    assert (await client.post(QUERY, {"filter": {"id": [2]}})).json["device"] == [
        answer.json["device"]
    ]


async def test_each_edit_moves_last_update(client: Client) -> None:
    first = (await put(client, "", {"name": "A"})).json["device"]["lastUpdate"]
    second = (await put(client, "", {"name": "B"})).json["device"]["lastUpdate"]
    assert (first, second) == ("2026-07-01T12:00:00.000Z", "2026-07-01T12:00:00.001Z")


@pytest.mark.parametrize(
    ("query", "body"),
    [
        ("?mode=replace", {"properties": {"name": "A"}}),
        ("?x=1", {"properties": {"name": "A"}}),
        ("", {"name": "A"}),
        ("", {"properties": {"name": "A"}, "id": 2}),
        ("", {"properties": ["A"]}),
        ("", None),
    ],
)
async def test_malformed_edit(client: Client, query: str, body: Any) -> None:
    assert (
        await client.request("PUT", f"/v1/device/2{query}", json=body)
    ).status == 400


async def test_creating_a_device_is_refused(client: Client) -> None:
    assert (await client.post("/v1/device?roleId=1", {"properties": {}})).status == 403


async def test_anything_can_stand_in_for_a_device(
    simulator: Simulator, client: Client
) -> None:
    devices = simulator.devices
    devices.set(1, {"id": "one", "properties": None})
    devices.add("not a device")
    devices.add(
        {
            "id": 3,
            "lastUpdate": "2026-01-03T00:00:00.000Z",
            "properties": {"nodeId": "new", "name": "New"},
        }
    )
    answer = await client.post(QUERY, {})
    assert answer.json["device"][0] == {"id": "one", "properties": None}
    assert answer.json["device"][2] == "not a device"
    assert (
        await client.post(QUERY, {"filter": {"nodeType": ["powerMeter"]}, "fields": []})
    ).status == 200
    assert devices.rename(3, "Newer")["properties"] == {
        "nodeId": "new",
        "name": "Newer",
    }
    assert devices.by_node_id("new")["id"] == 3
    devices.hide(3)
    devices.hide(2)
    assert len(devices.all()) == 2
    devices.show(2)
    devices.reset()
    assert ids(await client.post(QUERY, {})) == [1, 2]
    with pytest.raises(KeyError):
        devices.rename(99, "Nobody")
    with pytest.raises(KeyError):
        devices.by_node_id("nobody")


async def test_the_world_is_not_touched(simulator: Simulator) -> None:
    before = simulator.world.devices(simulator.clock())
    simulator.devices.edit(2, {"info": {"model": "M"}})
    assert simulator.world.devices(simulator.clock()) == before
