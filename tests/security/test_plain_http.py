"""Plain http stays on this machine: in the forms, and whatever an entry holds."""

from itertools import product
from typing import Any

import aiohttp
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.eniris.api import EnirisConnectionError, Hosts
from custom_components.eniris.api.errors import EnirisAddressError
from custom_components.eniris.const import (
    CONF_ADVANCED,
    CONF_API_URL,
    CONF_AUTHENTICATION_URL,
    CONF_INGRESS_URL,
    DOMAIN,
)
from custom_components.eniris.data import EnirisConfigEntry
from custom_components.eniris.http import address_problem, async_http_session
from homeassistant.config_entries import SOURCE_RECONFIGURE, ConfigEntryState
from homeassistant.const import CONF_PASSWORD
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType
from simulator.server import Simulator
from tests.kit.common import settle, start_flow, submit

from .calls import CALLS, refusal, watch

ELSEWHERE = (
    "http://eniris.example",
    "HTTP://eniris.example",
    "hTTp://10.0.0.1",
    "http://192.168.1.20:8124",
    "http://localhost.evil.example",
    "http://localhost.",
    "http://x.localhost",
    "http://127.0.0.1.nip.io",
    "http://127.0.0.1%2eevil.example",
    "http://127.0.0.1%00.evil.example",
    "http://127.0.0.1;evil.example",
    "http://[::ffff:10.0.0.1]",
    "http://[fe80::1%lo]",
    "http://[::]",
    "http://0.0.0.0",
    "http://0x7f.1",
    "http://2130706433",
    "http://127.1",
    "http://evil。example",
    "http://lоcalhost",
    "http://xn--localhost-",
    "http://169.254.1.1",
)
"""Plain http to another machine, or to what only looks like this one."""

UNUSABLE = (
    "http://127.0.0.1@evil.example",
    "http://127.0.0.1:80@evil.example",
    "http://user@127.0.0.1",
    "https://user:password@eniris.example",
    "http://127.0.0.1\\@evil.example",
    "http://evil.example\\@127.0.0.1",
    "http://127.0.0.1:80:80",
    "http:///127.0.0.1",
    "http:127.0.0.1",
    "//127.0.0.1",
    "http://[::1",
    "ftp://127.0.0.1",
    "ws://127.0.0.1",
    "file:///etc/passwd",
    "",
)
"""No address of anything that could be spoken to."""

HERE = (
    "http://127.0.0.1",
    "HTTP://127.0.0.1:8124/base",
    "http://127.8.9.10",
    "http://localhost:8124",
    "http://LOCALHOST:8124",
    "http://[::1]:8124",
    "http://[::ffff:127.0.0.1]",
    "http://127。0。0。1",
    "https://eniris.example",
    "https://10.0.0.1",
)

ADDRESSES = (CONF_AUTHENTICATION_URL, CONF_API_URL, CONF_INGRESS_URL)


async def test_the_client_sends_nothing(http: aiohttp.ClientSession) -> None:
    """Not one call, whatever the address looks like, even past the forms."""
    begun = watch(http)
    for address, name in product([*ELSEWHERE, *UNUSABLE], CALLS):
        error = await refusal(name, http, Hosts(address, address, address))
        assert isinstance(error, EnirisAddressError), (address, name)
        assert isinstance(error, EnirisConnectionError)
        assert not begun, (address, name)
    await refusal("login", http, Hosts("http://127.0.0.1:1"))
    assert begun


@pytest.mark.parametrize("address", ELSEWHERE)
def test_the_form_refuses_other_machines(address: str) -> None:
    """By the error that names the reason, or as no address at all."""
    assert address_problem(address) in ("https_required", "invalid_url")


@pytest.mark.parametrize("address", UNUSABLE)
def test_the_form_refuses_what_is_no_address(address: str) -> None:
    """A name before an @ is no host, and a backslash no slash."""
    assert address_problem(address) == "invalid_url"


@pytest.mark.parametrize("address", HERE)
def test_the_form_takes_this_machine_and_https(address: str) -> None:
    """What is refused above is not refused for everything."""
    assert address_problem(address) is None


@pytest.mark.parametrize("key", ADDRESSES)
async def test_adding_an_account(
    hass: HomeAssistant, simulator: Simulator, user_input: dict[str, Any], key: str
) -> None:
    """One of three addresses is enough for the form to come back, before anything is sent."""
    for address in ELSEWHERE[:6]:
        advanced = {**user_input[CONF_ADVANCED], key: address}
        result = await submit(
            hass, await start_flow(hass), {**user_input, CONF_ADVANCED: advanced}
        )
        assert result["type"] is FlowResultType.FORM
        assert (result["errors"] or {})[key] == "https_required"
    assert not simulator.log.find()


@pytest.mark.parametrize("key", ADDRESSES)
async def test_reconfiguring(
    hass: HomeAssistant, simulator: Simulator, entry: EnirisConfigEntry, key: str
) -> None:
    """Addresses that are changed later are held to the same."""
    simulator.log.reset()
    before = dict(entry.data)
    result = await hass.config_entries.flow.async_init(
        DOMAIN, context={"source": SOURCE_RECONFIGURE, "entry_id": entry.entry_id}
    )
    result = await hass.config_entries.flow.async_configure(
        result["flow_id"], {"next_step_id": "addresses"}
    )
    typed = dict.fromkeys(ADDRESSES, simulator.url) | {
        key: "http://127.0.0.1.nip.io",
        CONF_PASSWORD: "demo",
    }
    result = await hass.config_entries.flow.async_configure(result["flow_id"], typed)
    assert result["errors"] == {key: "https_required"}
    assert dict(entry.data) == before
    assert not simulator.log.find("POST /auth/login")


@pytest.mark.expected_log("plain http is only for a service on this very machine")
async def test_an_entry_that_was_edited_by_hand(
    hass: HomeAssistant, entry: EnirisConfigEntry
) -> None:
    """It loads, says why nothing is read, and sends its token to nobody, at its removal neither."""
    await hass.config_entries.async_unload(entry.entry_id)
    hass.config_entries.async_update_entry(
        entry, data={**entry.data, **dict.fromkeys(ADDRESSES, "http://eniris.example")}
    )
    begun = watch(async_http_session(hass))
    await hass.config_entries.async_setup(entry.entry_id)
    await settle(hass)
    assert entry.state is ConfigEntryState.LOADED
    assert "plain http" in str(entry.runtime_data.nodes.last_exception)
    assert await hass.config_entries.async_remove(entry.entry_id)
    await hass.async_block_till_done()
    assert not begun


async def test_logging_in_again_to_such_an_entry(
    hass: HomeAssistant, user_input: dict[str, Any]
) -> None:
    """The password is not sent there either; the form says why."""
    entry = MockConfigEntry(
        domain=DOMAIN,
        unique_id="1",
        data={
            "username": "demo@example.com",
            "refresh_token": "x",
            "refresh_token_issued": 0.0,
            **dict.fromkeys(ADDRESSES, "http://eniris.example"),
        },
    )
    entry.add_to_hass(hass)
    result = await entry.start_reauth_flow(hass)
    result = await hass.config_entries.flow.async_configure(
        result["flow_id"], {CONF_PASSWORD: "demo"}
    )
    assert result["errors"] == {"base": "https_required"}
