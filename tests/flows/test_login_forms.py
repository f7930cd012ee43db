"""The forms of a log-in: what is wrong with an answer whatever the service says."""

from typing import Any

import pytest

from homeassistant.const import CONF_PASSWORD, CONF_USERNAME
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType
from simulator.accounts import Account
from simulator.server import Simulator
from tests.kit.common import start_flow, submit


@pytest.mark.parametrize(
    ("typed", "errors"),
    [
        ({CONF_USERNAME: "  "}, {CONF_USERNAME: "empty"}),
        ({CONF_PASSWORD: ""}, {CONF_PASSWORD: "empty"}),
        ({CONF_USERNAME: "u" * 257}, {CONF_USERNAME: "too_long"}),
        ({CONF_PASSWORD: "p" * 257}, {CONF_PASSWORD: "too_long"}),
        (
            {CONF_USERNAME: "", CONF_PASSWORD: "p" * 257},
            {CONF_USERNAME: "empty", CONF_PASSWORD: "too_long"},
        ),
    ],
)
async def test_credentials_that_cannot_be_right(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    typed: dict[str, str],
    errors: dict[str, str],
) -> None:
    """Each field has its own error, without a request."""
    flow_id = await start_flow(hass)
    result = await submit(hass, flow_id, {**user_input, **typed})
    assert result["errors"] == errors
    assert not simulator.log.requests
    result = await submit(hass, flow_id, user_input)
    assert result["type"] is FlowResultType.CREATE_ENTRY


async def test_longest_credentials(
    hass: HomeAssistant, simulator: Simulator, user_input: dict[str, Any]
) -> None:
    """256 characters are not too long."""
    name, password = "u" * 256, "p" * 256
    simulator.accounts.add(Account(name, 3001, password))
    result = await submit(
        hass,
        await start_flow(hass),
        {**user_input, CONF_USERNAME: name, CONF_PASSWORD: password},
    )
    assert result["type"] is FlowResultType.CREATE_ENTRY
