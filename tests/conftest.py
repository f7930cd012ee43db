"""What all tests share: a simulator on a loopback socket, and an account that is set up with it."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from functools import cache
import logging
from pathlib import Path
import re
import sys
from typing import Any, Final, Literal
from unittest.mock import patch

from freezegun.api import FrozenDateTimeFactory
import pytest

from custom_components.eniris.const import (
    CONF_ADVANCED,
    CONF_API_URL,
    CONF_AUTHENTICATION_URL,
    CONF_INGRESS_URL,
    DOMAIN,
)
from custom_components.eniris.data import EnirisConfigEntry
from homeassistant.components.recorder.core import Recorder
from homeassistant.config_entries import SOURCE_USER
from homeassistant.const import CONF_PASSWORD, CONF_USERNAME
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowManager, FlowResultType
from homeassistant.helpers.issue_registry import IssueRegistry
from homeassistant.helpers.storage import STORAGE_DIR
from simulator.server import Simulator
from simulator.world import HomeWorld
from simulator.world.profile import Patterns
from tests.kit.common import settle
from tests.kit.exports import Home, home_with_account
from tests.kit.history import NOW
from tests.kit.shown import checked_issue, checked_step

_ROOT = str(Path(__file__).parents[1])


def pytest_configure(config: pytest.Config) -> None:
    """Have less logged."""
    # The test kit logs every statement of the recorder's database, which takes longer than the statement
    for name in ("sqlalchemy.engine", "homeassistant.components.recorder"):
        logging.getLogger(name).setLevel(logging.WARNING)


_MARKS: Final = {
    "slow": (
        # Chaos kills, too
        "tests/chaos/test_chaos.py::test_short_run",
        "tests/proof/test_kill.py",
        "tests/simulator/",
        "tests/test_postman.py",
        "tests/test_soak.py",
    ),
    "browser": ("tests/e2e/test_story.py",),
    "once": (
        "tests/chaos/",
        "tests/exporting/fields/",
        "tests/fuzz/test_account.py",
        "tests/fuzz/test_answers.py",
        "tests/fuzz/test_states.py",
        "tests/fuzz/test_stored.py",
        "tests/proof/",
        "tests/security/test_hostile_text.py",
        "tests/simulator/",
        "tests/test_bad_input.py",
        "tests/test_benchmarks.py",
        "tests/test_energy_begun_again.py",
        "tests/test_energy_truth.py",
        "tests/test_package.py",
        "tests/test_postman.py",
        "tests/test_scripts.py",
        "tests/test_soak.py",
    ),
}
"""By mark: tests that have it, see `pyproject.toml`."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark whole files and folders."""
    for item in items:
        for mark, begins in _MARKS.items():
            if item.nodeid.startswith(begins):
                item.add_marker(mark)


@pytest.fixture(autouse=True)
def custom_integrations(request: pytest.FixtureRequest) -> None:
    """Let Home Assistant find the integration, in the tests that have a Home Assistant."""
    recorder_first(request)
    if "hass" in request.fixturenames:
        request.getfixturevalue("enable_custom_integrations")


def recorder_first(request: pytest.FixtureRequest) -> None:
    """Set up the recorder, in the tests that have one, before Home Assistant, as it demands."""
    if "recorder_mock" in request.fixturenames:
        request.getfixturevalue("recorder_mock")


@pytest.fixture
async def recorder_mock(
    recorder_mock: Recorder, hass: HomeAssistant
) -> AsyncIterator[Recorder]:
    """Provide a recorder that is not closed while it is read.

    The test kit closes it before it unloads anything, and its database in memory is one connection for all
    threads: closing that under a reader crashes Python.
    """
    yield recorder_mock
    for entry in hass.config_entries.async_loaded_entries(DOMAIN):
        await hass.config_entries.async_unload(entry.entry_id)
    await hass.async_block_till_done()


@pytest.fixture(autouse=True)
async def enable_event_loop_debug() -> None:
    """Leave the loop's debug mode, which traces every call, to the oldest Python: it costs a third of the time."""
    asyncio.get_running_loop().set_debug(sys.version_info < (3, 14))


@pytest.fixture(autouse=True)
def own_config_directory(request: pytest.FixtureRequest) -> None:
    """Keep what is written to `.storage`, an outbox for one, out of the test kit's own directory."""
    recorder_first(request)
    if "hass" in request.fixturenames:
        directory = request.getfixturevalue("tmp_path") / "config"
        (directory / STORAGE_DIR).mkdir(parents=True)
        request.getfixturevalue("hass").config.config_dir = str(directory)


@pytest.fixture(autouse=True)
def no_log_of_ours(
    request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture
) -> Iterator[None]:
    """Fail on a warning or error of ours, deprecation notices included, that is not expected."""
    yield
    expected = [
        re.compile(mark.args[0]) for mark in request.node.iter_markers("expected_log")
    ]
    phases: tuple[Literal["setup", "call"], ...] = ("setup", "call")
    records = [
        record
        for phase in phases
        for record in caplog.get_records(phase)
        if record.levelno >= logging.WARNING and is_ours(record)
    ]
    messages = [record.getMessage() for record in records]
    for pattern in expected:
        assert any(pattern.search(message) for message in messages), (
            f"{pattern.pattern!r} was not logged"
        )
    unexpected = [
        message
        for message in messages
        if not any(pattern.search(message) for pattern in expected)
    ]
    assert not unexpected


def is_ours(record: logging.LogRecord) -> bool:
    """Tell whether a log record is about this integration."""
    # The checkout itself may have our name in its path
    text = record.getMessage().replace(_ROOT, "")
    if record.name == "asyncio" and text.startswith("Executing "):
        # The loop's remark on a step that took long, which any step does on a busy machine
        return False
    return (
        "eniris" in record.name
        or "eniris" in text
        or "eniris" in (record.exc_text or "").replace(_ROOT, "")
    ) and "custom integration eniris which has not been tested" not in text


@pytest.fixture(autouse=True, scope="session")
def words() -> Iterator[None]:
    """Fail where a dialog or an issue shows what has no words."""
    with (
        patch.object(FlowManager, "_async_handle_step", checked_step()),
        patch.object(IssueRegistry, "async_get_or_create", checked_issue()),
    ):
        yield


@pytest.fixture(autouse=True, scope="session")
def one_weather() -> Iterator[None]:
    """Compute the days of a simulated home once for all tests, not for each: they depend on the seed alone."""
    shared = cache(Patterns)
    with (
        patch("simulator.world.home.Patterns", shared),
        patch("simulator.world.fleet.Patterns", shared),
    ):
        yield


@pytest.fixture
def world() -> HomeWorld:
    """Return the world that the simulator shows."""
    return HomeWorld(seed=1)


@pytest.fixture
async def simulator(socket_enabled: None, world: HomeWorld) -> AsyncIterator[Simulator]:
    """Return a running simulator."""
    async with Simulator(world, tier="unlimited") as running:
        yield running


@pytest.fixture
def user_input(simulator: Simulator) -> dict[str, Any]:
    """Return what a user types into the first form."""
    return {
        CONF_USERNAME: "demo@example.com",
        CONF_PASSWORD: "demo",
        CONF_ADVANCED: {
            CONF_AUTHENTICATION_URL: simulator.url,
            CONF_API_URL: simulator.url,
            CONF_INGRESS_URL: simulator.url,
        },
    }


@pytest.fixture
async def home(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    simulator: Simulator,
    user_input: dict[str, Any],
) -> Home:
    """Return a home with an account, at the start of time."""
    return await home_with_account(hass, freezer, simulator, user_input)


@pytest.fixture
async def entry(hass: HomeAssistant, user_input: dict[str, Any]) -> EnirisConfigEntry:
    """Return an account that was set up through the form."""
    return await set_up_account(hass, user_input)


async def set_up_account(
    hass: HomeAssistant, user_input: dict[str, Any]
) -> EnirisConfigEntry:
    """Walk the form as a user with a plain account does."""
    result = await hass.config_entries.flow.async_init(
        DOMAIN, context={"source": SOURCE_USER}
    )
    result = await hass.config_entries.flow.async_configure(
        result["flow_id"], user_input
    )
    assert result["type"] is FlowResultType.CREATE_ENTRY, result
    await settle(hass)
    entry: EnirisConfigEntry = result["result"]
    return entry


@pytest.fixture
async def place_and_time(hass: HomeAssistant, freezer: FrozenDateTimeFactory) -> None:
    """Be in Brussels on the summer's day of the tests of the past."""
    freezer.move_to(NOW)
    await hass.config.async_set_time_zone("Europe/Brussels")
