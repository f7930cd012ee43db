"""What a run consists of, and what is noted of it for the oracle."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
import sqlite3
import time
from typing import Any, Final

from scripts.demo.errors import DemoError
from simulator.faults import Fault
from simulator.server import Simulator

from . import outbox_file
from .controlled import Controlled
from .door import GoneError
from .exports import EXPORTS, TAGS
from .home import USER, Home
from .journal import SECOND, Key, read_journal
from .notes import Ask, Damage, Life, Period, Reject, Restore, Run, Stored
from .proxy import Proxy

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
WRITE: Final = "/v1/telemetry"

OF_VALUES: Final = {400, 409, 422}
"""What can be meant for a value."""

AT_THE_END: Final = 2
"""How many values of what goes to a target may be set aside that were tried alone when a refusal of all ended."""

_CLOCK_SETTLES: Final = 4 * SECOND


def now() -> int:
    """Return microseconds of the monotonic clock."""
    return time.monotonic_ns() // 1000


@dataclass
class World:
    """The parts of a run, and its notes."""

    simulator: Simulator
    proxy: Proxy
    home: Home
    controlled: Controlled
    password: str
    scratch: Path
    begin: int = 0
    lives: list[Life] = field(default_factory=list)
    disk: list[Period] = field(default_factory=list)
    damages: list[Damage] = field(default_factory=list)
    clock_set: list[int] = field(default_factory=lambda: [0])
    faults: list[Fault] = field(default_factory=list)
    restores: list[Restore] = field(default_factory=list)
    refusals: Counter[str] = field(default_factory=Counter)
    """The messages of the faults that refuse values, each with how many may be set aside."""
    past_refusals: int = 0
    asks: list[Ask] = field(default_factory=list)
    recorded_since: int = 0
    """The time of the first value that the past may be asked for."""
    problems: list[str] = field(default_factory=list)
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

    async def cut_power(self) -> None:
        """Kill Home Assistant, and leave of its outbox what was synced."""
        life = self.lives[-1]
        if life.end is None:
            await self.kill()
            files = self.home.outbox_files()
            if not await asyncio.to_thread(self.home.power.cut, files):
                self.problems.append("nothing was ever synced, or nobody noted it")

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

    @asynccontextmanager
    async def refusal(
        self, status: int, query: Mapping[str, str] | None = None
    ) -> AsyncIterator[Fault]:
        """Have every write refused, or those to one target: what waits for it has to go on waiting."""
        async with self.fault(
            WRITE, "status", method="POST", status=status, query=query
        ) as fault:
            try:
                yield fault
            finally:
                if fault.hits and status in OF_VALUES:
                    struck = {
                        (each.database, each.retention_policy, each.past)
                        for each in EXPORTS
                        if query is None
                        or query == {"db": each.database, "rp": each.retention_policy}
                    }
                    self.refusals[fault.message] = AT_THE_END * len(struck)
                    self.past_refusals += AT_THE_END * sum(past for *_, past in struck)

    @asynccontextmanager
    async def refused_fields(
        self, fields: Iterable[tuple[str, str]]
    ) -> AsyncIterator[None]:
        """Have fields of measurements be of another type at the service."""
        refused = self.simulator.switches.refuse_fields
        # The names are those of one measurement alone
        new = {name: name_of for name_of, name in fields if name not in refused}
        for name, measurement in new.items():
            other = "float" if "Word" in name else "string"
            refused[name] = other
            self.refusals[_type_conflict(name, measurement)] += 1
        self.note(f"fields refused: {sorted(new)}")
        started = len(self.lives)
        try:
            yield
        finally:
            for name, measurement in new.items():
                refused.pop(name, None)
                # Each process finds out by itself that every value of the field is refused
                message = _type_conflict(name, measurement)
                self.refusals[message] += len(self.lives) - started

    async def ask_for_past(self, measurement: str, start: int, end: int) -> bool:
        """Ask for a range of true time; return whether it will be sent."""
        if self.home.clock.offset or now() - self.clock_set[-1] < _CLOCK_SETTLES:
            return False
        ask = Ask(measurement, start, end, now())
        self.asks.append(ask)
        with suppress(GoneError, DemoError):
            moments = (EPOCH + timedelta(microseconds=time) for time in (start, end))
            ask.promised = await self.home.export_history(measurement, *moments)
        return ask.promised

    def void_asks(self, since: int = 0) -> None:
        """Take what was asked for since a moment for gone, together with an outbox."""
        for ask in self.asks:
            ask.void = ask.void or ask.at >= since

    @staticmethod
    def true_wall() -> int:
        """Return microseconds since 1970 by the clock that nobody sets."""
        return time.time_ns() // 1000

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

    def judge_files(self, when: str) -> None:
        """Note it where the integration has set aside an outbox that nobody had damaged."""
        if len(files := self.damaged_files()) > len(self.damages):
            self.problems.append(f"an outbox was set aside {when}: {sorted(files)}")

    async def read_outbox(self, *, live: bool) -> set[Key]:
        """Return what waits on disk, and note the rejects that are there."""
        found = await asyncio.to_thread(
            outbox_file.read, self.home.outbox, self.scratch, live=live
        )
        if found is None:
            # Then all that can wait: less strict with what was lost before
            values = read_journal(self.home.journal).values
            return {item.key for item in values} - self.stored().keys()
        waiting, rejects = found
        for row in rejects:
            self._note_reject(*row)
        return waiting

    def stored(self) -> dict[Key, Stored]:
        """Return what the service has."""
        return {
            Key(point.measurement, name, point.time_ns // 1000): Stored(
                value, point.retention_policy, point.tags, point.database
            )
            for point in self.simulator.store.points()
            for name, value in point.fields.items()
        }

    def _read_recorder(self) -> set[Key]:
        """Return what the recorder has of the exports of the past. Blocks."""
        fields = {
            entity_id: (export.measurement, name)
            for export in EXPORTS
            if export.past
            for entity_id, name in export.fields.items()
        }
        file = self.home.folder / "home-assistant_v2.db"
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
            return {
                # Beside a time's own microsecond, since the recorder keeps parts of it
                Key(*fields[entity_id], round(updated * 1_000_000) + beside)
                for entity_id, updated in connection.execute(
                    "SELECT states_meta.entity_id, last_updated_ts FROM states"
                    " JOIN states_meta USING (metadata_id)"
                )
                if entity_id in fields
                for beside in (-1, 0, 1)
            }

    async def as_run(self, end: int) -> Run:
        """Return what the oracle judges."""
        recorded = await asyncio.to_thread(self._read_recorder)
        return Run(
            journal=read_journal(self.home.journal),
            begin=self.begin,
            end=end,
            lives=self.lives,
            true_wall=self.true_wall() - now(),
            stored=self.stored(),
            rejects=self.rejects,
            tags=TAGS,
            disk=self.disk,
            damages=self.damages,
            restores=self.restores,
            clock_set=self.clock_set,
            refusals={message: most for message, most in self.refusals.items() if most},
            asks=self.asks,
            recorded=recorded,
            past_refusals=self.past_refusals,
            switches=self.home.switches,
        )

    def revoke(self, *, refresh: bool) -> None:
        """Refuse the access tokens given so far, and the refresh tokens where wished."""
        self.simulator.revoke(USER, "access")
        if refresh:
            self.simulator.revoke(USER, "refresh")


def _wall(text: str) -> int:
    return (datetime.fromisoformat(text) - EPOCH) // timedelta(microseconds=1)


def _type_conflict(name: str, measurement: str) -> str:
    return f'field type conflict: input field "{name}" on measurement "{measurement}"'
