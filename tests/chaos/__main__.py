"""The command: a run, its figures, and an exit code that says whether all is well."""

import argparse
import asyncio
import secrets
import signal
import sys

from .faults import kinds
from .kind import Kind
from .machine import own_mounts
from .report import Report, describe
from .run import run


def main() -> int:
    """Make a run; 0 when nothing was lost or wrong."""
    parser = argparse.ArgumentParser(prog="scripts/chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument(
        "--seed", type=_seed, default="fresh", help="a number, or fresh"
    )
    parser.add_argument(
        "--kinds", help="only those whose name or family has one of these words in it"
    )
    arguments = parser.parse_args()
    seed = arguments.seed
    chosen = _chosen(arguments.kinds)
    if not chosen:
        parser.error("there are no such kinds")
    say(f"Chaos: seed {seed}, {arguments.minutes:g} minutes")
    mounts = own_mounts()
    try:
        report = asyncio.run(_run(seed, arguments.minutes, chosen, mounts=mounts))
    except (KeyboardInterrupt, asyncio.CancelledError):
        say("Stopped")
        return 130
    say(describe(report))
    return 0 if report.passed else 1


def _seed(text: str) -> int:
    """Return a seed; raises `ValueError` for what is neither a number nor the word."""
    return secrets.randbelow(10**9) if text == "fresh" else int(text)


def say(text: str) -> None:
    """Write a line at once, also into a pipe."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


async def _run(
    seed: int, minutes: float, chosen: list[Kind], *, mounts: bool
) -> Report:
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    return await run(seed, minutes, chosen, mounts=mounts)


def _chosen(words: str | None) -> list[Kind]:
    if words is None:
        return list(kinds())
    wanted = words.split(",")
    return [
        kind
        for kind in kinds()
        if any(word in f"{kind.name} {kind.family}" for word in wanted)
    ]


if __name__ == "__main__":
    sys.exit(main())
