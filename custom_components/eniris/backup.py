"""Backup: the outboxes are at rest while Home Assistant copies its files, so that a restored one is whole."""

from contextlib import AsyncExitStack
import logging

from homeassistant.core import HomeAssistant
from homeassistant.util.hass_dict import HassKey

from .const import DOMAIN
from .data import EnirisConfigEntry
from .exporting.outbox.store import OutboxError

_LOGGER = logging.getLogger(__name__)

_AT_REST: HassKey[AsyncExitStack] = HassKey(f"{DOMAIN}_at_rest")


async def async_pre_backup(hass: HomeAssistant) -> None:
    """Bring each outbox into one file and write nothing to it; values stay in memory, or go up, meanwhile."""
    stack = hass.data[_AT_REST] = AsyncExitStack()
    entry: EnirisConfigEntry
    for entry in hass.config_entries.async_loaded_entries(DOMAIN):
        try:
            await stack.enter_async_context(
                entry.runtime_data.exporter.outbox.store.at_rest()
            )
        except OutboxError as err:
            _LOGGER.debug("An outbox that is not open needs no rest: %s", err)


async def async_post_backup(hass: HomeAssistant) -> None:
    """Let values be put on disk again."""
    if (stack := hass.data.pop(_AT_REST, None)) is not None:
        await stack.aclose()
