"""`Export`: what a config subentry says about which entities become which fields, and when."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Final

import voluptuous as vol

from homeassistant.config_entries import ConfigEntry
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers import entity_registry as er

from ..api import WriteTarget
from ..api.write import name_problem
from ..const import (
    CONF_AGGREGATE,
    CONF_ATTRIBUTE,
    CONF_COLLECTOR,
    CONF_DATABASE,
    CONF_ENABLED,
    CONF_ENTITY,
    CONF_FIELD,
    CONF_FIELDS,
    CONF_HEARTBEAT,
    CONF_HISTORY,
    CONF_INTERVAL,
    CONF_KIND,
    CONF_MEASUREMENT,
    CONF_MODE,
    CONF_RETENTION_POLICY,
    CONF_SHORTEST,
    CONF_TAGS,
    SUBENTRY_EXPORT,
)
from .fields.kinds import FieldKind, decide_kind

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

DEFAULT_INTERVAL: Final = 60
"""Seconds between two values where nothing else is asked for."""


class BackfillRange(StrEnum):
    """How much of what is there already is sent when an export is made."""

    NOTHING = "nothing"
    WEEK = "week"
    MONTH = "month"
    YEAR = "year"
    EVERYTHING = "everything"


_REACH: Final = {
    BackfillRange.WEEK: timedelta(days=7),
    BackfillRange.MONTH: timedelta(days=30),
    BackfillRange.YEAR: timedelta(days=365),
}


def backfill_start(backfill: BackfillRange, now: datetime) -> datetime:
    """Return the time at which a backfill begins."""
    reach = _REACH.get(backfill)
    return EPOCH if reach is None else now - reach


class Mode(StrEnum):
    """What makes a sample."""

    CHANGE = "change"
    INTERVAL = "interval"


class Aggregate(StrEnum):
    """What one sample says of an interval."""

    LAST = "last"
    MEAN = "mean"
    MIN = "min"
    MAX = "max"


@dataclass(frozen=True, slots=True)
class SamplingPolicy:
    """When samples are taken.

    `shortest`: between two samples of changes. `interval`: aligned to the clock. `heartbeat`: after
    this time an unchanged value is sent again; zero means never on change, and at each interval.
    """

    mode: Mode = Mode.CHANGE
    shortest: timedelta = timedelta()
    interval: timedelta = timedelta(seconds=DEFAULT_INTERVAL)
    aggregate: Aggregate = Aggregate.LAST
    heartbeat: timedelta = timedelta()

    @property
    def is_timed(self) -> bool:
        """Whether samples are taken at other times than those of changes."""
        return self.mode is Mode.INTERVAL or bool(self.shortest or self.heartbeat)


@dataclass(frozen=True, slots=True)
class Series:
    """Where a sample belongs: a target, a measurement, and tags sorted by key."""

    target: WriteTarget
    measurement: str
    tags: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class ExportedField:
    """One entity, or an attribute of it, that becomes one field.

    `entity` is a registry id or, for an entity without one, an entity id. `kind` is None until it
    could be decided.
    """

    entity: str
    field: str
    attribute: str | None = None
    kind: FieldKind | None = None


@dataclass(frozen=True, slots=True)
class Export:
    """A config subentry, parsed."""

    id: str
    title: str
    series: Series
    fields: tuple[ExportedField, ...]
    policy: SamplingPolicy
    enabled: bool
    backfill: BackfillRange = BackfillRange.NOTHING
    """What is asked for once, when the export is made."""


class InvalidExport(Exception):
    """Stored settings that are no export; `keys` are those of what cannot be used."""

    def __init__(self, export_id: str, title: str, keys: tuple[str, ...]) -> None:
        """Name the export and the keys, but no value: that can be private."""
        super().__init__(f"{title}: {', '.join(keys)}")
        self.export_id = export_id
        self.title = title
        self.keys = keys


_LONGEST: Final = timedelta(days=366)
"""Nothing of an export takes longer."""


def _encodable_text(value: Any) -> str:
    """Validate a text that can be written down; half a surrogate pair cannot."""
    if not isinstance(value, str) or not value:
        raise vol.Invalid("expected a text")
    try:
        value.encode()
    except UnicodeEncodeError as err:
        raise vol.Invalid("expected a text that can be encoded") from err
    return value


def _name(value: Any) -> str:
    name = _encodable_text(value)
    if name_problem(name) is not None:
        raise vol.Invalid("expected a valid name")
    return name


def _tag_value(value: Any) -> str:
    text = _encodable_text(value)
    if "\n" in text:
        raise vol.Invalid("expected a single line")
    return text


def _seconds(value: Any) -> timedelta:
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not 0 <= value <= _LONGEST.total_seconds()
    ):
        raise vol.Invalid("expected seconds")
    return timedelta(seconds=value)


_FIELD_SCHEMA: Final = vol.Schema(
    {
        vol.Required(CONF_ENTITY): _encodable_text,
        vol.Required(CONF_FIELD): _name,
        vol.Optional(CONF_ATTRIBUTE, default=None): vol.Any(None, _encodable_text),
        vol.Optional(CONF_KIND, default=None): vol.Any(None, vol.Coerce(FieldKind)),
    },
    extra=vol.REMOVE_EXTRA,
)

_POLICY_SCHEMA: Final[dict[vol.Marker, Any]] = {
    vol.Optional(CONF_MODE, default=Mode.CHANGE.value): vol.Coerce(Mode),
    vol.Optional(CONF_SHORTEST, default=0): _seconds,
    vol.Optional(CONF_INTERVAL, default=DEFAULT_INTERVAL): vol.All(
        _seconds, vol.Range(min=timedelta(seconds=1))
    ),
    vol.Optional(CONF_AGGREGATE, default=Aggregate.LAST.value): vol.Coerce(Aggregate),
    vol.Optional(CONF_HEARTBEAT, default=0): _seconds,
}

_EXPORT_SCHEMA: Final = vol.Schema(
    {
        vol.Required(CONF_COLLECTOR): _encodable_text,
        vol.Required(CONF_DATABASE): _encodable_text,
        vol.Required(CONF_RETENTION_POLICY): _encodable_text,
        vol.Required(CONF_MEASUREMENT): _name,
        vol.Required(CONF_TAGS): vol.Schema({_name: _tag_value}),
        vol.Required(CONF_FIELDS): [_FIELD_SCHEMA],
        **_POLICY_SCHEMA,
        vol.Optional(CONF_ENABLED, default=True): bool,
        vol.Optional(CONF_HISTORY, default=BackfillRange.NOTHING.value): vol.Coerce(
            BackfillRange
        ),
    },
    # Those that a newer version has added
    extra=vol.ALLOW_EXTRA,
)
"""What the `export` flow stores, validated and converted."""


def parse_export(id: str, title: str, data: Mapping[str, Any]) -> Export:
    """Return the export that the data of a subentry describes; raises `InvalidExport`."""
    try:
        valid = _EXPORT_SCHEMA(dict(data))
    except vol.MultipleInvalid as err:
        keys = dict.fromkeys(str(error.path[0]) for error in err.errors if error.path)
        raise InvalidExport(id, title, tuple(keys)) from None
    return Export(
        id=id,
        title=title,
        series=parse_series(valid),
        fields=tuple(ExportedField(**row) for row in valid[CONF_FIELDS]),
        policy=SamplingPolicy(**{str(key): valid[key] for key in _POLICY_SCHEMA}),
        enabled=valid[CONF_ENABLED],
        backfill=valid[CONF_HISTORY],
    )


def parse_series(data: Mapping[str, Any]) -> Series:
    """Return the series that an export, or the form of one, names."""
    target = WriteTarget(
        data[CONF_COLLECTOR], data[CONF_DATABASE], data[CONF_RETENTION_POLICY]
    )
    return Series(
        target, data[CONF_MEASUREMENT], tuple(sorted(data[CONF_TAGS].items()))
    )


def read_exports(
    entry: ConfigEntry[Any],
) -> tuple[list[Export], list[InvalidExport]]:
    """Return the exports that an account stores: those that are valid, and the others."""
    valid, invalid = [], []
    for subentry in entry.subentries.values():
        if subentry.subentry_type == SUBENTRY_EXPORT:
            try:
                valid.append(
                    parse_export(subentry.subentry_id, subentry.title, subentry.data)
                )
            except InvalidExport as err:
                invalid.append(err)
    return valid, invalid


@callback
def async_field_row(
    hass: HomeAssistant, entity_id: str, field: str, attribute: str | None
) -> dict[str, Any]:
    """Return what an export stores for a field, with its kind where that can be decided.

    An entity that is registered is stored by its registry id, so that it is followed when it is renamed.
    """
    entry = er.async_get(hass).async_get(entity_id)
    kind = decide_kind(hass.states.get(entity_id), field, attribute)
    row = {
        CONF_ENTITY: entity_id if entry is None else entry.id,
        CONF_FIELD: field,
        CONF_ATTRIBUTE: attribute,
        CONF_KIND: None if kind is None else kind.value,
    }
    return {key: value for key, value in row.items() if value is not None}


@callback
def async_entity_id(hass: HomeAssistant, reference: str) -> str | None:
    """Return the current entity id of a stored reference, None where the entity was deleted."""
    return er.async_resolve_entity_id(er.async_get(hass), reference)
