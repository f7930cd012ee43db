"""What the controller accepts, plans and does."""

import json
import time
from typing import Any

from freezegun.api import FrozenDateTimeFactory
import pytest

from simulator.controller import SimulatedController
from tests.kit.common import until

from .conftest import Owner, schedule


@pytest.fixture(autouse=True)
def july(freezer: FrozenDateTimeFactory) -> None:
    """Be in an hour in which to charge is cheap and the battery is empty."""
    freezer.move_to("2026-07-01T05:00:00Z")


async def test_a_schedule_is_acknowledged_planned_and_obeyed(
    controller: SimulatedController, owner: Owner, freezer: FrozenDateTimeFactory
) -> None:
    before = controller.live_message()["fields"]["state"]["storage"]
    assert before["active_power_W"] == 0
    answer = await owner.plan(schedule())
    assert answer["message_type"] == "set_schedules_ack"
    assert answer["responseCode"] == 0
    (key,) = answer["state"]["schedule_ids"]
    assert answer["state"]["deleted_ids"] == []
    planned = await owner.ask("get_future_schedules", {})
    assert planned["message_type"] == "get_future_schedules_ack"
    asked = schedule()
    del asked["remove_overlap"]
    assert planned["state"]["schedules"] == [{"id": key, **asked}]
    assert controller.counts == {"set_schedules": 1, "get_future_schedules": 1}

    freezer.tick(1)
    state = controller.live_message()["fields"]["state"]
    assert state["storage"]["active_power_W"] == 5_000
    assert state["grid"]["import_limit_W"] == 9_000
    freezer.tick(900)
    assert controller.live_message()["fields"]["state"]["storage"]["active_power_W"] < 0
    assert (await owner.ask("get_future_schedules", {}))["state"] == {"schedules": []}


async def test_overlaps(controller: SimulatedController, owner: Owner) -> None:
    first = await owner.plan(
        schedule(0, 600),
        schedule(600, 1200),
        schedule(0, 900, device_type="solar", policy="feed-in-restriction"),
    )
    one, two, solar = first["state"]["schedule_ids"]
    refused = await owner.plan(schedule(100, 200, remove_overlap=False))
    assert refused["responseCode"] != 0
    assert "overlaps" in refused["error"]
    touching = await owner.plan(schedule(1200, 1300, remove_overlap=False))
    assert touching["state"]["deleted_ids"] == []
    replaced = await owner.plan(schedule(300, 1000), schedule(1000, 1100))
    assert replaced["state"]["deleted_ids"] == [one, two]
    assert solar in controller.schedules.planned(time.time())
    within = await owner.plan(schedule(0, 600), schedule(599, 700))
    assert within["responseCode"] != 0


async def test_text_ids(controller: SimulatedController, owner: Owner) -> None:
    controller.behaviour.text_ids = True
    (first,) = (await owner.plan(schedule()))["state"]["schedule_ids"]
    assert isinstance(first, str)
    assert (await owner.plan(schedule()))["state"]["deleted_ids"] == [first]


@pytest.mark.parametrize(
    "changed",
    [
        {"device_type": "heat_pump"},
        {"device_type": ["storage"]},
        {"policy": "feed-in-restriction"},
        {"policy": "peak-shaving"},
        {"policy": {}},
        {"start_time": "1782882000"},
        {"start_time": 1782882000.5},
        {"end_time": True},
        {"site_import": -1},
        {"site_import": 2_000.0},
        {"site_export": None},
        {"remove_overlap": "true"},
        {"remove_overlap": 1},
        {"start_time": 1782882000 + 900},
        {"start_time": 1, "end_time": 2},
        {"extra": 1},
    ],
    ids=str,
)
async def test_a_wrong_schedule_is_refused(
    controller: SimulatedController, owner: Owner, changed: dict[str, Any]
) -> None:
    answer = await owner.plan(schedule(2000, 3000), schedule(0, 900) | changed)
    assert answer["responseCode"] != 0
    assert answer["error"]
    assert not controller.schedules.planned(time.time())
    assert controller.counts["wrong"] == 1


@pytest.mark.parametrize("name", list(schedule()))
async def test_a_schedule_that_lacks_something_is_refused(
    owner: Owner, name: str
) -> None:
    wish = schedule()
    del wish[name]
    assert (await owner.plan(wish))["responseCode"] != 0


@pytest.mark.parametrize(
    ("message_type", "fields", "changed"),
    [
        ("set_schedules", {}, {}),
        ("set_schedules", {"1": "{}"}, {}),
        ("set_schedules", {"0": {}}, {}),
        ("set_schedules", {"0": "nonsense"}, {}),
        ("set_schedules", {"0": "[]"}, {}),
        ("set_schedules", [], {}),
        ("get_future_schedules", {"0": ""}, {}),
        ("delete_schedules", {}, {}),
        (["set_schedules"], {}, {}),
        ("get_future_schedules", {}, {"extraTags": {"nodeId": "other_site_0"}}),
        ("get_future_schedules", {}, {"extraTags": {}}),
        ("get_future_schedules", {}, {"time": "now"}),
        ("get_future_schedules", {}, {"time": 1_600_000_000}),
        ("get_future_schedules", {}, {"more": 1}),
    ],
    ids=str,
)
async def test_a_wrong_message_is_refused(
    owner: Owner, message_type: Any, fields: Any, changed: dict[str, Any]
) -> None:
    answer = await owner.ask(message_type, fields, **changed)
    assert answer["responseCode"] != 0
    assert answer["error"]


async def test_refusal_and_silence(
    controller: SimulatedController, owner: Owner
) -> None:
    """A refusal, a request that is lost, and an acknowledgement that is lost are three things."""
    controller.behaviour.answers = "refuse"
    controller.behaviour.error = {"code": 17}
    answer = await owner.plan(schedule())
    assert answer["responseCode"] != 0
    assert answer["error"] == {"code": 17}
    controller.behaviour.answers = "silent"
    await owner.send("set_schedules", {"0": json.dumps(schedule())})
    await until(lambda: controller.counts["set_schedules"] == 2)
    controller.behaviour.answers = "right"
    assert (await owner.ask("get_future_schedules", {}))["state"]["schedules"] == []
    controller.behaviour.unacknowledged = True
    await owner.send("set_schedules", {"0": json.dumps(schedule())})
    await until(lambda: bool(controller.schedules.planned(time.time())))
    controller.behaviour.unacknowledged = False
    answer = await owner.ask("get_future_schedules", {})
    assert len(answer["state"]["schedules"]) == 1
    assert controller.counts["wrong"] == 0


@pytest.mark.parametrize("keep_schedules", [True, False])
async def test_restart(
    controller: SimulatedController,
    owner: Owner,
    freezer: FrozenDateTimeFactory,
    keep_schedules: bool,
) -> None:
    await owner.plan(schedule())
    await controller.restart(keep_schedules=keep_schedules)
    freezer.tick(5)
    planned = (await owner.ask("get_future_schedules", {}))["state"]["schedules"]
    assert len(planned) == keep_schedules
    power = controller.live_message()["fields"]["state"]["storage"]["active_power_W"]
    assert (power == 5_000) is keep_schedules
