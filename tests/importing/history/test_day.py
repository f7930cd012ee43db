"""Days of the past that are odd: misread meters, answers of another shape, no data for years."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from freezegun.api import FrozenDateTimeFactory
import pytest

from custom_components.eniris.api import (
    StatementResult,
    TelemetryAnswer,
    TelemetryQuery,
)
from custom_components.eniris.api.telemetry import parse_statements
from custom_components.eniris.data import EnirisConfigEntry
from homeassistant.components.recorder.core import Recorder
from homeassistant.core import HomeAssistant
from homeassistant.util import dt as dt_util
from simulator.server import Simulator
from tests.kit.common import entity_id_of, set_up_frozen
from tests.kit.history import (
    COUNTER,
    DAY,
    HOUR,
    IMPORTED,
    MINUTE,
    NOW,
    POWER,
    THIS_HOUR,
    account_state,
    asked_of_the_past,
    counted_by,
    import_since,
    kept,
    live_with,
    measure,
    only_a_meter,
)
from tests.kit.meter import METER
from tests.kit.recorded import live
from tests.kit.series import NODE, only, series, write

pytestmark = pytest.mark.usefixtures("place_and_time")


# Misread counters


@pytest.mark.parametrize(
    "misread",
    [
        # Minutes before noon that show something else
        {200: 0.0},
        {200: 9_500_000.0},
        {200: 9_999_000.0},
        {200: -1.0},
        {200: 99_000_000.0},
        dict.fromkeys(range(200, 206), 0.0),
        dict.fromkeys(range(190, 400), 0.0),
        # In the last minute of an hour, in the first, in both
        {181: 0.0},
        {180: 0.0},
        {181: 0.0, 180: 0.0},
        # At midnight, on either side, and for hours on both
        {721: 0.0},
        {720: 0.0},
        dict.fromkeys(range(715, 725), 0.0),
        dict.fromkeys(range(600, 800), 0.0),
        dict.fromkeys(range(600, 800), 9_000_000.0),
        # Two rows far too high, also over an hour and over midnight, and one of them 0
        {201: 99_000_000.0, 200: 99_000_000.0},
        {181: 99_000_000.0, 180: 99_000_000.0},
        {721: 10_500_000.0, 720: 10_500_000.0},
        {200: 99_000_000.0, 199: 0.0},
        {200: 0.0, 199: 99_000_000.0},
        # The first row of all, which was not read yet
        {1200: 0.0},
    ],
    ids=lambda misread: f"{max(misread)}-{min(misread)}-{min(misread.values()):.0f}",
)
async def test_counter_that_is_misread(
    recorder_mock: Recorder,
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
    misread: Mapping[int, float],
) -> None:
    """What the next rows take back counts nothing, and what flowed meanwhile is not lost."""
    only_a_meter(simulator, COUNTER)
    noon = datetime(2026, 7, 15, 12, tzinfo=UTC)
    shown = 10_000_000.0
    for minute in range(1200, 17, -1):
        shown += 10
        reading = misread.get(minute, shown)
        measure(simulator, noon - minute * MINUTE, **{COUNTER: reading})
    entry = await set_up_frozen(hass, freezer, user_input, None)
    await live_with(
        hass, freezer, simulator, dt_util.utcnow() + 9 * MINUTE, **{COUNTER: shown}
    )
    await import_since(hass, freezer, entry, NOW - 2 * DAY)
    counted = await counted_by(hass, entity_id_of(hass, entry, METER, COUNTER))
    first = 1199 if 1200 in misread else 1200
    assert sum(counted.values()) == pytest.approx(10 * (first - 60), abs=11)
    hours = {noon - hours * HOUR for hours in range(2, 20)}
    gone = {
        noon - minute // 60 * HOUR - (minute % 60 > 0) * HOUR
        for minute in misread
        if len(misread) > 60
    }
    for hour in hours - {each + n * HOUR for each in gone for n in (0, 1)}:
        assert counted[hour] == pytest.approx(600, abs=61), hour
    assert min(counted.values()) >= 0


async def test_series_that_is_never_written(
    recorder_mock: Recorder,
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> None:
    """The past comes from the series that has it, also where metadata lists another that would be lighter."""
    by_second = series("rp_one_s")
    only(simulator, series("rp_one_m"), by_second, fields=[IMPORTED])
    # Also behind a day without any
    hours = [NOW - number * HOUR for number in (*range(1, 13), 60)]
    for moment in hours:
        write(simulator, by_second, moment, **{IMPORTED: 600.0})
    entry = await set_up_frozen(hass, freezer, user_input, None)
    while dt_util.utcnow() < NOW + 15 * MINUTE:
        write(simulator, by_second, dt_util.utcnow(), **{IMPORTED: 10.0})
        await live(hass, freezer, dt_util.utcnow() + MINUTE)
    await import_since(hass, freezer, entry, NOW - 4 * DAY)
    counted = await counted_by(hass, entity_id_of(hass, entry, NODE, IMPORTED))
    for moment in hours:
        hour = moment.replace(minute=0, second=0)
        assert counted[hour] == pytest.approx(600)


async def test_counter_that_is_exchanged_at_midnight(
    recorder_mock: Recorder,
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> None:
    """A new meter counts from zero, also where it shows as much as the old one within hours."""
    only_a_meter(simulator, COUNTER)
    midnight = datetime(2026, 7, 15, tzinfo=UTC)
    for minute in range(-300, 702):
        reading = minute * 10.0 if minute >= 0 else 3500.0 + minute * 10
        measure(simulator, midnight + minute * MINUTE, **{COUNTER: reading})
    entry = await set_up_frozen(hass, freezer, user_input, None)
    await live_with(
        hass, freezer, simulator, dt_util.utcnow() + 9 * MINUTE, **{COUNTER: 7010.0}
    )
    await import_since(hass, freezer, entry, midnight - 5 * HOUR)
    counted = await counted_by(hass, entity_id_of(hass, entry, METER, COUNTER))
    first = midnight - 5 * HOUR
    assert counted.pop(first) == pytest.approx(590, abs=1e-3)
    # The new meter's first row shows zero
    assert counted.pop(midnight) == pytest.approx(590, abs=1e-3)
    assert counted == pytest.approx(
        {first + n * HOUR: 600 for n in range(1, 16) if first + n * HOUR != midnight},
        abs=1e-3,
    )


SHAPES: Mapping[str, Callable[[float], object]] = {
    "two rows": lambda value: {
        "columns": ["time", "sum"],
        "values": [
            ["2026-07-15T00:00:00Z", value / 2],
            ["2026-07-15T00:30:00Z", value],
        ],
    },
    "no time": lambda value: {"columns": ["sum"], "values": [[value]]},
    "time is null": lambda value: {"columns": ["time", "a"], "values": [[None, value]]},
    "text": lambda value: {
        "columns": ["time", "sum"],
        "values": [["2026-07-15T00:00:00Z", str(value)]],
    },
    "wide": lambda value: {
        "columns": ["time", "sum", "count"],
        "values": [["2026-07-15T00:00:00Z", value, 60]],
    },
    "object": lambda value: {"sum": value},
}


@pytest.mark.parametrize("shape", SHAPES)
async def test_answers_of_another_shape(
    hass: HomeAssistant,
    meter: EnirisConfigEntry,
    freezer: FrozenDateTimeFactory,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    shape: str,
) -> None:
    """An aggregate that is not understood is told as left out, with the reason; nothing is made of it."""
    entity_id = entity_id_of(hass, meter, METER, IMPORTED)
    before = await counted_by(hass, entity_id)
    [result] = parse_statements([{"series": [SHAPES[shape](600.0)]}], 1)
    session: Any = meter.runtime_data.session
    query = session.query_telemetry

    async def query_telemetry(queries: list[TelemetryQuery]) -> TelemetryAnswer:
        answer: TelemetryAnswer = await query(queries)
        answer.results = [
            result if asked.end and asked.end <= THIS_HOUR else told
            for asked, told in zip(queries, answer.results, strict=True)
        ]
        return answer

    monkeypatch.setattr(session, "query_telemetry", query_telemetry)
    event = await import_since(hass, freezer, meter, THIS_HOUR - 6 * HOUR)
    power = entity_id_of(hass, meter, METER, POWER)
    assert event["rows"] == 0
    assert event["refused_queries"] >= 6
    assert event["left_out"] == sorted([entity_id, power])
    assert set(event["reasons"].values()) == {"no_usable_answer"}
    assert await counted_by(hass, entity_id) == before
    state = account_state(hass, meter, "history_progress")
    assert sorted(state.attributes["no_usable_answer"]) == event["left_out"]
    assert f"{entity_id} is not imported, or lacks" in caplog.text or (
        entity_id in caplog.text and "its answers are not understood" in caplog.text
    )


# Where there is no data


@pytest.mark.parametrize("tier", ["unlimited", "basic", "free"])
async def test_years_without_data(
    hass: HomeAssistant,
    meter: EnirisConfigEntry,
    simulator: Simulator,
    freezer: FrozenDateTimeFactory,
    tier: str,
) -> None:
    """What lies years back is found with few queries, and before 2000 nothing is asked."""
    simulator.tier = tier
    await live_with(
        hass,
        freezer,
        simulator,
        dt_util.utcnow() + 2 * MINUTE,
        **{IMPORTED: 10.0, POWER: 600.0},
    )
    old = datetime(2019, 3, 31, 7, tzinfo=UTC)
    older = datetime(2006, 1, 1, tzinfo=UTC)
    if tier == "free":
        old, older = NOW - 200 * DAY, NOW - 201 * DAY
        old, older = old.replace(minute=0, second=0), older.replace(minute=0, second=0)
    for hour in (old, older):
        measure(simulator, hour + MINUTE, **{IMPORTED: 70.0, POWER: 50.0})
    asked = len(asked_of_the_past(simulator))
    requests = simulator.log.count("POST /v1/telemetry/query")
    start = old - 600 * DAY if tier == "free" else datetime(1990, 1, 1, tzinfo=UTC)
    event = await import_since(hass, freezer, meter, start)
    assert event["refused_queries"] == 0
    assert event["left_out"] == []
    assert simulator.log.count("POST /v1/telemetry/query", 429) == 0
    counted = await counted_by(hass, entity_id_of(hass, meter, METER, IMPORTED))
    assert counted == pytest.approx(
        {THIS_HOUR - n * HOUR: 600 for n in range(1, 49)} | {old: 70, older: 70},
        abs=1e-3,
    )
    assert simulator.log.count("POST /v1/telemetry/query") - requests < 150
    starts = [
        statement["where"]["time"][0]["value"]
        for request in asked_of_the_past(simulator)[asked:]
        for statement in request.json
    ]
    assert min(starts) >= datetime(2000, 1, 1, tzinfo=UTC).timestamp() * 1000


async def test_fields_with_other_gaps(
    hass: HomeAssistant,
    meter: EnirisConfigEntry,
    simulator: Simulator,
    freezer: FrozenDateTimeFactory,
) -> None:
    """Of fields that share a series each is found where it has data itself."""
    old, older = THIS_HOUR - 20 * DAY, THIS_HOUR - 40 * DAY
    measure(simulator, old + MINUTE, **{POWER: 50.0})
    measure(simulator, older + MINUTE, **{IMPORTED: 70.0})
    asked = len(asked_of_the_past(simulator))
    event = await import_since(hass, freezer, meter, THIS_HOUR - 60 * DAY)
    assert event["left_out"] == []
    recent = {THIS_HOUR - n * HOUR for n in range(1, 49)}
    power = await kept(hass, entity_id_of(hass, meter, METER, POWER))
    assert power.keys() == recent | {old}
    counted = await counted_by(hass, entity_id_of(hass, meter, METER, IMPORTED))
    assert counted == pytest.approx(dict.fromkeys(recent, 600) | {older: 70}, abs=1e-3)
    queries = asked_of_the_past(simulator)[asked:]
    assert sum(len(request.json) for request in queries) < 200


async def test_search_that_is_refused(
    hass: HomeAssistant,
    meter: EnirisConfigEntry,
    freezer: FrozenDateTimeFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """If long spans are refused, shorter ones are asked; if all are, each day is asked for."""
    session: Any = meter.runtime_data.session
    query = session.query_telemetry
    longest = timedelta(days=3)
    asked: list[timedelta] = []

    async def query_telemetry(queries: list[TelemetryQuery]) -> TelemetryAnswer:
        answer: TelemetryAnswer = await query(queries)
        for number, each in enumerate(queries):
            if each.start and each.end and each.limit == 1:
                asked.append(each.end - each.start)
                if each.end - each.start > longest:
                    answer.results[number] = StatementResult([], "too long")
        return answer

    monkeypatch.setattr(session, "query_telemetry", query_telemetry)
    event = await import_since(hass, freezer, meter, THIS_HOUR - 30 * DAY)
    assert event["refused_queries"] == 0
    assert event["rows"] >= 96
    assert max(asked) > longest
    assert len(asked) < 40
    longest = timedelta()
    asked.clear()
    event = await import_since(hass, freezer, meter, THIS_HOUR - 6 * DAY)
    assert event["rows"] >= 96
    assert 0 < len(asked) < 20
