"""All benchmarks in one table: `scripts/benchmark [NAME …]`.

Each runs in a process of its own, one after the other, so that none has another's memory or modules. Without names
those run that take minutes; the others, which take hours, have to be named: `scripts/benchmark soak --minutes 40`.
"""

from argparse import ArgumentParser
import importlib.metadata
import json
import os
from pathlib import Path
import platform
import subprocess
import sys
from tempfile import TemporaryDirectory
import time

from .report import Figure, add_effort, table

MINUTES = {
    "listener": "a change of state",
    "export": "from a state to Eniris",
    "drain": "a long backlog",
    "disk": "what is written, and how soon a value is stored",
    "poll": "reading the account",
    "start": "set-up",
    "live": "from a controller to a state",
}
HOURS = {
    "soak": "days on end",
}


class BenchmarkError(Exception):
    """A benchmark that came to no figures."""


def run(name: str, arguments: list[str]) -> list[Figure]:
    """Run one benchmark and return its figures; its own output goes to standard error."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "figures.json"
        started = time.monotonic()
        print(f"{name} …", file=sys.stderr, flush=True)
        command = [sys.executable, "-m", f"benchmarks.{name}", "--json", str(path)]
        with subprocess.Popen([*command, *arguments], stdout=sys.stderr) as process:
            try:
                code = process.wait()
            except KeyboardInterrupt:
                # It was interrupted, too, and has something to clear away
                process.wait()
                raise
        if code or not path.exists():
            raise BenchmarkError(f"{name} failed with exit code {code}")
        print(f"{name}: {time.monotonic() - started:.0f} s", file=sys.stderr)
        return [Figure.from_json(item) for item in json.loads(path.read_text("utf-8"))]


def environment() -> str:
    """Tell what the figures were measured with."""
    return (
        f"Python {platform.python_version()},"
        f" Home Assistant {importlib.metadata.version('homeassistant')},"
        f" {os.cpu_count()} processors ({platform.machine()})"
    )


def main() -> int:
    """Run what the command line names, and print one table; return the exit code."""
    everything = {**MINUTES, **HOURS}
    parser = ArgumentParser(
        prog="scripts/benchmark", description=(__doc__ or "").partition("\n\n")[2]
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(everything))
    add_effort(parser)
    parser.add_argument(
        "--check", action="store_true", help="fail where a goal is missed"
    )
    # A benchmark of hours has arguments of its own
    arguments, own = parser.parse_known_args()
    if own and not (set(arguments.names) & HOURS.keys()):
        parser.error(f"unrecognized arguments: {' '.join(own)}")
    if unknown := set(arguments.names) - everything.keys():
        parser.error(f"there is no {', '.join(sorted(unknown))}")
    effort = [
        *("--repetitions", str(arguments.repetitions)),
        *("--scale", str(arguments.scale)),
    ]
    sections, problems = [], []
    missed = False
    for name in arguments.names or MINUTES:
        try:
            figures = run(name, own if name in HOURS else effort)
        except BenchmarkError as err:
            problems.append(str(err))
            continue
        missed = missed or any(figure.verdict == "MISSED" for figure in figures)
        sections.append(f"**{name}**: {everything[name]}\n\n{table(figures)}\n")
    print(f"{environment()}; median of {arguments.repetitions}\n")
    print("\n".join(sections))
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems or (arguments.check and missed) else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("Stopped")
