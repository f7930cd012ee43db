"""A home whose recorder has a past."""

from typing import Any

from freezegun.api import FrozenDateTimeFactory
import pytest

from homeassistant.components.recorder.core import Recorder
from homeassistant.core import HomeAssistant
from simulator.server import Simulator
from tests.kit.backfill import add_means, before, power, record, register
from tests.kit.exports import POWER, Home, MeterWorld, home_with_account


@pytest.fixture
def world() -> MeterWorld:
    """Return a small world."""
    return MeterWorld()


@pytest.fixture
async def home(
    recorder_mock: Recorder,
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    simulator: Simulator,
    user_input: dict[str, Any],
) -> Home:
    """Return a home with an account, a recorder, and a past of the power sensor."""
    register(hass, POWER)
    await record(
        hass,
        freezer,
        power((5, "1.0"), (4, "2.5"), (3, "unavailable"), (2, "3.0"), (1, "4.0")),
    )
    await add_means(
        hass,
        "5minute",
        POWER,
        "kW",
        {before(hours=6, minutes=5 * n): 10.0 + n for n in range(12)},
    )
    await add_means(
        hass, "hour", POWER, "kW", {before(hours=n): 100.0 + n for n in range(1, 24)}
    )
    return await home_with_account(hass, freezer, simulator, user_input)
