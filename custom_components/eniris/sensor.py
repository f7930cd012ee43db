"""Sensors: a node's measured values and metadata, and the figures of an account and of an export."""

from collections.abc import Iterator
from datetime import datetime
from functools import partial
from typing import Any, Final

from homeassistant.components.sensor import (
    SensorDeviceClass,
    SensorEntity,
    SensorStateClass,
)
from homeassistant.const import (
    MATCH_ALL,
    PERCENTAGE,
    Platform,
    UnitOfEnergy,
    UnitOfPower,
    UnitOfTime,
)
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .api.telemetry import parse_time
from .data import EnirisConfigEntry, EnirisData
from .entity import (
    Distinguished,
    EnirisAccountEntity,
    EnirisFieldEntity,
    EnirisNodeEntity,
    FigureDescription,
    async_add_export_entities,
    async_add_field_entities,
    async_add_node_entities,
)
from .export_sensor import export_sensors
from .field_description import FieldDescription, Kind, usable_number
from .importing.catalogue import PRICES, directions
from .importing.forecast import ForecastPeriod, start_of_day
from .importing.history.job import LeftOut
from .importing.key_notifier import KeyNotifier
from .importing.nodes import Node
from .importing.plan import FieldKey
from .live_sensor import async_add_live_sensors
from .unique_ids import UniqueIds

PARALLEL_UPDATES = 0


ACCOUNT_SENSORS: Final = (
    FigureDescription[EnirisData](
        key="poll_interval",
        translation_key="poll_interval",
        device_class=SensorDeviceClass.DURATION,
        native_unit_of_measurement=UnitOfTime.SECONDS,
        suggested_display_precision=0,
        value=lambda data: data.telemetry.pace.interval.total_seconds(),
    ),
    FigureDescription[EnirisData](
        key="cost_per_minute",
        translation_key="cost_per_minute",
        state_class=SensorStateClass.MEASUREMENT,
        suggested_display_precision=1,
        value=lambda data: data.telemetry.pace.cost_per_minute,
    ),
    FigureDescription[EnirisData](
        key="last_read",
        translation_key="last_read",
        device_class=SensorDeviceClass.TIMESTAMP,
        # It changes at each poll, which would fill the activity log
        entity_registry_enabled_default=False,
        value=lambda data: data.telemetry.last_read,
    ),
)

HISTORY_PROGRESS: Final = FigureDescription[EnirisData](
    key="history_progress",
    translation_key="history_progress",
    native_unit_of_measurement=PERCENTAGE,
    suggested_display_precision=0,
    value=lambda data: data.history.progress.percent,
)

NODE_SENSORS: Final = (
    FigureDescription[Node](
        key="nominal_power",
        translation_key="nominal_power",
        device_class=SensorDeviceClass.POWER,
        native_unit_of_measurement=UnitOfPower.WATT,
        suggested_display_precision=0,
        value=lambda node: usable_number(node.device.info.nominal_power),
    ),
    FigureDescription[Node](
        key="capacity",
        translation_key="capacity",
        device_class=SensorDeviceClass.ENERGY_STORAGE,
        native_unit_of_measurement=UnitOfEnergy.WATT_HOUR,
        suggested_unit_of_measurement=UnitOfEnergy.KILO_WATT_HOUR,
        suggested_display_precision=2,
        value=lambda node: usable_number(node.device.info.capacity),
    ),
    FigureDescription[Node](
        key="last_change",
        translation_key="last_change",
        device_class=SensorDeviceClass.TIMESTAMP,
        entity_registry_enabled_default=False,
        value=lambda node: parse_time(node.device.last_update),
    ),
)


async def async_setup_entry(
    hass: HomeAssistant,
    entry: EnirisConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Add the sensors of the account, of exports, of the nodes' metadata, and of fields as they get values."""
    async_add_entities(EnirisAccountSensor(entry, each) for each in ACCOUNT_SENSORS)
    _async_add_history_progress(entry, async_add_entities)
    async_add_export_entities(entry, async_add_entities, partial(export_sensors, entry))
    unique_ids = UniqueIds(hass, entry, Platform.SENSOR)
    async_add_field_entities(entry, async_add_entities, unique_ids, _field_sensors)
    for controller in entry.runtime_data.controllers.values():
        async_add_live_sensors(entry, controller, async_add_entities)
    await _async_add_node_sensors(hass, entry, async_add_entities, unique_ids)


@callback
def _async_add_history_progress(
    entry: EnirisConfigEntry, async_add_entities: AddConfigEntryEntitiesCallback
) -> None:
    """Add the sensor of the import of the past, once there is one."""
    history = entry.runtime_data.history

    @callback
    def add() -> None:
        if history.progress.percent is not None:
            remove()
            async_add_entities([EnirisHistoryProgress(entry, HISTORY_PROGRESS)])

    remove = history.async_add_listener(add)
    add()


class EnirisAccountSensor(EnirisAccountEntity, SensorEntity):
    """Something of how an account is read."""

    entity_description: FigureDescription[EnirisData]

    @property
    def native_value(self) -> float | datetime | None:
        """The figure, None where it is not known."""
        return self.entity_description.value(self.data)


class EnirisHistoryProgress(EnirisAccountSensor):
    """How far the import of an account's past has come, and what is being fetched."""

    _unrecorded_attributes = frozenset({MATCH_ALL})

    async def async_added_to_hass(self) -> None:
        """Follow the import rather than the polls."""
        history = self.data.history
        self.async_on_remove(history.async_add_listener(self.async_write_ha_state))

    @property
    def extra_state_attributes(self) -> dict[str, Any]:
        """What is done of the past now, where it ends, and what is left out."""
        progress = self.data.history.progress
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


class EnirisSensor(EnirisFieldEntity, SensorEntity):
    """A field that is a number or a text."""

    @property
    def native_value(self) -> float | int | str | None:
        """The value, in the unit of the description."""
        return self.value


class DistinguishedSensor(Distinguished, EnirisSensor):
    """A field that shares its name with another one of the node."""


class EnirisPriceSensor(EnirisSensor):
    """A price, with those of today and tomorrow in the form that cards of Nord Pool read."""

    _unrecorded_attributes = frozenset({MATCH_ALL})

    async def async_added_to_hass(self) -> None:
        """Begin to listen, which has the prices read."""
        await super().async_added_to_hass()
        self.async_on_remove(
            self.data.prices.async_add_price_listener(
                self.key, self.async_write_ha_state
            )
        )

    @property
    def extra_state_attributes(self) -> dict[str, Any]:
        """The prices of today and tomorrow; those of a day that are not known are missing."""
        today, tomorrow = self._of_day(0), self._of_day(1)
        return {
            "today": [period.value for period in today],
            "tomorrow": [period.value for period in tomorrow],
            "tomorrow_valid": bool(tomorrow) and tomorrow[-1].end >= start_of_day(2),
            "raw_today": [period._asdict() for period in today],
            "raw_tomorrow": [period._asdict() for period in tomorrow],
            "currency": "EUR",
            "unit": UnitOfEnergy.KILO_WATT_HOUR,
        }

    def _of_day(self, days_ahead: int) -> list[ForecastPeriod[float | int]]:
        """Return the periods of today (0) or tomorrow (1), the first and the last cut at midnight."""
        first, last = start_of_day(days_ahead), start_of_day(days_ahead + 1)
        return [
            ForecastPeriod(max(start, first), min(end, last), value)
            for start, end, value in self.data.prices.data.get(self.key, ())
            if start < last and end > first
        ]


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


class EnirisNodeSensor(EnirisNodeEntity, SensorEntity):
    """Something of a node's metadata."""

    entity_description: FigureDescription[Node]

    def __init__(
        self,
        entry: EnirisConfigEntry,
        notifier: KeyNotifier,
        key: FieldKey,
        unique_ids: UniqueIds,
    ) -> None:
        """Show what the description with the name of the field of `key` says."""
        super().__init__(entry, notifier, key, unique_ids)
        self.entity_description = _NODE_SENSORS[key.field]

    @property
    def available(self) -> bool:
        """Metadata says what it says, however long ago it was asked for."""
        return self.native_value is not None

    @property
    def native_value(self) -> float | datetime | None:
        """What the metadata says now."""
        node = self.data.nodes.data.by_id.get(self.key.node_id)
        return None if node is None else self.entity_description.value(node)


_NODE_SENSORS: Final = {each.key: each for each in NODE_SENSORS}


async def _async_add_node_sensors(
    hass: HomeAssistant,
    entry: EnirisConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
    unique_ids: UniqueIds,
) -> None:
    """Add the sensors of what the nodes' metadata says, and keep them up to date.

    To the notifier it is as if the metadata were a measurement without a name.
    """
    data = entry.runtime_data
    notifier = KeyNotifier(hass)

    async def update() -> None:
        # An entity takes its id from its device's name, so that has to be there first
        nodes = await data.devices.async_sync()
        notifier.async_update(
            {
                FieldKey(node.id, "", each.key): (True, str(value))
                for node in nodes.by_id.values()
                for each in NODE_SENSORS
                if (value := each.value(node)) is not None
            }
        )

    @callback
    def nodes_changed() -> None:
        entry.async_create_task(hass, update(), "eniris metadata")

    async_add_node_entities(
        entry,
        notifier,
        async_add_entities,
        unique_ids,
        lambda key: [EnirisNodeSensor(entry, notifier, key, unique_ids)],
    )
    entry.async_on_unload(data.nodes.async_add_listener(nodes_changed))
    await update()
