"""One HTTP request to the Eniris cloud: a time limit, no redirects, errors by status.

What is sent carries tokens, so it goes to hosts that prove who they are, or stays on this machine.
What comes back may be anything, so it is read up to a limit, and its words are cleaned.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from ipaddress import ip_address
from json import dumps, loads
import math
import re
import time
from typing import Any, Final
import zlib

import aiohttp
import orjson
from yarl import URL

from .calls import Calls
from .errors import (
    EnirisAddressError,
    EnirisCertificateError,
    EnirisConnectionError,
    EnirisError,
    EnirisQueryError,
    EnirisResponseError,
    EnirisTimeoutError,
    status_error,
)
from .telemetry import parse_date, parse_http_date

DEFAULT_TIMEOUT: Final = 30.0
"""Seconds for one request and its whole answer."""

ANSWER_LIMIT: Final = 64 * 2**20
"""Bytes of an answer, decompressed: several times the metadata of a thousand nodes."""

LONGEST_NAME: Final = 255
"""Characters of what something is found by; Home Assistant's own ids have as many."""

_DECOMPRESSED_AT_ONCE: Final = 2**20
_MESSAGE_LIMIT: Final = 300
_REDACTED: Final = "**REDACTED**"
_CREDENTIALS: Final = ("password", "totp", "otp")
_PATH: Final = re.compile(r".*(/(?:v1|auth|user)/[a-z0-9/-]+)")
# Control characters, and those that turn the direction of what stands beside them
_UNPRINTABLE: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]+"
)
# A token is no business of a text, whoever's it is
_TOKENS: Final = re.compile(
    r"(?<=\bBearer\s)[^\s\"',;]+|\beyJ[\w-]{6,}\.[\w-]{4,}(?:\.[\w-]*)?",
    re.IGNORECASE,
)


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
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)

    def json(self) -> Any:
        """Return the decoded body; raise `EnirisResponseError` if it is not JSON."""
        try:
            try:
                return orjson.loads(self.body)
            except orjson.JSONDecodeError:
                # Half a surrogate pair in one text must not cost all the others
                text = dumps(loads(self.body), ensure_ascii=False)
                return orjson.loads(text.encode(errors="replace"))
        except (ValueError, RecursionError) as err:
            raise EnirisResponseError(
                f"the answer is not valid JSON ({len(self.body)} bytes)"
            ) from err


def is_loopback(host: str) -> bool:
    """Tell whether a host, as it stands in a URL, is this very machine."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _target(url: str, params: Mapping[str, str] | None) -> URL:
    """Return where a request goes.

    Raises `EnirisAddressError` if somebody on the way could read what is sent. The forms refuse
    such an address, but a stored one may be older, or edited by hand.
    """
    try:
        target = URL(url)
        host = target.raw_host
    except ValueError as err:
        raise EnirisAddressError("this is not a usable web address") from err
    if target.scheme not in ("http", "https") or not host or target.raw_user:
        raise EnirisAddressError("this is not a usable web address")
    if target.scheme == "http" and not is_loopback(host):
        raise EnirisAddressError(
            "plain http is only for a service on this very machine; use https"
        )
    return target.update_query(params or {})


async def send(
    http: aiohttp.ClientSession,
    method: str,
    url: str,
    *,
    expected: Collection[int] = (200,),
    bearer: str | None = None,
    params: Mapping[str, str] | None = None,
    json: Mapping[str, Any] | None = None,
    data: bytes = b"",
    headers: Mapping[str, str] | None = None,
    timeout: float = DEFAULT_TIMEOUT,
    calls: Calls | None = None,
    secrets: Collection[str] = (),
) -> Answer:
    """Send one request and return its answer, which has one of the `expected` statuses.

    `url` is a base address and a path; `calls` notes what becomes of it. Redirects are not followed:
    a token must not travel to a host that the user did not name.
    Errors quote the server without `secrets`, `bearer`, and the credentials in `json`.
    Raises `EnirisConnectionError`, `EnirisTimeoutError` or the status' own `EnirisStatusError`;
    `EnirisQueryError` if `json` cannot be written as JSON; `EnirisAddressError` if nothing may be
    sent to `url`, and `EnirisCertificateError` if nobody trusted answers there.
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
    path = _PATH.fullmatch(url)
    call = f"{method} {path[1] if path else '(other)'}"
    calls = calls or Calls()
    started = time.monotonic()
    try:
        answer = await _exchange(
            http, method, _target(url, params), data, all_headers, timeout
        )
        if answer.status not in expected:
            credentials = [(json or {}).get(key) for key in _CREDENTIALS]
            error, message, retry_after = _read_error(answer)
            hidden = [it for it in (*secrets, bearer, *credentials) if it]
            raise status_error(
                answer.status,
                clean(message, hidden),
                error=clean(error, hidden) if error else None,
                retry_after=retry_after,
            )
    except EnirisError as err:
        calls.note(call, started, err)
        raise
    calls.note(call, started, answer.status)
    return answer


async def _exchange(
    http: aiohttp.ClientSession,
    method: str,
    url: URL,
    data: bytes,
    headers: Mapping[str, str],
    timeout: float,
) -> Answer:
    """Send one request and return its answer, whatever its status."""
    if not http.auto_decompress:
        headers = {**headers, "Accept-Encoding": "gzip"}
    try:
        async with http.request(
            method,
            url,
            data=data or None,
            headers=headers,
            # Without a body there is none
            skip_auto_headers=("Content-Type",),
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=timeout),
        ) as response:
            packed = "" if http.auto_decompress else "Content-Encoding"
            encoding = response.headers.get(packed, "").strip().lower()
            body = await _read(response.content, encoding)
            return Answer(response.status, response.headers, body)
    except TimeoutError as err:
        raise EnirisTimeoutError(f"no answer within {timeout:g} seconds") from err
    except aiohttp.ClientConnectorCertificateError as err:
        reason = getattr(err.certificate_error, "verify_message", "unknown reason")
        raise EnirisCertificateError(
            f"the server's certificate is not trusted ({reason})"
        ) from err
    except (aiohttp.ClientError, OSError) as err:
        # Without the cause, which may quote what came, and that what was sent
        raise EnirisConnectionError(_describe(err)) from None
    except ValueError:
        # aiohttp's word for a header that cannot be sent at all, which it quotes
        raise EnirisConnectionError("the request could not be sent") from None


async def _read(content: aiohttp.StreamReader, encoding: str) -> bytes:
    """Return a body, decompressed in steps: what is small on its way may be huge behind it.

    Raises `EnirisResponseError` beyond `ANSWER_LIMIT`, and where it cannot be decompressed.
    """
    if encoding in ("", "identity"):
        unpacker = None
    elif encoding in ("gzip", "x-gzip", "deflate"):
        unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
    else:
        raise EnirisResponseError("the answer is compressed in an unknown way")
    body = bytearray()
    async for chunk in content.iter_any():
        while chunk:
            if unpacker is None:
                piece, chunk = chunk, b""
            else:
                if unpacker.eof:
                    if encoding == "deflate" or not chunk.startswith(b"\x1f"):
                        # Padding
                        break
                    # A gzip file may be several in a row
                    unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
                try:
                    piece = unpacker.decompress(chunk, _DECOMPRESSED_AT_ONCE)
                except zlib.error:
                    raise EnirisResponseError(
                        "the answer cannot be decompressed"
                    ) from None
                chunk = unpacker.unconsumed_tail or unpacker.unused_data
            body += piece
            if len(body) > ANSWER_LIMIT:
                raise EnirisResponseError(
                    f"the answer is larger than {ANSWER_LIMIT // 2**20} MiB"
                )
    if unpacker is not None:
        body += unpacker.flush()
        if body and not unpacker.eof:
            raise EnirisResponseError("the answer was cut off")
    return bytes(body)


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
        waits = [
            wait
            for wait in (
                retry_after,
                _parse_retry_after(header, parse_date(answer.headers)),
            )
            if wait is not None
        ]
        retry_after = max(waits, default=None)
    return error, message, retry_after


def _parse_retry_after(header: str, now: datetime | None = None) -> float | None:
    """Return seconds from either form that HTTP allows, a number or a date.

    `now` is the time by the clock of who has sent it, None where that is not known.
    """
    try:
        return _seconds(float(header))
    except ValueError:
        moment = parse_http_date(header)
    if moment is None:
        return None
    return max(0.0, (moment - (now or datetime.now(UTC))).total_seconds())


def _seconds(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) and value >= 0 else None


def clean(text: str, secrets: Collection[str]) -> str:
    """Make a server's words fit to be shown: one short line, nothing secret.

    They can be put between backticks, as Markdown has code, without getting out.
    """
    for secret in secrets:
        # As it is, and as it stands in JSON
        for form in (dumps(secret), dumps(secret, ensure_ascii=False), f'"{secret}"'):
            text = text.replace(form[1:-1], _REDACTED)
    text = _TOKENS.sub(_REDACTED, text)
    return label(text.replace("`", "'"), _MESSAGE_LIMIT)


def label(text: str, longest: int) -> str:
    """Return a text as one line that says what it seems to say, cut where it is longer."""
    text = _UNPRINTABLE.sub(" ", text).strip()
    return text if len(text) <= longest else f"{text[:longest]}…"


def is_plain(text: str) -> bool:
    """Tell whether a text is a line of characters that can be seen, at a length that anybody means."""
    return len(text) <= LONGEST_NAME and _UNPRINTABLE.search(text) is None


_CONNECTION_FAILURES: Final[tuple[tuple[type[Exception], str], ...]] = (
    (aiohttp.ClientConnectorDNSError, "the server's name could not be resolved"),
    (aiohttp.ClientConnectorError, "the connection was refused or failed"),
    (aiohttp.ServerDisconnectedError, "the server closed the connection"),
    (ConnectionResetError, "the connection was interrupted"),
    (aiohttp.ClientPayloadError, "the answer was cut off"),
    (aiohttp.ClientResponseError, "the answer is not valid HTTP"),
)
"""What people are told, of the first that fits."""


def _describe(err: Exception) -> str:
    """Name a connection's failure without the address, which may carry more than a host."""
    return next(
        (words for kind, words in _CONNECTION_FAILURES if isinstance(err, kind)),
        "the connection failed",
    )
