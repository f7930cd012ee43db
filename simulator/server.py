"""The simulator itself: all hosts of the service behind one address."""

import asyncio
import json
from typing import Self

from aiohttp import web

from .control import CONTROL_PREFIX, ControlApi
from .errors import ApiError, reason
from .faults import Handler, strike
from .request_log import LoggedRequest
from .service import Service

# The service's own limit is a switch; this one only keeps a runaway client from filling the memory
_MAX_RECEIVED_BYTES = 64 * 1024 * 1024
_SHUTDOWN_S = 0.5


class Simulator(Service):
    """A stand-in for the Eniris cloud; authentication, api and ingress share `url`.

    ```python
    async with Simulator(world, tier="basic") as simulator:
        client = Client(simulator.url, "demo@example.com", "demo")
        simulator.faults.add("/v1/telemetry", "status", status=503, times=1)
        await client.write(points)
        assert simulator.log.count("POST /v1/telemetry", 204) == 1
        assert simulator.store.points(measurement="exampleMetrics")
    ```

    What it keeps, and how it is made, is said by `Service`.

    All of it can be used while the simulator runs, from the thread of its event loop, and survives stop and start.
    """

    _runner: web.AppRunner | None = None
    _url: str | None = None

    async def __aenter__(self) -> Self:
        """Start on a free port of the loopback interface."""
        await self.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Stop."""
        await self.stop()

    @property
    def url(self) -> str:
        """Return the base address of all three hosts, without a slash at the end; it outlives a stop."""
        if self._url is None:
            raise RuntimeError("The simulator was never started")
        return self._url

    @property
    def port(self) -> int:
        """Return the port, with which `start` brings the simulator back to the same address."""
        return int(self.url.rpartition(":")[2])

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen; port 0 takes a free one."""
        if self._runner is not None:
            raise RuntimeError("The simulator is running")
        self.stopping = asyncio.Event()
        app = web.Application(
            middlewares=[self._serve], client_max_size=_MAX_RECEIVED_BYTES
        )
        for api in (*self._apis, ControlApi(self), *self.control_parts):
            app.add_routes(api.routes())
        # Bodies are decompressed by the one call that takes them so
        runner = web.AppRunner(
            app, access_log=None, shutdown_timeout=_SHUTDOWN_S, auto_decompress=False
        )
        await runner.setup()
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError:
            await runner.cleanup()
            raise
        self._runner = runner
        self._url = f"http://{host}:{runner.addresses[0][1]}"

    async def stop(self) -> None:
        """Close all connections; nothing that is kept in memory is lost. Does nothing when it is not running."""
        runner, self._runner = self._runner, None
        if runner is None:
            return
        self.stopping.set()
        await runner.cleanup()
        # Transports tell the loop of their end in its next round
        await asyncio.sleep(0)

    @web.middleware
    async def _serve(
        self, request: web.Request, handler: Handler
    ) -> web.StreamResponse:
        """Log a request, let faults strike, and turn refusals into answers."""
        if request.path.startswith(f"{CONTROL_PREFIX}/"):
            return await self._answer(request, handler)
        resource = request.match_info.route.resource
        call = f"{request.method} {request.path if resource is None else resource.canonical}"
        entry = self.log.open(
            method=request.method,
            call=call,
            path=request.path,
            query=list(request.query.items()),
            headers=dict(request.headers),
            remote=request.remote or "",
        )
        status: int | None = None
        try:
            response = await self._answer_or_fail(request, handler, entry)
            # A connection that a fault has ended carries no answer
            if request.transport is not None and not request.transport.is_closing():
                status = response.status
        finally:
            self.log.close(entry, status)
        return response

    async def _answer_or_fail(
        self, request: web.Request, handler: Handler, entry: LoggedRequest
    ) -> web.StreamResponse:
        try:
            entry.received_bytes = entry.body_bytes = len(await request.read())
        except web.HTTPRequestEntityTooLarge:
            return self._refusal(
                ApiError(413, f"The body is larger than {_MAX_RECEIVED_BYTES} bytes")
            )
        fault = self.faults.match(request.method, request.path, request.query)
        if fault is None:
            return await self._answer(request, handler)
        entry.fault = fault.fault

        async def unharmed(request: web.Request) -> web.StreamResponse:
            return await self._answer(request, handler)

        try:
            return await strike(fault, request, unharmed, self.stopping)
        except ApiError as err:
            return self._refusal(err)

    async def _answer(
        self, request: web.Request, handler: Handler
    ) -> web.StreamResponse:
        try:
            return await handler(request)
        except ApiError as err:
            return self._refusal(err)
        except web.HTTPException as err:
            allow = {"Allow": err.headers["Allow"]} if "Allow" in err.headers else {}
            return self._refusal(
                ApiError(err.status, reason(err.status), headers=allow)
            )

    def _refusal(self, err: ApiError) -> web.Response:
        return web.Response(
            status=err.status,
            headers=err.headers,
            text=json.dumps(err.body(code_in_error=self.switches.code_in_error)),
            content_type="application/json",
        )
