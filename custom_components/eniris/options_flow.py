"""The options of an account."""

from collections.abc import Mapping
from typing import Any

import voluptuous as vol

from homeassistant.config_entries import ConfigEntryState, ConfigFlowResult, OptionsFlow
from homeassistant.data_entry_flow import section
from homeassistant.helpers.selector import (
    NumberSelector,
    NumberSelectorConfig,
    NumberSelectorMode,
    SelectOptionDict,
    SelectSelector,
    SelectSelectorConfig,
    SelectSelectorMode,
)

from .api import WireFormat
from .const import (
    CONF_AGE_LIMIT,
    CONF_EXPERT,
    CONF_IMPORT,
    CONF_INTERVAL,
    CONF_OUTBOX,
    CONF_PREFERENCE,
    CONF_SITES,
    CONF_SIZE_LIMIT,
    CONF_WIRE_FORMAT,
    DEFAULT_AGE_LIMIT,
    DEFAULT_POLL_INTERVAL,
    DEFAULT_SIZE_LIMIT,
)
from .importing.plan import Preference


def _schema(sites: Mapping[str, str]) -> vol.Schema:
    """Return the form, made anew: the oldest Home Assistant writes what is suggested into it.

    `sites` are the names of the account's sites by node id.
    """
    return vol.Schema(
        {
            vol.Required(CONF_IMPORT): section(
                vol.Schema(
                    {
                        vol.Required(
                            CONF_INTERVAL, default=DEFAULT_POLL_INTERVAL
                        ): NumberSelector(
                            NumberSelectorConfig(
                                min=10,
                                max=3600,
                                step=1,
                                mode=NumberSelectorMode.BOX,
                                unit_of_measurement="s",
                            )
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
                        vol.Optional(CONF_SITES): SelectSelector(
                            SelectSelectorConfig(
                                options=[
                                    SelectOptionDict(value=node_id, label=name)
                                    for node_id, name in sites.items()
                                ],
                                multiple=True,
                                mode=SelectSelectorMode.DROPDOWN,
                            )
                        ),
                    }
                )
            ),
            vol.Required(CONF_OUTBOX): section(
                vol.Schema(
                    {
                        vol.Required(
                            CONF_SIZE_LIMIT, default=DEFAULT_SIZE_LIMIT
                        ): NumberSelector(
                            NumberSelectorConfig(
                                min=1,
                                max=1_000_000,
                                step=1,
                                mode=NumberSelectorMode.BOX,
                                unit_of_measurement="MiB",
                            )
                        ),
                        vol.Required(
                            CONF_AGE_LIMIT, default=DEFAULT_AGE_LIMIT
                        ): NumberSelector(
                            NumberSelectorConfig(
                                min=0,
                                max=3650,
                                step=1,
                                mode=NumberSelectorMode.BOX,
                                unit_of_measurement="d",
                            )
                        ),
                    }
                )
            ),
            vol.Required(CONF_EXPERT): section(
                vol.Schema(
                    {
                        vol.Required(
                            CONF_WIRE_FORMAT, default=WireFormat.JSON.value
                        ): SelectSelector(
                            SelectSelectorConfig(
                                options=[
                                    wire_format.value for wire_format in WireFormat
                                ],
                                translation_key="wire_format",
                                mode=SelectSelectorMode.LIST,
                            )
                        )
                    }
                ),
                {"collapsed": True},
            ),
        }
    )


class EnirisOptionsFlow(OptionsFlow):
    """Ask what is read of an account, and what the export may use."""

    async def async_step_init(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Ask for all options in one form."""
        if user_input is not None:
            return self.async_create_entry(data=user_input)
        return self.async_show_form(
            step_id="init",
            data_schema=self.add_suggested_values_to_schema(
                _schema(self._sites()), self.config_entry.options
            ),
        )

    def _sites(self) -> dict[str, str]:
        """Return what can be chosen: the sites there are, and those chosen before."""
        chosen = self.config_entry.options.get(CONF_IMPORT, {}).get(CONF_SITES, ())
        sites = {node_id: node_id for node_id in chosen}
        if self.config_entry.state is ConfigEntryState.LOADED:
            sites |= self.config_entry.runtime_data.nodes.data.sites
        return sites
