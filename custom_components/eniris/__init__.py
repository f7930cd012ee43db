"""Eniris SmartgridOne: an account's nodes as devices, and chosen entities to its telemetry."""

import asyncio

from homeassistant.config_entries import ConfigEntryState
from homeassistant.const import (
    EVENT_HOMEASSISTANT_FINAL_WRITE,
    EVENT_HOMEASSISTANT_STOP,
    Platform,
)
from homeassistant.core import Event, HomeAssistant, callback
from homeassistant.helpers import config_validation as cv
from homeassistant.helpers.device_registry import DeviceEntry
from homeassistant.helpers.typing import ConfigType

from .account import (
    first_history,
    import_options,
    log_invalid_settings,
    read_fingerprint,
    stored_token,
    token_data,
)
from .api import EnirisError, RefreshToken, Session
from .cloudhook import async_delete_cloudhook
from .const import DOMAIN, LOGGER
from .controller.config import read_controllers, webhook_ids
from .controller.controller import Controller
from .data import EnirisConfigEntry, EnirisData
from .devices import NodeDevices, async_register_controllers, identity
from .export_host import ExportHost, account_outbox, async_issues
from .exporting.outbox.outbox import async_delete_outbox
from .http import account_hosts, async_http_session
from .importing.budget.reader import TelemetryReader
from .importing.coordinator import (
    KEPT,
    Kept,
    NodeCoordinator,
    TelemetryCoordinator,
    async_forget_account,
)
from .importing.forecast import PriceCoordinator
from .importing.history import History, history_store
from .importing.totals import async_remove_totals
from .migration import (
    UNREADABLE_STORE,
    VERSION,
    async_forget_newer,
    async_migrate_entry,
    async_newer_file,
    async_tell_newer_entries,
)
from .services import async_setup_services

__all__ = ["async_migrate_entry"]

CONFIG_SCHEMA = cv.config_entry_only_config_schema(DOMAIN)

PLATFORMS = [
    Platform.BINARY_SENSOR,
    Platform.BUTTON,
    Platform.CALENDAR,
    Platform.NUMBER,
    Platform.SELECT,
    Platform.SENSOR,
    Platform.SWITCH,
]


async def async_setup(hass: HomeAssistant, config: ConfigType) -> bool:
    """Register the actions, and tell of accounts that a newer version has stored."""
    async_setup_services(hass)
    async_tell_newer_entries(hass)
    return True


async def async_setup_entry(hass: HomeAssistant, entry: EnirisConfigEntry) -> bool:
    """Set up an account.

    An unreachable service or a dead token is no reason to fail: the export has to take samples
    all the same, and the import recovers by itself or by a re-authentication. Nothing waits for
    the service, which may take a minute to answer, or not to answer.
    """
    log_invalid_settings(entry)
    token_in_use = stored_token(entry)

    @callback
    def store_refresh_token(token: RefreshToken) -> None:
        nonlocal token_in_use
        if stored_token(entry) != token_in_use:
            # That of a new log-in, with which the account is about to be reloaded
            return
        token_in_use = token
        hass.config_entries.async_update_entry(
            entry, data={**entry.data, **token_data(token)}
        )

    session = Session(
        async_http_session(hass),
        stored_token(entry),
        account_hosts(entry.data),
        on_refresh_token=store_refresh_token,
    )
    exports = ExportHost(hass, entry, session)
    kept = hass.data.get(KEPT, {}).get(entry.entry_id, Kept())
    options = import_options(entry)
    nodes = NodeCoordinator(hass, entry, session, options, kept)
    telemetry = TelemetryCoordinator(hass, entry, session, options, nodes, kept)
    history = History(hass, entry, session, nodes, telemetry)
    try:
        # Before anything begins: nothing may be written where a newer version has
        await telemetry.totals.async_load(entry)
        await history.async_restore()
    except UNREADABLE_STORE as err:
        raise async_newer_file(hass, entry) from err
    # Run at a set-up that fails further on; an unload waits for it itself, however long it takes
    entry.async_on_unload(exports.async_stop)
    await exports.async_start()
    devices = NodeDevices(hass, entry, nodes)
    await devices.async_start()
    await telemetry.async_start()

    async def first_refresh() -> None:
        await nodes.async_refresh()
        # An entity takes its id from its device's name, so that has to be there first
        await devices.async_sync()
        await telemetry.async_refresh()

    controllers = {
        settings.id: Controller(hass, entry, settings)
        for settings in read_controllers(entry)
    }
    entry.runtime_data = EnirisData(
        session,
        nodes,
        devices,
        telemetry,
        history,
        TelemetryReader(session, telemetry.pace),
        PriceCoordinator(hass, entry, nodes, telemetry),
        exports,
        controllers,
        entry.async_create_background_task(
            hass, first_refresh(), "eniris first refresh", eager_start=False
        ),
    )
    _async_stop_with_home_assistant(hass, entry)
    _async_follow_changes(entry)
    async_register_controllers(
        hass, entry, [each.settings for each in controllers.values()]
    )
    await hass.config_entries.async_forward_entry_setups(entry, PLATFORMS)
    for controller in controllers.values():
        entry.async_on_unload(controller.async_stop)
        controller.async_start()
    await history.async_start(first_history(entry))
    async_forget_newer(hass, entry)
    return True


async def async_unload_entry(hass: HomeAssistant, entry: EnirisConfigEntry) -> bool:
    """Unload an account; what could not be uploaded in time waits on disk."""
    entry.runtime_data.first_refresh.cancel()
    # First, since it takes seconds: what a poll brings meanwhile must not be added to platforms that are gone
    await entry.runtime_data.exports.async_stop()
    # Nor what a controller pushes
    await asyncio.gather(
        *(each.async_stop() for each in entry.runtime_data.controllers.values())
    )
    if not await hass.config_entries.async_unload_platforms(entry, PLATFORMS):
        return False
    if entry.disabled_by is not None:
        (await async_issues(hass, entry)).resolve_all()
        async_forget_account(hass, entry.entry_id)
    return True


async def async_remove_entry(hass: HomeAssistant, entry: EnirisConfigEntry) -> None:
    """Log the account out, and delete what waited to be uploaded and what was counted."""
    for webhook_id in webhook_ids(entry):
        await async_delete_cloudhook(hass, webhook_id)
    await async_remove_totals(hass, entry.entry_id)
    await history_store(hass, entry.entry_id).async_remove()
    await async_delete_outbox(hass, account_outbox(hass, entry))
    (await async_issues(hass, entry)).resolve_all()
    async_forget_account(hass, entry.entry_id)
    async_forget_newer(hass, entry)
    if entry.version > VERSION:
        LOGGER.warning(
            "%s was removed, but not logged out, since a newer version of this integration has"
            " stored its token; that ends by itself within 14 days",
            entry.title,
        )
        return
    session = Session(
        async_http_session(hass), stored_token(entry), account_hosts(entry.data)
    )
    try:
        await session.logout()
    except EnirisError as err:
        LOGGER.warning(
            "%s was removed, but could not be logged out (%s); its token ends by itself"
            " within 14 days",
            entry.title,
            err,
        )


async def async_remove_config_entry_device(
    hass: HomeAssistant, entry: EnirisConfigEntry, device: DeviceEntry
) -> bool:
    """Let the user delete the device of a node that the account does not list any more.

    The device of an export or of a controller goes with it.
    """
    if (
        entry.state is not ConfigEntryState.LOADED
        or not entry.runtime_data.nodes.answers
    ):
        # Nobody knows now what the account lists
        return False
    found = identity(entry, device)
    return found is None or (
        found.kind == "node" and found.id not in entry.runtime_data.nodes.data.by_id
    )


@callback
def _async_stop_with_home_assistant(
    hass: HomeAssistant, entry: EnirisConfigEntry
) -> None:
    """Upload when Home Assistant begins to stop, close when it has almost stopped.

    Home Assistant does not unload entries when it stops. Between the two, samples are still taken.
    """
    exports = entry.runtime_data.exports

    async def last_upload(_event: Event) -> None:
        await exports.exporter.async_last_upload()

    async def stop(_event: Event) -> None:
        await exports.async_stop()

    entry.async_on_unload(
        hass.bus.async_listen_once(EVENT_HOMEASSISTANT_STOP, last_upload)
    )
    entry.async_on_unload(
        hass.bus.async_listen_once(EVENT_HOMEASSISTANT_FINAL_WRITE, stop)
    )


@callback
def _async_follow_changes(entry: EnirisConfigEntry) -> None:
    """Reload, once, when what is read changed, and go on with other exports when what is sent did.

    Not for the refresh token, nor for what was decided of fields.
    """
    read = read_fingerprint(entry)
    webhooks = webhook_ids(entry)
    is_reloading = False

    async def updated(hass: HomeAssistant, entry: EnirisConfigEntry) -> None:
        nonlocal is_reloading, webhooks
        gone, webhooks = webhooks - webhook_ids(entry), webhook_ids(entry)
        for webhook_id in gone:
            await async_delete_cloudhook(hass, webhook_id)
        if is_reloading:
            return
        if read_fingerprint(entry) != read:
            is_reloading = True
            hass.config_entries.async_schedule_reload(entry.entry_id)
        else:
            await entry.runtime_data.exports.async_follow()

    entry.async_on_unload(entry.add_update_listener(updated))
