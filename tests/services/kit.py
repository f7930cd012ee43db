"""What the tests of actions share."""

import json
from typing import Any

from custom_components.eniris.const import (
    ATTR_CONFIG_ENTRY_ID,
    CONF_FIELDS,
    CONF_MEASUREMENT,
    CONF_TAGS,
    DOMAIN,
)
from custom_components.eniris.services import SERVICE_QUERY_TELEMETRY
from homeassistant.core import HomeAssistant, ServiceResponse
from tests.kit.exports import Home
from tests.kit.meter import METER, METER_SERIES

POINT = {
    CONF_MEASUREMENT: "gridMetrics",
    CONF_TAGS: {"serialNr": "1234"},
    CONF_FIELDS: {"actualPowerTot_W": 2000},
}


async def call(
    home: Home, service: str, *, respond: bool = False, **data: Any
) -> ServiceResponse:
    """Call an action for the account."""
    return await home.hass.services.async_call(
        DOMAIN,
        service,
        {ATTR_CONFIG_ENTRY_ID: home.entry.entry_id, **data},
        blocking=True,
        return_response=respond,
    )


SERIES = {
    "database": METER_SERIES.database,
    "retention_policy": "rp_one_m",
    "measurement": METER_SERIES.measurement,
    "tags": {"nodeId": METER},
}


async def ask(hass: HomeAssistant, **data: Any) -> Any:
    """Query telemetry; what comes back can be written as JSON."""
    if "start" in data:
        data["start"] = str(data["start"])
    response = await hass.services.async_call(
        DOMAIN, SERVICE_QUERY_TELEMETRY, data, blocking=True, return_response=True
    )
    return json.loads(json.dumps(response))
