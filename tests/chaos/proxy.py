"""A proxy before the ingress host that sends requests on twice, late, or in another order."""

import asyncio
from collections import Counter
from contextlib import suppress
from typing import Final, Literal, Self

import aiohttp
from aiohttp import web

from scripts.demo.processes import LOOPBACK

type Mischief = Literal["duplicate", "late", "behind", "reset"]

_SENT_ON: Final = ("Authorization", "Content-Type", "Content-Encoding")
_BEHIND: Final = 3.0
"""Seconds that an answer waits at most for another one to overtake it."""


class Proxy:
    """Sends every request on as it is, and some of them as the mischief in force demands.

    duplicate: twice, and the second answer is the one that comes back. late: the connection ends, and
    the request arrives after it was repeated. behind: the answer comes after that to a later request.
    reset: the connection ends in the middle of the request, which never arrives.
    """

    def __init__(self, port: int) -> None:
        """Send on to the simulator at `port`."""
        self._base = f"http://{LOOPBACK}:{port}"
        self._mischief: list[Mischief] = []
        self._overtaken = asyncio.Event()
        self._late: set[asyncio.Task[None]] = set()
        self.done: Counter[Mischief] = Counter()

    async def __aenter__(self) -> Self:
        """Listen on a free port."""
        self._session = aiohttp.ClientSession(
            auto_decompress=False, timeout=aiohttp.ClientTimeout(total=120)
        )
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_route("*", "/{path:.*}", self._serve)
        self._runner = web.AppRunner(
            app, access_log=None, shutdown_timeout=0.5, auto_decompress=False
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, LOOPBACK, 0).start()
        self.url = f"http://{LOOPBACK}:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Close all connections."""
        for task in self._late:
            task.cancel()
        await asyncio.gather(*self._late, return_exceptions=True)
        await self._runner.cleanup()
        await self._session.close()

    def begin(self, mischief: Mischief) -> None:
        """Put a mischief in force; the newest one is done."""
        self._mischief.append(mischief)

    def end(self, mischief: Mischief) -> None:
        """Do it no more."""
        self._mischief.remove(mischief)

    async def settle(self) -> None:
        """Wait for what arrives late."""
        await asyncio.gather(*self._late, return_exceptions=True)

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        mischief = self._mischief[-1] if self._mischief else None
        if mischief is not None:
            self.done[mischief] += 1
        if mischief == "reset":
            await request.content.read(1)
            return _cut(request)
        body = await request.read()
        try:
            if mischief == "late":
                task = asyncio.create_task(self._send_late(request, body))
                self._late.add(task)
                task.add_done_callback(self._late.discard)
                return _cut(request)
            answer = await self._send_on(request, body)
            if mischief == "duplicate":
                answer = await self._send_on(request, body)
            if mischief == "behind":
                self._overtaken.clear()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._overtaken.wait(), _BEHIND)
            else:
                self._overtaken.set()
        except aiohttp.ClientError:
            # As if there were nothing between: no answer is no answer
            return _cut(request)
        return answer

    async def _send_late(self, request: web.Request, body: bytes) -> None:
        await asyncio.sleep(4)
        with suppress(aiohttp.ClientError):
            await self._send_on(request, body)

    async def _send_on(self, request: web.Request, body: bytes) -> web.StreamResponse:
        headers = {
            name: request.headers[name] for name in _SENT_ON if name in request.headers
        }
        async with self._session.request(
            request.method,
            f"{self._base}{request.path_qs}",
            headers=headers,
            data=body or None,
            skip_auto_headers=("Content-Type",),
            allow_redirects=False,
        ) as answer:
            kept = {
                name: value
                for name, value in answer.headers.items()
                if name in ("Content-Type", "Retry-After")
            }
            return web.Response(
                status=answer.status, body=await answer.read(), headers=kept
            )


def _cut(request: web.Request) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()
