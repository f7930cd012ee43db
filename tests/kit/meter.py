"""A meter that the tests add to the demo home, with fields and values as they please."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from homeassistant.util import dt as dt_util
from simulator.model import FieldValue, SeriesKey
from simulator.server import Simulator
from simulator.store import IncomingPoint
from simulator.timestamps import datetime_to_ns
from simulator.world import HomeWorld

METER = "meter-7"
METER_SERIES = SeriesKey(
    HomeWorld.DATABASE, "rp_one_m", "submeteringMetrics", (("nodeId", METER),)
)


def add_meter(
    simulator: Simulator,
    *fields: str,
    name: str | None = "Shed",
    number: int = 90_001,
    measurements: tuple[str, ...] = (METER_SERIES.measurement,),
    info: Mapping[str, Any] | None = None,
) -> None:
    """Add a meter to the home's account, the values of which `write` gives."""
    simulator.devices.add(
        {
            "id": number,
            "lastUpdate": dt_util.utcnow().isoformat(),
            "properties": {
                "nodeId": METER,
                "nodeType": "powerMeter",
                "name": name,
                "nodeParentsIds": [HomeWorld.SITE],
                "nodeInfluxSeries": [
                    {
                        "database": METER_SERIES.database,
                        "retentionPolicy": METER_SERIES.retention_policy,
                        "measurement": measurement,
                        "tags": dict(METER_SERIES.tags),
                        "fields": list(fields),
                    }
                    for measurement in measurements
                ],
                "info": dict(info or {}),
            },
        }
    )


def write(
    simulator: Simulator,
    fields: Mapping[str, FieldValue],
    ago: timedelta = timedelta(seconds=1),
    measurement: str = METER_SERIES.measurement,
) -> None:
    """Let the meter have measured something."""
    time_ns = datetime_to_ns(dt_util.utcnow() - ago)
    series = METER_SERIES._replace(measurement=measurement)
    simulator.store.write([IncomingPoint(series, time_ns, dict(fields))])
