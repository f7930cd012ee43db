"""A file that cannot be used: set aside byte by byte, what can be read of it goes on, and nothing is lost twice."""

from collections.abc import Iterator
from contextlib import closing
import os
from pathlib import Path
import sqlite3
import tempfile

import pytest

from custom_components.eniris.exporting.outbox.batches import (
    FieldKey,
    Sample,
    to_blocks,
)
from custom_components.eniris.exporting.outbox.rows import Rows
from custom_components.eniris.exporting.outbox.schema import SCHEMA_VERSION
from tests.exporting.conftest import OTHER_TARGET, SERIES, TARGET, sample, to_target
from tests.kit.outbox import new_store, rows_of, samples_of

DAMAGED = pytest.mark.expected_log("cannot be read .* kept as .*damaged-")
KEY = FieldKey(TARGET, SERIES.measurement, "bad_W", "float")
NOBODY = 65534
"""A user without rights."""

pytestmark = [DAMAGED, pytest.mark.expected_log("carried over into the new outbox")]


@pytest.fixture(autouse=True)
def no_sockets(socket_enabled: None) -> None:
    """Let the event loop have its own."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where the outbox is."""
    return tmp_path / "outbox.db"


def put(rows: Rows, *samples: Sample) -> None:
    """Append samples to the queues of their targets."""
    for block in to_blocks(samples):
        rows.insert(rows.live_queue(block.series.target), [block])


def put_blocked(rows: Rows, *samples: Sample) -> None:
    """Append samples to the queue of a blocked field."""
    rows.insert(rows.block_field(KEY, "no").queue_id, to_blocks(samples))


def blocked_of(rows: Rows) -> list[Sample]:
    """Return what waits of the blocked field."""
    return samples_of(list(rows.read(rows.blocked[KEY].queue_id)))


async def make(path: Path, count: int = 100) -> list[Sample]:
    """Leave an outbox behind in which a row for each second waits; return what does."""
    store = new_store(path)
    await store.open()
    given = [sample(n, os.urandom(15).hex(), "text") for n in range(count)]
    for each in given:
        await store.run(put, each)
    await store.close()
    return given


def content_of(path: Path) -> bytes:
    """Return what is in a file, or in the file in a directory."""
    return (path / "content" if path.is_dir() else path).read_bytes()


def write(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Make a file."""
    path.write_bytes(content)
    path.chmod(mode)


def overwrite(path: Path, begin: int, data: bytes) -> None:
    """Damage a file."""
    with path.open("r+b") as file:
        file.seek(begin)
        file.write(data)


def damage(path: Path, how: str) -> None:
    """Make something that is no outbox, of one or of nothing."""
    match how:
        case "garbage":
            path.write_bytes(b"This is not a database. " * 1000)
        case "directory":
            path.unlink()
            path.mkdir()
            (path / "content").write_text("of somebody else")
        case "other tables" | "no version":
            path.unlink()
            with closing(sqlite3.connect(path)) as db:
                version = SCHEMA_VERSION if how == "other tables" else 0
                db.executescript(
                    f"CREATE TABLE target (x); PRAGMA user_version = {version};"
                )
        case "first edition" | "future":
            version = 2 if how == "first edition" else SCHEMA_VERSION + 1
            with closing(sqlite3.connect(path)) as db:
                db.execute(f"PRAGMA user_version = {version}")
        case "truncated":
            os.truncate(path, path.stat().st_size // 2)
        case "header":
            overwrite(path, 0, b"\xff" * 100)
        case "read-only":
            # The version for writing: nobody's
            overwrite(path, 18, b"\x03")
        case "schema":
            overwrite(path, 100, b"\xff" * 2000)


@pytest.mark.parametrize(
    "how",
    [
        *("garbage", "directory", "other tables", "no version", "first edition"),
        *("future", "truncated", "header", "schema", "read-only"),
    ],
)
async def test_useless_file(path: Path, how: str) -> None:
    """It is set aside byte by byte, and a fresh one works."""
    given = await make(path)
    damage(path, how)
    content = content_of(path)
    store = new_store(path)
    await store.open()
    [name] = await store.damaged_files()
    assert content_of(path.with_name(name)) == content
    carried = await store.run(rows_of, TARGET)
    assert store.carried_over == len(carried)
    assert await store.run(lambda rows: rows.waiting.total()) == len(carried)
    if how == "read-only":
        assert carried == given
    # Nothing of it is changed, and nothing comes twice
    assert [each for each in given if each in carried] == carried
    await store.run(put, sample(0))
    await store.close()
    again = new_store(path)
    await again.open()
    assert again.carried_over is None
    assert len(await again.run(rows_of, TARGET)) == len(carried) + 1
    assert await again.damaged_files() == [name]
    await again.close()


def page_size(path: Path) -> int:
    """Return the bytes of a page, as the file's header has them."""
    return int.from_bytes(path.read_bytes()[16:18])


def damage_page(path: Path, number: int) -> None:
    """Make a page unreadable."""
    size = page_size(path)
    overwrite(path, (number - 1) * size, b"\xa5" * size)


async def test_a_first_row_that_cannot_be(path: Path) -> None:
    """In a file that is set aside it costs itself, too, however far its id is from that of the queue."""
    given = await make(path)
    with closing(sqlite3.connect(path)) as db:
        db.execute(
            "UPDATE block SET data = x'00' WHERE id = (SELECT min(id) FROM block)"
        )
        db.commit()
    overwrite(path, 18, b"\x03")
    store = new_store(path)
    await store.open()
    assert await store.run(rows_of, TARGET) == given[1:]
    await store.close()


async def test_all_kinds_of_queues(path: Path) -> None:
    """Each target keeps its own, blocked fields stay blocked."""
    store = new_store(path)
    await store.open()
    await store.run(put, sample(0), sample(1, series=to_target(OTHER_TARGET)))
    await store.run(put_blocked, sample(2, name="bad_W"))
    (page,) = await store.run(
        lambda rows: rows.db.execute(
            "SELECT rootpage FROM sqlite_schema WHERE name = 'history_job'"
        ).fetchone()
    )
    await store.close()
    damage_page(path, page)
    again = new_store(path)
    await again.open()
    assert len(await again.damaged_files()) == 1
    assert again.carried_over == 3
    assert await again.run(lambda rows: rows.waiting.copy()) == {"export": 3}
    assert await again.run(rows_of, TARGET) == [sample(0)]
    assert await again.run(rows_of, OTHER_TARGET) == [
        sample(1, series=to_target(OTHER_TARGET))
    ]
    assert await again.run(blocked_of) == [sample(2, name="bad_W")]
    await again.close()


async def test_damage_that_shows_later(path: Path) -> None:
    """A file that turns bad while it is used is replaced, and what is at hand is not lost."""
    given = await make(path, 500)
    store = new_store(path)
    await store.open()
    old = await store.run(rows_of, TARGET)
    assert old == given
    begin = page_size(path)
    overwrite(path, begin, b"\xa5" * (len(content_of(path)) - begin))
    # What SQLite has in memory is dropped
    await store.run(lambda rows: rows.db.execute("PRAGMA shrink_memory").fetchone())
    await store.run(put, sample(9999, "new", "text"))
    await store.run(rows_of, TARGET)
    found = await store.run(rows_of, TARGET)
    assert found[-1] == sample(9999, "new", "text")
    assert len(await store.damaged_files()) == 1
    waiting = await store.run(lambda rows: rows.waiting.copy())
    assert waiting == {"export": len(found)}
    await store.close()


@pytest.fixture
def nobodys_path() -> Iterator[Path]:
    """Return where an outbox can be, as somebody for whom a file can be unreadable."""
    user = os.geteuid()
    with tempfile.TemporaryDirectory() as folder:
        if user == 0:
            # Root can read everything
            os.chown(folder, NOBODY, NOBODY)
            os.seteuid(NOBODY)
        try:
            yield Path(folder) / "outbox.db"
        finally:
            os.seteuid(user)


async def test_unreadable_file(nobodys_path: Path) -> None:
    """A file that may not be read is of no use either."""
    write(nobodys_path, b"whatever it holds", 0)
    store = new_store(nobodys_path)
    await store.open()
    assert len(await store.damaged_files()) == 1
    await store.run(put, sample(0))
    assert await store.run(rows_of, TARGET) == [sample(0)]
    await store.close()


async def test_damaged_again(path: Path) -> None:
    """What was set aside is never overwritten, not even within the same second, and can be deleted."""
    for text in (b"first", b"second", b"third"):
        write(path, text * 1000)
        store = new_store(path)
        await store.open()
        await store.close()
    store = new_store(path)
    await store.open()
    names = await store.damaged_files()
    assert {content_of(path.with_name(name))[:5] for name in names} == {
        *(b"first", b"secon", b"third")
    }
    await store.delete_damaged([*names[:2], path.name, "../other"])
    assert await store.damaged_files() == names[2:]
    assert content_of(path)
    await store.close()


def put_beside(path: Path) -> None:
    """Make what SQLite cannot even open, with side files, which it has seen to itself otherwise."""
    path.mkdir()
    for suffix in ("-wal", "-shm"):
        write(path.with_name(path.name + suffix), suffix.encode() * 1000)


async def test_side_files(path: Path) -> None:
    """What belongs to a file that is set aside goes with it, so that the new one takes nothing of it for its own."""
    put_beside(path)
    store = new_store(path)
    await store.open()
    [aside] = await store.damaged_files()
    assert content_of(path.with_name(f"{aside}-wal")) == b"-wal" * 1000
    assert content_of(path.with_name(f"{aside}-shm")) == b"-shm" * 1000
    await store.close()


async def test_a_page_that_cannot_be_read(path: Path) -> None:
    """It costs what is on it; what is before and behind it is carried over, in order."""
    given = await make(path, 500)
    text = str(given[250].value).encode()
    damage_page(path, content_of(path).index(text) // page_size(path) + 1)
    store = new_store(path)
    await store.open()
    carried = await store.run(rows_of, TARGET)
    assert 450 < len(carried) < 500
    assert carried == [each for each in given if each in carried]
    assert carried[0] == given[0]
    assert carried[-1] == given[-1]
    await store.close()
