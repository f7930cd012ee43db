"""The actions of exports: push points, upload now, send the past, list and discard what was refused."""

from collections.abc import Mapping
from datetime import datetime
import math
from typing import Any, Final

import voluptuous as vol

from homeassistant.const import ATTR_DEVICE_ID
from homeassistant.core import ServiceCall, ServiceResponse
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers import config_validation as cv, device_registry as dr
from homeassistant.util import dt as dt_util

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
    DOMAIN,
)
from ..data import EnirisConfigEntry
from ..export_entity import export_identifier
from ..exporting.config import Export, Series
from ..exporting.exporter import ACTION, Exporter
from ..exporting.names import name_problem, namespace_problem, tag_problem
from ..exporting.outbox import OutboxError, Sample
from ..exporting.recorded import async_followed
from ..recording import has_recorder
from .shared import (
    ENTRY_SCHEMA,
    RANGE_SCHEMA,
    account,
    failed,
    invalid,
    loaded,
    time_range,
)

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
    """Put points into the outbox; they are on disk when the action ends."""
    exporter = _exporter(call)
    for key in (CONF_COLLECTOR, CONF_DATABASE, CONF_RETENTION_POLICY):
        if namespace_problem(call.data[key]) is not None:
            raise invalid("invalid_namespace", key=key, value=call.data[key])
    target = WriteTarget(
        call.data[CONF_COLLECTOR],
        call.data[CONF_DATABASE],
        call.data[CONF_RETENTION_POLICY],
    )
    now = dt_util.utcnow()
    samples = [
        sample
        for number, point in enumerate(call.data[ATTR_POINTS], start=1)
        for sample in _samples(target, number, point, now)
    ]
    try:
        await exporter.async_push(samples)
    except OutboxError as err:
        raise failed("not_on_disk", error=str(err)) from err


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
    """Return numbers as floats: the service fixes a field's type by its first write."""
    if isinstance(value, bool | str):
        return value
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise invalid("not_finite", point=point, name=name)
    return number


async def upload_now(call: ServiceCall) -> None:
    """Upload everything that waits, and tell what stands in the way if anything does."""
    problem = await _exporter(call).async_upload_now()
    if problem is not None:
        raise failed("upload_failed", error=problem)


async def export_history(call: ServiceCall) -> ServiceResponse:
    """Begin to send what the recorder has of an export; return of how much."""
    exporter, export = _export(call)
    start, end = time_range(call)
    if not has_recorder(call.hass):
        raise invalid("no_recorder")
    followed = async_followed(call.hass, export)
    try:
        asked = await exporter.async_export_history(export.id, start, end)
    except OutboxError as err:
        raise failed("history_not_on_disk", error=str(err)) from err
    if not call.return_response:
        return None
    return {
        "entities": len({each.entity_id for each in followed}),
        ATTR_START: start.isoformat(),
        ATTR_END: end.isoformat(),
        "queued": asked,
    }


def _export(call: ServiceCall) -> tuple[Exporter, Export]:
    """Return the export whose device a call names, with its exporter."""
    device = dr.async_get(call.hass).async_get(call.data[ATTR_DEVICE_ID])
    if device is not None:
        entry: EnirisConfigEntry
        for entry in call.hass.config_entries.async_entries(DOMAIN):
            for export_id in entry.subentries:
                if export_identifier(entry, export_id) in device.identifiers:
                    exporter = loaded(entry).runtime_data.exporter
                    if export_id in exporter.exports:
                        return exporter, exporter.exports[export_id]
    raise invalid("no_such_export")


async def list_rejects(call: ServiceCall) -> ServiceResponse:
    """Return what the service refused for good, the newest first."""
    try:
        rejects = await _exporter(call).outbox.rejects()
    except OutboxError as err:
        raise _unreadable(err) from err
    return {
        "rejects": [
            {
                CONF_COLLECTOR: reject.target.collector,
                CONF_DATABASE: reject.target.database,
                CONF_RETENTION_POLICY: reject.target.retention_policy,
                CONF_MEASUREMENT: reject.sample.measurement,
                CONF_TAGS: dict(reject.sample.tags),
                ATTR_TIME: reject.sample.time.isoformat(),
                "field": reject.sample.field,
                "value": reject.sample.value,
                "reason": reject.reason,
            }
            for reject in rejects
        ]
    }


async def discard_rejects(call: ServiceCall) -> ServiceResponse:
    """Forget what the service refused, and return how many that were."""
    try:
        discarded = await _exporter(call).outbox.discard_rejects()
    except OutboxError as err:
        raise _unreadable(err) from err
    return {"discarded": discarded} if call.return_response else None


def _unreadable(err: OutboxError) -> HomeAssistantError:
    return failed("outbox_unreadable", error=str(err))
