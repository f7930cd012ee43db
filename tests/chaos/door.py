"""A connection to the Home Assistant under test, which may end at any moment."""

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack, suppress
from typing import Any, Final

import aiohttp

from scripts.demo import steps
from scripts.demo.home_assistant import HomeAssistant

_LOST: Final = (aiohttp.ClientError, OSError, TimeoutError, TypeError, ValueError)
"""What a connection ends in when the process at the other end does."""


class GoneError(Exception):
    """Home Assistant did not answer, because it was killed for instance."""


class Door:
    """One connection to Home Assistant, made anew where it was lost; one question at a time."""

    def __init__(self, base: str) -> None:
        """Ask at `base`, once somebody does."""
        self._base = base
        self._lock = asyncio.Lock()
        self._stack: AsyncExitStack | None = None
        self._home: HomeAssistant | None = None

    async def call(self, command: str, **arguments: Any) -> Any:
        """Give a WebSocket command; raises `GoneError`, or `DemoError` where it is refused."""
        async with self._lock:
            try:
                if self._home is None:
                    await self._open()
                assert self._home is not None
                return await self._home.call(command, **arguments)
            except _LOST as err:
                await self._close()
                raise GoneError(repr(err)) from err

    async def walk(
        self,
        path: str,
        handler: str | list[str],
        answers: Mapping[str, Any],
        choices: Mapping[str, str],
    ) -> None:
        """Go through a flow, freshly logged in, since a set clock ends log-ins."""
        async with self._lock:
            try:
                await self._open()
                assert self._home is not None
                await steps.walk(self._home, path, handler, answers, choices)
            except _LOST as err:
                await self._close()
                raise GoneError(repr(err)) from err

    async def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """POST a JSON document, freshly logged in."""
        async with self._lock:
            try:
                await self._open()
                assert self._home is not None
                return await self._home.post(path, body)
            except _LOST as err:
                await self._close()
                raise GoneError(repr(err)) from err

    async def act(
        self, domain: str, service: str, *, answer: bool = False, **data: Any
    ) -> Any:
        """Call an action, and return its answer if it has one."""
        extra = {"return_response": True} if answer else {}
        result = await self.call(
            "call_service", domain=domain, service=service, service_data=data, **extra
        )
        return result["response"] if answer else None

    async def close(self) -> None:
        """Close the connection."""
        async with self._lock:
            await self._close()

    async def _open(self) -> None:
        # One that was refused or cut short may have left its session
        await self._close()
        stack = AsyncExitStack()
        self._stack = stack
        home = await stack.enter_async_context(HomeAssistant(self._base))
        await steps.onboard_or_log_in(home)
        self._home = home

    async def _close(self) -> None:
        self._home = None
        stack, self._stack = self._stack, None
        if stack is not None:
            with suppress(*_LOST):
                await stack.aclose()
