"""Reconfiguring an account: another password, user name or addresses, and nothing else changes."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from unittest.mock import patch

from freezegun.api import FrozenDateTimeFactory
import pytest

from custom_components.eniris.const import (
    CONF_API_URL,
    CONF_AUTHENTICATION_URL,
    CONF_IMPORT,
    CONF_INGRESS_URL,
    CONF_REFRESH_TOKEN,
    CONF_REFRESH_TOKEN_ISSUED,
    DOMAIN,
)
from custom_components.eniris.data import EnirisConfigEntry
from homeassistant.config_entries import (
    SOURCE_RECONFIGURE,
    ConfigEntryState,
    ConfigFlowResult,
)
from homeassistant.const import CONF_PASSWORD, CONF_USERNAME
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType
from homeassistant.helpers import issue_registry as ir
from simulator.accounts import Account
from simulator.server import Simulator
from simulator.world import HomeWorld
from tests.kit.common import settle, submit
from tests.kit.exports import POWER, Home, home_with_account, suggested
from tests.kit.log_in import lose_log_in, registry_ids

FIELD = "actualPowerTot_W"
LOGOUT = "POST /auth/logout"
ADDRESSES = (CONF_AUTHENTICATION_URL, CONF_API_URL, CONF_INGRESS_URL)


@pytest.fixture
async def other(simulator: Simulator, world: HomeWorld) -> AsyncIterator[Simulator]:
    """Return the same service at another address: another password, and none of the old tokens."""
    async with Simulator(world, tier="unlimited") as running:
        running.accounts.add(Account("demo@example.com", 1001, "new"))
        yield running


async def open_menu(hass: HomeAssistant, entry: EnirisConfigEntry) -> str:
    """Open the dialog and return its flow id."""
    result = await hass.config_entries.flow.async_init(
        DOMAIN, context={"source": SOURCE_RECONFIGURE, "entry_id": entry.entry_id}
    )
    assert result["type"] is FlowResultType.MENU
    assert result["step_id"] == "reconfigure"
    assert result["menu_options"] == ["log_in", "addresses"]
    assert result["description_placeholders"] == {
        CONF_USERNAME: entry.data[CONF_USERNAME]
    }
    return result["flow_id"]


async def choose(
    hass: HomeAssistant, entry: EnirisConfigEntry, step: str
) -> ConfigFlowResult:
    """Open the dialog, and choose from its menu."""
    flow_id = await open_menu(hass, entry)
    result = await submit(hass, flow_id, {"next_step_id": step})
    assert result["type"] is FlowResultType.FORM
    assert result["step_id"] == step
    assert not result["errors"]
    return result


def shown(result: ConfigFlowResult) -> dict[str, Any]:
    """Return what the form holds before the user types."""
    assert result["data_schema"] is not None
    return suggested(result["data_schema"])


def at(simulator: Simulator, **changes: str) -> dict[str, str]:
    """Return what is typed to move to a simulator."""
    return {**dict.fromkeys(ADDRESSES, simulator.url), CONF_PASSWORD: "new", **changes}


def expect_done(result: ConfigFlowResult) -> None:
    """Expect the dialog to have ended well."""
    assert result["type"] is FlowResultType.ABORT, result
    assert result["reason"] == "reconfigure_successful"


@pytest.fixture
async def home(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    simulator: Simulator,
    user_input: dict[str, Any],
) -> Home:
    """Return a home with an account, an option, and an export with two values that wait."""
    home = await home_with_account(hass, freezer, simulator, user_input)
    hass.config_entries.async_update_entry(
        home.entry,
        data={**home.entry.data, "history": "2026-06-01T00:00:00+00:00"},
        options={CONF_IMPORT: {"interval": 120}},
    )
    await home.settle()
    home.add_power("1")
    await home.add_export({POWER: FIELD})
    await home.wait(7)
    simulator.faults.add("/v1/telemetry", "status", status=503)
    for state in ("2", "3"):
        hass.states.async_set(POWER, state, {"unit_of_measurement": "kW"})
        await home.wait(1)
    await home.wait(31)
    assert home.shown(home.exports[0], "waiting") == "2"
    return home


@pytest.mark.expected_log("cannot be uploaded at present and wait")
async def test_new_password(
    hass: HomeAssistant, simulator: Simulator, home: Home
) -> None:
    """A new log-in replaces the token and nothing else; what waited goes up with it."""
    entry = home.entry
    before, ids = dict(entry.data), registry_ids(hass, entry)
    options, subentries = dict(entry.options), dict(entry.subentries)
    states: list[ConfigEntryState] = []
    entry.async_on_state_change(lambda: states.append(entry.state))
    simulator.accounts.add(Account("demo@example.com", 1001, "new"))
    simulator.faults.clear()

    result = await choose(hass, entry, "log_in")
    assert shown(result) == {CONF_USERNAME: "demo@example.com"}
    result = await submit(
        hass,
        result["flow_id"],
        {CONF_USERNAME: " demo@example.com ", CONF_PASSWORD: "new"},
    )
    expect_done(result)
    await home.settle()
    assert states.count(ConfigEntryState.LOADED) == 1
    changed = {key for key in before if entry.data[key] != before[key]}
    assert changed <= {CONF_REFRESH_TOKEN, CONF_REFRESH_TOKEN_ISSUED}
    assert CONF_REFRESH_TOKEN in changed
    assert entry.data.keys() == before.keys()
    assert dict(entry.options) == options
    assert dict(entry.subentries) == subentries
    assert registry_ids(hass, entry) == ids
    assert entry.unique_id == "1001"
    assert hass.config_entries.async_entries(DOMAIN) == [entry]
    # The old token, once nobody needed it any more
    assert simulator.log.count(LOGOUT) == simulator.log.count(LOGOUT, 204) == 1
    await home.wait(7)
    assert home.values()[:3] == [1000.0, 2000.0, 3000.0]
    await home.wait(31)
    assert home.shown(home.exports[0], "waiting") == "0"
    assert home.log_ins_asked_for() == 0


@pytest.mark.parametrize("title", [None, "My home"])
async def test_new_user_name(
    hass: HomeAssistant,
    simulator: Simulator,
    entry: EnirisConfigEntry,
    title: str | None,
) -> None:
    """The account follows its user name; a title that the user has given stays."""
    if title is not None:
        hass.config_entries.async_update_entry(entry, title=title)
        await settle(hass)
    states: list[ConfigEntryState] = []
    entry.async_on_state_change(lambda: states.append(entry.state))
    simulator.accounts.add(Account("moved@example.com", 1001, "demo"))
    result = await choose(hass, entry, "log_in")
    result = await submit(
        hass,
        result["flow_id"],
        {CONF_USERNAME: "moved@example.com", CONF_PASSWORD: "demo"},
    )
    expect_done(result)
    assert entry.data[CONF_USERNAME] == "moved@example.com"
    assert entry.title == (title or "moved@example.com")
    # Once, whether or not the change of the title alone would have done it
    assert states.count(ConfigEntryState.LOADED) == 1


@pytest.mark.expected_log("cannot be uploaded at present and wait")
async def test_other_addresses(
    hass: HomeAssistant, simulator: Simulator, home: Home, other: Simulator
) -> None:
    """The account moves, is loaded once, keeps all it has, and takes what waited along."""
    entry = home.entry
    before, ids = dict(entry.data), registry_ids(hass, entry)
    states: list[ConfigEntryState] = []
    entry.async_on_state_change(lambda: states.append(entry.state))
    result = await choose(hass, entry, "addresses")
    assert shown(result) == dict.fromkeys(ADDRESSES, simulator.url)
    assert result["description_placeholders"]
    assert {
        key: value
        for key, value in result["description_placeholders"].items()
        if key.startswith("default_")
    } == {
        "default_authentication_url": "https://authentication.eniris.be",
        "default_api_url": "https://api.eniris.be",
        "default_ingress_url": "https://neodata-ingress.eniris.be",
    }
    result = await submit(hass, result["flow_id"], at(other))
    expect_done(result)
    await home.settle()
    assert states.count(ConfigEntryState.LOADED) == 1
    assert dict(entry.data) == {
        **before,
        **dict.fromkeys(ADDRESSES, other.url),
        CONF_REFRESH_TOKEN: entry.data[CONF_REFRESH_TOKEN],
        CONF_REFRESH_TOKEN_ISSUED: entry.data[CONF_REFRESH_TOKEN_ISSUED],
    }
    assert other.mint.read(entry.data[CONF_REFRESH_TOKEN]).kind == "refresh"
    assert registry_ids(hass, entry) == ids
    # The old token never went to the new address, and is of no use at the old one
    assert not [
        request
        for request in other.log.requests
        # But for the write without anything, token included, that finds out who answers
        if request.status in (401, 403) and request.received_bytes
    ]
    assert other.log.count(LOGOUT) == 0
    assert simulator.log.count(LOGOUT, 204) == 1
    simulator.log.reset()
    await home.wait(31)
    assert [point.fields[FIELD] for point in other.store.points(field_name=FIELD)][
        :2
    ] == [2000.0, 3000.0]
    assert not simulator.log.requests
    assert home.shown(home.exports[0], "waiting") == "0"


async def test_old_token_that_is_renewed_meanwhile(
    hass: HomeAssistant,
    simulator: Simulator,
    entry: EnirisConfigEntry,
    other: Simulator,
) -> None:
    """Where the old token is just being renewed, the new one stays all the same."""
    session = entry.runtime_data.session
    result = await choose(hass, entry, "addresses")
    simulator.faults.add("/auth/refreshtoken", "delay", delay=2, times=1)
    # Else there would be nothing left to renew
    simulator.faults.add("/auth/logout", "drop")
    with patch("custom_components.eniris.api.session.RENEW_AFTER", -1):
        renewal = hass.async_create_background_task(
            session.access_token(stale=session._access_token), "renewal"
        )
        await asyncio.sleep(0.1)
    result = await submit(hass, result["flow_id"], at(other))
    expect_done(result)
    token = entry.data[CONF_REFRESH_TOKEN]
    assert not renewal.done()
    await renewal
    assert session.refresh_token.value != token
    assert entry.data[CONF_REFRESH_TOKEN] == token
    assert other.mint.read(token).kind == "refresh"


@pytest.mark.parametrize("step", ["log_in", "addresses"])
async def test_another_account(
    hass: HomeAssistant, simulator: Simulator, entry: EnirisConfigEntry, step: str
) -> None:
    """The log-in of somebody else changes nothing, and is ended again."""
    before = dict(entry.data)
    loaded_with = entry.runtime_data
    simulator.accounts.add(Account("demo@example.com", 1999, "demo"))
    result = await choose(hass, entry, step)
    result = await submit(
        hass, result["flow_id"], {**shown(result), CONF_PASSWORD: "demo"}
    )
    assert result["type"] is FlowResultType.ABORT
    assert result["reason"] == "wrong_account"
    assert dict(entry.data) == before
    assert entry.runtime_data is loaded_with
    assert simulator.log.count(LOGOUT, 204) == 1
    assert simulator.mint.read(entry.data[CONF_REFRESH_TOKEN])


@pytest.mark.expected_log("fetching Eniris .*login")
@pytest.mark.parametrize("step", ["log_in", "addresses"])
async def test_instead_of_the_log_in_that_is_asked_for(
    hass: HomeAssistant,
    simulator: Simulator,
    entry: EnirisConfigEntry,
    freezer: FrozenDateTimeFactory,
    step: str,
) -> None:
    """Reconfiguring an account whose log-in is dead answers the request to log in again as well."""
    await lose_log_in(hass, simulator, freezer)
    issues = ir.async_get(hass)
    issue = ("homeassistant", f"config_entry_reauth_{DOMAIN}_{entry.entry_id}")
    assert issues.async_get_issue(*issue)
    result = await choose(hass, entry, step)
    result = await submit(
        hass, result["flow_id"], {**shown(result), CONF_PASSWORD: "demo"}
    )
    expect_done(result)
    assert not hass.config_entries.flow.async_progress()
    assert not issues.async_get_issue(*issue)
    assert entry.state is ConfigEntryState.LOADED


async def test_account_that_is_not_loaded(
    hass: HomeAssistant, entry: EnirisConfigEntry, other: Simulator
) -> None:
    """An account that could not be set up is set up with what was changed."""
    assert await hass.config_entries.async_unload(entry.entry_id)
    result = await choose(hass, entry, "addresses")
    result = await submit(hass, result["flow_id"], at(other))
    expect_done(result)
    assert entry.state is ConfigEntryState.LOADED
    assert entry.data[CONF_API_URL] == other.url


async def test_hosts_that_do_not_belong_together(
    hass: HomeAssistant,
    simulator: Simulator,
    entry: EnirisConfigEntry,
    other: Simulator,
) -> None:
    """An api host that does not take the log-in of the authentication host is refused."""
    result = await choose(hass, entry, "addresses")
    result = await submit(
        hass,
        result["flow_id"],
        at(simulator, **{CONF_API_URL: other.url, CONF_PASSWORD: "demo"}),
    )
    assert result["errors"] == {CONF_API_URL: "unexpected_answer"}
    assert entry.data[CONF_API_URL] == simulator.url
