"""Eniris SmartgridOne: an account's nodes as devices, and chosen entities to its telemetry."""

from pathlib import Path

from homeassistant.config_entries import ConfigEntryState
from homeassistant.const import (
    EVENT_HOMEASSISTANT_FINAL_WRITE,
    EVENT_HOMEASSISTANT_STOP,
    Platform,
)
from homeassistant.core import Event, HomeAssistant, callback
from homeassistant.exceptions import ConfigEntryNotReady
from homeassistant.helpers import config_validation as cv, instance_id
from homeassistant.helpers.device_registry import DeviceEntry
from homeassistant.helpers.storage import STORAGE_DIR
from homeassistant.helpers.typing import ConfigType
from homeassistant.util.hass_dict import HassKey

from .account import (
    account_hosts,
    async_http_session,
    fingerprint,
    first_history,
    import_options,
    note_damage,
    outbox_limits,
    stored_token,
    token_data,
    wire_format,
)
from .api import EnirisError, RefreshToken, Session
from .const import DOMAIN, LOGGER, SUBENTRY_EXPORT
from .data import EnirisConfigEntry, EnirisData
from .export_entity import (
    async_fire_history_exported,
    async_register_exports,
    export_identifier,
)
from .exporting.config import Export, read_data
from .exporting.exporter import Damaged, Exporter
from .exporting.issues import Issues
from .exporting.outbox import (
    NewerOutboxError,
    Outbox,
    OutboxError,
    Sample,
    delete_outbox,
    outbox_path,
)
from .importing.ask import Asker
from .importing.coordinator import (
    NodeCoordinator,
    Outage,
    TelemetryCoordinator,
    totals_store,
)
from .importing.devices import NodeDevices, account_identifier
from .importing.history import History, history_store
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

_UNSAVED: HassKey[dict[str, list[Sample]]] = HassKey(f"{DOMAIN}_unsaved")
"""Samples that are not on disk, by the entry that they belong to."""

CONFIG_SCHEMA = cv.config_entry_only_config_schema(DOMAIN)

PLATFORMS = [
    Platform.BINARY_SENSOR,
    Platform.BUTTON,
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
    all the same, and the import recovers by itself or by a re-authentication.
    """
    note_damage(entry)
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
    exports, damaged = _read_exports(entry)
    exporter = Exporter(
        hass,
        session,
        Outbox(_outbox_path(hass, entry)),
        exports,
        outbox_limits(entry),
        Issues(hass, entry.entry_id, entry.title, await instance_id.async_get(hass)),
        lambda: entry.async_start_reauth(hass),
        lambda job: async_fire_history_exported(hass, entry, job),
        wire_format(entry),
        damaged,
        # A reload, to log in again for one, must not cost what a full disk keeps in memory
        hass.data.setdefault(_UNSAVED, {}).setdefault(entry.entry_id, []),
    )
    outage = Outage(entry.title)
    options = import_options(entry)
    nodes = NodeCoordinator(hass, entry, session, outage, options)
    telemetry = TelemetryCoordinator(hass, entry, session, outage, options, nodes)
    history = History(hass, entry, session, nodes, telemetry)
    try:
        # Before anything begins: nothing may be written where a newer version has
        await telemetry.async_restore()
        await history.async_restore()
    except UNREADABLE_STORE as err:
        raise async_newer_file(hass, entry) from err
    try:
        await exporter.async_start()
    except NewerOutboxError as err:
        raise async_newer_file(hass, entry) from err
    except OutboxError as err:
        raise ConfigEntryNotReady(
            translation_domain=DOMAIN,
            translation_key="outbox_failed",
            translation_placeholders={"error": str(err)},
        ) from err
    # Run at an unload and at a set-up that fails further on alike
    entry.async_on_unload(exporter.async_stop)
    others = [export_identifier(entry, subentry_id) for subentry_id in entry.subentries]
    devices = NodeDevices(hass, entry, nodes, others)
    asker = Asker(session, telemetry.pace)
    entry.runtime_data = EnirisData(
        session, nodes, devices, telemetry, history, asker, exporter
    )
    _async_stop_with_home_assistant(hass, entry)
    _async_reload_on_change(entry)

    await nodes.async_refresh()
    await devices.async_start()
    async_register_exports(hass, entry)
    telemetry.async_start()
    await telemetry.async_refresh()
    await hass.config_entries.async_forward_entry_setups(entry, PLATFORMS)
    await history.async_start(first_history(entry))
    async_forget_newer(hass, entry)
    return True


async def async_unload_entry(hass: HomeAssistant, entry: EnirisConfigEntry) -> bool:
    """Unload an account; what could not be uploaded in time waits on disk."""
    return await hass.config_entries.async_unload_platforms(entry, PLATFORMS)


async def async_remove_entry(hass: HomeAssistant, entry: EnirisConfigEntry) -> None:
    """Log the account out, and delete what waited to be uploaded and what was counted."""
    await totals_store(hass, entry.entry_id).async_remove()
    await history_store(hass, entry.entry_id).async_remove()
    hass.data.get(_UNSAVED, {}).pop(entry.entry_id, None)
    await hass.async_add_executor_job(delete_outbox, _outbox_path(hass, entry))
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

    The device of an export goes with the export.
    """
    if entry.state is not ConfigEntryState.LOADED:
        # Nobody knows now what the account lists
        return False
    kept = {(DOMAIN, node_id) for node_id in entry.runtime_data.nodes.data.by_id}
    kept.add(account_identifier(entry))
    kept |= {export_identifier(entry, export_id) for export_id in entry.subentries}
    return not kept & device.identifiers


def _outbox_path(hass: HomeAssistant, entry: EnirisConfigEntry) -> Path:
    return outbox_path(Path(hass.config.path(STORAGE_DIR)), entry.entry_id)


def _read_exports(entry: EnirisConfigEntry) -> tuple[list[Export], list[Damaged]]:
    """Return the exports that can be carried out, and those that are damaged; some are both."""
    exports: list[Export] = []
    damaged: list[Damaged] = []
    for subentry in entry.subentries.values():
        if subentry.subentry_type != SUBENTRY_EXPORT:
            continue
        id_, title, legible = (
            subentry.subentry_id,
            subentry.title,
            read_data(subentry.data),
        )
        if legible.replaced:
            LOGGER.warning(
                "Stored settings of the export %s cannot be used, so that the defaults"
                " hold: %s",
                title,
                ", ".join(legible.replaced),
            )
        if legible.lost:
            damaged.append(Damaged(id_, title, ", ".join(legible.lost)))
        if legible.has_series:
            exports.append(Export.from_data(id_, title, legible.data))
    return exports, damaged


@callback
def _async_stop_with_home_assistant(
    hass: HomeAssistant, entry: EnirisConfigEntry
) -> None:
    """Upload when Home Assistant begins to stop, close when it has almost stopped.

    Home Assistant does not unload entries when it stops. Between the two, samples are still taken.
    """
    exporter = entry.runtime_data.exporter

    async def last_upload(_event: Event) -> None:
        await exporter.async_last_upload()

    async def stop(_event: Event) -> None:
        await exporter.async_stop()

    entry.async_on_unload(
        hass.bus.async_listen_once(EVENT_HOMEASSISTANT_STOP, last_upload)
    )
    entry.async_on_unload(
        hass.bus.async_listen_once(EVENT_HOMEASSISTANT_FINAL_WRITE, stop)
    )


@callback
def _async_reload_on_change(entry: EnirisConfigEntry) -> None:
    """Reload when anything changed but the refresh token, which the session renews daily."""
    loaded_with = fingerprint(entry)

    async def updated(hass: HomeAssistant, entry: EnirisConfigEntry) -> None:
        if fingerprint(entry) != loaded_with:
            hass.config_entries.async_schedule_reload(entry.entry_id)

    entry.async_on_unload(entry.add_update_listener(updated))
