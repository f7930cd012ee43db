"""What the tests of the past share: states and statistics that the recorder has."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from freezegun.api import FrozenDateTimeFactory
from pytest_homeassistant_custom_component.components.recorder.common import (
    async_wait_recording_done,
)

from homeassistant.components.recorder.db_schema import (
    Statistics,
    StatisticsMeta,
    StatisticsShortTerm,
)
from homeassistant.components.recorder.models import StatisticMeanType
from homeassistant.core import HomeAssistant
from homeassistant.helpers.recorder import get_instance, session_scope

TABLES: Mapping[str, Any] = {"5minute": StatisticsShortTerm, "hour": Statistics}

type Row = tuple[datetime, str, str, dict[str, Any]]
"""When which entity got which state with which attributes."""


async def record(
    hass: HomeAssistant, freezer: FrozenDateTimeFactory, rows: Iterable[Row]
) -> None:
    """Let entities have states at past times, and the recorder note them."""
    for time, entity_id, state, attributes in sorted(rows, key=lambda row: row[0]):
        freezer.move_to(time)
        hass.states.async_set(entity_id, state, attributes)
    await hass.async_block_till_done()
    await async_wait_recording_done(hass)


def add_statistics(
    hass: HomeAssistant,
    period: str,
    entity_id: str,
    unit: str | None,
    rows: Iterable[tuple[datetime, Mapping[str, float]]],
    *,
    is_meter: bool = False,
) -> None:
    """Give the recorder statistics of an entity by the starts of their intervals. Blocks."""
    with session_scope(hass=hass) as session:
        metadata = (
            session.query(StatisticsMeta)
            .filter(StatisticsMeta.statistic_id == entity_id)
            .one_or_none()
        )
        if metadata is None:
            metadata = StatisticsMeta(
                statistic_id=entity_id,
                source="recorder",
                unit_of_measurement=unit,
                has_mean=not is_meter,
                has_sum=is_meter,
                mean_type=(
                    StatisticMeanType.NONE if is_meter else StatisticMeanType.ARITHMETIC
                ),
            )
            session.add(metadata)
            session.flush()
        session.add_all(
            TABLES[period](
                metadata_id=metadata.id, start_ts=start.timestamp(), **values
            )
            for start, values in rows
        )


async def add_means(
    hass: HomeAssistant,
    period: str,
    entity_id: str,
    unit: str | None,
    means: Mapping[datetime, float],
) -> None:
    """Give the recorder means of an entity by the starts of their intervals."""
    await get_instance(hass).async_add_executor_job(
        add_statistics,
        hass,
        period,
        entity_id,
        unit,
        [
            (start, {"mean": mean, "min": mean - 1, "max": mean + 1})
            for start, mean in means.items()
        ],
    )
