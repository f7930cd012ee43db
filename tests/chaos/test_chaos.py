"""The harness: that its oracle catches what it is there for, and that a short run passes."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
import random
import subprocess
import sys
from types import SimpleNamespace
from typing import cast

import pytest

from scripts.demo.config_dir import ROOT

from . import logs
from .exports import EXPORTS
from .faults import kinds
from .flawless import (
    FAULT,
    SECONDS,
    SWITCH,
    WALL,
    added,
    ended,
    judge,
    value_at,
    without,
)
from .journal import SECOND, Key, Mark, read_journal
from .machine import Clock, Disk, damage
from .notes import Damage, Period, Reject, Run
from .power import Power
from .report import Report, describe
from .run import usable_kinds
from .scenario import plan
from .world import World


def test_nothing_wrong(run: Run) -> None:
    verdict = judge(run)
    assert (verdict.lost, verdict.wrong) == ([], [])
    assert verdict.sampled > 28 * (SECONDS - 3)
    assert not verdict.accounted


@pytest.mark.parametrize("measurement", ["chaosChange", "chaosSwitched"])
def test_lost(run: Run, measurement: str) -> None:
    verdict = judge(without(run, value_at(run, 30, measurement).key))
    assert len(verdict.lost) == 1
    assert not verdict.wrong


def test_lost_with_a_shortest_distance(run: Run) -> None:
    """A distance explains that some values are missing, but not any number of them."""
    field = value_at(run, 30, "chaosShortest").key.field
    gone = [
        key
        for key in run.stored
        if key.field == field and 20 <= (key.wall - WALL) // SECOND < 32
    ]
    verdict = judge(without(run, *gone))
    assert len(verdict.lost) == 1
    assert not verdict.wrong


@pytest.mark.parametrize("measurement", ["chaosLast", "chaosMean"])
def test_lost_interval(run: Run, measurement: str) -> None:
    gone = next(
        key
        for key in run.stored
        if key.measurement == measurement and key.wall == WALL + 30 * SECOND
    )
    verdict = judge(without(run, gone))
    assert len(verdict.lost) == 1
    assert not verdict.wrong


def test_last_value_before_a_start_is_due(run: Run) -> None:
    """What an entity has when the account is loaded is sampled, what it had before is not."""
    values = [item for item in run.journal.values if item.at < 2 * SECOND]
    strict = [item.key for item in values if item.key in run.stored]
    assert len(judge(without(run, *strict)).lost) == sum(
        len(export.fields) for export in EXPORTS if export.every_value
    )


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (lambda run: added(run, value_at(run, 30).key, 1.5), "was set"),
        (lambda run: added(run, value_at(run, 30).key, "1.0"), "was set"),
        (
            # The same value at two times
            lambda run: added(
                run,
                value_at(run, 30).key._replace(wall=WALL + 30 * SECOND + 500),
                value_at(run, 30).value,
            ),
            "nothing was set at that time",
        ),
        (
            lambda run: added(run, Key("chaosLast", "lastPower0_W", WALL + 1), 50.0),
            "not at an interval's time",
        ),
        (
            lambda run: added(
                run,
                Key("chaosLast", "lastPower0_W", WALL + 30 * SECOND),
                value_at(run, 20, "chaosLast").value,
            ),
            "held at",
        ),
        (
            lambda run: added(
                run, Key("chaosMean", "meanPower0_W", WALL + 30 * SECOND), 50.0
            ),
            "outside of",
        ),
        (
            lambda run: added(
                run,
                value_at(run, 30).key,
                value_at(run, 30).value,
                retention_policy="rp_one_m",
            ),
            "another series",
        ),
        (
            lambda run: added(
                run, value_at(run, 30).key, value_at(run, 30).value, tags={"a": "b"}
            ),
            "another series",
        ),
    ],
)
def test_wrong(run: Run, spoil: Callable[[Run], Run], problem: str) -> None:
    verdict = judge(spoil(run))
    assert len(verdict.wrong) == 1
    assert problem in verdict.wrong[0]
    assert not verdict.lost


def test_kill_costs_two_seconds(run: Run) -> None:
    killed = ended(run, 40, killed=True)
    late, early = value_at(run, 39), value_at(run, 36)
    verdict = judge(without(killed, late.key, early.key))
    assert verdict.accounted == {"just before a kill": 1}
    assert len(verdict.lost) == 1
    assert early.key.field in verdict.lost[0]


def test_stop_costs_nothing(run: Run) -> None:
    stopped = ended(run, 40, killed=False)
    assert len(judge(without(stopped, value_at(run, 39).key)).lost) == 1


def test_bad_disk_costs_what_is_in_memory_at_a_kill(run: Run) -> None:
    missing = [value_at(run, second).key for second in (20, 32, 35)]
    bad = [Period(30 * SECOND, 45 * SECOND)]
    killed = replace(ended(run, 40, killed=True), disk=bad)
    verdict = judge(without(killed, *missing))
    assert verdict.accounted == {"in memory without a disk at the end of a process": 2}
    assert len(verdict.lost) == 1
    # Without the kill it costs nothing at all
    assert len(judge(replace(without(run, *missing), disk=bad)).lost) == 3


def test_damage_costs_what_waited(run: Run) -> None:
    waited, other = value_at(run, 20).key, value_at(run, 21).key
    after, late = value_at(run, 31).key, value_at(run, 40).key
    harmed = Damage(30 * SECOND, {waited}, 33 * SECOND)
    verdict = judge(replace(without(run, waited, other, after, late), damages=[harmed]))
    assert verdict.accounted == {"in a damaged outbox": 2}
    assert len(verdict.lost) == 2


def test_rejects(run: Run) -> None:
    """A value may be refused where a fault refused it, and nowhere else."""
    item = value_at(run, 30)
    refused = replace(
        without(run, item.key),
        rejects={item.key: Reject(item.value, f"409 Conflict ({FAULT})")},
    )
    verdict = judge(replace(refused, refusals={FAULT: 1}))
    assert (verdict.lost, verdict.wrong, verdict.rejected) == ([], [], 1)
    assert len(judge(refused).wrong) == 1
    other = {item.key: Reject(1.5, FAULT)}
    assert len(judge(replace(refused, rejects=other, refusals={FAULT: 1})).wrong) == 1


def test_time_out_of_range_is_a_reason_when_the_clock_was_set(run: Run) -> None:
    item = value_at(run, 30)
    reason = "409 Conflict (time … is outside the allowed time range)"
    refused = replace(
        without(run, item.key), rejects={item.key: Reject(item.value, reason)}
    )
    assert judge(refused).wrong
    assert not judge(replace(refused, true_wall=WALL - 7200 * SECOND)).wrong


def test_switched_off(run: Run) -> None:
    """What is set while an export is off is not collected; what there is when it is on again is."""
    marks = [
        Mark(SWITCH, WALL + 20 * SECOND + 500_000, 20 * SECOND + 500_000, "off"),
        Mark(
            SWITCH, WALL + 24 * SECOND + 500_000, 24 * SECOND + 500_000, "unavailable"
        ),
        Mark(SWITCH, WALL + 30 * SECOND + 500_000, 30 * SECOND + 500_000, "on"),
    ]
    switched = replace(run, journal=replace(run.journal, switches=marks))
    off = [
        key
        for key in run.stored
        if key.measurement == "chaosSwitched"
        and 21 * SECOND <= key.wall - WALL < 31 * SECOND
        and key.wall - WALL < 30 * SECOND + 500_000
    ]
    assert len(judge(switched).wrong) == len(off)
    switched = without(switched, *off)
    assert judge(switched).wrong == []
    assert judge(switched).lost == []
    item = value_at(run, 30, "chaosSwitched")
    now = item.key._replace(wall=WALL + 30 * SECOND + 500_100)
    assert judge(added(switched, now, item.value)).wrong == []
    older = value_at(run, 28, "chaosSwitched").value
    assert len(judge(added(switched, now, older)).wrong) == 1


def test_plan() -> None:
    """A seed makes the same plan, another one another, and no kind is missing for long."""
    every = list(kinds())
    assert plan(every, 7, 300) == plan(every, 7, 300)
    assert plan(every, 7, 300) != plan(every, 8, 300)
    assert {item.kind for item in plan(every, 7, 600)} == set(every)
    assert all(item.at < 300 for item in plan(every, 7, 300))


def test_journal(tmp_path: Path) -> None:
    file = tmp_path / "journal.txt"
    file.write_text(
        "entry abc 1000 10 loaded\n"
        "value sensor.chaos_change_power_3 1020 30 25\n"
        "value sensor.chaos_change_word_0 1021 31 66\n"
        "entity switch.chaos_switched 1030 40 off\n"
        "stop - 1040 50 -\n"
        "value sensor.chaos_change_po",
        "ascii",
    )
    journal = read_journal(file)
    assert journal.entry == [Mark("abc", 1000, 10, "loaded")]
    assert journal.switches == [Mark("switch.chaos_switched", 1030, 40, "off")]
    assert journal.stops == [50]
    assert [(item.key, item.at, item.value) for item in journal.values] == [
        (Key("chaosChange", "changePower3_W", 1020), 30, 25.0),
        (Key("chaosChange", "changeWord0", 1021), 31, "word66"),
    ]


def test_logs(tmp_path: Path) -> None:
    """A secret, a traceback and what no fault explains are found; what one explains is not."""
    file = tmp_path / "console.log"
    begin = "2026-07-01 12:00:00.000 WARNING (MainThread) [custom_components.eniris] "
    waits = "Values for demo (rp_one_s) cannot be uploaded at present and wait: no"
    file.write_text(f"{begin}{waits}\n", "utf-8")
    assert logs.problems([file], {"s3cr3t"}, set()) == []
    file.write_text(f"{begin}{waits} s3cr3t\n", "utf-8")
    assert len(logs.problems([file], {"s3cr3t"}, set())) == 1
    file.write_text(f"{begin}Something else\n", "utf-8")
    assert len(logs.problems([file], set(), set())) == 1
    file.write_text(f"{begin}{waits}\nTraceback (most recent call last):\n", "utf-8")
    assert len(logs.problems([file], set(), set())) == 1


def test_damage(tmp_path: Path) -> None:
    """Whole pages are overwritten, and the file keeps its size."""
    file = tmp_path / "outbox.db"
    file.write_bytes(b"x" * 10 * 4096)
    damage(file, random.Random(1))
    content = file.read_bytes()
    pages = [content[start : start + 4096] for start in range(0, len(content), 4096)]
    assert len(content) == 10 * 4096
    assert 1 <= sum(page != b"x" * 4096 for page in pages) <= 6


def test_what_is_left_out_is_told(tmp_path: Path) -> None:
    """Where a machine does not permit a kind of fault, the figures say so."""
    clock = Clock(tmp_path / "clock")
    clock.library = None
    power = Power(tmp_path / "power")
    power.library = None
    parts = SimpleNamespace(
        home=SimpleNamespace(disk=Disk(tmp_path), clock=clock, power=power), struck={}
    )
    report = Report(1, 5)
    usable = usable_kinds(list(kinds()), cast("World", parts), report)
    assert {kind.needs for kind in usable} == {None}
    text = describe(report)
    assert "LEFT OUT for want of mounts: 3 kinds" in text
    assert "LEFT OUT for want of faketime: 3 kinds" in text
    assert "LEFT OUT for want of a C compiler: 2 kinds" in text


@pytest.mark.timeout(300)
def test_short_run() -> None:
    """A run of a few kinds, as the command makes it."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "tests.chaos", "--minutes", "0.2", "--seed", "3"),
            *("--kinds", "503 of write,409 of write,lost answers,duplicate"),
        ],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Lost: 0; wrong: 0; other problems: 0" in done.stdout
