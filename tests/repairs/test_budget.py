"""What is told of a budget that is too small: the options mend that."""

import pytest

from custom_components.eniris.const import CONF_IMPORT, CONF_INTERVAL, CONF_OUTBOX
from simulator.rate_limit import TIERS
from simulator.world import HomeWorld
from tests.kit.common import open_options
from tests.kit.exports import Home

from .kit import Fix


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
