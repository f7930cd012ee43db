"""The limits of an outbox: the oldest go, no more than it takes, and the newest stay."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from custom_components.eniris.exporting.outbox.batches import (
    FieldKey,
    Sample,
    to_blocks,
)
from custom_components.eniris.exporting.outbox.figures import load_figures
from custom_components.eniris.exporting.outbox.limits import (
    Limits,
    drop_some,
    enforce,
    used_bytes,
)
from custom_components.eniris.exporting.outbox.outbox import Outbox
from custom_components.eniris.exporting.outbox.rows import Rows
from custom_components.eniris.exporting.outbox.schema import connect
from tests.exporting.conftest import OTHER_TARGET, SERIES, TARGET, at, sample, to_target
from tests.kit.outbox import next_batch, put, rows_of, waiting

KEY = FieldKey(TARGET, SERIES.measurement, "bad_W", "float")


@pytest.fixture
def rows(tmp_path: Path) -> Iterator[Rows]:
    """Return the rows of a new outbox."""
    with closing(connect(tmp_path / "rows.db")) as db:
        yield Rows(db)


def insert(rows: Rows, *samples: Sample) -> None:
    """Append samples, a row for each."""
    for each in samples:
        rows.insert(rows.live_queue(each.series.target), to_blocks([each]))


async def test_limit_by_age(outbox: Outbox) -> None:
    """What is older goes, some at a time; what is as old stays."""
    for n in range(120):
        await put(outbox, sample(n, export_id="ab"[n % 3 == 0]))
    limits = Limits(2**40, timedelta(seconds=60))
    assert await enforce(outbox.store, limits, at(50)) == (0, True)
    assert await enforce(outbox.store, limits, at(150)) == (90, True)
    figures = await outbox.refresh_figures()
    assert (figures["a"].dropped, figures["b"].dropped) == (60, 30)
    assert figures["a"].waiting + figures["b"].waiting == 30
    assert (await waiting(outbox, TARGET))[0].time == at(90)
    assert await enforce(outbox.store, limits, at(10_000)) == (30, True)
    assert await enforce(outbox.store, limits, at(10_000)) == (0, True)
    assert await waiting(outbox, TARGET) == []


async def test_no_limit_by_age(outbox: Outbox) -> None:
    """Without one, samples of any age wait."""
    await put(outbox, sample(0))
    assert await enforce(outbox.store, Limits(2**40), at(1e9)) == (0, True)


async def test_limit_by_size(outbox: Outbox) -> None:
    """The oldest go, about as many as it takes, and the newest stay."""
    for n in range(600):
        await put(outbox, *(sample(n, str(n * m) * 9) for m in range(20)))
    limit = await outbox.store.run(used_bytes) // 2
    dropped, relaxed = await enforce(outbox.store, Limits(limit), at(600))
    assert 12_000 * 0.3 < dropped < 12_000 * 0.6
    assert not relaxed
    left = await waiting(outbox, TARGET)
    assert len(left) == 12_000 - dropped
    assert left[0].time == at(dropped // 20)
    assert left[-1].time == at(599)
    assert (await outbox.refresh_figures())["export"].dropped == dropped
    assert (await enforce(outbox.store, Limits(limit), at(600)))[0] == 0
    assert await enforce(outbox.store, Limits(2 * limit), at(600)) == (0, True)


async def test_limit_is_not_outrun(outbox: Outbox) -> None:
    """300 series a second for a service that is down, looked at every half minute; nearly all that has room stays."""
    series = [replace(SERIES, tags=(("n", str(n)),)) for n in range(300)]
    limit = 2**18
    for minute in range(4):
        for second in range(60):
            outbox.add(
                to_blocks(
                    sample(60 * minute + second, n / 7, series=its)
                    for n, its in enumerate(series)
                )
            )
            await outbox.commit(everything=True)
            if second % 30 == 29:
                await enforce(outbox.store, Limits(limit), at(0))
                assert await outbox.store.read(used_bytes) < limit * 1.1
    assert await outbox.store.read(used_bytes) > limit * 0.9


async def test_limit_below_an_empty_file(outbox: Outbox) -> None:
    """Even then it ends."""
    await put(outbox, *(sample(n) for n in range(100)))
    assert await enforce(outbox.store, Limits(1), at(0)) == (100, False)


async def test_dropped_while_on_their_way(outbox: Outbox) -> None:
    """What a limit drops during an upload is gone, whatever becomes of the rest of the batch."""
    for n in range(10):
        await put(outbox, sample(n))
    batch = await next_batch(outbox, TARGET)
    assert len(batch) == 10
    await enforce(outbox.store, Limits(2**40, timedelta(seconds=5)), at(9.5))
    left = await waiting(outbox, TARGET)
    assert [each.time for each in left] == [at(n) for n in range(5, 10)]
    assert (await outbox.refresh_figures())["export"].dropped == 5


def test_older_in_each_queue(rows: Rows) -> None:
    """Each target and blocked field; one that is as old as it may be keeps those behind it."""
    insert(rows, sample(0), sample(1), sample(9), sample(2))
    insert(rows, sample(1, series=to_target(OTHER_TARGET)))
    blocked = rows.block_field(KEY, "no")
    rows.insert(blocked.queue_id, to_blocks([sample(0, name="bad_W", export_id="b")]))
    limits = Limits(2**40, timedelta(seconds=5))
    assert [drop_some(rows, limits, at(10)) for _ in range(4)] == [2, 1, 1, 0]
    dropped = {name: its.dropped for name, its in load_figures(rows).items()}
    assert dropped == {"export": 3, "b": 1}
    assert [found.time for found in rows_of(rows, TARGET)] == [at(9), at(2)]
    assert rows_of(rows, OTHER_TARGET) == []
    assert rows.waiting == {"export": 2}


def test_oldest_of_all_queues(rows: Rows) -> None:
    """Those of the queue that has waited longest."""
    insert(rows, *(sample(n + 10) for n in range(150)))
    insert(rows, *(sample(n, series=to_target(OTHER_TARGET)) for n in range(5)))
    assert drop_some(rows, Limits(1), at(0)) == 5
    dropped = []
    while count := drop_some(rows, Limits(1), at(0)):
        dropped.append(count)
    assert sum(dropped) == 150
    assert len(dropped) < 20
