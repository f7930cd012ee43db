"""The demo's dashboard: what a home is about first, the plumbing last."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from homeassistant.const import MAJOR_VERSION
from simulator.accounts import demo_accounts

from . import steps
from .home_assistant import HomeAssistant

PATH = "eniris-demo"
HOME = "Home"
GRID = "Grid meter"
BATTERY = "Battery"

_ACCOUNTS = ", ".join(
    f"`{account.username}`"
    for account in demo_accounts()
    if account.password is not None
)

TO_TRY = (
    f"- accounts: {_ACCOUNTS}; every password is `{steps.ACCOUNT['password']}`\n"
    f"- data exports: collector `{steps.COLLECTOR}`, database `{steps.DATABASE}`, retention policy"
    f" `{steps.RETENTION_POLICY}`"
)
"""What forms can be filled in with, in Markdown."""


class Entity(NamedTuple):
    """An entity of the integration, with its name as the page of its device has it."""

    device: str
    key: str
    """Of its translation; the platform of one that has none."""
    entity_id: str
    name: str


async def ensure_dashboard(home: HomeAssistant, cloud: str) -> None:
    """Show what goes in and out on a page of its own, unless there is one; `cloud` is the simulator's address."""
    known = await home.call("lovelace/dashboards/list")
    if any(item["url_path"] == PATH for item in known):
        return
    config = {"views": views(await _entities(home), cloud)}
    await home.call(
        "lovelace/dashboards/create",
        url_path=PATH,
        title="Eniris demo",
        icon="mdi:home-lightning-bolt",
        show_in_sidebar=True,
        require_admin=False,
        mode="storage",
    )
    await home.call("lovelace/config/save", url_path=PATH, config=config)


async def _entities(home: HomeAssistant) -> list[Entity]:
    """Return the entities that are enabled."""
    devices = {
        device["id"]: device["name_by_user"] or device["name"]
        for device in await home.call("config/device_registry/list")
    }
    return [
        Entity(
            devices[entity["device_id"]],
            entity["translation_key"] or entity["entity_id"].partition(".")[0],
            entity["entity_id"],
            entity["name"] or entity["original_name"],
        )
        for entity in await home.call("config/entity_registry/list")
        if entity["platform"] == "eniris" and entity["disabled_by"] is None
    ]


def views(entities: Iterable[Entity], cloud: str) -> list[dict[str, Any]]:
    """Return the pages: of the home, and of all that there is by device."""
    by_device: dict[str, list[Entity]] = {}
    for entity in sorted(entities, key=lambda its: its.name):
        by_device.setdefault(entity.device, []).append(entity)
    of: dict[str, dict[str, Entity]] = {
        device: {its.key: its for its in found} for device, found in by_device.items()
    }
    return [
        {
            "title": "Home",
            "path": "home",
            "type": "sections",
            "max_columns": 3,
            "sections": [
                {"type": "grid", "column_span": 2, "cards": _power(of)},
                {"type": "grid", "cards": _battery_and_prices(of)},
                {"type": "grid", "cards": _energy()},
                {
                    "type": "grid",
                    "column_span": 2,
                    "cards": _plumbing(by_device, cloud),
                },
            ],
        },
        {
            "title": "All devices",
            "path": "devices",
            "cards": [
                {
                    "type": "entities",
                    "title": device,
                    "entities": [_row(its) for its in by_device[device]],
                }
                for device in sorted(by_device)
            ],
        },
    ]


def _power(of: Mapping[str, Mapping[str, Entity]]) -> list[dict[str, Any]]:
    shown = [
        of[HOME][f"{key}_power"]
        for key in ("grid", "produced", "consumed", "storage", "ev")
    ]
    live = [
        entity for key, entity in of[steps.CONTROLLER].items() if key.endswith("_power")
    ]
    # Older ones have no card of power that flows
    flow = (
        [{"type": "power-sankey", "grid_options": {"columns": "full"}}]
        if MAJOR_VERSION >= 2026
        else []
    )
    return [
        {"type": "heading", "heading": "Power", "icon": "mdi:flash"},
        *flow,
        *({"type": "tile", **_row(its)} for its in shown),
        {
            "type": "history-graph",
            "title": "Live from the controller",
            "hours_to_show": 0.1,
            "grid_options": {"columns": "full"},
            "entities": [_row(its) for its in live],
        },
    ]


def _battery_and_prices(
    of: Mapping[str, Mapping[str, Entity]],
) -> list[dict[str, Any]]:
    prices = [of[GRID][key] for key in ("electricity_price", "feed_in_price")]
    return [
        {"type": "heading", "heading": "Battery", "icon": "mdi:home-battery"},
        {
            "type": "gauge",
            "needle": True,
            "severity": {"red": 0, "yellow": 15, "green": 30},
            **_row(of[BATTERY]["state_of_charge"]),
        },
        {"type": "tile", **_row(of[BATTERY]["status"])},
        {"type": "tile", **_row(of[steps.CONTROLLER]["storage_policy"])},
        {"type": "heading", "heading": "Prices", "icon": "mdi:cash"},
        *({"type": "tile", **_row(its)} for its in prices),
        {
            "type": "history-graph",
            "hours_to_show": 24,
            "entities": [_row(its) for its in prices],
        },
        {
            "type": "calendar",
            "title": "Schedules",
            "initial_view": "listWeek",
            "entities": [of[steps.CONTROLLER]["schedules"].entity_id],
        },
    ]


def _energy() -> list[dict[str, Any]]:
    return [
        {"type": "heading", "heading": "Energy", "icon": "mdi:lightning-bolt"},
        {"type": "energy-date-selection"},
        {"type": "energy-distribution", "link_dashboard": True},
        {"type": "energy-usage-graph"},
    ]


def _plumbing(
    by_device: Mapping[str, Iterable[Entity]], cloud: str
) -> list[dict[str, Any]]:
    exported = [
        {
            "entity": entity_id,
            "name": entity_id.partition("demo_")[2].replace("_", " ").capitalize(),
        }
        for entity_id in steps.EXPORTED
    ]
    return [
        {"type": "heading", "heading": "Try it", "icon": "mdi:flask"},
        {
            "type": "markdown",
            "content": (
                f"Add an account or a data export yourself:\n{TO_TRY}\n\n"
                f"[The simulated Eniris]({cloud}/_simulator/) shows what arrives there."
            ),
        },
        {"type": "entities", "title": "Sent to Eniris", "entities": exported},
        *(
            {
                "type": "entities",
                "title": device,
                "entities": [_row(its) for its in by_device[device]],
            }
            for device in (steps.EXPORT, "Eniris account")
        ),
    ]


def _row(entity: Entity) -> dict[str, Any]:
    return {"entity": entity.entity_id, "name": entity.name}
