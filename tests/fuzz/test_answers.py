"""Whatever stands in an answer: the client raises its own errors or returns what it promises."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
import json
import math
import time
from typing import Any, Final

import aiohttp
from hypothesis import given, strategies as st
import pytest

from custom_components.eniris.api import (
    Authentication,
    DatabaseNamespace,
    Device,
    EnirisError,
    EnirisStatusError,
    Hosts,
    PartialToken,
    Point,
    RefreshToken,
    Session,
    TelemetryAnswer,
    TelemetryQuery,
    WriteTarget,
    encode_points,
)
from custom_components.eniris.api.devices import DeviceList

from .documents import damaged, values
from .effort import PATIENCE, effort

pytestmark = PATIENCE

TOKEN: Final = RefreshToken("refresh", 1.8e9)
QUERY: Final = TelemetryQuery(
    DatabaseNamespace("db", "rp_one_s"), "gridMetrics", {"nodeId": "x"}, ["a_W"]
)
POINT: Final = Point("m", {"t": "x"}, datetime(2026, 7, 1, tzinfo=UTC), {"a_W": 1.0})

DEVICE: Final = {
    "id": 7,
    "lastUpdate": "2026-07-01T12:00:00.000Z",
    "properties": {
        "nodeId": "meter",
        "nodeType": "powerMeter",
        "name": "Grid",
        "nodeParentsIds": ["site_0"],
        "nodeChildrenIds": ["x"],
        "nodeInfluxSeries": [
            {
                "database": "db",
                "retentionPolicy": "rp_one_s",
                "measurement": "gridMetrics",
                "tags": {"nodeId": "meter"},
                "fields": ["actualPowerTot_W", "frequency_Hz"],
            }
        ],
        "info": {
            "manufacturer": "M",
            "nomPower_W": 100,
            "protocolDriverParameters": {"firmwareVersion": "1"},
        },
    },
    "userRights": {"propertyEditabilities": {"name": True}, "monitorManagement": False},
}
STATEMENT: Final = {
    "statement_id": 0,
    "series": [
        {
            "name": "gridMetrics",
            "tags": {"nodeId": "x"},
            "columns": ["time", "a_W"],
            "values": [["2026-07-01T12:00:00Z", 1.5], [1_782_907_200_000, None]],
        }
    ],
}
ERROR: Final = {
    "statusCode": 429,
    "error": "Too Many Requests",
    "message": "Bucket full",
    "retryAfter": 7,
}
GOOD_BODIES: Final[tuple[Any, ...]] = (
    "token",
    {"userId": 7},
    {"accessToken": "a", "refreshToken": "b", "sudoToken": "c"},
    {"device": [DEVICE, DEVICE]},
    {"device": DEVICE},
    {"company": [{"id": 1, "uuid": "u", "name": "c"}]},
    [STATEMENT],
    STATEMENT,
    ERROR,
)


def as_bytes(document: Any) -> bytes:
    """Return JSON as other languages write it, `NaN` and half surrogates included."""
    return json.dumps(document).encode()


bodies = (
    st.sampled_from(GOOD_BODIES).flatmap(damaged).map(as_bytes)
    | st.sampled_from(GOOD_BODIES).map(as_bytes)
    | values.map(as_bytes)
    | st.binary(max_size=64)
    | st.sampled_from(GOOD_BODIES)
    .map(as_bytes)
    .flatmap(lambda body: st.integers(0, len(body)).map(lambda cut: body[:cut]))
)
statuses = (
    st.sampled_from(
        [200, 200, 200, 204, 400, 401, 403, 404, 405, 409, 412, 413, 422, 429, 500]
    )
    # Those below tell of an answer that is yet to come
    | st.integers(200, 999)
)
header_texts = (
    st.sampled_from(
        [
            "7",
            "-1",
            "0",
            "nan",
            "inf",
            "1e400",
            "9" * 400,
            "1_000",
            "٣",
            "",
            " ",
            "7, 8",
            "Wed, 01 Jul 2026 12:00:00 GMT",
            "Wed, 31 Feb 2026 12:00:00 GMT",
            "Fri, 31 Dec 9999 23:59:59 -2359",
            "Mon, 01 Jan 0001 00:00:00 +2359",
            "Wed, 01 Jul 2026 12:00:00 +999999999",
        ]
    )
    | st.text(st.characters(codec="utf-8"), max_size=30)
).map(lambda text: "".join(" " if ord(sign) < 32 else sign for sign in text))
headers = st.dictionaries(
    st.sampled_from(
        [
            "Retry-After",
            "X-RateLimit-Cost",
            "X-RateLimit-Remaining",
            "X-RateLimit-Used",
            "Date",
            "Content-Type",
            "Location",
            "Set-Cookie",
            "Content-Encoding",
        ]
    ),
    header_texts,
    max_size=4,
)


@dataclass(slots=True)
class Liar:
    """A server that answers what it was told to, byte by byte, on a real socket."""

    answer: bytes = b""
    tokens: bool = True
    """Whether a request for an access token gets one."""

    def say(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """Give this answer from now on."""
        lines = [f"HTTP/1.1 {status} So", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {text}" for name, text in headers.items()]
        head = "\r\n".join([*lines, "Connection: close", "", ""])
        self.answer = head.encode(errors="replace") + body

    async def serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Answer one request and hang up."""
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            is_token = head.startswith(b"GET /auth/accesstoken")
            writer.write(
                b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\naccess"
                if is_token and self.tokens
                else self.answer
            )
            await writer.drain()
            writer.close()
        except (OSError, asyncio.IncompleteReadError):
            writer.close()


@dataclass(slots=True)
class Client:
    """A client of a liar."""

    liar: Liar
    http: aiohttp.ClientSession
    hosts: Hosts

    async def outcome(self, call: "Call") -> tuple[Any, Session]:
        """Return what a call returns, or which of our errors it raises, and its session."""
        session = Session(self.http, RefreshToken("refresh", time.time()), self.hosts)
        try:
            result = await call(session, Authentication(self.http, self.hosts))
        except EnirisError as err:
            return err, session
        return result, session


@pytest.fixture
async def client(socket_enabled: None) -> AsyncIterator[Client]:
    """Return a client of a liar that runs."""
    liar = Liar()
    server = await asyncio.start_server(liar.serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with aiohttp.ClientSession() as http:
        yield Client(liar, http, Hosts(url, url, url))
    server.close()


# What a call promises


def _is_token(result: Any) -> bool:
    return (
        isinstance(result, RefreshToken | PartialToken)
        and isinstance(result.value, str)
        and result.value.isascii()
        and result.value.isprintable()
    )


def _is_text(result: Any) -> bool:
    return isinstance(result, str) and bool(result.encode())


def _is_none_or_text(result: Any) -> bool:
    return result is None or _is_text(result)


def _is_device(device: Device) -> bool:
    return (
        _is_text(device.node_id)
        and all(
            _is_none_or_text(text)
            for text in (device.node_type, device.name, device.last_update)
        )
        and (device.id is None or type(device.id) is int)
        and all(map(_is_text, (*device.parents, *(device.children or ()))))
        and all(
            _is_text(text)
            for series in device.series
            for text in (series.database, series.measurement, *series.fields)
        )
        and all(
            number is None or math.isfinite(number)
            for number in (device.info.nominal_power, device.info.capacity)
        )
    )


def _are_devices(result: Any) -> bool:
    return result is None or (
        isinstance(result, DeviceList)
        and all(map(_is_device, result.devices))
        and _is_none_or_text(result.skip_hash)
    )


def _are_companies(result: Any) -> bool:
    return isinstance(result, list)


def _is_value(value: Any) -> bool:
    return (
        math.isfinite(value)
        if type(value) is float
        else type(value) in (int, bool) or _is_text(value) or value == ""
    )


def _are_results(result: Any) -> bool:
    return (
        isinstance(result, TelemetryAnswer)
        and len(result.results) == 1
        and all(
            number is None or math.isfinite(number)
            for number in (result.cost.cost, result.cost.remaining, result.cost.used)
        )
        and (result.time is None or result.time.tzinfo is UTC)
        and all(
            row.time.tzinfo is UTC and all(map(_is_value, row.values.values()))
            for statement in result.results
            for series in statement.series
            for row in series.rows
        )
    )


type Call = Callable[[Session, Authentication], Awaitable[Any]]

PARTIAL: Final = PartialToken("partial")
TARGET: Final = WriteTarget("u", "db", "rp_one_m")

CALLS: Final[Mapping[str, tuple[Call, Callable[[Any], bool]]]] = {
    "login": (lambda _, auth: auth.login("me", "secret"), _is_token),
    "totp": (lambda _, auth: auth.authenticate_totp(PARTIAL, "123456"), _is_token),
    "email_otp": (
        lambda _, auth: auth.authenticate_email_otp(PARTIAL, "123456"),
        _is_token,
    ),
    "challenge": (
        lambda _, auth: auth.request_email_otp(PARTIAL, "en"),
        lambda result: result is None,
    ),
    "access_token": (lambda _, auth: auth.access_token(TOKEN), _is_text),
    "renew": (lambda _, auth: auth.renew(TOKEN), _is_token),
    "validate": (lambda _, auth: auth.validate(TOKEN), lambda id_: type(id_) is int),
    "logout": (lambda _, auth: auth.logout(TOKEN), lambda result: result is None),
    "devices": (lambda session, _: session.query_devices(), _are_devices),
    "companies": (lambda session, _: session.companies(), _are_companies),
    "update": (
        lambda session, _: session.update_device(7, {"name": "x"}),
        lambda result: result is None or _is_device(result),
    ),
    "telemetry": (lambda session, _: session.query_telemetry([QUERY]), _are_results),
    "write": (
        lambda session, _: session.write_body(TARGET, encode_points([POINT])),
        lambda result: result is None,
    ),
}


def _is_ours(err: EnirisError) -> bool:
    """Tell whether an error can be shown, and waited for."""
    if not err.args or not str(err).encode() or len(str(err)) > 2000:
        return False
    wait = err.retry_after if isinstance(err, EnirisStatusError) else None
    return wait is None or 0 <= wait < math.inf


@effort(150)
@given(
    name=st.sampled_from(sorted(CALLS)),
    status=statuses,
    headers=headers,
    body=bodies,
    tokens=st.booleans() | st.just(True),
)
async def test_any_answer(
    client: Client,
    name: str,
    status: int,
    headers: dict[str, str],
    body: bytes,
    tokens: bool,
) -> None:
    """Every call, with every status, body and header."""
    call, is_promised = CALLS[name]
    client.liar.tokens = tokens
    client.liar.say(status, headers, body)
    result, session = await client.outcome(call)
    is_error = isinstance(result, EnirisError)
    assert _is_ours(result) if is_error else is_promised(result), result
    remaining = session.budget.remaining
    assert remaining is None or math.isfinite(remaining)


@effort(50)
@given(answer=st.binary(max_size=200), cut=st.integers(0, 200))
async def test_any_bytes(client: Client, answer: bytes, cut: int) -> None:
    """What is no HTTP, or the beginning of it, is a failed connection or a status."""
    client.liar.say(200, {"X": "y"}, as_bytes({"device": [DEVICE]}))
    client.liar.answer = client.liar.answer[:cut] + answer
    call, is_promised = CALLS["devices"]
    result, _ = await client.outcome(call)
    is_error = isinstance(result, EnirisError)
    assert _is_ours(result) if is_error else is_promised(result), result
