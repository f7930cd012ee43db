"""The kinds of faults: each a function that injects, waits, and clears.

Those of the service are dealt every few seconds and overlap. Those of the machine come one after the other, since a process
can be ended only once, but amidst those of the service.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from functools import partial
import random
from typing import Any, Final, Literal

from scripts.demo.errors import DemoError

from .exports import EXPORTS
from .home import GoneError
from .machine import damage
from .oracle import Damage, Period
from .proxy import Mischief
from .world import World, now

type Deck = Literal["service", "machine"]
type Inject = Callable[[World, random.Random, float], Awaitable[None]]
type Need = Literal["mounts", "faketime"]


@dataclass(frozen=True)
class Kind:
    """A kind of fault."""

    name: str
    family: str
    """The kind under which the figures count it."""
    deck: Deck
    seconds: tuple[float, float]
    """For how long at least and at most."""
    inject: Inject
    needs: Need | None = None


@dataclass(frozen=True)
class Call:
    """A call of the API that faults strike."""

    name: str
    method: str
    path: str


CALLS: Final = (
    Call("write", "POST", "/v1/telemetry"),
    Call("telemetry", "POST", "/v1/telemetry/query"),
    Call("device", "POST", "/v1/device/query"),
    Call("token", "GET", "/auth/accesstoken"),
)

STATUSES: Final = (
    *(400, 401, 403, 404, 409, 413, 422, 429),
    *(500, 502, 503, 504),
)
_REFUSING: Final = {400, 409, 413, 422}
"""What makes a value a reject, when it stands in the answer to a write."""

_MOST_REFUSED: Final = 40
"""Answers of one refusing fault: what is set aside has a limit of its own."""


async def _provoke(world: World, call: Call, chance: random.Random) -> None:
    """Have the call made soon, which else might come in minutes."""
    if call.name == "token":
        world.revoke(refresh=False)
    if call.name == "write" and chance.random() < 0.8:
        await _try(world.home.upload_now())
    elif call.name in ("device", "telemetry"):
        await _try(world.home.refresh())


async def _try(action: Awaitable[None]) -> None:
    with suppress(GoneError, DemoError):
        await action


async def _strike(
    call: Call,
    kind: str,
    world: World,
    chance: random.Random,
    seconds: float,
    **details: Any,
) -> None:
    """Have the simulator answer a call wrongly for some seconds."""
    async with world.fault(call.path, kind, method=call.method, **details) as fault:
        provoking = asyncio.create_task(_provoke(world, call, chance))
        await asyncio.sleep(seconds)
        hits = fault.hits
    await provoking
    world.struck[f"{kind} of {call.name}"] += hits
    if call.name == "write" and chance.random() < 0.5:
        await _try(world.home.upload_now())


async def _status(
    call: Call,
    status: int,
    retry_after: float | None,
    world: World,
    chance: random.Random,
    seconds: float,
) -> None:
    details: dict[str, Any] = {"status": status, "retry_after": retry_after}
    if call.name == "write" and status in _REFUSING:
        details["times"] = chance.randint(1, _MOST_REFUSED)
    elif status == 401:
        # The first is cured by a new access token, the second by a log-in alone
        details["times"] = chance.choice((1, 2, 3))
    number = len(world.faults)
    try:
        await _strike(call, "status", world, chance, seconds, **details)
    finally:
        if call.name == "write" and status in _REFUSING:
            world.refusing.extend(world.faults[number:])


async def _delay(
    call: Call, world: World, chance: random.Random, seconds: float
) -> None:
    await _strike(
        call, "delay", world, chance, seconds, delay=chance.uniform(0.3, seconds)
    )


async def _json(
    call: Call, world: World, chance: random.Random, seconds: float
) -> None:
    body: Any = chance.choice(
        [None, [], {}, {"device": None}, [{"series": 1}], "text", [[1]]]
    )
    await _strike(call, "json", world, chance, seconds, body=body)


async def outage(world: World, chance: random.Random, seconds: float) -> None:
    """Let nobody listen at the service's address."""
    async with world.network:
        await world.simulator.stop()
        try:
            await asyncio.sleep(seconds)
        finally:
            await world.simulator.start(port=world.simulator.port)
    world.struck["outage"] += 1


async def everything_delayed(
    world: World, chance: random.Random, seconds: float
) -> None:
    """Let every call take its time."""
    async with world.fault("*", "delay", delay=chance.uniform(0.5, 3)) as fault:
        await asyncio.sleep(seconds)
        world.struck["delay of all"] += fault.hits


async def ban(world: World, chance: random.Random, seconds: float) -> None:
    """Refuse everything for five minutes, but lift the ban before."""
    async with AsyncExitStack() as stack:
        faults = [
            await stack.enter_async_context(
                world.fault(path, "status", status=429, retry_after=300)
            )
            for path in ("/v1/telemetry", "/auth/accesstoken")
        ]
        await _try(world.home.upload_now())
        await asyncio.sleep(seconds)
        world.struck["ban"] += sum(fault.hits for fault in faults)
    await _try(world.home.upload_now())


async def access_revoked(world: World, chance: random.Random, seconds: float) -> None:
    """Make every access token stale at once."""
    world.revoke(refresh=False)
    world.struck["access tokens revoked"] += 1


async def refresh_revoked(world: World, chance: random.Random, seconds: float) -> None:
    """Make a new log-in the only remedy; values wait for it."""
    world.revoke(refresh=True)
    world.struck["refresh tokens revoked"] += 1


async def _mischief(
    mischief: Mischief, world: World, chance: random.Random, seconds: float
) -> None:
    before = world.proxy.done[mischief]
    world.proxy.begin(mischief)
    try:
        await _try(world.home.upload_now())
        await asyncio.sleep(seconds)
    finally:
        world.proxy.end(mischief)
    world.struck[f"{mischief} by the proxy"] += world.proxy.done[mischief] - before


async def burst(world: World, chance: random.Random, seconds: float) -> None:
    """Set thousands of values within a moment."""
    await _try(
        world.home.control.act("chaos_meters", "burst", count=chance.randint(500, 4000))
    )
    world.struck["burst"] += 1


async def kill(world: World, chance: random.Random, seconds: float) -> None:
    """Cut the power for some seconds."""
    await world.kill()
    await asyncio.sleep(seconds / 4)
    await world.start()
    world.struck["kill"] += 1


async def kill_while_starting(
    world: World, chance: random.Random, seconds: float
) -> None:
    """Cut the power, and once more before Home Assistant has started."""
    await world.kill()
    starting = asyncio.create_task(world.start())
    await asyncio.sleep(chance.uniform(1, 6))
    starting.cancel()
    await asyncio.gather(starting, return_exceptions=True)
    await world.kill()
    await world.start()
    world.struck["kill while starting"] += 1


async def restart(world: World, chance: random.Random, seconds: float) -> None:
    """Stop as a person does, and start."""
    await world.stop()
    await asyncio.sleep(seconds / 4)
    await world.start()
    world.struck["restart"] += 1


async def reload(world: World, chance: random.Random, seconds: float) -> None:
    """Set the account up anew, perhaps amidst a request."""
    for _ in range(chance.randint(1, 3)):
        await _try(world.home.reload())
    world.struck["reload"] += 1


async def switch_off(world: World, chance: random.Random, seconds: float) -> None:
    """Switch an export off, and on again."""
    measurement = next(export.measurement for export in EXPORTS if export.switched)
    entity_id = world.home.switches[measurement]
    await _try(world.home.control.act("switch", "turn_off", entity_id=entity_id))
    await asyncio.sleep(seconds)
    await _try(world.home.control.act("switch", "turn_on", entity_id=entity_id))
    world.struck["switch"] += 1


async def full_disk(world: World, chance: random.Random, seconds: float) -> None:
    """Leave no room, for a while."""
    await _without_disk(world, seconds, end=False)
    world.struck["full disk"] += 1


async def full_disk_and_kill(
    world: World, chance: random.Random, seconds: float
) -> None:
    """Leave no room, and then no power: what is in memory alone is gone."""
    await _without_disk(world, seconds, end=True)
    await world.start()
    world.struck["full disk and kill"] += 1


async def _without_disk(world: World, seconds: float, *, end: bool) -> None:
    period = Period(now())
    world.disk.append(period)
    try:
        await asyncio.to_thread(world.home.disk.fill)
        await asyncio.sleep(seconds)
        if end:
            await world.kill()
    finally:
        await asyncio.to_thread(world.home.disk.clear)
        period.end = now()


async def read_only_disk(world: World, chance: random.Random, seconds: float) -> None:
    """Let nothing be opened for writing, while the account is set up anew."""
    period = Period(now())
    world.disk.append(period)
    try:
        await asyncio.to_thread(world.home.disk.forbid_writing)
        await _try(world.home.reload())
        await asyncio.sleep(seconds)
    finally:
        await asyncio.to_thread(world.home.disk.clear)
        period.end = now()
    await world.home.wait_until_loaded()
    world.struck["read-only disk"] += 1


async def damage_while_down(
    world: World, chance: random.Random, seconds: float
) -> None:
    """Damage pages of the outbox while nobody has it open, after a stop or a kill."""
    async with world.fault("/v1/telemetry", "drop", method="POST"):
        await asyncio.sleep(seconds)
        await (world.stop() if chance.random() < 0.5 else world.kill())
        noted = await _damage(world, chance, live=False)
        await world.start()
    await _await_notice(world, noted)
    world.struck["damage while down"] += 1


async def damage_while_up(world: World, chance: random.Random, seconds: float) -> None:
    """Damage pages of the outbox while it is in use."""
    async with world.fault("/v1/telemetry", "drop", method="POST"):
        await asyncio.sleep(seconds)
        noted = await _damage(world, chance, live=True)
        await asyncio.sleep(seconds)
    await _try(world.home.upload_now())
    await _await_notice(world, noted)
    world.struck["damage while up"] += 1


async def _damage(world: World, chance: random.Random, *, live: bool) -> Damage:
    noted = Damage(now(), await asyncio.to_thread(world.read_outbox, live=live))
    await asyncio.to_thread(damage, world.home.outbox, chance)
    world.damages.append(noted)
    return noted


async def _await_notice(world: World, noted: Damage) -> None:
    """Have the outbox read as a whole, so that damage is found if it matters."""
    for patience in (3, 8):
        for _ in range(patience * 5):
            if world.damaged_files() - world.seen_damaged:
                noted.noticed = now()
                world.seen_damaged = world.damaged_files()
                return
            await asyncio.sleep(0.2)
        await _try(world.home.reload())
        await world.look()


async def _set_clock(
    offsets: tuple[int, ...], world: World, chance: random.Random, seconds: float
) -> None:
    offset = chance.choice(offsets)
    world.set_clock(offset)
    await asyncio.sleep(seconds + 2)
    world.set_clock(0)
    await asyncio.sleep(2)
    world.struck["clock set"] += 1


def kinds() -> Iterator[Kind]:
    """Go through all kinds."""
    yield from _of_the_service()
    yield from _of_the_machine()


def _of_the_service() -> Iterator[Kind]:
    short, middle, long = (0.5, 3.0), (1.0, 6.0), (3.0, 10.0)

    def kind(
        name: str, family: str, seconds: tuple[float, float], inject: Inject
    ) -> Kind:
        return Kind(name, family, "service", seconds, inject)

    for call in CALLS:
        for status in STATUSES:
            waits = (None, 2.0) if status == 429 else (None,)
            for wait in waits:
                suffix = "" if wait is None else " with Retry-After"
                yield kind(
                    f"{status} of {call.name}{suffix}",
                    f"status of {call.name}",
                    middle,
                    partial(_status, call, status, wait),
                )
        yield kind(f"slow {call.name}", "slow answers", long, partial(_delay, call))
        yield kind(f"json of {call.name}", "wrong JSON", middle, partial(_json, call))
        for fault, family in (
            ("half_body", "half answers"),
            ("drop", "dropped requests"),
            ("drop_after", "lost answers"),
            ("garbage", "garbage"),
            ("html", "web pages"),
            ("wrong_type", "wrong JSON"),
            ("empty", "empty answers"),
        ):
            yield kind(
                f"{fault} of {call.name}",
                family,
                middle,
                partial(_strike, call, fault),
            )
    for mischief in ("duplicate", "late", "behind", "reset"):
        for _ in range(2):
            yield kind(
                f"{mischief} by the proxy",
                f"{mischief} by the proxy",
                middle,
                partial(_mischief, mischief),
            )
    for _ in range(3):
        yield kind("outage", "outage", long, outage)
        yield kind("access tokens revoked", "token death", short, access_revoked)
    yield kind("refresh tokens revoked", "token death", short, refresh_revoked)
    yield kind("everything slow", "slow answers", long, everything_delayed)
    for _ in range(2):
        yield kind("ban", "ban", middle, ban)
        yield kind("burst", "burst", short, burst)


def _of_the_machine() -> Iterator[Kind]:
    middle, long = (1.0, 5.0), (4.0, 9.0)

    def kind(
        name: str,
        seconds: tuple[float, float],
        inject: Inject,
        needs: Need | None = None,
    ) -> Kind:
        return Kind(name, name, "machine", seconds, inject, needs)

    for _ in range(2):
        yield kind("kill", middle, kill)
        yield kind("reload", middle, reload)
    yield kind("kill while starting", middle, kill_while_starting)
    yield kind("restart", middle, restart)
    yield kind("switch off", middle, switch_off)
    yield kind("full disk", long, full_disk, "mounts")
    yield kind("full disk and kill", long, full_disk_and_kill, "mounts")
    yield kind("read-only disk", long, read_only_disk, "mounts")
    yield kind("damage while down", middle, damage_while_down)
    yield kind("damage while up", middle, damage_while_up)
    for offsets in (
        (90, 600, 1700),
        (-90, -600, -7200),
        (7200, 2 * 86_400, -2 * 86_400),
    ):
        yield kind("clock set", long, partial(_set_clock, offsets), "faketime")
