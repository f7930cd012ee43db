"""The question how far back the past is wanted, which two forms ask."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

import voluptuous as vol

from homeassistant.helpers.selector import (
    DateSelector,
    SelectSelector,
    SelectSelectorConfig,
    SelectSelectorMode,
)
from homeassistant.util import dt as dt_util

from ..const import CONF_BACK, CONF_SINCE

NOTHING: Final = "none"
_SINCE: Final = "since"
_DAYS: Final = {"days_7": 7, "days_30": 30, "days_365": 365}


def history_schema(*, with_nothing: bool) -> vol.Schema:
    """Return the form, made anew: the oldest Home Assistant writes what is suggested into it."""
    options = [*([NOTHING] if with_nothing else []), *_DAYS, _SINCE]
    return vol.Schema(
        {
            vol.Required(CONF_BACK, default="days_30"): SelectSelector(
                SelectSelectorConfig(
                    options=options,
                    translation_key="back",
                    mode=SelectSelectorMode.LIST,
                )
            ),
            vol.Optional(CONF_SINCE): DateSelector(),
        }
    )


def history_start(
    user_input: Mapping[str, Any], errors: dict[str, str]
) -> datetime | None:
    """Return since when the past is wanted, None where it is not or where there is an error.

    Days begin at midnight in Home Assistant's time zone.
    """
    today = dt_util.start_of_local_day()
    back = user_input[CONF_BACK]
    if back != _SINCE and user_input.get(CONF_SINCE):
        errors[CONF_SINCE] = "date_not_chosen"
        return None
    if back in _DAYS:
        return dt_util.start_of_local_day(today - timedelta(days=_DAYS[back]))
    if back != _SINCE:
        return None
    text = user_input.get(CONF_SINCE)
    day = None if text is None else dt_util.parse_date(text)
    if day is None:
        errors[CONF_SINCE] = "date_missing"
        return None
    if day >= today.date():
        errors[CONF_SINCE] = "date_not_past"
        return None
    return dt_util.start_of_local_day(day)
