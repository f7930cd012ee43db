"""Drain of a long backlog: an outbox of 1,000,000 points is uploaded to a simulator, a process of its own.

A point of one field, which is one sample, is the hard case: everything that a point costs is there for each value.
Points of five fields are beside it. For how long the event loop is held at a stretch counts as much as the rate, since
all of Home Assistant waits meanwhile; so does the memory. The processor's time per point of the sending process does not
depend on what else the machine does.

Each repetition is a process of its own, so that none finds memory that another has left. What was imported is frozen
out of Python's garbage collector: to walk through all of Home Assistant's modules takes longer than anything that is
measured here, and says nothing of it.
"""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
import gc
import itertools
import multiprocessing
from pathlib import Path
import random
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

from . import report
from .measure import LoopWatch, longest_ms, peak_memory, resident_mib, simulator
from .report import Effort, Figure, Goal

_PORT = 8199
_POINTS = 1_000_000
_SERIES = 100
_TARGET = WriteTarget("demo-ingress", "demo", "rp_one_s")
_FIELDS = tuple(f"actualPowerL{number}_W" for number in range(1, 6))
_FILLED_AT_ONCE = 20_000


@dataclass(frozen=True, slots=True)
class _Run:
    """What one drain took: points a second, microseconds, milliseconds and MiB."""

    rate: float
    cpu: float
    held: float
    late: float
    idle_late: float
    first_half: float
    second_half: float


def _samples(points: int, fields: int) -> Iterator[Sample]:
    """Yield what 100 meters have measured, each about once a second, with a decimal."""
    all_series = [
        Series(_TARGET, "submeteringMetrics", (("serialNr", f"meter-{number}"),))
        for number in range(_SERIES)
    ]
    chance = random.Random(points)  # noqa: S311
    start = datetime.now(UTC) - timedelta(seconds=points / _SERIES + 60)
    for number in range(points):
        second, meter = divmod(number, _SERIES)
        moment = start + timedelta(
            seconds=second + meter / _SERIES, microseconds=chance.randrange(9999)
        )
        for field in _FIELDS[:fields]:
            value = round(chance.gauss(1500, 400), 1)
            yield Sample("export", all_series[meter], moment, field, value)


async def _drain(points: int, fields: int) -> _Run:
    gc.collect()
    gc.freeze()
    idle, busy = LoopWatch(), LoopWatch()
    with TemporaryDirectory() as folder:
        hass = HomeAssistant(folder)
        async with (
            simulator(_PORT, "--tier", "unlimited") as url,
            aiohttp.ClientSession() as http,
        ):
            hosts = Hosts(url, url, url)
            token = await Authentication(http, hosts).login("demo@example.com", "demo")
            assert isinstance(token, RefreshToken)
            outbox = Outbox(Path(folder) / "outbox.db")
            await outbox.open()
            samples = _samples(points, fields)
            while chunk := list(itertools.islice(samples, _FILLED_AT_ONCE)):
                await outbox.add(chunk)
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
                cpu, started = time.process_time(), time.perf_counter()
                async with busy.watch():
                    problem = await sender.upload_now()
                elapsed = time.perf_counter() - started
                cpu = time.process_time() - cpu
            figures = (await outbox.figures())["export"]
            await outbox.close()
    assert problem is None, problem
    assert figures.uploaded == points * fields, figures
    half = len(memory) // 2
    return _Run(
        rate=points / elapsed,
        cpu=cpu / points * 1e6,
        held=longest_ms(busy.costs),
        late=longest_ms(busy.delays, 0.999),
        idle_late=longest_ms(idle.delays, 0.999),
        first_half=max(memory[:half]) - before,
        second_half=max(memory[half:]) - before,
    )


def _drain_once(points: int, fields: int) -> _Run:
    return asyncio.run(_drain(points, fields))


def _runs(effort: Effort, points: int, fields: int) -> list[_Run]:
    with ProcessPoolExecutor(
        1, multiprocessing.get_context("spawn"), max_tasks_per_child=1
    ) as processes:
        return [
            processes.submit(_drain_once, effort.size(points, 1000), fields).result()
            for _ in range(effort.repetitions)
        ]


def measure(effort: Effort) -> list[Figure]:
    """Drain points of one field, and points of several."""
    figures = []
    for fields, points in ((1, _POINTS), (len(_FIELDS), _POINTS // len(_FIELDS))):
        runs = _runs(effort, points, fields)
        case = f"drain, {effort.size(points, 1000):,} points of {fields}"
        hard = fields == 1
        figures += [
            Figure(
                f"{case}: rate",
                "points/s",
                tuple(run.rate for run in runs),
                goal=Goal("≥", 50_000) if hard else None,
            ),
            Figure(f"{case}: CPU", "µs/point", tuple(run.cpu for run in runs)),
            Figure(f"{case}: longest callback", "ms", tuple(run.held for run in runs)),
            Figure(
                f"{case}: loop late in 99.9 %",
                "ms",
                tuple(run.late for run in runs),
                "idle",
                tuple(run.idle_late for run in runs),
            ),
            Figure(
                f"{case}: memory added, 1st half",
                "MiB",
                tuple(run.first_half for run in runs),
            ),
            Figure(
                f"{case}: memory that the 2nd half adds to it",
                "MiB",
                tuple(max(0.0, run.second_half - run.first_half) for run in runs),
                goal=Goal("≤", 2),
            ),
        ]
    return figures


if __name__ == "__main__":
    report.main(measure, __doc__)
