"""The past of an account: hours of telemetry, put into the long-term statistics of its entities.

A day at a time, the newest first, so that after each of them every statistic is whole and merely
begins earlier. A day can be done again without harm, which is what happens after a restart.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
import math
import time
from typing import Any, Final

from homeassistant.config_entries import ConfigEntry
from homeassistant.const import Platform
from homeassistant.core import CALLBACK_TYPE, HomeAssistant, callback
from homeassistant.helpers import entity_registry as er
from homeassistant.helpers.storage import Store
from homeassistant.util import dt as dt_util

from ..api import (
    EnirisError,
    QueryCost,
    RateLimitedError,
    ReauthenticationRequiredError,
    Session,
    StatementResult,
    UnprocessableError,
)
from ..const import DOMAIN, LOGGER
from ..recording import has_recorder
from .catalogue import describe_node, directions
from .coordinator import NodeCoordinator, TelemetryCoordinator
from .energy import Counted
from .hours import (
    HOUR,
    Answers,
    HourQuery,
    Method,
    Subject,
    Values,
    plan_hours,
    plan_raw,
    plan_spans,
)
from .nodes import Node
from .pace import SHARE, Pace
from .plan import FieldKey
from .statistics import (
    Anchor,
    Hourly,
    Known,
    Statistic,
    async_known,
    async_statistics,
    async_write,
    async_written,
    meter_steps,
    rise,
    sum_rows,
    sum_steps,
)

EVENT_IMPORTED: Final = f"{DOMAIN}_history_imported"

_DAY: Final = 24 * HOUR
_STORE_VERSION: Final = 1

_OWN_ROWS: Final = 150
"""Seconds into an hour until the recorder has made its row of the hour before."""

_EARLIEST: Final = int(datetime(2000, 1, 1, tzinfo=UTC).timestamp())
"""No telemetry of Eniris is as old; a year with a typo in it is no reason to ask for centuries."""

_FIRST_ROW: Final = 15 * 60.0
"""Seconds for which is waited for a sum's first row of its own, which it is joined to."""

_LOOK_AGAIN: Final = 5.0
_RETRY_FIRST: Final = 30.0
_RETRY_LONGEST: Final = 900.0

_FIRST_QUERIES: Final = 10
_MOST_QUERIES: Final = 250
_LARGEST_PART: Final = 0.1
"""Of the budget, in one request."""
_SMALLEST_SHARE: Final = 0.05

_LOOKED_UP_AT_ONCE: Final = 500
"""Fields."""

_DONE_AT_ONCE: Final = 20
"""Statistics that are put together before the event loop gets its turn."""


class HistoryUnavailableError(Exception):
    """There is no recorder, so there are no statistics."""


@dataclass(frozen=True, slots=True)
class Job:
    """A past to be fetched, from `start` to `end`, in Unix seconds; from `cursor` on it is done."""

    start: int
    end: int
    cursor: int
    unique_ids: tuple[str, ...] | None = None
    """Identities of entities; None for all that show energy or power."""
    rows: int = 0
    """Rows written so far."""
    refused: int = 0
    """Hours of a series that the service refused to tell of."""
    left_out: tuple[str, ...] = ()
    """Ids of entities that have no statistics to be joined to."""

    @property
    def progress(self) -> float:
        """The part that is done, 0 to 1."""
        return (self.end - self.cursor) / max(1, self.end - self.start)

    def as_json(self) -> list[Any]:
        """Return the form that is stored."""
        return [
            self.start,
            self.end,
            self.cursor,
            None if self.unique_ids is None else list(self.unique_ids),
            self.rows,
            self.refused,
            list(self.left_out),
        ]

    @classmethod
    def from_json(cls, stored: Any) -> "Job | None":
        """Restore what `as_json` returned, None if that cannot be read."""
        try:
            # The first versions did not keep what is left out
            start, end, cursor, unique_ids, rows, refused, *rest = stored
            (left_out,) = rest or [()]
            return cls(
                int(start),
                int(end),
                int(cursor),
                None if unique_ids is None else tuple(map(str, unique_ids)),
                int(rows),
                int(refused),
                tuple(map(str, left_out)),
            )
        except (TypeError, ValueError):
            return None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the import of the past has come."""

    percent: float | None = None
    """None while none was ever asked for."""
    fetching: datetime | None = None
    """The hour up to which is fetched at present, None when nothing is."""
    back_to: datetime | None = None
    """Where it will end."""
    is_waiting: bool = False
    """Whether it has not begun yet."""
    left_out: tuple[str, ...] = ()
    """Ids of entities that have no statistics to be joined to."""


class Share:
    """What of the budget the past may use: half of what polls leave over."""

    def __init__(self, pace: Pace) -> None:
        """Keep out of the way of the polls that `pace` paces."""
        self._pace = pace
        self._per_query: float | None = None
        self._remaining: float | None = None
        self.most = _MOST_QUERIES

    @property
    def per_minute(self) -> float | None:
        """Tokens a minute, None where there is no limit."""
        budget = self._pace.per_minute
        if budget is None:
            return None
        left = budget * SHARE - (self._pace.cost_per_minute or 0.0)
        return max(left / 2, budget * _SMALLEST_SHARE)

    def queries(self) -> int:
        """Return how many queries the next request may have."""
        budget = self._pace.per_minute
        if budget is None:
            return self.most
        if not self._per_query:
            return min(_FIRST_QUERIES, self.most)
        return max(1, min(self.most, int(budget * _LARGEST_PART / self._per_query)))

    def wait_after(self, queries: int, cost: QueryCost, seconds: float) -> float:
        """Return for how long to wait after a request, which took `seconds`."""
        share = self.per_minute
        if cost.cost is None or share is None:
            # Nobody says what it costs: then half of the time
            return seconds
        self._per_query = cost.cost / max(1, queries)
        wait = 60 * cost.cost / share
        budget = self._pace.per_minute
        if cost.remaining is not None and budget:
            # Polls must find what they need, and this its next request
            needed = 2 * (self._pace.cost or 0.0) + self.queries() * self._per_query
            wait = max(wait, 60 * (needed - cost.remaining) / budget)
        return wait


def history_store(hass: HomeAssistant, entry_id: str) -> Store[dict[str, Any]]:
    """Return the store of what of an account's past is still to be fetched."""
    return Store(hass, _STORE_VERSION, f"{DOMAIN}.{entry_id}.history", private=True)


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
        self._session = session
        self._nodes = nodes
        self._telemetry = telemetry
        self._store = history_store(hass, entry.entry_id)
        self._share = Share(telemetry.pace)
        self._jobs: list[Job] = []
        self._was_asked = False
        self._is_first_taken = False
        self._left_out: tuple[str, ...] = ()
        """What the last job left out."""
        self._listeners: list[CALLBACK_TYPE] = []
        self._task: asyncio.Task[None] | None = None

    async def async_restore(self) -> None:
        """Restore what was not finished; raises what `Store.async_load` does on a file of a newer version."""
        stored = await self._store.async_load()
        if isinstance(stored, dict):
            jobs = stored.get("jobs")
            restored = map(Job.from_json, jobs if isinstance(jobs, list) else ())
            self._jobs = [job for job in restored if job is not None]
            self._is_first_taken = bool(stored.get("is_first_taken"))
            # The first versions stored nothing unless they were asked
            self._was_asked = bool(stored.get("was_asked", True))

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
            None if unique_ids is None else tuple(sorted(unique_ids)),
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
            return Progress(percent, left_out=self._left_out)
        job = self._jobs[0]
        return Progress(
            round(100 * job.progress, 1),
            datetime.fromtimestamp(job.cursor, UTC),
            datetime.fromtimestamp(job.start, UTC),
            job.cursor == job.end,
            job.left_out,
        )

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
        further = asyncio.Event()
        remove = self.async_add_listener(further.set)
        try:
            await further.wait()
        finally:
            remove()

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
                "jobs": [job.as_json() for job in self._jobs],
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
        await self._until_nodes_are_known()
        if job.cursor == job.end:
            # What cannot be joined to now would have a gap if it were joined to later
            joinable, left_out = await self._joinable(job)
            job = replace(job, unique_ids=tuple(joinable), left_out=tuple(left_out))
        while job.cursor > job.start:
            # Anew each day, since entities can be renamed
            found = await self._statistics(job)
            start = max(job.start, (job.cursor - 1) // _DAY * _DAY)
            job = await self._do_day(job, list(found.values()), start)
            self._jobs[0] = job
            await self._async_save()
            self._tell()
        self._jobs.pop(0)
        self._left_out = job.left_out
        await self._async_save()
        entities = len(job.unique_ids or ())
        LOGGER.info(
            "The past of %s since %s is imported: %d rows in the statistics of %d entities",
            self._entry.title,
            datetime.fromtimestamp(job.start, UTC).isoformat(),
            job.rows,
            entities,
        )
        self._hass.bus.async_fire(
            EVENT_IMPORTED,
            {
                "config_entry_id": self._entry.entry_id,
                "start": datetime.fromtimestamp(job.start, UTC).isoformat(),
                "end": datetime.fromtimestamp(job.end, UTC).isoformat(),
                "entities": entities,
                "rows": job.rows,
                "refused_queries": job.refused,
                "left_out": list(job.left_out),
            },
        )
        self._tell()

    async def _until_nodes_are_known(self) -> None:
        while not self._nodes.answers:
            asked = asyncio.Event()
            remove = self._nodes.async_add_listener(asked.set)
            try:
                await asked.wait()
            finally:
                remove()

    # What belongs to a job

    async def _joinable(self, job: Job) -> tuple[Iterable[str], list[str]]:
        """Return the unique ids of a job, and the ids of entities that it leaves out.

        Sums that begin just now are waited for.
        """
        waited = 0.0
        before: Collection[str] = ()
        while True:
            wanted = await self._wanted(job)
            joinable = await self._statistics(job)
            # After a set-up, entities take a while to be all there
            is_complete = wanted.keys() == before and len(joinable) == len(wanted)
            if (wanted and is_complete) or waited >= _FIRST_ROW:
                break
            before = wanted.keys()
            await asyncio.sleep(_LOOK_AGAIN)
            # While Eniris cannot be read, there are no states to make rows of
            if self._telemetry.last_update_success:
                waited += _LOOK_AGAIN
        without = sorted(wanted.keys() - {item.id for item in joinable.values()})
        if without:
            LOGGER.info(
                "The past of %s is not imported: Home Assistant has made no statistics of"
                " their own yet that it could be joined to",
                ", ".join(without),
            )
        return joinable, without

    async def _statistics(self, job: Job) -> dict[str, Statistic]:
        """Return the statistics of a job that rows can be put into, by unique id."""
        found = await async_statistics(self._hass, await self._wanted(job))
        account = self._entry.unique_id
        return {
            item.subject.unique_id(account): item
            for item in found
            if item.can_be_joined
        }

    async def _wanted(self, job: Job) -> dict[str, Subject]:
        """Return what the enabled entities of a job show, by their ids."""
        registry = er.async_get(self._hass)
        chosen = None if job.unique_ids is None else frozenset(job.unique_ids)
        subjects = await self._hass.async_add_executor_job(self.subjects)
        found = {}
        for number, (unique_id, subject) in enumerate(subjects.items(), start=1):
            if number % _LOOKED_UP_AT_ONCE == 0:
                await asyncio.sleep(0)
            if not (
                subject.is_energy_or_power if chosen is None else unique_id in chosen
            ):
                continue
            entity_id = registry.async_get_entity_id(Platform.SENSOR, DOMAIN, unique_id)
            entity = None if entity_id is None else registry.async_get(entity_id)
            if entity is not None and entity.disabled_by is None:
                found[entity.entity_id] = subject
        return found

    def subjects(self) -> dict[str, Subject]:
        """Return all that can have a past, by the unique id of its entity."""
        return {
            subject.unique_id(self._entry.unique_id): subject
            for node in self._nodes.data.by_id.values()
            for (measurement, name), description in describe_node(
                node.device.series
            ).items()
            for key in (FieldKey(node.id, measurement, name),)
            for shown in (description, *directions(measurement, description))
            if (subject := Subject(key, shown)).method is not None
        }

    # One day

    async def _do_day(
        self, job: Job, statistics: Sequence[Statistic], start: int
    ) -> Job:
        """Import the hours from `start` to the job's cursor."""
        end = job.cursor
        await self._wait_for_own_rows(end)
        answers, refused, unknown = await self._fetch(statistics, start, end)
        await self._look_into_falls(statistics, answers)
        sums = [item for item in statistics if item.is_sum]
        known = await async_known(self._hass, sums, start, end)
        energies = await self._energies_behind(sums, known, end)
        rows = 0
        for number, statistic in enumerate(statistics, start=1):
            hours = answers.get(statistic.subject, {})
            if statistic.is_sum:
                kept = known[statistic.id]
                hours = hours | _kept_hours(
                    statistic, kept, unknown.get(statistic.subject, ())
                )
                written, shift = self._sum_rows(
                    statistic, hours, kept, energies, start, end
                )
            else:
                written, shift = _mean_rows(hours), 0.0
            async_write(self._hass, statistic, written, shift)
            rows += len(written)
            if number % _DONE_AT_ONCE == 0:
                await asyncio.sleep(0)
        await async_written(self._hass)
        return replace(
            job, cursor=start, rows=job.rows + rows, refused=job.refused + refused
        )

    async def _wait_for_own_rows(self, end: int) -> None:
        """Let the recorder make its row of the newest hour first; it cannot do so later."""
        seconds = end + _OWN_ROWS - dt_util.utcnow().timestamp()
        if seconds > 0:
            await asyncio.sleep(seconds)

    async def _look_into_falls(
        self, statistics: Iterable[Statistic], answers: Answers
    ) -> None:
        """Find out what meters counted in hours in which they fell or were exchanged."""
        falls = []
        for statistic in statistics:
            if statistic.method is not Method.COUNTER:
                continue
            before = -math.inf
            for hour, values in sorted(answers.get(statistic.subject, {}).items()):
                if values[0] < before:
                    falls.append((statistic.subject, hour))
                before = values[-1]
        async for query, result in self._ask(plan_raw(self._by_id, falls)):
            for subject, numbers in query.read_raw(result).items():
                if numbers:
                    answers[subject][query.start] = tuple(numbers)

    def _sum_rows(
        self,
        statistic: Statistic,
        hours: Mapping[int, Values],
        known: Known,
        energies: Mapping[Subject, float],
        start: int,
        end: int,
    ) -> tuple[list[Hourly], float]:
        """Return the rows of a sum, and by how much what follows has to be shifted."""
        behind = known.behind(end)
        method = statistic.method
        if method is not Method.SUM:
            before = hours.get(start - HOUR)
            steps = meter_steps(
                method,
                {hour: values for hour, values in hours.items() if hour >= start},
                None if before is None else before[-1],
            )
            energy = 0.0
            if behind and steps:
                energy = rise(method, steps[-1].state, behind.state)
        else:
            counted = self._counted(statistic, end)
            if counted is not None:
                # As the entity has counted it: what it counts later will not be in it twice
                hours = {
                    hour: values
                    for hour, values in hours.items()
                    if hour < counted.since
                } | {
                    hour: (energy,)
                    for hour, energy in counted.hours.items()
                    if start <= hour < end
                }
                state = counted.value - math.fsum(
                    energy for hour, energy in counted.hours.items() if hour >= end
                )
                energy = behind.state - state if behind else 0.0
            else:
                energy = energies.get(statistic.subject, 0.0)
                state = behind.state - energy if behind else 0.0
            steps = sum_steps(hours, state)
        anchor = Anchor(behind.sum, energy) if behind else None
        return sum_rows(steps, known, start, end, anchor)

    def _counted(self, statistic: Statistic, end: int) -> Counted | None:
        """Return what the entity has counted itself, if it has counted all from `end` on."""
        counted = self._telemetry.totals.counted(statistic.subject.key)
        return counted if counted is not None and counted.since <= end else None

    async def _energies_behind(
        self, sums: Iterable[Statistic], known: Mapping[str, Known], end: int
    ) -> dict[Subject, float]:
        """Return the energy from `end` to the end of the row that follows, by subject."""
        spans: dict[Subject, tuple[int, int]] = {}
        for statistic in sums:
            behind = known[statistic.id].behind(end)
            if (
                statistic.method is Method.SUM
                and self._counted(statistic, end) is None
                and behind is not None
                and behind.end > end
            ):
                spans[statistic.subject] = (end, behind.end)
        energies: dict[Subject, float] = {}
        unknown: set[Subject] = set()
        async for query, result in self._ask(plan_spans(self._by_id, spans, _DAY)):
            if result.error is not None:
                unknown.update(query.subjects)
            for subject, (energy,) in query.read(result).items():
                energies[subject] = energies.get(subject, 0.0) + energy
        for statistic in sums:
            behind = known[statistic.id].behind(end)
            if statistic.subject in unknown and behind is not None:
                # What the service does not tell stays what the recorder has
                energies[statistic.subject] = behind.sum - behind.before
        return energies

    @property
    def _by_id(self) -> Mapping[str, Node]:
        return self._nodes.data.by_id

    # Asking

    async def _fetch(
        self, statistics: Sequence[Statistic], start: int, end: int
    ) -> tuple[Answers, int, Mapping[Subject, set[int]]]:
        """Return what the service says of each hour, how many queries it refused, and the hours of these.

        Of meters, of the hour before as well: what they showed then tells what they counted.
        """
        subjects = [item.subject for item in statistics]
        meters = [item.subject for item in statistics if item.method is Method.COUNTER]
        queries = await self._hass.async_add_executor_job(
            lambda: [
                *plan_hours(self._by_id, subjects, start, end),
                *plan_hours(self._by_id, meters, start - HOUR, start),
            ]
        )
        answers: Answers = {}
        refused = 0
        unknown: dict[Subject, set[int]] = {}
        async for query, result in self._ask(queries):
            if result.error is not None:
                refused += 1
                for subject in query.subjects:
                    unknown.setdefault(subject, set()).add(query.start)
            for subject, values in query.read(result).items():
                answers.setdefault(subject, {})[query.start] = values
        return answers, refused, unknown

    async def _ask(
        self, queries: Sequence[HourQuery]
    ) -> AsyncIterator[tuple[HourQuery, StatementResult]]:
        """Ask within the share of the budget, again after a while where the service cannot be reached.

        What it refuses for good is an empty answer.
        """
        asked, retry = 0, _RETRY_FIRST
        while asked < len(queries):
            part = queries[asked : asked + self._share.queries()]
            started = time.monotonic()
            try:
                answer = await self._session.query_telemetry(
                    [query.query() for query in part]
                )
            except UnprocessableError as err:
                self._share.most = max(1, len(part) // 2)
                if len(part) == 1:
                    asked += 1
                    yield part[0], StatementResult([], str(err))
                continue
            except ReauthenticationRequiredError:
                raise
            except EnirisError as err:
                LOGGER.debug("The past cannot be fetched at present: %s", err)
                told = err.retry_after if isinstance(err, RateLimitedError) else None
                await asyncio.sleep(max(retry, min(told or 0, _DAY)))
                retry = min(2 * retry, _RETRY_LONGEST)
                continue
            retry = _RETRY_FIRST
            asked += len(part)
            # One query that was too dear says nothing of the others
            self._share.most = min(_MOST_QUERIES, 2 * self._share.most)
            for query, result in zip(part, answer.results, strict=True):
                yield query, result
            await asyncio.sleep(
                self._share.wait_after(
                    len(part), answer.cost, time.monotonic() - started
                )
            )


def _mean_rows(hours: Mapping[int, Values]) -> list[Hourly]:
    return [
        Hourly(hour, mean=mean, lowest=lowest, highest=highest)
        for hour, (mean, lowest, highest) in sorted(hours.items())
    ]


def _kept_hours(
    statistic: Statistic, known: Known, unknown: Collection[int]
) -> dict[int, Values]:
    """Return the hours of which the service refuses to tell as the recorder has them."""
    return {
        row.start: (
            (row.sum - row.before,) if statistic.method is Method.SUM else (row.state,)
        )
        for row in known.rows
        if row.start in unknown
    }


def _hour(seconds: float) -> int:
    return int(seconds) // HOUR * HOUR
