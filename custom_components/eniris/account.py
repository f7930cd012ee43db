"""An account's stored data, what makes it another account's, and what its calls are sent over."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from enum import StrEnum
import math
from typing import Any, Final, TypeIs

import aiohttp
from yarl import URL

from homeassistant.config_entries import ConfigEntry
from homeassistant.const import EVENT_HOMEASSISTANT_CLOSE
from homeassistant.core import Event, HomeAssistant, callback
from homeassistant.helpers.aiohttp_client import async_create_clientsession
from homeassistant.helpers.singleton import singleton

from .api import Hosts, RefreshToken, WireFormat
from .api.auth import is_token
from .api.transport import is_loopback
from .const import (
    CONF_AGE_LIMIT,
    CONF_API_URL,
    CONF_AUTHENTICATION_URL,
    CONF_ENABLED,
    CONF_EXPERT,
    CONF_HISTORY,
    CONF_IMPORT,
    CONF_INGRESS_URL,
    CONF_INTERVAL,
    CONF_OUTBOX,
    CONF_PREFERENCE,
    CONF_REFRESH_TOKEN,
    CONF_REFRESH_TOKEN_ISSUED,
    CONF_SITES,
    CONF_SIZE_LIMIT,
    CONF_WIRE_FORMAT,
    DEFAULT_AGE_LIMIT,
    DEFAULT_POLL_INTERVAL,
    DEFAULT_SIZE_LIMIT,
    DOMAIN,
    LARGEST_SIZE,
    LOGGER,
    LONGEST_AGE,
    LONGEST_POLL_INTERVAL,
    SHORTEST_POLL_INTERVAL,
)
from .exporting.outbox import Limits
from .importing.coordinator import ImportOptions
from .importing.plan import Preference

_LOST_TOKEN: Final = "unreadable-token"  # noqa: S105


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
    """Return the three base addresses of an entry's data or of the form.

    One that is missing is the service's own. One that cannot be used stays as it is, and the client
    sends nothing there: nor may a token go to another host than the one that has given it.
    """
    stored = {
        "authentication": data.get(CONF_AUTHENTICATION_URL),
        "api": data.get(CONF_API_URL),
        "ingress": data.get(CONF_INGRESS_URL),
    }
    return Hosts(
        **{
            name: address if isinstance(address, str) else ""
            for name, address in stored.items()
            if address is not None
        }
    )


def stored_token(entry: ConfigEntry[Any]) -> RefreshToken:
    """Return the refresh token that an entry keeps.

    In the place of one that cannot be read is one that the service refuses: a new log-in is asked for.
    """
    value = entry.data.get(CONF_REFRESH_TOKEN)
    issued_at = entry.data.get(CONF_REFRESH_TOKEN_ISSUED)
    return RefreshToken(
        value if isinstance(value, str) and is_token(value) else _LOST_TOKEN,
        issued_at if _is_number(issued_at) and math.isfinite(issued_at) else 0.0,
    )


def token_data(token: RefreshToken) -> dict[str, Any]:
    """Return the form in which an entry keeps a refresh token."""
    return {
        CONF_REFRESH_TOKEN: token.value,
        CONF_REFRESH_TOKEN_ISSUED: token.issued_at,
    }


def _is_number(value: Any) -> TypeIs[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _number_in(least: int, most: int) -> Callable[[Any], bool]:
    return lambda value: _is_number(value) and least <= value <= most


def _one_of(choices: type[StrEnum]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, str) and value in set(choices)


def _are_texts(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(
        isinstance(text, str) for text in value
    )


_OPTIONS: Final[Mapping[str, Mapping[str, Callable[[Any], bool]]]] = {
    CONF_IMPORT: {
        CONF_INTERVAL: _number_in(SHORTEST_POLL_INTERVAL, LONGEST_POLL_INTERVAL),
        CONF_PREFERENCE: _one_of(Preference),
        CONF_SITES: _are_texts,
    },
    CONF_OUTBOX: {
        CONF_SIZE_LIMIT: _number_in(1, LARGEST_SIZE),
        CONF_AGE_LIMIT: _number_in(0, LONGEST_AGE),
    },
    CONF_EXPERT: {CONF_WIRE_FORMAT: _one_of(WireFormat)},
}
"""All options by section, with what tells whether a value can be used."""


def read_options(
    options: Mapping[str, Any],
) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Return those options of an entry that can be used, and the names of those that cannot."""
    usable: dict[str, dict[str, Any]] = {}
    damaged: list[str] = []
    for section, its_options in _OPTIONS.items():
        if section not in options:
            continue
        stored = options[section]
        if not isinstance(stored, Mapping):
            damaged.append(section)
            continue
        usable[section] = {
            key: stored[key]
            for key, is_valid in its_options.items()
            if key in stored and is_valid(stored[key])
        }
        damaged += [
            f"{section}.{key}"
            for key in its_options
            if key in stored and key not in usable[section]
        ]
    return usable, damaged


def _section(entry: ConfigEntry[Any], name: str) -> dict[str, Any]:
    return read_options(entry.options)[0].get(name, {})


def import_options(entry: ConfigEntry[Any]) -> ImportOptions:
    """Return what is read of the account, and how often."""
    options = _section(entry, CONF_IMPORT)
    return ImportOptions(
        timedelta(seconds=options.get(CONF_INTERVAL, DEFAULT_POLL_INTERVAL)),
        Preference(options.get(CONF_PREFERENCE, Preference.FRESHEST)),
        frozenset(options.get(CONF_SITES, ())),
    )


def outbox_limits(entry: ConfigEntry[Any]) -> Limits:
    """Return what the account's outbox may grow to."""
    options = _section(entry, CONF_OUTBOX)
    return Limits(
        int(options.get(CONF_SIZE_LIMIT, DEFAULT_SIZE_LIMIT)) * 1024 * 1024,
        timedelta(days=options.get(CONF_AGE_LIMIT, DEFAULT_AGE_LIMIT)),
    )


def first_history(entry: ConfigEntry[Any]) -> datetime | None:
    """Return the time back to which the past was asked for when the account was added."""
    stored = entry.data.get(CONF_HISTORY)
    try:
        # Time zones of long ago have seconds, which Home Assistant's own parser does not know
        moment = datetime.fromisoformat(stored) if isinstance(stored, str) else None
    except ValueError:
        return None
    return None if moment is None or moment.tzinfo is None else moment


def wire_format(entry: ConfigEntry[Any]) -> WireFormat:
    """Return the form in which values are sent."""
    options = _section(entry, CONF_EXPERT)
    return WireFormat(options.get(CONF_WIRE_FORMAT, WireFormat.JSON))


def note_damage(entry: ConfigEntry[Any]) -> None:
    """Log, once at a set-up, what of an entry cannot be read and has its default."""
    _, damaged = read_options(entry.options)
    hosts = account_hosts(entry.data)
    damaged += [
        key
        for key, address in (
            (CONF_AUTHENTICATION_URL, hosts.authentication),
            (CONF_API_URL, hosts.api),
            (CONF_INGRESS_URL, hosts.ingress),
        )
        if str(entry.data.get(key)).rstrip("/") != address
    ]
    if stored_token(entry).value == _LOST_TOKEN:
        damaged.append(CONF_REFRESH_TOKEN)
    if entry.data.get(CONF_HISTORY) is not None and first_history(entry) is None:
        damaged.append(CONF_HISTORY)
    if damaged:
        LOGGER.warning(
            "Stored settings of %s cannot be read, so that the defaults hold: %s",
            entry.title,
            ", ".join(damaged),
        )


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
