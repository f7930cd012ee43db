"""The fleet is large, mostly sound, and disordered in every way there is."""

from collections import Counter
from datetime import UTC, datetime, timedelta
import json

import pytest

from simulator.model import World
from simulator.world import FleetWorld
from simulator.world.disorder import DISTURBANCES
from simulator.world.plant import COMMISSIONED

NOW = datetime(2025, 9, 17, 11, 20, tzinfo=UTC)
NOW_MS = round(NOW.timestamp() * 1000)
MINUTE_MS = 60_000


def fleet(sites: int, seed: int = 1, now: datetime = NOW) -> FleetWorld:
    return FleetWorld(sites, seed, clock=now.timestamp)


@pytest.fixture(scope="module")
def large() -> FleetWorld:
    return fleet(60)


def test_is_a_world_of_the_size_asked_for(large: FleetWorld) -> None:
    world: World = large
    assert len(large.sites) == 60
    devices = world.devices(NOW)
    assert 8 * 60 < len(devices) < 15 * 60
    assert len({device["id"] for device in devices}) == len(devices)
    series = list(world.series())
    assert len(set(series)) == len(series)
    assert 20 * 60 < len(series) < 40 * 60
    assert len(world.companies()) > 1
    json.dumps(devices)


def test_sites_are_of_all_kinds(large: FleetWorld) -> None:
    types: list[Counter[str]] = []
    for site in large.sites:
        sound = [
            node for node in site.nodes if node.device["id"] not in large.disordered
        ]
        types.append(Counter(node.properties["nodeType"] for node in sound))
    assert {bool(nodes["battery"]) for nodes in types} == {True, False}
    assert {bool(nodes["evCharger"]) for nodes in types} == {True, False}
    assert {1, 2, 3, 4} <= {nodes["solarString"] for nodes in types}
    assert max(nodes["powerMeter"] for nodes in types) >= 4
    scales = [site.scale for site in large.sites]
    assert max(scales) > 3 * min(scales)


def test_one_in_ten_is_disordered_in_every_way(large: FleetWorld) -> None:
    devices = large.devices(NOW)
    assert len(large.disordered) == len(devices) // 10
    assert set(large.disordered.values()) == set(DISTURBANCES)


def test_disorder_shows(large: FleetWorld) -> None:
    by_id = {device["id"]: device["properties"] for device in large.devices(NOW)}
    by_way = {way: by_id[device] for device, way in large.disordered.items()}
    assert "nodeId" not in by_way["no nodeId"]
    assert by_way["series null"]["nodeInfluxSeries"] is None
    assert isinstance(by_way["name is a number"]["name"], int)
    assert "submeteringMetrics" in by_way["a series is a string"]["nodeInfluxSeries"]
    own = by_way["own parent"]
    assert own["nodeParentsIds"] == [own["nodeId"]]
    ids = Counter(
        properties["nodeId"]
        for properties in by_id.values()
        if isinstance(properties.get("nodeId"), str)
    )
    assert any(number > 1 for number in ids.values())
    node_in_cycle = by_way["cycle"]
    (site_in_cycle,) = [
        properties
        for properties in by_id.values()
        if [properties.get("nodeId")] == node_in_cycle["nodeParentsIds"]
    ]
    assert site_in_cycle["nodeParentsIds"] == [node_in_cycle["nodeId"]]


def test_same_seed_same_fleet() -> None:
    one, other = fleet(12), fleet(12)
    assert one.devices(NOW) == other.devices(NOW)
    assert one.disordered == other.disordered
    for series in list(one.series())[::7]:
        fields = one.fields(series)
        start = NOW_MS - 5 * MINUTE_MS
        rows = one.rows(series, fields, start, NOW_MS)
        assert rows == other.rows(series, fields, start, NOW_MS)
    assert fleet(12, seed=2).devices(NOW) != one.devices(NOW)


@pytest.mark.parametrize("sites", [0, 1, 2])
def test_small_fleets_are_fine(sites: int) -> None:
    world = fleet(sites)
    assert len(world.sites) == sites
    assert bool(world.devices(NOW)) is bool(sites)


def test_powers_and_energies_add_up_on_every_site(large: FleetWorld) -> None:
    start = NOW - timedelta(days=40)
    start_ms, end_ms = (
        round(moment.timestamp() * 1000)
        for moment in (start, start + timedelta(minutes=3))
    )
    for site in large.sites:
        if site.last_s is not None:
            continue
        for node in site.nodes:
            for series, parts in node.series.items():
                step = large.interval_ms(series)
                rows = large.rows(series, large.fields(series), start_ms, end_ms)
                deltas = {name for part in parts for name in part.deltas}
                for name in deltas:
                    told = sum(float(row.fields[name]) for row in rows)
                    truth = site.energy_wh(
                        next(p.deltas[name] for p in parts if name in p.deltas),
                        start_ms // 1000,
                        end_ms // 1000,
                    )
                    assert told == pytest.approx(truth, abs=1e-6)
                assert len(rows) == (end_ms - start_ms) // step
        readings = {
            series.measurement: large.rows(
                series, large.fields(series), start_ms, end_ms
            )[0].fields
            for node in site.nodes[1:3]
            for series in node.series
            if series.retention_policy == "rp_one_s"
        }
        totals, grid = readings["installationMetrics"], readings["submeteringMetrics"]
        balance = (
            float(grid["actualPowerTot_W"])
            + float(totals["childrenProducedPower_W"])
            - float(totals.get("childrenStoragePower_W", 0.0))
        )
        drawn = float(totals["childrenConsumedPower_W"])
        assert balance == pytest.approx(drawn, abs=1e-6)


def test_a_backlog_arrives_late_and_whole() -> None:
    (late,) = [site for site in fleet(4).sites if site.backlog]
    assert late.backlog is not None
    series = next(iter(late.nodes[2].series))
    period = timedelta(seconds=late.backlog.period_s)
    length = timedelta(seconds=late.backlog.length_s)
    cycle = int(NOW.timestamp()) // late.backlog.period_s * late.backlog.period_s
    lost = datetime.fromtimestamp(cycle + late.backlog.offset_s, UTC)
    assert lost > COMMISSIONED

    def told(now: datetime) -> int:
        world = fleet(4, now=now)
        start_ms = round((lost - timedelta(hours=1)).timestamp() * 1000)
        end_ms = round(now.timestamp() * 1000)
        fields = world.fields(series)
        rows = world.rows(series, fields, start_ms, end_ms)
        newest = world.rows(series, fields, start_ms, end_ms, newest=1)
        assert newest == rows[-1:]
        return len(rows)

    assert told(lost) == 60
    assert told(lost + length - timedelta(minutes=1)) == 60
    assert told(lost + length) == 60 + length // timedelta(minutes=1)
    assert told(lost + period) == 60 + period // timedelta(minutes=1)


def test_a_site_that_fell_silent_has_its_past_only(large: FleetWorld) -> None:
    silent = [site for site in large.sites if site.last_s is not None]
    assert silent
    for site in silent:
        assert site.last_s is not None
        series = next(iter(site.nodes[2].series))
        fields = large.fields(series)
        assert not large.rows(series, fields, NOW_MS - 10 * MINUTE_MS, NOW_MS)
        (row,) = large.rows(series, fields, 0, NOW_MS, newest=1)
        assert row.time_ms < 1000 * site.last_s


def test_truth_of_a_site(large: FleetWorld) -> None:
    grid_meter = large.sites[0].nodes[2]
    start = datetime(2025, 2, 1, tzinfo=UTC)
    day = timedelta(days=1)
    parts = [
        large.truth_energy_wh(
            grid_meter.node_id,
            "importedEnergyDeltaTot_Wh",
            start + number * day,
            start + (number + 1) * day,
        )
        for number in range(3)
    ]
    whole = large.truth_energy_wh(
        grid_meter.node_id, "importedEnergyDeltaTot_Wh", start, start + 3 * day
    )
    assert whole == pytest.approx(sum(parts))
    assert whole > 0
