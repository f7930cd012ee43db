"""Repairs of a field that Eniris refuses in every value."""

from typing import Any

import pytest

from custom_components.eniris.const import CONF_FIELD, CONF_FIELDS, CONF_TAGS, DOMAIN
from custom_components.eniris.exporting.outbox import corrections
from custom_components.eniris.exporting.outbox.live import load_rejects
from homeassistant.config_entries import ConfigSubentry
from tests.kit.exports import POWER, Home

from .kit import BLOCKED, TARGET, Fix, count_set_ups, exported_entities

REFUSED_ONCE = pytest.mark.expected_log("refuses a value of field")
CAR = "sensor.car"


async def push(home: Home, **fields: Any) -> None:
    """Push a point of the series that exports of these tests write, and let it be sent."""
    point = {
        "measurement": "gridMetrics",
        CONF_TAGS: {"serialNr": "1234"},
        CONF_FIELDS: fields,
    }
    account = {"config_entry_id": home.entry.entry_id, **TARGET}
    await home.hass.services.async_call(
        DOMAIN, "push", {**account, "points": [point]}, blocking=True
    )
    await home.wait(3)


async def show(home: Home, entity_id: str, value: float) -> None:
    """Have an entity without a unit show a number."""
    home.hass.states.async_set(entity_id, str(value), {"state_class": "measurement"})
    await home.wait(3)


async def provoke_block(home: Home, name: str = "power") -> ConfigSubentry:
    """Have the service keep words under a name, and send 1 and 2, beside what it stores."""
    await push(home, **{name: "low", "other": "word"})
    number = {"state_class": "measurement"}
    power = home.add_entity(POWER, "1", number)
    car = home.add_entity(CAR, "10", {"unit_of_measurement": "W"})
    export = await home.add_export({power: name, car: "car_W"})
    await home.wait(3)
    await show(home, POWER, 2)
    assert home.issues()["field_blocked"]["field"] == name
    assert home.values("car_W")
    return export


async def waiting(home: Home) -> int:
    """Return how many values of blocked fields wait."""
    outbox = home.entry.runtime_data.exporter.outbox
    return (await corrections.count_blocked(outbox, list(outbox.blocked))).total()


def numbers(home: Home, name: str) -> list[Any]:
    """Return the stored values of a field but for words, each once where it was sent again later."""
    found = [value for value in home.values(name) if not isinstance(value, str)]
    return list(dict.fromkeys(found))


def rename_elsewhere(home: Home, export: ConfigSubentry, old: str, new: str) -> None:
    """Give a field another name in the dialog of its export."""
    subentry = home.entry.subentries[export.subentry_id]
    rows = [
        {**row, CONF_FIELD: new if row[CONF_FIELD] == old else row[CONF_FIELD]}
        for row in subentry.data[CONF_FIELDS]
    ]
    home.hass.config_entries.async_update_subentry(
        home.entry, subentry, data={**subentry.data, CONF_FIELDS: rows}
    )


@REFUSED_ONCE
@BLOCKED
async def test_sent_under_another_name(home: Home, fix: Fix) -> None:
    """All that waits is stored under the new name, what was set aside at first, too, and so is all that follows."""
    export = await provoke_block(home)
    for number in range(3, 40):
        await show(home, POWER, number)
    await fix.open("field_blocked", "init")
    assert fix.shown["menu_options"] == ["rename", "discard", "try_again"]
    assert fix.shown["description_placeholders"]["exports"] == export.title
    assert fix.shown["description_placeholders"]["waiting"] == "39"
    await fix.choose("rename")
    fix.expect("rename")
    [field] = fix.shown["data_schema"]
    assert field["default"] == "power_2"
    await fix.submit(field="load")
    fix.expect("waiting")
    assert fix.shown["menu_options"] == ["send", "drop"]
    assert fix.shown["description_placeholders"]["waiting"] == "39"
    await fix.choose("send")
    fix.expect_solved()
    assert exported_entities(home, export) == {"load": POWER, "car_W": CAR}
    await home.wait(6)
    assert numbers(home, "load") == [float(number) for number in range(1, 40)]
    assert home.values("power") == ["low"]
    assert await home.entry.runtime_data.exporter.outbox.store.run(load_rejects) == []
    await home.wait(30, step=5)
    assert home.shown(export, "waiting") == "0"
    await show(home, POWER, 40)
    assert numbers(home, "load")[-1] == 40.0
    await home.wait(60, step=5)
    assert not home.issues()


@REFUSED_ONCE
@BLOCKED
async def test_dropped(home: Home, fix: Fix) -> None:
    """Or it is discarded, and only what follows is sent."""
    export = await provoke_block(home)
    await fix.open("field_blocked")
    await fix.choose("rename")
    await fix.submit(field="load")
    await fix.choose("drop")
    fix.expect_solved()
    await home.wait(6)
    # The present value, once more after a start
    assert numbers(home, "load") == [2.0]
    assert exported_entities(home, export) == {"load": POWER, "car_W": CAR}
    figures = home.entry.runtime_data.exporter.status(export.subentry_id).figures
    assert figures.dropped == 2
    await home.wait(60, step=5)
    assert not home.issues()


@REFUSED_ONCE
@BLOCKED
async def test_discarded(home: Home, fix: Fix) -> None:
    """What waits is discarded once the user has seen how much that is; if the next is refused, that is told anew."""
    await provoke_block(home)
    await fix.open("field_blocked")
    await fix.choose("discard")
    fix.expect("discard")
    assert fix.shown["description_placeholders"]["waiting"] == "2"
    assert await waiting(home) == 2
    await fix.submit()
    fix.expect_solved()
    assert await waiting(home) == 0
    await show(home, POWER, 3)
    await show(home, POWER, 4)
    assert home.issues()["field_blocked"]["field"] == "power"
    assert await waiting(home) == 2


@REFUSED_ONCE
@BLOCKED
async def test_tried_again(home: Home, fix: Fix) -> None:
    """While the service does not change its mind, what it says is shown; once it does, all goes up."""
    await provoke_block(home)
    await fix.open("field_blocked")
    await fix.choose("try_again")
    fix.expect("still_refused")
    assert "409" in fix.shown["description_placeholders"]["error"]
    assert fix.shown["description_placeholders"]["waiting"] == "2"
    assert fix.shown["menu_options"] == ["rename", "discard", "try_again"]
    home.simulator.store.clear()
    await fix.choose("try_again")
    fix.expect_solved()
    assert home.values("power") == [1.0, 2.0]


@REFUSED_ONCE
@BLOCKED
async def test_names_that_will_not_do(home: Home, fix: Fix) -> None:
    """The same rules as in the dialog of an export; under another unit nothing old is sent."""
    await provoke_block(home)
    home.hass.states.async_set(POWER, "4", {"unit_of_measurement": "kW"})
    await home.wait(3)
    await fix.open("field_blocked")
    await fix.choose("rename")
    for name, problem in (
        ("power", "unchanged"),
        ("_power", "name_underscore"),
        (" ", "name_empty"),
        ("car_W", "field_taken"),
        ("power_degC", "unit_mismatch"),
    ):
        await fix.submit(field=name)
        fix.expect("rename", field=problem)
    await fix.submit(field="power_W")
    fix.expect("waiting")
    assert fix.shown["menu_options"] == ["drop"]
    await fix.choose("drop")
    fix.expect_solved()
    await home.wait(6)
    assert home.values("power_W") == [4000.0]


@REFUSED_ONCE
@BLOCKED
async def test_all_exports_of_a_field(home: Home, fix: Fix) -> None:
    """All exports that write it are changed, with one reload, and of all of them what waits is sent."""
    await push(home, power="low")
    car = home.add_entity(CAR, "10", {"unit_of_measurement": "W"})
    exports = []
    for number in range(3):
        entity_id = f"{POWER}_{number}"
        power = home.add_entity(entity_id, "1", {"state_class": "measurement"})
        exports.append(
            await home.add_export(
                {power: "power", car: "car_W"},
                title=f"House {number}",
                tags={"serialNr": str(number)},
            )
        )
    for value in (2, 3):
        for number in range(3):
            await show(home, f"{POWER}_{number}", value + number / 10)
    await fix.open("field_blocked")
    assert fix.shown["description_placeholders"]["exports"] == (
        "House 0, House 1, House 2"
    )
    await fix.choose("rename")
    await fix.submit(field="load")
    set_ups = count_set_ups(home)
    await fix.choose("send")
    fix.expect_solved()
    # Nothing that is read blinks
    assert not set_ups
    await home.wait(6)
    assert sorted(set(home.values("load"))) == [1, 2, 2.1, 2.2, 3, 3.1, 3.2]
    for number, export in enumerate(exports):
        assert exported_entities(home, export)["load"] == f"{POWER}_{number}"
    await home.wait(60, step=5)
    assert not home.issues()


@REFUSED_ONCE
@BLOCKED
async def test_renamed_in_the_export(home: Home, fix: Fix) -> None:
    """What waits of an export that has another name for the field by now can still be sent under that."""
    export = await provoke_block(home)
    rename_elsewhere(home, export, "power", "load")
    await home.settle()
    await home.wait(3)
    await home.wait(30, step=5)
    exporter = home.entry.runtime_data.exporter
    problem = exporter.status(export.subentry_id).problem
    assert problem == "Eniris refuses every value of power"
    await fix.open("field_blocked", "init")
    assert fix.shown["description_placeholders"]["exports"] == "House"
    await fix.choose("rename")
    # The name that the export has for it by now
    assert fix.shown["data_schema"][0]["default"] == "load"
    await fix.submit(field="load")
    await fix.choose("send")
    fix.expect_solved()
    await home.wait(6)
    assert numbers(home, "load") == [1.0, 2.0]
    await home.wait(60, step=5)
    assert not home.issues()


@REFUSED_ONCE
@BLOCKED
async def test_pushed(home: Home, fix: Fix) -> None:
    """What no export sends came from the action: it can be discarded, and comes again if it does."""
    await push(home, mode="low")
    for number in (1, 2, 3):
        await push(home, mode=number, car_W=number)
    await fix.open("field_blocked", "pushed")
    assert fix.shown["menu_options"] == ["discard", "try_again"]
    assert fix.shown["description_placeholders"]["waiting"] == "3"
    await fix.choose("try_again")
    fix.expect("still_refused")
    assert fix.shown["menu_options"] == ["discard", "try_again"]
    await fix.choose("discard")
    await fix.submit()
    fix.expect_solved()
    assert await waiting(home) == 0
    for number in (4, 5):
        await push(home, mode=number, car_W=number)
    assert "field_blocked" in home.issues()


@REFUSED_ONCE
@BLOCKED
async def test_pushed_beside_an_export(home: Home, fix: Fix) -> None:
    """Then what was pushed keeps its name, which is told, and the issue stays for it."""
    await provoke_block(home)
    await push(home, power=7)
    await fix.open("field_blocked", "init")
    assert fix.shown["description_placeholders"]["waiting"] == "3"
    await fix.choose("rename")
    await fix.submit(field="load")
    assert fix.shown["description_placeholders"]["waiting"] == "2"
    await fix.choose("send")
    assert fix.expect_abort("pushed_left")["waiting"] == "1"
    await home.wait(60, step=5)
    assert numbers(home, "load") == [1.0, 2.0]
    await fix.open("field_blocked", "pushed")
    assert fix.shown["description_placeholders"]["waiting"] == "1"


@REFUSED_ONCE
@BLOCKED
async def test_ends_by_itself(home: Home, fix: Fix) -> None:
    """Once the service takes the field again, the issue goes and nothing was lost."""
    export = await provoke_block(home)
    home.simulator.store.clear()
    await home.wait(3700, step=100)
    assert not home.issues()
    assert home.values("power")[:2] == [1.0, 2.0]
    assert home.shown(export, "problem", "binary_sensor") == "off"
    assert await waiting(home) == 0
