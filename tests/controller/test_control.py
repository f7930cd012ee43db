"""Schedules: what is asked of a controller, and what becomes of its answers."""

import asyncio
from datetime import timedelta
from functools import partial
import time

import aiomqtt
import pytest
from pytest_homeassistant_custom_component.common import async_fire_time_changed

from custom_components.eniris.controller import control
from custom_components.eniris.controller.controller import Controller
from custom_components.eniris.controller.schedules import Schedule, set_message
from custom_components.eniris.data import EnirisConfigEntry
from homeassistant.core import HomeAssistant
from homeassistant.exceptions import HomeAssistantError
from simulator.controller import SimulatedController
from simulator.controller.broker import AnyBroker
from tests.kit.controller import (
    HOUR,
    answer,
    call,
    now,
    schedule,
    seen,
    select,
    set_limit,
    state_of,
    timers,
)


@pytest.fixture
def broker(each_broker: AnyBroker) -> AnyBroker:
    """Return both brokers in turn."""
    return each_broker


async def test_refused(
    hass: HomeAssistant, with_mqtt: Controller, controller: SimulatedController
) -> None:
    """A refusal is told with the controller's reason."""
    controller.behaviour.answers = "refuse"
    controller.behaviour.error = "battery is\nbusy"
    with pytest.raises(HomeAssistantError) as caught:
        await call(hass, "set_schedule", **schedule())
    assert caught.value.translation_key == "schedule_refused"
    assert caught.value.translation_placeholders == {"error": "battery is busy"}
    assert with_mqtt.schedules is not None
    assert with_mqtt.schedules.planned == ()


async def test_silent(
    hass: HomeAssistant,
    with_mqtt: Controller,
    controller: SimulatedController,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Silence is told, and nothing is shown as planned."""
    monkeypatch.setattr(control, "ANSWER_WITHIN", timedelta(seconds=0.2))
    controller.behaviour.answers = "silent"
    with pytest.raises(HomeAssistantError) as caught:
        await call(hass, "set_schedule", **schedule())
    assert caught.value.translation_key == "not_acknowledged"
    assert with_mqtt.schedules is not None
    assert with_mqtt.schedules.planned == ()
    controller.behaviour.answers = "right"
    await call(hass, "set_schedule", **schedule())


async def test_repeated_answers(
    hass: HomeAssistant, with_mqtt: Controller, controller: SimulatedController
) -> None:
    """An answer that the broker delivers twice is no answer to the next question, and the same list may come twice."""
    controller.behaviour.duplicates = 2
    first = await call(hass, "set_schedule", **schedule())
    second = await call(hass, "set_schedule", **schedule(policy="self-consumption"))
    assert second["schedule_ids"] != first["schedule_ids"]
    assert second["replaced_ids"] == first["schedule_ids"]
    for _ in range(3):
        told = await call(hass, "get_schedules")
        assert [its["policy"] for its in told["schedules"]] == ["self-consumption"]


async def test_lost_acknowledgement(
    hass: HomeAssistant,
    with_mqtt: Controller,
    controller: SimulatedController,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What was carried out without an answer is seen when the schedules are read."""
    monkeypatch.setattr(control, "ANSWER_WITHIN", timedelta(seconds=0.2))
    controller.behaviour.unacknowledged = True
    with pytest.raises(HomeAssistantError):
        await call(hass, "set_schedule", **schedule())
    controller.behaviour.unacknowledged = False
    (one,) = (await call(hass, "get_schedules"))["schedules"]
    assert one["policy"] == "cost"


async def test_changed_by_somebody_else(
    hass: HomeAssistant, with_mqtt: Controller, controller: SimulatedController
) -> None:
    """What another client has the controller do is read."""
    other = aiomqtt.Client(
        controller.host,
        controller.port,
        username=controller.username,
        password=controller.password,
    )
    message = set_message(
        controller.site_id,
        [Schedule("storage", "cost", now() + HOUR, now() + 2 * HOUR, 1, 2)],
        now(),
    )
    async with other:
        await other.publish(controller.request_topic, message, qos=1)
    schedules = with_mqtt.schedules
    assert schedules is not None
    await seen(lambda: controller.counts["set_schedules"] == 1)
    await asyncio.to_thread(time.sleep, 0.1)
    async_fire_time_changed(hass, now() + timedelta(seconds=5))
    await seen(lambda: len(schedules.planned) == 1)


async def test_controller_that_forgets(
    hass: HomeAssistant, with_mqtt: Controller, controller: SimulatedController
) -> None:
    """What a controller has lost is shown no longer once it was asked, and its ids may begin anew."""
    first = await call(hass, "set_schedule", **schedule())
    await controller.restart(keep_schedules=False)
    assert (await call(hass, "get_schedules"))["schedules"] == []
    again = await call(hass, "set_schedule", **schedule())
    assert len(again["schedule_ids"]) == len(first["schedule_ids"])


async def test_nothing_is_left_after_an_unload(
    hass: HomeAssistant,
    entry: EnirisConfigEntry,
    with_mqtt: Controller,
    controller: SimulatedController,
) -> None:
    """What is planned wakes nobody any more once the account is unloaded."""
    await call(hass, "set_schedule", **schedule())
    await hass.config_entries.async_unload(entry.entry_id)
    assert timers(hass) == []


async def test_not_told_after_a_new_connection(
    hass: HomeAssistant,
    with_mqtt: Controller,
    controller: SimulatedController,
) -> None:
    """Until the controller has told its schedules again, nobody knows what it does."""
    assert state_of(hass, "select", "storage_policy").state == "controller_decides"
    controller.behaviour.answers = "silent"
    await controller.gate.drop()
    schedules = with_mqtt.schedules
    assert schedules is not None
    await seen(lambda: with_mqtt.figures()["broker_connections"] == 2)
    await asyncio.sleep(0)
    assert state_of(hass, "select", "storage_policy").state == "unknown"


async def test_answers_without_ids(
    hass: HomeAssistant,
    with_mqtt: Controller,
    controller: SimulatedController,
) -> None:
    """Two answers in quick succession that say the same are two where they have no ids."""
    controller.behaviour.answers = "silent"
    counts = controller.counts
    for _ in range(2):
        before = counts.total()
        asked = hass.async_create_task(call(hass, "set_schedule", **schedule()))
        await seen(partial(lambda wanted: counts.total() == wanted, before + 1))
        await answer(controller, "set_schedules")
        await seen(partial(lambda wanted: counts.total() == wanted, before + 2))
        await answer(controller, "get_future_schedules", schedules=[])
        await seen(asked.done)
        assert (await asked)["schedule_ids"] == []


async def test_told_without_limits(
    hass: HomeAssistant,
    with_mqtt: Controller,
    controller: SimulatedController,
) -> None:
    """Limits that were acknowledged are known still when the controller tells the schedule without them."""
    await set_limit(hass, "import_limit", 4000)
    await set_limit(hass, "export_limit", 2000)
    await select(hass, "cost")
    assert with_mqtt.schedules is not None
    (held,) = with_mqtt.schedules.planned
    controller.behaviour.answers = "silent"
    asked = hass.async_create_task(call(hass, "get_schedules"))
    before = controller.counts["get_future_schedules"]
    await seen(lambda: controller.counts["get_future_schedules"] > before)
    told = {
        "device_type": "storage",
        "policy": "cost",
        "start_time": held.start.timestamp(),
        "end_time": held.end.timestamp(),
    }
    await answer(controller, "get_future_schedules", schedules=[told])
    await seen(asked.done)
    assert float(state_of(hass, "number", "import_limit").state) == 4000
    controller.behaviour.answers = "right"
    await select(hass, "controller_decides")
    (last,) = with_mqtt.schedules.planned
    assert last.end - last.start == timedelta(minutes=1)


async def test_in_force_and_dropped_for_another(
    hass: HomeAssistant,
    with_mqtt: Controller,
    controller: SimulatedController,
) -> None:
    """What somebody else has replaced is not shown as in force any more."""
    await set_limit(hass, "import_limit", 4000)
    await set_limit(hass, "export_limit", 2000)
    await select(hass, "cost")
    assert with_mqtt.schedules is not None
    (held,) = with_mqtt.schedules.planned
    await answer(controller, "set_schedules", schedule_ids=[99], deleted_ids=[held.id])
    await seen(
        lambda: state_of(hass, "select", "storage_policy").state == "controller_decides"
    )
