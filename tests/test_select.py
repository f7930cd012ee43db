"""Policies: what is chosen is held, and what is shown is what the controller has acknowledged."""

from datetime import timedelta

import pytest

from custom_components.eniris.controller.controller import Controller
from homeassistant.core import HomeAssistant
from homeassistant.exceptions import HomeAssistantError, ServiceValidationError
from simulator.controller import SimulatedController
from tests.kit.controller import now, select, set_limit, state_of


async def test_policy(
    hass: HomeAssistant, with_mqtt: Controller, controller: SimulatedController
) -> None:
    """A chosen policy is a schedule of a quarter of an hour; letting go ends it within a minute."""
    assert state_of(hass, "select", "storage_policy").state == "controller_decides"
    with pytest.raises(ServiceValidationError):
        await select(hass, "cost")
    await set_limit(hass, "import_limit", 4000)
    await set_limit(hass, "export_limit", 2000)
    assert state_of(hass, "number", "import_limit").state == "unknown"
    await select(hass, "cost")
    assert state_of(hass, "select", "storage_policy").state == "cost"
    assert float(state_of(hass, "number", "import_limit").state) == 4000
    assert with_mqtt.schedules is not None
    (held,) = with_mqtt.schedules.planned
    assert held.end - held.start == timedelta(minutes=15)
    await set_limit(hass, "import_limit", 3000)
    assert float(state_of(hass, "number", "import_limit").state) == 3000
    await select(hass, "controller_decides")
    (last,) = with_mqtt.schedules.planned
    assert last.end - now() <= timedelta(minutes=1)
    # Until then it is what the controller has acknowledged
    assert state_of(hass, "select", "storage_policy").state == "cost"
    assert controller.counts["wrong"] == 0


async def test_refused_policy(
    hass: HomeAssistant, with_mqtt: Controller, controller: SimulatedController
) -> None:
    """What the controller refuses is not shown."""
    await set_limit(hass, "import_limit", 4000)
    await set_limit(hass, "export_limit", 2000)
    controller.behaviour.answers = "refuse"
    with pytest.raises(HomeAssistantError):
        await select(hass, "cost")
    assert state_of(hass, "select", "storage_policy").state == "controller_decides"
    assert with_mqtt.figures()["policies_held"] == 0
    controller.behaviour.answers = "right"
    await select(hass, "cost")
    assert state_of(hass, "select", "storage_policy").state == "cost"
