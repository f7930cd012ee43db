"""An account that the first edition has set up is used as it is: its demo's storage, as Home Assistant 2025.4 wrote it."""

import asyncio
from contextlib import closing
import json
from pathlib import Path
import sqlite3
from typing import Any

from freezegun.api import FrozenDateTimeFactory
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.eniris.account import token_data
from custom_components.eniris.api import Authentication, Hosts, RefreshToken
from custom_components.eniris.const import CONF_FIELD, CONF_FIELDS, CONF_KIND, DOMAIN
from custom_components.eniris.exporting.outbox.store import outbox_path
from homeassistant import bootstrap
from homeassistant.config_entries import ConfigEntryState
from homeassistant.core import HomeAssistant
from homeassistant.helpers import (
    area_registry as ar,
    category_registry as cr,
    device_registry as dr,
    entity_registry as er,
    floor_registry as fr,
    issue_registry as ir,
    label_registry as lr,
    restore_state as rs,
)
from homeassistant.helpers.aiohttp_client import async_get_clientsession
from homeassistant.helpers.storage import STORAGE_DIR
from simulator.server import Simulator
from tests.kit.common import state_of
from tests.kit.exports import Home

FIXTURES = Path(__file__).parent / "fixtures" / "first_edition"
NOW = "2026-11-30T20:20:00Z"


def read(name: str) -> Any:
    """Return what was stored, as JSON."""
    return json.loads((FIXTURES / name).read_text("utf-8"))


[ENTRY] = read("core.config_entries")["data"]["entries"]
ENTRY_ID = ENTRY["entry_id"]
DEVICES = read("core.device_registry")["data"]["devices"]
ENTITIES = read("core.entity_registry")["data"]["entities"]


@pytest.fixture
def load_registries() -> bool:
    """Leave the registries to the test, which has something in them."""
    return False


async def load_stored(hass: HomeAssistant, storage: dict[str, Any]) -> None:
    """Have Home Assistant load what was stored, as it does at its start."""
    for name in ("core.device_registry", "core.entity_registry"):
        storage[name] = read(name)
    for name in ("history", "totals"):
        key = f"{DOMAIN}.{ENTRY_ID}.{name}"
        storage[key] = {**read(f"eniris.{name}"), "key": key}
    if set_up := getattr(dr, "async_setup", None):
        # What is newer than the oldest supported version
        set_up(hass)
    for registry in (ar, cr, dr, er, fr, ir, lr, rs):
        await registry.async_load(hass)
    hass.data[bootstrap.DATA_REGISTRIES_LOADED] = None


@pytest.fixture
def outbox(hass: HomeAssistant) -> Path:
    """Return the outbox that the first edition has left, in which two values wait."""
    path = outbox_path(Path(hass.config.path(STORAGE_DIR)), ENTRY_ID)
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript((FIXTURES / "eniris.outbox.sql").read_text("utf-8"))
    return path


@pytest.fixture
async def home(
    hass: HomeAssistant,
    hass_storage: dict[str, Any],
    freezer: FrozenDateTimeFactory,
    simulator: Simulator,
) -> Home:
    """Return a home as the first edition has left it, about to start."""
    freezer.move_to(NOW)
    await load_stored(hass, hass_storage)
    hosts = Hosts(simulator.url, simulator.url, simulator.url)
    log_in = Authentication(async_get_clientsession(hass), hosts)
    token = await log_in.login("demo@example.com", "demo")
    assert isinstance(token, RefreshToken)
    addresses = {key: simulator.url for key in ENTRY["data"] if key.endswith("_url")}
    entry = MockConfigEntry(
        domain=DOMAIN,
        data={**ENTRY["data"], **addresses, **token_data(token)},
        subentries_data=ENTRY["subentries"],
        **{
            key: ENTRY[key]
            for key in (
                *("entry_id", "minor_version", "options"),
                *("title", "unique_id", "version"),
            )
        },
    )
    entry.add_to_hass(hass)
    return Home(hass, freezer, simulator, entry)


async def start(home: Home) -> None:
    """Start the account."""
    assert await home.hass.config_entries.async_setup(ENTRY_ID)
    await home.settle()
    assert home.entry.state is ConfigEntryState.LOADED


def measure(home: Home, watts: float) -> None:
    """Let the exported meter show a power."""
    attributes = {"unit_of_measurement": "W", "device_class": "power"}
    home.hass.states.async_set("sensor.demo_p1_power", str(watts), attributes)


async def test_registries(home: Home) -> None:
    """Entry, devices and entities are those that there were: ids, unique ids, names and what is disabled."""
    await start(home)
    assert home.entry.version == ENTRY["version"]
    entities, devices = er.async_get(home.hass), dr.async_get(home.hass)
    for stored in ENTITIES:
        entity = entities.async_get(stored["entity_id"])
        assert entity is not None, stored["entity_id"]
        for key in ("id", "unique_id", "platform", "disabled_by", "device_id"):
            assert getattr(entity, key) == stored[key], (stored["entity_id"], key)
    # Of what was stored whole, nothing was made anew under another id
    meter = entities.entities.get_entries_for_device_id
    for stored in DEVICES:
        device = devices.async_get(stored["id"])
        assert device is not None, stored["name"]
        assert device.identifiers == {tuple(each) for each in stored["identifiers"]}
        known = [its["id"] for its in ENTITIES if its["device_id"] == device.id]
        if known:
            ours = {its.id for its in meter(device.id, include_disabled_entities=True)}
            assert set(known) <= ours
    assert not home.issues()


async def test_totals_go_on(home: Home) -> None:
    """A total of energy goes on from what the first edition has counted, and asks for the hours since."""
    await start(home)
    await home.wait(120, step=60)
    [stored] = [
        row for row in read("eniris.totals")["data"] if row[2].startswith("imported")
    ]
    node_id, _, name, base, _, hours = stored[:6]
    counted = base + sum(energy for _, energy, _ in hours)
    shown = float(state_of(home.hass, home.entry, node_id, name)) * 1000
    assert counted <= shown < counted + 100_000


async def test_exports_go_on(home: Home) -> None:
    """What an export says is read as it was meant, and its fields get their kinds."""
    await start(home)
    for watts in (100.0, 200.0):
        measure(home, watts)
        await home.wait(1)
    await home.wait(6)
    assert home.values()[-2:] == [100.0, 200.0]
    # What was decided is stored with the next look at the figures
    await home.wait(60, step=10)
    [export] = home.exports
    kinds = {row[CONF_FIELD]: row.get(CONF_KIND) for row in export.data[CONF_FIELDS]}
    assert kinds["actualPowerTot_W"] == "number"
    assert not home.issues().keys() - {"entity_gone"}


@pytest.mark.expected_log("cannot be read .*; it is kept as")
@pytest.mark.expected_log("0 waiting values were carried over")
async def test_outbox_of_the_old_form(outbox: Path, home: Home) -> None:
    """It is set aside byte by byte with the issue that a damaged one gets, and a new one begins."""
    before = await asyncio.to_thread(outbox.read_bytes)
    await start(home)
    measure(home, 300.0)
    await home.wait(8)
    assert home.values()[-1] == 300.0
    [aside] = await asyncio.to_thread(
        lambda: list(outbox.parent.glob(f"{outbox.name}.damaged-*"))
    )
    assert await asyncio.to_thread(aside.read_bytes) == before
    assert "outbox_damaged" in home.issues()
