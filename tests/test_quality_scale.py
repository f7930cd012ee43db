"""The quality scale: `quality_scale.yaml` says of every rule what the code says, too.

A rule that is done has a check here, or is proved by tests that are named here, or was looked at by people.
"""

import ast
from collections.abc import Callable
from itertools import pairwise
import json
from pathlib import Path
import re
import tomllib
from typing import Any

import pytest

from custom_components.eniris.config_flow import EnirisConfigFlow
from custom_components.eniris.const import DOMAIN
from custom_components.eniris.data import EnirisConfigEntry
from homeassistant.components.sensor import SensorDeviceClass
from homeassistant.const import EntityCategory, Platform
from homeassistant.core import HomeAssistant
from homeassistant.helpers import device_registry as dr, entity_registry as er
from homeassistant.setup import async_setup_component
from homeassistant.util.yaml import load_yaml_dict

from . import source
from .common import add_export, settle
from .source import PACKAGE, ROOT

TIERS = {
    "Bronze": {
        "action-setup",
        "appropriate-polling",
        "brands",
        "common-modules",
        "config-flow-test-coverage",
        "config-flow",
        "dependency-transparency",
        "docs-actions",
        "docs-conditions",
        "docs-high-level-description",
        "docs-installation-instructions",
        "docs-removal-instructions",
        "docs-triggers",
        "entity-event-setup",
        "entity-unique-id",
        "has-entity-name",
        "runtime-data",
        "test-before-configure",
        "test-before-setup",
        "unique-config-entry",
    },
    "Silver": {
        "action-exceptions",
        "config-entry-unloading",
        "docs-configuration-parameters",
        "docs-installation-parameters",
        "entity-unavailable",
        "integration-owner",
        "log-when-unavailable",
        "parallel-updates",
        "reauthentication-flow",
        "test-coverage",
    },
    "Gold": {
        "devices",
        "diagnostics",
        "discovery",
        "discovery-update-info",
        "docs-data-update",
        "docs-examples",
        "docs-known-limitations",
        "docs-supported-devices",
        "docs-supported-functions",
        "docs-troubleshooting",
        "docs-use-cases",
        "dynamic-devices",
        "entity-category",
        "entity-device-class",
        "entity-disabled-by-default",
        "entity-translations",
        "exception-translations",
        "icon-translations",
        "reconfiguration-flow",
        "repair-issues",
        "stale-devices",
    },
    "Platinum": {"async-dependency", "inject-websession", "strict-typing"},
}

LOOKED_AT = {
    # That what the sections say is true and enough
    "docs-high-level-description",
}
"""Rules of which no machine can tell whether they are kept."""

PROVED = {
    "config-entry-unloading": [
        "test_unload_leaves_nothing",
        "test_no_request_after_unload",
    ],
    "dynamic-devices": [
        "test_new_node_and_new_field",
        "test_new_node",
    ],
    "entity-unavailable": [
        "test_outage",
        "test_stale_value",
        "test_failing_poll",
    ],
    "log-when-unavailable": [
        "test_one_line_at_either_end_of_an_outage",
        "test_changing_failures_are_one_outage",
    ],
    "reauthentication-flow": [
        "test_log_in_again",
        "test_log_in_again_as_somebody_else",
        "test_log_in_again_with_a_second_factor",
    ],
    "stale-devices": [
        "test_vanished_node",
        "test_user_deletes_a_device",
    ],
    "test-before-configure": [
        "test_wrong_password",
        "test_unreachable",
        "test_answers_that_are_not_eniris",
    ],
    "unique-config-entry": [
        "test_account_that_is_set_up_already",
    ],
}
"""By rule: tests elsewhere that would fail if it were not kept."""

HEADINGS = {
    "docs-actions": "## Actions",
    "docs-configuration-parameters": "### Options",
    "docs-data-update": "## Data updates",
    "docs-examples": "## Examples",
    "docs-installation-instructions": "## Installation",
    "docs-installation-parameters": "### Installation parameters",
    "docs-known-limitations": "## Known limitations",
    "docs-removal-instructions": "## Removal",
    "docs-supported-devices": "## Supported nodes",
    "docs-supported-functions": "## Supported functions",
    "docs-troubleshooting": "## Troubleshooting",
    "docs-use-cases": "## Use cases",
}

EXCEPTIONS = (
    "ConfigEntryAuthFailed",
    "ConfigEntryError",
    "ConfigEntryNotReady",
    "HomeAssistantError",
    "ServiceValidationError",
    "UpdateFailed",
)
"""Those of Home Assistant that a user gets to read."""

WITHOUT_UNIT_BY_NATURE = {
    SensorDeviceClass.DATE,
    SensorDeviceClass.ENUM,
    SensorDeviceClass.POWER_FACTOR,
    SensorDeviceClass.TIMESTAMP,
}

SCALE: dict[str, Any] = load_yaml_dict(str(PACKAGE / "quality_scale.yaml"))
RULES: dict[str, Any] = SCALE["rules"]
MANIFEST: dict[str, Any] = json.loads((PACKAGE / "manifest.json").read_text("utf-8"))
ICONS: dict[str, Any] = json.loads((PACKAGE / "icons.json").read_text("utf-8"))
ENGLISH: dict[str, Any] = json.loads(
    (PACKAGE / "translations" / "en.json").read_text("utf-8")
)
TESTS = [
    path
    for path in Path(__file__).parent.rglob("test_*.py")
    if path.name not in (Path(__file__).name, "test_translations.py")
]
README = (ROOT / "README.md").read_text("utf-8")
PLATFORMS = [
    path
    for path in PACKAGE.glob("*.py")
    if path.stem in {platform.value for platform in Platform}
]

_CHECKED: set[str] = set(HEADINGS)


def checks[**P, R](*rules: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Note that a test checks rules."""
    _CHECKED.update(rules)
    return lambda test: test


def done(rule: str) -> bool:
    """Tell whether the file says that a rule is kept."""
    status = RULES[rule]
    return (status if isinstance(status, str) else status["status"]) == "done"


def functions(name: str) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Return every function of a name."""
    return [
        node
        for module in source.modules()
        for node in module.walk()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name == name
    ]


def function(path: str, name: str) -> ast.FunctionDef | ast.AsyncFunctionDef:
    """Return the function of a name at the top of a file."""
    [found] = [
        node
        for node in source.Module(PACKAGE / path).tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name == name
    ]
    return found


def called(node: ast.AST) -> set[str]:
    """Return the names of what is called somewhere in a function."""
    return {
        source.callee(inner) for inner in ast.walk(node) if isinstance(inner, ast.Call)
    }


# The file itself


def test_every_rule() -> None:
    """The file has every rule of all tiers, and no other."""
    assert set(SCALE) == {"rules"}
    assert set(RULES) == set().union(*TIERS.values())


@pytest.mark.parametrize("rule", RULES)
def test_status(rule: str) -> None:
    """A rule is kept, or does not apply for a reason that is told."""
    status = RULES[rule]
    if status == "done":
        return
    assert set(status) == {"status", "comment"}
    assert status["status"] == "exempt"
    assert len(status["comment"].split()) > 5
    assert status["comment"].strip().endswith(".")


def test_tiers_in_the_file() -> None:
    """The rules stand under their tiers."""
    text = (PACKAGE / "quality_scale.yaml").read_text("utf-8")
    parts = re.split(r"^  # (\w+)$", text, flags=re.MULTILINE)
    listed = {
        tier: set(re.findall(r"^  ([a-z-]+):", rules, re.MULTILINE))
        for tier, rules in zip(parts[1::2], parts[2::2], strict=True)
    }
    assert listed == TIERS


def test_nothing_is_claimed_unseen() -> None:
    """Of every rule that is done it is known who says so: a check, tests elsewhere, or people."""
    claimed = {rule for rule in RULES if done(rule)}
    assert claimed <= _CHECKED | set(PROVED) | LOOKED_AT
    assert not LOOKED_AT & (_CHECKED | set(PROVED))


@pytest.mark.parametrize("name", [name for names in PROVED.values() for name in names])
def test_proofs_exist(name: str) -> None:
    """The tests that are named as proofs are there, and run."""
    found = [
        node
        for path in TESTS
        for node in ast.parse(path.read_text("utf-8")).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name == name
    ]
    assert found
    for node in found:
        decorators = {ast.unparse(decorator) for decorator in node.decorator_list}
        assert not any("skip" in text or "xfail" in text for text in decorators)


# Documents


@pytest.mark.parametrize("rule", HEADINGS)
def test_documents(rule: str) -> None:
    """The README has a section for each rule on documents, and it says something."""
    assert done(rule)
    heading = HEADINGS[rule]
    lines = README.splitlines()
    assert lines.count(heading) == 1, heading
    level = heading.split()[0]
    section: list[str] = []
    for line in lines[lines.index(heading) + 1 :]:
        if re.match(rf"#{{1,{len(level)}}} ", line):
            break
        section.append(line)
    assert len(" ".join(section).split()) > 20, heading


def test_high_level_description() -> None:
    """The first paragraph tells what this is, with a link to whose service it is for."""
    paragraphs = [
        part
        for part in README.split("\n\n")
        if part.strip() and not part.startswith(("#", "!["))
    ]
    assert re.search(r"\[Eniris\]\(https://", paragraphs[0])


def test_documents_name_all_actions() -> None:
    """The section on actions has every action."""
    section = README.split("\n## Actions\n")[1].split("\n## ")[0]
    for action in ENGLISH["services"]:
        assert action in section, action


# Bronze


@checks("action-setup")
async def test_action_setup(hass: HomeAssistant) -> None:
    """The actions are there as soon as the integration is, and nothing but a stop ends them."""
    assert await async_setup_component(hass, DOMAIN, {})
    assert set(hass.services.async_services_for_domain(DOMAIN)) == set(
        ENGLISH["services"]
    )
    for name in ("async_setup_entry", "async_unload_entry"):
        assert not called(function("__init__.py", name)) & {
            "async_register",
            "async_remove",
            "async_setup_services",
        }


@checks("appropriate-polling")
async def test_polling(entry: EnirisConfigEntry) -> None:
    """Values are asked for once a minute, metadata every quarter of an hour."""
    for coordinator, shortest in (
        (entry.runtime_data.telemetry, 60),
        (entry.runtime_data.nodes, 900),
    ):
        interval = coordinator.update_interval
        assert interval is not None
        assert interval.total_seconds() >= shortest
    for path in PLATFORMS:
        assert "SCAN_INTERVAL" not in path.read_text("utf-8")


@checks("brands")
def test_brand() -> None:
    """Home Assistant finds an icon and a logo; tests/test_package.py looks at them."""
    assert {"icon.png", "logo.png"} <= {
        path.name for path in (PACKAGE / "brand").iterdir()
    }


@checks("common-modules")
def test_common_modules() -> None:
    """The base of entities and the coordinators have modules of their own, which the platforms share."""
    assert (PACKAGE / "entity.py").is_file()
    for module in source.modules():
        for node in module.tree.body:
            if isinstance(node, ast.ClassDef) and any(
                "DataUpdateCoordinator" in ast.unparse(base) for base in node.bases
            ):
                assert module.path.name in ("coordinator.py", "forecast.py"), node.name


@checks("config-flow", "config-flow-test-coverage")
def test_config_flow() -> None:
    """The account is set up in the user interface, every field is explained, and every step tested."""
    assert MANIFEST["config_flow"] is True
    steps = ENGLISH["config"]["step"]
    for name, step in steps.items():
        for part in (step, *step.get("sections", {}).values()):
            assert set(part.get("data", {})) == set(part.get("data_description", {})), (
                name
            )
    tests = "".join(path.read_text("utf-8") for path in TESTS)
    for name in steps:
        assert f'"{name}"' in tests, f"no test names the step {name}"
    for key in (*ENGLISH["config"]["error"], *ENGLISH["config"]["abort"]):
        assert f'"{key}"' in tests, f"no test provokes {key}"


@checks("entity-event-setup")
def test_event_setup() -> None:
    """Entities begin to listen when they are added, and stop by themselves."""
    for module in source.modules():
        for node in module.walk():
            if not isinstance(node, ast.ClassDef) or not any(
                "Entity" in ast.unparse(base) for base in node.bases
            ):
                continue
            for method in node.body:
                if not isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef):
                    continue
                listening = {
                    name
                    for name in called(method)
                    if re.fullmatch(
                        r"async_(add_\w*listener|listen\w*|track_\w+)", name
                    )
                    or name == "async_dispatcher_connect"
                }
                if listening:
                    where = f"{module.name}: {node.name}.{method.name}"
                    assert method.name == "async_added_to_hass", where
                    assert "async_on_remove" in called(method), where


@checks(
    "entity-unique-id",
    "has-entity-name",
    "devices",
    "entity-category",
    "entity-translations",
)
async def test_entities(hass: HomeAssistant, entry: EnirisConfigEntry) -> None:
    """Every entity of a home has an identity, a device, and a name of its own that is translated."""
    add_export(hass, entry)
    await settle(hass)
    entities = er.async_entries_for_config_entry(er.async_get(hass), entry.entry_id)
    assert len(entities) > 50
    assert len({(each.domain, each.unique_id) for each in entities}) == len(entities)
    devices = dr.async_get(hass)
    for each in entities:
        assert entry.unique_id is not None
        assert each.unique_id.startswith(f"{entry.unique_id}_"), each.entity_id
        assert each.has_entity_name, each.entity_id
        assert each.device_id is not None, each.entity_id
        device = devices.async_get(each.device_id)
        assert device is not None
        assert device.name
        if each.translation_key is None:
            # Named by its class, or by its field where the catalogue does not know that
            assert each.original_device_class or each.original_name, each.entity_id
        else:
            texts = ENGLISH["entity"][each.domain][each.translation_key]
            assert texts["name"], each.entity_id
    # What tells of the account or of an export, rather than of the home, is no main matter
    nodes = entry.runtime_data.nodes.data.by_id
    for each in entities:
        if not any(f"_{node_id}_" in each.unique_id for node_id in nodes):
            assert each.entity_category in (
                EntityCategory.DIAGNOSTIC,
                EntityCategory.CONFIG,
            ), each.entity_id


@checks("entity-device-class")
async def test_device_classes(hass: HomeAssistant, entry: EnirisConfigEntry) -> None:
    """What is measured in a unit of which there is a class has that class."""
    entities = er.async_entries_for_config_entry(er.async_get(hass), entry.entry_id)
    units = {"W", "Wh", "kWh", "V", "A", "Hz", "VA", "var", "°C", "lx", "W/m²", "s"}
    measured = [each for each in entities if each.unit_of_measurement in units]
    assert len(measured) > 20
    for each in measured:
        assert each.original_device_class, each.entity_id
    for each in entities:
        if each.domain == "sensor" and each.original_device_class is not None:
            has_unit = each.unit_of_measurement is not None
            is_bare = each.original_device_class in WITHOUT_UNIT_BY_NATURE
            assert has_unit != is_bare, each.entity_id


@checks("entity-disabled-by-default")
async def test_disabled(hass: HomeAssistant, entry: EnirisConfigEntry) -> None:
    """What few look at, and what is noisy, waits to be enabled; what a house is about does not."""
    entities = er.async_entries_for_config_entry(er.async_get(hass), entry.entry_id)
    by_class: dict[str | None, set[bool]] = {}
    for each in entities:
        by_class.setdefault(each.original_device_class, set()).add(each.disabled)
    assert by_class["reactive_power"] == {True}
    assert by_class["power_factor"] == {True}
    assert by_class["battery"] == {False}
    assert False in by_class["power"]
    assert False in by_class["energy"]


@checks("runtime-data")
def test_runtime_data() -> None:
    """What an entry has at run time is with the entry, and typed."""
    assert "entry.runtime_data = EnirisData(" in ast.unparse(
        function("__init__.py", "async_setup_entry")
    )
    for module in source.modules():
        for node in module.walk():
            if isinstance(node, ast.Subscript):
                # All outboxes are at rest for a backup, and none has an entry of its own
                assert (
                    not ast.unparse(node.value).endswith("hass.data")
                    or module.name == "backup.py"
                ), module.name
    entries = [
        each
        for name in ("async_setup_entry", "async_unload_entry", "async_remove_entry")
        for each in functions(name)
    ]
    assert len(entries) >= 2 + len(PLATFORMS)
    for each in entries:
        annotation = each.args.args[1].annotation
        assert annotation is not None
        assert ast.unparse(annotation) == "EnirisConfigEntry", each.name


def test_no_triggers_or_conditions() -> None:
    """What the exemptions say is not there is not there."""
    exempt = {
        "docs-triggers": ("trigger", "triggers", "device_trigger"),
        "docs-conditions": ("condition", "conditions", "device_condition"),
    }
    names = {
        path.stem for path in PACKAGE.rglob("*") if "__pycache__" not in path.parts
    }
    for rule, modules in exempt.items():
        assert done(rule) == bool(names & set(modules)), rule


def test_dependencies() -> None:
    """There is no dependency of which it could be asked where it is made."""
    assert done("dependency-transparency") == bool(MANIFEST["requirements"])


def test_no_discovery() -> None:
    """Nothing is looked for on the local network."""
    kinds = {"bluetooth", "dhcp", "homekit", "mqtt", "ssdp", "usb", "zeroconf"}
    assert done("discovery") == bool(kinds & set(MANIFEST))
    assert done("discovery-update-info") == bool(kinds & set(MANIFEST))


def test_before_setup() -> None:
    """As the exemption says: set-up fails neither for the service nor for the file on disk."""
    assert not done("test-before-setup")
    text = ast.unparse(function("__init__.py", "async_setup_entry"))
    assert "ConfigEntryNotReady" not in text
    assert "async_refresh()" in text
    assert "async_config_entry_first_refresh" not in text
    proofs = (Path(__file__).parent / "test_init.py").read_text("utf-8")
    for name in ("test_set_up_while_unreachable", "test_outbox_that_cannot_be_opened"):
        assert f"async def {name}(" in proofs


# Silver


@checks("action-exceptions", "exception-translations")
def test_exceptions() -> None:
    """Whatever a user gets to read has its words, which quote nothing but what is handed over."""
    raised = source.given(*EXCEPTIONS)
    assert len(raised) > 20
    texts = ENGLISH["exceptions"]
    for each in raised:
        assert each.key is not None, f"{each.where}: no translation key"
        if each.key == source.UNSEEN:
            continue
        assert each.key in texts, f"{each.where}: {each.key}"
        quoted = set(re.findall(r"{(\w+)}", texts[each.key]["message"]))
        if each.placeholders is not None:
            assert quoted <= each.placeholders, f"{each.where}: {each.key}"
    # Actions and buttons let nothing of ours through that a user could not read
    for module, call in source.calls(*EXCEPTIONS):
        domain = source.argument(call, "translation_domain")
        assert domain is not None, f"{module.name}:{call.lineno}"
        assert module.text(domain) == DOMAIN


def test_no_bare_exceptions() -> None:
    """None of Home Assistant's exceptions is raised without a text, nor with one that is in English alone."""
    for module in source.modules():
        for node in module.walk():
            if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Name):
                assert node.exc.id not in EXCEPTIONS, f"{module.name}:{node.lineno}"
    for module, call in source.calls(*EXCEPTIONS):
        assert not call.args, f"{module.name}:{call.lineno}"


@checks("integration-owner")
def test_owner() -> None:
    """Somebody looks after it."""
    assert MANIFEST["codeowners"]
    for owner in MANIFEST["codeowners"]:
        assert re.fullmatch(r"@[A-Za-z0-9-]+", owner)


@checks("parallel-updates")
@pytest.mark.parametrize("path", PLATFORMS, ids=lambda path: path.name)
def test_parallel_updates(path: Path) -> None:
    """Every platform says how many calls it takes at a time: where something is done, one."""
    tree = source.Module(path).tree
    [value] = [
        node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        and ast.unparse(node.targets[0]) == "PARALLEL_UPDATES"
        and isinstance(node.value, ast.Constant)
    ]
    assert value in (0, 1)
    reads_only = path.stem in ("binary_sensor", "sensor")
    assert value == 0 if reads_only else isinstance(value, int)


@checks("test-coverage")
def test_coverage() -> None:
    """A full run of the tests asks for more than 95 % of all of the integration's code."""
    script = (ROOT / "scripts" / "test").read_text("utf-8")
    [least] = re.findall(r"--cov-fail-under=(\d+)", script)
    assert int(least) >= 95
    coverage = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"][
        "coverage"
    ]
    assert coverage["run"]["source"] == [f"custom_components/{DOMAIN}"]
    assert "omit" not in coverage["run"]
    assert "omit" not in coverage["report"]
    for module in source.modules():
        text = module.path.read_text("utf-8")
        assert "pragma: no cover" not in text, module.name


def test_steps_of_the_log_in() -> None:
    """There are the steps that the rules on logging in again and on changing an account ask for."""
    # Home Assistant's own base has these names, too
    ours = {
        name
        for base in EnirisConfigFlow.__mro__
        if base.__module__.startswith("custom_components.")
        for name in vars(base)
    }
    for rule, steps in (
        ("reauthentication-flow", ("async_step_reauth", "async_step_reauth_confirm")),
        ("reconfiguration-flow", ("async_step_reconfigure",)),
    ):
        assert done(rule)
        assert ours.issuperset(steps), rule


# Gold


@checks("diagnostics")
def test_diagnostics() -> None:
    """Diagnostics can be downloaded, with what is secret left out."""
    path = PACKAGE / "diagnostics.py"
    assert path.is_file()
    tree = source.Module(path).tree
    names = {node.name for node in tree.body if isinstance(node, ast.AsyncFunctionDef)}
    assert "async_get_config_entry_diagnostics" in names
    text = path.read_text("utf-8")
    # Tokens and names are never put in; what is private of the options is redacted
    assert "async_redact_data" in text
    for secret in ("CONF_REFRESH_TOKEN", "CONF_USERNAME", "entry.title"):
        assert secret not in text


@checks("icon-translations")
def test_icons() -> None:
    """Icons are in icons.json: by the keys of entities that there are, and of actions."""
    for module in source.modules():
        for node in module.walk():
            name = getattr(node, "arg", None) or getattr(node, "attr", None)
            assert name not in ("icon", "_attr_icon"), module.name
    for platform, icons in ICONS["entity"].items():
        assert set(icons) <= set(ENGLISH["entity"][platform]), platform
    assert set(ICONS["services"]) == set(ENGLISH["services"])


async def test_icons_where_no_class_has_one(
    hass: HomeAssistant, entry: EnirisConfigEntry
) -> None:
    """An entity without a class that would give it an icon has one of its own."""
    add_export(hass, entry)
    await settle(hass)
    for each in er.async_entries_for_config_entry(er.async_get(hass), entry.entry_id):
        if each.translation_key is not None and each.original_device_class is None:
            icons = ICONS["entity"].get(each.domain, {})
            assert each.translation_key in icons, each.entity_id


@checks("reconfiguration-flow")
def test_reconfiguration() -> None:
    """An account and an export can be changed after they were set up."""
    assert "reconfigure" in ENGLISH["config"]["step"]
    assert "reconfigure_successful" in ENGLISH["config"]["abort"]
    for texts in ENGLISH["config_subentries"].values():
        assert {"user", "reconfigure"} <= set(texts["initiate_flow"])


@checks("repair-issues")
def test_issues() -> None:
    """Every repair issue has its words, says what to do, and is taken back."""
    raised = {each.key for each in source.given("async_create_issue")} - {source.UNSEEN}
    assert raised
    assert raised <= set(ENGLISH["issues"])
    for key in raised:
        assert key is not None
        assert set(ENGLISH["issues"][key]) in (
            {"title", "description"},
            {"title", "fix_flow"},
        )
    assert list(source.calls("async_delete_issue"))


# Platinum


@checks("async-dependency")
def test_client_is_asynchronous() -> None:
    """The client is async, and nothing that blocks is imported."""
    blocking = {"httpx", "requests", "socket", "subprocess", "urllib3"}
    for module in source.modules():
        for node in module.walk():
            names = (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
                if isinstance(node, ast.ImportFrom) and not node.level
                else []
            )
            for name in names:
                assert name.split(".")[0] not in blocking, f"{module.name}: {name}"
    for module, call in source.calls("sleep"):
        assert ast.unparse(call.func) == "asyncio.sleep", module.name


@checks("inject-websession")
def test_session() -> None:
    """A session that Home Assistant makes, once and without cookies, is handed in; the client makes none."""
    assert not list(source.calls("ClientSession"))
    [(made_in, _)] = source.calls("async_create_clientsession")
    assert made_in.name == "http.py"
    sessions = list(source.calls("Session", "Authentication"))
    assert sessions
    for module, call in sessions:
        if module.name.startswith("api/"):
            continue
        assert ast.unparse(call.args[0]).startswith("async_http_session("), (
            f"{module.name}:{call.lineno}"
        )


@checks("strict-typing")
def test_strict_typing() -> None:
    """All of the code is checked strictly, and what is excepted says of what kind it is."""
    mypy = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["mypy"]
    assert mypy["strict"] is True
    assert "ignore-without-code" in mypy["enable_error_code"]
    assert mypy["disable_error_code"] == []
    assert "exclude" not in mypy
    for override in mypy.get("overrides", []):
        assert not any("custom_components" in name for name in override["module"])
    lint = (ROOT / "scripts" / "lint").read_text("utf-8")
    assert re.search(r"for folder in custom_components .*tests", lint)
    assert '"$tools/bin/mypy"' in lint
    for module in source.modules():
        for line, after in pairwise(module.path.read_text("utf-8").splitlines()):
            assert "# mypy:" not in line + after, module.name
