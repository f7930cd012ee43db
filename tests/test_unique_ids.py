"""Unique ids: nodes, measurements and fields with underscores never take each other's."""

from typing import Any

from freezegun.api import FrozenDateTimeFactory
import pytest

from custom_components.eniris.importing.coordinator import KEPT
from homeassistant.core import HomeAssistant
from homeassistant.helpers import entity_registry as er
from homeassistant.helpers.entity import Entity
from homeassistant.util import dt as dt_util
from simulator.model import SeriesKey
from simulator.server import Simulator
from simulator.store import IncomingPoint
from simulator.timestamps import datetime_to_ns
from simulator.world import HomeWorld
from tests.kit.common import advance, set_up_frozen, settle

# Node id, measurement, field; the first three and the last two are the same when joined
KEYS = [
    ("a", "b_c", "d_W"),
    ("a_b", "c", "d_W"),
    ("a", "b", "c_d_W"),
    # What looks like a direction of a signed power, and like a sensor of the metadata
    ("g", "gridMetrics", "actualPowerTot_W"),
    ("g", "gridMetrics", "actualPowerTot_W_import"),
    ("a", "nominal", "power"),
]


@pytest.fixture(autouse=True)
def all_enabled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Enable the entities that are registered as disabled otherwise."""
    monkeypatch.setattr(
        Entity, "entity_registry_enabled_default", property(lambda _: True)
    )


def show(simulator: Simulator, keys: list[tuple[str, str, str]]) -> None:
    """Let the account have nodes with these fields alone, in this order, each with its own value."""
    for device in simulator.devices.all():
        simulator.devices.hide(device["id"])
    for number, node_id in enumerate(dict.fromkeys(key[0] for key in keys)):
        simulator.devices.add(
            {
                "id": 90_000
                + number
                + 10 * simulator.log.count("POST /v1/device/query"),
                "lastUpdate": dt_util.utcnow().isoformat(),
                "properties": {
                    "nodeId": node_id,
                    "nodeType": "powerMeter",
                    "info": {"nomPower_W": 4000},
                    "nodeInfluxSeries": [
                        {
                            "database": HomeWorld.DATABASE,
                            "retentionPolicy": "rp_one_m",
                            "measurement": measurement,
                            "tags": {"nodeId": node_id},
                            "fields": [field],
                        }
                        for node, measurement, field in keys
                        if node == node_id
                    ],
                },
            }
        )


def write(simulator: Simulator) -> None:
    """Let each field have its own value."""
    for number, (node_id, measurement, field) in enumerate(KEYS):
        tags = (("nodeId", node_id),)
        series = SeriesKey(HomeWorld.DATABASE, "rp_one_m", measurement, tags)
        moment = datetime_to_ns(dt_util.utcnow())
        fields: dict[str, Any] = {field: 100.0 + number}
        simulator.store.write([IncomingPoint(series, moment, fields)])


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 1, 0)])
@pytest.mark.parametrize("later", [(0, 1, 2), (1, 2, 0), (2, 0, 1)])
async def test_no_collision(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
    order: tuple[int, ...],
    later: tuple[int, ...],
) -> None:
    """Each field has an entity of its own, which it keeps over restarts in whatever order they come."""
    freezer.move_to("2026-07-01T12:00:30Z")
    show(simulator, [*(KEYS[number] for number in order), *KEYS[3:]])
    write(simulator)
    entry = await set_up_frozen(hass, freezer, user_input, None)

    def shown() -> dict[str, tuple[str, str]]:
        return {
            registered.unique_id: (registered.entity_id, state.state)
            for registered in er.async_entries_for_config_entry(
                er.async_get(hass), entry.entry_id
            )
            if (state := hass.states.get(registered.entity_id))
            and state.state.replace(".", "").isdigit()
            and 100 <= float(state.state) <= 110
        }

    before = shown()
    assert {float(value) for _, value in before.values()} == {
        100.0 + number for number in range(len(KEYS))
    }
    # Ids that are taken by nobody else are what they always were
    assert "1001_g_gridMetrics_actualPowerTot_W" in before
    assert "1001_a_b_c_d_W" in before
    sensors = er.async_get(hass)
    assert sensors.async_get_entity_id("sensor", "eniris", "1001_a_nominal_power")

    assert await hass.config_entries.async_unload(entry.entry_id)
    # As a start of Home Assistant does
    hass.data.pop(KEPT)
    show(simulator, [*(KEYS[number] for number in later), *KEYS[3:]])
    assert await hass.config_entries.async_setup(entry.entry_id)
    await settle(hass)
    await advance(hass, freezer)
    assert shown() == before
