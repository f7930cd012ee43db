"""The points that were written, kept in memory."""

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from .model import FieldValue, SeriesKey
from .timestamps import format_ns

type FieldType = Literal["float", "integer", "boolean", "string"]


def field_type(value: FieldValue) -> FieldType:
    """Return the name that InfluxDB gives to the type of a value."""
    match value:
        case float():
            return "float"
        case bool():
            return "boolean"
        case int():
            return "integer"
        case _:
            return "string"


class IncomingPoint(NamedTuple):
    """A point of a write, already checked by itself."""

    series: SeriesKey
    time_ns: int
    fields: dict[str, FieldValue]


@dataclass(frozen=True, slots=True)
class StoredPoint:
    """One stored instant of a series.

    time_ns: Unix nanoseconds. writes: how often a point with this series and time was written;
    more than once is harmless, but tells of repeated uploads.
    """

    database: str
    retention_policy: str
    measurement: str
    tags: dict[str, str]
    time_ns: int
    fields: dict[str, FieldValue]
    writes: int

    @property
    def types(self) -> dict[str, FieldType]:
        """Return the type of each field."""
        return {name: field_type(value) for name, value in self.fields.items()}

    def as_dict(self) -> dict[str, Any]:
        """Return the point for the control API."""
        return {
            "database": self.database,
            "retention_policy": self.retention_policy,
            "measurement": self.measurement,
            "tags": self.tags,
            "time": format_ns(self.time_ns, "iso_ms"),
            "time_ns": self.time_ns,
            "fields": self.fields,
            "types": self.types,
            "writes": self.writes,
        }


@dataclass(slots=True)
class _StoredSeries:
    times: list[int] = field(default_factory=list)
    rows: dict[int, dict[str, FieldValue]] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)
    writes: dict[int, int] = field(default_factory=dict)


class PointStore:
    """Points by series and time; writing one again overwrites the fields that it has.

    received: points of all accepted writes. overwritten: those among them whose series and time were there already.
    batches: accepted writes.
    """

    def __init__(self) -> None:
        """Start empty."""
        self._series: dict[SeriesKey, _StoredSeries] = {}
        self._types: dict[tuple[str, str, str, str], FieldType] = {}
        self.received = 0
        self.overwritten = 0
        self.batches = 0

    def __len__(self) -> int:
        """Return the number of stored instants over all series."""
        return sum(len(stored.rows) for stored in self._series.values())

    @property
    def values(self) -> int:
        """Return the number of stored values: the fields of all instants."""
        return sum(
            len(row) for stored in self._series.values() for row in stored.rows.values()
        )

    def write(self, points: Iterable[IncomingPoint]) -> None:
        """Store the points of one accepted write."""
        self.batches += 1
        for series, time_ns, fields in points:
            self.received += 1
            if (stored := self._series.get(series)) is None:
                stored = self._series[series] = _StoredSeries()
            if (row := stored.rows.get(time_ns)) is None:
                if stored.times and time_ns < stored.times[-1]:
                    insort(stored.times, time_ns)
                else:
                    stored.times.append(time_ns)
                stored.rows[time_ns] = dict(fields)
                stored.writes[time_ns] = 1
            else:
                self.overwritten += 1
                row.update(fields)
                stored.writes[time_ns] += 1
            for name, value in fields.items():
                if name not in stored.names:
                    stored.names.add(name)
                    self._types[_type_key(series, name)] = field_type(value)

    def type_of(self, series: SeriesKey, name: str) -> FieldType | None:
        """Return the type that the first write gave to a field; it goes by namespace and measurement, not by tags."""
        return self._types.get(_type_key(series, name))

    def series(self) -> Iterator[SeriesKey]:
        """Go through all series."""
        return iter(self._series)

    def fields(self, series: SeriesKey) -> set[str]:
        """Return the names of the fields of one series."""
        stored = self._series.get(series)
        return set() if stored is None else set(stored.names)

    def rows(
        self, series: SeriesKey, start_ns: int, end_ns: int
    ) -> list[tuple[int, dict[str, FieldValue]]]:
        """Return the instants with `start_ns <= time < end_ns`, ascending."""
        if (stored := self._series.get(series)) is None:
            return []
        times = stored.times[
            bisect_left(stored.times, start_ns) : bisect_left(stored.times, end_ns)
        ]
        return [(time_ns, stored.rows[time_ns]) for time_ns in times]

    def points(
        self,
        *,
        database: str | None = None,
        retention_policy: str | None = None,
        measurement: str | None = None,
        tags: Mapping[str, str] | None = None,
        field_name: str | None = None,
        start_ns: int | None = None,
        end_ns: int | None = None,
    ) -> list[StoredPoint]:
        """Return the stored points that match, by series in the order of their first write, then by time.

        `tags` have to be among those of the series; `field_name` among those of the point.
        """
        wanted_tags = set((tags or {}).items())
        return [
            StoredPoint(
                series.database,
                series.retention_policy,
                series.measurement,
                dict(series.tags),
                time_ns,
                dict(stored.rows[time_ns]),
                stored.writes[time_ns],
            )
            for series, stored in self._series.items()
            if database in (None, series.database)
            and retention_policy in (None, series.retention_policy)
            and measurement in (None, series.measurement)
            and wanted_tags <= set(series.tags)
            for time_ns in stored.times
            if (start_ns is None or time_ns >= start_ns)
            and (end_ns is None or time_ns < end_ns)
            and (field_name is None or field_name in stored.rows[time_ns])
        ]

    def clear(self) -> None:
        """Forget all points, types and counters."""
        self._series.clear()
        self._types.clear()
        self.received = self.overwritten = self.batches = 0


def _type_key(series: SeriesKey, name: str) -> tuple[str, str, str, str]:
    return series.database, series.retention_policy, series.measurement, name
