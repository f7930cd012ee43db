"""What is done with live samples on disk, and with what was refused for good. Everything here blocks, in the outbox' thread; each function is one transaction."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice, product
from typing import Final

import orjson

from ...api import WriteTarget
from .batches import (
    Batch,
    Block,
    FieldKey,
    Reject,
    Sample,
    Settlement,
    cut,
    field_key,
    from_us,
    make_batch,
    to_blocks,
    to_us,
)
from .rows import Rows
from .schema import select

REJECTS_KEPT: Final = 1000

_ROWS_AT_ONCE: Final = 5000
"""Rows that one batch is made of at most."""

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
            rows.rewrite(block)
        rest = _hold_back(rows, block)
        if len(rest) and not rest.row.id:
            rows.insert(rows.live_queue(batch.target), [rest])
    for its in result.recalled:
        recall(rows, its)
        sample = its.sample
        key = field_key(sample.series, sample.field, sample.value)
        rows.insert(rows.blocked[key].queue_id, to_blocks([sample]))
    add_rejects(rows, result.set_aside)


def read(
    rows: Rows,
    target: WriteTarget,
    after_id: int,
    until_id: int | None,
    max_samples: int | None,
    max_bytes: int,
) -> Batch | None:
    """Return the oldest samples between two rows; those of blocked fields are put elsewhere on the way.

    None does not say that there are none where many are of blocked fields: nothing must wait for long behind that.
    """

    def usable() -> Iterator[Block]:
        seen = islice(rows.read(rows.live_queue(target), after_id), _ROWS_AT_ONCE)
        for block in seen:
            if until_id is not None and block.row.id > until_id:
                return
            rest = _hold_back(rows, block)
            if len(rest):
                yield rest

    blocks = cut(usable(), max_samples, max_bytes)
    return make_batch(target, blocks) if blocks else None


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
    for block in rows.read(queue_id, rows.last(queue_id) - 1):
        return newest_sample(block)
    return None


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
    return make_batch(block.series.target, [newest])


def release(rows: Rows, key: FieldKey) -> bool:
    """Have some rows of a blocked field wait as all others do; return whether that were the last."""
    if key not in rows.blocked:
        return True
    if rows.move(rows.blocked[key].queue_id, key.target, 100):
        return False
    rows.unblock_field(key)
    return True


def note_empty(rows: Rows, target: WriteTarget) -> None:
    """Know that nothing of a target waits, if that is so, and make the file smaller where that is quickly done."""
    if rows.last(rows.live.get(target, 0)):
        return
    rows.on_disk -= {target}
    (pages,) = rows.db.execute("PRAGMA page_count").fetchone()
    (free,) = rows.db.execute("PRAGMA freelist_count").fetchone()
    if free > _VACUUM_FROM > pages - free:
        rows.db.execute("VACUUM")


def look(rows: Rows) -> tuple[Counter[str], dict[str, int], Counter[str]]:
    """Return by export what waits, since when in microseconds, and what was dropped since the last look."""
    dropped, rows.dropped = rows.dropped, Counter()
    oldest: dict[str, int] = {}
    for export, queue in product(rows.waiting, rows.queues()):
        # Looked for from where it was found before: what is older is gone by now
        found = select(
            rows.db,
            "id, oldest_us",
            queue,
            "AND export_id = ? ORDER BY id LIMIT 1",
            rows.exports.id_of(export),
            since=rows.oldest.get((queue, export), 0),
        )
        for id_, time_us in found:
            rows.oldest[queue, export] = id_
            oldest[export] = min(time_us, oldest.get(export, time_us))
    return rows.waiting.copy(), oldest, dropped


def add_rejects(rows: Rows, rejects: Sequence[Reject]) -> None:
    """Set samples aside with the reason, and keep no more of them than are of use."""
    rows.db.executemany(
        "INSERT INTO reject (series_id, export_id, time_us, field, value, reason)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        [
            (
                rows.series.id_of(sample.series),
                rows.exports.id_of(sample.export_id),
                to_us(sample.time),
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
        (to_us(sample.time), sample.field, rows.series.id_of(sample.series)),
    )


def load_rejects(rows: Rows) -> list[Reject]:
    """Return what is set aside, the newest first."""
    return [
        Reject(
            Sample(
                rows.exports[export],
                rows.series[series],
                from_us(time_us),
                field,
                orjson.loads(value),
            ),
            reason,
        )
        for export, series, time_us, field, value, reason in rows.db.execute(
            "SELECT export_id, series_id, time_us, field, value, reason FROM reject"
            " ORDER BY id DESC"
        ).fetchall()
        if series in rows.series and export in rows.exports
    ]


def discard_rejects(rows: Rows) -> int:
    """Forget what is set aside, and return how many that were."""
    return rows.db.execute("DELETE FROM reject").rowcount
