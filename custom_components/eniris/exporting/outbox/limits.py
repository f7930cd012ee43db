"""What an outbox may grow to. Each transaction drops a few rows alone, so that nothing waits for long behind it."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import accumulate, takewhile
from typing import Final

from .batches import to_us
from .rows import Rows
from .schema import PAGE_SIZE, select
from .store import Store

_ROWS_AT_ONCE: Final = 1000
_TIMES: Final = 50
"""How often rows are dropped before others get their turn; the rest is dropped at the next look."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bytes on disk, and the age of a sample (zero: any)."""

    size: int
    age: timedelta = timedelta()


async def enforce(store: Store, limits: Limits, now: datetime) -> tuple[int, bool]:
    """Drop the oldest samples beyond `limits`, a few rows at a time.

    Return how many were dropped, and whether the outbox is well below its size again.
    """
    dropped = 0
    for _ in range(_TIMES if store.awake.is_set() else 0):
        count = await store.run(drop_some, limits, now)
        dropped += count
        if not count:
            break
    return dropped, await store.read(used_bytes) < limits.size * 0.8


def used_bytes(rows: Rows) -> int:
    """Return the bytes in use; freed pages are used again before the file grows."""
    (page_size,) = rows.db.execute("PRAGMA page_size").fetchone()
    (pages,) = rows.db.execute("PRAGMA page_count").fetchone()
    (free,) = rows.db.execute("PRAGMA freelist_count").fetchone()
    return int(page_size * (pages - free))


def drop_some(rows: Rows, limits: Limits, now: datetime) -> int:
    """Drop a few rows beyond `limits`; return how many samples they had.

    That are the first rows of each queue that are too old, or else those of the queue that begins with the oldest.
    """
    heads: list[list[tuple[int, int, int]]] = []
    for queue in rows.queues():
        head = select(
            rows.db,
            "oldest_us, id, length(data)",
            queue,
            "ORDER BY id LIMIT ?",
            _ROWS_AT_ONCE,
        )
        if head:
            heads.append(head)
    until = to_us(now - limits.age) if limits.age else 0
    found = [
        row for head in heads for row in takewhile(lambda row: row[0] < until, head)
    ]
    if not found and used_bytes(rows) > limits.size:
        put_history_back(rows)
        excess = used_bytes(rows) - limits.size
        if excess > 0:
            oldest = min(heads, default=[])
            # Rather too much for each: what is still beyond the limit goes next
            sizes = (size + PAGE_SIZE for *_, size in oldest)
            before = accumulate(sizes, initial=0)
            found = [
                row for row, size in zip(oldest, before, strict=False) if size < excess
            ]
    counts = rows.delete(id_ for _, id_, _ in found)
    rows.dropped += counts
    return counts.total()


def put_history_back(rows: Rows) -> None:
    """Make room by dropping what waits of the past: the recorder has it, and it is read again."""
    for queue in rows.history:
        if rows.clear(queue):
            rows.db.execute(
                "UPDATE history_job SET cursor_us = chunk_end_us WHERE queue_id = ?",
                (queue,),
            )
