"""The way of a value from the listener to the service, beside the service's own Python driver.

A real Home Assistant with an account and its exports is handed 100,000 changes of 1,000 followed entities, with the
times that they have at one a second each, as fast as it takes them: the events of its bus, made before, since what the
state machine costs is nobody's merit. What counts is the time until the last is answered with 204. The driver's buffered writer, with gzip and a pool of connections, is given the same points in a
loop that does nothing else: no bus, no disk. Both send to a simulator, a process of its own; the bytes are what that
has received of bodies.

Each run is a process of its own. What was there when it began is frozen out of Python's garbage collector.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
import gc
import multiprocessing
import random
from tempfile import TemporaryDirectory
import time
from types import MappingProxyType
from typing import Any, NamedTuple

import aiohttp
from eniris import ApiDriver
from eniris.point import Point
from eniris.point.writer import BufferedPointToTelemessageWriter
from eniris.telemessage.writer import GZipTelemessageWriter, PooledTelemessageWriter
from pytest_homeassistant_custom_component.common import async_test_home_assistant
import requests

from custom_components.eniris.const import SUBENTRY_EXPORT
from custom_components.eniris.data import EnirisConfigEntry
from homeassistant import loader
from homeassistant.config_entries import ConfigSubentry
from homeassistant.const import EVENT_STATE_CHANGED
from homeassistant.core import HomeAssistant, State
from homeassistant.helpers import frame
from homeassistant.setup import async_setup_component

from . import report
from .measure import simulator
from .poll import add_account
from .report import Effort, Figure, Goal

_PORT = 8196
_POINTS = 100_000
_METERS = 100
_FIELDS = (
    *(f"actualPowerL{phase}_W" for phase in (1, 2, 3)),
    *(f"currentL{phase}_A" for phase in (1, 2, 3)),
    *(f"voltageL{phase}N_V" for phase in (1, 2, 3)),
    "frequency_Hz",
)
_ENTITIES = _METERS * len(_FIELDS)
_DATABASE, _POLICY, _MEASUREMENT = "demo", "rp_one_s", "submeteringMetrics"
_FIRED_AT_ONCE = 100
"""Changes between two rounds of the event loop, in which they are handed over."""
_DRIVER = "official driver"


@dataclass(frozen=True, slots=True)
class _Run:
    """What one run took: points a second, microseconds and bytes."""

    rate: float
    cpu: float
    size: float


class _Change(NamedTuple):
    """A new value of an entity at a time in Unix seconds."""

    meter: int
    field: str
    value: float
    time: float


def _changes(count: int) -> Iterator[_Change]:
    """Yield what the meters have measured until now, each value different from the one before."""
    chance = random.Random(count)  # noqa: S311
    start = round(time.time() - count / _ENTITIES - 1, 6)
    values = [round(chance.gauss(1500, 400), 1) for _ in range(_ENTITIES)]
    for number in range(count):
        second, entity = divmod(number, _ENTITIES)
        values[entity] = round(
            values[entity] + chance.choice((-1, 1)) * (0.1 + abs(chance.gauss(0, 20))),
            1,
        )
        moment = start + second + (entity + chance.random()) / _ENTITIES
        meter, field = divmod(entity, len(_FIELDS))
        yield _Change(meter, _FIELDS[field], values[entity], round(moment, 6))


def _entity_id(meter: int, field: str) -> str:
    return f"sensor.meter_{meter}_{field.lower()}"


def _events(count: int) -> Iterator[dict[str, Any]]:
    """Yield the changes as Home Assistant hands them over."""
    states: dict[str, State] = {}
    for meter, field, value, moment in _changes(count):
        entity_id = _entity_id(meter, field)
        state = State(
            entity_id,
            str(value),
            {"unit_of_measurement": field.rpartition("_")[2]},
            last_updated=datetime.fromtimestamp(moment, UTC),
        )
        yield {
            "entity_id": entity_id,
            "old_state": states.get(entity_id),
            "new_state": state,
        }
        states[entity_id] = state


def _export(meter: int) -> ConfigSubentry:
    data: dict[str, Any] = {
        "collector": "demo-ingress",
        "database": _DATABASE,
        "retention_policy": _POLICY,
        "measurement": _MEASUREMENT,
        "tags": {"serialNr": f"meter-{meter}"},
        "mode": "change",
        "fields": [
            {"entity": _entity_id(meter, field), "field": field} for field in _FIELDS
        ],
    }
    return ConfigSubentry(
        data=MappingProxyType(data),
        subentry_type=SUBENTRY_EXPORT,
        title=f"meter {meter}",
        unique_id=None,
    )


async def _received(http: aiohttp.ClientSession, url: str) -> tuple[int, int]:
    """Return the points that the simulator has stored, and the bytes of the bodies that brought them."""
    async with http.get(
        f"{url}/_simulator/requests", params={"path": "/v1/telemetry"}
    ) as answer:
        log = await answer.json()
    stored = [request for request in log["requests"] if request["status"] == 204]
    assert len(stored) == log["total"], "a request was refused"
    return (
        sum(request["points"] for request in stored),
        sum(request["received_bytes"] for request in stored),
    )


async def _run[T](
    items: list[T],
    send: Callable[[list[T]], Awaitable[None]],
    http: aiohttp.ClientSession,
    url: str,
) -> _Run:
    gc.collect()
    gc.freeze()
    cpu, started = time.process_time(), time.perf_counter()
    await send(items)
    elapsed, cpu = time.perf_counter() - started, time.process_time() - cpu
    count = len(items)
    points, size = await _received(http, url)
    assert points == count, (points, count)
    return _Run(count / elapsed, cpu / count * 1e6, size / count)


async def _set_up(hass: HomeAssistant, url: str) -> EnirisConfigEntry:
    hass.data.pop(loader.DATA_CUSTOM_COMPONENTS, None)
    frame.async_setup(hass)
    assert await async_setup_component(hass, "network", {})
    entry: EnirisConfigEntry = await add_account(hass, url)
    for meter in range(_METERS):
        hass.config_entries.async_add_subentry(entry, _export(meter))
    assert await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done()
    return entry


async def _exporter(count: int) -> _Run:
    with TemporaryDirectory() as folder:
        async with (
            simulator(_PORT, "--tier", "unlimited") as url,
            aiohttp.ClientSession() as http,
            async_test_home_assistant(config_dir=folder) as hass,
        ):
            entry = await _set_up(hass, url)
            exporter = entry.runtime_data.exporter

            async def send(events: list[dict[str, Any]]) -> None:
                for number, event in enumerate(events):
                    hass.bus.async_fire(EVENT_STATE_CHANGED, event)
                    if number % _FIRED_AT_ONCE == 0:
                        await asyncio.sleep(0)
                await asyncio.sleep(0)
                problem = await exporter.async_upload_now()
                assert problem is None, problem

            run = await _run(list(_events(count)), send, http, url)
            await hass.config_entries.async_unload(entry.entry_id)
            await hass.async_stop(force=True)
    return run


async def _driver(count: int) -> _Run:
    async with (
        simulator(_PORT, "--tier", "unlimited") as url,
        aiohttp.ClientSession() as http,
    ):

        def write(changes: list[_Change]) -> None:
            with requests.Session() as session:
                # Proxies of the environment are no part of the measurement
                session.trust_env = False
                driver = ApiDriver(
                    "demo@example.com",
                    "demo",
                    authUrl=url,
                    apiUrl=url,
                    session=session,
                )
                writer = BufferedPointToTelemessageWriter(
                    GZipTelemessageWriter(
                        PooledTelemessageWriter(
                            url=f"{url}/v1/telemetry",
                            authorizationHeaderFunction=driver.accesstoken,
                            session=session,
                        )
                    )
                )
                namespace = {"database": _DATABASE, "retentionPolicy": _POLICY}
                for meter, field, value, moment in changes:
                    writer.writePoints(
                        [
                            Point(
                                namespace,
                                _MEASUREMENT,
                                datetime.fromtimestamp(moment, UTC),
                                {"serialNr": f"meter-{meter}"},
                                {field: value},
                            )
                        ]
                    )
                writer.close()  # type: ignore[no-untyped-call]

        async def send(changes: list[_Change]) -> None:
            await asyncio.to_thread(write, changes)

        return await _run(list(_changes(count)), send, http, url)


def _once(sender: Callable[[int], Coroutine[Any, Any, _Run]], count: int) -> _Run:
    return asyncio.run(sender(count))


def measure(effort: Effort) -> list[Figure]:
    """Measure the export and the driver in each repetition, one after the other."""
    count = effort.size(_POINTS, _ENTITIES)
    ours: list[_Run] = []
    drivers: list[_Run] = []
    with ProcessPoolExecutor(
        1, multiprocessing.get_context("spawn"), max_tasks_per_child=1
    ) as processes:
        for _ in range(effort.repetitions):
            ours.append(processes.submit(_once, _exporter, count).result())
            drivers.append(processes.submit(_once, _driver, count).result())
    return [
        Figure(
            f"export: {_NAMES[what]}",
            unit,
            tuple(getattr(run, what) for run in ours),
            _DRIVER,
            tuple(getattr(run, what) for run in drivers),
            goal,
        )
        for what, unit, goal in (
            ("rate", "points/s", Goal("≥", 2)),
            ("cpu", "µs/point", Goal("≤", 0.5)),
            ("size", "bytes/point", Goal("≤", 1)),
        )
    ]


_NAMES = {"rate": "rate", "cpu": "CPU", "size": "on the wire"}


if __name__ == "__main__":
    report.main(measure, __doc__)
