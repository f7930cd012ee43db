"""The action that imports the past."""

from collections.abc import Iterable, Iterator
from functools import cache
from typing import Final

import voluptuous as vol

from homeassistant.const import ATTR_DEVICE_ID, ATTR_ENTITY_ID
from homeassistant.core import HomeAssistant, ServiceCall, ServiceResponse
from homeassistant.helpers import config_validation as cv, entity_registry as er
from homeassistant.util.json import JsonValueType

from ..const import DOMAIN
from ..devices import async_find
from ..errors import invalid
from ..importing.history.hours import StatisticField
from ..importing.history.importer import HistoryUnavailableError
from .shared import RANGE_SCHEMA, account, time_range

IMPORT_HISTORY_SCHEMA: Final = vol.Schema(
    {
        vol.Optional(ATTR_ENTITY_ID, default=[]): cv.entity_ids,
        vol.Optional(ATTR_DEVICE_ID, default=[]): vol.All(cv.ensure_list, [cv.string]),
        **RANGE_SCHEMA,
    }
)


async def import_history(call: ServiceCall) -> ServiceResponse:
    """Have the past of entities fetched in the background, and return of which."""
    start, end = time_range(call)
    wanted: dict[str, dict[str, str]] = {}
    for entity in _entities(call):
        of_account = wanted.setdefault(entity.config_entry_id or "", {})
        of_account[entity.unique_id] = entity.entity_id
    if not wanted:
        raise invalid("no_history_chosen")
    for entry_id, entities in wanted.items():
        history = account(call.hass, entry_id).runtime_data.history
        try:
            if not await history.async_request(start, end, entities):
                raise invalid("no_whole_hour")
        except HistoryUnavailableError as err:
            raise invalid("no_recorder") from err
    if not call.return_response:
        return None
    entity_ids: list[JsonValueType] = [
        entity_id for entities in wanted.values() for entity_id in entities.values()
    ]
    return {"entities": entity_ids}


def _entities(call: ServiceCall) -> Iterator[er.RegistryEntry]:
    """Yield each entity that is chosen, and of each device that is what shows energy or power.

    The account's own device stands for all that the account has. Raises `ServiceValidationError` for
    an entity that has no past to be imported.
    """
    registry = er.async_get(call.hass)

    @cache
    def fields(entry_id: str | None) -> dict[str, StatisticField]:
        return account(call.hass, entry_id).runtime_data.history.subjects()

    def field(entity: er.RegistryEntry) -> StatisticField | None:
        if entity.platform != DOMAIN:
            return None
        return fields(entity.config_entry_id).get(entity.unique_id)

    for entity_id in call.data[ATTR_ENTITY_ID]:
        entity = registry.async_get(entity_id)
        if entity is None or field(entity) is None:
            raise invalid("no_history_of", entity=entity_id)
        if entity.disabled_by is not None:
            raise invalid("entity_disabled", entity=entity_id)
        yield entity
    for device_id in call.data[ATTR_DEVICE_ID]:
        entities = [
            entity
            for entity in _entities_of_device(call.hass, device_id)
            if (found := field(entity)) is not None and found.is_energy_or_power
        ]
        if not entities:
            raise invalid("no_history_of_device", device=device_id)
        yield from entities


def _entities_of_device(
    hass: HomeAssistant, device_id: str
) -> Iterable[er.RegistryEntry]:
    """Return the enabled entities of a device, or of a whole account."""
    registry = er.async_get(hass)
    for entry, _ in async_find(hass, device_id, "account"):
        return [
            entity
            for entity in er.async_entries_for_config_entry(registry, entry.entry_id)
            if entity.disabled_by is None
        ]
    return er.async_entries_for_device(registry, device_id)
