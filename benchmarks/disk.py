"""What is written to disk, and how soon a value is stored: `python -m benchmarks.disk`, which takes 14 minutes.

100 fields change once a second each, ten of them at a time, as integrations write them after a poll. They are sent by one
export, or by ten of ten fields. What the process has written is what Linux counts for it (`write_bytes`): whole pages of
4 KiB that files had to get, however few bytes of them are new. Both are measured in real time, by Home Assistants in
processes of their own that run at the same time: one without exports, whose bytes are subtracted, one whose uploads work, and
two whose service answers 503. What a database has yet to take out of its log at the end is taken out and counted.

How soon: from a state's own time until the request that brings it is at the service, which answers within milliseconds; of the last
500 requests.
"""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
import json
import multiprocessing
import os
from pathlib import Path
import re
import statistics
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Any, Final

import aiohttp
from pytest_homeassistant_custom_component.common import (
    MockConfigEntry,
    async_test_home_assistant,
)

from custom_components.eniris.const import CONF_IMPORT, CONF_INTERVAL, SUBENTRY_EXPORT
from homeassistant import loader
from homeassistant.config_entries import ConfigSubentry
from homeassistant.core import HomeAssistant
from homeassistant.helpers import frame
from homeassistant.setup import async_setup_component
from scripts.demo.processes import free_port

from . import report
from .measure import simulator
from .poll import add_account
from .report import Effort, Figure, Goal

_SECONDS: Final = 600
_FIELDS: Final = 100
_AT_ONCE: Final = 10
_SETTLE: Final = 200.0
"""Seconds after the set-up in which what is done once is done: Home Assistant stores its registries after three minutes."""
_ON_DISK: Final = Path("/var/tmp")  # noqa: S108
"""Other than `/tmp`, which is memory in many places."""
_ATTRIBUTES: Final = {
    "unit_of_measurement": "W",
    "device_class": "power",
    "state_class": "measurement",
}


@dataclass(frozen=True, slots=True)
class _Case:
    """One Home Assistant."""

    exports: int
    fails: bool
    seconds: int


@dataclass(frozen=True, slots=True)
class _Run:
    """What came of it."""

    written: int
    samples: int
    delays: list[float]
    """Seconds from a change to its request; of some, where uploads work."""


def _written() -> int:
    """Return the bytes that this process has had written so far (Linux)."""
    text = Path("/proc/self/io").read_text(encoding="ascii")
    match = re.search(r"^write_bytes: (\d+)$", text, re.MULTILINE)
    assert match is not None
    return int(match[1])


def _assert_counted(folder: str) -> None:
    """Make sure that the folder is on a disk."""
    before = _written()
    with (Path(folder) / "probe").open("wb") as file:
        file.write(os.urandom(65_536))
        file.flush()
        os.fsync(file.fileno())
    assert _written() - before >= 65_536, f"{folder} is in memory"


def _entity_id(number: int) -> str:
    return f"sensor.disk_{number}"


def _export(number: int, fields: range) -> ConfigSubentry:
    data: dict[str, Any] = {
        "collector": "demo-ingress",
        "database": "demo",
        "retention_policy": "rp_one_s",
        "measurement": "submeteringMetrics",
        "tags": {"serialNr": f"disk-{number}"},
        "mode": "change",
        "fields": [
            {"entity": _entity_id(field), "field": f"power{field}_W"}
            for field in fields
        ],
    }
    return ConfigSubentry(
        data=MappingProxyType(data),
        subentry_type=SUBENTRY_EXPORT,
        title=f"disk {number}",
        unique_id=None,
    )


async def _set_up(hass: HomeAssistant, url: str, exports: int) -> MockConfigEntry:
    hass.data.pop(loader.DATA_CUSTOM_COMPONENTS, None)
    frame.async_setup(hass)
    assert await async_setup_component(hass, "network", {})
    entry = await add_account(hass, url)
    # It reads nothing meanwhile
    hass.config_entries.async_update_entry(
        entry, options={CONF_IMPORT: {CONF_INTERVAL: 3600}}
    )
    for number in range(exports):
        each = _FIELDS // exports
        fields = range(number * each, (number + 1) * each)
        hass.config_entries.async_add_subentry(entry, _export(number, fields))
    assert await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done()
    return entry


async def _change(hass: HomeAssistant, seconds: int) -> None:
    """Let every field change once a second."""
    loop = asyncio.get_running_loop()
    due = loop.time()
    pause = _AT_ONCE / _FIELDS
    for second in range(seconds):
        for first in range(0, _FIELDS, _AT_ONCE):
            for number in range(first, first + _AT_ONCE):
                # No two in a row alike, and digits that do not repeat soon
                value = 1500 + (second * 7919 + number * 104_729) % 10_007 / 10
                hass.states.async_set(_entity_id(number), f"{value:.1f}", _ATTRIBUTES)
            due += pause
            await asyncio.sleep(due - loop.time())


async def _delays(http: aiohttp.ClientSession, url: str) -> list[float]:
    """Return how many seconds the values took that the last requests have brought."""
    async with http.get(
        f"{url}/_simulator/requests", params={"path": "/v1/telemetry"}
    ) as answer:
        log = await answer.json()
    return [
        (
            datetime.fromisoformat(request["time"])
            - datetime.fromisoformat(point["time"])
        ).total_seconds()
        for request in log["requests"]
        if request["status"] == 204 and request["body"] is not None
        for point in json.loads(request["body"])
    ]


async def _measure(case: _Case) -> _Run:
    with TemporaryDirectory(dir=_ON_DISK) as folder:
        _assert_counted(folder)
        async with (
            simulator(free_port(), "--tier", "unlimited") as url,
            aiohttp.ClientSession() as http,
            async_test_home_assistant(config_dir=folder) as hass,
        ):
            entry = await _set_up(hass, url, case.exports)
            if case.fails:
                fault = {"path": "/v1/telemetry", "fault": "status", "status": 503}
                async with http.post(f"{url}/_simulator/faults", json=fault) as answer:
                    assert answer.ok, await answer.text()
            await _change(hass, round(_SETTLE))
            exporter = entry.runtime_data.exporter
            async with exporter.outbox.store.at_rest():
                before = _written()
            await _change(hass, case.seconds)
            async with exporter.outbox.store.at_rest():
                written = _written() - before
            await exporter.async_refresh()
            figures = [exporter.status(key).figures for key in exporter.exports]
            uploaded = sum(each.uploaded for each in figures)
            waiting = sum(each.waiting for each in figures)
            delays = [] if case.fails else await _delays(http, url)
            samples = case.seconds * _FIELDS
            if case.exports:
                assert (waiting if case.fails else uploaded) >= samples, figures
            with suppress(TimeoutError):
                async with asyncio.timeout(30):
                    await hass.config_entries.async_unload(entry.entry_id)
            await hass.async_stop(force=True)
    return _Run(written, samples, delays)


def _run(case: _Case) -> _Run:
    return asyncio.run(_measure(case))


def _figures(runs: list[list[_Run]]) -> Iterator[Figure]:
    for number, (what, goal) in enumerate(
        (
            ("uploads work", Goal("≤", 1)),
            ("uploads fail", Goal("≤", 80)),
            ("uploads fail, ten exports of ten fields", None),
        ),
        start=1,
    ):
        yield Figure(
            f"disk, 100 fields at 1 Hz: written while {what}",
            "bytes/sample",
            tuple(
                (some[number].written - some[0].written) / some[number].samples
                for some in runs
            ),
            goal=goal,
        )
    delays = [some[1].delays for some in runs]
    yield Figure(
        "from a change to the service, 1 Hz: median",
        "s",
        tuple(map(statistics.median, delays)),
    )
    yield Figure(
        "from a change to the service, 1 Hz: longest",
        "s",
        tuple(map(max, delays)),
        goal=Goal("≤", 2),
    )


def measure(effort: Effort) -> list[Figure]:
    """Measure all cases side by side."""
    seconds = effort.size(_SECONDS, 20)
    cases = [
        _Case(0, False, seconds),
        _Case(1, False, seconds),
        _Case(1, True, seconds),
        _Case(10, True, seconds),
    ]
    with ProcessPoolExecutor(
        len(cases), multiprocessing.get_context("spawn"), max_tasks_per_child=1
    ) as processes:
        runs = [list(processes.map(_run, cases)) for _ in range(effort.repetitions)]
    return list(_figures(runs))


if __name__ == "__main__":
    report.main(measure, __doc__)
