"""Things that go wrong on purpose."""

import asyncio
import time
from urllib.parse import parse_qsl, urlencode

import aiohttp
import pytest

from simulator.server import Simulator

from .conftest import Client
from .test_write import PATH as WRITE, point

COMPANY = "/v1/company"


async def test_status(simulator: Simulator, client: Client) -> None:
    fault = simulator.faults.add(
        COMPANY, "status", status=503, message="Down", retry_after=7, times=2
    )
    for _ in range(2):
        answer = await client.get(COMPANY)
        assert answer.status == 503
        assert answer.headers["Retry-After"] == "7"
        assert answer.json == {
            "statusCode": 503,
            "error": "Service Unavailable",
            "message": "Down",
            "retryAfter": 7,
        }
    assert (await client.get(COMPANY)).status == 200
    assert fault.hits == 2
    assert [entry.fault for entry in simulator.log.find(path=COMPANY)] == [
        "status",
        "status",
        None,
    ]


@pytest.mark.parametrize(
    "status", [400, 401, 403, 404, 409, 413, 418, 422, 429, 500, 502, 504, 599]
)
async def test_any_status_on_any_path(
    simulator: Simulator, client: Client, status: int
) -> None:
    simulator.faults.add(WRITE.partition("?")[0], "status", status=status)
    answer = await client.post(WRITE, [point()])
    assert (answer.status, answer.json["statusCode"]) == (status, status)
    assert len(simulator.store) == 0
    simulator.faults.clear()
    assert (await client.post(WRITE, [point()])).status == 204


@pytest.mark.parametrize(
    ("path", "method", "strikes"),
    [
        ("/v1/company", None, True),
        ("/v1/company", "get", True),
        ("/v1/company", "POST", False),
        ("/v1/comp", None, False),
        ("/v1/company/", None, False),
        ("/v1/", None, True),
        ("/", None, True),
        ("*", None, True),
        ("/v1/c*", None, True),
        ("/v?/company", "GET", True),
        ("/auth/*", None, False),
    ],
)
async def test_path(
    simulator: Simulator, client: Client, path: str, method: str | None, strikes: bool
) -> None:
    simulator.faults.add(path, "status", method=method)
    assert (await client.get(COMPANY)).status == (500 if strikes else 200)


async def test_one_target_alone(simulator: Simulator, client: Client) -> None:
    """A fault strikes the writes to one database, and none to another."""
    simulator.switches.namespaces.add(("other", "rp_one_m"))
    query = dict(parse_qsl(WRITE.partition("?")[2]))
    fault = simulator.faults.add("*", "status", status=503, query={"db": query["db"]})
    other = f"{WRITE.partition('?')[0]}?{urlencode({**query, 'db': 'other', 'rp': 'rp_one_m'})}"
    assert (await client.post(WRITE, [point()])).status == 503
    assert (await client.post(other, [point()])).status == 204
    assert fault.hits == 1


async def test_oldest_fault_first(simulator: Simulator, client: Client) -> None:
    simulator.faults.add(COMPANY, "status", status=500, times=1)
    second = simulator.faults.add(COMPANY, "status", status=502)
    assert [(await client.get(COMPANY)).status for _ in range(3)] == [500, 502, 502]
    assert simulator.faults.remove(second.id)
    assert not simulator.faults.remove(second.id)
    assert (await client.get(COMPANY)).status == 200
    with pytest.raises(ValueError):
        simulator.faults.add(COMPANY, "explode")  # type: ignore[arg-type]


async def test_delay(simulator: Simulator, client: Client) -> None:
    simulator.faults.add(COMPANY, "delay", delay=0.05, times=1)
    simulator.faults.add(COMPANY, "status", delay=0.05)
    for status in (200, 500):
        started = time.monotonic()
        assert (await client.get(COMPANY)).status == status
        assert time.monotonic() - started >= 0.05


async def test_stop_cuts_a_delay_short(simulator: Simulator, client: Client) -> None:
    simulator.faults.add(COMPANY, "delay", delay=60)
    request = asyncio.create_task(client.get(COMPANY))
    await asyncio.sleep(0.1)
    assert simulator.log.find(path=COMPANY)
    started = time.monotonic()
    await simulator.stop()
    assert time.monotonic() - started < 0.1
    with pytest.raises(aiohttp.ClientConnectionError):
        await request
