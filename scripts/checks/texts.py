"""The texts: the same in five languages, fit to be shown, none missing and none left over.

Whether a form that is shown has its texts is checked where the tests walk it.
"""

import ast
from collections.abc import Iterator
import json
import re
import string
from typing import Any, Final

import voluptuous as vol

from custom_components.eniris.controller.schedules import POLICIES
from custom_components.eniris.field_description import Kind
from custom_components.eniris.importing.catalogue import (
    CATALOGUE,
    beside_counter,
    describe,
    directions,
)
from custom_components.eniris.words import KNOWN_WORDS
from homeassistant.const import CONF_HOST, CONF_PORT

from . import source
from .files import ENGLISH, MANIFEST, PACKAGE, SERVICES, read_json

_SAME: Final = {
    "de": {
        "Aggregation",
        "Code",
        "Collector",
        "Controller",
        "Eco",
        "Export",
        "Host",
        "Limit",
        "Measurement",
        "Name",
        "Normal",
        "OK",
        "Offline",
        "Online",
        "Port",
        "Signal",
        "Status",
        "TLS",
        "Tags",
        "{site} Controller",
    },
    "es": {
        "Collector",
        "Eco",
        "Error",
        "Host",
        "Manual",
        "Measurement",
        "Normal",
        "OK",
        "Retention policy",
        "TLS",
        "Tags",
        "tokens",
    },
    "fr": {
        "15 minutes",
        "5 minutes",
        "Code",
        "Collector",
        "Date",
        "Export",
        "Measurement",
        "Normal",
        "OK",
        "Options",
        "Points",
        "Port",
        "Retention policy",
        "Signal",
        "Site",
        "Sites",
        "TLS",
        "Tags",
    },
    "nl": {
        "1 week",
        "Account",
        "Accounts",
        "Code",
        "Collector",
        "Controller",
        "Controllers",
        "Database",
        "Eco",
        "Export",
        "Host",
        "Interval",
        "Measurement",
        "OK",
        "Offline",
        "Online",
        "Retention policy",
        "Status",
        "TLS",
        "Tags",
        "tokens",
        "{site} controller",
    },
}
"""By language: words that are the same in English, and terms of the service that its users know in English."""

_UNFIT: Final = {
    "HTML": re.compile(r"<[a-z/!].*?>", re.IGNORECASE | re.DOTALL),
    "an address": re.compile(
        r"((https?|ftps?|mqtts?|wss?)://|\bwww\.)[a-z0-9]", re.IGNORECASE
    ),
    "a placeholder in single quotes": re.compile(r"'{\w+}'"),
    "a reference": re.compile(r"\[%|%\]"),
    "spaces around it": re.compile(r"^\s|\s$|^$"),
    "a placeholder that is no identifier": re.compile(r"{(?!\w*})|{\d|{}"),
}

_FIELDS_OF_HOME_ASSISTANT: Final = {CONF_HOST, CONF_PORT}
"""Fields of forms that are nowhere written out."""

_ENDS_OF_HOME_ASSISTANT: Final = {
    "already_configured",
    "already_in_progress",
    "reauth_successful",
    "reconfigure_successful",
}
"""Reasons with which Home Assistant's own functions end a dialog."""


def check() -> Iterator[str]:
    """Yield what is wrong with the texts."""
    try:
        _TRANSLATIONS(ENGLISH)
    except vol.Invalid as err:
        yield f"en.json: {err}."
    english = dict(_leaves(ENGLISH))
    files = {
        path.stem: read_json(path) for path in (PACKAGE / "translations").iterdir()
    }
    if set(files) != {"en", *_SAME}:
        yield f"There are other languages than {sorted(_SAME)}."
    for language, content in files.items():
        texts = dict(_leaves(content))
        for place, text in texts.items():
            for what, pattern in _UNFIT.items():
                if pattern.search(text):
                    yield f"{language}: {place} has {what}."
        if list(texts) != list(english):
            yield f"{language} has other keys than English, or another order."
        elif language != "en":
            for place, problem in _differences(language, texts, english):
                yield f"{language}: {place} {problem}."
    yield from _of_fields()
    yield from _of_actions()
    yield from _of_entities()
    yield from _left_over()


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield every text with its place."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(inner, f"{path}.{key}" if path else key)
    else:
        yield path, value


def _quoted(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def _differences(
    language: str, texts: dict[str, str], english: dict[str, str]
) -> Iterator[tuple[str, str]]:
    """Yield places whose text is not what the English one is, and in what."""
    emphasis = re.compile(r"\*([^*]+)\*")
    same_words: dict[tuple[str, str], str] = {}
    for place, text in texts.items():
        original = english[place]
        if _quoted(text) != _quoted(original):
            yield place, "quotes something else"
        if text == original and text not in _SAME[language] | {"Eniris"}:
            yield place, "was left in English"
        for sign in ("*", "`", "\n", "]("):
            if text.count(sign) != original.count(sign):
                yield place, f"has another number of {sign!r}"
        for sign in ".?!:":
            if text.endswith(sign) != original.endswith(sign):
                yield place, f"ends otherwise than with {original[-1]!r}"
        if not 0.45 * len(original) - 5 < len(text) < 2.2 * len(original) + 25:
            yield place, "is much shorter or longer"
        # Fields that two forms share have the same words in both
        if ".data." in place or ".data_description." in place:
            key = place.rsplit(".", 1)[-1], original
            if same_words.setdefault(key, text) != text:
                yield place, f"has other words than {same_words[key]!r}"
        # What is quoted as the name of something is what that is called
        for name, translated in zip(
            emphasis.findall(original), emphasis.findall(text), strict=False
        ):
            called = {texts[other] for other, each in english.items() if each == name}
            if called and translated not in called:
                yield place, f"calls something {translated!r}, which is {called}"


def _of_fields() -> Iterator[str]:
    """Yield steps whose fields are not described, or describe what is no field."""

    def visit(value: Any, place: str) -> Iterator[str]:
        if isinstance(value, dict):
            if set(value.get("data", {})) != set(value.get("data_description", {})):
                yield f"{place} has fields without a description, or the reverse."
            for key, inner in value.items():
                yield from visit(inner, f"{place}.{key}")

    yield from visit(ENGLISH, "en")


def _of_actions() -> Iterator[str]:
    """Yield actions and fields without words, and words of none."""
    if set(SERVICES) != set(ENGLISH["services"]):
        yield "There are actions without words, or words of none."
        return
    for name, action in SERVICES.items():
        fields: list[str] = []
        sections = set()
        for field, content in (action.get("fields") or {}).items():
            if "fields" in content:
                sections.add(field)
                fields += content["fields"]
            else:
                fields.append(field)
        texts = ENGLISH["services"][name]
        if sorted(fields) != sorted(texts.get("fields", {})):
            yield f"The action {name} has a field twice, without words, or words of none."
        if sections != set(texts.get("sections", {})):
            yield f"The action {name} has a section without words, or words of none."


def _of_entities() -> Iterator[str]:
    """Yield fields whose entity has no name, and names of no entity."""
    known = {*source.strings(), *(f"{group}_policy" for group in POLICIES)}
    for field in CATALOGUE:
        for measurement in ("submeteringMetrics", "batteryMetrics"):
            described = describe(measurement, field)
            descriptions = [described, *directions(measurement, described)]
            if described.accumulates:
                descriptions.append(beside_counter(described))
            platform = "binary_sensor" if described.kind is Kind.FLAG else "sensor"
            for description in descriptions:
                known.add(str(description.translation_key))
                if description.translation_key not in ENGLISH["entity"][platform]:
                    yield f"{field} has no name: {description.translation_key}."
    for name, words in KNOWN_WORDS.items():
        if words != set(ENGLISH["entity"]["sensor"][name].get("state", ())):
            yield f"The states of sensor.{name} are not its known words."
    for platform, names in ENGLISH["entity"].items():
        if not (PACKAGE / f"{platform}.py").is_file():
            yield f"There are no entities of {platform}."
        for name in set(names) - known:
            yield f"There is no entity {platform}.{name}."


def _left_over() -> Iterator[str]:
    """Yield what is named in the code and has no text, and texts that nothing names."""
    strings = {
        *source.strings(),
        *_FIELDS_OF_HOME_ASSISTANT,
        *_ENDS_OF_HOME_ASSISTANT,
    }
    # What is wrong with a name
    strings |= {f"name_{each}" for each in strings}
    steps = set()
    shown: dict[str, set[str]] = {
        "translation_key": set(),
        "step_id": set(),
        "reason": set(),
    }
    for module in source.modules():
        for node in module.walk():
            if isinstance(node, ast.AsyncFunctionDef):
                steps.add(node.name.removeprefix("async_step_"))
            if not isinstance(node, ast.Call):
                continue
            callee = source.callee(node)
            for argument, callees in (
                ("translation_key", {"SelectSelectorConfig", "SelectOptionDict"}),
                ("step_id", {"async_show_form", "async_show_menu"}),
                ("reason", {callee}),
            ):
                text = module.text(source.argument(node, argument))
                if text is not None and callee in callees:
                    shown[argument].add(text)
    selectors = set(ENGLISH["selector"])
    in_actions = set(re.findall(r'"translation_key": "(\w+)"', json.dumps(SERVICES)))
    for key in (shown["translation_key"] | in_actions) ^ selectors:
        yield f"The choices of {key} have no words, or are none."
    strings |= {*re.findall(r"\w+", json.dumps(SERVICES))}
    for name, choices in ENGLISH["selector"].items():
        for key in set(choices.get("options", {})) - strings:
            yield f"Nothing is chosen as {name}.{key}."
    flows = [
        *(ENGLISH[name] for name in ("config", "options")),
        *ENGLISH["config_subentries"].values(),
        *(
            issue["fix_flow"]
            for issue in ENGLISH["issues"].values()
            if "fix_flow" in issue
        ),
    ]
    for flow in flows:
        for name, step in flow["step"].items():
            for option in {name, *step.get("menu_options", {})} - steps:
                yield f"There is no step {option}, which has texts."
            for part in (step, *step.get("sections", {}).values()):
                for key in set(part.get("data", {})) - strings:
                    yield f"There is no field {name}.{key}, which has texts."
        for key in {*flow.get("error", {}), *flow.get("abort", {})} - strings:
            yield f"Nothing ends with {key}, or shows it as an error."
    for key in shown["step_id"] - {name for flow in flows for name in flow["step"]}:
        yield f"The step {key} has no texts."
    for key in shown["reason"] - {
        name for flow in flows for name in flow.get("abort", {})
    }:
        yield f"The end {key} of a dialog has no text."
    for part in ("exceptions", "issues"):
        for key in set(ENGLISH[part]) - strings:
            yield f"Nothing says {part}.{key}."
    raised = {each.key for each in source.given("async_create_issue")} - {
        source.UNSEEN,
        None,
    }
    for name in raised - set(ENGLISH["issues"]):
        yield f"The issue {name} has no words."
    for key in set(ENGLISH.get("system_health", {}).get("info", {})) - strings:
        yield f"System health does not tell {key}."


def _brandless(value: Any) -> str:
    if value == MANIFEST["name"]:
        raise vol.Invalid("a brand is not translated")
    return str(value)


_TEXTS: Final[dict[Any, Any]] = {str: str}
_FIELDS: Final[dict[Any, Any]] = {
    vol.Optional("data"): _TEXTS,
    vol.Optional("data_description"): _TEXTS,
    vol.Optional("description"): str,
}
_FLOW: Final[dict[Any, Any]] = {
    vol.Optional("flow_title"): str,
    vol.Required("step"): {
        str: {
            **_FIELDS,
            vol.Required("title"): _brandless,
            vol.Optional("menu_options"): _TEXTS,
            vol.Optional("menu_option_descriptions"): _TEXTS,
            vol.Optional("submit"): str,
            vol.Optional("sections"): {
                str: {
                    **_FIELDS,
                    vol.Required("name"): str,
                    vol.Required("description"): str,
                }
            },
        }
    },
    vol.Optional("error"): _TEXTS,
    vol.Optional("abort"): _TEXTS,
    vol.Optional("progress"): _TEXTS,
    vol.Optional("create_entry"): _TEXTS,
}
_NAMED: Final[dict[Any, Any]] = {
    vol.Required("name"): str,
    vol.Required("description"): str,
}
_PLAIN: Final = vol.Match(r"^[^{]*$", "placeholders are not supported here")
_TRANSLATIONS: Final = vol.Schema(
    {
        vol.Required("config"): _FLOW,
        vol.Required("config_subentries"): {
            str: {
                **_FLOW,
                vol.Required("entry_type"): str,
                vol.Required("initiate_flow"): {
                    vol.Required("user"): str,
                    vol.Required("reconfigure"): str,
                },
            }
        },
        vol.Required("options"): _FLOW,
        vol.Required("selector"): {
            str: {
                vol.Optional("options"): _TEXTS,
                vol.Optional("unit_of_measurement"): _TEXTS,
                vol.Optional("fields"): {str: _NAMED},
            }
        },
        vol.Optional("system_health"): {vol.Optional("info"): _TEXTS},
        vol.Optional("device"): {str: {vol.Optional("name"): str}},
        vol.Required("entity"): {
            str: {
                str: {
                    vol.Optional("name"): str,
                    vol.Optional("state"): {str: _PLAIN},
                    vol.Optional("state_attributes"): {
                        str: {
                            vol.Optional("name"): _PLAIN,
                            vol.Optional("state"): {str: _PLAIN},
                        }
                    },
                    vol.Optional("unit_of_measurement"): _PLAIN,
                }
            }
        },
        vol.Required("exceptions"): {str: {vol.Required("message"): str}},
        vol.Required("issues"): {
            str: {
                vol.Required("title"): str,
                vol.Exclusive("description", "what to do"): str,
                vol.Exclusive("fix_flow", "what to do"): _FLOW,
            }
        },
        vol.Required("services"): {
            str: {
                **_NAMED,
                vol.Optional("fields"): {str: {**_NAMED, vol.Optional("example"): str}},
                vol.Optional("sections"): {
                    str: {vol.Required("name"): str, vol.Optional("description"): str}
                },
            }
        },
    }
)
