"""Which fields an action is about: of a node, of entities, or of a series that is named in full."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from homeassistant.components.sensor.const import UNIT_CONVERTERS
from homeassistant.const import ATTR_DEVICE_ID, ATTR_ENTITY_ID
from homeassistant.core import ServiceCall
from homeassistant.helpers import entity_registry as er
from homeassistant.util import dt as dt_util
from homeassistant.util.json import JsonValueType

from ..api import AggregateFunction, Device, FieldValue, SeriesInfo
from ..const import (
    ATTR_CONFIG_ENTRY_ID,
    ATTR_NODE_ID,
    CONF_DATABASE,
    CONF_FIELDS,
    CONF_MEASUREMENT,
    CONF_RETENTION_POLICY,
    CONF_TAGS,
    DOMAIN,
)
from ..data import EnirisConfigEntry
from ..errors import invalid
from ..field_description import FieldDescription
from ..importing.budget.reader import Column
from ..importing.catalogue import describe, describe_node, directions
from ..importing.plan import FieldKey, Preference, preferred
from ..unique_ids import async_unique_id
from .nodes import addressed_node
from .shared import account

_RECENT: Final = timedelta(hours=1)
"""So far back values by the second are worth their price, and are there for certain."""


@dataclass(frozen=True, slots=True)
class ShownField:
    """A field as the response shows it."""

    columns: Sequence[Column]
    """Of the series that it can be read from, the preferred one first."""
    unit: str | None
    convert: Callable[[FieldValue], JsonValueType] = lambda value: value

    @property
    def column(self) -> Column:
        """The column of the series that is preferred."""
        return self.columns[0]

    @property
    def name(self) -> str:
        """What the field is called in the response."""
        return self.columns[0].name


def asked_fields(
    call: ServiceCall, start: datetime, function: AggregateFunction | None
) -> tuple[EnirisConfigEntry, list[ShownField]]:
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
    fields = dict.fromkeys(call.data[CONF_FIELDS])
    if not fields:
        raise invalid("no_fields_asked")
    if by_series:
        entry, series = _named_series(call)
        series_of = {field: [series] for field in fields}
    else:
        entry, node_id = addressed_node(call)
        node = entry.runtime_data.nodes.data.by_id.get(node_id)
        if node is None:
            raise invalid("no_telemetry_of_node", node=node_id)
        measurement = call.data.get(CONF_MEASUREMENT)
        series_of = {
            field: _series_of(call, node.device, field, measurement, preference)
            for field in fields
        }
    return entry, [
        ShownField([Column(field, each, field) for each in series], _own_unit(field))
        for field, series in series_of.items()
    ]


def _own_unit(field: str) -> str | None:
    """Return the unit in which the service keeps a field, None where its name tells none."""
    description = describe("", field)
    if description.factor is None:
        return description.native_unit_of_measurement
    return field.rpartition("_")[2]


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
    return account(call.hass, call.data.get(ATTR_CONFIG_ENTRY_ID)), series


def _series_of(
    call: ServiceCall,
    device: Device,
    field: str,
    measurement: str | None,
    preference: Preference,
) -> list[SeriesInfo]:
    """Return the series that a field of a node is in, the preferred one first.

    Raises `ServiceValidationError` if there is none, or they are of several measurements.
    """
    within = [
        series
        for series in device.series
        if measurement in (None, series.measurement)
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
    first = preferred(candidates, preference)
    return [first, *(series for series in candidates if series != first)]


def of_entities(
    call: ServiceCall, preference: Preference, function: AggregateFunction | None
) -> tuple[EnirisConfigEntry, list[ShownField]]:
    """Return the account of some entities, and the field of each of them."""
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
) -> ShownField:
    """Return the field of an entity, in the unit that it is shown in."""
    device, key, description = _field_of(entry, entity)
    if description.sign is not None and function is not None:
        raise invalid("direction_not_aggregated", entity=entity.entity_id)
    series = _series_of(call, device, key.field, key.measurement, preference)
    unit = entity.unit_of_measurement or description.native_unit_of_measurement
    return ShownField(
        [Column(entity.entity_id, each, key.field) for each in series],
        unit,
        partial(_as_shown, description, unit),
    )


def _field_of(
    entry: EnirisConfigEntry, entity: er.RegistryEntry
) -> tuple[Device, FieldKey, FieldDescription]:
    """Return the field that an entity shows, with its node and in the description that it has now.

    Raises `ServiceValidationError` if it shows none.
    """
    hass = entry.runtime_data.telemetry.hass
    for node in entry.runtime_data.nodes.data.by_id.values():
        # Ids may begin alike
        if not entity.unique_id.startswith(f"{entry.unique_id}_{node.id}_"):
            continue
        fields = describe_node(node.device.series)
        for (measurement, name), description in fields.items():
            key = FieldKey(node.id, measurement, name)
            for each in (description, *directions(measurement, description)):
                parts = (*key, each.part)
                if entity.unique_id == async_unique_id(
                    hass, entry, entity.domain, *parts
                ):
                    return node.device, key, each
    raise invalid("no_telemetry_of", entity=entity.entity_id)


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
