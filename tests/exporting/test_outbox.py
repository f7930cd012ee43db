"""The outbox: on disk at once, in order, within its limits, and whole after anything."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from contextlib import closing
from datetime import timedelta
import math
import os
from pathlib import Path
import resource
import signal
import sqlite3
import stat
import tempfile
import threading
from typing import IO, Any
import warnings

from hypothesis import HealthCheck, given, settings, strategies as st
import orjson
import pytest

from custom_components.eniris.api import FieldValue
from custom_components.eniris.api.write import Point, format_time
from custom_components.eniris.exporting.config import Series
from custom_components.eniris.exporting.outbox import (
    BATCH_BYTES,
    BATCH_POINTS,
    REJECTS_KEPT,
    Figures,
    Limits,
    NewerOutboxError,
    Outbox,
    OutboxError,
    Sample,
    StoredSample,
    delete_outbox,
    json_size,
    merge_points,
    outbox_path,
)

from .conftest import OTHER_TARGET, SERIES, START, TARGET, at, sample, to_target

DAMAGED = pytest.mark.expected_log("cannot be read .* kept as .*damaged-")

NOBODY = 65534
"""A user without rights."""


@pytest.fixture(autouse=True)
def no_sockets(socket_enabled: None) -> None:
    """Let the event loop have its own."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where the outbox is."""
    return tmp_path / "outbox.db"


@pytest.fixture
async def outbox(path: Path) -> AsyncGenerator[Outbox]:
    """Return an open outbox."""
    outbox = Outbox(path)
    await outbox.open()
    yield outbox
    await outbox.close()


async def reopened(outbox: Outbox, path: Path) -> Outbox:
    """Return the outbox after a restart."""
    await outbox.close()
    outbox = Outbox(path)
    await outbox.open()
    return outbox


def rows(path: Path, table: str = "sample") -> list[tuple[Any, ...]]:
    """Return what another process sees in a table."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        return db.execute(f"SELECT * FROM {table} ORDER BY id").fetchall()


def modes(path: Path) -> dict[str, int]:
    """Return the modes of the outbox and what is beside it."""
    return {
        file.name: stat.S_IMODE(file.stat().st_mode)
        for file in path.parent.glob(f"{path.name}*")
    }


def set_mode(path: Path, mode: int) -> None:
    """Give a file a mode."""
    path.chmod(mode)


def size_of(path: Path) -> int:
    """Return the bytes of a file."""
    return path.stat().st_size


def content_of(path: Path) -> bytes:
    """Return what is in a file, or in the file in a directory."""
    return (path / "content" if path.is_dir() else path).read_bytes()


def write(path: Path, content: bytes) -> None:
    """Make a file."""
    path.write_bytes(content)


def delete(*paths: Path) -> None:
    """Delete files."""
    for path in paths:
        path.unlink()


def names_beside(path: Path) -> set[str]:
    """Return the names of what is in the outbox' directory."""
    return {file.name for file in path.parent.iterdir()}


async def all_waiting(outbox: Outbox) -> list[StoredSample]:
    """Return everything that waits for the usual target, batch by batch."""
    found: list[StoredSample] = []
    while batch := await outbox.batch(TARGET, after_id=found[-1].id if found else 0):
        found += batch
    return found


def encoded(samples: list[StoredSample]) -> bytes:
    """Return the JSON of a request, as the client makes it, before it is compressed."""
    return orjson.dumps([_as_json(point) for point in merge_points(samples)])


def _as_json(point: Point) -> dict[str, Any]:
    return {
        "measurement": point.measurement,
        "time": format_time(point.time),
        "tags": dict(point.tags),
        "fields": dict(point.fields),
    }


async def test_on_disk_after_add(outbox: Outbox, path: Path) -> None:
    """What `add` has taken, another process sees."""
    await outbox.add([sample(0, 1.5), sample(1, "on", "status")])
    assert [row[4:] for row in rows(path)] == [
        (START.timestamp() * 1_000_000, "actualPowerTot_W", 1.5),
        (START.timestamp() * 1_000_000 + 1_000_000, "status", "on"),
    ]


async def test_all_or_none(outbox: Outbox, path: Path) -> None:
    """One that cannot be stored takes the others of its call with it, and no others."""
    await outbox.add([sample(0)])
    for value in ("\ud800", math.nan, 2**70):
        with pytest.raises(OutboxError):
            await outbox.add([sample(1), sample(2, value)])
    assert len(rows(path)) == 1
    assert (await outbox.figures())["export"].waiting == 1
    await outbox.add([sample(3)])
    assert [row.time for row in await all_waiting(outbox)] == [at(0), at(3)]


async def test_survives_a_restart(outbox: Outbox, path: Path) -> None:
    """Samples, figures and rejects are what they were."""
    await outbox.add([sample(n, float(n)) for n in range(10)])
    waiting = await all_waiting(outbox)
    await outbox.delete_uploaded(waiting[:3])
    await outbox.reject(waiting[3], "no")
    before = await outbox.figures(), await outbox.rejects(), await all_waiting(outbox)
    again = await reopened(outbox, path)
    after = await again.figures(), await again.rejects(), await all_waiting(again)
    assert after == before
    assert len(after[2]) == 6
    await again.add([sample(10)])
    assert (await all_waiting(again))[-1].id > waiting[-1].id
    await again.close()


async def test_private(outbox: Outbox, path: Path) -> None:
    """Nobody but the owner reads the file and those beside it, whatever they were before."""
    await outbox.add([sample(0)])
    private = {f"outbox.db{suffix}": 0o600 for suffix in ("", "-wal", "-shm")}
    assert modes(path) == private
    await outbox.close()
    set_mode(path, 0o644)
    again = Outbox(path)
    await again.open()
    await again.add([sample(1)])
    assert modes(path) == private
    await again.close()


def test_name_of_the_file(tmp_path: Path) -> None:
    """Two accounts never share a file."""
    assert outbox_path(tmp_path, "a") != outbox_path(tmp_path, "b")
    assert outbox_path(tmp_path, "a").parent == tmp_path


@pytest.mark.parametrize(
    "value",
    [
        *(True, False, 0.0, -0.0, 1.0, 2000.0, 1e308, -1.7976931348623157e308, 5e-324),
        *(0.1, 1 / 3, "", "on", "1.0", "0", "true", "null", "Zürich ☀ 🜁", "a\x00b"),
        *("line\nline", "'; DROP TABLE sample; --", '"\\\t', "x" * 100_000, "\x7f\x80"),
    ],
    ids=lambda value: repr(value)[:20],
)
async def test_values_come_back(outbox: Outbox, path: Path, value: Any) -> None:
    """To the type, the sign of zero and the last bit, after a restart too."""
    await outbox.add([sample(0, value)])
    again = await reopened(outbox, path)
    (found,) = await again.batch(TARGET)
    assert type(found.value) is type(value)
    assert repr(found.value) == repr(value)
    await again.reject(found, "reason")
    (rejected,) = await again.rejects()
    assert repr(rejected.sample.value) == repr(value)
    await again.close()


@settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    names=st.lists(
        st.text(st.characters(exclude_categories=["Cs"]), min_size=1), min_size=4
    ),
    value=st.text(st.characters(exclude_categories=["Cs"])),
    micros=st.integers(-(10**15), 10**15),
)
def test_names_come_back(names: list[str], value: str, micros: int) -> None:
    """Names and times are kept as they are, hostile ones included."""

    async def check() -> None:
        with tempfile.TemporaryDirectory() as directory:
            outbox = Outbox(Path(directory) / "outbox.db")
            await outbox.open()
            series = Series(TARGET, names[0], tuple((name, name) for name in names))
            given = Sample(
                names[1],
                series,
                START + timedelta(microseconds=micros),
                names[2],
                value,
            )
            await outbox.add([given])
            (found,) = await outbox.batch(TARGET)
            assert (
                *(found.export_id, found.measurement, found.tags),
                *(found.time, found.field, found.value),
            ) == (names[1], names[0], series.tags, given.time, names[2], value)
            assert len(encoded([found])) <= json_size([found])
            await outbox.close()

    asyncio.run(check())


async def test_order(outbox: Outbox) -> None:
    """First in, first out, whatever times samples have."""
    times = [5, 3, 9, 1]
    await outbox.add([sample(seconds) for seconds in times])
    await outbox.add([sample(0)])
    assert [found.time for found in await outbox.batch(TARGET)] == [
        at(seconds) for seconds in (*times, 0)
    ]


async def test_targets(outbox: Outbox) -> None:
    """Each target has its own queue."""
    assert await outbox.targets() == []
    assert await outbox.batch(TARGET) == []
    assert await outbox.newest_id(TARGET) == 0
    await outbox.add(
        [sample(0), sample(1, series=to_target(OTHER_TARGET)), sample(2)],
    )
    assert set(await outbox.targets()) == {TARGET, OTHER_TARGET}
    mine = await outbox.batch(TARGET)
    assert [found.time for found in mine] == [at(0), at(2)]
    assert await outbox.newest_id(TARGET) == mine[-1].id
    await outbox.delete_uploaded(mine)
    assert await outbox.targets() == [OTHER_TARGET]
    assert await outbox.newest_id(TARGET) == 0


async def test_windows(outbox: Outbox) -> None:
    """A batch begins after an id, ends with another, and has so many samples at most."""
    await outbox.add([sample(n) for n in range(10)])
    ids = [found.id for found in await outbox.batch(TARGET)]

    async def got(**window: Any) -> list[int]:
        return [found.id for found in await outbox.batch(TARGET, **window)]

    assert await got(after_id=ids[3]) == ids[4:]
    assert await got(until_id=ids[3]) == ids[:4]
    assert await got(after_id=ids[2], until_id=ids[5]) == ids[3:6]
    assert await got(limit=4) == ids[:4]
    assert await got(after_id=ids[-1]) == []
    # However small the size, something goes
    assert await got(size=1) == ids[:1]


async def test_at_most_5000_points(outbox: Outbox) -> None:
    """Points are counted, not samples: those of the same series and time are one."""
    series = [SERIES, Series(TARGET, "m", (("a", "b"),))]
    await outbox.add(
        [
            sample(n // 4, 1.0, f"f{n % 2}", series=series[n // 2 % 2])
            for n in range(BATCH_POINTS * 2 + 10)
        ]
    )
    batch = await outbox.batch(TARGET)
    assert len(batch) == BATCH_POINTS * 2
    assert len(merge_points(batch)) == BATCH_POINTS
    rest = await outbox.batch(TARGET, after_id=batch[-1].id)
    assert len(rest) == 10


WORST: dict[str, tuple[Series, str, FieldValue]] = {
    "numbers": (SERIES, "f", -1.7976931348623157e308),
    "long names": (
        Series(TARGET, "m" * 200, (("k" * 200, "v" * 200),)),
        "f" * 200,
        1.0,
    ),
    "control characters": (
        Series(TARGET, "\x00" * 60, (("\x01" * 60, "\x02" * 60),)),
        "\x1f" * 60,
        "\x00" * 500,
    ),
    "quotes": (Series(TARGET, '"' * 60, (('"', "\\" * 60),)), '"' * 60, '"\\' * 200),
    "other alphabets": (
        Series(TARGET, "🜁" * 60, (("ü" * 60, "☀" * 60),)),
        "電" * 60,
        "🜁" * 300,
    ),
    "many tags": (
        Series(TARGET, "m", tuple((f"k{n}", f"v{n}") for n in range(100))),
        "f",
        True,
    ),
}


@pytest.mark.parametrize("merged", [False, True])
@pytest.mark.parametrize("case", WORST)
async def test_at_most_a_mebibyte(outbox: Outbox, case: str, merged: bool) -> None:
    """The estimate is never too low, whatever the text, and not much too high."""
    series, name, value = WORST[case]
    await outbox.add(
        [
            sample(
                0.000001 if merged else n + 0.000001,
                value,
                f"{name}{n}" if merged else name,
                series=series,
            )
            for n in range(30_000)
        ]
    )
    batch = await outbox.batch(TARGET)
    size = len(encoded(batch))
    assert size <= BATCH_BYTES
    assert json_size(batch) <= BATCH_BYTES
    if len(batch) < 30_000 and len(merge_points(batch)) < BATCH_POINTS:
        assert size > BATCH_BYTES * 0.75
    half = await outbox.batch(TARGET, size=BATCH_BYTES // 2)
    assert len(encoded(half)) <= BATCH_BYTES // 2


async def test_merged_points(outbox: Outbox) -> None:
    """Fields of the same series and time are one point; the later value of a field counts.

    Points of a series stand together.
    """
    other = Series(TARGET, "gridMetrics", (("serialNr", "other"),))
    await outbox.add(
        [
            sample(0, 1.0, "a"),
            sample(0, 2.0, "b"),
            sample(0, 3.0, "a", series=other),
            sample(1, 4.0, "a"),
            sample(0, 5.0, "a"),
        ]
    )
    points = merge_points(await outbox.batch(TARGET))
    assert [(point.time, dict(point.tags), point.fields) for point in points] == [
        (at(0), dict(SERIES.tags), {"a": 5.0, "b": 2.0}),
        (at(1), dict(SERIES.tags), {"a": 4.0}),
        (at(0), dict(other.tags), {"a": 3.0}),
    ]


async def test_rejects(outbox: Outbox) -> None:
    """The newest thousand are kept with their reasons, and all are counted."""
    count = REJECTS_KEPT + 20
    await outbox.add([sample(n, float(n)) for n in range(count)])
    for number, found in enumerate(await outbox.batch(TARGET)):
        await outbox.reject(found, f"reason {number}")
    rejects = await outbox.rejects()
    assert [reject.sample.value for reject in rejects] == [
        float(n) for n in range(count - 1, count - 1 - REJECTS_KEPT, -1)
    ]
    assert rejects[0].reason == f"reason {count - 1}"
    assert rejects[0].target == TARGET
    assert rejects[0].sample.tags == SERIES.tags
    assert await outbox.figures() == {"export": Figures(rejected=count)}
    assert await outbox.discard_rejects() == REJECTS_KEPT
    assert await outbox.rejects() == []
    assert await outbox.figures() == {"export": Figures(rejected=count)}


async def test_figures(outbox: Outbox) -> None:
    """Each export has its own."""
    assert await outbox.figures() == {}
    await outbox.add(
        [sample(7), sample(3, export_id="b"), sample(5), sample(1, export_id="b")]
    )
    assert await outbox.figures() == {
        "export": Figures(waiting=2, oldest=at(7)),
        "b": Figures(waiting=2, oldest=at(3)),
    }
    waiting = await outbox.batch(TARGET)
    await outbox.delete_uploaded(waiting[:1])
    await outbox.reject(waiting[1], "no")
    figures = await outbox.figures()
    assert figures["b"] == Figures(waiting=1, rejected=1, oldest=at(1))
    assert figures["export"].last_upload is not None
    assert (figures["export"].waiting, figures["export"].uploaded) == (1, 1)
    assert figures["export"].oldest == at(5)


async def test_dropped_while_on_their_way(outbox: Outbox) -> None:
    """What a limit drops during an upload is counted once."""
    await outbox.add([sample(n) for n in range(10)])
    batch = await outbox.batch(TARGET)
    await outbox.enforce(Limits(2**40, timedelta(seconds=5)), at(9.5))
    await outbox.delete_uploaded(batch[:6])
    await outbox.reject(batch[4], "no")
    await outbox.reject(batch[6], "no")
    await outbox.delete_uploaded(batch[:7])
    figures = (await outbox.figures())["export"]
    assert (figures.waiting, figures.uploaded, figures.rejected, figures.dropped) == (
        *(3, 1, 1, 5),
    )
    assert len(await outbox.rejects()) == 1


async def test_limit_by_age(outbox: Outbox) -> None:
    """What is older goes, however much that is; what is as old stays."""
    await outbox.add(
        [
            sample(n / 100, export_id="a" if n % 3 else "b")
            for n in range(12_000)  # two minutes
        ]
    )
    limits = Limits(2**40, timedelta(seconds=60))
    assert await outbox.enforce(limits, at(50)) == (0, True)
    assert await outbox.enforce(limits, at(150)) == (9_000, True)
    figures = await outbox.figures()
    assert figures["a"].dropped == 6_000
    assert figures["b"].dropped == 3_000
    assert figures["a"].waiting + figures["b"].waiting == 3_000
    assert (await outbox.batch(TARGET, limit=1))[0].time == at(90)
    assert await outbox.enforce(limits, at(10_000)) == (3_000, True)
    assert await outbox.enforce(limits, at(10_000)) == (0, True)
    assert await all_waiting(outbox) == []


async def test_no_limit_by_age(outbox: Outbox) -> None:
    """Without one, samples of any age wait."""
    await outbox.add([sample(0)])
    assert await outbox.enforce(Limits(2**40), at(1e9)) == (0, True)


async def test_limit_by_size(outbox: Outbox, path: Path) -> None:
    """The oldest go, about as many as it takes, and the newest stay."""
    count = 60_000
    await outbox.add([sample(n, export_id="a" if n % 2 else "b") for n in range(count)])
    # What is in the write-ahead log as well
    outbox = await reopened(outbox, path)
    limit = size_of(path) // 2
    dropped, relaxed = await outbox.enforce(Limits(limit), at(count))
    assert count * 0.3 < dropped < count * 0.65
    assert not relaxed
    figures = await outbox.figures()
    assert figures["a"].dropped + figures["b"].dropped == dropped
    assert abs(figures["a"].dropped - figures["b"].dropped) <= 1
    left = await all_waiting(outbox)
    assert len(left) == count - dropped
    assert left[0].time == at(dropped)
    assert left[-1].time == at(count - 1)
    assert await outbox.enforce(Limits(limit), at(count)) == (0, False)
    await outbox.delete_uploaded(left[: len(left) // 2])
    assert await outbox.enforce(Limits(limit), at(count)) == (0, True)
    await outbox.close()


async def test_limit_below_an_empty_file(outbox: Outbox) -> None:
    """Even then it ends."""
    await outbox.add([sample(n) for n in range(100)])
    assert await outbox.enforce(Limits(1), at(0)) == (100, False)


async def test_file_shrinks(outbox: Outbox, path: Path) -> None:
    """After a backlog the space is given back, a little at a time."""
    await outbox.add([sample(n) for n in range(50_000)])
    again = await reopened(outbox, path)
    largest = size_of(path)
    while batch := await again.batch(TARGET):
        await again.delete_uploaded(batch)
    await again.add([sample(0)])
    last = await again.batch(TARGET)
    await again.delete_uploaded(last)
    await again.close()
    assert size_of(path) < largest * 0.7


async def test_log_shrinks(outbox: Outbox, path: Path) -> None:
    """What a large commit needed beside the file is given back while the outbox is open."""
    log = path.with_name(f"{path.name}-wal")
    await outbox.add([sample(n) for n in range(100_000)])
    largest = size_of(log)
    assert largest > 5_000_000
    await outbox.add([sample(0)])
    assert size_of(log) < 5_000_000


async def make_damaged(path: Path) -> None:
    """Leave an outbox with many samples behind."""
    outbox = Outbox(path)
    await outbox.open()
    await outbox.add([sample(n, export_id=f"e{n}") for n in range(5000)])
    await outbox.close()


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
                version = 1 if how == "other tables" else 0
                db.executescript(
                    f"CREATE TABLE target (x); PRAGMA user_version = {version};"
                )
        case "truncated":
            os.truncate(path, path.stat().st_size // 2)
        case "header":
            overwrite(path, 0, b"\xff" * 100)
        case "schema":
            overwrite(path, 100, b"\xff" * 2000)
        case "middle":
            overwrite(path, 4096 * 3, b"\xa5" * (path.stat().st_size // 2))


async def test_file_of_a_newer_version(path: Path) -> None:
    """It is of use to that, so it is neither set aside nor changed."""
    await make_damaged(path)
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 3")
    before = content_of(path)
    with pytest.raises(NewerOutboxError):
        await Outbox(path).open()
    assert content_of(path) == before


@DAMAGED
@pytest.mark.parametrize(
    "how",
    [
        *("garbage", "directory", "other tables", "no version"),
        *("truncated", "header", "schema", "middle"),
    ],
)
async def test_damaged_file(path: Path, how: str) -> None:
    """It is set aside byte by byte, and a fresh one works."""
    await make_damaged(path)
    damage(path, how)
    content = content_of(path)
    outbox = Outbox(path)
    await outbox.open()
    (name,) = await outbox.damaged_files()
    # That the middle is damaged shows when the file is in use already, and its header has changed
    begin = 100 if how == "middle" else 0
    assert content_of(path.with_name(name))[begin:] == content[begin:]
    assert await outbox.figures() == {}
    await outbox.add([sample(0)])
    assert len(await outbox.batch(TARGET)) == 1
    again = await reopened(outbox, path)
    assert len(await again.batch(TARGET)) == 1
    assert await again.damaged_files() == [name]
    await again.close()


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


@DAMAGED
async def test_unreadable_file(nobodys_path: Path) -> None:
    """A file that may not be read is of no use either."""
    write(nobodys_path, b"whatever it holds")
    set_mode(nobodys_path, 0)
    outbox = Outbox(nobodys_path)
    await outbox.open()
    assert len(await outbox.damaged_files()) == 1
    await outbox.add([sample(0)])
    assert len(await outbox.batch(TARGET)) == 1
    await outbox.close()


@DAMAGED
async def test_damaged_again(path: Path) -> None:
    """What was set aside is never overwritten, not even within the same second."""
    for text in (b"first", b"second", b"third"):
        write(path, text * 1000)
        outbox = Outbox(path)
        await outbox.open()
        await outbox.close()
    outbox = Outbox(path)
    await outbox.open()
    asides = [path.with_name(name) for name in await outbox.damaged_files()]
    assert {content_of(aside)[:5] for aside in asides} == {b"first", b"secon", b"third"}
    delete(*asides)
    assert await outbox.damaged_files() == []
    await outbox.close()


@DAMAGED
async def test_damage_that_shows_later(outbox: Outbox, path: Path) -> None:
    """A file that turns bad while it is used is replaced, and the sample at hand is not lost."""
    await outbox.add([sample(n, "x" * 500) for n in range(20_000)])
    again = await reopened(outbox, path)
    old = await again.batch(TARGET)
    overwrite(path, 4096, b"\xa5" * (size_of(path) - 4096))
    await again.add([sample(n, "y" * 500) for n in range(3)])
    while not await again.damaged_files():
        await again.batch(TARGET, after_id=old[-1].id)
    assert [found.value[0] for found in await again.batch(TARGET)] in (  # type: ignore[index]
        *(["y"] * 3, []),
    )
    await again.add([sample(5, "z")])
    # An upload that was under way when the file was replaced deletes nothing of the new one
    await again.delete_uploaded(old)
    waiting = await again.batch(TARGET)
    assert waiting[-1].value == "z"
    assert (await again.figures())["export"].waiting == len(waiting)
    await again.close()


LOST = pytest.mark.expected_log("1 waiting values were damaged on disk and are lost")


@LOST
@pytest.mark.parametrize(
    "change",
    [
        "UPDATE sample SET time_us = 9223372036854775807 WHERE field = 'bad_W'",
        "UPDATE sample SET time_us = 'noon' WHERE field = 'bad_W'",
        "UPDATE sample SET value = x'00' WHERE field = 'bad_W'",
        "UPDATE sample SET value = CAST(x'ff' AS TEXT) WHERE field = 'bad_W'",
        "UPDATE sample SET series_id = 99 WHERE field = 'bad_W'",
        "UPDATE sample SET export_id = 99 WHERE field = 'bad_W'",
        "UPDATE sample SET target_id = 99 WHERE field = 'bad_W'",
        "UPDATE sample SET field = x'00' WHERE field = 'bad_W'",
        "UPDATE series SET tags = '[[1, 2]]' WHERE measurement = 'bad'",
        "UPDATE series SET tags = 'x' WHERE measurement = 'bad'",
        "UPDATE series SET measurement = x'00' WHERE measurement = 'bad'",
    ],
)
async def test_damaged_row(outbox: Outbox, path: Path, change: str) -> None:
    """A row that cannot be what was put there is taken out and counted; the others go on."""
    bad = Series(TARGET, "bad", SERIES.tags)
    await outbox.add([sample(0), sample(1, name="bad_W", series=bad), sample(2)])
    await outbox.run(lambda db: db.executescript(change))
    again = await reopened(outbox, path)
    assert [s.time for s in await again.batch(TARGET)] == [at(0), at(2)]
    assert await again.targets() == [TARGET]
    figures = sum(f.waiting for f in (await again.figures()).values())
    assert figures == 2
    assert await again.damaged_files() == []
    await again.close()


async def test_damaged_figures(outbox: Outbox, path: Path) -> None:
    """Figures that are none begin anew, and the account has its outbox all the same."""
    await outbox.add([sample(0)])
    change = "UPDATE export SET last_upload = 'x', uploaded = 'y'"
    await outbox.run(lambda db: db.executescript(change))
    again = await reopened(outbox, path)
    figures = (await again.figures())["export"]
    assert (figures.waiting, figures.uploaded, figures.last_upload) == (1, 0, None)
    await again.close()


async def test_damaged_version(outbox: Outbox, path: Path) -> None:
    """A file that says it is older than it is keeps what waits in it."""
    await outbox.add([sample(0)])
    await outbox.run(lambda db: db.execute("PRAGMA user_version = 1"))
    again = await reopened(outbox, path)
    assert len(await again.batch(TARGET)) == 1
    assert await again.damaged_files() == []
    await again.close()


async def test_no_directory(tmp_path: Path) -> None:
    """Where there cannot be a file at all, the error says so and no thread stays."""
    write(tmp_path / "file", b"")
    outbox = Outbox(tmp_path / "file" / "outbox.db")
    with pytest.raises(OutboxError):
        await outbox.open()
    assert not own_threads()


async def test_disk_full(outbox: Outbox, path: Path) -> None:
    """Nothing is half written, and all works again when there is space."""
    await outbox.add([sample(n) for n in range(100)])
    db = outbox._db
    (pages,) = db.execute("PRAGMA page_count").fetchone()
    db.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(OutboxError, match="full"):
        await outbox.add([sample(n) for n in range(100, 5000)])
    assert len(rows(path)) == 100
    assert (await outbox.figures())["export"].waiting == 100
    assert await outbox.damaged_files() == []
    # What waits can still go
    assert len(await outbox.batch(TARGET)) == 100
    await outbox.delete_uploaded((await outbox.batch(TARGET))[:50])
    db.execute("PRAGMA max_page_count = 1000000")
    await outbox.add([sample(n) for n in range(100, 5000)])
    assert len(await all_waiting(outbox)) == 4950


type Tell = Callable[[int], None]


def fork(work: Callable[[Tell], Coroutine[Any, Any, None]]) -> tuple[int, IO[str]]:
    """Do something in a process of its own; return its id and the lines of what it tells."""
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        # The other threads of this process have no part in what the new one does
        warnings.simplefilter("ignore", DeprecationWarning)
        process = os.fork()
    if process:
        os.close(writing)
        return process, os.fdopen(reading)
    status = 1
    try:
        asyncio.run(work(lambda number: _tell(writing, number)))
        status = 0
    finally:
        os._exit(status)


def _tell(writing: int, number: int) -> None:
    os.write(writing, f"{number}\n".encode())


def test_full_disk_of_the_system(path: Path) -> None:
    """The same with a limit that the system sets; where no file can be begun none is set aside."""
    other_path = path.with_name("other.db")

    async def work(tell: Tell) -> None:
        outbox = Outbox(path)
        await outbox.open()
        resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, resource.RLIM_INFINITY))
        taken = 0

        async def fill() -> None:
            nonlocal taken
            while True:
                await outbox.add([sample(taken + n) for n in range(1000)])
                taken += 1000

        with pytest.raises(OutboxError):
            await fill()
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        with pytest.raises(OutboxError):
            await Outbox(other_path).open()
        resource.setrlimit(resource.RLIMIT_FSIZE, (-1, resource.RLIM_INFINITY))
        other = Outbox(other_path)
        await other.open()
        await other.close()
        await outbox.add([sample(taken)])
        tell(taken + 1)
        tell((await outbox.figures())["export"].waiting)
        await outbox.close()

    process, told = fork(work)
    with told:
        taken, waiting = map(int, told)
    assert os.waitpid(process, 0)[1] == 0
    assert taken == waiting == len(rows(path))
    assert taken > 1000
    assert not [name for name in names_beside(path) if "damaged" in name]


def test_kill(path: Path) -> None:
    """Whatever was acknowledged is there after a `kill -9`, in order and without gaps."""

    async def work(tell: Tell) -> None:
        outbox = Outbox(path)
        await outbox.open()
        number = 0
        while True:
            await outbox.add([sample(number), sample(number + 1)])
            number += 2
            tell(number)

    process, told = fork(work)
    with told:
        acknowledged = 0
        while acknowledged < 500:
            acknowledged = int(told.readline())
        os.kill(process, signal.SIGKILL)
        acknowledged = max([acknowledged, *map(int, told)])
    os.waitpid(process, 0)

    async def check() -> None:
        outbox = Outbox(path)
        await outbox.open()
        assert await outbox.damaged_files() == []
        times = [found.time for found in await all_waiting(outbox)]
        assert len(times) in (acknowledged, acknowledged + 2)
        assert times == [at(n) for n in range(len(times))]
        await outbox.close()

    asyncio.run(check())


def own_threads() -> list[str]:
    """Return the names of the outbox' threads."""
    return [
        thread.name
        for thread in threading.enumerate()
        if thread.name.startswith("eniris-outbox")
    ]


async def test_close(path: Path) -> None:
    """The thread ends, one file is left, and nothing can be asked any more."""
    outbox = Outbox(path)
    await outbox.open()
    await outbox.add([sample(0)])
    assert len(own_threads()) == 1
    await outbox.close()
    assert own_threads() == []
    assert names_beside(path) == {path.name}
    with pytest.raises(OutboxError, match="closed"):
        await outbox.add([sample(1)])
    await outbox.close()


async def test_close_waits_for_what_was_begun(path: Path) -> None:
    """Samples that were handed over before are stored."""
    outbox = Outbox(path)
    await outbox.open()
    added = asyncio.ensure_future(outbox.add([sample(n) for n in range(5000)]))
    await asyncio.sleep(0)
    await outbox.close()
    await added
    assert len(rows(path)) == 5000


@DAMAGED
async def test_delete(path: Path) -> None:
    """Everything of an account goes with it, what was set aside included, and nothing else."""
    write(path, b"garbage" * 1000)
    outbox = Outbox(path)
    await outbox.open()
    await outbox.close()
    write(path.with_name("other.db"), b"")
    delete_outbox(path)
    assert names_beside(path) == {"other.db"}
    delete_outbox(path)


async def test_batches_are_read_in_order_of_ids(outbox: Outbox) -> None:
    """However long the backlog, nothing is sorted and nothing is scanned."""
    await outbox.add([sample(0)])
    statements: list[str] = []
    outbox._db.set_trace_callback(statements.append)
    await outbox.batch(TARGET)
    outbox._db.set_trace_callback(None)
    (select,) = [text for text in statements if "ORDER BY sample.id" in text]
    plan = [row[3] for row in outbox._db.execute(f"EXPLAIN QUERY PLAN {select}")]
    assert not [step for step in plan if "TEMP B-TREE" in step or "SCAN" in step], plan


type Step = tuple[str, int]

_steps = st.lists(
    st.tuples(
        st.sampled_from(
            ["add", "add", "upload", "again", "reject", "discard", "age", "reopen"]
        ),
        st.integers(0, 20),
    ),
    max_size=30,
)


@settings(max_examples=25, deadline=None)
@given(steps=_steps)
def test_figures_agree_with_the_tables(steps: list[Step]) -> None:
    """Whatever is done in whatever order: nothing is counted twice, and nothing is forgotten."""
    asyncio.run(_check_figures(steps))


async def _check_figures(steps: list[Step]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "outbox.db"
        outbox = Outbox(path)
        await outbox.open()
        added = {"a": 0, "b": 0}
        taken = 0
        stale: list[StoredSample] = []
        for step, number in steps:
            match step:
                case "add":
                    name = "ab"[number % 2]
                    await outbox.add(
                        [sample(taken + n, export_id=name) for n in range(number)]
                    )
                    added[name] += number
                    taken += number
                case "upload":
                    batch = await outbox.batch(TARGET, limit=number)
                    await outbox.delete_uploaded(batch)
                    stale += batch
                case "again":
                    await outbox.delete_uploaded(stale[-number:])
                case "reject":
                    for found in [
                        *(await outbox.batch(TARGET, limit=number))[-1:],
                        *stale[:1],
                    ]:
                        await outbox.reject(found, "no")
                        stale.append(found)
                case "discard":
                    await outbox.discard_rejects()
                case "age":
                    stale += await outbox.batch(TARGET, limit=number)
                    limits = Limits(2**40, timedelta(seconds=1))
                    await outbox.enforce(limits, at(taken - number))
                case "reopen":
                    outbox = await reopened(outbox, path)
            figures = await outbox.figures()
            waiting = await all_waiting(outbox)
            for name, count in added.items():
                shown = figures.get(name, Figures())
                mine = [found for found in waiting if found.export_id == name]
                assert shown.waiting == len(mine)
                assert shown.oldest == (mine[0].time if mine else None)
                assert count == sum(
                    (shown.waiting, shown.uploaded, shown.rejected, shown.dropped)
                )
        await outbox.close()
