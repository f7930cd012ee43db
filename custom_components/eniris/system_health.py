"""System health: whether the services can be reached, what the budget is, what waits, which controllers push."""

import asyncio
from collections.abc import Collection, Iterable
from typing import Any

from homeassistant.components import system_health
from homeassistant.config_entries import ConfigEntryState
from homeassistant.core import HomeAssistant, callback

from .const import DOMAIN
from .data import EnirisConfigEntry
from .exporting.outbox.outbox import Outbox
from .exporting.outbox.store import OutboxError
from .http import account_hosts


@callback
def async_register(
    hass: HomeAssistant, register: system_health.SystemHealthRegistration
) -> None:
    """Tell Home Assistant what to ask."""
    register.async_register_info(
        _async_info, f"/config/integrations/integration/{DOMAIN}"
    )


async def _async_info(hass: HomeAssistant) -> dict[str, Any]:
    """Return what is shown of all accounts together; what takes its time comes later."""
    entries: list[EnirisConfigEntry] = hass.config_entries.async_entries(DOMAIN)
    running = [entry for entry in entries if entry.state is ConfigEntryState.LOADED]
    hosts = [account_hosts(entry.data) for entry in entries]
    info: dict[str, Any] = {
        "accounts": len(entries),
        "accounts_running": len(running),
    }
    if hosts:
        info |= {
            "authentication": _can_reach(hass, {its.authentication for its in hosts}),
            "api": _can_reach(hass, {its.api for its in hosts}),
            "ingress": _can_reach(hass, {its.ingress for its in hosts}),
        }
    if running:
        figures = [
            controller.figures()
            for entry in running
            for controller in entry.runtime_data.controllers.values()
        ]
        paces = [entry.runtime_data.telemetry.pace for entry in running]
        info |= {
            "budget_left": _listed(
                [
                    None
                    if pace.per_minute is None or pace.remaining is None
                    else f"{pace.remaining:g} / {pace.per_minute:g}"
                    for pace in paces
                ]
            ),
            "cost_per_minute": _listed(
                [
                    None
                    if pace.cost_per_minute is None
                    else f"{pace.cost_per_minute:.3g}"
                    for pace in paces
                ]
            ),
            "problems": sum(
                exporter.status(export_id).problem is not None
                for entry in running
                for exporter in (entry.runtime_data.exporter,)
                for export_id in exporter.exports
            ),
            "controllers": len(figures),
            "controllers_live": sum(bool(its["is_live"]) for its in figures),
            "waiting": _waiting(
                # By the time one is asked its account may be unloaded
                [entry.runtime_data.exporter.outbox for entry in running]
            ),
        }
    return info


async def _can_reach(
    hass: HomeAssistant, addresses: Iterable[str]
) -> str | dict[str, str]:
    """Try each address once, however many accounts have it; return the first failure."""
    results = await asyncio.gather(
        *(
            system_health.async_check_can_reach_url(hass, address)
            for address in sorted(addresses)
        )
    )
    return next((result for result in results if result != "ok"), "ok")


async def _waiting(outboxes: Collection[Outbox]) -> int | dict[str, str]:
    """Return how many values wait to be sent, what actions have pushed included."""
    unreadable = {"type": "failed", "error": "unreadable"}
    waiting = 0
    for outbox in outboxes:
        try:
            figures = await outbox.refresh_figures()
        except OutboxError:
            return unreadable
        if not outbox.store.is_open:
            # What waits on disk is not known
            return unreadable
        waiting += sum(its.waiting for its in figures.values())
    return waiting


def _listed(texts: list[str | None]) -> str:
    """Return what is known of each account, in the order of the accounts."""
    return ", ".join(text or "–" for text in texts)
