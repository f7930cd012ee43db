"""Servers without manners, and a world of which every value is known."""

from collections.abc import AsyncGenerator, Iterator
from unittest.mock import patch

import aiohttp
import pytest

from homeassistant.core import HomeAssistant
from homeassistant.helpers.storage import Store
from tests.api.conftest import StubServer, _run_stub
from tests.kit.exports import MeterWorld

_WRITES_FILES = {
    name: getattr(Store, name)
    for name in ("_async_load", "_async_write_data", "async_remove")
}


@pytest.fixture
def real_storage(hass: HomeAssistant) -> Iterator[None]:
    """Have Home Assistant write its files, which the test kit keeps in memory."""
    with patch.multiple(Store, **_WRITES_FILES):
        # Undone before the kit takes back what it has put in their place
        yield


@pytest.fixture
def world() -> MeterWorld:
    """Return a small world."""
    return MeterWorld()


@pytest.fixture
async def http(socket_enabled: None) -> AsyncGenerator[aiohttp.ClientSession]:
    """Return what requests are sent over, as the integration has it."""
    async with aiohttp.ClientSession(
        cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False
    ) as http:
        yield http


@pytest.fixture
async def stub(socket_enabled: None) -> AsyncGenerator[StubServer]:
    """Return a server that answers whatever a test wants."""
    async for server in _run_stub():
        yield server


@pytest.fixture
async def other_stub(socket_enabled: None) -> AsyncGenerator[StubServer]:
    """Return another one, at another address."""
    async for server in _run_stub():
        yield server
