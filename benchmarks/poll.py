"""Import: what polls cost, of accounts of 10, 100 and 1,000 nodes: `python -m benchmarks.poll`.

Each size has a process of its own, with a Home Assistant, and a simulator as another one. A poll is measured up to the
last entity that was told of it, in processor time of all threads, which is ours alone however busy the machine is.
Beside it, as many plain sensors as the poll has changed write as many new states, which nobody can spare Home
Assistant; what is left is the integration's own. The loop is watched in polls of their own, since to watch costs, too.

Python's garbage collector is off meanwhile: among so many objects each of its rounds takes longer than anything
that is measured here, whoever makes them. `--memory POLLS` has it on, and shows the memory alone, after every tenth
part of so many polls: `python -m benchmarks.poll --memory 200 10`.

Then the requests and tokens of an hour, for the simulator's home with the options as they are: one poll, with slow
series and without, one look at unchanged metadata and one token are counted at the simulator, and taken as often as
each is made in an hour.
"""

from argparse import ArgumentParser
import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import ProcessPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
import gc
import math
import multiprocessing
import sys
from tempfile import TemporaryDirectory
import time
from typing import Any

import aiohttp
from pytest_homeassistant_custom_component.common import (
    MockConfigEntry,
    async_test_home_assistant,
)

from custom_components.eniris.account import token_data
from custom_components.eniris.api import Authentication, Hosts, RefreshToken
from custom_components.eniris.api.session import ACCESS_TOKEN_REUSE
from custom_components.eniris.const import (
    CONF_API_URL,
    CONF_AUTHENTICATION_URL,
    CONF_INGRESS_URL,
    DOMAIN,
)
from custom_components.eniris.importing.plan import SLOW
from homeassistant import loader
from homeassistant.components.sensor import (
    DOMAIN as SENSOR,
    SensorDeviceClass,
    SensorEntity,
    SensorStateClass,
)
from homeassistant.const import CONF_USERNAME, UnitOfPower
from homeassistant.core import HomeAssistant
from homeassistant.helpers import frame
from homeassistant.helpers.entity_component import DATA_INSTANCES
from homeassistant.setup import async_setup_component

from . import report
from .measure import LoopWatch, longest_ms, resident_mib, simulator
from .report import Effort, Figure, Goal

_PORT = 8198
_SITES = (1, 10, 100)
_FREE_TOKENS = 6000.0
"""That the smallest tier gives an hour."""


async def add_account(hass: HomeAssistant, url: str) -> MockConfigEntry:
    """Return the entry of an account that is logged in, not yet set up."""
    hosts = Hosts(url, url, url)
    async with aiohttp.ClientSession() as http:
        token = await Authentication(http, hosts).login("demo@example.com", "demo")
    assert isinstance(token, RefreshToken)
    entry = MockConfigEntry(
        domain=DOMAIN,
        unique_id="1001",
        title="benchmark",
        data={
            CONF_USERNAME: "demo@example.com",
            **token_data(token),
            CONF_AUTHENTICATION_URL: url,
            CONF_API_URL: url,
            CONF_INGRESS_URL: url,
        },
    )
    entry.add_to_hass(hass)
    return entry


@asynccontextmanager
async def _account(
    *world: str,
) -> AsyncIterator[tuple[HomeAssistant, MockConfigEntry, str]]:
    """Set up a Home Assistant with an account of a simulator that shows `world`."""
    with TemporaryDirectory() as folder:
        async with (
            simulator(_PORT, *world) as url,
            async_test_home_assistant(config_dir=folder) as hass,
        ):
            hass.data.pop(loader.DATA_CUSTOM_COMPONENTS, None)
            frame.async_setup(hass)
            assert await async_setup_component(hass, "network", {})
            entry = await add_account(hass, url)
            assert await hass.config_entries.async_setup(entry.entry_id)
            await entry.runtime_data.first_refresh
            await hass.async_block_till_done()
            yield hass, entry, url
            await hass.config_entries.async_unload(entry.entry_id)
            await hass.async_stop(force=True)


@dataclass(frozen=True, slots=True)
class Polls:
    """What polls of one size have taken, by repetition."""

    nodes: int
    series: int
    fields: int
    polled: tuple[float, ...]
    """Milliseconds of processor time for a poll."""
    written: tuple[float, ...]
    """The same for as many plain sensors to write their states."""
    held: tuple[float, ...]
    """Milliseconds of the longest callback."""

    def per_10_series(self, milliseconds: tuple[float, ...]) -> tuple[float, ...]:
        """Return figures of a poll as figures of ten of its series."""
        return tuple(figure * 10 / self.series for figure in milliseconds)


class _PlainSensor(SensorEntity):
    """A sensor of the least that one can be."""

    _attr_should_poll = False
    _attr_device_class = SensorDeviceClass.POWER
    _attr_state_class = SensorStateClass.MEASUREMENT
    _attr_native_unit_of_measurement = UnitOfPower.WATT

    def __init__(self, number: int) -> None:
        self._attr_unique_id = f"plain-{number}"
        self._attr_name = f"Plain {number}"
        self._attr_native_value = 0.0


async def _polls(sites: int, repetitions: int) -> Polls:
    async with _account("--fleet", str(sites), "--tier", "unlimited") as (
        hass,
        entry,
        _,
    ):
        telemetry = entry.runtime_data.telemetry

        async def poll() -> None:
            await telemetry.async_refresh()
            await hass.async_block_till_done()
            assert telemetry.last_update_success

        plain = [_PlainSensor(number) for number in range(len(telemetry.data))]
        await hass.data[DATA_INSTANCES][SENSOR].async_add_entities(plain)
        # The second poll still plans anew, as the first has shown what is seldom written
        for _ in range(2):
            await poll()
        at_once = max(1, 20 // sites)
        polled, written, held = [], [], []
        for _ in range(repetitions):
            changes = 0
            before = time.process_time()
            for _ in range(at_once):
                began = time.time()
                await poll()
                changes += sum(
                    state.last_reported_timestamp >= began
                    for state in hass.states.async_all()
                )
            polled.append((time.process_time() - before) * 1000 / at_once)
            before = time.process_time()
            for number in range(changes):
                sensor = plain[number % len(plain)]
                sensor._attr_native_value = time.perf_counter() % 1000  # noqa: SLF001
                sensor.async_write_ha_state()
            await hass.async_block_till_done()
            written.append((time.process_time() - before) * 1000 / at_once)
            watch = LoopWatch()
            async with watch.watch():
                await poll()
            held.append(longest_ms(watch.costs))
        return Polls(
            len(entry.runtime_data.nodes.data.by_id),
            telemetry.counts["queries"],
            len(telemetry.data),
            tuple(polled),
            tuple(written),
            tuple(held),
        )


@dataclass(frozen=True, slots=True)
class Hour:
    """What an account asks for in an hour."""

    requests: float
    tokens: float


async def _hour(world: str, tier: str) -> Hour:
    """Count what one of each costs, and how often it is made."""
    async with _account(world, "--tier", tier) as (hass, entry, url):
        data = entry.runtime_data

        async def count(ask: Callable[[], Coroutine[Any, Any, Any]]) -> Hour:
            await _control(url, "DELETE")
            await ask()
            await hass.async_block_till_done()
            requests = (await _control(url, "GET"))["requests"]
            assert all(request["status"] in (200, 204) for request in requests)
            return Hour(
                len(requests), sum(request["cost"] or 0 for request in requests)
            )

        # As they come by themselves: a refresh by hand asks for everything
        poll = data.telemetry._async_refresh  # noqa: SLF001
        # What is seldom written, and what has no entity, is known after the first
        for _ in range(2):
            await poll()
            await hass.async_block_till_done()
        stale = await data.session.access_token()
        data.telemetry.poll._slow_asked_in = None  # noqa: SLF001
        with_slow = await count(poll)
        without = await count(poll)
        seconds = data.telemetry.update_interval.total_seconds()
        share = min(1.0, seconds / SLOW.total_seconds())
        kinds = [
            (with_slow, seconds / share),
            (without, seconds / (1 - share) if share < 1 else math.inf),
            (
                await count(data.nodes.async_refresh),
                data.nodes.update_interval.total_seconds(),
            ),
            (
                await count(lambda: data.session.access_token(stale=stale)),
                ACCESS_TOKEN_REUSE,
            ),
        ]
        return Hour(
            sum(each.requests * 3600 / seconds for each, seconds in kinds),
            sum(each.tokens * 3600 / seconds for each, seconds in kinds),
        )


async def _control(url: str, method: str) -> Any:
    async with (
        aiohttp.ClientSession() as http,
        http.request(method, f"{url}/_simulator/requests") as answer,
    ):
        return None if answer.status == 204 else await answer.json()


def _measure_polls(sites: int, repetitions: int) -> Polls:
    gc.disable()
    return asyncio.run(_polls(sites, repetitions))


def _measure_hour(world: str, tier: str) -> Hour:
    return asyncio.run(_hour(world, tier))


def _apart[**P, R](function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Call a function in a process of its own: Home Assistant is made to be there once."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(function, *args, **kwargs).result()


def measure(effort: Effort) -> list[Figure]:
    """Return the figures of all sizes, and those of an hour."""
    sizes = sorted({effort.size(sites) for sites in _SITES})
    all_polls = [_apart(_measure_polls, sites, effort.repetitions) for sites in sizes]
    figures = []
    for polls in all_polls:
        name = f"{polls.nodes} nodes, {polls.series} series"
        own = [
            polled - written
            for polled, written in zip(polls.polled, polls.written, strict=True)
        ]
        figures += [
            Figure(
                f"import: CPU of a poll per 10 series, {name}",
                "ms",
                polls.per_10_series(polls.polled),
                "plain sensors that write as many states",
                polls.per_10_series(polls.written),
            ),
            Figure(
                f"import: the same, but for the writing of states, {name}",
                "ms",
                polls.per_10_series(tuple(own)),
                goal=Goal("≤", 1.0),
            ),
            Figure(
                f"import: longest callback of a poll, {name}",
                "ms",
                polls.held,
                goal=Goal("≤", 30.0),
            ),
        ]
    small, large = all_polls[0], all_polls[-1]
    if large is not small:
        figures.append(
            Figure(
                f"import: CPU of a poll per 10 series, {large.nodes} nodes",
                "ms",
                large.per_10_series(large.polled),
                f"{small.nodes} nodes",
                small.per_10_series(small.polled),
                # More than one, since what fits into caches is quicker; far less than a square would show
                Goal("≤", 1.5),
            )
        )
    hour = _apart(_measure_hour, "--home", "free")
    return [
        *figures,
        Figure("import: requests an hour, home", "", (hour.requests,)),
        Figure(
            "import: tokens an hour, home",
            "",
            (hour.tokens,),
            "what the free tier gives",
            (_FREE_TOKENS,),
            # The owner looks at charts, too
            Goal("≤", 0.25),
        ),
    ]


async def _show_memory(sites: int, polls: int) -> None:
    print(f"{sites} sites, MiB after every {max(1, polls // 10)} polls:", end="")
    async with _account("--fleet", str(sites), "--tier", "unlimited") as (
        hass,
        entry,
        _,
    ):
        telemetry = entry.runtime_data.telemetry
        for number in range(1, polls + 1):
            await telemetry.async_refresh()
            await hass.async_block_till_done()
            assert telemetry.last_update_success
            if number % max(1, polls // 10) == 0:
                gc.collect()
                print(f" {resident_mib():.1f}", end="", flush=True)
    print()


def _memory() -> None:
    parser = ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("sites", nargs="*", type=int, default=_SITES)
    parser.add_argument("--memory", type=int, required=True, metavar="POLLS")
    arguments = parser.parse_args()
    for sites in arguments.sites:
        _apart(_show_memory_of, sites, arguments.memory)


def _show_memory_of(sites: int, polls: int) -> None:
    asyncio.run(_show_memory(sites, polls))


if __name__ == "__main__":
    if "--memory" in sys.argv:
        _memory()
    else:
        report.main(measure, __doc__)
