"""What the oracle says of refusals, blocked fields, backups, power cuts, targets and the past."""

from dataclasses import replace
from pathlib import Path
import shutil
import subprocess
import sys

import pytest

from .exports import EXPORTS
from .flawless import FAULT, SECONDS, added, ended, judge, stored_at, value_at, without
from .holds import Holds
from .journal import SECOND, Key, Set
from .notes import Ask, Life, Reject, Restore, Run
from .power import Power

PAST = "chaosPast"
EVERYTHING = {FAULT: 2}
CONFLICT = (
    'field type conflict: input field "changePower0_W" on measurement "chaosChange"'
)


def refused(run: Run, seconds: range, reason: str) -> Run:
    """Return a run in which a field's values were set aside and not stored."""
    items = [value_at(run, second) for second in seconds]
    return replace(
        without(run, *(item.key for item in items)),
        rejects={item.key: Reject(item.value, reason) for item in items},
    )


@pytest.mark.parametrize(
    ("seconds", "wrong"), [(range(20, 22), 0), (range(20, 23), 1), (range(20, 50), 1)]
)
def test_refusal_of_everything(run: Run, seconds: range, wrong: int) -> None:
    """What waits for its end must not be set aside, but what was tried alone when it ended."""
    spoilt = refused(run, seconds, f"400 Bad Request ({FAULT})")
    verdict = judge(replace(spoilt, refusals=EVERYTHING))
    assert (len(verdict.wrong), verdict.lost) == (wrong, [])


def test_refusal_of_everything_excuses_no_loss(run: Run) -> None:
    missing = value_at(run, 25).key
    assert len(judge(replace(without(run, missing), refusals=EVERYTHING)).lost) == 1


@pytest.mark.parametrize(("seconds", "wrong"), [(range(20, 21), 0), (range(20, 30), 1)])
def test_blocked_field(run: Run, seconds: range, wrong: int) -> None:
    """The values of a field that is refused for a time wait, and are stored afterwards."""
    spoilt = refused(run, seconds, f"409 Conflict ({CONFLICT} is type float, …)")
    assert len(judge(replace(spoilt, refusals={CONFLICT: 1})).wrong) == wrong
    missing = value_at(run, 25).key
    assert len(judge(replace(without(run, missing), refusals={CONFLICT: 1})).lost) == 1


def test_failure_of_a_target_sets_nothing_aside(run: Run) -> None:
    spoilt = refused(run, range(20, 21), f"403 Forbidden ({FAULT})")
    assert len(judge(spoilt).wrong) == 1


def test_restored_backup_costs_what_came_after_it(run: Run) -> None:
    """What waited when the backup was made is still there, and so is what came after the restore."""
    missing = [value_at(run, second).key for second in (20, 26, 30, 38, 42)]
    spoilt = replace(
        without(run, *missing), restores=[Restore(30 * SECOND, 40 * SECOND)]
    )
    verdict = judge(spoilt)
    assert verdict.accounted == {"restored to the time of the backup": 2}
    assert len(verdict.lost) == 3


def test_power_cut_costs_two_seconds(run: Run) -> None:
    """It is judged as a kill: what was taken three seconds before has to be synced."""
    cut = ended(run, 40, killed=True)
    assert len(judge(without(cut, value_at(run, 36).key)).lost) == 1
    assert not judge(without(cut, value_at(run, 39).key)).lost


def test_another_target(run: Run) -> None:
    item = value_at(run, 30, "chaosBeside")
    verdict = judge(added(run, item.key, item.value, database="demo"))
    assert len(verdict.wrong) == 1
    assert "another series" in verdict.wrong[0]


def asked(run: Run, start: int, end: int, **details: bool) -> Run:
    """Return a run in which the past of some seconds was asked for when they were over, and was sent."""
    export = next(each for each in EXPORTS if each.measurement == PAST)
    values = [item for item in run.journal.values if item.key.measurement == PAST]
    offset = values[0].key.wall - values[0].at
    ask = Ask(
        PAST,
        start * SECOND + offset,
        end * SECOND + offset,
        (SECONDS - 5) * SECOND,
        **{"promised": True, **details},
    )
    sent = {
        item.key: stored_at(export, item.value)
        for item in values
        if ask.start <= item.key.wall < ask.end
    }
    return replace(
        run,
        stored={**run.stored, **sent},
        asks=[ask],
        recorded={item.key for item in values},
    )


def test_past(run: Run) -> None:
    verdict = judge(asked(run, 20, 30))
    assert (verdict.lost, verdict.wrong) == ([], [])
    assert verdict.sampled == judge(run).sampled + 10 * 4


def test_lost_past(run: Run) -> None:
    """What the recorder has of the range is due; what it has not, and what was not promised, is not."""
    complete = asked(run, 20, 30)
    key = value_at(run, 25, PAST).key
    spoilt = without(complete, key)
    assert len(judge(spoilt).lost) == 1
    assert not judge(replace(spoilt, recorded=spoilt.recorded - {key})).lost
    for details in ({"promised": False}, {"void": True}):
        assert not judge(without(asked(run, 20, 30, **details), key)).lost


def test_slow_stop() -> None:
    """A value holds until its process has ended, however long that stops, and no longer."""
    items = [
        Set("sensor.slow", Key("chaosLast", "slow_W", at * SECOND), at * SECOND, value)
        for at, value in ((1, 1.0), (20, 2.0))
    ]
    holds = Holds(items, [Life(0, 8 * SECOND), Life(19 * SECOND)])
    assert holds.problem_of_last(8 * SECOND, 1.0) is None
    assert holds.problem_of_last(9 * SECOND, 1.0) is not None


def test_refusals_of_the_past(run: Run) -> None:
    """Of a refusal that ended a value or two can be gone, but not the rest."""
    complete = replace(asked(run, 20, 30), past_refusals=2)
    missing = [value_at(run, second, PAST).key for second in (24, 25, 26)]
    assert not judge(without(complete, *missing[:2])).lost
    assert len(judge(without(complete, *missing)).lost) == 3


def test_past_that_nobody_asked_for(run: Run) -> None:
    """The value that held when the range began belongs to it; all others are wrong."""
    complete = asked(run, 20, 30)
    held = value_at(run, 19, PAST)
    assert not judge(added(complete, held.key, held.value)).wrong
    for second in (18, 31):
        item = value_at(run, second, PAST)
        assert len(judge(added(complete, item.key, item.value)).wrong) == 1


WRITER = """
import os, signal, sys
os.unlink("gone.outbox.db")
with open("kept.outbox.db", "r+b", buffering=0) as file:
    file.write(b"synced")
    os.fdatasync(file.fileno())
    file.write(b" and not")
open("never.outbox.db", "wb", buffering=0).write(b"never synced")
with open("old.outbox.db", "wb", buffering=0) as file:
    file.write(b"moved")
    os.fsync(file.fileno())
os.replace("old.outbox.db", "new.outbox.db")
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(not shutil.which("cc"), reason="There is no compiler")
def test_power_cut(tmp_path: Path) -> None:
    """What was not synced is cut off, whatever a process has written."""
    power = Power(tmp_path / "power")
    folder = tmp_path / "storage"
    folder.mkdir()
    for name in ("gone", "kept"):
        (folder / f"{name}.outbox.db").write_bytes(b"before")
        power.sync(folder / f"{name}.outbox.db")
    subprocess.run(
        [sys.executable, "-c", WRITER],
        cwd=folder,
        env={**power.environment, "LD_PRELOAD": str(power.library)},
        check=False,
    )
    assert power.cut(sorted(folder.iterdir()))
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == {
        "kept.outbox.db": b"synced",
        "new.outbox.db": b"moved",
    }
