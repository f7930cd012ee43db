"""The demo's dashboard."""

import json

from scripts.demo import dashboard, steps
from scripts.demo.dashboard import Entity

ENTITIES = [
    *(
        Entity("Home", f"{key}_power", f"sensor.home_{key}_power", f"{key} power")
        for key in ("grid", "produced", "consumed", "storage", "ev")
    ),
    Entity("Grid meter", "electricity_price", "sensor.buy", "Electricity price"),
    Entity("Grid meter", "feed_in_price", "sensor.sell", "Feed-in price"),
    Entity("Battery", "state_of_charge", "sensor.charge", "State of charge"),
    Entity("Battery", "status", "sensor.status", "Status"),
    Entity(steps.CONTROLLER, "grid_power", "sensor.live", "Grid power"),
    Entity(steps.CONTROLLER, "storage_policy", "select.policy", "Storage policy"),
    Entity(steps.CONTROLLER, "schedules", "calendar.schedules", "Schedules"),
    Entity(steps.EXPORT, "waiting", "sensor.waiting", "Waiting values"),
    Entity("Eniris account", "connected", "binary_sensor.connected", "Connected"),
]


def test_dashboard() -> None:
    """What a home is about comes first, and what forms can be filled in with is told beside the plumbing."""
    home, devices = dashboard.views(ENTITIES, "http://127.0.0.1:8124")
    headings = [section["cards"][0]["heading"] for section in home["sections"]]
    assert headings == ["Power", "Battery", "Energy", "Try it"]
    told = json.dumps(home["sections"][-1])
    for text in (steps.COLLECTOR, steps.DATABASE, steps.RETENTION_POLICY):
        assert f"`{text}`" in told
    assert "`totp@example.com`" in told
    assert "sensor.home_grid_power" in json.dumps(home["sections"][0])
    shown = json.dumps(devices)
    assert all(its.entity_id in shown for its in ENTITIES)
