"""Diagnostics: what a supporter needs is in them, and nothing secret or personal."""

import base64
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
import json
from pathlib import Path
from typing import Any

from freezegun.api import FrozenDateTimeFactory
import pytest
from pytest_homeassistant_custom_component.typing import ClientSessionGenerator
from syrupy.assertion import SnapshotAssertion
from syrupy.filters import props
from yarl import URL

from custom_components.eniris.api import WriteTarget
from custom_components.eniris.const import (
    CONF_API_URL,
    CONF_AUTHENTICATION_URL,
    CONF_INGRESS_URL,
    CONF_REFRESH_TOKEN,
    DOMAIN,
)
from custom_components.eniris.data import EnirisConfigEntry
from custom_components.eniris.diagnostics import async_get_device_diagnostics
from custom_components.eniris.exporting.config import Series
from custom_components.eniris.exporting.exporter import ACTION
from custom_components.eniris.exporting.outbox.batches import FieldKey, Reject, Sample
from custom_components.eniris.exporting.outbox.live import add_rejects, load_rejects
from custom_components.eniris.exporting.outbox.rows import Rows

# What Home Assistant adds to the file imports it, which cannot be done while time stands still
import homeassistant.components.hassio  # noqa: F401
from homeassistant.config_entries import ConfigEntryState, ConfigSubentry
from homeassistant.core import HomeAssistant
from homeassistant.helpers import device_registry as dr, entity_registry as er
from homeassistant.setup import async_setup_component
from simulator.accounts import Account
from simulator.server import Simulator
from simulator.world import HomeWorld

from .export_kit import INGRESS, POWER, START, Home, MeterWorld, home_with_account

UNSTABLE = props("bytes_sent", "bytes_received", "files", "bytes_in_use")
"""What depends on the versions of libraries."""


class PlantedWorld(MeterWorld):
    """The small world with personal data wherever the service has any."""

    TEXTS = (
        "Villa Zonnebloem",
        "Kastanjelaan 12",
        "jan.peeters@planted.example",
        "SN-PLANTED-77",
        "node_planted_meter",
        "planted-tag-value",
        "Peeters Holding",
        "51.0543219",
        "planteddb",
    )

    def devices(self, now: datetime) -> Sequence[dict[str, Any]]:
        """Return a site and a meter that say more than is needed, and one that says nothing."""
        site, meter = super().devices(now)
        personal = {
            "address": {"street": "Kastanjelaan 12", "latitude": 51.0543219},
            "owner": "jan.peeters@planted.example",
            "companyName": "Peeters Holding",
            "notes": ["Villa Zonnebloem", {"Kastanjelaan 12": 1}],
        }
        series = [
            {
                **info,
                "database": "planteddb",
                "tags": {**info["tags"], "room": "planted-tag-value"},
            }
            for info in meter["properties"]["nodeInfluxSeries"]
        ]
        return [
            {
                **site,
                "properties": {
                    **site["properties"],
                    **personal,
                    "name": "Villa Zonnebloem",
                },
            },
            {
                **meter,
                "properties": {
                    **meter["properties"],
                    **personal,
                    "nodeId": "node_planted_meter",
                    "name": "Meter of Villa Zonnebloem",
                    "info": {
                        "serialNumber": "SN-PLANTED-77",
                        "manufacturer": "Metrova",
                        "model": "EM1 (SN-PLANTED-77)",
                    },
                    "nodeInfluxSeries": [
                        *meter["properties"]["nodeInfluxSeries"],
                        *series,
                    ],
                },
            },
            {"id": 99, "properties": {"name": "Villa Zonnebloem"}},
        ]


@pytest.fixture
def world(request: pytest.FixtureRequest) -> Any:
    """Return a small world, or the home."""
    return getattr(request, "param", PlantedWorld)()


@pytest.fixture
async def home(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    simulator: Simulator,
    user_input: dict[str, Any],
) -> Home:
    """Return a home with an account."""
    return await home_with_account(hass, freezer, simulator, user_input)


@pytest.fixture
def no_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have waits take as long as they do on average."""
    monkeypatch.setattr("random.uniform", lambda *_: 1.0)


async def download(
    client: Any, entry: EnirisConfigEntry, device: dr.DeviceEntry | None = None
) -> str:
    """Return the file that a user downloads, whole."""
    path = f"/api/diagnostics/config_entry/{entry.entry_id}"
    if device is not None:
        path += f"/device/{device.id}"
    response = await client.get(path)
    assert response.status == 200, await response.text()
    text: str = await response.text()
    return text


async def own_data(client: Any, *args: Any) -> dict[str, Any]:
    """Return our part of the file."""
    data: dict[str, Any] = json.loads(await download(client, *args))["data"]
    return data


@pytest.fixture
async def client(home: Home, hass_client: ClientSessionGenerator) -> Any:
    """Return what downloads."""
    assert await async_setup_component(home.hass, "diagnostics", {})
    return await hass_client()


def devices(home: Home) -> list[dr.DeviceEntry]:
    """Return the devices of the account."""
    return dr.async_entries_for_config_entry(
        dr.async_get(home.hass), home.entry.entry_id
    )


async def set_power(home: Home, value: str, **attributes: str) -> None:
    """Have the exported entity show something."""
    home.hass.states.async_set(
        POWER,
        value,
        {"unit_of_measurement": "kW", "device_class": "power"} | attributes,
    )
    await home.wait(6)


async def add_exports(home: Home) -> ConfigSubentry:
    """Add an export that works, and one whose database is unknown."""
    home.add_power()
    export = await home.add_export({POWER: "actualPowerTot_W"})
    await home.add_export({POWER: "copy_W"}, title="Copy", database="unknown")
    await set_power(home, "2")
    return export


@pytest.mark.expected_log("cannot be uploaded at present")
@pytest.mark.parametrize("world", [MeterWorld], indirect=True)
@pytest.mark.usefixtures("no_chance")
async def test_account(home: Home, client: Any, snapshot: SnapshotAssertion) -> None:
    """Everything about a small account."""
    await add_exports(home)
    await home.wait(120, step=10)
    assert await own_data(client, home.entry) == snapshot(exclude=UNSTABLE)


@pytest.mark.expected_log("cannot be uploaded at present")
@pytest.mark.parametrize("world", [MeterWorld], indirect=True)
@pytest.mark.usefixtures("no_chance")
async def test_devices(home: Home, client: Any, snapshot: SnapshotAssertion) -> None:
    """The part of each device: the account, site, meter and exports."""
    await add_exports(home)
    await home.wait(120, step=10)
    parts = [await own_data(client, home.entry, device) for device in devices(home)]
    for part in parts:
        part.pop("account")
        part.pop("calls", None)
    parts.sort(key=lambda part: str(part["device"]))
    assert parts == snapshot(exclude=UNSTABLE)
    assert sorted(part["device"].partition(" ")[0] for part in parts) == [
        "account",
        "export",
        "export",
        "node",
        "node",
    ]


@pytest.mark.parametrize("world", [MeterWorld], indirect=True)
@pytest.mark.parametrize(
    ("unit", "told"),
    [
        ("°C", "°C"),
        ("%", "%"),
        ("m³/h", "m³/h"),
        ("kWh", "kWh"),
        ("beans", "beans"),
        ("beans of Anna", "(not a word)"),
    ],
)
async def test_units(home: Home, client: Any, unit: str, told: str) -> None:
    """A unit that Home Assistant knows is told as it is; any other only if it is a word."""
    home.hass.states.async_set("sensor.it", "20", {"unit_of_measurement": unit})
    await home.add_export({"sensor.it": "it"})
    data = await own_data(client, home.entry)
    assert [field["unit"] for field in data["exports"][0]["fields"]] == [told]


@pytest.mark.parametrize("world", [HomeWorld], indirect=True)
async def test_home(home: Home, client: Any) -> None:
    """The home's tree can be followed, and its fields are accounted for."""
    await home.wait(120, step=60)
    reading = (await own_data(client, home.entry))["reading"]
    nodes = {node["node"]: node for node in reading["nodes"]}
    assert len(nodes) == len(home.entry.runtime_data.nodes.data.by_id)
    firmware = [
        node.device.info.firmware_version
        for node in home.entry.runtime_data.nodes.data.by_id.values()
    ]
    assert any(firmware)
    assert [node["firmware_version"] for node in nodes.values()] == firmware
    for node in nodes.values():
        assert node["parent"] is None or node["parent"] in nodes
        assert node["parent"] is not None or node["node_type"].endswith("Site")
    coverage = reading["coverage"]
    assert coverage["fields"] == sum(len(node["fields"]) for node in nodes.values())
    assert 0 < coverage["with_value"] <= coverage["fields"]
    assert not coverage["not_in_catalogue"]
    fields = [field for node in nodes.values() for field in node["fields"]]
    assert all(
        field["entities"] for field in fields if field["value_age_s"] is not None
    )
    entities = [entity for field in fields for entity in field["entities"]]
    registered = er.async_entries_for_config_entry(
        er.async_get(home.hass), home.entry.entry_id
    )
    assert sum(reading["entities"].values()) == len(registered)
    # The others are of the account and of the metadata
    measurements = {field["measurement"] for field in fields}
    assert len(entities) == sum(
        any(f"_{name}_" in it.unique_id for name in measurements) for it in registered
    )


@pytest.mark.expected_log("cannot be read at present")
@pytest.mark.parametrize("world", [MeterWorld], indirect=True)
async def test_outage(home: Home, client: Any) -> None:
    """Of the last errors there is kind, status and known words; entities say why they show nothing."""
    home.simulator.faults.add(
        "/v1/telemetry/query", "status", status=503, message="Kastanjelaan 12"
    )
    await home.wait(400, step=10)
    data = await own_data(client, home.entry)
    failure = {"kind": "ServerError", "status": 503, "code": None}
    telemetry = data["reading"]["telemetry"]
    assert telemetry["last_failure"] == failure
    assert telemetry["reason"] == "the last poll failed"
    [call] = [
        call for call in data["calls"] if call["call"] == "POST /v1/telemetry/query"
    ]
    assert call["last_failure"] == failure
    assert call["statuses"]["503"] + call["statuses"]["200"] == call["count"]
    assert 0 < call["last_failure_age_s"] < 60
    reasons = {
        entity.get("reason")
        for node in data["reading"]["nodes"]
        for field in node["fields"]
        for entity in field["entities"]
        if entity["disabled_by"] is None
    }
    assert reasons == {"value too old or unusable"}


@pytest.mark.parametrize("world", [MeterWorld], indirect=True)
async def test_account_that_is_not_loaded(home: Home, client: Any) -> None:
    """What can be told without asking anybody is told, of devices too."""
    await home.add_export({POWER: "actualPowerTot_W"})
    await home.hass.config_entries.async_unload(home.entry.entry_id)
    data = await own_data(client, home.entry)
    assert data["account"]["state"] == "not_loaded"
    assert [export["measurement"] for export in data["exports"]] == ["gridMetrics"]
    assert data["writing"]["files"]["samples"] > 0
    assert set(data) == {"account", "exports", "invalid_exports", "writing"}
    parts = [await own_data(client, home.entry, device) for device in devices(home)]
    assert {part["device"] for part in parts} == {"account", "export 1", "unknown"}


@pytest.mark.expected_log("The outbox cannot be opened")
@pytest.mark.parametrize("world", [MeterWorld], indirect=True)
async def test_outbox_that_cannot_be_opened(
    home: Home, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The account runs without its file, and that can be seen."""
    await home.hass.config_entries.async_unload(home.entry.entry_id)
    # A file is no folder
    monkeypatch.setattr(
        "custom_components.eniris.outbox_path", lambda *_: Path(__file__) / "no" / "no"
    )
    await home.hass.config_entries.async_setup(home.entry.entry_id)
    assert home.entry.state is ConfigEntryState.LOADED
    writing = (await own_data(client, home.entry))["writing"]
    assert writing["can_be_put_on_disk"] is False
    assert writing["can_be_read"] is False


@pytest.mark.expected_log("cannot be read at present")
@pytest.mark.parametrize("world", [MeterWorld], indirect=True)
async def test_log_in_that_has_ended(home: Home, client: Any) -> None:
    """That a log-in is wanted can be seen."""
    await end_log_in(home)
    data = await own_data(client, home.entry)
    assert data["account"]["is_log_in_wanted"]
    failed = [call for call in data["calls"] if call["last_failure"]]
    assert {call["last_failure"]["kind"] for call in failed} >= {"UnauthorizedError"}


async def end_log_in(home: Home) -> None:
    """Have the service accept no token of the account any more."""
    home.simulator.faults.add("/auth/", "status", status=401, message="INVALID")
    home.simulator.faults.add("/v1/", "status", status=401, message="INVALID")
    await home.wait(400, step=20)
    assert home.log_ins_asked_for() == 1


async def test_outbox_that_cannot_be_read(home: Home, client: Any) -> None:
    """The others are told of all the same."""
    await home.entry.runtime_data.exporter.outbox.close()
    data = await own_data(client, home.entry)
    assert data["writing"]["can_be_read"] is False
    assert data["reading"]["nodes"]


async def test_device_of_nobody(home: Home) -> None:
    """A device that the account does not know any more tells of the account alone."""
    device = dr.async_get(home.hass).async_get_or_create(
        config_entry_id=home.entry.entry_id, identifiers={(DOMAIN, "gone")}
    )
    data = await async_get_device_diagnostics(home.hass, home.entry, device)
    assert set(data) == {"device", "account"}
    assert data["device"] == "unknown"


# Nothing secret, nothing personal

USER = "jan.peeters@planted.example"
PASSWORD = "planted-Passw0rd!"
USER_ID = 987_654_321


def spellings(secret: str) -> Iterator[str]:
    """Return the forms in which a text could stand somewhere, the parts of a token included."""
    for part in {secret, *(part for part in secret.split(".") if len(part) > 15)}:
        yield part
        for padding in range(3):
            # Whatever stands before it; the ends depend on their neighbours
            encoded = base64.b64encode(b"x" * padding + part.encode()).decode()
            inner = encoded[4:-4]
            if len(inner) >= 8:
                yield inner
                yield inner.replace("+", "-").replace("/", "_")


def planted_in(text: str, secrets: Mapping[str, str]) -> list[str]:
    """Return the names of the secrets that stand in a text in any form."""
    lower = text.lower()
    return [
        name
        for name, secret in secrets.items()
        if any(form.lower() in lower for form in spellings(secret))
    ]


def test_what_looks_for_secrets() -> None:
    """It finds a text as it is, in other letters, in base64 at any place, and a token's parts."""
    secrets = {"user": USER}
    assert planted_in(f"hello {USER.upper()}!", secrets)
    for before in ("", "a", "ab", "abc"):
        encoded = base64.b64encode(f'{before}"{USER}"}}'.encode()).decode()
        assert planted_in(encoded, secrets), before
    token = "aaaaaaaaaaaaaaaaaaaa.bbbbbbbbbbbbbbbbbbbb.cccccccccccccccccccc"
    assert planted_in("x bbbbbbbbbbbbbbbbbbbb", {"token": token})
    assert not planted_in("nothing of it", secrets | {"token": token})


@pytest.mark.expected_log(".")
async def test_nothing_secret_or_personal(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    simulator: Simulator,
    user_input: dict[str, Any],
    hass_client: ClientSessionGenerator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Planted wherever it could come in, none of it comes out, in any form."""
    tokens: list[str] = []
    issue = simulator.mint.issue

    def issue_and_note(*args: Any) -> str:
        tokens.append(issue(*args))
        return tokens[-1]

    monkeypatch.setattr(simulator.mint, "issue", issue_and_note)
    simulator.accounts.add(Account(USER, USER_ID, PASSWORD))
    url = simulator.url
    home = await home_with_account(
        hass,
        freezer,
        simulator,
        {
            **user_input,
            "password": PASSWORD,
        },
        USER,
    )
    assert await async_setup_component(hass, "diagnostics", {})
    [user] = [user for user in await hass.auth.async_get_users() if user.is_admin]
    token = next(iter(user.refresh_tokens.values()))
    client = await hass_client(hass.auth.async_create_access_token(token))
    refresh_token = home.entry.data[CONF_REFRESH_TOKEN]
    secrets = {
        "password": PASSWORD,
        "user": USER,
        "user id": str(USER_ID),
        "refresh token": refresh_token,
        "address": f"127.0.0.1:{URL(simulator.url).port}",
        "host": "anna-energy",
        "entity": "sensor.bedroom_of_anna",
        "entity name": "Bedroom of Anna",
        "object id": "bedroom_of_anna",
        "export title": "Exports of Anna",
        "collector": "annacollector",
        "export database": "annadatabase",
        "policy": "rp_of_anna",
        "tag": "anna-tag-4711",
        "text state": "anna sleeps",
        "attribute": "anna at work",
        "pushed": "pushed by anna",
        **{text: text for text in PlantedWorld.TEXTS},
    }
    # Exports of personal entities: one works, two are refused for good, as is a whole target
    registered = home.add_entity(
        "sensor.bedroom_of_anna",
        "anna sleeps",
        {"friendly_name": "Bedroom of Anna", "who": "anna at work"},
    )
    where: dict[str, Any] = {
        "tags": {"serialNr": "anna-tag-4711"},
        "title": "Exports of Anna",
    }
    await home.add_export({registered: "mood"}, **where)
    await home.add_export(
        {},
        fields=[{"entity": registered, "field": "who", "attribute": "who"}],
        **where,
        collector="annacollector",
        database="annadatabase",
        retention_policy="rp_of_anna",
    )
    await home.wait(6)
    point = {
        "measurement": "gridMetrics",
        "tags": {"serialNr": "anna-tag-4711"},
        "fields": {"mood": 1.0, "note": "pushed by anna"},
    }
    await hass.services.async_call(
        DOMAIN,
        "push",
        {
            "config_entry_id": home.entry.entry_id,
            "collector": "demo-ingress",
            "database": "demo",
            "retention_policy": "rp_one_m",
            "points": [point],
        },
        blocking=True,
    )
    await home.wait(6)
    # Errors that quote everything, codes in capitals included
    said = (
        f"{USER} ({USER_ID}, {PASSWORD}) at {url} with {refresh_token}: annadatabase,"
        f" anna-tag-4711, Villa Zonnebloem, SN-PLANTED-77, ANNADATABASE"
    )
    echo = {"statusCode": 400, "error": USER.upper(), "message": said}
    fault = simulator.faults.add(INGRESS, "json", status=400, body=echo)
    hass.states.async_set(
        "sensor.bedroom_of_anna", "anna sleeps on", {"who": "anna at work again"}
    )
    await home.wait(10)
    simulator.faults.remove(fault.id)
    for path in ("/v1/device/query", "/v1/telemetry/query", "/auth/"):
        simulator.faults.add(path, "json", status=500, body=echo)
    await home.wait(1000, step=10)
    data = home.entry.runtime_data
    outbox = data.exporter.outbox
    target = WriteTarget("annacollector", "annadatabase", "rp_of_anna")
    series = Series(target, "gridMetrics", (("serialNr", "anna-tag-4711"),))
    refused = Sample(home.exports[0].subentry_id, series, START, "who", "anna sleeps")
    await outbox.store.run(add_rejects, [Reject(refused, said)])
    await outbox.store.run(
        Rows.block_field, FieldKey(target, "gridMetrics", "who", "string"), said
    )

    # It did come in
    assert home.entry.title == USER
    assert str(home.entry.unique_id) == str(USER_ID)
    nodes = data.nodes.data
    assert {node.device.name for node in nodes.by_id.values()} >= {"Villa Zonnebloem"}
    assert "node_planted_meter" in nodes.by_id
    meter = nodes.by_id["node_planted_meter"].device
    assert "planteddb" in {series.database for series in meter.series}
    assert "Kastanjelaan 12" in str(meter.properties)
    rejects = await outbox.store.run(load_rejects)
    assert any("Villa Zonnebloem" in reject.reason for reject in rejects)
    assert any("anna sleeps" in str(reject.sample.value) for reject in rejects)
    assert any(reject.sample.export_id == ACTION for reject in rejects)
    assert "annadatabase" in str(list(data.exporter.uploader.targets))
    assert said[:20] in str(data.telemetry.last_exception)
    assert "namespace_unknown" in home.issues()
    assert len(tokens) > 3
    secrets |= {f"token {number}": token for number, token in enumerate(tokens)}

    texts = [await download(client, home.entry)]
    [blocked] = json.loads(texts[0])["data"]["writing"]["blocked_fields"]
    assert (blocked["field"], blocked["type"]) == ("who", "string")
    texts += [await download(client, home.entry, device) for device in devices(home)]
    await hass.config_entries.async_unload(home.entry.entry_id)
    # A host that tells whose customer somebody is
    hosts = (CONF_AUTHENTICATION_URL, CONF_API_URL, CONF_INGRESS_URL)
    hass.config_entries.async_update_entry(
        home.entry,
        data={
            **home.entry.data,
            **dict.fromkeys(hosts, "https://anna-energy.example/cloud"),
        },
    )
    texts.append(await download(client, home.entry))
    assert len(texts) == 7
    for text in texts:
        assert not planted_in(text, secrets)
