"""What all entities of an export have in common, and the device that they belong to."""

from typing import Any

from homeassistant.const import ATTR_DEVICE_ID
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers import device_registry as dr
from homeassistant.helpers.device_registry import DeviceInfo
from homeassistant.helpers.entity import Entity, EntityDescription

from .const import DOMAIN, EVENT_HISTORY_EXPORTED
from .data import EnirisConfigEntry
from .exporting.config import Export
from .exporting.exporter import ExportStatus
from .exporting.history.jobs import Job
from .importing.devices import account_identifier


def export_identifier(entry: EnirisConfigEntry, export_id: str) -> tuple[str, str]:
    """Return what identifies an export's device."""
    return (DOMAIN, f"{entry.unique_id}_{export_id}")


@callback
def async_register_exports(hass: HomeAssistant, entry: EnirisConfigEntry) -> None:
    """Create or update a device per export, linked to the account's.

    By device id and in a second call, as `async_register_nodes` does and for its reason.
    """
    registry = dr.async_get(hass)
    account = registry.async_get_or_create(
        config_entry_id=entry.entry_id, identifiers={account_identifier(entry)}
    )
    for export in entry.runtime_data.exporter.exports.values():
        device = registry.async_get_or_create(
            config_entry_id=entry.entry_id,
            config_subentry_id=export.id,
            identifiers={export_identifier(entry, export.id)},
            entry_type=dr.DeviceEntryType.SERVICE,
            manufacturer="Eniris",
            model=export.series.measurement,
            name=export.title,
        )
        registry.async_update_device(device.id, via_device_id=account.id)


@callback
def async_fire_history_exported(
    hass: HomeAssistant, entry: EnirisConfigEntry, job: Job
) -> None:
    """Tell automations what became of a part of the past that was to be sent."""
    device_id = next(
        (
            device.id
            for device in dr.async_entries_for_config_entry(
                dr.async_get(hass), entry.entry_id
            )
            if export_identifier(entry, job.export_id) in device.identifiers
        ),
        None,
    )
    hass.bus.async_fire(
        EVENT_HISTORY_EXPORTED,
        {
            "export_id": job.export_id,
            ATTR_DEVICE_ID: device_id,
            "start": job.start.isoformat(),
            "end": job.end.isoformat(),
            **history_counts(job),
        },
    )


def history_counts(job: Job) -> dict[str, Any]:
    """Return what became of the values of a job, as events and attributes show it."""
    return {
        "stored": job.stored,
        "outside": job.outside,
        "outside_until": job.outside_until and job.outside_until.isoformat(),
        "refused": job.refused,
        "unusable": job.unusable,
        "reason": job.reason,
    }


class EnirisExportEntity(Entity):
    """An entity of an export. It is available whatever the service does: it tells of that."""

    _attr_has_entity_name = True
    _attr_should_poll = False
    _unrecorded_attributes = frozenset({"reason"})

    def __init__(
        self, entry: EnirisConfigEntry, export: Export, description: EntityDescription
    ) -> None:
        """Show `export` as `description` says."""
        self.entity_description = description
        self.export = export
        self.exporter = entry.runtime_data.exporter
        self._attr_unique_id = f"{entry.unique_id}_{export.id}_{description.key}"
        self._attr_device_info = DeviceInfo(
            identifiers={export_identifier(entry, export.id)}
        )

    @property
    def status(self) -> ExportStatus:
        """How the export is doing."""
        return self.exporter.status(self.export.id)

    async def async_added_to_hass(self) -> None:
        """Write the state when the status changed."""
        self.async_on_remove(
            self.exporter.async_add_listener(self.async_write_ha_state)
        )
