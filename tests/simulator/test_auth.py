"""The authentication host: the table of tokens, row by row."""

from datetime import UTC, datetime
from typing import Any

import pytest

from simulator.accounts import DEMO_TOTP_SECRET
from simulator.auth import Attempts
from simulator.server import Simulator
from simulator.tokens import TokenKind, TokenMint
from simulator.totp import totp, totp_matches

from .conftest import Answer, Client, Clock

REFRESH_CALLS = [
    ("GET", "/auth/accesstoken"),
    ("GET", "/auth/refreshtoken"),
    ("GET", "/auth/refreshtoken/validate"),
    ("POST", "/auth/logout"),
]
PARTIAL_CALLS: list[tuple[str, Any]] = [
    ("/user/2fa/totp/authenticate", {"totp": "123456"}),
    ("/user/2fa/email-otp/challenge?language=en", {}),
    ("/user/2fa/email-otp/authenticate", {"otp": "123456"}),
]


def error(answer: Answer) -> tuple[int, str]:
    """Return status and message of a refusal, whose body has to be of the one form."""
    body = answer.json
    assert body.keys() - {"retryAfter"} == {"statusCode", "error", "message"}
    assert body["statusCode"] == answer.status
    return answer.status, body["message"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"username": "demo@example.com"},
        {"username": "demo@example.com", "password": "demo", "remember": True},
        {"username": "demo@example.com", "password": 1},
        {"username": "x" * 257, "password": "demo"},
        {"username": "demo@example.com", "password": "x" * 257},
        ["demo@example.com", "demo"],
        None,
    ],
)
async def test_malformed_log_in(stranger: Client, body: Any) -> None:
    assert error(await stranger.post("/auth/login", body))[0] == 400


async def test_log_in_has_to_be_json(stranger: Client) -> None:
    data = '{"username": "demo@example.com", "password": "demo"}'
    assert (await stranger.request("POST", "/auth/login", data=data)).status == 400
    headers = {"Content-Type": "application/json"}
    assert (
        await stranger.request("POST", "/auth/login", data=data[:-1], headers=headers)
    ).status == 400
    assert (
        await stranger.request("POST", "/auth/login", data=data, headers=headers)
    ).status == 200


async def test_too_many_passwords(clock: Clock, stranger: Client) -> None:
    for _ in range(5):
        assert (await stranger.password(password="x")).status == 401
    clock.advance(seconds=100)
    answer = await stranger.password()
    assert error(answer) == (429, "TOO_MANY_FAILED_PASSWORD_CHECKS")
    assert answer.json["retryAfter"] == 200
    assert (await stranger.password("norole@example.com")).status == 200
    clock.advance(seconds=200)
    assert (await stranger.password()).status == 200


async def test_right_password_forgives(stranger: Client) -> None:
    for _ in range(3):
        for _ in range(4):
            assert (await stranger.password(password="x")).status == 401
        assert (await stranger.password()).status == 200


@pytest.mark.parametrize(("method", "path"), REFRESH_CALLS)
async def test_refresh_token_calls_refuse(
    simulator: Simulator, stranger: Client, method: str, path: str
) -> None:
    assert error(await stranger.request(method, path)) == (401, "NO_TOKEN_PROVIDED")
    assert (
        await stranger.request(method, path, headers={"Authorization": "Basic x"})
    ).status == 400
    assert (
        await stranger.request(method, path, headers={"Authorization": "Bearer"})
    ).status == 400
    token = (await stranger.password()).text
    forged = token[:-2] + ("A" if token[-2] != "A" else "B") + token[-1]
    assert (await stranger.request(method, path, token=forged)).status == 401
    assert (await stranger.request(method, path, token="junk")).status == 401
    foreign = TokenMint(simulator.clock).issue("refresh", 1001)
    assert (await stranger.request(method, path, token=foreign)).status == 401
    kinds: tuple[TokenKind, ...] = ("access", "sudo", "partial")
    for kind in kinds:
        assert (
            await stranger.request(method, path, token=simulator.mint.issue(kind, 1001))
        ).status == 401
    assert (await stranger.request(method, f"{path}?x=1", token=token)).status == 400
    assert (await stranger.request(method, path, token=token)).status in (200, 204)


async def test_refresh_token_lives_14_days(clock: Clock, stranger: Client) -> None:
    token = (await stranger.password()).text
    clock.advance(days=14, seconds=-1)
    renewed = (await stranger.get("/auth/refreshtoken", token=token)).text
    assert renewed != token
    clock.advance(seconds=1)
    assert (await stranger.get("/auth/accesstoken", token=token)).status == 401
    assert (await stranger.get("/auth/accesstoken", token=renewed)).status == 200


async def test_access_token_lives_5_minutes(clock: Clock, client: Client) -> None:
    clock.advance(minutes=5, seconds=-1)
    assert (await client.get("/v1/company")).status == 200
    clock.advance(seconds=1)
    assert (await client.get("/v1/company")).status == 401


async def test_revocation(simulator: Simulator, client: Client) -> None:
    refresh_token = await client.log_in()
    simulator.revoke("demo@example.com", "access")
    assert (await client.get("/v1/company")).status == 401
    client.token = (await client.get("/auth/accesstoken", token=refresh_token)).text
    assert (await client.get("/v1/company")).status == 200
    simulator.revoke("demo@example.com", "refresh")
    assert (await client.get("/auth/accesstoken", token=refresh_token)).status == 401
    await client.log_in()
    assert (await client.get("/v1/company")).status == 200


@pytest.mark.parametrize("call", ["/v1/company", "/v1/device?id=1"])
async def test_api_takes_access_tokens_only(
    simulator: Simulator, stranger: Client, call: str
) -> None:
    assert error(await stranger.get(call)) == (401, "NO_TOKEN_PROVIDED")
    kinds: tuple[TokenKind, ...] = ("refresh", "sudo", "partial")
    for kind in kinds:
        assert (
            await stranger.get(call, token=simulator.mint.issue(kind, 1001))
        ).status == 401
    assert (
        await stranger.get(call, token=simulator.mint.issue("access", 9999))
    ).status == 401


@pytest.mark.parametrize(("path", "body"), PARTIAL_CALLS)
async def test_second_factor_takes_partial_tokens_only(
    simulator: Simulator, stranger: Client, path: str, body: Any
) -> None:
    assert error(await stranger.post(path, body)) == (401, "NO_TOKEN_PROVIDED")
    kinds: tuple[TokenKind, ...] = ("refresh", "access", "sudo")
    for kind in kinds:
        assert (
            await stranger.post(path, body, token=simulator.mint.issue(kind, 1004))
        ).status == 401


async def test_authenticator_app_refuses(clock: Clock, stranger: Client) -> None:
    path = "/user/2fa/totp/authenticate"
    partial = (await stranger.password("totp@example.com")).text
    for body in (
        {},
        {"totp": 123456},
        {"totp": "12345"},
        {"totp": "1234567"},
        {"totp": "123456", "x": 1},
        {"otp": "1"},
    ):
        assert (await stranger.post(path, body, token=partial)).status == 400
    old = totp(DEMO_TOTP_SECRET, clock.now, step=-2)
    for code in (old, "abcdef", "١٢٣٤٥٦", "\ud800" * 6, old):
        assert (await stranger.post(path, {"totp": code}, token=partial)).status == 401
    right = {"totp": totp(DEMO_TOTP_SECRET, clock.now)}
    answer = await stranger.post(path, right, token=partial)
    assert error(answer) == (429, "TOO_MANY_TOTP_CHECKS")
    assert answer.json["retryAfter"] == 300


async def test_code_by_email_expires(
    simulator: Simulator, clock: Clock, stranger: Client
) -> None:
    partial = (await stranger.password("email@example.com")).text
    await stranger.post("/user/2fa/email-otp/challenge?language=en", {}, token=partial)
    clock.advance(minutes=10)
    body = {"otp": simulator.emails[0].code}
    answer = await stranger.post(
        "/user/2fa/email-otp/authenticate", body, token=partial
    )
    assert error(answer) == (409, "EMAIL_OTP_INACTIVE")


async def test_too_many_codes_by_email(simulator: Simulator, stranger: Client) -> None:
    partial = (await stranger.password("both@example.com")).text
    for _ in range(3):
        answer = await stranger.post(
            "/user/2fa/email-otp/challenge?language=en", {}, token=partial
        )
        assert answer.status == 200
    answer = await stranger.post(
        "/user/2fa/email-otp/challenge?language=en", {}, token=partial
    )
    assert error(answer) == (429, "TOO_MANY_OTP_EMAILS")
    assert answer.json["retryAfter"] == 900
    simulator.auth.limits.otp_checks = Attempts(1, 60)
    wrong = "000000" if simulator.emails[-1].code != "000000" else "111111"
    for status in (401, 429):
        answer = await stranger.post(
            "/user/2fa/email-otp/authenticate", {"otp": wrong}, token=partial
        )
        assert answer.status == status


@pytest.mark.parametrize(
    ("query", "body"),
    [
        ("", {}),
        ("?language=eng", {}),
        ("?language=EN", {}),
        ("?language=en&x=1", {}),
        ("?language=en", {"x": 1}),
    ],
)
async def test_malformed_challenge(stranger: Client, query: str, body: Any) -> None:
    partial = (await stranger.password("email@example.com")).text
    assert (
        await stranger.post(
            f"/user/2fa/email-otp/challenge{query}", body, token=partial
        )
    ).status == 400


@pytest.mark.parametrize(
    ("seconds", "code"),
    [
        (59, "287082"),
        (1111111109, "081804"),
        (1234567890, "005924"),
        (20000000000, "353130"),
    ],
)
def test_totp_vectors(seconds: int, code: str) -> None:
    """The vectors of RFC 6238, appendix B, of which six digits are used."""
    secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
    assert totp(secret, datetime.fromtimestamp(seconds, UTC)) == code
    assert totp_matches(secret, code, datetime.fromtimestamp(seconds + 30, UTC))
    assert not totp_matches(secret, code, datetime.fromtimestamp(seconds + 90, UTC))
