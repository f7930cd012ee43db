"""System health: what the page shows of all accounts."""

from inspect import isawaitable
from typing import Any
from unittest.mock import Mock

import pytest
from pytest_homeassistant_custom_component.typing import WebSocketGenerator

from custom_components.eniris.const import DOMAIN
from custom_components.eniris.controller.controller import Controller
from custom_components.eniris.system_health import async_register
from homeassistant.core import HomeAssistant
from homeassistant.setup import async_setup_component
from simulator.controller import SimulatedController
from simulator.world import HomeWorld

from .kit.controller import seen
from .kit.exports import POWER, Home, MeterWorld, home_with_account
from .kit.shown import ENGLISH


@pytest.fixture
def world(request: pytest.FixtureRequest) -> Any:
    """Return the small world, or another one."""
    return getattr(request, "param", MeterWorld)()


async def shown(hass: HomeAssistant, clients: WebSocketGenerator) -> dict[str, Any]:
    """Return what the page shows, once all of it is there."""
    assert await async_setup_component(hass, "system_health", {})
    client = await clients(hass)
    await client.send_json_auto_id({"type": "system_health/info"})
    assert (await client.receive_json())["success"]
    info: dict[str, Any] = {}
    while (event := (await client.receive_json())["event"])["type"] != "finish":
        if event["type"] == "initial":
            info = dict(event["data"][DOMAIN]["info"])
        elif event["domain"] == DOMAIN:
            info[event["key"]] = event["data"]
    return info


async def test_all_is_well(home: Home, hass_ws_client: WebSocketGenerator) -> None:
    """Hosts that answer, a budget, and nothing that waits; every line has its words."""
    home.simulator.tier = "basic"
    await home.wait(120, step=60)
    info = await shown(home.hass, hass_ws_client)
    pace = home.entry.runtime_data.telemetry.pace
    assert pace.cost is not None
    assert info == {
        "accounts": 1,
        "accounts_running": 1,
        "authentication": "ok",
        "api": "ok",
        "ingress": "ok",
        "budget_left": f"{6000 - pace.cost:g} / 6000",
        "cost_per_minute": f"{pace.cost:.3g}",
        "problems": 0,
        "controllers": 0,
        "controllers_live": 0,
        "waiting": 0,
    }
    assert set(info) == set(ENGLISH["system_health"]["info"])


@pytest.mark.expected_log("fetching Eniris")
async def test_outage(home: Home, hass_ws_client: WebSocketGenerator) -> None:
    """No host that answers, and values that wait, what actions have pushed included."""
    await home.add_export({home.add_power(): "actualPowerTot_W"})
    home.simulator.faults.add("*", "drop")
    home.hass.states.async_set(POWER, "2", {"unit_of_measurement": "kW"})
    point = {
        "measurement": "gridMetrics",
        "tags": {"serialNr": "1"},
        "fields": {"a": 1, "b": 2},
    }
    await home.hass.services.async_call(
        DOMAIN,
        "push",
        {
            "config_entry_id": home.entry.entry_id,
            "collector": "demo-ingress",
            "database": "demo",
            "retention_policy": "rp_one_m",
            "points": [point],
        },
        blocking=True,
    )
    await home.wait(62)
    unreachable = {"type": "failed", "error": "unreachable"}
    info = await shown(home.hass, hass_ws_client)
    assert [info[name] for name in ("authentication", "api", "ingress")] == (
        [unreachable] * 3
    )
    assert info["waiting"] >= 3
    assert info["problems"] == 1
    assert info["budget_left"] == "–"


async def test_several_accounts(
    home: Home, hass_ws_client: WebSocketGenerator, user_input: dict[str, Any]
) -> None:
    """A host that accounts share is tried once; one account does not run."""
    other = await home_with_account(
        home.hass, home.freezer, home.simulator, user_input, "norole@example.com"
    )
    await home.hass.config_entries.async_unload(other.entry.entry_id)
    home.simulator.log.reset()
    info = await shown(home.hass, hass_ws_client)
    assert (info["accounts"], info["accounts_running"]) == (2, 1)
    assert info["ingress"] == "ok"
    # One for each of the three services, which have the same address here
    assert home.simulator.log.count("GET /") == 3


async def test_outbox_that_cannot_be_read(
    home: Home, hass_ws_client: WebSocketGenerator
) -> None:
    """The others are shown all the same."""
    await home.entry.runtime_data.exporter.outbox.close()
    info = await shown(home.hass, hass_ws_client)
    assert info["waiting"] == {"type": "failed", "error": "unreadable"}
    assert info["api"] == "ok"


async def test_no_account(
    hass: HomeAssistant, hass_ws_client: WebSocketGenerator
) -> None:
    """Without an account there is nothing to tell."""
    assert await async_setup_component(hass, DOMAIN, {})
    info = await shown(hass, hass_ws_client)
    assert info == {"accounts": 0, "accounts_running": 0}


async def test_unloaded_meanwhile(home: Home) -> None:
    """What an account has that is unloaded while the page comes up is not told."""
    registered: list[Any] = []
    registration = Mock(async_register_info=lambda info, url: registered.append(info))
    async_register(home.hass, registration)
    info = await registered[0](home.hass)
    assert await home.hass.config_entries.async_unload(home.entry.entry_id)
    told = {key: await value for key, value in info.items() if isawaitable(value)}
    assert told["waiting"] == {"type": "failed", "error": "unreadable"}


@pytest.mark.parametrize("world", [HomeWorld], indirect=True)
async def test_controllers(
    hass: HomeAssistant,
    with_mqtt: Controller,
    controller: SimulatedController,
    hass_ws_client: WebSocketGenerator,
) -> None:
    """How many there are, and how many push their values."""
    info = await shown(hass, hass_ws_client)
    assert (info["controllers"], info["controllers_live"]) == (1, 0)
    await controller.publish_live()
    await seen(lambda: with_mqtt.live.is_live)
    info = await shown(hass, hass_ws_client)
    assert (info["controllers"], info["controllers_live"]) == (1, 1)
