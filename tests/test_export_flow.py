"""The dialog of an export: where to, which entities, as which fields, when, and the trial."""

from collections.abc import Callable, Mapping
from typing import Any

from freezegun.api import FrozenDateTimeFactory
import pytest
from pytest_homeassistant_custom_component.typing import ClientSessionGenerator

from custom_components.eniris.const import (
    CONF_AGGREGATE,
    CONF_ATTRIBUTE,
    CONF_ATTRIBUTES,
    CONF_COLLECTOR,
    CONF_DATABASE,
    CONF_ENABLED,
    CONF_ENTITIES,
    CONF_ENTITY,
    CONF_FIELD,
    CONF_FIELDS,
    CONF_HEARTBEAT,
    CONF_INTERVAL,
    CONF_KIND,
    CONF_MEASUREMENT,
    CONF_MODE,
    CONF_RETENTION_POLICY,
    CONF_SHORTEST,
    CONF_TAGS,
    SUBENTRY_EXPORT,
)
from homeassistant.config_entries import ConfigEntryState
from homeassistant.const import CONF_NAME, STATE_UNAVAILABLE
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType
from homeassistant.helpers import entity_registry as er
from homeassistant.helpers.selector import TextSelector
from homeassistant.setup import async_setup_component
from simulator.model import SeriesKey
from simulator.server import Simulator
from simulator.store import IncomingPoint

from .kit.common import device_of
from .kit.exports import (
    INGRESS,
    POWER,
    START,
    WHERE,
    WRITE,
    Dialog,
    Home,
    MeterWorld,
    export_data,
    home_with_account,
)
from .simulator.tiny_world import LEFT

FIELD = "actualPowerTot_W"
ENERGY = "sensor.p1_energy"


@pytest.fixture
def world() -> MeterWorld:
    """Return a small world."""
    return MeterWorld()


@pytest.fixture
async def home(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    simulator: Simulator,
    user_input: dict[str, Any],
) -> Home:
    """Return a home with an account and a power sensor of 1.5 kW."""
    home = await home_with_account(hass, freezer, simulator, user_input)
    home.add_power()
    return home


@pytest.fixture
def dialog(home: Home) -> Dialog:
    """Return the dialog."""
    return Dialog(home)


def registry_id(home: Home, entity_id: str = POWER) -> str:
    """Return the registry id of an entity."""
    registered = er.async_get(home.hass).async_get(entity_id)
    assert registered is not None
    return registered.id


def stored(fields: Mapping[str, str], /, **changes: Any) -> dict[str, Any]:
    """Return what the dialog stores of an export of numbers."""
    data = export_data(fields, **changes)
    rows = [{**row, CONF_KIND: "number"} for row in data[CONF_FIELDS]]
    return {**data, CONF_FIELDS: rows}


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

    dialog.expect("written")
    assert dialog.result["last_step"]
    assert dialog.quoted["values"] == f"- `{FIELD}` = `1500.0`"
    assert dialog.quoted["missing"] == "–"
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

    await dialog.submit({})
    assert dialog.result["type"] is FlowResultType.CREATE_ENTRY
    [subentry] = home.exports
    assert (subentry.title, subentry.subentry_type) == ("House", SUBENTRY_EXPORT)
    assert subentry.data == stored(
        {registry_id(home): FIELD}, shortest=0.5, heartbeat=300
    )
    assert loaded.count(ConfigEntryState.LOADED) == 1
    home.hass.states.async_set(POWER, "2", {"unit_of_measurement": "kW"})
    await home.wait(7)
    assert home.values()[-1] == 2000.0
    assert loaded.count(ConfigEntryState.LOADED) == 1


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
            [POWER],
            {CONF_ENTITIES: [POWER], CONF_ATTRIBUTES: True},
        ),
        ("fields", [POWER], {POWER: "state"}),
        ("when", None, {POWER: FIELD}),
        (
            "interval",
            [CONF_INTERVAL, CONF_AGGREGATE, CONF_HEARTBEAT],
            {"next_step_id": "interval"},
        ),
        (
            "unreachable",
            None,
            {CONF_INTERVAL: 10, CONF_AGGREGATE: "mean", CONF_HEARTBEAT: 0},
        ),
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
    assert (await post(flow, {"next_step_id": "trial"}))["step_id"] == "written"
    assert (await post(flow, {}))["type"] == "create_entry"
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
    assert len(measurements) == len(set(measurements)) > 15
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


@pytest.mark.parametrize(
    ("changes", "errors"),
    [
        ({CONF_NAME: ""}, {CONF_NAME: "empty"}),
        ({CONF_NAME: "  "}, {CONF_NAME: "empty"}),
        ({CONF_COLLECTOR: ""}, {CONF_COLLECTOR: "name_empty"}),
        ({CONF_COLLECTOR: "a b"}, {CONF_COLLECTOR: "name_characters"}),
        ({CONF_DATABASE: " "}, {CONF_DATABASE: "name_empty"}),
        ({CONF_DATABASE: "demo/1"}, {CONF_DATABASE: "name_characters"}),
        ({CONF_RETENTION_POLICY: "rp.1"}, {CONF_RETENTION_POLICY: "name_characters"}),
        ({CONF_MEASUREMENT: ""}, {CONF_MEASUREMENT: "name_empty"}),
        ({CONF_MEASUREMENT: "_grid"}, {CONF_MEASUREMENT: "name_underscore"}),
        ({CONF_MEASUREMENT: "a\nb"}, {CONF_MEASUREMENT: "name_newline"}),
        ({CONF_TAGS: []}, {CONF_TAGS: "tag_missing"}),
        ({CONF_TAGS: None}, {CONF_TAGS: "tag_missing"}),
        ({CONF_TAGS: ["", " "]}, {CONF_TAGS: "tag_missing"}),
        ({CONF_TAGS: ["serialNr"]}, {CONF_TAGS: "tag_malformed"}),
        ({CONF_TAGS: ["serialNr="]}, {CONF_TAGS: "tag_malformed"}),
        ({CONF_TAGS: ["=1234"]}, {CONF_TAGS: "tag_malformed"}),
        ({CONF_TAGS: ["_a=1"]}, {CONF_TAGS: "tag_malformed"}),
        ({CONF_TAGS: ["a=1", "a=2"]}, {CONF_TAGS: "tag_twice"}),
        ({CONF_TAGS: ["a=☃"]}, {CONF_TAGS: "tag_characters"}),
        (
            {CONF_NAME: "", CONF_DATABASE: "ä", CONF_TAGS: ["a"]},
            {
                CONF_NAME: "empty",
                CONF_DATABASE: "name_characters",
                CONF_TAGS: "tag_malformed",
            },
        ),
    ],
)
async def test_where_is_checked(
    dialog: Dialog, changes: dict[str, Any], errors: dict[str, str]
) -> None:
    """What is wrong is told at each field; what was typed stays, and can be corrected."""
    typed = {
        key: value for key, value in {**WHERE, **changes}.items() if value is not None
    }
    await dialog.open()
    await dialog.submit(typed)
    dialog.expect("user", errors)
    rows = [row for row in typed.get(CONF_TAGS, []) if row.strip()]
    assert dialog.shown == {
        **{
            key: value.strip() if isinstance(value, str) else value
            for key, value in typed.items()
        },
        CONF_TAGS: rows or [""],
    }
    await dialog.submit(WHERE)
    dialog.expect("entities")


async def test_free_text_and_spaces(home: Home, dialog: Dialog) -> None:
    """What is not on offer can be typed; spaces around it do not count."""
    home.simulator.switches.namespaces.add(("my-db_1", "rp_5"))
    where = {
        CONF_NAME: " Mine ",
        CONF_COLLECTOR: " my-collector ",
        CONF_DATABASE: "my-db_1 ",
        CONF_RETENTION_POLICY: " rp_5",
        CONF_MEASUREMENT: " my metrics ",
        CONF_TAGS: [" serialNr = a=b ", "", "site=1", ""],
    }
    await dialog.to_end_of_trial({POWER: f" {FIELD} "}, where)
    dialog.expect("written")
    await dialog.submit({})
    [subentry] = home.exports
    assert subentry.title == "Mine"
    assert subentry.data == stored(
        {registry_id(home): FIELD},
        collector="my-collector",
        database="my-db_1",
        retention_policy="rp_5",
        measurement="my metrics",
        tags={"serialNr": "a=b", "site": "1"},
    )
    point = home.points()[0]
    assert point.tags == {"serialNr": "a=b", "site": "1"}
    assert point.measurement == "my metrics"


async def test_no_entities(home: Home, dialog: Dialog) -> None:
    """An export is of something."""
    await dialog.open()
    await dialog.submit(WHERE)
    await dialog.submit({CONF_ENTITIES: [], CONF_ATTRIBUTES: False})
    dialog.expect("entities", {CONF_ENTITIES: "no_entities"})
    await dialog.submit({CONF_ENTITIES: [POWER], CONF_ATTRIBUTES: False})
    dialog.expect("fields")


async def test_attributes(home: Home, dialog: Dialog) -> None:
    """An attribute can be sent in place of a state; only what was chosen is stored."""
    home.hass.states.async_set(
        "climate.hall", "heat", {"current_temperature": 21.5, "hvac_action": "heating"}
    )
    await dialog.open()
    await dialog.to_fields(POWER, "climate.hall", "sensor.late", attributes=True)
    assert dialog.shown == {
        POWER: "state",
        "climate.hall": "state",
        "sensor.late": "state",
    }
    assert dialog.options("climate.hall") == [
        "state",
        "current_temperature",
        "hvac_action",
    ]
    assert dialog.options("sensor.late") == ["state"]
    await dialog.submit(
        {
            POWER: "state",
            "climate.hall": " current_temperature ",
            # Of an entity that appears later; it can be typed
            "sensor.late": "level",
        }
    )
    dialog.expect("fields")
    assert dialog.shown == {
        POWER: FIELD,
        "climate.hall": "hallCurrentTemperature",
        "sensor.late": "lateLevel",
    }
    await dialog.to_trial({**dialog.shown, "climate.hall": "temperature_degC"})
    dialog.expect("written")
    assert dialog.quoted["missing"] == "sensor.late"
    [point] = home.points()
    assert point.fields == {FIELD: 1500.0, "temperature_degC": 21.5}
    await dialog.submit({})
    [subentry] = home.exports
    assert subentry.data[CONF_FIELDS] == [
        {CONF_ENTITY: registry_id(home), CONF_FIELD: FIELD, CONF_KIND: "number"},
        {
            CONF_ENTITY: "climate.hall",
            CONF_FIELD: "temperature_degC",
            CONF_ATTRIBUTE: "current_temperature",
            CONF_KIND: "number",
        },
        {CONF_ENTITY: "sensor.late", CONF_FIELD: "lateLevel", CONF_ATTRIBUTE: "level"},
    ]


@pytest.mark.parametrize("by", ["choice", "emptied", "switched off"])
async def test_back_to_the_state(home: Home, dialog: Dialog, by: str) -> None:
    """An attribute that was chosen can be given up for the state again."""
    subentry = await home.add_export({})
    row = {CONF_ENTITY: POWER, CONF_FIELD: "level", CONF_ATTRIBUTE: "level"}
    home.hass.config_entries.async_update_subentry(
        home.entry, subentry, data={**subentry.data, CONF_FIELDS: [row]}
    )
    await home.settle()
    await dialog.open(subentry)
    await dialog.choose("entities")
    dialog.expect("entities")
    assert dialog.shown == {CONF_ENTITIES: [POWER], CONF_ATTRIBUTES: True}
    await dialog.submit({CONF_ENTITIES: [POWER], CONF_ATTRIBUTES: by != "switched off"})
    if by != "switched off":
        dialog.expect("attributes")
        assert dialog.shown == {POWER: "level"}
        await dialog.submit({POWER: "state" if by == "choice" else ""})
    dialog.expect("fields")
    assert dialog.shown == {POWER: "level"}
    await dialog.submit({POWER: FIELD})
    dialog.expect("reconfigure")
    await dialog.choose("trial")
    dialog.expect("written")
    await dialog.submit({})
    assert home.exports[0].data[CONF_FIELDS] == [
        {CONF_ENTITY: registry_id(home), CONF_FIELD: FIELD, CONF_KIND: "number"}
    ]


@pytest.mark.parametrize(
    ("entity_id", "state", "attributes", "field"),
    [
        (
            "sensor.a",
            "1",
            {"device_class": "power", "unit_of_measurement": "kW"},
            FIELD,
        ),
        (
            "sensor.a",
            "1",
            {
                "device_class": "energy",
                "state_class": "total_increasing",
                "unit_of_measurement": "kWh",
            },
            "importedAbsEnergyTot_Wh",
        ),
        (
            "sensor.a",
            "230",
            {"device_class": "voltage", "unit_of_measurement": "V"},
            "voltageL1N_V",
        ),
        (
            "sensor.a",
            "1",
            {"device_class": "current", "unit_of_measurement": "mA"},
            "currentL1_A",
        ),
        (
            "sensor.a",
            "50",
            {"device_class": "frequency", "unit_of_measurement": "Hz"},
            "frequency_Hz",
        ),
        (
            "sensor.a",
            "80",
            {"device_class": "battery", "unit_of_measurement": "%"},
            "stateOfCharge_frac",
        ),
        ("sensor.a", "1", {"device_class": "power_factor"}, "powerFactorTot"),
        (
            "sensor.boiler_water",
            "50",
            {"device_class": "temperature", "unit_of_measurement": "°C"},
            "boilerWater_degC",
        ),
        ("binary_sensor.front_door", "on", {"device_class": "door"}, "frontDoor"),
        ("binary_sensor.phone", "on", {"device_class": "battery"}, "phone"),
        ("input_select.house_mode", "away", {}, "houseMode"),
        ("sensor.not_there_yet", None, {}, "notThereYet"),
    ],
)
async def test_suggested_names(
    home: Home,
    dialog: Dialog,
    entity_id: str,
    state: str | None,
    attributes: dict[str, Any],
    field: str,
) -> None:
    """A name is suggested by what an entity measures; by its own name where nothing else is known."""
    if state is not None:
        home.hass.states.async_set(entity_id, state, attributes)
    await dialog.open()
    await dialog.to_fields(entity_id)
    assert dialog.shown == {entity_id: field}
    await dialog.submit(dialog.shown)
    dialog.expect("when")


async def test_no_name_is_suggested_twice(home: Home, dialog: Dialog) -> None:
    """A name that another entity or another export has is not suggested."""
    home.hass.states.async_set(
        "sensor.solar",
        "2",
        {"device_class": "power", "unit_of_measurement": "W"},
    )
    await dialog.open()
    await dialog.to_fields(POWER, "sensor.solar")
    assert dialog.shown == {POWER: FIELD, "sensor.solar": "solar_W"}
    await home.add_export({POWER: FIELD, ENERGY: "p1Power_W"})
    await dialog.open()
    await dialog.to_fields(POWER)
    assert dialog.shown == {POWER: "p1Power2_W"}
    # In another series it is free
    await dialog.open()
    await dialog.to_fields(POWER, where={**WHERE, CONF_TAGS: ["serialNr=5678"]})
    assert dialog.shown == {POWER: FIELD}


@pytest.mark.parametrize(
    ("field", "error"),
    [
        ("importedAbsEnergyTot_Wh", "unit_mismatch"),
        ("frequency_Hz", "unit_mismatch"),
        ("stateOfCharge_frac", "unit_mismatch"),
        ("", "name_empty"),
        ("  ", "name_empty"),
        ("_W", "name_underscore"),
        ("a\nb", "name_newline"),
    ],
)
async def test_names_are_checked(dialog: Dialog, field: str, error: str) -> None:
    """A bad name, or one whose unit cannot be reached, is told at its entity."""
    await dialog.open()
    await dialog.to_fields(POWER)
    await dialog.submit({POWER: field})
    dialog.expect("fields", {POWER: error})
    assert dialog.shown == {POWER: field.strip()}
    await dialog.submit({POWER: "anotherPower_W"})
    dialog.expect("when")


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


async def test_one_field_each(home: Home, dialog: Dialog) -> None:
    """Two entities cannot be one field, within the form."""
    home.hass.states.async_set("sensor.other", "1", {"unit_of_measurement": "W"})
    await dialog.open()
    await dialog.to_fields(POWER, "sensor.other")
    await dialog.submit({POWER: "power_W", "sensor.other": "power_W"})
    dialog.expect("fields", {"sensor.other": "field_taken"})
    await dialog.submit({POWER: "power_W", "sensor.other": "other_W"})
    dialog.expect("when")


@pytest.mark.parametrize("account", ["same", "another"])
async def test_one_field_across_exports(
    home: Home, dialog: Dialog, user_input: dict[str, Any], account: str
) -> None:
    """A field that another export writes is refused, whichever account and collector it has."""
    if account == "another":
        other = await home_with_account(
            home.hass, home.freezer, home.simulator, user_input, "norole@example.com"
        )
        await other.add_export({ENERGY: FIELD}, collector="another-ingress")
    else:
        await home.add_export({ENERGY: FIELD}, collector="another-ingress")
    await dialog.open()
    await dialog.to_fields(POWER)
    await dialog.submit({POWER: FIELD})
    dialog.expect("fields", {POWER: "field_taken"})
    # The series of another measurement, policy or database is another one
    for key, value in (
        (CONF_MEASUREMENT, "batteryMetrics"),
        (CONF_RETENTION_POLICY, "rp_one_s"),
        (CONF_DATABASE, "tiny"),
    ):
        await dialog.open()
        await dialog.to_fields(POWER, where={**WHERE, key: value})
        await dialog.submit({POWER: FIELD})
        dialog.expect("when")


@pytest.mark.parametrize("end", ["written", "save anyway"])
async def test_two_dialogs_at_once(home: Home, end: str) -> None:
    """A field that is taken while the dialog is open is refused in the end; it can be corrected."""
    slow = Dialog(home)
    if end == "save anyway":
        home.simulator.faults.add(INGRESS, "drop")
    await slow.to_end_of_trial({POWER: FIELD})
    await home.add_export({ENERGY: FIELD})
    if end == "written":
        await slow.submit({})
    else:
        await slow.choose("save")
    slow.expect("fields", {POWER: "field_taken"})
    assert len(home.exports) == 1
    home.simulator.faults.clear()
    await slow.to_trial({POWER: "another_W"})
    slow.expect("written")
    await slow.submit({})
    assert len(home.exports) == 2


@pytest.mark.parametrize(
    ("policy", "shortest"), [("rp_one_s", 0), ("rp_one_m", 60), ("rp_ten_m", 0)]
)
async def test_shortest_time(
    home: Home, dialog: Dialog, policy: str, shortest: int
) -> None:
    """The suggested time between changes is what the retention policy is meant for."""
    await dialog.open()
    await dialog.to_fields(POWER, where={**WHERE, CONF_RETENTION_POLICY: policy})
    await dialog.submit({POWER: FIELD})
    await dialog.choose("change")
    dialog.expect("change")
    assert dialog.shown == {CONF_SHORTEST: shortest, CONF_HEARTBEAT: 0}


@pytest.mark.parametrize(
    ("policy", "interval"), [("rp_one_s", 1), ("rp_one_m", 60), ("rp_ten_m", 60)]
)
async def test_interval(home: Home, dialog: Dialog, policy: str, interval: int) -> None:
    """The suggested interval fits the retention policy; what is sent of it can be chosen."""
    home.simulator.switches.namespaces.add(("demo", policy))
    await dialog.open()
    await dialog.to_fields(POWER, where={**WHERE, CONF_RETENTION_POLICY: policy})
    await dialog.submit({POWER: FIELD})
    await dialog.choose("interval")
    dialog.expect("interval")
    assert dialog.shown == {
        CONF_INTERVAL: interval,
        CONF_AGGREGATE: "last",
        CONF_HEARTBEAT: 0,
    }
    assert dialog.options(CONF_AGGREGATE) == ["last", "mean", "min", "max"]
    await dialog.submit(
        {CONF_INTERVAL: 10.0, CONF_AGGREGATE: "max", CONF_HEARTBEAT: 60.0}
    )
    dialog.expect("written")
    await dialog.submit({})
    [subentry] = home.exports
    data = stored(
        {registry_id(home): FIELD},
        retention_policy=policy,
        mode="interval",
        interval=10,
        aggregate="max",
        heartbeat=60,
    )
    del data[CONF_SHORTEST]
    assert subentry.data == data
    home.hass.states.async_set(POWER, "4", {"unit_of_measurement": "kW"})
    await home.wait(18)
    assert 4000.0 in home.values()


async def test_trial_of_several_types(home: Home, dialog: Dialog) -> None:
    """The trial writes what the export would: floats, booleans and words, in the field's units."""
    for entity_id, state, attributes in (
        ("binary_sensor.door", "on", {}),
        ("input_select.mode", "eco", {"options": ["eco", "away"]}),
        ("counter.visits", "3", {}),
        ("sensor.battery", "80", {"unit_of_measurement": "%"}),
        ("sensor.gone", STATE_UNAVAILABLE, {}),
    ):
        home.hass.states.async_set(entity_id, state, attributes)
    await dialog.to_end_of_trial(
        {
            POWER: FIELD,
            "binary_sensor.door": "doorOpen",
            "input_select.mode": "mode",
            "counter.visits": "visits",
            "sensor.battery": "stateOfCharge_frac",
            "sensor.gone": "gone",
        }
    )
    dialog.expect("written")
    assert home.simulator.log.count(WRITE, 204) == 1
    [point] = home.points()
    assert point.fields == {
        FIELD: 1500.0,
        "doorOpen": True,
        "mode": "eco",
        "visits": 3.0,
        "stateOfCharge_frac": 0.8,
    }
    assert point.types == {
        FIELD: "float",
        "doorOpen": "boolean",
        "mode": "string",
        "visits": "float",
        "stateOfCharge_frac": "float",
    }
    assert dialog.quoted["values"].splitlines() == [
        f"- `{FIELD}` = `1500.0`",
        "- `doorOpen` = `true`",
        '- `mode` = `"eco"`',
        "- `visits` = `3.0`",
        "- `stateOfCharge_frac` = `0.8`",
    ]
    assert dialog.quoted["missing"] == "sensor.gone"


async def test_role_missing(
    home: Home, dialog: Dialog, user_input: dict[str, Any]
) -> None:
    """An account that may not write is told so at the first form, and nothing typed is lost."""
    home.simulator.accounts["demo@example.com"].roles.clear()
    await dialog.to_end_of_trial({POWER: "myPower_W"})
    dialog.expect("user", {"base": "role_missing"})
    assert "403 Forbidden" in dialog.quoted["error"]
    assert dialog.shown == WHERE
    # The role is given, and the same dialog goes on
    home.simulator.accounts["demo@example.com"].roles.add("CustomerName")
    await dialog.submit({**WHERE, CONF_NAME: "Other"})
    dialog.expect("entities")
    assert dialog.shown == {CONF_ENTITIES: [POWER], CONF_ATTRIBUTES: False}
    await dialog.submit(dialog.shown)
    assert dialog.shown == {POWER: "myPower_W"}
    await dialog.to_trial(dialog.shown)
    dialog.expect("written")
    await dialog.submit({})
    [subentry] = home.exports
    assert subentry.title == "Other"
    assert subentry.data == stored({registry_id(home): "myPower_W"})


async def test_namespace_unknown(home: Home, dialog: Dialog) -> None:
    """A database that the service does not know is told at database and retention policy."""
    where = {**WHERE, CONF_DATABASE: "demmo"}
    await dialog.to_end_of_trial({POWER: FIELD}, where)
    dialog.expect(
        "user",
        {
            CONF_DATABASE: "namespace_unknown",
            CONF_RETENTION_POLICY: "namespace_unknown",
        },
    )
    assert "demmo" in dialog.quoted["error"]
    assert dialog.shown == where
    await dialog.to_fields(POWER)
    assert dialog.shown == {POWER: FIELD}
    await dialog.to_trial({POWER: FIELD})
    dialog.expect("written")
    await dialog.submit({})
    assert home.exports[0].data[CONF_DATABASE] == "demo"


async def test_type_conflict(home: Home, dialog: Dialog) -> None:
    """A field that is stored with another type is told at its entity, and at no other."""
    for entity_id, value in (("sensor.a", "1"), ("sensor.b", "2")):
        home.hass.states.async_set(entity_id, value, {"state_class": "measurement"})
    series = SeriesKey("demo", "rp_one_m", "gridMetrics", (("serialNr", "other"),))
    home.simulator.store.write([IncomingPoint(series, 1, {"powerLevel": 5})])
    fields = {"sensor.a": "power", "sensor.b": "powerLevel"}
    await dialog.to_end_of_trial(fields)
    dialog.expect("fields", {"sensor.b": "type_conflict"})
    assert "already exists as type integer" in dialog.quoted["error"]
    assert dialog.shown == fields
    await dialog.to_trial({**fields, "sensor.b": "powerLevel2"})
    dialog.expect("written")
    assert home.points(field_name="power")[0].fields == {
        "power": 1.0,
        "powerLevel2": 2.0,
    }


def refuse_with(status: int, message: str = "no") -> Callable[[Simulator], None]:
    """Return what makes the service refuse a write."""

    def refuse(simulator: Simulator) -> None:
        simulator.faults.add(INGRESS, "status", status=status, message=message, times=1)

    return refuse


def refuse_times(simulator: Simulator) -> None:
    """Make the service refuse the present, until it is asked not to."""
    simulator.switches.max_age_s = -10


def refuse_sizes(simulator: Simulator) -> None:
    """Make the service refuse a body of any size."""
    simulator.switches.max_body = 10


@pytest.mark.parametrize(
    ("refuse", "error", "says"),
    [
        (refuse_times, "time_range", "outside the allowed time range"),
        (refuse_sizes, "refused", "413"),
        (refuse_with(400, "malformed"), "refused", "malformed"),
        (refuse_with(422, "mixed types"), "refused", "mixed types"),
        # A conflict of a field that is none of this export's
        (refuse_with(409, "type of field nobody"), "type_conflict", "nobody"),
    ],
)
async def test_values_refused(
    home: Home,
    dialog: Dialog,
    refuse: Callable[[Simulator], None],
    error: str,
    says: str,
) -> None:
    """What the service has against the values is told above the names, in its words."""
    refuse(home.simulator)
    await dialog.to_end_of_trial({POWER: "myPower_W"})
    dialog.expect("fields", {"base": error})
    assert says in dialog.quoted["error"]
    assert dialog.shown == {POWER: "myPower_W"}
    home.simulator.switches.max_age_s = 1e6
    home.simulator.switches.max_body = 1_000_000
    await dialog.to_trial(dialog.shown)
    dialog.expect("written")


TROUBLE: list[dict[str, Any]] = [
    {"fault": "drop"},
    {"fault": "half_body"},
    {"fault": "garbage"},
    {"fault": "html"},
    {"fault": "wrong_type"},
    {"fault": "empty"},
    {"fault": "status", "status": 500},
    {"fault": "status", "status": 503, "retry_after": 30},
    {"fault": "status", "status": 429, "retry_after": 30},
    {"fault": "status", "status": 418},
]


@pytest.mark.parametrize("trouble", TROUBLE, ids=str)
async def test_no_verdict(home: Home, dialog: Dialog, trouble: dict[str, Any]) -> None:
    """Where the service says neither yes nor no, the trial is repeated, or saved without."""
    home.simulator.faults.add(INGRESS, **trouble)
    await dialog.to_end_of_trial({POWER: FIELD})
    dialog.expect("unreachable")
    assert dialog.result["type"] is FlowResultType.MENU
    assert dialog.result["menu_options"] == ["trial", "save"]
    assert dialog.quoted["error"]
    await dialog.choose("trial")
    dialog.expect("unreachable")
    assert len(home.writes) == 2
    home.simulator.faults.clear()
    await dialog.choose("trial")
    dialog.expect("written")
    await dialog.submit({})
    assert home.exports[0].data == stored({registry_id(home): FIELD})


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


@pytest.mark.parametrize("stale", [False, True])
@pytest.mark.parametrize("status", [400, 403, 404, 409, 413, 422, 500])
async def test_trouble_with_the_log_in_is_none_of_the_values(
    home: Home, dialog: Dialog, status: int, stale: bool
) -> None:
    """What the authentication host says is not taken for a word on role, database or values."""
    if stale:
        home.simulator.revoke("demo@example.com", "access")
    else:
        # Which leaves the trial as the only one that asks for a token
        assert await home.hass.config_entries.async_unload(home.entry.entry_id)
    home.simulator.faults.add("/auth/accesstoken", "status", status=status)
    await dialog.to_end_of_trial({POWER: FIELD})
    dialog.expect("unreachable")
    assert str(status) in dialog.quoted["error"]
    assert len(home.writes) == stale


@pytest.mark.parametrize(
    "loaded",
    [
        pytest.param(True, marks=pytest.mark.expected_log("fetching Eniris .*log-in")),
        False,
    ],
)
async def test_dead_log_in(home: Home, dialog: Dialog, loaded: bool) -> None:
    """A log-in that has ended asks for a new one; the export can be saved meanwhile."""
    if not loaded:
        assert await home.hass.config_entries.async_unload(home.entry.entry_id)
    home.simulator.revoke("demo@example.com", "refresh")
    home.simulator.revoke("demo@example.com", "access")
    await dialog.to_end_of_trial({POWER: FIELD})
    dialog.expect("unreachable")
    assert home.log_ins_asked_for() == 1
    await dialog.choose("trial")
    dialog.expect("unreachable")
    assert home.log_ins_asked_for() == 1
    await dialog.choose("save")
    assert home.exports[0].data == stored({registry_id(home): FIELD})


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
    await dialog.submit({})
    assert home.exports[0].data == stored({registry_id(home): FIELD})
    assert home.entry.state is ConfigEntryState.NOT_LOADED


async def test_nothing_to_send(home: Home, dialog: Dialog) -> None:
    """Without a value at present nothing is written; that can be tried again, or saved."""
    home.hass.states.async_set(POWER, STATE_UNAVAILABLE)
    await dialog.to_end_of_trial({POWER: FIELD})
    dialog.expect("nothing_to_send")
    assert dialog.result["menu_options"] == ["trial", "save"]
    assert dialog.quoted["missing"] == POWER
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
    assert dialog.quoted == {"name": "House", "entities": f"{POWER}, sensor.plain"}
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
    await dialog.submit({})
    assert dialog.result["type"] is FlowResultType.ABORT
    assert dialog.result["reason"] == "reconfigure_successful"
    [changed] = home.exports
    assert changed.subentry_id == subentry.subentry_id
    assert changed.title == "New"
    assert changed.data == stored(
        {registry_id(home): "other_W", "sensor.plain": FIELD}, tags={"serialNr": "9"}
    )
    assert loaded.count(ConfigEntryState.LOADED) == 1
    device = device_of(
        home.hass, home.entry, f"{home.entry.unique_id}_{changed.subentry_id}"
    )
    assert device is not None
    assert device.name == "New"
    home.hass.states.async_set("sensor.plain", "6", {"unit_of_measurement": "W"})
    await home.wait(7)
    assert home.values()[-1] == 6.0
    assert {point.tags["serialNr"] for point in home.points()} == {"9"}


async def test_reconfigure_the_mode(home: Home, dialog: Dialog) -> None:
    """Changing the mode leaves nothing of the other one behind."""
    subentry = await home.add_export({registry_id(home): FIELD}, shortest=5)
    await dialog.open(subentry)
    await dialog.choose("when")
    await dialog.choose("interval")
    # What holds of the other mode is not what is meant here
    assert dialog.shown[CONF_HEARTBEAT] == 0
    await dialog.submit(dialog.shown)
    await dialog.choose("trial")
    await dialog.submit({})
    [changed] = home.exports
    assert CONF_SHORTEST not in changed.data
    assert changed.data[CONF_MODE] == "interval"
    await dialog.open(changed)
    await dialog.choose("when")
    await dialog.choose("change")
    await dialog.submit(dialog.shown)
    await dialog.choose("trial")
    await dialog.submit({})
    assert home.exports[0].data == stored({registry_id(home): FIELD}, shortest=60)


@pytest.mark.parametrize("enabled", [True, False])
@pytest.mark.parametrize("switched", ["before", "meanwhile"])
async def test_reconfigure_keeps_the_switch(
    home: Home, dialog: Dialog, enabled: bool, switched: str
) -> None:
    """Changing an export does not switch it, also where that happens while the dialog is open."""
    subentry = await home.add_export({POWER: FIELD}, enabled=not enabled)
    switch = home.entity_id(subentry, "switch", "enabled")

    async def use_switch() -> None:
        await home.hass.services.async_call(
            "switch",
            "turn_on" if enabled else "turn_off",
            {"entity_id": switch},
            blocking=True,
        )

    if switched == "before":
        await use_switch()
    await dialog.open(subentry)
    await dialog.choose("trial")
    if switched == "meanwhile":
        await use_switch()
    await dialog.submit({})
    assert home.exports[0].data[CONF_ENABLED] is enabled
    assert home.shown(subentry, "enabled", "switch") == ("on" if enabled else "off")


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
    ) == [
        ("1234", 2000.0),
        ("1234", 3000.0),
        ("9", 3000.0),
    ]
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
    await dialog.submit({})
    assert home.exports[0].data[CONF_RETENTION_POLICY] == "rp_one_s"
    assert home.exports[0].data[CONF_DATABASE] == "demo"


async def test_reconfigure_follows_the_registry(home: Home, dialog: Dialog) -> None:
    """A renamed entity is shown under its new name, and one that was deleted is left out."""
    gone = home.add_entity("sensor.gone", "1")
    subentry = await home.add_export({registry_id(home): FIELD, gone: "gone"})
    registry = er.async_get(home.hass)
    registry.async_update_entity(POWER, new_entity_id="sensor.renamed")
    home.hass.states.async_set("sensor.renamed", "1", {"unit_of_measurement": "kW"})
    registry.async_remove("sensor.gone")
    await home.settle()
    assert home.issues()["entity_gone"]["field"] == "gone"
    await dialog.open(subentry)
    assert dialog.quoted["entities"] == "sensor.renamed"
    await dialog.choose("entities")
    assert dialog.shown[CONF_ENTITIES] == ["sensor.renamed"]
    await dialog.submit(dialog.shown)
    assert dialog.shown == {"sensor.renamed": FIELD}
    await dialog.submit(dialog.shown)
    await dialog.choose("trial")
    await dialog.submit({})
    assert home.exports[0].data == stored({registry_id(home, "sensor.renamed"): FIELD})
    assert "entity_gone" not in home.issues()


def kinds(home: Home) -> dict[str, str | None]:
    """Return the stored kinds of the first export's fields."""
    return {
        row[CONF_FIELD]: row.get(CONF_KIND) for row in home.exports[0].data[CONF_FIELDS]
    }


async def test_kinds(home: Home, dialog: Dialog) -> None:
    """The kind of each field is stored where its entity tells it, and nothing is sent without."""
    entities = {
        "sensor.error": ("0", {}, "error", "text"),
        "switch.heater": ("on", {}, "isHeating", "boolean"),
        "sensor.meter": ("7", {"state_class": "total_increasing"}, "pulses", "counter"),
        "number.limit": ("5", {}, "limit", "number"),
        "sensor.late": ("unavailable", {}, "late", None),
    }
    for entity_id, (state, attributes, _, _) in entities.items():
        home.hass.states.async_set(entity_id, state, attributes)
    await dialog.open()
    await dialog.submit(WHERE)
    await dialog.submit({CONF_ENTITIES: list(entities), CONF_ATTRIBUTES: False})
    await dialog.to_trial({id_: field for id_, (_, _, field, _) in entities.items()})
    dialog.expect("written")
    assert dialog.quoted["missing"] == "sensor.late"
    [point] = home.points()
    assert point.fields == {
        "error": "0",
        "isHeating": True,
        "pulses": 7.0,
        "limit": 5.0,
    }
    await dialog.submit({})
    assert kinds(home) == {field: kind for _, _, field, kind in entities.values()}


async def test_a_kind_stays(home: Home, dialog: Dialog) -> None:
    """A field keeps its kind whatever its entity has become, until its row becomes another."""
    code = home.add_entity("sensor.code", "5")
    rows = [
        {CONF_ENTITY: entity, CONF_FIELD: field, CONF_KIND: "number"}
        for entity, field in ((code, "code"), (POWER, FIELD))
    ]
    changes: dict[str, Any] = {CONF_FIELDS: rows}
    subentry = await home.add_export({}, **changes)
    er.async_get(home.hass).async_update_entity(
        "sensor.code", new_entity_id="sensor.renamed"
    )
    home.hass.states.async_set("sensor.renamed", "6")
    await home.settle()
    await dialog.open(subentry)
    await dialog.choose("trial")
    dialog.expect("written")
    assert dialog.quoted["values"].splitlines()[0] == "- `code` = `6.0`"
    await dialog.submit({})
    assert kinds(home) == {"code": "number", FIELD: "number"}
    await dialog.open(subentry)
    await dialog.choose("fields")
    await dialog.submit({**dialog.shown, "sensor.renamed": "errorCode"})
    await dialog.choose("trial")
    await dialog.submit({})
    assert kinds(home) == {"errorCode": "text", FIELD: "number"}


async def test_reconfigure_the_name_alone(home: Home, dialog: Dialog) -> None:
    """Who changes one thing sees the forms of no other."""
    subentry = await home.add_export({registry_id(home): FIELD}, shortest=5)
    await dialog.open(subentry)
    await dialog.choose("where")
    await dialog.submit({**dialog.shown, CONF_NAME: "New"})
    await dialog.choose("trial")
    dialog.expect("written")
    await dialog.submit({})
    assert home.exports[0].title == "New"
    assert home.exports[0].data == subentry.data


async def test_reconfigure_when_all_is_gone(home: Home, dialog: Dialog) -> None:
    """An export whose entities were all deleted asks for others before it is tried out."""
    gone = home.add_entity("sensor.gone", "1")
    subentry = await home.add_export({gone: "gone"})
    er.async_get(home.hass).async_remove("sensor.gone")
    await home.settle()
    await dialog.open(subentry)
    assert dialog.quoted["entities"] == "–"
    await dialog.choose("trial")
    dialog.expect("entities", {CONF_ENTITIES: "no_entities"})
    await dialog.submit({CONF_ENTITIES: [POWER], CONF_ATTRIBUTES: False})
    dialog.expect("fields")
    await dialog.submit(dialog.shown)
    await dialog.choose("trial")
    dialog.expect("written")


async def test_reconfigure_into_the_series_of_another(
    home: Home, dialog: Dialog
) -> None:
    """Names that are taken in the series that was chosen are told before anything is written there."""
    await home.add_export({ENERGY: FIELD}, tags={"serialNr": "9"})
    subentry = await home.add_export({POWER: FIELD})
    await home.wait(7)
    written = len(home.writes)
    await dialog.open(subentry)
    await dialog.choose("where")
    await dialog.submit({**WHERE, CONF_TAGS: ["serialNr=9"]})
    await dialog.choose("trial")
    dialog.expect("fields", {POWER: "field_taken"})
    assert len(home.writes) == written


OWN = {
    CONF_DATABASE: LEFT.database,
    CONF_MEASUREMENT: LEFT.measurement,
    CONF_TAGS: [f"{key}={value}" for key, value in reversed(LEFT.tags)],
}
"""Of the series that the meter of the small world writes itself, its tags in any order."""


@pytest.mark.parametrize("policy", ["rp_one_s", "rp_one_m"])
async def test_series_of_a_device(home: Home, dialog: Dialog, policy: str) -> None:
    """That values go where a device's own go has to be confirmed; other tags need nothing."""
    where = {**WHERE, **OWN, CONF_RETENTION_POLICY: policy}
    await dialog.open()
    await dialog.submit(where)
    dialog.expect("own_series")
    assert dialog.result["menu_options"] == ["other_series", "accept_series"]
    assert dialog.quoted["devices"] == "`Grid`"
    await dialog.choose("other_series")
    dialog.expect("user")
    assert dialog.shown == where
    await dialog.submit({**where, CONF_TAGS: [*where[CONF_TAGS], "serialNr=1"]})
    dialog.expect("entities")

    await dialog.open()
    await dialog.submit(where)
    await dialog.choose("accept_series")
    dialog.expect("entities")
    assert not home.writes


async def test_reconfigure_to_the_series_of_a_device(
    home: Home, dialog: Dialog
) -> None:
    """A change asks as well, and does not ask again for what was confirmed once."""
    home.simulator.switches.namespaces.add((LEFT.database, "rp_one_m"))
    subentry = await home.add_export({registry_id(home): "myPower_W"})
    await dialog.open(subentry)
    await dialog.choose("where")
    await dialog.submit({**WHERE, **OWN})
    dialog.expect("own_series")
    await dialog.choose("other_series")
    dialog.expect("where")
    await dialog.submit({**WHERE, **OWN})
    await dialog.choose("accept_series")
    dialog.expect("reconfigure")
    await dialog.choose("where")
    await dialog.submit({**dialog.shown, CONF_NAME: "New"})
    dialog.expect("reconfigure")
    await dialog.choose("trial")
    dialog.expect("written")
    await dialog.submit({})
    [changed] = home.exports
    assert changed.data[CONF_TAGS] == dict(LEFT.tags)
    await dialog.open(changed)
    await dialog.choose("where")
    await dialog.submit({**dialog.shown, CONF_NAME: "Newer"})
    dialog.expect("reconfigure")


async def test_reconfigure_of_many(home: Home, dialog: Dialog) -> None:
    """The menu names the first few entities, and counts the rest."""
    subentry = await home.add_export({f"sensor.a{n}": f"a{n}" for n in range(1, 9)})
    await dialog.open(subentry)
    assert dialog.quoted["entities"] == (
        "sensor.a1, sensor.a2, sensor.a3, sensor.a4, sensor.a5, sensor.a6 … (+2)"
    )
