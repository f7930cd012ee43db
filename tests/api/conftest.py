"""A logged-in session against the simulator, and a server that answers whatever a test wants."""

from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
import time
import traceback

import aiohttp
from aiohttp import web
from hypothesis import HealthCheck, settings
import pytest

from custom_components.eniris.api import Authentication, Hosts, RefreshToken, Session
from simulator.server import Simulator
from tests.simulator.tiny_world import TinyWorld

# A slow machine is no failure, and what fails, fails for everyone
settings.register_profile(
    "api",
    database=None,
    deadline=None,
    derandomize=True,
    max_examples=60,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("api")

USERNAME = "demo@example.com"
PASSWORD = "demo"


@dataclass(frozen=True, slots=True)
class Received:
    """A request that the stub server got."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes


type Respond = Callable[[Received], web.StreamResponse]


@dataclass(slots=True)
class StubServer:
    """A server without any manners: `respond` makes every answer, `requests` keeps what came."""

    url: str = ""
    respond: Respond = lambda _: web.Response()
    requests: list[Received] = field(default_factory=list)

    @property
    def hosts(self) -> Hosts:
        """Return the addresses of a service that has all its hosts here."""
        return Hosts(self.url, self.url, self.url)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Keep a request and answer it."""
        received = Received(
            request.method,
            request.path,
            dict(request.query),
            dict(request.headers),
            await request.read(),
        )
        self.requests.append(received)
        return self.respond(received)


@pytest.fixture
def world() -> TinyWorld:
    """Return a world of which every value is known by heart."""
    return TinyWorld()


@pytest.fixture
async def http(socket_enabled: None) -> AsyncGenerator[aiohttp.ClientSession]:
    """Return what requests are sent over."""
    async with aiohttp.ClientSession() as http:
        yield http


@pytest.fixture
def hosts(simulator: Simulator) -> Hosts:
    """Return the simulator's addresses."""
    return Hosts(simulator.url, simulator.url, simulator.url)


@pytest.fixture
def authentication(http: aiohttp.ClientSession, hosts: Hosts) -> Authentication:
    """Return the calls of the simulator's authentication host."""
    return Authentication(http, hosts)


@pytest.fixture
def persisted() -> list[RefreshToken]:
    """Return the refresh tokens that the session handed over to be stored."""
    return []


@pytest.fixture
async def session(
    authentication: Authentication,
    http: aiohttp.ClientSession,
    hosts: Hosts,
    persisted: list[RefreshToken],
    simulator: Simulator,
) -> Session:
    """Return a session of the demo account that has made no request yet."""
    token = await log_in(authentication)
    simulator.log.reset()
    return Session(http, token, hosts, on_refresh_token=persisted.append)


@pytest.fixture
async def stub(socket_enabled: None) -> AsyncGenerator[StubServer]:
    """Return a running stub server."""
    async for server in _run_stub():
        yield server


@pytest.fixture
async def other_stub(socket_enabled: None) -> AsyncGenerator[StubServer]:
    """Return a second one, at another address."""
    async for server in _run_stub():
        yield server


@pytest.fixture
def stub_session(http: aiohttp.ClientSession, stub: StubServer) -> Session:
    """Return a session at the stub server, with the refresh token `the-refresh-token`."""
    token = RefreshToken("the-refresh-token", time.time())
    return Session(http, token, stub.hosts)


async def _run_stub() -> AsyncGenerator[StubServer]:
    server = StubServer()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield server
    await runner.cleanup()


async def log_in(
    authentication: Authentication, username: str = USERNAME
) -> RefreshToken:
    """Log in to an account without a second factor."""
    token = await authentication.login(username, PASSWORD)
    assert isinstance(token, RefreshToken)
    return token


def everything_about(err: BaseException) -> str:
    """Return all that a log can show of an exception and of those that caused it."""
    shown = "".join(traceback.format_exception(err))
    return f"{err} {err!r} {err.args!r} {vars(err)!r} {shown}"
