"""Binary sensors: whether an export has a problem."""

from typing import Any

from homeassistant.components.binary_sensor import (
    BinarySensorDeviceClass,
    BinarySensorEntity,
    BinarySensorEntityDescription,
)
from homeassistant.const import EntityCategory
from homeassistant.core import HomeAssistant
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .data import EnirisConfigEntry
from .export_entity import EnirisExportEntity

PARALLEL_UPDATES = 0

PROBLEM = BinarySensorEntityDescription(
    key="problem",
    device_class=BinarySensorDeviceClass.PROBLEM,
    entity_category=EntityCategory.DIAGNOSTIC,
)


async def async_setup_entry(
    hass: HomeAssistant,
    entry: EnirisConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Add the binary sensors of every export."""
    for export in entry.runtime_data.exporter.exports.values():
        async_add_entities(
            [EnirisExportProblem(entry, export, PROBLEM)], config_subentry_id=export.id
        )


class EnirisExportProblem(EnirisExportEntity, BinarySensorEntity):
    """On while an export's values cannot be stored, with the reason."""

    @property
    def is_on(self) -> bool:
        """Whether something keeps values from being stored."""
        return self.status.problem is not None

    @property
    def extra_state_attributes(self) -> dict[str, Any]:
        """What it is, in the words of whoever noticed."""
        return {"reason": self.status.problem}
