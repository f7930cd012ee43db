"""The Home Assistant under test: a process that is started, killed, stopped and asked."""

import asyncio
from contextlib import suppress
from datetime import datetime
import json
from pathlib import Path
import shutil
import signal
import sys
from typing import Any, Final

from scripts.demo import config_dir, steps
from scripts.demo.config_dir import ROOT
from scripts.demo.errors import DemoError
from scripts.demo.home_assistant import HomeAssistant
from scripts.demo.processes import LOOPBACK, Child, free_port

from .door import Door
from .exports import COLLECTOR, EXPORTS, METERS, TAGS, Exported
from .machine import Clock, Disk
from .power import Power

USER: Final = "demo@example.com"
START_PATIENCE: Final = 240.0
STOP_PATIENCE: Final = 60.0
PERIOD: Final = 1.0
"""Seconds between two values of a meter."""


class Home:
    """Home Assistant in a directory that outlives its processes.

    `control` is for what a fault does, `observer` for what looks on: neither waits for the other.
    """

    def __init__(self, folder: Path, simulator_port: int, clock: Clock) -> None:
        """Prepare the directory."""
        self.folder = folder
        self.journal = folder.with_name("journal.txt")
        self.clock = clock
        self.port = free_port()
        base = f"http://{LOOPBACK}:{self.port}"
        self.control, self.observer = Door(base), Door(base)
        self.logs: list[Path] = []
        self.entry_id = ""
        self.switches: dict[str, str] = {}
        """The switch of an export, by its measurement."""
        self.waiting_sensors: dict[str, str] = {}
        self.devices: dict[str, str] = {}
        """The device of an export, by its measurement."""
        self.refresh_button = ""
        self._child: Child | None = None
        config_dir.prepare(folder, config_dir.Ports(self.port, simulator_port))
        self._write_configuration()
        (folder / "custom_components" / METERS).symlink_to(
            Path(__file__).parent / METERS, target_is_directory=True
        )
        self.disk = Disk(folder / ".storage")
        self.power = Power(folder.with_name("power"))

    def _write_configuration(self) -> None:
        configuration = self.folder / "configuration.yaml"
        http = [
            line
            for line in configuration.read_text("utf-8").splitlines()
            if line.startswith("http:")
        ]
        meters = [meter for export in EXPORTS for meter in export.fields]
        own = {
            "journal": str(self.journal),
            "power": [meter for meter in meters if "_power_" in meter],
            "words": [meter for meter in meters if "_word_" in meter],
            "watched_domain": "eniris",
            "watched_entities": "switch.chaos",
            "period": PERIOD,
        }
        logs = {
            "default": "warning",
            # Secrets must not be there at any level
            "logs": {"custom_components.eniris": "debug"},
        }
        past = [meter for each in EXPORTS if each.past for meter in each.fields]
        recorder = {
            # On the night that a set clock jumps over, else
            "auto_purge": False,
            "commit_interval": 1,
            "include": {"entities": past},
        }
        lines = [
            f"recorder: {json.dumps(recorder)}",
            *("api:", "config:", "frontend:", "repairs:"),
            f"logger: {json.dumps(logs)}",
            f"{METERS}: {json.dumps(own)}",
            *http,
            "",
        ]
        configuration.write_text("\n".join(lines), "utf-8")

    @property
    def outbox(self) -> Path:
        """The outbox' file."""
        return self.folder / ".storage" / f"eniris.{self.entry_id}.outbox.db"

    def outbox_files(self) -> list[Path]:
        """Return the files of the outbox, without what was set aside."""
        return [
            file
            for file in sorted(self.outbox.parent.glob(f"{self.outbox.name}*"))
            if ".damaged" not in file.name
        ]

    def replace_outbox(self, folder: Path) -> None:
        """Put the outbox of a backup in the place of the present one. Blocks."""
        for file in self.outbox_files():
            file.unlink()
        for file in folder.iterdir():
            shutil.copy(file, self.outbox.parent)
        self.power.replace(self.outbox_files())

    @property
    def running(self) -> bool:
        """Whether there is a process that nobody has ended yet."""
        return self._child is not None

    async def start(self) -> None:
        """Start the process, and wait until it has started and logged in."""
        log = self.folder.with_name(f"console-{len(self.logs) + 1}.log")
        self.logs.append(log)
        preloaded = [self.power.library, self.clock.library]
        setpriv = shutil.which("setpriv")
        # So that nothing is left behind, however the run itself may end
        leash = [setpriv, "--pdeathsig", "KILL", "--"] if setpriv else []
        child = Child(
            "Home Assistant",
            [
                *leash,
                *(sys.executable, "-m", "homeassistant", "--skip-pip"),
                *("--log-no-color", "--config", str(self.folder)),
            ],
            cwd=self.folder,
            log=log,
            env={
                "PYTHONUNBUFFERED": "1",
                # Compiled once and not at every start, also where nothing is to be written beside the sources
                "PYTHONDONTWRITEBYTECODE": "",
                "PYTHONPYCACHEPREFIX": str(ROOT / ".cache" / "chaos" / "compiled"),
                **self.clock.environment,
                **self.power.environment,
                "LD_PRELOAD": ":".join(str(each) for each in preloaded if each),
            },
            patience=STOP_PATIENCE,
        )
        await child.__aenter__()
        self._child = child

    async def wait_until_running(self) -> None:
        """Wait until a process that was started answers and has finished starting."""
        child = self._child
        assert child is not None
        async with HomeAssistant(f"http://{LOOPBACK}:{self.port}") as home:
            await steps.wait_until_up(home, child, START_PATIENCE)
            await steps.onboard_or_log_in(home)
            await steps.wait_until_running(home, child, START_PATIENCE)

    async def kill(self) -> None:
        """End the process as a power cut does."""
        child, self._child = self._child, None
        if child is not None:
            child._signal(signal.SIGKILL)
            await child._started.wait()
        await self._hang_up()

    async def stop(self) -> None:
        """End the process as a person does."""
        child, self._child = self._child, None
        if child is not None:
            await child.stop()
        await self._hang_up()

    async def _hang_up(self) -> None:
        await self.control.close()
        await self.observer.close()

    async def state_of_entry(self) -> str:
        """Return the state of the account's entry."""
        for entry in await self.control.call("config_entries/get", domain="eniris"):
            state: str = entry["state"]
            return state
        return "missing"

    async def wait_until_loaded(self, patience: float = 60.0) -> None:
        """Wait until the account is set up, and ask for it where Home Assistant takes its time."""
        try:
            async with asyncio.timeout(patience):
                while (state := await self.state_of_entry()) != "loaded":
                    await asyncio.sleep(1)
                    if state in ("setup_retry", "not_loaded"):
                        await self.reload()
        except TimeoutError:
            raise DemoError(f"The account is {state} after {patience:.0f} s") from None

    async def reload(self) -> None:
        """Set the account up anew."""
        await self.control.act(
            "homeassistant", "reload_config_entry", entry_id=self.entry_id
        )

    async def set_up(self, cloud: str, ingress: str, password: str) -> None:
        """Add the account and the exports."""
        addresses = {
            "authentication_url": cloud,
            "api_url": cloud,
            "ingress_url": ingress,
        }
        await self.control.walk(
            "/api/config/config_entries/flow",
            "eniris",
            {
                "user": {
                    "username": USER,
                    "password": password,
                    "advanced": addresses,
                },
                "history": {"back": "none"},
            },
            {},
        )
        (entry,) = await self.control.call("config_entries/get", domain="eniris")
        self.entry_id = entry["entry_id"]
        await self.wait_until_loaded()
        for export in EXPORTS:
            await self._add_export(export)
            await self.wait_until_loaded()
        async with asyncio.timeout(60):
            while len(self.waiting_sensors) < len(EXPORTS):
                # They come once the exporter was made anew
                await asyncio.sleep(0.5)
                await self._find_entities()
        for export in EXPORTS:
            if export.past:
                entity_id = self.switches[export.measurement]
                await self.control.act("switch", "turn_off", entity_id=entity_id)

    async def _add_export(self, export: Exported) -> None:
        answers: dict[str, Any] = {
            "user": {
                "name": export.name,
                "collector": COLLECTOR,
                "database": export.database,
                "retention_policy": export.retention_policy,
                "measurement": export.measurement,
                "tags": [f"{key}={value}" for key, value in TAGS.items()],
            },
            "entities": {"entities": list(export.fields)},
            "fields": steps.by_name(
                await self.control.call("get_states"), export.fields
            ),
            "change": {"shortest": export.shortest.total_seconds(), "heartbeat": 0},
        }
        if export.interval is not None:
            answers["interval"] = {
                "interval": export.interval.total_seconds(),
                "aggregate": export.aggregate,
                "heartbeat": 0,
            }
        await self.control.walk(
            "/api/config/config_entries/subentries/flow",
            [self.entry_id, "export"],
            answers,
            {
                "when": "change" if export.interval is None else "interval",
                "trial": "write",
            },
        )

    async def _find_entities(self) -> None:
        """Find the entities that faults and the end of the run look at, by their unique ids."""
        subentries = await self.control.call(
            "config_entries/subentries/list", entry_id=self.entry_id
        )
        titles = {export.name: export.measurement for export in EXPORTS}
        measurements = {
            item["subentry_id"]: titles[item["title"]]
            for item in subentries
            if item["subentry_type"] == "export"
        }
        for entity in await self.control.call("config/entity_registry/list"):
            if entity["platform"] != "eniris":
                continue
            entity_id = entity["entity_id"]
            measurement = measurements.get(entity.get("config_subentry_id") or "")
            key = entity["translation_key"]
            if measurement is None:
                if key == "refresh":
                    self.refresh_button = entity_id
            elif key == "enabled":
                self.switches[measurement] = entity_id
                self.devices[measurement] = entity["device_id"]
            elif key == "waiting":
                self.waiting_sensors[measurement] = entity_id

    async def log_in_again(self, password: str) -> bool:
        """Give the password where Home Assistant asks for it; return whether it did."""
        for flow in await self.observer.call("config_entries/flow/progress"):
            if flow["handler"] == "eniris" and flow["context"]["source"] == "reauth":
                address = f"/api/config/config_entries/flow/{flow['flow_id']}"
                await self.observer.post(address, {"password": password})
                return True
        return False

    async def rejects(self) -> list[dict[str, Any]]:
        """Return what the integration has set aside as refused."""
        answer = await self.observer.act(
            "eniris", "list_rejects", answer=True, config_entry_id=self.entry_id
        )
        found: list[dict[str, Any]] = answer["rejects"]
        return found

    async def upload_now(self) -> None:
        """Have uploaded what waits, pauses or not; it is no matter whether that succeeds."""
        with suppress(DemoError):
            await self.control.act(
                "eniris", "upload_now", config_entry_id=self.entry_id
            )

    async def export_history(
        self, measurement: str, start: datetime, end: datetime
    ) -> bool:
        """Have sent what the recorder has of an export.

        Return False where about the same is under way, which may end up to a minute before this range does.
        """
        answer = await self.control.act(
            "eniris",
            "export_history",
            answer=True,
            device_id=self.devices[measurement],
            start=start.isoformat(),
            end=end.isoformat(),
        )
        queued: bool = answer["queued"]
        return queued

    async def back_up(self, folder: Path, pause: float, *, log_first: bool) -> None:
        """Copy the files of the outbox as a backup does, which takes its time."""
        await self.control.act(
            METERS,
            "back_up",
            file=str(self.outbox),
            folder=str(folder),
            pause=pause,
            log_first=log_first,
        )

    async def refresh(self) -> None:
        """Have nodes and values read; it is no matter whether that succeeds."""
        if self.refresh_button:
            with suppress(DemoError):
                await self.control.act("button", "press", entity_id=self.refresh_button)

    async def imported(self) -> set[str]:
        """Return the entities of the import that are enabled."""
        return {
            entity["entity_id"]
            for entity in await self.observer.call("config/entity_registry/list")
            if entity["platform"] == "eniris"
            and entity["disabled_by"] is None
            # Those of exports are none of the import's
            and not entity["config_subentry_id"]
        }

    async def totals(self) -> dict[str, float]:
        """Return the imported totals that have a value, none of which ever goes back."""
        answer = await self.observer.call("get_states")
        imported = await self.imported()
        return {
            state["entity_id"]: float(state["state"])
            for state in answer
            if state["entity_id"] in imported
            and state["attributes"].get("state_class") == "total_increasing"
            and state["state"] not in ("unknown", "unavailable")
        }

    async def waiting(self) -> dict[str, str]:
        """Return what each export's sensor says of how many values wait, by measurement."""
        states = await self.states()
        return {
            measurement: states.get(entity_id, "missing")
            for measurement, entity_id in self.waiting_sensors.items()
        }

    async def issues(self) -> set[str]:
        """Return the kinds of the integration's repair issues."""
        answer = await self.observer.call("repairs/list_issues")
        return {
            issue["translation_key"]
            for issue in answer["issues"]
            if issue["domain"] == "eniris"
        }

    async def states(self) -> dict[str, str]:
        """Return all states."""
        answer = await self.observer.call("get_states")
        return {state["entity_id"]: state["state"] for state in answer}
