"""A simulator of the tiny world, at an instant that only the tests move, and a client for it."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
import json
from typing import Any

import aiohttp
from multidict import CIMultiDictProxy
import pytest

from simulator.server import Simulator

from .tiny_world import TinyWorld


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        """Start at noon."""
        self.now = datetime(2026, 7, 1, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        """Return the present."""
        return self.now

    @property
    def ms(self) -> int:
        """Return the present in Unix milliseconds."""
        return int(self.now.timestamp() * 1000)

    def advance(self, **span: float) -> None:
        """Move on."""
        self.now += timedelta(**span)


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that has been read to its end."""

    status: int
    headers: CIMultiDictProxy[str]
    body: bytes

    @property
    def text(self) -> str:
        """Return the body as text."""
        return self.body.decode()

    @property
    def json(self) -> Any:
        """Return the body as JSON."""
        return json.loads(self.body)


class Client:
    """A client that sends exactly what it is told to."""

    def __init__(self, simulator: Simulator, session: aiohttp.ClientSession) -> None:
        """Talk to a simulator."""
        self._simulator = simulator
        self._session = session
        self.token: str | None = None

    async def request(
        self, method: str, path: str, *, token: str | None = None, **kwargs: Any
    ) -> Answer:
        """Send a request with a token, by default the one of the last `log_in`."""
        headers = dict(kwargs.pop("headers", {}))
        if (token := token or self.token) is not None:
            headers.setdefault("Authorization", f"Bearer {token}")
        async with self._session.request(
            method, self._simulator.url + path, headers=headers, **kwargs
        ) as response:
            return Answer(response.status, response.headers, await response.read())

    async def post(self, path: str, body: Any, **kwargs: Any) -> Answer:
        """Post JSON."""
        return await self.request("POST", path, json=body, **kwargs)

    async def get(self, path: str, **kwargs: Any) -> Answer:
        """Get."""
        return await self.request("GET", path, **kwargs)

    async def password(
        self, username: str = "demo@example.com", password: str = "demo"
    ) -> Answer:
        """Try a password."""
        return await self.post(
            "/auth/login", {"username": username, "password": password}
        )

    async def log_in(self, username: str = "demo@example.com") -> str:
        """Get an access token, keep it for all later requests, and return the refresh token."""
        self.token = None
        refresh_token = (await self.password(username)).text
        self.token = (await self.get("/auth/accesstoken", token=refresh_token)).text
        return refresh_token


@pytest.fixture
def clock() -> Clock:
    """Return a clock."""
    return Clock()


@pytest.fixture
async def simulator(clock: Clock, socket_enabled: None) -> AsyncGenerator[Simulator]:
    """Run a simulator."""
    async with Simulator(TinyWorld(), clock=clock) as simulator:
        yield simulator


@pytest.fixture
async def stranger(simulator: Simulator) -> AsyncGenerator[Client]:
    """Return a client without any token."""
    async with aiohttp.ClientSession() as session:
        yield Client(simulator, session)


@pytest.fixture
async def client(stranger: Client) -> Client:
    """Return a client that is logged in as the demo user."""
    await stranger.log_in()
    return stranger
