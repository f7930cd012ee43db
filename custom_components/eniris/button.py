"""Buttons: read the metadata now, upload what waits now."""

from homeassistant.components.button import ButtonEntity, ButtonEntityDescription
from homeassistant.const import EntityCategory
from homeassistant.core import HomeAssistant
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .data import EnirisConfigEntry
from .entity import EnirisAccountEntity, EnirisExportEntity, async_add_export_entities
from .errors import failed

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
    async_add_export_entities(
        entry,
        async_add_entities,
        lambda export: [EnirisUploadNow(entry, export, UPLOAD_NOW)],
    )


class EnirisRefresh(EnirisAccountEntity, ButtonEntity):
    """Reads the account's nodes and their values at once."""

    async def async_press(self) -> None:
        """Read, and tell what stands in the way if anything does."""
        for coordinator in (self.data.nodes, self.data.telemetry):
            await coordinator.async_refresh()
            if not coordinator.last_update_success:
                error = coordinator.last_exception
                raise failed("refresh_failed", error=str(error)) from error


class EnirisUploadNow(EnirisExportEntity, ButtonEntity):
    """Tries the export's target at once, pause or not."""

    async def async_press(self) -> None:
        """Upload, and tell what stands in the way if anything does."""
        problem = await self.exporter.async_upload_now(self.export.series.target)
        problem = problem or self.exporter.blocked_problem(self.export.id)
        if problem is not None:
            raise failed("upload_failed", error=problem)
