"""What is told of an export whose entity was deleted: its own form mends that."""

from custom_components.eniris.const import CONF_ATTRIBUTES, CONF_ENTITIES
from homeassistant.helpers import entity_registry as er
from tests.kit.exports import POWER, Dialog, Home

from .kit import Fix, exported_entities


async def test_entity_gone(home: Home, fix: Fix) -> None:
    """The issue says where to mend it, and goes once another entity is sent in the place of the one that is gone."""
    first = home.add_power()
    second = home.add_entity("sensor.car", "3", {"unit_of_measurement": "kW"})
    export = await home.add_export({first: "actualPowerTot_W", second: "car_W"})
    er.async_get(home.hass).async_remove(POWER)
    home.hass.states.async_remove(POWER)
    await home.settle()
    issue = fix.issue("entity_gone")
    assert not issue.is_fixable
    assert issue.translation_placeholders == {
        "account": "demo@example.com",
        "export": export.title,
        "export_id": export.subentry_id,
        "field": "actualPowerTot_W",
        "entity": POWER,
    }
    home.add_entity("sensor.oven", "2", {"unit_of_measurement": "kW"})
    dialog = Dialog(home)
    await dialog.open(export)
    await dialog.choose("entities")
    assert dialog.shown[CONF_ENTITIES] == ["sensor.car"]
    chosen = ["sensor.car", "sensor.oven"]
    await dialog.submit({CONF_ENTITIES: chosen, CONF_ATTRIBUTES: False})
    await dialog.submit({"sensor.car": "car_W", "sensor.oven": "actualPowerTot_W"})
    await dialog.choose("trial")
    await dialog.submit({})
    assert exported_entities(home, export) == {
        "actualPowerTot_W": "sensor.oven",
        "car_W": "sensor.car",
    }
    await home.wait(6)
    assert home.values()[-1] == 2000.0
    assert not home.issues()
