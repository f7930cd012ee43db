"""The totals of an account: what is asked for, how they begin, when they are known."""

from datetime import UTC, datetime, timedelta
from math import fsum
from typing import Any
from unittest.mock import Mock

from hypothesis import HealthCheck, given, settings, strategies as st
import orjson
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry
from sqlalchemy.exc import OperationalError

from custom_components.eniris.api import Device, SeriesInfo, StatementResult
from custom_components.eniris.api.telemetry import encode_queries
from custom_components.eniris.importing.nodes import Node
from custom_components.eniris.importing.plan import FieldKey
from custom_components.eniris.importing.totals import Totals, totals_store
from homeassistant.core import HomeAssistant
from homeassistant.helpers.recorder import DATA_INSTANCE

from .test_energy import DAY, DELTA, HOUR, NOON, OTHER, SERIES, answer

KEY, OTHER_KEY = FieldKey("n", "m", DELTA), FieldKey("n", "m", OTHER)
NODES = {"n": Node(Device("n", series=(SERIES,)), None)}


def at(seconds: int) -> datetime:
    """Return a time as the totals take it."""
    return datetime.fromtimestamp(seconds, UTC)


def new_totals(hass: HomeAssistant, now: int = NOON) -> Totals:
    """Return the totals of an account that has none yet; its service is known to have our time."""
    totals = Totals(hass, totals_store(hass, "entry"))
    totals.take([], at(now), at(now))
    return totals


async def want(totals: Totals, *keys: FieldKey, now: int = NOON) -> None:
    """Let entities show totals."""
    for key in keys:
        await totals.async_want(key, "sensor.none", at(now))


async def test_nothing_wanted(hass: HomeAssistant) -> None:
    """Nothing is asked of what nobody wants, and it has no value."""
    totals = new_totals(hass)
    assert not totals.queries(NODES, at(NOON))
    assert totals.value(KEY) is None
    await want(totals, KEY)
    assert totals.value(KEY) is None
    assert not totals.queries({}, at(NOON))
    assert totals.queries(NODES, at(NOON))
    totals.unwant(KEY)
    assert not totals.queries(NODES, at(NOON))


async def test_recorder_that_cannot_be_read(
    hass: HomeAssistant,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A total begins without what the recorder has of its entity."""

    def read(*_: object) -> None:
        raise OperationalError("select", None, Exception("locked"))

    monkeypatch.setattr("custom_components.eniris.importing.totals._last_shown", read)
    hass.config.components.add("recorder")
    instance: Any = Mock(async_add_executor_job=hass.async_add_executor_job)
    hass.data[DATA_INSTANCE] = instance
    totals = new_totals(hass)
    await want(totals, KEY)
    assert totals.queries(NODES, at(NOON))
    assert "sensor.none begins anew" in caplog.text
    caplog.clear()


async def test_fields_share_a_query(hass: HomeAssistant) -> None:
    """Fields of one series and span are summed by one query, a hundred at a time."""
    totals = new_totals(hass)
    await want(totals, KEY)
    await want(totals, OTHER_KEY)
    [query] = totals.queries(NODES, at(NOON + 60))
    assert query.fields == (OTHER, DELTA)
    [as_sent] = orjson.loads(encode_queries([query.query()]))
    assert as_sent == {
        "select": [
            {"field": OTHER, "function": "sum"},
            {"field": DELTA, "function": "sum"},
        ],
        "from": {
            "namespace": {
                "version": "1",
                "database": "db",
                "retentionPolicy": "rp_one_m",
            },
            "measurement": "m",
        },
        "where": {
            "time": [
                {"operator": ">=", "value": NOON * 1000},
                {"operator": "<", "value": (NOON + HOUR) * 1000},
            ],
            "tags": {"nodeId": "n"},
        },
        "orderBy": "ASC",
    }
    now = at(NOON + 60)
    totals.take([(query, answer(1, 2.5))], now, now)
    assert totals.value(OTHER_KEY) == 1
    assert totals.value(KEY) == 2.5

    many = tuple(f"d{number}_Wh" for number in range(250))
    series = SeriesInfo("db", "rp_one_m", "m", (("nodeId", "n"),), many)
    totals = new_totals(hass)
    for name in many:
        await want(totals, FieldKey("n", "m", name))
    queries = totals.queries(
        {"n": Node(Device("n", series=(series,)), None)}, at(NOON + 60)
    )
    assert [len(query.fields) for query in queries] == [100, 100, 50]
    for query in queries:
        query.query()


@pytest.mark.parametrize("with_source", [True, False])
async def test_stored_form(hass: HomeAssistant, with_source: bool) -> None:
    """What is stored comes back, also as it was stored at first, and is known when it was read again."""
    totals = new_totals(hass)
    await want(totals, KEY)
    now = at(NOON + 60)
    [query] = totals.queries(NODES, now)
    totals.take([(query, answer(3.25))], now, now)
    await totals.async_save()
    stored = await totals_store(hass, "entry").async_load()
    row = [*KEY, 0.0, NOON, [[NOON, 3.25, NOON + 60]]]
    assert stored == [[*row, "db", "rp_one_m"]]
    if not with_source:
        await totals_store(hass, "entry").async_save([row])
    again = new_totals(hass, NOON + 90)
    await again.async_load(MockConfigEntry(entry_id="entry", unique_id="1"))
    await want(again, KEY, now=NOON + 90)
    assert again.value(KEY) is None
    # What the service has lost by then stands
    [query] = again.queries(NODES, at(NOON + 120))
    again.take([(query, StatementResult([]))], at(NOON + 120), at(NOON + 120))
    assert again.value(KEY) == 3.25


async def test_hour_that_was_stored_before_it_was_over(hass: HomeAssistant) -> None:
    """More of it may have been shown: the total is not known before that hour was read again, the present one aside."""
    totals = new_totals(hass)
    await want(totals, KEY)
    now = at(NOON + 60)
    [query] = totals.queries(NODES, now)
    totals.take([(query, answer(3.25))], now, now)
    await totals.async_save()
    later = NOON + HOUR + 600
    again = new_totals(hass, later)
    await again.async_load(MockConfigEntry(entry_id="entry", unique_id="1"))
    await want(again, KEY, now=later)
    present, before = again.queries(NODES, at(later))
    assert (present.span.start, before.span.start) == (NOON + HOUR, NOON)
    again.take([(present, answer(1.0))], at(later), at(later))
    assert again.value(KEY) is None
    again.take([(before, answer(5.0))], at(later), at(later))
    assert again.value(KEY) == 6.0


def ask(totals: Totals, now: int, told: int | None) -> None:
    """Let a poll pass in which each span has an energy of 1 Wh, if it is not in the future."""
    queries = totals.queries(NODES, at(now))
    truth = now if told is None or told < now else told
    sums = [
        (query, answer(1.0) if query.span.start <= truth else StatementResult([]))
        for query in queries
    ]
    totals.take(sums, at(now), None if told is None else at(told))


@pytest.mark.parametrize("away", [-900 * DAY, -3 * DAY, -2 * HOUR, 2 * HOUR, 3 * DAY])
@pytest.mark.parametrize("odd", [(0,), (3,), (0, 1), (1, 3), (0, 1, 2)])
async def test_odd_dates(hass: HomeAssistant, away: int, odd: tuple[int, ...]) -> None:
    """An answer or two with an odd date change nothing: neither the beginning nor what is counted."""
    totals = Totals(hass, totals_store(hass, "entry"))
    for poll in range(8):
        now = NOON + 60 * poll
        # Those in a row differ by a minute
        ask(totals, now, NOON + away if poll in odd else now)
        if poll == 0:
            await want(totals, KEY)
    assert totals.value(KEY) == 1.0
    for poll in range(8, 600):
        now = NOON + 60 * poll
        ask(
            totals, now, now + away if poll % 7 == 0 else None if poll % 9 == 0 else now
        )
    assert totals.value(KEY) == 10.0


@pytest.mark.parametrize("away", [-900 * DAY, -3 * DAY, 2 * HOUR, 3 * DAY])
async def test_clock_that_is_wrong(hass: HomeAssistant, away: int) -> None:
    """A total that is new while our clock is wrong begins by the service's, and stays when ours is right."""
    totals = Totals(hass, totals_store(hass, "entry"))
    for poll in range(12):
        ask(totals, NOON + away + 60 * poll, NOON + 60 * poll)
        if poll == 0:
            await want(totals, KEY, now=NOON + away)
        if poll < 5:
            assert totals.value(KEY) is None
    assert totals.value(KEY) == 1.0
    for poll in range(12, 30):
        ask(totals, NOON + 60 * poll, NOON + 60 * poll)
    assert totals.value(KEY) == 1.0


async def test_no_dates(hass: HomeAssistant) -> None:
    """Without any date our clock counts."""
    totals = Totals(hass, totals_store(hass, "entry"))
    ask(totals, NOON, None)
    await want(totals, KEY)
    ask(totals, NOON + 60, None)
    assert totals.value(KEY) == 1.0


Event = tuple[int, int, int, bool]
"""Seconds until the next poll, and of a row: minutes since its time, its energy, whether it comes twice."""


@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    events=st.lists(
        st.tuples(
            st.sampled_from([10, 61, 61, 61, 700, 3601, 20_000, 90_000, 700_000]),
            st.integers(0, 23 * 60),
            st.integers(-50, 500),
            st.booleans(),
        ),
        max_size=40,
    ),
    fails=st.sets(st.integers(0, 40)),
    restarts=st.sets(st.integers(0, 40)),
)
async def test_rows_count_once(
    hass: HomeAssistant, events: list[Event], fails: set[int], restarts: set[int]
) -> None:
    """Rows that come late, polls that fail and restarts: in the end each row is counted once."""
    rows: dict[int, int] = {}
    now = NOON + 1200
    totals = new_totals(hass, now)
    await want(totals, KEY, now=now)

    def poll() -> None:
        queries = totals.queries(NODES, at(now))
        assert len(queries) <= 8
        sums = []
        for query in queries:
            inside = [
                energy
                for moment, energy in rows.items()
                if query.span.start <= moment < query.span.end
            ]
            result = answer(fsum(inside)) if inside else StatementResult([])
            sums.append((query, result))
        totals.take(sums, at(now), at(now))

    for _ in range(3):
        # A jump of the clock before would be a clock that was wrong
        poll()
    for number, (seconds, late, energy, twice) in enumerate(events):
        now += seconds
        moment = now - 60 * late
        rows[moment] = energy
        if twice:
            rows[moment] = energy
        if number in restarts:
            await totals.async_save()
            totals = new_totals(hass, now)
            await totals.async_load(MockConfigEntry(entry_id="entry", unique_id="1"))
            await want(totals, KEY, now=now)
        if number not in fails:
            poll()
    # What is known at once is what is not late; the rest comes within half an hour
    for _ in range(60):
        now += 61
        poll()
    expected = fsum(energy for moment, energy in rows.items() if moment >= NOON)
    assert totals.value(KEY) == pytest.approx(expected)
    now += int(timedelta(days=9).total_seconds())
    for _ in range(12):
        now += 61
        poll()
    assert totals.value(KEY) == pytest.approx(expected)
