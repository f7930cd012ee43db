"""What has to be stored of the past that was asked for."""

from collections.abc import Iterator
from typing import Final

from .journal import SECOND, Key, Set
from .notes import Run, Verdict

_OFF: Final = 2 * SECOND
"""By how much a clock may be off that nobody has set."""


def due_of_the_past(run: Run) -> Iterator[Set]:
    """Go through what the recorder has of the ranges that the integration promised to send.

    Without what was set by a clock that was wrong: it may not have been there yet when its time was asked for.
    """
    asks = [ask for ask in run.asks if ask.promised and not ask.void]
    for item in run.journal.values:
        if item.key in run.recorded and any(
            ask.measurement == item.key.measurement
            and ask.start <= item.key.wall < ask.end
            and item.at < ask.at
            and abs(item.key.wall - item.at - run.true_wall) < _OFF
            for ask in asks
        ):
            yield item


def missing_of_the_past(run: Run) -> list[Set]:
    """Return what is due, and neither stored nor set aside."""
    return [
        item
        for item in due_of_the_past(run)
        if item.key not in run.stored and item.key not in run.rejects
    ]


def judge_past(run: Run, verdict: Verdict) -> None:
    """Note what became of what was asked for."""
    verdict.sampled += sum(1 for _ in due_of_the_past(run))
    missing = missing_of_the_past(run)
    if 0 < len(missing) <= run.past_refusals:
        verdict.accounted["of the past, tried when a refusal ended"] += len(missing)
        return
    for item in missing:
        moment = (item.at - run.begin) / SECOND
        verdict.lost.append(f"{moment:.2f} s: {item.key} {item.value} of the past")


def problem_of_past(run: Run, key: Key, following: Set | None) -> str | None:
    """Return what is wrong with a stored value of an export that sends the past alone.

    What held when a range began is part of it, with the time that it has.
    """
    for ask in run.asks:
        if ask.measurement == key.measurement and key.wall <= ask.end:
            if key.wall >= ask.start:
                return None
            if following is None or not key.wall < following.key.wall < ask.start:
                return None
    return "nobody has asked for that time"
