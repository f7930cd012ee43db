"""The switch of an export: off takes nothing and keeps what waits."""

import pytest

from custom_components.eniris.const import CONF_ENABLED
from homeassistant.config_entries import ConfigSubentry
from homeassistant.const import STATE_OFF, STATE_ON
from tests.kit.exports import INGRESS, POWER, Home, MeterWorld
from tests.kit.shown_export import ASKED_AGAIN, FIELD, STATUS, figures, measure

pytestmark = pytest.mark.usefixtures("all_enabled")


@pytest.fixture
def world() -> MeterWorld:
    """Return a small world."""
    return MeterWorld()


async def switch(home: Home, export: ConfigSubentry, to: str) -> None:
    """Use the switch."""
    await home.hass.services.async_call(
        "switch",
        f"turn_{to}",
        {"entity_id": home.entity_id(export, "switch", "enabled")},
        blocking=True,
    )


async def test_switch(home: Home, export: ConfigSubentry) -> None:
    """Off, nothing is collected, whatever is restarted; the entry is not reloaded for it."""
    loaded_with = home.entry.runtime_data
    assert home.shown(export, "enabled", "switch") == STATE_ON
    await switch(home, export, "off")
    assert home.shown(export, "enabled", "switch") == STATE_OFF
    assert home.entry.subentries[export.subentry_id].data[CONF_ENABLED] is False
    measure(home, "2")
    await home.wait(6)
    assert home.entry.runtime_data is loaded_with

    assert await home.hass.config_entries.async_reload(home.entry.entry_id)
    await home.settle()
    assert home.shown(export, "enabled", "switch") == STATE_OFF
    measure(home, "3")
    await home.wait(STATUS)
    assert home.values() == [1500.0]
    assert figures(home, export)["waiting"] == 0

    loaded_with = home.entry.runtime_data
    await switch(home, export, "on")
    assert home.shown(export, "enabled", "switch") == STATE_ON
    assert home.entry.subentries[export.subentry_id].data[CONF_ENABLED] is True
    measure(home, "4")
    await home.wait(6)
    assert home.values()[-1] == 4000.0
    # What was measured while it was off is not sent afterwards, but for the present value
    assert 2000.0 not in home.values()
    assert home.entry.runtime_data is loaded_with


async def test_switched_off_with_values_waiting(
    home: Home, export: ConfigSubentry
) -> None:
    """What was collected before the switch was turned off still goes up."""
    home.simulator.faults.add(INGRESS, "drop")
    measure(home, "2")
    await home.wait(6)
    await switch(home, export, "off")
    measure(home, "3")
    home.simulator.faults.clear()
    await home.wait(ASKED_AGAIN)
    assert home.values() == [1500.0, 2000.0]
    assert figures(home, export)["waiting"] == 0


async def test_switch_concerns_one_export(home: Home, export: ConfigSubentry) -> None:
    """Another export of the same entity goes on."""
    other = await home.add_export({POWER: FIELD}, title="Other", tags={"serialNr": "2"})
    await switch(home, export, "off")
    measure(home, "2")
    await home.wait(6)
    assert home.shown(other, "enabled", "switch") == STATE_ON
    assert [
        point.tags["serialNr"] for point in home.points() if point.fields[FIELD] == 2000
    ] == ["2"]
