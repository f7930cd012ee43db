"""The hours of the past: what is asked for them, and what the answers say."""

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from hypothesis import given, strategies as st
import orjson
import pytest

from custom_components.eniris.api import SeriesInfo, StatementResult
from custom_components.eniris.api.telemetry import (
    FIELDS_PER_QUERY,
    encode_queries,
    parse_statements,
)
from custom_components.eniris.field_description import FieldDescription
from custom_components.eniris.importing.catalogue import describe, directions
from custom_components.eniris.importing.history.hours import (
    HOUR,
    HourQuery,
    StatisticField,
    StatisticKind,
    plan,
    statistic_kind,
)
from custom_components.eniris.importing.plan import FieldKey

MEASUREMENT = "submeteringMetrics"
DELTA = "importedEnergyDeltaTot_Wh"
COUNTER = "importedAbsEnergyTot_Wh"
POWER = "actualPowerTot_W"
CHARGE = "stateOfCharge_frac"
NOON = int(datetime(2026, 7, 1, 12, tzinfo=UTC).timestamp())


def series(*fields: str, policy: str = "rp_one_m", tag: str = "n") -> SeriesInfo:
    """Return a series."""
    return SeriesInfo("db", policy, MEASUREMENT, (("nodeId", tag),), fields)


def described(field: str, part: str | None = None) -> FieldDescription:
    """Return what a field is, or a direction of it."""
    description = describe(MEASUREMENT, field)
    if part is None:
        return description
    shown = directions(MEASUREMENT, description)
    return next(each for each in shown if each.part == part)


def subject(field: str, part: str | None = None, node_id: str = "n") -> StatisticField:
    """Return a field that has a statistic, or a direction of one."""
    description = described(field, part)
    kind = statistic_kind(description)
    assert kind
    return StatisticField(FieldKey(node_id, MEASUREMENT, field), description, kind)


def answer(columns: Iterable[str], *rows: list[Any]) -> StatementResult:
    """Return the service's answer of one series; each row begins with its time."""
    told = {"columns": ["time", *columns], "values": list(rows)}
    [result] = parse_statements([{"statement_id": 0, "series": [told]}], 1)
    return result


def at(seconds: int) -> str:
    """Return a time as the service tells it."""
    return datetime.fromtimestamp(seconds, UTC).isoformat()


@pytest.mark.parametrize(
    ("field", "part", "kind"),
    [
        (DELTA, None, StatisticKind.SUM),
        (COUNTER, None, StatisticKind.COUNTER),
        (POWER, None, StatisticKind.MEAN),
        (POWER, "import", StatisticKind.MEAN),
        (POWER, "export", StatisticKind.MEAN),
        (CHARGE, None, StatisticKind.MEAN),
        ("strangeThing_V", None, StatisticKind.MEAN),
        # A text, a flag, and what nobody knows before its first value
        ("status", None, None),
        ("state", None, None),
        ("connected", None, None),
        ("somethingStrange", None, None),
        # The energy of an interval in another unit is not summed up
        ("importedEnergyDeltaTot_kWh", None, None),
        # What may fall
        ("water_m3", None, StatisticKind.BALANCE),
    ],
)
def test_kind(field: str, part: str | None, kind: StatisticKind | None) -> None:
    """A statistic is made of a field by what the field is; of what has none, nothing is made."""
    assert statistic_kind(described(field, part)) is kind


@pytest.mark.parametrize(
    ("field", "part", "wanted"),
    [
        (DELTA, None, True),
        (COUNTER, None, True),
        (POWER, None, True),
        (POWER, "export", True),
        (CHARGE, None, False),
        ("frequency_Hz", None, False),
        ("reactivePowerTot_VAr", None, False),
    ],
)
def test_what_everybody_wants(field: str, part: str | None, wanted: bool) -> None:
    """The past of energy and of power is imported without being named."""
    assert subject(field, part).is_energy_or_power == wanted


def test_query() -> None:
    """An hour is asked for with its beginning and without its end, each field by its functions."""
    query = HourQuery(
        series(DELTA, COUNTER, POWER),
        (subject(DELTA), subject(COUNTER), subject(POWER)),
        NOON,
        NOON + HOUR,
    )
    [as_sent] = orjson.loads(encode_queries([query.query()]))
    assert as_sent == {
        "select": [
            {"field": DELTA, "function": "sum"},
            {"field": COUNTER, "function": "min"},
            {"field": COUNTER, "function": "max"},
            {"field": POWER, "function": "mean"},
            {"field": POWER, "function": "min"},
            {"field": POWER, "function": "max"},
        ],
        "from": {
            "namespace": {
                "version": "1",
                "database": "db",
                "retentionPolicy": "rp_one_m",
            },
            "measurement": MEASUREMENT,
        },
        "where": {
            "tags": {"nodeId": "n"},
            "time": [
                {"operator": ">=", "value": NOON * 1000},
                {"operator": "<", "value": (NOON + HOUR) * 1000},
            ],
        },
        "orderBy": "ASC",
    }


def test_raw_query() -> None:
    """Single values are asked for once, though two directions are made of them; all of them."""
    query = HourQuery(
        series(POWER),
        (subject(POWER, "import"), subject(POWER, "export")),
        NOON,
        NOON + HOUR,
        True,
    ).query()
    assert query.select == [POWER]
    assert query.limit is None


MIXED = (subject(DELTA), subject(COUNTER), subject(CHARGE))
NAMES = ("sum", "min", "max", "mean", "min_1", "max_1")


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        (
            [12.5, 1000, 1012.5, 0.5, 0.25, 0.75],
            {DELTA: (12.5,), COUNTER: (1000, 1012.5), CHARGE: (50, 25, 75)},
        ),
        # What was not measured in the hour
        ([None, 1, 2, None, None, None], {COUNTER: (1, 2)}),
        ([None] * 6, {}),
        # An hour in which nothing flowed is known; half of what is wanted is of no use
        ([0, None, 7, 0.5, 0.5, None], {DELTA: (0,), COUNTER: None, CHARGE: None}),
        # Nonsense
        (
            ["12", True, 2, 1, 1, 1],
            {DELTA: None, COUNTER: None, CHARGE: (100, 100, 100)},
        ),
        ([1e300, 1, 2, 0, 0, 0], {DELTA: None, COUNTER: (1, 2), CHARGE: (0, 0, 0)}),
        # Not as wide as what was asked for
        ([12.5, 1000, 1012.5, 0.5, 0.25], dict.fromkeys((DELTA, COUNTER, CHARGE))),
        (
            [12.5, 1000, 1012.5, 0.5, 0.25, 0.75, 1],
            dict.fromkeys((DELTA, COUNTER, CHARGE)),
        ),
    ],
)
@pytest.mark.parametrize("by_function", [True, False])
def test_read(
    cells: list[Any], values: dict[str, tuple[float, ...] | None], by_function: bool
) -> None:
    """Values are told apart by their place, in the unit of the entity; what is missing is missing."""
    query = HourQuery(series(DELTA, COUNTER, CHARGE), MIXED, NOON, NOON + HOUR)
    names = [*NAMES, "more"] if by_function else [f"field_{n}" for n in range(7)]
    result = answer(names[: len(cells)], [at(NOON), *cells])
    read = query.read(result)
    assert {subject.key.field: found for subject, found in read.items()} == values


@pytest.mark.parametrize("result", [StatementResult([]), answer(["sum"])])
@pytest.mark.parametrize("raw", [True, False])
def test_read_nothing(result: StatementResult, raw: bool) -> None:
    """No data brings no value."""
    query = HourQuery(series(DELTA), (subject(DELTA),), NOON, NOON + HOUR, raw)
    assert query.read(result) == {}


@pytest.mark.parametrize(
    "result",
    [
        StatementResult([], "max-select-point limit exceeded"),
        # Two sums of one hour: which?
        answer(["sum"], [at(NOON), 1.0], [at(NOON + 60), 2.0]),
        # No hour at all
        answer(["sum"], [None, 1.0]),
        answer(["sum"], [at(NOON), 1.0], ["whenever", 2.0]),
        answer(["sum"], [at(NOON), {"value": 1.0}, 3]),
    ],
)
def test_read_what_is_of_no_use(result: StatementResult) -> None:
    """A refusal, or an answer that says something else, is told apart from no data."""
    delta = subject(DELTA)
    query = HourQuery(series(DELTA), (delta,), NOON, NOON + HOUR)
    assert query.read(result) == {delta: None}


def test_read_raw_of_no_use() -> None:
    """Single values of which none is a number are of no use; a few that are none do no harm."""
    power = subject(POWER, "import")
    query = HourQuery(series(POWER), (power,), NOON, NOON + HOUR, True)
    assert query.read(answer([POWER], [at(NOON), "x"])) == {power: None}
    assert query.read(answer([POWER], [at(NOON), "x"], [at(NOON), 2.0])) == {
        power: (2, 2, 2)
    }
    assert query.read(answer([POWER], [None, 2.0])) == {power: None}


def test_two_series_of_one_query() -> None:
    """Where the service finds two series, no sum is taken for that of both."""
    delta = subject(DELTA)
    query = HourQuery(series(DELTA), (delta,), NOON, NOON + HOUR)
    told = {"columns": ["time", "sum"], "values": [[at(NOON), 1.0]]}
    [result] = parse_statements([{"series": [told, told]}], 1)
    assert query.read(result) == {delta: None}


def test_read_directions() -> None:
    """What flowed the other way counts as nothing in a direction, and so in its mean."""
    imported, exported = subject(POWER, "import"), subject(POWER, "export")
    query = HourQuery(series(POWER), (imported, exported), NOON, NOON + HOUR, True)
    rows = [[at(NOON + 60 * n), value] for n, value in enumerate((-10, 30, None, 10))]
    read = query.read(answer([POWER], *rows))
    assert read.keys() == {imported, exported}
    assert read[imported] == pytest.approx((40 / 3, 0, 30))
    assert read[exported] == pytest.approx((10 / 3, 0, 10))
    assert query.read(StatementResult([])) == {}
    assert query.read(answer([POWER], [at(NOON), None])) == {}


def test_read_raw() -> None:
    """Single values come in the order of time, whatever the order of the rows."""
    counter, water = subject(COUNTER), subject("water_m3")
    query = HourQuery(
        series(COUNTER, "water_m3"), (counter, water), NOON, NOON + HOUR, True
    )
    result = answer(
        [COUNTER, "water_m3"],
        [at(NOON + 120), 3, 0.07],
        [at(NOON), 900, None],
        [at(NOON + 60), "x", 1],
    )
    assert query.read(result) == {counter: (900, 3), water: (1, 0.07)}


def test_plan() -> None:
    """What shares a series and a time shares a query; what is asked of no series is left out."""
    ours, other = series(DELTA, POWER), series(COUNTER, tag="m")
    delta, power, counter = subject(DELTA), subject(POWER), subject(COUNTER)
    planned = plan(
        (field, source, hour, hour + HOUR)
        for hour in (NOON, NOON - HOUR)
        for field, source in ((delta, ours), (counter, other), (power, ours))
    )
    assert planned == [
        HourQuery(source, fields, hour, hour + HOUR)
        for hour in (NOON, NOON - HOUR)
        for source, fields in ((ours, (delta, power)), (other, (counter,)))
    ]
    assert plan([]) == []


def test_plan_directions() -> None:
    """Directions have a query of single values; the power itself has what the service makes of it."""
    wanted = [subject(POWER), subject(POWER, "import"), subject(POWER, "export")]
    spans = [(field, series(POWER), NOON, NOON + HOUR) for field in wanted]
    aggregated, raw = plan(spans)
    assert (aggregated.raw, raw.raw) == (False, True)
    assert aggregated.fields == (wanted[0],)
    assert raw.fields == tuple(wanted[1:])
    [query] = plan(spans, raw=True)
    assert query.query().select == [POWER]


def test_plan_balance() -> None:
    """Of a meter that may run back, every value of the hour is asked for."""
    [query] = plan([(subject("water_m3"), series("water_m3"), NOON, NOON + HOUR)])
    assert query.query().select == ["water_m3"]


FIELDS = st.lists(
    st.builds(
        "{}{}{}".format,
        st.sampled_from(["a", "energyDelta", "AbsEnergy"]),
        st.integers(0, 150),
        st.sampled_from(["_Wh", "_W", "_V", "_kWh"]),
    ),
    unique=True,
    max_size=250,
)


@given(fields=FIELDS, hours=st.integers(1, 3))
def test_plans_of_wide_series(fields: list[str], hours: int) -> None:
    """Whatever a series has, no query selects more than can be asked, and nothing is left out."""
    wanted = [subject(field) for field in fields if statistic_kind(described(field))]
    asked: Counter[tuple[StatisticField, int]] = Counter()
    for query in plan(
        (field, series(*fields), NOON + hour * HOUR, NOON + (hour + 1) * HOUR)
        for hour in range(hours)
        for field in wanted
    ):
        # Raises where it is more than the service takes
        assert 1 <= len(query.query().select) <= FIELDS_PER_QUERY
        asked.update((item, query.start) for item in query.fields)
    assert asked == {
        (item, NOON + hour * HOUR): 1 for item in wanted for hour in range(hours)
    }
