"""The action that tells what is known of the time ahead."""

from datetime import datetime, timedelta
from typing import Any

from freezegun.api import FrozenDateTimeFactory
import pytest

from custom_components.eniris.const import DOMAIN
from custom_components.eniris.data import EnirisConfigEntry
from homeassistant.core import HomeAssistant
from homeassistant.exceptions import HomeAssistantError, ServiceValidationError
from homeassistant.util import dt as dt_util
from simulator.server import Simulator
from tests.importing.test_forecast import BUY, GRID, SELL, plan
from tests.kit.common import entity_id_of, set_up_frozen

HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
async def in_brussels(hass: HomeAssistant) -> None:
    await hass.config.async_set_time_zone("Europe/Brussels")


@pytest.fixture
async def account(
    hass: HomeAssistant, user_input: dict[str, Any], freezer: FrozenDateTimeFactory
) -> EnirisConfigEntry:
    """Return an account in the evening."""
    return await set_up_frozen(hass, freezer, user_input, "2026-07-01T18:20:30+02:00")


async def forecast(
    hass: HomeAssistant, *entity_ids: str, target: bool = False, **data: Any
) -> dict[str, Any]:
    """Return what the action tells."""
    named = {"entity_id": list(entity_ids)}
    response = await hass.services.async_call(
        DOMAIN,
        "get_forecast",
        data if target else {**named, **data},
        target=named if target else None,
        blocking=True,
        return_response=True,
    )
    assert response is not None
    assert set(response) == {"forecast"}
    found: dict[str, Any] = response["forecast"]  # type: ignore[assignment]
    assert set(found) == set(entity_ids)
    return found


@pytest.mark.parametrize("target", [False, True])
async def test_from_now_on(
    hass: HomeAssistant, account: EnirisConfigEntry, target: bool
) -> None:
    """Without a range it is all that is known, the present period first."""
    buy, sell = (entity_id_of(hass, account, GRID, field) for field in (BUY, SELL))
    found = await forecast(hass, buy, sell, target=target)
    for entity_id in (buy, sell):
        periods = found[entity_id]
        # 18:00 today to 24:00 tomorrow
        assert len(periods) == 30
        assert periods[0]["start"] == "2026-07-01T18:00:00+02:00"
        assert periods[0]["end"] == periods[1]["start"]
        assert periods[-1]["end"] == "2026-07-03T00:00:00+02:00"
        state = hass.states.get(entity_id)
        assert state is not None
        assert periods[0]["value"] == pytest.approx(float(state.state), abs=1e-4)
        assert [each["value"] for each in periods[:6]] == state.attributes["today"][18:]


@pytest.mark.parametrize(
    ("start", "end", "first", "number"),
    [
        ("2026-07-01 20:00", "2026-07-02 07:00", "2026-07-01T20:00:00+02:00", 11),
        ("2026-07-01 20:30", "2026-07-01 20:40", "2026-07-01T20:00:00+02:00", 1),
        ("2026-07-01 02:00", "2026-07-01 04:00", "2026-07-01T02:00:00+02:00", 2),
        ("2026-07-02 20:00", None, "2026-07-02T20:00:00+02:00", 4),
    ],
)
async def test_range(
    hass: HomeAssistant,
    account: EnirisConfigEntry,
    start: str,
    end: str | None,
    first: str,
    number: int,
) -> None:
    """The first period holds at the start, the last begins before the end."""
    buy = entity_id_of(hass, account, GRID, BUY)
    data: dict[str, Any] = {"start": start}
    if end is not None:
        data["end"] = end
    periods = (await forecast(hass, buy, **data))[buy]
    assert len(periods) == number
    assert periods[0]["start"] == first


async def test_another_series(
    hass: HomeAssistant, simulator: Simulator, account: EnirisConfigEntry
) -> None:
    """What is no plan has a present only; rows that lie ahead are a forecast of any series."""
    power = entity_id_of(hass, account, GRID, "actualPowerTot_W")
    periods = (await forecast(hass, power))[power]
    now = dt_util.utcnow()
    assert 1 <= len(periods) <= 2
    assert datetime.fromisoformat(periods[-1]["end"]) - now <= timedelta(minutes=1)
    buy = entity_id_of(hass, account, GRID, BUY)
    ahead = now.replace(minute=0, second=0) + timedelta(days=20)
    plan(simulator, [(ahead, 0.5)])
    periods = (await forecast(hass, buy))[buy]
    assert periods[-1]["value"] == 0.5
    assert datetime.fromisoformat(periods[-1]["end"]) == ahead + HOUR


async def test_nothing_known(hass: HomeAssistant, account: EnirisConfigEntry) -> None:
    """Of a time without rows nothing is told, which is no error."""
    buy = entity_id_of(hass, account, GRID, BUY)
    assert await forecast(hass, buy, start="2026-08-01 00:00:00") == {buy: []}


@pytest.mark.parametrize(
    ("data", "key"),
    [
        ({"entity_id": "sensor.of_others"}, "no_telemetry_of"),
        ({"entity_id": "sensor.eniris_poll_interval"}, "no_telemetry_of"),
        (
            {"start": "2026-07-02 00:00", "end": "2026-07-01 00:00"},
            "start_not_before_end",
        ),
        ({"start": "0001-01-01 00:00:00"}, "invalid_range_time"),
    ],
)
async def test_wrong_calls(
    hass: HomeAssistant, account: EnirisConfigEntry, data: dict[str, Any], key: str
) -> None:
    """What cannot be told is said in the user's words."""
    given = {"entity_id": entity_id_of(hass, account, GRID, BUY), **data}
    with pytest.raises(ServiceValidationError) as caught:
        await hass.services.async_call(
            DOMAIN, "get_forecast", given, blocking=True, return_response=True
        )
    assert caught.value.translation_key == key


async def test_no_entity(hass: HomeAssistant, account: EnirisConfigEntry) -> None:
    """An entity has to be named."""
    with pytest.raises(ServiceValidationError):
        await forecast(hass)


async def test_outage(
    hass: HomeAssistant, simulator: Simulator, account: EnirisConfigEntry
) -> None:
    """Where Eniris does not answer, the action fails and says why."""
    simulator.faults.add("/v1/telemetry/query", "status", status=503)
    with pytest.raises(HomeAssistantError) as caught:
        await forecast(hass, entity_id_of(hass, account, GRID, BUY))
    assert caught.value.translation_key in ("not_answered", "not_reached")
