"""Whatever has become of the outbox' file: what can be read goes up, nothing else does, and new values always do."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
import logging
import os
from pathlib import Path
import re
import sqlite3
from typing import Any, Final

from hypothesis import given, strategies as st
import pytest

from custom_components.eniris.exporting.outbox.batches import to_blocks
from custom_components.eniris.exporting.outbox.live import load_rejects
from custom_components.eniris.exporting.outbox.outbox import Outbox
from custom_components.eniris.exporting.outbox.schema import SCHEMA_VERSION
from custom_components.eniris.exporting.outbox.store import OutboxError
from homeassistant.core import HomeAssistant
from tests.conftest import is_ours
from tests.exporting.conftest import sample

from .effort import PATIENCE, effort
from .outbox_files import (
    IN_LOG,
    SAMPLES_OF_ROW,
    WAITING,
    Files,
    Result,
    look,
    make_files,
    placed,
    upload,
    use,
)

pytestmark = PATIENCE

TOLD: Final = re.compile(
    "The outbox .* cannot be read|waiting values were carried over|Samples can"
)


@pytest.fixture(autouse=True)
def no_log_of_ours(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Take what is told of damage, and nothing else, in the place of the fixture that takes nothing."""
    yield
    assert not [
        record.getMessage()
        for record in caplog.get_records("call")
        if record.levelno >= logging.WARNING
        and is_ours(record)
        and not TOLD.search(record.getMessage())
    ]


@pytest.fixture
async def files(hass: HomeAssistant, tmp_path: Path) -> Files:
    """Return a sound outbox in which something of everything waits."""
    return await make_files(hass, tmp_path / "sound.db")


@effort(25)
@given(content=st.binary(max_size=400), is_begun=st.booleans(), log=st.binary())
async def test_random_bytes(
    hass: HomeAssistant, content: bytes, is_begun: bool, log: bytes
) -> None:
    """What is no database is set aside."""
    with placed(b"SQLite format 3\0" * is_begun + content, log) as path:
        result = await use(hass, path)
    assert result.sent == []


SHARES: Final = st.floats(0, 1, exclude_max=True)


def part(content: bytes, share: float) -> bytes:
    """Return the beginning of something."""
    return content[: int(len(content) * share)]


@effort(25)
@given(share=SHARES)
async def test_cut_off_file(hass: HomeAssistant, files: Files, share: float) -> None:
    """A file that ends too early gives what it has."""
    with placed(part(files.database, share)) as path:
        result = await use(hass, path)
    assert set(result.sent) <= set(WAITING)


@effort(25)
@given(share=SHARES)
async def test_cut_off_log(hass: HomeAssistant, files: Files, share: float) -> None:
    """A log that ends too early costs the last commits."""
    with placed(files.in_use, part(files.log, share)) as path:
        result = await use(hass, path)
    assert_first(result)


def assert_first(result: Result) -> None:
    """Nothing is missing but the end, and that only as far as it stood in the log."""
    assert len(result.sent) >= len(WAITING) - IN_LOG
    assert set(result.sent) == set(WAITING[: len(result.sent)])
    assert not result.damaged


FLIPS: Final = st.lists(
    st.tuples(SHARES, st.integers(0, 7)), min_size=1, max_size=12, unique=True
)


def flipped(content: bytes, flips: list[tuple[float, int]]) -> bytes:
    """Return something with other bits."""
    changed = bytearray(content)
    for place, bit in flips:
        changed[int(len(changed) * place)] ^= 1 << bit
    return bytes(changed)


@effort(50)
@given(flips=FLIPS)
async def test_flipped_bits(
    hass: HomeAssistant, files: Files, flips: list[tuple[float, int]]
) -> None:
    """Bits that flip are not always noticed; nothing is held up by them."""
    with placed(flipped(files.database, flips)) as path:
        await use(hass, path)


@effort(25)
@given(flips=FLIPS)
async def test_flipped_bits_in_log(
    hass: HomeAssistant, files: Files, flips: list[tuple[float, int]]
) -> None:
    """The log has checksums: what is behind is lost, and nothing else."""
    with placed(files.in_use, flipped(files.log, flips)) as path:
        assert_first(await use(hass, path))


@effort(50)
@given(places=st.lists(SHARES, min_size=1, max_size=3), filling=st.binary(min_size=1))
async def test_lost_pages(
    hass: HomeAssistant, files: Files, places: list[float], filling: bytes
) -> None:
    """Pages that come back as something else cost what was on them."""
    content = bytearray(files.database)
    for place in places:
        begin = int(len(content) * place) // 512 * 512
        content[begin : begin + 512] = (filling * 512)[:512]
    with placed(bytes(content)) as path:
        result = await use(hass, path)
    assert set(result.sent) <= set(WAITING)


CELLS: Final = st.one_of(
    st.sampled_from(
        [
            *(None, 2**63 - 1, -(2**63), 2**62, 99, 1e300, float("inf")),
            *("", "nan", "\x00", "[", "{}", "[[]]", '[["a", 1]]', "[" * 5000),
            *(b"", b"\xff\xfe", b"x" * 5000, b"[[1],[0],[1.0]]", b"[[9],[0],[1.0]]"),
        ]
    ),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.binary(max_size=8),
    st.text(st.characters(codec="utf-8"), max_size=8),
    # A text that is not one
    st.binary(min_size=1, max_size=8).map(lambda raw: ("text", raw)),
)


REFERRED_TO: Final = re.compile(
    "^(target|series|field|queue)|^(export|block).id|^export.name"
)
"""Cells without which others mean nothing."""


def damage_cells(path: Path, changes: list[tuple[float, float, Any]]) -> list[str]:
    """Change cells of a file, whatever its tables say of them; return tables and columns."""
    declared = _declare(path, [])
    _declare(
        path,
        [
            (sql and re.sub(" NOT NULL| STRICT", "", sql), rowid)
            for sql, rowid in declared
        ],
    )
    with closing(sqlite3.connect(path)) as db:
        cells = db.execute(
            "SELECT its.name, columns.name FROM sqlite_schema AS its,"
            " pragma_table_info(its.name) AS columns WHERE its.type = 'table'"
        ).fetchall()
        changed = []
        for which, row, value in changes:
            table, column = cells[int(len(cells) * which)]
            changed.append(f"{table}.{column}")
            its = "?"
            if isinstance(value, tuple):
                its, value = "CAST(? AS TEXT)", value[1]
            rowids = [rowid for (rowid,) in db.execute(f"SELECT rowid FROM {table}")]
            # Not everything is taken even so
            with suppress(sqlite3.Error, IndexError):
                db.execute(
                    f"UPDATE {table} SET {column} = {its} WHERE rowid = ?",
                    (value, rowids[int(len(rowids) * row)]),
                )
        db.commit()
    _declare(path, declared)
    return changed


def _declare(path: Path, declared: list[tuple[str, int]]) -> list[tuple[str, int]]:
    """Change what a file says of its tables; return what it says afterwards."""
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA writable_schema = ON")
        db.executemany("UPDATE sqlite_schema SET sql = ? WHERE rowid = ?", declared)
        db.commit()
        return db.execute("SELECT sql, rowid FROM sqlite_schema").fetchall()


@effort(60)
@given(changes=st.lists(st.tuples(SHARES, SHARES, CELLS), min_size=1, max_size=4))
async def test_damaged_cells(
    hass: HomeAssistant, files: Files, changes: list[tuple[float, float, Any]]
) -> None:
    """A row that cannot be what was put there costs itself, and what belongs to it alone."""
    with placed(files.database) as path:
        changed = damage_cells(path, changes)
        result = await use(hass, path)
    if not any(REFERRED_TO.search(name) for name in changed):
        assert len({*WAITING}.difference(result.sent)) <= SAMPLES_OF_ROW * len(changes)


OTHERS: Final = {
    **{
        f"{change} TABLE {table}{to}": table in ("reject", "history_job")
        for change, to in (("DROP", ""), ("ALTER", " RENAME TO other"))
        for table in (
            *("target", "series", "field", "export", "queue", "block"),
            *("reject", "history_job"),
        )
    },
    "ALTER TABLE block DROP COLUMN data": False,
    "ALTER TABLE block ADD COLUMN more INTEGER": True,
    "CREATE TABLE more (x)": True,
    "CREATE INDEX more ON block (count)": True,
    "CREATE TRIGGER t BEFORE INSERT ON block BEGIN SELECT raise(FAIL, 'x'); END": True,
    "UPDATE sqlite_sequence SET seq = 'x'": True,
    "DELETE FROM sqlite_sequence": True,
    "PRAGMA journal_mode = DELETE": True,
    f"PRAGMA user_version = {SCHEMA_VERSION + 1}": False,
    "PRAGMA user_version = 1": False,
    "PRAGMA user_version = 0": False,
    "PRAGMA user_version = -1": False,
}
"""Changes of tables and versions, and whether what waits is understood in spite of them."""


@pytest.mark.parametrize("statement", OTHERS)
async def test_other_tables(hass: HomeAssistant, files: Files, statement: str) -> None:
    """A file of any other form is set aside, and what has the form of ours goes up."""
    with placed(files.database) as path:
        with closing(sqlite3.connect(path)) as db:
            db.execute(statement)
            db.commit()
        result = await use(hass, path)
    assert set(result.sent) == (set(WAITING) if OTHERS[statement] else set())


def _directory(path: Path) -> None:
    path.mkdir()
    (path / "x").write_text("x")


def _elsewhere(path: Path) -> None:
    path.with_name("elsewhere").write_bytes(b"not a database at all, but long enough")
    path.symlink_to(path.with_name("elsewhere"))


FIGURES: Final = (
    *("UPDATE export SET last_upload = 1e300", "UPDATE export SET last_upload = -1e15"),
    *("UPDATE block SET count = 1 << 62", "UPDATE block SET count = -(1 << 62)"),
)


@pytest.mark.parametrize("statement", FIGURES)
async def test_figures(hass: HomeAssistant, files: Files, statement: str) -> None:
    """Figures that cannot be keep nothing from being read, and nothing is set aside for them."""
    with placed(files.database) as path:
        with closing(sqlite3.connect(path)) as db:
            db.execute(statement)
            db.commit()
        result = await use(hass, path)
    assert Counter(result.sent) == Counter(WAITING)
    assert not result.damaged


async def test_read_only_header(hass: HomeAssistant, files: Files) -> None:
    """A file that nobody may write any more gives all that it has."""
    content = bytearray(files.database)
    content[18] = 3
    with placed(bytes(content)) as path:
        result = await use(hass, path)
    assert Counter(result.sent) == Counter(WAITING)
    assert len(result.damaged) == 1


PLACES: Final[dict[str, Callable[[Path], object]]] = {
    "directory": _directory,
    "link to nothing": lambda path: path.symlink_to(path.with_name("nothing")),
    "link to something": _elsewhere,
    "link to a directory": lambda path: path.symlink_to(path.parent),
    "link to itself": lambda path: path.symlink_to(path),
    "pipe": os.mkfifo,
    "empty": Path.touch,
    "write-only": lambda path: path.touch(0o200),
    "directory for the log": lambda path: path.with_name("outbox.db-wal").mkdir(),
}


@pytest.mark.parametrize("kind", PLACES)
@pytest.mark.timeout(30)
async def test_what_is_no_file(hass: HomeAssistant, tmp_path: Path, kind: str) -> None:
    """What is no file at all is set aside where it can be; nothing waits for ever."""
    path = tmp_path / "outbox.db"
    PLACES[kind](path)
    result = await use(hass, path, works=kind != "directory for the log")
    assert result.sent == []


async def test_locked_by_another(hass: HomeAssistant, files: Files) -> None:
    """While another process has the file, values go up from memory; afterwards everything does."""
    with placed(files.database) as path:
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("PRAGMA locking_mode = EXCLUSIVE")
            other.execute("BEGIN EXCLUSIVE")
            outbox = Outbox(hass, path)
            with pytest.raises(OutboxError, match="locked"):
                await outbox.open()
            outbox.add(to_blocks([sample(0, 7.0, "new")]))
            assert await upload(outbox) == [sample(0, 7.0, "new")]
            await outbox.close()
        result = await use(hass, path)
    assert Counter(result.sent) == Counter(WAITING)
    assert not result.damaged


async def test_sound(hass: HomeAssistant, files: Files) -> None:
    """What the tests here take for sound is: all of it goes up, once, and nothing is told."""
    with placed(files.database) as path:
        outbox = Outbox(hass, path)
        await outbox.open()
        await look(outbox)
        assert len(await outbox.store.run(load_rejects)) == 3
        await outbox.close()
        result = await use(hass, path)
    assert Counter(result.sent) == Counter(WAITING)
    assert not result.damaged
