"""An account's stored data, what makes it another account's, and what its calls are sent over."""

from collections.abc import Mapping
from datetime import datetime, timedelta
import math
from types import MappingProxyType
from typing import Any, Final

import aiohttp
import voluptuous as vol
from yarl import URL

from homeassistant.config_entries import ConfigEntry
from homeassistant.const import EVENT_HOMEASSISTANT_CLOSE
from homeassistant.core import Event, HomeAssistant, callback
from homeassistant.helpers.aiohttp_client import async_create_clientsession
from homeassistant.helpers.singleton import singleton

from .api import Hosts, RefreshToken
from .api.auth import is_token
from .api.transport import is_loopback
from .const import (
    CONF_AGE_LIMIT,
    CONF_API_URL,
    CONF_AUTHENTICATION_URL,
    CONF_ENABLED,
    CONF_ENTITY,
    CONF_FIELD,
    CONF_FIELDS,
    CONF_HISTORY,
    CONF_IMPORT,
    CONF_INGRESS_URL,
    CONF_INTERVAL,
    CONF_KIND,
    CONF_OUTBOX,
    CONF_PREFERENCE,
    CONF_REFRESH_TOKEN,
    CONF_REFRESH_TOKEN_ISSUED,
    CONF_SITES,
    CONF_SIZE_LIMIT,
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
from .exporting.outbox.limits import Limits
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
        issued_at
        if isinstance(issued_at, int | float) and math.isfinite(issued_at)
        else 0.0,
    )


def token_data(token: RefreshToken) -> dict[str, Any]:
    """Return the form in which an entry keeps a refresh token."""
    return {
        CONF_REFRESH_TOKEN: token.value,
        CONF_REFRESH_TOKEN_ISSUED: token.issued_at,
    }


def _number(least: int, most: int) -> Any:
    return vol.All(vol.Any(int, float), vol.Range(min=least, max=most))


_OPTIONS: Final = vol.Schema(
    {
        vol.Optional(CONF_IMPORT, default=dict): vol.Schema(
            {
                vol.Optional(CONF_INTERVAL, default=DEFAULT_POLL_INTERVAL): _number(
                    SHORTEST_POLL_INTERVAL, LONGEST_POLL_INTERVAL
                ),
                vol.Optional(
                    CONF_PREFERENCE, default=Preference.FRESHEST.value
                ): vol.In([preference.value for preference in Preference]),
                vol.Optional(CONF_SITES): [str],
            },
            extra=vol.REMOVE_EXTRA,
        ),
        vol.Optional(CONF_OUTBOX, default=dict): vol.Schema(
            {
                vol.Optional(CONF_SIZE_LIMIT, default=DEFAULT_SIZE_LIMIT): _number(
                    1, LARGEST_SIZE
                ),
                vol.Optional(CONF_AGE_LIMIT, default=DEFAULT_AGE_LIMIT): _number(
                    0, LONGEST_AGE
                ),
            },
            extra=vol.REMOVE_EXTRA,
        ),
    },
    extra=vol.REMOVE_EXTRA,
)


def read_options(options: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return an entry's options by section, complete; defaults for a section that is not valid."""
    invalid = {name.partition(".")[0] for name in _invalid_options(options)}
    valid = {name: value for name, value in options.items() if name not in invalid}
    sections: dict[str, dict[str, Any]] = _OPTIONS(valid)
    return sections


def _invalid_options(options: Mapping[str, Any]) -> list[str]:
    """Return the names of options that are not valid, each behind its section's."""
    try:
        _OPTIONS(dict(options))
    except vol.MultipleInvalid as err:
        # Nothing deeper: the value of a list is the user's
        return sorted({".".join(map(str, each.path[:2])) for each in err.errors})
    return []


def import_options(entry: ConfigEntry[Any]) -> ImportOptions:
    """Return what is read of the account, and how often."""
    options = read_options(entry.options)[CONF_IMPORT]
    return ImportOptions(
        timedelta(seconds=options[CONF_INTERVAL]),
        Preference(options[CONF_PREFERENCE]),
        frozenset(options.get(CONF_SITES, ())),
    )


def outbox_limits(entry: ConfigEntry[Any]) -> Limits:
    """Return what the account's outbox may grow to."""
    options = read_options(entry.options)[CONF_OUTBOX]
    return Limits(
        int(options[CONF_SIZE_LIMIT]) * 1024 * 1024,
        timedelta(days=options[CONF_AGE_LIMIT]),
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


def log_invalid_settings(entry: ConfigEntry[Any]) -> None:
    """Log, once at a set-up, the names of stored settings that cannot be used."""
    invalid = _invalid_options(entry.options)
    hosts = account_hosts(entry.data)
    invalid += [
        key
        for key, address in (
            (CONF_AUTHENTICATION_URL, hosts.authentication),
            (CONF_API_URL, hosts.api),
            (CONF_INGRESS_URL, hosts.ingress),
        )
        if str(entry.data.get(key)).rstrip("/") != address
    ]
    if stored_token(entry).value == _LOST_TOKEN:
        invalid.append(CONF_REFRESH_TOKEN)
    if entry.data.get(CONF_HISTORY) is not None and first_history(entry) is None:
        invalid.append(CONF_HISTORY)
    if invalid:
        LOGGER.warning(
            "Stored settings of %s cannot be read, so that the defaults hold: %s",
            entry.title,
            ", ".join(invalid),
        )


def fingerprint(
    entry: ConfigEntry[Any],
    adopted: Mapping[tuple[str, str, str], str] = MappingProxyType({}),
) -> tuple[Any, ...]:
    """Return all of an entry that asks for a reload when it changes.

    Not the token, which the session renews, nor whether an export is enabled, which is a switch, nor what the
    exporter itself has decided of fields: their kinds, and `adopted`, the entity ids for which it stored registry ids; see `Sampler`.
    """
    return (
        account_hosts(entry.data),
        entry.title,
        dict(entry.options),
        {
            id_: (
                subentry.title,
                {key: value for key, value in subentry.data.items() if key not in _OWN},
                _without_decisions(id_, subentry.data.get(CONF_FIELDS), adopted),
            )
            for id_, subentry in entry.subentries.items()
        },
    )


_OWN: Final = {CONF_ENABLED, CONF_FIELDS}


def _without_decisions(
    export_id: str, rows: Any, adopted: Mapping[tuple[str, str, str], str]
) -> Any:
    """Return the rows of an export's fields as they were stored first; what is no row stays as it is."""
    if not isinstance(rows, list | tuple):
        return rows
    return [
        {
            **row,
            CONF_KIND: None,
            CONF_ENTITY: adopted.get(
                (export_id, str(row.get(CONF_FIELD)), str(row.get(CONF_ENTITY))),
                row.get(CONF_ENTITY),
            ),
        }
        if isinstance(row, Mapping)
        else row
        for row in rows
    ]


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
