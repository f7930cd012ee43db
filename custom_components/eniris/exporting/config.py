"""`Export`: what a config subentry says about which entities become which fields, and when."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Final, Self, TypeIs

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
    CONF_MEASUREMENT,
    CONF_MODE,
    CONF_RETENTION_POLICY,
    CONF_SHORTEST,
    CONF_TAGS,
)

DEFAULT_INTERVAL: Final = 60
"""Seconds between two values under a retention policy that is not named here."""

DEFAULT_INTERVALS: Final = {"rp_one_s": 1, "rp_one_m": 60}

DEFAULT_SHORTEST: Final = {"rp_one_m": 60}
"""Seconds that are kept between two changes, where these policies keep no more than that."""


class Past(StrEnum):
    """How much of what is there already is sent when an export is made."""

    NOTHING = "nothing"
    WEEK = "week"
    MONTH = "month"
    YEAR = "year"
    EVERYTHING = "everything"


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

_REACH: Final = {
    Past.WEEK: timedelta(days=7),
    Past.MONTH: timedelta(days=30),
    Past.YEAR: timedelta(days=365),
}


def past_start(past: Past, now: datetime) -> datetime:
    """Return from when on `past` is."""
    reach = _REACH.get(past)
    return _EPOCH if reach is None else now - reach


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
class When:
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

    `entity` is a registry id or, for an entity without one, an entity id.
    """

    entity: str
    field: str
    attribute: str | None = None


@dataclass(frozen=True, slots=True)
class Export:
    """A config subentry, parsed."""

    id: str
    title: str
    series: Series
    fields: tuple[ExportedField, ...]
    when: When
    enabled: bool
    past: Past = Past.NOTHING
    """What is asked for once, when the export is made."""

    @classmethod
    def from_data(cls, id: str, title: str, data: Mapping[str, Any]) -> Self:
        """Parse the data of a subentry as the `export` flow writes it, or as `Legible` has it."""
        return cls(
            id=id,
            title=title,
            series=parse_series(data),
            fields=tuple(
                ExportedField(
                    row[CONF_ENTITY], row[CONF_FIELD], row.get(CONF_ATTRIBUTE)
                )
                for row in data[CONF_FIELDS]
            ),
            when=When(
                Mode(data.get(CONF_MODE, Mode.CHANGE)),
                timedelta(seconds=data.get(CONF_SHORTEST, 0)),
                timedelta(seconds=data.get(CONF_INTERVAL, DEFAULT_INTERVAL)),
                Aggregate(data.get(CONF_AGGREGATE, Aggregate.LAST)),
                timedelta(seconds=data.get(CONF_HEARTBEAT, 0)),
            ),
            enabled=data.get(CONF_ENABLED, True),
            past=Past(data.get(CONF_HISTORY, Past.NOTHING)),
        )


def parse_series(data: Mapping[str, Any]) -> Series:
    """Return the series that the data of a subentry names."""
    return Series(
        WriteTarget(
            data[CONF_COLLECTOR], data[CONF_DATABASE], data[CONF_RETENTION_POLICY]
        ),
        data[CONF_MEASUREMENT],
        tuple(sorted(data[CONF_TAGS].items())),
    )


# What years of hands and versions have left in the storage

_LONGEST: Final = 366 * 86_400
"""Seconds; nothing of an export takes longer."""


@dataclass(frozen=True, slots=True)
class Legible:
    """What can be read of a subentry's data, whatever has become of it since it was written."""

    data: Mapping[str, Any]
    """All that an export needs; what cannot be read is empty, or the default if there is one."""
    lost: tuple[str, ...] = ()
    """Keys of what cannot be read and has no default; the rows of fields by number."""
    replaced: tuple[str, ...] = ()
    """Keys of what cannot be read and has its default."""

    @property
    def has_series(self) -> bool:
        """Whether it is known where values go; what does not know that is no export."""
        return _SERIES.keys().isdisjoint(self.lost)


def read_data(data: Mapping[str, Any]) -> Legible:
    """Return what can be read of the data of a subentry, damaged or not."""
    legible: dict[str, Any] = {}
    lost: list[str] = []
    for key, is_valid in _SERIES.items():
        if is_valid(data.get(key)):
            legible[key] = data[key]
        else:
            legible[key] = {} if key == CONF_TAGS else ""
            lost.append(key)
    rows = data.get(CONF_FIELDS)
    if not isinstance(rows, list | tuple):
        rows = []
        lost.append(CONF_FIELDS)
    legible[CONF_FIELDS] = [row for row in rows if _is_row(row)]
    lost += [
        f"{CONF_FIELDS} {number}"
        for number, row in enumerate(rows, start=1)
        if not _is_row(row)
    ]
    replaced = []
    for key, (is_valid, default) in _OPTIONAL.items():
        legible[key] = data.get(key, default)
        if not is_valid(legible[key]):
            legible[key] = default
            replaced.append(key)
    return Legible(legible, tuple(lost), tuple(replaced))


def _is_text(value: Any) -> TypeIs[str]:
    """Tell whether something is a text that can be written down; half a surrogate pair cannot."""
    try:
        return isinstance(value, str) and bool(value.encode())
    except UnicodeEncodeError:
        return False


def _is_name(value: Any) -> bool:
    return _is_text(value) and name_problem(value) is None


def _are_tags(value: Any) -> bool:
    return isinstance(value, Mapping) and all(
        _is_name(key) and _is_text(text) and "\n" not in text
        for key, text in value.items()
    )


def _is_row(value: Any) -> bool:
    return (
        isinstance(value, Mapping)
        and _is_text(value.get(CONF_ENTITY))
        and _is_name(value.get(CONF_FIELD))
        and (value.get(CONF_ATTRIBUTE) is None or _is_text(value[CONF_ATTRIBUTE]))
    )


def _one_of(choices: type[StrEnum]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, str) and value in set(choices)


def _seconds_from(least: int) -> Callable[[Any], bool]:
    return lambda value: (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and least <= value <= _LONGEST
    )


_SERIES: Final[Mapping[str, Callable[[Any], bool]]] = {
    CONF_COLLECTOR: _is_text,
    CONF_DATABASE: _is_text,
    CONF_RETENTION_POLICY: _is_text,
    CONF_MEASUREMENT: _is_name,
    CONF_TAGS: _are_tags,
}
"""What says where values go, with what tells whether that can be used."""

_OPTIONAL: Final[Mapping[str, tuple[Callable[[Any], bool], Any]]] = {
    CONF_MODE: (_one_of(Mode), Mode.CHANGE.value),
    CONF_SHORTEST: (_seconds_from(0), 0),
    CONF_INTERVAL: (_seconds_from(1), DEFAULT_INTERVAL),
    CONF_AGGREGATE: (_one_of(Aggregate), Aggregate.LAST.value),
    CONF_HEARTBEAT: (_seconds_from(0), 0),
    CONF_ENABLED: (lambda value: isinstance(value, bool), True),
    CONF_HISTORY: (_one_of(Past), Past.NOTHING.value),
}
"""What has a default, with the same."""


@callback
def async_entity_reference(hass: HomeAssistant, entity_id: str) -> str:
    """Return what an export stores for an entity, so that it is followed when it is renamed."""
    entry = er.async_get(hass).async_get(entity_id)
    return entity_id if entry is None else entry.id


@callback
def async_entity_id(hass: HomeAssistant, reference: str) -> str | None:
    """Return the current entity id of a stored reference, None where the entity was deleted."""
    return er.async_resolve_entity_id(er.async_get(hass), reference)


@callback
def async_deleted_entity_id(hass: HomeAssistant, reference: str) -> str | None:
    """Return the entity id that a deleted entity had, None where that is not known any more."""
    return next(
        (
            entry.entity_id
            for entry in er.async_get(hass).deleted_entities.values()
            if entry.id == reference
        ),
        None,
    )
