"""Many sites on one account, as an installer sees them: of all sizes, and not all in good order."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import count
from random import Random
import time
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from .disorder import disturb
from .measurements import share
from .metered import MeteredWorld
from .plant import COMMISSIONED, Calendar, Plant
from .profile import BATTERY_CAPACITY_WH, BATTERY_POWER_W, Household, Patterns
from .site import (
    BATTERY,
    EV_CHARGER,
    EXTERNAL_SIGNAL,
    GRID_METER,
    HEAT_PUMP,
    HYBRID_INVERTER,
    SOLAR_INVERTER,
    Backlog,
    Plate,
    Site,
    SiteBuilder,
    kitchen,
    rest,
    submeter,
    switched_load,
)

_REGIONS = 3
_HOUSEHOLDS = (
    Household(),
    Household(car=False),
    Household(heat_pump=False),
    Household(battery=False),
    Household(battery=False, car=False, heat_pump=False),
)
_COMPANIES = ("Zonnedak Installaties", "Énergie du Midi", "Voltwerk")
_PLACES = (
    "Hoeve",
    "Bakkerij",
    "Villa",
    "Atelier",
    "Boerderij",
    "Kantoor",
    "École",
    "Garage",
)
_KEEPERS = (
    "De Smet",
    "Lefèbvre",
    "Peeters",
    "Müller",
    "Ølgaard",
    "Żukowski",
    "Janssens",
    "O’Brien",
)
_EXTRA_METERS = (("Lighting", 0.3), ("Office", 0.25), ("Cold store", 0.2))
_DAY_S = 86_400
_LATE_EVERY, _SILENT_EVERY = 7, 25
"""One site in so many uploads late, or has fallen silent for good."""


class FleetWorld(MeteredWorld):
    """Sites that share a few households, each with its own size, hour and region.

    `clock` (Unix seconds) tells which backlogs are not uploaded yet; give it where the service's
    clock is not the machine's. `disordered` maps device ids to what is wrong with their metadata.
    """

    def __init__(
        self, sites: int, seed: int = 1, *, clock: Callable[[], float] = time.time
    ) -> None:
        """Furnish `sites` sites; `seed` decides on everything."""
        patterns = Patterns(seed)
        calendars = [Calendar(seed, region) for region in range(_REGIONS)]
        plants = {
            (household, region): Plant(patterns, calendar, household)
            for household in _HOUSEHOLDS
            for region, calendar in enumerate(calendars)
        }
        ids = count(50_001)
        built = []
        for number in range(sites):
            random = Random(f"{seed}/site/{number}")
            household = random.choice(_HOUSEHOLDS)
            plant = plants[household, random.randrange(_REGIONS)]
            built.append(_build_site(number, random, household, plant, ids))
        super().__init__(built, clock)
        self.disordered = disturb(built, Random(f"{seed}/disorder"))

    def companies(self) -> Sequence[dict[str, Any]]:
        """Return the companies; one of them has no uuid, as older ones have none."""
        companies: list[dict[str, Any]] = [
            {"id": 1300 + number, "uuid": str(uuid5(NAMESPACE_URL, name)), "name": name}
            for number, name in enumerate(_COMPANIES)
        ]
        del companies[-1]["uuid"]
        return companies


def _build_site(
    number: int, random: Random, household: Household, plant: Plant, ids: Iterator[int]
) -> Site:
    serial = f"SGC{random.randrange(2301, 2313)}-{number:06}"
    site = Site(
        serial,
        plant,
        # From a flat to a farm
        scale=round(0.4 * 12 ** random.random() ** 2, 2),
        delay_min=random.randrange(25),
    )
    if number % _LATE_EVERY == 3:
        # Of several late sites, some are behind at any time
        site.backlog = Backlog(
            period_s=2 * _DAY_S,
            offset_s=random.randrange(2 * _DAY_S),
            length_s=random.randrange(6, 31) * 3600,
        )
    if number % _SILENT_EVERY == 12:
        days = random.randrange(200, 700)
        site.last_s = int(COMMISSIONED.timestamp()) + days * _DAY_S
    database = ("zonnedak", "midi", "voltwerk")[number % len(_COMPANIES)]
    builder = SiteBuilder(site, household, database=database, ids=ids)
    name = f"{random.choice(_PLACES)} {random.choice(_KEEPERS)}"
    parent = builder.controller_and_site(
        name, Plate("Eniris", "SmartgridOne", serial, f"2.{random.randrange(9, 15)}.0")
    )
    named = partial("{}_{}".format, serial)
    plate = partial(_plate, serial)
    builder.device(
        GRID_METER,
        named("grid"),
        "Grid meter",
        parent,
        plate("Metrova", "EM340", "G", "1.9"),
    )
    inverter = plate("Solvento", "HY-10T", "I", "5.02.11", power_w=10_000)
    if household.battery:
        roof = builder.device(
            HYBRID_INVERTER, named("hybrid"), "Hybrid inverter", parent, inverter
        )
        stack = plate("Solvento", "LFP Stack 10", "B", "1.31", power_w=BATTERY_POWER_W)
        builder.device(
            BATTERY,
            named("battery"),
            "Battery",
            roof,
            stack._replace(capacity_wh=BATTERY_CAPACITY_WH),
        )
    else:
        roof = builder.device(
            SOLAR_INVERTER, named("solar"), "Solar inverter", parent, inverter
        )
    builder.strings(
        lambda index: f"{roof}_string_{index}",
        roof,
        inverter.serial,
        random.randrange(1, 5),
    )
    if random.random() < 0.5:
        parent = builder.add("switchboard", named("board"), "Switchboard", parent)
    if household.car:
        builder.device(
            EV_CHARGER,
            named("car"),
            "Charge point",
            parent,
            plate("Laadwijs", "Duo 11", "C", "3.4.0", power_w=11_040),
        )
    if household.heat_pump:
        builder.device(
            HEAT_PUMP,
            named("heat"),
            "Heat pump",
            parent,
            plate("Thermidor", "AW-8", "H", "0.98b", power_w=2_500),
        )
    builder.device(
        submeter(kitchen),
        named("kitchen"),
        "Kitchen",
        parent,
        plate("Metrova", "EM110", "K", "1.2"),
    )
    for index, (label, part) in enumerate(_EXTRA_METERS[: random.randrange(3)]):
        builder.device(
            submeter(share(rest, part)),
            named(f"meter_{index}"),
            label,
            parent,
            plate("Metrova", "EM110", f"M{index}", "1.2"),
        )
    for node_type, label in (("boiler", "Boiler"), ("switchedLoad", "Pool pump")):
        if random.random() < 0.15:
            builder.device(
                switched_load(node_type, share(rest, 0.12)),
                named(node_type),
                label,
                parent,
                plate("Schakel", "R16", node_type[0].upper(), "4"),
            )
    if random.random() < 0.15:
        builder.device(
            EXTERNAL_SIGNAL, named("signal"), "Grid operator's relay", parent
        )
    return site


def _plate(
    serial: str,
    manufacturer: str,
    model: str,
    letter: str,
    firmware: str,
    *,
    power_w: float | None = None,
) -> Plate:
    """Return a plate whose serial number follows the controller's."""
    return Plate(
        manufacturer, model, f"{letter}{serial[3:]}", firmware, power_w=power_w
    )
