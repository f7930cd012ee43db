"""The faults of the machine, which come one after the other, since a process can be ended only once."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
import random

from .exports import EXPORTS
from .kind import Inject, Kind, Need, attempt
from .machine import damage
from .notes import Damage, Period, Restore
from .world import World, now


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
        await attempt(world.home.reload())
    world.struck["reload"] += 1


async def switch_off(world: World, chance: random.Random, seconds: float) -> None:
    """Switch an export off, and on again."""
    measurement = next(export.measurement for export in EXPORTS if export.switched)
    entity_id = world.home.switches[measurement]
    await attempt(world.home.control.act("switch", "turn_off", entity_id=entity_id))
    await asyncio.sleep(seconds)
    await attempt(world.home.control.act("switch", "turn_on", entity_id=entity_id))
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
        await attempt(world.home.reload())
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
    await attempt(world.home.upload_now())
    await _await_notice(world, noted)
    world.struck["damage while up"] += 1


async def _damage(world: World, chance: random.Random, *, live: bool) -> Damage:
    noted = Damage(now(), await world.read_outbox(live=live))
    await asyncio.to_thread(damage, world.home.outbox, chance)
    await asyncio.to_thread(world.home.power.sync, world.home.outbox)
    world.damages.append(noted)
    world.void_asks()
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
        await attempt(world.home.reload())
        await world.look()


async def power_cut(world: World, chance: random.Random, seconds: float) -> None:
    """End the process, and what it has written without a sync: once values wait, or amidst health."""
    async with _waiting(world, chance):
        await asyncio.sleep(seconds)
        await world.cut_power()
    await world.start()
    world.judge_files("after a power cut")
    world.struck["power cut"] += 1


async def backup(world: World, chance: random.Random, seconds: float) -> None:
    """Copy the outbox as a backup does, under load; later the copy takes its place."""
    folder = world.scratch / "backup"
    async with _waiting(world, chance):
        await asyncio.sleep(seconds)
        burst = world.home.control.act(
            "chaos_meters", "burst", count=chance.randint(100, 2000)
        )
        await attempt(burst)
        copied = now()
        await world.home.back_up(
            folder, chance.uniform(0, 2), log_first=chance.random() < 0.5
        )
        await asyncio.sleep(chance.uniform(0, seconds))
    await asyncio.sleep(chance.uniform(0, seconds))
    await world.kill()
    await asyncio.to_thread(world.home.replace_outbox, folder)
    world.restores.append(Restore(copied, now()))
    world.void_asks(copied)
    await world.start()
    world.judge_files("after a backup was restored")
    world.struck["backup and restore"] += 1


@asynccontextmanager
async def _waiting(world: World, chance: random.Random) -> AsyncIterator[None]:
    """Have values wait, mostly."""
    async with AsyncExitStack() as stack:
        if chance.random() < 0.7:
            drop = world.fault("/v1/telemetry", "drop", method="POST")
            await stack.enter_async_context(drop)
        yield


async def _set_clock(
    offsets: tuple[int, ...], world: World, chance: random.Random, seconds: float
) -> None:
    offset = chance.choice(offsets)
    world.set_clock(offset)
    await asyncio.sleep(seconds + 2)
    world.set_clock(0)
    # Every meter shows a value under the right clock before anything else happens, or nobody can tell what held since
    await asyncio.sleep(4)
    world.struck["clock set"] += 1


def of_the_machine() -> Iterator[Kind]:
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
    for _ in range(2):
        yield kind("power cut", middle, power_cut, "a C compiler")
        yield kind("backup and restore", middle, backup)
    for offsets in (
        (90, 600, 1700),
        (-90, -600, -7200),
        (7200, 2 * 86_400, -2 * 86_400),
    ):
        yield kind("clock set", long, partial(_set_clock, offsets), "faketime")
