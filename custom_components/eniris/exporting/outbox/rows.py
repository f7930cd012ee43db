"""The rows of an open outbox file, by queue.

Everything here blocks. It runs in the outbox' thread, within a transaction of its caller's where it writes.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import accumulate, groupby
import logging
from operator import sub
import sqlite3
import time
from typing import Final
import zlib

import orjson

from ...api import WriteTarget
from ..config import Series
from .batches import TYPES, Block, FieldKey, Row, split, to_us
from .schema import (
    QUEUE_BITS,
    UselessFileError,
    first_id,
    key_of,
    load_names,
    load_series,
    select,
    target_id,
)

_LOGGER = logging.getLogger(__name__)

_READ_AT_ONCE: Final = 200
_EARLIEST: Final = to_us(datetime.min.replace(tzinfo=UTC))
_LATEST: Final = to_us(datetime.max.replace(tzinfo=UTC))
_COMPRESSED_FROM: Final = 100


class CorruptRowError(ValueError):
    """A row holds what was never put there."""


@dataclass(slots=True)
class BlockedField:
    """A field that the service refuses in every sample, and the queue in which its samples wait."""

    queue_id: int
    reason: str
    since: float
    """Seconds since 1970."""


class Rows:
    """Reads and writes blocks. What ids stand for is kept in memory.

    The event loop looks into `blocked` and `on_disk`: another object takes their place with each change.
    """

    def __init__(self, db: sqlite3.Connection) -> None:
        """Use an open file; raises `sqlite3.DatabaseError` or `ValueError` where it is damaged."""
        self.db = db
        self.waiting: Counter[str] = Counter()
        """Samples by export, without those of the past."""
        self.dropped: Counter[str] = Counter()
        """Samples that are lost or were given up, by export, until the figures count them."""
        self.on_disk: frozenset[WriteTarget] = frozenset()
        """The targets that live samples wait for, those of blocked fields left out."""
        self.oldest: dict[tuple[int, str], int] = {}
        """The row in which each queue's oldest sample of an export was found last."""
        self.load()

    def look_around(self) -> None:
        """Learn what waits, from all rows."""
        for queue_id in self.queues():
            self.waiting += self.count(queue_id)
        self.on_disk = frozenset(t for t, key in self.live.items() if self.last(key))

    def load(self) -> None:
        """Learn what ids stand for: at the beginning, and after a transaction was rolled back."""
        db = self.db
        self.exports = load_names(db, "export")
        self._fields = load_names(db, "field")
        self.series = load_series(db)
        self._last: dict[int, int] = {}
        self.live: dict[WriteTarget, int] = {}
        """The queues of live samples."""
        self.history: set[int] = set()
        """The queues of the past."""
        blocked: dict[FieldKey, BlockedField] = {}
        for key, kind, *names, measurement, field, type_, reason, since in db.execute(
            "SELECT queue.id, kind, collector, database, retention_policy, measurement,"
            " field, type, reason, since FROM queue LEFT JOIN target ON target.id = target_id"
        ).fetchall():
            if key >> 63 - QUEUE_BITS:
                # Its rows would have no ids
                self._lose_queue()
            elif kind == "history":
                self.history.add(key)
            elif None in names or (kind != "live" and None in (measurement, field)):
                self._lose_queue()
            elif kind == "live":
                self.live[WriteTarget(*names)] = key
            else:
                its = FieldKey(WriteTarget(*names), measurement, field, type_)
                blocked[its] = BlockedField(key, reason, since)
        self.blocked = blocked
        """The fields that the service refuses in every sample."""

    def _lose_queue(self) -> None:
        raise UselessFileError("a queue has no target, or no rows")

    def queues(self) -> list[int]:
        """Return the queues but those of the past."""
        return [*self.live.values(), *(its.queue_id for its in self.blocked.values())]

    def live_queue(self, target: WriteTarget) -> int:
        """Return the queue of a target's live samples, made where it is missing."""
        if target not in self.live:
            key = target_id(self.db, target)
            self.live[target] = key_of(self.db, "queue", kind="live", target_id=key)
        return self.live[target]

    def history_queue(self) -> int:
        """Make the queue of a job of the past."""
        queue_id = key_of(self.db, "queue", kind="history")
        self.history.add(queue_id)
        return queue_id

    def drop_history_queue(self, queue_id: int) -> None:
        """Forget the queue of a job of the past, with all that waits in it."""
        self.clear(queue_id)
        self.db.execute("DELETE FROM queue WHERE id = ?", (queue_id,))
        self.history.discard(queue_id)

    def last(self, queue_id: int) -> int:
        """Return the id of a queue's newest row, 0 where it is empty."""
        [(key,)] = select(self.db, "max(id)", queue_id)
        return key or 0

    def count(self, queue_id: int) -> Counter[str]:
        """Return how many samples of which export a queue has; reads all of its rows."""
        found = select(
            self.db, "export_id, total(count)", queue_id, "GROUP BY export_id"
        )
        # A row of which the export is not known is damaged, which shows when it is read
        names = self.exports
        return Counter({names[key]: int(n) for key, n in found if key in names})

    def _next_id(self, queue_id: int) -> int:
        if queue_id not in self._last:
            # From the clock on, so that no id comes twice, whatever became of files
            start = first_id(queue_id) + (int(time.time()) % 2**29 << 10)
            self._last[queue_id] = max(self.last(queue_id), start)
        self._last[queue_id] += 1
        return self._last[queue_id]

    def insert(self, queue_id: int, blocks: Iterable[Block]) -> list[int]:
        """Append blocks to a queue; return the ids of their rows."""
        return [self._write(self._next_id(queue_id), block) for block in blocks]

    def rewrite(self, block: Block) -> None:
        """Put what is left of a row, which was deleted before, in its old place."""
        self._write(block.row.id, block)

    def _write(self, id_: int, block: Block) -> int:
        self.db.execute(
            "INSERT INTO block (id, series_id, export_id, count, oldest_us, data)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (
                id_,
                self.series.id_of(block.series),
                self.exports.id_of(block.export_id),
                len(block),
                min(block.times),
                encode_block(block, list(map(self._fields.id_of, block.fields))),
            ),
        )
        queue_id, target = id_ >> QUEUE_BITS, block.series.target
        if queue_id not in self.history:
            self.waiting[block.export_id] += len(block)
        if target not in self.on_disk and self.live.get(target) == queue_id:
            self.on_disk |= {target}
        return id_

    def read(
        self, queue_id: int, after_id: int = 0, at_once: int = _READ_AT_ONCE
    ) -> Iterator[Block]:
        """Yield the blocks of a queue from after a row on, in their order, so many looked up at once.

        A damaged row costs itself: it is deleted, and its samples are counted as dropped.
        """
        last = after_id
        while rows := select(
            self.db,
            "id, series_id, export_id, data",
            queue_id,
            "ORDER BY id LIMIT ?",
            at_once,
            since=last + 1,
        ):
            for id_, series, export, data in rows:
                if id_ <= last:
                    # Or they would come again, without end
                    raise UselessFileError("rows are not in their order")
                last = id_
                try:
                    yield decode_block(
                        id_,
                        self.exports[export],
                        self.series[series],
                        data,
                        self._fields,
                    )
                except (KeyError, CorruptRowError):
                    self._lose(id_)

    def _lose(self, id_: int) -> None:
        counts = self.delete([id_])
        _LOGGER.error(
            "A row of the outbox is damaged; %s waiting values are lost, the others go on",
            counts.total(),
        )
        self.dropped += counts

    def clear(self, queue_id: int) -> Counter[str]:
        """Delete all rows of a queue; return how many samples of which export they had."""
        return self._delete(first_id(queue_id), first_id(queue_id + 1) - 1)

    def delete(self, ids: Iterable[int]) -> Counter[str]:
        """Delete rows; return how many samples of which export they had."""
        counts: Counter[str] = Counter()
        # Each run of consecutive ids at once
        for _, run in groupby(enumerate(sorted(ids)), lambda pair: pair[1] - pair[0]):
            its = [id_ for _, id_ in run]
            counts += self._delete(its[0], its[-1])
        return counts

    def _delete(self, first: int, last: int) -> Counter[str]:
        counts: Counter[str] = Counter()
        for export, count in self.db.execute(
            "DELETE FROM block WHERE id BETWEEN ? AND ? RETURNING export_id, count",
            (first, last),
        ).fetchall():
            counts[self.exports.get(export, "")] += count
        if first >> QUEUE_BITS not in self.history:
            self.waiting -= counts
        return counts

    def take_out(
        self, block: Block, keys: Collection[FieldKey]
    ) -> tuple[Block, dict[FieldKey, Block]]:
        """Take the samples of some fields out of a block and its row; return what is left, and what was taken."""
        rest, parts = split(block, keys)
        if parts and block.row.id:
            self.delete([block.row.id])
            if len(rest):
                self.rewrite(rest)
        return rest, parts

    def block_field(self, key: FieldKey, reason: str) -> BlockedField:
        """Note that a field is blocked, and return the queue for its samples."""
        if key not in self.blocked:
            since = time.time()
            queue_id = key_of(
                self.db,
                "queue",
                kind="blocked",
                target_id=target_id(self.db, key.target),
                measurement=key.measurement,
                field=key.field,
                type=key.type,
                reason=reason,
                since=since,
            )
            self.blocked = {**self.blocked, key: BlockedField(queue_id, reason, since)}
        return self.blocked[key]

    def unblock_field(self, key: FieldKey) -> None:
        """Forget that a field is blocked; its queue has to be empty."""
        queue_id = self.blocked[key].queue_id
        self.blocked = {k: its for k, its in self.blocked.items() if k != key}
        self.db.execute("DELETE FROM queue WHERE id = ?", (queue_id,))

    def move(self, queue_id: int, target: WriteTarget, at_most: int = -1) -> int:
        """Move the oldest rows of a queue behind the live samples of a target; return how many rows.

        Their series have to be of that target.
        """
        rows = select(self.db, "id", queue_id, "ORDER BY id LIMIT ?", at_most)
        to_queue = self.live_queue(target)
        for (id_,) in rows:
            self.db.execute(
                "UPDATE block SET id = ? WHERE id = ?", (self._next_id(to_queue), id_)
            )
        if rows:
            self.on_disk |= {target}
        return len(rows)


def encode_block(block: Block, field_ids: Sequence[int]) -> bytes:
    """Return the blob of a row: ids of fields, differences of times, and values; short where it pays."""
    times = block.times
    differences = [times[0], *map(sub, times[1:], times)]
    data = orjson.dumps((field_ids, differences, block.values))
    return data if len(data) < _COMPRESSED_FROM else zlib.compress(data, 1)


def decode_block(
    id_: int,
    export_id: str,
    series: Series,
    data: bytes,
    field_names: Mapping[int, str],
) -> Block:
    """Return the block of a row; raises `CorruptRowError` where it is none."""
    try:
        if data[:1] != b"[":
            data = zlib.decompress(data)
        ids, differences, values = orjson.loads(data)
        times = list(accumulate(differences))
        fields = list(map(field_names.__getitem__, ids))
        if not (
            len(times) == len(fields) == len(values)
            and _EARLIEST <= min(times) <= max(times) <= _LATEST
            and TYPES.keys() >= set(map(type, values))
        ):
            raise CorruptRowError("the parts of a row do not fit")
    except (TypeError, ValueError, KeyError, zlib.error) as err:
        raise CorruptRowError("a row is damaged") from err
    return Block(export_id, series, times, fields, values, Row(id_))
