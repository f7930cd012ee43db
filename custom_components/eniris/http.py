"""What an account's calls are sent over, and to which hosts."""

from collections.abc import Mapping
from typing import Any

import aiohttp
from yarl import URL

from homeassistant.const import EVENT_HOMEASSISTANT_CLOSE
from homeassistant.core import Event, HomeAssistant, callback
from homeassistant.helpers.aiohttp_client import async_create_clientsession
from homeassistant.helpers.singleton import singleton

from .api import Hosts
from .api.transport import is_loopback
from .const import CONF_API_URL, CONF_AUTHENTICATION_URL, CONF_INGRESS_URL, DOMAIN


@singleton(f"{DOMAIN}_http")
def async_http_session(hass: HomeAssistant) -> aiohttp.ClientSession:
    """Return the session of all calls, which shares nothing but connections with other integrations.

    The session that everybody shares keeps cookies. One that a service sets there would be sent to
    other hosts of its domain, and with the calls of another account at the same host.
    """
    http = async_create_clientsession(
        hass,
        auto_cleanup=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        # The client decompresses in steps, up to a limit
        auto_decompress=False,
    )

    @callback
    def close(_event: Event) -> None:
        http.detach()

    hass.bus.async_listen_once(EVENT_HOMEASSISTANT_CLOSE, close)
    return http


def account_hosts(data: Mapping[str, Any]) -> Hosts:
    """Return the three base addresses of an entry's data or of the form.

    The data of a newer version may not have them; then they are the service's own.
    """
    keys = {
        "authentication": CONF_AUTHENTICATION_URL,
        "api": CONF_API_URL,
        "ingress": CONF_INGRESS_URL,
    }
    return Hosts(**{name: data[key] for name, key in keys.items() if key in data})


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
        # The client appends paths, and a question mark would take them even with nothing behind it
        or any(sign in "?#" or sign.isspace() for sign in address)
    ):
        return "invalid_url"
    if url.scheme == "http" and not is_loopback(host):
        return "https_required"
    return None
