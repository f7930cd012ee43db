"""Logging in to Eniris and looking after tokens.

Facts: a log-in answers with a refresh token (14 days), or with a partial one where the account
has a second factor; a refresh token buys access tokens (5 minutes). Tokens arrive as bare text
or in quotes.
"""

from dataclasses import dataclass, field
import re
import time
from typing import Any, Final

import aiohttp
import orjson

from .calls import Calls
from .errors import (
    EnirisResponseError,
    ReauthenticationRequiredError,
    UnauthorizedError,
)
from .transport import Answer, Hosts, send

CREDENTIAL_LIMIT: Final = 256
"""Characters that the service takes as a user name or a password."""

REFRESH_TOKEN_LIFETIME: Final = 14 * 24 * 3600
"""Seconds from issue to the end of a refresh token."""

# What fits a header, and does not begin as a web page or as JSON that was cut off
_TOKEN: Final = re.compile(r"(?![<\"{\[])[\x21-\x7e]{1,16384}")


def is_token(text: str) -> bool:
    """Tell whether a text can be a token at all."""
    return _TOKEN.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """What stands for the user from one start to the next; `issued_at` is Unix seconds."""

    value: str = field(repr=False)
    issued_at: float

    @property
    def age(self) -> float:
        """Seconds since it was issued, by this machine's clock."""
        return time.time() - self.issued_at


@dataclass(frozen=True, slots=True)
class PartialToken:
    """Proof of the right password, worth nothing until the second factor is given."""

    value: str = field(repr=False)


class Authentication:
    """The calls of the authentication host. Keeps no state and no token."""

    def __init__(
        self, http: aiohttp.ClientSession, hosts: Hosts, calls: Calls | None = None
    ) -> None:
        """Send over `http`, which is the caller's to close, and note it in `calls`."""
        self._http = http
        self._calls = calls
        self._base = hosts.authentication

    async def login(self, username: str, password: str) -> RefreshToken | PartialToken:
        """Exchange user name and password for a token.

        Which kind it is shows only when it is used, so this spends one access token on it.
        Raises `UnauthorizedError` (wrong password), `RateLimitedError`, `NoPasswordError`, ….
        """
        answer = await self._send(
            "POST", "/auth/login", json={"username": username, "password": password}
        )
        token = RefreshToken(_token(answer), time.time())
        try:
            await self.access_token(token)
        except ReauthenticationRequiredError as err:
            if wants_second_factor(err):
                return PartialToken(token.value)
            raise
        return token

    async def authenticate_totp(self, partial: PartialToken, code: str) -> RefreshToken:
        """Complete a log-in with the code that an authenticator app shows.

        Raises `UnauthorizedError` (wrong code), `ConflictError` (no authenticator set up),
        `RateLimitedError` (too many tries).
        """
        return await self._second_factor("totp", {"totp": code}, partial)

    async def request_email_otp(self, partial: PartialToken, language: str) -> None:
        """Have a code e-mailed to the account's owner, in the language of ISO 639-1 code `language`.

        Raises `ConflictError` (no e-mail factor set up), `RateLimitedError` (too many e-mails).
        """
        await self._send(
            "POST",
            "/user/2fa/email-otp/challenge",
            bearer=partial.value,
            params={"language": language},
            json={},
        )

    async def authenticate_email_otp(
        self, partial: PartialToken, code: str
    ) -> RefreshToken:
        """Complete a log-in with the code that was e-mailed.

        Raises as `authenticate_totp`; `ConflictError` where no code is outstanding.
        """
        return await self._second_factor("email-otp", {"otp": code}, partial)

    async def _second_factor(
        self, factor: str, body: dict[str, str], partial: PartialToken
    ) -> RefreshToken:
        answer = await self._send(
            "POST",
            f"/user/2fa/{factor}/authenticate",
            bearer=partial.value,
            json=body,
        )
        tokens = answer.json()
        refresh = tokens.get("refreshToken") if isinstance(tokens, dict) else None
        if not isinstance(refresh, str) or not is_token(refresh):
            raise EnirisResponseError("the answer holds no refresh token")
        return RefreshToken(refresh, time.time())

    async def access_token(self, refresh: RefreshToken) -> str:
        """Return a new access token.

        Raises `ReauthenticationRequiredError` where the refresh token is not accepted any more.
        """
        return _token(await self._with_refresh("GET", "/auth/accesstoken", refresh))

    async def renew(self, refresh: RefreshToken) -> RefreshToken:
        """Return a new refresh token with its full life before it; raises as `access_token`."""
        answer = await self._with_refresh("GET", "/auth/refreshtoken", refresh)
        return RefreshToken(_token(answer), time.time())

    async def validate(self, refresh: RefreshToken) -> int:
        """Return the id of the user whom the token stands for; raises as `access_token`."""
        answer = await self._with_refresh("GET", "/auth/refreshtoken/validate", refresh)
        body = answer.json()
        user_id = body.get("userId") if isinstance(body, dict) else None
        if not isinstance(user_id, int) or isinstance(user_id, bool):
            raise EnirisResponseError("the answer holds no user id")
        return user_id

    async def logout(self, refresh: RefreshToken) -> None:
        """Put the token on the service's deny list; one that is invalid already is as good."""
        try:
            await self._with_refresh("POST", "/auth/logout", refresh, expected=(204,))
        except ReauthenticationRequiredError:
            return

    async def _with_refresh(
        self, method: str, path: str, refresh: RefreshToken, **kwargs: Any
    ) -> Answer:
        try:
            return await self._send(method, path, bearer=refresh.value, **kwargs)
        except UnauthorizedError as err:
            raise ReauthenticationRequiredError.of(err) from err

    async def _send(self, method: str, path: str, **kwargs: Any) -> Answer:
        return await send(
            self._http, method, f"{self._base}{path}", calls=self._calls, **kwargs
        )


def wants_second_factor(err: UnauthorizedError) -> bool:
    """Tell whether a token was refused for being partial (observed wording)."""
    return err.says("2FA") or err.says("PARTIAL")


def _token(answer: Answer) -> str:
    """Return the token that an answer consists of, bare or as a JSON string.

    Any other JSON, `null` or an object, is not taken for a bare token.
    """
    try:
        token = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        token = answer.body.decode(errors="replace").strip()
    if not isinstance(token, str) or not is_token(token):
        raise EnirisResponseError("the answer is not a token")
    return token
