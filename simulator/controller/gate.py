"""A gate between a client and a broker, whichever it is: it opens, shuts, and falls silent."""

import asyncio
from typing import Final

from .broker import HOST

_CHUNK: Final = 65_536


class Gate:
    """Passes bytes on to a port of this machine.

    port: where it listens; 0 takes a free one at the first start. halted: nothing passes, in either direction,
    and no connection ends: the network is half open. connections: how many are open.
    """

    def __init__(self, target: int, port: int = 0) -> None:
        """Be shut."""
        self.port = port
        self._target = target
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._passing = asyncio.Event()
        self._passing.set()

    @property
    def connections(self) -> int:
        """Return how many connections are open."""
        return len(self._tasks)

    async def open(self) -> None:
        """Listen, on the same port again after it was shut. Does nothing while it is open."""
        if self._server is None:
            self._server = await asyncio.start_server(self._accept, HOST, self.port)
            self.port = self._server.sockets[0].getsockname()[1]

    async def shut(self) -> None:
        """Refuse connections, and end those that there are."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
        await self.drop()

    async def drop(self) -> None:
        """End all connections; new ones are welcome."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def halt(self) -> None:
        """Let nothing pass, and end nothing."""
        self._passing.clear()

    def resume(self) -> None:
        """Let pass what has waited, and all that comes."""
        self._passing.set()

    async def _accept(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        task = asyncio.ensure_future(self._join(reader, writer))
        self._tasks.add(task)
        try:
            await task
        except (OSError, asyncio.CancelledError):
            # Whoever ends a connection ends it for both sides
            pass
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    async def _join(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await self._passing.wait()
        far_reader, far_writer = await asyncio.open_connection(HOST, self._target)
        ways = [
            asyncio.create_task(self._pass_on(reader, far_writer)),
            asyncio.create_task(self._pass_on(far_reader, writer)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            far_writer.transport.abort()

    async def _pass_on(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        while chunk := await reader.read(_CHUNK):
            await self._passing.wait()
            writer.write(chunk)
            await writer.drain()
        await writer.drain()
