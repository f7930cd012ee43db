"""Schedules as the controller takes and tells them: one group, one policy, from one time to another.

Payloads: the page "Scheduled MQTT control" and two public clients.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
import json
from typing import Any, Final, NamedTuple

from .errors import InvalidMessageError
from .message import as_number, load_json

GROUPS: Final = ("storage", "solar")
"""What can be scheduled, as far as it is known."""

POLICIES: Final = {
    "storage": ("self-consumption", "cost"),
    "solar": ("feed-in-restriction",),
}
"""The policies of each group that are known; there may be others."""

SET: Final = "set_schedules"
GET: Final = "get_future_schedules"

_LATEST: Final = 253_402_128_000
"""Unix seconds: the end of the year 9999, but for two days, so that it has a local time in each zone."""

LARGEST_LIMIT: Final = 10_000_000
"""W: more than any home's connection; nothing above is sent."""

_LARGEST_TOLD: Final = 1e15
"""W; what is above is no number that a state can show."""


class Schedule(NamedTuple):
    """What a group does from one time to another; limits in W, None where the controller does not say."""

    group: str
    policy: str
    start: datetime
    end: datetime
    import_limit: int | None
    export_limit: int | None
    id: str | None = None
    """What the controller calls it, None before it has acknowledged it."""

    def holds(self, now: datetime) -> bool:
        """Return whether it is in force."""
        return self.start <= now < self.end


class Acknowledgement(NamedTuple):
    """What a controller answers: to what, whether it refused, and what it has now."""

    kind: str
    error: str | None
    schedule_ids: tuple[str, ...]
    deleted_ids: tuple[str, ...]
    schedules: tuple[Schedule, ...]


def set_message(site_node_id: str, schedules: Iterable[Schedule], now: datetime) -> str:
    """Return what has a controller take schedules, which replace those that they overlap."""
    fields = {
        str(number): json.dumps(
            {
                "device_type": schedule.group,
                "start_time": int(schedule.start.timestamp()),
                "end_time": int(schedule.end.timestamp()),
                "policy": schedule.policy,
                "site_import": schedule.import_limit,
                "site_export": schedule.export_limit,
                "remove_overlap": True,
            }
        )
        for number, schedule in enumerate(schedules)
    }
    return _message(SET, site_node_id, fields, now)


def get_message(site_node_id: str, now: datetime) -> str:
    """Return what asks a controller for its schedules."""
    return _message(GET, site_node_id, {}, now)


def _message(
    kind: str, site_node_id: str, fields: dict[str, str], now: datetime
) -> str:
    return json.dumps(
        {
            "extraTags": {"nodeId": site_node_id},
            "time": int(now.timestamp()),
            "message_type": kind,
            "fields": fields,
        }
    )


def read_acknowledgement(payload: bytes) -> Acknowledgement:
    """Return what a controller answered; raises `InvalidMessageError` where it is no answer."""
    body = load_json(payload)
    data = body.get("data") if isinstance(body, dict) else None
    if not isinstance(data, dict):
        raise InvalidMessageError("no data")
    kind = str(data.get("message_type")).removesuffix("_ack")
    if kind not in (SET, GET):
        raise InvalidMessageError("no answer")
    code = data.get("responseCode")
    state = data.get("state")
    if not isinstance(state, dict):
        state = {}
    return Acknowledgement(
        kind,
        None if code in (0, "0") else _error(data.get("error"), code),
        tuple(_ids(state.get("schedule_ids"))),
        tuple(_ids(state.get("deleted_ids"))),
        tuple(_schedules(state.get("schedules"))),
    )


def _error(error: Any, code: Any) -> str:
    """Return in one line what a controller says of a refusal."""
    text = error if isinstance(error, str) else json.dumps(error)
    text = " ".join(text.split())[:200]
    return text if error and text.isprintable() else f"code {json.dumps(code)[:20]}"


def _ids(ids: Any) -> Iterator[str]:
    if isinstance(ids, list):
        yield from map(str, filter(_is_id, ids))


def _is_id(value: Any) -> bool:
    return isinstance(value, int | str) and not isinstance(value, bool)


def _schedules(told: Any) -> Iterator[Schedule]:
    """Yield the schedules of a list, or of an object by id; one that is not understood costs itself alone."""
    if isinstance(told, dict):
        told = [
            {"id": id_, **schedule} if isinstance(schedule, dict) else schedule
            for id_, schedule in told.items()
        ]
    for item in told if isinstance(told, list) else ():
        if isinstance(item, str):
            try:
                item = load_json(item.encode(errors="replace"))
            except InvalidMessageError:
                continue
        if isinstance(item, dict) and (schedule := _schedule(item)) is not None:
            yield schedule


def _schedule(told: dict[str, Any]) -> Schedule | None:
    group, policy = told.get("device_type"), told.get("policy")
    start, end = _time(told.get("start_time")), _time(told.get("end_time"))
    if not (_is_word(group) and _is_word(policy) and start and end and start < end):
        return None
    id_ = next(
        (told[key] for key in ("id", "schedule_id") if _is_id(told.get(key))), None
    )
    return Schedule(
        str(group),
        str(policy),
        start,
        end,
        _limit(told.get("site_import")),
        _limit(told.get("site_export")),
        None if id_ is None else str(id_),
    )


def _is_word(text: Any) -> bool:
    return isinstance(text, str) and 0 < len(text) <= 100 and text.isprintable()


def _time(told: Any) -> datetime | None:
    seconds = as_number(told)
    if seconds is None or seconds <= 0:
        return None
    return datetime.fromtimestamp(min(seconds, _LATEST), UTC)


def _limit(told: Any) -> int | None:
    watts = as_number(told)
    return None if watts is None or abs(watts) > _LARGEST_TOLD else round(watts)
