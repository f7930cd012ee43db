"""An account's stored data and options, and which changes of it ask for a reload."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, Final

import voluptuous as vol

from homeassistant.config_entries import ConfigEntry
from homeassistant.data_entry_flow import section
from homeassistant.helpers.selector import (
    NumberSelector,
    NumberSelectorConfig,
    NumberSelectorMode,
    SelectSelector,
    SelectSelectorConfig,
    SelectSelectorMode,
)

from .api import RefreshToken
from .const import (
    CONF_AGE_LIMIT,
    CONF_HISTORY,
    CONF_IMPORT,
    CONF_INTERVAL,
    CONF_OUTBOX,
    CONF_PREFERENCE,
    CONF_REFRESH_TOKEN,
    CONF_REFRESH_TOKEN_ISSUED,
    CONF_SITES,
    CONF_SIZE_LIMIT,
    DEFAULT_AGE_LIMIT,
    DEFAULT_POLL_INTERVAL,
    DEFAULT_SIZE_LIMIT,
    LARGEST_SIZE,
    LOGGER,
    LONGEST_AGE,
    LONGEST_POLL_INTERVAL,
    SHORTEST_POLL_INTERVAL,
    SUBENTRY_EXPORT,
)
from .exporting.config import read_exports
from .exporting.outbox.limits import Limits
from .http import account_hosts
from .importing.coordinator import ImportOptions
from .importing.plan import Preference


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


def first_history(entry: ConfigEntry[Any]) -> datetime | None:
    """Return the time back to which the past was asked for when the account was added."""
    stored = entry.data.get(CONF_HISTORY)
    # Time zones of long ago have seconds, which Home Assistant's own parser does not know
    return None if stored is None else datetime.fromisoformat(stored)


def _whole_number(
    number: type[NumberSelector], least: int, most: int, unit: str
) -> Any:
    selector = number(
        NumberSelectorConfig(
            min=least,
            max=most,
            step=1,
            mode=NumberSelectorMode.BOX,
            unit_of_measurement=unit,
        )
    )
    return vol.All(selector, vol.Coerce(int))


def options_schema(
    sites: Any, number: type[NumberSelector] = NumberSelector
) -> vol.Schema:
    """Return the schema of an entry's options, which is the form that asks for them.

    `sites` validates the chosen sites: a selector in the form, `[str]` for what is stored; `number` validates
    numbers. The form is made anew each time, since the oldest Home Assistant writes what is suggested into it.
    """
    return vol.Schema(
        {
            vol.Required(CONF_IMPORT): section(
                vol.Schema(
                    {
                        vol.Required(
                            CONF_INTERVAL, default=DEFAULT_POLL_INTERVAL
                        ): _whole_number(
                            number, SHORTEST_POLL_INTERVAL, LONGEST_POLL_INTERVAL, "s"
                        ),
                        vol.Required(
                            CONF_PREFERENCE, default=Preference.FRESHEST.value
                        ): SelectSelector(
                            SelectSelectorConfig(
                                options=[preference.value for preference in Preference],
                                translation_key="preference",
                                mode=SelectSelectorMode.LIST,
                            )
                        ),
                        vol.Optional(CONF_SITES): sites,
                    },
                    extra=vol.REMOVE_EXTRA,
                )
            ),
            vol.Required(CONF_OUTBOX): section(
                vol.Schema(
                    {
                        vol.Required(
                            CONF_SIZE_LIMIT, default=DEFAULT_SIZE_LIMIT
                        ): _whole_number(number, 1, LARGEST_SIZE, "MiB"),
                        vol.Required(
                            CONF_AGE_LIMIT, default=DEFAULT_AGE_LIMIT
                        ): _whole_number(number, 0, LONGEST_AGE, "d"),
                    },
                    extra=vol.REMOVE_EXTRA,
                )
            ),
        },
        # What a newer version has added
        extra=vol.REMOVE_EXTRA,
    )


_STORED_OPTIONS: Final = options_schema([str])


def _checked_options(
    options: Mapping[str, Any],
) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Return an entry's options by section, and the names of those that are not valid.

    In a section with an invalid option the defaults hold.
    """
    sections = {name: options.get(name, {}) for name in (CONF_IMPORT, CONF_OUTBOX)}
    invalid: list[str] = []
    try:
        _STORED_OPTIONS(sections)
    except vol.MultipleInvalid as err:
        for error in err.errors:
            sections[str(error.path[0])] = {}
            # Nothing deeper: the value of a list is the user's
            invalid.append(".".join(map(str, error.path[:2])))
    return _STORED_OPTIONS(sections), sorted(invalid)


def read_options(options: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return an entry's options by section, complete; defaults for a section that is not valid."""
    return _checked_options(options)[0]


def log_invalid_settings(entry: ConfigEntry[Any]) -> None:
    """Log, once at a set-up, the names of stored options that cannot be used."""
    if invalid := _checked_options(entry.options)[1]:
        LOGGER.warning(
            "Stored settings of %s cannot be read, so that the defaults hold: %s",
            entry.title,
            ", ".join(invalid),
        )


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
        options[CONF_SIZE_LIMIT] * 1024 * 1024,
        timedelta(days=options[CONF_AGE_LIMIT]),
    )


def read_fingerprint(entry: ConfigEntry[Any]) -> tuple[Any, ...]:
    """Return all of an entry that asks for a reload when it changes; not the token, which the session renews."""
    return (
        account_hosts(entry.data),
        entry.title,
        {key: its for key, its in entry.options.items() if key != CONF_OUTBOX},
        {
            id_: (subentry.title, dict(subentry.data))
            for id_, subentry in entry.subentries.items()
            if subentry.subentry_type != SUBENTRY_EXPORT
        },
    )


def sent_fingerprint(
    entry: ConfigEntry[Any],
    adopted: Mapping[tuple[str, str, str], str] = MappingProxyType({}),
) -> tuple[Any, ...]:
    """Return all of an entry that asks for another exporter when it changes.

    Not whether an export is enabled, which is a switch, nor what the exporter itself has decided of fields:
    their kinds, and `adopted`, the entity ids for which it stored registry ids; see `Sampler`.
    """
    exports = {
        export.id: replace(
            export,
            enabled=True,
            fields=tuple(
                replace(
                    exported,
                    kind=None,
                    entity=adopted.get(
                        (export.id, exported.field, exported.entity), exported.entity
                    ),
                )
                for exported in export.fields
            ),
        )
        for export in read_exports(entry)[0]
    }
    return (
        entry.options.get(CONF_OUTBOX),
        {
            id_: exports.get(id_, (subentry.title, dict(subentry.data)))
            for id_, subentry in entry.subentries.items()
            if subentry.subentry_type == SUBENTRY_EXPORT
        },
    )
