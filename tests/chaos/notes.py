"""What is known of a run beside the journal: what happened to it, and what the service has of it."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
import math
from typing import Final

from .exports import DATABASE, EXPORTS, Exported
from .journal import SECOND, Journal, Key, Mark, Value

KILL_COSTS: Final = 2 * SECOND
"""What a kill or a power cut may cost of what was taken last."""


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
class Restore:
    """A backup's outbox in the place of the present one."""

    copied: int
    """When the copying began."""
    at: int

    def explains(self, at: int, slack: int) -> bool:
        """Tell whether a value came too late for the backup, and went with what the backup replaced."""
        return self.copied - slack < at <= self.at


@dataclass
class Ask:
    """A request to send what the recorder has of an export; its range is by the wall clock."""

    measurement: str
    start: int
    end: int
    at: int
    promised: bool = False
    """Whether the integration has answered that it will send this, and not that something like it is under way."""
    void: bool = False
    """Whether the job can have gone with an outbox that was damaged or replaced."""


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
    database: str = DATABASE


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
    restores: list[Restore] = field(default_factory=list)
    refusals: Mapping[str, int] = field(default_factory=dict)
    """The messages of the faults that have refused values, each with how many may be set aside for it.

    What refuses everything, or every value of a field, has them wait; but the value that was tried alone when
    the fault ended has been refused while those beside it are stored.
    """
    asks: list[Ask] = field(default_factory=list)
    recorded: set[Key] = field(default_factory=set)
    """What the recorder has of the exports of the past."""
    past_refusals: int = 0
    """How many values of the past may be refused by faults that ended while they were tried."""
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


def periods_off(marks: Iterable[Mark], switch: str) -> list[Period]:
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
