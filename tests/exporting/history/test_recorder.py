"""What the recorder has becomes the samples that an export would have made."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
import threading
from typing import Any

from freezegun.api import FrozenDateTimeFactory
import pytest
from sqlalchemy import update

from custom_components.eniris.api import FieldValue, WriteTarget
from custom_components.eniris.exporting.config import (
    Aggregate,
    Export,
    ExportedField,
    Mode,
    SamplingPolicy,
    Series,
)
from custom_components.eniris.exporting.fields.kinds import FieldKind
from custom_components.eniris.exporting.history.coverage import read_coverage
from custom_components.eniris.exporting.history.recorder import (
    Chunk,
    Reader,
    StoppedError,
    async_recorded_entities,
    replay,
)
from custom_components.eniris.exporting.sampler import ExportedEntity
from homeassistant.components.recorder.core import Recorder
from homeassistant.components.recorder.db_schema import RecorderRuns
from homeassistant.core import HomeAssistant
from homeassistant.helpers.recorder import get_instance, session_scope
from tests.kit.backfill import Row, add_means, record
from tests.kit.exports import POWER, START

NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)
KW = {"unit_of_measurement": "kW", "state_class": "measurement"}
TARGET = WriteTarget("demo-ingress", "demo", "rp_one_m")
QUARTERS = SamplingPolicy(
    Mode.INTERVAL, interval=timedelta(minutes=15), aggregate=Aggregate.MEAN
)


def before(**delta: float) -> datetime:
    """Return a time before the start."""
    return START - timedelta(**delta)


@pytest.fixture(autouse=True)
def recorder(recorder_mock: Recorder) -> None:
    """Have a recorder."""


async def read(
    hass: HomeAssistant,
    exported: ExportedField,
    policy: SamplingPolicy | None = None,
    *,
    hours: float = 24,
    at_most: int | None = None,
    stopped: bool = False,
) -> Chunk | None:
    """Return what there is of a field in the last hours."""
    series = Series(TARGET, "gridMetrics", ())
    export = Export(
        "export", "House", series, (exported,), policy or SamplingPolicy(), enabled=True
    )
    entities = async_recorded_entities(
        hass, [ExportedEntity(export, exported, exported.entity, exported.kind)]
    )
    event = threading.Event()
    if stopped:
        event.set()

    def look() -> Chunk | None:
        coverage = read_coverage(hass, {entity.entity_id for entity in entities})
        start = before(hours=hours)
        reader = Reader(hass, export, entities, coverage, start, START, event)
        return reader.read(at_most)

    return await get_instance(hass).async_add_executor_job(look)


def seen(chunk: Chunk | None) -> dict[float, FieldValue]:
    """Return the values by hours before the start, the oldest first."""
    assert chunk is not None
    return {
        (START - sample.time) / timedelta(hours=1): sample.value
        for sample in reversed(chunk.samples)
    }


async def states(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    values: dict[float, str],
    attributes: dict[str, Any] | None = None,
    entity_id: str = POWER,
) -> None:
    """Let an entity have had states by hours before the start."""
    rows: list[Row] = [
        (before(hours=hours), entity_id, state, attributes or KW)
        for hours, state in values.items()
    ]
    await record(hass, freezer, rows)
    freezer.move_to(START)


async def crash(hass: HomeAssistant, back: float) -> None:
    """Let Home Assistant have crashed, and be back so many hours before the start."""

    def add_run() -> None:
        with session_scope(hass=hass) as session:
            session.execute(update(RecorderRuns).values(start=before(hours=back)))
            session.add(
                RecorderRuns(
                    start=before(hours=12),
                    end=before(hours=back),
                    closed_incorrect=True,
                )
            )

    await get_instance(hass).async_add_executor_job(add_run)


POWER_FIELD = ExportedField(POWER, "actualPowerTot_W", kind=FieldKind.NUMBER)


async def test_newest_first(
    hass: HomeAssistant, freezer: FrozenDateTimeFactory
) -> None:
    """What is read of a chunk begins with the newest; the chunk's start is in it, its end is not."""
    await states(hass, freezer, {25: "1", 24: "2", 3: "3", 0: "4"})
    chunk = await read(hass, POWER_FIELD)
    assert chunk is not None
    assert list(seen(chunk).items()) == [(24, 2000.0), (3, 3000.0)]
    times = [sample.time for sample in chunk.samples]
    assert times == sorted(times, reverse=True)


async def test_last_state_before_a_crash(
    hass: HomeAssistant, freezer: FrozenDateTimeFactory
) -> None:
    """A value that was the last thing to be written is sent, and holds no longer than that."""
    await states(hass, freezer, {5: "1", 4: "2", 1: "3"})
    await crash(hass, back=1)
    assert seen(await read(hass, POWER_FIELD)) == {5: 1000.0, 4: 2000.0, 1: 3000.0}
    heartbeat = SamplingPolicy(heartbeat=timedelta(hours=0.75))
    assert seen(await read(hass, POWER_FIELD, heartbeat)) == {
        5: 1000.0,
        4.25: 1000.0,
        4: 2000.0,
        1: 3000.0,
        0.25: 3000.0,
    }
    # A chunk that begins while nobody measured begins with nothing
    assert min(seen(await read(hass, POWER_FIELD, heartbeat, hours=2))) == 0.25
    assert max(seen(await read(hass, POWER_FIELD, QUARTERS, hours=2))) == 1


async def test_statistics_of_an_outage(
    hass: HomeAssistant, freezer: FrozenDateTimeFactory
) -> None:
    """Statistics that the next start made up for an outage are left out, those of its edges are not."""
    await states(hass, freezer, {4.5: "1"}, entity_id="sensor.other")
    await add_means(
        hass, "hour", POWER, "kW", {before(hours=n): float(n) for n in range(1, 8)}
    )
    await crash(hass, back=1.5)
    assert seen(await read(hass, POWER_FIELD)) == {
        n: 1000.0 * n for n in (7, 6, 5, 2, 1)
    }


async def test_text_has_no_statistics(
    hass: HomeAssistant, freezer: FrozenDateTimeFactory
) -> None:
    """Of a field of texts no number is sent, whatever statistics there are of its entity."""
    await states(hass, freezer, {2: "7", 1: "E031"}, {"a": "b"}, "sensor.code")
    await add_means(hass, "hour", "sensor.code", None, {before(hours=6): 3.0})
    field = ExportedField("sensor.code", "code", kind=FieldKind.TEXT)
    assert seen(await read(hass, field)) == {2: "7", 1: "E031"}


async def test_counter(hass: HomeAssistant, freezer: FrozenDateTimeFactory) -> None:
    """Of a counter the last value of an interval is sent, whatever is set for the export."""
    kwh = {"unit_of_measurement": "kWh", "state_class": "total_increasing"}
    await states(hass, freezer, {1: "1", 0.9: "3"}, kwh, "sensor.meter")
    field = ExportedField("sensor.meter", "importedAbsEnergyTot_Wh")
    assert seen(await read(hass, field, QUARTERS)) == {
        0.75: 3000.0,
        0.5: 3000.0,
        0.25: 3000.0,
        0.0: 3000.0,
    }


async def test_unusable(hass: HomeAssistant, freezer: FrozenDateTimeFactory) -> None:
    """A state that means nothing is counted, unless it says that there is no value."""
    await states(hass, freezer, {3: "1", 2: "unknown", 1: "no number"})
    chunk = await read(hass, POWER_FIELD)
    assert seen(chunk) == {3: 1000.0}
    assert chunk is not None
    assert chunk.unusable == 1


async def test_too_much(hass: HomeAssistant, freezer: FrozenDateTimeFactory) -> None:
    """More than a chunk should have is not returned; a reading can be stopped."""
    await states(hass, freezer, {n: str(n) for n in range(1, 6)})
    assert len(seen(await read(hass, POWER_FIELD, at_most=5))) == 5
    assert await read(hass, POWER_FIELD, at_most=4) is None
    with pytest.raises(StoppedError):
        await read(hass, POWER_FIELD, stopped=True)


def at(minute: float) -> datetime:
    """Return a time by minutes after noon."""
    return NOON + timedelta(minutes=minute)


def made(
    policy: SamplingPolicy,
    observed: Iterable[tuple[float, float | None]],
    *,
    since: float = 0,
    until: float = 60,
    end: float | None = None,
) -> list[tuple[float, object]]:
    """Return what comes of values, by minutes after noon."""
    values = ((at(minute), value) for minute, value in observed)
    samples = replay(
        policy,
        FieldKind.NUMBER,
        values,
        at(since),
        at(until),
        at(until if end is None else end),
    )
    return [((time - NOON) / timedelta(minutes=1), value) for time, value in samples]


def test_changes() -> None:
    """A change belongs to the chunk that its time lies in, the start included and the end not."""
    observed = [(-1, 1.0), (0, 2.0), (30, 3.0), (60, 4.0)]
    assert made(SamplingPolicy(), observed) == [(0, 2.0), (30, 3.0)]
    assert made(SamplingPolicy(), observed, since=-10, until=0) == [(-1, 1.0)]
    assert made(SamplingPolicy(), observed, since=60, until=90) == [(60, 4.0)]


def test_heartbeat() -> None:
    """An unchanged value is repeated for as long as it was known."""
    policy = SamplingPolicy(heartbeat=timedelta(minutes=10))
    assert made(policy, [(0, 1.0), (25, None), (55, 2.0)]) == [
        *((0, 1.0), (10, 1.0), (20, 1.0)),
        (55, 2.0),
    ]


@pytest.mark.parametrize(
    ("aggregate", "wanted"),
    [
        (Aggregate.LAST, [(15, 1.0), (30, 2.0), (60, 3.0)]),
        (Aggregate.MEAN, [(0, 1.0), (15, 2.0), (45, 3.0)]),
    ],
)
def test_intervals(aggregate: Aggregate, wanted: list[tuple[float, float]]) -> None:
    """Intervals end one after the other, however far states are apart; nothing is sent while nobody looked."""
    policy = SamplingPolicy(
        Mode.INTERVAL, interval=timedelta(minutes=15), aggregate=aggregate
    )
    observed = [(-15, 1.0), (15, 2.0), (30, None), (45, 3.0)]
    assert made(policy, observed) == wanted
    # The same in two chunks as in one
    assert (
        made(policy, observed[:3], until=30)
        + made(policy, [(15, 2.0), *observed[2:]], since=30)
        == wanted
    )


def test_shortest() -> None:
    """A change that comes too soon is sent once the distance has passed, and not where the next takes its place."""
    policy = SamplingPolicy(shortest=timedelta(minutes=10))
    observed = [(0, 1.0), (5, 2.0), (7, 3.0), (58, 4.0), (59, 5.0)]
    assert made(policy, observed, end=65) == [(0, 1.0), (7, 3.0), (58, 4.0), (59, 5.0)]
    observed.append((61, 6.0))
    assert made(policy, observed, end=70) == [(0, 1.0), (7, 3.0), (58, 4.0)]


def test_at_one_time() -> None:
    """Of what is observed at one time nothing is passed over; the last holds on."""
    policy = SamplingPolicy(Mode.INTERVAL, interval=timedelta(minutes=30))
    assert made(SamplingPolicy(), [(5, 1.0), (5, 2.0)]) == [(5, 1.0), (5, 2.0)]
    assert made(policy, [(5, 1.0), (5, None)]) == []


def test_begun_within_an_interval() -> None:
    """What begins within an interval has no sample of a time before it."""
    policy = SamplingPolicy(
        Mode.INTERVAL, interval=timedelta(minutes=30), aggregate=Aggregate.MEAN
    )
    assert made(policy, [(-5, 1.0), (40, 2.0)], since=10) == [(30, 5 / 3)]
    last = replace(policy, aggregate=Aggregate.LAST)
    assert made(last, [(-5, 1.0), (40, 2.0)], since=10) == [(30, 1.0), (60, 2.0)]
