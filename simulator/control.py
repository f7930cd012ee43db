"""The control API: what tests and the demo do to the simulator over HTTP, all JSON, below `/_simulator`.

| call | what it does |
| --- | --- |
| `GET /` | address, tier, accounts, number of points and of the values in them, counters |
| `POST /reset` | forget points, requests, faults, edits, attempts and levels |
| `GET /points` | stored points; filters `database`, `retention_policy`, `measurement`, `field`, `tag.<key>`, `limit` |
| `DELETE /points` | forget them, and the types of their fields |
| `GET /requests` | counters and log; filters `call` (`GET /v1/company`), `path`, `status`, `limit` (the newest) |
| `DELETE /requests` | forget them |
| `GET /faults`, `POST /faults`, `DELETE /faults[/{id}]` | see `Fault` |
| `GET /switches`, `POST /switches` | see `Switches`, and `tier` |
| `GET /accounts`, `POST /accounts/{username}` | `password`, `can_write`, `totp_secret`, `email_otp` |
| `POST /accounts/{username}/revoke` | `{"kind": "access" or "refresh"}`: refuse all such tokens given so far |
| `GET /emails` | codes that were e-mailed; filter `username` |
| `GET /totp/{username}` | the code that the authenticator app shows now |
| `GET /devices` | devices as they are now |
| `PUT /devices/{id}` | put any JSON in the place of a device |
| `PATCH /devices/{id}` | merge `{"properties": …}` without asking for rights, and move `lastUpdate` on |
| `DELETE /devices/{id}`, `POST /devices/{id}/show` | hide a device, and bring it back |
| `/controller` and below, where there is one | see `controller/api.py` |
"""

from dataclasses import asdict, fields
from typing import Any, get_args

from aiohttp import web

from .accounts import WRITER_ROLE, Account
from .answers import json_answer
from .errors import ApiError, bad_request
from .faults import KINDS
from .rate_limit import TIERS
from .service import Service
from .shapes import as_bool, as_int, as_list, as_object, as_str, parse_json, text_int
from .switches import AggregateColumns, Switches
from .timestamps import TimeFormat, iso_ms
from .totp import totp

CONTROL_PREFIX = "/_simulator"

_FAULT_KEYS = frozenset(
    {"method", "status", "message", "retry_after", "delay", "times", "body", "query"}
)
_ACCOUNT_KEYS = frozenset({"password", "can_write", "totp_secret", "email_otp"})
_SWITCH_KEYS = frozenset(item.name for item in fields(Switches))
_SWITCH_CHOICES: dict[str, tuple[Any, ...]] = {
    "put_status": (None, 404, 405),
    "time_format": get_args(TimeFormat.__value__),
    "aggregate_columns": get_args(AggregateColumns.__value__),
}


class ControlApi:
    """The calls of the control API; none of them is logged, limited or struck by faults."""

    def __init__(self, service: Service) -> None:
        """Control a service."""
        self._service = service

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        prefix = CONTROL_PREFIX
        return [
            web.get(f"{prefix}/", self.overview),
            web.post(f"{prefix}/reset", self.reset),
            web.get(f"{prefix}/points", self.points),
            web.delete(f"{prefix}/points", self.clear_points),
            web.get(f"{prefix}/requests", self.requests),
            web.delete(f"{prefix}/requests", self.clear_requests),
            web.get(f"{prefix}/faults", self.faults),
            web.post(f"{prefix}/faults", self.add_fault),
            web.delete(f"{prefix}/faults", self.clear_faults),
            web.delete(f"{prefix}/faults/{{id}}", self.remove_fault),
            web.get(f"{prefix}/switches", self.switches),
            web.post(f"{prefix}/switches", self.set_switches),
            web.get(f"{prefix}/accounts", self.accounts),
            web.post(f"{prefix}/accounts/{{username}}", self.set_account),
            web.post(f"{prefix}/accounts/{{username}}/revoke", self.revoke),
            web.get(f"{prefix}/emails", self.emails),
            web.get(f"{prefix}/totp/{{username}}", self.totp),
            web.get(f"{prefix}/devices", self.devices),
            web.put(f"{prefix}/devices/{{id}}", self.set_device),
            web.patch(f"{prefix}/devices/{{id}}", self.edit_device),
            web.delete(f"{prefix}/devices/{{id}}", self.hide_device),
            web.post(f"{prefix}/devices/{{id}}/show", self.show_device),
        ]

    async def overview(self, request: web.Request) -> web.Response:
        """Return what a person would want to know first."""
        service = self._service
        return json_answer(
            {
                "url": str(request.url.origin()),
                "now": iso_ms(service.clock()),
                "tier": service.tier,
                "accounts": [account.username for account in service.accounts],
                "points": len(service.store),
                "values": service.store.values,
                "batches": service.store.batches,
                "counts": _counts(service),
            }
        )

    async def reset(self, request: web.Request) -> web.Response:
        """Forget everything that `Service.reset` forgets."""
        self._service.reset()
        return _done()

    async def points(self, request: web.Request) -> web.Response:
        """Return `{"total": int, "points": […]}`; `limit` keeps the last ones."""
        query = request.query
        found = self._service.store.points(
            database=query.get("database"),
            retention_policy=query.get("retention_policy"),
            measurement=query.get("measurement"),
            tags={
                name.removeprefix("tag."): value
                for name, value in query.items()
                if name.startswith("tag.")
            },
            field_name=query.get("field"),
        )
        return json_answer(
            {
                "total": len(found),
                "points": [point.as_dict() for point in _last(found, request)],
            }
        )

    async def clear_points(self, request: web.Request) -> web.Response:
        """Forget all points and types."""
        self._service.store.clear()
        return _done()

    async def requests(self, request: web.Request) -> web.Response:
        """Return `{"counts": {call: {status: int}}, "total": int, "requests": […]}`, oldest first."""
        query = request.query
        status = text_int(query["status"], "status") if "status" in query else None
        found = self._service.log.find(
            query.get("call"), path=query.get("path"), status=status
        )
        return json_answer(
            {
                "counts": _counts(self._service),
                "total": len(found),
                "requests": [entry.as_dict() for entry in _last(found, request)],
            }
        )

    async def clear_requests(self, request: web.Request) -> web.Response:
        """Forget all requests and counters."""
        self._service.log.reset()
        return _done()

    async def faults(self, request: web.Request) -> web.Response:
        """Return all faults, those that are used up included."""
        return json_answer(
            {"faults": [fault.as_dict() for fault in self._service.faults]}
        )

    async def add_fault(self, request: web.Request) -> web.Response:
        """Inject a fault and return it."""
        body = as_object(
            parse_json(await request.read()),
            "The fault",
            required=frozenset({"path", "fault"}),
            optional=_FAULT_KEYS,
        )
        if body["fault"] not in KINDS:
            raise bad_request(f"fault has to be one of {', '.join(sorted(KINDS))}")
        as_str(body["path"], "path")
        for name in ("status", "times"):
            if body.get(name) is not None:
                as_int(body[name], name)
        for name in ("retry_after", "delay"):
            if not isinstance(body.get(name) or 0, int | float):
                raise bad_request(f"{name} has to be a number")
        _text_by_text(body.get("query") or {}, "query")
        body = {name: value for name, value in body.items() if value is not None}
        return json_answer(
            self._service.faults.add(
                body.pop("path"), body.pop("fault"), **body
            ).as_dict()
        )

    async def clear_faults(self, request: web.Request) -> web.Response:
        """Clear all faults."""
        self._service.faults.clear()
        return _done()

    async def remove_fault(self, request: web.Request) -> web.Response:
        """Clear one fault."""
        if not self._service.faults.remove(text_int(request.match_info["id"], "id")):
            raise ApiError(404, "There is no such fault")
        return _done()

    async def switches(self, request: web.Request) -> web.Response:
        """Return all switches and the tier."""
        switches = asdict(self._service.switches)
        return json_answer(
            {
                **switches,
                "namespaces": sorted(map(list, switches["namespaces"])),
                "tier": self._service.tier,
            }
        )

    async def set_switches(self, request: web.Request) -> web.Response:
        """Set the switches that are named; namespaces are an array of `[database, retention policy]`."""
        body = as_object(
            parse_json(await request.read()),
            "The body",
            required=frozenset(),
            optional=_SWITCH_KEYS | {"tier"},
        )
        values = {name: self._switch_value(name, value) for name, value in body.items()}
        for name, value in values.items():
            setattr(
                self._service if name == "tier" else self._service.switches,
                name,
                value,
            )
        return await self.switches(request)

    def _switch_value(self, name: str, value: Any) -> Any:
        choices = tuple(TIERS) if name == "tier" else _SWITCH_CHOICES.get(name)
        if choices is not None:
            if value not in choices:
                raise bad_request(
                    f"{name} has to be one of {', '.join(map(str, choices))}"
                )
            return value
        if name == "namespaces":
            pairs = [as_list(pair, name) for pair in as_list(value, name)]
            if any(len(pair) != 2 for pair in pairs):
                raise bad_request(
                    "namespaces are pairs of database and retention policy"
                )
            return {(as_str(pair[0], name), as_str(pair[1], name)) for pair in pairs}
        if name == "refuse_fields":
            return _text_by_text(value, name)
        if isinstance(getattr(self._service.switches, name), bool):
            return as_bool(value, name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise bad_request(f"{name} has to be a number")
        return value

    async def accounts(self, request: web.Request) -> web.Response:
        """Return all accounts, passwords included: there is nothing to protect."""
        return json_answer(
            {"accounts": [_account(account) for account in self._service.accounts]}
        )

    async def set_account(self, request: web.Request) -> web.Response:
        """Change an account: `password` (null: 500 at log-in), `can_write`, `totp_secret` (null: none), `email_otp`."""
        account = self._account(request)
        body = as_object(
            parse_json(await request.read()),
            "The body",
            required=frozenset(),
            optional=_ACCOUNT_KEYS,
        )
        for name in ("password", "totp_secret"):
            if name in body:
                setattr(
                    account,
                    name,
                    None if body[name] is None else as_str(body[name], name),
                )
        if "email_otp" in body:
            account.email_otp = as_bool(body["email_otp"], "email_otp")
        if "can_write" in body:
            account.roles = (
                {WRITER_ROLE} if as_bool(body["can_write"], "can_write") else set()
            )
        return json_answer(_account(account))

    async def revoke(self, request: web.Request) -> web.Response:
        """Refuse all tokens of a kind that an account has been given so far."""
        account = self._account(request)
        body = as_object(
            parse_json(await request.read()), "The body", required=frozenset({"kind"})
        )
        if body["kind"] not in ("access", "refresh"):
            raise bad_request("kind has to be access or refresh")
        self._service.revoke(account.username, body["kind"])
        return _done()

    async def emails(self, request: web.Request) -> web.Response:
        """Return the e-mailed codes, oldest first."""
        username = request.query.get("username")
        return json_answer(
            {
                "emails": [
                    {**asdict(email), "sent": iso_ms(email.sent)}
                    for email in self._service.emails
                    if username in (None, email.username)
                ]
            }
        )

    async def totp(self, request: web.Request) -> web.Response:
        """Return `{"totp": "123456"}`."""
        account = self._account(request)
        if account.totp_secret is None:
            raise ApiError(404, "The account has no authenticator app")
        return json_answer({"totp": totp(account.totp_secret, self._service.clock())})

    async def devices(self, request: web.Request) -> web.Response:
        """Return all devices."""
        return json_answer({"device": self._service.devices.all()})

    async def set_device(self, request: web.Request) -> web.Response:
        """Put any JSON in the place of a device."""
        self._service.devices.set(
            text_int(request.match_info["id"], "id"), parse_json(await request.read())
        )
        return _done()

    async def edit_device(self, request: web.Request) -> web.Response:
        """Merge properties into those of a device."""
        body = as_object(
            parse_json(await request.read()),
            "The body",
            required=frozenset({"properties"}),
        )
        try:
            return json_answer(
                self._service.devices.edit(
                    text_int(request.match_info["id"], "id"), body["properties"]
                )
            )
        except KeyError as err:
            raise ApiError(404, "There is no such device") from err

    async def hide_device(self, request: web.Request) -> web.Response:
        """Hide a device."""
        self._service.devices.hide(text_int(request.match_info["id"], "id"))
        return _done()

    async def show_device(self, request: web.Request) -> web.Response:
        """Bring a hidden device back."""
        self._service.devices.show(text_int(request.match_info["id"], "id"))
        return _done()

    def _account(self, request: web.Request) -> Account:
        account = self._service.accounts.get(request.match_info["username"])
        if account is None:
            raise ApiError(404, "There is no such account")
        return account


def _account(account: Account) -> dict[str, Any]:
    return {
        **asdict(account),
        "roles": sorted(account.roles),
        "can_write": account.can_write,
    }


def _text_by_text(value: Any, where: str) -> dict[str, str]:
    """Return an object whose values are all strings."""
    if not isinstance(value, dict):
        raise bad_request(f"{where} has to be an object")
    return {key: as_str(item, where) for key, item in value.items()}


def _counts(service: Service) -> dict[str, dict[str, int]]:
    return {
        call: {str(status): count for status, count in counter.items()}
        for call, counter in sorted(service.log.counts.items())
    }


def _last[T](found: list[T], request: web.Request) -> list[T]:
    if "limit" not in request.query:
        return found
    limit = text_int(request.query["limit"], "limit")
    return found[-limit:] if limit else []


def _done() -> web.Response:
    return web.Response(status=204)
