"""Whatever the service answers: the account loads, and what is good in the answer shows."""

from collections.abc import Callable
from datetime import timedelta
import logging
from typing import Any

from freezegun.api import FrozenDateTimeFactory
from hypothesis import HealthCheck, given, settings, strategies as st
import pytest

from custom_components.eniris.data import EnirisConfigEntry
from homeassistant.config_entries import ConfigEntryState
from homeassistant.const import STATE_UNAVAILABLE
from homeassistant.core import HomeAssistant
from homeassistant.helpers import device_registry as dr
from homeassistant.util import dt as dt_util
from simulator.server import Simulator
from simulator.world import HomeWorld
from tests.kit.common import (
    METADATA_POLL,
    POLL,
    advance,
    device_of,
    imported_entities,
    set_up_frozen,
    settle,
    state_of,
)

GRID = HomeWorld.GRID_METER
BATTERY = HomeWorld.BATTERY
POWER = "actualPowerTot_W"
PATH = "/v1/telemetry/query"
QUERY = f"POST {PATH}"
ODD = 90_001
"""Number of the device that is odd."""

MISSING = object()

GOOD_SERIES: dict[str, Any] = {
    "database": HomeWorld.DATABASE,
    "retentionPolicy": "rp_one_m",
    "measurement": "submeteringMetrics",
    "tags": {"nodeId": GRID},
    "fields": [POWER, "frequency_Hz"],
}
GOOD: dict[str, Any] = {
    "nodeId": "odd",
    "nodeType": "powerMeter",
    "name": "Odd",
    "nodeParentsIds": [HomeWorld.SITE],
    "nodeChildrenIds": [],
    "nodeInfluxSeries": [GOOD_SERIES],
    "info": {
        "manufacturer": "M",
        "model": "N",
        "serialNumber": "1",
        "nomPower_W": 100,
        "capacity_Wh": 100,
        "protocolDriverParameters": {"firmwareVersion": "1"},
    },
}

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
    | st.sampled_from([GRID, BATTERY, HomeWorld.SITE, "odd", POWER, "rp_one_s"]),
    lambda children: (
        st.lists(children, max_size=3)
        | st.dictionaries(st.text(max_size=4), children, max_size=3)
    ),
    max_leaves=6,
)
slow = settings(
    max_examples=12,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
    ],
)


def odd_device(**changes: Any) -> dict[str, Any]:
    """Return a device with other properties than a good one has."""
    properties = {**GOOD, **changes}
    return {
        "id": ODD,
        "lastUpdate": "2026-06-30T10:00:00.000Z",
        "properties": {
            key: value for key, value in properties.items() if value is not MISSING
        },
    }


def only_expected(caplog: pytest.LogCaptureFixture) -> None:
    """Allow warnings about what the service said, and no error whatever."""
    records = [
        record
        for record in caplog.records
        if record.levelno >= logging.ERROR
        and record.name != "asyncio"
        and not record.getMessage().startswith("Error fetching Eniris")
    ]
    assert not records, [record.getMessage() for record in records]
    caplog.clear()


async def refresh(
    hass: HomeAssistant, entry: EnirisConfigEntry, freezer: FrozenDateTimeFactory
) -> None:
    """Read metadata and values as they are now."""
    freezer.tick(timedelta(seconds=1))
    await entry.runtime_data.nodes.async_refresh()
    await settle(hass)
    await entry.runtime_data.telemetry.async_refresh()
    await settle(hass)


def assert_good_shows(hass: HomeAssistant, entry: EnirisConfigEntry) -> None:
    """Check that the account is loaded and shows what is good."""
    assert entry.state is ConfigEntryState.LOADED
    assert entry.runtime_data.nodes.last_update_success
    assert entry.runtime_data.telemetry.last_update_success
    for node_id in (GRID, BATTERY, HomeWorld.EV_CHARGER):
        assert float(state_of(hass, entry, node_id, POWER)) is not None
        assert device_of(hass, entry, node_id)


Change = Callable[[Simulator], None]


def _edit(node_id: str, **properties: Any) -> Change:
    def change(simulator: Simulator) -> None:
        simulator.devices.edit(simulator.devices.by_node_id(node_id)["id"], properties)

    return change


def _add(*devices: dict[str, Any]) -> Change:
    def change(simulator: Simulator) -> None:
        for device in devices:
            simulator.devices.add(device)

    return change


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param([_edit(GRID, nodeType="windTurbine")], id="unknown type"),
        pytest.param(
            [_edit(GRID, nodeParentsIds=[]), _edit(BATTERY, nodeParentsIds=None)],
            id="only parents know",
        ),
        pytest.param(
            [
                _edit(HomeWorld.SITE, nodeChildrenIds=None),
                _edit(HomeWorld.HYBRID_INVERTER, nodeChildrenIds=None),
            ],
            id="only children know",
        ),
        pytest.param(
            [
                _edit(GRID, nodeParentsIds=[BATTERY], nodeChildrenIds=[BATTERY]),
                _edit(BATTERY, nodeParentsIds=[GRID], nodeChildrenIds=[GRID]),
            ],
            id="cycle",
        ),
        pytest.param([_edit(GRID, nodeParentsIds=[GRID])], id="own parent"),
        pytest.param(
            [
                _edit(
                    HomeWorld.SITE,
                    nodeParentsIds=[GRID],
                    nodeChildrenIds=[GRID, HomeWorld.SITE],
                )
            ],
            id="site in a cycle",
        ),
        pytest.param(
            [_add(odd_device(nodeId=GRID, nodeInfluxSeries=None))],
            id="duplicate, older and without data",
        ),
        pytest.param(
            [
                _add(odd_device(), odd_device(), odd_device(name="Other")),
                _add(odd_device(nodeId="account_1001", name="Not the account")),
                _add(odd_device(nodeId="x" * 5000)),
                _add(odd_device(nodeId="ä/ö ü\t")),
                _add(odd_device(nodeId="alike", nodeInfluxSeries=[GOOD_SERIES] * 50)),
                _add(
                    odd_device(
                        nodeId="many",
                        nodeInfluxSeries=[
                            GOOD_SERIES | {"fields": [f"f{n}_W" for n in range(500)]}
                        ],
                    )
                ),
            ],
            id="duplicates, odd ids, many series and fields",
        ),
    ],
)
async def test_relations_and_identities(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
    caplog: pytest.LogCaptureFixture,
    changes: list[Change],
) -> None:
    """Whatever nodes say of each other, each is there once, and no device hangs below itself."""
    for change in changes:
        change(simulator)
    entry = await set_up_frozen(hass, freezer, user_input)
    await advance(hass, freezer)
    await refresh(hass, entry, freezer)
    assert_good_shows(hass, entry)
    registry = dr.async_get(hass)
    account = device_of(hass, entry, f"account_{entry.unique_id}")
    assert account
    assert account.name == "Eniris account"
    for device in dr.async_entries_for_config_entry(registry, entry.entry_id):
        above: dr.DeviceEntry | None = device
        for _ in range(20):
            if above is None or above.via_device_id is None:
                break
            above = registry.async_get(above.via_device_id)
        assert above == account, device.name
    only_expected(caplog)


@slow
@given(body=JSON | st.fixed_dictionaries({"device": JSON}))
async def test_any_metadata_answer(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
    caplog: pytest.LogCaptureFixture,
    body: Any,
) -> None:
    """An answer that is something else altogether does no harm that the next does not mend."""
    entries: list[EnirisConfigEntry] = hass.config_entries.async_entries("eniris")
    entry = entries[0] if entries else await set_up_frozen(hass, freezer, user_input)
    simulator.faults.add("/v1/device/query", "json", body=body, times=1)
    await refresh(hass, entry, freezer)
    simulator.faults.clear()
    await refresh(hass, entry, freezer)
    assert_good_shows(hass, entry)
    only_expected(caplog)


def statements(entry: EnirisConfigEntry) -> tuple[int, int]:
    """Return how many statements the next poll asks for, and which is the one for the grid's power."""
    telemetry = entry.runtime_data.telemetry
    nodes = entry.runtime_data.nodes.data.by_id
    moment = dt_util.utcnow() + timedelta(seconds=1)
    number = len(telemetry.poll.queries) + len(telemetry.totals.queries(nodes, moment))
    index = next(
        index
        for index, planned in enumerate(telemetry.poll.queries)
        if planned.node_id == GRID and POWER in planned.fields
    )
    return number, index


@slow
@given(body=JSON | st.lists(JSON, max_size=3))
async def test_any_telemetry_answer(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
    caplog: pytest.LogCaptureFixture,
    body: Any,
) -> None:
    """An answer of another shape or length is a failed poll, and the next one is good."""
    entries: list[EnirisConfigEntry] = hass.config_entries.async_entries("eniris")
    entry = entries[0] if entries else await set_up_frozen(hass, freezer, user_input)
    simulator.faults.add(PATH, "json", body=body, times=1)
    await refresh(hass, entry, freezer)
    assert not entry.runtime_data.telemetry.last_update_success
    simulator.faults.clear()
    await refresh(hass, entry, freezer)
    assert_good_shows(hass, entry)
    only_expected(caplog)


async def test_empty_account(
    hass: HomeAssistant,
    simulator: Simulator,
    world: HomeWorld,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> None:
    """An account without devices loads, asks for no telemetry, and grows by itself."""
    freezer.move_to("2026-07-01T12:00:30Z")
    for device in world.devices(dt_util.utcnow()):
        simulator.devices.hide(device["id"])
    entry = await set_up_frozen(hass, freezer, user_input, None)
    for _ in range(5):
        await advance(hass, freezer)
    assert entry.state is ConfigEntryState.LOADED
    assert not imported_entities(hass, entry)
    assert simulator.log.count(QUERY) == 0
    simulator.devices.reset()
    await advance(hass, freezer, METADATA_POLL)
    await advance(hass, freezer)
    assert_good_shows(hass, entry)


async def test_thousands_of_devices(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> None:
    """A large account is read chunk by chunk."""
    for number in range(3_000):
        node = odd_device(
            nodeId=f"node_{number}",
            # Names that are all the same take Home Assistant minutes to number
            name=f"Node {number}",
            nodeParentsIds=[f"node_{number // 10}" if number else HomeWorld.SITE],
            nodeInfluxSeries=[
                GOOD_SERIES
                # The others have no data
                | {"tags": {"nodeId": f"node_{number}" if number % 100 else GRID}}
            ],
            info=None,
        )
        simulator.devices.add({**node, "id": 100_000 + number})
    entry = await set_up_frozen(hass, freezer, user_input)
    assert len(entry.runtime_data.nodes.data.by_id) > 3_000
    # Four requests of a poll, and one for the prices
    assert simulator.log.count(QUERY, 200) == 5
    assert device_of(hass, entry, "node_2999")
    assert state_of(hass, entry, "node_2900", POWER) != STATE_UNAVAILABLE
    assert_good_shows(hass, entry)
    await advance(hass, freezer, POLL)
    assert_good_shows(hass, entry)
