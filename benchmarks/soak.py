"""Soak: `python -m benchmarks.soak [--hours 72] [--minutes 40]`, what a Home Assistant takes that runs for days.

1,000 followed entities change once a second, each change is sent, and an account of 100 sites is polled, for so many
simulated hours; shown are memory, threads, sockets and file sizes, of the last third of the run beside the first.
`--minutes` ends it after that long, at whatever hour it has come to, which is the first figure.

What is simulated, and what is not:

- States carry the time at which they were written, which Home Assistant takes as it is. So the entities run through
  the hours before now as fast as the machine goes, and samples, points and what is stored have simulated times. No
  clock is changed.
- What is done by timers is done by the real clock: samples are taken every second and go up, or to disk while that
  fails; figures are looked at every thirty. A simulated hour therefore has the samples of an hour, in fewer and larger
  commits and batches.
- Polls are made once a simulated minute, and the metadata are read every 15 simulated minutes, on top of what the
  timers make of both. Tokens are renewed when they are old in real time.
- All fields are sent at each change, without a shortest distance: this is the most that can be asked for, and the one
  way that knows no timer.

The entities wait whenever much waits for its upload, since the question is what stays behind and not how fast it goes.
Every simulated hour the service cannot be reached for some minutes, in one of several ways, so that the outbox
grows and shrinks. Every ten simulated minutes the entities stand still until all is stored: then the simulator is asked
how many values it has, which must be as many as were sampled, and forgets them; and it is measured what is left.
"""

from argparse import ArgumentParser
import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
import gc
import json
import logging
from pathlib import Path
import statistics
from tempfile import TemporaryDirectory
import threading
import time
import tracemalloc
from types import MappingProxyType
from typing import Any

import aiohttp
from pytest_homeassistant_custom_component.common import (
    MockConfigEntry,
    async_test_home_assistant,
)

from custom_components.eniris.const import DOMAIN, SUBENTRY_EXPORT
from custom_components.eniris.exporting.outbox.limits import used_bytes
from custom_components.eniris.exporting.outbox.store import outbox_path
from homeassistant import loader
from homeassistant.config_entries import ConfigSubentry
from homeassistant.core import HomeAssistant
from homeassistant.helpers import frame
from homeassistant.helpers.storage import STORAGE_DIR
from homeassistant.setup import async_setup_component
from homeassistant.util import dt as dt_util

from .measure import resident_mib, simulator
from .poll import add_account
from .report import Effort, Figure, Goal, table

PORT = 8195

_ENTITIES_PER_EXPORT = 100
_ATTRIBUTES = MappingProxyType(
    {
        "unit_of_measurement": "W",
        "device_class": "power",
        "state_class": "measurement",
    }
)
_MOST_WAITING = 60_000
"""Samples on their way, from which on the entities wait; about a minute of 1,000."""

_TRIES = 10
"""Uploads until all is stored; one that had begun in the outage may still fail."""

_OUTAGES: Sequence[dict[str, Any]] = (
    {"fault": "status", "status": 503},
    {"fault": "drop"},
    {"fault": "status", "status": 429, "retry_after": 5},
    {"fault": "drop_after"},
    {"fault": "html"},
    {"fault": "half_body"},
)


@dataclass(frozen=True, slots=True)
class Plan:
    """How long, and how much; the times but `sitting` are simulated."""

    hours: float = 72.0
    sitting: float | None = None
    """Seconds after which to stop, wherever that is; None: not before the end."""
    entities: int = 1000
    sites: int = 100
    every: timedelta = timedelta(minutes=10)
    """Between two measurements."""
    poll: timedelta = timedelta(minutes=1)
    metadata: timedelta = timedelta(minutes=15)
    outage_every: timedelta = timedelta(hours=1)
    outage: timedelta = timedelta(minutes=5)
    trace: bool = False
    """Whether to print by what memory has grown."""
    port: int = PORT


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What is there when all is stored and nothing is under way."""

    hours: float
    """Simulated, since the start."""
    memory: float
    """MiB."""
    outbox: float
    """MiB in use; freed pages of the file are used again."""
    outbox_peak: float
    """The most MiB of its files since the last snapshot."""
    wal: float
    """MiB of what SQLite has beside the file."""
    threads: int
    sockets: int
    files: int
    """Open file descriptors, sockets included."""
    tasks: int
    states: int
    objects: int
    """That Python's garbage collector knows of."""


@dataclass(slots=True)
class Soak:
    """What came of a run."""

    snapshots: list[Snapshot] = field(default_factory=list)
    sampled: int = 0
    stored: int = 0
    polls: int = 0
    outages: int = 0
    seconds: float = 0.0

    @property
    def hours(self) -> float:
        """How many simulated hours were done."""
        return self.snapshots[-1].hours if self.snapshots else 0.0


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Return the growth per unit of the first number: the median of the slopes between any two (Theil and Sen).

    A few values that lie far off do not change it.
    """
    slopes = [
        (later[1] - earlier[1]) / (later[0] - earlier[0])
        for number, earlier in enumerate(points)
        for later in points[number + 1 :]
        if later[0] != earlier[0]
    ]
    return statistics.median(slopes) if slopes else 0.0


def warm(snapshots: Sequence[Snapshot]) -> Sequence[Snapshot]:
    """Return the snapshots without the first tenth, in which pools and caches fill."""
    return snapshots[max(1, len(snapshots) // 10) :] or snapshots


def figures(soak: Soak) -> list[Figure]:
    """Return the figures of a run, each with its goal."""
    snapshots = warm(soak.snapshots)
    third = max(1, len(snapshots) // 3)
    first, last = snapshots[:third], snapshots[-third:]

    def thirds(
        what: str, unit: str, value: Callable[[Snapshot], float], goal: Goal
    ) -> Figure:
        return Figure(
            f"soak: {what}, last third",
            unit,
            tuple(map(value, last)),
            "its first third",
            tuple(map(value, first)),
            goal,
        )

    def growth(
        what: str, unit: str, value: Callable[[Snapshot], float], most: float
    ) -> Figure:
        return Figure(
            f"soak: {what}, growth per simulated hour",
            unit,
            (slope([(snapshot.hours, value(snapshot)) for snapshot in snapshots]),),
            goal=Goal("≤", most),
        )

    flat, equal = Goal("≤", 1.02), Goal("≤", 1.0)
    # Connections that are kept for reuse, and timers' tasks, come and go by one or two
    few, many = Goal("≤", 1.25), Goal("≤", 1.05)
    return [
        Figure("soak: simulated hours", "h", (soak.hours,)),
        Figure("soak: samples", "", (soak.sampled,)),
        Figure(
            "soak: samples lost", "", (soak.sampled - soak.stored,), goal=Goal("≤", 0)
        ),
        Figure("soak: polls", "", (soak.polls,)),
        Figure("soak: outages", "", (soak.outages,)),
        Figure("soak: samples", "1/s", (soak.sampled / (soak.seconds or 1),)),
        thirds("memory", "MiB", lambda snapshot: snapshot.memory, flat),
        growth("memory", "MiB", lambda snapshot: snapshot.memory, 0.5),
        thirds("Python's objects", "", lambda snapshot: snapshot.objects, flat),
        growth("Python's objects", "", lambda snapshot: snapshot.objects, 500),
        # An empty one has some twenty pages: one more is 5 %
        thirds("outbox in use", "MiB", lambda snapshot: snapshot.outbox, few),
        thirds("outbox' log", "MiB", lambda snapshot: snapshot.wal, equal),
        Figure(
            "soak: outbox' files, most in an outage",
            "MiB",
            (max(snapshot.outbox_peak for snapshot in soak.snapshots),),
        ),
        thirds("threads", "", lambda snapshot: snapshot.threads, equal),
        thirds("sockets", "", lambda snapshot: snapshot.sockets, few),
        thirds("open files", "", lambda snapshot: snapshot.files, many),
        thirds("tasks", "", lambda snapshot: snapshot.tasks, few),
        thirds("states", "", lambda snapshot: snapshot.states, equal),
    ]


def _export(number: int, entities: range) -> ConfigSubentry:
    data: dict[str, Any] = {
        "collector": "demo-ingress",
        "database": "demo",
        "retention_policy": "rp_one_s",
        "measurement": "submeteringMetrics",
        "tags": {"serialNr": f"soak-{number}"},
        "mode": "change",
        "fields": [
            {"entity": _entity_id(entity), "field": f"power{entity % 100}_W"}
            for entity in entities
        ],
    }
    return ConfigSubentry(
        data=MappingProxyType(data),
        subentry_type=SUBENTRY_EXPORT,
        title=f"Soak {number}",
        unique_id=None,
    )


def _entity_id(number: int) -> str:
    return f"sensor.soak_{number}"


class _Run:
    """One run: the entities, and what happens beside them."""

    def __init__(
        self,
        plan: Plan,
        hass: HomeAssistant,
        entry: MockConfigEntry,
        control: "_Control",
        tell: Callable[[Snapshot], None],
    ) -> None:
        self.soak = Soak()
        self._plan = plan
        self._hass = hass
        self._data = entry.runtime_data
        self._control = control
        self._tell = tell
        self._outbox = outbox_path(Path(hass.config.path(STORAGE_DIR)), entry.entry_id)
        self._outbox_peak = 0.0
        self._entity_ids = [_entity_id(number) for number in range(plan.entities)]
        self._poll: asyncio.Task[None] | None = None
        self._baseline: tracemalloc.Snapshot | None = None

    async def run(self) -> None:
        """Go through the hours."""
        plan = self._plan
        seconds = round(plan.hours * 3600)
        every = round(plan.every.total_seconds())
        outage_every = round(plan.outage_every.total_seconds())
        # In the middle between two measurements, which would have to wait for its end
        outage = min(round(plan.outage.total_seconds()), every // 2)
        outage_at = outage_every - (every + outage) // 2
        outage_ends = 0
        start = dt_util.utcnow() - timedelta(hours=plan.hours)
        started = time.monotonic()
        for second in range(1, seconds + 1):
            self._change_all(second, start.timestamp() + second)
            # Listeners get their events in the loop's next round
            await asyncio.sleep(0)
            if second % round(plan.poll.total_seconds()) == 0:
                await self._finish_poll()
                metadata = second % round(plan.metadata.total_seconds()) == 0
                self._poll = asyncio.create_task(self._refresh(metadata=metadata))
            if second % outage_every == outage_at:
                await self._control.begin_outage(
                    _OUTAGES[self.soak.outages % len(_OUTAGES)]
                )
                self.soak.outages += 1
                outage_ends = second + outage
            if second == outage_ends:
                await self._end_outage()
            if second % 10 == 0 and second >= outage_ends:
                await self._wait_for_uploads(_MOST_WAITING)
            self.soak.seconds = time.monotonic() - started
            if second % every == 0:
                await self._measure(second / 3600)
                if plan.sitting is not None and self.soak.seconds >= plan.sitting:
                    return

    async def _end_outage(self) -> None:
        """End an outage that has been noticed, however short it was in real time."""
        problem = await self._data.exporter.async_upload_now()
        assert problem is not None
        self._note_outbox()
        await self._control.end_outage()

    def _change_all(self, second: int, timestamp: float) -> None:
        # Another value each time, the same over and over: a text that is met again costs no memory
        state = f"{second % 7200 / 4:.2f}"
        async_set = self._hass.states.async_set
        for entity_id in self._entity_ids:
            async_set(entity_id, state, _ATTRIBUTES, timestamp=timestamp)
        self.soak.sampled += len(self._entity_ids)

    async def _refresh(self, *, metadata: bool) -> None:
        if metadata:
            await self._data.nodes.async_refresh()
        await self._data.telemetry.async_refresh()
        self.soak.polls += 1

    async def _finish_poll(self) -> None:
        poll, self._poll = self._poll, None
        if poll is not None:
            await poll

    async def _wait_for_uploads(self, most: int) -> None:
        """Wait until no more than so many samples are on their way."""
        while True:
            figures = await self._data.exporter.outbox.refresh_figures()
            gone = sum(
                figure.uploaded + figure.rejected + figure.dropped
                for figure in figures.values()
            )
            self._note_outbox()
            if self.soak.sampled - gone <= most:
                return
            await asyncio.sleep(0.2)

    def _note_outbox(self) -> float:
        """Return the MiB of the files beside the outbox' file."""
        file = self._outbox.stat().st_size / 2**20
        both = sum(
            file.stat().st_size / 2**20
            for file in self._outbox.parent.glob(f"{self._outbox.name}*")
        )
        self._outbox_peak = max(self._outbox_peak, both)
        return both - file

    async def _measure(self, hours: float) -> None:
        """Wait until all is stored, count it, and measure what is left."""
        await self._finish_poll()
        # What waits for its next try after an outage is sent now, as its button would have it
        for _ in range(_TRIES):
            problem = await self._data.exporter.async_upload_now()
            if problem is None:
                break
        assert problem is None, problem
        await self._wait_for_uploads(0)
        await self._hass.async_block_till_done()
        self.soak.stored += await self._control.count_and_forget()
        gc.collect()
        if self._plan.trace:
            self._trace()
        # What SQLite does by itself when the log is large, and then gives the file's space back
        store = self._data.exporter.outbox.store
        async with store.at_rest():
            pass
        wal = self._note_outbox()
        open_files = await self._hass.async_add_executor_job(_open_files)
        snapshot = Snapshot(
            hours=hours,
            memory=resident_mib(),
            outbox=await store.run(used_bytes) / 2**20,
            outbox_peak=self._outbox_peak,
            wal=wal,
            threads=threading.active_count(),
            sockets=sum(name.startswith("socket:") for name in open_files),
            files=len(open_files),
            tasks=len(asyncio.all_tasks()),
            states=len(self._hass.states.async_all()),
            objects=len(gc.get_objects()),
        )
        self._outbox_peak = 0.0
        self.soak.snapshots.append(snapshot)
        self._tell(snapshot)

    def _trace(self) -> None:
        if not tracemalloc.is_tracing():
            if self.soak.snapshots:
                # Not from the first on: what fills once is no leak
                tracemalloc.start(6)
            return
        now = tracemalloc.take_snapshot()
        if self._baseline is None:
            self._baseline = now
            return
        for statistic in now.compare_to(self._baseline, "traceback")[:8]:
            print(statistic)
            print("\n".join(statistic.traceback.format(4)))
        kinds = Counter(type(thing).__qualname__ for thing in gc.get_objects())
        print(kinds.most_common(20))


def _open_files() -> list[str]:
    """Return what the open file descriptors of this process stand for (Linux)."""
    names = []
    for descriptor in Path("/proc/self/fd").iterdir():
        # The one by which the directory is read is closed by now
        with suppress(FileNotFoundError):
            names.append(str(descriptor.readlink()))
    return names


class _Control:
    """The simulator's control API."""

    def __init__(self, http: aiohttp.ClientSession, url: str) -> None:
        self._http = http
        self._url = f"{url}/_simulator"

    async def _call(self, method: str, path: str, body: Any = None) -> Any:
        async with self._http.request(
            method, f"{self._url}/{path}", json=body
        ) as answer:
            assert answer.ok, await answer.text()
            return None if answer.status == 204 else await answer.json()

    async def allow_age(self, age: timedelta) -> None:
        """Have points of that age taken."""
        await self._call("POST", "switches", {"max_age_s": age.total_seconds()})

    async def begin_outage(self, fault: dict[str, Any]) -> None:
        """Have every request fail from now on."""
        await self._call("POST", "faults", {"path": "/", **fault})

    async def end_outage(self) -> None:
        """Have requests answered as ever."""
        await self._call("DELETE", "faults")

    async def count_and_forget(self) -> int:
        """Return how many values are stored, and have them forgotten."""
        count: int = (await self._call("GET", ""))["values"]
        await self._call("DELETE", "points")
        await self._call("DELETE", "requests")
        return count


@asynccontextmanager
async def _home(
    plan: Plan, folder: str, url: str
) -> AsyncIterator[tuple[HomeAssistant, MockConfigEntry]]:
    """Run a Home Assistant with an account of exports and of sites."""
    async with async_test_home_assistant(config_dir=folder) as hass:
        hass.data.pop(loader.DATA_CUSTOM_COMPONENTS, None)
        frame.async_setup(hass)
        assert await async_setup_component(hass, "network", {})
        entry = await add_account(hass, url)
        for number, first in enumerate(range(0, plan.entities, _ENTITIES_PER_EXPORT)):
            entities = range(first, min(first + _ENTITIES_PER_EXPORT, plan.entities))
            hass.config_entries.async_add_subentry(entry, _export(number, entities))
        assert await hass.config_entries.async_setup(entry.entry_id)
        await entry.runtime_data.first_refresh
        await hass.async_block_till_done()
        yield hass, entry
        await hass.config_entries.async_unload(entry.entry_id)
        await hass.async_stop(force=True)


async def soak(
    plan: Plan, tell: Callable[[Snapshot], None] = lambda _snapshot: None
) -> Soak:
    """Carry out a plan; tell of each snapshot."""
    with TemporaryDirectory() as folder:
        async with (
            simulator(
                plan.port, "--fleet", str(plan.sites), "--tier", "unlimited"
            ) as url,
            aiohttp.ClientSession() as http,
            _home(plan, folder, url) as (hass, entry),
        ):
            control = _Control(http, url)
            # The oldest are as old as the run is long, and it takes a while
            await control.allow_age(timedelta(hours=2 * plan.hours + 24))
            run = _Run(plan, hass, entry, control, tell)
            await run.run()
            return run.soak


def measure(effort: Effort) -> list[Figure]:
    """Return the figures of 72 simulated hours, scaled; one repetition takes long enough."""
    return figures(asyncio.run(soak(Plan(hours=72 * effort.scale))))


def _print(snapshot: Snapshot) -> None:
    now = dt_util.now().strftime("%H:%M:%S")
    print(
        f"{now} {snapshot.hours:6.2f} h {snapshot.memory:7.1f} MiB"
        f" outbox {snapshot.outbox:6.3f} (peak {snapshot.outbox_peak:6.2f})"
        f" + {snapshot.wal:5.2f} MiB"
        f" threads {snapshot.threads} sockets {snapshot.sockets} files {snapshot.files}"
        f" tasks {snapshot.tasks} states {snapshot.states} objects {snapshot.objects}",
        flush=True,
    )


def main() -> None:
    """Soak as the command line says, and print the table."""
    parser = ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--hours", type=float, default=72.0, help="simulated")
    parser.add_argument("--minutes", type=float, help="real ones after which to stop")
    parser.add_argument("--entities", type=int, default=1000)
    parser.add_argument("--sites", type=int, default=100)
    parser.add_argument("--every", type=float, default=10, metavar="MINUTES")
    parser.add_argument("--outage-every", type=float, default=60, metavar="MINUTES")
    parser.add_argument("--trace", action="store_true", help="show what has grown")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write it here")
    arguments = parser.parse_args()
    logging.getLogger(f"custom_components.{DOMAIN}").setLevel(logging.ERROR)
    result = asyncio.run(
        soak(
            Plan(
                hours=arguments.hours,
                sitting=arguments.minutes and arguments.minutes * 60,
                entities=arguments.entities,
                sites=arguments.sites,
                every=timedelta(minutes=arguments.every),
                outage_every=timedelta(minutes=arguments.outage_every),
                trace=arguments.trace,
            ),
            _print,
        )
    )
    all_figures = figures(result)
    if arguments.json:
        text = json.dumps([figure.as_json() for figure in all_figures])
        arguments.json.write_text(text, encoding="utf-8")
    print(table(all_figures))


if __name__ == "__main__":
    main()
