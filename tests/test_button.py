"""The button that uploads at once."""

import pytest

from custom_components.eniris.const import DOMAIN
from homeassistant.config_entries import ConfigSubentry
from homeassistant.exceptions import HomeAssistantError
from homeassistant.util import dt as dt_util
from tests.kit.exports import WRITE, Home, MeterWorld
from tests.kit.shown_export import figures, measure, press, problem

pytestmark = pytest.mark.usefixtures("all_enabled")


@pytest.fixture
def world() -> MeterWorld:
    """Return a small world."""
    return MeterWorld()


@pytest.mark.expected_log("cannot be uploaded at present")
async def test_button(home: Home, export: ConfigSubentry) -> None:
    """The button tries at once what is paused, and says what stands in the way."""
    roles = home.simulator.accounts["demo@example.com"].roles
    roles.clear()
    measure(home, "2")
    await home.wait(12)
    assert home.simulator.log.count(WRITE, 403) == 1
    with pytest.raises(HomeAssistantError) as err:
        await press(home, export)
    assert err.value.translation_domain == DOMAIN
    assert err.value.translation_key == "upload_failed"
    assert err.value.translation_placeholders == {"error": problem(home, export)}
    assert "403 Forbidden" in str(err.value)
    assert home.simulator.log.count(WRITE, 403) == 2
    roles.add("CustomerName")
    now = dt_util.utcnow()
    await press(home, export)
    assert home.values()[-1] == 2000.0
    # The figures are looked at there and then
    assert figures(home, export) == {
        "waiting": 0,
        "uploaded": 2,
        "rejected": 0,
        "oldest_waiting": 0,
        "last_upload": now.replace(microsecond=0),
    }
    assert problem(home, export) is None


async def test_button_without_a_pause(home: Home, export: ConfigSubentry) -> None:
    """A value that was measured just now goes up with the press."""
    measure(home, "2")
    await home.hass.async_block_till_done()
    await press(home, export)
    assert home.values() == [1500.0, 2000.0]
    await press(home, export)
    assert home.simulator.log.count(WRITE, 204) == 2
