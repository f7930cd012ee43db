"""The contract: what the service's own Python driver does works against the simulator.

The driver blocks, so it runs in a thread, with the simulator in the event loop.
"""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
import importlib.metadata

from eniris import ApiDriver
from eniris.point import Point
from eniris.point.writer import (
    BufferedPointToTelemessageWriter,
    DirectPointToTelemessageWriter,
)
from eniris.telemessage.writer import (
    DirectTelemessageWriter,
    GZipTelemessageWriter,
    PooledTelemessageWriter,
)
import pytest
import requests

from simulator.server import Simulator
from simulator.store import FieldType

from .tiny_world import TinyWorld

NAMESPACE = {"database": "demo", "retentionPolicy": "rp_one_m"}
TRICKY = 'a, b="c" \\ d'


@pytest.fixture
async def real_time(socket_enabled: None) -> Simulator:
    """Return a simulator that is not started; the driver knows no other clock than the real one."""
    return Simulator(TinyWorld())


async def drive[T](simulator: Simulator, action: Callable[[ApiDriver], T]) -> T:
    """Let a driver do something in a thread."""

    def run() -> T:
        with requests.Session() as session:
            # Proxies of the environment are no part of the test
            session.trust_env = False
            driver = ApiDriver(
                "demo@example.com",
                "demo",
                authUrl=simulator.url,
                apiUrl=simulator.url,
                timeoutS=10,
                maximumRetries=1,
                session=session,
            )
            try:
                return action(driver)
            finally:
                driver.close()  # type: ignore[no-untyped-call]

    async with simulator:
        return await asyncio.to_thread(run)


def test_version() -> None:
    assert importlib.metadata.version("eniris") == "0.9.4"


async def test_log_in_and_out(real_time: Simulator) -> None:
    status = await drive(
        real_time, lambda driver: driver.get("/v1/company").status_code
    )
    assert status == 200
    assert {call: dict(counts) for call, counts in real_time.log.counts.items()} == {
        "POST /auth/login": {200: 1},
        "GET /auth/accesstoken": {200: 1},
        "GET /v1/company": {200: 1},
        "POST /auth/logout": {204: 1},
    }


async def test_devices(real_time: Simulator) -> None:
    def action(driver: ApiDriver) -> list[int]:
        response = driver.post(
            "/v1/device/query", json={"filter": {"nodeType": ["powerMeter"]}}
        )
        assert response.status_code == 200
        assert driver.get("/v1/device", params={"id": 2}).json() == response.json()
        edited = driver.put(
            "/v1/device/2", json={"properties": {"name": "A"}}, params={"mode": "merge"}
        )
        assert edited.json()["device"]["properties"]["name"] == "A"
        return [device["id"] for device in response.json()["device"]]

    assert await drive(real_time, action) == [2]


async def test_telemetry_query(real_time: Simulator) -> None:
    start = datetime.now(UTC) - timedelta(seconds=10)
    body = {
        "select": ["actualPowerTot_W"],
        "from": {
            "namespace": {
                "version": "1",
                "database": "tiny",
                "retentionPolicy": "rp_one_s",
            },
            "measurement": "submeteringMetrics",
        },
        "where": {
            "time": [{"operator": ">=", "value": int(start.timestamp() * 1000)}],
            "tags": {"nodeId": "meter"},
        },
        "orderBy": "DESC",
        "limit": 1,
    }
    response = await drive(
        real_time, lambda driver: driver.post("/v1/telemetry/query", json=body)
    )
    assert response.headers["X-RateLimit-Cost"]
    [[time, value]] = response.json()["series"][0]["values"]
    assert datetime.fromisoformat(time) >= start
    assert value == datetime.fromisoformat(time).second


def some_points(time: datetime, number: int) -> list[Point]:
    """Return points that have every type and every character that needs care."""
    return [
        Point(
            NAMESPACE,
            "driver Metrics",
            time + timedelta(seconds=index),
            {"id": "x", "tricky": TRICKY},
            {
                "power_W": 1.0 + index,
                "count": index,
                "isOn": index % 2 == 0,
                "text": TRICKY,
            },
        )
        for index in range(number)
    ]


def check_store(simulator: Simulator, time: datetime, number: int) -> None:
    """Check that the points of `some_points` have arrived once, as they were."""
    types: dict[str, FieldType] = {
        "power_W": "float",
        "count": "integer",
        "isOn": "boolean",
        "text": "string",
    }
    stored = simulator.store.points(measurement="driver Metrics")
    assert len(stored) == number
    for index, point in enumerate(stored):
        assert (point.database, point.retention_policy) == ("demo", "rp_one_m")
        assert point.tags == {"id": "x", "tricky": TRICKY}
        assert point.time_ns == int(
            (time + timedelta(seconds=index)).timestamp() * 1_000_000_000
        )
        assert point.fields == {
            "power_W": 1.0 + index,
            "count": index,
            "isOn": index % 2 == 0,
            "text": TRICKY,
        }
        assert point.types == types
        assert point.writes == 1


@pytest.mark.parametrize("compressed", [False, True])
async def test_direct_write(real_time: Simulator, compressed: bool) -> None:
    time = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)

    def action(driver: ApiDriver) -> None:
        output = DirectTelemessageWriter(
            url=f"{driver.apiUrl}/v1/telemetry",
            authorizationHeaderFunction=driver.accesstoken,
            session=driver.session,
        )
        writer = DirectPointToTelemessageWriter(
            GZipTelemessageWriter(output) if compressed else output
        )
        writer.writePoints(some_points(time, 100))

    await drive(real_time, action)
    check_store(real_time, time, 100)
    [entry] = real_time.log.find("POST /v1/telemetry")
    assert ("Content-Encoding" in entry.headers) == compressed
    assert (entry.received_bytes < entry.body_bytes) == compressed


async def test_buffered_write_through_a_pool(real_time: Simulator) -> None:
    time = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
    real_time.faults.add("/v1/telemetry", "status", status=503, times=1)

    def action(driver: ApiDriver) -> None:
        output = PooledTelemessageWriter(
            poolSize=2,
            url=f"{driver.apiUrl}/v1/telemetry",
            authorizationHeaderFunction=driver.accesstoken,
            session=driver.session,
            initialRetryDelayS=0,
        )
        writer = BufferedPointToTelemessageWriter(
            GZipTelemessageWriter(output), lingerTimeS=0.05, maximumBatchSizeBytes=2_000
        )
        for point in some_points(time, 100):
            writer.writePoints([point])
        writer.close()  # type: ignore[no-untyped-call]

    await drive(real_time, action)
    check_store(real_time, time, 100)
    assert real_time.store.batches > 1
    assert real_time.log.count("POST /v1/telemetry", 503) == 1
