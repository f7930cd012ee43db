"""The export of an account as a whole, over a real socket: what a home lives through."""

from datetime import timedelta

import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.eniris.const import (
    CONF_AGGREGATE,
    CONF_FIELDS,
    CONF_INTERVAL,
    CONF_KIND,
    CONF_MODE,
)
from custom_components.eniris.exporting.exporter import Exporter
from custom_components.eniris.exporting.outbox.live import load_rejects
from custom_components.eniris.exporting.outbox.outbox import Outbox
from homeassistant.const import (
    EVENT_HOMEASSISTANT_FINAL_WRITE,
    EVENT_HOMEASSISTANT_STOP,
)
from homeassistant.core import HomeAssistant
from homeassistant.helpers import entity_registry as er
from simulator.server import Simulator

from .conftest import (
    START,
    AddAccount,
    Clock,
    Received,
    export_data,
    export_id,
    issue_ids,
    outbox_file,
)

PATH = "/v1/telemetry"
DAY = 86_400.0
KW = {"unit_of_measurement": "kW", "device_class": "power"}
A_FIELD = {"sensor.a": "actualPowerTot_W"}

OUTAGE = pytest.mark.expected_log("cannot be uploaded at present")
SET_ASIDE = pytest.mark.expected_log("refuses a value of field .* set aside")
LEFT_OUT = pytest.mark.expected_log("takes no values for .* or older")
BLOCKED = pytest.mark.expected_log("refuses every value of field")


def exporter_of(entry: MockConfigEntry) -> Exporter:
    """Return the exporter of an account."""
    exporter: Exporter = entry.runtime_data.exporter
    return exporter


@pytest.mark.parametrize(
    "is_outage", [False, pytest.param(True, marks=[OUTAGE, SET_ASIDE])]
)
async def test_unchanged_for_longer_than_the_service_takes(
    hass: HomeAssistant,
    clock: Clock,
    add_account: AddAccount,
    received: Received,
    simulator: Simulator,
    is_outage: bool,
) -> None:
    """The value that holds is sent with the present time, at each reload and after an outage; nothing is set aside."""
    simulator.switches.max_age_s = DAY
    clock.freezer.move_to(START - timedelta(days=0 if is_outage else 2))
    hass.states.async_set("input_number.setpoint", "21")
    await hass.async_block_till_done()
    if not is_outage:
        clock.freezer.move_to(START)
        entry = await add_account(export_data({"input_number.setpoint": "setpoint"}))
        await clock.advance(10)
        for _ in range(3):
            await hass.config_entries.async_reload(entry.entry_id)
            await clock.advance(10)
    else:
        fault = simulator.faults.add(PATH, "status", status=503)
        entry = await add_account(export_data({"input_number.setpoint": "setpoint"}))
        await clock.advance(10)
        clock.freezer.tick(2 * DAY)
        simulator.faults.remove(fault.id)
        await clock.advance(700, step=10)
    assert {value for _, value in received.values("setpoint")} == {21.0}
    rejects = await exporter_of(entry).outbox.store.run(load_rejects)
    assert len(rejects) == int(is_outage)
    assert issue_ids(hass) == set()
    exporter = exporter_of(entry)
    assert exporter.status(export_id(entry)).problem is None


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param(1, marks=[OUTAGE, SET_ASIDE]),
        pytest.param(2, marks=[OUTAGE, SET_ASIDE, BLOCKED, LEFT_OUT]),
    ],
)
async def test_service_takes_less_than_an_hour(
    hass: HomeAssistant,
    clock: Clock,
    add_account: AddAccount,
    received: Received,
    simulator: Simulator,
    changes: int,
) -> None:
    """What changed during an outage that was longer, and not since, is sent with the present time."""
    simulator.switches.max_age_s = 600
    fields = {"sensor.a": "a_W", "sensor.b": "b_W"}
    for entity_id in fields:
        hass.states.async_set(entity_id, "0")
    await add_account(export_data(fields))
    await clock.advance(3)
    simulator.faults.add(PATH, "status", status=503)
    for n in range(changes):
        hass.states.async_set("sensor.a", str(n + 1))
        await clock.advance(60, step=20)
    await clock.advance(900, step=20)
    simulator.faults.clear()
    for n in range(30):
        hass.states.async_set("sensor.b", str(n))
        await clock.advance(20, step=2)
    # Once more where the field was taken for blocked
    values = [value for _, value in received.values("a_W")]
    assert values == [0.0, *[changes] * changes]
    assert received.values("b_W")[-1][1] == 29.0
    assert issue_ids(hass) == set()


async def test_entity_that_is_registered_later(
    hass: HomeAssistant, clock: Clock, add_account: AddAccount, received: Received
) -> None:
    """It is known by its registry id from then on, stored without a reload, and followed when it is renamed."""
    hass.states.async_set("sensor.a", "1", KW)
    entry = await add_account(export_data(A_FIELD))
    exporter = exporter_of(entry)
    await clock.advance(5)
    hass.states.async_remove("sensor.a")
    registry = er.async_get(hass)
    registered = registry.async_get_or_create(
        "sensor", "template", "uid", suggested_object_id="a"
    )
    hass.states.async_set("sensor.a", "2", KW)
    await clock.advance(35)
    (subentry,) = entry.subentries.values()
    assert subentry.data[CONF_FIELDS][0]["entity"] == registered.id
    assert exporter_of(entry) is exporter, "no reload"
    registry.async_update_entity("sensor.a", new_entity_id="sensor.b")
    hass.states.async_remove("sensor.a")
    hass.states.async_set("sensor.b", "3", KW)
    await clock.advance(5)
    assert [value for _, value in received.values()] == [1000.0, 2000.0, 3000.0]
    assert await hass.config_entries.async_reload(entry.entry_id)
    hass.states.async_set("sensor.b", "4", KW)
    await clock.advance(5)
    assert received.values()[-1][1] == 4000.0
    assert issue_ids(hass) == set()


@pytest.mark.parametrize(
    "states", [["0", "E031", "0"], ["2.10", "2.10.1", "3"], ["00123"], ["1e5", "x"]]
)
async def test_text_stays_text(
    hass: HomeAssistant,
    clock: Clock,
    add_account: AddAccount,
    received: Received,
    states: list[str],
) -> None:
    """The kind is decided from the entity once, and kept over a reload."""
    hass.states.async_set("sensor.inverter_error", states[0])
    entry = await add_account(export_data({"sensor.inverter_error": "status"}))
    await clock.advance(6)
    for state in states[1:]:
        hass.states.async_set("sensor.inverter_error", state)
        await clock.advance(6)
    await clock.advance(31)
    (subentry,) = entry.subentries.values()
    assert subentry.data[CONF_FIELDS][0][CONF_KIND] == "text"
    assert await hass.config_entries.async_reload(entry.entry_id)
    hass.states.async_set("sensor.inverter_error", "42")
    await clock.advance(6)
    assert [value for _, value in received.values("status")] == [*states, "42"]
    assert issue_ids(hass) == set()


@pytest.mark.parametrize("is_reloaded", [False, True])
async def test_number_that_becomes_a_counter(
    hass: HomeAssistant,
    clock: Clock,
    add_account: AddAccount,
    received: Received,
    is_reloaded: bool,
) -> None:
    """Its state class comes later: no mean of it is sent from then on, and a reload does not forget."""
    attributes = {"unit_of_measurement": "Wh", "device_class": "energy"}
    every_10_s = {CONF_MODE: "interval", CONF_INTERVAL: 10, CONF_AGGREGATE: "mean"}
    hass.states.async_set("sensor.a", "10", attributes)
    entry = await add_account(export_data({"sensor.a": "energy_Wh"}, **every_10_s))
    await clock.advance(41)
    if not is_reloaded:
        attributes["state_class"] = "total_increasing"
    for n in range(2):
        hass.states.async_set("sensor.a", str(20 + 10 * n), attributes)
        await clock.advance(4)
    if is_reloaded:
        attributes["state_class"] = "total_increasing"
        hass.states.async_set("sensor.a", "30", attributes)
        await hass.config_entries.async_reload(entry.entry_id)
        await clock.advance(7)
        hass.states.async_set("sensor.a", "40", attributes)
    await clock.advance(31)
    values = dict(received.values("energy_Wh"))
    assert values.keys() >= {0, 10, 20, 30, 60, 70}
    assert set(values.values()) <= {10.0, 20.0, 30.0, 40.0}
    (subentry,) = entry.subentries.values()
    assert subentry.data[CONF_FIELDS][0][CONF_KIND] == "counter"


async def test_stored_within_two_seconds_without_the_disk(
    hass: HomeAssistant, clock: Clock, add_account: AddAccount, received: Received
) -> None:
    """From a change to 204, at every phase of the timers; and nothing is written meanwhile."""
    entry = await add_account(export_data(A_FIELD))
    await clock.advance(3)
    file = outbox_file(hass, entry)
    files = sorted(file.parent.glob(f"{file.name}*"))
    before = [
        (path.name, path.stat().st_mtime_ns, path.stat().st_size) for path in files
    ]
    for n in range(100):
        await clock.advance(0.37, step=0.37)
        hass.states.async_set("sensor.a", str(n))
        await clock.advance(2, step=0.5)
        assert received.values()[-1][1] == float(n)
    assert before == [
        (path.name, path.stat().st_mtime_ns, path.stat().st_size) for path in files
    ]


@pytest.mark.parametrize("is_down", [False, pytest.param(True, marks=OUTAGE)])
async def test_until_the_very_end(
    hass: HomeAssistant,
    clock: Clock,
    add_account: AddAccount,
    received: Received,
    simulator: Simulator,
    is_down: bool,
) -> None:
    """What changes while Home Assistant stops is stored or on disk."""
    entry = await add_account(export_data(A_FIELD))
    if is_down:
        simulator.faults.add(PATH, "status", status=500)
    hass.states.async_set("sensor.a", "1")
    hass.bus.async_fire(EVENT_HOMEASSISTANT_STOP)
    await clock.settle()
    for n in range(2, 30):
        hass.states.async_set("sensor.a", str(n))
        await clock.advance(3)
    hass.states.async_set("sensor.a", "30")
    hass.bus.async_fire(EVENT_HOMEASSISTANT_FINAL_WRITE)
    await clock.settle()
    outbox = Outbox(hass, outbox_file(hass, entry))
    await outbox.open()
    figures = await outbox.refresh_figures()
    waiting = figures[export_id(entry)].waiting if figures else 0
    await outbox.close()
    assert waiting + len(received.values()) == 30


async def test_decided_right_before_the_end(
    hass: HomeAssistant, clock: Clock, add_account: AddAccount
) -> None:
    """Home Assistant writes its entries for the last time after they know what was decided of fields."""
    entry = await add_account(export_data(A_FIELD))
    (subentry,) = entry.subentries.values()
    assert subentry.data[CONF_FIELDS][0].get(CONF_KIND) is None
    hass.states.async_set("sensor.a", "1")
    await clock.advance(1)
    hass.bus.async_fire(EVENT_HOMEASSISTANT_STOP)
    await clock.settle()
    (subentry,) = entry.subentries.values()
    assert subentry.data[CONF_FIELDS][0][CONF_KIND] == "number"


async def test_reauthentication_that_was_not_needed(
    hass: HomeAssistant,
    clock: Clock,
    add_account: AddAccount,
    received: Received,
    simulator: Simulator,
) -> None:
    """An ingress that says 401 for a while: asked once, tried hourly, and the question ends with the first success."""
    entry = await add_account(export_data(A_FIELD))
    fault = simulator.faults.add(PATH, "status", status=401)
    for number in range(130):
        hass.states.async_set("sensor.a", str(number))
        await clock.advance(60, step=30)
        assert len(hass.config_entries.flow.async_progress()) == 1
    assert len(received.writes) <= 8
    simulator.faults.remove(fault.id)
    await clock.advance(3700, step=30)
    assert hass.config_entries.flow.async_progress() == []
    assert len(received.values()) == 130
    exporter = exporter_of(entry)
    await exporter.async_refresh()
    assert exporter.status(export_id(entry)).problem is None
