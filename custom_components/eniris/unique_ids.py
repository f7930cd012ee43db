"""Unique ids of entities: their parts joined by `_`, unless other parts give the same id."""

from typing import Any

from homeassistant.config_entries import ConfigEntry
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers import device_registry as dr, entity_registry as er

from .const import DOMAIN


@callback
def async_unique_id(
    hass: HomeAssistant, entry: ConfigEntry[Any], platform: str, *parts: str | None
) -> str:
    """Return the unique id of the entity that shows `parts`: a node's id first, None for no part.

    Node `a` with measurement `b_c` and node `a_b` with measurement `c` give the same id. The one
    that is registered first keeps it, which its device tells. The others get one with the lengths of
    their parts, behind a sign that neither a field nor any other last part holds.
    """
    registry = er.async_get(hass)
    plain = "_".join((str(entry.unique_id), *filter(None, parts)))
    exact = _exact(plain, parts)
    if registry.async_get_entity_id(platform, DOMAIN, exact) is not None:
        return exact
    entity_id = registry.async_get_entity_id(platform, DOMAIN, plain)
    registered = entity_id and registry.async_get(entity_id)
    device = (
        dr.async_get(hass).async_get(registered.device_id)
        if registered and registered.device_id
        else None
    )
    if device is None or (DOMAIN, parts[0]) in device.identifiers:
        return plain
    return exact


def _exact(plain: str, parts: tuple[str | None, ...]) -> str:
    return f"{plain}#{'.'.join(str(len(part)) for part in filter(None, parts))}"


class UniqueIds:
    """The unique ids of the entities that one platform has made of nodes and fields."""

    def __init__(
        self, hass: HomeAssistant, entry: ConfigEntry[Any], platform: str
    ) -> None:
        """Begin without any."""
        self._hass = hass
        self._entry = entry
        self._platform = platform
        self._owners: dict[str, tuple[str | None, ...]] = {}
        self.added: set[str] = set()
        """Those of entities that are in Home Assistant at present."""

    @callback
    def async_claim(self, *parts: str | None) -> str:
        """Return the unique id of the entity that shows `parts`, not registered yet perhaps."""
        unique_id = async_unique_id(self._hass, self._entry, self._platform, *parts)
        if self._owners.setdefault(unique_id, parts) == parts:
            return unique_id
        return _exact(unique_id, parts)
