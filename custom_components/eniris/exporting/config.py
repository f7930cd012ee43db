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

from .. import const
from ..api import WriteTarget
from ..api.write import name_problem
from .fields.kinds import FieldKind, decide_kind

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

DEFAULT_INTERVAL: Final = 60


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
    """When samples are taken: `shortest` apart, or by `interval`; unchanged ones again after `heartbeat` (zero: never, always)."""

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
    """An entity, by registry id if it has one, or an attribute of it, as one field; `kind` is None until it could be decided."""

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


@dataclass(eq=False)
class InvalidExport(Exception):
    """Stored settings that are no export; `keys` are those of what cannot be used, since values can be private."""

    export_id: str
    title: str
    keys: tuple[str, ...]


_LONGEST: Final = 366 * 86_400
"""Seconds; nothing of an export takes longer."""


def _encodable(value: str) -> str:
    # Half a surrogate pair cannot be, which is a ValueError
    value.encode()
    return value


def _is_name(value: str) -> str:
    if name_problem(value) is not None:
        raise vol.Invalid("expected a valid name")
    return value


def _seconds(value: float) -> timedelta:
    if isinstance(value, bool):
        raise vol.Invalid("expected seconds")
    return timedelta(seconds=value)


_TEXT: Final = vol.All(str, vol.Length(min=1), _encodable)
_NAME: Final = vol.All(_TEXT, _is_name)
_SECONDS: Final = vol.All(vol.Any(int, float), vol.Range(0, _LONGEST), _seconds)

_FIELD_SCHEMA: Final = vol.Schema(
    {
        vol.Required(const.CONF_ENTITY): _TEXT,
        vol.Required(const.CONF_FIELD): _NAME,
        vol.Optional(const.CONF_ATTRIBUTE, default=None): vol.Any(None, _TEXT),
        vol.Optional(const.CONF_KIND, default=None): vol.Any(
            None, vol.Coerce(FieldKind)
        ),
    },
    extra=vol.REMOVE_EXTRA,
)

_POLICY_SCHEMA: Final[dict[vol.Marker, Any]] = {
    vol.Optional(const.CONF_MODE, default=Mode.CHANGE.value): vol.Coerce(Mode),
    vol.Optional(const.CONF_SHORTEST, default=0): _SECONDS,
    vol.Optional(const.CONF_INTERVAL, default=DEFAULT_INTERVAL): vol.All(
        _SECONDS, vol.Range(min=timedelta(seconds=1))
    ),
    vol.Optional(const.CONF_AGGREGATE, default=Aggregate.LAST.value): vol.Coerce(
        Aggregate
    ),
    vol.Optional(const.CONF_HEARTBEAT, default=0): _SECONDS,
}

_EXPORT_SCHEMA: Final = vol.Schema(
    {
        vol.Required(const.CONF_COLLECTOR): _TEXT,
        vol.Required(const.CONF_DATABASE): _TEXT,
        vol.Required(const.CONF_RETENTION_POLICY): _TEXT,
        vol.Required(const.CONF_MEASUREMENT): _NAME,
        vol.Required(const.CONF_TAGS): vol.Schema(
            {_NAME: vol.All(_TEXT, vol.Match(r"[^\n]+\Z"))}
        ),
        vol.Required(const.CONF_FIELDS): [_FIELD_SCHEMA],
        **_POLICY_SCHEMA,
        vol.Optional(const.CONF_ENABLED, default=True): bool,
        vol.Optional(
            const.CONF_HISTORY, default=BackfillRange.NOTHING.value
        ): vol.Coerce(BackfillRange),
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
        fields=tuple(ExportedField(**row) for row in valid[const.CONF_FIELDS]),
        policy=SamplingPolicy(**{str(key): valid[key] for key in _POLICY_SCHEMA}),
        enabled=valid[const.CONF_ENABLED],
        backfill=valid[const.CONF_HISTORY],
    )


def parse_series(data: Mapping[str, Any]) -> Series:
    """Return the series that an export, or the form of one, names."""
    target = WriteTarget(
        data[const.CONF_COLLECTOR],
        data[const.CONF_DATABASE],
        data[const.CONF_RETENTION_POLICY],
    )
    return Series(
        target,
        data[const.CONF_MEASUREMENT],
        tuple(sorted(data[const.CONF_TAGS].items())),
    )


def read_exports(entry: ConfigEntry[Any]) -> tuple[list[Export], list[InvalidExport]]:
    """Return the exports that an account stores: those that are valid, and the others."""
    valid, invalid = [], []
    for subentry in entry.subentries.values():
        if subentry.subentry_type == const.SUBENTRY_EXPORT:
            id_, title = subentry.subentry_id, subentry.title
            try:
                valid.append(parse_export(id_, title, subentry.data))
            except InvalidExport as err:
                invalid.append(err)
    return valid, invalid


@callback
def async_field_row(
    hass: HomeAssistant, entity_id: str, field: str, attribute: str | None
) -> dict[str, Any]:
    """Return what an export stores for a field: a registered entity by its registry id, and its kind where that can be decided."""
    entry = er.async_get(hass).async_get(entity_id)
    kind = decide_kind(hass.states.get(entity_id), field, attribute)
    row = {
        const.CONF_ENTITY: entity_id if entry is None else entry.id,
        const.CONF_FIELD: field,
        const.CONF_ATTRIBUTE: attribute,
        const.CONF_KIND: None if kind is None else kind.value,
    }
    return {key: value for key, value in row.items() if value is not None}


@callback
def async_entity_id(hass: HomeAssistant, reference: str) -> str | None:
    """Return the current entity id of a stored reference, None where the entity was deleted."""
    return er.async_resolve_entity_id(er.async_get(hass), reference)
