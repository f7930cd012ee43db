"""Live values: how long they hold, which come too late, and with which sign they are shown."""

from datetime import UTC, datetime, timedelta
from unittest.mock import patch

import pytest
from pytest_homeassistant_custom_component.common import async_fire_time_changed
from pytest_homeassistant_custom_component.typing import ClientSessionGenerator

from custom_components.eniris.controller.live import Live
from custom_components.eniris.controller.message import LiveKey, LiveMessage
from custom_components.eniris.data import EnirisConfigEntry
from homeassistant.const import STATE_OFF, STATE_UNAVAILABLE
from homeassistant.core import HomeAssistant
from homeassistant.util import dt as dt_util
from simulator.controller import SimulatedController
from tests.kit.common import settle
from tests.kit.controller import (
    WEBHOOK,
    Posting,
    add_controller,
    entity_id,
    post,
    state_of,
)


async def test_ends_after_three_periods(
    hass: HomeAssistant,
    webhook: Posting,
    controller: SimulatedController,
) -> None:
    """Without a message for three periods the values are no longer the present."""
    await post(hass, webhook, controller.webhook_body("type"))
    power = entity_id(hass, "sensor", "grid_power")
    before = hass.states.get(power)
    assert before is not None
    assert before.state != STATE_UNAVAILABLE
    # The event loop's clock stands still
    with patch.object(hass.loop, "time", return_value=hass.loop.time() + 181):
        async_fire_time_changed(hass, dt_util.utcnow() + timedelta(seconds=181))
        await settle(hass)
        after = hass.states.get(power)
        assert after is not None
        assert after.state == STATE_UNAVAILABLE
        assert state_of(hass, "binary_sensor", "live_connection").state == STATE_OFF
        await post(hass, webhook, controller.webhook_body("type"))
        again = hass.states.get(power)
        assert again is not None
        assert again.state != STATE_UNAVAILABLE


async def test_late_and_repeated(
    hass: HomeAssistant, webhook: Posting, controller: SimulatedController
) -> None:
    """An older message does not go back, and a wrong time does not stay."""
    body = controller.webhook_body("type")
    time = int(body["time"])
    await post(hass, webhook, {**body, "grid": {"active_power_W": 100}})
    await post(hass, webhook, {**body, "time": time - 1, "grid": {"active_power_W": 1}})
    assert float(state_of(hass, "sensor", "grid_power").state) == 100
    await post(hass, webhook, {**body, "time": time + 1, "grid": {"active_power_W": 2}})
    assert float(state_of(hass, "sensor", "grid_power").state) == 2


@pytest.mark.usefixtures("all_enabled")
async def test_signs(
    hass: HomeAssistant,
    entry: EnirisConfigEntry,
    controller: SimulatedController,
    hass_client_no_auth: ClientSessionGenerator,
) -> None:
    """The power of a group that was inverted is shown with the other sign; nothing else is."""
    controller.behaviour.inverted = frozenset({"grid"})
    added = await add_controller(
        hass, entry, controller, webhook=WEBHOOK, inverted=["grid"]
    )
    webhook: Posting = await hass_client_no_auth()
    body = controller.webhook_body("type")
    await post(hass, webhook, body)
    shown = float(state_of(hass, "sensor", "grid_power").state)
    assert shown == pytest.approx(-body["grid"]["active_power_W"])
    limit = float(state_of(hass, "sensor", "import_limit").state)
    assert limit == body["grid"]["import_limit_W"]
    assert added.live.powers["grid"] == body["grid"]["active_power_W"]
    connection = state_of(hass, "binary_sensor", "live_connection")
    assert connection.attributes["signs"] == "confirmed"


GRID = LiveKey("grid", "active_power_W")
PERIOD = timedelta(seconds=1)


async def test_wrong_time_of_one_way(hass: HomeAssistant) -> None:
    """What comes one way does not keep a wrong time of the other one alive."""
    live = Live(hass, frozenset())
    begin = hass.loop.time()
    live.async_take(LiveMessage(2000, None, {GRID: 1.0}), "webhook", PERIOD)
    for second in range(1, 6):
        with patch.object(hass.loop, "time", return_value=begin + second):
            live.async_take(LiveMessage(1000, None, {GRID: 2.0}), "mqtt", PERIOD)
            assert live.is_live
            if second > 3:
                live.async_take(LiveMessage(1000, None, {GRID: 3.0}), "webhook", PERIOD)
                assert live.value(GRID) == 3
    live.async_stop()


@pytest.mark.parametrize("first", [1000, 10_000])
async def test_clock_that_goes_wrong(hass: HomeAssistant, first: float) -> None:
    """With a clock that stands still, or was set back, no more powers are kept than otherwise."""
    live = Live(hass, frozenset())
    begin = hass.loop.time()
    live.async_take(LiveMessage(first, None, {GRID: 1.0}), "mqtt", PERIOD)
    with patch.object(hass.loop, "time", return_value=begin + 10):
        for _ in range(5000):
            live.async_take(LiveMessage(1000, None, {GRID: 2.0}), "mqtt", PERIOD)
    assert live.power_at("grid", datetime.fromtimestamp(1000, UTC)) == 2
    assert len(live._powers["grid"]) <= 2000
    live.async_stop()
