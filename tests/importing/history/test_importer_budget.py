"""The import of the past beside live polling: within the budget, and whatever the service does."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from freezegun.api import FrozenDateTimeFactory
import pytest
from pytest_homeassistant_custom_component.common import async_capture_events

from custom_components.eniris.const import DOMAIN
from custom_components.eniris.data import EnirisConfigEntry
from custom_components.eniris.importing.history.importer import EVENT_IMPORTED
from homeassistant.components.recorder.core import Recorder
from homeassistant.components.recorder.statistics import StatisticsRow
from homeassistant.const import CONF_PASSWORD
from homeassistant.core import HomeAssistant
from homeassistant.helpers import issue_registry as ir
from simulator.server import Simulator
from simulator.world import HomeWorld
from tests.kit.common import entity_id_of, set_up_frozen, settle
from tests.kit.history import (
    DAY,
    HOUR,
    IMPORTED,
    LONG_AGO,
    MINUTE,
    NOW,
    POWER,
    QUERY,
    QUERY_PATH,
    THIS_HOUR,
    account_state,
    asked_of_the_past,
    changes,
    finished,
    kept,
    measure,
    measure_hourly,
    only_a_meter,
    pass_time,
)
from tests.kit.meter import METER
from tests.kit.recorded import live, rows

START = THIS_HOUR - 2 * DAY
HOURS = [START + n * HOUR for n in range(48)]
ENERGY = 10.0


pytestmark = pytest.mark.usefixtures("place_and_time")


@pytest.fixture
async def account(
    recorder_mock: Recorder,
    hass: HomeAssistant,
    place_and_time: None,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> EnirisConfigEntry:
    """Return the account of one meter, on the smallest tier, whose sum has begun."""
    simulator.tier = "free"
    only_a_meter(simulator, POWER, IMPORTED)
    measure_hourly(
        simulator, THIS_HOUR - 10 * DAY, THIS_HOUR, **{POWER: 100.0, IMPORTED: ENERGY}
    )
    entry = await set_up_frozen(hass, freezer, user_input, None)
    await live(hass, freezer, NOW + 9 * MINUTE)
    return entry


async def import_two_days(hass: HomeAssistant, entry: EnirisConfigEntry) -> None:
    """Ask for two days of everything."""
    await entry.runtime_data.history.async_request(START)


async def rows_of(
    hass: HomeAssistant, entry: EnirisConfigEntry, field: str
) -> Mapping[datetime, StatisticsRow]:
    """Return the rows by the hour, as far as they are of the past, of one of the meter's fields."""
    found = await kept(hass, entity_id_of(hass, entry, METER, field))
    return {hour: row for hour, row in found.items() if hour < THIS_HOUR}


async def check_everything(hass: HomeAssistant, entry: EnirisConfigEntry) -> None:
    """Check that all of the two days is there, and once."""
    power = await rows_of(hass, entry, POWER)
    assert list(power) == HOURS
    assert {power[hour]["mean"] for hour in HOURS} == {100}
    energy = changes(await rows_of(hass, entry, IMPORTED))
    assert energy == pytest.approx(dict.fromkeys(HOURS, ENERGY), abs=1e-3)


async def test_beside_live_polls(
    recorder_mock: Recorder,
    hass: HomeAssistant,
    simulator: Simulator,
    world: HomeWorld,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> None:
    """On the smallest tier nothing is ever refused, and live values come as often as before."""
    simulator.tier = "free"
    entry = await set_up_frozen(hass, freezer, user_input, None)
    await live(hass, freezer, NOW + 9 * MINUTE)
    events = async_capture_events(hass, EVENT_IMPORTED)
    power = entity_id_of(hass, entry, HomeWorld.SITE, POWER)
    simulator.log.reset()
    shown = set()
    slowest = timedelta()
    reported = hass.states.get(power)
    assert reported
    last = reported.last_updated

    def look() -> bool:
        nonlocal last, slowest
        shown.add(account_state(hass, entry, "poll_interval").state)
        state = hass.states.get(power)
        assert state
        slowest = max(slowest, state.last_updated - last)
        last = state.last_updated
        return bool(events)

    await import_two_days(hass, entry)
    await pass_time(hass, freezer, look, step=0.5)
    assert shown == {"60.0"}
    # Home's power changes with every poll; a timer may be a second or two late
    assert slowest <= timedelta(seconds=65)
    counts = simulator.log.counts[QUERY]
    assert counts.keys() == {200}
    asked = asked_of_the_past(simulator)
    assert len(asked) > 5
    # Half of what polls leave over is what it takes, about; a slow machine takes less
    seconds = (asked[-1].time - asked[0].time).total_seconds()
    spent = sum(request.cost or 0 for request in asked[:-1])
    assert 10 < 60 * spent / seconds < 40
    assert not [
        issue for issue in ir.async_get(hass).issues.values() if issue.domain == DOMAIN
    ]
    assert events[0].data["refused_queries"] == 0
    entity_id = entity_id_of(hass, entry, HomeWorld.SITE, "consumedEnergyDeltaTot_Wh")
    energy = (await rows(hass, [entity_id], LONG_AGO))[entity_id]
    for hour in HOURS:
        assert energy[hour]["change"] == pytest.approx(
            world.truth_energy_wh(
                HomeWorld.SITE, "consumedEnergyDeltaTot_Wh", hour, hour + HOUR
            ),
            abs=0.5,
        )


@pytest.mark.expected_log("fetching Eniris")
@pytest.mark.parametrize(
    ("kind", "options"),
    [("status", {"status": 503}), ("drop", {}), ("half_body", {}), ("wrong_type", {})],
)
async def test_service_that_fails(
    hass: HomeAssistant,
    account: EnirisConfigEntry,
    simulator: Simulator,
    freezer: FrozenDateTimeFactory,
    kind: Any,
    options: dict[str, Any],
) -> None:
    """While the service cannot be read the import waits; then it goes on, and nothing is missing."""
    events = async_capture_events(hass, EVENT_IMPORTED)
    await import_two_days(hass, account)
    await pass_time(hass, freezer, lambda: asked_of_the_past(simulator))
    fault = simulator.faults.add(QUERY_PATH, kind, **options)
    await pass_time(hass, freezer, lambda: fault.hits >= 5)
    simulator.faults.clear()
    event = await finished(hass, freezer, events)
    assert event.data["refused_queries"] == 0
    await check_everything(hass, account)


@pytest.mark.expected_log("fetching Eniris")
async def test_long_outage_at_the_start(
    hass: HomeAssistant,
    account: EnirisConfigEntry,
    simulator: Simulator,
    freezer: FrozenDateTimeFactory,
) -> None:
    """Started anew while the service cannot be reached, an import waits for it however long that takes."""
    events = async_capture_events(hass, EVENT_IMPORTED)
    await import_two_days(hass, account)
    await pass_time(hass, freezer, lambda: asked_of_the_past(simulator))
    simulator.faults.add("/v1/", "drop")
    assert await hass.config_entries.async_reload(account.entry_id)
    await settle(hass)
    await live(hass, freezer, NOW + 60 * MINUTE)
    assert not events
    simulator.faults.clear()
    await live(hass, freezer, NOW + 78 * MINUTE)
    if not events:
        await finished(hass, freezer, events)
    await check_everything(hass, account)


async def test_statement_that_is_refused(
    hass: HomeAssistant,
    account: EnirisConfigEntry,
    simulator: Simulator,
    freezer: FrozenDateTimeFactory,
) -> None:
    """A statement that is refused costs its own hour, and is counted."""
    # Nothing can be made of numbers with a text among them
    for hour in (HOURS[5], HOURS[20]):
        measure(simulator, hour + MINUTE, **{POWER: "a text"})
    events = async_capture_events(hass, EVENT_IMPORTED)
    await import_two_days(hass, account)
    event = await finished(hass, freezer, events)
    assert event.data["refused_queries"] == 2
    left = [hour for hour in HOURS if hour not in (HOURS[5], HOURS[20])]
    assert list(await rows_of(hass, account, POWER)) == left
    energy = changes(await rows_of(hass, account, IMPORTED))
    assert energy == pytest.approx(dict.fromkeys(left, ENERGY), abs=1e-3)


@pytest.mark.parametrize("again", [START, HOURS[12]])
async def test_refused_statement_destroys_nothing(
    hass: HomeAssistant,
    account: EnirisConfigEntry,
    simulator: Simulator,
    freezer: FrozenDateTimeFactory,
    again: datetime,
) -> None:
    """What was imported before stays where the service refuses to tell of it once more."""
    events = async_capture_events(hass, EVENT_IMPORTED)
    await import_two_days(hass, account)
    await finished(hass, freezer, events)
    await check_everything(hass, account)
    # The first hour of a day is what the day before it is joined to
    midnight = next(hour for hour in HOURS if hour.hour == 0)
    for hour in (HOURS[20], midnight):
        measure(simulator, hour + MINUTE, **{POWER: "a text", IMPORTED: "a text"})
    await account.runtime_data.history.async_request(again)
    event = await finished(hass, freezer, events)
    assert event.data["refused_queries"]
    await check_everything(hass, account)


@pytest.mark.expected_log("log-?in")
@pytest.mark.parametrize("restarted", [False, True])
async def test_dead_log_in(
    hass: HomeAssistant,
    account: EnirisConfigEntry,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
    restarted: bool,
) -> None:
    """Without a log-in it stops, also over a restart; after a new one it goes on from where it was."""
    events = async_capture_events(hass, EVENT_IMPORTED)
    await import_two_days(hass, account)
    sensor = account_state(hass, account, "history_progress")
    await pass_time(
        hass,
        freezer,
        lambda: float(account_state(hass, account, "history_progress").state) > 10,
    )
    simulator.revoke("demo@example.com", "refresh")
    simulator.revoke("demo@example.com", "access")
    await pass_time(hass, freezer, hass.config_entries.flow.async_progress)
    reached = account_state(hass, account, "history_progress")
    asked = len(asked_of_the_past(simulator))
    if restarted:
        assert await hass.config_entries.async_reload(account.entry_id)
        await settle(hass)
    await live(hass, freezer, NOW + 50 * MINUTE)
    assert not events
    assert len(simulator.log.find(QUERY, status=200)) > 0
    done = simulator.log.count(QUERY, 200)
    shown = account_state(hass, account, "history_progress")
    assert shown.attributes["fetching"] == reached.attributes["fetching"]
    [flow] = hass.config_entries.flow.async_progress()
    await hass.config_entries.flow.async_configure(
        flow["flow_id"], {CONF_PASSWORD: user_input[CONF_PASSWORD]}
    )
    await settle(hass)
    await finished(hass, freezer, events)
    await check_everything(hass, account)
    assert simulator.log.count(QUERY, 200) > done
    # What was done is not asked for again
    newest = reached.attributes["fetching"].timestamp() * 1000
    sums = [
        statement["where"]["time"][0]["value"]
        for request in asked_of_the_past(simulator)[asked:]
        if request.status == 200
        for statement in request.json
        if {"field": POWER, "function": "mean"} in statement["select"]
    ]
    assert sums
    assert max(sums) < newest
    assert sensor.entity_id == shown.entity_id
