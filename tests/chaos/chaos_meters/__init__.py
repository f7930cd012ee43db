"""Meters whose values are all different, and a journal that outlives the process.

A value is the place of its own line in the journal, so that no value comes twice, also not after a
restart. A line is in the kernel's hands before the event loop goes on, hence before the value can be
on any disk: what a kill takes away is known all the same. Beside values it has the states of the
config entries of one domain and of the entities whose ids begin as told, at the moment of their change.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
import os
from pathlib import Path
import shutil
import time
from typing import Final

import voluptuous as vol

from homeassistant.config_entries import (
    SIGNAL_CONFIG_ENTRY_CHANGED,
    ConfigEntry,
    ConfigEntryChange,
)
from homeassistant.const import EVENT_HOMEASSISTANT_FINAL_WRITE, EVENT_STATE_CHANGED
from homeassistant.core import (
    Event,
    EventStateChangedData,
    HomeAssistant,
    ServiceCall,
    callback,
)
from homeassistant.helpers import config_validation as cv
from homeassistant.helpers.dispatcher import async_dispatcher_connect
from homeassistant.helpers.typing import ConfigType
from homeassistant.loader import async_get_integration

DOMAIN: Final = "chaos_meters"

CONFIG_SCHEMA = vol.Schema(
    {
        DOMAIN: vol.Schema(
            {
                vol.Required("journal"): cv.string,
                vol.Required("power"): cv.entity_ids,
                vol.Required("words"): cv.entity_ids,
                vol.Required("watched_domain"): cv.string,
                vol.Required("watched_entities"): cv.string,
                vol.Required("period"): vol.Coerce(float),
            }
        )
    },
    extra=vol.ALLOW_EXTRA,
)

BURST_SCHEMA: Final = vol.Schema({vol.Required("count"): cv.positive_int})

BACK_UP_SCHEMA: Final = vol.Schema(
    {
        vol.Required("file"): cv.string,
        vol.Required("folder"): cv.string,
        vol.Required("pause"): vol.Coerce(float),
        vol.Required("log_first"): cv.boolean,
    }
)

_AT_ONCE: Final = 50
"""Values that a burst sets before others have their turn."""


@dataclass
class Journal:
    """The file that all lines are appended to."""

    path: str

    def open(self) -> None:
        """Open or create it. Blocks."""
        self.ended = False
        self._file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self.place = os.fstat(self._file).st_size

    def write(self, kind: str, name: str, wall_us: int, text: object) -> None:
        """Append a line: kind, name, microseconds since 1970 and by the monotonic clock, text."""
        line = f"{kind} {name} {wall_us} {time.monotonic_ns() // 1000} {text}\n"
        self.place += os.write(self._file, line.encode())


async def async_setup(hass: HomeAssistant, config: ConfigType) -> bool:
    """Set values from now on, until almost everything has stopped."""
    own = config[DOMAIN]
    journal = Journal(own["journal"])
    await hass.async_add_executor_job(journal.open)
    meters = dict.fromkeys(own["power"], True) | dict.fromkeys(own["words"], False)
    _watch(hass, journal, own["watched_domain"], own["watched_entities"])

    async def run() -> None:
        while True:
            for entity_id, is_power in meters.items():
                _set(hass, journal, entity_id, is_power=is_power)
                await asyncio.sleep(own["period"] / len(meters))

    async def burst(call: ServiceCall) -> None:
        await _burst(hass, journal, meters, call.data["count"])

    task = hass.async_create_background_task(run(), "chaos meters")

    async def pause(_call: ServiceCall) -> None:
        task.cancel()

    hass.services.async_register(DOMAIN, "burst", burst, BURST_SCHEMA)

    async def back_up(call: ServiceCall) -> None:
        await _back_up(hass, own["watched_domain"], **call.data)

    hass.services.async_register(DOMAIN, "pause", pause)
    hass.services.async_register(DOMAIN, "back_up", back_up, BACK_UP_SCHEMA)

    @callback
    def stop(_event: Event) -> None:
        # What is set until here has to be stored; nobody promises anything of what comes later
        task.cancel()
        journal.ended = True
        journal.write("stop", "-", time.time_ns() // 1000, "-")

    hass.bus.async_listen_once(EVENT_HOMEASSISTANT_FINAL_WRITE, stop)
    return True


async def _burst(
    hass: HomeAssistant, journal: Journal, meters: Mapping[str, bool], count: int
) -> None:
    """Set many values as fast as the event loop goes round."""
    order = list(meters.items())
    for number in range(count):
        entity_id, is_power = order[number % len(order)]
        _set(hass, journal, entity_id, is_power=is_power)
        if number % _AT_ONCE == 0:
            await asyncio.sleep(0)


@callback
def _set(
    hass: HomeAssistant, journal: Journal, entity_id: str, *, is_power: bool
) -> None:
    if journal.ended:
        return
    place = journal.place
    if is_power:
        hass.states.async_set(
            entity_id,
            f"{place / 1000:.3f}",
            {"unit_of_measurement": "kW", "device_class": "power"},
        )
    else:
        hass.states.async_set(entity_id, f"word{place}")
    state = hass.states.get(entity_id)
    assert state is not None
    journal.write(
        "value", entity_id, round(state.last_updated.timestamp() * 1_000_000), place
    )


async def _back_up(
    hass: HomeAssistant,
    domain: str,
    file: str,
    folder: str,
    pause: float,
    log_first: bool,
) -> None:
    """Copy files as Home Assistant's backup does: in any order, and told before and after."""
    integration = await async_get_integration(hass, domain)
    platform = await integration.async_get_platform("backup")
    await platform.async_pre_backup(hass)
    try:
        source, target = Path(file), Path(folder)
        names = await hass.async_add_executor_job(_begin_copy, source, target)
        for name in reversed(names) if log_first else names:
            await hass.async_add_executor_job(
                shutil.copy, source.with_name(name), target
            )
            await asyncio.sleep(pause)
    finally:
        await platform.async_post_backup(hass)


def _begin_copy(file: Path, folder: Path) -> list[str]:
    """Empty the folder, and return the names of a database and its log. Blocks."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return [
        each.name
        for each in sorted(file.parent.glob(f"{file.name}*"))
        if ".damaged" not in each.name and not each.name.endswith("-shm")
    ]


def _watch(hass: HomeAssistant, journal: Journal, domain: str, prefix: str) -> None:
    @callback
    def entry_changed(_change: ConfigEntryChange, entry: ConfigEntry) -> None:
        if entry.domain == domain:
            journal.write(
                "entry", entry.entry_id, time.time_ns() // 1000, entry.state.value
            )

    @callback
    def entity_changed(event: Event[EventStateChangedData]) -> None:
        if not event.data["entity_id"].startswith(prefix):
            return
        new = event.data["new_state"]
        journal.write(
            "entity",
            event.data["entity_id"],
            time.time_ns() // 1000,
            "-" if new is None else new.state,
        )

    async_dispatcher_connect(hass, SIGNAL_CONFIG_ENTRY_CHANGED, entry_changed)
    hass.bus.async_listen(EVENT_STATE_CHANGED, entity_changed)
