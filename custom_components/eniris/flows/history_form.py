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
SINCE: Final = "since"
_DAYS: Final = {"days_7": 7, "days_30": 30, "days_365": 365}


def history_schema(*, with_nothing: bool) -> vol.Schema:
    """Return the form, made anew: the oldest Home Assistant writes what is suggested into it."""
    options = [*([NOTHING] if with_nothing else []), *_DAYS, SINCE]
    return vol.Schema(
        {
            vol.Required(CONF_BACK, default="days_30"): SelectSelector(
                SelectSelectorConfig(
                    options=options,
                    translation_key="back",
                    mode=SelectSelectorMode.LIST,
                )
            )
        }
    )


def date_schema() -> vol.Schema:
    """Return the form that asks for the first day; a date field cannot be cleared, so it is on a step of its own."""
    return vol.Schema({vol.Required(CONF_SINCE): DateSelector()})


def history_start(back: str) -> datetime | None:
    """Return since when the past is wanted, None where it is not.

    Days begin at midnight in Home Assistant's time zone.
    """
    if back == NOTHING:
        return None
    today = dt_util.start_of_local_day()
    return dt_util.start_of_local_day(today - timedelta(days=_DAYS[back]))


def date_start(
    user_input: Mapping[str, Any], errors: dict[str, str]
) -> datetime | None:
    """Return when the chosen day begins, None where there is an error."""
    day = dt_util.parse_date(user_input[CONF_SINCE])
    if day is None or day >= dt_util.start_of_local_day().date():
        errors[CONF_SINCE] = "date_not_past"
        return None
    return dt_util.start_of_local_day(day)
