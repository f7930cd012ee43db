"""One run: set up, strike by the plan, clear everything, compare."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
import pickle
import platform
import random
import shutil
import tempfile
import time
import traceback
from typing import Final

from scripts.demo.config_dir import ROOT
from scripts.demo.errors import DemoError
from simulator.server import Simulator
from simulator.tokens import TokenKind
from simulator.world import HomeWorld

from . import logs
from .controlled import Controlled
from .door import GoneError
from .exports import EXPORTS, OTHER_DATABASE
from .home import USER, Home
from .journal import Set
from .kind import Kind
from .machine import Clock
from .oracle import Judge
from .past import missing_of_the_past
from .proxy import Proxy
from .report import Report
from .scenario import Planned, plan
from .world import World, now

SLACK: Final = 240.0
"""Seconds for all that comes before and after the faults; a busy machine takes a third of it."""

LOOK_EVERY: Final = 2.0
REFRESH_EVERY: Final = 10.0
SETTLE_PATIENCE: Final = 60.0
IMPORT_PATIENCE: Final = 45.0
HEALTHY: Final = 3.0
"""Seconds for which a system that works is watched."""
_UNUSABLE: Final = {"unavailable", None}


async def run(seed: int, minutes: float, kinds: list[Kind], *, mounts: bool) -> Report:
    """Make a run and return its figures."""
    report = Report(seed, minutes)
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    secrets: set[str] = set()
    try:
        async with _world(folder, seed, secrets, mounts=mounts) as world:
            usable = usable_kinds(kinds, world, report)
            planned = plan(usable, seed, minutes * 60)
            try:
                async with asyncio.timeout(minutes * 60 + SLACK):
                    await _carry_out(world, planned, report, secrets)
            except (DemoError, GoneError, TimeoutError) as err:
                report.problems.append(f"the run broke off: {err!r}")
                if world.home.logs:
                    report.problems.append(logs.tail(world.home.logs[-1]))
            report.problems += world.problems
            report.starts = len(world.lives)
            report.struck = +world.struck
        families = {kind.family for kind in usable}
        report.problems += logs.problems(world.home.logs, secrets, families)
        if not report.passed:
            report.evidence = _keep(folder, seed)
    except BaseException:
        # Also when it is interrupted: the evidence goes with the folder, and the error goes on
        _keep(folder, seed)
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return report


@asynccontextmanager
async def _world(
    folder: Path, seed: int, secrets: set[str], *, mounts: bool
) -> AsyncIterator[World]:
    """Provide all parts, and take them away whatever happens."""
    password = f"chaos-{random.Random(seed).getrandbits(64):016x}"
    secrets.add(password)
    home_world = HomeWorld(seed=1)
    simulator = Simulator(home_world, tier="unlimited")
    controlled = Controlled(home_world)
    secrets.add(controlled.password)
    simulator.accounts[USER].password = password
    simulator.switches.namespaces |= {
        (OTHER_DATABASE, export.retention_policy) for export in EXPORTS
    }
    _collect_tokens(simulator, secrets)
    scratch = folder / "scratch"
    scratch.mkdir()
    async with simulator, controlled.simulated, Proxy(simulator.port) as proxy:
        home = Home(folder / "config", simulator.port, Clock(folder / "clock"))
        if mounts:
            home.disk.mount()
        world = World(simulator, proxy, home, controlled, password, scratch)
        try:
            yield world
        finally:
            await controlled.close()
            await world.kill()
            home.disk.unmount()


def _collect_tokens(simulator: Simulator, secrets: set[str]) -> None:
    issue = simulator.mint.issue

    def collecting(kind: TokenKind, user_id: int) -> str:
        token = issue(kind, user_id)
        secrets.add(token)
        return token

    simulator.mint.issue = collecting  # type: ignore[method-assign]


def usable_kinds(kinds: list[Kind], world: World, report: Report) -> list[Kind]:
    """Return the kinds that this machine permits, and note the others."""
    permitted = {
        None: True,
        "mounts": world.home.disk.mounted,
        "faketime": world.home.clock.library is not None,
        "a C compiler": world.home.power.library is not None,
    }
    report.left_out = Counter(
        kind.needs for kind in kinds if kind.needs and not permitted[kind.needs]
    )
    return [kind for kind in kinds if permitted[kind.needs]]


async def _carry_out(
    world: World, planned: list[Planned], report: Report, secrets: set[str]
) -> None:
    await world.start()
    await world.home.set_up(world.simulator.url, world.proxy.url, world.password)
    await world.controlled.set_up(world.home)
    secrets.add(world.controlled.webhook.token)
    await world.home.wait_until_loaded()
    await world.home.refresh()
    usable = await _imported(world)
    # The trials' own points are at no time of a value, and those of the past were on for a moment
    await world.home.upload_now()
    await asyncio.sleep(3)
    world.simulator.store.clear()
    world.begin = now()
    world.recorded_since = world.true_wall() - round(HEALTHY * 1_000_000)
    await _judge_health(world, report)
    async with asyncio.TaskGroup() as group:
        loops = [
            group.create_task(_look_on(world, report)),
            group.create_task(_ask_often(world)),
        ]
        try:
            await _strike(world, planned, report)
        finally:
            for loop in loops:
                loop.cancel()
    await _clear(world)
    await _ask_again(world)
    end = await _settle(world, report)
    await _judge_import(world, usable, report)
    report.problems += await world.controlled.judge(world.home)
    await world.proxy.settle()
    await world.home.stop()
    _judge_schedules(world, report)
    for file in world.home.outbox_files():
        # Beside the logs, where it tells why something still waits
        shutil.copy(file, world.scratch.parent)
    world.judge_files("in the end")
    known = await world.as_run(end)
    # With this the oracle can be asked again, without the run
    (world.scratch.parent / "run.pickle").write_bytes(pickle.dumps(known))
    report.verdict = Judge(known).judge()
    report.duplicates = world.simulator.store.overwritten
    report.requests = world.simulator.log.count("POST /v1/telemetry")
    if (
        report.verdict.accounted["in a damaged outbox"]
        and "outbox_damaged" not in world.issues
    ):
        report.problems.append("nobody was told that the outbox was damaged")


async def _strike(world: World, planned: list[Planned], report: Report) -> None:
    """Inject all faults at their moments, and wait for the last one to be over."""
    began = time.monotonic()
    tasks: set[asyncio.Task[None]] = set()
    seconds = report.minutes * 60

    async def inject(item: Planned) -> None:
        chance = random.Random(item.seed)
        if item.kind.deck == "machine":
            async with world.machine:
                if time.monotonic() - began > seconds:
                    report.not_injected += 1
                    return
                report.injected[item.kind.family] += 1
                world.note(f"{item.kind.name} for {item.seconds:.1f} s")
                await item.kind.inject(world, chance, item.seconds)
                world.note(f"{item.kind.name} is over")
        else:
            report.injected[item.kind.family] += 1
            world.note(f"{item.kind.name} for {item.seconds:.1f} s")
            await item.kind.inject(world, chance, item.seconds)

    for item in planned:
        await asyncio.sleep(max(0.0, began + item.at - time.monotonic()))
        task = asyncio.create_task(inject(item), name=item.kind.name)
        tasks.add(task)
        for done in [task for task in tasks if task.done()]:
            tasks.discard(done)
            _note_failure(done, report)
    await asyncio.sleep(max(0.0, began + seconds - time.monotonic()))
    for done in tasks:
        await asyncio.wait([done])
        _note_failure(done, report)


def _note_failure(task: asyncio.Task[None], report: Report) -> None:
    """Note a fault that could not be injected or cleared as it should."""
    if (err := task.exception()) is not None and not isinstance(err, GoneError):
        text = "".join(traceback.format_exception(err))
        report.problems.append(f"{task.get_name()} failed: {text}")


async def _look_on(world: World, report: Report) -> None:
    """Note what can be seen meanwhile, and log in where that is asked for."""
    highest: dict[str, float] = {}
    while True:
        await asyncio.sleep(LOOK_EVERY)
        await world.look()
        _judge_schedules(world, report)
        with suppress(GoneError, DemoError):
            if await world.home.log_in_again(world.password):
                world.note("logged in again")
            for entity_id, total in (await world.home.totals()).items():
                before = highest.get(entity_id, total)
                if total < before - 1e-6:
                    report.problems.append(
                        f"{entity_id} went back from {before} to {total}"
                    )
                highest[entity_id] = total


def _judge_schedules(world: World, report: Report) -> None:
    """See to it that what was asked of the controller ends by itself, whoever is killed."""
    for problem in world.controlled.problems(clock_was_set=len(world.clock_set) > 1):
        if problem not in report.problems:
            report.problems.append(problem)


async def _ask_often(world: World) -> None:
    while True:
        await asyncio.sleep(REFRESH_EVERY)
        with suppress(GoneError):
            await world.home.refresh()


async def _imported(world: World) -> set[str]:
    """Return the imported entities that have a value."""
    states = await world.home.states()
    return {
        entity_id
        for entity_id in await world.home.imported()
        if states.get(entity_id) not in _UNUSABLE
    }


async def _clear(world: World) -> None:
    """Put everything in order, as its owner would."""
    world.simulator.faults.clear()
    world.simulator.switches.refuse_fields.clear()
    world.set_clock(0)
    await world.controlled.clear()
    await asyncio.to_thread(world.home.disk.clear)
    await asyncio.sleep(2)
    if not world.home.running:
        await world.start()
    for _ in range(5):
        if not await world.home.log_in_again(world.password):
            break
        await asyncio.sleep(2)
    await world.home.wait_until_loaded()
    for export in EXPORTS:
        if not export.past:
            entity_id = world.home.switches[export.measurement]
            await world.home.control.act("switch", "turn_on", entity_id=entity_id)


async def _judge_health(world: World, report: Report) -> None:
    """See to it that nothing is written to the disk while everything works."""
    for _ in range(3):
        await asyncio.sleep(HEALTHY)
        before = _written(world)
        await asyncio.sleep(HEALTHY)
        if _written(world) == before:
            return
    report.problems.append("the outbox was written to while everything worked")


def _written(world: World) -> dict[str, tuple[int, int]]:
    """Return what tells whether the files of the outbox were written to."""
    return {
        file.name: (status.st_mtime_ns, status.st_size)
        for file in world.home.outbox_files()
        if not file.name.endswith("-shm")
        for status in (file.stat(),)
    }


async def _ask_again(world: World) -> None:
    """Ask once more for what was asked of an outbox that was damaged or replaced."""
    await asyncio.sleep(5)
    for ask in [ask for ask in world.asks if ask.promised and ask.void]:
        await world.ask_for_past(ask.measurement, ask.start, ask.end)


async def _settle(world: World, report: Report) -> int:
    """End the values, wait until none waits any more, and return when they ended."""
    await asyncio.sleep(3)
    await world.home.control.act("chaos_meters", "pause")
    end = now()
    strict = {export.measurement for export in EXPORTS if export.every_value}
    waiting: dict[str, str] = {}
    missing: list[Set] = []
    until = time.monotonic() + SETTLE_PATIENCE
    while time.monotonic() < until:
        await asyncio.sleep(1)
        await world.home.upload_now()
        await world.home.log_in_again(world.password)
        waiting = await world.home.waiting()
        if any(waiting.get(measurement) != "0" for measurement in strict):
            continue
        missing = missing_of_the_past(await world.as_run(end))
        if len(missing) <= world.past_refusals:
            break
    else:
        report.problems.append(
            f"values still wait: {waiting}, {len(missing)} of the past"
        )
    # Intervals go on; those that had ended are through by now
    await asyncio.sleep(2)
    await world.home.upload_now()
    await world.look()
    return end


async def _judge_import(world: World, usable: set[str], report: Report) -> None:
    """See to it that what was imported before is again."""
    until = time.monotonic() + IMPORT_PATIENCE
    missing = usable
    reloaded = False
    while time.monotonic() < until:
        await world.home.refresh()
        missing = usable - await _imported(world)
        if not missing:
            return
        if not reloaded and time.monotonic() > until - IMPORT_PATIENCE / 2:
            # A ban has it wait for five minutes, which is as it should be
            await world.home.reload()
            reloaded = True
        await asyncio.sleep(2)
    report.problems.append(f"not available any more: {sorted(missing)}")


def _keep(folder: Path, seed: int) -> Path:
    """Keep what tells why a run failed."""
    kept = ROOT / ".cache" / "chaos" / f"{seed}-{platform.python_version()}"
    shutil.rmtree(kept, ignore_errors=True)
    kept.mkdir(parents=True)
    for file in folder.iterdir():
        if file.is_file():
            shutil.copy(file, kept)
    return kept
