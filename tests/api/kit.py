"""Every call of the client, for tests that hold for all of them."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from custom_components.eniris.api import (
    DatabaseNamespace,
    Point,
    Session,
    TelemetryQuery,
    WriteTarget,
    encode_points,
)
from tests.api.conftest import Received

QUERY = TelemetryQuery(
    DatabaseNamespace("tiny", "rp_one_s"),
    "submeteringMetrics",
    {"nodeId": "meter"},
    ["actualPowerTot_W"],
    start=datetime(2026, 7, 1, tzinfo=UTC),
    limit=1,
)
POINT = Point("m", {"t": "v"}, datetime(2026, 7, 1, tzinfo=UTC), {"f": 1.0})
TARGET = WriteTarget("u", "demo", "rp_one_m")

type Call = Callable[[Session], Awaitable[object]]

READING: dict[str, tuple[str, Call]] = {
    "devices": ("/v1/device/query", lambda session: session.query_devices()),
    "companies": ("/v1/company", lambda session: session.companies()),
    "update": ("/v1/device/2", lambda session: session.update_device(2, {"name": "x"})),
    "query": ("/v1/telemetry/query", lambda session: session.query_telemetry([QUERY])),
}
WRITING: dict[str, tuple[str, Call]] = {
    "write": (
        "/v1/telemetry",
        lambda session: session.write_body(TARGET, encode_points([POINT])),
    )
}
ALL = READING | WRITING


def answering(
    make: Callable[..., web.Response], *args: Any, **kwargs: Any
) -> Callable[[Received], web.Response]:
    """Return an answer to everything but the request for an access token."""

    def respond(received: Received) -> web.Response:
        if received.path == "/auth/accesstoken":
            return web.Response(text="the-access-token")
        return make(*args, **kwargs)

    return respond
