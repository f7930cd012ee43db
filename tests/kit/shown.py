"""That every form, menu, end of a dialog and repair issue of ours that any test is shown has its words."""

from collections.abc import Iterator, Mapping
import json
from pathlib import Path
import string
from typing import Any

import voluptuous as vol

from custom_components import eniris
from custom_components.eniris.const import DOMAIN
from homeassistant.components.repairs import RepairsFlow
from homeassistant.config_entries import ConfigSubentryFlow, OptionsFlow
from homeassistant.data_entry_flow import (
    FlowHandler,
    FlowManager,
    FlowResultType,
    section,
)
from homeassistant.helpers import issue_registry as ir
from homeassistant.helpers.selector import SelectSelector

ENGLISH: Mapping[str, Any] = json.loads(
    (Path(eniris.__file__).parent / "translations" / "en.json").read_text("utf-8")
)

_NAMED_BY_ENTITIES = ("attributes", "fields")
"""Steps the fields of which have the names of entities."""

_KINDS: dict[str, str] = {}
"""Of what each repair dialog is, by its flow id, since its issue may be gone before it ends."""


class WordsMissingError(AssertionError):
    """A text is missing, or quotes what it is not given."""


def quoted(*texts: str) -> set[str]:
    """Return the placeholders of texts."""
    return {
        name
        for text in texts
        for _, name, _, _ in string.Formatter().parse(text)
        if name
    }


def checked_step() -> Any:
    """Return what Home Assistant's manager of dialogs does in a step, with a check of what it shows."""
    handle = FlowManager._async_handle_step

    async def handle_and_check(
        self: Any, flow: Any, step_id: str, user_input: Any
    ) -> Any:
        result = await handle(self, flow, step_id, user_input)
        if type(flow).__module__.startswith(f"{eniris.__name__}."):
            for problem in _problems(flow, result):
                raise WordsMissingError(f"{problem}: {result}")
        return result

    return handle_and_check


def checked_issue() -> Any:
    """Return what Home Assistant does to raise a repair issue, with a check of its words."""
    get_or_create = ir.IssueRegistry.async_get_or_create

    def check_and_create(self: Any, domain: str, issue_id: str, **kwargs: Any) -> Any:
        if domain == DOMAIN:
            texts = ENGLISH["issues"][kwargs["translation_key"]]
            used = [texts["title"], texts.get("description", "")]
            given = set(kwargs.get("translation_placeholders") or {})
            if quoted(*used) - given or kwargs["is_fixable"] is not (
                "fix_flow" in texts
            ):
                raise WordsMissingError(f"{used}: {kwargs}")
        return get_or_create(self, domain, issue_id, **kwargs)

    return check_and_create


def _texts_of(flow: FlowHandler[Any, Any, Any]) -> Mapping[str, Any]:
    """Return the texts of a dialog."""
    if isinstance(flow, OptionsFlow):
        return dict(ENGLISH["options"])
    if isinstance(flow, ConfigSubentryFlow):
        return dict(ENGLISH["config_subentries"][flow.handler[1]])
    if isinstance(flow, RepairsFlow):
        issue = ir.async_get(flow.hass).async_get_issue(DOMAIN, flow.issue_id)
        if issue is not None and issue.translation_key is not None:
            _KINDS[flow.flow_id] = issue.translation_key
        return dict(ENGLISH["issues"][_KINDS[flow.flow_id]]["fix_flow"])
    return dict(ENGLISH["config"])


def _problems(flow: Any, result: Mapping[str, Any]) -> Iterator[str]:
    """Yield what has no words, and what is quoted but not given."""
    if result["type"] is FlowResultType.CREATE_ENTRY:
        return
    texts = _texts_of(flow)
    used: list[Any] = []
    if result["type"] is FlowResultType.ABORT:
        used.append(texts["abort"].get(result["reason"]))
    elif result["type"] is FlowResultType.SHOW_PROGRESS:
        used.append(texts["progress"].get(result["progress_action"]))
    elif result["type"] in (FlowResultType.FORM, FlowResultType.MENU):
        step = texts["step"][result["step_id"]]
        used += [step["title"], step.get("description", "")]
        used += [
            step["menu_options"].get(key) for key in result.get("menu_options", ())
        ]
        used += [
            texts["error"].get(key) for key in (result.get("errors") or {}).values()
        ]
        if (
            result["type"] is FlowResultType.FORM
            and result["data_schema"] is not None
            and result["step_id"] not in _NAMED_BY_ENTITIES
        ):
            used += _texts_of_fields(result["data_schema"], step)
    if None in used:
        yield "Something has no text"
    given = set(result.get("description_placeholders") or {})
    if missing := quoted(*(text for text in used if text)) - given:
        yield f"{missing} are quoted, but not given"


def _texts_of_fields(schema: vol.Schema, step: Mapping[str, Any]) -> Iterator[Any]:
    """Yield names and descriptions of all fields, None for what has none."""
    for key, value in schema.schema.items():
        if isinstance(value, section):
            part = step.get("sections", {}).get(str(key), {})
            yield part.get("name")
            yield from _texts_of_fields(value.schema, part)
        else:
            yield step.get("data", {}).get(str(key))
            yield step.get("data_description", {}).get(str(key))
        if isinstance(value, SelectSelector) and "translation_key" in value.config:
            words = ENGLISH["selector"][value.config["translation_key"]]["options"]
            for option in value.config["options"]:
                if isinstance(option, str):
                    yield words.get(option)
