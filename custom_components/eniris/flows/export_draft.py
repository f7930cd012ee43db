"""`ExportDraft`: an export as far as its dialog has come."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from homeassistant.config_entries import ConfigEntryState, ConfigSubentry
from homeassistant.const import CONF_NAME
from homeassistant.core import HomeAssistant

from ..api import FieldValue, SeriesInfo
from ..const import (
    CONF_AGGREGATE,
    CONF_ATTRIBUTE,
    CONF_COLLECTOR,
    CONF_DATABASE,
    CONF_ENTITY,
    CONF_FIELD,
    CONF_FIELDS,
    CONF_HEARTBEAT,
    CONF_INTERVAL,
    CONF_KIND,
    CONF_MEASUREMENT,
    CONF_MODE,
    CONF_RETENTION_POLICY,
    CONF_SHORTEST,
    CONF_TAGS,
)
from ..data import EnirisConfigEntry
from ..exporting.config import (
    DEFAULT_INTERVAL,
    Aggregate,
    InvalidExport,
    Mode,
    async_entity_id,
    async_field_row,
    parse_export,
    parse_series,
)
from ..exporting.fields.kinds import FieldKind
from ..exporting.fields.suggestions import suggest_field
from ..exporting.fields.values import to_value
from .taken_fields import field_problem, taken_fields

SERIES: Final = (
    CONF_COLLECTOR,
    CONF_DATABASE,
    CONF_RETENTION_POLICY,
    CONF_MEASUREMENT,
    CONF_TAGS,
)
"""What says where values go."""

_STORED: Final = {
    Mode.CHANGE: (CONF_SHORTEST, CONF_HEARTBEAT),
    Mode.INTERVAL: (CONF_INTERVAL, CONF_AGGREGATE, CONF_HEARTBEAT),
}
"""What is stored of a mode."""

LONGEST_NAME: Final = 100
"""Characters that a new name may have."""

_BEGIN: Final[Mapping[str, Any]] = {
    **dict.fromkeys(SERIES, ""),
    CONF_TAGS: {},
    CONF_FIELDS: [],
    CONF_MODE: Mode.CHANGE.value,
    CONF_SHORTEST: 0,
    CONF_INTERVAL: DEFAULT_INTERVAL,
    CONF_AGGREGATE: Aggregate.LAST.value,
    CONF_HEARTBEAT: 0,
}
"""All that the forms ask for: what a change begins with where the export has no valid setting."""


@dataclass(slots=True)
class ChosenEntity:
    """What an entity becomes: a field, without a name at first, of its state or an attribute."""

    field: str = ""
    attribute: str | None = None


class ExportDraft:
    """What was chosen for an export so far: `settings` as an export stores them, and the entities."""

    def __init__(
        self,
        hass: HomeAssistant,
        entry: EnirisConfigEntry,
        subentry_id: str | None,
    ) -> None:
        """Begin with nothing, or with what an export has."""
        self._hass = hass
        self._entry = entry
        self._subentry_id = subentry_id
        self.settings: dict[str, Any] = {}
        self.chosen: dict[str, ChosenEntity] = {}
        """By entity id."""
        self.invalid: tuple[str, ...] = ()
        """The keys of stored settings that cannot be used."""
        self.accepted: tuple[str, str, dict[str, str]] | None = None
        """A series that the user knows to be written to by a device as well."""
        if subentry_id is None:
            return
        usable, self.invalid = _usable(self.subentry)
        self.settings = {CONF_NAME: self.subentry.title, **_BEGIN, **usable}
        for row in self.settings[CONF_FIELDS]:
            if entity_id := async_entity_id(hass, row[CONF_ENTITY]):
                self.chosen[entity_id] = ChosenEntity(
                    row[CONF_FIELD], row.get(CONF_ATTRIBUTE)
                )
        self.accepted = self.series_key

    @property
    def subentry(self) -> ConfigSubentry:
        """The export that is changed, as it is by now: the switch may be used while the dialog is open."""
        return self._entry.subentries[self._subentry_id or ""]

    @property
    def series_key(self) -> tuple[str, str, dict[str, str]]:
        """What a second writer overwrites whatever the retention policy: database, measurement and tags."""
        data = self.settings
        return data[CONF_DATABASE], data[CONF_MEASUREMENT], data[CONF_TAGS]

    def series_by_device(self) -> list[tuple[str, SeriesInfo]]:
        """Return the names of the account's devices with the series that they write themselves."""
        if self._entry.state is not ConfigEntryState.LOADED:
            return []
        return [
            (node.device.name or node.id, series)
            for node in self._entry.runtime_data.nodes.data.by_id.values()
            for series in node.device.series
        ]

    def owners(self) -> list[str]:
        """Return the names of devices that write to the chosen series, but for one that is accepted."""
        key = self.series_key
        if key == self.accepted:
            return []
        names = [
            name
            for name, own in self.series_by_device()
            if key == (own.database, own.measurement, dict(own.tags))
        ]
        return list(dict.fromkeys(names))

    def choose(self, entity_ids: list[str]) -> None:
        """Keep what was chosen for these entities, and begin with the others."""
        self.chosen = {id_: self.chosen.get(id_, ChosenEntity()) for id_ in entity_ids}

    def names(self) -> dict[str, str]:
        """Return what the forms call each entity: its name, with its id where another one has the same."""
        names = {}
        for entity_id in self.chosen:
            state = self._hass.states.get(entity_id)
            names[entity_id] = entity_id if state is None else state.name
        shared = Counter(names.values())
        return {
            entity_id: f"{name} ({entity_id})" if shared[name] > 1 else name
            for entity_id, name in names.items()
        }

    def _taken(self) -> set[str]:
        """Return the fields of the chosen series that other exports write."""
        series = parse_series(self.settings)
        return taken_fields(self._hass, series, without={self._subentry_id})

    def suggest_fields(self) -> None:
        """Give a name to each entity that has none."""
        taken = self._taken() | {its.field for its in self.chosen.values()}
        for entity_id, its in self.chosen.items():
            if not its.field:
                state = self._hass.states.get(entity_id)
                its.field = suggest_field(state, entity_id, taken, its.attribute)
                taken.add(its.field)

    def field_errors(self) -> dict[str, str]:
        """Return what is wrong with the names, as translation keys by entity id."""
        errors: dict[str, str] = {}
        taken = self._taken()
        for entity_id, its in self.chosen.items():
            state = self._hass.states.get(entity_id)
            if problem := field_problem(its.field, state, its.attribute, taken):
                errors[entity_id] = problem
            elif len(its.field) > LONGEST_NAME:
                errors[entity_id] = "name_too_long"
            taken.add(its.field)
        return errors

    def _rows(self) -> dict[str, dict[str, Any]]:
        """Return what is stored of each entity's field, by entity id."""
        kinds = {
            (
                async_entity_id(self._hass, row[CONF_ENTITY]),
                row[CONF_FIELD],
                row.get(CONF_ATTRIBUTE),
            ): row.get(CONF_KIND)
            for row in self._stored().get(CONF_FIELDS, ())
        }
        rows = {}
        for entity_id, its in self.chosen.items():
            row = async_field_row(self._hass, entity_id, its.field, its.attribute)
            if kind := kinds.get((entity_id, its.field, its.attribute)):
                # The service keeps the type of a field, whatever its entity has become
                row[CONF_KIND] = kind
            rows[entity_id] = row
        return rows

    def values(self) -> dict[str, FieldValue]:
        """Return the values that the entities have at present, by field."""
        values = {
            row[CONF_FIELD]: to_value(
                self._hass.states.get(entity_id),
                row[CONF_FIELD],
                row.get(CONF_ATTRIBUTE),
                FieldKind(row[CONF_KIND]),
            )
            for entity_id, row in self._rows().items()
            if CONF_KIND in row
        }
        return {field: value for field, value in values.items() if value is not None}

    def data(self) -> dict[str, Any]:
        """Return what the export stores, with what the forms do not ask for as it is by now."""
        keys = (*SERIES, CONF_MODE, *_STORED[self.settings[CONF_MODE]])
        data = {key: self.settings[key] for key in keys}
        data[CONF_FIELDS] = list(self._rows().values())
        stored = self._stored()
        return data | {key: stored[key] for key in stored.keys() - _BEGIN.keys()}

    def _stored(self) -> dict[str, Any]:
        """Return the valid settings that the export has by now; a new one has none."""
        return {} if self._subentry_id is None else _usable(self.subentry)[0]


def _usable(subentry: ConfigSubentry) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the stored settings that are valid, and the keys of the others."""
    try:
        parse_export(subentry.subentry_id, subentry.title, subentry.data)
    except InvalidExport as err:
        valid = {k: value for k, value in subentry.data.items() if k not in err.keys}
        return valid, err.keys
    return dict(subentry.data), ()
