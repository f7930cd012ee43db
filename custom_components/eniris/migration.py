"""What other versions of the integration have stored: older entries are brought up to date, newer ones told of.

docs/stored-data.md lists every form that entries and files ever had. An entry of a newer minor version is used as it
is. One of a newer version is not, nor is an account whose files are newer: then nothing is changed, and one error and
one repair issue say so.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from homeassistant import exceptions
from homeassistant.config_entries import ConfigEntry
from homeassistant.core import HomeAssistant, callback
from homeassistant.exceptions import ConfigEntryError
from homeassistant.helpers import issue_registry as ir

from .const import (
    CONF_AGGREGATE,
    CONF_HEARTBEAT,
    CONF_INTERVAL,
    CONF_MODE,
    CONF_SHORTEST,
    DOMAIN,
    LOGGER,
    SUBENTRY_EXPORT,
)
from .exporting.config import DEFAULT_INTERVAL, Aggregate, Mode

VERSION: Final = 1
MINOR_VERSION: Final = 2

UNREADABLE_STORE: Final[tuple[type[Exception], ...]] = (
    NotImplementedError,
    # Newer ones say it in a word of its own
    getattr(exceptions, "UnsupportedStorageVersionError", NotImplementedError),
)
"""What `Store.async_load` raises on a file of a newer version."""


@dataclass(frozen=True, slots=True)
class Stored:
    """What an entry keeps, for steps to change: `exports` are the data of its subentries by id."""

    data: dict[str, Any]
    options: dict[str, Any]
    exports: dict[str, dict[str, Any]]


type _Version = tuple[int, int]
type _Step = tuple[_Version, Callable[[Stored], None]]

_WHEN: Final[Mapping[str, Mapping[str, Any]]] = {
    Mode.CHANGE: {CONF_SHORTEST: 0, CONF_HEARTBEAT: 0},
    Mode.INTERVAL: {
        CONF_INTERVAL: DEFAULT_INTERVAL,
        CONF_AGGREGATE: Aggregate.LAST.value,
        CONF_HEARTBEAT: 0,
    },
}


def _say_when(stored: Stored) -> None:
    """Write down when values are sent: the first exports left that to what was the default then.

    The form suggests other values by now, and must not take those for what the user chose.
    """
    for export in stored.exports.values():
        mode = export.setdefault(CONF_MODE, Mode.CHANGE.value)
        # One that is damaged is for the set-up to tell of
        for key, value in (_WHEN[mode] if mode in set(Mode) else {}).items():
            export.setdefault(key, value)


_STEPS: Final[Mapping[_Version, _Step]] = {(1, 1): ((1, 2), _say_when)}
"""By the version that a step is for: the version that it leads to, and what it changes.

A step leaves alone what is in its new form already.
"""


async def async_migrate_entry(hass: HomeAssistant, entry: ConfigEntry[Any]) -> bool:
    """Bring an older entry up to date; return False for one that is too new.

    Newer Home Assistants do not even ask about that one, so `async_tell_newer_entries` looks for it, too.
    """
    if entry.version > VERSION:
        _async_tell_newer_entry(hass, entry)
        return False
    version = entry.version, entry.minor_version
    exports = {
        id_: subentry
        for id_, subentry in entry.subentries.items()
        if subentry.subentry_type == SUBENTRY_EXPORT
    }
    stored = Stored(
        dict(entry.data),
        dict(entry.options),
        {id_: dict(subentry.data) for id_, subentry in exports.items()},
    )
    while version < (VERSION, MINOR_VERSION):
        version, change = _STEPS[version]
        change(stored)
    # Home Assistant writes all of it at once, later. The version comes last: then all is in its form
    for id_, data in stored.exports.items():
        hass.config_entries.async_update_subentry(entry, exports[id_], data=data)
    hass.config_entries.async_update_entry(
        entry,
        data=stored.data,
        options=stored.options,
        version=version[0],
        minor_version=version[1],
    )
    return True


@callback
def async_tell_newer_entries(hass: HomeAssistant) -> None:
    """Tell of the accounts that a newer version has stored, before Home Assistant gives up on them."""
    for entry in hass.config_entries.async_entries(
        DOMAIN, include_ignore=False, include_disabled=False
    ):
        if entry.version > VERSION:
            _async_tell_newer_entry(hass, entry)


@callback
def _async_tell_newer_entry(hass: HomeAssistant, entry: ConfigEntry[Any]) -> None:
    if ir.async_get(hass).async_get_issue(DOMAIN, _issue_id(entry)) is not None:
        return
    _async_raise_issue(hass, entry)
    LOGGER.error(
        "%s is not set up: it was stored by a newer version of this integration (%d.%d, this one"
        " knows %d.%d). Nothing was changed, and values that wait to be sent stay on disk. Update"
        " the integration again, or remove the account and add it anew",
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
