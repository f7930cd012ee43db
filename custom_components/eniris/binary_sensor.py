"""Binary sensors: a node's truth values, whether Eniris answers, and whether an export has a problem."""

from collections.abc import Iterator
from typing import Any

from homeassistant.components.binary_sensor import (
    BinarySensorDeviceClass,
    BinarySensorEntity,
    BinarySensorEntityDescription,
)
from homeassistant.const import EntityCategory, Platform
from homeassistant.core import HomeAssistant
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .data import EnirisConfigEntry
from .entity import (
    Distinguished,
    EnirisAccountEntity,
    EnirisExportEntity,
    EnirisFieldEntity,
    async_add_field_entities,
)
from .importing.catalogue import FieldDescription, Kind
from .importing.plan import FieldKey
from .unique_ids import UniqueIds

PARALLEL_UPDATES = 0

CONNECTED = BinarySensorEntityDescription(
    key="connected",
    translation_key="connected",
    device_class=BinarySensorDeviceClass.CONNECTIVITY,
    entity_category=EntityCategory.DIAGNOSTIC,
)

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
    """Add the binary sensors of the account, of every export, and of fields as they get values."""
    async_add_entities([EnirisConnected(entry, CONNECTED)])
    for export in entry.runtime_data.exporter.exports.values():
        async_add_entities(
            [EnirisExportProblem(entry, export, PROBLEM)], config_subentry_id=export.id
        )

    async_add_field_entities(
        entry,
        async_add_entities,
        UniqueIds(hass, entry, Platform.BINARY_SENSOR),
        _field_binary_sensors,
    )


class EnirisBinarySensor(EnirisFieldEntity, BinarySensorEntity):
    """A field that is true or false."""

    @property
    def is_on(self) -> bool | None:
        """What the service says."""
        return None if self.value is None else bool(self.value)


class DistinguishedBinarySensor(Distinguished, EnirisBinarySensor):
    """A field that shares its name with another one of the node."""


def _field_binary_sensors(
    entry: EnirisConfigEntry,
    key: FieldKey,
    description: FieldDescription,
    unique_ids: UniqueIds,
) -> Iterator[EnirisBinarySensor]:
    if description.kind is not Kind.FLAG:
        return
    is_distinct = description.distinction is None
    sensor = EnirisBinarySensor if is_distinct else DistinguishedBinarySensor
    yield sensor(entry, key, description, unique_ids)


class EnirisConnected(EnirisAccountEntity, BinarySensorEntity):
    """On while Eniris answers the polls of the account."""

    async def async_added_to_hass(self) -> None:
        """Begin to listen."""
        await super().async_added_to_hass()
        self.async_on_remove(
            self.data.nodes.async_add_listener(self.async_write_ha_state)
        )

    @property
    def is_on(self) -> bool | None:
        """Whether the last polls succeeded, None before the first."""
        return self.coordinator.is_connected


class EnirisExportProblem(EnirisExportEntity, BinarySensorEntity):
    """On while an export's values cannot be stored, with the reason."""

    _unrecorded_attributes = frozenset({"reason"})

    @property
    def is_on(self) -> bool:
        """Whether something keeps values from being stored."""
        return self.status.problem is not None

    @property
    def extra_state_attributes(self) -> dict[str, Any]:
        """What it is, in the words of whoever noticed."""
        return {"reason": self.status.problem}
