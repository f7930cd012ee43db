"""The totals of an account: which are kept, how they begin, when they are known, how they are stored.

A total that is shown never goes back by itself, though its file is written only every 15 minutes and
may be an old one. After a start of Home Assistant it is unknown until every hour was read again of
which more may have been shown than the file has. One that has no file goes on from what the recorder
has of its entity.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set as AbstractSet
from contextlib import suppress
from datetime import datetime, timedelta
from itertools import batched
import time
from typing import Any, Final, NamedTuple

from sqlalchemy.exc import SQLAlchemyError

from homeassistant.components.recorder.history import state_changes_during_period
from homeassistant.components.recorder.statistics import (
    get_last_short_term_statistics,
    get_last_statistics,
    get_metadata,
)
from homeassistant.config_entries import ConfigEntry
from homeassistant.const import ATTR_UNIT_OF_MEASUREMENT, Platform, UnitOfEnergy
from homeassistant.core import HomeAssistant, callback
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers import entity_registry as er
from homeassistant.helpers.storage import Store
from homeassistant.util import dt as dt_util
from homeassistant.util.hass_dict import HassKey
from homeassistant.util.unit_conversion import EnergyConverter

from ..api import SeriesInfo, StatementResult
from ..api.telemetry import FIELDS_PER_QUERY
from ..const import DOMAIN, LOGGER
from ..recorder_access import async_read_recorder, has_recorder
from ..unique_ids import async_unique_id
from .energy import (
    HOUR,
    Counted,
    CountingQuery,
    Hour,
    Span,
    Total,
    counted_from,
    hour_of,
    oldest,
)
from .nodes import Node
from .plan import FieldKey, counting_candidates
from .service_clock import ServiceClock

_STORE_VERSION: Final = 1
_STORE_EVERY: Final = 15 * 60
_STORE_NEW: Final = 10
"""Seconds after which a new total is stored, with the hour in which it began."""


class _Shown(NamedTuple):
    """The energy that an entity has shown, in Wh, and when it began to, in Unix seconds."""

    energy: float = 0.0
    at: int = 0


_TOTALS: Final[HassKey[dict[str, "Totals"]]] = HassKey(f"{DOMAIN}_totals")


def totals_store(hass: HomeAssistant, entry_id: str) -> Store[list[Any]]:
    """Return the store of an account's energy totals."""
    return Store(hass, _STORE_VERSION, f"{DOMAIN}.{entry_id}.totals", private=True)


@callback
def async_totals(hass: HomeAssistant, entry_id: str) -> "Totals":
    """Return an account's totals, which stay in memory while it is not loaded."""
    accounts = hass.data.setdefault(_TOTALS, {})
    if entry_id not in accounts:
        accounts[entry_id] = Totals(hass, totals_store(hass, entry_id))
    return accounts[entry_id]


async def async_remove_totals(hass: HomeAssistant, entry_id: str) -> None:
    """Forget the totals of an account that is removed."""
    hass.data.get(_TOTALS, {}).pop(entry_id, None)
    await totals_store(hass, entry_id).async_remove()


class Totals:
    """The totals of one account, and what has to be asked to keep them."""

    def __init__(self, hass: HomeAssistant, store: Store[list[Any]]) -> None:
        """Start without any."""
        self._wanted: set[FieldKey] = set()
        self._hass = hass
        self._store = store
        self._save_by: float | None = None
        self.clock = ServiceClock()
        self._totals: dict[FieldKey, Total] = {}
        self._beginnings: dict[FieldKey, _Shown] = {}
        """What the entities of totals that have not begun have shown before."""
        self._sources: dict[FieldKey, SeriesInfo] = {}
        """The series that were found to have values."""

    async def async_load(self, entry: ConfigEntry[Any]) -> None:
        """Restore the totals, and ask from now on for those of the entities that are enabled.

        What is still in memory is newer than the file. Raises what `Store.async_load` does on a file of a newer version.
        """
        # Anew: one that has met the file of another version does not look again
        self._store = totals_store(self._hass, entry.entry_id)
        stored = await self._store.async_load() or ()
        if self._totals:
            return
        registry = er.async_get(self._hass)
        for node_id, measurement, name, base, until, hours, *source in stored:
            key = FieldKey(node_id, measurement, name)
            total = Total(base, until, {hour: Hour(*known) for hour, *known in hours})
            for hour, known in total.hours.items():
                if not total.is_complete(hour):
                    # More of it may have been shown
                    total.hours[hour] = known._replace(read_at=0)
                if source:
                    total.sources[hour] = (source[0], source[1])
            self._totals[key] = total
            unique_id = async_unique_id(self._hass, entry, Platform.SENSOR, *key)
            id_ = registry.async_get_entity_id(Platform.SENSOR, DOMAIN, unique_id)
            if id_ and not registry.entities[id_].disabled:
                self._wanted.add(key)

    async def async_save(self) -> None:
        """Store the totals now."""
        await self._store.async_save(self._stored())

    @callback
    def _async_save_within(self, seconds: float) -> None:
        """Store the totals, once for all who ask; a store that is asked again begins to wait anew."""
        by = time.monotonic() + seconds
        if self._save_by is None or by < self._save_by:
            self._save_by = by
            self._store.async_delay_save(self._stored, seconds)

    @callback
    def _stored(self) -> list[Any]:
        self._save_by = None
        return [
            [
                *key,
                total.base,
                total.until,
                [[at, *hour] for at, hour in total.hours.items()],
                *(total.sources.get(max(total.hours, default=0)) or ()),
            ]
            for key, total in self._totals.items()
        ]

    @property
    def wanted(self) -> AbstractSet[FieldKey]:
        """The fields of which totals are kept at present."""
        return self._wanted

    async def async_want(self, key: FieldKey, entity_id: str, now: datetime) -> None:
        """Keep the total that an entity shows, or go on with the one that was kept before.

        It begins anew where the recorder cannot be read.
        """
        if key not in self._totals:
            shown = None
            if has_recorder(self._hass):
                try:
                    shown = await async_read_recorder(
                        self._hass, _last_shown, self._hass, entity_id, now
                    )
                except SQLAlchemyError as err:
                    LOGGER.warning(
                        "%s begins anew, since the recorder cannot be read: %s",
                        entity_id,
                        err,
                    )
            self._beginnings[key] = shown or _Shown()
        self._wanted.add(key)
        self._begin(self.clock.time(now))

    def unwant(self, key: FieldKey) -> None:
        """Ask for nothing of `key` any more; what was counted is kept."""
        self._wanted.discard(key)
        self._beginnings.pop(key, None)

    def _begin(self, now: int) -> None:
        """Begin new totals once the service's clock is known.

        One that was shown within the last day goes on from there, others begin with the present hour.
        """
        if not (self._beginnings and self.clock.is_sure):
            return
        for key, (energy, at) in self._beginnings.items():
            is_new = at < oldest(now)
            until = hour_of(now) if is_new else min(at, now)
            self._totals[key] = Total(energy, until, is_new=is_new)
        self._beginnings.clear()
        self._async_save_within(_STORE_NEW)

    def value(self, key: FieldKey) -> float | None:
        """Return a total in Wh, None while it is not known."""
        total = self._totals.get(key) if key in self._wanted else None
        return total.value if total is not None and total.is_known else None

    def counted(self, key: FieldKey) -> Counted | None:
        """Return what a total is made of, by whole hours, None while it is not known."""
        value = self.value(key)
        if value is None:
            return None
        total = self._totals[key]
        since = -(-total.until // HOUR) * HOUR
        hours = {at: hour.energy for at, hour in total.hours.items() if at >= since}
        return Counted(since, value, hours)

    def queries(
        self, nodes: Mapping[str, Node], now: datetime
    ) -> Sequence[CountingQuery]:
        """Return what to ask at a poll; fields of one series and span share a query."""
        seconds = self.clock.time(now)
        self._begin(seconds)
        fields: defaultdict[tuple[str, SeriesInfo, Span], list[str]] = defaultdict(list)
        for key in sorted(self._wanted & self._totals.keys()):
            if key.node_id not in nodes:
                continue
            candidates = counting_candidates(
                nodes[key.node_id], key.measurement, key.field
            )
            source = self._sources.get(key)
            for series in [source] if source in candidates else candidates:
                for span in self._totals[key].spans(seconds):
                    fields[key.node_id, series, span].append(key.field)
        return [
            CountingQuery(node_id, series, names, span)
            for (node_id, series, span), all_names in fields.items()
            for names in batched(all_names, FIELDS_PER_QUERY, strict=False)
        ]

    def take(
        self,
        sums: Iterable[tuple[CountingQuery, StatementResult]],
        now: datetime,
        told: datetime | None,
    ) -> None:
        """Adopt the answers to queries, which came at `now` by our clock and are dated as `told`.

        One that failed is asked for again.
        """
        seconds = self.clock.note(now, told)
        answers: defaultdict[
            FieldKey, defaultdict[SeriesInfo, dict[Span, float | None]]
        ] = defaultdict(lambda: defaultdict(dict))
        for query, result in sums:
            for name, energy in query.read(result).items():
                key = FieldKey(query.node_id, query.series.measurement, name)
                answers[key][query.series][query.span] = energy
        for key, by_series in answers.items():
            source, is_sure = counted_from(by_series, seconds)
            if is_sure:
                self._sources[key] = source
            else:
                self._sources.pop(key, None)
            total = self._totals[key]
            if total.is_new and not self.clock.is_sure:
                # Nobody knows which hour it began in
                continue
            if self.clock.is_sure and (
                (total.until > seconds and not total.value)
                or (total.is_new and total.until < hour_of(seconds) - HOUR)
            ):
                # A clock that was wrong has begun it
                self._totals[key] = total = Total(total.value, hour_of(seconds))
            total.is_new = False
            for span, energy in by_series[source].items():
                told_by = (source.database, source.retention_policy)
                if total.take(span, energy, seconds, told_by):
                    # It would be shown before it is read after a start
                    self._async_save_within(0)
        if answers:
            self._async_save_within(_STORE_EVERY)


def _last_shown(hass: HomeAssistant, entity_id: str, now: datetime) -> _Shown | None:
    """Return what the recorder has of an entity: its newest statistic, or a state that is newer."""
    found: list[tuple[Any, str | None, float]] = []
    since = now - timedelta(hours=1)
    if metadata := get_metadata(hass, statistic_ids={entity_id}):
        unit = metadata[entity_id][1]["unit_of_measurement"]
        # Those of five minutes are kept for some days only
        for newest in (get_last_statistics, get_last_short_term_statistics):
            for row in newest(hass, 1, entity_id, False, {"state"}).get(entity_id, ()):
                found.append((row["state"], unit, row["end"]))
                since = dt_util.utc_from_timestamp(row["end"])
    states = state_changes_during_period(
        hass, min(since, now), None, entity_id, include_start_time_state=False
    )
    for state in states.get(entity_id, ()):
        unit = state.attributes.get(ATTR_UNIT_OF_MEASUREMENT)
        found.append((state.state, unit, state.last_changed_timestamp))
    for value, unit, moment in reversed(found):
        # There are states that are no number, and entities that were something else
        with suppress(TypeError, ValueError, HomeAssistantError):
            energy = EnergyConverter.convert(float(value), unit, UnitOfEnergy.WATT_HOUR)
            return _Shown(energy, int(moment))
    return None
