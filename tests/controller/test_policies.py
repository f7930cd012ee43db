"""Held policies: renewed while Home Assistant runs, and over when it does not."""

import asyncio
from collections.abc import Callable
from datetime import timedelta

from freezegun.api import FrozenDateTimeFactory
from pytest_homeassistant_custom_component.common import async_fire_time_changed

from custom_components.eniris.controller.control import ScheduleControl
from custom_components.eniris.controller.controller import Controller
from custom_components.eniris.data import EnirisConfigEntry
from homeassistant.core import HomeAssistant
from simulator.controller import SimulatedController
from tests.kit.common import settle
from tests.kit.controller import (
    answer,
    call,
    entity_id,
    now,
    schedule,
    seen,
    select,
    set_limit,
    state_of,
    timers,
)


async def test_renewed(
    hass: HomeAssistant,
    with_mqtt: Controller,
    controller: SimulatedController,
    freezer: FrozenDateTimeFactory,
) -> None:
    """A policy is renewed every five minutes, and ends by itself once nobody renews it."""
    await set_limit(hass, "import_limit", 4000)
    await set_limit(hass, "export_limit", 2000)
    await select(hass, "self_consumption")
    await pass_time(hass, freezer, lambda: controller.counts["set_schedules"] == 2)
    await pass_time(hass, freezer, lambda: controller.counts["set_schedules"] == 3)
    controller.behaviour.answers = "refuse"
    for _ in range(4):
        await pass_time(hass, freezer, lambda: True)
    assert state_of(hass, "select", "storage_policy").state == "controller_decides"


async def pass_time(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    condition: Callable[[], bool],
) -> None:
    """Let five minutes pass, and wait until something has happened."""
    freezer.tick(timedelta(minutes=5, seconds=1))
    async_fire_time_changed(hass)
    await seen(condition)
    await settle(hass)


async def test_reload(
    hass: HomeAssistant,
    entry: EnirisConfigEntry,
    with_mqtt: Controller,
    controller: SimulatedController,
    freezer: FrozenDateTimeFactory,
) -> None:
    """A policy is held on through a reload of the account, but not after it was away for long."""
    await set_limit(hass, "import_limit", 4000)
    await set_limit(hass, "export_limit", 2000)
    await select(hass, "cost")
    await hass.config_entries.async_reload(entry.entry_id)
    await seen(lambda: its_controller(entry).is_connected)
    await pass_time(hass, freezer, lambda: controller.counts["set_schedules"] == 2)
    await hass.config_entries.async_unload(entry.entry_id)
    freezer.tick(timedelta(minutes=16))
    await hass.config_entries.async_setup(entry.entry_id)
    await seen(lambda: its_controller(entry).is_connected)
    await pass_time(hass, freezer, lambda: True)
    assert controller.counts["set_schedules"] == 2
    await settle(hass)
    assert state_of(hass, "select", "storage_policy").state == "controller_decides"


def its_controller(entry: EnirisConfigEntry) -> ScheduleControl:
    """Return the schedules of the account's only controller."""
    (found,) = entry.runtime_data.controllers.values()
    assert found.schedules is not None
    return found.schedules


async def begin_renewal(
    hass: HomeAssistant,
    controller: SimulatedController,
    freezer: FrozenDateTimeFactory,
) -> None:
    """Hold a policy, and have its renewal wait for the acknowledgement."""
    await set_limit(hass, "import_limit", 4000)
    await set_limit(hass, "export_limit", 2000)
    await select(hass, "cost")
    controller.behaviour.answers = "silent"
    freezer.tick(timedelta(minutes=5, seconds=1))
    async_fire_time_changed(hass)
    await seen(lambda: controller.counts["set_schedules"] == 2)
    controller.behaviour.answers = "right"


async def test_let_go_during_a_renewal(
    hass: HomeAssistant,
    with_mqtt: Controller,
    controller: SimulatedController,
    freezer: FrozenDateTimeFactory,
) -> None:
    """What is let go while it is renewed is not held on."""
    await begin_renewal(hass, controller, freezer)
    letting_go = hass.async_create_task(select(hass, "controller_decides"))
    await asyncio.sleep(0)
    await answer(controller, "set_schedules", schedule_ids=[77])
    await seen(letting_go.done)
    assert with_mqtt.figures()["policies_held"] == 0
    assert with_mqtt.policies is not None
    (last,) = with_mqtt.policies.schedules.planned
    assert last.end - last.start == timedelta(minutes=1)


async def test_chosen_when_a_renewal_is_due(
    hass: HomeAssistant,
    with_mqtt: Controller,
    controller: SimulatedController,
) -> None:
    """A renewal that comes while another policy is being chosen renews that one."""
    await set_limit(hass, "import_limit", 4000)
    await set_limit(hass, "export_limit", 2000)
    await select(hass, "cost")
    controller.behaviour.answers = "silent"
    choosing = hass.async_create_task(select(hass, "self_consumption"))
    await seen(lambda: controller.counts["set_schedules"] == 2)
    # Alone: with the time that passes, the wait for the acknowledgement would end as well
    (renewal,) = (its for its in timers(hass) if its.target.__name__ == "renew")
    hass.async_run_hass_job(renewal, now())
    await asyncio.sleep(0)
    controller.behaviour.answers = "right"
    await answer(controller, "set_schedules", schedule_ids=[77])
    await seen(choosing.done)
    await settle(hass)
    assert with_mqtt.policies is not None
    assert with_mqtt.policies.by_group == {"storage": "self-consumption"}


async def test_unloaded_during_a_renewal(
    hass: HomeAssistant,
    entry: EnirisConfigEntry,
    with_mqtt: Controller,
    controller: SimulatedController,
    freezer: FrozenDateTimeFactory,
) -> None:
    """An unload in the middle of a renewal leaves nothing that goes on to renew."""
    await begin_renewal(hass, controller, freezer)
    await hass.config_entries.async_unload(entry.entry_id)
    await settle(hass)
    assert timers(hass) == []


async def test_limits_of_all_at_once(
    hass: HomeAssistant, with_mqtt: Controller, controller: SimulatedController
) -> None:
    """A limit goes to all that is held in one message, so that it is either refused or accepted as a whole."""
    await set_limit(hass, "import_limit", 4000)
    await set_limit(hass, "export_limit", 2000)
    await select(hass, "cost")
    await hass.services.async_call(
        "select",
        "select_option",
        {
            "entity_id": entity_id(hass, "select", "solar_policy"),
            "option": "feed_in_restriction",
        },
        blocking=True,
    )
    await set_limit(hass, "export_limit", 0)
    assert controller.counts["set_schedules"] == 3
    assert with_mqtt.schedules is not None
    assert {its.export_limit for its in with_mqtt.schedules.planned} == {0}


async def test_what_is_planned_stays(
    hass: HomeAssistant, with_mqtt: Controller
) -> None:
    """A policy that is held ends where a planned schedule begins, whenever it is sent."""
    start, end = now() + timedelta(minutes=7), now() + timedelta(minutes=20)
    planned = schedule(
        policy="self-consumption", start=start.isoformat(), end=end.isoformat()
    )
    told = await call(hass, "set_schedule", **planned)
    await set_limit(hass, "import_limit", 4000)
    await set_limit(hass, "export_limit", 2000)
    await select(hass, "cost")
    schedules = with_mqtt.schedules
    assert schedules is not None
    held, kept = schedules.planned
    assert held.end == kept.start
    assert kept.id == told["schedule_ids"][0]
    await set_limit(hass, "import_limit", 3000)
    held, kept = schedules.planned
    assert held.import_limit == 3000
    assert held.end == kept.start
    assert kept.import_limit == 5000
