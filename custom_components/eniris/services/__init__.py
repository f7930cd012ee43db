"""Actions: the account's metadata and telemetry, exports, and the past in both directions."""

from typing import Final

from homeassistant.core import HomeAssistant, SupportsResponse, callback

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

SCHEMAS: Final = {
    SERVICE_PUSH: PUSH_SCHEMA,
    SERVICE_UPLOAD_NOW: ACCOUNT_SCHEMA,
    SERVICE_EXPORT_HISTORY: EXPORT_HISTORY_SCHEMA,
    SERVICE_LIST_REJECTS: ACCOUNT_SCHEMA,
    SERVICE_DISCARD_REJECTS: ACCOUNT_SCHEMA,
    SERVICE_IMPORT_HISTORY: IMPORT_HISTORY_SCHEMA,
    SERVICE_GET_DEVICE: GET_DEVICE_SCHEMA,
    SERVICE_SET_DEVICE_PROPERTIES: SET_DEVICE_PROPERTIES_SCHEMA,
    SERVICE_QUERY_TELEMETRY: QUERY_TELEMETRY_SCHEMA,
    SERVICE_GET_FORECAST: GET_FORECAST_SCHEMA,
}


@callback
def async_setup_services(hass: HomeAssistant) -> None:
    """Register the actions; they are there whether or not an account is loaded."""
    for name, handler, supports_response in (
        (SERVICE_PUSH, push, SupportsResponse.NONE),
        (SERVICE_UPLOAD_NOW, upload_now, SupportsResponse.NONE),
        (SERVICE_EXPORT_HISTORY, export_history, SupportsResponse.OPTIONAL),
        (SERVICE_LIST_REJECTS, list_rejects, SupportsResponse.ONLY),
        (SERVICE_DISCARD_REJECTS, discard_rejects, SupportsResponse.OPTIONAL),
        (SERVICE_IMPORT_HISTORY, import_history, SupportsResponse.OPTIONAL),
        (SERVICE_GET_DEVICE, get_device, SupportsResponse.ONLY),
        (
            SERVICE_SET_DEVICE_PROPERTIES,
            set_device_properties,
            SupportsResponse.OPTIONAL,
        ),
        (SERVICE_QUERY_TELEMETRY, query_telemetry, SupportsResponse.ONLY),
        (SERVICE_GET_FORECAST, get_forecast, SupportsResponse.ONLY),
    ):
        hass.services.async_register(
            DOMAIN, name, handler, SCHEMAS[name], supports_response=supports_response
        )
