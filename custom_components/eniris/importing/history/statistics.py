"""Long-term statistics of our entities in Home Assistant's recorder.

The statistic of an entity is the recorder's own: the rows that it makes every hour of the entity's
states, and those that are put before them.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, cast

from homeassistant.components.recorder import is_entity_recorded
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
from homeassistant.const import ATTR_UNIT_OF_MEASUREMENT, Platform
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers import entity_registry as er
from homeassistant.helpers.recorder import get_instance

from ...const import DOMAIN
from ...recorder_access import async_read_recorder
from .hours import StatisticField, StatisticKind, Values
from .sums import HourlyRows, Recorded

_RECORDER: Final = "recorder"
_DIGITS: Final = 9


@dataclass(eq=False, slots=True)
class Statistic:
    """The statistic of one entity, and what the service says of some hours of it."""

    subject: StatisticField
    metadata: StatisticMetaData
    recorded: list[Recorded] = field(default_factory=list)
    """Of a sum, what the recorder has: the hours asked for, and the first row that follows."""
    hours: dict[int, Values] = field(default_factory=dict)
    unknown: set[int] = field(default_factory=set)
    """Hours of which the service does not tell."""

    @property
    def id(self) -> str:
        """The entity's id when it was read."""
        return self.metadata["statistic_id"]

    @property
    def unit(self) -> str | None:
        """The unit of its rows, which stays as it is whatever unit the entity shows now."""
        return self.metadata["unit_of_measurement"]

    @property
    def is_sum(self) -> bool:
        """Whether it counts, rather than being a mean."""
        return self.subject.kind is not StatisticKind.MEAN

    def behind(self, end: int) -> Recorded | None:
        """Return the first row from `end` on."""
        last = self.recorded[-1] if self.recorded else None
        return last if last is not None and last.start >= end else None

    @property
    def kept_hours(self) -> dict[int, Values]:
        """What the recorder has of the hours of which the service does not tell."""
        is_energy = self.subject.kind is StatisticKind.SUM
        return {
            row.start: (row.change if is_energy else row.state,)
            for row in self.recorded
            if row.start in self.unknown
        }

    def convert(
        self, value: float, unit: str | None, *, to_native: bool, is_sum: bool = False
    ) -> float:
        """Convert a value from or to the unit of the field; a sum to the last digit, or some would go back."""
        native = self.subject.description.native_unit_of_measurement
        if unit == native:
            return value
        units = (unit, native) if to_native else (native, unit)
        converter = UNIT_CONVERTERS[self.subject.description.device_class]
        converted = converter.convert(value, *units)
        # Conversions leave noise behind: 0.07 kWh are 70.00000000000001 Wh
        return converted if is_sum else round(converted, _DIGITS)


@callback
def recorded_entity_id(hass: HomeAssistant, unique_id: str) -> str | None:
    """Return the present id of an entity of ours, None if there are no statistics of it."""
    registry = er.async_get(hass)
    entity_id = registry.async_get_entity_id(Platform.SENSOR, DOMAIN, unique_id)
    if entity_id is None or not is_entity_recorded(hass, entity_id):
        return None
    return entity_id


async def async_statistics(
    hass: HomeAssistant, fields: Mapping[str, StatisticField], start: int, end: int
) -> dict[str, Statistic]:
    """Return the statistics that rows can be put into, by unique ids, as `fields` are.

    They are read under the ids that the entities have by then. Before a sum of live states there has to be
    one. A mean may have none yet, which then gets the unit of the entity's state. Of sums, the rows of the
    hours from `start` to `end` are read.
    """
    ids: dict[str, str | None] | None = None
    found: dict[str, Statistic] = {}
    # Until none has changed meanwhile
    while ids != (ids := {each: recorded_entity_id(hass, each) for each in fields}):
        # The recorder renames a statistic later than the registry its entity, in a thread of its own
        await async_written(hass)
        names = {entity_id for entity_id in ids.values() if entity_id is not None}
        kept = await async_read_recorder(hass, get_metadata, hass, statistic_ids=names)
        found = {}
        for unique_id, entity_id in ids.items():
            subject = fields[unique_id]
            if entity_id in kept:
                statistic = Statistic(subject, kept[entity_id][1])
                native = subject.description.native_unit_of_measurement
                if statistic.unit == native or _unit_class(subject, statistic.unit):
                    found[unique_id] = statistic
            elif entity_id is not None and subject.kind is StatisticKind.MEAN:
                metadata = _metadata(hass, entity_id, subject)
                found[unique_id] = Statistic(subject, metadata)
        sums = [statistic for statistic in found.values() if statistic.is_sum]
        await async_read_recorder(hass, _read_sums, hass, sums, start, end)
    return found


def _unit_class(subject: StatisticField, unit: str | None) -> str | None:
    """Return the recorder's name for what a unit measures, None where the field cannot be converted to it."""
    converter = UNIT_CONVERTERS.get(subject.description.device_class)
    if converter is None or unit not in converter.VALID_UNITS:
        return None
    return converter.UNIT_CLASS


def _metadata(
    hass: HomeAssistant, entity_id: str, subject: StatisticField
) -> StatisticMetaData:
    description, state = subject.description, hass.states.get(entity_id)
    native = description.native_unit_of_measurement
    unit = description.suggested_unit_of_measurement or native
    if state is not None:
        unit = state.attributes.get(ATTR_UNIT_OF_MEASUREMENT, native)
    metadata: dict[str, Any] = {
        "has_sum": False,
        "mean_type": StatisticMeanType.ARITHMETIC,
        "name": None,
        "source": _RECORDER,
        "statistic_id": entity_id,
        "unit_of_measurement": unit,
    }
    # The newer Home Assistant asks for what the older one does not take
    if "unit_class" in StatisticMetaData.__annotations__:
        metadata["unit_class"] = _unit_class(subject, unit)
    return cast("StatisticMetaData", metadata)


def _read_sums(
    hass: HomeAssistant, sums: list[Statistic], start: int, end: int
) -> None:
    """Read the rows from `start` to `end`, and the first one behind: one of five minutes if there is none by the hour."""
    now, first = datetime.now(UTC), datetime.fromtimestamp(start, UTC)
    last, step = datetime.fromtimestamp(end, UTC), timedelta(days=1)
    # Of those that measure the same, all in one unit
    units = {
        unit_class: each.unit
        for each in sums
        if (unit_class := _unit_class(each.subject, each.unit))
    }
    missing = {each.id: each for each in sums}
    # Mostly there is a row right behind; of one that is further away, look further and further
    while missing and last <= now:
        last += step
        step *= 8
        found = statistics_during_period(
            hass,
            first,
            last,
            set(missing),
            "hour",
            cast("dict[str, str]", units),
            {"state", "sum", "change"},
        )
        for id_, each in list(missing.items()):
            unit_class = _unit_class(each.subject, each.unit)
            unit = units[unit_class] if unit_class else each.unit
            each.recorded = []
            for row in _recorded(each, found.get(id_, ()), unit):
                each.recorded.append(row)
                if row.start >= end:
                    del missing[id_]
                    break
    for each in missing.values():
        # If all is older, the sum goes on from the newest row
        newest = each.recorded[-1:] or _last(hass, each, get_last_statistics)
        each.recorded = each.recorded or newest
        for row in _last(hass, each, get_last_short_term_statistics):
            if row.start >= end:
                change = row.sum - (newest[-1].sum if newest else 0.0)
                each.recorded.append(row._replace(change=change))


def _last(
    hass: HomeAssistant,
    statistic: Statistic,
    get: Callable[..., dict[str, list[StatisticsRow]]],
) -> list[Recorded]:
    # As it is stored: not in the unit that the entity shows at present
    found = get(hass, 1, statistic.id, False, {"state", "sum"})
    return _recorded(statistic, found.get(statistic.id, ()), statistic.unit)


def _recorded(
    statistic: Statistic, rows: Iterable[StatisticsRow], unit: str | None
) -> list[Recorded]:
    return [
        Recorded(
            int(row["start"]),
            int(row["end"]),
            *(
                statistic.convert(value, unit, to_native=True)
                for value in (state, total, row.get("change") or 0.0)
            ),
        )
        for row in rows
        if (state := row.get("state")) is not None
        and (total := row.get("sum")) is not None
    ]


@callback
def async_write(
    hass: HomeAssistant,
    entity_id: str,
    statistic: Statistic,
    rows: HourlyRows,
    shift: float,
) -> None:
    """Put rows into the statistic of an entity by its present id, in place of those of the same hours.

    `shift` is added to the sums of what is there, from the first of the rows on. The recorder does
    both in this order, and after any renaming that the registry knows of; what it makes of live states
    afterwards goes on from there.
    """
    if not rows:
        return
    if shift and statistic.unit is not None:
        get_instance(hass).async_adjust_statistics(
            entity_id,
            datetime.fromtimestamp(min(rows), UTC),
            statistic.convert(shift, statistic.unit, to_native=False),
            statistic.unit,
        )
    metadata = statistic.metadata.copy()
    metadata["statistic_id"] = entity_id
    data: list[dict[str, Any]] = [
        {"start": datetime.fromtimestamp(hour, UTC)}
        | {
            name: statistic.convert(
                value, statistic.unit, to_native=False, is_sum=name == "sum"
            )
            for name, value in row.items()
        }
        for hour, row in sorted(rows.items())
    ]
    async_import_statistics(hass, metadata, cast("list[StatisticData]", data))


async def async_written(hass: HomeAssistant) -> None:
    """Wait until the recorder has done what it was given."""
    await get_instance(hass).async_block_till_done()
