"""What arrives beside what the cloud says."""

from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import Mock

import pytest

from custom_components.eniris.api import Device
from custom_components.eniris.api.devices import parse_devices
from custom_components.eniris.controller.live import Live
from custom_components.eniris.controller.message import LiveKey, LiveMessage
from custom_components.eniris.flows.controller_signs import (
    Compared,
    chosen_signs,
    compare,
    quoted_powers,
    signs_form,
)
from custom_components.eniris.importing.nodes import Nodes, build_nodes
from custom_components.eniris.importing.plan import FieldKey
from custom_components.eniris.importing.poll import Reading
from homeassistant.core import HomeAssistant
from tests.kit.exports import suggested

SITE = "SGC1_site_0"
NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("received", "measured", "differs"),
    [
        (1500, -1500, True),
        (-1500, 1500, True),
        (1500, 1500, False),
        (-2000, 1000, True),
        (-2001, 1000, False),
        (100, -100, True),
        (99, -99, False),
        (-150, 99, False),
        (0, -500, False),
        (500, None, False),
    ],
)
def test_what_clearly_differs(
    received: float, measured: float | None, differs: bool
) -> None:
    """Opposite signs, both large enough, and neither more than twice the other."""
    compared = Compared("grid", "grid", True, received, measured)
    assert compared.clearly_differs is differs


def node(node_id: str, node_type: str, parent: str | None = SITE) -> Device:
    """Return a device of the metadata that has a series."""
    series = {
        "database": "d",
        "measurement": "m",
        "retentionPolicy": "rp_one_s",
        "tags": {"nodeId": node_id},
        "fields": ["actualPowerTot_W"],
    }
    properties: dict[str, Any] = {
        "nodeId": node_id,
        "nodeType": node_type,
        "name": node_id.title(),
        "nodeParentsIds": [parent] if parent else [],
        "nodeInfluxSeries": [series],
    }
    [device] = parse_devices({"device": [{"id": 1, "properties": properties}]}).devices
    return device


def account(readings: dict[tuple[str, str], float], *nodes: Device) -> Any:
    """Return an account with these nodes below a site, and what its telemetry says at noon."""
    every = build_nodes([node(SITE, "smartgridControllerSite", None), *nodes])
    data = Mock()
    data.nodes.data = Nodes(every, every)
    data.telemetry.data = {
        FieldKey(node_id, "m", field): Reading(NOW, value, timedelta(minutes=1))
        for (node_id, field), value in readings.items()
    }
    return data


def received(hass: HomeAssistant, **powers: float) -> Live:
    """Return what has arrived 10 seconds before noon, and other powers since."""
    live = Live(hass, frozenset())
    for seconds, factor in ((-10, 1.0), (10, 2.0)):
        values = {
            LiveKey(source, "active_power_W"): factor * power
            for source, power in powers.items()
        }
        time = (NOW + timedelta(seconds=seconds)).timestamp()
        live.async_take(
            LiveMessage(time, SITE, values), "webhook", timedelta(seconds=60)
        )
    live.async_stop()
    return live


async def test_a_group_is_what_its_site_says(hass: HomeAssistant) -> None:
    """Each has its field; what arrived is that of the time when the cloud has measured."""
    live = received(hass, grid=-300, storage=200, solar=500, variable_power_load=50)
    data = account(
        {
            (SITE, "actualPowerTot_W"): 310,
            (SITE, "childrenStoragePower_W"): 210,
            (SITE, "childrenProducedPower_W"): 510,
            (SITE, "childrenEVPower_W"): 60,
            ("battery", "actualPowerTot_W"): 999,
        },
        node("battery", "battery"),
    )
    assert {
        its.source: (its.received, its.measured) for its in compare(live, data, SITE)
    } == {
        "grid": (-300, 310),
        "storage": (200, 210),
        "solar": (500, 510),
        "variable_power_load": (50, 60),
    }


async def test_or_what_its_nodes_say_together(hass: HomeAssistant) -> None:
    """Of meters, the grid's alone: it hangs below the site, those of circuits below switchboards."""
    live = received(hass, grid=-300, storage=200, heat_pump=70, switched_load=5)
    readings = {
        "meter": 310.0,
        "kitchen": 80.0,
        "first": 100.0,
        "second": 120.0,
        "pump": 75.0,
    }
    data = account(
        {(name, "actualPowerTot_W"): power for name, power in readings.items()},
        node("meter", "powerMeter"),
        node("kitchen", "powerMeter", "board"),
        node("board", "switchboard"),
        node("first", "battery"),
        node("second", "battery"),
        node("pump", "heatPump"),
    )
    assert {
        its.source: (its.received, its.measured) for its in compare(live, data, SITE)
    } == {
        "grid": (-300, 310),
        "storage": (200, 220),
        "heat_pump": (70, 75),
        # Nothing to compare it with, so that the newest is shown
        "switched_load": (10, None),
    }


async def test_nodes_come_after_groups_by_name(hass: HomeAssistant) -> None:
    """A node is compared with itself; what is neither group nor node is shown by the name that it came with."""
    live = received(hass, battery=-400, mystery=1, grid=300)
    data = account({("battery", "actualPowerTot_W"): 390}, node("battery", "battery"))
    powers = compare(live, data, SITE)
    assert [its.source for its in powers] == ["grid", "battery", "mystery"]
    assert quoted_powers(powers) == {"grid_received": "600 W", "grid_measured": "–"}
    form = signs_form(powers, None)
    assert suggested(form) == {"grid": False, "nodes": ["battery"]}
    selector = form.schema["nodes"]
    assert [option["label"] for option in selector.config["options"]] == [
        "Battery: -400 W / 390 W",
        "mystery: 2 W / –",
    ]
    assert suggested(signs_form(powers, ["mystery"])) == {
        "grid": False,
        "nodes": ["mystery"],
    }
    chosen = chosen_signs(
        {"grid": True, "nodes": ["battery"]}, powers, ["mystery", "storage"]
    )
    assert chosen == ["battery", "grid", "storage"]
