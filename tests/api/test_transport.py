"""A request: connections, waits, redirects and answers that are none."""

import asyncio
import contextlib
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
import pytest

from custom_components.eniris.api import (
    Authentication,
    EnirisConnectionError,
    EnirisResponseError,
    Hosts,
    ServerError,
    Session,
    session as session_module,
)
from custom_components.eniris.api.errors import EnirisTimeoutError
from custom_components.eniris.api.transport import DEFAULT_TIMEOUT, Answer, send
from simulator.faults import FaultKind
from simulator.server import Simulator
from tests.api.conftest import PASSWORD, USERNAME
from tests.api.kit import ALL, READING


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
        # In words for people, of no class of a library
        assert str(caught.value) in (
            "the server closed the connection",
            "the answer was cut off",
        )


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


async def test_timeout_within_the_body(http: aiohttp.ClientSession) -> None:
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
    session: Session, simulator: Simulator, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """The two calls that can take longer have a limit of their own."""
    path, call = ALL[name]
    await session.access_token()
    monkeypatch.setattr(session_module, "_TELEMETRY_TIMEOUT", 0.05)
    simulator.faults.add(path, "delay", delay=30)
    with pytest.raises(EnirisTimeoutError):
        await call(session)


@pytest.mark.parametrize("base", ["", "no address", "http://[", "ftp://a"])
async def test_address_that_is_none(http: aiohttp.ClientSession, base: str) -> None:
    """An address that cannot be asked is a connection that failed."""
    authentication = Authentication(http, Hosts(authentication=base))
    with pytest.raises(EnirisConnectionError):
        await authentication.login(USERNAME, PASSWORD)


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


@pytest.mark.parametrize(
    ("body", "read"),
    [
        (b'{"name": "\\ud83d", "other": 1}', {"name": "?", "other": 1}),
        (b'{"name": "\\ud83d\\ude00"}', {"name": "\N{GRINNING FACE}"}),
    ],
)
def test_half_a_surrogate_pair(body: bytes, read: dict[str, Any]) -> None:
    """It costs the text that it is in, not the whole answer."""
    assert Answer(200, {}, body).json() == read


@pytest.mark.parametrize("body", [b"", b"{", b"NaN", b"[" * 100_000, b"\xff"])
def test_no_json(body: bytes) -> None:
    """What is no JSON is told so."""
    with pytest.raises(EnirisResponseError):
        Answer(200, {}, body).json()
