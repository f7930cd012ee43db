"""The texts: everything that is named has one in five languages, and none is left over.

What a text may look like is in tests/test_hassfest.py; the forms and entities of exports, in tests/test_translations_export.py.
"""

import ast
from collections import Counter
from collections.abc import Iterator, Mapping
from inspect import getfile
import json
from pathlib import Path
import re
import string
from typing import Any

import pytest
import voluptuous as vol

from custom_components.eniris.config_flow import EnirisConfigFlow
from custom_components.eniris.const import DOMAIN
from custom_components.eniris.data import EnirisConfigEntry
from custom_components.eniris.flows.export import ExportSubentryFlow
from custom_components.eniris.flows.options import EnirisOptionsFlow
from custom_components.eniris.importing.catalogue import (
    CATALOGUE,
    Kind,
    beside_counter,
    describe,
    directions,
)
from homeassistant.config_entries import SOURCE_RECONFIGURE
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType, section

from . import source
from .common import open_options, start_flow, submit
from .source import PACKAGE

LANGUAGES = {"de", "en", "es", "fr", "nl"}

SAME_EVERYWHERE = {"Eniris"}
"""Names."""

SAME = {
    "de": {
        "Aggregation",
        "Code",
        "Collector",
        "Export",
        "Limit",
        "Measurement",
        "Name",
        "Signal",
        "Status",
        "Tags",
    },
    "es": {"Collector", "Measurement", "Retention policy", "Tags", "tokens"},
    "fr": {
        "5 minutes",
        "Code",
        "Collector",
        "Date",
        "Export",
        "Measurement",
        "Options",
        "Points",
        "Retention policy",
        "Signal",
        "Sites",
        "Tags",
    },
    "nl": {
        "Account",
        "Accounts",
        "Code",
        "Collector",
        "Database",
        "Export",
        "Interval",
        "Measurement",
        "Retention policy",
        "Status",
        "Tags",
        "tokens",
    },
}
"""By language: words that are the same in English, and terms of the service that its users know in English."""

ABORTS_OF_HOME_ASSISTANT = {
    "_abort_if_unique_id_configured": {"already_configured"},
    "async_set_unique_id": {"already_in_progress"},
    "async_update_and_abort": {"reconfigure_successful"},
    "async_update_reload_and_abort": {"reauth_successful", "reconfigure_successful"},
}
"""By function: the reasons with which it ends a dialog by itself."""


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Return every text with its place."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, f"{path}.{key}" if path else key)
    else:
        yield path, value


def texts_of(language: str) -> dict[str, Any]:
    """Return the texts of a language, as they stand in its file."""
    path = PACKAGE / "translations" / f"{language}.json"
    texts: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return texts


ENGLISH = texts_of("en")
FLAT = dict(leaves(ENGLISH))


def placeholders(text: str) -> Counter[str]:
    """Return what is quoted, with how often."""
    return Counter(
        name for _, name, _, _ in string.Formatter().parse(text) if name is not None
    )


# The other languages


def test_languages() -> None:
    """There are five languages, and a list of words for each that is not English."""
    files = {path.stem for path in (PACKAGE / "translations").iterdir()}
    assert files == LANGUAGES
    assert set(SAME) == LANGUAGES - {"en"}


@pytest.fixture(params=sorted(LANGUAGES - {"en"}))
def language(request: pytest.FixtureRequest) -> str:
    """Return a language that is not English."""
    name: str = request.param
    return name


@pytest.fixture
def texts(language: str) -> dict[str, str]:
    """Return the texts of a language by their places."""
    return dict(leaves(texts_of(language)))


def test_keys(texts: dict[str, str]) -> None:
    """Every text is there, none that is in no other language, and in the same order."""
    assert set(texts) == set(FLAT)
    assert list(texts) == list(FLAT)


def test_placeholders(texts: dict[str, str]) -> None:
    """Every text quotes what the English one does."""
    for place, text in texts.items():
        assert set(placeholders(text)) == set(placeholders(FLAT[place])), place


def test_translated(language: str, texts: dict[str, str]) -> None:
    """No text was left in English."""
    same = {text for place, text in texts.items() if text == FLAT[place]}
    assert same <= SAME[language] | SAME_EVERYWHERE


def test_markup(texts: dict[str, str]) -> None:
    """Emphasis, code, links, lists and line breaks are where they are in English."""
    for place, text in texts.items():
        for sign in ("*", "`", "\n", "](", "\n-"):
            assert text.count(sign) == FLAT[place].count(sign), (place, sign)


def test_ends(texts: dict[str, str]) -> None:
    """A sentence stays a sentence, a question a question, and a name a name."""
    for place, text in texts.items():
        english = FLAT[place]
        for sign in ".?!:":
            assert text.endswith(sign) == english.endswith(sign), place


def test_lengths(texts: dict[str, str]) -> None:
    """Nothing was left out, and names still fit where they are shown."""
    for place, text in texts.items():
        english = FLAT[place]
        assert len(text) < 2.2 * len(english) + 25, place
        assert len(text) > 0.45 * len(english) - 5, place


def test_same_words_for_the_same(language: str) -> None:
    """Fields that two forms share have the same words in both, as they have in English."""
    texts = dict(leaves(texts_of(language)))
    by_english: dict[tuple[str, str], set[str]] = {}
    for place, text in FLAT.items():
        if ".data." in place or ".data_description." in place:
            key = place.rsplit(".", 1)[-1]
            by_english.setdefault((key, text), set()).add(texts[place])
    for shared, translations in by_english.items():
        assert len(translations) == 1, shared


def test_quotes_of_names(texts: dict[str, str]) -> None:
    """What is quoted with emphasis as the name of something is what that is called in the language."""
    for place, english in FLAT.items():
        named = re.findall(r"\*([^*]+)\*", english)
        quoted = re.findall(r"\*([^*]+)\*", texts[place])
        for name, translated in zip(named, quoted, strict=True):
            if places := [other for other, text in FLAT.items() if text == name]:
                assert translated in {texts[other] for other in places}, place


# What the code names


def named_in_code() -> set[str]:
    """Return every string of the code, and every one that a name in it stands for."""
    found = set(source.strings())
    for module in source.modules():
        for node in module.walk():
            text = module.text(node) if isinstance(node, ast.expr) else None
            if text is not None:
                found.add(text)
    return found


def test_exceptions() -> None:
    """No text of an exception is left over; that none is missing says tests/test_quality_scale.py."""
    assert set(ENGLISH["exceptions"]) <= source.strings()


def test_issues() -> None:
    """Every repair issue has its words, and no other."""
    raised = {each.key for each in source.given("async_create_issue")}
    assert raised - {source.UNSEEN} <= set(ENGLISH["issues"])
    assert set(ENGLISH["issues"]) <= source.strings()


def test_entities() -> None:
    """No entity's name is left over; those of fields belong to fields."""
    known = set(source.strings())
    for field in CATALOGUE:
        for measurement in ("submeteringMetrics", "batteryMetrics"):
            described = describe(measurement, field)
            descriptions = [described, *directions(measurement, described)]
            if described.accumulates:
                descriptions.append(beside_counter(described))
            platform = "binary_sensor" if described.kind is Kind.FLAG else "sensor"
            for description in descriptions:
                assert description.translation_key in ENGLISH["entity"][platform]
                known.add(str(description.translation_key))
    for platform, names in ENGLISH["entity"].items():
        assert set(names) <= known, platform


def test_selectors() -> None:
    """Every choice that is translated has its words, and none is left over."""
    used = set()
    for module, call in source.calls("SelectSelectorConfig", "SelectOptionDict"):
        key = source.argument(call, "translation_key")
        text = module.text(key)
        assert key is None or text is not None, module.name
        if text is not None:
            used.add(text)
    in_services = set(
        re.findall(
            r"translation_key: (\w+)", (PACKAGE / "services.yaml").read_text("utf-8")
        )
    )
    assert used | in_services == set(ENGLISH["selector"])


def test_system_health() -> None:
    """What is told of the system's health has its words, and no other."""
    path = PACKAGE / "system_health.py"
    info = set(ENGLISH.get("system_health", {}).get("info", {}))
    assert path.exists() == bool(info)
    if info:
        module = source.Module(path)
        assert info <= {
            text
            for node in module.walk()
            if isinstance(node, ast.expr) and (text := module.text(node)) is not None
        }


# The dialogs


def ours(flow: type) -> list[type]:
    """Return the classes that a dialog is made of, as far as they are this integration's."""
    return [
        base
        for base in flow.__mro__
        if base.__module__.startswith("custom_components.")
    ]


def modules_of(flow: type) -> list[source.Module]:
    """Return the files that a dialog is written in, those of forms that several dialogs share included."""
    found = {Path(getfile(base)) for base in ours(flow)}
    for path in list(found):
        for node in source.Module(path).walk():
            if (
                isinstance(node, ast.ImportFrom)
                and node.level == 1
                and (node.module or "").endswith(
                    ("_form", "_forms", "_draft", "_trial")
                )
            ):
                found.add(path.parent / f"{node.module}.py")
    return [source.Module(path) for path in sorted(found)]


FLOWS: dict[str, tuple[type, dict[str, Any]]] = {
    "config": (EnirisConfigFlow, ENGLISH["config"]),
    "options": (EnirisOptionsFlow, ENGLISH["options"]),
    "export": (ExportSubentryFlow, ENGLISH["config_subentries"]["export"]),
}


@pytest.fixture(params=sorted(FLOWS))
def dialog(request: pytest.FixtureRequest) -> tuple[type, dict[str, Any]]:
    """Return a dialog with its texts."""
    return FLOWS[request.param]


def test_dialogs() -> None:
    """There are no dialogs but these."""
    assert set(ENGLISH["config_subentries"]) == {"export"}
    bases = {"ConfigFlow", "ConfigSubentryFlow", "OptionsFlow"}
    classes = {
        node.name
        for module in source.modules()
        for node in module.walk()
        if isinstance(node, ast.ClassDef)
        and bases & {ast.unparse(base).split("[")[0] for base in node.bases}
    }
    covered = {base.__name__ for flow, _ in FLOWS.values() for base in ours(flow)}
    assert classes <= covered


def test_steps(dialog: tuple[type, dict[str, Any]]) -> None:
    """Every step that shows something has its texts, and no other has any."""
    flow, texts = dialog
    steps = {
        name.removeprefix("async_step_")
        for base in ours(flow)
        for name in vars(base)
        if name.startswith("async_step_")
    }
    assert set(texts["step"]) <= steps
    shown = set()
    for module in modules_of(flow):
        for node in module.walk():
            if isinstance(node, ast.Call) and source.callee(node) in (
                "async_show_form",
                "async_show_menu",
            ):
                text = module.text(source.argument(node, "step_id"))
                if text is not None:
                    shown.add(text)
    assert shown & steps <= set(texts["step"])


def test_menus(dialog: tuple[type, dict[str, Any]]) -> None:
    """Everything in a menu leads to a step."""
    flow, texts = dialog
    for name, step in texts["step"].items():
        for option in step.get("menu_options", {}):
            assert hasattr(flow, f"async_step_{option}"), name
    for module in modules_of(flow):
        for node in module.walk():
            if (
                not isinstance(node, ast.Call)
                or source.callee(node) != "async_show_menu"
            ):
                continue
            shown = module.text(source.argument(node, "step_id"))
            options = source.argument(node, "menu_options")
            if shown in texts["step"] and isinstance(options, ast.List):
                offered = {module.text(each) for each in options.elts} - {None}
                assert offered <= set(texts["step"][shown]["menu_options"]), shown


def test_errors(dialog: tuple[type, dict[str, Any]]) -> None:
    """Every error that a form shows has its words, and none is left over."""
    flow, texts = dialog
    used = set()
    for module in modules_of(flow):
        for node in module.walk():
            if (
                isinstance(node, ast.Assign)
                and isinstance(node.targets[0], ast.Subscript)
                and ast.unparse(node.targets[0].value).endswith("errors")
                and (text := module.text(node.value)) is not None
            ):
                used.add(text)
    assert used
    assert used <= set(texts["error"])
    # Some are composed, of a prefix and what is wrong with a name
    known = named_in_code()
    composed = {f"name_{problem}" for problem in known}
    assert set(texts["error"]) <= known | composed


def test_aborts(dialog: tuple[type, dict[str, Any]]) -> None:
    """Every end of a dialog has its words, and none is left over."""
    flow, texts = dialog
    used: set[str] = set()
    by_itself: set[str] = set()
    for module in modules_of(flow):
        for node in module.walk():
            if not isinstance(node, ast.Call):
                continue
            by_itself |= ABORTS_OF_HOME_ASSISTANT.get(source.callee(node), set())
            text = module.text(source.argument(node, "reason"))
            if text is not None:
                used.add(text)
    assert used <= set(texts["abort"])
    assert set(texts["abort"]) <= named_in_code() | by_itself


def test_fields_are_described(dialog: tuple[type, dict[str, Any]]) -> None:
    """Every field has a name and a description; every section, too."""
    _, texts = dialog
    for name, step in texts["step"].items():
        for part in (step, *step.get("sections", {}).values()):
            assert set(part.get("data", {})) == set(part.get("data_description", {})), (
                name
            )
            assert set(part.get("data", {})) <= named_in_code(), name
        for content in step.get("sections", {}).values():
            assert content["name"]
            assert content["description"]


def test_shared_fields() -> None:
    """Errors and fields of the question how far back the past is wanted are the same wherever it is asked."""
    first, later = (FLOWS[name][1] for name in ("config", "options"))
    step, other = first["step"]["history"], later["step"]["history"]
    assert step["data"] == other["data"]
    assert set(step["data_description"]) == set(other["data_description"])
    for key in set(first["error"]) & set(later["error"]):
        assert first["error"][key] == later["error"][key], key


def assert_has_texts(result: Mapping[str, Any], texts: dict[str, Any]) -> None:
    """Make sure that a form that is shown has texts for all that it asks, and for nothing else."""
    step = texts["step"][result["step_id"]]
    schema: vol.Schema = result["data_schema"]
    fields = set()
    sections = {}
    for key, value in schema.schema.items():
        if isinstance(value, section):
            sections[str(key)] = {str(inner) for inner in value.schema.schema}
        else:
            fields.add(str(key))
    assert set(step.get("data", {})) == fields
    assert set(step.get("sections", {})) == set(sections)
    for name, inner in sections.items():
        assert set(step["sections"][name]["data"]) == inner
    quoted = {
        name
        for place, text in leaves(step)
        if not place.startswith(("data", "sections"))
        for name in placeholders(text)
    }
    assert quoted <= set(result["description_placeholders"] or {})


async def test_form_of_a_new_account(
    hass: HomeAssistant, user_input: dict[str, Any]
) -> None:
    """The first form, and those of a second factor, have texts for what they ask."""
    manager = hass.config_entries.flow
    flow_id = await start_flow(hass)
    assert_has_texts(await manager.async_configure(flow_id), ENGLISH["config"])
    for factor, name in (("totp", "totp"), ("email_otp", "email")):
        flow_id = await start_flow(hass)
        user = {**user_input, "username": f"{name}@example.com"}
        result = await submit(hass, flow_id, user)
        assert result["step_id"] == "second_factor"
        menu = ENGLISH["config"]["step"]["second_factor"]["menu_options"]
        assert result["menu_options"] == list(menu)
        result = await submit(hass, flow_id, {"next_step_id": factor})
        assert result["type"] is FlowResultType.FORM
        assert_has_texts(result, ENGLISH["config"])


async def test_form_of_the_new_log_in(
    hass: HomeAssistant, entry: EnirisConfigEntry
) -> None:
    """The form that asks for the password again has texts for what it asks."""
    entry.async_start_reauth(hass)
    await hass.async_block_till_done()
    [flow] = hass.config_entries.flow.async_progress_by_handler(DOMAIN)
    result = await hass.config_entries.flow.async_configure(flow["flow_id"])
    assert result["step_id"] == "reauth_confirm"
    assert_has_texts(result, ENGLISH["config"])


async def test_form_of_a_changed_account(
    hass: HomeAssistant, entry: EnirisConfigEntry
) -> None:
    """The forms that change an account have texts for what they ask."""
    manager = hass.config_entries.flow
    result = await manager.async_init(
        DOMAIN, context={"source": SOURCE_RECONFIGURE, "entry_id": entry.entry_id}
    )
    if result["type"] is FlowResultType.MENU:
        menu = ENGLISH["config"]["step"][result["step_id"]]["menu_options"]
        assert result["menu_options"] == list(menu)
        results = []
        for step in menu:
            again = await manager.async_init(
                DOMAIN,
                context={"source": SOURCE_RECONFIGURE, "entry_id": entry.entry_id},
            )
            results.append(await submit(hass, again["flow_id"], {"next_step_id": step}))
    else:
        results = [result]
    for shown in results:
        assert shown["type"] is FlowResultType.FORM
        assert_has_texts(shown, ENGLISH["config"])


async def test_form_of_options(hass: HomeAssistant, entry: EnirisConfigEntry) -> None:
    """The form of the options has texts for what it asks."""
    flow_id = await open_options(hass, entry)
    result = await hass.config_entries.options.async_configure(flow_id)
    assert_has_texts(result, ENGLISH["options"])


@pytest.mark.usefixtures("recorder_mock")
async def test_forms_of_the_past(
    hass: HomeAssistant, user_input: dict[str, Any]
) -> None:
    """The forms that ask how far back the past is wanted have texts for what they ask."""
    flow_id = await start_flow(hass)
    result = await submit(hass, flow_id, user_input)
    assert result["step_id"] == "history"
    assert_has_texts(result, ENGLISH["config"])
    result = await submit(hass, flow_id, {"back": "none"})
    options = hass.config_entries.options
    menu = await options.async_init(result["result"].entry_id)
    assert menu["menu_options"] == list(
        ENGLISH["options"]["step"]["init"]["menu_options"]
    )
    shown = await options.async_configure(menu["flow_id"], {"next_step_id": "history"})
    assert_has_texts(shown, ENGLISH["options"])
