"""The dialog of a controller: its site, the webhook, MQTT access, what arrives, and what is taken back."""

import asyncio
from collections.abc import AsyncIterator, Mapping
import json
from pathlib import Path
import socket
import time
from typing import Any
from unittest.mock import AsyncMock, patch

from freezegun.api import FrozenDateTimeFactory
import pytest

from custom_components.eniris.const import (
    CONF_INVERTED,
    CONF_MQTT,
    CONF_PERIOD,
    CONF_SERIAL,
    CONF_SITE_NODE_ID,
    CONF_TLS,
    CONF_WEBHOOK,
    SUBENTRY_CONTROLLER,
)
from custom_components.eniris.controller.errors import TlsRefusedError
from custom_components.eniris.data import EnirisConfigEntry
from homeassistant.config_entries import (
    SOURCE_REAUTH,
    SOURCE_RECONFIGURE,
    SOURCE_USER,
    ConfigEntryState,
    ConfigSubentry,
)
from homeassistant.const import (
    CONF_HOST,
    CONF_PASSWORD,
    CONF_PORT,
    CONF_TOKEN,
    CONF_USERNAME,
    CONF_WEBHOOK_ID,
)
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType
from simulator.controller import SimulatedController
from simulator.world import HomeWorld
from tests.kit.cloud import log_in_to_cloud
from tests.kit.common import set_up_frozen, settle
from tests.kit.controller import mqtt, seen, simulated_broker
from tests.kit.exports import suggested
from tests.simulator.tiny_world import TinyWorld

FORMS = "custom_components.eniris.flows.controller_forms"
SERIAL = HomeWorld.CONTROLLER
SITE = HomeWorld.SITE


@pytest.fixture
def world() -> HomeWorld:
    """Return the world that the simulator shows."""
    return HomeWorld(seed=1)


@pytest.fixture
async def controller(
    socket_enabled: None, certificate: tuple[Path, Path]
) -> AsyncIterator[SimulatedController]:
    """Return the controller of the home, which tells something when it is told to."""
    broker = simulated_broker(certificate)
    site = HomeWorld(seed=1).sites[0]
    async with SimulatedController(site, broker=broker, period=None) as running:
        yield running


class Dialog:
    """The dialog, as a user walks it. `result` is what is on the screen."""

    def __init__(self, hass: HomeAssistant, entry: EnirisConfigEntry) -> None:
        """Stand before it."""
        self.hass = hass
        self.entry = entry
        self.result: Any = None

    async def open(self, subentry: ConfigSubentry | None = None) -> None:
        """Open the dialog of a new controller, or of one that there is."""
        context: dict[str, Any] = {"source": SOURCE_USER}
        if subentry is not None:
            context = {
                "source": SOURCE_RECONFIGURE,
                "subentry_id": subentry.subentry_id,
            }
        self.result = await self.hass.config_entries.subentries.async_init(
            (self.entry.entry_id, SUBENTRY_CONTROLLER),
            context=context,  # type: ignore[arg-type]
        )

    async def submit(self, user_input: Mapping[str, Any]) -> None:
        """Submit the form that is shown."""
        self.result = await self.hass.config_entries.subentries.async_configure(
            self.result["flow_id"], dict(user_input)
        )
        await settle(self.hass)

    async def choose(self, option: str) -> None:
        """Choose from the menu that is shown."""
        assert option in self.result["menu_options"], self.result
        await self.submit({"next_step_id": option})

    async def to_menu(self) -> None:
        """Open the dialog of a new controller, and choose the site that is offered."""
        await self.open()
        await self.submit(self.shown)
        self.expect("set_up")

    def expect(self, step: str, errors: Mapping[str, str] | None = None) -> None:
        """Be on a step, and be told of these errors."""
        assert self.result.get("step_id") == step, self.result
        assert (self.result.get("errors") or {}) == (errors or {})

    def expect_end(self, reason: str) -> None:
        """Be told that there is nothing more to do."""
        assert self.result["type"] is FlowResultType.ABORT, self.result
        assert self.result["reason"] == reason

    @property
    def shown(self) -> dict[str, Any]:
        """What the fields of the form hold before the user types."""
        return suggested(self.result["data_schema"])

    @property
    def quoted(self) -> Mapping[str, str]:
        """What the texts of the step quote."""
        quoted: Mapping[str, str] = self.result["description_placeholders"]
        return quoted


@pytest.fixture
async def dialog(
    hass: HomeAssistant, controller: SimulatedController, entry: EnirisConfigEntry
) -> AsyncIterator[Dialog]:
    """Return the dialog of an account, which says goodbye to the broker before that ends."""
    dialog = Dialog(hass, entry)
    yield dialog
    if entry.state is ConfigEntryState.LOADED:
        # The simulated broker fails where a client leaves before it was answered
        if any(CONF_MQTT in its.data for its in entry.subentries.values()):
            await told(dialog)
        await hass.config_entries.async_unload(entry.entry_id)


def stored(entry: EnirisConfigEntry) -> ConfigSubentry:
    """Return the one controller that there is."""
    [subentry] = entry.subentries.values()
    return subentry


async def add(
    dialog: Dialog, controller: SimulatedController, *, is_frozen: bool = False
) -> ConfigSubentry:
    """Add a controller with webhook and MQTT access."""
    await dialog.to_menu()
    await dialog.choose("webhook")
    await dialog.submit({CONF_PERIOD: 5})
    await dialog.choose("mqtt")
    await dialog.submit(mqtt(controller))
    if not is_frozen:
        await told(dialog)
    return stored(dialog.entry)


async def told(dialog: Dialog) -> None:
    """Wait until the controller has told its schedules, which it is asked for first of all."""
    running = dialog.entry.runtime_data.controllers[stored(dialog.entry).subentry_id]
    await seen(lambda: bool(running.schedules and running.schedules.is_known))


async def test_add_both(
    hass: HomeAssistant,
    dialog: Dialog,
    controller: SimulatedController,
    entry: EnirisConfigEntry,
) -> None:
    """The site is offered, its node id tells the serial, and both ways run once the second is set up."""
    await dialog.open()
    dialog.expect("user")
    assert dialog.shown == {CONF_SITE_NODE_ID: SITE}
    await dialog.submit({CONF_SITE_NODE_ID: SITE})
    dialog.expect("set_up")
    assert dialog.quoted == {"site": "Home", "serial": SERIAL}
    # Nothing can be finished while there is nothing
    assert dialog.result["menu_options"] == ["webhook", "mqtt"]
    await dialog.choose("webhook")
    dialog.expect("webhook")
    assert dialog.shown == {CONF_PERIOD: 60}
    token = dialog.quoted[CONF_TOKEN]
    await dialog.submit({CONF_PERIOD: 5})
    assert dialog.result["menu_options"] == ["mqtt", "finish"]
    await dialog.choose("mqtt")
    dialog.expect("mqtt")
    assert dialog.shown == {CONF_HOST: "mqtt.eniris.be", CONF_TLS: False}
    assert not entry.subentries
    await dialog.submit(mqtt(controller))

    assert dialog.result["type"] is FlowResultType.CREATE_ENTRY
    subentry = stored(entry)
    assert (subentry.title, subentry.unique_id) == ("Home", SITE)
    webhook_id = subentry.data[CONF_WEBHOOK][CONF_WEBHOOK_ID]
    assert len(webhook_id) == 64
    assert subentry.data == {
        CONF_SITE_NODE_ID: SITE,
        CONF_SERIAL: SERIAL,
        CONF_WEBHOOK: {
            CONF_WEBHOOK_ID: webhook_id,
            CONF_TOKEN: token,
            CONF_PERIOD: 5,
        },
        CONF_MQTT: mqtt(controller),
    }
    assert list(entry.runtime_data.controllers) == [subentry.subentry_id]


@pytest.mark.parametrize("way", ["webhook", "mqtt"])
async def test_add_one(
    dialog: Dialog,
    controller: SimulatedController,
    entry: EnirisConfigEntry,
    way: str,
) -> None:
    """One of the two is enough."""
    await dialog.to_menu()
    await dialog.choose(way)
    await dialog.submit({CONF_PERIOD: 1} if way == "webhook" else mqtt(controller))
    await dialog.choose("finish")
    assert dialog.result["type"] is FlowResultType.CREATE_ENTRY
    assert set(stored(entry).data) == {CONF_SITE_NODE_ID, CONF_SERIAL, way}


@pytest.mark.parametrize(
    ("changes", "problem", "told"),
    [
        ({CONF_PASSWORD: "wrong"}, "invalid_auth", ""),
        ({CONF_USERNAME: "nobody"}, "invalid_auth", ""),
        ({CONF_PORT: 0}, "cannot_connect", "refused"),
    ],
)
async def test_a_broker_is_tried_before_it_is_stored(
    dialog: Dialog,
    controller: SimulatedController,
    entry: EnirisConfigEntry,
    changes: dict[str, Any],
    problem: str,
    told: str,
) -> None:
    """What is wrong is said, the password has to be typed again, and what is right then goes on."""
    await dialog.to_menu()
    await dialog.choose("mqtt")
    if changes.get(CONF_PORT) == 0:
        with socket.socket() as free:
            free.bind((controller.host, 0))
            changes = {CONF_PORT: free.getsockname()[1]}
    typed = mqtt(controller, **changes)
    await dialog.submit(typed)
    dialog.expect("mqtt", {"base": problem})
    assert dialog.shown == {
        key: value for key, value in typed.items() if key != CONF_PASSWORD
    }
    assert dialog.quoted["address"] == f"{typed[CONF_HOST]}:{typed[CONF_PORT]}"
    assert told in dialog.quoted["error"].casefold()
    assert typed[CONF_PASSWORD] not in dialog.quoted["error"]
    await dialog.submit(mqtt(controller))
    dialog.expect("set_up")
    assert not entry.subentries


async def test_a_broker_that_cannot_prove_who_it_is_gets_no_password(
    dialog: Dialog, controller: SimulatedController
) -> None:
    """The form says so; what a handshake comes to is tried where the client is."""
    await dialog.to_menu()
    await dialog.choose("mqtt")
    refusal = TlsRefusedError("certificate verify failed")
    with patch(f"{FORMS}.async_try_log_in", side_effect=refusal):
        await dialog.submit(mqtt(controller, tls=True))
    dialog.expect("mqtt", {"base": "tls_refused"})
    assert dialog.quoted["error"] == "certificate verify failed"


async def test_what_is_missing_is_asked_for(
    dialog: Dialog, controller: SimulatedController
) -> None:
    """Spaces are nothing, and no broker is asked without all that it takes."""
    await dialog.to_menu()
    await dialog.choose("mqtt")
    nothing = {CONF_HOST: " ", CONF_USERNAME: " ", CONF_PASSWORD: ""}
    await dialog.submit(mqtt(controller, **nothing))
    dialog.expect("mqtt", dict.fromkeys(nothing, "empty"))


async def test_ports_that_go_without_saying(
    dialog: Dialog, entry: EnirisConfigEntry
) -> None:
    """Without a port it is the one of MQTT, or that of MQTT over TLS; the form shows it only if it is another."""
    log_in = AsyncMock()
    with patch(f"{FORMS}.async_try_log_in", log_in):
        await dialog.to_menu()
        await dialog.choose("mqtt")
        typed = {CONF_HOST: "broker", CONF_USERNAME: "me", CONF_PASSWORD: "secret"}
        await dialog.submit({**typed, CONF_TLS: False})
        await dialog.choose("finish")
        assert stored(entry).data[CONF_MQTT][CONF_PORT] == 1883
        await dialog.open(stored(entry))
        await dialog.choose("mqtt")
        assert CONF_PORT not in dialog.shown
        await dialog.submit({**typed, CONF_TLS: True})
        assert stored(entry).data[CONF_MQTT][CONF_PORT] == 8883
        await dialog.hass.config_entries.async_unload(entry.entry_id)


@pytest.mark.parametrize("world", [TinyWorld()], ids=["tiny"])
async def test_the_serial_is_typed_where_the_site_does_not_tell_it(
    dialog: Dialog, entry: EnirisConfigEntry
) -> None:
    """What would be more than one level of a topic is refused."""
    await dialog.open()
    await dialog.submit({CONF_SITE_NODE_ID: "site_0"})
    dialog.expect("serial")
    for wrong in ("a/b", "#", "+", "with space", " "):
        await dialog.submit({CONF_SERIAL: wrong})
        dialog.expect("serial", {CONF_SERIAL: "serial_characters"})
    await dialog.submit({CONF_SERIAL: " SGC1-23 "})
    dialog.expect("set_up")
    await dialog.choose("webhook")
    await dialog.submit({CONF_PERIOD: 60})
    await dialog.choose("finish")
    assert stored(entry).data[CONF_SERIAL] == "SGC1-23"


async def test_each_site_has_one(
    hass: HomeAssistant, dialog: Dialog, entry: EnirisConfigEntry
) -> None:
    """A site that has its controller is not offered, not even to a dialog that was open before."""
    late = Dialog(hass, entry)
    await late.to_menu()
    await late.choose("webhook")
    await late.submit({CONF_PERIOD: 60})
    await dialog.to_menu()
    await dialog.choose("webhook")
    await dialog.submit({CONF_PERIOD: 60})
    await dialog.choose("finish")
    await late.choose("finish")
    late.expect_end("already_configured")
    await dialog.open()
    dialog.expect_end("no_site")


async def test_an_account_that_does_not_run_knows_no_sites(
    hass: HomeAssistant, dialog: Dialog, entry: EnirisConfigEntry
) -> None:
    """The dialog says so."""
    await hass.config_entries.async_unload(entry.entry_id)
    await dialog.open()
    dialog.expect_end("not_loaded")


# Change it


async def test_a_new_token_counts_once_it_was_seen(
    dialog: Dialog, controller: SimulatedController
) -> None:
    """The form shows the new token before anything is stored; the address stays."""
    subentry = await add(dialog, controller)
    before = subentry.data[CONF_WEBHOOK]
    await dialog.open(subentry)
    dialog.expect("reconfigure")
    await dialog.choose("webhook")
    assert dialog.shown == {CONF_PERIOD: 5, "new_token": False}
    assert dialog.quoted[CONF_TOKEN] == before[CONF_TOKEN]
    await dialog.submit({CONF_PERIOD: 7, "new_token": True})
    dialog.expect("webhook")
    assert dialog.shown == {CONF_PERIOD: 7, "new_token": False}
    token = dialog.quoted[CONF_TOKEN]
    assert token != before[CONF_TOKEN]
    assert stored(dialog.entry).data[CONF_WEBHOOK] == before
    await dialog.submit(dialog.shown)
    dialog.expect_end("reconfigure_successful")
    assert stored(dialog.entry).data[CONF_WEBHOOK] == {
        **before,
        CONF_TOKEN: token,
        CONF_PERIOD: 7,
    }


async def test_an_empty_password_is_the_stored_one_for_its_own_host_alone(
    dialog: Dialog, controller: SimulatedController
) -> None:
    """It is not shown, need not be typed again, and goes to no host that was just typed."""
    subentry = await add(dialog, controller)
    await dialog.open(subentry)
    await dialog.choose("mqtt")
    assert CONF_PASSWORD not in dialog.shown
    typed = mqtt(controller)
    del typed[CONF_PASSWORD]
    await dialog.submit({**typed, CONF_HOST: "localhost"})
    dialog.expect("mqtt", {CONF_PASSWORD: "empty"})
    await dialog.submit(typed)
    dialog.expect_end("reconfigure_successful")
    assert stored(dialog.entry).data[CONF_MQTT] == mqtt(controller)


@pytest.mark.parametrize("way", [CONF_WEBHOOK, CONF_MQTT])
async def test_one_of_two_ways_can_be_removed(
    dialog: Dialog, controller: SimulatedController, way: str
) -> None:
    """After a question; the other one cannot then be."""
    subentry = await add(dialog, controller)
    await dialog.open(subentry)
    await dialog.choose(f"remove_{way}")
    dialog.expect(f"remove_{way}")
    assert way in stored(dialog.entry).data
    await dialog.submit({})
    dialog.expect_end("reconfigure_successful")
    assert way not in stored(dialog.entry).data
    await dialog.open(stored(dialog.entry))
    assert dialog.result["menu_options"] == ["webhook", "mqtt", "what_arrives"]


# What arrives


async def receive(
    dialog: Dialog,
    controller: SimulatedController,
    state: Mapping[str, Any] | None = None,
) -> None:
    """Have the powers of the home, or others, arrive over MQTT."""
    running = dialog.entry.runtime_data.controllers[stored(dialog.entry).subentry_id]
    message = controller.live_message()
    if state is not None:
        message["fields"]["state"] = state
    for _ in range(500):
        # It may not have subscribed yet; and the loop's clock may stand still
        await controller.publish(controller.live_topic, json.dumps(message))
        await dialog.hass.async_add_executor_job(time.sleep, 0.01)
        if running.live.powers:
            return
    raise AssertionError("nothing arrives")


async def test_nothing_has_arrived(
    dialog: Dialog, controller: SimulatedController
) -> None:
    """There is nothing to look at."""
    subentry = await add(dialog, controller)
    await dialog.open(subentry)
    await dialog.choose("what_arrives")
    dialog.expect_end("nothing_arrived")


async def test_what_clearly_differs_is_preset(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    user_input: dict[str, Any],
    controller: SimulatedController,
) -> None:
    """What arrived is shown beside what the cloud has for that moment; what was chosen is shown the next time."""
    entry = await set_up_frozen(hass, freezer, user_input)
    await settle(hass)
    dialog = Dialog(hass, entry)
    subentry = await add(dialog, controller, is_frozen=True)
    controller.behaviour.inverted = frozenset({"grid", "storage"})
    await receive(dialog, controller)
    freezer.tick(30)
    await entry.runtime_data.telemetry.async_refresh()
    await dialog.open(subentry)
    await dialog.choose("what_arrives")
    dialog.expect("what_arrives")
    preset = {
        "grid": True,
        # It rests, and what is 0 has no sign
        "storage": False,
        "solar": False,
        "heat_pump": False,
        "variable_power_load": False,
    }
    assert dialog.shown == preset
    received, measured = (
        int(dialog.quoted[f"grid_{kind}"].removesuffix(" W"))
        for kind in ("received", "measured")
    )
    assert received > 2000
    assert -2 * received < measured < -2000
    assert dialog.quoted["storage_received"] == "0 W"

    await dialog.submit({**preset, "storage": True})
    dialog.expect_end("reconfigure_successful")
    assert stored(entry).data[CONF_INVERTED] == ["grid", "storage"]
    # Loaded anew, it knows of nothing that has arrived; then of the grid's power alone
    await receive(dialog, controller, {"grid": {"active_power_W": -500}})
    await dialog.open(stored(entry))
    await dialog.choose("what_arrives")
    assert dialog.shown == {"grid": True}
    await dialog.submit({"grid": False})
    # What was not shown stays as it was
    assert stored(entry).data[CONF_INVERTED] == ["storage"]
    await hass.config_entries.async_unload(entry.entry_id)


# Log in to the broker again


async def asked_to_log_in(
    hass: HomeAssistant, dialog: Dialog, controller: SimulatedController
) -> dict[str, Any]:
    """Add a controller, have the broker refuse what is stored, and return the dialog that comes of it."""
    subentry = await add(dialog, controller)
    hass.config_entries.async_update_subentry(
        dialog.entry,
        subentry,
        data={**subentry.data, CONF_MQTT: mqtt(controller, password="old")},
    )
    for _ in range(200):
        await settle(hass)
        if flows := hass.config_entries.flow.async_progress():
            [flow] = flows
            assert flow["context"]["source"] == SOURCE_REAUTH
            return dict(flow)
        await asyncio.sleep(0.01)
    raise AssertionError("nobody asks")


@pytest.mark.expected_log("refuses the log-in")
async def test_not_withdrawn_with_the_account_s(
    hass: HomeAssistant, dialog: Dialog, controller: SimulatedController
) -> None:
    """That the account's own log-in holds after all says nothing of the broker's."""
    flow = await asked_to_log_in(hass, dialog, controller)
    exporter = dialog.entry.runtime_data.exporter
    exporter._asked_to_log_in = True
    exporter._async_uploaded()
    assert [its["flow_id"] for its in hass.config_entries.flow.async_progress()] == [
        flow["flow_id"]
    ]
    await hass.config_entries.flow.async_configure(
        flow["flow_id"],
        {CONF_USERNAME: "home", CONF_PASSWORD: controller.password},
    )
    await settle(hass)


async def test_changed_while_a_dialog_is_open(
    hass: HomeAssistant, dialog: Dialog, controller: SimulatedController
) -> None:
    """A dialog changes what it was about, and does not bring an old password back."""
    subentry = await add(dialog, controller)
    await dialog.open(subentry)
    await dialog.choose("webhook")
    changed = mqtt(controller, host="localhost")
    hass.config_entries.async_update_subentry(
        dialog.entry, subentry, data={**subentry.data, CONF_MQTT: changed}
    )
    await settle(hass)
    await dialog.submit({CONF_PERIOD: 10})
    dialog.expect_end("reconfigure_successful")
    assert stored(dialog.entry).data[CONF_MQTT] == changed
    assert stored(dialog.entry).data[CONF_WEBHOOK][CONF_PERIOD] == 10


@pytest.mark.expected_log("refuses the log-in")
async def test_log_in_again(
    hass: HomeAssistant, dialog: Dialog, controller: SimulatedController
) -> None:
    """The log-in is tried, and the rest of the controller stays as it is."""
    flow = await asked_to_log_in(hass, dialog, controller)
    before = stored(dialog.entry).data
    assert flow["step_id"] == "reauth_mqtt"
    configure = hass.config_entries.flow.async_configure
    result = await configure(flow["flow_id"])
    assert result["data_schema"] is not None
    assert suggested(result["data_schema"]) == {CONF_USERNAME: "home"}
    quoted = result["description_placeholders"] or {}
    assert (quoted["site"], quoted["host"]) == ("Home", "127.0.0.1")
    typed = {CONF_USERNAME: "home", CONF_PASSWORD: "wrong"}
    result = await configure(flow["flow_id"], typed)
    assert result["errors"] == {"base": "invalid_auth"}
    assert stored(dialog.entry).data == before
    result = await configure(
        flow["flow_id"], {**typed, CONF_PASSWORD: controller.password}
    )
    assert result["reason"] == "reauth_successful"
    assert stored(dialog.entry).data == {**before, CONF_MQTT: mqtt(controller)}
    await settle(hass)
    await receive(dialog, controller)
    assert not hass.config_entries.flow.async_progress()


@pytest.mark.expected_log("refuses the log-in")
async def test_a_log_in_that_was_changed_elsewhere_is_not_asked_for(
    hass: HomeAssistant, dialog: Dialog, controller: SimulatedController
) -> None:
    """Whoever changes the controller has answered the request."""
    await asked_to_log_in(hass, dialog, controller)
    await dialog.open(stored(dialog.entry))
    await dialog.choose("mqtt")
    await dialog.submit(mqtt(controller))
    dialog.expect_end("reconfigure_successful")
    assert not hass.config_entries.flow.async_progress()


@pytest.mark.expected_log("refuses the log-in")
async def test_the_controller_is_gone_meanwhile(
    hass: HomeAssistant, dialog: Dialog, controller: SimulatedController
) -> None:
    """There is nothing to log in to any more, and the dialog ends."""
    flow = await asked_to_log_in(hass, dialog, controller)
    hass.config_entries.async_remove_subentry(
        dialog.entry, stored(dialog.entry).subentry_id
    )
    await settle(hass)
    if hass.config_entries.flow.async_progress():
        # Older Home Assistants leave the request standing
        result = await hass.config_entries.flow.async_configure(
            flow["flow_id"], {CONF_USERNAME: "home", CONF_PASSWORD: "x"}
        )
        assert result["reason"] == "no_mqtt_access"
    assert not hass.config_entries.flow.async_progress()


# The address of the webhook in Home Assistant Cloud


async def test_the_cloud_gives_an_address_that_is_taken_back(
    hass: HomeAssistant, dialog: Dialog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is made when the form is shown, and given back where no controller comes of it."""
    cloud = log_in_to_cloud(hass, monkeypatch)
    await dialog.to_menu()
    await dialog.choose("webhook")
    [address] = cloud.hooks.values()
    assert dialog.quoted["cloud"] == address
    hass.config_entries.subentries.async_abort(dialog.result["flow_id"])
    await settle(hass)
    assert not cloud.hooks

    await dialog.to_menu()
    await dialog.choose("webhook")
    await dialog.submit({CONF_PERIOD: 60})
    await dialog.choose("finish")
    [webhook_id] = cloud.hooks
    subentry = stored(dialog.entry)
    assert subentry.data[CONF_WEBHOOK][CONF_WEBHOOK_ID] == webhook_id
    await dialog.open(subentry)
    await dialog.choose("webhook")
    await dialog.submit(dialog.shown)
    assert list(cloud.hooks) == [webhook_id]
    hass.config_entries.async_remove_subentry(dialog.entry, subentry.subentry_id)
    await settle(hass)
    assert not cloud.hooks
