"""Quick ways into the series of a world, which only lists them."""

from .model import SeriesKey, World
from .store import FieldType, field_type

_NO_SERIES: frozenset[SeriesKey] = frozenset()
_TYPE_SAMPLE_ROWS = 30


class WorldIndex:
    """Series of a world by namespace, measurement and tag; built at the first question."""

    def __init__(self, world: World) -> None:
        """Index a world, whose series are taken to stay as they are."""
        self._world = world
        self._namespaces: set[tuple[str, str]] | None = None
        self._by_measurement: dict[tuple[str, str, str], frozenset[SeriesKey]] = {}
        self._by_tag: dict[tuple[str, str, str, str, str], frozenset[SeriesKey]] = {}
        self._types: dict[tuple[str, str, str, str], FieldType | None] = {}

    def namespaces(self) -> set[tuple[str, str]]:
        """Return the pairs of database and retention policy."""
        if self._namespaces is None:
            self._build()
        return self._namespaces or set()

    def matching(
        self,
        database: str,
        retention_policy: str,
        measurement: str,
        tags: dict[str, str],
    ) -> list[SeriesKey]:
        """Return the series that have at least these tags, sorted."""
        self.namespaces()
        name = (database, retention_policy, measurement)
        found = self._by_measurement.get(name, _NO_SERIES)
        for tag in tags.items():
            found &= self._by_tag.get((*name, *tag), _NO_SERIES)
        return sorted(found)

    def type_of(self, series: SeriesKey, name: str, now_ms: int) -> FieldType | None:
        """Return the type that the world uses for a field of a measurement, as far as recent rows show it."""
        key = (series.database, series.retention_policy, series.measurement, name)
        if key not in self._types:
            self._types[key] = None
            for candidate in self.matching(
                series.database, series.retention_policy, series.measurement, {}
            ):
                if name not in self._world.fields(candidate):
                    continue
                start_ms = now_ms - _TYPE_SAMPLE_ROWS * self._world.interval_ms(
                    candidate
                )
                rows = self._world.rows(
                    candidate,
                    frozenset({name}),
                    start_ms,
                    now_ms,
                    newest=_TYPE_SAMPLE_ROWS,
                )
                if values := [row.fields[name] for row in rows if name in row.fields]:
                    self._types[key] = field_type(values[-1])
                    break
        return self._types[key]

    def _build(self) -> None:
        by_measurement: dict[tuple[str, str, str], set[SeriesKey]] = {}
        by_tag: dict[tuple[str, str, str, str, str], set[SeriesKey]] = {}
        for series in self._world.series():
            name = (series.database, series.retention_policy, series.measurement)
            by_measurement.setdefault(name, set()).add(series)
            for tag in series.tags:
                by_tag.setdefault((*name, *tag), set()).add(series)
        self._by_measurement = {
            name: frozenset(found) for name, found in by_measurement.items()
        }
        self._by_tag = {tag: frozenset(found) for tag, found in by_tag.items()}
        self._namespaces = {
            (database, policy) for database, policy, _ in by_measurement
        }
