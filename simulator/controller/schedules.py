"""The schedules of a controller: what it accepts, and what it plans."""

from collections.abc import Mapping
from dataclasses import dataclass
import json
from typing import Any, Final, NamedTuple

POLICIES: Final = {
    "storage": ("self-consumption", "cost"),
    "solar": ("feed-in-restriction",),
}
"""The policies of each group."""

_ENVELOPE: Final = frozenset({"extraTags", "time", "message_type", "fields"})
_SCHEDULE: Final = frozenset(
    {
        "device_type",
        "start_time",
        "end_time",
        "policy",
        "site_import",
        "site_export",
        "remove_overlap",
    }
)
_CLOCKS_APART_S: Final = 300


class RefusedError(Exception):
    """The controller does not do what it was asked; the text says why."""


class Envelope(NamedTuple):
    """A message to the controller whose shape is right."""

    message_type: str
    fields: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Wish:
    """A schedule as it was asked for: times in Unix seconds, limits in W."""

    device_type: str
    start_time: int
    end_time: int
    policy: str
    site_import: int
    site_export: int
    remove_overlap: bool

    def overlaps(self, other: "Wish") -> bool:
        """Tell whether another schedule of the same group is in force at some time of this one."""
        return (
            self.device_type == other.device_type
            and self.start_time < other.end_time
            and other.start_time < self.end_time
        )


def read_envelope(payload: bytes | bytearray, site_id: str, now_s: float) -> Envelope:
    """Return what a message asks for; RefusedError where its shape is wrong."""
    try:
        message = json.loads(payload)
    except ValueError as err:
        raise RefusedError("not JSON") from err
    _demand(isinstance(message, dict), "the message is not an object")
    _demand(
        message.keys() == _ENVELOPE, f"the message needs exactly {sorted(_ENVELOPE)}"
    )
    _demand(message["extraTags"] == {"nodeId": site_id}, "extraTags names another site")
    time = message["time"]
    _demand(
        _is_number(time) and abs(time - now_s) <= _CLOCKS_APART_S,
        "time is not the present in seconds",
    )
    _demand(
        message["message_type"] in ("set_schedules", "get_future_schedules"),
        "there is no such message_type",
    )
    _demand(isinstance(message["fields"], dict), "fields is not an object")
    return Envelope(message["message_type"], message["fields"])


def read_wishes(fields: Mapping[str, Any], now_s: float) -> list[Wish]:
    """Return the schedules of a message; RefusedError unless all of them are right."""
    _demand(bool(fields), "there is no schedule")
    _demand(
        list(fields) == [str(number) for number in range(len(fields))],
        "schedules are numbered from 0",
    )
    wishes = [_read_wish(text, now_s) for text in fields.values()]
    for number, wish in enumerate(wishes):
        if any(wish.overlaps(other) for other in wishes[:number]):
            raise RefusedError("two schedules of the message overlap")
    return wishes


def _read_wish(text: Any, now_s: float) -> Wish:
    _demand(isinstance(text, str), "a schedule is a JSON text")
    try:
        schedule = json.loads(text)
    except ValueError as err:
        raise RefusedError("a schedule is a JSON text") from err
    _demand(
        isinstance(schedule, dict) and schedule.keys() == _SCHEDULE,
        f"a schedule needs exactly {sorted(_SCHEDULE)}",
    )
    policies = POLICIES.get(str(schedule["device_type"]))
    _demand(policies is not None, "there is no such device_type")
    _demand(schedule["policy"] in (policies or ()), "there is no such policy for it")
    for name in ("start_time", "end_time", "site_import", "site_export"):
        value = schedule[name]
        _demand(
            isinstance(value, int) and not isinstance(value, bool) and value >= 0,
            f"{name} is a whole number, not below 0",
        )
    _demand(isinstance(schedule["remove_overlap"], bool), "remove_overlap is a boolean")
    _demand(schedule["start_time"] < schedule["end_time"], "it ends before it starts")
    _demand(schedule["end_time"] > now_s, "it is over")
    return Wish(**schedule)


def _demand(condition: bool, error: str) -> None:
    if not condition:
        raise RefusedError(error)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


class Schedules:
    """What is planned, by id.

    An id is never given twice.
    """

    def __init__(self) -> None:
        """Plan nothing."""
        self._planned: dict[int | str, Wish] = {}
        self._last_id = 4_000

    def add(
        self, wishes: list[Wish], *, text_ids: bool = False
    ) -> tuple[list[int | str], list[int | str]]:
        """Plan all of some schedules, or none; return their ids, and the ids of what they replace.

        New ids are numbers, or texts with `text_ids`. RefusedError where one overlaps with another one that it does not replace.
        """
        replaced = []
        for wish in wishes:
            overlapped = [
                key for key, planned in self._planned.items() if wish.overlaps(planned)
            ]
            if overlapped and not wish.remove_overlap:
                raise RefusedError("it overlaps with another schedule")
            replaced += overlapped
        for key in replaced:
            # One that overlaps with two of the message is named twice
            self._planned.pop(key, None)
        added = []
        for wish in wishes:
            self._last_id += 1
            key = f"schedule-{self._last_id}" if text_ids else self._last_id
            self._planned[key] = wish
            added.append(key)
        return added, list(dict.fromkeys(replaced))

    def planned(self, now_s: float) -> dict[int | str, Wish]:
        """Return what is in force or ahead, by id, and forget what is over."""
        self._planned = {
            key: wish for key, wish in self._planned.items() if wish.end_time > now_s
        }
        return dict(self._planned)

    def clear(self) -> None:
        """Forget all."""
        self._planned.clear()
