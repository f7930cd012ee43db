"""The forms of a controller: what they ask, what is wrong with an answer, and the trial of a log-in."""

from collections.abc import Mapping
import re
from typing import Any, Final

import voluptuous as vol

from homeassistant.const import CONF_HOST, CONF_PASSWORD, CONF_PORT, CONF_USERNAME
from homeassistant.helpers.selector import (
    BooleanSelector,
    NumberSelectorConfig,
    NumberSelectorMode,
    SelectOptionDict,
    SelectSelector,
    SelectSelectorConfig,
    SelectSelectorMode,
    TextSelector,
    TextSelectorConfig,
    TextSelectorType,
)
from homeassistant.util.ssl import client_context

from ..const import CONF_PERIOD, CONF_SERIAL, CONF_SITE_NODE_ID, CONF_TLS
from ..controller.config import DEFAULT_PERIOD, LONGEST_PERIOD, mqtt_settings
from ..controller.errors import (
    BrokerUnreachableError,
    ControllerError,
    LoginRefusedError,
    TlsRefusedError,
)
from ..controller.mqtt import async_try_log_in
from .ranges import UncheckedNumberSelector

ISSUES_URL: Final = "https://github.com/eniris-home-assistant/eniris/issues/new/choose"

CONF_NEW_TOKEN: Final = "new_token"  # noqa: S105

_DEFAULT_HOST: Final = "mqtt.eniris.be"
_PORTS: Final = {False: 1883, True: 8883}
"""By whether there is TLS."""

_PROBLEMS: Final[Mapping[type[ControllerError], str]] = {
    BrokerUnreachableError: "cannot_connect",
    LoginRefusedError: "invalid_auth",
    TlsRefusedError: "tls_refused",
}

_SITE_NODE_ID: Final = re.compile(r"([\w.-]+)_site_\d+", re.ASCII)
_SERIAL: Final = re.compile(r"[\w.-]+", re.ASCII)


def serial_of(site_node_id: str) -> str | None:
    """Return the serial number of a site's controller, None where the site's node id does not tell it."""
    match = _SITE_NODE_ID.fullmatch(site_node_id)
    return None if match is None else match[1]


def serial_problem(serial: str) -> str | None:
    """Return what is wrong with a serial number that was typed."""
    return None if _SERIAL.fullmatch(serial) else "serial_characters"


def site_form(sites: Mapping[str, str]) -> vol.Schema:
    """Return the form that asks for the site; `sites` are names by node id."""
    return vol.Schema(
        {
            vol.Required(CONF_SITE_NODE_ID, default=next(iter(sites))): SelectSelector(
                SelectSelectorConfig(
                    options=[
                        SelectOptionDict(value=node_id, label=name)
                        for node_id, name in sites.items()
                    ],
                    mode=SelectSelectorMode.DROPDOWN,
                )
            )
        }
    )


def serial_form() -> vol.Schema:
    """Return the form that asks for the serial number of the controller."""
    return vol.Schema({vol.Required(CONF_SERIAL): TextSelector()})


def webhook_form(*, is_stored: bool) -> vol.Schema:
    """Return the form that asks how often values come; where there is a token already, another can be had."""
    period = UncheckedNumberSelector(
        NumberSelectorConfig(
            min=1,
            max=LONGEST_PERIOD,
            step=1,
            mode=NumberSelectorMode.BOX,
            unit_of_measurement="s",
        )
    )
    schema: dict[Any, Any] = {
        vol.Required(CONF_PERIOD, default=DEFAULT_PERIOD): vol.All(
            period, vol.Coerce(int)
        )
    }
    if is_stored:
        schema[vol.Required(CONF_NEW_TOKEN, default=False)] = BooleanSelector()
    return vol.Schema(schema)


def mqtt_form(*, is_stored: bool) -> vol.Schema:
    """Return the form that asks for the broker; where there is a password already, it may be left empty."""
    port = UncheckedNumberSelector(
        NumberSelectorConfig(min=1, max=65535, step=1, mode=NumberSelectorMode.BOX)
    )
    return vol.Schema(
        {
            vol.Required(CONF_HOST, default=_DEFAULT_HOST): TextSelector(),
            vol.Optional(CONF_PORT): vol.All(port, vol.Coerce(int)),
            vol.Required(CONF_TLS, default=False): BooleanSelector(),
            **log_in_form(is_stored=is_stored).schema,
        }
    )


def log_in_form(*, is_stored: bool) -> vol.Schema:
    """Return the form that asks for user name and password, the latter only if it wants to be changed where it is stored."""
    password = vol.Optional if is_stored else vol.Required
    return vol.Schema(
        {
            vol.Required(CONF_USERNAME): TextSelector(
                TextSelectorConfig(autocomplete="off")
            ),
            password(CONF_PASSWORD): TextSelector(
                TextSelectorConfig(
                    type=TextSelectorType.PASSWORD, autocomplete="new-password"
                )
            ),
        }
    )


def shown_mqtt(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the form shows of settings: never the password, and no port that goes without saying."""
    shown = {key: value for key, value in settings.items() if key != CONF_PASSWORD}
    if shown.get(CONF_PORT) == _PORTS[shown.get(CONF_TLS, False)]:
        del shown[CONF_PORT]
    return shown


def read_mqtt(
    user_input: Mapping[str, Any], stored: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, str]]:
    """Return what was typed, as a controller stores it, and its errors by field.

    An empty password is the stored one. That is never sent to another host than its own.
    """
    settings = {
        CONF_HOST: user_input[CONF_HOST].strip(),
        CONF_PORT: user_input.get(CONF_PORT, _PORTS[user_input[CONF_TLS]]),
        CONF_TLS: user_input[CONF_TLS],
        CONF_USERNAME: user_input[CONF_USERNAME].strip(),
        CONF_PASSWORD: user_input.get(CONF_PASSWORD, ""),
    }
    if not settings[CONF_PASSWORD] and settings[CONF_HOST] == stored.get(CONF_HOST):
        settings[CONF_PASSWORD] = stored[CONF_PASSWORD]
    errors = {
        key: "empty"
        for key in (CONF_HOST, CONF_USERNAME, CONF_PASSWORD)
        if not settings[key]
    }
    return settings, errors


async def async_log_in_problem(
    settings: Mapping[str, Any], serial: str
) -> tuple[dict[str, str], dict[str, str]]:
    """Log in to a broker and subscribe; return the errors of a form, and what their texts quote."""
    try:
        await async_try_log_in(mqtt_settings(dict(settings)), serial, client_context())
    except ControllerError as err:
        address = f"{settings[CONF_HOST]}:{settings[CONF_PORT]}"
        return {"base": _PROBLEMS[type(err)]}, {"address": address, "error": str(err)}
    return {}, {}
