"""What a user sees of an export, and does with it."""

from typing import Any

from homeassistant.config_entries import ConfigSubentry
from homeassistant.const import (
    ATTR_UNIT_OF_MEASUREMENT,
    STATE_OFF,
    STATE_ON,
    STATE_UNKNOWN,
)
from homeassistant.util import dt as dt_util
from tests.kit.exports import POWER, Home

FIELD = "actualPowerTot_W"
STATUS = 30
"""Seconds between two looks at the figures."""

ASKED_AGAIN = 75
"""Seconds after which a target that failed for long enough in these tests was tried again."""


def measure(home: Home, state: str) -> None:
    """Let the power sensor have a value."""
    home.hass.states.async_set(POWER, state, {ATTR_UNIT_OF_MEASUREMENT: "kW"})


def figures(home: Home, export: ConfigSubentry) -> dict[str, Any]:
    """Return what the sensors of an export show."""
    shown: dict[str, Any] = {
        key: int(home.shown(export, key)) for key in ("waiting", "uploaded", "rejected")
    }
    shown["oldest_waiting"] = int(home.shown(export, "oldest_waiting"))
    state = home.shown(export, "last_upload")
    shown["last_upload"] = (
        None if state == STATE_UNKNOWN else dt_util.parse_datetime(state)
    )
    return shown


def problem(home: Home, export: ConfigSubentry) -> str | None:
    """Return the reason of an export's problem, None where it has none."""
    state = home.hass.states.get(home.entity_id(export, "binary_sensor", "problem"))
    assert state is not None
    reason: str | None = state.attributes["reason"]
    assert state.state == (STATE_OFF if reason is None else STATE_ON)
    return reason


async def press(home: Home, export: ConfigSubentry) -> None:
    """Press the button."""
    await home.hass.services.async_call(
        "button",
        "press",
        {"entity_id": home.entity_id(export, "button", "upload_now")},
        blocking=True,
    )
