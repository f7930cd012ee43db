"""The tests' layout: each module has its test file, under its own name, and no file is called after anything else."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from . import source
from .files import PACKAGE, ROOT

TESTS: Final = ROOT / "tests"

APART: Final = {
    "chaos",
    "docs",
    "e2e",
    "fuzz",
    "kit",
    "proof",
    "scripts",
    "security",
    "simulator",
}
"""Folders of tests that are not about one module."""


def check() -> Iterator[str]:
    """Yield what breaks the rules.

    A module's test file is `test_<module>.py` in the folder that corresponds to the module's, a package's own is
    `test_init.py`. A module that needs several has `test_<module>_<topic>.py` as well.
    """
    modules = {_stem(module.path) for module in source.modules()}
    tests = {
        path.relative_to(TESTS).with_suffix("")
        for path in TESTS.rglob("test_*.py")
        if path.relative_to(TESTS).parts[0] not in APART
    }
    for module in source.modules():
        wanted = _stem(module.path)
        if _does_something(module) and wanted not in tests:
            yield f"{module.name} has no tests/{wanted}.py"
    for test in sorted(tests):
        named = (
            test.with_name(test.name[:end])
            for end in range(len("test_") + 1, len(test.name) + 1)
            if test.name[end:].startswith("_") or end == len(test.name)
        )
        if modules.isdisjoint(named):
            yield f"tests/{test}.py is called after no module"


def _stem(path: Path) -> Path:
    """Return where the test of a module is, without suffix, below the tests."""
    name = "init" if path.stem == "__init__" else path.stem
    return path.relative_to(PACKAGE).with_name(f"test_{name}")


def _does_something(module: source.Module) -> bool:
    """Tell whether there is something to test, more than names, tables and shapes of data."""
    return any(
        isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in module.walk()
    )
