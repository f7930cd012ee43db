"""What the entities of an account's own device have in common."""

from homeassistant.helpers.device_registry import DeviceInfo
from homeassistant.helpers.entity import EntityDescription
from homeassistant.helpers.update_coordinator import CoordinatorEntity

from .data import EnirisConfigEntry
from .importing.coordinator import TelemetryCoordinator
from .importing.devices import account_identifier


class EnirisAccountEntity(CoordinatorEntity[TelemetryCoordinator]):
    """An entity of the account as a whole."""

    _attr_has_entity_name = True

    def __init__(
        self, entry: EnirisConfigEntry, description: EntityDescription
    ) -> None:
        """Show the account of `entry` as `description` says."""
        super().__init__(entry.runtime_data.telemetry)
        self.entity_description = description
        self._attr_unique_id = f"{entry.unique_id}_{description.key}"
        self._attr_device_info = DeviceInfo(identifiers={account_identifier(entry)})

    @property
    def available(self) -> bool:
        """What it shows is this integration's own, whatever the service does."""
        return True
