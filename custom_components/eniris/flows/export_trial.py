"""The trial of an export: one real write of the values that its entities have at present."""

from collections.abc import Mapping
from datetime import datetime
import re
from typing import Final, Literal

from homeassistant.config_entries import ConfigEntryState
from homeassistant.core import HomeAssistant
from homeassistant.helpers.json import json_dumps

from ..account import stored_token
from ..api import (
    BadRequestError,
    ConflictError,
    EnirisError,
    EnirisQueryError,
    FieldValue,
    ForbiddenError,
    NotFoundError,
    PayloadTooLargeError,
    Point,
    Session,
    UnprocessableError,
    encode_points,
)
from ..const import CONF_DATABASE, CONF_RETENTION_POLICY
from ..data import EnirisConfigEntry
from ..exporting.config import Series
from ..http import account_hosts, async_http_session
from .export_draft import ChosenEntity

_OF_FIELDS: Final = (
    BadRequestError,
    ConflictError,
    EnirisQueryError,
    PayloadTooLargeError,
    UnprocessableError,
)
"""Refusals of what was sent, rather than of where it goes."""


def as_code(text: str) -> str:
    """Return Markdown that shows a text as it is, whatever it holds."""
    return f"`{text.replace('`', "'")}`"


def announced(
    series: Series,
    chosen: Mapping[str, ChosenEntity],
    values: Mapping[str, FieldValue],
) -> dict[str, str]:
    """Return what the texts of a trial quote: where a point goes, what is in it, and what is not."""
    tags = [f"{key}={value}" for key, value in series.tags]
    return {
        "series": as_code(" ".join([series.measurement, *tags])),
        "target": as_code(" / ".join(series.target)),
        "values": "\n".join(
            f"- {as_code(name)} = {as_code(json_dumps(value))}"
            for name, value in values.items()
        ),
        "missing": "\n".join(
            f"- {as_code(its.field)} = –"
            for its in chosen.values()
            if its.field not in values
        ),
    }


async def async_write(
    hass: HomeAssistant,
    entry: EnirisConfigEntry,
    series: Series,
    time: datetime,
    values: Mapping[str, FieldValue],
) -> None:
    """Write one point; raises `EnirisError`."""
    session = (
        entry.runtime_data.session
        if entry.state is ConfigEntryState.LOADED
        else Session(
            async_http_session(hass), stored_token(entry), account_hosts(entry.data)
        )
    )
    point = Point(series.measurement, dict(series.tags), time, values)
    await session.write_body(series.target, encode_points([point]))


def verdict(
    err: EnirisError, chosen: Mapping[str, ChosenEntity]
) -> tuple[Literal["where", "fields"] | None, dict[str, str]]:
    """Return which step can mend what the answer to a write says, and the errors that it shows.

    No step can where the service has not judged the export at all.
    """
    if isinstance(err, ForbiddenError):
        return "where", {"base": "role_missing"}
    if isinstance(err, NotFoundError):
        keys = (CONF_DATABASE, CONF_RETENTION_POLICY)
        return "where", dict.fromkeys(keys, "namespace_unknown")
    if not isinstance(err, _OF_FIELDS):
        return None, {}
    if not isinstance(err, ConflictError):
        return "fields", {"base": "refused"}
    if not err.says("type"):
        return "fields", {"base": "time_range"}
    # At the fields that the service names, else above all of them
    named = [id_ for id_, its in chosen.items() if _names(err.message, its.field)]
    return "fields", dict.fromkeys(named or ["base"], "type_conflict")


def _names(message: str, name: str) -> bool:
    """Tell whether a message names a field, and not one that its name is a part of."""
    return re.search(rf"(?<!\w){re.escape(name)}(?!\w)", message) is not None
