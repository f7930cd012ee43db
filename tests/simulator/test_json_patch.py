"""RFC 6902, mostly the examples of its appendix."""

import copy
from typing import Any

import pytest

from simulator.errors import ApiError
from simulator.json_patch import apply_patch


@pytest.mark.parametrize(
    ("document", "operation", "expected"),
    [
        (
            {"foo": "bar"},
            {"op": "add", "path": "/baz", "value": "qux"},
            {"foo": "bar", "baz": "qux"},
        ),
        (
            {"foo": ["a", "b"]},
            {"op": "add", "path": "/foo/1", "value": "x"},
            {"foo": ["a", "x", "b"]},
        ),
        (
            {"foo": ["a"]},
            {"op": "add", "path": "/foo/-", "value": ["b"]},
            {"foo": ["a", ["b"]]},
        ),
        (
            {"foo": ["a"]},
            {"op": "add", "path": "/foo/1", "value": "b"},
            {"foo": ["a", "b"]},
        ),
        ({"foo": 1}, {"op": "add", "path": "", "value": 2}, 2),
        (
            {"foo": 1},
            {"op": "add", "path": "/foo", "value": None, "xyz": 123},
            {"foo": None},
        ),
        (
            {"baz": "qux", "foo": "bar"},
            {"op": "remove", "path": "/baz"},
            {"foo": "bar"},
        ),
        (
            {"foo": ["a", "b", "c"]},
            {"op": "remove", "path": "/foo/1"},
            {"foo": ["a", "c"]},
        ),
        ({"baz": 1}, {"op": "replace", "path": "/baz", "value": 2}, {"baz": 2}),
        ({"baz": 1}, {"op": "replace", "path": "", "value": {}}, {}),
        (
            {"foo": {"a": 1}, "qux": {}},
            {"op": "move", "from": "/foo/a", "path": "/qux/b"},
            {"foo": {}, "qux": {"b": 1}},
        ),
        (
            {"foo": ["a", "b", "c"]},
            {"op": "move", "from": "/foo/0", "path": "/foo/2"},
            {"foo": ["b", "c", "a"]},
        ),
        (
            {"foo": {"a": 1}},
            {"op": "move", "from": "/foo", "path": "/foo"},
            {"foo": {"a": 1}},
        ),
        (
            {"foo": [1]},
            {"op": "copy", "from": "/foo", "path": "/bar"},
            {"foo": [1], "bar": [1]},
        ),
        (
            {"a/b": {"m~n": 8}},
            {"op": "test", "path": "/a~1b/m~0n", "value": 8},
            {"a/b": {"m~n": 8}},
        ),
        ({"": 1}, {"op": "test", "path": "/", "value": 1}, {"": 1}),
        (
            {"a": {"b": [1, {"c": None}]}},
            {"op": "test", "path": "/a", "value": {"b": [1, {"c": None}]}},
            None,
        ),
    ],
)
def test_operation(document: Any, operation: Any, expected: Any) -> None:
    before = copy.deepcopy(document)
    assert apply_patch(document, [operation]) == (
        document if expected is None else expected
    )
    assert document == before


@pytest.mark.parametrize(
    ("operation", "status"),
    [
        ({"op": "add", "path": "/x/y", "value": 1}, 422),
        ({"op": "add", "path": "/list/3", "value": 1}, 422),
        ({"op": "add", "path": "/list/01", "value": 1}, 422),
        ({"op": "add", "path": "/text/0", "value": 1}, 422),
        ({"op": "remove", "path": "/x"}, 422),
        ({"op": "remove", "path": "/list/-"}, 422),
        ({"op": "remove", "path": ""}, 422),
        ({"op": "replace", "path": "/x", "value": 1}, 422),
        ({"op": "move", "from": "/object", "path": "/object/a"}, 422),
        ({"op": "copy", "from": "/x", "path": "/y"}, 422),
        ({"op": "test", "path": "/one", "value": True}, 422),
        ({"op": "test", "path": "/list", "value": [1]}, 422),
        ({"op": "test", "path": "/list", "value": [1, True]}, 422),
        ({"op": "test", "path": "/object", "value": {}}, 422),
        ({"op": "add", "path": "/x"}, 400),
        ({"op": "add", "path": "x", "value": 1}, 400),
        ({"op": "add", "path": "/~2", "value": 1}, 400),
        ({"op": "add", "path": 1, "value": 1}, 400),
        ({"op": "move", "path": "/one"}, 400),
        ({"op": ["add"], "path": "/x", "value": 1}, 400),
        ("add", 400),
    ],
)
def test_failure(operation: Any, status: int) -> None:
    document = {"one": 1, "list": [1, 2], "text": "abc", "object": {"a": 1}}
    with pytest.raises(ApiError) as caught:
        apply_patch(document, [{"op": "remove", "path": "/text"}, operation])
    assert caught.value.status == status
    assert "text" in document
