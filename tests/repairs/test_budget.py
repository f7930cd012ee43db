"""Repairs of a budget that is too small."""

import pytest

from custom_components.eniris.const import (
    CONF_IMPORT,
    CONF_INTERVAL,
    CONF_OUTBOX,
    CONF_PREFERENCE,
    CONF_SIZE_LIMIT,
)
from simulator.rate_limit import TIERS
from simulator.world import HomeWorld
from tests.export_kit import Home

from .kit import Fix

OF_A_HOME = pytest.mark.parametrize(
    "world", [lambda: HomeWorld(seed=1)], indirect=True, ids=["home"]
)


async def become_too_dear(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a poll every 34 seconds cost a little more than the account may spend."""
    home.hass.config_entries.async_update_entry(
        home.entry,
        options={**home.entry.options, CONF_IMPORT: {CONF_INTERVAL: 34}},
    )
    await home.settle()
    await home.wait(70, step=5)
    pace = home.entry.runtime_data.telemetry.pace
    assert pace.cost is not None
    monkeypatch.setitem(TIERS, "free", 2 * pace.cost)
    home.simulator.tier = "free"
    await home.wait(150, step=5)
    assert pace.is_slowed
    assert home.issues()["budget"]["wanted"] == "34"


@OF_A_HOME
async def test_longer_interval(
    home: Home, fix: Fix, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the budget allows is proposed; one that is too short is taken, but does not help."""
    await become_too_dear(home, monkeypatch)
    await fix.open("budget", "init")
    assert fix.shown["menu_options"] == ["interval", "lightest"]
    affordable = fix.shown["description_placeholders"]["affordable"]
    await fix.choose("interval")
    fix.expect("interval")
    [field] = fix.shown["data_schema"]
    assert str(field["default"]) == affordable
    await fix.submit(interval=30)
    assert int(fix.expect_abort("still_slow")["interval"]) > 30
    assert home.entry.options[CONF_IMPORT][CONF_INTERVAL] == 30
    assert "budget" in home.issues()
    await home.wait(100, step=5)
    await fix.open("budget")
    await fix.choose("interval")
    await fix.submit(interval=60)
    fix.expect_solved()
    assert home.entry.options[CONF_IMPORT][CONF_INTERVAL] == 60
    await home.wait(400, step=10)
    assert not home.issues()


@OF_A_HOME
async def test_by_the_minute(
    home: Home, fix: Fix, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That costs less; other options stay, and where it is so already it is not offered."""
    options = {CONF_OUTBOX: {CONF_SIZE_LIMIT: 8}}
    home.hass.config_entries.async_update_entry(home.entry, options=options)
    await home.settle()
    await become_too_dear(home, monkeypatch)
    await fix.open("budget")
    await fix.choose("lightest")
    fix.expect_solved()
    by_the_minute = {CONF_INTERVAL: 34, CONF_PREFERENCE: "lightest"}
    assert home.entry.options == {CONF_IMPORT: by_the_minute, **options}
    await home.wait(200, step=5)
    assert not home.issues()
    assert TIERS["free"] is not None
    monkeypatch.setitem(TIERS, "free", TIERS["free"] * 0.8)
    await home.wait(100, step=5)
    await fix.open("budget", "interval")


@OF_A_HOME
@pytest.mark.expected_log("cannot be read at present")
async def test_outage_after_the_change(
    home: Home, fix: Fix, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then it is not known yet, and the issue goes with the next poll."""
    await become_too_dear(home, monkeypatch)
    await fix.open("budget")
    await fix.choose("interval")
    outage = home.simulator.faults.add("/v1/", "drop")
    await fix.submit(interval=90)
    fix.expect_abort("not_known_yet")
    assert "budget" in home.issues()
    home.simulator.faults.remove(outage.id)
    await home.wait(200, step=10)
    assert not home.issues()
