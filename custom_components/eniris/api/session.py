"""`Session`: one account's calls to the api and ingress hosts, with its tokens kept fresh."""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
import logging
import time
from typing import Any, Final

import aiohttp

from .auth import Authentication, RefreshToken
from .budget import Budget
from .calls import Calls
from .devices import Device, DeviceList, list_in, parse_devices
from .errors import (
    EnirisError,
    EnirisResponseError,
    EnirisStatusError,
    MethodNotAllowedError,
    NoAccessTokenError,
    NotFoundError,
    RateLimitedError,
    ReauthenticationRequiredError,
    ServerError,
    UnauthorizedError,
)
from .telemetry import (
    QUERIES_PER_REQUEST,
    QueryCost,
    StatementResult,
    TelemetryAnswer,
    TelemetryQuery,
    encode_queries,
    parse_cost,
    parse_date,
    parse_statements,
)
from .transport import Answer, Hosts, clean, send
from .write import Body, WriteTarget

_LOGGER = logging.getLogger(__name__)

ACCESS_TOKEN_REUSE: Final = 3.75 * 60
"""Seconds for which an access token is reused; it lives 5 minutes."""

RENEW_AFTER: Final = 24 * 3600
"""Age in seconds at which a refresh token is exchanged for a new one; it lives 14 days."""

_OFF_LOOP_BYTES: Final = 64 * 1024
_OFF_LOOP_QUERIES: Final = 50
_RENEW_RETRY: Final = 3600
_TELEMETRY_TIMEOUT: Final = 60.0


class Session:
    """Everything that an account may ask of the Eniris cloud.

    Every call raises the exceptions of `errors`; `ReauthenticationRequiredError` from any of
    them means that only a new log-in helps. Calls may be made concurrently.
    """

    def __init__(
        self,
        http: aiohttp.ClientSession,
        refresh_token: RefreshToken,
        hosts: Hosts | None = None,
        *,
        on_refresh_token: Callable[[RefreshToken], None] | None = None,
    ) -> None:
        """Act for the account of `refresh_token`, over `http`, which is the caller's to close.

        `on_refresh_token` is told of every new refresh token at once, so that it can be stored.
        """
        self._http = http
        self._hosts = hosts or Hosts()
        self.calls = Calls()
        """What became of the calls since the start."""
        self._authentication = Authentication(http, self._hosts, self.calls)
        self.refresh_token = refresh_token
        """The one in force."""
        self._on_refresh_token = on_refresh_token
        self._access_token: str | None = None
        self._access_token_at = 0.0
        self._renew_not_before = 0.0
        self._lock = asyncio.Lock()
        self.budget = Budget()
        """What all callers together have left for telemetry queries."""

    @property
    def _secrets(self) -> list[str]:
        """What no text may quote, whichever host says it."""
        return [self.refresh_token.value, *filter(None, [self._access_token])]

    async def logout(self) -> None:
        """End the session: its refresh token is worth nothing afterwards."""
        async with self._lock:
            self._access_token = None
            await self._authentication.logout(self.refresh_token)

    async def access_token(self, *, stale: str | None = None) -> str:
        """Return an access token that is valid for a minute at least, and is not `stale`.

        However many callers wait, one request is under way.
        """
        async with self._lock:
            fresh = time.monotonic() - self._access_token_at < ACCESS_TOKEN_REUSE
            if self._access_token and fresh and self._access_token != stale:
                return self._access_token
            await self._renew_refresh_token()
            self._access_token = None
            asked_at = time.monotonic()
            try:
                self._access_token = await self._authentication.access_token(
                    self.refresh_token
                )
            except (ReauthenticationRequiredError, RateLimitedError, ServerError):
                raise
            except EnirisStatusError as err:
                raise NoAccessTokenError(f"no access token was issued: {err}") from err
            self._access_token_at = asked_at
            return self._access_token

    async def _renew_refresh_token(self) -> None:
        """Exchange a refresh token that is a day old, which is early enough to fail at it."""
        # An issue in the future is the word of a clock that was wrong then, or is now
        is_fresh = abs(self.refresh_token.age) < RENEW_AFTER
        if is_fresh or time.monotonic() < self._renew_not_before:
            return
        try:
            renewed = await self._authentication.renew(self.refresh_token)
        except ReauthenticationRequiredError:
            raise
        except EnirisError as err:
            self._renew_not_before = time.monotonic() + _RENEW_RETRY
            _LOGGER.debug("The refresh token was not renewed, later again: %s", err)
            return
        self.refresh_token = renewed
        if self._on_refresh_token is not None:
            self._on_refresh_token(renewed)

    async def query_devices(
        self, *, skip_hash: str | None = None, filter: Mapping[str, Any] | None = None
    ) -> DeviceList | None:
        """Return the metadata of the account's devices, or None if `skip_hash` still matches."""
        body = {"skipHash": skip_hash, "filter": filter}
        answer = await self._api(
            "POST",
            "/v1/device/query",
            json={key: value for key, value in body.items() if value is not None},
            expected=(200, 204),
        )
        if answer.status == 204:
            return None
        return await _off_loop(
            len(answer.body) >= _OFF_LOOP_BYTES,
            lambda: parse_devices(answer.json()),
        )

    async def companies(self) -> list[Any]:
        """Return the companies that the account works for, as they come."""
        answer = await self._api("GET", "/v1/company")
        return list_in(answer.json(), "company")

    async def update_device(
        self,
        device_id: int,
        properties: Mapping[str, Any],
        *,
        if_unmodified_since: str | None = None,
    ) -> Device | None:
        """Change properties of a device, by recursive merge.

        A server that does not know the PUT (404, 405) is asked once more with the older POST.
        Returns the changed device, or None if the answer shows one without a node id.
        Raises `PreconditionFailedError` if the device changed after `if_unmodified_since`,
        an ISO 8601 time.
        """
        since = {"If-Unmodified-Since": if_unmodified_since}
        call = partial(
            self._api,
            path=f"/v1/device/{device_id}",
            params={"mode": "merge"},
            json={"properties": properties},
            headers=since if if_unmodified_since else None,
        )
        try:
            answer = await call("PUT")
        except (NotFoundError, MethodNotAllowedError) as err:
            try:
                answer = await call("POST")
            except MethodNotAllowedError:
                # Then it does know the PUT, and its refusal is the one that tells
                raise err from None
        body = answer.json()
        if not isinstance(body, dict) or "device" not in body:
            raise EnirisResponseError("the answer holds no device")
        devices = parse_devices({"device": [body["device"]]}).devices
        return devices[0] if devices else None

    async def query_telemetry(
        self, queries: Sequence[TelemetryQuery]
    ) -> TelemetryAnswer:
        """Return one result per query, in order; a failing one never spoils the others.

        More than 1000 queries go as several requests, one after the other; the cost is
        their sum.
        """
        answer = TelemetryAnswer([], QueryCost())
        for start in range(0, len(queries), QUERIES_PER_REQUEST):
            chunk = queries[start : start + QUERIES_PER_REQUEST]
            body = await _off_loop(
                len(chunk) >= _OFF_LOOP_QUERIES,
                partial(encode_queries, chunk),
            )
            response = await self._api(
                "POST",
                "/v1/telemetry/query",
                data=body,
                headers={"Content-Type": "application/json"},
                timeout=_TELEMETRY_TIMEOUT,
            )
            answer.results.extend(
                await _off_loop(
                    len(response.body) >= _OFF_LOOP_BYTES,
                    partial(_statements, response, len(chunk), self._secrets),
                )
            )
            cost = parse_cost(response.headers)
            self.budget.note(cost)
            answer.cost = answer.cost.plus(cost)
            answer.time = answer.time or parse_date(response.headers)
        return answer

    async def write_body(self, target: WriteTarget, body: Body) -> None:
        """Store the points of `body`, see `encode_points`; all are stored when it returns.

        Raises the status' exception if the service refuses them, all of them then.
        """
        await self._call(
            "POST",
            f"{self._hosts.ingress}/v1/telemetry",
            params=target.params,
            data=body.data,
            headers=body.headers,
            expected=(204,),
            timeout=_TELEMETRY_TIMEOUT,
        )

    async def _api(self, method: str, path: str, **kwargs: Any) -> Answer:
        return await self._call(method, f"{self._hosts.api}{path}", **kwargs)

    async def _call(
        self,
        method: str,
        url: str,
        *,
        expected: Collection[int] = (200,),
        **kwargs: Any,
    ) -> Answer:
        """Send with an access token; a 401 buys one new token and one repeat."""
        request = partial(
            send,
            self._http,
            method,
            url,
            expected=expected,
            calls=self.calls,
            secrets=self._secrets,
            **kwargs,
        )
        token = await self.access_token()
        try:
            return await request(bearer=token)
        except UnauthorizedError:
            token = await self.access_token(stale=token)
        try:
            return await request(bearer=token)
        except UnauthorizedError as err:
            raise ReauthenticationRequiredError.of(err) from err


async def _off_loop[R](is_long: bool, function: Callable[[], R]) -> R:
    """Call a function, in a thread where it would hold the event loop."""
    return await asyncio.to_thread(function) if is_long else function()


def _statements(
    response: Answer, expected: int, secrets: Collection[str]
) -> list[StatementResult]:
    results = parse_statements(response.json(), expected)
    errors = {result.error for result in results if result.error is not None}
    # Most often it is the same error for all
    cleaned = {error: clean(error, secrets) for error in errors}
    return [
        result
        if result.error is None
        else StatementResult([], cleaned[result.error] or "unknown error")
        for result in results
    ]
