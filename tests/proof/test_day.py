"""Twenty-four simulated hours of a hundred exported entities, with everything that can go wrong.

The day is drawn from a seed, which `ENIRIS_PROOF_SEED` sets to another. What the simulator has
stored in the end is compared with what an oracle says that it has to.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
import heapq
from itertools import count
import logging
import os
from pathlib import Path
import random
import sys
from types import MappingProxyType
from typing import Any

from freezegun.api import FrozenDateTimeFactory
import pytest

from custom_components.eniris.const import DOMAIN
from custom_components.eniris.data import EnirisConfigEntry
from custom_components.eniris.exporting.outbox.batches import Block
from custom_components.eniris.exporting.outbox.rows import Rows
from homeassistant.config_entries import SOURCE_REAUTH, ConfigEntryState, ConfigSubentry
from homeassistant.const import CONF_PASSWORD
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType
from homeassistant.helpers import entity_registry as er, issue_registry as ir
from homeassistant.helpers.storage import STORAGE_DIR
from homeassistant.setup import async_setup_component
from simulator.faults import Fault
from simulator.server import Simulator
from tests.conftest import set_up_account
from tests.simulator.tiny_world import TinyWorld

from .clock import Clock, really_wait
from .home import home_assistant
from .house import PLANS, REFUSED, SECOND_HOUSE, Followed
from .oracle import EPOCH, FieldKey, History, Value, same

SEED = int(os.environ.get("ENIRIS_PROOF_SEED", "20260701"))
BEGIN = datetime(2026, 7, 1, 0, 0, 17, 300_000, tzinfo=UTC)
DAY = timedelta(hours=24)
WRITE = "/v1/telemetry"
WRITE_CALL = f"POST {WRITE}"
USER = "demo@example.com"

STEP = (12.0, 50.0)
CLOSE_STEP = (1.2, 4.0)
CHANGES = 0.07
"""How likely an entity changes in one step."""

_LOGGER = logging.getLogger(__name__)


_PROMPT = 0.25
"""Seconds of real time that a step takes at most, by far, on a machine that is not held up."""


@dataclass
class Entity:
    """An exported entity as the test moves it."""

    plan: str
    followed: Followed
    entity_id: str
    history: History
    state: str | None = None
    attributes: dict[str, Any] = field(default_factory=dict)
    written: datetime = BEGIN
    gone_until: datetime | None = None

    @property
    def meant(self) -> str | None:
        """The state, or what stands in its place, as the oracle is told of it."""
        attribute = self.followed.kind.attribute
        if attribute is None or self.state in (None, "unknown", "unavailable"):
            return self.state
        return str(self.attributes[attribute])


@dataclass
class Day:
    """The day, and all that takes part in it."""

    clock: Clock
    simulator: Simulator
    config_dir: Path
    random: random.Random
    stack: AsyncExitStack = field(default_factory=AsyncExitStack)
    ticks: list[datetime] = field(default_factory=list)
    entities: list[Entity] = field(default_factory=list)
    rejects: list[dict[str, Any]] = field(default_factory=list)
    injected: list[Fault] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)
    twice: list[tuple[datetime, datetime]] = field(default_factory=list)
    agenda: list[tuple[datetime, int, Callable[[], Awaitable[None]]]] = field(
        default_factory=list
    )
    close_until: datetime = BEGIN
    silent_until: timedelta = timedelta()
    switched_off: set[str] = field(default_factory=set)
    pushed: dict[datetime, dict[str, Value]] = field(default_factory=dict)
    written: list[int] = field(default_factory=list)
    """How many samples were put on disk since the last step, blocked fields left out."""
    calm_steps: int = 0
    needless: list[str] = field(default_factory=list)
    """What was put on disk while nothing was wrong."""
    disk_full: bool = False
    refused_times: bool = False
    steps: int = 0
    elapsed: timedelta = timedelta()
    _numbers: "count[int]" = field(default_factory=count)

    hass: HomeAssistant = field(init=False)
    entry_id: str = field(init=False)

    @property
    def entry(self) -> EnirisConfigEntry:
        """The account."""
        entry: EnirisConfigEntry | None = self.hass.config_entries.async_get_entry(
            self.entry_id
        )
        assert entry is not None
        return entry

    # Home Assistant

    async def open(self) -> None:
        """Start a Home Assistant."""
        self.hass = await self.stack.enter_async_context(
            home_assistant(self.config_dir)
        )

    async def close(self) -> None:
        """Stop Home Assistant in good order."""
        data = self.entry.runtime_data
        await self.hass.async_stop(force=True)
        self.stop_histories()
        # In a process of its own nothing would be left that could poll
        await data.nodes.async_shutdown()
        await data.telemetry.async_shutdown()

    async def set_up(self) -> None:
        """Set the account and its exports up; the entities are there already."""
        address = dict.fromkeys(
            ("authentication_url", "api_url", "ingress_url"), self.simulator.url
        )
        entry = await set_up_account(
            self.hass, {"username": USER, "password": "demo", "advanced": address}
        )
        self.entry_id = entry.entry_id
        registry = er.async_get(self.hass)
        references: dict[str, str] = {}
        for number, entity in enumerate(self.entities):
            domain, object_id = entity.entity_id.split(".")
            references[entity.entity_id] = entity.entity_id
            if number % 5:
                # The others have no registry entry, and are followed by their entity id
                registered = registry.async_get_or_create(
                    domain, "proof", object_id, suggested_object_id=object_id
                )
                assert registered.entity_id == entity.entity_id
                references[entity.entity_id] = registered.id
        for entity in self.entities:
            self.write(entity, self.draw(entity))
        for plan in PLANS:
            subentry = ConfigSubentry(
                data=MappingProxyType(plan.data(references)),
                subentry_type="export",
                title=plan.name,
                unique_id=None,
            )
            self.hass.config_entries.async_add_subentry(entry, subentry)
        await self.settle()
        self.assert_loaded()
        self.start_histories()

    def assert_loaded(self) -> None:
        """Make sure that the account is set up."""
        assert self.entry.state is ConfigEntryState.LOADED, self.entry.reason

    def start_histories(self) -> None:
        """Tell the oracle that the entities are followed from now on."""
        for entity in self.entities:
            if entity.plan not in self.switched_off:
                entity.history.start(self.clock.now, entity.written, entity.meant)

    def stop_histories(self) -> None:
        """Tell the oracle that the entities are not followed any more.

        The exporter looks at the clock once more before it stops.
        """
        self.ticks.append(self.clock.now)
        for entity in self.entities:
            entity.history.stop(self.clock.now)

    # Time

    async def step(self, seconds: float) -> None:
        """Let time pass, and wait until all that it sets off is done.

        While every target takes what it gets, nothing of that touches the disk.
        """
        calm = self.calm
        answers = Counter(self.answers)
        self.written.clear()
        began = os.times().elapsed
        self.tick(seconds)
        await self.settle()
        # A machine that is held up for real may be slower than a value may wait in memory
        was_prompt = os.times().elapsed - began < _PROMPT
        if calm and was_prompt and self.calm and set(self.answers - answers) <= {204}:
            self.calm_steps += 1
            if self.written:
                self.needless.append(f"{sum(self.written)} samples at {self.clock.now}")

    @property
    def calm(self) -> bool:
        """Whether nothing waits on disk, nor has a reason to."""
        exporter = self.entry.runtime_data.exporter
        return not (
            exporter.outbox.store.on_disk
            or exporter.outbox.problem
            or not exporter.uploader.works
            or exporter.uploader.needs_log_in
            or self.silent
        )

    @property
    def answers(self) -> Counter[int]:
        """How often writes were answered, by status."""
        return self.simulator.log.counts.get(WRITE_CALL, Counter())

    def tick(self, seconds: float) -> None:
        """Let time pass."""
        by = timedelta(milliseconds=round(seconds * 1000))
        self.clock.tick(by)
        self.elapsed += by
        self.ticks.append(self.clock.now)
        self.steps += 1

    async def settle(self) -> None:
        """Wait for everything that runs, but for requests that get no answer."""
        for _ in range(3):
            await asyncio.sleep(0)
        await self.hass.async_block_till_done()
        while tasks := [
            task
            for task in self.hass._background_tasks
            if isinstance(task, asyncio.Task) and _ends(task.get_name(), self.silent)
        ]:
            await asyncio.wait(tasks)
            await self.hass.async_block_till_done()
        if self.silent:
            for _ in range(5):
                await really_wait(0.002)

    @property
    def silent(self) -> bool:
        """Whether requests may be under way that get no answer in time."""
        if any(
            fault.fault == "delay" and fault.hits < (fault.times or 0)
            for fault in self.simulator.faults
        ):
            self.silent_until = self.elapsed + timedelta(seconds=200)
        return self.elapsed < self.silent_until

    def later(self, by: timedelta, act: Callable[[], Awaitable[None]]) -> None:
        """Do something after some time."""
        heapq.heappush(self.agenda, (self.clock.now + by, next(self._numbers), act))

    def look_closely(self, by: timedelta = timedelta(seconds=40)) -> None:
        """Take small steps for a while."""
        self.close_until = self.clock.now + by

    # Entities

    def draw(self, entity: Entity) -> str:
        """Return a new state, sometimes one that means nothing."""
        kind = entity.followed.kind
        if self.random.random() < 0.03:
            nothing = ["unknown", "unavailable"]
            if kind.suffix and kind.attribute is None:
                nothing += ["nan", "inf", "-inf", "idle"]
            return self.random.choice(nothing)
        return kind.draw(self.random)

    def write(self, entity: Entity, state: str) -> None:
        """Set the state of an entity, and tell the oracle if that is a change."""
        before = entity.meant
        kind = entity.followed.kind
        attributes: dict[str, Any] = {"noise": self.random.random()}
        if kind.unit is not None:
            attributes["unit_of_measurement"] = kind.unit
        if kind.attribute is not None:
            known = entity.attributes.get(kind.attribute, 20.0)
            try:
                attributes[kind.attribute] = float(state)
                state = "heat"
            except ValueError:
                attributes[kind.attribute] = known
        entity.attributes = attributes
        entity.state = state
        entity.written = self.clock.now
        self.hass.states.async_set(entity.entity_id, state, attributes)
        if entity.meant != before:
            entity.history.change(self.clock.now, entity.meant)

    def remove(self, entity: Entity) -> None:
        """Let an entity have no state at all for a while."""
        entity.state = None
        entity.history.change(self.clock.now, None)
        self.hass.states.async_remove(entity.entity_id)

    def change_some(self) -> None:
        """Let some entities change, and some report what is no news."""
        for entity in self.entities:
            if entity.gone_until is not None:
                if entity.gone_until > self.clock.now:
                    continue
                entity.gone_until = None
                self.write(entity, self.draw(entity))
                continue
            chance = self.random.random()
            if chance < CHANGES:
                self.write(entity, self.draw(entity))
            elif chance < CHANGES * 1.1 and entity.state is not None:
                self.write(
                    entity,
                    entity.state
                    if entity.followed.kind.attribute is None
                    else str(entity.meant),
                )

    # What goes wrong

    def fault(self, kind: Any, path: str = WRITE, **details: Any) -> Fault:
        """Let the simulator fail."""
        name = f"{kind} {details.get('status', '')}".strip()
        self.faults[f"{name} of {path}"] += 1
        fault = self.simulator.faults.add(path, kind, **details)
        self.injected.append(fault)
        self.look_closely()
        return fault

    async def stop_simulator(self) -> None:
        """Let the service be unreachable."""
        self.faults["service unreachable"] += 1
        await self.simulator.stop()

    async def start_simulator(self) -> None:
        """Let the service be back."""
        if self.simulator._runner is None:
            await self.simulator.start(port=self.simulator.port)
            self.look_closely()

    async def silence(self) -> None:
        """Let the service take a request and be silent for longer than anybody waits."""
        self.fault("delay", delay=90.0, times=2)
        self.look_closely(timedelta(seconds=120))

    async def reload(self) -> None:
        """Reload the account."""
        if self.silent:
            self.later(timedelta(minutes=10), self.reload)
            return
        self.faults["reload"] += 1
        self.stop_histories()
        assert await self.hass.config_entries.async_reload(self.entry_id)
        await self.settle()
        self.assert_loaded()
        self.start_histories()

    async def restart(self) -> None:
        """Stop Home Assistant, and start it again minutes later."""
        if self.disk_full or self.silent:
            self.later(timedelta(minutes=10), self.restart)
            return
        self.faults["restart of Home Assistant"] += 1
        # In the middle of whatever the passing of time has set off
        self.tick(1.5)
        for _ in range(4):
            await asyncio.sleep(0)
        await self.close()
        await self.stack.aclose()
        self.clock.tick(timedelta(seconds=self.random.uniform(20, 200)))
        self.ticks.append(self.clock.now)
        await self.open()
        early: list[Entity] = []
        late: list[Entity] = []
        for entity in self.entities:
            entity.state = None
            (early if self.random.random() < 0.5 else late).append(entity)
        for entity in early:
            entity.gone_until = None
            self.write(entity, self.draw(entity))
        assert await async_setup_component(self.hass, DOMAIN, {})
        await self.settle()
        self.assert_loaded()
        self.start_histories()
        for entity in late:
            entity.gone_until = self.clock.now + timedelta(
                seconds=self.random.uniform(5, 600)
            )

    async def fill_disk(self) -> None:
        """Let the outbox have no space to grow, while nothing can leave it."""
        await self.stop_simulator()
        self.faults["full disk"] += 1
        self.disk_full = True
        await self._limit_pages("(SELECT 1)")
        self.later(timedelta(minutes=25), self.empty_disk)

    async def empty_disk(self) -> None:
        """Let the outbox grow again."""
        self.disk_full = False
        await self._limit_pages("1073741823")
        await self.start_simulator()

    async def _limit_pages(self, pages: str) -> None:
        outbox = self.entry.runtime_data.exporter.outbox
        if pages == "(SELECT 1)":
            pages = "1"  # SQLite takes this for the pages that there are
        await outbox.store.run(
            lambda rows: rows.db.execute(f"PRAGMA max_page_count = {pages}").fetchall()
        )

    async def set_clock_back(self) -> None:
        """Set the clock back by minutes."""
        if self.silent:
            self.later(timedelta(minutes=10), self.set_clock_back)
            return
        self.faults["clock set back"] += 1
        before = self.clock.now
        self.clock.set_back(timedelta(seconds=round(self.random.uniform(90, 500))))
        # The exporter takes note of that when it looks at the clock the next time
        await self.step(self.random.uniform(1.2, 2.0))
        self.twice.append((self.clock.now, before))
        for entity in self.entities:
            entity.history.set_clock(before, self.clock.now)
        await self.settle()

    async def lose_role(self) -> None:
        """Let the account not be allowed to write."""
        self.faults["role missing"] += 1
        self.simulator.accounts[USER].roles.clear()

        async def grant() -> None:
            self.simulator.accounts[USER].roles.add("CustomerName")

        self.later(timedelta(minutes=50), grant)

    async def lose_namespace(self) -> None:
        """Let one of the targets not exist."""
        self.faults["namespace unknown"] += 1
        _, *namespace = SECOND_HOUSE
        pair = (namespace[0], namespace[1])
        self.simulator.switches.namespaces.discard(pair)

        async def bring_back() -> None:
            self.simulator.switches.namespaces.add(pair)

        self.later(timedelta(minutes=70), bring_back)

    async def take_small_bodies_only(self) -> None:
        """Let the service take less than it gets."""
        self.faults["small bodies only"] += 1
        self.simulator.switches.max_body = 1200

        async def take_more() -> None:
            self.simulator.switches.max_body = 10_000_000

        self.later(timedelta(minutes=30), take_more)

    async def refuse_old_points(self) -> None:
        """Let the service refuse what comes late, after it could not be reached for a while."""
        self.faults["old points refused"] += 1
        self.refused_times = True
        await self.stop_simulator()
        self.simulator.switches.max_age_s = 100.0

        async def reachable() -> None:
            await self.start_simulator()
            self.later(timedelta(seconds=90), tolerant)

        async def tolerant() -> None:
            self.simulator.switches.max_age_s = 365 * 86_400.0

        self.later(timedelta(seconds=130), reachable)

    async def revoke_access(self) -> None:
        """Let the access token be worth nothing."""
        self.faults["access token revoked"] += 1
        self.simulator.revoke(USER, "access")

    async def revoke_everything(self) -> None:
        """Let the log-in be worth nothing, until the user logs in again."""
        self.faults["refresh token revoked"] += 1
        self.simulator.revoke(USER, "access")
        self.simulator.revoke(USER, "refresh")
        self.later(timedelta(minutes=45), self.log_in_again)

    async def log_in_again(self) -> None:
        """Do what the user does who is asked to log in again."""
        flows = [
            flow
            for flow in self.hass.config_entries.flow.async_progress()
            if flow["handler"] == DOMAIN and flow["context"]["source"] == SOURCE_REAUTH
        ]
        assert len(flows) == 1, "the user is asked for the password, once"
        await self.start_simulator()
        self.simulator.faults.clear()
        self.stop_histories()
        result = await self.hass.config_entries.flow.async_configure(
            flows[0]["flow_id"], {CONF_PASSWORD: "demo"}
        )
        assert result["type"] is FlowResultType.ABORT, result
        assert result["reason"] == "reauth_successful", result
        await self.settle()
        self.assert_loaded()
        self.start_histories()

    async def rename(self) -> None:
        """Give two entities other names, the second while the first is hardly done."""
        registry = er.async_get(self.hass)
        renamed = self.random.sample(
            [
                entity
                for entity in self.entities
                if entity.entity_id in registry.entities and entity.state is not None
            ],
            2,
        )
        for entity in renamed:
            self.faults["entity renamed"] += 1
            new = f"{entity.entity_id}_r{next(self._numbers)}"
            registry.async_update_entity(entity.entity_id, new_entity_id=new)
            # As an entity does that hears of its new name
            self.hass.states.async_remove(entity.entity_id)
            entity.entity_id = new
            entity.state, state = None, self.draw(entity)
            self.write(entity, state)

    async def lose_entities(self) -> None:
        """Let some entities be unavailable, and some have no state at all, for a while."""
        self.faults["entities gone"] += 1
        for number, entity in enumerate(self.random.sample(self.entities, 8)):
            if entity.gone_until is not None or entity.state is None:
                continue
            if number % 2:
                self.write(entity, "unavailable")
            else:
                self.remove(entity)
            entity.gone_until = self.clock.now + timedelta(
                seconds=self.random.uniform(30, 3000)
            )

    async def switch_off(self) -> None:
        """Switch an export off, and on again later."""
        plan = self.random.choice(
            [plan.name for plan in PLANS if plan.name not in self.switched_off]
        )
        self.faults["export switched off"] += 1
        self.switched_off.add(plan)
        await self._switch(plan, "turn_off")
        for entity in self.entities:
            if entity.plan == plan:
                entity.history.stop(self.clock.now)

        async def switch_on() -> None:
            self.switched_off.discard(plan)
            await self._switch(plan, "turn_on")
            for entity in self.entities:
                if entity.plan == plan:
                    entity.history.start(self.clock.now, self.clock.now, entity.meant)

        self.later(timedelta(minutes=40), switch_on)

    async def _switch(self, plan: str, service: str) -> None:
        [export_id] = [
            subentry.subentry_id
            for subentry in self.entry.subentries.values()
            if subentry.title == plan
        ]
        entity_id = er.async_get(self.hass).async_get_entity_id(
            "switch", DOMAIN, f"{self.entry.unique_id}_{export_id}_enabled"
        )
        await self.hass.services.async_call(
            "switch", service, {"entity_id": entity_id}, blocking=True
        )

    async def push(self) -> None:
        """Push a point by the action, as an automation does."""
        self.faults["point pushed"] += 1
        time = self.clock.now - timedelta(seconds=self.random.randrange(100_000))
        fields: dict[str, Value] = {
            "forecast_W": round(self.random.uniform(0, 5000), 1),
            "certain": self.random.random() < 0.5,
            "source": "naïve ☀",
        }
        self.pushed[time] = fields
        collector, database, retention_policy = SECOND_HOUSE
        await self.hass.services.async_call(
            DOMAIN,
            "push",
            {
                "config_entry_id": self.entry_id,
                "collector": collector,
                "database": database,
                "retention_policy": retention_policy,
                "points": [
                    {
                        "measurement": "planning",
                        "tags": {"serialNr": "pushed"},
                        "time": time.isoformat(),
                        "fields": fields,
                    }
                ],
            },
            blocking=True,
        )

    async def look_at_rejects(self) -> None:
        """Take note of what was set aside, as a user may do, and discard it."""
        call = {"config_entry_id": self.entry_id}
        answer = await self.hass.services.async_call(
            DOMAIN, "list_rejects", call, blocking=True, return_response=True
        )
        assert answer is not None
        listed: Any = answer["rejects"]
        self.rejects += listed
        answer = await self.hass.services.async_call(
            DOMAIN, "discard_rejects", call, blocking=True, return_response=True
        )
        assert answer == {"discarded": len(listed)}

    def plan_faults(self) -> None:
        """Spread everything that goes wrong over the day."""

        def fails(kind: Any, path: str = WRITE, **details: Any) -> Any:
            async def act() -> None:
                self.fault(kind, path, **details)

            return act

        acts: list[Any] = [
            fails("status", status=status, times=times)
            for status in (400, 409, 413, 422, 500, 503)
            for times in (1, 2, 3)
        ]
        acts += [fails("status", status=status, times=1) for status in (401, 403, 404)]
        acts += [
            fails("status", status=429, retry_after=wait, times=1) for wait in (40, 400)
        ]
        for kind in ("garbage", "half_body", "html", "json", "wrong_type", "empty"):
            acts += [fails(kind, times=2), fails(kind, "/auth/accesstoken", times=1)]
        acts += [fails("drop", times=times) for times in (1, 2, 4)]
        acts += [fails("drop_after", times=times) for times in (1, 1, 2, 4)]
        acts += [fails("status", "/auth/accesstoken", status=500, times=3)]
        acts += [fails("drop", "/auth/accesstoken", times=2)]
        acts += [fails("status", "/v1/telemetry/query", status=503, times=9)]
        acts += [fails("status", "/v1/device/query", status=500, times=2)]
        acts += [fails("garbage", "/v1/device/query", times=1)]
        acts += [self.silence, self.silence]
        acts += [self.revoke_access] * 3
        acts += [self.take_small_bodies_only, self.refuse_old_points]
        acts += [self.reload] * 4 + [self.rename] * 5 + [self.lose_entities] * 6
        acts += [self.set_clock_back] * 2 + [self.switch_off] * 3 + [self.push] * 12
        for act in acts:
            self.later(DAY * self.random.uniform(0.01, 0.95), act)

        # These would cover each other up, and have hours of their own
        hours = [1.5, 4.0, 9.0, 12.0, 15.0, 18.0, 21.0]
        self.random.shuffle(hours)
        away, longer, full, role, namespace, dead, early = hours
        for hour, length in ((away, 0.3), (longer, 2.2)):
            self.later(timedelta(hours=hour), self.stop_simulator)
            self.later(timedelta(hours=hour + length), self.start_simulator)
        # In the middle of an outage, and when all goes well
        self.later(timedelta(hours=longer + 1), self.restart)
        self.later(timedelta(hours=longer + 1.5), self.reload)
        self.later(timedelta(hours=early), self.restart)
        self.later(timedelta(hours=full), self.fill_disk)
        self.later(timedelta(hours=role), self.lose_role)
        self.later(timedelta(hours=namespace), self.lose_namespace)
        self.later(timedelta(hours=dead), self.revoke_everything)
        for hour in range(24):
            self.later(timedelta(hours=hour + 0.9), self.look_at_rejects)

    # The course of the day

    async def run(self) -> None:
        """Live through the day."""
        while self.elapsed < DAY:
            close = self.clock.now < self.close_until
            await self.step(self.random.uniform(*(CLOSE_STEP if close else STEP)))
            while self.agenda and self.agenda[0][0] <= self.clock.now:
                _, _, act = heapq.heappop(self.agenda)
                await act()
            # Nothing happens in the very moment of a timer
            self.clock.tick(timedelta(microseconds=self.random.randrange(1, 300_000)))
            self.change_some()
            await self.settle()

    async def drain(self) -> None:
        """Let everything go well, until nothing waits but what is blocked."""
        self.simulator.faults.clear()
        await self.start_simulator()
        for number in range(200):
            await self.step(31)
            # Longer than the longest of the shortest distances
            if number > 20 and await self.waiting() == await self.blocked():
                return
        pytest.fail(f"{await self.waiting()} values wait for ever")

    async def take_the_type(self) -> None:
        """Let the service take the blocked fields, which are tried again every hour."""
        self.simulator.switches.refuse_fields.clear()
        for _ in range(200):
            await self.step(31)
            if not await self.waiting():
                return
        pytest.fail(f"{await self.waiting()} values of fields that were blocked wait")

    async def waiting(self) -> int:
        """Return how many values wait."""
        figures = await self.entry.runtime_data.exporter.outbox.refresh_figures()
        return sum(figure.waiting for figure in figures.values())

    async def blocked(self) -> int:
        """Return how many values wait of the fields whose type the service does not take."""
        [export_id] = [
            subentry.subentry_id
            for subentry in self.entry.subentries.values()
            if subentry.title == REFUSED
        ]
        figures = await self.entry.runtime_data.exporter.outbox.refresh_figures()
        return figures[export_id].waiting

    def issues(self) -> set[tuple[str | None, str | None]]:
        """Return what repair issues there are, and of which fields."""
        return {
            (issue.translation_key, (issue.translation_placeholders or {}).get("field"))
            for (domain, _), issue in ir.async_get(self.hass).issues.items()
            if domain == DOMAIN and issue.active
        }


def _ends(background_task: str, silent: bool) -> bool:
    """Tell whether a background task is one that ends: a poll, or a job of the exporter."""
    if background_task.startswith(("track time interval", "call_later")):
        # Samples are taken, and put on disk
        return True
    return not silent and (
        background_task.endswith("refresh") or "eniris" in background_task
    )


def watch_disk(day: Day, monkeypatch: pytest.MonkeyPatch) -> None:
    """Note what is put on disk of samples that are on their way to a target."""
    insert = Rows.insert

    def noted(rows: Rows, queue_id: int, blocks: Iterable[Block]) -> list[int]:
        blocks = list(blocks)
        if blocks and queue_id in rows.live.values():
            day.written.append(sum(map(len, blocks)))
        return insert(rows, queue_id, blocks)

    monkeypatch.setattr(Rows, "insert", noted)


def refused_fields() -> list[str]:
    """Return the fields of numbers that the service has as texts."""
    return [
        followed.key.field
        for plan in PLANS
        if plan.name == REFUSED
        for followed in plan.followed()
    ]


def stored_values(simulator: Simulator) -> dict[FieldKey, dict[datetime, Value]]:
    """Return what the simulator has stored."""
    stored: dict[FieldKey, dict[datetime, Value]] = {}
    for point in simulator.store.points():
        tags = tuple(sorted(point.tags.items()))
        time = EPOCH + timedelta(microseconds=point.time_ns // 1000)
        assert point.time_ns % 1000 == 0
        for name, value in point.fields.items():
            key = FieldKey(
                point.database, point.retention_policy, point.measurement, tags, name
            )
            stored.setdefault(key, {})[time] = value
    return stored


@dataclass
class Verdict:
    """How what is stored differs from what is due."""

    due: int = 0
    stored: int = 0
    set_aside: int = 0
    ambiguous: int = 0
    missing: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    extra: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Whether there is nothing to complain of."""
        return not (self.missing or self.wrong or self.extra)

    def text(self) -> str:
        """Return the first complaints of each kind."""
        return "\n".join(
            f"{name} ({len(items)}):\n  " + "\n  ".join(items[:12])
            for name, items in (
                ("missing", self.missing),
                ("wrong", self.wrong),
                ("extra", self.extra),
            )
            if items
        )


def judge(day: Day) -> Verdict:
    """Compare what the simulator has stored with what the oracle says."""
    stored = stored_values(day.simulator)
    set_aside: dict[FieldKey, dict[datetime, list[tuple[Value, str]]]] = {}
    for reject in day.rejects:
        key = FieldKey(
            reject["database"],
            reject["retention_policy"],
            reject["measurement"],
            tuple(sorted(reject["tags"].items())),
            reject["field"],
        )
        set_aside.setdefault(key, {}).setdefault(
            datetime.fromisoformat(reject["time"]), []
        ).append((reject["value"], reject["reason"]))
    verdict = Verdict(stored=sum(map(len, stored.values())))
    judge_pushed(day, stored, set_aside, verdict)
    known = {entity.history.key for entity in day.entities}
    for key in stored.keys() | set_aside.keys():
        if key not in known:
            verdict.extra.append(f"a field of nobody: {key}")
    for entity in day.entities:
        judge_field(
            day,
            entity,
            stored.get(entity.history.key, {}),
            set_aside.get(entity.history.key, {}),
            verdict,
        )
    return verdict


def judge_pushed(
    day: Day,
    stored: dict[FieldKey, dict[datetime, Value]],
    set_aside: dict[FieldKey, dict[datetime, list[tuple[Value, str]]]],
    verdict: Verdict,
) -> None:
    """Compare what is stored of the pushed points, and take it out of what else there is."""
    _, database, retention_policy = SECOND_HOUSE
    for name in {name for fields in day.pushed.values() for name in fields}:
        tags = (("serialNr", "pushed"),)
        key = FieldKey(database, retention_policy, "planning", tags, name)
        found, refused = stored.pop(key, {}), set_aside.pop(key, {})
        due = {time: fields[name] for time, fields in day.pushed.items()}
        verdict.due += len(due)
        for time in due.keys() - found.keys():
            if time in refused:
                verdict.set_aside += 1
            else:
                verdict.missing.append(f"pushed {name} at {time}")
        for time, value in found.items():
            if time not in due:
                verdict.extra.append(f"pushed {name} at {time}: {value!r}")
            elif not same(value, due[time]):
                verdict.wrong.append(f"pushed {name} at {time}: {value!r}")


def judge_field(
    day: Day,
    entity: Entity,
    stored: dict[datetime, Value],
    set_aside: dict[datetime, list[tuple[Value, str]]],
    verdict: Verdict,
) -> None:
    """Compare what is stored of one field."""
    history = entity.history
    name = f"{history.key.field} ({history.rule})"
    due = history.due()
    ticks = set(day.ticks)
    verdict.due += len(due)
    for time, values in due.items():
        here = f"{name} at {time}: {values}"
        verdict.ambiguous += len(values) > 1
        if time in stored:
            allowed = values if day_showed_twice(day, time) else values[-1:]
            if not any(same(stored[time], value) for value in allowed):
                verdict.wrong.append(f"{here}, stored {stored[time]!r}")
        elif time in set_aside:
            verdict.set_aside += 1
            value, reason = set_aside[time][-1]
            if not any(same(value, item) for item in values):
                verdict.wrong.append(f"{here}, set aside {value!r}")
            if not may_be_refused(day, reason):
                verdict.missing.append(f"{here}, set aside because of {reason}")
        else:
            verdict.missing.append(here)
    for time, value in stored.items():
        if time not in due and not (
            (day_showed_twice(day, time) and history.holds(time, value))
            or (time in ticks and history.has_held(time, value))
        ):
            verdict.extra.append(f"{name} at {time}: {value!r}")
    for time in set_aside.keys() - due.keys():
        verdict.extra.append(f"{name} at {time} was set aside: {set_aside[time]}")


def day_showed_twice(day: Day, time: datetime) -> bool:
    """Tell whether the clock showed a time twice; an interval longer than that counts whole."""
    margin = timedelta(minutes=15)
    return any(begin - margin <= time <= end + margin for begin, end in day.twice)


def may_be_refused(day: Day, reason: str) -> bool:
    """Tell whether there was a reason to refuse a value for good.

    A type is none: values wait until the service takes it.
    """
    if "outside the allowed time range" in reason:
        return day.refused_times
    return "Injected fault" in reason


@pytest.mark.timeout(300)
@pytest.mark.parametrize("expected_lingering_timers", [True])
@pytest.mark.expected_log(".")
async def test_day(
    simulator_of_day: Simulator,
    clock: Clock,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Everything that was sampled in a day full of faults is stored, and nothing else."""
    caplog.set_level(logging.WARNING)
    asyncio.get_running_loop().set_debug(False)
    config_dir = tmp_path / "config"
    (config_dir / STORAGE_DIR).mkdir(parents=True)
    random.seed(SEED)
    day = Day(clock, simulator_of_day, config_dir, random.Random(SEED))
    day.ticks.append(clock.now)
    day.entities = [
        Entity(
            plan.name,
            followed,
            followed.entity,
            History(followed.key, plan.rule, followed.kind.meaning, day.ticks),
        )
        for plan in PLANS
        for followed in plan.followed()
    ]
    assert len(day.entities) == 100
    day.simulator.switches.refuse_fields.update(
        dict.fromkeys(refused_fields(), "string")
    )
    watch_disk(day, monkeypatch)
    async with day.stack:
        await day.open()
        try:
            await day.set_up()
            day.plan_faults()
            await day.run()
            await day.drain()
            told, blocked = day.issues(), await day.blocked()
            await day.take_the_type()
            await day.look_at_rejects()
            told_in_the_end = day.issues()
        finally:
            await day.close()
    verdict = judge(day)
    refused = sum(fault.hits for fault in day.injected if fault.status in _FOR_GOOD)
    alone = sum("Injected fault" in item["reason"] for item in day.rejects)
    with capsys.disabled():
        sys.stdout.write(
            f"\nSeed {SEED}: {day.steps} steps, {verdict.due} values due,"
            f" {verdict.stored} stored, {verdict.set_aside} set aside,"
            f" {verdict.ambiguous} at times that came twice;"
            f" {day.simulator.store.batches} requests stored;"
            f" faults: {dict(day.faults)}\n"
        )
    assert verdict.good, f"seed {SEED}\n{verdict.text()}"
    assert alone <= refused, "no more is set aside than the service has refused"
    assert told == {("field_blocked", field) for field in refused_fields()}, (
        "what is blocked is told, and what is over is not told any more"
    )
    assert blocked > 100, "values of blocked fields wait"
    assert not told_in_the_end, "what the service takes again is told no more"
    assert not day.needless, "nothing is put on disk while all goes well"
    assert day.calm_steps > day.steps / 3


_FOR_GOOD = (400, 409, 413, 422)


@pytest.fixture
async def simulator_of_day(socket_enabled: None, clock: Clock) -> Any:
    """Return a running simulator, of a small world and with a second database."""
    simulator = Simulator(TinyWorld(), tier="unlimited")
    _, *namespace = SECOND_HOUSE
    simulator.switches.namespaces.add((namespace[0], namespace[1]))
    async with simulator:
        yield simulator


@pytest.fixture
def clock(freezer: FrozenDateTimeFactory, monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Return the clock of the day, at its beginning."""
    freezer.move_to(BEGIN)
    return Clock(freezer, monkeypatch)
