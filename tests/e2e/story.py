"""What a user does with the integration from its first day to its last, and what has to be seen on the way."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
import re
import shutil
import sys
import time

from playwright.async_api import Error as PlaywrightError, Page, expect

from scripts.demo import check_controller, config_dir, energy, log, steps
from scripts.demo.__main__ import Demo
from scripts.demo.config_dir import ROOT
from scripts.demo.processes import free_port

from .browser import browsing
from .camera import Camera
from .frontend import PATIENCE, Frontend, text

EVIDENCE = ROOT / ".cache" / "e2e"
NAME = "Eniris SmartgridOne"
EXPORT = "Demo sensors"
WRITE = "POST /v1/telemetry"
PASSWORD = "demo"
NEW_PASSWORD = "changed"
SECRET = "JBSWY3DPEHPK3PXP"

PROBLEM = "Upload status"
WAITING = text("entity", "sensor", "waiting", "name")
UPLOADED = text("entity", "sensor", "uploaded", "name")
UPLOAD_NOW = text("entity", "button", "upload_now", "name")

_FIRST_STATISTICS = 900.0
"""Seconds until new sensors have statistics, and history before them."""

_EXPECTED = re.compile(r"Can't reach Eniris|cannot be uploaded at present")
"""What the outages have our log say."""


class Story:
    """The steps, in their order."""

    def __init__(self, demo: Demo, page: Page, camera: Camera | None) -> None:
        """Tell the story of a Home Assistant that was just started."""
        self.step = "Before the first step"
        self.told: list[tuple[str, float]] = []
        """The steps that are done, with the seconds that they took."""
        self._demo = demo
        self._home = demo.home
        self._cloud = demo.cloud
        self._frontend = Frontend(page, demo.home.base)
        self._page = page
        self._camera = camera

    async def tell(self) -> None:
        """Take all steps."""
        for title, take in (
            ("Onboarding", self._onboard),
            ("Add the integration, with a wrong password", self._wrong_password),
            ("The right password, and the second factor", self._log_in),
            ("Devices appear", self._see_devices),
            ("Look at the options", self._see_options),
            ("Add an export", self._add_export),
            ("Values arrive", self._see_values),
            ("Add the controller", self._add_controller),
            ("Live values, and a policy", self._see_controller),
            ("The network breaks, and is mended", self._break_network),
            ("The right to write is taken, and given back", self._take_right),
            ("Look at the Energy dashboard", self._see_energy),
            ("Reconfigure", self._reconfigure),
            ("Remove the account", self._remove),
        ):
            self.step = title
            begin = time.monotonic()
            await take()
            self.told.append((title, time.monotonic() - begin))

    async def _picture(self, name: str, height: int | None = None) -> None:
        """Take a picture of the dialog."""
        if self._camera is not None:
            surface = self._frontend.surface
            await self._camera.take(self._page, name, surface, height=height)

    async def _picture_of_device(self, name: str) -> None:
        """Take a picture of what tells of a device and of its entities."""
        if self._camera is not None:
            await self._camera.take(self._page, name, *self._frontend.device_cards)

    async def _onboard(self) -> None:
        await self._frontend.onboard("Demo", steps.USER, steps.PASSWORD)
        await steps.onboard_or_log_in(self._home)
        await steps.set_location(self._home)

    async def _wrong_password(self) -> None:
        await self._cloud.post(f"accounts/{self._username}", totp_secret=SECRET)
        await self._frontend.open_integrations()
        await self._frontend.search_integration(NAME)
        await self._picture("add_integration", 240)
        await self._frontend.add_integration(NAME)
        await self._frontend.expect_step(_config("step", "user", "title"))
        await self._picture("login")
        await self._fill("user", "username", self._username)
        await self._fill("user", "password", "wrong")
        advanced = ("step", "user", "sections", "advanced")
        await self._frontend.unfold(_config(*advanced, "name"))
        for address in ("authentication_url", "api_url", "ingress_url"):
            await self._frontend.fill(
                _config(*advanced, "data", address), self._cloud.base
            )
        await self._frontend.submit()
        await self._frontend.expect_text(_config("error", "invalid_auth"))
        assert await self._count("POST /auth/login", 401) == 1

    async def _log_in(self) -> None:
        await self._fill("user", "password", PASSWORD)
        await self._frontend.submit()
        await self._frontend.expect_step(_config("step", "second_factor", "title"))
        await self._picture("second_factor")
        await self._frontend.choose(
            _config("step", "second_factor", "menu_options", "totp")
        )
        await self._frontend.expect_step(_config("step", "totp", "title"))
        code = await self._cloud.get(f"totp/{self._username}")
        await self._fill("totp", "code", code["totp"])
        await self._frontend.submit()
        await self._frontend.expect_step(_config("step", "history", "title"))
        await self._picture("history")
        # A dashboard without history would be an empty picture
        back = "none" if self._camera is None else "days_7"
        await self._frontend.tick(text("selector", "back", "options", back))
        await self._frontend.submit()
        # Their names are fields to fill in by now
        await self._frontend.expect_text("EM340")
        await self._frontend.finish()
        assert await self._count("POST /auth/login", 200) == 1
        assert await self._count("POST /user/2fa/totp/authenticate", 200) == 1
        # From here on the account has one factor, as most have
        await self._cloud.post(f"accounts/{self._username}", totp_secret=None)

    async def _see_devices(self) -> None:
        await self._frontend.open_devices()
        for name in ("Home", "Grid meter", "Hybrid inverter", "Battery", "Heat pump"):
            await expect(self._frontend.device(name).first).to_be_visible()
        await self._frontend.open_integration(NAME)
        if self._camera is not None:
            content = self._frontend.content
            await self._camera.take(self._page, "devices", content, margin=0)
        await self._frontend.open_device("Grid meter")
        await self._frontend.expect_state("Power", r"-?[\d.,]+\s*k?W")
        await self._picture_of_device("device")
        await self._until(
            "telemetry is read", lambda: self._count("POST /v1/telemetry/query", 200)
        )

    async def _see_options(self) -> None:
        await self._frontend.open_integration(NAME)
        await self._frontend.configure()
        await self._frontend.choose(
            text("options", "step", "init", "menu_options", "settings")
        )
        await self._frontend.expect_step(text("options", "step", "settings", "title"))
        await self._picture("options")
        await self._frontend.submit()
        await self._frontend.finish()

    async def _add_export(self) -> None:
        await self._frontend.open_integration(NAME)
        await self._frontend.add_subentry(_export("initiate_flow", "user"))
        await self._frontend.expect_step(_export("step", "user", "title"))
        labels = ("step", "user", "data")
        await self._frontend.fill(_export(*labels, "name"), EXPORT)
        for key, value in (
            ("collector", steps.COLLECTOR),
            ("database", steps.DATABASE),
            ("retention_policy", steps.RETENTION_POLICY),
            ("measurement", steps.MEASUREMENT),
        ):
            await self._frontend.fill_combo_box(_export(*labels, key), value)
        [tag] = (f"{key}={value}" for key, value in steps.TAGS.items())
        await self._frontend.fill_row(_export(*labels, "tags"), tag)
        await self._picture("export_where")
        await self._frontend.submit()
        await self._frontend.expect_step(_export("step", "entities", "title"))
        names = {
            state["entity_id"]: state["attributes"]["friendly_name"]
            for state in await self._home.get("/api/states")
        }
        await self._frontend.pick_entities(names[id_] for id_ in steps.EXPORTED)
        await self._frontend.submit()
        await self._frontend.expect_step(_export("step", "fields", "title"))
        for entity_id, field in steps.EXPORTED.items():
            await self._frontend.fill(names[entity_id], field)
        await self._picture("export_fields")
        await self._frontend.submit()
        await self._frontend.expect_step(_export("step", "when", "title"))
        await self._frontend.choose(_export("step", "when", "menu_options", "change"))
        await self._frontend.expect_step(_export("step", "change", "title"))
        await self._frontend.submit()
        await self._frontend.expect_step(_export("step", "trial", "title"))
        for field in steps.EXPORTED.values():
            await self._frontend.expect_text(field)
        assert await self._points() == 0
        await self._picture("export_trial")
        await self._frontend.choose(_export("step", "trial", "menu_options", "write"))
        await self._frontend.expect_step(_export("step", "written", "title"))
        assert await self._points() == 1
        await self._picture("export_written")
        await self._frontend.choose(
            _export("step", "written", "menu_options", "history")
        )
        await self._frontend.expect_step(_export("step", "history", "title"))
        await self._frontend.tick(text("selector", "history", "options", "nothing"))
        await self._frontend.submit()
        await self._frontend.finish()

    async def _see_values(self) -> None:
        for field in steps.EXPORTED.values():
            await self._until(
                f"a value of {field} arrives", partial(self._points, field)
            )
        await self._until("values keep arriving", self._points, least=4)
        await self._frontend.open_device(EXPORT)
        await self._frontend.expect_state(PROBLEM, "OK")
        await self._frontend.expect_state(UPLOADED, r"[1-9][\d,]*")
        await self._picture_of_device("export_device")

    async def _add_controller(self) -> None:
        simulated = await self._cloud.get("controller")
        await self._frontend.open_integration(NAME)
        await self._frontend.add_subentry(_controller("initiate_flow", "user"))
        await self._frontend.expect_step(_controller("step", "user", "title"))
        await self._frontend.submit()
        menu = ("step", "set_up")
        await self._frontend.expect_step(_controller(*menu, "title"))
        await self._frontend.choose(_controller(*menu, "menu_options", "webhook"))
        await self._frontend.expect_step(_controller("step", "webhook", "title"))
        address, *_, token = await self._frontend.quoted()
        await self._frontend.submit()
        await self._frontend.expect_step(_controller(*menu, "title"))
        await self._frontend.choose(_controller(*menu, "menu_options", "mqtt"))
        labels = ("step", "mqtt", "data")
        await self._frontend.expect_step(_controller("step", "mqtt", "title"))
        await self._frontend.fill(_controller(*labels, "host"), simulated["host"])
        await self._frontend.fill_number(
            _controller(*labels, "port"), str(simulated["port"])
        )
        user = _controller(*labels, "username")
        password = _controller(*labels, "password")
        await self._frontend.fill(user, simulated["username"])
        await self._frontend.fill(password, "wrong")
        await self._frontend.submit()
        refused = _controller("error", "invalid_auth")
        await self._frontend.expect_text(refused.partition("} ")[2].partition(",")[0])
        await self._frontend.fill(password, simulated["password"])
        await self._frontend.submit()
        await self._frontend.finish()
        path = address[address.index("/api/webhook/") :]
        await self._cloud.put(
            "controller/webhook",
            url=f"{self._home.base}{path}",
            token=token,
            period=1,
        )

    async def _see_controller(self) -> None:
        await self._frontend.open_device(steps.CONTROLLER)
        name = text("entity", "sensor", "grid_power", "name")
        await self._frontend.expect_state(name, r"-?[\d.,]+\s*k?W")
        name = text("entity", "binary_sensor", "live_connection", "name")
        await self._frontend.expect_state(name, "Connected")
        await check_controller.watch_controller(self._home, self._cloud)
        if self._camera is not None:
            await self._picture_of_device("live")
            await self._frontend.open_calendar()
            calendar = self._frontend.calendar
            await self._camera.take(self._page, "schedule", calendar, margin=0)
        await self._frontend.open_device(EXPORT)

    async def _break_network(self) -> None:
        await self._cloud.post("faults", path="*", fault="drop")
        await self._frontend.expect_state(PROBLEM, "Problem")
        broken = datetime.now(UTC)
        before = await self._points()
        # A first value, and then more of them
        await self._frontend.expect_state(WAITING, r"[1-9]\d*")
        await self._frontend.expect_state(WAITING, r"[1-9]\d+")
        assert await self._points() == before, "nothing can arrive"
        await self._picture_of_device("problem")
        await self._cloud.delete("faults")
        await self._frontend.expect_state(PROBLEM, "OK")
        await self._frontend.expect_state(WAITING, "0")
        # What waited has the time at which it was measured
        mended = datetime.now(UTC)
        points = (await self._cloud.get("points", measurement=steps.MEASUREMENT))[
            "points"
        ]
        times = [datetime.fromisoformat(point["time"]) for point in points]
        assert any(broken < moment < mended for moment in times)

    async def _take_right(self) -> None:
        await self._cloud.post(f"accounts/{self._username}", can_write=False)
        await self._frontend.expect_state(PROBLEM, "Problem")
        title = text(
            "issues",
            "role_missing",
            "title",
            account=self._username,
            database=steps.DATABASE,
            retention_policy=steps.RETENTION_POLICY,
        )
        await self._frontend.open_issue(title)
        await self._frontend.expect_text(steps.COLLECTOR)
        await self._picture("repair")
        assert await self._count(WRITE, 403)
        await self._cloud.post(f"accounts/{self._username}", can_write=True)
        await self._frontend.open_device(EXPORT)
        await self._frontend.press_entity(UPLOAD_NOW)
        await self._frontend.expect_state(PROBLEM, "OK")
        await self._frontend.open_issues()
        await expect(self._page.get_by_text(title)).to_have_count(0)

    async def _see_energy(self) -> None:
        """Take the dashboard's picture, for which Home Assistant has to begin statistics: some minutes."""
        if self._camera is None:
            return
        await energy.ensure_energy(self._home, PATIENCE / 1000)
        prefs = await self._home.call("energy/get_prefs")
        statistic = prefs["device_consumption"][0]["stat_consumption"]

        async def imported() -> int:
            found = await self._home.call(
                "recorder/statistics_during_period",
                start_time=(datetime.now(UTC) - timedelta(days=2)).isoformat(),
                period="hour",
                statistic_ids=[statistic],
            )
            return len(found.get(statistic, []))

        await self._until("history", imported, least=24, patience=_FIRST_STATISTICS)
        await self._frontend.open_energy()
        dashboard = self._frontend.energy
        await self._camera.take(self._page, "energy", dashboard, margin=0)

    async def _reconfigure(self) -> None:
        await self._cloud.post(f"accounts/{self._username}", password=NEW_PASSWORD)
        await self._frontend.open_integration(NAME)
        await self._frontend.choose_from_entry_menu("Reconfigure")
        await self._frontend.expect_step(_config("step", "reconfigure", "title"))
        await self._picture("reconfigure")
        await self._frontend.choose(
            _config("step", "reconfigure", "menu_options", "log_in")
        )
        await self._frontend.expect_step(_config("step", "log_in", "title"))
        await self._fill("log_in", "password", NEW_PASSWORD)
        await self._frontend.submit()
        await self._frontend.expect_text(_config("abort", "reconfigure_successful"))
        await self._frontend.finish()
        assert await self._count("POST /auth/login", 200) == 2
        points = await self._points()
        await self._until("values arrive again", self._points, least=points + 1)

    async def _remove(self) -> None:
        storage = self._demo.folder / ".storage"
        assert list(storage.glob("eniris.*.outbox.db"))
        logouts = await self._count("POST /auth/logout", 204)
        await self._frontend.open_integration(NAME)
        await self._frontend.choose_from_entry_menu("Delete")
        await self._frontend.confirm("Delete")
        await self._until(
            "the account is logged out",
            lambda: self._count("POST /auth/logout", 204),
            least=logouts + 1,
        )
        await self._frontend.open_integrations()
        await expect(self._frontend.integration(NAME)).to_have_count(0)
        await self._frontend.open_devices()
        for name in ("Grid meter", EXPORT, steps.CONTROLLER):
            await expect(self._frontend.device(name)).to_have_count(0)
        left = sorted(path.name for path in storage.glob("*eniris*"))
        assert not left, f"files are left: {left}"

    @property
    def _username(self) -> str:
        return steps.ACCOUNT["username"]

    async def _fill(self, step: str, key: str, value: str) -> None:
        await self._frontend.fill(_config("step", step, "data", key), value)

    async def _count(self, call: str, status: int | None = None) -> int:
        """Return how often the simulator was asked something, or gave an answer to it."""
        counts = (await self._cloud.get("requests", limit="0"))["counts"].get(call, {})
        return sum(
            number
            for answer, number in counts.items()
            if status is None or answer == str(status)
        )

    async def _points(self, field: str | None = None) -> int:
        """Return how many points of the export the simulator has stored."""
        wanted = {
            "database": steps.DATABASE,
            "retention_policy": steps.RETENTION_POLICY,
            "measurement": steps.MEASUREMENT,
            **{f"tag.{key}": value for key, value in steps.TAGS.items()},
            **({} if field is None else {"field": field}),
        }
        total: int = (await self._cloud.get("points", **wanted, limit="0"))["total"]
        return total

    async def _until(
        self,
        what: str,
        look: Callable[[], Awaitable[int]],
        least: int = 1,
        patience: float = PATIENCE / 1000,
    ) -> None:
        """Wait until the simulator has seen something `least` times."""
        end = time.monotonic() + patience
        while (seen := await look()) < least:
            assert time.monotonic() < end, f"not seen: {what} ({seen} of {least})"
            await asyncio.sleep(0.2)


def _config(*path: str) -> str:
    return text("config", *path)


def _controller(*path: str) -> str:
    return text("config_subentries", "controller", *path)


def _export(*path: str) -> str:
    return text("config_subentries", "export", *path)


async def live(
    folder: Path, chromium: str, pictures: Path | None = None
) -> list[tuple[str, float]]:
    """Run everything in `folder`, tell the story, look at the log; return the steps with their seconds.

    What fails raises with a note that names the step and the folder of the evidence.
    """
    ports = config_dir.Ports(free_port(), free_port(), free_port())
    home = folder / "home"
    config_dir.prepare(home, ports)
    demo = Demo(home, ports, "premium")
    step = "Starting"
    try:
        async with demo.started():
            async with browsing(
                chromium,
                folder / "browser",
                demo.home.base,
                scale=1 if pictures is None else 2,
            ) as context:
                page = context.pages[0]
                console = folder / "browser.log"
                page.on("console", lambda message: _note(console, message.text))
                page.on("pageerror", lambda error: _note(console, error.message))
                camera = None if pictures is None else Camera(pictures)
                story = Story(demo, page, camera)
                try:
                    await story.tell()
                except BaseException:
                    step = story.step
                    # Of a browser that has crashed there is no picture
                    with suppress(PlaywrightError):
                        await page.screenshot(path=folder / "failure.png")
                    raise
            step = "Stopping"
        step = "Reading the log"
        _judge(demo.log)
    except BaseException as err:
        evidence = _keep(folder, demo)
        err.add_note(
            f"Step: {step}\nPicture and logs: {evidence}\n{log.tail(demo.log)}"
        )
        raise
    return story.told


def _note(file: Path, line: str) -> None:
    with file.open("a", encoding="utf-8") as output:
        output.write(f"{line}\n")


def _judge(console: Path) -> None:
    ours = [
        item.text
        for item in log.complaints(console, ROOT)
        if item.ours and not _EXPECTED.search(item.text)
    ]
    assert not ours, "\n".join(["warnings or errors of ours in the log:", *ours])


def _keep(folder: Path, demo: Demo) -> Path:
    """Copy what tells of a failure to where it is found, and return that."""
    evidence = EVIDENCE / f"{sys.version_info.major}.{sys.version_info.minor}"
    shutil.rmtree(evidence, ignore_errors=True)
    evidence.mkdir(parents=True)
    for file in (
        folder / "failure.png",
        folder / "browser.log",
        demo.log,
        demo.simulator_log,
    ):
        if file.exists():
            shutil.copy(file, evidence)
    return evidence
