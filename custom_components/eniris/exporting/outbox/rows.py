"""The rows of an open outbox file, by queue. Everything here blocks, in a transaction of its caller's where it writes."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import accumulate, groupby
from operator import sub
import sqlite3
import time
from typing import Any, Final
import zlib

import orjson

from ...api import WriteTarget
from . import schema
from .batches import TYPES, Block, FieldKey, Row, split, to_us
from .schema import UselessFileError

_READ_AT_ONCE: Final = 200
_EARLIEST: Final = to_us(datetime.min.replace(tzinfo=UTC))
_LATEST: Final = to_us(datetime.max.replace(tzinfo=UTC))
_COMPRESSED_FROM: Final = 100


@dataclass(slots=True)
class BlockedField:
    """A field that the service refuses in every sample, and the queue in which its samples wait."""

    queue_id: int
    reason: str
    since: float


class Rows:
    """Reads and writes blocks. What ids stand for is kept in memory."""

    def __init__(self, db: sqlite3.Connection) -> None:
        """Use an open file."""
        self.db = db
        self.waiting: Counter[str] = Counter()
        """Samples by export."""
        self.oldest: dict[tuple[int, int], int] = {}
        """The row in which each queue's oldest sample of an export was found last."""
        self.load()

    def look_around(self) -> None:
        """Learn what waits, from all rows."""
        for queue_id in self.queues():
            self.waiting += self.count(queue_id)

    def load(self) -> None:
        """Learn what ids stand for: at the beginning, and after a transaction was rolled back."""
        self.exports = schema.load_names(self.db, "export")
        self._fields = schema.load_names(self.db, "field")
        self.series = schema.load_series(self.db)
        self._last: dict[int, int] = {}
        self.live: dict[WriteTarget, int] = {}
        self.blocked: dict[FieldKey, BlockedField] = {}
        """The fields that the service refuses in every sample."""
        for id_, *names, measurement, field, type_, reason, since in self.db.execute(
            "SELECT queue.id, collector, database, retention_policy, measurement,"
            " field, type, reason, since FROM queue JOIN target ON target.id = target_id"
        ).fetchall():
            target = WriteTarget(*names)
            if field is None:
                self.live[target] = id_
            else:
                key = FieldKey(target, measurement, field, type_)
                self.blocked[key] = BlockedField(id_, reason, since)

    @property
    def on_disk(self) -> frozenset[WriteTarget]:
        """The targets that live samples wait for, those of blocked fields left out."""
        return frozenset(target for target, id_ in self.live.items() if self.last(id_))

    def queues(self) -> list[int]:
        """Return the queues of targets and of blocked fields."""
        return [*self.live.values(), *(its.queue_id for its in self.blocked.values())]

    def live_queue(self, target: WriteTarget) -> int:
        """Return the queue of a target's live samples, made where it is missing."""
        if target not in self.live:
            key = schema.target_id(self.db, target)
            self.live[target] = schema.key_of(self.db, "queue", target_id=key)
        return self.live[target]

    def select(
        self, columns: str, queue_id: int, rest: str = "", *args: int, since: int = 0
    ) -> list[tuple[Any, ...]]:
        """Return columns of the rows of a queue from an id on; `rest` is that of the statement."""
        first, end = schema.first_id(queue_id), schema.first_id(queue_id + 1)
        statement = f"SELECT {columns} FROM block WHERE id >= ? AND id < ? {rest}"  # noqa: S608
        return self.db.execute(statement, (max(since, first), end, *args)).fetchall()

    def last(self, queue_id: int) -> int:
        """Return the id of a queue's newest row, 0 where it is empty."""
        [(key,)] = self.select("max(id)", queue_id)
        return key or 0

    def count(self, queue_id: int) -> Counter[str]:
        """Return how many samples of which export a queue has; reads all of its rows."""
        found = self.select("export_id, total(count)", queue_id, "GROUP BY export_id")
        return Counter({self.exports[key]: int(n) for key, n in found})

    def _next_id(self, queue_id: int) -> int:
        if queue_id not in self._last:
            # From the clock on, so that no id comes twice, whatever became of files
            start = schema.first_id(queue_id) + (int(time.time()) % 2**29 << 10)
            self._last[queue_id] = max(self.last(queue_id), start)
        self._last[queue_id] += 1
        return self._last[queue_id]

    def insert(self, queue_id: int, blocks: Iterable[Block]) -> list[int]:
        """Append blocks to a queue; return the ids of their rows."""
        return [self.write(self._next_id(queue_id), block) for block in blocks]

    def write(self, id_: int, block: Block) -> int:
        """Put a block in a place, where there is none, which is returned."""
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
        self.waiting[block.export_id] += len(block)
        return id_

    def read(self, queue_id: int, after_id: int = 0) -> Iterator[Block]:
        """Yield the blocks of a queue from after a row on, in their order."""
        columns, rest = "id, series_id, export_id, data", "ORDER BY id LIMIT ?"
        while rows := self.select(
            columns, queue_id, rest, _READ_AT_ONCE, since=after_id + 1
        ):
            if rows[-1][0] <= after_id:
                raise UselessFileError("rows are not in their order")
            after_id = rows[-1][0]
            yield from map(self.decode, rows)

    def decode(self, row: Sequence[Any]) -> Block:
        """Return the block of an id, series, export and blob; raises `UselessFileError` where it is none."""
        id_, series, export, data = row
        try:
            if data[:1] != b"[":
                data = zlib.decompress(data)
            ids, differences, values = orjson.loads(data)
            times = list(accumulate(differences))
            fields = list(map(self._fields.__getitem__, ids))
            if not (
                len(times) == len(fields) == len(values)
                and _EARLIEST <= min(times) <= max(times) <= _LATEST
                and TYPES.keys() >= set(map(type, values))
            ):
                raise UselessFileError("the parts of a row do not fit")
            its = self.exports[export], self.series[series]
        except (TypeError, ValueError, KeyError, zlib.error) as err:
            raise UselessFileError("a row is damaged") from err
        return Block(*its, times, fields, values, Row(id_))

    def clear(self, queue_id: int) -> Counter[str]:
        """Delete all rows of a queue; return how many samples of which export they had."""
        return self._delete(
            schema.first_id(queue_id), schema.first_id(queue_id + 1) - 1
        )

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
        self.waiting -= counts
        return counts

    def count_dropped(self, counts: Counter[str]) -> int:
        """Note for the figures that samples were given up; return how many."""
        self.db.executemany(
            "UPDATE export SET dropped = dropped + ? WHERE name = ?",
            [(count, name) for name, count in counts.items()],
        )
        return counts.total()

    def take_out(
        self, block: Block, keys: Collection[FieldKey]
    ) -> tuple[Block, dict[FieldKey, Block]]:
        """Take the samples of some fields out of a block and its row; return what is left, and what was taken."""
        rest, parts = split(block, keys)
        if parts and block.row.id:
            self.delete([block.row.id])
            if len(rest):
                self.write(rest.row.id, rest)
        return rest, parts

    def block_field(self, key: FieldKey, reason: str) -> BlockedField:
        """Note that a field is blocked, and return the queue for its samples."""
        if key not in self.blocked:
            since = time.time()
            queue_id = schema.key_of(
                self.db,
                "queue",
                target_id=schema.target_id(self.db, key.target),
                measurement=key.measurement,
                field=key.field,
                type=key.type,
                reason=reason,
                since=since,
            )
            self.blocked[key] = BlockedField(queue_id, reason, since)
        return self.blocked[key]

    def unblock_field(self, key: FieldKey) -> None:
        """Forget that a field is blocked; its queue has to be empty."""
        queue_id = self.blocked.pop(key).queue_id
        self.db.execute("DELETE FROM queue WHERE id = ?", (queue_id,))

    def move(self, queue_id: int, target: WriteTarget, at_most: int = -1) -> int:
        """Move the oldest rows of a queue behind the live samples of their target; return how many."""
        rows = self.select("id", queue_id, "ORDER BY id LIMIT ?", at_most)
        to_queue = self.live_queue(target)
        for (id_,) in rows:
            self.db.execute(
                "UPDATE block SET id = ? WHERE id = ?", (self._next_id(to_queue), id_)
            )
        return len(rows)


def encode_block(block: Block, field_ids: Sequence[int]) -> bytes:
    """Return the blob of a row: ids of fields, differences of times, and values; short where it pays."""
    times = block.times
    differences = [times[0], *map(sub, times[1:], times)]
    data = orjson.dumps((field_ids, differences, block.values))
    return data if len(data) < _COMPRESSED_FROM else zlib.compress(data, 1)
