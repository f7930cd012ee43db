"""The faults of the service and of the way to it, which are dealt every few seconds and overlap."""

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
import random
from typing import Any, Final

from .exports import DATABASE
from .kind import Inject, Kind, attempt
from .proxy import Mischief
from .world import World


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
"""What makes a value a reject, when it is the answer to a write of that value alone."""

_MOST_REFUSED: Final = 40
"""Answers of one refusing fault: what is set aside has a limit of its own."""


async def _provoke(world: World, call: Call, chance: random.Random) -> None:
    """Have the call made soon, which else might come in minutes."""
    if call.name == "token":
        world.revoke(refresh=False)
    if call.name == "write" and chance.random() < 0.8:
        await attempt(world.home.upload_now())
    elif call.name in ("device", "telemetry"):
        await attempt(world.home.refresh())


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
        await attempt(world.home.upload_now())


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
        # Of the past nothing tells which values were refused: there all is refused or nothing
        details |= {
            "times": chance.randint(1, _MOST_REFUSED),
            "query": {"db": DATABASE},
        }
    elif status == 401:
        # The first is cured by a new access token, the second by a log-in alone
        details["times"] = chance.choice((1, 2, 3))
    number = len(world.faults)
    try:
        await _strike(call, "status", world, chance, seconds, **details)
    finally:
        if call.name == "write" and status in _REFUSING:
            for fault in world.faults[number:]:
                if fault.path == call.path and fault.times is not None:
                    # At most one value for each answer
                    world.refusals[fault.message] = fault.hits


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
        await attempt(world.home.upload_now())
        await asyncio.sleep(seconds)
        world.struck["ban"] += sum(fault.hits for fault in faults)
    await attempt(world.home.upload_now())


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
        await attempt(world.home.upload_now())
        await asyncio.sleep(seconds)
    finally:
        world.proxy.end(mischief)
    world.struck[f"{mischief} by the proxy"] += world.proxy.done[mischief] - before


async def burst(world: World, chance: random.Random, seconds: float) -> None:
    """Set thousands of values within a moment."""
    await attempt(
        world.home.control.act("chaos_meters", "burst", count=chance.randint(500, 4000))
    )
    world.struck["burst"] += 1


def of_the_service() -> Iterator[Kind]:
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
