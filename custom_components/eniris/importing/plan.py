"""Which telemetry to ask for: one query per series, each field from its finest series."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from ..api import DatabaseNamespace, SeriesInfo, TelemetryQuery
from ..api.telemetry import FIELDS_PER_QUERY
from .catalogue import CATALOGUE
from .nodes import Node

_INTERVALS: Final = {
    "rp_one_s": timedelta(seconds=1),
    "rp_one_m": timedelta(minutes=1),
}
_UNKNOWN_INTERVAL: Final = timedelta(minutes=5)

_SHORTEST_WINDOW: Final = timedelta(minutes=1)
_ROWS_PER_WINDOW: Final = 5


class FieldKey(NamedTuple):
    """Identity of a value: never the retention policy, which is a choice."""

    node_id: str
    measurement: str
    field: str


@dataclass(frozen=True, slots=True)
class PlannedQuery:
    """The fields to be read from one series of one node."""

    node_id: str
    series: SeriesInfo
    fields: tuple[str, ...]

    @property
    def window(self) -> timedelta:
        """How far back a value still counts as current: five intervals of the series."""
        return max(
            _ROWS_PER_WINDOW * interval(self.series.retention_policy), _SHORTEST_WINDOW
        )

    def field_keys(self) -> Iterable[FieldKey]:
        """Return the identities of the values that the query brings."""
        for field in self.fields:
            yield FieldKey(self.node_id, self.series.measurement, field)

    def query(self, now: datetime) -> TelemetryQuery:
        """Return the query for the newest rows before `now`.

        A few rows rather than one: fields that are written at other instants are null in the
        newest. No end, so that a clock that is behind the service's misses nothing.
        """
        return TelemetryQuery(
            DatabaseNamespace(self.series.database, self.series.retention_policy),
            self.series.measurement,
            dict(self.series.tags),
            self.fields,
            start=now - self.window,
            descending=True,
            limit=_ROWS_PER_WINDOW,
        )


def interval(retention_policy: str) -> timedelta:
    """Return the distance of two points under a retention policy."""
    return _INTERVALS.get(retention_policy, _UNKNOWN_INTERVAL)


def plan_queries(nodes: Iterable[Node]) -> list[PlannedQuery]:
    """Return the queries that bring every catalogued field of every node exactly once."""
    return [query for node in nodes for query in _plan_node(node)]


def _plan_node(node: Node) -> Iterable[PlannedQuery]:
    planned: set[tuple[str, str]] = set()
    for series in sorted(
        node.device.series, key=lambda series: interval(series.retention_policy)
    ):
        fields = tuple(
            field
            for field in series.fields
            if field in CATALOGUE and (series.measurement, field) not in planned
        )
        planned.update((series.measurement, field) for field in fields)
        for start in range(0, len(fields), FIELDS_PER_QUERY):
            yield PlannedQuery(
                node.id, series, fields[start : start + FIELDS_PER_QUERY]
            )
