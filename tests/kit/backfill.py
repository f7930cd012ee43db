"""What the tests of the past share: states and statistics that the recorder has, jobs, and exports that send them."""

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from freezegun.api import FrozenDateTimeFactory
import pytest
from pytest_homeassistant_custom_component.components.recorder.common import (
    async_wait_recording_done,
)

from custom_components.eniris.api import EnirisConnectionError, Session
from custom_components.eniris.const import CONF_HISTORY, DOMAIN
from custom_components.eniris.exporting.history import jobs
from custom_components.eniris.exporting.history.jobs import HistoryQueue, Job, Sending
from custom_components.eniris.exporting.history.recorder import Chunk
from custom_components.eniris.exporting.outbox.batches import Sample
from custom_components.eniris.exporting.outbox.outbox import Outbox
from custom_components.eniris.services import SERVICE_EXPORT_HISTORY
from homeassistant.components.recorder.db_schema import (
    Statistics,
    StatisticsMeta,
    StatisticsShortTerm,
)
from homeassistant.components.recorder.models import StatisticMeanType
from homeassistant.config_entries import ConfigSubentry
from homeassistant.core import HomeAssistant, ServiceResponse
from homeassistant.helpers import entity_registry as er
from homeassistant.helpers.recorder import get_instance, session_scope
from homeassistant.util import dt as dt_util
from tests.kit.exports import POWER, START, Home

TABLES: Mapping[str, Any] = {"5minute": StatisticsShortTerm, "hour": Statistics}

type Row = tuple[datetime, str, str, dict[str, Any]]
"""When which entity got which state with which attributes."""


async def record(
    hass: HomeAssistant, freezer: FrozenDateTimeFactory, rows: Iterable[Row]
) -> None:
    """Let entities have states at past times, and the recorder note them."""
    for time, entity_id, state, attributes in sorted(rows, key=lambda row: row[0]):
        freezer.move_to(time)
        hass.states.async_set(entity_id, state, attributes)
    await hass.async_block_till_done()
    await async_wait_recording_done(hass)


def add_statistics(
    hass: HomeAssistant,
    period: str,
    entity_id: str,
    unit: str | None,
    rows: Iterable[tuple[datetime, Mapping[str, float]]],
    *,
    is_meter: bool = False,
) -> None:
    """Give the recorder statistics of an entity by the starts of their intervals. Blocks."""
    with session_scope(hass=hass) as session:
        metadata = (
            session.query(StatisticsMeta)
            .filter(StatisticsMeta.statistic_id == entity_id)
            .one_or_none()
        )
        if metadata is None:
            metadata = StatisticsMeta(
                statistic_id=entity_id,
                source="recorder",
                unit_of_measurement=unit,
                has_mean=not is_meter,
                has_sum=is_meter,
                mean_type=(
                    StatisticMeanType.NONE if is_meter else StatisticMeanType.ARITHMETIC
                ),
            )
            session.add(metadata)
            session.flush()
        session.add_all(
            TABLES[period](
                metadata_id=metadata.id, start_ts=start.timestamp(), **values
            )
            for start, values in rows
        )


async def add_means(
    hass: HomeAssistant,
    period: str,
    entity_id: str,
    unit: str | None,
    means: Mapping[datetime, float],
) -> None:
    """Give the recorder means of an entity by the starts of their intervals."""
    await get_instance(hass).async_add_executor_job(
        add_statistics,
        hass,
        period,
        entity_id,
        unit,
        [
            (start, {"mean": mean, "min": mean - 1, "max": mean + 1})
            for start, mean in means.items()
        ],
    )


class PastQueue(HistoryQueue):
    """The history queue with the jobs that it belongs to, as a backfill works on them."""

    def __init__(self, outbox: Outbox) -> None:
        """Keep the jobs in an outbox."""
        super().__init__()
        self.outbox = outbox

    async def ask(self, export_id: str, start: datetime, end: datetime) -> bool:
        """Make a job; return whether there was need of it."""
        return await self.outbox.store.run(jobs.ask, export_id, start, end)

    async def jobs(self) -> list[Job]:
        """Return the jobs to be done, and of each export the last one done, as they are written down."""
        return await self.outbox.store.run(jobs.load_jobs)

    def add(
        self, job: Job, since: datetime, samples: Sequence[Sample], unusable: int = 0
    ) -> None:
        """Have a chunk wait."""
        sending = self.sendings.setdefault(job.id, Sending(job))
        sending.put(Chunk(since, list(samples), unusable))

    def waiting(self, job: Job) -> int:
        """Return how much waits of a job."""
        its = self.sendings.get(job.id)
        return 0 if its is None else sum(map(len, its.blocks))

    async def save(self, job: Job) -> None:
        """Write down what has become of a job."""
        its = self.sendings.setdefault(job.id, Sending(job))
        await self.outbox.store.run(jobs.save, its)

    async def keep(self, export_ids: Collection[str]) -> None:
        """Forget the jobs of all other exports."""
        await self.outbox.store.run(jobs.begin, export_ids, {}, dt_util.utcnow())

    async def finish(self, job: Job) -> None:
        """Note that a job is done."""
        job.finish()
        await self.save(job)


FIELD = "actualPowerTot_W"
KW = {
    "unit_of_measurement": "kW",
    "device_class": "power",
    "state_class": "measurement",
}
PAST: Mapping[str, Any] = {CONF_HISTORY: "everything"}


def before(**delta: float) -> datetime:
    """Return a time before the account is set up."""
    return START - timedelta(**delta)


def seen(home: Home, field: str = FIELD) -> dict[datetime, Any]:
    """Return what the service has of a field by time; each was written once."""
    values = {}
    for point in home.points(field_name=field):
        time = datetime.fromtimestamp(point.time_ns / 1e9, UTC)
        values[time] = point.fields[field]
    return values


def power(*values: tuple[float, str]) -> list[Row]:
    """Return states of the power sensor by hours before the start."""
    return [(before(hours=hours), POWER, state, KW) for hours, state in values]


def register(hass: HomeAssistant, entity_id: str) -> str:
    """Give an entity an entry in the registry, and return its id there."""
    domain, name = entity_id.split(".")
    entry = er.async_get(hass).async_get_or_create(
        domain, "test", name, suggested_object_id=name
    )
    return entry.id


async def export(
    home: Home, mapping: dict[str, str] | None = None, /, **changes: Any
) -> ConfigSubentry:
    """Make an export that begins with its past, and let that go up."""
    made = await home.add_export(mapping or {POWER: FIELD}, **{**PAST, **changes})
    await home.wait(6)
    return made


def history(home: Home, made: ConfigSubentry) -> tuple[str, dict[str, Any]]:
    """Return what the sensor of an export's past shows."""
    state = home.hass.states.get(home.entity_id(made, "sensor", "history"))
    assert state is not None
    return state.state, {
        name: state.attributes.get(name)
        for name in (
            *("start", "end", "reading_back_to", "stored", "outside"),
            *("outside_until", "refused", "unusable", "reason"),
        )
    }


def is_history_shown(home: Home, made: ConfigSubentry) -> bool:
    """Tell whether an export has the sensor of its past."""
    entities = er.async_entries_for_config_entry(
        er.async_get(home.hass), home.entry.entry_id
    )
    return any(
        each.config_subentry_id == made.subentry_id
        and each.translation_key == "history"
        for each in entities
    )


def device_id(home: Home, made: ConfigSubentry) -> str:
    """Return the device of an export."""
    entity = er.async_get(home.hass).async_get(
        home.entity_id(made, "sensor", "waiting")
    )
    assert entity is not None
    assert entity.device_id is not None
    return entity.device_id


async def ask(home: Home, made: ConfigSubentry, **data: Any) -> ServiceResponse:
    """Ask for a part of the past, and let it go up."""
    response = await home.hass.services.async_call(
        DOMAIN,
        SERVICE_EXPORT_HISTORY,
        {"device_id": device_id(home, made), **data},
        blocking=True,
        return_response=True,
    )
    await home.wait(1)
    await home.settle()
    return response


def refuse_before(home: Home, time: datetime) -> None:
    """Let the service take nothing that is older."""
    home.simulator.switches.max_age_s = (START - time).total_seconds() + 60


def many(count: int, entity_id: str = POWER) -> list[Row]:
    """Return states of the last hours before the start, 10 seconds apart."""
    return [
        (before(seconds=10 * number + 5), entity_id, str(number), KW)
        for number in range(count)
    ]


async def works(home: Home) -> None:
    """Let the service be known to take something: else what is refused is no news of the past."""
    home.hass.states.async_set("sensor.works", "1", {"unit_of_measurement": "W"})
    await home.add_export({"sensor.works": "works_W"}, title="Works")
    await home.wait(6)


def hold(
    monkeypatch: pytest.MonkeyPatch, number: int, *, fail: bool = False
) -> tuple[asyncio.Event, asyncio.Event]:
    """Hold a request; return what tells that it has come, and what lets it go on or fail."""
    reached, go_on = asyncio.Event(), asyncio.Event()
    requests = 0
    write = Session.write_body

    async def write_body(*args: Any, **kwargs: Any) -> None:
        nonlocal requests
        requests += 1
        if requests == number:
            reached.set()
            await go_on.wait()
            if fail:
                raise EnirisConnectionError("the connection was cut")
        await write(*args, **kwargs)

    monkeypatch.setattr(Session, "write_body", write_body)
    return reached, go_on
