"""The action that tells what is known of the time ahead."""

from datetime import timedelta
from functools import partial
from typing import Final

import voluptuous as vol

from homeassistant.const import ATTR_ENTITY_ID
from homeassistant.core import ServiceCall, ServiceResponse
from homeassistant.helpers import config_validation as cv

from ..const import ATTR_END, ATTR_START
from ..importing.forecast import async_read_ahead
from ..importing.plan import Preference
from .fields import of_entities
from .shared import time_range
from .telemetry import MOST_ROWS, answered

GET_FORECAST_SCHEMA: Final = vol.Schema(
    {
        vol.Required(ATTR_ENTITY_ID): cv.entity_ids,
        vol.Optional(ATTR_START): cv.datetime,
        vol.Optional(ATTR_END): cv.datetime,
    }
)

_HORIZON: Final = timedelta(days=31)
"""How far ahead rows are looked for where no end is given. The cost of a query grows with its range."""


async def get_forecast(call: ServiceCall) -> ServiceResponse:
    """Return for each entity the periods of which something is known, from the present one on.

    `{"forecast": {entity_id: [{"start": ISO 8601, "end": ISO 8601, "value": …}, …]}}`, in the unit
    that the entity is shown in. The first period holds at the start, the last begins before the end.
    """
    start, end = time_range(call, past=False, ahead=_HORIZON)
    entry, shown = of_entities(call, Preference.LIGHTEST, None)
    found = await async_read_ahead(
        partial(answered, entry),
        {each.name: each.columns for each in shown},
        start,
        end,
        MOST_ROWS,
    )
    return {
        "forecast": {
            each.name: [
                {
                    "start": period.start.isoformat(),
                    "end": period.end.isoformat(),
                    "value": each.convert(period.value),
                }
                for period in found[each.name]
            ]
            for each in shown
        }
    }
