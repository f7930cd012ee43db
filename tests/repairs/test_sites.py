"""What is told of a chosen site that is gone: the options mend that."""

import pytest

from custom_components.eniris.const import (
    CONF_IMPORT,
    CONF_INTERVAL,
    CONF_OUTBOX,
    CONF_SITES,
)
from simulator.world import HomeWorld
from tests.kit.common import open_options
from tests.kit.exports import Home
from tests.test_devices import replace_site

from .kit import Fix


@pytest.mark.parametrize(
    "world", [lambda: HomeWorld(seed=1)], indirect=True, ids=["home"]
)
@pytest.mark.parametrize("answer", [["new_site_0"], []])
async def test_site_is_replaced(home: Home, fix: Fix, answer: list[str]) -> None:
    """The issue says which site is gone; with others, or all, what was read before is read again."""
    options = {CONF_SITES: [HomeWorld.SITE], CONF_INTERVAL: 30}
    home.hass.config_entries.async_update_entry(
        home.entry, options={CONF_IMPORT: options}
    )
    await home.settle()
    before = set(home.entry.runtime_data.telemetry.data)
    replace_site(home.simulator, HomeWorld.SITE, "new_site_0")
    await home.wait(2000, step=100)
    issue = fix.issue("sites")
    assert not issue.is_fixable
    assert (issue.translation_placeholders or {})["sites"] == HomeWorld.SITE
    flow_id = await open_options(home.hass, home.entry)
    await home.hass.config_entries.options.async_configure(
        flow_id, {CONF_IMPORT: {**options, CONF_SITES: answer}, CONF_OUTBOX: {}}
    )
    await home.settle()
    await home.wait(120, step=30)
    assert not home.issues()
    others = {key for key in before if key.node_id != HomeWorld.SITE}
    assert others <= set(home.entry.runtime_data.telemetry.data)
