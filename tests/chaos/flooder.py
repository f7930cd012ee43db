"""Posts without end: `python -m tests.chaos.flooder PORT PATH TOKEN BODY RATE SECONDS`, in a process of its own.

Writes as JSON how many posts were answered with which status.
"""

import asyncio
from collections import Counter
import json
from pathlib import Path
import sys
import time
from typing import Final

_CONNECTIONS: Final = 20


async def flood(
    port: int, path: str, token: str, body: bytes, rate: float, seconds: float
) -> Counter[str]:
    """Post `rate` times a second, over twenty connections, and return the statuses."""
    request = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body
    statuses: Counter[str] = Counter()
    begun = time.monotonic()

    async def post_on(first: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for number in range(first, int(rate * seconds), _CONNECTIONS):
            await asyncio.sleep(begun + number / rate - time.monotonic())
            writer.write(request)
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            statuses[head.split()[1]] += 1
            for line in head.lower().splitlines():
                if line.startswith("content-length:"):
                    await reader.readexactly(int(line.partition(":")[2]))
        writer.close()

    await asyncio.gather(*map(post_on, range(_CONNECTIONS)))
    return statuses


if __name__ == "__main__":
    _, port, path, token, body, rate, seconds = sys.argv
    statuses = asyncio.run(
        flood(
            int(port),
            path,
            token,
            Path(body).read_bytes(),
            float(rate),
            float(seconds),
        )
    )
    sys.stdout.write(json.dumps(statuses))
