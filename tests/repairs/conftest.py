"""A home whose issues are mended."""

from collections.abc import Callable
from typing import Any

from freezegun.api import FrozenDateTimeFactory
import pytest
from pytest_homeassistant_custom_component.typing import ClientSessionGenerator

from homeassistant.core import HomeAssistant
from homeassistant.setup import async_setup_component
from simulator.model import World
from simulator.server import Simulator
from tests.export_kit import Home, MeterWorld, home_with_account

from .kit import Fix


@pytest.fixture
def world(request: pytest.FixtureRequest) -> World:
    """Return a small world, unless a test wants another."""
    make: Callable[[], World] = getattr(request, "param", MeterWorld)
    return make()


@pytest.fixture
async def home(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    simulator: Simulator,
    user_input: dict[str, Any],
) -> Home:
    """Return a home with an account."""
    return await home_with_account(hass, freezer, simulator, user_input)


@pytest.fixture
async def fix(home: Home, hass_client: ClientSessionGenerator) -> Fix:
    """Return a dialog."""
    assert await async_setup_component(home.hass, "repairs", {})
    return Fix(home, hass_client)
