"""The life of a session's tokens: shared, renewed in time, and never asked for in a loop."""

import asyncio
from collections.abc import Awaitable, Callable
import time
from typing import Any

import aiohttp
from aiohttp import web
from freezegun.api import FrozenDateTimeFactory
import pytest

from custom_components.eniris.api import (
    Authentication,
    EnirisConnectionError,
    ForbiddenError,
    Hosts,
    Point,
    ReauthenticationRequiredError,
    RefreshToken,
    ServerError,
    Session,
    WriteTarget,
    encode_points,
)
from custom_components.eniris.api.errors import NoAccessTokenError
from simulator.faults import FaultKind
from simulator.server import Simulator
from simulator.timestamps import utc_now

from .conftest import USERNAME, Received, StubServer, log_in

ACCESS = "GET /auth/accesstoken"
RENEW = "GET /auth/refreshtoken"
COMPANY = "GET /v1/company"
DAY = 24 * 3600.0


async def write_one(session: Session) -> None:
    """Write a point to a namespace that the simulator has."""
    point = Point("exampleMetrics", {"nodeId": "n"}, utc_now(), {"value": 1.0})
    await session.write_body(
        WriteTarget("u", "demo", "rp_one_m"), encode_points([point])
    )


type Call = Callable[[Session], Awaitable[object]]

CALLS: list[tuple[Call, str]] = [
    (Session.companies, COMPANY),
    (Session.query_devices, "POST /v1/device/query"),
    (write_one, "POST /v1/telemetry"),
]


async def test_one_token_for_all_calls(session: Session, simulator: Simulator) -> None:
    """The same holds for fifty calls that need one."""
    await asyncio.gather(*(session.companies() for _ in range(50)))
    assert simulator.log.count(ACCESS) == 1
    assert simulator.log.count(COMPANY, 200) == 50


async def test_stale_token_is_replaced_once_for_all(
    session: Session, simulator: Simulator
) -> None:
    """Fifty calls that all hear of a stale token replace it once and repeat once each."""
    await session.access_token()
    simulator.revoke(USERNAME, "access")
    await asyncio.gather(*(session.companies() for _ in range(50)))
    assert simulator.log.count(ACCESS) == 2
    assert simulator.log.count(COMPANY, 200) == 50
    assert simulator.log.count(COMPANY, 401) <= 50


@pytest.mark.parametrize(("call", "name"), CALLS)
async def test_stale_access_token(
    session: Session, simulator: Simulator, call: Call, name: str
) -> None:
    """A 401 costs one new token and one repeat, on the api and on the ingress host."""
    await session.access_token()
    simulator.revoke(USERNAME, "access")
    await call(session)
    assert simulator.log.count(ACCESS) == 2
    assert [entry.status for entry in simulator.log.find(name)] in (
        [401, 200],
        [401, 204],
    )


async def test_repeat_goes_with_the_new_token(
    stub: StubServer, stub_session: Session
) -> None:
    """The repeat is the same request with the new token, and later calls use that one."""
    issued = iter(["first", "second", "third"])

    def respond(received: Received) -> web.Response:
        if received.path == "/auth/accesstoken":
            return web.Response(text=next(issued))
        if received.headers["Authorization"] == "Bearer first":
            return web.Response(status=401)
        return web.json_response({"device": {}})

    stub.respond = respond
    for _ in range(2):
        await stub_session.update_device(7, {"name": "x"}, if_unmodified_since="2026")
    edits = [request for request in stub.requests if request.method == "PUT"]
    assert [request.headers["Authorization"] for request in edits] == [
        "Bearer first",
        "Bearer second",
        "Bearer second",
    ]
    for request in edits:
        assert request.body == b'{"properties":{"name":"x"}}'
        assert request.query == {"mode": "merge"}
        assert request.headers["If-Unmodified-Since"] == "2026"


@pytest.mark.parametrize(("call", "name"), CALLS)
async def test_second_401(
    session: Session, simulator: Simulator, call: Call, name: str
) -> None:
    """A 401 with a token just issued is the end: two requests, never a third."""
    path = name.partition(" ")[2]
    simulator.faults.add(path, "status", status=401, message="no more")
    with pytest.raises(ReauthenticationRequiredError) as caught:
        await call(session)
    assert caught.value.status == 401
    assert caught.value.message == "no more"
    assert simulator.log.count(name) == 2
    assert simulator.log.count(ACCESS) == 2


async def test_repeat_is_refused_otherwise(
    session: Session, simulator: Simulator
) -> None:
    """Another refusal of the repeat is raised as what it is."""
    simulator.faults.add("/v1/company", "status", status=401, times=1)
    simulator.faults.add("/v1/company", "status", status=403, times=1)
    with pytest.raises(ForbiddenError):
        await session.companies()
    assert simulator.log.count(COMPANY) == 2


async def test_dead_refresh_token(session: Session, simulator: Simulator) -> None:
    """A refresh token that was revoked asks for a new log-in; the call is not even tried."""
    simulator.revoke(USERNAME, "refresh")
    with pytest.raises(ReauthenticationRequiredError):
        await session.companies()
    assert simulator.log.count(ACCESS) == 1
    assert simulator.log.count(COMPANY) == 0


async def test_both_tokens_dead(session: Session, simulator: Simulator) -> None:
    """A stale access token that cannot be replaced is not tried again."""
    await session.companies()
    simulator.revoke(USERNAME, "access")
    simulator.revoke(USERNAME, "refresh")
    with pytest.raises(ReauthenticationRequiredError):
        await session.companies()
    assert simulator.log.count(COMPANY) == 2
    assert simulator.log.count(ACCESS) == 2


async def test_token_host_fails_after_a_401(
    session: Session, simulator: Simulator
) -> None:
    """An outage of the authentication host is no reason to ask for a password."""
    await session.companies()
    simulator.revoke(USERNAME, "access")
    simulator.faults.add("/auth/", "status", status=503, times=1)
    with pytest.raises(ServerError):
        await session.companies()
    assert await session.companies()
    assert simulator.log.count(COMPANY, 401) == 1


async def test_failure_is_not_kept(session: Session, simulator: Simulator) -> None:
    """After a failure the next caller tries again."""
    simulator.faults.add("/auth/accesstoken", "status", status=503, times=1)
    with pytest.raises(ServerError):
        await session.access_token()
    assert await session.access_token()


async def test_cancelled_caller(session: Session, simulator: Simulator) -> None:
    """A caller that is cancelled while it fetches the token leaves the others a way through."""
    simulator.faults.add("/auth/accesstoken", "delay", delay=30, times=1)
    first = asyncio.create_task(session.access_token())
    for _ in range(1000):
        if simulator.log.find(ACCESS):
            break
        await asyncio.sleep(0.005)
    others = [asyncio.create_task(session.access_token()) for _ in range(3)]
    await asyncio.sleep(0)
    first.cancel()
    assert len(set(await asyncio.gather(*others))) == 1
    assert first.cancelled()


async def test_reuse_by_the_clock(
    session: Session, simulator: Simulator, freezer: FrozenDateTimeFactory
) -> None:
    """An access token is reused for 3.75 minutes, of the five that it lives."""
    token = await session.access_token()
    freezer.tick(224)
    assert await session.access_token() == token
    freezer.tick(1)
    assert await session.access_token() != token
    assert simulator.log.count(ACCESS) == 2


async def test_no_call_with_an_expired_token(
    session: Session, simulator: Simulator, freezer: FrozenDateTimeFactory
) -> None:
    """Hours of calls see no 401: expiry is foreseen, not found out."""
    for _ in range(30):
        await session.companies()
        freezer.tick(170)
    assert simulator.log.count(COMPANY, 401) == 0
    assert simulator.log.count(ACCESS) == 15


async def test_age_counts_from_the_request(
    stub: StubServer, stub_session: Session, freezer: FrozenDateTimeFactory
) -> None:
    """A token that was long on its way is as old as the request for it."""

    def respond(_: Received) -> web.Response:
        freezer.tick(20)
        return web.Response(text=f"token{len(stub.requests)}")

    stub.respond = respond
    assert await stub_session.access_token() == "token1"
    freezer.tick(204)
    assert await stub_session.access_token() == "token1"
    freezer.tick(1)
    assert await stub_session.access_token() == "token2"


async def test_expired_token_is_not_kept_after_a_failure(
    session: Session, simulator: Simulator, freezer: FrozenDateTimeFactory
) -> None:
    """Where no new token can be had, the old one is not used beyond its time."""
    await session.access_token()
    freezer.tick(400)
    simulator.faults.add("/auth/accesstoken", "status", status=500)
    for _ in range(2):
        with pytest.raises(ServerError):
            await session.access_token()


async def test_refresh_token_is_renewed_after_a_day(
    session: Session,
    simulator: Simulator,
    persisted: list[RefreshToken],
    freezer: FrozenDateTimeFactory,
) -> None:
    """A day after its issue the refresh token is exchanged, stored, and used from then on."""
    first = session.refresh_token
    freezer.tick(DAY - 60)
    await session.access_token()
    assert not persisted
    assert simulator.log.count(RENEW) == 0
    freezer.tick(DAY)
    await asyncio.gather(*(session.companies() for _ in range(10)))
    assert simulator.log.count(RENEW, 200) == 1
    assert persisted == [session.refresh_token]
    assert persisted[0].value != first.value
    assert persisted[0].issued_at == time.time()
    simulator.mint.deny(simulator.mint.read(first.value))
    freezer.tick(600)
    await session.access_token()
    assert len(persisted) == 1


async def test_a_year_without_a_log_in(
    http: aiohttp.ClientSession,
    hosts: Hosts,
    authentication: Authentication,
    freezer: FrozenDateTimeFactory,
) -> None:
    """Renewal by renewal a session outlives the 14 days of any token, through restarts too."""
    stored = [await log_in(authentication)]
    for _ in range(60):
        session = Session(http, stored[-1], hosts, on_refresh_token=stored.append)
        await session.access_token()
        freezer.tick(6 * DAY)
    assert len(stored) == 60


async def test_renewal_without_anyone_to_store_it(
    http: aiohttp.ClientSession, hosts: Hosts, authentication: Authentication
) -> None:
    """The callback is optional."""
    token = RefreshToken((await log_in(authentication)).value, time.time() - DAY)
    session = Session(http, token, hosts)
    await session.access_token()
    assert session.refresh_token.value != token.value


@pytest.mark.parametrize(
    ("off", "renewals"), [(3600.0, 0), (-3600.0, 0), (400 * DAY, 1), (-400 * DAY, 1)]
)
async def test_clock_that_was_wrong(
    http: aiohttp.ClientSession,
    hosts: Hosts,
    authentication: Authentication,
    simulator: Simulator,
    off: float,
    renewals: int,
) -> None:
    """A token issued far in the future or past, by a clock that was wrong, is renewed once."""
    token = RefreshToken((await log_in(authentication)).value, time.time() + off)
    session = Session(http, token, hosts)
    for _ in range(2):
        await session.access_token(stale=await session.access_token())
    assert simulator.log.count(RENEW) == renewals


@pytest.mark.parametrize(
    ("fault", "options"),
    [
        ("status", {"status": 503}),
        ("status", {"status": 429, "retry_after": 5}),
        ("status", {"status": 400}),
        ("drop", {}),
        ("half_body", {}),
        ("garbage", {}),
        ("html", {"status": 200}),
        ("empty", {}),
        ("wrong_type", {}),
        ("json", {"body": None}),
    ],
)
async def test_renewal_that_fails(
    session: Session,
    simulator: Simulator,
    persisted: list[RefreshToken],
    freezer: FrozenDateTimeFactory,
    caplog: pytest.LogCaptureFixture,
    fault: FaultKind,
    options: dict[str, Any],
) -> None:
    """A failing renewal costs nothing but a try an hour, until it succeeds."""
    caplog.set_level("DEBUG", logger="custom_components.eniris")
    token = session.refresh_token
    simulator.faults.add("/auth/refreshtoken", fault, **options)
    freezer.tick(DAY)
    for _ in range(11):
        await session.companies()
        freezer.tick(300)
    # aiohttp itself repeats a GET on a connection that was dropped, so count what was logged
    assert caplog.text.count("was not renewed") == 1
    assert session.refresh_token == token
    freezer.tick(301)
    await session.companies()
    assert caplog.text.count("was not renewed") == 2
    assert simulator.log.count(RENEW) in (2, 4)
    assert not persisted
    simulator.faults.clear()
    freezer.tick(3600)
    await session.companies()
    assert persisted == [session.refresh_token]
    assert session.refresh_token != token


async def test_renewal_that_is_refused(
    session: Session,
    simulator: Simulator,
    persisted: list[RefreshToken],
    freezer: FrozenDateTimeFactory,
) -> None:
    """A 401 to the renewal is the end of the session."""
    freezer.tick(DAY)
    simulator.revoke(USERNAME, "refresh")
    with pytest.raises(ReauthenticationRequiredError):
        await session.companies()
    assert simulator.log.count(RENEW, 401) == 1
    assert simulator.log.count(ACCESS) == 0
    assert not persisted


async def test_refresh_token_that_expired(
    session: Session, freezer: FrozenDateTimeFactory
) -> None:
    """A session that slept for more than 14 days asks for a new log-in."""
    freezer.tick(14 * DAY + 1)
    with pytest.raises(ReauthenticationRequiredError):
        await session.companies()


async def test_log_out(session: Session, simulator: Simulator) -> None:
    """After a log-out the session is over; logging out twice is no error."""
    await session.companies()
    await session.logout()
    with pytest.raises(ReauthenticationRequiredError):
        await session.companies()
    await session.logout()
    assert simulator.log.count(COMPANY) == 1


async def test_addresses_may_end_with_a_slash(
    http: aiohttp.ClientSession, simulator: Simulator
) -> None:
    """A slash at the end of an address is not doubled."""
    hosts = Hosts(f"{simulator.url}/", f"{simulator.url}//", f"{simulator.url}/")
    session = Session(http, await log_in(Authentication(http, hosts)), hosts)
    await session.companies()
    await write_one(session)
    assert simulator.log.count("POST /v1/telemetry") == 1


async def test_each_call_goes_to_its_host(
    http: aiohttp.ClientSession, stub: StubServer, other_stub: StubServer
) -> None:
    """Tokens, api and ingress have an address each, and the refresh token stays with the first."""
    stub.respond = lambda _: web.Response(text="access")
    other_stub.respond = lambda received: (
        web.Response(status=204)
        if received.path == "/v1/telemetry"
        else web.json_response({"company": []})
    )
    session = Session(
        http,
        RefreshToken("refresh", time.time()),
        Hosts(stub.url, f"{other_stub.url}/api", other_stub.url),
    )
    await session.companies()
    await write_one(session)
    assert [(r.path, r.headers["Authorization"]) for r in stub.requests] == [
        ("/auth/accesstoken", "Bearer refresh")
    ]
    assert [(r.path, r.headers["Authorization"]) for r in other_stub.requests] == [
        ("/api/v1/company", "Bearer access"),
        ("/v1/telemetry", "Bearer access"),
    ]


async def test_service_is_down(session: Session, simulator: Simulator) -> None:
    """A session survives an outage of the whole service."""
    await session.companies()
    port = simulator.port
    await simulator.stop()
    with pytest.raises(EnirisConnectionError):
        await session.companies()
    await simulator.start(port=port)
    await session.companies()
    assert simulator.log.count(ACCESS) == 1


@pytest.mark.parametrize("status", [400, 403, 404, 409, 413, 418, 422])
async def test_refusal_of_a_token_is_not_the_calls(
    simulator: Simulator, session: Session, status: int
) -> None:
    """What the authentication host says, also after a stale token, is not about the call."""
    await session.companies()
    simulator.revoke(USERNAME, "access")
    simulator.faults.add("/auth/accesstoken", "status", status=status)
    with pytest.raises(NoAccessTokenError, match=str(status)):
        await session.companies()
    simulator.faults.clear()
    assert await session.companies()
