"""Sensors: a node's measured values, and the figures of an export."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from homeassistant.components.sensor import (
    SensorDeviceClass,
    SensorEntity,
    SensorEntityDescription,
    SensorStateClass,
)
from homeassistant.const import EntityCategory
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .data import EnirisConfigEntry
from .entity import EnirisFieldEntity
from .export_entity import EnirisExportEntity
from .exporting.outbox import Figures
from .importing.catalogue import FieldDescription, describe
from .importing.plan import FieldKey

PARALLEL_UPDATES = 0


@dataclass(frozen=True, kw_only=True)
class ExportSensorDescription(SensorEntityDescription):
    """A figure of an export."""

    value: Callable[[Figures], int | datetime | None]


def _count(key: str, state_class: SensorStateClass) -> ExportSensorDescription:
    def value(figures: Figures) -> int:
        count: int = getattr(figures, key)
        return count

    return ExportSensorDescription(
        key=key,
        translation_key=key,
        state_class=state_class,
        entity_category=EntityCategory.DIAGNOSTIC,
        value=value,
    )


EXPORT_SENSORS: Final = (
    _count("waiting", SensorStateClass.MEASUREMENT),
    _count("uploaded", SensorStateClass.TOTAL_INCREASING),
    _count("rejected", SensorStateClass.TOTAL_INCREASING),
    ExportSensorDescription(
        key="oldest_waiting",
        translation_key="oldest_waiting",
        device_class=SensorDeviceClass.TIMESTAMP,
        entity_category=EntityCategory.DIAGNOSTIC,
        value=lambda figures: figures.oldest,
    ),
    ExportSensorDescription(
        key="last_upload",
        translation_key="last_upload",
        device_class=SensorDeviceClass.TIMESTAMP,
        entity_category=EntityCategory.DIAGNOSTIC,
        value=lambda figures: figures.last_upload,
    ),
)


async def async_setup_entry(
    hass: HomeAssistant,
    entry: EnirisConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Add a sensor for every catalogued field, as soon as it has a value, and for exports."""
    for export in entry.runtime_data.exporter.exports.values():
        async_add_entities(
            (
                EnirisExportSensor(entry, export, description)
                for description in EXPORT_SENSORS
            ),
            config_subentry_id=export.id,
        )
    telemetry = entry.runtime_data.telemetry
    known: set[FieldKey] = set()

    @callback
    def add_new() -> None:
        new = {
            key: description
            for key in telemetry.data
            if key not in known
            and (description := describe(key.measurement, key.field)) is not None
        }
        known.update(new)
        async_add_entities(
            EnirisSensor(entry, key, description) for key, description in new.items()
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


class EnirisExportSensor(EnirisExportEntity, SensorEntity):
    """A figure of an export."""

    entity_description: ExportSensorDescription

    @property
    def native_value(self) -> int | datetime | None:
        """The figure, as it was last looked at."""
        return self.entity_description.value(self.status.figures)
