"""What the controller tells, over MQTT and by webhook, and what can happen to its connections."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
import json
from pathlib import Path
import ssl
from typing import Any

import aiohttp
from aiohttp import web
import aiomqtt
from freezegun.api import FrozenDateTimeFactory
import pytest

from simulator.controller import Broker, SimulatedController
from simulator.controller.api import ControllerApi
from simulator.controller.broker import STRANGER
from simulator.controller.certificate import write_certificate
from simulator.controller.controller import Level, Webhook
from simulator.model import SeriesKey
from simulator.server import Simulator
from simulator.world import FleetWorld, HomeWorld

from .conftest import Owner, eventually, schedule


def client(controller: SimulatedController, **changed: Any) -> aiomqtt.Client:
    """Return a client of the controller's owner."""
    settings: dict[str, Any] = {
        "port": controller.port,
        "username": controller.username,
        "password": controller.password,
        "timeout": 1,
    } | changed
    return aiomqtt.Client(controller.host, **settings)


async def test_live_values_are_those_of_telemetry(
    controller: SimulatedController,
    owner: Owner,
    world: HomeWorld,
    freezer: FrozenDateTimeFactory,
) -> None:
    """At the same second, by whichever way they are asked."""
    freezer.move_to("2026-07-01T10:20:30Z")
    await controller.publish_live()
    told = await owner.next(controller.live_topic)
    now_s = int(datetime(2026, 7, 1, 10, 20, 30, tzinfo=UTC).timestamp())
    assert told["time"] == now_s
    assert told["fields"]["response_code"] == 0
    state = told["fields"]["state"]
    assert state.keys() == {
        "grid",
        "solar",
        "storage",
        "heat_pump",
        "variable_power_load",
        "vpp_id",
    }

    def telemetry(node_id: str, measurement: str, field: str) -> Any:
        key = SeriesKey(world.DATABASE, "rp_one_s", measurement, (("nodeId", node_id),))
        (row,) = world.rows(key, frozenset({field}), 1000 * now_s, 1000 * now_s + 1000)
        return row.fields[field]

    power = "actualPowerTot_W"
    assert state["grid"]["active_power_W"] == telemetry(
        world.GRID_METER, "submeteringMetrics", power
    )
    assert state["storage"]["active_power_W"] == telemetry(
        world.BATTERY, "batteryMetrics", power
    )
    assert state["storage"]["mean_soc_perc"] == 100 * telemetry(
        world.BATTERY, "batteryMetrics", "stateOfCharge_frac"
    )
    assert state["solar"]["active_power_W"] == telemetry(
        world.SITE, "installationMetrics", "childrenProducedPower_W"
    )
    assert state["grid"]["export_limit_W"] == telemetry(
        world.SITE, "installationMetrics", "exportLimit_W"
    )
    midnight = datetime(2026, 6, 30, 22, tzinfo=UTC)
    now = datetime(2026, 7, 1, 10, 20, tzinfo=UTC)
    assert state["grid"]["today_imported_energy_Wh"] == pytest.approx(
        world.truth_energy_wh(
            world.GRID_METER, "importedEnergyDeltaTot_Wh", midnight, now
        ),
        abs=20,
    )


async def test_groups_follow_what_is_there() -> None:
    seen: set[str] = set()
    for site in FleetWorld(12).sites:
        controller = SimulatedController(site)
        groups = controller.live_message()["fields"]["state"].keys() - {"vpp_id"}
        types = {node.properties["nodeType"] for node in site.nodes}
        assert ("storage" in groups) is ("battery" in types)
        assert ("switched_load" in groups) is bool({"boiler", "switchedLoad"} & types)
        seen |= groups
    assert "switched_load" in seen


async def test_it_publishes_each_second(socket_enabled: None, world: HomeWorld) -> None:
    async with (
        SimulatedController(world.sites[0]) as controller,
        client(controller, timeout=5) as owner,
    ):
        await owner.subscribe(controller.live_topic, qos=1)
        times = []
        async for message in owner.messages:
            assert isinstance(message.payload, bytes)
            times.append(json.loads(message.payload)["time"])
            if len(times) == 3:
                break
        assert times == [times[0], times[0] + 1, times[0] + 2]


async def test_signs_can_differ(controller: SimulatedController) -> None:
    before = controller.live_message()["fields"]["state"]
    controller.behaviour.inverted = frozenset({"grid", "absent"})
    after = controller.live_message()["fields"]["state"]
    assert after["grid"]["active_power_W"] == -before["grid"]["active_power_W"] != 0
    assert after["solar"] == before["solar"]


async def test_log_in(
    controller: SimulatedController, caplog: pytest.LogCaptureFixture
) -> None:
    for changed in ({"password": "wrong"}, {"username": None}, {"username": "nobody"}):
        with pytest.raises(aiomqtt.MqttError):
            async with client(controller, **changed):
                pass
    async with client(controller, username=STRANGER) as stranger:
        (code,) = await stranger.subscribe(controller.live_topic)
        assert code.is_failure  # type: ignore[union-attr]
        await stranger.publish(controller.request_topic, b"not carried out", qos=1)
    assert not controller.received
    assert not [each for each in caplog.records if each.name.startswith("amqtt")]


async def test_tls(socket_enabled: None, world: HomeWorld, tmp_path: Path) -> None:
    certificate = write_certificate(tmp_path)
    broker = Broker({"home": "demo", "controller": "secret"}, certificate=certificate)
    async with SimulatedController(world.sites[0], broker=broker) as controller:
        context = ssl.create_default_context(cafile=certificate[0])
        port = controller.tls_port
        async with client(controller, port=port, tls_context=context, timeout=5):
            pass
        with pytest.raises(aiomqtt.MqttError):
            async with client(
                controller, port=port, tls_context=ssl.create_default_context()
            ):
                pass


async def test_retained_and_duplicate_messages(
    controller: SimulatedController, owner: Owner
) -> None:
    controller.behaviour.duplicates = 2
    controller.behaviour.retain = True
    told = await controller.publish_live()
    assert await owner.next(controller.live_topic) == told
    assert await owner.next(controller.live_topic) == told
    async with client(controller) as late:
        await late.subscribe(controller.live_topic)
        message = await anext(late.messages)
        assert message.retain
        assert isinstance(message.payload, bytes)
        assert json.loads(message.payload) == told


async def test_large_messages(controller: SimulatedController) -> None:
    async with client(controller, timeout=10) as owner:
        await owner.subscribe(controller.live_topic, qos=1)
        await controller.publish(controller.live_topic, "x" * (1 << 20))
        message = await anext(owner.messages)
        assert isinstance(message.payload, bytes)
        assert len(message.payload) == 1 << 20


async def test_what_else_is_published_is_seen(
    controller: SimulatedController, owner: Owner
) -> None:
    async with client(controller) as other:
        await other.publish("standard1/rp_one_s/anything", b"1", qos=1)
    await owner.ask("get_future_schedules", {})
    assert [message.topic for message in controller.received] == [
        "standard1/rp_one_s/anything",
        controller.request_topic,
    ]


async def test_connections_can_end_and_hang(controller: SimulatedController) -> None:
    gate, port = controller.gate, controller.port
    async with client(controller) as owner:
        assert gate.connections == 1
        gate.halt()
        with pytest.raises(aiomqtt.MqttError):
            await owner.publish("standard1/x", b"", qos=1)
        gate.resume()
        await owner.publish("standard1/x", b"", qos=1)
        await gate.drop()
        assert not gate.connections
        with pytest.raises(aiomqtt.MqttError):
            await anext(owner.messages)
    await gate.shut()
    with pytest.raises(aiomqtt.MqttError):
        async with client(controller):
            pass
    await gate.open()
    assert controller.port == port
    async with client(controller):
        pass


async def test_the_broker_can_restart(controller: SimulatedController) -> None:
    """Nobody who says nothing keeps it from that, and the controller comes back by itself."""
    silent, writer = await asyncio.open_connection(controller.host, controller.port)
    async with asyncio.timeout(5):
        await controller.broker.stop()
        assert await silent.read() == b""
    writer.close()
    await controller.broker.start()
    async with client(controller) as owner:
        await owner.subscribe(controller.live_topic, qos=1)
        async with asyncio.timeout(5):
            while True:
                try:
                    await controller.publish_live()
                    break
                except (RuntimeError, aiomqtt.MqttError):
                    await asyncio.sleep(0.05)
        await anext(owner.messages)


async def test_a_paused_controller_is_silent(controller: SimulatedController) -> None:
    await controller.pause()
    with pytest.raises(RuntimeError):
        await controller.publish_live()


@pytest.fixture
async def posts(socket_enabled: None) -> Any:
    """Return what has been posted to an address, and the address: headers and body."""
    received: list[tuple[str, Any]] = []

    async def take(request: web.Request) -> web.Response:
        received.append((request.headers["Authorization"], await request.json()))
        return web.Response(status=200)

    app = web.Application()
    app.router.add_post("/hook", take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield received, f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    await runner.cleanup()


async def test_webhook(controller: SimulatedController, posts: Any) -> None:
    received, url = posts
    webhook = Webhook(url, "token")
    assert await controller.post(webhook) == 200
    authorization, body = received[0]
    assert authorization == "Bearer token"
    assert body["siteNodeId"] == controller.site_id
    assert body["time"].isdecimal()
    assert body["grid"].keys() == {
        "active_power_W",
        "today_imported_energy_Wh",
        "today_exported_energy_Wh",
        "import_limit_W",
        "export_limit_W",
    }
    controller.webhook = Webhook(url, "token", period=0.02)
    await eventually(lambda: len(received) == 4)
    assert controller.webhook.statuses[200] >= 3
    controller.webhook.url = "http://127.0.0.1:1/"
    statuses = controller.webhook.statuses
    await eventually(lambda: statuses["ClientConnectorError"] > 0)


@pytest.mark.parametrize(
    ("layout", "nodes"),
    [
        ("list", lambda body: {each["nodeId"]: each for each in body["nodes"]}),
        ("object", lambda body: body["nodes"]),
        ("beside", lambda body: body),
    ],
)
async def test_device_level(
    controller: SimulatedController,
    world: HomeWorld,
    layout: Any,
    nodes: Callable[[Any], Any],
) -> None:
    level: Level = "device"
    controller.behaviour.layout = layout
    body = controller.webhook_body(level)
    assert body["siteNodeId"] == controller.site_id
    told = nodes(body)[world.BATTERY]
    assert {"actualPowerTot_W", "stateOfCharge_frac"} <= told.keys()
    controller.behaviour.telemetry_names = False
    told = nodes(controller.webhook_body(level))[world.BATTERY]
    assert told.keys() - {"nodeId"} == {"active_power_W"}


async def test_control_api(
    controller: SimulatedController, owner: Owner, posts: Any, world: HomeWorld
) -> None:
    simulator = Simulator(world)
    simulator.control_parts.append(ControllerApi(controller))
    received, url = posts
    async with simulator, aiohttp.ClientSession() as session:
        base = f"{simulator.url}/_simulator/controller"

        async def call(method: str, path: str, body: Any = None) -> Any:
            async with session.request(method, base + path, json=body) as response:
                if response.status == 204:
                    return None
                answer = await response.json()
                return response.status if response.status >= 400 else answer

        await owner.plan(schedule())
        overview = await call("GET", "")
        assert overview["port"] == controller.port
        assert overview["connections"] == 1
        assert overview["counts"] == {"set_schedules": 1}
        assert len(overview["schedules"]) == 1
        assert await call("POST", "/post") == 404
        await call("PUT", "/webhook", {"url": url, "token": "t", "level": "device"})
        assert await call("POST", "/post") == {"status": 200}
        assert "nodes" in received[0][1]
        assert (await call("GET", ""))["webhook"]["statuses"] == {"200": 1}
        await call("DELETE", "/webhook")
        assert controller.webhook is None
        changed = await call(
            "POST",
            "",
            {
                "period": None,
                "inverted": ["grid"],
                "answers": "refuse",
                "duplicates": 1,
                "error": {"x": 1},
                "unacknowledged": False,
            },
        )
        assert changed["inverted"] == ["grid"]
        assert controller.behaviour.answers == "refuse"
        assert (await owner.plan(schedule()))["error"] == {"x": 1}
        for wrong in ({"answers": "x"}, {"period": 0}, {"period": "1"}, {"retain": 1}):
            assert await call("POST", "", wrong) == 400
        await call("POST", "/publish", {"topic": "live", "payload": "12", "times": 3})
        assert await owner.next(controller.live_topic) == 121212
        await call("POST", "/publish", {"topic": "live"})
        assert "fields" in await owner.next(controller.live_topic)
        await call("POST", "/restart", {"keep_schedules": False})
        assert (await call("GET", ""))["schedules"] == []
        for action in ("halt", "resume", "drop", "shut", "open"):
            await call("POST", "/connection", {"do": action})
        assert await call("POST", "/connection", {"do": "x"}) == 400
        assert not controller.gate.connections
