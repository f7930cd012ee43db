"""What all entities of a node have in common."""

from homeassistant.helpers.device_registry import DeviceInfo
from homeassistant.helpers.update_coordinator import CoordinatorEntity

from .const import DOMAIN
from .data import EnirisConfigEntry
from .importing.coordinator import Reading, TelemetryCoordinator
from .importing.plan import FieldKey


class EnirisFieldEntity(CoordinatorEntity[TelemetryCoordinator]):
    """An entity that shows one field of one node."""

    _attr_has_entity_name = True

    def __init__(self, entry: EnirisConfigEntry, key: FieldKey) -> None:
        """Show the readings of `key`."""
        super().__init__(entry.runtime_data.telemetry)
        self.key = key
        self._attr_unique_id = (
            f"{entry.unique_id}_{key.node_id}_{key.measurement}_{key.field}"
        )
        # The node coordinator has registered the device with all that is known of it
        self._attr_device_info = DeviceInfo(identifiers={(DOMAIN, key.node_id)})

    @property
    def reading(self) -> Reading | None:
        """The current reading, None where there is none."""
        return self.coordinator.data.get(self.key)

    @property
    def available(self) -> bool:
        """Whether the last poll succeeded and knew a current reading."""
        return super().available and self.reading is not None
