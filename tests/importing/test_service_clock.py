"""The service's clock: followed where ours is wrong, by its dates and not by one of them."""

from datetime import datetime, timedelta
import time
from typing import Any

from freezegun.api import FrozenDateTimeFactory
import pytest

from custom_components.eniris.const import DOMAIN
from custom_components.eniris.data import EnirisConfigEntry
from custom_components.eniris.importing.service_clock import ServiceClock
from homeassistant.core import HomeAssistant
from homeassistant.helpers import issue_registry as ir
from homeassistant.util import dt as dt_util
from simulator.server import Simulator
from tests.kit.common import POLL, advance, set_up_frozen, state_of
from tests.kit.series import NODE, NOW, POWER, SECOND, only, series, write


def clock_issue(hass: HomeAssistant, entry: EnirisConfigEntry) -> ir.IssueEntry | None:
    """Return the repair issue of a clock that differs."""
    return ir.async_get(hass).async_get_issue(DOMAIN, f"clock_{entry.entry_id}")


@pytest.mark.parametrize("error", [timedelta(hours=3), timedelta(minutes=-10)])
async def test_our_clock_is_wrong(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
    monkeypatch: pytest.MonkeyPatch,
    error: timedelta,
) -> None:
    """Polls go by the service's time after some answers, an issue tells of it, and both end by themselves."""
    true = error

    def parse_date(_headers: object) -> datetime:
        return (dt_util.utcnow() - true).replace(microsecond=0)

    monkeypatch.setattr("custom_components.eniris.api.session.parse_date", parse_date)
    freezer.move_to(NOW)
    only(simulator, series("rp_one_s"), series("rp_one_m"), fields=[POWER])
    entry = await set_up_frozen(hass, freezer, user_input, None)
    assert clock_issue(hass, entry) is None
    for number in range(6):
        freezer.tick(POLL)
        moment = dt_util.utcnow() - true - 2 * SECOND
        write(simulator, series("rp_one_s"), moment, **{POWER: float(number)})
        await advance(hass, freezer, timedelta())
    issue = clock_issue(hass, entry)
    assert issue is not None
    assert not issue.is_fixable
    assert issue.translation_placeholders is not None
    seconds = float(issue.translation_placeholders["seconds"])
    assert seconds == pytest.approx(abs(error).total_seconds(), abs=2)
    assert float(state_of(hass, entry, NODE, POWER)) == 5
    assert (
        entry.runtime_data.telemetry.poll.queries[0].series
        == (entry.runtime_data.nodes.data.by_id[NODE].device.series[0])
    )
    for odd in (timedelta(), timedelta(days=3)):
        # One odd date changes nothing
        true = odd
        await advance(hass, freezer)
        true = error
        assert clock_issue(hass, entry) is not None
        await advance(hass, freezer)
    true = timedelta()
    for number in range(6):
        freezer.tick(POLL)
        write(simulator, series("rp_one_s"), dt_util.utcnow(), **{POWER: float(number)})
        await advance(hass, freezer, timedelta())
    assert clock_issue(hass, entry) is None
    assert float(state_of(hass, entry, NODE, POWER)) == 5


def told_in_turn(clock: ServiceClock, *ahead: int | None) -> None:
    """Let answers come a minute apart, dated so many seconds ahead of our clock, or not at all."""
    for number, seconds in enumerate(ahead):
        now = NOW + number * POLL
        told = None if seconds is None else now + timedelta(seconds=seconds)
        clock.note(now, told)


@pytest.mark.parametrize(
    ("ahead", "offset", "is_sure"),
    [
        ((), 0, False),
        ((None,), 0, True),
        ((0, 60, -60), 0, True),
        # One date less than is believed
        ((7200,) * 4, 0, False),
        ((7200,) * 5, 7200, True),
        ((7200, 7200, 0, 7200, 7200), 0, False),
        # Each is odd in its way
        ((7200, -7200, 3600, -3600, 900, -900), 0, False),
        # Not far from the others is the same
        ((7200, 7229, 7180, 7200, 7210), 7210, True),
        # Ours is right again after two dates, not after one
        ((*(7200,) * 5, 0), 7200, False),
        ((*(7200,) * 5, 0, 0), 0, True),
        ((7200, None), 0, False),
    ],
)
def test_what_is_believed(
    ahead: tuple[int | None, ...], offset: int, is_sure: bool
) -> None:
    """A difference that is told again and again is one; a date that stands alone changes nothing."""
    clock = ServiceClock()
    told_in_turn(clock, *ahead)
    assert clock.offset == offset
    assert clock.is_sure is is_sure
    assert clock.time(NOW) == int(NOW.timestamp()) + offset


@pytest.mark.parametrize(("ahead", "expected"), [(-90, -90), (-5, -5), (5, 0), (90, 0)])
def test_rather_too_early(ahead: int, expected: int) -> None:
    """The time of an answer is never later than our clock or the service's says."""
    now = NOW
    told = now + timedelta(seconds=ahead)
    assert ServiceClock().note(now, told) == int(now.timestamp()) + expected


@pytest.mark.parametrize(
    ("ahead", "later", "may_be_behind"),
    [
        # From the beginning
        ((7200,), 0, True),
        ((-7200,), 0, False),
        # Ours was in step, and has gone on evenly: a late date is odd
        ((0, 7200), 0, False),
        # Ours was set back by two hours
        ((0, 7200), -7200, True),
        # Dates that are odd each in its way are believed no more than one
        ((7200, 4000, 3000, 9000, 2000), 0, True),
        ((7200, 4000, 3000, 9000, 2000, 8000), 0, False),
    ],
)
def test_may_be_behind(
    monkeypatch: pytest.MonkeyPatch,
    ahead: tuple[int, ...],
    later: int,
    may_be_behind: bool,
) -> None:
    """Later dates than expected may mean that our clock is behind, unless it was in step and not set since."""
    clock, started = ServiceClock(), time.monotonic()
    for number, seconds in enumerate(ahead):
        passed = number * POLL.total_seconds()
        monkeypatch.setattr(time, "monotonic", lambda passed=passed: started + passed)
        now = NOW + timedelta(seconds=passed + (later if number else 0))
        clock.note(now, now + timedelta(seconds=seconds))
    assert clock.may_be_behind is may_be_behind
