"""The home's physics add up, whichever way one looks at them."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from math import hypot
from random import Random

import pytest

from simulator.model import Row, SeriesKey, World
from simulator.world import HomeWorld
from simulator.world.plant import COMMISSIONED
from simulator.world.profile import (
    BATTERY_CAPACITY_WH,
    BATTERY_EFFICIENCY,
    BATTERY_POWER_W,
    BATTERY_RESERVE,
)

SUMMER = datetime(2025, 7, 8, 9, 0, tzinfo=UTC)
WINTER_EVENING = datetime(2025, 1, 15, 18, 30, tzinfo=UTC)
SPRING_EVENING = datetime(2024, 4, 11, 17, 0, tzinfo=UTC)
SUMMER_TIME_BEGINS = datetime(2025, 3, 30, 0, 30, tzinfo=UTC)
LEAP_DAY = datetime(2024, 2, 29, 2, 0, tzinfo=UTC)
TURN_OF_THE_YEAR = datetime(2024, 12, 31, 23, 0, tzinfo=UTC)
MOMENTS = (
    SUMMER,
    WINTER_EVENING,
    SPRING_EVENING,
    SUMMER_TIME_BEGINS,
    LEAP_DAY,
    TURN_OF_THE_YEAR,
    COMMISSIONED,
)

SOURCES = {
    HomeWorld.GRID_METER: "submeteringMetrics",
    HomeWorld.HYBRID_INVERTER: "hybridInverterMetrics",
    HomeWorld.BATTERY: "batteryMetrics",
    HomeWorld.STRING_EAST: "solarStringMetrics",
    HomeWorld.STRING_WEST: "solarStringMetrics",
    HomeWorld.EV_CHARGER: "evChargerMetrics",
    HomeWorld.HEAT_PUMP: "heatPumpMetrics",
    HomeWorld.KITCHEN_METER: "submeteringMetrics",
    HomeWorld.SITE: "installationMetrics",
}


@pytest.fixture(scope="module")
def home() -> HomeWorld:
    return HomeWorld()


def ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def key(home: HomeWorld, node_id: str, policy: str) -> SeriesKey:
    (node,) = [node for node in home.sites[0].nodes if node.node_id == node_id]
    return next(
        series
        for series in node.series
        if series.measurement == SOURCES[node_id] and series.retention_policy == policy
    )


def read(
    home: HomeWorld,
    node_id: str,
    policy: str,
    start: datetime,
    span: timedelta,
    *,
    fields: Iterable[str] | None = None,
) -> list[Row]:
    series = key(home, node_id, policy)
    wanted = home.fields(series) if fields is None else frozenset(fields)
    return list(home.rows(series, wanted, ms(start), ms(start + span)))


def number(row: Row, name: str) -> float:
    value = row.fields[name]
    assert isinstance(value, float)
    return value


def column(rows: Iterable[Row], name: str) -> list[float]:
    return [number(row, name) for row in rows]


def test_is_a_world(home: HomeWorld) -> None:
    world: World = home
    assert list(world.series())
    assert world.companies()


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize(("policy", "step"), [("rp_one_s", 1), ("rp_one_m", 60)])
def test_rows_are_aligned_and_complete(
    home: HomeWorld, moment: datetime, policy: str, step: int
) -> None:
    start = moment + timedelta(milliseconds=1)
    rows = read(home, HomeWorld.GRID_METER, policy, start, timedelta(minutes=5))
    times = [row.time_ms for row in rows]
    first = ms(moment) + step * 1000
    assert times == list(range(first, ms(moment) + 300_001, step * 1000))
    fields = home.fields(key(home, HomeWorld.GRID_METER, policy))
    assert 20 <= len(fields) <= 40
    assert all(row.fields.keys() == fields for row in rows)


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("policy", ["rp_one_s", "rp_one_m"])
def test_powers_balance_in_every_row(
    home: HomeWorld, moment: datetime, policy: str
) -> None:
    span = timedelta(minutes=3 if policy == "rp_one_s" else 600)

    def power(node_id: str, name: str = "actualPowerTot_W") -> list[float]:
        return column(read(home, node_id, policy, moment, span, fields=[name]), name)

    grid = power(HomeWorld.GRID_METER)
    battery = power(HomeWorld.BATTERY)
    east, west = power(HomeWorld.STRING_EAST), power(HomeWorld.STRING_WEST)
    hybrid = power(HomeWorld.HYBRID_INVERTER)
    consumed = power(HomeWorld.SITE, "childrenConsumedPower_W")
    produced = power(HomeWorld.SITE, "childrenProducedPower_W")
    assert power(HomeWorld.SITE) == pytest.approx(grid)
    assert produced == pytest.approx([a + b for a, b in zip(east, west, strict=True)])
    rows = zip(grid, produced, battery, consumed, hybrid, strict=True)
    for at_grid, sun, charging, drawn, inverter in rows:
        assert at_grid + sun - charging == pytest.approx(drawn, abs=1e-6)
        standby = inverter - charging + sun
        assert standby == pytest.approx(0) or standby == pytest.approx(14)
        assert sun >= 0
    loads = [
        power(HomeWorld.SITE, name)
        for name in ("childrenEVPower_W", "childrenOtherPower_W")
    ]
    loads.append(power(HomeWorld.KITCHEN_METER))
    if policy == "rp_one_m":
        loads.append(power(HomeWorld.HEAT_PUMP))
        assert [sum(parts) for parts in zip(*loads, strict=True)] == pytest.approx(
            consumed
        )


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize(
    ("node_id", "policy", "step"),
    [
        (node_id, policy, step)
        for node_id in SOURCES
        for policy, step in (("rp_one_s", 1), ("rp_one_m", 60))
        if node_id != HomeWorld.SITE
        and (node_id, policy) != (HomeWorld.HEAT_PUMP, "rp_one_s")
    ],
)
def test_counters_deltas_and_powers_agree(
    home: HomeWorld, moment: datetime, node_id: str, policy: str, step: int
) -> None:
    span = timedelta(minutes=4 if step == 1 else 300)
    rows = read(home, node_id, policy, moment, span)
    prefixes = [
        name.removesuffix("AbsEnergyTot_Wh")
        for name in rows[0].fields
        if name.endswith("AbsEnergyTot_Wh")
    ]
    assert prefixes
    for prefix in prefixes:
        counters = column(rows, f"{prefix}AbsEnergyTot_Wh")
        deltas = column(rows, f"{prefix}EnergyDeltaTot_Wh")
        assert all(delta >= 0 for delta in deltas)
        for (before, after), delta in zip(pairwise(counters), deltas[:-1], strict=True):
            assert after - before == pytest.approx(delta, abs=1e-6)
        assert counters[-1] - counters[0] == pytest.approx(sum(deltas[:-1]), abs=1e-6)
    inward = ("imported", "consumed", "charged", "produced")
    for row in rows:
        net = sum(
            number(row, f"{prefix}EnergyDeltaTot_Wh") * (1 if prefix in inward else -1)
            for prefix in prefixes
        )
        power = number(row, "actualPowerTot_W")
        assert power * step / 3600 == pytest.approx(net, abs=1e-9)


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("node_id", sorted(SOURCES.keys() - {HomeWorld.HEAT_PUMP}))
def test_both_policies_tell_the_same_energy(
    home: HomeWorld, moment: datetime, node_id: str
) -> None:
    span = timedelta(minutes=3)
    minutes = read(home, node_id, "rp_one_m", moment, span)
    seconds = read(home, node_id, "rp_one_s", moment, span)
    for name in minutes[0].fields:
        if name.endswith("EnergyDeltaTot_Wh"):
            within = column(seconds, name)
            for index, minute in enumerate(column(minutes, name)):
                told = sum(within[60 * index : 60 * index + 60])
                assert told == pytest.approx(minute, abs=1e-9)
        elif name.endswith("AbsEnergyTot_Wh"):
            assert column(seconds, name)[::60] == column(minutes, name)
    means = column(seconds, "actualPowerTot_W")
    for index, minute in enumerate(column(minutes, "actualPowerTot_W")):
        mean = sum(means[60 * index : 60 * index + 60]) / 60
        assert mean == pytest.approx(minute, abs=1e-6)


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("node_id", SOURCES)
def test_truth_is_what_the_rows_tell(
    home: HomeWorld, moment: datetime, node_id: str
) -> None:
    span = timedelta(hours=26)
    rows = read(home, node_id, "rp_one_m", moment, span)
    names = [name for name in rows[0].fields if name.endswith("EnergyDeltaTot_Wh")]
    assert names
    for name in names:
        truth = home.truth_energy_wh(node_id, name, moment, moment + span)
        assert truth == pytest.approx(sum(column(rows, name)), abs=1e-6)


def test_truth_knows_its_limits(home: HomeWorld) -> None:
    field = "importedEnergyDeltaTot_Wh"
    hour = timedelta(hours=1)
    with pytest.raises(ValueError, match="whole minutes"):
        home.truth_energy_wh(
            HomeWorld.GRID_METER, field, SUMMER, SUMMER + timedelta(seconds=1)
        )
    with pytest.raises(KeyError):
        home.truth_energy_wh(HomeWorld.GRID_METER, "nonsense", SUMMER, SUMMER + hour)
    before = home.truth_energy_wh(
        HomeWorld.GRID_METER, field, COMMISSIONED - hour, COMMISSIONED
    )
    assert before == 0


@pytest.mark.parametrize("month", range(1, 13))
def test_state_of_charge_follows_the_battery_energy(
    home: HomeWorld, month: int
) -> None:
    start = datetime(2024, month, 10, tzinfo=UTC)
    rows = read(home, HomeWorld.BATTERY, "rp_one_m", start, timedelta(days=2))
    charges = column(rows, "stateOfCharge_frac")
    assert all(BATTERY_RESERVE - 1e-9 <= charge <= 0.95 + 1e-9 for charge in charges)
    for row, (before, after) in zip(rows, pairwise(charges), strict=False):
        stored = BATTERY_EFFICIENCY * number(row, "chargedEnergyDeltaTot_Wh")
        stored -= number(row, "dischargedEnergyDeltaTot_Wh")
        assert (after - before) * BATTERY_CAPACITY_WH == pytest.approx(stored, abs=1e-5)
        assert abs(number(row, "actualPowerTot_W")) <= BATTERY_POWER_W
        volts, amperes = (
            number(row, "batteryVoltage_V"),
            number(row, "batteryCurrent_A"),
        )
        assert volts * amperes == pytest.approx(number(row, "actualPowerTot_W"))
    (seam,) = [
        number(row, "stateOfCharge_frac")
        for row in rows
        if row.time_ms == ms(start + timedelta(days=1, hours=3))
    ]
    assert seam == pytest.approx(BATTERY_RESERVE)


@pytest.mark.parametrize(
    ("node_id", "names"),
    [
        (HomeWorld.GRID_METER, ("L1", "L2", "L3")),
        (HomeWorld.HYBRID_INVERTER, ("L1", "L2", "L3")),
        (HomeWorld.EV_CHARGER, ("L1", "L2", "L3")),
        (HomeWorld.KITCHEN_METER, ("L1",)),
    ],
)
@pytest.mark.parametrize("moment", MOMENTS)
def test_phases_are_consistent(
    home: HomeWorld, node_id: str, names: tuple[str, ...], moment: datetime
) -> None:
    for row in read(home, node_id, "rp_one_s", moment, timedelta(seconds=90)):
        total = 0.0
        for name in names:
            power = number(row, f"actualPower{name}_W")
            factor = number(row, f"powerFactor{name if len(names) > 1 else 'Tot'}")
            apparent = number(row, f"voltage{name}N_V") * number(
                row, f"current{name}_A"
            )
            assert apparent * factor == pytest.approx(power, abs=1e-6)
            if len(names) > 1:
                reactive = number(row, f"reacPower{name}_VAr")
                assert hypot(power, reactive) == pytest.approx(apparent)
            assert 215 < number(row, f"voltage{name}N_V") < 248
            total += power
        assert number(row, "actualPowerTot_W") == pytest.approx(total, abs=1e-6)
        assert 49.9 < number(row, "frequency_Hz") < 50.1


def test_car_states_fit_its_power(home: HomeWorld) -> None:
    rows = read(
        home,
        HomeWorld.EV_CHARGER,
        "rp_one_m",
        datetime(2025, 5, 1, tzinfo=UTC),
        timedelta(days=9),
        fields=["actualPowerTot_W", "status", "evRequiringCharge"],
    )
    assert {row.fields["status"] for row in rows} == {
        "AWAY",
        "WAITING",
        "CHARGING",
        "FULL",
    }
    for row in rows:
        status = row.fields["status"]
        assert (number(row, "actualPowerTot_W") > 0) is (status == "CHARGING")
        assert row.fields["evRequiringCharge"] is (status in ("WAITING", "CHARGING"))


def test_same_seed_same_world_in_any_order() -> None:
    one, other = HomeWorld(7), HomeWorld(7)
    questions = [(series, ms(moment)) for series in one.series() for moment in MOMENTS]
    answers = {
        question: one.rows(
            question[0], one.fields(question[0]), question[1], question[1] + 61_000
        )
        for question in questions
    }
    Random(3).shuffle(questions)
    for series, start in questions:
        rows = other.rows(series, other.fields(series), start, start + 61_000)
        assert rows == answers[series, start]
    assert one.devices(SUMMER) == other.devices(SUMMER)


def test_nothing_before_commissioning(home: HomeWorld) -> None:
    hour = timedelta(hours=1)
    assert not home.devices(COMMISSIONED - hour)
    for series in home.series():
        fields = home.fields(series)
        assert not home.rows(series, fields, 0, ms(COMMISSIONED))
        (first,) = home.rows(series, fields, 0, ms(COMMISSIONED) + 1)
        assert first.time_ms == ms(COMMISSIONED)
        for name, value in first.fields.items():
            if name.endswith("AbsEnergyTot_Wh"):
                assert value == 0


def test_unknown_series_and_fields_have_no_rows(home: HomeWorld) -> None:
    series = key(home, HomeWorld.GRID_METER, "rp_one_m")
    unknown = SeriesKey("db", "rp_one_m", "gridMetrics", (("nodeId", "x"),))
    assert home.fields(unknown) == frozenset()
    assert not home.rows(unknown, frozenset({"x"}), ms(SUMMER), ms(SUMMER) + 60_000)
    assert not home.rows(series, frozenset({"x"}), ms(SUMMER), ms(SUMMER) + 60_000)
    assert home.interval_ms(series) == 60_000
    assert home.interval_ms(key(home, HomeWorld.GRID_METER, "rp_one_s")) == 1000


def test_a_field_keeps_its_type(home: HomeWorld) -> None:
    types: dict[tuple[str, str], set[type]] = {}
    for series in home.series():
        for moment in MOMENTS:
            start = ms(moment)
            for row in home.rows(
                series, home.fields(series), start, start + 3_600_000, newest=30
            ):
                for name, value in row.fields.items():
                    types.setdefault((series.measurement, name), set()).add(type(value))
    assert all(len(seen) == 1 for seen in types.values())
    assert {next(iter(seen)) for seen in types.values()} == {float, str, bool}


def test_metadata_is_consistent(home: HomeWorld) -> None:
    devices = home.devices(SUMMER)
    nodes = {device["properties"]["nodeId"]: device for device in devices}
    assert len(nodes) == len(devices) == len({device["id"] for device in devices})
    assert set(SOURCES) < set(nodes)
    told = set()
    for node_id, device in nodes.items():
        properties = device["properties"]
        assert datetime.fromisoformat(device["lastUpdate"]) < COMMISSIONED
        for parent in properties["nodeParentsIds"]:
            assert node_id in nodes[parent]["properties"]["nodeChildrenIds"]
        for child in properties["nodeChildrenIds"]:
            assert nodes[child]["properties"]["nodeParentsIds"] == [node_id]
        editable = device["userRights"]["propertyEditabilities"]
        assert editable["name"] is True
        assert editable["nodeId"] is False
        for series in properties["nodeInfluxSeries"]:
            series_key = SeriesKey(
                series["database"],
                series["retentionPolicy"],
                series["measurement"],
                tuple(sorted(series["tags"].items())),
            )
            assert home.fields(series_key) == set(series["fields"])
            assert len(series["fields"]) == len(set(series["fields"]))
            told.add(series_key)
    assert told == set(home.series())
    assert nodes[HomeWorld.SITE]["properties"]["nodeParentsIds"] == [
        HomeWorld.CONTROLLER
    ]


def planning(home: HomeWorld) -> SeriesKey:
    (series,) = [key for key in home.series() if key.measurement == "planning"]
    return series


def test_ten_minutes_tell_the_same_energy(home: HomeWorld) -> None:
    start, span = SUMMER, timedelta(hours=3)
    series = key(home, HomeWorld.GRID_METER, "rp_ten_m")
    assert home.interval_ms(series) == 600_000
    rows = list(home.rows(series, home.fields(series), ms(start), ms(start + span)))
    assert len(rows) == 18
    minutes = read(home, HomeWorld.GRID_METER, "rp_one_m", start, span)
    for name in ("importedEnergyDeltaTot_Wh", "exportedEnergyDeltaTot_Wh"):
        within = column(minutes, name)
        for index, told in enumerate(column(rows, f"sum_{name}")):
            assert told == pytest.approx(sum(within[10 * index : 10 * index + 10]))
    for row in rows:
        produced = number(row, "sum_childrenProducedEnergyDeltaTot_Wh")
        exported = number(row, "sum_exportedEnergyDeltaTot_Wh")
        kept = number(row, "sum_autoconsumedEnergyDeltaTot_Wh")
        assert kept == pytest.approx(produced - exported)
        assert kept >= -1e-9


@pytest.mark.parametrize(
    ("now", "until"),
    [
        ("2026-01-15T11:59:59+00:00", "2026-01-15T23:00:00+00:00"),
        ("2026-01-15T12:00:00+00:00", "2026-01-16T23:00:00+00:00"),
        ("2026-07-01T10:59:59+00:00", "2026-07-01T22:00:00+00:00"),
        ("2026-07-01T11:00:00+00:00", "2026-07-02T22:00:00+00:00"),
        # The days on which the clocks change
        ("2026-03-28T12:00:00+00:00", "2026-03-29T22:00:00+00:00"),
        ("2026-10-24T11:00:00+00:00", "2026-10-25T23:00:00+00:00"),
    ],
)
def test_prices_of_tomorrow_come_at_one(
    now: str, until: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = HomeWorld()
    moment = datetime.fromisoformat(now)
    monkeypatch.setattr(home, "_clock", moment.timestamp)
    series = planning(home)
    assert dict(series.tags) == {"nodeId": HomeWorld.GRID_METER}
    assert series.retention_policy == "rp_ten_m"
    start = moment.replace(minute=0, second=0) - timedelta(hours=5)
    rows = home.rows(
        series, home.fields(series), ms(start), ms(start + timedelta(days=9))
    )
    assert all(
        row.fields.keys() == {"buyPrice_perkWh", "sellPrice_perkWh"} for row in rows
    )
    assert {after.time_ms - row.time_ms for row, after in pairwise(rows)} == {3_600_000}
    assert rows[-1].time_ms + 3_600_000 == ms(datetime.fromisoformat(until))
    for row in rows:
        assert (
            -0.1
            < number(row, "sellPrice_perkWh")
            < number(row, "buyPrice_perkWh")
            < 0.5
        )
