"""The action that queries telemetry."""

from datetime import UTC, datetime, timedelta
import json
import math
import time
from typing import Any

from freezegun.api import FrozenDateTimeFactory
import pytest
import voluptuous as vol

from custom_components.eniris.const import DOMAIN
from custom_components.eniris.data import EnirisConfigEntry
from custom_components.eniris.services import SERVICE_QUERY_TELEMETRY
from homeassistant.const import CONF_USERNAME
from homeassistant.core import Context, HomeAssistant
from homeassistant.exceptions import HomeAssistantError, ServiceValidationError
from homeassistant.helpers import config_validation as cv, entity_registry as er
from homeassistant.helpers.script import Script
from simulator.server import Simulator
from simulator.store import IncomingPoint
from simulator.timestamps import datetime_to_ns
from simulator.world import HomeWorld

from .kit.common import device_of, entity_id_of, set_up_frozen, settle, until
from .kit.history import (
    DAY,
    HOUR,
    IMPORTED,
    MINUTE,
    NOW,
    POWER,
    QUERY,
    QUERY_PATH,
    THIS_HOUR,
    measure,
    measure_hourly,
    only_a_meter,
    pass_time,
)
from .kit.meter import METER, METER_SERIES
from .test_services_nodes import refused

CHARGE = "stateOfCharge_frac"
SERIES = {
    "database": METER_SERIES.database,
    "retention_policy": "rp_one_m",
    "measurement": METER_SERIES.measurement,
    "tags": {"nodeId": METER},
}


@pytest.fixture(autouse=True)
async def place_and_time(hass: HomeAssistant, freezer: FrozenDateTimeFactory) -> None:
    """Be in Brussels on a summer's day."""
    freezer.move_to(NOW)
    await hass.config.async_set_time_zone("Europe/Brussels")


@pytest.fixture
async def home(
    hass: HomeAssistant,
    place_and_time: None,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> EnirisConfigEntry:
    """Return the account of the simulator's home."""
    return await set_up_frozen(hass, freezer, user_input, None)


@pytest.fixture
async def meter(
    hass: HomeAssistant,
    place_and_time: None,
    simulator: Simulator,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> EnirisConfigEntry:
    """Return the account of one meter, which has measured ten days; the values grow hour by hour."""
    only_a_meter(simulator, POWER, IMPORTED, "status")
    for n in range(240):
        moment = THIS_HOUR - (n + 1) * HOUR + 30 * MINUTE
        measure(simulator, moment, **{POWER: -1.0 * n, IMPORTED: 10.0 + n})
    measure(simulator, NOW - MINUTE, status="idle", **{POWER: 5.0, IMPORTED: 1.0})
    return await set_up_frozen(hass, freezer, user_input, None)


async def ask(hass: HomeAssistant, **data: Any) -> Any:
    """Query telemetry; what comes back can be written as JSON."""
    if "start" in data:
        data["start"] = str(data["start"])
    response = await hass.services.async_call(
        DOMAIN, SERVICE_QUERY_TELEMETRY, data, blocking=True, return_response=True
    )
    return json.loads(json.dumps(response))


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
    hass: HomeAssistant,
    meter: EnirisConfigEntry,
    simulator: Simulator,
    columns: Any,
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
    hass: HomeAssistant,
    meter: EnirisConfigEntry,
    simulator: Simulator,
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


# Series


@pytest.mark.parametrize(
    ("ago", "aggregation", "policy"),
    [
        (10 * MINUTE, "none", "rp_one_s"),
        (10 * MINUTE, "mean", "rp_one_s"),
        (10 * MINUTE, "sum", "rp_one_m"),
        (2 * HOUR, "none", "rp_one_m"),
        (2 * HOUR, "max", "rp_one_m"),
    ],
)
async def test_policy(
    hass: HomeAssistant,
    home: EnirisConfigEntry,
    ago: timedelta,
    aggregation: str,
    policy: str,
) -> None:
    """By the second within the last hour, by the minute before, and energy always; or as it is wanted."""
    data = {
        "node_id": HomeWorld.GRID_METER,
        "fields": POWER,
        "start": NOW - ago,
        "aggregation": aggregation,
        "measurement": "submeteringMetrics",
    }
    answer = await ask(hass, **data)
    assert answer["series"][POWER]["retention_policy"] == policy
    assert answer["rows"][0][POWER] is not None
    other = {"rp_one_s": "rp_one_m", "rp_one_m": "rp_one_s"}[policy]
    answer = await ask(hass, **data, retention_policy=other)
    assert answer["series"][POWER]["retention_policy"] == other


async def test_entities(hass: HomeAssistant, home: EnirisConfigEntry) -> None:
    """Entities' values come as they show them, in one table, whichever node they are of."""
    charge = entity_id_of(hass, home, HomeWorld.BATTERY, CHARGE)
    power = entity_id_of(hass, home, HomeWorld.GRID_METER, POWER)
    energy = entity_id_of(hass, home, HomeWorld.BATTERY, "chargedAbsEnergyTot_Wh")
    start = NOW - 2 * HOUR
    answer = await ask(hass, entity_id=[charge, power, energy], start=start)
    assert answer["units"] == {charge: "%", power: "W", energy: "kWh"}
    assert len(answer["rows"]) == 120
    raw = await ask(
        hass,
        node_id=HomeWorld.BATTERY,
        fields=[CHARGE, "chargedAbsEnergyTot_Wh"],
        start=start,
    )
    assert raw["units"] == {CHARGE: "frac", "chargedAbsEnergyTot_Wh": "Wh"}
    for shown, kept in zip(answer["rows"], raw["rows"], strict=True):
        assert shown["time"] == kept["time"]
        assert shown[charge] == pytest.approx(100 * kept[CHARGE])
        assert shown[energy] == pytest.approx(kept["chargedAbsEnergyTot_Wh"] / 1000)
    answer = await ask(hass, entity_id=power, start=start, aggregation="mean")
    assert answer["rows"][0][power] is not None


async def test_sum_of_a_counter(
    hass: HomeAssistant, home: EnirisConfigEntry, simulator: Simulator
) -> None:
    """Readings that count on are not added up, however they are asked for; what is counted by interval is."""
    counter, delta = "importedAbsEnergyTot_Wh", "importedEnergyDeltaTot_Wh"
    entity_id = entity_id_of(hass, home, HomeWorld.GRID_METER, counter)
    start = NOW - 2 * HOUR
    meter = {"node_id": HomeWorld.GRID_METER, "fields": [counter], "start": start}
    simulator.log.reset()
    for question in (
        ask(hass, **meter, aggregation="sum"),
        ask(hass, entity_id=entity_id, start=start, aggregation="sum", period="hour"),
    ):
        await refused(ServiceValidationError, "sum_of_counter", question)
    assert simulator.log.count(QUERY) == 0
    answer = await ask(hass, entity_id=entity_id, start=start, aggregation="max")
    assert answer["rows"][0][entity_id] > 0
    site = {"node_id": HomeWorld.SITE, "fields": [delta], "start": start}
    answer = await ask(hass, **site, aggregation="sum")
    assert answer["rows"][0][delta] is not None


async def test_directions_and_words(
    hass: HomeAssistant, meter: EnirisConfigEntry
) -> None:
    """A direction is what it would have shown; a word is a word; neither can be aggregated."""
    registry = er.async_get(hass)
    by_id = {
        entity.unique_id.removeprefix(
            f"{meter.unique_id}_{METER}_submeteringMetrics_"
        ): entity.entity_id
        for entity in er.async_entries_for_config_entry(registry, meter.entry_id)
    }
    exported, status = by_id[f"{POWER}_export"], by_id["status"]
    start = THIS_HOUR - 3 * HOUR
    answer = await ask(hass, entity_id=[exported, status], start=start)
    assert [(row[exported], row[status]) for row in answer["rows"]] == [
        (2, None),
        (1, None),
        (0, None),
        (0, "idle"),
    ]
    quoted = await refused(
        ServiceValidationError,
        "direction_not_aggregated",
        ask(hass, entity_id=exported, start=start, aggregation="mean"),
    )
    assert quoted == {"entity": exported}
    quoted = await refused(
        HomeAssistantError,
        "query_failed",
        ask(hass, entity_id=status, start=start, aggregation="mean"),
    )
    assert quoted["fields"] == "status"


async def test_named_series(
    hass: HomeAssistant,
    meter: EnirisConfigEntry,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> None:
    """A series that belongs to no node can be named in full; with several accounts, the account too."""
    data = {**SERIES, "fields": POWER, "start": THIS_HOUR - HOUR}
    answer = await ask(hass, **data)
    assert [row[POWER] for row in answer["rows"]] == [0, 5]
    for key in SERIES:
        few = {name: value for name, value in data.items() if name != key}
        if key == "tags":
            few["database"] = "x"
        await refused(ServiceValidationError, "series_incomplete", ask(hass, **few))
    await refused(
        HomeAssistantError, "not_answered", ask(hass, **{**data, "database": "a b"})
    )
    quoted = await refused(
        HomeAssistantError, "query_failed", ask(hass, **{**data, "database": "other"})
    )
    assert quoted == {"fields": POWER, "error": "Unauthorized"}
    await set_up_frozen(
        hass, freezer, {**user_input, CONF_USERNAME: "norole@example.com"}, None
    )
    await refused(ServiceValidationError, "which_account", ask(hass, **data))
    answer = await ask(hass, **data, config_entry_id=meter.entry_id)
    assert len(answer["rows"]) == 2


async def test_tags_of_several_series(
    hass: HomeAssistant, meter: EnirisConfigEntry, simulator: Simulator
) -> None:
    """What fits several series is put together where that is possible."""
    for number in ("1", "2"):
        series = METER_SERIES._replace(tags=(("n", number), ("of", "us")))
        minute = int(number) * MINUTE
        simulator.store.write(
            [
                IncomingPoint(
                    series,
                    datetime_to_ns(THIS_HOUR - HOUR + minute),
                    {POWER: float(number)},
                )
            ]
        )
    data = {**SERIES, "tags": {"of": "us"}, "fields": POWER, "start": NOW - 2 * HOUR}
    assert [row[POWER] for row in (await ask(hass, **data))["rows"]] == [1, 2]
    for aggregation, value in (("sum", 3), ("min", 1), ("max", 2)):
        answer = await ask(hass, **data, aggregation=aggregation)
        assert [row[POWER] for row in answer["rows"]] == [value]
    await refused(
        HomeAssistantError, "several_series", ask(hass, **data, aggregation="mean")
    )


# Refusals


@pytest.mark.parametrize(
    ("key", "data"),
    [
        ("telemetry_of_what", {}),
        ("telemetry_of_what", {"node_id": METER, "entity_id": "sensor.a"}),
        ("telemetry_of_what", {"node_id": METER, "database": "x"}),
        ("telemetry_of_what", {"entity_id": []}),
        ("device_or_node", {"node_id": METER, "device_id": "x", "fields": POWER}),
        ("no_fields_asked", {"node_id": METER, "fields": []}),
        ("no_telemetry_of_node", {"node_id": "nobody", "fields": POWER}),
        ("not_a_node", {"device_id": "nothing", "fields": POWER}),
        ("no_telemetry_of", {"entity_id": "sensor.nobody_knows"}),
        ("not_with_entities", {"entity_id": "sensor.a", "fields": POWER}),
        ("no_such_field", {"node_id": METER, "fields": [POWER, "nothing_W"]}),
        (
            "no_such_series",
            {"node_id": METER, "fields": POWER, "measurement": "boilerMetrics"},
        ),
        ("period_without_aggregation", {"node_id": METER, "period": "day"}),
        ("start_not_before_end", {"node_id": METER, "end": "2020-01-01"}),
        (
            "start_not_before_end",
            {
                "node_id": METER,
                "fields": POWER,
                "aggregation": "mean",
                "period": "day",
                "start": "9999-12-30",
                "end": "9999-12-31T22:00",
            },
        ),
        (
            "too_many_periods",
            {
                "node_id": METER,
                "fields": POWER,
                "aggregation": "mean",
                "period": "5minute",
                "start": THIS_HOUR - 4 * DAY,
            },
        ),
        (
            "too_many_periods",
            {
                "node_id": METER,
                "fields": POWER,
                "aggregation": "mean",
                "period": "day",
                "end": "9000-01-01",
                "limit": 3,
            },
        ),
    ],
)
async def test_refusals(
    hass: HomeAssistant,
    meter: EnirisConfigEntry,
    simulator: Simulator,
    key: str,
    data: dict[str, Any],
) -> None:
    """What cannot be meant is refused before anything is asked."""
    simulator.log.reset()
    call = ask(hass, **{"start": THIS_HOUR - DAY, **data})
    quoted = await refused(ServiceValidationError, key, call)
    assert not simulator.log.requests
    match key:
        case "no_such_field":
            assert quoted["fields"] == f"{POWER}, {IMPORTED}, status"
        case "no_such_series":
            assert quoted["series"] == "submeteringMetrics (rp_one_m)"
        case "too_many_periods":
            # Four days and a bit, or what there is of a century
            most = 1200 if data["period"] == "5minute" else 40_000
            assert 0.9 * most < int(quoted["number"]) < most


async def test_field_in_several_measurements(
    hass: HomeAssistant, home: EnirisConfigEntry, simulator: Simulator
) -> None:
    """A field that is in two measurements has to be told which."""
    device = simulator.devices.by_node_id(HomeWorld.BATTERY)
    series = device["properties"]["nodeInfluxSeries"]
    twice = [*series, {**series[0], "measurement": "gridMetrics"}]
    simulator.devices.edit(device["id"], {"nodeInfluxSeries": twice})
    await home.runtime_data.nodes.async_refresh()
    await settle(hass)
    field = series[0]["fields"][0]
    data = {"node_id": HomeWorld.BATTERY, "fields": field, "start": NOW - HOUR}
    quoted = await refused(
        ServiceValidationError, "field_in_several", ask(hass, **data)
    )
    assert quoted["measurements"] == f"{series[0]['measurement']}, gridMetrics"
    assert await ask(hass, **data, measurement=series[0]["measurement"])


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"start": "yesterday"},
        {"start": NOW, "period": "fortnight"},
        {"start": NOW, "aggregation": "median"},
        {"start": NOW, "limit": 0},
        {"start": NOW, "limit": 10_001},
        {"start": NOW, "order": "random"},
        {"start": NOW, "tags": "a=b"},
    ],
)
async def test_malformed(
    hass: HomeAssistant, meter: EnirisConfigEntry, data: dict[str, Any]
) -> None:
    """A call of another form is refused as Home Assistant refuses such calls."""
    with pytest.raises(vol.Invalid):
        await ask(hass, node_id=METER, fields=POWER, **data)


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
    place_and_time: None,
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


@pytest.mark.parametrize(
    ("aggregation", "value"),
    [("sum", 3.5), ("min", -1), ("max", 4), ("mean", None), ("none", None)],
)
async def test_dearer_than_the_bucket(
    hass: HomeAssistant,
    meter: EnirisConfigEntry,
    simulator: Simulator,
    freezer: FrozenDateTimeFactory,
    aggregation: str,
    value: float | None,
) -> None:
    """What no bucket could hold is asked for in parts, but for a mean; single rows are never as dear."""
    simulator.tier = "free"
    written = {THIS_HOUR - 26 * DAY: 0.5, THIS_HOUR - 15 * DAY: -1.0, NOW: 4.0}
    for moment, number in written.items():
        simulator.store.write(
            [
                IncomingPoint(
                    METER_SERIES._replace(retention_policy="rp_one_s"),
                    datetime_to_ns(moment),
                    {POWER: number},
                )
            ]
        )
    simulator.log.reset()
    call = ask(
        hass,
        **{**SERIES, "retention_policy": "rp_one_s"},
        fields=[POWER],
        start=THIS_HOUR - 27 * DAY,
        end=(NOW + MINUTE).isoformat(),
        aggregation=aggregation,
    )
    if aggregation == "mean":
        await refused(HomeAssistantError, "too_dear", call)
        return
    task = hass.async_create_task(call)
    await pass_time(hass, freezer, task.done)
    rows = [row[POWER] for row in (await task)["rows"]]
    assert rows == (list(written.values()) if aggregation == "none" else [value])
    assert simulator.log.count(QUERY, 422) == (aggregation != "none")
    assert not simulator.log.count(QUERY, 429)
