"""What entities and actions do to schedules, with errors in the user's words."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from homeassistant.util import dt as dt_util

from .controller.control import ANSWER_WITHIN
from .controller.controller import Controller
from .controller.errors import (
    NotAcknowledgedError,
    NotConnectedError,
    ScheduleRefusedError,
)
from .controller.message import LiveKey
from .controller.policies import Limits
from .controller.schedules import Acknowledgement, Schedule
from .errors import failed, invalid


@contextmanager
def controller_asked() -> Iterator[None]:
    """Tell in the user's words why a controller did not do as it was asked."""
    try:
        yield
    except NotConnectedError as err:
        raise failed("broker_not_connected") from err
    except NotAcknowledgedError as err:
        seconds = f"{ANSWER_WITHIN.total_seconds():.0f}"
        raise failed("not_acknowledged", seconds=seconds) from err
    except ScheduleRefusedError as err:
        raise failed("schedule_refused", error=str(err)) from err


async def async_set_schedules(
    controller: Controller, schedules: Iterable[Schedule]
) -> Acknowledgement:
    """Give a controller schedules; limits that they lack are those that hold otherwise.

    Raises `ServiceValidationError` for what cannot be sent, and `HomeAssistantError` where it was not acknowledged.
    """
    if controller.schedules is None:
        raise invalid("no_mqtt_access")
    complete = []
    for number, schedule in enumerate(schedules, start=1):
        start, end = (
            time.replace(microsecond=0) for time in (schedule.start, schedule.end)
        )
        if not start < end or end <= dt_util.utcnow():
            raise invalid("schedule_range", number=str(number))
        limits = complete_limits(
            controller, schedule.import_limit, schedule.export_limit
        )
        complete.append(schedule._replace(start=start, end=end, **limits._asdict()))
    with controller_asked():
        return await controller.schedules.async_set(complete)


def complete_limits(
    controller: Controller, import_limit: int | None, export_limit: int | None
) -> Limits:
    """Return both limits: what is not given is what was set here, else what the controller tells of the present.

    Raises `ServiceValidationError` where nobody knows; a limit is never made up.
    """
    limits = []
    for name, given in (("import_limit", import_limit), ("export_limit", export_limit)):
        for limit in (
            given,
            controller.wanted_limits.get(name),
            controller.live.value(LiveKey("grid", f"{name}_W")),
        ):
            if isinstance(limit, int | float) and limit >= 0:
                limits.append(round(limit))
                break
        else:
            raise invalid("limits_unknown")
    return Limits(*limits)
