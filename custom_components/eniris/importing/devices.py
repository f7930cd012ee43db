"""Nodes in Home Assistant's device registry."""

import asyncio
from collections.abc import Collection
from typing import Any, Final

from homeassistant.config_entries import ConfigEntry
from homeassistant.const import CONF_USERNAME
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers import device_registry as dr

from ..const import DOMAIN
from .catalogue import readable
from .coordinator import NodeCoordinator
from .nodes import Node, Nodes

_AT_ONCE: Final = 20
"""Devices that are registered before the event loop gets its turn."""


def account_identifier(entry: ConfigEntry[Any]) -> tuple[str, str]:
    """Return the identifier of the account's own device, below which everything hangs."""
    return (DOMAIN, f"account_{entry.unique_id}")


class NodeDevices:
    """Keeps a device per node, linked to the device of the node above it.

    The link is made by device id in a second call, the one way that both ends of the supported
    range of Home Assistant know without deprecation.
    """

    def __init__(
        self,
        hass: HomeAssistant,
        entry: ConfigEntry[Any],
        nodes: NodeCoordinator,
        others: Collection[tuple[str, str]],
    ) -> None:
        """Follow what `nodes` announces; `others` identify devices that are no nodes."""
        self._others = {account_identifier(entry), *others}
        self._hass = hass
        self._entry = entry
        self._nodes = nodes
        self._registered: Nodes | None = None
        self._missing: set[str] = set()
        self._answers = 0
        self._lock = asyncio.Lock()

    async def async_start(self) -> None:
        """Register what is known, and whatever changes from now on."""
        await self.async_sync()
        self._entry.async_on_unload(
            self._nodes.async_add_listener(self._async_nodes_updated)
        )

    @callback
    def _async_nodes_updated(self) -> None:
        self._entry.async_create_task(
            self._hass, self.async_sync(), "eniris devices", eager_start=False
        )

    async def async_sync(self) -> None:
        """Register what is known now; at once done if it is already."""
        async with self._lock:
            nodes = self._nodes.data
            if nodes is not self._registered:
                await self._async_register(nodes)
                self._registered = nodes
            if self._answers != self._nodes.answers:
                self._answers = self._nodes.answers
                self._async_remove_gone(nodes)

    async def _async_register(self, nodes: Nodes) -> None:
        registry = dr.async_get(self._hass)
        account = registry.async_get_or_create(
            config_entry_id=self._entry.entry_id,
            identifiers={account_identifier(self._entry)},
            entry_type=dr.DeviceEntryType.SERVICE,
            manufacturer="Eniris",
            model="Account",
            # Files of diagnostics and entity ids are named after it
            name="Eniris account"
            if self._entry.title == self._entry.data.get(CONF_USERNAME)
            else self._entry.title,
        )
        device_ids: dict[str | None, str] = {None: account.id}
        for number, node in enumerate(nodes.by_id.values(), start=1):
            if number % _AT_ONCE == 0:
                await asyncio.sleep(0)
            if (DOMAIN, node.id) in self._others:
                # An id that looks like one of ours: its entities are the account's then
                device_ids[node.id] = account.id
                continue
            info = node.device.info
            device = registry.async_get_or_create(
                config_entry_id=self._entry.entry_id,
                identifiers={(DOMAIN, node.id)},
                name=node.device.name or node.id,
                manufacturer=info.manufacturer,
                model=info.model or _kind(node),
                serial_number=info.serial_number,
                sw_version=info.firmware_version,
            )
            device_ids[node.id] = device.id
            registry.async_update_device(
                device.id, via_device_id=device_ids[node.parent_id]
            )

    @callback
    def _async_remove_gone(self, nodes: Nodes) -> None:
        """Remove the devices of nodes that are not to be shown any more.

        One that the service does not list has to be missing twice in a row: an answer that
        is empty by mistake must not cost anybody their names and areas. While a chosen site is
        missing, all stay until the user has said which site is wanted in its place.
        """
        if nodes.missing_sites:
            return
        registry = dr.async_get(self._hass)
        shared = self._shared(registry)
        missing: set[str] = set()
        for device in dr.async_entries_for_config_entry(registry, self._entry.entry_id):
            node_ids = {
                value for domain, value in device.identifiers if domain == DOMAIN
            }
            if device.identifiers & self._others or node_ids & nodes.by_id.keys():
                continue
            if node_ids & nodes.listed or device.id in self._missing:
                if device.id in shared:
                    registry.async_update_device(
                        device.id, remove_config_entry_id=self._entry.entry_id
                    )
                else:
                    registry.async_remove_device(device.id)
            else:
                missing.add(device.id)
        self._missing = missing

    def _shared(self, registry: dr.DeviceRegistry) -> set[str]:
        """Return the ids of devices that are another account's, too.

        In older versions of Home Assistant a node that two accounts see is one device for both.
        """
        return {
            device.id
            for other in self._hass.config_entries.async_entries(DOMAIN)
            if other.entry_id != self._entry.entry_id
            for device in dr.async_entries_for_config_entry(registry, other.entry_id)
        }


def _kind(node: Node) -> str | None:
    """Return what a node is, in the words of its type."""
    if node.is_site:
        return "Site"
    node_type = node.device.node_type
    return None if node_type is None else readable(node_type)
