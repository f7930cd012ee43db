"""Buttons: upload what waits, now."""

from homeassistant.components.button import ButtonEntity, ButtonEntityDescription
from homeassistant.const import EntityCategory
from homeassistant.core import HomeAssistant
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .const import DOMAIN
from .data import EnirisConfigEntry
from .export_entity import EnirisExportEntity

PARALLEL_UPDATES = 1

UPLOAD_NOW = ButtonEntityDescription(
    key="upload_now",
    translation_key="upload_now",
    entity_category=EntityCategory.DIAGNOSTIC,
)


async def async_setup_entry(
    hass: HomeAssistant,
    entry: EnirisConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Add the buttons of every export."""
    for export in entry.runtime_data.exporter.exports.values():
        async_add_entities(
            [EnirisUploadNow(entry, export, UPLOAD_NOW)], config_subentry_id=export.id
        )


class EnirisUploadNow(EnirisExportEntity, ButtonEntity):
    """Tries the export's target at once, pause or not."""

    async def async_press(self) -> None:
        """Upload, and tell what stands in the way if anything does."""
        problem = await self.exporter.async_upload_now(self.export.series.target)
        if problem is not None:
            raise HomeAssistantError(
                translation_domain=DOMAIN,
                translation_key="upload_failed",
                translation_placeholders={"error": problem},
            )
