"""The runner: all of the past of a job, chunk by chunk, whatever becomes of its entities and of the service meanwhile."""

import asyncio
from collections.abc import Collection
from datetime import datetime, timedelta
from pathlib import Path
import threading
from typing import Any

import pytest
from pytest_homeassistant_custom_component.common import async_capture_events
from pytest_homeassistant_custom_component.components.recorder.common import (
    async_wait_recording_done,
)
from sqlalchemy import delete, update
from sqlalchemy.exc import OperationalError

from custom_components.eniris.api import Session
from custom_components.eniris.const import EVENT_HISTORY_EXPORTED
from custom_components.eniris.exporting.history import recorder, runner
from custom_components.eniris.exporting.history.coverage import (
    RecorderCoverage,
    read_coverage,
)
from custom_components.eniris.exporting.outbox.live import load_rejects
from custom_components.eniris.exporting.outbox.store import outbox_path
from homeassistant.components.recorder import history as recorder_history
from homeassistant.components.recorder.db_schema import States, StatisticsShortTerm
from homeassistant.core import HomeAssistant
from homeassistant.helpers import entity_registry as er
from homeassistant.helpers.recorder import get_instance, session_scope
from homeassistant.helpers.storage import STORAGE_DIR
from simulator.model import SeriesKey
from simulator.store import IncomingPoint
from tests.kit.backfill import (
    FIELD,
    KW,
    PAST,
    add_means,
    ask,
    before,
    export,
    history,
    hold,
    many,
    record,
    refuse_before,
    register,
    seen,
    works,
)
from tests.kit.exports import POWER, START, Home, export_data

MINUTE = timedelta(minutes=1)


async def test_dense(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """However much there is in an hour, it is read in pieces, with nothing lost between them."""
    monkeypatch.setattr(runner, "SAMPLES_WANTED", 20)
    monkeypatch.setattr(recorder, "_WINDOW", timedelta(seconds=21))
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


def rename(home: Home, old: str, new: str) -> None:
    """Rename an entity as the user does."""
    er.async_get(home.hass).async_update_entity(old, new_entity_id=new)
    home.hass.states.async_remove(old)
    home.hass.states.async_set(new, "4.0", KW)


@pytest.mark.parametrize("names", [["other"], ["other", "third"], ["other", "power"]])
async def test_renamed_while_it_is_sent(
    home: Home, monkeypatch: pytest.MonkeyPatch, names: list[str]
) -> None:
    """All of the past of an entity is sent, however often it is renamed meanwhile."""
    await record(home.hass, home.freezer, many(600))
    home.freezer.move_to(START)
    monkeypatch.setattr(runner, "SAMPLES_WANTED", 100)
    reference = er.async_get(home.hass).async_get(POWER)
    assert reference is not None
    made = await home.add_export({reference.id: FIELD}, enabled=False)
    write, requests, current = Session.write_body, 0, POWER

    async def write_body(*args: Any, **kwargs: Any) -> Any:
        nonlocal requests, current
        requests += 1
        if requests > 2 and names:
            old, current = current, f"sensor.{names.pop(0)}"
            rename(home, old, current)
        return await write(*args, **kwargs)

    monkeypatch.setattr(Session, "write_body", write_body)
    await ask(home, made, start=before(days=2), end=before(seconds=1))
    assert {row[0] for row in many(600)} <= seen(home).keys()
    assert before(hours=23) in seen(home)


async def test_renamed_while_it_is_read(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was read under an id that was another's meanwhile is read again, also where it is back."""
    read, reads = recorder.Reader.read, 0
    loop = asyncio.get_running_loop()

    def renamed_meanwhile(*args: Any) -> recorder.Chunk | None:
        nonlocal reads
        reads += 1
        if reads > 1:
            return read(*args)

        async def renamed(old: str, new: str) -> None:
            home.freezer.tick()
            rename(home, old, new)
            await get_instance(home.hass).async_block_till_done()

        def wait_for(old: str, new: str) -> None:
            asyncio.run_coroutine_threadsafe(renamed(old, new), loop).result(10)

        wait_for(POWER, "sensor.other")
        chunk = read(*args)
        wait_for("sensor.other", POWER)
        assert chunk is not None
        assert not chunk.samples
        return chunk

    reference = er.async_get(home.hass).async_get(POWER)
    assert reference is not None
    made = await home.add_export({reference.id: FIELD}, enabled=False)
    monkeypatch.setattr(recorder.Reader, "read", renamed_meanwhile)
    await ask(home, made, start=before(days=2), end=before(minutes=1))
    assert len(seen(home)) == 33


@pytest.mark.expected_log("The recorder cannot be read")
async def test_renamed_while_the_recorder_fails(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the recorder had under the old id is not taken for what it has under the new one."""
    await record(home.hass, home.freezer, many(600))
    home.freezer.move_to(START)
    monkeypatch.setattr(runner, "SAMPLES_WANTED", 30)
    reference = er.async_get(home.hass).async_get(POWER)
    assert reference is not None
    made = await home.add_export({reference.id: FIELD}, enabled=False)
    write, requests, failures = Session.write_body, 0, 0

    async def write_body(*args: Any, **kwargs: Any) -> Any:
        nonlocal requests
        requests += 1
        if requests == 4:
            rename(home, POWER, "sensor.other")
        return await write(*args, **kwargs)

    def fail_twice(hass: HomeAssistant, ids: Collection[str]) -> RecorderCoverage:
        nonlocal failures
        if requests >= 4 and failures < 2:
            failures += 1
            raise OperationalError("SELECT", None, Exception("locked"))
        return read_coverage(hass, ids)

    monkeypatch.setattr(Session, "write_body", write_body)
    monkeypatch.setattr(runner, "read_coverage", fail_twice)
    await ask(home, made, start=before(days=2), end=before(seconds=1))
    await home.wait(16)
    assert failures == 2
    assert {row[0] for row in many(600)} <= seen(home).keys()
    assert before(hours=23) in seen(home)


async def test_unit_changed_while_it_is_sent(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A field without a unit has statistics in the unit that its entity has when they are read."""
    await add_means(
        home.hass, "hour", POWER, "kW", {before(hours=n): 2.0 for n in range(24, 500)}
    )
    monkeypatch.setattr(runner, "SAMPLES_WANTED", 30)
    home.hass.states.async_set(POWER, "4.0", KW)
    made = await home.add_export({POWER: "power"}, enabled=False)
    write = Session.write_body

    async def write_body(*args: Any, **kwargs: Any) -> Any:
        home.hass.states.async_set(POWER, "4", {**KW, "unit_of_measurement": "W"})
        return await write(*args, **kwargs)

    monkeypatch.setattr(Session, "write_body", write_body)
    await ask(home, made, start=before(days=30))
    values = seen(home, "power")
    assert values[before(hours=499)] == 2000.0
    assert len(values) == 509


async def test_removed_and_there_again(home: Home) -> None:
    """A job waits for an entity whose integration is set up anew."""
    registry = er.async_get(home.hass)
    entry = registry.async_get(POWER)
    assert entry is not None
    made = await home.add_export({entry.id: FIELD}, enabled=False)
    registry.async_remove(POWER)
    home.hass.states.async_remove(POWER)
    await ask(home, made, start=before(days=2), end=before(minutes=1))
    await home.wait(60, step=10)
    assert not seen(home)
    assert history(home, made)[0] == "0.0"
    assert register(home.hass, POWER) == entry.id
    await home.wait(6)
    assert len(seen(home)) == 33
    assert history(home, made)[0] == "100.0"


async def test_one_of_two_is_gone(home: Home) -> None:
    """An entity that does not come back holds up the others for some minutes."""
    registry = er.async_get(home.hass)
    entry = registry.async_get(POWER)
    assert entry is not None
    gone = register(home.hass, "sensor.gone")
    made = await home.add_export({entry.id: FIELD, gone: "gone_W"}, enabled=False)
    registry.async_remove("sensor.gone")
    await ask(home, made, start=before(days=2), end=before(minutes=1))
    await home.wait(660, step=30)
    assert len(seen(home)) == 33
    assert history(home, made)[0] == "100.0"


async def test_export_changed_while_it_is_sent(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A field that gets another name gets all of the past, under the one or the other."""
    await record(home.hass, home.freezer, many(600))
    home.freezer.move_to(START)
    monkeypatch.setattr(runner, "SAMPLES_WANTED", 30)
    with monkeypatch.context() as patched:
        reached, go_on = hold(patched, 6, fail=True)
        patched.setattr(Home, "settle", lambda home: home.hass.async_block_till_done())
        made = await home.add_export({POWER: FIELD}, **PAST, enabled=False)
        home.entry.runtime_data.exporter.backfill._async_wake()
        await reached.wait()
        data = export_data(
            {POWER: "renamed_W"}, **PAST, enabled=False, database="other"
        )
        home.hass.config_entries.async_update_subentry(home.entry, made, data=data)
        go_on.set()
        await home.hass.async_block_till_done()
    home.simulator.switches.namespaces.add(("other", "rp_one_m"))
    await home.wait(6)
    old = seen(home)
    new = seen(home, "renamed_W")
    assert old
    assert new
    assert {row[0] for row in many(600)} <= old.keys() | new.keys()


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
    assert not (await home.entry.runtime_data.exporter.outbox.store.run(load_rejects))
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
    await works(home)
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
    await works(home)
    made = await home.add_export({POWER: FIELD}, **PAST, enabled=False)
    home.simulator.log.reset()
    await home.wait(6)
    percent, attributes = history(home, made)
    assert percent == "100.0"
    assert attributes["stored"] == 0
    assert attributes["refused"] > 0
    assert len(home.writes) < 8


@pytest.mark.parametrize("kill", [False, True])
async def test_restart(home: Home, monkeypatch: pytest.MonkeyPatch, kill: bool) -> None:
    """After a restart it goes on where it was: nothing is lost, nothing sent twice."""
    monkeypatch.setattr(runner, "SAMPLES_WANTED", 30)
    await record(home.hass, home.freezer, many(600))
    home.freezer.move_to(START)
    with monkeypatch.context() as patched:
        reached, go_on = hold(patched, 6, fail=True)
        patched.setattr(Home, "settle", lambda home: home.hass.async_block_till_done())
        await home.add_export({POWER: FIELD}, **PAST, enabled=False)
        home.entry.runtime_data.exporter.backfill._async_wake()
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


async def test_stopped_while_reading(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reading that is under way ends when the account is unloaded."""
    reading, go_on = threading.Event(), threading.Event()
    read = recorder_history.get_significant_states

    def slow(*args: Any, **kwargs: Any) -> Any:
        reading.set()
        go_on.wait(10)
        return read(*args, **kwargs)

    monkeypatch.setattr(recorder_history, "get_significant_states", slow)
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


async def test_deleted_by_the_recorder_meanwhile(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the recorder deletes states before they are read, statistics take their place."""
    monkeypatch.setattr(runner, "_LONGEST_LENGTH", timedelta(hours=1))
    read, purged = recorder.Reader.read, list[datetime]()

    def read_purged(reader: recorder.Reader, at_most: int | None) -> Any:
        if reader.until <= before(hours=2) and not purged:
            purged.append(reader.until)
            with session_scope(hass=home.hass) as session:
                session.execute(update(States).values(old_state_id=None))
                session.execute(
                    delete(States).where(
                        States.last_updated_ts < before(hours=2.5).timestamp()
                    )
                )
                session.execute(delete(StatisticsShortTerm))
        return read(reader, at_most)

    monkeypatch.setattr(recorder.Reader, "read", read_purged)
    await export(home)
    assert purged
    sent = seen(home)
    assert [sent[before(hours=hours)] for hours in (5, 4, 3)] == [
        105_000.0,
        104_000.0,
        103_000.0,
    ]
