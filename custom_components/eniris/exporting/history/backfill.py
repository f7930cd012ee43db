"""The backfill: jobs that send what the recorder has, one at a time and in no hurry, each from its end to its start."""

import asyncio
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
import logging
import threading
import time
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from homeassistant.core import CALLBACK_TYPE, HomeAssistant, callback
from homeassistant.helpers.event import async_track_time_interval
from homeassistant.helpers.recorder import get_instance
from homeassistant.util import dt as dt_util

from ...recorder_access import has_recorder
from ..config import BackfillRange, Export, backfill_start
from ..outbox.outbox import Outbox
from ..outbox.store import OutboxError
from ..sampler import Sampler
from ..uploader import Uploader
from .jobs import Job, Sending, ask, begin, load_jobs
from .runner import JobRunner

_LOGGER = logging.getLogger(__name__)

_WAKE_INTERVAL: Final = timedelta(seconds=5)

_WAIT_FIRST: Final = 10.0
_WAIT_LONGEST: Final = 3600.0
"""Seconds before a job is tried again that has met an error of ours: it is likely to meet it again."""


@dataclass(frozen=True, slots=True)
class BackfillStatus:
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
        whole = job.end - max(job.start, self.oldest or job.start)
        done = job.end - job.cursor
        return 100.0 * min(done / whole, 1.0) if whole > timedelta() else 0.0


@dataclass(eq=False)
class Backfill:
    """Carries out the jobs of one account."""

    hass: HomeAssistant
    outbox: Outbox
    uploader: Uploader
    sampler: Sampler
    exports: Mapping[str, Export]
    invalid: Collection[str]
    """The exports, by id, that cannot be carried out at present; their jobs wait."""
    _runners: dict[int, JobRunner] = field(default_factory=dict)
    """Of the jobs that were taken up since the start and are not done, by their ids."""
    _listeners: list[Callable[[Job], None]] = field(default_factory=list)
    _timer: CALLBACK_TYPE | None = None
    _task: asyncio.Task[None] | None = None
    _stopped: threading.Event = field(default_factory=threading.Event)
    _begun: datetime | None = None
    """The present, until what was asked for before it is noted."""
    _recorder_failed: bool = False

    @callback
    def async_start(self) -> None:
        """Take up, as soon as one can, what was begun and what new exports ask for."""
        self._begun = dt_util.utcnow()
        self._timer = async_track_time_interval(
            self.hass, self._async_wake, _WAKE_INTERVAL
        )

    async def async_stop(self) -> None:
        """Stop; what is not done is taken up after the next start."""
        self._stopped.set()
        if self._timer is not None:
            self._timer()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    @callback
    def async_add_listener(self, listener: Callable[[Job], None]) -> CALLBACK_TYPE:
        """Call `listener` with each job that has ended, until the returned function is called."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    async def ask(self, export_id: str, start: datetime, end: datetime) -> bool:
        """Send what there is from `start` to `end`; return False where that is under way already. Raises `OutboxError`."""
        asked = await self.outbox.store.run(ask, export_id, start, end)
        for runner in self._runners.values():
            runner.wait = runner.not_before = 0.0
        self._async_wake()
        return asked

    async def status(self) -> dict[str, BackfillStatus]:
        """Return how the jobs are doing, by export: what is under way, else what was done last. Raises `OutboxError`."""
        status: dict[str, BackfillStatus] = {}
        for job in await self.outbox.store.read(load_jobs):
            if (known := status.get(job.export_id)) is None or known.job.finished:
                runner = self._runners.get(job.id)
                oldest = None if runner is None else runner.oldest
                status[job.export_id] = BackfillStatus(job, oldest)
        return status

    @callback
    def _async_wake(self, _now: datetime | None = None) -> None:
        if (
            (self._task is None or self._task.done())
            and not self._stopped.is_set()
            and has_recorder(self.hass)
            and get_instance(self.hass).is_alive()
        ):
            self._task = self.hass.async_create_background_task(
                self._work(), "eniris history"
            )

    async def _work(self) -> None:
        """Do all jobs, up to where each has to wait. What fails holds up none of the others."""
        tried: set[int] = set()
        try:
            if self._begun is not None:
                starts = {
                    export.id: backfill_start(export.backfill, self._begun)
                    for export in self.exports.values()
                    if export.backfill is not BackfillRange.NOTHING
                }
                kept = {*self.exports, *self.invalid}
                await self.outbox.store.run(begin, kept, starts, self._begun)
                self._begun = None
            while ready := [
                job
                for job in await self.outbox.store.read(load_jobs)
                if job.finished is None
                and job.export_id in self.exports
                and job.id not in tried
                and self._runner(job).not_before <= time.monotonic()
            ]:
                tried.add(ready[0].id)
                await self._carry_out(ready[0])
        except OutboxError as err:
            _LOGGER.debug("The outbox failed the backfill, later again: %s", err)

    def _runner(self, job: Job) -> JobRunner:
        if job.id not in self._runners:
            sending = self.uploader.history.sendings[job.id] = Sending(job)
            self._runners[job.id] = JobRunner(
                self.hass,
                self.outbox,
                self.uploader,
                self._stopped,
                self.exports[job.export_id],
                self.sampler.entities_of(job.export_id),
                sending,
            )
        return self._runners[job.id]

    async def _carry_out(self, job: Job) -> None:
        runner = self._runner(job)
        try:
            is_over = await runner.run()
        except OutboxError:
            raise
        except (SQLAlchemyError, TimeoutError) as err:
            if not self._recorder_failed:
                _LOGGER.warning(
                    "The recorder cannot be read, which is tried again by itself: %s",
                    err,
                )
            self._recorder_failed = True
        except Exception:
            # A bug of ours in one job holds up none of the others
            if not runner.wait:
                _LOGGER.exception("Sending the past failed; it will be tried again")
            runner.wait = min(max(2 * runner.wait, _WAIT_FIRST), _WAIT_LONGEST)
            runner.not_before = time.monotonic() + runner.wait
        else:
            self._recorder_failed, runner.wait = False, 0.0
            if is_over:
                del self._runners[job.id], self.uploader.history.sendings[job.id]
                done = runner.sending.job
                _LOGGER.log(
                    logging.WARNING if done.refused else logging.INFO,
                    "The past of %s from %s to %s was sent: %s values stored, %s outside"
                    " of the times that Eniris takes, %s refused, %s of no use",
                    runner.export.title,
                    done.start.isoformat(),
                    done.end.isoformat(),
                    done.stored,
                    done.outside,
                    done.refused,
                    done.unusable,
                )
                for listener in self._listeners:
                    listener(done)
