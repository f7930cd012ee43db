"""A Home Assistant that can be stopped and started again on what it left on disk."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from pytest_homeassistant_custom_component.common import async_test_home_assistant

from homeassistant import bootstrap, loader
from homeassistant.core import HomeAssistant
from homeassistant.helpers import (
    area_registry as ar,
    category_registry as cr,
    device_registry as dr,
    entity_registry as er,
    floor_registry as fr,
    issue_registry as ir,
    label_registry as lr,
    restore_state as rs,
)
from homeassistant.helpers.storage import get_internal_store_manager

_REGISTRIES = (ar, cr, dr, er, fr, ir, lr, rs)


@asynccontextmanager
async def home_assistant(config_dir: Path) -> AsyncIterator[HomeAssistant]:
    """Return a running Home Assistant with the registries and entries of its directory.

    It is the caller's to stop. The test kit's own fixture neither reads nor writes them.
    """
    async with async_test_home_assistant(
        load_registries=False, config_dir=str(config_dir)
    ) as hass:
        # The kit's way to say that there are none
        del hass.data[loader.DATA_CUSTOM_COMPONENTS]
        await get_internal_store_manager(hass).async_initialize()
        if hasattr(dr, "async_setup"):
            # Newer ones
            dr.async_setup(hass)
        for registry in _REGISTRIES:
            await registry.async_load(hass)
        hass.data[bootstrap.DATA_REGISTRIES_LOADED] = None
        await hass.config_entries.async_initialize()
        yield hass
