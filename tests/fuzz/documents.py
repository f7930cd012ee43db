"""Documents that something was done to: a value of another type, a part left out, one there twice."""

from collections.abc import Mapping, Sequence
import copy
from typing import Any, Final

from hypothesis import strategies as st

_DEEP: Final[list[Any]] = []
_innermost = _DEEP
for _ in range(200):
    _innermost.append([])
    _innermost = _innermost[0]

NASTY: Final[tuple[Any, ...]] = (
    None,
    True,
    False,
    0,
    -1,
    2**31,
    2**63,
    2**64,
    -(2**70),
    10**400,
    0.0,
    -0.0,
    1e308,
    5e-324,
    float("nan"),
    float("inf"),
    float("-inf"),
    "",
    " ",
    "\x00",
    "\n",
    "\ud83d",
    "x\udcff",
    "None",
    "nan",
    "0",
    "_x",
    "x" * 70_000,
    "\u202eevil<b>",
    "0000-01-01T00:00:00Z",
    "0001-01-01T00:00:00+23:59",
    "9999-12-31T23:59:59.999999999-23:59",
    "2026-07-01T12:00:00.123456789Z",
    "2026-13-45",
    [],
    {},
    [None],
    [[]],
    {"": None},
    {"x": {"x": {"x": []}}},
    _DEEP,
)
"""What stands where something else should."""

values = st.sampled_from(NASTY) | st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner)
    ),
    max_leaves=5,
)


def places(document: Any) -> list[tuple[Any, ...]]:
    """Return the way to every part of a document, by keys and indices."""
    found: list[tuple[Any, ...]] = []
    inner: Sequence[tuple[Any, Any]] = ()
    if isinstance(document, Mapping):
        inner = list(document.items())
    elif isinstance(document, list):
        inner = list(enumerate(document))
    for key, value in inner:
        found.append((key,))
        found += [(key, *rest) for rest in places(value)]
    return found


def _parent(document: Any, place: tuple[Any, ...]) -> Any:
    for key in place[:-1]:
        document = document[key]
    return document


@st.composite
def damaged(
    draw: st.DrawFn, document: Any, *, most: int = 3, others: Sequence[Any] = ()
) -> Any:
    """Return a document with up to `most` changes; `others` are values that mean something in it."""
    document = copy.deepcopy(document)
    strategy = values | st.sampled_from(others) if others else values
    for _ in range(draw(st.integers(1, most))):
        known = places(document)
        if not known:
            break
        place = draw(st.sampled_from(known))
        parent, key = _parent(document, place), place[-1]
        match draw(st.sampled_from(["replace", "replace", "remove", "add", "swap"])):
            case "replace":
                parent[key] = copy.deepcopy(draw(strategy))
            case "remove":
                del parent[key]
            case "add" if isinstance(parent, list):
                parent.insert(key, copy.deepcopy(draw(strategy | st.just(parent[key]))))
            case "add":
                parent[draw(st.text(max_size=4))] = copy.deepcopy(draw(strategy))
            case _:
                other = draw(st.sampled_from(known))
                if other[: len(place)] != place and place[: len(other)] != other:
                    there = _parent(document, other)
                    there[other[-1]], parent[key] = parent[key], there[other[-1]]
    return document
