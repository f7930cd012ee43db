"""What an account costs when Home Assistant starts: `python -m benchmarks.start`.

Import: the processor time in which a fresh interpreter, in which Home Assistant has been imported, imports the integration with
all its platforms and the libraries that it alone needs; beside it the same of integrations that Home Assistant ships. They
have been imported once before, so that Python need not compile them.

Set-up: the time from there on until the first value of the simulator's home is the state of an entity, and until all
are; and the memory that this adds to a Home Assistant that had nothing of it before, its modules included.
"""

import asyncio
from collections.abc import Mapping
from importlib.util import find_spec
import json
import os
import sys
from tempfile import TemporaryDirectory
from typing import Any, Final

from scripts.demo.processes import free_port

from . import report
from .measure import simulator
from .report import Effort, Figure

_OURS: Final = "custom_components.eniris"
_OTHERS: Final = tuple(
    f"homeassistant.components.{name}" for name in ("influxdb", "energyid")
)


async def _run(environment: Mapping[str, str], module: str, argument: str) -> str:
    """Run a module in an interpreter of its own, and return the last line that it prints."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, argument),
        stdout=asyncio.subprocess.PIPE,
        env=environment,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, f"{module} {argument} failed"
    return output.decode().splitlines()[-1]


async def _measure(effort: Effort) -> list[Figure]:
    # The oldest Home Assistant has no `energyid`
    others = [name for name in _OTHERS if find_spec(name)]
    imports: dict[str, list[float]] = {name: [] for name in (_OURS, *others)}
    starts: list[dict[str, Any]] = []
    with TemporaryDirectory() as cache:
        environment = {
            **os.environ,
            "PYTHONDONTWRITEBYTECODE": "",
            "PYTHONPYCACHEPREFIX": cache,
        }
        for repetition in range(-1, effort.repetitions):
            for name, runs in imports.items():
                milliseconds = await _run(environment, "benchmarks.imports", name)
                # The first one fills the cache
                if repetition >= 0:
                    runs.append(float(milliseconds))
            # A fresh one, as an account may log in only so often
            async with simulator(free_port(), "--tier", "unlimited") as url:
                start = json.loads(await _run(environment, "benchmarks.set_up", url))
            if repetition >= 0:
                starts.append(start)
    return [
        *(
            Figure(
                what="import of the package",
                unit="ms",
                runs=tuple(imports[_OURS]),
                beside=f"import of {other.rpartition('.')[2]}",
                other_runs=tuple(imports[other]),
            )
            for other in others
        ),
        *(
            Figure(what, unit, tuple(float(start[key]) for start in starts))
            for key, what, unit in (
                ("first", "set-up to the first value of a home", "s"),
                ("all", "set-up to all values of a home", "s"),
                ("values", "values of that home", ""),
                ("memory", "memory added to Home Assistant", "MiB"),
            )
        ),
    ]


def measure(effort: Effort) -> list[Figure]:
    """Measure; see above."""
    return asyncio.run(_measure(effort))


if __name__ == "__main__":
    report.main(measure, __doc__)
