"""Sensors of an export: what waits, what is stored, and how much of its past is sent."""

from collections.abc import Iterator
from datetime import datetime
from operator import attrgetter
from typing import Any, Final

from homeassistant.components.sensor import (
    SensorDeviceClass,
    SensorEntity,
    SensorStateClass,
)
from homeassistant.const import MATCH_ALL, PERCENTAGE, UnitOfTime

from .data import EnirisConfigEntry
from .entity import EnirisExportEntity, FigureDescription
from .events import history_counts
from .exporting.config import Export
from .exporting.exporter import ExportStatus

EXPORT_SENSORS: Final = (
    *(
        FigureDescription[ExportStatus](
            key=key,
            translation_key=key,
            state_class=state_class,
            value=attrgetter(f"figures.{key}"),
        )
        for key, state_class in (
            ("waiting", SensorStateClass.MEASUREMENT),
            ("uploaded", SensorStateClass.TOTAL_INCREASING),
            ("rejected", SensorStateClass.TOTAL_INCREASING),
        )
    ),
    FigureDescription[ExportStatus](
        key="oldest_waiting",
        translation_key="oldest_waiting",
        device_class=SensorDeviceClass.DURATION,
        native_unit_of_measurement=UnitOfTime.SECONDS,
        state_class=SensorStateClass.MEASUREMENT,
        suggested_display_precision=0,
        value=attrgetter("figures.seconds_waiting"),
    ),
    FigureDescription[ExportStatus](
        key="last_upload",
        translation_key="last_upload",
        device_class=SensorDeviceClass.TIMESTAMP,
        entity_registry_enabled_default=False,
        value=attrgetter("figures.last_upload"),
    ),
)

EXPORT_HISTORY: Final = FigureDescription[ExportStatus](
    key="history",
    translation_key="history",
    native_unit_of_measurement=PERCENTAGE,
    suggested_display_precision=0,
    value=lambda status: (
        None if status.history is None else round(status.history.percent, 1)
    ),
)


class EnirisExportSensor(EnirisExportEntity, SensorEntity):
    """A figure of an export."""

    entity_description: FigureDescription[ExportStatus]

    @property
    def native_value(self) -> float | datetime | None:
        """The figure, as it was last looked at."""
        return self.entity_description.value(self.status)


class EnirisHistorySensor(EnirisExportSensor):
    """How much of the past that was asked for is sent."""

    _unrecorded_attributes = frozenset({MATCH_ALL})

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


def export_sensors(
    entry: EnirisConfigEntry, export: Export
) -> Iterator[EnirisExportSensor]:
    """Yield the sensors of an export, that of its past only where one was asked for."""
    for each in EXPORT_SENSORS:
        yield EnirisExportSensor(entry, export, each)
    if entry.runtime_data.exporter.status(export.id).history is not None:
        yield EnirisHistorySensor(entry, export, EXPORT_HISTORY)
