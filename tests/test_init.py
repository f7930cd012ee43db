"""An account's life: set-up, reload, removal, and the service coming and going."""

import asyncio
from datetime import timedelta
import logging
from pathlib import Path
import sqlite3
import threading
from typing import Any

from freezegun.api import FrozenDateTimeFactory
import pytest

from custom_components.eniris.const import (
    CONF_REFRESH_TOKEN,
    CONF_REFRESH_TOKEN_ISSUED,
    DOMAIN,
)
from custom_components.eniris.data import EnirisConfigEntry
from custom_components.eniris.importing.coordinator import KEPT
from homeassistant.config_entries import ConfigEntryDisabler, ConfigEntryState
from homeassistant.const import (
    EVENT_HOMEASSISTANT_FINAL_WRITE,
    EVENT_HOMEASSISTANT_STARTED,
    STATE_ON,
    STATE_UNAVAILABLE,
)
from homeassistant.core import HomeAssistant
from homeassistant.helpers import (
    device_registry as dr,
    entity_registry as er,
    issue_registry as ir,
)
from homeassistant.helpers.storage import STORAGE_DIR
from simulator.server import Simulator
from simulator.tokens import TokenRefusedError
from simulator.world import HomeWorld

from .kit.common import (
    POLL,
    add_export,
    advance,
    advance_in_polls,
    imported_entities,
    set_up_frozen,
    settle,
    state_of,
)

GRID = HomeWorld.GRID_METER
DAY = timedelta(days=1)


def files(hass: HomeAssistant) -> set[str]:
    """Return the names of what is stored for accounts."""
    directory = Path(hass.config.path(STORAGE_DIR))
    return {path.name for path in directory.iterdir() if DOMAIN in path.name}


ROOT = Path(__file__).parents[1]


def traces(hass: HomeAssistant) -> dict[str, Any]:
    """Return everything that an account could leave behind in a running Home Assistant."""
    return {
        "listeners": {
            **hass.bus.async_listeners(),
            # Home Assistant's own stores come and go here, as they have something to write
            EVENT_HOMEASSISTANT_FINAL_WRITE: sum(
                map(
                    _is_ours,
                    hass.bus._listeners.get(EVENT_HOMEASSISTANT_FINAL_WRITE, ()),
                )
            ),
        },
        "threads": sorted(
            thread.name
            for thread in threading.enumerate()
            if DOMAIN in thread.name.lower()
        ),
        "tasks": sorted(
            task.get_name()
            for task in asyncio.all_tasks()
            if _is_ours(task) and task is not asyncio.current_task()
        ),
        "timers": sorted(
            repr(handle)
            for handle in hass.loop._scheduled  # type: ignore[attr-defined]
            if not handle.cancelled() and _is_ours(handle)
        ),
    }


def _is_ours(thing: object) -> bool:
    """Tell whether a task or timer is ours, wherever the checkout lies and whatever its name."""
    return DOMAIN in repr(thing).replace(str(ROOT), "")


def logged(caplog: pytest.LogCaptureFixture) -> list[tuple[int, str]]:
    """Return levels and messages of ours from `info` on."""
    return [
        (record.levelno, record.getMessage())
        for record in caplog.records
        if record.name.startswith("custom_components.eniris")
        and record.levelno >= logging.INFO
    ]


async def test_unload_leaves_nothing(
    hass: HomeAssistant, entry: EnirisConfigEntry
) -> None:
    """An account that is unloaded runs nothing and asks nothing, and is back after a set-up."""
    add_export(hass, entry)
    await settle(hass)
    assert await hass.config_entries.async_unload(entry.entry_id)
    await settle(hass)
    assert entry.state is ConfigEntryState.NOT_LOADED
    unloaded = traces(hass)
    assert not unloaded["threads"]
    assert not unloaded["tasks"]
    assert not unloaded["timers"]

    assert await hass.config_entries.async_setup(entry.entry_id)
    await settle(hass)
    loaded = traces(hass)
    assert loaded["listeners"][EVENT_HOMEASSISTANT_FINAL_WRITE] == 1
    assert await hass.config_entries.async_unload(entry.entry_id)
    await settle(hass)
    # As often as one likes
    assert traces(hass) == unloaded
    assert await hass.config_entries.async_setup(entry.entry_id)
    await settle(hass)
    assert traces(hass)["listeners"] == loaded["listeners"]
    assert len(traces(hass)["tasks"]) == len(loaded["tasks"])
    assert traces(hass)["threads"] == loaded["threads"]
    assert len(files(hass)) == 1 + len(
        [name for name in files(hass) if name.endswith(("-wal", "-shm"))]
    )


async def test_reload_keeps_everything(
    hass: HomeAssistant, user_input: dict[str, Any], freezer: FrozenDateTimeFactory
) -> None:
    """A reload changes neither registry nor states."""
    entry = await set_up_frozen(hass, freezer, user_input)
    await advance(hass, freezer)
    entities = {
        registered.entity_id: (registered.id, hass.states.get(registered.entity_id))
        for registered in imported_entities(hass, entry)
    }
    devices = {
        device.id
        for device in dr.async_entries_for_config_entry(
            dr.async_get(hass), entry.entry_id
        )
    }
    assert await hass.config_entries.async_reload(entry.entry_id)
    await settle(hass)
    await advance(hass, freezer)
    assert {
        registered.entity_id: registered.id
        for registered in imported_entities(hass, entry)
    } == {entity_id: id_ for entity_id, (id_, _) in entities.items()}
    for entity_id, (_, state) in entities.items():
        after = hass.states.get(entity_id)
        if state is not None:
            assert after is not None
            assert after.state != STATE_UNAVAILABLE
    assert {
        device.id
        for device in dr.async_entries_for_config_entry(
            dr.async_get(hass), entry.entry_id
        )
    } == devices


@pytest.mark.parametrize("loaded", [True, False])
async def test_removal(
    hass: HomeAssistant, simulator: Simulator, entry: EnirisConfigEntry, loaded: bool
) -> None:
    """Removing an account logs it out and leaves nothing, whether it is loaded or not."""
    add_export(hass, entry)
    await settle(hass)
    token = entry.data[CONF_REFRESH_TOKEN]
    assert files(hass)
    if not loaded:
        await hass.config_entries.async_unload(entry.entry_id)
        assert files(hass)
    await hass.config_entries.async_remove(entry.entry_id)
    await settle(hass)
    assert simulator.log.count("POST /auth/logout", 204) == 1
    with pytest.raises(TokenRefusedError):
        simulator.mint.read(token)
    assert not files(hass)
    left = traces(hass)
    assert not left["threads"]
    assert not left["tasks"]
    assert not left["timers"]
    assert not hass.states.async_entity_ids("sensor")
    assert not er.async_entries_for_config_entry(er.async_get(hass), entry.entry_id)
    assert not dr.async_entries_for_config_entry(dr.async_get(hass), entry.entry_id)


@pytest.mark.expected_log("was removed, but could not be logged out")
async def test_removal_while_unreachable(
    hass: HomeAssistant, simulator: Simulator, entry: EnirisConfigEntry
) -> None:
    """An account can be removed without the service; the log says what that leaves."""
    await simulator.stop()
    await hass.config_entries.async_remove(entry.entry_id)
    await settle(hass)
    assert not hass.config_entries.async_entries(DOMAIN)
    assert not files(hass)


async def test_removal_of_a_dead_log_in(
    hass: HomeAssistant, simulator: Simulator, entry: EnirisConfigEntry
) -> None:
    """A token that is refused already needs no log-out and no word in the log."""
    simulator.revoke("demo@example.com", "refresh")
    await hass.config_entries.async_remove(entry.entry_id)
    await settle(hass)
    assert simulator.log.count("POST /auth/logout", 401) == 1
    assert not hass.config_entries.async_entries(DOMAIN)


async def test_refresh_token_is_renewed_daily(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> None:
    """A renewed token is stored at once, and that alone reloads nothing."""
    entry = await set_up_frozen(hass, freezer, user_input)
    loaded_with = entry.runtime_data
    tokens = [entry.data[CONF_REFRESH_TOKEN]]
    for day in range(1, 4):
        await advance(hass, freezer, DAY)
        tokens.append(entry.data[CONF_REFRESH_TOKEN])
        assert simulator.log.count("GET /auth/refreshtoken", 200) == day
        issued = entry.data[CONF_REFRESH_TOKEN_ISSUED]
        assert issued == pytest.approx(freezer().timestamp(), abs=1)
        await advance_in_polls(hass, freezer, 3 * POLL)
    assert len(set(tokens)) == 4
    assert simulator.log.count("GET /auth/refreshtoken") == 3
    assert entry.runtime_data is loaded_with
    assert state_of(hass, entry, GRID, "actualPowerTot_W") != STATE_UNAVAILABLE
    assert simulator.mint.read(tokens[-1])


async def test_disabled_account_is_forgotten(
    hass: HomeAssistant, user_input: dict[str, Any], freezer: FrozenDateTimeFactory
) -> None:
    """Nothing is kept of what an account knew once it is disabled."""
    entry = await set_up_frozen(hass, freezer, user_input)
    await hass.config_entries.async_set_disabled_by(
        entry.entry_id, ConfigEntryDisabler.USER
    )
    await settle(hass)
    assert entry.entry_id not in hass.data.get(KEPT, {})


@pytest.mark.expected_log("Error fetching Eniris devices data: Can't reach Eniris")
async def test_set_up_while_unreachable(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """An account loads without the service; once that is back the entities appear by themselves."""
    entry = await set_up_frozen(hass, freezer, user_input)
    assert await hass.config_entries.async_unload(entry.entry_id)
    er.async_get(hass).async_clear_config_entry(entry.entry_id)
    # As after a start of Home Assistant
    hass.data.pop(KEPT)
    await simulator.stop()
    caplog.clear()
    assert await hass.config_entries.async_setup(entry.entry_id)
    await settle(hass)
    assert entry.state is ConfigEntryState.LOADED
    assert not imported_entities(hass, entry)
    await advance_in_polls(hass, freezer, timedelta(minutes=30))
    # There is nothing else to be read before the metadata
    [(level, message)] = logged(caplog)
    assert level == logging.ERROR
    assert message.startswith("Error fetching Eniris devices data: ")
    assert "Can't reach Eniris" in message
    assert "demo" not in message

    await simulator.start(port=simulator.port)
    await advance_in_polls(hass, freezer, 3 * POLL)
    assert len(imported_entities(hass, entry)) > 80
    assert state_of(hass, entry, GRID, "actualPowerTot_W") != STATE_UNAVAILABLE
    _, (level, message) = logged(caplog)
    assert level == logging.INFO
    assert message == "Fetching Eniris devices data recovered"


@pytest.mark.parametrize("path", ["/auth/", "/v1/device/query", "/v1/telemetry/query"])
async def test_service_hangs_at_start(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
    path: str,
) -> None:
    """Nothing of the export waits for the service, nor does Home Assistant; what it tells comes later."""
    entry = await set_up_frozen(hass, freezer, user_input)
    export = add_export(hass, entry)
    await settle(hass)
    assert await hass.config_entries.async_unload(entry.entry_id)
    # As after a start of Home Assistant
    hass.data.pop(KEPT)
    fault = simulator.faults.add(path, "delay", delay=3)
    assert await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done()
    assert not entry.runtime_data.first_refresh.done()
    assert entry.state is ConfigEntryState.LOADED
    registry = er.async_get(hass)
    of_export = [
        state
        for registered in er.async_entries_for_config_entry(registry, entry.entry_id)
        if registered.config_subentry_id == export.subentry_id
        and registered.disabled_by is None
        and (state := hass.states.get(registered.entity_id))
    ]
    assert len(of_export) > 5
    assert not [state for state in of_export if state.state == STATE_UNAVAILABLE]
    connected = registry.async_get_entity_id(
        "binary_sensor", DOMAIN, f"{entry.unique_id}_connected"
    )
    assert connected
    fault.times = 0
    await settle(hass)
    assert hass.states.is_state(connected, STATE_ON)
    assert state_of(hass, entry, GRID, "actualPowerTot_W") != STATE_UNAVAILABLE


@pytest.mark.expected_log("fetching Eniris .*login")
async def test_dead_log_in_at_set_up(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> None:
    """A log-in that has ended asks for a new one, and the account loads all the same."""
    entry = await set_up_frozen(hass, freezer, user_input)
    assert await hass.config_entries.async_unload(entry.entry_id)
    simulator.revoke("demo@example.com", "refresh")
    assert await hass.config_entries.async_setup(entry.entry_id)
    await settle(hass)
    assert entry.state is ConfigEntryState.LOADED
    [flow] = hass.config_entries.flow.async_progress()
    assert flow["context"]["entry_id"] == entry.entry_id
    # No retry loop
    simulator.log.reset()
    await advance_in_polls(hass, freezer, timedelta(minutes=10))
    assert len(simulator.log.requests) <= 2
    assert len(hass.config_entries.flow.async_progress()) == 1


async def test_two_accounts(
    hass: HomeAssistant, user_input: dict[str, Any], freezer: FrozenDateTimeFactory
) -> None:
    """Two accounts live side by side, also where both see the same nodes."""
    first = await set_up_frozen(hass, freezer, user_input)
    second = await set_up_frozen(
        hass, freezer, {**user_input, "username": "norole@example.com"}
    )
    assert len(imported_entities(hass, first)) == len(imported_entities(hass, second))
    await hass.config_entries.async_remove(first.entry_id)
    await advance(hass, freezer)
    assert state_of(hass, second, GRID, "actualPowerTot_W") != STATE_UNAVAILABLE
    assert len(files(hass)) >= 1


async def test_stop_of_home_assistant(
    hass: HomeAssistant, entry: EnirisConfigEntry
) -> None:
    """When Home Assistant stops, the outbox is closed: one whole file, and no thread."""
    add_export(hass, entry)
    await settle(hass)
    hass.bus.async_fire(EVENT_HOMEASSISTANT_STARTED)
    await hass.async_stop(force=True)
    left = traces(hass)
    assert not left["threads"]
    assert not left["tasks"]
    # Its log is merged into the file when the last connection is closed
    assert not [name for name in files(hass) if name.endswith(("-wal", "-shm"))]
    assert len(files(hass)) == 1


@pytest.mark.expected_log("outbox cannot be opened")
async def test_outbox_that_cannot_be_opened(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The account is read and values go up all the same; an issue tells of it, and it is tried again."""
    entry = await set_up_frozen(hass, freezer, user_input)
    add_export(hass, entry)
    await settle(hass)
    assert await hass.config_entries.async_unload(entry.entry_id)

    def disk_full(*args: Any, **kwargs: Any) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    def issues() -> set[str | None]:
        return {
            issue.translation_key
            for issue in ir.async_get(hass).issues.values()
            if issue.domain == DOMAIN and issue.active
        }

    with monkeypatch.context() as patch:
        patch.setattr(sqlite3, "connect", disk_full)
        await hass.config_entries.async_setup(entry.entry_id)
        await settle(hass)
        assert entry.state is ConfigEntryState.LOADED
        assert entry.runtime_data.telemetry.last_update_success
        assert "outbox_closed" in issues()
        await hass.services.async_call(
            DOMAIN,
            "push",
            {
                "config_entry_id": entry.entry_id,
                "collector": "demo-ingress",
                "database": "demo",
                "retention_policy": "rp_one_m",
                "points": [
                    {
                        "measurement": "exampleMetrics",
                        "tags": {"serialNr": "1"},
                        "fields": {"power_W": 7.0},
                    }
                ],
            },
            blocking=True,
        )
        await hass.async_block_till_done(wait_background_tasks=True)
        assert simulator.store.points(field_name="power_W")
    await advance(hass, freezer, timedelta(minutes=1, seconds=1))
    # Timers of the background are not waited for otherwise
    await hass.async_block_till_done(wait_background_tasks=True)
    assert "outbox_closed" not in issues()
