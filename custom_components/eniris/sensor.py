"""Sensors: a node's measured values."""

from homeassistant.components.sensor import SensorEntity
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .data import EnirisConfigEntry
from .entity import EnirisFieldEntity
from .importing.catalogue import CATALOGUE, FieldDescription
from .importing.plan import FieldKey

PARALLEL_UPDATES = 0


async def async_setup_entry(
    hass: HomeAssistant,
    entry: EnirisConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Add a sensor for every catalogued field, as soon as it has a value."""
    telemetry = entry.runtime_data.telemetry
    known: set[FieldKey] = set()

    @callback
    def add_new() -> None:
        new = [
            key for key in telemetry.data if key not in known and key.field in CATALOGUE
        ]
        known.update(new)
        async_add_entities(
            EnirisSensor(entry, key, CATALOGUE[key.field]) for key in new
        )

    entry.async_on_unload(telemetry.async_add_listener(add_new))
    add_new()


class EnirisSensor(EnirisFieldEntity, SensorEntity):
    """A numeric field."""

    entity_description: FieldDescription

    def __init__(
        self, entry: EnirisConfigEntry, key: FieldKey, description: FieldDescription
    ) -> None:
        """Show the readings of `key` as `description` says."""
        super().__init__(entry, key)
        self.entity_description = description
        if description.placeholders:
            self._attr_translation_placeholders = dict(description.placeholders)
        self._shown = self._async_read()

    @callback
    def _async_read(self) -> tuple[bool, float | int | None]:
        """Adopt the current reading; return what is to be seen of it."""
        reading = self.reading
        self._attr_native_value = (
            None if reading is None else self.entity_description.native(reading.value)
        )
        return self.available, self._attr_native_value

    @property
    def available(self) -> bool:
        """A value of the wrong type is no value, whatever the poll says."""
        return super().available and self._attr_native_value is not None

    @callback
    def _handle_coordinator_update(self) -> None:
        """Write the state only where it changed."""
        shown = self._async_read()
        if shown != self._shown:
            self._shown = shown
            self.async_write_ha_state()
