"""Whatever the service says of some nodes: the account loads, and the others are shown as they are."""

from datetime import timedelta
import logging
from typing import Any, Final

from freezegun.api import FrozenDateTimeFactory
from hypothesis import given, strategies as st
import pytest

from custom_components.eniris.data import EnirisConfigEntry
from homeassistant.config_entries import ConfigEntryState
from homeassistant.const import STATE_UNAVAILABLE
from homeassistant.core import HomeAssistant
from homeassistant.helpers import device_registry as dr, entity_registry as er
from homeassistant.util import dt as dt_util
from simulator.server import Simulator
from simulator.world import HomeWorld
from tests.kit.common import set_up_frozen, settle, state_of

from .documents import damaged, values
from .effort import PATIENCE, effort

pytestmark = PATIENCE

POWER: Final = "actualPowerTot_W"
GRID: Final = HomeWorld.GRID_METER
UNTOUCHED: Final = (GRID, HomeWorld.EV_CHARGER)
"""Nodes that nothing is done to."""

WORDS: Final = (
    GRID,
    HomeWorld.SITE,
    HomeWorld.BATTERY,
    POWER,
    "importedAbsEnergyTot_Wh",
    "rp_one_s",
    "submeteringMetrics",
    "smartgridControllerSite",
    "account_1001",
)


@pytest.fixture(autouse=True)
def no_log_of_ours() -> None:
    """Let warnings about what the service says pass; of errors there are none, whoever's."""


class _Home:
    """What one test uses for all its examples."""

    def __init__(
        self,
        hass: HomeAssistant,
        simulator: Simulator,
        freezer: FrozenDateTimeFactory,
        entry: EnirisConfigEntry,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        self.hass, self.simulator, self.freezer = hass, simulator, freezer
        self.entry, self.caplog = entry, caplog

    async def read(self) -> None:
        """Read metadata and values as they are now."""
        self.freezer.tick(timedelta(seconds=1))
        await self.entry.runtime_data.nodes.async_refresh()
        await settle(self.hass)
        await self.entry.runtime_data.telemetry.async_refresh()
        await settle(self.hass)

    async def reload(self) -> None:
        """Set the account up anew."""
        assert await self.hass.config_entries.async_reload(self.entry.entry_id)
        await settle(self.hass)

    def power(self, node_id: str) -> float:
        """Return what is shown of a node's power."""
        state = state_of(self.hass, self.entry, node_id, POWER)
        assert state != STATE_UNAVAILABLE
        return float(state)

    def check(self) -> None:
        """Check that the account is loaded, its registries are sane, and the log has no error."""
        assert self.entry.state is ConfigEntryState.LOADED
        assert self.entry.runtime_data.nodes.last_update_success
        errors = [
            f"{record.getMessage()} {record.exc_text or ''}"
            for record in self.caplog.records
            if record.levelno >= logging.ERROR and record.name != "asyncio"
        ]
        assert not errors
        self.caplog.clear()
        devices, entities = dr.async_get(self.hass), er.async_get(self.hass)
        ids = {
            device.id
            for device in dr.async_entries_for_config_entry(
                devices, self.entry.entry_id
            )
        }
        for registered in er.async_entries_for_config_entry(
            entities, self.entry.entry_id
        ):
            assert registered.device_id in ids
            assert registered.unique_id.encode()
            state = self.hass.states.get(registered.entity_id)
            assert state is None or state.name.encode()


@pytest.fixture
async def home(
    hass: HomeAssistant,
    simulator: Simulator,
    freezer: FrozenDateTimeFactory,
    user_input: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
) -> _Home:
    """Return an account of a whole home."""
    entry = await set_up_frozen(hass, freezer, user_input)
    return _Home(hass, simulator, freezer, entry, caplog)


@effort(12)
@given(
    damage=st.data(),
    nodes=st.lists(
        st.sampled_from([HomeWorld.BATTERY, HomeWorld.HYBRID_INVERTER, HomeWorld.SITE]),
        min_size=1,
        max_size=2,
        unique=True,
    ),
    with_reload=st.booleans(),
    more=st.none() | values,
)
async def test_damaged_nodes(
    home: _Home,
    damage: st.DataObject,
    nodes: list[str],
    with_reload: bool,
    more: Any,
) -> None:
    """Nodes of which anything is wrong cost the others nothing, at a set-up and later."""
    devices = home.simulator.devices
    devices.reset()
    for node_id in nodes:
        device = devices.by_node_id(node_id)
        devices.set(device["id"], damage.draw(damaged(device, others=WORDS)))
    if more is not None:
        devices.add(more)
    if with_reload:
        await home.reload()
    await home.read()
    home.check()
    if not _claims_another(devices.all()):
        for node_id in UNTOUCHED:
            home.power(node_id)


def _claims_another(devices: list[Any]) -> bool:
    """Tell whether a damaged node has taken on the identity of an untouched one."""
    ids = [
        device["properties"].get("nodeId")
        for device in devices
        if isinstance(device, dict) and isinstance(device.get("properties"), dict)
    ]
    return any(ids.count(node_id) != 1 for node_id in UNTOUCHED)


@effort(8)
@given(damage=st.data(), power=st.integers(-9999, 9999))
async def test_damaged_results(home: _Home, damage: st.DataObject, power: int) -> None:
    """A result of which anything is wrong costs itself: the value beside it is shown."""
    home.simulator.devices.reset()
    home.simulator.faults.clear()
    await home.reload()
    await home.read()
    telemetry, nodes = home.entry.runtime_data.telemetry, home.entry.runtime_data.nodes
    home.freezer.tick(timedelta(seconds=1))
    now = dt_util.utcnow()
    index = next(
        index
        for index, planned in enumerate(telemetry.poll.queries)
        if planned.node_id == GRID and POWER in planned.fields
    )
    queries = len(telemetry.poll.queries) + len(
        telemetry.totals.queries(nodes.data.by_id, now)
    )

    def result(value: float) -> dict[str, Any]:
        return {
            "statement_id": 0,
            "series": [
                {
                    "name": "x",
                    "tags": {"nodeId": "x"},
                    "columns": ["time", POWER, "status"],
                    "values": [
                        [now.isoformat(), value, "x"],
                        [round(now.timestamp() * 1000) - 1, None, None],
                    ],
                }
            ],
        }

    odd = [damage.draw(damaged(result(1.5), others=(POWER, "time"))) for _ in range(4)]
    body = [odd[number % len(odd)] for number in range(queries)]
    body[index] = result(power)
    home.simulator.faults.add("/v1/telemetry/query", "json", body=body, times=1)
    await telemetry.async_refresh()
    await settle(home.hass)
    assert telemetry.last_update_success
    assert home.power(GRID) == power
    home.check()
