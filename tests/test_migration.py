"""What newer versions have stored is left alone, in plain words; what was stored before fields had kinds is used as it is."""

from pathlib import Path
from typing import Any

import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.eniris.const import CONF_FIELDS, CONF_KIND, DOMAIN
from custom_components.eniris.exporting.outbox.store import outbox_path
from homeassistant.config_entries import ConfigEntryState
from homeassistant.core import HomeAssistant
from homeassistant.helpers import issue_registry as ir
from homeassistant.helpers.storage import STORAGE_DIR
from homeassistant.setup import async_setup_component

from .kit.common import open_options
from .kit.exports import POWER, Dialog, Home, MeterWorld


@pytest.fixture
def world() -> MeterWorld:
    """Return a small world."""
    return MeterWorld()


def issues(hass: HomeAssistant) -> set[str | None]:
    """Return what repair issues are about."""
    return {
        issue.translation_key
        for issue in ir.async_get(hass).issues.values()
        if issue.domain == DOMAIN and issue.active
    }


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the errors that tell of the account, but for Home Assistant's own remark on its version."""
    return [
        record.getMessage()
        for record in caplog.records
        if record.levelname == "ERROR"
        and "demo@example.com" in record.getMessage()
        and "is higher than the current version" not in record.getMessage()
    ]


async def test_entries_without_kinds(home: Home) -> None:
    """An export that was stored before fields had kinds is used, and its form can be saved."""
    home.add_power("1.0")
    export = await home.add_export({POWER: "power_W"})
    await home.wait(1)
    data = dict(export.data)
    data[CONF_FIELDS] = [
        {key: value for key, value in row.items() if key != CONF_KIND}
        for row in data[CONF_FIELDS]
    ]
    entries = home.hass.config_entries
    assert await entries.async_unload(home.entry.entry_id)
    entries.async_update_subentry(home.entry, export, data=data)
    assert await entries.async_setup(home.entry.entry_id)
    await home.settle()
    for value in ("2.0", "3.0"):
        home.hass.states.async_set(POWER, value, {"unit_of_measurement": "kW"})
        await home.wait(1)
    await home.wait(6)
    assert home.values("power_W")[-2:] == [2000.0, 3000.0]
    assert not home.issues()
    await saved_from_its_form(home)
    assert home.exports[0].data[CONF_FIELDS][0][CONF_KIND] == "number"


async def saved_from_its_form(home: Home) -> None:
    """Open the form of the only export, and save it as it is."""
    dialog = Dialog(home)
    await dialog.open(home.exports[0])
    await dialog.choose("trial")
    dialog.expect("written")
    await dialog.end()
    await home.settle()


def newer_entry(hass: HomeAssistant) -> tuple[MockConfigEntry, Path]:
    """Return an entry that a newer version has stored, and its file of values that wait."""
    entry = MockConfigEntry(
        domain=DOMAIN,
        title="demo@example.com",
        version=2,
        minor_version=1,
        data={"all": "new"},
    )
    entry.add_to_hass(hass)
    outbox = outbox_path(Path(hass.config.path(STORAGE_DIR)), entry.entry_id)
    outbox.parent.mkdir(exist_ok=True)
    outbox.write_bytes(b"of a newer version")
    return entry, outbox


@pytest.mark.expected_log("stored by a newer version|version 2 which is higher")
async def test_a_newer_version_is_left_alone(
    hass: HomeAssistant, caplog: pytest.LogCaptureFixture
) -> None:
    """The account is not set up, one error and one issue say what to do, and nothing is changed."""
    entry, outbox = newer_entry(hass)
    await async_setup_component(hass, DOMAIN, {})
    await hass.async_block_till_done()
    assert entry.state is ConfigEntryState.MIGRATION_ERROR
    assert issues(hass) == {"newer_version"}
    [error] = errors(caplog)
    assert "Nothing was changed" in error
    assert "stay on disk" in error
    assert "Update" in error
    assert (entry.version, entry.minor_version) == (2, 1)
    assert entry.data == {"all": "new"}
    assert outbox.read_bytes() == b"of a newer version"
    outbox.unlink()


@pytest.mark.expected_log("stored by a newer version|version 2 which is higher")
@pytest.mark.expected_log("was removed, but not logged out")
async def test_a_newer_version_can_be_removed(hass: HomeAssistant) -> None:
    """With its files, and with the issue."""
    entry, outbox = newer_entry(hass)
    await async_setup_component(hass, DOMAIN, {})
    await hass.async_block_till_done()
    await hass.config_entries.async_remove(entry.entry_id)
    await hass.async_block_till_done()
    assert not issues(hass)
    assert not outbox.exists()


async def test_a_newer_minor_version_is_used(home: Home) -> None:
    """What it has added stays where it is, whatever is saved."""
    home.add_power()
    export = await home.add_export({POWER: "power_W"})
    entries, entry = home.hass.config_entries, home.entry
    entries.async_update_subentry(
        entry, export, data={**export.data, "invented": "kept"}
    )
    entries.async_update_entry(
        entry,
        minor_version=99,
        data={**entry.data, "invented": "kept"},
        options={"invented": {"kept": True}},
    )
    await entries.async_reload(entry.entry_id)
    await home.settle()
    assert entry.state is ConfigEntryState.LOADED
    assert not home.issues()
    options = {
        "import": {"interval": 60, "preference": "freshest"},
        "outbox": {"size_limit": 10, "age_limit": 0},
    }
    await entries.options.async_configure(
        await open_options(home.hass, entry), dict(options)
    )
    await home.settle()
    await saved_from_its_form(home)
    assert entry.minor_version == 99
    assert entry.data["invented"] == "kept"
    assert entry.options == {**options, "invented": {"kept": True}}
    assert home.exports[0].data["invented"] == "kept"


@pytest.mark.expected_log("newer version")
@pytest.mark.parametrize("kind", ["totals", "history"])
async def test_a_newer_file_is_left_alone(
    home: Home,
    hass_storage: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
    kind: str,
) -> None:
    """Set-up fails, once and in plain words; with the file as it was before, the account is back."""
    entries, entry = home.hass.config_entries, home.entry
    states: list[ConfigEntryState] = []
    entry.async_on_state_change(lambda: states.append(entry.state))
    assert await entries.async_unload(entry.entry_id)
    key = f"{DOMAIN}.{entry.entry_id}.{kind}"
    newer = {"version": 2, "minor_version": 1, "key": key, "data": {"all": "new"}}
    before = hass_storage.get(key)
    hass_storage[key] = dict(newer)
    await entries.async_setup(entry.entry_id)
    await home.settle()
    assert states[-1:] == [ConfigEntryState.SETUP_ERROR]
    assert set(home.issues()) == {"newer_version"}
    [error] = errors(caplog)
    assert "Nothing was changed" in error
    assert hass_storage[key] == newer
    # As an update would
    if before is None:
        del hass_storage[key]
    else:
        hass_storage[key] = before
    await entries.async_reload(entry.entry_id)
    await home.settle()
    assert states[-1:] == [ConfigEntryState.LOADED]
    assert not home.issues()
