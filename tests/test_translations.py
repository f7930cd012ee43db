"""The texts: everything that is named has one, none is left over, and hassfest would let them pass."""

import ast
from collections.abc import Iterator
import json
from pathlib import Path
import re
import string
from typing import Any

import pytest

from custom_components.eniris import (
    account,
    config_flow,
    const,
    history_form,
    login_flow,
)
from custom_components.eniris.importing.catalogue import (
    CATALOGUE,
    Kind,
    beside_counter,
    describe,
    directions,
)

PACKAGE = Path(config_flow.__file__).parent
FILES = sorted((PACKAGE / "translations").glob("*.json"))
ENGLISH: dict[str, Any] = json.loads(
    (PACKAGE / "translations" / "en.json").read_text("utf-8")
)
CONFIG = ENGLISH["config"]

_KEY = re.compile(r"(?!.+[_-]{2})(?![_-])[a-z0-9-_]+(?<![_-])")
_SLUG = re.compile(r"[a-z0-9]+(_[a-z0-9]+)*")
_HTML = re.compile(r"<[a-zA-Z/]")
_URL = re.compile(r"((https?|ftp|mqtt)://|www\.)[a-z0-9]+([-.][a-z0-9]+)*\.[a-z]{2,5}")


def parsed(module: Any) -> ast.Module:
    """Return the syntax tree of a module."""
    return ast.parse(Path(module.__file__).read_text("utf-8"))


def everything() -> Iterator[ast.AST]:
    """Return the syntax of the whole package."""
    for path in PACKAGE.rglob("*.py"):
        yield from ast.walk(ast.parse(path.read_text("utf-8")))


def literal(node: ast.AST | None) -> str | None:
    """Return a string that stands in the code, or that one of the constants is."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.Name):
        value = getattr(const, node.id, getattr(login_flow, node.id, None))
        return value if isinstance(value, str) else None
    return None


def keyword(call: ast.Call, name: str) -> str | None:
    """Return a keyword argument that is a known string."""
    for argument in call.keywords:
        if argument.arg == name:
            return literal(argument.value)
    return None


def strings() -> set[str]:
    """Return every string of the package's code."""
    return {text for node in everything() if (text := literal(node)) is not None}


def strings_of(module: Any) -> set[str]:
    """Return every string of a module's code."""
    return {
        text for node in ast.walk(parsed(module)) if (text := literal(node)) is not None
    }


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Return every text with its place."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, f"{path}.{key}")
    else:
        assert isinstance(value, str), path
        yield path, value


def test_steps() -> None:
    """Every step of the flow has its texts, and no other step has any."""
    steps = {
        node.name.removeprefix("async_step_")
        for module in (config_flow, login_flow)
        for node in ast.walk(parsed(module))
        if isinstance(node, ast.AsyncFunctionDef)
        and node.name.startswith("async_step_")
    }
    # Doors to steps that are shown
    assert steps - {"reauth", "resend", "password"} == set(CONFIG["step"])


@pytest.mark.parametrize(
    ("step", "schema"),
    [
        ("user", config_flow._user_schema(collapsed=True)),
        ("reauth_confirm", config_flow._password_schema()),
        ("log_in", config_flow._log_in_schema()),
        ("addresses", config_flow._addresses_schema()),
        ("totp", login_flow.CODE_SCHEMA),
        ("email_otp", login_flow.CODE_SCHEMA),
    ],
)
def test_fields(step: str, schema: Any) -> None:
    """Every field of a form has a name and a description, sections included."""
    texts = CONFIG["step"][step]
    fields = {str(key) for key in schema.schema} - {const.CONF_ADVANCED}
    assert set(texts["data"]) == set(texts["data_description"]) == fields
    sections = texts.get("sections", {})
    if const.CONF_ADVANCED not in map(str, schema.schema):
        assert not sections
        return
    inner = {str(key) for key in schema.schema[const.CONF_ADVANCED].schema.schema}
    assert set(sections) == {const.CONF_ADVANCED}
    advanced = sections[const.CONF_ADVANCED]
    assert set(advanced["data"]) == set(advanced["data_description"]) == inner


def test_menus() -> None:
    """Every choice of a menu is a step, and has words for itself; that none lacks shows where it is shown."""
    choices = {
        name: set(step["menu_options"])
        for name, step in CONFIG["step"].items()
        if "menu_options" in step
    }
    assert choices == {
        "reconfigure": {"log_in", "addresses"},
        "second_factor": {login_flow.TOTP, login_flow.EMAIL_OTP},
        "other_way": {login_flow.TOTP, login_flow.EMAIL_OTP, "resend", "password"},
        "no_totp": {login_flow.EMAIL_OTP, "password"},
        "no_email_otp": {login_flow.TOTP, "password"},
    }
    for option in set().union(*choices.values()):
        assert hasattr(config_flow.EnirisConfigFlow, f"async_step_{option}")


def test_errors() -> None:
    """Every error that the forms show has its words, and no other."""
    known = strings_of(config_flow) | strings_of(login_flow) | strings_of(history_form)
    problems = {
        key
        for node in ast.walk(parsed(account))
        if isinstance(node, ast.FunctionDef) and node.name == "address_problem"
        for inner in ast.walk(node)
        if isinstance(inner, ast.Return) and (key := literal(inner.value)) is not None
    }
    assert problems
    used = problems | {key for _, key in login_flow.ERROR_KEYS}
    for module in (config_flow, login_flow, history_form):
        for node in ast.walk(parsed(module)):
            # errors[field] = "key", and {field: "key"} where errors are handed on
            if (
                isinstance(node, ast.Assign)
                and isinstance(node.targets[0], ast.Subscript)
                and isinstance(node.targets[0].value, ast.Name)
                and node.targets[0].value.id == "errors"
                and (key := literal(node.value)) is not None
            ):
                used.add(key)
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in ("_ask_again", "_address_errors")
            ):
                used |= {
                    key
                    for argument in node.args[-1:]
                    for value in getattr(argument, "values", [argument])
                    if (key := literal(value)) is not None
                }
    assert used - set(CONFIG["error"]) == set()
    # Some are chosen by an expression: their names stand in the code all the same
    assert set(CONFIG["error"]) <= known | problems


def test_aborts() -> None:
    """Every end of the dialog without an account has its words, and no other."""
    used = {"already_configured", "already_in_progress"}
    for module in (config_flow, login_flow):
        for node in ast.walk(parsed(module)):
            if isinstance(node, ast.Call) and (reason := keyword(node, "reason")):
                used.add(reason)
    assert used == set(CONFIG["abort"])


def test_placeholders_of_errors() -> None:
    """The errors quote nothing but what the forms hand over."""
    for key, text in CONFIG["error"].items():
        fields = {name for _, name, _, _ in string.Formatter().parse(text) if name}
        known = {"error", "minutes", "address"}
        if key == "advanced_invalid":
            known = {"addresses"}
        assert fields <= known, key


def test_exceptions() -> None:
    """Every exception that is raised with a translation key has its words."""
    raised = {
        key
        for node in everything()
        if isinstance(node, ast.Raise)
        and isinstance(node.exc, ast.Call)
        and (key := keyword(node.exc, "translation_key")) is not None
    }
    assert raised
    assert raised <= set(ENGLISH["exceptions"])
    # Some are named by a variable: their names stand in the code all the same
    assert set(ENGLISH["exceptions"]) <= strings()


def test_placeholders_of_exceptions() -> None:
    """An exception hands over what its words quote."""
    for node in everything():
        if not isinstance(node, ast.Raise) or not isinstance(node.exc, ast.Call):
            continue
        key = keyword(node.exc, "translation_key")
        if key is None:
            continue
        text = ENGLISH["exceptions"][key]["message"]
        quoted = {name for _, name, _, _ in string.Formatter().parse(text) if name}
        given = {
            name
            for argument in node.exc.keywords
            if argument.arg == "translation_placeholders"
            and isinstance(argument.value, ast.Dict)
            for item in argument.value.keys
            if (name := literal(item)) is not None
        }
        is_literal = all(
            isinstance(argument.value, ast.Dict)
            for argument in node.exc.keywords
            if argument.arg == "translation_placeholders"
        )
        assert not is_literal or quoted <= given, key


def test_entities() -> None:
    """No entity's name is left over; those of fields belong to fields."""
    known = strings()
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
        assert (PACKAGE / f"{platform}.py").exists()
        assert set(names) <= known, platform


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_other_languages(path: Path) -> None:
    """A translation has the texts of the English one, with the same placeholders."""
    texts = dict(leaves(json.loads(path.read_text("utf-8"))))
    english = dict(leaves(ENGLISH))
    assert set(texts) == set(english)
    for place, text in texts.items():
        fields = {name for _, name, _, _ in string.Formatter().parse(text)}
        assert fields == {
            name for _, name, _, _ in string.Formatter().parse(english[place])
        }, place


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_conventions(path: Path) -> None:
    """What hassfest checks of a text and of a key."""
    assert set(ENGLISH) <= {
        "config",
        "config_subentries",
        "entity",
        "exceptions",
        "issues",
        "options",
        "selector",
        "services",
        "system_health",
        "title",
    }
    for place, text in leaves(json.loads(path.read_text("utf-8"))):
        for key in place.split(".")[1:]:
            assert _KEY.fullmatch(key), place
        assert text, place
        assert text == text.strip(), place
        assert not _HTML.search(text), place
        assert not _URL.search(text), place
        assert not re.search(r"'{\w+}'", text), place
        for _, name, _, _ in string.Formatter().parse(text):
            assert not name or name.isidentifier(), place
    for key, value in ENGLISH["exceptions"].items():
        assert _SLUG.fullmatch(key)
        assert set(value) == {"message"}
