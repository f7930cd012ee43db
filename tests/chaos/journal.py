"""What the meters have written down of a run.

All times are microseconds: `wall` ones since 1970 by the clock of Home Assistant, which faults set,
the others by the monotonic clock, which is one for all processes and nobody's to set.
"""

from collections.abc import Iterable
from dataclasses import dataclass
import math
from pathlib import Path
from typing import Final, NamedTuple

from .exports import EXPORTS, Exported

SECOND: Final = 1_000_000

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


def same(one: object, other: object) -> bool:
    """Tell whether two values are the same, up to the last digits of a conversion."""
    if type(one) is not type(other):
        return False
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-9)
    return one == other
