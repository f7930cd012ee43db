"""Repairs: what the owner of an account can put right, from the dialog of the issue that tells of it."""

from abc import ABCMeta, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
import math
from typing import Any, Final

import voluptuous as vol

from homeassistant.components.repairs import RepairsFlow
from homeassistant.config_entries import ConfigEntryState, ConfigSubentry
from homeassistant.core import HomeAssistant, callback
from homeassistant.data_entry_flow import AbortFlow, FlowResult
from homeassistant.helpers import issue_registry as ir
from homeassistant.helpers.selector import BooleanSelector, TextSelector

from .account import read_options
from .api import WriteTarget
from .const import (
    CONF_AGE_LIMIT,
    CONF_ATTRIBUTE,
    CONF_COLLECTOR,
    CONF_DATABASE,
    CONF_ENTITY,
    CONF_FIELD,
    CONF_FIELDS,
    CONF_IMPORT,
    CONF_INTERVAL,
    CONF_MEASUREMENT,
    CONF_OUTBOX,
    CONF_PREFERENCE,
    CONF_RETENTION_POLICY,
    CONF_SIZE_LIMIT,
    DEFAULT_AGE_LIMIT,
    DEFAULT_SIZE_LIMIT,
    DOMAIN,
    LARGEST_SIZE,
    LONGEST_AGE,
    LONGEST_POLL_INTERVAL,
    SUBENTRY_EXPORT,
)
from .data import EnirisConfigEntry
from .export_flow import entity_selector
from .exporting.config import (
    Series,
    async_entity_id,
    async_entity_reference,
    parse_series,
    read_data,
)
from .exporting.exporter import Exporter
from .exporting.issues import ATTR_ENTRY_ID, ATTR_EXPORT_ID, Detail
from .exporting.mending import NamedField
from .exporting.names import name_problem, namespace_problem
from .exporting.outbox import OutboxError
from .exporting.values import field_unit, unit_problem
from .importing.plan import Preference
from .options_flow import INTERVAL_SELECTOR, LIMIT_SELECTORS

_CONF_MOVE: Final = "move"


async def async_create_fix_flow(
    hass: HomeAssistant, issue_id: str, data: dict[str, Detail] | None
) -> RepairsFlow:
    """Return the dialog of an issue."""
    issue = ir.async_get(hass).async_get_issue(DOMAIN, issue_id)
    kind = (issue and issue.translation_key) or ""
    return _FLOWS[kind](data or {}, (issue and issue.translation_placeholders) or {})


class _Fix(RepairsFlow, metaclass=ABCMeta):
    """A dialog that mends something of an account that is loaded."""

    def __init__(
        self, details: Mapping[str, Detail], placeholders: Mapping[str, str]
    ) -> None:
        """Mend what `details` name; the texts of the issue quote `placeholders`."""
        self._details = details
        self._placeholders = dict(placeholders)

    def _detail(self, name: str) -> str:
        return str(self._details[name])

    @property
    def _entry(self) -> EnirisConfigEntry:
        """The account, while it is loaded; without that the dialog ends."""
        entry: EnirisConfigEntry | None = self.hass.config_entries.async_get_entry(
            self._detail(ATTR_ENTRY_ID)
        )
        if entry is None or entry.state is not ConfigEntryState.LOADED:
            raise AbortFlow("not_loaded")
        return entry

    @property
    def _is_raised(self) -> bool:
        return (
            ir.async_get(self.hass).async_get_issue(DOMAIN, self.issue_id) is not None
        )

    async def async_step_init(
        self, user_input: dict[str, Any] | None = None
    ) -> FlowResult:
        """Begin, if there is still something to mend."""
        entry = self._entry
        if not self._is_raised:
            return self.async_abort(reason="solved")
        try:
            return await self._begin(entry)
        except OutboxError as err:
            return self._failed(err)

    @abstractmethod
    async def _begin(self, entry: EnirisConfigEntry) -> FlowResult:
        """Show the first step."""

    def _failed(self, err: OutboxError) -> FlowResult:
        return self.async_abort(
            reason="outbox_failed", description_placeholders={"error": str(err)}
        )

    def _form(
        self,
        step_id: str,
        fields: Mapping[vol.Marker, Any] | None = None,
        errors: Mapping[str, str] | None = None,
        **placeholders: str,
    ) -> FlowResult:
        self._placeholders |= placeholders
        return self.async_show_form(
            step_id=step_id,
            data_schema=vol.Schema(dict(fields or {})),
            errors=dict(errors or {}),
            description_placeholders=self._placeholders,
        )

    def _menu(
        self, step_id: str, options: list[str], **placeholders: str
    ) -> FlowResult:
        self._placeholders |= placeholders
        return self.async_show_menu(
            step_id=step_id,
            menu_options=options,
            description_placeholders=self._placeholders,
        )

    def _done(self) -> FlowResult:
        """End well; Home Assistant takes the issue back."""
        return self.async_create_entry(data={})

    def _unsolved(self, reason: str, **placeholders: str) -> FlowResult:
        """End with the issue as it is."""
        return self.async_abort(
            reason=reason,
            description_placeholders={**self._placeholders, **placeholders},
        )

    def _options(self, entry: EnirisConfigEntry, section: str) -> dict[str, Any]:
        return read_options(entry.options)[0].get(section, {})

    async def _async_set_options(
        self, entry: EnirisConfigEntry, section: str, **changes: Any
    ) -> None:
        """Change options, and wait until the account runs with them or has failed to."""
        options = {**self._options(entry, section), **changes}
        self.hass.config_entries.async_update_entry(
            entry, options={**entry.options, section: options}
        )
        await self._async_reloaded(entry)

    async def _async_reloaded(self, entry: EnirisConfigEntry) -> None:
        """Wait until an account runs with what was changed of it, or has failed to."""
        # A change reloads the account at once, and that holds the lock
        async with entry.setup_lock:
            pass

    @callback
    def _update_export(
        self, entry: EnirisConfigEntry, export: ConfigSubentry, **changes: Any
    ) -> None:
        self.hass.config_entries.async_update_subentry(
            entry, export, data={**export.data, **changes}
        )


def _exports(entry: EnirisConfigEntry) -> Iterator[ConfigSubentry]:
    """Yield the exports that are known to write somewhere."""
    for subentry in entry.subentries.values():
        if (
            subentry.subentry_type == SUBENTRY_EXPORT
            and read_data(subentry.data).has_series
        ):
            yield subentry


def _rows(export: ConfigSubentry) -> list[dict[str, Any]]:
    """Return the fields of an export; those that cannot be read are not sent."""
    rows: list[dict[str, Any]] = read_data(export.data).data[CONF_FIELDS]
    return rows


def _place(series: Series) -> tuple[Any, ...]:
    """Return what identifies a series to the service: the collector is no part of it."""
    target = series.target
    return target.database, target.retention_policy, series.measurement, series.tags


class _BudgetFix(_Fix):
    """The budget is too small: read less often, or by the minute."""

    _affordable = 0

    async def _begin(self, entry: EnirisConfigEntry) -> FlowResult:
        pace = entry.runtime_data.telemetry.pace
        self._affordable = math.ceil(pace.interval.total_seconds())
        self._placeholders["affordable"] = str(self._affordable)
        preference = self._options(entry, CONF_IMPORT).get(CONF_PREFERENCE)
        if preference == Preference.LIGHTEST:
            return await self.async_step_interval()
        return self._menu("init", ["interval", "lightest"])

    async def async_step_interval(
        self, user_input: dict[str, Any] | None = None
    ) -> FlowResult:
        """Ask for the interval, beginning with the one that the budget allows."""
        if user_input is not None:
            return await self._async_change(
                **{CONF_INTERVAL: int(user_input[CONF_INTERVAL])}
            )
        default = min(self._affordable, LONGEST_POLL_INTERVAL)
        key = vol.Required(CONF_INTERVAL, default=default)
        return self._form("interval", {key: INTERVAL_SELECTOR})

    async def async_step_lightest(
        self, user_input: dict[str, Any] | None = None
    ) -> FlowResult:
        """Read by the minute what is there by the minute."""
        return await self._async_change(**{CONF_PREFERENCE: Preference.LIGHTEST.value})

    async def _async_change(self, **changes: Any) -> FlowResult:
        entry = self._entry
        await self._async_set_options(entry, CONF_IMPORT, **changes)
        # The account has been read once since then, if that was possible
        data = self._entry.runtime_data
        pace = data.telemetry.pace
        if not (data.nodes.last_update_success and data.telemetry.last_update_success):
            return self._unsolved("not_known_yet")
        if pace.is_slowed:
            return self._unsolved(
                "still_slow", interval=f"{pace.interval.total_seconds():.0f}"
            )
        return self._done()


class _EntityGoneFix(_Fix):
    """An exported entity was deleted: choose another one, or leave the field out."""

    async def _begin(self, entry: EnirisConfigEntry) -> FlowResult:
        export = self._export(entry)
        if len(_rows(export)) == 1:
            # An export of nothing is none
            return await self.async_step_replace()
        return self._menu("init", ["replace", "leave_out"])

    def _export(self, entry: EnirisConfigEntry) -> ConfigSubentry:
        """Return the export while it sends an entity that is gone; without that the dialog ends."""
        export = entry.subentries.get(self._detail(ATTR_EXPORT_ID))
        if export is not None and any(
            row[CONF_FIELD] == self._detail(CONF_FIELD)
            and async_entity_id(self.hass, row[CONF_ENTITY]) is None
            for row in _rows(export)
        ):
            return export
        raise AbortFlow("solved")

    async def async_step_replace(
        self, user_input: dict[str, Any] | None = None
    ) -> FlowResult:
        """Ask for another entity."""
        entry = self._entry
        export = self._export(entry)
        errors: dict[str, str] = {}
        entity_id = (user_input or {}).get(CONF_ENTITY)
        if entity_id is not None:
            problem = self._problem(export, entity_id)
            if problem is None:
                return await self._async_change(entry, export, entity_id)
            errors[CONF_ENTITY] = problem
        key = vol.Required(
            CONF_ENTITY, description={"suggested_value": entity_id or None}
        )
        return self._form("replace", {key: entity_selector(multiple=False)}, errors)

    def _problem(self, export: ConfigSubentry, entity_id: str) -> str | None:
        rows = {row[CONF_FIELD]: row for row in _rows(export)}
        if entity_id in (
            async_entity_id(self.hass, row[CONF_ENTITY]) for row in rows.values()
        ):
            return "entity_in_export"
        field = self._detail(CONF_FIELD)
        if CONF_ATTRIBUTE in rows[field]:
            # An attribute has no unit of its own
            return None
        return unit_problem(self.hass.states.get(entity_id), field)

    async def async_step_leave_out(
        self, user_input: dict[str, Any] | None = None
    ) -> FlowResult:
        """Send the other fields of the export alone."""
        entry = self._entry
        export = self._export(entry)
        return await self._async_change(entry, export, None)

    async def _async_change(
        self, entry: EnirisConfigEntry, export: ConfigSubentry, entity_id: str | None
    ) -> FlowResult:
        field = self._detail(CONF_FIELD)
        rows = []
        for row in _rows(export):
            if row[CONF_FIELD] != field:
                rows.append(row)
            elif entity_id is not None:
                reference = async_entity_reference(self.hass, entity_id)
                rows.append({**row, CONF_ENTITY: reference})
        self._update_export(entry, export, **{CONF_FIELDS: rows})
        await self._async_reloaded(entry)
        return self._done()


class _TargetFix(_Fix):
    """A target takes nothing: try again, or correct it and send what waits there."""

    _choices: tuple[str, ...] = ("try_again", "correct")

    async def _begin(self, entry: EnirisConfigEntry) -> FlowResult:
        waiting = await entry.runtime_data.exporter.async_waiting_for(self._target)
        return self._menu("init", list(self._choices), waiting=str(waiting))

    @property
    def _target(self) -> WriteTarget:
        return WriteTarget(
            self._detail(CONF_COLLECTOR),
            self._detail(CONF_DATABASE),
            self._detail(CONF_RETENTION_POLICY),
        )

    async def async_step_try_again(
        self, user_input: dict[str, Any] | None = None
    ) -> FlowResult:
        """Upload at once, and tell what the service says."""
        entry = self._entry
        exporter: Exporter = entry.runtime_data.exporter
        problem = await exporter.async_upload_now(self._target)
        try:
            if problem is None or not await exporter.async_waiting_for(self._target):
                exporter.async_forget_target(self._target)
                return self._done()
        except OutboxError as err:
            return self._failed(err)
        self._placeholders["error"] = problem
        return await self.async_step_still_refused()

    async def async_step_still_refused(
        self, user_input: dict[str, Any] | None = None
    ) -> FlowResult:
        """Tell that it did not help, and offer the same again."""
        return self._menu("still_refused", list(self._choices))

    async def async_step_correct(
        self, user_input: dict[str, Any] | None = None
    ) -> FlowResult:
        """Ask for the right target, and whether what waits is for it, too."""
        entry = self._entry
        errors: dict[str, str] = {}
        shown = {
            CONF_COLLECTOR: self._target.collector,
            CONF_DATABASE: self._target.database,
            CONF_RETENTION_POLICY: self._target.retention_policy,
        }
        try:
            waiting = await entry.runtime_data.exporter.async_waiting_for(self._target)
            if user_input is not None:
                shown = {key: user_input[key].strip() for key in shown}
                errors = self._problems(entry, shown)
                if not errors:
                    return await self._async_correct(
                        entry, WriteTarget(**shown), user_input.get(_CONF_MOVE, False)
                    )
        except OutboxError as err:
            return self._failed(err)
        fields: dict[vol.Marker, Any] = {
            vol.Required(key, default=value): TextSelector()
            for key, value in shown.items()
        }
        if waiting:
            fields[vol.Required(_CONF_MOVE, default=True)] = BooleanSelector()
        return self._form("correct", fields, errors, waiting=str(waiting))

    def _problems(
        self, entry: EnirisConfigEntry, typed: Mapping[str, str]
    ) -> dict[str, str]:
        problems = {key: namespace_problem(value) for key, value in typed.items()}
        errors = {key: problem for key, problem in problems.items() if problem}
        if not errors and WriteTarget(**typed) == self._target:
            errors["base"] = "unchanged"
        if not errors and self._is_taken(entry, typed):
            errors["base"] = "field_taken"
        return errors

    def _affected(self, entry: EnirisConfigEntry) -> list[ConfigSubentry]:
        return [
            export
            for export in _exports(entry)
            if parse_series(export.data).target == self._target
        ]

    def _is_taken(self, entry: EnirisConfigEntry, typed: Mapping[str, str]) -> bool:
        """Tell whether two exports would write the same field, of whichever account."""
        affected = self._affected(entry)
        ids = {export.subentry_id for export in affected}
        return any(
            not fields.isdisjoint(
                _fields_of_series(
                    self.hass, parse_series({**export.data, **typed}), ids
                )
            )
            for export in affected
            if (fields := {row[CONF_FIELD] for row in _rows(export)})
        )

    async def _async_correct(
        self, entry: EnirisConfigEntry, target: WriteTarget, move: bool
    ) -> FlowResult:
        affected = self._affected(entry)
        for export in affected:
            self._update_export(
                entry,
                export,
                **{
                    CONF_COLLECTOR: target.collector,
                    CONF_DATABASE: target.database,
                    CONF_RETENTION_POLICY: target.retention_policy,
                },
            )
        # In this order: by now nothing is taken for the old target any more
        if affected:
            await self._async_reloaded(entry)
        exporter: Exporter = self._entry.runtime_data.exporter
        if move:
            await exporter.async_move(self._target, target)
        problem = await exporter.async_upload_now(target)
        if left := await exporter.async_waiting_for(self._target):
            # The issue of the old target stays, since it is true
            return self._unsolved(
                "left_waiting" if problem is None else "corrected_still_refused",
                waiting=str(left),
                error=problem or "",
            )
        exporter.async_forget_target(self._target)
        if problem is None:
            return self._done()
        # From here on the dialog is about the new target
        named = asdict(target)
        self._details = {**self._details, **named}
        self._placeholders |= {**named, "error": problem}
        return await self.async_step_still_refused()


class _NamespaceFix(_TargetFix):
    """The service does not know a target: most often it is spelt wrong."""

    _choices = ("correct", "try_again")


def _fields_of_series(
    hass: HomeAssistant, series: Series, without: set[str]
) -> set[str]:
    """Return the fields of a series that exports write, of any account but for some exports."""
    return {
        row[CONF_FIELD]
        for entry in hass.config_entries.async_entries(DOMAIN)
        for export in _exports(entry)
        if export.subentry_id not in without
        and _place(parse_series(export.data)) == _place(series)
        for row in _rows(export)
    }


class _TypeConflictFix(_Fix):
    """The service keeps another type under a name: send under another, and what was set aside, too.

    What an action has pushed can only be forgotten: no export of ours has the name.
    """

    _name = ""

    async def _begin(self, entry: EnirisConfigEntry) -> FlowResult:
        if not self._affected(entry):
            count = await entry.runtime_data.exporter.async_held_back(self._named, None)
            return self._form("discard", held_back=str(count))
        return await self.async_step_rename()

    async def async_step_discard(
        self, user_input: dict[str, Any] | None = None
    ) -> FlowResult:
        """Forget what an action has pushed."""
        entry = self._entry
        return await self._async_settle(entry, None)

    @property
    def _named(self) -> NamedField:
        return NamedField(
            WriteTarget(
                self._detail(CONF_COLLECTOR),
                self._detail(CONF_DATABASE),
                self._detail(CONF_RETENTION_POLICY),
            ),
            self._detail(CONF_MEASUREMENT),
            self._detail(CONF_FIELD),
        )

    def _affected(self, entry: EnirisConfigEntry) -> list[ConfigSubentry]:
        named = self._named
        return [
            export
            for export in _exports(entry)
            if parse_series(export.data).target == named.target
            and export.data[CONF_MEASUREMENT] == named.measurement
            and any(row[CONF_FIELD] == named.field for row in _rows(export))
        ]

    async def async_step_rename(
        self, user_input: dict[str, Any] | None = None
    ) -> FlowResult:
        """Ask for another name."""
        entry = self._entry
        errors: dict[str, str] = {}
        name = _another_name(self._named.field)
        if user_input is not None:
            self._name = name = user_input[CONF_FIELD].strip()
            problem = self._problem(entry, name)
            if problem is None:
                return await self._async_ask_about_held_back(entry)
            errors[CONF_FIELD] = problem
        return self._rename_form(entry, name, errors)

    def _rename_form(
        self, entry: EnirisConfigEntry, name: str, errors: Mapping[str, str]
    ) -> FlowResult:
        return self._form(
            "rename",
            {vol.Required(CONF_FIELD, default=name): TextSelector()},
            errors,
            exports=", ".join(export.title for export in self._affected(entry)),
        )

    def _problem(self, entry: EnirisConfigEntry, name: str) -> str | None:
        """Return what is wrong with a name, as the dialog of an export would say it."""
        if problem := name_problem(name):
            return problem
        if name == self._named.field:
            return "unchanged"
        for export in self._affected(entry):
            taken = {row[CONF_FIELD] for row in _rows(export)}
            taken |= _fields_of_series(
                self.hass, parse_series(export.data), {export.subentry_id}
            )
            if name in taken:
                return "field_taken"
            for row in _rows(export):
                entity_id = async_entity_id(self.hass, row[CONF_ENTITY])
                if (
                    row[CONF_FIELD] == self._named.field
                    and CONF_ATTRIBUTE not in row
                    and entity_id is not None
                    and (problem := unit_problem(self.hass.states.get(entity_id), name))
                ):
                    return problem
        return None

    async def _async_ask_about_held_back(self, entry: EnirisConfigEntry) -> FlowResult:
        try:
            count = await entry.runtime_data.exporter.async_held_back(
                self._named, self._ids(entry)
            )
        except OutboxError as err:
            return self._failed(err)
        if not count:
            return await self.async_step_forget()
        self._placeholders |= {"held_back": str(count), "new_field": self._name}
        return await self.async_step_held_back()

    async def async_step_held_back(
        self, user_input: dict[str, Any] | None = None
    ) -> FlowResult:
        """Ask what becomes of what was set aside."""
        options = ["forget"]
        if field_unit(self._name) == field_unit(self._named.field):
            # Under another unit these numbers would mean something else
            options.insert(0, "send")
        return self._menu("held_back", options)

    def _ids(self, entry: EnirisConfigEntry) -> list[str]:
        return [export.subentry_id for export in self._affected(entry)]

    async def async_step_send(
        self, user_input: dict[str, Any] | None = None
    ) -> FlowResult:
        """Rename the field, and send what was set aside under the new name."""
        return await self._async_rename(send=True)

    async def async_step_forget(
        self, user_input: dict[str, Any] | None = None
    ) -> FlowResult:
        """Rename the field, and forget what was set aside."""
        return await self._async_rename(send=False)

    async def _async_rename(self, *, send: bool) -> FlowResult:
        entry = self._entry
        if (problem := self._problem(entry, self._name)) is not None:
            # A name was taken while the dialog was open
            return self._rename_form(entry, self._name, {CONF_FIELD: problem})
        ids = self._ids(entry)
        for export in self._affected(entry):
            rows = [
                {**row, CONF_FIELD: self._name}
                if row[CONF_FIELD] == self._named.field
                else row
                for row in _rows(export)
            ]
            self._update_export(entry, export, **{CONF_FIELDS: rows})
        await self._async_reloaded(entry)
        return await self._async_settle(self._entry, ids, self._name if send else None)

    async def _async_settle(
        self,
        entry: EnirisConfigEntry,
        exports: list[str] | None,
        name: str | None = None,
    ) -> FlowResult:
        exporter: Exporter = entry.runtime_data.exporter
        try:
            if exports is not None and name is not None:
                await exporter.async_rename(self._named, exports, name)
            else:
                await exporter.async_forget(self._named, exports)
        except OutboxError as err:
            return self._failed(err)
        return self._done()


def _another_name(field: str) -> str:
    """Return a name with the same unit at its end."""
    if field_unit(field) is None:
        return f"{field}_2"
    name, _, unit = field.rpartition("_")
    return f"{name}_2_{unit}"


class _LimitFix(_Fix):
    """Values were dropped at a limit: raise it, or take note."""

    async def _begin(self, entry: EnirisConfigEntry) -> FlowResult:
        return self._menu("init", ["raise_limit", "acknowledge"])

    async def async_step_raise_limit(
        self, user_input: dict[str, Any] | None = None
    ) -> FlowResult:
        """Ask for the new limits, beginning with twice what they are."""
        entry = self._entry
        options = self._options(entry, CONF_OUTBOX)
        size = int(options.get(CONF_SIZE_LIMIT, DEFAULT_SIZE_LIMIT))
        age = int(options.get(CONF_AGE_LIMIT, DEFAULT_AGE_LIMIT))
        shown = {CONF_SIZE_LIMIT: min(2 * size, LARGEST_SIZE)}
        if age:
            shown[CONF_AGE_LIMIT] = min(2 * age, LONGEST_AGE)
        errors: dict[str, str] = {}
        if user_input is not None:
            shown = {key: int(user_input[key]) for key in shown}
            days = shown.get(CONF_AGE_LIMIT, age)
            if shown[CONF_SIZE_LIMIT] > size or (age and (not days or days > age)):
                await self._async_set_options(entry, CONF_OUTBOX, **shown)
                return self._done()
            errors["base"] = "not_raised"
        fields: dict[vol.Marker, Any] = {
            vol.Required(key, default=value): LIMIT_SELECTORS[key]
            for key, value in shown.items()
        }
        return self._form("raise_limit", fields, errors)

    async def async_step_acknowledge(
        self, user_input: dict[str, Any] | None = None
    ) -> FlowResult:
        """Count anew from now on."""
        entry = self._entry
        entry.runtime_data.exporter.async_acknowledge_dropped()
        return self._done()


class _DamagedFix(_Fix):
    """A file could not be read and was kept: delete it."""

    _files: Sequence[str] = ()

    async def _begin(self, entry: EnirisConfigEntry) -> FlowResult:
        self._files = await entry.runtime_data.exporter.outbox.damaged_files()
        if not self._files:
            return self.async_abort(reason="solved")
        names = "\n".join(f"- `{name}`" for name in self._files)
        return self._form("confirm", files=names)

    async def async_step_confirm(
        self, user_input: dict[str, Any] | None = None
    ) -> FlowResult:
        """Delete what was shown."""
        entry = self._entry
        try:
            await entry.runtime_data.exporter.async_delete_damaged(self._files)
        except OutboxError as err:
            return self._failed(err)
        return self._done()


class _ExportDamagedFix(_Fix):
    """Stored settings of an export cannot be read: its own dialog mends that, else delete it."""

    async def _begin(self, entry: EnirisConfigEntry) -> FlowResult:
        return self._form("delete_export")

    async def async_step_delete_export(
        self, user_input: dict[str, Any] | None = None
    ) -> FlowResult:
        """Delete the export; what waits of it is sent."""
        entry = self._entry
        export_id = self._detail(ATTR_EXPORT_ID)
        if not self._is_raised or export_id not in entry.subentries:
            return self.async_abort(reason="solved")
        self.hass.config_entries.async_remove_subentry(entry, export_id)
        await self._async_reloaded(entry)
        return self._done()


class _DiskFix(_Fix):
    """Values could not be put on disk, and some were dropped: try again."""

    async def _begin(self, entry: EnirisConfigEntry) -> FlowResult:
        return self._form("try_again")

    async def async_step_try_again(
        self, user_input: dict[str, Any] | None = None
    ) -> FlowResult:
        """Put on disk what is in memory."""
        entry = self._entry
        problem = await entry.runtime_data.exporter.async_try_disk()
        if problem is not None:
            return self._form("try_again", errors={"base": "still_full"}, error=problem)
        return self._done()


_FLOWS: Final[Mapping[str, type[_Fix]]] = {
    "budget": _BudgetFix,
    "entity_gone": _EntityGoneFix,
    "export_damaged": _ExportDamagedFix,
    "namespace_unknown": _NamespaceFix,
    "not_on_disk": _DiskFix,
    "outbox_damaged": _DamagedFix,
    "outbox_limit": _LimitFix,
    "role_missing": _TargetFix,
    "type_conflict": _TypeConflictFix,
}
