"""What ten controllers send: `python -m benchmarks.controllers --port PORT --by mqtt|webhook FILE`.

FILE has, as JSON, `serial`, `site_node_id`, `url` and `token` of each. Each sends ten messages a second until this is ended, from
its own tenth of the tenth of a second on. The power of the grid in each is the time at which it was sent, in whole
microseconds of the monotonic clock, less those of whole thousand seconds: both processes have the same clock.
"""

from argparse import ArgumentParser
import asyncio
from collections.abc import Awaitable, Callable
import json
from pathlib import Path
import sys
import time
from typing import Any, Final

import aiohttp
import aiomqtt

from simulator.controller import Broker, SimulatedController
from simulator.controller.broker import HOST
from simulator.world import FleetWorld

PER_SECOND: Final = 10
USERNAME: Final = "benchmark"

_WRAPS_US: Final = 1_000_000_000


def now_us() -> int:
    """Return what a message that is sent now says."""
    return time.monotonic_ns() // 1000 % _WRAPS_US


def elapsed_ms(sent_us: float) -> float:
    """Return for how long a message has been under way."""
    return (now_us() - sent_us) % _WRAPS_US / 1000


async def _send_on(
    message: dict[str, Any],
    grid: dict[str, Any],
    first: float,
    send: Callable[[str], Awaitable[None]],
) -> None:
    at = time.monotonic() + first
    while True:
        await asyncio.sleep(at - time.monotonic())
        at += 1 / PER_SECOND
        message["time"] = int(time.time())
        grid["active_power_W"] = now_us()
        await send(json.dumps(message))


async def _send(port: int, by: str, targets: list[dict[str, str]]) -> None:
    broker = Broker({USERNAME: USERNAME}, port=port)
    await broker.start()
    sites = {site.serial: site for site in FleetWorld(len(targets)).sites}
    async with (
        aiohttp.ClientSession() as http,
        aiomqtt.Client(HOST, port, username=USERNAME, password=USERNAME) as mqtt,
        asyncio.TaskGroup() as group,
    ):

        def posting(target: dict[str, str]) -> Callable[[str], Awaitable[None]]:
            headers = {"Authorization": f"Bearer {target['token']}"}

            async def send(message: str) -> None:
                async with http.post(
                    target["url"], data=message, headers=headers
                ) as answer:
                    answer.raise_for_status()

            return send

        def publishing(topic: str) -> Callable[[str], Awaitable[None]]:
            async def send(message: str) -> None:
                await mqtt.publish(topic, message)

            return send

        for number, target in enumerate(targets):
            controller = SimulatedController(sites[target["serial"]])
            if by == "webhook":
                message = controller.webhook_body("type")
                grid, send = message["grid"], posting(target)
            else:
                message = controller.live_message()
                grid = message["fields"]["state"]["grid"]
                send = publishing(controller.live_topic)
            first = number / len(targets) / PER_SECOND
            group.create_task(_send_on(message, grid, first, send))
        sys.stdout.write("sending\n")
        sys.stdout.flush()


def main() -> None:
    """Send until told to end."""
    parser = ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--by", choices=("mqtt", "webhook"), required=True)
    parser.add_argument("file", type=Path)
    arguments = parser.parse_args()
    targets = json.loads(arguments.file.read_text("utf-8"))
    asyncio.run(_send(arguments.port, arguments.by, targets))


if __name__ == "__main__":
    main()
