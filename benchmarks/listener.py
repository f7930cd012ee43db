"""What a change of state costs, beside other integrations: `python -m benchmarks.listener`.

A Home Assistant with 10,000 entities. 1,000 are followed, 1,000 others are their twins: the same kinds, which change as
often and which nobody follows. They take turns: for four seconds all followed ones change once a second, then all twins, and
after each there is time until the last value has been stored. What a turn of the followed costs more than that of their twins
right after it is what the integration adds; the median of these differences is shown. So each is compared with the same
Home Assistant seconds later, and what the machine does meanwhile is in both.

The entities are followed by ten exports of an account, by `influxdb` with a list of the same entities, and by `energyid`,
where Home Assistant has it, with a subentry for each. All three are set up as a user would, send to servers that are
processes of their own, and nothing of them is replaced. As in every home, somebody listens to all events (the recorder
does) and somebody follows one entity (an automation does).

Two costs are shown, both in processor time, since that depends least on what else the machine does:

*Event loop*: all that its thread computes, from the change of state until the last of them has been stored. That
includes what was put off: writing to disk, merging and uploads, as far as they are done there.

*All threads*: what the process computes, which is what a small machine feels, and the event loop as well: while a
thread runs Python, the loop cannot. `influxdb` does all but to hand over its events in such a thread.

`energyid` uploads once a minute, by its own default, and only the last value of each entity; none of that happens
while it is measured. The other two send every value. Of this integration's own costs each has a goal.

What a change costs that nobody follows is measured with the twins alone, while the account is set up and while it is
unloaded, in turns as well.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
import gc
from importlib.util import find_spec
from itertools import batched
import math
from operator import attrgetter
import os
import statistics
from tempfile import TemporaryDirectory
import time
from types import MappingProxyType
from typing import Any, Final, Self
from unittest import mock

import aiohttp
from pytest_homeassistant_custom_component.common import (
    MockConfigEntry,
    async_test_home_assistant,
)
from yarl import URL

from custom_components.eniris.const import CONF_IMPORT, CONF_INTERVAL, SUBENTRY_EXPORT
from homeassistant import loader
from homeassistant.config import async_hass_config_yaml
from homeassistant.config_entries import ConfigSubentry
from homeassistant.const import MATCH_ALL
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers import entity_registry as er, frame
from homeassistant.helpers.event import async_track_state_change_event
from homeassistant.setup import async_setup_component
from homeassistant.util.yaml import save_yaml
from scripts.demo.processes import free_port

from . import report
from .measure import server, simulator
from .poll import add_account
from .report import Effort, Figure, Goal

_ENTITIES: Final = 10_000
_FOLLOWED: Final = 1_000
_EXPORTS: Final = 10
_PAIRS: Final = 9
_PAIRS_UNFOLLOWED: Final = 5
_ROUNDS: Final = 4
"""Seconds of a turn, in each of which every entity changes once: an upload a second is in the cost, not one more for its end."""
_TICK: Final = 0.02
"""Seconds between two batches of changes, as an integration makes them after a poll."""
_SETTLE: Final = 2.0
"""Seconds after which the last value of a turn is stored."""


@dataclass(frozen=True, slots=True)
class _Kind:
    """A kind of sensor: what its states look like, and the end of its field's name."""

    device_class: str
    unit: str
    state_class: str
    suffix: str
    format: str

    def attributes(self, number: int) -> dict[str, Any]:
        return {
            "state_class": self.state_class,
            "unit_of_measurement": self.unit,
            "device_class": self.device_class,
            "friendly_name": f"Cabinet {number // 10} {self.device_class}",
        }


_KINDS: Final = (
    _Kind("power", "kW", "measurement", "W", "{:.3f}"),
    _Kind("power", "W", "measurement", "W", "{:.0f}"),
    _Kind("energy", "kWh", "total_increasing", "Wh", "{:.3f}"),
    _Kind("battery", "%", "measurement", "frac", "{:.2f}"),
    _Kind("temperature", "°C", "measurement", "degC", "{:.2f}"),
)


@dataclass(frozen=True, slots=True)
class _Entity:
    """An entity of the home."""

    number: int

    @property
    def kind(self) -> _Kind:
        return _KINDS[self.number // 10 % len(_KINDS)]

    @property
    def id(self) -> str:
        return (
            f"sensor.cabinet_{self.number // 10}_{self.kind.device_class}_{self.number}"
        )

    def state(self, turn: int) -> str:
        """Return a state that differs from that of the turn before."""
        return self.kind.format.format(self.number % 50 + turn)


@dataclass(frozen=True, slots=True)
class _Servers:
    """Addresses of what is sent to."""

    simulator: str
    sink: str


@dataclass(frozen=True, slots=True)
class _Cost:
    """Microseconds of processor time."""

    loop: float
    process: float

    def __sub__(self, other: Self) -> "_Cost":
        return _Cost(self.loop - other.loop, self.process - other.process)

    @classmethod
    def median(cls, costs: Sequence["_Cost"], changes: int) -> "_Cost":
        """Return the median of what so many changes cost, for each of them."""
        return cls(
            statistics.median(cost.loop for cost in costs) / changes,
            statistics.median(cost.process for cost in costs) / changes,
        )


type _Check = Callable[[int], Coroutine[Any, Any, None]]
"""Makes sure that so many changes of the followed entities, since it was asked last, have been dealt with."""

type _Follower = Callable[
    [HomeAssistant, _Servers, Sequence[_Entity]], AbstractAsyncContextManager[_Check]
]


@asynccontextmanager
async def _eniris(
    hass: HomeAssistant, servers: _Servers, entities: Sequence[_Entity]
) -> AsyncIterator[_Check]:
    """Follow by exports of an account, which reads nothing meanwhile."""
    entry = await add_account(hass, servers.simulator)
    hass.config_entries.async_update_entry(
        entry, options={CONF_IMPORT: {CONF_INTERVAL: 3600}}
    )
    registry = er.async_get(hass)
    for number, some in enumerate(
        batched(entities, len(entities) // _EXPORTS, strict=False)
    ):
        data = {
            "collector": "demo-ingress",
            "database": "demo",
            "retention_policy": "rp_one_s",
            "measurement": "submeteringMetrics",
            "tags": {"serialNr": f"cabinet-{number}"},
            "mode": "change",
            "fields": [
                {
                    "entity": registry.entities[entity.id].id,
                    "field": f"value{entity.number}_{entity.kind.suffix}",
                }
                for entity in some
            ],
        }
        _add_subentry(hass, entry, SUBENTRY_EXPORT, data)
    assert await hass.config_entries.async_setup(entry.entry_id)
    exporter = entry.runtime_data.exporter
    checked = 0

    async def check(changes: int) -> None:
        nonlocal checked
        await exporter.async_upload_now()
        figures = [exporter.status(key).figures for key in exporter.exports]
        uploaded = sum(each.uploaded for each in figures)
        assert uploaded - checked == changes, (uploaded - checked, changes)
        assert not any(each.waiting or each.rejected for each in figures)
        checked = uploaded

    # What they have when it begins
    await check(len(entities))
    yield check
    assert await hass.config_entries.async_unload(entry.entry_id)


@asynccontextmanager
async def _influxdb(
    hass: HomeAssistant, servers: _Servers, entities: Sequence[_Entity]
) -> AsyncIterator[_Check]:
    """Follow by Home Assistant's `influxdb`, configured by YAML, which newer ones make an entry of."""
    address = URL(servers.sink)
    configuration = {
        "influxdb": {
            "host": address.host,
            "port": address.port,
            "ssl": False,
            "verify_ssl": False,
            "include": {"entities": [entity.id for entity in entities]},
        }
    }
    await hass.async_add_executor_job(
        save_yaml, hass.config.path("configuration.yaml"), configuration
    )
    assert await async_setup_component(
        hass, "influxdb", await async_hass_config_yaml(hass)
    )
    await hass.async_block_till_done()
    received = await _received(servers, "influxdb")

    async def check(changes: int) -> None:
        nonlocal received
        now = await _received(servers, "influxdb")
        assert now - received == changes, (now - received, changes)
        received = now

    yield check
    for entry in hass.config_entries.async_entries("influxdb"):
        assert await hass.config_entries.async_unload(entry.entry_id)


@asynccontextmanager
async def _energyid(
    hass: HomeAssistant, servers: _Servers, entities: Sequence[_Entity]
) -> AsyncIterator[_Check]:
    """Follow by Home Assistant's `energyid`."""
    entry = MockConfigEntry(
        domain="energyid",
        unique_id="benchmark",
        title="benchmark",
        data={
            "provisioning_key": "key",
            "provisioning_secret": "secret",
            "device_id": "homeassistant_eid_benchmark",
            "device_name": "benchmark",
        },
    )
    entry.add_to_hass(hass)
    registry = er.async_get(hass)
    keys = {entity.id: f"value{entity.number}" for entity in entities}
    for entity_id, key in keys.items():
        data = {"ha_entity_uuid": registry.entities[entity_id].id, "energyid_key": key}
        _add_subentry(hass, entry, "sensor_mapping", data)
    with mock.patch.dict(
        os.environ, {"ENERGYID_HELLO_URL": f"{servers.sink}/energyid/hello"}
    ):
        assert await hass.config_entries.async_setup(entry.entry_id)
    client = entry.runtime_data.client

    async def check(_changes: int) -> None:
        for entity_id, key in keys.items():
            state = hass.states.get(entity_id)
            assert state is not None
            assert client.get_sensor(key).value == float(state.state)

    yield check
    await client.synchronize_sensors()
    assert await _received(servers, "energyid") >= len(entities)
    assert await hass.config_entries.async_unload(entry.entry_id)


def _followers() -> dict[str, _Follower]:
    followers: dict[str, _Follower] = {
        "eniris": _eniris,
        "influxdb": _influxdb,
        "energyid": _energyid,
    }
    # The oldest Home Assistant has no `energyid`
    return {
        name: follower
        for name, follower in followers.items()
        if name == "eniris" or find_spec(f"homeassistant.components.{name}")
    }


def _add_subentry(
    hass: HomeAssistant, entry: MockConfigEntry, kind: str, data: dict[str, Any]
) -> None:
    hass.config_entries.async_add_subentry(
        entry,
        ConfigSubentry(
            data=MappingProxyType(data),
            subentry_type=kind,
            title="benchmark",
            unique_id=None,
        ),
    )


async def _received(servers: _Servers, client: str) -> int:
    async with (
        aiohttp.ClientSession() as http,
        http.get(f"{servers.sink}/received") as answer,
    ):
        counts: dict[str, int] = await answer.json()
        return counts.get(client, 0)


@asynccontextmanager
async def _run(folder: str, home: "_Home") -> AsyncIterator[HomeAssistant]:
    """Run a Home Assistant with entities."""
    async with async_test_home_assistant(config_dir=folder) as hass:
        hass.data.pop(loader.DATA_CUSTOM_COMPONENTS, None)
        frame.async_setup(hass)
        assert await async_setup_component(hass, "network", {})
        registry = er.async_get(hass)
        for entity in home.followed:
            registered = registry.async_get_or_create(
                "sensor",
                "benchmark",
                str(entity.number),
                suggested_object_id=entity.id.partition(".")[2],
            )
            assert registered.entity_id == entity.id
        for entity in home.all:
            hass.states.async_set(
                entity.id, entity.state(0), entity.kind.attributes(entity.number)
            )
        hass.bus.async_listen(MATCH_ALL, callback(lambda _event: None))
        async_track_state_change_event(hass, "sun.sun", callback(lambda _event: None))
        await hass.async_block_till_done()
        yield hass
        await hass.async_stop(force=True)


@contextmanager
def _frozen() -> Iterator[None]:
    """Keep what there is out of Python's garbage collector, whose rounds through it would be the longest thing measured."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


async def _turn(hass: HomeAssistant, entities: Sequence[_Entity], turn: int) -> _Cost:
    """Let entities, if there are any, change once a second, and wait; return what that costs all together."""
    ticks = round(1 / _TICK)
    at_once = math.ceil(len(entities) / ticks)
    changes = [
        [
            (entity.id, entity.state(number), entity.kind.attributes(entity.number))
            for entity in entities[at_once * tick : at_once * (tick + 1)]
        ]
        for number in range(turn * _ROUNDS, (turn + 1) * _ROUNDS)
        for tick in range(ticks)
    ]
    with _frozen():
        process, loop = time.process_time(), time.thread_time()
        due = time.monotonic()
        for some in changes:
            for entity_id, state, attributes in some:
                hass.states.async_set(entity_id, state, attributes)
            due += _TICK
            await asyncio.sleep(due - time.monotonic())
        await asyncio.sleep(_SETTLE)
        loop, process = time.thread_time() - loop, time.process_time() - process
    return _Cost(loop * 1e6, process * 1e6)


@dataclass(frozen=True, slots=True)
class _Home:
    """The entities of a home."""

    all: Sequence[_Entity]
    followed: Sequence[_Entity]
    twins: Sequence[_Entity]

    @classmethod
    def of(cls, effort: Effort) -> Self:
        entities = [_Entity(number) for number in range(effort.size(_ENTITIES, 200))]
        step = _ENTITIES // _FOLLOWED
        return cls(entities, entities[::step], entities[1::step])


async def _followed(follower: _Follower, servers: _Servers, effort: Effort) -> _Cost:
    """Return what a change of a followed entity costs more than that of its twin."""
    home, pairs = _Home.of(effort), effort.size(_PAIRS, 2)
    differences: list[_Cost] = []
    with TemporaryDirectory() as folder:
        async with (
            _run(folder, home) as hass,
            follower(hass, servers, home.followed) as check,
        ):
            for turn in range(pairs + 1):
                followed = await _turn(hass, home.followed, turn + 1)
                twins = await _turn(hass, home.twins, turn + 1)
                # What is the first is so only once
                if turn:
                    differences.append(followed - twins)
            await check(len(home.followed) * _ROUNDS * (pairs + 1))
    return _Cost.median(differences, len(home.followed) * _ROUNDS)


async def _unfollowed(servers: _Servers, effort: Effort) -> _Cost:
    """Return what a change of an entity that nobody follows costs more while an account is set up."""
    home, pairs = _Home.of(effort), effort.size(_PAIRS_UNFOLLOWED, 2)
    differences: list[_Cost] = []
    with TemporaryDirectory() as folder:
        async with _run(folder, home) as hass, _eniris(hass, servers, home.followed):
            [entry] = hass.config_entries.async_entries("eniris")
            for turn in range(pairs + 1):
                # An account that is loaded has timers, whatever changes
                loaded = await _turn(hass, home.twins, 2 * turn + 1)
                loaded -= await _turn(hass, [], 0)
                assert await hass.config_entries.async_unload(entry.entry_id)
                unloaded = await _turn(hass, home.twins, 2 * turn + 2)
                unloaded -= await _turn(hass, [], 0)
                assert await hass.config_entries.async_setup(entry.entry_id)
                await asyncio.sleep(_SETTLE)
                if turn:
                    differences.append(loaded - unloaded)
    return _Cost.median(differences, len(home.twins) * _ROUNDS)


async def _measure(effort: Effort) -> list[Figure]:
    followers = _followers()
    added: dict[str, list[_Cost]] = {name: [] for name in followers}
    unfollowed: list[_Cost] = []
    async with (
        simulator(free_port(), "--tier", "unlimited") as simulator_url,
        server("benchmarks.sink", free_port()) as sink_url,
    ):
        servers = _Servers(simulator_url, sink_url)
        for repetition in range(effort.repetitions):
            names = list(followers)
            turn = repetition % len(names)
            for name in names[turn:] + names[:turn]:
                added[name].append(await _followed(followers[name], servers, effort))
            unfollowed.append(await _unfollowed(servers, effort))
    return [*_figures_followed(added), *_figures_unfollowed(unfollowed)]


def _figures_followed(added: dict[str, list[_Cost]]) -> Iterator[Figure]:
    ours = added["eniris"]
    for (where, select), goal in zip(_WHERE, _GOALS, strict=True):
        yield Figure(
            what=f"a change of a followed entity, {where}",
            unit="µs",
            runs=tuple(map(select, ours)),
            goal=Goal("≤", goal),
        )
    for name, theirs in added.items():
        if theirs is ours:
            continue
        for where, select in _WHERE:
            yield Figure(
                what=f"a change of a followed entity, {where}",
                unit="µs",
                runs=tuple(map(select, ours)),
                beside=name,
                other_runs=tuple(map(select, theirs)),
            )


def _figures_unfollowed(costs: list[_Cost]) -> Iterator[Figure]:
    for where, select in _WHERE:
        yield Figure(
            what=f"a change that nobody follows, {where}",
            unit="µs",
            runs=tuple(map(select, costs)),
            goal=Goal("≤", 0.5),
        )


_WHERE: Final[tuple[tuple[str, Callable[[_Cost], float]], ...]] = (
    ("event loop", attrgetter("loop")),
    ("all threads", attrgetter("process")),
)
_GOALS: Final = (3.0, 10.0)
"""Microseconds."""


def measure(effort: Effort) -> list[Figure]:
    """Measure; see above."""
    return asyncio.run(_measure(effort))


if __name__ == "__main__":
    report.main(measure, __doc__)
