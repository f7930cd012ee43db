"""The integration leaves alone what a newer version of it has stored, and says so.

It uses an entry of a newer minor version as it is. It does not set up an entry of a newer version, nor an account
whose files are newer: then it changes nothing, and one error and one repair issue tell the user.
"""

from typing import Any, Final

from homeassistant import exceptions
from homeassistant.config_entries import ConfigEntry
from homeassistant.core import HomeAssistant, callback
from homeassistant.exceptions import ConfigEntryError
from homeassistant.helpers import issue_registry as ir

from .const import DOMAIN, LOGGER

VERSION: Final = 1
MINOR_VERSION: Final = 2

UNREADABLE_STORE: Final[tuple[type[Exception], ...]] = (
    NotImplementedError,
    # Newer Home Assistants have an error of its own for it
    getattr(exceptions, "UnsupportedStorageVersionError", NotImplementedError),
)
"""What `Store.async_load` raises on a file of a newer version."""


async def async_migrate_entry(hass: HomeAssistant, entry: ConfigEntry[Any]) -> bool:
    """Tell whether an entry can be used; newer Home Assistants do not even ask about one that is too new."""
    return entry.version <= VERSION


@callback
def async_tell_newer_entries(hass: HomeAssistant) -> None:
    """Tell of the accounts that a newer version has stored, before Home Assistant gives up on them."""
    for entry in hass.config_entries.async_entries(
        DOMAIN, include_ignore=False, include_disabled=False
    ):
        if entry.version > VERSION:
            _async_raise_issue(hass, entry)
            LOGGER.error(
                "%s is not set up: it was stored by a newer version of this integration (%d.%d,"
                " this one knows %d.%d). Nothing was changed, and values that wait to be sent stay"
                " on disk. Update the integration again, or remove the account and add it anew",
                entry.title,
                entry.version,
                entry.minor_version,
                VERSION,
                MINOR_VERSION,
            )


@callback
def async_newer_file(hass: HomeAssistant, entry: ConfigEntry[Any]) -> ConfigEntryError:
    """Raise the issue of an account that has a file of a newer version; return how set-up ends.

    Home Assistant logs that, once, and does not try again.
    """
    _async_raise_issue(hass, entry)
    return ConfigEntryError(
        translation_domain=DOMAIN,
        translation_key="newer_version",
        translation_placeholders={"account": entry.title},
    )


@callback
def _async_raise_issue(hass: HomeAssistant, entry: ConfigEntry[Any]) -> None:
    ir.async_create_issue(
        hass,
        DOMAIN,
        _issue_id(entry),
        is_fixable=False,
        severity=ir.IssueSeverity.ERROR,
        translation_key="newer_version",
        translation_placeholders={"account": entry.title},
    )


@callback
def async_forget_newer(hass: HomeAssistant, entry: ConfigEntry[Any]) -> None:
    """Take the issue back, of an account that is set up or removed."""
    ir.async_delete_issue(hass, DOMAIN, _issue_id(entry))


def _issue_id(entry: ConfigEntry[Any]) -> str:
    return f"newer_version_{entry.entry_id}"
