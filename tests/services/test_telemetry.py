"""The action that queries telemetry: rows, aggregates, and what they cost."""

from datetime import UTC, datetime
import math
import time
from typing import Any

from freezegun.api import FrozenDateTimeFactory
import pytest

from custom_components.eniris.data import EnirisConfigEntry
from homeassistant.core import Context, HomeAssistant
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers import config_validation as cv
from homeassistant.helpers.script import Script
from simulator.server import Simulator
from simulator.world import HomeWorld
from tests.kit.common import device_of, set_up_frozen, until
from tests.kit.history import (
    DAY,
    HOUR,
    IMPORTED,
    MINUTE,
    POWER,
    QUERY,
    QUERY_PATH,
    THIS_HOUR,
    measure,
    measure_hourly,
    pass_time,
)
from tests.kit.meter import METER
from tests.services.kit import SERIES, ask
from tests.services.test_nodes import refused

pytestmark = pytest.mark.usefixtures("place_and_time")


def asked(simulator: Simulator) -> list[dict[str, Any]]:
    """Return the statements of the requests since the log was reset."""
    return [item for request in simulator.log.find(QUERY) for item in request.json]


# Rows


async def test_rows(
    hass: HomeAssistant, meter: EnirisConfigEntry, simulator: Simulator
) -> None:
    """Rows of several fields, oldest first, null where a field has no value; one query."""
    device = device_of(hass, meter, METER)
    assert device
    simulator.log.reset()
    start = THIS_HOUR - 2 * HOUR
    answer = await ask(hass, device_id=device.id, fields=[POWER, "status"], start=start)
    assert answer == {
        "rows": [
            {"time": "2026-07-15T09:30:00+00:00", POWER: -1, "status": None},
            {"time": "2026-07-15T10:30:00+00:00", POWER: 0, "status": None},
            {"time": "2026-07-15T11:41:30+00:00", POWER: 5, "status": "idle"},
        ],
        "truncated": False,
        "units": {POWER: "W", "status": None},
        "series": {
            POWER: {**SERIES, "field": POWER},
            "status": {**SERIES, "field": "status"},
        },
    }
    [statement] = asked(simulator)
    assert statement["limit"] == 1441
    assert await ask(hass, node_id=METER, fields=POWER, start=start)


async def test_limit_and_order(hass: HomeAssistant, meter: EnirisConfigEntry) -> None:
    """The order decides which rows are kept, and the answer tells that there are more."""
    base = {"node_id": METER, "fields": POWER, "start": THIS_HOUR - 5 * HOUR}
    for order, limit, values, truncated in (
        ("oldest_first", 2, [-4, -3], True),
        ("newest_first", 2, [5, 0], True),
        ("newest_first", 6, [5, 0, -1, -2, -3, -4], False),
        ("oldest_first", 7, [-4, -3, -2, -1, 0, 5], False),
    ):
        answer = await ask(hass, **base, order=order, limit=limit)
        assert [row[POWER] for row in answer["rows"]] == values
        assert answer["truncated"] is truncated


async def test_no_data(hass: HomeAssistant, meter: EnirisConfigEntry) -> None:
    """A time of which there is nothing, the future included, has no rows."""
    for start, end in (("2020-01-01", "2020-01-02"), ("2030-01-01", "2030-01-02")):
        answer = await ask(hass, node_id=METER, fields=POWER, start=start, end=end)
        assert answer["rows"] == []
        assert answer["truncated"] is False


async def test_script_and_templates(
    hass: HomeAssistant, meter: EnirisConfigEntry
) -> None:
    """The response is ready for a template, and one map away from what charts want."""
    script = Script(
        hass,
        cv.SCRIPT_SCHEMA(
            [
                {
                    "action": "eniris.query_telemetry",
                    "data": {
                        "node_id": METER,
                        "fields": [IMPORTED],
                        "start": "{{ today_at() - timedelta(days=2) }}",
                        "aggregation": "sum",
                        "period": "day",
                    },
                    "response_variable": "energy",
                },
                {
                    "variables": {
                        "result": {
                            "text": (
                                "{% for row in energy.rows %}"
                                "{{ (row.time | as_datetime | as_local).day }}:"
                                f"{{{{ row.{IMPORTED} }}}}{{{{ energy.units.{IMPORTED} }}}} "
                                "{% endfor %}"
                            ),
                            "pairs": (
                                "{% set ns = namespace(pairs=[]) %}"
                                "{% for row in energy.rows %}{% set ns.pairs = ns.pairs +"
                                f" [[as_timestamp(row.time) * 1000, row.{IMPORTED}]] %}}"
                                "{% endfor %}{{ ns.pairs }}"
                            ),
                        }
                    }
                },
                {"stop": "", "response_variable": "result"},
            ]
        ),
        "test",
        "test",
    )
    result: Any = await script.async_run(context=Context())
    assert result
    # 13 hours of today, and 24 of each day before, at half past
    days = [
        math.fsum(range(10 + first, 10 + last))
        for first, last in ((37, 61), (13, 37), (0, 13))
    ]
    days[-1] += 1
    assert result.service_response["text"].split() == [
        f"{day}:{total:g}Wh" for day, total in zip((13, 14, 15), days, strict=True)
    ]
    midnight = datetime(2026, 7, 12, 22, tzinfo=UTC).timestamp()
    assert result.service_response["pairs"] == [
        [(midnight + n * 86400) * 1000, total] for n, total in enumerate(days)
    ]


# Aggregates


@pytest.mark.parametrize(
    ("aggregation", "value"), [("mean", -0.5), ("min", -2), ("max", 1), ("sum", -2)]
)
async def test_whole_range(
    hass: HomeAssistant,
    meter: EnirisConfigEntry,
    simulator: Simulator,
    aggregation: str,
    value: float,
) -> None:
    """Without a period there is one row, which has the start of the range."""
    for n in range(4):
        measure(simulator, THIS_HOUR - 100 * DAY + n * MINUTE, **{POWER: n - 2.0})
    answer = await ask(
        hass,
        node_id=METER,
        fields=POWER,
        start=THIS_HOUR - 101 * DAY,
        end=(THIS_HOUR - 99 * DAY).isoformat(),
        aggregation=aggregation,
    )
    assert answer["rows"] == [{"time": "2026-04-05T11:00:00+00:00", POWER: value}]


async def test_periods(
    hass: HomeAssistant, meter: EnirisConfigEntry, simulator: Simulator
) -> None:
    """One row a period, null where there is nothing; one query each, all in one request."""
    simulator.log.reset()
    answer = await ask(
        hass,
        node_id=METER,
        fields=[POWER, IMPORTED],
        start=THIS_HOUR - 2 * HOUR,
        end=THIS_HOUR.isoformat(),
        aggregation="max",
        period="15minute",
        order="newest_first",
    )
    assert [
        (row["time"][11:16], row[POWER], row[IMPORTED]) for row in answer["rows"]
    ] == [
        ("10:45", None, None),
        ("10:30", 0, 10),
        ("10:15", None, None),
        ("10:00", None, None),
        ("09:45", None, None),
        ("09:30", -1, 11),
        ("09:15", None, None),
        ("09:00", None, None),
    ]
    assert simulator.log.count(QUERY) == 1
    assert len(asked(simulator)) == 8


@pytest.mark.parametrize("columns", ["function", "field"])
async def test_column_names(
    hass: HomeAssistant, meter: EnirisConfigEntry, simulator: Simulator, columns: Any
) -> None:
    """However the service names its columns, values find their fields."""
    simulator.switches.aggregate_columns = columns
    answer = await ask(
        hass,
        node_id=METER,
        fields=[IMPORTED, POWER],
        start=THIS_HOUR - HOUR,
        end=THIS_HOUR.isoformat(),
        aggregation="mean",
        period="hour",
        limit=1,
    )
    assert [(row[IMPORTED], row[POWER]) for row in answer["rows"]] == [(10, 0)]


async def test_days_of_other_lengths(
    hass: HomeAssistant, meter: EnirisConfigEntry, simulator: Simulator
) -> None:
    """A day of the clock change has the hours that it has, and nothing counts twice."""
    start = datetime(2026, 3, 27, 23, tzinfo=UTC)
    measure_hourly(simulator, start, start + 3 * DAY, **{IMPORTED: 1.0})
    answer = await ask(
        hass,
        node_id=METER,
        fields=IMPORTED,
        start="2026-03-28 00:00:00",
        end="2026-03-31 00:00:00",
        aggregation="sum",
        period="day",
    )
    assert [row[IMPORTED] for row in answer["rows"]] == [24, 23, 24]


@pytest.mark.parametrize(
    ("fault", "key"),
    [
        ({"fault": "drop"}, "not_reached"),
        ({"fault": "html"}, "not_answered"),
        ({"fault": "status", "status": 403}, "not_answered"),
        ({"fault": "status", "status": 401}, "authentication_failed"),
        ({"fault": "status", "status": 422}, "too_dear"),
    ],
)
async def test_failures(
    hass: HomeAssistant,
    meter: EnirisConfigEntry,
    simulator: Simulator,
    fault: dict[str, Any],
    key: str,
) -> None:
    """What the service does wrong is told in words."""
    simulator.faults.add(QUERY_PATH, **fault)
    call = ask(hass, node_id=METER, fields=POWER, start=THIS_HOUR - HOUR)
    await refused(HomeAssistantError, key, call)


# The budget


async def test_full_bucket(
    hass: HomeAssistant,
    meter: EnirisConfigEntry,
    simulator: Simulator,
    freezer: FrozenDateTimeFactory,
) -> None:
    """After a 429 nobody asks until the time is over."""
    simulator.faults.add(QUERY_PATH, "status", status=429, retry_after=30, times=1)
    simulator.log.reset()
    data = {"node_id": METER, "fields": POWER, "start": THIS_HOUR - HOUR}
    for _ in range(3):
        quoted = await refused(HomeAssistantError, "asked_to_wait", ask(hass, **data))
        assert quoted == {"seconds": "30"}
    assert simulator.log.count(QUERY) == 1
    freezer.tick(31)
    assert (await ask(hass, **data))["rows"]


@pytest.mark.expected_log("fetching Eniris")
async def test_two_waits(
    hass: HomeAssistant,
    meter: EnirisConfigEntry,
    simulator: Simulator,
    freezer: FrozenDateTimeFactory,
) -> None:
    """Where two that ask at once are told to wait, the longer wait holds for both."""
    long = simulator.faults.add(
        QUERY_PATH, "status", status=429, retry_after=300, times=1
    )
    poll = hass.async_create_task(meter.runtime_data.telemetry.async_refresh())
    short = simulator.faults.add(
        QUERY_PATH, "status", status=429, retry_after=2, delay=5, times=1
    )
    data = {"node_id": METER, "fields": POWER, "start": THIS_HOUR - HOUR}
    question = hass.async_create_task(ask(hass, **data))
    await until(lambda: poll.done() and long.hits + short.hits == 2)
    freezer.tick(6)
    await refused(HomeAssistantError, "asked_to_wait", question)
    freezer.tick(200)
    quoted = await refused(HomeAssistantError, "asked_to_wait", ask(hass, **data))
    assert quoted == {"seconds": "94"}


async def test_smallest_budget(
    hass: HomeAssistant,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> None:
    """On the smallest tier a long question takes its time, and neither it nor a poll is refused."""
    simulator.tier = "free"
    entry = await set_up_frozen(hass, freezer, user_input, None)
    simulator.log.reset()
    question = hass.async_create_task(
        ask(
            hass,
            node_id=HomeWorld.GRID_METER,
            fields=[POWER],
            start=THIS_HOUR - 40 * DAY,
            end=THIS_HOUR.isoformat(),
            aggregation="mean",
            period="hour",
            measurement="submeteringMetrics",
        )
    )
    began = time.monotonic()
    lowest = math.inf

    def done() -> bool:
        nonlocal lowest
        lowest = min(lowest, entry.runtime_data.session.budget.remaining or math.inf)
        return question.done()

    await pass_time(hass, freezer, done)
    assert 20 < time.monotonic() - began < 300
    rows = (await question)["rows"]
    assert len(rows) == 960
    assert all(row[POWER] is not None for row in rows)
    assert not simulator.log.count(QUERY, 429)
    assert simulator.log.count(QUERY) > 4
    poll = entry.runtime_data.telemetry.pace.cost
    assert poll
    assert lowest >= poll
