"""The oracle: what has to be stored of what was set, and what may be missing for which reason.

Written from what the export promises, not from how it does it; nothing of the integration is imported.
"""

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from operator import attrgetter
from typing import Final

from .exports import Exported
from .holds import HOLDS, Holds
from .journal import SECOND, Key, Set, same
from .notes import KILL_COSTS, Life, Period, Run, Verdict, periods_off
from .past import judge_past, problem_of_past

_SETTLING: Final = 4 * SECOND
"""What is left out at both ends of a time in which all intervals have to be there."""

_TOO_FAR_AHEAD: Final = 3600 * SECOND
"""The service takes no times beyond."""

_TIME_RANGE: Final = "outside the allowed time range"


@dataclass(frozen=True)
class _Span:
    """A time in which the exports were carried out without interruption."""

    start: int
    end: int
    how: str
    """What ended it: `killed`, `stopped`, `unloaded`, or `open`."""


class Judge:
    """Judges one run."""

    def __init__(self, run: Run) -> None:
        """Arrange what is known."""
        self._run = run
        self._by_measurement = {export.measurement: export for export in run.exports}
        self._set = {item.key: item for item in run.journal.values}
        self._next = {
            item.key: following
            for items in self._by_field().values()
            for item, following in pairwise(items)
        }
        """The next value of the same meter."""
        self._ats = [item.at for item in run.journal.values]
        self._walls = sorted((item.key.wall, item.at) for item in run.journal.values)
        self._spans = list(self._find_spans())
        self._span_starts = [span.start for span in self._spans]
        self._in_memory = list(self._find_in_memory())
        self._off = {
            measurement: periods_off(run.journal.switches, switch)
            for measurement, switch in run.switches.items()
        }

    def judge(self) -> Verdict:
        """Return what became of everything."""
        verdict = Verdict(stored=len(self._run.stored), rejected=len(self._run.rejects))
        holds = {
            name: Holds(items, self._run.lives)
            for name, items in self._by_field().items()
        }
        self._find_wrong(verdict, holds)
        for item, counts_from in self._due():
            verdict.sampled += 1
            self._account(verdict, item.key, (item.at, counts_from), str(item.value))
        judge_past(self._run, verdict)
        for export in self._run.exports:
            if export.interval is not None:
                self._find_missing_intervals(verdict, export)
            elif export.shortest:
                self._find_gaps(verdict, export)
        return verdict

    def _by_field(self) -> dict[tuple[str, str], list[Set]]:
        found: dict[tuple[str, str], list[Set]] = {}
        for item in self._run.journal.values:
            found.setdefault(item.key[:2], []).append(item)
        return found

    def _find_spans(self) -> Iterator[_Span]:
        for life in self._run.lives:
            end = self._run.end if life.end is None else life.end
            if not life.killed:
                stops = [
                    at for at in self._run.journal.stops if life.start <= at <= end
                ]
                end = min([end, *stops])
            how = "open" if life.end is None else "killed" if life.killed else "stopped"
            since: int | None = None
            for mark in self._run.journal.entry:
                if not life.start <= mark.at <= end:
                    continue
                if mark.state == "loaded":
                    since = mark.at if since is None else since
                elif since is not None:
                    yield _Span(since, mark.at, "unloaded")
                    since = None
            if since is not None:
                yield _Span(since, end, how)

    def _find_in_memory(self) -> Iterator[Period]:
        """Go through the times in which samples can be in memory alone.

        After the disk is in order they are until the account was loaded for long enough.
        """
        current: Period | None = None
        for period in sorted(self._run.disk, key=lambda period: period.start):
            end = None
            if period.end is not None:
                cleared = period.end
                end = min(
                    (
                        max(span.start, cleared) + KILL_COSTS
                        for span in self._spans
                        if span.end - max(span.start, cleared) >= KILL_COSTS
                    ),
                    default=None,
                )
            if current is not None and current.reaches(period.start):
                current.end = end
                continue
            current = Period(period.start, end)
            yield current

    @cached_property
    def _clock(self) -> int:
        """What the wall clock is ahead of the other one before any fault sets it."""
        first = min(self._run.journal.values, key=attrgetter("at"))
        return first.key.wall - first.at

    def _span_of(self, at: int) -> _Span | None:
        index = bisect_right(self._span_starts, at) - 1
        if index >= 0 and at <= self._spans[index].end:
            return self._spans[index]
        return None

    def _life_of(self, at: int) -> Life | None:
        for life in self._run.lives:
            if life.start <= at and (life.end is None or at <= life.end):
                return life
        return None

    def _is_off(self, measurement: str, at: int) -> bool:
        return any(period.reaches(at) for period in self._off.get(measurement, ()))

    def _due(self) -> Iterator[tuple[Set, int]]:
        """Go through the values that have to be stored, each with when it was sampled at the latest.

        While an account is loaded, that is every value; of what was set while it was not, the
        last of each meter, which is still there when it is loaded again.
        """
        last: dict[str, tuple[Set, int]] = {}
        for item in self._run.journal.values:
            export = self._by_measurement[item.key.measurement]
            if (
                not export.every_value
                or not self._run.begin <= item.at <= self._run.end
            ):
                continue
            counts_from = item.at
            if self._span_of(item.at) is None:
                index = bisect_left(self._span_starts, item.at)
                if index == len(self._spans):
                    continue
                counts_from = self._span_starts[index]
                if self._life_of(item.at) is not self._life_of(counts_from):
                    continue
            if self._is_off(item.key.measurement, item.at) or self._is_off(
                item.key.measurement, counts_from
            ):
                continue
            if counts_from == item.at:
                yield item, item.at
            else:
                last[f"{item.entity_id} {counts_from}"] = (item, counts_from)
        yield from last.values()

    def _account(
        self, verdict: Verdict, key: Key, moments: tuple[int, ...], value: str
    ) -> None:
        """Note what became of a value that was due."""
        if key in self._run.stored or key in self._run.rejects:
            return
        for at in moments:
            if (reason := self._excuse(key, at)) is not None:
                verdict.accounted[reason] += 1
                return
        moment = (moments[0] - self._run.begin) / SECOND
        verdict.lost.append(f"{moment:.2f} s: {key} {value}")

    def _excuse(self, key: Key, at: int) -> str | None:
        span = self._span_of(at)
        if span is not None:
            costs = KILL_COSTS + self._stall(span.end)
            if span.how == "killed" and at > span.end - costs:
                return "just before a kill"
            if any(
                restore.explains(at, KILL_COSTS + self._stall(restore.copied))
                for restore in self._run.restores
            ):
                return "restored to the time of the backup"
            ends = self._ends_in_memory(span)
            if any(
                period.reaches(end) and at >= period.start - KILL_COSTS
                for period in self._in_memory
                for end in ends
            ):
                return "in memory without a disk at the end of a process"
        if any(damage.explains(key, at) for damage in self._run.damages):
            return "in a damaged outbox"
        if key.wall - at - self._clock > _TOO_FAR_AHEAD:
            # The service refuses each for its time, and of what is refused the newest thousand are kept
            return "sampled by a clock that was too far ahead"
        return None

    def _ends_in_memory(self, span: _Span) -> list[int]:
        """Return when what a span has left in memory alone was gone: with the process.

        That is as of the span's end where the account was never set up again in it.
        """
        life = self._life_of(span.start)
        if life is None or life.end is None:
            return []
        if any(span.end < later.start <= life.end for later in self._spans):
            return [life.end]
        return [span.end, life.end]

    def _stall(self, end: int) -> int:
        """Return for how long Home Assistant was held up at most shortly before a moment."""
        last = bisect_right(self._ats, end)
        first = bisect_left(self._ats, end - 2 * KILL_COSTS)
        moments = [*self._ats[first:last], end]
        return max(
            (after - before for before, after in pairwise(moments)),
            default=0,
        )

    def _find_wrong(
        self, verdict: Verdict, holds: Mapping[tuple[str, str], Holds]
    ) -> None:
        for key, stored in self._run.stored.items():
            export = self._by_measurement.get(key.measurement)
            if export is None:
                verdict.wrong.append(f"{key}: nobody exports that")
            elif (stored.database, stored.retention_policy, dict(stored.tags)) != (
                export.database,
                export.retention_policy,
                dict(self._run.tags),
            ):
                verdict.wrong.append(f"{key}: stored in another series, {stored}")
            elif (
                problem := self._problem(key, stored.value, export, holds)
            ) is not None:
                verdict.wrong.append(f"{key} = {stored.value!r}: {problem}")
        refused: Counter[str] = Counter()
        for key, reject in self._run.rejects.items():
            refused.update(
                message for message in self._run.refusals if message in reject.reason
            )
            export = self._by_measurement.get(key.measurement)
            if export is None:
                verdict.wrong.append(f"{key}: refused, but nobody exports that")
            elif not self._is_right(key, reject.reason):
                verdict.wrong.append(f"{key}: set aside for no reason, {reject.reason}")
            elif (
                problem := self._problem(key, reject.value, export, holds)
            ) is not None and not (
                # To a clock that is days ahead what was set a moment ago is old, and sent with its present time
                _TIME_RANGE in reject.reason
                and key[:2] in holds
                and holds[key[:2]].was_set(reject.value)
            ):
                verdict.wrong.append(f"{key} = {reject.value!r}, refused: {problem}")
        for message, count in refused.items():
            if count > (most := self._run.refusals[message]):
                verdict.wrong.append(
                    f"{count} values set aside, of which {most} may be and all others wait: {message}"
                )

    def _problem(
        self,
        key: Key,
        value: object,
        export: Exported,
        holds: Mapping[tuple[str, str], Holds],
    ) -> str | None:
        """Return what is wrong with a value at a time, None where it is right."""
        known = holds.get(key[:2])
        if known is None:
            return "nothing was ever set"
        if export.interval is not None:
            length = round(export.interval.total_seconds() * SECOND)
            if key.wall % length:
                return "not at an interval's time"
            return (
                known.problem_of_last(key.wall, value)
                if export.aggregate == "last"
                else known.problem_of_mean(key.wall, length, value)
            )
        item = self._set.get(key)
        if item is not None:
            if not same(item.value, value):
                return f"{item.value!r} was set"
            if export.past:
                return problem_of_past(self._run, key, self._next.get(key))
            return self._problem_of_switch(item)
        for mark in self._run.journal.switches:
            # What an entity has when its export is switched on counts from then on
            if (
                mark.name == self._run.switches.get(key.measurement)
                and mark.state == "on"
                and abs(mark.wall - key.wall) < SECOND
            ):
                return known.problem_of_last(key.wall, value)
        return "nothing was set at that time"

    def _problem_of_switch(self, item: Set) -> str | None:
        """Return what is wrong with a value that was set while its export was switched off."""
        slack = SECOND // 10
        measurement = item.key.measurement
        if not (
            self._is_off(measurement, item.at - slack)
            and self._is_off(measurement, item.at + slack)
        ):
            return None
        # What an entity has when the account is set up counts with the time that it has
        following = self._next.get(item.key)
        until = self._run.end if following is None else following.at
        if any(
            item.at <= span.start <= until and not self._is_off(measurement, span.start)
            for span in self._spans
        ):
            return None
        return "collected while switched off"

    def _is_right(self, key: Key, reason: str) -> bool:
        """Tell whether a value was refused as it should be."""
        if any(message in reason for message in self._run.refusals):
            return True
        if _TIME_RANGE not in reason:
            return False
        # An interval's time is one that the clock showed at about the same moment
        first = bisect_left(self._walls, (key.wall - HOLDS, 0))
        last = bisect_right(self._walls, (key.wall + HOLDS, 0))
        return any(
            abs(wall - at - self._run.true_wall) > 1800 * SECOND
            for wall, at in self._walls[first:last]
        )

    def _steady(self) -> Iterator[tuple[int, int]]:
        """Go through the times in which nothing interrupted the exports or set the clock."""
        for span in self._spans:
            cuts = [at for at in self._run.clock_set if span.start < at < span.end]
            edges = [span.start, *cuts, span.end]
            for start, end in pairwise(edges):
                first = max(start + _SETTLING, self._run.begin + _SETTLING)
                last = min(end, self._run.end) - _SETTLING
                if first < last:
                    yield first, last

    def _find_missing_intervals(self, verdict: Verdict, export: Exported) -> None:
        assert export.interval is not None
        length = round(export.interval.total_seconds() * SECOND)
        for first, last in self._steady():
            index = bisect_left(self._ats, first)
            if index == len(self._ats):
                continue
            item = self._run.journal.values[index]
            offset = item.key.wall - item.at
            end = -(-(first + length + offset) // length) * length
            while end <= last + offset:
                wall = end if export.aggregate == "last" else end - length
                for name in export.fields.values():
                    verdict.sampled += 1
                    key = Key(export.measurement, name, wall)
                    self._account(verdict, key, (end - offset,), "of an interval")
                end += length

    def _find_gaps(self, verdict: Verdict, export: Exported) -> None:
        """Look for times in which more values are missing than a shortest distance leaves out."""
        distance = round(export.shortest.total_seconds() * SECOND)
        for items in self._by_field().values():
            if items[0].key.measurement != export.measurement:
                continue
            ats = [item.at for item in items]
            for first, last in self._steady():
                since = first
                for item in items[bisect_left(ats, first) : bisect_right(ats, last)]:
                    excused = self._excuse(item.key, item.at) is not None
                    if (
                        excused
                        or item.key in self._run.stored
                        or item.key in self._run.rejects
                    ):
                        since = item.at
                        verdict.sampled += not excused
                    elif item.at - since > 2 * distance + 2 * SECOND + 2 * self._stall(
                        item.at
                    ):
                        moment = (item.at - self._run.begin) / SECOND
                        verdict.lost.append(f"{moment:.2f} s: {item.key} and before it")
                        since = item.at
