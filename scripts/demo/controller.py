"""The demo's controller: its subentry, and what it is told to do."""

import asyncio
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from simulator.world import HomeWorld

from .cloud import Cloud
from .errors import DemoError
from .home_assistant import HomeAssistant
from .steps import walk

_FLOW = "/api/config/config_entries/subentries/flow"
_PERIOD = 5
"""Seconds between two posts."""

_ZONE = ZoneInfo("Europe/Brussels")


async def ensure_controller(home: HomeAssistant, cloud: Cloud, entry_id: str) -> None:
    """Add the controller, and have the simulator's post to its webhook, of which that forgets each time."""
    if await _subentry_id(home, entry_id) is None:
        simulated = await cloud.get("controller")
        keys = ("host", "port", "username", "password")
        await add_controller(home, entry_id, {key: simulated[key] for key in keys})
    url, token = await webhook_of(home, entry_id)
    await cloud.put("controller/webhook", url=url, token=token, period=_PERIOD)


async def add_controller(
    home: HomeAssistant, entry_id: str, mqtt: Mapping[str, Any]
) -> None:
    """Add the controller of the home, with a webhook and MQTT access."""
    await home.call("config/core/update", internal_url=home.base)
    await walk(
        home,
        _FLOW,
        [entry_id, "controller"],
        {
            "user": {"site_node_id": HomeWorld.SITE},
            "webhook": {"period": _PERIOD},
            "mqtt": mqtt,
        },
        {"set_up": ("webhook", "mqtt")},
    )


async def webhook_of(home: HomeAssistant, entry_id: str) -> tuple[str, str]:
    """Return the address and the token of the controller's webhook."""
    subentry_id = await _subentry_id(home, entry_id)
    flow = await home.post(
        _FLOW, {"handler": [entry_id, "controller"], "subentry_id": subentry_id}
    )
    form = await home.post(f"{_FLOW}/{flow['flow_id']}", {"next_step_id": "webhook"})
    await home.delete(f"{_FLOW}/{flow['flow_id']}")
    shown = form["description_placeholders"]
    return shown["internal"], shown["token"]


async def ensure_schedule(home: HomeAssistant, cloud: Cloud, patience: float) -> None:
    """Have the battery charged tonight, unless something is planned already."""
    entities = await entity_ids(home, patience)
    if (await cloud.get("controller"))["schedules"]:
        return
    tomorrow = datetime.now(_ZONE).date() + timedelta(days=1)
    night = datetime.combine(tomorrow, datetime.min.time(), _ZONE)
    await home.post(
        "/api/services/eniris/set_schedule",
        {
            "device_id": await _device_id(home, entities["calendar"]),
            "group": "storage",
            "policy": "cost",
            "start": (night + timedelta(hours=2)).isoformat(),
            "end": (night + timedelta(hours=5)).isoformat(),
            "import_limit": 6_000,
            "export_limit": 10_000,
        },
    )


async def entity_ids(home: HomeAssistant, patience: float) -> dict[str, str]:
    """Return the entities that the demo shows, once all have a value; DemoError if they do not."""
    ids = {
        "grid": "sensor.home_controller_grid_power",
        "storage": "sensor.home_controller_storage_power",
        "live": "binary_sensor.home_controller_live_connection",
        "calendar": "calendar.home_controller_schedules",
        "policy": "select.home_controller_storage_policy",
    }
    missing: list[str] = []
    try:
        async with asyncio.timeout(patience):
            while True:
                states = await states_of(home)
                missing = [
                    entity_id
                    for entity_id in ids.values()
                    if states.get(entity_id, {}).get("state")
                    in (None, "unavailable", "unknown")
                ]
                if not missing:
                    return ids
                await asyncio.sleep(0.5)
    except TimeoutError:
        raise DemoError(
            f"Of the controller there is missing: {', '.join(missing)}"
        ) from None


async def states_of(home: HomeAssistant) -> dict[str, Any]:
    """Return all states by entity id."""
    return {state["entity_id"]: state for state in await home.get("/api/states")}


async def _subentry_id(home: HomeAssistant, entry_id: str) -> str | None:
    subentries = await home.call("config_entries/subentries/list", entry_id=entry_id)
    for subentry in subentries:
        if subentry["subentry_type"] == "controller":
            found: str = subentry["subentry_id"]
            return found
    return None


async def _device_id(home: HomeAssistant, entity_id: str) -> str:
    for entity in await home.call("config/entity_registry/list"):
        if entity["entity_id"] == entity_id:
            found: str = entity["device_id"]
            return found
    raise DemoError(f"There is no {entity_id}")
