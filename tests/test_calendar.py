"""The calendar of a controller: its schedules, and events as new ones."""

from typing import Any

import pytest

from custom_components.eniris.controller.controller import Controller
from homeassistant.const import ATTR_ENTITY_ID
from homeassistant.core import HomeAssistant
from homeassistant.exceptions import ServiceValidationError
from simulator.controller import SimulatedController
from tests.kit.common import settle
from tests.kit.controller import (
    HOUR,
    answer,
    call,
    entity_id,
    now,
    schedule,
    seen,
    state_of,
)


async def test_events(
    hass: HomeAssistant, with_mqtt: Controller, controller: SimulatedController
) -> None:
    """A schedule is an event: the policy is its title, group and limits are its description."""
    await call(hass, "set_schedule", **schedule())
    await settle(hass)
    events: Any = await hass.services.async_call(
        "calendar",
        "get_events",
        {
            ATTR_ENTITY_ID: entity_id(hass, "calendar", "schedules"),
            "start_date_time": now().isoformat(),
            "end_date_time": (now() + 3 * HOUR).isoformat(),
        },
        blocking=True,
        return_response=True,
    )
    ((event,),) = (its["events"] for its in events.values())
    assert event["summary"] == "cost"
    assert event["description"] == "storage, import 5000 W, export 3000 W"


async def test_calendar_event(
    hass: HomeAssistant, with_mqtt: Controller, controller: SimulatedController
) -> None:
    """An event is a schedule: the title is the policy, the description has group and limits."""

    async def create(**data: Any) -> None:
        await hass.services.async_call(
            "calendar",
            "create_event",
            {
                ATTR_ENTITY_ID: entity_id(hass, "calendar", "schedules"),
                "summary": "feed-in-restriction",
                "start_date_time": (now() + HOUR).isoformat(),
                "end_date_time": (now() + 2 * HOUR).isoformat(),
                **data,
            },
            blocking=True,
        )

    with pytest.raises(ServiceValidationError) as caught:
        await create(description="import 5 kW, export 0 W")
    assert caught.value.translation_key == "which_group"
    with pytest.raises(ServiceValidationError) as caught:
        await create(description="Solar: import 5.000 W, export 0 W")
    assert caught.value.translation_key == "limits_unreadable"
    await create(description="Solar: import 5.5 kW", location="export: 0 W")
    assert with_mqtt.schedules is not None
    (planned,) = with_mqtt.schedules.planned
    assert planned.group == "solar"
    assert planned.import_limit == 5500
    assert planned.export_limit == 0
    assert planned.policy == "feed-in-restriction"


async def test_without_end(
    hass: HomeAssistant, with_mqtt: Controller, controller: SimulatedController
) -> None:
    """A schedule that ends with the calendar is shown in zones that are ahead, too, and the connection survives it."""
    await hass.config.async_set_time_zone("Europe/Brussels")
    controller.behaviour.answers = "silent"
    before = controller.counts["get_future_schedules"]
    asked = hass.async_create_task(call(hass, "get_schedules"))
    await seen(lambda: controller.counts["get_future_schedules"] > before)
    told = {
        "device_type": "storage",
        "policy": "cost",
        "start_time": now().timestamp(),
        "end_time": 253_402_300_799,
        "site_import": 1e300,
    }
    await answer(controller, "get_future_schedules", schedules=[told])
    await seen(asked.done)
    assert len((await asked)["schedules"]) == 1
    await settle(hass)
    assert state_of(hass, "calendar", "schedules").state == "on"
    assert state_of(hass, "number", "import_limit").state == "unknown"
    await controller.gate.drop()
    await seen(lambda: with_mqtt.figures()["broker_connections"] == 2)
