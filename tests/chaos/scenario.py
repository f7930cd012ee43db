"""Which faults strike when: all of it from the seed, and nothing of it from what happens."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
import random

from .kind import Deck, Kind

_DISTANCES: dict[Deck, tuple[float, float]] = {
    "service": (0.5, 4.5),
    "machine": (8.0, 16.0),
    "controller": (2.0, 8.0),
}
"""Seconds between one fault of a deck and the next."""


@dataclass(frozen=True)
class Planned:
    """A fault that is to be injected some seconds after the begin."""

    at: float
    kind: Kind
    seconds: float
    seed: int
    """For what the kind itself leaves to chance."""


def plan(kinds: Iterable[Kind], seed: int, seconds: float) -> list[Planned]:
    """Return what happens within so many seconds, ordered by time.

    The kinds of a deck are dealt like cards, so that none is missing for long.
    """
    chance = random.Random(seed)
    all_kinds = list(kinds)
    planned = [
        item
        for deck in _DISTANCES
        for item in _deal(
            [kind for kind in all_kinds if kind.deck == deck], deck, chance, seconds
        )
    ]
    return sorted(planned, key=lambda item: item.at)


def _deal(
    kinds: list[Kind], deck: Deck, chance: random.Random, seconds: float
) -> Iterator[Planned]:
    at = 0.0
    while kinds:
        for kind in chance.sample(kinds, len(kinds)):
            at += chance.uniform(*_DISTANCES[deck])
            if at >= seconds:
                return
            yield Planned(
                at, kind, chance.uniform(*kind.seconds), chance.getrandbits(32)
            )
