"""The dialog of an export, from the first form to the export that runs."""

from typing import Any

import pytest
from pytest_homeassistant_custom_component.typing import ClientSessionGenerator

from custom_components.eniris.const import (
    CONF_AGGREGATE,
    CONF_ATTRIBUTES,
    CONF_COLLECTOR,
    CONF_DATABASE,
    CONF_ENTITIES,
    CONF_HEARTBEAT,
    CONF_INTERVAL,
    CONF_MEASUREMENT,
    CONF_RETENTION_POLICY,
    CONF_SHORTEST,
    CONF_TAGS,
    SUBENTRY_EXPORT,
)
from homeassistant.config_entries import ConfigEntryState
from homeassistant.const import CONF_NAME, STATE_UNAVAILABLE
from homeassistant.data_entry_flow import FlowResultType
from homeassistant.helpers.selector import TextSelector
from homeassistant.setup import async_setup_component
from tests.flows.kit import FIELD, refuse_with, registry_id, stored
from tests.kit.common import device_of
from tests.kit.exports import INGRESS, POWER, START, WHERE, Dialog, Home, export_data


async def test_add(home: Home, dialog: Dialog) -> None:
    """An export is made step by step, tried out with one real write, stored, and runs at once."""
    loaded: list[ConfigEntryState] = []
    home.entry.async_on_state_change(lambda: loaded.append(home.entry.state))
    await dialog.open()
    dialog.expect("user")
    await dialog.submit(WHERE)
    dialog.expect("entities")
    assert dialog.shown == {CONF_ENTITIES: [], CONF_ATTRIBUTES: False}
    await dialog.submit({CONF_ENTITIES: [POWER], CONF_ATTRIBUTES: False})
    dialog.expect("fields")
    assert dialog.shown == {POWER: FIELD}
    await dialog.submit({POWER: FIELD})
    dialog.expect("when")
    assert dialog.result["menu_options"] == ["change", "interval"]
    await dialog.choose("change")
    dialog.expect("change")
    assert dialog.shown == {CONF_SHORTEST: 60, CONF_HEARTBEAT: 0}
    assert not home.writes
    await dialog.submit({CONF_SHORTEST: 0.5, CONF_HEARTBEAT: 300})

    # What will be written, and where, is told before
    dialog.expect("trial")
    assert dialog.result["menu_options"] == ["write", "save"]
    assert dialog.quoted["target"] == "`demo-ingress / demo / rp_one_m`"
    assert dialog.quoted["series"] == "`gridMetrics serialNr=1234`"
    assert dialog.quoted["values"] == f"- `{FIELD}` = `1500.0`"
    assert not home.writes
    await dialog.choose("write")
    dialog.expect("written")
    assert dialog.result["menu_options"] == ["save"]
    assert dialog.quoted["values"] == f"- `{FIELD}` = `1500.0`"
    assert dialog.quoted["missing"] == ""
    [request] = home.writes
    assert dict(request.query) == {"u": "demo-ingress", "db": "demo", "rp": "rp_one_m"}
    assert request.status == 204
    [point] = home.points()
    assert (point.database, point.retention_policy) == ("demo", "rp_one_m")
    assert (point.measurement, point.tags) == ("gridMetrics", {"serialNr": "1234"})
    assert point.time_ns == round(START.timestamp()) * 10**9
    assert (point.fields, point.types) == ({FIELD: 1500.0}, {FIELD: "float"})
    assert not home.exports
    assert not loaded

    await dialog.end()
    assert dialog.result["type"] is FlowResultType.CREATE_ENTRY
    [subentry] = home.exports
    assert (subentry.title, subentry.subentry_type) == ("House", SUBENTRY_EXPORT)
    assert subentry.data == stored(
        {registry_id(home): FIELD}, shortest=0.5, heartbeat=300
    )
    # Nothing that is read blinks
    assert not loaded
    home.hass.states.async_set(POWER, "2", {"unit_of_measurement": "kW"})
    await home.wait(7)
    assert home.values()[-1] == 2000.0
    # Nothing that is read blinks
    assert not loaded


async def test_over_http(
    home: Home, dialog: Dialog, hass_client: ClientSessionGenerator
) -> None:
    """The frontend gets every form of the dialog in the language that it speaks."""
    assert await async_setup_component(home.hass, "config", {})
    client = await hass_client()
    path = "/api/config/config_entries/subentries/flow"

    async def post(where: str, body: dict[str, Any]) -> dict[str, Any]:
        response = await client.post(where, json=body)
        assert response.status == 200, await response.text()
        answer: dict[str, Any] = await response.json()
        return answer

    form = await post(path, {"handler": [home.entry.entry_id, SUBENTRY_EXPORT]})
    flow = f"{path}/{form['flow_id']}"
    assert [field["name"] for field in form["data_schema"]] == list(WHERE)
    home.simulator.faults.add(INGRESS, "drop")
    for step, names, user_input in (
        ("entities", [CONF_ENTITIES, CONF_ATTRIBUTES], dict(WHERE)),
        (
            "attributes",
            ["p1 power"],
            {CONF_ENTITIES: [POWER], CONF_ATTRIBUTES: True},
        ),
        ("fields", ["p1 power"], {"p1 power": "state"}),
        ("when", None, {"p1 power": FIELD}),
        (
            "interval",
            [CONF_INTERVAL, CONF_AGGREGATE, CONF_HEARTBEAT],
            {"next_step_id": "interval"},
        ),
        (
            "trial",
            None,
            {CONF_INTERVAL: 10, CONF_AGGREGATE: "mean", CONF_HEARTBEAT: 0},
        ),
        ("unreachable", None, {"next_step_id": "write"}),
    ):
        form = await post(flow, user_input)
        assert form["step_id"] == step
        if names is not None:
            assert [field["name"] for field in form["data_schema"]] == names
        # What is on the screen can be asked for again, as the frontend does when it is reloaded
        response = await client.get(flow)
        assert response.status == 200
        assert (await response.json())["step_id"] == step
    home.simulator.faults.clear()
    assert (await post(flow, {"next_step_id": "write"}))["step_id"] == "written"
    assert (await post(flow, {"next_step_id": "save"}))["type"] == "create_entry"
    await home.settle()
    [subentry] = home.exports
    data = stored(
        {registry_id(home): FIELD}, mode="interval", interval=10, aggregate="mean"
    )
    del data[CONF_SHORTEST]
    assert subentry.data == data
    assert isinstance(subentry.data[CONF_INTERVAL], int)


async def test_suggestions(home: Home, dialog: Dialog) -> None:
    """The first form offers what the account's own series use, and what the API page names."""
    await dialog.open()
    assert dialog.options(CONF_COLLECTOR) == ["tiny-ingress"]
    assert dialog.options(CONF_DATABASE) == ["tiny"]
    assert dialog.options(CONF_RETENTION_POLICY) == ["rp_one_m", "rp_one_s"]
    measurements = dialog.options(CONF_MEASUREMENT)
    assert measurements[:2] == ["evChargerMetrics", "submeteringMetrics"]
    assert len(measurements) == len(set(measurements)) > 14
    assert "planning" not in measurements
    # A tag of a device that exists is never offered: there is one empty row to type into
    assert dialog.shown[CONF_TAGS] == [""]
    [tags] = [
        selector
        for key, selector in dialog.result["data_schema"].schema.items()
        if key.schema == CONF_TAGS
    ]
    assert isinstance(tags, TextSelector)
    assert tags.config["multiple"]
    assert CONF_DATABASE not in dialog.shown


@pytest.mark.parametrize("entity_id", ["binary_sensor.door", "select.mode"])
async def test_no_unit_without_a_number(
    home: Home, dialog: Dialog, entity_id: str
) -> None:
    """A state that is on or off, or a word, is refused under a name that ends in a unit."""
    home.hass.states.async_set(entity_id, "on")
    await dialog.open()
    await dialog.to_fields(entity_id)
    await dialog.submit({entity_id: "door_W"})
    dialog.expect("fields", {entity_id: "no_number"})
    await dialog.submit({entity_id: "door"})
    dialog.expect("when")


async def test_save_anyway(home: Home, dialog: Dialog) -> None:
    """An export that could not be tried out collects, and sends when that is possible."""
    home.simulator.faults.add(INGRESS, "drop")
    await dialog.to_end_of_trial({POWER: FIELD})
    await dialog.choose("save")
    assert dialog.result["type"] is FlowResultType.CREATE_ENTRY
    [subentry] = home.exports
    assert subentry.title == "House"
    assert subentry.data == stored({registry_id(home): FIELD})
    await home.wait(12)
    assert not home.points()
    home.simulator.faults.clear()
    await home.wait(30)
    assert home.values() == [1500.0]


async def test_account_not_loaded(home: Home, dialog: Dialog) -> None:
    """The dialog needs no loaded account: nothing is suggested, but the trial is made."""
    assert await home.hass.config_entries.async_unload(home.entry.entry_id)
    await dialog.open()
    assert not dialog.options(CONF_DATABASE)
    assert "rp_one_m" in dialog.options(CONF_RETENTION_POLICY)
    await dialog.to_fields(POWER)
    await dialog.to_trial({POWER: FIELD})
    dialog.expect("written")
    assert home.values() == [1500.0]
    await dialog.end()
    assert home.exports[0].data == stored({registry_id(home): FIELD})
    assert home.entry.state is ConfigEntryState.NOT_LOADED


async def test_nothing_to_send(home: Home, dialog: Dialog) -> None:
    """Without a value at present nothing is written; that can be tried again, or saved."""
    home.hass.states.async_set(POWER, STATE_UNAVAILABLE)
    await dialog.to_end_of_trial({POWER: FIELD})
    dialog.expect("nothing_to_send")
    assert dialog.result["menu_options"] == ["trial", "save"]
    assert dialog.quoted["entities"] == "p1 power"
    assert not home.writes
    home.add_power("3")
    await dialog.choose("trial")
    dialog.expect("written")
    assert home.values() == [3000.0]

    await dialog.open()
    await dialog.to_fields("sensor.later", where={**WHERE, CONF_NAME: "Later"})
    await dialog.to_trial({"sensor.later": "later"})
    dialog.expect("nothing_to_send")
    await dialog.choose("save")
    [subentry] = home.exports
    assert subentry.data == export_data({"sensor.later": "later"})
    home.hass.states.async_set("sensor.later", "7")
    await home.wait(7)
    assert home.values("later") == ["7"]


async def test_reconfigure(home: Home, dialog: Dialog) -> None:
    """The dialog begins with what the export does, and changes all of it at once."""
    home.hass.states.async_set("sensor.plain", "5", {"unit_of_measurement": "W"})
    loaded: list[ConfigEntryState] = []
    subentry = await home.add_export(
        {registry_id(home): FIELD, "sensor.plain": "plain_W"}, shortest=5, heartbeat=60
    )
    await home.wait(7)
    home.simulator.reset()
    home.entry.async_on_state_change(lambda: loaded.append(home.entry.state))

    await dialog.open(subentry)
    dialog.expect("reconfigure")
    assert dialog.result["menu_options"] == [
        "where",
        "entities",
        "fields",
        "when",
        "trial",
    ]
    assert dialog.quoted == {"name": "House", "entities": "p1 power, plain"}
    await dialog.choose("where")
    assert dialog.shown == WHERE
    new = {**WHERE, CONF_NAME: "New", CONF_TAGS: ["serialNr=9"]}
    await dialog.submit(new)
    dialog.expect("reconfigure")
    assert dialog.quoted["name"] == "New"
    await dialog.choose("entities")
    assert dialog.shown == {
        CONF_ENTITIES: [POWER, "sensor.plain"],
        CONF_ATTRIBUTES: False,
    }
    await dialog.submit(dialog.shown)
    assert dialog.shown == {POWER: FIELD, "sensor.plain": "plain_W"}
    await dialog.submit({POWER: "other_W", "sensor.plain": FIELD})
    dialog.expect("reconfigure")
    await dialog.choose("when")
    await dialog.choose("change")
    assert dialog.shown == {CONF_SHORTEST: 5, CONF_HEARTBEAT: 60}
    await dialog.submit({CONF_SHORTEST: 0, CONF_HEARTBEAT: 0})
    dialog.expect("reconfigure")
    assert not home.writes
    await dialog.choose("trial")
    dialog.expect("written")
    assert subentry.title == "House"
    await dialog.end()
    assert dialog.result["type"] is FlowResultType.ABORT
    assert dialog.result["reason"] == "reconfigure_successful"
    [changed] = home.exports
    assert changed.subentry_id == subentry.subentry_id
    assert changed.title == "New"
    assert changed.data == stored(
        {registry_id(home): "other_W", "sensor.plain": FIELD}, tags={"serialNr": "9"}
    )
    # Nothing that is read blinks
    assert not loaded
    device = device_of(
        home.hass, home.entry, f"{home.entry.unique_id}_{changed.subentry_id}"
    )
    assert device is not None
    assert device.name == "New"
    home.hass.states.async_set("sensor.plain", "6", {"unit_of_measurement": "W"})
    await home.wait(7)
    assert home.values()[-1] == 6.0
    assert {point.tags["serialNr"] for point in home.points()} == {"9"}


async def test_reconfigure_keeps_what_waits(home: Home, dialog: Dialog) -> None:
    """What waits when an export is changed still goes where it was meant to go."""
    subentry = await home.add_export({POWER: FIELD})
    await home.wait(7)
    home.simulator.reset()
    home.simulator.faults.add(INGRESS, "drop")
    for state in ("2", "3"):
        home.hass.states.async_set(POWER, state, {"unit_of_measurement": "kW"})
        await home.wait(1)
    await dialog.open(subentry)
    await dialog.choose("where")
    await dialog.submit({**dialog.shown, CONF_TAGS: ["serialNr=9"]})
    await dialog.choose("trial")
    dialog.expect("unreachable")
    await dialog.choose("save")
    assert dialog.result["reason"] == "reconfigure_successful"
    # And the present value, taken anew for the new series
    assert home.shown(subentry, "waiting") == "2"
    await home.wait(30)
    assert home.shown(subentry, "waiting") == "3"
    home.simulator.faults.clear()
    await home.wait(60)
    # In whichever order they went up
    assert sorted(
        (point.tags["serialNr"], point.fields[FIELD]) for point in home.points()
    ) == [("1234", 2000.0), ("1234", 3000.0), ("9", 3000.0)]
    assert home.shown(subentry, "waiting") == "0"


async def test_reconfigure_with_an_error(home: Home, dialog: Dialog) -> None:
    """A refusal leads to the form that has to change, and from there back to the menu."""
    subentry = await home.add_export({POWER: FIELD})
    await dialog.open(subentry)
    await dialog.choose("where")
    await dialog.submit({**WHERE, CONF_DATABASE: "demmo"})
    await dialog.choose("trial")
    dialog.expect(
        "where",
        {
            CONF_DATABASE: "namespace_unknown",
            CONF_RETENTION_POLICY: "namespace_unknown",
        },
    )
    assert dialog.shown[CONF_DATABASE] == "demmo"
    assert home.exports[0].data[CONF_DATABASE] == "demo"
    await dialog.submit({**WHERE, CONF_RETENTION_POLICY: "rp_one_s"})
    dialog.expect("reconfigure")
    refuse_with(422, "mixed types")(home.simulator)
    await dialog.choose("trial")
    dialog.expect("fields", {"base": "refused"})
    await dialog.submit(dialog.shown)
    dialog.expect("reconfigure")
    await dialog.choose("trial")
    dialog.expect("written")
    await dialog.end()
    assert home.exports[0].data[CONF_RETENTION_POLICY] == "rp_one_s"
    assert home.exports[0].data[CONF_DATABASE] == "demo"
