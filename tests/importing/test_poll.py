"""What a poll shows: rows of the future, of late and of absent data, and fields that are seldom written."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from freezegun.api import FrozenDateTimeFactory
import pytest
from pytest_homeassistant_custom_component.common import async_fire_time_changed

from custom_components.eniris.api import (
    Device,
    QueryCost,
    SeriesInfo,
    StatementResult,
    TelemetryAnswer,
    TelemetryQuery,
    UnprocessableError,
)
from custom_components.eniris.const import CONF_IMPORT, CONF_INTERVAL
from custom_components.eniris.importing import poll
from custom_components.eniris.importing.budget.poll_rate import PollRate
from custom_components.eniris.importing.coordinator import KEPT
from custom_components.eniris.importing.nodes import Node
from custom_components.eniris.importing.plan import Preference, plan_queries
from custom_components.eniris.importing.poll import Poll
from homeassistant.const import STATE_UNAVAILABLE
from homeassistant.core import HomeAssistant
from homeassistant.helpers.entity import Entity
from homeassistant.util import dt as dt_util
from simulator.model import FieldValue
from simulator.server import Simulator
from simulator.world import HomeWorld
from tests.kit.common import (
    METADATA_POLL,
    POLL,
    advance,
    advance_in_polls,
    set_up_frozen,
    settle,
    state_of,
)
from tests.kit.series import (
    FREQUENCY,
    HOUR,
    MINUTE,
    NODE,
    NOW,
    POWER,
    SECOND,
    only,
    series,
    write,
)

PATH = "/v1/telemetry/query"


@pytest.fixture(autouse=True)
def all_enabled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Enable the entities that are registered as disabled otherwise."""
    monkeypatch.setattr(
        Entity, "entity_registry_enabled_default", property(lambda _: True)
    )


@pytest.mark.parametrize("policy", ["rp_one_s", "rp_one_m", "rp_ten_m"])
@pytest.mark.parametrize("ahead", [2 * SECOND, 3 * HOUR, 30_000 * HOUR])
async def test_rows_ahead(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
    policy: str,
    ahead: timedelta,
) -> None:
    """The newest row that is not after now is shown, that of this very moment included."""
    freezer.move_to(NOW)
    only(simulator, series(policy), fields=[POWER])
    write(simulator, series(policy), NOW + ahead, **{POWER: 9000.0})
    write(simulator, series(policy), NOW, **{POWER: 1.0})
    entry = await set_up_frozen(hass, freezer, user_input, None)
    assert float(state_of(hass, entry, NODE, POWER)) == 1
    # What is written by the ten minutes is asked for every five
    freezer.tick(5 * MINUTE if policy == "rp_ten_m" else POLL)
    write(simulator, series(policy), dt_util.utcnow() - SECOND, **{POWER: 2.0})
    write(simulator, series(policy), dt_util.utcnow() + HOUR, **{POWER: 9001.0})
    await advance(hass, freezer, timedelta())
    assert float(state_of(hass, entry, NODE, POWER)) == 2


@pytest.mark.parametrize("policy", ["rp_one_m", "rp_ten_m", "rp_whatever"])
@pytest.mark.parametrize("every", [15 * MINUTE, 12 * HOUR])
async def test_price_holds_until_the_next(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
    policy: str,
    every: timedelta,
) -> None:
    """A row of `planning` is the state until the next one begins, and never unavailable between."""
    freezer.move_to(NOW)
    planning = series(policy, "planning")
    only(simulator, planning, fields=["buyPrice_perkWh"])
    start = NOW.replace(minute=0, second=0)
    for step in range(-(-4 * HOUR // every)):
        write(simulator, planning, start + step * every, buyPrice_perkWh=float(step))
    entry = await set_up_frozen(hass, freezer, user_input, None)
    while dt_util.utcnow() < start + 3 * HOUR:
        expected = (dt_util.utcnow() - start) // every
        assert float(state_of(hass, entry, NODE, "buyPrice_perkWh")) == expected
        for _ in range(6):
            await advance(hass, freezer, 10 * SECOND)
            assert state_of(hass, entry, NODE, "buyPrice_perkWh") != STATE_UNAVAILABLE
        freezer.tick(SECOND)
        await advance(hass, freezer, timedelta())


@pytest.mark.parametrize("time", ["9999-12-31T23:59:59.999999999Z", "1677-01-01", 9e15])
async def test_impossible_time_costs_its_row(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
    time: Any,
) -> None:
    """A row with a time that InfluxDB cannot store is left out; the others count."""
    freezer.move_to(NOW)
    only(simulator, series("rp_one_m"), fields=[POWER])
    write(simulator, series("rp_one_m"), NOW - MINUTE, **{POWER: 1.0})
    entry = await set_up_frozen(hass, freezer, user_input, None)
    rows = [[time, 9000.0], [(NOW + MINUTE).isoformat(), 2.0]]
    answer = {"name": "x", "tags": {}, "columns": ["time", POWER], "values": rows}
    simulator.faults.add(PATH, "json", body=[{"statement_id": 0, "series": [answer]}])
    await advance(hass, freezer, 75 * SECOND)
    assert entry.runtime_data.telemetry.last_update_success
    assert float(state_of(hass, entry, NODE, POWER)) == 2


@pytest.mark.parametrize(
    ("seconds", "late"),
    [(10, 0.5), (10, 1.2), (10, 11), (60, 0.5), (60, 1.2), (60, 1.8)],
)
async def test_late_data(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
    seconds: int,
    late: float,
) -> None:
    """What arrives within two polls or two minutes is shown from the first poll on, and is available all the time."""
    freezer.move_to(NOW)
    only(simulator, series("rp_one_s"), fields=[POWER])
    interval = seconds * SECOND

    def measure() -> None:
        newest = dt_util.utcnow() - late * interval
        for number in range(seconds + 5):
            moment = (newest - number * SECOND).replace(microsecond=0)
            write(simulator, series("rp_one_s"), moment, **{POWER: 7.0})

    measure()
    entry = await set_up_frozen(hass, freezer, user_input, None)
    hass.config_entries.async_update_entry(
        entry, options={CONF_IMPORT: {CONF_INTERVAL: seconds}}
    )
    await settle(hass)
    for _ in range(40):
        freezer.tick(interval / 4)
        measure()
        await advance(hass, freezer, timedelta())
        assert float(state_of(hass, entry, NODE, POWER)) == 7


async def test_next_retention_policy(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> None:
    """A field that the finest policy does not bring is read from the next, and from the finest again later."""
    freezer.move_to(NOW)
    by_second, by_minute = series("rp_one_s"), series("rp_one_m")
    only(simulator, by_minute, by_second, series("rp_ten_m"), fields=[POWER, FREQUENCY])

    def measure(**of_seconds: FieldValue) -> None:
        moment = dt_util.utcnow() - 2 * SECOND
        write(simulator, by_second, moment, **of_seconds)
        write(simulator, by_minute, moment - MINUTE, **{POWER: 60.0, FREQUENCY: 50.0})

    measure(**{FREQUENCY: 49.0})
    entry = await set_up_frozen(hass, freezer, user_input, None)
    measure(**{FREQUENCY: 49.0})
    await advance(hass, freezer)
    assert float(state_of(hass, entry, NODE, POWER)) == 60
    # The other one stays with the finest
    assert float(state_of(hass, entry, NODE, FREQUENCY)) == 49
    for _ in range(METADATA_POLL // POLL + 3):
        freezer.tick(POLL)
        measure(**{FREQUENCY: 49.0, POWER: 1.0})
        await advance(hass, freezer, timedelta())
        assert state_of(hass, entry, NODE, POWER) != STATE_UNAVAILABLE
    assert float(state_of(hass, entry, NODE, POWER)) == 1


async def test_silent_node(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> None:
    """A node without any data is asked for one policy at a poll, and the finest shows when it is back."""
    freezer.move_to(NOW)
    policies = [series(policy) for policy in ("rp_one_m", "rp_one_s", "rp_ten_m")]
    only(simulator, *policies, fields=[POWER])
    entry = await set_up_frozen(hass, freezer, user_input, None)
    await advance_in_polls(hass, freezer, 10 * MINUTE)
    [query] = entry.runtime_data.telemetry.poll.queries
    assert query.series.retention_policy == "rp_one_s"
    freezer.tick(POLL)
    write(simulator, series("rp_one_s"), dt_util.utcnow(), **{POWER: 3.0})
    await advance(hass, freezer, timedelta())
    assert float(state_of(hass, entry, NODE, POWER)) == 3


@pytest.mark.parametrize("seconds", [60, 900, 3600])
async def test_finest_is_never_written(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
    seconds: int,
) -> None:
    """The next policy is read at long intervals, too, and at once when it pauses and goes on."""
    freezer.move_to(NOW)
    only(simulator, series("rp_one_s"), series("rp_one_m"), fields=[POWER])
    write(simulator, series("rp_one_m"), NOW, **{POWER: 1.0})
    entry = await set_up_frozen(hass, freezer, user_input, None)
    hass.config_entries.async_update_entry(
        entry, options={CONF_IMPORT: {CONF_INTERVAL: seconds}}
    )
    await settle(hass)
    interval = (seconds + 1) * SECOND

    async def look(polls: int) -> list[str]:
        seen = []
        for _ in range(polls):
            freezer.tick(interval)
            moment = dt_util.utcnow() - 5 * SECOND
            write(simulator, series("rp_one_m"), moment, **{POWER: 1.0})
            await advance(hass, freezer, timedelta())
            seen.append(state_of(hass, entry, NODE, POWER))
        return seen

    assert set(await look(20)) == {"1"}
    for _ in range(8):
        await advance(hass, freezer, interval)
    assert state_of(hass, entry, NODE, POWER) == STATE_UNAVAILABLE
    assert set((await look(20))[2:]) == {"1"}


async def test_older_row_of_coarser_policy(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> None:
    """What the next policy has is not shown while it is older than what was shown before."""
    freezer.move_to(NOW)
    only(simulator, series("rp_one_s"), series("rp_ten_m"), fields=[POWER])
    write(simulator, series("rp_one_s"), NOW, **{POWER: 2.0})
    write(simulator, series("rp_ten_m"), NOW - 2 * MINUTE, **{POWER: 1.0})
    entry = await set_up_frozen(hass, freezer, user_input, None)
    for _ in range(8):
        await advance(hass, freezer)
        assert state_of(hass, entry, NODE, POWER) in ("2", STATE_UNAVAILABLE)
    assert state_of(hass, entry, NODE, POWER) == "2"
    write(simulator, series("rp_ten_m"), NOW + 8 * MINUTE, **{POWER: 3.0})
    await advance_in_polls(hass, freezer, 5 * MINUTE)
    assert state_of(hass, entry, NODE, POWER) == "3"


@pytest.mark.expected_log("fetching Eniris devices data")
async def test_first_nodes_come_late(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> None:
    """However long the interval, what is read first does not wait for it when the metadata was late."""
    entry = await set_up_frozen(hass, freezer, user_input)
    hass.config_entries.async_update_entry(
        entry, options={CONF_IMPORT: {CONF_INTERVAL: 3600}}
    )
    await settle(hass)
    assert await hass.config_entries.async_unload(entry.entry_id)
    hass.data[KEPT].clear()
    simulator.faults.add("/v1/device/query", "drop", times=1)
    assert await hass.config_entries.async_setup(entry.entry_id)
    await settle(hass)
    await advance_in_polls(hass, freezer, 3 * POLL)
    assert state_of(hass, entry, HomeWorld.GRID_METER, POWER) != STATE_UNAVAILABLE


async def test_slow_answers(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A service that takes longer than an interval to answer makes nothing unavailable."""
    freezer.move_to(NOW)
    only(simulator, series("rp_one_s"), fields=[POWER])
    write(simulator, series("rp_one_s"), NOW, **{POWER: 7.0})
    entry = await set_up_frozen(hass, freezer, user_input, None)
    hass.config_entries.async_update_entry(
        entry, options={CONF_IMPORT: {CONF_INTERVAL: 10}}
    )
    await settle(hass)
    session = entry.runtime_data.session
    query_telemetry = session.query_telemetry
    seen = []

    async def query(queries: Sequence[TelemetryQuery]) -> TelemetryAnswer:
        answer = await query_telemetry(queries)
        for _ in range(12):
            freezer.tick(SECOND)
            async_fire_time_changed(hass)
            for _ in range(30):
                await asyncio.sleep(0)
            seen.append(state_of(hass, entry, NODE, POWER))
        return answer

    monkeypatch.setattr(session, "query_telemetry", query)
    for _ in range(8):
        freezer.tick(11 * SECOND)
        write(simulator, series("rp_one_s"), dt_util.utcnow(), **{POWER: 7.0})
        await advance(hass, freezer, timedelta())
    # Nobody knew of the first that it would take so long
    assert set(seen[12:]) == {"7"}


async def measured_every(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    simulator: Simulator,
    gap: timedelta,
    look: Callable[[], None],
    polls: int,
) -> None:
    """Let a field be written every `gap`, another every second, and look after each of some polls."""
    for _ in range(polls):
        before = dt_util.utcnow()
        freezer.tick(10 * SECOND)
        for number in range(1, 11):
            moment = (before + number * SECOND).replace(microsecond=0)
            fields: dict[str, FieldValue] = {POWER: float(number)}
            if int(moment.timestamp()) % int(gap.total_seconds()) == 0:
                fields[FREQUENCY] = 50.0
            write(simulator, series("rp_one_s"), moment, **fields)
        await advance(hass, freezer, timedelta())
        look()


@pytest.mark.parametrize("gap", [10 * SECOND, 30 * SECOND, MINUTE])
async def test_seldom_written(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
    gap: timedelta,
) -> None:
    """At short intervals a field that is seldom written stays available, over reloads too."""
    freezer.move_to(NOW)
    only(simulator, series("rp_one_s"), fields=[POWER, FREQUENCY])
    write(simulator, series("rp_one_s"), NOW, **{POWER: 1.0, FREQUENCY: 50.0})
    entry = await set_up_frozen(hass, freezer, user_input, None)
    hass.config_entries.async_update_entry(
        entry, options={CONF_IMPORT: {CONF_INTERVAL: 10}}
    )
    await settle(hass)

    def look() -> None:
        assert float(state_of(hass, entry, NODE, FREQUENCY)) == 50

    await measured_every(hass, freezer, simulator, gap, look, 30)
    for _ in range(3):
        assert await hass.config_entries.async_reload(entry.entry_id)
        await hass.async_block_till_done()
        look()
        await settle(hass)
        look()
        await measured_every(hass, freezer, simulator, gap, look, 3)
    # Nothing at all is an outage
    await advance_in_polls(hass, freezer, 5 * MINUTE)
    assert state_of(hass, entry, NODE, FREQUENCY) == STATE_UNAVAILABLE


@pytest.mark.expected_log("fetching Eniris (devices|telemetry) data")
async def test_reload_while_unreachable(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> None:
    """A reload keeps what was read until that is too old."""
    entry = await set_up_frozen(hass, freezer, user_input)
    simulator.faults.add("/v1/", "drop")
    before = state_of(hass, entry, HomeWorld.GRID_METER, POWER)
    assert await hass.config_entries.async_reload(entry.entry_id)
    await settle(hass)
    assert state_of(hass, entry, HomeWorld.GRID_METER, POWER) == before
    await advance_in_polls(hass, freezer, 3 * MINUTE)
    assert state_of(hass, entry, HomeWorld.GRID_METER, POWER) == STATE_UNAVAILABLE


async def test_reads_in_threads(
    hass: HomeAssistant,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is done in a thread for many queries does the same as for few."""
    monkeypatch.setattr(poll, "_OFF_LOOP_FROM", 1)
    entry = await set_up_frozen(hass, freezer, user_input)
    await advance(hass, freezer)
    assert len(entry.runtime_data.telemetry.data) > 80
    assert state_of(hass, entry, HomeWorld.GRID_METER, POWER) != STATE_UNAVAILABLE


async def test_counter_that_shows_zero(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> None:
    """A counter falls to zero once a second row confirms it; any other fall is shown at once."""
    freezer.move_to(NOW)
    counter = "importedAbsEnergyTot_Wh"
    only(simulator, series("rp_one_m"), fields=[counter, POWER])
    seen: list[float] = []

    async def measure(energy: float, power: float) -> None:
        freezer.tick(POLL)
        moment = dt_util.utcnow() - SECOND
        fields: dict[str, FieldValue] = {counter: energy, POWER: power}
        write(simulator, series("rp_one_m"), moment, **fields)
        await advance(hass, freezer, timedelta())
        assert float(state_of(hass, entry, NODE, POWER)) == power
        seen.append(float(state_of(hass, entry, NODE, counter)))

    write(simulator, series("rp_one_m"), NOW, **{counter: 5000.0, POWER: 1.0})
    entry = await set_up_frozen(hass, freezer, user_input, None)
    for energy, power in (
        *((6000.0, 1.0), (0.0, 0.0), (7000.0, 1.0)),
        *((0.0, 0.0), (0.0, 0.0), (1000.0, 2.0), (500.0, 2.0)),
    ):
        await measure(energy, power)
    assert seen == [6, 6, 7, 7, 0, 1, 0.5]


async def test_disabled_fields(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What no entity shows is asked for at the start and by hand, and no more."""
    monkeypatch.setattr(
        Entity, "entity_registry_enabled_default", property(lambda _: False)
    )
    freezer.move_to(NOW)
    only(simulator, series("rp_one_s"), fields=[POWER, FREQUENCY, "never_W"])
    entry = await set_up_frozen(hass, freezer, user_input, None)
    session = entry.runtime_data.session
    query_telemetry = session.query_telemetry
    asked: list[list[str]] = []

    async def query(queries: Sequence[TelemetryQuery]) -> TelemetryAnswer:
        asked.append([str(name) for each in queries for name in each.select])
        return await query_telemetry(queries)

    monkeypatch.setattr(session, "query_telemetry", query)
    for _ in range(3):
        freezer.tick(POLL)
        values: dict[str, FieldValue] = {POWER: 1.0, FREQUENCY: 50.0}
        write(simulator, series("rp_one_s"), dt_util.utcnow(), **values)
        await advance(hass, freezer, timedelta())
    await entry.runtime_data.telemetry.async_refresh()
    everything = [POWER, FREQUENCY, "never_W"]
    # One that has never had a value may get its entity
    assert asked == [everything, ["never_W"], ["never_W"], everything]


@pytest.mark.expected_log("Eniris refuses submeteringMetrics .* unforeseen shape")
async def test_sums_of_unforeseen_shape(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A total that cannot go on is told of in one line when that starts and one when it ends."""
    freezer.move_to(NOW)
    delta = "importedEnergyDeltaTot_Wh"
    only(simulator, series("rp_one_m"), fields=[delta])
    write(simulator, series("rp_one_m"), NOW, **{delta: 1000.0})
    entry = await set_up_frozen(hass, freezer, user_input, None)
    await advance(hass, freezer)
    assert float(state_of(hass, entry, NODE, delta)) == 1
    session = entry.runtime_data.session
    query_telemetry = session.query_telemetry

    async def query(queries: Sequence[TelemetryQuery]) -> TelemetryAnswer:
        answer = await query_telemetry(queries)
        for result in answer.results:
            for found in result.series:
                found.rows[:] = [replace(row, cells=()) for row in found.rows]
        return answer

    def lines() -> int:
        return sum("unforeseen shape" in record.message for record in caplog.records)

    monkeypatch.setattr(session, "query_telemetry", query)
    for _ in range(3):
        freezer.tick(POLL)
        write(simulator, series("rp_one_m"), dt_util.utcnow(), **{delta: 1000.0})
        await advance(hass, freezer, timedelta())
    assert float(state_of(hass, entry, NODE, delta)) == 1
    assert lines() == 1
    monkeypatch.undo()
    await advance(hass, freezer)
    assert float(state_of(hass, entry, NODE, delta)) == 4
    assert lines() == 1


@pytest.mark.expected_log("Eniris refuses submeteringMetrics")
async def test_policy_that_is_refused(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> None:
    """A field is read from the next retention policy where the finest is refused."""
    freezer.move_to(NOW)
    by_second, by_minute = series("rp_one_s"), series("rp_one_m")
    by_second = by_second._replace(database="elsewhere")
    only(simulator, by_second, by_minute, fields=[POWER])
    # As a namespace that the account may not read, or that is not there any more
    simulator.switches.namespaces -= {(by_second.database, by_second.retention_policy)}
    write(simulator, by_minute, NOW - MINUTE, **{POWER: 1.0})
    entry = await set_up_frozen(hass, freezer, user_input, None)
    for _ in range(15):
        freezer.tick(POLL)
        write(simulator, by_minute, dt_util.utcnow() - SECOND, **{POWER: 2.0})
        await advance(hass, freezer, timedelta())
    assert float(state_of(hass, entry, NODE, POWER)) == 2


@pytest.mark.parametrize("count", [3, 5])
async def test_more_parts_than_queries(count: int) -> None:
    """Each poll asks something, however many parts it takes to read everything."""
    asked: list[int] = []

    class Service:
        async def query_telemetry(self, queries: Any) -> TelemetryAnswer:
            if len(queries) > 1:
                raise UnprocessableError(422, "too dear")
            asked.append(len(queries))
            return TelemetryAnswer(
                [StatementResult([])] * len(queries),
                QueryCost(60.0, 40.0, 60.0) if queries else QueryCost(),
            )

    rate = PollRate(timedelta(seconds=60))
    service: Any = Service()
    poll = Poll(service, rate, Preference.FRESHEST, {})
    poll.queries = plan_queries(
        Node(
            Device(
                str(number),
                series=(SeriesInfo("db", "rp_one_m", "m", (("n", "n"),), ("a_W",)),),
            ),
            None,
        )
        for number in range(count)
    )
    for _ in range(12):
        await poll.async_ask((), (), NOW)
        assert rate.between_polls >= timedelta(seconds=45)
        assert rate.is_slowed
    assert asked == [1] * 12


@pytest.mark.expected_log("Eniris refuses submeteringMetrics")
async def test_pause_beside_a_policy_that_is_refused(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> None:
    """After data of the finest policy was missing for minutes, it is read again at once where the next is refused."""
    freezer.move_to(NOW)
    by_second = series("rp_one_s")
    by_minute = series("rp_one_m")._replace(database="elsewhere")
    only(simulator, by_second, by_minute, fields=[POWER])
    simulator.switches.namespaces -= {(by_minute.database, by_minute.retention_policy)}
    write(simulator, by_second, NOW - SECOND, **{POWER: 1.0})
    entry = await set_up_frozen(hass, freezer, user_input, None)
    for _ in range(3):
        await advance(hass, freezer)
    seen = []
    for _ in range(10):
        freezer.tick(POLL)
        write(simulator, by_second, dt_util.utcnow() - SECOND, **{POWER: 2.0})
        await advance(hass, freezer, timedelta())
        seen.append(state_of(hass, entry, NODE, POWER))
    assert STATE_UNAVAILABLE not in seen[2:], seen
