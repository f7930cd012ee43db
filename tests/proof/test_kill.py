"""A Home Assistant in a process of its own, killed and stopped while values wait on its disk."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
import os
from pathlib import Path
import random
import signal
import sys
import time

import aiohttp
import pytest

from scripts.demo import config_dir, log, steps
from scripts.demo.errors import DemoError
from scripts.demo.home_assistant import HomeAssistant
from scripts.demo.processes import LOOPBACK, Child, free_port
from simulator.server import Simulator

from .oracle import EPOCH

SEED = int(os.environ.get("ENIRIS_PROOF_SEED", "20260701"))
LOSS = timedelta(seconds=2)
"""What a kill may cost."""

ENTITIES = {
    f"sensor.proof_meter_{number}": f"proofMeter{number}_W" for number in range(20)
}
DISTANCE = 0.02
"""Seconds between two values."""

START_PATIENCE = 60.0
STOP_PATIENCE = 30.0
DRAIN_PATIENCE = 45.0

type Stored = dict[tuple[str, datetime], object]


class Process:
    """Home Assistant in a directory that outlives its processes."""

    def __init__(self, folder: Path, simulator: Simulator) -> None:
        """Prepare the directory, with no more in it than the test needs."""
        self.folder = folder
        self.port = free_port()
        self.starts = 0
        config_dir.prepare(folder, self.port, simulator.port)
        configuration = folder / "configuration.yaml"
        http = [
            line
            for line in configuration.read_text("utf-8").splitlines()
            if line.startswith("http:")
        ]
        configuration.write_text(
            "\n".join(["api:", "config:", "frontend:", *http, ""]), "utf-8"
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[tuple[Child, HomeAssistant]]:
        """Start a process and log in; stop it at the end, if nobody has before."""
        self.starts += 1
        child = Child(
            "Home Assistant",
            [
                *(sys.executable, "-m", "homeassistant", "--skip-pip"),
                *("--log-no-color", "--config", str(self.folder)),
            ],
            cwd=self.folder,
            log=self.folder / f"console-{self.starts}.log",
            env={"PYTHONUNBUFFERED": "1"},
            patience=STOP_PATIENCE,
        )
        home = HomeAssistant(f"http://{LOOPBACK}:{self.port}")
        try:
            async with child, home:
                await steps.wait_until_up(home, child, START_PATIENCE)
                await steps.onboard_or_log_in(home)
                await steps.wait_until_running(home, child, START_PATIENCE)
                yield child, home
        except (DemoError, AssertionError) as err:
            err.add_note(log.tail(child.log))
            raise


class Meters:
    """The entities, whose values are set by the REST interface at a known rate."""

    def __init__(self) -> None:
        """Begin without any value."""
        self.set: dict[tuple[str, datetime], float] = {}
        """What Home Assistant said it had taken, by field and time."""
        self._random = random.Random(SEED)

    async def set_one(self, home: HomeAssistant, entity_id: str) -> None:
        """Set a value that none was before, in kW, and note it in W."""
        watts = len(self.set) + 1
        answer = await home.post(
            f"/api/states/{entity_id}",
            {
                "state": f"{watts / 1000:.3f}",
                "attributes": {"unit_of_measurement": "kW", "device_class": "power"},
            },
        )
        updated = datetime.fromisoformat(answer["last_updated"])
        self.set[ENTITIES[entity_id], updated] = float(watts)

    async def set_for(self, home: HomeAssistant, seconds: float) -> None:
        """Set values one after the other, until the time is over or Home Assistant is."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            try:
                await self.set_one(home, self._random.choice(list(ENTITIES)))
            except (aiohttp.ClientError, DemoError):
                return
            await asyncio.sleep(DISTANCE)

    def since(self, begin: datetime) -> set[tuple[str, datetime]]:
        """Return what was set since a time."""
        return {key for key in self.set if key[1] >= begin}

    def assert_all_right(self, stored: Stored) -> None:
        """Make sure that nothing is stored that was not set."""
        for key, value in stored.items():
            assert key in self.set, f"{key} was never set, but stored as {value!r}"
            assert isinstance(value, float)
            assert value == pytest.approx(self.set[key], rel=1e-9), key


def stored_values(simulator: Simulator) -> Stored:
    """Return what the simulator has stored."""
    return {
        (name, EPOCH + timedelta(microseconds=point.time_ns // 1000)): value
        for point in simulator.store.points(measurement=steps.MEASUREMENT)
        for name, value in point.fields.items()
    }


async def wait_for(
    what: str, missing: Callable[[], int], patience: float = DRAIN_PATIENCE
) -> None:
    """Wait until nothing is missing."""
    until = time.monotonic() + patience
    while time.monotonic() < until:
        if not missing():
            return
        await asyncio.sleep(0.2)
    pytest.fail(f"{what}: {missing()} are missing after {patience:.0f} s")


@pytest.fixture
async def process(simulator: Simulator, tmp_path: Path) -> Process:
    """Return a Home Assistant that was not started yet."""
    if find_spec("hass_frontend") is None:
        pytest.fail("Home Assistant does not start without home-assistant-frontend")
    return Process(tmp_path / "config", simulator)


@pytest.mark.timeout(300)
async def test_kill_and_stop(
    process: Process,
    simulator: Simulator,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A kill costs two seconds at most of what waits, a stop nothing, and neither makes anything up."""
    asyncio.get_running_loop().set_debug(False)
    monkeypatch.setattr(steps, "EXPORTED", ENTITIES)
    meters = Meters()
    chance = random.Random(SEED)

    async with process.running() as (child, home):
        entry_id = await steps.ensure_entry(home, simulator.url)
        for entity_id in ENTITIES:
            await meters.set_one(home, entity_id)
        await steps.ensure_export(home, entry_id)
        await steps.ensure_loaded(home, START_PATIENCE)
        # The trial's own point is at no time of a value
        simulator.store.clear()
        for entity_id in ENTITIES:
            await meters.set_one(home, entity_id)
        await wait_for(
            "fields stored while all goes well",
            lambda: len(ENTITIES) - len({name for name, _ in stored_values(simulator)}),
        )
        begin = datetime.now(UTC)
        await simulator.stop()
        setting = asyncio.create_task(meters.set_for(home, 60))
        await asyncio.sleep(chance.uniform(4, 6))
        killed = datetime.now(UTC)
        child._signal(signal.SIGKILL)
        await child._started.wait()
        await setting
    waiting = meters.since(begin)
    due = {key for key in waiting if key[1] <= killed - LOSS}
    assert len(due) > 50, "enough was waiting"
    assert not due & stored_values(simulator).keys(), "nothing could be uploaded"

    await simulator.start(port=simulator.port)
    async with process.running() as (child, home):
        await wait_for(
            "values set before the kill",
            lambda: len(due - stored_values(simulator).keys()),
        )
        begin = datetime.now(UTC)
        await simulator.stop()
        setting = asyncio.create_task(meters.set_for(home, 60))
        await asyncio.sleep(chance.uniform(2.5, 4))
        # Values come in for as long as Home Assistant takes any
        await child.stop()
        await setting
    kept = meters.since(begin)
    assert len(kept) > 50, "enough was waiting"
    assert not kept & stored_values(simulator).keys(), "nothing could be uploaded"

    await simulator.start(port=simulator.port)
    async with process.running():
        await wait_for(
            "values set before the stop",
            lambda: len(kept - stored_values(simulator).keys()),
        )
    stored = stored_values(simulator)
    meters.assert_all_right(stored)
    lost = waiting - stored.keys()
    oldest = max((killed - key[1] for key in lost), default=timedelta())
    with capsys.disabled():
        sys.stdout.write(
            f"\nSeed {SEED}: {len(waiting)} values waited at the kill, {len(lost)} were"
            f" lost, the oldest of them {oldest.total_seconds():.2f} s old;"
            f" {len(kept)} waited at the stop, none was lost; {len(stored)} stored\n"
        )
    for console in sorted(process.folder.glob("console-*.log")):
        ours = [
            item.text for item in log.complaints(console, config_dir.ROOT) if item.ours
        ]
        assert all("cannot be reached" in text for text in ours), "\n".join(ours)
