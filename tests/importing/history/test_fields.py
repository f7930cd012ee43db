"""Whose past is imported."""

from typing import Any

from freezegun.api import FrozenDateTimeFactory
import pytest

from custom_components.eniris.importing.history.importer import History
from homeassistant.components.recorder.core import Recorder
from homeassistant.core import HomeAssistant
from homeassistant.helpers import entity_registry as er
from simulator.server import Simulator
from tests.kit.common import entity_id_of, set_up_frozen
from tests.kit.history import DAY, IMPORTED, MINUTE, NOW, import_past
from tests.kit.series import NODE, only, series, write

pytestmark = pytest.mark.usefixtures("place_and_time")


async def test_nothing_is_wanted(
    recorder_mock: Recorder,
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where no entity is enabled, the years are not walked through day by day."""
    only(simulator, series("rp_one_m"), fields=[IMPORTED])
    write(simulator, series("rp_one_m"), NOW - MINUTE, **{IMPORTED: 10.0})
    entry = await set_up_frozen(hass, freezer, user_input, None)
    registry = er.async_get(hass)
    registry.async_update_entity(
        entity_id_of(hass, entry, NODE, IMPORTED),
        disabled_by=er.RegistryEntryDisabler.USER,
    )
    saves = []
    save = History._async_save

    async def count(self: History) -> None:
        saves.append(self)
        await save(self)

    monkeypatch.setattr(History, "_async_save", count)
    await import_past(hass, freezer, entry, NOW - 60 * DAY)
    assert len(saves) < 20
