"""What became of an account's calls: numbers, times and errors, and nothing of what was said."""

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
    """The calls of one method and path since the start."""

    statuses: dict[str, int] = field(default_factory=dict)
    """How often each status came, or the name of the error if none did."""
    seconds: float = 0.0
    """How long the answers took, all together."""
    last_failure: Failure | None = None
    last_failure_at: float | None = None
    """Unix seconds."""


@dataclass(slots=True)
class Calls:
    """All calls of an account, by method and path; numbers in a path are left out."""

    figures: dict[str, CallFigures] = field(default_factory=dict)

    def note(self, call: str, started: float, outcome: int | EnirisError) -> None:
        """Note with which status or error a call like "GET /v1/company" has ended.

        It `started` at a monotonic time.
        """
        figures = self.figures.setdefault(_NUMBER.sub("{id}", call), CallFigures())
        figures.seconds += time.monotonic() - started
        status = str(outcome)
        if isinstance(outcome, EnirisError):
            failure = Failure.of(outcome)
            status = str(failure.status or failure.kind)
            figures.last_failure, figures.last_failure_at = failure, time.time()
        figures.statuses[status] = figures.statuses.get(status, 0) + 1
