"""Mending what waits: moved or renamed, nothing lost or doubled, all of it or none."""

from contextlib import closing
from pathlib import Path
import sqlite3
from typing import Any

import pytest

from custom_components.eniris.api import WriteTarget
from custom_components.eniris.exporting.config import Series
from custom_components.eniris.exporting.lane import Lane
from custom_components.eniris.exporting.mending import Mending, NamedField
from custom_components.eniris.exporting.outbox import Outbox, OutboxError

from .conftest import OTHER_TARGET, SERIES, TARGET, at, sample

NEW = WriteTarget("right-ingress", "right", "rp_one_m")
HOT = NamedField(TARGET, SERIES.measurement, "hot")
CONFLICT = "409 Conflict (field type conflict)"


@pytest.fixture(autouse=True)
def no_sockets(socket_enabled: None) -> None:
    """Let the event loop have its own."""


@pytest.fixture
def mending(outbox: Outbox) -> Mending:
    """Return what mends the outbox."""
    return Mending(outbox)


def with_tag(target: WriteTarget, tag: str) -> Series:
    """Return a series of a target."""
    return Series(target, "gridMetrics", (("serialNr", tag),))


async def contents(outbox: Outbox, target: WriteTarget) -> list[tuple[Any, ...]]:
    """Return what waits for a target, in its order."""
    return [
        (stored.export_id, dict(stored.tags)["serialNr"], stored.field, stored.value)
        for stored in await outbox.batch(target)
    ]


async def waiting(outbox: Outbox) -> dict[str, int]:
    """Return how many wait by export, and check that this is what can be counted."""
    figures = {
        name: figures.waiting for name, figures in (await outbox.figures()).items()
    }
    counted = await outbox.run(
        lambda db: dict(
            db.execute(
                "SELECT name, (SELECT count(*) FROM sample WHERE export_id = export.id)"
                " FROM export"
            ).fetchall()
        )
    )
    assert figures == counted
    return figures


async def fill(outbox: Outbox) -> None:
    """Have values of two series and two exports wait for one target, and one for another."""
    await outbox.add(
        [
            sample(0, 1.0, series=with_tag(TARGET, "a")),
            sample(1, 2.0, series=with_tag(TARGET, "b"), export_id="second"),
            sample(2, 3.0, series=with_tag(OTHER_TARGET, "a")),
            sample(3, 4.0, series=with_tag(TARGET, "a")),
        ]
    )


async def test_move(outbox: Outbox, mending: Mending) -> None:
    """All that waits for a target waits for the other, in its order; nothing else does."""
    await fill(outbox)
    assert await mending.waiting(TARGET) == 3
    assert await mending.move(TARGET, NEW) == 3
    assert await outbox.targets() == [OTHER_TARGET, NEW]
    assert await contents(outbox, NEW) == [
        ("export", "a", "actualPowerTot_W", 1.0),
        ("second", "b", "actualPowerTot_W", 2.0),
        ("export", "a", "actualPowerTot_W", 4.0),
    ]
    assert await contents(outbox, OTHER_TARGET) == [
        ("export", "a", "actualPowerTot_W", 3.0)
    ]
    assert await waiting(outbox) == {"export": 3, "second": 1}
    assert await mending.waiting(TARGET) == 0


async def test_move_to_series_that_are_there(outbox: Outbox, mending: Mending) -> None:
    """What waits for the right target already keeps its place, and equal series become one."""
    await outbox.add([sample(9, 9.0, series=with_tag(NEW, "a"))])
    await fill(outbox)
    await mending.move(TARGET, NEW)
    assert [row[1:] for row in await contents(outbox, NEW)] == [
        ("a", "actualPowerTot_W", 9.0),
        ("a", "actualPowerTot_W", 1.0),
        ("b", "actualPowerTot_W", 2.0),
        ("a", "actualPowerTot_W", 4.0),
    ]
    series = await outbox.run(
        lambda db: db.execute(
            "SELECT count(DISTINCT series_id) FROM sample JOIN target"
            " ON target.id = target_id WHERE database = 'right'"
        ).fetchone()
    )
    assert series == (2,)
    # And back again
    assert await mending.move(NEW, TARGET) == 4
    assert len(await contents(outbox, TARGET)) == 4


async def test_move_what_is_new_in_every_way(outbox: Outbox, mending: Mending) -> None:
    """To itself, and from where nothing ever was, is nothing."""
    await fill(outbox)
    before = await contents(outbox, TARGET)
    assert await mending.move(TARGET, TARGET) == 0
    assert await mending.move(WriteTarget("a", "b", "c"), NEW) == 0
    assert await contents(outbox, TARGET) == before


async def test_move_the_past(outbox: Outbox, mending: Mending) -> None:
    """What waits of the past goes along."""
    lane = Lane(outbox)
    await lane.ask("export", at(-100), at(0))
    [job] = await lane.jobs()
    await lane.add(job, at(-50), [sample(-20, 1.0), sample(-10, 2.0)])
    assert await mending.waiting(TARGET) == 2
    assert await mending.move(TARGET, NEW) == 2
    assert await lane.targets(job.id) == [NEW]
    _, samples = await lane.batch(NEW, None)
    assert [stored.value for stored in samples] == [1.0, 2.0]


async def test_what_is_set_aside_stays(outbox: Outbox, mending: Mending) -> None:
    """A refusal was that of the target that it came from."""
    await fill(outbox)
    [first, *_] = await outbox.batch(TARGET)
    await outbox.reject(first, CONFLICT)
    await mending.move(TARGET, NEW)
    [reject] = await outbox.rejects()
    assert reject.target == TARGET
    assert reject.sample.value == 1.0


async def test_answer_after_a_move(outbox: Outbox, mending: Mending) -> None:
    """What was under way when it was moved is forgotten by its ids, as it is stored."""
    await fill(outbox)
    under_way = await outbox.batch(TARGET, limit=2)
    await mending.move(TARGET, NEW)
    await outbox.delete_uploaded(under_way)
    assert [row[3] for row in await contents(outbox, NEW)] == [4.0]
    assert await waiting(outbox) == {"export": 2, "second": 0}


@pytest.mark.parametrize("table", ["sample", "history_sample"])
async def test_a_move_that_ends_in_the_middle(
    outbox: Outbox, mending: Mending, tmp_path: Path, table: str
) -> None:
    """Everything is as it was before, in the file as well; afterwards the move can be made."""
    await fill(outbox)
    lane = Lane(outbox)
    await lane.ask("export", at(-100), at(0))
    [job] = await lane.jobs()
    await lane.add(job, at(-50), [sample(-20, series=with_tag(TARGET, "b"))])
    before = await contents(outbox, TARGET)
    # The series of tag `a` is through when that of tag `b` fails
    await outbox.run(
        lambda db: db.execute(
            f"CREATE TEMP TRIGGER stop BEFORE UPDATE ON main.{table}"
            " WHEN OLD.series_id = (SELECT id FROM series WHERE tags LIKE '%\"b\"%')"
            " BEGIN SELECT RAISE(ABORT, 'stopped'); END"
        )
    )
    with pytest.raises(OutboxError, match="stopped"):
        await mending.move(TARGET, NEW)
    with closing(sqlite3.connect(tmp_path / "outbox.db")) as db:
        assert db.execute("SELECT database FROM target ORDER BY id").fetchall() == [
            (TARGET.database,),
            (OTHER_TARGET.database,),
        ]
    assert await contents(outbox, TARGET) == before
    assert await waiting(outbox) == {"export": 3, "second": 1}
    await outbox.run(lambda db: db.execute("DROP TRIGGER stop"))
    assert await mending.move(TARGET, NEW) == 4
    assert await mending.waiting(NEW) == 4


async def conflict(outbox: Outbox) -> None:
    """Have values of one name set aside for their type and otherwise, and others wait."""
    await outbox.add(
        [
            sample(0, 1.0, "hot"),
            sample(1, 2.0, "hot"),
            sample(2, 3.0, "hot", export_id="second"),
            sample(3, 4.0, "other"),
            sample(4, 5.0, "hot"),
            sample(5, 6.0, "hot"),
        ]
    )
    samples = await outbox.batch(TARGET)
    for stored in (samples[0], samples[1], samples[2], samples[3]):
        await outbox.reject(stored, CONFLICT)
    await outbox.reject(samples[4], "409 Conflict (outside the allowed range)")


async def test_rename(outbox: Outbox, mending: Mending) -> None:
    """What was set aside for its type waits again, under the new name, beside what waited."""
    await conflict(outbox)
    assert await mending.held_back(HOT, ["export"]) == 3
    assert await mending.held_back(HOT) == 3
    assert await mending.rename(HOT, ["export"], "hotter") == 3
    assert [row[2:] for row in await contents(outbox, TARGET)] == [
        ("hotter", 6.0),
        ("hotter", 1.0),
        ("hotter", 2.0),
    ]
    assert [reject.sample.value for reject in await outbox.rejects()] == [5.0, 4.0, 3.0]
    assert await waiting(outbox) == {"export": 3, "second": 0}
    assert await mending.held_back(HOT, ["export"]) == 0


async def test_forget(outbox: Outbox, mending: Mending) -> None:
    """What was set aside for its type goes; what still waited under the name counts as dropped."""
    await conflict(outbox)
    assert await mending.forget(HOT, ["export"]) == 3
    assert await contents(outbox, TARGET) == []
    assert [reject.sample.value for reject in await outbox.rejects()] == [5.0, 4.0, 3.0]
    assert (await outbox.figures())["export"].dropped == 1
    assert await waiting(outbox) == {"export": 0, "second": 0}


async def test_forget_what_nobody_exports(outbox: Outbox, mending: Mending) -> None:
    """Whoever it came from; what waits is not touched."""
    await conflict(outbox)
    assert await mending.forget(HOT) == 3
    assert [row[2:] for row in await contents(outbox, TARGET)] == [("hot", 6.0)]
    assert [reject.sample.value for reject in await outbox.rejects()] == [5.0, 4.0]


async def test_other_places_are_not_touched(outbox: Outbox, mending: Mending) -> None:
    """The same name of another measurement or target is another field."""
    await conflict(outbox)
    for named in (
        NamedField(OTHER_TARGET, SERIES.measurement, "hot"),
        NamedField(TARGET, "otherMetrics", "hot"),
        NamedField(TARGET, SERIES.measurement, "hotter"),
    ):
        assert await mending.held_back(named, ["export", "second"]) == 0
        assert await mending.rename(named, ["export", "second"], "x") == 0
        assert await mending.forget(named) == 0
    assert len(await outbox.rejects()) == 5


async def test_dropped_in_memory(outbox: Outbox) -> None:
    """What never reached the disk is counted all the same, also of an export without a sample."""
    await outbox.note_dropped({"export": 3, "new": 2})
    await outbox.note_dropped({"export": 1})
    figures = await outbox.figures()
    assert {name: its.dropped for name, its in figures.items()} == {
        "export": 4,
        "new": 2,
    }
