"""`HeldPolicies`: the policies that groups follow because Home Assistant says so.

Each is a schedule of a quarter of an hour that is renewed every five minutes, so that the end of Home
Assistant is the end of the control, and the controller falls back by itself.
"""

import asyncio
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from homeassistant.core import CALLBACK_TYPE, HassJob, HomeAssistant, callback
from homeassistant.helpers.event import async_call_later
from homeassistant.util import dt as dt_util
from homeassistant.util.hass_dict import HassKey

from ..const import DOMAIN, LOGGER
from .control import ScheduleControl
from .errors import ControllerError
from .schedules import Schedule

HELD_FOR: Final = timedelta(minutes=15)
RENEWED_EVERY: Final = timedelta(minutes=5)
_RETRIED_AFTER: Final = timedelta(minutes=1)

_ENDS_WITHIN: Final = timedelta(minutes=1)
"""How long a policy still holds that is let go: there is no known way to delete a schedule, only to replace it."""


class Limits(NamedTuple):
    """What a site may take from the grid and give to it while a schedule is in force, in W."""

    import_limit: int
    export_limit: int


class Held(NamedTuple):
    """A policy that is held, and until when the controller has acknowledged it."""

    policy: str
    limits: Limits
    until: datetime


_HELD: Final[HassKey[dict[str, dict[str, Held]]]] = HassKey(f"{DOMAIN}_held_policies")


class HeldPolicies:
    """The policies of one controller's groups that are renewed from here.

    They stay in memory while the account is loaded anew, but not longer than the controller keeps to them.
    """

    def __init__(
        self, hass: HomeAssistant, schedules: ScheduleControl, controller_id: str
    ) -> None:
        """Go on to hold what was held under the same id."""
        self._hass = hass
        self.schedules = schedules
        self._held = hass.data.setdefault(_HELD, {}).setdefault(controller_id, {})
        self._timers: dict[str, CALLBACK_TYPE] = {}
        self._lock = asyncio.Lock()
        """A renewal takes seconds, and what is chosen meanwhile must outlast it."""
        self._is_stopped = False

    @callback
    def async_start(self) -> None:
        """Renew from now on what is held still."""
        now = dt_util.utcnow()
        for group, held in list(self._held.items()):
            if held.until > now:
                self._async_renew_after(group, _RETRIED_AFTER)
            else:
                del self._held[group]

    @property
    def by_group(self) -> dict[str, str]:
        """The policies that are held."""
        return {group: held.policy for group, held in self._held.items()}

    async def async_hold(self, group: str, policy: str, limits: Limits) -> None:
        """Have a group follow a policy from now on, until it is let go or Home Assistant ends.

        Raises what `ScheduleControl.async_set` does; what was held before stays so then.
        """
        async with self._lock:
            await self._async_hold({group: (policy, limits)})

    async def async_limit(self, **limits: int) -> None:
        """Renew all that is held, together, with another limit or two; raises as `async_hold` does."""
        async with self._lock:
            if self._held:
                await self._async_hold(
                    {
                        group: (held.policy, held.limits._replace(**limits))
                        for group, held in self._held.items()
                    }
                )

    async def _async_hold(self, wanted: Mapping[str, tuple[str, Limits]]) -> None:
        now = dt_util.utcnow().replace(microsecond=0)
        schedules = [
            Schedule(group, policy, now, self._until(group, now), *limits)
            for group, (policy, limits) in wanted.items()
        ]
        await self.schedules.async_set(schedules)
        for schedule in schedules:
            policy, limits = wanted[schedule.group]
            self._held[schedule.group] = Held(policy, limits, schedule.end)
            self._async_renew_after(schedule.group, RENEWED_EVERY)

    def _until(self, group: str, now: datetime) -> datetime:
        """Return when a policy ends that is held from now on: before what is planned begins, which it would replace."""
        starts = (
            its.start
            for its in self.schedules.planned
            if its.group == group and its.start > now
        )
        return min([now + HELD_FOR, *starts])

    @callback
    def _async_renew_after(self, group: str, delay: timedelta) -> None:
        if self._is_stopped:
            return

        async def renew(_now: datetime) -> None:
            async with self._lock:
                if (held := self._held.get(group)) is None:
                    return
                current = self.schedules.current(group)
                if current is not None and current.start >= held.until:
                    # What was planned is in force now
                    wait = current.end - dt_util.utcnow()
                    self._async_renew_after(group, wait)
                    return
                try:
                    await self._async_hold({group: (held.policy, held.limits)})
                except ControllerError as err:
                    LOGGER.debug("The policy of %s was not renewed: %r", group, err)
                    self._async_renew_after(group, _RETRIED_AFTER)

        self._async_forget_timer(group)
        self._timers[group] = async_call_later(
            self._hass, delay, HassJob(renew, cancel_on_shutdown=True)
        )

    @callback
    def _async_forget_timer(self, group: str) -> None:
        if (timer := self._timers.pop(group, None)) is not None:
            timer()

    async def async_release(self, group: str) -> None:
        """Hold a group's policy no longer; what is in force ends within a minute.

        Raises what `ScheduleControl.async_set` does; the schedule ends by itself then.
        """
        async with self._lock:
            self._held.pop(group, None)
            self._async_forget_timer(group)
            current = self.schedules.current(group)
            now = dt_util.utcnow().replace(microsecond=0)
            end = now + _ENDS_WITHIN
            if (
                current is not None
                and current.end > end
                # Of another's schedule the limits need not be known, and none are made up
                and None not in (current.import_limit, current.export_limit)
            ):
                await self.schedules.async_set(
                    [current._replace(start=now, end=end, id=None)]
                )

    @callback
    def async_stop(self) -> None:
        """Renew nothing any more, so that what is held ends by itself."""
        self._is_stopped = True
        for group in list(self._timers):
            self._async_forget_timer(group)
