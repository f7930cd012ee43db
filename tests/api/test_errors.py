"""What goes wrong between us and the service, and the one exception that says so."""

import asyncio
from collections.abc import Awaitable, Callable
import contextlib
from datetime import UTC, datetime, timedelta
import ipaddress
import json
import math
from pathlib import Path
import ssl
import time
from typing import Any

import aiohttp
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from freezegun.api import FrozenDateTimeFactory
from hypothesis import given, strategies as st
import pytest

from custom_components.eniris.api import (
    Authentication,
    BadRequestError,
    ConflictError,
    DatabaseNamespace,
    EnirisConnectionError,
    EnirisError,
    EnirisResponseError,
    EnirisStatusError,
    ForbiddenError,
    Hosts,
    MethodNotAllowedError,
    NoPasswordError,
    NotFoundError,
    PayloadTooLargeError,
    Point,
    PreconditionFailedError,
    RateLimitedError,
    RefreshToken,
    ServerError,
    Session,
    TelemetryQuery,
    UnprocessableError,
    WriteTarget,
    encode_points,
    session as session_module,
)
from custom_components.eniris.api.errors import EnirisTimeoutError
from custom_components.eniris.api.transport import (
    DEFAULT_TIMEOUT,
    Answer,
    _parse_retry_after,
    _read_error,
    send,
)
from simulator.faults import FaultKind
from simulator.server import Simulator

from .conftest import PASSWORD, USERNAME, Received, StubServer, everything_about

QUERY = TelemetryQuery(
    DatabaseNamespace("tiny", "rp_one_s"),
    "submeteringMetrics",
    {"nodeId": "meter"},
    ["actualPowerTot_W"],
    start=datetime(2026, 7, 1, tzinfo=UTC),
    limit=1,
)
POINT = Point("m", {"t": "v"}, datetime(2026, 7, 1, tzinfo=UTC), {"f": 1.0})
TARGET = WriteTarget("u", "demo", "rp_one_m")

type Call = Callable[[Session], Awaitable[object]]

READING: dict[str, tuple[str, Call]] = {
    "devices": ("/v1/device/query", lambda session: session.query_devices()),
    "companies": ("/v1/company", lambda session: session.companies()),
    "update": ("/v1/device/2", lambda session: session.update_device(2, {"name": "x"})),
    "query": ("/v1/telemetry/query", lambda session: session.query_telemetry([QUERY])),
}
WRITING: dict[str, tuple[str, Call]] = {
    "write": (
        "/v1/telemetry",
        lambda session: session.write_body(TARGET, encode_points([POINT])),
    ),
}
ALL = READING | WRITING


@pytest.mark.parametrize(
    ("status", "exception"),
    [
        (302, EnirisStatusError),
        (400, BadRequestError),
        (402, EnirisStatusError),
        (403, ForbiddenError),
        (404, NotFoundError),
        (405, MethodNotAllowedError),
        (409, ConflictError),
        (412, PreconditionFailedError),
        (413, PayloadTooLargeError),
        (422, UnprocessableError),
        (429, RateLimitedError),
        (500, ServerError),
        (502, ServerError),
        (503, ServerError),
        (599, ServerError),
    ],
)
async def test_statuses(
    session: Session,
    simulator: Simulator,
    status: int,
    exception: type[EnirisStatusError],
) -> None:
    """Each status of the tables has its exception, with the server's words and wait."""
    for path, call in ALL.values():
        simulator.faults.add(
            path, "status", status=status, message="so it is", retry_after=17
        )
        with pytest.raises(EnirisStatusError) as caught:
            await call(session)
        assert type(caught.value) is exception
        assert caught.value.status == status
        assert caught.value.message == "so it is"
        assert caught.value.retry_after == 17


@pytest.mark.parametrize(
    ("status", "error", "message", "text"),
    [
        (404, None, "", "404 Not Found"),
        (404, "CODE", "", "404 Not Found (CODE)"),
        (404, None, "words", "404 Not Found (words)"),
        (404, "CODE", "words", "404 Not Found (CODE: words)"),
        (599, None, "words", "599 (words)"),
        (599, None, "", "599"),
    ],
)
def test_text_of_a_refusal(
    status: int, error: str | None, message: str, text: str
) -> None:
    """A refusal reads as the status and what the server said."""
    err = EnirisStatusError(status, message, error=error)
    assert str(err) == text


@pytest.mark.parametrize(
    ("body", "error", "message", "retry_after"),
    [
        (b"", None, "", None),
        (b"<html>504</html>", None, "", None),
        (b"\xff\xfe", None, "", None),
        (b"null", None, "", None),
        (b"[]", None, "", None),
        (b'"text"', None, "", None),
        (b'{"error":5,"message":["x"],"retryAfter":"5"}', None, "", None),
        (b'{"error":"E","message":"m","retryAfter":2.5}', "E", "m", 2.5),
        (b'{"message":"m","retryAfter":0}', None, "m", 0),
        (b'{"retryAfter":-1}', None, "", None),
        (b'{"retryAfter":true}', None, "", None),
        (b'{"retryAfter":1e999}', None, "", None),
        (b'{"message":"a\\nb\\u0007\\u009fc  d\\r\\n"}', None, "a b c  d", None),
    ],
)
async def test_bodies_of_refusals(
    authenticated: Session,
    stub: StubServer,
    body: bytes,
    error: str | None,
    message: str,
    retry_after: float | None,
) -> None:
    """Of a refusal's body, which can be anything, what is usable is used."""
    stub.respond = answering(web.Response, status=503, body=body)
    with pytest.raises(ServerError) as caught:
        await authenticated.companies()
    assert caught.value.error == error
    assert caught.value.message == message
    assert caught.value.retry_after == retry_after


@pytest.mark.parametrize("member", ["error", "message"])
async def test_long_words_are_cut(
    authenticated: Session, stub: StubServer, member: str
) -> None:
    """No more of an answer than a line gets into an exception."""
    stub.respond = answering(web.json_response, {member: "x" * 5000}, status=503)
    with pytest.raises(ServerError) as caught:
        await authenticated.companies()
    assert f"{'x' * 300}…" in str(caught.value)
    assert len(str(caught.value)) < 350


@pytest.mark.parametrize("member", ["error", "message"])
async def test_account_without_password(
    authenticated: Session, stub: StubServer, member: str
) -> None:
    """The one failure of the server that the user can do something about."""
    stub.respond = answering(
        web.json_response, {member: "NO_PASSWORD_INFO"}, status=500
    )
    with pytest.raises(NoPasswordError):
        await authenticated.companies()


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("120", 120.0),
        ("0", 0.0),
        ("2.5", 2.5),
        (" 7 ", 7.0),
        ("Wed, 01 Jul 2026 12:02:00 GMT", 120.0),
        ("Wed, 01 Jul 2026 14:02:00 +0200", 120.0),
        ("Wed, 01 Jul 2026 12:02:00", 120.0),
        ("Wednesday, 01-Jul-26 12:02:00 GMT", 120.0),
        ("Wed, 01 Jul 2026 11:00:00 GMT", 0.0),
        ("Mon, 01 Jan 99999999999 00:00:00 GMT", None),
        ("Mon, 01 Jan 2026 00:00:00 +99999999999999", None),
        ("Mon, 99 Jan 2026 00:00:00 GMT", None),
        ("-5", None),
        ("nan", None),
        ("inf", None),
        ("-inf", None),
        ("1e999", None),
        ("soon", None),
        ("", None),
        ("9" * 400, None),
    ],
)
async def test_retry_after(
    authenticated: Session,
    stub: StubServer,
    freezer: FrozenDateTimeFactory,
    header: str,
    seconds: float | None,
) -> None:
    """`Retry-After` is a number, a date, or nonsense that counts as absent."""
    freezer.move_to("2026-07-01T12:00:00Z")
    stub.respond = answering(web.Response, status=429, headers={"Retry-After": header})
    with pytest.raises(RateLimitedError) as caught:
        await authenticated.companies()
    assert caught.value.retry_after == seconds


@pytest.mark.parametrize("ours", ["2026-07-01T11:00:00Z", "2026-07-03T12:00:00Z"])
async def test_retry_after_by_the_clock_of_the_answer(
    authenticated: Session, stub: StubServer, freezer: FrozenDateTimeFactory, ours: str
) -> None:
    """A date is one of the clock of who says it, however wrong ours is."""
    freezer.move_to(ours)
    stub.respond = answering(
        web.Response,
        status=429,
        headers={
            "Date": "Wed, 01 Jul 2026 12:00:00 GMT",
            "Retry-After": "Wed, 01 Jul 2026 12:00:42 GMT",
        },
    )
    with pytest.raises(RateLimitedError) as caught:
        await authenticated.companies()
    assert caught.value.retry_after == 42


@pytest.mark.parametrize(
    ("header", "body", "seconds"),
    [("5", 300, 300), ("300", 5, 300), ("nan", 5, 5), ("5", None, 5), ("5", -7, 5)],
)
async def test_two_waits(
    authenticated: Session,
    stub: StubServer,
    header: str,
    body: float | None,
    seconds: float,
) -> None:
    """Of two waits the longer one counts: that after a ban, for instance."""
    stub.respond = answering(
        web.json_response,
        {"retryAfter": body},
        status=429,
        headers={"Retry-After": header},
    )
    with pytest.raises(RateLimitedError) as caught:
        await authenticated.companies()
    assert caught.value.retry_after == seconds


@given(
    st.text()
    | st.from_regex(
        r"\A(Mon, )?[0-9]{1,3} [A-Z][a-z]{2} [0-9]{1,12} [0-9:]{1,9} [-+A-Z0-9]{0,9}\Z"
    )
)
def test_any_retry_after(header: str) -> None:
    """No header whatever gives anything but a number of seconds or nothing."""
    seconds = _parse_retry_after(header)
    assert seconds is None or (math.isfinite(seconds) and seconds >= 0)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda children: (
        st.lists(children, max_size=3)
        | st.dictionaries(
            st.sampled_from(["error", "message", "retryAfter"]) | st.text(),
            children,
            max_size=4,
        )
    ),
    max_leaves=8,
)


@given(body=JSON.map(lambda value: json.dumps(value).encode()) | st.binary())
def test_any_body_of_a_refusal(body: bytes) -> None:
    """No body whatever spoils the report of a refusal."""
    error, message, retry_after = _read_error(Answer(500, {}, body))
    assert error is None or isinstance(error, str)
    assert isinstance(message, str)
    assert retry_after is None or (math.isfinite(retry_after) and retry_after >= 0)


@pytest.mark.parametrize(
    ("fault", "options"),
    [
        ("garbage", {}),
        ("html", {"status": 200}),
        ("empty", {}),
        ("wrong_type", {}),
        ("json", {"body": None}),
        ("json", {"body": "text"}),
        ("json", {"body": []}),
        ("json", {"body": {}}),
    ],
)
async def test_answers_that_are_none(
    session: Session, simulator: Simulator, fault: FaultKind, options: dict[str, Any]
) -> None:
    """A success that does not hold what it should is a bad answer, and nothing else."""
    for name, (path, call) in READING.items():
        if name == "query" and options == {"body": {}}:
            continue  # the answer to one query that matched nothing
        simulator.faults.clear()
        simulator.faults.add(path, fault, **options)
        with pytest.raises(EnirisResponseError):
            await call(session)


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("devices", {"device": None}),
        ("devices", {"device": {"id": 1}}),
        ("devices", {"devices": []}),
        ("companies", {"company": {}}),
        ("companies", {"device": []}),
        ("update", {"devices": []}),
        ("update", {"properties": {}}),
        ("query", [{}, {}]),
        ("query", [[]] * 2),
    ],
)
async def test_frames_that_do_not_fit(
    session: Session, simulator: Simulator, name: str, body: Any
) -> None:
    """Nor is another object than the one that was asked for an answer."""
    path, call = READING[name]
    simulator.faults.add(path, "json", body=body)
    with pytest.raises(EnirisResponseError):
        await call(session)


async def test_page_of_a_proxy(session: Session, simulator: Simulator) -> None:
    """A web page with a status of its own is that status."""
    for path, call in ALL.values():
        simulator.faults.add(path, "html")
        with pytest.raises(ServerError) as caught:
            await call(session)
        assert str(caught.value) == "502 Bad Gateway"


@pytest.mark.parametrize(
    ("fault", "status"), [("garbage", 200), ("empty", 200), ("json", 201)]
)
async def test_write_is_stored_only_with_204(
    session: Session, simulator: Simulator, fault: FaultKind, status: int
) -> None:
    """Points are only gone from here once the service has said the one word for it."""
    simulator.faults.add("/v1/telemetry", fault, status=status)
    with pytest.raises(EnirisStatusError) as caught:
        await session.write_body(TARGET, encode_points([POINT]))
    assert caught.value.status == status


@pytest.mark.parametrize("fault", ["drop", "drop_after", "half_body"])
async def test_connection_is_lost(
    session: Session, simulator: Simulator, fault: FaultKind
) -> None:
    """No answer, or half of one, is a connection that failed; a 204 has no half."""
    for path, call in (READING if fault == "half_body" else ALL).values():
        simulator.faults.clear()
        simulator.faults.add(path, fault)
        with pytest.raises(EnirisConnectionError) as caught:
            await call(session)
        assert not isinstance(caught.value, EnirisTimeoutError)
        assert str(caught.value).startswith("the connection failed (")


async def test_nobody_listens(session: Session, simulator: Simulator) -> None:
    """A refused connection says so, without an address."""
    await simulator.stop()
    with pytest.raises(EnirisConnectionError) as caught:
        await session.companies()
    assert str(caught.value) == "the connection was refused or failed"


async def test_timeout_of_a_request(
    http: aiohttp.ClientSession, simulator: Simulator
) -> None:
    """A request that takes too long ends in a timeout, which is a kind of lost connection."""
    simulator.faults.add("/v1/company", "delay", delay=30)
    with pytest.raises(EnirisTimeoutError) as caught:
        await send(http, "GET", f"{simulator.url}/v1/company", timeout=0.05)
    assert isinstance(caught.value, EnirisConnectionError)
    assert str(caught.value) == "no answer within 0.05 seconds"
    assert (DEFAULT_TIMEOUT, session_module._TELEMETRY_TIMEOUT) == (30, 60)


async def test_timeout_within_the_body(
    http: aiohttp.ClientSession, socket_enabled: None
) -> None:
    """The limit covers the whole answer: headers in time are not enough."""

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n[")
        with contextlib.suppress(ConnectionError):
            await reader.read()
        writer.close()

    server = await asyncio.start_server(drip, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(EnirisTimeoutError):
        await send(http, "GET", f"http://127.0.0.1:{port}/", timeout=0.1)
    server.close()
    await asyncio.sleep(0)


@pytest.mark.parametrize("name", ["query", "write"])
async def test_timeout_of_telemetry(
    session: Session,
    simulator: Simulator,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    """The two calls that can take longer have a limit of their own."""
    path, call = ALL[name]
    await session.access_token()
    monkeypatch.setattr(session_module, "_TELEMETRY_TIMEOUT", 0.05)
    simulator.faults.add(path, "delay", delay=30)
    with pytest.raises(EnirisTimeoutError):
        await call(session)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_not_followed(
    authenticated: Session, stub: StubServer, other_stub: StubServer, status: int
) -> None:
    """No token travels to a host that the user did not name."""
    for path, call in ALL.values():
        stub.respond = answering(
            web.Response, status=status, headers={"Location": f"{other_stub.url}{path}"}
        )
        with pytest.raises(EnirisStatusError) as caught:
            await call(authenticated)
        assert caught.value.status == status
        assert stub.requests[-1].path == path
    assert not other_stub.requests


async def test_redirected_log_in(
    http: aiohttp.ClientSession, stub: StubServer, other_stub: StubServer
) -> None:
    """Nor does a password."""
    stub.respond = lambda _: web.Response(
        status=308, headers={"Location": f"{other_stub.url}/auth/login"}
    )
    with pytest.raises(EnirisStatusError):
        await Authentication(http, stub.hosts).login(USERNAME, PASSWORD)
    assert len(stub.requests) == 1
    assert not other_stub.requests


@pytest.mark.parametrize("base", ["", "no address", "http://[", "ftp://a"])
async def test_address_that_is_none(http: aiohttp.ClientSession, base: str) -> None:
    """An address that cannot be asked is a connection that failed."""
    authentication = Authentication(http, Hosts(authentication=base))
    with pytest.raises(EnirisConnectionError):
        await authentication.login(USERNAME, PASSWORD)


async def test_token_that_fits_no_header(
    http: aiohttp.ClientSession, stub: StubServer
) -> None:
    """A stored token that was spoilt does not smuggle a header in, nor show itself."""
    token = RefreshToken("spoilt\r\nX-Other: token", time.time())
    with pytest.raises(EnirisError) as caught:
        await Session(http, token, stub.hosts).companies()
    assert "spoilt" not in everything_about(caught.value)
    assert all("X-Other" not in request.headers for request in stub.requests)


class NoResolver(AbstractResolver):
    """A name service that knows no name."""

    async def resolve(
        self, host: str, port: int = 0, family: Any = 0
    ) -> list[ResolveResult]:
        """Find nothing."""
        raise OSError(f"no such name: {host}")

    async def close(self) -> None:
        """Do nothing."""


async def test_name_is_not_known(socket_enabled: None) -> None:
    """An address with a typing error says what is wrong with it."""
    connector = aiohttp.TCPConnector(resolver=NoResolver())
    async with aiohttp.ClientSession(connector=connector) as http:
        with pytest.raises(EnirisConnectionError) as caught:
            await send(http, "GET", "https://api.eniris.example/")
    assert str(caught.value) == "the server's name could not be resolved"


async def test_certificate_is_not_trusted(
    http: aiohttp.ClientSession, socket_enabled: None, tmp_path: Path
) -> None:
    """A certificate that anyone could have made gets no password."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName(
                [x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
            ),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    pem = tmp_path / "server.pem"
    pem.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    received: list[bytes] = []

    async def listen(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        received.append(await reader.read())
        writer.close()

    server = await asyncio.start_server(listen, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    hosts = Hosts(authentication=f"https://127.0.0.1:{port}")
    with pytest.raises(EnirisConnectionError) as caught:
        await Authentication(http, hosts).login(USERNAME, PASSWORD)
    server.close()
    await asyncio.sleep(0)
    assert str(caught.value) == (
        "the server's certificate is not trusted (self-signed certificate)"
    )
    assert not any(received)


def answering(
    make: Callable[..., web.Response], *args: Any, **kwargs: Any
) -> Callable[[Received], web.Response]:
    """Return an answer to everything but the request for an access token."""

    def respond(received: Received) -> web.Response:
        if received.path == "/auth/accesstoken":
            return web.Response(text="the-access-token")
        return make(*args, **kwargs)

    return respond


@pytest.fixture
def authenticated(stub_session: Session) -> Session:
    """Return a session at the stub server, which is to answer by `answering`."""
    return stub_session
