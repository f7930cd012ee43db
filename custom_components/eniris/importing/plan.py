"""Which telemetry to ask for: one query per series, each field from one series alone."""

from collections.abc import Container, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, NamedTuple

from ..api import DatabaseNamespace, SeriesInfo, TelemetryQuery
from ..api.telemetry import FIELDS_PER_QUERY
from .nodes import Node

_INTERVALS: Final = {
    "rp_one_s": timedelta(seconds=1),
    "rp_one_m": timedelta(minutes=1),
}
_UNKNOWN_INTERVAL: Final = timedelta(minutes=5)
_LIGHT: Final = timedelta(minutes=1)

_SHORTEST_WINDOW: Final = timedelta(minutes=1)
_ROWS_PER_WINDOW: Final = 5


class FieldKey(NamedTuple):
    """Identity of a value: never the retention policy, which is a choice."""

    node_id: str
    measurement: str
    field: str

    def unique_id(self, account: str | None, part: str | None = None) -> str:
        """Return the identity of the entity that shows the field, or one direction of it."""
        unique_id = f"{account}_{self.node_id}_{self.measurement}_{self.field}"
        return unique_id if part is None else f"{unique_id}_{part}"


class Preference(StrEnum):
    """Which of several retention policies a field is read from."""

    FRESHEST = "freshest"
    LIGHTEST = "lightest"


@dataclass(frozen=True, slots=True)
class PlannedQuery:
    """The fields to be read from one series of one node."""

    node_id: str
    series: SeriesInfo
    fields: tuple[str, ...]
    limit: int
    keys: tuple[FieldKey, ...] = field(init=False, repr=False, compare=False)
    """The identities of the values that the query brings."""

    def __post_init__(self) -> None:
        """Name the values once, as they are asked for at each poll."""
        keys = tuple(
            FieldKey(self.node_id, self.series.measurement, name)
            for name in self.fields
        )
        object.__setattr__(self, "keys", keys)

    @property
    def valid_for(self) -> timedelta:
        """How old a value may become before it says nothing of the present: five intervals."""
        return _valid_for(self.series)

    def query(self, now: datetime) -> TelemetryQuery:
        """Return the query for the newest rows before `now`.

        No end, so that a clock that is behind the service's misses nothing.
        """
        return TelemetryQuery(
            DatabaseNamespace(self.series.database, self.series.retention_policy),
            self.series.measurement,
            dict(self.series.tags),
            self.fields,
            start=now - _window(self.series),
            descending=True,
            limit=self.limit,
        )


def interval(retention_policy: str) -> timedelta:
    """Return the distance of two points under a retention policy."""
    return _INTERVALS.get(retention_policy, _UNKNOWN_INTERVAL)


def plan_queries(
    nodes: Iterable[Node],
    rare: Container[FieldKey] = (),
    preference: Preference = Preference.FRESHEST,
) -> list[PlannedQuery]:
    """Return the queries that bring every field of every node exactly once.

    A few rows are asked for rather than one: fields that are written at other instants are null
    in the newest. Those of which even these rows have shown no value are `rare`. They are asked
    for apart, where the rows without them do not count, and so over the whole window.
    """
    return [query for node in nodes for query in _plan_node(node, rare, preference)]


def _plan_node(
    node: Node, rare: Container[FieldKey], preference: Preference
) -> Iterable[PlannedQuery]:
    planned: set[tuple[str, str]] = set()
    for series in sorted(node.device.series, key=_ORDER[preference]):
        fields = tuple(
            field
            for field in series.fields
            if (series.measurement, field) not in planned
        )
        planned.update((series.measurement, field) for field in fields)
        rows_of_all = _window(series) // interval(series.retention_policy)
        often: list[str] = []
        seldom: list[str] = []
        for name in fields:
            # Where all rows are asked for anyway, being asked for apart would bring nothing
            is_rare = (
                rows_of_all > _ROWS_PER_WINDOW
                and FieldKey(node.id, series.measurement, name) in rare
            )
            (seldom if is_rare else often).append(name)
        for group, limit in ((often, _ROWS_PER_WINDOW), (seldom, rows_of_all)):
            for start in range(0, len(group), FIELDS_PER_QUERY):
                yield PlannedQuery(
                    node.id,
                    series,
                    tuple(group[start : start + FIELDS_PER_QUERY]),
                    limit,
                )


def counting_series(node: Node, measurement: str, field: str) -> SeriesInfo | None:
    """Return the series that a delta is summed from, the one a minute where it exists.

    One alone: the same energy is in each of them.
    """
    candidates = [
        series
        for series in node.device.series
        if series.measurement == measurement and field in series.fields
    ]
    return min(candidates, key=_ORDER[Preference.LIGHTEST], default=None)


def preferred(candidates: Iterable[SeriesInfo], preference: Preference) -> SeriesInfo:
    """Return the one of several series with the same field that it is to be read from."""
    return min(candidates, key=_ORDER[preference])


def _by_freshness(series: SeriesInfo) -> tuple[bool, timedelta]:
    return False, interval(series.retention_policy)


def _by_weight(series: SeriesInfo) -> tuple[bool, timedelta]:
    """Sort the one a minute first, then what is coarser, then what is finer."""
    distance = interval(series.retention_policy)
    return distance < _LIGHT, distance


_ORDER: Final = {
    Preference.FRESHEST: _by_freshness,
    Preference.LIGHTEST: _by_weight,
}


def _valid_for(series: SeriesInfo) -> timedelta:
    return _ROWS_PER_WINDOW * interval(series.retention_policy)


def _window(series: SeriesInfo) -> timedelta:
    """Return how far back rows are asked for; one a second may take a while to arrive."""
    return max(_valid_for(series), _SHORTEST_WINDOW)
