"""Diagnostics: what a supporter needs, and nothing that is secret or anybody's own.

Names, ids, serial numbers, tag values, databases and addresses are replaced by labels that stay the same
within one file ("node 3", "database 1"), so that what belongs together can be seen. Of measured values
only the age is told, of errors the kind, the status and the service's own known words. What all this
should still let through is looked for by its own text at the end.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
import re
import time
from typing import Any, Final

from yarl import URL

from homeassistant.components.diagnostics import async_redact_data
from homeassistant.components.sensor.const import DEVICE_CLASS_UNITS
from homeassistant.config_entries import SOURCE_REAUTH, ConfigEntryState
from homeassistant.const import CONF_USERNAME, STATE_UNAVAILABLE, STATE_UNKNOWN
from homeassistant.core import HomeAssistant, State
from homeassistant.helpers import entity_registry as er
from homeassistant.helpers.device_registry import DeviceEntry
from homeassistant.helpers.storage import STORAGE_DIR
from homeassistant.util import dt as dt_util

from .account import account_hosts, import_options, read_options, stored_token
from .api import Failure, Hosts, SeriesInfo, WriteTarget
from .api.auth import REFRESH_TOKEN_LIFETIME
from .api.calls import known_words
from .api.telemetry import is_name, is_queryable_field
from .const import (
    CONF_AGE_LIMIT,
    CONF_OUTBOX,
    CONF_REFRESH_TOKEN,
    CONF_SIZE_LIMIT,
    DOMAIN,
)
from .data import EnirisConfigEntry, EnirisData
from .export_entity import export_identifier
from .exporting.config import Export, async_entity_id, read_exports
from .exporting.exporter import ACTION, Exporter
from .exporting.fields.kinds import decide_kind
from .exporting.fields.names import RETENTION_POLICIES
from .exporting.history.jobs import Job
from .exporting.outbox.batches import FieldKey, field_key
from .exporting.outbox.corrections import count_waiting
from .exporting.outbox.figures import Figures
from .exporting.outbox.limits import used_bytes
from .exporting.outbox.live import load_rejects
from .exporting.outbox.outbox import Outbox
from .exporting.outbox.store import OutboxError, outbox_path
from .importing.catalogue import describe, directions
from .importing.devices import account_identifier
from .importing.nodes import Node
from .importing.plan import FieldKey as ReadingKey

_TO_REDACT: Final = {
    CONF_REFRESH_TOKEN,
    CONF_USERNAME,
    "access_token",
    "address",
    "email",
    "latitude",
    "longitude",
    "name",
    "password",
    "serial_number",
    "title",
    "token",
    "unique_id",
}
_WORD: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
_UNITS: Final = frozenset(
    str(unit) for units in DEVICE_CLASS_UNITS.values() for unit in units if unit
)
"""Home Assistant's own; most are words, but not `°C` or `%`."""
_SHORTEST_IDENTITY: Final = 3
"""Characters below which a text says too little to be looked for everywhere."""


async def async_get_config_entry_diagnostics(
    hass: HomeAssistant, entry: EnirisConfigEntry
) -> dict[str, Any]:
    """Return all about an account."""
    return await _Report(hass, entry).whole()


async def async_get_device_diagnostics(
    hass: HomeAssistant, entry: EnirisConfigEntry, device: DeviceEntry
) -> dict[str, Any]:
    """Return the part that is about a node, an export or the account itself.

    The labels are those of the whole, if both are taken at the same time.
    """
    return await _Report(hass, entry).part(device)


class _Labels:
    """Gives each identity a label."""

    def __init__(self) -> None:
        self._labels: dict[tuple[str, str], str] = {}
        self._counts: Counter[str] = Counter()

    def of(self, kind: str, identity: str) -> str:
        """Return the label of an identity; the same one each time."""
        key = (kind, identity)
        if key not in self._labels:
            self._counts[kind] += 1
            self._labels[key] = f"{kind} {self._counts[kind]}"
        return self._labels[key]

    def policy(self, name: str) -> str:
        """Return a retention policy by its name where everybody's is called so."""
        return name if name in RETENTION_POLICIES else self.of("retention policy", name)

    def field(self, name: str) -> str:
        """Return a field's name, which is technical, unless it could not be one."""
        return name if is_queryable_field(name) else self.of("field", name)

    def measurement(self, name: str) -> str:
        """Return a measurement's name, as a field's."""
        return name if is_name(name) else self.of("measurement", name)

    def scrubbed(self, value: Any) -> Any:
        """Replace every identity that stands in a text all the same."""
        found = {
            identity: label
            for (_, identity), label in self._labels.items()
            if len(identity) >= _SHORTEST_IDENTITY
        }
        if not found:
            return value
        pattern = re.compile(
            r"(?<![A-Za-z0-9])(?:"
            + "|".join(map(re.escape, sorted(found, key=len, reverse=True)))
            + r")(?![A-Za-z0-9])"
        )
        labels = set(self._labels.values())

        def scrub(value: Any) -> Any:
            if isinstance(value, str) and value not in labels:
                return pattern.sub(lambda match: found[match[0]], value)
            if isinstance(value, Mapping):
                return {key: scrub(inner) for key, inner in value.items()}
            return (
                [scrub(inner) for inner in value] if isinstance(value, list) else value
            )

        return scrub(value)


class _Report:
    """What is told of one account."""

    def __init__(self, hass: HomeAssistant, entry: EnirisConfigEntry) -> None:
        self._hass = hass
        self._entry = entry
        self._labels = _Labels()
        self._now = dt_util.utcnow()
        self._entities: dict[str, er.RegistryEntry] = {}
        # The account may be unloaded while it is asked
        self._data: EnirisData | None = (
            entry.runtime_data if entry.state is ConfigEntryState.LOADED else None
        )
        self._exports, self._invalid = read_exports(entry)

    async def whole(self) -> dict[str, Any]:
        """Return the diagnostics of the account."""
        self._note_identities()
        report: dict[str, Any] = {
            "account": self._account(),
            "exports": [self._export(export) for export in self._exports],
            "invalid_exports": [
                {
                    "export": self._labels.of("export", export.export_id),
                    "keys": list(export.keys),
                }
                for export in self._invalid
            ],
        }
        if self._data is not None:
            report |= {
                "calls": self._calls(self._data),
                "reading": self._reading(self._data),
                "writing": await self._writing(self._data),
            }
        else:
            # Nobody has the file open who could be asked
            report["writing"] = {"files": await self._files()}
        return self._clean(report)

    async def part(self, device: DeviceEntry) -> dict[str, Any]:
        """Return the diagnostics of a device."""
        whole = await self.whole()
        report: dict[str, Any] = {"device": "unknown", "account": whole["account"]}
        if account_identifier(self._entry) in device.identifiers:
            reading = dict(whole.get("reading", {}))
            reading.pop("nodes", None)
            return {**whole, "device": "account", "reading": reading}
        for export in self._exports:
            if export_identifier(self._entry, export.id) in device.identifiers:
                return {**report, **self._part_of_export(export, whole)}
        if self._data is None:
            return report
        for node in self._data.nodes.data.by_id.values():
            if (DOMAIN, node.id) in device.identifiers:
                label = self._labels.of("node", node.id)
                [part] = [
                    part for part in whole["reading"]["nodes"] if part["node"] == label
                ]
                properties = self._clean(self._properties(node))
                return {**report, "device": label, **part, "properties": properties}
        return report

    def _part_of_export(
        self, export: Export, whole: Mapping[str, Any]
    ) -> dict[str, Any]:
        label = self._labels.of("export", export.id)
        target = self._target(export.series.target)["target"]
        [part] = [part for part in whole["exports"] if part["export"] == label]
        writing = whole["writing"]
        return {
            "device": label,
            "export": part,
            "targets": [
                other
                for other in writing.get("targets", [])
                if other["target"] == target
            ],
            "set_aside": [
                other
                for other in writing.get("set_aside", [])
                if other["export"] == label
            ],
        }

    def _clean(self, report: Mapping[str, Any]) -> dict[str, Any]:
        scrubbed: dict[str, Any] = self._labels.scrubbed(report)
        return async_redact_data(scrubbed, _TO_REDACT)

    def _note_identities(self) -> None:
        """Label whatever is somebody's own, in an order that does not change by itself."""
        labels, entry = self._labels, self._entry
        labels.of("user", str(entry.data.get(CONF_USERNAME)))
        labels.of("account", entry.title)
        labels.of("account", str(entry.unique_id))
        labels.of("token", stored_token(entry).value)
        standard = Hosts()
        hosts = account_hosts(entry.data)
        for address in (hosts.authentication, hosts.api, hosts.ingress):
            if address not in (standard.authentication, standard.api, standard.ingress):
                labels.of("address", address)
                labels.of("host", URL(address).host or address)
        for invalid in self._invalid:
            labels.of("export", invalid.export_id)
            labels.of("name", invalid.title)
        for export in self._exports:
            labels.of("export", export.id)
            labels.of("name", export.title)
            for _, text in export.series.tags:
                labels.of("tag value", text)
            for exported in export.fields:
                labels.of("entity", exported.entity)
        if self._data is None:
            return
        for node in self._data.nodes.data.by_id.values():
            labels.of("node", node.id)
            if node.device.name:
                labels.of("name", node.device.name)
            if node.device.info.serial_number:
                labels.of("serial number", node.device.info.serial_number)
            for series in node.device.series:
                labels.of("database", series.database)
                for _, text in series.tags:
                    labels.of("tag value", text)

    # The account

    def _account(self) -> dict[str, Any]:
        entry, standard = self._entry, Hosts()
        hosts = account_hosts(entry.data)
        options = import_options(entry)
        outbox = read_options(entry.options)[CONF_OUTBOX]
        token = stored_token(entry)
        tokens: dict[str, Any] = {
            "refresh": {
                "age_s": _rounded(token.age),
                "ends_in_s": _rounded(REFRESH_TOKEN_LIFETIME - token.age),
            }
        }
        if self._data is not None:
            age = self._data.session.access_token_age
            tokens["access"] = {"age_s": _rounded(age)}
        return {
            "state": entry.state.value,
            "is_log_in_wanted": any(
                flow["context"]["source"] == SOURCE_REAUTH
                for flow in entry.async_get_active_flows(self._hass, {SOURCE_REAUTH})
            ),
            "hosts": {
                name: "standard" if getattr(hosts, name) == standard_host else "other"
                for name, standard_host in asdict(standard).items()
            },
            "tokens": tokens,
            "options": {
                "interval_s": options.interval.total_seconds(),
                "preference": options.preference.value,
                "sites": [
                    self._labels.of("node", site) for site in sorted(options.sites)
                ],
                "size_limit_mib": outbox[CONF_SIZE_LIMIT],
                "age_limit_d": outbox[CONF_AGE_LIMIT],
            },
        }

    def _calls(self, data: EnirisData) -> list[dict[str, Any]]:
        return [
            {
                "call": call,
                "count": its.count,
                "statuses": dict(its.statuses),
                "mean_s": _rounded(its.seconds / its.count),
                "bytes_sent": its.bytes_sent,
                "bytes_received": its.bytes_received,
                "last_age_s": _rounded(time.time() - its.last),
                "last_failure": its.last_failure and asdict(its.last_failure),
                "last_failure_age_s": _rounded(
                    its.last_failure_at and time.time() - its.last_failure_at
                ),
            }
            for call, its in sorted(data.session.calls.figures.items())
        ]

    # What is read

    def _reading(self, data: EnirisData) -> dict[str, Any]:
        pace, telemetry, nodes = data.telemetry.pace, data.telemetry, data.nodes
        self._entities = {
            registered.unique_id: registered
            for registered in er.async_entries_for_config_entry(
                er.async_get(self._hass), self._entry.entry_id
            )
        }
        parts = [self._node(data, node) for node in nodes.data.by_id.values()]
        fields = [field for part in parts for field in part["fields"]]
        progress = data.history.progress
        return {
            "metadata": {
                "answers": nodes.answers,
                "is_last_poll_well": nodes.last_update_success,
                "last_failure": _failure(nodes.last_exception),
                "nodes": len(nodes.data.by_id),
                "listed": len(nodes.data.listed),
                "skipped_without_node_id": nodes.data.skipped,
                "sites": len(nodes.data.sites),
            },
            "telemetry": {
                "is_last_poll_well": telemetry.last_update_success,
                "last_failure": _failure(telemetry.last_exception),
                "interval_wanted_s": pace.wanted.total_seconds(),
                "interval_s": pace.interval.total_seconds(),
                "next_poll_s": telemetry.update_interval
                and telemetry.update_interval.total_seconds(),
                "reason": _reason_of_pace(
                    data.telemetry.last_update_success, pace.is_slowed
                ),
                "parts": pace.parts,
                "cost": pace.cost,
                "cost_per_minute": _rounded(pace.cost_per_minute),
                "remaining": pace.remaining,
                "used": None
                if pace.per_minute is None or pace.remaining is None
                else _rounded(pace.per_minute - pace.remaining),
                "budget_per_minute": pace.per_minute,
                **telemetry.counts,
            },
            "coverage": {
                "fields": len(fields),
                "with_value": sum(field["value_age_s"] is not None for field in fields),
                "current": sum(field["is_current"] for field in fields),
                "not_in_catalogue": [
                    {"measurement": measurement, "field": field, "count": count}
                    for (measurement, field), count in sorted(
                        Counter(
                            (field["measurement"], field["field"])
                            for field in fields
                            if not field["is_in_catalogue"]
                        ).items()
                    )
                ],
            },
            "entities": dict(
                sorted(Counter(map(_entity_state, self._entities.values())).items())
            ),
            "history": {
                "percent": progress.percent,
                "is_fetching": progress.fetching is not None,
                "is_waiting": progress.is_waiting,
                "back_to": progress.back_to and progress.back_to.date().isoformat(),
                "left_out": len(progress.left_out),
            },
            "nodes": parts,
        }

    def _node(self, data: EnirisData, node: Node) -> dict[str, Any]:
        device, labels = node.device, self._labels
        keys = dict.fromkeys(
            ReadingKey(node.id, series.measurement, field)
            for series in device.series
            for field in series.fields
        )
        return {
            "node": labels.of("node", node.id),
            "parent": node.parent_id and labels.of("node", node.parent_id),
            "node_type": _technical(device.node_type),
            "manufacturer": device.info.manufacturer,
            "model": device.info.model,
            "firmware_version": device.info.firmware_version,
            "series": [self._series(series) for series in device.series],
            "fields": [self._field(data, key) for key in keys],
        }

    def _series(self, series: SeriesInfo) -> dict[str, Any]:
        return {
            "database": self._labels.of("database", series.database),
            "retention_policy": self._labels.policy(series.retention_policy),
            "measurement": self._labels.measurement(series.measurement),
            "tag_keys": [_technical(key) for key, _ in series.tags],
            "fields": [self._labels.field(field) for field in series.fields],
        }

    def _field(self, data: EnirisData, key: ReadingKey) -> dict[str, Any]:
        telemetry = data.telemetry
        description = describe(key.measurement, key.field)
        reading = telemetry.data.get(key)
        parts = [None, *(it.part for it in directions(key.measurement, description))]
        return {
            "measurement": self._labels.measurement(key.measurement),
            "field": self._labels.field(key.field),
            # What is derived from a field's name has no translation
            "is_in_catalogue": description.translation_key is not None,
            "is_summed_up": description.accumulates,
            "value_age_s": reading and _rounded(self._age(reading.time)),
            "is_current": telemetry.is_available(key),
            "entities": [
                self._entity(registered, has_reading=reading is not None)
                for part in parts
                if (
                    registered := self._entities.get(
                        key.unique_id(self._entry.unique_id, part)
                    )
                )
            ],
        }

    def _entity(
        self, registered: er.RegistryEntry, *, has_reading: bool
    ) -> dict[str, Any]:
        state = self._hass.states.get(registered.entity_id)
        told: dict[str, Any] = {
            "platform": registered.domain,
            "disabled_by": registered.disabled_by and registered.disabled_by.value,
            "device_class": registered.device_class or registered.original_device_class,
            "state_class": (registered.capabilities or {}).get("state_class"),
            "unit": registered.unit_of_measurement,
            "state": _kind_of_state(state),
        }
        if state is not None and state.state == STATE_UNAVAILABLE:
            told["reason"] = "value too old or unusable" if has_reading else "no value"
        return told

    def _properties(self, node: Node) -> dict[str, Any]:
        """Return which properties a node has, and the values of those that are nobody's own."""
        device = node.device
        return {
            "types": {
                _technical(key): _shape(value)
                for key, value in sorted(device.properties.items())
            },
            "editable": sorted(filter(_WORD.fullmatch, device.editable)),
            "manufacturer": device.info.manufacturer,
            "model": device.info.model,
            "firmware_version": device.info.firmware_version,
            "nominal_power_w": device.info.nominal_power,
            "capacity_wh": device.info.capacity,
        }

    # What is written

    def _target(self, target: WriteTarget) -> dict[str, str]:
        labels = self._labels
        return {
            "target": labels.of(
                "target",
                f"{target.collector}\n{target.database}\n{target.retention_policy}",
            ),
            "collector": labels.of("collector", target.collector),
            "database": labels.of("database", target.database),
            "retention_policy": labels.policy(target.retention_policy),
        }

    def _export(self, export: Export) -> dict[str, Any]:
        part: dict[str, Any] = {
            "export": self._labels.of("export", export.id),
            **self._target(export.series.target),
            "measurement": self._labels.measurement(export.series.measurement),
            "tag_keys": [_technical(key) for key, _ in export.series.tags],
            "mode": export.policy.mode.value,
            "shortest_s": export.policy.shortest.total_seconds(),
            "interval_s": export.policy.interval.total_seconds(),
            "aggregate": export.policy.aggregate.value,
            "heartbeat_s": export.policy.heartbeat.total_seconds(),
            "past": export.backfill.value,
            "is_enabled": export.enabled,
            "fields": [],
        }
        for exported in export.fields:
            entity_id = async_entity_id(self._hass, exported.entity)
            if entity_id is not None:
                self._labels.of("entity id", entity_id)
            state = None if entity_id is None else self._hass.states.get(entity_id)
            kind = exported.kind or decide_kind(
                state, exported.field, exported.attribute
            )
            attributes = {} if state is None else state.attributes
            part["fields"].append(
                {
                    "field": self._labels.field(exported.field),
                    "entity": self._labels.of("entity", exported.entity),
                    "platform": entity_id and entity_id.partition(".")[0],
                    "is_attribute": exported.attribute is not None,
                    "state": _kind_of_state(state),
                    "sent_as": kind and kind.value,
                    "device_class": _technical(attributes.get("device_class")),
                    "state_class": _technical(attributes.get("state_class")),
                    "unit": _unit(attributes.get("unit_of_measurement")),
                }
            )
        if self._data is not None and export.id in self._data.exporter.exports:
            exporter = self._data.exporter
            status = exporter.status(export.id)
            part["has_problem"] = status.problem is not None
            if status.history is not None:
                part["history"] = self._job(status.history.job, status.history.percent)
        return part

    def _job(self, job: Job, percent: float) -> dict[str, Any]:
        return {
            "percent": _rounded(percent),
            "days": _rounded((job.end - job.start).total_seconds() / 86_400),
            "is_finished": job.finished is not None,
            "stored": job.stored,
            "outside": job.outside,
            "refused": job.refused,
            "unusable": job.unusable,
            "reason": job.reason and _refusal(job.reason),
        }

    async def _writing(self, data: EnirisData) -> dict[str, Any]:
        outbox = data.exporter.outbox
        writing: dict[str, Any] = {
            "can_be_put_on_disk": outbox.problem is None,
            "files": await self._files(),
        }
        try:
            figures = await outbox.refresh_figures()
            writing |= {
                "in_memory": len(outbox.memory),
                "bytes_in_use": await outbox.store.read(used_bytes),
                "damaged_files": len(await outbox.store.damaged_files()),
                "carried_over": outbox.store.carried_over,
                "figures": sorted(
                    (self._figures(name, its) for name, its in figures.items()),
                    key=lambda part: str(part["export"]),
                ),
                "targets": await self._targets(data.exporter),
                "blocked_fields": self._blocked_fields(outbox),
                "set_aside": await self._set_aside(outbox),
            }
        except OutboxError:
            writing["can_be_read"] = False
        return writing

    async def _files(self) -> dict[str, int]:
        """Return the sizes of the outbox' files in bytes."""
        path = outbox_path(
            Path(self._hass.config.path(STORAGE_DIR)), self._entry.entry_id
        )

        def sizes() -> dict[str, int]:
            return {
                kind: file.stat().st_size
                for kind, suffix in (("samples", ""), ("log", "-wal"))
                if (file := path.with_name(f"{path.name}{suffix}")).is_file()
            }

        return await self._hass.async_add_executor_job(sizes)

    def _origin(self, export_id: str) -> str:
        """Return what stands for the export that a sample was taken for."""
        if export_id == ACTION:
            return "actions"
        known = {export.id for export in self._exports}
        kind = "export" if export_id in known else "removed export"
        return self._labels.of(kind, export_id)

    def _figures(self, name: str, figures: Figures) -> dict[str, Any]:
        return {
            "export": self._origin(name),
            "waiting": figures.waiting,
            "uploaded": figures.uploaded,
            "rejected": figures.rejected,
            "dropped": figures.dropped,
            "oldest_age_s": _rounded(self._age(figures.oldest)),
            "last_upload_age_s": _rounded(self._age(figures.last_upload)),
        }

    async def _targets(self, exporter: Exporter) -> list[dict[str, Any]]:
        return [
            {
                **self._target(target),
                "waiting": await count_waiting(exporter.outbox, target),
                "works": state.works,
                "is_paused": state.paused and state.problem is not None,
                "failures": state.failures,
                "next_try_s": _rounded(max(0.0, state.not_before - time.monotonic()))
                if state.problem is not None
                else None,
                "last_failure": _failure(state.failure),
                "last_refusal": _failure(state.refusal),
                "refuses_all": state.refuses_all,
                "blocked_fields": sum(
                    key.target == target for key in exporter.outbox.blocked
                ),
                "bytes_per_request": state.size,
            }
            for target, state in sorted(exporter.uploader.targets.items())
        ]

    def _blocked_fields(self, outbox: Outbox) -> list[dict[str, Any]]:
        """Return the fields that the service refuses in every sample."""
        return [
            {
                **self._refused(key),
                "reason": _refusal(its.reason),
                "age_s": _rounded(time.time() - its.since),
            }
            for key, its in sorted(outbox.store.blocked.items())
        ]

    def _refused(self, key: FieldKey) -> dict[str, str]:
        return {
            "target": self._target(key.target)["target"],
            "measurement": self._labels.measurement(key.measurement),
            "field": self._labels.field(key.field),
            "type": key.type,
        }

    async def _set_aside(self, outbox: Outbox) -> list[dict[str, Any]]:
        """Return what is set aside, counted by what is wrong with it."""
        counts = Counter(
            (
                sample.export_id,
                field_key(sample.series, sample.field, sample.value),
                _refusal(reason),
            )
            for sample, reason in await outbox.store.read(load_rejects)
        )
        return [
            {
                "export": self._origin(export_id),
                **self._refused(key),
                "reason": reason,
                "count": count,
            }
            for (export_id, key, reason), count in sorted(counts.items())
        ]

    def _age(self, moment: datetime | None) -> float | None:
        return None if moment is None else (self._now - moment).total_seconds()


def _rounded(number: float | None) -> float | None:
    return None if number is None else round(number, 3)


def _failure(err: BaseException | None) -> dict[str, Any] | None:
    """Return what may be told of an error, or of the one that led to it."""
    return None if err is None else asdict(Failure.of(err.__cause__ or err))


def _refusal(reason: str) -> str:
    """Return the status of a stored refusal, and the service's known words in it."""
    status = re.match(r"\d{3}(?= )", reason)
    told = [status[0]] if status else []
    return " ".join([*told, *known_words(reason)]) or "could not be sent"


def _reason_of_pace(is_well: bool, is_slowed: bool) -> str:
    if not is_well:
        return "the last poll failed"
    return "the budget is too small" if is_slowed else "as chosen"


def _technical(text: object) -> str | None:
    """Return a word of somebody's vocabulary; anything that could be more is not told."""
    if text is None:
        return None
    word = str(text)
    return word if _WORD.fullmatch(word) else "(not a word)"


def _unit(text: object) -> str | None:
    """Return a unit that Home Assistant knows; of any other, what may be told of a word."""
    return text if isinstance(text, str) and text in _UNITS else _technical(text)


def _kind_of_state(state: State | None) -> str:
    if state is None:
        return "none"
    return (
        state.state
        if state.state in (STATE_UNAVAILABLE, STATE_UNKNOWN)
        else "has a value"
    )


def _entity_state(registered: er.RegistryEntry) -> str:
    return "enabled" if registered.disabled_by is None else "disabled"


def _shape(value: object) -> str:
    """Return the type of a property, and how much is in it."""
    kind = type(value).__name__
    return f"{kind} of {len(value)}" if isinstance(value, dict | list) else kind
