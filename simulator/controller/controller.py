"""The controller of one site: it tells how things are, and does what it is told."""

import asyncio
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
import json
import secrets
import time
from typing import Any, Final, Literal, NamedTuple, Self

import aiohttp
import aiomqtt

from simulator.world.site import Site
from simulator.world.steering import Order

from .broker import HOST, STRANGER, AnyBroker, Broker
from .gate import Gate
from .schedules import Envelope, RefusedError, Schedules, read_envelope, read_wishes
from .state import DeviceLayout, devices, groups

type Answers = Literal["right", "refuse", "silent"]
type Level = Literal["type", "device"]

USERNAME: Final = "home"
PASSWORD: Final = "demo"  # noqa: S105 - it guards nothing
"""Of the owner of the site."""

OWN_USERNAME: Final = "controller"
_REFUSAL: Final = 400
_POST_TIMEOUT: Final = aiohttp.ClientTimeout(total=10)


class Message(NamedTuple):
    """What somebody else has published."""

    topic: str
    payload: bytes
    retain: bool


@dataclass(slots=True)
class Behaviour:
    """What nobody knows of the real one, and what can go wrong with it.

    answers: whether requests are carried out and acknowledged, refused, or neither (they are lost). unacknowledged: requests
    are carried out, but the acknowledgement is lost. error: what a refusal has as `error`; None for the true reason.
    text_ids: ids of new schedules are texts rather than numbers. inverted: groups whose power has the other sign.
    duplicates: how often each message is published. retain: whether the broker keeps messages. layout, telemetry_names: see
    `devices`. time_as_text: how the webhook's body tells the time.
    """

    answers: Answers = "right"
    unacknowledged: bool = False
    error: Any = None
    text_ids: bool = False
    inverted: frozenset[str] = frozenset()
    duplicates: int = 1
    retain: bool = False
    layout: DeviceLayout = "list"
    telemetry_names: bool = True
    time_as_text: bool = True


@dataclass(slots=True)
class Webhook:
    """Where the controller posts to: every `period` seconds, or when it is told to where that is None."""

    url: str
    token: str
    level: Level = "type"
    period: float | None = None
    statuses: Counter[int | str] = field(default_factory=Counter)
    """How often which status came back; the name of the error where there was none."""


class SimulatedController:
    """The controller of a site, and the broker through which it is reached.

    ```python
    async with SimulatedController(world.sites[0]) as controller:
        settings = MqttSettings(controller.host, controller.port, False, controller.username, controller.password)
        await controller.publish_live()
        await controller.post(Webhook(url, token))
        assert controller.counts["set_schedules"] == 1
    ```

    host, port, tls_port, username, password: what its owner types in; the ports are those of `gate` and `tls_gate`, which can
    drop and halt connections. period: seconds between live messages; None publishes when it is told to. With a clock that
    stands still nothing happens by itself. behaviour, schedules, webhook: can be changed at any time. received: what others
    have published, on whichever topic. counts: the requests among it, by `message_type`; `wrong` for those of the wrong shape.
    """

    host = HOST
    username = USERNAME
    password = PASSWORD

    def __init__(
        self,
        site: Site,
        *,
        broker: AnyBroker | None = None,
        period: float | None = 1.0,
        port: int = 0,
    ) -> None:
        """Control a site; the present is the machine's, as the world's is.

        `broker` has to know the users `home` and `controller`, which is this one; without any it makes one of its own.
        """
        self.site = site
        self.serial = site.serial
        self.site_id = f"{site.serial}_site_0"
        self.period = period
        self.behaviour = Behaviour()
        self.schedules = Schedules()
        self.webhook: Webhook | None = None
        self.received: list[Message] = []
        self.counts: Counter[str] = Counter()
        self.broker: AnyBroker = broker or Broker(
            {
                USERNAME: PASSWORD,
                STRANGER: PASSWORD,
                OWN_USERNAME: secrets.token_hex(16),
            }
        )
        self._port = port
        self._gates: list[Gate] = []
        self._client: aiomqtt.Client | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        """Start."""
        await self.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Stop."""
        await self.stop()

    @property
    def port(self) -> int:
        """Return the port of the broker."""
        return self.gate.port

    @property
    def tls_port(self) -> int:
        """Return the port of the broker's TLS listener; IndexError if it has none."""
        return self.tls_gate.port

    @property
    def gate(self) -> Gate:
        """Return what others reach the broker through."""
        return self._gates[0]

    @property
    def tls_gate(self) -> Gate:
        """Return the same for TLS; IndexError without a TLS listener."""
        return self._gates[1]

    @property
    def live_topic(self) -> str:
        """Return the topic of the live state."""
        return f"standard1/outbound/remoteControlMetrics/feedback/{self.serial}"

    @property
    def request_topic(self) -> str:
        """Return the topic of requests."""
        return f"standard1/rp_one_s/remoteScheduleMetrics/{self.serial}"

    @property
    def answer_topic(self) -> str:
        """Return the topic of answers to them."""
        return f"standard1/outbound/remoteScheduleMetrics/feedback/{self.serial}"

    async def start(self) -> None:
        """Start the broker, and be at work when this returns."""
        await self.broker.start()
        self._gates = [Gate(self.broker.port, self._port)]
        if self.broker.tls_port is not None:
            self._gates.append(Gate(self.broker.tls_port))
        for gate in self._gates:
            await gate.open()
        await self.resume()

    async def stop(self) -> None:
        """Stop, the broker too."""
        await self.pause()
        for gate in self._gates:
            await gate.shut()
        await self.broker.stop()

    async def pause(self) -> None:
        """Neither tell nor listen, as a controller without power; the broker stays. Schedules are kept."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def resume(self) -> None:
        """Be at work again, and have subscribed when this returns."""
        ready = asyncio.Event()
        self._tasks = [
            asyncio.create_task(self._listen(ready)),
            asyncio.create_task(self._tell()),
            asyncio.create_task(self._post_on()),
        ]
        await ready.wait()

    async def restart(self, *, keep_schedules: bool) -> None:
        """Start anew."""
        await self.pause()
        if not keep_schedules:
            self.schedules.clear()
            self._steer()
        await self.resume()

    def live_message(self) -> dict[str, Any]:
        """Return the live message of the present."""
        time_s = int(time.time())
        state = groups(self.site, time_s, self.behaviour.inverted)
        return {
            "time": time_s,
            "fields": {"state": {**state, "vpp_id": ""}, "response_code": 0},
        }

    def webhook_body(self, level: Level) -> dict[str, Any]:
        """Return the body that is posted at present."""
        time_s, behaviour = int(time.time()), self.behaviour
        told: dict[str, Any] = (
            groups(self.site, time_s, behaviour.inverted)
            if level == "type"
            else devices(
                self.site,
                time_s,
                behaviour.layout,
                telemetry_names=behaviour.telemetry_names,
            )
        )
        return {
            "time": str(time_s) if behaviour.time_as_text else time_s,
            "siteNodeId": self.site_id,
            **told,
        }

    async def publish_live(self) -> dict[str, Any]:
        """Publish the present, and return what was published."""
        message = self.live_message()
        await self.publish(self.live_topic, json.dumps(message))
        return message

    async def publish(
        self, topic: str, payload: str | bytes, *, retain: bool | None = None
    ) -> None:
        """Publish anything; the broker has it when this returns. RuntimeError while paused."""
        if self._client is None:
            raise RuntimeError("The controller is not connected")
        for _ in range(self.behaviour.duplicates):
            await self._client.publish(
                topic,
                payload,
                qos=1,
                retain=self.behaviour.retain if retain is None else retain,
            )

    async def post(self, webhook: Webhook, body: bytes | None = None) -> int:
        """Post the present, or any body, and return the status; aiohttp.ClientError and TimeoutError without an answer."""
        async with aiohttp.ClientSession(timeout=_POST_TIMEOUT) as session:
            return await self._post(session, webhook, body)

    async def _post(
        self, session: aiohttp.ClientSession, webhook: Webhook, body: bytes | None
    ) -> int:
        if body is None:
            body = json.dumps(self.webhook_body(webhook.level)).encode()
        headers = {
            "Authorization": f"Bearer {webhook.token}",
            "Content-Type": "application/json",
        }
        async with session.post(webhook.url, data=body, headers=headers) as response:
            webhook.statuses[response.status] += 1
            return response.status

    async def _listen(self, ready: asyncio.Event) -> None:
        """Carry out what is asked, over as many connections as it takes."""
        while True:
            with suppress(aiomqtt.MqttError):
                async with aiomqtt.Client(
                    HOST,
                    self.broker.port,
                    username=OWN_USERNAME,
                    password=self.broker.users[OWN_USERNAME],
                ) as client:
                    await client.subscribe("standard1/#", qos=1)
                    self._client = client
                    ready.set()
                    try:
                        async for message in client.messages:
                            await self._take(message)
                    finally:
                        self._client = None
            await asyncio.sleep(0.1)

    async def _take(self, message: aiomqtt.Message) -> None:
        topic = message.topic.value
        # A wildcard brings back what this one has published itself
        if topic.startswith("standard1/outbound/") or message.retain:
            return
        payload = bytes(message.payload)
        self.received.append(Message(topic, payload, message.retain))
        if topic == self.request_topic:
            await self._carry_out(payload)

    async def _carry_out(self, payload: bytes) -> None:
        envelope: Envelope | None = None
        try:
            envelope = read_envelope(payload, self.site_id, time.time())
            self.counts[envelope.message_type] += 1
            if self.behaviour.answers == "silent":
                return
            data = {"responseCode": 0, "state": self._obey(envelope)}
        except RefusedError as err:
            if self.behaviour.answers != "refuse":
                self.counts["wrong"] += 1
            error = self.behaviour.error or str(err)
            data = {"responseCode": _REFUSAL, "error": error}
        if not self.behaviour.unacknowledged:
            asked = "unknown" if envelope is None else envelope.message_type
            answer = {"data": {"message_type": f"{asked}_ack", **data}}
            await self.publish(self.answer_topic, json.dumps(answer))

    def _obey(self, envelope: Envelope) -> dict[str, Any]:
        """Do what is asked, and return the state that the acknowledgement tells; RefusedError where it cannot be."""
        now_s = time.time()
        if self.behaviour.answers == "refuse":
            raise RefusedError("not now")
        if envelope.message_type == "set_schedules":
            added, replaced = self.schedules.add(
                read_wishes(envelope.fields, now_s), text_ids=self.behaviour.text_ids
            )
            self._steer()
            return {"schedule_ids": added, "deleted_ids": replaced}
        if envelope.fields:
            raise RefusedError("fields is not empty")
        return {"schedules": told_schedules(self.schedules)}

    def _steer(self) -> None:
        """Have the site follow what is planned now, from the next second on: this one is told already."""
        self.site.obey(
            [
                Order(
                    wish.device_type,
                    wish.policy,
                    wish.start_time,
                    wish.end_time,
                    wish.site_import,
                    wish.site_export,
                )
                for wish in self.schedules.planned(time.time()).values()
            ],
            int(time.time()) + 1,
        )

    async def _tell(self) -> None:
        """Publish the live state, period by period."""
        while True:
            if self.period is None:
                await asyncio.sleep(0.1)
                continue
            with suppress(aiomqtt.MqttError, RuntimeError):
                await self.publish_live()
            # With the second, as far as the period allows
            await asyncio.sleep(self.period - time.time() % min(self.period, 1.0))

    async def _post_on(self) -> None:
        """Post to the webhook, period by period."""
        async with aiohttp.ClientSession(timeout=_POST_TIMEOUT) as session:
            while True:
                webhook = self.webhook
                if webhook is None or webhook.period is None:
                    await asyncio.sleep(0.1)
                    continue
                try:
                    await self._post(session, webhook, None)
                except (aiohttp.ClientError, TimeoutError) as err:
                    webhook.statuses[type(err).__name__] += 1
                await asyncio.sleep(webhook.period)


def told_schedules(schedules: Schedules) -> list[dict[str, Any]]:
    """Return what is planned as the controller tells it."""
    return [
        {
            "id": key,
            "device_type": wish.device_type,
            "start_time": wish.start_time,
            "end_time": wish.end_time,
            "policy": wish.policy,
            "site_import": wish.site_import,
            "site_export": wish.site_export,
        }
        for key, wish in schedules.planned(time.time()).items()
    ]
