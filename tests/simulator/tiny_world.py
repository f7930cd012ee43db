"""A world of two devices and a few series, small enough to know every value of it by heart."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from simulator.model import FieldValue, Row, SeriesKey

SECONDS = SeriesKey("tiny", "rp_one_s", "submeteringMetrics", (("nodeId", "meter"),))
MINUTES = SeriesKey("tiny", "rp_one_m", "submeteringMetrics", (("nodeId", "meter"),))
LEFT = SeriesKey(
    "tiny", "rp_one_s", "evChargerMetrics", (("nodeId", "left"), ("site", "s"))
)
RIGHT = SeriesKey(
    "tiny", "rp_one_s", "evChargerMetrics", (("nodeId", "right"), ("site", "s"))
)

INTERVALS = {SECONDS: 1_000, MINUTES: 60_000, LEFT: 1_000, RIGHT: 1_000}
FIELDS = {
    SECONDS: frozenset({"actualPowerTot_W", "frequency_Hz", "status", "phases"}),
    MINUTES: frozenset({"importedEnergyDeltaTot_Wh"}),
    LEFT: frozenset({"actualPowerTot_W"}),
    RIGHT: frozenset({"actualPowerTot_W"}),
}


def _values(series: SeriesKey, number: int) -> dict[str, FieldValue]:
    """Return the fields of the row with a number, counted from 1970."""
    if series == MINUTES:
        return {"importedEnergyDeltaTot_Wh": 2.5}
    if series in (LEFT, RIGHT):
        return {"actualPowerTot_W": 1.0 if series == LEFT else 2.0}
    values: dict[str, FieldValue] = {
        "actualPowerTot_W": float(number % 60),
        "phases": 3,
    }
    if number % 5 == 0:
        values["frequency_Hz"] = 50.25
    if number % 30 == 0:
        values["status"] = "idle"
    return values


class TinyWorld:
    """Rows on every multiple of a series' interval, since 2026-01-01."""

    begin_ms = 1_767_225_600_000

    def devices(self, now: datetime) -> Sequence[dict[str, Any]]:
        """Return a site and a meter."""
        return [
            {
                "id": 1,
                "lastUpdate": "2026-01-01T00:00:00.000Z",
                "properties": {
                    "nodeId": "site_0",
                    "nodeType": "smartgridControllerSite",
                    "name": "Home",
                    "companyId": 7,
                },
                "userRights": {
                    "propertyEditabilities": {"name": True},
                    "monitorManagement": False,
                },
            },
            {
                "id": 2,
                "lastUpdate": "2026-01-02T00:00:00.000Z",
                "properties": {
                    "nodeId": "meter",
                    "nodeType": "powerMeter",
                    "name": "Grid",
                    "nodeParentsIds": ["site_0"],
                    "info": {"manufacturer": "Acme", "nomPower_W": 9000},
                    "isActive": False,
                },
                "userRights": {
                    "propertyEditabilities": {
                        "name": True,
                        "info": True,
                        "nodeType": False,
                    },
                    "monitorManagement": True,
                },
            },
        ]

    def companies(self) -> Sequence[dict[str, Any]]:
        """Return one company."""
        return [{"id": 7, "name": "Tiny"}]

    def series(self) -> Iterable[SeriesKey]:
        """Return all series."""
        return INTERVALS

    def fields(self, series: SeriesKey) -> frozenset[str]:
        """Return the names of the fields of a series."""
        return FIELDS.get(series, frozenset())

    def interval_ms(self, series: SeriesKey) -> int:
        """Return the distance of two rows."""
        return INTERVALS[series]

    def rows(
        self,
        series: SeriesKey,
        fields: frozenset[str],
        start_ms: int,
        end_ms: int,
        *,
        newest: int | None = None,
    ) -> Sequence[Row]:
        """Return the rows of a range."""
        interval = INTERVALS[series]
        first = -(-max(start_ms, self.begin_ms) // interval)
        last = -(-end_ms // interval)
        rows: list[Row] = []
        for number in reversed(range(first, last)):
            if newest is not None and len(rows) == newest:
                break
            values = _values(series, number)
            if kept := {
                name: value for name, value in values.items() if name in fields
            }:
                rows.append(Row(number * interval, kept))
        return rows[::-1]
