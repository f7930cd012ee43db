"""Answers to a question that are put together."""

from datetime import UTC, datetime, timedelta
import tracemalloc
from typing import Any

from custom_components.eniris.api import (
    QueryCost,
    SeriesInfo,
    StatementResult,
    TelemetryAnswer,
    TelemetryQuery,
)
from custom_components.eniris.api.budget import Budget
from custom_components.eniris.api.telemetry import ResultSeries, Row
from custom_components.eniris.importing.budget.poll_rate import PollRate
from custom_components.eniris.importing.budget.reader import (
    Column,
    TelemetryReader,
    TelemetryRequest,
)

START = datetime(2026, 7, 1, tzinfo=UTC)
SERIES = 40
FIELDS = 5
LIMIT = 250


class Service:
    """Answers with as many rows as were asked for, of each series at other times."""

    def __init__(self) -> None:
        """Have no budget."""
        self.budget = Budget()

    async def query_telemetry(self, queries: list[TelemetryQuery]) -> TelemetryAnswer:
        """Answer each query."""
        return TelemetryAnswer([self._rows(query) for query in queries], QueryCost())

    def _rows(self, query: TelemetryQuery) -> StatementResult:
        offset = timedelta(seconds=int(query.tags["n"]))
        values: dict[str, Any] = {str(name): 1.0 for name in query.select}
        times = [START + n * timedelta(hours=1) for n in range(query.limit or 0)]
        rows = [Row(time + offset, values) for time in times]
        return StatementResult([ResultSeries("m", query.tags, rows)])


async def test_memory() -> None:
    """What of each series is beyond the common limit takes no memory for every column."""
    columns = [
        Column(f"{number} {field}", series, field)
        for number in range(SERIES)
        for series in (SeriesInfo("db", "rp_one_m", "m", (("n", str(number)),), ()),)
        for field in map("f{}_W".format, range(FIELDS))
    ]
    question = TelemetryRequest(
        columns, [(START, START + timedelta(days=30))], limit=LIMIT
    )
    asker = TelemetryReader(Service(), PollRate(timedelta(minutes=1)))  # type: ignore[arg-type]
    tracemalloc.start()
    try:
        rows, truncated = await asker.ask(question)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert truncated
    assert [time for time, _ in rows[:SERIES]] == [
        START + n * timedelta(seconds=1) for n in range(SERIES)
    ]
    for number, (_, values) in enumerate(rows[:SERIES]):
        assert len(values) == SERIES * FIELDS
        assert {name for name, value in values.items() if value is not None} == {
            f"{number} f{field}_W" for field in range(FIELDS)
        }
    assert peak < 40e6
