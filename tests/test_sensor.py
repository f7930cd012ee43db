"""Sensors: what a user finds in the registries, and what becomes of the values."""

from collections.abc import Mapping
from datetime import timedelta
import logging
from typing import Any

from freezegun.api import FrozenDateTimeFactory
import pytest
from pytest_homeassistant_custom_component.common import async_capture_events
from pytest_homeassistant_custom_component.typing import WebSocketGenerator
from syrupy.assertion import SnapshotAssertion

from custom_components.eniris.const import DOMAIN
from custom_components.eniris.data import EnirisConfigEntry
from homeassistant.components.sensor import ATTR_STATE_CLASS
from homeassistant.config_entries import ConfigEntry
from homeassistant.const import (
    ATTR_DEVICE_CLASS,
    ATTR_FRIENDLY_NAME,
    ATTR_UNIT_OF_MEASUREMENT,
    EVENT_STATE_CHANGED,
    STATE_UNAVAILABLE,
)
from homeassistant.core import Event, HomeAssistant
from homeassistant.helpers import device_registry as dr, entity_registry as er
from homeassistant.helpers.entity import Entity
from homeassistant.setup import async_setup_component
from homeassistant.util import dt as dt_util
from simulator.faults import FaultKind
from simulator.model import FieldValue, SeriesKey
from simulator.server import Simulator
from simulator.store import IncomingPoint
from simulator.timestamps import datetime_to_ns
from simulator.world import FleetWorld, HomeWorld
from simulator.world.disorder import DISTURBANCES

from .kit.common import (
    METADATA_POLL,
    POLL,
    advance,
    device_of,
    entity_id_of,
    imported_entities,
    set_up_frozen,
    settle,
    state_of,
)
from .kit.meter import METER, add_meter, write

GRID = HomeWorld.GRID_METER
BATTERY = HomeWorld.BATTERY
KITCHEN = HomeWorld.KITCHEN_METER
HEAT_PUMP = HomeWorld.HEAT_PUMP
QUERY = "/v1/telemetry/query"
PRICE_ATTRIBUTES = {
    "currency",
    "raw_today",
    "raw_tomorrow",
    "today",
    "tomorrow",
    "tomorrow_valid",
    "unit",
}


def queries(simulator: Simulator) -> list[dict[str, Any]]:
    """Return the statements of the newest poll, which asks for more than prices."""
    statements: list[dict[str, Any]] = next(
        request.json
        for request in reversed(simulator.log.find(f"POST {QUERY}"))
        if {each["from"]["measurement"] for each in request.json} != {"planning"}
    )
    return statements


def logged(caplog: pytest.LogCaptureFixture, text: str) -> list[str]:
    """Return the messages of ours, from `info` on, that hold a text."""
    return [
        record.getMessage()
        for record in caplog.records
        if record.name.startswith("custom_components.eniris")
        and record.levelno >= logging.INFO
        and text in record.getMessage()
    ]


@pytest.fixture
def all_enabled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Enable the entities that are registered as disabled otherwise."""
    monkeypatch.setattr(
        Entity, "entity_registry_enabled_default", property(lambda _: True)
    )


@pytest.mark.usefixtures("all_enabled")
async def test_all_entities(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
    snapshot: SnapshotAssertion,
) -> None:
    """Every entity of the demo home, as registered and as shown at one instant."""
    entry = await set_up_frozen(hass, freezer, user_input, "2026-07-01T11:59:29Z")
    await advance(hass, freezer)
    assert dt_util.utcnow().isoformat() == "2026-07-01T12:00:30+00:00"
    found = {}
    for registered in imported_entities(hass, entry):
        state = hass.states.get(registered.entity_id)
        assert state is not None
        options = dict(registered.options)
        sensor: Mapping[str, Any] = options.get("sensor", {})
        private: Mapping[str, Any] = options.get("sensor.private", {})
        found[registered.entity_id] = {
            "unique_id": registered.unique_id,
            "translation_key": registered.translation_key,
            "category": str(registered.entity_category),
            "state_class": str((registered.capabilities or {}).get("state_class")),
            "precision": sensor.get("suggested_display_precision"),
            "suggested_unit": str(private.get("suggested_unit_of_measurement")),
            "name": state.attributes[ATTR_FRIENDLY_NAME],
            "device_class": str(state.attributes.get(ATTR_DEVICE_CLASS)),
            "unit": str(state.attributes.get(ATTR_UNIT_OF_MEASUREMENT)),
            "state": rounded(state.state),
        }
        assert set(state.attributes) <= {
            ATTR_DEVICE_CLASS,
            ATTR_FRIENDLY_NAME,
            ATTR_STATE_CLASS,
            ATTR_UNIT_OF_MEASUREMENT,
            *(PRICE_ATTRIBUTES if "price" in registered.entity_id else ()),
        }
    assert found == snapshot


def rounded(state: str) -> str:
    """Return a state without the last digits, which are the mathematics library's."""
    try:
        return f"{float(state):.6g}"
    except ValueError:
        return state


async def test_entities_that_are_disabled(
    hass: HomeAssistant, entry: EnirisConfigEntry
) -> None:
    """What few people look at is there for those who enable it; all else is enabled."""
    registered_entities = imported_entities(hass, entry)
    assert registered_entities
    for registered in registered_entities:
        is_disabled = registered.disabled_by is er.RegistryEntryDisabler.INTEGRATION
        name = registered.unique_id
        assert is_disabled == (
            name.endswith(
                (
                    "_VAr",
                    "_getMeasTime_s",
                    "_import",
                    "_export",
                    "_charge",
                    "_discharge",
                    "_last_change",
                )
            )
            or "_powerFactor" in name
            # Beside a counter, which the site has not
            or ("EnergyDeltaTot" in name and "_installationMetrics_" not in name)
        ), name


async def test_devices(
    hass: HomeAssistant, entry: EnirisConfigEntry, snapshot: SnapshotAssertion
) -> None:
    """The devices hang below each other as the nodes do, and the sites below the account."""
    registry = dr.async_get(hass)
    devices = {
        device.id: device
        for device in dr.async_entries_for_config_entry(registry, entry.entry_id)
    }
    shown = {(DOMAIN, node_id) for node_id in entry.runtime_data.nodes.data.by_id}
    shown.add((DOMAIN, "account_1001"))
    assert {
        device.name: {
            "identifiers": sorted(device.identifiers),
            "manufacturer": device.manufacturer,
            "model": device.model,
            "serial_number": device.serial_number,
            "sw_version": device.sw_version,
            "entry_type": str(device.entry_type),
            "via": device.via_device_id and devices[device.via_device_id].name,
        }
        for device in devices.values()
        if device.identifiers & shown
    } == snapshot


async def test_polls(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> None:
    """A poll a minute, one request each, keeps the states at what the service has."""
    entry = await set_up_frozen(hass, freezer, user_input)
    simulator.log.reset()
    shown = set()
    for _ in range(5):
        await advance(hass, freezer)
        shown.add(state_of(hass, entry, GRID, "actualPowerTot_W"))
    assert len(shown) == 5
    assert simulator.log.count(f"POST {QUERY}", 200) == 5
    assert simulator.log.count("POST /v1/device/query") == 0
    await advance(hass, freezer, METADATA_POLL)
    assert simulator.log.count("POST /v1/device/query", 204) == 1
    assert simulator.log.count("POST /v1/device/query") == 1


async def test_every_query_has_a_short_range(
    hass: HomeAssistant, simulator: Simulator, entry: ConfigEntry[Any]
) -> None:
    """No statement of a poll is without a start, which would cost the most, and none is doubled."""
    statements = queries(simulator)
    now_ms = dt_util.utcnow().timestamp() * 1000
    seen = set()
    for statement in statements:
        start = statement["where"]["time"][0]
        assert start["operator"] == ">="
        short = 300_000 + 60_000
        if statement["from"]["namespace"]["retentionPolicy"] == "rp_ten_m":
            short = 50 * 60_000 + 2 * 60_000
        if statement["from"]["measurement"] == "planning":
            # A price can have held for a day
            short = 25 * 3_600_000
        assert now_ms - start["value"] <= short
        for field in statement["select"]:
            name = (
                tuple(sorted(statement["where"]["tags"].items())),
                statement["from"]["measurement"],
                field,
            )
            assert name not in seen
            seen.add(name)
    policies = {
        statement["from"]["namespace"]["retentionPolicy"] for statement in statements
    }
    assert policies == {"rp_one_s", "rp_one_m", "rp_ten_m"}


async def test_fields_that_are_written_seldom(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> None:
    """A field that is written every ten seconds shows, whatever the second of the poll."""
    entry = await set_up_frozen(hass, freezer, user_input, "2026-07-01T12:00:08Z")
    await advance(hass, freezer, timedelta(seconds=60))
    for _ in range(3):
        for node_id, field in (
            (BATTERY, "stateOfHealth_frac"),
            (HomeWorld.SITE, "importLimit_W"),
            (HomeWorld.SITE, "exportLimit_W"),
        ):
            assert float(state_of(hass, entry, node_id, field)) > 0
        await advance(hass, freezer, timedelta(seconds=60))
    # Asked for apart, so that the many rows are not those of all fields
    for statement in queries(simulator):
        assert len(statement["select"]) <= 5 or statement.get("limit", 0) <= 10


async def test_state_of_charge_is_a_percentage(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> None:
    """A fraction is shown in per cent, without the noise of the multiplication."""
    freezer.move_to("2026-07-01T12:00:30Z")
    add_meter(simulator, "stateOfCharge_frac")
    write(simulator, {"stateOfCharge_frac": 0.07})
    entry = await set_up_frozen(hass, freezer, user_input)
    assert 0.07 * 100 != 7
    assert float(state_of(hass, entry, METER, "stateOfCharge_frac")) == 7


@pytest.mark.parametrize(
    ("seconds", "available"), [(0, True), (240, True), (400, False)]
)
async def test_stale_value(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
    seconds: int,
    available: bool,
) -> None:
    """A value that is older than five intervals of its series is not shown any more."""
    freezer.move_to("2026-07-01T12:00:30Z")
    add_meter(simulator, "actualPowerTot_W", "frequency_Hz")
    write(simulator, {"actualPowerTot_W": 7.0, "frequency_Hz": 50.0})
    entry = await set_up_frozen(hass, freezer, user_input)
    for _ in range(seconds // 60):
        await advance(hass, freezer, timedelta(seconds=60))
        # The node itself is alive
        write(simulator, {"frequency_Hz": 50.0})
    shown = state_of(hass, entry, METER, "actualPowerTot_W")
    assert shown == ("7.0" if available else STATE_UNAVAILABLE) or (
        available and float(shown) == 7
    )
    if seconds:
        await advance(hass, freezer, timedelta(seconds=60))
        assert float(state_of(hass, entry, METER, "frequency_Hz")) == 50
    write(simulator, {"actualPowerTot_W": 8.0})
    await advance(hass, freezer)
    assert float(state_of(hass, entry, METER, "actualPowerTot_W")) == 8


async def test_newest_value_of_each_field(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> None:
    """Fields that are written at different instants each show their newest value."""
    freezer.move_to("2026-07-01T12:00:30Z")
    add_meter(simulator, "actualPowerTot_W", "frequency_Hz")
    for ago, fields in (
        (90, {"actualPowerTot_W": 1.0, "frequency_Hz": 49.9}),
        (60, {"actualPowerTot_W": 2.0}),
        (30, {"frequency_Hz": 50.1}),
    ):
        write(simulator, fields, timedelta(seconds=ago))
    entry = await set_up_frozen(hass, freezer, user_input)
    assert float(state_of(hass, entry, METER, "actualPowerTot_W")) == 2
    assert float(state_of(hass, entry, METER, "frequency_Hz")) == 50.1
    # A backlog that arrives late changes nothing of what is newest
    write(simulator, {"actualPowerTot_W": 9.0}, timedelta(seconds=75))
    await advance(hass, freezer)
    assert float(state_of(hass, entry, METER, "actualPowerTot_W")) == 2


@pytest.mark.parametrize("wrong", ["n/a", True])
async def test_value_of_the_wrong_type(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
    wrong: FieldValue,
) -> None:
    """A text or a truth value where a number belongs costs one entity its value."""
    freezer.move_to("2026-07-01T12:00:30Z")
    add_meter(simulator, "actualPowerTot_W", "frequency_Hz")
    write(simulator, {"actualPowerTot_W": wrong, "frequency_Hz": 50.0})
    entry = await set_up_frozen(hass, freezer, user_input)
    assert state_of(hass, entry, METER, "actualPowerTot_W") == STATE_UNAVAILABLE
    assert float(state_of(hass, entry, METER, "frequency_Hz")) == 50
    write(simulator, {"actualPowerTot_W": 5.0}, timedelta(0))
    await advance(hass, freezer)
    assert float(state_of(hass, entry, METER, "actualPowerTot_W")) == 5


@pytest.mark.expected_log("Eniris refuses submeteringMetrics of node meter-7")
async def test_failing_statement(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A query that is refused costs its own entities, with a line at the start and one at the end."""
    freezer.move_to("2026-07-01T12:00:30Z")
    simulator.devices.add(
        {
            "id": 90_002,
            "lastUpdate": dt_util.utcnow().isoformat(),
            "properties": {
                "nodeId": METER,
                "nodeInfluxSeries": [
                    {
                        "database": "elsewhere",
                        "retentionPolicy": "rp_one_m",
                        "measurement": "submeteringMetrics",
                        "tags": {"nodeId": METER},
                        "fields": ["actualPowerTot_W"],
                    }
                ],
            },
        }
    )
    elsewhere = SeriesKey(
        "elsewhere", "rp_one_m", "submeteringMetrics", (("nodeId", METER),)
    )

    def write_elsewhere() -> None:
        simulator.store.write(
            [
                IncomingPoint(
                    elsewhere,
                    datetime_to_ns(dt_util.utcnow()) - 10**9,
                    {"actualPowerTot_W": 3.0},
                )
            ]
        )

    namespace = ("elsewhere", "rp_one_m")
    simulator.switches.namespaces.add(namespace)
    write_elsewhere()
    entry = await set_up_frozen(hass, freezer, user_input)
    assert float(state_of(hass, entry, METER, "actualPowerTot_W")) == 3

    simulator.switches.namespaces.discard(namespace)
    shown = []
    for _ in range(8):
        await advance(hass, freezer)
        shown.append(state_of(hass, entry, METER, "actualPowerTot_W"))
        assert state_of(hass, entry, GRID, "actualPowerTot_W") != STATE_UNAVAILABLE
    # What was read before stands until it is too old
    assert shown[0] != STATE_UNAVAILABLE
    assert shown[-1] == STATE_UNAVAILABLE
    assert len(logged(caplog, "Eniris refuses")) == 1
    assert not logged(caplog, "answers again")

    simulator.switches.namespaces.add(namespace)
    for _ in range(3):
        write_elsewhere()
        await advance(hass, freezer)
        assert float(state_of(hass, entry, METER, "actualPowerTot_W")) == 3
    assert len(logged(caplog, "Eniris refuses")) == 1
    assert len(logged(caplog, "answers again")) == 1


@pytest.mark.expected_log("^Error fetching Eniris telemetry data: ")
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("status", {"status": 503}),
        ("status", {"status": 403}),
        ("html", {"status": 200}),
        ("half_body", {}),
        ("wrong_type", {}),
        ("drop", {}),
        ("json", {"body": []}),
        ("json", {"body": {"statement_id": 0}}),
    ],
)
async def test_failing_poll(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
    caplog: pytest.LogCaptureFixture,
    kind: FaultKind,
    options: dict[str, Any],
) -> None:
    """Values are shown for two polls more; one line tells of the start, one of the end."""
    entry = await set_up_frozen(hass, freezer, user_input)
    fault = simulator.faults.add(QUERY, kind, **options)
    for number in range(4):
        await advance(hass, freezer)
        shown = state_of(hass, entry, GRID, "actualPowerTot_W")
        assert (shown == STATE_UNAVAILABLE) == (number >= 1)
    assert fault.hits >= 4
    simulator.faults.clear()
    for _ in range(2):
        await advance(hass, freezer)
        assert state_of(hass, entry, GRID, "actualPowerTot_W") != STATE_UNAVAILABLE
    assert len(logged(caplog, "Error fetching Eniris")) == 1
    assert len(logged(caplog, "recovered")) == 1


@pytest.mark.parametrize(
    "item",
    [
        None,
        "rows",
        {},
        {"series": None},
        {"series": [{"columns": ["time"], "values": 3}]},
        {"series": [{"columns": ["actualPowerTot_W"], "values": [[1]]}]},
        {"series": [{"columns": ["time", "x"], "values": [["yesterday", 1], [1]]}]},
    ],
)
@pytest.mark.expected_log("^Eniris refuses|^$")
async def test_malformed_statement(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
    caplog: pytest.LogCaptureFixture,
    item: Any,
) -> None:
    """A statement's answer that cannot be read brings nothing down."""
    entry = await set_up_frozen(hass, freezer, user_input)
    telemetry, nodes = entry.runtime_data.telemetry, entry.runtime_data.nodes.data
    fault = simulator.faults.add(QUERY, "json", body=[])
    for _ in range(3):
        sums = telemetry.totals.queries(nodes.by_id, dt_util.utcnow() + POLL)
        fault.body = [item] * (len(telemetry.poll.queries) + len(sums))
        freezer.tick(POLL)
        # By hand everything is asked for
        await telemetry.async_refresh()
        await settle(hass)
    assert state_of(hass, entry, GRID, "actualPowerTot_W") == STATE_UNAVAILABLE
    simulator.faults.clear()
    await advance(hass, freezer)
    assert state_of(hass, entry, GRID, "actualPowerTot_W") != STATE_UNAVAILABLE
    # Something for the mark, also where the answer counts as one without data
    logging.getLogger("custom_components.eniris").warning("")


async def test_new_node_and_new_field(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> None:
    """What is new in the metadata appears without a reload, as soon as it has values."""
    entry = await set_up_frozen(hass, freezer, user_input)
    loaded_with = entry.runtime_data
    add_meter(simulator, "actualPowerTot_W", "frequency_Hz")
    await advance(hass, freezer, METADATA_POLL)
    write(simulator, {"actualPowerTot_W": 4.0})
    await advance(hass, freezer)
    assert float(state_of(hass, entry, METER, "actualPowerTot_W")) == 4
    entity_id = entity_id_of(hass, entry, METER, "actualPowerTot_W")
    assert entity_id == "sensor.shed_power"
    with pytest.raises(KeyError):
        entity_id_of(hass, entry, METER, "frequency_Hz")
    registered = er.async_get(hass).async_get(entity_id)
    assert registered is not None
    assert registered.device_id is not None
    device = dr.async_get(hass).async_get(registered.device_id)
    assert device is not None
    assert device.name == "Shed"

    write(simulator, {"frequency_Hz": 50.0})
    await advance(hass, freezer)
    assert float(state_of(hass, entry, METER, "frequency_Hz")) == 50
    assert entry.runtime_data is loaded_with


async def test_renamed_node(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> None:
    """A node that is renamed in Eniris renames its device, and its entities stay the same."""
    entry = await set_up_frozen(hass, freezer, user_input)
    entity_id = entity_id_of(hass, entry, GRID, "actualPowerTot_W")
    simulator.devices.rename(simulator.devices.by_node_id(GRID)["id"], "Main meter")
    await advance(hass, freezer, METADATA_POLL)
    device = device_of(hass, entry, GRID)
    assert device is not None
    assert device.name == "Main meter"
    assert entity_id_of(hass, entry, GRID, "actualPowerTot_W") == entity_id


async def test_moved_node(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> None:
    """A node that is moved in the tree moves in the device registry."""
    entry = await set_up_frozen(hass, freezer, user_input)
    devices = simulator.devices
    devices.edit(
        devices.by_node_id(HomeWorld.SWITCHBOARD)["id"], {"nodeChildrenIds": []}
    )
    devices.edit(devices.by_node_id(KITCHEN)["id"], {"nodeParentsIds": [HEAT_PUMP]})
    devices.edit(devices.by_node_id(HEAT_PUMP)["id"], {"nodeChildrenIds": [KITCHEN]})
    await advance(hass, freezer, METADATA_POLL)
    heat_pump = device_of(hass, entry, HEAT_PUMP)
    kitchen = device_of(hass, entry, KITCHEN)
    assert heat_pump is not None
    assert kitchen is not None
    assert kitchen.via_device_id == heat_pump.id


async def test_unchanged_value_writes_no_state(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> None:
    """A poll that brings the same value again leaves the state alone, time of report included."""
    freezer.move_to("2026-07-01T12:00:30Z")
    add_meter(simulator, "actualPowerTot_W", "frequency_Hz")
    write(simulator, {"actualPowerTot_W": 7.0, "frequency_Hz": 50.0})
    entry = await set_up_frozen(hass, freezer, user_input)
    power = entity_id_of(hass, entry, METER, "actualPowerTot_W")
    frequency = entity_id_of(hass, entry, METER, "frequency_Hz")
    changes: list[Event[Any]] = async_capture_events(hass, EVENT_STATE_CHANGED)
    before = hass.states.get(power)
    assert before is not None
    reported = before.last_reported
    for number in range(3):
        write(simulator, {"actualPowerTot_W": 7.0, "frequency_Hz": 50.1 + number})
        await advance(hass, freezer)
    changed = [event.data["entity_id"] for event in changes]
    assert changed.count(frequency) == 3
    assert power not in changed
    after = hass.states.get(power)
    assert after is not None
    assert after.last_reported == reported


@pytest.mark.expected_log("Eniris asks to be left alone for 30[01] seconds")
async def test_rate_limit(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> None:
    """After a 429 the next poll waits as long as it says, and then the pace is the old one."""
    entry = await set_up_frozen(hass, freezer, user_input)
    simulator.faults.add(QUERY, "status", status=429, retry_after=300, times=1)
    await advance(hass, freezer)
    assert simulator.log.count(f"POST {QUERY}", 429) == 1
    simulator.log.reset()
    for _ in range(4):
        await advance(hass, freezer)
    assert simulator.log.count(f"POST {QUERY}") == 0
    await advance(hass, freezer)
    assert simulator.log.count(f"POST {QUERY}", 200) == 1
    assert state_of(hass, entry, GRID, "actualPowerTot_W") != STATE_UNAVAILABLE
    await advance(hass, freezer)
    assert simulator.log.count(f"POST {QUERY}", 200) == 2


async def test_account_without_devices(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> None:
    """An empty account loads, asks for no telemetry, and shows what it is given later."""
    freezer.move_to("2026-07-01T12:00:30Z")
    for device in simulator.devices.all():
        simulator.devices.hide(device["id"])
    entry = await set_up_frozen(hass, freezer, user_input)
    account = device_of(hass, entry, "account_1001")
    assert account is not None
    assert account.entry_type is dr.DeviceEntryType.SERVICE
    assert account.name == "Eniris account"
    assert not imported_entities(hass, entry)
    await advance(hass, freezer)
    assert simulator.log.count(f"POST {QUERY}") == 0

    simulator.devices.show(simulator.devices._world.devices(dt_util.utcnow())[2]["id"])
    await advance(hass, freezer, METADATA_POLL)
    await advance(hass, freezer)
    assert hass.states.get("sensor.grid_meter_power")


async def test_node_that_is_not_seen_any_more(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
    hass_ws_client: WebSocketGenerator,
) -> None:
    """A user can delete the device of a node that the account does not list, and only that."""
    # At the present, when the token of the client is good
    entry = await set_up_frozen(hass, freezer, user_input, None)
    simulator.devices.hide(simulator.devices.by_node_id(KITCHEN)["id"])
    await advance(hass, freezer, METADATA_POLL)
    await advance(hass, freezer)
    assert state_of(hass, entry, KITCHEN, "actualPowerTot_W") == STATE_UNAVAILABLE
    assert await async_setup_component(hass, "config", {})
    client = await hass_ws_client(hass)

    async def may_delete(identifier: str) -> bool:
        device = device_of(hass, entry, identifier)
        assert device is not None
        await client.send_json_auto_id(
            {
                "type": "config/device_registry/remove_config_entry",
                "config_entry_id": entry.entry_id,
                "device_id": device.id,
            }
        )
        answer = await client.receive_json()
        success: bool = answer["success"]
        return success

    assert not await may_delete(GRID)
    assert not await may_delete("account_1001")
    assert await may_delete(KITCHEN)
    await settle(hass)
    assert device_of(hass, entry, KITCHEN) is None
    with pytest.raises(KeyError):
        entity_id_of(hass, entry, KITCHEN, "actualPowerTot_W")


@pytest.mark.parametrize(
    "device",
    [
        None,
        "device",
        {},
        {"id": 1},
        {"id": 1, "properties": None},
        {"id": 1, "properties": {"nodeId": None}},
        {"id": 1, "properties": {"nodeId": 7, "nodeInfluxSeries": [{}]}},
        {"id": "one", "lastUpdate": 3, "properties": {"nodeId": "x", "info": []}},
    ],
)
async def test_device_that_cannot_be_read(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
    device: Any,
) -> None:
    """A device that makes no sense costs itself alone."""
    simulator.devices.add(device)
    entry = await set_up_frozen(hass, freezer, user_input)
    assert state_of(hass, entry, GRID, "actualPowerTot_W") != STATE_UNAVAILABLE
    assert len(imported_entities(hass, entry)) > 80


def registered_name(hass: HomeAssistant, entity_id: str) -> str | None:
    """Return the name under which an entity was registered."""
    registered = er.async_get(hass).async_get(entity_id)
    assert registered is not None
    return registered.original_name


async def test_unknown_fields(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> None:
    """Fields that the catalogue lacks are there for those who enable them."""
    freezer.move_to("2026-07-01T12:00:30Z")
    values: dict[str, FieldValue] = {
        "someNewPower_W": 5.0,
        "cycleCount": 7.0,
        "firmwareState": "OK",
        "***": 1.0,
    }
    add_meter(simulator, *values)
    write(simulator, values)
    entry = await set_up_frozen(hass, freezer, user_input)
    names = {}
    for field in values:
        entity_id = entity_id_of(hass, entry, METER, field)
        registered = er.async_get(hass).async_get(entity_id)
        assert registered is not None
        assert registered.disabled_by is er.RegistryEntryDisabler.INTEGRATION
        names[entity_id] = registered.original_name
    assert names.pop(entity_id_of(hass, entry, METER, "***")) == "***"
    assert names == {
        "sensor.shed_some_new_power": "Some new power",
        "sensor.shed_cycle_count": "Cycle count",
        "sensor.shed_firmware_state": "Firmware state",
    }


@pytest.mark.usefixtures("all_enabled")
async def test_values_of_unknown_fields(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> None:
    """The first value decides what a field without a unit is; later ones have to fit."""
    freezer.move_to("2026-07-01T12:00:30Z")
    add_meter(simulator, "load_kVA", "cycleCount", "firmwareState")
    write(simulator, {"load_kVA": 1.5, "cycleCount": 7.0, "firmwareState": "OK"})
    entry = await set_up_frozen(hass, freezer, user_input)
    load = hass.states.get(entity_id_of(hass, entry, METER, "load_kVA"))
    assert load is not None
    assert float(load.state) == 1500
    assert load.attributes[ATTR_UNIT_OF_MEASUREMENT] == "VA"
    assert load.attributes[ATTR_DEVICE_CLASS] == "apparent_power"
    count = hass.states.get(entity_id_of(hass, entry, METER, "cycleCount"))
    assert count is not None
    assert float(count.state) == 7
    assert count.attributes[ATTR_STATE_CLASS] == "measurement"
    assert state_of(hass, entry, METER, "firmwareState") == "OK"
    write(simulator, {"load_kVA": 1.6, "cycleCount": "n/a", "firmwareState": True})
    await advance(hass, freezer)
    assert float(state_of(hass, entry, METER, "load_kVA")) == 1600
    assert state_of(hass, entry, METER, "cycleCount") == STATE_UNAVAILABLE
    assert state_of(hass, entry, METER, "firmwareState") == STATE_UNAVAILABLE


@pytest.mark.parametrize(
    ("field", "value", "shown"),
    [
        ("status", "x" * 255, "x" * 255),
        ("status", "x" * 256, STATE_UNAVAILABLE),
        ("status", "a\n b", "a b"),
        ("status", "a\0b", STATE_UNAVAILABLE),
        ("status", "", STATE_UNAVAILABLE),
        ("status", 4.0, "4"),
        ("status", True, STATE_UNAVAILABLE),
        ("actualPowerTot_W", 1e300, STATE_UNAVAILABLE),
        ("importedAbsEnergyTot_Wh", 1e300, STATE_UNAVAILABLE),
        ("stateOfCharge_frac", 1e18, STATE_UNAVAILABLE),
    ],
)
async def test_values_that_cannot_be_shown(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
    field: str,
    value: FieldValue,
    shown: str,
) -> None:
    """What cannot be a state costs its own entity its state, and no other."""
    freezer.move_to("2026-07-01T12:00:30Z")
    add_meter(simulator, field, "frequency_Hz")
    write(simulator, {field: value, "frequency_Hz": 50.0})
    entry = await set_up_frozen(hass, freezer, user_input)
    assert state_of(hass, entry, METER, field) == shown
    assert float(state_of(hass, entry, METER, "frequency_Hz")) == 50


@pytest.mark.usefixtures("all_enabled")
async def test_directions(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> None:
    """A signed power and its two directions always agree."""
    freezer.move_to("2026-07-01T12:00:30Z")
    add_meter(simulator, "actualPowerTot_W", measurements=("batteryMetrics",))
    write(simulator, {"actualPowerTot_W": 1.0}, measurement="batteryMetrics")
    entry = await set_up_frozen(hass, freezer, user_input)
    values: list[tuple[float, float, float]] = [(7, 7, 0), (-8, 0, 8), (0, 0, 0)]
    for power, charge, discharge in values:
        write(
            simulator, {"actualPowerTot_W": float(power)}, measurement="batteryMetrics"
        )
        await advance(hass, freezer)
        for name, expected in (
            ("actualPowerTot_W", power),
            ("actualPowerTot_W_charge", charge),
            ("actualPowerTot_W_discharge", discharge),
        ):
            shown = state_of(hass, entry, METER, name)
            assert float(shown) == expected
            assert expected or not shown.startswith("-")
    write(simulator, {"actualPowerTot_W": "n/a"}, measurement="batteryMetrics")
    await advance(hass, freezer)
    for name in ("", "_charge", "_discharge"):
        field = f"actualPowerTot_W{name}"
        assert state_of(hass, entry, METER, field) == STATE_UNAVAILABLE


@pytest.mark.usefixtures("all_enabled")
async def test_clashes(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> None:
    """Fields that share a name have different ones all the same."""
    freezer.move_to("2026-07-01T12:00:30Z")
    measurements = ("submeteringMetrics", "gridMetrics")
    add_meter(simulator, "actualPowerTot_W", measurements=measurements)
    for measurement in measurements:
        write(simulator, {"actualPowerTot_W": 5.0}, measurement=measurement)
    entry = await set_up_frozen(hass, freezer, user_input)
    names = {
        registered.entity_id: registered.original_name
        for registered in imported_entities(hass, entry)
        if f"_{METER}_" in registered.unique_id
        and "actualPowerTot_W" in registered.unique_id
    }
    assert names == {
        f"sensor.shed_{part}power_{measurement}": name
        for measurement in ("submetering", "grid")
        for part, name in (
            ("", f"Power ({measurement})"),
            ("import_", f"Import power ({measurement})"),
            ("export_", f"Export power ({measurement})"),
        )
    }


@pytest.mark.usefixtures("all_enabled")
async def test_two_spellings(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> None:
    """Two fields of one measurement that mean the same are told apart by their own names."""
    freezer.move_to("2026-07-01T12:00:30Z")
    fields = ("reacPowerSetpoint_VAr", "reactivePowerSetpoint_VAr")
    add_meter(simulator, *fields)
    write(simulator, dict.fromkeys(fields, 1.0))
    entry = await set_up_frozen(hass, freezer, user_input)
    for field in fields:
        entity_id = entity_id_of(hass, entry, METER, field)
        assert registered_name(hass, entity_id) == f"Reactive power setpoint ({field})"


async def test_metadata(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> None:
    """What a maker prints on a device is shown and followed, field values or not."""
    freezer.move_to("2026-07-01T12:00:30Z")
    add_meter(
        simulator,
        "actualPowerTot_W",
        info={"nomPower_W": 5000, "capacity_Wh": 10_240},
    )
    entry = await set_up_frozen(hass, freezer, user_input)
    power = hass.states.get("sensor.shed_nominal_power")
    assert power is not None
    assert float(power.state) == 5000
    capacity = hass.states.get("sensor.shed_capacity")
    assert capacity is not None
    assert float(capacity.state) == 10.24
    assert capacity.attributes[ATTR_UNIT_OF_MEASUREMENT] == "kWh"
    changed = er.async_get(hass).async_get("sensor.shed_metadata_changed")
    assert changed is not None
    assert changed.disabled_by is er.RegistryEntryDisabler.INTEGRATION

    number = simulator.devices.by_node_id(METER)["id"]
    simulator.devices.edit(number, {"info": {"nomPower_W": 6000, "capacity_Wh": "?"}})
    await advance(hass, freezer, METADATA_POLL)
    power = hass.states.get("sensor.shed_nominal_power")
    assert power is not None
    assert float(power.state) == 6000
    capacity = hass.states.get("sensor.shed_capacity")
    assert capacity is not None
    assert capacity.state == STATE_UNAVAILABLE
    assert entry.runtime_data.nodes.last_update_success


@pytest.mark.usefixtures("all_enabled")
async def test_time_of_change(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> None:
    """The time of the last change of the metadata follows each change."""
    entry = await set_up_frozen(hass, freezer, user_input)
    before = state_of(hass, entry, GRID, "last_change")
    simulator.devices.rename(simulator.devices.by_node_id(GRID)["id"], "Main meter")
    await advance(hass, freezer, METADATA_POLL)
    after = state_of(hass, entry, GRID, "last_change")
    assert dt_util.parse_datetime(before) < dt_util.parse_datetime(after)  # type: ignore[operator]


@pytest.mark.parametrize(
    "info",
    [
        {},
        {"nomPower_W": None, "capacity_Wh": None},
        {"nomPower_W": "much", "capacity_Wh": []},
        {"nomPower_W": True, "capacity_Wh": 1e300},
    ],
)
async def test_metadata_that_says_nothing(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
    info: dict[str, Any],
) -> None:
    """No sensor for what is not there."""
    freezer.move_to("2026-07-01T12:00:30Z")
    add_meter(simulator, "actualPowerTot_W", info=info)
    entry = await set_up_frozen(hass, freezer, user_input)
    for key in ("nominal_power", "capacity"):
        with pytest.raises(KeyError):
            entity_id_of(hass, entry, METER, key)


@pytest.mark.usefixtures("all_enabled")
@pytest.mark.parametrize("polls", [1, 2, 3])
async def test_node_that_comes_back(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
    polls: int,
) -> None:
    """A node that was away, for so long that its device went or not, is as it was before."""
    entry = await set_up_frozen(hass, freezer, user_input)
    await advance(hass, freezer)
    before = {item.unique_id for item in imported_entities(hass, entry)}
    simulator.devices.hide(simulator.devices.by_node_id(BATTERY)["id"])
    for _ in range(polls):
        await advance(hass, freezer, METADATA_POLL)
        await advance(hass, freezer)
    assert (device_of(hass, entry, BATTERY) is None) == (polls > 1)
    number = next(
        device["id"]
        for device in simulator.devices._world.devices(dt_util.utcnow())
        if device["properties"]["nodeId"] == BATTERY
    )
    simulator.devices.show(number)
    await advance(hass, freezer, METADATA_POLL)
    await advance(hass, freezer)
    await advance(hass, freezer)
    assert {item.unique_id for item in imported_entities(hass, entry)} == before
    for field in ("nominal_power", "stateOfCharge_frac", "actualPowerTot_W_charge"):
        assert state_of(hass, entry, BATTERY, field) != STATE_UNAVAILABLE


@pytest.mark.parametrize("time_format", ["iso_ms", "iso_ns", "ms"])
async def test_forms_of_time(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
    time_format: Any,
) -> None:
    """Whatever way the service writes times, the values show."""
    simulator.switches.time_format = time_format
    entry = await set_up_frozen(hass, freezer, user_input)
    assert state_of(hass, entry, GRID, "actualPowerTot_W") != STATE_UNAVAILABLE


class TestFleet:
    """Forty sites in the disorder of real metadata."""

    @pytest.fixture
    def world(self) -> FleetWorld:
        """Return the fleet."""
        world = FleetWorld(40)
        assert set(world.disordered.values()) == set(DISTURBANCES)
        return world

    async def test_loads(
        self,
        hass: HomeAssistant,
        simulator: Simulator,
        world: FleetWorld,
        user_input: dict[str, Any],
        freezer: FrozenDateTimeFactory,
    ) -> None:
        """What is wrong with some nodes costs none of the others."""
        entry = await set_up_frozen(hass, freezer, user_input)
        await advance(hass, freezer)
        shown = {
            identifier
            for device in dr.async_entries_for_config_entry(
                dr.async_get(hass), entry.entry_id
            )
            for _, identifier in device.identifiers
        }
        good = [
            node
            for site in world.sites
            # Those that have fallen silent, or whose backlog is not in yet, show no values
            if site.last_s is None and site.backlog is None
            for node in site.nodes
            if node.series and node.device["id"] not in world.disordered
        ]
        assert len(good) > 80
        available = {
            registered.device_id
            for registered in er.async_entries_for_config_entry(
                er.async_get(hass), entry.entry_id
            )
            if (state := hass.states.get(registered.entity_id)) is not None
            and state.state != STATE_UNAVAILABLE
        }
        for node in good:
            assert node.node_id in shown
            device = device_of(hass, entry, node.node_id)
            assert device is not None
            if node.properties["nodeType"] != "externalSignal":
                assert device.id in available, node.node_id
        without_id = {"no nodeId", "nodeId null", "nodeId empty", "nearly empty"}
        assert entry.runtime_data.nodes.data.skipped == sum(
            disorder in without_id for disorder in world.disordered.values()
        )
