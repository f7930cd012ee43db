"""One poll of an account: what is asked of the service, in how many parts, and what the answers say."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
import math
import time
from typing import Final

from homeassistant.core import HomeAssistant

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
from .budget.poll_rate import PollRate
from .catalogue import FieldDescription
from .energy import CountingQuery
from .nodes import Nodes
from .plan import FieldKey, PlannedQuery, Preference, plan_queries

_OFF_LOOP_FROM: Final = 50
"""Queries from which a thread does what would hold the event loop."""

_LONGEST_GAP: Final = timedelta(hours=1)
"""Two values of a field further apart have an outage between them rather than a rhythm."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A value as the service stored it, and when; None in place of energy that totals add up."""

    time: datetime
    value: FieldValue | None
    valid_for: timedelta
    """How old the reading may become before it says nothing of the present."""


@dataclass(slots=True)
class Learned:
    """What earlier answers have shown of fields, which the plan heeds."""

    rare: set[tuple[FieldKey, str]] = field(default_factory=set)
    """Fields that a few rows under a retention policy do not show."""
    tried: dict[FieldKey, int] = field(default_factory=dict)
    """How many retention policies of a field have brought nothing."""


@dataclass(frozen=True, slots=True)
class PollAnswer:
    """Queries of one part of the plan, and sums for totals, each with its results."""

    part: Sequence[PlannedQuery]
    results: Sequence[StatementResult]
    counting: Sequence[CountingQuery]
    sums: Sequence[StatementResult]
    time: datetime | None
    """The service's time, None where it does not say."""
    took: timedelta
    """How long the answer took, which the next one may take, too."""


@dataclass(slots=True)
class _Found:
    """What the results of a poll say."""

    readings: dict[FieldKey, Reading] = field(default_factory=dict)
    rare: list[tuple[FieldKey, str]] = field(default_factory=list)
    tried: dict[FieldKey, int] = field(default_factory=dict)
    refused: dict[PlannedQuery, str] = field(default_factory=dict)


class Poll:
    """The plan of an account, and how far the service has been asked for it."""

    def __init__(
        self,
        hass: HomeAssistant,
        session: Session,
        rate: PollRate,
        preference: Preference,
        learned: Learned,
    ) -> None:
        """Ask over `session`, as often as `rate` allows."""
        self._hass = hass
        self._session = session
        self._rate = rate
        self._preference = preference
        self.learned = learned
        self.queries: list[PlannedQuery] = []
        self.descriptions: dict[FieldKey, FieldDescription] = {}
        """What the planned fields are."""
        self.refused: set[PlannedQuery] = set()
        self._planned_for: Nodes | None = None
        self._is_outdated = False
        self._parts = 1
        self._part = 0
        self._dearest = 0.0
        """Tokens of the dearest part since everything was read the last time."""
        self._rounds = 0

    def try_again(self, after: int = 0) -> None:
        """Read fields from the preferred retention policy again, where that has brought nothing.

        Everything has to be read `after` times before, so that the others have their turn, if there
        are others that have not brought nothing.
        """
        again = set(self.learned.tried)
        if self._rounds < after:
            again.difference_update(*(query.replaceable for query in self.queries))
        else:
            self._rounds = 0
        for key in again:
            del self.learned.tried[key]
        self._is_outdated |= bool(again)

    async def async_plan(self, nodes: Nodes) -> None:
        """Plan for other nodes than before, or for what was learned of their fields.

        Between two parts of one plan a new one would make those wait that come last.
        """
        if nodes is not self._planned_for:
            self._planned_for = nodes
            self._parts, self._part, self._dearest = 1, 0, 0.0
        elif not self._is_outdated or self._part:
            return
        self.queries = await self._off_loop(
            len(nodes.by_id),
            lambda: plan_queries(
                nodes.by_id.values(),
                self.learned.rare,
                self.learned.tried,
                self._preference,
            ),
        )
        self.descriptions = {
            key: description
            for query in self.queries
            for key, description in zip(query.keys, query.descriptions, strict=True)
        }
        self.refused.intersection_update(self.queries)
        self._is_outdated = False

    def planned(self, readings: Mapping[FieldKey, Reading]) -> dict[FieldKey, Reading]:
        """Return the readings of fields that are in the plan, which may have changed since."""
        return {
            key: reading
            for key, reading in readings.items()
            if key in self.descriptions
        }

    async def async_ask(
        self, counting: Sequence[CountingQuery], now: datetime
    ) -> PollAnswer:
        """Ask in one request; where that is dearer than the whole budget, for a part at a time.

        Raises what `Session.query_telemetry` does, but for 422.
        """
        while True:
            part = self.queries[self._part :: self._parts]
            sums = self._counting_part(counting)
            queries = await self._off_loop(
                len(part),
                partial(self._encode, part, sums, now),
            )
            asked_at = time.monotonic()
            try:
                answer = await self._session.query_telemetry(queries)
            except UnprocessableError as err:
                if self._parts < len(self.queries) + len(counting):
                    self._parts *= 2
                    continue
                # What cannot be had at all must not keep the others from being asked for
                refused = StatementResult([], str(err))
                answer = TelemetryAnswer([refused] * len(queries), QueryCost())
                self._dearest = math.inf
            except RateLimitedError:
                if len(queries) > QUERIES_PER_REQUEST:
                    # Together the requests are dearer than the budget; half of them may fit
                    self._parts *= 2
                raise
            self._next_part(answer.cost)
            results = answer.results
            return PollAnswer(
                part,
                results[: len(part)],
                sums,
                results[len(part) :],
                answer.time,
                timedelta(seconds=time.monotonic() - asked_at),
            )

    def _encode(
        self, part: Sequence[PlannedQuery], sums: Sequence[CountingQuery], now: datetime
    ) -> list[TelemetryQuery]:
        # As wanted: a poll that reached back further the slower it is would cost ever more
        wanted = self._rate.wanted
        return [
            *(planned.query(now, wanted) for planned in part),
            *(query.query() for query in sums),
        ]

    def _counting_part(self, counting: Iterable[CountingQuery]) -> list[CountingQuery]:
        """Return what is counted with the part that is asked for: a series always with the same."""
        numbers: dict[tuple[str, SeriesInfo], int] = {}
        return [
            query
            for query in counting
            if numbers.setdefault((query.node_id, query.series), len(numbers))
            % self._parts
            == self._part
        ]

    def _next_part(self, cost: QueryCost) -> None:
        """Go on to the next part, and merge parts two by two while they fit the budget."""
        self._rate.note(cost, self._parts)
        self._dearest = max(self._dearest, cost.cost or 0)
        self._part = (self._part + 1) % self._parts
        self._rounds += self._part == 0
        is_unlimited = cost.cost is not None and self._rate.per_minute is None
        if self._part == 0 or is_unlimited:
            if self._parts > 1 and self._rate.fits(2 * self._dearest):
                self._parts, self._part = self._parts // 2, 0
            self._dearest = 0.0

    async def async_read(
        self, answer: PollAnswer, known: Mapping[FieldKey, Reading], now: datetime
    ) -> dict[FieldKey, Reading]:
        """Return the readings of an answer, and those of `known` that it did not bring.

        `now` is the time for which the answer was asked.
        """
        found = await self._off_loop(
            len(answer.part), lambda: self._find(answer, known, now)
        )
        self._note_refusals(answer.part, found.refused)
        self.learned.rare.update(found.rare)
        self.learned.tried.update(found.tried)
        self._is_outdated |= bool(found.rare or found.tried)
        return {**known, **found.readings}

    def _find(
        self, answer: PollAnswer, known: Mapping[FieldKey, Reading], now: datetime
    ) -> _Found:
        """Return what the results say. Changes nothing, since it may run in a thread."""
        found = _Found()
        tried = self.learned.tried
        value: FieldValue | None
        poll = self._rate.interval + answer.took
        now += answer.took
        # Where our clock was set back, what was shown before is not of the future
        latest = max(now, answer.time or now)
        for planned, result in zip(answer.part, answer.results, strict=True):
            if result.error is not None:
                found.refused[planned] = result.error
                continue
            newest = _newest(result)
            rows = sum(len(series.rows) for series in result.series)
            is_cut = not planned.is_rare and rows >= planned.limit(self._rate.wanted)
            holds = planned.valid_for(poll)
            for key, description in zip(
                planned.keys, planned.descriptions, strict=True
            ):
                if key.field in newest:
                    moment, value = newest[key.field]
                    before = known.get(key)
                    if before is not None and moment < before.time <= latest:
                        # Another retention policy has brought what is newer
                        moment, value = before.time, before.value
                    found.readings[key] = Reading(
                        moment,
                        None if description.accumulates else value,
                        self._holds(key, planned, moment, before, now, poll)
                        if planned.is_rare or now - moment > poll / 2
                        else holds,
                    )
                elif is_cut:
                    found.rare.append((key, planned.series.retention_policy))
                elif key in planned.replaceable:
                    found.tried[key] = tried.get(key, 0) + 1
                elif key in tried and key in known:
                    # All in turn until it is back; what was never written is not worth it
                    found.tried[key] = 1
        return found

    def _holds(
        self,
        key: FieldKey,
        planned: PlannedQuery,
        moment: datetime,
        before: Reading | None,
        now: datetime,
        poll: timedelta,
    ) -> timedelta:
        """Return how old a value may become that is late or one of few.

        `poll` is the time between two polls, and what the answer took.

        It has to last until the next poll has brought a newer one. One that is the same as
        before is not late: there is none that is newer.
        """
        is_same = before is not None and before.time == moment
        holds = planned.valid_for(poll)
        if not is_same:
            holds = max(holds, now - moment + 1.5 * poll)
        if planned.is_rare:
            gap = moment - before.time if before is not None else timedelta()
            window = planned.window(self._rate.wanted)
            holds = max(holds, window + 1.5 * poll, 2 * min(gap, _LONGEST_GAP))
        if key in self.learned.tried:
            # At one poll now and then the policy that brings nothing is tried in place of this one
            holds += poll
        return max(holds, before.valid_for) if before and is_same else holds

    def _note_refusals(
        self, part: Iterable[PlannedQuery], refused: Mapping[PlannedQuery, str]
    ) -> None:
        """Log that the service refuses queries, a line when that starts and one when it ends.

        However many there are at once: a whole database may go at a poll.
        """
        began = [query for query in refused if query not in self.refused]
        ended = [
            query for query in part if query in self.refused and query not in refused
        ]
        self.refused.update(began)
        self.refused.difference_update(ended)
        if began:
            LOGGER.warning("Eniris refuses %s: %s", _summary(began), refused[began[0]])
        if ended:
            LOGGER.info("Eniris answers again for %s", _summary(ended))

    async def _off_loop[R](self, size: int, function: Callable[[], R]) -> R:
        """Call a function, in a thread if `size` says that it takes long."""
        if size < _OFF_LOOP_FROM:
            return function()
        return await self._hass.async_add_executor_job(function)


def _summary(queries: Sequence[PlannedQuery]) -> str:
    """Return what is read by the first of some queries, and how many others there are."""
    first, others = queries[0], len(queries) - 1
    text = f"{first.series.measurement} of node {first.node_id}"
    return f"{text} and {others} more" if others else text


def _newest(result: StatementResult) -> dict[str, tuple[datetime, FieldValue]]:
    """Return time and value of the newest value of each field of an answer."""
    if len(result.series) == 1:
        return result.series[0].newest()
    newest: dict[str, tuple[datetime, FieldValue]] = {}
    for series in result.series:
        for name, (moment, value) in series.newest().items():
            if name not in newest or moment > newest[name][0]:
                newest[name] = (moment, value)
    return newest
