"""What is on disk is the owner's alone, from the first moment, whatever the umask."""

from collections.abc import Callable, Iterator
from contextlib import suppress
import os
from pathlib import Path
import sqlite3
import stat
import sys
from typing import Any

from freezegun.api import FrozenDateTimeFactory
import pytest

from custom_components.eniris.exporting.outbox.figures import Figures, save_figures
from custom_components.eniris.exporting.outbox.store import outbox_path
from custom_components.eniris.importing.history import history_store
from custom_components.eniris.importing.totals import totals_store
from homeassistant.core import HomeAssistant
from simulator.server import Simulator
from tests.kit.exports import POWER, home_with_account
from tests.kit.outbox import new_store

FIGURES = {"export": Figures(dropped=1)}


@pytest.fixture(params=[0o000, 0o022], ids=["umask 000", "umask 022"])
def umask(request: pytest.FixtureRequest) -> Iterator[None]:
    """Let whatever is created be as open as it asks for."""
    before = os.umask(request.param)
    yield
    os.umask(before)


def modes(folder: Path) -> dict[str, str]:
    """Return the mode of each file in a folder, as the shell has it."""
    return {
        path.name: f"{stat.S_IMODE(path.stat().st_mode):o}"
        for path in sorted(folder.iterdir())
        if path.is_file()
    }


def contents(folder: Path) -> dict[Path, bytes]:
    """Return what is in the files of a folder."""
    return {file: file.read_bytes() for file in folder.iterdir()}


@pytest.mark.usefixtures("umask")
async def test_an_outbox_and_its_side_files(tmp_path: Path) -> None:
    """A new one, and one the files of which were open to everybody."""
    path = outbox_path(tmp_path, "x")
    for _ in range(2):
        store = new_store(path)
        await store.open()
        await store.run(save_figures, FIGURES)
        found = modes(tmp_path)
        assert set(found) == {path.name, f"{path.name}-wal", f"{path.name}-shm"}
        assert set(found.values()) == {"600"}
        # As a crash leaves them, and a restored backup
        copies = contents(tmp_path)
        await store.close()
        for file, data in copies.items():
            file.write_bytes(data)
            file.chmod(0o666)


@pytest.mark.expected_log("cannot be read")
@pytest.mark.expected_log("0 waiting values were carried over")
@pytest.mark.usefixtures("umask")
async def test_an_outbox_that_is_set_aside(tmp_path: Path) -> None:
    """What is kept of a damaged one is as closed as the new one."""
    path = outbox_path(tmp_path, "x")
    for suffix in ("", "-wal", "-shm"):
        file = path.with_name(f"{path.name}{suffix}")
        file.write_bytes(b"damaged" * 1000)
        file.chmod(0o666)
    store = new_store(path)
    await store.open()
    await store.run(save_figures, FIGURES)
    found = modes(tmp_path)
    assert len([name for name in found if "damaged" in name]) >= 1
    assert path.name in found
    assert set(found.values()) == {"600"}
    await store.close()


_TOUCHES = ("open", "os.chmod", "os.rename", "os.remove", "sqlite3.connect")
_watched: list[Callable[[], None]] = []


def _touched(event: str, _arguments: object) -> None:
    if event in _TOUCHES:
        for look in _watched:
            look()


async def test_no_moment_in_which_others_can_read(tmp_path: Path, umask: None) -> None:
    """Looked at whenever a file is touched, none is ever open to more than its owner."""
    seen: set[tuple[str, str]] = set()

    def look() -> None:
        with suppress(FileNotFoundError):
            seen.update(modes(tmp_path).items())

    # There is no way to remove one; without anything to call it does nothing
    sys.addaudithook(_touched)
    _watched.append(look)
    try:
        store = new_store(outbox_path(tmp_path, "x"))
        await store.open()
        for _ in range(3):
            await store.run(save_figures, FIGURES)
            look()
        await store.close()
    finally:
        _watched.clear()
    assert len({name for name, _ in seen}) == 3
    assert {mode for _, mode in seen} == {"600"}


@pytest.mark.usefixtures("umask", "real_storage")
async def test_the_other_stores(hass: HomeAssistant) -> None:
    """Totals of energy, and what of the past is still to be fetched, say how a home lives."""
    await totals_store(hass, "x").async_save([])
    await history_store(hass, "x").async_save({})
    storage = Path(hass.config.path(".storage"))
    found = {name: mode for name, mode in modes(storage).items() if "eniris" in name}
    assert found == {"eniris.x.totals": "600", "eniris.x.history": "600"}


@pytest.mark.usefixtures("umask", "real_storage")
async def test_an_account_that_exports(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    simulator: Simulator,
    user_input: dict[str, Any],
) -> None:
    """All that we have on disk while it runs, and nothing is left when it is removed."""
    home = await home_with_account(hass, freezer, simulator, user_input)
    home.add_power()
    await home.add_export({POWER: "actualPowerTot_W"})
    await home.wait(6)
    storage = Path(hass.config.path(".storage"))
    found = {name: mode for name, mode in modes(storage).items() if "eniris" in name}
    assert len(found) >= 3
    assert set(found.values()) == {"600"}
    await hass.config_entries.async_remove(home.entry.entry_id)
    await hass.async_block_till_done()
    assert not [name for name in modes(storage) if "eniris" in name]


def test_the_umask_of_a_test_counts(tmp_path: Path, umask: None) -> None:
    """A database that is created carelessly is open to others."""
    path = tmp_path / "careless.db"
    sqlite3.connect(path).execute("CREATE TABLE t (x)").connection.close()
    assert modes(tmp_path)[path.name] in ("644", "666")
