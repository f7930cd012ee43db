"""The action that queries telemetry: rows, or what Eniris makes of them."""

from datetime import datetime
from itertools import islice
from typing import Final

import voluptuous as vol

from homeassistant.components.sensor.const import SensorStateClass
from homeassistant.const import ATTR_ENTITY_ID
from homeassistant.core import ServiceCall, ServiceResponse
from homeassistant.helpers import config_validation as cv
from homeassistant.util.json import JsonObjectType, JsonValueType

from ..api import AggregateFunction
from ..const import (
    ATTR_AGGREGATION,
    ATTR_LIMIT,
    ATTR_ORDER,
    ATTR_PERIOD,
    ATTR_TIME,
    CONF_DATABASE,
    CONF_FIELDS,
    CONF_MEASUREMENT,
    CONF_RETENTION_POLICY,
    CONF_TAGS,
)
from ..data import EnirisConfigEntry
from ..errors import failed, invalid
from ..importing.budget.reader import (
    MOST_QUERIES,
    Column,
    Rows,
    SeveralSeriesError,
    StatementFailedError,
    TelemetryRequest,
    TooDearError,
)
from ..importing.catalogue import describe
from .fields import ShownField, asked_fields
from .nodes import NODE_SCHEMA
from .periods import Period, periods
from .shared import RANGE_SCHEMA, eniris_asked, time_range

NO_AGGREGATION: Final = "none"
OLDEST_FIRST: Final = "oldest_first"
NEWEST_FIRST: Final = "newest_first"

DEFAULT_LIMIT: Final = 1440
"""Rows: a day by the minute."""

MOST_ROWS: Final = 10_000

QUERY_TELEMETRY_SCHEMA: Final = vol.Schema(
    {
        **NODE_SCHEMA,
        vol.Optional(ATTR_ENTITY_ID): cv.entity_ids,
        vol.Optional(CONF_FIELDS, default=[]): vol.All(cv.ensure_list, [cv.string]),
        **RANGE_SCHEMA,
        vol.Optional(ATTR_AGGREGATION, default=NO_AGGREGATION): vol.In(
            [NO_AGGREGATION, *map(str, AggregateFunction)]
        ),
        vol.Optional(ATTR_PERIOD): vol.Coerce(Period),
        vol.Optional(ATTR_ORDER, default=OLDEST_FIRST): vol.In(
            [OLDEST_FIRST, NEWEST_FIRST]
        ),
        vol.Optional(ATTR_LIMIT): vol.All(
            vol.Coerce(int), vol.Range(min=1, max=MOST_ROWS)
        ),
        vol.Optional(CONF_MEASUREMENT): cv.string,
        vol.Optional(CONF_RETENTION_POLICY): cv.string,
        vol.Optional(CONF_DATABASE): cv.string,
        vol.Optional(CONF_TAGS): {cv.string: cv.string},
    }
)


async def query_telemetry(call: ServiceCall) -> ServiceResponse:
    """Return rows of telemetry, or what the service makes of them."""
    start, end = time_range(call, past=False)
    function = None
    if call.data[ATTR_AGGREGATION] != NO_AGGREGATION:
        function = AggregateFunction(call.data[ATTR_AGGREGATION])
    elif ATTR_PERIOD in call.data:
        raise invalid("period_without_aggregation")
    entry, shown = asked_fields(call, start, function)
    if function is AggregateFunction.SUM and (
        counters := [each.name for each in shown if _is_counter(each.column)]
    ):
        raise invalid("sum_of_counter", fields=", ".join(counters))
    question = _question(call, [each.column for each in shown], start, end, function)
    rows, truncated = await answered(entry, question)
    return {
        # Of many columns it takes a second
        "rows": await call.hass.async_add_executor_job(_as_response, rows, shown),
        "truncated": truncated,
        "units": {each.name: each.unit for each in shown},
        "series": {each.name: _series(each.column) for each in shown},
    }


async def answered(
    entry: EnirisConfigEntry, question: TelemetryRequest
) -> tuple[Rows, bool]:
    """Return the rows, and whether there are more; raises `HomeAssistantError` where Eniris does not tell."""
    try:
        with eniris_asked(entry, entry.runtime_data.telemetry):
            return await entry.runtime_data.asker.ask(question)
    except StatementFailedError as err:
        raise failed(
            "query_failed", fields=", ".join(err.fields), error=err.reason
        ) from err
    except SeveralSeriesError as err:
        raise failed("several_series") from err
    except TooDearError as err:
        raise failed("too_dear") from err


def _is_counter(column: Column) -> bool:
    description = describe(column.series.measurement, column.field)
    return (
        description.state_class is SensorStateClass.TOTAL_INCREASING
        and not description.accumulates
    )


def _as_response(rows: Rows, shown: list[ShownField]) -> list[JsonValueType]:
    return [
        {
            ATTR_TIME: time.isoformat(),
            **{
                each.name: None
                if (value := values[each.name]) is None
                else each.convert(value)
                for each in shown
            },
        }
        for time, values in rows
    ]


def _series(column: Column) -> JsonObjectType:
    series = column.series
    return {
        CONF_DATABASE: series.database,
        CONF_RETENTION_POLICY: series.retention_policy,
        CONF_MEASUREMENT: series.measurement,
        CONF_TAGS: dict(series.tags),
        "field": column.field,
    }


def _question(
    call: ServiceCall,
    columns: list[Column],
    start: datetime,
    end: datetime,
    function: AggregateFunction | None,
) -> TelemetryRequest:
    """Return the question; raises `ServiceValidationError` for one of too many queries."""
    newest_first = call.data[ATTR_ORDER] == NEWEST_FIRST
    limit: int | None = call.data.get(ATTR_LIMIT)
    if function is None:
        return TelemetryRequest(
            columns,
            [(start, end)],
            limit=limit or DEFAULT_LIMIT,
            descending=newest_first,
        )
    period: Period | None = call.data.get(ATTR_PERIOD)
    if period is None:
        return TelemetryRequest(columns, [(start, end)], function)
    each = len(TelemetryRequest(columns, [(start, end)], function).queries())
    # A range of millennia is not to be walked through
    spans = list(islice(periods(period, start, end), MOST_QUERIES + 1))
    if len(spans) * each > MOST_QUERIES:
        # The others are as long as those that were walked through
        number = len(spans) * (end - start) / (spans[-1][1] - start)
        raise invalid(
            "too_many_periods",
            number=f"{number:.0f}",
            fields=str(len(columns)),
            most=str(MOST_QUERIES // each),
        )
    if newest_first:
        spans.reverse()
    return TelemetryRequest(columns, spans[:limit], function)
