"""Writes: what the service stores of a point, in either form, and what it never gets to see."""

import asyncio
from datetime import UTC, datetime, timedelta, timezone
import gzip
import math
from typing import Any

import aiohttp
from hypothesis import assume, given, strategies as st
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
    WireFormat,
    WriteTarget,
)
from custom_components.eniris.api.write import (
    GZIP_FROM,
    check_points,
    encode,
    encode_now,
    format_time,
    name_problem,
)
from simulator.line_protocol import parse_lines
from simulator.points import parse_points
from simulator.server import Simulator, utc_now
from simulator.shapes import parse_json
from simulator.store import IncomingPoint, StoredPoint

from .conftest import log_in

WRITE = "POST /v1/telemetry"
TARGET = WriteTarget("home-ingress", "demo", "rp_one_m")
OTHER = WriteTarget("home-ingress", "demo", "rp_one_s")
NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)
FORMATS = list(WireFormat)
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


def stored(simulator: Simulator, target: WriteTarget = TARGET) -> list[StoredPoint]:
    """Return what the service has stored under a target."""
    return simulator.store.points(
        database=target.database, retention_policy=target.retention_policy
    )


def without_target(points: list[StoredPoint]) -> list[tuple[Any, ...]]:
    """Return what does not depend on the retention policy, types of values included."""
    return [
        (found.measurement, found.tags, found.time_ns, found.types, found.fields)
        for found in points
    ]


@pytest.mark.parametrize("wire_format", FORMATS)
async def test_one_point(
    session: Session, simulator: Simulator, wire_format: WireFormat
) -> None:
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
    size = await session.write_telemetry(
        TARGET, [point(time=now, fields=fields)], wire_format=wire_format
    )
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
    assert size == simulator.log.find(WRITE)[0].received_bytes


async def test_json_form(session: Session, simulator: Simulator) -> None:
    """JSON is what the API's own example shows."""
    asked = point(time=utc_now().replace(microsecond=0))
    await session.write_telemetry(TARGET, [asked])
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


async def test_line_form(session: Session, simulator: Simulator) -> None:
    """Lines go out as the official driver sends them: no collector, no content type."""
    asked = point(tags={"b": "x y", "a": "1"}, fields={"f": 1.0, "i": 2, "t": 'a "b"'})
    await session.write_telemetry(
        TARGET, [asked, asked], wire_format=WireFormat.LINE_PROTOCOL
    )
    (request,) = simulator.log.find(WRITE)
    assert sorted(request.query) == [("db", "demo"), ("rp", "rp_one_m")]
    assert "Content-Type" not in request.headers
    line = (
        'exampleMetrics,a=1,b=x\\ y f=1.0,i=2i,t="a \\"b\\""'
        f" {int(asked.time.timestamp())}000000000"
    )
    assert request.body == f"{line}\n{line}".encode()


@pytest.mark.parametrize("text", ODD_TEXTS)
async def test_both_forms_store_the_same(
    session: Session, simulator: Simulator, text: str
) -> None:
    """Whatever stands in a name, a tag or a value, both forms mean the same point."""
    asked = [
        point(
            measurement=f"m {text}",
            tags={"nodeId": "n", f"t{text}": text, "x": f"{text}x"},
            fields={text: 1.5, f"{text}s": text, "n": 1},
        ),
        point(tags={}),
    ]
    await session.write_telemetry(TARGET, asked)
    await session.write_telemetry(OTHER, asked, wire_format=WireFormat.LINE_PROTOCOL)
    as_json, as_lines = stored(simulator), stored(simulator, OTHER)
    assert len(as_json) == 2
    assert without_target(as_lines) == without_target(as_json)
    assert as_json[0].measurement == f"m {text}"
    assert as_json[0].tags == {"nodeId": "n", f"t{text}": text, "x": f"{text}x"}
    assert as_json[0].fields == {text: 1.5, f"{text}s": text, "n": 1}


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


@given(points=st.lists(POINTS, min_size=1, max_size=4))
def test_any_point_in_both_forms(points: list[Point]) -> None:
    """All that is not refused before means the same point in either form."""
    try:
        lines = encode_now(points, WireFormat.LINE_PROTOCOL)
    except EnirisQueryError:
        assert any(item.measurement[0] in "#\t\0" for item in points)
        assume(False)
        raise
    from_lines = parse_lines(plain(lines.data).decode(), "db", "rp", 0)
    body = plain(encode_now(points, WireFormat.JSON).data)
    from_json = parse_points(parse_json(body), "db", "rp")
    assert [typed(item) for item in from_lines] == [typed(item) for item in from_json]
    assert [item.fields for item in from_json] == [item.fields for item in points]
    assert [dict(item.series.tags) for item in from_json] == [
        item.tags for item in points
    ]


def plain(data: bytes) -> bytes:
    """Return a body before compression."""
    return gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data


def typed(found: IncomingPoint) -> tuple[Any, ...]:
    """Return a point with the type of each value, the sign of zero included."""
    return found.series, found.time_ns, sorted(map(repr, found.fields.items()))


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
async def test_times(moment: datetime, text: str) -> None:
    """A time is UTC, to the microsecond, before 1970 too; lines have the same in nanoseconds."""
    assert format_time(moment) == text
    for wire_format in FORMATS:
        body = await encode([point(time=moment)], wire_format)
        (found,) = (
            parse_points(orjson.loads(body.data), "db", "rp")
            if wire_format is WireFormat.JSON
            else parse_lines(body.data.decode(), "db", "rp", 0)
        )
        assert (
            found.time_ns
            == (moment - datetime(1970, 1, 1, tzinfo=UTC))
            // timedelta(microseconds=1)
            * 1000
        )


@pytest.mark.parametrize("wire_format", FORMATS)
async def test_a_thousand_points(
    session: Session, simulator: Simulator, wire_format: WireFormat
) -> None:
    """A large batch goes compressed, in one request, and all of it is stored."""
    now = utc_now().replace(microsecond=0)
    points = [
        point(time=now - timedelta(seconds=index), fields={"value": float(index)})
        for index in range(1000)
    ]
    size = await session.write_telemetry(TARGET, points, wire_format=wire_format)
    found = stored(simulator)
    assert [item.fields["value"] for item in found] == [
        float(index) for index in reversed(range(1000))
    ]
    (request,) = simulator.log.find(WRITE)
    assert request.headers["Content-Encoding"] == "gzip"
    assert request.received_bytes == size < request.body_bytes / 5
    await asyncio.get_running_loop().shutdown_default_executor()


async def test_compressed_only_where_it_pays() -> None:
    """Small bodies go as they are, larger ones compressed."""
    for wire_format in FORMATS:
        small = await encode([point()], wire_format)
        assert len(small.data) < GZIP_FROM
        assert "Content-Encoding" not in small.headers
        large = await encode([point()] * 50, wire_format)
        assert large.headers["Content-Encoding"] == "gzip"
        assert len(large.data) < len(gzip.decompress(large.data))


def test_limit_of_compression() -> None:
    """The limit is the plain body's size, to the byte."""
    bare = len(encode_now([point(fields={"f": ""})], WireFormat.JSON).data)
    below = encode_now(
        [point(fields={"f": "x" * (GZIP_FROM - bare - 1)})], WireFormat.JSON
    )
    at = encode_now([point(fields={"f": "x" * (GZIP_FROM - bare)})], WireFormat.JSON)
    assert len(below.data) == GZIP_FROM - 1
    assert "Content-Encoding" not in below.headers
    assert at.headers["Content-Encoding"] == "gzip"
    assert len(gzip.decompress(at.data)) == GZIP_FROM


def test_what_does_not_compress(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where compression makes a body no smaller, the body stays."""
    monkeypatch.setattr(gzip, "compress", lambda data, _level: data)
    body = encode_now([point()] * 50, WireFormat.JSON)
    assert "Content-Encoding" not in body.headers
    assert len(orjson.loads(body.data)) == 50


async def test_large_batches_leave_the_event_loop_free(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Encoding a hundred points or more is another thread's work."""
    handed_over: list[int] = []

    async def to_thread(function: Any, points: list[Point], *args: Any) -> Any:
        handed_over.append(len(points))
        return function(points, *args)

    monkeypatch.setattr(asyncio, "to_thread", to_thread)
    for number in (1, 99, 100, 1000):
        body = await encode([point()] * number, WireFormat.JSON)
        assert len(orjson.loads(plain(body.data))) == number
    assert handed_over == [100, 1000]


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
    """A point that would be refused is found out, in either form, alone or among others."""
    with pytest.raises(EnirisQueryError):
        check_points([point(**changes)])
    for wire_format in FORMATS:
        with pytest.raises(EnirisQueryError):
            encode_now([point(), point(**changes)], wire_format)


async def test_invalid_point_never_leaves(
    session: Session, simulator: Simulator
) -> None:
    """Nothing of a batch with an invalid point is sent."""
    with pytest.raises(EnirisQueryError):
        await session.write_telemetry(TARGET, [point(), point(fields={})])
    assert not simulator.log.requests


@pytest.mark.parametrize(
    "changes",
    [
        {"fields": {"f": "half a pair \ud83d"}},
        {"tags": {"t": "\udc00"}},
        {"time": datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=2)))},
    ],
)
@pytest.mark.parametrize("wire_format", FORMATS)
def test_point_that_cannot_be_written(
    changes: dict[str, Any], wire_format: WireFormat
) -> None:
    """What a form has no way to say is an invalid point too."""
    if "time" in changes and wire_format is WireFormat.LINE_PROTOCOL:
        assert encode_now([point(**changes)], wire_format)
        return
    with pytest.raises(EnirisQueryError):
        encode_now([point(), point(**changes)], wire_format)


@pytest.mark.parametrize("measurement", ["#comment", "\tindented", "\0nul"])
async def test_line_that_would_be_lost(
    session: Session, simulator: Simulator, measurement: str
) -> None:
    """A line that reads as a comment would be dropped without a word; JSON has no such trouble."""
    asked = [point(), point(measurement=measurement)]
    with pytest.raises(EnirisQueryError):
        await session.write_telemetry(
            TARGET, asked, wire_format=WireFormat.LINE_PROTOCOL
        )
    assert not stored(simulator)
    await session.write_telemetry(TARGET, asked)
    assert [found.measurement for found in stored(simulator)] == [
        "exampleMetrics",
        measurement,
    ]


@pytest.mark.parametrize("wire_format", FORMATS)
async def test_no_points(
    session: Session, simulator: Simulator, wire_format: WireFormat
) -> None:
    """Whether an empty list is a valid write nobody knows, so none is sent."""
    assert await session.write_telemetry(TARGET, [], wire_format=wire_format) == 0
    assert not simulator.log.requests


@pytest.mark.parametrize("wire_format", FORMATS)
async def test_refusals(
    session: Session, simulator: Simulator, wire_format: WireFormat
) -> None:
    """Each refusal of the write table, as the service itself gives it; nothing is stored."""

    async def refused(
        exception: type[EnirisStatusError],
        says: str,
        *points: Point,
        target: WriteTarget = TARGET,
    ) -> None:
        before = len(simulator.store)
        with pytest.raises(EnirisStatusError) as caught:
            await session.write_telemetry(target, points, wire_format=wire_format)
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
    await session.write_telemetry(TARGET, [point(fields={"g": 1.0})])
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
        await Session(http, token, hosts).write_telemetry(TARGET, [point()])


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
        await session.write_telemetry(TARGET, [point()])
    assert caught.value.retry_after == retry_after
    assert simulator.log.count(WRITE) == 1


async def test_answer_that_was_lost(session: Session, simulator: Simulator) -> None:
    """A write whose answer was lost failed, and repeating it does no harm."""
    asked = [point(), point(fields={"other": 1.0})]
    simulator.faults.add("/v1/telemetry", "drop_after", times=1)
    with pytest.raises(EnirisConnectionError):
        await session.write_telemetry(TARGET, asked)
    await session.write_telemetry(TARGET, asked)
    (found,) = stored(simulator)
    assert found.fields == {"maximumProductionPower_W": 2000.0, "other": 1.0}
    assert simulator.log.count(WRITE) == 2


def test_targets_have_an_order() -> None:
    """Targets can be sorted and serve as keys."""
    assert sorted({TARGET, OTHER, TARGET}) == [TARGET, OTHER]
