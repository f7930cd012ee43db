"""The options of an account: what is read how often, and how much may wait for how long."""

import base64
from datetime import timedelta
import random
from typing import Any

import pytest
from pytest_homeassistant_custom_component.typing import ClientSessionGenerator

from custom_components.eniris.const import (
    CONF_AGE_LIMIT,
    CONF_ATTRIBUTE,
    CONF_ENTITY,
    CONF_FIELD,
    CONF_IMPORT,
    CONF_INTERVAL,
    CONF_OUTBOX,
    CONF_PREFERENCE,
    CONF_SITES,
    CONF_SIZE_LIMIT,
    DEFAULT_AGE_LIMIT,
    DEFAULT_SIZE_LIMIT,
)
from homeassistant.config_entries import ConfigEntryState, ConfigSubentry
from homeassistant.data_entry_flow import FlowResultType, InvalidData
from homeassistant.setup import async_setup_component
from tests.kit.exports import (
    INGRESS,
    POWER,
    Home,
    MeterWorld,
    home_with_account,
    suggested,
)

DEFAULTS: dict[str, dict[str, Any]] = {
    CONF_IMPORT: {CONF_INTERVAL: 60, CONF_PREFERENCE: "freshest"},
    CONF_OUTBOX: {
        CONF_SIZE_LIMIT: DEFAULT_SIZE_LIMIT,
        CONF_AGE_LIMIT: DEFAULT_AGE_LIMIT,
    },
}
OTHERS: dict[str, dict[str, Any]] = {
    CONF_IMPORT: {CONF_INTERVAL: 120, CONF_PREFERENCE: "lightest"},
    CONF_OUTBOX: {CONF_SIZE_LIMIT: 5, CONF_AGE_LIMIT: 30},
}
ENTITY = "sensor.notes"


@pytest.fixture
def world() -> MeterWorld:
    """Return a small world."""
    return MeterWorld()


async def open_options(home: Home) -> Any:
    """Open the form, by way of the menu."""
    options = home.hass.config_entries.options
    result = await options.async_init(home.entry.entry_id)
    assert result["type"] is FlowResultType.MENU
    assert result["menu_options"] == ["settings", "history"]
    result = await options.async_configure(
        result["flow_id"], {"next_step_id": "settings"}
    )
    assert result["type"] is FlowResultType.FORM
    assert result["step_id"] == "settings"
    return result


async def set_options(home: Home, options: dict[str, Any]) -> None:
    """Open the form and submit it."""
    flow = await open_options(home)
    result = await home.hass.config_entries.options.async_configure(
        flow["flow_id"], options
    )
    assert result["type"] is FlowResultType.CREATE_ENTRY
    await home.settle()


async def set_limits(home: Home, *, size: int = 1024, age: int = 0) -> None:
    """Set the limits of the outbox."""
    await set_options(
        home, {**DEFAULTS, CONF_OUTBOX: {CONF_SIZE_LIMIT: size, CONF_AGE_LIMIT: age}}
    )


async def add_export_of_notes(home: Home) -> ConfigSubentry:
    """Export an entity whose values can be as large as a test likes; nothing can be uploaded."""
    row = {CONF_ENTITY: ENTITY, CONF_FIELD: "notes", CONF_ATTRIBUTE: "text"}
    home.simulator.faults.add(INGRESS, "drop")
    return await home.add_export({}, fields=[row])


async def note(home: Home, number: int, size: int = 1) -> None:
    """Make a value of so many bytes, which do not become fewer when they are compressed."""
    noise = random.Random(number).randbytes(size)
    text = f"note {number:03}{base64.b64encode(noise).decode()}"
    home.hass.states.async_set(ENTITY, str(number), {"text": text})
    await home.wait(1)


def noted(home: Home) -> list[int]:
    """Return the numbers of the values that the service has stored."""
    return [int(text[5:8]) for text in home.values("notes")]


def waiting(home: Home, export: ConfigSubentry) -> int:
    """Return how many values wait."""
    return int(home.shown(export, "waiting"))


async def test_options(home: Home) -> None:
    """What is submitted is stored, holds after one reload, and is what the form then shows."""
    assert home.entry.options == {}
    loaded: list[ConfigEntryState] = []
    home.entry.async_on_state_change(lambda: loaded.append(home.entry.state))
    assert suggested((await open_options(home))["data_schema"]) == DEFAULTS
    await set_options(home, OTHERS)
    assert home.entry.options == OTHERS
    assert loaded.count(ConfigEntryState.LOADED) == 1
    assert suggested((await open_options(home))["data_schema"]) == OTHERS
    # The same once more changes nothing
    await set_options(home, OTHERS)
    assert loaded.count(ConfigEntryState.LOADED) == 1


async def test_each_account_has_its_own(home: Home, user_input: dict[str, Any]) -> None:
    """What one account has chosen is not what the form of another one shows."""
    await set_options(home, OTHERS)
    await open_options(home)
    other = await home_with_account(
        home.hass, home.freezer, home.simulator, user_input, "norole@example.com"
    )
    assert suggested((await open_options(other))["data_schema"]) == DEFAULTS
    assert other.entry.options == {}


async def test_over_http(home: Home, hass_client: ClientSessionGenerator) -> None:
    """The frontend gets the form in the language that it speaks."""
    assert await async_setup_component(home.hass, "config", {})
    client = await hass_client()
    path = "/api/config/config_entries/options/flow"
    response = await client.post(path, json={"handler": home.entry.entry_id})
    assert response.status == 200, await response.text()
    menu = await response.json()
    assert menu["menu_options"] == ["settings", "history"]
    response = await client.post(
        f"{path}/{menu['flow_id']}", json={"next_step_id": "settings"}
    )
    form = await response.json()
    assert {
        section["name"]: [field["name"] for field in section["schema"]]
        for section in form["data_schema"]
    } == {
        key: [*fields, *([CONF_SITES] if key == CONF_IMPORT else [])]
        for key, fields in DEFAULTS.items()
    }
    response = await client.post(f"{path}/{form['flow_id']}", json=OTHERS)
    assert (await response.json())["type"] == "create_entry"
    await home.settle()
    assert home.entry.options == OTHERS


async def test_account_not_loaded(home: Home) -> None:
    """The options can be changed while the account is not loaded."""
    assert await home.hass.config_entries.async_unload(home.entry.entry_id)
    await set_options(home, OTHERS)
    assert home.entry.options == OTHERS
    assert home.entry.state is ConfigEntryState.NOT_LOADED


@pytest.mark.parametrize(
    "options",
    [
        {CONF_OUTBOX: {CONF_SIZE_LIMIT: "much", CONF_AGE_LIMIT: 0}},
        {"expert": {"wire_format": "json"}},
        {CONF_IMPORT: {CONF_INTERVAL: 60, CONF_PREFERENCE: "both"}},
        {
            CONF_IMPORT: {
                CONF_INTERVAL: 60,
                CONF_PREFERENCE: "freshest",
                CONF_SITES: ["no such site"],
            }
        },
    ],
)
async def test_impossible_options(home: Home, options: dict[str, Any]) -> None:
    """What makes no sense is refused by the form itself."""
    flow = await open_options(home)
    with pytest.raises(InvalidData):
        await home.hass.config_entries.options.async_configure(
            flow["flow_id"], {**DEFAULTS, **options}
        )
    assert home.entry.options == {}


@pytest.mark.expected_log("The outbox has reached its limit")
async def test_size_limit(home: Home) -> None:
    """At the limit the oldest are dropped and counted; the issue goes when there is room again."""
    await set_limits(home, size=1)
    export = await add_export_of_notes(home)
    for number in range(8):
        await note(home, number, 100_000)
    await home.wait(30)
    assert waiting(home, export) == 8
    assert not home.issues()
    # Of what is dropped together with these, nothing is seen afterwards
    for number in range(8, 12):
        await note(home, number, 100_000)
    await home.wait(30)
    dropped = int(home.issues()["outbox_limit"]["dropped"])
    assert 2 <= dropped <= 4, "no more than there was no room for"
    assert waiting(home, export) == 12 - dropped
    assert home.issues()["outbox_limit"]["account"] == "demo@example.com"
    problem = home.hass.states.get(home.entity_id(export, "binary_sensor", "problem"))
    assert problem is not None
    assert problem.state == "on"

    await note(home, 12)
    home.simulator.faults.clear()
    await home.wait(300)
    assert noted(home) == list(range(dropped, 13))
    assert waiting(home, export) == 0
    assert not home.issues()
    problem = home.hass.states.get(home.entity_id(export, "binary_sensor", "problem"))
    assert problem is not None
    assert problem.state == "off"


@pytest.mark.expected_log("The outbox has reached its limit")
async def test_age_limit(home: Home) -> None:
    """Values that are too old are dropped and counted, younger ones are not."""
    await set_limits(home, age=1)
    export = await add_export_of_notes(home)
    for number in range(3):
        await note(home, number)
    half = timedelta(hours=12).total_seconds()
    await home.wait(half, step=half)
    await note(home, 3)
    await home.wait(30)
    assert waiting(home, export) == 4
    assert not home.issues()
    await home.wait(half, step=half)
    await home.wait(30)
    assert waiting(home, export) == 1
    assert home.issues()["outbox_limit"]["dropped"] == "3"
    home.simulator.faults.clear()
    await home.wait(400, step=5)
    assert noted(home) == [3]
    assert not home.issues()


@pytest.mark.expected_log("The outbox has reached its limit")
async def test_a_limit_that_is_raised(home: Home) -> None:
    """Raising the limit keeps what waits, and takes the issue back."""
    await set_limits(home, size=1)
    export = await add_export_of_notes(home)
    for number in range(12):
        await note(home, number, 100_000)
    await home.wait(30)
    assert "outbox_limit" in home.issues()
    left = waiting(home, export)
    await set_limits(home, size=10)
    assert not home.issues()
    # And the present value, which is taken once more after a start
    for number in range(20, 40):
        await note(home, number, 100_000)
    await home.wait(30)
    assert waiting(home, export) == left + 1 + 20
    assert not home.issues()


async def test_options_of_the_past(home: Home) -> None:
    """An entry that names a form in which values are sent is used, without a word, and sends JSON."""
    home.add_power()
    stored = {**OTHERS, "expert": {"wire_format": "line_protocol"}}
    home.hass.config_entries.async_update_entry(home.entry, options=stored)
    await home.settle()
    assert home.entry.state is ConfigEntryState.LOADED
    await home.add_export({POWER: "power_W"})
    await home.wait(6)
    assert home.values("power_W") == [1500.0]
    for request in home.writes:
        assert request.headers["Content-Type"] == "application/json"
    assert suggested((await open_options(home))["data_schema"]) == OTHERS
    assert not home.issues()


@pytest.mark.expected_log("so that the defaults hold: outbox.age_limit$")
async def test_stored_options_that_are_not_valid(
    home: Home, caplog: pytest.LogCaptureFixture
) -> None:
    """They cost their section, which has its defaults, and one line in the log without any value."""
    stored = {**OTHERS, CONF_OUTBOX: {CONF_SIZE_LIMIT: 5, CONF_AGE_LIMIT: "secret"}}
    home.hass.config_entries.async_update_entry(home.entry, options=stored)
    await home.settle()
    assert home.entry.state is ConfigEntryState.LOADED
    shown = {**OTHERS, CONF_OUTBOX: DEFAULTS[CONF_OUTBOX]}
    assert suggested((await open_options(home))["data_schema"]) == shown
    ours = [
        record.getMessage()
        for record in caplog.records
        if record.levelname == "WARNING"
    ]
    assert len([line for line in ours if "defaults hold" in line]) == 1
    assert "secret" not in caplog.text
