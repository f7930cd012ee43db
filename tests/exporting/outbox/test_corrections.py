"""What waits under a wrong target or name: moved, renamed or dropped, all of it or none, nothing lost or doubled."""

from collections.abc import Iterator
from typing import Any

import pytest

from custom_components.eniris.api import WriteTarget
from custom_components.eniris.exporting.config import Series
from custom_components.eniris.exporting.outbox.batches import (
    FieldKey,
    Sample,
    Settlement,
    to_blocks,
)
from custom_components.eniris.exporting.outbox.corrections import (
    count_blocked,
    count_waiting,
    discard,
    discard_blocked,
    move,
    rename_blocked,
)
from custom_components.eniris.exporting.outbox.outbox import Outbox
from custom_components.eniris.exporting.outbox.rows import Rows
from custom_components.eniris.exporting.outbox.store import OutboxError
from tests.exporting.conftest import OTHER_TARGET, SERIES, TARGET, sample
from tests.kit.outbox import next_batch, put, waiting

NEW = WriteTarget("right-ingress", "right", "rp_one_m")
HOT = FieldKey(TARGET, SERIES.measurement, "hot", "float")


def with_tag(target: WriteTarget, tag: str) -> Series:
    """Return a series of a target."""
    return Series(target, "gridMetrics", (("serialNr", tag),))


async def contents(outbox: Outbox, target: WriteTarget) -> list[tuple[Any, ...]]:
    """Return what waits for a target, in its order."""
    return [
        (each.export_id, dict(each.series.tags)["serialNr"], each.field, each.value)
        for each in await waiting(outbox, target)
    ]


async def counts(outbox: Outbox) -> dict[str, int]:
    """Return how many wait by export."""
    return {name: its.waiting for name, its in (await outbox.refresh_figures()).items()}


async def fill(outbox: Outbox) -> None:
    """Have values of two series and two exports wait for one target, and one for another."""
    await put(
        outbox,
        sample(0, 1.0, series=with_tag(TARGET, "a")),
        sample(1, 2.0, series=with_tag(TARGET, "b"), export_id="second"),
        sample(2, 3.0, series=with_tag(OTHER_TARGET, "a")),
    )
    # In memory still
    outbox.add(to_blocks([sample(3, 4.0, series=with_tag(TARGET, "a"))]))


async def test_counts_that_cannot_be(outbox: Outbox) -> None:
    """Damaged counts, beyond 64 bits together, do not keep what waits from being moved."""
    await fill(outbox)
    await outbox.commit(everything=True)
    await outbox.store.run(
        lambda rows: rows.db.execute("UPDATE block SET count = 1 << 62").rowcount
    )
    assert await count_waiting(outbox, TARGET) == 3 << 62
    await outbox.correct(move, TARGET, NEW)
    assert len(await contents(outbox, NEW)) == 3


async def test_move(outbox: Outbox) -> None:
    """All that waits for a target waits for the other, in its order; nothing else does."""
    await fill(outbox)
    assert await count_waiting(outbox, TARGET) == 3
    assert await outbox.correct(move, TARGET, NEW) == 3
    assert outbox.targets() == {OTHER_TARGET, NEW}
    assert await contents(outbox, NEW) == [
        ("export", "a", "actualPowerTot_W", 1.0),
        ("second", "b", "actualPowerTot_W", 2.0),
        ("export", "a", "actualPowerTot_W", 4.0),
    ]
    assert await contents(outbox, OTHER_TARGET) == [
        ("export", "a", "actualPowerTot_W", 3.0)
    ]
    assert await counts(outbox) == {"export": 3, "second": 1}
    assert await count_waiting(outbox, TARGET) == 0


async def test_move_to_what_waits_already(outbox: Outbox) -> None:
    """What waits for the right target keeps its place."""
    await put(outbox, sample(9, 9.0, series=with_tag(NEW, "a")))
    await fill(outbox)
    await outbox.correct(move, TARGET, NEW)
    assert [row[3] for row in await contents(outbox, NEW)] == [9.0, 1.0, 2.0, 4.0]
    # And back again
    assert await outbox.correct(move, NEW, TARGET) == 4
    assert len(await contents(outbox, TARGET)) == 4


async def test_move_what_is_blocked(outbox: Outbox) -> None:
    """Another target may keep another type, so that it is tried again."""
    await block(outbox)
    assert await count_waiting(outbox, TARGET) == 4
    assert await outbox.correct(move, TARGET, NEW) == 4
    assert not outbox.blocked
    assert sorted(each.field for each in await waiting(outbox, NEW)) == [
        *("hot", "hot", "hot", "other")
    ]
    assert await counts(outbox) == {"export": 3, "second": 1}


async def test_answer_after_a_move(outbox: Outbox) -> None:
    """What was under way when it was moved is sent again; nothing else is taken for it."""
    await fill(outbox)
    under_way = await next_batch(outbox, TARGET)
    await outbox.correct(move, TARGET, NEW)
    await outbox.settle(under_way, Settlement(stored=under_way.blocks))
    assert len(await contents(outbox, NEW)) == 3
    assert await counts(outbox) == {"export": 3, "second": 1}


def _stop(rows: Rows) -> None:
    rows.db.execute(
        "CREATE TEMP TRIGGER stop BEFORE UPDATE ON main.block"
        " WHEN NEW.series_id IN (SELECT id FROM series WHERE tags LIKE '%\"b\"%')"
        " BEGIN SELECT RAISE(ABORT, 'stopped'); END"
    )


async def test_a_move_that_ends_in_the_middle(outbox: Outbox) -> None:
    """Everything is as it was before; afterwards the move can be made."""
    await fill(outbox)
    await outbox.commit(everything=True)
    before = await contents(outbox, TARGET)
    await outbox.store.run(_stop)
    # The series of tag `a` is through when that of tag `b` fails
    with pytest.raises(OutboxError, match="stopped"):
        await outbox.correct(move, TARGET, NEW)
    assert await contents(outbox, TARGET) == before
    assert await contents(outbox, NEW) == []
    assert await counts(outbox) == {"export": 3, "second": 1}
    await outbox.store.run(lambda rows: rows.db.execute("DROP TRIGGER stop"))
    assert await outbox.correct(move, TARGET, NEW) == 3


def _block(rows: Rows, *samples: Sample) -> None:
    rows.insert(rows.block_field(HOT, "409 no").queue_id, to_blocks(samples))


async def block(outbox: Outbox) -> None:
    """Have values of a blocked field wait, of two exports, and others."""
    await outbox.store.run(
        _block,
        sample(0, 1.0, "hot"),
        sample(1, 2.0, "hot"),
        sample(2, 3.0, "hot", export_id="second"),
    )
    await put(outbox, sample(3, 4.0, "other"))


async def test_rename(outbox: Outbox) -> None:
    """All that waits of a field is sent under the new name, also what came in just now, but that of some exports."""
    await block(outbox)
    outbox.add(to_blocks([sample(4, 5.0, "hot"), sample(5, "word", "hot")]))
    assert await outbox.correct(rename_blocked, [HOT], "hotter", {"second"}) == 3
    found = [(each.field, each.value) for each in await waiting(outbox, TARGET)]
    assert sorted(map(str, found)) == sorted(
        map(
            str,
            [
                ("other", 4.0),
                # A text is another field for the service
                ("hot", "word"),
                *(("hotter", value) for value in (1.0, 2.0, 5.0)),
            ],
        )
    )
    assert await counts(outbox) == {"export": 5, "second": 1}
    # What was kept still waits
    assert HOT in outbox.blocked
    assert await outbox.correct(rename_blocked, [HOT], "warm", ()) == 1
    assert not outbox.blocked


async def test_rename_all_types(outbox: Outbox) -> None:
    """Where several types are refused under a name, all get the other one."""
    await block(outbox)
    words = HOT._replace(type="string")
    await outbox.store.run(lambda rows: rows.block_field(words, "409 no"))
    outbox.add(to_blocks([sample(5, "word", "hot")]))
    assert (await count_blocked(outbox, [HOT, words])).total() == 4
    assert await outbox.correct(rename_blocked, [HOT, words], "hotter", ()) == 4
    assert not outbox.blocked
    assert {each.field for each in await waiting(outbox, TARGET)} == {"other", "hotter"}


async def test_discard_with_blocked_fields(outbox: Outbox) -> None:
    """What waits of blocked fields of a target goes with all else of it."""
    await block(outbox)
    assert await count_waiting(outbox, TARGET) == 4
    assert await outbox.correct(discard, TARGET) == 4
    assert not outbox.blocked
    assert await count_waiting(outbox, TARGET) == 0


@pytest.fixture
def others() -> Iterator[FieldKey]:
    """Return fields that look like the blocked one."""
    return iter(
        [
            HOT._replace(target=OTHER_TARGET),
            HOT._replace(measurement="otherMetrics"),
            HOT._replace(field="hotter"),
            HOT._replace(type="string"),
        ]
    )


async def test_other_places_are_not_touched(
    outbox: Outbox, others: Iterator[FieldKey]
) -> None:
    """The same name of another measurement, target or type is another field."""
    await block(outbox)
    for key in others:
        assert not await count_blocked(outbox, [key])
        assert await outbox.correct(rename_blocked, [key], "x", ()) == 0
        assert await outbox.correct(discard_blocked, [key], ()) == 0
    assert (await count_blocked(outbox, [HOT])).total() == 3
