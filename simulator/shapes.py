"""Strict reading of request bodies: what is not allowed is refused with 400 and the place where it stood."""

import json
from typing import Any, NoReturn

from aiohttp import web

from .errors import bad_request

type JsonObject = dict[str, Any]


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _distinct(pairs: list[tuple[str, Any]]) -> JsonObject:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return result


def parse_json(body: bytes) -> Any:
    """Parse JSON by the letter of RFC 8259; a number with a fraction or an exponent is a float, any other an int."""
    try:
        return json.loads(
            body.decode("utf-8"),
            parse_constant=_no_constant,
            object_pairs_hook=_distinct,
        )
    except (ValueError, RecursionError) as err:
        raise bad_request(f"The body is not valid JSON: {err}") from err


async def json_body(request: web.Request) -> Any:
    """Return the parsed body of a request that has to be JSON."""
    if (
        "Content-Type" not in request.headers
        or request.content_type != "application/json"
    ):
        raise bad_request("Content-Type has to be application/json")
    return parse_json(await request.read())


def as_object(
    value: Any,
    where: str,
    *,
    required: frozenset[str],
    optional: frozenset[str] = frozenset(),
) -> JsonObject:
    """Return an object that has all `required` keys and none beyond `optional`."""
    if not isinstance(value, dict):
        raise bad_request(f"{where} has to be an object")
    if value.keys() == required:
        return value
    if missing := sorted(required - value.keys()):
        raise bad_request(f"{where} lacks {', '.join(missing)}")
    if unknown := sorted(value.keys() - required - optional):
        raise bad_request(f"{where} has unknown keys: {', '.join(unknown)}")
    return value


def as_str(value: Any, where: str, *, max_length: int | None = None) -> str:
    """Return a string that is at most `max_length` characters long."""
    if not isinstance(value, str):
        raise bad_request(f"{where} has to be a string")
    if max_length is not None and len(value) > max_length:
        raise bad_request(f"{where} is longer than {max_length} characters")
    return value


def as_int(value: Any, where: str) -> int:
    """Return an integer; a boolean is none."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise bad_request(f"{where} has to be an integer")
    return value


def text_int(text: str, where: str) -> int:
    """Return an integer that came as text, of a path or a query parameter."""
    if not text.isascii() or not text.isdecimal():
        raise bad_request(f"{where} has to be an integer")
    return int(text)


def as_bool(value: Any, where: str) -> bool:
    """Return a boolean."""
    if not isinstance(value, bool):
        raise bad_request(f"{where} has to be a boolean")
    return value


def as_list(value: Any, where: str) -> list[Any]:
    """Return a list."""
    if not isinstance(value, list):
        raise bad_request(f"{where} has to be an array")
    return value


def same_json(left: Any, right: Any) -> bool:
    """Compare two JSON values; unlike in Python, `true` is not `1`."""
    return isinstance(left, bool) == isinstance(right, bool) and bool(left == right)


def only_query_keys(request: web.Request, *allowed: str) -> None:
    """Refuse query parameters that the call does not have."""
    if unknown := sorted(set(request.query) - set(allowed)):
        raise bad_request(f"Unknown query parameters: {', '.join(unknown)}")
