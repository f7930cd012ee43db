"""Logging in, second factors, and the life of tokens."""

from collections.abc import Awaitable, Callable
import time
from typing import Any

import aiohttp
from aiohttp import web
import pytest

from custom_components.eniris.api import (
    Authentication,
    BadRequestError,
    ConflictError,
    EnirisQueryError,
    EnirisResponseError,
    EnirisStatusError,
    NoPasswordError,
    PartialToken,
    RateLimitedError,
    ReauthenticationRequiredError,
    RefreshToken,
    ServerError,
    UnauthorizedError,
)
from simulator.accounts import DEMO_TOTP_SECRET
from simulator.server import Simulator
from simulator.totp import totp

from .conftest import PASSWORD, USERNAME, StubServer, log_in

DEAD = RefreshToken("dead.token", 0)


def totp_code(simulator: Simulator) -> str:
    """Return what the authenticator app of all demo accounts shows."""
    return totp(DEMO_TOTP_SECRET, simulator.clock())


def wrong(code: str) -> str:
    """Return another code."""
    return f"{(int(code) + 1) % 1_000_000:06d}"


async def partial_token(authentication: Authentication, username: str) -> PartialToken:
    """Give the right password of an account with a second factor."""
    token = await authentication.login(username, PASSWORD)
    assert isinstance(token, PartialToken)
    return token


@pytest.mark.parametrize("quoted", [False, True])
async def test_plain_log_in(
    authentication: Authentication, simulator: Simulator, quoted: bool
) -> None:
    """A plain account gets a token that works, whether it comes bare or in quotes."""
    simulator.switches.quote_tokens = quoted
    before = time.time()
    token = await authentication.login(USERNAME, PASSWORD)
    assert isinstance(token, RefreshToken)
    assert before <= token.issued_at <= time.time()
    assert '"' not in token.value
    assert await authentication.validate(token) == 1001
    assert '"' not in await authentication.access_token(token)
    assert '"' not in (await authentication.renew(token)).value


@pytest.mark.parametrize("username", ["totp@example.com", "both@example.com"])
@pytest.mark.parametrize("quoted", [False, True])
async def test_authenticator_app(
    authentication: Authentication, simulator: Simulator, username: str, quoted: bool
) -> None:
    """The code of an app completes the log-in."""
    simulator.switches.quote_tokens = quoted
    partial = await partial_token(authentication, username)
    before = time.time()
    token = await authentication.authenticate_totp(partial, totp_code(simulator))
    assert before <= token.issued_at <= time.time()
    assert await authentication.validate(token) == simulator.accounts[username].user_id
    assert await authentication.access_token(token)


@pytest.mark.parametrize("username", ["email@example.com", "both@example.com"])
async def test_code_by_email(
    authentication: Authentication, simulator: Simulator, username: str
) -> None:
    """A code is e-mailed in the language asked for, and completes the log-in."""
    partial = await partial_token(authentication, username)
    assert not simulator.emails
    await authentication.request_email_otp(partial, "nl")
    (email,) = simulator.emails
    assert (email.username, email.language) == (username, "nl")
    token = await authentication.authenticate_email_otp(partial, email.code)
    assert await authentication.validate(token) == simulator.accounts[username].user_id


type Attempt = Callable[[Authentication, Simulator], Awaitable[object]]


async def _login(auth: Authentication, _: Simulator) -> object:
    return await auth.login(USERNAME, "wrong")


async def _login_unknown(auth: Authentication, _: Simulator) -> object:
    return await auth.login("nobody@example.com", PASSWORD)


async def _login_long_name(auth: Authentication, _: Simulator) -> object:
    return await auth.login("x" * 257, PASSWORD)


async def _login_long_password(auth: Authentication, _: Simulator) -> object:
    return await auth.login(USERNAME, "x" * 257)


async def _login_too_often(auth: Authentication, _: Simulator) -> object:
    for _attempt in range(5):
        with pytest.raises(UnauthorizedError):
            await auth.login(USERNAME, "wrong")
    return await auth.login(USERNAME, PASSWORD)


async def _login_without_password(auth: Authentication, _: Simulator) -> object:
    return await auth.login("nopassword@example.com", PASSWORD)


async def _totp_wrong(auth: Authentication, simulator: Simulator) -> object:
    partial = await partial_token(auth, "totp@example.com")
    return await auth.authenticate_totp(partial, wrong(totp_code(simulator)))


async def _totp_short(auth: Authentication, _: Simulator) -> object:
    return await auth.authenticate_totp(
        await partial_token(auth, "totp@example.com"), "12345"
    )


async def _totp_invalid_token(auth: Authentication, simulator: Simulator) -> object:
    return await auth.authenticate_totp(PartialToken("dead"), totp_code(simulator))


async def _totp_not_set_up(auth: Authentication, simulator: Simulator) -> object:
    partial = await partial_token(auth, "email@example.com")
    return await auth.authenticate_totp(partial, totp_code(simulator))


async def _totp_too_often(auth: Authentication, simulator: Simulator) -> object:
    partial = await partial_token(auth, "totp@example.com")
    code = totp_code(simulator)
    for _attempt in range(5):
        with pytest.raises(UnauthorizedError):
            await auth.authenticate_totp(partial, wrong(code))
    return await auth.authenticate_totp(partial, code)


async def _email_not_set_up(auth: Authentication, _: Simulator) -> object:
    partial = await partial_token(auth, "totp@example.com")
    await auth.request_email_otp(partial, "en")
    return None


async def _email_invalid_token(auth: Authentication, _: Simulator) -> object:
    await auth.request_email_otp(PartialToken("dead"), "en")
    return None


async def _email_too_often(auth: Authentication, _: Simulator) -> object:
    partial = await partial_token(auth, "email@example.com")
    for _attempt in range(4):
        await auth.request_email_otp(partial, "en")
    return None


async def _email_code_inactive(auth: Authentication, _: Simulator) -> object:
    partial = await partial_token(auth, "email@example.com")
    return await auth.authenticate_email_otp(partial, "123456")


async def _email_code_wrong(auth: Authentication, simulator: Simulator) -> object:
    partial = await partial_token(auth, "email@example.com")
    await auth.request_email_otp(partial, "en")
    return await auth.authenticate_email_otp(partial, wrong(simulator.emails[-1].code))


async def _email_code_short(auth: Authentication, _: Simulator) -> object:
    partial = await partial_token(auth, "email@example.com")
    return await auth.authenticate_email_otp(partial, "1")


@pytest.mark.parametrize("code_in_error", [False, True])
@pytest.mark.parametrize(
    ("attempt", "exception", "status", "code"),
    [
        (_login, UnauthorizedError, 401, "PASSWORD_INCORRECT"),
        (_login_unknown, UnauthorizedError, 401, "PASSWORD_INCORRECT"),
        (_login_long_name, BadRequestError, 400, "username"),
        (_login_long_password, BadRequestError, 400, "password"),
        (_login_too_often, RateLimitedError, 429, "TOO_MANY_FAILED_PASSWORD_CHECKS"),
        (_login_without_password, NoPasswordError, 500, "NO_PASSWORD_INFO"),
        (_totp_wrong, UnauthorizedError, 401, "TOTP_INCORRECT"),
        (_totp_short, BadRequestError, 400, "totp"),
        (_totp_invalid_token, UnauthorizedError, 401, "Invalid token"),
        (_totp_not_set_up, ConflictError, 409, "TOTP_UNINITIALIZED"),
        (_totp_too_often, RateLimitedError, 429, "TOO_MANY_TOTP_CHECKS"),
        (_email_not_set_up, ConflictError, 409, "EMAIL_OTP_UNINITIALIZED"),
        (_email_invalid_token, UnauthorizedError, 401, "Invalid token"),
        (_email_too_often, RateLimitedError, 429, "TOO_MANY_OTP_EMAILS"),
        (_email_code_inactive, ConflictError, 409, "EMAIL_OTP_INACTIVE"),
        (_email_code_wrong, UnauthorizedError, 401, "EMAIL_OTP_INCORRECT"),
        (_email_code_short, BadRequestError, 400, "otp"),
    ],
)
async def test_refusals(
    authentication: Authentication,
    simulator: Simulator,
    attempt: Attempt,
    exception: type[EnirisStatusError],
    status: int,
    code: str,
    code_in_error: bool,
) -> None:
    """Each refusal is its own exception, with the server's code wherever that stands."""
    simulator.switches.code_in_error = code_in_error
    with pytest.raises(EnirisStatusError) as caught:
        await attempt(authentication, simulator)
    assert type(caught.value) is exception
    assert caught.value.status == status
    assert caught.value.says(code)
    assert code in str(caught.value)
    if status == 429:
        assert caught.value.retry_after is not None
        assert 0 < caught.value.retry_after <= 900
    else:
        assert caught.value.retry_after is None


type RefreshCall = Callable[[Authentication, RefreshToken], Awaitable[object]]

REFRESH_CALLS: list[RefreshCall] = [
    Authentication.access_token,
    Authentication.renew,
    Authentication.validate,
]


@pytest.mark.parametrize("call", REFRESH_CALLS)
async def test_invalid_refresh_token(
    authentication: Authentication, call: RefreshCall
) -> None:
    """A refresh token that is not accepted asks for a new log-in."""
    with pytest.raises(ReauthenticationRequiredError) as caught:
        await call(authentication, DEAD)
    assert caught.value.status == 401
    assert caught.value.says("Invalid token")


@pytest.mark.parametrize("call", REFRESH_CALLS)
@pytest.mark.parametrize(
    ("status", "exception"),
    [
        (400, BadRequestError),
        (401, ReauthenticationRequiredError),
        (429, RateLimitedError),
        (503, ServerError),
    ],
)
async def test_refused_refresh_token_call(
    authentication: Authentication,
    simulator: Simulator,
    call: RefreshCall,
    status: int,
    exception: type[EnirisStatusError],
) -> None:
    """Only a 401 means that the refresh token is at its end."""
    token = await log_in(authentication)
    simulator.faults.add(
        "/auth/", "status", status=status, message="NO_TOKEN_PROVIDED", retry_after=7
    )
    with pytest.raises(EnirisStatusError) as caught:
        await call(authentication, token)
    assert type(caught.value) is exception
    assert caught.value.message == "NO_TOKEN_PROVIDED"
    assert caught.value.retry_after == 7


async def test_renew(authentication: Authentication) -> None:
    """A renewed token is another one, issued now."""
    token = RefreshToken((await log_in(authentication)).value, 0.0)
    before = time.time()
    renewed = await authentication.renew(token)
    assert renewed.value != token.value
    assert before <= renewed.issued_at <= time.time()
    assert 0 <= renewed.age < 60 < token.age
    assert await authentication.validate(renewed) == 1001


async def test_log_out(authentication: Authentication, simulator: Simulator) -> None:
    """A token that was logged out is worth nothing; logging it out again is no error."""
    token = await log_in(authentication)
    await authentication.logout(token)
    with pytest.raises(ReauthenticationRequiredError):
        await authentication.access_token(token)
    await authentication.logout(token)
    assert simulator.log.count("POST /auth/logout", 204) == 1
    assert simulator.log.count("POST /auth/logout", 401) == 1


@pytest.mark.parametrize("status", [200, 429, 503])
async def test_log_out_fails(
    authentication: Authentication, simulator: Simulator, status: int
) -> None:
    """An answer that does not say that the token is denied is not taken for it."""
    token = await log_in(authentication)
    simulator.faults.add("/auth/logout", "status", status=status)
    with pytest.raises(EnirisStatusError) as caught:
        await authentication.logout(token)
    assert caught.value.status == status


@pytest.mark.parametrize(
    "message",
    ["2FA has to be completed", "PARTIAL token", "the token is PARTIAL_TOKEN"],
)
async def test_partial_token_is_recognised(
    authentication: Authentication, simulator: Simulator, message: str
) -> None:
    """Either of the words that were observed marks a partial token."""
    simulator.faults.add("/auth/accesstoken", "status", status=401, message=message)
    assert isinstance(await authentication.login(USERNAME, PASSWORD), PartialToken)


@pytest.mark.parametrize(
    ("status", "exception"),
    [(401, ReauthenticationRequiredError), (503, ServerError), (429, RateLimitedError)],
)
async def test_log_in_is_not_partial_by_mistake(
    authentication: Authentication,
    simulator: Simulator,
    status: int,
    exception: type[EnirisStatusError],
) -> None:
    """Any other trouble with the fresh token is raised, not taken for a second factor."""
    simulator.faults.add(
        "/auth/accesstoken", "status", status=status, message="token expired"
    )
    with pytest.raises(exception):
        await authentication.login(USERNAME, PASSWORD)


NO_TOKENS = [
    b"",
    b"  \n",
    b'""',
    b'"',
    b'"cut',
    b'{"cut":',
    b"null",
    b"42",
    b"true",
    b"{}",
    b'{"token":"abc"}',
    b'["abc"]',
    b"two words",
    b'"two words"',
    b"line\nbreak",
    b'"line\\nbreak"',
    b"<!DOCTYPE html><html></html>",
    b"<html></html>",
    b"\x00\xff\xfe",
    "t\u00f6ken".encode(),
    b"x" * 20_000,
]


@pytest.mark.parametrize("body", NO_TOKENS)
async def test_answer_is_no_token(
    http: aiohttp.ClientSession, stub: StubServer, body: bytes
) -> None:
    """What cannot be a token is refused where it arrives, not where it is used."""
    stub.respond = lambda _: web.Response(body=body)
    authentication = Authentication(http, stub.hosts)
    with pytest.raises(EnirisResponseError):
        await authentication.login(USERNAME, PASSWORD)
    with pytest.raises(EnirisResponseError):
        await authentication.access_token(DEAD)
    with pytest.raises(EnirisResponseError):
        await authentication.renew(DEAD)
    assert len(stub.requests) == 3


@pytest.mark.parametrize(
    ("body", "token"),
    [
        (b"abc.def-_", "abc.def-_"),
        (b"  abc\r\n", "abc"),
        (b'"abc"', "abc"),
        (b' "abc"\n', "abc"),
        (b'"a\\/b=="', "a/b=="),
        (b"a/b+c==", "a/b+c=="),
    ],
)
async def test_forms_of_a_token(
    http: aiohttp.ClientSession, stub: StubServer, body: bytes, token: str
) -> None:
    """A token is taken bare or as a JSON string, with space around it or not."""
    stub.respond = lambda _: web.Response(body=body)
    assert await Authentication(http, stub.hosts).access_token(DEAD) == token


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        {},
        "abc",
        {"accessToken": "abc"},
        {"refreshToken": None},
        {"refreshToken": 5},
        {"refreshToken": ""},
        {"refreshToken": "a b"},
        {"refreshToken": "a\nb"},
    ],
)
async def test_second_factor_without_token(
    authentication: Authentication, simulator: Simulator, body: Any
) -> None:
    """A second factor that was accepted, but brought no refresh token, is a bad answer."""
    simulator.faults.add("/user/2fa/", "json", body=body)
    for call in (
        authentication.authenticate_totp,
        authentication.authenticate_email_otp,
    ):
        with pytest.raises(EnirisResponseError):
            await call(PartialToken("abc"), "123456")


@pytest.mark.parametrize(
    "body", [None, [], {}, 5, {"userId": None}, {"userId": "5"}, {"userId": True}]
)
async def test_validation_without_user_id(
    authentication: Authentication, simulator: Simulator, body: Any
) -> None:
    """A user id is a whole number and nothing else."""
    simulator.faults.add("/auth/refreshtoken/validate", "json", body=body)
    with pytest.raises(EnirisResponseError):
        await authentication.validate(DEAD)


async def test_password_that_is_no_text(authentication: Authentication) -> None:
    """Half a surrogate pair cannot be sent, and says so without showing itself."""
    with pytest.raises(EnirisQueryError) as caught:
        await authentication.login(USERNAME, "secret\ud83d")
    assert "secret" not in str(caught.value)


async def test_empty_password(authentication: Authentication) -> None:
    """Nothing is no secret that could be hidden."""
    with pytest.raises(UnauthorizedError) as caught:
        await authentication.login(USERNAME, "")
    assert "**REDACTED**" not in str(caught.value)
