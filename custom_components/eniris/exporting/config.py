"""`Export`: what a config subentry says about which entities become which fields."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from homeassistant.config_entries import ConfigSubentry
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers import entity_registry as er

from ..api import WriteTarget
from ..const import (
    CONF_COLLECTOR,
    CONF_DATABASE,
    CONF_ENTITY,
    CONF_FIELD,
    CONF_FIELDS,
    CONF_MEASUREMENT,
    CONF_RETENTION_POLICY,
    CONF_TAGS,
)


@dataclass(frozen=True, slots=True)
class Series:
    """Where a sample belongs: a target, a measurement, and tags sorted by key."""

    target: WriteTarget
    measurement: str
    tags: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class ExportedField:
    """One entity that becomes one field; `entity` is a registry id or, without one, an entity id."""

    entity: str
    field: str


@dataclass(frozen=True, slots=True)
class Export:
    """A config subentry, parsed."""

    id: str
    title: str
    series: Series
    fields: tuple[ExportedField, ...]

    @classmethod
    def from_subentry(cls, subentry: ConfigSubentry) -> Self:
        """Parse a subentry that the `export` flow wrote."""
        return cls.from_data(subentry.subentry_id, subentry.title, subentry.data)

    @classmethod
    def from_data(cls, id: str, title: str, data: Mapping[str, Any]) -> Self:
        """Parse the data of a subentry, saved or not yet."""
        return cls(
            id=id,
            title=title,
            series=Series(
                WriteTarget(
                    data[CONF_COLLECTOR],
                    data[CONF_DATABASE],
                    data[CONF_RETENTION_POLICY],
                ),
                data[CONF_MEASUREMENT],
                tuple(sorted(data[CONF_TAGS].items())),
            ),
            fields=tuple(
                ExportedField(row[CONF_ENTITY], row[CONF_FIELD])
                for row in data[CONF_FIELDS]
            ),
        )


@callback
def async_entity_reference(hass: HomeAssistant, entity_id: str) -> str:
    """Return what an export stores for an entity, so that it is followed when it is renamed."""
    entry = er.async_get(hass).async_get(entity_id)
    return entity_id if entry is None else entry.id


@callback
def async_entity_id(hass: HomeAssistant, reference: str) -> str | None:
    """Return the current entity id of a stored reference, None where the entity was deleted."""
    return er.async_resolve_entity_id(er.async_get(hass), reference)
