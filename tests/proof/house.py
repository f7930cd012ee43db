"""The house of the simulated day: a hundred entities, and the exports that send them."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
import random
from typing import Any

from .oracle import FieldKey, Meaning, Rule, number, on_off, word

COLLECTOR = "demo-ingress"
SECONDS = (COLLECTOR, "demo", "rp_one_s")
MINUTES = (COLLECTOR, "demo", "rp_one_m")
SECOND_HOUSE = ("second-ingress", "second", "rp_one_m")

REFUSED = "refused"

type Draw = Callable[[random.Random], str]


@dataclass(frozen=True)
class Kind:
    """What entities of one kind show, and what that means in the unit of their field."""

    domain: str
    unit: str | None
    suffix: str
    meaning: Meaning
    draw: Draw
    attribute: str | None = None


def _round(low: float, high: float, digits: int) -> Draw:
    return lambda source: str(round(source.uniform(low, high), digits))


def _of(*states: str) -> Draw:
    return lambda source: source.choice(states)


POWER_KW = Kind("sensor", "kW", "_W", number(1000.0), _round(-9, 9, 3))
POWER_W = Kind("sensor", "W", "_W", number(), _round(-9000, 9000, 1))
ENERGY = Kind("sensor", "kWh", "_Wh", number(1000.0), _round(0, 50_000, 4))
CHARGE = Kind("sensor", "%", "_frac", number(0.01), _round(0, 100, 1))
CURRENT = Kind("sensor", "mA", "_A", number(0.001), _round(0, 25_000, 0))
WARMTH = Kind("sensor", "°F", "_degC", number(5 / 9, -32.0), _round(40, 180, 1))
SETPOINT = Kind("input_number", None, "", number(), _round(0, 10, 2))
CONTACT = Kind("binary_sensor", None, "", on_off, _of("on", "off"))
RELAY = Kind("switch", None, "", on_off, _of("on", "off"))
MODE = Kind("sensor", None, "", word, _of("idle", "charging", "naïve “mode”", "off"))
ROOM = Kind(
    "climate",
    None,
    "_degC",
    number(),
    _round(15, 25, 1),
    attribute="current_temperature",
)
MIXED = Kind("sensor", None, "", word, _of("auto", "manual", "auto", "7.5"))
"""Words of which one looks like a number: it stays a word, or the service would refuse it."""


@dataclass(frozen=True)
class Plan:
    """One export."""

    name: str
    target: tuple[str, str, str]
    measurement: str
    rule: Rule
    entities: tuple[tuple[Kind, int], ...]

    @property
    def tags(self) -> dict[str, str]:
        """The tags of its series."""
        return {"serialNr": f"day {self.name}", "site": "naïve, = house"}

    def data(self, references: dict[str, str]) -> dict[str, Any]:
        """Return what the flow of an export would have saved."""
        rule = self.rule
        when: dict[str, Any] = {"mode": "change", "shortest": _seconds(rule.shortest)}
        if rule.interval is not None:
            when = {
                "mode": "interval",
                "interval": int(rule.interval.total_seconds()),
                "aggregate": rule.aggregate,
            }
        collector, database, retention_policy = self.target
        rows: list[dict[str, str]] = []
        for followed in self.followed():
            row = {"entity": references[followed.entity], "field": followed.key.field}
            if followed.kind.attribute:
                row["attribute"] = followed.kind.attribute
            rows.append(row)
        return {
            "collector": collector,
            "database": database,
            "retention_policy": retention_policy,
            "measurement": self.measurement,
            "tags": self.tags,
            "fields": rows,
            **when,
            "heartbeat": _seconds(rule.heartbeat),
        }

    def followed(self) -> "list[Followed]":
        """Return its entities with the fields that they become."""
        _, database, retention_policy = self.target
        return [
            Followed(
                f"{kind.domain}.{self.name}_{place}_{index}",
                kind,
                FieldKey(
                    database,
                    retention_policy,
                    self.measurement,
                    tuple(sorted(self.tags.items())),
                    f"{self.name}{place}x{index}{kind.suffix}",
                ),
            )
            for place, (kind, count) in enumerate(self.entities)
            for index in range(count)
        ]


@dataclass(frozen=True)
class Followed:
    """An entity by the name that it has first, its kind and its field."""

    entity: str
    kind: Kind
    key: FieldKey


def _seconds(time: timedelta) -> float:
    return time.total_seconds()


def _s(seconds: int) -> timedelta:
    return timedelta(seconds=seconds)


PLANS = (
    Plan(
        "fast",
        SECONDS,
        "submeteringMetrics",
        Rule(),
        ((POWER_KW, 12), (POWER_W, 8), (SETPOINT, 4), (ROOM, 2)),
    ),
    Plan(
        "spaced",
        SECONDS,
        "submeteringMetrics",
        Rule(shortest=_s(45)),
        ((CURRENT, 8), (WARMTH, 2)),
    ),
    Plan("beating", SECONDS, "batteryMetrics", Rule(heartbeat=_s(300)), ((CHARGE, 8),)),
    Plan("states", SECONDS, "stateMetrics", Rule(), ((CONTACT, 6), (RELAY, 4))),
    Plan("words", SECOND_HOUSE, "stateMetrics", Rule(), ((MODE, 6), (MIXED, 1))),
    Plan(
        "counters",
        MINUTES,
        "gridMetrics",
        Rule(interval=_s(60)),
        ((ENERGY, 6), (CONTACT, 1), (MODE, 1)),
    ),
    Plan(
        "means",
        MINUTES,
        "gridMetrics",
        Rule(interval=_s(60), aggregate="mean"),
        ((POWER_KW, 8),),
    ),
    Plan(
        "lows",
        SECOND_HOUSE,
        "gridMetrics",
        Rule(interval=_s(300), aggregate="min"),
        ((POWER_W, 6),),
    ),
    Plan(
        "highs",
        SECOND_HOUSE,
        "gridMetrics",
        Rule(interval=_s(300), aggregate="max"),
        ((POWER_W, 6),),
    ),
    Plan(
        "calm",
        MINUTES,
        "boilerMetrics",
        Rule(interval=_s(60), heartbeat=_s(900)),
        ((CHARGE, 5), (WARMTH, 3)),
    ),
    Plan(REFUSED, MINUTES, "refusedMetrics", Rule(shortest=_s(600)), ((POWER_W, 3),)),
)
"""The service has the fields of `refused` with another type: they wait until that ends."""
