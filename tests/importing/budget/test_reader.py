"""Answers to a question that are put together."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
import tracemalloc
from typing import Any

from hypothesis import given, strategies as st
import pytest

from custom_components.eniris.api import (
    Aggregate,
    AggregateFunction,
    DatabaseNamespace,
    EnirisConnectionError,
    QueryCost,
    RateLimitedError,
    ReauthenticationRequiredError,
    SeriesInfo,
    StatementResult,
    TelemetryAnswer,
    TelemetryQuery,
    UnprocessableError,
)
from custom_components.eniris.api.budget import Budget
from custom_components.eniris.api.telemetry import ResultSeries, Row
from custom_components.eniris.importing.budget.poll_rate import PollRate
from custom_components.eniris.importing.budget.reader import (
    ACTION_BUDGET,
    HISTORY_BUDGET,
    BudgetedReader,
    Column,
    QueryBudget,
    TelemetryReader,
    TelemetryRequest,
    TooDearError,
)

START = datetime(2026, 7, 1, tzinfo=UTC)
SERIES = 40
FIELDS = 5
LIMIT = 250


class TalkativeService:
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
    asker = TelemetryReader(TalkativeService(), PollRate(timedelta(minutes=1)))  # type: ignore[arg-type]
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


MINUTE = timedelta(minutes=1)


@dataclass(frozen=True)
class Query:
    """So many fields of one series."""

    fields: tuple[str, ...] = ("a_W",)

    def query(self) -> TelemetryQuery:
        """Return the query."""
        select = [Aggregate(name, AggregateFunction.SUM) for name in self.fields]
        return TelemetryQuery(DatabaseNamespace("d", "r"), "m", {"n": "1"}, select)

    def parts(self) -> list["Query"]:
        """Return halves."""
        half = len(self.fields) // 2
        return [Query(self.fields[:half]), Query(self.fields[half:])] if half else []


class Clock:
    """A monotonic clock that stands still but for what is slept."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Take the place of the machine's."""
        self.now = 0.0
        self.slept: list[float] = []
        self.on_sleep: Callable[[float], None] = lambda _: None
        monkeypatch.setattr("time.monotonic", lambda: self.now)
        monkeypatch.setattr(asyncio, "sleep", self.sleep)

    async def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.slept.append(seconds)
        until = self.now + seconds
        self.on_sleep(until)
        self.now = until


class Service:
    """A service with a leaky bucket, in which each field of a query costs the same."""

    def __init__(
        self, clock: Clock, cost: float = 0.1, capacity: float | None = 100
    ) -> None:
        """Have an empty bucket."""
        self.budget = Budget()
        self.sizes: list[int] = []
        self.errors: list[Exception] = []
        self._clock, self._cost, self._capacity = clock, cost, capacity
        self._used = self._at = 0.0

    def spend(self, cost: float) -> QueryCost:
        """Spend tokens; raises what the client raises if there are not enough."""
        if self._capacity is None:
            return QueryCost(cost)
        leaked = (self._clock.now - self._at) * self._capacity / 60
        self._used, self._at = max(0.0, self._used - leaked), self._clock.now
        if cost > self._capacity:
            raise UnprocessableError(422, "too dear")
        if self._used + cost > self._capacity * (1 + 1e-9):
            raise RateLimitedError(429, "full", retry_after=60)
        self._used += cost
        answer = QueryCost(cost, self._capacity - self._used, self._used)
        self.budget.note(answer)
        return answer

    async def query_telemetry(self, queries: list[TelemetryQuery]) -> TelemetryAnswer:
        """Answer each query with no data."""
        if self.errors:
            raise self.errors.pop(0)
        cost = self.spend(self._cost * sum(len(query.select) for query in queries))
        self.sizes.append(len(queries))
        return TelemetryAnswer([StatementResult([]) for _ in queries], cost)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Return the time."""
    return Clock(monkeypatch)


def reader_of(
    service: Service, budget: QueryBudget = HISTORY_BUDGET, poll: float = 10
) -> BudgetedReader:
    """Return a reader beside polls that cost so much a minute."""
    pace = PollRate(MINUTE)
    pace.note(service.spend(poll))
    return BudgetedReader(service, pace, budget)  # type: ignore[arg-type]


async def ask(reader: BudgetedReader, queries: list[Query]) -> list[tuple[Any, Any]]:
    """Return all queries that were answered, with their errors."""
    return [(query, result.error) async for query, result in reader.query(queries)]


@pytest.mark.parametrize(
    ("cost", "sizes"),
    [
        # The first request finds out what a query costs; a tenth of the budget is the most
        (0.2, [10, 50, 50, 10]),
        (3, [10, 3, 3, 3, 3, 3]),
        (12, [1, 1, 1]),
    ],
)
async def test_size_of_requests(clock: Clock, cost: float, sizes: list[int]) -> None:
    """A request takes a tenth of the budget at the most, and has a query at the least."""
    service = Service(clock, cost)
    reader = reader_of(service)
    if cost == 12:
        await ask(reader, [Query()])
        service.sizes.clear()
    await ask(reader, [Query()] * sum(sizes))
    assert service.sizes == sizes


async def test_half_of_what_polls_leave(clock: Clock) -> None:
    """In the long run the past takes half of what polls leave of four fifths of the budget."""
    service = Service(clock, 0.5)
    reader = reader_of(service)
    await ask(reader, [Query()] * 1000)
    assert 60 * 500 / clock.now == pytest.approx((80 - 10) / 2, rel=0.05)
    # However little they leave, it does not stand still
    service = Service(clock, 0.1)
    reader = reader_of(service, poll=90)
    started = clock.now
    await ask(reader, [Query()] * 1000)
    assert 60 * 100 / (clock.now - started) == pytest.approx(5, rel=0.1)


async def test_no_limit(clock: Clock) -> None:
    """Without a budget requests are large; an import takes half of the time, an action does not wait."""
    service = Service(clock, capacity=None)

    async def slow(queries: list[TelemetryQuery]) -> TelemetryAnswer:
        clock.now += 3
        service.sizes.append(len(queries))
        return TelemetryAnswer([StatementResult([]) for _ in queries], QueryCost())

    service.query_telemetry = slow  # type: ignore[method-assign]
    await ask(reader_of(service), [Query()] * 600)
    assert service.sizes == [250, 250, 100]
    assert clock.slept == [3, 3]
    clock.slept.clear()
    await ask(reader_of(service, ACTION_BUDGET), [Query()] * 600)
    assert not clock.slept


@pytest.mark.parametrize("budget", [HISTORY_BUDGET, ACTION_BUDGET])
async def test_too_dear_together(clock: Clock, budget: QueryBudget) -> None:
    """A request that is dearer than the bucket is halved until it is not, then grows again; all are answered."""
    service = Service(clock)
    service.errors = [UnprocessableError(422, "too dear")] * 2
    queries = [Query((f"f{number}_W",)) for number in range(30)]
    assert await ask(reader_of(service, budget), queries) == [
        (query, None) for query in queries
    ]
    assert service.sizes[0] == 2
    assert max(service.sizes) > 8


async def test_too_dear_alone(clock: Clock) -> None:
    """A query that is too dear by itself is divided; what cannot be divided is a failed result, or raised."""
    wide = Query(("a_W", "b_W", "c_W", "d_W"))
    service = Service(clock, cost=60)
    assert await ask(reader_of(service), [wide]) == [
        (Query((name,)), None) for name in wide.fields
    ]
    found = await ask(reader_of(Service(clock, cost=200)), [Query(), Query()])
    assert [query for query, _ in found] == [Query(), Query()]
    assert all("too dear" in error for _, error in found)
    with pytest.raises(TooDearError):
        await ask(reader_of(Service(clock, cost=200), ACTION_BUDGET), [Query()])


async def test_service_that_cannot_be_read(clock: Clock) -> None:
    """An import waits, longer each time and as long as it is told to; an action fails."""
    service = Service(clock)
    service.errors = [
        EnirisConnectionError("no answer"),
        EnirisConnectionError("no answer"),
        RateLimitedError(429, "full", retry_after=400),
    ]
    assert await ask(reader_of(service), [Query()] * 3) == [(Query(), None)] * 3
    assert clock.slept[:3] == [30, 60, 400]
    service.errors = [EnirisConnectionError("no answer")]
    with pytest.raises(EnirisConnectionError):
        await ask(reader_of(service, ACTION_BUDGET), [Query()])
    service.errors = [ReauthenticationRequiredError(401, "log in")]
    with pytest.raises(ReauthenticationRequiredError):
        await ask(reader_of(service), [Query()])


async def test_action_waits_five_minutes_at_most(clock: Clock) -> None:
    """Who calls an action is not to wait for ever."""
    service = Service(clock, cost=1)
    with pytest.raises(TooDearError):
        await ask(reader_of(service, ACTION_BUDGET), [Query()] * 700)
    assert sum(clock.slept) <= 300
    clock.slept.clear()
    await ask(reader_of(Service(clock, cost=1), ACTION_BUDGET), [Query()] * 200)
    assert 0 < sum(clock.slept) <= 300


@given(
    poll=st.floats(0.5, 70),
    query=st.floats(0.1, 2),
    budget=st.sampled_from([HISTORY_BUDGET, ACTION_BUDGET]),
)
def test_polls_are_never_refused(
    poll: float, query: float, budget: QueryBudget
) -> None:
    """Neither a poll nor a reader is refused beside the other, and no poll is slowed down."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        run = asyncio.new_event_loop().run_until_complete
        clock = Clock(monkeypatch)
        service = Service(clock, query)
        reader = reader_of(service, budget, poll)
        pace: PollRate = reader._pace
        next_poll = 60.0

        def polls(until: float) -> None:
            nonlocal next_poll
            while next_poll <= until:
                clock.now = max(clock.now, next_poll)
                pace.note(service.spend(poll))
                assert not pace.is_slowed
                next_poll += 60

        clock.on_sleep = polls
        # What queries cost is known: an import's first request may find the bucket too full
        reader._per_query = query
        try:
            run(ask(reader, [Query()] * 300))
        except TooDearError:
            assert budget is ACTION_BUDGET
