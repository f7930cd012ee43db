"""The past of an account: hours of telemetry, put into the long-term statistics of its entities.

A day at a time, the newest first, so that after each of them every statistic is whole and merely
begins earlier. A day can be done again without harm, which is what happens after a restart.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any, Final

from homeassistant.config_entries import ConfigEntry
from homeassistant.const import Platform
from homeassistant.core import CALLBACK_TYPE, HomeAssistant, callback
from homeassistant.helpers import entity_registry as er
from homeassistant.util import dt as dt_util

from ...api import ReauthenticationRequiredError, Session
from ...const import DOMAIN, LOGGER
from ...recorder_access import has_recorder
from ..budget.reader import HISTORY_BUDGET, BudgetedReader
from ..coordinator import NodeCoordinator, TelemetryCoordinator
from .day import DayImporter
from .fields import HistoryFields
from .hours import HOUR, StatisticField
from .job import Job, LeftOut, Progress, history_store

EVENT_IMPORTED: Final = f"{DOMAIN}_history_imported"

_EARLIEST: Final = int(datetime(2000, 1, 1, tzinfo=UTC).timestamp())
"""No telemetry of Eniris is as old; a year with a typo in it is no reason to ask for centuries."""


_IN_WORDS: Final = {
    LeftOut.NOT_RECORDED: "the recorder's settings exclude them",
    LeftOut.NO_STATISTICS: (
        "Home Assistant has made no statistics of their own yet that it could be joined to"
    ),
    LeftOut.NO_USABLE_ANSWER: (
        "Eniris refused to tell of them, or its answers are not understood"
    ),
}


class HistoryUnavailableError(Exception):
    """There is no recorder, so there are no statistics."""


class History:
    """Imports the past of one account, in the background."""

    def __init__(
        self,
        hass: HomeAssistant,
        entry: ConfigEntry[Any],
        session: Session,
        nodes: NodeCoordinator,
        telemetry: TelemetryCoordinator,
    ) -> None:
        """Have nothing to do yet."""
        self._hass = hass
        self._entry = entry
        self._reader = BudgetedReader(session, telemetry.pace, HISTORY_BUDGET)
        self._nodes = nodes
        self._telemetry = telemetry
        self._fields = HistoryFields(hass, entry, nodes, telemetry)
        self._store = history_store(hass, entry.entry_id)
        self._jobs: list[Job] = []
        self._was_asked = False
        self._is_first_taken = False
        self._left_out: Mapping[str, LeftOut] = {}
        """What the last job left out, by unique ids."""
        self._listeners: list[CALLBACK_TYPE] = []
        self._task: asyncio.Task[None] | None = None

    async def async_restore(self) -> None:
        """Restore what was not finished; raises what `Store.async_load` does on a file of a newer version."""
        if (stored := await self._store.async_load()) is not None:
            # The first edition stored a job as a list, which had no reasons for what is left out
            self._jobs = [
                Job(*job[:6]) if isinstance(job, list) else Job(**job)
                for job in stored["jobs"]
            ]
            self._is_first_taken = stored["is_first_taken"]
            self._was_asked = stored["was_asked"]

    async def async_start(self, first: datetime | None) -> None:
        """Go on with what was not finished; `first` is where the account's first import begins.

        That one is done once, however often the account is set up.
        """
        # Whoever watches sees that it does not go on
        self._entry.async_on_unload(self._tell)
        # The sensor is there already
        self._tell()
        if first is not None and not self._is_first_taken and has_recorder(self._hass):
            self._is_first_taken = True
            await self.async_request(first)
        else:
            self._run()

    async def async_request(
        self,
        start: datetime,
        end: datetime | None = None,
        unique_ids: Collection[str] | None = None,
    ) -> bool:
        """Fetch the past from `start` to `end`, that is the present, of some entities or of all.

        Return False if there is no whole hour in it. Raises `HistoryUnavailableError` without a
        recorder.
        """
        if not has_recorder(self._hass):
            raise HistoryUnavailableError
        now = _hour(dt_util.utcnow().timestamp())
        last = now if end is None else min(now, _hour(end.timestamp()))
        job = Job(
            max(_EARLIEST, _hour(start.timestamp())),
            last,
            last,
            None if unique_ids is None else sorted(unique_ids),
        )
        if job.start >= job.end:
            return False
        self._was_asked = True
        self._jobs.append(job)
        await self._async_save()
        self._tell()
        self._run()
        return True

    @property
    def progress(self) -> Progress:
        """How far it has come."""
        if not self._jobs:
            percent = 100.0 if self._was_asked else None
            return Progress(percent, left_out=self._by_entity(self._left_out))
        job = self._jobs[0]
        return Progress(
            job.percent,
            datetime.fromtimestamp(job.cursor, UTC),
            datetime.fromtimestamp(job.start, UTC),
            job.cursor == job.end,
            self._by_entity(job.left_out),
        )

    def _by_entity(self, left_out: Mapping[str, LeftOut]) -> dict[str, LeftOut]:
        """Return what is left out by the present ids of entities."""
        registry = er.async_get(self._hass)
        return {
            entity_id: LeftOut(reason)
            for unique_id, reason in left_out.items()
            if (
                entity_id := registry.async_get_entity_id(
                    Platform.SENSOR, DOMAIN, unique_id
                )
            )
        }

    def subjects(self) -> dict[str, StatisticField]:
        """Return all that can have a past, by the unique id of its entity."""
        return self._fields.subjects()

    async def async_cancel(self) -> None:
        """Fetch no more, now or later; what is there stays."""
        if self._task is not None:
            self._task.cancel()
            self._task = None
        self._jobs.clear()
        self._was_asked = False
        await self._async_save()
        self._tell()

    @callback
    def async_add_listener(self, listener: CALLBACK_TYPE) -> CALLBACK_TYPE:
        """Call `listener` whenever it has come further."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    async def async_wait_for_progress(self) -> None:
        """Return when it has come further, or when the account is unloaded."""
        await _called(self.async_add_listener)

    @callback
    def _tell(self) -> None:
        for listener in list(self._listeners):
            listener()

    @callback
    def _run(self) -> None:
        if not has_recorder(self._hass):
            # What is left to do waits until there is one again
            return
        if self._jobs and (self._task is None or self._task.done()):
            self._task = self._entry.async_create_background_task(
                self._hass, self._work(), "eniris history"
            )

    async def _async_save(self) -> None:
        await self._store.async_save(
            {
                "is_first_taken": self._is_first_taken,
                "was_asked": self._was_asked,
                "jobs": [asdict(job) for job in self._jobs],
            }
        )

    async def _work(self) -> None:
        """Do one job after the other, however long the service or the network make it wait."""
        try:
            while self._jobs:
                await self._do(self._jobs[0])
        except ReauthenticationRequiredError:
            # The polls ask for a new log-in; with it the account is set up again
            LOGGER.debug("The past of %s waits for a log-in", self._entry.title)
        except Exception:  # noqa: BLE001
            # An error of ours or of the recorder's must not be tried again for ever
            LOGGER.exception(
                "The past of %s cannot be imported; what is there stays, and the rest is tried"
                " again when the account is set up again",
                self._entry.title,
            )

    async def _do(self, job: Job) -> None:
        """Do a job to its end; what is done of it stays done if that fails."""
        while not self._nodes.answers:
            await _called(self._nodes.async_add_listener)
        if job.cursor == job.end:
            # What cannot be joined to now would have a gap if it were joined to later
            job = await self._fields.async_joinable(job)
        importer = DayImporter(
            self._hass, self._nodes, self._telemetry.totals, self._reader
        )
        while job.cursor > job.start:
            # Anew each day, since entities can be renamed, disabled or removed
            fields, excluded = await self._fields.async_wanted(job)
            job = replace(job, left_out={**job.left_out, **excluded})
            job = await importer.async_import(job, fields)
            self._jobs[0] = job
            await self._async_save()
            self._tell()
        self._jobs.pop(0)
        self._left_out = job.left_out
        await self._async_save()
        self._tell_of_end(job)

    @callback
    def _tell_of_end(self, job: Job) -> None:
        """Log what was imported and what was left out, and fire the event."""
        start = datetime.fromtimestamp(job.start, UTC).isoformat()
        entities = len(job.unique_ids or ())
        LOGGER.info(
            "The past of %s since %s is imported: %d rows in the statistics of %d entities",
            self._entry.title,
            start,
            job.rows,
            entities,
        )
        reasons = self._by_entity(job.left_out)
        for reason in sorted(set(reasons.values())):
            LOGGER.info(
                "The past of %s is not imported, or lacks some hours: %s",
                ", ".join(sorted(id_ for id_ in reasons if reasons[id_] is reason)),
                _IN_WORDS[reason],
            )
        data: dict[str, Any] = {
            "config_entry_id": self._entry.entry_id,
            "start": start,
            "end": datetime.fromtimestamp(job.end, UTC).isoformat(),
            "entities": entities,
            "rows": job.rows,
            "refused_queries": job.refused,
            "left_out": sorted(reasons),
        }
        if reasons:
            data["reasons"] = dict(sorted(reasons.items()))
        self._hass.bus.async_fire(EVENT_IMPORTED, data)
        self._tell()


async def _called(add_listener: Callable[[CALLBACK_TYPE], CALLBACK_TYPE]) -> None:
    """Return when a listener would be called the next time."""
    event = asyncio.Event()
    remove = add_listener(event.set)
    try:
        await event.wait()
    finally:
        remove()


def _hour(seconds: float) -> int:
    return int(seconds) // HOUR * HOUR
