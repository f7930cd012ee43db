"""What tests of repairs share: the dialog of an issue, over Home Assistant's HTTP interface, which shows true texts alone."""

from http import HTTPStatus
from typing import Any

import pytest
from pytest_homeassistant_custom_component.typing import ClientSessionGenerator

from custom_components.eniris.const import CONF_ENTITY, CONF_FIELD, CONF_FIELDS, DOMAIN
from homeassistant.config_entries import ConfigEntryState, ConfigSubentry
from homeassistant.core import callback
from homeassistant.helpers import entity_registry as er, issue_registry as ir
from tests.kit.exports import POWER, Home

TARGET = {
    "collector": "demo-ingress",
    "database": "demo",
    "retention_policy": "rp_one_m",
}
REFUSED = pytest.mark.expected_log("cannot be uploaded at present")
BLOCKED = pytest.mark.expected_log("refuses every value of field")


class Fix:
    """The dialog of an issue, over Home Assistant's HTTP interface. `shown` is what is on the screen."""

    def __init__(self, home: Home, new_client: ClientSessionGenerator) -> None:
        """Stand before the dialog."""
        self.home = home
        self.new_client = new_client
        self.client: Any = None
        self.kind = ""
        self.shown: dict[str, Any] = {}

    def issue(self, kind: str) -> ir.IssueEntry:
        """Return the issue of a kind."""
        [issue] = [
            issue
            for issue in ir.async_get(self.home.hass).issues.values()
            if issue.domain == DOMAIN and issue.active and issue.translation_key == kind
        ]
        return issue

    async def open(self, kind: str, step: str | None = None) -> None:
        """Open the dialog of an issue."""
        self.kind = kind
        auth = self.home.hass.auth
        [user] = [user for user in await auth.async_get_users() if user.is_admin]
        # Logged in anew, since days may have passed
        token = auth.async_create_access_token(next(iter(user.refresh_tokens.values())))
        self.client = await self.new_client(token)
        issue = self.issue(kind)
        assert issue.is_fixable
        await self._post(
            "/api/repairs/issues/fix", {"handler": DOMAIN, "issue_id": issue.issue_id}
        )
        if step is not None:
            self.expect(step)

    async def submit(self, **user_input: Any) -> None:
        """Submit the form that is shown."""
        assert self.shown["type"] == "form", self.shown
        fields = {field["name"] for field in self.shown["data_schema"]}
        assert set(user_input) <= fields
        defaults = {
            field["name"]: field["default"]
            for field in self.shown["data_schema"]
            if "default" in field
        }
        await self._post(self._flow, {**defaults, **user_input})

    async def choose(self, option: str) -> None:
        """Choose from the menu that is shown."""
        assert self.shown["type"] == "menu", self.shown
        assert option in self.shown["menu_options"]
        await self._post(self._flow, {"next_step_id": option})

    @property
    def _flow(self) -> str:
        return f"/api/repairs/issues/fix/{self.shown['flow_id']}"

    async def _post(self, path: str, data: dict[str, Any]) -> None:
        response = await self.client.post(path, json=data)
        assert response.status == HTTPStatus.OK, await response.text()
        self.shown = await response.json()
        await self.home.settle()

    def expect(self, step: str, **errors: str) -> None:
        """Be on a step, and be told of these errors."""
        assert self.shown.get("step_id") == step, self.shown
        assert (self.shown.get("errors") or {}) == errors

    def expect_solved(self) -> None:
        """Be told that it is mended, and see the issue gone."""
        assert self.shown["type"] == "create_entry", self.shown
        assert self.kind not in self.home.issues()

    def expect_abort(self, reason: str) -> dict[str, str]:
        """Be told why it ended otherwise; return what the text quotes."""
        assert self.shown["type"] == "abort", self.shown
        assert self.shown["reason"] == reason
        placeholders: dict[str, str] = self.shown["description_placeholders"] or {}
        return placeholders


async def measure(home: Home, watts: float, seconds: float = 6) -> None:
    """Have the meter show a power, and let time pass."""
    home.hass.states.async_set(
        POWER, str(watts), {"unit_of_measurement": "W", "device_class": "power"}
    )
    await home.wait(seconds)


async def export_power(home: Home, **changes: Any) -> ConfigSubentry:
    """Export the power of the meter."""
    return await home.add_export({home.add_power(): "actualPowerTot_W"}, **changes)


def exported_entities(home: Home, export: ConfigSubentry) -> dict[str, str]:
    """Return the entities of an export by field, as it is by now."""
    registry = er.async_get(home.hass)
    return {
        row[CONF_FIELD]: er.async_resolve_entity_id(registry, row[CONF_ENTITY]) or "?"
        for row in home.entry.subentries[export.subentry_id].data[CONF_FIELDS]
    }


def count_set_ups(home: Home) -> list[ConfigEntryState]:
    """Return a list that gets longer with each further set-up of the account."""
    set_ups: list[ConfigEntryState] = []

    @callback
    def changed() -> None:
        if home.entry.state is ConfigEntryState.LOADED:
            set_ups.append(home.entry.state)

    # Called when the state changes, whatever becomes of the entry
    home.entry.async_on_state_change(changed)
    return set_ups
