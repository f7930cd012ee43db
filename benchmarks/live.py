"""Live values: from a controller's message to the state that shows it: `python -m benchmarks.live`.

A Home Assistant with an account of ten sites, each with its controller. Another process plays them: each sends ten messages a
second, all hundred spread evenly over it, over MQTT through a broker that is in that process, too, and by webhook. A
message is under way from the moment before it is made a text until Home Assistant has the state of the grid's power, in
which the message says when that was. All that the machine does besides is in that, which is why the worst has no goal.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
import json
from pathlib import Path
import secrets
import statistics
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Any, Final

from aiohttp.test_utils import BaseTestServer, TestServer
from pytest_homeassistant_custom_component.common import (
    MockConfigEntry,
    async_test_home_assistant,
)

from custom_components.eniris.const import (
    CONF_MQTT,
    CONF_PERIOD,
    CONF_SERIAL,
    CONF_SITE_NODE_ID,
    CONF_TLS,
    CONF_WEBHOOK,
    SUBENTRY_CONTROLLER,
)
from homeassistant import loader
from homeassistant.config_entries import ConfigSubentry
from homeassistant.const import (
    CONF_HOST,
    CONF_PASSWORD,
    CONF_PORT,
    CONF_TOKEN,
    CONF_USERNAME,
    CONF_WEBHOOK_ID,
    EVENT_STATE_CHANGED,
)
from homeassistant.core import Event, EventStateChangedData, HomeAssistant, callback
from homeassistant.helpers import entity_registry as er, frame
from homeassistant.setup import async_setup_component
from scripts.demo.processes import free_port
from simulator.controller.broker import HOST

from . import report
from .controllers import PER_SECOND, USERNAME, elapsed_ms
from .measure import server, simulator
from .poll import add_account
from .report import Effort, Figure, Goal

_CONTROLLERS: Final = 10
_SECONDS: Final = 10
_WARM_UP: Final = 3.0
_WITHIN_MS: Final = 100.0
"""What issue and documents promise."""


@asynccontextmanager
async def _home(
    mqtt_port: int, file: Path
) -> AsyncIterator[tuple[HomeAssistant, list[dict[str, str]]]]:
    """Set up a Home Assistant with ten controllers, and write down for `benchmarks.controllers` where they send to."""
    with TemporaryDirectory() as folder:
        async with (
            simulator(free_port(), "--fleet", str(_CONTROLLERS)) as url,
            async_test_home_assistant(config_dir=folder) as hass,
        ):
            hass.data.pop(loader.DATA_CUSTOM_COMPONENTS, None)
            frame.async_setup(hass)
            for component in ("network", "http", "webhook"):
                assert await async_setup_component(hass, component, {})
            entry = await add_account(hass, url)
            assert await hass.config_entries.async_setup(entry.entry_id)
            await entry.runtime_data.first_refresh
            async with TestServer(hass.http.app) as http:
                targets = [
                    _add_controller(hass, entry, site, mqtt_port, http)
                    for site in entry.runtime_data.nodes.data.sites
                ]
                await hass.async_block_till_done()
                # Reading and writing a file of some lines
                file.write_text(json.dumps(targets), "utf-8")  # noqa: ASYNC240
                yield hass, targets
                await hass.config_entries.async_unload(entry.entry_id)
            await hass.async_stop(force=True)


def _add_controller(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    site: str,
    mqtt_port: int,
    http: BaseTestServer,
) -> dict[str, str]:
    serial = site.removesuffix("_site_0")
    webhook_id, token = secrets.token_hex(32), secrets.token_urlsafe(32)
    data: dict[str, Any] = {
        CONF_SITE_NODE_ID: site,
        CONF_SERIAL: serial,
        CONF_WEBHOOK: {CONF_WEBHOOK_ID: webhook_id, CONF_TOKEN: token, CONF_PERIOD: 1},
        CONF_MQTT: {
            CONF_HOST: HOST,
            CONF_PORT: mqtt_port,
            CONF_TLS: False,
            CONF_USERNAME: USERNAME,
            CONF_PASSWORD: USERNAME,
        },
    }
    subentry = ConfigSubentry(
        data=MappingProxyType(data),
        subentry_type=SUBENTRY_CONTROLLER,
        title=site,
        unique_id=site,
    )
    hass.config_entries.async_add_subentry(entry, subentry)
    return {
        "serial": serial,
        "site_node_id": site,
        "url": str(http.make_url(f"/api/webhook/{webhook_id}")),
        "token": token,
    }


@contextmanager
def _noted(hass: HomeAssistant) -> Iterator[list[float]]:
    """Note how many milliseconds each message has been under way."""
    powers = {
        entity.entity_id
        for entity in er.async_get(hass).entities.values()
        if entity.translation_key == "grid_power" and entity.config_subentry_id
    }
    assert len(powers) == _CONTROLLERS
    times: list[float] = []

    @callback
    def note(event: Event[EventStateChangedData]) -> None:
        if event.data["entity_id"] in powers and event.data["new_state"]:
            times.append(elapsed_ms(float(event.data["new_state"].state)))

    end = hass.bus.async_listen(EVENT_STATE_CHANGED, note)
    yield times
    end()


async def _measure(effort: Effort) -> list[Figure]:
    figures = []
    seconds = effort.size(_SECONDS)
    with TemporaryDirectory() as folder:
        file, port = Path(folder) / "controllers.json", free_port()
        async with _home(port, file) as (hass, _):
            for way, by in (("MQTT", "mqtt"), ("webhook", "webhook")):
                medians, most, worst = [], [], []
                async with server(
                    "benchmarks.controllers", port, "--by", by, str(file)
                ):
                    # Until all are connected
                    await asyncio.sleep(_WARM_UP)
                    for _ in range(effort.repetitions):
                        with _noted(hass) as times:
                            await asyncio.sleep(seconds)
                        sent = seconds * _CONTROLLERS * PER_SECOND
                        assert len(times) > 0.9 * sent, f"{len(times)} of {sent}"
                        medians.append(statistics.median(times))
                        most.append(statistics.quantiles(times, n=100)[-1])
                        worst.append(max(times))
                goal = Goal("≤", _WITHIN_MS)
                what = f"From a message to its state, {way}, {_CONTROLLERS} controllers with {PER_SECOND} a second"
                figures += [
                    Figure(f"{what}: median", "ms", tuple(medians), goal=goal),
                    Figure(f"{what}: 99 of 100", "ms", tuple(most), goal=goal),
                    Figure(f"{what}: worst of all", "ms", (max(worst),)),
                ]
    return figures


def measure(effort: Effort) -> list[Figure]:
    """Measure both ways."""
    return asyncio.run(_measure(effort))


if __name__ == "__main__":
    report.main(measure, __doc__)
