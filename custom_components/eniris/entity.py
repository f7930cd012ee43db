"""The bases of all entities: of an account, an export, a controller, and a node."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from homeassistant.components.sensor import SensorEntityDescription
from homeassistant.const import EntityCategory
from homeassistant.core import callback
from homeassistant.helpers.device_registry import DeviceInfo
from homeassistant.helpers.entity import Entity, EntityDescription
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback
from homeassistant.helpers.typing import UndefinedType
from homeassistant.helpers.update_coordinator import CoordinatorEntity
from homeassistant.util import dt as dt_util

from .const import DOMAIN
from .controller.controller import Controller
from .controller.policies import HeldPolicies
from .data import EnirisConfigEntry
from .devices import account_identifier, subentry_identifier
from .exporting.config import Export
from .exporting.exporter import ExportStatus
from .field_description import FieldDescription
from .importing.coordinator import TelemetryCoordinator
from .importing.key_notifier import KeyNotifier
from .importing.plan import FieldKey
from .unique_ids import UniqueIds


@dataclass(frozen=True, kw_only=True)
class FigureDescription[SourceT](SensorEntityDescription):
    """A sensor of a figure that is taken from a `SourceT`."""

    entity_category: EntityCategory | None = EntityCategory.DIAGNOSTIC
    value: Callable[[SourceT], float | datetime | None]


class EnirisAccountEntity(CoordinatorEntity[TelemetryCoordinator]):
    """An entity of the account as a whole."""

    _attr_has_entity_name = True

    def __init__(
        self, entry: EnirisConfigEntry, description: EntityDescription
    ) -> None:
        """Show the account of `entry` as `description` says."""
        self.data = entry.runtime_data
        super().__init__(self.data.telemetry)
        self.entity_description = description
        self._attr_unique_id = f"{entry.unique_id}_{description.key}"
        self._attr_device_info = DeviceInfo(identifiers={account_identifier(entry)})

    @property
    def available(self) -> bool:
        """What it shows is this integration's own, whatever the service does."""
        return True


class EnirisExportEntity(Entity):
    """An entity of an export. It is available whatever the service does: it tells of that."""

    _attr_has_entity_name = True
    _attr_should_poll = False

    def __init__(
        self, entry: EnirisConfigEntry, export: Export, description: EntityDescription
    ) -> None:
        """Show `export` as `description` says."""
        self.entity_description = description
        self.export = export
        self.exporter = entry.runtime_data.exporter
        self.is_added = False
        self._attr_unique_id = f"{entry.unique_id}_{export.id}_{description.key}"
        self._attr_device_info = DeviceInfo(
            identifiers={subentry_identifier(entry, export.id)}
        )

    @property
    def status(self) -> ExportStatus:
        """How the export is doing."""
        return self.exporter.status(self.export.id)

    async def async_added_to_hass(self) -> None:
        """Write the state when the status changed."""
        self.is_added = True
        self.async_on_remove(
            self.exporter.async_add_listener(self.async_write_ha_state)
        )


@callback
def async_add_export_entities(
    entry: EnirisConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
    make: Callable[[Export], Iterable[EnirisExportEntity]],
) -> None:
    """Add what `make` makes of each export: now, what is new when its status changes, and all when the exports have changed."""
    exports = entry.runtime_data.exports
    added: dict[str | None, EnirisExportEntity] = {}

    @callback
    def add() -> None:
        for export in exports.exporter.exports.values():
            entities = [its for its in make(export) if its.unique_id not in added]
            added.update({its.unique_id: its for its in entities})
            async_add_entities(entities, config_subentry_id=export.id)

    @callback
    def add_and_follow() -> None:
        add()
        exports.exporter.async_add_listener(add)

    async def replace() -> None:
        gone = list(added.values())
        added.clear()
        for entity in gone:
            # Others are disabled
            if entity.is_added:
                await entity.async_remove()
        add_and_follow()

    @callback
    def changed() -> None:
        entry.async_create_task(
            exports.hass, replace(), "eniris exports", eager_start=False
        )

    add_and_follow()
    entry.async_on_unload(exports.async_add_listener(changed))


class EnirisControllerEntity(Entity):
    """An entity of a controller: of what it pushes, or of what it is told to do."""

    _attr_has_entity_name = True
    _attr_should_poll = False

    def __init__(
        self,
        entry: EnirisConfigEntry,
        controller: Controller,
        description: EntityDescription,
    ) -> None:
        """Show `controller` as `description` says."""
        self.controller = controller
        self.entity_description = description
        settings = controller.settings
        self._attr_unique_id = f"{entry.unique_id}_{settings.id}_{description.key}"
        self._attr_device_info = DeviceInfo(
            identifiers={subentry_identifier(entry, settings.id)}
        )


class EnirisScheduleEntity(EnirisControllerEntity):
    """An entity of a controller's schedules, which can be asked for and changed while the broker answers."""

    def __init__(
        self,
        entry: EnirisConfigEntry,
        controller: Controller,
        policies: HeldPolicies,
        description: EntityDescription,
    ) -> None:
        """Show the schedules of `controller`, or its `policies`, as `description` says."""
        super().__init__(entry, controller, description)
        self.policies = policies
        self.schedules = policies.schedules

    @property
    def available(self) -> bool:
        """Whether the broker can be used now."""
        return self.schedules.is_connected

    async def async_added_to_hass(self) -> None:
        """Write the state when schedules change, begin or end."""
        self.async_on_remove(
            self.schedules.async_add_listener(self.async_write_ha_state)
        )


class EnirisNodeEntity(Entity):
    """An entity of a node.

    It listens to its own key alone: of thousands of entities few change at a poll.
    """

    _attr_has_entity_name = True
    _attr_should_poll = False

    def __init__(
        self,
        entry: EnirisConfigEntry,
        notifier: KeyNotifier,
        key: FieldKey,
        unique_ids: UniqueIds,
        part: str | None = None,
    ) -> None:
        """Show `key`, or a direction of it, under one of `unique_ids`."""
        self.data = entry.runtime_data
        self.key = key
        self._notifier = notifier
        self._unique_ids = unique_ids
        self.id = unique_ids.async_claim(*key, part)
        self._attr_unique_id = self.id
        # The device is registered already, with all that is known of it
        self._attr_device_info = DeviceInfo(identifiers={(DOMAIN, key.node_id)})

    async def async_added_to_hass(self) -> None:
        """Begin to listen."""
        self._unique_ids.added.add(self.id)
        self.async_on_remove(
            self._notifier.async_add_listener(self.key, self._async_changed)
        )

    async def async_will_remove_from_hass(self) -> None:
        """Let the entity be added again."""
        self._unique_ids.added.discard(self.id)

    @callback
    def _async_changed(self) -> None:
        """Write the state after what is known of the key changed."""
        self.async_write_ha_state()


class EnirisFieldEntity(EnirisNodeEntity):
    """An entity that shows one field of one node, or a direction of it."""

    def __init__(
        self,
        entry: EnirisConfigEntry,
        key: FieldKey,
        description: FieldDescription,
        unique_ids: UniqueIds,
    ) -> None:
        """Show the readings of `key` as `description` says."""
        self.coordinator = entry.runtime_data.telemetry
        notifier = self.coordinator.notifier
        super().__init__(entry, notifier, key, unique_ids, description.part)
        self.entity_description = self.description = description
        self.value: float | int | str | bool | None = None
        self._shown = self._async_adopt()
        if description.placeholders:
            self._attr_translation_placeholders = dict(description.placeholders)

    @property
    def available(self) -> bool:
        """Whether there is a current reading that can be shown.

        A sum that is not known yet is no outage.
        """
        return self.coordinator.is_available(self.key) and (
            self.value is not None or self.description.accumulates
        )

    async def async_added_to_hass(self) -> None:
        """Begin to listen, and to count what is a total."""
        await super().async_added_to_hass()
        if self.description.accumulates:
            await self.coordinator.totals.async_want(
                self.key, self.entity_id, dt_util.utcnow()
            )
        # It may have changed since this was made
        self._shown = self._async_adopt()

    async def async_will_remove_from_hass(self) -> None:
        """Let go of the total."""
        await super().async_will_remove_from_hass()
        if self.description.accumulates:
            self.coordinator.totals.unwant(self.key)

    @callback
    def _async_adopt(self) -> tuple[bool, float | int | str | bool | None]:
        """Take over the current value; return what is to be seen of it."""
        self.value = self.description.native(self.coordinator.value(self.key))
        return self.available, self.value

    @callback
    def _async_changed(self) -> None:
        """Write the state only where a change of the field is one of this direction."""
        shown = self._async_adopt()
        if shown != self._shown:
            self._shown = shown
            self.async_write_ha_state()


class Distinguished(EnirisFieldEntity):
    """An entity the name of which another one of the same device has, too."""

    # Of the others Home Assistant makes the ids in its own language, which an own name prevents
    @property
    def name(self) -> str | UndefinedType | None:
        """The name, and what tells it apart."""
        return f"{super().name} ({self.description.distinction})"


@callback
def async_add_node_entities(
    entry: EnirisConfigEntry,
    notifier: KeyNotifier,
    async_add_entities: AddConfigEntryEntitiesCallback,
    unique_ids: UniqueIds,
    make: Callable[[FieldKey], Iterable[EnirisNodeEntity]],
) -> None:
    """Add what `make` makes of each key, as `notifier` tells of keys.

    A key that went and came again is told of again, whether or not its entities went, too.
    """

    @callback
    def add(keys: list[FieldKey]) -> None:
        async_add_entities(
            [
                entity
                for key in keys
                for entity in make(key)
                if entity.id not in unique_ids.added
            ]
        )

    entry.async_on_unload(notifier.async_add_new_keys_listener(add))


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
    """Add what `make` makes of each field, as fields get their first values."""
    telemetry = entry.runtime_data.telemetry

    def make_of(key: FieldKey) -> Iterable[EnirisFieldEntity]:
        # The metadata may have changed since the reading was asked for
        if (description := telemetry.poll.descriptions.get(key)) is None:
            return ()
        return make(entry, key, description.decided(telemetry.value(key)), unique_ids)

    async_add_node_entities(
        entry, telemetry.notifier, async_add_entities, unique_ids, make_of
    )
