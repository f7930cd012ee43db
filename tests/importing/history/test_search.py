"""Where there is data of the past."""

from datetime import UTC, datetime
from typing import Any

from freezegun.api import FrozenDateTimeFactory
import pytest

from custom_components.eniris.api import Session, StatementResult
from homeassistant.core import HomeAssistant
from homeassistant.util import dt as dt_util
from simulator.server import Simulator
from tests.kit.common import entity_id_of, set_up_frozen
from tests.kit.history import (
    COUNTER,
    DAY,
    HOUR,
    IMPORTED,
    MINUTE,
    NOW,
    THIS_HOUR,
    changes,
    import_past,
    kept,
)
from tests.kit.recorded import live
from tests.kit.series import NODE, SECOND, only, series, write

pytestmark = pytest.mark.usefixtures("recorder_mock", "place_and_time")


@pytest.mark.parametrize(("coarse", "first"), [("rp_ten_m", 12), ("rp_one_s", 23)])
async def test_series_that_begins_within_a_day(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
    first: int,
    coarse: str,
) -> None:
    """Hours before a retention policy begins come from the other one, on the day on which it begins, too."""
    fine, other = series("rp_one_m"), series(coarse)
    only(simulator, fine, other, fields=[IMPORTED])
    begins = datetime(2026, 7, 14, first, tzinfo=UTC)
    start = THIS_HOUR - 2 * DAY
    moment = start + 30 * MINUTE
    while moment < NOW:
        write(simulator, other, moment, **{IMPORTED: 600.0})
        if moment >= begins:
            write(simulator, fine, moment, **{IMPORTED: 600.0})
        moment += HOUR
    entry = await set_up_frozen(hass, freezer, user_input, None)
    while dt_util.utcnow() < NOW + 10 * MINUTE:
        for each in (fine, other):
            write(simulator, each, dt_util.utcnow(), **{IMPORTED: 10.0})
        await live(hass, freezer, dt_util.utcnow() + MINUTE)
    await import_past(hass, freezer, entry, start)
    counted = changes(await kept(hass, entity_id_of(hass, entry, NODE, IMPORTED)))
    missing = [
        start + n * HOUR
        for n in range(48)
        if round(counted.get(start + n * HOUR, 0)) != 600
    ]
    assert not missing


async def test_series_that_is_refused(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The past comes from the other retention policy where the service refuses the one."""
    field = COUNTER
    fine, other = series("rp_one_m"), series("rp_one_s")
    only(simulator, fine, other, fields=[field])
    start = THIS_HOUR - DAY
    for n in range(25):
        for each in (fine, other):
            write(simulator, each, start + n * HOUR + 30 * MINUTE, **{field: 600.0})
            write(simulator, each, NOW - SECOND, **{field: 600.0})
    query = Session.query_telemetry

    async def query_telemetry(self: Session, queries: Any) -> Any:
        answer = await query(self, queries)
        for number, each in enumerate(queries):
            if each.namespace.retention_policy == "rp_one_m":
                answer.results[number] = StatementResult([], "Unauthorized")
        return answer

    monkeypatch.setattr(Session, "query_telemetry", query_telemetry)
    entry = await set_up_frozen(hass, freezer, user_input, None)
    while dt_util.utcnow() < NOW + 10 * MINUTE:
        for each in (fine, other):
            moment = dt_util.utcnow() + 55 * SECOND
            write(simulator, each, moment, **{field: 600.0})
        await live(hass, freezer, dt_util.utcnow() + MINUTE)
    await import_past(hass, freezer, entry, start)
    counted = changes(await kept(hass, entity_id_of(hass, entry, NODE, field)))
    assert len(counted) >= 24
