"""From when on the recorder has what of an entity, and when Home Assistant was off. Everything here blocks."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Literal

from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.orm import Session

from homeassistant.components.recorder import db_schema, statistics
from homeassistant.components.recorder.db_schema import RecorderRuns, States, StatesMeta
from homeassistant.components.recorder.models import (
    StatisticMeanType,
    process_timestamp,
)
from homeassistant.core import HomeAssistant
from homeassistant.helpers.recorder import session_scope
from homeassistant.util import dt as dt_util

type Period = Literal["5minute", "hour"]

PERIODS: Final[dict[Period, Any]] = {
    "5minute": db_schema.StatisticsShortTerm,
    "hour": db_schema.Statistics,
}
"""The statistics, the finest first."""

_COMPILED_WITHIN: Final = 600
"""Seconds after the start of 5 minutes within which their statistics are written while Home Assistant runs."""


_NEVER: Final = datetime.max.replace(tzinfo=UTC)

type Outage = tuple[datetime, datetime]
"""A time in which nobody measured: when Home Assistant went down, and when it was up again."""


@dataclass(slots=True)
class EntityCoverage:
    """What the recorder has of an entity."""

    states: datetime | None = None
    oldest: datetime | None = None
    borders: dict[Period, datetime] = field(default_factory=dict)
    """Up to when which statistics are of use: to the oldest value of what is finer, if any is."""
    unit: str | None = None
    is_meter: bool = False
    """Whether the statistics have no mean, but the state at the end of the interval."""


@dataclass(frozen=True, slots=True)
class RecorderCoverage:
    """What the recorder has, by entity, and when Home Assistant was off."""

    entities: dict[str, EntityCoverage]
    outages: Sequence[Outage]
    oldest: datetime | None = None

    def was_off(self, start: datetime, end: datetime) -> bool:
        """Tell whether nobody measured anything from `start` to `end`."""
        return any(down <= start and end <= up for down, up in self.outages)


def read_coverage(hass: HomeAssistant, entity_ids: Collection[str]) -> RecorderCoverage:
    """Return what the recorder has of entities."""
    entities = read_entities(hass, entity_ids)
    begins = (its.oldest for its in entities.values() if its.oldest is not None)
    with session_scope(hass=hass, read_only=True) as session:
        outages = _read_outages(session, entity_ids)
    return RecorderCoverage(entities, outages, min(begins, default=None))


def read_entities(
    hass: HomeAssistant, entity_ids: Collection[str]
) -> dict[str, EntityCoverage]:
    """Return what the recorder has of entities, which changes when it deletes what is old."""
    metadata = statistics.get_metadata(hass, statistic_ids=set(entity_ids))
    entities: dict[str, EntityCoverage] = {}
    with session_scope(hass=hass, read_only=True) as session:
        for entity_id in entity_ids:
            states = _oldest(session, States.last_updated_ts, _is_of(entity_id))
            its = entities[entity_id] = EntityCoverage(states, states)
            if entity_id not in metadata:
                continue
            key, its_metadata = metadata[entity_id]
            its.unit = its_metadata["unit_of_measurement"]
            its.is_meter = its_metadata["mean_type"] == StatisticMeanType.NONE
            border = states or _NEVER
            for period, table in PERIODS.items():
                start = _oldest(session, table.start_ts, table.metadata_id == key)
                if start is not None:
                    its.oldest = min(its.oldest or start, start)
                    its.borders[period] = border
                    border = min(border, start + table.duration * its.is_meter)
    return entities


def _is_of(entity_id: str) -> ColumnElement[bool]:
    key = select(StatesMeta.metadata_id).where(StatesMeta.entity_id == entity_id)
    return States.metadata_id == key.scalar_subquery()


def _oldest(session: Session, column: Any, condition: Any) -> datetime | None:
    oldest = session.scalar(select(func.min(column)).where(condition))
    return None if oldest is None else dt_util.utc_from_timestamp(oldest)


def _read_outages(session: Session, entity_ids: Collection[str]) -> list[Outage]:
    runs = session.scalars(select(RecorderRuns).order_by(RecorderRuns.start)).all()
    starts = [process_timestamp(run.start) for run in runs]
    outages: list[Outage] = []
    alive_until: datetime | None = None
    for run, start, next_start in zip(runs, starts, starts[1:], strict=False):
        end = process_timestamp(run.end)
        # Only the present run has no end, and it is the last
        if end is None or run.closed_incorrect or end == next_start:
            border = min(end or next_start, next_start)
            end = _last_sign_of_life(session, entity_ids, start, border)
        alive_until = max(alive_until or end, end)
        if alive_until < next_start:
            outages.append((alive_until, next_start))
    return outages


def _last_sign_of_life(
    session: Session, entity_ids: Collection[str], start: datetime, border: datetime
) -> datetime:
    """Return when the recorder is known to have been alive last, from `start` on and before `border`."""
    since, until = start.timestamp(), border.timestamp()
    updated, fired = States.last_updated_ts, db_schema.Events.time_fired_ts
    alive = since
    # Each by way of an index, without a look at all that was written in the run
    signs: list[Select[Any]] = [
        select(func.max(updated)).where(updated >= since, updated < until),
        select(func.max(fired)).where(fired >= since, fired < until),
    ]
    signs += [
        select(States.last_reported_ts)
        .where(_is_of(entity_id), updated >= since, updated < until)
        .order_by(updated.desc())
        .limit(1)
        for entity_id in entity_ids
    ]
    for sign in signs:
        time = session.scalar(sign)
        if time is not None and alive < time < until:
            alive = time
    # The next start also compiles the statistics of the outage: only when they were written tells of life
    compiled, written = PERIODS["5minute"].start_ts, PERIODS["5minute"].created_ts
    last = session.scalar(
        select(func.max(written)).where(
            compiled >= alive - _COMPILED_WITHIN, compiled < until, written < until
        )
    )
    return dt_util.utc_from_timestamp(max(alive, last or alive))
