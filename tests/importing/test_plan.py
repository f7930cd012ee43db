"""Which telemetry is asked for."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from custom_components.eniris.api import Device, SeriesInfo
from custom_components.eniris.api.devices import parse_devices
from custom_components.eniris.importing.catalogue import CATALOGUE
from custom_components.eniris.importing.nodes import Node, build_nodes
from custom_components.eniris.importing.plan import (
    FieldKey,
    PlannedQuery,
    Preference,
    counting_series,
    interval,
    plan_queries,
)
from simulator.world import HomeWorld

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
POWER, FREQUENCY, CURRENT = "actualPowerTot_W", "frequency_Hz", "currentL1_A"


def series(
    policy: str, *fields: str, measurement: str = "submeteringMetrics", tag: str = "n"
) -> SeriesInfo:
    """Return a series."""
    return SeriesInfo("db", policy, measurement, (("nodeId", tag),), fields)


def node(*all_series: SeriesInfo, node_id: str = "n") -> Node:
    """Return a node with some series."""
    return Node(Device(node_id, series=all_series), None)


def asked(queries: list[PlannedQuery]) -> list[tuple[str, str]]:
    """Return policy and field of everything that is asked for."""
    return [
        (query.series.retention_policy, field)
        for query in queries
        for field in query.fields
    ]


def test_nothing() -> None:
    """Without nodes, series or fields there is nothing to ask."""
    assert plan_queries([]) == []
    assert plan_queries([node(), node(series("rp_one_s"))]) == []


def test_unknown_fields() -> None:
    """A field that nobody has heard of is asked for like any other."""
    queries = plan_queries([node(series("rp_one_s", POWER, "secret", "newThing_kWh"))])
    assert [field for _, field in asked(queries)] == [POWER, "secret", "newThing_kWh"]


def test_lightest() -> None:
    """Where the lightest is preferred, that is the one a minute, then what is coarser."""
    queries = plan_queries(
        [
            node(
                series("rp_one_s", POWER, FREQUENCY, CURRENT, "a"),
                series("rp_yearly", POWER, FREQUENCY, "a"),
                series("rp_one_m", POWER, "a"),
            )
        ],
        preference=Preference.LIGHTEST,
    )
    assert sorted(asked(queries)) == [
        ("rp_one_m", "a"),
        ("rp_one_m", POWER),
        ("rp_one_s", CURRENT),
        ("rp_yearly", FREQUENCY),
    ]


def test_counting_series() -> None:
    """A delta is summed from one series alone, the one a minute where it exists."""
    by_second, by_minute = series("rp_one_s", "d_Wh"), series("rp_one_m", "d_Wh")
    other = series("rp_one_m", "d_Wh", measurement="gridMetrics")
    for each in (
        node(by_second, by_minute, other),
        node(other, by_minute, by_second),
    ):
        assert counting_series(each, "submeteringMetrics", "d_Wh") == by_minute
    lonely = node(by_second, series("rp_yearly", "x"))
    assert counting_series(lonely, "submeteringMetrics", "d_Wh") == by_second
    assert counting_series(lonely, "submeteringMetrics", "missing") is None
    assert counting_series(lonely, "gridMetrics", "d_Wh") is None


@pytest.mark.parametrize("turned", [False, True])
def test_finest_policy(turned: bool) -> None:
    """Each field is asked for once, of the finest series that has it."""
    both = [
        series("rp_one_m", POWER, FREQUENCY),
        series("rp_one_s", POWER),
        series("rp_yearly", POWER, CURRENT),
    ]
    queries = plan_queries([node(*(reversed(both) if turned else both))])
    assert sorted(asked(queries)) == [
        ("rp_one_m", FREQUENCY),
        ("rp_one_s", POWER),
        ("rp_yearly", CURRENT),
    ]


def test_measurements_are_apart() -> None:
    """The same field of another measurement, or of another node, is another value."""
    queries = plan_queries(
        [
            node(
                series("rp_one_s", POWER),
                series("rp_one_s", POWER, measurement="gridMetrics"),
            ),
            node(series("rp_one_s", POWER, tag="m"), node_id="m"),
        ]
    )
    assert {key for query in queries for key in query.keys} == {
        FieldKey("n", "submeteringMetrics", POWER),
        FieldKey("n", "gridMetrics", POWER),
        FieldKey("m", "submeteringMetrics", POWER),
    }


def test_home() -> None:
    """Every catalogued field of the demo home is asked for exactly once."""
    devices = HomeWorld().devices(NOW)
    nodes = build_nodes(parse_devices({"device": devices}).devices)
    count = Counter(key for query in plan_queries(nodes.values()) for key in query.keys)
    assert set(count.values()) == {1}
    assert set(count) == {
        FieldKey(device["properties"]["nodeId"], info["measurement"], field)
        for device in devices
        for info in device["properties"]["nodeInfluxSeries"]
        for field in info["fields"]
        if field in CATALOGUE
    }


def test_more_fields_than_a_query_takes() -> None:
    """A series with more than a hundred fields takes several queries."""
    fields = [f"field{index}_W" for index in range(250)]
    queries = plan_queries([node(series("rp_one_s", *fields))])
    assert [len(query.fields) for query in queries] == [100, 100, 50]
    assert [field for _, field in asked(queries)] == fields
    for query in queries:
        assert query.query(NOW).as_json()["select"] == list(query.fields)


@pytest.mark.parametrize(
    ("policy", "window", "valid_for", "rows"),
    [
        ("rp_one_s", timedelta(minutes=1), timedelta(seconds=5), 5),
        ("rp_one_m", timedelta(minutes=5), timedelta(minutes=5), 5),
        ("rp_whatever", timedelta(minutes=25), timedelta(minutes=25), 5),
    ],
)
def test_range(policy: str, window: timedelta, valid_for: timedelta, rows: int) -> None:
    """A query reaches back five intervals, a minute at least, and asks for a few rows."""
    [query] = plan_queries([node(series(policy, POWER))])
    assert query.valid_for == valid_for == 5 * interval(policy)
    assert query.query(NOW).as_json() == {
        "select": [POWER],
        "from": {
            "namespace": {"version": "1", "database": "db", "retentionPolicy": policy},
            "measurement": "submeteringMetrics",
        },
        "where": {
            "time": [
                {"operator": ">=", "value": (NOW - window).timestamp() * 1000},
            ],
            "tags": {"nodeId": "n"},
        },
        "orderBy": "DESC",
        "limit": rows,
    }


def test_rare_fields() -> None:
    """A field that a few rows do not show is asked for apart, over the whole window."""
    rare = {FieldKey("n", "submeteringMetrics", FREQUENCY)}
    often, seldom = plan_queries(
        [node(series("rp_one_s", POWER, FREQUENCY, CURRENT))], rare
    )
    assert often.fields == (POWER, CURRENT)
    assert often.limit == 5
    assert seldom.fields == (FREQUENCY,)
    assert seldom.limit == 60
    assert seldom.query(NOW).start == often.query(NOW).start
    [other] = plan_queries([node(series("rp_one_s", FREQUENCY), node_id="m")], rare)
    assert other.limit == 5
