"""Which telemetry to ask for: one query per series, each field from one series alone."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from itertools import batched, compress
import re
from types import MappingProxyType
from typing import Final, NamedTuple

from ..api import Aggregate, DatabaseNamespace, SeriesInfo, TelemetryQuery
from ..api.telemetry import FIELDS_PER_QUERY
from ..field_description import FieldDescription
from .catalogue import describe_node, enabled_at_first
from .nodes import Node

_NUMBERS: Final = {
    "one": 1,
    "two": 2,
    "three": 3,
    "five": 5,
    "six": 6,
    "ten": 10,
    "twelve": 12,
    "fifteen": 15,
    "twenty": 20,
    "thirty": 30,
}
_UNITS: Final = {
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
}
_POLICY: Final = re.compile(
    rf"rp_(?:({'|'.join(_NUMBERS)})|([1-9]\d{{0,3}}))_([{''.join(_UNITS)}])"
)
_UNKNOWN_INTERVAL: Final = timedelta(minutes=5)
_LIGHT: Final = timedelta(minutes=1)

_INTERVALS: Final = 5
"""Of a series that a query reaches back at least."""

_ROWS: Final = 10
"""What a query asks for: many fields of a series by the second are written every ten seconds."""

_MOST_ROWS: Final = 300
"""Of fields that few rows show; those without any of them are none of the answer's."""

_SHORTEST_WINDOW: Final = timedelta(minutes=1)
_PLANNING: Final = "planning"
_PLANNING_HOLDS: Final = timedelta(days=1)
"""A price holds until the next, a day at least: tariffs have blocks of many hours."""

SLOW: Final = timedelta(minutes=5)
"""Points further apart than this are asked for once in so long; theirs are whole five minutes of the clock."""

_MILLISECOND: Final = timedelta(milliseconds=1)


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

    def rank(self, series: SeriesInfo) -> tuple[bool, timedelta]:
        """Return what sorts series: the finest first, or the one a minute, then coarser, then finer ones."""
        distance = interval(series.retention_policy)
        return self is Preference.LIGHTEST and distance < _LIGHT, distance


class Learned(NamedTuple):
    """What answers have shown of a field, which the plan heeds."""

    skipped: int = 0
    """How many of its retention policies have brought nothing, in the order of preference."""
    is_rare: bool = False
    """Whether a few rows of the one that is read do not show it."""


NOTHING_LEARNED: Final = Learned()


def series_query(
    series: SeriesInfo,
    select: Sequence[str | Aggregate],
    start: datetime,
    end: datetime,
    newest: int | None = None,
) -> TelemetryQuery:
    """Return the query for a range of a series, the end not included, or for its `newest` rows."""
    return TelemetryQuery(
        DatabaseNamespace(series.database, series.retention_policy),
        series.measurement,
        dict(series.tags),
        select,
        start,
        end,
        descending=newest is not None,
        limit=newest,
    )


@dataclass(frozen=True, slots=True)
class PlannedQuery:
    """The fields to be read from one series of one node."""

    node_id: str
    series: SeriesInfo
    fields: tuple[str, ...]
    is_rare: bool
    """Whether all rows of the window are asked for, as a few do not show these fields."""
    keys: tuple[FieldKey, ...] = field(repr=False, compare=False)
    """The identities of the values that the query brings, in the order of the fields."""
    descriptions: tuple[FieldDescription, ...] = field(repr=False, compare=False)
    """What the fields are, in their order."""
    replaceable: frozenset[FieldKey] = field(repr=False, compare=False)
    """The values that another retention policy may bring if this one does not."""

    @property
    def is_slow(self) -> bool:
        """Whether its points are too far apart to be asked for at each poll."""
        return interval(self.series.retention_policy) > SLOW

    def valid_for(self, poll: timedelta) -> timedelta:
        """Return how old a value may become: five intervals of its series or two polls."""
        holds = max(_INTERVALS * interval(self.series.retention_policy), 2 * poll)
        if self.series.measurement == _PLANNING:
            return max(holds, _PLANNING_HOLDS + 2 * poll)
        return holds

    def window(self, poll: timedelta) -> timedelta:
        """Return how far back rows are asked for, where `poll` is the time between two polls."""
        # What is late has nothing else to be read from where there is one policy
        shortest = _SHORTEST_WINDOW if self.replaceable else 2 * _SHORTEST_WINDOW
        return max(self.valid_for(poll), shortest)

    def limit(self, poll: timedelta) -> int:
        """Return how many rows are asked for at most."""
        if not self.is_rare:
            return _ROWS
        rows = self.window(poll) // interval(self.series.retention_policy)
        return min(max(_ROWS, rows), _MOST_ROWS)

    def query(
        self, now: datetime, poll: timedelta, unwanted: Collection[FieldKey] = ()
    ) -> TelemetryQuery:
        """Return the query for the newest rows that are not after `now`."""
        return series_query(
            self.series,
            [key.field for key in self.keys if key not in unwanted],
            now - self.window(poll),
            # The end is not included
            now + _MILLISECOND,
            self.limit(poll),
        )


@lru_cache(maxsize=256)
def interval(retention_policy: str) -> timedelta:
    """Return the distance of two points under a retention policy, as its name tells it."""
    match = _POLICY.fullmatch(retention_policy)
    if match is None:
        return _UNKNOWN_INTERVAL
    word, digits, unit = match.groups()
    return (_NUMBERS[word] if word else int(digits)) * _UNITS[unit]


def plan_queries(
    nodes: Iterable[Node],
    learned: Mapping[FieldKey, Learned] = MappingProxyType({}),
    preference: Preference = Preference.FRESHEST,
) -> list[PlannedQuery]:
    """Return the queries that bring every field of every node exactly once.

    A few rows are asked for rather than one: fields that are written at other instants are null
    in the newest. Those of which even these rows have shown no value are asked for apart, over the
    whole window. Where retention policies have brought nothing, the one after these is read, and
    again the first after all of them.
    """
    return [query for node in nodes for query in _plan_node(node, learned, preference)]


def _plan_node(
    node: Node, learned: Mapping[FieldKey, Learned], preference: Preference
) -> Iterable[PlannedQuery]:
    in_order = sorted(node.device.series, key=preference.rank)
    candidates: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    for number, series in enumerate(in_order):
        for name in series.fields:
            candidates[series.measurement, name].append(number)
    groups: defaultdict[
        tuple[int, bool], list[tuple[FieldKey, FieldDescription, bool]]
    ] = defaultdict(list)
    fields = enabled_at_first(node.device, describe_node(node.device.series))
    for (measurement, name), description in fields.items():
        key = FieldKey(node.id, measurement, name)
        numbers = candidates[measurement, name]
        skipped, is_rare = learned.get(key, NOTHING_LEARNED)
        number = numbers[skipped % len(numbers)]
        groups[number, is_rare].append((key, description, 1 < len(numbers) > skipped))
    for (number, is_rare), all_members in sorted(groups.items()):
        for members in batched(all_members, FIELDS_PER_QUERY, strict=False):
            keys, descriptions, are_replaceable = zip(*members, strict=True)
            yield PlannedQuery(
                node.id,
                in_order[number],
                tuple(key.field for key in keys),
                is_rare,
                keys,
                descriptions,
                frozenset(compress(keys, are_replaceable)),
            )


def counting_candidates(node: Node, measurement: str, field: str) -> list[SeriesInfo]:
    """Return the series that a delta can be summed from, the one a minute first.

    From one of them alone: the same energy is in each.
    """
    return sorted(
        (
            series
            for series in node.device.series
            if series.measurement == measurement and field in series.fields
        ),
        key=Preference.LIGHTEST.rank,
    )


def preferred(candidates: Iterable[SeriesInfo], preference: Preference) -> SeriesInfo:
    """Return the one of several series with the same field that it is to be read from."""
    return min(candidates, key=preference.rank)
