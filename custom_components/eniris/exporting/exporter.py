"""`Exporter`: the export of one account, started and stopped as a whole."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
import logging
from typing import Any, Final

from homeassistant.config_entries import SOURCE_REAUTH, ConfigEntry
from homeassistant.core import CALLBACK_TYPE, HomeAssistant, callback
from homeassistant.helpers.event import async_track_time_interval
from homeassistant.util import dt as dt_util

from ..api import Session, WriteTarget
from ..const import STEP_REAUTH_MQTT
from .config import Export, InvalidExport
from .history.backfill import Backfill, BackfillStatus
from .history.jobs import Job
from .issues import Issues, of_field
from .outbox.batches import FieldKey
from .outbox.corrections import count_blocked
from .outbox.figures import Figures
from .outbox.limits import Limits, enforce
from .outbox.outbox import Outbox
from .outbox.store import OutboxError
from .sampler import Sampler
from .uploader import Uploader

_LOGGER = logging.getLogger(__name__)

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
    history: BackfillStatus | None = None
    """How the sending of its past is doing, None where that was never asked for."""


@dataclass(eq=False)
class Exporter:
    """The export path of one account. It waits for nothing else, and nothing waits for it."""

    hass: HomeAssistant
    entry: ConfigEntry[Any]
    session: Session
    outbox: Outbox
    exports: Mapping[str, Export]
    invalid: Sequence[InvalidExport]
    limits: Limits
    issues: Issues
    _status: dict[str, ExportStatus] = field(default_factory=dict)
    _blocked: dict[FieldKey, Counter[str]] = field(default_factory=dict)
    """How many values of blocked fields wait, by export."""
    _listeners: list[Callable[[], None]] = field(default_factory=list)
    _unsubscribe: list[CALLBACK_TYPE] = field(default_factory=list)
    _is_open: bool = False
    _asked_to_log_in: bool = False
    _stopped: bool = False
    _seen: tuple[Any, ...] = ()
    """What the user has to see at once when it changes, as it was last looked at."""
    _at_limit: int = 0
    """Values that were dropped at a limit, until the user has taken note of it."""

    def __post_init__(self) -> None:
        """Make the parts."""
        hass, outbox, exports = self.hass, self.outbox, self.exports
        self.sampler = Sampler(hass, exports.values(), outbox, self.issues)
        self.uploader = Uploader(hass, self.session, outbox, self.issues)
        invalid = [export.export_id for export in self.invalid]
        self.backfill = Backfill(
            hass, outbox, self.uploader, self.sampler, exports, invalid
        )

    async def async_start(self) -> None:
        """Begin. An outbox that cannot be opened is tried again; what is taken meanwhile stays in memory."""
        await self._async_open()
        targets = {its.series.target for its in self.exports.values()}
        self.issues.begin(self.invalid, targets | self.outbox.targets())
        self.sampler.async_start()
        self.uploader.async_start()
        self._unsubscribe = [
            self.uploader.async_add_listener(self._async_uploaded),
            self.outbox.async_add_listener(self._async_look_at_problems),
            self.backfill.async_add_listener(self.async_schedule_refresh),
            async_track_time_interval(
                self.hass, self._async_look_after, STATUS_INTERVAL
            ),
        ]
        await self.async_refresh()

    async def _async_open(self) -> None:
        try:
            await self.outbox.open()
        except OutboxError as err:
            if self.outbox.problem is None:
                _LOGGER.error(
                    "The outbox cannot be opened (%s). Values are kept in memory, and it is"
                    " tried again by itself",
                    err,
                )
            self.outbox.problem = str(err)
            self.issues.report("outbox_closed", error=str(err))
            return
        if not self._is_open:
            # Else the user has asked for it meanwhile
            self._is_open, self.outbox.problem = True, None
            self.issues.resolve("outbox_closed")
            for key, its in self.outbox.store.blocked.items():
                self.issues.report("field_blocked", of_field(key), error=its.reason)
            self.backfill.async_start()
            self.uploader.async_wake()

    async def async_last_upload(self) -> None:
        """Upload what can be uploaded in a few seconds; samples are taken and put on disk until the very end."""
        await self.backfill.async_stop()
        await self.sampler.async_take()
        await self.uploader.async_stop()
        # Before Home Assistant writes its entries for the last time
        self.sampler.store_decisions(self.entry)

    async def async_stop(self) -> None:
        """Stop for good: upload what goes quickly, and keep the rest on disk."""
        if self._stopped:
            return
        self._stopped = True
        await self.async_last_upload()
        for unsubscribe in self._unsubscribe:
            unsubscribe()
        await self.sampler.async_stop()
        await self.outbox.close()

    @callback
    def _async_uploaded(self) -> None:
        """Do what an upload asks for: a new log-in, values of the present, or that the user sees what it brought."""
        needed = self.uploader.needs_log_in
        if needed != self._asked_to_log_in:
            self._asked_to_log_in = needed
            if needed:
                self.entry.async_start_reauth(self.hass)
            flows = self.entry.async_get_active_flows(self.hass, {SOURCE_REAUTH})
            for flow in () if needed else flows:
                # None was needed; the one of a controller's broker is another matter
                if flow["step_id"] == STEP_REAUTH_MQTT:
                    continue
                self.hass.config_entries.flow.async_abort(flow["flow_id"])
        for target, its in self.uploader.targets.items():
            if its.present_wanted is not None:
                self.sampler.async_send_present(target, its.present_wanted)
                its.present_wanted = None
        self._async_look_at_problems()

    @callback
    def _async_look_at_problems(self) -> None:
        seen = (
            {target for target, its in self.uploader.targets.items() if its.works},
            *map(self._problem, self.exports.values()),
        )
        if seen != self._seen:
            self._seen = seen
            self.async_schedule_refresh()

    async def _async_look_after(self, _now: datetime) -> None:
        if not self._is_open:
            await self._async_open()
        try:
            dropped, relaxed = await enforce(
                self.outbox.store, self.limits, dt_util.utcnow()
            )
        except OutboxError as err:
            _LOGGER.debug("The outbox' limits were not looked at, later again: %s", err)
        else:
            if dropped:
                if not self._at_limit:
                    _LOGGER.warning(
                        "The outbox has reached its limit: the oldest values are dropped"
                    )
                self._at_limit += dropped
                self.issues.report("outbox_limit", dropped=str(self._at_limit))
            elif relaxed and self.uploader.works:
                # Also what was told before a reload
                self._at_limit = 0
                self.issues.resolve("outbox_limit")
        self.sampler.store_decisions(self.entry)
        await self.async_refresh()

    async def async_refresh(self) -> None:
        """Look at the figures, and tell who listens if they changed."""
        if self._stopped:
            return
        try:
            figures = await self.outbox.refresh_figures()
            damaged = await self.outbox.store.damaged_files()
            history = await self.backfill.status()
            self._blocked = {
                key: await count_blocked(self.outbox, [key])
                for key in self.outbox.blocked
            }
        except OutboxError as err:
            _LOGGER.debug("The figures of the outbox are not to be had: %s", err)
            return
        self.issues.report_outbox(self.outbox, damaged)
        status = {
            id_: ExportStatus(
                figures.get(id_, Figures()), self._problem(export), history.get(id_)
            )
            for id_, export in self.exports.items()
        }
        # What waits gets older without any other change
        if status != self._status or any(its.figures.oldest for its in status.values()):
            self._status = status
            for listener in self._listeners:
                listener()

    @callback
    def async_schedule_refresh(self, _job: Job | None = None) -> None:
        """Look at the figures soon, as when a job of the past has ended."""
        self.hass.async_create_task(
            self.async_refresh(), "eniris export status", eager_start=False
        )

    def _problem(self, export: Export) -> str | None:
        problem = self._upload_problem(self.uploader.problem(export.series.target))
        problem = problem or self.blocked_problem(export.id)
        if problem is None and self._at_limit:
            return f"outbox limit reached, {self._at_limit} values dropped"
        return problem

    def blocked_problem(self, export_id: str | None = None) -> str | None:
        """Tell which fields are blocked of which values of an export, or any, wait; None where none is."""
        # An export may have another name for the field by now
        counts = self._blocked.items()
        names = [
            key.field for key, its in counts if export_id is None or its[export_id]
        ]
        return f"Eniris refuses every value of {', '.join(names)}" if names else None

    def status(self, export_id: str) -> ExportStatus:
        """Return how an export is doing, as it was last looked at."""
        return self._status.get(export_id, ExportStatus())

    @callback
    def async_add_listener(self, listener: Callable[[], None]) -> CALLBACK_TYPE:
        """Call `listener` when a status changed, until the returned function is called."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    async def async_upload_now(self, target: WriteTarget | None = None) -> str | None:
        """Upload what waits for a target or for all, pauses or not; return what stood in the way, None where nothing did."""
        await self.sampler.async_take()
        problem = await self.uploader.async_upload_now(target)
        await self.async_refresh()
        return self._upload_problem(problem)

    async def async_try_disk(self) -> str | None:
        """Put on disk what waits in memory; return what stood in the way, None where nothing did."""
        await self.sampler.async_take()
        if not self._is_open:
            await self._async_open()
            if not self._is_open:
                return self.outbox.problem
        try:
            await self.outbox.commit(everything=True)
        except OutboxError as err:
            return str(err)
        self.outbox.dropped = 0
        self.issues.resolve("not_on_disk")
        await self.async_refresh()
        return None

    @callback
    def async_acknowledge_limit(self) -> None:
        """Tell of what was dropped at a limit no more; what is dropped from now on is told of."""
        self._at_limit = 0
        self.issues.resolve("outbox_limit")
        self.async_schedule_refresh()

    def _upload_problem(self, of_target: str | None) -> str | None:
        """Return what keeps values from being stored: our disk, the log-in, or what a target says."""
        if self.outbox.problem is not None:
            return f"values cannot be put on disk: {self.outbox.problem}"
        return "log in again" if self.uploader.needs_log_in else of_target
