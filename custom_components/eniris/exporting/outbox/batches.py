"""What waits, in memory and on disk alike: blocks of samples, and the batches and requests made of them."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass, field as dataclass_field
from datetime import datetime, timedelta
from functools import lru_cache
from operator import itemgetter
from typing import Final, NamedTuple

import orjson

from ...api import Body, EnirisQueryError, FieldValue, Point, WriteTarget, encode_points
from ..config import EPOCH, Series

BATCH_POINTS: Final = 5000
BATCH_BYTES: Final = 1024 * 1024
BLOCK_SAMPLES: Final = 1000
"""The most samples of a row: what is refused or renamed rewrites no more than this."""

_AT_ONCE: Final = 100
"""Samples below which a thread costs more than the work."""

_MICROSECOND: Final = timedelta(microseconds=1)
_POINT_BYTES: Final = len(
    '{"measurement":"","time":"2026-07-01T12:00:00.000000Z","tags":{},"fields":{}},'
)
_VALUE_BYTES: Final = len('"":')
TYPES: Final = {bool: "boolean", float: "float", int: "integer", str: "string"}


class Sample(NamedTuple):
    """One value of one field of a series at an aware time, taken for an export."""

    export_id: str
    series: Series
    time: datetime
    field: str
    value: FieldValue


class FieldKey(NamedTuple):
    """What the service may refuse altogether: a field of a measurement at a target, with a type."""

    target: WriteTarget
    measurement: str
    field: str
    type: str


@dataclass(slots=True, eq=False)
class Row:
    """Where a block is on disk: the id of its row, 0 while it is in memory alone."""

    id: int = 0


@dataclass(slots=True, eq=False)
class Block:
    """Samples of one export and series, in their order: three lists of one length. Parts of it share its row."""

    export_id: str
    series: Series
    times: list[int] = dataclass_field(default_factory=list)
    fields: list[str] = dataclass_field(default_factory=list)
    values: list[FieldValue] = dataclass_field(default_factory=list)
    row: Row = dataclass_field(default_factory=Row)
    taken: float = 0.0
    """The monotonic time by which all of its samples were taken; of use in memory alone."""

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.times)

    def empty_copy(self) -> "Block":
        """Return a block without samples that stands for the same row."""
        return Block(self.export_id, self.series, row=self.row, taken=self.taken)

    def add(self, time_us: int, field: str, value: FieldValue) -> None:
        """Add a sample."""
        self.times.append(time_us)
        self.fields.append(field)
        self.values.append(value)


class Entry(NamedTuple):
    """One sample of a block, by its place."""

    block: Block
    number: int

    @property
    def time_us(self) -> int:
        """Microseconds since 1970."""
        return self.block.times[self.number]

    @property
    def key(self) -> FieldKey:
        """The field that it is a value of."""
        block, number = self
        return field_key(block.series, block.fields[number], block.values[number])

    @property
    def sample(self) -> Sample:
        """The sample by itself."""
        block, number = self
        return Sample(
            block.export_id,
            block.series,
            from_us(self.time_us),
            block.fields[number],
            block.values[number],
        )


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """What makes one request."""

    target: WriteTarget
    blocks: list[Block]
    body: Body | EnirisQueryError
    """An error where one of the samples cannot be sent."""
    newest: dict[FieldKey, Entry]
    """The newest sample of each field."""

    def __len__(self) -> int:
        """Return the number of samples."""
        return sum(map(len, self.blocks))

    @property
    def entries(self) -> list[Entry]:
        """The samples one by one."""
        return [Entry(block, n) for block in self.blocks for n in range(len(block))]


class Reject(NamedTuple):
    """A sample that the service refused for good, and why."""

    sample: Sample
    reason: str


class TooOld(NamedTuple):
    """The service takes nothing of `until` or older, and so none of these blocks."""

    until: datetime
    reason: str
    blocks: list[Block]


@dataclass(slots=True)
class Settlement:
    """What became of a batch: all of its samples are in one of these."""

    stored: list[Block] = dataclass_field(default_factory=list)
    rejects: list[Reject] = dataclass_field(default_factory=list)
    recalled: list[Reject] = dataclass_field(default_factory=list)
    """Samples of fields in `blocked` that were set aside before it was known that all are refused."""
    too_old: TooOld | None = None
    blocked: dict[FieldKey, str] = dataclass_field(default_factory=dict)
    """Fields that the service refuses in every sample, with the reason; their samples are in `remaining`."""
    remaining: list[Block] = dataclass_field(default_factory=list)

    @property
    def set_aside(self) -> list[Reject]:
        """What is refused for good, for its age or for itself."""
        if self.too_old is None:
            return self.rejects
        return [
            *self.rejects,
            *(
                Reject(Entry(block, number).sample, self.too_old.reason)
                for block in self.too_old.blocks
                for number in range(len(block))
            ),
        ]


def field_key(series: Series, field: str, value: FieldValue) -> FieldKey:
    """Return what a value belongs to for the service."""
    return FieldKey(series.target, series.measurement, field, TYPES[type(value)])


def to_us(time: datetime) -> int:
    """Return microseconds since 1970."""
    return (time - EPOCH) // _MICROSECOND


def from_us(time_us: int) -> datetime:
    """Return the time that is so many microseconds after 1970."""
    return EPOCH + timedelta(microseconds=time_us)


def to_blocks(samples: Iterable[Sample]) -> list[Block]:
    """Return samples as blocks of one export and series each, in the order of the first sample of each."""
    blocks: list[Block] = []
    # By identity: to compare a series takes longer than all the rest
    latest: dict[tuple[str, int], Block] = {}
    for export_id, series, time, field, value in samples:
        block = latest.get((export_id, id(series)))
        if block is None or len(block.times) >= BLOCK_SAMPLES:
            block = latest[export_id, id(series)] = Block(export_id, series)
            blocks.append(block)
        block.add((time - EPOCH) // _MICROSECOND, field, value)
    return blocks


def regroup(entries: Iterable[Entry]) -> list[Block]:
    """Return chosen samples as blocks that stand for the rows they came from."""
    blocks: dict[int, Block] = {}
    for block, number in entries:
        part = blocks.get(id(block))
        if part is None:
            part = blocks[id(block)] = block.empty_copy()
        part.add(block.times[number], block.fields[number], block.values[number])
    return list(blocks.values())


def split(
    block: Block, keys: Container[FieldKey]
) -> tuple[Block, dict[FieldKey, Block]]:
    """Return what of a block belongs to none of some fields, and what belongs to each of them."""
    rest, held = block.empty_copy(), dict[FieldKey, Block]()
    series = block.series
    for time_us, field, value in zip(
        block.times, block.fields, block.values, strict=True
    ):
        key = field_key(series, field, value)
        part = rest
        if key in keys:
            part = held.setdefault(
                key, Block(block.export_id, series, taken=block.taken)
            )
        part.add(time_us, field, value)
    return rest, held


def cut(blocks: Iterable[Block], max_bytes: int) -> list[Block]:
    """Return the first blocks that one request takes, at least one where there is any."""
    chosen: list[Block] = []
    points = size = 0
    for block in blocks:
        # More than there are, where several fields share a time, but never less
        new_points = len(set(block.times))
        points += new_points
        size += new_points * _point_size(block.series)
        size += sum(map(len, block.fields)) + len(orjson.dumps(block.values))
        size += _VALUE_BYTES * len(block)
        if chosen and (points > BATCH_POINTS or size > max_bytes):
            break
        chosen.append(block)
    return chosen


@lru_cache
def _point_size(series: Series) -> int:
    """Return about the bytes that a point takes in a request, without its fields."""
    return _POINT_BYTES + len(series.measurement) + len(str(series.tags))


async def async_aside[*Args, Result](
    samples: int, function: Callable[[*Args], Result], *args: *Args
) -> Result:
    """Return what a function makes of so many samples, where that holds up nobody."""
    if samples < _AT_ONCE:
        return function(*args)
    return await asyncio.to_thread(function, *args)


def make_batch(target: WriteTarget, blocks: list[Block]) -> Batch:
    """Return the batch of blocks with its request; what takes long of an upload, so it belongs in a thread."""
    body: Body | EnirisQueryError
    try:
        body = encode_points(_points(blocks))
    except EnirisQueryError as err:
        body = err
    return Batch(target, blocks, body, _newest(blocks))


def _newest(blocks: Iterable[Block]) -> dict[FieldKey, Entry]:
    # By what is compared quickly; only in the end by what it stands for
    found: dict[tuple[int, str, type], tuple[int, Entry]] = {}
    for block in blocks:
        times, fields, values = block.times, block.fields, block.values
        # Samples stand in the order of time, those of the past in the reverse
        order = range(len(times))
        if times[0] > times[-1]:
            order = order[::-1]
        for field, index in dict(
            zip(map(fields.__getitem__, order), order, strict=True)
        ).items():
            key = (id(block.series), field, type(values[index]))
            other = found.get(key)
            if other is None or other[0] <= times[index]:
                found[key] = times[index], Entry(block, index)
    # Several series can have the same field
    return {entry.key: entry for _, entry in sorted(found.values(), key=itemgetter(0))}


def _points(blocks: Iterable[Block]) -> Iterator[Point]:
    """Yield points, one of a series and time; those of one series stand together, since that compresses best."""
    merged: defaultdict[Series, dict[int, dict[str, FieldValue]]] = defaultdict(dict)
    series: Series | None = None
    points: dict[int, dict[str, FieldValue]] = {}
    for block in blocks:
        if block.series is not series:
            series = block.series
            points = merged[series]
        for time_us, field, value in zip(
            block.times, block.fields, block.values, strict=True
        ):
            fields = points.get(time_us)
            if fields is None:
                points[time_us] = {field: value}
            else:
                fields[field] = value
    for series, points in merged.items():
        measurement, tags = series.measurement, dict(series.tags)
        for time_us, fields in points.items():
            yield Point(measurement, tags, EPOCH + timedelta(0, 0, time_us), fields)


def count_by_export(blocks: Iterable[Block]) -> Counter[str]:
    """Return how many samples are of which export."""
    counts: Counter[str] = Counter()
    for block in blocks:
        counts[block.export_id] += len(block)
    return counts
