"""Repairs in general: what is not so any more, and what becomes of issues."""

from typing import Any

import pytest

from custom_components.eniris import repairs
from custom_components.eniris.const import (
    CONF_ENTITY,
    CONF_FIELD,
    CONF_FIELDS,
    CONF_RETENTION_POLICY,
    DOMAIN,
)
from homeassistant.config_entries import ConfigEntryDisabler
from homeassistant.helpers import entity_registry as er, issue_registry as ir
from tests.kit.exports import INGRESS, POWER, Home
from tests.kit.shown import ENGLISH

from .kit import BLOCKED, REFUSED, TARGET, Fix, export_power, measure


@REFUSED
async def test_account_that_is_not_running(home: Home, fix: Fix) -> None:
    """Whatever is chosen, nothing can be changed."""
    home.simulator.accounts["demo@example.com"].roles.clear()
    await export_power(home)
    await measure(home, 1)
    await fix.open("role_missing", "init")
    assert await home.hass.config_entries.async_unload(home.entry.entry_id)
    await fix.choose("try_again")
    fix.expect_abort("not_loaded")


@REFUSED
async def test_solved_in_the_meantime(home: Home, fix: Fix) -> None:
    """Where nothing is left to do, the dialog says so."""
    home.simulator.accounts["demo@example.com"].roles.clear()
    await export_power(home)
    await measure(home, 1)
    issue = fix.issue("role_missing")
    flow: Any = await repairs.async_create_fix_flow(
        home.hass, issue.issue_id, issue.data
    )
    flow.hass, flow.issue_id = home.hass, issue.issue_id
    ir.async_delete_issue(home.hass, DOMAIN, issue.issue_id)
    result = await flow.async_step_init()
    assert result["reason"] == "solved"


async def test_every_fixable_issue_has_a_dialog() -> None:
    """What has steps of its own can be walked, and nothing else can."""
    assert set(repairs._FLOWS) == {
        kind for kind, texts in ENGLISH["issues"].items() if "fix_flow" in texts
    }


# What becomes of issues


def ignored(home: Home, kind: str) -> bool:
    """Tell whether the user ignores the issue of a kind."""
    [issue] = [
        issue
        for issue in ir.async_get(home.hass).issues.values()
        if issue.domain == DOMAIN and issue.active and issue.translation_key == kind
    ]
    return issue.dismissed_version is not None


async def reload(home: Home) -> None:
    """Reload the account, and let it upload."""
    assert await home.hass.config_entries.async_reload(home.entry.entry_id)
    await home.wait(31)


@REFUSED
async def test_ignored(home: Home, fix: Fix) -> None:
    """What the user ignores stays ignored when the account is reloaded."""
    home.simulator.accounts["demo@example.com"].roles.clear()
    export = await export_power(home)
    await measure(home, 1)
    er.async_get(home.hass).async_remove(POWER)
    home.hass.states.async_remove(POWER)
    await home.settle()
    for kind in ("role_missing", "entity_gone"):
        issue_id = fix.issue(kind).issue_id
        ir.async_ignore_issue(home.hass, DOMAIN, issue_id, ignore=True)
    for _ in range(2):
        await reload(home)
        assert ignored(home, "role_missing")
        assert ignored(home, "entity_gone")
    # Whoever gives the export another title is not told anew either
    subentry = home.entry.subentries[export.subentry_id]
    home.hass.config_entries.async_update_subentry(home.entry, subentry, title="Home")
    await home.wait(6)
    assert ignored(home, "entity_gone")
    assert home.issues()["entity_gone"]["export"] == "Home"


@BLOCKED
@pytest.mark.expected_log("refuses a value of field")
async def test_ignored_block(home: Home, fix: Fix) -> None:
    """The same holds for a blocked field, which is tried again after each start."""
    for mode in ("low", 1, 2):
        point = {
            "measurement": "gridMetrics",
            "tags": {"serialNr": "1"},
            "fields": {"mode": mode, "other": "word"},
        }
        account = {"config_entry_id": home.entry.entry_id, **TARGET}
        await home.hass.services.async_call(
            DOMAIN, "push", {**account, "points": [point]}, blocking=True
        )
        await home.wait(3)
    issue_id = fix.issue("field_blocked").issue_id
    ir.async_ignore_issue(home.hass, DOMAIN, issue_id, ignore=True)
    await reload(home)
    assert ignored(home, "field_blocked")
    await home.wait(3700, step=100)
    assert ignored(home, "field_blocked")


@REFUSED
async def test_export_and_target_gone(home: Home) -> None:
    """What was told of an export or of a target goes with it, and so does what was told of a field that was left out."""
    home.simulator.faults.add(INGRESS, "status", status=403, times=1)
    export = await export_power(home)
    await measure(home, 1)
    assert "role_missing" in home.issues()
    er.async_get(home.hass).async_remove(POWER)
    home.hass.states.async_remove(POWER)
    await home.settle()
    assert "entity_gone" in home.issues()
    subentry = home.entry.subentries[export.subentry_id]
    home.add_entity("sensor.car", "3", {"unit_of_measurement": "kW"})
    home.hass.config_entries.async_update_subentry(
        home.entry,
        subentry,
        data={
            **subentry.data,
            CONF_RETENTION_POLICY: "rp_one_s",
            CONF_FIELDS: [{CONF_ENTITY: "sensor.car", CONF_FIELD: "car_W"}],
        },
    )
    await home.wait(6)
    assert not home.issues()
    home.hass.states.async_remove("sensor.car")
    er.async_get(home.hass).async_remove("sensor.car")
    await home.settle()
    assert "entity_gone" in home.issues()
    home.hass.config_entries.async_remove_subentry(home.entry, export.subentry_id)
    await home.wait(6)
    assert not home.issues()


@REFUSED
async def test_account_disabled(home: Home) -> None:
    """Nothing is told of an account that is disabled; it is told again once it is enabled."""
    home.simulator.accounts["demo@example.com"].roles.clear()
    await export_power(home)
    await measure(home, 1)
    assert "role_missing" in home.issues()
    entries = home.hass.config_entries
    await entries.async_set_disabled_by(home.entry.entry_id, ConfigEntryDisabler.USER)
    await home.settle()
    assert not home.issues()
    await entries.async_set_disabled_by(home.entry.entry_id, None)
    await home.wait(6)
    assert "role_missing" in home.issues()


@REFUSED
async def test_account_removed(home: Home) -> None:
    """Nothing is told of an account that is removed."""
    home.simulator.accounts["demo@example.com"].roles.clear()
    await export_power(home)
    await measure(home, 1)
    assert "role_missing" in home.issues()
    await home.hass.config_entries.async_remove(home.entry.entry_id)
    await home.settle()
    assert not home.issues()
