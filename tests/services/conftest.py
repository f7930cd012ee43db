"""Accounts whose telemetry is asked for."""

from typing import Any

from freezegun.api import FrozenDateTimeFactory
import pytest

from custom_components.eniris.data import EnirisConfigEntry
from homeassistant.core import HomeAssistant
from simulator.server import Simulator
from tests.kit.common import set_up_frozen
from tests.kit.history import (
    HOUR,
    IMPORTED,
    MINUTE,
    NOW,
    POWER,
    THIS_HOUR,
    measure,
    only_a_meter,
)


@pytest.fixture
async def meter(
    hass: HomeAssistant,
    place_and_time: None,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> EnirisConfigEntry:
    """Return the account of one meter, which has measured ten days; the values grow hour by hour."""
    only_a_meter(simulator, POWER, IMPORTED, "status")
    for n in range(240):
        moment = THIS_HOUR - (n + 1) * HOUR + 30 * MINUTE
        measure(simulator, moment, **{POWER: -1.0 * n, IMPORTED: 10.0 + n})
    measure(simulator, NOW - MINUTE, status="idle", **{POWER: 5.0, IMPORTED: 1.0})
    return await set_up_frozen(hass, freezer, user_input, None)
