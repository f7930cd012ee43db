"""The integration's code: how large it may be, what it may import, and what is said where something fails."""

import ast
from collections.abc import Iterator
import re
import sys
from typing import Final

from homeassistant.const import Platform

from . import source
from .files import DOMAIN, ENGLISH, MANIFEST, PACKAGE

FILE_LINES: Final = 400
CLASS_LINES: Final = 250

SHIPPED: Final = {
    "aiohttp",
    "homeassistant",
    "orjson",
    "sqlalchemy",
    "voluptuous",
    "yarl",
    *sys.stdlib_module_names,
}
"""What Home Assistant and Python bring."""

BLOCKING: Final = {"httpx", "requests", "socket", "subprocess", "urllib3"}
"""What would hold up the event loop."""

ALWAYS_THERE: Final = {
    *(platform.value for platform in Platform),
    "automation",
    "frontend",
    "homeassistant",
    "persistent_notification",
    "script",
    "sun",
    "webhook",
    "websocket_api",
    "zone",
}
"""Components that every Home Assistant has, or that are no more than base classes."""

DOORS: Final = {"diagnostics", "repairs", "system_health"}
"""Modules named like the component that calls them, from which they may import."""

EXCEPTIONS: Final = (
    "ConfigEntryAuthFailed",
    "ConfigEntryError",
    "ConfigEntryNotReady",
    "HomeAssistantError",
    "ServiceValidationError",
    "UpdateFailed",
)
"""Those of Home Assistant that a user gets to read."""


_SESSIONS: Final = {"async_create_clientsession", "async_get_clientsession"}


def check() -> Iterator[str]:
    """Yield what is wrong with the code."""
    for module in source.modules():
        yield from _sizes(module)
        yield from _imports(module)
        yield from _style(module)
    yield from _exceptions()
    for module, call in source.calls("ClientSession", "sleep", *_SESSIONS):
        name = source.callee(call)
        if name == "ClientSession" or (name in _SESSIONS and module.name != "http.py"):
            yield f"{module.name} makes a session of its own; http.py makes the one there is."
        if name == "sleep" and ast.unparse(call.func) != "asyncio.sleep":
            yield f"{module.name}:{call.lineno} blocks while it sleeps."
    for platform in Platform:
        path = PACKAGE / f"{platform.value}.py"
        if path.is_file() and not re.search(
            r"^PARALLEL_UPDATES = [01]$", path.read_text("utf-8"), re.MULTILINE
        ):
            yield f"{path.name} does not say how many calls it takes at a time."


def _sizes(module: source.Module) -> Iterator[str]:
    lines = len(module.path.read_text("utf-8").splitlines())
    if lines > FILE_LINES:
        yield f"{module.name} has {lines} lines, more than {FILE_LINES}."
    for node in module.walk():
        if isinstance(node, ast.ClassDef) and node.end_lineno is not None:
            lines = node.end_lineno - node.lineno + 1
            where = f"{module.name}: {node.name}"
            if lines > CLASS_LINES:
                yield f"{where} has {lines} lines, more than {CLASS_LINES}."


def _imports(module: source.Module) -> Iterator[str]:
    required = {
        re.split(r"[\[=]", each)[0].replace("-", "_")
        for each in MANIFEST.get("requirements", [])
    }
    allowed = {
        *ALWAYS_THERE,
        *MANIFEST.get("dependencies", []),
        *MANIFEST.get("after_dependencies", []),
    }
    door = module.name.partition("/")[0].removesuffix(".py")
    for node in module.walk():
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            parts = name.split(".")
            if parts[0] not in SHIPPED | required:
                yield f"{module.name} imports {name}, which is not required."
            if parts[0] in BLOCKING:
                yield f"{module.name} imports {name}, which blocks."
            if (
                parts[:2] == ["homeassistant", "components"]
                and parts[2] not in allowed
                and not (parts[2] == door and door in DOORS)
            ):
                yield f"{module.name} imports {name}, which need not be there."


def _style(module: source.Module) -> Iterator[str]:
    for node in module.walk():
        if getattr(node, "attr", None) == "_attr_icon":
            yield f"{module.name} sets an icon, which belongs into icons.json."
        # All outboxes are at rest for a backup, and none has an entry of its own
        if (
            isinstance(node, ast.Subscript)
            and ast.unparse(node.value).endswith("hass.data")
            and module.name != "backup.py"
        ):
            yield f"{module.name} keeps data elsewhere than with its entry."


def _exceptions() -> Iterator[str]:
    """Yield where a user would get to read a text that is missing, or is in English alone."""
    for module in source.modules():
        for node in module.walk():
            if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Name):
                if node.exc.id in EXCEPTIONS:
                    yield f"{module.name}:{node.lineno} raises {node.exc.id} without a text."
    for module, call in source.calls(*EXCEPTIONS):
        where = f"{module.name}:{call.lineno}"
        if call.args:
            yield f"{where} has a text that cannot be translated."
        if module.text(source.argument(call, "translation_domain")) != DOMAIN:
            yield f"{where} has no translation domain."
    texts = ENGLISH["exceptions"]
    for each in source.given(*EXCEPTIONS):
        if each.key == source.UNSEEN:
            continue
        if each.key not in texts:
            yield f"{each.where} has no text: {each.key}."
        elif each.placeholders is not None and (
            missing := set(re.findall(r"{(\w+)}", texts[each.key]["message"]))
            - each.placeholders
        ):
            yield f"{each.where} does not hand over what {each.key} quotes: {missing}."
