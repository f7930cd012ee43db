"""The devices as the service holds them: those of the world, and what was done to them since."""

import base64
from collections.abc import Callable, Iterable
import copy
from datetime import datetime
import hashlib
from typing import Any

from .model import World
from .timestamps import NS_PER_MS, datetime_to_ns, format_ns, parse_iso_ns


class Devices:
    """An overlay over a world, which itself never changes.

    A device that was edited stays as it was edited; of one that was not, the world tells.
    """

    def __init__(self, world: World, clock: Callable[[], datetime]) -> None:
        """Start with what the world has."""
        self._world = world
        self._clock = clock
        self._overlay: dict[Any, Any] = {}
        self._hidden: set[Any] = set()
        self._added: list[Any] = []

    def all(self) -> list[Any]:
        """Return all devices in the API's shape; those that tests have set can be anything."""
        world = [
            device
            for device in self._world.devices(self._clock())
            if device["id"] not in self._hidden
        ]
        return [
            self._overlay.get(device["id"], device) for device in world
        ] + self._added

    def get(self, device_id: int) -> dict[str, Any] | None:
        """Return the device with an id."""
        for device in self.all():
            if isinstance(device, dict) and device.get("id") == device_id:
                return device
        return None

    def by_node_id(self, node_id: str) -> dict[str, Any]:
        """Return the device of a node; KeyError if there is none."""
        for device in self.all():
            if isinstance(device, dict) and isinstance(
                properties := device.get("properties"), dict
            ):
                if properties.get("nodeId") == node_id:
                    return device
        raise KeyError(node_id)

    def set(self, device_id: int, device: Any) -> None:
        """Put anything at all, valid or not, in the place of a device; `lastUpdate` is left to the caller."""
        for index, added in enumerate(self._added):
            if isinstance(added, dict) and added.get("id") == device_id:
                self._added[index] = device
                return
        self._overlay[device_id] = device

    def add(self, device: Any) -> None:
        """Add something, valid or not, to the devices of the world."""
        self._added.append(device)

    def hide(self, device_id: int) -> None:
        """Take a device away, as if the account had lost sight of it."""
        self._hidden.add(device_id)
        self._added = [
            added
            for added in self._added
            if not (isinstance(added, dict) and added.get("id") == device_id)
        ]

    def show(self, device_id: int) -> None:
        """Bring a hidden device of the world back."""
        self._hidden.discard(device_id)

    def edit(self, device_id: int, properties: dict[str, Any]) -> dict[str, Any]:
        """Merge properties into those of a device without asking for rights; KeyError if there is none."""
        if (device := self.get(device_id)) is None:
            raise KeyError(device_id)
        return self.replace_properties(
            device_id, merged(device["properties"], properties)
        )

    def rename(self, device_id: int, name: str) -> dict[str, Any]:
        """Give a device another name."""
        return self.edit(device_id, {"name": name})

    def replace_properties(
        self, device_id: int, properties: dict[str, Any]
    ) -> dict[str, Any]:
        """Store new properties and move `lastUpdate` on, by a millisecond at the least."""
        if (device := self.get(device_id)) is None:
            raise KeyError(device_id)
        edited = {
            **copy.deepcopy(device),
            "properties": copy.deepcopy(properties),
            "lastUpdate": self._touch(device),
        }
        self.set(device_id, edited)
        return edited

    def reset(self) -> None:
        """Undo everything that was done to the devices."""
        self._overlay.clear()
        self._hidden.clear()
        self._added.clear()

    def _touch(self, device: dict[str, Any]) -> str:
        now_ns = datetime_to_ns(self._clock())
        try:
            earliest_ns = parse_iso_ns(device["lastUpdate"]) + NS_PER_MS
        except (KeyError, TypeError, ValueError):
            earliest_ns = now_ns
        return str(
            format_ns(max(now_ns, earliest_ns) // NS_PER_MS * NS_PER_MS, "iso_ms")
        )


def merged(old: Any, new: Any) -> Any:
    """Merge JSON: objects key by key and recursively, anything else is replaced."""
    if not isinstance(old, dict) or not isinstance(new, dict):
        return copy.deepcopy(new)
    return {**old, **{key: merged(old.get(key), value) for key, value in new.items()}}


def skip_hash(devices: Iterable[Any]) -> str:
    """Return base64 of the SHA-256 over the `lastUpdate` strings of devices, sorted by `id` and joined by nothing."""
    known = [
        device
        for device in devices
        if isinstance(device, dict)
        and isinstance(device.get("id"), int)
        and isinstance(device.get("lastUpdate"), str)
    ]
    text = "".join(
        device["lastUpdate"]
        for device in sorted(known, key=lambda device: device["id"])
    )
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
