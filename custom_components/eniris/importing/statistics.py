"""Long-term statistics of our entities in Home Assistant's recorder.

The statistic of an entity is the recorder's own: the rows that it makes every hour of the entity's
states, and those that are put before them. A `sum` counts from the first row on, so whatever is
put in front of a row has to be added to it and to all that follow.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple, cast

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

from ..recording import async_read_recorder
from .hours import Method, Subject, Values

_RECORDER: Final = "recorder"
_SUMS: Final = (Method.SUM, Method.COUNTER, Method.BALANCE)
_DIGITS: Final = 9
_NEGLIGIBLE: Final = 1e-6
_RESET_BELOW: Final = 0.9
"""Home Assistant takes a meter that shows less than this part of what it showed for a new one."""


@dataclass(frozen=True, slots=True)
class Statistic:
    """The statistic of one entity; its numbers are in `unit`."""

    id: str
    subject: Subject
    method: Method
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


class Recorded(NamedTuple):
    """A row of a sum that the recorder has, in the field's native unit and Unix seconds."""

    start: int
    end: int
    state: float
    sum: float
    before: float
    """The sum of the row before it, 0 where there is none."""


@dataclass(frozen=True, slots=True)
class Known:
    """What the recorder has of one statistic."""

    rows: Sequence[Recorded] = ()
    """By the hour, those of a stretch of time and the first one after it."""
    latest: Recorded | None = None
    """The newest row of five minutes, where there is none of an hour behind."""
    before: float = 0.0
    """The sum before that time, where there is no row from its beginning on."""

    def behind(self, end: int) -> Recorded | None:
        """Return the first row from `end` on; the newest one of five minutes where there is none."""
        return next((row for row in self.rows if row.start >= end), self.latest)


@dataclass(frozen=True, slots=True)
class Hourly:
    """A row to be written. Numbers are in the field's native unit, the time in Unix seconds."""

    start: int
    mean: float | None = None
    lowest: float | None = None
    highest: float | None = None
    state: float | None = None
    sum: float | None = None


async def async_statistics(
    hass: HomeAssistant, subjects: Mapping[str, Subject]
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


def _shown_unit(state: State | None, subject: Subject) -> str | None:
    native = subject.description.native_unit_of_measurement
    if state is None:
        return subject.description.suggested_unit_of_measurement or native
    return state.attributes.get("unit_of_measurement", native)


def _is_convertible(subject: Subject, unit: str | None) -> bool:
    if unit == subject.description.native_unit_of_measurement:
        return True
    converter = UNIT_CONVERTERS.get(subject.description.device_class)
    return converter is not None and unit in converter.VALID_UNITS


def _unit_class(subject: Subject, unit: str | None) -> str | None:
    converter = UNIT_CONVERTERS.get(subject.description.device_class)
    if converter is None or unit not in converter.VALID_UNITS:
        return None
    return converter.UNIT_CLASS


def _metadata(
    entity_id: str, method: Method, unit: str | None, unit_class: str | None
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
    hass: HomeAssistant, statistic: Statistic, rows: Sequence[Hourly], shift: float
) -> None:
    """Put rows into a statistic, in place of those of the same hours.

    `shift` is added to the sums of what is there, from the first of the rows on. The recorder does
    both in this order; what it makes of live states afterwards goes on from there.
    """
    if not rows:
        return
    if abs(shift) > _NEGLIGIBLE and statistic.unit is not None:
        get_instance(hass).async_adjust_statistics(
            statistic.id,
            datetime.fromtimestamp(rows[0].start, UTC),
            statistic.from_native(shift),
            statistic.unit,
        )
    async_import_statistics(
        hass, statistic.metadata, [_data(statistic, row) for row in rows]
    )


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


# What is to be written


class Step(NamedTuple):
    """An hour of a sum: what was counted in it, and what the entity shows, or would have shown."""

    start: int
    energy: float
    state: float


class Anchor(NamedTuple):
    """The row after those to be written: its sum, and the energy from their end to its own."""

    sum: float
    energy: float


def rise(method: Method, before: float, after: float) -> float:
    """Return what a meter counted between two values, as Home Assistant does.

    One that only counts up began at 0 if it shows much less.
    """
    is_new = method is Method.COUNTER and after < _RESET_BELOW * before
    return after if is_new else after - before


def meter_steps(
    method: Method, hours: Mapping[int, Values], before: float | None
) -> list[Step]:
    """Return the steps of a meter by what it showed in each hour, in the order of time.

    `before` is what it showed last before them; if that is not known, the first value stands for it.
    """
    steps = []
    for start, values in sorted(hours.items()):
        energy = 0.0
        for value in values:
            energy += 0.0 if before is None else rise(method, before, value)
            before = value
        steps.append(Step(start, energy, values[-1]))
    return steps


def sum_steps(hours: Mapping[int, Values], state_at_end: float) -> list[Step]:
    """Return the steps of a sum of energies of which the entity shows `state_at_end` in the end."""
    steps = []
    state = state_at_end
    for start, (energy,) in sorted(hours.items(), reverse=True):
        steps.append(Step(start, energy, round(state, _DIGITS)))
        state -= energy
    return steps[::-1]


def sum_rows(
    steps: Iterable[Step], known: Known, start: int, end: int, anchor: Anchor | None
) -> tuple[list[Hourly], float]:
    """Return the rows of a sum from `start` to `end`, and by how much what follows has to be shifted.

    Hours of which the recorder has a row but the service has no data count nothing.
    """
    by_start = {step.start: step for step in steps}
    if not by_start:
        return [], 0.0
    recorded = {row.start for row in known.rows if start <= row.start < end}
    first = min(by_start)
    total = _sum_before(known, first)
    state = by_start[first].state - by_start[first].energy
    rows = []
    for hour in sorted(by_start.keys() | {hour for hour in recorded if hour > first}):
        step = by_start.get(hour)
        if step is not None:
            total += step.energy
            state = step.state
        rows.append(Hourly(hour, state=state, sum=total))
    shift = 0.0 if anchor is None else total + anchor.energy - anchor.sum
    return rows, shift


def _sum_before(known: Known, start: int) -> float:
    """Return the sum at `start`, 0 where nothing was counted before."""
    before = known.before
    for row in known.rows:
        if row.start >= start:
            return row.before
        before = row.sum
    return before
