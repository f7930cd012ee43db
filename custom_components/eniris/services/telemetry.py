"""The action that queries telemetry: of a node, of entities, or of a series that is named in full."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Final

import voluptuous as vol

from homeassistant.components.sensor.const import UNIT_CONVERTERS, SensorStateClass
from homeassistant.const import ATTR_DEVICE_ID, ATTR_ENTITY_ID
from homeassistant.core import ServiceCall, ServiceResponse
from homeassistant.helpers import config_validation as cv, entity_registry as er
from homeassistant.util import dt as dt_util
from homeassistant.util.json import JsonObjectType, JsonValueType

from ..api import AggregateFunction, Device, FieldValue, SeriesInfo
from ..const import (
    ATTR_AGGREGATION,
    ATTR_CONFIG_ENTRY_ID,
    ATTR_LIMIT,
    ATTR_NODE_ID,
    ATTR_ORDER,
    ATTR_PERIOD,
    ATTR_TIME,
    CONF_DATABASE,
    CONF_FIELDS,
    CONF_MEASUREMENT,
    CONF_RETENTION_POLICY,
    CONF_TAGS,
    DOMAIN,
)
from ..data import EnirisConfigEntry
from ..importing.budget.reader import (
    MOST_QUERIES,
    Column,
    Rows,
    SeveralSeriesError,
    StatementFailedError,
    TelemetryRequest,
    TooDearError,
)
from ..importing.catalogue import (
    FieldDescription,
    describe,
    describe_node,
    directions,
    own_unit,
)
from ..importing.periods import Period, most_periods, periods
from ..importing.plan import FieldKey, Preference, preferred
from ..importing.unique_ids import async_unique_id
from .nodes import NODE_SCHEMA, addressed_node
from .shared import (
    RANGE_SCHEMA,
    account,
    eniris_asked,
    failed,
    invalid,
    only_account,
    time_range,
)

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

_RECENT: Final = timedelta(hours=1)
"""So far back values by the second are worth their price, and are there for certain."""


@dataclass(frozen=True, slots=True)
class ShownColumn:
    """A column as the response shows it."""

    column: Column
    unit: str | None
    convert: Callable[[FieldValue], JsonValueType]
    series: tuple[SeriesInfo, ...] = ()
    """All series that an entity's field is listed in, the one of the column first."""


async def query_telemetry(call: ServiceCall) -> ServiceResponse:
    """Return rows of telemetry, or what the service makes of them."""
    start, end = time_range(call, past=False)
    function = None
    if call.data[ATTR_AGGREGATION] != NO_AGGREGATION:
        function = AggregateFunction(call.data[ATTR_AGGREGATION])
    elif ATTR_PERIOD in call.data:
        raise invalid("period_without_aggregation")
    entry, shown = _asked_for(call, start, function)
    if function is AggregateFunction.SUM and (
        counters := [each.column.name for each in shown if _is_counter(each.column)]
    ):
        raise invalid("sum_of_counter", fields=", ".join(counters))
    question = _question(call, [each.column for each in shown], start, end, function)
    rows, truncated = await answered(entry, question)
    return {
        # Of many columns it takes a second
        "rows": await call.hass.async_add_executor_job(_as_response, rows, shown),
        "truncated": truncated,
        "units": {each.column.name: each.unit for each in shown},
        "series": {each.column.name: _series(each.column) for each in shown},
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


def _as_response(rows: Rows, shown: list[ShownColumn]) -> list[JsonValueType]:
    return [
        {
            ATTR_TIME: time.isoformat(),
            **{
                each.column.name: None
                if (value := values[each.column.name]) is None
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
    number = most_periods(period, start, end)
    # A range of millennia is not to be walked through
    if number <= 2 * MOST_QUERIES:
        spans = list(periods(period, start, end))
        number = len(spans)
    if number * each > MOST_QUERIES:
        raise invalid(
            "too_many_periods",
            number=str(number),
            fields=str(len(columns)),
            most=str(MOST_QUERIES // each),
        )
    if newest_first:
        spans.reverse()
    return TelemetryRequest(columns, spans[:limit], function)


def _asked_for(
    call: ServiceCall, start: datetime, function: AggregateFunction | None
) -> tuple[EnirisConfigEntry, list[ShownColumn]]:
    """Return the account and what is asked of it, in whichever of the three ways."""
    by_node = ATTR_DEVICE_ID in call.data or ATTR_NODE_ID in call.data
    by_entity = ATTR_ENTITY_ID in call.data
    by_series = CONF_DATABASE in call.data or CONF_TAGS in call.data
    if by_node + by_entity + by_series != 1:
        raise invalid("telemetry_of_what")
    # By the second, rows are many; and of the energy of intervals one policy has all
    is_recent = start > dt_util.utcnow() - _RECENT
    preference = (
        Preference.FRESHEST
        if is_recent and function is not AggregateFunction.SUM
        else Preference.LIGHTEST
    )
    if by_entity:
        return of_entities(call, preference, function)
    fields = list(dict.fromkeys(call.data[CONF_FIELDS]))
    if not fields:
        raise invalid("no_fields_asked")
    if by_series:
        entry, series = _named_series(call)
        columns = [Column(field, series, field) for field in fields]
    else:
        entry, node_id = addressed_node(call)
        node = entry.runtime_data.nodes.data.by_id.get(node_id)
        if node is None:
            raise invalid("no_telemetry_of_node", node=node_id)
        columns = [
            Column(field, _series_of(call, node.device, field, preference), field)
            for field in fields
        ]
    return entry, [
        ShownColumn(column, own_unit(column.field), lambda value: value)
        for column in columns
    ]


def _named_series(call: ServiceCall) -> tuple[EnirisConfigEntry, SeriesInfo]:
    """Return the series that a call names in full."""
    try:
        series = SeriesInfo(
            call.data[CONF_DATABASE],
            call.data[CONF_RETENTION_POLICY],
            call.data[CONF_MEASUREMENT],
            tuple(sorted(call.data[CONF_TAGS].items())),
            (),
        )
    except KeyError as err:
        raise invalid("series_incomplete") from err
    entry_id = call.data.get(ATTR_CONFIG_ENTRY_ID)
    if entry_id is None:
        return only_account(call.hass), series
    return account(call.hass, entry_id), series


def _series_of(
    call: ServiceCall, device: Device, field: str, preference: Preference
) -> SeriesInfo:
    """Return the series that a field of a node is read from; raises `ServiceValidationError` if that is none."""
    within = [
        series
        for series in device.series
        if call.data.get(CONF_MEASUREMENT) in (None, series.measurement)
        and call.data.get(CONF_RETENTION_POLICY) in (None, series.retention_policy)
    ]
    if not within:
        there = {(each.measurement, each.retention_policy) for each in device.series}
        raise invalid(
            "no_such_series",
            node=device.node_id,
            series=", ".join(f"{name} ({policy})" for name, policy in sorted(there)),
        )
    candidates = [series for series in within if field in series.fields]
    if not candidates:
        names = {name for series in within for name in series.fields}
        raise invalid(
            "no_such_field",
            node=device.node_id,
            field=field,
            fields=", ".join(sorted(names)),
        )
    measurements = sorted({series.measurement for series in candidates})
    if len(measurements) > 1:
        raise invalid(
            "field_in_several", field=field, measurements=", ".join(measurements)
        )
    return preferred(candidates, preference)


def of_entities(
    call: ServiceCall, preference: Preference, function: AggregateFunction | None
) -> tuple[EnirisConfigEntry, list[ShownColumn]]:
    """Return the account of some entities, and a column for each of them."""
    for key in (CONF_FIELDS, CONF_MEASUREMENT, ATTR_CONFIG_ENTRY_ID):
        if call.data.get(key):
            raise invalid("not_with_entities", key=key)
    registry = er.async_get(call.hass)
    entries: dict[str, EnirisConfigEntry] = {}
    shown = []
    for entity_id in dict.fromkeys(call.data[ATTR_ENTITY_ID]):
        entity = registry.async_get(entity_id)
        if entity is None or entity.platform != DOMAIN:
            raise invalid("no_telemetry_of", entity=entity_id)
        entry = account(call.hass, entity.config_entry_id)
        entries[entry.entry_id] = entry
        shown.append(_of_entity(call, entry, entity, preference, function))
    if not entries:
        raise invalid("telemetry_of_what")
    if len(entries) > 1:
        raise invalid("entities_of_several_accounts")
    return next(iter(entries.values())), shown


def _of_entity(
    call: ServiceCall,
    entry: EnirisConfigEntry,
    entity: er.RegistryEntry,
    preference: Preference,
    function: AggregateFunction | None,
) -> ShownColumn:
    """Return the column of an entity, in the unit that it is shown in."""
    for device, key, description in _fields_of(entry, entity):
        if description.sign is not None and function is not None:
            raise invalid("direction_not_aggregated", entity=entity.entity_id)
        candidates = [
            series
            for series in device.series
            if series.measurement == key.measurement
            and key.field in series.fields
            and call.data.get(CONF_RETENTION_POLICY) in (None, series.retention_policy)
        ]
        if not candidates:
            raise invalid(
                "no_such_policy",
                entity=entity.entity_id,
                policy=call.data[CONF_RETENTION_POLICY],
            )
        native = description.native_unit_of_measurement
        unit = entity.unit_of_measurement or native
        series = preferred(candidates, preference)
        return ShownColumn(
            Column(entity.entity_id, series, key.field),
            unit,
            partial(_as_shown, description, unit),
            tuple(sorted(candidates, key=lambda each: each != series)),
        )
    raise invalid("no_telemetry_of", entity=entity.entity_id)


def _fields_of(
    entry: EnirisConfigEntry, entity: er.RegistryEntry
) -> Iterator[tuple[Device, FieldKey, FieldDescription]]:
    """Yield the field that an entity shows, of the node and in the description that it has now."""
    for node in entry.runtime_data.nodes.data.by_id.values():
        # Ids may begin alike
        if not entity.unique_id.startswith(f"{entry.unique_id}_{node.id}_"):
            continue
        fields: Mapping[tuple[str, str], FieldDescription] = describe_node(
            node.device.series
        )
        for (measurement, name), description in fields.items():
            key = FieldKey(node.id, measurement, name)
            for each in (description, *directions(measurement, description)):
                hass = entry.runtime_data.telemetry.hass
                parts = (*key, each.part)
                unique_id = async_unique_id(hass, entry, entity.domain, *parts)
                if unique_id == entity.unique_id:
                    yield node.device, key, each


def _as_shown(
    description: FieldDescription, unit: str | None, value: FieldValue
) -> JsonValueType:
    """Return a value as its entity shows it."""
    native = description.decided(value).native(value)
    if isinstance(native, bool | str) or native is None:
        return native
    converter = UNIT_CONVERTERS.get(description.device_class)
    own = description.native_unit_of_measurement
    if converter is None or unit == own or not {unit, own} <= converter.VALID_UNITS:
        return native
    # 0.07 * 100 is 7.000000000000001
    return round(converter.convert(native, own, unit), 10)
