"""What a run consists of, and what is noted of it for the oracle."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
import shutil
import sqlite3
import time
from typing import Any

from scripts.demo.errors import DemoError
from simulator.faults import Fault
from simulator.server import Simulator

from .exports import TAGS
from .home import USER, GoneError, Home
from .oracle import Damage, Key, Life, Period, Reject, Run, Stored, read_journal
from .proxy import Proxy

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def now() -> int:
    """Return microseconds of the monotonic clock."""
    return time.monotonic_ns() // 1000


@dataclass
class World:
    """The parts of a run, and its notes."""

    simulator: Simulator
    proxy: Proxy
    home: Home
    password: str
    scratch: Path
    begin: int = 0
    lives: list[Life] = field(default_factory=list)
    disk: list[Period] = field(default_factory=list)
    damages: list[Damage] = field(default_factory=list)
    clock_set: list[int] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    refusing: list[Fault] = field(default_factory=list)
    rejects: dict[Key, Reject] = field(default_factory=dict)
    struck: Counter[str] = field(default_factory=Counter)
    issues: set[str] = field(default_factory=set)
    seen_damaged: set[str] = field(default_factory=set)
    """What the integration had set aside when that was last looked at."""
    machine: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held by what starts and ends processes."""
    network: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held by what starts and stops the simulator."""

    async def start(self) -> None:
        """Start Home Assistant, and wait until the account is set up where there is one."""
        self.lives.append(Life(now()))
        await self.home.start()
        await self.home.wait_until_running()
        if self.home.entry_id:
            await self.home.wait_until_loaded()

    async def kill(self) -> None:
        """Kill Home Assistant."""
        life = self.lives[-1]
        if life.end is None:
            await self.home.kill()
            life.end, life.killed = now(), True

    async def stop(self) -> None:
        """Stop Home Assistant."""
        life = self.lives[-1]
        if life.end is None:
            await self.home.stop()
            life.end = now()

    @asynccontextmanager
    async def fault(self, path: str, kind: Any, **details: Any) -> AsyncIterator[Fault]:
        """Have the simulator do something wrong, for as long as the context lasts."""
        number = len(self.faults) + 1
        fault = self.simulator.faults.add(
            path, kind, message=f"Injected fault {number}.", **details
        )
        self.faults.append(fault)
        try:
            yield fault
        finally:
            self.simulator.faults.remove(fault.id)

    @property
    def refusals(self) -> set[str]:
        """The messages of the faults that have refused values."""
        return {fault.message for fault in self.refusing if fault.hits}

    def set_clock(self, offset: int) -> None:
        """Set Home Assistant's clock."""
        self.clock_set.append(now())
        self.home.clock.set(offset)

    def note(self, text: str) -> None:
        """Write down what happens, for whoever looks into a failure."""
        seconds = (now() - self.begin) / 1_000_000
        with self.scratch.with_name("events.txt").open("a", encoding="utf-8") as file:
            file.write(f"{datetime.now(UTC):%H:%M:%S.%f} {seconds:8.2f} s {text}\n")

    async def look(self) -> None:
        """Note rejects and issues, as far as Home Assistant answers."""
        with suppress(GoneError, DemoError):
            for reject in await self.home.rejects():
                self._note_reject(
                    reject["measurement"],
                    reject["field"],
                    _wall(reject["time"]),
                    reject["value"],
                    reject["reason"],
                )
            self.issues |= await self.home.issues()

    def _note_reject(
        self, measurement: str, name: str, wall: int, value: Any, reason: str
    ) -> None:
        if isinstance(value, int):
            value = float(value)
        self.rejects[Key(measurement, name, wall)] = Reject(value, reason)

    def damaged_files(self) -> set[str]:
        """Return the names of what the integration has set aside."""
        return {
            file.name
            for file in self.home.outbox.parent.glob(
                f"{self.home.outbox.name}.damaged-*"
            )
            if not file.name.endswith(("-wal", "-shm"))
        }

    def read_outbox(self, *, live: bool) -> set[Key]:
        """Return what waits on disk, and note the rejects that are there. Blocks."""
        file = self.home.outbox
        if not live:
            # Reading the file itself would tidy it up
            for suffix in ("", "-wal"):
                source = file.with_name(f"{file.name}{suffix}")
                copy = self.scratch / f"outbox.db{suffix}"
                copy.unlink(missing_ok=True)
                if source.exists():
                    shutil.copyfile(source, copy)
            file = self.scratch / "outbox.db"
        connection = sqlite3.connect(f"file:{file}?mode=rw", uri=True)
        try:
            waiting = {
                Key(*row)
                for row in connection.execute(
                    "SELECT measurement, field, time_us FROM sample"
                    " JOIN series ON series.id = series_id"
                )
            }
            for row in connection.execute(
                "SELECT measurement, field, time_us, value, reason FROM reject"
                " JOIN series ON series.id = series_id"
            ):
                self._note_reject(*row)
        finally:
            connection.close()
        return waiting

    def as_run(self, end: int) -> Run:
        """Return what the oracle judges."""
        stored = {
            Key(point.measurement, name, point.time_ns // 1000): Stored(
                value, point.retention_policy, point.tags
            )
            for point in self.simulator.store.points()
            for name, value in point.fields.items()
        }
        return Run(
            journal=read_journal(self.home.journal),
            begin=self.begin,
            end=end,
            lives=self.lives,
            true_wall=time.time_ns() // 1000 - now(),
            stored=stored,
            rejects=self.rejects,
            tags=TAGS,
            disk=self.disk,
            damages=self.damages,
            clock_set=self.clock_set,
            refusals=self.refusals,
            switches=self.home.switches,
        )

    def revoke(self, *, refresh: bool) -> None:
        """Refuse the access tokens given so far, and the refresh tokens where wished."""
        self.simulator.revoke(USER, "access")
        if refresh:
            self.simulator.revoke(USER, "refresh")


def _wall(text: str) -> int:
    return (datetime.fromisoformat(text) - EPOCH) // timedelta(microseconds=1)
