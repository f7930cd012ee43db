"""Events for automations: what became of a part of the past that was to be sent."""

from typing import Any

from homeassistant.config_entries import ConfigEntry
from homeassistant.const import ATTR_DEVICE_ID
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers import device_registry as dr

from .const import EVENT_HISTORY_EXPORTED
from .devices import Identity, identity
from .exporting.history.jobs import Job


@callback
def async_fire_history_exported(
    hass: HomeAssistant, entry: ConfigEntry[Any], job: Job
) -> None:
    """Tell automations how a job ended, and by its device of which export."""
    registry = dr.async_get(hass)
    devices = dr.async_entries_for_config_entry(registry, entry.entry_id)
    export = Identity("export", job.export_id)
    hass.bus.async_fire(
        EVENT_HISTORY_EXPORTED,
        {
            "export_id": job.export_id,
            ATTR_DEVICE_ID: next(
                (its.id for its in devices if identity(entry, its) == export), None
            ),
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
