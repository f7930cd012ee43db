"""What entities and actions do to schedules."""

import pytest

from custom_components.eniris.controller.controller import Controller
from homeassistant.core import HomeAssistant
from homeassistant.exceptions import ServiceValidationError
from simulator.controller import SimulatedController
from tests.kit.controller import call, schedule, seen


async def test_limits(
    hass: HomeAssistant, with_mqtt: Controller, controller: SimulatedController
) -> None:
    """Limits are never made up: those that are not given are what the controller tells of the present."""
    without = schedule()
    del without["import_limit"], without["export_limit"]
    with pytest.raises(ServiceValidationError) as caught:
        await call(hass, "set_schedule", **without)
    assert caught.value.translation_key == "limits_unknown"
    message = await controller.publish_live()
    await seen(lambda: with_mqtt.live.messages == 1)
    await call(hass, "set_schedule", **without)
    (one,) = (await call(hass, "get_schedules"))["schedules"]
    assert one["import_limit"] == message["fields"]["state"]["grid"]["import_limit_W"]
