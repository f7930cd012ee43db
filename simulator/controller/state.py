"""What the controller tells of one second: by group, as over MQTT and at type level, or node by node."""

from datetime import datetime
from typing import Any, Final, Literal
from zoneinfo import ZoneInfo

from simulator.model import FieldValue
from simulator.world import measurements as m
from simulator.world.measurements import Flow
from simulator.world.profile import BATTERY_CAPACITY_WH, Flows
from simulator.world.site import Node, Site

type Groups = dict[str, dict[str, Any]]
type DeviceLayout = Literal["list", "object", "beside"]

_ZONE: Final = ZoneInfo("Europe/Brussels")

_GROUPS: Final = {
    "smartgridControllerSite": "grid",
    "solarString": "solar",
    "battery": "storage",
    "heatPump": "heat_pump",
    "boiler": "switched_load",
    "switchedLoad": "switched_load",
    "evCharger": "variable_power_load",
}
"""The group of a type of node."""

_TODAY: Final[dict[str, dict[str, Flow]]] = {
    "grid": {
        "today_imported_energy_Wh": lambda flows: flows.imported,
        "today_exported_energy_Wh": lambda flows: flows.exported,
    },
    "solar": {"today_energy_Wh": m.sun},
    "storage": {
        "today_charged_Wh": lambda flows: flows.charge,
        "today_discharged_Wh": lambda flows: flows.discharge,
    },
}
"""The fields of a group that begin anew at midnight."""


def groups(site: Site, time_s: int, inverted: frozenset[str] = frozenset()) -> Groups:
    """Return the fields of each group that the site has, in the second that begins at `time_s` (Unix).

    Powers have telemetry's signs, but for the groups in `inverted`.
    """
    found: Groups = {}
    for node in site.nodes:
        group = _GROUPS.get(node.properties["nodeType"])
        if group is None:
            continue
        told = _told(site, node, time_s)
        fields = found.setdefault(group, {"active_power_W": 0.0})
        fields["active_power_W"] += told["actualPowerTot_W"]
        if group == "grid":
            fields["import_limit_W"] = told["importLimit_W"]
            fields["export_limit_W"] = told["exportLimit_W"]
        elif group == "storage":
            capacity = BATTERY_CAPACITY_WH * site.scale
            charge = told["stateOfCharge_frac"]
            fields["energy_stored_Wh"] = capacity * charge
            fields["energy_capacity_Wh"] = capacity
            fields["mean_soc_perc"] = 100 * charge
        elif group == "heat_pump":
            fields["operation_modes"] = [told["operationMode"]]
    now, dawn = _flowed(site, time_s), _flowed(site, _midnight_s(time_s))
    for group, flows in _TODAY.items():
        if group in found:
            for name, flow in flows.items():
                found[group][name] = (flow(now) - flow(dawn)) / 3600
    for group in inverted & found.keys():
        found[group]["active_power_W"] *= -1
    return found


def devices(
    site: Site, time_s: int, layout: DeviceLayout, *, telemetry_names: bool = True
) -> dict[str, Any]:
    """Return what a body at device level holds beside its time and site; how it does so is not known.

    layout: `list` and `object` have it below `nodes`, as a list with node ids or by node id; `beside` has the
    nodes by node id beside the time. telemetry_names: every field by its name in telemetry, or only the power, by
    that of the groups.
    """
    told: dict[str, dict[str, Any]] = {}
    for node in site.nodes:
        fields = _told(site, node, time_s)
        if not telemetry_names:
            power = fields.get("actualPowerTot_W")
            fields = {} if power is None else {"active_power_W": power}
        if fields:
            told[node.node_id] = fields
    if layout == "beside":
        return told
    if layout == "object":
        return {"nodes": told}
    return {"nodes": [{"nodeId": name, **fields} for name, fields in told.items()]}


def _told(site: Site, node: Node, time_s: int) -> dict[str, Any]:
    """Return all fields of a node in one second, those included that telemetry has less often."""
    instant = site.instant(time_s, 1)
    fields: dict[str, FieldValue] = {}
    for key, parts in node.series.items():
        if key.retention_policy != "rp_ten_m" and key.measurement != "getMeasStats":
            for part in parts:
                fields |= part.fill(instant)
    return fields


def _flowed(site: Site, time_s: int) -> Flows:
    return site.instant(max(time_s, site.first_s), 1).joules


def _midnight_s(time_s: int) -> int:
    day = datetime.fromtimestamp(time_s, _ZONE).date()
    return int(datetime.combine(day, datetime.min.time(), _ZONE).timestamp())
