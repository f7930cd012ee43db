"""Actions: the account's metadata and telemetry, exports, the past in both directions, and schedules."""

from collections.abc import Callable, Coroutine
from typing import Any, Final

import voluptuous as vol

from homeassistant.core import HomeAssistant, ServiceCall, SupportsResponse, callback

from ..const import DOMAIN
from .exports import (
    EXPORT_HISTORY_SCHEMA,
    PUSH_SCHEMA,
    discard_rejects,
    export_history,
    list_rejects,
    push,
    upload_now,
)
from .forecast import GET_FORECAST_SCHEMA, get_forecast
from .history import IMPORT_HISTORY_SCHEMA, import_history
from .nodes import (
    GET_DEVICE_SCHEMA,
    SET_DEVICE_PROPERTIES_SCHEMA,
    get_device,
    set_device_properties,
)
from .schedules import (
    GET_SCHEDULES_SCHEMA,
    SET_SCHEDULE_SCHEMA,
    get_schedules,
    set_schedule,
)
from .shared import ACCOUNT_SCHEMA
from .telemetry import QUERY_TELEMETRY_SCHEMA, query_telemetry

SERVICE_PUSH: Final = "push"
SERVICE_UPLOAD_NOW: Final = "upload_now"
SERVICE_EXPORT_HISTORY: Final = "export_history"
SERVICE_LIST_REJECTS: Final = "list_rejects"
SERVICE_DISCARD_REJECTS: Final = "discard_rejects"
SERVICE_IMPORT_HISTORY: Final = "import_history"
SERVICE_GET_DEVICE: Final = "get_device"
SERVICE_SET_DEVICE_PROPERTIES: Final = "set_device_properties"
SERVICE_QUERY_TELEMETRY: Final = "query_telemetry"
SERVICE_GET_FORECAST: Final = "get_forecast"
SERVICE_SET_SCHEDULE: Final = "set_schedule"
SERVICE_GET_SCHEDULES: Final = "get_schedules"

type _Handler = Callable[[ServiceCall], Coroutine[Any, Any, Any]]

_NONE, _OPTIONAL, _ONLY = (
    *(SupportsResponse.NONE, SupportsResponse.OPTIONAL, SupportsResponse.ONLY),
)

ACTIONS: Final[dict[str, tuple[_Handler, vol.Schema, SupportsResponse]]] = {
    SERVICE_PUSH: (push, PUSH_SCHEMA, _NONE),
    SERVICE_UPLOAD_NOW: (upload_now, ACCOUNT_SCHEMA, _NONE),
    SERVICE_EXPORT_HISTORY: (export_history, EXPORT_HISTORY_SCHEMA, _OPTIONAL),
    SERVICE_LIST_REJECTS: (list_rejects, ACCOUNT_SCHEMA, _ONLY),
    SERVICE_DISCARD_REJECTS: (discard_rejects, ACCOUNT_SCHEMA, _OPTIONAL),
    SERVICE_IMPORT_HISTORY: (import_history, IMPORT_HISTORY_SCHEMA, _OPTIONAL),
    SERVICE_GET_DEVICE: (get_device, GET_DEVICE_SCHEMA, _ONLY),
    SERVICE_SET_DEVICE_PROPERTIES: (
        *(set_device_properties, SET_DEVICE_PROPERTIES_SCHEMA, _OPTIONAL),
    ),
    SERVICE_QUERY_TELEMETRY: (query_telemetry, QUERY_TELEMETRY_SCHEMA, _ONLY),
    SERVICE_GET_FORECAST: (get_forecast, GET_FORECAST_SCHEMA, _ONLY),
    SERVICE_SET_SCHEDULE: (set_schedule, SET_SCHEDULE_SCHEMA, _OPTIONAL),
    SERVICE_GET_SCHEDULES: (get_schedules, GET_SCHEDULES_SCHEMA, _ONLY),
}


@callback
def async_setup_services(hass: HomeAssistant) -> None:
    """Register the actions; they are there whether or not an account is loaded."""
    for name, (handler, schema, supports_response) in ACTIONS.items():
        hass.services.async_register(
            DOMAIN, name, handler, schema, supports_response=supports_response
        )
