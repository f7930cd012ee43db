"""The actions that push, upload, list and discard."""

from contextlib import closing
from datetime import UTC, datetime, timedelta
import json
import math
from pathlib import Path
import sqlite3
from typing import Any

import pytest
import voluptuous as vol

from custom_components.eniris.const import (
    ATTR_CONFIG_ENTRY_ID,
    ATTR_POINTS,
    ATTR_TIME,
    CONF_COLLECTOR,
    CONF_DATABASE,
    CONF_FIELDS,
    CONF_MEASUREMENT,
    CONF_RETENTION_POLICY,
    CONF_TAGS,
    DOMAIN,
)
from custom_components.eniris.exporting.outbox.rows import Rows
from custom_components.eniris.services import (
    SERVICE_DISCARD_REJECTS,
    SERVICE_LIST_REJECTS,
    SERVICE_PUSH,
    SERVICE_UPLOAD_NOW,
)
from homeassistant.exceptions import HomeAssistantError, ServiceValidationError
from homeassistant.helpers.storage import STORAGE_DIR
from homeassistant.helpers.translation import async_get_exception_message
from tests.kit.exports import INGRESS, START, WRITE, Home, MeterWorld
from tests.services.kit import POINT, call


@pytest.fixture
def world() -> MeterWorld:
    """Return a small world."""
    return MeterWorld()


def waiting(home: Home) -> list[tuple[str, Any]]:
    """Return field and value of what waits, in memory and in the outbox' file as another process sees it."""
    [path] = Path(home.hass.config.path(STORAGE_DIR)).glob("eniris.*.outbox.db")
    with closing(sqlite3.connect(path)) as connection:
        rows = Rows(connection)
        blocks = [block for queue in rows.queues() for block in rows.read(queue)]
    blocks += home.entry.runtime_data.exporter.outbox.memory.all()
    return [
        sample
        for block in blocks
        for sample in zip(block.fields, block.values, strict=True)
    ]


async def push(home: Home, *points: dict[str, Any], **changes: Any) -> None:
    """Push points to the usual target."""
    data = {
        CONF_COLLECTOR: "demo-ingress",
        CONF_DATABASE: "demo",
        CONF_RETENTION_POLICY: "rp_one_m",
        ATTR_POINTS: list(points),
        **changes,
    }
    await call(home, SERVICE_PUSH, **data)


def changed(**changes: Any) -> dict[str, Any]:
    """Return a point that differs from the usual one."""
    return {**POINT, **changes}


async def list_rejects(home: Home) -> list[dict[str, Any]]:
    """Return what the action lists, as the caller gets it."""
    response = await call(home, SERVICE_LIST_REJECTS, respond=True)
    rejects: list[dict[str, Any]] = json.loads(json.dumps(response))["rejects"]
    return rejects


def seconds(moment: datetime) -> int:
    """Return the time of a stored point."""
    return round(moment.timestamp()) * 10**9


async def test_push(home: Home) -> None:
    """Points arrive where they were meant to, at the time of the call, with the right types."""
    await push(
        home,
        changed(fields={"a_W": 2000, "b": True, "c": "idle", "d": -1.5, "e": 0}),
        changed(measurement="batteryMetrics", tags={"b": "2", "a": 1}),
    )
    assert not home.writes
    await home.wait(6)
    assert home.simulator.log.count(WRITE, 204) == 1
    [request] = home.writes
    assert dict(request.query) == {"u": "demo-ingress", "db": "demo", "rp": "rp_one_m"}
    first, second = home.points()
    assert first.fields == {"a_W": 2000.0, "b": True, "c": "idle", "d": -1.5, "e": 0.0}
    assert first.types == {
        "a_W": "float",
        "b": "boolean",
        "c": "string",
        "d": "float",
        "e": "float",
    }
    assert first.time_ns == second.time_ns == seconds(START)
    assert (first.measurement, first.tags) == ("gridMetrics", {"serialNr": "1234"})
    assert (second.measurement, second.tags) == ("batteryMetrics", {"a": "1", "b": "2"})


async def test_push_numbers_as_texts(home: Home) -> None:
    """Under a name with a unit a text that is a number is one; under another it stays a text."""
    fields = {"a_W": "1500", "powerFactorTot": "0.95", "b": "1500", "c": "004512"}
    await push(home, changed(fields=fields))
    await home.wait(6)
    [point] = home.points()
    assert point.fields == {**fields, "a_W": 1500.0, "powerFactorTot": 0.95}


async def test_one_point_needs_no_list(home: Home) -> None:
    """A single point may stand by itself."""
    await push(home, points=POINT)
    await home.wait(6)
    assert home.values() == [2000.0]


@pytest.mark.parametrize(
    ("time", "moment"),
    [
        ("2026-06-30T10:00:00Z", datetime(2026, 6, 30, 10, tzinfo=UTC)),
        ("2026-06-30T10:00:00+02:00", datetime(2026, 6, 30, 8, tzinfo=UTC)),
        # Home Assistant's own time zone, in summer and in winter
        ("2026-06-30 10:00:00", datetime(2026, 6, 30, 8, tzinfo=UTC)),
        ("2026-01-30T10:00:00", datetime(2026, 1, 30, 9, tzinfo=UTC)),
        (datetime(2026, 6, 30, 10), datetime(2026, 6, 30, 8, tzinfo=UTC)),  # noqa: DTZ001
        (datetime(2026, 6, 30, 10, tzinfo=UTC), datetime(2026, 6, 30, 10, tzinfo=UTC)),
        (None, START),
    ],
)
async def test_times(home: Home, time: Any, moment: datetime) -> None:
    """A time without a zone is local; no time is now."""
    await home.hass.config.async_set_time_zone("Europe/Brussels")
    await push(home, POINT if time is None else changed(time=time))
    await home.wait(6)
    [point] = home.points()
    assert point.time_ns == seconds(moment)


@pytest.mark.parametrize(
    ("points", "changes", "key", "placeholders"),
    [
        (
            [POINT],
            {CONF_DATABASE: "de mo"},
            "invalid_namespace",
            {"key": "database", "value": "de mo"},
        ),
        (
            [POINT],
            {CONF_COLLECTOR: ""},
            "invalid_namespace",
            {"key": "collector", "value": ""},
        ),
        (
            [POINT],
            {CONF_RETENTION_POLICY: "rp.1"},
            "invalid_namespace",
            {"key": "retention_policy", "value": "rp.1"},
        ),
        (
            [POINT, changed(measurement="_x")],
            {},
            "invalid_name",
            {"point": "2", "name": "_x"},
        ),
        (
            [changed(fields={"ok": 1, "a\nb": 1})],
            {},
            "invalid_name",
            {"point": "1", "name": "a\nb"},
        ),
        ([changed(tags={"_a": "1"})], {}, "invalid_tag", {"point": "1", "name": "_a"}),
        ([changed(tags={"a": "☃"})], {}, "invalid_tag", {"point": "1", "name": "a"}),
        ([changed(tags={})], {}, "no_tags", {"point": "1"}),
        ([changed(fields={})], {}, "no_fields", {"point": "1"}),
        (
            [changed(fields={"x": math.nan})],
            {},
            "not_a_number",
            {"point": "1", "name": "x"},
        ),
        *(
            (
                [POINT, changed(fields={"ok": "fine", name: value})],
                {},
                "not_a_number",
                {"point": "2", "name": name},
            )
            for name, values in {
                "x_W": (
                    *("unavailable", "unknown", "none", "nan", "inf", "", "12,5"),
                    *("1_500", "high", True, False, math.nan),
                ),
                "powerFactorTot": ("high", True, "nan"),
                "x_frac": ("off",),
            }.items()
            for value in values
        ),
        *(
            (
                [POINT, changed(fields={"status": value})],
                {},
                "no_value",
                {"point": "2", "name": "status"},
            )
            for value in ("unavailable", "unknown", " unknown ", "", " ", "\ud800")
        ),
        ([], {}, "no_points", {}),
        (
            [changed(fields={"x": 10**400})],
            {},
            "not_a_number",
            {"point": "1", "name": "x"},
        ),
        (
            [changed(time="0001-01-01T00:00:00+14:00")],
            {},
            "invalid_time",
            {"point": "1"},
        ),
        (
            [changed(time="9999-12-31T23:59:59-12:00")],
            {},
            "invalid_time",
            {"point": "1"},
        ),
    ],
)
async def test_what_is_wrong_with_a_point(
    home: Home,
    points: list[dict[str, Any]],
    changes: dict[str, Any],
    key: str,
    placeholders: dict[str, str],
) -> None:
    """A wrong point is named, with what is wrong; then none of the call is kept."""
    with pytest.raises(ServiceValidationError) as err:
        await push(home, *points, **changes)
    assert err.value.translation_domain == DOMAIN
    assert err.value.translation_key == key
    assert err.value.translation_placeholders == placeholders
    text = async_get_exception_message(DOMAIN, key, placeholders)
    assert text != key
    assert all(value in text for value in placeholders.values())
    assert not waiting(home)


@pytest.mark.parametrize(
    "data",
    [
        {ATTR_POINTS: [{**POINT, "extra": 1}]},
        {ATTR_POINTS: [{CONF_MEASUREMENT: "m", CONF_FIELDS: {"x": 1}}]},
        {ATTR_POINTS: [{CONF_MEASUREMENT: "m", CONF_TAGS: {"a": "1"}}]},
        {ATTR_POINTS: [{CONF_TAGS: {"a": "1"}, CONF_FIELDS: {"x": 1}}]},
        {ATTR_POINTS: [changed(fields={"x": [1]})]},
        {ATTR_POINTS: [changed(fields={"x": None})]},
        {ATTR_POINTS: [changed(time="yesterday")]},
        {ATTR_POINTS: ["actualPowerTot_W=1"]},
        {ATTR_POINTS: [POINT], CONF_DATABASE: None},
        {ATTR_POINTS: [POINT], ATTR_CONFIG_ENTRY_ID: None},
        {ATTR_POINTS: [POINT], "extra": 1},
    ],
)
async def test_malformed_calls(home: Home, data: dict[str, Any]) -> None:
    """A call of another form is refused as Home Assistant refuses such calls."""
    with pytest.raises(vol.Invalid):
        await push(home, **data)
    assert not waiting(home)


async def test_pushed_points_that_are_stored(home: Home) -> None:
    """While the service takes them they go up within the second."""
    await push(home, POINT)
    await home.wait(1)
    assert home.values() == [2000.0]
    assert not waiting(home)


async def test_pushed_points_wait(home: Home) -> None:
    """Points are in the outbox when the action ends: nothing that happens then loses them."""
    home.simulator.faults.add(INGRESS, "drop")
    await push(home, POINT, changed(fields={"x": "y"}))
    assert waiting(home) == [("actualPowerTot_W", 2000.0), ("x", "y")]
    await home.wait(60)
    assert await home.hass.config_entries.async_reload(home.entry.entry_id)
    await home.settle()
    assert waiting(home) == [("actualPowerTot_W", 2000.0), ("x", "y")]
    home.simulator.faults.clear()
    await home.wait(10)
    [point] = home.points()
    assert point.fields == {"actualPowerTot_W": 2000.0, "x": "y"}
    # The time of the call, not that of the upload
    assert point.time_ns == seconds(START)
    assert not waiting(home)


@pytest.mark.expected_log("cannot be put on disk")
@pytest.mark.expected_log("can be put on disk again")
async def test_push_onto_a_full_disk(home: Home) -> None:
    """Points wait in memory for a service that is away and a disk that is full, and go up afterwards."""
    store = home.entry.runtime_data.exporter.outbox.store

    async def limit(pages: int) -> None:
        await store.run(
            lambda rows: rows.db.execute(f"PRAGMA max_page_count = {pages}").fetchone()
        )

    outage = home.simulator.faults.add(INGRESS, "drop")
    await limit(1)
    await push(home, changed(fields={"x": "y" * 100_000}), POINT)
    await home.wait(3)
    assert not home.points()
    await limit(2**30)
    home.simulator.faults.remove(outage.id)
    await home.wait(20)
    [point] = home.points()
    assert point.fields == {"x": "y" * 100_000, "actualPowerTot_W": 2000.0}


async def test_upload_now(home: Home) -> None:
    """What waits goes up without the usual wait, all targets of it."""
    await push(home, POINT)
    await push(home, POINT, retention_policy="rp_one_s")
    assert not home.points()
    await call(home, SERVICE_UPLOAD_NOW)
    assert {point.retention_policy for point in home.points()} == {
        "rp_one_m",
        "rp_one_s",
    }


@pytest.mark.expected_log("fetching Eniris .*login")
async def test_upload_now_without_a_log_in(home: Home) -> None:
    """Where only a new log-in helps, that is what the caller is told."""
    home.simulator.revoke("demo@example.com", "refresh")
    home.simulator.revoke("demo@example.com", "access")
    await push(home, POINT)
    await home.wait(70)
    assert home.log_ins_asked_for() == 1
    with pytest.raises(HomeAssistantError) as err:
        await call(home, SERVICE_UPLOAD_NOW)
    assert err.value.translation_placeholders == {"error": "log in again"}
    assert len(waiting(home)) == 1


@pytest.mark.expected_log("refuses a value of field")
async def test_rejects(home: Home) -> None:
    """What the service refused for good is listed with the reason, newest first, and discarded."""
    home.simulator.switches.max_age_s = 3600
    assert await list_rejects(home) == []
    old = START - timedelta(days=1)
    await push(
        home,
        changed(time=old.isoformat(), fields={"x": 1}),
        POINT,
        changed(time=old.isoformat(), fields={"y": False}),
    )
    await home.wait(20)
    assert home.values() == [2000.0]
    rejects = await list_rejects(home)
    assert {reject["field"]: reject["value"] for reject in rejects} == {
        "x": 1.0,
        "y": False,
    }
    [first] = [reject for reject in rejects if reject["field"] == "x"]
    assert first == {
        CONF_COLLECTOR: "demo-ingress",
        CONF_DATABASE: "demo",
        CONF_RETENTION_POLICY: "rp_one_m",
        CONF_MEASUREMENT: "gridMetrics",
        CONF_TAGS: {"serialNr": "1234"},
        ATTR_TIME: old.isoformat(),
        "field": "x",
        "value": 1.0,
        "reason": first["reason"],
    }
    assert "outside the allowed time range" in first["reason"]
    await push(home, changed(time=old.isoformat(), fields={"z": 2}))
    await home.wait(6)
    assert (await list_rejects(home))[0]["field"] == "z"
    # They survive a restart
    assert await home.hass.config_entries.async_reload(home.entry.entry_id)
    assert len(await list_rejects(home)) == 3
    assert await call(home, SERVICE_DISCARD_REJECTS, respond=True) == {"discarded": 3}
    assert await list_rejects(home) == []
    assert await call(home, SERVICE_DISCARD_REJECTS) is None


async def test_list_rejects_is_asked_for_an_answer(home: Home) -> None:
    """To list without looking at the list is a mistake, which Home Assistant tells."""
    with pytest.raises(ServiceValidationError) as err:
        await call(home, SERVICE_LIST_REJECTS)
    assert err.value.translation_key == "service_lacks_response_request"
