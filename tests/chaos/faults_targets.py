"""The faults of a target: everything is refused, or a field, or one target alone; and the past that is asked for meanwhile."""

import asyncio
from collections.abc import Iterator
from functools import partial
import random
from typing import Final

from .exports import EXPORTS, Exported
from .kind import Inject, Kind, attempt
from .world import WRITE, World

TARGETS: Final = sorted({(each.database, each.retention_policy) for each in EXPORTS})

_LONGEST_PAST: Final = 60
"""Seconds that are asked for at most, unless it is all there is."""


async def everything_refused(
    status: int, world: World, chance: random.Random, seconds: float
) -> None:
    """Refuse every write: nothing may be set aside for it, but what is tried alone when that ends."""
    async with world.refusal(status) as fault:
        await attempt(world.home.upload_now())
        await asyncio.sleep(seconds)
        hits = fault.hits
    world.struck["everything refused"] += hits
    if chance.random() < 0.5:
        await attempt(world.home.upload_now())


async def one_target(
    status: int, world: World, chance: random.Random, seconds: float
) -> None:
    """Fail the writes to one target; those to the others go on."""
    database, retention_policy = chance.choice(TARGETS)
    query = {"db": database, "rp": retention_policy}
    world.note(f"one target: {database} {retention_policy}")
    async with world.refusal(status, query) as fault:
        await _ask(world, chance)
        await asyncio.sleep(seconds)
        hits = fault.hits
    world.struck["one target failed"] += hits


async def field_refused(world: World, chance: random.Random, seconds: float) -> None:
    """Have fields be of another type at the service, and then of the right one."""
    live = [export for export in EXPORTS if not export.past]
    before = _refused_conflicts(world)
    chosen = {
        (export.measurement, name)
        for export in chance.sample(live, chance.randint(1, 2))
        for name in chance.sample(sorted(export.fields.values()), chance.randint(1, 2))
    }
    async with world.refused_fields(chosen):
        if chance.random() < 0.3:
            await attempt(world.home.upload_now())
        await asyncio.sleep(seconds)
    world.struck["fields refused"] += _refused_conflicts(world) - before
    if chance.random() < 0.5:
        # Else the probe of an hour would notice it, or the end of the run
        await attempt(world.home.upload_now())


def _refused_conflicts(world: World) -> int:
    return world.simulator.log.count(f"POST {WRITE}", 409)


async def past_asked_for(world: World, chance: random.Random, seconds: float) -> None:
    """Ask for the past, which goes up amidst all that strikes."""
    await _ask(world, chance)


async def _ask(world: World, chance: random.Random) -> None:
    for export in EXPORTS:
        if export.past and chance.random() < 0.7:
            await _ask_for(world, chance, export)


async def _ask_for(world: World, chance: random.Random, export: Exported) -> None:
    newest = world.true_wall()
    oldest = world.recorded_since
    start, end = oldest, newest
    if chance.random() < 0.7:
        start = chance.randint(oldest, newest)
        length = chance.uniform(5, _LONGEST_PAST) * 1_000_000
        end = min(newest, start + round(length))
    if await world.ask_for_past(export.measurement, start, end):
        world.struck["past asked for"] += 1


def of_the_targets() -> Iterator[Kind]:
    """Go through these kinds, which are dealt with those of the service."""

    def kind(
        name: str, family: str, seconds: tuple[float, float], inject: Inject
    ) -> Kind:
        return Kind(name, family, "service", seconds, inject)

    short, long = (0.5, 3.0), (5.0, 20.0)
    for status in (400, 409, 422):
        yield kind(
            f"{status} of everything",
            "everything refused",
            long,
            partial(everything_refused, status),
        )
    for status in (400, 403, 404, 409, 422, 503):
        yield kind(
            f"{status} of one target",
            "one target",
            long,
            partial(one_target, status),
        )
    for _ in range(4):
        yield kind("field refused", "field refused", long, field_refused)
        yield kind("past asked for", "past asked for", short, past_asked_for)
