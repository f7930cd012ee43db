"""The coordinators: metadata seldom, telemetry often."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import islice
import logging
import math
import time
from typing import Any, Final

from homeassistant.config_entries import ConfigEntry
from homeassistant.core import CALLBACK_TYPE, HomeAssistant, callback
from homeassistant.exceptions import ConfigEntryAuthFailed
from homeassistant.helpers import issue_registry as ir
from homeassistant.helpers.event import async_call_later
from homeassistant.helpers.storage import Store
from homeassistant.helpers.update_coordinator import DataUpdateCoordinator, UpdateFailed
from homeassistant.util import dt as dt_util

from ..api import (
    EnirisConnectionError,
    EnirisError,
    FieldValue,
    QueryCost,
    RateLimitedError,
    ReauthenticationRequiredError,
    SeriesInfo,
    Session,
    StatementResult,
    TelemetryAnswer,
    UnprocessableError,
    without_frames,
)
from ..api.telemetry import QUERIES_PER_REQUEST
from ..const import DEVICE_INTERVAL, DOMAIN, LOGGER
from .catalogue import describe
from .energy import CountingQuery, Totals
from .nodes import Node, build_nodes, in_sites
from .pace import Pace
from .plan import FieldKey, PlannedQuery, Preference, plan_queries

_RETRY_INTERVAL: Final = timedelta(minutes=1)
_LONGEST_WAIT: Final = 24 * 3600
_STORE_VERSION: Final = 1
_STORE_EVERY: Final = 15 * 60
_STORE_NEW: Final = 10
"""Seconds after which a new total is stored, with the hour in which it began."""

_TOLD_AT_ONCE: Final = 25
"""Entities that are told of their new values before the event loop gets its turn."""

_OFF_LOOP_FROM: Final = 50
"""Queries from which a thread does what would hold the event loop."""


@dataclass(frozen=True, slots=True)
class Nodes:
    """The account's nodes by id, each after the one above it."""

    by_id: dict[str, Node] = field(default_factory=dict)
    skipped: int = 0
    """Devices in the metadata that have no node id and so make no node."""
    listed: frozenset[str] = frozenset()
    """Ids of all nodes that the account lists, shown or not."""
    sites: Mapping[str, str] = field(default_factory=dict)
    """Names of all the account's sites by node id, chosen or not."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A value as the service stored it, and when.

    For energy within an interval the value is the running total in Wh, None while nothing was counted.
    """

    time: datetime
    value: FieldValue | None
    valid_for: timedelta
    """How old the reading may become before it says nothing of the present."""


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """What of an account is read, and how often."""

    interval: timedelta = timedelta(seconds=60)
    preference: Preference = Preference.FRESHEST
    sites: frozenset[str] = frozenset()
    """Node ids of the sites that are wanted; none means all."""


def totals_store(hass: HomeAssistant, entry_id: str) -> Store[list[Any]]:
    """Return the store of an account's energy totals."""
    return Store(hass, _STORE_VERSION, f"{DOMAIN}.{entry_id}.totals", private=True)


class Outage:
    """One log line when an account's polls begin to fail, and one when all succeed again."""

    def __init__(self, account: str) -> None:
        """Name `account` in the log."""
        self._account = account
        self._failing: set[str] = set()

    def failed(self, poll: str, reason: Exception) -> None:
        """Note that a poll failed."""
        if not self._failing:
            LOGGER.warning("%s cannot be read at present: %s", self._account, reason)
        self._failing.add(poll)

    def succeeded(self, poll: str) -> None:
        """Note that a poll succeeded."""
        if poll in self._failing:
            self._failing.discard(poll)
            if not self._failing:
                LOGGER.info("%s can be read again", self._account)


_POLL_LOGGER: Final = logging.getLogger(f"{LOGGER.name}.poll")

# `Outage` tells of an outage; what the coordinators tell of each poll would be that once more
_POLL_LOGGER.addFilter(
    lambda record: record.levelno < logging.INFO or record.exc_info is not None
)


class _EnirisCoordinator[DataT](DataUpdateCoordinator[DataT]):
    """Maps the client's exceptions to Home Assistant's, and waits as long as the server says."""

    config_entry: ConfigEntry[Any]

    def __init__(
        self,
        hass: HomeAssistant,
        entry: ConfigEntry[Any],
        session: Session,
        outage: Outage,
        name: str,
        interval: timedelta,
    ) -> None:
        """Poll over `session` every `interval`."""
        super().__init__(
            hass,
            _POLL_LOGGER,
            config_entry=entry,
            name=f"{entry.title} {name}",
            update_interval=interval,
            always_update=False,
        )
        self.session = session
        self.normal_interval = interval
        self._outage = outage
        self._not_before = 0.0

    @asynccontextmanager
    async def _errors_mapped(self) -> AsyncIterator[None]:
        """Raise what a coordinator may raise, with words that the user can read."""
        # Until this has gone well
        self.update_interval = min(self.normal_interval, _RETRY_INTERVAL)
        try:
            try:
                self._wait_out()
                yield
            except ReauthenticationRequiredError as err:
                raise ConfigEntryAuthFailed(
                    translation_domain=DOMAIN, translation_key="authentication_failed"
                ) from err
            except RateLimitedError as err:
                retry_after = self.wait(err.retry_after)
                # Home Assistant's timers may fire within the second before
                wait = timedelta(seconds=1 + retry_after)
                self.update_interval = max(self.update_interval, wait)
                raise UpdateFailed(
                    translation_domain=DOMAIN,
                    translation_key="rate_limited",
                    translation_placeholders={
                        "seconds": f"{self.update_interval.total_seconds():.0f}"
                    },
                ) from err
            except EnirisConnectionError as err:
                raise UpdateFailed(
                    translation_domain=DOMAIN,
                    translation_key="cannot_connect",
                    translation_placeholders={"error": str(err)},
                ) from err
            except EnirisError as err:
                raise UpdateFailed(
                    translation_domain=DOMAIN,
                    translation_key="unexpected_answer",
                    translation_placeholders={"error": str(err)},
                ) from err
        except (ConfigEntryAuthFailed, UpdateFailed) as err:
            self._outage.failed(self.name, err)
            raise
        self._outage.succeeded(self.name)
        self.update_interval = self.normal_interval
        if self.last_exception is not None:
            # Home Assistant keeps it for good
            without_frames(self.last_exception)

    @property
    def seconds_to_wait(self) -> float:
        """For how long the service wants not to be asked."""
        return max(0.0, self._not_before - time.monotonic())

    def wait(self, seconds: float | None) -> float:
        """Ask nothing for as long as the service wants, a day at most; return for how long that is."""
        until = time.monotonic() + min(seconds or 0, _LONGEST_WAIT)
        # Of two that ask at the same time each is told its own
        self._not_before = max(self._not_before, until)
        return self.seconds_to_wait

    def _wait_out(self) -> None:
        """Refuse to ask, whoever wants it, before the time that the service has named."""
        if (left := self.seconds_to_wait) > 0:
            raise RateLimitedError(429, "still to be waited for", retry_after=left)


class NodeCoordinator(_EnirisCoordinator[Nodes]):
    """Keeps the account's nodes; an unchanged fleet costs an empty answer."""

    def __init__(
        self,
        hass: HomeAssistant,
        entry: ConfigEntry[Any],
        session: Session,
        outage: Outage,
        options: ImportOptions,
    ) -> None:
        """Start with no node, so that whoever looks before the first answer finds none."""
        super().__init__(hass, entry, session, outage, "devices", DEVICE_INTERVAL)
        # That nothing changed is an answer too: what is missing still is
        self.always_update = True
        self.data = Nodes()
        self.answers = 0
        """How often the service has told what there is, changed or not."""
        self._options = options
        self._skip_hash: str | None = None

    async def _async_update_data(self) -> Nodes:
        async with self._errors_mapped():
            answer = await self.session.query_devices(skip_hash=self._skip_hash)
        self.answers += 1
        if answer is None:
            return self.data
        self._skip_hash = answer.skip_hash
        nodes = await self.hass.async_add_executor_job(build_nodes, answer.devices)
        return Nodes(
            in_sites(nodes, self._options.sites),
            answer.skipped,
            frozenset(device.node_id for device in answer.devices),
            {
                node.id: node.device.name or node.id
                for node in nodes.values()
                if node.is_site
            },
        )


@dataclass(slots=True)
class _Collected:
    """What the answers to a poll say."""

    readings: dict[FieldKey, Reading] = field(default_factory=dict)
    rare: set[FieldKey] = field(default_factory=set)
    failed: dict[PlannedQuery, str] = field(default_factory=dict)


class TelemetryCoordinator(_EnirisCoordinator[dict[FieldKey, Reading]]):
    """Keeps the newest reading of every field that has one, and the totals of energy.

    Entities listen by key, and are told in slices: thousands of them must not hold the event loop.
    """

    def __init__(
        self,
        hass: HomeAssistant,
        entry: ConfigEntry[Any],
        session: Session,
        outage: Outage,
        options: ImportOptions,
        nodes: NodeCoordinator,
    ) -> None:
        """Read what `nodes` announces."""
        super().__init__(hass, entry, session, outage, "telemetry", options.interval)
        self.data = {}
        self.pace = Pace(options.interval)
        self.totals = Totals()
        self._store = totals_store(hass, entry.entry_id)
        self._preference = options.preference
        self._nodes = nodes
        self._planned_for: Nodes | None = None
        self._plan: list[PlannedQuery] = []
        self._planned_keys: set[FieldKey] = set()
        self._parts = 1
        self._part = 0
        self._dearest = 0.0
        """Tokens of the dearest part since everything was read the last time."""
        self._save_by: float | None = None
        self._failing: set[PlannedQuery] = set()
        self._rare: set[FieldKey] = set()
        self._are_more_rare = False
        self._available: set[FieldKey] = set()
        self._shown: dict[FieldKey, tuple[bool, FieldValue | None]] = {}
        self._to_tell: dict[FieldKey, None] = {}
        self._telling: asyncio.Task[None] | None = None
        self._expiry: CALLBACK_TYPE | None = None
        self._polling = asyncio.Lock()
        self._key_listeners: dict[FieldKey, list[CALLBACK_TYPE]] = {}
        self._new_keys_listeners: list[Callable[[list[FieldKey]], None]] = []

    async def async_restore(self) -> None:
        """Restore the totals; raises what `Store.async_load` does on a file of a newer version."""
        self.totals.load(await self._store.async_load())

    @callback
    def async_start(self) -> None:
        """Poll until the account is unloaded, entities or not."""
        self.config_entry.async_on_unload(self.async_add_listener(lambda: None))
        self.config_entry.async_on_unload(self._async_save)
        self.config_entry.async_on_unload(self._async_forget_expiry)

    async def _async_save(self) -> None:
        await self._store.async_save(self.totals.as_json())

    @callback
    def _async_save_within(self, seconds: float) -> None:
        """Store the totals, once for all who ask; a store that is asked again begins to wait anew."""
        by = time.monotonic() + seconds
        if self._save_by is None or by < self._save_by:
            self._save_by = by
            self._store.async_delay_save(self._async_stored, seconds)

    @callback
    def _async_stored(self) -> list[Any]:
        self._save_by = None
        return self.totals.as_json()

    @property
    def counts(self) -> dict[str, int]:
        """How much is asked for, and what of it is not to be had."""
        return {
            "queries": len(self._plan),
            "refused_queries": len(self._failing),
            "fields_asked_for": len(self._planned_keys),
            "fields_seldom_written": len(self._rare),
            "totals": len(self.totals.wanted),
        }

    def is_available(self, key: FieldKey) -> bool:
        """Tell whether there is a reading that says something of the present."""
        return key in self._available

    @callback
    def async_want_total(self, key: FieldKey) -> None:
        """Keep the total of a field, beginning with the present hour if it is a new one."""
        if self.totals.want(key, dt_util.utcnow()):
            self._async_save_within(_STORE_NEW)
        elif key in self.data:
            # What was counted before is worth showing until the next poll
            self.data[key] = replace(self.data[key], value=self.totals.value(key))

    @callback
    def async_unwant_total(self, key: FieldKey) -> None:
        """Cease to ask for a total; what was counted is kept."""
        self.totals.unwant(key)

    @callback
    def async_add_key_listener(
        self, key: FieldKey, listener: CALLBACK_TYPE
    ) -> CALLBACK_TYPE:
        """Call `listener` when the reading of `key` or its availability changed."""
        self._key_listeners.setdefault(key, []).append(listener)

        def remove() -> None:
            listeners = self._key_listeners[key]
            listeners.remove(listener)
            if not listeners:
                del self._key_listeners[key]

        return remove

    @callback
    def async_add_new_keys_listener(
        self, listener: Callable[[list[FieldKey]], None]
    ) -> CALLBACK_TYPE:
        """Call `listener` with the keys that have a reading, now and whenever there are new ones.

        A few at a time; the event loop gets its turn in between.
        """
        self._new_keys_listeners.append(listener)
        known = list(self._shown)

        async def tell_known() -> None:
            for start in range(0, len(known), _TOLD_AT_ONCE):
                listener(known[start : start + _TOLD_AT_ONCE])
                await asyncio.sleep(0)

        if known:
            self.hass.async_create_task(tell_known(), "eniris new fields")
        return lambda: self._new_keys_listeners.remove(listener)

    async def _async_update_data(self) -> dict[FieldKey, Reading]:
        try:
            # A refresh by hand may come in the middle of a scheduled one
            async with self._polling:
                return await self._poll()
        finally:
            # After the coordinator has adopted the data; also when it has not, since
            # readings grow old
            self.hass.loop.call_soon(self._async_look_for_changes)

    async def _poll(self) -> dict[FieldKey, Reading]:
        nodes = self._nodes.data
        are_new = nodes is not self._planned_for
        # Between two parts of one plan a new one would make those wait that come last
        if are_new or (self._are_more_rare and self._part == 0):
            self._plan = await self._off_loop(
                len(nodes.by_id),
                plan_queries,
                nodes.by_id.values(),
                self._rare,
                self._preference,
            )
            self._planned_keys = {key for query in self._plan for key in query.keys}
            self._planned_for = nodes
            self._are_more_rare = False
            if are_new:
                self._parts, self._part, self._dearest = 1, 0, 0.0
            self._failing.intersection_update(self._plan)
        now = dt_util.utcnow()
        counting = self.totals.queries(nodes.by_id, now)
        if not self._plan and not counting:
            return {}
        async with self._errors_mapped():
            part, counting, answer = await self._query(counting, now)
        if self.pace.between_polls != self.update_interval:
            self.update_interval = self.pace.between_polls
        readings, counted = answer.results[: len(part)], answer.results[len(part) :]
        self._tell_of_pace()
        # A clock that is ahead of the service's must not make final what is not over yet
        self.totals.take(counting, counted, min(now, answer.time or now))
        if counting:
            self._async_save_within(_STORE_EVERY)
        collected = await self._off_loop(len(part), self._collect, part, readings)
        self._note_failures(part, collected.failed)
        if collected.rare:
            self._rare |= collected.rare
            self._are_more_rare = True
        return self._merge(collected)

    async def _query(
        self, counting: Sequence[CountingQuery], now: datetime
    ) -> tuple[list[PlannedQuery], list[CountingQuery], TelemetryAnswer]:
        """Ask in one request; where that is dearer than the whole budget, for a part at a time."""
        while True:
            part = self._plan[self._part :: self._parts]
            counts = self._counting_part(counting)
            queries = await self._off_loop(
                len(part),
                lambda part=part, counts=counts: [  # type: ignore[misc]
                    *(planned.query(now) for planned in part),
                    *(query.query() for query in counts),
                ],
            )
            try:
                answer = await self.session.query_telemetry(queries)
            except UnprocessableError as err:
                if self._parts < len(self._plan) + len(counting):
                    self._parts *= 2
                    continue
                # What cannot be had at all must not keep the others from being asked for
                refused = StatementResult([], str(err))
                answer = TelemetryAnswer([refused] * len(queries), QueryCost())
                self._dearest = math.inf
            except RateLimitedError:
                if len(queries) > QUERIES_PER_REQUEST:
                    # Together the requests are dearer than the budget; half of them may fit
                    self._parts *= 2
                raise
            self.pace.note(answer.cost, self._parts)
            self._dearest = max(self._dearest, answer.cost.cost or 0)
            self._part = (self._part + 1) % self._parts
            if self._part == 0:
                if self._parts > 1 and self.pace.fits(2 * self._dearest):
                    self._parts //= 2
                self._dearest = 0.0
            return part, counts, answer

    def _counting_part(self, counting: Iterable[CountingQuery]) -> list[CountingQuery]:
        """Return what is counted with the part that is asked for: a series always with the same."""
        numbers: dict[tuple[str, SeriesInfo], int] = {}
        return [
            query
            for query in counting
            if numbers.setdefault((query.node_id, query.series), len(numbers))
            % self._parts
            == self._part
        ]

    async def _off_loop[**P, R](
        self, size: int, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """Call a function, in a thread if `size` says that it takes long."""
        if size < _OFF_LOOP_FROM:
            return function(*args, **kwargs)
        return await self.hass.async_add_executor_job(lambda: function(*args, **kwargs))

    def _collect(
        self, part: Iterable[PlannedQuery], results: Iterable[StatementResult]
    ) -> _Collected:
        """Return what the answers say. Changes nothing, since it may run in a thread."""
        collected = _Collected()
        polls = 2 * self.pace.interval
        for planned, result in zip(part, results, strict=True):
            if result.error is not None:
                collected.failed[planned] = result.error
                continue
            newest = _newest(result)
            for key in planned.keys:
                if key.field in newest:
                    moment, value = newest[key.field]
                    # The total takes the place of energy within an interval
                    counts = describe(key.measurement, key.field).accumulates
                    collected.readings[key] = Reading(
                        moment,
                        None if counts else value,
                        max(planned.valid_for, polls),
                    )
                elif newest and key not in self._rare:
                    collected.rare.add(key)
        return collected

    @callback
    def _tell_of_pace(self) -> None:
        """Raise or withdraw the repair issue of a budget that is too small."""
        issue_id = f"budget_{self.config_entry.entry_id}"
        if self.pace.is_slowed:
            ir.async_create_issue(
                self.hass,
                DOMAIN,
                issue_id,
                data={"entry_id": self.config_entry.entry_id},
                is_fixable=True,
                severity=ir.IssueSeverity.WARNING,
                translation_key="budget",
                translation_placeholders={
                    "account": self.config_entry.title,
                    "wanted": f"{self.pace.wanted.total_seconds():.0f}",
                },
            )
        else:
            ir.async_delete_issue(self.hass, DOMAIN, issue_id)

    def _merge(self, collected: _Collected) -> dict[FieldKey, Reading]:
        """Return the readings of this poll, and earlier ones of fields that it did not bring."""
        failed = {key for planned in self._failing for key in planned.keys}
        merged = {
            key: reading
            for key, reading in (self.data | collected.readings).items()
            if key in self._planned_keys and key not in failed
        }
        for key in self.totals.wanted:
            if key in merged:
                merged[key] = replace(merged[key], value=self.totals.value(key))
        return merged

    def _note_failures(
        self, part: Iterable[PlannedQuery], failed: Mapping[PlannedQuery, str]
    ) -> None:
        """Log that the server refuses queries, a line when that starts and one when it ends.

        However many there are at once: a whole database may go at a poll.
        """
        began = [query for query in failed if query not in self._failing]
        ended = [
            query for query in part if query in self._failing and query not in failed
        ]
        self._failing.update(began)
        self._failing.difference_update(ended)
        if began:
            LOGGER.warning("Eniris refuses %s: %s", _summary(began), failed[began[0]])
        if ended:
            LOGGER.info("Eniris answers again for %s", _summary(ended))

    @callback
    def _async_look_for_changes(self) -> None:
        """Find what has changed for whoever looks at it, and begin to tell."""
        now = dt_util.utcnow()
        self._available = {
            key
            for key, reading in self.data.items()
            if now - reading.time <= reading.valid_for
        }
        ends = (
            self.data[key].time + self.data[key].valid_for for key in self._available
        )
        self._async_expire_at(min(ends, default=None))
        available, shown = self._available, self._shown
        for key, reading in self.data.items():
            if shown.get(key) != (key in available, reading.value):
                self._to_tell[key] = None
        for key in shown.keys() - self.data.keys():
            if shown[key] != (False, None) or key not in self._planned_keys:
                self._to_tell[key] = None
        if self._to_tell and self._telling is None:
            self._telling = self.hass.async_create_task(
                self._tell(), "eniris new values"
            )

    @callback
    def _async_expire_at(self, moment: datetime | None) -> None:
        """Look again when the first reading grows old: no poll may come until then.

        None does after a log-in has ended, nor while the service asks to wait.
        """
        self._async_forget_expiry()
        if moment is None or self._shutdown_requested:
            return

        @callback
        def expired(_now: datetime) -> None:
            self._expiry = None
            self._async_look_for_changes()

        delay = (moment - dt_util.utcnow()).total_seconds()
        self._expiry = async_call_later(self.hass, max(delay, 0) + 1, expired)

    @callback
    def _async_forget_expiry(self) -> None:
        if self._expiry is not None:
            self._expiry()
            self._expiry = None

    async def _tell(self) -> None:
        """Tell of new fields and of changes, a slice at a time."""
        try:
            while self._to_tell:
                slice_ = list(islice(self._to_tell, _TOLD_AT_ONCE))
                new = []
                for key in slice_:
                    del self._to_tell[key]
                    reading = self.data.get(key)
                    if key not in self._shown:
                        new.append(key)
                    self._shown[key] = (
                        key in self._available,
                        None if reading is None else reading.value,
                    )
                    for listener in list(self._key_listeners.get(key, ())):
                        try:
                            listener()
                        except Exception:  # noqa: BLE001
                            # One entity that fails must not keep the others from their values
                            LOGGER.exception("The entity of %s failed", key)
                    if key not in self._planned_keys:
                        del self._shown[key]
                if new:
                    for new_keys_listener in list(self._new_keys_listeners):
                        new_keys_listener(new)
                await asyncio.sleep(0)
        finally:
            self._telling = None


def _summary(queries: Sequence[PlannedQuery]) -> str:
    """Return what is read by the first of some queries, and how many others there are."""
    first, others = queries[0], len(queries) - 1
    text = f"{first.series.measurement} of node {first.node_id}"
    return f"{text} and {others} more" if others else text


def _newest(result: StatementResult) -> dict[str, tuple[datetime, FieldValue]]:
    """Return time and value of the newest value of each field of an answer."""
    if len(result.series) == 1:
        return result.series[0].newest()
    newest: dict[str, tuple[datetime, FieldValue]] = {}
    for series in result.series:
        for name, (moment, value) in series.newest().items():
            if name not in newest or moment > newest[name][0]:
                newest[name] = (moment, value)
    return newest
