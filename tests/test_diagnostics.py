"""Diagnostics: what a supporter needs is in them, and nothing secret or personal."""

from collections.abc import Sequence
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
    CONF_IMPORT,
    CONF_INGRESS_URL,
    CONF_MQTT,
    CONF_REFRESH_TOKEN,
    CONF_SITES,
    DOMAIN,
)
from custom_components.eniris.data import EnirisConfigEntry
from custom_components.eniris.exporting.config import Series
from custom_components.eniris.exporting.exporter import ACTION
from custom_components.eniris.exporting.fields.suggestions import suggest_field
from custom_components.eniris.exporting.outbox.batches import FieldKey, Reject, Sample
from custom_components.eniris.exporting.outbox.live import add_rejects, load_rejects
from custom_components.eniris.exporting.outbox.rows import Rows

# What Home Assistant adds to the file imports it, which cannot be done while time stands still
import homeassistant.components.hassio  # noqa: F401
from homeassistant.config_entries import ConfigEntryState
from homeassistant.core import HomeAssistant
from homeassistant.helpers import device_registry as dr
from homeassistant.setup import async_setup_component
from simulator.accounts import Account
from simulator.controller import SimulatedController
from simulator.server import Simulator
from simulator.world import HomeWorld

from .kit.common import settle
from .kit.controller import TOKEN, WEBHOOK, WEBHOOK_ID, add_controller, mqtt
from .kit.exports import INGRESS, POWER, START, Home, MeterWorld, home_with_account
from .security.leaks import found_in

UNSTABLE = props("bytes", "size")
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
    """Return the small world, or another one."""
    return getattr(request, "param", MeterWorld)()


@pytest.fixture
async def client(home: Home, hass_client: ClientSessionGenerator) -> Any:
    """Return what downloads."""
    assert await async_setup_component(home.hass, "diagnostics", {})
    return await hass_client()


async def download(
    client: Any, entry: EnirisConfigEntry, device: dr.DeviceEntry | None = None
) -> str:
    """Return the name and the content of the file that a user downloads."""
    path = f"/api/diagnostics/config_entry/{entry.entry_id}"
    if device is not None:
        path += f"/device/{device.id}"
    response = await client.get(path)
    text: str = await response.text()
    assert response.status == 200, text
    return f"{response.headers['Content-Disposition']}\n{text}"


async def own_data(client: Any, *args: Any) -> dict[str, Any]:
    """Return our part of the file."""
    content = (await download(client, *args)).partition("\n")[2]
    data: dict[str, Any] = json.loads(content)["data"]
    return data


def devices(home: Home) -> list[dr.DeviceEntry]:
    """Return the devices of the account."""
    return dr.async_entries_for_config_entry(
        dr.async_get(home.hass), home.entry.entry_id
    )


@pytest.mark.expected_log("cannot be uploaded at present")
async def test_account(
    home: Home,
    client: Any,
    snapshot: SnapshotAssertion,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Everything about a small account with two exports, one of which is refused."""
    # Waits take as long as they do on average
    monkeypatch.setattr("random.uniform", lambda *_: 1.0)
    home.add_power()
    await home.add_export({POWER: "actualPowerTot_W"})
    await home.add_export({POWER: "copy_W"}, title="Copy", database="unknown")
    await home.wait(120, step=10)
    assert await own_data(client, home.entry) == snapshot(exclude=UNSTABLE)


async def test_devices(home: Home, client: Any) -> None:
    """A device has its own part of the whole; one that nobody knows any more, the account."""
    await home.add_export({POWER: "actualPowerTot_W"})
    await home.wait(60, step=10)
    dr.async_get(home.hass).async_get_or_create(
        config_entry_id=home.entry.entry_id, identifiers={(DOMAIN, "gone")}, name="Gone"
    )
    whole = await own_data(client, home.entry)
    parts = {
        device.name: await own_data(client, home.entry, device)
        for device in devices(home)
    }
    account = whole["account"]
    assert parts["Eniris account"].keys() == whole.keys()
    assert parts["House"] == {"account": account, "export": whole["exports"][0]}
    site, meter = whole["import"]["nodes"]
    assert parts["Home"] == {"account": account, "node": site, "fields": {}}
    fields = whole["import"]["fields"]
    assert parts["Grid"] == {"account": account, "node": meter, "fields": fields}
    assert parts["Gone"] == {"account": account}


async def test_chosen_sites(home: Home, client: Any) -> None:
    """Which sites are read is not told: their ids are serial numbers."""
    options = {CONF_IMPORT: {CONF_SITES: ["SGC2211-004187_site_0"]}}
    home.hass.config_entries.async_update_entry(home.entry, options=options)
    await home.settle()
    data = await own_data(client, home.entry)
    assert data["account"]["options"] == {CONF_IMPORT: {CONF_SITES: "**REDACTED**"}}
    assert "SGC2211" not in json.dumps(data)


async def test_name_of_the_file(home: Home, client: Any) -> None:
    """Home Assistant names it after the device: not by the e-mail address, unless the user does."""
    assert home.entry.title == "demo@example.com"
    for device in devices(home):
        file = (await download(client, home.entry, device)).partition("\n")[0]
        assert f"-{device.name}-" in file
        assert "demo" not in file
    home.hass.config_entries.async_update_entry(home.entry, title="At the sea")
    await home.settle()
    assert "At the sea" in [device.name for device in devices(home)]


@pytest.mark.parametrize("world", [HomeWorld], indirect=True)
async def test_home(home: Home, client: Any) -> None:
    """The home's tree can be followed, and its fields are accounted for."""
    await home.wait(120, step=60)
    data = await own_data(client, home.entry)
    nodes, fields = data["import"]["nodes"], data["import"]["fields"]
    known = home.entry.runtime_data.nodes.data.by_id
    assert [node["node"] for node in nodes] == list(range(1, len(known) + 1))
    for node, it in zip(nodes, known.values(), strict=True):
        above = node["parent"] and list(known)[node["parent"] - 1]
        assert above == it.parent_id
        assert node["is_site"] == it.is_site
        assert len(node["series"]) == len(it.device.series)
    listed = {
        (it.id, series.measurement, field)
        for it in known.values()
        for series in it.device.series
        for field in series.fields
    }
    assert sum(counts["listed"] for counts in fields.values()) == len(listed)
    assert "actualPowerTot_W, number" in fields
    # Sums that the service makes of other fields are in no catalogue
    assert [name for name in fields if "other" in name] == ["other, number"]
    current = sum(counts["current"] for counts in fields.values())
    with_value = sum(counts["with_value"] for counts in fields.values())
    assert 0 < current <= with_value <= len(listed)
    assert sum(data["entities"].values()) > with_value


async def test_field_that_is_called_after_a_person(home: Home, client: Any) -> None:
    """The name that the form suggests for a person, or an entity, is nobody's business."""
    entity_id = "person.jan_peeters"
    home.hass.states.async_set(entity_id, "home", {"friendly_name": "Jan Peeters"})
    name = suggest_field(home.hass.states.get(entity_id), entity_id, set())
    assert "Peeters" in name
    await home.add_export({entity_id: name, POWER: "actualPowerTot_W"})
    await home.wait(10)
    data = await own_data(client, home.entry)
    [export] = data["exports"]
    assert export["fields"] == [
        ["other", "text", "a value"],
        ["actualPowerTot_W", None, "nothing"],
    ]
    assert "peeters" not in json.dumps(data).lower()


@pytest.mark.expected_log("fetching Eniris")
@pytest.mark.parametrize("world", [MeterWorld], indirect=True)
async def test_outage(home: Home, client: Any) -> None:
    """Of the last errors there is kind, status and known words; nothing is current."""
    home.simulator.faults.add(
        "/v1/telemetry/query", "status", status=503, message="Kastanjelaan 12"
    )
    await home.wait(400, step=10)
    data = await own_data(client, home.entry)
    failure = {"kind": "ServerError", "status": 503, "code": None}
    telemetry = data["import"]["telemetry"]
    assert telemetry["last_update_success"] is False
    assert telemetry["last_failure"] == failure
    call = data["calls"]["POST /v1/telemetry/query"]
    assert call["last_failure"] == failure
    assert call["statuses"]["503"] > 1
    assert data["import"]["fields"]["actualPowerTot_W, number"] == {
        "listed": 2,
        "with_value": 2,
        "current": 0,
    }
    assert data["entities"]["unavailable"] > 1


async def test_account_that_is_not_loaded(home: Home, client: Any) -> None:
    """What can be told without asking anybody is told, of devices too."""
    await home.add_export({POWER: "actualPowerTot_W"})
    await home.hass.config_entries.async_unload(home.entry.entry_id)
    data = await own_data(client, home.entry)
    assert data["account"]["state"] == "not_loaded"
    [export] = data["exports"]
    assert export["series"] == "gridMetrics in rp_one_m, 1 tags"
    for device in devices(home):
        assert (await own_data(client, home.entry, device))["account"]


@pytest.mark.expected_log("The outbox cannot be opened")
async def test_outbox_that_cannot_be_opened(
    home: Home, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The account runs without its file, and that can be seen."""
    await home.hass.config_entries.async_unload(home.entry.entry_id)
    # A file is no folder
    monkeypatch.setattr(
        "custom_components.eniris.export_host.outbox_path",
        lambda *_: Path(__file__) / "no" / "no",
    )
    await home.hass.config_entries.async_setup(home.entry.entry_id)
    assert home.entry.state is ConfigEntryState.LOADED
    outbox = (await own_data(client, home.entry))["outbox"]
    assert outbox["can_be_put_on_disk"] is False
    assert outbox["can_be_read"] is False


@pytest.mark.expected_log("fetching Eniris")
@pytest.mark.parametrize("world", [MeterWorld], indirect=True)
async def test_log_in_that_has_ended(home: Home, client: Any) -> None:
    """That a log-in is wanted can be seen."""
    for path in ("/auth/", "/v1/"):
        home.simulator.faults.add(path, "status", status=401, message="INVALID")
    await home.wait(400, step=20)
    data = await own_data(client, home.entry)
    assert data["account"]["is_log_in_wanted"]
    failures = [call["last_failure"] for call in data["calls"].values()]
    assert "UnauthorizedError" in {failure["kind"] for failure in failures if failure}


# Nothing secret, nothing personal

USER = "jan.peeters@planted.example"
PASSWORD = "planted-Passw0rd!"
USER_ID = 987_654_321


@pytest.mark.expected_log(".")
@pytest.mark.parametrize("world", [PlantedWorld], indirect=True)
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
        hass, freezer, simulator, {**user_input, "password": PASSWORD}, USER
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
        "field": "moodOfAnna",
        "measurement": "annaMetrics",
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
    await home.add_export({registered: "moodOfAnna"}, **where)
    await home.add_export(
        {},
        fields=[{"entity": registered, "field": "who", "attribute": "who"}],
        **where,
        collector="annacollector",
        database="annadatabase",
        retention_policy="rp_of_anna",
        measurement="annaMetrics",
    )
    await home.wait(6)
    point = {
        "measurement": "gridMetrics",
        "tags": {"serialNr": "anna-tag-4711"},
        "fields": {"moodOfAnna": 1.0, "note": "pushed by anna"},
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
    outbox = json.loads(texts[0].partition("\n")[2])["data"]["outbox"]
    assert outbox["blocked"] == ["other"]
    assert outbox["rejects"]
    # Without the name of the file, in which Home Assistant puts that of the device
    texts += [
        (await download(client, home.entry, device)).partition("\n")[2]
        for device in devices(home)
    ]
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
        assert not found_in(text, secrets)


@pytest.mark.parametrize("world", [HomeWorld], indirect=True)
@pytest.mark.expected_log("refuses the log-in")
async def test_controller(
    hass: HomeAssistant,
    entry: EnirisConfigEntry,
    controller: SimulatedController,
    hass_client: ClientSessionGenerator,
) -> None:
    """How it is set up and what it has done, but nothing by which it, its webhook or anybody is known."""
    inverted = ["storage", HomeWorld.BATTERY]
    access = mqtt(controller, password="a-password")
    await add_controller(hass, entry, controller, webhook=WEBHOOK, inverted=inverted)
    [subentry] = entry.subentries.values()
    hass.config_entries.async_update_subentry(
        entry, subentry, data={**subentry.data, CONF_MQTT: access}
    )
    await settle(hass)
    assert await async_setup_component(hass, "diagnostics", {})
    client = await hass_client()
    data = await own_data(client, entry)
    running = entry.runtime_data.controllers[subentry.subentry_id]
    assert data["controllers"] == [
        {
            "webhook": {"period": "0:01:00"},
            "mqtt": {"host": controller.host, "port": controller.port, "tls": False},
            "inverted_groups": ["storage"],
            "inverted_nodes": 1,
            "signs_confirmed": True,
            "figures": running.figures(),
        }
    ]
    [device] = [
        device
        for device in dr.async_entries_for_config_entry(
            dr.async_get(hass), entry.entry_id
        )
        if device.serial_number == controller.serial
        and device.model == "SmartgridOne"
        and subentry.subentry_id in str(device.identifiers)
    ]
    part = await own_data(client, entry, device)
    assert part == {"account": data["account"], "controller": data["controllers"][0]}
    whole = json.dumps(data)
    for secret in (
        TOKEN,
        WEBHOOK_ID,
        "a-password",
        controller.serial,
        HomeWorld.BATTERY,
    ):
        assert secret not in whole
