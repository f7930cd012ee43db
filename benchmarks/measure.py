"""What the benchmarks measure with: stretches on the event loop, memory, a simulator beside."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
import re
import sys
import threading
import time
from unittest import mock


class LoopWatch:
    """Watches for how long the event loop is held at a stretch.

    Two figures: what one callback costs of the loop's own processor time, which is ours alone, and by how
    much a probe was late, which is what Home Assistant feels and what a busy machine adds to.
    """

    def __init__(self) -> None:
        """Start with nothing seen."""
        self.costs: list[float] = []
        self.delays: list[float] = []

    @asynccontextmanager
    async def watch(self) -> AsyncIterator[None]:
        """Note, in seconds, what each callback costs and by how much a probe is late."""

        async def probe() -> None:
            while True:
                before = time.perf_counter()
                await asyncio.sleep(0.001)
                self.delays.append(time.perf_counter() - before - 0.001)

        run = asyncio.events.Handle._run  # noqa: SLF001

        def timed(handle: asyncio.Handle) -> None:
            before = time.thread_time()
            run(handle)
            self.costs.append(time.thread_time() - before)

        task = asyncio.create_task(probe())
        try:
            with mock.patch.object(asyncio.events.Handle, "_run", timed):
                yield
        finally:
            task.cancel()


def longest_ms(seconds: list[float], share: float = 1.0) -> float:
    """Return the milliseconds that `share` of all values do not exceed."""
    ordered = sorted(seconds)
    return ordered[round(share * (len(ordered) - 1))] * 1000 if ordered else 0.0


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
async def server(module: str, port: int, *arguments: str) -> AsyncIterator[str]:
    """Run a server as a process of its own and yield its address, once it has said a first line."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-u",
        "-m",
        module,
        "--port",
        str(port),
        *arguments,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(180):
            assert await process.stdout.readline(), f"{module} did not start"
        yield f"http://127.0.0.1:{port}"
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


@asynccontextmanager
async def simulator(port: int, *arguments: str) -> AsyncIterator[str]:
    """Run a simulator as a process of its own and yield its address."""
    async with server("simulator", port, *arguments) as url:
        yield url
