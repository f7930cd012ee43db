"""What is said of all actions: that they are there, their words, and which account they are for."""

from datetime import timedelta
import json
from pathlib import Path
import sqlite3
from typing import Any

import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry
import voluptuous as vol

from custom_components.eniris import const, services
from custom_components.eniris.const import (
    ATTR_CONFIG_ENTRY_ID,
    ATTR_POINTS,
    CONF_COLLECTOR,
    CONF_DATABASE,
    CONF_RETENTION_POLICY,
    DOMAIN,
)
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
from homeassistant.core import HomeAssistant
from homeassistant.exceptions import HomeAssistantError, ServiceValidationError
from homeassistant.helpers import entity_registry as er, selector
from homeassistant.helpers.service import async_get_all_descriptions
from homeassistant.helpers.translation import async_get_exception_message
from homeassistant.setup import async_setup_component
from homeassistant.util.yaml import load_yaml_dict
from tests.kit.exports import POWER, START, Home, MeterWorld
from tests.services.kit import POINT, call


@pytest.fixture
def world() -> MeterWorld:
    """Return a small world."""
    return MeterWorld()


PACKAGE = Path(const.__file__).parent
SERVICES = {
    "get_schedules",
    "set_schedule",
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
        home.entity_id(export, "sensor", "waiting")
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
    return {"fields": described, "texts": texts["services"], "icons": icons["services"]}


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
            field["selector"].keys() & {"config_entry", "device", "entity", "select"}
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
