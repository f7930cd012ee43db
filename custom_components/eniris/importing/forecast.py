"""What is known of the time ahead: rows as periods, and the prices of today and tomorrow."""

import asyncio
from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from itertools import pairwise
from random import uniform
from typing import Any, Final, NamedTuple

from homeassistant.config_entries import ConfigEntry
from homeassistant.core import CALLBACK_TYPE, HomeAssistant, callback
from homeassistant.helpers.event import async_track_time_change
from homeassistant.helpers.update_coordinator import DataUpdateCoordinator
from homeassistant.util import dt as dt_util

from ..api import EnirisError, RateLimitedError
from ..const import LOGGER
from .budget.reader import (
    Column,
    TelemetryReader,
    TelemetryReaderError,
    TelemetryRequest,
)
from .catalogue import PRICES, usable_number
from .coordinator import NodeCoordinator, TelemetryCoordinator
from .plan import FieldKey, counting_candidates

_HOUR: Final = timedelta(hours=1)
LOOK_BACK: Final = timedelta(days=1)
"""So long before the start the row is looked for that holds then."""

_MOST_ROWS: Final = 74 * 60
"""Of three days, one of which may have 25 hours, by the minute."""

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

    How long the last one holds is not known. It is taken for as short as the shortest of the
    others, and for an hour where there is no other.
    """
    times = [dt_util.as_local(time) for time, _ in rows]
    if not times:
        return []
    # Between times of one zone Python counts what the clock shows, not what has passed
    shortest = min(
        (dt_util.as_utc(end) - dt_util.as_utc(start) for start, end in pairwise(times)),
        default=_HOUR,
    )
    ends = [*times[1:], dt_util.as_local(dt_util.as_utc(times[-1]) + shortest)]
    return [
        ForecastPeriod(start, end, value)
        for start, end, (_, value) in zip(times, ends, rows, strict=True)
    ]


def periods_of_day[ValueT](
    periods: Iterable[ForecastPeriod[ValueT]], day: date
) -> list[ForecastPeriod[ValueT]]:
    """Return what of the periods is on a local day."""
    first = dt_util.start_of_local_day(day)
    last = dt_util.start_of_local_day(day + timedelta(days=1))
    return [
        ForecastPeriod(max(start, first), min(end, last), value)
        for start, end, value in periods
        if start < last and end > first
    ]


def start_of_day(days_ahead: int) -> datetime:
    """Return the local midnight with which today (0) or a day ahead begins."""
    return dt_util.start_of_local_day(dt_util.now().date() + timedelta(days=days_ahead))


type Prices = dict[FieldKey, list[ForecastPeriod[float | int]]]


class PriceCoordinator(DataUpdateCoordinator[Prices]):
    """Keeps today's and tomorrow's prices of all nodes, while anybody listens.

    They are read seldom, in one request: what was published does not change. An outage is told of by
    the telemetry's coordinator, so this one keeps what it has and tries again.
    """

    config_entry: ConfigEntry[Any]

    def __init__(
        self,
        hass: HomeAssistant,
        entry: ConfigEntry[Any],
        reader: TelemetryReader,
        nodes: NodeCoordinator,
        telemetry: TelemetryCoordinator,
    ) -> None:
        """Read with `reader`, once there is a listener."""
        super().__init__(
            hass,
            LOGGER,
            config_entry=entry,
            name=f"{entry.title} prices",
        )
        self.data = {}
        self._reader = reader
        self._nodes = nodes
        self._telemetry = telemetry
        self._first_read: asyncio.Task[None] | None = None
        # Not all homes of a country in the same second
        self._delay = timedelta(seconds=uniform(0, _LONGEST_DELAY_S))  # noqa: S311
        entry.async_on_unload(
            async_track_time_change(
                hass, self._async_new_day, hour=0, minute=0, second=0
            )
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
    def _async_new_day(self, _now: datetime) -> None:
        """Tell that tomorrow has become today."""
        self.async_update_listeners()

    async def _async_update_data(self) -> Prices:
        try:
            prices = await self._read()
        except (EnirisError, TelemetryReaderError) as err:
            if isinstance(err, RateLimitedError):
                self._telemetry.wait(err.retry_after)
            LOGGER.debug("The prices of %s are not read: %s", self.name, err)
            self.update_interval = _RETRY
            return self.data
        self.update_interval = self._until_next(prices)
        return prices

    async def _read(self) -> Prices:
        if (seconds := self._telemetry.seconds_to_wait) > 0:
            raise RateLimitedError(429, "still to be waited for", retry_after=seconds)
        keys = {
            FieldKey(node.id, series.measurement, field): node
            for node in self._nodes.data.by_id.values()
            for series in node.device.series
            for field in PRICES.intersection(series.fields)
        }
        # What is refused stays as it was read before
        prices = {key: self.data.get(key, []) for key in keys}
        place = 0
        # Metadata may list series that are never written
        while keys:
            columns = {
                key: Column(str(number), series[place], key.field)
                for number, (key, node) in enumerate(keys.items())
                if place
                < len(series := counting_candidates(node, key.measurement, key.field))
            }
            if not columns:
                break
            rows, _ = await self._reader.ask(
                TelemetryRequest(
                    list(columns.values()),
                    [(start_of_day(0) - LOOK_BACK, start_of_day(2))],
                    limit=_MOST_ROWS,
                ),
                skip_refused=True,
            )
            for key, column in columns.items():
                periods = as_periods(
                    [
                        (time, price)
                        for time, values in rows
                        if (price := usable_number(values[column.name])) is not None
                    ]
                )
                if periods and periods[-1].end > start_of_day(0):
                    prices[key] = periods
                    del keys[key]
            place += 1
        return prices

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
