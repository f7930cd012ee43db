"""`ControllerSettings`: what a config subentry says about the controller of a site."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

import voluptuous as vol

from homeassistant.config_entries import ConfigEntry, ConfigSubentry
from homeassistant.const import (
    CONF_HOST,
    CONF_PASSWORD,
    CONF_PORT,
    CONF_TOKEN,
    CONF_USERNAME,
    CONF_WEBHOOK_ID,
)

from ..const import (
    CONF_INVERTED,
    CONF_MQTT,
    CONF_PERIOD,
    CONF_SERIAL,
    CONF_SITE_NODE_ID,
    CONF_TLS,
    CONF_WEBHOOK,
    LOGGER,
    SUBENTRY_CONTROLLER,
)

DEFAULT_PERIOD: Final = 60
LONGEST_PERIOD: Final = 3600


@dataclass(frozen=True, slots=True)
class WebhookSettings:
    """How the controller posts its values: to which webhook, with which token, how often."""

    id: str = field(repr=False)
    token: str = field(repr=False)
    period: timedelta


@dataclass(frozen=True, slots=True)
class MqttSettings:
    """The broker, and how to log in to it."""

    host: str
    port: int
    tls: bool
    username: str = field(repr=False)
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ControllerSettings:
    """A config subentry, parsed."""

    id: str
    title: str
    site_node_id: str
    serial: str
    webhook: WebhookSettings | None
    mqtt: MqttSettings | None
    inverted: frozenset[str] | None
    """Groups and node ids the power of which is shown with the other sign; None until somebody has looked."""


_TEXT: Final = vol.All(str, vol.Length(min=1))

_SCHEMA: Final = vol.Schema(
    {
        vol.Required(CONF_SITE_NODE_ID): _TEXT,
        # It is a level of topics
        vol.Required(CONF_SERIAL): vol.All(str, vol.Match(r"^[^/+#\x00]+$")),
        vol.Optional(CONF_WEBHOOK): {
            vol.Required(CONF_WEBHOOK_ID): _TEXT,
            vol.Required(CONF_TOKEN): _TEXT,
            vol.Required(CONF_PERIOD): vol.All(int, vol.Range(1, LONGEST_PERIOD)),
        },
        vol.Optional(CONF_MQTT): {
            vol.Required(CONF_HOST): _TEXT,
            vol.Required(CONF_PORT): vol.All(int, vol.Range(1, 65535)),
            vol.Required(CONF_TLS): bool,
            vol.Required(CONF_USERNAME): str,
            vol.Required(CONF_PASSWORD): str,
        },
        vol.Optional(CONF_INVERTED): [str],
    },
    extra=vol.REMOVE_EXTRA,
)


def mqtt_settings(stored: dict[str, Any]) -> MqttSettings:
    """Return the broker that a form or a subentry names."""
    return MqttSettings(
        stored[CONF_HOST],
        stored[CONF_PORT],
        stored[CONF_TLS],
        stored[CONF_USERNAME],
        stored[CONF_PASSWORD],
    )


def parse_controller(subentry: ConfigSubentry) -> ControllerSettings:
    """Return what a subentry says; raises `vol.Invalid` for stored data that is not valid."""
    data = _SCHEMA(dict(subentry.data))
    webhook, mqtt = data.get(CONF_WEBHOOK), data.get(CONF_MQTT)
    return ControllerSettings(
        subentry.subentry_id,
        subentry.title,
        data[CONF_SITE_NODE_ID],
        data[CONF_SERIAL],
        None
        if webhook is None
        else WebhookSettings(
            webhook[CONF_WEBHOOK_ID],
            webhook[CONF_TOKEN],
            timedelta(seconds=webhook[CONF_PERIOD]),
        ),
        None if mqtt is None else mqtt_settings(mqtt),
        frozenset(data[CONF_INVERTED]) if CONF_INVERTED in data else None,
    )


def read_controllers(entry: ConfigEntry[Any]) -> Iterator[ControllerSettings]:
    """Yield the controllers of an account; log those whose stored settings are not valid."""
    for subentry in entry.subentries.values():
        if subentry.subentry_type != SUBENTRY_CONTROLLER:
            continue
        try:
            yield parse_controller(subentry)
        except vol.MultipleInvalid as err:
            LOGGER.error(
                "Stored settings of the controller %s are invalid, so that it is skipped: %s",
                subentry.title,
                ", ".join(sorted({str(error.path[0]) for error in err.errors})),
            )


def webhook_ids(entry: ConfigEntry[Any]) -> set[str]:
    """Return the webhooks of an account's controllers."""
    return {
        subentry.data[CONF_WEBHOOK][CONF_WEBHOOK_ID]
        for subentry in entry.subentries.values()
        if subentry.subentry_type == SUBENTRY_CONTROLLER
        and CONF_WEBHOOK in subentry.data
    }
