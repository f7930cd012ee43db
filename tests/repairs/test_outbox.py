"""Repairs of the file in which values wait."""

from contextlib import closing
from pathlib import Path
import sqlite3

import pytest

from custom_components.eniris.const import CONF_AGE_LIMIT, CONF_OUTBOX, CONF_SIZE_LIMIT
from custom_components.eniris.exporting.outbox import memory, store
from custom_components.eniris.exporting.outbox.rows import Rows
from tests.kit.exports import INGRESS, Home

from .kit import Fix, export_power, measure


async def reach_limit(home: Home) -> None:
    """Have values dropped by age."""
    home.simulator.faults.add(INGRESS, "drop")
    home.hass.config_entries.async_update_entry(
        home.entry, options={CONF_OUTBOX: {CONF_SIZE_LIMIT: 8, CONF_AGE_LIMIT: 1}}
    )
    await home.settle()
    await export_power(home)
    await measure(home, 1)
    await home.wait(86_400 + 60, step=86_400)
    await measure(home, 2, 31)
    assert home.issues()["outbox_limit"]["dropped"] == "2"


@pytest.mark.expected_log("has reached its limit")
async def test_limit_acknowledged(home: Home, fix: Fix) -> None:
    """What was dropped is told of no more; what is dropped later is."""
    await reach_limit(home)
    await fix.open("outbox_limit", "acknowledge")
    await fix.submit()
    fix.expect_solved()
    await home.wait(60)
    assert not home.issues()
    await home.wait(86_400 + 60, step=86_400)
    await home.wait(31)
    assert home.issues()["outbox_limit"]["dropped"] == "1"


def damaged(home: Home) -> list[Path]:
    """Return the files that were set aside, side files included."""
    return list(Path(home.hass.config.path(".storage")).glob("*damaged*"))


@pytest.mark.expected_log("cannot be read")
@pytest.mark.expected_log("were carried over")
async def test_damaged_files_deleted(home: Home, fix: Fix) -> None:
    """What is shown is deleted, with its side files, and nothing else is."""
    await export_power(home)
    entry_id = home.entry.entry_id
    storage = Path(home.hass.config.path(".storage"))
    for _ in range(2):
        assert await home.hass.config_entries.async_unload(entry_id)
        (storage / f"eniris.{entry_id}.outbox.db").write_bytes(b"garbage" * 1000)
        assert await home.hass.config_entries.async_setup(entry_id)
        await home.settle()
    # SQLite itself takes away a log that is none
    assert len(damaged(home)) == 2
    for file in damaged(home):
        file.with_name(f"{file.name}-wal").touch()
    await fix.open("outbox_damaged", "confirm")
    shown = fix.shown["description_placeholders"]["files"]
    assert shown.count("damaged-") == 2
    await fix.submit()
    fix.expect_solved()
    assert not damaged(home)
    assert (storage / f"eniris.{entry_id}.outbox.db").exists()
    await home.wait(60, step=10)
    assert not home.issues()


@pytest.mark.expected_log("cannot be read")
@pytest.mark.expected_log("2 waiting values were carried over")
async def test_values_carried_over(home: Home, fix: Fix) -> None:
    """What can be read of a damaged file is sent, and how much that is is told until the file is deleted."""
    home.simulator.faults.add(INGRESS, "drop")
    await export_power(home)
    await measure(home, 1)
    entry_id = home.entry.entry_id
    assert await home.hass.config_entries.async_unload(entry_id)
    await home.settle()
    outbox = Path(home.hass.config.path(".storage")) / f"eniris.{entry_id}.outbox.db"
    damage_a_page(outbox)
    home.simulator.faults.clear()
    assert await home.hass.config_entries.async_setup(entry_id)
    await home.wait(31)
    assert home.values() == [1.0]
    assert home.issues()["outbox_damaged"]["carried"] == "2"
    assert await home.hass.config_entries.async_reload(entry_id)
    await home.wait(31)
    await fix.open("outbox_damaged", "confirm")
    assert fix.shown["description_placeholders"]["carried"] == "2"


def damage_a_page(outbox: Path) -> None:
    """Damage a page of a file in which no value waits."""
    with closing(sqlite3.connect(outbox)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        (size,) = db.execute("PRAGMA page_size").fetchone()
        (page,) = db.execute(
            "SELECT rootpage FROM sqlite_schema WHERE name = 'reject'"
        ).fetchone()
    with outbox.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"garbage" * 20)


# The disk


async def limit_pages(home: Home, pages: int | None) -> None:
    """Let the outbox' file become no larger than it is, or than so many pages."""

    def limit(rows: Rows) -> None:
        (size,) = rows.db.execute("PRAGMA page_count").fetchone()
        rows.db.execute(f"PRAGMA max_page_count = {pages or size}")

    await home.entry.runtime_data.exporter.outbox.store.run(limit)


@pytest.mark.expected_log("cannot be put on disk .*full")
@pytest.mark.expected_log("the oldest are dropped")
@pytest.mark.expected_log("can be put on disk again")
async def test_disk_full_for_long(
    home: Home, fix: Fix, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory is bounded: the oldest are dropped, counted and told of; the newest are kept."""
    monkeypatch.setattr(memory, "MEMORY_LIMIT", 10)
    home.simulator.faults.add(INGRESS, "drop")
    export = await export_power(home)
    await measure(home, 1)
    await limit_pages(home, None)
    watts = 2
    while "not_on_disk" not in home.issues():
        await measure(home, watts, 1)
        watts += 1
        assert watts < 2000
    await fix.open("not_on_disk", "try_again")
    await fix.submit()
    fix.expect("try_again", base="still_failing")
    assert "full" in fix.shown["description_placeholders"]["error"]
    assert "not_on_disk" in home.issues()
    dropped = home.entry.runtime_data.exporter.outbox.dropped
    assert 0 < dropped < 40
    await limit_pages(home, 1_000_000)
    await fix.submit()
    fix.expect_solved()
    await home.wait(31)
    figures = home.entry.runtime_data.exporter.status(export.subentry_id).figures
    assert figures.dropped == dropped
    home.simulator.faults.clear()
    await home.wait(310, step=10)
    values = home.values()
    # Every one but those that were dropped, and the first, which had the time of the second
    assert len(values) == watts - 1 - dropped
    assert values[-10:] == [float(number) for number in range(watts - 10, watts)]
    assert not home.issues()


@pytest.mark.expected_log("The outbox cannot be opened")
@pytest.mark.expected_log("cannot be uploaded at present")
async def test_file_cannot_be_opened(
    home: Home, fix: Fix, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Values are kept in memory; once the file can be opened they are put there, beside what was there before."""
    fault = home.simulator.faults.add(INGRESS, "status", status=503)
    export = await export_power(home)
    await measure(home, 1)
    with monkeypatch.context() as patch:
        patch.setattr(store, "connect", refuse_to_connect)
        assert await home.hass.config_entries.async_reload(home.entry.entry_id)
        await measure(home, 2)
        await fix.open("outbox_closed", "try_again")
        await fix.submit()
        fix.expect("try_again", base="still_failing")
        assert "unable" in fix.shown["description_placeholders"]["error"]
        assert "outbox_closed" in home.issues()
    await fix.submit()
    fix.expect_solved()
    home.simulator.faults.remove(fault.id)
    await home.wait(310, step=10)
    assert list(dict.fromkeys(home.values())) == [1.0, 2.0]
    figures = home.entry.runtime_data.exporter.status(export.subentry_id).figures
    # Each once: two at the first time, and the present one once more after the start
    assert figures.uploaded == 4
    assert not home.issues()


def refuse_to_connect(path: Path) -> sqlite3.Connection:
    """Fail as SQLite does where it may not open a file."""
    raise sqlite3.OperationalError("unable to open database file")
