"""The ingress host: points come in, as JSON or as InfluxDB line protocol."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import NamedTuple
import zlib

from aiohttp import web

from .auth import Authority
from .errors import ApiError, bad_request
from .line_protocol import parse_lines
from .model import SeriesKey
from .points import parse_points
from .request_log import RequestLog, current_request
from .shapes import only_query_keys, parse_json
from .store import FieldType, IncomingPoint, PointStore, field_type
from .switches import Switches
from .timestamps import NS_PER_MS, NS_PER_S, datetime_to_ns, format_ns
from .world_index import WorldIndex

_LINE_PROTOCOL_TYPES = frozenset({"text/plain", "application/octet-stream"})
_GZIP_WINDOW = 16 + zlib.MAX_WBITS


class _SentType(NamedTuple):
    """The type with which a message sends a field of a measurement, and a series that has it."""

    series: SeriesKey
    name: str
    type: FieldType


class WriteApi:
    """`POST /v1/telemetry?u=&db=&rp=`.

    Either all points of a request are stored, 204, or none. Checked in this order: 401 token; 400 parameters; 403 role;
    404 namespace; 413 size; 400 notation, names and values; 422 a field with two types within the message; 409 time out
    of range or a type other than the stored one. The order is the simulator's own.
    """

    def __init__(
        self,
        *,
        authority: Authority,
        store: PointStore,
        index: WorldIndex,
        log: RequestLog,
        clock: Callable[[], datetime],
        switches: Switches,
    ) -> None:
        """Write into a store beside a world."""
        self._authority = authority
        self._store = store
        self._index = index
        self._log = log
        self._clock = clock
        self._switches = switches

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of the host."""
        return [web.post("/v1/telemetry", self.write)]

    async def write(self, request: web.Request) -> web.Response:
        """Store the points of a request."""
        account, _ = self._authority.require(request, "access")
        only_query_keys(request, "u", "db", "rp", "org", "bucket", "namespace")
        is_json = self._is_json(request)
        database, retention_policy = self._namespace(request, is_json=is_json)
        if not account.can_write:
            raise ApiError(403, 'The user is not a member of the "CustomerName" role')
        if (
            database,
            retention_policy,
        ) not in self._switches.namespaces | self._index.namespaces():
            raise ApiError(
                404,
                f"Unknown namespace: database '{database}', retention policy '{retention_policy}'",
            )
        body = self._decompressed(
            await request.read(), request.headers.get("Content-Encoding", "identity")
        )
        entry = current_request()
        entry.body_bytes = len(body)
        self._log.keep_body(entry, body)

        now_ns = datetime_to_ns(self._clock())
        if is_json:
            points = parse_points(parse_json(body), database, retention_policy)
        else:
            points = self._parse_lines(body, database, retention_policy, now_ns)
        types = self._types_within(points)
        self._refuse_times(points, now_ns)
        self._refuse_other_types(types, now_ns)
        self._store.write(points)
        entry.points = len(points)
        return web.Response(status=204)

    @staticmethod
    def _is_json(request: web.Request) -> bool:
        if (
            "Content-Type" not in request.headers
            or request.content_type in _LINE_PROTOCOL_TYPES
        ):
            return False
        if request.content_type == "application/json":
            return True
        raise bad_request(f"Content-Type {request.content_type} is not supported")

    @staticmethod
    def _namespace(request: web.Request, *, is_json: bool) -> tuple[str, str]:
        query = request.query
        if any(len(query.getall(key)) > 1 for key in query):
            raise bad_request("A query parameter stands twice")
        if not query.get("db") and (query.get("bucket") or query.get("namespace")):
            raise ApiError(
                404,
                "Unknown namespace: there are only databases and retention policies",
            )
        mandatory = ("u", "db", "rp") if is_json else ("db", "rp")
        if missing := [key for key in mandatory if not query.get(key)]:
            raise bad_request(f"Query parameters are missing: {', '.join(missing)}")
        return query["db"], query["rp"]

    def _decompressed(self, body: bytes, encoding: str) -> bytes:
        limit = self._switches.max_body
        if len(body) > limit:
            raise ApiError(413, f"The body is larger than {limit} bytes")
        if encoding == "identity":
            return body
        if encoding != "gzip":
            raise bad_request(f"Content-Encoding {encoding} is not supported")
        inflate = zlib.decompressobj(_GZIP_WINDOW)
        try:
            plain = inflate.decompress(body, limit + 1)
        except zlib.error as err:
            raise bad_request(f"The body is not valid gzip: {err}") from err
        if len(plain) > limit:
            raise ApiError(413, f"The body is larger than {limit} bytes")
        if not inflate.eof or inflate.unused_data:
            raise bad_request(
                "The body is not valid gzip: it ends too early or too late"
            )
        return plain

    @staticmethod
    def _parse_lines(
        body: bytes, database: str, retention_policy: str, now_ns: int
    ) -> list[IncomingPoint]:
        try:
            text = body.decode("utf-8")
        except UnicodeDecodeError as err:
            raise bad_request(f"The body is not UTF-8: {err}") from err
        points = parse_lines(text, database, retention_policy, now_ns)
        if not points:
            raise bad_request("The body has no points")
        return points

    @staticmethod
    def _types_within(points: Sequence[IncomingPoint]) -> list[_SentType]:
        """Return each field of each measurement once, with its type; 422 for one with two types."""
        types: dict[tuple[str, str], _SentType] = {}
        for series, _, fields in points:
            for name, value in fields.items():
                key = (series.measurement, name)
                sent = field_type(value)
                if (first := types.get(key)) is None:
                    types[key] = _SentType(series, name, sent)
                elif sent != first.type:
                    raise ApiError(
                        422,
                        _conflict(
                            series,
                            name,
                            sent,
                            f"but another point sends type {first.type}",
                        ),
                    )
        return list(types.values())

    def _refuse_times(self, points: Sequence[IncomingPoint], now_ns: int) -> None:
        oldest = now_ns - round(self._switches.max_age_s * NS_PER_S)
        newest = now_ns + round(self._switches.max_ahead_s * NS_PER_S)
        for point in points:
            if not oldest <= point.time_ns <= newest:
                raise ApiError(
                    409,
                    f"time {format_ns(point.time_ns, 'iso_ms')} of a point on measurement "
                    f'"{point.series.measurement}" is outside the allowed time range',
                )

    def _refuse_other_types(self, types: Sequence[_SentType], now_ns: int) -> None:
        """409 for a type other than the stored one, which goes by measurement, not by tags."""
        for series, name, sent in types:
            stored = (
                self._switches.refuse_fields.get(name)
                or self._store.type_of(series, name)
                or self._index.type_of(series, name, now_ns // NS_PER_MS)
            )
            if stored is not None and sent != stored:
                raise ApiError(
                    409,
                    _conflict(series, name, sent, f"already exists as type {stored}"),
                )


def _conflict(series: SeriesKey, name: str, sent: FieldType, other: str) -> str:
    return f'field type conflict: input field "{name}" on measurement "{series.measurement}" is type {sent}, {other}'
