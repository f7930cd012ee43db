"""Corrections: what waits under a wrong target or name, once the user has put that right.

Each change is one transaction, which `Outbox.correct` makes: a kill in the middle leaves everything as it was before.
Uploads have to pause meanwhile, or the answer to a request under way would be taken for one about what was changed.
"""

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import astuple

from ...api import WriteTarget
from .batches import Block, FieldKey, count_by_export
from .outbox import Outbox
from .rows import Rows
from .schema import QUEUE_BITS, target_id


async def count_waiting(
    outbox: Outbox, target: WriteTarget, *, with_past: bool = True
) -> int:
    """Return how many samples wait for a target, those of blocked fields included."""
    on_disk = await outbox.store.read(_count_waiting, target, with_past)
    return on_disk + sum(
        len(block) for block in outbox.memory.all() if block.series.target == target
    )


def _count_waiting(rows: Rows, target: WriteTarget, with_past: bool) -> int:
    (count,) = rows.db.execute(
        "SELECT total(count) FROM block JOIN series ON series.id = series_id"
        " JOIN target ON target.id = series.target_id JOIN queue ON queue.id = block.id >> ?"
        " WHERE (collector, database, retention_policy) = (?, ?, ?)"
        " AND (? OR kind <> 'history')",
        (QUEUE_BITS, *astuple(target), with_past),
    ).fetchone()
    return int(count)


async def count_blocked(outbox: Outbox, keys: Collection[FieldKey]) -> Counter[str]:
    """Return how many samples of blocked fields wait, by export."""
    counts = await outbox.store.read(_count_blocked, keys)
    for key in keys:
        counts += count_by_export(outbox.memory.of(key))
    return counts


def _count_blocked(rows: Rows, keys: Collection[FieldKey]) -> Counter[str]:
    return sum(map(rows.count, _queues(rows, keys)), Counter())


def move(rows: Rows, old: WriteTarget, new: WriteTarget) -> int:
    """Have what waits for one target wait for another; return how many samples that are.

    Measurement, tags and order stay, and a job of the past goes on where it was. What is set aside stays with the target
    that refused it. What was blocked is tried again, since another target may keep another type.
    """
    moved = _count_waiting(rows, old, True)
    ids = target_id(rows.db, new), target_id(rows.db, old)
    rows.db.execute(
        "INSERT OR IGNORE INTO series (target_id, measurement, tags)"
        " SELECT ?, measurement, tags FROM series WHERE target_id = ?",
        ids,
    )
    rows.db.execute(
        "UPDATE block SET series_id = (SELECT new.id FROM series AS new"
        " JOIN series AS old USING (measurement, tags)"
        " WHERE new.target_id = ?1 AND old.id = series_id)"
        " WHERE series_id IN (SELECT id FROM series WHERE target_id = ?2)",
        ids,
    )
    blocked = [key for key in rows.blocked if key.target == old]
    for queue in (rows.live_queue(old), *_queues(rows, blocked)):
        rows.move(queue, new)
    _unblock_empty(rows, blocked)
    rows.on_disk -= {old}
    # Of the series that were made
    rows.load()
    return moved


def discard(rows: Rows, target: WriteTarget) -> int:
    """Drop what waits for a target but the past; return how many samples that were."""
    blocked = [key for key in rows.blocked if key.target == target]
    counts: Counter[str] = Counter()
    for queue in (rows.live_queue(target), *_queues(rows, blocked)):
        counts += rows.clear(queue)
    _unblock_empty(rows, blocked)
    rows.on_disk -= {target}
    rows.dropped += counts
    return counts.total()


def rename_blocked(
    rows: Rows, keys: Collection[FieldKey], name: str, kept: Collection[str]
) -> int:
    """Send under another name what waits of blocked fields of one target; return how many samples that are.

    What is of the exports in `kept` goes on waiting.
    """
    count = 0
    for block in _take(rows, keys, kept):
        block.fields = [name] * len(block)
        rows.insert(rows.live_queue(block.series.target), [block])
        count += len(block)
    _unblock_empty(rows, keys)
    return count


def discard_blocked(
    rows: Rows, keys: Collection[FieldKey], kept: Collection[str]
) -> int:
    """Drop what waits of blocked fields, but that of the exports in `kept`; return how many samples that were."""
    counts = count_by_export(_take(rows, keys, kept))
    _unblock_empty(rows, keys)
    rows.dropped += counts
    return counts.total()


def _take(
    rows: Rows, keys: Collection[FieldKey], kept: Collection[str]
) -> Iterator[Block]:
    """Take the samples of blocked fields out of their rows, a row at a time; those on their way came last."""
    lives = {rows.live_queue(key.target) for key in keys}
    for queue in (*_queues(rows, keys), *lives):
        for block in rows.read(queue):
            if block.export_id not in kept:
                yield from rows.take_out(block, keys)[1].values()


def _queues(rows: Rows, keys: Collection[FieldKey]) -> list[int]:
    return [rows.blocked[key].queue_id for key in keys if key in rows.blocked]


def _unblock_empty(rows: Rows, keys: Collection[FieldKey]) -> None:
    """End the blocking of fields that nothing waits of: the next sample tells whether it is still refused."""
    for key in keys:
        if key in rows.blocked and not rows.last(rows.blocked[key].queue_id):
            rows.unblock_field(key)
