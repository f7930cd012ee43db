"""Buttons: read the metadata now, upload what waits now."""

from homeassistant.components.button import ButtonEntity, ButtonEntityDescription
from homeassistant.const import EntityCategory
from homeassistant.core import HomeAssistant
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .account_entity import EnirisAccountEntity
from .const import DOMAIN
from .data import EnirisConfigEntry
from .export_entity import EnirisExportEntity

PARALLEL_UPDATES = 1

REFRESH = ButtonEntityDescription(
    key="refresh",
    translation_key="refresh",
    entity_category=EntityCategory.DIAGNOSTIC,
)

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
    """Add the buttons of the account and of every export."""
    async_add_entities([EnirisRefresh(entry, REFRESH)])
    for export in entry.runtime_data.exporter.exports.values():
        async_add_entities(
            [EnirisUploadNow(entry, export, UPLOAD_NOW)], config_subentry_id=export.id
        )


class EnirisRefresh(EnirisAccountEntity, ButtonEntity):
    """Reads the account's nodes and their values at once."""

    def __init__(
        self, entry: EnirisConfigEntry, description: ButtonEntityDescription
    ) -> None:
        """Read the account of `entry`."""
        super().__init__(entry, description)
        self._nodes = entry.runtime_data.nodes

    async def async_press(self) -> None:
        """Read, and tell what stands in the way if anything does."""
        for coordinator in (self._nodes, self.coordinator):
            await coordinator.async_refresh()
            if not coordinator.last_update_success:
                raise HomeAssistantError(
                    translation_domain=DOMAIN,
                    translation_key="refresh_failed",
                    translation_placeholders={"error": str(coordinator.last_exception)},
                ) from coordinator.last_exception


class EnirisUploadNow(EnirisExportEntity, ButtonEntity):
    """Tries the export's target at once, pause or not."""

    async def async_press(self) -> None:
        """Upload, and tell what stands in the way if anything does."""
        problem = await self.exporter.async_upload_now(self.export.series.target)
        problem = problem or self.exporter.blocked_problem(self.export)
        if problem is not None:
            raise HomeAssistantError(
                translation_domain=DOMAIN,
                translation_key="upload_failed",
                translation_placeholders={"error": problem},
            )
