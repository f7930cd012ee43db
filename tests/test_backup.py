"""A backup: the file of an outbox is whole and at rest while it is copied, and nothing is lost by that."""

from pathlib import Path
import sqlite3
from typing import Any

import pytest

from custom_components.eniris.backup import async_post_backup, async_pre_backup
from custom_components.eniris.exporting.outbox.store import outbox_path
from homeassistant.helpers.storage import STORAGE_DIR
from tests.kit.exports import INGRESS, POWER, Home, MeterWorld

FIELD = "actualPowerTot_W"


@pytest.fixture
def world() -> MeterWorld:
    """Return a small world."""
    return MeterWorld()


def content_of(home: Home) -> dict[str, bytes]:
    """Return the files of an outbox that hold something, but for what its users share."""
    directory = Path(home.hass.config.path(STORAGE_DIR))
    path = outbox_path(directory, home.entry.entry_id)
    return {
        file.name: content
        for file in directory.glob(f"{path.name}*")
        if not file.name.endswith("-shm") and (content := file.read_bytes())
    }


async def measure(home: Home, *watts: int) -> None:
    """Let the power sensor have values, one a second."""
    for each in watts:
        home.hass.states.async_set(POWER, str(each), {"unit_of_measurement": "W"})
        await home.wait(1)


@pytest.mark.expected_log("cannot be uploaded at present")
async def test_reload_meanwhile(home: Home) -> None:
    """It ends at once and writes nothing; what was in memory goes up after it, the backlog after the backup."""
    export = await home.add_export({home.add_power(): FIELD})
    home.simulator.faults.add(INGRESS, "status", status=503)
    await measure(home, 1, 2, 3)
    await async_pre_backup(home.hass)
    before = content_of(home)
    # One file, without what was not moved into it yet
    assert len(before) == 1
    await measure(home, 4, 5, 6)
    assert await home.hass.config_entries.async_reload(home.entry.entry_id)
    await measure(home, 7, 8, 9)
    assert content_of(home) == before
    home.simulator.faults.clear()
    await async_post_backup(home.hass)
    await home.wait(60)
    assert set(home.values()) == set(map(float, range(1, 10)))
    assert home.shown(export, "waiting") == "0"


@pytest.mark.expected_log("outbox cannot be opened")
async def test_outbox_that_is_not_open(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An outbox that cannot be opened stops no backup, nor does the end of one that never began."""
    await async_post_backup(home.hass)
    await home.hass.config_entries.async_unload(home.entry.entry_id)

    def fail(*_args: Any, **_kwargs: Any) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(sqlite3, "connect", fail)
    await home.hass.config_entries.async_setup(home.entry.entry_id)
    await home.settle()
    await async_pre_backup(home.hass)
    await async_post_backup(home.hass)
