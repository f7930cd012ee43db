"""A home whose issues are mended."""

from collections.abc import Callable

import pytest
from pytest_homeassistant_custom_component.typing import ClientSessionGenerator

from homeassistant.setup import async_setup_component
from simulator.model import World
from tests.kit.exports import Home, MeterWorld

from .kit import Fix


@pytest.fixture
def world(request: pytest.FixtureRequest) -> World:
    """Return a small world, unless a test wants another."""
    make: Callable[[], World] = getattr(request, "param", MeterWorld)
    return make()


@pytest.fixture
async def fix(home: Home, hass_client: ClientSessionGenerator) -> Fix:
    """Return a dialog."""
    assert await async_setup_component(home.hass, "repairs", {})
    return Fix(home, hass_client)
