"""Blocks, and the batches and requests made of them: nothing changes on the way."""

from datetime import timedelta
import gzip
import itertools
from typing import Any

from hypothesis import given, settings, strategies as st
import orjson
import pytest

from custom_components.eniris.api import Body, EnirisQueryError, FieldValue
from custom_components.eniris.exporting.config import Series
from custom_components.eniris.exporting.outbox.batches import (
    BATCH_BYTES,
    BATCH_POINTS,
    BLOCK_SAMPLES,
    Batch,
    Block,
    FieldKey,
    Sample,
    cut,
    from_us,
    make_batch,
    regroup,
    split,
    to_blocks,
    to_us,
)
from tests.exporting.conftest import SERIES, START, TARGET, at, sample


def samples_of(blocks: list[Block]) -> list[Sample]:
    """Return the samples of blocks, in their order."""
    return [entry.sample for entry in Batch(TARGET, blocks, Body(b"", {}), {}).entries]


def test_order_and_groups() -> None:
    """A block for each export and series, in the order of their first samples; none is too large."""
    other = Series(TARGET, "m", (("a", "b"),))
    blocks = to_blocks(
        [
            sample(5, series=other),
            sample(3),
            sample(9),
            sample(1, export_id="second"),
            sample(0, series=other),
        ]
    )
    assert [
        (block.export_id, block.series, [from_us(us) for us in block.times])
        for block in blocks
    ] == [
        ("export", other, [at(5), at(0)]),
        ("export", SERIES, [at(3), at(9)]),
        ("second", SERIES, [at(1)]),
    ]
    large = to_blocks(sample(n, float(n)) for n in range(2 * BLOCK_SAMPLES + 1))
    assert [len(block) for block in large] == [BLOCK_SAMPLES, BLOCK_SAMPLES, 1]
    assert [s.value for s in samples_of(large)] == [
        float(n) for n in range(2 * BLOCK_SAMPLES + 1)
    ]


@settings(max_examples=50)
@given(micros=st.integers(-(10**16), 10**17))
def test_times(micros: int) -> None:
    """Microseconds are exact."""
    time = START + timedelta(microseconds=micros)
    assert from_us(to_us(time)) == time


def test_split() -> None:
    """What is of some fields is taken out, each by itself; a type is part of a field."""
    [block] = to_blocks(
        [
            sample(0, 1.0, "a"),
            sample(0, "x", "a"),
            sample(0, 2.0, "b"),
            sample(1, 3.0, "a"),
            sample(1, True, "c"),
        ]
    )
    block.row.id = 7
    a = FieldKey(TARGET, SERIES.measurement, "a", "float")
    c = FieldKey(TARGET, SERIES.measurement, "c", "boolean")
    unknown = FieldKey(TARGET, SERIES.measurement, "c", "float")
    rest, held = split(block, {a, c, unknown})
    assert (rest.fields, rest.values) == (["a", "b"], ["x", 2.0])
    assert {key: its.values for key, its in held.items()} == {a: [1.0, 3.0], c: [True]}
    # What is left of a row is put in its place; what is taken out goes elsewhere
    assert rest.row is block.row
    assert all(its.row.id == 0 for its in held.values())


def test_regroup() -> None:
    """Chosen samples keep the rows that they came from."""
    first, second = to_blocks([sample(0), sample(1), sample(2, export_id="second")])
    entries = Batch(TARGET, [first, second], Body(b"", {}), {}).entries
    parts = regroup([entries[2], entries[1]])
    assert [part.export_id for part in parts] == ["second", "export"]
    assert [part.row for part in parts] == [second.row, first.row]
    assert [part.times for part in parts] == [second.times, first.times[1:]]


def bodies(blocks: list[Block], size: int = BATCH_BYTES) -> list[bytes]:
    """Return the JSON of all requests that it takes to send blocks."""
    found = []
    while chosen := cut(blocks, size):
        blocks = blocks[len(chosen) :]
        body = make_batch(TARGET, chosen).body
        assert isinstance(body, Body)
        found.append(body)
    return [plain(body) for body in found]


def plain(body: Body) -> bytes:
    """Return the JSON of a request."""
    is_compressed = "Content-Encoding" in body.headers
    return gzip.decompress(body.data) if is_compressed else body.data


WORST: dict[str, tuple[Series, str, FieldValue]] = {
    "numbers": (SERIES, "f", -1.7976931348623157e308),
    "long names": (
        Series(TARGET, "m" * 200, (("k" * 200, "v" * 200),)),
        "f" * 200,
        1.0,
    ),
    "many tags": (
        Series(TARGET, "m", tuple((f"k{n}", f"v{n}") for n in range(100))),
        "f",
        True,
    ),
    "texts": (SERIES, "f", "x" * 200),
}


@pytest.mark.parametrize("merged", [False, True])
@pytest.mark.parametrize("case", WORST)
def test_about_a_mebibyte(case: str, merged: bool) -> None:
    """A request is about as large as it may be, and no sample is left out."""
    series, name, value = WORST[case]
    blocks = to_blocks(
        sample(
            n // 100 if merged else n,
            value,
            f"{name}{n % 100}" if merged else name,
            series=series,
        )
        for n in range(20_000)
    )
    requests = bodies(blocks)
    assert max(map(len, requests)) < 1.3 * BATCH_BYTES
    points = [point for request in requests for point in orjson.loads(request)]
    assert sum(len(point["fields"]) for point in points) == 20_000
    # However small the size, something goes
    assert all(bodies(blocks[:2], 1))


def test_at_most_5000_points() -> None:
    """Points are counted, not samples: those of the same series and time are one."""
    blocks = to_blocks(
        sample(n // 4, 1.0, f"f{n % 4}") for n in range(4 * 2 * BATCH_POINTS)
    )
    counts = [len(orjson.loads(request)) for request in bodies(blocks, 2**30)]
    assert max(counts) <= BATCH_POINTS
    assert sum(counts) == 2 * BATCH_POINTS


def test_merged_points() -> None:
    """Fields of the same series and time are one point; the later value of a field counts.

    Points of a series stand together.
    """
    other = Series(TARGET, "gridMetrics", (("serialNr", "other"),))
    blocks = list(
        itertools.chain(
            to_blocks([sample(0, 1.0, "a"), sample(0, 2.0, "b")]),
            to_blocks([sample(0, 3.0, "a", series=other)]),
            to_blocks([sample(1, 4.0, "a"), sample(0, 5.0, "a")]),
        )
    )
    [request] = bodies(blocks)
    points: list[dict[str, Any]] = orjson.loads(request)
    assert [(point["tags"], point["fields"]) for point in points] == [
        (dict(SERIES.tags), {"a": 5.0, "b": 2.0}),
        (dict(SERIES.tags), {"a": 4.0}),
        (dict(other.tags), {"a": 3.0}),
    ]


def test_newest_of_each_field() -> None:
    """Found in blocks of the present, which go forward, and in those of the past, which go back."""
    blocks = [
        *to_blocks([sample(0, 1.0, "a"), sample(1, 2.0, "a"), sample(1, "x", "b")]),
        *to_blocks([sample(9, 3.0, "c"), sample(8, 4.0, "c")]),
        *to_blocks([sample(0.5, 5.0, "a")]),
    ]
    newest = make_batch(TARGET, blocks).newest
    assert {key.field: entry.sample.value for key, entry in newest.items()} == {
        "a": 2.0,
        "b": "x",
        "c": 3.0,
    }


def test_what_cannot_be_sent() -> None:
    """A batch with such a sample says so, and keeps its blocks."""
    series = Series(TARGET, "bad\nname", ())
    batch = make_batch(TARGET, to_blocks([sample(0, series=series), sample(1)]))
    assert isinstance(batch.body, EnirisQueryError)
    assert len(batch) == 2
