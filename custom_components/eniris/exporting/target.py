"""The uploads to one target: one task, two sources, one back-off."""

import asyncio
from dataclasses import dataclass, field
from datetime import datetime, timedelta
import logging
import random
import time
from typing import Final, NoReturn

from homeassistant.util.dt import utcnow

from .. import api
from ..api import EnirisError, Session, WriteTarget
from .history.jobs import HistoryQueue
from .isolation import Isolation, MustWait, is_about_time
from .issues import Issues, of_field
from .outbox import batches, live
from .outbox.batches import Batch, Entry, FieldKey, Reject, Settlement
from .outbox.outbox import Outbox
from .outbox.store import OutboxError

_LOGGER = logging.getLogger(__name__)

_RETRY: Final = (5.0, 300.0)
"""The first and the longest wait after a failure that ends by itself, in seconds."""

_PAUSE: Final = (60.0, 3600.0)
"""The same after a failure that the user has to look after."""

_WAIT_LONGEST: Final = 24 * 3600.0
"""What a server may ask for; more is no answer but a mistake, and would end uploads for good."""

_HOUR: Final = 3600.0
"""Until a blocked field is tried again, a larger request after a 413, and one that needed a new log-in."""

_PRESENT_WAITS: Final = 10.0
"""Until a value that is sent with the present time is certainly among those of a blocked field."""

_SMALLEST_SIZE: Final = 1024

_JUST_TAKEN: Final = timedelta(minutes=1)

_LONG_AGO: Final = timedelta(hours=1)
"""How long a value has held that is sent with the present time where everything is refused."""

_REFUSALS: Final = (
    api.BadRequestError,
    api.ConflictError,
    api.PayloadTooLargeError,
    api.UnprocessableError,
)
"""What can be about some of the samples alone."""

_PAUSES: Final[dict[type[EnirisError], str]] = {
    api.ForbiddenError: "role_missing",
    api.NotFoundError: "namespace_unknown",
}
"""Failures that the user has to look after, and the issues that tell of them."""


@dataclass(slots=True, eq=False)
class LiveQueue:
    """What waits of one target; fresh samples and a backlog take turns, and the next batch of that is made ready meanwhile."""

    outbox: Outbox
    _backlog_until: int | None = None
    """The row up to which the present backlog goes; what comes after it is fresh."""
    _fresh_next: bool = True
    _ready: asyncio.Task[Batch | None] | None = None

    async def next_batch(self, target: WriteTarget, max_bytes: int) -> Batch | None:
        """Return what makes the next request, None where nothing waits."""
        self._fresh_next = not self._fresh_next
        if self._fresh_next and (batch := await self._fresh(target, max_bytes)):
            return batch
        if batch := await self._backlog(target, max_bytes):
            return batch
        return await self._fresh(target, max_bytes)

    async def _fresh(self, target: WriteTarget, max_bytes: int) -> Batch | None:
        blocks = batches.cut(self.outbox.memory.of(target), max_bytes)
        if blocks:
            return await batches.async_aside(
                sum(map(len, blocks)), batches.make_batch, target, blocks
            )
        if self._backlog_until is None or not self.outbox.store.can_read(target):
            return None
        return await self.outbox.store.run(
            live.read, target, self._backlog_until, None, max_bytes
        )

    async def _backlog(self, target: WriteTarget, max_bytes: int) -> Batch | None:
        store = self.outbox.store
        while store.can_read(target):
            if self._backlog_until is None:
                self._backlog_until = await store.run(live.last_id, target)
            until = self._backlog_until
            ready, self._ready = self._ready, None
            batch = await (ready or store.run(live.read, target, 0, until, max_bytes))
            if batch is None:
                # There is more where all that was read is of blocked fields
                self._backlog_until = None
                await store.run(live.shrink)
                continue
            last = max(block.row.id for block in batch.blocks)
            if last < until:
                self._ready = asyncio.ensure_future(
                    store.run(live.read, target, last, until, max_bytes)
                )
            return batch
        return None

    async def settle(self, batch: Batch, result: Settlement) -> None:
        """Do with a batch as its upload went; raises `OutboxError`, and then all of it waits."""
        if result.stored != batch.blocks:
            self.forget_ready()
        await self.outbox.settle(batch, result)

    def forget_ready(self) -> None:
        """Begin with the oldest again: what was made ready is not what comes next."""
        if self._ready is not None:
            self._ready.cancel()
            # Or its failure, which concerns nobody, would be logged
            self._ready.add_done_callback(
                lambda task: task.cancelled() or task.exception()
            )
            self._ready = None


@dataclass(slots=True, eq=False)
class TargetUploader:
    """Uploads to one target, and knows how that is doing; times are monotonic seconds."""

    session: Session
    outbox: Outbox
    issues: Issues
    target: WriteTarget
    works: bool = False
    failures: int = 0
    paused: bool = False
    """Whether the last failure was one that the user has to look after."""
    not_before: float = 0.0
    problem: str | None = None
    """Why the last request did not succeed, in the server's words; None when it did."""
    needs_log_in: bool = False
    failure: EnirisError | None = None
    """The last error for which everything has had to wait."""
    refusal: EnirisError | None = None
    refuses_all: bool = False
    """Whether the last failure was that every sample was refused."""
    size: int = batches.BATCH_BYTES
    """The most bytes of a request, which a server that says 413 makes smaller."""
    larger_from: float = 0.0
    newest: dict[FieldKey, int] = field(default_factory=dict)
    """The newest time in microseconds that is stored of each field, of what was sent since the start."""
    witness: Entry | None = None
    """The newest sample that is stored: to send it again changes nothing, and tells whether the target works."""
    refused_once: dict[FieldKey, Reject] = field(default_factory=dict)
    """The last sample, of either source, that was set aside of each field of which none was stored since."""
    present_wanted: datetime | None = None
    """Values that have held since then or longer should be sent with the present time, since their own is refused."""
    probe_at: dict[FieldKey, float] = field(default_factory=dict)
    """When to try which blocked field again; at once where nothing is said."""
    live: LiveQueue = field(init=False)

    def __post_init__(self) -> None:
        """Begin with an own queue."""
        self.live = LiveQueue(self.outbox)

    async def upload(self, history: HistoryQueue, *, probe_all: bool = False) -> None:
        """Send what waits until none does or the target must wait: live samples first, then the past."""
        try:
            await self._probe_blocked(probe_all)
            while await self._send_next(self.live) or await self._send_next(history):
                pass
        except MustWait:
            pass
        except OutboxError as err:
            _LOGGER.debug("The outbox failed during an upload, later again: %s", err)
            self.not_before = max(self.not_before, time.monotonic() + _RETRY[0])
        finally:
            self.live.forget_ready()

    async def _send_next(self, source: LiveQueue | HistoryQueue) -> bool:
        batch = await source.next_batch(self.target, self.size)
        if batch is None:
            return False
        error = await self.request(batch)
        if error is None:
            await source.settle(batch, Settlement(stored=batch.blocks))
            return True
        if isinstance(error, api.PayloadTooLargeError) and len(batch.blocks) > 1:
            # The next one is smaller
            self.live.forget_ready()
            return True
        isolation = Isolation(self, batch)
        refused_once = self.refused_once.copy()
        try:
            result = await isolation.run(error)
            await source.settle(batch, result)
        except BaseException:
            # What is not written down comes again, and is not refused for the second time then
            self.refused_once = refused_once
            raise
        if source is self.live:
            self._tell_of(result)
            if isolation.refused_until is not None:
                self._want_present(batches.from_us(isolation.refused_until))
                # Present values tell whether it is the fields or the age of what waits
                probe_at = time.monotonic() + _PRESENT_WAITS
                self.probe_at.update(dict.fromkeys(result.blocked, probe_at))
        if isolation.must_wait:
            raise MustWait
        return True

    def _tell_of(self, result: Settlement) -> None:
        for key, reason in result.blocked.items():
            self.probe_at[key] = time.monotonic() + _HOUR
            self.issues.report("field_blocked", of_field(key), error=reason)
            about = f"{key.field} in {key.measurement}"
            _LOGGER.warning("Eniris refuses every value of field %s: %s", about, reason)
        for sample, reason in result.rejects:
            series, when = sample.series, sample.time.isoformat()
            about = f"{sample.field} in {series.measurement} at {when}"
            _LOGGER.warning(
                "Eniris refuses a value of field %s, now set aside: %s", about, reason
            )
        if (too_old := result.too_old) is not None:
            about = f"{self.target.database} of {too_old.until.isoformat()} or older"
            count, reason = sum(map(len, too_old.blocks)), too_old.reason
            _LOGGER.warning(
                "Eniris takes no values for %s, %s left out: %s", about, count, reason
            )

    def due_probes(self, *, at_once: bool = False) -> list[FieldKey]:
        """Return the blocked fields that are to be tried again."""
        now = time.monotonic()
        return [
            key
            for key in self.outbox.blocked
            if key.target == self.target
            and self.outbox.store.awake.is_set()
            and (at_once or self.probe_at.get(key, 0.0) <= now)
        ]

    async def _probe_blocked(self, at_once: bool) -> None:
        """Try the newest value of blocked fields; where it is stored, all that waits of the field goes up."""
        for key in self.due_probes(at_once=at_once):
            self.probe_at[key] = time.monotonic() + _HOUR
            batch = await self.outbox.store.run(live.newest_of, key)
            if batch is not None and (error := await self.request(batch)) is not None:
                self.issues.report("field_blocked", of_field(key), error=str(error))
                if is_about_time(error):
                    # The next try is with the present time
                    self._want_present(batches.from_us(batch.newest[key].time_us))
                continue
            while not await self.outbox.store.run(live.release, key):
                pass
            del self.probe_at[key]
            self.refused_once.pop(key, None)
            self.issues.resolve("field_blocked", of_field(key))

    async def request(self, batch: Batch) -> EnirisError | None:
        """Send one request; return why it is refused, None when it is stored. Raises `MustWait`."""
        if isinstance(batch.body, api.EnirisQueryError):
            self.refusal = batch.body
            return self.refusal
        try:
            await self.session.write_body(self.target, batch.body)
        except api.ReauthenticationRequiredError as err:
            self.needs_log_in = True
            self.not_before = time.monotonic() + _HOUR
            self._note_failure(err)
            raise MustWait from None
        except _REFUSALS as err:
            self.refusal = api.without_frames(err)
            if isinstance(err, api.PayloadTooLargeError):
                self.size = max(min(self.size, len(batch) * 64) // 2, _SMALLEST_SIZE)
                self.larger_from = time.monotonic() + _HOUR
            return self.refusal
        except EnirisError as err:
            kind = _PAUSES.get(type(err))
            if kind is not None:
                self.issues.report_target(kind, self.target, str(err))
            self.postpone(err, paused=kind is not None)
            raise MustWait from None
        self._note_success(batch)
        return None

    def _note_success(self, batch: Batch) -> None:
        if not self.works:
            if self.failures:
                _LOGGER.info("Uploads to %s work again", self.target.database)
            self.works = True
            self.issues.resolve_target(self.target)
        self.failures, self.not_before, self.problem = 0, 0.0, None
        self.needs_log_in = self.refuses_all = False
        self.outbox.failing.discard(self.target)
        if self.size < batches.BATCH_BYTES and time.monotonic() >= self.larger_from:
            self.size = min(2 * self.size, batches.BATCH_BYTES)
            self.larger_from = time.monotonic() + _HOUR
        for key in self.refused_once.keys() & batch.newest:
            del self.refused_once[key]
        # From the oldest to the newest
        for key, entry in batch.newest.items():
            time_us = entry.block.times[entry.number]
            if time_us >= self.newest.get(key, time_us):
                self.newest[key] = time_us
        if self.witness is None or entry.time_us >= self.witness.time_us:
            self.witness = entry

    def _want_present(self, until: datetime) -> None:
        """Ask for values that have held since `until`; what was just taken is not too old, its time is refused since our clock is wrong."""
        if until < utcnow() - _JUST_TAKEN:
            self.present_wanted = max(until, self.present_wanted or until)

    def note_refused_all(self) -> NoReturn:
        """Keep everything: what is refused together with all else is no fault of the samples."""
        self.issues.report_target("target_refuses", self.target, str(self.refusal))
        if not self.refuses_all:
            # The own time of all that waits may be too old
            self._want_present(utcnow() - _LONG_AGO)
        self.refuses_all = True
        self.postpone(self.refusal, paused=False)
        raise MustWait

    def postpone(self, err: EnirisError | None, *, paused: bool) -> None:
        """Try again later, ever later; one log line for the whole outage."""
        if paused is not self.paused:
            # Another cause, with other waits
            self.paused, self.failures = paused, 0
        first, longest = _PAUSE if paused else _RETRY
        jitter = random.uniform(0.8, 1.2)  # noqa: S311
        wait = min(longest, first * 2.0 ** min(self.failures, 16) * jitter)
        if isinstance(err, api.EnirisStatusError) and err.retry_after is not None:
            wait = min(err.retry_after, _WAIT_LONGEST)
        self.not_before = time.monotonic() + wait
        self._note_failure(err)
        if not self.failures:
            is_outage = isinstance(err, api.EnirisConnectionError)
            _LOGGER.log(
                logging.INFO if is_outage else logging.WARNING,
                "Values for %s (%s) cannot be uploaded at present and wait: %s",
                self.target.database,
                self.target.retention_policy,
                err,
            )
        self.failures += 1

    def _note_failure(self, err: EnirisError | None) -> None:
        self.problem = str(err)
        self.failure = None if err is None else api.without_frames(err)
        self.works = False
        self.outbox.failing.add(self.target)
