"""Devices in Home Assistant's registry: an account's own, and below it those of its nodes, exports and controllers."""

import asyncio
from collections.abc import Iterable
from typing import Any, Final, Literal, NamedTuple

from homeassistant.config_entries import ConfigEntry
from homeassistant.const import CONF_USERNAME
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers import device_registry as dr

from .const import DOMAIN, SUBENTRY_CONTROLLER
from .controller.config import ControllerSettings
from .exporting.config import Export
from .field_description import readable
from .importing.coordinator import NodeCoordinator
from .importing.nodes import Node, Nodes

_MAKER: Final = "Eniris"
_WEBSITE: Final = "https://www.eniris.io"
"""Where owners find the way to their portal, the address of which no document tells."""

_AT_ONCE: Final = 20
"""Devices that are registered before the event loop gets its turn."""

type DeviceKind = Literal["account", "controller", "export", "node"]


class Identity(NamedTuple):
    """What a device of an account stands for."""

    kind: DeviceKind
    id: str
    """Of the subentry or of the node; the account's own identity for its own device."""


def account_identifier(entry: ConfigEntry[Any]) -> tuple[str, str]:
    """Return the identifier of the account's own device, below which everything hangs."""
    return (DOMAIN, f"account_{entry.unique_id}")


def subentry_identifier(entry: ConfigEntry[Any], subentry_id: str) -> tuple[str, str]:
    """Return what identifies the device of an export or of a controller."""
    return (DOMAIN, f"{entry.unique_id}_{subentry_id}")


def _own_identities(entry: ConfigEntry[Any]) -> dict[tuple[str, str], Identity]:
    """Return the identifiers of an account's devices that are no nodes, and what these are."""
    return {
        account_identifier(entry): Identity("account", str(entry.unique_id)),
        **{
            subentry_identifier(entry, id_): Identity(
                "controller"
                if subentry.subentry_type == SUBENTRY_CONTROLLER
                else "export",
                id_,
            )
            for id_, subentry in entry.subentries.items()
        },
    }


def identity(entry: ConfigEntry[Any], device: dr.DeviceEntry) -> Identity | None:
    """Return what a device of an account stands for, None if it has no identifier of ours."""
    own = _own_identities(entry)
    for identifier in device.identifiers:
        if identifier[0] == DOMAIN:
            return own.get(identifier) or Identity("node", identifier[1])
    return None


@callback
def async_find(
    hass: HomeAssistant, device_id: str, kind: DeviceKind
) -> list[tuple[ConfigEntry[Any], str]]:
    """Return the account and the id of what a device stands for, if it is of that kind.

    More than one where a node that two accounts see is one device for both.
    """
    registry = dr.async_get(hass)
    return [
        (entry, found.id)
        for entry in hass.config_entries.async_entries(DOMAIN)
        for device in dr.async_entries_for_config_entry(registry, entry.entry_id)
        if device.id == device_id
        and (found := identity(entry, device)) is not None
        and found.kind == kind
    ]


@callback
def async_register_exports(
    hass: HomeAssistant, entry: ConfigEntry[Any], exports: Iterable[Export]
) -> None:
    """Create or update a device per export, linked to the account's, as `NodeDevices` links."""
    registry = dr.async_get(hass)
    account = registry.async_get_or_create(
        config_entry_id=entry.entry_id, identifiers={account_identifier(entry)}
    )
    for export in exports:
        device = registry.async_get_or_create(
            config_entry_id=entry.entry_id,
            config_subentry_id=export.id,
            identifiers={subentry_identifier(entry, export.id)},
            entry_type=dr.DeviceEntryType.SERVICE,
            manufacturer=_MAKER,
            model="Data export",
            name=export.title,
        )
        registry.async_update_device(device.id, via_device_id=account.id)


@callback
def async_register_controllers(
    hass: HomeAssistant,
    entry: ConfigEntry[Any],
    controllers: Iterable[ControllerSettings],
) -> None:
    """Create or update a device per controller, linked to the account's."""
    registry = dr.async_get(hass)
    account = registry.async_get_or_create(
        config_entry_id=entry.entry_id, identifiers={account_identifier(entry)}
    )
    for controller in controllers:
        device = registry.async_get_or_create(
            config_entry_id=entry.entry_id,
            config_subentry_id=controller.id,
            identifiers={subentry_identifier(entry, controller.id)},
            manufacturer=_MAKER,
            model="SmartgridOne",
            configuration_url=_WEBSITE,
            serial_number=controller.serial,
            translation_key="controller",
            translation_placeholders={"site": controller.title},
        )
        registry.async_update_device(device.id, via_device_id=account.id)


class NodeDevices:
    """Keeps a device per node, linked to the device of the node above it.

    The link is made by device id in a second call, the one way that both ends of the supported
    range of Home Assistant know without deprecation.
    """

    def __init__(
        self, hass: HomeAssistant, entry: ConfigEntry[Any], nodes: NodeCoordinator
    ) -> None:
        """Follow what `nodes` announces."""
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

    async def async_sync(self) -> Nodes:
        """Register what is known now, at once done if it is already; return the nodes that have devices."""
        async with self._lock:
            nodes = self._nodes.data
            if nodes is not self._registered:
                await self._async_register(nodes)
                self._registered = nodes
            if self._answers != self._nodes.answers:
                self._answers = self._nodes.answers
                self._async_remove_gone(nodes)
            return nodes

    async def _async_register(self, nodes: Nodes) -> None:
        registry = dr.async_get(self._hass)
        account = registry.async_get_or_create(
            config_entry_id=self._entry.entry_id,
            identifiers={account_identifier(self._entry)},
            entry_type=dr.DeviceEntryType.SERVICE,
            manufacturer=_MAKER,
            model="Account",
            configuration_url=_WEBSITE,
            # Files of diagnostics and entity ids are named after it
            name="Eniris account"
            if self._entry.title == self._entry.data.get(CONF_USERNAME)
            else self._entry.title,
        )
        own = _own_identities(self._entry)
        device_ids: dict[str | None, str] = {None: account.id}
        for number, node in enumerate(nodes.by_id.values(), start=1):
            if number % _AT_ONCE == 0:
                await asyncio.sleep(0)
            if (DOMAIN, node.id) in own:
                # An id that looks like one of ours: its entities are the account's then
                device_ids[node.id] = account.id
                continue
            info = node.device.info
            device = registry.async_get_or_create(
                config_entry_id=self._entry.entry_id,
                identifiers={(DOMAIN, node.id)},
                name=node.device.name or node.id,
                manufacturer=info.manufacturer or (_MAKER if node.is_site else None),
                configuration_url=_WEBSITE if node.is_site else None,
                model=info.model or _model(node),
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
        # In older versions of Home Assistant a node that two accounts see is one device for both
        of_others = {
            device.id
            for other in self._hass.config_entries.async_entries(DOMAIN)
            if other.entry_id != self._entry.entry_id
            for device in dr.async_entries_for_config_entry(registry, other.entry_id)
        }
        missing: set[str] = set()
        for device in dr.async_entries_for_config_entry(registry, self._entry.entry_id):
            found = identity(self._entry, device)
            if found is None or found.kind != "node" or found.id in nodes.by_id:
                continue
            if found.id not in nodes.listed and device.id not in self._missing:
                missing.add(device.id)
            elif device.id in of_others:
                registry.async_update_device(
                    device.id, remove_config_entry_id=self._entry.entry_id
                )
            else:
                registry.async_remove_device(device.id)
        self._missing = missing


def _model(node: Node) -> str | None:
    """Return what a node is, in the words of its type."""
    if node.is_site:
        return "Site"
    node_type = node.device.node_type
    return None if node_type is None else readable(node_type)
