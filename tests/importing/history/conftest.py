"""A meter that has a past."""

from typing import Any

from freezegun.api import FrozenDateTimeFactory
import pytest

from custom_components.eniris.data import EnirisConfigEntry
from homeassistant.components.recorder.core import Recorder
from homeassistant.core import HomeAssistant
from homeassistant.util import dt as dt_util
from simulator.server import Simulator
from tests.kit.common import set_up_frozen
from tests.kit.history import (
    DAY,
    IMPORTED,
    MINUTE,
    NOW,
    POWER,
    THIS_HOUR,
    live_with,
    measure_hourly,
    only_a_meter,
)


@pytest.fixture
async def meter(
    recorder_mock: Recorder,
    hass: HomeAssistant,
    place_and_time: None,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> EnirisConfigEntry:
    """Return the account of a meter with two days of the same energy and power in every hour."""
    only_a_meter(simulator, IMPORTED, POWER)
    measure_hourly(
        simulator, THIS_HOUR - 2 * DAY, NOW, **{IMPORTED: 600.0, POWER: 600.0}
    )
    entry = await set_up_frozen(hass, freezer, user_input, None)
    await live_with(
        hass,
        freezer,
        simulator,
        dt_util.utcnow() + 9 * MINUTE,
        **{IMPORTED: 10.0, POWER: 600.0},
    )
    return entry
