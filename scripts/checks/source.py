"""What the integration's code says, read without running it: calls, translation keys, placeholders."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType

from custom_components import eniris

from .files import PACKAGE


@dataclass(frozen=True)
class Module:
    """A file of the integration."""

    path: Path

    @property
    def name(self) -> str:
        """The path within the package, for messages."""
        return self.path.relative_to(PACKAGE).as_posix()

    @property
    def tree(self) -> ast.Module:
        """The syntax tree."""
        return _parsed(self.path)

    @property
    def imported(self) -> ModuleType:
        """The module itself."""
        relative = self.path.relative_to(PACKAGE).with_suffix("")
        parts = [part for part in relative.parts if part != "__init__"]
        return import_module(".".join([eniris.__name__, *parts]))

    def walk(self) -> Iterator[ast.AST]:
        """Return everything in the module."""
        return ast.walk(self.tree)

    def text(self, node: ast.AST | None) -> str | None:
        """Return the string that an expression is, literally or as a constant of the module."""
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            return node.value
        if isinstance(node, ast.Name):
            value = getattr(self.imported, node.id, None)
            return value if isinstance(value, str) else None
        return None


@cache
def _parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


@cache
def modules() -> tuple[Module, ...]:
    """Return all files of the integration."""
    return tuple(Module(path) for path in sorted(PACKAGE.rglob("*.py")))


@cache
def strings() -> frozenset[str]:
    """Return every string that stands in the code."""
    return frozenset(
        node.value
        for module in modules()
        for node in module.walk()
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )


def callee(call: ast.Call) -> str:
    """Return the last part of the name that is called."""
    match call.func:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


def argument(call: ast.Call, name: str, position: int | None = None) -> ast.expr | None:
    """Return what a call hands over under a name, or at a position."""
    for keyword in call.keywords:
        if keyword.arg == name:
            return keyword.value
    if position is not None and position < len(call.args):
        return call.args[position]
    return None


def calls(*names: str) -> Iterator[tuple[Module, ast.Call]]:
    """Return every call of functions or classes of these names."""
    for module in modules():
        for node in module.walk():
            if isinstance(node, ast.Call) and callee(node) in names:
                yield module, node


UNSEEN = "?"


@dataclass(frozen=True)
class Given:
    """A translation key that is handed over somewhere."""

    where: str
    key: str | None
    """None where there is none at all, `UNSEEN` for one that is computed."""

    placeholders: frozenset[str] | None
    """Their names, None where the code does not show them."""


type _Function = ast.FunctionDef | ast.AsyncFunctionDef


def given(*names: str) -> list[Given]:
    """Return the translation keys in calls of `names`, and in calls of functions that make such calls."""
    found: list[Given] = []
    for module in modules():
        for function, call in _calls_within(module, names):
            where = f"{module.name}:{call.lineno}"
            key = argument(call, "translation_key")
            if key is None:
                found.append(Given(where, None, frozenset()))
                continue
            quoted = argument(call, "translation_placeholders")
            for choice in _choices(key):
                text = module.text(choice)
                if (
                    text is None
                    and function is not None
                    and isinstance(choice, ast.Name)
                    and choice.id in _parameters(function)
                ):
                    found.extend(_through(function, choice.id, quoted))
                else:
                    found.append(Given(where, text or UNSEEN, _names(quoted)))
    return found


def _choices(node: ast.expr) -> list[ast.expr]:
    if isinstance(node, ast.IfExp):
        return [*_choices(node.body), *_choices(node.orelse)]
    return [node]


def _calls_within(
    module: Module, names: tuple[str, ...]
) -> Iterator[tuple[_Function | None, ast.Call]]:
    """Return calls with the innermost function that they are in."""

    def visit(
        node: ast.AST, function: _Function | None
    ) -> Iterator[tuple[_Function | None, ast.Call]]:
        for child in ast.iter_child_nodes(node):
            inner = (
                child
                if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
                else function
            )
            if isinstance(child, ast.Call) and callee(child) in names:
                yield inner, child
            yield from visit(child, inner)

    yield from visit(module.tree, None)


def _names(node: ast.expr | None) -> frozenset[str] | None:
    """Return the keys of a dict that is written out."""
    if node is None:
        return frozenset()
    if not isinstance(node, ast.Dict):
        return None
    if not all(isinstance(key, ast.Constant) for key in node.keys):
        return None
    return frozenset(
        str(key.value) for key in node.keys if isinstance(key, ast.Constant)
    )


def _parameters(function: _Function) -> list[str]:
    parameters = [*function.args.posonlyargs, *function.args.args]
    return [each.arg for each in parameters if each.arg not in ("self", "cls")]


def _through(
    function: _Function, parameter: str, quoted: ast.expr | None
) -> Iterator[Given]:
    """Return the keys that callers hand to a function, which hands them on as `parameter`."""
    names = _parameters(function)
    rest = function.args.kwarg and function.args.kwarg.arg
    for module, call in calls(function.name):
        placeholders = _names(quoted)
        if isinstance(quoted, ast.Name) and quoted.id == rest:
            others = [each.arg for each in call.keywords if each.arg not in names]
            placeholders = frozenset(name for name in others if name is not None)
            if None in others:
                placeholders = None
        key = argument(call, parameter, names.index(parameter))
        for choice in [] if key is None else _choices(key):
            yield Given(
                f"{module.name}:{call.lineno}",
                module.text(choice) or UNSEEN,
                placeholders,
            )
