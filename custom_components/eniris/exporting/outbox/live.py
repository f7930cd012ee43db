"""What is done with live samples on disk, and with what was refused for good. Everything here blocks, in the outbox' thread; each function is one transaction."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Final

import orjson

from ...api import WriteTarget
from . import batches
from .batches import Batch, Block, FieldKey, Reject, Sample, Settlement
from .rows import Rows

REJECTS_KEPT: Final = 1000

_ROWS_AT_ONCE: Final = 5000

_VACUUM_FROM: Final = 2048
"""Free pages from which on the file is made smaller, where little else is in it: 1 MiB."""


def insert(rows: Rows, due: Mapping[WriteTarget | FieldKey, list[Block]]) -> list[int]:
    """Append blocks to the queues of targets and of blocked fields; return the ids of their rows."""
    return [
        id_
        for key, blocks in due.items()
        for id_ in rows.insert(_queue_of(rows, key), blocks)
    ]


def settle(rows: Rows, batch: Batch, result: Settlement) -> None:
    """Take a batch out of the queues, and put what is left of it where it belongs."""
    for key, reason in result.blocked.items():
        rows.block_field(key, reason)
    gone = rows.delete({block.row.id for block in batch.blocks if block.row.id})
    for block in result.remaining:
        if block.row.id and not gone:
            # A limit has dropped it meanwhile
            continue
        if block.row.id:
            rows.write(block.row.id, block)
        rest = _hold_back(rows, block)
        if len(rest) and not rest.row.id:
            rows.insert(rows.live_queue(batch.target), [rest])
    for its in result.recalled:
        recall(rows, its)
        sample = its.sample
        key = batches.field_key(sample.series, sample.field, sample.value)
        rows.insert(rows.blocked[key].queue_id, batches.to_blocks([sample]))
    add_rejects(rows, result.set_aside)


def read(
    rows: Rows, target: WriteTarget, after_id: int, until_id: int | None, max_bytes: int
) -> Batch | None:
    """Return the oldest usable samples between two rows; None also where very many are of blocked fields."""

    def usable() -> Iterator[Block]:
        seen = islice(rows.read(rows.live_queue(target), after_id), _ROWS_AT_ONCE)
        for block in seen:
            if until_id is not None and block.row.id > until_id:
                return
            rest = _hold_back(rows, block)
            if len(rest):
                yield rest

    blocks = batches.cut(usable(), max_bytes)
    return batches.make_batch(target, blocks) if blocks else None


def _hold_back(rows: Rows, block: Block) -> Block:
    """Put what a block has of blocked fields into their queues; return the rest of it."""
    if not rows.blocked:
        return block
    rest, held = rows.take_out(block, rows.blocked)
    for key, part in held.items():
        rows.insert(rows.blocked[key].queue_id, [part])
    return rest


def last_id(rows: Rows, target: WriteTarget) -> int:
    """Return the id of the newest row of a target, 0 where there is none."""
    return rows.last(rows.live_queue(target))


def newest_of(rows: Rows, key: WriteTarget | FieldKey) -> Batch | None:
    """Return the newest sample of a target or of a blocked field; None where none waits."""
    if isinstance(key, FieldKey) and key not in rows.blocked:
        return None
    queue_id = _queue_of(rows, key)
    its = rows.read(queue_id, rows.last(queue_id) - 1)
    return next(map(newest_sample, its), None)


def _queue_of(rows: Rows, key: WriteTarget | FieldKey) -> int:
    """Return the queue of a target, or of a field as long as that is blocked."""
    if isinstance(key, WriteTarget):
        return rows.live_queue(key)
    blocked = rows.blocked.get(key)
    return rows.live_queue(key.target) if blocked is None else blocked.queue_id


def newest_sample(block: Block) -> Batch:
    """Return the newest sample of a block by itself."""
    newest = Block(block.export_id, block.series)
    newest.add(block.times[-1], block.fields[-1], block.values[-1])
    return batches.make_batch(block.series.target, [newest])


def release(rows: Rows, key: FieldKey) -> bool:
    """Have some rows of a blocked field wait as all others do; return whether that were the last."""
    if key not in rows.blocked:
        return True
    if rows.move(rows.blocked[key].queue_id, key.target, 100):
        return False
    rows.unblock_field(key)
    return True


def shrink(rows: Rows) -> None:
    """Make the file smaller where little else than free pages is in it."""
    (pages,) = rows.db.execute("PRAGMA page_count").fetchone()
    (free,) = rows.db.execute("PRAGMA freelist_count").fetchone()
    if free > _VACUUM_FROM > pages - free:
        rows.db.execute("VACUUM")


def add_rejects(rows: Rows, rejects: Sequence[Reject]) -> None:
    """Set samples aside with the reason, and keep no more of them than are of use."""
    rows.db.executemany(
        "INSERT INTO reject (series_id, export_id, time_us, field, value, reason)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        [
            (
                rows.series.id_of(sample.series),
                rows.exports.id_of(sample.export_id),
                batches.to_us(sample.time),
                sample.field,
                orjson.dumps(sample.value).decode(),
                reason,
            )
            for sample, reason in rejects[-REJECTS_KEPT:]
        ],
    )
    rows.db.execute(
        "DELETE FROM reject WHERE id <= (SELECT max(id) FROM reject) - ?",
        (REJECTS_KEPT,),
    )


def recall(rows: Rows, reject: Reject) -> None:
    """Take back that a sample was set aside."""
    sample = reject.sample
    rows.db.execute(
        "DELETE FROM reject WHERE time_us = ? AND field = ? AND series_id = ?",
        (batches.to_us(sample.time), sample.field, rows.series.id_of(sample.series)),
    )


def load_rejects(rows: Rows) -> list[Reject]:
    """Return what is set aside, the newest first."""
    return [
        Reject(
            Sample(
                rows.exports[export],
                rows.series[series],
                batches.from_us(time_us),
                field,
                orjson.loads(value),
            ),
            reason,
        )
        for export, series, time_us, field, value, reason in rows.db.execute(
            "SELECT export_id, series_id, time_us, field, value, reason FROM reject"
            " ORDER BY id DESC"
        ).fetchall()
        if series in rows.series
    ]


def discard_rejects(rows: Rows) -> int:
    """Forget what is set aside, and return how many that were."""
    return rows.db.execute("DELETE FROM reject").rowcount
