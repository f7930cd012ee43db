"""The authentication host: log-in, tokens, second factors."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
import hmac
import re
import secrets

from aiohttp import web

from .accounts import Account, Accounts
from .answers import json_answer
from .errors import ApiError, bad_request
from .request_log import current_request
from .shapes import as_object, as_str, json_body, only_query_keys
from .switches import Switches
from .tokens import Token, TokenKind, TokenMint, TokenRefusedError
from .totp import totp_matches

MAX_CREDENTIAL_LENGTH = 256
CODE_LENGTH = 6


@dataclass(frozen=True, slots=True)
class Attempts:
    """How many attempts are allowed within a period of seconds; the service's own numbers are unknown."""

    allowed: int
    period_s: float


@dataclass(slots=True)
class AuthLimits:
    """When attempts become too many, and how long an e-mailed code is good."""

    passwords: Attempts = Attempts(5, 300)
    totp_checks: Attempts = Attempts(5, 300)
    otp_checks: Attempts = Attempts(5, 300)
    otp_emails: Attempts = Attempts(3, 900)
    email_code_s: float = 600


@dataclass(frozen=True, slots=True)
class SentEmail:
    """A code that was e-mailed."""

    username: str
    code: str
    language: str
    sent: datetime


class Authority:
    """Knows which token belongs to whom; shared by all three hosts."""

    def __init__(self, accounts: Accounts, mint: TokenMint) -> None:
        """Judge the tokens of `mint`."""
        self.accounts = accounts
        self.mint = mint

    def require(self, request: web.Request, kind: TokenKind) -> tuple[Account, Token]:
        """Return the owner of the request's token, which has to be of a kind.

        400: the header is not `Bearer <token>`. 401: there is none, or the token is not good for this call.
        """
        header = request.headers.get("Authorization")
        if header is None:
            raise ApiError(401, "No token was provided", code="NO_TOKEN_PROVIDED")
        scheme, _, text = header.partition(" ")
        if scheme != "Bearer" or not text:
            raise bad_request(
                "The Authorization header has to be of the form 'Bearer <token>'"
            )
        try:
            token = self.mint.read(text)
        except TokenRefusedError as err:
            raise ApiError(401, f"Invalid token: {err}") from err
        if token.kind == "partial" and kind != "partial":
            raise ApiError(401, "Invalid token: 2FA has to be completed first")
        account = self.accounts.by_id(token.user_id)
        if token.kind != kind or account is None:
            raise ApiError(401, f"Invalid token: this call takes no {token.kind} token")
        current_request().user_id = account.user_id
        return account, token


class AuthApi:
    """The calls of the authentication host.

    emails: every code that was sent, oldest first.
    """

    def __init__(
        self, authority: Authority, clock: Callable[[], datetime], switches: Switches
    ) -> None:
        """Answer for the accounts of an authority."""
        self._authority = authority
        self._clock = clock
        self._switches = switches
        self.limits = AuthLimits()
        self.emails: list[SentEmail] = []
        self._attempts: dict[tuple[str, str], list[datetime]] = {}
        self._active_codes: dict[str, SentEmail] = {}

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of the host."""
        return [
            web.post("/auth/login", self.login),
            web.get("/auth/accesstoken", self.access_token, allow_head=False),
            web.get("/auth/refreshtoken", self.refresh_token, allow_head=False),
            web.get("/auth/refreshtoken/validate", self.validate, allow_head=False),
            web.post("/auth/logout", self.logout),
            web.post("/user/2fa/totp/authenticate", self.totp_authenticate),
            web.post("/user/2fa/email-otp/challenge", self.email_challenge),
            web.post("/user/2fa/email-otp/authenticate", self.email_authenticate),
        ]

    def reset(self) -> None:
        """Forget attempts and codes; tokens stay valid."""
        self.emails.clear()
        self._attempts.clear()
        self._active_codes.clear()

    async def login(self, request: web.Request) -> web.Response:
        """Exchange a password for a refresh token, or for a partial one where a second factor is set up.

        400 malformed; 401 PASSWORD_INCORRECT, for an unknown user too; 429 TOO_MANY_FAILED_PASSWORD_CHECKS with
        `retryAfter`, even for the right password; 500 NO_PASSWORD_INFO.
        """
        only_query_keys(request)
        body = as_object(
            await json_body(request),
            "The body",
            required=frozenset({"username", "password"}),
        )
        username = as_str(
            body["username"], "username", max_length=MAX_CREDENTIAL_LENGTH
        )
        password = as_str(
            body["password"], "password", max_length=MAX_CREDENTIAL_LENGTH
        )
        self._refuse_too_many(
            username, "TOO_MANY_FAILED_PASSWORD_CHECKS", self.limits.passwords
        )
        account = self._authority.accounts.get(username)
        if account is not None and account.password is None:
            raise ApiError(
                500, "There is no password information", code="NO_PASSWORD_INFO"
            )
        if (
            account is None
            or account.password is None
            or not hmac.compare_digest(
                password.encode("utf-8", "surrogatepass"),
                account.password.encode("utf-8", "surrogatepass"),
            )
        ):
            self._count(username, "TOO_MANY_FAILED_PASSWORD_CHECKS")
            raise ApiError(
                401, "User name or password is incorrect", code="PASSWORD_INCORRECT"
            )
        self._forget(username, "TOO_MANY_FAILED_PASSWORD_CHECKS")
        current_request().user_id = account.user_id
        return self._token(
            account, "partial" if account.has_second_factor else "refresh"
        )

    async def access_token(self, request: web.Request) -> web.Response:
        """Exchange a refresh token for an access token; a partial token gets 401 with `2FA` in the message."""
        only_query_keys(request)
        account, _ = self._authority.require(request, "refresh")
        return self._token(account, "access")

    async def refresh_token(self, request: web.Request) -> web.Response:
        """Exchange a refresh token for a new one; the old one stays good until its own end."""
        only_query_keys(request)
        account, _ = self._authority.require(request, "refresh")
        return self._token(account, "refresh")

    async def validate(self, request: web.Request) -> web.Response:
        """Return `{"userId": int}` of a refresh token."""
        only_query_keys(request)
        account, _ = self._authority.require(request, "refresh")
        return json_answer({"userId": account.user_id})

    async def logout(self, request: web.Request) -> web.Response:
        """Put a refresh token on the deny list: 204; 401 where it was invalid already."""
        only_query_keys(request)
        _, token = self._authority.require(request, "refresh")
        self._authority.mint.deny(token)
        return web.Response(status=204)

    async def totp_authenticate(self, request: web.Request) -> web.Response:
        """Exchange a partial token and a code of an authenticator app for the full set of tokens.

        400; 401 wrong token or code; 409 TOTP_UNINITIALIZED; 429 TOO_MANY_TOTP_CHECKS with `retryAfter`.
        """
        account, code = await self._second_factor_code(request, "totp")
        if account.totp_secret is None:
            raise ApiError(
                409, "No authenticator app is set up", code="TOTP_UNINITIALIZED"
            )
        self._refuse_too_many(
            account.username, "TOO_MANY_TOTP_CHECKS", self.limits.totp_checks
        )
        if not totp_matches(account.totp_secret, code, self._clock()):
            self._count(account.username, "TOO_MANY_TOTP_CHECKS")
            raise ApiError(401, "The code is incorrect", code="TOTP_INCORRECT")
        self._forget(account.username, "TOO_MANY_TOTP_CHECKS")
        return self._all_tokens(account)

    async def email_challenge(self, request: web.Request) -> web.Response:
        """E-mail a code: 200 `null`; 409 EMAIL_OTP_UNINITIALIZED; 429 TOO_MANY_OTP_EMAILS with `retryAfter`.

        `language`, two letters, is mandatory, as in the documented call.
        """
        only_query_keys(request, "language")
        account, _ = self._authority.require(request, "partial")
        language = request.query.get("language", "")
        if re.fullmatch("[a-z]{2}", language) is None:
            raise bad_request("language has to be two letters")
        as_object(await json_body(request), "The body", required=frozenset())
        if not account.email_otp:
            raise ApiError(
                409, "Codes by e-mail are not set up", code="EMAIL_OTP_UNINITIALIZED"
            )
        self._refuse_too_many(
            account.username, "TOO_MANY_OTP_EMAILS", self.limits.otp_emails
        )
        self._count(account.username, "TOO_MANY_OTP_EMAILS")
        email = SentEmail(
            account.username,
            f"{secrets.randbelow(10**CODE_LENGTH):06d}",
            language,
            self._clock(),
        )
        self.emails.append(email)
        self._active_codes[account.username] = email
        return json_answer(None)

    async def email_authenticate(self, request: web.Request) -> web.Response:
        """Exchange a partial token and an e-mailed code for the full set of tokens.

        400; 401 wrong token or code; 409 EMAIL_OTP_UNINITIALIZED, or EMAIL_OTP_INACTIVE where no code was asked for,
        it is too old or was used; 429 with `retryAfter`.
        """
        account, code = await self._second_factor_code(request, "otp")
        if not account.email_otp:
            raise ApiError(
                409, "Codes by e-mail are not set up", code="EMAIL_OTP_UNINITIALIZED"
            )
        self._refuse_too_many(
            account.username, "TOO_MANY_EMAIL_OTP_CHECKS", self.limits.otp_checks
        )
        email = self._active_codes.get(account.username)
        if email is None or self._clock() - email.sent >= timedelta(
            seconds=self.limits.email_code_s
        ):
            raise ApiError(
                409, "There is no code that could be used", code="EMAIL_OTP_INACTIVE"
            )
        if not hmac.compare_digest(
            email.code.encode(), code.encode("utf-8", "surrogatepass")
        ):
            self._count(account.username, "TOO_MANY_EMAIL_OTP_CHECKS")
            raise ApiError(401, "The code is incorrect", code="EMAIL_OTP_INCORRECT")
        del self._active_codes[account.username]
        self._forget(account.username, "TOO_MANY_EMAIL_OTP_CHECKS")
        return self._all_tokens(account)

    async def _second_factor_code(
        self, request: web.Request, key: str
    ) -> tuple[Account, str]:
        only_query_keys(request)
        account, _ = self._authority.require(request, "partial")
        body = as_object(
            await json_body(request), "The body", required=frozenset({key})
        )
        code = as_str(body[key], key)
        if len(code) != CODE_LENGTH:
            raise bad_request(f"{key} has to be {CODE_LENGTH} characters long")
        return account, code

    def _token(self, account: Account, kind: TokenKind) -> web.Response:
        token = self._authority.mint.issue(kind, account.user_id)
        return web.Response(text=f'"{token}"' if self._switches.quote_tokens else token)

    def _all_tokens(self, account: Account) -> web.Response:
        issue = self._authority.mint.issue
        return json_answer(
            {
                "accessToken": issue("access", account.user_id),
                "refreshToken": issue("refresh", account.user_id),
                "sudoToken": issue("sudo", account.user_id),
            }
        )

    def _refuse_too_many(self, username: str, code: str, limit: Attempts) -> None:
        now = self._clock()
        period = timedelta(seconds=limit.period_s)
        recent = [
            when
            for when in self._attempts.get((username, code), ())
            if now - when < period
        ]
        self._attempts[username, code] = recent
        if len(recent) >= limit.allowed:
            wait = (recent[-limit.allowed] + period - now).total_seconds()
            raise ApiError(
                429, "Too many attempts", code=code, retry_after=max(1, round(wait))
            )

    def _count(self, username: str, code: str) -> None:
        self._attempts.setdefault((username, code), []).append(self._clock())

    def _forget(self, username: str, code: str) -> None:
        self._attempts.pop((username, code), None)
