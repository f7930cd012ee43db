"""Sensors of what a controller pushes, on its own device or on that of the node that a value belongs to."""

from homeassistant.components.sensor import SensorEntity
from homeassistant.core import callback
from homeassistant.helpers.device_registry import DeviceInfo
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .const import DOMAIN
from .controller.controller import Controller
from .controller.fields import GROUPS, describe_live
from .controller.message import LiveKey
from .data import EnirisConfigEntry
from .entity import EnirisControllerEntity
from .field_description import FieldDescription, Kind


class EnirisLiveSensor(EnirisControllerEntity, SensorEntity):
    """A value as a controller pushes it."""

    def __init__(
        self,
        entry: EnirisConfigEntry,
        controller: Controller,
        key: LiveKey,
        description: FieldDescription,
        *,
        is_node: bool,
    ) -> None:
        """Show `key` as `description` says, on the node's device if it is of a node."""
        super().__init__(entry, controller, description)
        self.description = description
        self.key = key
        # No field has this sign in its name
        self._attr_unique_id = "#".join(
            (str(entry.unique_id), controller.settings.site_node_id, *key)
        )
        if is_node:
            self._attr_device_info = DeviceInfo(identifiers={(DOMAIN, key.source)})
        self._async_adopt()

    async def async_added_to_hass(self) -> None:
        """Follow the messages."""
        self._async_adopt()
        self.async_on_remove(
            self.controller.live.async_add_listener(self._async_changed)
        )

    @callback
    def _async_adopt(self) -> None:
        value = self.controller.live.value(self.key)
        self._attr_available = value is not None
        self._attr_native_value = self.description.native(value)

    @callback
    def _async_changed(self) -> None:
        before = self._attr_available, self._attr_native_value
        self._async_adopt()
        if before != (self._attr_available, self._attr_native_value):
            self.async_write_ha_state()


@callback
def async_add_live_sensors(
    entry: EnirisConfigEntry,
    controller: Controller,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Add a sensor for each value of a controller, as values arrive."""
    nodes = entry.runtime_data.nodes
    added: set[LiveKey] = set()

    @callback
    def add() -> None:
        if len(added) == len(controller.live.keys):
            return
        for is_node in (False, True):
            sensors = [
                EnirisLiveSensor(
                    entry,
                    controller,
                    key,
                    describe_live(key, is_node=is_node).decided(
                        controller.live.value(key)
                    ),
                    is_node=is_node,
                )
                for key in controller.live.keys
                if key not in added
                and (key.source in nodes.data.by_id) == is_node
                # What is no known group may be a node that is not known yet
                and (key.source in GROUPS or nodes.answers)
            ]
            added.update(sensor.key for sensor in sensors)
            # A truth value has no place among sensors' numbers and texts
            shown = [its for its in sensors if its.description.kind is not Kind.FLAG]
            if shown:
                async_add_entities(
                    shown,
                    config_subentry_id=None if is_node else controller.settings.id,
                )

    entry.async_on_unload(controller.live.async_add_listener(add))
    entry.async_on_unload(nodes.async_add_listener(add))
