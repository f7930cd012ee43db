"""The texts of the export: everything that is shown has one, and none is left over.

The dialog of the tests checks each form that it is shown against its texts; this is the rest.
"""

import ast
import inspect
import json
from typing import Any

import pytest

from custom_components.eniris import account, binary_sensor, button, sensor, switch
from custom_components.eniris.api import WriteTarget, write
from custom_components.eniris.const import CONF_FIELD, DOMAIN, SUBENTRY_EXPORT
from custom_components.eniris.exporting.config import Aggregate, BackfillRange
from custom_components.eniris.exporting.fields import kinds, names
from custom_components.eniris.exporting.issues import (
    ATTR_EXPORT_ID,
    KINDS,
    TARGET_KINDS,
    Issues,
    of_field,
)
from custom_components.eniris.exporting.outbox.batches import FieldKey
from custom_components.eniris.flows import (
    export as export_flow,
    export_draft,
    export_forms,
    export_trial,
    history_form,
    options as options_flow,
    taken_fields,
)
from custom_components.eniris.flows.history_form import history_schema
from custom_components.eniris.importing.plan import Preference
from custom_components.eniris.repairs import base, field, outbox, target
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import section
from homeassistant.helpers import issue_registry as ir
from homeassistant.helpers.entity import EntityDescription

from .export_kit import quoted
from .source import PACKAGE

ENGLISH: dict[str, Any] = json.loads(
    (PACKAGE / "translations" / "en.json").read_text("utf-8")
)
ICONS: dict[str, Any] = json.loads((PACKAGE / "icons.json").read_text("utf-8"))
EXPORT = ENGLISH["config_subentries"][SUBENTRY_EXPORT]

DIALOG = (export_flow, export_draft, export_forms, export_trial, taken_fields)
"""What the dialog of an export is written in."""

WITHOUT_TEXT = {"trial", "save", "other_series", "accept_series"}
"""Steps that show nothing of their own."""

DESCRIPTIONS: dict[str, list[EntityDescription]] = {
    "binary_sensor": [binary_sensor.PROBLEM],
    "button": [button.REFRESH, button.UPLOAD_NOW],
    "sensor": [*sensor.ACCOUNT_SENSORS, *sensor.EXPORT_SENSORS, sensor.EXPORT_HISTORY],
    "switch": [switch.ENABLED],
}


def strings(module: Any) -> set[str]:
    """Return the strings in the code of a module."""
    return {
        node.value
        for node in ast.walk(ast.parse(inspect.getsource(module)))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


def keywords(module: Any, name: str) -> set[str]:
    """Return the strings that are handed over under a name somewhere in a module."""
    return {
        str(node.value.value)
        for node in ast.walk(ast.parse(inspect.getsource(module)))
        if isinstance(node, ast.keyword)
        and node.arg == name
        and isinstance(node.value, ast.Constant)
    }


def test_subentry() -> None:
    """There is one kind of subentry, which can be added and changed."""
    assert set(ENGLISH["config_subentries"]) == {SUBENTRY_EXPORT}
    assert set(EXPORT) == {"abort", "entry_type", "error", "initiate_flow", "step"}
    assert set(EXPORT["initiate_flow"]) == {"user", "reconfigure"}
    assert set(EXPORT["abort"]) == {"reconfigure_successful"}


def test_steps() -> None:
    """Every step that shows something has its texts, and no other."""
    steps = {
        name.removeprefix("async_step_")
        for name in dir(export_flow.ExportSubentryFlow)
        if name.startswith("async_step_")
    }
    assert steps - WITHOUT_TEXT == set(EXPORT["step"])
    for name, step in EXPORT["step"].items():
        assert step["title"], name
        assert set(step.get("data", {})) == set(step.get("data_description", {})), name


def test_both_first_forms() -> None:
    """The first form of a change names its fields as that of a new export does."""
    first, changed = EXPORT["step"]["user"], EXPORT["step"]["where"]
    assert first["data"] == changed["data"]
    assert first["data_description"] == changed["data_description"]


def test_errors() -> None:
    """No error is left over; that none is missing shows where each is provoked."""
    known = strings(names) | strings(kinds)
    for module in DIALOG:
        known |= strings(module)
    known |= {f"name_{problem}" for problem in strings(write)}
    assert set(EXPORT["error"]) <= known
    assert quoted(*EXPORT["error"].values()) == {"error"}


def test_options() -> None:
    """Every option has a name and a description, and no other; so has what is asked of the past."""
    texts = ENGLISH["options"]
    assert set(texts) == {"step", "error", "progress", "abort"}
    steps = texts["step"]
    assert set(steps) == {"init", "settings", "history"}
    assert set(steps["init"]["menu_options"]) == {"settings", "history"}
    assert set(steps["settings"]) == {"title", "sections"}
    fields = {}
    for key, value in account.options_schema([str]).schema.items():
        assert isinstance(value, section)
        fields[str(key)] = {str(inner) for inner in value.schema.schema}
    sections = steps["settings"]["sections"]
    for section_texts in sections.values():
        assert section_texts["name"]
        assert section_texts["description"]
    for part in ("data", "data_description"):
        assert {name: set(sections[name][part]) for name in sections} == fields
    asked = {str(key) for key in history_schema(with_nothing=False).schema}
    for history in (steps["history"], ENGLISH["config"]["step"]["history"]):
        assert set(history["data"]) == set(history["data_description"]) == asked
    assert set(texts["abort"]) == keywords(options_flow, "reason") | {"history_done"}
    assert set(texts["progress"]) == {"history", "waiting"}
    assert quoted(texts["progress"]["history"]) == {"percent", "fetching", "back_to"}


def test_selectors() -> None:
    """Every choice that is translated has its words, and no other."""
    used = keywords(export_forms, "translation_key")
    used |= keywords(account, "translation_key")
    used |= keywords(history_form, "translation_key")
    [back, _] = history_schema(with_nothing=True).schema.values()
    choices = {
        "aggregate": set(Aggregate),
        "back": set(back.config["options"]),
        "attribute": {export_forms.STATE},
        "history": set(BackfillRange),
        "preference": set(Preference),
    }
    assert used == set(choices)
    assert {
        name: set(texts["options"])
        for name, texts in ENGLISH["selector"].items()
        # Those of the action that queries telemetry
        if not name.startswith("telemetry_")
    } == choices


DIALOGS_OF_ISSUES = (base, field, outbox, target, taken_fields)

WITHOUT_DIALOG = {
    "budget",
    "clock",
    "entity_gone",
    "export_damaged",
    "newer_version",
    "sites",
}
"""What only another form mends, or an update."""

OF_EXPORTS = set(ENGLISH["issues"]) - {"budget", "clock", "newer_version", "sites"}
"""Without those of the import and of the whole account."""


async def test_issues(hass: HomeAssistant) -> None:
    """Every repair issue has its words, which quote nothing but what it hands over."""
    raised = Issues(hass, "entry", "me@example.com", "instance")
    target = WriteTarget("collector", "db", "rp_one_m")
    for kind in TARGET_KINDS:
        raised.report_target(kind, WriteTarget(kind, "db", "rp_one_m"), "403")
    exported = {ATTR_EXPORT_ID: "export"}
    raised.report("export_damaged", exported, export="House", lost="collector")
    exported |= {CONF_FIELD: "x_W"}
    raised.report("entity_gone", exported, export="House", entity="sensor.a")
    key = FieldKey(target, "gridMetrics", "x_W", "float")
    raised.report("field_blocked", of_field(key), error="409")
    raised.report("outbox_limit", dropped="7")
    raised.report("outbox_closed", error="not a file")
    raised.report("outbox_damaged", file="outbox.db.damaged", carried="3")
    raised.report("not_on_disk", dropped="3", error="disk full")
    issues = [
        issue for issue in ir.async_get(hass).issues.values() if issue.domain == DOMAIN
    ]
    assert {issue.translation_key for issue in issues} == OF_EXPORTS == set(KINDS)
    for issue in issues:
        texts = ENGLISH["issues"][issue.translation_key]
        given = set(issue.translation_placeholders or {})
        assert "account" in given
        assert quoted(texts["title"]) <= given, issue.translation_key
        # What a dialog says is checked where that is walked
        has_dialog = issue.translation_key not in WITHOUT_DIALOG
        assert issue.is_fixable is has_dialog
        assert ("fix_flow" in texts) is has_dialog
        assert quoted(texts.get("description", "")) <= given, issue.translation_key
    raised.resolve_all()
    assert not [key for key in ir.async_get(hass).issues if key[0] == DOMAIN]


def test_dialogs_of_issues() -> None:
    """No step, error or end of a repair dialog is left over."""
    known = {f"name_{problem}" for problem in strings(write)}
    known |= strings(kinds) | strings(names)
    steps = set()
    for module in DIALOGS_OF_ISSUES:
        known |= strings(module)
        steps |= {
            node.name.removeprefix("async_step_")
            for node in ast.walk(ast.parse(inspect.getsource(module)))
            if isinstance(node, ast.AsyncFunctionDef)
        }
    for kind, texts in ENGLISH["issues"].items():
        if kind in WITHOUT_DIALOG:
            assert set(texts) == {"title", "description"}
            continue
        flow = texts["fix_flow"]
        assert set(flow) <= {"step", "error", "abort"}, kind
        assert set(flow["step"]) <= steps, kind
        for step in flow["step"].values():
            assert step["title"]
            assert set(step.get("menu_options", {})) <= steps
            assert set(step.get("data", {})) == set(step.get("data_description", {}))
        assert set(flow.get("error", {})) <= known, kind
        assert set(flow["abort"]) <= known, kind


@pytest.mark.parametrize("platform", DESCRIPTIONS)
def test_entities(platform: str) -> None:
    """Every entity of an export has a name, its own or that of its device class, and an icon."""
    texts = ENGLISH["entity"].get(platform, {})
    icons = ICONS["entity"].get(platform, {})
    for description in DESCRIPTIONS[platform]:
        if description.translation_key is None:
            assert description.device_class is not None
            continue
        assert texts[description.translation_key]["name"]
        assert icons[description.translation_key]["default"].startswith("mdi:")
    if platform not in ("sensor", "binary_sensor"):
        # The others are fields of nodes
        assert set(texts) == {
            description.translation_key
            for description in DESCRIPTIONS[platform]
            if description.translation_key is not None
        }


def test_counts_have_a_unit() -> None:
    """A count says what it counts."""
    for description in sensor.EXPORT_SENSORS:
        texts = ENGLISH["entity"]["sensor"][description.translation_key]
        assert ("unit_of_measurement" in texts) == (description.device_class is None)


def test_icons() -> None:
    """No icon is left over, and every icon is one."""
    for platform, icons in ICONS["entity"].items():
        assert set(icons) <= set(ENGLISH["entity"][platform]), platform
    assert set(ICONS) == {"entity", "services"}
    assert set(ICONS["services"]) == set(ENGLISH["services"])
