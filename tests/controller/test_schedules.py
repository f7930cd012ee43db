"""Schedules as bytes: what is sent, and what is understood of the answers."""

from datetime import UTC, datetime, timedelta
import json
from typing import Any

from hypothesis import given, settings, strategies as st
import pytest

from custom_components.eniris.controller.errors import InvalidMessageError
from custom_components.eniris.controller.schedules import (
    Schedule,
    get_message,
    read_acknowledgement,
    set_message,
)

from .test_message import JSON

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
ONE = Schedule("storage", "cost", NOW, NOW + HOUR, 5000, 0)


def test_what_is_sent() -> None:
    """The messages are those of the documents, to the letter."""
    assert json.loads(set_message("SN_site_0", [ONE], NOW)) == {
        "extraTags": {"nodeId": "SN_site_0"},
        "time": 1796040000,
        "message_type": "set_schedules",
        "fields": {
            "0": json.dumps(
                {
                    "device_type": "storage",
                    "start_time": 1796040000,
                    "end_time": 1796043600,
                    "policy": "cost",
                    "site_import": 5000,
                    "site_export": 0,
                    "remove_overlap": True,
                }
            )
        },
    }
    asked = json.loads(get_message("SN_site_0", NOW))
    assert asked["message_type"] == "get_future_schedules"
    assert asked["fields"] == {}


def answer(**data: Any) -> bytes:
    """Return an answer."""
    return json.dumps({"data": data}).encode()


def test_what_is_answered() -> None:
    """Ids may be numbers or texts, and what a schedule lacks is not known."""
    read = read_acknowledgement(
        answer(
            message_type="get_future_schedules_ack",
            responseCode=0,
            state={
                "schedule_ids": [1, "b", None, True],
                "schedules": [
                    {
                        "id": 7,
                        "start_time": 1796040000,
                        "end_time": "1796043600",
                        "device_type": "storage",
                        "policy": "cost",
                        "site_import": "5000",
                    },
                    {"start_time": 2, "end_time": 1, "device_type": "a", "policy": "b"},
                    {"start_time": 1, "end_time": 1e999, "device_type": "a"},
                    "nonsense",
                    None,
                ],
            },
        )
    )
    assert read.schedule_ids == ("1", "b")
    assert read.schedules == (
        Schedule("storage", "cost", NOW, NOW + HOUR, 5000, None, "7"),
    )


@pytest.mark.parametrize(
    ("data", "error"),
    [
        ({"responseCode": 0}, None),
        ({"responseCode": "0"}, None),
        ({"responseCode": 3, "error": "battery is busy"}, "battery is busy"),
        ({"responseCode": 3, "error": {"why": "busy"}}, '{"why": "busy"}'),
        ({"responseCode": 3}, "code 3"),
        ({"responseCode": 3, "error": "\x1b[31m"}, "code 3"),
        ({}, "code null"),
    ],
)
def test_refusals(data: dict[str, Any], error: str | None) -> None:
    """Any code but 0 is a refusal, with what the controller says of it in one line."""
    read = read_acknowledgement(answer(message_type="set_schedules_ack", **data))
    assert read.error == error


@settings(max_examples=2000, deadline=None)
@given(JSON, JSON, st.sampled_from(["state", "schedules", "data", "error"]))
def test_anything(one: Any, other: Any, where: str) -> None:
    """Anything is read, or told to be no answer."""
    data: dict[str, Any] = {
        "message_type": "get_future_schedules_ack",
        "responseCode": other,
        "state": {"schedule_ids": one, "schedules": [other, one]},
    }
    if where == "schedules":
        data["state"]["schedules"] = one
    else:
        data[where] = one
    for body in (one, {"data": data}, {"data": one}):
        try:
            read = read_acknowledgement(json.dumps(body).encode())
        except InvalidMessageError:
            continue
        assert read.error is None or read.error.isprintable()
        for schedule in read.schedules:
            assert schedule.start < schedule.end
