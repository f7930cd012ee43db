"""What the benchmarks measure with: stretches on the event loop, memory, a simulator beside."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
import re
import sys
import threading
import time


class LoopWatch:
    """Watches how long the event loop is held at a stretch, and by how much of a probe's making."""

    def __init__(self) -> None:
        """Start with nothing seen."""
        self.stretches: list[float] = []

    @asynccontextmanager
    async def watch(self) -> AsyncIterator[None]:
        """Note, in seconds, by how much each turn of the loop was late."""

        async def probe() -> None:
            while True:
                before = time.perf_counter()
                await asyncio.sleep(0.001)
                self.stretches.append(time.perf_counter() - before - 0.001)

        task = asyncio.create_task(probe())
        try:
            yield
        finally:
            task.cancel()

    @property
    def longest_ms(self) -> float:
        """The longest stretch in milliseconds."""
        return max(self.stretches, default=0.0) * 1000

    def quantile_ms(self, share: float) -> float:
        """Return the milliseconds that `share` of all turns stay below."""
        ordered = sorted(self.stretches)
        return ordered[int(share * (len(ordered) - 1))] * 1000 if ordered else 0.0


def resident_mib() -> float:
    """Return the memory of this process in MiB (Linux)."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    match = re.search(r"VmRSS:\s+(\d+) kB", status)
    return int(match[1]) / 1024 if match else 0.0


@contextmanager
def peak_memory() -> Iterator[list[float]]:
    """Sample the resident memory ten times a second; yields the list of samples, in MiB."""
    samples = [resident_mib()]
    stop = threading.Event()

    def run() -> None:
        while not stop.wait(0.1):
            samples.append(resident_mib())

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield samples
    finally:
        stop.set()
        thread.join()
        samples.append(resident_mib())


@asynccontextmanager
async def simulator(port: int, *arguments: str) -> AsyncIterator[str]:
    """Run a simulator as a process of its own and yield its address."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "simulator",
        "--port",
        str(port),
        *arguments,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(30):
            await process.stdout.readline()
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        await process.wait()
