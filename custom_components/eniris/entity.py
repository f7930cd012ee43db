"""What all entities of a node have in common."""

from collections.abc import Callable, Iterable, Iterator

from homeassistant.core import callback
from homeassistant.helpers.device_registry import DeviceInfo
from homeassistant.helpers.entity import Entity
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback
from homeassistant.helpers.typing import UndefinedType

from .const import DOMAIN
from .data import EnirisConfigEntry
from .importing.catalogue import FieldDescription, NodeFields, describe, describe_node
from .importing.coordinator import Reading
from .importing.plan import FieldKey


def described(
    entry: EnirisConfigEntry, keys: Iterable[FieldKey]
) -> Iterator[tuple[FieldKey, FieldDescription]]:
    """Return what the values of new keys are, as their nodes and their readings say."""
    nodes = entry.runtime_data.nodes.data.by_id
    readings = entry.runtime_data.telemetry.data
    of_nodes: dict[str, NodeFields] = {}
    for key in keys:
        fields = of_nodes.get(key.node_id)
        if fields is None:
            node = nodes.get(key.node_id)
            fields = {} if node is None else describe_node(node.device.series)
            of_nodes[key.node_id] = fields
        # The metadata may have changed since the reading was asked for
        description = fields.get((key.measurement, key.field)) or describe(
            key.measurement, key.field
        )
        reading = readings.get(key)
        yield key, description.decided(None if reading is None else reading.value)


class EnirisFieldEntity(Entity):
    """An entity that shows one field of one node, or a direction of it.

    It listens to its own key alone: of thousands of entities few change at a poll.
    """

    _attr_has_entity_name = True
    _attr_should_poll = False

    def __init__(
        self,
        entry: EnirisConfigEntry,
        key: FieldKey,
        description: FieldDescription,
        living: set[str],
    ) -> None:
        """Show the readings of `key` as `description` says; be in `living` while enabled."""
        self.coordinator = entry.runtime_data.telemetry
        self.key = key
        self.description = description
        self.value: float | int | str | bool | None = None
        self._shown = self._async_adopt()
        self._living = living
        self.id = key.unique_id(entry.unique_id, description.part)
        self._attr_unique_id = self.id
        if description.placeholders:
            self._attr_translation_placeholders = dict(description.placeholders)
        # The node coordinator has registered the device with all that is known of it
        self._attr_device_info = DeviceInfo(identifiers={(DOMAIN, key.node_id)})

    @property
    def reading(self) -> Reading | None:
        """The current reading, None where there is none."""
        return self.coordinator.data.get(self.key)

    @property
    def available(self) -> bool:
        """Whether there is a current reading that can be shown.

        A sum that is not known yet is no outage.
        """
        return self.coordinator.is_available(self.key) and (
            self.value is not None or self.description.accumulates
        )

    async def async_added_to_hass(self) -> None:
        """Begin to listen."""
        self._living.add(self.id)
        self.async_on_remove(
            self.coordinator.async_add_key_listener(
                self.key, self._async_reading_changed
            )
        )
        if self.description.accumulates:
            self.coordinator.async_want_total(self.key)
        # It may have changed since this was made
        self._shown = self._async_adopt()

    async def async_will_remove_from_hass(self) -> None:
        """Let go of the total."""
        self._living.discard(self.id)
        if self.description.accumulates:
            self.coordinator.async_unwant_total(self.key)

    @callback
    def _async_adopt(self) -> tuple[bool, float | int | str | bool | None]:
        """Take over the current value; return what is to be seen of it."""
        reading = self.reading
        self.value = None if reading is None else self.description.native(reading.value)
        return self.available, self.value

    @callback
    def _async_reading_changed(self) -> None:
        """Write the state only where it changed."""
        shown = self._async_adopt()
        if shown != self._shown:
            self._shown = shown
            self.async_write_ha_state()


class Distinguished(EnirisFieldEntity):
    """An entity the name of which another one of the same device has, too."""

    @property
    def name(self) -> str | UndefinedType | None:
        """The name, and what tells it apart."""
        return f"{super().name} ({self.description.distinction})"


@callback
def async_add_field_entities(
    entry: EnirisConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
    make: Callable[[FieldKey, FieldDescription, set[str]], Iterable[EnirisFieldEntity]],
) -> None:
    """Add what `make` makes of each field, as fields get their first values.

    A field that went and came again is told of again, whether or not its entities went, too.
    """
    living: set[str] = set()

    @callback
    def add_fields(keys: list[FieldKey]) -> None:
        async_add_entities(
            [
                entity
                for key, description in described(entry, keys)
                for entity in make(key, description, living)
                if entity.id not in living
            ]
        )

    entry.async_on_unload(
        entry.runtime_data.telemetry.async_add_new_keys_listener(add_fields)
    )
