"""What the simulator's two halves agree on: a world that has data, and a service that hands it out.

The service (`server`) speaks HTTP and knows the rules of the API; a world knows nodes and physics.
Neither imports the other.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple, Protocol

type FieldValue = float | int | bool | str
type Tags = tuple[tuple[str, str], ...]


class SeriesKey(NamedTuple):
    """Identity of a series; `tags` are sorted by key."""

    database: str
    retention_policy: str
    measurement: str
    tags: Tags


class Row(NamedTuple):
    """One instant of a series: Unix milliseconds and the fields written then."""

    time_ms: int
    fields: dict[str, FieldValue]


class World(Protocol):
    """A fleet of nodes with telemetry, wholly determined by its seed and the clock.

    Asking twice for the same instant gives the same answer, whatever was asked in between,
    and nothing later than the `now` that is passed in is ever told but plans.
    """

    def devices(self, now: datetime) -> Sequence[dict[str, Any]]:
        """Metadata in the API's `Device` shape: `id`, `lastUpdate`, `properties`, `userRights`."""

    def companies(self) -> Sequence[dict[str, Any]]:
        """Companies in the API's shape."""

    def series(self) -> Iterable[SeriesKey]:
        """Every series that has data."""

    def fields(self, series: SeriesKey) -> frozenset[str]:
        """Names of the fields of one series; empty for a series that the world does not have."""

    def interval_ms(self, series: SeriesKey) -> int:
        """Distance of two rows, for the cost estimate of a query."""

    def rows(
        self,
        series: SeriesKey,
        fields: frozenset[str],
        start_ms: int,
        end_ms: int,
        *,
        newest: int | None = None,
    ) -> Sequence[Row]:
        """Rows with `start_ms <= time_ms < end_ms` that have at least one of `fields`, ascending.

        `newest` limits the answer to that many rows at the end of the range. The caller
        has cut `end_ms` at the present, that of `planning` two days later.
        """
