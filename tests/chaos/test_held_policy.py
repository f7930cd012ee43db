"""A policy whose Home Assistant is gone: the home comes back by itself."""

from functools import partial

from freezegun.api import FrozenDateTimeFactory
import pytest

from custom_components.eniris.controller.controller import Controller
from homeassistant.core import HomeAssistant
from simulator.controller import SimulatedController
from simulator.world.measurements import Rules
from tests.controller.test_policies import pass_time
from tests.kit.controller import select, set_limit

_HELD_S = 15 * 60


@pytest.mark.parametrize("renewals", [0, 2])
async def test_nobody_renews(
    hass: HomeAssistant,
    with_mqtt: Controller,
    controller: SimulatedController,
    freezer: FrozenDateTimeFactory,
    renewals: int,
) -> None:
    """From the moment of a kill on, what the controller holds is over within fifteen minutes, whenever it was renewed last."""
    await set_limit(hass, "import_limit", 9_000)
    await set_limit(hass, "export_limit", 5_000)
    await select(hass, "cost")
    for number in range(renewals):
        await pass_time(hass, freezer, partial(_is_renewed, controller, number + 2))
    killed_s = int(freezer.time_to_freeze.timestamp())
    site = controller.site
    held = site.instant(killed_s + 1, 1)
    assert held.rules == Rules(9_000, 5_000, "cost")
    for second in range(1, _HELD_S, 60):
        assert site.instant(killed_s + second, 1).rules.storage == "cost"
    over = site.instant(killed_s + _HELD_S + 1, 1)
    assert over.rules == Rules()


def _is_renewed(controller: SimulatedController, times: int) -> bool:
    return controller.counts["set_schedules"] == times
