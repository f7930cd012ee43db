"""Actions: push points, upload now, send or import the past, list and discard what was refused."""

from collections.abc import Iterator, Mapping
from datetime import datetime
import math
from typing import Any, Final

import voluptuous as vol

from homeassistant.config_entries import ConfigEntryState
from homeassistant.const import ATTR_DEVICE_ID, ATTR_ENTITY_ID
from homeassistant.core import (
    HomeAssistant,
    ServiceCall,
    ServiceResponse,
    SupportsResponse,
    callback,
)
from homeassistant.exceptions import HomeAssistantError, ServiceValidationError
from homeassistant.helpers import (
    config_validation as cv,
    device_registry as dr,
    entity_registry as er,
)
from homeassistant.helpers.selector import ConfigEntrySelector
from homeassistant.util import dt as dt_util
from homeassistant.util.json import JsonValueType

from .api import FieldValue, WriteTarget
from .const import (
    ATTR_CONFIG_ENTRY_ID,
    ATTR_END,
    ATTR_POINTS,
    ATTR_START,
    CONF_COLLECTOR,
    CONF_DATABASE,
    CONF_FIELDS,
    CONF_MEASUREMENT,
    CONF_RETENTION_POLICY,
    CONF_TAGS,
    DOMAIN,
)
from .data import EnirisConfigEntry
from .export_entity import export_identifier
from .exporting.config import Export, Series
from .exporting.exporter import ACTION, Exporter
from .exporting.names import name_problem, namespace_problem, tag_problem
from .exporting.outbox import OutboxError, Sample
from .exporting.recorded import async_followed, recorder_is_there
from .importing.history import HistoryUnavailableError
from .importing.hours import Subject

SERVICE_PUSH: Final = "push"
SERVICE_UPLOAD_NOW: Final = "upload_now"
SERVICE_EXPORT_HISTORY: Final = "export_history"
SERVICE_LIST_REJECTS: Final = "list_rejects"
SERVICE_DISCARD_REJECTS: Final = "discard_rejects"
SERVICE_IMPORT_HISTORY: Final = "import_history"

ATTR_TIME: Final = "time"

_ENTRY_SCHEMA: Final = {
    vol.Required(ATTR_CONFIG_ENTRY_ID): ConfigEntrySelector({"integration": DOMAIN})
}

_SCHEMA: Final = vol.Schema(_ENTRY_SCHEMA)

_POINT_SCHEMA: Final = vol.Schema(
    {
        vol.Required(CONF_MEASUREMENT): cv.string,
        vol.Required(CONF_TAGS): {cv.string: cv.string},
        vol.Optional(ATTR_TIME): cv.datetime,
        vol.Required(CONF_FIELDS): {cv.string: vol.Any(bool, int, float, str)},
    }
)

_PUSH_SCHEMA: Final = vol.Schema(
    {
        **_ENTRY_SCHEMA,
        vol.Required(CONF_COLLECTOR): cv.string,
        vol.Required(CONF_DATABASE): cv.string,
        vol.Required(CONF_RETENTION_POLICY): cv.string,
        vol.Required(ATTR_POINTS): vol.All(cv.ensure_list, [_POINT_SCHEMA]),
    }
)

_RANGE_SCHEMA: Final = {
    vol.Required(ATTR_START): cv.datetime,
    vol.Optional(ATTR_END): cv.datetime,
}

_EXPORT_HISTORY_SCHEMA: Final = vol.Schema(
    {vol.Required(ATTR_DEVICE_ID): cv.string, **_RANGE_SCHEMA}
)

_IMPORT_HISTORY_SCHEMA: Final = vol.Schema(
    {
        vol.Optional(ATTR_ENTITY_ID, default=[]): cv.entity_ids,
        vol.Optional(ATTR_DEVICE_ID, default=[]): vol.All(cv.ensure_list, [cv.string]),
        **_RANGE_SCHEMA,
    }
)


@callback
def async_setup_services(hass: HomeAssistant) -> None:
    """Register the actions; they are there whether or not an account is loaded."""
    for name, handler, schema, supports_response in (
        (SERVICE_PUSH, _push, _PUSH_SCHEMA, SupportsResponse.NONE),
        (SERVICE_UPLOAD_NOW, _upload_now, _SCHEMA, SupportsResponse.NONE),
        (
            SERVICE_EXPORT_HISTORY,
            _export_history,
            _EXPORT_HISTORY_SCHEMA,
            SupportsResponse.OPTIONAL,
        ),
        (SERVICE_LIST_REJECTS, _list_rejects, _SCHEMA, SupportsResponse.ONLY),
        (SERVICE_DISCARD_REJECTS, _discard_rejects, _SCHEMA, SupportsResponse.OPTIONAL),
        (
            SERVICE_IMPORT_HISTORY,
            _import_history,
            _IMPORT_HISTORY_SCHEMA,
            SupportsResponse.OPTIONAL,
        ),
    ):
        hass.services.async_register(
            DOMAIN, name, handler, schema, supports_response=supports_response
        )


def _exporter(call: ServiceCall) -> Exporter:
    """Return the exporter of the account that a call names."""
    return _account(call.hass, call.data[ATTR_CONFIG_ENTRY_ID]).runtime_data.exporter


def _account(hass: HomeAssistant, entry_id: str | None) -> EnirisConfigEntry:
    """Return an account that is loaded; raises `ServiceValidationError` for anything else."""
    entry: EnirisConfigEntry | None = (
        None if entry_id is None else hass.config_entries.async_get_entry(entry_id)
    )
    if entry is None or entry.domain != DOMAIN:
        raise _invalid("no_such_account")
    return _loaded(entry)


def _loaded(entry: EnirisConfigEntry) -> EnirisConfigEntry:
    """Return an account if it is loaded."""
    if entry.state is not ConfigEntryState.LOADED:
        raise _invalid("account_not_loaded", account=entry.title)
    return entry


async def _push(call: ServiceCall) -> None:
    """Put points into the outbox; they are on disk when the action ends."""
    exporter = _exporter(call)
    for key in (CONF_COLLECTOR, CONF_DATABASE, CONF_RETENTION_POLICY):
        if namespace_problem(call.data[key]) is not None:
            raise _invalid("invalid_namespace", key=key, value=call.data[key])
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
        raise HomeAssistantError(
            translation_domain=DOMAIN,
            translation_key="not_on_disk",
            translation_placeholders={"error": str(err)},
        ) from err


def _samples(
    target: WriteTarget, number: int, point: Mapping[str, Any], now: datetime
) -> list[Sample]:
    """Return a point's samples; raises `ServiceValidationError` that names what is wrong."""
    at = str(number)
    if name_problem(point[CONF_MEASUREMENT]) is not None:
        raise _invalid("invalid_name", point=at, name=point[CONF_MEASUREMENT])
    for key, value in point[CONF_TAGS].items():
        if tag_problem(key, value) is not None:
            raise _invalid("invalid_tag", point=at, name=key)
    if not point[CONF_TAGS]:
        raise _invalid("no_tags", point=at)
    if not point[CONF_FIELDS]:
        raise _invalid("no_fields", point=at)
    try:
        # A time without a zone is local
        time = dt_util.as_utc(point.get(ATTR_TIME, now))
    except OverflowError as err:
        raise _invalid("invalid_time", point=at) from err
    series = Series(
        target, point[CONF_MEASUREMENT], tuple(sorted(point[CONF_TAGS].items()))
    )
    samples = []
    for name, value in point[CONF_FIELDS].items():
        if name_problem(name) is not None:
            raise _invalid("invalid_name", point=at, name=name)
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
        raise _invalid("not_finite", point=point, name=name)
    return number


def _invalid(error: str, /, **placeholders: str) -> ServiceValidationError:
    return ServiceValidationError(
        translation_domain=DOMAIN,
        translation_key=error,
        translation_placeholders=placeholders,
    )


async def _upload_now(call: ServiceCall) -> None:
    """Upload everything that waits, and tell what stands in the way if anything does."""
    problem = await _exporter(call).async_upload_now()
    if problem is not None:
        raise HomeAssistantError(
            translation_domain=DOMAIN,
            translation_key="upload_failed",
            translation_placeholders={"error": problem},
        )


async def _export_history(call: ServiceCall) -> ServiceResponse:
    """Begin to send what the recorder has of an export; return of how much."""
    exporter, export = _export(call)
    start, end = _range(call)
    if not recorder_is_there(call.hass):
        raise _invalid("no_recorder")
    followed = async_followed(call.hass, export)
    try:
        asked = await exporter.async_export_history(export.id, start, end)
    except OutboxError as err:
        raise HomeAssistantError(
            translation_domain=DOMAIN,
            translation_key="history_not_on_disk",
            translation_placeholders={"error": str(err)},
        ) from err
    if not call.return_response:
        return None
    return {
        "entities": len({each.entity_id for each in followed}),
        ATTR_START: start.isoformat(),
        ATTR_END: end.isoformat(),
        "queued": asked,
    }


def _range(call: ServiceCall) -> tuple[datetime, datetime]:
    """Return start and end of a stretch of the past; raises `ServiceValidationError` for any other."""
    now = dt_util.utcnow()
    try:
        # Times without a zone are local
        start = dt_util.as_utc(call.data[ATTR_START])
        end = dt_util.as_utc(call.data.get(ATTR_END, now))
    except OverflowError as err:
        raise _invalid("invalid_range_time") from err
    if start >= now or end > now:
        raise _invalid("range_in_future")
    if start >= end:
        raise _invalid("start_not_before_end")
    # Of what was before 1970 nobody has kept anything
    return max(start, dt_util.utc_from_timestamp(0)), end


def _export(call: ServiceCall) -> tuple[Exporter, Export]:
    """Return the export whose device a call names, with its exporter."""
    device = dr.async_get(call.hass).async_get(call.data[ATTR_DEVICE_ID])
    if device is not None:
        entry: EnirisConfigEntry
        for entry in call.hass.config_entries.async_entries(DOMAIN):
            for export_id in entry.subentries:
                if export_identifier(entry, export_id) in device.identifiers:
                    exporter = _loaded(entry).runtime_data.exporter
                    return exporter, exporter.exports[export_id]
    raise _invalid("no_such_export")


async def _list_rejects(call: ServiceCall) -> ServiceResponse:
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


async def _discard_rejects(call: ServiceCall) -> ServiceResponse:
    """Forget what the service refused, and return how many that were."""
    try:
        discarded = await _exporter(call).outbox.discard_rejects()
    except OutboxError as err:
        raise _unreadable(err) from err
    return {"discarded": discarded} if call.return_response else None


def _unreadable(err: OutboxError) -> HomeAssistantError:
    return HomeAssistantError(
        translation_domain=DOMAIN,
        translation_key="outbox_unreadable",
        translation_placeholders={"error": str(err)},
    )


async def _import_history(call: ServiceCall) -> ServiceResponse:
    """Have the past of entities fetched in the background, and return of which."""
    start, end = _range(call)
    wanted: dict[str, dict[str, str]] = {}
    for entity in _entities(call):
        of_account = wanted.setdefault(entity.config_entry_id or "", {})
        of_account[entity.unique_id] = entity.entity_id
    if not wanted:
        raise _invalid("no_history_chosen")
    for entry_id, entities in wanted.items():
        history = _account(call.hass, entry_id).runtime_data.history
        try:
            if not await history.async_request(start, end, entities):
                raise _invalid("no_whole_hour")
        except HistoryUnavailableError as err:
            raise _invalid("no_recorder") from err
    if not call.return_response:
        return None
    entity_ids: list[JsonValueType] = [
        entity_id for entities in wanted.values() for entity_id in entities.values()
    ]
    return {"entities": entity_ids}


def _entities(call: ServiceCall) -> Iterator[er.RegistryEntry]:
    """Yield each entity that is chosen, and of each device that is what shows energy or power.

    Raises `ServiceValidationError` for an entity
    that has no past to be imported.
    """
    registry = er.async_get(call.hass)
    subjects: dict[str, dict[str, Subject]] = {}

    def subject(entity: er.RegistryEntry) -> Subject | None:
        entry = _account(call.hass, entity.config_entry_id)
        if entry.entry_id not in subjects:
            subjects[entry.entry_id] = entry.runtime_data.history.subjects()
        return subjects[entry.entry_id].get(entity.unique_id)

    for entity_id in call.data[ATTR_ENTITY_ID]:
        entity = registry.async_get(entity_id)
        if entity is None or entity.platform != DOMAIN or subject(entity) is None:
            raise _invalid("no_history_of", entity=entity_id)
        if entity.disabled_by is not None:
            raise _invalid("entity_disabled", entity=entity_id)
        yield entity
    for device_id in call.data[ATTR_DEVICE_ID]:
        entities = [
            entity
            for entity in er.async_entries_for_device(registry, device_id)
            if entity.platform == DOMAIN
            and (found := subject(entity)) is not None
            and found.is_energy_or_power
        ]
        if not entities:
            raise _invalid("no_history_of_device", device=device_id)
        yield from entities
