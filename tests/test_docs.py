"""The documents, held against the code: links, tables, and examples that Home Assistant takes."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
import json
from pathlib import Path
import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

from freezegun.api import FrozenDateTimeFactory
import pytest
import voluptuous as vol

from custom_components.eniris import binary_sensor, button, sensor, switch
from custom_components.eniris.account import options_schema
from custom_components.eniris.api import Hosts
from custom_components.eniris.api.write import GZIP_FROM
from custom_components.eniris.const import DOMAIN, EVENT_HISTORY_EXPORTED
from custom_components.eniris.exporting.outbox.batches import BATCH_BYTES, BATCH_POINTS
from custom_components.eniris.exporting.outbox.live import REJECTS_KEPT
from custom_components.eniris.importing import catalogue
from custom_components.eniris.importing.catalogue import Kind, describe, directions
from custom_components.eniris.importing.history.importer import EVENT_IMPORTED
from homeassistant.components.automation.config import (
    async_validate_config_item as async_validate_automation,
)
from homeassistant.components.script.config import (
    async_validate_config_item as async_validate_script,
)
from homeassistant.config_entries import SOURCE_USER
from homeassistant.const import CONF_ENTITIES
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import section
from homeassistant.exceptions import TemplateError
from homeassistant.helpers import template
from homeassistant.helpers.selector import (
    BooleanSelector,
    NumberSelector,
    SelectSelector,
)
from homeassistant.setup import async_setup_component
from homeassistant.util.yaml import load_yaml_dict, parse_yaml
from simulator.faults import KINDS
from simulator.server import Simulator

from .export_kit import WHERE, Dialog, MeterWorld, home_with_account
from .source import PACKAGE, ROOT

README = ROOT / "README.md"
ENTITIES = ROOT / "docs" / "entities.md"
DOCUMENTS = [README, ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
BLUEPRINTS = sorted((ROOT / "blueprints").glob("*/*/*.yaml"))
TEXTS: Mapping[str, Any] = json.loads(
    (PACKAGE / "translations" / "en.json").read_text("utf-8")
)
MANIFEST: Mapping[str, Any] = json.loads((PACKAGE / "manifest.json").read_text("utf-8"))
SERVICES: Mapping[str, Any] = load_yaml_dict(str(PACKAGE / "services.yaml"))

CODE = re.compile(r"^([ ]*)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^()\s]+)\)")


@cache
def text_of(path: Path) -> str:
    """Return a document."""
    return path.read_text("utf-8")


def prose_of(path: Path) -> str:
    """Return a document without its blocks of code."""
    return CODE.sub("", text_of(path))


def anchors(path: Path) -> set[str]:
    """Return what can be linked to in a document, as GitHub makes it of headings."""
    headings = re.findall(r"^#+ (.+)$", prose_of(path), re.MULTILINE)
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        for heading in headings
    }


def links() -> Iterator[tuple[Path, str]]:
    """Yield each link and image of the documents."""
    for path in DOCUMENTS:
        for target in LINK.findall(prose_of(path)):
            yield path, target


def rows(path: Path, heading: str) -> list[list[str]]:
    """Return the rows of the tables under a heading and its subheadings, without their headers."""
    level = len(heading.split(maxsplit=1)[0])
    text = f"\n{prose_of(path)}"
    assert f"\n{heading}\n" in text
    part = text.split(f"\n{heading}\n", 1)[1]
    part = re.split(rf"^#{{1,{level}}} ", part, maxsplit=1, flags=re.MULTILINE)[0]
    found: list[list[str]] = []
    lines = [line.strip() for line in part.splitlines()]
    for number, line in enumerate(lines):
        if line.startswith("|"):
            following = lines[number + 1] if number + 1 < len(lines) else ""
            if not line.startswith("| ---") and not following.startswith("| ---"):
                cells = line.removeprefix("|").removesuffix("|").split("|")
                found.append([cell.strip() for cell in cells])
    assert found
    return found


# Links


@pytest.mark.parametrize(
    ("path", "target"),
    [(path, target) for path, target in links() if "://" not in target],
    ids=lambda value: value.name if isinstance(value, Path) else value,
)
def test_a_link_leads_somewhere(path: Path, target: str) -> None:
    """The file is there, and so is the heading."""
    name, _, anchor = target.partition("#")
    linked = (path.parent / name).resolve() if name else path
    assert linked.is_file()
    assert not anchor or anchor in anchors(linked)


def test_buttons_open_what_they_say() -> None:
    """The redirects of My Home Assistant name this integration, this repository, these blueprints."""
    repository = urlsplit(MANIFEST["documentation"]).path.strip("/")
    buttons: dict[str, list[dict[str, list[str]]]] = {}
    for _, target in links():
        url = urlsplit(target)
        if url.netloc == "my.home-assistant.io" and url.path.startswith("/redirect/"):
            name = url.path.split("/")[2]
            buttons.setdefault(name, []).append(parse_qs(url.query))
    owner, name = repository.split("/")
    assert buttons == {
        "hacs_repository": [
            {"owner": [owner], "repository": [name], "category": ["integration"]}
        ],
        "config_flow_start": [{"domain": [DOMAIN]}],
        "blueprint_import": buttons["blueprint_import"],
    }
    imported = [query["blueprint_url"][0] for query in buttons["blueprint_import"]]
    sources = [
        load_yaml_dict(str(path))["blueprint"]["source_url"] for path in BLUEPRINTS
    ]
    assert sorted(imported) == sorted(sources)


def test_images_say_what_they_show() -> None:
    """For whoever cannot see them."""
    images = re.findall(r"!\[(.*?)\]\((.*?)\)", prose_of(README))
    assert images
    assert all(alternative for alternative, _ in images)


# Examples


@dataclass(frozen=True)
class Example:
    """A block of YAML in a document."""

    path: Path
    number: int
    text: str

    def __str__(self) -> str:
        """Where it is."""
        return f"{self.path.name}-{self.number}"


EXAMPLES = [
    Example(path, number, re.sub(rf"(?m)^{indent}", "", text))
    for path in DOCUMENTS
    for number, (indent, language, text) in enumerate(CODE.findall(text_of(path)))
    if language == "yaml"
]


def calls(config: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the calls of our actions in a configuration, with their data."""
    if isinstance(config, dict):
        action = config.get("action")
        if isinstance(action, str) and action.startswith(f"{DOMAIN}."):
            yield action.removeprefix(f"{DOMAIN}."), config.get("data", {})
        for value in config.values():
            yield from calls(value)
    elif isinstance(config, list):
        for value in config:
            yield from calls(value)


def fields_of(action: str) -> dict[str, Mapping[str, Any]]:
    """Return the fields of an action, those in sections included."""
    fields: dict[str, Mapping[str, Any]] = {}
    for name, field in SERVICES[action]["fields"].items():
        fields |= field.get("fields", {name: field})
    return fields


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
async def test_home_assistant_takes_the_example(
    hass: HomeAssistant, example: Example
) -> None:
    """An automation is a valid automation, actions are a valid script."""
    config = parse_yaml(example.text)
    if isinstance(config, list):
        config = {"actions": config}
    assert isinstance(config, dict)
    if "triggers" in config:
        validated = await async_validate_automation(
            hass, "example", {"id": "example", "alias": "Example", **config}
        )
        assert validated is not None
        assert validated.validation_error is None
    elif "actions" in config or "sequence" in config or "action" in config:
        sequence = config.get("actions") or config.get("sequence") or [config]
        script = await async_validate_script(hass, "example", {"sequence": sequence})
        assert script is not None
        assert script.validation_error is None


@pytest.mark.parametrize(
    "example",
    [example for example in EXAMPLES if f"action: {DOMAIN}." in example.text],
    ids=str,
)
async def test_our_actions_take_the_example(
    hass: HomeAssistant, example: Example
) -> None:
    """The actions and fields are there, what is required is given, and what is given is valid."""
    assert await async_setup_component(hass, DOMAIN, {})
    for entity_id in re.findall(r"(?:states|has_value)\('([\w.]+)'\)", example.text):
        hass.states.async_set(entity_id, "1.5")
    found = list(calls(parse_yaml(example.text)))
    assert found
    for action, data in found:
        fields = fields_of(action)
        assert set(data) <= set(fields)
        required = {name for name, field in fields.items() if field.get("required")}
        assert required <= set(data)
        try:
            rendered = template.render_complex(
                _templates(hass, data),
                {},
            )
        except TemplateError:
            # It uses what only the automation has when it runs
            continue
        schema = hass.services.async_services()[DOMAIN][action].schema
        assert schema is not None
        assert schema(rendered)


def _templates(hass: HomeAssistant, value: Any) -> Any:
    """Return data of an action with templates in the place of texts that are some."""
    if isinstance(value, dict):
        return {key: _templates(hass, item) for key, item in value.items()}
    if isinstance(value, list):
        return [_templates(hass, item) for item in value]
    if isinstance(value, str) and template.is_template_string(value):
        return template.Template(value, hass)
    return value


def test_events_in_examples_are_ours() -> None:
    """An automation that waits for an event that never comes would never do anything."""
    named = {
        event
        for path in DOCUMENTS
        for event in re.findall(rf"\b{DOMAIN}_history_\w+", text_of(path))
    }
    assert named == {EVENT_HISTORY_EXPORTED, EVENT_IMPORTED}


# Tables


@pytest.mark.parametrize("action", SERVICES)
def test_every_action_is_documented(action: str) -> None:
    """In the README's table, and in the documents that go into detail."""
    [row] = [row for row in rows(README, "## Actions") if f"`{DOMAIN}.{action}`" in row]
    assert row[1]
    assert any(
        f"{DOMAIN}.{action}" in text_of(path)
        for path in DOCUMENTS
        if path.parent.name == "docs"
    )


def test_the_table_of_actions_names_no_other() -> None:
    """What was removed is not offered any more."""
    named = {row[0].strip("`") for row in rows(README, "## Actions")}
    assert named == {f"{DOMAIN}.{action}" for action in SERVICES}


def shown(selector: Any, value: Any) -> str:
    """Return a value of a form as the README writes it."""
    if isinstance(selector, NumberSelector):
        return f"{round(value)} {selector.config['unit_of_measurement']}"
    if isinstance(selector, SelectSelector) and "translation_key" in selector.config:
        key = selector.config["translation_key"]
        name: str = TEXTS["selector"][key]["options"][value]
        return name
    if isinstance(selector, BooleanSelector):
        return "on" if value else "off"
    return f"`{value}`"


def possible(selector: Any) -> str | None:
    """Return which values a form takes, as the README writes it; None where it need not say so."""
    if isinstance(selector, NumberSelector):
        config = selector.config
        return f"{round(config['min'])} to {shown(selector, config['max'])}"
    if isinstance(selector, SelectSelector) and "translation_key" in selector.config:
        return ", ".join(
            shown(selector, option) for option in selector.config["options"]
        )
    return None


def default_of(key: Any) -> Any:
    """Return what a field of a form holds at first, None for nothing."""
    suggested = (key.description or {}).get("suggested_value")
    if suggested is not None:
        return suggested
    return None if isinstance(key.default, vol.Undefined) else key.default()


def check_row(row: list[str], key: Any, selector: Any) -> None:
    """Check what a row says of a field: its default and, in a table that tells, what it can be."""
    # A number becomes a whole one behind its selector
    selector = getattr(selector, "validators", [selector])[0]
    default = default_of(key)
    if default not in (None, "", [], [""]):
        assert row[-1].split(";")[0] == shown(selector, default)
    if len(row) == 4 and (range_ := possible(selector)) is not None:
        assert row[2] == range_


def test_every_option_is_documented_with_its_bounds_and_default() -> None:
    """As the form has it."""
    documented = {row[0].split(": ")[-1]: row for row in rows(README, "### Options")}
    steps = TEXTS["options"]["step"]["settings"]["sections"]
    labels = set()
    for name, part in options_schema([str]).schema.items():
        assert isinstance(part, section)
        for key, selector in part.schema.schema.items():
            label = steps[name.schema]["data"][key.schema]
            labels.add(label)
            check_row(documented[label], key, selector)
    assert labels == set(documented)


async def test_every_installation_parameter_is_documented(hass: HomeAssistant) -> None:
    """With the addresses that are there at first."""
    documented = {row[0]: row for row in rows(README, "### Installation parameters")}
    form = await hass.config_entries.flow.async_init(
        DOMAIN, context={"source": SOURCE_USER}
    )
    step = TEXTS["config"]["step"]["user"]
    assert form["data_schema"] is not None
    for key, part in form["data_schema"].schema.items():
        if isinstance(part, section):
            advanced = step["sections"][key.schema]
            for inner, selector in part.schema.schema.items():
                label = f"{advanced['name']}: {advanced['data'][inner.schema]}"
                check_row(documented[label], inner, selector)
        else:
            assert step["data"][key.schema] in documented
    hosts = Hosts()
    assert [row[-1] for name, row in documented.items() if "address" in name] == [
        f"`{address}`" for address in (hosts.authentication, hosts.api, hosts.ingress)
    ]
    for name in ("totp", "email_otp", "history"):
        labels = TEXTS["config"]["step"][name]["data"]
        # A box beside the code leads on; it is no parameter
        assert {label for key, label in labels.items() if key != "other_way"} <= set(
            documented
        )


@pytest.fixture
def world() -> MeterWorld:
    """Return a small world."""
    return MeterWorld()


async def test_every_parameter_of_an_export_is_documented(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    simulator: Simulator,
    user_input: dict[str, Any],
) -> None:
    """As the dialog asks for it, step by step."""
    home = await home_with_account(hass, freezer, simulator, user_input)
    home.add_power()
    documented = rows(README, "### Exports")
    labels: set[str] = set()

    def check(step: str, result: Mapping[str, Any]) -> None:
        texts = TEXTS["config_subentries"]["export"]["step"][step]["data"]
        for key, selector in result["data_schema"].schema.items():
            label = texts[key.schema]
            labels.add(label)
            candidates = [row for row in documented if row[0] == label]
            if len(candidates) > 1:
                # Both ways of sending have it, in the order of the menu
                candidates = candidates[:1] if step == "change" else candidates[1:]
            [row] = candidates
            check_row(row, key, selector)

    async def walk(mode: str) -> None:
        dialog = Dialog(home)
        check("user", await dialog.open())
        check("entities", await dialog.submit(WHERE))
        await dialog.submit({CONF_ENTITIES: ["sensor.p1_power"], "attributes": False})
        await dialog.submit(dialog.shown)
        check(mode, await dialog.choose(mode))

    await walk("change")
    await walk("interval")
    assert labels == {row[0] for row in documented}


def named(key: str | None, platform: str, **placeholders: str) -> str:
    """Return what an entity is called."""
    name: str = TEXTS["entity"][platform][key]["name"]
    return name.format(**placeholders)


def entities() -> Iterator[tuple[str, str, bool]]:
    """Yield the name, unit and whether it is enabled at first, of each entity there can be."""
    described = [
        *(("", description) for description in catalogue.CATALOGUE.values()),
        *(
            (key[0], description)
            for key, description in catalogue._OF_MEASUREMENT.items()
        ),
    ]
    for measurement, description in [*described]:
        shown_as = [description]
        for name in {measurement, "gridMetrics", "batteryMetrics"}:
            shown_as += directions(name, describe(name, description.key))
        if description.accumulates:
            shown_as.append(catalogue.beside_counter(description))
        for item in shown_as:
            platform = "binary_sensor" if item.kind is Kind.FLAG else "sensor"
            unit = item.suggested_unit_of_measurement or item.native_unit_of_measurement
            yield (
                named(item.translation_key, platform, **dict(item.placeholders)),
                unit or "",
                item.entity_registry_enabled_default,
            )
    for other, platform in (
        *((item, "sensor") for item in sensor.NODE_SENSORS),
        *((item, "sensor") for item in sensor.ACCOUNT_SENSORS),
        *((item, "sensor") for item in sensor.EXPORT_SENSORS),
        (sensor.HISTORY_PROGRESS, "sensor"),
        (sensor.EXPORT_HISTORY, "sensor"),
        (binary_sensor.CONNECTED, "binary_sensor"),
        (button.REFRESH, "button"),
        (button.UPLOAD_NOW, "button"),
        (switch.ENABLED, "switch"),
    ):
        texts = TEXTS["entity"][platform][other.translation_key]
        unit = (
            getattr(other, "suggested_unit_of_measurement", None)
            or getattr(other, "native_unit_of_measurement", None)
            or texts.get("unit_of_measurement", "")
        )
        yield texts["name"], unit, other.entity_registry_enabled_default
    # Home Assistant names it by its device class
    assert binary_sensor.PROBLEM.device_class is not None
    yield binary_sensor.PROBLEM.device_class.capitalize(), "", True


def test_every_entity_is_documented_as_it_is() -> None:
    """By name, with its unit and whether it is there at first; and none that does not exist."""
    documented = set()
    for names, _, units, at_first in rows(ENTITIES, "# Entities"):
        listed = names.split(" / ")
        each = units.split(" / ")
        for name, unit in zip(
            listed, each * len(listed) if len(each) == 1 else each, strict=True
        ):
            documented.add((name, unit, at_first == "on"))
    assert documented == set(entities())


def test_every_script_is_documented() -> None:
    """For whoever wants to take part."""
    listed = {row[0].strip("`") for row in rows(ROOT / "CONTRIBUTING.md", "## Set-up")}
    for path in (ROOT / "scripts").iterdir():
        if path.is_file() and not path.suffix and not path.name.startswith("_"):
            assert f"scripts/{path.name}" in listed


def test_every_repair_issue_is_documented() -> None:
    """By the beginning of its title, before what tells it from others of its kind, and no other."""
    listed = re.findall(r"^\| Repair issue \*(.+?)\* \|", text_of(README), re.MULTILINE)
    titles = [
        re.sub(r"\{\w+\}", "…", re.split(r":| \(", issue["title"])[0])
        for issue in TEXTS["issues"].values()
    ]
    assert sorted(listed) == sorted(titles)


def test_the_guarantees_have_the_numbers_of_the_code() -> None:
    """Sizes of requests, and how much is kept."""
    text = text_of(ROOT / "docs" / "export.md")
    assert f"up to {BATCH_POINTS:,} points" in text
    assert (
        f"{BATCH_BYTES // 2**20} MiB, compressed from {GZIP_FROM // 2**10} KiB" in text
    )
    assert f"the newest {REJECTS_KEPT:,} are kept" in text


@pytest.mark.parametrize(
    "module",
    sorted(
        path.relative_to(PACKAGE).with_suffix("").as_posix()
        for path in PACKAGE.rglob("*.py")
        if path.name != "__init__.py"
    ),
)
def test_every_module_has_its_place_in_the_architecture(module: str) -> None:
    """In the row of its folder, or by itself."""
    folder, _, name = module.rpartition("/")
    listed = rows(ROOT / "docs" / "architecture.md", "## What is where")
    candidates = [row for row in listed if not folder or row[0] == f"`{folder}/`"]
    assert any(f"`{name}`" in cell for row in candidates for cell in row)


def test_the_simulator_is_documented_as_it_is(simulator: Simulator) -> None:
    """Its accounts, and the ways in which it can fail."""
    path = ROOT / "docs" / "simulator.md"
    documented = {row[0].strip("`") for row in rows(path, "# The simulator")}
    assert documented == {account.username for account in simulator.accounts}
    for kind in KINDS:
        assert f"`{kind}`" in text_of(path)
