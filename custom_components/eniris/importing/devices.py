"""Nodes in Home Assistant's device registry."""

from typing import Any

from homeassistant.config_entries import ConfigEntry
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers import device_registry as dr

from ..const import DOMAIN
from .nodes import Node


def account_identifier(entry: ConfigEntry[Any]) -> tuple[str, str]:
    """Return the identifier of the account's own device, below which everything hangs."""
    return (DOMAIN, f"account_{entry.unique_id}")


@callback
def async_register_nodes(
    hass: HomeAssistant, entry: ConfigEntry[Any], nodes: dict[str, Node]
) -> None:
    """Create or update a device per node, linked to the device of the node above it.

    The link is made by device id in a second call, the one way that both ends of the supported
    range of Home Assistant know without deprecation.
    """
    registry = dr.async_get(hass)
    account = registry.async_get_or_create(
        config_entry_id=entry.entry_id,
        identifiers={account_identifier(entry)},
        entry_type=dr.DeviceEntryType.SERVICE,
        manufacturer="Eniris",
        name=entry.title,
    )
    device_ids: dict[str | None, str] = {None: account.id}
    for node in nodes.values():
        info = node.device.info
        entry_of_node = registry.async_get_or_create(
            config_entry_id=entry.entry_id,
            identifiers={(DOMAIN, node.id)},
            name=node.device.name or node.id,
            manufacturer=info.manufacturer,
            model=info.model or node.device.node_type,
            serial_number=info.serial_number,
            sw_version=info.firmware_version,
        )
        device_ids[node.id] = entry_of_node.id
        registry.async_update_device(
            entry_of_node.id, via_device_id=device_ids[node.parent_id]
        )
