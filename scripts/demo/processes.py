"""Processes that end when the demo ends, and never later."""

import asyncio
from collections.abc import Mapping, Sequence
import contextlib
import os
from pathlib import Path
import signal
import socket
from types import TracebackType
from typing import Self

from .errors import DemoError

LOOPBACK = "127.0.0.1"


class Child:
    """A process in a session of its own, whose output goes to a file.

    Of its own, so that Ctrl-C reaches the demo alone, which then stops its children in order.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        cwd: Path,
        log: Path,
        env: Mapping[str, str],
        patience: float,
    ) -> None:
        """Describe the process; entering the context starts it."""
        self.name = name
        self.log = log
        self._command = command
        self._cwd = cwd
        self._env = env
        self._patience = patience
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        """Start it."""
        with self.log.open("wb") as output:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                cwd=self._cwd,
                env={**os.environ, **self._env},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
            )
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop it, whatever happens while it stops."""
        try:
            await self.stop()
        finally:
            self._signal(signal.SIGKILL)

    async def stop(self) -> None:
        """Ask it to end, and insist when it does not."""
        process = self._started
        if process.returncode is not None:
            return
        self._signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(self._patience):
                await process.wait()
        except TimeoutError:
            self._signal(signal.SIGKILL)
            await process.wait()
            raise DemoError(
                f"{self.name} did not stop within {self._patience:.0f} s"
            ) from None

    async def wait(self) -> None:
        """Wait until it ends by itself, which is an error."""
        await self._started.wait()
        self.ensure_running()

    def ensure_running(self) -> None:
        """Raise when it has ended by itself."""
        if (code := self._started.returncode) is not None:
            raise DemoError(f"{self.name} ended by itself, exit code {code}")

    @property
    def _started(self) -> asyncio.subprocess.Process:
        assert self._process is not None
        return self._process

    def _signal(self, number: signal.Signals) -> None:
        # The whole session: Home Assistant may have children of its own
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._started.pid, number)


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def ensure_free(port: int, option: str) -> None:
    """Raise when somebody listens on a port already."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as err:
            raise DemoError(
                f"Port {port} is taken ({err.strerror}); choose another with {option}"
            ) from err
