"""The faults of the controller: of its broker and of the way to it, of its answers, its messages and its posts."""

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
import json
import random
from typing import Any, Final

import aiohttp
import aiomqtt

from simulator.controller.controller import Answers, Webhook

from .controlled import POLICIES
from .kind import Inject, Kind
from .world import World

_NONSENSE: Final = (
    b"",
    b"\xff\x00",
    b"[" * 100_000,
    b"[]",
    b"null",
    b'{"time": 1e999, "fields": {"state": {"grid": {"active_power_W": NaN}}}}',
    b'{"time": "soon", "fields": {"state": []}}',
    b'{"data": {"message_type": 7, "responseCode": "0", "state": []}}',
    b'{"data": {"message_type": "set_schedules_ack", "responseCode": 0}}',
    b'{"data": {"message_type": "get_future_schedules_ack", "responseCode": 0, "state": {"schedules": [[], 1, {}]}}}',
    b"x" * (1 << 20),
)

_FLOOD: Final = 300
"""Posts at once."""


async def _choose(world: World, chance: random.Random) -> None:
    """Have something asked of the controller."""
    await world.controlled.choose(chance.choice(POLICIES))


async def policy(world: World, chance: random.Random, seconds: float) -> None:
    """Choose a policy, which is held through whatever comes."""
    await _choose(world, chance)
    world.struck["policy chosen"] += 1


async def broker_gone(world: World, chance: random.Random, seconds: float) -> None:
    """Let nobody listen at the broker's address."""
    gate = world.controlled.simulated.gate
    async with world.controlled.machine:
        await gate.shut()
        await _choose(world, chance)
        await asyncio.sleep(seconds)
        await gate.open()
    world.struck["broker gone"] += 1


async def broker_restart(world: World, chance: random.Random, seconds: float) -> None:
    """Restart the broker, which forgets all sessions."""
    async with world.controlled.machine:
        await world.controlled.simulated.broker.stop()
        await asyncio.sleep(seconds / 4)
        await world.controlled.simulated.broker.start()
    world.struck["broker restarted"] += 1


async def half_open(world: World, chance: random.Random, seconds: float) -> None:
    """Let nothing pass for so long that somebody may notice, and end no connection."""
    gate = world.controlled.simulated.gate
    async with world.controlled.machine:
        gate.halt()
        await _choose(world, chance)
        await asyncio.sleep(seconds)
        if chance.random() < 0.5:
            await gate.drop()
        gate.resume()
    world.struck["network half open"] += 1


async def dropped(world: World, chance: random.Random, seconds: float) -> None:
    """End all connections amidst a question."""
    asking = asyncio.create_task(_choose(world, chance))
    await asyncio.sleep(chance.uniform(0, 0.05))
    await world.controlled.simulated.gate.drop()
    await asking
    world.struck["connections dropped"] += 1


async def _answers(
    answers: Answers, world: World, chance: random.Random, seconds: float
) -> None:
    behaviour = world.controlled.simulated.behaviour
    behaviour.answers = answers
    await _choose(world, chance)
    await asyncio.sleep(seconds)
    behaviour.answers = "right"
    world.struck[f"{answers} of the controller"] += 1


async def unacknowledged(world: World, chance: random.Random, seconds: float) -> None:
    """Carry out what is asked, and lose the acknowledgement."""
    behaviour = world.controlled.simulated.behaviour
    behaviour.unacknowledged = True
    await _choose(world, chance)
    await asyncio.sleep(seconds)
    behaviour.unacknowledged = False
    world.struck["acknowledgement lost"] += 1


async def duplicates(world: World, chance: random.Random, seconds: float) -> None:
    """Have each message come twice or more."""
    behaviour = world.controlled.simulated.behaviour
    behaviour.duplicates = chance.randint(2, 5)
    await _choose(world, chance)
    await asyncio.sleep(seconds)
    behaviour.duplicates = 1
    world.struck["duplicate messages"] += 1


async def restart(world: World, chance: random.Random, seconds: float) -> None:
    """Restart the controller, which may forget its schedules."""
    async with world.controlled.machine:
        await world.controlled.simulated.restart(keep_schedules=chance.random() < 0.5)
    world.struck["controller restarted"] += 1


async def _publish(
    world: World, payload: bytes | str, *, live: bool, retain: bool
) -> None:
    simulated = world.controlled.simulated
    topic = simulated.live_topic if live else simulated.answer_topic
    with suppress(RuntimeError, aiomqtt.MqttError):
        await simulated.publish(topic, payload, retain=retain)


async def nonsense(world: World, chance: random.Random, seconds: float) -> None:
    """Publish what is no message."""
    for payload in chance.sample(_NONSENSE, 4):
        await _publish(world, payload, live=chance.random() < 0.5, retain=False)
    world.struck["nonsense published"] += 1


async def retained(world: World, chance: random.Random, seconds: float) -> None:
    """Leave an old message at the broker for whoever comes."""
    message = world.controlled.simulated.live_message()
    message["fields"]["state"]["grid"]["active_power_W"] = 123_456.0
    await _publish(world, json.dumps(message), live=True, retain=True)
    await world.controlled.simulated.gate.drop()
    world.struck["retained messages"] += 1


async def _post(world: World, body: bytes | None, token: str | None = None) -> None:
    webhook = world.controlled.webhook
    to = Webhook(webhook.url, token or webhook.token)
    with suppress(aiohttp.ClientError, TimeoutError):
        await world.controlled.simulated.post(to, body)


async def stranger(world: World, chance: random.Random, seconds: float) -> None:
    """Post without the token."""
    await _post(world, None, "wrong")
    world.struck["posts without the token"] += 1


async def wrong_posts(world: World, chance: random.Random, seconds: float) -> None:
    """Post what is no message, is too large, or is of another site."""
    body: dict[str, Any] = world.controlled.simulated.webhook_body("type")
    body["siteNodeId"] = "SGC0000-000001_site_0"
    for payload in (*chance.sample(_NONSENSE, 4), json.dumps(body).encode()):
        await _post(world, payload)
    world.struck["wrong posts"] += 1


async def flood(world: World, chance: random.Random, seconds: float) -> None:
    """Post far more than is worked on."""
    await asyncio.gather(*(_post(world, None) for _ in range(_FLOOD)))
    world.struck["floods of posts"] += 1


async def no_posts(world: World, chance: random.Random, seconds: float) -> None:
    """Post nothing."""
    webhook = world.controlled.webhook
    webhook.period = None
    await asyncio.sleep(seconds)
    webhook.period = 1.0
    world.struck["no posts"] += 1


def of_the_controller() -> Iterator[Kind]:
    """Go through the kinds."""
    short, middle, long, longest = (0.5, 2.0), (1.0, 6.0), (3.0, 12.0), (20.0, 45.0)

    def kind(
        name: str, family: str, seconds: tuple[float, float], inject: Inject
    ) -> Kind:
        return Kind(name, family, "controller", seconds, inject)

    for number in range(3):
        yield kind(f"policy {number}", "policy", short, policy)
    yield kind("broker gone", "broker", long, broker_gone)
    yield kind("broker restarted", "broker", middle, broker_restart)
    yield kind("network half open", "broker", long, half_open)
    yield kind("network half open for long", "broker", longest, half_open)
    yield kind("connections dropped", "broker", short, dropped)
    answers: tuple[Answers, ...] = ("silent", "refuse")
    for each in answers:
        yield kind(
            f"controller answers {each}",
            "controller's answers",
            long,
            partial(_answers, each),
        )
    yield kind("acknowledgement lost", "controller's answers", long, unacknowledged)
    yield kind("controller restarted", "controller's answers", short, restart)
    yield kind("duplicate messages", "controller's messages", middle, duplicates)
    yield kind("nonsense published", "controller's messages", short, nonsense)
    yield kind("retained messages", "controller's messages", short, retained)
    yield kind("posts without the token", "webhook", short, stranger)
    yield kind("wrong posts", "webhook", short, wrong_posts)
    yield kind("floods of posts", "webhook", short, flood)
    yield kind("no posts", "webhook", long, no_posts)
