"""The `controller` subentry flow: which site, the webhook for its live values, MQTT access, and the signs of powers."""

from functools import cached_property
import secrets
from typing import Any, Final

import voluptuous as vol

from homeassistant.components import webhook
from homeassistant.config_entries import (
    SOURCE_RECONFIGURE,
    ConfigEntryState,
    ConfigSubentryFlow,
    SubentryFlowResult,
)
from homeassistant.const import CONF_TOKEN, CONF_WEBHOOK_ID
from homeassistant.core import callback

from ..cloudhook import async_delete_cloudhook, async_webhook_addresses
from ..const import (
    CONF_INVERTED,
    CONF_MQTT,
    CONF_PERIOD,
    CONF_SERIAL,
    CONF_SITE_NODE_ID,
    CONF_WEBHOOK,
    DOMAIN,
    STEP_REAUTH_MQTT,
)
from .account import withdraw_reauth
from .controller_forms import (
    CONF_NEW_TOKEN,
    ISSUES_URL,
    async_log_in_problem,
    mqtt_form,
    read_mqtt,
    serial_form,
    serial_of,
    serial_problem,
    shown_mqtt,
    site_form,
    webhook_form,
)
from .controller_signs import Compared, chosen_signs, compare, quoted_powers, signs_form
from .ranges import range_problem

_WAYS: Final = (CONF_WEBHOOK, CONF_MQTT)
"""How a controller can be reached; at least one is set up."""


class ControllerSubentryFlow(ConfigSubentryFlow):
    """Set up what the controller of a site pushes and takes, and change it."""

    def __init__(self) -> None:
        """Begin with nothing chosen."""
        self._title = ""
        self._powers: list[Compared] = []
        """What the form of the signs shows."""

    @property
    def _is_change(self) -> bool:
        return self.source == SOURCE_RECONFIGURE

    @property
    def _taken(self) -> set[str | None]:
        """The sites that have their controller."""
        return {each.unique_id for each in self._get_entry().subentries.values()}

    @cached_property
    def _data(self) -> dict[str, Any]:
        """What the subentry stores, as far as the dialog has come."""
        return dict(self._get_reconfigure_subentry().data) if self._is_change else {}

    @cached_property
    def _webhook(self) -> dict[str, Any]:
        """What the form of the webhook shows, stored once it is submitted."""
        return dict(self._data.get(CONF_WEBHOOK, ())) or {
            CONF_WEBHOOK_ID: webhook.async_generate_id(),
            CONF_TOKEN: secrets.token_urlsafe(32),
        }

    async def async_step_user(
        self, user_input: dict[str, Any] | None = None
    ) -> SubentryFlowResult:
        """Ask for the site."""
        entry = self._get_entry()
        if entry.state is not ConfigEntryState.LOADED:
            return self.async_abort(reason="not_loaded")
        sites = {
            node_id: name
            for node_id, name in entry.runtime_data.nodes.data.sites.items()
            if node_id not in self._taken
        }
        if user_input is not None:
            site = user_input[CONF_SITE_NODE_ID]
            self._title = sites.get(site, site)
            self._data[CONF_SITE_NODE_ID] = site
            if (serial := serial_of(site)) is None:
                return await self.async_step_serial()
            self._data[CONF_SERIAL] = serial
            return await self.async_step_set_up()
        if not sites:
            return self.async_abort(reason="no_site")
        return self.async_show_form(
            step_id="user",
            data_schema=site_form(sites),
            description_placeholders={"issues": ISSUES_URL},
        )

    async def async_step_serial(
        self, user_input: dict[str, Any] | None = None
    ) -> SubentryFlowResult:
        """Ask for the serial number, which this site's node id does not tell."""
        errors: dict[str, str] = {}
        if user_input is not None:
            serial = user_input[CONF_SERIAL].strip()
            if (problem := serial_problem(serial)) is None:
                self._data[CONF_SERIAL] = serial
                return await self.async_step_set_up()
            errors[CONF_SERIAL] = problem
        return self.async_show_form(
            step_id="serial",
            data_schema=self.add_suggested_values_to_schema(serial_form(), user_input),
            errors=errors,
            description_placeholders={"site": self._title},
        )

    async def async_step_set_up(
        self, user_input: dict[str, Any] | None = None
    ) -> SubentryFlowResult:
        """Let the user choose what to set up, until there is nothing left."""
        left = [way for way in _WAYS if way not in self._data]
        if not left:
            return await self.async_step_finish()
        return self.async_show_menu(
            step_id="set_up",
            menu_options=left if len(left) == len(_WAYS) else [*left, "finish"],
            description_placeholders={
                "site": self._title,
                "serial": self._data[CONF_SERIAL],
            },
        )

    async def async_step_finish(
        self, user_input: dict[str, Any] | None = None
    ) -> SubentryFlowResult:
        """Create the controller."""
        if self._data[CONF_SITE_NODE_ID] in self._taken:
            # Another dialog was quicker; older Home Assistants fail on it
            return self.async_abort(reason="already_configured")
        return self.async_create_entry(
            title=self._title,
            data=self._data,
            unique_id=self._data[CONF_SITE_NODE_ID],
        )

    async def async_step_reconfigure(
        self, user_input: dict[str, Any] | None = None
    ) -> SubentryFlowResult:
        """Let the user choose what to change."""
        options = [*_WAYS, "what_arrives"]
        if all(way in self._data for way in _WAYS):
            options += ["remove_webhook", "remove_mqtt"]
        return self.async_show_menu(
            step_id="reconfigure",
            menu_options=options,
            description_placeholders={"serial": self._data[CONF_SERIAL]},
        )

    async def _keep(self, key: str, value: Any) -> SubentryFlowResult:
        """Go on with what a step has asked for; a change is stored at once."""
        self._data[key] = value
        if self._is_change:
            return self._store({key: value})
        return await self.async_step_set_up()

    @callback
    def _store(self, change: dict[str, Any], without: str = "") -> SubentryFlowResult:
        """Change one part, and leave the others as they are by now, a new password for instance."""
        subentry = self._get_reconfigure_subentry()
        data = {**subentry.data, **change}
        data.pop(without, None)
        # The account is loaded anew, and whatever is still refused asks again
        withdraw_reauth(self.hass, self._get_entry(), STEP_REAUTH_MQTT)
        return self.async_update_and_abort(self._get_entry(), subentry, data=data)

    async def async_step_webhook(
        self, user_input: dict[str, Any] | None = None
    ) -> SubentryFlowResult:
        """Show what has to be entered at the controller, and ask how often it posts."""
        form = webhook_form(is_stored=CONF_WEBHOOK in self._data)
        errors, quoted = range_problem(form, user_input or {})
        if user_input is not None and not errors:
            self._webhook[CONF_PERIOD] = user_input[CONF_PERIOD]
            if not user_input.get(CONF_NEW_TOKEN):
                return await self._keep(CONF_WEBHOOK, self._webhook)
            self._webhook[CONF_TOKEN] = secrets.token_urlsafe(32)
        shown = user_input if errors else self._webhook
        webhook_id = self._webhook[CONF_WEBHOOK_ID]
        addresses = await async_webhook_addresses(self.hass, webhook_id)
        return self.async_show_form(
            step_id="webhook",
            data_schema=self.add_suggested_values_to_schema(form, shown),
            errors=errors,
            description_placeholders={
                **dict.fromkeys(("internal", "external", "cloud"), "–"),
                **addresses,
                **quoted,
                CONF_TOKEN: self._webhook[CONF_TOKEN],
                "issues": ISSUES_URL,
            },
        )

    async def async_step_mqtt(
        self, user_input: dict[str, Any] | None = None
    ) -> SubentryFlowResult:
        """Ask for the broker, and log in to it."""
        stored = self._data.get(CONF_MQTT, {})
        shown = shown_mqtt(stored)
        form = mqtt_form(is_stored=bool(stored))
        errors, quoted = range_problem(form, user_input or {})
        if user_input is not None:
            settings, empty = read_mqtt(user_input, stored)
            errors |= empty
            if not errors:
                errors, quoted = await async_log_in_problem(
                    settings, self._data[CONF_SERIAL]
                )
            if not errors:
                return await self._keep(CONF_MQTT, settings)
            shown = shown_mqtt(user_input)
        return self.async_show_form(
            step_id="mqtt",
            data_schema=self.add_suggested_values_to_schema(form, shown),
            errors=errors,
            description_placeholders={"issues": ISSUES_URL, **quoted},
        )

    async def async_step_remove_webhook(
        self, user_input: dict[str, Any] | None = None
    ) -> SubentryFlowResult:
        """Take no posts any more."""
        return self._remove("remove_webhook", CONF_WEBHOOK, user_input)

    async def async_step_remove_mqtt(
        self, user_input: dict[str, Any] | None = None
    ) -> SubentryFlowResult:
        """Forget the broker."""
        return self._remove("remove_mqtt", CONF_MQTT, user_input)

    @callback
    def _remove(
        self, step_id: str, key: str, user_input: dict[str, Any] | None
    ) -> SubentryFlowResult:
        if user_input is None:
            return self.async_show_form(step_id=step_id, data_schema=vol.Schema({}))
        return self._store({}, without=key)

    async def async_step_what_arrives(
        self, user_input: dict[str, Any] | None = None
    ) -> SubentryFlowResult:
        """Show each power beside what the cloud says, and ask which have the other sign."""
        before = self._data.get(CONF_INVERTED)
        if user_input is not None:
            inverted = chosen_signs(user_input, self._powers, before or ())
            return await self._keep(CONF_INVERTED, inverted)
        entry = self._get_entry()
        if entry.state is not ConfigEntryState.LOADED:
            return self.async_abort(reason="not_loaded")
        data = entry.runtime_data
        if controller := data.controllers.get(self._reconfigure_subentry_id):
            site = self._data[CONF_SITE_NODE_ID]
            self._powers = compare(controller.live, data, site)
        if not self._powers:
            return self.async_abort(reason="nothing_arrived")
        return self.async_show_form(
            step_id="what_arrives",
            data_schema=signs_form(self._powers, before),
            description_placeholders={
                "issues": ISSUES_URL,
                **quoted_powers(self._powers),
            },
        )

    @callback
    def async_remove(self) -> None:
        """Give the address in the cloud back where nothing came of it."""
        if "_webhook" not in vars(self):
            return
        stored = {
            subentry.data.get(CONF_WEBHOOK, {}).get(CONF_WEBHOOK_ID)
            for entry in self.hass.config_entries.async_entries(DOMAIN)
            for subentry in entry.subentries.values()
        }
        webhook_id = self._webhook[CONF_WEBHOOK_ID]
        if webhook_id not in stored:
            self.hass.async_create_task(
                async_delete_cloudhook(self.hass, webhook_id), "eniris cloudhook"
            )
