"""The tree of nodes, made of metadata in which parents and children need not agree."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from ..api import Device

SITE_NODE_TYPE: Final = "smartgridControllerSite"


@dataclass(frozen=True, slots=True)
class Node:
    """A node worth a device, and the node id of the nearest one above it (None: the account)."""

    device: Device
    parent_id: str | None

    @property
    def id(self) -> str:
        """The node's identity."""
        return self.device.node_id

    @property
    def is_site(self) -> bool:
        """Whether other nodes belong to it as to a place."""
        return self.device.node_type == SITE_NODE_TYPE


def build_nodes(devices: Iterable[Device]) -> dict[str, Node]:
    """Return the nodes by id, each after the one above it.

    Sites are nodes in any case, others where they carry data; what hangs below an infrastructure
    node without data moves up to the next that has some. A cycle hangs below the account.
    """
    by_id = newest_by_id(devices)
    parents = _parents(by_id)
    shown = {
        node_id
        for node_id, device in by_id.items()
        if device.series or device.node_type == SITE_NODE_TYPE
    }
    above = {node_id: _nearest(node_id, parents, shown) for node_id in shown}
    nodes: dict[str, Node] = {}
    for node_id in by_id:
        chain = []
        while node_id in shown and node_id not in nodes and node_id not in chain:
            chain.append(node_id)
            next_id = above[node_id]
            if next_id is None:
                break
            node_id = next_id
        for link in reversed(chain):
            parent_id = above[link]
            nodes[link] = Node(by_id[link], parent_id if parent_id in nodes else None)
    return nodes


def newest_by_id(devices: Iterable[Device]) -> dict[str, Device]:
    """Return one device per node id: of duplicates the one that was changed last.

    One without data gives way to one that has some.
    """
    by_id: dict[str, Device] = {}
    for device in devices:
        other = by_id.get(device.node_id)
        if other is None or _rank(device) > _rank(other):
            by_id[device.node_id] = device
    return by_id


def _rank(device: Device) -> tuple[bool, str]:
    return bool(device.series), device.last_update or ""


def _parents(by_id: dict[str, Device]) -> dict[str, list[str]]:
    """Return each node's parents. Where both sides keep a list, the parent's decides."""
    children = {
        node_id: None if device.children is None else frozenset(device.children)
        for node_id, device in by_id.items()
    }
    parents: dict[str, list[str]] = {}
    for node_id, device in by_id.items():
        parents[node_id] = [
            parent_id
            for parent_id in device.parents
            if parent_id in by_id
            and ((listed := children[parent_id]) is None or node_id in listed)
        ]
    for parent_id, device in by_id.items():
        for child_id in device.children or ():
            if child_id in parents and parent_id not in parents[child_id]:
                parents[child_id].append(parent_id)
    return parents


def _nearest(
    node_id: str, parents: dict[str, list[str]], shown: set[str]
) -> str | None:
    """Return the closest shown node above `node_id`, breadth first, other than itself."""
    seen = {node_id}
    level = [node_id]
    while level:
        above = [
            parent_id
            for child_id in level
            for parent_id in parents[child_id]
            if parent_id not in seen
        ]
        for parent_id in above:
            if parent_id in shown:
                return parent_id
        seen.update(above)
        level = list(dict.fromkeys(above))
    return None


def in_sites(nodes: dict[str, Node], sites: Collection[str]) -> dict[str, Node]:
    """Return the nodes at or below the given sites, all of them where none is given."""
    if not sites:
        return nodes
    kept: dict[str, Node] = {}
    for node_id, node in nodes.items():
        # Each comes after the one above it
        if node_id in sites or (node.parent_id in kept and not node.is_site):
            kept[node_id] = node if node.parent_id in kept else Node(node.device, None)
    return kept


@dataclass(frozen=True, slots=True)
class Nodes:
    """The account's nodes by id, each after the one above it."""

    by_id: dict[str, Node] = field(default_factory=dict)
    """Those at or below the chosen sites."""
    all: dict[str, Node] = field(default_factory=dict)
    skipped: int = 0
    """Devices in the metadata that have no node id and so make no node."""
    listed: frozenset[str] = frozenset()
    """Ids of all nodes that the account lists, shown or not."""
    missing_sites: frozenset[str] = frozenset()
    """Node ids of chosen sites that the account does not list."""

    @property
    def sites(self) -> Mapping[str, str]:
        """Names of all the account's sites by node id, chosen or not."""
        return {
            node.id: node.device.name or node.id
            for node in self.all.values()
            if node.is_site
        }

    def chosen(self, sites: Collection[str]) -> "Nodes":
        """Return the same account with other sites chosen, all where none is."""
        missing = frozenset(sites) - self.sites.keys()
        return Nodes(
            in_sites(self.all, sites), self.all, self.skipped, self.listed, missing
        )
