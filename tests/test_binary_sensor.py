"""Binary sensors: truth values of nodes."""

from typing import Any

from freezegun.api import FrozenDateTimeFactory
import pytest

from custom_components.eniris.const import DOMAIN
from homeassistant.const import STATE_OFF, STATE_ON, STATE_UNAVAILABLE
from homeassistant.core import HomeAssistant
from homeassistant.helpers import entity_registry as er
from homeassistant.helpers.entity import Entity
from simulator.model import FieldValue
from simulator.server import Simulator
from simulator.world import HomeWorld

from .kit.common import (
    METADATA_POLL,
    POLL,
    advance,
    advance_in_polls,
    entity_id_of,
    set_up_frozen,
    state_of,
)
from .kit.meter import METER, add_meter, write


@pytest.fixture
def all_enabled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Enable the entities that are registered as disabled otherwise."""
    monkeypatch.setattr(
        Entity, "entity_registry_enabled_default", property(lambda _: True)
    )


async def test_car(
    hass: HomeAssistant, user_input: dict[str, Any], freezer: FrozenDateTimeFactory
) -> None:
    """What the charge point says of the car."""
    entry = await set_up_frozen(hass, freezer, user_input)
    entity_id = entity_id_of(hass, entry, HomeWorld.EV_CHARGER, "evRequiringCharge")
    assert entity_id == "binary_sensor.charge_point_ev_requires_charging"
    state = hass.states.get(entity_id)
    assert state is not None
    assert state.state in (STATE_ON, STATE_OFF)
    assert set(state.attributes) == {"friendly_name"}


async def test_changes(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> None:
    """The state follows; what is no truth value costs this entity alone its state."""
    freezer.move_to("2026-07-01T12:00:30Z")
    add_meter(simulator, "signalActive", "evRequiringCharge")
    values: list[tuple[FieldValue, str]] = [
        (True, STATE_ON),
        (False, STATE_OFF),
        (1.0, STATE_ON),
        (2.0, STATE_UNAVAILABLE),
        (0, STATE_OFF),
        ("true", STATE_UNAVAILABLE),
        (True, STATE_ON),
    ]
    write(simulator, {"signalActive": False, "evRequiringCharge": True})
    entry = await set_up_frozen(hass, freezer, user_input)
    assert state_of(hass, entry, METER, "signalActive") == STATE_OFF
    for value, shown in values:
        write(simulator, {"signalActive": value, "evRequiringCharge": True})
        await advance(hass, freezer)
        assert state_of(hass, entry, METER, "signalActive") == shown
        assert state_of(hass, entry, METER, "evRequiringCharge") == STATE_ON


async def test_known_flag_that_is_none(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> None:
    """A field that ought to be a truth value makes no sensor where it is none."""
    freezer.move_to("2026-07-01T12:00:30Z")
    add_meter(simulator, "signalActive")
    write(simulator, {"signalActive": "yes"})
    entry = await set_up_frozen(hass, freezer, user_input)
    entity_id = entity_id_of(hass, entry, METER, "signalActive")
    assert entity_id == "binary_sensor.shed_signal"
    assert state_of(hass, entry, METER, "signalActive") == STATE_UNAVAILABLE


async def test_unknown_flag(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> None:
    """A truth value that the catalogue does not know is there for those who enable it."""
    freezer.move_to("2026-07-01T12:00:30Z")
    add_meter(simulator, "doorOpen")
    write(simulator, {"doorOpen": True})
    entry = await set_up_frozen(hass, freezer, user_input)
    entity_id = entity_id_of(hass, entry, METER, "doorOpen")
    assert entity_id == "binary_sensor.shed_door_open"
    registered = er.async_get(hass).async_get(entity_id)
    assert registered is not None
    assert registered.disabled_by is er.RegistryEntryDisabler.INTEGRATION
    assert registered.original_name == "Door open"


@pytest.mark.usefixtures("all_enabled")
async def test_clash(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> None:
    """The same flag in two measurements of a node makes two entities of different names."""
    freezer.move_to("2026-07-01T12:00:30Z")
    measurements = ("submeteringMetrics", "externalSignalMetrics")
    add_meter(simulator, "signalActive", measurements=measurements)
    for measurement, value in zip(measurements, (True, False), strict=True):
        write(simulator, {"signalActive": value}, measurement=measurement)
    await set_up_frozen(hass, freezer, user_input)
    for entity_id, name, shown in (
        (
            "binary_sensor.shed_signal_submetering",
            "Shed Signal (submetering)",
            STATE_ON,
        ),
        (
            "binary_sensor.shed_signal_external_signal",
            "Shed Signal (external signal)",
            STATE_OFF,
        ),
    ):
        state = hass.states.get(entity_id)
        assert state is not None
        assert state.state == shown
        assert state.name == name


@pytest.mark.expected_log("fetching Eniris (devices|telemetry) data")
@pytest.mark.parametrize("path", ["/v1/device/query", "/v1/telemetry/query"])
@pytest.mark.parametrize("is_new", [False, True])
async def test_connected(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
    path: str,
    is_new: bool,
) -> None:
    """The account's device says whether Eniris answers, from the first poll on."""
    if is_new:
        simulator.faults.add(path, "drop")
    entry = await set_up_frozen(hass, freezer, user_input)
    entity_id = er.async_get(hass).async_get_entity_id(
        "binary_sensor", DOMAIN, f"{entry.unique_id}_connected"
    )
    assert entity_id == "binary_sensor.eniris_account_connected"
    if not is_new:
        state = hass.states.get(entity_id)
        assert state is not None
        assert state.state == STATE_ON
        assert state.attributes["device_class"] == "connectivity"
        simulator.faults.add(path, "drop")
        await advance_in_polls(hass, freezer, METADATA_POLL)
    assert hass.states.is_state(entity_id, STATE_OFF)
    simulator.faults.clear()
    await advance_in_polls(hass, freezer, 3 * POLL)
    assert hass.states.is_state(entity_id, STATE_ON)
    assert await hass.config_entries.async_unload(entry.entry_id)
