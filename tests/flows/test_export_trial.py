"""The trial of an export: one real write, and what the service says to it."""

from collections.abc import Callable
from typing import Any

import pytest

from custom_components.eniris.const import (
    CONF_ATTRIBUTES,
    CONF_DATABASE,
    CONF_ENTITIES,
    CONF_HEARTBEAT,
    CONF_RETENTION_POLICY,
    CONF_SHORTEST,
)
from homeassistant.const import CONF_NAME, STATE_UNAVAILABLE
from homeassistant.data_entry_flow import FlowResultType
from homeassistant.util import dt as dt_util
from simulator.model import SeriesKey
from simulator.server import Simulator
from simulator.store import IncomingPoint
from tests.flows.kit import FIELD, refuse_with, registry_id, stored
from tests.kit.exports import INGRESS, POWER, WHERE, WRITE, Dialog, Home


async def test_trial_of_several_types(home: Home, dialog: Dialog) -> None:
    """The trial writes what the export would: floats, booleans and words, in the field's units."""
    for entity_id, state, attributes in (
        ("binary_sensor.door", "on", {}),
        ("input_select.mode", "eco", {"options": ["eco", "away"]}),
        ("counter.visits", "3", {}),
        ("sensor.battery", "80", {"unit_of_measurement": "%"}),
        ("sensor.gone", STATE_UNAVAILABLE, {}),
    ):
        home.hass.states.async_set(entity_id, state, attributes)
    await dialog.to_end_of_trial(
        {
            POWER: FIELD,
            "binary_sensor.door": "doorOpen",
            "input_select.mode": "mode",
            "counter.visits": "visits",
            "sensor.battery": "stateOfCharge_frac",
            "sensor.gone": "gone",
        }
    )
    dialog.expect("written")
    assert home.simulator.log.count(WRITE, 204) == 1
    [point] = home.points()
    assert point.fields == {
        FIELD: 1500.0,
        "doorOpen": True,
        "mode": "eco",
        "visits": 3.0,
        "stateOfCharge_frac": 0.8,
    }
    assert point.types == {
        FIELD: "float",
        "doorOpen": "boolean",
        "mode": "string",
        "visits": "float",
        "stateOfCharge_frac": "float",
    }
    assert dialog.quoted["values"].splitlines() == [
        f"- `{FIELD}` = `1500.0`",
        "- `doorOpen` = `true`",
        '- `mode` = `"eco"`',
        "- `visits` = `3.0`",
        "- `stateOfCharge_frac` = `0.8`",
    ]
    assert dialog.quoted["missing"] == "- `gone` = –"


async def test_written_later(home: Home, dialog: Dialog) -> None:
    """What was shown is written with the time at which it was true, however long the dialog was open."""
    await dialog.open()
    await dialog.to_fields(POWER)
    await dialog.submit({POWER: FIELD})
    await dialog.choose("change")
    await dialog.submit({CONF_SHORTEST: 0, CONF_HEARTBEAT: 0})
    assert dialog.result["step_id"] == "trial"
    then = dt_util.utcnow()
    await home.wait(600, step=60)
    await dialog.write()
    dialog.expect("written")
    [point] = home.points()
    assert point.time_ns // 10**9 == int(then.timestamp())


async def test_role_missing(home: Home, dialog: Dialog) -> None:
    """An account that may not write is told so at the first form, and nothing typed is lost."""
    home.simulator.accounts["demo@example.com"].roles.clear()
    await dialog.to_end_of_trial({POWER: "myPower_W"})
    dialog.expect("user", {"base": "role_missing"})
    assert "403 Forbidden" in dialog.quoted["error"]
    assert dialog.shown == WHERE
    # The role is given, and the same dialog goes on
    home.simulator.accounts["demo@example.com"].roles.add("CustomerName")
    await dialog.submit({**WHERE, CONF_NAME: "Other"})
    dialog.expect("entities")
    assert dialog.shown == {CONF_ENTITIES: [POWER], CONF_ATTRIBUTES: False}
    await dialog.submit(dialog.shown)
    assert dialog.shown == {POWER: "myPower_W"}
    await dialog.to_trial(dialog.shown)
    dialog.expect("written")
    await dialog.end()
    [subentry] = home.exports
    assert subentry.title == "Other"
    assert subentry.data == stored({registry_id(home): "myPower_W"})


async def test_namespace_unknown(home: Home, dialog: Dialog) -> None:
    """A database that the service does not know is told at database and retention policy."""
    where = {**WHERE, CONF_DATABASE: "demmo"}
    await dialog.to_end_of_trial({POWER: FIELD}, where)
    dialog.expect(
        "user",
        {
            CONF_DATABASE: "namespace_unknown",
            CONF_RETENTION_POLICY: "namespace_unknown",
        },
    )
    assert "demmo" in dialog.quoted["error"]
    assert dialog.shown == where
    await dialog.to_fields(POWER)
    assert dialog.shown == {POWER: FIELD}
    await dialog.to_trial({POWER: FIELD})
    dialog.expect("written")
    await dialog.end()
    assert home.exports[0].data[CONF_DATABASE] == "demo"


async def test_type_conflict(home: Home, dialog: Dialog) -> None:
    """A field that is stored with another type is told at its entity, and at no other."""
    for entity_id, value in (("sensor.a", "1"), ("sensor.b", "2")):
        home.hass.states.async_set(entity_id, value, {"state_class": "measurement"})
    series = SeriesKey("demo", "rp_one_m", "gridMetrics", (("serialNr", "other"),))
    home.simulator.store.write([IncomingPoint(series, 1, {"powerLevel": 5})])
    fields = {"sensor.a": "power", "sensor.b": "powerLevel"}
    await dialog.to_end_of_trial(fields)
    dialog.expect("fields", {"sensor.b": "type_conflict"})
    assert "already exists as type integer" in dialog.quoted["error"]
    assert dialog.shown == fields
    await dialog.to_trial({**fields, "sensor.b": "powerLevel2"})
    dialog.expect("written")
    assert home.points(field_name="power")[0].fields == {
        "power": 1.0,
        "powerLevel2": 2.0,
    }


def refuse_times(simulator: Simulator) -> None:
    """Make the service refuse the present, until it is asked not to."""
    simulator.switches.max_age_s = -10


def refuse_sizes(simulator: Simulator) -> None:
    """Make the service refuse a body of any size."""
    simulator.switches.max_body = 10


@pytest.mark.parametrize(
    ("refuse", "error", "says"),
    [
        (refuse_times, "time_range", "outside the allowed time range"),
        (refuse_sizes, "refused", "413"),
        (refuse_with(400, "malformed"), "refused", "malformed"),
        (refuse_with(422, "mixed types"), "refused", "mixed types"),
        # A conflict of a field that is none of this export's
        (refuse_with(409, "type of field nobody"), "type_conflict", "nobody"),
    ],
)
async def test_values_refused(
    home: Home,
    dialog: Dialog,
    refuse: Callable[[Simulator], None],
    error: str,
    says: str,
) -> None:
    """What the service has against the values is told above the names, in its words."""
    refuse(home.simulator)
    await dialog.to_end_of_trial({POWER: "myPower_W"})
    dialog.expect("fields", {"base": error})
    assert says in dialog.quoted["error"]
    assert dialog.shown == {POWER: "myPower_W"}
    home.simulator.switches.max_age_s = 1e6
    home.simulator.switches.max_body = 1_000_000
    await dialog.to_trial(dialog.shown)
    dialog.expect("written")


TROUBLE: list[dict[str, Any]] = [
    {"fault": "drop"},
    {"fault": "half_body"},
    {"fault": "garbage"},
    {"fault": "html"},
    {"fault": "wrong_type"},
    {"fault": "empty"},
    {"fault": "status", "status": 500},
    {"fault": "status", "status": 503, "retry_after": 30},
    {"fault": "status", "status": 429, "retry_after": 30},
    {"fault": "status", "status": 418},
]


@pytest.mark.parametrize("trouble", TROUBLE, ids=str)
async def test_no_verdict(home: Home, dialog: Dialog, trouble: dict[str, Any]) -> None:
    """Where the service says neither yes nor no, the trial is repeated, or saved without."""
    home.simulator.faults.add(INGRESS, **trouble)
    await dialog.to_end_of_trial({POWER: FIELD})
    dialog.expect("unreachable")
    assert dialog.result["type"] is FlowResultType.MENU
    assert dialog.result["menu_options"] == ["write", "save"]
    assert dialog.quoted["error"]
    await dialog.choose("write")
    dialog.expect("unreachable")
    assert len(home.writes) == 2
    home.simulator.faults.clear()
    await dialog.choose("write")
    dialog.expect("written")
    await dialog.end()
    assert home.exports[0].data == stored({registry_id(home): FIELD})


@pytest.mark.parametrize("stale", [False, True])
@pytest.mark.parametrize("status", [400, 403, 404, 409, 413, 422, 500])
async def test_trouble_with_the_log_in_is_none_of_the_values(
    home: Home, dialog: Dialog, status: int, stale: bool
) -> None:
    """What the authentication host says is not taken for a word on role, database or values."""
    if stale:
        home.simulator.revoke("demo@example.com", "access")
    else:
        # Which leaves the trial as the only one that asks for a token
        assert await home.hass.config_entries.async_unload(home.entry.entry_id)
    home.simulator.faults.add("/auth/accesstoken", "status", status=status)
    await dialog.to_end_of_trial({POWER: FIELD})
    dialog.expect("unreachable")
    assert str(status) in dialog.quoted["error"]
    assert len(home.writes) == stale


@pytest.mark.parametrize("loaded", [True, False])
async def test_dead_log_in(home: Home, dialog: Dialog, loaded: bool) -> None:
    """A log-in that has ended asks for a new one; the export can be saved meanwhile."""
    if not loaded:
        assert await home.hass.config_entries.async_unload(home.entry.entry_id)
    home.simulator.revoke("demo@example.com", "refresh")
    home.simulator.revoke("demo@example.com", "access")
    await dialog.to_end_of_trial({POWER: FIELD})
    dialog.expect("unreachable")
    assert home.log_ins_asked_for() == 1
    await dialog.choose("write")
    dialog.expect("unreachable")
    assert home.log_ins_asked_for() == 1
    await dialog.choose("save")
    assert home.exports[0].data == stored({registry_id(home): FIELD})
