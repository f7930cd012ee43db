"""The request to log in again: whatever was there stays, and what waited goes up."""

from typing import Any

from freezegun.api import FrozenDateTimeFactory
import pytest

from custom_components.eniris.const import CONF_CODE, CONF_REFRESH_TOKEN, DOMAIN
from custom_components.eniris.data import EnirisConfigEntry
from homeassistant.config_entries import ConfigEntry, ConfigEntryState
from homeassistant.const import CONF_PASSWORD, CONF_USERNAME
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType
from simulator.accounts import Account
from simulator.server import Simulator
from simulator.world import HomeWorld
from tests.kit.common import add_export, imported_entities, settle, start_flow, submit
from tests.kit.exports import POWER, home_with_account
from tests.kit.log_in import (
    TOTP_MENU,
    as_user,
    current_code,
    lose_log_in,
    registry_ids,
    wrong_code,
)


@pytest.fixture
def world() -> HomeWorld:
    """Return the world of a home."""
    return HomeWorld(seed=1)


FIELD = "actualPowerTot_W"


@pytest.mark.expected_log("fetching Eniris .*login")
async def test_log_in_again(
    hass: HomeAssistant,
    simulator: Simulator,
    entry: EnirisConfigEntry,
    freezer: FrozenDateTimeFactory,
) -> None:
    """A new log-in brings everything back as it was: entry, entities and exports."""
    subentry = add_export(hass, entry)
    await settle(hass)
    entities = {
        registered.entity_id: registered.id
        for registered in imported_entities(hass, entry)
    }
    assert entities
    before = dict(entry.data)
    flow_id = await lose_log_in(hass, simulator, freezer)
    power = hass.states.get("sensor.grid_meter_power")
    assert power is not None
    assert power.state == "unavailable"
    loaded_with = entry.runtime_data

    result = await submit(hass, flow_id, {CONF_PASSWORD: "demo"})
    assert result["type"] is FlowResultType.ABORT
    assert result["reason"] == "reauth_successful"
    assert entry.state is ConfigEntryState.LOADED
    assert hass.config_entries.async_entries(DOMAIN) == [entry]
    assert entry.runtime_data is not loaded_with
    assert list(entry.subentries.values()) == [subentry]
    after = {
        registered.entity_id: registered.id
        for registered in imported_entities(hass, entry)
    }
    # Fields that are written seldom may have come with the later polls
    assert entities.items() <= after.items()
    assert entry.data[CONF_REFRESH_TOKEN] != before[CONF_REFRESH_TOKEN]
    assert {**entry.data, **before} == before
    assert "demo" not in [
        value for key, value in entry.data.items() if key != CONF_USERNAME
    ]
    power = hass.states.get("sensor.grid_meter_power")
    assert power is not None
    assert power.state != "unavailable"
    assert simulator.log.count("POST /auth/logout") == 0
    assert not hass.config_entries.flow.async_progress()


@pytest.mark.expected_log("fetching Eniris .*login")
async def test_log_in_again_as_somebody_else(
    hass: HomeAssistant,
    simulator: Simulator,
    entry: ConfigEntry[Any],
    freezer: FrozenDateTimeFactory,
) -> None:
    """The log-in of another account is not taken, and its token logged out."""
    before = dict(entry.data)
    flow_id = await lose_log_in(hass, simulator, freezer)
    # The user name was given to somebody else since
    simulator.accounts.add(Account("demo@example.com", 1999, "demo"))
    result = await submit(hass, flow_id, {CONF_PASSWORD: "demo"})
    assert result["type"] is FlowResultType.ABORT
    assert result["reason"] == "wrong_account"
    assert simulator.log.count("POST /auth/logout", 204) == 1
    assert dict(entry.data) == before


@pytest.mark.expected_log("fetching Eniris .*login")
async def test_log_in_again_with_a_second_factor(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> None:
    """The second factor is asked for again as well."""
    flow_id = await start_flow(hass)
    await submit(hass, flow_id, as_user(user_input, "totp"))
    await submit(hass, flow_id, TOTP_MENU)
    result = await submit(hass, flow_id, {CONF_CODE: current_code()})
    entry = result["result"]
    old_token = entry.data[CONF_REFRESH_TOKEN]

    flow_id = await lose_log_in(hass, simulator, freezer, "totp@example.com")
    result = await submit(hass, flow_id, {CONF_PASSWORD: "demo"})
    assert result["type"] is FlowResultType.MENU
    await submit(hass, flow_id, TOTP_MENU)
    result = await submit(hass, flow_id, {CONF_CODE: wrong_code()})
    assert result["errors"] == {CONF_CODE: "invalid_code"}
    result = await submit(hass, flow_id, {CONF_CODE: current_code()})
    assert result["type"] is FlowResultType.ABORT
    assert result["reason"] == "reauth_successful"
    assert entry.state is ConfigEntryState.LOADED
    assert entry.data[CONF_REFRESH_TOKEN] != old_token


@pytest.mark.expected_log("fetching Eniris .*login")
async def test_what_waits_goes_up_after_a_log_in(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> None:
    """Values are taken while the log-in is dead, and none of them is lost over the new one."""
    home = await home_with_account(hass, freezer, simulator, user_input)
    home.add_power("1")
    subentry = await home.add_export({POWER: FIELD})
    await home.wait(7)
    ids = registry_ids(hass, home.entry)
    flow_id = await lose_log_in(hass, simulator, freezer)
    for state in ("2", "3"):
        hass.states.async_set(POWER, state, {"unit_of_measurement": "kW"})
        await home.wait(7)
    await home.wait(31)
    assert home.shown(subentry, "waiting") == "2"
    assert home.values() == [1000.0]

    result = await submit(hass, flow_id, {CONF_PASSWORD: "demo"})
    assert result["reason"] == "reauth_successful"
    await home.wait(7)
    # The present value is taken once more when the export starts
    assert home.values()[:3] == [1000.0, 2000.0, 3000.0]
    await home.wait(31)
    assert home.shown(subentry, "waiting") == "0"
    assert registry_ids(hass, home.entry).items() >= ids.items()
    assert home.exports == [subentry]


@pytest.mark.expected_log("fetching Eniris .*login")
@pytest.mark.parametrize(
    ("status", "error"), [(404, "unexpected_answer"), (503, "cannot_connect")]
)
async def test_trouble_at_the_new_log_in(
    hass: HomeAssistant,
    simulator: Simulator,
    entry: ConfigEntry[Any],
    freezer: FrozenDateTimeFactory,
    status: int,
    error: str,
) -> None:
    """What is wrong with the address is told above the form, which has no field for it."""
    flow_id = await lose_log_in(hass, simulator, freezer)
    simulator.faults.add("/auth/login", "status", status=status, times=1)
    result = await submit(hass, flow_id, {CONF_PASSWORD: "demo"})
    assert result["errors"] == {"base": error}
    assert result["description_placeholders"]
    assert result["description_placeholders"]["address"] == simulator.url
    result = await submit(hass, flow_id, {CONF_PASSWORD: "demo"})
    assert result["reason"] == "reauth_successful"
