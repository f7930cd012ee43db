"""Rows by queue: in order, counted right, the same to the last bit, and each damaged one costs itself alone."""

from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
import tempfile

from freezegun.api import FrozenDateTimeFactory
from hypothesis import given, settings, strategies as st
import pytest

from custom_components.eniris.api import FieldValue
from custom_components.eniris.exporting.config import Series
from custom_components.eniris.exporting.outbox.batches import (
    Block,
    FieldKey,
    Reject,
    Sample,
    to_blocks,
)
from custom_components.eniris.exporting.outbox.figures import load_figures
from custom_components.eniris.exporting.outbox.live import add_rejects, load_rejects
from custom_components.eniris.exporting.outbox.rows import Rows, encode_block
from custom_components.eniris.exporting.outbox.schema import UselessFileError, connect
from tests.exporting.conftest import (
    OTHER_TARGET,
    SERIES,
    START,
    TARGET,
    at,
    sample,
    to_target,
)
from tests.kit.outbox import rows_of, samples_of

KEY = FieldKey(TARGET, SERIES.measurement, "bad_W", "float")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where the outbox is."""
    return tmp_path / "outbox.db"


@pytest.fixture
def rows(path: Path) -> Iterator[Rows]:
    """Return the rows of a new outbox."""
    with closing(connect(path)) as db:
        yield Rows(db)


def put(rows: Rows, *samples: Sample) -> list[int]:
    """Append samples to the queues of their targets, one row for each export and series."""
    return [
        id_
        for block in to_blocks(samples)
        for id_ in rows.insert(rows.live_queue(block.series.target), [block])
    ]


def reopened(rows: Rows) -> Rows:
    """Return the rows as they are after a restart."""
    rows.db.commit()
    again = Rows(rows.db)
    again.look_around()
    return again


def test_order(rows: Rows) -> None:
    """First in, first out, whatever times samples have; after a restart too."""
    for seconds in (5, 3, 9, 1):
        put(rows, sample(seconds))
    put(rows, sample(0), sample(7))
    expected = [at(seconds) for seconds in (5, 3, 9, 1, 0, 7)]
    assert [found.time for found in rows_of(rows, TARGET)] == expected
    again = reopened(rows)
    put(again, sample(2))
    assert [found.time for found in rows_of(again, TARGET)] == [*expected, at(2)]


def test_targets(rows: Rows) -> None:
    """Each has its own queue."""
    assert not rows.on_disk
    put(rows, sample(0), sample(1, series=to_target(OTHER_TARGET)), sample(2))
    assert rows.on_disk == {TARGET, OTHER_TARGET}
    assert [found.time for found in rows_of(rows, TARGET)] == [at(0), at(2)]
    rows.clear(rows.live_queue(TARGET))
    assert rows.on_disk == {OTHER_TARGET}
    assert not rows.last(rows.live_queue(TARGET))


def test_reads_on(rows: Rows) -> None:
    """A queue of any length is read from after a row on."""
    for n in range(500):
        put(rows, sample(n))
    queue = rows.live_queue(TARGET)
    ids = [block.row.id for block in rows.read(queue)]
    assert ids == sorted(ids, key=lambda id_: id_ or 0)
    assert len(ids) == 500
    found = samples_of(list(rows.read(queue, ids[299] or 0)))
    assert [each.time for each in found] == [at(n) for n in range(300, 500)]
    assert rows.last(queue) == ids[-1]


def test_no_id_comes_twice(rows: Rows, freezer: FrozenDateTimeFactory) -> None:
    """An answer to what was deleted, even before a restart, deletes nothing of what came since."""
    freezer.move_to(START)
    old = put(rows, sample(0), sample(1, export_id="second"))
    rows.delete(old)
    freezer.tick(1)
    again = reopened(rows)
    new = put(again, sample(2))
    assert not set(new) & set(old)
    assert not again.delete(old)
    assert len(rows_of(again, TARGET)) == 1


@pytest.mark.parametrize("year", [1970, 2026, 2099])
def test_ids_stay_in_their_queue(
    rows: Rows, freezer: FrozenDateTimeFactory, year: int
) -> None:
    """Whatever the clock says, nothing gets into the queue of another target."""
    freezer.move_to(START.replace(year=year))
    put(rows, sample(0))
    put(rows, sample(1, series=to_target(OTHER_TARGET)))
    assert [found.time for found in rows_of(rows, TARGET)] == [at(0)]
    assert [found.time for found in rows_of(rows, OTHER_TARGET)] == [at(1)]


def test_rest_of_a_row_keeps_its_place(rows: Rows) -> None:
    """What is left of a batch is next again."""
    put(rows, sample(0), sample(1))
    put(rows, sample(2))
    block = next(rows.read(rows.live_queue(TARGET)))
    assert block.row.id is not None
    rest = block.empty_copy()
    rest.add(block.times[1], block.fields[1], block.values[1])
    assert rows.delete([block.row.id]) == {"export": 2}
    rows.write(rest.row.id, rest)
    assert [found.time for found in rows_of(rows, TARGET)] == [at(1), at(2)]
    assert rows.waiting == {"export": 2}


def test_delete_is_exact(rows: Rows) -> None:
    """Runs of ids and single ones, in any order, and those that are gone already."""
    ids = [put(rows, sample(n))[0] for n in range(10)]
    gone = [ids[7], ids[1], ids[2], ids[3], ids[9], ids[7]]
    assert rows.delete(gone) == {"export": 5}
    assert rows.delete(gone) == {}
    assert [found.time for found in rows_of(rows, TARGET)] == [
        at(n) for n in (0, 4, 5, 6, 8)
    ]


def test_blocked_fields(rows: Rows) -> None:
    """They, the reason and what waits of them are known after a restart, until they are released."""
    blocked = rows.block_field(KEY, "no")
    rows.insert(blocked.queue_id, to_blocks([sample(0, name="bad_W")]))
    assert rows.block_field(KEY, "another reason").queue_id == blocked.queue_id
    again = reopened(rows)
    assert again.blocked == {KEY: blocked}
    assert again.waiting == {"export": 1}
    # They hold up no target
    assert not again.on_disk
    assert again.move(blocked.queue_id, TARGET) == 1
    assert again.on_disk == {TARGET}
    again.unblock_field(KEY)
    last = reopened(again)
    assert not last.blocked
    assert [found.field for found in rows_of(last, TARGET)] == ["bad_W"]
    # A queue that is made now is not taken for the old one
    assert last.block_field(KEY, "no").queue_id > blocked.queue_id


def test_moved_rows_come_last(rows: Rows) -> None:
    """A few at a time, in their order, behind what waits already."""
    blocked = rows.block_field(KEY, "no")
    for n in range(5):
        rows.insert(blocked.queue_id, to_blocks([sample(n, name="bad_W")]))
    put(rows, sample(9))
    moved = [rows.move(blocked.queue_id, TARGET, at_most=2) for _ in range(4)]
    assert moved == [2, 2, 1, 0]
    assert [found.time for found in rows_of(rows, TARGET)] == [
        at(n) for n in (9, 0, 1, 2, 3, 4)
    ]


@settings(max_examples=30, deadline=None)
@given(
    names=st.lists(
        st.text(st.characters(exclude_categories=["Cs"]), min_size=1), min_size=4
    )
)
def test_names_come_back(names: list[str]) -> None:
    """Names are kept as they are, hostile ones included."""
    with (
        tempfile.TemporaryDirectory() as directory,
        closing(connect(Path(directory) / "outbox.db")) as db,
    ):
        rows = Rows(db)
        series = Series(TARGET, names[0], tuple((name, name) for name in names))
        given = Sample(names[1], series, START, names[2], names[3])
        put(rows, given)
        add_rejects(rows, [Reject(given, names[3])])
        again = reopened(rows)
        assert rows_of(again, TARGET) == [given]
        assert load_rejects(again) == [Reject(given, names[3])]


def test_damaged_tags(rows: Rows) -> None:
    """What is of a series of which nobody can tell what it is cannot be read."""
    put(rows, sample(0))
    rows.db.execute("UPDATE series SET tags = 'x'")
    with pytest.raises(UselessFileError):
        rows_of(reopened(rows), TARGET)


def test_reads_no_more_than_it_needs(rows: Rows) -> None:
    """However long the backlog: a batch is a search by id, nothing is sorted or scanned."""
    for n in range(10):
        put(rows, sample(n))
    statements: list[str] = []
    rows.db.set_trace_callback(statements.append)
    queue = rows.live_queue(TARGET)
    list(rows.read(queue))
    rows.last(queue)
    load_figures(rows)
    rows.db.set_trace_callback(None)
    for statement in statements:
        plan = [row[3] for row in rows.db.execute(f"EXPLAIN QUERY PLAN {statement}")]
        assert not [s for s in plan if "TEMP B-TREE" in s or "SCAN" in s], plan


def test_rolled_back(rows: Rows) -> None:
    """What ids stood for in a transaction that failed is not believed afterwards."""
    put(rows, sample(0))
    rows.db.commit()
    before = rows.waiting.copy()
    put(rows, sample(1, name="new", export_id="new", series=to_target(OTHER_TARGET)))
    rows.block_field(KEY, "no")
    rows.db.rollback()
    rows.waiting = before
    rows.load()
    assert not rows.blocked
    put(rows, sample(2, name="new", export_id="new", series=to_target(OTHER_TARGET)))
    again = reopened(rows)
    [found] = rows_of(again, OTHER_TARGET)
    assert (found.export_id, found.field) == ("new", "new")
    assert again.waiting == rows.waiting == {"export": 1, "new": 1}


type Step = tuple[str, int]


@settings(max_examples=40, deadline=None)
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(
                ["add", "add", "delete", "block", "release", "rest", "clear", "reopen"]
            ),
            st.integers(0, 20),
        ),
        max_size=30,
    )
)
def test_figures_agree_with_the_tables(steps: list[Step]) -> None:
    """Whatever is done in whatever order: nothing is counted twice, and nothing is forgotten."""
    with (
        tempfile.TemporaryDirectory() as directory,
        closing(connect(Path(directory) / "outbox.db")) as db,
    ):
        _check_figures(Rows(db), steps)


def _check_figures(rows: Rows, steps: list[Step]) -> None:
    taken = 0
    for step, number in steps:
        queue = rows.live_queue(TARGET)
        match step:
            case "add":
                name = "ab"[number % 2]
                put(rows, *(sample(taken + n, export_id=name) for n in range(number)))
                taken += number
            case "delete":
                ids = [block.row.id or 0 for block in rows.read(queue)]
                rows.delete(ids[: number % 3])
            case "block":
                blocked = rows.block_field(KEY, "no")
                rows.insert(blocked.queue_id, to_blocks([sample(taken, name="bad_W")]))
                taken += 1
            case "release":
                if KEY in rows.blocked:
                    rows.move(rows.blocked[KEY].queue_id, TARGET)
                    rows.unblock_field(KEY)
            case "rest":
                for block in list(rows.read(queue))[:1]:
                    rest = replace(
                        block,
                        times=block.times[1:],
                        fields=block.fields[1:],
                        values=block.values[1:],
                    )
                    rows.delete([block.row.id or 0])
                    if len(rest):
                        rows.write(rest.row.id, rest)
            case "clear":
                if number == 0:
                    rows.clear(queue)
            case "reopen":
                rows = reopened(rows)
        found = [
            each for key in rows.queues() for each in samples_of(list(rows.read(key)))
        ]
        assert +rows.waiting == Counter(each.export_id for each in found)
        for name, its in load_figures(rows).items():
            times = [each.time for each in found if each.export_id == name]
            assert (its.waiting, its.oldest) == (len(times), min(times, default=None))


NAMES = ["actualPowerTot_W", "status"]


@contextmanager
def new_rows() -> Iterator[Rows]:
    """Return the rows of a new outbox in which some names are known."""
    with (
        tempfile.TemporaryDirectory() as directory,
        closing(connect(Path(directory) / "outbox.db")) as db,
    ):
        rows = Rows(db)
        put(rows, *(sample(0, name=name) for name in NAMES))
        yield rows


def round_trip(block: Block) -> Block:
    """Return what a row gives back of a block."""
    with new_rows() as rows:
        [id_] = rows.insert(rows.live_queue(OTHER_TARGET), [block])
        [found] = rows.read(rows.live_queue(OTHER_TARGET))
        assert found.row.id == id_
        return found


@pytest.mark.parametrize(
    "value",
    [
        *(True, False, 0.0, -0.0, 1.0, 2000.0, 1e308, -1.7976931348623157e308, 5e-324),
        *(0.1, 1 / 3, "", "on", "1.0", "0", "true", "null", "Zürich ☀ 🜁", "a\x00b"),
        *("line\nline", "'; DROP TABLE block; --", '"\\\t', "x" * 100_000, "\x7f\x80"),
    ],
    ids=lambda value: repr(value)[:20],
)
@pytest.mark.parametrize("count", [1, 3, 500])
def test_values_come_back(value: FieldValue, count: int) -> None:
    """To the type, the sign of zero and the last bit, compressed or not."""
    [block] = to_blocks(sample(n, value) for n in range(count))
    found = round_trip(block)
    assert [(type(each), repr(each)) for each in found.values] == (
        [(type(value), repr(value))] * count
    )
    assert found.times == block.times


@settings(max_examples=100, deadline=None)
@given(
    rows=st.lists(
        st.tuples(
            st.integers(-(10**15), 10**15),
            st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=5),
            st.one_of(
                st.booleans(),
                st.floats(allow_nan=False, allow_infinity=False),
                st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
            ),
        ),
        min_size=1,
        max_size=50,
    )
)
def test_blocks_come_back(rows: list[tuple[int, str, FieldValue]]) -> None:
    """Whatever times, names and values are in them, in whatever order."""
    block = Block("export", SERIES)
    for row in rows:
        block.add(*row)
    found = round_trip(block)
    assert (found.times, found.fields) == (block.times, block.fields)
    assert list(map(repr, found.values)) == list(map(repr, block.values))


def test_bytes_of_a_row() -> None:
    """Values a second apart cost a few bytes each on disk."""
    [block] = to_blocks(sample(n, 1234.5 + n % 7) for n in range(1000))
    assert len(encode_block(block, [1] * 1000)) < 5000


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"[", b"x" * 50, b"[]", b"[[1],[0],[]]", b"[[1],[0],[null]]"),
        *(b"[[9],[0],[1.0]]", b"[[1,1],[0],[1.0]]", b'[["a"],[0],[1.0]]'),
        *(b"[[1],[9223372036854775807],[1.0]]", b"[[1],[0],[[1.0]]]"),
        *(b'[[1],["noon"],[1.0]]', b"[[[1]],[0],[1.0]]", b"\x78\x01\x00"),
    ],
)
def test_damaged_rows(data: bytes) -> None:
    """What is no row of ours is told from one, and nothing else is raised."""
    with new_rows() as rows, pytest.raises(UselessFileError):
        rows.decode((1, 1, 1, data))


@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=60), where=st.integers(0, 200), bit=st.integers(0, 7))
def test_any_bytes(data: bytes, where: int, bit: int) -> None:
    """A row of any bytes, or with a bit that flipped, is a block or damaged."""
    [block] = to_blocks(sample(n, "on", "status") for n in range(50))
    flipped = bytearray(encode_block(block, [2] * 50))
    flipped[where % len(flipped)] ^= 1 << bit
    with new_rows() as rows:
        for each in (data, bytes(flipped)):
            try:
                found = rows.decode((1, 1, 1, each))
            except UselessFileError:
                continue
            assert len(found.times) == len(found.fields) == len(found.values) > 0
