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
    Learned,
    PlannedQuery,
    Preference,
    counting_candidates,
    interval,
    plan_queries,
)
from simulator.world import HomeWorld

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
POLL = timedelta(seconds=60)
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


def test_counting_candidates() -> None:
    """A delta can be summed from each series that lists it, the one a minute first."""
    by_second, by_minute = series("rp_one_s", "d_Wh"), series("rp_one_m", "d_Wh")
    other = series("rp_one_m", "d_Wh", measurement="gridMetrics")
    for each in (node(by_second, by_minute, other), node(other, by_minute, by_second)):
        found = counting_candidates(each, "submeteringMetrics", "d_Wh")
        assert found == [by_minute, by_second]
    lonely = node(by_second, series("rp_yearly", "x"))
    assert counting_candidates(lonely, "submeteringMetrics", "d_Wh") == [by_second]
    assert counting_candidates(lonely, "submeteringMetrics", "missing") == []
    assert counting_candidates(lonely, "gridMetrics", "d_Wh") == []


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
        # What the service makes of a field is not read beside the field itself
        or field.startswith(("sum_children", "sum_autoconsumed"))
    }


def test_more_fields_than_a_query_takes() -> None:
    """A series with more than a hundred fields takes several queries."""
    fields = [f"field{index}_W" for index in range(250)]
    queries = plan_queries([node(series("rp_one_s", *fields))])
    assert [len(query.fields) for query in queries] == [100, 100, 50]
    assert [field for _, field in asked(queries)] == fields
    for query in queries:
        assert query.query(NOW, POLL).as_json()["select"] == list(query.fields)


@pytest.mark.parametrize(
    ("policy", "measurement", "seconds", "window", "valid_for"),
    [
        # Five intervals, two polls, two minutes at least
        ("rp_one_s", "submeteringMetrics", 10, 120, 20),
        ("rp_one_s", "submeteringMetrics", 60, 120, 120),
        ("rp_one_s", "submeteringMetrics", 3600, 7200, 7200),
        ("rp_one_m", "submeteringMetrics", 10, 300, 300),
        ("rp_ten_m", "gridMetrics", 60, 3000, 3000),
        ("rp_whatever", "submeteringMetrics", 60, 1500, 1500),
        # A price holds until the next
        ("rp_one_m", "planning", 60, 86520, 86520),
        ("rp_ten_m", "planning", 10, 86420, 86420),
        ("rp_one_d", "planning", 60, 432000, 432000),
    ],
)
def test_range(
    policy: str, measurement: str, seconds: int, window: int, valid_for: int
) -> None:
    """A query reaches back as far as late data takes, ends now, and asks for a few rows."""
    poll = timedelta(seconds=seconds)
    [query] = plan_queries([node(series(policy, POWER, measurement=measurement))])
    assert query.valid_for(poll) == timedelta(seconds=valid_for)
    assert query.query(NOW, poll).as_json() == {
        "select": [POWER],
        "from": {
            "namespace": {"version": "1", "database": "db", "retentionPolicy": policy},
            "measurement": measurement,
        },
        "where": {
            "time": [
                {"operator": ">=", "value": (NOW.timestamp() - window) * 1000},
                # The row of this very millisecond is not after now
                {"operator": "<", "value": NOW.timestamp() * 1000 + 1},
            ],
            "tags": {"nodeId": "n"},
        },
        "orderBy": "DESC",
        "limit": 10,
    }


@pytest.mark.parametrize(
    ("policy", "seconds"),
    [
        ("rp_one_s", 1),
        ("rp_ten_s", 10),
        ("rp_one_m", 60),
        ("rp_ten_m", 600),
        ("rp_15_m", 900),
        ("rp_one_h", 3600),
        ("rp_one_d", 86400),
        ("rp_0_m", 300),
        ("rp_99999999999_d", 300),
        ("autogen", 300),
    ],
)
def test_interval(policy: str, seconds: int) -> None:
    """The name of a retention policy tells the distance of its points."""
    assert interval(policy).total_seconds() == seconds


def test_rare_fields() -> None:
    """A field that a few rows do not show is asked for apart, over the whole window."""
    rare = {FieldKey("n", "submeteringMetrics", FREQUENCY): Learned(is_rare=True)}
    often, seldom = plan_queries(
        [node(series("rp_one_s", POWER, FREQUENCY, CURRENT))], rare
    )
    assert often.fields == (POWER, CURRENT)
    assert often.limit(POLL) == 10
    assert seldom.fields == (FREQUENCY,)
    assert seldom.limit(POLL) == 120
    assert seldom.query(NOW, POLL).start == often.query(NOW, POLL).start
    [query] = plan_queries([node(series("rp_one_s", FREQUENCY), node_id="m")], rare)
    assert query.limit(POLL) == 10
    # However long the window
    for poll, planning in (
        (timedelta(hours=1), series("rp_one_s", FREQUENCY)),
        (POLL, series("rp_one_m", FREQUENCY, measurement="planning")),
    ):
        key = FieldKey("n", planning.measurement, FREQUENCY)
        [query] = plan_queries([node(planning)], {key: Learned(is_rare=True)})
        assert query.limit(poll) == 300


@pytest.mark.parametrize(
    ("tried", "policy", "is_replaceable"),
    [
        (0, "rp_one_s", True),
        (1, "rp_one_m", True),
        (2, "rp_ten_m", True),
        # All have brought nothing
        (3, "rp_one_s", False),
    ],
)
def test_policies_that_bring_nothing(
    tried: int, policy: str, is_replaceable: bool
) -> None:
    """The next policy is read for a field where others have brought nothing, for that field alone."""
    both = [series(p, POWER, CURRENT) for p in ("rp_ten_m", "rp_one_s", "rp_one_m")]
    key = FieldKey("n", "submeteringMetrics", POWER)
    queries = plan_queries([node(*both)], {key: Learned(tried)})
    assert set(asked(queries)) == {(policy, POWER), ("rp_one_s", CURRENT)}
    [query] = [query for query in queries if key in query.keys]
    assert (key in query.replaceable) == is_replaceable


def test_descriptions() -> None:
    """What each field is, is said with the query that brings it."""
    [query] = plan_queries([node(series("rp_one_m", POWER, "d", "frequency_Hz"))])
    assert [description.key for description in query.descriptions] == list(query.fields)
