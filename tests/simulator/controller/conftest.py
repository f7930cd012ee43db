"""The simulated controller of the home, and what its owner does with it."""

import asyncio
from collections.abc import AsyncIterator, Callable
import json
import time
from typing import Any

import aiomqtt
import pytest

from simulator.controller import SimulatedController
from simulator.world import HomeWorld


class Owner:
    """Somebody with an MQTT client, who has subscribed to what the controller tells."""

    def __init__(self, controller: SimulatedController, client: aiomqtt.Client) -> None:
        """Talk to a controller."""
        self._controller = controller
        self._client = client

    async def ask(self, message_type: Any, fields: Any, **changed: Any) -> Any:
        """Ask something, and return `data` of the answer."""
        await self.send(message_type, fields, **changed)
        return (await self.next(self._controller.answer_topic))["data"]

    async def send(self, message_type: Any, fields: Any, **changed: Any) -> None:
        """Ask something in the envelope of the service, but for what is `changed`."""
        message = {
            "extraTags": {"nodeId": self._controller.site_id},
            "time": int(time.time()),
            "message_type": message_type,
            "fields": fields,
        }
        await self._client.publish(
            self._controller.request_topic, json.dumps(message | changed), qos=1
        )

    async def plan(self, *schedules: dict[str, Any]) -> Any:
        """Ask for schedules, and return `data` of the answer."""
        fields = {str(index): json.dumps(each) for index, each in enumerate(schedules)}
        return await self.ask("set_schedules", fields)

    async def next(self, topic: str) -> Any:
        """Return the next message, which has to be on a topic."""
        message = await anext(self._client.messages)
        assert message.topic.value == topic
        assert isinstance(message.payload, bytes)
        return json.loads(message.payload)


async def eventually(condition: Callable[[], bool]) -> None:
    """Wait until something has happened; TimeoutError if it does not."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - there is nothing to be told by
            await asyncio.sleep(0.01)


def schedule(start_s: float = 0, end_s: float = 900, **changed: Any) -> dict[str, Any]:
    """Return a schedule between seconds from now."""
    now = int(time.time())
    return {
        "device_type": "storage",
        "start_time": now + start_s,
        "end_time": now + end_s,
        "policy": "cost",
        "site_import": 9_000,
        "site_export": 5_000,
        "remove_overlap": True,
    } | changed


@pytest.fixture
async def controller(
    socket_enabled: None, world: HomeWorld
) -> AsyncIterator[SimulatedController]:
    """Return the running controller of the home; it publishes when it is told to."""
    async with SimulatedController(world.sites[0], period=None) as running:
        yield running


@pytest.fixture
async def owner(controller: SimulatedController) -> AsyncIterator[Owner]:
    """Return its owner."""
    async with aiomqtt.Client(
        controller.host,
        controller.port,
        username=controller.username,
        password=controller.password,
    ) as client:
        await client.subscribe(controller.live_topic, qos=1)
        await client.subscribe(controller.answer_topic, qos=1)
        yield Owner(controller, client)
