"""The options of an account."""

from typing import Any

import voluptuous as vol

from homeassistant.config_entries import ConfigFlowResult, OptionsFlow
from homeassistant.data_entry_flow import section
from homeassistant.helpers.selector import (
    NumberSelector,
    NumberSelectorConfig,
    NumberSelectorMode,
    SelectSelector,
    SelectSelectorConfig,
    SelectSelectorMode,
)

from .api import WireFormat
from .const import (
    CONF_AGE_LIMIT,
    CONF_EXPERT,
    CONF_OUTBOX,
    CONF_SIZE_LIMIT,
    CONF_WIRE_FORMAT,
    DEFAULT_AGE_LIMIT,
    DEFAULT_SIZE_LIMIT,
)


def _schema() -> vol.Schema:
    """Return the form, made anew: the oldest Home Assistant writes what is suggested into it."""
    return vol.Schema(
        {
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
    """Ask for what an account may use."""

    async def async_step_init(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Ask for all options in one form."""
        if user_input is not None:
            return self.async_create_entry(data=user_input)
        return self.async_show_form(
            step_id="init",
            data_schema=self.add_suggested_values_to_schema(
                _schema(), self.config_entry.options
            ),
        )
