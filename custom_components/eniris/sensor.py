"""Sensors: a node's measured values and metadata, and the figures of an export."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import batched
from typing import Any, Final

from homeassistant.components.sensor import (
    SensorDeviceClass,
    SensorEntity,
    SensorEntityDescription,
    SensorStateClass,
)
from homeassistant.const import (
    PERCENTAGE,
    EntityCategory,
    Platform,
    UnitOfEnergy,
    UnitOfPower,
    UnitOfTime,
)
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers.device_registry import DeviceInfo
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .account_entity import EnirisAccountEntity
from .api.telemetry import parse_time
from .const import DOMAIN
from .data import EnirisConfigEntry
from .entity import Distinguished, EnirisFieldEntity, async_add_field_entities
from .export_entity import EnirisExportEntity, history_counts
from .exporting.config import Export
from .exporting.outbox.figures import Figures
from .importing.catalogue import (
    PRICES,
    FieldDescription,
    Kind,
    directions,
    usable_number,
)
from .importing.coordinator import TelemetryCoordinator
from .importing.forecast import periods_of_day, start_of_day
from .importing.history.job import LeftOut
from .importing.nodes import Node
from .importing.plan import FieldKey
from .importing.unique_ids import UniqueIds

PARALLEL_UPDATES = 0

_AT_ONCE: Final = 20
"""Nodes that are looked after before the event loop gets its turn."""


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


EXPORT_HISTORY: Final = SensorEntityDescription(
    key="history",
    translation_key="history",
    native_unit_of_measurement=PERCENTAGE,
    suggested_display_precision=0,
    entity_category=EntityCategory.DIAGNOSTIC,
)


@dataclass(frozen=True, kw_only=True)
class AccountSensorDescription(SensorEntityDescription):
    """How an account is read."""

    value: Callable[[TelemetryCoordinator], float | datetime | None]


ACCOUNT_SENSORS: Final = (
    AccountSensorDescription(
        key="poll_interval",
        translation_key="poll_interval",
        device_class=SensorDeviceClass.DURATION,
        native_unit_of_measurement=UnitOfTime.SECONDS,
        suggested_display_precision=0,
        entity_category=EntityCategory.DIAGNOSTIC,
        value=lambda telemetry: telemetry.pace.interval.total_seconds(),
    ),
    AccountSensorDescription(
        key="cost_per_minute",
        translation_key="cost_per_minute",
        state_class=SensorStateClass.MEASUREMENT,
        suggested_display_precision=1,
        entity_category=EntityCategory.DIAGNOSTIC,
        value=lambda telemetry: telemetry.pace.cost_per_minute,
    ),
    AccountSensorDescription(
        key="last_read",
        translation_key="last_read",
        device_class=SensorDeviceClass.TIMESTAMP,
        entity_category=EntityCategory.DIAGNOSTIC,
        # It changes at each poll, which would fill the activity log
        entity_registry_enabled_default=False,
        value=lambda telemetry: telemetry.last_read,
    ),
)


HISTORY_PROGRESS: Final = SensorEntityDescription(
    key="history_progress",
    translation_key="history_progress",
    native_unit_of_measurement=PERCENTAGE,
    suggested_display_precision=0,
    entity_category=EntityCategory.DIAGNOSTIC,
)


@dataclass(frozen=True, kw_only=True)
class NodeSensorDescription(SensorEntityDescription):
    """Something of a node's metadata."""

    value: Callable[[Node], float | int | datetime | None]


NODE_SENSORS: Final = (
    NodeSensorDescription(
        key="nominal_power",
        translation_key="nominal_power",
        device_class=SensorDeviceClass.POWER,
        native_unit_of_measurement=UnitOfPower.WATT,
        suggested_display_precision=0,
        entity_category=EntityCategory.DIAGNOSTIC,
        value=lambda node: usable_number(node.device.info.nominal_power),
    ),
    NodeSensorDescription(
        key="capacity",
        translation_key="capacity",
        device_class=SensorDeviceClass.ENERGY_STORAGE,
        native_unit_of_measurement=UnitOfEnergy.WATT_HOUR,
        suggested_unit_of_measurement=UnitOfEnergy.KILO_WATT_HOUR,
        suggested_display_precision=2,
        entity_category=EntityCategory.DIAGNOSTIC,
        value=lambda node: usable_number(node.device.info.capacity),
    ),
    NodeSensorDescription(
        key="last_change",
        translation_key="last_change",
        device_class=SensorDeviceClass.TIMESTAMP,
        entity_category=EntityCategory.DIAGNOSTIC,
        entity_registry_enabled_default=False,
        value=lambda node: parse_time(node.device.last_update),
    ),
)


async def async_setup_entry(
    hass: HomeAssistant,
    entry: EnirisConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Add the sensors of exports, of the nodes' metadata, and of fields as they get values."""
    async_add_entities(
        [
            *(
                EnirisAccountSensor(entry, description)
                for description in ACCOUNT_SENSORS
            ),
            EnirisHistoryProgress(entry, HISTORY_PROGRESS),
        ]
    )
    for export in entry.runtime_data.exporter.exports.values():
        async_add_entities(
            (
                EnirisExportSensor(entry, export, description)
                for description in EXPORT_SENSORS
            ),
            config_subentry_id=export.id,
        )
        async_add_entities(
            [EnirisHistorySensor(entry, export)], config_subentry_id=export.id
        )

    unique_ids = UniqueIds(hass, entry, Platform.SENSOR)
    async_add_field_entities(entry, async_add_entities, unique_ids, _field_sensors)
    node_sensors = NodeSensors(entry, async_add_entities, unique_ids)

    @callback
    def nodes_changed() -> None:
        entry.async_create_task(hass, node_sensors.async_update(), "eniris metadata")

    entry.async_on_unload(entry.runtime_data.nodes.async_add_listener(nodes_changed))
    await node_sensors.async_update()


class EnirisSensor(EnirisFieldEntity, SensorEntity):
    """A field that is a number or a text."""

    entity_description: FieldDescription

    def __init__(
        self,
        entry: EnirisConfigEntry,
        key: FieldKey,
        description: FieldDescription,
        unique_ids: UniqueIds,
    ) -> None:
        """Show the readings of `key` as `description` says."""
        super().__init__(entry, key, description, unique_ids)
        self.entity_description = description

    @property
    def native_value(self) -> float | int | str | None:
        """The value, in the unit of the description."""
        return self.value


class DistinguishedSensor(Distinguished, EnirisSensor):
    """A field that shares its name with another one of the node."""


class EnirisPriceSensor(EnirisSensor):
    """A price, with those of today and tomorrow in the form that cards of Nord Pool read."""

    _unrecorded_attributes = frozenset(
        {
            "today",
            "tomorrow",
            "raw_today",
            "raw_tomorrow",
            "tomorrow_valid",
            "currency",
            "unit",
        }
    )

    def __init__(
        self,
        entry: EnirisConfigEntry,
        key: FieldKey,
        description: FieldDescription,
        unique_ids: UniqueIds,
    ) -> None:
        """Show the price `key`."""
        super().__init__(entry, key, description, unique_ids)
        self._prices = entry.runtime_data.prices

    async def async_added_to_hass(self) -> None:
        """Begin to listen, which has the prices read."""
        await super().async_added_to_hass()
        self.async_on_remove(
            self._prices.async_add_price_listener(self.key, self.async_write_ha_state)
        )

    @property
    def extra_state_attributes(self) -> dict[str, Any]:
        """The prices of today and tomorrow; those of a day that are not known are missing."""
        periods = self._prices.data.get(self.key, [])
        today, tomorrow = (
            periods_of_day(periods, start_of_day(days).date()) for days in (0, 1)
        )
        return {
            "today": [period.value for period in today],
            "tomorrow": [period.value for period in tomorrow],
            "tomorrow_valid": bool(tomorrow) and tomorrow[-1].end >= start_of_day(2),
            "raw_today": [period._asdict() for period in today],
            "raw_tomorrow": [period._asdict() for period in tomorrow],
            "currency": "EUR",
            "unit": UnitOfEnergy.KILO_WATT_HOUR,
        }


def _field_sensors(
    entry: EnirisConfigEntry,
    key: FieldKey,
    description: FieldDescription,
    unique_ids: UniqueIds,
) -> Iterator[EnirisSensor]:
    if description.kind is Kind.FLAG:
        return
    for shown in (description, *directions(key.measurement, description)):
        sensor = EnirisSensor if shown.distinction is None else DistinguishedSensor
        if key.field in PRICES:
            sensor = EnirisPriceSensor
        yield sensor(entry, key, shown, unique_ids)


class EnirisNodeSensor(SensorEntity):
    """Something of a node's metadata."""

    _attr_has_entity_name = True
    _attr_should_poll = False
    entity_description: NodeSensorDescription

    def __init__(
        self,
        entry: EnirisConfigEntry,
        node_id: str,
        description: NodeSensorDescription,
        unique_id: str,
        added: dict[str, "EnirisNodeSensor"],
    ) -> None:
        """Show what `description` says of a node; be in `added` by unique id while enabled."""
        self.entity_description = description
        self._nodes = entry.runtime_data.nodes
        self.node_id = node_id
        self._added = added
        self.id = unique_id
        self._attr_unique_id = unique_id
        self._attr_device_info = DeviceInfo(identifiers={(DOMAIN, node_id)})
        self._attr_native_value = self._value()

    @property
    def available(self) -> bool:
        """Metadata says what it says, however long ago it was asked for."""
        return self._attr_native_value is not None

    async def async_added_to_hass(self) -> None:
        """Be found from now on."""
        self._attr_native_value = self._value()
        self._added[self.id] = self

    async def async_will_remove_from_hass(self) -> None:
        """Be found no more."""
        del self._added[self.id]

    @callback
    def async_metadata_changed(self) -> None:
        """Write the state only where it changed."""
        value = self._value()
        if value != self._attr_native_value:
            self._attr_native_value = value
            self.async_write_ha_state()

    def _value(self) -> float | int | datetime | None:
        node = self._nodes.data.by_id.get(self.node_id)
        return None if node is None else self.entity_description.value(node)


class NodeSensors:
    """Adds the sensors of the nodes' metadata and keeps them up to date, a slice at a time."""

    def __init__(
        self,
        entry: EnirisConfigEntry,
        async_add_entities: AddConfigEntryEntitiesCallback,
        unique_ids: UniqueIds,
    ) -> None:
        """Follow the nodes of an account."""
        self._entry = entry
        self._async_add_entities = async_add_entities
        self._unique_ids = unique_ids
        self._known: dict[str, set[str]] = {}
        self._added: dict[str, EnirisNodeSensor] = {}
        self._running = False
        self._changed = False

    async def async_update(self) -> None:
        """Bring everything up to date. A call while another is at it leaves it to that one."""
        self._changed = True
        if self._running:
            return
        self._running = True
        try:
            while self._changed:
                self._changed = False
                await self._async_update_nodes()
        finally:
            self._running = False

    async def _async_update_nodes(self) -> None:
        # An entity takes its id from its device's name, so that has to be there first
        await self._entry.runtime_data.devices.async_sync()
        nodes = self._entry.runtime_data.nodes.data.by_id
        # Those of nodes that are gone go with their devices, soon or late
        self._known = {
            node_id: known for node_id, known in self._known.items() if node_id in nodes
        }
        for slice_ in batched(nodes.values(), _AT_ONCE, strict=False):
            new = [
                EnirisNodeSensor(
                    self._entry,
                    node.id,
                    description,
                    self._unique_ids.async_claim(node.id, description.key),
                    self._added,
                )
                for node in slice_
                for description in NODE_SENSORS
                if description.key not in self._known.get(node.id, ())
                and description.value(node) is not None
            ]
            for entity in new:
                self._known.setdefault(entity.node_id, set()).add(
                    entity.entity_description.key
                )
            if new:
                self._async_add_entities(
                    [entity for entity in new if entity.id not in self._added]
                )
                await asyncio.sleep(0)
        for ids in batched(list(self._added), _AT_ONCE, strict=False):
            for id_ in ids:
                # Some may have been removed in between
                if (sensor := self._added.get(id_)) is not None:
                    sensor.async_metadata_changed()
            await asyncio.sleep(0)


class EnirisExportSensor(EnirisExportEntity, SensorEntity):
    """A figure of an export."""

    entity_description: ExportSensorDescription

    @property
    def native_value(self) -> int | datetime | None:
        """The figure, as it was last looked at."""
        return self.entity_description.value(self.status.figures)


class EnirisHistorySensor(EnirisExportEntity, SensorEntity):
    """How much of the past that was asked for is sent."""

    _unrecorded_attributes = frozenset(
        {
            "start",
            "end",
            "reading_back_to",
            "stored",
            "outside",
            "outside_until",
            "refused",
            "unusable",
            "reason",
        }
    )

    def __init__(self, entry: EnirisConfigEntry, export: Export) -> None:
        """Show the past of `export`."""
        super().__init__(entry, export, EXPORT_HISTORY)

    @property
    def native_value(self) -> float | None:
        """The share of the time that is done; None where nothing was ever asked for."""
        history = self.status.history
        return None if history is None else round(history.percent, 1)

    @property
    def extra_state_attributes(self) -> dict[str, Any] | None:
        """What was asked for, how far that has come, and what became of the values."""
        history = self.status.history
        if history is None:
            return None
        job = history.job
        return {
            "start": job.start.isoformat(),
            "end": job.end.isoformat(),
            "reading_back_to": max(
                job.cursor, job.start, history.oldest or job.start
            ).isoformat(),
            **history_counts(job),
        }


class EnirisAccountSensor(EnirisAccountEntity, SensorEntity):
    """Something of how an account is read."""

    entity_description: AccountSensorDescription

    @property
    def native_value(self) -> float | datetime | None:
        """The figure of the last poll."""
        return self.entity_description.value(self.coordinator)


class EnirisHistoryProgress(EnirisAccountEntity, SensorEntity):
    """How far the import of an account's past has come, and what is being fetched."""

    _unrecorded_attributes = frozenset({"fetching", "back_to", "left_out", *LeftOut})

    def __init__(
        self, entry: EnirisConfigEntry, description: SensorEntityDescription
    ) -> None:
        """Follow the import of the account of `entry`."""
        super().__init__(entry, description)
        self._history = entry.runtime_data.history

    async def async_added_to_hass(self) -> None:
        """Follow the import rather than the polls."""
        self.async_on_remove(
            self._history.async_add_listener(self.async_write_ha_state)
        )

    @property
    def native_value(self) -> float | None:
        """The part that is done, None where no past was ever asked for."""
        return self._history.progress.percent

    @property
    def extra_state_attributes(self) -> dict[str, Any]:
        """What is done of the past now, where it ends, and what is left out."""
        progress = self._history.progress
        return {
            "fetching": progress.fetching,
            "back_to": progress.back_to,
            "left_out": list(progress.left_out),
            **{
                reason.value: [
                    entity_id
                    for entity_id, why in progress.left_out.items()
                    if why is reason
                ]
                for reason in LeftOut
            },
        }
