"""What a change of state costs, beside other integrations: `python -m benchmarks.listener`.

A Home Assistant with 10,000 entities, of which 1,000 are followed and change once a second each; after them the
others change, which nobody follows. Followed they are by ten exports of an account, by `influxdb` with a list of the
same entities, and by `energyid`, where Home Assistant has it, with a subentry for each. All three are set up as a
user would, send to servers that are processes of their own, and nothing of them is replaced. Before one is set up the
same is measured twice in the same Home Assistant: what that costs is subtracted. As in every home, somebody listens to all events
(the recorder does) and somebody follows one entity (an automation does).

Two costs are shown, both in processor time, since that depends least on what else the machine does:

*Event loop*: all that its thread computes, from the change of state until the last of them has been stored. That
includes what was put off: writing to disk, merging and uploads, as far as they are done there.

*All threads*: what the process computes, which is what a small machine feels, and the event loop as well: while a
thread runs Python, the loop cannot. `influxdb` does all but to hand over its events in such a thread.

`energyid` uploads once a minute, by its own default, and only the last value of each entity; none of that happens
while it is measured. The other two send every value. Of this integration's own costs each has a goal, and the event
loop's has another beside the others.

An entity that is not followed costs nothing measurable if it adds no more to Home Assistant by itself than the two
measurements of Home Assistant by itself differ by at most.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
import gc
from importlib.util import find_spec
from itertools import batched
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
_SECONDS: Final = 10
"""For which the followed ones change once a second."""
_SECONDS_OTHERS: Final = 4
"""In which all the others change once."""
_TURNS_OTHERS: Final = 2
_TICK: Final = 0.02
"""Seconds between two batches of changes, as an integration makes them after a poll."""
_SETTLE: Final = 7.0
"""Seconds after which the last upload, one every five, is through."""


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
        return _KINDS[self.number % len(_KINDS)]

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
    """Microseconds of processor time per change of state."""

    loop: float
    process: float

    def __sub__(self, other: Self) -> "_Cost":
        return _Cost(self.loop - other.loop, self.process - other.process)

    @classmethod
    def mean(cls, costs: Sequence["_Cost"]) -> "_Cost":
        return cls(
            statistics.fmean(cost.loop for cost in costs),
            statistics.fmean(cost.process for cost in costs),
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
async def _home(
    folder: str, entities: Sequence[_Entity], followed: Sequence[_Entity]
) -> AsyncIterator[HomeAssistant]:
    """Run a Home Assistant with entities."""
    async with async_test_home_assistant(config_dir=folder) as hass:
        hass.data.pop(loader.DATA_CUSTOM_COMPONENTS, None)
        frame.async_setup(hass)
        assert await async_setup_component(hass, "network", {})
        registry = er.async_get(hass)
        for entity in followed:
            registered = registry.async_get_or_create(
                "sensor",
                "benchmark",
                str(entity.number),
                suggested_object_id=entity.id.partition(".")[2],
            )
            assert registered.entity_id == entity.id
        for entity in entities:
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


async def _change(
    hass: HomeAssistant,
    entities: Sequence[_Entity],
    seconds: float,
    turns: range,
    settle: float,
) -> _Cost:
    """Let entities change once in each turn of so many seconds, and wait `settle`; return what that costs each time."""
    at_once = max(1, round(len(entities) * _TICK / seconds))
    changes = [
        [
            (entity.id, entity.state(turn), entity.kind.attributes(entity.number))
            for entity in some
        ]
        for turn in turns
        for some in batched(entities, at_once, strict=False)
    ]
    with _frozen():
        process, loop = time.process_time(), time.thread_time()
        due = time.monotonic()
        for some in changes:
            for entity_id, state, attributes in some:
                hass.states.async_set(entity_id, state, attributes)
            due += _TICK
            await asyncio.sleep(due - time.monotonic())
        await asyncio.sleep(settle)
        loop, process = time.thread_time() - loop, time.process_time() - process
    count = len(entities) * len(turns)
    return _Cost(loop / count * 1e6, process / count * 1e6)


@dataclass(frozen=True, slots=True)
class _Costs:
    """Of a change of an entity that is followed, and of one that is not."""

    followed: _Cost
    other: _Cost

    def __sub__(self, other: Self) -> "_Costs":
        return _Costs(self.followed - other.followed, self.other - other.other)

    @classmethod
    def mean(cls, costs: Sequence["_Costs"]) -> "_Costs":
        return cls(
            _Cost.mean([each.followed for each in costs]),
            _Cost.mean([each.other for each in costs]),
        )


@dataclass(frozen=True, slots=True)
class _Run:
    """What one integration adds, in one repetition."""

    added: _Costs
    by_itself: _Costs
    """What Home Assistant costs without it."""
    difference: _Costs
    """Of the two measurements of that."""


async def _measure_one(follower: _Follower, servers: _Servers, effort: Effort) -> _Run:
    entities = [_Entity(number) for number in range(effort.size(_ENTITIES, 200))]
    followed = entities[:: _ENTITIES // _FOLLOWED]
    others = [entity for entity in entities if entity not in set(followed)]
    count, count_others = effort.size(_SECONDS, 2), effort.size(_TURNS_OTHERS)

    async def turns(hass: HomeAssistant, number: int, check: _Check | None) -> _Costs:
        first, first_other = 1 + number * count, 1 + number * count_others
        # Without an integration nothing is put off
        settle = 0.0 if check is None else _SETTLE
        cost = await _change(hass, followed, 1.0, range(first, first + count), settle)
        if check is not None:
            await check(len(followed) * count)
        other = await _change(
            hass,
            others,
            _SECONDS_OTHERS,
            range(first_other, first_other + count_others),
            settle,
        )
        if check is not None:
            await check(0)
        return _Costs(cost, other)

    with TemporaryDirectory() as folder:
        async with _home(folder, entities, followed) as hass:
            # What is the first is so only once
            await _change(hass, followed, 1.0, range(-2, 0), 0.0)
            alone = [await turns(hass, number, None) for number in range(2)]
            async with follower(hass, servers, followed) as check:
                cost = await turns(hass, 2, check)
    by_itself = _Costs.mean(alone)
    return _Run(cost - by_itself, by_itself, alone[1] - alone[0])


async def _measure(effort: Effort) -> list[Figure]:
    followers = _followers()
    runs: dict[str, list[_Run]] = {name: [] for name in followers}
    async with (
        simulator(free_port(), "--tier", "unlimited") as simulator_url,
        server("benchmarks.sink", free_port()) as sink_url,
    ):
        servers = _Servers(simulator_url, sink_url)
        for repetition in range(effort.repetitions):
            names = list(followers)
            turn = repetition % len(names)
            for name in names[turn:] + names[:turn]:
                runs[name].append(await _measure_one(followers[name], servers, effort))
    added = {name: [run.added for run in some] for name, some in runs.items()}
    every = [run for some in runs.values() for run in some]
    return [
        *_figures_followed(added),
        *_figures_other(
            added,
            [run.by_itself.other for run in every],
            [run.difference.other for run in every],
        ),
    ]


def _figures_followed(added: dict[str, list[_Costs]]) -> Iterator[Figure]:
    ours = added["eniris"]
    for (where, select), goal in zip(_WHERE, _GOALS, strict=True):
        yield Figure(
            what=f"a change of a followed entity, {where}",
            unit="µs",
            runs=tuple(select(cost.followed) for cost in ours),
            goal=Goal("≤", goal),
        )
    for name, theirs in added.items():
        if theirs is ours:
            continue
        for where, select in _WHERE:
            yield Figure(
                what=f"a change of a followed entity, {where}",
                unit="µs",
                runs=tuple(select(cost.followed) for cost in ours),
                beside=name,
                other_runs=tuple(select(cost.followed) for cost in theirs),
                goal=Goal("≤", 0.5) if where == _EVENT_LOOP else None,
            )


def _figures_other(
    added: dict[str, list[_Costs]], alone: list[_Cost], differences: list[_Cost]
) -> Iterator[Figure]:
    for name, costs in added.items():
        for where, select in _WHERE:
            runs = tuple(select(cost.other) for cost in costs)
            by_itself = statistics.median(select(cost) for cost in alone)
            spread = max(abs(select(each)) for each in differences)
            yield Figure(
                what=f"a change that {name} does not follow adds, {where}",
                unit="µs",
                runs=runs,
                beside=f"Home Assistant by itself: {by_itself:.1f} ± {spread:.2f} µs",
                goal=Goal("≤", round(spread, 2)) if name == "eniris" else None,
            )


_EVENT_LOOP: Final = "event loop"
_WHERE: Final[tuple[tuple[str, Callable[[_Cost], float]], ...]] = (
    (_EVENT_LOOP, lambda cost: cost.loop),
    ("all threads", lambda cost: cost.process),
)
_GOALS: Final = (3.0, 10.0)
"""Microseconds."""


def measure(effort: Effort) -> list[Figure]:
    """Measure; see above."""
    return asyncio.run(_measure(effort))


if __name__ == "__main__":
    report.main(measure, __doc__)
