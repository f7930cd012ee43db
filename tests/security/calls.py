"""Every call that the client can make, for tests that hold for each of them."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
import time
from typing import Any, Final

import aiohttp

from custom_components.eniris.api import (
    Authentication,
    DatabaseNamespace,
    EnirisError,
    Hosts,
    PartialToken,
    Point,
    RefreshToken,
    Session,
    TelemetryQuery,
    WriteTarget,
    encode_points,
)

PASSWORD: Final = "secret-p4ssw0rd"
CODE: Final = "918273"
REFRESH: Final = "secret-refresh-token"
ACCESS: Final = "secret-access-token"
PARTIAL: Final = "secret-partial-token"
SECRETS: Final = (PASSWORD, CODE, REFRESH, ACCESS, PARTIAL)

type Call = Callable[[Authentication, Session], Awaitable[Any]]

_TARGET: Final = WriteTarget("c", "d", "rp_one_m")
_POINT: Final = Point("m", {"t": "1"}, datetime(2026, 7, 1, tzinfo=UTC), {"f": 1.0})
_QUERY: Final = TelemetryQuery(
    DatabaseNamespace("d", "rp_one_m"), "m", {"t": "1"}, ("f",)
)

CALLS: Final[Mapping[str, Call]] = {
    "login": lambda auth, _: auth.login("me@example.com", PASSWORD),
    "authenticate_totp": lambda auth, _: auth.authenticate_totp(
        PartialToken(PARTIAL), CODE
    ),
    "request_email_otp": lambda auth, _: auth.request_email_otp(
        PartialToken(PARTIAL), "en"
    ),
    "authenticate_email_otp": lambda auth, _: auth.authenticate_email_otp(
        PartialToken(PARTIAL), CODE
    ),
    "access_token": lambda auth, _: auth.access_token(_token()),
    "renew": lambda auth, _: auth.renew(_token()),
    "validate": lambda auth, _: auth.validate(_token()),
    "logout": lambda auth, _: auth.logout(_token()),
    "session.access_token": lambda _, session: session.access_token(),
    "session.logout": lambda _, session: session.logout(),
    "query_devices": lambda _, session: session.query_devices(),
    "companies": lambda _, session: session.companies(),
    "update_device": lambda _, session: session.update_device(1, {"name": "x"}),
    "query_telemetry": lambda _, session: session.query_telemetry([_QUERY]),
    "write_body": lambda _, session: session.write_body(
        _TARGET, encode_points([_POINT])
    ),
}


def _token() -> RefreshToken:
    return RefreshToken(REFRESH, time.time())


def client(http: aiohttp.ClientSession, hosts: Hosts) -> tuple[Authentication, Session]:
    """Return what makes the calls, with tokens that are known."""
    return Authentication(http, hosts), Session(http, _token(), hosts)


def with_access_token(session: Session) -> Session:
    """Give a session an access token, as if it had fetched one."""
    session._access_token = ACCESS
    session._access_token_at = time.monotonic()
    return session


def watch(http: aiohttp.ClientSession) -> list[str]:
    """Return a list of every request, look-up of a name and connection that is begun from now on."""
    begun: list[str] = []

    def note(kind: str) -> Callable[..., Awaitable[None]]:
        async def noted(*_: Any) -> None:
            begun.append(kind)

        return noted

    trace = aiohttp.TraceConfig()
    trace.on_request_start.append(note("request"))
    trace.on_dns_resolvehost_start.append(note("look-up"))
    trace.on_connection_create_start.append(note("connection"))
    trace.freeze()
    http.trace_configs.append(trace)
    return begun


async def refusal(name: str, http: aiohttp.ClientSession, hosts: Hosts) -> EnirisError:
    """Make a call, with an access token unless that is what it asks for; return its error."""
    authentication, session = client(http, hosts)
    if name != "session.access_token":
        with_access_token(session)
    return await error_of(CALLS[name](authentication, session))


async def error_of(call: Awaitable[Any]) -> EnirisError:
    """Return the error that a call raises; it has to raise one of the client's own."""
    try:
        result = await call
    except EnirisError as err:
        return err
    raise AssertionError(f"it succeeded: {result!r}")


def public_methods(*kinds: type) -> set[str]:
    """Return the names of the calls that classes have."""
    return {
        name
        for kind in kinds
        for name, member in vars(kind).items()
        if not name.startswith("_") and callable(member)
    }
