"""Certificates are checked: whoever cannot prove to be the host gets no password, token or value."""

import ast
import asyncio
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
import ssl
from typing import Any

import aiohttp
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
import pytest

from custom_components.eniris.api import EnirisCertificateError, Hosts
from custom_components.eniris.const import (
    CONF_ADVANCED,
    CONF_API_URL,
    CONF_AUTHENTICATION_URL,
    CONF_INGRESS_URL,
)
from custom_components.eniris.http import async_http_session
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType
from scripts.checks import source
from simulator.server import Simulator
from tests.kit.common import start_flow, submit

from .calls import CALLS, refusal

type Key = ec.EllipticCurvePrivateKey

NOW = datetime.now(UTC)
"""Of this machine: certificates are checked by its clock, not by that of a test."""


@dataclass(frozen=True, slots=True)
class Certified:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: Key


def certify(
    name: str = "127.0.0.1",
    issuer: Certified | None = None,
    *,
    is_ca: bool = False,
    until: timedelta = timedelta(days=1),
) -> Certified:
    """Make a certificate of a host, self-signed unless there is an issuer, valid `until` from now."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    try:
        host: x509.GeneralName = x509.IPAddress(ip_address(name))
    except ValueError:
        host = x509.DNSName(name)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - timedelta(days=30))
        .not_valid_after(NOW + until)
        .add_extension(x509.BasicConstraints(is_ca, None), critical=True)
        .add_extension(x509.SubjectAlternativeName([host]), critical=False)
        .add_extension(
            x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
        )
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(
                (issuer.key if issuer else key).public_key()
            ),
            critical=False,
        )
    )
    if is_ca:
        usage = x509.KeyUsage(
            digital_signature=True,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            key_cert_sign=True,
            crl_sign=True,
            encipher_only=False,
            decipher_only=False,
        )
        builder = builder.add_extension(usage, critical=True)
    return Certified(builder.sign(issuer.key if issuer else key, hashes.SHA256()), key)


@dataclass(slots=True)
class TlsServer:
    """A server behind a certificate: it passes what it is sent on to the simulator, and keeps it."""

    url: str
    requests: list[str] = field(default_factory=list)


class Serve:
    """Starts such servers, and stops them at the end."""

    def __init__(self, folder: Path, to: str) -> None:
        """Keep certificates in a folder; pass requests on to an address."""
        self._folder = folder
        self._to = to
        self._runners: list[web.AppRunner] = []
        self._http = aiohttp.ClientSession()

    async def __call__(self, certified: Certified) -> TlsServer:
        """Start a server that shows a certificate."""
        path = self._folder / f"{len(self._runners)}.pem"
        path.write_bytes(
            certified.certificate.public_bytes(serialization.Encoding.PEM)
            + certified.key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(path)
        server = TlsServer("")

        async def handle(request: web.Request) -> web.Response:
            server.requests.append(f"{request.method} {request.path}")
            async with self._http.request(
                request.method,
                f"{self._to}{request.path_qs}",
                headers={
                    name: value
                    for name, value in request.headers.items()
                    if name in ("Authorization", "Content-Type", "Content-Encoding")
                },
                data=await request.read(),
            ) as answer:
                return web.Response(status=answer.status, body=await answer.read())

        app = web.Application()
        app.router.add_route("*", "/{path:.*}", handle)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        self._runners.append(runner)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
        server.url = f"https://127.0.0.1:{runner.addresses[0][1]}"
        return server

    async def stop(self) -> None:
        """Stop all of them."""
        for runner in self._runners:
            await runner.cleanup()
        await self._http.close()


@pytest.fixture
async def serve(simulator: Simulator, tmp_path: Path) -> AsyncGenerator[Serve]:
    """Return what starts servers."""
    loop = asyncio.get_running_loop()
    handler = loop.get_exception_handler()
    assert handler is not None

    def tolerant(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        # What a server makes of a client that hangs up in the middle of a handshake, as it should
        if not isinstance(context.get("exception"), ConnectionError | ssl.SSLError):
            handler(loop, context)

    loop.set_exception_handler(tolerant)
    starter = Serve(tmp_path, simulator.url)
    yield starter
    await starter.stop()


AUTHORITY = certify("Trusted by the tests", is_ca=True)


@pytest.fixture
async def trusted(hass: HomeAssistant) -> Certified:
    """Return an authority that Home Assistant trusts, as it does those of the system."""
    [context] = {
        context
        for context in [async_http_session(hass).connector._ssl]  # type: ignore[union-attr]
        if isinstance(context, ssl.SSLContext)
    }
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    # Its key lives no longer than the tests, so that trusting it on and on gives nobody anything
    context.load_verify_locations(
        cadata=AUTHORITY.certificate.public_bytes(serialization.Encoding.PEM).decode()
    )
    return AUTHORITY


BAD: dict[str, tuple[Callable[[], Certified], str]] = {
    "self-signed": (certify, "self-signed certificate"),
    "another authority's": (
        lambda: certify(issuer=certify("Nobody", is_ca=True)),
        "unable to get local issuer certificate",
    ),
    "another host's": (
        lambda: certify("eniris.example", AUTHORITY),
        "not valid for '127.0.0.1'",
    ),
    "expired": (
        lambda: certify(issuer=AUTHORITY, until=-timedelta(days=1)),
        "certificate has expired",
    ),
}

ADDRESSES = (CONF_AUTHENTICATION_URL, CONF_API_URL, CONF_INGRESS_URL)


@pytest.mark.parametrize("kind", BAD)
@pytest.mark.usefixtures("trusted")
async def test_no_call_reaches_it(hass: HomeAssistant, serve: Serve, kind: str) -> None:
    """Log-in, polls and uploads alike end at the handshake, with an error of their own."""
    make, says = BAD[kind]
    server = await serve(make())
    hosts = Hosts(server.url, server.url, server.url)
    for name in CALLS:
        error = await refusal(name, async_http_session(hass), hosts)
        assert isinstance(error, EnirisCertificateError)
        assert says in str(error)
    assert not server.requests


@pytest.mark.parametrize("kind", BAD)
@pytest.mark.usefixtures("trusted")
async def test_the_form_says_so(
    hass: HomeAssistant, serve: Serve, user_input: dict[str, Any], kind: str
) -> None:
    """Each of the three addresses is told apart from a host that is not there."""
    make, says = BAD[kind]
    server = await serve(make())
    for key in ADDRESSES:
        advanced = {**user_input[CONF_ADVANCED], key: server.url}
        flow_id = await start_flow(hass)
        result = await submit(hass, flow_id, {**user_input, CONF_ADVANCED: advanced})
        assert result["type"] is FlowResultType.FORM
        assert result["errors"] == {"base": "certificate", key: "certificate"}
        placeholders = result["description_placeholders"]
        assert placeholders is not None
        assert says in placeholders["error"]
        assert placeholders["address"] == server.url
        hass.config_entries.flow.async_abort(flow_id)
    assert not server.requests


async def test_with_a_certificate_that_is_trusted_it_works(
    hass: HomeAssistant, serve: Serve, trusted: Certified, user_input: dict[str, Any]
) -> None:
    """So it was the certificate that the others failed for."""
    server = await serve(certify(issuer=trusted))
    result = await submit(
        hass,
        await start_flow(hass),
        {**user_input, CONF_ADVANCED: dict.fromkeys(ADDRESSES, server.url)},
    )
    assert result["type"] is FlowResultType.CREATE_ENTRY, result
    assert "POST /auth/login" in server.requests
    assert "POST /v1/telemetry/query" in server.requests
    assert result["result"].runtime_data.telemetry.last_update_success


@pytest.mark.expected_log("fetching Eniris .*certificate")
async def test_a_certificate_that_is_trusted_no_more(
    hass: HomeAssistant, serve: Serve, user_input: dict[str, Any]
) -> None:
    """An account that worked sends nothing to a server that took the place of the real one."""
    result = await submit(hass, await start_flow(hass), user_input)
    entry = result["result"]
    server = await serve(certify())
    hass.config_entries.async_update_entry(
        entry, data={**entry.data, **dict.fromkeys(ADDRESSES, server.url)}
    )
    await hass.async_block_till_done(wait_background_tasks=True)
    assert entry.runtime_data.session._hosts.api == server.url
    assert "not trusted" in str(entry.runtime_data.nodes.last_exception)
    assert not server.requests


def test_nothing_turns_verification_off() -> None:
    """No call of ours names a way to do so, and no form or option has a word for it."""
    for module in source.modules():
        for node in ast.walk(module.tree):
            if isinstance(node, ast.keyword):
                assert node.arg not in ("ssl", "verify_ssl", "ssl_context"), module.name
                assert node.arg != "trust_env", module.name
            if isinstance(node, ast.Name | ast.Attribute):
                name = node.id if isinstance(node, ast.Name) else node.attr
                assert "verify" not in name.lower(), f"{module.name}: {name}"
