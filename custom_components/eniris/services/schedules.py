"""The actions of a controller's schedules."""

from typing import Any, Final

import voluptuous as vol

from homeassistant.const import ATTR_DEVICE_ID
from homeassistant.core import ServiceCall, ServiceResponse
from homeassistant.helpers import config_validation as cv
from homeassistant.util import dt as dt_util
from homeassistant.util.json import JsonObjectType

from ..const import (
    ATTR_END,
    ATTR_EXPORT_LIMIT,
    ATTR_GROUP,
    ATTR_IMPORT_LIMIT,
    ATTR_POLICY,
    ATTR_SCHEDULES,
    ATTR_START,
)
from ..controller.controller import Controller
from ..controller.schedules import GROUPS, LARGEST_LIMIT, Schedule
from ..devices import async_find
from ..errors import invalid
from ..schedule_calls import async_set_schedules, controller_asked
from .shared import loaded

_LIMIT: Final = vol.All(vol.Coerce(int), vol.Range(0, LARGEST_LIMIT))

_VALUES: Final[dict[str, Any]] = {
    ATTR_GROUP: vol.In(GROUPS),
    ATTR_POLICY: vol.All(cv.string, vol.Length(1, 100)),
    ATTR_START: cv.datetime,
    ATTR_END: cv.datetime,
    ATTR_IMPORT_LIMIT: _LIMIT,
    ATTR_EXPORT_LIMIT: _LIMIT,
}
_NEEDED: Final = (ATTR_GROUP, ATTR_POLICY, ATTR_START, ATTR_END)

_DEVICE: Final[dict[Any, Any]] = {vol.Required(ATTR_DEVICE_ID): cv.string}

SET_SCHEDULE_SCHEMA: Final = vol.Schema(
    {
        **_DEVICE,
        **{vol.Optional(key): value for key, value in _VALUES.items()},
        vol.Optional(ATTR_SCHEDULES): vol.All(
            cv.ensure_list,
            [vol.Schema({vol.Optional(key): its for key, its in _VALUES.items()})],
            vol.Length(1, 100),
        ),
    }
)

GET_SCHEDULES_SCHEMA: Final = vol.Schema(_DEVICE)


def _controller(call: ServiceCall) -> Controller:
    """Return the controller that a call names by its own device or that of its site.

    Raises `ServiceValidationError` where there is none.
    """
    device_id = call.data[ATTR_DEVICE_ID]
    found = [
        controller
        for entry, subentry_id in async_find(call.hass, device_id, "controller")
        if (controller := loaded(entry).runtime_data.controllers.get(subentry_id))
    ] or [
        controller
        for entry, node_id in async_find(call.hass, device_id, "node")
        for controller in loaded(entry).runtime_data.controllers.values()
        if controller.settings.site_node_id == node_id
    ]
    if not found:
        raise invalid("no_such_controller")
    # Two accounts may have the same site, and one of them MQTT access
    return next((its for its in found if its.policies is not None), found[0])


async def set_schedule(call: ServiceCall) -> ServiceResponse:
    """Give a controller schedules, and return what it calls them and which it has dropped for them."""
    schedules = []
    for number, told in enumerate(call.data.get(ATTR_SCHEDULES, [call.data]), start=1):
        for key in _NEEDED:
            if key not in told:
                raise invalid("schedule_incomplete", number=str(number), key=key)
        try:
            # Times without a zone are local
            start, end = map(dt_util.as_utc, (told[ATTR_START], told[ATTR_END]))
        except OverflowError as err:
            raise invalid("schedule_range", number=str(number)) from err
        limits = told.get(ATTR_IMPORT_LIMIT), told.get(ATTR_EXPORT_LIMIT)
        schedules.append(
            Schedule(told[ATTR_GROUP], told[ATTR_POLICY], start, end, *limits)
        )
    answer = await async_set_schedules(_controller(call), schedules)
    if not call.return_response:
        return None
    return {
        "schedule_ids": list(answer.schedule_ids),
        "replaced_ids": list(answer.deleted_ids),
    }


async def get_schedules(call: ServiceCall) -> ServiceResponse:
    """Return what a controller plans, the earliest first; what it does not say is missing."""
    controller = _controller(call)
    if controller.schedules is None:
        raise invalid("no_mqtt_access")
    with controller_asked():
        schedules = await controller.schedules.async_read()
    return {ATTR_SCHEDULES: [_shown(schedule) for schedule in schedules]}


def _shown(schedule: Schedule) -> JsonObjectType:
    return {
        key: value
        for key, value in {
            "id": schedule.id,
            ATTR_GROUP: schedule.group,
            ATTR_POLICY: schedule.policy,
            ATTR_START: schedule.start.isoformat(),
            ATTR_END: schedule.end.isoformat(),
            ATTR_IMPORT_LIMIT: schedule.import_limit,
            ATTR_EXPORT_LIMIT: schedule.export_limit,
        }.items()
        if value is not None
    }
