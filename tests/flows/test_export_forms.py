"""The forms of an export: what they offer, and what they say is wrong."""

from typing import Any

import pytest

from custom_components.eniris.const import (
    CONF_AGGREGATE,
    CONF_ATTRIBUTE,
    CONF_ATTRIBUTES,
    CONF_COLLECTOR,
    CONF_DATABASE,
    CONF_ENTITIES,
    CONF_ENTITY,
    CONF_FIELD,
    CONF_FIELDS,
    CONF_HEARTBEAT,
    CONF_INTERVAL,
    CONF_KIND,
    CONF_MEASUREMENT,
    CONF_RETENTION_POLICY,
    CONF_SHORTEST,
    CONF_TAGS,
)
from homeassistant.const import CONF_NAME
from tests.flows.kit import FIELD, OWN, registry_id, stored
from tests.kit.exports import POWER, WHERE, Dialog, Home


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
    await dialog.end()
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
    assert dialog.quoted["missing"] == "- `lateLevel` = –"
    [point] = home.points()
    assert point.fields == {FIELD: 1500.0, "temperature_degC": 21.5}
    await dialog.end()
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
    await dialog.end()
    assert home.exports[0].data[CONF_FIELDS] == [
        {CONF_ENTITY: registry_id(home), CONF_FIELD: FIELD, CONF_KIND: "number"}
    ]


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
    await dialog.write()
    dialog.expect("written")
    await dialog.end()
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
