"""The Eniris cloud's client: async, typed, on an injected `aiohttp.ClientSession`.

Knows nothing of Home Assistant. `Authentication` turns credentials into a refresh token,
`Session` makes an account's calls with it, `errors` says all that can go wrong.
"""

from .auth import CREDENTIAL_LIMIT, Authentication, PartialToken, RefreshToken
from .calls import Failure
from .devices import Device, SeriesInfo
from .errors import (
    BadRequestError,
    ConflictError,
    EnirisCertificateError,
    EnirisConnectionError,
    EnirisError,
    EnirisQueryError,
    EnirisResponseError,
    EnirisStatusError,
    ForbiddenError,
    MethodNotAllowedError,
    NoPasswordError,
    NotFoundError,
    PayloadTooLargeError,
    PreconditionFailedError,
    RateLimitedError,
    ReauthenticationRequiredError,
    ServerError,
    UnauthorizedError,
    UnprocessableError,
    without_frames,
)
from .session import Session
from .telemetry import (
    Aggregate,
    AggregateFunction,
    DatabaseNamespace,
    FieldValue,
    QueryCost,
    StatementResult,
    TelemetryAnswer,
    TelemetryQuery,
)
from .transport import Hosts
from .write import Body, Point, WriteTarget, encode_points

__all__ = [
    "CREDENTIAL_LIMIT",
    "Aggregate",
    "AggregateFunction",
    "Authentication",
    "BadRequestError",
    "Body",
    "ConflictError",
    "DatabaseNamespace",
    "Device",
    "EnirisCertificateError",
    "EnirisConnectionError",
    "EnirisError",
    "EnirisQueryError",
    "EnirisResponseError",
    "EnirisStatusError",
    "Failure",
    "FieldValue",
    "ForbiddenError",
    "Hosts",
    "MethodNotAllowedError",
    "NoPasswordError",
    "NotFoundError",
    "PartialToken",
    "PayloadTooLargeError",
    "Point",
    "PreconditionFailedError",
    "QueryCost",
    "RateLimitedError",
    "ReauthenticationRequiredError",
    "RefreshToken",
    "SeriesInfo",
    "ServerError",
    "Session",
    "StatementResult",
    "TelemetryAnswer",
    "TelemetryQuery",
    "UnauthorizedError",
    "UnprocessableError",
    "WriteTarget",
    "encode_points",
    "without_frames",
]
