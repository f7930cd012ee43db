"""Totals of inputs that are odd in ways that the other tests of totals are not."""

from datetime import datetime, timedelta
from typing import Any

from freezegun.api import FrozenDateTimeFactory
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.eniris.api import Device, SeriesInfo, StatementResult
from custom_components.eniris.const import DOMAIN
from custom_components.eniris.importing.energy import DAY, HOUR, Total
from custom_components.eniris.importing.nodes import Node
from custom_components.eniris.importing.totals import Totals
from homeassistant.core import HomeAssistant
from homeassistant.util import dt as dt_util
from simulator.server import Simulator
from tests.importing.test_energy import DELTA, NOON, answer
from tests.importing.test_totals import KEY, at, new_totals, want
from tests.kit.common import POLL, advance, set_up_frozen, settle, state_of
from tests.kit.series import MINUTE, NODE, NOW, POWER, SECOND, only, series, write


def test_long_outage_of_a_young_total() -> None:
    """A total that began within an hour does not go back when days are caught up with."""
    begun, off = NOON + 34 * 60, NOON + DAY + 50 * 60
    total = Total(0.0, begun)
    now = begun
    shown = 0.0

    def poll() -> None:
        for span in total.spans(now):
            minutes = len(range(max(span.start, begun), min(span.end, now, off), 60))
            total.take(span, float(minutes) if minutes else None, now)

    while now < off:
        now += 61
        poll()
    # Days without the service and without energy, or with the entity disabled
    now += 2 * DAY + 14 * HOUR
    for _ in range(10):
        assert total.is_known
        shown = total.value
        now += 61
        poll()
        assert total.value >= shown


def both(*policies: str) -> dict[str, Node]:
    """Return a node that has the same energy under some retention policies."""
    return {
        "n": Node(
            Device(
                "n",
                series=tuple(
                    SeriesInfo("db", policy, "m", (("nodeId", "n"),), (DELTA,))
                    for policy in policies
                ),
            ),
            None,
        )
    }


def poll_totals(
    totals: Totals, nodes: dict[str, Node], now: int, until: dict[str, int]
) -> None:
    """Poll, where the node counts 1 Wh a second, and each policy has rows up to a moment."""
    sums = []
    for query in totals.queries(nodes, at(now)):
        energy = min(query.span.end, until[query.series.retention_policy]) - max(
            query.span.start, NOON
        )
        result = answer(float(energy)) if energy > 0 else StatementResult([])
        sums.append((query, result))
    totals.take(sums, at(now), at(now))


@pytest.mark.parametrize(("policy", "step"), [("rp_one_m", 60), ("rp_ten_m", 600)])
async def test_total_does_not_go_back_at_a_start(
    hass: HomeAssistant, policy: str, step: int
) -> None:
    """What was counted by the second goes on from there after a start of Home Assistant."""
    nodes = both("rp_one_s", policy)
    totals = new_totals(hass)
    await want(totals, KEY)
    now = NOON + 30
    while now < NOON + 1170:
        poll_totals(totals, nodes, now, {"rp_one_s": now, policy: now - now % step})
        now += 60
    now -= 60
    shown = totals.value(KEY)
    assert shown == now - NOON
    await totals.async_save()
    again = new_totals(hass, now)
    await again.async_load(MockConfigEntry(entry_id="entry", unique_id="1"))
    await want(again, KEY, now=now)
    now += 5
    poll_totals(again, nodes, now, {"rp_one_s": now, policy: now - now % step})
    value = again.value(KEY)
    assert value is None or value >= shown


@pytest.mark.parametrize(("policy", "step"), [("rp_one_m", 60), ("rp_ten_m", 600)])
async def test_total_does_not_go_back_in_an_outage(
    hass: HomeAssistant, policy: str, step: int
) -> None:
    """A controller that goes off-line before an hour ends takes nothing back of what it counted."""
    nodes = both("rp_one_s", policy)
    totals = new_totals(hass)
    await want(totals, KEY)
    off = NOON + 2510
    shown = 0.0
    for now in range(NOON + 30, NOON + 2 * HOUR, 60):
        last = min(now, off)
        poll_totals(totals, nodes, now, {"rp_one_s": last, policy: last - last % step})
        value = totals.value(KEY)
        assert value is not None
        assert value >= shown, now - NOON
        shown = value


async def test_seldom_written_counter_that_begins_anew(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> None:
    """A counter of which each answer has one row falls to zero once a second row confirms it."""
    freezer.move_to(NOW)
    counter = "importedAbsEnergyTot_Wh"
    only(simulator, series("rp_one_s"), fields=[counter, POWER])
    by_second = series("rp_one_s")
    write(simulator, by_second, NOW - SECOND, **{counter: 5000.0})
    entry = await set_up_frozen(hass, freezer, user_input, None)
    assert float(state_of(hass, entry, NODE, counter)) == 5
    seen = set()
    for number in range(40):
        freezer.tick(POLL)
        for ago in range(60):
            write(simulator, by_second, dt_util.utcnow() - ago * SECOND, **{POWER: 1.0})
        if number % 3 == 0:
            moment = dt_util.utcnow() - SECOND
            write(simulator, by_second, moment, **{counter: 0.0 if number else 6000.0})
        await advance(hass, freezer, timedelta())
        if number > 8:
            seen.add(float(state_of(hass, entry, NODE, counter)))
    assert seen == {0}


@pytest.mark.parametrize("is_cluster", [True, False])
async def test_dates_that_are_odd_now_and_then(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
    monkeypatch: pytest.MonkeyPatch,
    is_cluster: bool,
) -> None:
    """Where one of two servers is two minutes ahead, or ours 60.5 s behind, nothing is asked more often."""
    freezer.move_to(NOW)
    only(simulator, series("rp_one_s"), fields=[POWER])
    write(simulator, series("rp_one_s"), NOW, **{POWER: 1.0})
    entry = await set_up_frozen(hass, freezer, user_input, None)
    session = entry.runtime_data.session
    query_telemetry = session.query_telemetry
    asked: list[datetime] = []

    async def query(queries: Any) -> Any:
        answer = await query_telemetry(queries)
        asked.append(dt_util.utcnow())
        if is_cluster and len(asked) % 2:
            answer.time = dt_util.utcnow() + 2 * MINUTE
        elif not is_cluster:
            answer.time = (dt_util.utcnow() + 60.5 * SECOND).replace(microsecond=0)
        return answer

    monkeypatch.setattr(session, "query_telemetry", query)
    shown = []
    for number in range(570):
        freezer.tick(6.37 * SECOND)
        write(simulator, series("rp_one_s"), dt_util.utcnow(), **{POWER: float(number)})
        await advance(hass, freezer, timedelta())
        shown.append(number - float(state_of(hass, entry, NODE, POWER)))
    assert len(asked) <= 63, (len(asked), max(shown))


async def test_total_begun_after_our_clock_went_back(hass: HomeAssistant) -> None:
    """A total that is new when our clock has just jumped back counts no days of the past."""
    totals = new_totals(hass)
    await want(totals, KEY, now=NOON - 3 * DAY)
    for step in range(20):
        now, true = NOON - 3 * DAY + 60 * step, NOON + 60 * step
        sums = []
        for query in totals.queries(both("rp_one_m"), at(now)):
            energy = min(query.span.end, true) - query.span.start
            result = answer(float(energy)) if energy > 0 else StatementResult([])
            sums.append((query, result))
        totals.take(sums, at(now), at(true))
    assert (totals.value(KEY) or 0) <= HOUR


@pytest.mark.parametrize(
    ("start", "parts", "others"), [(309, 4, 4), (1716, 3, 0), (1171, 4, 2), (249, 4, 3)]
)
async def test_total_does_not_go_back_in_parts(
    hass: HomeAssistant, start: int, parts: int, others: int
) -> None:
    """Where a poll asks for a part of everything, a total goes on from the series that it was counted from."""
    nodes = both("rp_one_m", "rp_ten_m")
    totals = new_totals(hass)
    await want(totals, KEY, now=NOON + start + 61)
    shown = 0.0
    for number in range(720):
        now = NOON + start + 61 * (number + 1)
        # What is written takes two seconds to arrive
        until = {
            policy: (now - 2) // step * step
            for policy, step in (("rp_one_m", 60), ("rp_ten_m", 600))
        }
        asked = [None] * others + list(totals.queries(nodes, at(now)))
        sums = []
        for query in asked[number % parts :: parts]:
            if query is not None:
                policy = query.series.retention_policy
                energy = min(query.span.end, until[policy]) - query.span.start
                told = answer(float(energy)) if energy > 0 else StatementResult([])
                sums.append((query, told))
        totals.take(sums, at(now), at(now))
        value = totals.value(KEY)
        if value is not None:
            assert value >= shown, number
            shown = value


async def test_sensor_does_not_go_back_at_a_start(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> None:
    """What an account that was added soon after the full hour has counted goes on from there after a start of Home Assistant."""
    hour = NOW.replace(minute=0, second=0)
    freezer.move_to(hour + 5 * MINUTE)
    by_second, by_ten = series("rp_one_s"), series("rp_ten_m")
    only(simulator, by_second, by_ten, fields=[DELTA])

    def measure(start: datetime, end: datetime) -> None:
        """Count 10 Wh a second, of which ten minutes are told when they are over."""
        while start < end:
            write(simulator, by_second, start, **{DELTA: 10.0})
            start += SECOND
            if not start.second and not start.minute % 10:
                write(simulator, by_ten, start - 10 * MINUTE, **{DELTA: 6000.0})

    measure(hour, dt_util.utcnow())
    entry = await set_up_frozen(hass, freezer, user_input, None)
    for _ in range(12):
        before = dt_util.utcnow()
        freezer.tick(POLL)
        measure(before, dt_util.utcnow())
        await advance(hass, freezer, timedelta())
    before, shown = dt_util.utcnow(), float(state_of(hass, entry, NODE, DELTA))
    assert shown == pytest.approx((before - hour).total_seconds() / 100)
    await hass.config_entries.async_unload(entry.entry_id)
    hass.data.pop(f"{DOMAIN}_totals")
    freezer.tick(5 * SECOND)
    measure(before, dt_util.utcnow())
    await hass.config_entries.async_setup(entry.entry_id)
    await settle(hass)
    assert float(state_of(hass, entry, NODE, DELTA)) >= shown
