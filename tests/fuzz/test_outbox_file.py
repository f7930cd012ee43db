"""Whatever has become of the outbox' file: what can be read goes up, and new values always do."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
import logging
import os
from pathlib import Path
import re
import sqlite3
import tempfile
from typing import Any, Final

from hypothesis import given, strategies as st
import pytest

from custom_components.eniris.api import EnirisQueryError, WireFormat, WriteTarget
from custom_components.eniris.api.write import encode_now
from custom_components.eniris.exporting.config import Series
from custom_components.eniris.exporting.lane import Lane
from custom_components.eniris.exporting.mending import Mending, NamedField
from custom_components.eniris.exporting.outbox import (
    SCHEMA_VERSION,
    Limits,
    Outbox,
    OutboxError,
    StoredSample,
    merge_points,
)
from homeassistant.util import dt as dt_util
from tests.conftest import is_ours
from tests.exporting.conftest import SERIES, TARGET, at, sample

from .effort import PATIENCE, effort

pytestmark = PATIENCE

TOLD: Final = re.compile(
    r"The outbox .* cannot be read|\d+ waiting values were damaged on disk"
)


@pytest.fixture(autouse=True)
def no_log_of_ours(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Take what is told of damage, and nothing else, in the place of the fixture that takes nothing."""
    yield
    records = [record for record in caplog.get_records("call") if is_ours(record)]
    assert not [
        record.getMessage()
        for record in records
        if record.levelno >= logging.WARNING and not TOLD.match(record.getMessage())
    ]


OTHER: Final = Series(WriteTarget("u", "other", "rp_one_m"), "m", (("t", "ü"),))
WAITING: Final = 60
"""Samples that wait in a sound file."""


@dataclass(frozen=True, slots=True)
class Files:
    """A sound outbox as bytes: its file, and what stands in the log beside it alone."""

    database: bytes = field(repr=False)
    log: bytes = field(repr=False)


async def _fill(outbox: Outbox) -> None:
    await outbox.add(
        [
            sample(
                number,
                (1.5, "on", True)[number % 3],
                ("a_W", "b", "c")[number % 3],
                export_id=f"export {number % 2}",
                series=(SERIES, OTHER)[number % 2],
            )
            for number in range(WAITING)
        ]
    )
    await outbox.add([sample(-1, 9.0), sample(-2, "x", "b")])
    for waiting in (await outbox.batch(TARGET))[-2:]:
        await outbox.reject(waiting, "409 Conflict (field type conflict)")
    lane = Lane(outbox)
    await lane.ask("export 0", at(-9000), at(0))
    [job] = await lane.jobs()
    past = [sample(-number, float(number)) for number in range(1, 20)]
    await lane.add(job, at(-100), past)


@pytest.fixture(scope="module")
def files() -> Files:
    """Return a sound outbox in which something of everything waits."""

    async def make() -> Files:
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "outbox.db"
            outbox = Outbox(path)
            await outbox.open()
            await _fill(outbox)
            log = path.with_name("outbox.db-wal").read_bytes()
            plain = path.read_bytes()
            await outbox.close()
            assert len(path.read_bytes()) > len(plain)
            return Files(path.read_bytes(), log)

    return asyncio.run(make())


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[Outbox | None]:
    """Open an outbox, None where there can be none; it is closed afterwards."""
    outbox = Outbox(path)
    try:
        await outbox.open()
    except OutboxError:
        yield None
        return
    try:
        yield outbox
    finally:
        await outbox.close()


async def upload(outbox: Outbox) -> list[StoredSample]:
    """Take everything out as the sender does; what cannot be written down is set aside."""
    sent: list[StoredSample] = []
    for _ in range(10 * WAITING):
        batches = [
            samples
            for target in await outbox.targets()
            if (samples := await outbox.batch(target))
        ]
        if not batches:
            return sent
        for samples in batches:
            try:
                for wire_format in WireFormat:
                    encode_now(merge_points(samples), wire_format)
            except EnirisQueryError:
                # The sender finds out which one it is in some steps more
                for each in samples:
                    await outbox.reject(each, "cannot be written down")
            else:
                await outbox.delete_uploaded(samples)
                sent += samples
    raise AssertionError("the same samples come again and again")


async def use(outbox: Outbox) -> None:
    """Do all that is done with an outbox."""
    await outbox.figures()
    await outbox.rejects()
    await outbox.damaged_files()
    lane, mending = Lane(outbox), Mending(outbox)
    for job in await lane.jobs():
        await lane.fields(job.id)
        for target in await lane.targets(job.id):
            job_id, samples = await lane.batch(target, None)
            encode_now(merge_points(samples), WireFormat.JSON)
            await lane.delete_stored(job_id, samples, [])
        await lane.waiting(job.id)
    await mending.held_back(NamedField(TARGET, "gridMetrics", "b"), ["export 0"])
    await mending.waiting(TARGET)
    await outbox.enforce(Limits(10**9, timedelta(days=36500)), dt_util.utcnow())


async def check(path: Path, *, new_arrive: bool = True) -> list[StoredSample]:
    """Use the outbox at a path, twice, and return what went up of what had waited.

    Nothing but `OutboxError` is raised, and what is added from now on goes up.
    """
    sent: list[StoredSample] = []
    arrived: list[Any] = []
    for number in range(2):
        async with opened(path) as outbox:
            if outbox is None:
                assert not new_arrive
                continue
            for step in (use, upload):
                try:
                    sent += await step(outbox) or []
                except OutboxError:
                    # Once; the next use is of a file that is whole
                    assert number == 0 or not new_arrive
            try:
                await outbox.add([sample(9999 + number, 7.0, "new")])
                arrived += [s.value for s in await upload(outbox) if s.field == "new"]
            except OutboxError:
                assert number == 0 or not new_arrive
    if new_arrive:
        assert 7.0 in arrived
    return sent


@asynccontextmanager
async def directory() -> AsyncIterator[Path]:
    """Make a directory for one example, and return the path of an outbox in it."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name) / "outbox.db"


@effort(25)
@given(content=st.binary(max_size=400), is_begun=st.booleans(), log=st.binary())
async def test_random_bytes(content: bytes, is_begun: bool, log: bytes) -> None:
    """What is no database is set aside."""
    async with directory() as path:
        path.write_bytes(b"SQLite format 3\0" * is_begun + content)
        path.with_name("outbox.db-wal").write_bytes(log)
        await check(path)


@effort(25)
@given(share=st.floats(0, 1), log_share=st.floats(0, 1), with_log=st.booleans())
async def test_cut_off(
    files: Files, share: float, log_share: float, with_log: bool
) -> None:
    """A file that ends too early gives what it has, or is set aside."""
    async with directory() as path:
        path.write_bytes(files.database[: int(len(files.database) * share)])
        if with_log:
            log = files.log[: int(len(files.log) * log_share)]
            path.with_name("outbox.db-wal").write_bytes(log)
        await check(path)


@effort(50)
@given(
    flips=st.lists(
        st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 7)),
        min_size=1,
        max_size=12,
    ),
    in_log=st.booleans(),
)
async def test_flipped_bits(
    files: Files, flips: list[tuple[float, int]], in_log: bool
) -> None:
    """Bits that flip cost what they are in; what comes afterwards gets through."""
    async with directory() as path:
        content = bytearray(files.log if in_log else files.database)
        for place, bit in flips:
            content[int(len(content) * place)] ^= 1 << bit
        if in_log:
            path.with_name("outbox.db-wal").write_bytes(content)
        else:
            path.write_bytes(content)
        await check(path)


CELLS: Final = st.one_of(
    st.none(),
    st.sampled_from(
        [
            2**63 - 1,
            -(2**63),
            2**62,
            1e300,
            float("inf"),
            "",
            "nan",
            "\x00",
            b"",
            b"\xff\xfe",
            b"x" * 5000,
            "[",
            "{}",
            "[[]]",
            '[["a", 1]]',
            '[["a", "b", "c"]]',
            "[" * 5000,
            99,
        ]
    ),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.binary(max_size=8),
    st.text(st.characters(codec="utf-8"), max_size=8),
    # A text that is not one
    st.binary(min_size=1, max_size=8).map(lambda raw: ("text", raw)),
)
COLUMNS: Final = {
    "target": ["id", "collector", "database", "retention_policy"],
    "series": ["id", "target_id", "measurement", "tags"],
    "export": ["id", "name", "uploaded", "rejected", "dropped", "last_upload"],
    "sample": [
        "id",
        "target_id",
        "series_id",
        "export_id",
        "time_us",
        "field",
        "value",
    ],
    "reject": ["series_id", "export_id", "time_us", "field", "value", "reason"],
    "history_job": [
        "id",
        "export",
        "start_us",
        "end_us",
        "cursor_us",
        "chunk_end_us",
        "stored",
        "outside_until_us",
        "reason",
        "finished",
    ],
    "history_sample": ["job_id", "target_id", "series_id", "time_us", "field", "value"],
}
CELL: Final = st.sampled_from(
    [(table, column) for table, columns in COLUMNS.items() for column in columns]
)


def _put(
    db: sqlite3.Connection, cell: tuple[str, str], share: float, value: Any
) -> None:
    """Write a value into a row, whatever the schema says of it."""
    table, column = cell
    placeholder = "?"
    if isinstance(value, tuple):
        placeholder, value = "CAST(? AS TEXT)", value[1]
    rowids = [rowid for (rowid,) in db.execute(f"SELECT rowid FROM {table}")]
    if not rowids:
        return
    try:
        db.execute(
            f"UPDATE {table} SET {column} = {placeholder} WHERE rowid = ?",
            (value, rowids[int(len(rowids) * share)]),
        )
    except sqlite3.Error:
        # Not even SQLite takes this
        return


def damage_cells(path: Path, changes: list[tuple[tuple[str, str], float, Any]]) -> None:
    """Change cells of a file as if no column were declared and no reference kept; the declarations stay as they were."""
    with _schema(path) as db:
        declared = db.execute("SELECT sql, rowid FROM sqlite_schema").fetchall()
        db.execute(
            "UPDATE sqlite_schema SET sql = replace(sql, ' NOT NULL', '')"
            " WHERE type = 'table'"
        )
    with closing(sqlite3.connect(path)) as db:
        for cell, share, value in changes:
            _put(db, cell, share, value)
        db.commit()
    with _schema(path) as db:
        db.executemany("UPDATE sqlite_schema SET sql = ? WHERE rowid = ?", declared)


@contextmanager
def _schema(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a file whose declarations can be written."""
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA writable_schema = ON")
        yield db
        db.commit()


@effort(60)
@given(
    changes=st.lists(
        st.tuples(CELL, st.floats(0, 1, exclude_max=True), CELLS),
        min_size=1,
        max_size=4,
    )
)
async def test_damaged_cells(
    files: Files, changes: list[tuple[tuple[str, str], float, Any]]
) -> None:
    """A row that cannot be what was put there costs itself, and what belongs to it alone."""
    async with directory() as path:
        path.write_bytes(files.database)
        damage_cells(path, changes)
        sent = await check(path)
    if all(
        table in ("sample", "reject", "history_sample") for (table, _), *_ in changes
    ):
        if not any(column == "id" for (_, column), *_ in changes):
            assert len(sent) >= WAITING - len(changes)


@effort(20)
@given(
    statement=st.sampled_from(
        [
            *(f"DROP TABLE {table}" for table in COLUMNS),
            *(f"ALTER TABLE {table} RENAME TO other" for table in COLUMNS),
            "ALTER TABLE sample RENAME COLUMN field TO feild",
            "ALTER TABLE sample DROP COLUMN value",
            "DROP INDEX sample_by_target",
            "CREATE TABLE more (x)",
            "DELETE FROM target",
            "DELETE FROM series",
            "DELETE FROM export",
            "DELETE FROM sqlite_sequence",
            "UPDATE sqlite_sequence SET seq = 9223372036854775807",
            "UPDATE sqlite_sequence SET seq = 'x'",
            f"PRAGMA user_version = {SCHEMA_VERSION + 1}",
            "PRAGMA user_version = 1",
            "PRAGMA user_version = 0",
            "PRAGMA user_version = -1",
            "PRAGMA journal_mode = DELETE",
            "CREATE TRIGGER t BEFORE INSERT ON sample BEGIN SELECT raise(FAIL, 'x'); END",
        ]
    )
)
async def test_other_tables(files: Files, statement: str) -> None:
    """A file of which the tables are others than ours is set aside, and so is one of the future."""
    async with directory() as path:
        path.write_bytes(files.database)
        db = sqlite3.connect(path)
        try:
            db.execute(statement)
            db.commit()
        except sqlite3.Error:
            pass
        db.close()
        await check(path, new_arrive="TRIGGER" not in statement)


def _directory(path: Path) -> None:
    path.mkdir()
    (path / "x").write_text("x")


def _elsewhere(path: Path) -> None:
    path.with_name("elsewhere").write_bytes(b"not a database at all, but long enough")
    path.symlink_to(path.with_name("elsewhere"))


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
async def test_what_is_no_file(tmp_path: Path, kind: str) -> None:
    """What is no file at all is set aside where it can be; nothing waits for ever."""
    path = tmp_path / "outbox.db"
    PLACES[kind](path)
    async with asyncio.timeout(30):
        await check(path, new_arrive=kind != "directory for the log")


async def test_locked_by_another(tmp_path: Path, files: Files) -> None:
    """While another process has the file, there is an error; afterwards everything goes up."""
    path = tmp_path / "outbox.db"
    path.write_bytes(files.database)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    async with opened(path) as outbox:
        assert outbox is None
    other.execute("ROLLBACK")
    other.close()
    assert len(await check(path)) >= WAITING
    assert not list(path.parent.glob("*damaged*"))


async def test_sound(tmp_path: Path, files: Files) -> None:
    """What the tests here take for sound is: all of it goes up, and nothing is told."""
    path = tmp_path / "outbox.db"
    path.write_bytes(files.database)
    assert len(await check(path)) == WAITING
    assert not list(path.parent.glob("*damaged*"))
