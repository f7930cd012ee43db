"""What the tests of the integration do over and over: let time pass, walk forms, change the account."""

import asyncio
from collections.abc import Callable, Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Any

from freezegun.api import FrozenDateTimeFactory
from pytest_homeassistant_custom_component.common import async_fire_time_changed

from custom_components.eniris.const import (
    CONF_COLLECTOR,
    CONF_DATABASE,
    CONF_FIELDS,
    CONF_MEASUREMENT,
    CONF_RETENTION_POLICY,
    CONF_TAGS,
    DOMAIN,
    SUBENTRY_EXPORT,
)
from custom_components.eniris.data import EnirisConfigEntry
from homeassistant.config_entries import (
    SOURCE_USER,
    ConfigEntry,
    ConfigFlowResult,
    ConfigSubentry,
)
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType
from homeassistant.helpers import device_registry as dr, entity_registry as er

POLL = timedelta(seconds=61)
METADATA_POLL = timedelta(minutes=15, seconds=1)


async def settle(hass: HomeAssistant) -> None:
    """Wait for everything that runs, polls included, but for what runs as long as the account."""
    await hass.async_block_till_done()
    while polls := [
        task
        for task in hass._background_tasks
        if isinstance(task, asyncio.Task) and task.get_name().endswith("refresh")
    ]:
        await asyncio.wait(polls)
        await hass.async_block_till_done()


async def until(condition: Callable[[], bool]) -> None:
    """Let the event loop go on until something has happened; time stands still."""
    for _ in range(20_000):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("it did not happen")


async def advance(
    hass: HomeAssistant, freezer: FrozenDateTimeFactory, by: timedelta = POLL
) -> None:
    """Let time pass."""
    freezer.tick(by)
    async_fire_time_changed(hass)
    await settle(hass)


async def advance_in_polls(
    hass: HomeAssistant, freezer: FrozenDateTimeFactory, by: timedelta
) -> None:
    """Let time pass poll by poll."""
    for _ in range(-(-by // POLL)):
        await advance(hass, freezer)


async def start_flow(hass: HomeAssistant) -> str:
    """Open the dialog of a new account and return its flow id."""
    result = await hass.config_entries.flow.async_init(
        DOMAIN, context={"source": SOURCE_USER}
    )
    assert result["type"] is FlowResultType.FORM
    assert result["step_id"] == "user"
    assert not result["errors"]
    return result["flow_id"]


async def submit(
    hass: HomeAssistant, flow_id: str, user_input: Mapping[str, Any]
) -> ConfigFlowResult:
    """Submit a form, or choose from a menu, of a config flow."""
    result = await hass.config_entries.flow.async_configure(flow_id, dict(user_input))
    await settle(hass)
    return result


def add_export(hass: HomeAssistant, entry: ConfigEntry[Any]) -> ConfigSubentry:
    """Give an account an export of nothing."""
    subentry = ConfigSubentry(
        data=MappingProxyType(
            {
                CONF_COLLECTOR: "demo-ingress",
                CONF_DATABASE: "demo",
                CONF_RETENTION_POLICY: "rp_one_m",
                CONF_MEASUREMENT: "exampleMetrics",
                CONF_TAGS: {"serialNr": "1"},
                CONF_FIELDS: [],
            }
        ),
        subentry_type=SUBENTRY_EXPORT,
        title="Nothing",
        unique_id=None,
    )
    hass.config_entries.async_add_subentry(entry, subentry)
    return subentry


def imported_entities(
    hass: HomeAssistant, entry: EnirisConfigEntry
) -> list[er.RegistryEntry]:
    """Return the entities that show fields of nodes."""
    nodes = entry.runtime_data.nodes.data.by_id
    return [
        registered
        for registered in er.async_entries_for_config_entry(
            er.async_get(hass), entry.entry_id
        )
        if any(
            registered.unique_id.startswith(f"{entry.unique_id}_{node_id}_")
            for node_id in nodes
        )
    ]


def device_of(
    hass: HomeAssistant, entry: ConfigEntry[Any], identifier: str
) -> dr.DeviceEntry | None:
    """Return the device of a node."""
    return next(
        (
            device
            for device in dr.async_entries_for_config_entry(
                dr.async_get(hass), entry.entry_id
            )
            if (DOMAIN, identifier) in device.identifiers
        ),
        None,
    )


def entity_id_of(
    hass: HomeAssistant, entry: ConfigEntry[Any], node_id: str, field: str
) -> str:
    """Return the entity that shows a field of a node; KeyError if there is none."""
    for registered in er.async_entries_for_config_entry(
        er.async_get(hass), entry.entry_id
    ):
        if registered.unique_id.startswith(
            f"{entry.unique_id}_{node_id}_"
        ) and registered.unique_id.endswith(f"_{field}"):
            return registered.entity_id
    raise KeyError((node_id, field))


def state_of(
    hass: HomeAssistant, entry: ConfigEntry[Any], node_id: str, field: str
) -> str:
    """Return what an entity shows of a field of a node."""
    state = hass.states.get(entity_id_of(hass, entry, node_id, field))
    assert state is not None
    return state.state


async def set_up_frozen(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    user_input: dict[str, Any],
    now: str | None = "2026-07-01T12:00:30Z",
) -> EnirisConfigEntry:
    """Set an account up through the form, at a given instant or at the present."""
    if now is not None:
        freezer.move_to(now)
    result = await submit(hass, await start_flow(hass), user_input)
    if result.get("step_id") == "history":
        # With a recorder, the past is offered; tests that want it ask for it later
        result = await submit(hass, result["flow_id"], {"back": "none"})
    assert result["type"] is FlowResultType.CREATE_ENTRY, result
    entry: EnirisConfigEntry = result["result"]
    return entry


async def open_options(hass: HomeAssistant, entry: ConfigEntry[Any]) -> str:
    """Choose the options from the menu, and return the flow id of their form."""
    options = hass.config_entries.options
    result = await options.async_init(entry.entry_id)
    assert result["type"] is FlowResultType.MENU
    result = await options.async_configure(
        result["flow_id"], {"next_step_id": "settings"}
    )
    assert result["type"] is FlowResultType.FORM
    flow_id: str = result["flow_id"]
    return flow_id
