"""Numbers that are out of range, told in the user's language."""

from typing import Any

import pytest

from custom_components.eniris.data import EnirisConfigEntry
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType
from tests.kit.common import settle
from tests.kit.exports import POWER, Dialog, Home

OPTIONS: dict[str, dict[str, Any]] = {
    "import": {"interval": 60, "preference": "freshest"},
    "outbox": {"size_limit": 1024, "age_limit": 0},
}


@pytest.mark.parametrize(
    ("part", "option", "value", "quoted"),
    [
        ("import", "interval", 5, {"least": "10", "most": "3600 s"}),
        ("import", "interval", 3601, {"least": "10", "most": "3600 s"}),
        ("outbox", "size_limit", 0, {"least": "1", "most": "1000000 MiB"}),
        ("outbox", "age_limit", -1, {"least": "0", "most": "3650 d"}),
    ],
)
async def test_options(
    hass: HomeAssistant,
    entry: EnirisConfigEntry,
    part: str,
    option: str,
    value: int,
    quoted: dict[str, str],
) -> None:
    """A section has its errors above the form, which keeps what was typed."""
    options = hass.config_entries.options
    result = await options.async_init(entry.entry_id)
    result = await options.async_configure(
        result["flow_id"], {"next_step_id": "settings"}
    )
    typed = {**OPTIONS, part: {**OPTIONS[part], option: value}}
    result = await options.async_configure(result["flow_id"], typed)
    assert result["errors"] == {"base": "out_of_range"}
    assert result["description_placeholders"] == quoted
    assert not entry.options
    result = await options.async_configure(result["flow_id"], OPTIONS)
    assert result["type"] is FlowResultType.CREATE_ENTRY
    # The account is loaded anew
    await settle(hass)


@pytest.fixture
async def dialog(home: Home) -> Dialog:
    """Return the dialog of an export, at the question when values are sent."""
    home.add_power()
    dialog = Dialog(home)
    await dialog.open()
    await dialog.to_fields(POWER)
    await dialog.submit(dialog.shown)
    dialog.expect("when")
    return dialog


@pytest.mark.parametrize(
    ("mode", "typed", "wrong"),
    [
        ("change", {"shortest": -1, "heartbeat": 0}, "shortest"),
        ("change", {"shortest": 0, "heartbeat": 86401}, "heartbeat"),
        (
            "interval",
            {"interval": 0, "aggregate": "last", "heartbeat": 0},
            "interval",
        ),
    ],
)
async def test_export(
    dialog: Dialog, mode: str, typed: dict[str, Any], wrong: str
) -> None:
    """The error is at the number."""
    await dialog.choose(mode)
    await dialog.submit(typed)
    dialog.expect(mode, {wrong: "out_of_range"})
    assert dialog.quoted["most"] == "86400 s"
    assert dialog.shown == typed
    await dialog.submit({**typed, wrong: 60})
    dialog.expect("trial")
