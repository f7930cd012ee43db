"""The demo's Energy dashboard: grid with its prices, sun, battery, and what single devices draw."""

import asyncio
from typing import Any

from homeassistant.const import MAJOR_VERSION
from simulator.world import HomeWorld

from .errors import DemoError
from .home_assistant import HomeAssistant

GRID = HomeWorld.GRID_METER
BATTERY = HomeWorld.BATTERY

FIELDS = {
    "import": (GRID, "importedAbsEnergyTot_Wh"),
    "export": (GRID, "exportedAbsEnergyTot_Wh"),
    "price": (GRID, "buyPrice_perkWh"),
    "feed_in_price": (GRID, "sellPrice_perkWh"),
    "sun_east": (HomeWorld.STRING_EAST, "producedAbsEnergyTot_Wh"),
    "sun_west": (HomeWorld.STRING_WEST, "producedAbsEnergyTot_Wh"),
    "charged": (BATTERY, "chargedAbsEnergyTot_Wh"),
    "discharged": (BATTERY, "dischargedAbsEnergyTot_Wh"),
    "car": (HomeWorld.EV_CHARGER, "importedAbsEnergyTot_Wh"),
    "heat_pump": (HomeWorld.HEAT_PUMP, "consumedAbsEnergyTot_Wh"),
    "kitchen": (HomeWorld.KITCHEN_METER, "importedAbsEnergyTot_Wh"),
    "grid_power": (GRID, "actualPowerTot_W"),
    "sun_east_power": (HomeWorld.STRING_EAST, "actualPowerTot_W"),
    "sun_west_power": (HomeWorld.STRING_WEST, "actualPowerTot_W"),
    "battery_power": (BATTERY, "actualPowerTot_W"),
    "car_power": (HomeWorld.EV_CHARGER, "actualPowerTot_W"),
    "heat_pump_power": (HomeWorld.HEAT_PUMP, "actualPowerTot_W"),
    "kitchen_power": (HomeWorld.KITCHEN_METER, "actualPowerTot_W"),
}
DEVICES = {"car": "Car", "heat_pump": "Heat pump", "kitchen": "Kitchen"}


async def ensure_energy(home: HomeAssistant, patience: float) -> None:
    """Set the Energy dashboard up, as its dialogs would; raises `DemoError` for what it finds wrong with that."""
    if await _is_set_up(home):
        return
    ids: dict[str, str] = {}
    try:
        async with asyncio.timeout(patience):
            while ids.keys() != FIELDS.keys():
                await asyncio.sleep(0.5)
                ids = await _entity_ids(home)
    except TimeoutError:
        missing = ", ".join(sorted(FIELDS.keys() - ids.keys()))
        raise DemoError(
            f"For the Energy dashboard there is missing: {missing}"
        ) from None
    await home.call("energy/save_prefs", **preferences(ids))
    if problems := await _problems(home):
        raise DemoError(f"Home Assistant refuses the Energy dashboard: {problems}")


async def _is_set_up(home: HomeAssistant) -> bool:
    try:
        prefs = await home.call("energy/get_prefs")
    except DemoError:
        # Before anything was saved this is an error
        return False
    return bool(prefs["energy_sources"])


async def _entity_ids(home: HomeAssistant) -> dict[str, str]:
    """Return the entities of the fields, as far as they are there."""
    entities = {
        entity["unique_id"]: entity["entity_id"]
        for entity in await home.call("config/entity_registry/list")
        if entity["platform"] == "eniris"
    }
    return {
        role: entity_id
        for role, (node_id, field) in FIELDS.items()
        for unique_id, entity_id in entities.items()
        if f"_{node_id}_" in unique_id and unique_id.endswith(f"_{field}")
    }


def preferences(ids: dict[str, str]) -> dict[str, Any]:
    """Return what is saved, in the form of the Home Assistant at hand; older ones show no power."""
    bought = {"stat_energy_from": ids["import"], "entity_energy_price": ids["price"]}
    unknown = {"stat_cost": None, "number_energy_price": None}
    grid: dict[str, Any]
    power: dict[str, dict[str, Any]] = {}
    if MAJOR_VERSION >= 2026:
        power = {
            role: {"stat_rate": ids[f"{role}_power"]}
            for role in ("sun_east", "sun_west", *DEVICES)
        }
        # There a battery's power is positive while it is discharged
        power["battery"] = {
            "power_config": {"stat_rate_inverted": ids["battery_power"]}
        }
        grid = {
            "type": "grid",
            "power_config": {"stat_rate": ids["grid_power"]},
            **bought,
            **unknown,
            "stat_energy_to": ids["export"],
            "stat_compensation": None,
            "entity_energy_price_export": ids["feed_in_price"],
            "number_energy_price_export": None,
            "cost_adjustment_day": 0,
        }
    else:
        sold = {
            "stat_energy_to": ids["export"],
            "stat_compensation": None,
            "entity_energy_price": ids["feed_in_price"],
            "number_energy_price": None,
        }
        grid = {
            "type": "grid",
            "flow_from": [{**bought, **unknown}],
            "flow_to": [sold],
            "cost_adjustment_day": 0,
        }
    sun = [
        {
            "type": "solar",
            "stat_energy_from": ids[role],
            "config_entry_solar_forecast": None,
            **power.get(role, {}),
        }
        for role in ("sun_east", "sun_west")
    ]
    battery = {
        "type": "battery",
        "stat_energy_from": ids["discharged"],
        "stat_energy_to": ids["charged"],
        **power.get("battery", {}),
    }
    return {
        "energy_sources": [grid, *sun, battery],
        "device_consumption": [
            {"stat_consumption": ids[role], "name": name, **power.get(role, {})}
            for role, name in DEVICES.items()
        ],
    }


async def _problems(home: HomeAssistant) -> list[Any]:
    """Return what Home Assistant finds wrong with the dashboard.

    That there are no statistics yet is nothing: they come with the recorder's next five minutes.
    """
    told = await home.call("energy/validate")
    return [
        problem
        for group in (told["energy_sources"], told["device_consumption"])
        for problems in group
        for problem in problems
        if problem["type"] != "statistics_not_defined"
    ]
