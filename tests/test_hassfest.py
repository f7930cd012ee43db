"""What hassfest asks of an integration, as far as that can be told without the network.

Hassfest itself is a part of Home Assistant's repository, which is not installed; CI runs it. Its rules are restated
here, for all languages and not English alone, and where they are stricter for Home Assistant's own integrations
those are taken.
"""

import ast
from collections.abc import Callable
import json
from pathlib import Path
import re
import string
import sys
from typing import Any

from awesomeversion import AwesomeVersion, AwesomeVersionStrategy
import pytest
import voluptuous as vol
from yarl import URL

from custom_components.eniris.const import DOMAIN
from homeassistant import components
from homeassistant.const import Platform
from homeassistant.core import HomeAssistant
from homeassistant.helpers import selector
from homeassistant.loader import async_get_integration
from homeassistant.util.yaml import load_yaml_dict

from . import source
from .source import PACKAGE

LANGUAGES = sorted((PACKAGE / "translations").glob("*.json"))
COMPONENTS = Path(components.__file__).parent

USABLE_WITHOUT_DEPENDENCY = {
    *(platform.value for platform in Platform),
    "automation",
    "conversation",
    "device_automation",
    "frontend",
    "group",
    "homeassistant",
    "media_source",
    "onboarding",
    "persistent_notification",
    "script",
    "sun",
    "system_health",
    "webhook",
    "websocket_api",
    "zone",
}
"""Components that every Home Assistant has, or that are no more than base classes."""

DOORS = {"diagnostics", "repairs", "system_health"}
"""Modules named like the component that calls them, from which they may import."""

_HTML = re.compile(r"<[a-z/!].*?>", re.IGNORECASE | re.DOTALL)
_KEY = re.compile(r"(?!.+[_-]{2})(?![_-])[a-z0-9_-]+(?<![_-])")
_QUOTED_PLACEHOLDER = re.compile(r"'{\w+}'")
_REFERENCE = re.compile(r"\[%|%\]")
_SLUG = re.compile(r"[a-z0-9]+(_[a-z0-9]+)*")
_URL = re.compile(
    r"((https?|ftps?|scp|mqtts?|socket|socks5)://|www\.)[a-z0-9]+([-.][a-z0-9]+)*\.[a-z]{2,5}",
    re.IGNORECASE,
)


def json_file(path: Path) -> Any:
    """Return what a file of JSON says; raises for a key that is there twice."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = [key for key, _ in pairs]
        assert len(set(keys)) == len(keys), f"{path.name}: twice: {keys}"
        return dict(pairs)

    return json.loads(path.read_text("utf-8"), object_pairs_hook=unique)


MANIFEST: dict[str, Any] = json_file(PACKAGE / "manifest.json")
SERVICES: dict[str, Any] = load_yaml_dict(str(PACKAGE / "services.yaml"))
ENGLISH: dict[str, Any] = json_file(PACKAGE / "translations" / "en.json")


# Texts


def text(value: Any) -> str:
    """Take a text that may be shown: no HTML, no addresses, no references, placeholders that can be filled in."""
    if not isinstance(value, str) or not value:
        raise vol.Invalid("not a text")
    if value != value.strip():
        raise vol.Invalid("spaces around it")
    for pattern, what in (
        (_HTML, "HTML"),
        (_URL, "an address"),
        (_QUOTED_PLACEHOLDER, "a placeholder in single quotes"),
        (_REFERENCE, "a reference"),
    ):
        if pattern.search(value):
            raise vol.Invalid(f"{what} in it")
    for _, name, form, conversion in string.Formatter().parse(value):
        if name is not None and (not name.isidentifier() or form or conversion):
            raise vol.Invalid("a placeholder that is no identifier")
    return value


def text_without_placeholders(value: Any) -> str:
    """Take a text of an entity's state or unit."""
    if "{" in text(value):
        raise vol.Invalid("placeholders are not supported here")
    return str(value)


def key(value: Any) -> str:
    """Take a translation key."""
    if not isinstance(value, str) or not _KEY.fullmatch(value):
        raise vol.Invalid("not a translation key")
    return value


def slug(value: Any) -> str:
    """Take a slug."""
    if not isinstance(value, str) or not _SLUG.fullmatch(value):
        raise vol.Invalid("not a slug")
    return value


TEXTS = {str: text}
FIELDS = {
    vol.Optional("data"): TEXTS,
    vol.Optional("data_description"): TEXTS,
    vol.Optional("description"): text,
}
FLOW = {
    vol.Optional("flow_title"): text,
    vol.Required("step"): {
        key: {
            **FIELDS,
            vol.Optional("title"): text,
            vol.Optional("menu_options"): TEXTS,
            vol.Optional("menu_option_descriptions"): TEXTS,
            vol.Optional("submit"): text,
            vol.Optional("sections"): {key: {**FIELDS, vol.Optional("name"): text}},
        }
    },
    vol.Optional("error"): TEXTS,
    vol.Optional("abort"): TEXTS,
    vol.Optional("progress"): TEXTS,
    vol.Optional("create_entry"): TEXTS,
}
NAMED = {vol.Required("name"): text, vol.Required("description"): text}
STATES = {key: text_without_placeholders}

TRANSLATIONS = vol.Schema(
    {
        vol.Optional("title"): text,
        vol.Required("config"): FLOW,
        vol.Required("config_subentries"): {
            slug: {
                **FLOW,
                vol.Required("entry_type"): text,
                vol.Required("initiate_flow"): {vol.Required("user"): text, str: text},
            }
        },
        vol.Required("options"): FLOW,
        vol.Required("selector"): {
            slug: {
                vol.Optional("choices"): {key: text},
                vol.Optional("options"): {key: text},
                vol.Optional("unit_of_measurement"): {key: text},
                vol.Optional("fields"): {key: NAMED},
            }
        },
        vol.Optional("system_health"): {vol.Optional("info"): {key: text}},
        vol.Optional("device"): {key: {vol.Optional("name"): text}},
        vol.Required("entity"): {
            slug: {
                key: {
                    vol.Optional("name"): text,
                    vol.Optional("state"): STATES,
                    vol.Optional("state_attributes"): {
                        key: {
                            vol.Optional("name"): text_without_placeholders,
                            vol.Optional("state"): STATES,
                        }
                    },
                    vol.Optional("unit_of_measurement"): text_without_placeholders,
                }
            }
        },
        vol.Required("exceptions"): {slug: {vol.Required("message"): text}},
        vol.Required("issues"): {
            str: vol.Any(
                {vol.Required("title"): text, vol.Required("description"): text},
                {vol.Required("title"): text, vol.Required("fix_flow"): FLOW},
            )
        },
        vol.Required("services"): {
            key: {
                **NAMED,
                vol.Optional("fields"): {key: {**NAMED, vol.Optional("example"): text}},
                vol.Optional("sections"): {
                    key: {
                        vol.Required("name"): text,
                        vol.Optional("description"): text,
                    }
                },
            }
        },
        vol.Optional("common"): {slug: text},
    }
)


@pytest.mark.parametrize("path", LANGUAGES, ids=lambda path: path.stem)
def test_translations(path: Path) -> None:
    """Every language has what may be in a file of texts, and nothing else."""
    TRANSLATIONS(json_file(path))


@pytest.mark.parametrize("path", LANGUAGES, ids=lambda path: path.stem)
def test_described_fields(path: Path) -> None:
    """Nothing is described that is no field."""

    def visit(value: Any) -> None:
        if isinstance(value, dict):
            if "data_description" in value:
                assert set(value["data_description"]) <= set(value.get("data", {}))
            for inner in value.values():
                visit(inner)

    visit(json_file(path))


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        " x",
        "<b>bold</b>",
        "see https://www.eniris.io",
        "the '{name}'",
        "[%key:common::x%]",
        "{0}",
        "{a b}",
        "{x!r}",
    ],
)
def test_wrong_texts(wrong: str) -> None:
    """The rules on texts do refuse something."""
    with pytest.raises(vol.Invalid):
        text(wrong)


def test_title() -> None:
    """A name that is a brand is not translated."""
    assert "title" not in ENGLISH
    assert not (PACKAGE / "strings.json").exists()
    for step in ENGLISH["config"]["step"].values():
        assert step.get("title") != MANIFEST["name"]


# The manifest


def version(value: Any) -> str:
    """Take a version that can be compared."""
    AwesomeVersion(
        value,
        ensure_strategy=[
            AwesomeVersionStrategy.CALVER,
            AwesomeVersionStrategy.SEMVER,
            AwesomeVersionStrategy.SIMPLEVER,
            AwesomeVersionStrategy.BUILDVER,
            AwesomeVersionStrategy.PEP440,
        ],
    )
    return str(value)


def address(value: Any) -> str:
    """Take an https address."""
    url = URL(value)
    if url.scheme != "https" or not url.host:
        raise vol.Invalid("not an https address")
    return str(value)


def component(value: Any) -> str:
    """Take the domain of a component of Home Assistant."""
    if not (COMPONENTS / str(value) / "manifest.json").is_file():
        raise vol.Invalid("no such component")
    return str(value)


def test_manifest() -> None:
    """The manifest has what hassfest wants, and nothing that it does not know."""
    vol.Schema(
        {
            vol.Required("domain"): PACKAGE.name,
            vol.Required("name"): str,
            vol.Optional("after_dependencies"): [component],
            vol.Required("codeowners"): [vol.Match(r"^@[\w-]+$")],
            vol.Required("config_flow"): True,
            vol.Optional("dependencies"): [component],
            vol.Required("documentation"): address,
            vol.Required("integration_type"): vol.In(["device", "hub", "service"]),
            vol.Required("iot_class"): vol.In(
                [
                    "assumed_state",
                    "calculated",
                    "cloud_polling",
                    "cloud_push",
                    "local_polling",
                    "local_push",
                ]
            ),
            vol.Required("issue_tracker"): address,
            vol.Optional("loggers"): [str],
            vol.Optional("quality_scale"): vol.In(
                ["bronze", "silver", "gold", "platinum"]
            ),
            vol.Optional("requirements"): [
                vol.Match(r"^[\w.-]+(\[[\w,-]+\])?==[\w.]+$")
            ],
            vol.Optional("single_config_entry"): bool,
            vol.Required("version"): version,
        }
    )(MANIFEST)
    assert MANIFEST["domain"] == DOMAIN
    assert not (COMPONENTS / DOMAIN).exists(), "a component of Home Assistant's own"
    assert not set(MANIFEST.get("dependencies", [])) & set(
        MANIFEST.get("after_dependencies", [])
    )


def test_order_of_the_manifest() -> None:
    """The domain, the name, and then all else by the alphabet."""
    keys = list(MANIFEST)
    assert keys == ["domain", "name", *sorted(set(keys) - {"domain", "name"})]


async def test_home_assistant_takes_the_manifest(hass: HomeAssistant) -> None:
    """Home Assistant finds the integration by its manifest, with its dependencies."""
    integration = await async_get_integration(hass, DOMAIN)
    assert not integration.is_built_in
    assert integration.version == MANIFEST["version"]
    assert await integration.resolve_dependencies() is not None


def test_dependencies() -> None:
    """Nothing is imported of a component that need not be there."""
    allowed = {
        *USABLE_WITHOUT_DEPENDENCY,
        *MANIFEST.get("dependencies", []),
        *MANIFEST.get("after_dependencies", []),
    }
    for module in source.modules():
        for node in module.walk():
            for name in imported(node):
                parts = name.split(".")
                if parts[:2] != ["homeassistant", "components"] or len(parts) < 3:
                    continue
                door = module.name.partition("/")[0].removesuffix(".py")
                is_door = door == parts[2] and door in DOORS
                assert parts[2] in allowed or is_door, f"{module.name}: {name}"


def imported(node: ast.AST) -> list[str]:
    """Return what an import names, in full."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and not node.level:
        return [f"{node.module}.{alias.name}" for alias in node.names]
    return []


def test_requirements() -> None:
    """What is imported is Home Assistant's, Python's, or required."""
    ships = {
        "aiohttp",
        "homeassistant",
        "orjson",
        "sqlalchemy",
        "voluptuous",
        "yarl",
        *sys.stdlib_module_names,
    }
    required = {
        re.split(r"[\[=]", each)[0].replace("-", "_")
        for each in MANIFEST.get("requirements", [])
    }
    for module in source.modules():
        for node in module.walk():
            for name in imported(node):
                assert name.split(".")[0] in ships | required, f"{module.name}: {name}"


# Code


def test_config_flow() -> None:
    """There is a flow, which gives an entry its identity, and no other way to set the integration up."""
    assert list(source.calls("async_set_unique_id"))
    flows = [
        node
        for node in source.Module(PACKAGE / "config_flow.py").tree.body
        if isinstance(node, ast.ClassDef)
        and any(ast.unparse(each.value) == "DOMAIN" for each in node.keywords)
    ]
    assert len(flows) == 1


def test_config_schema() -> None:
    """Nothing can be said in configuration.yaml, which Home Assistant tells whoever tries."""
    assigned = {
        ast.unparse(node.targets[0]): ast.unparse(node.value)
        for node in source.Module(PACKAGE / "__init__.py").tree.body
        if isinstance(node, ast.Assign)
    }
    assert assigned["CONFIG_SCHEMA"] == "cv.config_entry_only_config_schema(DOMAIN)"


def test_no_print() -> None:
    """Nothing is printed."""
    assert not list(source.calls("print", "pprint"))


@pytest.mark.parametrize(
    "path",
    sorted(path for path in PACKAGE.rglob("*.json") if path.is_file()),
    ids=lambda path: path.name,
)
def test_json(path: Path) -> None:
    """Files of JSON have no key twice, and end in a line break."""
    json_file(path)
    content = path.read_text("utf-8")
    assert content.endswith("}\n")
    assert "\t" not in content
    assert "\r" not in content


# Actions


def selected(value: Any) -> Any:
    """Take a selector that Home Assistant knows."""
    selector.validate_selector(value)
    return value


FIELD = {
    vol.Optional("example"): vol.NotIn([None]),
    vol.Optional("default"): vol.NotIn([None]),
    vol.Optional("required"): bool,
    vol.Optional("advanced"): bool,
    vol.Required("selector"): selected,
}


def test_services() -> None:
    """Every action has fields with selectors; its words and those of its fields are in the files of texts."""
    vol.Schema(
        {
            slug: {
                vol.Optional("target"): dict,
                vol.Optional("fields"): {
                    slug: vol.Any(
                        FIELD,
                        {
                            vol.Optional("collapsed"): bool,
                            vol.Required("fields"): {slug: FIELD},
                        },
                    )
                },
            }
        }
    )(SERVICES)


@pytest.mark.parametrize("name", SERVICES)
def test_words_of_services(name: str) -> None:
    """Every action and field has its words; nothing has that is none; every action has an icon."""
    texts = ENGLISH["services"][name]
    fields: dict[str, Any] = {}
    sections = set()
    for field, content in (SERVICES[name].get("fields") or {}).items():
        if "fields" in content:
            sections.add(field)
            assert not fields.keys() & content["fields"].keys(), "a field twice"
            fields |= content["fields"]
        else:
            assert field not in fields, "a field twice"
            fields[field] = content
    assert set(texts.get("fields", {})) == set(fields)
    assert set(texts.get("sections", {})) == sections
    for field in fields.values():
        translated = (field["selector"].get("select") or {}).get("translation_key")
        assert translated is None or translated in ENGLISH["selector"]
    icons = json_file(PACKAGE / "icons.json")["services"]
    assert name in icons


def test_words_of_other_services() -> None:
    """No words are left over of an action that is gone."""
    assert set(ENGLISH["services"]) == set(SERVICES)
    registered = {"async_register", "async_register_entity_service"}
    assert list(source.calls(*registered))


# Icons


def icon(value: Any) -> str:
    """Take an icon of Material Design Icons."""
    if not isinstance(value, str) or not re.fullmatch(
        r"mdi:[a-z0-9]+(-[a-z0-9]+)*", value
    ):
        raise vol.Invalid("not an icon")
    return value


def differing(value: dict[str, Any]) -> dict[str, Any]:
    """Take icons of which none is that of a state and the default one, too."""
    for name, icons in value.items():
        if icons.get("default") in icons.get("state", {}).values():
            raise vol.Invalid(f"{name}: a state has the default icon")
    return value


SECTIONS = {"step": {str: {"sections": {str: icon}}}}


def test_icons() -> None:
    """Icons stand in the form that Home Assistant reads, none for a state that has the default one."""
    of_entity = {
        vol.Required("default"): icon,
        vol.Optional("state"): {key: icon},
        vol.Optional("range"): {str: icon},
        vol.Optional("state_attributes"): {
            key: {vol.Required("default"): icon, vol.Optional("state"): {key: icon}}
        },
    }
    of_platform: Callable[[Any], Any] = vol.All({key: of_entity}, differing)
    vol.Schema(
        {
            vol.Optional("config"): SECTIONS,
            vol.Optional("options"): SECTIONS,
            vol.Optional("issues"): {str: {"fix_flow": SECTIONS}},
            vol.Required("entity"): {slug: of_platform},
            vol.Required("services"): {
                slug: {
                    vol.Required("service"): icon,
                    vol.Optional("sections"): {str: icon},
                }
            },
        }
    )(json_file(PACKAGE / "icons.json"))


def test_platforms() -> None:
    """Words and icons of entities stand under platforms that there are."""
    platforms = {platform.value for platform in Platform}
    for file in (ENGLISH, json_file(PACKAGE / "icons.json")):
        for platform in file["entity"]:
            assert platform in platforms
            assert (PACKAGE / f"{platform}.py").is_file(), platform
