"""Errors in the user's words."""

from collections.abc import Callable
from typing import Any

import pytest

from custom_components.eniris.errors import failed, invalid
from homeassistant.exceptions import HomeAssistantError, ServiceValidationError
from homeassistant.helpers.translation import async_get_translations
from tests.kit.exports import Home, MeterWorld


@pytest.fixture
def world() -> MeterWorld:
    """Return a small world."""
    return MeterWorld()


@pytest.mark.parametrize(("make", "is_the_callers"), [(invalid, True), (failed, False)])
async def test_words(
    home: Home, make: Callable[..., HomeAssistantError], is_the_callers: bool
) -> None:
    """The text is that of the translations, with what it quotes; only a mistake of the caller's is one."""
    error: Any = make("account_not_loaded", account="Jane")
    # Home Assistant logs no traceback of what the caller can mend
    assert isinstance(error, ServiceValidationError) is is_the_callers
    words = await async_get_translations(home.hass, "en", "exceptions", {"eniris"})
    text = words["component.eniris.exceptions.account_not_loaded.message"]
    assert str(error) == text.format(account="Jane")
    assert "Jane" in str(error)
