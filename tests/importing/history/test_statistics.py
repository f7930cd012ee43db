"""The statistics that the past is put into: those of the entity's present id, and of nothing that is not recorded."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from freezegun.api import FrozenDateTimeFactory
import pytest

from custom_components.eniris.api import TelemetryAnswer, TelemetryQuery
from custom_components.eniris.data import EnirisConfigEntry
from custom_components.eniris.importing.history import statistics
from custom_components.eniris.recorder_access import async_read_recorder
from homeassistant.core import HomeAssistant
from homeassistant.helpers import entity_registry as er
from homeassistant.helpers.recorder import get_instance
from homeassistant.util import dt as dt_util
from simulator.server import Simulator
from tests.kit.common import entity_id_of
from tests.kit.history import (
    DAY,
    HOUR,
    IMPORTED,
    LONG_AGO,
    MINUTE,
    POWER,
    THIS_HOUR,
    account_state,
    asked_of_the_past,
    counted_by,
    import_since,
    kept,
)
from tests.kit.meter import METER
from tests.kit.recorded import rows

pytestmark = pytest.mark.usefixtures("place_and_time")

YESTERDAY = datetime(2026, 7, 14, tzinfo=UTC)

type Asked = Callable[[list[TelemetryQuery]], object]


def look_at_queries(entry: EnirisConfigEntry, look: Asked) -> None:
    """Call `look` with the queries of each request, after they were answered."""
    session: Any = entry.runtime_data.session
    query = session.query_telemetry

    async def query_telemetry(queries: list[TelemetryQuery]) -> TelemetryAnswer:
        answer: TelemetryAnswer = await query(queries)
        look(queries)
        return answer

    session.query_telemetry = query_telemetry


# The entity's id at the moment of writing


@pytest.mark.parametrize("by_way", [(), ("sensor.on_the_way",)])
async def test_renamed_while_a_day_is_fetched(
    hass: HomeAssistant,
    meter: EnirisConfigEntry,
    freezer: FrozenDateTimeFactory,
    by_way: tuple[str, ...],
) -> None:
    """The day is in the statistic of the new id, and no statistic of the old one is left."""
    registry = er.async_get(hass)
    names = {
        entity_id_of(hass, meter, METER, field): f"sensor.renamed_{field.lower()}"
        for field in (IMPORTED, POWER)
    }
    renamed: list[object] = []

    def rename(queries: list[TelemetryQuery]) -> None:
        if not renamed and any(
            query.end and query.end <= YESTERDAY for query in queries
        ):
            renamed.append(queries)
            for name, new in names.items():
                for step in (*by_way, new):
                    registry.async_update_entity(name, new_entity_id=step)
                    name = step

    look_at_queries(meter, rename)
    event = await import_since(hass, freezer, meter, THIS_HOUR - 2 * DAY)
    assert renamed
    assert event["left_out"] == []
    assert not await rows(hass, [*names, *by_way], LONG_AGO)
    counted = await counted_by(hass, f"sensor.renamed_{IMPORTED.lower()}")
    assert counted == pytest.approx(
        {THIS_HOUR - n * HOUR: 600 for n in range(1, 49)}, abs=1e-3
    )
    power = await kept(hass, f"sensor.renamed_{POWER.lower()}")
    assert len(power) == 48


async def test_renamed_while_the_recorder_is_read(
    hass: HomeAssistant,
    meter: EnirisConfigEntry,
    freezer: FrozenDateTimeFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What the recorder had under the old id is read again under the new one."""
    entity_id = entity_id_of(hass, meter, METER, IMPORTED)
    ids = [entity_id, "sensor.one", "sensor.two", "sensor.three", entity_id]

    async def read(*args: Any, **kwargs: Any) -> Any:
        found = await async_read_recorder(*args, **kwargs)
        if len(ids) > 1:
            er.async_get(hass).async_update_entity(ids.pop(0), new_entity_id=ids[0])
        return found

    monkeypatch.setattr(statistics, "async_read_recorder", read)
    await import_since(hass, freezer, meter, THIS_HOUR - 2 * DAY)
    assert len(ids) == 1
    assert not await rows(hass, ["sensor.one", "sensor.two", "sensor.three"], LONG_AGO)
    counted = await counted_by(hass, entity_id)
    assert counted == pytest.approx(
        {THIS_HOUR - n * HOUR: 600 for n in range(1, 49)}, abs=1e-3
    )


async def test_removed_while_a_day_is_fetched(
    hass: HomeAssistant, meter: EnirisConfigEntry, freezer: FrozenDateTimeFactory
) -> None:
    """An entity that is gone gets no more rows; the others do."""
    entity_id = entity_id_of(hass, meter, METER, IMPORTED)
    power = entity_id_of(hass, meter, METER, POWER)

    def remove(queries: list[TelemetryQuery]) -> None:
        if er.async_get(hass).async_get(entity_id) and any(
            query.end and query.end <= THIS_HOUR for query in queries
        ):
            er.async_get(hass).async_remove(entity_id)

    look_at_queries(meter, remove)
    event = await import_since(hass, freezer, meter, THIS_HOUR - 2 * DAY)
    assert event["rows"] == 48
    assert not await counted_by(hass, entity_id)
    assert len(await kept(hass, power)) == 48


# What is left out


async def test_not_recorded(
    hass: HomeAssistant, meter: EnirisConfigEntry, freezer: FrozenDateTimeFactory
) -> None:
    """What the recorder excludes gets no statistics, and is told as left out."""
    power = entity_id_of(hass, meter, METER, POWER)
    get_instance(hass).entity_filter = lambda entity_id: entity_id != power
    event = await import_since(hass, freezer, meter, THIS_HOUR - 2 * DAY)
    assert event["left_out"] == [power]
    assert event["reasons"] == {power: "not_recorded"}
    assert event["entities"] == 1
    assert not await kept(hass, power)
    assert len(await counted_by(hass, entity_id_of(hass, meter, METER, IMPORTED))) == 48
    state = account_state(hass, meter, "history_progress")
    assert state.state == "100.0"
    assert state.attributes["left_out"] == [power]
    assert state.attributes["not_recorded"] == [power]
    assert state.attributes["no_usable_answer"] == []


async def test_nothing_is_recorded(
    hass: HomeAssistant,
    meter: EnirisConfigEntry,
    simulator: Simulator,
    freezer: FrozenDateTimeFactory,
) -> None:
    """If the recorder excludes all of them, nothing is asked and nothing waited for."""
    get_instance(hass).entity_filter = lambda _: False
    asked = len(asked_of_the_past(simulator))
    started = dt_util.utcnow()
    event = await import_since(hass, freezer, meter, THIS_HOUR - 2 * DAY)
    assert len(event["left_out"]) == 2
    assert event["rows"] == 0
    assert dt_util.utcnow() - started < 2 * MINUTE
    assert len(asked_of_the_past(simulator)) - asked < 3
