"""What the tests of statistics share: let the recorder make its rows, and read them."""

from collections.abc import Collection
from datetime import UTC, datetime, timedelta

from freezegun.api import FrozenDateTimeFactory
from pytest_homeassistant_custom_component.components.recorder.common import (
    async_wait_recording_done,
    do_adhoc_statistics,
)

from homeassistant.components.recorder.statistics import (
    StatisticsRow,
    statistics_during_period,
)
from homeassistant.core import HomeAssistant
from homeassistant.helpers.recorder import get_instance
from homeassistant.util import dt as dt_util

from .common import advance

FIVE_MINUTES = timedelta(minutes=5)


async def live(
    hass: HomeAssistant, freezer: FrozenDateTimeFactory, until: datetime
) -> None:
    """Let time pass minute by minute, with the recorder making statistics every five minutes.

    As it does, the rows of an hour are made with its last five minutes.
    """
    while (now := dt_util.utcnow()) < until:
        end = dt_util.utc_from_timestamp((now.timestamp() // 300 + 1) * 300)
        if end <= now + timedelta(seconds=61):
            await advance(hass, freezer, end - now + timedelta(seconds=10))
            await async_wait_recording_done(hass)
            do_adhoc_statistics(hass, start=end - FIVE_MINUTES)
            await async_wait_recording_done(hass)
        else:
            await advance(hass, freezer)


async def rows(
    hass: HomeAssistant,
    entity_ids: Collection[str],
    start: datetime,
    end: datetime | None = None,
    period: str = "hour",
) -> dict[str, dict[datetime, StatisticsRow]]:
    """Return the rows of statistics by entity and time, energies in Wh."""
    await async_wait_recording_done(hass)
    found = await get_instance(hass).async_add_executor_job(
        lambda: statistics_during_period(
            hass,
            start,
            end,
            set(entity_ids),
            period,  # type: ignore[arg-type]
            {"energy": "Wh", "power": "W"},
            {"change", "mean", "min", "max", "state", "sum"},
        )
    )
    return {
        entity_id: {
            datetime.fromtimestamp(row["start"], UTC): row for row in found_rows
        }
        for entity_id, found_rows in found.items()
    }
