"""What a hostile service answers: bombs, cookies, headers, tokens that are none, broken text."""

import asyncio
from collections.abc import Callable
from functools import cache, partial
import gzip
from http.cookies import SimpleCookie
import json
import os
import time
import tracemalloc
import zlib

import aiohttp
from aiohttp import web
import pytest
from yarl import URL

from custom_components.eniris.api import (
    Authentication,
    EnirisConnectionError,
    EnirisResponseError,
    RefreshToken,
    Session,
)
from custom_components.eniris.api.transport import ANSWER_LIMIT, send
from custom_components.eniris.http import async_http_session
from homeassistant.core import HomeAssistant
from homeassistant.helpers.aiohttp_client import async_get_clientsession
from tests.api.conftest import Received, StubServer, everything_about

from .calls import CALLS, REFRESH, SECRETS, client, error_of, refusal, with_access_token

Body = Callable[[bytes], bytes]


def answer(body: bytes, encoding: str = "", status: int = 200) -> web.Response:
    """Return an answer with a body that is compressed already."""
    headers = {"Content-Encoding": encoding} if encoding else {}
    return web.Response(body=body, status=status, headers=headers)


@cache
def bomb(size: int) -> bytes:
    """Return `size` zero bytes, compressed as far as it goes, without having them at once."""
    compressor = zlib.compressobj(1, wbits=31)
    piece = b"\0" * 2**20
    packed = [compressor.compress(piece) for _ in range(size // 2**20)]
    return b"".join([*packed, compressor.flush()])


def in_members(body: bytes) -> bytes:
    """Return a body as gzip files in a row, an empty one among them."""
    half = len(body) // 2
    return b"".join(map(gzip.compress, (body[:half], b"", body[half:])))


# Bombs


@pytest.mark.parametrize("status", [200, 500])
async def test_a_small_answer_that_is_huge(
    http: aiohttp.ClientSession, stub: StubServer, status: int
) -> None:
    """What is a hundred times as much behind it is given up at the limit; little more was unpacked."""
    packed = bomb(3 * ANSWER_LIMIT)
    assert len(packed) < 2**21
    stub.respond = lambda _: answer(packed, "gzip", status)
    tracemalloc.start()
    try:
        with pytest.raises(EnirisResponseError, match="larger than 64 MiB"):
            await send(http, "GET", f"{stub.url}/v1/company")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2 * ANSWER_LIMIT


async def test_a_large_answer_without_end(
    http: aiohttp.ClientSession, stub: StubServer
) -> None:
    """One that is not compressed is held to the same, and not read to its end."""
    written = 0

    class Endless(web.StreamResponse):
        async def write_eof(self, data: bytes = b"") -> None:
            nonlocal written
            for _ in range(1000):
                await self.write(b" " * 2**20)
                written += 1
            await super().write_eof(data)

    stub.respond = lambda _: Endless()
    with pytest.raises(EnirisResponseError, match="larger than 64 MiB"):
        await send(http, "GET", f"{stub.url}/v1/company")
    assert written < 100


@pytest.mark.parametrize(
    ("pack", "encoding", "size"),
    [
        (bytes, "", 2),
        (bytes, "identity", 2**20),
        (gzip.compress, "gzip", 2),
        (gzip.compress, "GZIP", 2**20 + 1),
        # Several members in a row, and padding behind the last
        (in_members, "gzip", 10),
        (in_members, "x-gzip", 3 * 2**20),
        (lambda body: gzip.compress(body) + b"\0" * 512, "gzip", 1000),
        (lambda body: zlib.compress(body) + b"\0" * 512, "deflate", 1000),
        (zlib.compress, "deflate", 2**21),
        (partial(gzip.compress, compresslevel=1), "gzip", ANSWER_LIMIT),
    ],
)
async def test_an_answer_below_the_limit(
    http: aiohttp.ClientSession, stub: StubServer, pack: Body, encoding: str, size: int
) -> None:
    """It is there to its last byte, compressed or not."""
    body = b"x" * (size - 1) + b"y"
    packed = pack(body)
    stub.respond = lambda _: answer(packed, encoding)
    assert (await send(http, "GET", stub.url)).body == body
    assert stub.requests[0].headers["Accept-Encoding"] == "gzip"


@pytest.mark.parametrize(
    ("body", "encoding", "says"),
    [
        (b"not compressed at all", "gzip", "cannot be decompressed"),
        (gzip.compress(b"x" * 1000, mtime=0)[:-9], "gzip", "cut off"),
        (in_members(b"x" * 1000)[:-9], "gzip", "cut off"),
        (b"x", "br", "unknown way"),
        (b"x", "gzip, gzip", "unknown way"),
    ],
    ids=["not_at_all", "cut_off", "last_cut_off", "unknown", "twice"],
)
async def test_an_answer_that_is_compressed_badly(
    http: aiohttp.ClientSession, stub: StubServer, body: bytes, encoding: str, says: str
) -> None:
    """It is an answer that the service does not promise."""
    stub.respond = lambda _: answer(body, encoding)
    with pytest.raises(EnirisResponseError, match=says):
        await send(http, "GET", stub.url)


async def test_an_empty_answer_that_says_it_is_compressed(
    http: aiohttp.ClientSession, stub: StubServer
) -> None:
    """Nothing is nothing, compressed or not."""
    stub.respond = lambda _: answer(b"", "gzip", 204)
    assert (await send(http, "GET", stub.url, expected=(204,))).body == b""


# Cookies, proxies


async def test_cookies_are_neither_kept_nor_sent(
    hass: HomeAssistant, stub: StubServer
) -> None:
    """Not to other hosts of a domain, not with the calls of another account at the same host."""
    stub.respond = lambda _: web.Response(headers={"Set-Cookie": "id=planted; Path=/"})
    ours, shared = async_http_session(hass), async_get_clientsession(hass)
    # Those of bare IP addresses are kept by nobody, unless told to
    shared._cookie_jar = aiohttp.CookieJar(unsafe=True)
    for _ in range(2):
        await send(ours, "GET", stub.url)
        async with shared.get(f"{stub.url}/shared"):
            pass
    sent = [request.headers.get("Cookie") for request in stub.requests]
    assert sent == [None, None, None, "id=planted"]
    for jar, kept in ((ours.cookie_jar, 0), (aiohttp.CookieJar(), 1)):
        # A whole top-level domain, as a hostile white-label host could name it
        jar.update_cookies(
            SimpleCookie("id=planted; Domain=be"), URL("https://evil.be")
        )
        assert len(jar.filter_cookies(URL("https://other.be"))) == kept


async def test_one_session_for_all_accounts_that_ends_with_home_assistant(
    hass: HomeAssistant,
) -> None:
    """It uses the connections that Home Assistant has, and is let go when that stops."""
    http = async_http_session(hass)
    assert async_http_session(hass) is http
    assert http.connector is async_get_clientsession(hass).connector
    await hass.async_stop(force=True)
    assert http.closed


async def test_no_proxy_of_the_environment(
    hass: HomeAssistant,
    stub: StubServer,
    other_stub: StubServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Tokens do not go to a proxy that some variable names."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, other_stub.url)
        monkeypatch.setenv(name.upper(), other_stub.url)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    assert os.environ["HTTP_PROXY"] == other_stub.url
    await send(async_http_session(hass), "GET", stub.url, bearer=REFRESH)
    assert len(stub.requests) == 1
    assert not other_stub.requests


# Headers and tokens


async def test_a_header_that_is_too_large(
    http: aiohttp.ClientSession, stub: StubServer
) -> None:
    """It is an answer that cannot be read, and what it quotes of ours is not told."""
    quoted = " ".join(SECRETS)
    stub.respond = lambda _: web.Response(headers={"X-Huge": quoted + "x" * 100_000})
    for name in CALLS:
        error = await refusal(name, http, stub.hosts)
        assert isinstance(error, EnirisConnectionError), name
        shown = everything_about(error)
        assert not [secret for secret in SECRETS if secret in shown], name


async def test_an_answer_that_is_no_http(http: aiohttp.ClientSession) -> None:
    """A server that sends the request back as its answer brings no token into an error."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received = await reader.read(10_000)
        lines = received.split(b"\r\n")
        writer.write(
            b"HTTP/1.1 200 OK\r\n" + b"\r\n".join(lines[1:]).replace(b":", b"\0:")
        )
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(EnirisConnectionError) as caught:
        await send(http, "GET", f"http://127.0.0.1:{port}", bearer=REFRESH)
    assert REFRESH not in everything_about(caught.value)
    server.close()
    await server.wait_closed()


@pytest.mark.parametrize(
    "token",
    [
        "a\r\nX-Evil: 1",
        "a\nb",
        "a\0b",
        "a b",
        "a\tb",
        "a\x7fb",
        "tokén",
        "😀",
        "x" * 20_000,
        "<html>",
        "",
    ],
)
async def test_a_token_that_would_be_more_than_a_header(
    http: aiohttp.ClientSession, stub: StubServer, token: str
) -> None:
    """It is no token: it is neither kept nor sent, however it is written."""
    stub.respond = lambda _: web.Response(text=json.dumps(token))
    authentication, session = client(http, stub.hosts)
    for call in (
        authentication.login("me", "x"),
        authentication.renew(RefreshToken(REFRESH, time.time())),
        session.access_token(),
    ):
        assert isinstance(await error_of(call), EnirisResponseError)
    stub.respond = lambda _: web.json_response({"refreshToken": token})
    assert isinstance(
        await error_of(CALLS["authenticate_totp"](authentication, session)),
        EnirisResponseError,
    )
    assert session.refresh_token.value == REFRESH
    sent = [request.headers.get("Authorization") for request in stub.requests]
    assert not [
        header
        for header in sent
        if header and REFRESH not in header and "partial" not in header
    ]
    assert not [request for request in stub.requests if "X-Evil" in request.headers]


async def test_a_stored_token_that_was_edited(
    http: aiohttp.ClientSession, stub: StubServer
) -> None:
    """A line break in it makes no header of its own, and the error does not quote it."""
    token = RefreshToken("planted\r\nX-Evil: 1", time.time())
    authentication = Authentication(http, stub.hosts)
    with pytest.raises(EnirisConnectionError, match="could not be sent") as caught:
        await authentication.access_token(token)
    assert "planted" not in everything_about(caught.value)
    assert not stub.requests


# Text


def respond_to(path: str, body: bytes) -> Callable[[Received], web.Response]:
    """Answer one call, and hand out tokens."""

    def respond(request: Received) -> web.Response:
        return web.Response(body=body if request.path == path else b"token")

    return respond


@pytest.mark.parametrize(
    "body", [b'{"device": [nan]}', b"[" * 200_000, b"\xff\xfe{}", b'{"device": ["a]}']
)
async def test_text_that_is_no_json(
    http: aiohttp.ClientSession, stub: StubServer, body: bytes
) -> None:
    """However deep or broken it is, it is an error of ours."""
    stub.respond = respond_to("/v1/device/query", body)
    session = Session(http, RefreshToken("r", time.time()), stub.hosts)
    with pytest.raises(EnirisResponseError):
        await session.query_devices()


def _quoting(secret: str) -> str:
    return (
        f"I was told {secret}\n2026-07-01 12:00:00 ERROR forged \x1b[31m\u202e`"
        + "x" * 999
    )


async def test_errors_that_quote_everything(
    http: aiohttp.ClientSession, stub: StubServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Tokens, password and code in an error's words do not come through, nor do other lines."""
    caplog.set_level("DEBUG")
    said = ""

    def respond(request: Received) -> web.Response:
        nonlocal said
        said = f"{request.headers} {request.body!r} {request.query}"
        return web.json_response(
            {"error": _quoting(said), "message": _quoting(said)},
            status=400,
            headers={"X-Echo": request.headers.get("Authorization", "")},
        )

    stub.respond = respond
    for name in CALLS:
        error = await refusal(name, http, stub.hosts)
        assert [secret for secret in SECRETS if secret in said], name
        shown = everything_about(error) + caplog.text
        assert not [secret for secret in SECRETS if secret in shown], name
        told = str(error)
        assert told.isprintable(), name
        assert "`" not in told
        assert len(told) < 1000


async def test_an_error_that_quotes_another_token(
    http: aiohttp.ClientSession, stub: StubServer
) -> None:
    """A host that knows more than it was sent tells none of it: the refresh token, or anybody's."""
    others = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"
    said = f"{REFRESH} Bearer abc-def {others}"
    _, session = client(http, stub.hosts)
    with_access_token(session)
    stub.respond = lambda _: web.json_response({"message": said}, status=400)
    told = str(await error_of(session.companies()))
    assert (
        told
        == f"400 Bad Request (**REDACTED** Bearer {'**REDACTED** ' * 2}".rstrip() + ")"
    )
    stub.respond = lambda _: web.json_response([{"statement_id": 0, "error": said}])
    answer = await CALLS["query_telemetry"](Authentication(http, stub.hosts), session)
    [result] = answer.results
    assert "REDACTED" in result.error
    assert not [text for text in (REFRESH, "abc-def", others) if text in result.error]
