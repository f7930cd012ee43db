"""What the tests of the outbox share: what is in it, and disks that take no more."""

import asyncio
from contextlib import closing
from pathlib import Path
import sqlite3
from typing import Any

from custom_components.eniris.api import WriteTarget
from custom_components.eniris.exporting.outbox import live
from custom_components.eniris.exporting.outbox.batches import (
    Batch,
    Block,
    Entry,
    Sample,
    Settlement,
    to_blocks,
)
from custom_components.eniris.exporting.outbox.outbox import Outbox
from custom_components.eniris.exporting.outbox.rows import Rows
from custom_components.eniris.exporting.outbox.store import Store


def new_store(path: Path) -> Store:
    """Return a store that nobody copies."""
    awake = asyncio.Event()
    awake.set()
    return Store(path, awake)


def samples_of(blocks: list[Block]) -> list[Sample]:
    """Return the samples of blocks, in their order."""
    return [Entry(block, n).sample for block in blocks for n in range(len(block))]


def rows_of(rows: Rows, target: WriteTarget) -> list[Sample]:
    """Return the live samples of a target that are on disk, in their order."""
    return samples_of(list(rows.read(rows.live_queue(target))))


def blocks_on_disk(path: Path) -> int:
    """Return how many samples another process sees in the file."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        (count,) = db.execute("SELECT coalesce(sum(count), 0) FROM block").fetchone()
        return int(count)


async def put(outbox: Outbox, *samples: Sample) -> None:
    """Put samples into an outbox, and on disk."""
    outbox.add(to_blocks(samples))
    await outbox.commit(everything=True)


async def waiting(outbox: Outbox, target: WriteTarget) -> list[Sample]:
    """Return the live samples of a target, those on disk first."""
    on_disk = await outbox.store.run(rows_of, target)
    return [*on_disk, *samples_of(outbox.memory.of(target))]


async def next_batch(outbox: Outbox, target: WriteTarget) -> Batch:
    """Return the oldest samples of a target on disk."""
    batch = await outbox.store.run(live.read, target, 0, None, 2**20)
    assert batch is not None
    return batch


async def drain(outbox: Outbox, target: WriteTarget) -> list[Sample]:
    """Have everything of a target on disk stored at the service; return that."""
    found: list[Sample] = []
    while batch := await outbox.store.run(live.read, target, 0, None, 2**20):
        found += samples_of(batch.blocks)
        await outbox.settle(batch, Settlement(stored=batch.blocks))
    await outbox.store.run(live.shrink)
    return found


def _limit_pages(rows: Rows, pages: int | None) -> Any:
    if pages is None:
        (pages,) = rows.db.execute("PRAGMA page_count").fetchone()
    return rows.db.execute(f"PRAGMA max_page_count = {pages}").fetchone()


async def fill_disk(outbox: Outbox) -> None:
    """Let the file grow no more, as on a full disk."""
    await outbox.store.run(_limit_pages, None)


async def free_disk(outbox: Outbox) -> None:
    """Let the file grow again."""
    await outbox.store.run(_limit_pages, 2**30)
