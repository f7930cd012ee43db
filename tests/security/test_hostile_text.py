"""Text that wants to be more than text: in the service's metadata, values and errors."""

from collections.abc import Mapping, Sequence
from datetime import datetime
import json
from pathlib import Path
import re
from typing import Any

import pytest
from pytest_homeassistant_custom_component.typing import ClientSessionGenerator

from custom_components.eniris.const import DOMAIN

# What Home Assistant adds to the file imports it, which cannot be done while time stands still
import homeassistant.components.hassio  # noqa: F401
from homeassistant.const import EVENT_HOMEASSISTANT_FINAL_WRITE
from homeassistant.helpers import device_registry as dr, entity_registry as er, template
from homeassistant.setup import async_setup_component
from tests.kit.common import settle
from tests.kit.exports import INGRESS, POWER, Home, MeterWorld

METER = "meter"

TEXTS: Mapping[str, str] = {
    "script": "<script>alert(document.cookie)</script>",
    "image": "<img src=x onerror=alert(1)>",
    "markdown link": "[click](https://evil.example/?q=1)",
    "markdown image": "![x](https://evil.example/pixel.png)",
    "jinja": "{{ states.sensor | list }}{% for x in range(9**9) %}x{% endfor %}",
    "icu": "{name, plural, one {x} other {y}} {0} {}",
    "percent": "%s %(name)s %n %d",
    "sql": "'; DROP TABLE sample; --\" OR 1=1",
    "path": "../../../../etc/passwd",
    "windows path": "..\\..\\secrets.yaml",
    "nul": "a\0b",
    "log line": "x\n2026-07-01 12:00:00.000 ERROR (MainThread) [forged] it is broken",
    "carriage return": "x\r\x1b[2K\x1b[31mred",
    "line separator": "x\u2028y\u2029z\x85",
    "right to left": "\u202egnp.exe\u2066",
    "emoji": "👩‍👩‍👧‍👦 🇧🇪",
    "half an emoji": "x\ud83d",
    "combining": "Z̸̢͠a̵͝l̶̛g̷͘o" * 5,
    "huge": "A" * 2**20,
    "huge with spaces": "ab " * 2**18,
    "yaml": "!secret api_password",
    "csv": '=HYPERLINK("https://evil.example")',
}
HARMLESS = "Kitchen"


class HostileWorld(MeterWorld):
    """The small world with one hostile text wherever the service has text."""

    def __init__(self, text: str) -> None:
        """Say `text` in all places."""
        super().__init__()
        self.text = text

    def devices(self, now: datetime) -> Sequence[dict[str, Any]]:
        """Return a sound site and meter, and nodes that are called by the text, or found by it."""
        site, meter = super().devices(now)
        text = self.text
        named = {
            **meter["properties"],
            "nodeId": "named",
            "name": text,
            "nodeType": text,
            "info": {
                "manufacturer": text,
                "model": text,
                "serialNumber": text,
                "protocolDriverParameters": {"firmwareVersion": text},
                text[:100]: text,
            },
        }
        found = {**named, "nodeId": text, "nodeParentsIds": [text], "name": HARMLESS}
        series = meter["properties"]["nodeInfluxSeries"]
        odd = [
            {**info, "measurement": text, "database": text, "retentionPolicy": text}
            for info in series
        ]
        fields = [{**info, "fields": [*info["fields"], text]} for info in series]
        tags = [{**info, "tags": {text: text, "nodeId": text}} for info in series]
        told = {**named, "nodeId": "told", "nodeInfluxSeries": [*odd, *fields, *tags]}
        return [
            site,
            meter,
            *(
                {"id": 500 + number, "lastUpdate": "x", "properties": properties}
                for number, properties in enumerate((named, found, told))
            ),
        ]


@pytest.fixture
def world(request: pytest.FixtureRequest) -> HostileWorld:
    """Return a world that says a text."""
    return HostileWorld(TEXTS[request.param])


def shown_by(home: Home) -> list[str]:
    """Return everything that a user sees of the account in devices, entities and states."""
    entry_id = home.entry.entry_id
    shown: list[str | None] = []
    for device in dr.async_entries_for_config_entry(dr.async_get(home.hass), entry_id):
        shown += [device.name, device.manufacturer, device.model]
        shown += [device.serial_number, device.sw_version]
    for entity in er.async_entries_for_config_entry(er.async_get(home.hass), entry_id):
        shown += [entity.entity_id, entity.original_name]
        state = home.hass.states.get(entity.entity_id)
        if state is not None:
            shown += [state.state, state.attributes.get("friendly_name")]
    return [text for text in shown if text]


def files_of(home: Home) -> dict[str, bytes]:
    """Return all files of the configuration, by path."""
    root = Path(home.hass.config.config_dir)
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file()
    }


@pytest.mark.expected_log("fetching Eniris")
@pytest.mark.usefixtures("real_storage")
# Half an emoji is no JSON, and the answer none; the others are of the kind of one that is tried
@pytest.mark.parametrize(
    "world",
    sorted(
        TEXTS.keys()
        - {"half an emoji", "image", "markdown image", "windows path", "percent"}
        - {"huge", "yaml", "csv"}
    ),
    indirect=True,
)
async def test_in_metadata(
    home: Home,
    world: HostileWorld,
    hass_client: ClientSessionGenerator,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Names are a short line; ids are ids; nothing else than before is on disk; the rest works."""
    hass, simulator = home.hass, home.simulator
    simulator.faults.add(
        "/v1/telemetry/query", "status", status=503, message=world.text, times=1
    )
    await home.wait(240, step=60)
    meter = home.entry.runtime_data.nodes.data.by_id[METER]
    assert home.entry.runtime_data.nodes.last_update_success
    assert home.entry.runtime_data.telemetry.last_update_success
    assert meter.device.series
    # What is shown is one line of a length that can be read
    texts = shown_by(home)
    assert texts
    for text in texts:
        assert len(text) <= 255
        assert not re.search(
            r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]", text
        )
    for entity in er.async_entries_for_config_entry(
        er.async_get(hass), home.entry.entry_id
    ):
        assert re.fullmatch(r"[a-z_]+\.[a-z0-9_]+", entity.entity_id)
        assert len(entity.unique_id) < 1000
    # A name that is no more than odd is shown as it is
    if world.text.isprintable() and len(world.text) <= 100:
        assert world.text in [
            device.name
            for device in dr.async_entries_for_config_entry(
                dr.async_get(hass), home.entry.entry_id
            )
        ]
    # No template of ours renders what somebody else wrote
    named = next(t for t in texts if t)
    assert template.Template("{{ x }}", hass).async_render({"x": named}) is not None
    # A line of the log is a line of ours
    for record in caplog.records:
        if "eniris" in record.name:
            assert "\n" not in record.getMessage()
            assert "\x1b" not in record.getMessage()
            assert len(record.getMessage()) < 2000
    # Diagnostics are made, and are JSON
    assert await async_setup_component(hass, "diagnostics", {})
    [user] = [user for user in await hass.auth.async_get_users() if user.is_admin]
    token = next(iter(user.refresh_tokens.values()))
    client = await hass_client(hass.auth.async_create_access_token(token))
    response = await client.get(f"/api/diagnostics/config_entry/{home.entry.entry_id}")
    assert response.status == 200
    json.loads(await response.text())
    # Everything can be written down, in the files that there are anyway
    hass.bus.async_fire(EVENT_HOMEASSISTANT_FINAL_WRITE)
    await settle(hass)
    for name, data in files_of(home).items():
        assert re.fullmatch(r"\.storage/[\w.-]+", name)
        assert len(data) < 2**20, name
    json.loads(files_of(home)[".storage/core.device_registry"])
    assert not (Path(hass.config.config_dir).parent / "etc").exists()


# Values and names on their way out


@pytest.mark.parametrize("world", ["emoji"], indirect=True)
async def test_in_states(home: Home) -> None:
    """What an entity shows is a value, in the outbox and at the service; SQL in it is text."""
    entity = home.add_entity("sensor.mood", "calm")
    await home.add_export(
        {entity: "mood"}, tags={"serialNr": "'; DROP TABLE sample;--"}
    )
    await home.wait(6)
    sent = ["calm"]
    for name, text in TEXTS.items():
        if len(text) > 255 or "half" in name:
            continue
        home.hass.states.async_set("sensor.mood", text)
        await home.wait(3)
        sent.append(text)
    await home.wait(10)
    assert home.values("mood") == sent
    tags = [dict(point.tags) for point in home.points(field_name="mood")]
    assert tags == [{"serialNr": "'; DROP TABLE sample;--"}] * len(sent)
    figures = await home.entry.runtime_data.exporter.outbox.refresh_figures()
    assert sum(figure.waiting for figure in figures.values()) == 0


# The service's words in what the frontend renders as Markdown

PLACEHOLDER = re.compile(r"(`?)\{error\}(`?)")
OF_THE_DISK = {"outbox_failed", "outbox_closed", "not_on_disk"}
"""Texts whose error is this machine's own."""


def markdown_texts() -> list[tuple[str, str]]:
    """Return each text that the frontend renders as Markdown and that quotes the service, by language."""
    found = []
    for path in sorted(
        Path(f"custom_components/{DOMAIN}/translations").resolve().glob("*.json")
    ):
        texts = json.loads(path.read_text("utf-8"))
        for key, issue in texts["issues"].items():
            if key in OF_THE_DISK:
                continue
            flow = issue.get("fix_flow", {"step": {}, "abort": {}})
            found += [step.get("description", "") for step in flow["step"].values()]
            found += [
                text for key, text in flow["abort"].items() if key not in OF_THE_DISK
            ]
        steps = texts["config_subentries"]["export"]["step"]
        found += [step.get("description", "") for step in steps.values()]
        steps = texts["config"]["step"]
        found += [step.get("description", "") for step in steps.values()]
        found = [(path.name, text) if isinstance(text, str) else text for text in found]
    return [(name, text) for name, text in found if "{error}" in text]


def test_the_services_words_are_quoted_as_code() -> None:
    """In every language: between backticks neither links nor images nor HTML are anything."""
    texts = markdown_texts()
    assert len(texts) == 5 * 13
    for language, text in texts:
        for before, after in PLACEHOLDER.findall(text):
            assert before == after == "`", f"{language}: {text}"


@pytest.mark.expected_log("cannot be uploaded at present")
@pytest.mark.parametrize("world", ["emoji"], indirect=True)
@pytest.mark.parametrize("status", [403, 404])
async def test_in_repair_issues(home: Home, status: int) -> None:
    """What is quoted has no backtick with which it could end the quotation, and is one line."""
    said = (
        "`![x](https://evil.example/pixel.png)` <img src=x>\n\n# Heading ``"
        + TEXTS["right to left"]
    )
    home.simulator.faults.add(INGRESS, "status", status=status, message=said)
    home.add_power()
    await home.add_export({POWER: "actualPowerTot_W"})
    await home.wait(6)
    [placeholders] = home.issues().values()
    error = placeholders["error"]
    assert "evil.example" in error
    assert "`" not in error
    assert error.isprintable()
    for key, text in placeholders.items():
        if key != "error":
            assert "evil" not in text
