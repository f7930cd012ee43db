"""What can be set while the simulator runs: the answers to questions that the service's documentation leaves open."""

from dataclasses import dataclass, field
from typing import Literal

from .timestamps import TimeFormat

type AggregateColumns = Literal["function", "field"]


def _default_namespaces() -> set[tuple[str, str]]:
    return {("demo", "rp_one_m"), ("demo", "rp_one_s")}


@dataclass(slots=True)
class Switches:
    """Behaviour that a test or the control API can change at any moment.

    quote_tokens: tokens arrive in double quotes, as the public examples show them, instead of bare.
    code_in_error: constants such as `PASSWORD_INCORRECT` stand in `error` and a sentence in `message`; otherwise
        `error` is the HTTP phrase and the constant stands in `message`.
    put_status: None, or the status (404, 405) with which a PUT of a device is refused; POST to the same address
        then takes its place.
    time_format: how `time` is written in telemetry answers: `iso_ms`, `iso_ns` or `ms`.
    aggregate_columns: columns of aggregated fields are named like the `function` (`sum`, `sum_1`, as InfluxDB does)
        or like the `field`.
    refuse_mixed_select: a select that mixes plain and aggregated fields fails, as it does in InfluxDB.
    tier_allowed: False refuses telemetry queries with 403, like a tier that the account may not use.
    namespaces: pairs of database and retention policy that exist beside those of the world.
    max_body: bytes of a write, before and after decompression, above which 413 is answered.
    refuse_fields: fields that have another type at the service for now, each with what type that is (`string`); whatever
        has a value of one of them is refused as a whole, with 409.
    max_age_s, max_ahead_s: times of points outside this range around the present are refused with 409.
    """

    quote_tokens: bool = False
    code_in_error: bool = False
    put_status: int | None = None
    time_format: TimeFormat = "iso_ms"
    aggregate_columns: AggregateColumns = "function"
    refuse_mixed_select: bool = False
    tier_allowed: bool = True
    namespaces: set[tuple[str, str]] = field(default_factory=_default_namespaces)
    max_body: int = 10_000_000
    refuse_fields: dict[str, str] = field(default_factory=dict)
    max_age_s: float = 365 * 86_400.0
    max_ahead_s: float = 3_600.0
