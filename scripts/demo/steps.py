"""What a person would click to set the demo up, each step only if it has not been done before."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType
from typing import Any

from .errors import DemoError
from .home_assistant import UNREACHABLE, HomeAssistant
from .processes import Child

USER = "demo"
PASSWORD = "demo"
ACCOUNT = {"username": "demo@example.com", "password": "demo"}
CONTROLLER = "Home controller"
"""The controller's device."""

EXPORT = "Demo sensors"
COLLECTOR = "demo-ingress"
DATABASE = "demo"
RETENTION_POLICY = "rp_one_s"
MEASUREMENT = "demoMetrics"
TAGS = {"source": "home-assistant"}
EXPORTED = {
    "sensor.demo_p1_power": "actualPowerTot_W",
    "sensor.demo_p1_import": "importedAbsEnergyTot_Wh",
    "sensor.demo_boiler_temperature": "boilerTemperature_degC",
    "binary_sensor.demo_boiler_heating": "boilerHeating",
    "input_number.demo_setpoint": "powerSetpoint_W",
    "input_boolean.demo_away": "away",
}


async def wait_until_up(home: HomeAssistant, process: Child, patience: float) -> None:
    """Wait until Home Assistant answers."""
    try:
        async with asyncio.timeout(patience):
            while True:
                process.ensure_running()
                try:
                    await home.get("/manifest.json")
                except (*UNREACHABLE, DemoError):
                    await asyncio.sleep(0.25)
                else:
                    return
    except TimeoutError:
        raise DemoError(
            f"Home Assistant does not answer after {patience:.0f} s"
        ) from None


async def wait_until_running(
    home: HomeAssistant, process: Child, patience: float
) -> None:
    """Wait until Home Assistant has finished starting; log in first."""
    try:
        async with asyncio.timeout(patience):
            while (state := (await home.call("get_config"))["state"]) != "RUNNING":
                process.ensure_running()
                await asyncio.sleep(0.25)
    except TimeoutError:
        raise DemoError(f"Home Assistant is {state} after {patience:.0f} s") from None


async def onboard_or_log_in(home: HomeAssistant) -> None:
    """Make the owner's account and finish onboarding, or log in to it."""
    # Once onboarding is over, its address is gone
    steps = await home.get("/api/onboarding", missing_ok=True) or []
    todo = {step["step"] for step in steps if not step["done"]}
    if "user" in todo:
        answer = await home.post(
            "/api/onboarding/users",
            {
                "client_id": home.client_id,
                "name": "Demo",
                "username": USER,
                "password": PASSWORD,
                "language": "en",
            },
        )
        await home.take_code(answer["auth_code"])
        await set_location(home)
    else:
        await _log_in(home)
    if "analytics" in todo:
        await home.post("/api/onboarding/analytics", {})
    if "integration" in todo:
        await home.post(
            "/api/onboarding/integration",
            {"client_id": home.client_id, "redirect_uri": home.client_id},
        )


async def set_location(home: HomeAssistant) -> None:
    """Enter what onboarding asks for on its map."""
    await home.call(
        "config/core/update",
        location_name="Demo home",
        latitude=51.05,
        longitude=3.72,
        elevation=10,
        unit_system="metric",
        time_zone="Europe/Brussels",
        country="BE",
        currency="EUR",
        language="en",
    )


async def _log_in(home: HomeAssistant) -> None:
    flow = await home.post(
        "/auth/login_flow",
        {
            "client_id": home.client_id,
            "handler": ["homeassistant", None],
            "redirect_uri": home.client_id,
        },
    )
    answer = await home.post(
        f"/auth/login_flow/{flow['flow_id']}",
        {"client_id": home.client_id, "username": USER, "password": PASSWORD},
    )
    if answer["type"] != "create_entry":
        raise DemoError(f"Home Assistant refuses {USER}/{PASSWORD}; use --reset")
    await home.take_code(answer["result"])


async def ensure_entry(home: HomeAssistant, cloud: str) -> str:
    """Add the Eniris account and return the id of its entry."""
    entries = await home.call("config_entries/get", domain="eniris")
    if not entries:
        addresses = ("authentication_url", "api_url", "ingress_url")
        await walk(
            home,
            "/api/config/config_entries/flow",
            "eniris",
            {"user": {**ACCOUNT, "advanced": dict.fromkeys(addresses, cloud)}},
        )
        entries = await home.call("config_entries/get", domain="eniris")
    entry_id: str = entries[0]["entry_id"]
    return entry_id


async def ensure_loaded(home: HomeAssistant, patience: float) -> None:
    """Wait until the demo's account is set up, which is the first one."""
    entry: dict[str, Any] = {}
    with suppress(TimeoutError):
        async with asyncio.timeout(patience):
            while entry.get("state") not in {"loaded", "setup_error"}:
                await asyncio.sleep(0.25)
                entry, *_ = await home.call("config_entries/get", domain="eniris")
    if (state := entry.get("state")) != "loaded":
        raise DemoError(f"The Eniris entry is in state {state}: {entry.get('reason')}")


async def ensure_export(home: HomeAssistant, entry_id: str) -> None:
    """Export the demo's sensors."""
    exports = await home.call("config_entries/subentries/list", entry_id=entry_id)
    if any(item["subentry_type"] == "export" for item in exports):
        return
    await walk(
        home,
        "/api/config/config_entries/subentries/flow",
        [entry_id, "export"],
        {
            "user": {
                "name": EXPORT,
                "collector": COLLECTOR,
                "database": DATABASE,
                "retention_policy": RETENTION_POLICY,
                "measurement": MEASUREMENT,
                "tags": [f"{key}={value}" for key, value in TAGS.items()],
            },
            "entities": {"entities": list(EXPORTED)},
            "fields": by_name(await home.call("get_states"), EXPORTED),
        },
        {"when": "change", "trial": "write"},
    )


def by_name(
    states: Iterable[Mapping[str, Any]], by_entity: Mapping[str, str]
) -> dict[str, str]:
    """Return what is said of entities by their names, which forms call them by."""
    names = {
        state["entity_id"]: state["attributes"].get(
            "friendly_name", state["entity_id"].partition(".")[2].replace("_", " ")
        )
        for state in states
    }
    return {names.get(id_, id_): said for id_, said in by_entity.items()}


async def walk(
    home: HomeAssistant,
    path: str,
    handler: str | list[str],
    answers: Mapping[str, Mapping[str, Any]],
    choices: Mapping[str, str | Sequence[str]] = MappingProxyType({}),
) -> None:
    """Go through a flow: choose from its menus, and fill in what its forms ask for.

    A menu that comes again and again needs several choices, the one that is to come first being the first.
    """
    flow = await home.post(path, {"handler": handler, "show_advanced_options": True})
    been: set[str] = set()
    left = {
        step: [choice] if isinstance(choice, str) else list(choice)
        for step, choice in choices.items()
    }
    while flow["type"] in {"form", "menu"}:
        step = flow["step_id"]
        address = f"{path}/{flow['flow_id']}"
        if flow["type"] == "menu":
            options = flow["menu_options"]
            choices_left = left.get(step, options if len(options) == 1 else [])
            choice = next(iter(choices_left), None)
            lost = choice not in flow["menu_options"]
        else:
            lost = step in been
        if lost or flow.get("errors"):
            await home.delete(address)
            told = flow.get("errors") or flow.get("description_placeholders")
            raise DemoError(f"The flow {handler} stopped at its step {step}: {told}")
        if flow["type"] == "menu":
            reply = {"next_step_id": choice}
            del choices_left[:1]
        else:
            been.add(step)
            reply = _fill_in(flow, answers.get(step, {}))
        flow = await home.post(address, reply)
    if flow["type"] != "create_entry":
        raise DemoError(
            f"The flow {handler} ended with {flow['type']}: {flow.get('reason')}"
        )


def _fill_in(form: Mapping[str, Any], answers: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a browser would send: the answers, and for the rest what the form suggests."""
    filled: dict[str, Any] = {}
    for field in form["data_schema"]:
        name = field["name"]
        suggested = (field.get("description") or {}).get("suggested_value")
        value = answers.get(name, field.get("default", suggested))
        if value is not None:
            filled[name] = value
        elif field.get("required"):
            raise DemoError(f"The form {form['step_id']} asks for more: {name}")
    return filled


async def imported(home: HomeAssistant) -> dict[str, list[str]]:
    """Return the entities of the integration that are enabled, by the name of their device."""
    devices = {
        device["id"]: device["name_by_user"] or device["name"] or device["id"]
        for device in await home.call("config/device_registry/list")
    }
    by_device: dict[str, list[str]] = {}
    for entity in await home.call("config/entity_registry/list"):
        if entity["platform"] == "eniris" and entity["disabled_by"] is None:
            name = devices.get(entity["device_id"], "Eniris")
            by_device.setdefault(name, []).append(entity["entity_id"])
    return {name: sorted(by_device[name]) for name in sorted(by_device)}
