"""The forms of an account: add it, log in again, give it other addresses."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import voluptuous as vol

from homeassistant.config_entries import (
    SOURCE_REAUTH,
    SOURCE_RECONFIGURE,
    ConfigEntry,
    ConfigFlowResult,
    ConfigSubentryFlow,
)
from homeassistant.const import CONF_PASSWORD, CONF_USERNAME
from homeassistant.core import DOMAIN as HOMEASSISTANT_DOMAIN, callback
from homeassistant.data_entry_flow import section
from homeassistant.helpers import issue_registry as ir
from homeassistant.helpers.selector import (
    TextSelector,
    TextSelectorConfig,
    TextSelectorType,
)

from . import migration
from .account import (
    account_hosts,
    async_http_session,
    fingerprint,
    stored_token,
    token_data,
)
from .api import Authentication, Hosts, RefreshToken
from .const import (
    CONF_ADVANCED,
    CONF_API_URL,
    CONF_AUTHENTICATION_URL,
    CONF_HISTORY,
    CONF_INGRESS_URL,
    DOMAIN,
    SUBENTRY_EXPORT,
)
from .export_flow import ExportSubentryFlow
from .history_form import history_schema, history_start
from .login_flow import ADDRESSES, OF_AN_ADDRESS, LoginFlow, discard_token
from .options_flow import EnirisOptionsFlow
from .recording import has_recorder

_USERNAME = TextSelector(TextSelectorConfig(autocomplete="username"))
_PASSWORD = TextSelector(
    TextSelectorConfig(type=TextSelectorType.PASSWORD, autocomplete="current-password")
)
_URL = TextSelector(TextSelectorConfig(type=TextSelectorType.URL))

_HOSTS = Hosts()
_DEFAULTS = {
    CONF_AUTHENTICATION_URL: _HOSTS.authentication,
    CONF_API_URL: _HOSTS.api,
    CONF_INGRESS_URL: _HOSTS.ingress,
}


# Forms are made anew each time: the oldest Home Assistant writes what is suggested into them


def _user_schema(*, collapsed: bool) -> vol.Schema:
    return vol.Schema(
        {
            vol.Required(CONF_USERNAME): _USERNAME,
            vol.Required(CONF_PASSWORD): _PASSWORD,
            vol.Required(CONF_ADVANCED): section(
                vol.Schema(
                    {
                        vol.Required(key, default=address): _URL
                        for key, address in _DEFAULTS.items()
                    }
                ),
                {"collapsed": collapsed},
            ),
        }
    )


def _password_schema() -> vol.Schema:
    return vol.Schema({vol.Required(CONF_PASSWORD): _PASSWORD})


def _log_in_schema() -> vol.Schema:
    return vol.Schema(
        {
            vol.Required(CONF_USERNAME): _USERNAME,
            vol.Required(CONF_PASSWORD): _PASSWORD,
        }
    )


def _addresses_schema() -> vol.Schema:
    return vol.Schema(
        {
            **{vol.Required(key): _URL for key in ADDRESSES},
            vol.Required(CONF_PASSWORD): _PASSWORD,
        }
    )


class EnirisConfigFlow(LoginFlow, domain=DOMAIN):
    """Add an account, or log in to one that there is."""

    VERSION = migration.VERSION
    MINOR_VERSION = migration.MINOR_VERSION

    def __init__(self) -> None:
        """Start with the addresses that Eniris has for everybody."""
        super().__init__()
        self._proven = _DEFAULTS

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
        self._ask = self.async_step_user
        if user_input is not None:
            self._username = user_input[CONF_USERNAME].strip()
            self._addresses = _addresses(user_input[CONF_ADVANCED])
            return await self._log_in(user_input[CONF_PASSWORD])
        errors = self._take_errors()
        shown = {CONF_USERNAME: self._username, CONF_ADVANCED: self._addresses}
        return self.async_show_form(
            step_id="user",
            data_schema=self.add_suggested_values_to_schema(
                _user_schema(collapsed=not errors.keys() & set(ADDRESSES)),
                shown if self._addresses else {},
            ),
            errors=errors,
            description_placeholders=self._placeholders,
        )

    async def async_step_reauth(
        self, entry_data: Mapping[str, Any]
    ) -> ConfigFlowResult:
        """Start over with an account whose token is not accepted any more."""
        self._start_with(entry_data)
        return await self.async_step_reauth_confirm()

    async def async_step_reauth_confirm(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Ask for the password again."""
        self._ask = self.async_step_reauth_confirm
        if user_input is not None:
            return await self._log_in(user_input[CONF_PASSWORD])
        return self.async_show_form(
            step_id="reauth_confirm",
            data_schema=_password_schema(),
            errors=self._take_errors(),
            description_placeholders={
                CONF_USERNAME: self._username,
                **self._placeholders,
            },
        )

    async def async_step_reconfigure(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Let the user choose what is different now."""
        entry = self._get_reconfigure_entry()
        self._start_with(entry.data)
        return self.async_show_menu(
            step_id="reconfigure",
            menu_options=["log_in", "addresses"],
            description_placeholders={CONF_USERNAME: self._username},
        )

    async def async_step_log_in(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Ask for the credentials of the same account, which may have changed."""
        self._ask = self.async_step_log_in
        if user_input is not None:
            self._username = user_input[CONF_USERNAME].strip()
            return await self._log_in(user_input[CONF_PASSWORD])
        return self.async_show_form(
            step_id="log_in",
            data_schema=self.add_suggested_values_to_schema(
                _log_in_schema(), {CONF_USERNAME: self._username}
            ),
            errors=self._take_errors(),
            description_placeholders=self._placeholders,
        )

    async def async_step_addresses(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Ask for the addresses and the password.

        The stored token is never sent to a host that was just typed: it takes a log-in there.
        """
        self._ask = self.async_step_addresses
        if user_input is not None:
            self._addresses = _addresses(user_input)
            return await self._log_in(user_input[CONF_PASSWORD])
        return self.async_show_form(
            step_id="addresses",
            data_schema=self.add_suggested_values_to_schema(
                _addresses_schema(), self._addresses
            ),
            errors=self._take_errors(),
            description_placeholders={
                CONF_USERNAME: self._username,
                **{f"default_{key}": url for key, url in _DEFAULTS.items()},
                **self._placeholders,
            },
        )

    def _start_with(self, data: Mapping[str, Any]) -> None:
        self._username = data.get(CONF_USERNAME, "")
        self._addresses = {key: data[key] for key in ADDRESSES}
        self._proven = dict(self._addresses)

    def _address_errors(self, key: str, problem: str) -> dict[str, str]:
        """Return an error at the address' field, above the form, or both.

        The frontend shows no errors at the fields of a section.
        """
        if self._ask == self.async_step_addresses:
            return {key: problem}
        if self._ask != self.async_step_user or not self._is_new(key):
            return {"base": problem}
        # Words for a field would not say which one
        above = problem if problem in OF_AN_ADDRESS else "advanced_invalid"
        return {"base": above, key: problem}

    async def _logged_in(self, token: RefreshToken, user_id: int) -> ConfigFlowResult:
        await self.async_set_unique_id(str(user_id))
        if self.source not in (SOURCE_REAUTH, SOURCE_RECONFIGURE):
            self._abort_if_unique_id_configured()
            if not has_recorder(self.hass):
                return self._create(token, None)
            return await self.async_step_history()
        self._abort_if_unique_id_mismatch(reason="wrong_account")
        if self.source == SOURCE_REAUTH:
            self._change(self._get_reauth_entry(), token)
            return self.async_abort(reason="reauth_successful")
        entry = self._get_reconfigure_entry()
        old = Authentication(async_http_session(self.hass), account_hosts(entry.data))
        old_token = stored_token(entry)
        self._change(entry, token)
        self._end_reauth(entry)
        self.hass.async_create_task(
            _log_out_after_reload(entry, old, old_token), "eniris logout"
        )
        return self.async_abort(reason="reconfigure_successful")

    def _change(self, entry: ConfigEntry[Any], token: RefreshToken) -> None:
        """Store the log-in, leave the rest of the entry as it is, and reload it once."""
        self._token = None
        before = fingerprint(entry)
        # By the time the update returns, a reload may have begun
        listens = bool(entry.update_listeners)
        named_after_user = entry.title == entry.data.get(CONF_USERNAME)
        self.hass.config_entries.async_update_entry(
            entry,
            title=self._username if named_after_user else entry.title,
            data={
                **entry.data,
                CONF_USERNAME: self._username,
                **self._addresses,
                **token_data(token),
            },
        )
        # A loaded account reloads by itself when more than its token has changed
        if not listens or fingerprint(entry) == before:
            self.hass.config_entries.async_schedule_reload(entry.entry_id)

    def _end_reauth(self, entry: ConfigEntry[Any]) -> None:
        """Withdraw the request to log in again, which older Home Assistants leave standing."""
        for flow in list(entry.async_get_active_flows(self.hass, {SOURCE_REAUTH})):
            self.hass.config_entries.flow.async_abort(flow["flow_id"])
        ir.async_delete_issue(
            self.hass,
            HOMEASSISTANT_DOMAIN,
            f"config_entry_reauth_{DOMAIN}_{entry.entry_id}",
        )

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


def _addresses(user_input: Mapping[str, Any]) -> dict[str, str]:
    return {key: user_input[key].strip() for key in ADDRESSES}


async def _log_out_after_reload(
    entry: ConfigEntry[Any], authentication: Authentication, token: RefreshToken
) -> None:
    """Log out the token that an account had, once it uses the new one.

    Before that, its last upload may need it.
    """
    async with entry.setup_lock:
        # Held by the reload under way
        pass
    await discard_token(authentication, token)
