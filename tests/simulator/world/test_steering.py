"""The home under orders: what it is told it does, and everything still adds up."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from simulator.model import SeriesKey
from simulator.world import FleetWorld, HomeWorld, measurements as m
from simulator.world.measurements import Instant
from simulator.world.site import Site
from simulator.world.steering import Order

_MORNING = int(datetime(2026, 7, 1, 5, tzinfo=UTC).timestamp())
_DAWN = _MORNING - 3600
_NOON = _MORNING + 6 * 3600
_EVENING = int(datetime(2026, 7, 1, 17, 30, tzinfo=UTC).timestamp())
"""Dear hours."""


@pytest.fixture
def site() -> Site:
    """Return the home, which is steered."""
    return HomeWorld().sites[0]


@pytest.fixture
def free() -> Site:
    """Return the same home, which is left alone."""
    return HomeWorld().sites[0]


def order(
    start_s: int,
    end_s: int,
    policy: str = "cost",
    import_w: int = 17_250,
    export_w: int = 10_000,
) -> Order:
    group = "solar" if policy == "feed-in-restriction" else "storage"
    return Order(group, policy, start_s, end_s, import_w, export_w)


def seconds(site: Site, start_s: int, end_s: int) -> Iterator[Instant]:
    return (site.instant(time_s, 1) for time_s in range(start_s, end_s))


def assert_adds_up(site: Site, start_s: int, end_s: int) -> None:
    """Assert that nothing comes from nowhere, and that counters and state of charge follow the powers."""
    before: Instant | None = None
    for now in seconds(site, start_s, end_s):
        flows = now.watts
        assert min(flows) >= 0
        assert min(m.hybrid_import(flows), m.hybrid_export(flows)) >= 0
        assert m.hybrid(flows) == pytest.approx(
            m.hybrid_import(flows) - m.hybrid_export(flows)
        )
        assert m.consumption(flows) + flows.charge + flows.exported == pytest.approx(
            m.sun(flows) + flows.discharge + flows.imported
        )
        assert 0.0999 < now.state_of_charge < 0.9501
        if before is not None:
            for then, watts, since in zip(
                before.joules, before.watts, now.joules, strict=True
            ):
                assert since == pytest.approx(then + watts)
        before = now


@pytest.mark.parametrize("policy", ["cost", "self-consumption", "feed-in-restriction"])
@pytest.mark.parametrize("begun", [_MORNING, _NOON, _EVENING])
def test_everything_adds_up(site: Site, begun: int, policy: str) -> None:
    """An order from the middle of a minute to the middle of another one, replaced by another one, and what follows."""
    site.obey([order(begun + 17, begun + 917, policy, 6_000, 500)], begun + 13)
    site.obey([order(begun + 317, begun + 2_000, policy, 3_000, 0)], begun + 311)
    assert_adds_up(site, begun - 60, begun + 6_000)


def test_cost_charges_from_the_grid_and_sells_when_it_is_dear(site: Site) -> None:
    site.obey(
        [order(_MORNING + 7, _MORNING + 3600), order(_EVENING, _EVENING + 3600)],
        _MORNING,
    )
    before, after = (site.instant(_MORNING + second, 1) for second in (6, 7))
    assert m.battery(before.watts) == 0
    assert m.battery(after.watts) == 5_000
    assert m.grid(after.watts) > 4_500
    assert m.battery(site.instant(_EVENING, 1).watts) == -5_000


def test_self_consumption_leaves_nothing_for_the_grid(site: Site) -> None:
    site.obey(
        [
            order(_DAWN, _DAWN + 1800),
            order(_DAWN + 1800, _DAWN + 3600, "self-consumption"),
        ],
        _DAWN,
    )
    for now in seconds(site, _DAWN + 1800, _DAWN + 3600):
        # Charging goes in steps of 10 W
        assert abs(m.grid(now.watts)) < 10
    assert m.battery(site.instant(_DAWN + 1800, 1).watts) < 0


def test_limits_hold(site: Site, free: Site) -> None:
    """The battery gives way to an import limit, then the car; an export limit dims the sun."""
    car = next(
        time_s
        for time_s in range(_NOON, _NOON + 9 * 86_400, 600)
        if free.instant(time_s, 1).watts.car > 10_000
    )
    site.obey([order(car, car + 1800, import_w=2_500)], car)
    told = list(seconds(site, car, car + 1800))
    assert max(m.grid(now.watts) for now in told) <= 2_500
    assert min(now.watts.car for now in told) < free.instant(car, 1).watts.car

    dark = next(
        time_s
        for time_s in range(_NOON, _NOON + 60 * 86_400, 600)
        if free.instant(time_s, 1).watts.exported > 3_000
        and free.instant(time_s, 1).watts.charge == 0
    )
    other = HomeWorld().sites[0]
    other.obey([order(dark, dark + 600, "feed-in-restriction", export_w=0)], dark)
    for now in seconds(other, dark + 300, dark + 600):
        assert m.grid(now.watts) >= 0
    full = HomeWorld().sites[0]
    full.obey(
        [
            order(dark - 7200, dark, "cost"),
            order(dark, dark + 600, "feed-in-restriction", export_w=1_000),
        ],
        dark - 7200,
    )
    told = list(seconds(full, dark, dark + 600))
    assert max(-m.grid(now.watts) for now in told) <= 1_000
    assert m.sun(told[0].watts) < m.sun(free.instant(dark, 1).watts)


def test_the_past_stays_as_it_was(site: Site, free: Site) -> None:
    site.obey([order(_MORNING - 3600, _MORNING + 900)], _MORNING + 31)
    for now, unsteered in zip(
        seconds(site, _MORNING - 60, _MORNING + 31),
        seconds(free, _MORNING - 60, _MORNING + 31),
        strict=True,
    ):
        assert now == unsteered
    told = [site.instant(_MORNING + 31 + second, 1) for second in range(300)]
    site.obey([], _MORNING + 331)
    assert [site.instant(_MORNING + 31 + second, 1) for second in range(300)] == told
    assert m.battery(site.instant(_MORNING + 331, 1).watts) < 100


def test_a_renewed_order_is_as_one(site: Site) -> None:
    for minute in range(0, 15, 5):
        start = _MORNING + 60 * minute
        site.obey([order(start, start + 900)], start)
    other = HomeWorld().sites[0]
    other.obey([order(_MORNING, _MORNING + 1500)], _MORNING)
    for end in (_MORNING + 1000, _MORNING + 1700):
        assert site.instant(end, 1) == other.instant(end, 1)


def test_the_controller_comes_back_to_its_forecast(site: Site, free: Site) -> None:
    """What the order has left in the battery goes to the house; counters stay apart, and the next order builds on it."""
    site.obey([order(_EVENING - 12 * 3600, _EVENING - 11 * 3600)], _EVENING - 12 * 3600)
    later = _MORNING + 4 * 86_400
    now, unsteered = (each.instant(later, 1) for each in (site, free))
    assert now.watts == unsteered.watts
    assert now.state_of_charge == pytest.approx(unsteered.state_of_charge, abs=1e-5)
    assert now.joules.charge > unsteered.joules.charge
    site.obey([order(later, later + 600)], later)
    assert_adds_up(site, later - 60, later + 900)


def test_telemetry_tells_it(site: Site) -> None:
    """Minutes and ten minutes have the energy of their seconds, and the site its policy and limits."""
    site.obey([order(_MORNING + 90, _MORNING + 1290, import_w=4_000)], _MORNING)
    for start in range(_MORNING, _MORNING + 1800, 600):
        within = sum(m.battery(now.watts) for now in seconds(site, start, start + 600))
        minutes = sum(
            m.battery(site.instant(start + 60 * minute, 60).watts)
            for minute in range(10)
        )
        assert within / 10 == pytest.approx(6 * minutes)
        assert within / 600 == pytest.approx(
            m.battery(site.instant(start, 600).watts), abs=1e-6
        )
    world = HomeWorld()
    world.sites[0].obey([order(_MORNING, _MORNING + 600, import_w=4_000)], _MORNING)
    series = SeriesKey(
        world.DATABASE,
        "rp_one_m",
        "installationMetrics",
        (("nodeId", world.SITE),),
    )
    names = frozenset({"policy", "importLimit_W"})
    told = world.rows(series, names, 1000 * (_MORNING - 60), 1000 * (_MORNING + 720))
    assert [row.fields["policy"] for row in told] == [
        "SELF_CONSUMPTION",
        *["COST"] * 10,
        *["SELF_CONSUMPTION"] * 2,
    ]
    assert told[1].fields["importLimit_W"] == 4_000


def test_a_site_without_a_battery_obeys_what_it_can() -> None:
    world = FleetWorld(30, clock=lambda: float(_NOON))
    bare = next(
        site
        for site in world.sites
        if not any(node.properties["nodeType"] == "battery" for node in site.nodes)
    )
    sunny = next(
        time_s
        for time_s in range(_NOON, _NOON + 9 * 86_400, 3600)
        if bare.instant(time_s, 1).watts.exported > 500 * bare.scale
    )
    bare.obey(
        [
            order(sunny, sunny + 300),
            order(sunny, sunny + 300, "feed-in-restriction", export_w=100),
        ],
        sunny,
    )
    assert_adds_up(bare, sunny - 30, sunny + 330)
    assert m.grid(bare.instant(sunny + 10, 1).watts) >= -100
    assert m.battery(bare.instant(sunny + 10, 1).watts) == 0
