"""The finding of a Chromium."""

from pathlib import Path

import pytest

from .browser import PATH_VARIABLE, find_chromium


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a program in a folder that is the whole PATH."""
    monkeypatch.delenv(PATH_VARIABLE, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    program = tmp_path / "google-chrome"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    return program


def test_found_by_name(program: Path) -> None:
    """Any of the names that distributions use is found."""
    assert find_chromium() == str(program)


def test_nothing_found(program: Path) -> None:
    """A machine without a browser has none."""
    program.unlink()
    assert find_chromium() is None


def test_named(program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is named goes before those on the PATH."""
    other = program.with_name("another")
    program.rename(other)
    monkeypatch.setenv(PATH_VARIABLE, str(other))
    assert find_chromium() == str(other)


def test_named_but_not_there(program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong name is an error, whatever else is installed."""
    monkeypatch.setenv(PATH_VARIABLE, str(program.with_name("missing")))
    with pytest.raises(FileNotFoundError, match=PATH_VARIABLE):
        find_chromium()
