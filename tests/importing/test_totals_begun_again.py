"""Totals after a kill, a loss or a removal, in the recorder's statistics: never back, nothing twice."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

from freezegun.api import FrozenDateTimeFactory
import pytest
from pytest_homeassistant_custom_component.common import async_fire_time_changed

from custom_components.eniris.const import CONF_IMPORT, CONF_INTERVAL
from custom_components.eniris.data import EnirisConfigEntry
from custom_components.eniris.importing.totals import totals_store
from homeassistant.components.recorder.core import Recorder
from homeassistant.const import EVENT_STATE_CHANGED
from homeassistant.core import Event, EventStateChangedData, HomeAssistant, callback
from homeassistant.helpers import entity_registry as er
from homeassistant.util import dt as dt_util
from simulator.server import Simulator
from tests.kit.common import entity_id_of, set_up_frozen, settle
from tests.kit.history import MINUTE, measure, only_a_meter
from tests.kit.meter import METER
from tests.kit.recorded import live, rows

NOW = datetime(2026, 7, 15, 11, 2, 30, tzinfo=UTC)
HOUR = timedelta(hours=1)
FIELD = "importedEnergyDeltaTot_Wh"
ENERGY = 100.0


class _Home:
    """A home in which 100 Wh flow each minute, and what its meter's total shows."""

    def __init__(
        self,
        hass: HomeAssistant,
        simulator: Simulator,
        freezer: FrozenDateTimeFactory,
        user_input: dict[str, Any],
    ) -> None:
        self.hass = hass
        self._simulator = simulator
        self._freezer = freezer
        self._user_input = user_input
        self.entry: EnirisConfigEntry
        self.shown: list[float] = []
        self.measured = {NOW - MINUTE: 1000.0}
        for moment, energy in self.measured.items():
            measure(simulator, moment, **{FIELD: energy})

    def _measure(self) -> None:
        now = dt_util.utcnow()
        measure(self._simulator, now, **{FIELD: ENERGY})
        self.measured[now] = ENERGY

    async def add(self) -> None:
        """Add the account; nothing of its past is wanted."""
        self.entry = await set_up_frozen(
            self.hass, self._freezer, self._user_input, None
        )
        await settle(self.hass)

    @property
    def entity_id(self) -> str:
        return entity_id_of(self.hass, self.entry, METER, FIELD)

    @callback
    def note(self, event: Event[EventStateChangedData]) -> None:
        """Note what is shown, in Wh."""
        state = event.data["new_state"]
        if state and state.entity_id == self.entity_id:
            try:
                self.shown.append(1000 * float(state.state))
            except ValueError:
                return

    async def flow(self, by: timedelta) -> None:
        """Let time pass with the account loaded."""
        until = dt_util.utcnow() + by
        while (now := dt_util.utcnow()) < until:
            self._measure()
            await live(self.hass, self._freezer, min(until, now + MINUTE))

    async def pause(self, by: timedelta) -> None:
        """Let time pass without it."""
        until = dt_util.utcnow() + by
        while dt_util.utcnow() < until:
            self._measure()
            self._freezer.tick(MINUTE)
        async_fire_time_changed(self.hass)
        await settle(self.hass)

    async def stop(self) -> None:
        """Stop Home Assistant, as far as totals can tell."""
        await self.hass.config_entries.async_unload(self.entry.entry_id)
        self.hass.data.pop("eniris_totals", None)

    async def start(self) -> None:
        """Start it again."""
        await self.hass.config_entries.async_setup(self.entry.entry_id)
        await settle(self.hass)

    async def assert_counted(
        self, unsure: float = 0.0, left_out: tuple[datetime, datetime] = (NOW, NOW)
    ) -> None:
        """Compare what is shown with what flowed but for a time that is left out, and see what was shown on the way.

        `unsure` is the energy that may be missing; never is anything counted twice.
        """
        assert self.shown == sorted(self.shown)
        flowed = sum(
            energy
            for moment, energy in self.measured.items()
            if not left_out[0] <= moment < left_out[1]
        )
        assert flowed - unsure - 0.1 <= self.shown[-1] <= flowed + 0.1
        changes = 0.0
        for period in ("hour", "5minute"):
            found = await rows(self.hass, [self.entity_id], NOW - HOUR, period=period)
            each = [row["change"] or 0.0 for row in found[self.entity_id].values()]
            assert min(each) >= -1e-6
            changes = sum(each)
        # The statistic begins with its first five minutes and ends with its last ones
        assert changes <= self.shown[-1] - self.shown[0]
        assert changes >= self.shown[-1] - self.shown[0] - 12 * ENERGY


@pytest.fixture
async def home(
    recorder_mock: Recorder,
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> AsyncIterator[_Home]:
    """Return a home with an account that was added in the middle of an hour."""
    freezer.move_to(NOW)
    only_a_meter(simulator, FIELD)
    home = _Home(hass, simulator, freezer, user_input)
    await home.add()
    remove = hass.bus.async_listen(EVENT_STATE_CHANGED, home.note)
    yield home
    remove()


@pytest.mark.parametrize(("back", "away"), [(7, 2), (40, 400), (130, 50)])
async def test_older_file(home: _Home, back: int, away: int) -> None:
    """After a kill, or with the file of a backup, a total is unknown until it is not behind any more."""
    before = timedelta(minutes=150)
    await home.flow(before - back * MINUTE)
    await home.entry.runtime_data.telemetry.totals.async_save()
    store = totals_store(home.hass, home.entry.entry_id)
    stored = await store.async_load()
    assert stored
    await home.flow(back * MINUTE)
    await home.stop()
    await store.async_save(stored)
    await home.pause(away * MINUTE)
    await home.start()
    await home.flow(90 * MINUTE)
    await home.assert_counted()


@pytest.mark.parametrize(
    ("how", "away"),
    [
        ("removed and added", 1),
        ("removed and added", 1500),
        ("file lost", 0),
        ("file lost", 200),
    ],
)
async def test_lost(home: _Home, how: str, away: int) -> None:
    """A total that is lost goes on from what was shown; what flowed without an account for days is left out."""
    before = timedelta(minutes=150)
    await home.flow(before)
    stopped = dt_util.utcnow()
    if how == "removed and added":
        await home.hass.config_entries.async_remove(home.entry.entry_id)
        await settle(home.hass)
    else:
        await home.stop()
        await totals_store(home.hass, home.entry.entry_id).async_remove()
    await home.pause(away * MINUTE)
    if how == "removed and added":
        await home.add()
    else:
        await home.start()
    await home.flow(90 * MINUTE)
    if away > 24 * 60:
        end = stopped + away * MINUTE
        await home.assert_counted(ENERGY, (stopped, end.replace(minute=0, second=0)))
    else:
        await home.assert_counted(ENERGY)


async def test_disabled_and_enabled(home: _Home) -> None:
    """An entity that is disabled for a while, over a restart as well, catches up and never goes back."""
    await home.flow(30 * MINUTE)
    registry = er.async_get(home.hass)
    entity_id = home.entity_id
    registry.async_update_entity(entity_id, disabled_by=er.RegistryEntryDisabler.USER)
    await settle(home.hass)
    await home.stop()
    await home.pause(20 * MINUTE)
    await home.start()
    assert not home.entry.runtime_data.telemetry.totals.wanted
    registry.async_update_entity(entity_id, disabled_by=None)
    await home.flow(60 * MINUTE)
    await home.assert_counted()


async def test_known_with_the_first_poll(home: _Home) -> None:
    """After a start nobody waits for a second poll, which may be far away."""
    await home.flow(30 * MINUTE)
    home.hass.config_entries.async_update_entry(
        home.entry, options={CONF_IMPORT: {CONF_INTERVAL: 3600}}
    )
    await settle(home.hass)
    await home.stop()
    await home.pause(2 * HOUR)
    await home.start()
    state = home.hass.states.get(home.entity_id)
    assert state
    assert 1000 * float(state.state) == sum(home.measured.values())
