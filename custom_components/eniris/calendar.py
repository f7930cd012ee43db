"""Calendars: the schedules of a controller, and new ones for it."""

from datetime import date, datetime
from typing import Any

from homeassistant.components.calendar import (
    CalendarEntity,
    CalendarEntityDescription,
    CalendarEvent,
)
from homeassistant.components.calendar.const import CalendarEntityFeature
from homeassistant.core import HomeAssistant
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback
from homeassistant.util import dt as dt_util

from .controller.schedules import Schedule
from .controller.wording import read_text, written
from .data import EnirisConfigEntry
from .entity import EnirisScheduleEntity
from .errors import invalid
from .schedule_calls import async_set_schedules

PARALLEL_UPDATES = 1

SCHEDULES = CalendarEntityDescription(key="schedules", translation_key="schedules")


async def async_setup_entry(
    hass: HomeAssistant,
    entry: EnirisConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Add the calendar of each controller that takes schedules."""
    for controller in entry.runtime_data.controllers.values():
        if controller.policies is not None:
            async_add_entities(
                [
                    EnirisScheduleCalendar(
                        entry, controller, controller.policies, SCHEDULES
                    )
                ],
                config_subentry_id=controller.settings.id,
            )


class EnirisScheduleCalendar(EnirisScheduleEntity, CalendarEntity):
    """What a controller plans: the title is the policy, the description group and limits."""

    _attr_supported_features = CalendarEntityFeature.CREATE_EVENT

    @property
    def event(self) -> CalendarEvent | None:
        """The schedule that is in force, or the next one."""
        return next(map(_event, self.schedules.planned), None)

    async def async_get_events(
        self, hass: HomeAssistant, start_date: datetime, end_date: datetime
    ) -> list[CalendarEvent]:
        """Return the schedules between two times."""
        return [
            _event(schedule)
            for schedule in self.schedules.planned
            if schedule.start < end_date and schedule.end > start_date
        ]

    async def async_create_event(self, **kwargs: Any) -> None:
        """Give the controller a schedule."""
        if "rrule" in kwargs:
            raise invalid("no_recurring_schedules")
        texts = [kwargs.get("description") or "", kwargs.get("location") or ""]
        try:
            read = read_text(" ".join(texts))
        except ValueError as err:
            raise invalid("limits_unreadable") from err
        if read.group is None:
            raise invalid("which_group")
        await async_set_schedules(
            self.controller,
            [
                Schedule(
                    read.group,
                    kwargs["summary"],
                    _time(kwargs["dtstart"]),
                    _time(kwargs["dtend"]),
                    read.import_limit,
                    read.export_limit,
                )
            ],
        )


def _event(schedule: Schedule) -> CalendarEvent:
    return CalendarEvent(
        dt_util.as_local(schedule.start),
        dt_util.as_local(schedule.end),
        schedule.policy,
        description=written(schedule),
        uid=schedule.id,
    )


def _time(moment: date | datetime) -> datetime:
    """Return the time that a date or a local time means."""
    if not isinstance(moment, datetime):
        moment = dt_util.start_of_local_day(moment)
    return dt_util.as_utc(moment)
