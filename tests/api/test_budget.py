"""What is left of the budget, by what all callers were told."""

from freezegun.api import FrozenDateTimeFactory

from custom_components.eniris.api import (
    DatabaseNamespace,
    QueryCost,
    Session,
    TelemetryQuery,
)
from custom_components.eniris.api.budget import Budget
from simulator.server import Simulator


def test_nothing_known() -> None:
    """Nothing is known before the first answer, of an unlimited tier, or of an odd bucket."""
    budget = Budget()
    assert (budget.per_minute, budget.remaining) == (None, None)
    budget.note(QueryCost(5, 60, 40))
    budget.note(QueryCost(5))
    assert (budget.per_minute, budget.remaining) == (None, None)
    budget.note(QueryCost(0, 0, 0))
    assert (budget.per_minute, budget.remaining) == (None, None)


def test_leak(freezer: FrozenDateTimeFactory) -> None:
    """What was used leaks away within a minute, and then no further."""
    budget = Budget()
    budget.note(QueryCost(5, 40, 60))
    assert (budget.per_minute, budget.remaining) == (100, 40)
    freezer.tick(30)
    assert budget.remaining == 90
    freezer.tick(30)
    assert budget.remaining == 100


async def test_every_answer_counts(session: Session, simulator: Simulator) -> None:
    """Whoever asks, the budget hears of it."""
    simulator.tier = "free"
    query = TelemetryQuery(
        DatabaseNamespace("demo", "rp_one_m"), "gridMetrics", {"a": "b"}, ["x_W"]
    )
    answer = await session.query_telemetry([query])
    assert session.budget.per_minute == 100
    assert answer.cost.remaining is not None
    assert session.budget.remaining is not None
    assert answer.cost.remaining <= session.budget.remaining < 100
