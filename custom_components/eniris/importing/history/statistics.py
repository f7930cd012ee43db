"""Long-term statistics of our entities in Home Assistant's recorder.

The statistic of an entity is the recorder's own: the rows that it makes every hour of the entity's
states, and those that are put before them.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, cast

from homeassistant.components.recorder.models.statistics import (
    StatisticData,
    StatisticMeanType,
    StatisticMetaData,
)
from homeassistant.components.recorder.statistics import (
    StatisticsRow,
    async_import_statistics,
    get_last_short_term_statistics,
    get_last_statistics,
    get_metadata,
    statistics_during_period,
)
from homeassistant.components.sensor.const import UNIT_CONVERTERS
from homeassistant.core import HomeAssistant, State, callback
from homeassistant.helpers.recorder import get_instance

from ...recorder_access import async_read_recorder
from .hours import StatisticField, StatisticKind
from .sums import Hourly, Known, Recorded

_RECORDER: Final = "recorder"
_SUMS: Final = (StatisticKind.SUM, StatisticKind.COUNTER, StatisticKind.BALANCE)
_DIGITS: Final = 9
_NEGLIGIBLE: Final = 1e-6


@dataclass(frozen=True, slots=True)
class Statistic:
    """The statistic of one entity; its numbers are in `unit`."""

    id: str
    subject: StatisticField
    method: StatisticKind
    unit: str | None
    metadata: StatisticMetaData
    is_kept: bool
    """Whether the recorder has it already."""

    @property
    def is_sum(self) -> bool:
        """Whether it counts, rather than being a mean."""
        return self.method in _SUMS

    @property
    def can_be_joined(self) -> bool:
        """Whether rows can be put into it. Before a sum of live states there has to be one."""
        return self.is_kept or not self.is_sum

    @property
    def unit_class(self) -> str | None:
        """The recorder's name for what the unit measures, None where it knows none."""
        return _unit_class(self.subject, self.unit)

    def from_native(self, value: float) -> float:
        """Convert from the unit of the field."""
        return self._convert(value, to_native=False)

    def to_native(self, value: float) -> float:
        """Convert to the unit of the field."""
        return self._convert(value, to_native=True)

    def _convert(self, value: float, *, to_native: bool) -> float:
        native = self.subject.description.native_unit_of_measurement
        if native == self.unit:
            return value
        units = (self.unit, native) if to_native else (native, self.unit)
        converter = UNIT_CONVERTERS[self.subject.description.device_class]
        # Conversions leave noise behind: 0.07 kWh are 70.00000000000001 Wh
        return round(converter.convert(value, *units), _DIGITS)


async def async_statistics(
    hass: HomeAssistant, subjects: Mapping[str, StatisticField]
) -> list[Statistic]:
    """Return the statistics of entities, by their ids; not of those that can have none.

    Where the recorder keeps one already, its unit stays, else it is that of the entity's state.
    """
    kept = await async_read_recorder(
        hass, get_metadata, hass, statistic_ids=set(subjects)
    )
    found = []
    for entity_id, subject in subjects.items():
        method = subject.method
        if method is None:
            continue
        metadata = kept[entity_id][1] if entity_id in kept else None
        if metadata is None:
            unit = _shown_unit(hass.states.get(entity_id), subject)
            metadata = _metadata(entity_id, method, unit, _unit_class(subject, unit))
        elif not _is_convertible(subject, metadata["unit_of_measurement"]):
            continue
        found.append(
            Statistic(
                entity_id,
                subject,
                method,
                metadata["unit_of_measurement"],
                metadata,
                entity_id in kept,
            )
        )
    return found


def _shown_unit(state: State | None, subject: StatisticField) -> str | None:
    native = subject.description.native_unit_of_measurement
    if state is None:
        return subject.description.suggested_unit_of_measurement or native
    return state.attributes.get("unit_of_measurement", native)


def _is_convertible(subject: StatisticField, unit: str | None) -> bool:
    if unit == subject.description.native_unit_of_measurement:
        return True
    converter = UNIT_CONVERTERS.get(subject.description.device_class)
    return converter is not None and unit in converter.VALID_UNITS


def _unit_class(subject: StatisticField, unit: str | None) -> str | None:
    converter = UNIT_CONVERTERS.get(subject.description.device_class)
    if converter is None or unit not in converter.VALID_UNITS:
        return None
    return converter.UNIT_CLASS


def _metadata(
    entity_id: str, method: StatisticKind, unit: str | None, unit_class: str | None
) -> StatisticMetaData:
    is_sum = method in _SUMS
    metadata: dict[str, Any] = {
        "has_sum": is_sum,
        "mean_type": (
            StatisticMeanType.NONE if is_sum else StatisticMeanType.ARITHMETIC
        ),
        "name": None,
        "source": _RECORDER,
        "statistic_id": entity_id,
        "unit_of_measurement": unit,
    }
    # The newer Home Assistant asks for what the older one does not take
    if "unit_class" in StatisticMetaData.__annotations__:
        metadata["unit_class"] = unit_class
    return cast("StatisticMetaData", metadata)


async def async_known(
    hass: HomeAssistant, statistics: Iterable[Statistic], start: int, end: int
) -> dict[str, Known]:
    """Return what the recorder has of sums: the hours from `start` to `end`, and what follows."""
    return await async_read_recorder(hass, _known, hass, list(statistics), start, end)


def _known(
    hass: HomeAssistant, statistics: list[Statistic], start: int, end: int
) -> dict[str, Known]:
    now = datetime.now(UTC)
    rows: dict[str, list[Recorded]] = {statistic.id: [] for statistic in statistics}
    first, step = datetime.fromtimestamp(start, UTC), timedelta(days=1)
    missing = {statistic.id: statistic for statistic in statistics}
    # Mostly there is a row right behind; of one that is further away, look further and further
    while missing:
        last = datetime.fromtimestamp(end, UTC) + step
        for unit in {statistic.unit for statistic in missing.values()}:
            of_unit = [item for item in missing.values() if item.unit == unit]
            found = statistics_during_period(
                hass,
                first,
                last,
                {statistic.id for statistic in of_unit},
                "hour",
                {of_unit[0].unit_class: unit}  # type: ignore[dict-item]
                if of_unit[0].unit_class is not None
                else None,
                {"state", "sum", "change"},
            )
            for statistic in of_unit:
                rows[statistic.id] = [
                    recorded
                    for row in found.get(statistic.id, ())
                    if (recorded := _recorded(statistic, row)) is not None
                ]
        missing = {
            id_: statistic
            for id_, statistic in missing.items()
            if not any(row.start >= end for row in rows[id_])
        }
        if last > now:
            break
        step *= 8
    return {
        statistic.id: Known(
            _up_to_first_after(rows[statistic.id], end),
            _latest(hass, statistic) if statistic.id in missing else None,
            0.0 if rows[statistic.id] else _newest_sum(hass, statistic),
        )
        for statistic in statistics
    }


def _up_to_first_after(rows: Iterable[Recorded], end: int) -> list[Recorded]:
    kept = []
    for row in rows:
        kept.append(row)
        if row.start >= end:
            break
    return kept


def _latest(hass: HomeAssistant, statistic: Statistic) -> Recorded | None:
    # As they are stored: not in the unit that the entity shows at present
    found = get_last_short_term_statistics(
        hass, 1, statistic.id, False, {"state", "sum"}
    )
    rows = found.get(statistic.id)
    return _recorded(statistic, rows[0]) if rows else None


def _newest_sum(hass: HomeAssistant, statistic: Statistic) -> float:
    """Return the sum of the newest row by the hour, in the field's native unit."""
    found = get_last_statistics(hass, 1, statistic.id, False, {"sum"})
    rows = found.get(statistic.id)
    return statistic.to_native((rows[0].get("sum") if rows else None) or 0.0)


def _recorded(statistic: Statistic, row: StatisticsRow) -> Recorded | None:
    state, total = row.get("state"), row.get("sum")
    if state is None or total is None:
        return None
    return Recorded(
        int(row["start"]),
        int(row["end"]),
        statistic.to_native(state),
        statistic.to_native(total),
        statistic.to_native(total - (row.get("change") or 0.0)),
    )


@callback
def async_write(
    hass: HomeAssistant,
    entity_id: str,
    statistic: Statistic,
    rows: Sequence[Hourly],
    shift: float,
) -> None:
    """Put rows into the statistic of an entity by its present id, in place of those of the same hours.

    `shift` is added to the sums of what is there, from the first of the rows on. The recorder does
    both in this order, and after any renaming that the registry knows of; what it makes of live states
    afterwards goes on from there.
    """
    if not rows:
        return
    if abs(shift) > _NEGLIGIBLE and statistic.unit is not None:
        get_instance(hass).async_adjust_statistics(
            entity_id,
            datetime.fromtimestamp(rows[0].start, UTC),
            statistic.from_native(shift),
            statistic.unit,
        )
    metadata = statistic.metadata.copy()
    metadata["statistic_id"] = entity_id
    async_import_statistics(hass, metadata, [_data(statistic, row) for row in rows])


def _data(statistic: Statistic, row: Hourly) -> StatisticData:
    data: dict[str, Any] = {"start": datetime.fromtimestamp(row.start, UTC)}
    for name, value in (
        ("mean", row.mean),
        ("min", row.lowest),
        ("max", row.highest),
        ("state", row.state),
        ("sum", row.sum),
    ):
        if value is not None:
            data[name] = statistic.from_native(value)
    return cast("StatisticData", data)


async def async_written(hass: HomeAssistant) -> None:
    """Wait until the recorder has done what it was given."""
    await get_instance(hass).async_block_till_done()
