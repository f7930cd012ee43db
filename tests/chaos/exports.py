"""What the run exports: which meters become which fields of which series, and when."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Literal

METERS: Final = "chaos_meters"
"""The component that sets the values, in a folder of the same name."""

COLLECTOR: Final = "demo-ingress"
DATABASE: Final = "demo"
OTHER_DATABASE: Final = "chaos"
TAGS: Final = {"source": "chaos"}

type Aggregate = Literal["last", "mean"]


@dataclass(frozen=True)
class Exported:
    """An export with meters of its own; on change unless it has an interval."""

    name: str
    measurement: str
    retention_policy: str
    power: int
    words: int = 0
    shortest: timedelta = timedelta()
    interval: timedelta | None = None
    aggregate: Aggregate = "last"
    switched: bool = False
    """Whether its switch is turned off and on in a run."""
    database: str = DATABASE
    past: bool = False
    """Whether it is off, and sends what the recorder has, in the ranges that are asked for."""

    @property
    def fields(self) -> dict[str, str]:
        """The fields by entity id."""
        stem = self.measurement.removeprefix("chaos").lower()
        return {
            f"sensor.chaos_{stem}_power_{n}": f"{stem}Power{n}_W"
            for n in range(self.power)
        } | {
            f"sensor.chaos_{stem}_word_{n}": f"{stem}Word{n}" for n in range(self.words)
        }

    @property
    def every_value(self) -> bool:
        """Whether each single value is due."""
        return self.interval is None and not self.shortest and not self.past


EXPORTS: Final = (
    Exported("Chaos change", "chaosChange", "rp_one_s", power=16, words=4),
    # To another target, so that two uploads are under way at once
    Exported("Chaos switched", "chaosSwitched", "rp_one_m", power=8, switched=True),
    Exported(
        "Chaos shortest",
        "chaosShortest",
        "rp_one_s",
        power=6,
        shortest=timedelta(seconds=2),
    ),
    Exported(
        "Chaos last", "chaosLast", "rp_one_s", power=5, interval=timedelta(seconds=2)
    ),
    Exported(
        "Chaos mean",
        "chaosMean",
        "rp_one_m",
        power=5,
        interval=timedelta(seconds=2),
        aggregate="mean",
    ),
    # To targets that faults strike alone; in the first of them the present and the past take turns
    Exported(
        "Chaos beside", "chaosBeside", "rp_one_s", power=4, database=OTHER_DATABASE
    ),
    Exported(
        "Chaos past",
        "chaosPast",
        "rp_one_s",
        power=4,
        database=OTHER_DATABASE,
        past=True,
    ),
    Exported(
        "Chaos elsewhere",
        "chaosElsewhere",
        "rp_one_m",
        power=4,
        database=OTHER_DATABASE,
        past=True,
    ),
)
