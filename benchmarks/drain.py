"""Drain of a long backlog: `python -m benchmarks.drain [SAMPLES]`.

Fills an outbox, then lets the sender upload it to a simulator that runs as a process of its own,
and prints the rate, how long the event loop was held at a stretch, and the memory. Beside it the
same loop doing nothing but wait, which is what the machine's noise is worth.

What was imported is frozen out of Python's garbage collector: to walk through all of Home Assistant's modules takes
longer than anything that is measured here, and says nothing of it.
"""

import asyncio
from datetime import UTC, datetime, timedelta
import gc
from pathlib import Path
import sys
from tempfile import TemporaryDirectory
import time

import aiohttp

from custom_components.eniris.api import (
    Authentication,
    Hosts,
    RefreshToken,
    Session,
    WriteTarget,
)
from custom_components.eniris.exporting.config import Series
from custom_components.eniris.exporting.issues import Issues
from custom_components.eniris.exporting.outbox import Outbox, Sample
from custom_components.eniris.exporting.sender import Sender
from homeassistant.core import HomeAssistant

from .measure import LoopWatch, longest_ms, peak_memory, resident_mib, simulator

_ENTITIES = 100
_TARGET = WriteTarget("demo-ingress", "demo", "rp_one_s")


async def fill(outbox: Outbox, count: int) -> None:
    """Put `count` samples of 100 entities, one a second each, into the outbox."""
    series = [
        Series(_TARGET, "submeteringMetrics", (("serialNr", f"meter-{number}"),))
        for number in range(_ENTITIES // 5)
    ]
    start = datetime.now(UTC) - timedelta(seconds=count / _ENTITIES + 60)
    fields = [f"field{number}_W" for number in range(5)]
    for chunk in range(0, count, 20_000):
        await outbox.add(
            [
                Sample(
                    "export",
                    series[number // 5 % len(series)],
                    start + timedelta(seconds=number // _ENTITIES),
                    fields[number % 5],
                    1000.0 + number % 977 / 7,
                )
                for number in range(chunk, min(chunk + 20_000, count))
            ]
        )


async def main(count: int) -> None:
    """Fill, drain, print."""
    gc.collect()
    gc.freeze()
    idle, busy = LoopWatch(), LoopWatch()
    with TemporaryDirectory() as folder:
        hass = HomeAssistant(folder)
        async with (
            simulator(8199, "--tier", "unlimited") as url,
            aiohttp.ClientSession() as http,
        ):
            hosts = Hosts(url, url, url)
            token = await Authentication(http, hosts).login("demo@example.com", "demo")
            assert isinstance(token, RefreshToken)
            outbox = Outbox(Path(folder) / "outbox.db")
            await outbox.open()
            await fill(outbox, count)
            async with idle.watch():
                await asyncio.sleep(2)
            before = resident_mib()
            sender = Sender(
                hass,
                Session(http, token, hosts),
                outbox,
                Issues(hass, "entry", "benchmark", "instance"),
                lambda: None,
                lambda: None,
            )
            with peak_memory() as memory:
                started = time.perf_counter()
                async with busy.watch():
                    problem = await sender.upload_now()
                elapsed = time.perf_counter() - started
            figures = (await outbox.figures())["export"]
            await outbox.close()
    assert problem is None, problem
    assert figures.uploaded == count, figures
    print(f"samples drained        {count:>12,}")
    print(f"samples per second     {count / elapsed:>12,.0f}")
    print(f"seconds                {elapsed:>12.1f}")
    for name, watch in (("idle", idle), ("drain", busy)):
        print(f"{name}: one callback     {longest_ms(watch.costs):>12.1f} ms at most")
        print(f"{name}: loop late        {longest_ms(watch.delays):>12.1f} ms at most")
        print(
            f"{name}: loop late        {longest_ms(watch.delays, 0.999):>12.1f} ms in 99.9 %"
        )
    print(f"memory before          {before:>12.1f} MiB")
    print(f"memory added, peak     {max(memory) - before:>12.1f} MiB")
    print(f"memory added, after    {memory[-1] - before:>12.1f} MiB")


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000))
