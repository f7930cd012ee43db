"""Home Assistant's log, read for what is ours."""

from dataclasses import dataclass
from pathlib import Path
import re

_RECORD = re.compile(
    r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+ (?P<level>[A-Z]+) \(.*?\) \[(?P<logger>[^\]]*)\]"
)
_BAD = {"WARNING", "ERROR", "CRITICAL"}
# Home Assistant says these of every custom integration and of every start without pip
_STANDING = (
    "We found a custom integration eniris which has not been tested",
    "Skipping pip installation of required modules",
)


@dataclass(frozen=True)
class Complaint:
    """A warning or an error, with the lines that belong to it."""

    logger: str
    text: str
    ours: bool


def complaints(log: Path, root: Path) -> list[Complaint]:
    """Return the warnings and errors; ours are those that name the integration anywhere."""
    records: list[tuple[str, str, list[str]]] = []
    for line in log.read_text("utf-8", "replace").splitlines():
        if match := _RECORD.match(line):
            records.append((match["level"], match["logger"], [line]))
        elif records:
            records[-1][2].append(line)
        else:
            # Before the first record: what Python itself says on the way
            records.append(("ERROR", "", [line]))
    found: list[Complaint] = []
    for level, logger, lines in records:
        text = "\n".join(lines)
        if level in _BAD and not any(standing in text for standing in _STANDING):
            # The checkout's own path may well have the name in it
            ours = "eniris" in text.replace(str(root), "").lower()
            found.append(Complaint(logger, text, ours))
    return found


def tail(log: Path, lines: int = 40) -> str:
    """Return the end of a log."""
    if not log.exists():
        return "(no log)"
    return "\n".join(log.read_text("utf-8", "replace").splitlines()[-lines:])
