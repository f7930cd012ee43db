"""The figures of a run, and how they are told."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
import platform

from homeassistant.const import __version__ as ha_version
from scripts.demo.config_dir import ROOT

from .kind import Need
from .notes import Verdict


@dataclass
class Report:
    """The figures of a run."""

    seed: int
    minutes: float
    left_out: Counter[Need] = field(default_factory=Counter)
    injected: Counter[str] = field(default_factory=Counter)
    not_injected: int = 0
    struck: Counter[str] = field(default_factory=Counter)
    verdict: Verdict = field(default_factory=Verdict)
    duplicates: int = 0
    requests: int = 0
    starts: int = 0
    problems: list[str] = field(default_factory=list)
    """What is wrong beside the values."""
    evidence: Path | None = None

    @property
    def passed(self) -> bool:
        """Whether nothing is lost or wrong, and nothing else amiss."""
        return not (self.verdict.lost or self.verdict.wrong or self.problems)


def describe(report: Report) -> str:
    """Return the figures as text."""
    verdict = report.verdict
    version = platform.python_version()
    total = report.injected.total()
    lines = [
        (
            f"Chaos: seed {report.seed}, {report.minutes:g} minutes,"
            f" Home Assistant {ha_version}, Python {version}"
        ),
        f"Faults injected: {total}, {_counts(report.injected)}",
        f"What they struck: {_counts(report.struck)}",
    ]
    if report.not_injected:
        lines.append(f"Planned, but out of time: {report.not_injected}")
    lines += [
        f"LEFT OUT for want of {need}: {count} kinds of faults"
        for need, count in report.left_out.items()
    ]
    lines += [
        f"Starts of Home Assistant: {report.starts}; uploads: {report.requests}",
        (
            f"Points sampled: {verdict.sampled}; stored: {verdict.stored};"
            f" rejected: {verdict.rejected}; duplicates sent: {report.duplicates}"
        ),
        f"Accounted for: {verdict.accounted.total()}"
        + (f", {_counts(verdict.accounted)}" if verdict.accounted else ""),
        (
            f"Lost: {len(verdict.lost)}; wrong: {len(verdict.wrong)};"
            f" other problems: {len(report.problems)}"
        ),
    ]
    for name, items in (
        ("Lost", verdict.lost),
        ("Wrong", verdict.wrong),
        ("Problem", report.problems),
    ):
        lines += [f"{name}: {item}" for item in items[:20]]
        if len(items) > 20:
            lines.append(f"{name}: {len(items) - 20} more")
    if report.evidence is not None:
        lines.append(
            f"Logs and journal: {report.evidence.relative_to(ROOT)};"
            f" again: scripts/chaos --minutes {report.minutes:g} --seed {report.seed}"
        )
    return "\n".join(lines)


def _counts(counter: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counter.items()))
