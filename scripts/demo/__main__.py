"""The demo: a simulated Eniris cloud and a real Home Assistant, set up as a person would in the browser."""

import argparse
import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
import signal
import sys
import tempfile
import time

import aiohttp

from . import (
    check,
    check_controller,
    config_dir,
    controller,
    dashboard,
    energy,
    log,
    steps,
)
from .cloud import Cloud
from .config_dir import ROOT
from .errors import DemoError
from .home_assistant import HomeAssistant
from .processes import LOOPBACK, Child, ensure_free, free_port

# Long enough for a slow machine's first start, which compiles all of Home Assistant
START_PATIENCE = 180.0
STOP_PATIENCE = 45.0


class Demo:
    """The two processes, and the log-in to the one that is set up through its interfaces."""

    def __init__(self, folder: Path, ports: config_dir.Ports, tier: str) -> None:
        """Describe the demo; `running` starts it and sets it up, `started` leaves that to a person."""
        self.folder = folder
        self.log = folder / "home-assistant.console.log"
        self.simulator_log = folder / "simulator.log"
        self.home = HomeAssistant(f"http://{LOOPBACK}:{ports.home}")
        self.cloud = Cloud(f"http://{LOOPBACK}:{ports.simulator}")
        # A fixed seed: the tokens that Home Assistant keeps are good for the next simulator, too
        simulator = ["-m", "simulator", "--home", "--seed", "1", "--tier", tier]
        self.simulator_process = Child(
            "The simulator",
            [
                *(sys.executable, *simulator),
                *("--port", str(ports.simulator), "--mqtt-port", str(ports.mqtt)),
            ],
            cwd=ROOT,
            log=self.simulator_log,
            env={"PYTHONUNBUFFERED": "1"},
            patience=10,
        )
        self.home_process = Child(
            "Home Assistant",
            [
                *(sys.executable, "-m", "homeassistant", "--skip-pip"),
                *("--log-no-color", "--config", str(folder)),
            ],
            cwd=folder,
            log=self.log,
            env={"PYTHONUNBUFFERED": "1"},
            patience=STOP_PATIENCE,
        )

    @asynccontextmanager
    async def started(self) -> AsyncIterator[None]:
        """Start both, and wait until they answer; stop both at the end."""
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self.simulator_process)
            await stack.enter_async_context(self.home_process)
            await stack.enter_async_context(self.cloud)
            await stack.enter_async_context(self.home)
            await self.cloud.wait_until_up(self.simulator_process, 30)
            await steps.wait_until_up(self.home, self.home_process, START_PATIENCE)
            yield

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Start both and set them up; stop both at the end."""
        async with self.started():
            await steps.onboard_or_log_in(self.home)
            await steps.wait_until_running(self.home, self.home_process, START_PATIENCE)
            entry_id = await steps.ensure_entry(self.home, self.cloud.base)
            await steps.ensure_loaded(self.home, 60)
            await steps.ensure_export(self.home, entry_id)
            await steps.ensure_loaded(self.home, 60)
            await controller.ensure_controller(self.home, self.cloud, entry_id)
            await steps.ensure_loaded(self.home, 60)
            await controller.ensure_schedule(self.home, self.cloud, 60)
            await energy.ensure_energy(self.home, 120)
            await dashboard.ensure_dashboard(self.home, self.cloud.base)
            yield


async def stay(arguments: argparse.Namespace, folder: Path) -> None:
    """Run until stopped."""
    ensure_free(arguments.port, "--port")
    ensure_free(arguments.simulator_port, "--simulator-port")
    ensure_free(arguments.mqtt_port, "--mqtt-port")
    if arguments.reset:
        config_dir.remove(folder)
    ports = config_dir.Ports(
        arguments.port, arguments.simulator_port, arguments.mqtt_port
    )
    config_dir.prepare(folder, ports)
    demo = Demo(folder, ports, arguments.tier)
    say(f"Starting; the logs are in {folder.name}/")
    began = time.monotonic()
    try:
        async with demo.running():
            say(
                f"Ready after {time.monotonic() - began:.0f} s:\n"
                f"  {demo.home.base}/{dashboard.PATH}   log in with {steps.USER} / {steps.PASSWORD}\n"
                f"  {demo.home.base}/energy   the Energy dashboard\n"
                f"  {demo.cloud.base}/_simulator/   the simulated cloud\n"
                f"To add more yourself:\n{dashboard.TO_TRY}\n"
                "Ctrl-C stops both."
            )
            await first_to_end(demo.home_process, demo.simulator_process)
    except DemoError:
        say(log.tail(demo.log))
        raise


async def first_to_end(*processes: Child) -> None:
    """Wait for any of the processes to end by itself, which raises."""
    tasks = [asyncio.create_task(process.wait()) for process in processes]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()


async def check_once(arguments: argparse.Namespace) -> None:
    """Set a fresh demo up, see whether it works, and leave nothing behind."""
    with tempfile.TemporaryDirectory(prefix=".demo-check-", dir=ROOT) as name:
        folder = Path(name)
        ports = config_dir.Ports(free_port(), free_port(), free_port())
        config_dir.prepare(folder, ports)
        demo = Demo(folder, ports, arguments.tier)
        began = time.monotonic()
        try:
            async with demo.running():
                say(f"Set up after {time.monotonic() - began:.0f} s")
                say(await check.watch(demo.home, demo.cloud))
                say(await check_controller.watch_controller(demo.home, demo.cloud))
            say(f"Stopped after {time.monotonic() - began:.0f} s")
            say(check.judge_log(demo.log))
        except (DemoError, aiohttp.ClientError, TimeoutError):
            say(f"--- end of {demo.log.name}\n{log.tail(demo.log)}")
            say(
                f"--- end of {demo.simulator_log.name}\n{log.tail(demo.simulator_log, 15)}"
            )
            raise
    say("The demo works.")


def say(text: str) -> None:
    """Print at once, also into a pipe."""
    print(text, flush=True)


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="scripts/develop")
    parser.add_argument("--reset", action="store_true", help="start over")
    parser.add_argument("--check", action="store_true", help="try a fresh one, and end")
    parser.add_argument("--port", type=int, default=8123)
    parser.add_argument("--simulator-port", type=int, default=8124)
    parser.add_argument("--mqtt-port", type=int, default=8126)
    parser.add_argument("--tier", default="premium")
    return parser.parse_args()


async def run(arguments: argparse.Namespace) -> None:
    """Run what was asked for, until a signal comes."""
    task = asyncio.current_task()
    assert task is not None
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, task.cancel, f"Stopped by {number.name}")
    if arguments.check:
        await check_once(arguments)
    else:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        folder = ROOT / f".demo-{version}"
        with config_dir.claimed(folder):
            await stay(arguments, folder)


def main() -> int:
    """Run the demo; 0 when it was stopped or the check passed."""
    arguments = parse()
    try:
        asyncio.run(run(arguments))
    except (DemoError, aiohttp.ClientError, TimeoutError) as err:
        say(f"Failed: {err or type(err).__name__}")
        return 1
    except asyncio.CancelledError as err:
        # As wished, unless a check was to end by itself
        say(str(err))
        return 130 if arguments.check else 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
