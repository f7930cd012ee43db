"""What the simulator was asked, and what it answered."""

from collections import Counter, deque
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
import json
from typing import Any

from .timestamps import iso_ms

KEPT_REQUESTS = 10_000
KEPT_BODIES = 500
KEPT_BODY_BYTES = 65_536


@dataclass(slots=True, eq=False)
class LoggedRequest:
    """One request.

    call: method and route, for example `PUT /v1/device/{id}`; the counters go by it.
    path: the path itself; query: its parameters, in order; headers: with the token taken out.
    received_bytes: size of the body on the wire; body_bytes: its size after decompression.
    body: the decompressed body of recent requests to api and ingress, as far as it is small; never of log-ins.
    status: None as long as no answer is on its way, and where the connection was dropped.
    user_id: owner of the token, if there was a valid one. cost: rate-limit tokens of a telemetry query.
    points: number of points that a write stored. fault: kind of the fault that was injected.
    """

    time: datetime
    method: str
    call: str
    path: str
    query: list[tuple[str, str]]
    headers: dict[str, str]
    remote: str
    received_bytes: int = 0
    body_bytes: int = 0
    body: bytes | None = None
    status: int | None = None
    user_id: int | None = None
    cost: float | None = None
    points: int | None = None
    fault: str | None = None

    @property
    def json(self) -> Any:
        """Return the body as JSON; None where there is no body, or another one."""
        try:
            return None if self.body is None else json.loads(self.body)
        except ValueError:
            return None

    def as_dict(self) -> dict[str, Any]:
        """Return the request for the control API."""
        return {
            "time": iso_ms(self.time),
            "method": self.method,
            "call": self.call,
            "path": self.path,
            "query": [list(pair) for pair in self.query],
            "headers": self.headers,
            "remote": self.remote,
            "received_bytes": self.received_bytes,
            "body_bytes": self.body_bytes,
            "body": None if self.body is None else self.body.decode("utf-8", "replace"),
            "status": self.status,
            "user_id": self.user_id,
            "cost": self.cost,
            "points": self.points,
            "fault": self.fault,
        }


_current: ContextVar[LoggedRequest] = ContextVar("current_request")


def current_request() -> LoggedRequest:
    """Return the log entry of the request that this task serves."""
    return _current.get()


class RequestLog:
    """The latest requests, and counters since the last reset.

    counts: number of answers by call and status; a dropped connection counts under status 0.
    """

    def __init__(self, clock: Callable[[], datetime]) -> None:
        """Start empty."""
        self._clock = clock
        self.requests: deque[LoggedRequest] = deque(maxlen=KEPT_REQUESTS)
        self.counts: dict[str, Counter[int]] = {}
        self._with_body: deque[LoggedRequest] = deque()

    def open(
        self,
        *,
        method: str,
        call: str,
        path: str,
        query: list[tuple[str, str]],
        headers: dict[str, str],
        remote: str,
    ) -> LoggedRequest:
        """Note a request that has come in and make it the current one of this task."""
        redacted = {
            name: "(redacted)" if name.lower() == "authorization" else value
            for name, value in headers.items()
        }
        entry = LoggedRequest(
            self._clock(), method, call, path, query, redacted, remote
        )
        self.requests.append(entry)
        _current.set(entry)
        return entry

    def keep_body(self, entry: LoggedRequest, body: bytes) -> None:
        """Keep a body as long as it is among the newest."""
        if len(body) > KEPT_BODY_BYTES:
            return
        entry.body = body
        self._with_body.append(entry)
        if len(self._with_body) > KEPT_BODIES:
            self._with_body.popleft().body = None

    def close(self, entry: LoggedRequest, status: int | None) -> None:
        """Note how a request was answered."""
        entry.status = status
        self.counts.setdefault(entry.call, Counter())[status or 0] += 1

    def count(self, call: str, status: int | None = None) -> int:
        """Return how often a call (`GET /auth/accesstoken`) was answered, with one status or with any."""
        counter = self.counts.get(call, Counter())
        return counter.total() if status is None else counter[status]

    def find(
        self,
        call: str | None = None,
        *,
        path: str | None = None,
        status: int | None = None,
    ) -> list[LoggedRequest]:
        """Return the logged requests that match, oldest first."""
        return [
            entry
            for entry in self.requests
            if (call is None or entry.call == call)
            and (path is None or entry.path == path)
            and (status is None or entry.status == status)
        ]

    def reset(self) -> None:
        """Forget everything."""
        self.requests.clear()
        self.counts.clear()
        self._with_body.clear()
