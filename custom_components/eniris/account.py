"""An account's stored data, what makes it another account's, and what its calls are sent over."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import aiohttp
from yarl import URL

from homeassistant.config_entries import ConfigEntry
from homeassistant.const import EVENT_HOMEASSISTANT_CLOSE
from homeassistant.core import Event, HomeAssistant, callback
from homeassistant.helpers.aiohttp_client import async_create_clientsession
from homeassistant.helpers.singleton import singleton

from .api import Hosts, RefreshToken, WireFormat
from .api.transport import is_loopback
from .const import (
    CONF_API_URL,
    CONF_AUTHENTICATION_URL,
    CONF_ENABLED,
    CONF_EXPERT,
    CONF_HISTORY,
    CONF_IMPORT,
    CONF_INGRESS_URL,
    CONF_INTERVAL,
    CONF_PREFERENCE,
    CONF_REFRESH_TOKEN,
    CONF_REFRESH_TOKEN_ISSUED,
    CONF_SITES,
    CONF_WIRE_FORMAT,
    DEFAULT_POLL_INTERVAL,
    DOMAIN,
)
from .importing.coordinator import ImportOptions
from .importing.plan import Preference


@singleton(f"{DOMAIN}_http")
def async_http_session(hass: HomeAssistant) -> aiohttp.ClientSession:
    """Return what all calls are sent over: connections are shared with everybody, and nothing else.

    The session that everybody shares keeps cookies. One that a service sets there would be sent to
    other hosts of its domain, and with the calls of another account at the same host.
    """
    http = async_create_clientsession(
        hass,
        auto_cleanup=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        # Decompressed in steps, up to a limit
        auto_decompress=False,
    )

    @callback
    def close(_event: Event) -> None:
        http.detach()

    hass.bus.async_listen_once(EVENT_HOMEASSISTANT_CLOSE, close)
    return http


def account_hosts(data: Mapping[str, Any]) -> Hosts:
    """Return the three base addresses of an entry's data or of the form."""
    return Hosts(
        data[CONF_AUTHENTICATION_URL], data[CONF_API_URL], data[CONF_INGRESS_URL]
    )


def stored_token(entry: ConfigEntry[Any]) -> RefreshToken:
    """Return the refresh token that an entry keeps."""
    return RefreshToken(
        entry.data[CONF_REFRESH_TOKEN], entry.data[CONF_REFRESH_TOKEN_ISSUED]
    )


def token_data(token: RefreshToken) -> dict[str, Any]:
    """Return the form in which an entry keeps a refresh token."""
    return {
        CONF_REFRESH_TOKEN: token.value,
        CONF_REFRESH_TOKEN_ISSUED: token.issued_at,
    }


def import_options(entry: ConfigEntry[Any]) -> ImportOptions:
    """Return what is read of the account, and how often."""
    options = entry.options.get(CONF_IMPORT, {})
    return ImportOptions(
        timedelta(seconds=options.get(CONF_INTERVAL, DEFAULT_POLL_INTERVAL)),
        Preference(options.get(CONF_PREFERENCE, Preference.FRESHEST)),
        frozenset(options.get(CONF_SITES, ())),
    )


def first_history(entry: ConfigEntry[Any]) -> datetime | None:
    """Return the time back to which the past was asked for when the account was added."""
    stored = entry.data.get(CONF_HISTORY)
    return None if stored is None else datetime.fromisoformat(stored)


def wire_format(entry: ConfigEntry[Any]) -> WireFormat:
    """Return the form in which values are sent."""
    options = entry.options.get(CONF_EXPERT, {})
    return WireFormat(options.get(CONF_WIRE_FORMAT, WireFormat.JSON))


def fingerprint(entry: ConfigEntry[Any]) -> tuple[Any, ...]:
    """Return all of an entry that asks for a reload when it changes.

    Not the token, which the session renews, nor whether an export is enabled, which is a switch.
    """
    return (
        account_hosts(entry.data),
        entry.title,
        dict(entry.options),
        {
            id_: (subentry.title, {**subentry.data, CONF_ENABLED: None})
            for id_, subentry in entry.subentries.items()
        },
    )


def address_problem(address: str) -> str | None:
    """Return what is wrong with a base address, as a translation key, or None.

    Only a loopback host may be spoken to in plain text: everything carries tokens.
    """
    try:
        url = URL(address)
        # As it goes to a resolver, not as it looks
        host = url.raw_host
    except ValueError:
        return "invalid_url"
    if (
        url.scheme not in ("http", "https")
        or not host
        or url.user is not None
        or url.password is not None
        # Paths are appended; a question mark would take them for its own even with nothing behind it
        or any(sign in "?#" or sign.isspace() for sign in address)
    ):
        return "invalid_url"
    if url.scheme == "http" and not is_loopback(host):
        return "https_required"
    return None
