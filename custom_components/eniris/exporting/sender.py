"""The sender: batches from the outbox to the ingress, until the service has stored them."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
import logging
import random
import time
from typing import Final

from ..api import (
    BadRequestError,
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
    WriteTarget,
)
from .outbox import Outbox, OutboxError, StoredSample, merge_points

_LOGGER = logging.getLogger(__name__)

UPLOAD_INTERVAL: Final = 5.0
"""Seconds between two looks into the outbox."""

LAST_UPLOAD: Final = 5.0
"""Seconds that a last upload may take when Home Assistant stops."""

_RETRY_FIRST: Final = 5.0
_RETRY_LONGEST: Final = 300.0
_PAUSE_FIRST: Final = 60.0
_PAUSE_LONGEST: Final = 3600.0

_BAD_POINT: Final = (
    BadRequestError,
    ConflictError,
    UnprocessableError,
    PayloadTooLargeError,
    EnirisQueryError,
)
_PAUSED: Final = (ForbiddenError, NotFoundError)


class Outcome(Enum):
    """What became of one request."""

    STORED = auto()
    REFUSED = auto()
    LATER = auto()


@dataclass(slots=True)
class TargetState:
    """How a target is doing; times are monotonic seconds."""

    failures: int = 0
    not_before: float = 0.0
    problem: str | None = None
    """The server's last refusal in words, None while all goes well."""


class Sender:
    """Uploads what waits, target by target: one that fails does not hold up another."""

    def __init__(
        self, session: Session, outbox: Outbox, on_reauthenticate: Callable[[], None]
    ) -> None:
        """Send over `session`; tell `on_reauthenticate` when only a new log-in helps."""
        self._session = session
        self._outbox = outbox
        self._on_reauthenticate = on_reauthenticate
        self._dead = False
        self._targets: dict[WriteTarget, TargetState] = {}
        self._uploads: dict[WriteTarget, asyncio.Task[None]] = {}

    @property
    def targets(self) -> dict[WriteTarget, TargetState]:
        """The targets that were tried since the start."""
        return self._targets

    async def run(self) -> None:
        """Look into the outbox every few seconds, until cancelled."""
        try:
            while True:
                await self._start_uploads()
                await asyncio.sleep(UPLOAD_INTERVAL)
        finally:
            for task in self._uploads.values():
                task.cancel()
            await asyncio.gather(*self._uploads.values(), return_exceptions=True)

    async def last_upload(self) -> None:
        """Try once more everything that is not known to fail, within a few seconds."""
        try:
            async with asyncio.timeout(LAST_UPLOAD):
                await self._start_uploads()
                await asyncio.gather(*self._uploads.values())
        except TimeoutError:
            _LOGGER.debug("The last upload was not finished; the rest stays on disk")

    async def _start_uploads(self) -> None:
        if self._dead:
            return
        try:
            targets = await self._outbox.targets()
        except OutboxError as err:
            _LOGGER.debug("The outbox cannot be read, later again: %s", err)
            return
        now = time.monotonic()
        self._uploads = {
            target: task for target, task in self._uploads.items() if not task.done()
        }
        for target in targets:
            state = self._targets.setdefault(target, TargetState())
            if target not in self._uploads and state.not_before <= now:
                task = asyncio.create_task(
                    self._upload(target, state), name=f"eniris upload {target.database}"
                )
                task.add_done_callback(_log_failure)
                self._uploads[target] = task

    async def _upload(self, target: WriteTarget, state: TargetState) -> None:
        """Send the target's samples, oldest first, until none waits or one must wait."""
        try:
            while samples := await self._outbox.oldest(target):
                outcome = await self._send(target, state, samples)
                if outcome is Outcome.REFUSED:
                    outcome = await self._isolate(target, state, samples)
                if outcome is Outcome.LATER:
                    return
        except OutboxError as err:
            _LOGGER.debug("The outbox failed during an upload, later again: %s", err)

    async def _isolate(
        self, target: WriteTarget, state: TargetState, samples: list[StoredSample]
    ) -> Outcome:
        """Find one sample that the service refuses among `samples`, and set it aside.

        Each step sends the first half of what holds a bad one. Where that half is stored the bad
        one is in the other; where it is refused the other half is left to the next batch. So a
        bad one among n costs log2(n) requests and one to hear the reason of it alone.
        """
        while len(samples) > 1:
            half = samples[: len(samples) // 2]
            outcome = await self._send(target, state, half)
            if outcome is Outcome.LATER:
                return outcome
            samples = samples[len(half) :] if outcome is Outcome.STORED else half
        outcome = await self._send(target, state, samples)
        if outcome is Outcome.REFUSED:
            reason = state.problem or "refused"
            await self._outbox.reject(samples[0], reason)
            _LOGGER.warning(
                "Eniris refuses a value of field %s in %s at %s for good; it was set"
                " aside, the others go on: %s",
                samples[0].field,
                samples[0].measurement,
                samples[0].time.isoformat(),
                reason,
            )
        return outcome

    async def _send(
        self, target: WriteTarget, state: TargetState, samples: list[StoredSample]
    ) -> Outcome:
        """Send one request and do as the API's table of statuses says."""
        try:
            await self._session.write_telemetry(target, merge_points(samples))
        except ReauthenticationRequiredError as err:
            self._dead = True
            state.problem = str(err)
            self._on_reauthenticate()
            return Outcome.LATER
        except _BAD_POINT as err:
            state.problem = str(err)
            return Outcome.REFUSED
        except _PAUSED as err:
            self._postpone(target, state, err, _PAUSE_FIRST, _PAUSE_LONGEST)
            return Outcome.LATER
        except EnirisError as err:
            self._postpone(target, state, err, _RETRY_FIRST, _RETRY_LONGEST)
            return Outcome.LATER
        await self._outbox.delete_uploaded(samples)
        if state.failures:
            _LOGGER.info("Uploads to %s work again", target.database)
        state.failures, state.not_before, state.problem = 0, 0.0, None
        return Outcome.STORED

    def _postpone(
        self,
        target: WriteTarget,
        state: TargetState,
        err: EnirisError,
        first: float,
        longest: float,
    ) -> None:
        """Try again later, ever later; one log line for the whole outage."""
        wait = min(longest, first * 2.0 ** min(state.failures, 16))
        wait *= random.uniform(0.8, 1.2)  # noqa: S311
        if isinstance(err, EnirisStatusError) and err.retry_after is not None:
            wait = err.retry_after
        state.not_before = time.monotonic() + wait
        state.problem = str(err)
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


def _log_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (err := task.exception()) is not None:
        _LOGGER.error("An upload failed; it will be tried again", exc_info=err)
