"""The part of the control API that is about the controller, below `/_simulator/controller`.

| call | what it does |
| --- | --- |
| `GET` | where its broker is and with which user, what it plans, what it was asked, how it behaves |
| `POST` | `period`, and what `Behaviour` has |
| `PUT /webhook`, `DELETE /webhook` | `{"url", "token", "level"?, "period"?}`: where to post to, see `Webhook` |
| `POST /post` | post once now; returns `{"status"}` |
| `POST /publish` | `{"topic": "live" or "answer", "payload", "times"?, "retain"?}`: any text, `times` over in one message; without `payload` the present |
| `POST /restart` | `{"keep_schedules"}` |
| `POST /connection` | `{"do": "drop", "halt", "resume", "shut" or "open"}`: what happens to all connections |
"""

from dataclasses import asdict, fields
import json
from typing import Any, Final, get_args

import aiohttp
from aiohttp import web

from simulator.answers import json_answer
from simulator.control import CONTROL_PREFIX
from simulator.errors import ApiError, bad_request
from simulator.shapes import as_bool, as_int, as_object, as_str, parse_json

from .controller import (
    Answers,
    Behaviour,
    Level,
    SimulatedController,
    Webhook,
    told_schedules,
)
from .state import DeviceLayout

_BEHAVIOUR: Final = frozenset(item.name for item in fields(Behaviour))
_CHOICES: Final = {
    "answers": get_args(Answers.__value__),
    "layout": get_args(DeviceLayout.__value__),
    "level": get_args(Level.__value__),
    "topic": ("live", "answer"),
}


class ControllerApi:
    """The calls about one controller."""

    def __init__(self, controller: SimulatedController) -> None:
        """Look into a controller, and tell it what to do."""
        self._controller = controller

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        prefix = f"{CONTROL_PREFIX}/controller"
        return [
            web.get(prefix, self.overview),
            web.post(prefix, self.change),
            web.put(f"{prefix}/webhook", self.set_webhook),
            web.delete(f"{prefix}/webhook", self.remove_webhook),
            web.post(f"{prefix}/post", self.post),
            web.post(f"{prefix}/publish", self.publish),
            web.post(f"{prefix}/restart", self.restart),
            web.post(f"{prefix}/connection", self.connection),
        ]

    async def overview(self, request: web.Request) -> web.Response:
        """Return all that is known of the controller, the password included: there is nothing to protect."""
        controller = self._controller
        webhook = controller.webhook
        return json_answer(
            {
                "serial": controller.serial,
                "siteNodeId": controller.site_id,
                "host": controller.host,
                "port": controller.port,
                "username": controller.username,
                "password": controller.password,
                "connections": controller.gate.connections,
                "period": controller.period,
                "webhook": webhook
                and {
                    "url": webhook.url,
                    "level": webhook.level,
                    "period": webhook.period,
                    "statuses": webhook.statuses,
                },
                "live": controller.live_message()["fields"]["state"],
                "schedules": told_schedules(controller.schedules),
                "counts": controller.counts,
                "received": [
                    {
                        "topic": each.topic,
                        "payload": each.payload.decode(errors="replace"),
                    }
                    for each in controller.received
                ],
                **asdict(controller.behaviour),
                "inverted": sorted(controller.behaviour.inverted),
            }
        )

    async def change(self, request: web.Request) -> web.Response:
        """Change how the controller behaves."""
        body = await _body(request, optional=_BEHAVIOUR | {"period"})
        behaviour = self._controller.behaviour
        for name, value in body.items():
            if name == "period":
                self._controller.period = _period(value)
            elif name == "inverted":
                behaviour.inverted = frozenset(value)
            elif name in _CHOICES:
                setattr(behaviour, name, _choice(name, value))
            elif name == "duplicates":
                behaviour.duplicates = as_int(value, name)
            elif name == "error":
                behaviour.error = value
            else:
                setattr(behaviour, name, as_bool(value, name))
        return await self.overview(request)

    async def set_webhook(self, request: web.Request) -> web.Response:
        """Set where to post to."""
        body = await _body(
            request, frozenset({"url", "token"}), frozenset({"level", "period"})
        )
        self._controller.webhook = Webhook(
            as_str(body["url"], "url"),
            as_str(body["token"], "token"),
            _choice("level", body.get("level", "type")),
            _period(body.get("period")),
        )
        return _done()

    async def remove_webhook(self, request: web.Request) -> web.Response:
        """Post no more."""
        self._controller.webhook = None
        return _done()

    async def post(self, request: web.Request) -> web.Response:
        """Post once."""
        if self._controller.webhook is None:
            raise ApiError(404, "There is no webhook")
        try:
            status = await self._controller.post(self._controller.webhook)
        except (aiohttp.ClientError, TimeoutError) as err:
            raise ApiError(502, f"No answer: {type(err).__name__}") from err
        return json_answer({"status": status})

    async def publish(self, request: web.Request) -> web.Response:
        """Publish once."""
        controller = self._controller
        body = await _body(
            request, frozenset({"topic"}), frozenset({"payload", "times", "retain"})
        )
        live = _choice("topic", body["topic"]) == "live"
        if "payload" in body:
            payload = as_str(body["payload"], "payload")
            payload *= as_int(body.get("times", 1), "times")
        else:
            payload = json.dumps(controller.live_message())
        await controller.publish(
            controller.live_topic if live else controller.answer_topic,
            payload,
            retain=as_bool(body.get("retain", False), "retain"),
        )
        return _done()

    async def restart(self, request: web.Request) -> web.Response:
        """Restart the controller."""
        body = await _body(request, frozenset({"keep_schedules"}))
        await self._controller.restart(
            keep_schedules=as_bool(body["keep_schedules"], "keep_schedules")
        )
        return _done()

    async def connection(self, request: web.Request) -> web.Response:
        """Do something to the connections."""
        gate = self._controller.gate
        match (await _body(request, frozenset({"do"})))["do"]:
            case "drop":
                await gate.drop()
            case "halt":
                gate.halt()
            case "resume":
                gate.resume()
            case "shut":
                await gate.shut()
            case "open":
                await gate.open()
            case _:
                raise bad_request("do has to be drop, halt, resume, shut or open")
        return _done()


async def _body(
    request: web.Request,
    required: frozenset[str] = frozenset(),
    optional: frozenset[str] = frozenset(),
) -> dict[str, Any]:
    return as_object(
        parse_json(await request.read()),
        "The body",
        required=required,
        optional=optional,
    )


def _choice(name: str, value: Any) -> Any:
    if value not in _CHOICES[name]:
        raise bad_request(f"{name} has to be one of {', '.join(_CHOICES[name])}")
    return value


def _period(value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
        raise bad_request("period has to be a number of seconds, or null")
    return value


def _done() -> web.Response:
    return web.Response(status=204)
