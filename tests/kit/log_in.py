"""What the tests of a log-in share: what demo users type, and how a log-in is lost."""

from datetime import UTC, datetime, timedelta
from typing import Any

from freezegun.api import FrozenDateTimeFactory

from custom_components.eniris.const import DOMAIN
from homeassistant.config_entries import SOURCE_REAUTH, ConfigEntry
from homeassistant.const import CONF_USERNAME
from homeassistant.core import HomeAssistant
from homeassistant.helpers import entity_registry as er
from simulator.accounts import DEMO_TOTP_SECRET
from simulator.server import Simulator
from simulator.totp import totp

from .common import METADATA_POLL, advance

TOTP_MENU = {"next_step_id": "totp"}
EMAIL_MENU = {"next_step_id": "email_otp"}


def as_user(user_input: dict[str, Any], name: str) -> dict[str, Any]:
    """Return what another demo user types."""
    return {**user_input, CONF_USERNAME: f"{name}@example.com"}


def current_code() -> str:
    """Return what the authenticator app shows."""
    return totp(DEMO_TOTP_SECRET, datetime.now(UTC))


def wrong_code() -> str:
    """Return a code that an authenticator app will not show for long."""
    return totp(DEMO_TOTP_SECRET, datetime.now(UTC) + timedelta(days=1))


async def lose_log_in(
    hass: HomeAssistant,
    simulator: Simulator,
    freezer: FrozenDateTimeFactory,
    username: str = "demo@example.com",
) -> str:
    """Make the service refuse the account's tokens; return the flow that this starts."""
    simulator.revoke(username, "refresh")
    simulator.revoke(username, "access")
    await advance(hass, freezer, METADATA_POLL)
    [flow] = hass.config_entries.flow.async_progress_by_handler(DOMAIN)
    assert flow["context"]["source"] == SOURCE_REAUTH
    assert flow["step_id"] == "reauth_confirm"
    return flow["flow_id"]


def registry_ids(hass: HomeAssistant, entry: ConfigEntry[Any]) -> dict[str, str]:
    """Return the registry id of every entity of an account, by entity id."""
    return {
        registered.entity_id: registered.id
        for registered in er.async_entries_for_config_entry(
            er.async_get(hass), entry.entry_id
        )
    }
