"""What all entities of a node have in common."""

from collections.abc import Callable, Iterable

from homeassistant.core import callback
from homeassistant.helpers.device_registry import DeviceInfo
from homeassistant.helpers.entity import Entity
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback
from homeassistant.helpers.typing import UndefinedType
from homeassistant.util import dt as dt_util

from .const import DOMAIN
from .data import EnirisConfigEntry
from .importing.catalogue import FieldDescription
from .importing.plan import FieldKey
from .importing.unique_ids import UniqueIds


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
        unique_ids: UniqueIds,
    ) -> None:
        """Show the readings of `key` as `description` says, under one of `unique_ids`."""
        self.coordinator = entry.runtime_data.telemetry
        self.key = key
        self.description = description
        self.value: float | int | str | bool | None = None
        self._shown = self._async_adopt()
        self._unique_ids = unique_ids
        self.id = unique_ids.async_claim(*key, description.part)
        self._attr_unique_id = self.id
        if description.placeholders:
            self._attr_translation_placeholders = dict(description.placeholders)
        # The node coordinator has registered the device with all that is known of it
        self._attr_device_info = DeviceInfo(identifiers={(DOMAIN, key.node_id)})

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
        self._unique_ids.added.add(self.id)
        self.async_on_remove(
            self.coordinator.notifier.async_add_listener(
                self.key, self._async_value_changed
            )
        )
        if self.description.accumulates:
            await self.coordinator.totals.async_want(
                self.key, self.entity_id, dt_util.utcnow()
            )
        # It may have changed since this was made
        self._shown = self._async_adopt()

    async def async_will_remove_from_hass(self) -> None:
        """Let go of the total."""
        self._unique_ids.added.discard(self.id)
        if self.description.accumulates:
            self.coordinator.totals.unwant(self.key)

    @callback
    def _async_adopt(self) -> tuple[bool, float | int | str | bool | None]:
        """Take over the current value; return what is to be seen of it."""
        self.value = self.description.native(self.coordinator.value(self.key))
        return self.available, self.value

    @callback
    def _async_value_changed(self) -> None:
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
    unique_ids: UniqueIds,
    make: Callable[
        [EnirisConfigEntry, FieldKey, FieldDescription, UniqueIds],
        Iterable[EnirisFieldEntity],
    ],
) -> None:
    """Add what `make` makes of each field, as fields get their first values.

    A field that went and came again is told of again, whether or not its entities went, too.
    """
    telemetry = entry.runtime_data.telemetry

    @callback
    def add_fields(keys: list[FieldKey]) -> None:
        async_add_entities(
            [
                entity
                for key in keys
                # The metadata may have changed since the reading was asked for
                if (description := telemetry.poll.descriptions.get(key))
                for entity in make(
                    entry,
                    key,
                    description.decided(telemetry.value(key)),
                    unique_ids,
                )
                if entity.id not in unique_ids.added
            ]
        )

    entry.async_on_unload(telemetry.notifier.async_add_new_keys_listener(add_fields))
