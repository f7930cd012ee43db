"""The actions of exports: push points, upload now, send the past, list and discard what was refused."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final

import voluptuous as vol

from homeassistant.const import ATTR_DEVICE_ID, STATE_UNAVAILABLE, STATE_UNKNOWN
from homeassistant.core import ServiceCall, ServiceResponse
from homeassistant.helpers import config_validation as cv
from homeassistant.util import dt as dt_util
from homeassistant.util.json import JsonObjectType

from ..api import FieldValue, WriteTarget
from ..const import (
    ATTR_CONFIG_ENTRY_ID,
    ATTR_END,
    ATTR_POINTS,
    ATTR_START,
    ATTR_TIME,
    CONF_COLLECTOR,
    CONF_DATABASE,
    CONF_FIELDS,
    CONF_MEASUREMENT,
    CONF_RETENTION_POLICY,
    CONF_TAGS,
)
from ..devices import async_find
from ..errors import failed, invalid
from ..exporting.config import Export, Series
from ..exporting.exporter import ACTION, Exporter
from ..exporting.fields.names import name_problem, tag_problem, target_problems
from ..exporting.fields.units import field_unit
from ..exporting.fields.values import to_number, to_text
from ..exporting.history.recorder import async_recorded_entities
from ..exporting.outbox import live
from ..exporting.outbox.batches import Sample, to_blocks
from ..exporting.outbox.store import OutboxError
from ..recorder_access import has_recorder
from .shared import ENTRY_SCHEMA, RANGE_SCHEMA, account, loaded, time_range

_NOTHING: Final = ("", STATE_UNAVAILABLE, STATE_UNKNOWN)
"""Words that stand for no value."""

_POINT_SCHEMA: Final = vol.Schema(
    {
        vol.Required(CONF_MEASUREMENT): cv.string,
        vol.Required(CONF_TAGS): {cv.string: cv.string},
        vol.Optional(ATTR_TIME): cv.datetime,
        vol.Required(CONF_FIELDS): {cv.string: vol.Any(bool, int, float, str)},
    }
)

PUSH_SCHEMA: Final = vol.Schema(
    {
        **ENTRY_SCHEMA,
        vol.Required(CONF_COLLECTOR): cv.string,
        vol.Required(CONF_DATABASE): cv.string,
        vol.Required(CONF_RETENTION_POLICY): cv.string,
        vol.Required(ATTR_POINTS): vol.All(cv.ensure_list, [_POINT_SCHEMA]),
    }
)

EXPORT_HISTORY_SCHEMA: Final = vol.Schema(
    {vol.Required(ATTR_DEVICE_ID): cv.string, **RANGE_SCHEMA}
)


def _exporter(call: ServiceCall) -> Exporter:
    """Return the exporter of the account that a call names."""
    return account(call.hass, call.data[ATTR_CONFIG_ENTRY_ID]).runtime_data.exporter


async def push(call: ServiceCall) -> None:
    """Put points into the outbox, from where they go up as the values of exports do."""
    exporter = _exporter(call)
    target = WriteTarget(
        call.data[CONF_COLLECTOR],
        call.data[CONF_DATABASE],
        call.data[CONF_RETENTION_POLICY],
    )
    for key in target_problems(target):
        raise invalid("invalid_namespace", key=key, value=call.data[key])
    if not call.data[ATTR_POINTS]:
        raise invalid("no_points")
    now = dt_util.utcnow()
    samples = [
        sample
        for number, point in enumerate(call.data[ATTR_POINTS], start=1)
        for sample in _samples(target, number, point, now)
    ]
    exporter.outbox.add(to_blocks(samples))


def _samples(
    target: WriteTarget, number: int, point: Mapping[str, Any], now: datetime
) -> list[Sample]:
    """Return a point's samples; raises `ServiceValidationError` that names what is wrong."""
    at = str(number)
    if name_problem(point[CONF_MEASUREMENT]) is not None:
        raise invalid("invalid_name", point=at, name=point[CONF_MEASUREMENT])
    for key, value in point[CONF_TAGS].items():
        if tag_problem(key, value) is not None:
            raise invalid("invalid_tag", point=at, name=key)
    if not point[CONF_TAGS]:
        raise invalid("no_tags", point=at)
    if not point[CONF_FIELDS]:
        raise invalid("no_fields", point=at)
    try:
        # A time without a zone is local
        time = dt_util.as_utc(point.get(ATTR_TIME, now))
    except OverflowError as err:
        raise invalid("invalid_time", point=at) from err
    series = Series(
        target, point[CONF_MEASUREMENT], tuple(sorted(point[CONF_TAGS].items()))
    )
    samples = []
    for name, value in point[CONF_FIELDS].items():
        if name_problem(name) is not None:
            raise invalid("invalid_name", point=at, name=name)
        samples.append(Sample(ACTION, series, time, name, _value(at, name, value)))
    return samples


def _value(point: str, name: str, value: FieldValue) -> FieldValue:
    """Return what an export would send: the service fixes a field's type by its first write.

    Numbers are floats, and a name with a unit takes nothing else.
    """
    is_number = not isinstance(value, bool | str)
    if is_number or field_unit(name) is not None:
        number = to_number(value)
        if number is None:
            raise invalid("not_a_number", point=point, name=name)
        return number
    if isinstance(value, bool):
        return value
    text = to_text(value)
    if text is None or text.strip() in _NOTHING:
        raise invalid("no_value", point=point, name=name)
    return text


async def upload_now(call: ServiceCall) -> None:
    """Upload everything that waits, and tell what stands in the way if anything does."""
    exporter = _exporter(call)
    problem = await exporter.async_upload_now() or exporter.blocked_problem()
    if problem is not None:
        raise failed("upload_failed", error=problem)


async def export_history(call: ServiceCall) -> ServiceResponse:
    """Begin to send what the recorder has of an export; return of how much."""
    exporter, export = _export(call)
    start, end = time_range(call)
    if not has_recorder(call.hass):
        raise invalid("no_recorder")
    try:
        asked = await exporter.backfill.ask(export.id, start, end)
    except OutboxError as err:
        raise failed("history_not_on_disk", error=str(err)) from err
    exporter.async_schedule_refresh()
    if not call.return_response:
        return None
    entities = async_recorded_entities(
        call.hass, exporter.sampler.entities_of(export.id)
    )
    return {
        "entities": len({entity.entity_id for entity in entities}),
        ATTR_START: start.isoformat(),
        ATTR_END: end.isoformat(),
        "queued": asked,
    }


def _export(call: ServiceCall) -> tuple[Exporter, Export]:
    """Return the export whose device a call names, with its exporter."""
    for entry, id_ in async_find(call.hass, call.data[ATTR_DEVICE_ID], "export"):
        exporter: Exporter = loaded(entry).runtime_data.exporter
        if id_ in exporter.exports:
            return exporter, exporter.exports[id_]
    raise invalid("no_such_export")


@contextmanager
def _outbox_read() -> Iterator[None]:
    try:
        yield
    except OutboxError as err:
        raise failed("outbox_unreadable", error=str(err)) from err


async def list_rejects(call: ServiceCall) -> ServiceResponse:
    """Return what the service refused for good, the newest first."""
    with _outbox_read():
        found = await _exporter(call).outbox.store.read(live.load_rejects)
    return {"rejects": [_shown(*reject) for reject in found]}


def _shown(sample: Sample, reason: str) -> JsonObjectType:
    series = sample.series
    return {
        **series.target._asdict(),
        CONF_MEASUREMENT: series.measurement,
        CONF_TAGS: dict(series.tags),
        ATTR_TIME: sample.time.isoformat(),
        "field": sample.field,
        "value": sample.value,
        "reason": reason,
    }


async def discard_rejects(call: ServiceCall) -> ServiceResponse:
    """Forget what the service refused, and return how many that were."""
    with _outbox_read():
        discarded = await _exporter(call).outbox.store.run(live.discard_rejects)
    return {"discarded": discarded} if call.return_response else None
