"""The connection to a controller's broker: log-in, live state, and what becomes of it when it breaks."""

import ssl
from typing import Any
from unittest.mock import patch

import pytest

from custom_components.eniris.const import SUBENTRY_CONTROLLER
from custom_components.eniris.controller import mqtt as client
from custom_components.eniris.controller.config import mqtt_settings
from custom_components.eniris.controller.errors import (
    BrokerUnreachableError,
    LoginRefusedError,
    TlsRefusedError,
)
from custom_components.eniris.data import EnirisConfigEntry
from homeassistant.const import STATE_ON, STATE_UNAVAILABLE
from homeassistant.core import HomeAssistant
from simulator.controller import SimulatedController
from simulator.controller.broker import AnyBroker
from tests.kit.common import settle
from tests.kit.controller import add_controller, mqtt, seen, state_of


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connect again without waiting long."""
    monkeypatch.setattr(client, "_FIRST_WAIT", 0.05)
    monkeypatch.setattr(client, "_LONGEST_WAIT", 0.05)


@pytest.fixture
def broker(each_broker: AnyBroker) -> AnyBroker:
    """Return both brokers in turn."""
    return each_broker


async def test_live_state(
    hass: HomeAssistant, entry: EnirisConfigEntry, controller: SimulatedController
) -> None:
    """What the controller publishes is a state at once."""
    added = await add_controller(hass, entry, controller, mqtt=mqtt(controller))
    message = await controller.publish_live()
    await seen(lambda: added.live.messages == 1)
    await settle(hass)
    power = message["fields"]["state"]["storage"]["active_power_W"]
    state = state_of(hass, "sensor", "storage_power")
    assert float(state.state) == pytest.approx(power)
    assert state_of(hass, "binary_sensor", "live_connection").state == STATE_ON


async def test_what_is_no_live_state(
    hass: HomeAssistant, entry: EnirisConfigEntry, controller: SimulatedController
) -> None:
    """What is kept by the broker, has another shape or is too large is left out; what follows is not."""
    added = await add_controller(hass, entry, controller, mqtt=mqtt(controller))
    topic = controller.live_topic
    for payload in (
        b"",
        b"\xff",
        b"[]",
        b'{"time": 1}',
        b'{"time": 1, "fields": {"state": []}}',
        b'{"fields": {"state": {}}}',
        b"x" * (1024 * 1024),
    ):
        await controller.publish(topic, payload)
        await controller.publish(controller.answer_topic, payload)
    controller.behaviour.duplicates = 2
    await controller.publish_live()
    await seen(lambda: added.live.messages == 2)
    assert added.figures()["messages_invalid"] == 14


async def test_retained(
    hass: HomeAssistant, entry: EnirisConfigEntry, controller: SimulatedController
) -> None:
    """What the broker has kept from some time ago is not the present."""
    controller.behaviour.retain = True
    await controller.publish_live()
    added = await add_controller(hass, entry, controller, mqtt=mqtt(controller))
    assert added.live.messages == 0
    controller.behaviour.retain = False
    await controller.publish_live()
    await seen(lambda: added.live.messages == 1)


async def test_connection_breaks(
    hass: HomeAssistant, entry: EnirisConfigEntry, controller: SimulatedController
) -> None:
    """Schedules are unavailable while the broker is away, and there again when it is."""
    added = await add_controller(hass, entry, controller, mqtt=mqtt(controller))
    assert added.schedules is not None
    assert state_of(hass, "calendar", "schedules").state == "off"
    await controller.gate.shut()
    schedules = added.schedules
    await seen(lambda: not schedules.is_connected)
    await settle(hass)
    assert state_of(hass, "calendar", "schedules").state == STATE_UNAVAILABLE
    await controller.gate.open()
    await seen(lambda: schedules.is_connected)
    await settle(hass)
    assert state_of(hass, "calendar", "schedules").state == "off"
    assert added.figures()["broker_connections"] == 2


@pytest.mark.expected_log("refuses the log-in")
async def test_login_refused(
    hass: HomeAssistant,
    entry: EnirisConfigEntry,
    controller: SimulatedController,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A refused password is asked for again; it is told nowhere."""
    access = mqtt(controller, password="secret-of-mine")
    with patch("tests.kit.controller.seen"):
        added = await add_controller(hass, entry, controller, mqtt=access)

    def flows() -> list[Any]:
        return hass.config_entries.flow.async_progress_by_handler("eniris")

    await seen(lambda: bool(flows()))
    (flow,) = flows()
    assert flow["context"]["entry_id"] == entry.entry_id
    init_data = hass.config_entries.flow._progress[flow["flow_id"]].init_data
    assert init_data[SUBENTRY_CONTROLLER] == added.settings.id
    assert "secret-of-mine" not in caplog.text
    assert "secret-of-mine" not in repr(added.settings)


async def test_try_log_in(
    socket_enabled: None, controller: SimulatedController
) -> None:
    """Each reason why a log-in fails is told apart."""
    await client.async_try_log_in(
        mqtt_settings(mqtt(controller)), controller.serial, None
    )
    with pytest.raises(LoginRefusedError):
        await client.async_try_log_in(
            mqtt_settings(mqtt(controller, password="wrong")),
            controller.serial,
            None,
        )
    with pytest.raises(TlsRefusedError):
        await client.async_try_log_in(
            mqtt_settings(mqtt(controller, tls=True)),
            controller.serial,
            ssl.create_default_context(),
        )
    await controller.gate.shut()
    with pytest.raises(BrokerUnreachableError):
        await client.async_try_log_in(
            mqtt_settings(mqtt(controller)), controller.serial, None
        )
