"""The one way in which the simulated service refuses.

Every error body is JSON `{"statusCode": int, "error": str, "message": str}`, sometimes with `retryAfter` in seconds.
"""

from http import HTTPStatus
from typing import Any


class ApiError(Exception):
    """A refusal on its way to the client.

    `code` is the service's own constant (`PASSWORD_INCORRECT`), None where it has none. The documentation does not
    say whether a constant stands in `error` or in `message`; see `Switches.code_in_error`.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        code: str | None = None,
        retry_after: float | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        """Describe a refusal; `retry_after` is in seconds and goes into the body."""
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.code = code
        self.retry_after = retry_after
        self.headers = headers or {}

    def body(self, *, code_in_error: bool) -> dict[str, Any]:
        """Return the JSON body."""
        body: dict[str, Any] = {
            "statusCode": self.status,
            "error": reason(self.status),
            "message": self.detail,
        }
        if self.code is not None and code_in_error:
            body["error"] = self.code
        elif self.code is not None:
            body["message"] = self.code
        if self.retry_after is not None:
            body["retryAfter"] = self.retry_after
        return body


def reason(status: int) -> str:
    """Return the standard phrase of a status."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"


def bad_request(detail: str) -> ApiError:
    """Return the refusal of a malformed request."""
    return ApiError(400, detail)
