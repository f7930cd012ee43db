"""What is wrong with metadata that many people have written over many years.

The nodes' series stay as they are: only what is told about them is in disorder.
"""

from collections.abc import Callable, Sequence
from random import Random
from typing import Any, NamedTuple

from .site import Node, Site


class Patient(NamedTuple):
    """A node to disturb, with its site and the site after it for wrong relations."""

    node: Node
    site: Site
    neighbour: Site

    @property
    def properties(self) -> dict[str, Any]:
        """What is disturbed."""
        return self.node.properties


type Disturbance = Callable[[Patient], None]


def _set(key: str, value: object) -> Disturbance:
    def disturbance(patient: Patient) -> None:
        patient.properties[key] = value

    return disturbance


def _drop(*keys: str) -> Disturbance:
    def disturbance(patient: Patient) -> None:
        for key in keys:
            patient.properties.pop(key, None)

    return disturbance


def _set_in_info(key: str, value: object) -> Disturbance:
    def disturbance(patient: Patient) -> None:
        patient.properties["info"][key] = value

    return disturbance


def _set_in_series(key: str, value: object) -> Disturbance:
    def disturbance(patient: Patient) -> None:
        for series in patient.properties["nodeInfluxSeries"]:
            series[key] = value

    return disturbance


def _drop_in_series(key: str) -> Disturbance:
    def disturbance(patient: Patient) -> None:
        for series in patient.properties["nodeInfluxSeries"]:
            del series[key]

    return disturbance


def _add_series(series: object) -> Disturbance:
    def disturbance(patient: Patient) -> None:
        patient.properties["nodeInfluxSeries"].append(series)

    return disturbance


def _nearly_empty(patient: Patient) -> None:
    """Leave what a role sees that may see next to nothing."""
    name = patient.properties["name"]
    patient.properties.clear()
    patient.properties["name"] = name


def _only_parent_knows(patient: Patient) -> None:
    """Let the parent list the child, which knows of no parent."""
    patient.properties["nodeParentsIds"] = []


def _only_child_knows(patient: Patient) -> None:
    """Let the child list the parent, which knows of no such child."""
    for node in patient.site.nodes:
        children = node.properties.get("nodeChildrenIds")
        if isinstance(children, list) and patient.node.node_id in children:
            children.remove(patient.node.node_id)


def _unknown_parent(patient: Patient) -> None:
    patient.properties["nodeParentsIds"] = [f"{patient.site.serial}_gone"]


def _own_parent(patient: Patient) -> None:
    patient.properties["nodeParentsIds"] = [patient.node.node_id]
    patient.properties["nodeChildrenIds"] = [patient.node.node_id]


def _cycle(patient: Patient) -> None:
    """Make a node the parent of its own site."""
    site = next(
        node
        for node in patient.site.nodes
        if node.node_id == f"{patient.site.serial}_site_0"
    )
    for above, below in ((patient.node, site), (site, patient.node)):
        below.properties["nodeParentsIds"] = [above.node_id]
        _list(above.properties, "nodeChildrenIds").append(below.node_id)


def _two_parents(patient: Patient) -> None:
    """Hang a node in a second site as well."""
    _list(patient.properties, "nodeParentsIds").append(
        f"{patient.neighbour.serial}_site_0"
    )


def _list(properties: dict[str, Any], key: str) -> list[Any]:
    """Return a list property, an empty one where another disturbance took it."""
    value = properties.get(key)
    if not isinstance(value, list):
        value = properties[key] = []
    return value


def _same_id_as_neighbour(patient: Patient) -> None:
    patient.properties["nodeId"] = patient.neighbour.nodes[2].node_id


DISTURBANCES: dict[str, Disturbance] = {
    "no nodeId": _drop("nodeId"),
    "name is a number": _set("name", 42),
    "series null": _set("nodeInfluxSeries", None),
    "parent does not list it": _only_child_knows,
    "unknown type": _set("nodeType", "windTurbine"),
    "info null": _set("info", None),
    "empty name": _set("name", ""),
    "lists no parent": _only_parent_knows,
    "a series is a string": _add_series("submeteringMetrics"),
    "nodeId null": _set("nodeId", None),
    "own parent": _own_parent,
    "fields null": _set_in_series("fields", None),
    "duplicate nodeId": _same_id_as_neighbour,
    "name with signs": _set("name", "Zählerkasten “n° 3” – 電力計 ⚡\u200b"),
    "a series without tags": _add_series(
        {
            "database": "zonnedak",
            "measurement": "submeteringMetrics",
            "retentionPolicy": "rp_one_s",
            "fields": ["actualPowerTot_W"],
        }
    ),
    "series without data": _add_series(
        {
            "database": "zonnedak",
            "measurement": "planning",
            "retentionPolicy": "rp_one_m",
            "tags": {"nodeId": "nowhere"},
            "fields": ["powerSetpoint_W", "actualPowerTot_W"],
        }
    ),
    "cycle": _cycle,
    "name missing": _drop("name"),
    "name null": _set("name", None),
    "nodeId is a number": _set("nodeId", 7),
    "nodeId empty": _set("nodeId", ""),
    "type missing": _drop("nodeType"),
    "type is a number": _set("nodeType", 3),
    "parents null": _set("nodeParentsIds", None),
    "parents a string": _set("nodeParentsIds", "site_0"),
    "parents with null": _set("nodeParentsIds", [None, 5]),
    "children missing": _drop("nodeChildrenIds"),
    "unknown parent": _unknown_parent,
    "two parents": _two_parents,
    "series an object": _set("nodeInfluxSeries", {}),
    "series missing": _drop("nodeInfluxSeries"),
    "tags with a number": _set_in_series("tags", {"nodeId": 12}),
    "tags null": _set_in_series("tags", None),
    "tags empty": _set_in_series("tags", {}),
    "fields with others than strings": _set_in_series(
        "fields", ["actualPowerTot_W", None, 4, "temp_°C", ""]
    ),
    "fields missing": _drop_in_series("fields"),
    "measurement null": _set_in_series("measurement", None),
    "info a string": _set("info", "n/a"),
    "power a string": _set_in_info("nomPower_W", "10 kW"),
    "firmware null": _set_in_info("protocolDriverParameters", None),
    "serial a number": _set_in_info("serialNumber", 11055102),
    "nearly empty": _nearly_empty,
}
"""By what a reader of the metadata would call it."""

_ONE_IN = 10


def disturb(sites: Sequence[Site], random: Random) -> dict[int, str]:
    """Disturb one node in ten, every way in its turn; return the ways by device id.

    Controllers and sites stay sound, but for a site that a cycle catches: a fleet without trees
    would be good for nothing.
    """
    names = list(DISTURBANCES)
    done: dict[int, str] = {}
    patients = [
        Patient(node, site, sites[(number + 1) % len(sites)])
        for number, site in enumerate(sites)
        for node in site.nodes[2:]
        if node.series
    ]
    chosen = random.sample(
        patients, (sum(len(site.nodes) for site in sites)) // _ONE_IN
    )
    for turn, patient in enumerate(chosen):
        name = names[turn % len(names)]
        DISTURBANCES[name](patient)
        done[patient.node.device["id"]] = name
    return done
