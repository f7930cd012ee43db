"""Whatever has become of what Home Assistant stores of an account: it costs what it says, and no more."""

import asyncio
from collections.abc import Iterator
import logging
import re
from types import MappingProxyType
from typing import Any, Final

from hypothesis import given, strategies as st
import orjson
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.eniris.account import import_options, outbox_limits
from custom_components.eniris.const import (
    CONF_AGGREGATE,
    CONF_ENABLED,
    CONF_HISTORY,
    CONF_IMPORT,
    CONF_INTERVAL,
    CONF_OUTBOX,
    DOMAIN,
    SUBENTRY_EXPORT,
)
from custom_components.eniris.diagnostics import async_get_config_entry_diagnostics
from custom_components.eniris.exporting.config import (
    Export,
    InvalidExport,
    parse_export,
)
from custom_components.eniris.exporting.exporter import Exporter
from homeassistant.config_entries import ConfigEntryState, ConfigSubentry
from homeassistant.core import HomeAssistant
from simulator.server import Simulator
from tests.conftest import is_ours
from tests.exporting.conftest import (
    AddAccount,
    Clock,
    Received,
    add_account,
    clock,
    hosts,
    issue_ids,
    log_in,
    received,
    world,
)
from tests.kit.exports import export_data

from .documents import damaged
from .effort import PATIENCE, effort

__all__ = ["add_account", "clock", "hosts", "log_in", "received", "world"]

pytestmark = PATIENCE

GOOD: Final = export_data(
    {"sensor.a": "a_W", "sensor.b": "b"},
    **{
        CONF_INTERVAL: 60,
        CONF_AGGREGATE: "mean",
        CONF_ENABLED: True,
        CONF_HISTORY: "nothing",
    },
)
OTHERS: Final = ("interval", "change", "last", "week", "sensor.a", "b", 60, 0.5, True)
OPTIONS: Final = {
    CONF_IMPORT: {"interval": 60, "preference": "freshest", "sites": ["x"]},
    CONF_OUTBOX: {"size_limit": 1024, "age_limit": 7},
}
TOLD: Final = re.compile(
    r"Stored settings of|.*cannot be (used|uploaded)|.*refuses|.*not accepted"
)


@pytest.fixture(autouse=True)
def no_log_of_ours(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Take what is told of damage, and nothing else, in the place of the fixture that takes nothing."""
    yield
    assert not complaints(caplog)


def complaints(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what the log has of errors, whoever's, and of warnings of ours."""
    return [
        f"{record.getMessage()} {record.exc_text or ''}"
        for record in caplog.records
        if (
            (record.levelno >= logging.ERROR and record.name != "asyncio")
            or (record.levelno >= logging.WARNING and is_ours(record))
        )
        and not TOLD.match(record.getMessage())
    ]


def _stored(document: Any) -> Any:
    """Return a document as Home Assistant reads it from its storage, None where it cannot be there."""
    try:
        return orjson.loads(orjson.dumps(document))
    except TypeError:
        return None


exports = damaged(GOOD, others=OTHERS).map(_stored).filter(bool)
all_options = damaged(OPTIONS, others=("lightest", 10, 3601)).map(_stored).filter(bool)


def parsed(data: Any) -> Export | InvalidExport:
    """Return what becomes of stored data."""
    try:
        return parse_export("id", "title", data)
    except InvalidExport as err:
        return err


@effort(100)
@given(data=exports)
def test_any_export(data: Any) -> None:
    """Stored data is an export, or it is said which keys of it are invalid."""
    export = parsed(data)
    if isinstance(export, InvalidExport):
        assert export.keys
        assert set(export.keys) <= set(GOOD)
        mended = parsed({**data, **{key: GOOD[key] for key in export.keys}})
        assert isinstance(mended, Export)
        return
    assert export.policy.interval.total_seconds() >= 1
    for exported in export.fields:
        assert f"{exported.entity}{exported.field}{exported.attribute}".encode()


@effort(100)
@given(options=all_options)
def test_any_options(options: dict[str, Any]) -> None:
    """What an account needs to know is there, and within its limits."""
    entry = MockConfigEntry(domain=DOMAIN, options=options)
    assert 10 <= import_options(entry).interval.total_seconds() <= 3600
    assert all(isinstance(site, str) for site in import_options(entry).sites)
    assert outbox_limits(entry).size >= 1024 * 1024
    assert outbox_limits(entry).age.total_seconds() >= 0


async def _reloaded(hass: HomeAssistant, entry: MockConfigEntry) -> None:
    """Wait until an account runs with what was changed of it."""
    await hass.async_block_till_done()
    async with entry.setup_lock:
        await asyncio.sleep(0)


@effort(10)
@given(data=exports, options=all_options, with_options=st.booleans())
async def test_any_export_of_an_account(
    hass: HomeAssistant,
    clock: Clock,
    simulator: Simulator,
    received: Received,
    add_account: AddAccount,
    caplog: pytest.LogCaptureFixture,
    data: Any,
    options: dict[str, Any],
    with_options: bool,
) -> None:
    """The account loads, its other export goes on, and what is lost is told of."""
    caplog.clear()
    entries: list[Any] = hass.config_entries.async_entries(DOMAIN)
    if not entries:
        entries = [await add_account(export_data({"sensor.w": "w_W"}), GOOD)]
    [entry] = entries
    witness, odd = entry.subentries.values()
    subentries = hass.config_entries
    subentries.async_update_subentry(entry, odd, data=data)
    if with_options:
        subentries.async_update_entry(entry, options=options)
    await _reloaded(hass, entry)
    assert entry.state is ConfigEntryState.LOADED
    is_valid = isinstance(parsed(data), Export)
    assert ("export_damaged" in issue_ids(hass)) != is_valid
    exporter: Exporter = entry.runtime_data.exporter
    assert (odd.subentry_id in exporter.exports) == is_valid
    await exporter.async_upload_now()
    simulator.store.clear()
    for number, name in enumerate(("sensor.w", "sensor.a", "sensor.b", "sensor.w")):
        hass.states.async_set(name, f"{number}.25", {}, force_update=True)
        await clock.advance(1)
    await exporter.async_upload_now()
    assert [value for _, value in received.values("w_W")] == [0.25, 3.25]
    assert await async_get_config_entry_diagnostics(hass, entry)
    # The dialog of the export opens, whatever is in it
    result = await subentries.subentries.async_init(
        (entry.entry_id, SUBENTRY_EXPORT),
        context={"source": "reconfigure", "subentry_id": odd.subentry_id},
    )
    subentries.subentries.async_abort(result["flow_id"])
    assert (result["type"] == "form") == (not is_valid)
    assert witness.subentry_id in exporter.exports
    assert not complaints(caplog)


async def test_another_kind(hass: HomeAssistant, add_account: AddAccount) -> None:
    """A subentry of a kind that only a later version knows is let be."""
    entry = await add_account(GOOD)
    later = ConfigSubentry(
        data=MappingProxyType({"x": 1}),
        subentry_type="later",
        title="Later",
        unique_id=None,
    )
    hass.config_entries.async_add_subentry(entry, later)
    await _reloaded(hass, entry)
    assert entry.state is ConfigEntryState.LOADED
    assert len(entry.runtime_data.exporter.exports) == 1
