"""JSON Patch, RFC 6902, on JSON Pointer, RFC 6901."""

from collections.abc import Callable
import copy
import re
from typing import Any

from .errors import ApiError, bad_request
from .shapes import as_list, as_object, as_str, same_json

_INDEX = re.compile(r"0|[1-9]\d{0,8}", re.ASCII)

type _Path = list[str]


class PatchFailedError(ApiError):
    """An operation that cannot be carried out: 422."""

    def __init__(self, detail: str) -> None:
        """Say which operation failed and why."""
        super().__init__(422, detail)


def apply_patch(document: Any, operations: Any) -> Any:
    """Return a document after all operations, which is a new one; the given one is left alone.

    400: the operations are not what the RFC says. 422: one of them fails, then none counts.
    """
    result = copy.deepcopy(document)
    for number, item in enumerate(as_list(operations, "The patch")):
        where = f"operation {number}"
        name = item.get("op") if isinstance(item, dict) else None
        if not isinstance(name, str) or name not in _OPERATIONS:
            raise bad_request(f"{where}: unknown op")
        keys, function = _OPERATIONS[name]
        # The RFC has further members ignored
        operation = as_object(
            {key: item[key] for key in item if key in keys}, where, required=keys
        )
        try:
            result = function(result, operation)
        except PatchFailedError as err:
            raise PatchFailedError(f"{where}: {err.detail}") from err
    return result


def _add(document: Any, operation: dict[str, Any]) -> Any:
    return _put(document, _path(operation["path"]), copy.deepcopy(operation["value"]))


def _remove(document: Any, operation: dict[str, Any]) -> Any:
    return _take(document, _path(operation["path"]))[0]


def _replace(document: Any, operation: dict[str, Any]) -> Any:
    path = _path(operation["path"])
    if not path:
        return copy.deepcopy(operation["value"])
    parent, key = _locate(document, path)
    parent[key] = copy.deepcopy(operation["value"])
    return document


def _move(document: Any, operation: dict[str, Any]) -> Any:
    source, target = _path(operation["from"]), _path(operation["path"])
    if target[: len(source)] == source and target != source:
        raise PatchFailedError("a value cannot move into itself")
    document, value = _take(document, source)
    return _put(document, target, value)


def _copy(document: Any, operation: dict[str, Any]) -> Any:
    return _put(
        document,
        _path(operation["path"]),
        copy.deepcopy(_get(document, _path(operation["from"]))),
    )


def _test(document: Any, operation: dict[str, Any]) -> Any:
    if not _equal(_get(document, _path(operation["path"])), operation["value"]):
        raise PatchFailedError("the test fails")
    return document


_OPERATIONS: dict[str, tuple[frozenset[str], Callable[[Any, dict[str, Any]], Any]]] = {
    "add": (frozenset({"op", "path", "value"}), _add),
    "remove": (frozenset({"op", "path"}), _remove),
    "replace": (frozenset({"op", "path", "value"}), _replace),
    "move": (frozenset({"op", "path", "from"}), _move),
    "copy": (frozenset({"op", "path", "from"}), _copy),
    "test": (frozenset({"op", "path", "value"}), _test),
}


def _path(value: Any) -> _Path:
    pointer = as_str(value, "A pointer")
    if pointer and (not pointer.startswith("/") or re.search("~(?![01])", pointer)):
        raise bad_request(f"'{pointer}' is not a JSON pointer")
    return [
        token.replace("~1", "/").replace("~0", "~") for token in pointer.split("/")[1:]
    ]


def _get(document: Any, path: _Path) -> Any:
    if not path:
        return document
    parent, key = _locate(document, path)
    return parent[key]


def _locate(document: Any, path: _Path) -> tuple[Any, Any]:
    """Return the container and the key of a value that exists."""
    parent = _get(document, path[:-1])
    key = path[-1]
    if isinstance(parent, dict) and key in parent:
        return parent, key
    if isinstance(parent, list) and _INDEX.fullmatch(key) and int(key) < len(parent):
        return parent, int(key)
    raise PatchFailedError(f"there is no '{key}'")


def _put(document: Any, path: _Path, value: Any) -> Any:
    if not path:
        return value
    parent = _get(document, path[:-1])
    key = path[-1]
    if isinstance(parent, dict):
        parent[key] = value
    elif isinstance(parent, list) and key == "-":
        parent.append(value)
    elif isinstance(parent, list) and _INDEX.fullmatch(key) and int(key) <= len(parent):
        parent.insert(int(key), value)
    else:
        raise PatchFailedError(f"nothing can be added at '{key}'")
    return document


def _take(document: Any, path: _Path) -> tuple[Any, Any]:
    if not path:
        raise PatchFailedError("the whole document cannot be removed")
    parent, key = _locate(document, path)
    return document, parent.pop(key)


def _equal(left: Any, right: Any) -> bool:
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(
            _equal(value, right[key]) for key, value in left.items()
        )
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(_equal, left, right))
    return same_json(left, right)
