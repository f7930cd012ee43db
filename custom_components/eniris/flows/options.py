"""The options of an account: settings, and its past."""

import asyncio
from collections import Counter
from datetime import datetime
from typing import Any

from homeassistant.config_entries import ConfigEntryState, ConfigFlowResult, OptionsFlow
from homeassistant.helpers.selector import (
    SelectOptionDict,
    SelectSelector,
    SelectSelectorConfig,
    SelectSelectorMode,
)
from homeassistant.util import dt as dt_util

from ..account import options_schema, read_options
from ..const import CONF_BACK, CONF_IMPORT, CONF_OUTBOX, CONF_SITES
from ..importing.history.importer import History
from ..recorder_access import has_recorder
from .history_form import SINCE, date_schema, date_start, history_schema, history_start
from .ranges import UncheckedNumberSelector, range_problem


class EnirisOptionsFlow(OptionsFlow):
    """Ask what is read of an account and what the export may use, or for its past."""

    def __init__(self) -> None:
        """Wait for nothing yet."""
        self._further: asyncio.Task[None] | None = None
        self._ended = "history_done"

    async def async_step_init(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Let the user choose what to do."""
        return self.async_show_menu(
            step_id="init", menu_options=["settings", "history"]
        )

    async def async_step_settings(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Ask for all options in one form."""
        form = options_schema(self._sites_selector(), UncheckedNumberSelector)
        errors: dict[str, str] = {}
        quoted: dict[str, str] = {}
        if user_input is not None:
            errors, quoted = range_problem(form, user_input)
        if user_input is not None and not errors:
            options = read_options(self.config_entry.options)
            if (
                user_input[CONF_OUTBOX] != options[CONF_OUTBOX]
                and self.config_entry.state is ConfigEntryState.LOADED
            ):
                # The user has seen what was dropped at the other limits
                self.config_entry.runtime_data.exporter.async_acknowledge_limit()
            # What a newer version has added stays
            return self.async_create_entry(
                data={**self.config_entry.options, **user_input}
            )
        return self.async_show_form(
            step_id="settings",
            data_schema=self.add_suggested_values_to_schema(
                form, user_input or read_options(self.config_entry.options)
            ),
            errors=errors,
            description_placeholders=quoted,
        )

    async def async_step_history(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Ask how far back the past is wanted, and begin to fetch it."""
        if not has_recorder(self.hass):
            return self.async_abort(reason="no_recorder")
        if self.config_entry.state is not ConfigEntryState.LOADED:
            return self.async_abort(reason="not_loaded")
        if self._history.progress.fetching is not None:
            return self.async_show_menu(
                step_id="history", menu_options=["history_progress", "history_stop"]
            )
        if user_input is not None:
            if user_input[CONF_BACK] == SINCE:
                return await self.async_step_history_date()
            return await self._import_since(history_start(user_input[CONF_BACK]))
        return self.async_show_form(
            step_id="history", data_schema=history_schema(with_nothing=False)
        )

    async def async_step_history_date(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Ask since which day the past is wanted."""
        errors: dict[str, str] = {}
        if user_input is not None:
            start = date_start(user_input, errors)
            if not errors:
                return await self._import_since(start)
        return self.async_show_form(
            step_id="history_date",
            data_schema=self.add_suggested_values_to_schema(date_schema(), user_input),
            errors=errors,
        )

    async def _import_since(self, start: datetime | None) -> ConfigFlowResult:
        if self.config_entry.state is not ConfigEntryState.LOADED:
            return self.async_abort(reason="not_loaded")
        if start is not None:
            await self._history.async_request(start)
        return await self.async_step_history_progress()

    async def async_step_history_progress(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Show how far it has come, until it is done or the dialog is closed.

        Each step further is a task of its own, since only then the dialog is told of it.
        """
        # By the time the dialog asks how it ended, all may be different again
        if self.config_entry.state is not ConfigEntryState.LOADED:
            self._ended = "not_loaded"
            return self.async_show_progress_done(next_step_id="history_done")
        progress = self._history.progress
        self._ended = "history_done"
        if progress.fetching is None or progress.back_to is None:
            return self.async_show_progress_done(next_step_id="history_done")
        if self._further is None or self._further.done():
            # In the background: Home Assistant neither starts nor stops later for it
            # It listens from now on: nothing must happen unheard in between
            self._further = self.hass.async_create_background_task(
                self._history.async_wait_for_progress(),
                "eniris progress",
                eager_start=True,
            )
        return self.async_show_progress(
            step_id="history_progress",
            progress_action="waiting" if progress.is_waiting else "history",
            progress_task=self._further,
            description_placeholders={
                "percent": f"{progress.percent or 0:.0f}",
                "fetching": dt_util.as_local(progress.fetching).date().isoformat(),
                "back_to": dt_util.as_local(progress.back_to).date().isoformat(),
            },
        )

    async def async_step_history_done(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Tell that all is there, or will be once the account is loaded again."""
        return self.async_abort(reason=self._ended)

    async def async_step_history_stop(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Fetch no more; what is there stays."""
        if self.config_entry.state is not ConfigEntryState.LOADED:
            return self.async_abort(reason="not_loaded")
        await self._history.async_cancel()
        return self.async_abort(reason="history_stopped")

    @property
    def _history(self) -> History:
        history: History = self.config_entry.runtime_data.history
        return history

    def _sites_selector(self) -> SelectSelector:
        """Return the choice of the sites that there are, and those chosen before."""
        options = read_options(self.config_entry.options)
        chosen = options[CONF_IMPORT].get(CONF_SITES, ())
        sites = {node_id: node_id for node_id in chosen}
        if self.config_entry.state is ConfigEntryState.LOADED:
            sites |= self.config_entry.runtime_data.nodes.data.sites
        names = Counter(sites.values())
        return SelectSelector(
            SelectSelectorConfig(
                options=[
                    SelectOptionDict(
                        value=node_id,
                        label=f"{name} ({node_id})" if names[name] > 1 else name,
                    )
                    for node_id, name in sites.items()
                ],
                multiple=True,
                mode=SelectSelectorMode.DROPDOWN,
            )
        )
