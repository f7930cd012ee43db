"""Binary sensors: a node's truth values, whether Eniris answers and a controller pushes, and whether an export has a problem."""

from collections.abc import Iterator
from typing import Any

from homeassistant.components.binary_sensor import (
    BinarySensorDeviceClass,
    BinarySensorEntity,
    BinarySensorEntityDescription,
)
from homeassistant.const import EntityCategory, Platform
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .data import EnirisConfigEntry
from .entity import (
    Distinguished,
    EnirisAccountEntity,
    EnirisControllerEntity,
    EnirisExportEntity,
    EnirisFieldEntity,
    async_add_export_entities,
    async_add_field_entities,
)
from .field_description import FieldDescription, Kind
from .importing.plan import FieldKey
from .unique_ids import UniqueIds

PARALLEL_UPDATES = 0

CONNECTED = BinarySensorEntityDescription(
    key="connected",
    translation_key="connected",
    device_class=BinarySensorDeviceClass.CONNECTIVITY,
    entity_category=EntityCategory.DIAGNOSTIC,
)

LIVE_CONNECTION = BinarySensorEntityDescription(
    key="live_connection",
    translation_key="live_connection",
    device_class=BinarySensorDeviceClass.CONNECTIVITY,
    entity_category=EntityCategory.DIAGNOSTIC,
)

PROBLEM = BinarySensorEntityDescription(
    key="problem",
    # By its device class it would be called as its state is
    translation_key="problem",
    device_class=BinarySensorDeviceClass.PROBLEM,
    entity_category=EntityCategory.DIAGNOSTIC,
)


async def async_setup_entry(
    hass: HomeAssistant,
    entry: EnirisConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Add the binary sensors of the account, of every export and controller, and of fields as they get values."""
    async_add_entities([EnirisConnected(entry, CONNECTED)])
    async_add_export_entities(
        entry,
        async_add_entities,
        lambda export: [EnirisExportProblem(entry, export, PROBLEM)],
    )

    for controller in entry.runtime_data.controllers.values():
        async_add_entities(
            [EnirisLiveConnection(entry, controller, LIVE_CONNECTION)],
            config_subentry_id=controller.settings.id,
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


class EnirisLiveConnection(EnirisControllerEntity, BinarySensorEntity):
    """On while a controller pushes its values."""

    _unrecorded_attributes = frozenset({"signs"})

    async def async_added_to_hass(self) -> None:
        """Follow the messages."""
        self._attr_is_on = self.controller.live.is_live
        self.async_on_remove(
            self.controller.live.async_add_listener(self._async_changed)
        )

    @callback
    def _async_changed(self) -> None:
        if self._attr_is_on != self.controller.live.is_live:
            self._attr_is_on = self.controller.live.is_live
            self.async_write_ha_state()

    @property
    def extra_state_attributes(self) -> dict[str, Any]:
        """Whether somebody has compared the signs of powers with the cloud's, or they are taken as they come."""
        is_confirmed = self.controller.are_signs_confirmed
        return {"signs": "confirmed" if is_confirmed else "assumed"}


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
