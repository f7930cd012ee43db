"""Limits: what goes with a policy, and what the controller has acknowledged."""

import pytest

from custom_components.eniris.controller.controller import Controller
from custom_components.eniris.data import EnirisConfigEntry
from homeassistant.core import HomeAssistant
from homeassistant.exceptions import HomeAssistantError
from simulator.controller import SimulatedController
from tests.kit.common import settle
from tests.kit.controller import seen, select, set_limit, state_of


async def test_refused(
    hass: HomeAssistant, with_mqtt: Controller, controller: SimulatedController
) -> None:
    """A limit that the controller refuses is neither shown nor kept."""
    await set_limit(hass, "import_limit", 4000)
    await set_limit(hass, "export_limit", 2000)
    await select(hass, "cost")
    controller.behaviour.answers = "refuse"
    with pytest.raises(HomeAssistantError):
        await set_limit(hass, "import_limit", 1)
    state = state_of(hass, "number", "import_limit")
    assert float(state.state) == 4000
    assert state.attributes["wanted"] == 4000


async def test_restored(
    hass: HomeAssistant,
    entry: EnirisConfigEntry,
    with_mqtt: Controller,
    controller: SimulatedController,
) -> None:
    """What was set is there after a reload, and goes with the next policy; the policy itself is not held any more."""
    await set_limit(hass, "import_limit", 4000)
    await set_limit(hass, "export_limit", 2000)
    await select(hass, "cost")
    await hass.config_entries.async_reload(entry.entry_id)
    (again,) = entry.runtime_data.controllers.values()
    await seen(lambda: bool(again.schedules and again.schedules.is_known))
    await settle(hass)
    assert again.wanted_limits == {"import_limit": 4000, "export_limit": 2000}
    # The controller has told what is in force
    assert state_of(hass, "select", "storage_policy").state == "cost"
