"""A site's nodes: metadata in the API's shape, and the series that tell about each."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from operator import attrgetter
from typing import Any, NamedTuple

from simulator.model import SeriesKey

from . import measurements as m
from .measurements import Flow, Instant, Part
from .plant import COMMISSIONED, Plant, state_of_charge
from .profile import STRING_PEAK_W, Flows, Household
from .steering import Order, SteeredPlant

SECOND, MINUTE, TEN_MINUTES = "rp_one_s", "rp_one_m", "rp_ten_m"
STEPS = {SECOND: 1, MINUTE: 60, TEN_MINUTES: 600}
"""Seconds between the rows of a retention policy."""

EDITABILITIES = {
    "nodeId": False,
    "nodeType": False,
    "name": True,
    "nodeParentsIds": False,
    "nodeChildrenIds": False,
    "nodeInfluxSeries": False,
    "info": False,
    "notes": True,
}

type ParentId = str | None


@dataclass(slots=True)
class Node:
    """A node: its device as the API tells it, and the parts of its series."""

    node_id: str
    device: dict[str, Any]
    series: dict[SeriesKey, tuple[Part, ...]]

    @property
    def properties(self) -> dict[str, Any]:
        """The device's free part."""
        properties: dict[str, Any] = self.device["properties"]
        return properties


class Plate(NamedTuple):
    """What a maker prints on a device; power and capacity are for a site of scale 1."""

    manufacturer: str
    model: str
    serial: str
    firmware: str | None = None
    power_w: float | None = None
    capacity_wh: float | None = None


class Backlog(NamedTuple):
    """A controller that loses its connection time and again and uploads what it kept afterwards."""

    period_s: int
    offset_s: int
    length_s: int

    def missing(self, now_s: float) -> range:
        """Return the seconds of which nothing has arrived yet."""
        since = int(now_s - self.offset_s) % self.period_s
        if since >= self.length_s:
            return range(0)
        start = int(now_s) - since
        return range(start, start + self.length_s)


@dataclass(slots=True)
class Site:
    """A plant with the nodes that measure it.

    `scale` multiplies every power; `delay_min` moves the plant's life in time, so that sites that
    share one do not do everything at the same minute.
    """

    serial: str
    plant: Plant | SteeredPlant
    scale: float = 1.0
    delay_min: int = 0
    backlog: Backlog | None = None
    last_s: int | None = None
    """When the controller fell silent for good."""
    nodes: list[Node] = field(default_factory=list)

    @property
    def first_s(self) -> int:
        """Unix time of the first row."""
        return _COMMISSIONED_S + 60 * self.delay_min

    def instant(self, time_s: int, step_s: int) -> Instant:
        """Return what the meters see from `time_s` on, for a row of `step_s` seconds."""
        minute, second = divmod(time_s - self.first_s, 60)
        watts: Sequence[float]
        if step_s == 1:
            watts, joules = self.plant.at_second(minute, second)
        else:
            watts, joules = self.plant.watts(minute), self.plant.joules(minute)
        if step_s > 60:
            after = self.plant.joules(minute + step_s // 60)
            watts = [
                (end - start) / step_s for start, end in zip(joules, after, strict=True)
            ]
        scale = self.scale
        return Instant(
            time_s,
            step_s,
            scale,
            Flows._make([scale * each for each in watts]),
            Flows._make([scale * each for each in joules]),
            state_of_charge(Flows._make(joules)),
            self.plant.car_state(minute),
            self.plant.heat_mode(minute),
            self.plant.rules(minute, second),
        )

    def obey(self, orders: Iterable[Order], from_s: int) -> None:
        """Follow these orders, and no others, from a time (Unix) on."""
        if not isinstance(self.plant, SteeredPlant):
            battery = any(
                node.properties["nodeType"] == "battery" for node in self.nodes
            )
            self.plant = SteeredPlant(
                self.plant, self.first_s, self.scale, battery=battery
            )
        self.plant.obey(orders, from_s)

    def energy_wh(self, flow: Flow, start_s: int, end_s: int) -> float:
        """Return the energy of a flow between two whole minutes."""
        first, last = (
            max(0, (time_s - self.first_s) // 60) for time_s in (start_s, end_s)
        )
        if first >= last:
            return 0.0
        before = Flows._make(self.plant.joules(first))
        after = Flows._make(self.plant.joules(last))
        return self.scale * (flow(after) - flow(before)) / 3600


_COMMISSIONED_S = int(COMMISSIONED.timestamp())


_imported: Flow = attrgetter("imported")
_exported: Flow = attrgetter("exported")
_charge: Flow = attrgetter("charge")
_discharge: Flow = attrgetter("discharge")
_car: Flow = attrgetter("car")
_heat: Flow = attrgetter("heat")
_east: Flow = attrgetter("sun_east")
_west: Flow = attrgetter("sun_west")
kitchen: Flow = attrgetter("kitchen")
"""Cooker, dishwasher and laundry."""
rest: Flow = attrgetter("rest")
"""Lights, electronics, fridge."""


class Kind(NamedTuple):
    """What the nodes of a kind have in common: their type, and what a measurement tells of them."""

    node_type: str
    measurement: str
    parts: tuple[Part, ...]
    policies: tuple[str, ...] = (SECOND, MINUTE)
    polled: bool = True
    """Whether the controller notes how long they take to answer."""
    by_serial: bool = False
    """Whether the series is known by a serial number in place of the node's id."""
    circuit: Flow | None = None
    """What is measured of the house, and so is none of the rest."""


def _powered(flow: Flow, phases: m.Phases, *others: Part) -> tuple[Part, ...]:
    return (m.power(flow, phases), m.electrical(phases), *others)


GRID_METER = Kind(
    "powerMeter",
    "submeteringMetrics",
    _powered(m.grid, m.grid_phases, m.energy(imported=_imported, exported=_exported)),
)
HYBRID_INVERTER = Kind(
    "hybridInverter",
    "hybridInverterMetrics",
    _powered(
        m.hybrid,
        m.balanced(m.hybrid),
        m.energy(imported=m.hybrid_import, exported=m.hybrid_export),
        m.inverter_setpoints(),
        m.inverter_state(),
    ),
)
SOLAR_INVERTER = Kind(
    "solarInverter",
    "solarInverterMetrics",
    _powered(m.sun, m.balanced(m.sun), m.energy(produced=m.sun), m.inverter_state()),
)
BATTERY = Kind(
    "battery",
    "batteryMetrics",
    (
        m.power(m.battery),
        m.battery_state(),
        m.energy(charged=_charge, discharged=_discharge),
        m.battery_health(),
    ),
    polled=False,
)
EV_CHARGER = Kind(
    "evCharger",
    "evChargerMetrics",
    _powered(
        _car,
        m.balanced(_car),
        m.energy(imported=_car, exported=m.nothing),
        m.car_state(),
    ),
    by_serial=True,
)
HEAT_PUMP = Kind(
    "heatPump",
    "heatPumpMetrics",
    (m.power(_heat, m.balanced(_heat)), m.energy(consumed=_heat), m.heat_state()),
    # It is slow to read
    policies=(MINUTE,),
)
EXTERNAL_SIGNAL = Kind(
    "externalSignal",
    "externalSignalMetrics",
    (m.signal(),),
    policies=(MINUTE,),
    polled=False,
)


def submeter(flow: Flow) -> Kind:
    """Return the kind of the meter of one circuit."""
    return Kind(
        "powerMeter",
        "submeteringMetrics",
        (
            m.power(flow),
            m.single_phase(flow),
            m.energy(imported=flow, exported=m.nothing),
        ),
        circuit=flow,
    )


def switched_load(node_type: str, flow: Flow) -> Kind:
    """Return the kind of a boiler or another load that the controller switches."""
    return Kind(
        node_type,
        f"{node_type}Metrics",
        (m.power(flow), m.energy(consumed=flow), m.switched_state(flow)),
        polled=False,
        circuit=flow,
    )


class SiteBuilder:
    """Adds nodes to a site, each with the metadata and series of its kind."""

    def __init__(
        self,
        site: Site,
        household: Household,
        *,
        database: str,
        ids: Iterable[int] | None = None,
        installed: datetime = COMMISSIONED - timedelta(days=12),
    ) -> None:
        """Begin with an empty site; `ids` are the numbers of its devices."""
        self.site = site
        self._household = household
        self._database = database
        self._ids = iter(count(1) if ids is None else ids)
        self._installed = installed
        self._other: list[Flow] = []

    @property
    def site_id(self) -> str:
        """Node id of the site itself."""
        return f"{self.site.serial}_site_0"

    def add(
        self,
        node_type: str,
        node_id: str,
        name: str,
        parent: ParentId,
        plate: Plate | None = None,
        *,
        series: Mapping[str, Iterable[Part]] | None = None,
        policies: Iterable[str] = (SECOND, MINUTE),
        ten_minutes: Mapping[str, Iterable[Part]] | None = None,
        tags: Mapping[str, str] | None = None,
        polled: bool = False,
    ) -> str:
        """Add a node below `parent`, which must be there already; return its id.

        The measurements of `series` are kept under each of `policies`, those of `ten_minutes` under
        their own alone.
        """
        tags = tags or {"nodeId": node_id}
        sorted_tags = tuple(sorted(tags.items()))
        metered = {
            SeriesKey(self._database, policy, measurement, sorted_tags): tuple(parts)
            for measurement, parts in (series or {}).items()
            for policy in policies
        } | {
            SeriesKey(self._database, TEN_MINUTES, measurement, sorted_tags): tuple(
                parts
            )
            for measurement, parts in (ten_minutes or {}).items()
        }
        if polled:
            key = SeriesKey(self._database, MINUTE, "getMeasStats", sorted_tags)
            metered = {key: (m.response_time(len(self.site.nodes)),), **metered}
        number = next(self._ids)
        touched = self._installed + timedelta(
            seconds=317.4 * len(self.site.nodes), milliseconds=number % 1000
        )
        device = {
            "id": number,
            "lastUpdate": touched.isoformat(timespec="milliseconds").replace(
                "+00:00", "Z"
            ),
            "properties": {
                "nodeId": node_id,
                "nodeType": node_type,
                "name": name,
                "nodeParentsIds": [parent] if parent else [],
                "nodeChildrenIds": [],
                "nodeInfluxSeries": [
                    {
                        "database": key.database,
                        "measurement": key.measurement,
                        "retentionPolicy": key.retention_policy,
                        "tags": dict(key.tags),
                        "fields": [name for part in parts for name in part.names],
                    }
                    for key, parts in metered.items()
                ],
                "info": self._info(plate),
            },
            "userRights": {
                "propertyEditabilities": dict(EDITABILITIES),
                "monitorManagement": True,
            },
        }
        for node in self.site.nodes:
            if node.node_id == parent:
                node.properties["nodeChildrenIds"].append(node_id)
        self.site.nodes.append(Node(node_id, device, metered))
        return node_id

    def _info(self, plate: Plate | None) -> dict[str, object]:
        if plate is None:
            return {}
        info: dict[str, object] = {
            "manufacturer": plate.manufacturer,
            "model": plate.model,
            "serialNumber": plate.serial,
        }
        if plate.power_w:
            info["nomPower_W"] = round(plate.power_w * self.site.scale, -1)
        if plate.capacity_wh:
            info["capacity_Wh"] = round(plate.capacity_wh * self.site.scale, -1)
        if plate.firmware:
            info["protocolDriverParameters"] = {"firmwareVersion": plate.firmware}
        return info

    def controller_and_site(self, name: str, plate: Plate) -> str:
        """Add the controller and its site; return the site's id."""
        household = self._household
        controller = self.add(
            "smartgridController",
            self.site.serial,
            f"Controller {name}".strip(),
            None,
            plate,
        )
        exchanged: dict[str, Flow] = {
            "imported": _imported,
            "exported": _exported,
            "produced": m.sun,
            "consumed": m.consumption,
        }
        if household.battery:
            exchanged |= {
                "childrenStorageCharged": _charge,
                "childrenStorageDischarged": _discharge,
            }
        return self.add(
            "smartgridControllerSite",
            self.site_id,
            name,
            controller,
            series={
                "installationMetrics": (
                    m.power(m.grid),
                    m.children(
                        storage=household.battery,
                        car=household.car,
                        other=self._unmetered,
                    ),
                    m.energy(counters=False, **exchanged),
                    m.site_state(),
                )
            },
        )

    def _unmetered(self, flows: Flows) -> float:
        metered = sum(flow(flows) for flow in self._other)
        return m.consumption(flows) - flows.car - flows.heat - metered

    def device(
        self,
        kind: Kind,
        node_id: str,
        name: str,
        parent: str,
        plate: Plate | None = None,
        *,
        ten_minutes: Mapping[str, Iterable[Part]] | None = None,
    ) -> str:
        """Add a node of some kind; return its id."""
        if kind.circuit is not None:
            self._other.append(kind.circuit)
        return self.add(
            kind.node_type,
            node_id,
            name,
            parent,
            plate,
            series={kind.measurement: kind.parts},
            policies=kind.policies,
            ten_minutes=ten_minutes,
            tags={"serialNr": plate.serial} if plate and kind.by_serial else None,
            polled=kind.polled,
        )

    def strings(
        self,
        node_id: Callable[[int], str],
        parent: str,
        inverter_serial: str,
        number: int,
    ) -> list[str]:
        """Add one to four strings of solar panels, which together are all of the sun's power."""
        nodes = []
        for index, (name, flow, peak) in enumerate(_STRINGS[number], start=1):
            nodes.append(
                self.add(
                    "solarString",
                    node_id(index),
                    name,
                    parent,
                    Plate(
                        "Heliakos",
                        "HK-410M",
                        f"{inverter_serial}-{index}",
                        power_w=peak * STRING_PEAK_W,
                    ),
                    series={
                        "solarStringMetrics": (
                            m.power(flow),
                            m.string_state(flow),
                            m.energy(produced=flow),
                        )
                    },
                    tags={"serialNr": inverter_serial, "stringNr": str(index)},
                )
            )
        return nodes


def ten_minute_sums() -> Part:
    """Energy of ten minutes at the grid meter, of the house behind it included."""
    return m.energy(
        counters=False,
        sum_imported=_imported,
        sum_exported=_exported,
        sum_childrenProduced=m.sun,
        sum_childrenConsumed=m.consumption,
        sum_autoconsumed=m.self_consumption,
    )


_STRINGS: dict[int, tuple[tuple[str, Flow, float], ...]] = {
    1: (("Solar roof", m.sun, 2.0),),
    2: (("Solar south-east", _east, 1.0), ("Solar south-west", _west, 1.0)),
    3: (
        ("Solar east low", m.share(_east, 0.4), 0.4),
        ("Solar east high", m.share(_east, 0.6), 0.6),
        ("Solar west", _west, 1.0),
    ),
    4: (
        ("Solar east low", m.share(_east, 0.4), 0.4),
        ("Solar east high", m.share(_east, 0.6), 0.6),
        ("Solar west low", m.share(_west, 0.5), 0.5),
        ("Solar west high", m.share(_west, 0.5), 0.5),
    ),
}
