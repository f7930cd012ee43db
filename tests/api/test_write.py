"""Writes: what the service stores of a point, and what it never gets to see."""

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta, timezone
import gzip
import math
from typing import Any
import zlib

import aiohttp
from hypothesis import given, strategies as st
import orjson
import pytest

from custom_components.eniris.api import (
    Authentication,
    BadRequestError,
    ConflictError,
    EnirisConnectionError,
    EnirisQueryError,
    EnirisStatusError,
    FieldValue,
    ForbiddenError,
    Hosts,
    NotFoundError,
    PayloadTooLargeError,
    Point,
    RateLimitedError,
    ServerError,
    Session,
    UnprocessableError,
    WriteTarget,
)
from custom_components.eniris.api.write import (
    GZIP_FROM,
    encode_points,
    format_time,
    name_problem,
)
from simulator.points import parse_points
from simulator.server import Simulator
from simulator.shapes import parse_json
from simulator.store import StoredPoint
from simulator.timestamps import utc_now

from .conftest import log_in

WRITE = "POST /v1/telemetry"
TARGET = WriteTarget("home-ingress", "demo", "rp_one_m")
OTHER = WriteTarget("home-ingress", "demo", "rp_one_s")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)
ODD_TEXTS = [
    "plain",
    "with space",
    " spaced ",
    "comma,comma",
    "equals=equals",
    'quo"ted"',
    "back\\slash",
    "two\\\\slashes",
    "end\\",
    '\\ \\, \\= \\"',
    "tür €uro 日本 🔋",
    "a#b",
    "'single'",
    "tab\tbed",
    "{json: [1]}",
    "%20&x=1",
    "i",
    "5i",
    "true",
]


def point(**changes: Any) -> Point:
    """Return a point of this very second, or another one."""
    arguments: dict[str, Any] = {
        "measurement": "exampleMetrics",
        "tags": {"serialNr": "aaaabbbbccccdddd"},
        "time": utc_now().replace(microsecond=0),
        "fields": {"maximumProductionPower_W": 2000.0},
    }
    return Point(**(arguments | changes))


async def write(
    session: Session, points: Iterable[Point], target: WriteTarget = TARGET
) -> None:
    """Have the service store points."""
    await session.write_body(target, encode_points(points))


def stored(simulator: Simulator, target: WriteTarget = TARGET) -> list[StoredPoint]:
    """Return what the service has stored under a target."""
    return simulator.store.points(
        database=target.database, retention_policy=target.retention_policy
    )


async def test_one_point(session: Session, simulator: Simulator) -> None:
    """A point is stored as it was meant: name, tags, time, and each value with its type."""
    fields: dict[str, FieldValue] = {
        "float_W": 2000.0,
        "fraction": 0.1,
        "tiny": 5e-324,
        "huge": 1.7976931348623157e308,
        "minus": -0.0,
        "integer": 7,
        "largest": 2**63 - 1,
        "smallest": -(2**63),
        "yes": True,
        "no": False,
        "text": "idle",
        "empty": "",
        "lines": "one\ntwo\r\n",
    }
    now = utc_now().replace(microsecond=123_456)
    await write(session, [point(time=now, fields=fields)])
    (found,) = stored(simulator)
    assert found.measurement == "exampleMetrics"
    assert found.tags == {"serialNr": "aaaabbbbccccdddd"}
    assert found.time_ns == int(now.timestamp()) * 1_000_000_000 + 123_456_000
    assert found.fields == fields
    assert math.copysign(1, float(found.fields["minus"])) == -1
    assert found.types == {
        **dict.fromkeys(("float_W", "fraction", "tiny", "huge", "minus"), "float"),
        **dict.fromkeys(("integer", "largest", "smallest"), "integer"),
        **dict.fromkeys(("yes", "no"), "boolean"),
        **dict.fromkeys(("text", "empty", "lines"), "string"),
    }


async def test_json_form(session: Session, simulator: Simulator) -> None:
    """JSON is what the API's own example shows."""
    asked = point(time=utc_now().replace(microsecond=0))
    await write(session, [asked])
    (request,) = simulator.log.find(WRITE)
    assert sorted(request.query) == [
        ("db", "demo"),
        ("rp", "rp_one_m"),
        ("u", "home-ingress"),
    ]
    assert request.headers["Content-Type"] == "application/json"
    assert "Content-Encoding" not in request.headers
    assert request.json == [
        {
            "measurement": "exampleMetrics",
            "time": f"{asked.time:%Y-%m-%dT%H:%M:%S}Z",
            "tags": {"serialNr": "aaaabbbbccccdddd"},
            "fields": {"maximumProductionPower_W": 2000},
        }
    ]
    assert request.body is not None
    assert b":2000.0}" in request.body


@pytest.mark.parametrize("text", ODD_TEXTS)
async def test_odd_texts(session: Session, simulator: Simulator, text: str) -> None:
    """Whatever stands in a name, a tag or a value is stored as it is."""
    tags = {"nodeId": "n", f"t{text}": text, "x": f"{text}x"}
    fields: dict[str, FieldValue] = {text: 1.5, f"{text}s": text, "n": 1}
    await write(
        session,
        [point(measurement=f"m {text}", tags=tags, fields=fields), point(tags={})],
    )
    first, _ = stored(simulator)
    assert (first.measurement, first.tags, first.fields) == (f"m {text}", tags, fields)


NAMES = st.text(min_size=1, max_size=6).filter(lambda text: name_problem(text) is None)
VALUES = (
    st.floats(allow_nan=False, allow_infinity=False)
    | st.integers(-(2**63), 2**63 - 1)
    | st.booleans()
    | st.text(max_size=8)
    | st.sampled_from(ODD_TEXTS)
)
TEXTS = st.text(min_size=1, max_size=6).filter(lambda text: "\n" not in text)
POINTS = st.builds(
    Point,
    NAMES,
    st.dictionaries(NAMES, TEXTS | st.sampled_from(ODD_TEXTS), max_size=3),
    st.datetimes(
        datetime(1678, 1, 1),  # noqa: DTZ001
        datetime(2262, 1, 1),  # noqa: DTZ001
        timezones=st.timezones(),
    ),
    st.dictionaries(NAMES, VALUES, min_size=1, max_size=3),
)


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (NOON, "2026-07-01T12:00:00Z"),
        (
            NOON.astimezone(timezone(timedelta(hours=5, minutes=30))),
            "2026-07-01T12:00:00Z",
        ),
        (NOON + timedelta(microseconds=1), "2026-07-01T12:00:00.000001Z"),
        (NOON + timedelta(milliseconds=250), "2026-07-01T12:00:00.250000Z"),
        (datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC), "1969-12-31T23:59:59Z"),
    ],
)
def test_times(moment: datetime, text: str) -> None:
    """A time is UTC, to the microsecond, before 1970 too."""
    assert format_time(moment) == text
    (found,) = orjson.loads(encode_points([point(time=moment)]).data)
    assert found["time"] == text


async def test_a_thousand_points(session: Session, simulator: Simulator) -> None:
    """A large batch goes compressed, in one request, and all of it is stored."""
    now = utc_now().replace(microsecond=0)
    points = [
        point(time=now - timedelta(seconds=index), fields={"value": float(index)})
        for index in range(1000)
    ]
    await write(session, points)
    found = stored(simulator)
    assert [item.fields["value"] for item in found] == [
        float(index) for index in reversed(range(1000))
    ]
    (request,) = simulator.log.find(WRITE)
    assert request.headers["Content-Encoding"] == "gzip"
    assert request.received_bytes < request.body_bytes / 5
    await asyncio.get_running_loop().shutdown_default_executor()


def test_compressed_only_where_it_pays() -> None:
    """Small bodies go as they are, larger ones compressed, and none becomes larger by it."""
    small = encode_points([point()])
    assert len(small.data) < GZIP_FROM
    assert "Content-Encoding" not in small.headers
    large = encode_points([point()] * 50)
    assert large.headers["Content-Encoding"] == "gzip"
    assert len(large.data) < len(gzip.decompress(large.data))


def test_what_does_not_compress(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where compression makes a body no smaller, the body stays."""
    monkeypatch.setattr(zlib, "compress", lambda data, _level, wbits: data)
    body = encode_points([point()] * 50)
    assert "Content-Encoding" not in body.headers
    assert len(orjson.loads(body.data)) == 50


def test_limit_of_compression() -> None:
    """The limit is the plain body's size, to the byte."""
    bare = len(encode_points([point(fields={"f": ""})]).data)
    below = encode_points([point(fields={"f": "x" * (GZIP_FROM - bare - 1)})])
    at = encode_points([point(fields={"f": "x" * (GZIP_FROM - bare)})])
    assert len(below.data) == GZIP_FROM - 1
    assert "Content-Encoding" not in below.headers
    assert at.headers["Content-Encoding"] == "gzip"
    assert len(gzip.decompress(at.data)) == GZIP_FROM


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("", "empty"),
        ("a\nb", "newline"),
        ("a\n", "newline"),
        ("a\rb", "newline"),
        ("_time", "underscore"),
        ("a_b", None),
        (" ", None),
        ("é", None),
    ],
)
def test_names(name: str, problem: str | None) -> None:
    """The rules for names, as one word that a form can translate."""
    assert name_problem(name) == problem


INVALID = [
    {"measurement": ""},
    {"measurement": "_m"},
    {"measurement": "m\nn"},
    {"tags": {"": "x"}},
    {"tags": {"_t": "x"}},
    {"tags": {"t\n": "x"}},
    {"tags": {"t": ""}},
    {"tags": {"t": "x\ny"}},
    {"tags": {"ok": "ok", "t": "\n"}},
    {"fields": {}},
    {"fields": {"": 1.0}},
    {"fields": {"_f": 1.0}},
    {"fields": {"f\r": 1.0}},
    {"fields": {"ok": 1.0, "f": float("nan")}},
    {"fields": {"f": float("inf")}},
    {"fields": {"f": float("-inf")}},
    {"fields": {"f": 2**63}},
    {"fields": {"f": -(2**63) - 1}},
    {"fields": {"f": 10**400}},
    {"time": datetime(2026, 7, 1)},  # noqa: DTZ001
]


@pytest.mark.parametrize("changes", INVALID)
def test_invalid_point(changes: dict[str, Any]) -> None:
    """A point that would be refused is found out, alone or among others."""
    for points in ([point(**changes)], [point(), point(**changes), point()]):
        with pytest.raises(EnirisQueryError):
            encode_points(points)


def test_signs_of_what_is_invalid_in_what_is_valid() -> None:
    """Texts that look like a null, and the largest integers, are sent as they are."""
    fields: dict[str, FieldValue] = {
        "a:null": 2**63 - 1,
        "b": ":null",
        "c": -(2**63),
        "d": "null",
        "e": '":null',
    }
    (found,) = orjson.loads(encode_points([point(fields=fields)]).data)
    assert found["fields"] == fields


@given(points=st.lists(POINTS, min_size=1, max_size=4))
def test_any_point(points: list[Point]) -> None:
    """All that is not refused is read by the service as it was meant, types included."""
    body = encode_points(points).data
    data = gzip.decompress(body) if body.startswith(b"\x1f\x8b") else body
    found = parse_points(parse_json(data), "db", "rp")
    assert [
        (item.series.measurement, dict(item.series.tags), item.time_ns // 1000)
        for item in found
    ] == [
        (item.measurement, item.tags, (item.time - EPOCH) // timedelta(microseconds=1))
        for item in points
    ]
    assert [sorted(map(repr, item.fields.items())) for item in found] == [
        sorted(map(repr, item.fields.items())) for item in points
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {"fields": {"f": "half a pair \ud83d"}},
        {"fields": {"f": None}},
        {"tags": {"t": "\udc00"}},
        {"time": datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=2)))},
    ],
)
def test_point_that_cannot_be_written(changes: dict[str, Any]) -> None:
    """What JSON has no way to say is an invalid point too."""
    with pytest.raises(EnirisQueryError):
        encode_points([point(), point(**changes)])


async def test_refusals(session: Session, simulator: Simulator) -> None:
    """Each refusal of the write table, as the service itself gives it; nothing is stored."""

    async def refused(
        exception: type[EnirisStatusError],
        says: str,
        *points: Point,
        target: WriteTarget = TARGET,
    ) -> None:
        before = len(simulator.store)
        with pytest.raises(EnirisStatusError) as caught:
            await write(session, points, target)
        assert type(caught.value) is exception
        assert caught.value.says(says)
        assert len(simulator.store) == before

    good = point()
    await refused(
        NotFoundError, "namespace", good, target=WriteTarget("u", "demo", "rp_other")
    )
    await refused(BadRequestError, "db", good, target=WriteTarget("u", "", "rp_one_m"))
    await refused(ConflictError, "time", good, point(time=NOON - timedelta(days=4000)))
    await refused(
        UnprocessableError, "type", point(fields={"f": 1.0}), point(fields={"f": 1})
    )
    await write(session, [point(fields={"g": 1.0})])
    await refused(ConflictError, "float", good, point(fields={"g": "text"}))
    simulator.switches.max_body = 100
    await refused(PayloadTooLargeError, "100", good, good)
    simulator.switches.max_body = 1_000_000
    simulator.accounts["demo@example.com"].roles.clear()
    await refused(ForbiddenError, "CustomerName", good)


async def test_account_that_may_not_write(
    http: aiohttp.ClientSession, hosts: Hosts, authentication: Authentication
) -> None:
    """An account without the role is told so; it is no reason to log in again."""
    token = await log_in(authentication, "norole@example.com")
    with pytest.raises(ForbiddenError):
        await write(Session(http, token, hosts), [point()])


@pytest.mark.parametrize(
    ("status", "exception", "retry_after"),
    [
        (429, RateLimitedError, 30),
        (500, ServerError, None),
        (503, ServerError, 5),
        (504, ServerError, None),
    ],
)
async def test_later(
    session: Session,
    simulator: Simulator,
    status: int,
    exception: type[EnirisStatusError],
    retry_after: float | None,
) -> None:
    """A refusal for now tells how long to wait, and is not repeated by the client itself."""
    simulator.faults.add(
        "/v1/telemetry", "status", status=status, retry_after=retry_after
    )
    with pytest.raises(exception) as caught:
        await write(session, [point()])
    assert caught.value.retry_after == retry_after
    assert simulator.log.count(WRITE) == 1


async def test_answer_that_was_lost(session: Session, simulator: Simulator) -> None:
    """A write whose answer was lost failed, and repeating it does no harm."""
    asked = [point(), point(fields={"other": 1.0})]
    simulator.faults.add("/v1/telemetry", "drop_after", times=1)
    with pytest.raises(EnirisConnectionError):
        await write(session, asked)
    await write(session, asked)
    (found,) = stored(simulator)
    assert found.fields == {"maximumProductionPower_W": 2000.0, "other": 1.0}
    assert simulator.log.count(WRITE) == 2


def test_targets_have_an_order() -> None:
    """Targets can be sorted and serve as keys."""
    assert sorted({TARGET, OTHER, TARGET}) == [TARGET, OTHER]
