"""What is known of the time ahead: rows as periods, and the prices of today and tomorrow."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from itertools import pairwise
from random import uniform
from statistics import multimode
from typing import Any, Final, NamedTuple

from homeassistant.config_entries import ConfigEntry
from homeassistant.core import CALLBACK_TYPE, HomeAssistant, callback
from homeassistant.helpers.event import async_track_time_change
from homeassistant.helpers.update_coordinator import DataUpdateCoordinator
from homeassistant.util import dt as dt_util

from ..api import EnirisError, FieldValue, RateLimitedError, SeriesInfo
from ..const import LOGGER
from ..field_description import usable_number
from .budget.reader import (
    Column,
    Rows,
    TelemetryReader,
    TelemetryReaderError,
    TelemetryRequest,
)
from .catalogue import PRICES
from .coordinator import NodeCoordinator, TelemetryCoordinator
from .plan import FieldKey, counting_candidates

_HOUR: Final = timedelta(hours=1)
_LOOK_BACK: Final = timedelta(days=1)
_ROWS_BEFORE: Final = 5
"""How far before the start the row is looked for that holds then, and among how many."""

_PUBLISHED: Final = 13
_SURELY_PUBLISHED: Final = 15
"""Hours of the local day between which the prices of the next day usually come."""

_RETRY: Final = timedelta(minutes=15)
_LONGEST_DELAY_S: Final = 300


class ForecastPeriod[ValueT](NamedTuple):
    """A value and the local time for which it holds, the end not included."""

    start: datetime
    end: datetime
    value: ValueT


def as_periods[ValueT](
    rows: Sequence[tuple[datetime, ValueT]],
) -> list[ForecastPeriod[ValueT]]:
    """Return rows, the oldest first, as periods: each holds until the next row.

    How long the last one holds is not known. It is taken for as long as most of the others, for
    the shortest of several such lengths, and for an hour where there is no other.
    """
    times = [dt_util.as_local(time) for time, _ in rows]
    if not times:
        return []
    # Between times of one zone Python counts what the clock shows, not what has passed
    lengths = [
        dt_util.as_utc(end) - dt_util.as_utc(start) for start, end in pairwise(times)
    ]
    usual = min(multimode(lengths), default=_HOUR)
    ends = [*times[1:], dt_util.as_local(dt_util.as_utc(times[-1]) + usual)]
    return [
        ForecastPeriod(start, end, value)
        for start, end, (_, value) in zip(times, ends, rows, strict=True)
    ]


async def async_read_ahead[KeyT](
    ask: Callable[[TelemetryRequest], Awaitable[tuple[Rows, bool]]],
    fields: Mapping[KeyT, Sequence[Column]],
    start: datetime,
    end: datetime,
    limit: int,
) -> dict[KeyT, list[ForecastPeriod[FieldValue]]]:
    """Return the periods of each field that begin before `end`; the first holds at `start`.

    Of the columns of a field, the first is taken that has such rows, as metadata may list series
    that are never written. Of those at or after `start` there are `limit` at most. Raises what `ask` does.
    """
    found: dict[KeyT, list[ForecastPeriod[FieldValue]]] = {key: [] for key in fields}
    place = 0
    while left := {
        key: columns[place]
        for key, columns in fields.items()
        if not found[key] and place < len(columns)
    }:
        ahead, _ = await ask(
            TelemetryRequest(list(left.values()), [(start, end)], limit=limit)
        )
        rows = {key: _values(ahead, column) for key, column in left.items()}
        began_before: defaultdict[SeriesInfo, list[KeyT]] = defaultdict(list)
        for key, column in left.items():
            if not rows[key] or rows[key][0][0] > start:
                began_before[column.series].append(key)
        # Apart, as rows are many, and of those before a few say what holds at the start
        for keys in began_before.values():
            before, _ = await ask(
                TelemetryRequest(
                    [left[key] for key in keys],
                    [(start - _LOOK_BACK, start)],
                    limit=_ROWS_BEFORE,
                    descending=True,
                )
            )
            for key in keys:
                rows[key] = [*reversed(_values(before, left[key])), *rows[key]]
        for key in left:
            found[key] = [each for each in as_periods(rows[key]) if each.end > start]
        place += 1
    return found


def _values(rows: Rows, column: Column) -> list[tuple[datetime, FieldValue]]:
    """Return time and value of the rows that have one."""
    return [
        (time, value)
        for time, values in rows
        if (value := values[column.name]) is not None
    ]


def start_of_day(days_ahead: int) -> datetime:
    """Return the local midnight with which today (0) or a day ahead begins."""
    return dt_util.start_of_local_day(dt_util.now().date() + timedelta(days=days_ahead))


type Prices = dict[FieldKey, list[ForecastPeriod[float | int]]]


class PriceCoordinator(DataUpdateCoordinator[Prices]):
    """Keeps today's and tomorrow's prices of all nodes, while anybody listens.

    They are read seldom: what was published does not change. An outage is told of by the telemetry's
    coordinator, so this one keeps what it has and tries again.
    """

    config_entry: ConfigEntry[Any]

    def __init__(
        self,
        hass: HomeAssistant,
        entry: ConfigEntry[Any],
        nodes: NodeCoordinator,
        telemetry: TelemetryCoordinator,
    ) -> None:
        """Read once there is a listener."""
        super().__init__(hass, LOGGER, config_entry=entry, name="Eniris prices")
        self.data = {}
        # Its own: while it waits for the budget, an action must not wait for it
        self._reader = TelemetryReader(telemetry.session, telemetry.pace)
        self._nodes = nodes
        self._telemetry = telemetry
        self._first_read: asyncio.Task[None] | None = None
        # Not all homes of a country in the same second
        self._delay = timedelta(seconds=uniform(0, _LONGEST_DELAY_S))  # noqa: S311
        entry.async_on_unload(
            async_track_time_change(hass, self._new_day, hour=0, minute=0, second=0)
        )

    @callback
    def async_add_price_listener(
        self, key: FieldKey, listener: CALLBACK_TYPE
    ) -> CALLBACK_TYPE:
        """Call `listener` when prices were read; those of `key` are read at once if they never were."""
        if key not in self.data and (
            self._first_read is None or self._first_read.done()
        ):
            self._first_read = self.config_entry.async_create_background_task(
                self.hass,
                self.async_refresh(),
                "eniris prices refresh",
                eager_start=False,
            )
        return self.async_add_listener(listener)

    @callback
    def _new_day(self, _now: datetime) -> None:
        """Tell that tomorrow has become today."""
        self.async_update_listeners()

    async def _async_update_data(self) -> Prices:
        try:
            prices = await self._read()
        except (EnirisError, TelemetryReaderError) as err:
            if isinstance(err, RateLimitedError):
                self._telemetry.wait(err.retry_after)
            LOGGER.debug("Prices are not read: %s", err)
            self.update_interval = _RETRY
            return self.data
        self.update_interval = self._until_next(prices)
        return prices

    async def _read(self) -> Prices:
        if (seconds := self._telemetry.seconds_to_wait) > 0:
            raise RateLimitedError(429, "still to be waited for", retry_after=seconds)
        columns = {
            FieldKey(node.id, series.measurement, field): [
                Column(f"{node.id} {series.measurement} {field}", each, field)
                for each in counting_candidates(node, series.measurement, field)
            ]
            for node in self._nodes.data.by_id.values()
            for series in node.device.series
            for field in PRICES.intersection(series.fields)
        }
        start, end = (dt_util.as_utc(start_of_day(days)) for days in (0, 2))
        found = await async_read_ahead(
            partial(self._reader.ask, skip_refused=True),
            columns,
            start,
            end,
            limit=(end - start) // timedelta(minutes=1),
        )
        # What is refused stays as it was read before
        return {
            key: [
                ForecastPeriod(each.start, each.end, price)
                for each in periods
                if (price := usable_number(each.value)) is not None
            ]
            or self.data.get(key, [])
            for key, periods in found.items()
        }

    def _until_next(self, prices: Prices) -> timedelta:
        """Return the time until something new can be there.

        An hour where nobody knows, a quarter of an hour while the prices of tomorrow are due.
        """
        now = dt_util.now()
        known = min(
            (periods[-1].end for periods in prices.values() if periods), default=now
        )
        days = 1 if known >= start_of_day(2) else 0
        if days or (now.hour < _PUBLISHED and known >= start_of_day(1)):
            due = start_of_day(days).replace(hour=_PUBLISHED)
            return dt_util.as_utc(due) - dt_util.as_utc(now) + self._delay
        return _RETRY if _PUBLISHED <= now.hour < _SURELY_PUBLISHED else _HOUR
