"""A small home, whose power sensor can be exported, and the dialog of an export."""

from typing import Any

from freezegun.api import FrozenDateTimeFactory
import pytest

from homeassistant.core import HomeAssistant
from simulator.server import Simulator
from tests.kit.exports import Dialog, Home, MeterWorld, home_with_account


@pytest.fixture
def world() -> MeterWorld:
    """Return a small world."""
    return MeterWorld()


@pytest.fixture
async def home(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    simulator: Simulator,
    user_input: dict[str, Any],
) -> Home:
    """Return a home with an account and a power sensor of 1.5 kW."""
    home = await home_with_account(hass, freezer, simulator, user_input)
    home.add_power()
    return home


@pytest.fixture
def dialog(home: Home) -> Dialog:
    """Return the dialog."""
    return Dialog(home)
