"""Corrections of what waits under a wrong target or name, each one transaction, while uploads pause."""

from collections import Counter
from collections.abc import Collection, Iterator

from ...api import WriteTarget
from .batches import Block, FieldKey, count_by_export
from .outbox import Outbox
from .rows import Rows
from .schema import target_id

type _Keys = Collection[FieldKey]


async def count_waiting(outbox: Outbox, target: WriteTarget) -> int:
    """Return how many samples wait for a target, those of blocked fields included."""
    on_disk = await outbox.store.read(_count_waiting, target)
    return on_disk + sum(
        len(block) for block in outbox.memory.all() if block.series.target == target
    )


def _count_waiting(rows: Rows, target: WriteTarget) -> int:
    counts = rows.count(rows.live_queue(target))
    return (counts + _count_blocked(rows, _blocked_at(rows, target))).total()


async def count_blocked(outbox: Outbox, keys: _Keys) -> Counter[str]:
    """Return how many samples of blocked fields wait, by export."""
    counts = await outbox.store.read(_count_blocked, keys)
    for key in keys:
        counts += count_by_export(outbox.memory.of(key))
    return counts


def _count_blocked(rows: Rows, keys: _Keys) -> Counter[str]:
    return sum(map(rows.count, _queues(rows, keys)), Counter())


def _blocked_at(rows: Rows, target: WriteTarget) -> list[FieldKey]:
    return [key for key in rows.blocked if key.target == target]


def move(rows: Rows, old: WriteTarget, new: WriteTarget) -> int:
    """Have what waits for one target wait for another, in its order, blocked or not; return how many samples that are."""
    moved = _count_waiting(rows, old)
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
    blocked = _blocked_at(rows, old)
    for queue in (rows.live_queue(old), *_queues(rows, blocked)):
        rows.move(queue, new)
    _unblock_empty(rows, blocked)
    # Of the series that were made
    rows.load()
    return moved


def discard(rows: Rows, target: WriteTarget) -> int:
    """Drop what waits for a target; return how many samples that were."""
    dropped = rows.count_dropped(rows.clear(rows.live_queue(target)))
    return dropped + discard_blocked(rows, _blocked_at(rows, target), ())


def rename_blocked(rows: Rows, keys: _Keys, name: str, kept: Collection[str]) -> int:
    """Send blocked fields under another name, but those of the exports in `kept`; return how many samples that are."""
    count = 0
    for block in _take(rows, keys, kept):
        block.fields = [name] * len(block)
        rows.insert(rows.live_queue(block.series.target), [block])
        count += len(block)
    _unblock_empty(rows, keys)
    return count


def discard_blocked(rows: Rows, keys: _Keys, kept: Collection[str]) -> int:
    """Drop what waits of blocked fields, but that of the exports in `kept`; return how many samples that were."""
    counts = count_by_export(_take(rows, keys, kept))
    _unblock_empty(rows, keys)
    return rows.count_dropped(counts)


def _take(rows: Rows, keys: _Keys, kept: Collection[str]) -> Iterator[Block]:
    """Take the samples of blocked fields out of their rows, a row at a time; those on their way came last."""
    lives = {rows.live_queue(key.target) for key in keys}
    for queue in (*_queues(rows, keys), *lives):
        for block in rows.read(queue):
            if block.export_id not in kept:
                yield from rows.take_out(block, keys)[1].values()


def _queues(rows: Rows, keys: _Keys) -> list[int]:
    return [rows.blocked[key].queue_id for key in keys if key in rows.blocked]


def _unblock_empty(rows: Rows, keys: _Keys) -> None:
    """End the blocking of fields that nothing waits of: the next sample tells whether it is still refused."""
    for key in keys:
        if key in rows.blocked and not rows.last(rows.blocked[key].queue_id):
            rows.unblock_field(key)
