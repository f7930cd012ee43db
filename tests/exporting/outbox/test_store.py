"""The outbox' file: private, whole after a kill and on a full disk, and one thread that ends."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
import os
from pathlib import Path
import resource
import signal
import stat
import threading
from typing import IO, Any
import warnings

import pytest

from custom_components.eniris.exporting.outbox.batches import (
    FieldKey,
    Sample,
    to_blocks,
)
from custom_components.eniris.exporting.outbox.limits import used_bytes
from custom_components.eniris.exporting.outbox.live import shrink
from custom_components.eniris.exporting.outbox.rows import Rows
from custom_components.eniris.exporting.outbox.store import (
    OutboxError,
    Store,
    delete_outbox,
    outbox_path,
)
from tests.exporting.conftest import SERIES, TARGET, at, sample
from tests.kit.outbox import blocks_on_disk, new_store, rows_of

KEY = FieldKey(TARGET, SERIES.measurement, "bad_W", "float")


@pytest.fixture(autouse=True)
def no_sockets(socket_enabled: None) -> None:
    """Let the event loop have its own."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where the outbox is."""
    return tmp_path / "outbox.db"


@pytest.fixture
async def store(path: Path) -> AsyncGenerator[Store]:
    """Return an open store."""
    store = new_store(path)
    await store.open()
    yield store
    await store.close()


def put(rows: Rows, *samples: Sample) -> None:
    """Append samples to the queue of the usual target."""
    rows.insert(rows.live_queue(TARGET), to_blocks(samples))


async def reopened(store: Store, path: Path) -> Store:
    """Return the store after a restart."""
    await store.close()
    store = new_store(path)
    await store.open()
    return store


def modes(path: Path) -> dict[str, int]:
    """Return the modes of the outbox and what is beside it."""
    return {
        file.name: stat.S_IMODE(file.stat().st_mode)
        for file in path.parent.glob(f"{path.name}*")
    }


def write(path: Path, content: bytes) -> None:
    """Make a file that is open to everybody."""
    path.write_bytes(content)
    path.chmod(0o644)


def copy(path: Path, to: Path) -> None:
    """Copy a file."""
    to.write_bytes(path.read_bytes())


def size_of(path: Path) -> int:
    """Return the bytes of a file."""
    return path.stat().st_size


def names_beside(path: Path) -> set[str]:
    """Return the names of what is in the outbox' directory."""
    return {file.name for file in path.parent.iterdir()}


async def test_on_disk_when_it_returns(store: Store, path: Path) -> None:
    """What a transaction has put there, another process sees; a power cut does not take it."""
    await store.run(put, sample(0, 1.5), sample(1, "on", "status"))
    assert blocks_on_disk(path) == 2
    (synchronous,) = await store.run(
        lambda rows: rows.db.execute("PRAGMA synchronous").fetchone()
    )
    assert synchronous == 2


def _put_and_fail(rows: Rows) -> None:
    put(rows, sample(1, name="new_W"))
    rows.block_field(KEY, "no")
    raise ValueError("failed in the middle")


async def test_all_or_none(store: Store, path: Path) -> None:
    """What fails in the middle leaves everything as it was, figures and blocked fields included."""
    await store.run(put, sample(0))
    with pytest.raises(OutboxError, match="in the middle"):
        await store.run(_put_and_fail)
    assert blocks_on_disk(path) == 1
    assert await store.run(lambda rows: rows.waiting.copy()) == {"export": 1}
    assert not store.blocked
    await store.run(put, sample(2, name="new_W"))
    again = await reopened(store, path)
    found = await again.run(rows_of, TARGET)
    assert [each.time for each in found] == [at(0), at(2)]
    await again.close()


async def test_private(store: Store, path: Path) -> None:
    """Nobody but the owner reads the file and those beside it, whatever they were before."""
    await store.run(put, sample(0))
    private = {f"outbox.db{suffix}": 0o600 for suffix in ("", "-wal", "-shm")}
    assert modes(path) == private
    await store.close()
    write(path.with_name("outbox.db-wal"), b"")
    again = new_store(path)
    await again.open()
    await again.run(put, sample(1))
    assert modes(path) == private
    await again.close()


def test_name_of_the_file(tmp_path: Path) -> None:
    """Two accounts never share a file."""
    assert outbox_path(tmp_path, "a") != outbox_path(tmp_path, "b")
    assert outbox_path(tmp_path, "a").parent == tmp_path


async def test_no_directory(tmp_path: Path) -> None:
    """Where there cannot be a file at all, the error says so, and it can be tried again."""
    write(tmp_path / "file", b"")
    store = new_store(tmp_path / "file" / "outbox.db")
    with pytest.raises(OutboxError):
        await store.open()
    assert not store.is_open
    with pytest.raises(OutboxError):
        await store.run(put, sample(0))
    (tmp_path / "file").unlink()
    await store.open()
    await store.run(put, sample(0))
    await store.close()
    assert not own_threads()


def own_threads() -> list[str]:
    """Return the names of the outbox' threads."""
    return [
        thread.name
        for thread in threading.enumerate()
        if thread.name.startswith("eniris-outbox")
    ]


async def test_close(path: Path) -> None:
    """The thread ends, one file is left, and nothing can be asked any more."""
    store = new_store(path)
    await store.open()
    await store.run(put, sample(0))
    assert len(own_threads()) == 1
    await store.close()
    assert own_threads() == []
    assert names_beside(path) == {path.name}
    with pytest.raises(OutboxError, match="closed"):
        await store.run(put, sample(1))
    assert not store.is_open
    assert not store.blocked
    assert not store.on_disk
    await store.close()


async def test_close_waits_for_what_was_begun(path: Path) -> None:
    """What was handed over before is done."""
    store = new_store(path)
    await store.open()
    begun = asyncio.ensure_future(store.run(put, *(sample(n) for n in range(5000))))
    await asyncio.sleep(0)
    await store.close()
    await begun
    assert blocks_on_disk(path) == 5000


async def test_one_file_for_a_backup(store: Store, path: Path) -> None:
    """While it is at rest everything is in the file itself."""
    await store.run(put, *(sample(n) for n in range(5000)))
    async with store.at_rest():
        pass
    assert size_of(path.with_name("outbox.db-wal")) == 0
    copy(path, path.with_name("copy.db"))
    assert blocks_on_disk(path.with_name("copy.db")) == 5000


async def test_file_shrinks(store: Store, path: Path) -> None:
    """After a backlog the space is given back."""
    for n in range(60):
        await store.run(put, *(sample(n, "x" * 40 + str(m)) for m in range(1000)))
        await store.run(put, *(sample(n, os.urandom(20).hex()) for _ in range(1000)))
    used = await store.run(used_bytes)
    async with store.at_rest():
        pass
    largest = size_of(path)
    await store.run(lambda rows: rows.clear(rows.live_queue(TARGET)))
    assert await store.run(used_bytes) < used * 0.05
    await store.run(shrink)
    async with store.at_rest():
        pass
    assert size_of(path) < largest * 0.7


@pytest.mark.expected_log("cannot be read|carried over")
async def test_delete(path: Path) -> None:
    """Everything of an account goes with it, what was set aside included, and nothing else."""
    write(path, b"garbage" * 1000)
    store = new_store(path)
    await store.open()
    await store.close()
    assert len(await store.damaged_files()) == 1
    write(path.with_name("other.db"), b"")
    delete_outbox(path)
    assert names_beside(path) == {"other.db"}
    delete_outbox(path)


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
    """Nothing is half written, all works again when there is space, and no file is set aside."""
    other_path = path.with_name("other.db")

    async def work(tell: Tell) -> None:
        store = new_store(path)
        await store.open()
        resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, resource.RLIM_INFINITY))
        taken = 0

        async def fill() -> None:
            nonlocal taken
            while True:
                texts = [os.urandom(16).hex() for _ in range(1000)]
                await store.run(put, *(sample(taken, text) for text in texts))
                taken += 1000

        with pytest.raises(OutboxError):
            await fill()
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        with pytest.raises(OutboxError):
            await new_store(other_path).open()
        resource.setrlimit(resource.RLIMIT_FSIZE, (-1, resource.RLIM_INFINITY))
        other = new_store(other_path)
        await other.open()
        await other.close()
        await store.run(put, sample(taken))
        tell(taken + 1)
        tell(await store.run(lambda rows: rows.waiting["export"]))
        await store.close()

    process, told = fork(work)
    with told:
        taken, waiting = map(int, told)
    assert os.waitpid(process, 0)[1] == 0
    assert taken == waiting == blocks_on_disk(path)
    assert taken > 1000
    assert not [name for name in names_beside(path) if "damaged" in name]


def test_kill(path: Path) -> None:
    """Whatever was acknowledged is there after a `kill -9`, in order and without gaps."""

    async def work(tell: Tell) -> None:
        store = new_store(path)
        await store.open()
        number = 0
        while True:
            await store.run(put, sample(number), sample(number + 1))
            number += 2
            tell(number)

    process, told = fork(work)
    with told:
        acknowledged = 0
        while acknowledged < 200:
            acknowledged = int(told.readline())
        os.kill(process, signal.SIGKILL)
        acknowledged = max([acknowledged, *map(int, told)])
    os.waitpid(process, 0)

    async def check() -> None:
        store = new_store(path)
        await store.open()
        assert await store.damaged_files() == []
        times = [found.time for found in await store.run(rows_of, TARGET)]
        assert len(times) in (acknowledged, acknowledged + 2)
        assert times == [at(n) for n in range(len(times))]
        await store.close()

    asyncio.run(check())
