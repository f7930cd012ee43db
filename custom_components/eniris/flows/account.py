"""The steps of an account: add it, log in again, give it other addresses."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from homeassistant.config_entries import (
    SOURCE_REAUTH,
    SOURCE_RECONFIGURE,
    ConfigEntry,
    ConfigFlowResult,
)
from homeassistant.const import CONF_HOST, CONF_USERNAME
from homeassistant.core import DOMAIN as HOMEASSISTANT_DOMAIN, HomeAssistant, callback
from homeassistant.helpers import issue_registry as ir

from ..account import read_fingerprint, stored_token, token_data
from ..api import Authentication, RefreshToken
from ..const import (
    CONF_BACK,
    CONF_HISTORY,
    CONF_MQTT,
    CONF_SERIAL,
    DOMAIN,
    STEP_REAUTH_MQTT,
    SUBENTRY_CONTROLLER,
)
from ..http import account_hosts, async_http_session
from ..recorder_access import has_recorder
from .controller_forms import async_log_in_problem, log_in_form, shown_mqtt
from .history_form import SINCE, date_schema, date_start, history_schema, history_start
from .login import LoginFlow, discard_token


class AccountFlow(LoginFlow):
    """Add an account, or log in to one that there is, or to the broker of one of its controllers."""

    def __init__(self) -> None:
        """Start with nothing known."""
        super().__init__()
        self._controller_id = ""

    async def async_step_user(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Ask for the credentials."""
        return await self._ask_password("user", user_input)

    async def async_step_reauth(
        self, entry_data: Mapping[str, Any]
    ) -> ConfigFlowResult:
        """Start over with an account whose token is not accepted any more.

        Or with the broker of a controller, the subentry of which is named then.
        """
        if SUBENTRY_CONTROLLER in entry_data:
            self._controller_id = entry_data[SUBENTRY_CONTROLLER]
            return await self.async_step_reauth_mqtt()
        self._start_with(entry_data)
        return await self.async_step_reauth_confirm()

    async def async_step_reauth_confirm(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Ask for the password again."""
        return await self._ask_password("reauth_confirm", user_input)

    async def async_step_reauth_mqtt(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Ask for the log-in to a controller's broker again, and try it out."""
        entry = self._get_reauth_entry()
        subentry = entry.subentries.get(self._controller_id)
        if subentry is None or CONF_MQTT not in subentry.data:
            return self.async_abort(reason="no_mqtt_access")
        settings = dict(subentry.data[CONF_MQTT])
        errors: dict[str, str] = {}
        quoted: dict[str, str] = {}
        if user_input is not None:
            settings |= user_input
            errors, quoted = await async_log_in_problem(
                settings, subentry.data[CONF_SERIAL]
            )
            if not errors:
                self.hass.config_entries.async_update_subentry(
                    entry, subentry, data={**subentry.data, CONF_MQTT: settings}
                )
                return self.async_abort(reason="reauth_successful")
        return self.async_show_form(
            step_id=STEP_REAUTH_MQTT,
            data_schema=self.add_suggested_values_to_schema(
                log_in_form(is_stored=False), shown_mqtt(settings)
            ),
            errors=errors,
            description_placeholders={
                "site": subentry.title,
                CONF_HOST: settings[CONF_HOST],
                **quoted,
            },
        )

    async def async_step_reconfigure(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Let the user choose what is different now."""
        self._start_with(self._get_reconfigure_entry().data)
        return self.async_show_menu(
            step_id="reconfigure",
            menu_options=["log_in", "addresses"],
            description_placeholders={CONF_USERNAME: self._username},
        )

    async def async_step_log_in(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Ask for the credentials of the same account, which may have changed."""
        return await self._ask_password("log_in", user_input)

    async def async_step_addresses(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Ask for the addresses and the password.

        The stored token is never sent to a host that was just typed: it takes a log-in there.
        """
        return await self._ask_password("addresses", user_input)

    def _start_with(self, data: Mapping[str, Any]) -> None:
        self._username = data[CONF_USERNAME]
        self._addresses = {key: data[key] for key in self._addresses}
        self._proven = dict(self._addresses)

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
        withdraw_reauth(self.hass, entry)
        self.hass.async_create_task(
            _log_out_after_reload(entry, old, old_token), "eniris logout"
        )
        return self.async_abort(reason="reconfigure_successful")

    def _change(self, entry: ConfigEntry[Any], token: RefreshToken) -> None:
        """Store the log-in, leave the rest of the entry as it is, and reload it once."""
        self._token = None
        before = read_fingerprint(entry)
        # By the time the update returns, a reload may have begun
        listens = bool(entry.update_listeners)
        named_after_user = entry.title == entry.data[CONF_USERNAME]
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
        if not listens or read_fingerprint(entry) == before:
            self.hass.config_entries.async_schedule_reload(entry.entry_id)

    async def async_step_history(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Ask how far back the past is wanted."""
        if user_input is not None and self._token is not None:
            if user_input[CONF_BACK] == SINCE:
                return await self.async_step_history_date()
            return self._create(self._token, history_start(user_input[CONF_BACK]))
        return self.async_show_form(
            step_id="history", data_schema=history_schema(with_nothing=True)
        )

    async def async_step_history_date(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Ask since which day the past is wanted."""
        errors: dict[str, str] = {}
        if user_input is not None and self._token is not None:
            start = date_start(user_input, errors)
            if not errors:
                return self._create(self._token, start)
        return self.async_show_form(
            step_id="history_date",
            data_schema=self.add_suggested_values_to_schema(date_schema(), user_input),
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
def withdraw_reauth(
    hass: HomeAssistant, entry: ConfigEntry[Any], step_id: str | None = None
) -> None:
    """Withdraw the request to log in again, if it stands at that step.

    Older Home Assistants leave it standing, and none knows what a subentry's log-in is worth.
    """
    for flow in list(entry.async_get_active_flows(hass, {SOURCE_REAUTH})):
        if step_id in (None, flow["step_id"]):
            hass.config_entries.flow.async_abort(flow["flow_id"])
            ir.async_delete_issue(
                hass,
                HOMEASSISTANT_DOMAIN,
                f"config_entry_reauth_{DOMAIN}_{entry.entry_id}",
            )


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
