"""What the actions share: the account they are for, and the range of time."""

from datetime import UTC, datetime, timedelta
from typing import Any

from freezegun.api import FrozenDateTimeFactory
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.eniris.const import DOMAIN
from custom_components.eniris.services.shared import account, time_range
from homeassistant.config_entries import ConfigEntryState
from homeassistant.core import HomeAssistant, ServiceCall
from homeassistant.exceptions import ServiceValidationError

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def read(hass: HomeAssistant, data: dict[str, Any], **how: Any) -> Any:
    """Return the range of a call, or the key of what is wrong with it."""
    try:
        return time_range(ServiceCall(hass, DOMAIN, "any", data), **how)
    except ServiceValidationError as err:
        return err.translation_key


@pytest.mark.parametrize(
    ("data", "result"),
    [
        ({"start": NOW - HOUR}, (NOW - HOUR, NOW)),
        ({"start": NOW - HOUR, "end": NOW}, (NOW - HOUR, NOW)),
        ({"start": NOW - HOUR, "end": NOW + SECOND}, "range_in_future"),
        ({"start": NOW}, "range_in_future"),
        ({"start": NOW - HOUR, "end": NOW - HOUR}, "start_not_before_end"),
        # Without a zone it is local time, which is two hours ahead
        (
            {"start": datetime(2026, 7, 1, 13)},  # noqa: DTZ001
            (NOW - HOUR, NOW),
        ),
        ({"start": EPOCH - 100 * HOUR, "end": NOW}, (EPOCH, NOW)),
        ({"start": datetime.min}, "invalid_range_time"),  # noqa: DTZ901
        ({"start": EPOCH - 2 * HOUR, "end": EPOCH - HOUR}, "start_not_before_end"),
    ],
)
async def test_past(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    data: dict[str, Any],
    result: Any,
) -> None:
    """A range of the past ends now at the latest, and begins where anybody has kept anything."""
    await hass.config.async_set_time_zone("Europe/Brussels")
    freezer.move_to(NOW)
    assert read(hass, data) == result


async def test_ahead(hass: HomeAssistant, freezer: FrozenDateTimeFactory) -> None:
    """A range of the time ahead begins now, and ends before a calendar does."""
    freezer.move_to(NOW)
    ahead = {"past": False, "ahead": 48 * HOUR}
    assert read(hass, {}, **ahead) == (NOW, NOW + 48 * HOUR)
    start, end = read(hass, {"end": datetime(9999, 1, 1, tzinfo=UTC)}, **ahead)
    assert (start, end.year) == (NOW, 2126)


async def test_account(hass: HomeAssistant) -> None:
    """The only account need not be named; of several one has to be, and it has to run."""
    assert problem(hass, None) == "no_such_account"
    first = MockConfigEntry(domain=DOMAIN, state=ConfigEntryState.LOADED)
    first.add_to_hass(hass)
    assert account(hass, None) is first
    second = MockConfigEntry(domain=DOMAIN, state=ConfigEntryState.NOT_LOADED)
    second.add_to_hass(hass)
    assert account(hass, first.entry_id) is first
    for entry_id, key in (
        (None, "which_account"),
        ("gone", "no_such_account"),
        (second.entry_id, "account_not_loaded"),
    ):
        assert problem(hass, entry_id) == key


def problem(hass: HomeAssistant, entry_id: str | None) -> str | None:
    """Return the key of why there is no such account."""
    with pytest.raises(ServiceValidationError) as caught:
        account(hass, entry_id)
    return caught.value.translation_key
