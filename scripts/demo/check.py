"""Whether the demo works: values come in, points go out, the log is clean."""

import asyncio
from pathlib import Path
from typing import Any

from . import log, steps
from .cloud import Cloud
from .config_dir import ROOT
from .errors import DemoError
from .home_assistant import HomeAssistant

PATIENCE = 90.0
MIN_VALUES = 10
# Changes every five seconds, so one point would mean that the export stopped after the first
MOVING = "sensor.demo_p1_power"
# With which the form finds out who answers behind an address that is not the usual one
_KNOCKS = {("GET /", "404"), ("POST /v1/telemetry", "401")}


async def watch(home: HomeAssistant, cloud: Cloud) -> str:
    """Wait until both directions work, and return what was seen."""
    missing: list[str] = []
    seen: list[str] = []
    try:
        async with asyncio.timeout(PATIENCE):
            while True:
                seen_in, missing_in = await _imported(home)
                seen_out, missing_out = await _exported(cloud)
                seen, missing = [seen_in, seen_out], [*missing_in, *missing_out]
                if not missing:
                    break
                await asyncio.sleep(1)
    except TimeoutError:
        raise DemoError(
            "\n  ".join([f"after {PATIENCE:.0f} s there is missing:", *missing])
        ) from None
    counts = (await cloud.get("requests", limit="0"))["counts"]
    seen.append(f"Requests: {_requests(counts)}")
    if refused := [
        f"{call}: {status}"
        for call, statuses in counts.items()
        for status in statuses
        if not status.startswith("2") and (call, status) not in _KNOCKS
    ]:
        raise DemoError("\n".join([*seen, f"refused requests: {', '.join(refused)}"]))
    return "\n".join(seen)


async def _imported(home: HomeAssistant) -> tuple[str, list[str]]:
    devices = await steps.imported(home)
    entity_ids = [entity_id for group in devices.values() for entity_id in group]
    states = {
        state["entity_id"]: state["state"] for state in await home.get("/api/states")
    }
    dead = [item for item in entity_ids if states.get(item) in (None, "unavailable")]
    unknown = [item for item in entity_ids if states.get(item) == "unknown"]
    values = len(entity_ids) - len(dead) - len(unknown)
    seen = f"Imported: {len(entity_ids)} entities of {len(devices)} devices, {values} with a value"
    if unknown:
        seen += f"; unknown: {', '.join(unknown)}"
    missing = [f"a value of {item}: {states.get(item, 'no state')}" for item in dead]
    if values < MIN_VALUES:
        missing.append(f"values of imported entities: {values} of {MIN_VALUES}")
    return seen, missing


async def _exported(cloud: Cloud) -> tuple[str, list[str]]:
    series = {
        "database": steps.DATABASE,
        "retention_policy": steps.RETENTION_POLICY,
        "measurement": steps.MEASUREMENT,
        **{f"tag.{key}": value for key, value in steps.TAGS.items()},
    }
    totals: dict[str, int] = {}
    missing: list[str] = []
    for entity_id, field in steps.EXPORTED.items():
        answer = await cloud.get("points", **series, field=field, limit="0")
        totals[field] = answer["total"]
        if answer["total"] < (3 if entity_id == MOVING else 1):
            missing.append(f"points of {entity_id} in {field}: {answer['total']}")
    shown = ", ".join(f"{field} {total}" for field, total in totals.items())
    return f"Exported points: {shown}", missing


def _requests(counts: dict[str, dict[str, Any]]) -> str:
    return ", ".join(
        f"{call} {status}×{count}"
        for call, statuses in counts.items()
        for status, count in statuses.items()
    )


def judge_log(path: Path) -> str:
    """Raise for a warning or an error of ours in Home Assistant's log; tell of others."""
    found = log.complaints(path, ROOT)
    if ours := [item.text for item in found if item.ours]:
        raise DemoError(
            "\n".join([f"warnings or errors of ours in the log: {len(ours)}", *ours])
        )
    others = sorted({item.logger for item in found})
    return f"Log: nothing of ours; of others: {', '.join(others) or 'nothing'}"
