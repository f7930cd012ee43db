"""Drain of a long backlog: an outbox of 1,000,000 samples is uploaded to a simulator, a process of its own.

100 meters have measured about once a second, one field each, or five that share their times. Samples of one field are
the hard case: all that a point costs is there for each value. What 200 seconds brought of a meter is one row of the
outbox. The last case has what an outage leaves behind where a commit is made every second: a row for each second of
each meter, and so of one sample.

For how long the event loop is held at a stretch counts as much as the rate, since all of Home Assistant waits meanwhile;
so does the memory. The processor's time per sample of the sending process does not depend on what else the machine does.

Each repetition is a process of its own, so that none finds memory that another has left. What was imported is frozen
out of Python's garbage collector: to walk through all of Home Assistant's modules takes longer than anything that is
measured here, and says nothing of it.
"""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
import gc
import itertools
import multiprocessing
from pathlib import Path
import random
from tempfile import TemporaryDirectory
import time
from typing import Final

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
from custom_components.eniris.exporting.outbox.batches import Sample, to_blocks
from custom_components.eniris.exporting.outbox.outbox import Outbox
from custom_components.eniris.exporting.uploader import Uploader
from homeassistant.core import HomeAssistant

from . import report
from .measure import LoopWatch, longest_ms, peak_memory, resident_mib, simulator
from .report import Effort, Figure, Goal

_PORT: Final = 8199
_METERS: Final = 100
_TARGET: Final = WriteTarget("demo-ingress", "demo", "rp_one_s")
_FIELDS: Final = tuple(f"actualPowerL{number}_W" for number in range(1, 6))
_COMMITTED_AT_ONCE: Final = 50
"""Rows of each meter that are put on disk together; else it would take long to fill the outbox."""


@dataclass(frozen=True, slots=True)
class _Case:
    """What waits."""

    samples: int
    fields: int
    seconds: int
    """What so many brought of a meter is one row."""
    has_goal: bool = True


_CASES: Final = (
    _Case(1_000_000, 1, 200),
    _Case(1_000_000, len(_FIELDS), 200),
    _Case(200_000, 1, 1, has_goal=False),
)


@dataclass(frozen=True, slots=True)
class _Run:
    """What one drain took: samples a second, microseconds, milliseconds and MiB."""

    rate: float
    cpu: float
    held: float
    late: float
    idle_late: float
    first_half: float
    second_half: float


def _samples(case: _Case) -> Iterator[Sample]:
    """Yield what the meters have measured, each about once a second, with a decimal."""
    all_series = [
        Series(_TARGET, "submeteringMetrics", (("serialNr", f"meter-{number}"),))
        for number in range(_METERS)
    ]
    chance = random.Random(case.samples)  # noqa: S311
    points = case.samples // case.fields
    start = datetime.now(UTC) - timedelta(seconds=points / _METERS + 60)
    for number in range(points):
        second, meter = divmod(number, _METERS)
        moment = start + timedelta(
            seconds=second + meter / _METERS, microseconds=chance.randrange(9999)
        )
        for field in _FIELDS[: case.fields]:
            value = round(chance.gauss(1500, 400), 1)
            yield Sample("export", all_series[meter], moment, field, value)


async def _fill(outbox: Outbox, case: _Case) -> int:
    """Put what waits on disk, and return how many samples that is."""
    samples = _samples(case)
    at_once = case.fields * case.seconds * _METERS
    count = 0
    for number in itertools.count(1):
        chunk = list(itertools.islice(samples, at_once))
        outbox.add(to_blocks(chunk))
        count += len(chunk)
        if not chunk or case.seconds > 1 or number % _COMMITTED_AT_ONCE == 0:
            await outbox.commit(everything=True)
        if not chunk:
            return count
    raise AssertionError


async def _drain(case: _Case) -> _Run:
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
            outbox = Outbox(hass, Path(folder) / "outbox.db")
            await outbox.open()
            count = await _fill(outbox, case)
            async with idle.watch():
                await asyncio.sleep(2)
            before = resident_mib()
            uploader = Uploader(
                hass,
                Session(http, token, hosts),
                outbox,
                Issues(hass, "entry", "benchmark", "instance"),
            )
            with peak_memory() as memory:
                cpu, started = time.process_time(), time.perf_counter()
                async with busy.watch():
                    problem = await uploader.async_upload_now()
                elapsed = time.perf_counter() - started
                cpu = time.process_time() - cpu
            figures = (await outbox.refresh_figures())["export"]
            await outbox.close()
    assert problem is None, problem
    assert figures.uploaded == count, figures
    half = len(memory) // 2
    return _Run(
        rate=count / elapsed,
        cpu=cpu / count * 1e6,
        held=longest_ms(busy.costs),
        late=longest_ms(busy.delays, 0.999),
        idle_late=longest_ms(idle.delays, 0.999),
        first_half=max(memory[:half]) - before,
        second_half=max(memory[half:]) - before,
    )


def _drain_once(case: _Case) -> _Run:
    return asyncio.run(_drain(case))


def _figures(case: _Case, runs: list[_Run]) -> Iterator[Figure]:
    name = f"drain, {case.samples:,} samples, {case.fields} at a time"
    if not case.has_goal:
        name += ", a row each"
    yield Figure(
        f"{name}: rate",
        "samples/s",
        tuple(run.rate for run in runs),
        goal=Goal("≥", 150_000) if case.has_goal else None,
    )
    yield Figure(f"{name}: CPU", "µs/sample", tuple(run.cpu for run in runs))
    yield Figure(
        f"{name}: longest callback",
        "ms",
        tuple(run.held for run in runs),
        goal=Goal("≤", 10),
    )
    yield Figure(
        f"{name}: loop late in 99.9 %",
        "ms",
        tuple(run.late for run in runs),
        "idle",
        tuple(run.idle_late for run in runs),
    )
    yield Figure(
        f"{name}: memory added, 1st half", "MiB", tuple(run.first_half for run in runs)
    )
    yield Figure(
        f"{name}: memory that the 2nd half adds to it",
        "MiB",
        tuple(max(0.0, run.second_half - run.first_half) for run in runs),
        goal=Goal("≤", 2),
    )


def measure(effort: Effort) -> list[Figure]:
    """Drain each case, in a process of its own each time."""
    figures: list[Figure] = []
    with ProcessPoolExecutor(
        1, multiprocessing.get_context("spawn"), max_tasks_per_child=1
    ) as processes:
        for full in _CASES:
            case = replace(full, samples=effort.size(full.samples, 5000))
            runs = [
                processes.submit(_drain_once, case).result()
                for _ in range(effort.repetitions)
            ]
            figures += _figures(case, runs)
    return figures


if __name__ == "__main__":
    report.main(measure, __doc__)
