"""The past in the forms: when an account is added, and later with its progress."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
import time
from typing import Any

from freezegun.api import FrozenDateTimeFactory
import pytest
from pytest_homeassistant_custom_component.common import async_capture_events
from pytest_homeassistant_custom_component.typing import ClientSessionGenerator

from custom_components.eniris.const import CONF_CODE, CONF_HISTORY, DOMAIN
from custom_components.eniris.data import EnirisConfigEntry
from custom_components.eniris.importing.history.importer import EVENT_IMPORTED
from homeassistant.components.recorder.core import Recorder
from homeassistant.config_entries import ConfigEntryState, ConfigFlowResult
from homeassistant.const import CONF_USERNAME
from homeassistant.core import Event, HomeAssistant
from homeassistant.data_entry_flow import FlowResultType, UnknownFlow
from homeassistant.setup import async_setup_component
from simulator.accounts import DEMO_TOTP_SECRET
from simulator.server import Simulator
from simulator.totp import totp
from simulator.world import HomeWorld
from tests.kit.common import entity_id_of, set_up_frozen, settle, start_flow, submit
from tests.kit.exports import suggested
from tests.kit.history import (
    DAY,
    HOUR,
    IMPORTED,
    LONG_AGO,
    MINUTE,
    NOW,
    POWER,
    THIS_HOUR,
    account_state,
    asked_of_the_past,
    finished,
    measure,
    measure_hourly,
    only_a_meter,
    pass_time,
    was_imported,
)
from tests.kit.meter import METER
from tests.kit.recorded import live, rows


@pytest.fixture
def world() -> HomeWorld:
    """Return the world of a home."""
    return HomeWorld(seed=1)


LOGOUT = "POST /auth/logout"
PROGRESSED = "data_entry_flow_progressed"

# Midnight of this day in Brussels
TODAY = datetime(2026, 7, 14, 22, tzinfo=UTC)


pytestmark = pytest.mark.usefixtures("place_and_time")


@pytest.fixture
def meter(simulator: Simulator, place_and_time: None) -> None:
    """Let the account have one meter that has measured power for ten days."""
    only_a_meter(simulator, POWER)
    measure_hourly(simulator, THIS_HOUR - 10 * DAY, NOW, **{POWER: 100.0})


async def to_history(hass: HomeAssistant, user_input: dict[str, Any]) -> str:
    """Log in, and return the dialog that then asks for the past."""
    flow_id = await start_flow(hass)
    result = await submit(hass, flow_id, user_input)
    check_question(result, with_nothing=True)
    return flow_id


def check_question(
    result: Mapping[str, Any],
    *,
    with_nothing: bool,
    errors: Mapping[str, str] | None = None,
) -> None:
    """Check that a form asks for the past."""
    assert result["type"] is FlowResultType.FORM
    assert result["step_id"] == "history"
    assert (result["errors"] or {}) == (errors or {})
    fields = {str(key): value for key, value in result["data_schema"].schema.items()}
    assert fields["back"].config["options"] == [
        *(["none"] if with_nothing else []),
        "days_7",
        "days_30",
        "days_365",
        "since",
    ]


async def choose(
    hass: HomeAssistant, flow_id: str, typed: dict[str, str]
) -> ConfigFlowResult:
    """Choose how far back, and then the day where that is asked for."""
    result = await submit(hass, flow_id, {"back": typed["back"]})
    if "since" in typed:
        assert result["step_id"] == "history_date"
        result = await submit(hass, flow_id, {"since": typed["since"]})
    return result


def entries(hass: HomeAssistant) -> list[EnirisConfigEntry]:
    """Return the accounts that there are."""
    return hass.config_entries.async_entries(DOMAIN)


# When an account is added


@pytest.mark.parametrize(
    ("typed", "start"),
    [
        ({"back": "none"}, None),
        ({"back": "days_7"}, TODAY - 7 * DAY),
        ({"back": "days_30"}, TODAY - 30 * DAY),
        # It was winter then: midnight was an hour later
        ({"back": "days_365"}, TODAY - 365 * DAY),
        ({"back": "since", "since": "2026-07-14"}, TODAY - DAY),
        (
            {"back": "since", "since": "2026-01-01"},
            datetime(2025, 12, 31, 23, tzinfo=UTC),
        ),
    ],
)
async def test_how_far_back(
    recorder_mock: Recorder,
    hass: HomeAssistant,
    simulator: Simulator,
    meter: None,
    user_input: dict[str, Any],
    typed: dict[str, str],
    start: datetime | None,
) -> None:
    """The log-in is followed by the question, and the account keeps since when; days are local."""
    flow_id = await to_history(hass, user_input)
    assert not entries(hass)
    result = await choose(hass, flow_id, typed)
    assert result["type"] is FlowResultType.CREATE_ENTRY
    [entry] = entries(hass)
    assert entry.state is ConfigEntryState.LOADED
    kept = entry.data.get(CONF_HISTORY)
    assert (None if kept is None else datetime.fromisoformat(kept)) == start
    # The token is the account's, and is not logged out with the dialog
    assert simulator.log.count(LOGOUT) == 0
    assert simulator.log.count("POST /v1/device/query", 200) == 1


async def test_what_the_form_suggests(
    recorder_mock: Recorder,
    hass: HomeAssistant,
    meter: None,
    user_input: dict[str, Any],
) -> None:
    """A month is suggested; what was chosen is still there after an error, and with the next account not."""
    flow_id = await start_flow(hass)
    result = await submit(hass, flow_id, user_input)
    assert result["data_schema"]
    assert suggested(result["data_schema"]) == {"back": "days_30"}
    result = await choose(hass, flow_id, {"back": "since", "since": "2026-07-15"})
    assert result["data_schema"]
    assert suggested(result["data_schema"]) == {"since": "2026-07-15"}
    other = {**user_input, CONF_USERNAME: "norole@example.com"}
    result = await submit(hass, await start_flow(hass), other)
    assert result["data_schema"]
    assert suggested(result["data_schema"]) == {"back": "days_30"}


async def test_after_a_second_factor(
    recorder_mock: Recorder,
    hass: HomeAssistant,
    simulator: Simulator,
    meter: None,
    user_input: dict[str, Any],
) -> None:
    """The question comes after the second factor, not before it."""
    flow_id = await start_flow(hass)
    await submit(hass, flow_id, {**user_input, CONF_USERNAME: "totp@example.com"})
    result = await submit(hass, flow_id, {"next_step_id": "totp"})
    assert result["step_id"] == "totp"
    code = totp(DEMO_TOTP_SECRET, datetime.now(UTC))
    check_question(await submit(hass, flow_id, {CONF_CODE: code}), with_nothing=True)
    result = await submit(hass, flow_id, {"back": "none"})
    assert result["type"] is FlowResultType.CREATE_ENTRY
    assert result["result"].unique_id == "1002"
    assert simulator.log.count(LOGOUT) == 0


@pytest.mark.parametrize("day", ["2026-07-15", "2027-01-01"])
async def test_impossible_date(
    recorder_mock: Recorder,
    hass: HomeAssistant,
    meter: None,
    user_input: dict[str, Any],
    day: str,
) -> None:
    """What is wrong with the date is told at its field; corrected, the account is added."""
    flow_id = await to_history(hass, user_input)
    result = await choose(hass, flow_id, {"back": "since", "since": day})
    assert result["step_id"] == "history_date"
    assert result["errors"] == {"since": "date_not_past"}
    assert not entries(hass)
    result = await submit(hass, flow_id, {"since": "2026-07-10"})
    assert result["type"] is FlowResultType.CREATE_ENTRY
    kept = datetime.fromisoformat(entries(hass)[0].data[CONF_HISTORY])
    assert kept == TODAY - 5 * DAY


async def test_today_is_that_of_home(
    recorder_mock: Recorder,
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    meter: None,
    user_input: dict[str, Any],
) -> None:
    """Where it is past midnight, yesterday can be chosen, though it is still going on elsewhere."""
    freezer.move_to(TODAY + DAY + 10 * MINUTE)
    assert datetime.now(UTC).day == 15
    flow_id = await to_history(hass, user_input)
    result = await choose(hass, flow_id, {"back": "since", "since": "2026-07-16"})
    assert result["errors"] == {"since": "date_not_past"}
    result = await submit(hass, flow_id, {"since": "2026-07-15"})
    assert result["type"] is FlowResultType.CREATE_ENTRY
    assert datetime.fromisoformat(entries(hass)[0].data[CONF_HISTORY]) == TODAY


async def test_date_long_ago(
    recorder_mock: Recorder,
    hass: HomeAssistant,
    meter: None,
    user_input: dict[str, Any],
) -> None:
    """A year with a typo in it leaves the account usable."""
    flow_id = await to_history(hass, user_input)
    await choose(hass, flow_id, {"back": "since", "since": "0001-01-01"})
    [entry] = entries(hass)
    assert entry.state is ConfigEntryState.LOADED
    state = account_state(hass, entry, "history_progress")
    assert state.state == "0.0"
    # There was no Eniris before
    assert state.attributes["back_to"].year >= 2000
    assert await hass.config_entries.async_reload(entry.entry_id)


async def test_closed_dialog(
    recorder_mock: Recorder,
    hass: HomeAssistant,
    simulator: Simulator,
    meter: None,
    user_input: dict[str, Any],
) -> None:
    """Closing the dialog at the question logs out again, and leaves nothing behind."""
    flow_id = await to_history(hass, user_input)
    assert simulator.log.count(LOGOUT) == 0
    hass.config_entries.flow.async_abort(flow_id)
    await settle(hass)
    assert simulator.log.count(LOGOUT) == simulator.log.count(LOGOUT, 204) == 1
    assert not entries(hass)
    assert not hass.config_entries.flow.async_progress()
    # The same account can be added afterwards
    flow_id = await to_history(hass, user_input)
    result = await submit(hass, flow_id, {"back": "none"})
    assert result["type"] is FlowResultType.CREATE_ENTRY
    assert simulator.log.count(LOGOUT) == 1


async def test_closed_dialog_without_service(
    recorder_mock: Recorder,
    hass: HomeAssistant,
    simulator: Simulator,
    meter: None,
    user_input: dict[str, Any],
) -> None:
    """Where the service cannot be reached, the dialog closes all the same."""
    flow_id = await to_history(hass, user_input)
    simulator.faults.add("/auth/logout", "drop")
    hass.config_entries.flow.async_abort(flow_id)
    await settle(hass)
    assert not entries(hass)
    assert not hass.config_entries.flow.async_progress()


async def test_two_dialogs_of_one_account(
    recorder_mock: Recorder,
    hass: HomeAssistant,
    simulator: Simulator,
    meter: None,
    user_input: dict[str, Any],
) -> None:
    """A second dialog for the account of an open one ends with its reason, and logs out again."""
    flow_id = await to_history(hass, user_input)
    result = await submit(hass, await start_flow(hass), user_input)
    assert result["type"] is FlowResultType.ABORT
    assert result["reason"] == "already_in_progress"
    assert simulator.log.count(LOGOUT, 204) == 1
    result = await submit(hass, flow_id, {"back": "none"})
    assert result["type"] is FlowResultType.CREATE_ENTRY
    assert entries(hass)[0].state is ConfigEntryState.LOADED


async def test_no_recorder(
    hass: HomeAssistant, simulator: Simulator, meter: None, user_input: dict[str, Any]
) -> None:
    """Where Home Assistant keeps no statistics, the past is not offered."""
    result = await submit(hass, await start_flow(hass), user_input)
    assert result["type"] is FlowResultType.CREATE_ENTRY
    [entry] = entries(hass)
    assert CONF_HISTORY not in entry.data
    assert not was_imported(hass, entry)
    assert not asked_of_the_past(simulator)
    assert simulator.log.count(LOGOUT) == 0


async def test_first_import(
    recorder_mock: Recorder,
    hass: HomeAssistant,
    simulator: Simulator,
    meter: None,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> None:
    """It begins with the set-up, ends with an event and is done once, however often the account is reloaded."""
    events = async_capture_events(hass, EVENT_IMPORTED)
    flow_id = await to_history(hass, user_input)
    await submit(hass, flow_id, {"back": "days_7"})
    [entry] = entries(hass)
    event = await finished(hass, freezer, events)
    power_id = entity_id_of(hass, entry, METER, POWER)
    found = (await rows(hass, [power_id], LONG_AGO))[power_id]
    start = TODAY - 7 * DAY
    expected = [start + n * HOUR for n in range(7 * 24 + 13)]
    assert list(found) == expected
    assert {row["mean"] for row in found.values()} == {100}
    assert event.data == {
        "config_entry_id": entry.entry_id,
        "start": start.isoformat(),
        "end": THIS_HOUR.isoformat(),
        "entities": 1,
        "rows": len(expected),
        "refused_queries": 0,
        "left_out": [],
    }
    assert account_state(hass, entry, "history_progress").state == "100.0"
    asked = len(asked_of_the_past(simulator))
    assert asked
    for _ in range(2):
        assert await hass.config_entries.async_reload(entry.entry_id)
        await settle(hass)
        await live(hass, freezer, datetime.now(UTC) + 20 * MINUTE)
    assert len(asked_of_the_past(simulator)) == asked
    assert not events
    assert account_state(hass, entry, "history_progress").state == "100.0"


async def test_first_import_of_all_that_is_shown(
    recorder_mock: Recorder,
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> None:
    """Sums that have just begun are waited for: the first import leaves nothing out."""
    # Ordered so that the first entities have no sums
    names = [f"actualPowerL{n}_W" for n in (1, 2, 3)]
    names += [f"reactivePower{n}_W" for n in range(400)] + [POWER, IMPORTED]
    only_a_meter(simulator, *names)
    fields = dict.fromkeys(names, 10.0)
    measure_hourly(simulator, THIS_HOUR - 2 * DAY, NOW, **fields)
    events = async_capture_events(hass, EVENT_IMPORTED)
    result = await hass.config_entries.flow.async_init(
        DOMAIN, context={"source": "user"}
    )
    result = await hass.config_entries.flow.async_configure(
        result["flow_id"], user_input
    )
    for typed in ({"back": "since"}, {"since": "2026-07-14"}):
        result = await hass.config_entries.flow.async_configure(
            result["flow_id"], typed
        )
    [entry] = entries(hass)
    await settle(hass)
    measure(simulator, NOW + 5 * MINUTE, **fields)
    await live(hass, freezer, NOW + 9 * MINUTE)
    await finished(hass, freezer, events)
    ids = [entity_id_of(hass, entry, METER, name) for name in (POWER, IMPORTED)]
    found = await rows(hass, ids, LONG_AGO)
    # One every hour since midnight, in Brussels, of yesterday
    assert [len(found.get(id_, ())) for id_ in ids] == [37, 37]


async def test_account_that_is_removed_meanwhile(
    recorder_mock: Recorder,
    hass: HomeAssistant,
    hass_storage: dict[str, Any],
    simulator: Simulator,
    meter: None,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> None:
    """With the account goes what was still to be imported."""
    simulator.tier = "free"
    flow_id = await to_history(hass, user_input)
    await submit(hass, flow_id, {"back": "days_365"})
    [entry] = entries(hass)
    await pass_time(hass, freezer, lambda: asked_of_the_past(simulator))
    assert any(key.endswith(".history") for key in hass_storage)
    await hass.config_entries.async_remove(entry.entry_id)
    await settle(hass)
    assert not any(key.endswith(".history") for key in hass_storage)
    asked = len(asked_of_the_past(simulator))
    for _ in range(50):
        freezer.tick(5)
        await asyncio.sleep(0)
    assert len(asked_of_the_past(simulator)) == asked


# Later


@pytest.fixture
async def account(
    recorder_mock: Recorder,
    hass: HomeAssistant,
    simulator: Simulator,
    meter: None,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> EnirisConfigEntry:
    """Return an account without the past, whose budget makes an import take its time."""
    simulator.tier = "free"
    return await set_up_frozen(hass, freezer, user_input, None)


async def open_history(hass: HomeAssistant, entry: EnirisConfigEntry) -> Any:
    """Choose the past from the menu."""
    options = hass.config_entries.options
    result = await options.async_init(entry.entry_id)
    assert result["type"] is FlowResultType.MENU
    assert result["menu_options"] == ["settings", "history"]
    result = await options.async_configure(
        result["flow_id"], {"next_step_id": "history"}
    )
    if result["type"] is not FlowResultType.MENU:
        return result
    # While an import runs, it can be looked at or stopped
    assert result["menu_options"] == ["history_progress", "history_stop"]
    return await options.async_configure(
        result["flow_id"], {"next_step_id": "history_progress"}
    )


async def ask(
    hass: HomeAssistant, entry: EnirisConfigEntry, typed: dict[str, str]
) -> Any:
    """Ask for the past, and return the progress that is then shown."""
    result = await open_history(hass, entry)
    check_question(result, with_nothing=False)
    configure = hass.config_entries.options.async_configure
    result = await configure(result["flow_id"], {"back": typed["back"]})
    if "since" in typed:
        assert result["step_id"] == "history_date"
        result = await configure(result["flow_id"], {"since": typed["since"]})
    check_progress(result)
    return result


def check_progress(result: Mapping[str, Any]) -> None:
    """Check that a step shows progress."""
    assert result["type"] is FlowResultType.SHOW_PROGRESS
    assert result["step_id"] == "history_progress"


def progress_of(result: Mapping[str, Any]) -> tuple[str, str, str]:
    """Return what the progress step tells."""
    told = result["description_placeholders"]
    return told["percent"], told["fetching"], told["back_to"]


async def progressed(
    hass: HomeAssistant, freezer: FrozenDateTimeFactory, told: list[Event], flow_id: str
) -> Any:
    """Wait until the dialog is told of progress, and return what it then gets, as the frontend does."""
    await pass_time(hass, freezer, lambda: told)
    event = told.pop(0)
    assert event.data["flow_id"] == flow_id
    return await hass.config_entries.options.async_configure(flow_id)


async def test_progress(
    hass: HomeAssistant, account: EnirisConfigEntry, freezer: FrozenDateTimeFactory
) -> None:
    """The progress is shown day by day, until the dialog tells that all is there."""
    events = async_capture_events(hass, EVENT_IMPORTED)
    told = async_capture_events(hass, PROGRESSED)
    result = await ask(hass, account, {"back": "since", "since": "2026-07-12"})
    flow_id = result["flow_id"]
    assert progress_of(result) == ("0", "2026-07-15", "2026-07-12")
    seen = [progress_of(result)]
    while True:
        result = await progressed(hass, freezer, told, flow_id)
        if result["type"] is FlowResultType.ABORT:
            break
        check_progress(result)
        if progress_of(result) != seen[-1]:
            seen.append(progress_of(result))
    assert result["reason"] == "history_done"
    # Days of the service begin at two o'clock here
    assert seen == [
        ("0", "2026-07-15", "2026-07-12"),
        ("13", "2026-07-15", "2026-07-12"),
        ("41", "2026-07-14", "2026-07-12"),
        ("69", "2026-07-13", "2026-07-12"),
        ("98", "2026-07-12", "2026-07-12"),
    ]
    assert len(events) == 1
    assert events[0].data["rows"] == 3 * 24 + 13
    with pytest.raises(UnknownFlow):
        await hass.config_entries.options.async_configure(flow_id)
    # The account's own data is what it was
    assert account.options == {}
    assert CONF_HISTORY not in account.data


async def test_dialog_closed_while_it_goes_on(
    hass: HomeAssistant, account: EnirisConfigEntry, freezer: FrozenDateTimeFactory
) -> None:
    """The dialog can be closed and opened again: the import goes on, and is shown at once."""
    options = hass.config_entries.options
    events = async_capture_events(hass, EVENT_IMPORTED)
    told = async_capture_events(hass, PROGRESSED)
    result = await ask(hass, account, {"back": "since", "since": "2026-07-12"})
    result = await progressed(hass, freezer, told, result["flow_id"])
    options.async_abort(result["flow_id"])
    await settle(hass)
    assert not options.async_progress()
    shown = float(account_state(hass, account, "history_progress").state)
    await pass_time(
        hass,
        freezer,
        lambda: float(account_state(hass, account, "history_progress").state) > shown,
    )
    assert not events
    assert not told
    result = await open_history(hass, account)
    check_progress(result)
    assert progress_of(result) == ("41", "2026-07-14", "2026-07-12")
    # In two browsers
    check_progress(await open_history(hass, account))
    await finished(hass, freezer, events)
    await settle(hass)
    for flow in options.async_progress():
        done = await options.async_configure(flow["flow_id"])
        assert done["type"] is FlowResultType.ABORT
        assert done["reason"] == "history_done"
    assert not options.async_progress()
    # And then asks anew
    check_question(await open_history(hass, account), with_nothing=False)


async def test_unloaded_while_the_dialog_is_open(
    hass: HomeAssistant, account: EnirisConfigEntry, freezer: FrozenDateTimeFactory
) -> None:
    """An account that ceases to run ends the progress with its reason; later it goes on from there."""
    events = async_capture_events(hass, EVENT_IMPORTED)
    told = async_capture_events(hass, PROGRESSED)
    result = await ask(hass, account, {"back": "since", "since": "2026-07-12"})
    flow_id = result["flow_id"]
    result = await progressed(hass, freezer, told, flow_id)
    assert await hass.config_entries.async_unload(account.entry_id)
    await settle(hass)
    result = await progressed(hass, freezer, told, flow_id)
    assert result["type"] is FlowResultType.ABORT
    assert result["reason"] == "not_loaded"
    assert await hass.config_entries.async_setup(account.entry_id)
    await settle(hass)
    result = await open_history(hass, account)
    check_progress(result)
    assert progress_of(result) == ("13", "2026-07-15", "2026-07-12")
    assert (await finished(hass, freezer, events)).data["rows"] == 3 * 24 + 13


async def test_reloaded_while_the_dialog_is_open(
    hass: HomeAssistant, account: EnirisConfigEntry, freezer: FrozenDateTimeFactory
) -> None:
    """A reload does not leave a dialog behind that never ends."""
    events = async_capture_events(hass, EVENT_IMPORTED)
    result = await ask(hass, account, {"back": "since", "since": "2026-07-14"})
    assert await hass.config_entries.async_reload(account.entry_id)
    await settle(hass)
    await finished(hass, freezer, events)
    await settle(hass)
    result = await hass.config_entries.options.async_configure(result["flow_id"])
    assert result["type"] is FlowResultType.ABORT
    assert result["reason"] in ("history_done", "not_loaded")


async def test_account_that_does_not_run(
    hass: HomeAssistant, account: EnirisConfigEntry
) -> None:
    """Of an account that is not loaded, no past can be asked for."""
    assert await hass.config_entries.async_unload(account.entry_id)
    result = await open_history(hass, account)
    assert result["type"] is FlowResultType.ABORT
    assert result["reason"] == "not_loaded"


async def test_unloaded_before_the_answer(
    hass: HomeAssistant, account: EnirisConfigEntry
) -> None:
    """An account that ceases to run while the question is shown is told of, too."""
    result = await open_history(hass, account)
    assert await hass.config_entries.async_unload(account.entry_id)
    result = await hass.config_entries.options.async_configure(
        result["flow_id"], {"back": "days_7"}
    )
    assert result["type"] is FlowResultType.ABORT
    assert result["reason"] == "not_loaded"


async def test_no_recorder_later(
    hass: HomeAssistant,
    meter: None,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> None:
    """Without statistics there is nothing that the past could be put into."""
    entry = await set_up_frozen(hass, freezer, user_input, None)
    result = await open_history(hass, entry)
    assert result["type"] is FlowResultType.ABORT
    assert result["reason"] == "no_recorder"


async def test_over_http(
    hass: HomeAssistant,
    account: EnirisConfigEntry,
    hass_client: ClientSessionGenerator,
    freezer: FrozenDateTimeFactory,
) -> None:
    """The frontend gets menu, form and progress in the language that it speaks."""
    assert await async_setup_component(hass, "config", {})
    client = await hass_client()
    path = "/api/config/config_entries/options/flow"
    told = async_capture_events(hass, PROGRESSED)

    async def post(where: str, data: dict[str, Any]) -> Any:
        response = await client.post(where, json=data)
        assert response.status == 200, await response.text()
        return await response.json()

    menu = await post(path, {"handler": account.entry_id})
    flow = f"{path}/{menu['flow_id']}"
    form = await post(flow, {"next_step_id": "history"})
    assert [field["name"] for field in form["data_schema"]] == ["back"]
    form = await post(flow, {"back": "since"})
    assert [field["name"] for field in form["data_schema"]] == ["since"]
    shown = await post(flow, {"since": "2026-07-13"})
    assert shown["type"] == "progress"
    assert shown["description_placeholders"]["percent"] == "0"
    while shown["type"] == "progress":
        await pass_time(hass, freezer, lambda: told)
        told.clear()
        shown = await (await client.get(flow)).json()
    assert shown["type"] == "abort"
    assert shown["reason"] == "history_done"


async def test_stopped(
    hass: HomeAssistant, account: EnirisConfigEntry, freezer: FrozenDateTimeFactory
) -> None:
    """An import can be stopped; what is there stays, nothing goes on, and another can be asked for."""
    events = async_capture_events(hass, EVENT_IMPORTED)
    told = async_capture_events(hass, PROGRESSED)
    options = hass.config_entries.options
    result = await ask(hass, account, {"back": "days_365"})
    result = await progressed(hass, freezer, told, result["flow_id"])
    options.async_abort(result["flow_id"])
    result = await options.async_init(account.entry_id)
    result = await options.async_configure(
        result["flow_id"], {"next_step_id": "history"}
    )
    result = await options.async_configure(
        result["flow_id"], {"next_step_id": "history_stop"}
    )
    assert result["type"] is FlowResultType.ABORT
    assert result["reason"] == "history_stopped"
    assert account_state(hass, account, "history_progress").state == "unknown"
    power_id = entity_id_of(hass, account, METER, POWER)
    kept = await rows(hass, [power_id], LONG_AGO)
    await hass.config_entries.async_reload(account.entry_id)
    await settle(hass)
    for _ in range(60):
        freezer.tick(1)
        await hass.async_add_executor_job(time.sleep, 0.01)
    assert not events
    assert await rows(hass, [power_id], LONG_AGO) == kept
    await ask(hass, account, {"back": "since", "since": "2026-07-14"})
    assert (await finished(hass, freezer, events)).data["rows"] == 24 + 13
