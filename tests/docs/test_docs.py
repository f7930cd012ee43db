"""The documents' examples and parameters: Home Assistant takes them, and the forms have them.

What can be seen without running anything is in `scripts/checks`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
import re
from typing import Any

from freezegun.api import FrozenDateTimeFactory
import pytest
import voluptuous as vol

from custom_components.eniris.account import options_schema
from custom_components.eniris.api import Hosts
from custom_components.eniris.const import DOMAIN, EVENT_HISTORY_EXPORTED
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
from homeassistant.util.yaml import parse_yaml
from scripts.checks.documents import CODE, DOCS, DOCUMENTS, rows, text_of
from scripts.checks.files import ENGLISH as TEXTS, SERVICES
from simulator.server import Simulator
from tests.kit.exports import WHERE, Dialog, MeterWorld, home_with_account

OPTIONS = DOCS / "options.md"

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
            rendered = template.render_complex(_templates(hass, data), {})
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


# Parameters


def shown(selector: Any, value: Any) -> str:
    """Return a value of a form as the documents write it."""
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
    """Return which values a form takes, as the documents write it; None where it need not say so."""
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
    documented = {
        row[0].split(": ")[-1]: row
        for row in rows(OPTIONS, "## Options of the account")
    }
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
    documented = {row[0]: row for row in rows(OPTIONS, "## Installation parameters")}
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
    documented = rows(DOCS / "export.md", "## Set up a data export")
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
