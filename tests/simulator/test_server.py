"""Start, stop and everything around the calls."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
import signal
import subprocess
import sys
import time

import aiohttp
from freezegun.api import FrozenDateTimeFactory
import pytest

from simulator.accounts import Account, Accounts
from simulator.request_log import KEPT_BODIES
from simulator.server import Simulator
from simulator.timestamps import utc_now

from .conftest import Client
from .tiny_world import TinyWorld


async def test_start_and_stop_are_quick_and_leave_nothing(socket_enabled: None) -> None:
    tasks = asyncio.all_tasks()
    started = time.monotonic()
    simulator = Simulator(TinyWorld())
    with pytest.raises(RuntimeError):
        _ = simulator.url
    await simulator.stop()
    await simulator.start()
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{simulator.url}/_simulator/") as response:
            assert response.status == 200
        await simulator.stop()
        assert time.monotonic() - started < 0.1
        assert asyncio.all_tasks() == tasks
        with pytest.raises(aiohttp.ClientConnectionError):
            await session.get(f"{simulator.url}/_simulator/")


async def test_everything_survives_an_outage(
    simulator: Simulator, client: Client
) -> None:
    url, port = simulator.url, simulator.port
    await simulator.stop()
    with pytest.raises(aiohttp.ClientConnectionError):
        await client.get("/v1/company")
    await simulator.start(port=port)
    assert simulator.url == url
    assert (await client.get("/v1/company")).status == 200
    with pytest.raises(RuntimeError):
        await simulator.start()


async def test_own_accounts(socket_enabled: None) -> None:
    accounts = Accounts([Account("a", 1, "p")])
    accounts.add(Account("b", 2, "p"))
    async with (
        Simulator(TinyWorld(), accounts=accounts) as simulator,
        aiohttp.ClientSession() as session,
    ):
        client = Client(simulator, session)
        assert (await client.password("b", "p")).status == 200
        assert (await client.password()).status == 401


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("arguments", [[], ["--fleet", "3", "--tier", "free"]])
async def test_command(
    socket_enabled: None, number: signal.Signals, arguments: list[str]
) -> None:
    def run() -> None:
        with subprocess.Popen(
            [sys.executable, "-m", "simulator", "--port", "0", *arguments],
            cwd=Path(__file__).parents[2],
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert "http://127.0.0.1:" in line
            assert "demo@example.com" in line
            process.send_signal(number)
            assert process.wait(10) == 0

    await asyncio.to_thread(run)


async def test_port_in_use(simulator: Simulator) -> None:
    second = Simulator(TinyWorld())
    with pytest.raises(OSError):
        await second.start(port=simulator.port)
    await second.start()
    await second.stop()


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/v1/nothing", 404),
        ("GET", "/auth/login", 405),
        ("DELETE", "/v1/device/1", 405),
        ("HEAD", "/v1/company", 405),
        ("GET", "/_simulator/nothing", 404),
    ],
)
async def test_unknown_calls(
    client: Client, method: str, path: str, status: int
) -> None:
    answer = await client.request(method, path)
    assert answer.status == status
    if method != "HEAD":
        assert answer.json["statusCode"] == status


async def test_tokens_outlive_a_simulator_with_the_same_secret(
    socket_enabled: None,
) -> None:
    async with (
        Simulator(TinyWorld(), secret=b"s") as first,
        aiohttp.ClientSession() as session,
    ):
        refresh_token = await Client(first, session).log_in()
    async with (
        Simulator(TinyWorld(), secret=b"s") as second,
        aiohttp.ClientSession() as session,
    ):
        assert (
            await Client(second, session).get("/auth/accesstoken", token=refresh_token)
        ).status == 200
    async with Simulator(TinyWorld()) as third, aiohttp.ClientSession() as session:
        assert (
            await Client(third, session).get("/auth/accesstoken", token=refresh_token)
        ).status == 401


async def test_bodies_are_kept_for_a_while(
    simulator: Simulator, client: Client
) -> None:
    for _ in range(KEPT_BODIES + 1):
        await client.post("/v1/device/query", {"filter": {"id": []}})
    entries = simulator.log.find("POST /v1/device/query")
    assert entries[0].json is None
    assert entries[1].json == {"filter": {"id": []}}
    await client.post("/v1/device/query", {"skipHash": "x" * 70_000})
    assert simulator.log.requests[-1].body is None
    assert simulator.log.count("POST /v1/device/query") == KEPT_BODIES + 2
    assert simulator.log.count("GET /nothing") == 0


@pytest.fixture
def frozen(
    freezer: FrozenDateTimeFactory, socket_enabled: None
) -> FrozenDateTimeFactory:
    """Return the clock of a test in which time stands still."""
    freezer.move_to("2026-03-01T00:00:00Z")
    return freezer


async def test_frozen_time(frozen: FrozenDateTimeFactory) -> None:
    async with Simulator(TinyWorld()) as simulator, aiohttp.ClientSession() as session:
        assert utc_now() == datetime(2026, 3, 1, tzinfo=UTC)
        client = Client(simulator, session)
        await client.log_in()
        frozen.tick(299)
        assert (await client.get("/v1/company")).status == 200
        frozen.tick(1)
        assert (await client.get("/v1/company")).status == 401
        assert simulator.log.requests[-1].time == datetime(2026, 3, 1, 0, 5, tzinfo=UTC)
