"""What electricity costs by the hour, and from when on that is known: a day ahead, from 13:00 on."""

from datetime import datetime, timedelta
from functools import cache
from random import Random
from typing import Final
from zoneinfo import ZoneInfo

from .measurements import Instant, Part

PLANNING: Final = "planning"

_ZONE: Final = ZoneInfo("Europe/Brussels")
_KNOWN_FROM: Final = 13
"""Hour of the local day at which the prices of the next day appear."""

_SPOT: Final = (
    *(0.082, 0.078, 0.075, 0.074, 0.077, 0.088, 0.112, 0.131, 0.124, 0.093, 0.061, 0.034),
    *(0.018, 0.009, 0.012, 0.031, 0.066, 0.108, 0.147, 0.168, 0.151, 0.124, 0.104, 0.091),
)  # fmt: skip
"""EUR/kWh by hour of the local day."""


def known_until_s(now_s: float) -> int:
    """Return the Unix time up to which prices are known: the end of a local day."""
    now = datetime.fromtimestamp(now_s, _ZONE)
    day = now.date() + timedelta(days=2 if now.hour >= _KNOWN_FROM else 1)
    return int(datetime.combine(day, datetime.min.time(), _ZONE).timestamp())


def prices() -> Part:
    """Prices of the hour that begins: what is paid, taxes and fees included, and what is earned."""

    def fill(instant: Instant) -> dict[str, float | int | bool | str]:
        now = datetime.fromtimestamp(instant.time_s, _ZONE)
        spot = _SPOT[now.hour] * _mood(now.toordinal()) - 0.012
        return {
            "buyPrice_perkWh": round(1.06 * (spot + 0.135), 5),
            "sellPrice_perkWh": round(0.95 * spot - 0.008, 5),
        }

    return Part(fill, every_s=3600)


def is_dear(time_s: int) -> bool:
    """Tell whether the hour is one of the three dearest of its local day."""
    hour = datetime.fromtimestamp(time_s, _ZONE).hour
    return _SPOT[hour] >= sorted(_SPOT)[-3]


@cache
def _mood(day: int) -> float:
    """Return by how much a day is dearer than others."""
    return Random(f"prices/{day}").uniform(0.7, 1.5)
