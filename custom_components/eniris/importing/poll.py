"""One poll of an account: what is asked of the service, in how many parts, and what the answers say."""

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from operator import attrgetter
import time
from typing import Final

from homeassistant.components.sensor import SensorStateClass

from ..api import (
    FieldValue,
    QueryCost,
    RateLimitedError,
    SeriesInfo,
    Session,
    StatementResult,
    TelemetryAnswer,
    TelemetryQuery,
    UnprocessableError,
)
from ..api.telemetry import QUERIES_PER_REQUEST
from ..const import LOGGER
from ..field_description import FieldDescription
from .budget.poll_rate import PollRate
from .energy import CountingQuery
from .nodes import Nodes
from .plan import (
    NOTHING_LEARNED,
    SLOW,
    FieldKey,
    Learned,
    PlannedQuery,
    Preference,
    plan_queries,
)

_OFF_LOOP_FROM: Final = 50
"""Queries from which a thread does what would hold the event loop."""

_LONGEST_GAP: Final = timedelta(hours=1)
"""Two values of a field further apart have an outage between them rather than a rhythm."""

_TRY_AGAIN_EVERY: Final = 12
"""Times that everything is read until the preferred retention policy is tried again."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A value as the service stored it, and when; None in place of energy that totals add up."""

    time: datetime
    value: FieldValue | None
    valid_for: timedelta
    """How old the reading may become before it says nothing of the present."""
    is_doubted: bool = False
    """Whether the service has 0, which the next row has to confirm; the value is the one before."""


@dataclass(frozen=True, slots=True)
class PollAnswer:
    """Planned queries, and sums for totals, each with its result."""

    values: Sequence[tuple[PlannedQuery, StatementResult]]
    sums: Sequence[tuple[CountingQuery, StatementResult]]
    unwanted: Collection[FieldKey]
    """What was not asked for."""
    time: datetime | None
    """The service's time, None where it does not say."""
    took: timedelta
    """How long the answer took, which the next one may take, too."""


class Poll:
    """The plan of an account, and how far the service has been asked for it."""

    def __init__(
        self,
        session: Session,
        rate: PollRate,
        preference: Preference,
        learned: dict[FieldKey, Learned],
    ) -> None:
        """Ask over `session`, as often as `rate` allows."""
        self._session = session
        self._rate = rate
        self._preference = preference
        self.learned = learned
        self.queries: list[PlannedQuery] = []
        self.descriptions: dict[FieldKey, FieldDescription] = {}
        """What the planned fields are."""
        self.refused: _Refused = {}
        self._planned_for: Nodes | None = None
        self._is_outdated = False
        self._parts = 1
        self._part = 0
        self._rounds = 0
        self._slow_asked_in: int | None = None
        self._is_all_due = True

    def try_again(self) -> None:
        """Read fields from the preferred retention policy again, where that has brought nothing."""
        kept = {key: its for key, its in self.learned.items() if not its.skipped}
        self._is_outdated |= len(kept) < len(self.learned)
        self.learned = kept

    async def async_plan(self, nodes: Nodes) -> None:
        """Plan for other nodes than before, or for what was learned of their fields.

        Between two parts of one plan a new one would make those wait that come last.
        """
        if nodes is not self._planned_for:
            self._planned_for, self._is_outdated = nodes, True
            self._parts, self._part = 1, 0
        elif self._part:
            return
        elif self._rounds >= _TRY_AGAIN_EVERY:
            self._rounds = 0
            self.try_again()
        if not self._is_outdated:
            return
        self.queries = await _off_loop(
            len(nodes.by_id),
            lambda: plan_queries(nodes.by_id.values(), self.learned, self._preference),
        )
        self.descriptions = {
            key: description
            for query in self.queries
            for key, description in zip(query.keys, query.descriptions, strict=True)
        }
        self._is_outdated = False
        # What is read from a slow series from now on has not been asked for
        self._slow_asked_in = None

    def ask_all(self) -> None:
        """Ask for everything at the next poll, also for what is asked for seldom or not at all."""
        self._is_all_due = True

    def planned(self, readings: Mapping[FieldKey, Reading]) -> dict[FieldKey, Reading]:
        """Return the readings of fields that are in the plan, which may have changed since."""
        return {
            key: reading
            for key, reading in readings.items()
            if key in self.descriptions
        }

    async def async_ask(
        self,
        counting: Sequence[CountingQuery],
        unwanted: Collection[FieldKey],
        now: datetime,
    ) -> PollAnswer:
        """Ask in one request; where that is dearer than the whole budget, for a part at a time.

        Nothing is asked of fields that are `unwanted`, and of slow series not at each poll. Raises what
        `Session.query_telemetry` does, but for 422.
        """
        time_slot = int(now.timestamp() // SLOW.total_seconds())
        is_slow_due = self._is_all_due or time_slot != self._slow_asked_in
        if self._is_all_due:
            unwanted = ()
        while True:
            asked: list[PlannedQuery | CountingQuery] = [
                query
                for query in self.queries
                if (is_slow_due or self._parts > 1 or not query.is_slow)
                and not all(key in unwanted for key in query.keys)
            ]
            asked += counting
            if not asked:
                # Or nobody would know whether the service answers
                asked, unwanted = [*self.queries[:1]], ()
            self._parts = min(self._parts, len(asked))
            self._part %= self._parts
            part = asked[self._part :: self._parts]
            queries = await _off_loop(
                len(part), partial(self._encode, part, unwanted, now)
            )
            asked_at = time.monotonic()
            may_merge = True
            try:
                answer = await self._session.query_telemetry(queries)
            except UnprocessableError as err:
                if len(part) > 1:
                    self._parts *= 2
                    continue
                # What cannot be had at all must not keep the others from being asked for
                answer = TelemetryAnswer([StatementResult([], str(err))], QueryCost())
                may_merge = False
            except RateLimitedError:
                if len(queries) > QUERIES_PER_REQUEST:
                    # Together the requests are dearer than the budget; half of them may fit
                    self._parts *= 2
                raise
            break
        self._slow_asked_in, self._is_all_due = time_slot, False
        self._rate.note(answer.cost, self._parts)
        if (
            may_merge
            and self._parts > 1
            and self._rate.fits(2 * (answer.cost.cost or 0))
        ):
            self._parts //= 2
        self._part = (self._part + 1) % self._parts
        self._rounds += self._part == 0
        pairs = list(zip(part, answer.results, strict=True))
        return PollAnswer(
            [(its, result) for its, result in pairs if isinstance(its, PlannedQuery)],
            [(its, result) for its, result in pairs if isinstance(its, CountingQuery)],
            unwanted,
            answer.time,
            timedelta(seconds=time.monotonic() - asked_at),
        )

    def _encode(
        self,
        part: Iterable[PlannedQuery | CountingQuery],
        unwanted: Collection[FieldKey],
        now: datetime,
    ) -> list[TelemetryQuery]:
        # As wanted: a poll that reached back further the slower it is would cost ever more
        wanted = self._rate.wanted
        return [
            query.query(now, wanted, unwanted)
            if isinstance(query, PlannedQuery)
            else query.query()
            for query in part
        ]

    async def async_read(
        self, answer: PollAnswer, known: Mapping[FieldKey, Reading], now: datetime
    ) -> dict[FieldKey, Reading]:
        """Return the readings of an answer, and those of `known` that it did not bring.

        `now` is the time for which the answer was asked.
        """
        readings, learned = await _off_loop(
            len(answer.values), lambda: self._find(answer, known, now)
        )
        self.refused = _note_refusals(
            self.refused, answer, None if self._parts > 1 else self.queries
        )
        self._is_outdated |= bool(learned)
        self.learned |= learned
        return {**known, **readings}

    def _find(
        self, answer: PollAnswer, known: Mapping[FieldKey, Reading], now: datetime
    ) -> tuple[dict[FieldKey, Reading], dict[FieldKey, Learned]]:
        """Return what the results say. Changes nothing, since it may run in a thread."""
        readings: dict[FieldKey, Reading] = {}
        learned: dict[FieldKey, Learned] = {}
        poll = self._rate.interval + answer.took
        now += answer.took
        # Where our clock was set back, what was shown before is not of the future
        latest = max(now, answer.time or now)
        for planned, result in answer.values:
            if result.error is not None:
                # Where one retention policy is refused another may not be
                learned |= {
                    key: Learned(self.learned.get(key, NOTHING_LEARNED).skipped + 1)
                    for key in planned.replaceable
                    if key not in answer.unwanted
                }
                continue
            rows = [row for series in result.series for row in series.rows]
            rows.sort(key=attrgetter("time"), reverse=True)
            is_cut = not planned.is_rare and len(rows) >= planned.limit(poll)
            every = max(poll, SLOW) if planned.is_slow else poll
            least = planned.valid_for(every)
            if planned.is_rare:
                least = max(least, planned.window(self._rate.wanted) + 1.5 * every)
            for key, description in zip(
                planned.keys, planned.descriptions, strict=True
            ):
                if key in answer.unwanted:
                    continue
                before = known.get(key)
                skipped = self.learned.get(key, NOTHING_LEARNED).skipped
                written = (row for row in rows if key.field in row.values)
                row = next(written, None)
                if row is None:
                    if is_cut:
                        learned[key] = Learned(skipped, is_rare=True)
                    elif key in planned.replaceable:
                        learned[key] = Learned(skipped + 1)
                    elif skipped and before is not None:
                        # All in turn until it is back; what was never written is not worth it
                        learned[key] = Learned(1)
                    continue
                moment, is_doubted = row.time, False
                value: FieldValue | None = row.values[key.field]
                if before is not None and moment < before.time <= latest:
                    # Another retention policy has brought what is newer
                    moment, value = before.time, before.value
                    is_doubted = before.is_doubted
                elif (
                    value == 0
                    and before is not None
                    and description.state_class is SensorStateClass.TOTAL_INCREASING
                    and not (before.is_doubted and moment > before.time)
                    and (
                        (older := next(written, None)) is None
                        or older.values[key.field]
                    )
                ):
                    # Statistics would take it for a new meter, and what the next row takes back for energy
                    value, is_doubted = before.value, True
                # At one poll now and then the policy that brings nothing is tried in place of this one
                extra = every if skipped else timedelta()
                if before is not None and before.time == moment:
                    # It is not late: there is none that is newer
                    holds = max(least + extra, before.valid_for)
                else:
                    # It has to last until the next poll has brought a newer one
                    holds = max(least, now - moment + 1.5 * every)
                    if planned.is_rare and before is not None:
                        gap = min(moment - before.time, _LONGEST_GAP)
                        holds = max(holds, 2 * gap)
                    holds += extra
                shown = None if description.accumulates else value
                readings[key] = Reading(moment, shown, holds, is_doubted)
        return readings, learned


type _Refused = dict[tuple[str, SeriesInfo], str]
"""Why the service tells nothing, or nothing that is understood, by node and series."""


def _note_refusals(
    before: _Refused, answer: PollAnswer, others: Iterable[PlannedQuery] | None
) -> _Refused:
    """Return what is refused now. Log each reason when it comes up and when it is gone.

    In one line for however much it is: a whole database may go at a poll. What was refused `before`
    stays so if it is not asked for at this poll, but among `others`, the planned ones; None for all.
    """
    asked: list[tuple[PlannedQuery | CountingQuery, str | None]] = [
        *((query, result.error) for query, result in answer.values),
        *((query, query.problem(result)) for query, result in answer.sums),
    ]
    refused = {
        (query.node_id, query.series): problem for query, problem in asked if problem
    }
    if not refused and not before:
        return refused
    answered = {(query.node_id, query.series) for query, _ in asked}
    planned = {(query.node_id, query.series) for query in others or ()}
    refused |= {
        source: problem
        for source, problem in before.items()
        if source not in answered and (others is None or source in planned)
    }
    for reason in set(refused.values()) - set(before.values()):
        LOGGER.warning("Eniris refuses %s: %s", _summary(refused, reason), reason)
    for reason in set(before.values()) - set(refused.values()):
        LOGGER.info("Eniris answers again for %s", _summary(before, reason))
    return refused


async def _off_loop[R](size: int, function: Callable[[], R]) -> R:
    """Call a function, in a thread if `size` says that it takes long."""
    if size < _OFF_LOOP_FROM:
        return function()
    return await asyncio.to_thread(function)


def _summary(problems: _Refused, reason: str) -> str:
    """Return one of the sources with the same problem, and how many others there are."""
    sources = [source for source, problem in problems.items() if problem == reason]
    (node_id, series), others = sources[0], len(sources) - 1
    text = f"{series.measurement} of node {node_id}"
    return f"{text} and {others} more" if others else text
