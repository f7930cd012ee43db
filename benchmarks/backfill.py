"""A year of history of an export: `python -m benchmarks.backfill [ENTITIES [DAYS]]`.

Fills the database of a recorder with hourly statistics of a year and, for the last days, states and statistics of 5
minutes; then lets an account send all of it to a simulator that runs as a process of its own. Prints the rate, for
how long the event loop was held at a stretch, and the memory, for the first half of the values and for the second.
Beside it the same Home Assistant doing nothing, which is what the machine's noise is worth.

What there is when it begins is frozen out of Python's garbage collector: to walk through all of Home Assistant's
modules takes longer than anything that is measured here, and says nothing of it.
"""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
import gc
import math
from pathlib import Path
import sqlite3
import sys
from tempfile import TemporaryDirectory
import time
from types import MappingProxyType
from typing import Any

import aiohttp
from pytest_homeassistant_custom_component.common import (
    MockConfigEntry,
    async_test_home_assistant,
)

from custom_components.eniris.const import (
    CONF_HISTORY,
    EVENT_HISTORY_EXPORTED,
    SUBENTRY_EXPORT,
)
from homeassistant import loader
from homeassistant.config_entries import ConfigSubentry
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers import frame
from homeassistant.helpers.recorder import async_initialize_recorder, get_instance
from homeassistant.setup import async_setup_component

from .measure import LoopWatch, longest_ms, peak_memory, resident_mib, simulator
from .poll import add_account

_PORT = 8197
_KEPT = timedelta(days=10)
_STATES_EVERY = timedelta(seconds=60)
_ATTRIBUTES = (
    '{"unit_of_measurement":"kW","device_class":"power","state_class":"measurement"}'
)


def _times(start: datetime, end: datetime, step: timedelta) -> Iterator[float]:
    for number in range((end - start) // step):
        yield (start + number * step).timestamp()


def _value(entity: int, timestamp: float) -> float:
    return round(5 + 4 * math.sin(timestamp / 40_000 + entity), 3)


def fill(path: Path, entities: int, days: int, now: datetime) -> int:
    """Give a database that the recorder has made a past; return how many values it has."""
    hour = now.replace(minute=0, second=0, microsecond=0)
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA synchronous = OFF")
        db.execute(
            "INSERT INTO state_attributes (attributes_id, hash, shared_attrs)"
            " VALUES (1000000, 1, ?)",
            (_ATTRIBUTES,),
        )
        for entity in range(entities):
            key = 1_000_000 + entity
            db.execute(
                "INSERT INTO states_meta (metadata_id, entity_id) VALUES (?, ?)",
                (key, entity_id(entity)),
            )
            db.execute(
                "INSERT INTO statistics_meta (id, statistic_id, source,"
                " unit_of_measurement, has_mean, has_sum, mean_type)"
                " VALUES (?, ?, 'recorder', 'kW', 1, 0, 1)",
                (key, entity_id(entity)),
            )
            for table, start, step in (
                ("statistics", hour - timedelta(days=days), timedelta(hours=1)),
                ("statistics_short_term", hour - _KEPT, timedelta(minutes=5)),
            ):
                db.executemany(
                    f"INSERT INTO {table} (metadata_id, start_ts, created_ts, mean, min,"  # noqa: S608
                    " max) VALUES (?, ?, ?, ?, ?, ?)",
                    (
                        (key, at, at, _value(entity, at), 0.0, 9.0)
                        for at in _times(start, hour, step)
                    ),
                )
            db.executemany(
                "INSERT INTO states (metadata_id, state, attributes_id, last_updated_ts)"
                " VALUES (?, ?, 1000000, ?)",
                (
                    (key, f"{_value(entity, at):.3f}{number % 2}", at)
                    for number, at in enumerate(
                        _times(hour - _KEPT, hour, _STATES_EVERY)
                    )
                ),
            )
        (states,) = db.execute("SELECT count(*) FROM states").fetchone()
        (statistics,) = db.execute(
            "SELECT count(*) FROM statistics WHERE start_ts < ?",
            ((hour - _KEPT).timestamp(),),
        ).fetchone()
    db.close()
    return int(states + statistics)


def entity_id(number: int) -> str:
    """Return an entity."""
    return f"sensor.power_{number}"


async def start_recorder(hass: HomeAssistant, path: Path) -> None:
    """Set the recorder up with a file."""
    async_initialize_recorder(hass)
    assert await async_setup_component(
        hass, "recorder", {"recorder": {"db_url": f"sqlite:///{path}"}}
    )
    await hass.async_block_till_done()
    await get_instance(hass).async_block_till_done()


def add_export(hass: HomeAssistant, entry: MockConfigEntry, entities: int) -> str:
    """Give an account an export that begins with all of its past."""
    data: dict[str, Any] = {
        "collector": "demo-ingress",
        "database": "demo",
        "retention_policy": "rp_one_m",
        "measurement": "submeteringMetrics",
        "tags": {"serialNr": "benchmark"},
        "mode": "change",
        "fields": [
            {"entity": entity_id(number), "field": f"power{number}_W"}
            for number in range(entities)
        ],
        CONF_HISTORY: "everything",
    }
    subentry = ConfigSubentry(
        data=MappingProxyType(data),
        subentry_type=SUBENTRY_EXPORT,
        title="benchmark",
        unique_id=None,
    )
    hass.config_entries.async_add_subentry(entry, subentry)
    return subentry.subentry_id


async def make_database(folder: str, path: Path) -> None:
    """Let a recorder make its database."""
    async with async_test_home_assistant(config_dir=folder) as hass:
        await start_recorder(hass, path)
        await hass.async_stop(force=True)


async def main(entities: int, days: int) -> None:
    """Fill, send, print."""
    idle, busy = LoopWatch(), LoopWatch()
    now = datetime.now(UTC)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "home-assistant_v2.db"
        await make_database(folder, path)
        count = await asyncio.get_running_loop().run_in_executor(
            None, fill, path, entities, days, now
        )
        async with (
            simulator(_PORT, "--tier", "unlimited") as url,
            aiohttp.ClientSession() as http,
            async_test_home_assistant(config_dir=folder) as hass,
        ):
            # Else the oldest hours would be refused, and the rest not sent
            switches = {"max_age_s": (days + 2) * 86_400}
            async with http.post(f"{url}/_simulator/switches", json=switches) as answer:
                assert answer.status == 200, await answer.text()
            hass.data.pop(loader.DATA_CUSTOM_COMPONENTS, None)
            frame.async_setup(hass)
            await start_recorder(hass, path)
            assert await async_setup_component(hass, "network", {})
            entry = await add_account(hass, url)
            export_id = add_export(hass, entry, entities)
            assert await hass.config_entries.async_setup(entry.entry_id)
            await hass.async_block_till_done()
            done = asyncio.Event()
            hass.bus.async_listen_once(
                EVENT_HISTORY_EXPORTED, callback(lambda _event: done.set())
            )
            exporter = entry.runtime_data.exporter
            gc.collect()
            gc.freeze()
            async with idle.watch():
                await asyncio.sleep(2)
            before = resident_mib()
            with peak_memory() as memory:
                started = time.perf_counter()
                async with busy.watch():
                    await done.wait()
                elapsed = time.perf_counter() - started
            await exporter.async_refresh()
            job = exporter.status(export_id).history.job
            await hass.config_entries.async_unload(entry.entry_id)
            await hass.async_stop(force=True)
    assert job.stored == count, (job, count)
    half = len(memory) // 2
    print(f"values in the recorder {count:>12,}")
    print(f"values per second      {count / elapsed:>12,.0f}")
    print(f"seconds                {elapsed:>12.1f}")
    for name, watch in (("idle", idle), ("send", busy)):
        print(f"{name}: one callback     {longest_ms(watch.costs):>12.1f} ms at most")
        print(f"{name}: loop late        {longest_ms(watch.delays):>12.1f} ms at most")
        print(
            f"{name}: loop late        {longest_ms(watch.delays, 0.999):>12.1f} ms in 99.9 %"
        )
    print(f"memory before          {before:>12.1f} MiB")
    print(f"memory added, 1st half {max(memory[:half]) - before:>12.1f} MiB at most")
    print(f"memory added, 2nd half {max(memory[half:]) - before:>12.1f} MiB at most")


if __name__ == "__main__":
    arguments = [int(argument) for argument in sys.argv[1:]]
    asyncio.run(main(*(arguments + [100, 365][len(arguments) :])))
