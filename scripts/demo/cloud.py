"""The simulated cloud, through its control interface."""

import asyncio
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self

import aiohttp

from .errors import DemoError
from .home_assistant import TIMEOUT, UNREACHABLE
from .processes import Child


class Cloud:
    """What the simulator tells about itself, and what is done to it."""

    def __init__(self, base: str) -> None:
        """Prepare; entering the context opens the session."""
        self.base = base

    async def __aenter__(self) -> Self:
        """Open the HTTP session."""
        self._session = aiohttp.ClientSession(timeout=TIMEOUT)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the session."""
        await self._session.close()

    async def get(self, path: str, /, **query: str) -> Any:
        """Return a document of the control interface."""
        return await self._call("GET", path, params=query)

    async def post(self, path: str, /, **body: Any) -> Any:
        """Have something done, and return the answer."""
        return await self._call("POST", path, json=body)

    async def put(self, path: str, /, **body: Any) -> None:
        """Set something."""
        await self._call("PUT", path, json=body)

    async def delete(self, path: str) -> None:
        """Have something forgotten."""
        await self._call("DELETE", path)

    async def _call(self, method: str, path: str, **options: Any) -> Any:
        async with self._session.request(
            method, f"{self.base}/_simulator/{path}", **options
        ) as response:
            if not response.ok:
                raise DemoError(f"The simulator answers {response.status} to {path}")
            if response.status == HTTPStatus.NO_CONTENT:
                return None
            return await response.json()

    async def wait_until_up(self, process: Child, patience: float) -> None:
        """Wait until the simulator answers."""
        try:
            async with asyncio.timeout(patience):
                while True:
                    process.ensure_running()
                    try:
                        await self.get("")
                    except UNREACHABLE:
                        await asyncio.sleep(0.1)
                    else:
                        return
        except TimeoutError:
            raise DemoError(
                f"The simulator does not answer after {patience:.0f} s"
            ) from None
