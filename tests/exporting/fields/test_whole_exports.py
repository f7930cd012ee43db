"""Fields of whole exports, from states to what the service stores."""

from typing import Any

import pytest

from custom_components.eniris.const import CONF_ENTITY, CONF_FIELD, CONF_KIND
from homeassistant.core import HomeAssistant
from tests.exporting.conftest import AddAccount, Clock, Received, export_data

ENTITY = "sensor.some"


@pytest.mark.parametrize(
    ("field", "attributes", "states", "stored"),
    [
        ("status", {}, ["0", "E031", "0"], ["0", "E031", "0"]),
        ("firmware", {}, ["2.10", "2.10.1"], ["2.10", "2.10.1"]),
        ("code", {"options": ["1", "02"]}, ["1", "02"], ["1", "02"]),
        ("code", {}, ["unknown", "00123", "unavailable", "1e5"], ["00123", "1e5"]),
        ("index", {"state_class": "measurement"}, ["7", "Error", "8"], [7.0, 8.0]),
        ("x_W", {}, ["none", "5", "nan", "high", "6"], [5.0, 6.0]),
        (
            "powerFactorTot",
            {"device_class": "power_factor", "unit_of_measurement": "%"},
            ["95", "100"],
            [0.95, 1.0],
        ),
        (
            "spread_degC",
            {"device_class": "temperature_delta", "unit_of_measurement": "°F"},
            ["9", "0"],
            [5.0, 0.0],
        ),
        ("share_frac", {"unit_of_measurement": ""}, ["0.85", "0.9"], [0.85, 0.9]),
        ("reacPowerTot_VAr", {"unit_of_measurement": "kvar"}, ["1.5"], [1500.0]),
    ],
)
async def test_values(
    hass: HomeAssistant,
    clock: Clock,
    add_account: AddAccount,
    received: Received,
    field: str,
    attributes: dict[str, Any],
    states: list[str],
    stored: list[Any],
) -> None:
    """A field has one type, and nothing that an entity shows makes the service refuse it."""
    await add_account(export_data({ENTITY: field}))
    for state in states:
        hass.states.async_set(ENTITY, state, attributes)
        await clock.advance(6)
    assert [value for _, value in received.values(field)] == stored
    assert set(received.statuses) == {204}


async def test_a_stored_kind_holds(
    hass: HomeAssistant, clock: Clock, add_account: AddAccount, received: Received
) -> None:
    """What was decided once is not decided anew, though the entity has lost its unit."""
    hass.states.async_set(ENTITY, "5")
    row = {CONF_ENTITY: ENTITY, CONF_FIELD: "level", CONF_KIND: "number"}
    await add_account(export_data([row]))
    await clock.advance(6)
    hass.states.async_set(ENTITY, "Error")
    await clock.advance(6)
    assert [value for _, value in received.values("level")] == [5.0]
