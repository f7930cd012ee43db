"""Home Assistant as a browser sees it: its HTTP and WebSocket interfaces."""

from collections.abc import Mapping
from http import HTTPStatus
from itertools import count
from types import TracebackType
from typing import Any, Self

import aiohttp

from .errors import DemoError

TIMEOUT = aiohttp.ClientTimeout(total=30)
UNREACHABLE = (aiohttp.ClientConnectionError, TimeoutError)


class HomeAssistant:
    """One log-in to one Home Assistant."""

    def __init__(self, base: str) -> None:
        """Prepare; entering the context opens the session."""
        self.base = base
        self._headers: dict[str, str] = {}
        self._token = ""
        self._ids = count(1)
        self._websocket: aiohttp.ClientWebSocketResponse | None = None

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
        """Close all connections."""
        if self._websocket is not None:
            await self._websocket.close()
        await self._session.close()

    @property
    def client_id(self) -> str:
        """The address a browser would give as its own."""
        return f"{self.base}/"

    async def get(self, path: str, *, missing_ok: bool = False) -> Any:
        """GET a JSON document; None for a missing one, if that is fine."""
        async with self._session.get(
            self.base + path, headers=self._headers
        ) as response:
            if missing_ok and response.status == HTTPStatus.NOT_FOUND:
                return None
            return await self._json(response)

    async def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """POST a JSON document and return the answer."""
        async with self._session.post(
            self.base + path, headers=self._headers, json=body
        ) as response:
            return await self._json(response)

    async def delete(self, path: str) -> Any:
        """DELETE something."""
        async with self._session.delete(
            self.base + path, headers=self._headers
        ) as response:
            return await self._json(response)

    async def take_code(self, code: str) -> None:
        """Turn the code that ends a log-in into a token."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "client_id": self.client_id,
        }
        async with self._session.post(f"{self.base}/auth/token", data=form) as response:
            self._token = (await self._json(response))["access_token"]
        self._headers = {"Authorization": f"Bearer {self._token}"}

    async def call(self, command: str, **arguments: Any) -> Any:
        """Give a WebSocket command and return its result."""
        if self._websocket is None:
            self._websocket = await self._connect()
        number = next(self._ids)
        await self._websocket.send_json({"id": number, "type": command, **arguments})
        while True:
            answer = await self._websocket.receive_json(timeout=TIMEOUT.total)
            if answer.get("id") == number and answer["type"] == "result":
                break
        if not answer["success"]:
            raise DemoError(f"{command}: {answer['error']}")
        return answer["result"]

    async def _connect(self) -> aiohttp.ClientWebSocketResponse:
        websocket = await self._session.ws_connect(
            f"{self.base}/api/websocket", max_msg_size=0
        )
        await websocket.receive_json(timeout=TIMEOUT.total)
        await websocket.send_json({"type": "auth", "access_token": self._token})
        answer = await websocket.receive_json(timeout=TIMEOUT.total)
        if answer["type"] != "auth_ok":
            raise DemoError(f"Home Assistant refuses the WebSocket: {answer}")
        return websocket

    @staticmethod
    async def _json(response: aiohttp.ClientResponse) -> Any:
        if response.status >= HTTPStatus.BAD_REQUEST:
            raise DemoError(
                f"{response.method} {response.url.path}: {response.status} {await response.text()}"
            )
        return await response.json()
