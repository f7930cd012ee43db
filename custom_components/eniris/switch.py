"""Switches: whether an export collects values."""

from typing import Any

from homeassistant.components.switch import SwitchEntity, SwitchEntityDescription
from homeassistant.const import EntityCategory
from homeassistant.core import HomeAssistant
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .const import CONF_ENABLED
from .data import EnirisConfigEntry
from .entity import EnirisExportEntity, async_add_export_entities
from .exporting.config import Export

PARALLEL_UPDATES = 0

ENABLED = SwitchEntityDescription(
    key="enabled", translation_key="enabled", entity_category=EntityCategory.CONFIG
)


async def async_setup_entry(
    hass: HomeAssistant,
    entry: EnirisConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Add the switches of every export."""
    async_add_export_entities(
        entry, async_add_entities, lambda export: [EnirisExportEnabled(entry, export)]
    )


class EnirisExportEnabled(EnirisExportEntity, SwitchEntity):
    """Off: nothing is collected. What was collected before still goes up.

    The setting is stored with the export, so that it holds from the first moment after a restart.
    """

    def __init__(self, entry: EnirisConfigEntry, export: Export) -> None:
        """Switch `export` on and off."""
        super().__init__(entry, export, ENABLED)
        self._entry = entry
        self._attr_is_on = export.enabled

    async def async_turn_on(self, **kwargs: Any) -> None:
        """Collect values from now on."""
        self._async_set(True)

    async def async_turn_off(self, **kwargs: Any) -> None:
        """Collect nothing from now on."""
        self._async_set(False)

    def _async_set(self, enabled: bool) -> None:
        self._attr_is_on = enabled
        subentry = self._entry.subentries[self.export.id]
        self.hass.config_entries.async_update_subentry(
            self._entry, subentry, data={**subentry.data, CONF_ENABLED: enabled}
        )
        self.exporter.sampler.async_enable(self.export.id, enabled)
        self.async_write_ha_state()
