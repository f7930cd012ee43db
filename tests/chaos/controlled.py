"""The controller of a run: the simulated one, what Home Assistant shows of it, and what may never be."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
import secrets
import time
from typing import Final

from scripts.demo import steps
from scripts.demo.controller import add_controller, webhook_of
from scripts.demo.errors import DemoError
from scripts.demo.home_assistant import HomeAssistant
from scripts.demo.processes import LOOPBACK
from simulator.controller import Broker, SimulatedController
from simulator.controller.controller import OWN_USERNAME, USERNAME, Behaviour, Webhook
from simulator.world import HomeWorld, measurements as m

from .door import Door, GoneError
from .home import Home

POLICIES: Final = ("cost", "self_consumption", "controller_decides")

_POLICY: Final = "select.home_controller_storage_policy"
_LIVE: Final = "binary_sensor.home_controller_live_connection"
_POWER: Final = "sensor.home_controller_grid_power"

_HELD_S: Final = 15 * 60
"""For how long a policy is in force at most when nobody renews it."""
_SECOND_S: Final = 2
_CLOCK_S: Final = 92
"""By how much Home Assistant's clock may differ and what it sends is taken all the same; others are refused for their time."""
_PATIENCE_S: Final = 40.0


class Controlled:
    """A simulated controller, and what is to be seen of it in Home Assistant.

    machine: held by what starts and stops the controller or its broker.
    """

    def __init__(self, world: HomeWorld) -> None:
        """Control the home, with a password that must be in no log."""
        self.password = secrets.token_hex(8)
        users = {USERNAME: self.password, OWN_USERNAME: secrets.token_hex(8)}
        self.simulated = SimulatedController(world.sites[0], broker=Broker(users))
        self.simulated.password = self.password
        self.machine = asyncio.Lock()
        self._door: Door | None = None

    async def set_up(self, home: Home) -> None:
        """Add the controller to the account, and have it post each second."""
        base = f"http://{LOOPBACK}:{home.port}"
        async with HomeAssistant(base) as browser:
            await steps.onboard_or_log_in(browser)
            simulated = self.simulated
            await add_controller(
                browser,
                home.entry_id,
                {
                    "host": simulated.host,
                    "port": simulated.port,
                    "username": simulated.username,
                    "password": simulated.password,
                },
            )
            url, token = await webhook_of(browser, home.entry_id)
        simulated.webhook = Webhook(url, token, period=1.0)
        self._door = Door(base)

    @property
    def webhook(self) -> Webhook:
        """Where it posts to."""
        assert self.simulated.webhook is not None
        return self.simulated.webhook

    async def choose(self, policy: str) -> None:
        """Choose a policy, which may fail."""
        assert self._door is not None
        with suppress(GoneError, DemoError):
            try:
                await self._act(self._door, policy)
            except GoneError:
                # That may have been a connection to a process which is gone since long
                await self._act(self._door, policy)

    @staticmethod
    async def _act(door: Door, policy: str) -> None:
        await door.act("select", "select_option", entity_id=_POLICY, option=policy)

    async def close(self) -> None:
        """Close the connection to Home Assistant."""
        if self._door is not None:
            await self._door.close()

    def problems(self, *, clock_was_set: bool) -> list[str]:
        """Return what is wrong with what the controller was asked so far."""
        simulated, now_s = self.simulated, time.time()
        latest = now_s + _HELD_S + (_CLOCK_S if clock_was_set else _SECOND_S)
        found = [
            f"a policy would be in force until {wish.end_time - now_s:.0f} s from now"
            for wish in simulated.schedules.planned(now_s).values()
            if wish.end_time > latest
        ]
        if simulated.counts["wrong"] and not clock_was_set:
            found.append("the controller did not understand everything")
        found += [
            f"something was published to {message.topic}"
            for message in simulated.received
            if message.topic != simulated.request_topic
        ]
        return found

    async def clear(self) -> None:
        """Put everything in order."""
        simulated = self.simulated
        simulated.behaviour = Behaviour()
        simulated.gate.resume()
        await simulated.gate.open()

    async def judge(self, home: Home) -> list[str]:
        """Return what does not work although nothing stands in its way any more."""
        if await _wait_for(partial(self._missing, home)):
            # A broker that was away for long is asked again after two minutes
            await home.reload()
            await home.wait_until_loaded()
        missing = await _wait_for(partial(self._missing, home))
        if not missing:
            await self.choose(POLICIES[0])
            missing = await _wait_for(partial(self._not_held, home))
        return [f"of the controller there is missing: {missing}"] if missing else []

    async def _missing(self, home: Home) -> str:
        states = await home.states()
        if (live := states.get(_LIVE)) != "on":
            return f"the live connection: {live}"
        if (held := states.get(_POLICY)) in (None, "unavailable"):
            return f"the connection to the broker: {held}"
        now_s = int(time.time())
        site = self.simulated.site
        recent = [
            round(m.grid(site.instant(second, 1).watts))
            for second in range(now_s - 4, now_s + 1)
        ]
        with suppress(KeyError, ValueError):
            if round(float(states[_POWER])) in recent:
                return ""
        return f"the power of the grid: {states.get(_POWER)}, not one of {recent}"

    async def _not_held(self, home: Home) -> str:
        planned = self.simulated.schedules.planned(time.time()).values()
        if not any(wish.policy == POLICIES[0] for wish in planned):
            return f"a policy that is held: {planned}"
        if (held := (await home.states()).get(_POLICY)) != POLICIES[0]:
            return f"its state: {held}"
        return ""


async def _wait_for(look: Callable[[], Awaitable[str]]) -> str:
    """Return what is missing after some time; nothing once nothing is."""
    until = time.monotonic() + _PATIENCE_S
    while True:
        missing = await look()
        if not missing or time.monotonic() > until:
            return missing
        await asyncio.sleep(0.5)
