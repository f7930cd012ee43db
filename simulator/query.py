"""Telemetry queries as they are asked: the strict reading of a request."""

from dataclasses import dataclass
import re
from typing import Any

from .errors import bad_request
from .shapes import JsonObject, as_int, as_list, as_object, as_str
from .timestamps import NS_PER_MS, parse_iso_ns

MAX_QUERIES = 1000
MAX_SELECTED = 100
MAX_TIME_CONDITIONS = 2
FUNCTIONS = frozenset({"sum", "min", "max", "mean"})

_FIELD = re.compile(r"[a-zA-Z0-9_ \-\+\*/\.²³%\(\)]+")
_NAME = re.compile(r"[a-zA-Z0-9_\-]+")
_PRINTABLE_LATIN_1 = re.compile(r"[\x20-\x7e\xa0-\xff]+")

_EMPTY: frozenset[str] = frozenset()
_NAMESPACE_KEYS = {
    "1": frozenset({"database", "retentionPolicy"}),
    "2": frozenset({"organization", "bucket"}),
    "IOx": frozenset({"value"}),
}
# Nanoseconds from an operator's instant to the first one in range, and to the first one behind the range
_RANGE_START = {">": 1, ">=": 0, "=": 0}
_RANGE_END = {"<": 0, "<=": 1, "=": 1}
_OPERATORS = _RANGE_START.keys() | _RANGE_END.keys()


@dataclass(frozen=True, slots=True)
class Selected:
    """One item of `select`; `function` is None for the plain field."""

    field: str
    function: str | None = None


@dataclass(frozen=True, slots=True)
class Query:
    """One query; a range is `start_ns <= time < end_ns`, None where it is open.

    namespace: database and retention policy, or None for the two other kinds of namespace.
    error: what is wrong with this query alone, to be told in its answer.
    """

    select: tuple[Selected, ...]
    namespace: tuple[str, str] | None
    measurement: str
    tags: dict[str, str]
    start_ns: int | None
    end_ns: int | None
    descending: bool
    limit: int | None
    error: str | None

    @property
    def fields(self) -> frozenset[str]:
        """Return the names of the selected fields."""
        return frozenset(item.field for item in self.select)


def parse_queries(body: Any) -> list[Query]:
    """Return the queries of a body, one or an array of at most 1000.

    400 for unknown keys and for everything that does not have the documented form. Only a time that is a string, but
    no instant, is told in the answer of its query: `Invalid format: …`.
    """
    if not isinstance(body, list):
        return [_parse_query(body, "The query")]
    if len(body) > MAX_QUERIES:
        raise bad_request(f"There are more than {MAX_QUERIES} queries")
    return [_parse_query(item, f"query {index}") for index, item in enumerate(body)]


def _parse_query(value: Any, where: str) -> Query:
    query = as_object(
        value,
        where,
        required=frozenset({"select", "from"}),
        optional=frozenset({"where", "orderBy", "limit"}),
    )
    namespace, measurement = _parse_from(query["from"], f"{where}: from")
    condition = as_object(
        query.get("where", {}),
        f"{where}: where",
        required=_EMPTY,
        optional=frozenset({"time", "tags"}),
    )
    try:
        start_ns, end_ns = _parse_time(
            condition.get("time", []), f"{where}: where.time"
        )
        error = None
    except _InvalidFormatError as err:
        start_ns = end_ns = None
        error = f"Invalid format: {err}"
    order = query.get("orderBy", "ASC")
    if order not in ("ASC", "DESC"):
        raise bad_request(f"{where}: orderBy has to be ASC or DESC")
    limit = as_int(query["limit"], f"{where}: limit") if "limit" in query else None
    if limit is not None and limit < 1:
        raise bad_request(f"{where}: limit has to be positive")
    return Query(
        select=_parse_select(query["select"], f"{where}: select"),
        namespace=namespace,
        measurement=measurement,
        tags=_parse_tags(condition["tags"], f"{where}: where.tags")
        if "tags" in condition
        else {},
        start_ns=start_ns,
        end_ns=end_ns,
        descending=order == "DESC",
        limit=limit,
        error=error,
    )


def _parse_select(value: Any, where: str) -> tuple[Selected, ...]:
    items = as_list(value, where)
    if not 1 <= len(items) <= MAX_SELECTED:
        raise bad_request(f"{where} has to have 1 to {MAX_SELECTED} items")
    return tuple(_parse_selected(item, where) for item in items)


def _parse_selected(value: Any, where: str) -> Selected:
    function = None
    if isinstance(value, dict):
        item = as_object(value, where, required=frozenset({"field", "function"}))
        value, function = item["field"], as_str(item["function"], f"{where}: function")
        if function not in FUNCTIONS:
            raise bad_request(f"{where}: unknown function {function}")
    return Selected(_matching(_FIELD, value, f"{where}: field"), function)


def _parse_from(value: Any, where: str) -> tuple[tuple[str, str] | None, str]:
    if isinstance(value, dict) and "namespace" in value:
        source = as_object(
            value, where, required=frozenset({"namespace", "measurement"})
        )
        namespace = _parse_namespace(source["namespace"], f"{where}.namespace")
    else:
        source = as_object(
            value,
            where,
            required=frozenset({"database", "retentionPolicy", "measurement"}),
        )
        namespace = _database(source, where)
    return namespace, _matching(_NAME, source["measurement"], f"{where}.measurement")


def _parse_namespace(value: Any, where: str) -> tuple[str, str] | None:
    version = value.get("version") if isinstance(value, dict) else None
    if not isinstance(version, str) or version not in _NAMESPACE_KEYS:
        raise bad_request(
            f"{where} has to be an object with version 1, 2 or IOx, a string"
        )
    keys = _NAMESPACE_KEYS[version]
    namespace = as_object(value, where, required=keys | {"version"})
    for key in keys:
        _matching(_NAME, namespace[key], f"{where}.{key}")
    return _database(namespace, where) if version == "1" else None


def _database(source: JsonObject, where: str) -> tuple[str, str]:
    return (
        _matching(_NAME, source["database"], f"{where}.database"),
        _matching(_NAME, source["retentionPolicy"], f"{where}.retentionPolicy"),
    )


def _parse_tags(value: Any, where: str) -> dict[str, str]:
    if not isinstance(value, dict) or not value:
        raise bad_request(f"{where} has to be an object with at least one tag")
    for key, tag in value.items():
        _matching(_PRINTABLE_LATIN_1, key, f"{where}: key")
        _matching(_PRINTABLE_LATIN_1, tag, f"{where}.{key}")
    return value


class _InvalidFormatError(Exception):
    """A time that is a string, but no instant."""


def _parse_time(value: Any, where: str) -> tuple[int | None, int | None]:
    conditions = as_list(value, where)
    if len(conditions) > MAX_TIME_CONDITIONS:
        raise bad_request(f"{where} has more than {MAX_TIME_CONDITIONS} conditions")
    starts: list[int] = []
    ends: list[int] = []
    invalid: str | None = None
    for item in conditions:
        condition = as_object(item, where, required=frozenset({"operator", "value"}))
        operator = as_str(condition["operator"], f"{where}: operator")
        if operator not in _OPERATORS:
            raise bad_request(f"{where}: unknown operator {operator}")
        try:
            instant = _instant_ns(condition["value"], where)
        except ValueError as err:
            invalid = str(err)
            continue
        if operator in _RANGE_START:
            starts.append(instant + _RANGE_START[operator])
        if operator in _RANGE_END:
            ends.append(instant + _RANGE_END[operator])
    if invalid is not None:
        raise _InvalidFormatError(invalid)
    return max(starts, default=None), min(ends, default=None)


def _instant_ns(value: Any, where: str) -> int:
    return (
        parse_iso_ns(value)
        if isinstance(value, str)
        else as_int(value, where) * NS_PER_MS
    )


def _matching(pattern: re.Pattern[str], value: Any, where: str) -> str:
    text = as_str(value, where)
    if pattern.fullmatch(text) is None:
        raise bad_request(f"{where} has characters that are not allowed, or none")
    return text
