"""Accounts with exports, an outbox and an uploader by themselves, and time that only tests move."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from freezegun.api import FrozenDateTimeFactory
import pytest
from pytest_homeassistant_custom_component.common import (
    MockConfigEntry,
    async_fire_time_changed,
)

from custom_components.eniris.account import token_data
from custom_components.eniris.api import (
    Authentication,
    Hosts,
    RefreshToken,
    Session,
    WriteTarget,
)
from custom_components.eniris.const import (
    CONF_API_URL,
    CONF_ATTRIBUTE,
    CONF_AUTHENTICATION_URL,
    CONF_COLLECTOR,
    CONF_DATABASE,
    CONF_ENTITY,
    CONF_FIELD,
    CONF_FIELDS,
    CONF_INGRESS_URL,
    CONF_MEASUREMENT,
    CONF_RETENTION_POLICY,
    CONF_TAGS,
    DOMAIN,
    SUBENTRY_EXPORT,
)
from custom_components.eniris.exporting.config import Series
from custom_components.eniris.exporting.issues import Issues
from custom_components.eniris.exporting.outbox.batches import Sample, to_blocks
from custom_components.eniris.exporting.outbox.live import load_rejects
from custom_components.eniris.exporting.outbox.outbox import Outbox
from custom_components.eniris.exporting.outbox.store import outbox_path
from custom_components.eniris.exporting.uploader import Uploader
from homeassistant.config_entries import ConfigSubentryData
from homeassistant.const import CONF_USERNAME
from homeassistant.core import HomeAssistant
from homeassistant.helpers import issue_registry as ir
from homeassistant.helpers.aiohttp_client import async_get_clientsession
from simulator.request_log import LoggedRequest
from simulator.server import Simulator
from simulator.store import StoredPoint
from tests.simulator.tiny_world import TinyWorld

START = datetime(2026, 7, 1, 12, tzinfo=UTC)
WRITE = "POST /v1/telemetry"
TARGET = WriteTarget("demo-ingress", "demo", "rp_one_s")
OTHER_TARGET = WriteTarget("demo-ingress", "demo", "rp_one_m")
SERIES = Series(TARGET, "gridMetrics", (("serialNr", "abc"),))


def at(seconds: float) -> datetime:
    """Return a time after the start."""
    return START + timedelta(seconds=seconds)


def sample(
    seconds: float,
    value: float | str | bool = 1.0,
    name: str = "actualPowerTot_W",
    *,
    export_id: str = "export",
    series: Series = SERIES,
) -> Sample:
    """Return a sample."""
    return Sample(export_id, series, at(seconds), name, value)


@dataclass(slots=True)
class Clock:
    """Time as Home Assistant, the simulator and everything else see it."""

    hass: HomeAssistant
    freezer: FrozenDateTimeFactory

    async def settle(self) -> None:
        """Wait for everything under way, uploads included."""
        await self.hass.async_block_till_done(wait_background_tasks=True)

    async def advance(self, seconds: float, step: float = 1.0) -> None:
        """Let time pass, a step at a time."""
        await self.settle()
        left = seconds
        while left > 0:
            self.freezer.tick(min(step, left))
            left -= step
            async_fire_time_changed(self.hass)
            await self.settle()


@pytest.fixture
def world() -> TinyWorld:
    """Return a world of which every value is known by heart."""
    return TinyWorld()


@pytest.fixture
def clock(hass: HomeAssistant, freezer: FrozenDateTimeFactory) -> Clock:
    """Return a clock that stands at the start."""
    freezer.move_to(START)
    return Clock(hass, freezer)


@dataclass(slots=True)
class Received:
    """What the simulator was sent."""

    simulator: Simulator

    @property
    def writes(self) -> list[LoggedRequest]:
        """Return the write requests, oldest first."""
        return self.simulator.log.find(WRITE)

    @property
    def statuses(self) -> list[int | None]:
        """Return how they were answered."""
        return [request.status for request in self.writes]

    def points(self, **wanted: Any) -> list[StoredPoint]:
        """Return what is stored."""
        return self.simulator.store.points(**wanted)

    def values(self, name: str = "actualPowerTot_W") -> list[tuple[float, Any]]:
        """Return what is stored of a field: seconds after the start, and value."""
        return [
            (
                (point.time_ns - round(START.timestamp()) * 10**9) / 1e9,
                point.fields[name],
            )
            for point in self.points(field_name=name)
        ]


@pytest.fixture
def received(clock: Clock, simulator: Simulator) -> Received:
    """Return what the simulator was sent."""
    return Received(simulator)


@pytest.fixture
def hosts(simulator: Simulator) -> Hosts:
    """Return the simulator's addresses."""
    return Hosts(simulator.url, simulator.url, simulator.url)


type LogIn = Callable[[str], Awaitable[RefreshToken]]


@pytest.fixture
def log_in(clock: Clock, hass: HomeAssistant, hosts: Hosts) -> LogIn:
    """Return what logs in to the simulator."""

    async def log_in(username: str) -> RefreshToken:
        authentication = Authentication(async_get_clientsession(hass), hosts)
        token = await authentication.login(username, "demo")
        assert isinstance(token, RefreshToken)
        return token

    return log_in


def export_data(
    fields: Mapping[str, str] | list[dict[str, Any]], **changes: Any
) -> dict[str, Any]:
    """Return the data of an export: field names by entity, or whole rows, and changes."""
    rows = (
        [{CONF_ENTITY: entity, CONF_FIELD: name} for entity, name in fields.items()]
        if isinstance(fields, Mapping)
        else fields
    )
    return {
        CONF_COLLECTOR: TARGET.collector,
        CONF_DATABASE: TARGET.database,
        CONF_RETENTION_POLICY: TARGET.retention_policy,
        CONF_MEASUREMENT: SERIES.measurement,
        CONF_TAGS: dict(SERIES.tags),
        CONF_FIELDS: rows,
        **changes,
    }


def attribute_row(entity: str, attribute: str, name: str) -> dict[str, str]:
    """Return a row for an attribute."""
    return {CONF_ENTITY: entity, CONF_ATTRIBUTE: attribute, CONF_FIELD: name}


type AddAccount = Callable[..., Awaitable[MockConfigEntry]]


@pytest.fixture
async def add_account(
    hass: HomeAssistant, clock: Clock, simulator: Simulator, log_in: LogIn
) -> AsyncGenerator[AddAccount]:
    """Return what adds an account that has exports already."""
    entries: list[MockConfigEntry] = []

    async def add_account(
        *exports: dict[str, Any],
        username: str = "demo@example.com",
        options: dict[str, Any] | None = None,
        set_up: bool = True,
    ) -> MockConfigEntry:
        entry = MockConfigEntry(
            domain=DOMAIN,
            title=username,
            unique_id=str(simulator.accounts[username].user_id),
            data={
                CONF_USERNAME: username,
                CONF_AUTHENTICATION_URL: simulator.url,
                CONF_API_URL: simulator.url,
                CONF_INGRESS_URL: simulator.url,
                **token_data(await log_in(username)),
            },
            options=options,
            subentries_data=[
                ConfigSubentryData(
                    data=data,
                    subentry_type=SUBENTRY_EXPORT,
                    title=f"Export {number}",
                    unique_id=None,
                )
                for number, data in enumerate(exports)
            ],
        )
        entry.add_to_hass(hass)
        entries.append(entry)
        if set_up:
            assert await hass.config_entries.async_setup(entry.entry_id)
            await clock.settle()
            simulator.log.reset()
        return entry

    yield add_account
    for entry in entries:
        await hass.config_entries.async_unload(entry.entry_id)


def export_id(entry: MockConfigEntry, number: int = 0) -> str:
    """Return the id of an account's export."""
    ids: list[str] = list(entry.subentries)
    return ids[number]


def outbox_file(hass: HomeAssistant, entry: MockConfigEntry) -> Path:
    """Return where an account's outbox is."""
    return outbox_path(Path(hass.config.path(".storage")), entry.entry_id)


@pytest.fixture
async def outbox(
    hass: HomeAssistant, clock: Clock, tmp_path: Path
) -> AsyncGenerator[Outbox]:
    """Return an open outbox of nobody."""
    outbox = Outbox(hass, tmp_path / "outbox.db")
    await outbox.open()
    yield outbox
    await outbox.close()


@pytest.fixture
async def session(
    hass: HomeAssistant, log_in: LogIn, hosts: Hosts, simulator: Simulator
) -> Session:
    """Return a session of the demo account, with an access token already."""
    token = await log_in("demo@example.com")
    session = Session(async_get_clientsession(hass), token, hosts)
    await session.access_token()
    simulator.log.reset()
    return session


@dataclass(slots=True)
class UploaderKit:
    """An uploader by itself, with what it needs. It uploads when it is told to."""

    hass: HomeAssistant
    clock: Clock
    outbox: Outbox
    session: Session
    uploader: Uploader = field(init=False)
    issues: Issues = field(init=False)

    def __post_init__(self) -> None:
        """Make the uploader."""
        self.make()

    def make(self) -> None:
        """Make an uploader anew, as a restart does."""
        self.issues = Issues(self.hass, "entry", "demo", "instance")
        self.uploader = Uploader(self.hass, self.session, self.outbox, self.issues)

    def add(self, *samples: Sample) -> None:
        """Put samples into the outbox."""
        self.outbox.add(to_blocks(samples))

    async def add_to_disk(self, *samples: Sample) -> None:
        """Put samples into the outbox as a backlog."""
        self.add(*samples)
        await self.outbox.commit(everything=True)

    async def upload(self) -> None:
        """Upload what may be tried now."""
        self.uploader.async_wake()
        await self.uploader.async_finish()

    async def wait(self, seconds: float) -> None:
        """Let time pass; nothing is uploaded by itself."""
        self.clock.freezer.tick(seconds)

    async def waiting(self, name: str = "export") -> int:
        """Return how many samples wait, in memory and on disk."""
        figures = await self.outbox.refresh_figures()
        return figures[name].waiting if name in figures else 0

    async def reasons(self) -> list[tuple[Any, str]]:
        """Return value and reason of what is set aside, oldest first."""
        return [
            (sample.value, reason)
            for sample, reason in reversed(await self.outbox.store.run(load_rejects))
        ]


@pytest.fixture
async def kit(
    hass: HomeAssistant, clock: Clock, outbox: Outbox, session: Session
) -> AsyncGenerator[UploaderKit]:
    """Return an uploader by itself."""
    kit = UploaderKit(hass, clock, outbox, session)
    yield kit
    await kit.uploader.async_stop()


def issue_ids(hass: HomeAssistant) -> set[str]:
    """Return the kinds of the repair issues at present."""
    return {
        issue.translation_key or ""
        for issue in ir.async_get(hass).issues.values()
        if issue.domain == DOMAIN and issue.active
    }


def to_target(target: WriteTarget) -> Series:
    """Return the usual series at another target."""
    return replace(SERIES, target=target)
