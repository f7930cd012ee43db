"""The backfill: jobs that send what the recorder has, one at a time and in no hurry.

Each job goes from its end back to its start. What the service accepts reaches back to some
time, so that the first refusal tells of all that is older. While one chunk goes up the next is
read, and there are never more than these two.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
import logging
import threading
import time
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers.recorder import get_instance
from homeassistant.util import dt as dt_util

from ..recording import async_read_recorder, has_recorder
from .config import Export, Mode, Past, past_start
from .lane import FieldType, Job, Lane
from .lane_sender import LaneSender
from .outbox import Limits, Outbox, OutboxError
from .recorded import (
    Chunk,
    Inventory,
    Reader,
    Refused,
    StoppedError,
    TooMuchError,
    async_followed,
    chunk_start,
    take_inventory,
)
from .sender import Sender

_LOGGER = logging.getLogger(__name__)

SAMPLES_WANTED: Final = 2500
"""About what a chunk has: one request takes twice as much."""

_FIRST_LENGTH: Final = timedelta(hours=1)
_SHORTEST_LENGTH: Final = timedelta(minutes=1)
_LONGEST_LENGTH: Final = timedelta(days=30)

_INVENTORY_AGE: Final = 600.0
"""Seconds after which it is looked again what there is, since the recorder deletes every night."""

_ROOM: Final = 0.8
"""How full the outbox may be for the past to be put in, as a share of its limit."""


@dataclass(frozen=True, slots=True)
class HistoryStatus:
    """How a job is doing."""

    job: Job
    oldest: datetime | None
    """From when on there is anything; None where nobody has looked yet."""

    @property
    def percent(self) -> float:
        """The share of the time that is done."""
        job = self.job
        if job.finished is not None:
            return 100.0
        start = job.start if self.oldest is None else max(job.start, self.oldest)
        if job.end <= start:
            return 0.0
        return min(100.0, 100.0 * ((job.end - job.chunk_end) / (job.end - start)))


class Backfill:
    """Carries out the jobs of one account."""

    def __init__(
        self,
        hass: HomeAssistant,
        outbox: Outbox,
        sender: Sender,
        exports: Mapping[str, Export],
        limits: Limits,
        on_change: Callable[[], None],
        on_finished: Callable[[Job], None],
        damaged: Collection[str] = (),
    ) -> None:
        """Send for `exports` by way of `sender`; of what is `damaged`, by id, what waits already.

        Tell `on_change` when a job begins, and `on_finished` when it has ended.
        """
        self._hass = hass
        self._outbox = outbox
        self._sender = sender
        self._exports = exports
        self._limits = limits
        self._on_change = on_change
        self._on_finished = on_finished
        self._kept = {*exports, *damaged}
        self._lane = Lane(outbox)
        self._lane_sender = LaneSender(self._lane, sender.request)
        sender.lower_lane = self._lane_sender
        self._task: asyncio.Task[None] | None = None
        self._stopped = threading.Event()
        self._pending = True
        """Whether there may be something to do."""
        self._begun: datetime | None = None
        """The present, until what was asked for before it is noted."""
        self._length = _FIRST_LENGTH
        self._ahead: tuple[Job, Chunk] | None = None
        """What was read, but not yet put in."""
        self._inventory: tuple[int, float, Inventory] | None = None
        """For which job and when it was taken."""
        self._complained = False
        self._status: dict[str, HistoryStatus] = {}

    @callback
    def async_start(self) -> None:
        """Take up, as soon as one can, what was begun and what new exports ask for."""
        self._begun = dt_util.utcnow()

    async def _begin(self) -> None:
        if self._begun is None:
            return
        await self._lane.forget_others(self._kept)
        for export in self._exports.values():
            if export.past is not Past.NOTHING:
                start = past_start(export.past, self._begun)
                await self._lane.ask(export.id, start, self._begun, offer=True)
        self._begun = None

    async def async_stop(self) -> None:
        """Stop; what is not done is taken up after the next start."""
        self._stopped.set()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def ask(self, export_id: str, start: datetime, end: datetime) -> bool:
        """Send what there is from `start` to `end`.

        Return False where that is under way already. Raises `OutboxError`.
        """
        asked = await self._lane.ask(export_id, start, end)
        self._pending = True
        self._on_change()
        self.async_wake()
        return asked

    def status(self, export_id: str) -> HistoryStatus | None:
        """Return how an export's job is doing, None where there never was one."""
        return self._status.get(export_id)

    async def refresh(self) -> None:
        """Look at how the jobs are doing; raises `OutboxError`."""
        status: dict[str, HistoryStatus] = {}
        for job in await self._lane.jobs():
            known = status.get(job.export_id)
            # The one that is under way, else the last one
            if known is None or known.job.finished is not None:
                inventory = self._inventory
                oldest = (
                    inventory[2].oldest()
                    if inventory is not None and inventory[0] == job.id
                    else None
                )
                status[job.export_id] = HistoryStatus(job, oldest)
        self._status = status

    @callback
    def async_wake(self) -> None:
        """Go on if there is something to do, and nobody at it."""
        if (
            not self._pending
            or self._task is not None
            or self._stopped.is_set()
            or not has_recorder(self._hass)
        ):
            return
        self._task = self._hass.async_create_background_task(
            self._work(), "eniris history"
        )
        self._task.add_done_callback(self._async_done)

    @callback
    def _async_done(self, task: asyncio.Task[None]) -> None:
        self._task = None
        if not task.cancelled() and (err := task.exception()) is not None:
            _LOGGER.error(
                "Sending the past failed; it will be tried again", exc_info=err
            )

    async def _work(self) -> None:
        """Do all jobs, up to where one has to wait."""
        try:
            await self._begin()
            held_up: set[int] = set()
            while True:
                jobs = [job for job in await self._lane.jobs() if job.finished is None]
                # A target that fails holds up none of the others
                job = next((job for job in jobs if job.id not in held_up), None)
                if job is None:
                    self._pending = bool(jobs)
                    return
                if not await self._carry_out(job):
                    held_up.add(job.id)
        except OutboxError as err:
            _LOGGER.debug("The outbox failed the backfill, later again: %s", err)
        except StoppedError:
            return
        except SQLAlchemyError as err:
            if not self._complained:
                self._complained = True
                _LOGGER.warning(
                    "The recorder cannot be read, which is tried again by itself: %s",
                    err,
                )

    async def _carry_out(self, job: Job) -> bool:
        """Do a job; return False where it has to wait."""
        if not await self._send_waiting(job):
            return False
        export = self._exports.get(job.export_id)
        if export is None:
            # Its settings cannot be read; it goes on when they can
            return False
        while True:
            inventory = await self._take_inventory(export, job)
            start = max(job.start, inventory.oldest() or job.end)
            reading = None
            if self._ahead is None and job.cursor > start:
                reading = asyncio.create_task(self._read(export, inventory, job))
            try:
                through = await self._send_waiting(job)
            finally:
                if reading is not None:
                    if self._stopped.is_set():
                        reading.cancel()
                    self._ahead = await reading
            current = await self._lane.job(job.id)
            if current is None:
                self._ahead = None
                return True
            if current.outside_until is not None:
                await self._finish(current)
                return True
            if not through:
                return False
            if current.cursor <= start or await self._is_refused(export, current):
                await self._lane_sender.settle(job.id)
                await self._finish(await self._lane.job(job.id) or current)
                return True
            job = current
            if not await self._put_in():
                return False
            job = await self._lane.job(job.id) or job
            self._complained = False

    async def _send_waiting(self, job: Job) -> bool:
        """Send what waits of a job; return whether all of it is through."""
        waiting = await self._lane.waiting(job.id)
        while waiting:
            for target in await self._lane.targets(job.id):
                await self._sender.upload_lower_lane(target)
            before, waiting = waiting, await self._lane.waiting(job.id)
            if waiting >= before:
                return False
        return True

    async def _put_in(self) -> bool:
        """Put into the lane what was read, if anything was; return False where there is no room at present."""
        if self._ahead is None:
            return True
        if await self._outbox.size() > self._limits.size * _ROOM:
            return False
        (job, chunk), self._ahead = self._ahead, None
        # What is refused may have been found out after it was read
        refused = await self._refused(self._exports[job.export_id], job)
        samples = [s for s in chunk.samples if not refused(s.field, s.value)]
        await self._lane.add(
            job,
            chunk.since,
            samples,
            refused=chunk.refused + len(chunk.samples) - len(samples),
            unusable=chunk.unusable,
        )
        return True

    async def _refused(self, export: Export, job: Job) -> Refused:
        """Return what tells whether a value of a field is known to be refused."""
        measurement = export.series.measurement
        refused = {
            (field.field, field.type)
            for field, accepted in (await self._lane.fields(job.id)).items()
            if field.measurement == measurement and not accepted
        }
        return lambda name, value: (name, type(value).__name__) in refused

    async def _take_inventory(self, export: Export, job: Job) -> Inventory:
        now = time.monotonic()
        if self._inventory is not None:
            job_id, taken, inventory = self._inventory
            if job_id == job.id and now - taken < _INVENTORY_AGE:
                return inventory
        # What was recorded a moment ago is written every few seconds
        await get_instance(self._hass).async_block_till_done()
        inventory = await async_read_recorder(
            self._hass,
            take_inventory,
            self._hass,
            {followed.entity_id for followed in async_followed(self._hass, export)},
        )
        is_first = self._inventory is None or self._inventory[0] != job.id
        self._inventory = (job.id, now, inventory)
        if is_first:
            self._length, self._ahead = _FIRST_LENGTH, None
            self._on_change()
        return inventory

    async def _read(
        self, export: Export, inventory: Inventory, job: Job
    ) -> tuple[Job, Chunk]:
        """Read what comes before the cursor of a job, about as much as a chunk should have."""
        refused = await self._refused(export, job)
        given_up = _given_up(export, await self._lane.fields(job.id))
        followed = [
            followed
            for followed in async_followed(self._hass, export)
            if followed.entity_id in inventory.kept
            and followed.exported.field not in given_up
        ]
        reader = Reader(
            self._hass, export, followed, inventory, job.start, self._stopped
        )
        shortest = _SHORTEST_LENGTH
        if export.when.mode is Mode.INTERVAL:
            shortest = max(shortest, export.when.interval)
        while True:
            length = max(self._length, shortest)
            at_most = None if length == shortest else 2 * SAMPLES_WANTED
            since = chunk_start(export.when, job.cursor, length)
            if export.when.mode is Mode.CHANGE:
                since = max(since, job.start)
            try:
                chunk = await async_read_recorder(
                    self._hass, reader.read, since, job.cursor, at_most, refused
                )
            except TooMuchError:
                self._length = length / 4
                continue
            if len(chunk.samples) > SAMPLES_WANTED:
                self._length = max(length / 2, shortest)
            elif len(chunk.samples) < SAMPLES_WANTED / 2:
                self._length = min(length * 2, _LONGEST_LENGTH)
            return job, chunk

    async def _is_refused(self, export: Export, job: Job) -> bool:
        """Tell whether the service takes nothing at all of an export's past."""
        given_up = _given_up(export, await self._lane.fields(job.id))
        return all(exported.field in given_up for exported in export.fields)

    async def _finish(self, job: Job) -> None:
        await self._lane.finish(job.id)
        self._ahead = None
        title = self._exports[job.export_id].title
        _LOGGER.log(
            logging.WARNING if job.refused else logging.INFO,
            "The past of %s from %s to %s was sent: %s values stored, %s outside of the"
            " times that Eniris takes, %s refused, %s of no use",
            title,
            job.start.isoformat(),
            job.end.isoformat(),
            job.stored,
            job.outside,
            job.refused,
            job.unusable,
        )
        self._on_finished(job)
        self._on_change()


def _given_up(export: Export, fields: Mapping[FieldType, bool]) -> set[str]:
    """Return the fields of which the service refuses what was tried, and took nothing."""
    accepted: dict[str, bool] = {}
    for (measurement, name, _), is_accepted in fields.items():
        if measurement == export.series.measurement:
            accepted[name] = accepted.get(name, False) or is_accepted
    return {name for name, is_accepted in accepted.items() if not is_accepted}
