"""Whether the demo's controller works: live values move, a policy is obeyed, the calendar tells it."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from simulator.world.prices import is_dear

from .cloud import Cloud
from .controller import entity_ids, states_of
from .errors import DemoError
from .home_assistant import HomeAssistant

_PATIENCE = 30.0
_POLICY = "cost"
_FULL_PERC = 90
_CHARGING_W = 1_000


async def watch_controller(home: HomeAssistant, cloud: Cloud) -> str:
    """Wait until all of it works, and return what was seen; DemoError if it does not."""
    ids = await entity_ids(home, _PATIENCE)
    missing = "four values of the live power of the grid"
    try:
        async with asyncio.timeout(_PATIENCE):
            times: set[str] = set()
            while len(times) < 4:
                states = await states_of(home)
                times.add(states[ids["grid"]]["last_updated"])
                await asyncio.sleep(0.2)
            moving = sorted(map(datetime.fromisoformat, times))
            await home.post(
                "/api/services/select/select_option",
                {"entity_id": ids["policy"], "option": _POLICY},
            )
            while True:
                missing = await _missing(home, cloud, ids)
                if not missing:
                    break
                await asyncio.sleep(0.2)
    except TimeoutError:
        raise DemoError(
            f"after {_PATIENCE:.0f} s there is missing: {missing}"
        ) from None
    told = await cloud.get("controller")
    if set(told["webhook"]["statuses"]) != {"200"}:
        raise DemoError(f"the webhook answered {told['webhook']['statuses']}")
    if told["counts"].get("wrong"):
        raise DemoError(f"the controller understood not everything: {told['counts']}")
    span = (moving[-1] - moving[0]).total_seconds()
    return (
        f"Live: {len(moving)} values of the grid in {span:.1f} s, posts {told['webhook']['statuses']}, "
        f"requests {told['counts']}; the storage follows {_POLICY}"
    )


async def _missing(home: HomeAssistant, cloud: Cloud, ids: dict[str, str]) -> str:
    """Return what does not show yet that the policy is held."""
    states = await states_of(home)
    if (held := states[ids["policy"]]["state"]) != _POLICY:
        return f"the policy {_POLICY}: {held}"
    if (event := states[ids["calendar"]]["state"]) != "on":
        return f"an event in the calendar: {event}"
    now = datetime.now(UTC)
    events = await home.get(
        f"/api/calendars/{ids['calendar']}?start={_text(now)}&end={_text(now + timedelta(days=2))}"
    )
    told = await cloud.get("controller")
    if len(events) != len(told["schedules"]):
        return f"what is planned in the calendar: {events}"
    storage: dict[str, Any] = told["live"]["storage"]
    power = float(states[ids["storage"]]["state"])
    could = storage["mean_soc_perc"] < _FULL_PERC and not is_dear(int(now.timestamp()))
    if could and power < _CHARGING_W:
        return f"a battery that charges: {power} W"
    return ""


def _text(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")
