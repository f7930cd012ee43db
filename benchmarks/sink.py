"""What the alternatives send to: `python -m benchmarks.sink --port PORT`.

Answers what the clients of InfluxDB (version 1) and of EnergyID's webhook ask, at an address of this machine, and counts what it
takes. `GET /received` tells how many values that were, by client.
"""

from argparse import ArgumentParser
import gzip

from aiohttp import web

_RECEIVED = web.AppKey("received", dict[str, int])


async def _influx_ping(_request: web.Request) -> web.Response:
    return web.Response(status=204, headers={"X-Influxdb-Version": "1.8.10"})


async def _influx_write(request: web.Request) -> web.Response:
    body = await request.read()
    if body.startswith(b"\x1f\x8b"):
        body = gzip.decompress(body)
    request.app[_RECEIVED]["influxdb"] += len(body.splitlines())
    return web.Response(status=204)


async def _energyid_hello(request: web.Request) -> web.Response:
    return web.json_response(
        {
            "webhookUrl": f"http://{request.host}/energyid/webhook",
            "headers": {"authorization": "none"},
            # What its component takes where nothing is said
            "webhookPolicy": {"uploadInterval": 60},
            "recordNumber": "EA-1",
            "recordName": "benchmark",
        }
    )


async def _energyid_webhook(request: web.Request) -> web.Response:
    values = await request.json()
    request.app[_RECEIVED]["energyid"] += len(values) - ("ts" in values)
    return web.Response(text="")


async def _received(request: web.Request) -> web.Response:
    return web.json_response(request.app[_RECEIVED])


def _app() -> web.Application:
    app = web.Application(client_max_size=16 * 1024 * 1024)
    app[_RECEIVED] = {"influxdb": 0, "energyid": 0}
    app.add_routes(
        [
            web.get("/ping", _influx_ping),
            web.post("/write", _influx_write),
            web.post("/energyid/hello", _energyid_hello),
            web.post("/energyid/webhook", _energyid_webhook),
            web.get("/received", _received),
        ]
    )
    return app


def main() -> None:
    """Listen until told to end."""
    parser = ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--port", type=int, required=True)
    arguments = parser.parse_args()
    web.run_app(_app(), host="127.0.0.1", port=arguments.port, access_log=None)


if __name__ == "__main__":
    main()
