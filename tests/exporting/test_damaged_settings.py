"""Stored settings that are damaged: what is lost is told of, and all the rest goes on."""

from types import MappingProxyType
from typing import Any

import pytest

from custom_components.eniris.const import (
    CONF_COLLECTOR,
    CONF_DATABASE,
    CONF_ENTITY,
    CONF_FIELD,
    CONF_FIELDS,
    CONF_IMPORT,
    CONF_INTERVAL,
    CONF_MODE,
    CONF_OUTBOX,
    CONF_REFRESH_TOKEN,
    CONF_SIZE_LIMIT,
    CONF_TAGS,
)
from custom_components.eniris.exporting.exporter import Exporter
from custom_components.eniris.repairs import async_create_fix_flow
from homeassistant.config_entries import SOURCE_REAUTH, ConfigEntryState
from homeassistant.core import HomeAssistant
from homeassistant.helpers import issue_registry as ir
from simulator.server import Simulator

from .conftest import AddAccount, Clock, Received, export_data, export_id, issue_ids

LOST = pytest.mark.expected_log("Stored settings of the export .* cannot be read")
REPLACED = pytest.mark.expected_log("Stored settings of .*, so that the defaults hold")

A = {"sensor.a": "a_W"}
B = {"sensor.b": "b_W"}


def without(data: dict[str, Any], key: str) -> dict[str, Any]:
    """Return the data of an export without a part of it."""
    return {name: value for name, value in data.items() if name != key}


def issue(hass: HomeAssistant) -> ir.IssueEntry:
    """Return the one issue there is."""
    [found] = [i for i in ir.async_get(hass).issues.values() if i.domain == "eniris"]
    return found


@LOST
@pytest.mark.parametrize(
    "data",
    [
        without(export_data(B), CONF_COLLECTOR),
        without(export_data(B), CONF_TAGS),
        export_data(B, **{CONF_DATABASE: 7}),
        export_data(B, **{CONF_TAGS: {"serialNr": None}}),
        {},
    ],
)
async def test_export_without_series(
    hass: HomeAssistant,
    clock: Clock,
    add_account: AddAccount,
    received: Received,
    data: dict[str, Any],
) -> None:
    """An export that does not know where its values go is left out, and the other goes on."""
    for name in ("sensor.a", "sensor.b"):
        hass.states.async_set(name, "1")
    entry = await add_account(export_data(A), data)
    assert entry.state is ConfigEntryState.LOADED
    await clock.advance(6)
    assert received.values("a_W") == [(0, 1.0)]
    assert not received.values("b_W")
    assert issue_ids(hass) == {"export_damaged"}
    placeholders = issue(hass).translation_placeholders
    assert placeholders
    assert placeholders["export"] == "Export 1"
    # What cannot be read is named, and nothing of what stands there is told
    assert placeholders["lost"]
    assert "7" not in placeholders["lost"]


@LOST
async def test_damaged_row(
    hass: HomeAssistant, clock: Clock, add_account: AddAccount, received: Received
) -> None:
    """A field that cannot be read costs itself; the others of its export go on."""
    hass.states.async_set("sensor.a", "1")
    rows: list[Any] = [
        {CONF_ENTITY: "sensor.a"},
        {CONF_ENTITY: "sensor.a", CONF_FIELD: "a_W"},
        None,
    ]
    await add_account({**export_data(A), CONF_FIELDS: rows})
    await clock.advance(6)
    assert received.values("a_W") == [(0, 1.0)]
    assert (issue(hass).translation_placeholders or {})["lost"] == "fields 1, fields 3"


@LOST
@pytest.mark.expected_log("cannot be uploaded at present")
async def test_what_waits_of_a_damaged_export_goes_up(
    hass: HomeAssistant,
    clock: Clock,
    add_account: AddAccount,
    received: Received,
    simulator: Simulator,
) -> None:
    """What was collected while the export was whole is sent, and the issue goes when it is whole again."""
    hass.states.async_set("sensor.a", "1")
    simulator.faults.add("/v1/telemetry", "status", status=503)
    entry = await add_account(export_data(A))
    await clock.advance(2)
    subentry = entry.subentries[export_id(entry)]
    hass.config_entries.async_update_subentry(
        entry, subentry, data=without(dict(subentry.data), CONF_DATABASE)
    )
    await clock.settle()
    assert issue_ids(hass) == {"export_damaged"}
    assert not received.values("a_W")
    simulator.faults.clear()
    exporter: Exporter = entry.runtime_data.exporter
    await exporter.async_upload_now()
    assert received.values("a_W") == [(0, 1.0)]
    hass.config_entries.async_update_subentry(entry, subentry, data=export_data(A))
    await clock.settle()
    assert not issue_ids(hass)
    assert len(entry.runtime_data.exporter.exports) == 1


@LOST
async def test_dialogs(
    hass: HomeAssistant, clock: Clock, add_account: AddAccount
) -> None:
    """The export's own dialog asks for what is missing; that of the issue deletes the export."""
    entry = await add_account(export_data(A), without(export_data(B), CONF_DATABASE))
    damaged = export_id(entry, 1)
    result = await hass.config_entries.subentries.async_init(
        (entry.entry_id, "export"),
        context={"source": "reconfigure", "subentry_id": damaged},
    )
    assert result["step_id"] == "where"
    assert result["errors"] == {CONF_DATABASE: "name_empty"}
    found = issue(hass)
    flow = await async_create_fix_flow(hass, found.issue_id, dict(found.data or {}))
    flow.hass, flow.issue_id = hass, found.issue_id
    assert (await flow.async_step_init())["step_id"] == "delete_export"  # type: ignore[attr-defined]
    await flow.async_step_delete_export({})  # type: ignore[attr-defined]
    await clock.settle()
    assert damaged not in entry.subentries
    assert not issue_ids(hass)
    assert entry.state is ConfigEntryState.LOADED


@REPLACED
async def test_what_has_a_default(
    hass: HomeAssistant, clock: Clock, add_account: AddAccount, received: Received
) -> None:
    """What has a default has it, for an export and for an account."""
    hass.states.async_set("sensor.a", "1")
    entry = await add_account(
        export_data(A, **{CONF_MODE: "sometimes", CONF_INTERVAL: 0}),
        options={
            CONF_IMPORT: {CONF_INTERVAL: "often", "preference": "both", "sites": 7},
            CONF_OUTBOX: {CONF_SIZE_LIMIT: -1},
            "expert": None,
        },
    )
    assert entry.state is ConfigEntryState.LOADED
    assert entry.runtime_data.telemetry.pace.wanted.total_seconds() == 60
    await clock.advance(6)
    assert received.values("a_W") == [(0, 1.0)]
    assert not issue_ids(hass)


@REPLACED
@pytest.mark.expected_log("does not accept the stored log-in")
async def test_without_a_token(
    hass: HomeAssistant, clock: Clock, add_account: AddAccount
) -> None:
    """An account that has lost its token collects values and asks for a log-in."""
    entry = await add_account(export_data(A), set_up=False)
    data = {**entry.data}
    del data[CONF_REFRESH_TOKEN]
    object.__setattr__(entry, "data", MappingProxyType(data))
    assert await hass.config_entries.async_setup(entry.entry_id)
    await clock.settle()
    assert [
        flow["context"]["source"] for flow in hass.config_entries.flow.async_progress()
    ] == [SOURCE_REAUTH]
