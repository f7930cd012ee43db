"""A controller as a whole: both ways at once, and what it tells of itself."""

from pytest_homeassistant_custom_component.typing import ClientSessionGenerator

from custom_components.eniris.data import EnirisConfigEntry
from homeassistant.core import HomeAssistant
from simulator.controller import SimulatedController
from tests.kit.controller import (
    WEBHOOK,
    Posting,
    add_controller,
    mqtt,
    post,
    seen,
    state_of,
)


async def test_both_ways(
    hass: HomeAssistant,
    entry: EnirisConfigEntry,
    controller: SimulatedController,
    hass_client_no_auth: ClientSessionGenerator,
) -> None:
    """What comes by either way is one value; the figures tell of both."""
    added = await add_controller(
        hass, entry, controller, webhook=WEBHOOK, mqtt=mqtt(controller)
    )
    webhook: Posting = await hass_client_no_auth()
    body = controller.webhook_body("type")
    await post(hass, webhook, {**body, "grid": {"active_power_W": 1}})
    assert float(state_of(hass, "sensor", "grid_power").state) == 1
    message = await controller.publish_live()
    await seen(lambda: added.live.messages == 2)
    power = message["fields"]["state"]["grid"]["active_power_W"]
    assert float(state_of(hass, "sensor", "grid_power").state) == power
    figures = added.figures()
    assert figures["is_live"] is True
    assert figures["broker_connected"] is True
    assert figures["schedules"] == 0
    await hass.config_entries.async_unload(entry.entry_id)
    assert (await webhook.post("/api/webhook/x")).status == 200
    await seen(lambda: controller.gate.connections == 0)
