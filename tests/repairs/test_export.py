"""Repairs of an export whose entity was deleted."""

from custom_components.eniris.const import (
    CONF_ATTRIBUTE,
    CONF_ENTITY,
    CONF_FIELD,
    CONF_FIELDS,
)
from homeassistant.config_entries import ConfigSubentry
from homeassistant.helpers import entity_registry as er
from tests.export_kit import POWER, Home

from .kit import Fix, export_power, exported_entities


async def delete_entity(home: Home, entity_id: str) -> None:
    """Delete an entity for good."""
    er.async_get(home.hass).async_remove(entity_id)
    home.hass.states.async_remove(entity_id)
    await home.settle()


async def export_of_two(home: Home, **row: str) -> ConfigSubentry:
    """Export two entities, the first of which is then deleted."""
    first = home.add_power()
    second = home.add_entity("sensor.car", "3", {"unit_of_measurement": "kW"})
    export = await home.add_export(
        {},
        fields=[
            {CONF_ENTITY: first, CONF_FIELD: "actualPowerTot_W", **row},
            {CONF_ENTITY: second, CONF_FIELD: "car_W"},
        ],
    )
    await delete_entity(home, POWER)
    assert home.issues()["entity_gone"] == {
        "account": "demo@example.com",
        "export": export.title,
        "export_id": export.subentry_id,
        "field": "actualPowerTot_W",
        "entity": POWER,
    }
    return export


async def test_another_entity(home: Home, fix: Fix) -> None:
    """The series goes on with another entity, which must fit the name."""
    export = await export_of_two(home)
    home.add_entity("sensor.oven", "2", {"unit_of_measurement": "kW"})
    home.add_entity("sensor.room", "20", {"unit_of_measurement": "°C"})
    home.add_entity("binary_sensor.door", "on")
    await fix.open("entity_gone", "init")
    await fix.choose("replace")
    fix.expect("replace")
    for entity_id, problem in (
        ("sensor.car", "entity_in_export"),
        ("sensor.room", "unit_mismatch"),
        ("binary_sensor.door", "no_number"),
    ):
        await fix.submit(entity=entity_id)
        fix.expect("replace", entity=problem)
    [entity] = fix.shown["data_schema"]
    # What the form of an export offers: it refuses all the others
    assert "sensor" in entity["selector"]["entity"]["domain"]
    assert "zone" not in entity["selector"]["entity"]["domain"]
    await fix.submit(entity="sensor.oven")
    fix.expect_solved()
    assert exported_entities(home, export) == {
        "actualPowerTot_W": "sensor.oven",
        "car_W": "sensor.car",
    }
    await home.wait(6)
    assert home.values()[-1] == 2000.0


async def test_another_entity_with_the_attribute(home: Home, fix: Fix) -> None:
    """An attribute is sent of the other one, too; it has no unit that must fit."""
    export = await export_of_two(home, attribute="watts")
    home.add_entity("sensor.room", "20", {"unit_of_measurement": "°C", "watts": 7})
    await fix.open("entity_gone")
    await fix.choose("replace")
    await fix.submit(entity="sensor.room")
    fix.expect_solved()
    row = home.entry.subentries[export.subentry_id].data[CONF_FIELDS][0]
    assert row[CONF_ATTRIBUTE] == "watts"
    await home.wait(6)
    assert home.values()[-1] == 7.0


async def test_field_left_out(home: Home, fix: Fix) -> None:
    """Or the others alone are sent."""
    export = await export_of_two(home)
    await fix.open("entity_gone")
    await fix.choose("leave_out")
    fix.expect_solved()
    assert exported_entities(home, export) == {"car_W": "sensor.car"}


async def test_only_field(home: Home, fix: Fix) -> None:
    """An export of nothing is not offered."""
    await export_power(home)
    await delete_entity(home, POWER)
    await fix.open("entity_gone", "replace")


async def test_field_left_out_elsewhere(home: Home, fix: Fix) -> None:
    """What was mended in the export itself is not to be mended once more."""
    export = await export_of_two(home)
    await fix.open("entity_gone", "init")
    subentry = home.entry.subentries[export.subentry_id]
    home.hass.config_entries.async_update_subentry(
        home.entry,
        subentry,
        data={**subentry.data, CONF_FIELDS: subentry.data[CONF_FIELDS][1:]},
    )
    await home.settle()
    await fix.choose("leave_out")
    fix.expect_abort("solved")
    assert exported_entities(home, export) == {"car_W": "sensor.car"}
