"""Time-based one-time passwords: RFC 6238 with SHA-1, 30 seconds and six digits."""

import base64
from datetime import datetime
import hashlib
import hmac

STEP_S = 30
DIGITS = 6


def totp(secret: str, when: datetime, *, step: int = 0) -> str:
    """Return the code for a base32 secret, `step` intervals away from `when`."""
    counter = int(when.timestamp()) // STEP_S + step
    digest = hmac.digest(base64.b32decode(secret), counter.to_bytes(8), hashlib.sha1)
    offset = digest[-1] & 0x0F
    number = int.from_bytes(digest[offset : offset + 4]) & 0x7FFF_FFFF
    return f"{number % 10**DIGITS:0{DIGITS}d}"


def totp_matches(secret: str, code: str, when: datetime) -> bool:
    """Tell whether a code is that of the present, the previous or the next interval."""
    return any(
        hmac.compare_digest(
            totp(secret, when, step=step).encode(),
            code.encode("utf-8", "surrogatepass"),
        )
        for step in (-1, 0, 1)
    )
