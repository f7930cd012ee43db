"""The actions that read and edit a node's metadata."""

import asyncio
from collections.abc import Coroutine
from datetime import UTC, date, datetime
import json
import math
from typing import Any

from freezegun.api import FrozenDateTimeFactory
import pytest
import voluptuous as vol

from custom_components.eniris.const import DOMAIN
from custom_components.eniris.data import EnirisConfigEntry
from custom_components.eniris.devices import account_identifier, subentry_identifier
from custom_components.eniris.services import (
    SERVICE_GET_DEVICE,
    SERVICE_SET_DEVICE_PROPERTIES,
)
from homeassistant.const import CONF_USERNAME
from homeassistant.core import Context, HomeAssistant
from homeassistant.exceptions import HomeAssistantError, ServiceValidationError
from homeassistant.helpers import config_validation as cv, device_registry as dr
from homeassistant.helpers.script import Script
from homeassistant.helpers.translation import async_get_exception_message
from simulator.server import Simulator
from simulator.world import HomeWorld
from tests.kit.common import (
    add_export,
    advance,
    device_of,
    set_up_frozen,
    settle,
    until,
)

NODE = HomeWorld.GRID_METER
QUERY = "POST /v1/device/query"
PUT = "PUT /v1/device/{id}"
POST = "POST /v1/device/{id}"
EDITABLE = ["name", "notes"]


@pytest.fixture
async def account(
    hass: HomeAssistant, user_input: dict[str, Any], freezer: FrozenDateTimeFactory
) -> EnirisConfigEntry:
    """Return the account of the simulator's home."""
    return await set_up_frozen(hass, freezer, user_input)


async def get(hass: HomeAssistant, **data: Any) -> dict[str, Any]:
    """Read a node."""
    response = await hass.services.async_call(
        DOMAIN, SERVICE_GET_DEVICE, data, blocking=True, return_response=True
    )
    read: dict[str, Any] = json.loads(json.dumps(response))
    return read


async def edit(hass: HomeAssistant, *, respond: bool = True, **data: Any) -> Any:
    """Edit a node."""
    response = await hass.services.async_call(
        DOMAIN,
        SERVICE_SET_DEVICE_PROPERTIES,
        data,
        blocking=True,
        return_response=respond,
    )
    await settle(hass)
    return response


async def refused(
    error: type[HomeAssistantError], key: str, call: Any
) -> dict[str, str]:
    """Wait for a call that fails for a reason that has its words, and return what these quote."""
    with pytest.raises(error) as caught:
        await call
    assert type(caught.value) is error
    assert caught.value.translation_domain == DOMAIN
    assert caught.value.translation_key == key
    quoted = caught.value.translation_placeholders or {}
    text = async_get_exception_message(DOMAIN, key, quoted)
    assert text != key
    assert all(value in text for value in quoted.values())
    return quoted


def device_id(hass: HomeAssistant, entry: EnirisConfigEntry, node_id: str) -> str:
    """Return the id of a node's device."""
    device = device_of(hass, entry, node_id)
    assert device
    return device.id


def stored(simulator: Simulator, node_id: str = NODE) -> dict[str, Any]:
    """Return the properties that the service has of a node."""
    properties: dict[str, Any] = simulator.devices.by_node_id(node_id)["properties"]
    return properties


# Reading


async def test_get(
    hass: HomeAssistant, account: EnirisConfigEntry, simulator: Simulator
) -> None:
    """A device's metadata as the service has it now, by one small query."""
    simulator.devices.edit(
        simulator.devices.by_node_id(NODE)["id"], {"notes": {"fuse": [1, None, "B16"]}}
    )
    simulator.log.reset()
    read = await get(hass, device_id=device_id(hass, account, NODE))
    there = simulator.devices.by_node_id(NODE)
    assert read == {
        "config_entry_id": account.entry_id,
        "node_id": NODE,
        "id": there["id"],
        "type": "powerMeter",
        "name": "Grid meter",
        "last_update": there["lastUpdate"],
        "properties": there["properties"],
        "editable": EDITABLE,
        "monitor_management": True,
    }
    [request] = simulator.log.requests
    assert request.json == {"filter": {"nodeId": [NODE]}}
    assert await get(hass, node_id=NODE) == read
    assert await get(hass, node_id=NODE, config_entry_id=account.entry_id) == read
    assert (
        await get(
            hass,
            device_id=device_id(hass, account, NODE),
            config_entry_id=account.entry_id,
        )
        == read
    )


async def test_get_what_has_no_device(
    hass: HomeAssistant, account: EnirisConfigEntry, simulator: Simulator
) -> None:
    """Nodes without telemetry can be read by their ids, and those that came a moment ago."""
    assert (await get(hass, node_id=HomeWorld.SWITCHBOARD))["type"] == "switchboard"
    simulator.devices.add({"id": 9, "properties": {"nodeId": "new", "x": 1}})
    assert await get(hass, node_id="new") == {
        "config_entry_id": account.entry_id,
        "node_id": "new",
        "id": 9,
        "type": None,
        "name": None,
        "last_update": None,
        "properties": {"nodeId": "new", "x": 1},
        "editable": [],
        "monitor_management": None,
    }


async def test_node_that_was_made_anew(
    hass: HomeAssistant, account: EnirisConfigEntry, simulator: Simulator
) -> None:
    """Of several devices with one node id the one counts that the integration shows."""
    series = stored(simulator)["nodeInfluxSeries"]
    for number, update in ((90, "2026-06-02"), (91, "2026-06-01")):
        simulator.devices.add(
            {
                "id": number,
                "lastUpdate": f"{update}T00:00:00Z",
                "properties": {"nodeId": NODE, "nodeInfluxSeries": series},
            }
        )
    assert (await get(hass, node_id=NODE))["id"] == 90


async def test_in_a_script(
    hass: HomeAssistant, account: EnirisConfigEntry, simulator: Simulator
) -> None:
    """Read, and edit only if nothing has changed since, with templates."""
    script = Script(
        hass,
        cv.SCRIPT_SCHEMA(
            [
                {
                    "action": "eniris.get_device",
                    "data": {"node_id": NODE},
                    "response_variable": "meter",
                },
                {
                    "action": "eniris.set_device_properties",
                    "data": {
                        "node_id": "{{ meter.node_id }}",
                        "last_update": "{{ meter.last_update }}",
                        "properties": {
                            "name": "{{ meter.name }} of {{ meter.properties.info.manufacturer }}",
                            "notes": "{{ {'fields': meter.properties.nodeInfluxSeries | length} }}",
                        },
                    },
                    "response_variable": "changed",
                },
                {"stop": "", "response_variable": "changed"},
            ]
        ),
        "test",
        "test",
    )
    read = await get(hass, node_id=NODE)
    result: Any = await script.async_run(context=Context())
    await settle(hass)
    assert result
    assert result.service_response["name"] == "Grid meter of Metrova"
    assert stored(simulator)["notes"] == {
        "fields": len(read["properties"]["nodeInfluxSeries"])
    }
    [put] = simulator.log.find(PUT)
    assert put.headers["If-Unmodified-Since"] == read["last_update"]


@pytest.mark.parametrize("data", [{}, {"device_id": "x", "node_id": NODE}])
async def test_not_one_address(
    hass: HomeAssistant, account: EnirisConfigEntry, data: dict[str, str]
) -> None:
    """Device or node id, one of them."""
    await refused(ServiceValidationError, "device_or_node", get(hass, **data))


async def test_devices_that_are_no_nodes(
    hass: HomeAssistant, account: EnirisConfigEntry, simulator: Simulator
) -> None:
    """The account's own device, an export's, that of another integration, none at all."""
    export = add_export(hass, account)
    await settle(hass)
    registry = dr.async_get(hass)
    foreign = registry.async_get_or_create(
        config_entry_id=account.entry_id, identifiers={("other", NODE)}
    )
    own = [
        device_id(hass, account, identifier)
        for identifier in (
            account_identifier(account)[1],
            subentry_identifier(account, export.subentry_id)[1],
        )
    ]
    simulator.log.reset()
    for each in (*own, foreign.id, "no such device"):
        await refused(ServiceValidationError, "not_a_node", get(hass, device_id=each))
    assert not simulator.log.requests


async def test_unknown_node(
    hass: HomeAssistant, account: EnirisConfigEntry, simulator: Simulator
) -> None:
    """A node that the service does not list (any more)."""
    quoted = await refused(
        ServiceValidationError, "no_such_node", get(hass, node_id="nobody")
    )
    assert quoted == {"node": "nobody"}
    chosen = device_id(hass, account, NODE)
    simulator.devices.hide(simulator.devices.by_node_id(NODE)["id"])
    await refused(ServiceValidationError, "no_such_node", get(hass, device_id=chosen))


async def test_accounts(
    hass: HomeAssistant,
    account: EnirisConfigEntry,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> None:
    """Where several accounts have a node, one has to be named; one that does not run is told."""
    other = await set_up_frozen(
        hass, freezer, {**user_input, CONF_USERNAME: "norole@example.com"}, None
    )
    await refused(
        ServiceValidationError, "node_of_several_accounts", get(hass, node_id=NODE)
    )
    await refused(ServiceValidationError, "no_such_node", get(hass, node_id="nobody"))
    for entry in (account, other):
        read = await get(hass, node_id=NODE, config_entry_id=entry.entry_id)
        assert read["config_entry_id"] == entry.entry_id
        read = await get(
            hass, device_id=device_id(hass, entry, NODE), config_entry_id=entry.entry_id
        )
        assert read["config_entry_id"] == entry.entry_id
    await refused(
        ServiceValidationError,
        "no_such_account",
        get(hass, node_id=NODE, config_entry_id="other"),
    )
    chosen = device_id(hass, account, NODE)
    assert await hass.config_entries.async_unload(account.entry_id)
    assert (await get(hass, node_id=NODE))["config_entry_id"] == other.entry_id
    for data in ({"node_id": NODE}, {"device_id": chosen}):
        quoted = await refused(
            ServiceValidationError,
            "account_not_loaded",
            get(hass, **data, config_entry_id=account.entry_id),
        )
        assert quoted == {"account": "demo@example.com"}
    assert await hass.config_entries.async_unload(other.entry_id)
    await refused(ServiceValidationError, "account_not_loaded", get(hass, node_id=NODE))
    for entry in (account, other):
        await hass.config_entries.async_remove(entry.entry_id)
    await refused(ServiceValidationError, "no_such_account", get(hass, node_id=NODE))


@pytest.mark.parametrize(
    ("fault", "key"),
    [
        ({"fault": "drop"}, "not_reached"),
        ({"fault": "html"}, "not_answered"),
        ({"fault": "garbage"}, "not_answered"),
        ({"fault": "status", "status": 403}, "not_answered"),
        ({"fault": "status", "status": 500}, "not_answered"),
    ],
)
async def test_get_fails(
    hass: HomeAssistant,
    account: EnirisConfigEntry,
    simulator: Simulator,
    fault: dict[str, Any],
    key: str,
) -> None:
    """What went wrong is told, and nothing goes on by itself."""
    simulator.faults.add("/v1/device/query", **fault)
    await refused(HomeAssistantError, key, get(hass, node_id=NODE))


async def test_asked_to_wait(
    hass: HomeAssistant,
    account: EnirisConfigEntry,
    simulator: Simulator,
    freezer: FrozenDateTimeFactory,
) -> None:
    """While the service wants to be left alone it is, whoever calls."""
    simulator.faults.add(
        "/v1/device/query", "status", status=429, retry_after=40, times=1
    )
    simulator.log.reset()
    for _ in range(3):
        quoted = await refused(
            HomeAssistantError, "asked_to_wait", get(hass, node_id=NODE)
        )
        assert quoted == {"seconds": "40"}
    assert simulator.log.count(QUERY) == 1
    freezer.tick(41)
    assert (await get(hass, node_id=NODE))["name"] == "Grid meter"


async def test_dead_log_in(
    hass: HomeAssistant, account: EnirisConfigEntry, simulator: Simulator
) -> None:
    """A log-in that has ended is asked for anew at once."""
    simulator.faults.add("/v1/device/query", "status", status=401)
    await refused(HomeAssistantError, "authentication_failed", get(hass, node_id=NODE))
    [flow] = hass.config_entries.flow.async_progress_by_handler(DOMAIN)
    assert flow["step_id"] == "reauth_confirm"


async def begin(
    hass: HomeAssistant,
    simulator: Simulator,
    call: Coroutine[Any, Any, Any],
    **fault: Any,
) -> asyncio.Task[Any]:
    """Make a call whose first query is answered after 5 seconds."""
    late = simulator.faults.add(
        "/v1/device/query", **{"fault": "delay", **fault}, delay=5, times=1
    )
    task = hass.async_create_task(call)
    await until(lambda: late.hits > 0)
    return task


@pytest.mark.parametrize(
    ("reload", "error", "key"),
    [
        (False, ServiceValidationError, "account_not_loaded"),
        (True, HomeAssistantError, "not_answered"),
    ],
)
async def test_token_of_before(
    hass: HomeAssistant,
    account: EnirisConfigEntry,
    simulator: Simulator,
    freezer: FrozenDateTimeFactory,
    reload: bool,
    error: type[HomeAssistantError],
    key: str,
) -> None:
    """Nobody is asked to log in because of a token that the account does not use any more."""
    task = await begin(
        hass, simulator, get(hass, node_id=NODE), fault="status", status=401
    )
    entries = hass.config_entries
    assert await (entries.async_reload if reload else entries.async_unload)(
        account.entry_id
    )
    if reload:
        await account.runtime_data.first_refresh
    simulator.faults.add("/auth/accesstoken", "status", status=401)
    freezer.tick(6)
    await refused(error, key, task)
    assert not entries.flow.async_progress_by_handler(DOMAIN)


# Editing


async def test_unloaded_during_an_edit(
    hass: HomeAssistant,
    account: EnirisConfigEntry,
    simulator: Simulator,
    freezer: FrozenDateTimeFactory,
) -> None:
    """What was begun is done, though the account was unloaded in between."""
    call = edit(hass, node_id=NODE, properties={"name": "Main meter"})
    task = await begin(hass, simulator, call)
    assert await hass.config_entries.async_unload(account.entry_id)
    freezer.tick(6)
    assert (await task)["name"] == "Main meter"
    assert stored(simulator)["name"] == "Main meter"


async def test_edit(
    hass: HomeAssistant, account: EnirisConfigEntry, simulator: Simulator
) -> None:
    """An edit is one read and one write; the device in Home Assistant follows at once."""
    before = simulator.devices.by_node_id(NODE)["lastUpdate"]
    simulator.log.reset()
    chosen = device_id(hass, account, NODE)
    response = await edit(hass, device_id=chosen, properties={"name": "Main meter"})
    assert response["name"] == response["properties"]["name"] == "Main meter"
    assert response["last_update"] > before
    assert response == await get(hass, node_id=NODE)
    device = dr.async_get(hass).async_get(chosen)
    assert device
    assert device.name == "Main meter"
    [put] = simulator.log.find(PUT)
    assert put.query == [("mode", "merge")]
    assert put.json == {"properties": {"name": "Main meter"}}
    assert put.headers["If-Unmodified-Since"] == before
    # Before the edit, after it for the coordinator, and the one just above
    assert simulator.log.count(QUERY) == 3


async def test_edits_in_a_row(
    hass: HomeAssistant,
    account: EnirisConfigEntry,
    simulator: Simulator,
    freezer: FrozenDateTimeFactory,
) -> None:
    """Each edit knows of the one before."""
    for name in ("A", "B", "C"):
        await edit(hass, node_id=NODE, properties={"name": name})
    assert stored(simulator)["name"] == "C"
    await advance(hass, freezer)
    device = device_of(hass, account, NODE)
    assert device
    assert device.name == "C"


@pytest.mark.parametrize(
    ("properties", "names"),
    [
        ({"info": {"model": "x"}}, "info"),
        ({"nodeId": "mine"}, "nodeId"),
        (
            {"name": "x", "nodeInfluxSeries": [], "nothing": 1},
            "nodeInfluxSeries, nothing",
        ),
    ],
)
async def test_not_editable(
    hass: HomeAssistant,
    account: EnirisConfigEntry,
    simulator: Simulator,
    properties: dict[str, Any],
    names: str,
) -> None:
    """What the account may not edit is never sent, nor is what comes with it."""
    before = dict(stored(simulator))
    quoted = await refused(
        ServiceValidationError,
        "not_editable",
        edit(hass, node_id=NODE, properties=properties),
    )
    assert quoted == {"node": NODE, "properties": names, "editable": "name, notes"}
    assert not simulator.log.find(PUT)
    assert stored(simulator) == before


async def test_no_number(
    hass: HomeAssistant, account: EnirisConfigEntry, simulator: Simulator
) -> None:
    """A device of which the service does not tell the number cannot be edited."""
    simulator.devices.add(
        {
            "properties": {"nodeId": "new"},
            "userRights": {"propertyEditabilities": {"name": True}},
        }
    )
    await refused(
        HomeAssistantError,
        "no_device_number",
        edit(hass, node_id="new", properties={"name": "y"}),
    )


async def test_changed_since(
    hass: HomeAssistant, account: EnirisConfigEntry, simulator: Simulator
) -> None:
    """An edit on the strength of what was read earlier fails where somebody else was there meanwhile."""
    read = await get(hass, node_id=NODE)
    simulator.devices.rename(read["id"], "Theirs")
    quoted = await refused(
        HomeAssistantError,
        "device_changed",
        edit(
            hass,
            node_id=NODE,
            properties={"name": "Mine"},
            last_update=read["last_update"],
        ),
    )
    assert quoted == {"node": NODE}
    assert simulator.log.count(PUT, 412) == 1
    assert stored(simulator)["name"] == "Theirs"
    read = await get(hass, node_id=NODE)
    await edit(
        hass, node_id=NODE, properties={"name": "Mine"}, last_update=read["last_update"]
    )
    assert stored(simulator)["name"] == "Mine"


async def test_time_without_quotes(
    hass: HomeAssistant, account: EnirisConfigEntry, simulator: Simulator
) -> None:
    """YAML may have made a time of the text."""
    moment = datetime(2026, 7, 1, 11, tzinfo=UTC)
    await edit(hass, node_id=NODE, properties={"name": "A"}, last_update=moment)
    [put] = simulator.log.find(PUT)
    assert put.headers["If-Unmodified-Since"] == "2026-07-01T11:00:00+00:00"
    quoted = await refused(
        ServiceValidationError,
        "invalid_last_update",
        edit(hass, node_id=NODE, properties={"name": "B"}, last_update="lately"),
    )
    assert quoted == {"value": "lately"}


@pytest.mark.parametrize(
    ("fault", "key"),
    [
        ({"fault": "status", "status": 400}, "edit_refused"),
        ({"fault": "status", "status": 403}, "edit_refused"),
        ({"fault": "status", "status": 405}, "edit_refused"),
        ({"fault": "status", "status": 401}, "authentication_failed"),
        ({"fault": "status", "status": 429, "retry_after": 5}, "asked_to_wait"),
        ({"fault": "status", "status": 500}, "edit_unknown"),
        ({"fault": "drop_after"}, "edit_unknown"),
        ({"fault": "html"}, "edit_unknown"),
    ],
)
async def test_edit_fails(
    hass: HomeAssistant,
    account: EnirisConfigEntry,
    simulator: Simulator,
    fault: dict[str, Any],
    key: str,
) -> None:
    """A refusal is told as one; of an answer that is lost, that nobody knows."""
    simulator.faults.add("/v1/device/[0-9]*", **fault)
    await refused(
        HomeAssistantError, key, edit(hass, node_id=NODE, properties={"name": "A"})
    )


async def test_answer_without_a_node(
    hass: HomeAssistant, account: EnirisConfigEntry, simulator: Simulator
) -> None:
    """Where the answer to an edit does not show the device, it is read again."""
    number = simulator.devices.by_node_id(NODE)["id"]
    simulator.faults.add(f"/v1/device/{number}", "json", body={"device": {"id": 1}})
    response = await edit(hass, node_id=NODE, properties={"name": "A"})
    assert response["node_id"] == NODE


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (datetime(2026, 1, 1, tzinfo=UTC), "properties.notes"),
        ({"built": date(2026, 1, 1)}, "properties.notes.built"),
        ([1, {"a": {1, 2}}], "properties.notes[1].a"),
        (math.nan, "properties.notes"),
        (2**63, "properties.notes"),
        ({"x": {5: 1}}, "properties.notes.x"),
        (b"bytes", "properties.notes"),
    ],
)
async def test_not_json(
    hass: HomeAssistant,
    account: EnirisConfigEntry,
    simulator: Simulator,
    value: Any,
    path: str,
) -> None:
    """What JSON lacks is named by its place, and nothing is asked."""
    simulator.log.reset()
    quoted = await refused(
        ServiceValidationError,
        "not_json",
        edit(hass, node_id=NODE, properties={"notes": value}),
    )
    assert quoted["path"] == path
    assert not simulator.log.requests


@pytest.mark.parametrize(
    ("properties", "error", "path"),
    [
        ({"name": 7}, "text", "name"),
        ({"name": True}, "text", "name"),
        ({"name": ["Meter"]}, "text", "name"),
        ({"name": {"en": "Meter"}}, "text", "name"),
        ({"notes": "x", "nodeType": 1.5}, "text", "nodeType"),
        ({"nodeParentsIds": "x"}, "list", "nodeParentsIds"),
        ({"nodeChildrenIds": ["x", 5]}, "text", "nodeChildrenIds[1]"),
        ({"nodeParentsIds": [None]}, "text", "nodeParentsIds[0]"),
        ({"info": "EM340"}, "mapping", "info"),
        ({"info": {"model": 340}}, "text", "info.model"),
        ({"info": {"nomPower_W": "5000"}}, "number", "info.nomPower_W"),
        ({"info": {"capacity_Wh": True}}, "number", "info.capacity_Wh"),
        (
            {"info": {"protocolDriverParameters": {"firmwareVersion": 1.2}}},
            "text",
            "info.protocolDriverParameters.firmwareVersion",
        ),
        ({"name": None}, "text", "name"),
        ({"info": {"nomPower_W": None}}, "number", "info.nomPower_W"),
        ({"nodeInfluxSeries": {}}, "list", "nodeInfluxSeries"),
        ({"nodeInfluxSeries": [None]}, "mapping", "nodeInfluxSeries[0]"),
        (
            {"nodeInfluxSeries": [{"tags": {"nodeId": 7}}]},
            "text",
            "nodeInfluxSeries[0].tags.nodeId",
        ),
        (
            {"nodeInfluxSeries": [{}, {"fields": ["a_W", False]}]},
            "text",
            "nodeInfluxSeries[1].fields[1]",
        ),
    ],
)
async def test_not_of_the_form(
    hass: HomeAssistant,
    account: EnirisConfigEntry,
    simulator: Simulator,
    properties: dict[str, Any],
    error: str,
    path: str,
) -> None:
    """A value of another kind than its property has is named by its place, and nothing is asked."""
    simulator.log.reset()
    quoted = await refused(
        ServiceValidationError,
        f"property_not_{error}",
        edit(hass, node_id=NODE, properties=properties),
    )
    assert quoted["path"] == f"properties.{path}"
    assert not simulator.log.requests


@pytest.mark.parametrize(
    "properties",
    [
        {"name": "7"},
        # What nobody knows the form of
        {"notes": {"name": 7, "info": [1, None]}},
        {"notes": 7},
    ],
)
async def test_of_the_form(
    hass: HomeAssistant,
    account: EnirisConfigEntry,
    simulator: Simulator,
    properties: dict[str, Any],
) -> None:
    """What has the form, or of which none is known, is written as it is."""
    await edit(hass, node_id=NODE, properties=properties)
    assert stored(simulator) | properties == stored(simulator)


async def test_malformed_edits(hass: HomeAssistant, account: EnirisConfigEntry) -> None:
    """Properties are needed, at least one."""
    await refused(
        ServiceValidationError, "no_properties", edit(hass, node_id=NODE, properties={})
    )
    for data in ({}, {"properties": "name"}, {"properties": None}):
        with pytest.raises(vol.Invalid):
            await edit(hass, node_id=NODE, **data)
