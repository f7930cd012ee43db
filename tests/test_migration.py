"""What older versions have stored is used as it was meant; what newer ones have stored is left alone, in plain words.

`fixtures/stored` has, by commit, what the code of that commit wrote: an account, exports and options that were
chosen in its forms, and values that waited for an upload. The token and the addresses in it are made up.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
import json
from pathlib import Path
import sqlite3
from typing import Any

from freezegun.api import FrozenDateTimeFactory
import pytest
from pytest_homeassistant_custom_component.common import async_fire_time_changed

from custom_components.eniris import migration
from custom_components.eniris.api import WireFormat
from custom_components.eniris.const import DOMAIN
from custom_components.eniris.data import EnirisConfigEntry
from custom_components.eniris.exporting.outbox import SCHEMA_VERSION, Limits
from homeassistant.config_entries import SOURCE_RECONFIGURE, ConfigEntryState
from homeassistant.core import HomeAssistant
from homeassistant.helpers import issue_registry as ir
from homeassistant.helpers.storage import STORAGE_DIR
from homeassistant.setup import async_setup_component
from simulator.server import Simulator

from .common import imported_entities, open_options, state_of
from .proof.home import home_assistant
from .simulator.tiny_world import MINUTES, SECONDS, TinyWorld

STORED = Path(__file__).parent / "fixtures" / "stored"
COMMITS = sorted(path.name for path in STORED.iterdir())
FIRST = "f5557bf"
"""Its exports do not say when values are sent, and its outbox does not know exports."""
LATEST = "fda005b"
NOW = datetime(2026, 11, 26, 1, 30, tzinfo=UTC)

type Files = dict[str, Any]
type Change = Callable[[Files], None]


class MeteredWorld(TinyWorld):
    """The small world, whose meter announces what it measures."""

    def devices(self, now: datetime) -> Sequence[dict[str, Any]]:
        """Return a site, and a meter with power and energy."""
        site, meter = super().devices(now)
        series = [
            {
                "database": key.database,
                "retentionPolicy": key.retention_policy,
                "measurement": key.measurement,
                "tags": dict(key.tags),
                "fields": [field],
            }
            for key, field in (
                (SECONDS, "actualPowerTot_W"),
                (MINUTES, "importedEnergyDeltaTot_Wh"),
            )
        ]
        properties = {**meter["properties"], "nodeInfluxSeries": series}
        return [site, {**meter, "properties": properties}]


@pytest.fixture
def world() -> MeteredWorld:
    """Return the world that the fixtures were made with."""
    return MeteredWorld()


@dataclass(slots=True)
class Directory:
    """A configuration directory, with what was stored in it once."""

    path: Path
    entry_id: str = ""

    @property
    def storage(self) -> Path:
        """Where the files are."""
        return self.path / STORAGE_DIR

    @property
    def outbox(self) -> Path:
        """The file of values that wait."""
        return self.storage / f"eniris.{self.entry_id}.outbox.db"

    def entry(self) -> dict[str, Any]:
        """Return the entry as it is on disk."""
        stored = json.loads((self.storage / "core.config_entries").read_text("utf-8"))
        [entry] = stored["data"]["entries"]
        return dict(entry)

    def change(self, name: str, change: Change) -> None:
        """Change a file of JSON."""
        path = self.storage / name
        stored = json.loads(path.read_text("utf-8"))
        change(stored)
        path.write_text(json.dumps(stored), "utf-8")

    def change_entry(self, change: Change) -> None:
        """Change the entry as it is on disk."""
        self.change(
            "core.config_entries", lambda stored: change(stored["data"]["entries"][0])
        )

    @asynccontextmanager
    async def home(self) -> AsyncIterator[HomeAssistant]:
        """Start Home Assistant on it, with what it finds, and stop it."""
        async with home_assistant(self.path) as hass:
            hass.states.async_set(
                "sensor.p1_power",
                "5.5",
                {"unit_of_measurement": "kW", "device_class": "power"},
            )
            await async_setup_component(hass, DOMAIN, {})
            await hass.async_block_till_done(wait_background_tasks=True)
            try:
                yield hass
            finally:
                for entry in hass.config_entries.async_loaded_entries(DOMAIN):
                    await hass.config_entries.async_unload(entry.entry_id)
                await hass.async_stop(force=True)


async def token_of(simulator: Simulator) -> str:
    """Log in, and return the refresh token."""
    from aiohttp import ClientSession  # noqa: PLC0415

    async with (
        ClientSession() as session,
        session.post(
            f"{simulator.url}/auth/login",
            json={"username": "demo@example.com", "password": "demo"},
        ) as answer,
    ):
        return (await answer.text()).strip()


@pytest.fixture
async def put(
    tmp_path: Path, simulator: Simulator, freezer: FrozenDateTimeFactory
) -> Callable[[str], Directory]:
    """Return what makes a directory of what the code of a commit has stored."""
    freezer.move_to(NOW)
    token = await token_of(simulator)

    def make(commit: str) -> Directory:
        directory = Directory(tmp_path / "home")
        directory.storage.mkdir(parents=True)
        for path in (STORED / commit).iterdir():
            text = path.read_text("utf-8")
            text = text.replace("FAKE-REFRESH-TOKEN", token)
            text = text.replace("http://127.0.0.1:1", simulator.url)
            (directory.storage / path.name).write_text(text, "utf-8")
        directory.change_entry(
            lambda entry: entry["data"].update(refresh_token_issued=NOW.timestamp())
        )
        directory.entry_id = directory.entry()["entry_id"]
        for path in directory.storage.glob("eniris.*"):
            path.rename(path.with_name(f"eniris.{directory.entry_id}{path.suffix}"))
        script = directory.storage / "outbox.sql"
        with closing(sqlite3.connect(directory.outbox)) as db:
            db.executescript(script.read_text("utf-8"))
        script.unlink()
        return directory

    return make


def account(hass: HomeAssistant) -> EnirisConfigEntry:
    """Return the account."""
    entry: EnirisConfigEntry
    [entry] = hass.config_entries.async_entries(DOMAIN)
    return entry


def export(hass: HomeAssistant, title: str) -> dict[str, Any]:
    """Return the stored data of an export."""
    [found] = [
        subentry
        for subentry in account(hass).subentries.values()
        if subentry.title == title
    ]
    return dict(found.data)


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
        for record in caplog.get_records("call")
        if record.levelname == "ERROR"
        and "demo@example.com" in record.getMessage()
        and "is higher than the current version" not in record.getMessage()
    ]


async def save_export(hass: HomeAssistant) -> None:
    """Open the form of the first export, and save it as it is."""
    entry = account(hass)
    subentry_id = next(iter(entry.subentries))
    flow = hass.config_entries.subentries
    result = await flow.async_init(
        (entry.entry_id, "export"),
        context={"source": SOURCE_RECONFIGURE, "subentry_id": subentry_id},
    )
    result = await flow.async_configure(result["flow_id"], {"next_step_id": "trial"})
    assert result["step_id"] == "written"
    result = await flow.async_configure(result["flow_id"], {})
    assert result["reason"] == "reconfigure_successful"
    await hass.async_block_till_done(wait_background_tasks=True)


async def pass_time(hass: HomeAssistant, freezer: FrozenDateTimeFactory) -> None:
    """Let a few seconds pass, uploads included."""
    for _ in range(8):
        freezer.tick(timedelta(seconds=1))
        async_fire_time_changed(hass)
        await hass.async_block_till_done(wait_background_tasks=True)


@pytest.mark.parametrize("commit", COMMITS)
async def test_an_old_account_is_as_it_was(
    put: Callable[[str], Directory],
    simulator: Simulator,
    freezer: FrozenDateTimeFactory,
    commit: str,
) -> None:
    """It is set up, shows values, follows its exports as they were chosen, and sends what waited."""
    directory = put(commit)
    async with directory.home() as hass:
        entry = account(hass)
        assert entry.state is ConfigEntryState.LOADED
        assert (entry.version, entry.minor_version) == (1, migration.MINOR_VERSION)
        assert not issues(hass)
        # What was shown is shown, by the same entity
        assert len(imported_entities(hass, entry)) >= 2
        power = state_of(hass, entry, "meter", "actualPowerTot_W")
        assert 0 <= float(power) < 60
        # What was chosen
        house = export(hass, "House")
        assert (house["mode"], house["shortest"]) == ("change", 0)
        assert house["heartbeat"] == (0 if commit == FIRST else 30)
        exporter = entry.runtime_data.exporter
        if commit == FIRST:
            assert len(exporter.exports) == 1
        else:
            assert export(hass, "Garden")["enabled"] is False
            garden = next(
                each for each in exporter.exports.values() if each.title == "Garden"
            )
            assert not exporter.is_enabled(garden.id)
            assert garden.when.interval == timedelta(seconds=10)
            assert garden.when.aggregate == "max"
            assert garden.fields[0].attribute == "battery"
            assert exporter._limits == Limits(77 * 1024 * 1024, timedelta(days=9))
            assert exporter._sender._wire_format is WireFormat.LINE_PROTOCOL
        if entry.options.get("import"):
            assert entry.runtime_data.telemetry.pace.wanted == timedelta(seconds=30)
        # What waited, and what comes now
        hass.states.async_set(
            "sensor.p1_power",
            "6.5",
            {"unit_of_measurement": "kW", "device_class": "power"},
        )
        await pass_time(hass, freezer)
        values = [
            point.fields["actualPowerTot_W"]
            for point in simulator.store.points(measurement="gridMetrics")
        ]
        assert values[:3] == [2500.0, 3500.0, 4500.0]
        assert 6500.0 in values
        assert not await exporter.outbox.damaged_files()
    stored = directory.entry()
    assert stored["minor_version"] == migration.MINOR_VERSION
    assert all("mode" in subentry["data"] for subentry in stored["subentries"])


async def test_a_second_start_changes_nothing(
    put: Callable[[str], Directory],
) -> None:
    """What was brought up to date stays as it is."""
    directory = put(FIRST)
    async with directory.home():
        pass
    once = directory.entry()
    # As after a crash between the change and its version
    directory.change_entry(lambda entry: entry.update(minor_version=1))
    async with directory.home():
        pass
    again = directory.entry()
    assert once["subentries"] == again["subentries"]
    assert once["options"] == again["options"]
    assert again["minor_version"] == migration.MINOR_VERSION


async def test_the_first_exports_can_be_changed(
    put: Callable[[str], Directory],
) -> None:
    """Their form shows what holds, and saves it, though nobody was asked for it when they were made."""
    async with put(FIRST).home() as hass:
        await save_export(hass)
        assert export(hass, "House")["shortest"] == 0


async def test_a_past_that_was_asked_for_goes_on(
    put: Callable[[str], Directory],
) -> None:
    """Also one that was stored before it was noted what is left out."""
    async with put("cc21934").home() as hass:
        progress = account(hass).runtime_data.history.progress
        assert progress.back_to is not None
        assert progress.back_to < NOW - timedelta(days=6)


# Newer ones


@pytest.mark.expected_log("stored by a newer version|version 2 which is higher")
async def test_a_newer_version_is_left_alone(
    put: Callable[[str], Directory], caplog: pytest.LogCaptureFixture
) -> None:
    """The account is not set up, one error and one issue say what to do, and nothing is changed."""
    directory = put(LATEST)
    directory.change_entry(
        lambda entry: entry.update(version=2, minor_version=1, data={"all": "new"})
    )
    waiting = directory.outbox.read_bytes()
    before = directory.entry()
    async with directory.home() as hass:
        entry = account(hass)
        assert entry.state is ConfigEntryState.MIGRATION_ERROR
        assert issues(hass) == {"newer_version"}
        [error] = errors(caplog)
        assert "Nothing was changed" in error
        assert "stay on disk" in error
        assert "Update" in error
    assert directory.outbox.read_bytes() == waiting
    after = directory.entry()
    assert after == before


@pytest.mark.expected_log("stored by a newer version|version 2 which is higher")
@pytest.mark.expected_log("was removed, but not logged out")
@pytest.mark.parametrize("expected_lingering_timers", [True])
async def test_a_newer_version_can_be_removed(
    put: Callable[[str], Directory],
) -> None:
    """With its files, and with the issue."""
    directory = put(LATEST)
    directory.change_entry(lambda entry: entry.update(version=2, data={"all": "new"}))
    async with directory.home() as hass:
        await hass.config_entries.async_remove(directory.entry_id)
        await hass.async_block_till_done()
        assert not issues(hass)
        assert not list(directory.storage.glob("eniris.*"))


async def test_a_newer_minor_version_is_used(
    put: Callable[[str], Directory],
) -> None:
    """What it has added stays where it is."""
    directory = put(LATEST)

    def newer(entry: dict[str, Any]) -> None:
        entry["minor_version"] = 99
        entry["data"]["invented"] = "kept"
        entry["options"]["invented"] = {"kept": True}
        entry["subentries"][0]["data"]["invented"] = "kept"

    directory.change_entry(newer)
    async with directory.home() as hass:
        entry = account(hass)
        assert entry.state is ConfigEntryState.LOADED
        assert not issues(hass)
        await hass.config_entries.async_reload(entry.entry_id)
        # Something is saved, from each form
        hass.config_entries.async_update_entry(entry, title="Mine")
        await hass.async_block_till_done(wait_background_tasks=True)
        await hass.config_entries.options.async_configure(
            await open_options(hass, entry),
            {key: dict(entry.options[key]) for key in ("import", "outbox", "expert")},
        )
        await hass.async_block_till_done(wait_background_tasks=True)
        await save_export(hass)
        await hass.async_block_till_done(wait_background_tasks=True)
    stored = directory.entry()
    assert stored["title"] == "Mine"
    assert stored["minor_version"] == 99
    assert stored["data"]["invented"] == "kept"
    assert stored["options"]["invented"] == {"kept": True}
    assert stored["subentries"][0]["data"]["invented"] == "kept"


def newer_outbox(directory: Directory) -> Path:
    """Make the outbox one of a newer version."""
    with closing(sqlite3.connect(directory.outbox)) as db:
        db.execute("ALTER TABLE sample ADD COLUMN invented TEXT")
        db.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
        db.commit()
    return directory.outbox


def newer_totals(directory: Directory) -> Path:
    """Make the store of totals one of a newer version."""
    path = directory.storage / f"eniris.{directory.entry_id}.totals"
    directory.change(path.name, lambda stored: stored.update(version=2))
    return path


def newer_history(directory: Directory) -> Path:
    """Make the store of pasts one of a newer version."""
    path = directory.storage / f"eniris.{directory.entry_id}.history"
    directory.change(path.name, lambda stored: stored.update(version=2))
    return path


@pytest.mark.expected_log("newer version")
@pytest.mark.parametrize("make", [newer_outbox, newer_totals, newer_history])
async def test_a_newer_file_is_left_alone(
    put: Callable[[str], Directory],
    caplog: pytest.LogCaptureFixture,
    make: Callable[[Directory], Path],
) -> None:
    """Set-up fails, once and in plain words; with the file as it was before, the account is back."""
    directory = put(LATEST)
    readable = directory.storage / "readable"
    names = {"outbox": directory.outbox}
    for kind in ("totals", "history"):
        names[kind] = directory.storage / f"eniris.{directory.entry_id}.{kind}"
    kind = make.__name__.removeprefix("newer_")
    readable.write_bytes(names[kind].read_bytes())
    path = make(directory)
    before = path.read_bytes()
    async with directory.home() as hass:
        entry = account(hass)
        assert entry.state is ConfigEntryState.SETUP_ERROR
        assert issues(hass) == {"newer_version"}
        [error] = errors(caplog)
        assert "Nothing was changed" in error
        assert path.read_bytes() == before
        assert not list(directory.storage.glob("*damaged*"))
        # As an update would
        path.write_bytes(readable.read_bytes())
        await hass.config_entries.async_reload(entry.entry_id)
        await hass.async_block_till_done(wait_background_tasks=True)
        assert account(hass).state is ConfigEntryState.LOADED
        assert not issues(hass)
