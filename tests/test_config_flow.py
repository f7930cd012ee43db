"""The door to the account's forms: what a browser gets of them, and that nothing secret stays behind."""

import json
from typing import Any

from pytest_homeassistant_custom_component.typing import ClientSessionGenerator

from custom_components.eniris.const import CONF_ADVANCED, DOMAIN
from homeassistant.const import CONF_PASSWORD, CONF_USERNAME
from homeassistant.core import HomeAssistant
from homeassistant.setup import async_setup_component
from simulator.accounts import Account
from simulator.server import Simulator

PASSWORD = "Tr0ub4dor & žluť"


def secret_account(simulator: Simulator) -> Account:
    """Return an account the password of which occurs nowhere else."""
    account = Account("me@example.com", 2001, PASSWORD)
    simulator.accounts.add(account)
    return account


async def test_form_as_the_browser_gets_it(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    hass_client: ClientSessionGenerator,
) -> None:
    """After an error the form shows what was typed, but for the password."""
    account = secret_account(simulator)
    for component in ("config", "webhook"):
        # As in any Home Assistant; the router takes nothing new once it has a client
        assert await async_setup_component(hass, component, {})
    client = await hass_client()
    answer = await client.post(
        "/api/config/config_entries/flow", json={"handler": DOMAIN}
    )
    form = await answer.json()
    assert [field["name"] for field in form["data_schema"]] == [
        CONF_USERNAME,
        CONF_PASSWORD,
        CONF_ADVANCED,
    ]
    advanced = form["data_schema"][2]
    assert advanced["expanded"] is False
    assert [field["default"] for field in advanced["schema"]] == [
        "https://authentication.eniris.be",
        "https://api.eniris.be",
        "https://neodata-ingress.eniris.be",
    ]
    answer = await client.post(
        f"/api/config/config_entries/flow/{form['flow_id']}",
        json={
            **user_input,
            CONF_USERNAME: account.username,
            CONF_PASSWORD: f"{PASSWORD}!",
        },
    )
    text = await answer.text()
    form = json.loads(text)
    assert form["errors"] == {CONF_PASSWORD: "invalid_auth"}
    assert PASSWORD not in json.loads(f'"{text.replace(chr(34), "")}"')
    username, password, advanced = form["data_schema"]
    assert username["description"] == {"suggested_value": account.username}
    assert "description" not in password
    assert {
        field["description"]["suggested_value"] for field in advanced["schema"]
    } == {simulator.url}
