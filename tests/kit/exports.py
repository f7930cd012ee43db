"""What the tests of exports share: a small world, the dialog of an export, entities, and time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from freezegun.api import FrozenDateTimeFactory
from pytest_homeassistant_custom_component.common import async_fire_time_changed
import voluptuous as vol

from custom_components.eniris.const import (
    CONF_ATTRIBUTES,
    CONF_COLLECTOR,
    CONF_DATABASE,
    CONF_ENTITIES,
    CONF_ENTITY,
    CONF_FIELD,
    CONF_FIELDS,
    CONF_HEARTBEAT,
    CONF_MEASUREMENT,
    CONF_MODE,
    CONF_RETENTION_POLICY,
    CONF_SHORTEST,
    CONF_TAGS,
    DOMAIN,
    SUBENTRY_EXPORT,
)
from custom_components.eniris.data import EnirisConfigEntry
from homeassistant.config_entries import (
    SOURCE_RECONFIGURE,
    SOURCE_USER,
    ConfigEntryState,
    ConfigSubentry,
)
from homeassistant.const import CONF_NAME, CONF_USERNAME
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType, section
from homeassistant.helpers import entity_registry as er, issue_registry as ir
from simulator.request_log import LoggedRequest
from simulator.server import Simulator
from simulator.store import StoredPoint
from tests.simulator.tiny_world import LEFT, SECONDS, TinyWorld

START = datetime(2026, 7, 1, 12, tzinfo=UTC)
WRITE = "POST /v1/telemetry"
INGRESS = "/v1/telemetry"

WHERE: Mapping[str, Any] = MappingProxyType(
    {
        CONF_NAME: "House",
        CONF_COLLECTOR: "demo-ingress",
        CONF_DATABASE: "demo",
        CONF_RETENTION_POLICY: "rp_one_m",
        CONF_MEASUREMENT: "gridMetrics",
        CONF_TAGS: ["serialNr=1234"],
    }
)
"""What a user types into the first form."""

POWER = "sensor.p1_power"


class MeterWorld(TinyWorld):
    """The small world, with series that the dialog can suggest."""

    def devices(self, now: datetime) -> Sequence[dict[str, Any]]:
        """Return a site, and a meter that has two series."""
        site, meter = super().devices(now)
        series = [
            {
                "database": key.database,
                "retentionPolicy": key.retention_policy,
                "measurement": key.measurement,
                "tags": dict(key.tags),
                "fields": ["actualPowerTot_W"],
            }
            for key in (SECONDS, LEFT)
        ]
        properties = {**meter["properties"], "nodeInfluxSeries": series}
        return [site, {**meter, "properties": properties}]


@dataclass(slots=True)
class Home:
    """A Home Assistant with a set-up account, the service, and time that stands still."""

    hass: HomeAssistant
    freezer: FrozenDateTimeFactory
    simulator: Simulator
    entry: EnirisConfigEntry

    async def settle(self) -> None:
        """Wait for everything under way, uploads included."""
        await self.hass.async_block_till_done(wait_background_tasks=True)

    async def wait(self, seconds: float, step: float = 1.0) -> None:
        """Let time pass, a step at a time."""
        left = seconds
        while left > 0:
            self.freezer.tick(min(step, left))
            left -= step
            async_fire_time_changed(self.hass)
            await self.settle()

    def add_entity(
        self, entity_id: str, state: str, attributes: Mapping[str, Any] | None = None
    ) -> str:
        """Give Home Assistant an entity of the registry, and return its registry id."""
        domain, object_id = entity_id.split(".")
        registered = er.async_get(self.hass).async_get_or_create(
            domain, "test", object_id, suggested_object_id=object_id
        )
        assert registered.entity_id == entity_id
        self.hass.states.async_set(entity_id, state, attributes)
        return registered.id

    def add_power(self, state: str = "1.5") -> str:
        """Give Home Assistant the power sensor, and return its registry id."""
        return self.add_entity(
            POWER, state, {"unit_of_measurement": "kW", "device_class": "power"}
        )

    async def add_export(
        self,
        fields: Mapping[str, str],
        /,
        *,
        title: str = "House",
        entry: EnirisConfigEntry | None = None,
        **changes: Any,
    ) -> ConfigSubentry:
        """Add an export of fields by entity without the dialog."""
        subentry = ConfigSubentry(
            data=MappingProxyType(export_data(fields, **changes)),
            subentry_type=SUBENTRY_EXPORT,
            title=title,
            unique_id=None,
        )
        account = entry or self.entry
        self.hass.config_entries.async_add_subentry(account, subentry)
        await self.settle()
        assert account.state is ConfigEntryState.LOADED
        return account.subentries[subentry.subentry_id]

    @property
    def exports(self) -> list[ConfigSubentry]:
        """The exports of the account."""
        return list(self.entry.subentries.values())

    @property
    def writes(self) -> list[LoggedRequest]:
        """The write requests, oldest first, but for the empty one with which a form tries the address."""
        return [each for each in self.simulator.log.find(WRITE) if each.received_bytes]

    def points(self, **wanted: Any) -> list[StoredPoint]:
        """Return what the service has stored."""
        return self.simulator.store.points(**wanted)

    def values(self, field: str = "actualPowerTot_W") -> list[Any]:
        """Return the stored values of a field, by time."""
        return [point.fields[field] for point in self.points(field_name=field)]

    def entity_id(self, subentry: ConfigSubentry, platform: str, key: str) -> str:
        """Return the entity that shows a figure of an export."""
        entity_id = er.async_get(self.hass).async_get_entity_id(
            platform, DOMAIN, f"{self.entry.unique_id}_{subentry.subentry_id}_{key}"
        )
        assert entity_id is not None, key
        return entity_id

    def shown(
        self, subentry: ConfigSubentry, key: str, platform: str = "sensor"
    ) -> str:
        """Return what a figure of an export is at."""
        state = self.hass.states.get(self.entity_id(subentry, platform, key))
        assert state is not None
        return state.state

    def issues(self) -> dict[str, Mapping[str, str]]:
        """Return the placeholders of the repair issues, by what they are about."""
        return {
            issue.translation_key or "": issue.translation_placeholders or {}
            for issue in ir.async_get(self.hass).issues.values()
            if issue.domain == DOMAIN and issue.active
        }

    def log_ins_asked_for(self) -> int:
        """Return how many re-authentications are in progress."""
        return sum(
            flow["context"]["source"] == "reauth"
            for flow in self.hass.config_entries.flow.async_progress()
        )


async def home_with_account(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    simulator: Simulator,
    user_input: Mapping[str, Any],
    username: str = "demo@example.com",
) -> Home:
    """Set an account up through its form, at the start of time."""
    freezer.move_to(START)
    result = await hass.config_entries.flow.async_init(
        DOMAIN,
        context={"source": SOURCE_USER},
        data={**user_input, CONF_USERNAME: username},
    )
    if result.get("step_id") == "history":
        # Asked where there is a recorder
        result = await hass.config_entries.flow.async_configure(
            result["flow_id"], {"back": "none"}
        )
    assert result["type"] is FlowResultType.CREATE_ENTRY, result
    home = Home(hass, freezer, simulator, result["result"])
    await home.settle()
    return home


def export_data(fields: Mapping[str, str], /, **changes: Any) -> dict[str, Any]:
    """Return what an export of fields by entity stores."""
    return {
        CONF_COLLECTOR: "demo-ingress",
        CONF_DATABASE: "demo",
        CONF_RETENTION_POLICY: "rp_one_m",
        CONF_MEASUREMENT: "gridMetrics",
        CONF_TAGS: {"serialNr": "1234"},
        CONF_MODE: "change",
        CONF_SHORTEST: 0,
        CONF_HEARTBEAT: 0,
        CONF_FIELDS: [
            {CONF_ENTITY: entity, CONF_FIELD: field} for entity, field in fields.items()
        ],
        **changes,
    }


def suggested(schema: vol.Schema) -> dict[str, Any]:
    """Return what the fields of a form hold before the user types, sections included."""
    values = {}
    for key, value in schema.schema.items():
        if isinstance(value, section):
            values[key.schema] = suggested(value.schema)
        elif key.description and "suggested_value" in key.description:
            values[key.schema] = key.description["suggested_value"]
        elif not isinstance(key.default, vol.Undefined):
            values[key.schema] = key.default()
    return values


class Dialog:
    """The dialog of an export, as a user walks it. `result` is what is on the screen."""

    def __init__(self, home: Home) -> None:
        """Stand before the dialog."""
        self.home = home
        self.result: Any = None

    async def open(self, subentry: ConfigSubentry | None = None) -> Any:
        """Open the dialog of a new export, or of one that there is."""
        subentries = self.home.hass.config_entries.subentries
        handler = (self.home.entry.entry_id, SUBENTRY_EXPORT)
        if subentry is None:
            self.result = await subentries.async_init(
                handler, context={"source": SOURCE_USER}
            )
        else:
            self.result = await subentries.async_init(
                handler,
                context={
                    "source": SOURCE_RECONFIGURE,
                    "subentry_id": subentry.subentry_id,
                },
            )
        return self.result

    async def submit(self, user_input: Mapping[str, Any]) -> Any:
        """Submit the form that is shown."""
        assert self.result["type"] is FlowResultType.FORM, self.result
        return await self._configure({self._name(k): v for k, v in user_input.items()})

    async def choose(self, option: str) -> Any:
        """Choose from the menu that is shown."""
        assert self.result["type"] is FlowResultType.MENU, self.result
        assert option in self.result["menu_options"]
        result = await self._configure({"next_step_id": option})
        return await self.write() if option == "trial" else result

    async def end(self) -> Any:
        """Go on after a trial that worked."""
        self.expect("written")
        [option] = self.result["menu_options"]
        return await self.choose(option)

    async def _configure(self, user_input: Mapping[str, Any]) -> Any:
        subentries = self.home.hass.config_entries.subentries
        self.result = await subentries.async_configure(
            self.result["flow_id"], dict(user_input)
        )
        await self.home.settle()
        return self.result

    async def to_fields(
        self, *entities: str, where: Mapping[str, Any] = WHERE, attributes: bool = False
    ) -> Any:
        """Go from the first form to the choice of names, or to that of attributes."""
        await self.submit(where)
        self.expect("entities")
        await self.submit({CONF_ENTITIES: list(entities), CONF_ATTRIBUTES: attributes})
        self.expect("attributes" if attributes else "fields")
        return self.result

    def _name(self, key: str) -> str:
        """Return what the form calls a field: an entity by its name, with its id where two have the same."""
        state = self.home.hass.states.get(key)
        names = {each.schema for each in self.result["data_schema"].schema}
        called = [str(state.name), f"{state.name} ({key})"] if state else []
        for name in (key, *called):
            if name in names:
                return name
        return key

    def _keys(self, by_name: Mapping[str, Any]) -> dict[str, Any]:
        """Return what a form shows by entity id, where its fields have the names of entities."""
        if self.result["type"] is not FlowResultType.FORM:
            return dict(by_name)
        ids = {self._name(id_): id_ for id_ in self.home.hass.states.async_entity_ids()}
        return {ids.get(name, name): value for name, value in by_name.items()}

    async def to_trial(self, fields: Mapping[str, str]) -> Any:
        """Go from the choice of names to the trial and what comes of it, with every change sent."""
        await self.submit(fields)
        self.expect("when")
        await self.choose("change")
        self.expect("change")
        await self.submit({CONF_SHORTEST: 0, CONF_HEARTBEAT: 0})
        return await self.write()

    async def write(self) -> Any:
        """Agree to a trial, if one is offered."""
        if self.result.get("step_id") == "trial":
            await self.choose("write")
        return self.result

    async def to_end_of_trial(
        self, fields: Mapping[str, str], where: Mapping[str, Any] = WHERE
    ) -> Any:
        """Open the dialog of a new export and go up to the trial and what comes of it."""
        await self.open()
        await self.to_fields(*fields, where=where)
        return await self.to_trial(fields)

    def expect(self, step: str, errors: Mapping[str, str] | None = None) -> None:
        """Be on a step, and be told of these errors."""
        assert self.result.get("step_id") == step, self.result
        assert self._keys(self.result.get("errors") or {}) == (errors or {})

    @property
    def shown(self) -> dict[str, Any]:
        """What the fields of the form hold before the user types."""
        return self._keys(suggested(self.result["data_schema"]))

    def options(self, field: str) -> list[str]:
        """Return what a field of the form offers."""
        [selector] = [
            selector
            for key, selector in self.result["data_schema"].schema.items()
            if key.schema == self._name(field)
        ]
        return [
            option["value"] if isinstance(option, dict) else option
            for option in selector.config["options"]
        ]

    @property
    def quoted(self) -> dict[str, str]:
        """What the texts of the step quote."""
        placeholders: dict[str, str] = self.result["description_placeholders"]
        return placeholders
