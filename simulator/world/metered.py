"""What every world answers: metadata as its sites have it, rows as their meters see them."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from itertools import chain, islice
from math import gcd
from typing import Any, NamedTuple

from simulator.model import FieldValue, Row, SeriesKey

from .measurements import Flow, Part
from .plant import COMMISSIONED
from .prices import PLANNING, known_until_s
from .site import STEPS, Site


class _Metered(NamedTuple):
    site: Site
    parts: tuple[tuple[frozenset[str], Part], ...]
    fields: frozenset[str]
    step_s: int


class MeteredWorld(ABC):
    """A world of sites; `clock` gives the Unix time that decides what has been uploaded late."""

    def __init__(self, sites: Sequence[Site], clock: Callable[[], float]) -> None:
        """Take sites that have all their nodes."""
        self.sites = sites
        self._clock = clock
        self._devices = [node.device for site in sites for node in site.nodes]
        self._series = {
            key: (site, parts)
            for site in sites
            for node in site.nodes
            for key, parts in node.series.items()
        }
        self._metered: dict[SeriesKey, _Metered] = {}

    def devices(self, now: datetime) -> Sequence[dict[str, Any]]:
        """Return the metadata, the world's own copy: whoever edits it copies it first."""
        return self._devices if now >= COMMISSIONED else ()

    @abstractmethod
    def companies(self) -> Sequence[dict[str, Any]]:
        """Return the companies that the account works for."""

    def series(self) -> Iterable[SeriesKey]:
        """Return every series that has data."""
        return self._series.keys()

    def fields(self, series: SeriesKey) -> frozenset[str]:
        """Return the names of the fields of one series."""
        metered = self._lookup(series)
        return metered.fields if metered else frozenset()

    def interval_ms(self, series: SeriesKey) -> int:
        """Return the distance of two rows."""
        return 1000 * STEPS.get(series.retention_policy, 60)

    def rows(
        self,
        series: SeriesKey,
        fields: frozenset[str],
        start_ms: int,
        end_ms: int,
        *,
        newest: int | None = None,
    ) -> Sequence[Row]:
        """Return the rows in `[start_ms, end_ms)` with one of `fields`; see `World.rows`."""
        if series.measurement == PLANNING:
            end_ms = min(end_ms, 1000 * known_until_s(self._clock()))
        metered = self._lookup(series)
        if metered is None:
            return ()
        parts = [part for part in metered.parts if not part[0].isdisjoint(fields)]
        if not parts:
            return ()
        spans = self._spans(metered, parts, start_ms, end_ms)
        if newest is None:
            times = chain.from_iterable(spans)
            return list(_read(metered, parts, fields, times))
        times = chain.from_iterable(reversed(span) for span in reversed(spans))
        rows = list(islice(_read(metered, parts, fields, times), newest))
        rows.reverse()
        return rows

    def truth_energy_wh(
        self, node_id: str, field: str, start: datetime, end: datetime
    ) -> float:
        """Return the energy of a delta field in `[start, end)`, both at whole minutes.

        Late uploads and silence do not matter: this is what flowed, not what was told.
        """
        start_s, end_s = start.timestamp(), end.timestamp()
        if start_s % 60 or end_s % 60:
            raise ValueError("The truth is known at whole minutes only")
        site, flow = self._find_flow(node_id, field)
        return site.energy_wh(flow, int(start_s), int(end_s))

    def _find_flow(self, node_id: str, field: str) -> tuple[Site, Flow]:
        for site in self.sites:
            for node in site.nodes:
                if node.node_id != node_id:
                    continue
                for parts in node.series.values():
                    for part in parts:
                        if field in part.deltas:
                            return site, part.deltas[field]
        raise KeyError((node_id, field))

    def _lookup(self, series: SeriesKey) -> _Metered | None:
        metered = self._metered.get(series)
        if metered is None and series in self._series:
            site, parts = self._series[series]
            named = tuple((frozenset(part.names), part) for part in parts)
            metered = self._metered[series] = _Metered(
                site,
                named,
                frozenset().union(*(names for names, _ in named)),
                STEPS[series.retention_policy],
            )
        return metered

    def _spans(
        self,
        metered: _Metered,
        parts: Iterable[tuple[frozenset[str], Part]],
        start_ms: int,
        end_ms: int,
    ) -> list[range]:
        """Return the times (Unix seconds) at which there are rows with one of `parts`."""
        site = metered.site
        stride = gcd(*(max(metered.step_s, part.every_s) for _, part in parts))
        start_s = max(-(-start_ms // 1000), site.first_s)
        end_s = -(-end_ms // 1000)
        if site.last_s is not None:
            end_s = min(end_s, site.last_s)
        first = -(-start_s // stride) * stride
        everything = range(first, end_s, stride)
        missing = site.backlog.missing(self._clock()) if site.backlog else None
        if not missing:
            return [everything]
        resumes = max(first, -(-missing.stop // stride) * stride)
        return [
            range(first, min(end_s, missing.start), stride),
            range(resumes, end_s, stride),
        ]


def _read(
    metered: _Metered,
    parts: Iterable[tuple[frozenset[str], Part]],
    fields: frozenset[str],
    times: Iterable[int],
) -> Iterator[Row]:
    site, step_s = metered.site, metered.step_s
    # With every field wanted, as a poll does, there is nothing to pick out
    whole = {names: names <= fields for names, _ in parts}
    for time_s in times:
        instant = site.instant(time_s, step_s)
        row: dict[str, FieldValue] = {}
        for names, part in parts:
            if time_s % part.every_s:
                continue
            values = part.fill(instant)
            if whole[names]:
                row |= values
            else:
                row.update(
                    (name, value) for name, value in values.items() if name in fields
                )
        if row:
            yield Row(1000 * time_s, row)
