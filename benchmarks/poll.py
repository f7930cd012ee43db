"""Polls of accounts of several sizes: `python -m benchmarks.poll [--memory POLLS] [SITES …]`.

Sets an account up in a Home Assistant, with the simulator as a process of its own, and polls it. Prints, for
each size, how long set-up and polls take, how long the event loop is held at a stretch, and the memory.

Python's garbage collector is off meanwhile: among so many objects each of its rounds takes longer than anything
that is measured here, whoever makes them. With `--memory` it is on, and what is printed is the memory alone, after
every tenth part of so many polls.
"""

from argparse import ArgumentParser
import asyncio
import gc
import statistics
from tempfile import TemporaryDirectory
import time

import aiohttp
from pytest_homeassistant_custom_component.common import (
    MockConfigEntry,
    async_test_home_assistant,
)

from custom_components.eniris.account import token_data
from custom_components.eniris.api import Authentication, Hosts, RefreshToken
from custom_components.eniris.const import (
    CONF_API_URL,
    CONF_AUTHENTICATION_URL,
    CONF_INGRESS_URL,
    DOMAIN,
)
from homeassistant import loader
from homeassistant.const import CONF_USERNAME
from homeassistant.core import HomeAssistant
from homeassistant.helpers import frame
from homeassistant.setup import async_setup_component

from .measure import LoopWatch, longest_ms, resident_mib, simulator

_POLLS = 10
_PORT = 8198


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


async def measure(sites: int, polls_for_memory: int) -> None:
    """Set up and poll an account of `sites` sites, and print what that takes."""
    with TemporaryDirectory() as folder:
        async with (
            simulator(_PORT, "--fleet", str(sites), "--tier", "unlimited") as url,
            async_test_home_assistant(config_dir=folder) as hass,
        ):
            hass.data.pop(loader.DATA_CUSTOM_COMPONENTS, None)
            frame.async_setup(hass)
            assert await async_setup_component(hass, "network", {})
            entry = await add_account(hass, url)
            if polls_for_memory:
                await _measure_memory(sites, hass, entry, polls_for_memory)
            else:
                await _measure(sites, hass, entry)
            await hass.config_entries.async_unload(entry.entry_id)
            await hass.async_stop(force=True)


async def _measure_memory(
    sites: int, hass: HomeAssistant, entry: MockConfigEntry, polls: int
) -> None:
    assert await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done()
    telemetry = entry.runtime_data.telemetry
    print(f"{sites:>6}", end="")
    for number in range(1, polls + 1):
        await telemetry.async_refresh()
        await hass.async_block_till_done()
        assert telemetry.last_update_success
        if number % max(1, polls // 10) == 0:
            gc.collect()
            print(f" {resident_mib():>7.1f}", end="", flush=True)
    print()


async def _measure(sites: int, hass: HomeAssistant, entry: MockConfigEntry) -> None:
    start, polls = LoopWatch(), LoopWatch()
    times = []
    before, started = resident_mib(), time.perf_counter()
    async with start.watch():
        assert await hass.config_entries.async_setup(entry.entry_id)
        await hass.async_block_till_done()
    set_up = time.perf_counter() - started
    telemetry = entry.runtime_data.telemetry
    async with polls.watch():
        for _ in range(_POLLS):
            started = time.perf_counter()
            await telemetry.async_refresh()
            await hass.async_block_till_done()
            times.append(time.perf_counter() - started)
    print(
        f"{sites:>6} {len(entry.runtime_data.nodes.data.by_id):>6}"
        f" {len(telemetry.data):>7} {len(hass.states.async_all()):>7}"
        f" {set_up:>9.2f} {longest_ms(start.costs):>9.1f}"
        f" {statistics.median(times):>9.3f} {longest_ms(polls.costs):>9.1f}"
        f" {resident_mib() - before:>9.1f}"
    )


def main() -> None:
    """Measure each size in turn."""
    parser = ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("sites", nargs="*", type=int, default=[1, 10, 100])
    parser.add_argument("--memory", type=int, default=0, metavar="POLLS")
    arguments = parser.parse_args()
    if arguments.memory:
        print(f"{'sites':>6} MiB after every {max(1, arguments.memory // 10)} polls")
    else:
        gc.disable()
        print(
            f"{'sites':>6} {'nodes':>6} {'fields':>7} {'states':>7}"
            f" {'set-up s':>9} {'held ms':>9} {'poll s':>9} {'held ms':>9} {'MiB':>9}"
        )
    for sites in arguments.sites:
        asyncio.run(measure(sites, arguments.memory))


if __name__ == "__main__":
    main()
