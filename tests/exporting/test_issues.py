"""Repair issues of the export: each goes when its cause does, and what the user ignores stays ignored."""

import pytest

from custom_components.eniris.api import WriteTarget
from custom_components.eniris.const import DOMAIN
from custom_components.eniris.exporting.issues import Issues, of_field
from custom_components.eniris.exporting.outbox import corrections
from custom_components.eniris.exporting.outbox.batches import FieldKey
from homeassistant.core import HomeAssistant
from homeassistant.helpers import issue_registry as ir
from simulator.server import Simulator

from .conftest import (
    OTHER_TARGET,
    TARGET,
    AddAccount,
    Clock,
    export_data,
    export_id,
    issue_ids,
)

PATH = "/v1/telemetry"
KEY = FieldKey(TARGET, "gridMetrics", "status", "string")

OUTAGE = pytest.mark.expected_log("cannot be uploaded at present")


@pytest.fixture
def issues(hass: HomeAssistant) -> Issues:
    """Return the issues of an account."""
    return Issues(hass, "entry", "demo", "instance")


def count(hass: HomeAssistant) -> int:
    """Return how many issues there are."""
    return sum(
        issue.domain == DOMAIN and issue.active
        for issue in ir.async_get(hass).issues.values()
    )


def test_one_of_each_target(hass: HomeAssistant, issues: Issues) -> None:
    """A target has one problem at a time, and another target has its own."""
    issues.report_target("role_missing", TARGET, "403")
    issues.report_target("role_missing", OTHER_TARGET, "403")
    issues.report_target("target_refuses", TARGET, "400")
    assert issue_ids(hass) == {"role_missing", "target_refuses"}
    assert count(hass) == 2
    issues.resolve_target(TARGET)
    assert issue_ids(hass) == {"role_missing"}
    issues.resolve_target(OTHER_TARGET)
    assert count(hass) == 0


@pytest.mark.parametrize(
    "other",
    [
        KEY._replace(field="status2"),
        KEY._replace(type="float"),
        KEY._replace(measurement="gridMetrics2"),
        KEY._replace(target=OTHER_TARGET),
        KEY._replace(target=WriteTarget("demo", "ingress-demo", "rp_one_s")),
    ],
)
def test_one_of_each_field(
    hass: HomeAssistant, issues: Issues, other: FieldKey
) -> None:
    """Fields that differ in anything are told of, and taken back, each by itself."""
    issues.report("field_blocked", of_field(KEY), error="409")
    issues.report("field_blocked", of_field(other), error="409")
    assert count(hass) == 2
    issues.report("field_blocked", of_field(KEY), error="409 again")
    assert count(hass) == 2
    issues.resolve("field_blocked", of_field(KEY))
    assert count(hass) == 1
    issues.resolve("field_blocked", of_field(other))
    assert count(hass) == 0


def test_ids_tell_nothing(hass: HomeAssistant, issues: Issues) -> None:
    """Ids are part of every diagnostics file."""
    issues.report("field_blocked", of_field(KEY), error="409")
    issues.report_target("role_missing", TARGET, "403")
    for _, issue_id in ir.async_get(hass).issues:
        assert not [
            word
            for word in ("demo", "grid", "status", TARGET.retention_policy)
            if word in issue_id
        ]


def test_another_account_has_its_own(hass: HomeAssistant, issues: Issues) -> None:
    """What works for one account takes back nothing of another."""
    other = Issues(hass, "other", "demo2", "instance")
    issues.report_target("role_missing", TARGET, "403")
    other.report_target("role_missing", TARGET, "403")
    issues.resolve_all()
    assert count(hass) == 1
    other.resolve_all()
    assert count(hass) == 0


@OUTAGE
async def test_ignored_over_a_reload(
    hass: HomeAssistant, clock: Clock, add_account: AddAccount, simulator: Simulator
) -> None:
    """What still holds stays as the user left it, and goes once it is mended."""
    simulator.accounts["demo@example.com"].roles.clear()
    hass.states.async_set("sensor.a", "1")
    entry = await add_account(export_data({"sensor.a": "actualPowerTot_W"}))
    await clock.advance(6)
    assert issue_ids(hass) == {"role_missing"}
    registry = ir.async_get(hass)
    (issue_id,) = [key for domain, key in registry.issues if domain == DOMAIN]
    ir.async_ignore_issue(hass, DOMAIN, issue_id, True)
    for _ in range(2):
        assert await hass.config_entries.async_reload(entry.entry_id)
        await clock.advance(6)
        issue = registry.async_get_issue(DOMAIN, issue_id)
        assert issue is not None
        assert issue.dismissed_version is not None
    simulator.accounts["demo@example.com"].roles.add("CustomerName")
    await clock.advance(120, step=5)
    assert count(hass) == 0


@OUTAGE
async def test_end_with_the_export(
    hass: HomeAssistant, clock: Clock, add_account: AddAccount, simulator: Simulator
) -> None:
    """An export that is removed has no issue any more, once nothing waits that cannot be sent."""
    simulator.accounts["demo@example.com"].roles.clear()
    hass.states.async_set("sensor.a", "1")
    entry = await add_account(export_data({"sensor.a": "actualPowerTot_W"}))
    await clock.advance(6)
    hass.config_entries.async_remove_subentry(entry, export_id(entry))
    await clock.advance(6)
    assert issue_ids(hass) == {"role_missing"}
    outbox = entry.runtime_data.exporter.outbox
    await outbox.correct(corrections.discard, TARGET)
    await clock.advance(6)
    assert count(hass) == 0
