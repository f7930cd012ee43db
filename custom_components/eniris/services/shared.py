"""What the actions share: the account, the range of time, and why Eniris could not be asked."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, Final

import voluptuous as vol

from homeassistant.config_entries import ConfigEntryState
from homeassistant.core import HomeAssistant, ServiceCall
from homeassistant.helpers import config_validation as cv
from homeassistant.helpers.selector import ConfigEntrySelector
from homeassistant.util import dt as dt_util

from ..api import (
    EnirisConnectionError,
    EnirisError,
    RateLimitedError,
    ReauthenticationRequiredError,
)
from ..const import ATTR_CONFIG_ENTRY_ID, ATTR_END, ATTR_START, DOMAIN
from ..data import EnirisConfigEntry
from ..errors import failed, invalid
from ..importing.coordinator import NodeCoordinator, TelemetryCoordinator

ENTRY_SCHEMA: Final[dict[Any, Any]] = {
    vol.Required(ATTR_CONFIG_ENTRY_ID): ConfigEntrySelector({"integration": DOMAIN})
}

ACCOUNT_SCHEMA: Final = vol.Schema(ENTRY_SCHEMA)

RANGE_SCHEMA: Final[dict[Any, Any]] = {
    vol.Required(ATTR_START): cv.datetime,
    vol.Optional(ATTR_END): cv.datetime,
}

_FARTHEST_AHEAD: Final = timedelta(days=100 * 366)


def account(hass: HomeAssistant, entry_id: str | None) -> EnirisConfigEntry:
    """Return an account, the only one there is for None.

    Raises `ServiceValidationError` where there is none, or it is not loaded.
    """
    entries: list[EnirisConfigEntry] = [
        entry
        for entry in hass.config_entries.async_entries(DOMAIN)
        if entry_id in (None, entry.entry_id)
    ]
    if not entries:
        raise invalid("no_such_account")
    if len(entries) > 1:
        raise invalid("which_account")
    return loaded(entries[0])


def loaded(entry: EnirisConfigEntry) -> EnirisConfigEntry:
    """Return an account if it is loaded."""
    if entry.state is not ConfigEntryState.LOADED:
        raise invalid("account_not_loaded", account=entry.title)
    return entry


def time_range(
    call: ServiceCall, *, past: bool = True, ahead: timedelta = timedelta(0)
) -> tuple[datetime, datetime]:
    """Return start and end, which has to be `past`; raises `ServiceValidationError` for any other range.

    Without them it is from now on, and for the time `ahead`.
    """
    now = dt_util.utcnow()
    try:
        # Times without a zone are local
        start = dt_util.as_utc(call.data.get(ATTR_START, now))
        end = dt_util.as_utc(call.data.get(ATTR_END, max(start, now) + ahead))
    except OverflowError as err:
        raise invalid("invalid_range_time") from err
    if past and (start >= now or end > now):
        raise invalid("range_in_future")
    # Of what was before 1970 nobody has kept anything
    start = max(start, dt_util.utc_from_timestamp(0))
    # Nor has anybody plans for what is later, and near the year 10000 no period has an end
    end = min(end, now + _FARTHEST_AHEAD)
    if start >= end:
        raise invalid("start_not_before_end")
    return start, end


@contextmanager
def eniris_asked(
    entry: EnirisConfigEntry, coordinator: NodeCoordinator | TelemetryCoordinator
) -> Iterator[None]:
    """Tell in the user's words why Eniris could not be asked.

    Nothing is asked while Eniris wants `coordinator` to wait, and that waits where this has to.
    """
    if coordinator.seconds_to_wait > 0:
        raise failed("asked_to_wait", seconds=f"{coordinator.seconds_to_wait:.0f}")
    try:
        yield
    except ReauthenticationRequiredError as err:
        running = loaded(entry).runtime_data
        if coordinator not in (running.nodes, running.telemetry):
            # The token is one that the account had before it was loaded anew
            raise failed("not_answered", error=str(err)) from err
        entry.async_start_reauth(coordinator.hass)
        raise failed("authentication_failed") from err
    except RateLimitedError as err:
        coordinator.wait(err.retry_after)
        raise failed("asked_to_wait", seconds=f"{err.retry_after or 0:.0f}") from err
    except EnirisConnectionError as err:
        raise failed("not_reached", error=str(err)) from err
    except EnirisError as err:
        raise failed("not_answered", error=str(err)) from err
