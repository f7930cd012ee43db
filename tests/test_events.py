"""The event that tells automations what became of a past that was to be sent."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from pytest_homeassistant_custom_component.common import async_capture_events

from custom_components.eniris.const import EVENT_HISTORY_EXPORTED
from custom_components.eniris.devices import subentry_identifier
from custom_components.eniris.events import async_fire_history_exported
from custom_components.eniris.exporting.history.jobs import Job
from homeassistant.helpers import device_registry as dr
from tests.kit.exports import Home, MeterWorld

START = datetime(2026, 6, 1, tzinfo=UTC)
END = datetime(2026, 7, 1, tzinfo=UTC)


@pytest.fixture
def world() -> MeterWorld:
    """Return a small world."""
    return MeterWorld()


async def test_what_became_of_it(home: Home) -> None:
    """It says of which export, by its device while it has one, and counts what was not taken, with the reason."""
    events = async_capture_events(home.hass, EVENT_HISTORY_EXPORTED)
    export = await home.add_export({home.add_power(): "actualPowerTot_W"})
    job = Job(1, export.subentry_id, START, END, START, stored=5, outside=2)
    job = replace(job, outside_until=START, refused=3, unusable=1, reason="too old")
    async_fire_history_exported(home.hass, home.entry, job)
    gone = replace(job, export_id="gone")
    async_fire_history_exported(home.hass, home.entry, gone)
    identifier = subentry_identifier(home.entry, export.subentry_id)
    device = next(
        device
        for device in dr.async_entries_for_config_entry(
            dr.async_get(home.hass), home.entry.entry_id
        )
        if identifier in device.identifiers
    )
    told = {
        "start": "2026-06-01T00:00:00+00:00",
        "end": "2026-07-01T00:00:00+00:00",
        "stored": 5,
        "outside": 2,
        "outside_until": "2026-06-01T00:00:00+00:00",
        "refused": 3,
        "unusable": 1,
        "reason": "too old",
    }
    assert [event.data for event in events] == [
        {"export_id": export.subentry_id, "device_id": device.id, **told},
        {"export_id": "gone", "device_id": None, **told},
    ]
