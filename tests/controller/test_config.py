"""What a subentry stores of a controller."""

from types import MappingProxyType
from typing import Any

import pytest

from custom_components.eniris.const import SUBENTRY_CONTROLLER
from custom_components.eniris.data import EnirisConfigEntry
from homeassistant.config_entries import ConfigEntryState, ConfigSubentry
from homeassistant.core import HomeAssistant
from tests.kit.common import settle
from tests.kit.controller import WEBHOOK

SITE = {"site_node_id": "S_site_0", "serial": "S"}


@pytest.mark.parametrize(
    ("data", "key"),
    [
        ({"serial": "S"}, "site_node_id"),
        ({**SITE, "serial": "a/b"}, "serial"),
        ({**SITE, "serial": "#"}, "serial"),
        ({**SITE, "webhook": {**WEBHOOK, "period": 0}}, "webhook"),
        ({**SITE, "mqtt": {"host": "x", "password": "secret-of-mine"}}, "mqtt"),
    ],
)
@pytest.mark.expected_log("controller Broken are invalid")
async def test_invalid(
    hass: HomeAssistant,
    entry: EnirisConfigEntry,
    data: dict[str, Any],
    key: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What cannot be used costs the controller alone; the log names it, but no value."""
    subentry = ConfigSubentry(
        data=MappingProxyType(data),
        subentry_type=SUBENTRY_CONTROLLER,
        title="Broken",
        unique_id=None,
    )
    hass.config_entries.async_add_subentry(entry, subentry)
    await settle(hass)
    assert entry.state is ConfigEntryState.LOADED
    assert entry.runtime_data.controllers == {}
    assert f"skipped: {key}" in caplog.text
    assert "secret-of-mine" not in caplog.text
