"""The statuses of the service, and the one exception that each becomes."""

from aiohttp import web
from freezegun.api import FrozenDateTimeFactory
import pytest

from custom_components.eniris.api import (
    BadRequestError,
    ConflictError,
    EnirisStatusError,
    ForbiddenError,
    MethodNotAllowedError,
    NoPasswordError,
    NotFoundError,
    PayloadTooLargeError,
    PreconditionFailedError,
    RateLimitedError,
    ServerError,
    Session,
    UnprocessableError,
    encode_points,
)
from simulator.faults import FaultKind
from simulator.server import Simulator
from tests.api.conftest import StubServer
from tests.api.kit import ALL, POINT, TARGET, answering


@pytest.mark.parametrize(
    ("status", "exception"),
    [
        (302, EnirisStatusError),
        (400, BadRequestError),
        (402, EnirisStatusError),
        (403, ForbiddenError),
        (404, NotFoundError),
        (405, MethodNotAllowedError),
        (409, ConflictError),
        (412, PreconditionFailedError),
        (413, PayloadTooLargeError),
        (422, UnprocessableError),
        (429, RateLimitedError),
        (500, ServerError),
        (502, ServerError),
        (503, ServerError),
        (599, ServerError),
    ],
)
async def test_statuses(
    session: Session,
    simulator: Simulator,
    status: int,
    exception: type[EnirisStatusError],
) -> None:
    """Each status of the tables has its exception, with the server's words and wait."""
    for path, call in ALL.values():
        simulator.faults.add(
            path, "status", status=status, message="so it is", retry_after=17
        )
        with pytest.raises(EnirisStatusError) as caught:
            await call(session)
        assert type(caught.value) is exception
        assert caught.value.status == status
        assert caught.value.message == "so it is"
        assert caught.value.retry_after == 17


@pytest.mark.parametrize(
    ("status", "error", "message", "text"),
    [
        (404, None, "", "404 Not Found"),
        (404, "CODE", "", "404 Not Found (CODE)"),
        (404, None, "words", "404 Not Found (words)"),
        (404, "CODE", "words", "404 Not Found (CODE: words)"),
        (599, None, "words", "599 (words)"),
        (599, None, "", "599"),
    ],
)
def test_text_of_a_refusal(
    status: int, error: str | None, message: str, text: str
) -> None:
    """A refusal reads as the status and what the server said."""
    err = EnirisStatusError(status, message, error=error)
    assert str(err) == text


@pytest.mark.parametrize(
    ("body", "error", "message", "retry_after"),
    [
        (b"", None, "", None),
        (b"<html>504</html>", None, "", None),
        (b"\xff\xfe", None, "", None),
        (b"null", None, "", None),
        (b"[]", None, "", None),
        (b'"text"', None, "", None),
        (b'{"error":5,"message":["x"],"retryAfter":"5"}', None, "", None),
        (b'{"error":"E","message":"m","retryAfter":2.5}', "E", "m", 2.5),
        (b'{"message":"m","retryAfter":0}', None, "m", 0),
        (b'{"retryAfter":-1}', None, "", None),
        (b'{"retryAfter":true}', None, "", None),
        (b'{"retryAfter":1e999}', None, "", None),
        (b'{"message":"a\\nb\\u0007\\u009fc  d\\r\\n"}', None, "a b c  d", None),
    ],
)
async def test_bodies_of_refusals(
    stub_session: Session,
    stub: StubServer,
    body: bytes,
    error: str | None,
    message: str,
    retry_after: float | None,
) -> None:
    """Of a refusal's body, which can be anything, what is usable is used."""
    stub.respond = answering(web.Response, status=503, body=body)
    with pytest.raises(ServerError) as caught:
        await stub_session.companies()
    assert caught.value.error == error
    assert caught.value.message == message
    assert caught.value.retry_after == retry_after


@pytest.mark.parametrize("member", ["error", "message"])
async def test_long_words_are_cut(
    stub_session: Session, stub: StubServer, member: str
) -> None:
    """No more of an answer than a line gets into an exception."""
    stub.respond = answering(web.json_response, {member: "x" * 5000}, status=503)
    with pytest.raises(ServerError) as caught:
        await stub_session.companies()
    assert f"{'x' * 300}…" in str(caught.value)
    assert len(str(caught.value)) < 350


@pytest.mark.parametrize("member", ["error", "message"])
async def test_account_without_password(
    stub_session: Session, stub: StubServer, member: str
) -> None:
    """The one failure of the server that the user can do something about."""
    stub.respond = answering(
        web.json_response, {member: "NO_PASSWORD_INFO"}, status=500
    )
    with pytest.raises(NoPasswordError):
        await stub_session.companies()


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("120", 120.0),
        ("0", 0.0),
        ("2.5", 2.5),
        (" 7 ", 7.0),
        ("Wed, 01 Jul 2026 12:02:00 GMT", 120.0),
        ("Wed, 01 Jul 2026 14:02:00 +0200", 120.0),
        ("Wed, 01 Jul 2026 12:02:00", 120.0),
        ("Wednesday, 01-Jul-26 12:02:00 GMT", 120.0),
        ("Wed, 01 Jul 2026 11:00:00 GMT", 0.0),
        ("Mon, 01 Jan 99999999999 00:00:00 GMT", None),
        ("Mon, 01 Jan 2026 00:00:00 +99999999999999", None),
        ("Mon, 99 Jan 2026 00:00:00 GMT", None),
        ("-5", None),
        ("nan", None),
        ("inf", None),
        ("-inf", None),
        ("1e999", None),
        ("soon", None),
        ("", None),
        ("9" * 400, None),
    ],
)
async def test_retry_after(
    stub_session: Session,
    stub: StubServer,
    freezer: FrozenDateTimeFactory,
    header: str,
    seconds: float | None,
) -> None:
    """`Retry-After` is a number, a date, or nonsense that counts as absent."""
    freezer.move_to("2026-07-01T12:00:00Z")
    stub.respond = answering(web.Response, status=429, headers={"Retry-After": header})
    with pytest.raises(RateLimitedError) as caught:
        await stub_session.companies()
    assert caught.value.retry_after == seconds


@pytest.mark.parametrize("ours", ["2026-07-01T11:00:00Z", "2026-07-03T12:00:00Z"])
async def test_retry_after_by_the_clock_of_the_answer(
    stub_session: Session, stub: StubServer, freezer: FrozenDateTimeFactory, ours: str
) -> None:
    """A date is one of the clock of who says it, however wrong ours is."""
    freezer.move_to(ours)
    stub.respond = answering(
        web.Response,
        status=429,
        headers={
            "Date": "Wed, 01 Jul 2026 12:00:00 GMT",
            "Retry-After": "Wed, 01 Jul 2026 12:00:42 GMT",
        },
    )
    with pytest.raises(RateLimitedError) as caught:
        await stub_session.companies()
    assert caught.value.retry_after == 42


@pytest.mark.parametrize(
    ("header", "body", "seconds"),
    [("5", 300, 300), ("300", 5, 300), ("nan", 5, 5), ("5", None, 5), ("5", -7, 5)],
)
async def test_two_waits(
    stub_session: Session,
    stub: StubServer,
    header: str,
    body: float | None,
    seconds: float,
) -> None:
    """Of two waits the longer one counts: that after a ban, for instance."""
    stub.respond = answering(
        web.json_response,
        {"retryAfter": body},
        status=429,
        headers={"Retry-After": header},
    )
    with pytest.raises(RateLimitedError) as caught:
        await stub_session.companies()
    assert caught.value.retry_after == seconds


@pytest.mark.parametrize(
    ("fault", "status"), [("garbage", 200), ("empty", 200), ("json", 201)]
)
async def test_write_is_stored_only_with_204(
    session: Session, simulator: Simulator, fault: FaultKind, status: int
) -> None:
    """Points are only gone from here once the service has said the one word for it."""
    simulator.faults.add("/v1/telemetry", fault, status=status)
    with pytest.raises(EnirisStatusError) as caught:
        await session.write_body(TARGET, encode_points([POINT]))
    assert caught.value.status == status
