"""Sensors of what a controller pushes: which there are, where, and what they show."""

from http import HTTPStatus
import json
from typing import Any

import pytest

from custom_components.eniris.data import EnirisConfigEntry
from homeassistant.const import STATE_ON
from homeassistant.core import HomeAssistant
from homeassistant.helpers import device_registry as dr, entity_registry as er
from simulator.controller import SimulatedController
from tests.kit.common import settle
from tests.kit.controller import Posting, entity_id, post, state_of


async def test_values(
    hass: HomeAssistant, webhook: Posting, controller: SimulatedController
) -> None:
    """What is posted is the state of a sensor, in telemetry's units and signs."""
    body = controller.webhook_body("type")
    assert await post(hass, webhook, body) == HTTPStatus.OK
    grid = state_of(hass, "sensor", "grid_power")
    assert float(grid.state) == pytest.approx(body["grid"]["active_power_W"])
    assert grid.attributes["unit_of_measurement"] == "W"
    charge = state_of(hass, "sensor", "storage_state_of_charge")
    assert float(charge.state) == pytest.approx(body["storage"]["mean_soc_perc"])
    assert charge.attributes["unit_of_measurement"] == "%"
    today = state_of(hass, "sensor", "today_imported_energy")
    energy = body["grid"]["today_imported_energy_Wh"]
    assert float(today.state) == pytest.approx(energy / 1000)
    assert today.attributes["state_class"] == "total_increasing"
    modes = state_of(hass, "sensor", "operation_modes")
    # It does what the hour asks for
    (mode,) = body["heat_pump"]["operation_modes"]
    assert modes.state == mode.lower()
    assert state_of(hass, "binary_sensor", "live_connection").state == STATE_ON


async def test_device(
    hass: HomeAssistant, webhook: Posting, controller: SimulatedController
) -> None:
    """The controller is a device below the account, with its serial number."""
    await post(hass, webhook, controller.webhook_body("type"))
    found = er.async_get(hass).async_get(entity_id(hass, "sensor", "grid_power"))
    assert found is not None
    assert found.device_id is not None
    device = dr.async_get(hass).async_get(found.device_id)
    assert device is not None
    assert device.serial_number == controller.serial
    assert device.via_device_id is not None


@pytest.mark.parametrize("layout", ["list", "object", "beside"])
async def test_device_level(
    hass: HomeAssistant, webhook: Posting, controller: SimulatedController, layout: Any
) -> None:
    """The values of a node are on the node's own device, however the body holds them."""
    controller.behaviour.layout = layout
    assert await post(hass, webhook, controller.webhook_body("device")) == HTTPStatus.OK
    registry = er.async_get(hass)
    live = [
        its
        for its in registry.entities.values()
        if its.platform == "eniris" and its.translation_key == "live_power"
    ]
    devices = dr.async_get(hass)
    names = set()
    for found in live:
        device = devices.async_get(found.device_id or "")
        assert device is not None
        names.add(device.name)
    assert {"Battery", "Grid meter", "Heat pump"} <= names


async def test_bad_values(
    hass: HomeAssistant, webhook: Posting, controller: SimulatedController
) -> None:
    """A value that cannot be one costs itself alone."""
    body = controller.webhook_body("type")
    body["grid"] |= {
        "active_power_W": "much",
        "import_limit_W": None,
        "today_exported_energy_Wh": "5000",
        "#": 1,
        "": 2,
        "x" * 101: 3,
        "\ud800_W": 4,
        "deep": {"deeper": [1]},
    }
    body["\n"] = {"active_power_W": 5}
    body["wind"] = {"active_power_W": 6}
    body["solar"] = "bright"
    text = json.dumps(body).replace(
        f'"energy_capacity_Wh": {body["storage"]["energy_capacity_Wh"]}',
        '"energy_capacity_Wh": NaN',
    )
    assert "NaN" in text
    assert await post(hass, webhook, text.encode()) == HTTPStatus.OK
    registry = er.async_get(hass)
    ids = {
        its.unique_id.split("#", 2)[-1]
        for its in registry.entities.values()
        if "#" in its.unique_id
    }
    assert "grid#today_exported_energy_Wh" in ids
    assert "wind#active_power_W" in ids
    assert not ids & {
        "grid#active_power_W",
        "grid#import_limit_W",
        "storage#energy_capacity_Wh",
        "solar#active_power_W",
    }
    assert not any("x" * 101 in its or "\n" in its for its in ids)
    assert float(state_of(hass, "sensor", "today_exported_energy").state) == 5
    (wind,) = (its for its in registry.entities.values() if "wind#" in its.unique_id)
    assert wind.disabled
    assert wind.original_name == "Wind active power"


async def test_post_during_an_unload(
    hass: HomeAssistant,
    entry: EnirisConfigEntry,
    webhook: Posting,
    controller: SimulatedController,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is posted while an account is unloaded makes no entity that nobody removes."""
    unload = hass.config_entries.async_unload_platforms
    body = {**controller.webhook_body("type"), "grid": {"active_power_W": 1}}

    async def then_post(*args: Any) -> bool:
        is_unloaded = await unload(*args)
        await post(hass, webhook, body)
        return is_unloaded

    monkeypatch.setattr(hass.config_entries, "async_unload_platforms", then_post)
    await hass.config_entries.async_unload(entry.entry_id)
    await settle(hass)
    assert "sensor.home_controller_grid_power" not in hass.states.async_entity_ids()
