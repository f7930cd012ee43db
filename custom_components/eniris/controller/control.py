"""`ScheduleControl`: asks a controller for its schedules, gives it new ones, and knows which hold."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from datetime import datetime, timedelta
from typing import Any, Final

from homeassistant.core import CALLBACK_TYPE, HassJob, HomeAssistant, callback
from homeassistant.helpers.event import async_call_later
from homeassistant.util import dt as dt_util

from ..const import LOGGER
from .errors import (
    ControllerError,
    NotAcknowledgedError,
    NotConnectedError,
    ScheduleRefusedError,
)
from .mqtt import MqttClient
from .schedules import (
    GET,
    SET,
    Acknowledgement,
    Schedule,
    get_message,
    read_acknowledgement,
    set_message,
)

ANSWER_WITHIN: Final = timedelta(seconds=10)
_REPEATED_WITHIN: Final = 2.0
"""Seconds."""

_SETTLED_AFTER: Final = timedelta(seconds=1)
READ_EVERY: Final = timedelta(minutes=15)


class ScheduleControl:
    """The schedules of one controller."""

    def __init__(
        self, hass: HomeAssistant, title: str, site_node_id: str, client: MqttClient
    ) -> None:
        """Ask through `client`."""
        self._hass = hass
        self._title = title
        self._site_node_id = site_node_id
        self._client = client
        self._lock = asyncio.Lock()
        self._awaited: tuple[str, asyncio.Future[Acknowledgement]] | None = None
        self._last_answer: tuple[bytes, float] = (b"", 0.0)
        """What was acknowledged last, and when, by the event loop's clock."""
        self._planned: tuple[Schedule, ...] = ()
        self._timers: dict[str, CALLBACK_TYPE] = {}
        self._listeners: list[Callable[[], None]] = []
        self._is_stopped = False
        self.is_known = False
        """Whether the controller has told its schedules since the connection began."""

    @property
    def is_connected(self) -> bool:
        """Whether the broker can be used now."""
        return self._client.is_connected

    @property
    def planned(self) -> tuple[Schedule, ...]:
        """What the controller has acknowledged and is not over, the earliest first."""
        now = dt_util.utcnow()
        return tuple(schedule for schedule in self._planned if schedule.end > now)

    def current(self, group: str) -> Schedule | None:
        """Return the schedule of a group that is in force, the one that began last."""
        now = dt_util.utcnow()
        return max(
            (its for its in self._planned if its.group == group and its.holds(now)),
            key=lambda schedule: schedule.start,
            default=None,
        )

    @callback
    def async_add_listener(self, listener: Callable[[], None]) -> CALLBACK_TYPE:
        """Call `listener` when schedules change, begin or end, or the connection does."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    @callback
    def async_tell(self) -> None:
        """Tell the listeners, and again when the next schedule begins or ends."""
        now = dt_util.utcnow()
        if (timer := self._timers.pop("next", None)) is not None:
            timer()
        times = (time for its in self._planned for time in (its.start, its.end))
        following = min((time for time in times if time > now), default=None)
        if following is not None:
            self._async_later("next", following - now, self._async_tell_later)
        for listener in tuple(self._listeners):
            listener()

    @callback
    def _async_tell_later(self, _now: datetime) -> None:
        self._timers.pop("next", None)
        self.async_tell()

    @callback
    def _async_later(
        self,
        name: str,
        delay: timedelta,
        action: Callable[[datetime], Coroutine[Any, Any, None] | None],
    ) -> None:
        if self._is_stopped:
            # The connection ends after that, and tells of it
            return
        if (timer := self._timers.pop(name, None)) is not None:
            timer()
        self._timers[name] = async_call_later(
            self._hass, delay, HassJob(action, cancel_on_shutdown=True)
        )

    @callback
    def async_connected(self) -> None:
        """Read the schedules now that the broker answers, and know of none while it does not."""
        if self._client.is_connected:
            self._async_later("read", timedelta(0), self._async_read_later)
        else:
            self.is_known = False
            self._async_give_up()
        self.async_tell()

    @callback
    def _async_give_up(self) -> None:
        """Wait no longer for an answer that cannot come."""
        if self._awaited is not None and not self._awaited[1].done():
            self._awaited[1].set_exception(NotConnectedError())

    async def _async_read_later(self, _now: datetime) -> None:
        self._async_later("read", READ_EVERY, self._async_read_later)
        try:
            await self.async_read()
        except ControllerError as err:
            LOGGER.debug("%s has not told its schedules: %r", self._title, err)

    @callback
    def async_take(self, payload: bytes) -> None:
        """Adopt an answer, if one is awaited; raises `InvalidMessageError`."""
        answer = read_acknowledgement(payload)
        # Without ids, answers to different questions can be the same
        if answer.kind == SET and answer.error is None and answer.schedule_ids:
            now = self._hass.loop.time()
            said, at = self._last_answer
            self._last_answer = payload, now
            if payload == said and now - at < _REPEATED_WITHIN:
                # The broker has delivered it twice
                return
        if self._awaited is not None and self._awaited[0] == answer.kind:
            if not self._awaited[1].done():
                self._awaited[1].set_result(answer)
        elif answer.kind == SET and self._client.is_connected:
            # Somebody else has changed them; one in force that was dropped need not be told of
            self._planned = tuple(
                its for its in self._planned if its.id not in answer.deleted_ids
            )
            self.async_tell()
            self._async_later("read", _SETTLED_AFTER, self._async_read_later)

    async def _async_ask(self, kind: str, message: str) -> Acknowledgement:
        """Publish a message and return the answer.

        Raises `NotConnectedError`, `NotAcknowledgedError` or `ScheduleRefusedError`. One at a time: nothing in an
        answer says to which question it belongs.
        """
        future: asyncio.Future[Acknowledgement] = self._hass.loop.create_future()
        self._awaited = kind, future
        try:
            async with asyncio.timeout(ANSWER_WITHIN.total_seconds()):
                await self._client.async_publish_schedules(message)
                answer = await future
        except TimeoutError as err:
            raise NotAcknowledgedError from err
        finally:
            self._awaited = None
            if future.done() and not future.cancelled():
                # What is not read is logged
                future.exception()
        if answer.error is not None:
            raise ScheduleRefusedError(answer.error)
        return answer

    async def async_read(self) -> tuple[Schedule, ...]:
        """Ask for the schedules, and return them; raises what can go wrong with a question."""
        async with self._lock:
            await self._async_read()
        return self.planned

    async def _async_read(self) -> None:
        now = dt_util.utcnow()
        answer = await self._async_ask(GET, get_message(self._site_node_id, now))
        known = {its[:4]: its for its in self._planned}
        told = [_completed(its, known.get(its[:4])) for its in answer.schedules]
        ids = {its.id for its in told if its.id is not None}
        same = {its[:4] for its in told}
        self._planned = tuple(
            sorted(
                {
                    *told,
                    # Those of the future are asked for; one in force need not be among them
                    *(
                        its
                        for its in self._planned
                        if its.holds(now) and its.id not in ids and its[:4] not in same
                    ),
                },
                key=lambda schedule: (schedule.start, schedule.group),
            )
        )
        self.is_known = True
        self.async_tell()

    async def async_set(self, schedules: Iterable[Schedule]) -> Acknowledgement:
        """Give the controller schedules, and return what it has acknowledged.

        Raises what can go wrong with a question.
        """
        schedules = tuple(schedules)
        async with self._lock:
            message = set_message(self._site_node_id, schedules, dt_util.utcnow())
            answer = await self._async_ask(SET, message)
            ids: Iterable[str | None] = answer.schedule_ids
            if len(answer.schedule_ids) != len(schedules):
                # Which is which it does not say
                ids = [None] * len(schedules)
            new = [
                schedule._replace(id=id_)
                for schedule, id_ in zip(schedules, ids, strict=True)
            ]
            self._planned = tuple(
                sorted(
                    (
                        *(
                            its
                            for its in self._planned
                            if its.id not in answer.deleted_ids
                            and not any(_overlaps(its, other) for other in new)
                        ),
                        *new,
                    ),
                    key=lambda schedule: (schedule.start, schedule.group),
                )
            )
            self.async_tell()
            try:
                await self._async_read()
            except ControllerError as err:
                LOGGER.debug("%s has not told its schedules: %r", self._title, err)
        return answer

    @callback
    def async_stop(self) -> None:
        """Ask for nothing any more."""
        self._is_stopped = True
        self._async_give_up()
        for timer in self._timers.values():
            timer()
        self._timers.clear()


def _completed(told: Schedule, known: Schedule | None) -> Schedule:
    """Return a schedule with what the controller has acknowledged of it before, where it does not say so again."""
    if known is None:
        return told
    limits = (told.import_limit, told.export_limit)
    return told._replace(
        import_limit=known.import_limit if limits[0] is None else limits[0],
        export_limit=known.export_limit if limits[1] is None else limits[1],
        id=told.id or known.id,
    )


def _overlaps(one: Schedule, other: Schedule) -> bool:
    return one.group == other.group and one.start < other.end and other.start < one.end
