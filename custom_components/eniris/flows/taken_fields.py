"""Which names a field of a series can have: asked by the forms of an export and by repairs."""

from collections.abc import Collection
from dataclasses import replace

from homeassistant.core import HomeAssistant, State

from ..const import DOMAIN
from ..exporting.config import Series, read_exports
from ..exporting.fields.kinds import unit_problem
from ..exporting.fields.names import name_problem


def taken_fields(
    hass: HomeAssistant, series: Series, *, without: Collection[str | None] = ()
) -> set[str]:
    """Return the fields of a series that exports write, of any account; `without` has ids of exports."""
    here = _identity(series)
    return {
        exported.field
        for entry in hass.config_entries.async_entries(DOMAIN)
        for export in read_exports(entry)[0]
        if export.id not in without and _identity(export.series) == here
        for exported in export.fields
    }


def _identity(series: Series) -> Series:
    """Return what identifies a series to the service: the collector is no part of it."""
    return replace(series, target=series.target._replace(collector=""))


def field_problem(
    field: str, state: State | None, attribute: str | None, taken: Collection[str]
) -> str | None:
    """Return a translation key for why an entity cannot be sent under a name, or None."""
    if problem := name_problem(field):
        return problem
    if field in taken:
        return "field_taken"
    # An attribute has no unit of its own
    return unit_problem(state, field) if attribute is None else None
