"""The oracle: what has to be stored of what was set, and what may be missing for which reason.

Written from what the export promises, not from how it does it; nothing of the integration is imported.
All times are microseconds: `wall` ones since 1970 by the clock of Home Assistant, which faults set,
the others by the monotonic clock, which is one for all processes and nobody's to set.
"""

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
import math
from pathlib import Path
from typing import Final, NamedTuple

from .exports import EXPORTS, Exported

SECOND: Final = 1_000_000
KILL_COSTS: Final = 2 * SECOND
"""What a kill may cost of what was taken last."""

_HOLDS: Final = 5 * SECOND
"""How long a value can still hold whose successor was set by another clock or process."""

_LONG: Final = 10 * SECOND
"""Longer than a value holds that is set every second, unless the clock was set."""

_SETTLING: Final = 4 * SECOND
"""What is left out at both ends of a time in which all intervals have to be there."""

type Value = float | str


class Key(NamedTuple):
    """Where a value is stored."""

    measurement: str
    field: str
    wall: int


class Set(NamedTuple):
    """A value that a meter took."""

    entity_id: str
    key: Key
    at: int
    value: Value


class Mark(NamedTuple):
    """A change of a config entry's or a switch's state."""

    name: str
    wall: int
    at: int
    state: str


@dataclass(frozen=True)
class Journal:
    """What the meters have written down."""

    values: list[Set]
    entry: list[Mark]
    switches: list[Mark]
    stops: list[int]
    """When the last value of a process that was stopped had been set."""


def read_journal(path: Path, exports: Iterable[Exported] = EXPORTS) -> Journal:
    """Read the meters' journal, whose last line may be torn."""
    fields = {
        entity_id: (export.measurement, name)
        for export in exports
        for entity_id, name in export.fields.items()
    }
    journal = Journal([], [], [], [])
    for line in path.read_text("ascii", "replace").splitlines():
        parts = line.split(" ", 4)
        if len(parts) != 5:
            continue
        kind, name, wall, at, text = parts
        if kind == "value":
            value: Value = float(text) if "_power_" in name else f"word{text}"
            key = Key(*fields[name], int(wall))
            journal.values.append(Set(name, key, int(at), value))
        elif kind in ("entry", "entity"):
            marks = journal.entry if kind == "entry" else journal.switches
            marks.append(Mark(name, int(wall), int(at), text))
        elif kind == "stop":
            journal.stops.append(int(at))
    return journal


@dataclass
class Life:
    """One process, from its start to its end."""

    start: int
    end: int | None = None
    killed: bool = False


@dataclass
class Period:
    """A time in which something was out of order."""

    start: int
    end: int | None = None

    def reaches(self, at: int, slack: int = 0) -> bool:
        """Tell whether it was so at a moment, or not longer ago than `slack`."""
        return self.start <= at and (self.end is None or at <= self.end + slack)


@dataclass
class Damage:
    """Damage to the outbox: what waited in it, and when the integration set it aside."""

    at: int
    waiting: set[Key]
    noticed: int | None = None

    def explains(self, key: Key, at: int) -> bool:
        """Tell whether a value was in the damaged file or in what was still written to it."""
        if key in self.waiting:
            return True
        end = math.inf if self.noticed is None else self.noticed + KILL_COSTS
        return self.at - KILL_COSTS <= at <= end


@dataclass(frozen=True)
class Reject:
    """A value that the integration set aside, with its reason."""

    value: Value
    reason: str


@dataclass(frozen=True)
class Stored:
    """A value that the service has, with where it has it."""

    value: object
    retention_policy: str
    tags: Mapping[str, str]


@dataclass
class Run:
    """All that is known of a run."""

    journal: Journal
    begin: int
    """From when on everything counts."""
    end: int
    lives: list[Life]
    true_wall: int
    """What is added to a monotonic time for the true one since 1970."""
    stored: Mapping[Key, Stored]
    rejects: Mapping[Key, Reject]
    tags: Mapping[str, str]
    disk: list[Period] = field(default_factory=list)
    """When nothing could be put on the disk."""
    damages: list[Damage] = field(default_factory=list)
    clock_set: list[int] = field(default_factory=list)
    refusals: set[str] = field(default_factory=set)
    """The messages of the faults that have refused values for good."""
    switches: Mapping[str, str] = field(default_factory=dict)
    """The switch of an export by its measurement."""
    exports: tuple[Exported, ...] = EXPORTS


@dataclass
class Verdict:
    """What became of everything."""

    sampled: int = 0
    stored: int = 0
    rejected: int = 0
    accounted: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


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
            item.key: following.at
            for items in self._by_field().values()
            for item, following in pairwise(items)
        }
        """When the next value of the same meter was set."""
        self._ats = [item.at for item in run.journal.values]
        self._walls = sorted((item.key.wall, item.at) for item in run.journal.values)
        self._spans = list(self._find_spans())
        self._span_starts = [span.start for span in self._spans]
        self._in_memory = list(self._find_in_memory())
        self._off = {
            measurement: _periods(run.journal.switches, switch)
            for measurement, switch in run.switches.items()
        }

    def judge(self) -> Verdict:
        """Return what became of everything."""
        verdict = Verdict(stored=len(self._run.stored), rejected=len(self._run.rejects))
        holds = {
            name: _Holds(items, self._run.lives)
            for name, items in self._by_field().items()
        }
        self._find_wrong(verdict, holds)
        for item, counts_from in self._due():
            verdict.sampled += 1
            self._account(verdict, item.key, (item.at, counts_from), str(item.value))
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
            ends = self._ends_in_memory(span)
            if any(
                period.reaches(end) and at >= period.start - KILL_COSTS
                for period in self._in_memory
                for end in ends
            ):
                return "in memory without a disk at the end of a process"
        if any(damage.explains(key, at) for damage in self._run.damages):
            return "in a damaged outbox"
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
        self, verdict: Verdict, holds: Mapping[tuple[str, str], "_Holds"]
    ) -> None:
        for key, stored in self._run.stored.items():
            export = self._by_measurement.get(key.measurement)
            if export is None:
                verdict.wrong.append(f"{key}: nobody exports that")
            elif (stored.retention_policy, dict(stored.tags)) != (
                export.retention_policy,
                dict(self._run.tags),
            ):
                verdict.wrong.append(f"{key}: stored in another series, {stored}")
            elif (
                problem := self._problem(key, stored.value, export, holds)
            ) is not None:
                verdict.wrong.append(f"{key} = {stored.value!r}: {problem}")
        for key, reject in self._run.rejects.items():
            export = self._by_measurement.get(key.measurement)
            if export is None:
                verdict.wrong.append(f"{key}: refused, but nobody exports that")
            elif (
                problem := self._problem(key, reject.value, export, holds)
            ) is not None:
                verdict.wrong.append(f"{key} = {reject.value!r}, refused: {problem}")
            elif not self._is_right(key, reject.reason):
                verdict.wrong.append(f"{key}: set aside for no reason, {reject.reason}")

    def _problem(
        self,
        key: Key,
        value: object,
        export: Exported,
        holds: Mapping[tuple[str, str], "_Holds"],
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
        until = self._next.get(item.key, self._run.end)
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
        if "outside the allowed time range" not in reason:
            return False
        # An interval's time is one that the clock showed at about the same moment
        first = bisect_left(self._walls, (key.wall - _HOLDS, 0))
        last = bisect_right(self._walls, (key.wall + _HOLDS, 0))
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


class _Holds:
    """For how long each value of a field held, by the wall clock."""

    def __init__(self, items: list[Set], lives: list[Life]) -> None:
        """Take a field's values in the order in which they were set."""
        starts = [life.start for life in lives]
        self._held: dict[Value, list[tuple[int, int]]] = {}
        for item, following in zip(items, [*items[1:], None], strict=True):
            begin = item.key.wall
            held = [(begin, begin + _HOLDS)]
            if following is None and lives[-1].end is None:
                # Nothing is set any more, and it holds on
                held = [(begin, begin + 100 * _HOLDS)]
            elif following is not None and bisect_right(
                starts, item.at
            ) == bisect_right(starts, following.at):
                end = following.key.wall
                lasted = following.at - item.at
                held = [(begin, end)]
                if abs(end - begin - lasted) > SECOND // 2:
                    # The clock was set in between: it held for a while by either
                    held = [(begin, begin + lasted), (end - lasted, end)]
                    if end > begin:
                        held.append((begin, end))
            self._held[item.value] = held
        self._sorted = sorted(
            (begin, end, value)
            for value, held in self._held.items()
            for begin, end in held
        )
        self._long = [item for item in self._sorted if item[1] - item[0] > _LONG]

    def problem_of_last(self, wall: int, value: object) -> str | None:
        """Return what is wrong with a value as the last one at a time."""
        if not isinstance(value, float | str) or value not in self._held:
            return "was never set"
        held = self._held[value]
        if not any(begin <= wall <= end + SECOND // 5 for begin, end in held):
            return f"held at {held} alone"
        return None

    def problem_of_mean(self, wall: int, length: int, value: object) -> str | None:
        """Return what is wrong with a value as the mean of an interval."""
        last = bisect_right(self._sorted, (wall + length, 0, ""))
        first = bisect_left(self._sorted, (wall - _LONG, 0, ""))
        within = [
            held
            for begin, end, held in [*self._sorted[first:last], *self._long]
            if begin <= wall + length and end >= wall and isinstance(held, float)
        ]
        if not within or not isinstance(value, float):
            return "nothing was set in that interval"
        low, high = min(within), max(within)
        if not low * (1 - 1e-9) <= value <= high * (1 + 1e-9):
            return f"outside of {low} to {high}"
        return None


def _periods(marks: Iterable[Mark], switch: str) -> list[Period]:
    """Return the times in which a switch was off; where it is not available it stays as it was."""
    periods: list[Period] = []
    for mark in marks:
        if mark.name != switch:
            continue
        is_open = bool(periods) and periods[-1].end is None
        if mark.state == "off" and not is_open:
            periods.append(Period(mark.at))
        elif mark.state == "on" and is_open:
            periods[-1].end = mark.at
    return periods


def same(one: object, other: object) -> bool:
    """Tell whether two values are the same, up to the last digits of a conversion."""
    if type(one) is not type(other):
        return False
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-9)
    return one == other
