"""One node with series of a test's own, and rows as it pleases."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from simulator.model import FieldValue, SeriesKey
from simulator.server import Simulator
from simulator.store import IncomingPoint
from simulator.timestamps import datetime_to_ns
from simulator.world import HomeWorld

NOW = datetime(2026, 7, 15, 11, 2, 30, tzinfo=UTC)


SECOND, MINUTE, HOUR = (timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1))


NODE = "meter-7"


POWER, FREQUENCY = "actualPowerTot_W", "frequency_Hz"


def series(policy: str, measurement: str = "submeteringMetrics") -> SeriesKey:
    """Return a series of the only node."""
    return SeriesKey(HomeWorld.DATABASE, policy, measurement, (("nodeId", NODE),))


def only(simulator: Simulator, *all_series: SeriesKey, fields: Iterable[str]) -> None:
    """Let the account have one node with some series, which have no rows yet."""
    for device in simulator.world.devices(NOW):
        simulator.devices.hide(device["id"])
    simulator.switches.namespaces |= {
        (each.database, each.retention_policy) for each in all_series
    }
    simulator.devices.add(
        {
            "id": 90_001,
            "lastUpdate": NOW.isoformat(),
            "properties": {
                "nodeId": NODE,
                "nodeType": "powerMeter",
                "nodeInfluxSeries": [
                    {
                        "database": each.database,
                        "retentionPolicy": each.retention_policy,
                        "measurement": each.measurement,
                        "tags": dict(each.tags),
                        "fields": list(fields),
                    }
                    for each in all_series
                ],
            },
        }
    )


def write(
    simulator: Simulator, key: SeriesKey, moment: datetime, **fields: FieldValue
) -> None:
    """Store a row."""
    simulator.store.write([IncomingPoint(key, datetime_to_ns(moment), fields)])
