"""What became of an account's calls: counted by method and path, without anything that is somebody's."""

import time

import pytest

from custom_components.eniris.api.calls import Calls, Failure, known_words
from custom_components.eniris.api.errors import (
    ConflictError,
    EnirisConnectionError,
    UnauthorizedError,
)


def test_counted_by_path_and_status() -> None:
    """Ids in a path are left out; an error counts by its status, or by its name where no answer came."""
    calls = Calls()
    for number, outcome in (
        (1, 200),
        (22, 200),
        (333, ConflictError(409, "no")),
        (4, EnirisConnectionError("refused")),
    ):
        calls.note(f"PUT /v1/device/{number}", time.monotonic() - 0.5, outcome)
    calls.note("GET /v1/company", time.monotonic(), 200)
    assert {call: its.statuses for call, its in calls.figures.items()} == {
        "PUT /v1/device/{id}": {"200": 2, "409": 1, "EnirisConnectionError": 1},
        "GET /v1/company": {"200": 1},
    }
    figures = calls.figures["PUT /v1/device/{id}"]
    assert 2.0 <= figures.seconds < 3.0
    assert figures.last_failure == Failure("EnirisConnectionError", None, None)
    assert figures.last_failure_at == pytest.approx(time.time(), abs=5)
    assert calls.figures["GET /v1/company"].last_failure is None


def test_only_known_words() -> None:
    """Of what the service says, its own codes are kept; the rest may quote a name or a token."""
    error = UnauthorizedError(
        401, "jane@example.com: secret", error="PASSWORD_INCORRECT"
    )
    assert Failure.of(error) == Failure("UnauthorizedError", 401, "PASSWORD_INCORRECT")
    assert Failure.of(ConflictError(409, "jane has said no")).code is None
    text = "field type conflict of jane, outside the allowed time range"
    assert known_words(text) == [
        "field type conflict",
        "outside the allowed time range",
    ]
