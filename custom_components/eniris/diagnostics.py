"""Diagnostics: what a supporter needs, and nothing that is secret or anybody's own.

Nodes are told by numbers. A name is told if the catalogue or the API's page knows it, else it is
"other". Of an error there is the kind, the status and the service's own known words.
"""

from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Mapping, Sized
from dataclasses import asdict
from datetime import timedelta
import re
from typing import Any, Final

from homeassistant.components.diagnostics import async_redact_data
from homeassistant.config_entries import SOURCE_REAUTH, ConfigEntryState
from homeassistant.core import HomeAssistant, State
from homeassistant.helpers import entity_registry as er
from homeassistant.helpers.device_registry import DeviceEntry

from .account import stored_token
from .api import Failure, Hosts
from .api.calls import known_words
from .const import CONF_SITES
from .controller.config import ControllerSettings, read_controllers
from .controller.fields import GROUPS
from .data import EnirisConfigEntry, EnirisData
from .devices import Identity, identity
from .exporting.config import Export, async_entity_id, read_exports
from .exporting.exporter import ACTION
from .exporting.fields.kinds import decide_kind, is_known
from .exporting.outbox.limits import used_bytes
from .exporting.outbox.live import load_rejects
from .exporting.outbox.outbox import Outbox
from .exporting.outbox.store import OutboxError
from .flows.export_forms import MEASUREMENTS, RETENTION_POLICIES
from .http import account_hosts
from .importing.catalogue import CATALOGUE, describe
from .importing.nodes import Node
from .importing.plan import FieldKey

type Told = dict[str, Any]

_MEASUREMENTS: Final = {*MEASUREMENTS, "getMeasStats"}
_POLICIES: Final = {*RETENTION_POLICIES, "rp_ten_m"}
_PLAN: Final = ("wanted", "interval", "is_slowed", "parts")
_COST: Final = ("cost", "cost_per_minute", "remaining", "per_minute")
_PROGRESS: Final = ("percent", "fetching", "back_to", "is_waiting")
_POLICY: Final = ("mode", "shortest", "interval", "aggregate", "heartbeat")
_TARGET: Final = ("works", "paused", "failures", "refuses_all", "size")
_JOB: Final = ("start", "end", "finished", "stored", "outside", "refused", "unusable")


async def async_get_config_entry_diagnostics(
    hass: HomeAssistant, entry: EnirisConfigEntry
) -> Told:
    """Return all about an account."""
    exports, invalid = read_exports(entry)
    report: Told = {
        "account": _account(hass, entry),
        "entities": _entities(hass, entry),
        "controllers": [_controller(entry, its) for its in read_controllers(entry)],
        "exports": [_export(hass, entry, export) for export in exports],
        "invalid_exports": [export.keys for export in invalid],
    }
    if entry.state is ConfigEntryState.LOADED:
        data = entry.runtime_data
        calls = data.session.calls.figures
        report["calls"] = {call: asdict(its) for call, its in calls.items()}
        report["import"] = _import(data)
        report["outbox"] = await _outbox(data.exporter.outbox)
    return report


async def async_get_device_diagnostics(
    hass: HomeAssistant, entry: EnirisConfigEntry, device: DeviceEntry
) -> Told:
    """Return the part that is about a node, an export, a controller or the account itself."""
    found = identity(entry, device)
    if found is not None and found.kind == "account":
        return await async_get_config_entry_diagnostics(hass, entry)
    report = {"account": _account(hass, entry)}
    for export in read_exports(entry)[0]:
        if found == Identity("export", export.id):
            report["export"] = _export(hass, entry, export)
    for controller in read_controllers(entry):
        if found == Identity("controller", controller.id):
            report["controller"] = _controller(entry, controller)
    if entry.state is ConfigEntryState.LOADED:
        data = entry.runtime_data
        for node in data.nodes.data.by_id.values():
            if found == Identity("node", node.id):
                report["node"] = _node(data, node)
                report["fields"] = _fields(data, [node])
    return report


def _known(name: str, known: Container[str]) -> str:
    return name if name in known else "other"


def _number(identity: str | None, known: Mapping[str, object]) -> int | None:
    return next((n for n, its in enumerate(known, 1) if its == identity), None)


def _series(measurement: str, policy: str, tags: Sized) -> str:
    names = _known(measurement, _MEASUREMENTS), _known(policy, _POLICIES)
    return f"{' in '.join(names)}, {len(tags)} tags"


def _refusal(field: str, reason: str) -> str:
    """Return which field was refused, with which status and known words."""
    status = re.findall(r"^\d{3}(?= )", reason)
    return " ".join([_known(field, CATALOGUE), *status, *known_words(reason)])


def _failure(err: BaseException | None) -> Told | None:
    """Return what may be told of an error, or of the one that led to it."""
    return None if err is None else asdict(Failure.of(err.__cause__ or err))


def _attributes(thing: object, *names: str) -> Told:
    values = {name: getattr(thing, name) for name in names}
    return {n: str(v) if isinstance(v, timedelta) else v for n, v in values.items()}


def _shown(state: State | None) -> str:
    """Return what an entity shows, without its value."""
    if state is None:
        return "nothing"
    return "a value" if is_known(state) else state.state


def _account(hass: HomeAssistant, entry: EnirisConfigEntry) -> Told:
    hosts, standard = asdict(account_hosts(entry.data)), asdict(Hosts())
    return {
        "state": entry.state.value,
        "is_log_in_wanted": any(entry.async_get_active_flows(hass, {SOURCE_REAUTH})),
        "standard_hosts": {name: hosts[name] == standard[name] for name in hosts},
        "refresh_token_age_s": round(stored_token(entry).age),
        "options": async_redact_data(entry.options, {CONF_SITES}),
    }


def _entities(hass: HomeAssistant, entry: EnirisConfigEntry) -> Told:
    """Return how many entities of an account show what."""
    return Counter(
        "disabled" if its.disabled_by else _shown(hass.states.get(its.entity_id))
        for its in er.async_entries_for_config_entry(er.async_get(hass), entry.entry_id)
    )


def _import(data: EnirisData) -> Told:
    nodes, telemetry, progress = data.nodes, data.telemetry, data.history.progress
    shown = nodes.data.by_id.values()
    return {
        "metadata": {
            **_attributes(nodes, "last_update_success", "answers"),
            "last_failure": _failure(nodes.last_exception),
            "listed": len(nodes.data.listed),
            "skipped_without_node_id": nodes.data.skipped,
        },
        "telemetry": {
            **_attributes(telemetry, "last_update_success", "update_interval"),
            "last_failure": _failure(telemetry.last_exception),
            **_attributes(telemetry.pace, *_PLAN, *_COST),
            **telemetry.counts,
        },
        "history": {
            **_attributes(progress, *_PROGRESS),
            "left_out": len(progress.left_out),
        },
        "nodes": [_node(data, node) for node in shown],
        "fields": _fields(data, shown),
    }


def _node(data: EnirisData, node: Node) -> Told:
    return {
        "node": _number(node.id, data.nodes.data.by_id),
        "parent": _number(node.parent_id, data.nodes.data.by_id),
        "is_site": node.is_site,
        "series": [
            f"{_series(its.measurement, its.retention_policy, its.tags)},"
            f" {len(its.fields)} fields"
            for its in node.device.series
        ],
    }


def _fields(data: EnirisData, nodes: Iterable[Node]) -> Told:
    """Return by field and kind how often it is listed, has a value, and has a current one."""
    telemetry = data.telemetry
    keys = {
        FieldKey(node.id, series.measurement, field)
        for node in nodes
        for series in node.device.series
        for field in series.fields
    }
    found: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for key in keys:
        kind = describe(key.measurement, key.field).kind.name.lower()
        counts = found[f"{_known(key.field, CATALOGUE)}, {kind}"]
        has_value, is_current = key in telemetry.data, telemetry.is_available(key)
        counts.update(listed=1, with_value=has_value, current=is_current)
    return dict(sorted(found.items()))


def _export(hass: HomeAssistant, entry: EnirisConfigEntry, export: Export) -> Told:
    series, target = export.series, export.series.target
    fields = []
    for its in export.fields:
        entity_id = async_entity_id(hass, its.entity)
        state = None if entity_id is None else hass.states.get(entity_id)
        kind = its.kind or decide_kind(state, its.field, its.attribute)
        fields.append((_known(its.field, CATALOGUE), kind, _shown(state)))
    part: Told = {
        "series": _series(series.measurement, target.retention_policy, series.tags),
        **_attributes(export, "enabled", "backfill"),
        **_attributes(export.policy, *_POLICY),
        "fields": fields,
    }
    if entry.state is ConfigEntryState.LOADED:
        exporter = entry.runtime_data.exporter
        status = exporter.status(export.id)
        part["figures"] = asdict(status.figures)
        if (upload := exporter.uploader.targets.get(target)) is not None:
            part["target"] = {
                **_attributes(upload, *_TARGET),
                "has_problem": upload.problem is not None,
                "last_failure": _failure(upload.failure),
                "last_refusal": _failure(upload.refusal),
            }
        if status.history is not None:
            part["history"] = _attributes(status.history.job, *_JOB)
            part["history"]["percent"] = status.history.percent
    return part


def _controller(entry: EnirisConfigEntry, settings: ControllerSettings) -> Told:
    """Return how a controller is set up, without what it or anybody is known by, and its figures."""
    webhook, mqtt, inverted = settings.webhook, settings.mqtt, settings.inverted
    told: Told = {
        "webhook": webhook and _attributes(webhook, "period"),
        "mqtt": mqtt and _attributes(mqtt, "host", "port", "tls"),
        "inverted_groups": inverted and sorted(inverted & GROUPS),
        "inverted_nodes": inverted and len(inverted - GROUPS),
        "signs_confirmed": inverted is not None,
    }
    if entry.state is ConfigEntryState.LOADED:
        running = entry.runtime_data.controllers.get(settings.id)
        told["figures"] = running and running.figures()
    return told


async def _outbox(outbox: Outbox) -> Told:
    blocked = outbox.store.blocked
    told: Told = {
        "can_be_put_on_disk": outbox.problem is None,
        "can_be_read": True,
        "in_memory": len(outbox.memory),
        "carried_over": outbox.store.carried_over,
        "blocked": [_refusal(key.field, its.reason) for key, its in blocked.items()],
    }
    try:
        pushed = (await outbox.refresh_figures()).get(ACTION)
        rejects = await outbox.store.read(load_rejects)
        told["bytes"] = await outbox.store.read(used_bytes)
        told["damaged_files"] = len(await outbox.store.damaged_files())
        told["pushed_by_actions"] = pushed and asdict(pushed)
        told["rejects"] = Counter(_refusal(it.field, reason) for it, reason in rejects)
    except OutboxError:
        told["can_be_read"] = False
    return told
