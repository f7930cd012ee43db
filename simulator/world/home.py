"""One home with everything: solar panels, battery, car, heat pump."""

from collections.abc import Sequence
import time
from typing import Any

from .metered import MeteredWorld
from .plant import Calendar, Plant
from .prices import PLANNING, prices
from .profile import BATTERY_CAPACITY_WH, BATTERY_POWER_W, Household, Patterns
from .site import (
    BATTERY,
    EV_CHARGER,
    GRID_METER,
    HEAT_PUMP,
    HYBRID_INVERTER,
    Plate,
    Site,
    SiteBuilder,
    kitchen,
    submeter,
    ten_minute_sums,
)

_SERIAL = "SGC2211-004187"


class HomeWorld(MeteredWorld):
    """A detached house in Belgium with one controller, and metadata without a flaw."""

    CONTROLLER = _SERIAL
    SITE = f"{_SERIAL}_site_0"
    SWITCHBOARD = f"{_SERIAL}_switchboard_0"
    GRID_METER = "metrova_em340_MV34019287"
    HYBRID_INVERTER = "solvento_hy10t_SV10T2208417"
    BATTERY = f"{HYBRID_INVERTER}_battery"
    STRING_EAST = f"{HYBRID_INVERTER}_string_1"
    STRING_WEST = f"{HYBRID_INVERTER}_string_2"
    EV_CHARGER = "laadwijs_duo11_LW11-77120"
    HEAT_PUMP = "thermidor_aw8_TA8-30551"
    KITCHEN_METER = "metrova_em110_MV11055102"
    DATABASE = "sgc2211004187"

    def __init__(self, seed: int = 1) -> None:
        """Furnish the house; `seed` decides on weather and habits."""
        household = Household()
        site = Site(_SERIAL, Plant(Patterns(seed), Calendar(seed), household))
        builder = SiteBuilder(
            site, household, database=self.DATABASE, ids=range(37_142, 37_200)
        )
        builder.controller_and_site(
            "Home", Plate("Eniris", "SmartgridOne", _SERIAL, "2.14.3")
        )
        builder.device(
            GRID_METER,
            self.GRID_METER,
            "Grid meter",
            self.SITE,
            Plate("Metrova", "EM340", "MV34019287", "1.9"),
            ten_minutes={
                "submeteringMetrics": (ten_minute_sums(),),
                PLANNING: (prices(),),
            },
        )
        inverter = Plate(
            "Solvento", "HY-10T", "SV10T2208417", "5.02.11", power_w=10_000
        )
        builder.device(
            HYBRID_INVERTER,
            self.HYBRID_INVERTER,
            "Hybrid inverter",
            self.SITE,
            inverter,
        )
        builder.device(
            BATTERY,
            self.BATTERY,
            "Battery",
            self.HYBRID_INVERTER,
            Plate(
                "Solvento",
                "LFP Stack 10",
                "SVB2208-9913",
                "1.31",
                BATTERY_POWER_W,
                BATTERY_CAPACITY_WH,
            ),
        )
        builder.strings(
            {1: self.STRING_EAST, 2: self.STRING_WEST}.__getitem__,
            self.HYBRID_INVERTER,
            inverter.serial,
            2,
        )
        builder.add("switchboard", self.SWITCHBOARD, "Main switchboard", self.SITE)
        builder.device(
            EV_CHARGER,
            self.EV_CHARGER,
            "Charge point",
            self.SWITCHBOARD,
            Plate("Laadwijs", "Duo 11", "LW11-77120", "3.4.0", power_w=11_040),
        )
        builder.device(
            HEAT_PUMP,
            self.HEAT_PUMP,
            "Heat pump",
            self.SWITCHBOARD,
            Plate("Thermidor", "AW-8", "TA8-30551", "0.98b", power_w=2_500),
        )
        builder.device(
            submeter(kitchen),
            self.KITCHEN_METER,
            "Kitchen and laundry",
            self.SWITCHBOARD,
            Plate("Metrova", "EM110", "MV11055102", "1.2"),
        )
        super().__init__([site], _now_s)

    def companies(self) -> Sequence[dict[str, Any]]:
        """Return the installer."""
        return [
            {
                "id": 1204,
                "uuid": "0c4f2a5e-7d3b-4e0c-9a57-4a1f2b9d6e11",
                "name": "Zonnedak Installaties",
            }
        ]


def _now_s() -> float:
    """Return the present, looked up at each call so that tests can freeze it."""
    return time.time()
