"""The past: what the recorder has arrives at the service as the export would have sent it."""

import asyncio
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from unittest.mock import Mock

import pytest
from pytest_homeassistant_custom_component.common import async_capture_events
from sqlalchemy.exc import OperationalError

from custom_components.eniris.const import CONF_HISTORY, DOMAIN, EVENT_HISTORY_EXPORTED
from custom_components.eniris.exporting import config
from custom_components.eniris.exporting.config import BackfillRange
from custom_components.eniris.exporting.history import recorder
from custom_components.eniris.exporting.outbox import batches
from custom_components.eniris.exporting.outbox.live import load_rejects
from homeassistant.components.recorder import history as recorder_history
from homeassistant.components.recorder.db_schema import RecorderRuns
from homeassistant.const import MATCH_ALL
from homeassistant.data_entry_flow import FlowResultType
from homeassistant.exceptions import HomeAssistantError, ServiceValidationError
from homeassistant.helpers import device_registry as dr
from homeassistant.helpers.recorder import get_instance, session_scope
from homeassistant.helpers.translation import async_get_exception_message
from homeassistant.util import dt as dt_util
from tests.kit.backfill import (
    FIELD,
    KW,
    PAST,
    PastQueue,
    Row,
    add_means,
    add_statistics,
    ask,
    before,
    device_id,
    export,
    history,
    hold,
    is_history_shown,
    record,
    seen,
)
from tests.kit.exports import INGRESS, POWER, START, Dialog, Home

REFUSED = pytest.mark.expected_log("The past of House .* refused")


MINUTE = timedelta(minutes=1)


async def test_everything(home: Home) -> None:
    """States, before them 5 minutes, before these hours: each at its time, none twice, in W."""
    await export(home)
    assert seen(home) == {
        **{before(hours=n): (100.0 + n) * 1000 for n in range(7, 24)},
        **{before(hours=6, minutes=5 * n): (10.0 + n) * 1000 for n in range(12)},
        before(hours=5): 1000.0,
        before(hours=4): 2500.0,
        before(hours=2): 3000.0,
        before(hours=1): 4000.0,
    }


async def test_told_at_the_end(home: Home) -> None:
    """The event and the sensor say what was asked for and what became of it."""
    events = async_capture_events(home.hass, EVENT_HISTORY_EXPORTED)
    made = await export(home)
    told = {
        "stored": 33,
        "outside": 0,
        "outside_until": None,
        "refused": 0,
        "unusable": 0,
        "reason": None,
    }
    [event] = events
    assert event.data["end"].startswith("2026-07-01T12:00:0")
    assert event.data == {
        "export_id": made.subentry_id,
        "device_id": device_id(home, made),
        "start": "1970-01-01T00:00:00+00:00",
        "end": event.data["end"],
        **told,
    }
    percent, attributes = history(home, made)
    assert percent == "100.0"
    assert attributes["reading_back_to"] <= "2026-06-30T13:00:00+00:00"
    assert attributes == {**attributes, **told}


async def test_figures_are_of_the_present(home: Home) -> None:
    """What goes up of the past counts nowhere else."""
    made = await export(home)
    await home.wait(31)
    assert home.shown(made, "uploaded") == "1"
    assert home.shown(made, "waiting") == "0"


async def test_nothing_asked(home: Home) -> None:
    """An export that was made without its past sends none, and shows none."""
    made = await home.add_export({POWER: FIELD})
    await home.wait(12)
    assert seen(home) == {before(hours=1): 4000.0}
    assert not is_history_shown(home, made)


@pytest.mark.parametrize(("past", "first"), [("week", 7), ("month", 30), ("year", 365)])
async def test_so_far_back(home: Home, past: str, first: int) -> None:
    """A week, a month and a year are what they say."""
    days = {
        before(days=day, minutes=-30): float(day) for day in (7, 8, 30, 31, 365, 366)
    }
    await add_means(home.hass, "hour", POWER, "kW", days)
    await export(home, history=past)
    assert min(seen(home)) == before(days=first, minutes=-30)


async def test_action(home: Home) -> None:
    """A range is sent, its start included and its end not; the answer says of how much."""
    made = await home.add_export({POWER: FIELD})
    await home.wait(6)
    response = await ask(home, made, start=before(hours=5), end=before(hours=2))
    assert response == {
        "entities": 1,
        "start": before(hours=5).isoformat(),
        "end": before(hours=2).isoformat(),
        "queued": True,
    }
    assert seen(home) == {
        before(hours=5): 1000.0,
        before(hours=4): 2500.0,
        before(hours=1): 4000.0,
    }
    assert history(home, made)[1]["stored"] == 2


async def test_action_up_to_now(home: Home) -> None:
    """Without an end, everything up to now is sent, also what was recorded a moment ago."""
    made = await home.add_export({POWER: FIELD}, enabled=False)
    home.hass.states.async_set(POWER, "7.0", KW)
    await home.hass.async_block_till_done()
    home.freezer.tick(0.5)
    local = dt_util.as_local(before(hours=1.5)).replace(tzinfo=None)
    await ask(home, made, start=local)
    assert seen(home) == {before(hours=1): 4000.0, START: 7000.0}


async def test_meter(home: Home) -> None:
    """Of a meter, what it showed at the end of an interval is sent."""
    meter, field = "sensor.meter", "importedAbsEnergyTot_Wh"
    kwh = {"unit_of_measurement": "kWh", "state_class": "total_increasing"}
    await record(home.hass, home.freezer, [(START, meter, "12.0", kwh)])
    for period, rows in {
        "hour": {before(hours=3): 1.0, before(hours=2): 5.0, before(hours=1): 9.0},
        "5minute": {
            before(minutes=15): 9.5,
            before(minutes=10): 10.0,
            before(minutes=5): 11.0,
        },
    }.items():
        await get_instance(home.hass).async_add_executor_job(
            partial(
                add_statistics,
                home.hass,
                period,
                meter,
                "kWh",
                [(start, {"state": state, "sum": 0}) for start, state in rows.items()],
                is_meter=True,
            )
        )
    home.freezer.tick(1)
    await export(home, {meter: field})
    assert seen(home, field) == {
        before(hours=2): 1000.0,
        before(hours=1): 5000.0,
        before(minutes=10): 9500.0,
        before(minutes=5): 10000.0,
        START: 12000.0,
    }


async def test_kinds_of_values(home: Home) -> None:
    """Attributes, switches and words are sent as the export sends them."""
    rows: list[Row] = [
        (before(hours=4), "climate.room", "heat", {"current_temperature": 20.5}),
        (before(hours=3), "climate.room", "heat", {"current_temperature": 21.0}),
        (
            before(hours=2.5),
            "climate.room",
            "heat",
            {"current_temperature": 21.0, "x": 1},
        ),
        (before(hours=2), "climate.room", "off", {"current_temperature": None}),
        (before(hours=1), "climate.room", "off", {"current_temperature": 19}),
        (before(hours=2), "switch.relay", "on", {}),
        (before(hours=1), "switch.relay", "off", {}),
        (before(hours=2), "sensor.mode", "idle", {}),
        (before(hours=1), "sensor.mode", "charging", {}),
    ]
    await record(home.hass, home.freezer, rows)
    home.freezer.move_to(START + MINUTE)
    made = await export(
        home,
        enabled=False,
        fields=[
            {
                "entity": "climate.room",
                "attribute": "current_temperature",
                "field": "room_degC",
            },
            {"entity": "switch.relay", "field": "signalActive"},
            {"entity": "sensor.mode", "field": "operationMode"},
        ],
    )
    assert seen(home, "room_degC") == {
        before(hours=4): 20.5,
        before(hours=3): 21.0,
        before(hours=1): 19.0,
    }
    assert seen(home, "signalActive") == {before(hours=2): True, before(hours=1): False}
    assert seen(home, "operationMode") == {
        before(hours=2): "idle",
        before(hours=1): "charging",
    }
    assert history(home, made)[1]["unusable"] == 1


async def test_outage(home: Home) -> None:
    """What Home Assistant was when it did not run nobody knows."""

    def add_runs() -> None:
        with session_scope(hass=home.hass) as session:
            session.add(RecorderRuns(start=before(days=1), end=before(hours=1.75)))
            session.add(RecorderRuns(start=before(hours=1.25), end=before(minutes=20)))

    await get_instance(home.hass).async_add_executor_job(add_runs)
    await export(home, mode="interval", interval=900, aggregate="last", enabled=False)
    values = seen(home)
    assert [
        quarter
        for quarter in range(1, 9)
        if before(minutes=15 * (8 - quarter)) in values
    ] == [1, 5, 6]


@REFUSED
async def test_bad_value(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """A value that the service calls bad is set aside as one of the present, by itself."""
    # No form takes such a name; it stands for what nobody knew to be bad
    monkeypatch.setattr(config, "name_problem", lambda _name: None)
    await record(home.hass, home.freezer, [(before(hours=1.5), "sensor.b", "1", {})])
    home.freezer.move_to(START)
    made = await export(home, {POWER: FIELD, "sensor.b": "_b"}, enabled=False)
    assert len(seen(home)) == 33
    assert history(home, made)[1]["stored"] == 33
    assert history(home, made)[1]["refused"] == 1
    [reject] = await home.entry.runtime_data.exporter.outbox.store.run(load_rejects)
    assert reject.sample.field == "_b"
    await home.wait(31)
    assert home.shown(made, "rejected") == "1"


async def test_too_large(home: Home) -> None:
    """A server that takes little at once gets little at once."""
    home.simulator.switches.max_body = 1500
    await export(home, enabled=False)
    assert len(seen(home)) == 33


async def test_the_present_goes_first(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is taken while the past goes up waits for one request of it at most."""
    monkeypatch.setattr(batches, "BATCH_POINTS", 10)
    made = await home.add_export({POWER: FIELD})
    await home.wait(6)
    home.simulator.log.reset()
    reached, go_on = hold(monkeypatch, 1)
    asked = home.hass.async_create_task(
        ask(home, made, start=before(days=2), end=before(minutes=30))
    )
    await reached.wait()
    home.hass.states.async_set(POWER, "9.0", KW)
    await asyncio.sleep(0)
    await home.entry.runtime_data.exporter.sampler.async_take()
    go_on.set()
    await asked
    assert [
        index
        for index, request in enumerate(home.writes)
        if any(point["fields"].get(FIELD) == 9000.0 for point in request.json)
    ] == [1]
    assert len(home.writes) > 3
    assert len(seen(home)) == 34


@pytest.mark.expected_log("cannot be uploaded at present")
async def test_outage_of_the_service(home: Home) -> None:
    """The past waits for the service as the present does."""
    home.simulator.faults.add(INGRESS, "status", status=503)
    made = await export(home)
    await home.wait(31)
    assert not seen(home)
    assert history(home, made)[0] == "0.0"
    assert home.shown(made, "waiting") == "1"
    home.simulator.faults.clear()
    home.simulator.log.reset()
    await home.entry.runtime_data.exporter.async_upload_now()
    await home.wait(6)
    assert len(seen(home)) == 33
    assert history(home, made)[0] == "100.0"


@pytest.mark.expected_log("cannot be uploaded at present")
async def test_removed(home: Home) -> None:
    """With an export goes what was to be sent of its past."""
    home.simulator.faults.add(INGRESS, "status", status=503)
    made = await export(home, enabled=False)
    assert home.entry.runtime_data.exporter.uploader.history.targets
    home.hass.config_entries.async_remove_subentry(home.entry, made.subentry_id)
    await home.settle()
    await home.wait(6)
    queue = PastQueue(home.entry.runtime_data.exporter.outbox)
    assert await queue.jobs() == []
    home.simulator.faults.clear()
    await home.wait(61)
    assert not seen(home)


@pytest.mark.expected_log("The recorder cannot be read")
async def test_recorder_fails(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the recorder cannot be read it waits, says so once, and goes on later."""
    with monkeypatch.context() as patched:
        patched.setattr(
            recorder_history,
            "get_significant_states",
            Mock(side_effect=OperationalError("SELECT", None, Exception("locked"))),
        )
        await export(home)
        await home.wait(12)
        assert seen(home) == {before(hours=1): 4000.0}
    await home.wait(6)
    assert len(seen(home)) == 33


@pytest.mark.expected_log("Sending the past failed")
async def test_error(
    home: Home, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An error that nobody thought of is logged once, and tried again ever later; other jobs go on."""
    read, tries = recorder.Reader.read, 0
    broken = {"sensor.broken"}

    def fail(reader: recorder.Reader, *args: Any) -> recorder.Chunk | None:
        nonlocal tries
        if any(entity.entity_id in broken for entity in reader.entities):
            tries += 1
            raise KeyError(str(len(caplog.records)))
        return read(reader, *args)

    monkeypatch.setattr(recorder.Reader, "read", fail)
    await record(home.hass, home.freezer, [(before(hours=3), "sensor.broken", "1", KW)])
    home.freezer.move_to(START)
    first = await home.add_export(
        {"sensor.broken": "broken_W"}, **PAST, enabled=False, title="Broken"
    )
    await export(home, enabled=False)
    await home.wait(900, step=5)
    assert len(seen(home)) == 33
    messages = [record.getMessage() for record in caplog.records]
    assert messages.count("Sending the past failed; it will be tried again") == 1
    assert 1 < tries < 9
    broken.clear()
    await ask(home, first, start=before(hours=4))
    assert len(seen(home, "broken_W")) == 1


async def test_attributes_are_not_recorded(home: Home) -> None:
    """How far it has come is for the eye."""
    made = await export(home)
    state = home.hass.states.get(home.entity_id(made, "sensor", "history"))
    assert state is not None
    assert state.state_info is not None
    assert MATCH_ALL in state.state_info["unrecorded_attributes"]


async def test_offered(home: Home) -> None:
    """A new export is offered to begin with its past, which is then sent once and for all."""
    events = async_capture_events(home.hass, EVENT_HISTORY_EXPORTED)
    dialog = Dialog(home)
    await dialog.to_end_of_trial({POWER: FIELD})
    assert dialog.result["menu_options"] == ["history"]
    await dialog.end()
    dialog.expect("history")
    assert dialog.result["last_step"]
    assert dialog.shown == {CONF_HISTORY: "nothing"}
    assert dialog.options(CONF_HISTORY) == list(BackfillRange)
    await dialog.submit({CONF_HISTORY: "week"})
    await home.wait(6)
    assert before(hours=23) in seen(home)
    [made] = home.exports
    assert made.data[CONF_HISTORY] == "week"
    start = datetime.fromisoformat(history(home, made)[1]["start"])
    assert timedelta() <= start - before(days=7) < MINUTE
    # Neither a restart nor a change asks for it again, and a change does not offer it
    await home.hass.config_entries.async_reload(home.entry.entry_id)
    await home.wait(6)
    await dialog.open(made)
    await dialog.choose("trial")
    assert dialog.result["menu_options"] == ["save"]
    await dialog.end()
    assert dialog.result["type"] is FlowResultType.ABORT
    await home.wait(6)
    assert home.exports[0].data[CONF_HISTORY] == "week"
    assert len(events) == 1
    assert history(home, made)[0] == "100.0"


async def test_offer_declined(home: Home) -> None:
    """Nothing is what is offered first, and what leaves no trace."""
    home.simulator.faults.add(INGRESS, "status", status=503, times=1)
    dialog = Dialog(home)
    await dialog.to_end_of_trial({POWER: FIELD})
    await dialog.choose("save")
    dialog.expect("history")
    await dialog.submit(dialog.shown)
    [made] = home.exports
    assert CONF_HISTORY not in made.data
    await home.wait(6)
    assert not is_history_shown(home, made)


@pytest.mark.parametrize(
    ("data", "key"),
    [
        ({"start": before(hours=1), "end": before(hours=1)}, "start_not_before_end"),
        ({"start": before(hours=1), "end": before(hours=2)}, "start_not_before_end"),
        ({"start": before(hours=-1)}, "range_in_future"),
        ({"start": before(hours=1), "end": before(hours=-1)}, "range_in_future"),
        ({"start": "0001-01-01T00:00:00+14:00"}, "invalid_range_time"),
        ({"start": before(hours=1), "device_id": "unknown"}, "no_such_export"),
    ],
)
async def test_what_is_wrong_with_a_range(
    home: Home, data: dict[str, Any], key: str
) -> None:
    """A wrong range or device is told, and nothing is done."""
    made = await home.add_export({POWER: FIELD})
    with pytest.raises(ServiceValidationError) as err:
        await ask(home, made, **data)
    assert err.value.translation_key == key
    assert async_get_exception_message(DOMAIN, key) != key
    await home.settle()
    assert not is_history_shown(home, made)


async def test_wrong_device(home: Home) -> None:
    """A node's device is none of an export, and an account has to be loaded."""
    made = await home.add_export({POWER: FIELD})
    devices = dr.async_entries_for_config_entry(
        dr.async_get(home.hass), home.entry.entry_id
    )
    other = next(device for device in devices if device.id != device_id(home, made))
    with pytest.raises(ServiceValidationError) as err:
        await ask(home, made, device_id=other.id, start=before(hours=1))
    assert err.value.translation_key == "no_such_export"
    await home.hass.config_entries.async_unload(home.entry.entry_id)
    with pytest.raises(ServiceValidationError) as err:
        await ask(home, made, start=before(hours=1))
    assert err.value.translation_key == "account_not_loaded"


async def test_no_disk(home: Home) -> None:
    """A request that cannot be kept is not taken."""
    made = await home.add_export({POWER: FIELD})
    await home.entry.runtime_data.exporter.outbox.close()
    with pytest.raises(HomeAssistantError) as err:
        await ask(home, made, start=before(hours=1))
    assert err.value.translation_key == "history_not_on_disk"


@pytest.mark.expected_log("cannot be uploaded at present")
async def test_each_target_by_itself(home: Home) -> None:
    """A target that does not take anything holds up its own past alone."""
    stuck = await export(home, database="unknown", title="Stuck", enabled=False)
    made = await export(home, enabled=False)
    await home.wait(6)
    assert len(seen(home)) == 33
    assert history(home, made)[0] == "100.0"
    assert history(home, stuck)[0] == "0.0"
    home.simulator.switches.namespaces.add(("unknown", "rp_one_m"))
    await home.entry.runtime_data.exporter.async_upload_now()
    await home.wait(6)
    assert history(home, stuck)[0] == "100.0"
    assert len(home.points(database="unknown", field_name=FIELD)) == 33
