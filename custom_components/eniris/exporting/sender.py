"""The sender: batches from the outbox to the ingress, until the service has stored them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import Enum, auto
from functools import partial
import logging
import random
import time
from typing import Final, Protocol

from homeassistant.core import HomeAssistant, callback

from ..api import (
    BadRequestError,
    Body,
    ConflictError,
    EnirisConnectionError,
    EnirisError,
    EnirisQueryError,
    EnirisStatusError,
    ForbiddenError,
    NotFoundError,
    PayloadTooLargeError,
    ReauthenticationRequiredError,
    Session,
    UnprocessableError,
    WireFormat,
    WriteTarget,
    encode_now,
    without_frames,
)
from .issues import Issues
from .lane import FieldType
from .outbox import (
    BATCH_BYTES,
    Outbox,
    OutboxError,
    StoredSample,
    json_size,
    merge_points,
)

_LOGGER = logging.getLogger(__name__)

LAST_UPLOAD: Final = 5.0
"""Seconds that a last upload may take when Home Assistant stops."""

_RETRY_FIRST: Final = 5.0
_RETRY_LONGEST: Final = 300.0
_WAIT_LONGEST: Final = 24 * 3600.0
"""What a server may ask for; more is no answer but a mistake, and would end uploads for good."""

_PAUSE_FIRST: Final = 60.0
_PAUSE_LONGEST: Final = 3600.0

_CAREFUL_GROWTH: Final = 16
_SMALLEST_SIZE: Final = 1024
_LARGER_AFTER: Final = 3600.0
"""Seconds after a 413 until a larger request is tried, so that this costs one in vain at most."""

_ENCODED_AT_ONCE: Final = 100
"""Samples below which a thread costs more than the work."""

_BAD_SAMPLE: Final = (
    BadRequestError,
    ConflictError,
    UnprocessableError,
    EnirisQueryError,
)


class Outcome(Enum):
    """What became of one request."""

    STORED = auto()
    REFUSED = auto()
    TOO_LARGE = auto()
    LATER = auto()


@dataclass(slots=True)
class TargetState:
    """How a target is doing; times are monotonic seconds."""

    works: bool = False
    failures: int = 0
    paused: bool = False
    """Whether the last failure was one that the user has to look after."""
    not_before: float = 0.0
    problem: str | None = None
    """Why the last request did not succeed, in the server's words; None when it did."""
    refusal: EnirisError | None = None
    """The last refusal of samples."""
    failure: EnirisError | None = None
    """The last error for which everything has had to wait."""
    careful: int | None = None
    """The most samples of a request after one was refused; grows until it does not matter."""
    size: int = BATCH_BYTES
    """The most bytes of a request, which a server that says 413 makes smaller."""
    larger_from: float = 0.0
    """When to try larger ones again."""
    refused_fields: set[tuple[str, str]] = field(default_factory=set)
    """Measurement and field of what was refused, until one of the same is stored."""
    stored_fields: set[FieldType] = field(default_factory=set)
    """What the service is known to take."""


type Forget = Callable[[list[StoredSample]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class _Batch:
    """Samples, and the request that stores them."""

    samples: list[StoredSample]
    types: set[FieldType]
    body: Body | EnirisQueryError
    """An error where one of them cannot be sent."""


def _encode(samples: list[StoredSample], wire_format: WireFormat) -> _Batch:
    named = {
        (sample.measurement, sample.field, type(sample.value)) for sample in samples
    }
    body: Body | EnirisQueryError
    try:
        body = encode_now(merge_points(samples), wire_format)
    except EnirisQueryError as err:
        body = err
    return _Batch(
        samples,
        {
            FieldType(measurement, name, kind.__name__)
            for measurement, name, kind in named
        },
        body,
    )


class _Window:
    """The samples of a target with ids above one and up to another, batch by batch.

    While a batch is under way the next is made ready, so that neither waits for the other.
    """

    def __init__(
        self,
        read: Callable[[int, int | None], Awaitable[_Batch | None]],
        after_id: int,
        until_id: int | None,
    ) -> None:
        """Take batches from `read`, which is given the ids."""
        self._read = read
        self._after_id = after_id
        self._until_id = until_id
        self._ahead: asyncio.Future[_Batch | None] | None = None

    async def next(self) -> _Batch | None:
        """Return the oldest batch, None where nothing is left."""
        ahead, self._ahead = self._ahead, None
        if ahead is None:
            return await self._read(self._after_id, self._until_id)
        return await ahead

    def make_ready(self, after: _Batch) -> None:
        """Begin with the batch that comes after one, which is taken for stored."""
        last_id = after.samples[-1].id
        if self._until_id is not None and last_id < self._until_id:
            self._ahead = asyncio.ensure_future(self._read(last_id, self._until_id))

    def forget_ready(self) -> None:
        """Begin with the oldest again: what was made ready is not what comes next."""
        if self._ahead is not None:
            self._ahead.cancel()
            # Or its failure, which concerns nobody, would be logged
            self._ahead.add_done_callback(
                lambda ahead: None if ahead.cancelled() else ahead.exception()
            )
            self._ahead = None


class LowerLane(Protocol):
    """What goes up when nothing else waits."""

    async def send_next(self, target: WriteTarget, state: TargetState) -> bool:
        """Send one request; return whether there may be more to send at once."""


class Sender:
    """Uploads what waits, target by target: one that fails does not hold up another."""

    def __init__(
        self,
        hass: HomeAssistant,
        session: Session,
        outbox: Outbox,
        issues: Issues,
        on_reauthenticate: Callable[[], None],
        on_change: Callable[[], None],
        *,
        wire_format: WireFormat = WireFormat.JSON,
    ) -> None:
        """Send over `session`.

        Tell `on_reauthenticate` when only a new log-in helps, and `on_change` when a target begins
        to work or ceases to.
        """
        self._hass = hass
        self._session = session
        self._outbox = outbox
        self._issues = issues
        self._on_reauthenticate = on_reauthenticate
        self._on_change = on_change
        self._wire_format = wire_format
        self._targets: dict[WriteTarget, TargetState] = {}
        self._uploads: dict[WriteTarget, asyncio.Task[None]] = {}
        self._starting = asyncio.Lock()
        self._stopping = False
        self.reauthentication_needed = False
        self.lower_lane: LowerLane | None = None

    def problem(self, target: WriteTarget) -> str | None:
        """Return why a target's samples are not stored at present, None while they are."""
        state = self._targets.get(target)
        return None if state is None else state.problem

    @property
    def targets(self) -> Mapping[WriteTarget, TargetState]:
        """How the targets are doing."""
        return self._targets

    @property
    def failing(self) -> bool:
        """Whether the samples of any target are not stored at present."""
        return any(state.problem is not None for state in self._targets.values())

    async def start_uploads(self) -> None:
        """Begin an upload for every target that samples wait for and that may be tried."""
        if self.reauthentication_needed:
            return
        async with self._starting:
            try:
                targets = await self._outbox.targets()
            except OutboxError as err:
                _LOGGER.debug("The outbox cannot be read, later again: %s", err)
                return
            now = time.monotonic()
            for target in targets:
                state = self._targets.setdefault(target, TargetState())
                if target not in self._uploads and state.not_before <= now:
                    self._start(target, state)

    @callback
    def _start(self, target: WriteTarget, state: TargetState) -> None:
        task = self._hass.async_create_background_task(
            self._upload(target, state), f"eniris upload to {target.database}"
        )
        self._uploads[target] = task

        def done(task: asyncio.Task[None]) -> None:
            self._uploads.pop(target, None)
            if not task.cancelled() and (err := task.exception()) is not None:
                _LOGGER.error("An upload failed; it will be tried again", exc_info=err)

        task.add_done_callback(done)

    async def upload_now(self, only: WriteTarget | None = None) -> str | None:
        """Try a target or all of them at once, pauses or not; return the first problem met."""
        for target, state in self._targets.items():
            if only in (None, target):
                state.not_before = 0.0
        await self.start_uploads()
        await self.finish()
        return next(
            (
                state.problem
                for target, state in self._targets.items()
                if state.problem is not None and only in (None, target)
            ),
            None,
        )

    async def finish(self) -> None:
        """Wait for the uploads under way."""
        await asyncio.gather(*self._uploads.values(), return_exceptions=True)

    @asynccontextmanager
    async def pause(self) -> AsyncIterator[None]:
        """Upload nothing while what waits is changed; what is under way is sent once more."""
        async with self._starting:
            for task in self._uploads.values():
                task.cancel()
            await self.finish()
            yield

    @callback
    def forget_target(self, target: WriteTarget) -> None:
        """Know nothing of a target that nothing waits for any more."""
        if target not in self._uploads:
            self._targets.pop(target, None)
            self._issues.target_works(target)

    @callback
    def forget_refusal(self, target: WriteTarget, measurement: str, field: str) -> None:
        """Say so again when a field is refused, since the user has looked after it."""
        if (state := self._targets.get(target)) is not None:
            state.refused_fields.discard((measurement, field))
        self._issues.field_stored(target, measurement, field)

    async def upload_lower_lane(self, target: WriteTarget) -> None:
        """Upload what waits for a target if it may be tried, and wait until that is through."""
        state = self._targets.setdefault(target, TargetState())
        async with self._starting:
            if (
                target not in self._uploads
                and not self.reauthentication_needed
                and state.not_before <= time.monotonic()
            ):
                self._start(target, state)
        if (upload := self._uploads.get(target)) is not None:
            await asyncio.wait([upload])

    async def stop(self) -> None:
        """Try once more what is not known to fail, within a few seconds; then stop."""
        self._stopping = True
        try:
            async with asyncio.timeout(LAST_UPLOAD):
                await self.finish()
                await self.start_uploads()
                await self.finish()
        except TimeoutError:
            _LOGGER.debug("The last upload was not finished; the rest stays on disk")
        for task in self._uploads.values():
            task.cancel()
        await self.finish()

    async def _upload(self, target: WriteTarget, state: TargetState) -> None:
        """Send the target's samples until none waits or one must wait.

        The oldest go first. What is taken while a backlog goes up takes turns with it, so that it
        never waits for more than one request. Nor does it wait for more than one of the lower lane.
        """
        read = partial(self._read, target, state)
        backlog = _Window(read, 0, 0)
        try:
            newest_id = await self._outbox.newest_id(target)
            backlog = _Window(read, 0, newest_id)
            while True:
                sent = await self._send_next(target, state, backlog)
                if sent is None:
                    return
                live = await self._send_next(
                    target, state, _Window(read, newest_id, None)
                )
                if live is None:
                    return
                if sent:
                    continue
                if not live and (
                    self.lower_lane is None
                    or self._stopping
                    or not await self.lower_lane.send_next(target, state)
                ):
                    return
                newest_id = await self._outbox.newest_id(target)
                backlog = _Window(read, 0, newest_id)
        except OutboxError as err:
            _LOGGER.debug("The outbox failed during an upload, later again: %s", err)
        finally:
            backlog.forget_ready()

    async def _read(
        self,
        target: WriteTarget,
        state: TargetState,
        after_id: int,
        until_id: int | None,
    ) -> _Batch | None:
        samples = await self._outbox.batch(
            target,
            after_id=after_id,
            until_id=until_id,
            limit=state.careful,
            size=state.size,
        )
        return await self._encoded(samples) if samples else None

    async def _encoded(self, samples: list[StoredSample]) -> _Batch:
        if len(samples) < _ENCODED_AT_ONCE:
            return _encode(samples, self._wire_format)
        return await self._hass.async_add_executor_job(
            _encode, samples, self._wire_format
        )

    async def _send_next(
        self, target: WriteTarget, state: TargetState, window: _Window
    ) -> int | None:
        """Send one batch; return how many samples it had, None when the target must wait."""
        batch = await window.next()
        if batch is None:
            return 0
        if state.careful is None:
            window.make_ready(batch)
        outcome = await self._send_batch(
            target, state, batch, self._outbox.delete_uploaded
        )
        if outcome is Outcome.STORED:
            state.careful = more_careless(state.careful, len(batch.samples))
        else:
            window.forget_ready()
        if outcome is Outcome.REFUSED:
            outcome = await self._isolate(target, state, batch.samples)
        return None if outcome is Outcome.LATER else len(batch.samples)

    async def _isolate(
        self, target: WriteTarget, state: TargetState, samples: list[StoredSample]
    ) -> Outcome:
        """Find one sample that the service refuses among `samples`, and set it aside.

        Each step sends the first half of what holds a bad one. Where that half is stored the bad
        one is in the other; where it is refused the other half is left to the next batch. So a
        bad one among n costs log2(n) requests, and one to hear the reason of it alone. The next
        batches begin small, since where one is bad others may be.
        """
        refused_alone = len(samples) == 1
        while len(samples) > 1:
            half = samples[: len(samples) // 2]
            outcome = await self._send(target, state, half)
            if outcome in (Outcome.LATER, Outcome.TOO_LARGE):
                return outcome
            samples = samples[len(half) :] if outcome is Outcome.STORED else half
            refused_alone = outcome is Outcome.REFUSED and len(samples) == 1
        state.careful = 1
        if not refused_alone:
            outcome = await self._send(target, state, samples)
            if outcome is not Outcome.REFUSED:
                return outcome
        await self._reject(target, state, samples[0])
        return Outcome.REFUSED

    async def _reject(
        self, target: WriteTarget, state: TargetState, sample: StoredSample
    ) -> None:
        reason = str(state.refusal)
        await self._outbox.reject(sample, reason)
        if isinstance(state.refusal, ConflictError) and state.refusal.says("type"):
            self._issues.type_conflict(
                target,
                sample.measurement,
                sample.field,
                _TYPE_NAMES[type(sample.value)],
                reason,
            )
        name = (sample.measurement, sample.field)
        _LOGGER.log(
            logging.DEBUG if name in state.refused_fields else logging.WARNING,
            "Eniris refuses a value of field %s in %s at %s for good; it was set aside,"
            " the others go on: %s",
            sample.field,
            sample.measurement,
            sample.time.isoformat(),
            reason,
        )
        state.refused_fields.add(name)

    async def _send(
        self, target: WriteTarget, state: TargetState, samples: list[StoredSample]
    ) -> Outcome:
        outcome = await self.request(
            target, state, samples, self._outbox.delete_uploaded
        )
        if outcome is Outcome.STORED:
            state.careful = more_careless(state.careful, len(samples))
        return outcome

    async def request(
        self,
        target: WriteTarget,
        state: TargetState,
        samples: list[StoredSample],
        forget: Forget,
    ) -> Outcome:
        """Send one request and do as the API's table of statuses says; `forget` what is stored."""
        return await self._send_batch(
            target, state, await self._encoded(samples), forget
        )

    async def _send_batch(
        self, target: WriteTarget, state: TargetState, batch: _Batch, forget: Forget
    ) -> Outcome:
        samples = batch.samples
        try:
            if isinstance(batch.body, EnirisQueryError):
                raise batch.body
            await self._session.write_encoded(target, batch.body)
        except ReauthenticationRequiredError as err:
            return self._stop_for_log_in(state, err)
        except PayloadTooLargeError as err:
            state.refusal = without_frames(err)
            if len(samples) == 1:
                return Outcome.REFUSED
            if state.size > _SMALLEST_SIZE:
                state.size = min(state.size, json_size(samples)) // 2
                state.larger_from = time.monotonic() + _LARGER_AFTER
            else:
                state.careful = 1
            return Outcome.TOO_LARGE
        except _BAD_SAMPLE as err:
            state.refusal = without_frames(err)
            return Outcome.REFUSED
        except ForbiddenError as err:
            self._issues.role_missing(target, str(err))
            return self._postpone(target, state, err, paused=True)
        except NotFoundError as err:
            self._issues.namespace_unknown(target, str(err))
            return self._postpone(target, state, err, paused=True)
        except EnirisError as err:
            return self._postpone(target, state, err, paused=False)
        await forget(samples)
        self._note_success(target, state, batch.types)
        return Outcome.STORED

    @callback
    def _note_success(
        self, target: WriteTarget, state: TargetState, stored_types: set[FieldType]
    ) -> None:
        if state.failures:
            _LOGGER.info("Uploads to %s work again", target.database)
        if not state.works:
            state.works = True
            self._on_change()
        state.failures, state.not_before, state.problem = 0, 0.0, None
        if state.size < BATCH_BYTES and time.monotonic() >= state.larger_from:
            state.size = min(2 * state.size, BATCH_BYTES)
            state.larger_from = time.monotonic() + _LARGER_AFTER
        state.stored_fields |= stored_types
        self._issues.target_works(target)
        if state.refused_fields:
            stored = {(kind.measurement, kind.field) for kind in stored_types}
            for measurement, name in state.refused_fields & stored:
                self._issues.field_stored(target, measurement, name)
            state.refused_fields -= stored

    @callback
    def _stop_for_log_in(self, state: TargetState, err: EnirisError) -> Outcome:
        self.reauthentication_needed = True
        state.problem, state.failure = str(err), without_frames(err)
        self._on_reauthenticate()
        self._on_change()
        return Outcome.LATER

    @callback
    def _postpone(
        self, target: WriteTarget, state: TargetState, err: EnirisError, *, paused: bool
    ) -> Outcome:
        """Try again later, ever later; one log line for the whole outage."""
        if paused is not state.paused:
            # Another cause, with other waits
            state.paused, state.failures = paused, 0
        first = _PAUSE_FIRST if paused else _RETRY_FIRST
        longest = _PAUSE_LONGEST if paused else _RETRY_LONGEST
        wait = first * 2.0 ** min(state.failures, 16) * random.uniform(0.8, 1.2)  # noqa: S311
        wait = min(longest, wait)
        if isinstance(err, EnirisStatusError) and err.retry_after is not None:
            wait = min(err.retry_after, _WAIT_LONGEST)
        state.not_before = time.monotonic() + wait
        state.problem, state.failure = str(err), without_frames(err)
        if state.works or not state.failures:
            state.works = False
            self._on_change()
        if not state.failures:
            _LOGGER.log(
                logging.INFO
                if isinstance(err, EnirisConnectionError)
                else logging.WARNING,
                "Values for %s (%s) cannot be uploaded at present and wait on disk: %s",
                target.database,
                target.retention_policy,
                err,
            )
        state.failures += 1
        return Outcome.LATER


def more_careless(careful: int | None, stored: int) -> int | None:
    """Return the most samples of the next request after one of `stored` samples succeeded."""
    if careful is None or stored < careful:
        return careful
    grown = careful * _CAREFUL_GROWTH
    return None if grown >= _CAREFUL_GROWTH**4 else grown


_TYPE_NAMES: Final = {bool: "boolean", float: "float", int: "integer", str: "string"}
