"""The door to the forms of an account."""

from typing import Any

from homeassistant.config_entries import ConfigEntry, ConfigSubentryFlow
from homeassistant.core import callback

from . import migration
from .const import DOMAIN, SUBENTRY_CONTROLLER, SUBENTRY_EXPORT
from .flows.account import AccountFlow
from .flows.controller import ControllerSubentryFlow
from .flows.export import ExportSubentryFlow
from .flows.options import EnirisOptionsFlow


class EnirisConfigFlow(AccountFlow, domain=DOMAIN):
    """Add an account, or log in to one that there is."""

    VERSION = migration.VERSION
    MINOR_VERSION = migration.MINOR_VERSION

    @classmethod
    @callback
    def async_get_supported_subentry_types(
        cls, config_entry: ConfigEntry[Any]
    ) -> dict[str, type[ConfigSubentryFlow]]:
        """Return the kinds of things that can be added to an account."""
        return {
            SUBENTRY_EXPORT: ExportSubentryFlow,
            SUBENTRY_CONTROLLER: ControllerSubentryFlow,
        }

    @staticmethod
    @callback
    def async_get_options_flow(config_entry: ConfigEntry[Any]) -> EnirisOptionsFlow:
        """Return the options of an account."""
        return EnirisOptionsFlow()
