"""The Energy dashboard, set up with the entities of the simulator's home."""

from typing import Any

from freezegun.api import FrozenDateTimeFactory
import pytest
from pytest_homeassistant_custom_component.components.recorder.common import (
    async_wait_recording_done,
    do_adhoc_statistics,
)
from pytest_homeassistant_custom_component.typing import WebSocketGenerator

from homeassistant.components.recorder.core import Recorder
from homeassistant.const import MAJOR_VERSION
from homeassistant.core import HomeAssistant
from homeassistant.setup import async_setup_component
from simulator.world import HomeWorld
from tests.kit.common import POLL, advance_in_polls, entity_id_of, set_up_frozen

SITE = HomeWorld.SITE
EV = HomeWorld.EV_CHARGER
BATTERY = HomeWorld.BATTERY

COUNTERS = {
    "import": (HomeWorld.GRID_METER, "importedAbsEnergyTot_Wh"),
    "export": (HomeWorld.GRID_METER, "exportedAbsEnergyTot_Wh"),
    "solar": (HomeWorld.STRING_EAST, "producedAbsEnergyTot_Wh"),
    "charged": (BATTERY, "chargedAbsEnergyTot_Wh"),
    "discharged": (BATTERY, "dischargedAbsEnergyTot_Wh"),
    "car": (EV, "importedAbsEnergyTot_Wh"),
}
SUMS = {
    "import": (SITE, "importedEnergyDeltaTot_Wh"),
    "export": (SITE, "exportedEnergyDeltaTot_Wh"),
    "solar": (SITE, "producedEnergyDeltaTot_Wh"),
    "charged": (SITE, "childrenStorageChargedEnergyDeltaTot_Wh"),
    "discharged": (SITE, "childrenStorageDischargedEnergyDeltaTot_Wh"),
    "car": (EV, "importedAbsEnergyTot_Wh"),
}


def preferences(ids: dict[str, str], power: dict[str, str]) -> dict[str, Any]:
    """Return what the dashboard's dialogs save, in the form of the Home Assistant at hand."""
    price = {"stat_cost": None, "entity_energy_price": None, "number_energy_price": 0.3}
    grid: dict[str, Any]
    if MAJOR_VERSION >= 2026:
        grid = {
            **price,
            "type": "grid",
            "stat_energy_from": ids["import"],
            "stat_energy_to": ids["export"],
            "stat_compensation": None,
            "entity_energy_price_export": None,
            "number_energy_price_export": 0.05,
            "cost_adjustment_day": 0,
            "stat_rate": power["grid"],
        }
    else:
        back = {"stat_compensation": None} | {
            key: value for key, value in price.items() if key != "stat_cost"
        }
        grid = {
            "type": "grid",
            "flow_from": [{**price, "stat_energy_from": ids["import"]}],
            "flow_to": [{**back, "stat_energy_to": ids["export"]}],
            "cost_adjustment_day": 0,
        }
    return {
        "energy_sources": [
            grid,
            {
                "type": "solar",
                "stat_energy_from": ids["solar"],
                "config_entry_solar_forecast": None,
            },
            {
                "type": "battery",
                "stat_energy_from": ids["discharged"],
                "stat_energy_to": ids["charged"],
            },
        ],
        "device_consumption": [{"stat_consumption": ids["car"]}],
    }


@pytest.mark.parametrize("fields", [COUNTERS, SUMS], ids=["counters", "sums"])
async def test_validation(
    recorder_mock: Recorder,
    hass: HomeAssistant,
    hass_ws_client: WebSocketGenerator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
    fields: dict[str, tuple[str, str]],
) -> None:
    """Home Assistant has nothing to say against grid, solar, battery and car."""
    assert await async_setup_component(hass, "energy", {})
    assert await async_setup_component(hass, "sensor", {})
    entry = await set_up_frozen(hass, freezer, user_input, None)
    # Statistics are made of five minutes that are over
    await advance_in_polls(hass, freezer, 10 * POLL)
    await async_wait_recording_done(hass)
    do_adhoc_statistics(hass)
    await async_wait_recording_done(hass)
    ids = {
        role: entity_id_of(hass, entry, node_id, field)
        for role, (node_id, field) in fields.items()
    }
    power = {"grid": entity_id_of(hass, entry, SITE, "actualPowerTot_W")}

    client = await hass_ws_client(hass)
    wanted = preferences(ids, power)
    await client.send_json_auto_id({"type": "energy/save_prefs"} | wanted)
    saved = await client.receive_json()
    assert saved["success"], saved
    await hass.async_block_till_done()
    await client.send_json_auto_id({"type": "energy/validate"})
    told = (await client.receive_json())["result"]
    # One list for each thing that was set up, so that an empty answer does not pass for a good one
    assert [len(told["energy_sources"]), len(told["device_consumption"])] == [3, 1]
    assert not any(told["energy_sources"]), told
    assert not any(told["device_consumption"]), told
