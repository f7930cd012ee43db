"""Device metadata: shapes and a parser that takes whatever comes.

The account's roles decide which properties are seen, so every key is optional and none is
trusted to have its type. One bad device costs that device, one bad key that key. What a node is
called is shown, logged and made ids of, so it is cleaned; what it is found by is taken as it is, or not.
"""

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
import hashlib
import math
from typing import Any, Final

from .errors import EnirisResponseError
from .telemetry import is_name, is_queryable_field, is_tag_value
from .transport import LONGEST_NAME, is_plain, label

_LONGEST_LABEL: Final = 100
_SERIES_NAMES: Final = ("database", "retentionPolicy", "measurement")


@dataclass(frozen=True, slots=True)
class SeriesInfo:
    """A series as the metadata of a node announces it, with the fields that it may carry."""

    database: str
    retention_policy: str
    measurement: str
    tags: tuple[tuple[str, str], ...]
    fields: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DeviceInfo:
    """What `info` tells of a node's hardware; powers in W, capacity in Wh."""

    manufacturer: str | None = None
    model: str | None = None
    serial_number: str | None = None
    firmware_version: str | None = None
    nominal_power: float | None = None
    capacity: float | None = None


@dataclass(frozen=True, slots=True)
class Device:
    """A node. `node_id` is its identity; the numeric `id` changes when a node is made anew."""

    node_id: str
    id: int | None = None
    node_type: str | None = None
    name: str | None = None
    last_update: str | None = None
    parents: tuple[str, ...] = ()
    """Node ids in the node's own words; empty where it does not say."""
    children: tuple[str, ...] | None = None
    """Node ids in the node's own words; None where it keeps no list."""
    series: tuple[SeriesInfo, ...] = ()
    info: DeviceInfo = DeviceInfo()
    properties: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """All properties, as received."""
    editable: frozenset[str] = frozenset()
    """Names of the properties that the account may change."""
    monitor_management: bool | None = None
    """Whether the account may manage the node's monitors; None where the service does not say."""


@dataclass(frozen=True, slots=True)
class DeviceList:
    """An answer to a device query."""

    devices: list[Device]
    skipped: int = 0
    """Devices that could not be used: no node id, or not an object at all."""
    skip_hash: str | None = None
    """To be sent with the next query; None where it cannot be computed."""


def parse_devices(body: Any) -> DeviceList:
    """Parse `{"device": […]}`; raises `EnirisResponseError` where that frame is missing."""
    entries = list_in(body, "device")
    parsed = map(_parse_device, entries)
    devices = [device for device in parsed if device is not None]
    return DeviceList(devices, len(entries) - len(devices), skip_hash(entries))


def skip_hash(devices: Sequence[Any]) -> str | None:
    """Return base64 of the SHA-256 over the `lastUpdate` strings, sorted by `id`.

    None where a device lacks one of the two, so that the next query asks for everything.
    """
    stamps: list[tuple[int, str]] = []
    for device in map(_object, devices):
        number, stamp = _integer(device.get("id")), device.get("lastUpdate")
        if number is None or not isinstance(stamp, str):
            return None
        stamps.append((number, stamp))
    digest = hashlib.sha256("".join(stamp for _, stamp in sorted(stamps)).encode())
    return base64.b64encode(digest.digest()).decode()


def list_in(body: Any, key: str) -> list[Any]:
    """Return the list that an answer holds as `key`; raise `EnirisResponseError` if it does not."""
    entries = _object(body).get(key)
    if not isinstance(entries, list):
        raise EnirisResponseError(f"the answer holds no list named {key!r}")
    return entries


def _parse_device(entry: Any) -> Device | None:
    properties = _object(_object(entry).get("properties"))
    node_id = _text(properties.get("nodeId"))
    if node_id is None or not is_plain(node_id):
        return None
    children = properties.get("nodeChildrenIds")
    rights = _object(entry.get("userRights"))
    is_manager = rights.get("monitorManagement")
    return Device(
        node_id=node_id,
        id=_integer(entry.get("id")),
        node_type=_label(properties.get("nodeType")),
        name=_label(properties.get("name")),
        last_update=_text(entry.get("lastUpdate")),
        parents=_texts(properties.get("nodeParentsIds")),
        children=_texts(children) if isinstance(children, list) else None,
        series=_parse_all_series(properties.get("nodeInfluxSeries")),
        info=_parse_info(_object(properties.get("info"))),
        properties=properties,
        editable=frozenset(
            name
            for name, value in _object(rights.get("propertyEditabilities")).items()
            if value is True
        ),
        monitor_management=is_manager if isinstance(is_manager, bool) else None,
    )


def _parse_all_series(value: Any) -> tuple[SeriesInfo, ...]:
    """Return the series that can be asked for; one that is listed twice has both lists' fields."""
    merged: dict[SeriesInfo, dict[str, None]] = {}
    for entry in map(_object, value if isinstance(value, list) else ()):
        names: list[Any] = [entry.get(key) for key in _SERIES_NAMES]
        database, policy, measurement = names
        tags, fields = _object(entry.get("tags")), entry.get("fields")
        texts = [text for tag in tags.items() for text in tag]
        if (
            not isinstance(fields, list)
            or not tags
            or not all(_fits(name, is_name) for name in names)
            # A tag left out would select the series of other nodes too
            or not all(_fits(text, is_tag_value) for text in texts)
        ):
            continue
        series = SeriesInfo(
            database, policy, measurement, tuple(sorted(tags.items())), ()
        )
        merged.setdefault(series, {}).update(
            dict.fromkeys(name for name in fields if _fits(name, is_queryable_field))
        )
    return tuple(
        replace(series, fields=tuple(fields))
        for series, fields in merged.items()
        if fields
    )


def _parse_info(info: Mapping[str, Any]) -> DeviceInfo:
    driver = _object(info.get("protocolDriverParameters"))
    return DeviceInfo(
        manufacturer=_label(info.get("manufacturer")),
        model=_label(info.get("model")),
        serial_number=_label(info.get("serialNumber")),
        firmware_version=_label(driver.get("firmwareVersion")),
        nominal_power=_number(info.get("nomPower_W")),
        capacity=_number(info.get("capacity_Wh")),
    )


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _fits(value: Any, takes: Callable[[str], bool]) -> bool:
    return isinstance(value, str) and len(value) <= LONGEST_NAME and takes(value)


def _text(value: Any) -> str | None:
    """Return a string that says something; a number is taken as its digits."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        return None
    return value.strip() or None


def _label(value: Any) -> str | None:
    """Return a text that is only shown, as `_text` has it, without what would do more than that."""
    text = _text(value)
    return None if text is None else label(text, _LONGEST_LABEL) or None


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        return ()
    texts = map(_text, value)
    return tuple(dict.fromkeys(text for text in texts if text is not None))


def _integer(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None
