"""The actions of metadata: read a node, and edit its properties."""

from collections.abc import Mapping
import math
from typing import Any, Final

import voluptuous as vol

from homeassistant.config_entries import ConfigEntryState
from homeassistant.const import ATTR_DEVICE_ID
from homeassistant.core import HomeAssistant, ServiceCall, ServiceResponse
from homeassistant.helpers import config_validation as cv
from homeassistant.util.json import JsonObjectType, JsonValueType

from ..api import (
    BadRequestError,
    Device,
    EnirisConnectionError,
    EnirisResponseError,
    ForbiddenError,
    MethodNotAllowedError,
    NotFoundError,
    PreconditionFailedError,
    ServerError,
)
from ..api.telemetry import parse_time
from ..const import (
    ATTR_CONFIG_ENTRY_ID,
    ATTR_LAST_UPDATE,
    ATTR_NODE_ID,
    ATTR_PROPERTIES,
    DOMAIN,
)
from ..data import EnirisConfigEntry, EnirisData
from ..devices import async_find
from ..errors import failed, invalid
from ..importing.nodes import newest_by_id
from .shared import account, eniris_asked, loaded

NODE_SCHEMA: Final[dict[Any, Any]] = {
    vol.Optional(ATTR_DEVICE_ID): cv.string,
    vol.Optional(ATTR_NODE_ID): cv.string,
    vol.Optional(ATTR_CONFIG_ENTRY_ID): cv.string,
}

GET_DEVICE_SCHEMA: Final = vol.Schema(NODE_SCHEMA)

SET_DEVICE_PROPERTIES_SCHEMA: Final = vol.Schema(
    {
        **NODE_SCHEMA,
        vol.Required(ATTR_PROPERTIES): {cv.string: object},
        vol.Optional(ATTR_LAST_UPDATE): cv.string,
    }
)

_INTEGERS: Final = range(-(2**63), 2**63)
"""What JSON carries everywhere."""

type _Form = type[str | float] | list[_Form] | dict[str, _Form]

_ANY: Final = "*"
_TEXTS: Final[_Form] = [str]
_PROPERTIES: Final[dict[str, _Form]] = {
    "nodeId": str,
    "nodeType": str,
    "name": str,
    "nodeParentsIds": _TEXTS,
    "nodeChildrenIds": _TEXTS,
    "nodeInfluxSeries": [
        {
            "database": str,
            "measurement": str,
            "retentionPolicy": str,
            "tags": {_ANY: str},
            "fields": _TEXTS,
        }
    ],
    "info": {
        "manufacturer": str,
        "model": str,
        "serialNumber": str,
        "nomPower_W": float,
        "capacity_Wh": float,
        "protocolDriverParameters": {"firmwareVersion": str},
    },
}
"""The forms of the properties that every node may have; others are free."""

_KINDS: Final[dict[type, tuple[Any, str]]] = {
    str: (str, "property_not_text"),
    float: (int | float, "property_not_number"),
    list: (list | tuple, "property_not_list"),
    dict: (Mapping, "property_not_mapping"),
}
"""By what a form is made of: what a value of it is, and the error of one that is not."""


def addressed_node(call: ServiceCall) -> tuple[EnirisConfigEntry, str]:
    """Return account and node id of what a call names, by its device or its node id.

    Raises `ServiceValidationError` for anything but one node of one account that is loaded.
    """
    device_id: str | None = call.data.get(ATTR_DEVICE_ID)
    node_id: str | None = call.data.get(ATTR_NODE_ID)
    if (device_id is None) == (node_id is None):
        raise invalid("device_or_node")
    entry_id = call.data.get(ATTR_CONFIG_ENTRY_ID)
    wanted = None if entry_id is None else account(call.hass, entry_id)
    if node_id is not None:
        return wanted or _account_of(call.hass, node_id), node_id
    found = [
        (entry, node_id)
        for entry, node_id in async_find(call.hass, device_id or "", "node")
        if wanted in (None, entry)
    ]
    if not found:
        raise invalid("not_a_node")
    entry, node_id = min(
        found, key=lambda each: each[0].state is not ConfigEntryState.LOADED
    )
    return loaded(entry), node_id


def _account_of(hass: HomeAssistant, node_id: str) -> EnirisConfigEntry:
    """Return the account that lists a node; a single account may have it since lately."""
    entries: list[EnirisConfigEntry] = hass.config_entries.async_entries(DOMAIN)
    running = [entry for entry in entries if entry.state is ConfigEntryState.LOADED]
    listing = [
        entry for entry in running if node_id in entry.runtime_data.nodes.data.listed
    ]
    if len(listing) > 1:
        raise invalid("node_of_several_accounts", node=node_id)
    if not listing and len(running) > 1:
        raise invalid("no_such_node", node=node_id)
    found = listing or running or entries
    return account(hass, found[0].entry_id if found else None)


async def get_device(call: ServiceCall) -> ServiceResponse:
    """Return a node's metadata as the service has it now."""
    entry, node_id = addressed_node(call)
    return _as_response(entry, await _device(entry, entry.runtime_data, node_id))


async def _device(entry: EnirisConfigEntry, data: EnirisData, node_id: str) -> Device:
    """Ask for one node."""
    with eniris_asked(entry, data.nodes):
        answer = await data.session.query_devices(filter={"nodeId": [node_id]})
    device = None if answer is None else newest_by_id(answer.devices).get(node_id)
    if device is None:
        raise invalid("no_such_node", node=node_id)
    return device


def _as_response(entry: EnirisConfigEntry, device: Device) -> JsonObjectType:
    editable: list[JsonValueType] = [*sorted(device.editable)]
    return {
        ATTR_CONFIG_ENTRY_ID: entry.entry_id,
        ATTR_NODE_ID: device.node_id,
        "id": device.id,
        "type": device.node_type,
        "name": device.name,
        ATTR_LAST_UPDATE: device.last_update,
        ATTR_PROPERTIES: dict(device.properties),
        "editable": editable,
        "monitor_management": device.monitor_management,
    }


async def set_device_properties(call: ServiceCall) -> ServiceResponse:
    """Edit properties that the account may edit, unless somebody else has edited the node meanwhile."""
    properties: Any = _as_json(ATTR_PROPERTIES, call.data[ATTR_PROPERTIES], _PROPERTIES)
    if not properties:
        raise invalid("no_properties")
    last_update: str | None = call.data.get(ATTR_LAST_UPDATE)
    if last_update is not None:
        # As a time looks that stood in YAML without quotes
        last_update = last_update.strip().replace(" ", "T", 1)
        if parse_time(last_update) is None:
            raise invalid("invalid_last_update", value=last_update)
    entry, node_id = addressed_node(call)
    # The entry has none any more if the account is unloaded in the middle of this
    data = entry.runtime_data
    device = await _device(entry, data, node_id)
    _check_rights(device, properties)
    changed = await _edit(
        entry, data, device, properties, last_update or device.last_update
    )
    # So that a new name is seen at once
    await data.nodes.async_request_refresh()
    if not call.return_response:
        return None
    return _as_response(entry, changed or await _device(entry, data, node_id))


def _check_rights(device: Device, properties: Mapping[str, Any]) -> None:
    """Refuse what the account may not edit before anything is sent."""
    refused = sorted(properties.keys() - device.editable)
    if not refused:
        return
    names = ", ".join(refused)
    if not device.editable:
        raise invalid("nothing_editable", node=device.node_id)
    raise invalid(
        "not_editable",
        node=device.node_id,
        properties=names,
        editable=", ".join(sorted(device.editable)),
    )


async def _edit(
    entry: EnirisConfigEntry,
    data: EnirisData,
    device: Device,
    properties: Mapping[str, Any],
    last_update: str | None,
) -> Device | None:
    """Send an edit; return what the service then has, None where it does not show it."""
    if device.id is None:
        raise failed("no_device_number", node=device.node_id)
    with eniris_asked(entry, data.nodes):
        try:
            return await data.session.update_device(
                device.id, properties, if_unmodified_since=last_update
            )
        except PreconditionFailedError as err:
            raise failed("device_changed", node=device.node_id) from err
        except (
            BadRequestError,
            ForbiddenError,
            NotFoundError,
            MethodNotAllowedError,
        ) as err:
            raise failed("edit_refused", node=device.node_id, error=str(err)) from err
        except (EnirisConnectionError, EnirisResponseError, ServerError) as err:
            raise failed("edit_unknown", node=device.node_id, error=str(err)) from err


def _as_json(path: str, value: Any, form: _Form | None = None) -> JsonValueType:
    """Return a value as JSON has it.

    Raises `ServiceValidationError`, which names the place, for what JSON lacks and what is not of the `form`.
    """
    if form is not None:
        kinds, error = _KINDS[form if isinstance(form, type) else type(form)]
        if isinstance(value, bool) or not isinstance(value, kinds):
            raise invalid(error, path=path, value=f"{value!s:.100}")
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        # Templates and YAML have kinds of their own
        return str(value)
    if isinstance(value, int) and value in _INTEGERS:
        return int(value)
    if isinstance(value, float) and math.isfinite(value):
        return float(value)
    if isinstance(value, list | tuple):
        each = form[0] if isinstance(form, list) else None
        return [
            _as_json(f"{path}[{index}]", item, each) for index, item in enumerate(value)
        ]
    if isinstance(value, Mapping):
        forms = form if isinstance(form, dict) else {}
        wrong_keys = [key for key in value if not isinstance(key, str)]
        if not wrong_keys:
            return {
                str(key): _as_json(
                    f"{path}.{key}", item, forms.get(key, forms.get(_ANY))
                )
                for key, item in value.items()
            }
        value = wrong_keys[0]
    raise invalid("not_json", path=path, value=f"{value!s:.100}")
