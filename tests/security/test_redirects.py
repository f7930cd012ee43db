"""Redirects are not followed: no token, password or code reaches a host that nobody named."""

from itertools import product

import aiohttp
from aiohttp import web
import pytest

from custom_components.eniris.api import Authentication, Session
from tests.api.conftest import StubServer, everything_about

from .calls import CALLS, SECRETS, public_methods, refusal

STATUSES = (301, 302, 303, 307, 308)


def test_every_call_is_tried() -> None:
    """A call that is new in the client is new here."""
    tried = {name.removeprefix("session.").split()[0] for name in CALLS}
    assert public_methods(Authentication, Session) == tried


@pytest.mark.parametrize("place", ["another port", "same host", "name", "https"])
async def test_nothing_follows_a_redirect(
    http: aiohttp.ClientSession, stub: StubServer, other_stub: StubServer, place: str
) -> None:
    """Wherever it leads, and whichever kind it is, one request is all there is of any call."""
    port = other_stub.url.rpartition(":")[2]
    to = {
        "another port": f"{other_stub.url}/elsewhere?token={SECRETS[0]}",
        "same host": f"{stub.url}/elsewhere",
        "name": f"//localhost:{port}/elsewhere",
        "https": f"https://127.0.0.1:{port}/elsewhere",
    }[place]
    for status, name in product(STATUSES, CALLS):
        stub.requests.clear()
        answer = {"status": status, "headers": {"Location": to}}
        stub.respond = lambda _, answer=answer: web.Response(**answer)  # type: ignore[misc]
        error = await refusal(name, http, stub.hosts)
        shown = everything_about(error)
        assert str(status) in str(error), name
        assert len(stub.requests) == 1, name
        assert "elsewhere" not in stub.requests[0].path, name
        assert not other_stub.requests, name
        assert not [secret for secret in SECRETS if secret in shown], name


async def test_it_would_be_seen(stub: StubServer, other_stub: StubServer) -> None:
    """A client that follows redirects does bring a password to the other host."""
    stub.respond = lambda _: web.Response(
        status=307, headers={"Location": f"{other_stub.url}/elsewhere"}
    )
    async with (
        aiohttp.ClientSession() as careless,
        careless.post(f"{stub.url}/auth/login", json={"password": SECRETS[0]}),
    ):
        pass
    [request] = other_stub.requests
    assert SECRETS[0] in request.body.decode()
