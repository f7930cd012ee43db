"""The dialog of a budget that is too small."""

import math
from typing import Any

import voluptuous as vol

from homeassistant.data_entry_flow import FlowResult

from ..const import CONF_IMPORT, CONF_INTERVAL, CONF_PREFERENCE, LONGEST_POLL_INTERVAL
from ..data import EnirisConfigEntry
from ..importing.plan import Preference
from ..options_flow import INTERVAL_SELECTOR
from .base import Fix


class BudgetFix(Fix):
    """The budget is too small: read less often, or by the minute."""

    _affordable = 0

    async def _begin(self, entry: EnirisConfigEntry) -> FlowResult:
        pace = entry.runtime_data.telemetry.pace
        self._affordable = math.ceil(pace.interval.total_seconds())
        self._placeholders["affordable"] = str(self._affordable)
        preference = self._options(entry, CONF_IMPORT).get(CONF_PREFERENCE)
        if preference == Preference.LIGHTEST:
            return await self.async_step_interval()
        return self._menu("init", ["interval", "lightest"])

    async def async_step_interval(
        self, user_input: dict[str, Any] | None = None
    ) -> FlowResult:
        """Ask for the interval, beginning with the one that the budget allows."""
        if user_input is not None:
            return await self._async_change(
                **{CONF_INTERVAL: int(user_input[CONF_INTERVAL])}
            )
        default = min(self._affordable, LONGEST_POLL_INTERVAL)
        key = vol.Required(CONF_INTERVAL, default=default)
        return self._form("interval", {key: INTERVAL_SELECTOR})

    async def async_step_lightest(
        self, user_input: dict[str, Any] | None = None
    ) -> FlowResult:
        """Read by the minute what is there by the minute."""
        return await self._async_change(**{CONF_PREFERENCE: Preference.LIGHTEST.value})

    async def _async_change(self, **changes: Any) -> FlowResult:
        entry = self._entry
        await self._async_set_options(entry, CONF_IMPORT, **changes)
        # The account has been read once since then, if that was possible
        data = self._entry.runtime_data
        pace = data.telemetry.pace
        if not (data.nodes.last_update_success and data.telemetry.last_update_success):
            return self._unsolved("not_known_yet")
        if pace.is_slowed:
            return self._unsolved(
                "still_slow", interval=f"{pace.interval.total_seconds():.0f}"
            )
        return self._done()
