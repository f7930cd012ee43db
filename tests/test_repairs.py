"""Repairs: each issue can be mended in its own dialog, and what the dialog says is true."""

from collections.abc import Callable
from http import HTTPStatus
import json
from pathlib import Path
from typing import Any

from freezegun.api import FrozenDateTimeFactory
import pytest
from pytest_homeassistant_custom_component.typing import ClientSessionGenerator

from custom_components.eniris import repairs
from custom_components.eniris.const import (
    CONF_AGE_LIMIT,
    CONF_ATTRIBUTE,
    CONF_DATABASE,
    CONF_ENTITY,
    CONF_FIELD,
    CONF_FIELDS,
    CONF_IMPORT,
    CONF_INTERVAL,
    CONF_OUTBOX,
    CONF_PREFERENCE,
    CONF_RETENTION_POLICY,
    CONF_SIZE_LIMIT,
    CONF_TAGS,
    DOMAIN,
)
from custom_components.eniris.exporting import sampler
from homeassistant.config_entries import ConfigSubentry
from homeassistant.core import HomeAssistant
from homeassistant.helpers import entity_registry as er, issue_registry as ir
from homeassistant.setup import async_setup_component
from simulator.model import World
from simulator.rate_limit import TIERS
from simulator.server import Simulator
from simulator.world import HomeWorld

from .export_kit import INGRESS, POWER, Home, MeterWorld, home_with_account, quoted

ENGLISH: dict[str, Any] = json.loads(
    (Path(repairs.__file__).parent / "translations" / "en.json").read_text("utf-8")
)
TARGET = {
    "collector": "demo-ingress",
    "database": "demo",
    "retention_policy": "rp_one_m",
}
REFUSED = pytest.mark.expected_log("cannot be uploaded at present")
SET_ASIDE = pytest.mark.expected_log("refuses a value of field")


@pytest.fixture
def world(request: pytest.FixtureRequest) -> World:
    """Return a small world, unless a test wants another."""
    make: Callable[[], World] = getattr(request, "param", MeterWorld)
    return make()


@pytest.fixture
async def home(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    simulator: Simulator,
    user_input: dict[str, Any],
) -> Home:
    """Return a home with an account."""
    return await home_with_account(hass, freezer, simulator, user_input)


class Fix:
    """The dialog of an issue, over Home Assistant's HTTP interface. `shown` is what is on the screen."""

    def __init__(self, home: Home, new_client: ClientSessionGenerator) -> None:
        """Stand before the dialog."""
        self.home = home
        self.new_client = new_client
        self.client: Any = None
        self.kind = ""
        self.shown: dict[str, Any] = {}

    def issue(self, kind: str) -> ir.IssueEntry:
        """Return the issue of a kind."""
        [issue] = [
            issue
            for issue in ir.async_get(self.home.hass).issues.values()
            if issue.domain == DOMAIN and issue.active and issue.translation_key == kind
        ]
        return issue

    async def open(self, kind: str, step: str | None = None) -> None:
        """Open the dialog of an issue."""
        self.kind = kind
        auth = self.home.hass.auth
        [user] = [user for user in await auth.async_get_users() if user.is_admin]
        # Logged in anew, since days may have passed
        token = auth.async_create_access_token(next(iter(user.refresh_tokens.values())))
        self.client = await self.new_client(token)
        issue = self.issue(kind)
        assert issue.is_fixable
        await self._post(
            "/api/repairs/issues/fix",
            {"handler": DOMAIN, "issue_id": issue.issue_id},
        )
        if step is not None:
            self.expect(step)

    async def submit(self, **user_input: Any) -> None:
        """Submit the form that is shown."""
        assert self.shown["type"] == "form", self.shown
        fields = {field["name"] for field in self.shown["data_schema"]}
        assert set(user_input) <= fields
        defaults = {
            field["name"]: field["default"]
            for field in self.shown["data_schema"]
            if "default" in field
        }
        await self._post(self._flow, {**defaults, **user_input})

    async def choose(self, option: str) -> None:
        """Choose from the menu that is shown."""
        assert self.shown["type"] == "menu", self.shown
        assert option in self.shown["menu_options"]
        await self._post(self._flow, {"next_step_id": option})

    @property
    def _flow(self) -> str:
        return f"/api/repairs/issues/fix/{self.shown['flow_id']}"

    async def _post(self, path: str, data: dict[str, Any]) -> None:
        response = await self.client.post(path, json=data)
        assert response.status == HTTPStatus.OK, await response.text()
        self.shown = await response.json()
        await self.home.settle()
        self._check_texts()

    def _check_texts(self) -> None:
        """Check that all that is shown has its words, which quote nothing but what is handed over."""
        texts = ENGLISH["issues"][self.kind]["fix_flow"]
        given = set(self.shown.get("description_placeholders") or {})
        if self.shown["type"] == "create_entry":
            return
        if self.shown["type"] == "abort":
            assert quoted(texts["abort"][self.shown["reason"]]) <= given
            return
        step = texts["step"][self.shown["step_id"]]
        assert quoted(step["title"], step.get("description", "")) <= given
        if self.shown["type"] == "menu":
            options = self.shown["menu_options"]
            assert set(options) <= set(step["menu_options"])
            assert quoted(*step["menu_options"].values()) <= given
            return
        for field in self.shown["data_schema"]:
            assert step["data"][field["name"]]
            assert quoted(step["data_description"][field["name"]]) <= given
        for error in (self.shown["errors"] or {}).values():
            assert quoted(texts["error"][error]) <= given

    def expect(self, step: str, **errors: str) -> None:
        """Be on a step, and be told of these errors."""
        assert self.shown.get("step_id") == step, self.shown
        assert (self.shown.get("errors") or {}) == errors

    def expect_solved(self) -> None:
        """Be told that it is mended, and see the issue gone."""
        assert self.shown["type"] == "create_entry", self.shown
        assert self.kind not in self.home.issues()

    def expect_abort(self, reason: str) -> dict[str, str]:
        """Be told why it ended otherwise; return what the text quotes."""
        assert self.shown["type"] == "abort", self.shown
        assert self.shown["reason"] == reason
        placeholders: dict[str, str] = self.shown["description_placeholders"] or {}
        return placeholders


@pytest.fixture
async def fix(home: Home, hass_client: ClientSessionGenerator) -> Fix:
    """Return a dialog."""
    assert await async_setup_component(home.hass, "repairs", {})
    return Fix(home, hass_client)


async def measure(home: Home, watts: float, seconds: float = 6) -> None:
    """Have the meter show a power, and let time pass."""
    home.hass.states.async_set(
        POWER, str(watts), {"unit_of_measurement": "W", "device_class": "power"}
    )
    await home.wait(seconds)


async def export_power(home: Home, **changes: Any) -> ConfigSubentry:
    """Export the power of the meter."""
    return await home.add_export({home.add_power(): "actualPowerTot_W"}, **changes)


def fields(home: Home, export: ConfigSubentry) -> dict[str, str]:
    """Return the entities of an export by field, as it is by now."""
    registry = er.async_get(home.hass)
    return {
        row[CONF_FIELD]: er.async_resolve_entity_id(registry, row[CONF_ENTITY]) or "?"
        for row in home.entry.subentries[export.subentry_id].data[CONF_FIELDS]
    }


# Not what it was any more


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


async def test_every_kind_has_a_dialog() -> None:
    """No issue is left that cannot be mended, but for what only an update of the integration mends."""
    assert set(repairs._FLOWS) == set(ENGLISH["issues"]) - {"newer_version"}
    for kind in repairs._FLOWS:
        # A fixable one shows no description but that of its steps
        assert set(ENGLISH["issues"][kind]) == {"title", "fix_flow"}


# The role


@REFUSED
async def test_role_given(home: Home, fix: Fix) -> None:
    """Once the role is given, everything goes up at once."""
    home.simulator.accounts["demo@example.com"].roles.clear()
    await export_power(home)
    await measure(home, 1)
    await measure(home, 2)
    await fix.open("role_missing", "init")
    assert fix.shown["menu_options"] == ["try_again", "correct"]
    assert int(fix.shown["description_placeholders"]["waiting"]) == 3
    await fix.choose("try_again")
    fix.expect("still_refused")
    assert "CustomerName" in fix.shown["description_placeholders"]["error"]
    assert "role_missing" in home.issues()
    home.simulator.accounts["demo@example.com"].roles.add("CustomerName")
    await fix.choose("try_again")
    fix.expect_solved()
    assert home.values() == [1.0, 2.0]


# The target


async def export_to_wrong_database(home: Home) -> ConfigSubentry:
    """Export to a database that does not exist, until two values wait."""
    export = await export_power(home, database="dmeo")
    await measure(home, 1)
    await measure(home, 2)
    assert home.issues()["namespace_unknown"]["database"] == "dmeo"
    return export


@REFUSED
async def test_database_corrected(home: Home, fix: Fix) -> None:
    """The export is changed, and what waited goes where it was meant to go."""
    export = await export_to_wrong_database(home)
    await fix.open("namespace_unknown", "init")
    assert fix.shown["menu_options"] == ["correct", "try_again"]
    await fix.choose("correct")
    fix.expect("correct")
    assert {field["name"]: field["default"] for field in fix.shown["data_schema"]} == {
        **TARGET,
        "database": "dmeo",
        "move": True,
    }
    await fix.submit()
    fix.expect("correct", base="unchanged")
    await fix.submit(database="de mo")
    fix.expect("correct", database="name_characters")
    await fix.submit(database="demo ")
    fix.expect_solved()
    assert home.entry.subentries[export.subentry_id].data[CONF_DATABASE] == "demo"
    assert home.values() == [1.0, 2.0]
    assert home.shown(export, "waiting") == "0"
    assert home.shown(export, "problem", "binary_sensor") == "off"
    await measure(home, 3)
    assert home.values()[-1] == 3.0
    await home.wait(120, step=10)
    assert not home.issues()


@REFUSED
async def test_what_waits_is_left(home: Home, fix: Fix) -> None:
    """Whoever does not want it moved is told, and can still have it moved later."""
    await export_to_wrong_database(home)
    await fix.open("namespace_unknown")
    await fix.choose("correct")
    await fix.submit(database="demo", move=False)
    assert int(fix.expect_abort("left_waiting")["waiting"]) == 3
    # The present value is taken once more after a start
    assert home.values() == [2.0]
    await home.wait(10)
    assert home.issues()["namespace_unknown"]["database"] == "dmeo"
    # No export is to be changed any more, but what waits is moved
    await fix.open("namespace_unknown")
    await fix.choose("correct")
    await fix.submit(database="demo")
    fix.expect_solved()
    assert home.values() == [1.0, 2.0]
    await home.wait(120, step=10)
    assert not home.issues()


def unknown_databases(home: Home) -> list[str]:
    """Return the databases that issues name as unknown."""
    return sorted(
        (issue.translation_placeholders or {})["database"]
        for issue in ir.async_get(home.hass).issues.values()
        if issue.domain == DOMAIN
        and issue.active
        and issue.translation_key == "namespace_unknown"
    )


@REFUSED
async def test_corrected_to_another_wrong_one(home: Home, fix: Fix) -> None:
    """Then the issue is about the new place, the dialog goes on with it, and nothing was lost."""
    export = await export_to_wrong_database(home)
    await fix.open("namespace_unknown")
    await fix.choose("correct")
    await fix.submit(database="demmo")
    fix.expect("still_refused")
    assert "404" in fix.shown["description_placeholders"]["error"]
    assert unknown_databases(home) == ["demmo"]
    assert home.shown(export, "waiting") == "4"
    await fix.choose("correct")
    fix.expect("correct")
    assert fix.shown["description_placeholders"]["database"] == "demmo"
    assert {field["name"]: field["default"] for field in fix.shown["data_schema"]} == {
        **TARGET,
        "database": "demmo",
        "move": True,
    }
    await fix.submit(database="demo")
    fix.expect_solved()
    assert home.values() == [1.0, 2.0]
    await home.wait(120, step=10)
    assert not home.issues()


@REFUSED
async def test_pushed_to_another_wrong_one(home: Home, fix: Fix) -> None:
    """Without an export that is changed, the issue of the old place goes, too."""
    await export_to_wrong_database(home)
    [export] = home.exports
    home.hass.config_entries.async_remove_subentry(home.entry, export.subentry_id)
    await home.settle()
    await home.wait(10)
    assert unknown_databases(home) == ["dmeo"]
    await fix.open("namespace_unknown")
    await fix.choose("correct")
    await fix.submit(database="demmo")
    fix.expect("still_refused")
    assert unknown_databases(home) == ["demmo"]
    await home.wait(120, step=10)
    assert unknown_databases(home) == ["demmo"]
    # Whoever closes the dialog finds the new place in the issue that is left
    await fix.open("namespace_unknown", "init")
    assert fix.shown["description_placeholders"]["database"] == "demmo"
    await fix.choose("correct")
    await fix.submit(database="demo")
    fix.expect_solved()
    assert home.values() == [1.0, 2.0]


@REFUSED
async def test_left_and_corrected_to_another_wrong_one(home: Home, fix: Fix) -> None:
    """Where values still wait for the old place, both are told of."""
    await export_to_wrong_database(home)
    await fix.open("namespace_unknown")
    await fix.choose("correct")
    await fix.submit(database="demmo", move=False)
    assert "404" in fix.expect_abort("corrected_still_refused")["error"]
    await home.wait(10)
    assert unknown_databases(home) == ["demmo", "dmeo"]


@REFUSED
async def test_database_made_at_last(home: Home, fix: Fix) -> None:
    """Or it was right, and is there now."""
    await export_to_wrong_database(home)
    home.simulator.switches.namespaces.add(("dmeo", "rp_one_m"))
    await fix.open("namespace_unknown")
    await fix.choose("try_again")
    fix.expect_solved()
    assert home.values() == [1.0, 2.0]


@REFUSED
async def test_all_exports_of_a_target(home: Home, fix: Fix) -> None:
    """All that use it are corrected, others are not, and no two may write the same field."""
    wrong = [
        await home.add_export({POWER: name}, title=name, database="dmeo")
        for name in ("first_W", "second_W")
    ]
    other = await home.add_export(
        {POWER: "first_W"}, title="other", retention_policy="rp_one_s"
    )
    await export_power(home, title="power")
    await measure(home, 1)
    await fix.open("namespace_unknown")
    await fix.choose("correct")
    await fix.submit(database="demo", retention_policy="rp_one_s")
    fix.expect("correct", base="field_taken")
    await fix.submit(database="demo", retention_policy="rp_one_m")
    fix.expect_solved()
    for export in wrong:
        data = home.entry.subentries[export.subentry_id].data
        assert (data[CONF_DATABASE], data[CONF_RETENTION_POLICY]) == (
            "demo",
            "rp_one_m",
        )
    data = home.entry.subentries[other.subentry_id].data
    assert data[CONF_RETENTION_POLICY] == "rp_one_s"
    assert 1.0 in home.values("second_W")


# A deleted entity


async def delete_entity(home: Home, entity_id: str) -> None:
    """Delete an entity for good."""
    er.async_get(home.hass).async_remove(entity_id)
    home.hass.states.async_remove(entity_id)
    await home.settle()


async def export_of_two(home: Home, **row: str) -> ConfigSubentry:
    """Export two entities, the first of which is then deleted."""
    first = home.add_power()
    second = home.add_entity("sensor.car", "3", {"unit_of_measurement": "kW"})
    export = await home.add_export(
        {},
        fields=[
            {CONF_ENTITY: first, CONF_FIELD: "actualPowerTot_W", **row},
            {CONF_ENTITY: second, CONF_FIELD: "car_W"},
        ],
    )
    await delete_entity(home, POWER)
    assert home.issues()["entity_gone"] == {
        "account": "demo@example.com",
        "export": export.title,
        "field": "actualPowerTot_W",
        "entity": POWER,
    }
    return export


async def test_another_entity(home: Home, fix: Fix) -> None:
    """The series goes on with another entity, which must fit the name."""
    export = await export_of_two(home)
    home.add_entity("sensor.oven", "2", {"unit_of_measurement": "kW"})
    home.add_entity("sensor.room", "20", {"unit_of_measurement": "°C"})
    home.add_entity("binary_sensor.door", "on")
    await fix.open("entity_gone", "init")
    await fix.choose("replace")
    fix.expect("replace")
    for entity_id, problem in (
        ("sensor.car", "entity_in_export"),
        ("sensor.room", "unit_mismatch"),
        ("binary_sensor.door", "no_number"),
    ):
        await fix.submit(entity=entity_id)
        fix.expect("replace", entity=problem)
    [entity] = fix.shown["data_schema"]
    # What the form of an export offers: it refuses all the others
    assert "sensor" in entity["selector"]["entity"]["domain"]
    assert "zone" not in entity["selector"]["entity"]["domain"]
    await fix.submit(entity="sensor.oven")
    fix.expect_solved()
    assert fields(home, export) == {
        "actualPowerTot_W": "sensor.oven",
        "car_W": "sensor.car",
    }
    await home.wait(6)
    assert home.values()[-1] == 2000.0


async def test_another_entity_with_the_attribute(home: Home, fix: Fix) -> None:
    """An attribute is sent of the other one, too; it has no unit that must fit."""
    export = await export_of_two(home, attribute="watts")
    home.add_entity("sensor.room", "20", {"unit_of_measurement": "°C", "watts": 7})
    await fix.open("entity_gone")
    await fix.choose("replace")
    await fix.submit(entity="sensor.room")
    fix.expect_solved()
    row = home.entry.subentries[export.subentry_id].data[CONF_FIELDS][0]
    assert row[CONF_ATTRIBUTE] == "watts"
    await home.wait(6)
    assert home.values()[-1] == 7.0


async def test_field_left_out(home: Home, fix: Fix) -> None:
    """Or the others alone are sent."""
    export = await export_of_two(home)
    await fix.open("entity_gone")
    await fix.choose("leave_out")
    fix.expect_solved()
    assert fields(home, export) == {"car_W": "sensor.car"}


async def test_only_field(home: Home, fix: Fix) -> None:
    """An export of nothing is not offered."""
    await export_power(home)
    await delete_entity(home, POWER)
    await fix.open("entity_gone", "replace")


async def test_field_left_out_elsewhere(home: Home, fix: Fix) -> None:
    """What was mended in the export itself is not to be mended once more."""
    export = await export_of_two(home)
    await fix.open("entity_gone", "init")
    subentry = home.entry.subentries[export.subentry_id]
    home.hass.config_entries.async_update_subentry(
        home.entry,
        subentry,
        data={**subentry.data, CONF_FIELDS: subentry.data[CONF_FIELDS][1:]},
    )
    await home.settle()
    await fix.choose("leave_out")
    fix.expect_abort("solved")
    assert fields(home, export) == {"car_W": "sensor.car"}


# A conflict of types


async def provoke_conflict(home: Home, field: str = "power") -> ConfigSubentry:
    """Have the service keep texts under a name, and send numbers."""
    home.add_entity("input_select.mode", "low")
    texts = await home.add_export(
        {"input_select.mode": field}, title="texts", tags={"serialNr": "other"}
    )
    await home.wait(6)
    home.hass.config_entries.async_remove_subentry(home.entry, texts.subentry_id)
    await home.settle()
    home.add_entity(POWER, "1", {"device_class": "power"})
    export = await home.add_export({POWER: field})
    await home.wait(6)
    home.hass.states.async_set(POWER, "2", {"device_class": "power"})
    await home.wait(6)
    assert home.issues()["type_conflict"]["field"] == field
    assert await rejects(home) == [2.0, 1.0]
    return export


async def rejects(home: Home) -> list[Any]:
    """Return what is set aside, the newest first."""
    outbox = home.entry.runtime_data.exporter.outbox
    return [reject.sample.value for reject in await outbox.rejects()]


@SET_ASIDE
async def test_sent_under_another_name(home: Home, fix: Fix) -> None:
    """What was set aside is stored under the new name, in its order, and so is all that follows."""
    export = await provoke_conflict(home)
    await fix.open("type_conflict", "rename")
    [field] = fix.shown["data_schema"]
    assert field["default"] == "power_2"
    assert fix.shown["description_placeholders"]["exports"] == export.title
    await fix.submit(field="load")
    fix.expect("held_back")
    assert fix.shown["menu_options"] == ["send", "forget"]
    assert fix.shown["description_placeholders"]["held_back"] == "2"
    await fix.choose("send")
    fix.expect_solved()
    assert fields(home, export) == {"load": POWER}
    await home.wait(6)
    assert home.values("load") == [1.0, 2.0]
    assert await rejects(home) == []
    assert home.shown(export, "waiting") == "0"
    await home.wait(60, step=5)
    assert not home.issues()


@SET_ASIDE
async def test_forgotten(home: Home, fix: Fix) -> None:
    """Or it is forgotten, and only what follows is sent."""
    export = await provoke_conflict(home)
    await fix.open("type_conflict")
    await fix.submit(field="load")
    await fix.choose("forget")
    fix.expect_solved()
    await home.wait(6)
    # The present value, once more after a start
    assert home.values("load") == [2.0]
    assert await rejects(home) == []
    assert fields(home, export) == {"load": POWER}
    await home.wait(60, step=5)
    assert not home.issues()


@SET_ASIDE
async def test_names_that_will_not_do(home: Home, fix: Fix) -> None:
    """The same rules as in the dialog of an export; under another unit nothing old is sent."""
    await provoke_conflict(home)
    home.add_entity("sensor.car", "3", {"unit_of_measurement": "kW"})
    await home.add_export({"sensor.car": "car_W"}, title="car")
    await home.wait(6)
    home.hass.states.async_set(POWER, "4", {"unit_of_measurement": "kW"})
    await home.wait(6)
    await fix.open("type_conflict", "rename")
    for name, problem in (
        ("power", "unchanged"),
        ("_power", "name_underscore"),
        (" ", "name_empty"),
        ("car_W", "field_taken"),
        ("power_degC", "unit_mismatch"),
    ):
        await fix.submit(field=name)
        fix.expect("rename", field=problem)
    await fix.submit(field="power_W")
    fix.expect("held_back")
    assert fix.shown["menu_options"] == ["forget"]
    await fix.choose("forget")
    fix.expect_solved()
    await home.wait(6)
    assert home.values("power_W") == [4000.0]


@SET_ASIDE
async def test_pushed(home: Home, fix: Fix) -> None:
    """What no export sends came from the action: it can be forgotten, and comes again if it does."""
    point = {
        "measurement": "gridMetrics",
        CONF_TAGS: {"serialNr": "1"},
        CONF_FIELDS: {"mode": "low"},
    }
    push = {
        "config_entry_id": home.entry.entry_id,
        **TARGET,
        "points": [point],
    }

    async def pushed(value: Any) -> None:
        point[CONF_FIELDS] = {"mode": value}
        await home.hass.services.async_call(DOMAIN, "push", push, blocking=True)
        await home.wait(6)

    await pushed("low")
    await pushed(1)
    await pushed(2)
    await fix.open("type_conflict", "discard")
    assert fix.shown["description_placeholders"]["held_back"] == "2"
    await fix.submit()
    fix.expect_solved()
    assert await rejects(home) == []
    await pushed(3)
    assert "type_conflict" in home.issues()


# The limit of the outbox


async def reach_limit(home: Home) -> None:
    """Have values dropped by age."""
    home.simulator.faults.add(INGRESS, "drop")
    home.hass.config_entries.async_update_entry(
        home.entry, options={CONF_OUTBOX: {CONF_SIZE_LIMIT: 8, CONF_AGE_LIMIT: 1}}
    )
    await home.settle()
    await export_power(home)
    await measure(home, 1)
    await home.wait(86_400 + 60, step=86_400)
    await measure(home, 2, 31)
    assert home.issues()["outbox_limit"]["dropped"] == "2"


@pytest.mark.expected_log("has reached its limit")
async def test_limit_raised(home: Home, fix: Fix) -> None:
    """Twice as much is proposed; less than before is no raise."""
    await reach_limit(home)
    await fix.open("outbox_limit", "init")
    await fix.choose("raise_limit")
    assert {field["name"]: field["default"] for field in fix.shown["data_schema"]} == {
        CONF_SIZE_LIMIT: 16,
        CONF_AGE_LIMIT: 2,
    }
    await fix.submit(size_limit=8, age_limit=1)
    fix.expect("raise_limit", base="not_raised")
    await fix.submit(size_limit=8, age_limit=0)
    fix.expect_solved()
    assert home.entry.options[CONF_OUTBOX] == {CONF_SIZE_LIMIT: 8, CONF_AGE_LIMIT: 0}
    await home.wait(2 * 86_400, step=86_400)
    await home.wait(60)
    assert not home.issues()


@pytest.mark.expected_log("has reached its limit")
async def test_limit_acknowledged(home: Home, fix: Fix) -> None:
    """What was dropped is told of no more; what is dropped later is."""
    await reach_limit(home)
    await fix.open("outbox_limit")
    await fix.choose("acknowledge")
    fix.expect_solved()
    await home.wait(60)
    assert not home.issues()
    await home.wait(86_400 + 60, step=86_400)
    await home.wait(31)
    assert home.issues()["outbox_limit"]["dropped"] == "1"


# The disk


def damaged(home: Home) -> list[Path]:
    """Return the files that were set aside, side files included."""
    return list(Path(home.hass.config.path(".storage")).glob("*damaged*"))


@pytest.mark.expected_log("cannot be read")
async def test_damaged_files_deleted(home: Home, fix: Fix) -> None:
    """What is shown is deleted, with its side files, and nothing else is."""
    await export_power(home)
    entry_id = home.entry.entry_id
    storage = Path(home.hass.config.path(".storage"))
    for _ in range(2):
        assert await home.hass.config_entries.async_unload(entry_id)
        (storage / f"eniris.{entry_id}.outbox.db").write_bytes(b"garbage" * 1000)
        assert await home.hass.config_entries.async_setup(entry_id)
        await home.settle()
    # SQLite itself takes away a log that is none
    assert len(damaged(home)) == 2
    for file in damaged(home):
        file.with_name(f"{file.name}-wal").touch()
    await fix.open("outbox_damaged", "confirm")
    shown = fix.shown["description_placeholders"]["files"]
    assert shown.count("damaged-") == 2
    await fix.submit()
    fix.expect_solved()
    assert not damaged(home)
    assert (storage / f"eniris.{entry_id}.outbox.db").exists()
    await home.wait(60, step=10)
    assert not home.issues()


@pytest.mark.expected_log("cannot be put on disk .*full")
@pytest.mark.expected_log("the oldest are dropped")
@pytest.mark.expected_log("put on disk again; .* were lost")
async def test_disk_full_for_long(
    home: Home, fix: Fix, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory is bounded: the oldest are dropped, counted and told of; the newest are kept."""
    monkeypatch.setattr(sampler, "MEMORY_LIMIT", 10)
    home.simulator.faults.add(INGRESS, "drop")
    export = await export_power(home)
    await measure(home, 1)
    db = home.entry.runtime_data.exporter.outbox._db
    (pages,) = db.execute("PRAGMA page_count").fetchone()
    db.execute(f"PRAGMA max_page_count = {pages}")
    on_disk = int(home.shown(export, "waiting"))
    watts = 2
    while "not_on_disk" not in home.issues():
        await measure(home, watts, 1)
        watts += 1
        assert watts < 2000
    for _ in range(5):
        await measure(home, watts, 1)
        watts += 1
    dropped = int(home.issues()["not_on_disk"]["dropped"])
    assert dropped == 6
    await fix.open("not_on_disk", "try_again")
    await fix.submit()
    fix.expect("try_again", base="still_full")
    assert "not_on_disk" in home.issues()
    db.execute("PRAGMA max_page_count = 1000000")
    await fix.submit()
    fix.expect_solved()
    await home.wait(31)
    figures = home.entry.runtime_data.exporter.status(export.subentry_id).figures
    assert figures.dropped == dropped
    home.simulator.faults.clear()
    await home.wait(310, step=10)
    values = home.values()
    # Every one but those that were dropped, which is the first that found no room
    assert len(values) == watts - 1 - dropped
    assert values[-10:] == [float(number) for number in range(watts - 10, watts)]
    assert on_disk
    assert not home.issues()


# The budget

OF_A_HOME = pytest.mark.parametrize(
    "world", [lambda: HomeWorld(seed=1)], indirect=True, ids=["home"]
)


async def become_too_dear(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a poll every 34 seconds cost a little more than the account may spend."""
    home.hass.config_entries.async_update_entry(
        home.entry,
        options={**home.entry.options, CONF_IMPORT: {CONF_INTERVAL: 34}},
    )
    await home.settle()
    await home.wait(70, step=5)
    pace = home.entry.runtime_data.telemetry.pace
    assert pace.cost is not None
    monkeypatch.setitem(TIERS, "free", 2 * pace.cost)
    home.simulator.tier = "free"
    await home.wait(150, step=5)
    assert pace.is_slowed
    assert home.issues()["budget"]["wanted"] == "34"


@OF_A_HOME
async def test_longer_interval(
    home: Home, fix: Fix, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the budget allows is proposed; one that is too short is taken, but does not help."""
    await become_too_dear(home, monkeypatch)
    await fix.open("budget", "init")
    assert fix.shown["menu_options"] == ["interval", "lightest"]
    affordable = fix.shown["description_placeholders"]["affordable"]
    await fix.choose("interval")
    fix.expect("interval")
    [field] = fix.shown["data_schema"]
    assert str(field["default"]) == affordable
    await fix.submit(interval=30)
    assert int(fix.expect_abort("still_slow")["interval"]) > 30
    assert home.entry.options[CONF_IMPORT] == {CONF_INTERVAL: 30}
    assert "budget" in home.issues()
    await home.wait(100, step=5)
    await fix.open("budget")
    await fix.choose("interval")
    await fix.submit(interval=60)
    fix.expect_solved()
    assert home.entry.options[CONF_IMPORT] == {CONF_INTERVAL: 60}
    await home.wait(400, step=10)
    assert not home.issues()


@OF_A_HOME
async def test_by_the_minute(
    home: Home, fix: Fix, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That costs less; other options stay, and where it is so already it is not offered."""
    options = {CONF_OUTBOX: {CONF_SIZE_LIMIT: 8}}
    home.hass.config_entries.async_update_entry(home.entry, options=options)
    await home.settle()
    await become_too_dear(home, monkeypatch)
    await fix.open("budget")
    await fix.choose("lightest")
    fix.expect_solved()
    by_the_minute = {CONF_INTERVAL: 34, CONF_PREFERENCE: "lightest"}
    assert home.entry.options == {CONF_IMPORT: by_the_minute, **options}
    await home.wait(200, step=5)
    assert not home.issues()
    assert TIERS["free"] is not None
    monkeypatch.setitem(TIERS, "free", TIERS["free"] * 0.8)
    await home.wait(100, step=5)
    await fix.open("budget", "interval")


@OF_A_HOME
@pytest.mark.expected_log("cannot be read at present")
async def test_outage_after_the_change(
    home: Home, fix: Fix, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then it is not known yet, and the issue goes with the next poll."""
    await become_too_dear(home, monkeypatch)
    await fix.open("budget")
    await fix.choose("interval")
    outage = home.simulator.faults.add("/v1/", "drop")
    await fix.submit(interval=90)
    fix.expect_abort("not_known_yet")
    assert "budget" in home.issues()
    home.simulator.faults.remove(outage.id)
    await home.wait(200, step=10)
    assert not home.issues()
