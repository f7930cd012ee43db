"""What is told of what a form mends: the issue says where the form is, and goes with the cause."""

import pytest

from custom_components.eniris.const import (
    CONF_ATTRIBUTES,
    CONF_ENTITIES,
    CONF_IMPORT,
    CONF_INTERVAL,
    CONF_OUTBOX,
)
from homeassistant.helpers import entity_registry as er
from simulator.rate_limit import TIERS
from simulator.world import HomeWorld
from tests.kit.common import open_options
from tests.kit.exports import POWER, Dialog, Home
from tests.repairs.kit import Fix, exported_entities


@pytest.mark.parametrize(
    "world", [lambda: HomeWorld(seed=1)], indirect=True, ids=["home"]
)
async def test_budget(home: Home, fix: Fix, monkeypatch: pytest.MonkeyPatch) -> None:
    """The issue says where the options are, and goes with an interval that the budget allows."""
    home.hass.config_entries.async_update_entry(
        home.entry, options={CONF_IMPORT: {CONF_INTERVAL: 34}}
    )
    await home.settle()
    await home.wait(70, step=5)
    pace = home.entry.runtime_data.telemetry.pace
    assert pace.cost is not None
    # A poll every 34 seconds costs a little more than the account may spend
    monkeypatch.setitem(TIERS, "free", 2 * pace.cost)
    home.simulator.tier = "free"
    await home.wait(150, step=5)
    issue = fix.issue("budget")
    assert not issue.is_fixable
    assert (issue.translation_placeholders or {})["wanted"] == "34"
    flow_id = await open_options(home.hass, home.entry)
    await home.hass.config_entries.options.async_configure(
        flow_id, {CONF_IMPORT: {CONF_INTERVAL: 90}, CONF_OUTBOX: {}}
    )
    await home.settle()
    await home.wait(400, step=10)
    assert home.entry.options[CONF_IMPORT][CONF_INTERVAL] == 90
    assert not home.issues()


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
    await dialog.end()
    assert exported_entities(home, export) == {
        "actualPowerTot_W": "sensor.oven",
        "car_W": "sensor.car",
    }
    await home.wait(6)
    assert home.values()[-1] == 2000.0
    assert not home.issues()
