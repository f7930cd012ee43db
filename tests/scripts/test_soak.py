"""The soak itself: that it goes through its hours, and that it would notice what stays behind."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
import logging
from typing import Any

import pytest

from benchmarks.report import Figure
from benchmarks.soak import Plan, Snapshot, Soak, figures, slope, soak
from custom_components.eniris.api import Body, Point, encode_points
from custom_components.eniris.const import DOMAIN
from custom_components.eniris.exporting.outbox import batches

PLAN = Plan(
    hours=0.1,
    entities=10,
    sites=1,
    every=timedelta(minutes=1),
    outage_every=timedelta(minutes=2),
    outage=timedelta(seconds=20),
    port=8193,
)
SNAPSHOT = Snapshot(
    hours=0.0,
    memory=300.0,
    outbox=0.5,
    outbox_peak=9.0,
    wal=4.0,
    threads=8,
    sockets=8,
    files=25,
    tasks=1,
    states=1000,
    objects=400_000,
)


@pytest.fixture(autouse=True)
def sockets(socket_enabled: None) -> None:
    """Let the simulator be reached."""


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    """Log neither outages, which are part of it, nor each of thousands of events."""
    caplog.set_level(logging.ERROR, f"custom_components.{DOMAIN}")
    caplog.set_level(logging.WARNING, "homeassistant")


def missed(all_figures: Sequence[Figure]) -> set[str]:
    """Return the figures that miss their goal."""
    return {figure.what for figure in all_figures if figure.verdict == "MISSED"}


def test_slope() -> None:
    """A few values that lie far off do not hide how the others grow."""
    points = [(float(n), 3.0 * n) for n in range(20)]
    assert slope(points) == pytest.approx(3.0)
    points[4], points[17] = (4.0, 900.0), (17.0, -900.0)
    assert slope(points) == pytest.approx(3.0)
    assert slope([(1.0, 5.0)]) == 0.0


def run_of(**growth: float) -> Soak:
    """Return a run of 10 hours in which figures grow by so much an hour, with some noise."""
    noise = (0, 1, -1, 2, 0, -2)
    snapshots = []
    for number in range(60):
        hours = number / 6
        changes: dict[str, Any] = {
            name: getattr(SNAPSHOT, name) + by * hours for name, by in growth.items()
        }
        snapshot = replace(SNAPSHOT, hours=hours, **changes)
        snapshots.append(
            replace(
                snapshot,
                memory=snapshot.memory + noise[number % 6] / 2,
                objects=round(snapshot.objects) + 20 * noise[number % 5],
            )
        )
    return Soak(snapshots, sampled=1000, stored=1000, seconds=60.0)


def test_flat() -> None:
    """What is flat, noise or not, is said to be."""
    assert missed(figures(run_of())) == set()


@pytest.mark.parametrize(
    ("name", "by"),
    [
        ("memory", 1.0),
        ("objects", 1000),
        ("outbox", 0.1),
        ("wal", 0.5),
        ("threads", 0.5),
        ("sockets", 0.5),
        ("files", 0.5),
        ("tasks", 0.5),
        ("states", 5),
    ],
)
def test_growth(name: str, by: float) -> None:
    """What grows is noticed, each by itself."""
    assert missed(figures(run_of(**{name: by})))


def test_loss() -> None:
    """A single value that was not stored is one too many."""
    run = run_of()
    run.sampled += 1
    assert missed(figures(run)) == {"soak: samples lost"}


@pytest.fixture
def leak(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """Let something keep every point that was ever sent."""
    kept: list[Any] = []

    def keeping(points: Iterable[Point]) -> Body:
        points = list(points)
        # Lists, which every Python's garbage collector counts
        kept.extend([point] for point in points for _ in range(20))
        return encode_points(points)

    monkeypatch.setattr(batches, "encode_points", keeping)
    yield kept
    kept.clear()


async def test_some_minutes() -> None:
    """All is stored over outages, and the run ends where its time is up."""
    told: list[Snapshot] = []
    run = await soak(PLAN, told.append)
    assert told == run.snapshots
    assert len(told) == run.polls == 6
    assert run.hours == PLAN.hours
    assert run.outages == 3
    assert run.stored == run.sampled == 360 * PLAN.entities

    cut_short = await soak(replace(PLAN, sitting=0.0))
    assert cut_short.hours == pytest.approx(1 / 60)


async def test_leak(leak: list[Any]) -> None:
    """What stays behind of each upload is seen in the number of objects."""
    run = await soak(PLAN)
    assert leak
    assert "soak: Python's objects, growth per simulated hour" in missed(figures(run))
