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
from pytest_homeassistant_custom_component.typing import ClientSessionGenerator

from custom_components.eniris.const import (
    CONF_ADVANCED,
    CONF_API_URL,
    CONF_AUTHENTICATION_URL,
    CONF_INGRESS_URL,
    DOMAIN,
)
from custom_components.eniris.controller.controller import Controller
from custom_components.eniris.data import EnirisConfigEntry
from homeassistant.components.recorder.core import Recorder
from homeassistant.config_entries import SOURCE_USER, ConfigSubentry
from homeassistant.const import CONF_PASSWORD, CONF_USERNAME
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowManager, FlowResultType
from homeassistant.helpers.issue_registry import IssueRegistry
from homeassistant.helpers.storage import STORAGE_DIR
from simulator.controller import SimulatedController
from simulator.controller.broker import AnyBroker
from simulator.controller.certificate import write_certificate
from simulator.server import Simulator
from simulator.world import HomeWorld
from simulator.world.profile import Patterns
from tests.kit.common import settle
from tests.kit.controller import (
    WEBHOOK,
    Posting,
    add_controller,
    mqtt,
    simulated_broker,
)
from tests.kit.exports import POWER, Home, home_with_account
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
        "tests/chaos/test_chaos.py::test_short_run",
        "tests/simulator/",
        "tests/docs/test_postman.py",
        "tests/scripts/test_soak.py",
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
        "tests/fuzz/test_bad_input.py",
        "tests/scripts/",
        "tests/importing/test_totals_begun_again.py",
        "tests/importing/test_totals_truth.py",
        "tests/docs/test_postman.py",
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
    if text.startswith(("Executing ", "Updating state for ")) and " took " in text:
        # What the loop and Home Assistant say of a step that took long, which any step does on a busy machine
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
async def export(home: Home) -> ConfigSubentry:
    """Return an export of a power sensor, the first value of which is uploaded."""
    home.add_power()
    export = await home.add_export({POWER: "actualPowerTot_W"})
    await home.wait(6)
    assert home.values() == [1500.0]
    return export


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


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return the files of the certificate of the broker's TLS listener, and of its key."""
    return write_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def broker(certificate: tuple[Path, Path]) -> AnyBroker:
    """Return the broker of the controller, which does not run yet."""
    return simulated_broker(certificate)


@pytest.fixture
async def controller(
    socket_enabled: None, world: HomeWorld, broker: AnyBroker
) -> AsyncIterator[SimulatedController]:
    """Return the running controller of the home; it publishes when it is told to."""
    async with SimulatedController(
        world.sites[0], broker=broker, period=None
    ) as running:
        yield running


@pytest.fixture
async def with_mqtt(
    hass: HomeAssistant, entry: EnirisConfigEntry, controller: SimulatedController
) -> Controller:
    """Return the controller of an account that has MQTT access to it."""
    return await add_controller(hass, entry, controller, mqtt=mqtt(controller))


@pytest.fixture
async def webhook(
    hass: HomeAssistant,
    entry: EnirisConfigEntry,
    controller: SimulatedController,
    hass_client_no_auth: ClientSessionGenerator,
) -> Posting:
    """Return what posts to an account whose controller has a webhook."""
    await add_controller(hass, entry, controller, webhook=WEBHOOK)
    client: Posting = await hass_client_no_auth()
    return client


@pytest.fixture
def all_enabled() -> Iterator[None]:
    """Have every entity enabled."""
    with patch(
        "homeassistant.helpers.entity.Entity.entity_registry_enabled_default", True
    ):
        yield


@pytest.fixture
async def place_and_time(hass: HomeAssistant, freezer: FrozenDateTimeFactory) -> None:
    """Be in Brussels on the summer's day of the tests of the past."""
    freezer.move_to(NOW)
    await hass.config.async_set_time_zone("Europe/Brussels")
