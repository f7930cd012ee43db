"""Which telemetry to ask for: one query per series, each field from one series alone."""

from collections import defaultdict
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from itertools import batched
import re
from types import MappingProxyType
from typing import Final, NamedTuple

from ..api import DatabaseNamespace, SeriesInfo, TelemetryQuery
from ..api.telemetry import FIELDS_PER_QUERY
from .catalogue import FieldDescription, describe_node
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

_ROWS: Final = 5
"""Intervals of a series that a query reaches back at least, and the rows that it asks for."""

_SHORTEST_WINDOW: Final = timedelta(minutes=1)
_PLANNING: Final = "planning"
_PLANNING_HOLDS: Final = timedelta(days=1)
"""A price holds until the next, a day at least: tariffs have blocks of many hours."""

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


@dataclass(frozen=True, slots=True)
class PlannedQuery:
    """The fields to be read from one series of one node."""

    node_id: str
    series: SeriesInfo
    fields: tuple[str, ...]
    is_rare: bool = False
    """Whether all rows of the window are asked for, as a few do not show these fields."""
    descriptions: tuple[FieldDescription, ...] = field(
        default=(), repr=False, compare=False
    )
    """What the fields are, in their order."""
    replaceable: frozenset[FieldKey] = field(
        default=frozenset(), repr=False, compare=False
    )
    """The values that another retention policy may bring if this one does not."""
    keys: tuple[FieldKey, ...] = field(init=False, repr=False, compare=False)
    """The identities of the values that the query brings."""

    def __post_init__(self) -> None:
        """Name the values once, as they are asked for at each poll."""
        keys = tuple(
            FieldKey(self.node_id, self.series.measurement, name)
            for name in self.fields
        )
        object.__setattr__(self, "keys", keys)

    def valid_for(self, poll: timedelta) -> timedelta:
        """Return how old a value may become: five intervals of its series or two polls."""
        holds = max(_ROWS * interval(self.series.retention_policy), 2 * poll)
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
        return max(_ROWS, self.window(poll) // interval(self.series.retention_policy))

    def query(self, now: datetime, poll: timedelta) -> TelemetryQuery:
        """Return the query for the newest rows that are not after `now`."""
        return TelemetryQuery(
            DatabaseNamespace(self.series.database, self.series.retention_policy),
            self.series.measurement,
            dict(self.series.tags),
            self.fields,
            start=now - self.window(poll),
            # The end is not included
            end=now + _MILLISECOND,
            descending=True,
            limit=self.limit(poll),
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
    rare: Container[tuple[FieldKey, str]] = (),
    tried: Mapping[FieldKey, int] = MappingProxyType({}),
    preference: Preference = Preference.FRESHEST,
) -> list[PlannedQuery]:
    """Return the queries that bring every field of every node exactly once.

    A few rows are asked for rather than one: fields that are written at other instants are null
    in the newest. Those of which even these rows have shown no value are `rare`, by retention
    policy: they are asked for apart, over the whole window. `tried` says how many of a field's retention policies have
    brought nothing, in the order of preference. The one after these is read, and again the first
    after all of them.
    """
    return [
        query for node in nodes for query in _plan_node(node, rare, tried, preference)
    ]


def _plan_node(
    node: Node,
    rare: Container[tuple[FieldKey, str]],
    tried: Mapping[FieldKey, int],
    preference: Preference,
) -> Iterable[PlannedQuery]:
    in_order = sorted(node.device.series, key=_ORDER[preference])
    candidates: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    for number, series in enumerate(in_order):
        for name in series.fields:
            candidates[series.measurement, name].append(number)
    groups: defaultdict[
        tuple[int, bool], list[tuple[FieldKey, FieldDescription, bool]]
    ] = defaultdict(list)
    for (measurement, name), description in describe_node(node.device.series).items():
        key = FieldKey(node.id, measurement, name)
        numbers, skipped = candidates[measurement, name], tried.get(key, 0)
        number = numbers[skipped % len(numbers)]
        is_rare = (key, in_order[number].retention_policy) in rare
        groups[number, is_rare].append((key, description, 1 < len(numbers) > skipped))
    for (number, is_rare), all_members in sorted(groups.items()):
        for members in batched(all_members, FIELDS_PER_QUERY, strict=False):
            yield PlannedQuery(
                node.id,
                in_order[number],
                tuple(key.field for key, _, _ in members),
                is_rare,
                tuple(description for _, description, _ in members),
                frozenset(key for key, _, is_replaceable in members if is_replaceable),
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
        key=_ORDER[Preference.LIGHTEST],
    )


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
