"""The form of JSON answers."""

import json
from typing import Any

from aiohttp import web


def json_answer(value: Any, headers: dict[str, str] | None = None) -> web.Response:
    """Return a value as JSON with 200."""
    return web.Response(
        text=json.dumps(value, separators=(",", ":")),
        content_type="application/json",
        headers=headers,
    )
