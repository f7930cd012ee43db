"""Adding an account: what becomes of it, and of the token of a dialog that ends otherwise."""

from datetime import UTC, datetime
from typing import Any, Literal

from freezegun.api import FrozenDateTimeFactory
import pytest

from custom_components.eniris.const import (
    CONF_ADVANCED,
    CONF_API_URL,
    CONF_AUTHENTICATION_URL,
    CONF_INGRESS_URL,
    CONF_REFRESH_TOKEN,
    CONF_REFRESH_TOKEN_ISSUED,
)
from homeassistant.config_entries import ConfigEntry, ConfigEntryState
from homeassistant.const import CONF_PASSWORD, CONF_USERNAME
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType
from simulator.accounts import Account
from simulator.server import Simulator
from tests.kit.common import start_flow, submit
from tests.kit.exports import suggested
from tests.kit.log_in import as_user, lose_log_in


async def test_plain_account(
    hass: HomeAssistant, simulator: Simulator, user_input: dict[str, Any]
) -> None:
    """A user name and a password make an account, which is set up at once."""
    result = await submit(hass, await start_flow(hass), user_input)
    assert result["type"] is FlowResultType.CREATE_ENTRY
    assert result["title"] == "demo@example.com"
    entry: ConfigEntry[Any] = result["result"]
    assert entry.unique_id == "1001"
    assert entry.state is ConfigEntryState.LOADED
    issued = entry.data[CONF_REFRESH_TOKEN_ISSUED]
    assert abs(issued - datetime.now(UTC).timestamp()) < 60
    assert dict(entry.data) == {
        CONF_USERNAME: "demo@example.com",
        CONF_REFRESH_TOKEN: entry.data[CONF_REFRESH_TOKEN],
        CONF_REFRESH_TOKEN_ISSUED: issued,
        CONF_AUTHENTICATION_URL: simulator.url,
        CONF_API_URL: simulator.url,
        CONF_INGRESS_URL: simulator.url,
    }
    assert simulator.mint.read(entry.data[CONF_REFRESH_TOKEN]).kind == "refresh"
    assert simulator.log.count("POST /auth/logout") == 0


async def test_spaces_around_what_is_typed(
    hass: HomeAssistant, simulator: Simulator, user_input: dict[str, Any]
) -> None:
    """A pasted user name or address may have spaces around it."""
    pasted = {
        **user_input,
        CONF_USERNAME: " demo@example.com ",
        CONF_ADVANCED: {
            key: f" {address}/ " for key, address in user_input[CONF_ADVANCED].items()
        },
    }
    result = await submit(hass, await start_flow(hass), pasted)
    assert result["type"] is FlowResultType.CREATE_ENTRY
    assert result["result"].data[CONF_USERNAME] == "demo@example.com"
    assert result["result"].state is ConfigEntryState.LOADED
    assert simulator.log.count("POST /v1/device/query", 200) == 1


async def test_tokens_in_quotes(
    hass: HomeAssistant, simulator: Simulator, user_input: dict[str, Any]
) -> None:
    """A token that arrives in quotes is kept without them."""
    simulator.switches.quote_tokens = True
    result = await submit(hass, await start_flow(hass), user_input)
    assert result["type"] is FlowResultType.CREATE_ENTRY
    assert '"' not in result["result"].data[CONF_REFRESH_TOKEN]
    assert result["result"].state is ConfigEntryState.LOADED


async def test_account_that_is_set_up_already(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    entry: ConfigEntry[Any],
) -> None:
    """The same account again, under whatever name, is refused, and its new token logged out."""
    simulator.accounts.add(Account("alias@example.com", 1001, "demo"))
    before = dict(entry.data)
    result = await submit(hass, await start_flow(hass), as_user(user_input, "alias"))
    assert result["type"] is FlowResultType.ABORT
    assert result["reason"] == "already_configured"
    assert simulator.log.count("POST /auth/logout", 204) == 1
    assert dict(entry.data) == before
    assert simulator.mint.read(entry.data[CONF_REFRESH_TOKEN])


async def test_superfluous_token_that_cannot_be_logged_out(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    entry: ConfigEntry[Any],
) -> None:
    """That the log-out fails is no business of the user's."""
    simulator.faults.add("/auth/logout", "drop")
    result = await submit(hass, await start_flow(hass), user_input)
    assert result["type"] is FlowResultType.ABORT
    assert result["reason"] == "already_configured"


@pytest.mark.expected_log("fetching Eniris .*login")
async def test_account_that_waits_for_a_log_in(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    entry: ConfigEntry[Any],
    freezer: FrozenDateTimeFactory,
) -> None:
    """An unfinished re-authentication does not change what the user is told."""
    await lose_log_in(hass, simulator, freezer)
    result = await submit(hass, await start_flow(hass), user_input)
    assert result["type"] is FlowResultType.ABORT
    assert result["reason"] == "already_configured"
    assert simulator.log.count("POST /auth/logout", 204) == 1


async def test_what_was_right_is_kept(
    hass: HomeAssistant, simulator: Simulator, user_input: dict[str, Any]
) -> None:
    """After an error the form has what was right, the password included, and what was wrong is open."""
    dead = {CONF_INGRESS_URL: "http://127.0.0.1:9"}
    typed = {**user_input, CONF_ADVANCED: {**user_input[CONF_ADVANCED], **dead}}
    flow_id = await start_flow(hass)
    result = await submit(hass, flow_id, typed)
    assert result["errors"]
    assert result["data_schema"]
    assert suggested(result["data_schema"]) == typed
    advanced = result["data_schema"].schema[CONF_ADVANCED]
    assert advanced.options["collapsed"] is False
    result = await submit(hass, flow_id, {**user_input, CONF_PASSWORD: "wrong"})
    assert result["errors"] == {CONF_PASSWORD: "invalid_auth"}
    assert result["data_schema"]
    assert CONF_PASSWORD not in suggested(result["data_schema"])


@pytest.mark.parametrize("fault", ["html", "empty", "json"])
async def test_somebody_else_at_the_ingress(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    fault: Literal["html", "empty", "json"],
) -> None:
    """An address where another service answers is told at once, without a token having gone there."""
    simulator.faults.add("/v1/telemetry", fault, method="POST", body="{}")
    flow_id = await start_flow(hass)
    result = await submit(hass, flow_id, user_input)
    assert result["errors"] == {
        "base": "unexpected_answer",
        CONF_INGRESS_URL: "unexpected_answer",
    }
    simulator.faults.clear()
    result = await submit(hass, flow_id, user_input)
    assert result["type"] is FlowResultType.CREATE_ENTRY
