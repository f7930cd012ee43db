"""The past: what the recorder has arrives at the service as the export would have sent it."""

import asyncio
from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
import sqlite3
import threading
from typing import Any
from unittest.mock import Mock

from freezegun.api import FrozenDateTimeFactory
import pytest
from pytest_homeassistant_custom_component.common import async_capture_events
from pytest_homeassistant_custom_component.components.recorder.common import (
    async_wait_recording_done,
)
from sqlalchemy.exc import OperationalError

from custom_components.eniris.api import EnirisConnectionError, Session
from custom_components.eniris.const import CONF_HISTORY, DOMAIN, EVENT_HISTORY_EXPORTED
from custom_components.eniris.exporting import (
    backfill,
    config,
    outbox as outbox_module,
    recorded,
)
from custom_components.eniris.exporting.config import Past
from custom_components.eniris.exporting.outbox import Limits, outbox_path
from custom_components.eniris.services import SERVICE_EXPORT_HISTORY
from homeassistant.components.recorder import history as recorder_history
from homeassistant.components.recorder.core import Recorder
from homeassistant.components.recorder.db_schema import RecorderRuns
from homeassistant.config_entries import ConfigSubentry
from homeassistant.core import HomeAssistant, ServiceResponse
from homeassistant.data_entry_flow import FlowResultType
from homeassistant.exceptions import HomeAssistantError, ServiceValidationError
from homeassistant.helpers import device_registry as dr, entity_registry as er
from homeassistant.helpers.recorder import get_instance, session_scope
from homeassistant.helpers.storage import STORAGE_DIR
from homeassistant.helpers.translation import async_get_exception_message
from homeassistant.util import dt as dt_util
from simulator.model import SeriesKey
from simulator.server import Simulator
from simulator.store import IncomingPoint
from tests.backfill_kit import Row, add_means, add_statistics, record
from tests.export_kit import (
    INGRESS,
    POWER,
    START,
    Dialog,
    Home,
    MeterWorld,
    home_with_account,
)

FIELD = "actualPowerTot_W"
KW = {
    "unit_of_measurement": "kW",
    "device_class": "power",
    "state_class": "measurement",
}
PAST: Mapping[str, Any] = {CONF_HISTORY: "everything"}
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def world() -> MeterWorld:
    """Return a small world."""
    return MeterWorld()


def before(**delta: float) -> datetime:
    """Return a time before the account is set up."""
    return START - timedelta(**delta)


def seen(home: Home, field: str = FIELD) -> dict[datetime, Any]:
    """Return what the service has of a field by time; each was written once."""
    values = {}
    for point in home.points(field_name=field):
        time = datetime.fromtimestamp(point.time_ns / 1e9, UTC)
        values[time] = point.fields[field]
    return values


def power(*values: tuple[float, str]) -> list[Row]:
    """Return states of the power sensor by hours before the start."""
    return [(before(hours=hours), POWER, state, KW) for hours, state in values]


def register(hass: HomeAssistant, entity_id: str) -> str:
    """Give an entity an entry in the registry, and return its id there."""
    domain, name = entity_id.split(".")
    entry = er.async_get(hass).async_get_or_create(
        domain, "test", name, suggested_object_id=name
    )
    return entry.id


@pytest.fixture
async def home(
    recorder_mock: Recorder,
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    simulator: Simulator,
    user_input: dict[str, Any],
) -> Home:
    """Return a home with an account, a recorder, and a past of the power sensor."""
    register(hass, POWER)
    await record(
        hass,
        freezer,
        power((5, "1.0"), (4, "2.5"), (3, "unavailable"), (2, "3.0"), (1, "4.0")),
    )
    await add_means(
        hass,
        "5minute",
        POWER,
        "kW",
        {before(hours=6, minutes=5 * n): 10.0 + n for n in range(12)},
    )
    await add_means(
        hass, "hour", POWER, "kW", {before(hours=n): 100.0 + n for n in range(1, 24)}
    )
    return await home_with_account(hass, freezer, simulator, user_input)


async def export(
    home: Home, mapping: dict[str, str] | None = None, /, **changes: Any
) -> ConfigSubentry:
    """Make an export that begins with its past, and let that go up."""
    made = await home.add_export(mapping or {POWER: FIELD}, **{**PAST, **changes})
    await home.wait(6)
    return made


async def export_later(home: Home) -> ConfigSubentry:
    """Make an export of which the past is asked for, where there is no room for it yet."""
    made = await home.add_export({POWER: FIELD}, enabled=False)
    backfill_ = home.entry.runtime_data.exporter._backfill
    backfill_._limits = Limits(1000)
    await ask(home, made, start=before(days=2))
    return made


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


def history(home: Home, made: ConfigSubentry) -> tuple[str, dict[str, Any]]:
    """Return what the sensor of an export's past shows."""
    state = home.hass.states.get(home.entity_id(made, "sensor", "history"))
    assert state is not None
    return state.state, {
        name: state.attributes.get(name)
        for name in (
            *("start", "end", "reading_back_to", "stored", "outside"),
            *("outside_until", "refused", "unusable", "reason"),
        )
    }


def device_id(home: Home, made: ConfigSubentry) -> str:
    """Return the device of an export."""
    entity = er.async_get(home.hass).async_get(
        home.entity_id(made, "sensor", "history")
    )
    assert entity is not None
    assert entity.device_id is not None
    return entity.device_id


async def ask(home: Home, made: ConfigSubentry, **data: Any) -> ServiceResponse:
    """Ask for a part of the past, and let it go up."""
    response = await home.hass.services.async_call(
        DOMAIN,
        SERVICE_EXPORT_HISTORY,
        {"device_id": device_id(home, made), **data},
        blocking=True,
        return_response=True,
    )
    await home.wait(1)
    await home.settle()
    return response


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
    assert history(home, made)[0] == "unknown"


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


async def test_units(home: Home) -> None:
    """Each source is converted from its own unit; a name without one has the entity's own."""
    home.hass.states.async_set(POWER, "5000", {**KW, "unit_of_measurement": "W"})
    await add_means(home.hass, "hour", POWER, "kW", {before(days=3): 2.0})
    await home.add_export({POWER: "power"}, **PAST, tags={"serialNr": "2"})
    await home.wait(6)
    await export(home)
    assert seen(home)[before(days=3)] == 2000.0
    assert seen(home)[before(hours=4)] == 2500.0
    assert seen(home)[START] == 5000.0
    assert seen(home, "power")[before(days=3)] == 2000.0
    assert seen(home, "power")[before(hours=4)] == 2.5
    assert seen(home, "power")[START] == 5000.0


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


async def test_shortest_distance(home: Home) -> None:
    """Changes that follow too quickly are left out as those of the present are."""
    await record(
        home.hass,
        home.freezer,
        [
            (before(days=1, seconds=-second), POWER, str(second), KW)
            for second in range(0, 7200, 10)
        ],
    )
    home.freezer.move_to(START)
    await export(home, shortest=60)
    times = [time for time in seen(home) if before(days=1) <= time < before(hours=22)]
    assert times == [
        before(days=1, seconds=-second) for second in (0, *range(50, 7200, 60))
    ]


async def test_heartbeat(home: Home) -> None:
    """A value that did not change is repeated as that of the present is."""
    await export(home, heartbeat=1800, enabled=False)
    values = seen(home)
    assert [
        (minute, values[before(hours=5, minutes=-minute)])
        for minute in range(0, 300, 30)
        if before(hours=5, minutes=-minute) in values
    ] == [
        *((0, 1000.0), (30, 1000.0), (60, 2500.0), (90, 2500.0)),
        *((180, 3000.0), (210, 3000.0), (240, 4000.0), (270, 4000.0)),
    ]


@pytest.mark.parametrize(
    ("aggregate", "wanted"),
    [
        (
            "last",
            {-4.5: 1.0, -4: 1.0, -3.5: 2.5, -3: 2.5, -2.5: None, -1.5: 3.5, -0.5: 4.0},
        ),
        ("mean", {-5: 1.0, -4: 2.5, -2.5: None, -2: 3.25, -1.5: 3.5, -1: 4.0}),
        ("min", {-5: 1.0, -2: 3.0, -1.5: 3.5, -1: 4.0, -8: 107.0}),
        ("max", {-5: 1.0, -2: 3.5, -1.5: 3.5, -1: 4.0, -8: 109.0}),
    ],
)
async def test_intervals(home: Home, aggregate: str, wanted: dict[float, Any]) -> None:
    """Intervals are summed up as those of the present are."""
    await record(home.hass, home.freezer, power((1.75, "3.5")))
    home.freezer.move_to(START)
    await export(
        home, mode="interval", interval=1800, aggregate=aggregate, enabled=False
    )
    values = seen(home)
    assert {hour: values.get(START + hour * HOUR) for hour in wanted} == {
        hour: value and value * 1000 for hour, value in wanted.items()
    }
    assert all(time.minute in (0, 30) for time in values if time >= before(hours=5))


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


async def test_dense(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """However much there is in an hour, it is read in pieces, with nothing lost between them."""
    monkeypatch.setattr(backfill, "SAMPLES_WANTED", 20)
    monkeypatch.setattr(recorded, "_STATES_AT_ONCE", 7)
    rows = [
        (before(minutes=50, seconds=-3 * number), POWER, str(number), KW)
        for number in range(300)
    ]
    await record(home.hass, home.freezer, rows)
    home.freezer.move_to(START)
    await export(home, enabled=False)
    values = seen(home)
    for time, _, state, _ in rows:
        assert values[time] == float(state) * 1000
    assert len(values) == 33 + 300
    assert all(point.writes == 1 for point in home.points(field_name=FIELD))


async def test_renamed(home: Home) -> None:
    """A renamed entity keeps its past."""
    made = await home.add_export({register(home.hass, POWER): FIELD}, enabled=False)
    er.async_get(home.hass).async_update_entity(POWER, new_entity_id="sensor.other")
    home.hass.states.async_remove(POWER)
    home.hass.states.async_set("sensor.other", "4.0", KW)
    await home.hass.async_block_till_done()
    await async_wait_recording_done(home.hass)
    await ask(home, made, start=before(days=2), end=before(minutes=1))
    assert seen(home)[before(hours=4)] == 2500.0
    assert seen(home)[before(hours=9)] == 109_000.0


def refuse_before(home: Home, time: datetime) -> None:
    """Let the service take nothing that is older."""
    home.simulator.switches.max_age_s = (START - time).total_seconds() + 60


def many(count: int, entity_id: str = POWER) -> list[Row]:
    """Return states of the last hours before the start, 10 seconds apart."""
    return [
        (before(seconds=10 * number + 5), entity_id, str(number), KW)
        for number in range(count)
    ]


async def test_too_old(home: Home) -> None:
    """The first value that is too old ends it, in few requests; the user is told from when on."""
    events = async_capture_events(home.hass, EVENT_HISTORY_EXPORTED)
    await record(home.hass, home.freezer, many(2000))
    home.freezer.move_to(START)
    border = before(seconds=11_000)
    refuse_before(home, border)
    made = await home.add_export({POWER: FIELD}, **PAST, enabled=False)
    home.simulator.log.reset()
    await home.wait(6)
    values = seen(home)
    assert len(home.writes) < 30
    assert min(values) - border < MINUTE
    _, attributes = history(home, made)
    assert attributes["stored"] == len(values)
    assert attributes["refused"] == 0
    assert attributes["outside"] > 0
    assert "time range" in attributes["reason"]
    until = datetime.fromisoformat(attributes["outside_until"])
    assert until == min(values) - timedelta(seconds=10)
    [event] = events
    assert event.data["outside_until"] == attributes["outside_until"]
    assert not (await home.entry.runtime_data.exporter.outbox.rejects())
    assert home.shown(made, "rejected") == "0"


@pytest.mark.parametrize("enabled", [True, False])
async def test_all_too_old(home: Home, enabled: bool) -> None:
    """A range that is too old altogether costs few requests, whatever is known of the fields."""
    others = {f"sensor.power{number}": f"power{number}_W" for number in range(5)}
    for entity_id in others:
        await add_means(
            home.hass,
            "hour",
            entity_id,
            "W",
            {before(hours=n): 1.0 for n in range(48, 240)},
        )
        home.hass.states.async_set(entity_id, "1", {"unit_of_measurement": "W"})
    made = await home.add_export(others, enabled=enabled)
    await home.wait(6)
    refuse_before(home, before(days=1))
    home.simulator.log.reset()
    await ask(home, made, start=before(days=10), end=before(days=2))
    assert len(home.writes) < 25
    _, attributes = history(home, made)
    assert (attributes["stored"], attributes["refused"]) == (0, 0)
    assert attributes["outside"] > 0
    assert attributes["outside_until"] == before(days=2, hours=1).isoformat()


REFUSED = pytest.mark.expected_log("The past of House .* refused")


@REFUSED
async def test_type_conflict(home: Home) -> None:
    """A field that is kept with another type is left out; the others go on, in few requests."""
    home.simulator.store.write(
        [
            IncomingPoint(
                SeriesKey("demo", "rp_one_m", "gridMetrics", (("serialNr", "1234"),)),
                0,
                {"words": "idle"},
            )
        ]
    )
    await record(
        home.hass, home.freezer, [*many(500, "sensor.words"), *many(500, "sensor.b")]
    )
    home.freezer.move_to(START)
    made = await home.add_export(
        {"sensor.words": "words", POWER: FIELD, "sensor.b": "b_W"},
        **PAST,
        enabled=False,
    )
    home.simulator.log.reset()
    await home.wait(6)
    assert len(home.writes) < 25
    assert len(seen(home)) == 33
    assert len(seen(home, "b_W")) == 500
    assert len(seen(home, "words")) == 1
    _, attributes = history(home, made)
    assert (attributes["stored"], attributes["refused"]) == (533, 500)
    assert attributes["outside_until"] is None
    assert "type conflict" in attributes["reason"]
    assert not home.issues()


@REFUSED
async def test_changing_type(home: Home) -> None:
    """Of a field whose values are words and numbers the service takes one kind."""
    states: list[Row] = [
        (before(minutes=60 - number), "sensor.mixed", state, {})
        for number, state in enumerate(["auto", "7", "auto", "8", "manual", "9"] * 5)
    ]
    await record(home.hass, home.freezer, states)
    home.freezer.move_to(START)
    made = await export(home, {"sensor.mixed": "mixed"}, enabled=False)
    assert set(seen(home, "mixed").values()) == {7.0, 8.0, 9.0}
    assert history(home, made)[1]["stored"] == 15
    assert history(home, made)[1]["refused"] == 15
    assert len(home.writes) < 12


@REFUSED
async def test_nothing_is_taken(home: Home) -> None:
    """Where the service takes none of the fields, no more is read."""
    home.simulator.store.write(
        [
            IncomingPoint(
                SeriesKey("demo", "rp_one_m", "gridMetrics", (("serialNr", "1234"),)),
                0,
                {FIELD: "idle"},
            )
        ]
    )
    made = await home.add_export({POWER: FIELD}, **PAST, enabled=False)
    home.simulator.log.reset()
    await home.wait(6)
    percent, attributes = history(home, made)
    assert percent == "100.0"
    assert attributes["stored"] == 0
    assert attributes["refused"] > 0
    assert len(home.writes) < 8


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
    [reject] = await home.entry.runtime_data.exporter.outbox.rejects()
    assert reject.sample.field == "_b"
    await home.wait(31)
    assert home.shown(made, "rejected") == "1"


async def test_too_large(home: Home) -> None:
    """A server that takes little at once gets little at once."""
    home.simulator.switches.max_body = 1500
    await export(home, enabled=False)
    assert len(seen(home)) == 33


def hold(
    monkeypatch: pytest.MonkeyPatch, number: int, *, fail: bool = False
) -> tuple[asyncio.Event, asyncio.Event]:
    """Hold a request; return what tells that it has come, and what lets it go on or fail."""
    reached, go_on = asyncio.Event(), asyncio.Event()
    requests = 0
    write = Session.write_encoded

    async def write_encoded(*args: Any, **kwargs: Any) -> None:
        nonlocal requests
        requests += 1
        if requests == number:
            reached.set()
            await go_on.wait()
            if fail:
                raise EnirisConnectionError("the connection was cut")
        await write(*args, **kwargs)

    monkeypatch.setattr(Session, "write_encoded", write_encoded)
    return reached, go_on


async def test_the_present_goes_first(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is taken while the past goes up waits for one request of it at most."""
    monkeypatch.setattr(outbox_module, "BATCH_POINTS", 10)
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
    await home.entry.runtime_data.exporter._async_flush(START)
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


@pytest.mark.parametrize("kill", [False, True])
async def test_restart(home: Home, monkeypatch: pytest.MonkeyPatch, kill: bool) -> None:
    """After a restart it goes on where it was: nothing is lost, nothing sent twice."""
    monkeypatch.setattr(backfill, "SAMPLES_WANTED", 30)
    await record(home.hass, home.freezer, many(600))
    home.freezer.move_to(START)
    with monkeypatch.context() as patched:
        reached, go_on = hold(patched, 6, fail=True)
        patched.setattr(Home, "settle", lambda home: home.hass.async_block_till_done())
        await home.add_export({POWER: FIELD}, **PAST, enabled=False)
        home.entry.runtime_data.exporter._backfill.async_wake()
        await reached.wait()
        file = outbox_path(
            Path(home.hass.config.path(STORAGE_DIR)), home.entry.entry_id
        )
        copies = {path: path.read_bytes() for path in file.parent.glob(f"{file.name}*")}
        unloading = home.hass.async_create_task(
            home.hass.config_entries.async_unload(home.entry.entry_id)
        )
        go_on.set()
        await unloading
    if kill:
        for path in file.parent.glob(f"{file.name}*"):
            path.unlink()
        for path, content in copies.items():
            path.write_bytes(content)
    assert 0 < len(seen(home)) < 600
    await home.hass.config_entries.async_setup(home.entry.entry_id)
    await home.wait(6)
    values = seen(home)
    assert {before(seconds=10 * number + 5) for number in range(600)} <= values.keys()
    assert all(point.writes == 1 for point in home.points(field_name=FIELD))
    [made] = home.exports
    assert history(home, made)[1]["stored"] == len(values)
    events = async_capture_events(home.hass, EVENT_HISTORY_EXPORTED)
    await home.hass.config_entries.async_reload(home.entry.entry_id)
    await home.wait(12)
    assert not events


async def test_asked_twice(home: Home) -> None:
    """A range that waits already is not sent again; another one waits for its turn."""
    made = await home.add_export({POWER: FIELD}, enabled=False)
    events = async_capture_events(home.hass, EVENT_HISTORY_EXPORTED)
    queued = []
    for hours in (5, 5, 3, 24):
        response = await home.hass.services.async_call(
            DOMAIN,
            SERVICE_EXPORT_HISTORY,
            {"device_id": device_id(home, made), "start": before(hours=hours)},
            blocking=True,
            return_response=True,
        )
        assert response is not None
        queued.append(response["queued"])
    assert queued == [True, False, False, True]
    await home.settle()
    assert [event.data["stored"] for event in events] == [4, 33]
    assert history(home, made)[1]["start"] == before(hours=24).isoformat()


async def test_no_room(home: Home) -> None:
    """While the outbox is nearly full nothing of the past is put in, and all of it is later."""
    made = await export_later(home)
    assert not seen(home)
    assert history(home, made)[0] == "0.0"
    home.entry.runtime_data.exporter._backfill._limits = Limits(2**30)
    await home.wait(6)
    assert len(seen(home)) == 33


@pytest.mark.expected_log("cannot be uploaded at present")
@pytest.mark.expected_log("has reached its limit")
async def test_dropped_at_the_limit(home: Home) -> None:
    """At the outbox' limit what waits of the past goes first, and is read again."""
    home.simulator.faults.add(INGRESS, "status", status=503)
    made = await export(home)
    exporter = home.entry.runtime_data.exporter
    lane = exporter._backfill._lane
    assert await lane.waiting(1) > 0
    exporter._limits = Limits(1)
    await exporter._enforce_limits()
    assert await lane.waiting(1) == 0
    exporter._limits = Limits(2**30)
    home.simulator.faults.clear()
    home.hass.states.async_set(POWER, "5", KW)
    await exporter.async_upload_now()
    await home.wait(6)
    assert before(hours=23) in seen(home)
    assert {before(hours=5), before(hours=4), before(hours=2)} <= seen(home).keys()
    assert history(home, made)[0] == "100.0"


@pytest.mark.expected_log("cannot be uploaded at present")
async def test_removed(home: Home) -> None:
    """With an export goes what was to be sent of its past."""
    home.simulator.faults.add(INGRESS, "status", status=503)
    made = await export(home, enabled=False)
    lane = home.entry.runtime_data.exporter._backfill._lane
    assert await lane.waiting(1) > 0
    home.hass.config_entries.async_remove_subentry(home.entry, made.subentry_id)
    await home.settle()
    await home.wait(6)
    lane = home.entry.runtime_data.exporter._backfill._lane
    assert await lane.waiting(1) == 0
    assert await lane.jobs() == []
    home.simulator.faults.clear()
    await home.wait(61)
    assert not seen(home)


@pytest.mark.expected_log("The recorder cannot be read")
async def test_recorder_fails(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the recorder cannot be read it waits, says so once, and goes on later."""
    with monkeypatch.context() as patched:
        patched.setattr(
            recorder_history,
            "state_changes_during_period",
            Mock(side_effect=OperationalError("SELECT", None, Exception("locked"))),
        )
        await export(home)
        await home.wait(12)
        assert seen(home) == {before(hours=1): 4000.0}
    await home.wait(6)
    assert len(seen(home)) == 33


async def test_recorder_has_nothing(home: Home) -> None:
    """Without anything recorded it is over at once."""
    home.hass.states.async_set("sensor.new", "on")
    made = await home.add_export({"sensor.new": "new"}, enabled=False)
    await ask(home, made, start=before(hours=5), end=before(hours=4))
    await ask(home, made, start=before(hours=4), end=before(hours=3))
    assert history(home, made)[0] == "100.0"
    assert history(home, made)[1]["stored"] == 0


async def test_stopped_while_reading(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reading that is under way ends when the account is unloaded."""
    reading, go_on = threading.Event(), threading.Event()
    read = recorder_history.state_changes_during_period

    def slow(*args: Any, **kwargs: Any) -> Any:
        reading.set()
        go_on.wait(10)
        return read(*args, **kwargs)

    monkeypatch.setattr(recorder_history, "state_changes_during_period", slow)
    monkeypatch.setattr(recorded, "_STATES_AT_ONCE", 1)
    made = await home.add_export({POWER: FIELD}, enabled=False)
    asked = home.hass.async_create_task(ask(home, made, start=before(days=1)))
    await home.hass.async_add_executor_job(reading.wait, 10)
    assert await home.hass.config_entries.async_unload(home.entry.entry_id)
    go_on.set()
    await asked
    monkeypatch.undo()
    await home.hass.config_entries.async_setup(home.entry.entry_id)
    await home.wait(6)
    assert len(seen(home)) == 33


async def test_attributes_are_not_recorded(home: Home) -> None:
    """How far it has come is for the eye."""
    made = await export(home)
    state = home.hass.states.get(home.entity_id(made, "sensor", "history"))
    assert state is not None
    assert state.state_info is not None
    assert state.state_info["unrecorded_attributes"] >= set(history(home, made)[1])


async def test_offered(home: Home) -> None:
    """A new export is offered to begin with its past, which is then sent once and for all."""
    events = async_capture_events(home.hass, EVENT_HISTORY_EXPORTED)
    dialog = Dialog(home)
    await dialog.to_end_of_trial({POWER: FIELD})
    dialog.expect("written")
    assert not dialog.result["last_step"]
    await dialog.submit({})
    dialog.expect("history")
    assert dialog.result["last_step"]
    assert dialog.shown == {CONF_HISTORY: "nothing"}
    assert dialog.options(CONF_HISTORY) == list(Past)
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
    dialog.expect("written")
    assert dialog.result["last_step"]
    await dialog.submit({})
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
    assert history(home, made)[0] == "unknown"


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
    assert history(home, made)[0] == "unknown"


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


async def test_older_outbox(home: Home) -> None:
    """An outbox that was made before there was any history keeps what waits, and takes it."""
    made = await home.add_export({POWER: FIELD})
    await home.hass.config_entries.async_unload(home.entry.entry_id)
    path = outbox_path(Path(home.hass.config.path(STORAGE_DIR)), home.entry.entry_id)

    def make_older() -> int:
        with closing(sqlite3.connect(path)) as db:
            for table in ("job", "offer", "field", "sample"):
                db.execute(f"DROP TABLE history_{table}")
            db.execute("PRAGMA user_version = 1")
            (uploaded,) = db.execute("SELECT uploaded FROM export").fetchone()
            db.commit()
        return int(uploaded)

    assert await home.hass.async_add_executor_job(make_older) == 1
    assert await home.hass.config_entries.async_setup(home.entry.entry_id)
    await home.wait(31)
    assert home.shown(made, "uploaded") >= "1"
    await ask(home, made, start=before(days=2))
    assert len(seen(home)) == 33


@pytest.mark.expected_log("cannot be uploaded at present")
async def test_each_target_by_itself(home: Home) -> None:
    """A target that does not take anything holds up its own past alone."""
    stuck = await export(home, database="unknown", title="Stuck")
    made = await export(home)
    await home.wait(6)
    assert len(seen(home)) == 33
    assert history(home, made)[0] == "100.0"
    assert history(home, stuck)[0] == "0.0"
    home.simulator.switches.namespaces.add(("unknown", "rp_one_m"))
    await home.entry.runtime_data.exporter.async_upload_now()
    await home.wait(6)
    assert history(home, stuck)[0] == "100.0"
    assert len(home.points(database="unknown", field_name=FIELD)) == 33
