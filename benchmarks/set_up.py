"""An account that is set up in a Home Assistant of its own: `python -m benchmarks.set_up URL`, with a simulator's address.

Prints, as JSON, the seconds until the first value of a node has a state and until all have that get one, and by how many MiB
the process has grown. Neither the integration nor what it alone needs is imported before.
"""

import asyncio
import gc
import importlib
import json
import sys
from tempfile import TemporaryDirectory
import time
from typing import Any

from pytest_homeassistant_custom_component.common import async_test_home_assistant

from homeassistant import loader

# What any home has: else it would count as ours
import homeassistant.bootstrap
from homeassistant.const import EVENT_STATE_CHANGED, STATE_UNAVAILABLE, STATE_UNKNOWN
from homeassistant.core import Event, EventStateChangedData, HomeAssistant, callback
from homeassistant.helpers import entity_registry as er, frame
from homeassistant.setup import async_setup_component

from .measure import resident_mib

_NODES_MEASURE = "Metrics_"
"""In the unique ids of what comes from a node's telemetry."""


def _is_value(hass: HomeAssistant, entity_id: str, state: str) -> bool:
    entry = er.async_get(hass).async_get(entity_id)
    return (
        entry is not None
        and _NODES_MEASURE in entry.unique_id
        and state not in (STATE_UNKNOWN, STATE_UNAVAILABLE)
    )


async def set_up(url: str) -> dict[str, Any]:
    """Set an account up, and tell how long that took and what it added."""
    with TemporaryDirectory() as folder:
        async with async_test_home_assistant(config_dir=folder) as hass:
            hass.data.pop(loader.DATA_CUSTOM_COMPONENTS, None)
            frame.async_setup(hass)
            for component in ("network", "sensor", "binary_sensor", "button", "switch"):
                assert await async_setup_component(hass, component, {})
            await hass.async_block_till_done()
            times: list[float] = []

            @callback
            def note(event: Event[EventStateChangedData]) -> None:
                new = event.data["new_state"]
                if new and _is_value(hass, new.entity_id, new.state):
                    times.append(time.perf_counter())

            gc.collect()
            before, started = resident_mib(), time.perf_counter()
            # Only now, since it imports the integration
            poll = importlib.import_module(f"{__package__}.poll")
            entry = await poll.add_account(hass, url)
            hass.bus.async_listen(EVENT_STATE_CHANGED, note)
            imported = time.perf_counter() - started
            started = time.perf_counter()
            assert await hass.config_entries.async_setup(entry.entry_id)
            await entry.runtime_data.first_refresh
            await hass.async_block_till_done()
            gc.collect()
            memory = resident_mib() - before
            assert times, "no value came"
            values = sum(
                _is_value(hass, state.entity_id, state.state)
                for state in hass.states.async_all()
            )
            assert await hass.config_entries.async_unload(entry.entry_id)
            await hass.async_stop(force=True)
    return {
        "imported": imported,
        "first": times[0] - started,
        "all": times[-1] - started,
        "values": values,
        "memory": memory,
    }


if __name__ == "__main__":
    assert homeassistant.bootstrap
    print(json.dumps(asyncio.run(set_up(sys.argv[1]))))
