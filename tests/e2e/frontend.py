"""Home Assistant's frontend as its user meets it; what differs between versions is known here alone."""

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import cache
import json
import re

from awesomeversion import AwesomeVersion
from playwright.async_api import Locator, Page, TimeoutError, expect

from homeassistant.const import __version__
from scripts.demo.config_dir import ROOT

PATIENCE = 90_000.0
"""Milliseconds until something has to be seen; a busy machine may take long."""

_MOMENT = 5_000.0

_OLD = AwesomeVersion(__version__) < "2025.12"
"""Combo boxes one can type into, and an integration page with one row for an account."""

expect.set_options(timeout=PATIENCE)


@cache
def _texts() -> dict[str, object]:
    path = ROOT / "custom_components" / "eniris" / "translations" / "en.json"
    texts: dict[str, object] = json.loads(path.read_text("utf-8"))
    return texts


def text(*path: str, **placeholders: str) -> str:
    """Return a text of the integration's, as its user reads it."""
    found: object = _texts()
    for part in path:
        assert isinstance(found, dict), path
        found = found[part]
    assert isinstance(found, str), path
    for name, value in placeholders.items():
        found = found.replace(f"{{{name}}}", value)
    return found


class Frontend:
    """One tab of a browser."""

    def __init__(self, page: Page, base: str) -> None:
        """Operate `page`, which shows the Home Assistant at `base`."""
        self.page = page
        self._base = base
        self._filled: list[tuple[Locator, str]] = []
        """What was typed into the form that is shown."""
        page.set_default_timeout(PATIENCE)
        page.set_default_navigation_timeout(PATIENCE)

    async def onboard(self, name: str, username: str, password: str) -> None:
        """Make the first user of a new Home Assistant."""
        await self.page.goto(self._base)
        await self._press("Create my smart home")
        await self._enter(
            [
                (self.page.get_by_role("textbox", name=f"{label}*", exact=True), value)
                for label, value in (
                    ("Name", name),
                    ("Username", username),
                    ("Password", password),
                    ("Confirm password", password),
                )
            ]
        )
        await self._press("Create account")
        await expect(
            self.page.get_by_role("heading", name="Help us help you")
        ).to_be_visible()
        await self._press("Next")
        await self._press("Finish")
        await expect(self.page.get_by_text("Settings", exact=True)).to_be_visible()

    # Pages

    async def open_integrations(self) -> None:
        """Go to Settings › Devices & services, by clicking."""
        await self.page.get_by_text("Settings", exact=True).first.click()
        await self.page.get_by_text("Devices & services", exact=True).first.click()
        await expect(self._button("Add integration")).to_be_visible()

    async def open_integration(self, name: str) -> None:
        """Go to the page of an integration."""
        await self._go("/config/integrations/dashboard")
        await self.integration(name).click()
        await expect(self._button("Add hub")).to_be_visible()

    def integration(self, name: str) -> Locator:
        """Return what shows an integration among the others."""
        return self.page.get_by_text(name, exact=True).last

    async def open_devices(self) -> None:
        """Go to the list of all devices."""
        await self._go("/config/devices/dashboard")
        await expect(self.page.locator("ha-data-table")).to_be_visible()

    def device(self, name: str) -> Locator:
        """Return what shows a device in the list of all."""
        return self.page.get_by_role("rowheader", name=name, exact=True)

    async def open_device(self, name: str) -> None:
        """Go to the page of a device."""
        await self.open_devices()
        await self.device(name).first.click()
        await expect(self.page.locator("ha-config-device-page")).to_be_visible()

    def entity(self, name: str) -> Locator:
        """Return the row of an entity on the page of its device."""
        return self.page.locator("hui-generic-entity-row").filter(
            has=self.page.get_by_text(name, exact=True)
        )

    async def expect_state(self, name: str, state: str) -> None:
        """Wait until the entity shows a state, a regular expression, on the page of its device."""
        # The state is slotted into the row, and therefore comes before the name
        await expect(self.entity(name)).to_have_text(re.compile(rf"^\s*(?:{state})\b"))

    async def press_entity(self, name: str) -> None:
        """Press a button of a device."""
        await self.entity(name).get_by_role("button", name="Press").click()

    async def open_issues(self) -> None:
        """Go to the repair issues."""
        await self._go("/config/repairs")
        await expect(self.page.locator("ha-config-repairs-dashboard")).to_be_visible()

    async def open_issue(self, title: str) -> None:
        """Open one of the repair issues."""
        await self.open_issues()
        await self.page.get_by_text(title, exact=True).click()
        await expect(self.surface).to_be_visible()

    async def open_calendar(self) -> None:
        """Go to the calendars."""
        await self._go("/calendar")
        await expect(self.calendar.locator(".fc-event").first).to_be_visible()

    @property
    def calendar(self) -> Locator:
        """Return what shows the events of all calendars."""
        return self.page.locator("ha-full-calendar")

    async def open_energy(self) -> None:
        """Go to the Energy dashboard."""
        await self._go("/energy")
        await expect(self.energy.locator("canvas").first).to_be_visible()

    @property
    def energy(self) -> Locator:
        """Return the Energy dashboard."""
        return self.page.locator("ha-panel-energy")

    @property
    def content(self) -> Locator:
        """Return what the page of an integration holds."""
        return self.page.locator("hass-subpage .container").first

    @property
    def device_cards(self) -> tuple[Locator, ...]:
        """Return what the page of a device tells of it, and the first and the last card of its entities."""
        cards = self.page.locator("ha-device-entities-card")
        return self.page.locator("ha-device-info-card"), cards.first, cards.last

    # What an integration's page offers

    async def search_integration(self, name: str) -> None:
        """Look for an integration among all those that can be set up."""
        await self._press("Add integration")
        await self.dialog.get_by_role("textbox").fill(name.split(maxsplit=1)[0])
        await expect(self.dialog.get_by_text(name, exact=True).last).to_be_visible()

    async def add_integration(self, name: str) -> None:
        """Begin to set the integration up that was looked for."""
        await self.dialog.get_by_text(name, exact=True).last.click()

    async def add_subentry(self, label: str) -> None:
        """Begin to add something to the account."""
        if _OLD:
            await self.choose_from_entry_menu(label)
        else:
            await self._press(label)

    async def configure(self) -> None:
        """Open the options of the account."""
        await self._press("Configure")

    async def choose_from_entry_menu(self, label: str) -> None:
        """Choose from the menu (⋮) of the account."""
        row = ".config_entry" if _OLD else "ha-config-entry-row"
        menu = self.page.locator(row).get_by_role("button", name="Menu").first
        item = self.page.get_by_role("menuitem", name=label, exact=True)
        async with asyncio.timeout(PATIENCE / 1000):
            while True:
                # A menu that is still opening does not take every click
                with suppress(AssertionError, TimeoutError):
                    if not await item.is_visible():
                        await menu.click(timeout=_MOMENT)
                    await item.click(timeout=_MOMENT)
                    await expect(item).to_be_hidden(timeout=_MOMENT)
                    return

    async def confirm(self, label: str) -> None:
        """Answer the question whether one is sure."""
        await self.dialog.get_by_role("button", name=label, exact=True).click()

    # Dialogs

    @property
    def dialog(self) -> Locator:
        """Return the dialog that is open; what it shows is slotted into it, so it is not within its role."""
        return self.page.locator("ha-dialog, ha-adaptive-dialog, ha-md-dialog").last

    @property
    def surface(self) -> Locator:
        """Return what is seen of the dialog."""
        role = self.page.get_by_role
        return role("dialog").or_(role("alertdialog")).first

    async def expect_step(self, title: str) -> None:
        """Wait for a step of a dialog."""
        await expect(self.dialog.get_by_text(title, exact=True).first).to_be_visible()

    async def expect_text(self, words: str) -> None:
        """Wait for words anywhere on the page."""
        await expect(self.page.get_by_text(words).first).to_be_visible()

    async def fill(self, label: str, value: str) -> None:
        """Fill in a field of a dialog."""
        name = re.compile(rf"^{re.escape(label)}\*?$")
        self._filled.append((self.dialog.get_by_role("textbox", name=name), value))
        await self._enter(self._filled)

    async def _enter(self, filled: Sequence[tuple[Locator, str]]) -> None:
        """See that boxes hold their values: a page that moves the focus meanwhile diverts what is typed."""
        async with asyncio.timeout(PATIENCE / 1000):
            while wrong := [
                (box, value)
                for box, value in filled
                if await box.input_value() != value
            ]:
                for box, value in wrong:
                    await box.fill(value)

    async def fill_number(self, label: str, value: str) -> None:
        """Fill in a field of a dialog that takes a number."""
        box = self.dialog.get_by_role("spinbutton", name=label)
        self._filled.append((box, value))
        await self._enter(self._filled)

    async def quoted(self) -> list[str]:
        """Return what a dialog shows to be copied."""
        shown = self.dialog.locator("code")
        await expect(shown.first).to_be_visible()
        return await shown.all_inner_texts()

    async def fill_combo_box(self, label: str, value: str) -> None:
        """Fill in a field that has suggestions, whether the value is among them or not."""
        if _OLD:
            field = self.dialog.get_by_role("combobox", name=label)
            await field.click()
            await self._fill_old_combo_box(field, value)
            await field.press("Enter")
            await expect(field).to_have_attribute("aria-expanded", "false")
            return
        field = self.page.locator("ha-generic-picker").filter(has_text=label).last
        await (
            field.locator("ha-picker-field")
            .or_(field.get_by_role("button", name=label))
            .first.click()
        )
        await field.locator("ha-picker-combo-box").get_by_role("textbox").fill(value)
        await (
            field.get_by_text(f'"{value}"', exact=True)
            .or_(field.get_by_role("listitem").get_by_text(value, exact=True))
            .first.click()
        )

    async def fill_row(self, label: str, value: str) -> None:
        """Type into the one row of a field that can have several."""
        row = self.dialog.get_by_role("textbox", name=label, exact=True)
        # The click waits until a picker above has closed
        await row.click()
        await row.press_sequentially(value)
        await expect(row).to_have_value(value)

    async def pick_entities(self, names: Iterable[str]) -> None:
        """Choose entities by their names, one after the other, where none is chosen yet."""
        picker = self.dialog.locator("ha-selector-entity")
        for number, name in enumerate(names, 1):
            if _OLD:
                field = picker.get_by_role("combobox")
                await field.last.click()
                await self._fill_old_combo_box(field.last, name)
                await self.page.get_by_role("option", name=name).first.click()
                # There is always one more, for the next
                await expect(field).to_have_count(number + 1)
            else:
                field = picker.locator("ha-picker-field")
                more = picker.get_by_role("button", name="Add entity")
                await (field if number == 1 else more).click()
                search = picker.locator("ha-picker-combo-box")
                await search.get_by_role("textbox").fill(name)
                await search.get_by_text(name, exact=True).first.click()
                await expect(field).to_have_count(number)
                await expect(search).to_have_count(0)

    async def _fill_old_combo_box(self, field: Locator, value: str) -> None:
        # It opens a moment after the click, and would stay open after what is typed before that
        await expect(
            self.page.locator("vaadin-combo-box-overlay[opened]").last
        ).to_be_attached()
        await field.fill(value)

    async def unfold(self, section: str) -> None:
        """Open a section of a form."""
        await self.dialog.get_by_role("button", name=section).click()

    async def choose(self, label: str) -> None:
        """Choose from a menu."""
        await self.dialog.get_by_text(label, exact=True).click()

    async def tick(self, label: str) -> None:
        """Choose one of several answers of a form."""
        await self.dialog.get_by_role("radio", name=label, exact=True).check()

    async def submit(self) -> None:
        """Send a form, whether it is said to be the last or not."""
        await self._enter(self._filled)
        self._filled = []
        name = re.compile("^(submit|next)$", re.IGNORECASE)
        await self.dialog.get_by_role("button", name=name).click()

    async def finish(self) -> None:
        """Close what a dialog shows at its end."""
        await self.dialog.get_by_role(
            "button", name=re.compile("finish|^close$", re.IGNORECASE)
        ).last.click()
        await expect(self.dialog).to_have_count(0)

    def _button(self, label: str) -> Locator:
        return self.page.get_by_role("button", name=label, exact=True)

    async def _press(self, label: str) -> None:
        await self._button(label).click()

    async def _go(self, path: str) -> None:
        await self.page.goto(self._base + path)
