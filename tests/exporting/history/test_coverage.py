"""What the recorder has, and when Home Assistant was off."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import partial

from freezegun.api import FrozenDateTimeFactory
import pytest
from sqlalchemy import update

from custom_components.eniris.exporting.history.coverage import (
    RecorderCoverage,
    read_coverage,
)
from homeassistant.components.recorder.core import Recorder
from homeassistant.components.recorder.db_schema import Events, RecorderRuns, States
from homeassistant.core import HomeAssistant
from homeassistant.helpers.recorder import get_instance, session_scope
from tests.kit.backfill import add_means, add_statistics, record
from tests.kit.exports import POWER, START

KW = {"unit_of_measurement": "kW", "state_class": "measurement"}

type Run = tuple[float, float | None, bool]
"""Hours before the start at which a run began and ended, and whether the recorder ended it at its next start."""


def before(**delta: float) -> datetime:
    """Return a time before the start."""
    return START - timedelta(**delta)


@pytest.fixture(autouse=True)
def recorder(recorder_mock: Recorder) -> None:
    """Have a recorder."""


async def coverage(
    hass: HomeAssistant, runs: Iterable[Run] = (), entity_id: str = POWER
) -> RecorderCoverage:
    """Return what the recorder has after `runs`, the last of which is the present one."""

    def look() -> RecorderCoverage:
        with session_scope(hass=hass) as session:
            for start, end, crashed in list(runs)[:-1]:
                session.add(
                    RecorderRuns(
                        start=before(hours=start),
                        end=None if end is None else before(hours=end),
                        closed_incorrect=crashed,
                    )
                )
            for start, _, _ in list(runs)[-1:]:
                session.execute(
                    update(RecorderRuns)
                    .where(RecorderRuns.run_id == 1)
                    .values(start=before(hours=start))
                )
        return read_coverage(hass, [entity_id])

    return await get_instance(hass).async_add_executor_job(look)


async def outages(hass: HomeAssistant, *runs: Run) -> list[tuple[float, float]]:
    """Return the outages in hours before the start."""
    found = (await coverage(hass, runs)).outages
    return [
        (
            round((START - down).total_seconds() / 3600, 3),
            round((START - up).total_seconds() / 3600, 3),
        )
        for down, up in found
    ]


async def states(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    *hours: float,
    entity_id: str = POWER,
) -> None:
    """Let an entity have had states so many hours before the start."""
    await record(
        hass, freezer, [(before(hours=n), entity_id, str(n), KW) for n in hours]
    )
    freezer.move_to(START)


async def test_clean(hass: HomeAssistant) -> None:
    """A run that was ended lasted until its end; there is no outage before the first run."""
    assert await outages(hass, (9, 5, False), (4, 3, False), (2, None, False)) == [
        (5, 4),
        (3, 2),
    ]


async def test_power_cut(hass: HomeAssistant, freezer: FrozenDateTimeFactory) -> None:
    """A run that crashed lasted until anything at all was written last, of whichever entity."""
    await states(hass, freezer, 5.5, 0.5)
    await states(hass, freezer, 4.5, entity_id="sensor.other")
    assert await outages(hass, (6, 1, True), (1, None, False)) == [(4.5, 1)]


async def test_marked(hass: HomeAssistant, freezer: FrozenDateTimeFactory) -> None:
    """A run that is said to have crashed did, also where its end is not the next start to the microsecond."""
    await states(hass, freezer, 4.5)
    assert await outages(hass, (6, 1.001, True), (1, None, False)) == [(4.5, 1)]


async def test_not_marked(hass: HomeAssistant, freezer: FrozenDateTimeFactory) -> None:
    """A run whose end is the next start crashed, whether or not that is said of it."""
    await states(hass, freezer, 4.5)
    assert await outages(hass, (6, 1, False), (1, None, False)) == [(4.5, 1)]


async def test_never_closed(
    hass: HomeAssistant, freezer: FrozenDateTimeFactory
) -> None:
    """A run without an end that is not the present one crashed too."""
    await states(hass, freezer, 4.5)
    assert await outages(hass, (6, None, False), (1, None, False)) == [(4.5, 1)]


async def test_several_in_a_row(
    hass: HomeAssistant, freezer: FrozenDateTimeFactory
) -> None:
    """Each crash by itself, also right after a start, with nothing written in between."""
    await states(hass, freezer, 8.5, 5.5, 0.5)
    assert await outages(
        hass, (9, 7, True), (7, 6, True), (6, 2, True), (2, 1, True), (1, None, False)
    ) == [(8.5, 7), (7, 6), (5.5, 2), (2, 1)]


async def test_overlapping(hass: HomeAssistant, freezer: FrozenDateTimeFactory) -> None:
    """While any run lasted, somebody measured; a clock that was set back makes no outage."""
    await states(hass, freezer, 6.5)
    assert await outages(
        hass,
        (9, 3, False),
        (8, 7.5, False),
        (7, 5, True),
        (5, 4, False),
        (2, None, False),
    ) == [(3, 2)]


async def test_quiet_home(hass: HomeAssistant, freezer: FrozenDateTimeFactory) -> None:
    """Statistics tell of life while nothing changes, those that the next start caught up on do not."""
    await states(hass, freezer, 5.5, 0.5)
    written = before(hours=4.5) + timedelta(seconds=10)
    caught_up = before(hours=1) + timedelta(seconds=5)
    rows = {before(hours=4.5, minutes=5): written} | {
        before(hours=4, minutes=5 * n): caught_up for n in range(-12, 6)
    }
    await get_instance(hass).async_add_executor_job(
        add_statistics,
        hass,
        "5minute",
        POWER,
        "kW",
        [
            (start, {"mean": 1.0, "created_ts": created.timestamp()})
            for start, created in rows.items()
        ],
    )
    assert await outages(hass, (6, 1, True), (1, None, False)) == [
        (round(4.5 - 10 / 3600, 3), 1)
    ]


async def test_reported(hass: HomeAssistant, freezer: FrozenDateTimeFactory) -> None:
    """An entity that said the same over and over again was there, and so was who listened."""
    await states(hass, freezer, 5.5, 0.5)

    def report() -> None:
        with session_scope(hass=hass) as session:
            session.execute(
                update(States)
                .where(States.last_updated_ts == before(hours=5.5).timestamp())
                .values(last_reported_ts=before(hours=4.25).timestamp())
            )

    await get_instance(hass).async_add_executor_job(report)
    assert await outages(hass, (6, 1, True), (1, None, False)) == [(4.25, 1)]


async def test_event(hass: HomeAssistant) -> None:
    """An event was written by somebody."""

    def fire() -> None:
        with session_scope(hass=hass) as session:
            session.add(Events(time_fired_ts=before(hours=5).timestamp()))

    await get_instance(hass).async_add_executor_job(fire)
    assert await outages(hass, (6, 1, True), (1, None, False)) == [(5, 1)]


async def test_nothing(hass: HomeAssistant) -> None:
    """Of an unknown entity there is nothing."""
    found = await coverage(hass, entity_id="sensor.unknown")
    assert found.oldest is None
    assert not found.entities["sensor.unknown"].borders


async def test_oldest(hass: HomeAssistant, freezer: FrozenDateTimeFactory) -> None:
    """Each kind is used up to the oldest value of what is finer."""
    await states(hass, freezer, 2)
    await add_means(hass, "5minute", POWER, "kW", {before(hours=5): 1.0})
    await add_means(hass, "hour", POWER, "kW", {before(hours=9): 1.0})
    found = await coverage(hass)
    entity = found.entities[POWER]
    assert found.oldest == before(hours=9)
    assert entity.states == entity.borders["5minute"] == before(hours=2)
    assert entity.borders["hour"] == before(hours=5)
    assert (entity.unit, entity.is_meter) == ("kW", False)


async def test_oldest_of_a_meter(hass: HomeAssistant) -> None:
    """Its statistics say what it showed at the end of an interval: what is coarser is used up to that."""
    for period, hours in (("5minute", 5), ("hour", 9)):
        row = (before(hours=hours), {"state": 1.0, "sum": 1.0})
        await get_instance(hass).async_add_executor_job(
            partial(add_statistics, hass, period, POWER, "kWh", [row], is_meter=True)
        )
    entity = (await coverage(hass)).entities[POWER]
    assert entity.is_meter
    assert entity.borders["hour"] == before(hours=5) + timedelta(minutes=5)


def test_was_off() -> None:
    """An interval lies in an outage with all of it, or somebody measured in it."""
    found = RecorderCoverage({}, [(before(hours=3), before(hours=1))])
    assert found.was_off(before(hours=3), before(hours=1))
    assert not found.was_off(before(hours=3.5), before(hours=2.5))
    assert not found.was_off(before(hours=1.5), before(hours=0.5))
