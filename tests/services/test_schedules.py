"""The actions of schedules: what is set, told, refused, and of which controller."""

from typing import Any

import pytest

from custom_components.eniris.const import DOMAIN
from custom_components.eniris.controller.controller import Controller
from custom_components.eniris.data import EnirisConfigEntry
from homeassistant.core import HomeAssistant
from homeassistant.exceptions import ServiceValidationError
from simulator.controller import SimulatedController
from tests.kit.controller import (
    WEBHOOK,
    add_controller,
    call,
    devices,
    schedule,
    site_of,
)


async def test_set_and_get(
    hass: HomeAssistant, with_mqtt: Controller, controller: SimulatedController
) -> None:
    """What is set is with the controller, in the calendar, and told when it is asked for."""
    response = await call(hass, "set_schedule", **schedule())
    assert len(response["schedule_ids"]) == 1
    assert response["replaced_ids"] == []
    assert controller.counts["wrong"] == 0
    told = await call(hass, "get_schedules")
    (one,) = told["schedules"]
    assert one["id"] == response["schedule_ids"][0]
    assert one["group"] == "storage"
    assert one["policy"] == "cost"
    assert one["import_limit"] == 5000
    assert one["export_limit"] == 3000


async def test_several_and_replaced(
    hass: HomeAssistant, with_mqtt: Controller, controller: SimulatedController
) -> None:
    """Several go in one message, and what they overlap is replaced and told."""
    first = await call(hass, "set_schedule", **schedule())
    second = await call(
        hass,
        "set_schedule",
        schedules=[
            schedule(policy="self-consumption"),
            schedule(group="solar", policy="feed-in-restriction", export_limit=0),
        ],
    )
    assert len(second["schedule_ids"]) == 2
    assert second["replaced_ids"] == first["schedule_ids"]
    told = (await call(hass, "get_schedules"))["schedules"]
    assert {its["policy"] for its in told} == {
        "self-consumption",
        "feed-in-restriction",
    }
    assert controller.counts["set_schedules"] == 2


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"end": "2020-01-01T00:00:00+00:00"}, "schedule_range"),
        ({"start": "2020-01-01", "end": "2020-01-02"}, "schedule_range"),
        ({"end": "9999-12-31T23:59:59-12:00"}, "schedule_range"),
    ],
)
async def test_cannot_be_sent(
    hass: HomeAssistant,
    with_mqtt: Controller,
    controller: SimulatedController,
    changes: dict[str, Any],
    key: str,
) -> None:
    """What cannot be a schedule is not sent."""
    with pytest.raises(ServiceValidationError) as caught:
        await call(hass, "set_schedule", **schedule(**changes))
    assert caught.value.translation_key == key
    assert controller.counts["set_schedules"] == 0


async def test_site_device(
    hass: HomeAssistant, with_mqtt: Controller, controller: SimulatedController
) -> None:
    """The device of the site stands for its controller; another device does not."""
    site = site_of(hass, controller)
    response = await hass.services.async_call(
        DOMAIN,
        "get_schedules",
        {"device_id": site.id},
        blocking=True,
        return_response=True,
    )
    assert response == {"schedules": []}
    for name in ("Battery", "nothing"):
        other = next((its.id for its in devices(hass) if its.name == name), name)
        with pytest.raises(ServiceValidationError) as caught:
            await hass.services.async_call(
                DOMAIN,
                "get_schedules",
                {"device_id": other},
                blocking=True,
                return_response=True,
            )
        assert caught.value.translation_key == "no_such_controller"


async def test_webhook_only(
    hass: HomeAssistant, entry: EnirisConfigEntry, controller: SimulatedController
) -> None:
    """Without MQTT access there are no schedules to be seen, and an action says why."""
    await add_controller(hass, entry, controller, webhook=WEBHOOK)
    site = site_of(hass, controller)
    for action, data in (("get_schedules", {}), ("set_schedule", schedule())):
        with pytest.raises(ServiceValidationError) as caught:
            await hass.services.async_call(
                DOMAIN,
                action,
                {"device_id": site.id, **data},
                blocking=True,
                return_response=True,
            )
        assert caught.value.translation_key == "no_mqtt_access"
    assert not hass.states.async_entity_ids(("calendar", "select", "number"))


@pytest.mark.parametrize("key", ["group", "policy", "start", "end"])
async def test_incomplete(
    hass: HomeAssistant,
    with_mqtt: Controller,
    controller: SimulatedController,
    key: str,
) -> None:
    """What lacks a part is told which one, and nothing is sent."""
    whole = schedule()
    lacking = {name: value for name, value in whole.items() if name != key}
    for data, number in ((lacking, "1"), ({"schedules": [whole, lacking]}, "2")):
        with pytest.raises(ServiceValidationError) as caught:
            await call(hass, "set_schedule", **data)
        assert caught.value.translation_key == "schedule_incomplete"
        assert caught.value.translation_placeholders == {"number": number, "key": key}
    assert controller.counts["set_schedules"] == 0
