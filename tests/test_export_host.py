"""What becomes of the export when exports change: another exporter, and nothing that is read blinks."""

import asyncio

from custom_components.eniris.const import CONF_MEASUREMENT
from homeassistant.config_entries import ConfigEntryState, ConfigSubentry
from homeassistant.const import EVENT_STATE_CHANGED, STATE_UNAVAILABLE
from homeassistant.core import Event, EventStateChangedData, callback
from tests.kit.common import imported_entities
from tests.kit.exports import POWER, Home


async def test_nothing_that_is_read_blinks(home: Home) -> None:
    """Adding, changing and removing an export leaves the states of nodes alone, and its own entities follow."""
    home.add_power()
    read = {entity.entity_id for entity in imported_entities(home.hass, home.entry)}
    assert read
    changed: list[str] = []

    @callback
    def note(event: Event[EventStateChangedData]) -> None:
        if event.data["entity_id"] in read:
            changed.append(event.data["entity_id"])

    home.hass.bus.async_listen(EVENT_STATE_CHANGED, note)
    export = await home.add_export({POWER: "actualPowerTot_W"})
    await home.wait(6)
    switch = home.entity_id(export, "switch", "enabled")
    change(home, export, "otherMetrics")
    await home.settle()
    state = home.hass.states.get(switch)
    assert state is not None
    assert state.state != STATE_UNAVAILABLE
    home.hass.config_entries.async_remove_subentry(home.entry, export.subentry_id)
    await home.settle()
    assert home.hass.states.get(switch) is None
    assert not changed
    assert home.entry.state is ConfigEntryState.LOADED


def change(home: Home, export: ConfigSubentry, measurement: str) -> None:
    """Change where the values of an export go."""
    present = home.entry.subentries[export.subentry_id]
    home.hass.config_entries.async_update_subentry(
        home.entry, present, data={**present.data, CONF_MEASUREMENT: measurement}
    )


async def test_many_changes_at_once(home: Home) -> None:
    """However quickly changes follow each other, the last one holds, and one exporter runs."""
    home.add_power()
    export = await home.add_export({POWER: "actualPowerTot_W"})
    await home.wait(6)
    first = home.entry.runtime_data.exporter
    for number in range(5):
        change(home, export, f"metrics{number}")
        await asyncio.sleep(0)
    await home.settle()
    last = home.entry.runtime_data.exporter
    assert last is not first
    [running] = last.exports.values()
    assert running.series.measurement == "metrics4"
    home.simulator.reset()
    home.hass.states.async_set(POWER, "7", {"unit_of_measurement": "kW"})
    await home.wait(6)
    assert {point.measurement for point in home.points()} == {"metrics4"}


async def test_unloaded_meanwhile(home: Home) -> None:
    """An account that is unloaded while exports change has no exporter that goes on, and starts with the change."""
    home.add_power()
    export = await home.add_export({POWER: "actualPowerTot_W"})
    await home.wait(6)
    change(home, export, "otherMetrics")
    assert await home.hass.config_entries.async_unload(home.entry.entry_id)
    await home.settle()
    home.simulator.reset()
    home.hass.states.async_set(POWER, "7", {"unit_of_measurement": "kW"})
    await home.wait(10)
    assert not home.points()
    assert await home.hass.config_entries.async_setup(home.entry.entry_id)
    await home.wait(10)
    assert {point.measurement for point in home.points()} == {"otherMetrics"}
