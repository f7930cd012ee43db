"""One HTTP request to the Eniris cloud: a time limit, no redirects, errors by status.

What is sent carries tokens, so it goes to hosts that prove who they are, or stays on this machine.
What comes back may be anything, so it is read up to a limit, and its words are cleaned.
"""

import base64
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from ipaddress import ip_address
import json as stdlib_json
import math
import re
import time
from typing import Any, Final
from urllib.parse import quote
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

DEFAULT_TIMEOUT: Final = 30.0
"""Seconds for one request and its whole answer."""

ANSWER_LIMIT: Final = 64 * 2**20
"""Bytes of an answer, decompressed: several times the metadata of a thousand nodes."""

LONGEST_NAME: Final = 255
"""Characters of what something is found by; Home Assistant's own ids have as many."""

_DECOMPRESSED_AT_ONCE: Final = 2**20
_MESSAGE_LIMIT: Final = 300
_REDACTED: Final = "**REDACTED**"
_DIGITS: Final = 19
"""From so many on an integer may need more than 64 bits."""
_CALL: Final = re.compile(r".*(/(?:v1|auth|user)/[a-z0-9/-]+)")
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
        """Return the decoded body; what is almost JSON is read as far as it can be.

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


def is_loopback(host: str) -> bool:
    """Tell whether a host, as it stands in a URL, is this very machine."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _target(url: str, params: Mapping[str, str] | None) -> tuple[URL, dict[str, str]]:
    """Return where a request goes, and headers that follow from it.

    Raises `EnirisAddressError` where somebody on the way could read what is sent. The forms refuse
    such an address, but what is stored may be older, or edited by hand.
    """
    try:
        target = URL(url)
        host = target.raw_host
    except ValueError as err:
        raise EnirisAddressError("this is not a usable web address") from err
    if target.scheme not in ("http", "https") or not host or target.raw_user:
        raise EnirisAddressError("this is not a usable web address")
    headers = {}
    if target.scheme == "http":
        if not is_loopback(host):
            raise EnirisAddressError(
                "plain http is only for a service on this very machine; use https"
            )
        if host == "localhost":
            # A name is what a resolver makes of it; this one means this machine, whatever that says
            headers["Host"] = target.authority
            target = target.with_host("127.0.0.1")
    return target.update_query(params or {}), headers


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
    secrets: Collection[str] = (),
) -> Answer:
    """Send one request and return its answer, which has one of the `expected` statuses.

    `url` is a base address and a path; what becomes of it is noted in `calls`. Redirects are not followed: a token must not travel to a host that the user did not name.
    Errors quote the server without `secrets`, `bearer`, and the credentials in `json`.
    Raises `EnirisConnectionError`, `EnirisTimeoutError` or the status' own `EnirisStatusError`;
    `EnirisQueryError` where `json` cannot be written as JSON at all; `EnirisAddressError` where
    nothing may be sent to `url`, and `EnirisCertificateError` where nobody trusted answers there.
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
        target, host = _target(url, params)
        answer = await _exchange(
            http, method, target, data, {**all_headers, **host}, timeout
        )
        if answer.status not in expected:
            hidden = [*secrets, bearer] if bearer else [*secrets]
            if isinstance(json, dict):
                hidden += [
                    value
                    for key, value in json.items()
                    if key in ("password", "totp", "otp") and isinstance(value, str)
                ]
            error, message, retry_after = _read_error(answer)
            raise status_error(
                answer.status,
                clean(message, hidden),
                error=clean(error, hidden) if error else None,
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
    url: URL,
    data: bytes | None,
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
            data=data,
            headers=headers,
            # What a body is, `headers` say, or nothing: the official driver's lines come without
            skip_auto_headers=("Content-Type",),
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=timeout),
        ) as response:
            encoding = (
                ""
                if http.auto_decompress
                else response.headers.get("Content-Encoding", "")
            )
            body = await _read(response.content, encoding.strip().lower())
            return Answer(response.status, response.headers, body)
    except TimeoutError as err:
        raise EnirisTimeoutError(f"no answer within {timeout:g} seconds") from err
    except aiohttp.ClientConnectorCertificateError as err:
        raise EnirisCertificateError(_describe(err)) from err
    except (aiohttp.ClientResponseError, aiohttp.ClientPayloadError) as err:
        # Without the cause, which quotes what came, and that may quote what was sent
        raise EnirisConnectionError(_describe(err)) from None
    except (aiohttp.ClientError, OSError) as err:
        raise EnirisConnectionError(_describe(err)) from err
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
                try:
                    piece = unpacker.decompress(chunk, _DECOMPRESSED_AT_ONCE)
                except zlib.error:
                    raise EnirisResponseError(
                        "the answer cannot be decompressed"
                    ) from None
                chunk = unpacker.unconsumed_tail
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


def clean(text: str, secrets: Collection[str]) -> str:
    """Make a server's words fit to be shown: one short line, nothing secret.

    They can be put between backticks, as Markdown has code, without getting out.
    """
    for secret in secrets:
        for spelling in _spellings(secret):
            text = text.replace(spelling, _REDACTED)
    text = _TOKENS.sub(_REDACTED, text)
    return label(text.replace("`", "'"), _MESSAGE_LIMIT)


def label(text: str, longest: int) -> str:
    """Return a text as one line that says what it seems to say, cut where it is longer."""
    text = _UNPRINTABLE.sub(" ", text).strip()
    return text if len(text) <= longest else f"{text[:longest]}…"


def is_plain(text: str) -> bool:
    """Tell whether a text is a line of characters that can be seen, at a length that anybody means."""
    return len(text) <= LONGEST_NAME and _UNPRINTABLE.search(text) is None


def _spellings(secret: str) -> list[str]:
    """Return the forms in which a server may quote a secret, the longest first."""
    raw = secret.encode("utf-8", "surrogatepass")
    encoded = base64.b64encode(raw).decode()
    forms = {
        secret,
        # Also as it stood in the request's body
        stdlib_json.dumps(secret)[1:-1],
        stdlib_json.dumps(secret, ensure_ascii=False)[1:-1],
        quote(raw),
        quote(raw, safe=""),
        encoded,
        encoded.rstrip("="),
        encoded.rstrip("=").replace("+", "-").replace("/", "_"),
    }
    return sorted((form for form in forms if form), key=len, reverse=True)


def _describe(err: Exception) -> str:
    """Name a connection's failure without the address, which may carry more than a host."""
    if isinstance(err, aiohttp.ClientConnectorCertificateError):
        reason = getattr(err.certificate_error, "verify_message", "")
        return f"the server's certificate is not trusted ({reason or 'unknown reason'})"
    if isinstance(err, aiohttp.ClientConnectorDNSError):
        return "the server's name could not be resolved"
    if isinstance(err, aiohttp.ClientConnectorError):
        return "the connection was refused or failed"
    return f"the connection failed ({type(err).__name__})"
