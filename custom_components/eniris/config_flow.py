"""The forms: an account with its second factor, re-authentication, and the `export` subentry."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import voluptuous as vol

from homeassistant.config_entries import (
    SOURCE_REAUTH,
    ConfigEntry,
    ConfigFlow,
    ConfigFlowResult,
    ConfigSubentryFlow,
)
from homeassistant.const import CONF_PASSWORD, CONF_USERNAME
from homeassistant.core import callback
from homeassistant.data_entry_flow import AbortFlow, section
from homeassistant.helpers.aiohttp_client import async_get_clientsession
from homeassistant.helpers.selector import (
    TextSelector,
    TextSelectorConfig,
    TextSelectorType,
)

from .account import account_hosts, address_problem, token_data
from .api import (
    CREDENTIAL_LIMIT,
    Authentication,
    BadRequestError,
    ConflictError,
    EnirisConnectionError,
    EnirisError,
    EnirisResponseError,
    Hosts,
    NoPasswordError,
    PartialToken,
    RateLimitedError,
    RefreshToken,
    ServerError,
    UnauthorizedError,
)
from .const import (
    CONF_ADVANCED,
    CONF_API_URL,
    CONF_AUTHENTICATION_URL,
    CONF_CODE,
    CONF_HISTORY,
    CONF_INGRESS_URL,
    DOMAIN,
    LOGGER,
    SUBENTRY_EXPORT,
)
from .export_flow import ExportSubentryFlow
from .history_form import history_schema, history_start
from .importing.statistics import has_recorder
from .options_flow import EnirisOptionsFlow

_PASSWORD = TextSelector(
    TextSelectorConfig(type=TextSelectorType.PASSWORD, autocomplete="current-password")
)
_URL = TextSelector(TextSelectorConfig(type=TextSelectorType.URL))

_DEFAULTS = Hosts()


def _user_schema(*, collapsed: bool) -> vol.Schema:
    """Return the form, made anew: the oldest Home Assistant writes what is suggested into it."""
    return vol.Schema(
        {
            vol.Required(CONF_USERNAME): TextSelector(
                TextSelectorConfig(autocomplete="username")
            ),
            vol.Required(CONF_PASSWORD): _PASSWORD,
            vol.Required(CONF_ADVANCED): section(
                vol.Schema(
                    {
                        vol.Required(
                            CONF_AUTHENTICATION_URL, default=_DEFAULTS.authentication
                        ): _URL,
                        vol.Required(CONF_API_URL, default=_DEFAULTS.api): _URL,
                        vol.Required(CONF_INGRESS_URL, default=_DEFAULTS.ingress): _URL,
                    }
                ),
                {"collapsed": collapsed},
            ),
        }
    )


_PASSWORD_SCHEMA = vol.Schema({vol.Required(CONF_PASSWORD): _PASSWORD})
_CODE_SCHEMA = vol.Schema(
    {
        vol.Required(CONF_CODE): TextSelector(
            TextSelectorConfig(autocomplete="one-time-code")
        )
    }
)

_TOTP = "totp"
_EMAIL_OTP = "email_otp"


class EnirisConfigFlow(ConfigFlow, domain=DOMAIN):
    """Log in, with or without a second factor; keep the token, forget the password."""

    VERSION = 1
    MINOR_VERSION = 1

    def __init__(self) -> None:
        """Start with nothing known."""
        self._username = ""
        self._addresses: dict[str, str] = {}
        self._partial: PartialToken | None = None
        self._token: RefreshToken | None = None
        """Of an account that is about to be added."""
        self._factors = [_TOTP, _EMAIL_OTP]
        self._code_sent = False
        self._placeholders: dict[str, str] = {}

    @classmethod
    @callback
    def async_get_supported_subentry_types(
        cls, config_entry: ConfigEntry[Any]
    ) -> dict[str, type[ConfigSubentryFlow]]:
        """Return the kinds of things that can be added to an account."""
        return {SUBENTRY_EXPORT: ExportSubentryFlow}

    @staticmethod
    @callback
    def async_get_options_flow(config_entry: ConfigEntry[Any]) -> EnirisOptionsFlow:
        """Return the options of an account."""
        return EnirisOptionsFlow()

    async def async_step_user(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Ask for the credentials."""
        errors: dict[str, str] = {}
        if user_input is not None:
            self._username = user_input[CONF_USERNAME].strip()
            self._addresses = {
                key: address.strip()
                for key, address in user_input[CONF_ADVANCED].items()
            }
            errors = self._input_errors(user_input[CONF_PASSWORD])
            if not errors:
                result = await self._log_in(user_input[CONF_PASSWORD], errors)
                if result is not None:
                    return result
        shown = {
            key: value
            for key, value in (user_input or {}).items()
            if key != CONF_PASSWORD
        }
        return self.async_show_form(
            step_id="user",
            data_schema=self.add_suggested_values_to_schema(
                _user_schema(collapsed=not errors.keys() & self._addresses.keys()),
                shown,
            ),
            errors=errors,
            description_placeholders=self._placeholders,
        )

    async def async_step_reauth(
        self, entry_data: Mapping[str, Any]
    ) -> ConfigFlowResult:
        """Start over with an account whose token is not accepted any more."""
        self._username = entry_data[CONF_USERNAME]
        self._addresses = {
            key: entry_data[key]
            for key in (CONF_AUTHENTICATION_URL, CONF_API_URL, CONF_INGRESS_URL)
        }
        return await self.async_step_reauth_confirm()

    async def async_step_reauth_confirm(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Ask for the password again."""
        errors: dict[str, str] = {}
        if user_input is not None:
            errors = self._input_errors(user_input[CONF_PASSWORD])
            if not errors:
                result = await self._log_in(user_input[CONF_PASSWORD], errors)
                if result is not None:
                    return result
        return self.async_show_form(
            step_id="reauth_confirm",
            data_schema=_PASSWORD_SCHEMA,
            errors=errors,
            description_placeholders={
                CONF_USERNAME: self._username,
                **self._placeholders,
            },
        )

    async def async_step_second_factor(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Let the user choose how to prove who they are."""
        if not self._factors:
            return self.async_abort(reason="no_second_factor")
        return self.async_show_menu(step_id="second_factor", menu_options=self._factors)

    async def async_step_totp(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Ask for the code of an authenticator app."""
        return await self._second_factor(_TOTP, user_input, {})

    async def async_step_email_otp(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Have a code e-mailed, and ask for it."""
        errors: dict[str, str] = {}
        if not self._code_sent and self._partial is not None:
            # No code can have come yet; what was typed is the wish to try again
            user_input = None
            try:
                await self._authentication.request_email_otp(
                    self._partial, self.hass.config.language[:2]
                )
                self._code_sent = True
            except ConflictError:
                return await self._factor_missing(_EMAIL_OTP)
            except RateLimitedError as err:
                # The code of an earlier e-mail may still be good
                self._code_sent = True
                errors["base"] = "too_many_emails"
                self._placeholders = _placeholders(err)
            except EnirisError as err:
                errors["base"] = self._error_key(err)
        return await self._second_factor(_EMAIL_OTP, user_input, errors)

    async def _second_factor(
        self, factor: str, user_input: dict[str, Any] | None, errors: dict[str, str]
    ) -> ConfigFlowResult:
        if user_input is not None and self._partial is not None:
            code = user_input[CONF_CODE].replace(" ", "")
            authenticate = (
                self._authentication.authenticate_totp
                if factor == _TOTP
                else self._authentication.authenticate_email_otp
            )
            try:
                return await self._finish(await authenticate(self._partial, code))
            except (BadRequestError, UnauthorizedError):
                errors[CONF_CODE] = "invalid_code"
            except ConflictError as err:
                if not err.says("INACTIVE"):
                    return await self._factor_missing(factor)
                errors[CONF_CODE] = "code_expired"
            except EnirisError as err:
                errors["base"] = self._error_key(err)
        return self.async_show_form(
            step_id=factor,
            data_schema=_CODE_SCHEMA,
            errors=errors,
            description_placeholders={
                CONF_USERNAME: self._username,
                **self._placeholders,
            },
        )

    async def _factor_missing(self, factor: str) -> ConfigFlowResult:
        """Offer what is left, when the account has not set up the factor that was chosen."""
        self._factors.remove(factor)
        return await self.async_step_second_factor()

    @property
    def _authentication(self) -> Authentication:
        return Authentication(
            async_get_clientsession(self.hass), account_hosts(self._addresses)
        )

    def _input_errors(self, password: str) -> dict[str, str]:
        """Return what can be told to be wrong without asking the service."""
        errors = {
            key: problem
            for key, address in self._addresses.items()
            if (problem := address_problem(address)) is not None
        }
        if errors:
            # The frontend does not show errors at the fields of a section
            self._placeholders = {
                "addresses": ", ".join(self._addresses[key] or "–" for key in errors)
            }
            errors["base"] = "advanced_invalid"
        for key, value in ((CONF_USERNAME, self._username), (CONF_PASSWORD, password)):
            if not value:
                errors[key] = "empty"
            elif len(value) > CREDENTIAL_LIMIT:
                errors[key] = "too_long"
        return errors

    async def _log_in(
        self, password: str, errors: dict[str, str]
    ) -> ConfigFlowResult | None:
        """Log in; return the next step, or None with the reason in `errors`."""
        try:
            token = await self._authentication.login(self._username, password)
            if isinstance(token, PartialToken):
                self._partial = token
                return await self.async_step_second_factor()
            return await self._finish(token)
        except UnauthorizedError:
            errors[CONF_PASSWORD] = "invalid_auth"
        except EnirisError as err:
            errors["base"] = self._error_key(err)
        return None

    async def _finish(self, token: RefreshToken) -> ConfigFlowResult:
        """Create or update the entry of the account that `token` stands for."""
        user_id = await self._authentication.validate(token)
        try:
            await self.async_set_unique_id(str(user_id))
            if self.source == SOURCE_REAUTH:
                self._abort_if_unique_id_mismatch(reason="wrong_account")
            else:
                self._abort_if_unique_id_configured()
        except AbortFlow:
            await self._discard(token)
            raise
        if self.source == SOURCE_REAUTH:
            entry = self._get_reauth_entry()
            self.hass.config_entries.async_update_entry(
                entry, data={**entry.data, **token_data(token)}
            )
            self.hass.config_entries.async_schedule_reload(entry.entry_id)
            return self.async_abort(reason="reauth_successful")
        self._token = token
        if not has_recorder(self.hass):
            return self._create(token, None)
        return await self.async_step_history()

    async def async_step_history(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Ask how far back the past is wanted."""
        errors: dict[str, str] = {}
        if user_input is not None and self._token is not None:
            start = history_start(user_input, errors)
            if not errors:
                return self._create(self._token, start)
        return self.async_show_form(
            step_id="history",
            data_schema=self.add_suggested_values_to_schema(
                history_schema(with_nothing=True), user_input or {}
            ),
            errors=errors,
        )

    def _create(self, token: RefreshToken, start: datetime | None) -> ConfigFlowResult:
        self._token = None
        data = {
            CONF_USERNAME: self._username,
            **token_data(token),
            **self._addresses,
        }
        if start is not None:
            data[CONF_HISTORY] = start.isoformat()
        return self.async_create_entry(title=self._username, data=data)

    @callback
    def async_remove(self) -> None:
        """Log out again where the dialog was closed before its end."""
        if self._token is not None:
            self.hass.async_create_task(self._discard(self._token), "eniris logout")

    async def _discard(self, token: RefreshToken) -> None:
        """Log out a token that nobody will use."""
        try:
            await self._authentication.logout(token)
        except EnirisError as err:
            LOGGER.debug("A token that is not needed was not logged out: %s", err)

    def _error_key(self, err: EnirisError) -> str:
        self._placeholders = _placeholders(err)
        return next(key for kind, key in _ERROR_KEYS if isinstance(err, kind))


_ERROR_KEYS: tuple[tuple[type[EnirisError], str], ...] = (
    (RateLimitedError, "rate_limited"),
    (NoPasswordError, "no_password"),
    (EnirisConnectionError, "cannot_connect"),
    (ServerError, "cannot_connect"),
    (EnirisResponseError, "unexpected_answer"),
    (EnirisError, "refused"),
)


def _placeholders(err: EnirisError) -> dict[str, str]:
    """Return what the error texts can quote."""
    wait = err.retry_after if isinstance(err, RateLimitedError) else None
    return {
        "error": str(err),
        "minutes": "?" if wait is None else str(max(1, round(wait / 60))),
    }
