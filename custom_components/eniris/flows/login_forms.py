"""The forms of a log-in, and the words for what can go wrong with one."""

import math
from typing import Final

import voluptuous as vol

from homeassistant.const import CONF_PASSWORD, CONF_USERNAME
from homeassistant.data_entry_flow import section
from homeassistant.helpers.selector import (
    BooleanSelector,
    TextSelector,
    TextSelectorConfig,
    TextSelectorType,
)

from ..api import (
    CREDENTIAL_LIMIT,
    EnirisCertificateError,
    EnirisConnectionError,
    EnirisError,
    EnirisResponseError,
    EnirisStatusError,
    Hosts,
    MethodNotAllowedError,
    NoPasswordError,
    NotFoundError,
    RateLimitedError,
    ServerError,
)
from ..const import (
    CONF_ADVANCED,
    CONF_API_URL,
    CONF_AUTHENTICATION_URL,
    CONF_CODE,
    CONF_INGRESS_URL,
    CONF_OTHER_WAY,
)

_HOSTS: Final = Hosts()
DEFAULT_ADDRESSES: Final = {
    CONF_AUTHENTICATION_URL: _HOSTS.authentication,
    CONF_API_URL: _HOSTS.api,
    CONF_INGRESS_URL: _HOSTS.ingress,
}

_USERNAME: Final = TextSelector(TextSelectorConfig(autocomplete="username"))
_PASSWORD: Final = TextSelector(
    TextSelectorConfig(type=TextSelectorType.PASSWORD, autocomplete="current-password")
)
_URL: Final = TextSelector(TextSelectorConfig(type=TextSelectorType.URL))
_CODE: Final = TextSelector(TextSelectorConfig(autocomplete="one-time-code"))

_USUAL_WAIT: Final = 15 * 60
"""Seconds that are advised where the service asks to wait and does not say how long."""

_PROBLEMS: Final[tuple[tuple[type[EnirisError], str], ...]] = (
    (RateLimitedError, "rate_limited"),
    (NoPasswordError, "no_password"),
    (EnirisCertificateError, "certificate"),
    (EnirisConnectionError, "cannot_connect"),
    (ServerError, "cannot_connect"),
    (EnirisResponseError, "unexpected_answer"),
    (NotFoundError, "unexpected_answer"),
    (MethodNotAllowedError, "unexpected_answer"),
    (EnirisError, "refused"),
)

OF_AN_ADDRESS: Final = ("cannot_connect", "certificate", "unexpected_answer")
"""Problems that can mean that the service has another address."""


# Forms are made anew each time: the oldest Home Assistant writes what is suggested into them


def password_form(step_id: str, *, collapsed: bool) -> vol.Schema:
    """Return the form of a step that asks for the password; `collapsed` hides the section of addresses."""
    fields: dict[vol.Marker, object] = {}
    if step_id in ("user", "log_in"):
        fields[vol.Required(CONF_USERNAME)] = _USERNAME
    if step_id == "addresses":
        fields |= {vol.Required(key): _URL for key in DEFAULT_ADDRESSES}
    fields[vol.Required(CONF_PASSWORD)] = _PASSWORD
    if step_id == "user":
        addresses = {
            vol.Required(key, default=address): _URL
            for key, address in DEFAULT_ADDRESSES.items()
        }
        fields[vol.Required(CONF_ADVANCED)] = section(
            vol.Schema(addresses), {"collapsed": collapsed}
        )
    return vol.Schema(fields)


def code_form() -> vol.Schema:
    """Return the form that asks for the code of a second factor."""
    return vol.Schema(
        {
            # Not required: who has none turns on what is below
            vol.Optional(CONF_CODE): _CODE,
            vol.Required(CONF_OTHER_WAY, default=False): BooleanSelector(),
        }
    )


def credential_errors(username: str, password: str) -> dict[str, str]:
    """Return what is wrong with credentials whatever the service says, as translation keys by field."""
    errors: dict[str, str] = {}
    for key, value in ((CONF_USERNAME, username), (CONF_PASSWORD, password)):
        if not value:
            errors[key] = "empty"
        elif len(value) > CREDENTIAL_LIMIT:
            errors[key] = "too_long"
    return errors


def login_problem(err: EnirisError) -> str:
    """Return the translation key of what went wrong with a call."""
    if isinstance(err, EnirisStatusError) and 300 <= err.status < 400:
        return "unexpected_answer"
    return next(problem for kind, problem in _PROBLEMS if isinstance(err, kind))


def quotes(address: str, err: EnirisError) -> dict[str, str]:
    """Return what the texts of errors can quote of a call to `address`."""
    wait = err.retry_after if isinstance(err, RateLimitedError) else None
    minutes = math.ceil((_USUAL_WAIT if wait is None else wait) / 60)
    return {"address": address, "error": str(err), "minutes": str(max(1, minutes))}
