"""What an outbox may grow to. Each transaction drops a few rows alone, so that nothing waits for long behind it."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from .batches import to_us
from .rows import Rows
from .schema import PAGE_SIZE
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
    """Drop what is beyond `limits`, a few rows at a time; return how much, and whether the outbox is well below its size again."""
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
    """Drop a few rows beyond `limits` of the queue that begins with the oldest; return how many samples they had."""
    until = to_us(now - limits.age) if limits.age else 0
    # Rather too much for each row: what is still beyond the limit goes next
    excess = used_bytes(rows) - limits.size
    columns, rest = "oldest_us, id, length(data)", "ORDER BY id LIMIT ?"
    heads = [rows.select(columns, key, rest, _ROWS_AT_ONCE) for key in rows.queues()]
    for head in sorted(heads):
        found = []
        for oldest_us, id_, size in head:
            if oldest_us >= until and excess <= 0:
                break
            excess -= size + PAGE_SIZE
            found.append(id_)
        if found:
            return rows.count_dropped(rows.delete(found))
    return 0
