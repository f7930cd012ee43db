"""The actions: what is said of all of them, and those that push, upload, list and discard."""

from contextlib import closing
from datetime import UTC, datetime, timedelta
import json
import math
from pathlib import Path
import sqlite3
from typing import Any

from freezegun.api import FrozenDateTimeFactory
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry
import voluptuous as vol

from custom_components.eniris import const, services
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
    SERVICE_EXPORT_HISTORY,
    SERVICE_GET_DEVICE,
    SERVICE_GET_FORECAST,
    SERVICE_IMPORT_HISTORY,
    SERVICE_LIST_REJECTS,
    SERVICE_PUSH,
    SERVICE_QUERY_TELEMETRY,
    SERVICE_SET_DEVICE_PROPERTIES,
    SERVICE_UPLOAD_NOW,
)
from homeassistant.core import HomeAssistant, ServiceResponse
from homeassistant.exceptions import HomeAssistantError, ServiceValidationError
from homeassistant.helpers import entity_registry as er, selector
from homeassistant.helpers.service import async_get_all_descriptions
from homeassistant.helpers.storage import STORAGE_DIR
from homeassistant.helpers.translation import async_get_exception_message
from homeassistant.setup import async_setup_component
from homeassistant.util.yaml import load_yaml_dict
from simulator.server import Simulator

from .kit.exports import (
    INGRESS,
    POWER,
    START,
    WRITE,
    Home,
    MeterWorld,
    home_with_account,
)

PACKAGE = Path(const.__file__).parent
SERVICES = {
    SERVICE_PUSH,
    SERVICE_UPLOAD_NOW,
    SERVICE_EXPORT_HISTORY,
    SERVICE_IMPORT_HISTORY,
    SERVICE_LIST_REJECTS,
    SERVICE_DISCARD_REJECTS,
    SERVICE_GET_DEVICE,
    SERVICE_SET_DEVICE_PROPERTIES,
    SERVICE_QUERY_TELEMETRY,
    SERVICE_GET_FORECAST,
}
POINT = {
    CONF_MEASUREMENT: "gridMetrics",
    CONF_TAGS: {"serialNr": "1234"},
    CONF_FIELDS: {"actualPowerTot_W": 2000},
}


@pytest.fixture
def world() -> MeterWorld:
    """Return a small world."""
    return MeterWorld()


@pytest.fixture
async def home(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    simulator: Simulator,
    user_input: dict[str, Any],
) -> Home:
    """Return a home with an account."""
    return await home_with_account(hass, freezer, simulator, user_input)


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


async def call(
    home: Home, service: str, *, respond: bool = False, **data: Any
) -> ServiceResponse:
    """Call an action for the account."""
    return await home.hass.services.async_call(
        DOMAIN,
        service,
        {ATTR_CONFIG_ENTRY_ID: home.entry.entry_id, **data},
        blocking=True,
        return_response=respond,
    )


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
    assert (second.measurement, second.tags) == (
        "batteryMetrics",
        {"a": "1", "b": "2"},
    )


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
        (
            datetime(2026, 6, 30, 10, tzinfo=UTC),
            datetime(2026, 6, 30, 10, tzinfo=UTC),
        ),
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
        ([changed(measurement="")], {}, "invalid_name", {"point": "1", "name": ""}),
        (
            [changed(fields={"ok": 1, "a\nb": 1})],
            {},
            "invalid_name",
            {"point": "1", "name": "a\nb"},
        ),
        ([changed(fields={"": 1})], {}, "invalid_name", {"point": "1", "name": ""}),
        ([changed(tags={"_a": "1"})], {}, "invalid_tag", {"point": "1", "name": "_a"}),
        ([changed(tags={"a": ""})], {}, "invalid_tag", {"point": "1", "name": "a"}),
        ([changed(tags={"a": "☃"})], {}, "invalid_tag", {"point": "1", "name": "a"}),
        ([changed(tags={})], {}, "no_tags", {"point": "1"}),
        ([changed(fields={})], {}, "no_fields", {"point": "1"}),
        (
            [changed(fields={"x": math.nan})],
            {},
            "not_a_number",
            {"point": "1", "name": "x"},
        ),
        (
            [changed(fields={"x": -math.inf})],
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


@pytest.mark.expected_log("cannot be uploaded at present")
async def test_upload_now_in_spite_of_a_pause(home: Home) -> None:
    """A target that is paused is tried at once; what stands in the way is told."""
    home.simulator.accounts["demo@example.com"].roles.clear()
    await push(home, POINT)
    await home.wait(12)
    assert home.simulator.log.count(WRITE, 403) == 1
    with pytest.raises(HomeAssistantError) as err:
        await call(home, SERVICE_UPLOAD_NOW)
    assert err.value.translation_key == "upload_failed"
    assert err.value.translation_placeholders is not None
    assert "403 Forbidden" in err.value.translation_placeholders["error"]
    assert home.simulator.log.count(WRITE, 403) == 2
    home.simulator.accounts["demo@example.com"].roles.add("CustomerName")
    await call(home, SERVICE_UPLOAD_NOW)
    assert home.values() == [2000.0]


@pytest.mark.expected_log("fetching Eniris .*log-in")
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
@pytest.mark.expected_log("refuses every value of field")
async def test_upload_now_with_a_blocked_field(home: Home) -> None:
    """A field that is still refused is told; once it is not, nothing stands in the way."""
    home.simulator.switches.refuse_fields["b"] = "string"
    for number in range(3):
        await push(home, changed(fields={"a": number, "b": number}))
        await home.wait(2)
    with pytest.raises(HomeAssistantError) as err:
        await call(home, SERVICE_UPLOAD_NOW)
    assert err.value.translation_placeholders == {
        "error": "Eniris refuses every value of b"
    }
    home.simulator.switches.refuse_fields.clear()
    await call(home, SERVICE_UPLOAD_NOW)
    assert waiting(home) == []


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


CALLS: list[tuple[str, dict[str, Any]]] = [
    (
        SERVICE_PUSH,
        {
            CONF_COLLECTOR: "demo-ingress",
            CONF_DATABASE: "demo",
            CONF_RETENTION_POLICY: "rp_one_m",
            ATTR_POINTS: [POINT],
        },
    ),
    (SERVICE_UPLOAD_NOW, {}),
    (SERVICE_LIST_REJECTS, {"respond": True}),
    (SERVICE_DISCARD_REJECTS, {}),
]


@pytest.mark.parametrize(("service", "data"), CALLS, ids=[name for name, _ in CALLS])
async def test_accounts(home: Home, service: str, data: dict[str, Any]) -> None:
    """An account that is unknown, another integration's, or not loaded is told as such."""
    other = MockConfigEntry(domain="other")
    other.add_to_hass(home.hass)
    for entry_id in ("unknown", other.entry_id):
        with pytest.raises(ServiceValidationError) as err:
            await call(home, service, config_entry_id=entry_id, **data)
        assert err.value.translation_key == "no_such_account"
    await home.hass.config_entries.async_unload(home.entry.entry_id)
    with pytest.raises(ServiceValidationError) as err:
        await call(home, service, **data)
    assert err.value.translation_key == "account_not_loaded"
    assert err.value.translation_placeholders == {"account": "demo@example.com"}
    await home.hass.config_entries.async_setup(home.entry.entry_id)
    await home.settle()
    await call(home, service, **data)


@pytest.mark.parametrize("service", [SERVICE_LIST_REJECTS, SERVICE_DISCARD_REJECTS])
async def test_unreadable_outbox(
    home: Home, service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that fails is told in words, not as an unknown error."""
    store = home.entry.runtime_data.exporter.outbox.store

    def fail(*_args: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    with monkeypatch.context() as patch:
        patch.setattr(store, "_transaction", fail)
        with pytest.raises(HomeAssistantError) as err:
            await call(home, service, respond=True)
    assert err.value.translation_key == "outbox_unreadable"
    assert err.value.translation_placeholders == {"error": "disk I/O error"}


async def test_history_without_a_recorder(home: Home) -> None:
    """Where nothing is recorded there is nothing to send, which is told."""
    home.add_power()
    export = await home.add_export({POWER: "actualPowerTot_W"})
    entity = er.async_get(home.hass).async_get(
        home.entity_id(export, "sensor", "history")
    )
    assert entity is not None
    with pytest.raises(ServiceValidationError) as err:
        await home.hass.services.async_call(
            DOMAIN,
            SERVICE_EXPORT_HISTORY,
            {"device_id": entity.device_id, "start": START - timedelta(days=1)},
            blocking=True,
        )
    assert err.value.translation_key == "no_recorder"
    assert async_get_exception_message(DOMAIN, "no_recorder") != "no_recorder"


async def test_actions_are_there_without_an_account(hass: HomeAssistant) -> None:
    """An automation that uses an action is checked before any account is loaded."""
    assert await async_setup_component(hass, DOMAIN, {})
    assert set(hass.services.async_services_for_domain(DOMAIN)) == SERVICES


def documents() -> dict[str, dict[str, Any]]:
    """Return what is said of the actions: fields, texts, icons."""
    described = load_yaml_dict(str(PACKAGE / "services.yaml"))
    texts = json.loads((PACKAGE / "translations" / "en.json").read_text("utf-8"))
    icons = json.loads((PACKAGE / "icons.json").read_text("utf-8"))
    return {
        "fields": described,
        "texts": texts["services"],
        "icons": icons["services"],
    }


def test_documents_name_the_same_actions() -> None:
    """Fields, texts and icons are there for every action, and for no other."""
    assert [set(each) for each in documents().values()] == [SERVICES] * 3


def flat(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of an action, those of its sections included."""
    return {
        key: field
        for name, each in fields.items()
        for key, field in (each.get("fields") or {name: each}).items()
    }


def sections(described: dict[str, Any]) -> set[str]:
    """Return the names of the sections of an action."""
    return {name for name, field in described["fields"].items() if "fields" in field}


@pytest.mark.parametrize(
    ("service", "schema"), [(name, its[1]) for name, its in services.ACTIONS.items()]
)
def test_documents_describe_the_schema(service: str, schema: vol.Schema) -> None:
    """Every field that an action takes is described, as needed or not, and no other."""
    described = documents()
    texts, icons = described["texts"][service], described["icons"][service]
    fields = flat(described["fields"][service]["fields"])
    assert set(fields) == {str(key) for key in schema.schema}
    assert set(fields) == set(texts["fields"])
    for key in schema.schema:
        field = fields[str(key)]
        assert field["required"] == isinstance(key, vol.Required)
        selector.selector(field["selector"])
        # What no picker and no list of choices tells an example does
        assert (
            field["selector"].keys()
            & {
                "config_entry",
                "device",
                "entity",
                "select",
            }
            or {"example", "default"} & field.keys()
        ), key
    named = sections(described["fields"][service])
    assert named == set(texts.get("sections", {})) == set(icons.get("sections", {}))
    for text in (texts, *texts["fields"].values(), *texts.get("sections", {}).values()):
        assert text["name"]
        assert text["description"]
    for icon in (icons["service"], *icons.get("sections", {}).values()):
        assert icon.startswith("mdi:")


@pytest.mark.parametrize("service", sorted(SERVICES))
def test_choices(service: str) -> None:
    """What can be chosen is what the action takes; each choice has its words, unless it is a name of Eniris' own."""
    described = documents()["fields"][service]
    texts = json.loads((PACKAGE / "translations" / "en.json").read_text("utf-8"))
    schema = {
        str(key): value for key, value in services.ACTIONS[service][1].schema.items()
    }
    for key, field in flat(described.get("fields", {})).items():
        choice = field["selector"].get("select")
        if choice is None or choice.get("custom_value"):
            continue
        words = texts["selector"][choice["translation_key"]]["options"]
        assert list(words) == choice["options"]
        for option in choice["options"]:
            vol.Schema(schema[key])(option)


async def test_descriptions_are_valid(hass: HomeAssistant) -> None:
    """Home Assistant reads the descriptions, and shows what is returned."""
    assert await async_setup_component(hass, DOMAIN, {})
    descriptions = (await async_get_all_descriptions(hass))[DOMAIN]
    assert set(descriptions) == SERVICES
    for service in SERVICES:
        assert descriptions[service]["fields"]
    assert {
        service for service, each in descriptions.items() if "response" in each
    } == SERVICES - {SERVICE_PUSH, SERVICE_UPLOAD_NOW}


async def test_examples(home: Home) -> None:
    """The example of each field is one that works."""
    home.freezer.move_to("2026-07-01T11:00:00Z")
    fields = documents()["fields"][SERVICE_PUSH]["fields"]
    data = {key: field.get("example") for key, field in fields.items()}
    data[CONF_RETENTION_POLICY] = fields[CONF_RETENTION_POLICY]["default"]
    data[ATTR_POINTS] = json.loads(data[ATTR_POINTS])
    del data[ATTR_CONFIG_ENTRY_ID]
    home.simulator.switches.namespaces.add((data[CONF_DATABASE], "rp_one_m"))
    await call(home, SERVICE_PUSH, **data)
    await call(home, SERVICE_UPLOAD_NOW)
    assert len(home.points()) == 1
