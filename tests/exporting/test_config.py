"""Stored settings that are damaged: what is lost is told of, and all the rest goes on."""

import math
from typing import Any

import pytest

from custom_components.eniris.const import (
    CONF_ATTRIBUTE,
    CONF_COLLECTOR,
    CONF_DATABASE,
    CONF_ENABLED,
    CONF_ENTITY,
    CONF_FIELD,
    CONF_FIELDS,
    CONF_HEARTBEAT,
    CONF_INTERVAL,
    CONF_KIND,
    CONF_MEASUREMENT,
    CONF_MODE,
    CONF_RETENTION_POLICY,
    CONF_SHORTEST,
    CONF_TAGS,
)
from custom_components.eniris.exporting.exporter import Exporter
from homeassistant.config_entries import ConfigEntryState
from homeassistant.core import HomeAssistant
from homeassistant.helpers import issue_registry as ir
from simulator.server import Simulator
from tests.exporting.conftest import (
    AddAccount,
    Clock,
    Received,
    export_data,
    export_id,
    issue_ids,
)
from tests.kit.exports import suggested

INVALID = pytest.mark.expected_log("Stored settings of the export .* are invalid")

A = {"sensor.a": "a_W"}
B = {"sensor.b": "b_W"}
ROW = {CONF_ENTITY: "sensor.b", CONF_FIELD: "b_W"}


def without(data: dict[str, Any], key: str) -> dict[str, Any]:
    """Return the data of an export without a part of it."""
    return {name: value for name, value in data.items() if name != key}


def issue(hass: HomeAssistant) -> ir.IssueEntry:
    """Return the one issue there is."""
    [found] = [i for i in ir.async_get(hass).issues.values() if i.domain == "eniris"]
    return found


@INVALID
@pytest.mark.parametrize(
    ("data", "keys"),
    [
        (without(export_data(B), CONF_COLLECTOR), "collector"),
        (without(export_data(B), CONF_TAGS), "tags"),
        (export_data(B, **{CONF_DATABASE: 7, CONF_INTERVAL: 0}), "database, interval"),
        (export_data(B, **{CONF_TAGS: {"serialNr": None}}), "tags"),
        (export_data(B, **{CONF_TAGS: {"_secret": "7"}}), "tags"),
        (export_data(B, **{CONF_TAGS: {"serialNr": "7\n"}}), "tags"),
        (export_data(B, **{CONF_MEASUREMENT: "_7"}), "measurement"),
        (export_data(B, **{CONF_RETENTION_POLICY: ""}), "retention_policy"),
        (export_data(B, **{CONF_MODE: "sometimes"}), "mode"),
        (export_data(B, **{CONF_SHORTEST: True}), "shortest"),
        (export_data(B, **{CONF_HEARTBEAT: math.nan}), "heartbeat"),
        (export_data(B, **{CONF_ENABLED: "7"}), "enabled"),
        ({**export_data(B), CONF_FIELDS: None}, "fields"),
        (export_data([{CONF_ENTITY: "sensor.b"}]), "fields"),
        (export_data([{**ROW, CONF_ATTRIBUTE: 7}]), "fields"),
        (export_data([ROW, {**ROW, CONF_KIND: "colour"}]), "fields"),
        ({}, "collector, database, retention_policy, measurement, tags, fields"),
    ],
)
async def test_invalid_export(
    hass: HomeAssistant,
    clock: Clock,
    add_account: AddAccount,
    received: Received,
    caplog: pytest.LogCaptureFixture,
    data: dict[str, Any],
    keys: str,
) -> None:
    """An export with invalid settings is skipped, which is told once, and the other goes on."""
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
    # The keys are named, and nothing of what stands there is told
    assert set(placeholders["lost"].split(", ")) == set(keys.split(", "))
    told = [r for r in caplog.records if "are invalid" in r.getMessage()]
    assert len(told) == 1
    assert placeholders["lost"] in told[0].getMessage()


async def test_settings_of_a_newer_version(
    hass: HomeAssistant, clock: Clock, add_account: AddAccount, received: Received
) -> None:
    """Keys that a newer version has added are let be."""
    hass.states.async_set("sensor.b", "1")
    await add_account(
        export_data([{**ROW, CONF_KIND: "number", "later": 7}], later={"x": None})
    )
    await clock.advance(6)
    assert received.values("b_W") == [(0, 1.0)]
    assert not issue_ids(hass)


@INVALID
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


@INVALID
async def test_form(hass: HomeAssistant, clock: Clock, add_account: AddAccount) -> None:
    """The export's own form, of which the issue speaks, asks for what is missing; or the export is deleted."""
    entry = await add_account(export_data(A), without(export_data(B), CONF_DATABASE))
    damaged = export_id(entry, 1)
    result = await hass.config_entries.subentries.async_init(
        (entry.entry_id, "export"),
        context={"source": "reconfigure", "subentry_id": damaged},
    )
    assert result["step_id"] == "where"
    assert result["errors"] == {CONF_DATABASE: "name_empty"}
    # What is valid is shown
    assert result["data_schema"]
    assert suggested(result["data_schema"])[CONF_COLLECTOR] == "demo-ingress"
    assert not issue(hass).is_fixable
    hass.config_entries.async_remove_subentry(entry, damaged)
    await clock.settle()
    assert damaged not in entry.subentries
    assert not issue_ids(hass)
    assert entry.state is ConfigEntryState.LOADED
