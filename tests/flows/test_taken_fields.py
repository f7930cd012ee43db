"""The names of fields: which are valid, and which a series has left."""

from typing import Any

import pytest

from custom_components.eniris.const import (
    CONF_DATABASE,
    CONF_MEASUREMENT,
    CONF_RETENTION_POLICY,
    CONF_TAGS,
)
from tests.flows.kit import ENERGY, FIELD
from tests.kit.exports import INGRESS, POWER, WHERE, Dialog, Home, home_with_account


async def test_no_name_is_suggested_twice(home: Home, dialog: Dialog) -> None:
    """A name that another entity or another export has is not suggested."""
    home.hass.states.async_set(
        "sensor.solar", "2", {"device_class": "power", "unit_of_measurement": "W"}
    )
    await dialog.open()
    await dialog.to_fields(POWER, "sensor.solar")
    assert dialog.shown == {POWER: FIELD, "sensor.solar": "solar_W"}
    await home.add_export({POWER: FIELD, ENERGY: "p1Power_W"})
    await dialog.open()
    await dialog.to_fields(POWER)
    assert dialog.shown == {POWER: "p1Power2_W"}
    # In another series it is free
    await dialog.open()
    await dialog.to_fields(POWER, where={**WHERE, CONF_TAGS: ["serialNr=5678"]})
    assert dialog.shown == {POWER: FIELD}


@pytest.mark.parametrize(
    ("field", "error"),
    [
        ("importedAbsEnergyTot_Wh", "unit_mismatch"),
        ("frequency_Hz", "unit_mismatch"),
        ("stateOfCharge_frac", "unit_mismatch"),
        ("", "name_empty"),
        ("  ", "name_empty"),
        ("_W", "name_underscore"),
        ("a\nb", "name_newline"),
    ],
)
async def test_names_are_checked(dialog: Dialog, field: str, error: str) -> None:
    """A bad name, or one whose unit cannot be reached, is told at its entity."""
    await dialog.open()
    await dialog.to_fields(POWER)
    await dialog.submit({POWER: field})
    dialog.expect("fields", {POWER: error})
    assert dialog.shown == {POWER: field.strip()}
    await dialog.submit({POWER: "anotherPower_W"})
    dialog.expect("when")


async def test_one_field_each(home: Home, dialog: Dialog) -> None:
    """Two entities cannot be one field, within the form."""
    home.hass.states.async_set("sensor.other", "1", {"unit_of_measurement": "W"})
    await dialog.open()
    await dialog.to_fields(POWER, "sensor.other")
    await dialog.submit({POWER: "power_W", "sensor.other": "power_W"})
    dialog.expect("fields", {"sensor.other": "field_taken"})
    await dialog.submit({POWER: "power_W", "sensor.other": "other_W"})
    dialog.expect("when")


@pytest.mark.parametrize("account", ["same", "another"])
async def test_one_field_across_exports(
    home: Home, dialog: Dialog, user_input: dict[str, Any], account: str
) -> None:
    """A field that another export writes is refused, whichever account and collector it has."""
    if account == "another":
        other = await home_with_account(
            home.hass, home.freezer, home.simulator, user_input, "norole@example.com"
        )
        await other.add_export({ENERGY: FIELD}, collector="another-ingress")
    else:
        await home.add_export({ENERGY: FIELD}, collector="another-ingress")
    await dialog.open()
    await dialog.to_fields(POWER)
    await dialog.submit({POWER: FIELD})
    dialog.expect("fields", {POWER: "field_taken"})
    # The series of another measurement, policy or database is another one
    for key, value in (
        (CONF_MEASUREMENT, "batteryMetrics"),
        (CONF_RETENTION_POLICY, "rp_one_s"),
        (CONF_DATABASE, "tiny"),
    ):
        await dialog.open()
        await dialog.to_fields(POWER, where={**WHERE, key: value})
        await dialog.submit({POWER: FIELD})
        dialog.expect("when")


@pytest.mark.parametrize("end", ["written", "save anyway"])
async def test_two_dialogs_at_once(home: Home, end: str) -> None:
    """A field that is taken while the dialog is open is refused in the end; it can be corrected."""
    slow = Dialog(home)
    if end == "save anyway":
        home.simulator.faults.add(INGRESS, "drop")
    await slow.to_end_of_trial({POWER: FIELD})
    await home.add_export({ENERGY: FIELD})
    if end == "written":
        await slow.end()
    else:
        await slow.choose("save")
    slow.expect("fields", {POWER: "field_taken"})
    assert len(home.exports) == 1
    home.simulator.faults.clear()
    await slow.to_trial({POWER: "another_W"})
    slow.expect("written")
    await slow.end()
    assert len(home.exports) == 2
