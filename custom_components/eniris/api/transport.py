"""One HTTP request to the Eniris cloud: a time limit, no redirects, errors by status."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
import json as stdlib_json
import math
import re
import time
from typing import Any, Final

import aiohttp
import orjson

from .calls import Calls
from .errors import (
    EnirisConnectionError,
    EnirisError,
    EnirisQueryError,
    EnirisResponseError,
    EnirisTimeoutError,
    status_error,
)

DEFAULT_TIMEOUT: Final = 30.0
"""Seconds for one request and its whole answer."""

_MESSAGE_LIMIT: Final = 300
_DIGITS: Final = 19
"""From so many on an integer may need more than 64 bits."""
_CALL: Final = re.compile(r".*(/(?:v1|auth|user)/[a-z0-9/-]+)")
_CONTROL_CHARACTERS: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]+")


@dataclass(frozen=True, slots=True)
class Hosts:
    """Base addresses of the three services, without a trailing slash."""

    authentication: str = "https://authentication.eniris.be"
    api: str = "https://api.eniris.be"
    ingress: str = "https://neodata-ingress.eniris.be"

    def __post_init__(self) -> None:
        """Accept an address that was written with a trailing slash."""
        for name in ("authentication", "api", "ingress"):
            object.__setattr__(self, name, getattr(self, name).rstrip("/"))


@dataclass(frozen=True, slots=True)
class Answer:
    """A successful answer, read to its end."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """Return the decoded body.

        Raises `EnirisResponseError` where the body is not JSON, an HTML page for instance.
        """
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError as err:
            body = _almost_json(self.body)
            if body is None:
                raise EnirisResponseError(
                    f"the answer is not valid JSON ({len(self.body)} bytes)"
                ) from err
            return body

    def text(self) -> str:
        """Return the body as text; raises `EnirisResponseError` where it is not UTF-8."""
        try:
            return self.body.decode()
        except UnicodeDecodeError as err:
            raise EnirisResponseError("the answer is not UTF-8 text") from err


async def send(
    http: aiohttp.ClientSession,
    method: str,
    url: str,
    *,
    expected: Collection[int] = (200,),
    bearer: str | None = None,
    params: Mapping[str, str] | None = None,
    json: Any = None,
    data: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    timeout: float = DEFAULT_TIMEOUT,
    calls: Calls | None = None,
) -> Answer:
    """Send one request and return its answer, which has one of the `expected` statuses.

    `url` is a base address and a path; what becomes of it is noted in `calls`. Redirects are not followed: a token must not travel to a host that the user did not name.
    Raises `EnirisConnectionError`, `EnirisTimeoutError` or the status' own `EnirisStatusError`;
    `EnirisQueryError` where `json` cannot be written as JSON at all.
    """
    all_headers = dict(headers or {})
    if bearer is not None:
        all_headers["Authorization"] = f"Bearer {bearer}"
    if json is not None:
        all_headers["Content-Type"] = "application/json"
        try:
            data = orjson.dumps(json)
        except TypeError as err:
            # Half a surrogate pair that was pasted as a password, for instance
            raise EnirisQueryError("the request cannot be written as JSON") from err
    started = time.monotonic()
    try:
        answer = await _exchange(http, method, url, params, data, all_headers, timeout)
        if answer.status not in expected:
            secrets = [bearer] if bearer else []
            if isinstance(json, dict):
                secrets += [
                    value
                    for key, value in json.items()
                    if key in ("password", "totp", "otp") and isinstance(value, str)
                ]
            error, message, retry_after = _read_error(answer)
            raise status_error(
                answer.status,
                _clean(message, secrets),
                error=_clean(error, secrets) if error else None,
                retry_after=retry_after,
            )
    except EnirisError as err:
        if calls is not None:
            calls.note(
                f"{method} {_path(url)}", started, sent=len(data or b""), error=err
            )
        raise
    if calls is not None:
        calls.note(
            f"{method} {_path(url)}",
            started,
            sent=len(data or b""),
            received=len(answer.body),
            status=answer.status,
        )
    return answer


async def _exchange(
    http: aiohttp.ClientSession,
    method: str,
    url: str,
    params: Mapping[str, str] | None,
    data: bytes | None,
    headers: Mapping[str, str],
    timeout: float,
) -> Answer:
    """Send one request and return its answer, whatever its status."""
    try:
        async with http.request(
            method,
            url,
            params=params,
            data=data,
            headers=headers,
            # What a body is, `headers` say, or nothing: the official driver's lines come without
            skip_auto_headers=("Content-Type",),
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=timeout),
        ) as response:
            return Answer(response.status, response.headers, await response.read())
    except TimeoutError as err:
        raise EnirisTimeoutError(f"no answer within {timeout:g} seconds") from err
    except (aiohttp.ClientError, OSError) as err:
        raise EnirisConnectionError(_describe(err)) from err
    except ValueError as err:
        # aiohttp's word for an address or a header that cannot be sent at all
        raise EnirisConnectionError("the request could not be sent") from err


def _finite(digits: str) -> float | None:
    number = float(digits)
    return number if math.isfinite(number) else None


def _almost_json(body: bytes) -> Any:
    """Return what is meant by a body that other languages write and take as JSON; else None.

    `NaN` and `Infinity` become null, and half an emoji at the end of a name that was cut off becomes
    a question mark: one such value must not cost all the others.
    """
    try:
        value = stdlib_json.loads(
            body.decode("utf-8-sig", "replace"),
            parse_constant=lambda _: None,
            parse_float=_finite,
            parse_int=lambda digits: (
                int(digits) if len(digits) < _DIGITS else _finite(digits)
            ),
        )
        text = stdlib_json.dumps(value, ensure_ascii=False)
        return orjson.loads(text.encode(errors="replace"))
    except (ValueError, RecursionError):
        return None


def _path(url: str) -> str:
    """Return the path of one of the service's calls, without the base address before it."""
    match = _CALL.fullmatch(url)
    return match[1] if match else "(other)"


def _read_error(answer: Answer) -> tuple[str | None, str, float | None]:
    """Return error code, message and seconds to wait, of a body that may be anything."""
    try:
        body = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        body = None
    error, message, retry_after = None, "", None
    if isinstance(body, dict):
        if isinstance(body.get("error"), str):
            error = body["error"]
        if isinstance(body.get("message"), str):
            message = body["message"]
        retry_after = _seconds(body.get("retryAfter"))
    header = answer.headers.get("Retry-After")
    if header is not None:
        # Both are the server's word; the longer wait cannot be wrong
        waits = [w for w in (retry_after, _parse_retry_after(header)) if w is not None]
        retry_after = max(waits, default=None)
    return error, message, retry_after


def _parse_retry_after(header: str) -> float | None:
    """Return seconds from either form that HTTP allows, a number or a date."""
    try:
        return _seconds(float(header))
    except ValueError:
        pass
    try:
        moment = parsedate_to_datetime(header)
    except (ValueError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())


def _seconds(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) and value >= 0 else None


def _clean(text: str, secrets: Collection[str]) -> str:
    """Make a server's words fit to be shown: one short line, nothing secret."""
    for secret in secrets:
        # Also as it stood in the request's body, which a server may quote
        for spelling in (
            secret,
            stdlib_json.dumps(secret)[1:-1],
            stdlib_json.dumps(secret, ensure_ascii=False)[1:-1],
        ):
            if spelling:
                text = text.replace(spelling, "**REDACTED**")
    text = _CONTROL_CHARACTERS.sub(" ", text).strip()
    return text if len(text) <= _MESSAGE_LIMIT else f"{text[:_MESSAGE_LIMIT]}…"


def _describe(err: Exception) -> str:
    """Name a connection's failure without the address, which may carry more than a host."""
    if isinstance(err, aiohttp.ClientConnectorCertificateError):
        return "the server's certificate is not trusted"
    if isinstance(err, aiohttp.ClientConnectorDNSError):
        return "the server's name could not be resolved"
    if isinstance(err, aiohttp.ClientConnectorError):
        return "the connection was refused or failed"
    return f"the connection failed ({type(err).__name__})"
