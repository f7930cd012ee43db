"""What became of an account's calls: numbers, times and errors, and nothing of what was said."""

from collections import Counter
from dataclasses import dataclass, field
import re
import time
from typing import Final

from .errors import EnirisError, EnirisStatusError

_NUMBER: Final = re.compile(r"(?<=/)\d+(?=/|$)")

_CODES: Final = (
    "EMAIL_OTP_INACTIVE",
    "EMAIL_OTP_UNINITIALIZED",
    "NO_PASSWORD_INFO",
    "NO_TOKEN_PROVIDED",
    "PASSWORD_INCORRECT",
    "TOO_MANY_FAILED_PASSWORD_CHECKS",
    "TOO_MANY_OTP_EMAILS",
    "TOO_MANY_TOTP_CHECKS",
    "TOTP_UNINITIALIZED",
    "field type conflict",
    "outside the allowed time range",
)
"""Words of the service that say what is wrong; anything else that it says may be somebody's."""


def known_words(text: str) -> list[str]:
    """Return those of the service's own words that stand in a text."""
    return [code for code in _CODES if code in text]


@dataclass(frozen=True, slots=True)
class Failure:
    """An error without the words of the server, which may quote names and tokens."""

    kind: str
    status: int | None
    code: str | None
    """What the service says is wrong, where that is one of its known words."""

    @classmethod
    def of(cls, error: BaseException) -> "Failure":
        """Return what may be told of an error."""
        if not isinstance(error, EnirisStatusError):
            return cls(type(error).__name__, None, None)
        words = known_words(f"{error.error or ''} {error.message}")
        return cls(type(error).__name__, error.status, next(iter(words), None))


@dataclass(slots=True)
class CallFigures:
    """The calls of one method and path since the start. Times are Unix seconds."""

    count: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    """How often each status came, or the name of the error where none did."""
    seconds: float = 0.0
    """How long the answers took, all together."""
    bytes_sent: int = 0
    bytes_received: int = 0
    """Of the answers that were as hoped for."""
    last: float = 0.0
    last_failure: Failure | None = None
    last_failure_at: float | None = None


@dataclass(slots=True)
class Calls:
    """All calls of an account, by method and path; numbers in a path are left out."""

    figures: dict[str, CallFigures] = field(default_factory=dict)

    def note(
        self,
        call: str,
        started: float,
        *,
        sent: int,
        received: int = 0,
        status: int | None = None,
        error: EnirisError | None = None,
    ) -> None:
        """Note a call like "GET /v1/company" that `started` at a monotonic time and has ended."""
        figures = self.figures.setdefault(_NUMBER.sub("{id}", call), CallFigures())
        failure = None if error is None else Failure.of(error)
        if failure is not None:
            status = failure.status
        figures.count += 1
        kind = "" if failure is None else failure.kind
        figures.statuses[kind if status is None else str(status)] += 1
        figures.seconds += time.monotonic() - started
        figures.bytes_sent += sent
        figures.bytes_received += received
        figures.last = time.time()
        if failure is not None:
            figures.last_failure = failure
            figures.last_failure_at = figures.last
