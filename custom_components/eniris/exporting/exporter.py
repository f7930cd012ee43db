"""`Exporter`: sampler, outbox and sender of one account, started and stopped together."""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
import logging
from typing import Final

from homeassistant.core import CALLBACK_TYPE, HomeAssistant, callback
from homeassistant.helpers.event import async_track_time_interval
from homeassistant.util import dt as dt_util

from ..api import Session, WireFormat, WriteTarget
from .backfill import Backfill, HistoryStatus
from .config import Export
from .issues import Issues
from .lane import Job
from .mending import Mending, NamedField
from .outbox import Figures, Limits, Outbox, OutboxError, Sample
from .sampler import Sampler
from .sender import Sender, TargetState

_LOGGER = logging.getLogger(__name__)

FLUSH_INTERVAL: Final = timedelta(seconds=1)
"""At most this long, and the time of one commit, is a sample in memory alone."""

UPLOAD_INTERVAL: Final = timedelta(seconds=5)
"""Between two looks into the outbox."""

STATUS_INTERVAL: Final = timedelta(seconds=30)
"""Between two looks at the figures, which would else fill the recorder."""

ACTION: Final = "action"
"""The export id of points that an action pushes; no subentry has it."""


@dataclass(frozen=True, slots=True)
class ExportStatus:
    """How an export is doing."""

    figures: Figures = field(default_factory=Figures)
    problem: str | None = None
    """What keeps its values from being stored, None while all goes well."""
    history: HistoryStatus | None = None
    """How the sending of its past is doing, None where that was never asked for."""


@dataclass(frozen=True, slots=True)
class Damaged:
    """An export of which some settings cannot be read, or all."""

    id: str
    title: str
    lost: str
    """What cannot be read, to be shown."""


class Exporter:
    """The export path of one account. It waits for nothing else, and nothing waits for it."""

    def __init__(
        self,
        hass: HomeAssistant,
        session: Session,
        outbox: Outbox,
        exports: Sequence[Export],
        limits: Limits,
        issues: Issues,
        on_reauthenticate: Callable[[], None],
        on_history: Callable[[Job], None],
        wire_format: WireFormat,
        damaged: Sequence[Damaged] = (),
        unsaved: list[Sample] | None = None,
    ) -> None:
        """Carry out `exports` over `session`, by way of `outbox`, and tell of those that are `damaged`.

        Tell `on_reauthenticate` when only a new log-in helps, and `on_history` when a part of
        the past was sent. `unsaved` outlives the exporter: the samples that are not on disk.
        """
        self._hass = hass
        self._limits = limits
        self._issues = issues
        self._outbox = outbox
        self._mending = Mending(outbox)
        self._sampler = Sampler(hass, exports, outbox, issues, unsaved)
        self._sender = Sender(
            hass,
            session,
            outbox,
            issues,
            on_reauthenticate,
            self._async_changed,
            wire_format=wire_format,
        )
        self._exports = {export.id: export for export in exports}
        self._backfill = Backfill(
            hass,
            outbox,
            self._sender,
            self._exports,
            limits,
            self._async_changed,
            on_history,
            [export.id for export in damaged],
        )
        self._damaged = damaged
        self._enabled = {export.id: export.enabled for export in exports}
        self._status: dict[str, ExportStatus] = {}
        self._listeners: list[Callable[[], None]] = []
        self._unsubscribe: list[CALLBACK_TYPE] = []
        self._stopping = False
        self._stopped = False
        self._dropped = 0
        self._limit_problem: str | None = None

    @property
    def exports(self) -> dict[str, Export]:
        """The exports by id."""
        return self._exports

    async def async_start(self) -> None:
        """Open the outbox and begin; raises `OutboxError` where there can be none."""
        await self._outbox.open()
        for export in self._damaged:
            _LOGGER.error(
                "Stored settings of the export %s cannot be read and were left out: %s",
                export.title,
                export.lost,
            )
            self._issues.export_damaged(export.id, export.title, export.lost)
        self._sampler.async_start()
        self._backfill.async_start()
        self._unsubscribe = [
            async_track_time_interval(
                self._hass, job, interval, name=name, cancel_on_shutdown=True
            )
            for job, interval, name in (
                (self._async_flush, FLUSH_INTERVAL, "eniris outbox"),
                (self._async_upload, UPLOAD_INTERVAL, "eniris upload"),
                (self._async_refresh, STATUS_INTERVAL, "eniris export status"),
            )
        ]
        await self.async_refresh()

    async def async_last_upload(self) -> None:
        """Upload what can be uploaded in a few seconds; sampling goes on."""
        if self._stopping:
            return
        self._stopping = True
        await self._backfill.async_stop()
        # Home Assistant hands over a change of state in the loop's next round
        await asyncio.sleep(0)
        self._sampler.async_advance()
        await self._sampler.async_flush()
        await self._sender.stop()

    async def async_stop(self) -> None:
        """Stop for good: upload what goes quickly, and keep the rest on disk."""
        if self._stopped:
            return
        self._stopped = True
        await self.async_last_upload()
        for unsubscribe in self._unsubscribe:
            unsubscribe()
        self._unsubscribe = []
        self._issues.withdraw_all()
        await self._sampler.async_stop()
        await self._outbox.close()

    async def _async_flush(self, _now: datetime) -> None:
        problem, dropped = self._sampler.problem, self._sampler.dropped
        self._sampler.async_advance()
        await self._sampler.async_flush()
        if self._sampler.dropped > dropped:
            self._issues.not_on_disk(self._sampler.dropped, self._sampler.problem or "")
        if self._sampler.problem != problem:
            # Let the user see at once that the disk is full, or has room again
            await self.async_refresh()

    async def _async_upload(self, _now: datetime) -> None:
        if not self._stopping:
            await self._sender.start_uploads()
            self._backfill.async_wake()

    async def _async_refresh(self, _now: datetime) -> None:
        await self._enforce_limits()
        await self.async_refresh()

    async def _enforce_limits(self) -> None:
        try:
            dropped, relaxed = await self._outbox.enforce(
                self._limits, dt_util.utcnow()
            )
        except OutboxError as err:
            _LOGGER.debug("The outbox' limits were not looked at, later again: %s", err)
            return
        if dropped:
            if not self._dropped:
                _LOGGER.warning(
                    "The outbox has reached its limit: the oldest values are dropped"
                )
            self._dropped += dropped
            self._issues.limit_reached(self._dropped)
            self._limit_problem = (
                f"outbox limit reached, {self._dropped} values dropped"
            )
        elif self._dropped and relaxed and not self._sender.failing:
            self._dropped = 0
            self._limit_problem = None
            self._issues.limit_respected()

    async def async_refresh(self) -> None:
        """Look at the figures, and tell who listens if they changed."""
        if self._stopped:
            return
        try:
            figures = await self._outbox.figures()
            damaged = await self._outbox.damaged_files()
            await self._backfill.refresh()
        except OutboxError as err:
            _LOGGER.debug("The figures of the outbox are not to be had: %s", err)
            return
        if damaged:
            self._issues.outbox_damaged(damaged[-1])
        else:
            self._issues.outbox_sound()
        status = {
            export.id: ExportStatus(
                figures.get(export.id, Figures()),
                self._problem(export),
                self._backfill.status(export.id),
            )
            for export in self._exports.values()
        }
        if status != self._status:
            self._status = status
            for listener in self._listeners:
                listener()

    @callback
    def _async_changed(self) -> None:
        """Let the user see at once what has changed."""
        self._hass.async_create_task(
            self.async_refresh(), "eniris export status", eager_start=False
        )

    def _problem(self, export: Export) -> str | None:
        if self._sampler.problem is not None:
            return f"values cannot be put on disk: {self._sampler.problem}"
        if self._sender.reauthentication_needed:
            return "log in again"
        return self._sender.problem(export.series.target) or self._limit_problem

    def status(self, export_id: str) -> ExportStatus:
        """Return how an export is doing, as it was last looked at."""
        return self._status.get(export_id, ExportStatus())

    @callback
    def async_add_listener(self, listener: Callable[[], None]) -> CALLBACK_TYPE:
        """Call `listener` when a status changed, until the returned function is called."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def is_enabled(self, export_id: str) -> bool:
        """Tell whether an export collects values."""
        return self._enabled[export_id]

    @callback
    def async_enable(self, export_id: str, enabled: bool) -> None:
        """Collect the values of an export, or collect nothing of it. What waits goes up anyway."""
        if self._enabled[export_id] != enabled:
            self._enabled[export_id] = enabled
            self._sampler.async_enable(export_id, enabled)

    async def async_export_history(
        self, export_id: str, start: datetime, end: datetime
    ) -> bool:
        """Send what the recorder has of an export from `start` to `end`, in the background.

        Return False where that is under way already. Raises `OutboxError`.
        """
        return await self._backfill.ask(export_id, start, end)

    async def async_push(self, samples: Sequence[Sample]) -> None:
        """Put samples on disk; raises `OutboxError` where that fails."""
        await self._outbox.add(samples)

    async def async_upload_now(self, target: WriteTarget | None = None) -> str | None:
        """Upload what waits for a target, or for all of them, pauses or not.

        Return what stood in the way, None where nothing did.
        """
        self._sampler.async_advance()
        await self._sampler.async_flush()
        problem = await self._sender.upload_now(target)
        try:
            await self._outbox.targets()
        except OutboxError as err:
            problem = f"the waiting values cannot be read: {err}"
        await self.async_refresh()
        if self._sampler.problem is not None:
            return f"values cannot be put on disk: {self._sampler.problem}"
        return "log in again" if self._sender.reauthentication_needed else problem

    async def async_try_disk(self) -> str | None:
        """Put on disk what waits in memory; return what stood in the way.

        None where nothing did: then what was dropped is not told of any more.
        """
        await self._sampler.async_flush()
        if self._sampler.problem is None:
            self._sampler.dropped = 0
            self._issues.on_disk()
        await self.async_refresh()
        return self._sampler.problem

    @callback
    def async_acknowledge_dropped(self) -> None:
        """Tell of what was dropped at a limit no more; what is dropped from now on is told of."""
        self._dropped, self._limit_problem = 0, None
        self._issues.limit_respected()
        self._async_changed()

    async def async_delete_damaged(self, names: Collection[str]) -> None:
        """Delete files that were set aside; raises `OutboxError`."""
        await self._outbox.delete_damaged(names)
        await self.async_refresh()

    async def async_waiting_for(self, target: WriteTarget) -> int:
        """Return how many samples wait for a target; raises `OutboxError`."""
        await self._sampler.async_flush()
        return await self._mending.waiting(target)

    async def async_move(self, old: WriteTarget, new: WriteTarget) -> int:
        """Have what waits for one target wait for another; return how many samples that are.

        Raises `OutboxError`, and then nothing has changed.
        """
        await self._sampler.async_flush()
        async with self._sender.pause():
            return await self._mending.move(old, new)

    @callback
    def async_forget_target(self, target: WriteTarget) -> None:
        """Know nothing of a target that nothing waits for any more."""
        self._sender.forget_target(target)
        self._async_changed()

    async def async_held_back(
        self, named: NamedField, exports: Collection[str] | None
    ) -> int:
        """Return how many samples a conflict of types keeps from being stored.

        Raises `OutboxError`; see `Mending.held_back`.
        """
        await self._sampler.async_flush()
        return await self._mending.held_back(named, exports)

    async def async_rename(
        self, named: NamedField, exports: Collection[str], name: str
    ) -> int:
        """Send under another name what a conflict of types has held back.

        Return how many samples that are. Raises `OutboxError`, and then nothing has changed.
        """
        async with self._sender.pause():
            count = await self._mending.rename(named, exports, name)
        await self._async_look_after(named)
        return count

    async def async_forget(
        self, named: NamedField, exports: Collection[str] | None
    ) -> int:
        """Forget what a conflict of types has held back; return how many samples that were.

        Raises `OutboxError`, and then nothing has changed.
        """
        async with self._sender.pause():
            count = await self._mending.forget(named, exports)
        await self._async_look_after(named)
        return count

    async def _async_look_after(self, named: NamedField) -> None:
        self._sender.forget_refusal(named.target, named.measurement, named.field)
        await self.async_refresh()

    @property
    def targets(self) -> Mapping[WriteTarget, TargetState]:
        """How the targets are doing that something was to be sent to since the start."""
        return self._sender.targets

    @property
    def disk_problem(self) -> str | None:
        """Why samples cannot be put on disk, None while they can."""
        return self._sampler.problem

    @property
    def outbox(self) -> Outbox:
        """The outbox, for whoever looks at rejects or figures."""
        return self._outbox
