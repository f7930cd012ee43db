"""An account with a controller, and what is to be seen of it."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
import json
from pathlib import Path
import time
from types import MappingProxyType
from typing import Any, Final

from aiohttp.test_utils import TestClient

from custom_components.eniris.const import (
    CONF_INVERTED,
    CONF_MQTT,
    CONF_PERIOD,
    CONF_SERIAL,
    CONF_SITE_NODE_ID,
    CONF_TLS,
    CONF_WEBHOOK,
    DOMAIN,
    SUBENTRY_CONTROLLER,
)
from custom_components.eniris.controller.controller import Controller
from custom_components.eniris.data import EnirisConfigEntry
from homeassistant.config_entries import ConfigSubentry
from homeassistant.const import (
    ATTR_ENTITY_ID,
    CONF_HOST,
    CONF_PASSWORD,
    CONF_PORT,
    CONF_TOKEN,
    CONF_USERNAME,
    CONF_WEBHOOK_ID,
)
from homeassistant.core import HassJob, HomeAssistant, State
from homeassistant.helpers import device_registry as dr, entity_registry as er
from homeassistant.util.async_ import get_scheduled_timer_handles
from simulator.controller import Broker, SimulatedController
from simulator.controller.broker import STRANGER, AnyBroker
from simulator.controller.controller import OWN_USERNAME, PASSWORD, USERNAME
from tests.kit.common import settle

TOKEN: Final = "a-token-that-nobody-guesses"
WEBHOOK_ID: Final = "f" * 64
ADDRESS: Final = f"/api/webhook/{WEBHOOK_ID}"

USERS: Final = {USERNAME: PASSWORD, STRANGER: PASSWORD, OWN_USERNAME: "secret"}

WEBHOOK: Final = {CONF_WEBHOOK_ID: WEBHOOK_ID, CONF_TOKEN: TOKEN, CONF_PERIOD: 60}


def simulated_broker(certificate: tuple[Path, Path]) -> AnyBroker:
    """Return the simulator's broker, which does not run yet."""
    return Broker(USERS, certificate=certificate)


def mqtt(controller: SimulatedController, **changes: Any) -> dict[str, Any]:
    """Return the MQTT access to a simulated controller, as a subentry has it."""
    return {
        CONF_HOST: controller.host,
        CONF_PORT: controller.port,
        CONF_TLS: False,
        CONF_USERNAME: controller.username,
        CONF_PASSWORD: controller.password,
        **changes,
    }


async def add_controller(
    hass: HomeAssistant,
    entry: EnirisConfigEntry,
    controller: SimulatedController,
    *,
    webhook: dict[str, Any] | None = None,
    mqtt: dict[str, Any] | None = None,
    inverted: list[str] | None = None,
) -> Controller:
    """Add the controller of the home to an account, and wait until the broker answers, if it is to."""
    parts = {CONF_WEBHOOK: webhook, CONF_MQTT: mqtt, CONF_INVERTED: inverted}
    data = {
        CONF_SITE_NODE_ID: controller.site_id,
        CONF_SERIAL: controller.serial,
        **{key: part for key, part in parts.items() if part is not None},
    }
    subentry = ConfigSubentry(
        data=MappingProxyType(data),
        subentry_type=SUBENTRY_CONTROLLER,
        title="Home",
        unique_id=controller.site_id,
    )
    hass.config_entries.async_add_subentry(entry, subentry)
    await settle(hass)
    added: Controller = entry.runtime_data.controllers[subentry.subentry_id]
    if added.schedules is not None:
        await seen(lambda: bool(added.schedules and added.schedules.is_known))
        await settle(hass)
    return added


async def seen(condition: Callable[[], bool]) -> None:
    """Wait, ten seconds at most and also while the clock is frozen, until something has come over a socket."""
    for _ in range(2000):
        if condition():
            return
        await asyncio.to_thread(time.sleep, 0.005)
    raise AssertionError("it did not happen")


def entity_id(hass: HomeAssistant, platform: str, name: str) -> str:
    """Return the id of the entity of a controller that a key of its translation names."""
    registry = er.async_get(hass)
    (found,) = (
        its.entity_id
        for its in registry.entities.values()
        if its.platform == DOMAIN
        and its.domain == platform
        and its.translation_key == name
        and its.config_subentry_id is not None
    )
    return found


def state_of(hass: HomeAssistant, platform: str, name: str) -> State:
    """Return the state of such an entity."""
    state = hass.states.get(entity_id(hass, platform, name))
    assert state is not None
    return state


async def answer(controller: SimulatedController, kind: str, **state: Any) -> None:
    """Have the controller acknowledge something in other words than its own."""
    data = {"message_type": f"{kind}_ack", "responseCode": 0, "state": state}
    await controller.publish(controller.answer_topic, json.dumps({"data": data}))


def timers(hass: HomeAssistant) -> list[HassJob[Any, Any]]:
    """Return what the package of controllers has the event loop do later."""
    return [
        job
        for handle in get_scheduled_timer_handles(hass.loop)
        if not handle.cancelled()
        for job in handle._args or ()
        if isinstance(job, HassJob)
        and job.target.__module__.startswith("custom_components.eniris.controller")
    ]


HOUR: Final = timedelta(hours=1)


def device_of(hass: HomeAssistant) -> str:
    """Return the device of the controller."""
    found = er.async_get(hass).async_get(entity_id(hass, "calendar", "schedules"))
    assert found is not None
    assert found.device_id is not None
    return found.device_id


def devices(hass: HomeAssistant) -> list[dr.DeviceEntry]:
    """Return the devices of the account."""
    (entry,) = hass.config_entries.async_entries(DOMAIN)
    return dr.async_entries_for_config_entry(dr.async_get(hass), entry.entry_id)


def site_of(hass: HomeAssistant, controller: SimulatedController) -> dr.DeviceEntry:
    """Return the device of the site."""
    (found,) = (
        its for its in devices(hass) if (DOMAIN, controller.site_id) in its.identifiers
    )
    return found


def now() -> datetime:
    """Return the present second."""
    return datetime.now(UTC).replace(microsecond=0)


async def call(hass: HomeAssistant, action: str, **data: Any) -> Any:
    """Call an action with the controller's device, and return its response."""
    return await hass.services.async_call(
        DOMAIN,
        action,
        {"device_id": device_of(hass), **data},
        blocking=True,
        return_response=True,
    )


def schedule(**changes: Any) -> dict[str, Any]:
    """Return a schedule as an action takes it."""
    return {
        "group": "storage",
        "policy": "cost",
        "start": (now() + HOUR).isoformat(),
        "end": (now() + 2 * HOUR).isoformat(),
        "import_limit": 5000,
        "export_limit": 3000,
        **changes,
    }


async def select(hass: HomeAssistant, option: str) -> None:
    """Choose a storage policy."""
    await hass.services.async_call(
        "select",
        "select_option",
        {
            ATTR_ENTITY_ID: entity_id(hass, "select", "storage_policy"),
            "option": option,
        },
        blocking=True,
    )
    await settle(hass)


async def set_limit(hass: HomeAssistant, name: str, value: int) -> None:
    """Set a limit."""
    await hass.services.async_call(
        "number",
        "set_value",
        {ATTR_ENTITY_ID: entity_id(hass, "number", name), "value": value},
        blocking=True,
    )
    await settle(hass)


type Posting = TestClient[Any, Any]


async def post(
    hass: HomeAssistant,
    client: Posting,
    body: Any,
    token: str | None = TOKEN,
) -> int:
    """Post a body, and return the status."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = await client.post(ADDRESS, data=data, headers=headers)
    assert await answer.read() == b""
    await settle(hass)
    return answer.status
