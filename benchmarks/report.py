"""Figures and the table that shows them: what was measured, beside what, and whether it is good enough.

A benchmark is a module with a function that returns figures, and ends in `report.main(measure, __doc__)`. It can
be run by itself (`python -m benchmarks.listener`) or with the others by `scripts/benchmark`, each in a process of its own.
"""

from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
import json
from pathlib import Path
import statistics
from typing import Any, Literal, Self

REPETITIONS = 5


@dataclass(frozen=True, slots=True)
class Goal:
    """A bound for the ratio to the alternative or, where there is none, for the figure itself."""

    relation: Literal["≤", "≥"]
    bound: float

    def is_met_by(self, value: float) -> bool:
        """Tell whether a value keeps to it."""
        return value <= self.bound if self.relation == "≤" else value >= self.bound


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table.

    `runs` has what each repetition measured, in `unit`; `other_runs` what the alternative `beside` it took in the same
    repetition, so that the two of a place were measured under the same load. Medians are shown.
    """

    what: str
    unit: str
    runs: tuple[float, ...]
    beside: str = ""
    other_runs: tuple[float, ...] = ()
    goal: Goal | None = None

    @property
    def median(self) -> float:
        """What was measured."""
        return statistics.median(self.runs)

    @property
    def other_median(self) -> float | None:
        """What was measured of the alternative."""
        return statistics.median(self.other_runs) if self.other_runs else None

    @property
    def ratio(self) -> float | None:
        """The median of the repetitions' ratios to the alternative; what costs no more than the noise has none."""
        pairs = list(zip(self.runs, self.other_runs, strict=False))
        ratios = [one / other for one, other in pairs if other > 0]
        return statistics.median(ratios) if ratios else None

    @property
    def verdict(self) -> str:
        """Whether the goal is met, in a word; nothing where there is none."""
        if self.goal is None:
            return ""
        if self.other_runs and self.ratio is None:
            return "not measurable"
        value = self.median if self.ratio is None else self.ratio
        return "met" if self.goal.is_met_by(value) else "MISSED"

    def as_json(self) -> dict[str, Any]:
        """Return what `from_json` takes."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """Return the figure that another process has written down."""
        goal = data["goal"]
        return cls(
            what=data["what"],
            unit=data["unit"],
            runs=tuple(data["runs"]),
            beside=data["beside"],
            other_runs=tuple(data["other_runs"]),
            goal=None if goal is None else Goal(**goal),
        )


@dataclass(frozen=True, slots=True)
class Effort:
    """How much to measure: how often, and how much of the full size (1.0) each time."""

    repetitions: int = REPETITIONS
    scale: float = 1.0

    def size(self, full: int, least: int = 1) -> int:
        """Return a size, scaled."""
        return max(least, round(full * self.scale))


type Measure = Callable[[Effort], list[Figure]]


def table(figures: Iterable[Figure]) -> str:
    """Return a table in Markdown."""
    lines = [
        "| what | figure | beside | its figure | ratio | goal | |",
        "| --- | ---: | --- | ---: | ---: | ---: | --- |",
    ]
    for figure in figures:
        other, ratio, goal = figure.other_median, figure.ratio, figure.goal
        cells = (
            figure.what,
            _number(figure.median, figure.unit),
            figure.beside,
            "" if other is None else _number(other, figure.unit),
            "" if ratio is None else f"{ratio:.2f}",
            "" if goal is None else f"{goal.relation} {goal.bound:,g}",
            figure.verdict,
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _number(value: float, unit: str) -> str:
    digits = 0 if abs(value) >= 1000 else 1 if abs(value) >= 10 else 3
    return f"{value:,.{digits}f} {unit}".strip()


def _at_least_one(text: str) -> int:
    if (number := int(text)) < 1:
        raise ArgumentTypeError("one or more")
    return number


def _positive(text: str) -> float:
    if (number := float(text)) <= 0:
        raise ArgumentTypeError("more than 0")
    return number


def add_effort(parser: ArgumentParser) -> None:
    """Add the arguments that `effort` reads."""
    parser.add_argument(
        "--repetitions",
        type=_at_least_one,
        default=REPETITIONS,
        metavar="N",
        help=f"how often each is measured; medians are shown ({REPETITIONS})",
    )
    parser.add_argument(
        "--scale",
        type=_positive,
        default=1.0,
        metavar="X",
        help="how much of the full size, 0.05 for a try; goals hold for the full size",
    )


def main(measure: Measure, doc: str | None) -> None:
    """Measure what the command line asks for, and print the table."""
    parser = ArgumentParser(description=(doc or "").partition("\n\n")[0])
    add_effort(parser)
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write it here")
    arguments = parser.parse_args()
    figures = measure(Effort(arguments.repetitions, arguments.scale))
    if arguments.json:
        text = json.dumps([figure.as_json() for figure in figures])
        arguments.json.write_text(text, encoding="utf-8")
    print(table(figures))
