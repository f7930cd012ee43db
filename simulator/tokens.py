"""Signed, opaque tokens of four kinds."""

import base64
import binascii
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
import hashlib
import hmac
import json
import secrets
from typing import Literal, cast

type TokenKind = Literal["refresh", "access", "partial", "sudo"]

# Refresh and access as documented; nothing is known of the other two
LIFETIMES: dict[TokenKind, timedelta] = {
    "refresh": timedelta(days=14),
    "access": timedelta(minutes=5),
    "partial": timedelta(minutes=15),
    "sudo": timedelta(minutes=5),
}


class TokenRefusedError(Exception):
    """A token that is forged, expired or on the deny list."""


@dataclass(frozen=True, slots=True)
class Token:
    """What a token says: its kind, its owner, its issue in Unix milliseconds and in order, its identity."""

    kind: TokenKind
    user_id: int
    issued_ms: int
    number: int
    jti: str


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if _encode(data) != text:
        raise ValueError("not the one way to write these bytes")
    return data


class TokenMint:
    """Issues tokens and tells good from bad."""

    def __init__(
        self, clock: Callable[[], datetime], secret: bytes | None = None
    ) -> None:
        """Sign with `secret`; without one no token outlives this mint."""
        self._clock = clock
        self._secret = secret or secrets.token_bytes(32)
        self._issued = 0
        self._denied: set[str] = set()
        self._revoked_up_to: dict[tuple[int, TokenKind], int] = {}

    def issue(self, kind: TokenKind, user_id: int) -> str:
        """Return a new token."""
        self._issued += 1
        payload = json.dumps(
            [kind, user_id, self._now_ms(), self._issued, secrets.token_hex(8)]
        ).encode()
        return f"{_encode(payload)}.{_encode(self._signature(payload))}"

    def read(self, text: str) -> Token:
        """Return what a token says, or raise TokenRefusedError."""
        try:
            payload_part, signature_part = text.split(".")
            payload, signature = _decode(payload_part), _decode(signature_part)
        except (ValueError, binascii.Error) as err:
            raise TokenRefusedError("malformed token") from err
        if not hmac.compare_digest(signature, self._signature(payload)):
            raise TokenRefusedError("invalid signature")
        kind, user_id, issued_ms, number, jti = json.loads(payload)
        token = Token(cast("TokenKind", kind), user_id, issued_ms, number, jti)
        if self._now_ms() >= issued_ms + LIFETIMES[token.kind] // timedelta(
            milliseconds=1
        ):
            raise TokenRefusedError("token expired")
        if jti in self._denied or number <= self._revoked_up_to.get(
            (user_id, token.kind), 0
        ):
            raise TokenRefusedError("token revoked")
        return token

    def deny(self, token: Token) -> None:
        """Put one token on the deny list."""
        self._denied.add(token.jti)

    def revoke_all(self, user_id: int, kind: TokenKind) -> None:
        """Refuse every token of a kind that a user has been given so far."""
        self._revoked_up_to[user_id, kind] = self._issued

    def _now_ms(self) -> int:
        return int(self._clock().timestamp() * 1000)

    def _signature(self, payload: bytes) -> bytes:
        return hmac.digest(self._secret, payload, hashlib.sha256)
