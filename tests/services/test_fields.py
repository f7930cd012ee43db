"""Which fields telemetry is asked of: a node's, those of entities, and those of a series that is named in full."""

from datetime import timedelta
from typing import Any

from freezegun.api import FrozenDateTimeFactory
import pytest

from custom_components.eniris.data import EnirisConfigEntry
from homeassistant.const import CONF_USERNAME
from homeassistant.core import HomeAssistant
from homeassistant.exceptions import HomeAssistantError, ServiceValidationError
from homeassistant.helpers import entity_registry as er
from simulator.server import Simulator
from simulator.store import IncomingPoint
from simulator.timestamps import datetime_to_ns
from simulator.world import HomeWorld
from tests.kit.common import entity_id_of, set_up_frozen, settle
from tests.kit.history import DAY, HOUR, IMPORTED, MINUTE, NOW, POWER, QUERY, THIS_HOUR
from tests.kit.meter import METER, METER_SERIES
from tests.services.kit import SERIES, ask
from tests.services.test_nodes import refused

pytestmark = pytest.mark.usefixtures("place_and_time")

CHARGE = "stateOfCharge_frac"


@pytest.fixture
async def account(
    hass: HomeAssistant,
    place_and_time: None,
    user_input: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> EnirisConfigEntry:
    """Return the account of the simulator's home."""
    return await set_up_frozen(hass, freezer, user_input, None)


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
    account: EnirisConfigEntry,
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


async def test_entities(hass: HomeAssistant, account: EnirisConfigEntry) -> None:
    """Entities' values come as they show them, in one table, whichever node they are of."""
    charge = entity_id_of(hass, account, HomeWorld.BATTERY, CHARGE)
    power = entity_id_of(hass, account, HomeWorld.GRID_METER, POWER)
    energy = entity_id_of(hass, account, HomeWorld.BATTERY, "chargedAbsEnergyTot_Wh")
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
    hass: HomeAssistant, account: EnirisConfigEntry, simulator: Simulator
) -> None:
    """Readings that count on are not added up, however they are asked for; what is counted by interval is."""
    counter, delta = "importedAbsEnergyTot_Wh", "importedEnergyDeltaTot_Wh"
    entity_id = entity_id_of(hass, account, HomeWorld.GRID_METER, counter)
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
    hass: HomeAssistant, account: EnirisConfigEntry, simulator: Simulator
) -> None:
    """A field that is in two measurements has to be told which."""
    device = simulator.devices.by_node_id(HomeWorld.BATTERY)
    series = device["properties"]["nodeInfluxSeries"]
    twice = [*series, {**series[0], "measurement": "gridMetrics"}]
    simulator.devices.edit(device["id"], {"nodeInfluxSeries": twice})
    await account.runtime_data.nodes.async_refresh()
    await settle(hass)
    field = series[0]["fields"][0]
    data = {"node_id": HomeWorld.BATTERY, "fields": field, "start": NOW - HOUR}
    quoted = await refused(
        ServiceValidationError, "field_in_several", ask(hass, **data)
    )
    assert quoted["measurements"] == f"{series[0]['measurement']}, gridMetrics"
    assert await ask(hass, **data, measurement=series[0]["measurement"])
