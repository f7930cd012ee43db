"""The action that tells what is known of the time ahead."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

import voluptuous as vol

from homeassistant.const import ATTR_ENTITY_ID
from homeassistant.core import ServiceCall, ServiceResponse
from homeassistant.helpers import config_validation as cv
from homeassistant.util.json import JsonValueType

from ..const import ATTR_END, ATTR_START
from ..importing.budget.reader import Rows, TelemetryRequest
from ..importing.forecast import LOOK_BACK, as_periods
from ..importing.plan import Preference
from .shared import time_range
from .telemetry import MOST_ROWS, ShownColumn, answered, of_entities

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
    found: dict[str, JsonValueType] = {}
    place = 0
    # Metadata may list series that are never written
    while left := [each for each in shown if place < len(each.series)]:
        shown = []
        columns = [replace(each.column, series=each.series[place]) for each in left]
        rows, _ = await answered(
            entry,
            TelemetryRequest(columns, [(start - LOOK_BACK, end)], limit=MOST_ROWS),
        )
        for each in left:
            periods = as_periods(_values(rows, each))
            found[each.column.name] = [
                {
                    "start": period.start.isoformat(),
                    "end": period.end.isoformat(),
                    "value": period.value,
                }
                for period in periods
                if period.end > start
            ]
            if not found[each.column.name]:
                shown.append(each)
        place += 1
    return {"forecast": found}


def _values(rows: Rows, shown: ShownColumn) -> list[tuple[datetime, JsonValueType]]:
    """Return time and value of the rows that have one."""
    return [
        (time, shown.convert(value))
        for time, values in rows
        if (value := values[shown.column.name]) is not None
    ]
