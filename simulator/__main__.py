"""Run the simulator: `python -m simulator --port 8124`."""

import argparse
import asyncio
import gc
import signal
import sys

from simulator.rate_limit import TIERS
from simulator.server import Simulator
from simulator.world import FleetWorld, HomeWorld

# Fixed, so that clients stay logged in when the demo is started anew; it guards nothing
_TOKEN_SECRET = b"eniris-simulator"


def _arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="simulator", description="A stand-in for the Eniris cloud."
    )
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to listen at (default: %(default)s)",
    )
    parser.add_argument(
        "--port",
        type=int,
        default=8124,
        help="port to listen at (default: %(default)s)",
    )
    world = parser.add_mutually_exclusive_group()
    world.add_argument(
        "--home", action="store_true", help="simulate one home (default)"
    )
    world.add_argument(
        "--fleet", type=int, metavar="N", help="simulate a fleet of N sites"
    )
    parser.add_argument(
        "--tier",
        choices=sorted(TIERS),
        default="premium",
        help="rate limit (default: %(default)s)",
    )
    parser.add_argument(
        "--mqtt-port",
        type=int,
        default=0,
        metavar="N",
        help="port of the broker of the first site's controller (default: neither is there)",
    )
    parser.add_argument(
        "--seed", type=int, default=1, help="seed of the world (default: %(default)s)"
    )
    return parser.parse_args(argv)


async def _run(arguments: argparse.Namespace) -> None:
    world: HomeWorld | FleetWorld
    if arguments.fleet is not None:
        world = FleetWorld(arguments.fleet, arguments.seed)
    else:
        world = HomeWorld(arguments.seed)
    simulator = Simulator(world, tier=arguments.tier, secret=_TOKEN_SECRET)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    controller = None
    if arguments.mqtt_port:
        # Whoever has no controller need not wait for its broker to be imported
        from simulator.controller import SimulatedController  # noqa: PLC0415
        from simulator.controller.api import ControllerApi  # noqa: PLC0415

        controller = SimulatedController(world.sites[0], port=arguments.mqtt_port)
        await controller.start()
        simulator.control_parts.append(ControllerApi(controller))
    await simulator.start(arguments.host, arguments.port)
    names = ", ".join(account.username for account in simulator.accounts)
    print(
        f"Eniris simulator at {simulator.url} – accounts, password 'demo': {names}",
        flush=True,
    )
    if controller is not None:
        print(
            f"Controller {controller.serial} over MQTT at {controller.host}:{controller.port} – "
            f"user {controller.username!r}, password {controller.password!r}",
            flush=True,
        )
    await stop.wait()
    if controller is not None:
        await controller.stop()
    await simulator.stop()


if __name__ == "__main__":
    # Or it walks through all stored points again and again, which takes longer than to check and store them
    gc.set_threshold(1_000_000)
    asyncio.run(_run(_arguments(sys.argv[1:])))
