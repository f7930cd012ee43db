"""Metadata: what is asked for, what is made of the answer, and what is made of garbage."""

import base64
from datetime import UTC, datetime
import hashlib
import json
from typing import Any

from aiohttp import web
from hypothesis import given, strategies as st
import orjson
import pytest

from custom_components.eniris.api import (
    BadRequestError,
    Device,
    EnirisResponseError,
    ForbiddenError,
    MethodNotAllowedError,
    NotFoundError,
    PreconditionFailedError,
    SeriesInfo,
    Session,
)
from custom_components.eniris.api.devices import DeviceInfo, parse_devices, skip_hash
from simulator.devices import skip_hash as simulators_hash
from simulator.server import Simulator
from simulator.world import HomeWorld

from .conftest import Received, StubServer

QUERY = "POST /v1/device/query"


async def test_all_devices(session: Session, simulator: Simulator) -> None:
    """Without a condition everything is asked for, and everything is understood."""
    answer = await session.query_devices()
    assert answer is not None
    assert simulator.log.find(QUERY)[0].json == {}
    assert answer.skipped == 0
    assert answer.devices == [
        Device(
            node_id="site_0",
            id=1,
            node_type="smartgridControllerSite",
            name="Home",
            last_update="2026-01-01T00:00:00.000Z",
            properties=simulator.devices.by_node_id("site_0")["properties"],
            editable=frozenset({"name"}),
            monitor_management=False,
        ),
        Device(
            node_id="meter",
            id=2,
            node_type="powerMeter",
            name="Grid",
            last_update="2026-01-02T00:00:00.000Z",
            parents=("site_0",),
            info=DeviceInfo(manufacturer="Acme", nominal_power=9000.0),
            properties=simulator.devices.by_node_id("meter")["properties"],
            editable=frozenset({"name", "info"}),
            monitor_management=True,
        ),
    ]


async def test_unchanged_fleet(session: Session, simulator: Simulator) -> None:
    """The hash is the one that the service computes: an unchanged fleet is an empty answer."""
    first = await session.query_devices()
    assert first is not None
    assert first.skip_hash == simulators_hash(simulator.devices.all())
    assert await session.query_devices(skip_hash=first.skip_hash) is None
    assert simulator.log.count(QUERY, 204) == 1
    assert simulator.log.find(QUERY)[1].json == {"skipHash": first.skip_hash}
    simulator.devices.rename(2, "Other")
    second = await session.query_devices(skip_hash=first.skip_hash)
    assert second is not None
    assert [device.name for device in second.devices] == ["Home", "Other"]
    assert second.skip_hash not in (None, first.skip_hash)
    assert await session.query_devices(skip_hash=second.skip_hash) is None


async def test_hash_of_a_selection(session: Session) -> None:
    """The hash covers the devices that were selected."""
    answer = await session.query_devices(filter={"id": [2]})
    assert answer is not None
    assert (
        await session.query_devices(filter={"id": [2]}, skip_hash=answer.skip_hash)
        is None
    )
    assert await session.query_devices(skip_hash=answer.skip_hash) is not None


@pytest.mark.parametrize(
    ("arguments", "body", "node_ids"),
    [
        ({"filter": {"id": [2, 3]}}, {"filter": {"id": [2, 3]}}, ["meter"]),
        (
            {"filter": {"nodeId": ["site_0"], "isActive": True}},
            {"filter": {"nodeId": ["site_0"], "isActive": True}},
            ["site_0"],
        ),
        ({"filter": {"isActive": False}}, {"filter": {"isActive": False}}, ["meter"]),
        ({"filter": {"companyId": [7]}}, {"filter": {"companyId": [7]}}, ["site_0"]),
        (
            {"skip_hash": "x", "filter": {}},
            {"skipHash": "x", "filter": {}},
            ["site_0", "meter"],
        ),
    ],
)
async def test_selection(
    session: Session,
    simulator: Simulator,
    arguments: dict[str, Any],
    body: dict[str, Any],
    node_ids: list[str],
) -> None:
    """A filter goes out under the API's names and no others."""
    answer = await session.query_devices(**arguments)
    assert answer is not None
    assert simulator.log.find(QUERY)[0].json == body
    assert [device.node_id for device in answer.devices] == node_ids


async def test_selection_that_the_service_refuses(session: Session) -> None:
    """A filter that the API does not have is refused there."""
    with pytest.raises(BadRequestError) as caught:
        await session.query_devices(filter={"colour": ["red"]})
    assert caught.value.says("colour")


async def test_companies(session: Session) -> None:
    """The companies of the account, as they come."""
    assert await session.companies() == [{"id": 7, "name": "Tiny"}]


async def test_update_merges(session: Session, simulator: Simulator) -> None:
    """An edit changes what it names, within objects too, and brings the device back."""
    device = await session.update_device(2, {"info": {"model": "M1"}, "name": "Meter"})
    assert device is not None
    assert device.info == DeviceInfo(
        manufacturer="Acme", model="M1", nominal_power=9000.0
    )
    assert device.name == "Meter"
    assert device.node_type == "powerMeter"
    (request,) = simulator.log.find("PUT /v1/device/{id}")
    assert request.query == [("mode", "merge")]
    assert request.json == {"properties": {"info": {"model": "M1"}, "name": "Meter"}}
    assert "If-Unmodified-Since" not in request.headers


@pytest.mark.parametrize("status", [404, 405])
async def test_update_where_put_is_unknown(
    session: Session, simulator: Simulator, status: int
) -> None:
    """A server of the older kind gets the same edit as a POST, to the same address."""
    simulator.switches.put_status = status
    since = "2026-01-02T00:00:00.000Z"
    device = await session.update_device(
        2, {"info": {"model": "M1"}}, if_unmodified_since=since
    )
    assert device is not None
    assert device.info.manufacturer == "Acme"
    put, post = list(simulator.log.requests)[-2:]
    assert (put.method, put.status) == ("PUT", status)
    assert (post.method, post.status) == ("POST", 200)
    assert (post.path, post.query) == (put.path, put.query)
    assert post.json == {"properties": {"info": {"model": "M1"}}}
    assert post.headers["If-Unmodified-Since"] == since
    assert simulator.log.count("POST /v1/device") == 0


async def test_update_of_no_device(session: Session, simulator: Simulator) -> None:
    """A device that does not exist is not found, on servers of either kind."""
    with pytest.raises(NotFoundError) as caught:
        await session.update_device(99, {"name": "x"})
    assert caught.value.says("no such device")
    simulator.switches.put_status = 405
    with pytest.raises(NotFoundError):
        await session.update_device(99, {"name": "x"})


async def test_update_where_nothing_edits(
    session: Session, simulator: Simulator
) -> None:
    """A server that takes neither says so once; nothing is tried a third time."""
    simulator.faults.add("/v1/device/2", "status", status=405)
    with pytest.raises(MethodNotAllowedError):
        await session.update_device(2, {"name": "x"})
    assert [entry.method for entry in simulator.log.find(path="/v1/device/2")] == [
        "PUT",
        "POST",
    ]


@pytest.mark.parametrize("put_status", [None, 404, 405])
async def test_update_of_a_device_that_changed(
    session: Session, simulator: Simulator, put_status: int | None
) -> None:
    """An edit of what someone else edited meanwhile is refused, and never repeated blindly."""
    simulator.switches.put_status = put_status
    seen = await session.query_devices(filter={"id": [2]})
    assert seen is not None
    simulator.devices.rename(2, "Other")
    with pytest.raises(PreconditionFailedError):
        await session.update_device(
            2, {"name": "Mine"}, if_unmodified_since=seen.devices[0].last_update
        )
    assert simulator.devices.by_node_id("meter")["properties"]["name"] == "Other"


async def test_update_without_right(session: Session, simulator: Simulator) -> None:
    """A property that the account may not edit."""
    with pytest.raises(ForbiddenError):
        await session.update_device(2, {"nodeType": "x"})
    assert simulator.log.count("PUT /v1/device/{id}") == 1


async def test_update_answers_with_a_device_of_no_node(
    session: Session, simulator: Simulator
) -> None:
    """A device without a node id is none of ours; the edit is done all the same."""
    simulator.faults.add("/v1/device/2", "json", body={"device": {"id": 2}})
    assert await session.update_device(2, {"name": "x"}) is None


# Parsing of what comes

GOOD_SERIES = {
    "database": "db",
    "measurement": "submeteringMetrics",
    "retentionPolicy": "rp_one_s",
    "tags": {"nodeId": "n", "a": "b"},
    "fields": ["actualPowerTot_W", "frequency_Hz"],
}
PARSED_SERIES = SeriesInfo(
    "db",
    "rp_one_s",
    "submeteringMetrics",
    (("a", "b"), ("nodeId", "n")),
    ("actualPowerTot_W", "frequency_Hz"),
)
GOOD = {
    "id": 5,
    "lastUpdate": "2026-01-01T00:00:00.000Z",
    "properties": {
        "nodeId": "n",
        "nodeType": "battery",
        "name": "Battery",
        "nodeParentsIds": ["p"],
        "nodeChildrenIds": ["c"],
        "nodeInfluxSeries": [GOOD_SERIES],
        "info": {
            "manufacturer": "Acme",
            "model": "B",
            "serialNumber": "S",
            "nomPower_W": 5000,
            "capacity_Wh": 10000.5,
            "protocolDriverParameters": {"firmwareVersion": "1.2"},
        },
    },
    "userRights": {
        "propertyEditabilities": {"name": True, "info": False},
        "monitorManagement": True,
    },
}
PARSED = Device(
    node_id="n",
    id=5,
    node_type="battery",
    name="Battery",
    last_update="2026-01-01T00:00:00.000Z",
    parents=("p",),
    children=("c",),
    series=(PARSED_SERIES,),
    info=DeviceInfo("Acme", "B", "S", "1.2", 5000.0, 10000.5),
    properties=GOOD["properties"],  # type: ignore[arg-type]
    editable=frozenset({"name"}),
    monitor_management=True,
)
_MISSING = object()


def changed(path: str, value: Any) -> dict[str, Any]:
    """Return the good device with one value in it replaced or, by `_MISSING`, removed."""
    device: dict[str, Any] = orjson.loads(orjson.dumps(GOOD))
    *parents, last = path.split(".")
    place: Any = device
    for parent in parents:
        place = place[int(parent)] if parent.isdigit() else place[parent]
    key: int | str = int(last) if last.isdigit() else last
    if value is _MISSING:
        del place[key]
    else:
        place[key] = value
    return device


def test_good_device() -> None:
    """A device that has everything."""
    answer = parse_devices({"device": [GOOD]})
    assert answer.devices == [PARSED]
    assert answer.devices[0].properties is GOOD["properties"]
    assert answer.skipped == 0


@pytest.mark.parametrize(
    "entry",
    [
        None,
        5,
        "n",
        [],
        [GOOD],
        {},
        changed("properties", _MISSING),
        changed("properties", None),
        changed("properties", []),
        changed("properties", "n"),
        changed("properties.nodeId", _MISSING),
        changed("properties.nodeId", None),
        changed("properties.nodeId", ""),
        changed("properties.nodeId", "  "),
        changed("properties.nodeId", ["n"]),
        changed("properties.nodeId", {"n": 1}),
        changed("properties.nodeId", True),
    ],
)
def test_useless_device(entry: Any) -> None:
    """A device that cannot be used is counted, and costs no other."""
    answer = parse_devices({"device": [GOOD, entry, GOOD]})
    assert answer.devices == [PARSED, PARSED]
    assert answer.skipped == 1


SCALARS: list[Any] = [_MISSING, None, [], {}, True, False, ["x"], {"x": 1}]


@pytest.mark.parametrize(
    ("path", "attribute", "empty", "values"),
    [
        ("id", "id", None, [*SCALARS, "5", 5.0]),
        ("lastUpdate", "last_update", None, [*SCALARS, "", " "]),
        ("properties.nodeType", "node_type", None, [*SCALARS, "", " \n"]),
        ("properties.name", "name", None, [*SCALARS, "", "\t"]),
        (
            "properties.nodeParentsIds",
            "parents",
            (),
            [_MISSING, None, "p", 5, {"p": 1}, [None], [""], [[]], [{}], [True]],
        ),
        (
            "properties.nodeChildrenIds",
            "children",
            None,
            [_MISSING, None, "c", 5, {"c": 1}, True],
        ),
        (
            "properties.nodeChildrenIds",
            "children",
            (),
            [[], [None], [""], [["c"]], [{"c": 1}], [False]],
        ),
        (
            "properties.nodeInfluxSeries",
            "series",
            (),
            [_MISSING, None, "s", 5, {}, GOOD_SERIES, [], [None], [5], [[]], [{}]],
        ),
        ("properties.info", "info", DeviceInfo(), [*SCALARS, "Acme", 5]),
        (
            "userRights.monitorManagement",
            "monitor_management",
            None,
            [_MISSING, None, 1, "true", [True]],
        ),
        ("userRights.propertyEditabilities", "editable", frozenset(), [*SCALARS, "x"]),
        (
            "userRights.propertyEditabilities.name",
            "editable",
            frozenset(),
            [_MISSING, None, 1, "true", [True], False],
        ),
    ],
)
def test_useless_key(path: str, attribute: str, empty: Any, values: list[Any]) -> None:
    """A key of another type than promised costs that key and nothing else."""
    for value in values:
        entry = changed(path, value)
        (device,) = parse_devices({"device": [entry]}).devices
        assert getattr(device, attribute) == empty, value
        for name in Device.__dataclass_fields__:
            if name not in (attribute, "properties"):
                assert getattr(device, name) == getattr(PARSED, name), (name, value)


@pytest.mark.parametrize("value", [*SCALARS, "x"])
def test_useless_rights(value: Any) -> None:
    """Without rights nothing may be edited, and nothing is known of monitors."""
    (device,) = parse_devices({"device": [changed("userRights", value)]}).devices
    assert device.editable == frozenset()
    assert device.monitor_management is None
    assert device.name == PARSED.name


@pytest.mark.parametrize(
    ("path", "attribute"),
    [
        ("manufacturer", "manufacturer"),
        ("model", "model"),
        ("serialNumber", "serial_number"),
        ("nomPower_W", "nominal_power"),
        ("capacity_Wh", "capacity"),
        ("protocolDriverParameters", "firmware_version"),
        ("protocolDriverParameters.firmwareVersion", "firmware_version"),
    ],
)
def test_useless_info(path: str, attribute: str) -> None:
    """The same holds within `info`."""
    for value in SCALARS:
        (device,) = parse_devices(
            {"device": [changed(f"properties.info.{path}", value)]}
        ).devices
        assert getattr(device.info, attribute) is None
        for name in DeviceInfo.__dataclass_fields__:
            if name != attribute:
                assert getattr(device.info, name) == getattr(PARSED.info, name)


@pytest.mark.parametrize("value", ["5000", float("nan"), float("inf")])
def test_power_that_is_no_number(value: Any) -> None:
    """A number is a finite number."""
    (device,) = parse_devices(
        {"device": [changed("properties.info.nomPower_W", value)]}
    ).devices
    assert device.info.nominal_power is None


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("database", _MISSING),
        ("database", None),
        ("database", 5),
        ("database", ""),
        ("database", "a b"),
        ("database", 'a";drop'),
        ("retentionPolicy", _MISSING),
        ("retentionPolicy", "rp/one"),
        ("measurement", []),
        ("measurement", "m\n"),
        ("tags", _MISSING),
        ("tags", None),
        ("tags", {}),
        ("tags", ["nodeId"]),
        ("tags.nodeId", None),
        ("tags.nodeId", 5),
        ("tags.nodeId", ""),
        ("tags.nodeId", "line\nbreak"),
        ("tags.nodeId", "\u20ac"),
        ("tags", {"nodeId": "n", "": "x"}),
        ("tags", {"nodeId": "n", "\u65e5": "x"}),
        ("fields", _MISSING),
        ("fields", None),
        ("fields", {}),
        ("fields", []),
        ("fields", "actualPowerTot_W"),
        ("fields", [None, 5, [], "", "a;b", "a\nb", "\u20ac"]),
    ],
)
def test_useless_series(path: str, value: Any) -> None:
    """A series that could not be asked for, or would bring other nodes' data, is left out."""
    entry = changed(f"properties.nodeInfluxSeries.0.{path}", value)
    entry["properties"]["nodeInfluxSeries"].append(GOOD_SERIES | {"database": "db2"})
    (device,) = parse_devices({"device": [entry]}).devices
    assert [series.database for series in device.series] == ["db2"]


def test_useless_field() -> None:
    """A field that could not be asked for costs that field."""
    fields = [None, "a_W", "a;b", "b_W", 5, "a_W", "Power (W) +/- 5%.²³*"]
    entry = changed("properties.nodeInfluxSeries.0.fields", fields)
    (device,) = parse_devices({"device": [entry]}).devices
    assert device.series[0].fields == ("a_W", "b_W", "Power (W) +/- 5%.²³*")


def test_series_that_is_listed_twice() -> None:
    """Two lists of one series are one series with all the fields."""
    entry = changed(
        "properties.nodeInfluxSeries",
        [
            GOOD_SERIES,
            GOOD_SERIES
            | {"tags": {"a": "b", "nodeId": "n"}, "fields": ["x", "frequency_Hz"]},
            GOOD_SERIES | {"retentionPolicy": "rp_one_m"},
        ],
    )
    (device,) = parse_devices({"device": [entry]}).devices
    assert [(series.retention_policy, series.fields) for series in device.series] == [
        ("rp_one_s", ("actualPowerTot_W", "frequency_Hz", "x")),
        ("rp_one_m", ("actualPowerTot_W", "frequency_Hz")),
    ]


def test_texts() -> None:
    """Space around a text is dropped, a number is its digits, a double is one."""
    entry = changed("properties.nodeParentsIds", [" p ", "p", None, "q", 12])
    entry["properties"]["nodeId"] = " n\n"
    entry["properties"]["info"]["serialNumber"] = 123
    (device,) = parse_devices({"device": [entry]}).devices
    assert device.node_id == "n"
    assert device.parents == ("p", "q", "12")
    assert device.info.serial_number == "123"


@pytest.mark.parametrize(
    "body", [None, [], "x", 5, {}, {"device": None}, {"device": {}}, {"devices": []}]
)
def test_no_list_of_devices(body: Any) -> None:
    """Without a list of devices there is no answer."""
    with pytest.raises(EnirisResponseError):
        parse_devices(body)


def test_hash_is_sorted_by_id() -> None:
    """The order of the answer does not matter, that of the numbers does."""
    devices = [{"id": 10, "lastUpdate": "c"}, {"id": 9, "lastUpdate": "b"}]
    expected = base64.b64encode(hashlib.sha256(b"bc").digest()).decode()
    assert skip_hash(devices) == skip_hash(devices[::-1]) == expected
    assert skip_hash([]) == base64.b64encode(hashlib.sha256(b"").digest()).decode()


@pytest.mark.parametrize(
    "bad",
    [
        None,
        {},
        {"id": 1},
        {"lastUpdate": "x"},
        {"id": True, "lastUpdate": "x"},
        {"id": "1", "lastUpdate": "x"},
        {"id": 1, "lastUpdate": None},
    ],
)
def test_no_hash_over_a_gap(bad: Any) -> None:
    """Where the service's hash cannot be known, everything is asked for again."""
    assert skip_hash([{"id": 5, "lastUpdate": "a"}, bad]) is None
    assert parse_devices({"device": [GOOD, bad]}).skip_hash is None


def test_every_device_of_a_home() -> None:
    """All that the demo home has is understood, series and parents included."""
    devices = list(HomeWorld(seed=1).devices(datetime(2026, 7, 1, 12, tzinfo=UTC)))
    answer = parse_devices(orjson.loads(json.dumps({"device": devices})))
    assert answer.skipped == 0
    assert answer.skip_hash == simulators_hash(devices)
    for device, raw in zip(answer.devices, devices, strict=True):
        properties = raw["properties"]
        assert device.node_id == properties["nodeId"]
        assert device.node_type == properties["nodeType"]
        assert len(device.series) == len(properties.get("nodeInfluxSeries", []))
    assert any(device.series for device in answer.devices)
    assert any(device.parents for device in answer.devices)


KEYS = sorted(
    {
        *GOOD,
        *GOOD["properties"],  # type: ignore[misc]
        *GOOD_SERIES,
        *GOOD["properties"]["info"],  # type: ignore[index]
        "device",
        "firmwareVersion",
        "propertyEditabilities",
        "company",
        "uuid",
    }
)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5)
    | st.sampled_from(["db", "nodeId", "actualPowerTot_W"]),
    lambda children: (
        st.lists(children, max_size=4)
        | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=3), children)
    ),
    max_leaves=10,
)
PROPERTIES = st.fixed_dictionaries(
    {"nodeId": st.just("x")},
    optional=dict.fromkeys(
        ("name", "nodeParentsIds", "nodeChildrenIds", "userRights", "info"), JSON
    )
    | {
        "nodeInfluxSeries": st.lists(
            st.fixed_dictionaries({}, optional=dict.fromkeys(GOOD_SERIES, JSON))
        )
    },
)


@given(
    before=st.lists(JSON, max_size=3),
    odd=st.fixed_dictionaries(
        {"properties": PROPERTIES}, optional={"id": JSON, "lastUpdate": JSON}
    ),
    after=st.lists(JSON, max_size=3),
)
def test_good_device_among_any(
    before: list[Any], odd: dict[str, Any], after: list[Any]
) -> None:
    """A good device survives whatever stands beside it, and the count adds up."""
    answer = parse_devices({"device": [*before, GOOD, odd, *after]})
    assert PARSED in answer.devices
    assert "x" in [device.node_id for device in answer.devices]
    assert len(answer.devices) + answer.skipped == len(before) + len(after) + 2
    for device in answer.devices:
        assert isinstance(device.node_id, str)
        assert device.node_id
        assert all(isinstance(parent, str) for parent in device.parents)
        assert all(series.fields and series.tags for series in device.series)


@pytest.mark.parametrize("text", [b"NaN", b"Infinity", b'"x\xff"', b'"x", "y": [nan]'])
async def test_almost_json(
    stub: StubServer, stub_session: Session, text: bytes
) -> None:
    """What is not JSON is no answer, however little is wrong with it."""
    body = (
        b'{"device": [{"properties": {"nodeId": "a", "info": {"nomPower_W": 100},'
        b' "name": ' + text + b"}}]}"
    )

    def respond(received: Received) -> web.Response:
        return web.Response(body=b"token" if "token" in received.path else body)

    stub.respond = respond
    with pytest.raises(EnirisResponseError):
        await stub_session.query_devices()
