"""The metadata calls of the api host: devices and companies."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from .answers import json_answer
from .auth import Authority
from .devices import Devices, merged, skip_hash
from .errors import ApiError, bad_request
from .model import World
from .rate_limit import RateLimiter
from .request_log import RequestLog, current_request
from .shapes import (
    as_bool,
    as_int,
    as_list,
    as_object,
    as_str,
    json_body,
    only_query_keys,
    same_json,
    text_int,
)
from .switches import Switches
from .timestamps import parse_iso_ns

_QUERY_KEYS = frozenset({"skipHash", "fields", "filter", "conditions"})
_NOTHING: frozenset[str] = frozenset()


@dataclass(slots=True)
class DeviceQuery:
    """Which devices are asked for, and what of them.

    filters: by key of the API's `filter` the values of which a device has to have one. conditions: the same by property.
    fields: names of the properties to answer with, None for all.
    """

    filters: dict[str, list[Any]] = field(default_factory=dict)
    conditions: dict[str, list[Any]] = field(default_factory=dict)
    fields: list[str] | None = None
    skip_hash: str | None = None


def _property(name: str) -> Callable[[dict[str, Any]], Any]:
    def value(device: dict[str, Any]) -> Any:
        return _properties(device).get(name)

    return value


def _text_bool(text: str, where: str) -> bool:
    if text not in ("true", "false"):
        raise bad_request(f"{where} has to be true or false")
    return text == "true"


# How each filter is read from JSON, from query parameters, and from a device. Of views and companies of a device
# nothing is documented: the simulator keeps them in properties, and a device without `isActive` is active.
_FILTERS: dict[
    str,
    tuple[
        Callable[[Any, str], Any],
        Callable[[str, str], Any],
        Callable[[dict[str, Any]], Any],
    ],
] = {
    "id": (as_int, text_int, lambda device: device.get("id")),
    "nodeId": (as_str, as_str, _property("nodeId")),
    "nodeType": (as_str, as_str, _property("nodeType")),
    "viewId": (as_int, text_int, _property("viewId")),
    "companyId": (as_int, text_int, _property("companyId")),
    "isActive": (
        as_bool,
        _text_bool,
        lambda device: _properties(device).get("isActive", True),
    ),
}


class MetadataApi:
    """`/v1/device…` and `/v1/company`."""

    def __init__(
        self,
        *,
        world: World,
        devices: Devices,
        authority: Authority,
        limiter: RateLimiter,
        log: RequestLog,
        switches: Switches,
    ) -> None:
        """Answer for the devices of an overlay and the companies of a world."""
        self._world = world
        self._devices = devices
        self._authority = authority
        self._limiter = limiter
        self._log = log
        self._switches = switches

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            web.post("/v1/device/query", self.query),
            web.get("/v1/device", self.older_query, allow_head=False),
            web.get("/v1/company", self.companies, allow_head=False),
            web.put("/v1/device/{id}", self.put),
            web.post("/v1/device/{id}", self.post),
            web.post("/v1/device", self.create),
        ]

    async def query(self, request: web.Request) -> web.Response:
        """Return `{"device": […]}`, or 204 where `skipHash` still matches; 400, 401."""
        self._authorize(request)
        only_query_keys(request)
        body = as_object(
            await json_body(request),
            "The body",
            required=_NOTHING,
            optional=_QUERY_KEYS,
        )
        self._log.keep_body(current_request(), await request.read())
        return self._answer(_parse_query(body))

    async def older_query(self, request: web.Request) -> web.Response:
        """Do the same with query parameters, each of which can stand several times; 400, 401."""
        self._authorize(request)
        only_query_keys(request, *_FILTERS, "fields", "skipHash")
        parameters = request.query
        query = DeviceQuery(skip_hash=parameters.get("skipHash"))
        if "fields" in parameters:
            query.fields = parameters.getall("fields")
        for name, (_, read, _) in _FILTERS.items():
            if name in parameters:
                query.filters[name] = [
                    read(text, name) for text in parameters.getall(name)
                ]
        return self._answer(query)

    async def companies(self, request: web.Request) -> web.Response:
        """Return `{"company": [{"id", "uuid"?, "name"}]}`."""
        self._authorize(request)
        only_query_keys(request)
        return json_answer({"company": list(self._world.companies())})

    async def put(self, request: web.Request) -> web.Response:
        """Edit properties; 200 `{"device": …}`, 400, 401, 403 not editable, 404, 412 changed since.

        With `put_status` set it is refused with that status, and POST takes its place.
        """
        if self._switches.put_status is not None:
            self._authorize(request)
            raise ApiError(self._switches.put_status, "Not here")
        return await self._edit(request)

    async def post(self, request: web.Request) -> web.Response:
        """Edit properties in the older way; 405 as long as PUT is there."""
        if self._switches.put_status is None:
            self._authorize(request)
            raise ApiError(
                405, "Properties are edited with PUT", headers={"Allow": "PUT"}
            )
        return await self._edit(request)

    async def create(self, request: web.Request) -> web.Response:
        """Refuse to create a device: no client of a home has any business with it."""
        self._authorize(request)
        raise ApiError(403, "The user may not create devices")

    def _authorize(self, request: web.Request) -> None:
        self._limiter.refuse_banned(request.remote or "")
        self._authority.require(request, "access")

    def _device(self, request: web.Request) -> dict[str, Any]:
        device = self._devices.get(text_int(request.match_info["id"], "The device id"))
        if device is None:
            raise ApiError(404, "There is no such device")
        return device

    async def _edit(self, request: web.Request) -> web.Response:
        self._authorize(request)
        only_query_keys(request, "mode")
        mode = request.query.get("mode", "legacy")
        if mode not in ("legacy", "merge"):
            raise bad_request("mode has to be merge or legacy")
        device = self._device(request)
        body = as_object(
            await json_body(request), "The body", required=frozenset({"properties"})
        )
        self._log.keep_body(current_request(), await request.read())
        new = body["properties"]
        if not isinstance(new, dict):
            raise bad_request("properties has to be an object")
        _refuse_if_modified(request, device)
        editable = (device.get("userRights") or {}).get("propertyEditabilities") or {}
        if refused := sorted(name for name in new if editable.get(name) is not True):
            raise ApiError(403, f"Not editable: {', '.join(refused)}")
        old = _properties(device)
        changed = merged(old, new) if mode == "merge" else {**old, **new}
        return json_answer(
            {"device": self._devices.replace_properties(device["id"], changed)}
        )

    def _answer(self, query: DeviceQuery) -> web.Response:
        selected = [
            device for device in self._devices.all() if _is_selected(device, query)
        ]
        if query.skip_hash is not None and query.skip_hash == skip_hash(selected):
            return web.Response(status=204)
        if query.fields is not None:
            selected = [_projected(device, query.fields) for device in selected]
        return json_answer({"device": selected})


def _refuse_if_modified(request: web.Request, device: dict[str, Any]) -> None:
    if (header := request.headers.get("If-Unmodified-Since")) is None:
        return
    try:
        since_ns = parse_iso_ns(header)
    except ValueError as err:
        raise bad_request(f"If-Unmodified-Since: {err}") from err
    if parse_iso_ns(device["lastUpdate"]) > since_ns:
        raise ApiError(412, "The device was changed since")


def _parse_query(body: dict[str, Any]) -> DeviceQuery:
    query = DeviceQuery()
    if "skipHash" in body:
        query.skip_hash = as_str(body["skipHash"], "skipHash")
    if "fields" in body:
        query.fields = [
            as_str(item, "fields") for item in as_list(body["fields"], "fields")
        ]
    filters = as_object(
        body.get("filter", {}),
        "filter",
        required=_NOTHING,
        optional=frozenset(_FILTERS),
    )
    for name, value in filters.items():
        read = _FILTERS[name][0]
        values = [value] if name == "isActive" else as_list(value, f"filter.{name}")
        query.filters[name] = [read(item, f"filter.{name}") for item in values]
    conditions = body.get("conditions", {})
    if not isinstance(conditions, dict):
        raise bad_request("conditions has to be an object")
    query.conditions = {
        name: as_list(values, f"conditions.{name}")
        for name, values in conditions.items()
    }
    return query


def _is_selected(device: Any, query: DeviceQuery) -> bool:
    if not isinstance(device, dict):
        return not query.filters and not query.conditions
    return all(
        _is_one_of(_FILTERS[name][2](device), values)
        for name, values in query.filters.items()
    ) and all(
        _is_one_of(_properties(device).get(name), values)
        for name, values in query.conditions.items()
    )


def _is_one_of(value: Any, values: list[Any]) -> bool:
    return any(same_json(value, wanted) for wanted in values)


def _projected(device: Any, fields: list[str]) -> Any:
    if not isinstance(device, dict) or not isinstance(device.get("properties"), dict):
        return device
    return {
        **device,
        "properties": {
            name: device["properties"][name]
            for name in fields
            if name in device["properties"]
        },
    }


def _properties(device: dict[str, Any]) -> dict[str, Any]:
    properties = device.get("properties")
    return properties if isinstance(properties, dict) else {}
