"""What can go wrong with the Eniris cloud, as a tree that mirrors the API's tables of statuses.

Every exception's text is fit to be shown to a user: it holds no token, no password and
no more of an answer than the server's own message.
"""

from http import HTTPStatus
from typing import Self


class EnirisError(Exception):
    """Anything that went wrong between us and the Eniris cloud."""


class EnirisConnectionError(EnirisError):
    """No answer: name not resolved, connection refused or lost."""


class EnirisTimeoutError(EnirisConnectionError):
    """No complete answer within the time that the request allows."""


class EnirisCertificateError(EnirisConnectionError):
    """Whoever answered could not prove to be the host that was asked; nothing was sent."""


class EnirisAddressError(EnirisConnectionError):
    """Nothing may be sent to this address: no usable one, or plain http off this machine."""


class EnirisResponseError(EnirisError):
    """An answer that is not what the API promises: HTML, truncated JSON, wrong types."""


class NoAccessTokenError(EnirisError):
    """The authentication host refused to issue an access token, for a reason of its own.

    An error apart, so that its status is never taken for the answer to the call that needed the token.
    """


class EnirisQueryError(EnirisError):
    """A query, a point or a text that the API would refuse, found before it was sent."""


class EnirisStatusError(EnirisError):
    """The server refused. Raised itself only for a status that no table of the API names."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        error: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        """Keep `message` and `error` as the server worded them, `retry_after` in seconds."""
        super().__init__(status, message)
        self.status = status
        self.message = message
        self.error = error
        self.retry_after = retry_after

    def __str__(self) -> str:
        """Return the status with its standard phrase, then what the server said."""
        try:
            phrase = f"{self.status} {HTTPStatus(self.status).phrase}"
        except ValueError:
            phrase = str(self.status)
        detail = ": ".join(part for part in (self.error, self.message) if part)
        return f"{phrase} ({detail})" if detail else phrase

    def says(self, code: str) -> bool:
        """Tell whether the server named `code`, in whichever member of its answer."""
        return code in f"{self.error or ''} {self.message}"


class BadRequestError(EnirisStatusError):
    """400: the request is badly formatted."""


class UnauthorizedError(EnirisStatusError):
    """401: a password, code or token is wrong or has expired."""


class ReauthenticationRequiredError(UnauthorizedError):
    """401 again with a token just issued, or on the refresh token: only a new log-in helps."""

    @classmethod
    def of(cls, err: UnauthorizedError) -> Self:
        """Return what a refused token means where a fresh one was refused."""
        return cls(
            err.status, err.message, error=err.error, retry_after=err.retry_after
        )


class ForbiddenError(EnirisStatusError):
    """403: the account may not do this, or is not on this tier."""


class NotFoundError(EnirisStatusError):
    """404: no such device, or an unknown namespace (database and retention policy)."""


class MethodNotAllowedError(EnirisStatusError):
    """405: the server does not know this method at this address."""


class ConflictError(EnirisStatusError):
    """409: outside the allowed time range, another stored type, or a factor that is not set up."""


class PreconditionFailedError(EnirisStatusError):
    """412: the device changed since the time given."""


class PayloadTooLargeError(EnirisStatusError):
    """413: the body is too large; half of it may pass."""


class UnprocessableError(EnirisStatusError):
    """422: inconsistent types within a message, a patch that fails, or a query dearer than the budget."""


class RateLimitedError(EnirisStatusError):
    """429: too many requests, failed passwords or codes; wait for `retry_after` seconds."""


class ServerError(EnirisStatusError):
    """5xx: the service itself failed."""


class NoPasswordError(ServerError):
    """500 `NO_PASSWORD_INFO`: the account has no password to log in with."""


_BY_STATUS: dict[int, type[EnirisStatusError]] = {
    400: BadRequestError,
    401: UnauthorizedError,
    403: ForbiddenError,
    404: NotFoundError,
    405: MethodNotAllowedError,
    409: ConflictError,
    412: PreconditionFailedError,
    413: PayloadTooLargeError,
    422: UnprocessableError,
    429: RateLimitedError,
}


def status_error(
    status: int,
    message: str,
    *,
    error: str | None = None,
    retry_after: float | None = None,
) -> EnirisStatusError:
    """Return the exception that stands for `status`."""
    kind = _BY_STATUS.get(status)
    if kind is None:
        kind = ServerError if 500 <= status < 600 else EnirisStatusError
    if kind is ServerError and "NO_PASSWORD_INFO" in f"{error or ''} {message}":
        kind = NoPasswordError
    return kind(status, message, error=error, retry_after=retry_after)


def without_frames[E: BaseException](err: E) -> E:
    """Return an exception that is to be kept: what it says, and no frames with all that they hold.

    They would keep the body of a request that failed, and what it was made of.
    """
    cause: BaseException | None = err
    while cause is not None:
        cause.__traceback__ = None
        cause = cause.__context__
    return err
