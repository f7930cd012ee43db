"""Things that go wrong on purpose."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
import json
from typing import Any, Literal, get_args

from aiohttp import web

from .errors import ApiError, reason

type FaultKind = Literal[
    "status",
    "delay",
    "drop",
    "drop_after",
    "half_body",
    "garbage",
    "html",
    "json",
    "wrong_type",
    "empty",
]
type Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

KINDS: frozenset[str] = frozenset(get_args(FaultKind.__value__))

_GARBAGE = b"\x00\xff\xfe{]not json at all\x80"
_HTML = "<!DOCTYPE html><html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>"


@dataclass(slots=True, eq=False)
class Fault:
    """What goes wrong, where, and how often.

    path: exactly this path; everything below it with a slash at the end; or a glob with `*`, `?` or `[`.
    method: only this method; None for all.
    query: only requests with these parameters, such as `{"db": …, "rp": …}` of one target; None for all.
    fault:
        `status`: an error body with `status`, `message` and `retry_after` (in the body and as `Retry-After`).
        `delay`: nothing but a wait of `delay` seconds; any other fault waits that long too, before it strikes.
        `drop`: the connection ends without an answer, and the request was not carried out.
        `drop_after`: the same after the request was carried out, as if the answer had been lost on its way.
        `half_body`: the headers of the true answer and half of its body, then the connection ends.
        `garbage`: bytes that are not JSON, declared as JSON. `html`: a web page, as of a proxy.
        `json`: valid JSON of the test's choice, in `body`. `wrong_type`: valid JSON of the wrong type, the number 42.
        `empty`: no body at all.
    status: of the answer; 500 for `status`, 502 for `html` and 200 for the others unless it is given.
    times: how many requests it strikes; None until it is cleared.
    hits: how many it has struck.
    """

    path: str
    fault: FaultKind
    method: str | None = None
    status: int | None = None
    message: str = "Injected fault"
    retry_after: float | None = None
    delay: float = 0.0
    times: int | None = None
    body: Any = None
    query: Mapping[str, str] | None = None
    id: int = 0
    hits: int = 0

    def matches(self, method: str, path: str, query: Mapping[str, str]) -> bool:
        """Tell whether the fault strikes a request."""
        if self.times is not None and self.hits >= self.times:
            return False
        if self.method is not None and self.method.upper() != method:
            return False
        if self.query is not None and not self.query.items() <= query.items():
            return False
        if any(char in self.path for char in "*?["):
            return fnmatchcase(path, self.path)
        return path == self.path or (
            self.path.endswith("/") and path.startswith(self.path)
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the fault for the control API."""
        return asdict(self)


class Faults:
    """The faults in force; of several that match a request the oldest strikes."""

    def __init__(self) -> None:
        """Start without any."""
        self._faults: list[Fault] = []
        self._next_id = 1

    def __iter__(self) -> Iterator[Fault]:
        """Go through the faults, those that are used up included."""
        return iter(self._faults)

    def add(
        self,
        path: str,
        fault: FaultKind,
        *,
        method: str | None = None,
        status: int | None = None,
        message: str = "Injected fault",
        retry_after: float | None = None,
        delay: float = 0.0,
        times: int | None = None,
        body: Any = None,
        query: Mapping[str, str] | None = None,
    ) -> Fault:
        """Inject a fault; its attributes are those of `Fault`."""
        if fault not in KINDS:
            raise ValueError(f"no such fault: {fault}")
        added = Fault(
            path,
            fault,
            method,
            status,
            message,
            retry_after,
            delay,
            times,
            body,
            query,
            self._next_id,
        )
        self._next_id += 1
        self._faults.append(added)
        return added

    def remove(self, fault_id: int) -> bool:
        """Clear one fault; False if there is none with this id."""
        kept = [fault for fault in self._faults if fault.id != fault_id]
        removed = len(kept) < len(self._faults)
        self._faults = kept
        return removed

    def clear(self) -> None:
        """Clear all faults."""
        self._faults.clear()

    def match(self, method: str, path: str, query: Mapping[str, str]) -> Fault | None:
        """Return the fault that strikes a request, and count it."""
        for fault in self._faults:
            if fault.matches(method, path, query):
                fault.hits += 1
                return fault
        return None


def end_connection(request: web.Request) -> web.StreamResponse:
    """End the connection without a further byte."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


async def strike(
    fault: Fault, request: web.Request, handler: Handler, stopping: asyncio.Event
) -> web.StreamResponse:
    """Answer a request as the fault demands; `stopping` cuts a delay short."""
    if fault.delay > 0:
        try:
            await asyncio.wait_for(stopping.wait(), fault.delay)
        except TimeoutError:
            pass
        else:
            return end_connection(request)
    match fault.fault:
        case "delay":
            return await handler(request)
        case "drop":
            return end_connection(request)
        case "drop_after":
            await handler(request)
            return end_connection(request)
        case "half_body":
            return await _half_body(request, await handler(request))
        case "status":
            headers = (
                {}
                if fault.retry_after is None
                else {"Retry-After": f"{fault.retry_after:g}"}
            )
            raise ApiError(
                fault.status or 500,
                fault.message,
                retry_after=fault.retry_after,
                headers=headers,
            )
        case _:
            return _canned(fault)


def _canned(fault: Fault) -> web.Response:
    if fault.fault == "html":
        status = fault.status or 502
        page = _HTML.format(title=f"{status} {reason(status)}")
        return web.Response(status=status, text=page, content_type="text/html")
    status = fault.status or 200
    bodies = {
        "garbage": _GARBAGE,
        "json": json.dumps(fault.body).encode(),
        "wrong_type": b"42",
        "empty": b"",
    }
    return web.Response(
        status=status, body=bodies[fault.fault], content_type="application/json"
    )


async def _half_body(
    request: web.Request, full: web.StreamResponse
) -> web.StreamResponse:
    body = full.body if isinstance(full, web.Response) else None
    if not isinstance(body, bytes | bytearray):
        return end_connection(request)
    half = web.StreamResponse(status=full.status, headers=full.headers)
    half.content_length = len(body)
    await half.prepare(request)
    await half.write(bytes(body[: len(body) // 2]))
    if request.transport is not None:
        request.transport.close()
    return half
