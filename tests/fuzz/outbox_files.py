"""An outbox in which something of everything waits, as bytes, and how one is used up."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import batched
from pathlib import Path
import tempfile
from typing import Final

from custom_components.eniris.api import Body, WriteTarget
from custom_components.eniris.exporting.config import Series
from custom_components.eniris.exporting.history.jobs import ask, load_jobs
from custom_components.eniris.exporting.outbox.batches import (
    BATCH_BYTES,
    Reject,
    Sample,
    Settlement,
    to_blocks,
)
from custom_components.eniris.exporting.outbox.live import load_rejects, release
from custom_components.eniris.exporting.outbox.outbox import Outbox
from custom_components.eniris.exporting.outbox.store import OutboxError
from custom_components.eniris.exporting.target import LiveQueue
from homeassistant.core import HomeAssistant
from tests.exporting.conftest import SERIES, TARGET, at, sample
from tests.kit.outbox import next_batch, put, samples_of

OTHER: Final = Series(WriteTarget("u", "other", "rp_one_m"), "m", (("t", "ü"),))
AT_ONCE: Final = 6
"""Samples of a commit, half of them of each export."""
SAMPLES_OF_ROW: Final = 3
WAITING: Final = [
    sample(
        number,
        (1.5 * number, "on" * number, True)[number % 3],
        ("a_W", "b", "c")[number % 3],
        export_id=f"export {number % 2}",
        series=(SERIES, OTHER)[number % 5 == 0],
    )
    for number in range(120)
]
"""What waits in a sound file, in its order."""
IN_LOG: Final = 60
"""How many of these stand in the log while the file is used."""


class Files:
    """A sound outbox as bytes; no dataclass, or each failure would print them all."""

    def __init__(self, database: bytes, in_use: bytes, log: bytes) -> None:
        """Take the file after it was closed; and that while it is used, with the log beside it."""
        self.database = database
        self.in_use = in_use
        self.log = log


async def _fill(outbox: Outbox) -> None:
    """Have something of everything wait."""
    refused = [sample(-1, 9.0), sample(-2, "x", "b"), sample(-3, True, "c")]
    await put(outbox, *refused)
    batch = await next_batch(outbox, TARGET)
    await outbox.settle(
        batch,
        Settlement(
            rejects=[Reject(each.sample, "type conflict") for each in batch.entries]
        ),
    )
    await put(outbox, WAITING[0])
    batch = await next_batch(outbox, OTHER.target)
    keys = {entry.key: "type conflict" for entry in batch.entries}
    await outbox.settle(batch, Settlement(blocked=keys, remaining=batch.blocks))
    await outbox.store.run(ask, "export 0", at(-9000), at(0))
    for number, samples in enumerate(batched(WAITING[1:], AT_ONCE, strict=False)):
        if number == (len(WAITING) - IN_LOG) // AT_ONCE:
            async with outbox.store.at_rest():
                pass
        await put(outbox, *samples)


async def make_files(hass: HomeAssistant, path: Path) -> Files:
    """Return a sound outbox in which something of everything waits."""
    outbox = Outbox(hass, path)
    await outbox.open()
    await _fill(outbox)
    in_use, log = _content(path), _content(path.with_name(f"{path.name}-wal"))
    await outbox.close()
    return Files(_content(path), in_use, log)


def _content(path: Path) -> bytes:
    return path.read_bytes()


@contextmanager
def placed(database: bytes, log: bytes | None = None) -> Iterator[Path]:
    """Make an outbox' files for one example, and return where."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "outbox.db"
        path.write_bytes(database)
        if log is not None:
            path.with_name("outbox.db-wal").write_bytes(log)
        yield path


async def upload(outbox: Outbox) -> list[Sample]:
    """Take everything out as the uploader does, all fields unblocked."""
    for key in list(outbox.blocked):
        while not await outbox.store.run(release, key):
            pass
    sent: list[Sample] = []
    for target in outbox.targets():
        source = LiveQueue(outbox)
        while batch := await source.next_batch(target, BATCH_BYTES):
            if isinstance(batch.body, Body):
                await source.settle(batch, Settlement(stored=batch.blocks))
                sent += samples_of(batch.blocks)
            else:
                rejects = [Reject(entry.sample, "no") for entry in batch.entries]
                await source.settle(batch, Settlement(rejects=rejects))
    return sent


async def look(outbox: Outbox) -> None:
    """Read what is no live sample."""
    await outbox.refresh_figures()
    await outbox.store.run(load_rejects)
    await outbox.store.run(load_jobs)


@dataclass(slots=True)
class Result:
    """What came of an outbox."""

    sent: list[Sample]
    """What went up of what had waited."""
    damaged: list[str]
    """The files that were set aside."""


async def use(hass: HomeAssistant, path: Path, *, works: bool = True) -> Result:
    """Use the outbox at a path, twice.

    What is added goes up; so does what is on disk, where it `works`. Nothing but `OutboxError` is ever raised, and
    none at all where it works.
    """
    sent: list[Sample] = []
    for number in range(2):
        outbox = Outbox(hass, path)
        try:
            await outbox.open()
        except OutboxError:
            assert not works
        carried_over = outbox.store.carried_over
        new = [sample(9000 + 2 * number + n, 7.0, "new") for n in range(2)]
        try:
            sent += await upload(outbox)
            assert carried_over is None or len(sent) == carried_over
            with suppress(OutboxError):
                await look(outbox)
            outbox.add(to_blocks(new[:1]))
            await outbox.commit(everything=True)
            assert await upload(outbox) == new[:1]
        except OutboxError:
            assert not works
            assert {*new[:1], *await upload(outbox)} == {*new[:1]}
        outbox.add(to_blocks(new[1:]))
        assert await upload(outbox) == new[1:]
        damaged = await outbox.store.damaged_files()
        await outbox.close()
    return Result(sent, damaged)
