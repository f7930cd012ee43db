"""The form of the benchmarks' figures, and that every benchmark that is named exists."""

from importlib.util import find_spec
import json

import pytest

from benchmarks.__main__ import HOURS, MINUTES
from benchmarks.report import Effort, Figure, Goal, table


@pytest.mark.parametrize("name", [*MINUTES, *HOURS])
def test_named_benchmarks_exist(name: str) -> None:
    """What `scripts/benchmark` offers can be run."""
    assert find_spec(f"benchmarks.{name}") is not None


def test_ratio_is_of_what_was_measured_together() -> None:
    """A repetition under load is compared with the alternative under the same load."""
    figure = Figure("x", "ms", (1.0, 10.0, 2.0), "y", (2.0, 20.0, 4.0))
    assert figure.ratio == pytest.approx(0.5)
    assert figure.median == pytest.approx(2.0)
    assert figure.other_median == pytest.approx(4.0)


@pytest.mark.parametrize(
    ("goal", "verdict"),
    [
        (None, ""),
        (Goal("≤", 0.5), "met"),
        (Goal("≤", 0.4), "MISSED"),
        (Goal("≥", 0.5), "met"),
        (Goal("≥", 2), "MISSED"),
    ],
)
def test_goal_is_of_the_ratio(goal: Goal | None, verdict: str) -> None:
    """Where there is an alternative, the goal is of the ratio to it."""
    figure = Figure("x", "ms", (1000.0,), "y", (2000.0,), goal)
    assert figure.verdict == verdict


def test_an_alternative_below_the_noise_has_no_ratio() -> None:
    """Where subtracting leaves less than nothing of the alternative, no goal is met by it."""
    figure = Figure("x", "µs", (2.0,), "other", (-1.0,), Goal("≤", 0.5))
    assert figure.ratio is None
    assert figure.verdict == "not measurable"


def test_goal_is_of_the_figure_where_it_stands_alone() -> None:
    """Where there is no alternative, the goal is of the figure itself."""
    assert Figure("x", "1/s", (60_000.0,), goal=Goal("≥", 50_000)).verdict == "met"
    assert Figure("x", "1/s", (40_000.0,), goal=Goal("≥", 50_000)).verdict == "MISSED"


def test_table() -> None:
    """What another process has measured can be shown."""
    figures = [
        Figure(
            "one change", "µs", (4.0, 5.0), "influxdb", (10.0, 10.0), Goal("≤", 0.5)
        ),
        Figure("drained", "points/s", (51_234.5,)),
    ]
    carried = [
        Figure.from_json(item)
        for item in json.loads(json.dumps([figure.as_json() for figure in figures]))
    ]
    assert carried == figures
    assert table(carried).splitlines()[2:] == [
        "| one change | 4.500 µs | influxdb | 10.0 µs | 0.45 | ≤ 0.5 | met |",
        "| drained | 51,234 points/s |  |  |  |  |  |",
    ]


def test_effort_scales_sizes() -> None:
    """A try takes a part of the full size, never nothing."""
    assert Effort(scale=0.01).size(1_000_000) == 10_000
    assert Effort(scale=0.01).size(10, least=2) == 2
