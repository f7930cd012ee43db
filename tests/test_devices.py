"""Nodes in the device registry: they come, go, move and are renamed without a reload."""

from datetime import timedelta
from typing import Any

from freezegun.api import FrozenDateTimeFactory
import pytest
from pytest_homeassistant_custom_component.typing import WebSocketGenerator

from custom_components.eniris.const import (
    CONF_IMPORT,
    CONF_INTERVAL,
    CONF_PREFERENCE,
    CONF_SITES,
    DOMAIN,
)
from custom_components.eniris.data import EnirisConfigEntry
from homeassistant.const import STATE_UNAVAILABLE
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers import (
    device_registry as dr,
    entity_registry as er,
    issue_registry as ir,
)
from homeassistant.setup import async_setup_component
from homeassistant.util import dt as dt_util
from simulator.server import Simulator
from simulator.world import FleetWorld, HomeWorld
from tests.kit.common import (
    METADATA_POLL,
    POLL,
    advance,
    advance_in_polls,
    device_of,
    entity_id_of,
    imported_entities,
    open_options,
    set_up_frozen,
    settle,
    state_of,
)
from tests.kit.meter import METER, add_meter, write

GRID = HomeWorld.GRID_METER
POWER = "actualPowerTot_W"
DEVICES = "POST /v1/device/query"


def via(
    hass: HomeAssistant, entry: EnirisConfigEntry, node_id: str
) -> dr.DeviceEntry | None:
    """Return the device above a node's."""
    device = device_of(hass, entry, node_id)
    assert device
    assert device.via_device_id
    return dr.async_get(hass).async_get(device.via_device_id)


def node_devices(hass: HomeAssistant, entry: EnirisConfigEntry) -> set[str]:
    """Return the node ids of all devices that are nodes'."""
    return {
        value
        for device in dr.async_entries_for_config_entry(
            dr.async_get(hass), entry.entry_id
        )
        for _, value in device.identifiers
        if not value.startswith("account_")
    }


def sites_issue(hass: HomeAssistant, entry: EnirisConfigEntry) -> ir.IssueEntry | None:
    """Return the repair issue of a chosen site that is gone."""
    return ir.async_get(hass).async_get_issue(DOMAIN, f"sites_{entry.entry_id}")


def with_addresses(user_input: dict[str, Any], simulator: Simulator) -> dict[str, Any]:
    """Return the form's input for another simulator."""
    return user_input | {
        "advanced": dict.fromkeys(user_input["advanced"], simulator.url)
    }


def replace_site(simulator: Simulator, node_id: str, new_id: str) -> None:
    """Give a site another node id, below which everything hangs from now on."""
    site = simulator.devices.by_node_id(node_id)
    simulator.devices.hide(site["id"])
    now = dt_util.utcnow().isoformat()
    properties = {**site["properties"], "nodeId": new_id}
    simulator.devices.add(
        {**site, "id": 99_999, "lastUpdate": now, "properties": properties}
    )
    for child in properties["nodeChildrenIds"]:
        device = simulator.devices.by_node_id(child)
        parents = [
            new_id if parent == node_id else parent
            for parent in device["properties"]["nodeParentsIds"]
        ]
        simulator.devices.edit(device["id"], {"nodeParentsIds": parents})


async def press_refresh(hass: HomeAssistant, entry: EnirisConfigEntry) -> None:
    """Press the button that reads the account now."""
    entity_id = er.async_get(hass).async_get_entity_id(
        "button", DOMAIN, f"{entry.unique_id}_refresh"
    )
    await hass.services.async_call(
        "button", "press", {"entity_id": entity_id}, blocking=True
    )
    await settle(hass)


async def test_tree(
    hass: HomeAssistant, user_input: dict[str, Any], freezer: FrozenDateTimeFactory
) -> None:
    """Account, site and nodes hang below each other, with what the metadata says of them."""
    entry = await set_up_frozen(hass, freezer, user_input)
    account = device_of(hass, entry, f"account_{entry.unique_id}")
    assert account
    assert account.entry_type is dr.DeviceEntryType.SERVICE
    assert account.via_device_id is None
    assert account.name == "Eniris account"
    assert account.manufacturer == "Eniris"
    assert account.configuration_url
    site = device_of(hass, entry, HomeWorld.SITE)
    assert site
    assert (site.name, site.manufacturer, site.model) == ("Home", "Eniris", "Site")
    assert site.configuration_url == account.configuration_url
    assert via(hass, entry, HomeWorld.SITE) == account
    for node_id in (GRID, HomeWorld.HYBRID_INVERTER, HomeWorld.EV_CHARGER):
        assert via(hass, entry, node_id) == site
    inverter = device_of(hass, entry, HomeWorld.HYBRID_INVERTER)
    for node_id in (HomeWorld.BATTERY, HomeWorld.STRING_EAST, HomeWorld.STRING_WEST):
        assert via(hass, entry, node_id) == inverter
    grid = device_of(hass, entry, GRID)
    assert grid
    assert (
        grid.name,
        grid.manufacturer,
        grid.model,
        grid.serial_number,
        grid.sw_version,
    ) == ("Grid meter", "Metrova", "EM340", "MV34019287", "1.9")
    # Infrastructure without data has no device of its own
    assert device_of(hass, entry, HomeWorld.CONTROLLER) is None
    assert device_of(hass, entry, HomeWorld.SWITCHBOARD) is None


async def test_new_node(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> None:
    """A node that is added has a device and entities within a metadata poll, without a reload."""
    charger = simulator.devices.by_node_id(HomeWorld.EV_CHARGER)
    simulator.devices.hide(charger["id"])
    entry = await set_up_frozen(hass, freezer, user_input)
    loaded_with = entry.runtime_data
    assert device_of(hass, entry, HomeWorld.EV_CHARGER) is None
    simulator.devices.show(charger["id"])
    await advance(hass, freezer, METADATA_POLL)
    await advance(hass, freezer)
    device = device_of(hass, entry, HomeWorld.EV_CHARGER)
    assert device
    assert device.name == "Charge point"
    assert state_of(hass, entry, HomeWorld.EV_CHARGER, POWER) != STATE_UNAVAILABLE
    assert entry.runtime_data is loaded_with


async def test_vanished_node(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> None:
    """A node that is missing twice in a row loses its device; missing once costs it nothing."""
    entry = await set_up_frozen(hass, freezer, user_input)
    loaded_with = entry.runtime_data
    battery = simulator.devices.by_node_id(HomeWorld.BATTERY)["id"]
    device = device_of(hass, entry, HomeWorld.BATTERY)
    assert device
    entity_id = entity_id_of(hass, entry, HomeWorld.BATTERY, POWER)
    simulator.devices.hide(battery)
    await advance(hass, freezer, METADATA_POLL)
    await advance(hass, freezer)
    assert device_of(hass, entry, HomeWorld.BATTERY) == device
    state = hass.states.get(entity_id)
    assert state
    assert state.state == STATE_UNAVAILABLE

    simulator.devices.show(battery)
    await advance(hass, freezer, METADATA_POLL)
    await advance(hass, freezer)
    state = hass.states.get(entity_id)
    assert state
    assert state.state != STATE_UNAVAILABLE

    simulator.devices.hide(battery)
    await advance(hass, freezer, METADATA_POLL)
    assert device_of(hass, entry, HomeWorld.BATTERY)
    # The second answer says that nothing has changed
    unchanged = simulator.log.count(DEVICES, 204)
    await advance(hass, freezer, METADATA_POLL)
    assert simulator.log.count(DEVICES, 204) == unchanged + 1
    assert device_of(hass, entry, HomeWorld.BATTERY) is None
    assert hass.states.get(entity_id) is None
    assert er.async_get(hass).async_get(entity_id) is None
    # Nobody else had to go
    assert via(hass, entry, HomeWorld.STRING_EAST) == device_of(
        hass, entry, HomeWorld.HYBRID_INVERTER
    )
    simulator.devices.show(battery)
    await advance(hass, freezer, METADATA_POLL)
    await advance(hass, freezer)
    assert state_of(hass, entry, HomeWorld.BATTERY, POWER) != STATE_UNAVAILABLE
    assert entry.runtime_data is loaded_with


@pytest.mark.expected_log("fetching Eniris")
async def test_outage_removes_nothing(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> None:
    """Polls that fail say nothing about nodes; neither does one answer that is empty by mistake."""
    entry = await set_up_frozen(hass, freezer, user_input)
    before = node_devices(hass, entry)
    simulator.faults.add("/v1/device/query", "status", status=503)
    for _ in range(5):
        await advance(hass, freezer, METADATA_POLL)
    assert node_devices(hass, entry) == before
    simulator.faults.clear()
    simulator.faults.add("/v1/device/query", "json", body={"device": []}, times=1)
    await advance(hass, freezer, METADATA_POLL)
    assert node_devices(hass, entry) == before
    await advance(hass, freezer, METADATA_POLL)
    await advance(hass, freezer)
    assert node_devices(hass, entry) == before
    assert state_of(hass, entry, GRID, POWER) != STATE_UNAVAILABLE


async def test_renamed_and_changed_node(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> None:
    """A node's device follows the metadata, and leaves the user's own name alone."""
    entry = await set_up_frozen(hass, freezer, user_input)
    loaded_with = entry.runtime_data
    device = simulator.devices.by_node_id(GRID)
    registered = device_of(hass, entry, GRID)
    assert registered
    simulator.devices.rename(device["id"], "Meter cupboard")
    simulator.devices.edit(
        device["id"], {"info": {"protocolDriverParameters": {"firmwareVersion": "2.0"}}}
    )
    await advance(hass, freezer, METADATA_POLL)
    changed = device_of(hass, entry, GRID)
    assert changed
    assert changed.id == registered.id
    assert changed.name == "Meter cupboard"
    assert changed.sw_version == "2.0"
    dr.async_get(hass).async_update_device(changed.id, name_by_user="Mine")
    simulator.devices.rename(device["id"], "Main meter")
    await advance(hass, freezer, METADATA_POLL)
    changed = device_of(hass, entry, GRID)
    assert changed
    assert (changed.name, changed.name_by_user) == ("Main meter", "Mine")
    assert entry.runtime_data is loaded_with


async def test_moved_node(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> None:
    """A node that gets another parent hangs below that one."""
    entry = await set_up_frozen(hass, freezer, user_input)
    charger = simulator.devices.by_node_id(HomeWorld.EV_CHARGER)["id"]
    board = simulator.devices.by_node_id(HomeWorld.SWITCHBOARD)
    children = [
        child
        for child in board["properties"]["nodeChildrenIds"]
        if child != HomeWorld.EV_CHARGER
    ]
    simulator.devices.edit(board["id"], {"nodeChildrenIds": children})
    simulator.devices.edit(
        simulator.devices.by_node_id(GRID)["id"],
        {"nodeChildrenIds": [HomeWorld.EV_CHARGER]},
    )
    simulator.devices.edit(charger, {"nodeParentsIds": [GRID]})
    await advance(hass, freezer, METADATA_POLL)
    assert via(hass, entry, HomeWorld.EV_CHARGER) == device_of(hass, entry, GRID)


async def test_made_anew(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> None:
    """A node that is deleted and made again in the cloud, with another number, is the same node."""
    entry = await set_up_frozen(hass, freezer, user_input)
    device = simulator.devices.by_node_id(GRID)
    before = device_of(hass, entry, GRID)
    simulator.devices.hide(device["id"])
    simulator.devices.add(
        {**device, "id": 99_999, "lastUpdate": dt_util.utcnow().isoformat()}
    )
    for _ in range(3):
        await advance(hass, freezer, METADATA_POLL)
    assert before == device_of(hass, entry, GRID)


async def test_refresh_button(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> None:
    """The button reads metadata and values at once."""
    entry = await set_up_frozen(hass, freezer, user_input)
    simulator.devices.rename(simulator.devices.by_node_id(GRID)["id"], "Renamed")
    simulator.log.reset()
    freezer.tick(timedelta(seconds=5))
    await press_refresh(hass, entry)
    assert simulator.log.count(DEVICES, 200) == 1
    assert simulator.log.count("POST /v1/telemetry/query", 200) == 1
    device = device_of(hass, entry, GRID)
    assert device
    assert device.name == "Renamed"


@pytest.mark.expected_log("fetching Eniris")
async def test_refresh_button_while_unreachable(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> None:
    """The button says what stands in the way."""
    entry = await set_up_frozen(hass, freezer, user_input)
    await simulator.stop()
    with pytest.raises(HomeAssistantError, match="reach Eniris"):
        await press_refresh(hass, entry)


async def test_user_deletes_a_device(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
    hass_ws_client: WebSocketGenerator,
) -> None:
    """A user can delete the device of a node that is not listed, and no other."""
    assert await async_setup_component(hass, "config", {})
    # At the present: the access to Home Assistant was given a moment ago
    entry = await set_up_frozen(hass, freezer, user_input, None)
    simulator.devices.hide(simulator.devices.by_node_id(HomeWorld.BATTERY)["id"])
    await advance(hass, freezer, METADATA_POLL)
    client = await hass_ws_client(hass)
    for node_id, can_go in (
        (GRID, False),
        (HomeWorld.SITE, False),
        (f"account_{entry.unique_id}", False),
        (HomeWorld.BATTERY, True),
    ):
        device = device_of(hass, entry, node_id)
        assert device
        await client.send_json_auto_id(
            {
                "type": "config/device_registry/remove_config_entry",
                "config_entry_id": entry.entry_id,
                "device_id": device.id,
            }
        )
        response = await client.receive_json()
        assert response["success"] is can_go, node_id
        assert (device_of(hass, entry, node_id) is None) is can_go


async def test_options(
    hass: HomeAssistant, user_input: dict[str, Any], freezer: FrozenDateTimeFactory
) -> None:
    """The options say which sites are shown, how often they are read, and from where."""
    freezer.move_to("2026-07-01T12:00:30Z")
    world = FleetWorld(3, clock=lambda: dt_util.utcnow().timestamp())
    async with Simulator(world, tier="unlimited") as simulator:
        addresses = dict.fromkeys(user_input["advanced"], simulator.url)
        entry = await set_up_frozen(
            hass, freezer, user_input | {"advanced": addresses}, None
        )
        everything = node_devices(hass, entry)
        sites = list(entry.runtime_data.nodes.data.sites)
        assert len(sites) == 3
        flow_id = await open_options(hass, entry)
        result = await hass.config_entries.options.async_configure(
            flow_id,
            {
                "import": {
                    CONF_INTERVAL: 30,
                    CONF_PREFERENCE: "lightest",
                    CONF_SITES: sites[:1],
                },
                "outbox": {"size_limit": 10, "age_limit": 0},
            },
        )
        assert result["type"] is FlowResultType.CREATE_ENTRY
        await settle(hass)
        # Listed, but not to be shown: gone at once
        kept = node_devices(hass, entry)
        assert kept == set(entry.runtime_data.nodes.data.by_id)
        assert 3 < len(kept) < len(everything) - 10
        assert imported_entities(hass, entry)
        simulator.log.reset()
        for _ in range(10):
            await advance(hass, freezer, timedelta(seconds=31))
        requests = simulator.log.find("POST /v1/telemetry/query")
        assert len(requests) == 10
        asked = {
            (
                query["from"]["namespace"]["retentionPolicy"],
                query["from"]["measurement"],
            )
            for query in requests[-1].json
        }
        by_minute = {
            measurement for policy, measurement in asked if policy == "rp_one_m"
        }
        assert by_minute
        # A series by the second is asked for what there is by the second alone
        assert len(requests[-1].json) < 60
        assert {
            query["where"]["tags"]["nodeId"]
            for query in requests[-1].json
            if "nodeId" in query["where"]["tags"]
        } <= kept
        # And back
        hass.config_entries.async_update_entry(
            entry, options={CONF_IMPORT: {CONF_SITES: []}}
        )
        await settle(hass)
        assert node_devices(hass, entry) == everything


async def test_site_that_is_gone(
    hass: HomeAssistant, user_input: dict[str, Any], freezer: FrozenDateTimeFactory
) -> None:
    """Sites that were chosen and are not there any more can be unchosen; until then all devices stay."""
    entry = await set_up_frozen(hass, freezer, user_input)
    before = node_devices(hass, entry)
    hass.config_entries.async_update_entry(
        entry, options={CONF_IMPORT: {CONF_SITES: ["gone_site_0"]}}
    )
    await settle(hass)
    assert node_devices(hass, entry) == before
    assert sites_issue(hass, entry)
    flow_id = await open_options(hass, entry)
    result = await hass.config_entries.options.async_configure(
        flow_id,
        {
            "import": {
                CONF_INTERVAL: 60,
                CONF_PREFERENCE: "freshest",
                CONF_SITES: [HomeWorld.SITE],
            },
            "outbox": {"size_limit": 10, "age_limit": 0},
        },
    )
    assert result["type"] is FlowResultType.CREATE_ENTRY
    await settle(hass)
    assert GRID in node_devices(hass, entry)
    assert sites_issue(hass, entry) is None


@pytest.mark.parametrize("others", [0, 1])
async def test_chosen_site_is_replaced(
    hass: HomeAssistant,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
    others: int,
) -> None:
    """A chosen site with a new id is asked about; devices and their settings wait for the answer."""
    async with Simulator(FleetWorld(3), tier="unlimited") as fleet:
        entry = await set_up_frozen(
            hass, freezer, with_addresses(user_input, fleet), None
        )
        sites = list(entry.runtime_data.nodes.data.sites)
        chosen = sites[: 1 + others]
        hass.config_entries.async_update_entry(
            entry, options={CONF_IMPORT: {CONF_SITES: chosen}}
        )
        await settle(hass)
        before = node_devices(hass, entry)
        assert sites_issue(hass, entry) is None
        replace_site(fleet, sites[0], "new_site_0")
        for _ in range(4):
            await advance(hass, freezer, METADATA_POLL)
        assert node_devices(hass, entry) >= before
        issue = sites_issue(hass, entry)
        assert issue is not None
        assert not issue.is_fixable
        assert issue.translation_placeholders is not None
        assert issue.translation_placeholders["sites"] == sites[0]

        answer = [*chosen[1:], "new_site_0"]
        hass.config_entries.async_update_entry(
            entry, options={CONF_IMPORT: {CONF_SITES: answer}}
        )
        await settle(hass)
        assert sites_issue(hass, entry) is None
        for _ in range(3):
            await advance(hass, freezer, METADATA_POLL)
        assert node_devices(hass, entry) == before - {sites[0]} | {"new_site_0"}


async def test_empty_by_mistake_asks_nothing(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> None:
    """An answer without any device is no reason to ask which site is wanted."""
    entry = await set_up_frozen(hass, freezer, user_input)
    hass.config_entries.async_update_entry(
        entry, options={CONF_IMPORT: {CONF_SITES: [HomeWorld.SITE]}}
    )
    await settle(hass)
    before = node_devices(hass, entry)
    simulator.faults.add("/v1/device/query", "json", body={"device": []})
    for _ in range(3):
        await advance(hass, freezer, METADATA_POLL)
    assert sites_issue(hass, entry) is None
    assert node_devices(hass, entry) == before


@pytest.mark.parametrize("by_hand", [False, True])
async def test_entity_ids_of_a_new_node(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
    by_hand: bool,
) -> None:
    """Entities of a node that comes later are called after it, too, those of its metadata included."""
    number = simulator.devices.by_node_id(HomeWorld.EV_CHARGER)["id"]
    simulator.devices.hide(number)
    entry = await set_up_frozen(hass, freezer, user_input)
    simulator.devices.show(number)
    if by_hand:
        await hass.services.async_call(
            "button",
            "press",
            {"entity_id": "button.eniris_account_refresh"},
            blocking=True,
        )
        await settle(hass)
    else:
        await advance(hass, freezer, METADATA_POLL)
        await advance(hass, freezer)
    ids = [
        registered.entity_id
        for registered in imported_entities(hass, entry)
        if HomeWorld.EV_CHARGER in registered.unique_id
    ]
    assert len(ids) > 10
    assert all(".charge_point_" in entity_id for entity_id in ids)


async def test_two_accounts_with_the_same_nodes(
    hass: HomeAssistant, user_input: dict[str, Any], freezer: FrozenDateTimeFactory
) -> None:
    """What one account does not want any more stays the other's."""
    first = await set_up_frozen(hass, freezer, user_input)
    other_input = {**user_input, "username": "norole@example.com"}
    second = await set_up_frozen(hass, freezer, other_input)
    await advance(hass, freezer)
    before = len(imported_entities(hass, second))
    assert before > 50
    hass.config_entries.async_update_entry(
        first, options={CONF_IMPORT: {CONF_SITES: ["nothing"]}}
    )
    await settle(hass)
    for _ in range(3):
        await advance(hass, freezer, METADATA_POLL)
    assert not imported_entities(hass, first)
    assert len(imported_entities(hass, second)) == before


@pytest.mark.parametrize("is_stale", [False, True])
async def test_node_that_comes_back(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
    is_stale: bool,
) -> None:
    """A node that is added again has all its entities again, however long it was silent before."""
    freezer.move_to("2026-07-01T12:00:30Z")
    fields = {
        "actualPowerTot_W": 1.0,
        "importedAbsEnergyTot_Wh": 1000.0,
        "importedEnergyDeltaTot_Wh": 5.0,
    }
    add_meter(simulator, *fields)
    write(simulator, fields)
    entry = await set_up_frozen(hass, freezer, user_input)

    def entities() -> set[str]:
        return {
            registered.unique_id
            for registered in imported_entities(hass, entry)
            if METER in registered.unique_id
        }

    before = entities()
    assert len(before) > 3
    if is_stale:
        await advance_in_polls(hass, freezer, 9 * POLL)
    simulator.devices.hide(simulator.devices.by_node_id(METER)["id"])
    for _ in range(3):
        await advance(hass, freezer, METADATA_POLL)
    assert device_of(hass, entry, METER) is None
    add_meter(simulator, *fields)
    await advance(hass, freezer, METADATA_POLL)
    write(simulator, fields, timedelta(0))
    await advance_in_polls(hass, freezer, 3 * POLL)
    assert entities() >= before


async def test_user_deletes_a_device_while_not_loaded(
    hass: HomeAssistant,
    hass_ws_client: WebSocketGenerator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> None:
    """While nobody knows what the account lists, no device can be deleted."""
    entry = await set_up_frozen(hass, freezer, user_input, None)
    device = device_of(hass, entry, HomeWorld.GRID_METER)
    assert device
    assert await hass.config_entries.async_unload(entry.entry_id)
    assert await async_setup_component(hass, "config", {})
    client = await hass_ws_client(hass)
    await client.send_json_auto_id(
        {
            "type": "config/device_registry/remove_config_entry",
            "config_entry_id": entry.entry_id,
            "device_id": device.id,
        }
    )
    answer = await client.receive_json()
    assert not answer["success"]
    assert answer["error"]["code"] != "unknown_error"
    assert device_of(hass, entry, HomeWorld.GRID_METER)
