"""The uploader: a task for each target that samples wait for; one that fails does not hold up another."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
import logging
import time
from typing import Final

from homeassistant.core import CALLBACK_TYPE, HomeAssistant, callback
from homeassistant.helpers.event import async_track_time_interval

from ..api import Session, WriteTarget
from .history.jobs import HistoryQueue
from .issues import Issues
from .outbox.outbox import Outbox
from .target import TargetUploader

_LOGGER = logging.getLogger(__name__)

LAST_UPLOAD: Final = 5.0

_WAKE_INTERVAL: Final = timedelta(seconds=5)
"""Between two looks at what had to wait; what is new goes up at once."""


@dataclass(eq=False)
class Uploader:
    """Uploads what waits in an outbox."""

    hass: HomeAssistant
    session: Session
    outbox: Outbox
    issues: Issues
    targets: dict[WriteTarget, TargetUploader] = field(default_factory=dict)
    history: HistoryQueue = field(default_factory=HistoryQueue)
    _tasks: dict[WriteTarget, asyncio.Task[None]] = field(default_factory=dict)
    _paused: asyncio.Lock = field(default_factory=asyncio.Lock)
    _stopped: bool = False
    _listeners: list[Callable[[], None]] = field(default_factory=list)
    _unsubscribe: list[CALLBACK_TYPE] = field(default_factory=list)

    @callback
    def async_start(self) -> None:
        """Upload from now on: whatever comes into the outbox, and again what had to wait."""
        self._unsubscribe = [
            self.outbox.async_add_listener(self.async_wake),
            async_track_time_interval(self.hass, self.async_wake, _WAKE_INTERVAL),
        ]
        self.async_wake()

    @property
    def works(self) -> bool:
        """Whether something is stored, and nothing is known that cannot be."""
        works = any(its.works for its in self.targets.values())
        return works and self.problem() is None

    @property
    def needs_log_in(self) -> bool:
        """Whether only a new log-in helps."""
        return any(its.needs_log_in for its in self.targets.values())

    def problem(self, only: WriteTarget | None = None) -> str | None:
        """Return why samples of a target, or of any, are not stored at present; None while they are."""
        for target, its in self.targets.items():
            if its.problem is not None and only in (None, target):
                return its.problem
        return None

    @callback
    def async_add_listener(self, listener: Callable[[], None]) -> CALLBACK_TYPE:
        """Call `listener` after each upload, until the returned function is called."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    @callback
    def async_wake(self, _now: datetime | None = None) -> None:
        """Begin an upload for every target that has something to send and may be tried."""
        live, waiting = self.outbox.targets(), self._waiting()
        for target in self.targets.keys() - waiting:
            if self.targets[target].problem is not None:
                self.async_forget(target)
        for target in waiting:
            if target in live or self._of(target).due_probes():
                self._start(target)

    def _waiting(self) -> set[WriteTarget]:
        blocked = {key.target for key in self.outbox.blocked}
        return self.outbox.targets() | self.history.targets | blocked

    def _of(self, target: WriteTarget) -> TargetUploader:
        if target not in self.targets:
            self.targets[target] = TargetUploader(
                self.session, self.outbox, self.issues, target
            )
        return self.targets[target]

    @callback
    def async_forget(self, target: WriteTarget) -> None:
        """Begin anew with a target that nothing waits for any more: that has no problem."""
        if target not in self._tasks and self.targets.pop(target, None) is not None:
            self.outbox.failing.discard(target)
            self.issues.resolve_target(target)

    @callback
    def _start(self, target: WriteTarget, *, probe_all: bool = False) -> None:
        its = self._of(target)
        if (
            self._stopped
            or self._paused.locked()
            or target in self._tasks
            or its.not_before > time.monotonic()
        ):
            return
        upload = its.upload(self.history, probe_all=probe_all)
        name = f"eniris upload to {target.database}"
        task = self.hass.async_create_background_task(upload, name)
        self._tasks[target] = task

        def done(task: asyncio.Task[None]) -> None:
            del self._tasks[target]
            if not task.cancelled() and (err := task.exception()) is not None:
                its.postpone(None, paused=False)
                _LOGGER.error("An upload failed; it will be tried again", exc_info=err)
            for listener in self._listeners:
                listener()

        task.add_done_callback(done)

    async def async_upload_now(self, only: WriteTarget | None = None) -> str | None:
        """Try a target or all of them at once, pauses or not; return the first problem met."""
        await self.async_finish()
        for target in self._waiting():
            if only in (None, target):
                tried = self._of(target)
                # Nor do tries by hand make the wait for the next one by itself longer
                tried.not_before, tried.failures = 0.0, min(tried.failures, 1)
                self._start(target, probe_all=True)
        await self.async_finish()
        return self.problem(only)

    async def async_upload_history(self, target: WriteTarget) -> None:
        """Upload what waits for a target if it may be tried, and wait until that is through."""
        self._start(target)
        if (task := self._tasks.get(target)) is not None:
            await asyncio.wait([task])

    async def async_finish(self, *, cancel: bool = False) -> None:
        """Wait for the uploads under way, or `cancel` them."""
        for task in self._tasks.values() if cancel else ():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    @asynccontextmanager
    async def async_paused(self) -> AsyncIterator[None]:
        """Upload nothing while what waits is changed; what is under way is sent once more."""
        async with self._paused:
            await self.async_finish(cancel=True)
            yield

    async def async_stop(self) -> None:
        """Try once more what is not known to fail, within a few seconds; then stop."""
        if self._stopped:
            return
        self.history = HistoryQueue()
        try:
            async with asyncio.timeout(LAST_UPLOAD):
                await self.async_finish()
                self.async_wake()
                self._stopped = True
                await self.async_finish()
        except TimeoutError:
            _LOGGER.debug("The last upload was not finished; the rest waits on disk")
        self._stopped = True
        for unsubscribe in self._unsubscribe:
            unsubscribe()
        await self.async_finish(cancel=True)
